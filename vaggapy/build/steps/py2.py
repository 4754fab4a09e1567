"""`!Py2Install`, `!Py2Requirements`: known, but Python 2 is in no distribution any more."""

from __future__ import annotations

from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind, StepError
from vaggapy.config.shapes import NOTHING, TEXT, TEXTS, Field, Shape
from vaggapy.record import Record

USE_INSTALL = "use !Py3Install; for an old program use '!Image python:2.7' and '!Sh pip install ..'"
USE_REQUIREMENTS = "use !Py3Requirements; for an old program use '!Image python:2.7' and '!Sh pip install -r ..'"


class Py2Install(Record):
    """Never used: `later` ends it."""

    packages: tuple[str, ...] = ()


class Py2Requirements(Record):
    """Never used: `later` ends it."""

    file: str = "requirements.txt"


def act(_: Py2Install | Py2Requirements, context: Context) -> Done:
    """Refuse.

    Raises:
        CommandError: always.
    """
    raise StepError(f"Python 2 cannot be installed in container {context.container}", "use Python 3", "not-available")


INSTALL = Shape("!Py2Install", (TEXTS,), {"packages": Field("texts", "[]")}, "packages", USE_INSTALL)
REQUIREMENTS = Shape(
    "!Py2Requirements", (TEXT, NOTHING), {"file": Field("text", "requirements.txt")}, "file", USE_REQUIREMENTS
)
KIND = (Kind(INSTALL, Py2Install, act), Kind(REQUIREMENTS, Py2Requirements, act))
