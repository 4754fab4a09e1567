"""Golden pairs: `NAME.yaml` must mean `NAME.json`.

`VAGGAPY_UPDATE=1 pytest tests/config` writes the JSON files anew; a person then reads the difference.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from vaggapy.build.registry import shapes
from vaggapy.config.bind import bind
from vaggapy.config.fields import (
    BUILT,
    CHILD,
    COMMAND,
    CONTAINER,
    HOST,
    NO_EFFECT,
    PERSISTENT,
    SNAPSHOT,
    SUBDIR,
    SUPERVISE,
    TMPFS,
    TOP,
)
from vaggapy.config.tree import Mapping, Scalar, Sequence, parse
from vaggapy.record import as_json, pack, records, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.model import Project
    from vaggapy.config.tree import Node

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "config"
EXAMPLE = ROOT / "vagga.yaml.example"


def bound(path: Path) -> Project:
    """Bind a file of the checkout under a name that is the same everywhere."""
    return bind(parse(path.read_text(), "vagga.yaml"), "/project", "vagga.yaml", shapes())


def check(found: object, expected: Path) -> None:
    """Compare with a golden file, or write it."""
    text = json.dumps(as_json(found), indent=1) + "\n"
    if os.environ.get("VAGGAPY_UPDATE"):
        expected.write_text(text)
    assert text == expected.read_text(), "run with VAGGAPY_UPDATE=1 and read the difference"


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.yaml")))
def test_a_file_means_what_its_golden_json_says(name: str) -> None:
    check(bound(GOLDEN / f"{name}.yaml"), GOLDEN / f"{name}.json")


def test_the_example_file_is_valid_and_means_what_its_golden_json_says() -> None:
    check(bound(EXAMPLE), GOLDEN / "example.json")


def test_the_example_file_shows_every_key_that_has_a_meaning() -> None:
    root = parse(EXAMPLE.read_text(), "vagga.yaml").root
    assert root is not None
    tables = (TOP, CONTAINER, HOST, TMPFS, PERSISTENT, SNAPSHOT, SUBDIR, COMMAND, SUPERVISE, CHILD)
    wanted = {key for table in tables for key, field in table.items() if field.state in (BUILT, NO_EFFECT)}
    assert wanted - keys(root) == set()


def keys(node: Node) -> set[str]:
    """Return every key of a tree."""
    if isinstance(node, Mapping):
        return {key.text for key, _ in node.entries}.union(*(keys(value) for _, value in node.entries))
    return set().union(*map(keys, node.items)) if isinstance(node, Sequence) else set()


def test_a_bound_project_survives_being_packed_for_the_cache() -> None:
    from vaggapy import errors
    from vaggapy.config import model, rules

    project = bound(EXAMPLE)
    classes = {**records(vars(model)), **records(vars(rules)), **records(vars(errors))}
    assert unpack(pack(project), classes) == project


def test_scalars_stay_the_text_that_was_written() -> None:
    root = parse("a: yes\nb: 1.0\nc: 0755\nd: 'null'\ne: null\nf: 2026-11-21\ng: 1:30\n", "f").root
    assert isinstance(root, Mapping)
    texts = [(value.text, value.plain) for _, value in root.entries if isinstance(value, Scalar)]
    assert texts == [
        ("yes", True),
        ("1.0", True),
        ("0755", True),
        ("null", False),
        ("null", True),
        ("2026-11-21", True),
        ("1:30", True),
    ]


def test_tags_end_at_brackets_and_commas() -> None:
    root = parse("[!Host, !A {x: !Empty}, [!B], !C]", "f").root
    assert isinstance(root, Sequence)
    assert [item.tag for item in root.items] == ["!Host", "!A", "", "!C"]


def test_merge_keys_are_shallow_and_explicit_keys_win() -> None:
    text = "a: &a {x: {p: 1}, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: [*a, *b], x: {q: 5}}\n"
    root = parse(text, "f").root
    assert isinstance(root, Mapping)
    merged = root.entries[2][1]
    assert isinstance(merged, Mapping)
    assert [key.text for key, _ in merged.entries] == ["y", "z", "x"]
    inner = merged.entries[2][1]
    assert isinstance(inner, Mapping)
    assert [key.text for key, _ in inner.entries] == ["q"]
    assert merged.entries[0][1].mark.line == 1
