"""`vagga _pack_image`: the archive has the ids of the namespace, comes whole or not at all, and is a root again."""

from __future__ import annotations

import hashlib
import io
import os
import pty
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest

from integration.runs import PATIENCE, VAGGA, Project, has_ranges, need, wait_until
from integration.test_build_steps import build, built, small

__all__ = ["small"]


def packed(project: Project, *words: str, environ: dict[str, str] | None = None) -> bytes:
    done = subprocess.run(
        [*VAGGA, "_pack_image", *words, "c"],
        cwd=project.directory,
        env={**project.environ, **(environ or {})},
        capture_output=True,
        check=False,
        timeout=2 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: member for member in tar}


def test_an_image_is_built_if_needed_and_packed_with_the_ids_of_the_namespace(small: Project) -> None:
    need(has_ranges(), "more than one id")
    step = "!Sh 'echo x > /owned; chown 7:8 /owned; mkdir /closed; chmod 700 /closed; chown 9:9 /closed'"
    assert build(small, step).code == 0
    assert small.run("_clean", "--everything").code == 0
    data = packed(small)
    found = members(data)
    assert (found["owned"].uid, found["owned"].gid) == (7, 8)
    assert (found["closed"].uid, found["closed"].mode) == (9, 0o700)
    assert (found["bin/sh"].uid, found["bin/sh"].linkname) == (0, "busybox")
    assert packed(small) == data


def test_a_packed_image_is_the_same_root_again(small: Project) -> None:
    built(small, "!Sh 'mkdir /a; echo x > /a/b; ln /a/b /a/c; ln -s b /a/d'")
    first = packed(small)
    (small.directory / "root.tar").write_bytes(first)
    (small.directory / "vagga.yaml").write_text("containers:\n  c:\n    setup:\n    - !Tar {url: ./root.tar}\n")
    changing = {".", "etc", "etc/hosts", "etc/resolv.conf", "dev", "proc", "run", "sys", "tmp", "work"}
    again = members(packed(small))
    before = members(first)
    assert set(before) == set(again)
    for name in set(before) - changing:
        one, other = before[name], again[name]
        assert (one.mode, one.uid, one.gid, one.mtime, one.type, one.linkname) == (
            (other.mode, other.uid, other.gid, other.mtime, other.type, other.linkname)
        ), name
        assert one.pax_headers.get("mtime") == other.pax_headers.get("mtime"), f"{name}: all nine digits"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file a capability from outside")
def test_a_capability_is_packed(small: Project) -> None:
    value = "0100000200200000" + "00" * 12
    root = built(small, "!Sh 'cp /bin/busybox /bin/raw'")
    os.setxattr(root / "bin/raw", "security.capability", bytes.fromhex(value))
    assert b"SCHILY.xattr.security.capability=" + bytes.fromhex(value) in packed(small)


@pytest.mark.parametrize(("word", "begin"), [("-z", b"\x1f\x8b"), ("-j", b"BZh"), ("-J", b"\xfd7zXZ")])
def test_an_archive_can_be_compressed(small: Project, word: str, begin: bytes) -> None:
    built(small)
    data = packed(small, word)
    assert data.startswith(begin)
    assert "bin/busybox" in members(data)


def test_a_file_is_named_from_the_current_directory_and_replaced_when_it_is_whole(small: Project) -> None:
    built(small)
    below = small.directory / "below"
    below.mkdir()
    (below / "out.tar").write_text("old")
    assert small.run("_pack_image", "-f", "out.tar", "c", cwd=below).code == 0
    assert (below / "out.tar").read_bytes() == packed(small)
    assert os.listdir(below) == ["out.tar"]


def test_nothing_is_left_of_an_archive_that_cannot_be_written(small: Project) -> None:
    built(small)
    result = small.run("_pack_image", "--file", "gone/out.tar", "c")
    assert (result.code, "[pack-write]" in result.err) == (121, True), result
    limited = ("sh", "-c", 'ulimit -f 100; exec "$@"', "sh")
    result = small.run("_pack_image", "--file", "out.tar", "c", under=limited)
    assert result.code != 0
    assert not [name for name in os.listdir(small.directory) if "out.tar" in name]


def test_an_archive_is_not_written_to_a_terminal(small: Project) -> None:
    built(small)
    ours, theirs = pty.openpty()
    try:
        result = small.start("_pack_image", "c", stdout=theirs).finish()
    finally:
        os.close(ours)
        os.close(theirs)
    assert (result.code, "[pack-terminal]" in result.err) == (122, True), result


def test_a_reader_that_stops_ends_it_without_a_word(small: Project) -> None:
    built(small)
    read, write = os.pipe()
    running = small.start("_pack_image", "c", stdout=write)
    os.close(write)
    os.read(read, 1)
    os.close(read)
    result = running.finish()
    assert (result.code, result.err) == (141, "")


def test_a_signal_ends_it_and_leaves_no_file(small: Project) -> None:
    built(small, "!Sh 'i=0; while [ $i -lt 9 ]; do cat /bin/busybox /bin/busybox >> /large; i=$((i+1)); done'")
    running = small.start("_pack_image", "-J", "-f", "out.tar.xz", "c")
    wait_until(lambda: any("out.tar.xz" in name for name in os.listdir(small.directory)), "the file")
    running.signal(signal.SIGTERM)
    assert running.finish().code == 143
    assert not [name for name in os.listdir(small.directory) if "out.tar" in name]


def test_messages_go_to_standard_error_also_when_it_builds_first(small: Project, tmp_path: Path) -> None:
    assert build(small).code == 0
    want = hashlib.sha256(packed(small)).hexdigest()
    assert small.run("_clean", "--old", "--layers").code == 0
    assert hashlib.sha256(packed(small, "--no-build")).hexdigest() == want
    assert small.run("_clean", "--everything").code == 0
    assert small.run("_pack_image", "--no-build", "c").code == 29
    with open(tmp_path / "archive", "wb") as file:
        result = small.start("_pack_image", "c", stdout=file.fileno()).finish()
    assert "built in" in result.err
    assert tarfile.is_tarfile(tmp_path / "archive")
