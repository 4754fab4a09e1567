"""What `vagga _clean` removes: decided from a listing of the storage and the actions that were asked for. Pure.

Source: vagga.md 6.6. Differs: layers; a root is never removed for a file beside it that is missing; `--everything`
leaves what is not vagga's in `.vagga`.
"""

from __future__ import annotations

import re

from vaggapy.record import Record

TMP, OLD, UNUSED, TRANSIENT = "tmp", "old", "unused", "transient"
LAYERS, VOLUMES, UNUSED_VOLUMES, EVERYTHING = "layers", "volumes", "unused-volumes", "everything"
ACTIONS = (TMP, OLD, UNUSED, LAYERS, TRANSIENT, VOLUMES, UNUSED_VOLUMES, EVERYTHING)
NEEDS_PROJECT = (UNUSED, UNUSED_VOLUMES)

# Kinds of things: how they are removed differs, for each is protected by another lock.
ROOT, TEMPORARY, LAYER, VOLUME, CACHE = "root", "temporary", "layer", "volume", "cache"
OWNED, LINK, ENTRY = "owned", "link", "entry"

SECOND, MINUTE, HOUR, DAY = 1.0, 60.0, 3600.0, 86400.0
UNITS = {
    **dict.fromkeys(("nsec", "ns"), 1e-9),
    **dict.fromkeys(("usec", "us"), 1e-6),
    **dict.fromkeys(("msec", "ms"), 1e-3),
    **dict.fromkeys(("seconds", "second", "sec", "s"), SECOND),
    **dict.fromkeys(("minutes", "minute", "min", "m"), MINUTE),
    **dict.fromkeys(("hours", "hour", "hrs", "hr", "h"), HOUR),
    **dict.fromkeys(("days", "day", "d"), DAY),
    **dict.fromkeys(("weeks", "week", "wk", "w"), 7 * DAY),
    **dict.fromkeys(("months", "month", "M"), 30.44 * DAY),
    **dict.fromkeys(("years", "year", "yr", "y"), 365.25 * DAY),
}
PART = re.compile(r"\s*([0-9]+)\s*([A-Za-z]+)\s*", re.ASCII)
LONGEST_NUMBER = 15

VERSION = re.compile(r"(?s)[^/]+\.[0-9a-f]{8}")
LAYER_NAME = re.compile(r"[0-9a-f]{32}")


class Root(Record):
    """A root: the path of its version's directory, when it was used last (-1: unknown), which layers it is made of.

    `linked`: whether the project's `.vagga` leads to it.
    """

    path: str
    used: float = -1.0
    layers: tuple[str, ...] = ()
    linked: bool = False


class Thing(Record):
    """Something else in the storage: one of the kinds above, its path, and when it was used last."""

    kind: str
    path: str
    used: float = -1.0

    @property
    def name(self) -> str:
        """Return the last part of the path."""
        return self.path.rpartition("/")[2]


class Listing(Record):
    """What is there. `temporary` has all that is unfinished, of whatever kind; `entries` are those of the user's cache.

    `rest`: what else is ours, and goes only with everything.
    """

    roots: tuple[Root, ...] = ()
    layers: tuple[Thing, ...] = ()
    volumes: tuple[Thing, ...] = ()
    temporary: tuple[Thing, ...] = ()
    transient: tuple[Thing, ...] = ()
    entries: tuple[Thing, ...] = ()
    rest: tuple[Thing, ...] = ()


class Wanted(Record):
    """What the project needs as it is now: directories of roots and layers by name, and its volumes."""

    roots: frozenset[str] = frozenset()
    layers: frozenset[str] = frozenset()
    volumes: frozenset[str] = frozenset()


class Action(Record):
    """One of `ACTIONS`. `since`: with --at-least, what was used after this time is kept; -1 without."""

    name: str
    since: float = -1.0


def chosen(actions: tuple[Action, ...], there: Listing, wanted: Wanted) -> tuple[Thing, ...]:
    """Return what the actions remove, in their order, each thing once."""
    found: dict[str, Thing] = {}
    for action in actions:
        for thing in _of(action, there, wanted, found):
            found.setdefault(thing.path, thing)
    return tuple(found.values())


def _of(action: Action, there: Listing, wanted: Wanted, before: dict[str, Thing]) -> tuple[Thing, ...]:
    """Return what one action removes; `before`: what the ones before it did."""
    match action.name:
        case "tmp":
            return (*there.temporary, *there.entries)
        case "old":
            return tuple(_thing(root) for root in there.roots if not root.linked)
        case "unused":
            return (*_unused(action, there, wanted, before), *there.entries)
        case "layers":
            return there.layers
        case "transient":
            return there.transient
        case "volumes":
            return there.volumes
        case "unused-volumes":
            return tuple(volume for volume in there.volumes if volume.name not in wanted.volumes)
        case _:
            roots = tuple(map(_thing, there.roots))
            return (*there.temporary, *there.transient, *roots, *there.layers, *there.volumes, *there.rest)


def _unused(action: Action, there: Listing, wanted: Wanted, before: dict[str, Thing]) -> tuple[Thing, ...]:
    """Return the roots that are not needed, and the layers that neither the others nor the project need."""
    gone, kept = [], []
    for root in there.roots:
        fresh = root.used >= action.since if action.since >= 0 else _name(root.path) in wanted.roots
        if not fresh:
            gone.append(_thing(root))
        elif root.path not in before:
            kept.append(root)
    needed = {layer for root in kept for layer in root.layers}
    if action.since < 0:
        needed |= wanted.layers
    layers = (layer for layer in there.layers if layer.name not in needed)
    return (*gone, *(layer for layer in layers if action.since < 0 or layer.used < action.since))


def _thing(root: Root) -> Thing:
    return Thing(ROOT, root.path, root.used)


def _name(path: str) -> str:
    return path.rpartition("/")[2]


# --- text -----------------------------------------------------------------------------------------------------------


def duration(text: str) -> float | None:
    """Return the seconds of a text like `10days` or `2h 30m`, None if it is no such text."""
    total, at = 0.0, 0
    while at < len(text):
        part = PART.match(text, at)
        if part is None or part[2] not in UNITS or len(part[1]) > LONGEST_NUMBER:
            return None
        total += int(part[1]) * UNITS[part[2]]
        at = part.end()
    return total if text.strip() else None


def size(count: int) -> str:
    """Return a number of bytes as people read it: 12.3 MB."""
    if count < 1000:
        return f"{count} B"
    amount = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        amount /= 1000
        if amount < 999.95 or unit == "TB":
            break
    return f"{amount:.1f} {unit}"
