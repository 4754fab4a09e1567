"""The bytes of the children on their way to our outlets: reading, prefixing, back-pressure, and messages between.

When a reader of ours does not keep up, nothing more is read, so the writers wait as with any pipe, and nothing is
lost. Bytes are passed on as they come or, with a feed, as whole lines behind a prefix.
"""

from __future__ import annotations

import os

from vaggapy.supervise.lines import Feed
from vaggapy.supervise.output import Outlet
from vaggapy.supervise.watches import BYTES, CLOSED, IN, OUT, Watches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK = 64 * 1024
PARTIAL_DELAY = 0.1  # seconds until an unfinished line is shown


class Traffic:
    """All streams of a stage and the two outlets. It owns the descriptors that it is given."""

    __slots__ = ("_flushes", "_now", "_paused", "_streams", "_watches", "err", "out")

    def __init__(self, watches: Watches, outlets: tuple[Outlet, Outlet], now: Callable[[], float]) -> None:
        """Begin without streams; `now` gives the loop's time in seconds."""
        self.out, self.err = outlets
        self._watches = watches
        self._now = now
        self._streams: dict[int, tuple[int, Feed | None, Outlet]] = {}
        self._flushes: dict[Feed, tuple[float, Outlet]] = {}
        self._paused = False

    # --- streams ----------------------------------------------------------------------------------------------

    def add(self, owner: int, fd: int, outlet: Outlet, prefix: bytes | None) -> None:
        """Read `fd` for `owner` from now on; without a prefix its bytes are passed on as they come."""
        feed = None if prefix is None else Feed(outlet.sink, prefix)
        self._streams[fd] = (owner, feed, outlet)
        if not self._paused:
            self._watch(fd)

    def of(self, owner: int) -> tuple[int, ...]:
        """Return the descriptors of an owner that are still open."""
        return tuple(fd for fd, (whose, _, _) in self._streams.items() if whose == owner)

    def all(self) -> tuple[int, ...]:
        """Return all open descriptors."""
        return tuple(self._streams)

    def finish(self, owner: int) -> None:
        """Read what an owner, of whom no process is left, has written, and close its streams."""
        for fd in self.of(owner):
            os.set_blocking(fd, False)
            while self._read(fd):
                pass
            self._close(fd)

    def close(self, owner: int) -> None:
        """Close the streams of an owner."""
        for fd in self.of(owner):
            self._close(fd)

    def _watch(self, fd: int) -> None:
        self._watches.add(fd, BYTES, IN, lambda _: self._read(fd))

    def _read(self, fd: int) -> bool:
        """Read one piece; return False where there is no more for now, or for good."""
        _, feed, outlet = self._streams[fd]
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
        return True

    def _close(self, fd: int) -> None:
        """Close a stream, with the last line written even if it has no end. Nothing happens if it is closed."""
        if fd not in self._streams:
            return
        _, feed, outlet = self._streams.pop(fd)
        if feed is not None:
            self._flushes.pop(feed, None)
            outlet.write(feed.flush_partial())
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
