"""What a JSONPath finds in a JSON or YAML text. Pure; the only user of jsonpath.

Text, numbers and truth values become text, lists and mappings JSON. Of several places the first counts; null is
taken as missing. What cannot be read is no error: somebody may be about to write the rest.

Source: supervision-systems.md 3.6.
"""

from __future__ import annotations

import json

from vaggapy.supervise.probes.outcome import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LONGEST_VARIABLE = 128 * 1024 - 256
"""Bytes: the kernel takes no longer `NAME=value`, name and equals sign included."""


def look_up(text: str, is_yaml: bool, path: str, variable: str = "") -> Outcome:
    """Return what is at `path`; with a `variable`, only if an environment variable can hold it."""
    read = _yaml(text) if is_yaml else _json(text)
    if isinstance(read, Outcome):
        return read
    from jsonpath import JSONPathEnvironment, JSONPathError  # 130 ms, and few look into files

    try:
        match = JSONPathEnvironment(strict=True).match(path, read[0])
    except JSONPathError as error:
        # Not str(error), which fails for an empty path.
        return Outcome(False, f"the key is no JSONPath: {error.args[0] if error.args else path}")
    except RecursionError:
        return Outcome(False, "the key is nested too deep")
    if match is None:
        return Outcome(False, "it has no such key")
    if match.obj is None:
        return Outcome(False, "the key is null")
    return _held(as_text(match.obj), variable)


def as_text(value: object) -> str:
    """Return what a variable gets for a value."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _json(text: str) -> tuple[Any] | Outcome:
    """Return what a text stands for, in a tuple, or why it cannot be read."""
    try:
        return (json.loads(text),)
    except ValueError as error:
        return Outcome(False, f"not valid JSON: {_first_line(error)}")
    except RecursionError:
        return Outcome(False, "nested too deep")


def _yaml(text: str) -> tuple[Any] | Outcome:
    """Return what a text stands for, in a tuple, or why it cannot be read."""
    from vaggapy.config.tree import plain_values  # 60 ms, and few files are YAML

    value, problems = plain_values(text)
    if problems:
        first = problems[0]
        return Outcome(False, f"not valid YAML: line {first.mark.line}: {first.what}")
    return (value,)


def _held(value: str, variable: str) -> Outcome:
    """Return a value as the outcome, unless it is for a variable that cannot have it."""
    if variable:
        if "\0" in value or (not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value)):
            return Outcome(False, f"${variable} cannot hold a NUL or half a character")
        if len(variable) + 2 + len(value.encode()) > LONGEST_VARIABLE:
            return Outcome(False, f"${variable} can hold {LONGEST_VARIABLE // 1024} KiB, and the value is longer")
    return Outcome(True, "", value)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
