"""`!Py3Install [PACKAGE, ..]`: install Python packages by pip."""

from __future__ import annotations

from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind
from vaggapy.build.python import pip_install
from vaggapy.config.shapes import TEXTS, Field, Shape
from vaggapy.record import Record


class Py3Install(Record):
    """`packages`: as pip takes them; none to have Python and pip only."""

    packages: tuple[str, ...] = ()


def act(step: Py3Install, context: Context) -> Done:
    """Have Python and pip, the root's own or the distribution's, and install for all of the root.

    What the packages depend on is not installed unless `!PipConfig {dependencies: true}` says so. A compiler is not
    there either: `!BuildDeps [build-essential, python3-dev]` brings one where a package has no wheel.
    """
    return Done(*pip_install(context, step.packages, step.packages))


FIELDS = {"packages": Field("texts", "[]")}
KIND = Kind(Shape("!Py3Install", (TEXTS,), FIELDS, "packages"), Py3Install, act)
