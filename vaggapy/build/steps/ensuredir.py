"""`!EnsureDir PATH`: a directory that is in the finished root, whatever other steps do."""

from __future__ import annotations

from vaggapy.build.actions import MakeDirectory
from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind
from vaggapy.config.shapes import TEXT, Field, Shape
from vaggapy.record import Record, replace


class EnsureDir(Record):
    """`path`: the directory; as a place for a volume, for example."""

    path: str


def act(step: EnsureDir, context: Context) -> Done:
    """Make it with its parents, mode 0755, now and at the end of the build."""
    return Done((MakeDirectory(step.path),), replace(context, ensured=(*context.ensured, step.path)))


KIND = Kind(Shape("!EnsureDir", (TEXT,), {"path": Field("absolute path", "", needed=True)}, "path"), EnsureDir, act)
