"""Where bytes leave vagga: standard output and standard error, without ever blocking the loop on a slow reader.

An `Outlet` is one place; if descriptors 1 and 2 are the same place, there is one outlet, so that lines and
messages keep their order. A pipe or terminal is opened anew, non-blocking: the flag belongs to the open file
that the caller's shell shares with us, so it must not be set on descriptor 1 itself.
"""

from __future__ import annotations

import os
import select
import stat

from vaggapy.supervise import lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.supervise.signals import Signals

EINTR, EAGAIN, ENOSPC, EPIPE, EIO = 4, 11, 28, 32, 5
SMALL = 4096
FULL = 1024 * 1024
ROOM = 256 * 1024
LAST_WORDS = 5.0  # seconds without progress that a slow reader has for the rest


class Outlet:
    """One place that takes bytes. What it cannot take yet is kept, up to `FULL` bytes as long as callers ask `full`."""

    __slots__ = ("_direct", "_own", "_pending", "_size", "closed", "fd", "is_terminal", "lost", "sink")

    def __init__(self, fd: int) -> None:
        """Prepare to write to descriptor `fd`, which stays the caller's."""
        self.sink = lines.Sink()
        self.closed = False
        self.lost = 0
        self._pending: list[bytes] = []
        self._size = 0
        self._own = -1
        self._direct = True
        self.fd = fd
        mode = _mode(fd)
        self.is_terminal = _is_terminal(fd)
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or self.is_terminal:
            self._direct = False
            self._own = _reopen(fd)
            self.fd = self._own if self._own >= 0 else fd

    @property
    def waits(self) -> bool:
        """Return whether bytes wait for the reader."""
        return self._size > 0

    @property
    def full(self) -> bool:
        """Return whether so much waits that nothing more should be read for this outlet."""
        return self._size > FULL

    @property
    def has_room(self) -> bool:
        """Return whether reading for this outlet may go on."""
        return self._size < ROOM

    @property
    def can_be_watched(self) -> bool:
        """Return whether epoll takes the descriptor; files and /dev/null are always ready."""
        return not self._direct

    def write(self, data: bytes) -> None:
        """Write now what can be written, keep the rest."""
        if not data or self.closed:
            return
        self._pending.append(data)
        self._size += len(data)
        self.flush()

    def flush(self) -> None:
        """Write what waits, as far as it goes."""
        while self._pending and not self.closed:
            data = self._pending[0]
            if self._own < 0 and not self._direct:
                if not _is_ready(self.fd):
                    return
                data = data[:SMALL]
            try:
                written = os.write(self.fd, data)
            except OSError as error:
                if error.errno == EAGAIN:
                    return
                self._give_up(error.errno or 0)
                return
            self._advance(written)

    def finish(self, signals: Signals, patient: bool = True) -> None:
        """Wait until everything is written, once everything else is over.

        A pager may take its time: nothing is given up but for a second signal that asks for the end (or a new one), or
        for `LAST_WORDS` seconds without progress after the first one, or if not `patient`.
        """
        enough = max(2, signals.asked + 1)
        watch = select.poll()
        watch.register(self.fd, select.POLLOUT)
        watch.register(signals.fileno(), select.POLLIN)
        while self.waits and not self.closed and signals.asked < enough:
            before = self._size
            self.flush()
            if self._size == before and not watch.poll(None if patient and not signals.asked else LAST_WORDS * 1000):
                return
            signals.read()

    def close(self) -> None:
        """Close the descriptor that was opened here."""
        if self._own >= 0:
            os.close(self._own)
            self._own = -1
        self.closed = True

    def _advance(self, written: int) -> None:
        self._size -= written
        first = self._pending[0]
        if written == len(first):
            self._pending.pop(0)
        else:
            self._pending[0] = first[written:]

    def _give_up(self, number: int) -> None:
        """Note that nothing can be written any more: the reader is gone, or the disk is full."""
        self._pending.clear()
        self._size = 0
        if number == ENOSPC:
            self.lost = number
        else:
            self.closed = True


def outlets() -> tuple[Outlet, Outlet]:
    """Return the outlets of descriptors 1 and 2: the same one twice where both lead to the same place."""
    out = Outlet(1)
    if _same(1, 2):
        return out, out
    return out, Outlet(2)


def _mode(fd: int) -> int:
    try:
        return os.fstat(fd).st_mode
    except OSError:
        return 0


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


def _same(one: int, other: int) -> bool:
    try:
        first, second = os.fstat(one), os.fstat(other)
    except OSError:
        return False
    return (first.st_dev, first.st_ino, first.st_rdev) == (second.st_dev, second.st_ino, second.st_rdev)


def _reopen(fd: int) -> int:
    """Open the pipe or terminal of `fd` once more, non-blocking; -1 where that is not possible."""
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return -1


def _is_ready(fd: int) -> bool:
    """Return whether a small blocking write to `fd` would not block."""
    watch = select.poll()
    watch.register(fd, select.POLLOUT)
    return bool(watch.poll(0))
