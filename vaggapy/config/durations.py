"""Texts -> durations. Pure.

Source: supervision-systems.md 2.2, 5.2. Differs: a number without a unit may have a fraction; `1:30`, which YAML 1.1
takes for a number, is refused with a remedy.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.tree import Node
    from vaggapy.config.values import Reader, Structure

UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
"""Nanoseconds of each unit; there are two signs for micro."""
NUMBER = r"[0-9]+\.?[0-9]*|\.[0-9]+"
PART = re.compile(rf"({NUMBER})(ns|us|µs|μs|ms|s|m|h)")
ALONE = re.compile(NUMBER)
CLOCK = re.compile(r"([0-9]+)(?::([0-9]{1,2}))?:([0-9]{1,2})", re.ASCII)
SHORTEST, LONGEST = 0.001, 365 * 86_400.0
MOST_CHARACTERS = 40
EXAMPLES = "a number of seconds, or as in 500ms, 5s, 1m30s"
NONE = "none"


def read_duration(text: str) -> float | None:
    """Return the seconds that `text` writes, None if it writes none.

    A number is seconds, `5` or `5.5`; else numbers with units, `500ms`, `1m30s`. Never negative.
    """
    if len(text) > MOST_CHARACTERS:
        return None
    if ALONE.fullmatch(text):
        return _nanoseconds(text, "s") / 10**9
    total, at = 0, 0
    while part := PART.match(text, at):
        total += _nanoseconds(part.group(1), part.group(2))
        at = part.end()
    return total / 10**9 if at and at == len(text) else None


def _nanoseconds(number: str, unit: str) -> int:
    """Return an exact count: binary fractions would make 0.3 s a little less than 300 ms."""
    whole, _, rest = number.partition(".")
    scale: int = 10 ** len(rest)
    return int(whole or "0") * UNITS[unit] + int(rest or "0") * UNITS[unit] // scale


def shown(seconds: float) -> str:
    """Return a duration as people write it: `500ms`, `5s`, `1m30s`."""
    milliseconds = round(seconds * 1000)
    if milliseconds % 1000:
        return f"{milliseconds}ms" if milliseconds < 1000 else f"{milliseconds / 1000:g}s"
    minutes, rest = divmod(milliseconds // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    parts = (f"{hours}h" if hours else "", f"{minutes}m" if minutes else "", f"{rest}s" if rest else "")
    return "".join(parts) or "0s"


def duration(fields: Structure, key: str, default: float, *, zero: bool = False, none: bool = False) -> float:
    """Return the seconds of a key, from 1 ms to a year. `zero`: 0 is right, too; `none`: so is `none`, which is 0."""
    if not fields.has(key):
        return default
    return seconds(fields.reader, fields.values[key], f"'{key}'", default, zero=zero, none=none)


def seconds(reader: Reader, node: Node, what: str, default: float, *, zero: bool, none: bool) -> float:
    """Return the seconds of a value; reports everything else and returns `default`."""
    text = reader.text(node, what)
    if none and text == NONE:
        return 0.0
    found = read_duration(text)
    low = ("0 or " if zero else "none or " if none else "") + "from 1ms"
    if found is None:
        if text:
            _report(reader, node, what, text, low)
        return default
    if (found < SHORTEST and not (zero and not found)) or found > LONGEST:
        reader.report(node.mark, f"{what} is {text}", f"{low} to {shown(LONGEST)}", "out-of-range")
        return default
    return found


def _report(reader: Reader, node: Node, what: str, text: str, low: str) -> None:
    """Report a text that is no duration, with what was meant where that can be told."""
    clock = CLOCK.fullmatch(text)
    remedy = EXAMPLES
    if clock:
        first, middle, last = (int(part) if part else -1 for part in clock.groups())
        remedy = f"write {first}m{last}s" if middle < 0 else f"write {first}h{middle}m{last}s"
    elif text.startswith("-") and read_duration(text[1:]) is not None:
        reader.report(node.mark, f"{what} is {text}", low, "out-of-range")
        return
    elif text == NONE:
        remedy = "this one cannot be left open"
    reader.report(node.mark, f"{what} is no duration: '{text}'", remedy, "bad-duration")
