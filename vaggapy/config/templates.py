"""Texts that take outputs of children: `${{ CHILD.KEY }}`, where `$${{` stands for the three signs themselves. Pure.

Source: supervision-systems.md 3.10.
"""

from __future__ import annotations

from vaggapy.config.rules import Output
from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

OPEN, CLOSE = "${{", "}}"
VARIABLE = "VAGGA_OUTPUT"
"""The variable of the child that writes, and how those begin that stand for a value in a text for a shell."""
LONGEST_SHOWN = 40


class Malformed(Record):
    """`raw` begins like a reference and is none."""

    raw: str


def is_key(text: str) -> bool:
    """Tell whether a value may be called so: letters of ASCII, digits and `_`, no digit first."""
    return text.isascii() and text.isidentifier()


def pieces(text: str) -> tuple[str | Output | Malformed, ...]:
    """Return what a text consists of: plain texts, with `$${{` undone, and references."""
    found: list[str | Output | Malformed] = []
    at = 0
    while (begin := text.find(OPEN, at)) >= 0:
        if begin > at and text[begin - 1] == "$":
            found.append(text[at : begin - 1] + OPEN)
            at = begin + len(OPEN)
            continue
        found.append(text[at:begin])
        end = text.find(CLOSE, begin)
        at = end + len(CLOSE) if end >= 0 else len(text)
        found.append(_reference(text[begin:at]))
    return (*found, text[at:])


def _reference(raw: str) -> Output | Malformed:
    """Return what `${{ ... }}` refers to. Names of children may have points, keys have none."""
    inner = raw[len(OPEN) : -len(CLOSE)].strip() if raw.endswith(CLOSE) else ""
    child, _, key = inner.rpartition(".")
    if not child or OPEN in inner or not is_key(key) or any(sign.isspace() for sign in child):
        return Malformed(raw if len(raw) <= LONGEST_SHOWN else f"{raw[:LONGEST_SHOWN]}...")
    return Output(child, key)


def references(text: str) -> tuple[Output, ...]:
    """Return the outputs that a text takes."""
    return tuple(piece for piece in pieces(text) if isinstance(piece, Output)) if OPEN in text else ()


def filled(text: str, value: Callable[[Output], str]) -> str:
    """Return a text with each reference replaced by what `value` returns for it, and `$${{` undone."""
    if OPEN not in text:
        return text
    parts = (piece if isinstance(piece, str) else _value(piece, value) for piece in pieces(text))
    return "".join(parts)


def _value(piece: Output | Malformed, value: Callable[[Output], str]) -> str:
    return value(piece) if isinstance(piece, Output) else piece.raw


def written(output: Output) -> str:
    """Return a reference as it is written."""
    return f"{OPEN} {output.child}.{output.key} {CLOSE}"


def variables(outputs: Iterable[Output]) -> dict[Output, str]:
    """Return the name of a variable for each output, which a shell takes: no two have the same."""
    found: dict[Output, str] = {}
    for output in dict.fromkeys(outputs):
        plain = "".join(sign if is_key(f"_{sign}") else "_" for sign in output.child)
        name = wanted = f"{VARIABLE}_{plain}_{output.key}"
        number = 2
        while name in found.values():
            name, number = f"{wanted}_{number}", number + 1
        found[output] = name
    return found
