"""The version of a container without its steps: what to hash, in order, as it was found when vagga.yaml was read.

A start that finds nothing changed needs no module of a step: the formula of each container is kept with the project,
and only the files that it names are looked at. `recipe.version` comes to the same digest; a test compares the two.
"""

from __future__ import annotations

import _blake2
import marshal

from vaggapy.build import actions, sources
from vaggapy.build.sources import Source
from vaggapy.record import Record, pack, records, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Look = Callable[[Source], bytes | None]


class Need(Record):
    """The version of another container counts here."""

    container: str


class Formula(Record):
    """What a container's version is made of.

    `parts`: bytes that count as they are, sources whose digests count, containers whose versions count. `ends`: what is
    hashed with the result of the parts, before and after it.
    """

    parts: tuple[bytes | Source | Need, ...]
    ends: tuple[bytes, bytes]


CLASSES: dict[str, type[Record]] = {
    **records(vars(sources)),
    **records(vars(actions)),
    "Formula": Formula,
    "Need": Need,
}


class Versions:
    """Finds versions by formulas, each container's once. "" stands for one that cannot be known yet."""

    def __init__(self, formulas: Mapping[str, Formula], look: Look) -> None:
        """Prepare; `look` digests a source, or returns None if it is not there yet."""
        self._formulas = formulas
        self._look = look
        self._known: dict[str, str] = {}

    def of(self, name: str) -> str:
        """Return the version of a container in hex."""
        if name not in self._known:
            self._known[name] = self._evaluate(self._formulas[name]) if name in self._formulas else ""
        return self._known[name]

    def counted(self, part: bytes | Source | Need) -> bytes | None:
        """Return how a part of a formula counts, None if that is not known yet."""
        if isinstance(part, bytes):
            return part
        if isinstance(part, Need):
            inner = self.of(part.container)
            return encode(("needs", inner)) if inner else None
        found = self._look(part)
        return None if found is None else encode((type(part).__name__, found))

    def _evaluate(self, formula: Formula) -> str:
        state = _blake2.blake2b()
        for part in formula.parts:
            counted = self.counted(part)
            if counted is None:
                return ""
            state.update(counted)
        return ended(formula, state.hexdigest())


def ended(formula: Formula, key: str) -> str:
    """Return the version of a container, the key of whose last link is known."""
    before, after = formula.ends
    return _blake2.blake2b(before + encode(key) + after).hexdigest()


def encode(value: object) -> bytes:
    """Return plain data as bytes that no other data gives: a letter, the length, the content."""
    match value:
        case None:
            return b"n0:"
        case bool():
            return b"t1:1" if value else b"t1:0"
        case int():
            body, letter = str(value).encode(), b"i"
        case str():
            body, letter = value.encode("utf-8", "surrogateescape"), b"s"
        case bytes():
            body, letter = value, b"b"
        case tuple():
            body, letter = b"".join(encode(item) for item in value), b"l"
        case dict():
            pairs = sorted((encode(key), encode(item)) for key, item in value.items())
            body, letter = b"".join(key + item for key, item in pairs), b"m"
        case _:
            raise TypeError(f"{type(value).__name__} has no place in a version")
    return letter + str(len(body)).encode() + b":" + body


def dumps(formulas: Mapping[str, Formula]) -> bytes:
    """Return formulas as bytes, to be kept with the project."""
    return marshal.dumps(pack(dict(formulas)))


def loads(data: bytes) -> dict[str, Formula]:
    """Return what `dumps` was given; nothing, if that was done by another state of the code. Only for our own cache."""
    try:
        found = unpack(marshal.loads(data), CLASSES)
    except (KeyError, TypeError, ValueError, EOFError):
        return {}
    if not isinstance(found, dict) or not all(isinstance(formula, Formula) for formula in found.values()):
        return {}
    return found
