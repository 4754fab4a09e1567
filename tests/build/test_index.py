"""The stat index: what it believes, and what it does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vaggapy.build.index import SETTLED, Index, clock, directory_for, pack_rows
from vaggapy.sandbox.linux import stat_many, stat_row

KEY, DIGEST = b"key", b"d" * 32
LATER = SETTLED + 10**9


def later() -> int:
    """Return a time at which everything that was made just now is old."""
    return clock() + LATER


class Made:
    """A small tree with an index of it."""

    def __init__(self, directory: Path) -> None:
        self.tree = directory / "tree"
        (self.tree / "sub").mkdir(parents=True)
        (self.tree / "file").write_text("one")
        (self.tree / "sub" / "link").symlink_to("nowhere")
        self.caches = directory / "cache"
        self.caches.mkdir(0o700)
        self.index = Index(str(self.caches / "vagga"), later)
        self.paths = [b".", b"file", b"sub", b"sub/link"]

    def keep(self, taken: int) -> None:
        rows = [stat_row(os.lstat(self.tree / os.fsdecode(path))) for path in self.paths]
        items = [(path, row, b"c" * 32 if b"f" in path else b"") for path, row in zip(self.paths, rows, strict=True)]
        self.index.keep(KEY, taken, DIGEST, items)

    def known(self, index: Index | None = None) -> bytes | None:
        top = os.open(self.tree, os.O_RDONLY)
        try:
            return (index or self.index).known(KEY, top)
        finally:
            os.close(top)

    def entry(self) -> Path:
        (found,) = (self.caches / "vagga").iterdir()
        return found


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def test_the_kernels_numbers_are_those_of_python(made: Made) -> None:
    top = os.open(made.tree, os.O_RDONLY)
    rows = [stat_row(os.lstat(made.tree / os.fsdecode(path))) for path in made.paths]
    assert stat_many(top, made.paths) == pack_rows(rows)
    assert stat_many(top, [b""]) == pack_rows(rows[:1])
    assert stat_many(top, [b"missing"]) is None
    os.close(top)


def test_what_has_not_changed_is_known(made: Made) -> None:
    assert made.known() is None
    made.keep(later())
    assert made.known() == DIGEST
    assert made.index.before(KEY)[b"file"][1] == b"c" * 32


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: (tree / "file").write_text("two"),
        lambda tree: (tree / "file").chmod(0o755),
        lambda tree: os.utime(tree / "file", (1, 1)),
        lambda tree: (tree / "new").touch(),
        lambda tree: (tree / "sub" / "new").touch(),
        lambda tree: (tree / "file").rename(tree / "other"),
        lambda tree: (tree / "sub" / "link").unlink(),
        lambda tree: (tree / "file").unlink(),
    ],
)
def test_any_change_is_a_miss(made: Made, change: object) -> None:
    made.keep(later())
    assert callable(change)
    change(made.tree)
    assert made.known() is None


def test_a_change_that_puts_the_time_back_is_a_miss(made: Made) -> None:
    made.keep(later())
    before = (made.tree / "file").stat()
    (made.tree / "file").write_text("two")
    os.utime(made.tree / "file", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert made.known() is None


def test_a_file_that_was_changed_just_now_is_not_believed(made: Made) -> None:
    made.keep(clock())
    assert made.known() is None
    assert made.index.before(KEY) == {}


def test_a_time_in_the_future_is_not_believed(made: Made) -> None:
    far = clock() + 100 * LATER
    os.utime(made.tree / "file", ns=(far, far))
    made.keep(later())
    assert made.known() is None
    assert set(made.index.before(KEY)) == {b".", b"sub", b"sub/link"}


def test_an_entry_of_another_key_is_a_miss(made: Made) -> None:
    made.keep(later())
    made.entry().rename(made.entry().with_name("other"))
    assert made.known() is None


@pytest.mark.parametrize("size", [0, 7, 20, 100, -1])
def test_a_torn_entry_is_a_miss(made: Made, size: int) -> None:
    made.keep(later())
    data = made.entry().read_bytes()
    made.entry().write_bytes(data[:size])
    assert made.index.before(KEY) == {}
    assert made.known() is None or size == -1  # the last byte belongs to a content, which this does not need


def test_an_entry_with_a_changed_byte_is_a_miss(made: Made) -> None:
    made.keep(later())
    data = made.entry().read_bytes()
    for place in range(0, len(data), 7):
        made.entry().write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert made.index.before(KEY) == {}
        assert made.known() is None or place > len(data) - 4 * 32  # the contents are at the end


def test_a_file_that_others_can_write_is_not_read(made: Made) -> None:
    made.keep(later())
    made.entry().chmod(0o666)
    assert made.known() is None
    made.entry().chmod(0o600)
    (made.caches / "vagga").chmod(0o777)
    assert made.known() is None


def test_a_tree_larger_than_one_piece_is_looked_at_whole(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaggapy.sandbox.linux.STAT_AT_ONCE", 2)
    made.keep(later())
    assert made.known() == DIGEST
    (made.tree / "sub" / "new").touch()
    assert made.known() is None


def test_the_place_is_the_users_cache_but_never_in_the_project() -> None:
    assert directory_for("/p", {"XDG_CACHE_HOME": "/c"}) == "/c/vagga"
    assert directory_for("/p", {"HOME": "/h", "XDG_CACHE_HOME": "relative"}) == "/h/.cache/vagga"
    assert directory_for("/p", {"XDG_CACHE_HOME": "/p/c"}) == ""
    assert directory_for("/p", {"XDG_CACHE_HOME": "/p"}) == ""
    assert directory_for("/p", {}) == ""
