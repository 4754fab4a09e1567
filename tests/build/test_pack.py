"""Archives of trees: what is kept, what is left out, and that the same tree gives the same bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import socket
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from vaggapy.build import pack
from vaggapy.errors import VaggaError

DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gz": gzip.decompress,
    "bz2": bz2.decompress,
    "xz": lzma.decompress,
    "zst": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a small tree with one of everything that an ordinary user can make."""
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "tool").write_bytes(b"x" * 1000)
    (root / "bin" / "tool").chmod(0o4755)
    os.link(root / "bin" / "tool", root / "bin" / "twin")
    (root / "bin" / "link").symlink_to("tool")
    (root / "empty").mkdir(mode=0o700)
    (root / "zero").touch()
    os.mkfifo(root / "pipe")
    for name in ("bin/tool", "zero", "bin", "empty", "pipe", "."):
        os.utime(root / name, (0, 1_500_000_000))
    os.utime(root / "bin" / "link", (0, 1_500_000_001), follow_symlinks=False)
    return root


def packed(root: Path) -> bytes:
    return b"".join(pack.archive(str(root)))


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: member for member in tar}


def test_an_archive_has_kinds_modes_times_and_links(tree: Path) -> None:
    data = packed(tree)
    found = members(data)
    assert list(found) == [".", "bin", "bin/link", "bin/tool", "bin/twin", "empty", "pipe", "zero"]
    assert found["bin/tool"].mode == 0o4755
    assert (found["bin/tool"].uid, found["bin/tool"].gid) == (os.getuid(), (tree / "bin/tool").stat().st_gid)
    assert found["bin/twin"].islnk()
    assert found["bin/twin"].linkname == "bin/tool"
    assert found["bin/link"].issym()
    assert found["bin/link"].linkname == "tool"
    assert found["pipe"].isfifo()
    assert found["empty"].mode == 0o700
    assert {found[name].mtime for name in (".", "bin", "bin/tool", "pipe")} == {1_500_000_000}
    assert found["bin/link"].mtime == 1_500_000_001
    assert len(data) % (20 * 512) == 0


def test_the_same_tree_made_twice_in_another_order_gives_the_same_bytes(tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "empty").mkdir(parents=True, mode=0o700)
    (other / "zero").touch()
    (other / "bin").mkdir()
    os.mkfifo(other / "pipe")
    (other / "bin" / "link").symlink_to("tool")
    shutil.copy2(tree / "bin" / "tool", other / "bin" / "twin")
    os.link(other / "bin" / "twin", other / "bin" / "tool")
    (other / "bin" / "tool").chmod(0o4755)
    (other / "empty").chmod(0o700)
    for name in ("bin/tool", "zero", "bin", "empty", "pipe", "."):
        os.utime(other / name, (0, 1_500_000_000))
    os.utime(other / "bin" / "link", (0, 1_500_000_001), follow_symlinks=False)
    assert packed(other) == packed(tree)


