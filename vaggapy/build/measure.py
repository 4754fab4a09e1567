"""How much room is freed when trees are removed: what has other names elsewhere stays. Runs in the worker."""

from __future__ import annotations

import os
import stat

from vaggapy.build.tree import BELOW, open_within
from vaggapy.sandbox import linux

PLAIN = linux.RESOLVE_BENEATH | linux.RESOLVE_NO_SYMLINKS
BLOCK = 512
"""Bytes that `st_blocks` counts in, whatever the file system uses."""


def freed(paths: tuple[str, ...]) -> tuple[int, ...]:
    """Return for each path how many bytes its removal frees, if those before it are removed too.

    A file with several names counts where the last of them goes.

    Raises:
        OSError: something cannot be looked at.
    """
    seen: dict[tuple[int, int], int] = {}
    return tuple(_of(path, seen) for path in paths)


def _of(path: str, seen: dict[tuple[int, int], int]) -> int:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return 0
    total = _counted(status, seen)
    if not stat.S_ISDIR(status.st_mode):
        return total
    top = os.open(path, os.O_RDONLY | BELOW)
    try:
        waiting = [""]
        while waiting:
            place = waiting.pop()
            directory = open_within(top, place, os.O_RDONLY | BELOW, 0, PLAIN)
            try:
                with os.scandir(directory) as entries:
                    for entry in entries:
                        total += _counted(entry.stat(follow_symlinks=False), seen)
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(f"{place}/{entry.name}" if place else entry.name)
            finally:
                os.close(directory)
    finally:
        os.close(top)
    return total


def _counted(status: os.stat_result, seen: dict[tuple[int, int], int]) -> int:
    """Return the bytes of one entry, 0 if it has names that were not seen yet."""
    if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
        identity = (status.st_dev, status.st_ino)
        seen[identity] = seen.get(identity, 0) + 1
        if seen[identity] < status.st_nlink:
            return 0
    return status.st_blocks * BLOCK
