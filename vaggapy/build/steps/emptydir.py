"""`!EmptyDir PATH`: a directory that is empty in the finished root."""

from __future__ import annotations

from vaggapy.build.actions import Empty
from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind
from vaggapy.config.shapes import TEXT, Field, Shape
from vaggapy.record import Record, replace


class EmptyDir(Record):
    """`path`: the directory inside the root."""

    path: str


def act(step: EmptyDir, context: Context) -> Done:
    """Remove everything in it, now and at the end of the build."""
    return Done((Empty(step.path),), replace(context, emptied=(*context.emptied, step.path)))


KIND = Kind(Shape("!EmptyDir", (TEXT,), {"path": Field("path below /", "", needed=True)}, "path"), EmptyDir, act)
