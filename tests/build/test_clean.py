"""What `_clean` removes, as decisions on listings; durations; sizes; words that are wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vaggapy.build import clean, inventory, measure, store
from vaggapy.build.clean import Action, Listing, Root, Thing, Wanted, chosen
from vaggapy.build.store import Places
from vaggapy.cli import app, pack
from vaggapy.cli import clean as command
from vaggapy.errors import UsageError

A, B, C = "a" * 32, "b" * 32, "c" * 32
NOTHING = Wanted()
THERE = Listing(
    roots=(Root("/s/.roots/x.1", 100, (A, B), True), Root("/s/.roots/x.2", 200, (A, C)), Root("/s/.roots/y.3")),
    layers=tuple(Thing(clean.LAYER, f"/s/.layers/{key}", 150) for key in (A, B, C)),
    volumes=(Thing(clean.VOLUME, "/s/.volumes/data"), Thing(clean.VOLUME, "/s/.volumes/old")),
    temporary=(Thing(clean.TEMPORARY, "/s/.roots/.tmp.x"),),
    transient=(Thing(clean.OWNED, "/s/.transient/x.1.77"),),
    entries=(Thing(clean.ENTRY, "/c/0123"),),
    rest=(Thing(clean.CACHE, "/s/.cache"),),
)


def removed(*actions: Action | str, wanted: Wanted = NOTHING) -> list[str]:
    """Return the names of what goes."""
    every = tuple(Action(each) if isinstance(each, str) else each for each in actions)
    return [thing.name[:8] for thing in chosen(every, THERE, wanted)]


def test_tmp_removes_what_is_unfinished_and_forgotten() -> None:
    assert removed("tmp") == [".tmp.x", "0123"]


def test_old_removes_roots_that_no_link_leads_to() -> None:
    assert removed("old") == ["x.2", "y.3"]


def test_unused_keeps_what_the_project_needs_and_the_layers_of_what_stays() -> None:
    assert removed("unused", wanted=Wanted(frozenset({"x.1"}))) == ["x.2", "y.3", C[:8], "0123"]
    assert removed("unused", wanted=Wanted(frozenset({"x.1"}), frozenset({C}))) == ["x.2", "y.3", "0123"]


def test_unused_at_least_keeps_roots_and_layers_that_were_used_since() -> None:
    assert removed(Action("unused", 150)) == ["x.1", "y.3", "0123"]
    assert removed(Action("unused", 160)) == ["x.1", "y.3", B[:8], "0123"]
    assert removed(Action("unused", 300)) == ["x.1", "x.2", "y.3", A[:8], B[:8], C[:8], "0123"]


def test_layers_of_roots_that_an_earlier_action_removes_are_not_needed_any_more() -> None:
    wanted = Wanted(frozenset({"x.1", "x.2"}))
    assert removed("unused", "old", wanted=wanted) == ["y.3", "0123", "x.2"]
    assert removed("old", "unused", wanted=wanted) == ["x.2", "y.3", C[:8], "0123"]


def test_each_thing_is_removed_once_in_the_order_of_the_actions() -> None:
    assert removed("volumes", "unused-volumes", "tmp", "tmp") == ["data", "old", ".tmp.x", "0123"]


def test_unused_volumes_are_those_that_the_project_does_not_name() -> None:
    assert removed("unused-volumes", wanted=Wanted(volumes=frozenset({"data"}))) == ["old"]


def test_everything_is_all_but_what_belongs_to_other_projects() -> None:
    names = removed("everything")
    assert names == [".tmp.x", "x.1.77", "x.1", "x.2", "y.3", A[:8], B[:8], C[:8], "data", "old", ".cache"]


DURATIONS = [
    ("10days", 864000),
    ("2h 30m", 9000),
    ("2h30m", 9000),
    ("1 day 12 hours", 129600),
    ("  5min ", 300),
    ("500ms", 0.5),
    ("1M", 30.44 * 86400),
    ("0s", 0),
    ("", None),
    ("10", None),
    ("days", None),
    ("10 parsecs", None),
    ("-1d", None),
    ("1.5h", None),
    ("1h,", None),
    ("9" * 400 + "d", None),
    ("\uff11d", None),
]


@pytest.mark.parametrize(("text", "seconds"), DURATIONS)
def test_durations_are_read_as_people_write_them(text: str, seconds: float | None) -> None:
    assert clean.duration(text) == seconds


def test_sizes_are_short() -> None:
    assert [clean.size(each) for each in (0, 999, 1000, 12_345_678, 999_960, 10**12, 10**16)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "12.3 MB",
        "1.0 MB",
        "1.0 TB",
        "10000.0 TB",
    ]


WRONG = [
    ((), 1, "clean-no-action"),
    (("-n",), 1, "clean-no-action"),
    (("--nonsense",), 1, "unknown-option"),
    (("x",), 1, "unexpected-argument"),
    (("--unused", "--at-least"), 1, "option-needs-value"),
    (("--unused", "--at-least", "soon"), 1, "bad-option-value"),
    (("--tmp", "--at-least", "1d"), 2, "clean-combination"),
    (("--tmp", "--global"), 2, "clean-combination"),
    (("--unused", "--global"), 2, "clean-combination"),
    (("--unused", "--tmp", "--global", "--at-least", "1d"), 2, "clean-combination"),
]


@pytest.mark.parametrize(("words", "code", "name"), WRONG)
def test_words_that_are_wrong_end_with_1_and_those_that_do_not_go_together_with_2(
    words: tuple[str, ...], code: int, name: str
) -> None:
    with pytest.raises(UsageError) as caught:
        command.read(words)
    assert (caught.value.code, caught.value.name) == (code, name)


def test_the_words_are_read_in_their_order() -> None:
    asked = command.read(("--unused", "--tmp-folders", "-n", "--at-least=1d", "--old-containers", "--tmp"))
    assert asked == command.Asked(("unused", "tmp", "old"), 86400.0, False, True)


# --- what is there --------------------------------------------------------------------------------------------------


@pytest.fixture
def places(tmp_path: Path) -> Places:
    base = tmp_path / ".vagga"
    for name in (".roots", ".layers", ".volumes", ".cache"):
        (base / name).mkdir(parents=True)
    return Places(str(tmp_path), str(base), str(base), str(base / ".cache"))


def test_a_listing_has_what_is_ours_and_nothing_else(places: Places, tmp_path: Path) -> None:
    base = tmp_path / ".vagga"
    for name in (
        ".roots/x.0123abcd/root",
        ".roots/.tmp.x",
        ".roots/mine",
        f".layers/{A}/d",
        ".layers/.tmp.1.2",
        ".layers/mine",
        ".volumes/data",
        ".volumes/.tmp.data",
        ".tmp.job.1",
        "mine",
    ):
        (base / name).mkdir(parents=True)
    (base / ".roots/.tmp.x.lock").touch()
    (base / ".roots/x.0123abcd/layers").write_text(f"{A}\n{B}\n")
    (base / "settings.yaml").touch()
    (base / "x").symlink_to(".roots/x.0123abcd/root")
    there = inventory.listing(places)
    assert there.roots == (Root(f"{base}/.roots/x.0123abcd", -1, (A, B), True),)
    assert [thing.name for thing in there.layers] == [A]
    assert [thing.name for thing in there.volumes] == ["data"]
    assert [thing.name for thing in there.temporary] == [".tmp.x", ".tmp.1.2", ".tmp.data", ".tmp.job.1"]
    assert [thing.name for thing in there.rest] == [".cache", ".tmp.x.lock"]


def test_a_storage_that_a_project_brings_along_as_links_has_nothing_in_it(places: Places, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "x.0123abcd" / "root").mkdir(parents=True)
    (other / A).mkdir()
    for name in (".roots", ".layers", ".volumes", ".cache"):
        (tmp_path / ".vagga" / name).rmdir()
        (tmp_path / ".vagga" / name).symlink_to(other)
    assert inventory.listing(places) == Listing()


def test_nothing_is_there_where_nothing_was_built(tmp_path: Path) -> None:
    base = f"{tmp_path}/.vagga"
    assert inventory.listing(Places(str(tmp_path), base, base, f"{base}/.cache")) == Listing()


def test_files_with_several_names_count_where_the_last_of_them_goes(tmp_path: Path) -> None:
    for name in ("one", "two", "kept"):
        (tmp_path / name / "sub").mkdir(parents=True)
    empty = measure.freed((str(tmp_path / "one"),))[0]
    (tmp_path / "one" / "sub" / "a").write_bytes(bytes(range(256)) * 400)
    alone = measure.freed((str(tmp_path / "one"),))[0]
    assert alone >= empty + 100_000
    os.link(tmp_path / "one" / "sub" / "a", tmp_path / "two" / "b")
    assert measure.freed((str(tmp_path / "one"),)) == (empty,)
    assert measure.freed((str(tmp_path / "one"), str(tmp_path / "two"))) == (empty, alone)
    os.link(tmp_path / "two" / "b", tmp_path / "kept" / "c")
    assert measure.freed((str(tmp_path / "one"), str(tmp_path / "two"))) == (empty, empty)
    assert measure.freed((str(tmp_path / "gone"),)) == (0,)


def test_what_is_held_cannot_be_claimed_and_the_other_way_round(tmp_path: Path) -> None:
    held = store.hold(str(tmp_path))
    again = store.hold(str(tmp_path))
    assert held >= 0
    assert again >= 0
    assert store.claim(str(tmp_path)) == -1
    os.close(held)
    os.close(again)
    claimed = store.claim(str(tmp_path))
    assert claimed >= 0
    os.close(claimed)
    assert store.hold(f"{tmp_path}/gone") == -1


def test_what_is_retired_is_not_found_by_its_name_any_more(tmp_path: Path) -> None:
    (tmp_path / "x.0123abcd").mkdir()
    gone = store.retire(str(tmp_path / "x.0123abcd"))
    assert os.listdir(tmp_path) == [os.path.basename(gone)]
    assert os.path.basename(gone).startswith(".tmp.-gone.")


def test_the_help_of_both_commands_shows_exactly_the_options_that_are_read() -> None:
    for name, table in (("_clean", command.CLEAN), ("_pack_image", pack.PACK)):
        lines = [line for line in app.help_text(name).splitlines() if line.startswith("  -")]
        words = {word for line in lines for word in line.strip().split("  ")[0].replace(",", " ").split()}
        known = {option for option, (_, key, _) in table.items() if key != "build"}
        assert {word for word in words if word.startswith("-")} == known
