"""The bytes of the children on their way to our outlets: reading, prefixing, back-pressure, and messages between.

When a reader of ours does not keep up, nothing more is read, so the writers wait as with any pipe, and nothing is
lost. Bytes are passed on as they come or, with a feed, as whole lines behind a prefix. On their way the last lines of
each child are kept, and those that have a wanted text are told.
"""

from __future__ import annotations

import os

from vaggapy.supervise.lines import Feed
from vaggapy.supervise.output import Outlet
from vaggapy.supervise.watches import BYTES, CLOSED, IN, OUT, Watches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from vaggapy.supervise.matching import Matcher

CHUNK = 64 * 1024
PARTIAL_DELAY = 0.1  # seconds until an unfinished line is shown
LAST_LINES = 10
PIECE = 4 * 1024  # bytes that are kept of a stream until another one of the child speaks
PIECES = 8
LARGEST_FREED = 1024 * 1024
MOST_PIECES = 256
"""Reads for the rest of a stream: a pipe holds 16, and a process of another child, that was given it, may go on."""


class Stream:
    """One stream: who writes it, where it goes, and who listens. `last`: the pieces of its child's last output."""

    __slots__ = ("feed", "last", "matcher", "outlet", "owner")

    def __init__(
        self,
        owner: int,
        outlet: Outlet,
        feed: Feed | None,
        last: list[tuple[int, bytes]] | None,
        matcher: Matcher | None,
    ) -> None:
        """Keep what belongs together."""
        self.owner = owner
        self.outlet = outlet
        self.feed = feed
        self.last = last
        self.matcher = matcher


