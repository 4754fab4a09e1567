"""What a version depends on, looked at on the host."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from vaggapy.build.actions import Selection
from vaggapy.build.index import SETTLED, Index, clock
from vaggapy.build.inputs import Places, digest
from vaggapy.build.requirements import included, requirement_lines
from vaggapy.build.rules import DEFAULT_IGNORE, DEFAULT_RULES
from vaggapy.build.sources import (
    KEEP,
    UMASK,
    FileContent,
    GitDescription,
    ImageDigest,
    Requirements,
    RootTree,
    Tree,
    Value,
)
from vaggapy.errors import CommandError
from vaggapy.sandbox.spec import Extent, IdMaps

NO_INDEX = Index()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    (project / "dir" / "sub").mkdir(parents=True)
    (project / "dir" / "a.py").write_text("a")
    (project / "dir" / "sub" / "b.txt").write_text("b")
    (project / "dir" / "link").symlink_to("/nowhere")
    return project


def look(work: Path, source: object, index: Index = NO_INDEX) -> bytes | None:
    return digest(source, Places(str(work)), index)  # type: ignore[arg-type]


def of(work: Path, path: str = "/work/dir", **fields: object) -> bytes | None:
    return look(work, Tree(path, **fields))  # type: ignore[arg-type]


# --- trees --------------------------------------------------------------------------------------------------------


def test_the_same_tree_in_another_place_has_the_same_digest(work: Path, tmp_path: Path) -> None:
    before = of(work)
    work.rename(tmp_path / "moved")
    assert of(tmp_path / "moved") == before != of(tmp_path / "moved", "/work")


@pytest.mark.parametrize(
    "change",
    [
        lambda top: (top / "a.py").write_text("x"),
        lambda top: (top / "a.py").chmod(0o755),
        lambda top: (top / "a.py").rename(top / "c.py"),
        lambda top: (top / "new").mkdir(),
        lambda top: (top / "new").symlink_to("a.py"),
        lambda top: (top / "sub" / "b.txt").unlink(),
    ],
)
def test_what_counts_changes_the_digest(work: Path, change: object) -> None:
    before = of(work)
    assert callable(change)
    change(work / "dir")
    assert of(work) != before


def test_modes_count_as_far_as_the_source_says(work: Path) -> None:
    (work / "dir" / "a.py").chmod(0o644)
    plain, masked, kept = of(work), of(work, modes=UMASK), of(work, modes=KEEP)
    (work / "dir" / "a.py").chmod(0o640)
    assert (of(work), of(work, modes=UMASK)) == (plain, masked)
    assert of(work, modes=KEEP) != kept
    (work / "dir").chmod(0o700)
    assert (of(work), of(work, modes=UMASK)) == (plain, masked)
    assert of(work, modes=UMASK, umask=0o077) != masked


def test_times_count_only_if_asked_for(work: Path) -> None:
    before, timed = of(work), of(work, times=True)
    os.utime(work / "dir" / "a.py", (5, 5))
    os.utime(work / "dir", (5, 5))
    assert of(work) == before
    assert of(work, times=True) != timed


def test_the_user_is_zero_whoever_that_is(work: Path) -> None:
    source = Tree("/work/dir", owners=True)
    plain = digest(source, Places(str(work)), NO_INDEX)
    own = IdMaps((Extent(0, os.geteuid(), 1),), (Extent(0, os.getegid(), 1),))
    other = IdMaps((Extent(7, os.geteuid(), 1),), (Extent(7, os.getegid(), 1),))
    assert digest(source, Places(str(work), ids=own), NO_INDEX) == plain
    assert digest(source, Places(str(work), ids=other), NO_INDEX) != plain
    given = Tree("/work/dir", owners=True, uid=7, gid=7)
    assert digest(given, Places(str(work)), NO_INDEX) == digest(source, Places(str(work), ids=other), NO_INDEX)


def test_the_same_selection_has_the_same_digest_however_it_is_written(work: Path) -> None:
    (work / "dir" / "old~").write_text("x")
    (work / "dir" / ".git").mkdir()
    regex = of(work, selection=Selection(None, DEFAULT_IGNORE))
    rules = of(work, selection=Selection((*DEFAULT_RULES, "/")))
    assert regex == rules != of(work)
    only = of(work, selection=Selection(None, "", r"\.py$"))
    assert only == of(work, selection=Selection(("/*.py",)))
    assert only == of(work, selection=Selection((*DEFAULT_RULES, "/", "!link", "!sub/")))


def test_an_ignored_file_does_not_change_the_digest(work: Path) -> None:
    before = of(work, selection=Selection(("/**/*.py",)))
    (work / "dir" / "sub" / "c.txt").write_text("x")
    (work / "dir" / "empty").mkdir()
    assert of(work, selection=Selection(("/**/*.py",))) == before


def test_pipes_and_sockets_do_not_count_and_are_not_opened(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = of(work)
    os.mkfifo(work / "dir" / "pipe")
    monkeypatch.chdir(work / "dir")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        assert of(work) == before


def test_a_single_file_or_link_is_a_tree_too(work: Path) -> None:
    assert of(work, "/work/dir/a.py") is not None
    assert of(work, "/work/dir/a.py") != of(work, "/work/dir/sub/b.txt") != of(work, "/work/dir/link")


def test_what_is_missing_has_no_digest_yet(work: Path) -> None:
    assert of(work, "/work/no") is of(work, "/work/no/more") is of(work, "/work/dir/a.py/x") is None
    assert look(work, FileContent("/work/no")) is look(work, Requirements("/work/no")) is None
    assert look(work, GitDescription("/work/no")) is look(work, ImageDigest("docker.io/library/a:1")) is None
    assert look(work, RootTree("other", Tree("/etc"))) is None


def test_a_name_that_is_not_utf8_counts(work: Path) -> None:
    before = of(work)
    (work / "dir" / os.fsdecode(b"\xff\n")).write_text("x")
    assert of(work) != before


def test_a_link_on_the_way_may_stay_in_the_project_but_not_lead_out(work: Path, tmp_path: Path) -> None:
    (work / "inner").symlink_to("dir")
    assert of(work, "/work/inner/sub") == of(work, "/work/dir/sub")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "x").write_text("x")
    (work / "outer").symlink_to(tmp_path / "secret")
    (work / "up").symlink_to("../secret")
    for path in ("/work/outer/x", "/work/up/x", "/work/../secret/x", "/etc/passwd"):
        for source in (Tree(path), FileContent(path)):
            with pytest.raises(CommandError, match=r"\[input-outside\]"):
                look(work, source)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_an_error_with_its_path(work: Path) -> None:
    (work / "dir" / "sub" / "b.txt").chmod(0)
    with pytest.raises(CommandError, match=r"^/work/dir/sub/b.txt: permission denied .*\[input-unreadable\]"):
        of(work)
    (work / "dir" / "sub").chmod(0)
    with pytest.raises(CommandError, match=r"^/work/dir/sub: permission denied"):
        of(work)
    (work / "dir" / "sub").chmod(0o755)


def test_another_containers_root_is_a_root_for_its_links(work: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr" / "lib").mkdir(parents=True)
    (root / "usr" / "lib" / "x").write_text("x")
    (root / "lib").symlink_to("/usr/lib")
    places = Places(str(work), roots={"other": str(root)})
    found = digest(RootTree("other", Tree("/lib/x")), places, NO_INDEX)
    assert found == digest(Tree("/vagga/roots/other/usr/lib/x"), places, NO_INDEX) is not None


# --- with the index -----------------------------------------------------------------------------------------------


def test_the_index_gives_the_same_and_notices_every_change(work: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(0o700)
    index = Index(str(tmp_path / "cache" / "vagga"), lambda: clock() + 2 * SETTLED)
    source = Tree("/work/dir")
    first = look(work, source, index)
    assert look(work, source, index) == first == look(work, source)
    (work / "dir" / "sub" / "b.txt").write_text("c")
    second = look(work, source, index)
    assert second == look(work, source) != first
    (work / "dir" / "sub" / "new").write_text("c")
    assert look(work, source, index) == look(work, source) not in (first, second)


def test_the_index_does_not_mix_up_sources(work: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(0o700)
    index = Index(str(tmp_path / "cache" / "vagga"), lambda: clock() + 2 * SETTLED)
    sources = [Tree("/work/dir"), Tree("/work/dir", modes=UMASK), Tree("/work/dir", Selection(("/a.py",)))]
    assert [look(work, source, index) for source in sources] == [look(work, source) for source in sources]
    assert [look(work, source, index) for source in sources] == [look(work, source) for source in sources]


def test_a_large_file_is_known_by_the_index(work: Path, tmp_path: Path) -> None:
    (work / "archive").write_bytes(b"x" * (1 << 20))
    (tmp_path / "cache").mkdir(0o700)
    index = Index(str(tmp_path / "cache" / "vagga"), lambda: clock() + 2 * SETTLED)
    source = FileContent("/work/archive")
    assert look(work, source, index) == look(work, source, index) == look(work, source)
    (work / "archive").write_bytes(b"y" * (1 << 20))
    assert look(work, source, index) == look(work, source)


# --- requirements -------------------------------------------------------------------------------------------------


def test_only_the_lines_of_requirements_count(work: Path) -> None:
    (work / "r.txt").write_text("a==1\nb\n")
    before = look(work, Requirements("/work/r.txt"))
    (work / "r.txt").write_text("# why\n\n a==1  # so\nb")
    assert look(work, Requirements("/work/r.txt")) == before
    (work / "r.txt").write_text("b\na==1\n")
    assert look(work, Requirements("/work/r.txt")) != before


@pytest.mark.parametrize(
    "line", ["-r x/i.txt", "-rx/i.txt", "--requirement x/i.txt", "--requirement=x/i.txt", "-cx/i.txt"]
)
def test_an_included_file_counts(work: Path, line: str) -> None:
    (work / "x").mkdir()
    (work / "x" / "i.txt").write_text("-r j.txt\n")
    (work / "x" / "j.txt").write_text("a==1\n")
    (work / "r.txt").write_text(f"{line}\n")
    before = look(work, Requirements("/work/r.txt"))
    (work / "x" / "j.txt").write_text("a==2\n")
    assert look(work, Requirements("/work/r.txt")) != before


def test_a_circle_a_missing_file_and_one_outside_are_errors(work: Path, tmp_path: Path) -> None:
    (tmp_path / "o.txt").write_text("a")
    (work / "a.txt").write_text("-r b.txt\n")
    (work / "b.txt").write_text("-r a.txt\n")
    (work / "c.txt").write_text("-r missing.txt\n")
    (work / "d.txt").write_text("-r ../o.txt\n")
    for name, slug in (("a", "input-circle"), ("c", "input-missing"), ("d", "input-outside")):
        with pytest.raises(CommandError, match=rf"\[{slug}\]"):
            look(work, Requirements(f"/work/{name}.txt"))


def test_lines_of_requirements_are_joined_and_cleaned() -> None:
    assert requirement_lines(b"a \\\n  --hash=1\n#x\\\nb#c\nd #e\n\n") == [b"a --hash=1", b"b#c", b"d"]
    assert requirement_lines(b"a \\") == [b"a"]
    assert included(b"-r https://x/y") is None
    assert included(b"--requirements x") is None
    assert included(b"requests") is None


# --- others -------------------------------------------------------------------------------------------------------


def test_git_is_asked_in_the_directory_of_the_repository(work: Path) -> None:
    asked = []

    def run(words: tuple[str, ...], directory: str) -> tuple[int, bytes]:
        asked.append((words, directory))
        return 0, b"v1-2-gabc\n"

    assert digest(GitDescription("/work/dir", "v*"), Places(str(work)), NO_INDEX, run) == b"v1-2-gabc"
    assert asked == [(("git", "describe", "--match", "v*"), str(work / "dir"))]


def test_a_failure_of_git_is_an_error_with_its_last_line(work: Path) -> None:
    with pytest.raises(CommandError, match=r"^git describe in /work: fatal: No names found .*\[git-describe\]"):
        digest(GitDescription("/work"), Places(str(work)), NO_INDEX, lambda *_: (128, b"hint\nfatal: No names found"))


def test_a_value_is_its_text() -> None:
    assert digest(Value("a", "b"), Places("/"), NO_INDEX) == digest(Value("a", "b"), Places("/"), NO_INDEX)
    assert digest(Value("a", "b"), Places("/"), NO_INDEX) != digest(Value("ab", ""), Places("/"), NO_INDEX)


# --- external volumes ---------------------------------------------------------------------------------------------


def outside(work: Path, source: object, **volumes: Path) -> bytes | None:
    places = Places(str(work), volumes={name: str(path) for name, path in volumes.items()})
    return digest(source, places, NO_INDEX)  # type: ignore[arg-type]


def test_files_and_trees_of_an_external_volume_count_by_their_content(work: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(work / "dir", other, symlinks=True)
    assert outside(work, Tree("/vagga/volumes/v"), v=other) == of(work)
    assert outside(work, Tree("/vagga/volumes/v/sub"), v=other) == of(work, "/work/dir/sub")
    assert outside(work, FileContent("/vagga/volumes/v/a.py"), v=other) == look(work, FileContent("/work/dir/a.py"))


def test_an_external_volume_may_be_a_file_or_a_link(work: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(work / "dir")
    expected = look(work, FileContent("/work/dir/a.py"))
    assert outside(work, FileContent("/vagga/volumes/v"), v=work / "dir" / "a.py") == expected
    assert outside(work, FileContent("/vagga/volumes/v/a.py"), v=tmp_path / "link") == expected


def test_what_is_not_in_a_volume_is_missing_and_an_unknown_volume_is_an_error(work: Path, tmp_path: Path) -> None:
    assert outside(work, FileContent("/vagga/volumes/v/gone"), v=work) is None
    assert outside(work, FileContent("/vagga/volumes/v/x"), v=tmp_path / "gone") is None
    with pytest.raises(CommandError, match="there is no external volume 'w'"):
        outside(work, FileContent("/vagga/volumes/w/x"), v=work)


def test_links_do_not_lead_out_of_an_external_volume(work: Path) -> None:
    (work / "dir" / "out").symlink_to("../../project")
    with pytest.raises(CommandError, match="leads out"):
        outside(work, FileContent("/vagga/volumes/v/out/../../x"), v=work / "dir")
