"""Compressed files as streams that only go forward: gzip, bzip2, xz and zstd, found by their first bytes.

Whatever a file says, no more than a bounded piece is read into memory. A file that ends too early is an error.

The only user of zstandard.
"""

from __future__ import annotations

import bz2
import lzma
import zlib

import zstandard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

PIECE = 1 << 18
"""Bytes that are read and written at once."""
MOST_HEADER = 16 << 20
"""Bytes of a long name or of extended headers; more is no archive, but an attack on memory."""
MOST_MEMORY = 512 << 20
"""Bytes that xz may want for its dictionary; `xz -9` takes 65 MiB."""
MOST_WINDOW = 1 << 27
"""Bytes of the window of zstd; `--long=27` is its own limit too."""
ZSTD_PIECE = 1 << 10
"""Bytes that are given to zstd at once, so that a bomb comes out in pieces of 32 MiB at most."""
BLOCK = 512

DAMAGED = (zlib.error, lzma.LZMAError, zstandard.ZstdError, EOFError)
"""What the libraries raise for data that is damaged, besides `OSError` without a number."""


class Damaged(Exception):  # noqa: N818 - it becomes an error with the name of the archive
    """An archive that is not what it should be; says what."""


class Stream:
    """What `tarfile` reads headers from: a file that only goes forward. Data is taken in pieces, not copied.

    `pieces`: the bytes. `digest`: is fed every byte that passes, if given.
    """

    def __init__(self, pieces: Iterator[bytes], feed: Callable[[bytes], object] | None = None) -> None:
        """Begin at 0."""
        self._pieces = pieces
        self._feed = feed
        self._piece = b""
        self._at = 0
        self._position = 0

    def tell(self) -> int:
        """Return how many bytes have passed."""
        return self._position

    def _more(self) -> bool:
        """Take the next piece; return False at the end."""
        piece = next(self._pieces, b"")
        self._piece, self._at = piece, 0
        if self._feed is not None:
            self._feed(piece)
        return bool(piece)

    def read(self, size: int) -> bytes:
        """Return `size` bytes of headers, fewer at the end."""
        if not 0 <= size <= MOST_HEADER:
            raise Damaged(f"a header says that it has {size} bytes")
        end = self._at + size
        if end <= len(self._piece):
            data = self._piece[self._at : end]
            self._at = end
            self._position += size
            return data
        return b"".join(map(bytes, self._take(size)))

    def _take(self, size: int) -> Iterator[memoryview]:
        """Give the next `size` bytes in pieces, fewer at the end."""
        while size > 0:
            if self._at == len(self._piece) and not self._more():
                return
            view = memoryview(self._piece)[self._at : self._at + size]
            self._at += len(view)
            self._position += len(view)
            size -= len(view)
            yield view

    def data(self, size: int) -> Iterator[memoryview]:
        """Give exactly `size` bytes in pieces.

        Raises:
            Damaged: there are fewer.
        """
        for view in self._take(size):
            size -= len(view)
            yield view
        if size > 0:
            raise Damaged("it ends in the middle of a file")

    def seek(self, position: int) -> None:
        """Go forward. The padding of the last member may be missing, as some programs make archives.

        Raises:
            Damaged: a header leads back or beyond the end.
        """
        missing = position - self._position
        if missing < 0:
            raise Damaged("a header leads back to what was read before")
        for view in self._take(missing):
            missing -= len(view)
        if missing >= BLOCK:
            raise Damaged("it ends in the middle of a file")

    def drain(self) -> None:
        """Read what is left, for the sake of the digest."""
        while self._more():
            pass


def decompressed(file: BinaryIO, feed: Callable[[bytes], object] | None = None) -> Stream:
    """Return the content of a file that may be compressed by gzip, bzip2, xz or zstd."""
    begin = file.read(6)
    file.seek(0)
    pieces: Iterator[bytes]
    if begin.startswith(b"\x1f\x8b"):
        pieces = _gunzip(file)
    elif begin.startswith(b"BZh"):
        pieces = _expand(file, bz2.BZ2Decompressor)
    elif begin.startswith(b"\xfd7zXZ\x00"):
        pieces = _expand(file, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, MOST_MEMORY))
    elif begin.startswith(b"\x28\xb5\x2f\xfd") or (begin[1:4] == b"\x2a\x4d\x18" and begin[0] >> 4 == 5):
        pieces = _unzstd(file)
    else:
        pieces = iter(lambda: file.read(PIECE), b"")
    return Stream(pieces, feed)


def _gunzip(file: BinaryIO) -> Iterator[bytes]:
    """Give the content of gzip members, one after the other; zeros after the last are padding."""
    data = file.read(PIECE)
    while data:
        engine = zlib.decompressobj(31)
        while True:
            piece = engine.decompress(data, PIECE)
            if piece:
                yield piece
            if engine.eof:
                break
            data = engine.unconsumed_tail
            if not data and not piece:
                data = file.read(PIECE)
                if not data:
                    raise Damaged("the compressed data ends too early")
        data = _next(file, engine.unused_data)


def _expand(file: BinaryIO, make: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]) -> Iterator[bytes]:
    """Give the content of streams of bzip2 or xz, one after the other."""
    data = file.read(PIECE)
    while data:
        engine = make()
        while True:
            piece = engine.decompress(data, PIECE)
            if piece:
                yield piece
            if engine.eof:
                break
            data = b""
            if engine.needs_input:
                data = file.read(PIECE)
                if not data:
                    raise Damaged("the compressed data ends too early")
        data = _next(file, engine.unused_data)


def _next(file: BinaryIO, rest: bytes) -> bytes:
    """Return what follows a compressed stream, without the zeros that pad it."""
    while True:
        rest = rest.lstrip(b"\0")
        if rest:
            return rest
        rest = file.read(PIECE)
        if not rest:
            return b""


def _unzstd(file: BinaryIO) -> Iterator[bytes]:
    """Give the content of zstd frames, one after the other."""
    data = file.read(PIECE)
    while data:
        engine = zstandard.ZstdDecompressor(max_window_size=MOST_WINDOW).decompressobj(write_size=PIECE)
        while True:
            # It gives all at once: small pieces go in, so that what comes out of a bomb is bounded too.
            for start in range(0, len(data), ZSTD_PIECE):
                piece = engine.decompress(data[start : start + ZSTD_PIECE])
                if piece:
                    yield piece
                if engine.eof:
                    break
            else:
                data = file.read(PIECE)
                if not data:
                    raise Damaged("the compressed data ends too early")
                continue
            data = engine.unused_data + data[start + ZSTD_PIECE :]
            break
        data = data or file.read(PIECE)
