"""`!Copy {source: .., path: ..}`: copy files of the project, or of the root itself, into the root."""

from __future__ import annotations

from vaggapy.build.actions import Copy as CopyFiles
from vaggapy.build.actions import Selection
from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind
from vaggapy.build.places import EXTERNAL, in_project, in_volume, is_in_project
from vaggapy.build.selections import FIELDS as SELECTING
from vaggapy.build.selections import UNCOUNTED, selection
from vaggapy.build.sources import KEEP, UMASK, Source, Tree, Value
from vaggapy.config.shapes import KEYS, Field, Shape
from vaggapy.record import Record


class Copy(Record):
    """`source`: `/work/..` is the project, `/volumes/NAME/..` an external volume of the settings.

    Other paths are those of the root as the steps before left it.

    Modes are made from `umask` unless permissions are preserved; owners are those of the source unless given.
    """

    source: str
    path: str
    owner_uid: int = -1
    owner_gid: int = -1
    umask: int = 0o002
    preserve_permissions: bool = False
    preserve_times: bool = False
    ignore_regex: str | None = None
    include_regex: str = ""
    rules: tuple[str, ...] = ()
    no_default_rules: bool = False


def act(step: Copy, context: Context) -> Done:
    """Copy a file, or of a directory what is selected.

    Raises:
        CommandError: what is selected is not said rightly.
    """
    source = _place(step.source) or step.source
    copy = CopyFiles(
        source,
        step.path,
        _selection(step),
        step.owner_uid,
        step.owner_gid,
        step.umask,
        step.preserve_permissions,
        step.preserve_times,
    )
    return Done((copy,), context)


def sources(step: Copy) -> tuple[Source, ...]:
    """Return the files of the project; of the root itself, how they are selected."""
    chosen = _selection(step)
    source = _place(step.source)
    if not source:
        return (Value("rules", "\0".join(chosen.rules or ())), Value("regex", f"{chosen.ignore}\0{chosen.include}"))
    modes = KEEP if step.preserve_permissions else UMASK
    uid, gid = step.owner_uid, step.owner_gid
    return (Tree(source, chosen, modes, step.umask, owners=True, uid=uid, gid=gid, times=step.preserve_times),)


def _place(source: str) -> str:
    """Return where the build sandbox has a source of the project or of an external volume, "" for other ones."""
    if source.startswith(EXTERNAL):
        return in_volume(source)
    return in_project(source) if is_in_project(source) else ""


def _selection(step: Copy) -> Selection:
    return selection(step.ignore_regex, step.include_regex, step.rules, step.no_default_rules)


FIELDS = {
    "source": Field("absolute path", "", needed=True),
    "path": Field("absolute path", "", needed=True),
    "owner-uid": Field("number", "that of the source"),
    "owner-gid": Field("number", "that of the source"),
    "umask": Field("file mode", "0o002"),
    "preserve-permissions": Field("true or false", "false"),
    "preserve-times": Field("true or false", "false"),
    **SELECTING,
}
KIND = Kind(Shape("!Copy", (KEYS,), FIELDS), Copy, act, sources, uncounted=UNCOUNTED)
