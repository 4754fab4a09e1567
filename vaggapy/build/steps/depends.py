"""`!Depends PATH`: build anew when files of the project change, without copying them."""

from __future__ import annotations

from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind
from vaggapy.build.places import in_project
from vaggapy.build.selections import FIELDS as SELECTING
from vaggapy.build.selections import UNCOUNTED, selection
from vaggapy.build.sources import EXECUTABLE, Source, Tree
from vaggapy.config.shapes import KEYS, TEXT, Field, Shape
from vaggapy.record import Record


class Depends(Record):
    """`path`: a file or directory of the project. The rest says which files of it, as for `!Copy`."""

    path: str
    ignore_regex: str | None = None
    include_regex: str = ""
    rules: tuple[str, ...] = ()
    no_default_rules: bool = False


def act(step: Depends, context: Context) -> Done:
    """Do nothing; what counts is in `sources`."""
    return Done((), context)


def sources(step: Depends) -> tuple[Source, ...]:
    """Return the files: names, contents, and whether they may be executed."""
    chosen = selection(step.ignore_regex, step.include_regex, step.rules, step.no_default_rules)
    return (Tree(in_project(step.path), chosen, EXECUTABLE),)


KIND = Kind(
    Shape("!Depends", (TEXT, KEYS), {"path": Field("text", "", needed=True), **SELECTING}, "path"),
    Depends,
    act,
    sources,
    uncounted=UNCOUNTED,
)
