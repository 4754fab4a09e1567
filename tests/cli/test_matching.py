"""The paths of a project that the glob of a `for-each` means: `vaggapy.cli.matching`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vaggapy.cli.matching import looker
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
