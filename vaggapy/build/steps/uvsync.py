"""`!UvSync`: install what uv.lock says, by uv, into an environment of its own inside the root."""

from __future__ import annotations

from vaggapy.build.actions import Selection
from vaggapy.build.context import PATH, Context
from vaggapy.build.kind import Done, Kind
from vaggapy.build.places import in_project
from vaggapy.build.python import config, uv, uv_run
from vaggapy.build.sources import FileContent, Source, Tree
from vaggapy.config.shapes import KEYS, NOTHING, TEXT, Field, Shape
from vaggapy.record import Record, replace

ENVIRONMENT = "/opt/venv"


class UvSync(Record):
    """`dir`: the directory of the project with pyproject.toml and uv.lock. `environment`: where packages go.

    `dev`: the group of that name, too; `groups`, `extras`: others. `project`: also the project itself, editable.
    `python`: which one, as `uv sync --python` takes it. `version`: of uv itself.
    """

    dir: str = ""
    dev: bool = True
    groups: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    all_extras: bool = False
    project: bool = False
    environment: str = ENVIRONMENT
    python: str = ""
    version: str = ""


def act(step: UvSync, context: Context) -> Done:
    """Have uv and let it install; a lock file that does not fit pyproject.toml is an error.

    The programs of the environment come first in PATH for later steps, and are offered to commands.
    """
    actions, after = uv(context, step.version)
    words = ["sync", "--locked"]
    words += () if step.project else ("--no-install-project",)
    words += () if step.dev else ("--no-dev",)
    words += ("--all-extras",) if step.all_extras else ()
    for option, values in (("--group", step.groups), ("--extra", step.extras)):
        for value in values:
            words += (option, value)
    python = step.python or config(context).python_exe
    words += ("--python", python) if python else ()
    run = uv_run(context, tuple(words), in_project(step.dir), {"UV_PROJECT_ENVIRONMENT": step.environment})
    return Done((*actions, run), _activated(after, step.environment))


def _activated(context: Context, place: str) -> Context:
    """Return the context in which the programs of an environment come first."""
    environ = {"PATH": f"{place}/bin:{context.environ.get('PATH', PATH)}", "VIRTUAL_ENV": place}
    shown = {"PATH": f"{place}/bin:{context.offered.get('PATH', PATH)}", "VIRTUAL_ENV": place}
    return replace(context, environ={**context.environ, **environ}, offered={**context.offered, **shown})


def sources(step: UvSync) -> tuple[Source, ...]:
    """Return the files that uv reads; some need not be there."""
    place = in_project(step.dir)
    maybe = Tree(place, Selection(("/.python-version", "/uv.toml")))
    return (FileContent(f"{place}/uv.lock"), FileContent(f"{place}/pyproject.toml"), maybe)


FIELDS = {
    "dir": Field("relative path", "."),
    "dev": Field("true or false", "true"),
    "groups": Field("texts", "[]"),
    "extras": Field("texts", "[]"),
    "all-extras": Field("true or false", "false"),
    "project": Field("true or false", "false"),
    "environment": Field("path below /", ENVIRONMENT),
    "python": Field("text", "the root's own"),
    "version": Field("text", "any"),
}
KIND = Kind(Shape("!UvSync", (NOTHING, TEXT, KEYS), FIELDS, "dir"), UvSync, act, sources)
