"""A lock between processes: `flock` on a file, which the kernel releases when its holder is gone, however it went."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def locked(path: str, waiting: Callable[[], None]) -> Iterator[int]:
    """Hold the lock file `path` within the block, which gets its descriptor; nothing of it stays behind.

    `waiting` is called once if somebody else has it; an exception from there ends the attempt. A process that
    inherits the descriptor holds the lock too, until it ends.

    Raises:
        OSError: the file cannot be made.
    """
    descriptor = _acquire(path, waiting)
    try:
        yield descriptor
    finally:
        try:
            os.unlink(path)  # Whoever waits for it sees that, and makes a new one.
        except FileNotFoundError:
            pass
        finally:
            os.close(descriptor)


def _acquire(path: str, waiting: Callable[[], None]) -> int:
    """Return a locked descriptor of the file that has the name now."""
    told = False
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not told:
                    told = True
                    waiting()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_named(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_named(descriptor: int, path: str) -> bool:
    """Return whether the open file still has the name."""
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    mine = os.fstat(descriptor)
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)
