"""`!UvInstall [PACKAGE, ..]`: install Python packages, with what they depend on, by uv."""

from __future__ import annotations

from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind
from vaggapy.build.python import uv, uv_install
from vaggapy.config.shapes import KEYS, TEXTS, Field, Shape
from vaggapy.record import Record


class UvInstall(Record):
    """`packages`: as `uv pip install` takes them. `version`: of uv itself, "" for the root's own or the newest."""

    packages: tuple[str, ...] = ()
    version: str = ""


def act(step: UvInstall, context: Context) -> Done:
    """Have uv and install for all of the root, as `!Py3Install` does. `!PipConfig` says from where."""
    actions, after = uv(context, step.version)
    if step.packages:
        actions += (uv_install(context, step.packages),)
    return Done(actions, after)


FIELDS = {"packages": Field("texts", "[]"), "version": Field("text", "any")}
KIND = Kind(Shape("!UvInstall", (TEXTS, KEYS), FIELDS, "packages"), UvInstall, act)
