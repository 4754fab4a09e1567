"""Frozen values: what `vaggapy.record` promises to everything built on it."""

from __future__ import annotations

import json
import marshal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaggapy.record import Packed, Record, as_json, pack, pack_each, records, replace, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, ClassVar


class Point(Record):
    """Two fields, one with a default."""

    x: int
    y: int = 7


class Twin(Record):
    """The same fields as a Point, but another class."""

    x: int
    y: int = 7


class Named(Point):
    """Fields of its own after those of its base."""

    limit: ClassVar[int] = 9

    name: str = "none"


class Tree(Record):
    """A record of records."""

    label: str
    below: tuple[Tree, ...] = ()
    notes: Mapping[str, Any] = {}


def test_values_are_given_by_place_or_by_name_and_the_rest_is_default() -> None:
    assert (Point(1).x, Point(1).y) == (1, 7)
    assert Point(1, 2) == Point(x=1, y=2) == Point(1, y=2)


def test_fields_of_the_base_come_first_and_class_variables_are_no_fields() -> None:
    named = Named(1, 2, "three")
    assert (named.x, named.y, named.name) == (1, 2, "three")
    assert Named.__match_args__ == ("x", "y", "name")
    assert Named.limit == 9
    assert isinstance(named, Point)


@pytest.mark.parametrize(
    ("values", "named", "sentence"),
    [
        ((), {}, "Point lacks a value for x"),
        ((1, 2, 3), {}, "Point takes 2 values, not 3"),
        ((1,), {"z": 1}, "Point has no place for z"),
        ((1,), {"x": 1}, "Point has no place for x"),
        ((), {"x": 1, "b": 1, "a": 1}, "Point has no place for a, b"),
    ],
)
def test_wrong_values_are_a_type_error_that_names_them(
    values: tuple[int, ...], named: dict[str, int], sentence: str
) -> None:
    with pytest.raises(TypeError, match=f"^{sentence}$"):
        Point(*values, **named)


@pytest.mark.parametrize("field", ["x", "y", "z", "__dict__"])
def test_nothing_can_be_set_or_deleted(field: str) -> None:
    point = Point(1, 2)
    with pytest.raises(AttributeError, match="frozen, use replace"):
        setattr(point, field, 3)
    with pytest.raises(AttributeError, match="frozen"):
        delattr(point, field)
    assert point == Point(1, 2)


def test_instances_have_slots_and_no_dict() -> None:
    assert Point.__slots__ == ("x", "y")  # type: ignore[attr-defined]  # made by the metaclass
    assert not hasattr(Point(1), "__dict__")
    assert not hasattr(Named(1), "__dict__")


def test_equal_means_same_class_and_same_values() -> None:
    assert Point(1, 2) == Point(1, 2)
    assert Point(1, 2) != Point(1, 3)
    assert Point(1, 2) != Twin(1, 2)
    assert Point(1, 2) != Named(1, 2)
    assert Point(1, 2) != (1, 2)


def test_equal_values_have_equal_hashes_and_work_as_keys() -> None:
    assert hash(Point(1, 2)) == hash(Point(1, 2))
    assert {Point(1, 2): "a"}[Point(1, 2)] == "a"
    assert len({Point(1, 2), Point(1, 2), Twin(1, 2), Point(2, 1)}) == 3


def test_a_record_that_holds_a_mapping_has_no_hash() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Tree("root"))


def test_repr_shows_class_and_fields() -> None:
    assert repr(Named(1, name="a'b")) == """Named(x=1, y=7, name="a'b")"""


def test_a_record_matches_by_place_and_by_name() -> None:
    match Named(1, 2, "three"):
        case Twin(x, y):
            pytest.fail(f"matched the wrong class: {x} {y}")
        case Named(1, y, name=name):
            assert (y, name) == (2, "three")
        case _:
            pytest.fail("did not match")


def test_replace_gives_a_changed_copy() -> None:
    before = Named(1, 2, "three")
    assert replace(before, y=5) == Named(1, 5, "three")
    assert before == Named(1, 2, "three")
    assert type(replace(before)) is Named


