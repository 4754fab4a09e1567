"""The stat index: what was read once is not read again while nothing about it has changed.

For each tree that a version depends on there is one file in the user's cache directory. It holds the paths of
everything that was looked at with what `lstat` said, the digest of each content, and the digest of it all. If every
path still has the same links, owner, mode, inode, size and both times, to the nanosecond, the digest still holds. A
directory's times tell about names that came or went, so no directory is listed for that.

A path that was changed less than `SETTLED` seconds before it was looked at is not believed: its times could stay the
same over the next change. Nor is any file that is not the caller's alone. Any doubt is a miss, and costs time only.
"""

from __future__ import annotations

import binascii
import marshal
import os
import stat
import sys
import time
from array import array

from vaggapy import __version__
from vaggapy.sandbox import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Row = tuple[int, ...]
    Items = list[tuple[bytes, Row, bytes]]

IDENTITY = (__version__, sys.hexversion, sys.implementation.name, "trees 1")
SETTLED = 2 * 10**9
"""Nanoseconds after which a time is trusted to tell the next change."""
DIGEST = 32
NOTHING = bytes(DIGEST)
UNKNOWN: Row = (0,) * linux.STAT_COLUMNS
WORD = 8
NANO = 10**9


def clock() -> int:
    """Return the time as file systems write it, in nanoseconds."""
    return time.clock_gettime_ns(time.CLOCK_REALTIME)


class Index:
    """The indexes of one user. Without a directory nothing is known and nothing kept."""

    def __init__(self, directory: str = "", now: Callable[[], int] = clock) -> None:
        """Keep where the files are, and the clock."""
        self._directory = directory
        self.now = now

    def known(self, key: bytes, top: int) -> bytes | None:
        """Return the digest that was kept for `key`, if nothing below the descriptor `top` has changed since."""
        entry = self._read(key)
        if entry is None:
            return None
        digest, paths, columns = entry[:3]
        return digest if linux.stat_many(top, paths) == columns else None

    def before(self, key: bytes) -> dict[bytes, tuple[Row, bytes]]:
        """Return what each path was when the tree was looked at the last time, and the digest of its content."""
        entry = self._read(key, True)
        if entry is None:
            return {}
        _, paths, columns, contents = entry
        rows = unpack_rows(columns)
        return {
            path: (rows[count], contents[count * DIGEST : (count + 1) * DIGEST])
            for count, path in enumerate(paths)
            if rows[count] != UNKNOWN
        }

    def keep(self, key: bytes, taken: int, digest: bytes, items: Items) -> None:
        """Keep the digest of a tree, and for each path what it was and the digest of its content (b"" for none).

        `taken`: the time before any of it was looked at. Failures cost only time later.
        """
        if not self._directory:
            return
        limit = taken - SETTLED
        rows = [row if _latest(row) < limit else UNKNOWN for _, row, _ in items]
        joined = b"\0".join([path for path, _, _ in items])
        contents = b"".join([content or NOTHING for _, _, content in items])
        columns = pack_rows(rows)
        checks = (binascii.crc32(columns), binascii.crc32(contents))
        warm = marshal.dumps((IDENTITY, key, digest, joined, len(columns), checks))
        head = binascii.crc32(warm).to_bytes(WORD, "big") + len(warm).to_bytes(WORD, "big")
        _write(self._directory, _name(key), head + warm + columns + contents)

    def _read(self, key: bytes, whole: bool = False) -> tuple[bytes, list[bytes], bytes, bytes] | None:
        """Return the digest, the paths, their columns and contents (unless `whole`, none), or None in any doubt."""
        fd = _open(self._directory, _name(key)) if self._directory else -1
        if fd < 0:
            return None
        try:
            head = os.read(fd, 2 * WORD)
            size = int.from_bytes(head[WORD:], "big")
            warm = os.read(fd, min(size, os.fstat(fd).st_size))
            if len(head) < 2 * WORD or binascii.crc32(warm) != int.from_bytes(head[:WORD], "big"):
                return None
            entry = marshal.loads(warm)  # from a file that only the caller can write
            if entry[:2] != (IDENTITY, key):
                return None
            _, _, digest, joined, width, checks = entry
            paths = joined.split(b"\0")
            if width != len(paths) * linux.STAT_COLUMNS * WORD:
                return None
            columns = os.read(fd, width)
            contents = os.read(fd, len(paths) * DIGEST) if whole else b""
        except (OSError, ValueError, EOFError, TypeError):
            return None
        finally:
            os.close(fd)
        if (binascii.crc32(columns), binascii.crc32(contents) if whole else checks[1]) != checks:
            return None
        return digest, paths, columns, contents


