"""`!NpmConfig {..}`: how the steps that follow install packages of npm."""

from __future__ import annotations

from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind
from vaggapy.build.node import NPM, NpmConfig
from vaggapy.config.shapes import KEYS, Field, Shape
from vaggapy.record import replace


def act(step: NpmConfig, context: Context) -> Done:
    """Replace the settings; those of yarn mean nothing yet."""
    return Done((), replace(context, languages={**context.languages, NPM: step}))


FIELDS = {
    "npm-exe": Field("text", NPM),
    "install-node": Field("true or false", "true"),
    "yarn-exe": Field("text", "", "no effect"),
    "yarn-version": Field("text", "", "no effect"),
    "install-yarn": Field("true or false", "true", "no effect"),
}
KIND = Kind(Shape("!NpmConfig", (KEYS,), FIELDS), NpmConfig, act)
