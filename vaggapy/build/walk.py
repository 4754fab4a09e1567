"""Walk over the selected entries of a directory, through descriptors; no link is followed.

What is hashed and what is copied come from the same walk, so that they agree on what counts.
"""

from __future__ import annotations

import os
import stat

from vaggapy.build.rules import ENTER, SKIP, TAKE, selector

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vaggapy.build.actions import Selection

    Entry = tuple[str, int, str, os.stat_result]

HERE = "."
OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE, DIRECTORY, LINK, OTHER = "file", "directory", "link", "other"


def kind_of(mode: int) -> str:
    """Return FILE, DIRECTORY, LINK or OTHER for a mode with its type."""
    return {stat.S_IFREG: FILE, stat.S_IFDIR: DIRECTORY, stat.S_IFLNK: LINK}.get(stat.S_IFMT(mode), OTHER)


class _Level:
    """A directory that is being walked over; it owns its descriptor."""

    def __init__(self, fd: int, entry: Entry, given: bool) -> None:
        self.fd = fd
        self.entry = entry
        self.given = given
        self.prefix = "" if entry[0] == HERE else f"{entry[0]}/"
        self.names = sorted(os.listdir(fd), reverse=True)


def _nothing(path: str, status: os.stat_result) -> None:
    """Take note of nothing."""


def walk(top: int, selection: Selection, entered: Callable[[str, os.stat_result], None] = _nothing) -> Iterator[Entry]:
    """Give the selected entries below the directory `top` in the order of their names, parents first.

    Each is (path relative to the top, which is `.` itself; descriptor of the directory where it is found, open until
    the walk goes on; its name there; what it is). The top itself comes first. A directory that only leads to others
    comes before the first of them, or never.
    `entered` is told each directory that is read, the top too.

    Raises:
        OSError: something cannot be read, or went away meanwhile; `filename` is its path relative to the top.
    """
    verdict = selector(selection).verdict
    status = os.fstat(top)
    first = (HERE, top, HERE, status)
    entered(HERE, status)
    yield first
    levels = [_level(top, HERE, first, True)]
    try:
        while levels:
            level = levels[-1]
            if not level.names:
                os.close(levels.pop().fd)
                continue
            name = level.names.pop()
            path = level.prefix + name
            try:
                status = os.stat(name, dir_fd=level.fd, follow_symlinks=False)
            except OSError as error:
                raise _named(error, path) from error
            is_directory = stat.S_ISDIR(status.st_mode)
            said = verdict(path, is_directory)
            if said == SKIP:
                continue
            entry = (path, level.fd, name, status)
            if said == TAKE:
                yield from _given(levels)
                yield entry
            if is_directory:
                entered(path, status)
                levels.append(_level(level.fd, name, entry, said != ENTER))
    finally:
        for level in levels:
            os.close(level.fd)


def _given(levels: list[_Level]) -> Iterator[Entry]:
    """Give the directories above the current entry that were not given yet."""
    if levels[-1].given:
        return
    for level in levels:
        if not level.given:
            level.given = True
            yield level.entry


def _level(parent: int, name: str, entry: Entry, given: bool) -> _Level:
    """Open and list a directory.

    Raises:
        OSError: with the path relative to the top.
    """
    fd = -1
    try:
        fd = os.open(name, OPEN, dir_fd=parent)
        return _Level(fd, entry, given)
    except OSError as error:
        if fd >= 0:
            os.close(fd)
        raise _named(error, entry[0]) from error


def _named(error: OSError, path: str) -> OSError:
    return OSError(error.errno, error.strerror, path)
