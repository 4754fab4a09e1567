"""Find texts in the output of a child, wherever the pieces are cut and whatever colours it. Pure: bytes in, texts out.

A text has no newline in it, so it is found as soon as it is there: its line need not be complete, nor ever be. Only the
last bytes are kept, less than the longest text has, whatever the length of a line.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_SEQUENCE = 4096
"""An escape sequence that has no end within so many bytes is text."""

_SEQUENCE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-Z\\^-~])")
"""ECMA-48: a control sequence, an operating system command, any other escape sequence."""
_BEGUN = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*\x1b?|[ -/]*)\Z")


class Matcher:
    """Looks for texts in one stream of one run of a child, each until it is found."""

    __slots__ = ("_begun", "_kept", "_longest", "wanted")

    def __init__(self, wanted: Iterable[str]) -> None:
        """Look for each of `wanted`."""
        self.wanted = {text: text.encode("utf-8", "surrogateescape") for text in wanted}
        self._longest = max(map(len, self.wanted.values()), default=0)
        self._kept = b""
        self._begun = b""

    def take(self, chunk: bytes) -> tuple[str, ...]:
        """Return the texts that are seen now for the first time."""
        data = self._begun + chunk
        self._begun = b""
        if b"\x1b" in data:
            begun = _BEGUN.search(data)
            if begun is not None and len(data) - begun.start() <= LONGEST_SEQUENCE:
                data, self._begun = data[: begun.start()], data[begun.start() :]
            data = _SEQUENCE.sub(b"", data)
        data = self._kept + data
        found = tuple(text for text, wanted in self.wanted.items() if wanted in data)
        for text in found:
            del self.wanted[text]
        self._kept = data[max(0, len(data) - self._longest + 1) :] if self._longest else b""
        return found
