"""`!Py3Requirements FILE`: install the Python packages that a file of the project lists."""

from __future__ import annotations

from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind
from vaggapy.build.places import in_project
from vaggapy.build.python import pip_install
from vaggapy.build.sources import Requirements, Source
from vaggapy.config.shapes import NOTHING, TEXT, Field, Shape
from vaggapy.record import Record

DEFAULT = "requirements.txt"


class Py3Requirements(Record):
    """`file`: relative to the project."""

    file: str = DEFAULT


def act(step: Py3Requirements, context: Context) -> Done:
    """Do as `!Py3Install`, with `--requirement FILE`."""
    return Done(*pip_install(context, ("--requirement", in_project(step.file)), ()))


def sources(step: Py3Requirements) -> tuple[Source, ...]:
    """Return the lines of the file and of those that it includes."""
    return (Requirements(in_project(step.file)),)


FIELDS = {"file": Field("text", DEFAULT)}
KIND = Kind(Shape("!Py3Requirements", (TEXT, NOTHING), FIELDS, "file"), Py3Requirements, act, sources)