def test_sockets_are_left_out(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    assert "socket" not in members(packed(tree))


LONG = "d" * 90
NAMES = [
    "n" * 100,
    "n" * 101,
    "n" * 255,
    f"{LONG}/{'n' * 99}",
    f"{LONG}/{'n' * 120}",
    f"{LONG}/{LONG}/{LONG}/n",
    "ü" * 60,
]


@pytest.mark.parametrize("name", NAMES, ids=len)
def test_names_of_any_length_and_links_to_them_are_kept(tmp_path: Path, name: str) -> None:
    root = tmp_path / "r"
    (root / name).parent.mkdir(parents=True)
    (root / name).write_text("content")
    os.link(root / name, root / "~twin")
    (root / "~link").symlink_to(name)
    found = members(packed(root))
    assert {name, "~twin", "~link"} <= set(found)
    assert found["~link"].linkname == name
    linked = [member for member in found.values() if member.islnk()]
    assert [{member.name, member.linkname} for member in linked] == [{name, "~twin"}]


def test_names_that_are_not_utf8_are_kept(tmp_path: Path) -> None:
    root = tmp_path / "r"
    root.mkdir()
    for name in (b"\xff", b"\xfe" * 120):
        (root / os.fsdecode(name)).touch()
    data = packed(root)
    listed = subprocess.run(["tar", "-t", "--quoting-style=literal"], input=data, capture_output=True, check=True)
    assert set(listed.stdout.split()) == {b"./", b"\xff", b"\xfe" * 120}
    assert listed.stderr == b""


def status(**other: int) -> os.stat_result:
    numbers = {"mode": 0o100644, "uid": 0, "gid": 0, "size": 0, "mtime_ns": 0, **other}
    first = (numbers["mode"], 1, 1, 1, numbers["uid"], numbers["gid"], numbers["size"])
    return os.stat_result(
        (*first, 0, numbers["mtime_ns"] // 10**9, 0),
        {"st_mtime_ns": numbers["mtime_ns"]},
    )


@pytest.mark.parametrize(
    ("field", "value", "seen"),
    [
        ("uid", 0o7777777, 0o7777777),
        ("uid", 0o10000000, 0o10000000),
        ("gid", 4_000_000_000, 4_000_000_000),
        ("size", 0o77777777777, 0o77777777777),
        ("size", 0o100000000000, 0o100000000000),
        ("mtime_ns", 1_500_000_000_250_000_000, 1_500_000_000.25),
        ("mtime_ns", -1_500_000_000, -1.5),
        ("mtime_ns", 10**9 * 0o100000000000, 0o100000000000),
    ],
)
def test_numbers_that_do_not_fit_the_old_header_are_in_an_extended_one(field: str, value: int, seen: float) -> None:
    data = pack.header(b"name", pack.REGULAR, status(**{field: value}))
    (member,) = [tarfile.TarInfo.frombuf(data[-512:], "utf-8", "surrogateescape")]
    assert member.name == "name"
    with tarfile.open(fileobj=io.BytesIO(data + bytes(1024))) as tar:
        first = tar.next()
    assert first is not None
    assert getattr(first, field.removesuffix("_ns")) == seen


def test_a_capability_is_kept_byte_for_byte() -> None:
    capability = bytes.fromhex("0100000200200000000000000000000000000000ff0a3d00")
    data = pack.header(b"ping", pack.REGULAR, status(), capability=capability)
    assert b"SCHILY.xattr.security.capability=" + capability + b"\n" in data
    length, _, _ = data[512:].partition(b" ")
    assert data[512 + int(length) - 1 : 512 + int(length)] == b"\n"


def test_gnu_tar_unpacks_the_same_tree_without_a_word(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        ["tar", "-x", "-p", "-C", str(tmp_path / "out")], input=packed(tree), capture_output=True, check=True
    )
    assert done.stderr == b""
    assert packed(tmp_path / "out") == packed(tree)


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz", "zst"])
def test_every_compression_holds_the_same_archive_and_is_the_same_twice(
    tree: Path, tmp_path: Path, compression: str
) -> None:
    for name in ("one", "two"):
        pack.pack(str(tree), str(tmp_path / name), compression)
    data = (tmp_path / "one").read_bytes()
    assert data == (tmp_path / "two").read_bytes()
    assert DECOMPRESS[compression](data) == packed(tree)


def test_a_reader_that_is_gone_has_the_exit_code_of_a_closed_pipe() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        with pytest.raises(VaggaError) as caught:
            pack.Output(write, None).write(b"x")
    finally:
        os.close(write)
    assert (caught.value.name, caught.value.code) == ("pack-write", 141)


def test_a_full_disk_is_an_error_that_says_so(tree: Path) -> None:
    with pytest.raises(VaggaError, match="No space left on device"):
        pack.pack(str(tree), "/dev/full", "")
