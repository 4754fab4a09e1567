"""What file actions do to a tree, and that nothing in it leads them out."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from vaggapy.build.actions import Empty, FileAction, Install, KeepOnly, Link, MakeDirectory, Remove, WriteFile
from vaggapy.build.tree import Places, Tree, carry_out, delete
from vaggapy.errors import CommandError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a tree with links that would lead out, were they followed from outside."""
    root = tmp_path / "root"
    outside = tmp_path / "outside"
    for path in (root / "etc", root / "usr/lib", outside):
        path.mkdir(parents=True)
    (outside / "victim").write_text("untouched")
    (root / "out").symlink_to(outside)
    (root / "up").symlink_to("../outside")
    (root / "lib").symlink_to("/usr/lib")
    (root / "loop").symlink_to("loop")
    return root


def do(root: Path, action: FileAction, moved: dict[str, str] | None = None) -> None:
    with Tree(str(root)) as tree:
        carry_out(action, tree, places=Places(moved or {}))


def refusal(root: Path, action: FileAction) -> str:
    with pytest.raises(CommandError) as caught:
        do(root, action)
    assert caught.value.name == "build-files"
    return caught.value.what


@pytest.mark.parametrize("link", ["out", "up"])
def test_no_action_follows_a_link_out_of_the_tree(root: Path, link: str) -> None:
    actions: list[FileAction] = [
        WriteFile(f"/{link}/victim", "x"),
        WriteFile(f"/{link}/new", "x"),
        MakeDirectory(f"/{link}/made"),
        Remove(f"/{link}/victim"),
        Empty(f"/{link}"),
        Link(f"/{link}/victim", "x"),
        Remove("/../outside/victim"),
        KeepOnly((f"/{link}/other",)),
    ]
    for action in actions:
        try:
            do(root, action)
        except CommandError:
            pass
    outside = root.parent / "outside"
    assert os.listdir(outside) == ["victim"]
    assert (outside / "victim").read_text() == "untouched"


def test_links_are_followed_inside_the_tree_as_for_its_programs(root: Path) -> None:
    do(root, WriteFile("/lib/x", "text"))
    assert (root / "usr/lib/x").read_text() == "text"


def test_a_file_gets_its_mode_and_only_wanted_parents(root: Path) -> None:
    do(root, WriteFile("/etc/a", "1", 0o600))
    do(root, WriteFile("/etc/a", "2", append=True))
    assert (root / "etc/a").read_text() == "12"
    assert stat.S_IMODE((root / "etc/a").stat().st_mode) == 0o600
    assert refusal(root, WriteFile("/no/a", "x")) == "/no/a: no such file or directory"
    do(root, WriteFile("/no/b/a", "x", parents=True))
    assert stat.S_IMODE((root / "no").stat().st_mode) == 0o755


def test_making_a_directory_leaves_one_alone_and_refuses_something_else(root: Path) -> None:
    do(root, MakeDirectory("/a/b/c", 0o1777))
    assert stat.S_IMODE((root / "a/b/c").stat().st_mode) == 0o1777
    do(root, MakeDirectory("/a/b/c", 0o700))
    assert stat.S_IMODE((root / "a/b/c").stat().st_mode) == 0o1777
    (root / "f").touch()
    assert refusal(root, MakeDirectory("/f")) == "/f: not a directory"
    assert "loop" in refusal(root, MakeDirectory("/loop/x"))
    (root / "dangling").symlink_to("nowhere")
    assert refusal(root, MakeDirectory("/dangling/x"))


def test_removing_takes_all_in_a_directory_and_no_link_out_of_it(root: Path) -> None:
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/f").touch()
    (root / "a/out").symlink_to(root.parent / "outside")
    (root / "a/b").chmod(0)
    (root / "a").chmod(0o500)
    do(root, Remove("/a"))
    do(root, Remove("/a"))
    do(root, Remove("/a/b/c"))
    do(root, Remove("/out"))
    assert not {"a", "out"} & set(os.listdir(root))
    assert (root.parent / "outside/victim").exists()


def test_the_top_itself_is_not_removed(root: Path) -> None:
    assert refusal(root, Remove("/")) == "/: names no entry of a directory"
    assert refusal(root, Remove("/etc/.."))


def test_a_tree_of_any_depth_is_removed(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    fd = os.open(tmp_path / "deep", os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    delete(str(tmp_path / "deep"))
    delete(str(tmp_path / "deep"))
    assert not (tmp_path / "deep").exists()


def test_emptying_keeps_the_directory(root: Path) -> None:
    (root / "etc/a").mkdir()
    (root / "etc/a/b").touch()
    (root / "etc/c").touch()
    do(root, Empty("/etc"))
    assert not os.listdir(root / "etc")
    do(root, Empty("/nothing/there"))


def test_keeping_paths_removes_all_else(root: Path) -> None:
    for name in ("var/lib/pg/data", "var/lib/other", "var/cache/x", "etc/passwd"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    do(root, KeepOnly(("/var/lib/pg", "/etc/passwd/")))
    with Tree(str(root)) as tree:
        found = [path for path, _ in tree.walk()]
    assert found == ["/etc", "/var", "/etc/passwd", "/var/lib", "/var/lib/pg", "/var/lib/pg/data"]


def test_a_link_replaces_a_file_and_no_directory(root: Path) -> None:
    (root / "etc/a").touch()
    do(root, Link("/etc/a", "/b"))
    do(root, Link("/etc/a", "/c"))
    assert os.readlink(root / "etc/a") == "/c"
    assert refusal(root, Link("/etc", "x")) == "/etc: is a directory"


def test_a_file_is_installed_in_place_of_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "cached").write_bytes(b"x" * 100_000)
    (root / "f").symlink_to(tmp_path / "outside/victim")
    do(root, Install("/vagga/cache/cached", "/f", 0o755), {"/vagga/cache": str(tmp_path)})
    assert (root / "f").read_bytes() == b"x" * 100_000
    assert stat.S_IMODE((root / "f").lstat().st_mode) == 0o755
    assert (tmp_path / "outside/victim").read_text() == "untouched"
    assert "/no/source: no such file" in refusal(root, Install("/no/source", "/g"))


def test_a_fifo_is_not_waited_for(root: Path) -> None:
    os.mkfifo(root / "p")
    assert refusal(root, WriteFile("/p", "x"))
    with Tree(str(root)) as tree, pytest.raises(OSError, match="is no regular file"):
        tree.read("/p")


def test_no_descriptor_is_left_open(root: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with Tree(str(root)) as tree:
        for action in (MakeDirectory("/a/b/c/d"), WriteFile("/a/f", "x"), Remove("/a"), MakeDirectory("/loop/x")):
            try:
                carry_out(action, tree)
            except CommandError:
                pass
        assert tree.lstat("/nowhere") is None
    assert len(os.listdir("/proc/self/fd")) == len(before)
