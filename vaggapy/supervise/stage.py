"""What the supervisor is given: one command of a run as plain data, made by `plan`. Pure."""

from __future__ import annotations

from vaggapy.record import Record
from vaggapy.sandbox.spec import Launch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.rules import Rules


class Listen(Record):
    """An address to listen on before the child starts; `host` a name or an IP address."""

    host: str
    port: int


class Banner(Record):
    """Text for people, `delay` seconds after `child` was started; "" for the start of the stage."""

    text: str
    delay: int = 0
    child: str = ""


class ChildPlan(Record):
    """One child: what to launch, and the socket to pass to it.

    `wanders`: it starts where the caller is. `container`: the name of its own.
    """

    name: str
    launch: Launch
    listen: Listen | None = None
    wanders: bool = False
    container: str = ""


class Stage(Record):
    """One command of a run: its children, all started together. `grace` in seconds.

    `single`: a `!Command`, of which little is told. `streams` as in `sandbox.spec`, the same for every child.
    `fills`: the persistent volumes that are kept if it succeeds. `prefixed`: names stand before the lines of pipes.
    `inotify`: how many watches of files the kernel should allow, 0 for no matter. `rules`: of the children that are
    there, None for the plain modes.
    """

    name: str
    mode: str
    children: tuple[ChildPlan, ...]
    grace: int
    streams: str
    single: bool
    epilog: str = ""
    fills: tuple[str, ...] = ()
    prefixed: bool = True
    banners: tuple[Banner, ...] = ()
    inotify: int = 0
    rules: Rules | None = None
