"""Makers of archives, good and hostile, for the tests of everything that unpacks."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import warnings
import zipfile
from pathlib import Path

import zstandard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MOMENT = 1_500_000_000


def file(name: str, content: bytes = b"content", **more: object) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, tarfile.REGTYPE, size=len(content), **more), content


def directory(name: str, **more: object) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, tarfile.DIRTYPE, **{"mode": 0o755, **more}), b""


def symlink(name: str, text: str, **more: object) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, tarfile.SYMTYPE, linkname=text, mode=0o777, **more), b""


def hard_link(name: str, other: str, **more: object) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, tarfile.LNKTYPE, linkname=other, **more), b""


def device(name: str, kind: bytes = tarfile.CHRTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, kind, devmajor=1, devminor=3), b""


def member(name: str, kind: bytes, **more: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = 0o644
    info.mtime = MOMENT
    for key, value in more.items():
        setattr(info, key, value)
    return info


def tar(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=form, errors="surrogateescape") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return target.getvalue()


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


def zipped(*members: tuple[str, bytes, int], **more: int) -> bytes:
    """Make a zip of (name, content, mode with the kind of file)."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name, (2017, 7, 14, 2, 40, 0))
            info.create_system = 3
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            for key, value in more.items():
                setattr(info, key, value)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of equal names
                archive.writestr(info, content)
    return target.getvalue()


# Each tries to write outside of the directory it is unpacked into, where `OUTSIDE` stands for a path to a directory
# that must stay as it is. What it comes to inside, or which error, is not said here.
OUTSIDE = "OUTSIDE"


def hostile(outside: str) -> dict[str, bytes]:
    """Return archives by name; those named `zip-...` are zip."""
    up = "../" * 30 + outside.lstrip("/")
    link = stat.S_IFLNK | 0o777
    regular = stat.S_IFREG | 0o644
    return {
        "absolute": tar(file(f"{outside}/absolute")),
        "dotdot": tar(file("../dotdot")),
        "dotdot-far": tar(file(f"{up}/dotdot")),
        "dotdot-inside": tar(directory("a"), file("a/../../dotdot")),
        "dotdot-directory": tar(directory("../made")),
        "dot-dotdot": tar(file("./../dotdot")),
        "link-then-file": tar(symlink("a", outside), file("a/through")),
        "link-up-then-file": tar(symlink("a", up), file("a/through")),
        "link-in-two-steps": tar(symlink("a", "."), symlink("a/b", ".."), file("b/../through"), file("a/b/through")),
        "link-chain": tar(symlink("a", "b"), symlink("b", outside), file("a/through")),
        "link-then-same-name": tar(symlink("a", f"{outside}/victim"), file("a", b"overwritten")),
        "link-then-directory": tar(symlink("a", outside), directory("a", mode=0o777), file("a/through")),
        "link-then-directory-mode": tar(symlink("a", outside), directory("a", mode=0o000)),
        "directory-then-link": tar(directory("a", mode=0o000, mtime=1), symlink("a", outside)),
        "empty-directory-then-link-then-file": tar(directory("a"), symlink("a", outside), file("a/through")),
        "link-to-dotdot": tar(symlink("a", ".."), file("a/through")),
        "hard-link-absolute": tar(hard_link("a", f"{outside}/victim"), file("a", b"overwritten")),
        "hard-link-dotdot": tar(hard_link("a", f"{up}/victim"), file("a", b"overwritten")),
        "hard-link-through-link": tar(symlink("l", outside), hard_link("a", "l/victim"), file("a", b"overwritten")),
        "hard-link-to-link": tar(symlink("l", f"{outside}/victim"), hard_link("a", "l"), file("a", b"overwritten")),
        "hard-link-mode": tar(symlink("l", outside), hard_link("a", "l/victim", mode=0o777)),
        "device": tar(device("null"), device("disk", tarfile.BLKTYPE), device("fifo", tarfile.FIFOTYPE)),
        "device-through-link": tar(symlink("l", outside), device("l/null")),
        "symlink-through-link": tar(symlink("l", outside), symlink("l/made", "x")),
        "long-name": tar(file(f"{'../' * 200}{outside.lstrip('/')}/long")),
        "pax-path": tar(file("harmless", pax_headers={"path": f"{outside}/pax"})),
        "pax-linkpath": tar(symlink("l", "x", pax_headers={"linkpath": outside}), file("l/through")),
        "case": tar(symlink("LINK", outside), directory("link"), file("link/through"), file("Link/through")),
        "nul": tar(file("a", pax_headers={"path": "a\0b"})),
        "newline": tar(file("a\n../b"), file("\n"), symlink("c\n", outside), file("c\n/through")),
        "latin": tar(symlink("\udce9", outside), file("\udce9/through")),
        "root-itself": tar(symlink(".", outside), file("through")),
        "root-slash": tar(symlink("/", outside), file("through")),
        "zip-absolute": zipped((f"{outside}/absolute", b"x", regular)),
        "zip-dotdot": zipped(("../dotdot", b"x", regular)),
        "zip-link-then-file": zipped(("a", outside.encode(), link), ("a/through", b"x", regular)),
        "zip-link-then-same": zipped(("a", f"{outside}/victim".encode(), link), ("a", b"overwritten", regular)),
        "zip-link-then-directory": zipped(("a", outside.encode(), link), ("a/", b"", stat.S_IFDIR | 0o777)),
        "zip-backslash": zipped(("..\\..\\x", b"x", regular)),
    }


def state(place: Path) -> list[tuple[str, int, int, int, bytes]]:
    """Return everything in a directory, for a comparison of before and after."""
    found = []
    for path in [place, *sorted(place.rglob("*"))]:
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found.append((str(path), status.st_mode, status.st_nlink, status.st_mtime_ns, content))
    return found
