"""The arithmetic of ids: ranges of /etc/subuid, extents of /proc/self/uid_map, the maps of a run and of a child."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaggapy.sandbox import ids
from vaggapy.sandbox.spec import Extent, IdMaps

ranges = st.lists(st.tuples(st.integers(0, 2**31), st.integers(1, 70000)), max_size=5).map(
    lambda pairs: tuple(Extent(0, start, count) for start, count in pairs)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("dev:100000:65536\n", ((100000, 65536),)),
        ("other:1:2\ndev:100000:65536\n\n# a comment\ndev:300000:10", ((100000, 65536), (300000, 10))),
        ("1001:200000:5\ndev:100000:7\n", ((200000, 5), (100000, 7))),
        ("dev:100000:7\ndev:100000:7\n", ((100000, 7),)),
        ("dev:100000:0\ndev:x:1\ndev:1\ndev:1:2:3\ndev:-1:5\n devx:1:1\n", ()),
        ("  dev:5:6  \r\n", ((5, 6),)),
        ("10010:1:1\ndevel:1:1\n", ()),
    ],
)
def test_lines_of_subuid_count_for_the_name_or_the_number(text: str, expected: tuple[tuple[int, int], ...]) -> None:
    assert ids.parse_sub_ids(text, "dev", 1001) == tuple(Extent(0, start, count) for start, count in expected)


def test_the_own_map_is_read_extent_by_extent() -> None:
    text = "         0       1000          1\n         1     100000      65536\n\n"
    assert ids.parse_own_map(text) == (Extent(0, 1000, 1), Extent(1, 100000, 65536))
    assert ids.parse_own_map("") == ()


def test_the_caller_is_0_and_its_ranges_follow_from_1() -> None:
    stacked = ids.stack(1000, (Extent(0, 100000, 10), Extent(0, 300000, 5)))
    assert stacked == (Extent(0, 1000, 1), Extent(1, 100000, 10), Extent(11, 300000, 5))
    assert ids.map_text(stacked) == b"0 1000 1\n1 100000 10\n11 300000 5\n"


@given(st.integers(0, 2**31), ranges)
def test_a_stacked_map_has_no_gap_and_no_overlap_inside_and_loses_no_id(
    own: int, given_ranges: tuple[Extent, ...]
) -> None:
    stacked = ids.stack(own, given_ranges)
    expected = 0
    for extent in stacked:
        assert extent.inside == expected
        expected += extent.count
    assert expected == 1 + sum(extent.count for extent in given_ranges)


@given(st.integers(0, 2**31), ranges)
def test_a_nested_map_keeps_every_id_of_the_run(own: int, given_ranges: tuple[Extent, ...]) -> None:
    maps = IdMaps(ids.stack(own, given_ranges), ids.stack(own, given_ranges), setgroups=True)
    nested = ids.nested_maps(maps)
    assert all(extent.inside == extent.outside for extent in nested.uids + nested.gids)
    assert [(extent.inside, extent.count) for extent in nested.uids] == [(e.inside, e.count) for e in maps.uids]
    assert nested.setgroups


def test_without_ranges_there_is_one_id_and_no_setgroups() -> None:
    single = ids.single_maps(1000, 100)
    assert single == IdMaps((Extent(0, 1000, 1),), (Extent(0, 100, 1),), setgroups=False)
    assert not single.has_gid(5)
    assert not ids.nested_maps(single).setgroups


@pytest.mark.parametrize(("gid", "there"), [(0, True), (5, True), (65536, True), (65537, False)])
def test_a_map_knows_which_groups_exist_inside(gid: int, there: bool) -> None:
    extents = ids.stack(1000, (Extent(0, 100000, 65536),))
    assert IdMaps(extents, extents).has_gid(gid) == there


def test_root_wants_just_what_it_was_given() -> None:
    with open("/proc/self/uid_map") as file:
        own = ids.parse_own_map(file.read())
    wanted = ids.wanted_maps(0, 0, "root")
    assert [(e.inside, e.outside, e.count) for e in wanted.uids] == [(e.inside, e.inside, e.count) for e in own]


def test_an_account_without_ranges_wants_one_id() -> None:
    assert ids.wanted_maps(54321, 54321, "vagga-nobody") == ids.single_maps(54321, 54321)


def test_the_number_of_a_process_in_proc_is_its_own_where_proc_is_our_own() -> None:
    assert ids.number_in_proc(os.getpid()) == os.getpid()


def test_a_map_that_cannot_be_written_says_which_and_why() -> None:
    with pytest.raises(ids.MapError) as caught:
        ids.write_directly(2**22 + 1, ids.single_maps(1, 1))
    assert (caught.value.step, caught.value.errno) == ("setgroups", 2)
    assert str(caught.value) == "setgroups: No such file or directory"
