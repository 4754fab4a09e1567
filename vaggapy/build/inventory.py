"""What is in a storage, as a listing for `clean`: names and small files only, nothing is opened that may be large."""

from __future__ import annotations

import os
import re

from vaggapy.build import store
from vaggapy.build.clean import (
    CACHE,
    ENTRY,
    LAYER,
    LAYER_NAME,
    LINK,
    OWNED,
    TEMPORARY,
    VERSION,
    VOLUME,
    Listing,
    Root,
    Thing,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from vaggapy.build.store import Places

UNFINISHED = ".tmp."
LOCK = ".lock"
LEFT_LINK = re.compile(r"(?s)\.tmp\..+\.[0-9]+")
LINK_TEXT = re.compile(r"(?s)(?:.*/)?\.roots/([^/]+)/root")


def listing(places: Places, entries: tuple[str, ...] = ()) -> Listing:
    """Return what is in a project's storage. `entries`: paths in the user's cache that belong to no project any more.

    What is missing is empty.
    """
    leading = {root for _, root in links(places)}
    inside = os.path.basename(places.cache)
    own_cache = os.path.dirname(places.cache) == places.base and inside == ".cache"
    rest = [Thing(CACHE, places.cache)] if own_cache and _is_directory(places.cache) else []
    for kind, directory in ((TEMPORARY, places.roots), (VOLUME, places.volumes)):
        rest += [Thing(kind, f"{directory}/{name}") for name in _names(directory) if _is_lock(name)]
    return Listing(
        roots=tuple(_root(path, name in leading) for name, path in _directories(places.roots) if _is_root(name)),
        layers=tuple(
            Thing(LAYER, path, _time(path)) for name, path in _directories(places.layers) if LAYER_NAME.fullmatch(name)
        ),
        volumes=tuple(Thing(VOLUME, path) for name, path in _directories(places.volumes) if not name.startswith(".")),
        temporary=tuple(_temporary(places)),
        transient=tuple(Thing(OWNED, path) for _, path in _directories(f"{places.base}/.transient")),
        entries=tuple(Thing(ENTRY, path) for path in entries),
        rest=tuple(rest),
    )


def links(places: Places) -> Iterator[tuple[str, str]]:
    """Yield the links to roots in `.vagga`: their names, and the name of the root's directory."""
    for name in _names(places.links):
        if not name.startswith("."):
            try:
                found = LINK_TEXT.fullmatch(os.readlink(f"{places.links}/{name}"))
            except OSError:
                continue
            if found is not None:
                yield name, found[1]


def owner_is_alive(path: str) -> bool:
    """Return whether the process whose number ends a name is there."""
    owner = path.rpartition(".")[2]
    return owner.isdigit() and os.path.exists(f"/proc/{owner}")


def _temporary(places: Places) -> Iterator[Thing]:
    """Yield what is unfinished, whether or not somebody is still at it."""
    for name in _names(places.roots):
        if name.startswith(UNFINISHED) and not _is_lock(name):
            yield Thing(TEMPORARY, f"{places.roots}/{name}")
    for name, path in _directories(places.layers):
        if name.startswith(UNFINISHED):
            yield Thing(LAYER, path)
    for name, path in _directories(places.volumes):
        if name.startswith(UNFINISHED):
            yield Thing(VOLUME, path)
    for name, path in _directories(places.base):
        if name.startswith(UNFINISHED):
            yield Thing(CACHE if name.startswith(store.GONE) else OWNED, path)
    for name in _names(places.links):
        path = f"{places.links}/{name}"
        if LEFT_LINK.fullmatch(name) and os.path.islink(path) and not owner_is_alive(path):
            yield Thing(LINK, path)


def _is_lock(name: str) -> bool:
    return name.startswith(UNFINISHED) and name.endswith(LOCK)


def _is_root(name: str) -> bool:
    return not name.startswith(UNFINISHED) and VERSION.fullmatch(name) is not None


def _root(path: str, linked: bool) -> Root:
    used = _time(f"{path}/last_use")
    return Root(path, used, tuple(store.read(f"{path}/layers").split()), linked)


def _time(path: str) -> float:
    """Return when something was changed, -1 if it is not there."""
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return -1.0


def _names(directory: str) -> list[str]:
    """Return the names in a directory. A link to one has none: a project may come with such a link, to anywhere."""
    try:
        return [] if os.path.islink(directory) else sorted(os.listdir(directory))
    except OSError:
        return []


def _directories(directory: str) -> Iterator[tuple[str, str]]:
    """Yield name and path of the directories in one; links to directories are none."""
    for name in _names(directory):
        path = f"{directory}/{name}"
        if _is_directory(path):
            yield name, path


def _is_directory(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)
