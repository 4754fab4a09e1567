"""What is refused of a storage and of a cache that came with a project."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from vaggapy.build import gitcache, trust
from vaggapy.errors import CommandError, VaggaError

OWN = (os.geteuid(),)


def test_a_directory_of_the_storage_is_made_for_its_user_only(tmp_path: Path) -> None:
    place = tmp_path / "roots"
    trust.own_directory(str(place), OWN, create=False)
    assert not place.exists()
    trust.own_directory(str(place), OWN, create=True)
    place.chmod(0o777)
    trust.own_directory(str(place), OWN, create=True)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_a_directory_of_somebody_else_or_a_link_is_no_storage(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    for path, owners in (("link", OWN), ("", (os.geteuid() + 1,))):
        with pytest.raises(VaggaError) as caught:
            trust.own_directory(str(tmp_path / path), owners, create=True)
        assert caught.value.name == "storage"


@pytest.mark.parametrize("path", ["link", "link/x", "a/../..", "file/x"])
def test_no_part_of_an_inner_directory_is_a_link(tmp_path: Path, path: str) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (top / "link").symlink_to(tmp_path)
    (top / "file").write_text("")
    with pytest.raises(VaggaError):
        trust.inner_directory(str(top), path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["top"]
    assert trust.inner_directory(str(top), "a/b") == f"{top}/a/b"


def test_small_files_are_neither_waited_for_nor_read_through_links(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text\n")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "large").write_bytes(b"x" * (trust.LARGEST + 1))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    names = ("file", "link", "large", "pipe", "directory", "none")
    assert [trust.read(str(tmp_path / name)) for name in names] == ["text\n", "", "", "", "", ""]
    for name in ("link", "pipe", "directory"):
        with pytest.raises(OSError, match=r"\[Errno \d+\]"):
            trust.open_new(str(tmp_path / name))
    os.close(trust.create(str(tmp_path / "link")))
    assert (tmp_path / "file").read_text() == "text\n"


def test_a_project_without_storage_has_nothing_to_seal(tmp_path: Path) -> None:
    assert trust.sealed(str(tmp_path), own_place=True) == ()
    (tmp_path / ".vagga").symlink_to("/etc")
    assert trust.sealed(str(tmp_path), own_place=True) == ()
    (tmp_path / ".vagga").unlink()
    (tmp_path / ".vagga").mkdir()
    targets = [bind.target for bind in trust.sealed(str(tmp_path), own_place=True) if bind.read_only]
    assert targets == ["/work/.vagga", f"{tmp_path}/.vagga"]


def own_repository(path: Path) -> None:
    for name in ("refs/heads", "objects/pack", "info"):
        (path / name).mkdir(parents=True)
    (path / "HEAD").write_text("ref: refs/heads/main\n")
    for name, text in gitcache.OWN_FILES.items():
        (path / name).write_text(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config", "[core]\n\tsshCommand = x\n"),
        ("config.worktree", ""),
        ("commondir", "/x\n"),
        ("hooks", ""),
        ("objects/info/alternates", "/x\n"),
        ("info/grafts", ""),
        ("info/attributes", "* filter=x\n"),
        ("refs/heads/link", None),
    ],
)
def test_a_repository_of_the_cache_with_something_that_is_not_ours_is_made_anew(
    tmp_path: Path, name: str, text: str | None
) -> None:
    own_repository(tmp_path)
    assert gitcache.is_own(str(tmp_path))
    place = tmp_path / name
    place.parent.mkdir(exist_ok=True)
    if text is None:
        place.symlink_to("/etc")
    else:
        place.write_text(text)
    assert not gitcache.is_own(str(tmp_path))


def test_a_repository_in_a_part_of_the_project_may_belong_to_all_of_it(tmp_path: Path) -> None:
    module = tmp_path / ".git/modules/part"
    own_repository(module)
    (tmp_path / "part").mkdir()
    (tmp_path / "part/.git").write_text("gitdir: ../.git/modules/part\n")
    gitcache.check_local("./part", str(tmp_path))
    (module / "commondir").write_text("../../../..\n")
    with pytest.raises(CommandError) as caught:
        gitcache.check_local("./part", str(tmp_path))
    assert caught.value.name == "git-outside"
