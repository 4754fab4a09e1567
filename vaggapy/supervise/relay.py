"""Between the caller's terminal and the terminal of the one child that owns one: bytes both ways.

The master of the child's terminal is read like any other stream; here is the way in: keys, window size, and
the bytes that ask for the end once the run is stopping.
"""

from __future__ import annotations

import os
import select

from vaggapy.supervise.events import INT, QUIT
from vaggapy.supervise.terminal import INTERRUPT, Terminal, set_size, size
from vaggapy.supervise.terminal import QUIT as QUIT_KEY
from vaggapy.supervise.watches import EDGE, IN

MOST = 4096


class Relay:
    """Keys on their way to `master`; what it does not take yet is kept, and no more is read until it did."""

    __slots__ = ("_pending", "ended", "master", "meant", "ready", "terminal", "watched")

    def __init__(self, terminal: Terminal, master: int) -> None:
        """Relay to `master`, a descriptor of our own that is made non-blocking."""
        os.set_blocking(master, False)
        self.terminal = terminal
        self.master = master
        self.ended = False
        self.meant = 0  # the signal that the last key meant that was passed on, if it was that of INT or QUIT
        self.ready = False
        self.watched = 0
        self._pending = b""

    @property
    def mask(self) -> int:
        """Return what to wait for at the caller's terminal: keys, if they can be passed on.

        Not before the program runs, which is when `ready` is set: its terminal would turn Ctrl+C and Ctrl+Z into
        signals for a process that is not yet the program.
        In the background each key is the shell's and only tells that something happened: perhaps `fg`, which sends
        no signal to a job that runs.
        """
        if self.ended or not self.ready:
            return 0
        if not self.terminal.is_raw:
            return IN | EDGE
        return 0 if self._pending else IN

    @property
    def waits(self) -> bool:
        """Return whether keys wait for the child."""
        return bool(self._pending)

    def take_keys(self, stopping: bool) -> tuple[int, ...]:
        """Read keys and pass them on; return the signals that the keys for INT and QUIT mean while the run is stopping.

        Before that they are the child's own business.
        """
        try:
            keys = os.read(self.terminal.fd, MOST)
        except OSError:
            keys = b""
        if not keys:
            self.ended = True
            return ()
        if stopping:
            return _signals(keys)
        self.meant = INT if keys.endswith(INTERRUPT) else QUIT if keys.endswith(QUIT_KEY) else 0
        self._pending += keys
        self.pass_on()
        return ()

    def give_back(self) -> tuple[int, ...]:
        """Restore the caller's terminal between two runs of a child; return what was meant for us but came too early.

        From here on Ctrl+C is a signal; a moment ago it was still a key, for a child that has ended.
        """
        self.terminal.restore()
        watch = select.poll()
        watch.register(self.terminal.fd, select.POLLIN)
        if not self.terminal.is_foreground() or not watch.poll(0):
            return ()
        try:
            return _signals(os.read(self.terminal.fd, MOST))
        except OSError:
            return ()

    def pass_on(self) -> None:
        """Give the child what waits, as far as it takes it."""
        try:
            self._pending = self._pending[os.write(self.master, self._pending) :]
        except BlockingIOError:
            pass
        except OSError:
            self._pending = b""  # The child has gone.
            self.ended = True

    def resize(self) -> None:
        """Give the child's terminal the size of the caller's."""
        rows, columns = size(self.terminal.fd)
        if rows and columns:
            set_size(self.master, rows, columns)


def _signals(keys: bytes) -> tuple[int, ...]:
    """Return the signals that keys ask for."""
    return tuple(number for key, number in ((INTERRUPT, INT), (QUIT_KEY, QUIT)) if key in keys)
