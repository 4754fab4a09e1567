"""`!Build {container: ..}`: take files of another container's root, or see it while this one is built."""

from __future__ import annotations

from vaggapy.build.actions import ROOTS, MakeDirectory, Selection
from vaggapy.build.actions import Copy as CopyFiles
from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind, StepError
from vaggapy.build.selections import selection
from vaggapy.build.sources import KEEP, RootTree, Source, Tree
from vaggapy.config.shapes import KEYS, Field, Shape
from vaggapy.record import Record, replace


class Build(Record):
    """`source`: a path in the root of `container`, copied to `path`, or seen at `temporary_mount` until the end.

    `rules`: which files of it, all without any. `content_hash`: the files count, not how the container is built.
    """

    container: str
    source: str = "/"
    path: str = ""
    temporary_mount: str = ""
    content_hash: bool = False
    rules: tuple[str, ...] = ()


def act(step: Build, context: Context) -> Done:
    """Copy, or show. Owners and modes stay; times become one second after the epoch.

    Raises:
        CommandError: fields contradict each other.
    """
    source = f"{ROOTS}/{step.container}/{step.source.lstrip('/')}".rstrip("/")
    if step.temporary_mount:
        if step.path or step.content_hash or step.rules:
            raise StepError(
                "'temporary-mount' and 'path', 'rules' or 'content-hash' are given",
                "use two steps, one for each",
                "build-values",
            )
        mounts = (*context.mounts, (step.temporary_mount, source))
        return Done((MakeDirectory(step.temporary_mount),), replace(context, mounts=mounts))
    if not step.path:
        return Done((), context)
    return Done((CopyFiles(source, step.path, _selection(step), keep_modes=True),), context)


def sources(step: Build) -> tuple[Source, ...]:
    """Return the files of the other root, if they are what counts."""
    if not step.content_hash:
        return ()
    return (RootTree(step.container, Tree(step.source, _selection(step), KEEP, owners=True)),)


def needs(step: Build) -> tuple[str, ...]:
    """Return the container."""
    return (step.container,)


def _selection(step: Build) -> Selection:
    return selection(None, "", step.rules, no_default_rules=True) if step.rules else Selection()


FIELDS = {
    "container": Field("container", "", needed=True),
    "source": Field("absolute path", "/"),
    "path": Field("absolute path"),
    "temporary-mount": Field("path below /"),
    "content-hash": Field("true or false", "false"),
    "rules": Field("texts", "[]"),
}
KIND = Kind(Shape("!Build", (KEYS,), FIELDS), Build, act, sources, needs)
