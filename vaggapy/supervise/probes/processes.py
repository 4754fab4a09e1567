"""Looking for processes by their command lines."""

from __future__ import annotations

import os
import re

from vaggapy.supervise.probes.outcome import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

LONGEST_SHOWN = 60


def none_runs(pattern: str, own: Collection[int]) -> Outcome:
    """Tell whether no process has a command line, its words joined by spaces, in which `pattern` is found.

    `own`, this process and those above it never count (`make` waits for us, if it started us), nor do those below
    them that are forks of vagga and have its command line: the spawner, PID 1 of a child. Processes without a command
    line (of the kernel, or dead) do not count either.
    """
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        return Outcome(False, f"the pattern is no regular expression: {error}")
    ours = {*own, os.getpid(), *_above(os.getpid())}
    mine = _words(os.getpid())
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in ours:
            continue
        words = _words(int(name))
        line = words.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
        if words and wanted.search(line) and not (words == mine and ours.intersection(_above(int(name)))):
            return Outcome(False, f"process {name} runs: {line[:LONGEST_SHOWN]}")
    return Outcome(True)


def _words(pid: int) -> bytes:
    """Return the command line of a process, empty when it has none or is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _above(pid: int) -> Iterator[int]:
    """Give the parent of a process, its parent, and so on."""
    while pid > 1:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                pid = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return
        yield pid
