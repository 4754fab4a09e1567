"""A tree as a tar archive that is the same, byte for byte, whenever the tree is: for `vagga _pack_image`.

Names are sorted, ids are those of the process (so the worker's are those inside the namespace), times are kept to the
nanosecond, files with several names are kept as such. Devices and sockets are left out, and of extended attributes
all but `security.capability`. The format is pax; what fits into the old header needs no extended one.

The bytes are made here and not by `tarfile`, which cannot write attributes that are not text.
"""

from __future__ import annotations

import bz2
import errno
import lzma
import os
import stat
import zlib

from vaggapy.build.tree import BELOW, open_within
from vaggapy.errors import VaggaError
from vaggapy.sandbox import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    class Compressor(Protocol):
        """What compresses a stream piece by piece."""

        def compress(self, data: bytes, /) -> bytes:
            """Take some bytes and return what is ready."""

        def flush(self) -> bytes:
            """Return the rest."""


PLAIN = linux.RESOLVE_BENEATH | linux.RESOLVE_NO_SYMLINKS
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
BLOCK = 512
RECORD = 20 * BLOCK
PIECE = 1 << 18
CAPABILITY = "security.capability"
LONGEST_NAME, LONGEST_PREFIX = 100, 155
LARGEST_ID, LARGEST_SIZE = 0o7777777, 0o77777777777
DEFAULT_MODE = 0o644
REGULAR, HARD_LINK, SYMBOLIC_LINK, DIRECTORY, FIFO, EXTENDED = b"0", b"1", b"2", b"5", b"6", b"x"
READER_GONE = 141
"""The exit code when whoever reads the archive has stopped."""


def pack(root: str, target: str, compression: str) -> None:
    """Write the tree `root` as an archive to the file `target`, or to standard output if that is "".

    `compression`: "", gz, bz2, xz or zst.

    Raises:
        VaggaError: the archive cannot be written.
        OSError: the tree cannot be read.
    """
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, DEFAULT_MODE) if target else 1
    try:
        out = Output(fd, compressor(compression))
        for piece in archive(root):
            out.write(piece)
        out.close()
    finally:
        if target:
            os.close(fd)


def compressor(compression: str) -> Compressor | None:
    """Return what compresses, None for "". The same input gives the same output: no header holds a time or name."""
    match compression:
        case "":
            return None
        case "gz":
            return zlib.compressobj(wbits=31)
        case "bz2":
            return bz2.BZ2Compressor()
        case "xz":
            return lzma.LZMACompressor()
        case "zst":
            import zstandard  # only for this one

            return zstandard.ZstdCompressor(write_checksum=True).compressobj()
        case _:
            raise AssertionError(f"{compression!r} is no compression")


