"""`!PipConfig {..}`: how the steps that follow install Python packages."""

from __future__ import annotations

from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind, StepError
from vaggapy.build.python import PIP, PipConfig
from vaggapy.config.shapes import KEYS, Field, Shape
from vaggapy.record import replace


def act(step: PipConfig, context: Context) -> Done:
    """Replace the settings; keys that are not written have their defaults again.

    Raises:
        CommandError: `get-pip-args` is given.
    """
    if step.get_pip_args:
        raise StepError(
            "'get-pip-args' is given, but pip is the distribution's",
            "take it away; '!Py3Install [\"pip==VERSION\"]' installs another pip",
            "not-available",
        )
    return Done((), replace(context, languages={**context.languages, PIP: step}))


FIELDS = {
    "find-links": Field("texts", "[]"),
    "index-urls": Field("texts", "[]"),
    "trusted-hosts": Field("texts", "[]"),
    "dependencies": Field("true or false", "false"),
    "cache-wheels": Field("true or false", "true"),
    "install-python": Field("true or false", "true"),
    "python-exe": Field("text", "python3"),
    "allow-pre-releases": Field("true or false", "false"),
    "get-pip-args": Field("texts", "[]"),
}
KIND = Kind(Shape("!PipConfig", (KEYS,), FIELDS), PipConfig, act)