class Traffic:
    """All streams of a stage and the two outlets. It owns the descriptors that it is given."""

    __slots__ = (
        "_flushes",
        "_found",
        "_last",
        "_now",
        "_paused",
        "_prefixes",
        "_streams",
        "_wanted",
        "_watches",
        "err",
        "out",
    )

    def __init__(
        self,
        watches: Watches,
        outlets: tuple[Outlet, Outlet],
        now: Callable[[], float],
        prefixes: Mapping[str, bytes],
        keeps_last: bool,
    ) -> None:
        """Begin without streams.

        `now` gives the loop's time in seconds, `prefixes` what stands before the lines of a child; bytes of one without
        are passed on as they come. `keeps_last`: whether somebody will ask for the last lines.
        """
        self.out, self.err = outlets
        self._watches = watches
        self._now = now
        self._prefixes = prefixes
        self._last: dict[str, list[tuple[int, bytes]]] | None = {} if keeps_last else None
        self._wanted: Mapping[str, tuple[str, ...]] = {}
        self._found: Callable[[int, str], None] = _nobody
        self._streams: dict[int, Stream] = {}
        self._flushes: dict[Feed, tuple[float, Outlet]] = {}
        self._paused = False
        if keeps_last:
            # malloc(3) of glibc gives memory back to the kernel at once, and asks for it again with the next
            # chunk, until it has seen something as large come and go: 70 times as many page faults, half the lines.
            bytes(LARGEST_FREED)

    # --- streams ----------------------------------------------------------------------------------------------

    def look_for(self, wanted: Mapping[str, tuple[str, ...]], found: Callable[[int, str], None]) -> None:
        """Call `found` with the owner and the text when a child, by name, prints one of the texts wanted of it."""
        self._wanted = wanted
        self._found = found

    def add(self, owner: int, name: str, fd: int, outlet: Outlet) -> None:
        """Read `fd`, for one run (`owner`) of the child `name`, from now on."""
        prefix = self._prefixes.get(name)
        feed = None if prefix is None else Feed(outlet.sink, prefix)
        last = self._last.setdefault(name, []) if self._last is not None else None
        matcher = None
        if name in self._wanted:
            from vaggapy.supervise.matching import Matcher  # only where rules look for something

            matcher = Matcher(self._wanted[name])
        self._streams[fd] = Stream(owner, outlet, feed, last, matcher)
        if not self._paused:
            self._watch(fd)

    def of(self, owner: int) -> tuple[int, ...]:
        """Return the descriptors of an owner that are still open."""
        return tuple(fd for fd, stream in self._streams.items() if stream.owner == owner)

    def tail(self, name: str) -> tuple[bytes, ...]:
        """Return the last lines of a child, in the order in which they were completed, as far as they were kept."""
        return joined((self._last or {}).get(name, ()))

    def all(self) -> tuple[int, ...]:
        """Return all open descriptors."""
        return tuple(self._streams)

    def finish(self, owner: int) -> None:
        """Read what an owner, of whom no process is left, has written, and close its streams."""
        for fd in self.of(owner):
            os.set_blocking(fd, False)
            for _ in range(MOST_PIECES):
                if not self._read(fd):
                    break
            self._close(fd)

    def close(self, owner: int) -> None:
        """Close the streams of an owner."""
        for fd in self.of(owner):
            self._close(fd)

    def _watch(self, fd: int) -> None:
        self._watches.add(fd, BYTES, IN, lambda _: self._read(fd))

    def _read(self, fd: int) -> bool:
        """Read one piece; return False where there is no more for now, or for good."""
        stream = self._streams[fd]
        feed, outlet = stream.feed, stream.outlet
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""  # A terminal whose other side is closed gives EIO.
        if not data:
            self._close(fd)
            return False
        if feed is None:
            outlet.write(data)
        else:
            outlet.write(feed.take(data))
            if feed.pending:
                self._flushes.setdefault(feed, (self._now() + PARTIAL_DELAY, outlet))
        if outlet.full and not self._paused:
            self._paused = True
            for each in self._streams:
                self._watches.remove(each)
        if stream.last is not None:
            _keep(stream.last, fd, data)
        if stream.matcher is not None:
            self._match(stream, stream.matcher, data)
        return True

    def _match(self, stream: Stream, matcher: Matcher, data: bytes) -> None:
        """Tell which of the wanted texts came with `data`."""
        found = matcher.take(data)
        if not matcher.wanted:
            stream.matcher = None
        for text in found:
            self._found(stream.owner, text)

    def _close(self, fd: int) -> None:
        """Close a stream, with the last line written even if it has no end. Nothing happens if it is closed."""
        if fd not in self._streams:
            return
        stream = self._streams.pop(fd)
        if stream.feed is not None:
            self._flushes.pop(stream.feed, None)
            stream.outlet.write(stream.feed.flush_partial())
        if stream.last and stream.last[-1][0] == fd and not stream.last[-1][1].endswith(b"\n"):
            _keep(stream.last, fd, b"\n")  # what the next run writes is a line of its own
        self._watches.remove(fd)
        os.close(fd)

    # --- time -------------------------------------------------------------------------------------------------

    def deadlines(self) -> tuple[float, ...]:
        """Return when unfinished lines are due."""
        return tuple(at for at, _ in self._flushes.values())

    def flush_due(self) -> None:
        """Write the unfinished lines that have waited long enough."""
        now = self._now()
        for feed in [feed for feed, (at, _) in self._flushes.items() if at <= now]:
            _, outlet = self._flushes.pop(feed)
            outlet.write(feed.flush_partial())

    # --- outlets ----------------------------------------------------------------------------------------------

    def watch_outlets(self) -> None:
        """Wait for room where bytes wait, for closed readers always, and go on reading where there is room."""
        for outlet in {self.out, self.err}:
            if outlet.can_be_watched and not outlet.closed:
                mask = OUT if outlet.waits else 0
                if outlet.fd in self._watches:
                    self._watches.change(outlet.fd, mask)
                else:
                    self._watches.add(outlet.fd, BYTES, mask, self._room_for(outlet))
            elif outlet.closed:
                self._watches.remove(outlet.fd)
        if self._paused and self.out.has_room and self.err.has_room:
            self._paused = False
            for fd in self._streams:
                self._watch(fd)

    def message(self, text: str) -> None:
        """Write a text for people to standard error, on a line of its own."""
        self.err.write(self.err.sink.break_line() + text.encode("utf-8", "replace"))

    def _room_for(self, outlet: Outlet) -> Callable[[int], object]:
        def take_room(events: int) -> None:
            if events & CLOSED and not events & OUT:
                outlet.closed = True
            outlet.flush()

        return take_room


def joined(pieces: Iterable[tuple[int, bytes]]) -> tuple[bytes, ...]:
    """Return the last lines of pieces of several streams; what is not completed comes last."""
    begun: dict[int, bytes] = {}
    lines: list[bytes] = []
    for fd, piece in pieces:
        *whole, begun[fd] = (begun.get(fd, b"") + piece).split(b"\n")
        lines += whole
    lines += [line for line in begun.values() if line]
    return tuple(lines[-LAST_LINES:])


def _keep(last: list[tuple[int, bytes]], fd: int, data: bytes) -> None:
    """Add to the last output of a child: neighbours of one stream become one piece, and old ones go."""
    if len(data) < PIECE and last and last[-1][0] == fd:
        data = last.pop()[1] + data
    last.append((fd, data[-PIECE:]))
    if len(last) > PIECES:
        del last[0]


def _nobody(_owner: int, _text: str) -> None:
    """Look for nothing."""