def test_replace_refuses_a_field_that_is_not_there() -> None:
    with pytest.raises(TypeError, match="Point has no field z"):
        replace(Point(1), z=2)


def test_a_field_that_is_declared_again_keeps_its_place_and_takes_the_new_default() -> None:
    class Far(Point):
        y: int = 100

    assert (Far(1).y, Far(1, 2).y, Far.__match_args__) == (100, 2, ("x", "y"))
    assert Point(1).y == 7


def test_records_lists_the_record_classes_of_a_namespace_only() -> None:
    namespace = {"Record": Record, "Point": Point, "number": 3, "function": pack, "value": Point(1), "text": str}
    assert records(namespace) == {"Point": Point}


CLASSES: dict[str, type[Record]] = {"Point": Point, "Twin": Twin, "Named": Named, "Tree": Tree}


@pytest.mark.parametrize(
    "value",
    [
        Point(1),
        (),
        (Point(1), (Named(2), "text")),
        {"a": Point(1), "b": {"c": (Twin(1),)}},
        Tree("a", (Tree("b"), Tree("c", (), {"k": Point(3)}))),
        None,
        True,
        2**80,
        1.5,
        b"\0",
        "\udce9",
    ],
)
def test_what_is_packed_and_marshalled_comes_back_equal(value: object) -> None:
    back = unpack(marshal.loads(marshal.dumps(pack(value))), CLASSES)
    assert back == value
    assert type(back) is type(value)


SCALARS = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats(allow_nan=False)
VALUES = st.recursive(
    SCALARS | st.builds(Point, SCALARS, SCALARS),
    lambda inner: (
        st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        | st.builds(Named, inner, inner, st.text())
        | st.builds(Tree, st.text(), st.tuples(inner))
    ),
    max_leaves=12,
)


@given(VALUES)
def test_pack_and_unpack_are_each_others_inverse_for_all_values(value: object) -> None:
    back = unpack(marshal.loads(marshal.dumps(pack(value))), CLASSES)
    assert back == value
    assert repr(back) == repr(value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.builds(Named, inner)))
def test_as_json_gives_what_json_can_write(value: object) -> None:
    assert json.loads(json.dumps(as_json(value))) == as_json(value)


@pytest.mark.parametrize("data", [["Unknown", 1], ["Point"], ["Point", 1, 2, 3], [[], 1]])
def test_packed_data_of_another_version_is_a_key_or_type_error(data: object) -> None:
    with pytest.raises((KeyError, TypeError)):
        unpack(data, CLASSES)


def test_as_json_names_the_class_of_each_record() -> None:
    assert as_json(Tree("a", (Tree("b"),), {"k": (1, Point(2))})) == {
        "kind": "Tree",
        "label": "a",
        "below": [{"kind": "Tree", "label": "b", "below": [], "notes": {}}],
        "notes": {"k": [1, {"kind": "Point", "x": 2, "y": 7}]},
    }


# --- records that are unpacked one by one ---------------------------------------------------------------------------


def test_a_packed_record_is_unpacked_when_it_is_looked_at_and_only_then() -> None:
    broken = {**pack_each({"a": Point(1), "b": Point(2, 3)}), "c": b"what cannot be unpacked"}
    found = Packed(broken, {"Point": Point})
    assert (found["a"], found.get("b"), found.get("x"), found.get("x", 1)) == (Point(1), Point(2, 3), None, 1)
    assert found["a"] is found["a"]
    assert (list(found), len(found), "c" in found, "x" in found) == (["a", "b", "c"], 3, True, False)
    assert found.keys() == {"a", "b", "c"}
    with pytest.raises(KeyError):
        found["x"]


def test_packed_records_stand_for_a_dict_of_them() -> None:
    plain = {"b": Point(2, 3), "a": Point(1)}
    found = Packed(pack_each(plain), {"Point": Point})
    assert found == plain and plain == found and found == Packed(pack_each(plain), {"Point": Point})
    assert found != {"a": Point(1)}
    assert {**found} == plain == dict(found.items())
    assert list(found.items()) == list(plain.items()) and list(found.values()) == list(plain.values())
    assert repr(found) == repr(plain)
    assert pack(found) == pack(plain)
    assert as_json(found) == as_json(plain)
