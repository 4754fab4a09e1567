"""The paths of a project that the glob of a `for-each` means: `vaggapy.cli.matching`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vaggapy.cli.matching import MOST_MEMBERS, looker
from vaggapy.errors import CommandError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    for name in (
        "conf/node-b.yaml",
        "conf/node-a.yaml",
        "conf/.hidden.yaml",
        "conf/x.txt",
        "a/b/c/deep.yaml",
        "z.yaml",
    ):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).touch()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "node-x.yaml").touch()
    (directory / "conf" / "node-out.yaml").symlink_to(tmp_path / "outside" / "node-x.yaml")
    (directory / "out").symlink_to(tmp_path / "outside")
    (directory / "in").symlink_to("conf")
    (directory / "a" / "up").symlink_to("..")
    return directory


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("conf/node-*.yaml", "conf/node-a.yaml conf/node-b.yaml"),
        ("/work/conf/node-?.yaml", "conf/node-a.yaml conf/node-b.yaml"),
        ("./conf//node-[!a].yaml", "conf/node-b.yaml"),
        ("conf/.*.yaml", "conf/.hidden.yaml"),
        ("*/*.txt", "conf/x.txt in/x.txt"),
        ("in/node-a*", "in/node-a.yaml"),
        ("**/*.yaml", "a/b/c/deep.yaml conf/node-a.yaml conf/node-b.yaml z.yaml"),
        ("a/**/deep.yaml", "a/b/c/deep.yaml"),
        ("out/*", ""),
        ("*", "a conf in z.yaml"),
        ("no/such", ""),
        ("conf", "conf"),
    ],
)
def test_d14_a_glob_means_paths_of_the_project_sorted_and_nothing_outside(project: Path, glob: str, found: str) -> None:
    assert looker(str(project))(glob) == tuple(found.split())


def test_d14_paths_are_sorted_by_their_bytes(tmp_path: Path) -> None:
    for name in (b"a\xff", "aé".encode(), b"aZ", b"a10", b"a9"):
        (tmp_path / os.fsdecode(name)).touch()
    found = [os.fsencode(path) for path in looker(str(tmp_path))("a*")]
    assert found == [b"a10", b"a9", b"aZ", "aé".encode(), b"a\xff"]


@pytest.mark.parametrize("glob", ["../x", "/etc/*", "a/../../x", "/work//etc/*", "/work/", "."])
def test_a_glob_that_leaves_the_project_is_refused(project: Path, glob: str) -> None:
    with pytest.raises(CommandError, match=r"is not one of paths of the project .* \[check-path\]"):
        looker(str(project))(glob)


def test_d14_a_glob_means_no_more_paths_than_a_child_may_have_members(tmp_path: Path) -> None:
    for number in range(MOST_MEMBERS):
        (tmp_path / f"f{number}").touch()
    assert len(looker(str(tmp_path))("f*")) == MOST_MEMBERS
    (tmp_path / "f").touch()
    with pytest.raises(CommandError) as caught:
        looker(str(tmp_path))("f*")
    assert str(caught.value) == (
        'the glob "f*" of a for-each means more than 1000 paths (write one that means fewer) [too-many-matches]'
    )


def test_d14_many_ways_to_a_directory_are_walked_once(tmp_path: Path) -> None:
    (tmp_path / "/".join("a" * 25)).mkdir(parents=True)
    assert looker(str(tmp_path))("**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/b") == ()
    (tmp_path / "a" / "loop").symlink_to("loop")
    assert looker(str(tmp_path))("a/loop/*") == ()
    assert looker(str(tmp_path))("a/l*") == ("a/loop",)


def test_d14_directories_may_be_as_deep_as_the_kernel_takes_them(tmp_path: Path) -> None:
    deep = os.open(tmp_path, os.O_PATH)
    for _ in range(1100):
        os.mkdir("a", dir_fd=deep)
        deeper = os.open("a", os.O_PATH, dir_fd=deep)
        os.close(deep)
        deep = deeper
    os.close(deep)
    try:
        assert looker(str(tmp_path))("a/**/b") == ()
    finally:
        for _ in range(1099):  # from above: not everybody who cleans up gets so deep
            (tmp_path / "a" / "a").rename(tmp_path / "b")
            (tmp_path / "a").rmdir()
            (tmp_path / "b").rename(tmp_path / "a")
