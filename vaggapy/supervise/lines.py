"""Put `name | ` before every line of several children that share one output. Pure: bytes in, bytes to write out.

A `Feed` takes the bytes of one stream of one child and gives back whole lines only; what follows the last
newline waits for more, or for `flush_partial`, which the caller calls when 100 ms went by. All feeds that end
up in one place (a file, a pipe, a terminal) share one `Sink`, which knows whose line is unfinished there: the
same feed goes on with it, any other one first breaks the line. Nothing is lost, replaced or held back for
good, whatever the bytes are. There is no loop over lines here, which is what makes this fast.
"""

from __future__ import annotations

from vaggapy.errors import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

LIMIT = 64 * 1024
"""A line that reaches this many bytes is written in pieces as they come (6.5 of docs/supervision.md)."""

COLOURS = (b"36", b"33", b"32", b"35", b"94", b"91")
"""ANSI foregrounds that can be read on dark and on light: cyan, yellow, green, magenta, bright blue and red."""


def prefixes(names: Iterable[str], colour: bool) -> dict[str, bytes]:
    """Return `name | ` for every name, all of one width; with ANSI colours if `colour`."""
    shown = {name: visible(name) for name in names}
    width = max(map(len, shown.values()), default=0)
    return {name: _prefix(name, text.ljust(width), colour) for name, text in shown.items()}


def _prefix(name: str, text: str, colour: bool) -> bytes:
    plain = text.encode("utf-8", "replace") + b" | "
    if not colour:
        return plain
    return b"\x1b[" + COLOURS[_hash(name) % len(COLOURS)] + b"m" + plain + b"\x1b[0m"


def _hash(name: str) -> int:
    """Return the FNV-1a of `name`: the same in every run, which `hash()` is not."""
    value = 0x811C9DC5
    for byte in name.encode("utf-8", "replace"):
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value >> 16 ^ value


class Sink:
    """One place of output, shared by all feeds that write there: it knows whose line is unfinished."""

    __slots__ = ("owner",)

    def __init__(self) -> None:
        self.owner: Feed | None = None

    def break_line(self) -> bytes:
        """Return what must be written before text of another origin: a newline, or nothing."""
        if self.owner is None:
            return b""
        self.owner = None
        return b"\n"


class Feed:
    """One stream of one child on its way to a sink.

    What the methods return must be written before any feed of the same sink is asked again.
    """

    __slots__ = ("_between", "_kept", "_prefix", "_sink", "_size")

    def __init__(self, sink: Sink, prefix: bytes) -> None:
        self._sink = sink
        self._prefix = prefix
        self._between = b"\n" + prefix
        self._kept: list[bytes] = []
        self._size = 0

    @property
    def pending(self) -> bool:
        """Tell whether bytes wait for the end of their line, so that a flush is to be planned."""
        return self._size > 0

    def take(self, chunk: bytes) -> bytes:
        """Return the lines that `chunk` completes, prefixed, and keep the rest."""
        cut = chunk.rfind(b"\n")
        if cut < 0:
            self._keep(chunk)
            return self.flush_partial() if self._size >= LIMIT else b""
        start = self._start()
        self._kept.append(chunk[:cut].replace(b"\n", self._between))
        body = b"".join((start, *self._kept, b"\n"))
        self._sink.owner = None
        self._kept.clear()
        self._size = 0
        self._keep(chunk[cut + 1 :])
        return body + self.flush_partial() if self._size >= LIMIT else body

    def flush_partial(self) -> bytes:
        """Return what is kept of an unfinished line; the next bytes continue it if nothing else was written.

        To be called 100 ms after the bytes came, and at the end of the stream.
        """
        if not self._size:
            return b""
        body = b"".join((self._start(), *self._kept))
        self._sink.owner = self
        self._kept.clear()
        self._size = 0
        return body

    def _start(self) -> bytes:
        """Return what goes before the kept bytes, as the sink stands."""
        if self._sink.owner is self:
            return b""
        return self._sink.break_line() + self._prefix

    def _keep(self, chunk: bytes) -> None:
        if chunk:
            self._kept.append(chunk)
            self._size += len(chunk)
