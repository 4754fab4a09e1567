"""`options` and `symlink-name` in vagga.yaml (vagga.md 3.1)."""

from __future__ import annotations

import pytest

from vaggapy.config.bind import bind
from vaggapy.config.model import Command, Supervise
from vaggapy.config.tree import parse
from vaggapy.errors import ConfigError

TAGS = [("!Command", "run: 'true'\n    container: x"), ("!Supervise", "children: {a: !Command {container: x, run: a}}")]


def bound(tag: str, needed: str, keys: str) -> Command | Supervise:
    text = f"containers: {{x: {{setup: [!Host]}}}}\ncommands:\n  c: {tag}\n    {needed}\n    {keys}\n"
    return bind(parse(text, "vagga.yaml"), "/p", "vagga.yaml").commands["c"]


@pytest.mark.parametrize(("tag", "needed"), TAGS)
def test_a_command_keeps_its_usage_and_its_link(tag: str, needed: str) -> None:
    command = bound(tag, needed, "options: 'Usage: vagga c'\n    symlink_name: psql-9.6")
    assert (command.options, command.symlink_name) == ("Usage: vagga c", "psql-9.6")
    nothing = bound(tag, needed, "options:\n    symlink-name: ~")
    assert (nothing.options, nothing.symlink_name) == ("", "")


@pytest.mark.parametrize(("tag", "needed"), TAGS)
@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "-x", "a b", "vagga", "vagga_x", '"a\\tb"'])
def test_a_link_has_a_name_that_a_person_can_type_and_that_is_not_vaggas(tag: str, needed: str, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bound(tag, needed, f"symlink-name: {name}")
    assert [problem.name for problem in caught.value.problems] == ["bad-name"]
    assert caught.value.problems[0].mark.line == 5 + needed.count("\n")


def test_a_child_has_no_options() -> None:
    with pytest.raises(ConfigError, match="unknown key 'options'"):
        bound("!Supervise", "children: {a: !Command {container: x, run: a, options: 'Usage: x'}}", "description: d")
