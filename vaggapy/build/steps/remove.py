"""`!Remove PATH`: a file or directory that is not in the finished root."""

from __future__ import annotations

from vaggapy.build.actions import Remove as RemovePath
from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind
from vaggapy.config.shapes import TEXT, Field, Shape
from vaggapy.record import Record, replace


class Remove(Record):
    """`path`: with all that is in it, if it is a directory."""

    path: str


def act(step: Remove, context: Context) -> Done:
    """Remove it now and at the end of the build, and of builds on top of this one."""
    return Done((RemovePath(step.path),), replace(context, removed=(*context.removed, step.path)))


KIND = Kind(Shape("!Remove", (TEXT,), {"path": Field("path below /", "", needed=True)}, "path"), Remove, act)