# --- rows: what lstat says, as numbers ----------------------------------------------------------------------------


def _latest(row: Row) -> int:
    return max(row[3] * NANO + row[4], row[5] * NANO + row[6])


def pack_rows(rows: list[Row]) -> bytes:
    """Return rows as `linux.stat_many` returns them."""
    found = []
    for first in range(0, len(rows), linux.STAT_AT_ONCE):
        columns = zip(*rows[first : first + linux.STAT_AT_ONCE], strict=True)
        found += [array("q", column).tobytes() for column in columns]
    return b"".join(found)


def unpack_rows(packed: bytes) -> list[Row]:
    """Return the rows that `pack_rows` was given."""
    numbers = array("q")
    numbers.frombytes(packed[: len(packed) // WORD * WORD])
    width = linux.STAT_COLUMNS
    rows: list[Row] = []
    for first in range(0, len(numbers), linux.STAT_AT_ONCE * width):
        chunk = numbers[first : first + linux.STAT_AT_ONCE * width]
        size = len(chunk) // width
        rows += zip(*(chunk[column * size : (column + 1) * size] for column in range(width)), strict=True)
    return rows


# --- where entries are --------------------------------------------------------------------------------------------


def directory_for(project: str, environ: dict[str, str]) -> str:
    """Return where the caller's indexes are; "" where there is no place for them, as in the project itself."""
    caches = environ.get("XDG_CACHE_HOME", "")
    if not caches.startswith("/"):
        home = environ.get("HOME", "")
        caches = f"{home}/.cache" if home.startswith("/") else ""
    if not caches or f"{os.path.realpath(caches)}/".startswith(f"{os.path.realpath(project).rstrip('/')}/"):
        return ""
    return f"{caches}/vagga"


def kept_for(path: str) -> str:
    """Return the directory that an index is about or is in, "" if it is none of ours or damaged."""
    fd = _open(os.path.dirname(path), os.path.basename(path))
    if fd < 0:
        return ""
    try:
        head = os.read(fd, 2 * WORD)
        warm = os.read(fd, min(int.from_bytes(head[WORD:], "big"), os.fstat(fd).st_size))
        if len(head) < 2 * WORD or binascii.crc32(warm) != int.from_bytes(head[:WORD], "big"):
            return ""
        first, second = marshal.loads(marshal.loads(warm)[1])[:2]  # from a file that only the caller can write
        anchor = second[0] if first == "file" and isinstance(second, tuple) else first
        return anchor if isinstance(anchor, str) else ""
    except (OSError, ValueError, EOFError, TypeError, IndexError):
        return ""
    finally:
        os.close(fd)


def _name(key: bytes) -> str:
    """Return the name of an entry's file; the entry holds its key, so that a collision is only a miss."""
    return f"index-{binascii.crc32(key):08x}{binascii.crc32(key, 0x5EED):08x}"


def _ours(fd: int, kind: int) -> bool:
    """Return whether an open file or directory is the caller's, and nobody else may write to it."""
    found = os.fstat(fd)
    return stat.S_IFMT(found.st_mode) == kind and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _open_directory(path: str) -> int:
    """Open the directory of entries if it is the caller's alone; -1 if not."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return -1
    if _ours(fd, stat.S_IFDIR):
        return fd
    os.close(fd)
    return -1


def _open(place: str, name: str) -> int:
    """Open a file of our own; -1 if it is missing or anybody else's. The descriptor is the caller's."""
    directory = _open_directory(place)
    if directory < 0:
        return -1
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return -1
    finally:
        os.close(directory)
    if _ours(fd, stat.S_IFREG):
        return fd
    os.close(fd)
    return -1


def _write(place: str, name: str, data: bytes) -> None:
    """Write a file where it stands; a torn one fails its checksum."""
    if not _make_directory(place):
        return
    directory = _open_directory(place)
    if directory < 0:
        return
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=directory)
        try:
            if _ours(fd, stat.S_IFREG):
                os.ftruncate(fd, 0)
                os.write(fd, data)
        finally:
            os.close(fd)
    except OSError:
        pass
    finally:
        os.close(directory)


def _make_directory(path: str) -> bool:
    """Make the directory of entries below one that belongs to the caller; never in somebody else's home."""
    if os.path.isdir(path):
        return True
    caches = os.path.dirname(path)
    try:
        if os.stat(caches if os.path.isdir(caches) else os.path.dirname(caches)).st_uid != os.geteuid():
            return False
        os.makedirs(caches, 0o700, exist_ok=True)
        os.mkdir(path, 0o700)
    except OSError:
        return False
    return True
