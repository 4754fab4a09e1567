"""A terminal with a person at it, for tests: a pty, a shell reduced to job control, keys and a screen.

The shell (`integration.jobshell`) is a process of its own, because only the leader of a session has a terminal to
give, and only the parent of a job sees that it stopped. The test holds the master: what it reads is the screen,
what it writes are keys. Settings and foreground group are read through the master, so that looking changes nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from integration.runs import PATIENCE, VAGGA, Project, command_line, deadline, descendants

CTRL_C, CTRL_D, CTRL_Z, CTRL_BACKSLASH = "\x03", "\x04", "\x1a", "\x1c"
PROMPT = "ready> "
BASH = f"    run: [bash, --norc, --noediting, -i]\n    environ: {{PS1: '{PROMPT}'}}\n"
JOBSHELL = Path(__file__).with_name("jobshell.py")
LOCAL_FLAGS = 3
CHUNK = 64 * 1024
MOST_READS = 16  # at a time: a child may write faster than is read here


class Terminal:
    """A pty whose slave is the terminal of a session of its own. Use it in a `with` statement."""

    def __init__(
        self, project: Project, rows: int = 24, columns: int = 80, environ: Mapping[str, str] | None = None
    ) -> None:
        """Open the terminal and start its shell; `environ` is added to the project's."""
        self.seen = b""
        self.pid = 0
        self.master, slave = pty.openpty()
        os.set_blocking(self.master, False)
        self.resize(rows, columns)
        ours, theirs = socket.socketpair()
        with theirs, open(slave, "rb+", buffering=0):
            self._shell = subprocess.Popen(
                [sys.executable, "-I", "-S", str(JOBSHELL), str(theirs.fileno())],
                cwd=project.directory,
                env={**project.environ, "TERM": "xterm", **(environ or {})},
                stdin=slave,
                stdout=slave,
                stderr=slave,
                pass_fds=(theirs.fileno(),),
            )
        self._socket = ours
        self._answers = ours.makefile("rb")

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing behind; a job that still runs is the test's fault, but not its successor's."""
        try:
            if self.pid and self.state()[0] in ("running", "stopped"):
                os.kill(self.pid, signal.SIGKILL)
                self.until(lambda: self.state()[0] == "killed", "the job was killed")
        finally:
            self._socket.close()
            self._answers.close()
            self._shell.wait(PATIENCE)
            self.close()

    def _ask(self, *request: object) -> Any:
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        return json.loads(self._answers.readline())

    # --- the job ------------------------------------------------------------------------------------------------

    def run(
        self,
        *words: str,
        foreground: bool = True,
        stdin: Path | None = None,
        stdout: Path | None = None,
        stderr: Path | None = None,
    ) -> None:
        """Start `vagga WORDS` as the shell's job; a stream that is a path is redirected there."""
        self.start([*VAGGA, *words], foreground, stdin, stdout, stderr)

    def start(self, words: list[str], foreground: bool = True, *streams: Path | None) -> None:
        """Start any command, given by its absolute path, as the shell's job."""
        self.pid = self._ask("run", words, foreground, [str(path) if path else None for path in streams])

    def state(self) -> tuple[str, int]:
        """Return how the job is: running, stopped (signal), exited (code) or killed (signal)."""
        word, number = self._ask("look")
        return word, number

    def fg(self) -> None:
        """Continue the job in the foreground."""
        self._ask("fg")

    def bg(self) -> None:
        """Continue the job in the background."""
        self._ask("bg")

    def give(self) -> None:
        """Put a running job into the foreground."""
        self._ask("give")

    def stopped(self) -> int:
        """Wait until the job is stopped and return the signal."""
        self.until(lambda: self.state()[0] != "running", "the job stops")
        state, number = self.state()
        assert state == "stopped", f"{state} {number}\n{self.text}"
        return number

    def end(self, seconds: float = PATIENCE) -> int:
        """Wait for the job's end and return its exit code."""
        self.until(lambda: self.state()[0] not in ("running", "stopped"), "the job ends", seconds)
        self.pump()
        state, number = self.state()
        assert state == "exited", f"{state} {number}\n{self.text}"
        return number

    def signal(self, number: int) -> None:
        """Signal the job's own process only."""
        os.kill(self.pid, number)

    # --- screen and keys ----------------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """Return everything that came to the screen, line ends as newlines."""
        return self.seen.decode(errors="replace").replace("\r\n", "\n")

    @property
    def lines(self) -> list[str]:
        """Return the lines of the screen."""
        return self.text.split("\n")

    def pump(self, patience: float = 0.0) -> None:
        """Read what has come to the screen; wait `patience` seconds for it."""
        if self.master < 0:
            return
        select.select([self.master], [], [], patience)
        try:
            for _ in range(MOST_READS):
                self.seen += os.read(self.master, CHUNK)
        except OSError:
            pass  # Nothing more, or nobody at the other side.

    def until(self, condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
        """Read the screen until `condition` holds; fail after `seconds`."""
        going = deadline(seconds)
        while not condition():
            if not going():
                below = {pid: command_line(pid) for pid in descendants(os.getpid())}
                pytest.fail(f"waited {seconds} s in vain: {what}\n{below}\n{self.seen!r}")
            self.pump(0.005)

    def wait_for(self, text: str, count: int = 1, seconds: float = PATIENCE) -> None:
        """Wait until `text` has come to the screen, `count` times."""
        self.until(lambda: self.text.count(text) >= count, f"{text!r} on the screen", seconds)

    def wait_match(self, pattern: str) -> re.Match[str]:
        """Wait until something on the screen matches, and return it."""
        self.until(lambda: re.search(pattern, self.text), f"{pattern!r} on the screen")
        found = re.search(pattern, self.text)
        assert found is not None
        return found

    def type(self, keys: str) -> None:
        """Press keys; Enter is `\\r`."""
        os.write(self.master, keys.encode())

    def enter(self, line: str, answer: str = "") -> None:
        """Type a line; with `answer`, wait until that has come to the screen once more than before."""
        before = self.text.count(answer) if answer else 0
        self.type(f"{line}\r")
        if answer:
            self.wait_for(answer, before + 1)

    def close(self) -> None:
        """Close the terminal, as a closed window does."""
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    # --- the terminal itself ------------------------------------------------------------------------------------

    def settings(self) -> list[Any]:
        """Return the settings as tcgetattr(3) gives them."""
        return termios.tcgetattr(self.master)

    @property
    def is_raw(self) -> bool:
        """Return whether keys are passed on as they are typed."""
        flags: int = self.settings()[LOCAL_FLAGS]
        return not flags & (termios.ICANON | termios.ECHO | termios.ISIG)

    def wait_raw(self) -> None:
        """Wait until vagga has taken the terminal."""
        self.until(lambda: self.is_raw, "the terminal is raw")

    def set_flag(self, flag: int, on: bool) -> None:
        """Change one local flag, as stty(1) does."""
        settings = self.settings()
        settings[LOCAL_FLAGS] = settings[LOCAL_FLAGS] | flag if on else settings[LOCAL_FLAGS] & ~flag
        termios.tcsetattr(self.master, termios.TCSANOW, settings)

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the window; the foreground group gets SIGWINCH."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


@contextmanager
def unchanged(terminal: Terminal) -> Iterator[None]:
    """Check that the terminal's settings are afterwards what they were before."""
    before = terminal.settings()
    yield
    assert terminal.settings() == before, "the terminal was not restored"


def catches(pid: int, number: int) -> bool:
    """Return whether a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    (caught,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")]
    return bool(int(caught, 16) & 1 << number - 1)
