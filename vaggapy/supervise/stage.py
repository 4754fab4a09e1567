"""What the supervisor is given: one command of a run as plain data, made by `plan`. Pure."""

from __future__ import annotations

from vaggapy.record import Record
from vaggapy.sandbox.spec import Launch


class Listen(Record):
    """An address to listen on before the child starts; `host` a name or an IP address."""

    host: str
    port: int


class ChildPlan(Record):
    """One child: what to launch, and the socket to pass to it."""

    name: str
    launch: Launch
    listen: Listen | None = None


class Stage(Record):
    """One command of a run: its children, all started together. `grace` in seconds.

    `single`: a `!Command`, of which little is told. `streams` as in `sandbox.spec`, the same for every child.
    """

    name: str
    mode: str
    children: tuple[ChildPlan, ...]
    grace: int
    streams: str
    single: bool
    epilog: str = ""
