"""The caller's terminal, while a child owns one of its own: raw here, everything passed on, restored at the end.

In raw mode Ctrl+C and Ctrl+Z are bytes like any others: the terminal of the child's container turns them into
signals, exactly once, for exactly the processes that they are meant for.
"""

from __future__ import annotations

import fcntl
import os
import termios

from vaggapy.sandbox.init import TCGETS, TIOCSWINSZ, window_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

INTERRUPT = b"\x03"
QUIT = b"\x1c"
IFLAG, OFLAG, CFLAG, LFLAG, CC = 0, 1, 2, 3, 6
SETTINGS_SIZE = 36
ENOTTY = 25


class Terminal:
    """The terminal on descriptor `fd`, with the settings that it had.

    `settings`: those of TCGETS at the start, to give a new one the same; empty in the background, where they are
    what the shell needs for its own prompt.
    """

    __slots__ = ("_raw", "_saved", "fd", "settings")

    def __init__(self, fd: int = 0) -> None:
        """Remember the settings; nothing changes yet."""
        self.fd = fd
        self.settings = settings(fd) if self.is_foreground() else b""
        self._saved: list[Any] = []
        self._raw = False

    @property
    def is_raw(self) -> bool:
        """Return whether the terminal passes everything on."""
        return self._raw

    def is_foreground(self) -> bool:
        """Return whether we may read and change the terminal without being stopped for it.

        One that does not control our session has no foreground: it belongs to whoever has it open.
        """
        try:
            return os.tcgetpgrp(self.fd) == os.getpgrp()
        except OSError as error:
            return error.errno == ENOTTY

    def make_raw(self) -> None:
        """Pass every byte on as it is typed, and every byte of output as it comes (cfmakeraw(3)).

        In the background the terminal is somebody else's: it is left alone.
        """
        was_raw, self._raw = self._raw, self.is_foreground()
        if not self._raw:
            return
        if not was_raw:
            self._saved = self._get()
        if not self._saved:
            return
        mode = list(self._saved)
        mode[IFLAG] &= ~(
            termios.IGNBRK
            | termios.BRKINT
            | termios.PARMRK
            | termios.ISTRIP
            | termios.INLCR
            | termios.IGNCR
            | termios.ICRNL
            | termios.IXON
        )
        mode[OFLAG] &= ~termios.OPOST
        mode[CFLAG] = mode[CFLAG] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        mode[LFLAG] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        mode[CC] = list(mode[CC])
        mode[CC][termios.VMIN] = 1
        mode[CC][termios.VTIME] = 0
        self._set(mode)

    def restore(self) -> None:
        """Give the terminal back as it was, unless somebody else has taken it."""
        if self._raw and self._saved and self.is_foreground():
            self._set(self._saved)
        self._raw = False

    def _get(self) -> list[Any]:
        try:
            return termios.tcgetattr(self.fd)
        except (OSError, termios.error):
            return []  # The terminal is gone.

    def _set(self, mode: list[Any]) -> None:
        try:
            termios.tcsetattr(self.fd, termios.TCSANOW, mode)
        except (OSError, termios.error):
            pass  # The terminal is gone, so there is nothing to restore.


def settings(fd: int) -> bytes:
    """Return what TCGETS says of a terminal; empty if there is none."""
    try:
        return bytes(fcntl.ioctl(fd, TCGETS, bytes(60)))[:SETTINGS_SIZE]
    except OSError:
        return b""


def size(fd: int) -> tuple[int, int]:
    """Return rows and columns, (0, 0) if unknown."""
    try:
        found = os.get_terminal_size(fd)
    except OSError:
        return 0, 0
    return found.lines, found.columns


def set_size(fd: int, rows: int, columns: int) -> None:
    """Set the size of the terminal behind a master; its foreground group gets SIGWINCH."""
    try:
        fcntl.ioctl(fd, TIOCSWINSZ, window_size(rows, columns))
    except OSError:
        pass  # The child is gone already.
