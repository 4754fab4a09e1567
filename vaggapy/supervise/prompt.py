"""The question that ends a pause before the stop: what the user may do meanwhile, and the ENTER that is waited for.

Loaded only for a pause. Keys come from the terminal on descriptor 0, which no child reads then. Ctrl+C and Ctrl+Z are
signals, as always.
"""

from __future__ import annotations

import os
import select
import termios

from vaggapy.errors import visible
from vaggapy.supervise.terminal import Terminal
from vaggapy.supervise.watches import BYTES, CLOSED, EDGE, IN

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Iterable

    from vaggapy.supervise.children import Live
    from vaggapy.supervise.watches import Watches
else:
    import _signal

KEYBOARD = 0
MOST = 4096
SIGTTIN, SIGTTOU = 21, 22
MOST_SHOWN = 10
ANSWER = "vagga: ENTER or Ctrl+C goes on with the stop\n"
BEHIND = "vagga: this job is in the background: `fg` first, then ENTER or Ctrl+C goes on with the stop\n"


class Prompt:
    """One pause. It owns no descriptor."""

    __slots__ = ("_answered", "_tell", "_terminal", "_watches")

    def __init__(self, watches: Watches, tell: Callable[[str], None], answered: Callable[[bool], None]) -> None:
        """Begin to wait for ENTER, and ask for it. `answered` is told whether the terminal is gone.

        What was typed before was not meant for us, and is dropped. In the background the keys are the shell's, but each
        one tells that something has happened: perhaps `fg`.
        """
        self._watches = watches
        self._tell = tell
        self._answered = answered
        self._terminal = Terminal(KEYBOARD)
        # Whoever loses the foreground at the wrong moment gets EIO instead of being stopped.
        _signal.signal(SIGTTIN, _signal.SIG_IGN)
        if self._terminal.is_foreground():
            self._drop_keys()
        watches.add(KEYBOARD, BYTES, IN | EDGE, self._take_keys)
        self.ask()

    def ask(self) -> None:
        """Say what is waited for, at first and after a suspension."""
        self._tell(ANSWER if self._terminal.is_foreground() else BEHIND)

    def close(self) -> None:
        """Wait no more."""
        self._watches.remove(KEYBOARD)
        _signal.signal(SIGTTIN, _signal.SIG_DFL)

    @staticmethod
    def _drop_keys() -> None:
        _signal.signal(SIGTTOU, _signal.SIG_IGN)
        try:
            termios.tcflush(KEYBOARD, termios.TCIFLUSH)
        except (OSError, termios.error):
            pass  # The terminal is gone, which is told in other ways.
        finally:
            _signal.signal(SIGTTOU, _signal.SIG_DFL)

    def _take_keys(self, mask: int) -> None:
        """Take what was typed; a line ends the pause, and so does the end of the terminal."""
        if mask & CLOSED:
            self._answered(True)
            return
        if not self._terminal.is_foreground():
            return
        ready = select.poll()
        ready.register(KEYBOARD, select.POLLIN)
        if not ready.poll(0):
            return  # Somebody else has read it.
        try:
            keys = os.read(KEYBOARD, MOST)
        except OSError:
            return  # It has become the shell's in this moment.
        if not keys or b"\n" in keys or b"\r" in keys:
            self._answered(False)


def entering(spawner: int, lives: Iterable[Live]) -> str:
    """Return the lines that say how to get into the namespaces of the children, in another terminal.

    Two steps: in the namespaces of the run (the spawner's) an ordinary user may do what root may do, such as to enter a
    process namespace. Not by PID 1: it is closed to others, see `linux.forbid_tracing`.
    """
    lines = []
    for live in sorted(lives, key=lambda each: each.name):
        pid = live.pid if live.is_first else _first_child(live.pid)
        if live.running and pid:
            apart = " -n" if _network(pid) != _network(os.getpid()) else ""
            words = f"nsenter -t {spawner} -U{apart} nsenter -t {pid} -U -m -p -i -u -r -w /bin/sh"
            lines.append(f"vagga: to enter {visible(live.name)} from another terminal: {words}\n")
    more = len(lines) - MOST_SHOWN
    return "".join(lines[:MOST_SHOWN]) + (f"vagga: and {more} more, in the same way\n" if more > 0 else "")


def _first_child(pid: int) -> int:
    """Return the oldest living child of a process, 0 if it has none."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return int((file.read().split() or ["0"])[0])
    except OSError:
        return 0


def _network(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return ""
