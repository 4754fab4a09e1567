"""`!Env {NAME: VALUE}`: variables for the steps that follow."""

from __future__ import annotations

from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind
from vaggapy.config.shapes import PAIRS, Field, Shape
from vaggapy.record import Record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Env(Record):
    """`variables`: for programs of this build, and of containers built on top; not for commands."""

    variables: Mapping[str, str]


def act(step: Env, context: Context) -> Done:
    """Change what programs of later steps see."""
    return Done((), replace(context, environ={**context.environ, **step.variables}))


KIND = Kind(Shape("!Env", (PAIRS,), {"variables": Field("name: text")}, "variables"), Env, act)
