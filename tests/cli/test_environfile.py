"""`environ-file`: which lines are variables, which files are read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vaggapy.cli.environfile import parse, variables
from vaggapy.config.model import Container, Host
from vaggapy.errors import CommandError, Mark

SHOWN = "the file"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("A=1", [("A", "1")]),
        ("A=1\nB=2\n", [("A", "1"), ("B", "2")]),
        ("\n  \n# A=1\n   # B=2\nC=3\n\n", [("C", "3")]),
        ("A=\n", [("A", "")]),
        ("A=a=b\n", [("A", "a=b")]),
        ("A=a # no comment\n", [("A", "a # no comment")]),
        ('A="two words"\nB=in "side"\n', [("A", "two words"), ("B", 'in "side"')]),
        (" A = x \n", [("A", " x ")]),
        ("A=1\r\nB=2\r\n", [("A", "1"), ("B", "2")]),
        ("A=one\x85two\x0cthree\n", [("A", "one\x85two\x0cthree")]),
        ("A=1\nA=2\n", [("A", "1"), ("A", "2")]),
        ("A=\udcff\n", [("A", "\udcff")]),
    ],
)
def test_lines_with_an_equals_sign_are_variables(text: str, expected: list[tuple[str, str]]) -> None:
    assert list(parse(text, SHOWN)) == expected


@pytest.mark.parametrize("text", ["A=1\nexport\n", "A=1\n=2\n", "A=1\n =2\n", "A=1\nB=\0\n"])
def test_a_line_that_is_no_variable_is_named_by_its_number(text: str) -> None:
    with pytest.raises(CommandError) as raised:
        parse(text, SHOWN)
    assert str(raised.value) == "the file: line 2 is no NAME=VALUE (mend it) [environ-file]"
    assert raised.value.code == 124


def container(path: str, host: Host | None = None) -> Container:
    return Container("c", Mark("vagga.yaml"), host, environ_file=path)


def test_a_path_is_one_of_the_root_and_below_work_one_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "project").mkdir()
    (tmp_path / "root/etc/own").write_text("A=root\n")
    (tmp_path / "project/own").write_text("A=project\n")
    places = (str(tmp_path / "root"), str(tmp_path / "project"))
    assert variables(container("/etc/own"), *places) == [("A", "root")]
    assert variables(container("/work/own"), *places) == [("A", "project")]


def test_links_are_followed_inside_the_root_only(tmp_path: Path) -> None:
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/own").write_text("A=root\n")
    (tmp_path / "own").write_text("A=outside\n")
    (tmp_path / "root/inside").symlink_to("/etc/own")
    (tmp_path / "root/outside").symlink_to(tmp_path / "own")
    (tmp_path / "root/up").symlink_to("../../own")
    places = (str(tmp_path / "root"), str(tmp_path))
    assert variables(container("/inside"), *places) == [("A", "root")]
    for path in ("/outside", "/up", "/etc/../../own"):
        with pytest.raises(CommandError, match=r"No such file or directory .*\[environ-file\]"):
            variables(container(path), *places)


def test_what_the_container_does_not_see_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/own").write_text("A=secret\n")
    (tmp_path / "link").symlink_to("home/own")
    for path in ("/home/own", "/link"):
        with pytest.raises(CommandError, match="No such file or directory"):
            variables(container(path), str(tmp_path), str(tmp_path), lambda real: f"{tmp_path}/home" in real)


def test_what_is_no_file_or_too_large_is_told_and_a_pipe_does_not_hold_us_up(tmp_path: Path) -> None:
    (tmp_path / "large").write_text("A=" + "x" * 2**20)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    places = (str(tmp_path), str(tmp_path))
    with pytest.raises(CommandError, match="is larger than 1 MiB"):
        variables(container("/large"), *places)
    with pytest.raises(CommandError, match="Is a directory"):
        variables(container("/directory"), *places)
    assert variables(container("/pipe"), *places) == []
