"""`!NpmInstall [PACKAGE, ..]`: install packages of npm for all of the root."""

from __future__ import annotations

from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind
from vaggapy.build.node import config, npm, run
from vaggapy.config.shapes import TEXTS, Field, Shape
from vaggapy.record import Record


class NpmInstall(Record):
    """`packages`: as `npm install` takes them; none to have Node.js and npm only."""

    packages: tuple[str, ...] = ()


def act(step: NpmInstall, context: Context) -> Done:
    """Have Node.js, the root's own or the distribution's, and install globally."""
    actions, after = npm(context, step.packages)
    if step.packages:
        actions += (run((config(context).npm_exe, "install", "--global", *step.packages)),)
    return Done(actions, after)


FIELDS = {"packages": Field("texts", "[]")}
KIND = Kind(Shape("!NpmInstall", (TEXTS,), FIELDS, "packages"), NpmInstall, act)
