"""Copies into the tree, and that they agree with the digests of their sources."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vaggapy.build.actions import Copy, Selection
from vaggapy.build.copying import copy
from vaggapy.build.index import Index
from vaggapy.build.inputs import Places as HostPlaces
from vaggapy.build.inputs import digest
from vaggapy.build.sources import KEEP, UMASK
from vaggapy.build.sources import Tree as Source
from vaggapy.build.tree import Places, Tree
from vaggapy.errors import CommandError


class Here:
    """A project and a tree to copy into."""

    def __init__(self, directory: Path) -> None:
        self.work = directory / "project"
        self.root = directory / "root"
        self.other = directory / "other"
        for made in (self.work, self.root, self.other):
            made.mkdir()
        moved = {"/work": str(self.work), "/vagga/roots/other": str(self.other)}
        self.places = Places(moved)

    def copy(self, source: str = "/work/a", path: str = "/a", **fields: object) -> None:
        with Tree(str(self.root)) as tree:
            copy(Copy(source, path, **fields), tree, self.places)  # type: ignore[arg-type]

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*"))


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    before = os.umask(0o022)
    made = Here(tmp_path)
    (made.work / "a" / "sub").mkdir(parents=True)
    (made.work / "a" / "file").write_text("one")
    (made.work / "a" / "sub" / "script").write_text("two")
    (made.work / "a" / "sub" / "script").chmod(0o700)
    (made.work / "a" / "link").symlink_to("/etc/passwd")
    yield made
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_tree_is_copied_with_modes_from_the_umask_and_one_time(here: Here) -> None:
    here.copy()
    assert here.names() == ["a", "a/file", "a/link", "a/sub", "a/sub/script"]
    assert (here.root / "a" / "file").read_text() == "one"
    assert os.readlink(here.root / "a" / "link") == "/etc/passwd"
    assert [mode(here.root / "a" / name) for name in (".", "file", "sub", "sub/script")] == [0o775, 0o664, 0o775, 0o775]
    assert {path.lstat().st_mtime for path in here.root.rglob("*")} == {1}


def test_modes_and_times_can_be_kept(here: Here) -> None:
    (here.work / "a" / "file").chmod(0o604)
    (here.work / "a" / "sub").chmod(0o555)
    os.utime(here.work / "a" / "file", ns=(7, 123456789))
    here.copy(keep_modes=True, keep_times=True)
    assert [mode(here.root / "a" / name) for name in ("file", "sub", "sub/script")] == [0o604, 0o555, 0o700]
    assert (here.root / "a" / "file").stat().st_mtime_ns == 123456789
    (here.work / "a" / "sub").chmod(0o755)
    (here.root / "a" / "sub").chmod(0o755)


def test_a_single_file_replaces_a_link_and_is_not_written_through_it(here: Here, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("mine")
    (here.root / "a").symlink_to(tmp_path / "outside")
    here.copy("/work/a/file")
    assert (tmp_path / "outside").read_text() == "mine"
    assert (here.root / "a").read_text() == "one" and not (here.root / "a").is_symlink()


def test_a_file_that_has_other_names_is_replaced_and_not_written(here: Here) -> None:
    (here.root / "a").mkdir()
    (here.root / "other").write_text("mine")
    os.link(here.root / "other", here.root / "a" / "file")
    here.copy()
    assert (here.root / "other").read_text() == "mine"
    assert (here.root / "a" / "file").read_text() == "one"


def test_missing_parents_are_made(here: Here) -> None:
    here.copy(path="/x/y/z")
    assert (here.root / "x" / "y" / "z" / "file").read_text() == "one"


def test_a_directory_that_is_there_stays_as_it_is(here: Here) -> None:
    (here.root / "a" / "sub").mkdir(parents=True)
    (here.root / "a" / "sub").chmod(0o711)
    (here.root / "a" / "sub" / "old").touch()
    here.copy()
    assert mode(here.root / "a" / "sub") == 0o711
    assert "a/sub/old" in here.names() and "a/sub/script" in here.names()


def test_a_link_of_the_tree_to_a_directory_is_followed_inside_the_tree_only(here: Here, tmp_path: Path) -> None:
    (here.root / "a").mkdir()
    (here.root / "real").mkdir()
    (here.root / "a" / "sub").symlink_to("/real")
    here.copy()
    assert (here.root / "real" / "script").exists()
    (tmp_path / "outside").mkdir()
    (here.root / "a" / "sub").unlink()
    (here.root / "a" / "sub").symlink_to(tmp_path / "outside")
    here.copy()
    assert not list((tmp_path / "outside").iterdir())
    assert (here.root / "a" / "sub" / "script").exists()


def test_a_file_in_place_of_a_directory_goes_but_not_a_directory_in_place_of_a_file(here: Here) -> None:
    (here.root / "a").mkdir()
    (here.root / "a" / "sub").write_text("x")
    here.copy()
    assert (here.root / "a" / "sub" / "script").exists()
    (here.root / "a" / "file").unlink()
    (here.root / "a" / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        here.copy()


def test_only_what_is_selected_is_copied(here: Here) -> None:
    (here.work / "a" / "empty").mkdir()
    here.copy(selection=Selection(("/sub/s*",)))
    assert here.names() == ["a", "a/sub", "a/sub/script"]
    here.copy(path="/b", selection=Selection(("/empty/", "/sub/none")))
    assert [name for name in here.names() if name.startswith("b")] == ["b", "b/empty"]


def test_pipes_are_left_out_with_a_warning(here: Here, capfd: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(here.work / "a" / "pipe")
    here.copy()
    assert "a/pipe" not in here.names()
    assert "/work/a/pipe: left out" in capfd.readouterr().err


def test_holes_stay_holes_and_large_files_arrive_whole(here: Here) -> None:
    with open(here.work / "a" / "large", "wb") as file:
        file.write(b"begin")
        file.seek(8 << 20)
        file.write(os.urandom(1 << 20))
        file.truncate(32 << 20)
    here.copy()
    copied = here.root / "a" / "large"
    assert copied.read_bytes() == (here.work / "a" / "large").read_bytes()
    assert copied.stat().st_blocks * 512 < 4 << 20


def test_a_name_that_is_not_utf8_is_copied(here: Here) -> None:
    (here.work / "a" / os.fsdecode(b"\xff\n")).write_text("x")
    here.copy()
    assert b"\xff\n" in os.listdir(os.fsencode(here.root / "a"))


def test_the_source_may_be_in_the_tree_and_its_links_stay_there(here: Here) -> None:
    (here.root / "data").mkdir()
    (here.root / "data" / "x").write_text("x")
    (here.root / "way").symlink_to("/data")
    here.copy("/way/x", "/y")
    assert (here.root / "y").read_text() == "x"


def test_the_root_of_another_container_is_copied_and_its_links_stay_there(here: Here) -> None:
    (here.other / "usr").mkdir()
    (here.other / "usr" / "x").write_text("x")
    (here.other / "way").symlink_to("/usr")
    here.copy("/vagga/roots/other", "/", keep_modes=True)
    here.copy("/vagga/roots/other/way/x", "/y")
    assert here.names() == ["usr", "usr/x", "way", "y"]


def test_a_directory_is_not_copied_into_itself(here: Here) -> None:
    (here.root / "data").mkdir()
    with pytest.raises(CommandError, match=r"\[copy-into-itself\]"):
        here.copy("/data", "/data/copy")
    with pytest.raises(CommandError, match=r"\[copy-into-itself\]"):
        here.copy("/", "/data/all")


def test_a_missing_source_and_a_way_out_of_the_project_are_errors(here: Here) -> None:
    for source in ("/work/none", "/work/none/x", "/none"):
        with pytest.raises(CommandError, match=r"\[input-missing\]"):
            here.copy(source)
    (here.work / "out").symlink_to(here.root)
    with pytest.raises(CommandError, match=r"\[input-outside\]"):
        here.copy("/work/out/x")


# --- copies and digests agree -------------------------------------------------------------------------------------

NAME = st.sampled_from(["a", "b", "c.py", "d~"])
RULE = st.sampled_from(["/", "/a", "/a/", "/**/*.py", "!*~", "!b", "/b/a", "!a/", "/*"])
NODE = st.tuples(st.lists(NAME, min_size=1, max_size=3), st.sampled_from(["", "x", "dir", "link"]), st.booleans())


def grown(top: Path, nodes: list[tuple[list[str], str, bool]]) -> None:
    for parts, what, executable in nodes:
        place = top.joinpath(*parts)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if what == "dir":
                place.mkdir()
            elif what == "link":
                place.symlink_to("x")
            else:
                place.write_text(what)
                place.chmod(0o755 if executable else 0o640)
        except OSError:
            continue


def everything(top: Path) -> list[tuple[object, ...]]:
    """Return all that can be told of a tree."""
    found: list[tuple[object, ...]] = []
    for path in sorted(top.rglob("*")):
        kind = stat.S_IFMT(path.lstat().st_mode)
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found.append((str(path.relative_to(top)), kind, 0 if path.is_symlink() else mode(path), content))
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.lists(NODE, max_size=6),
    more=st.lists(NODE, max_size=2),
    rules=st.lists(RULE, max_size=3),
    keep=st.booleans(),
)
def test_two_sources_have_equal_digests_if_and_only_if_their_copies_are_equal(
    tmp_path_factory: pytest.TempPathFactory,
    first: list[tuple[list[str], str, bool]],
    more: list[tuple[list[str], str, bool]],
    rules: list[str],
    keep: bool,
) -> None:
    selection = Selection(tuple(rules))
    outcomes = []
    for nodes in (first, [*first, *more]):
        here = Here(tmp_path_factory.mktemp("pair"))
        (here.work / "t").mkdir()
        grown(here.work / "t", nodes)
        here.copy("/work/t", "/t", selection=selection, keep_modes=keep)
        source = Source("/work/t", selection, KEEP if keep else UMASK, owners=True)
        outcomes.append((digest(source, HostPlaces(str(here.work)), Index()), everything(here.root)))
    (digest_one, copy_one), (digest_two, copy_two) = outcomes
    assert (digest_one == digest_two) == (copy_one == copy_two)
