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


class Terminal:
    """The terminal on descriptor `fd`, with the settings that it had."""

    __slots__ = ("_raw", "_saved", "fd")

    def __init__(self, fd: int = 0) -> None:
        """Remember the settings; nothing changes yet."""
        self.fd = fd
        self._saved: list[Any] = termios.tcgetattr(fd)
        self._raw = False

    @property
    def is_raw(self) -> bool:
        """Return whether the terminal passes everything on."""
        return self._raw

    def is_foreground(self) -> bool:
        """Return whether we may read and change the terminal without being stopped for it."""
        try:
            return os.tcgetpgrp(self.fd) == os.getpgrp()
        except OSError:
            return False

    def make_raw(self) -> None:
        """Pass every byte on as it is typed, and every byte of output as it comes (cfmakeraw(3))."""
        if not self.is_foreground():
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
        self._raw = True

    def restore(self) -> None:
        """Give the terminal back as it was."""
        if self._raw:
            self._raw = False
            self._set(self._saved)

    def _set(self, mode: list[Any]) -> None:
        try:
            termios.tcsetattr(self.fd, termios.TCSADRAIN if self._raw else termios.TCSANOW, mode)
        except (OSError, termios.error):
            pass  # The terminal is gone, so there is nothing to restore.


def settings(fd: int) -> bytes:
    """Return what TCGETS says of a terminal, to give a new one the same; empty if there is none."""
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