class Output:
    """A descriptor that takes everything it is given, compressed; the descriptor stays the caller's."""

    def __init__(self, fd: int, compress: Compressor | None) -> None:
        """Begin; nothing is written yet."""
        self._fd = fd
        self._compress = compress

    def write(self, data: bytes) -> None:
        """Write bytes, or what the compressor makes of them.

        Raises:
            VaggaError: they cannot be written.
        """
        self._put(self._compress.compress(data) if self._compress is not None else data)

    def close(self) -> None:
        """Write what the compressor still has."""
        if self._compress is not None:
            self._put(self._compress.flush())

    def _put(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                _wait(self._fd)
            except OSError as error:
                raise _refused(error) from error


def _refused(error: OSError) -> VaggaError:
    if error.errno == errno.EPIPE:
        return VaggaError("the reader of the archive is gone", "", "pack-write", READER_GONE)
    return VaggaError(
        f"the archive cannot be written: {error.strerror}", "make room there, or write it elsewhere", "pack-write"
    )


def _wait(fd: int) -> None:
    """Wait until a descriptor that somebody has made non-blocking takes bytes again."""
    import select  # only for such ones

    watch = select.poll()
    watch.register(fd, select.POLLOUT)
    watch.poll()


# --- the archive ----------------------------------------------------------------------------------------------------


def archive(root: str) -> Iterator[bytes]:
    """Yield the bytes of the archive of a tree, in pieces. Each directory is followed by what it holds, by name.

    Other orders would let tar(1) give directories their times before it has filled them.

    Raises:
        OSError: something cannot be read.
    """
    size = 0
    top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for piece in _entries(top):
            size += len(piece)
            yield piece
    finally:
        os.close(top)
    end = size + 2 * BLOCK
    yield bytes(2 * BLOCK + -end % RECORD)


def _entries(top: int) -> Iterator[bytes]:
    known: dict[tuple[int, int], bytes] = {}
    yield header(b"./", DIRECTORY, os.fstat(top))
    waiting = [("", name) for name in _names(top)]
    opened, directory = "", os.dup(top)
    try:
        while waiting:
            path, name = waiting.pop()
            if path != opened:
                os.close(directory)
                directory = -1
                directory = open_within(top, path, os.O_RDONLY | BELOW, 0, PLAIN)
                opened = path
            place = f"{path}/{name}" if path else name
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                yield header(os.fsencode(place) + b"/", DIRECTORY, status)
                os.close(directory)
                directory = -1
                directory = open_within(top, place, os.O_RDONLY | BELOW, 0, PLAIN)
                opened = place
                waiting += ((place, below) for below in _names(directory))
            else:
                yield from _entry(directory, name, os.fsencode(place), status, known)
    finally:
        if directory >= 0:
            os.close(directory)


def _names(directory: int) -> list[str]:
    """Return what is in a directory, the last first."""
    return sorted(os.listdir(directory), key=os.fsencode, reverse=True)


def _entry(
    directory: int, name: str, place: bytes, status: os.stat_result, known: dict[tuple[int, int], bytes]
) -> Iterator[bytes]:
    """Yield what is not a directory. `known`: the first names of files that have several."""
    kind = stat.S_IFMT(status.st_mode)
    if kind not in (stat.S_IFREG, stat.S_IFLNK, stat.S_IFIFO):
        return
    identity = (status.st_dev, status.st_ino)
    first = known.get(identity)
    if first is not None:
        yield header(place, HARD_LINK, status, first)
        return
    if status.st_nlink > 1:
        known[identity] = place
    if kind == stat.S_IFLNK:
        yield header(place, SYMBOLIC_LINK, status, os.fsencode(os.readlink(name, dir_fd=directory)))
    elif kind == stat.S_IFIFO:
        yield header(place, FIFO, status)
    else:
        fd = os.open(name, FILE, dir_fd=directory)
        try:
            yield header(place, REGULAR, status, capability=_capability(fd))
            yield from _content(fd, status.st_size)
        finally:
            os.close(fd)


def _capability(fd: int) -> bytes:
    try:
        return os.getxattr(fd, CAPABILITY)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return b""
        raise


def _content(fd: int, size: int) -> Iterator[bytes]:
    """Yield so many bytes of a file, filled up to whole blocks.

    Raises:
        OSError: the file has become shorter.
    """
    left = size
    while left:
        piece = os.read(fd, min(left, PIECE))
        if not piece:
            raise OSError(errno.EIO, "the file has changed while it was read")
        left -= len(piece)
        yield piece
    if size % BLOCK:
        yield bytes(-size % BLOCK)


# --- headers --------------------------------------------------------------------------------------------------------


def header(name: bytes, kind: bytes, status: os.stat_result, link: bytes = b"", capability: bytes = b"") -> bytes:
    """Return the header of an entry, with an extended one before it for what the plain one cannot hold."""
    size = status.st_size if kind == REGULAR else 0
    seconds, fraction = divmod(status.st_mtime_ns, 10**9)
    ids = (status.st_uid, status.st_gid)
    more: list[tuple[bytes, bytes]] = []
    prefix, short = _split(name)
    if not short:
        more.append((b"path", name))
        short = name[:LONGEST_NAME]
    if len(link) > LONGEST_NAME:
        more.append((b"linkpath", link))
    more += [(key, b"%d" % id_) for key, id_ in zip((b"uid", b"gid"), ids, strict=True) if id_ > LARGEST_ID]
    if size > LARGEST_SIZE:
        more.append((b"size", b"%d" % size))
    if fraction or not 0 <= seconds <= LARGEST_SIZE:
        more.append((b"mtime", _decimal(status.st_mtime_ns)))
    if capability:
        more.append((b"SCHILY.xattr." + CAPABILITY.encode(), capability))
    mode = stat.S_IMODE(status.st_mode)
    uid, gid = (0 if id_ > LARGEST_ID else id_ for id_ in ids)
    numbers = (mode, uid, gid, 0 if size > LARGEST_SIZE else size, min(max(seconds, 0), LARGEST_SIZE))
    plain = _block(short, numbers, kind, link[:LONGEST_NAME], prefix)
    return _extended(more) + plain if more else plain


def _decimal(nanoseconds: int) -> bytes:
    """Return a time in seconds with as many digits as it needs."""
    whole, fraction = divmod(abs(nanoseconds), 10**9)
    sign = b"-" if nanoseconds < 0 else b""
    return sign + (b"%d.%09d" % (whole, fraction)).rstrip(b"0").rstrip(b".")


def _split(name: bytes) -> tuple[bytes, bytes]:
    """Return prefix and name as the header holds them; the name is empty if they do not fit."""
    if len(name) <= LONGEST_NAME:
        return b"", name
    at = name.find(b"/", len(name) - LONGEST_NAME - 1, len(name) - 1)
    return (name[:at], name[at + 1 :]) if 0 < at <= LONGEST_PREFIX else (b"", b"")


def _extended(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """Return an extended header and its records, each with its own length before it."""
    body = b"".join(_counted(b" " + key + b"=" + value + b"\n") for key, value in pairs)
    return _block(b"@PaxHeader", (DEFAULT_MODE, 0, 0, len(body), 0), EXTENDED) + body + bytes(-len(body) % BLOCK)


def _counted(record: bytes) -> bytes:
    size = len(record) + 1
    while size != len(record) + len(b"%d" % size):
        size += 1
    return b"%d" % size + record


def _block(
    name: bytes, numbers: tuple[int, int, int, int, int], kind: bytes, link: bytes = b"", prefix: bytes = b""
) -> bytes:
    """Return a ustar header; `numbers` are mode, uid, gid, size and seconds."""
    mode, uid, gid, size, seconds = numbers
    before = b"%s%07o\0%07o\0%07o\0%011o\0%011o\0" % (name.ljust(LONGEST_NAME, b"\0"), mode, uid, gid, size, seconds)
    after = kind + link.ljust(LONGEST_NAME, b"\0") + b"ustar\x0000" + bytes(32 + 32) + b"0000000\x000000000\0"
    after += prefix.ljust(LONGEST_PREFIX, b"\0")
    filled = (before + b" " * 8 + after).ljust(BLOCK, b"\0")
    return before + b"%06o\0 " % sum(filled) + filled[len(before) + 8 :]
