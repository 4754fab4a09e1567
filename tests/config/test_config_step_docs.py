"""docs/build-steps.md says what the shapes of the steps say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vaggapy.build.registry import shapes
from vaggapy.config.fields import LATER_STEPS, NO_EFFECT
from vaggapy.config.shapes import KEYS, NOTHING, PAIRS, TEXT, TEXTS
from vaggapy.config.steps import SINGLE, SUBCONFIG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.shapes import Field, Shape

PAGE = (Path(__file__).parents[2] / "docs" / "build-steps.md").read_text()
ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
SHAPES = shapes()


def sections() -> dict[str, str]:
    """Return the text below each heading that is a tag."""
    parts = re.split(r"^##+ (.+)$", PAGE, flags=re.MULTILINE)[1:]
    return {title: text for title, text in zip(parts[::2], parts[1::2], strict=True) if title.startswith("!")}


def forms(shape: Shape) -> list[str]:
    """Return how the page shows what may follow a tag."""
    name = shape.argument.upper()
    kind = shape.fields[shape.argument].type if shape.argument else ""
    needed = [f"{key}: .." for key, field in shape.fields.items() if field.needed]
    shown = {
        NOTHING: "",
        TEXT: f" {name}",
        TEXTS: f" [{name.rstrip('S')}, ..]",
        PAIRS: f" {{{kind.upper()}, ..}}",
        KEYS: f" {{{', '.join(needed) or '..'}}}",
    }
    return [f"`{shape.tag}{shown[form]}`" for form in shape.forms]


def default(field: Field) -> str:
    """Return how the page shows a default."""
    if field.needed:
        return "needed"
    words = field.default
    return (words if " " in words else f"`{words}`") if words else "none"


def test_every_step_is_on_the_page_and_no_other() -> None:
    assert sections().keys() == SHAPES.keys()


@pytest.mark.parametrize("tag", SHAPES)
def test_the_page_shows_the_forms_and_keys_of_a_step(tag: str) -> None:
    shape, text = SHAPES[tag], sections()[tag]
    assert text.strip().split("\n")[0] == " or ".join(forms(shape))
    rows = [(key, kind, shown) for key, kind, shown, _ in ROW.findall(text)]
    wanted = [(key, field.type, default(field)) for key, field in shape.fields.items()]
    assert rows == (wanted if KEYS in shape.forms else [])
    assert "?" not in {meaning for *_, meaning in ROW.findall(text)}
    assert len(text.strip().split("\n")[2]) > 20


@pytest.mark.parametrize("tag", SHAPES)
def test_the_types_of_a_step_are_ones_that_can_be_read(tag: str) -> None:
    shape = SHAPES[tag]
    for key, field in shape.fields.items():
        known = field.type in (*SINGLE, "container") or field.type.startswith("choice ")
        assert known or field.state == NO_EFFECT or (tag, key) == (SUBCONFIG, "source"), (key, field.type)
    assert not shape.argument or shape.argument in shape.fields
    assert shape.argument or not {TEXT, TEXTS, PAIRS} & set(shape.forms) or shape.later


def test_no_step_is_both_built_and_later() -> None:
    assert not SHAPES.keys() & LATER_STEPS.keys()
