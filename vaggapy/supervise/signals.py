"""Signals to the supervisor as bytes on a descriptor: no handler does work.

Installed before anything else happens, so that a signal during preparations is known when the loop begins.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Mapping
    from types import FrameType
else:
    import _signal

HUP, INT, QUIT, TERM, CONT, TSTP = 1, 2, 3, 15, 18, 20
USR1, USR2, WINCH = 10, 12, 28
HANGUP = 1000  # as in `events`, which is not imported that early, and so are the next two, of `config.rules`
TERMINATE, IGNORE = "terminate", "ignore"
TAKEN = (INT, QUIT, TERM, TSTP, CONT, WINCH)
ASKING = (INT, QUIT, TERM, HUP)
ASIDE = (USR1, USR2)
"""Ignored, unless rules take them."""


class Signals:
    """The signals that arrived and were not read yet. `asked`: how many of those that were read ask for the end."""

    __slots__ = ("_had_terminal", "_kept", "_overtaken", "_read", "_spares_hangup", "_write", "asked", "obeys_hangup")

    def __init__(self) -> None:
        """Take over the signals of this process; a SIGHUP that was ignored at start (nohup) stays ignored.

        What else was ignored or blocked by the caller is not: vagga must be able to stop.
        """
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._kept = b""
        self._overtaken = False
        self._spares_hangup = False
        self._had_terminal = False
        self.asked = 0
        _signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in TAKEN:
            _signal.signal(number, _note)
        self.obeys_hangup = _signal.getsignal(HUP) != _signal.SIG_IGN
        if self.obeys_hangup:
            _signal.signal(HUP, _note)
        for number in ASIDE:
            _signal.signal(number, _signal.SIG_IGN)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())

    def fileno(self) -> int:
        """Return the descriptor that is readable when a signal came."""
        return self._read

    def take(self, rules: Mapping[int, str]) -> None:
        """Have HUP, USR1 and USR2 do what `Rules.signals` says; without an entry they do what they did before.

        A SIGHUP that was ignored at start stays ignored.
        """
        for number in ASIDE:
            _signal.signal(number, _note if rules.get(number, IGNORE) != IGNORE else _signal.SIG_IGN)
        self._spares_hangup = rules.get(HUP, TERMINATE) != TERMINATE
        self._had_terminal = self._spares_hangup and _has_terminal()

    def read(self) -> tuple[int, ...]:
        """Return the signals that came, each once, in their order.

        HANGUP stands for a SIGHUP that rules spare, where it says that the terminal is gone.
        """
        self._kept += self._arrived()
        numbers, self._kept = self._kept, b""
        self._overtaken = numbers.rfind(CONT) > numbers.rfind(TSTP)
        found = tuple(dict.fromkeys(numbers))
        if HUP in found and self._spares_hangup:
            if self._had_terminal and not _has_terminal():
                found = tuple(HANGUP if number == HUP else number for number in found)
            else:
                self.asked -= numbers.count(HUP)
        self.asked += sum(number in ASKING for number in numbers)
        return found

    def _arrived(self) -> bytes:
        try:
            return os.read(self._read, 512)
        except BlockingIOError:
            return b""

    def stop_here(self) -> None:
        """Stop this process, as the SIGTSTP that was read last would have done by default.

        Returns when the process goes on: at once if it may not stop, or if a SIGCONT came after that SIGTSTP. One
        that comes after the SIGTSTP below takes it back, as it is blocked still; those before it have been written
        to the descriptor by then.
        """
        _signal.pthread_sigmask(_signal.SIG_BLOCK, (TSTP,))
        os.kill(os.getpid(), TSTP)
        self._kept = self._arrived()
        overtaken = self._overtaken or CONT in self._kept
        _signal.signal(TSTP, _signal.SIG_IGN if overtaken else _signal.SIG_DFL)
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (TSTP,))
        _signal.signal(TSTP, _note)


def _has_terminal() -> bool:
    """Return whether this process has a controlling terminal."""
    try:
        fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    os.close(fd)
    return True


def _note(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the interpreter has written the number to the wake-up descriptor."""
