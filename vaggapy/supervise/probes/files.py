"""Checks of files of the project.

Paths are resolved by the kernel below the directory of the project: no link leads out of it, neither one with `..`
nor an absolute one. Nothing is opened for reading but regular files, so that neither a FIFO nor a device waits.
"""

from __future__ import annotations

import errno
import os
import stat

from vaggapy.sandbox import linux
from vaggapy.supervise.probes import document
from vaggapy.supervise.probes.outcome import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.rules import Check

LARGEST = 10 << 20
"""Bytes of a file that is looked into."""
MISSING = (errno.ENOENT, errno.ENOTDIR)
OUTSIDE = "it leads out of the project"


def exists(project: int, target: str) -> Outcome:
    """Tell whether a path is there; its value changes when another file takes its place, or its content changes."""
    try:
        fd = _place(project, target)
    except OSError as error:
        return Outcome(False, _cause(error))
    try:
        status = os.fstat(fd)
    finally:
        os.close(fd)
    return Outcome(True, "", f"{status.st_ino} {status.st_mtime_ns} {status.st_size}")


def is_missing(project: int, target: str) -> Outcome:
    """Tell whether a path is not there; one that cannot be looked at does not count as missing."""
    try:
        os.close(_place(project, target))
    except OSError as error:
        return Outcome(error.errno in MISSING, "" if error.errno in MISSING else _cause(error))
    return Outcome(False, "it is there")


def contains(project: int, check: Check) -> Outcome:
    """Tell whether a file has the key of a check, and what its value is."""
    try:
        fd = _place(project, check.target)
    except OSError as error:
        return Outcome(False, _cause(error))
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return Outcome(False, "it is no regular file")
        # Only now: opening a FIFO or a device can wait, or do something.
        with open(f"/proc/self/fd/{fd}", "rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        return Outcome(False, _cause(error))
    finally:
        os.close(fd)
    if len(data) > LARGEST:
        return Outcome(False, f"it is larger than {LARGEST >> 20} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return Outcome(False, "it is not UTF-8")
    return document.look_up(text, check.format == "yaml", check.key, check.variable)


def _place(project: int, target: str) -> int:
    """Return a descriptor that stands for a path of the project; the caller closes it.

    Raises:
        OSError: nothing is there, or it cannot be reached.
    """
    return linux.openat2(project, target or ".", os.O_PATH, resolve=linux.RESOLVE_BENEATH)


def _cause(error: OSError) -> str:
    """Return in a few words why a path cannot be reached."""
    if error.errno in MISSING:
        return "no such file"
    if error.errno == errno.EXDEV:
        return OUTSIDE
    return os.strerror(error.errno or 0).lower()
