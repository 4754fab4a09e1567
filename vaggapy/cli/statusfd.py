"""The descriptor that `--status-fd` names."""

from __future__ import annotations

import fcntl
import os

from vaggapy.errors import UsageError


def check_status_fd(fd: int) -> None:
    """Refuse a descriptor that the caller has not opened for writing, before one of our own takes its number."""
    try:
        why = "" if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE else "it is open for reading only"
    except OSError as error:
        why = error.strerror or str(error)
    if why:
        remedy = f"open it, as in: vagga --status-fd {fd} CMD {fd}>status.json"
        raise UsageError(f"--status-fd {fd}: {why}", remedy, "status-fd")
