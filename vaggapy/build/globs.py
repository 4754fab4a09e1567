"""Globs and regular expressions as what decides on the paths of a tree; `rules` says what they mean. Pure."""

from __future__ import annotations

import re

from vaggapy.build.rules import ENTER, SKIP, TAKE
from vaggapy.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Expressions:
    """Everything but what one expression finds, or of that only what another finds; "" for none."""

    def __init__(self, ignore: str, include: str) -> None:
        """Compile both."""
        self._ignore = _expression(ignore).search if ignore else None
        self._include = _expression(include).search if include else None

    def verdict(self, path: str, is_directory: bool) -> str:
        """Return SKIP for what is ignored, TAKE for what is included; directories are entered all the same."""
        if self._ignore is not None and self._ignore(path):
            return SKIP
        if self._include is None or self._include(path):
            return TAKE
        return ENTER if is_directory else SKIP


def _expression(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise CommandError(
            f"regular expression {text!r}: {error}",
            "correct it; see Python's `re` for what may be written",
            "bad-regex",
        ) from error


class _Rule:
    """One rule: whether it includes, is for directories only, what it names and what is on the way there."""

    def __init__(self, text: str) -> None:
        self.includes = not text.startswith("!")
        glob = text if self.includes else text[1:]
        self.directories = glob.endswith("/") and not glob.endswith("\\/")
        self.anchored = glob.startswith("/")
        within = "/" in glob
        names = _split(glob.strip("/") if not glob.endswith("\\/") else glob.lstrip("/"))
        try:
            self.parts = [None if name == "**" else _translate(name, within) for name in names]
        except (ValueError, re.error) as error:
            raise CommandError(f"rule {text!r}: {error}", "correct the glob", "bad-rule") from error
        self.top = not names
        if self.top and not self.anchored:
            raise CommandError(f"rule {text!r}: it names nothing", "write a name, or / for everything", "bad-rule")

    def exact(self) -> str:
        """Return the expression for the paths that the rule names; the top is the empty path."""
        return "" if self.top else ("" if self.anchored else "(?:.*/)?") + _join(self.parts)

    def above(self) -> list[str]:
        """Return the expressions for the directories between the top and what a rule with a place includes."""
        if not (self.includes and self.anchored):
            return []
        found = []
        for count in range(1, len(self.parts)):
            if self.parts[count - 1] is None:
                found.append(_join([*self.parts[: count - 1], ".+"]))
                break
            found.append(_join(self.parts[:count]))
        return found


def _split(glob: str) -> list[str]:
    """Return the names of a glob; several slashes are one, and one in brackets is none of ours."""
    return [name for name in glob.split("/") if name]


def _join(parts: Iterable[str | None]) -> str:
    """Return one expression for names, where None stands for any number of directories."""
    text, slash = "", False
    waiting = False
    for part in parts:
        if part is None:
            waiting = True
            continue
        text += ("/" if slash else "") + ("(?:.*/)?" if waiting else "") + part
        slash, waiting = True, False
    if waiting:
        text += "/.+" if slash else ".+"
    return text


def _translate(glob: str, within: bool) -> str:
    """Return one name of a glob as an expression; `within`: `*` and `?` match no slash."""
    any_one = "[^/]" if within else "."
    text, at = "", 0
    while at < len(glob):
        letter = glob[at]
        at += 1
        if letter == "*":
            text += f"{any_one}*"
            while glob[at : at + 1] == "*":
                at += 1
        elif letter == "?":
            text += any_one
        elif letter == "\\":
            if at == len(glob):
                raise ValueError("nothing follows the last backslash")
            text += re.escape(glob[at])
            at += 1
        elif letter == "[":
            part, at = _brackets(glob, at)
            text += part
        else:
            text += re.escape(letter)
    return text


def _brackets(glob: str, at: int) -> tuple[str, int]:
    """Return the expression for the class that begins before `at`, and where it has ended."""
    negated = glob[at : at + 1] in ("!", "^")
    at += negated
    members, first = "", True
    while True:
        letter = glob[at : at + 1]
        if not letter:
            raise ValueError("a bracket is not closed")
        at += 1
        if letter == "]" and not first:
            break
        if letter == "\\":
            letter = glob[at : at + 1]
            at += 1
            members += re.escape(letter)
        elif letter == "-" and not first and glob[at : at + 1] not in ("]", ""):
            members += "-"
        else:
            members += re.escape(letter)
        first = False
    return f"(?!/)[{'^' if negated else ''}{members}]", at


class Rules:
    """Glob rules, compiled to three expressions for all rules together."""

    def __init__(self, rules: tuple[str, ...]) -> None:
        """Compile the rules; of several that match, the one that was written last is tried first."""
        compiled = [_Rule(text) for text in rules]
        self._last = tuple(reversed(compiled))
        self._directory = _alternatives(rule.exact() for rule in self._last)
        self._files = tuple(rule for rule in self._last if not rule.directories)
        self._file = _alternatives(rule.exact() for rule in self._files)
        self._below = _alternatives("(?s:.*)" if rule.top else rule.exact() + "/.*" for rule in self._last)
        ways = [(place, way) for place, rule in enumerate(compiled) for way in rule.above()]
        ways.reverse()
        self._ways = _alternatives(way for _, way in ways)
        self._way_places = tuple(place for place, _ in ways)
        self._known = ("", SKIP)
        self._known = ("", self._from_above("x"))

    def verdict(self, path: str, is_directory: bool) -> str:
        """Return TAKE, ENTER (a directory that counts with something in it only) or SKIP."""
        if not is_directory:
            found = self._file(path)
            if found is not None:
                return TAKE if self._files[_index(found)].includes else SKIP
            return TAKE if self._inherited(path) == ENTER else SKIP
        found = self._directory(path)
        if found is not None:
            place = _index(found)
            rule = self._last[place]
            if rule.includes:
                return TAKE if rule.directories else ENTER
            way = self._ways(path)
            later = way is not None and self._way_places[_index(way)] > len(self._last) - 1 - place
            return ENTER if later else SKIP
        if self._ways(path) is not None:
            return ENTER
        return self._inherited(path)

    def _inherited(self, path: str) -> str:
        """Return what the rules for directories above say; it is the same for all entries of one directory."""
        above = path.rpartition("/")[0]
        if self._known[0] != above:
            self._known = (above, self._from_above(path))
        return self._known[1]

    def _from_above(self, path: str) -> str:
        found = self._below(path)
        return ENTER if found is not None and self._last[_index(found)].includes else SKIP


def _index(found: re.Match[str]) -> int:
    """Return which alternative has matched."""
    return (found.lastindex or 1) - 1


def _alternatives(expressions: Iterable[str]) -> Callable[[str], re.Match[str] | None]:
    """Return what matches a whole path with the first expression that does, as group 1, 2, ..."""
    text = "|".join(f"({expression})" for expression in expressions)
    return re.compile(text or "(?!)", re.DOTALL).fullmatch
