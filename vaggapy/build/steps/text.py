"""`!Text {PATH: CONTENT}`: write files."""

from __future__ import annotations

from vaggapy.build.actions import WriteFile
from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind
from vaggapy.config.shapes import PAIRS, Field, Shape
from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Text(Record):
    """`files`: path inside -> content."""

    files: Mapping[str, str]


def act(step: Text, context: Context) -> Done:
    """Write each file with mode 0644."""
    return Done(tuple(WriteFile(path, content) for path, content in step.files.items()), context)


KIND = Kind(Shape("!Text", (PAIRS,), {"files": Field("path: text")}, "files"), Text, act)
