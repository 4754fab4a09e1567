"""Which run a service in Consul belongs to, and whether that one still lives."""

from __future__ import annotations

import os

BOOT = "/proc/sys/kernel/random/boot_id"
HIDDEN = "?"
ENDED = (b"Z", b"X")
"""States of processes that only their parent still asks about."""


def own() -> str:
    """Return what tells this process from all others, of other machines, too: `PID.START.NAMESPACE.BOOT`."""
    return ".".join((str(os.getpid()), _start("self"), *_here()))


def lives(run: str) -> bool | None:
    """Tell whether the process of `own` still runs; None when it cannot be seen from here, or `run` is nonsense."""
    pid, _, rest = run.partition(".")
    start, _, there = rest.partition(".")
    if not (pid.isascii() and pid.isdigit() and len(pid) < 10 and int(pid)) or there != ".".join(_here()):
        return None
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # It is somebody else's.
    return _start(pid) in (HIDDEN, start)


def _start(pid: str) -> str:
    """Return when a process was started, in ticks since the boot; "" for a zombie, HIDDEN where /proc shows nothing."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return HIDDEN
    return "" if fields[0] in ENDED else fields[19].decode()


def _here() -> tuple[str, str]:
    """Return the pid namespace and the boot."""
    try:
        namespace = os.readlink("/proc/self/ns/pid").strip("pid:[]")
        with open(BOOT, encoding="ascii") as file:
            return namespace, file.read().strip()
    except OSError:
        return "", ""
