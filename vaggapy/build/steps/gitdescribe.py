"""`!GitDescribe PATH`: write what `git describe` says of the project into a file, and count it."""

from __future__ import annotations

from vaggapy.build.actions import ROOT, Action, Copy, OnHost, Remove
from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind
from vaggapy.build.places import PROJECT, in_project
from vaggapy.build.sources import GitDescription, Source
from vaggapy.config.shapes import KEYS, TEXT, Field, Shape
from vaggapy.record import Record

TRUSTED = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
DESCRIBE = """if [ "$3" ]; then text=$(git -C "$1" describe --match "$3"); else text=$(git -C "$1" describe); fi
printf %s "$text" > "$2"
"""


PLACE = "/.vagga-describe"
"""Where git's words are put, in the tree: a program of the host sees nothing else that it can write to."""


class GitDescribe(Record):
    """`repo`: a directory of the project. `pattern`: for the tags that count. `output_file`: "" for none."""

    repo: str = PROJECT
    pattern: str = ""
    output_file: str = ""


def act(step: GitDescribe, context: Context) -> Done:
    """Write the text, without a line end, with mode 0644; git is the host's.

    Raises:
        CommandError: the repository is not in the project.
    """
    repository = in_project(step.repo)
    if not step.output_file:
        return Done((), context)
    words = ("/bin/sh", "-Cec", DESCRIBE, "sh", repository, f"{ROOT}{PLACE}", step.pattern)
    actions: tuple[Action, ...] = (
        Remove(PLACE),
        OnHost(words, "git", TRUSTED),
        Copy(PLACE, step.output_file, umask=0o022),
        Remove(PLACE),
    )
    return Done(actions, context)


def sources(step: GitDescribe) -> tuple[Source, ...]:
    """Return what is described."""
    return (GitDescription(in_project(step.repo), step.pattern),)


FIELDS = {
    "repo": Field("text", PROJECT),
    "pattern": Field("text"),
    "output-file": Field("path below /"),
}
KIND = Kind(Shape("!GitDescribe", (TEXT, KEYS), FIELDS, "output-file"), GitDescribe, act, sources)
