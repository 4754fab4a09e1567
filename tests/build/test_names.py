"""Names in the cache: what they are made of, and that none leads elsewhere."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaggapy.build import names
from vaggapy.build.actions import Fetch, FetchGit
from vaggapy.errors import CommandError

SUM = "0123456789abcdef" * 4


def of_url(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:8]


def test_a_download_is_named_after_its_sum_and_the_end_of_its_url() -> None:
    assert names.download_name(("https://host/dir/file-1.0.tar.gz",), SUM) == "01234567-file-1.0.tar.gz"


def test_without_a_sum_it_is_named_after_the_first_url() -> None:
    url = "https://host/file.zip"
    assert names.download_name((url, "https://other/b.zip"), "") == f"{of_url(url)}-file.zip"


def test_a_sum_in_capitals_is_the_same_sum() -> None:
    url = ("http://host/a",)
    assert names.download_name(url, SUM.upper()) == names.download_name(url, SUM)


@pytest.mark.parametrize(
    ("sha256", "said"),
    [
        (SUM[:8], "sha256 '01234567': 8 digits, a sum has 64 hexadecimal digits"),
        (SUM + "0", "65 digits"),
        ("x" * 64, "not hexadecimal"),
    ],
)
def test_a_sum_that_is_not_whole_is_refused(sha256: str, said: str) -> None:
    with pytest.raises(CommandError) as caught:
        names.download_name(("http://host/a",), sha256)
    assert said in caught.value.what
    assert caught.value.name == "bad-sha256"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://host", "file.bin"),
        ("http://host/", "file.bin"),
        ("http://host/dir/", "file.bin"),
        ("http://host/..", "file.bin"),
        ("http://host/.hidden", ".hidden"),
        ("http://host/a%2Fb", "a_b"),
        ("http://host/a%00b", "a_b"),
        ("http://host/a b", "a_b"),
        ("http://host/ä.zip", "_.zip"),
        ("http://host/x.tar.gz?raw=1#top", "x.tar.gz"),
        ("http://host?file=/etc/passwd", "file.bin"),
        ("http://user:pa@host/x", "x"),
        ("http://host/x.part", "x.part_"),
        ("http://host/x.lock", "x.lock_"),
        ("http://host/x.ok", "x.ok_"),
        ("http://host/" + "a" * 300 + ".tar.xz", "a" * 121 + ".tar.xz"),
    ],
)
def test_the_end_of_a_url_becomes_a_plain_name(url: str, expected: str) -> None:
    assert names.basename(url) == expected


@given(st.text())
def test_a_download_name_is_one_short_component_whatever_the_url(rest: str) -> None:
    name = names.download_name((f"http://{rest}",), "")
    assert "/" not in name
    assert "\0" not in name
    assert name.isprintable()
    assert len(name.encode()) <= 200


@given(st.text(min_size=1))
def test_a_git_name_is_one_short_component_whatever_the_url(url: str) -> None:
    name = names.git_name(url)
    assert "/" not in name
    assert name.isascii()
    assert name.isprintable()
    assert not name.startswith(".")
    assert len(name) <= 200


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@host/a", "https://host/a"),
        ("https://token@host", "https://host"),
        ("https://user:p@ss@host/a@b", "https://host/a@b"),
        ("https://host/a@b", "https://host/a@b"),
        ("https://host?q=a@b", "https://host?q=a@b"),
        ("git@host:a/b.git", "git@host:a/b.git"),
    ],
)
def test_credentials_are_taken_out_of_a_url(url: str, shown: str) -> None:
    assert names.without_credentials(url) == shown


def test_a_bare_repository_is_named_after_its_url() -> None:
    assert names.git_name("https://host/a/b%20c.git") == "https:%2F%2Fhost%2Fa%2Fb%2520c.git"


def test_repositories_of_different_users_of_one_host_have_different_names_without_passwords() -> None:
    one, other = names.git_name("https://u:secret@host/a"), names.git_name("https://v:secret@host/a")
    assert one != other
    assert "secret" not in one


def test_what_was_fetched_is_found_by_the_build_sandbox() -> None:
    assert names.downloaded(Fetch(("http://host/a.zip",), SUM)) == "/vagga/cache/downloads/01234567-a.zip"


def test_each_revision_and_branch_has_an_archive_of_its_own() -> None:
    url = "https://host/a"
    wanted = [FetchGit(url), FetchGit(url, branch="x"), FetchGit(url, revision="x"), FetchGit(url, revision="y")]
    paths = {names.git_tree(git) for git in wanted}
    assert len(paths) == len(wanted)
    assert all(path.startswith("/vagga/cache/git/.trees/https:%2F%2Fhost%2Fa-") for path in paths)
