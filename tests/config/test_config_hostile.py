"""Input that hurts parsers: one problem at most a hundred lines, soon, and never anything but ConfigError."""

from __future__ import annotations

import resource
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vaggapy.config.bind import MAX_PROBLEMS, bind
from vaggapy.config.load import MAX_BYTES
from vaggapy.config.tree import parse
from vaggapy.errors import ConfigError
from vaggapy.record import as_json

FRAGMENTS = [
    "\n", "\n", "\n  ", "\n    ", "\n      ", " ", ": ", ":", "- ", "? ", ", ", "[", "]", "{", "}", "&a ", "*a", "<<: ",
    "!Command", "!Supervise", "!Host", "!Tmpfs", "!*Include ", "!", "!!", "'", '"', "|", ">", "#", "%", "@", "`", "\t",
    "---", "...", "~", "null", "true", "\\", '"\\x', '"\\ud8', "\r", "\x85", "\u2028", "\ufeff", "\x00", "\x1b", "é",
    "commands:", "containers:", "children:", "mode: ", "run: ", "container: ", "setup: ", "volumes: ", "environ: ",
    "user-id: ", "minimum-vagga: ", "aliases: ", "prerequisites: ", "0x", "100Mi", "/a", "..", "a", "b",
]  # fmt: skip

SKELETON = """\
containers:
  py:
    setup: [!Host {home: read-only, expose: [/opt]}]
    volumes:
      /a: !Tmpfs {size: 1Mi, subdirs: {x: {mode: 0o700}}, files: {x/y: z}}
      /b: !BindRO /work/x
commands:
  one: !Command &one
    container: py
    run: [ls, -l]
    environ: {A: b}
    aliases: [o]
  all: !Supervise
    mode: stop-on-failure
    kill-unresponsive-after: 3
    prerequisites: [one]
    children:
      web: !Command
        <<: *one
"""


def ends_well(text: str) -> None:
    """Check that `text` is bound, or that the errors are complete lines in a sensible number."""
    try:
        project = bind(parse(text, "v.yaml"), "/project", "v.yaml")
    except ConfigError as error:
        lines = error.lines()
        assert 1 <= len(lines) <= MAX_PROBLEMS + 1
        for line in lines:
            assert line.startswith("v.yaml") and line.endswith("]") and line.isprintable() and len(line) < 1000
    else:
        assert as_json(project)["kind"] == "Project"


@settings(max_examples=400, deadline=None, database=None)
@given(st.lists(st.sampled_from(FRAGMENTS) | st.text(string.printable, max_size=4), max_size=60).map("".join))
@example("a: !Command\n  ? [x]\n  : *a")
@example("%YAML 1." + "1" * 5000)
@example('a: "\\UFFFFFFFF"')
@example("!<%ff> a")
def test_random_text_raises_nothing_but_config_errors(text: str) -> None:
    ends_well(text)


@settings(max_examples=300, deadline=None, database=None)
@given(st.integers(0, len(SKELETON)), st.integers(0, 30), st.lists(st.sampled_from(FRAGMENTS), max_size=4).map("".join))
def test_a_valid_file_with_random_damage_raises_nothing_but_config_errors(start: int, cut: int, new: str) -> None:
    ends_well(SKELETON[:start] + new + SKELETON[start + cut :])


def test_the_file_that_is_damaged_at_random_is_valid_itself() -> None:
    assert list(bind(parse(SKELETON, "v.yaml"), "/project", "v.yaml").commands) == ["one", "all"]


def many(pattern: str, count: int) -> str:
    """Return `pattern` with 0, 1, 2 ... in it."""
    return "".join(pattern % number for number in range(count))


HOSTILE = {
    "brackets": ("[" * 10_000, "yaml-too-deep"),
    "braces": ("{" * 10_000, "yaml-too-deep"),
    "nested flow mappings": ("{a: " * 10_000, "yaml-too-deep"),
    "nested lists": ("- " * 10_000, "yaml-too-deep"),
    "nested keys": ("? " * 10_000, "yaml-too-deep"),
    "nested block mappings": ("".join(" " * depth + "a:\n" for depth in range(1000)), "yaml-too-deep"),
    "alias bomb": (
        "_a: &a [" + "x," * 10 + "]\n" + "".join(f"_{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n" for a, b in
                                             zip("abcdefgh", "bcdefghi", strict=True)),
        "yaml-too-large",
    ),
    "merge bomb": ("_a0: &a0 {k: v}\n" + "".join(
        f"_a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 9)}]\n  k{n}: v\n" for n in range(1, 90)), "yaml-too-large"),
    "alias chain": ("_a0: &a0 [x]\n" + "".join(f"_a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 500)), "yaml-too-deep"),
    "many entries": (many("k%d: v\n", 50_000), "yaml-too-large"),
    "many items": ("_a: [" + "x," * 40_000 + "]", "yaml-too-large"),
    "unknown aliases": ("- *a\n" * 40_000, "yaml-alias"),
    "unclosed quote": ('_a: "' + "x" * 100_000, "yaml-syntax"),
    "escape of five thousand digits": ("%YAML 1." + "1" * 5000 + "\n---\n", "yaml-syntax"),
    "one long tag": ("!" * 100_000, "unknown-tag"),
    "one long key": ("k" * 100_000 + ": x", "yaml-syntax"),
    "one long number": (
        "containers: {c: {setup: [!Host]}}\ncommands: {c: !Command {container: c, run: x, user-id: "
        + "9" * 100_000 + "}}", "wrong-type"),
    "unknown containers beside many known ones": (
        "containers:\n" + many("  cont%05d: {setup: [!Host]}\n", 1500)
        + "commands:\n" + many("  c%d: !Command {run: x, container: conto%%05d}\n", 1500), "unknown-container"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_ends_soon_and_names_what_is_wrong(name: str) -> None:
    text, slug = HOSTILE[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    with pytest.raises(ConfigError) as caught:
        bind(parse(text, "v.yaml"), "/project", "v.yaml")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 4  # 2 s at most here; CI machines vary
    assert slug in {problem.name for problem in caught.value.problems}
    assert all(len(line) < 1000 for line in caught.value.lines())


@pytest.mark.parametrize("unit", ["#", "\n", "x ", "\r", "# x\n"])
def test_the_largest_file_that_is_read_is_parsed_soon(unit: str) -> None:
    text = "_a: " + unit * ((MAX_BYTES - 5) // len(unit))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    assert bind(parse(text, "v.yaml"), "/project", "v.yaml").commands == {}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 4


def test_N10_five_hundred_children_are_within_the_limits() -> None:
    text = "containers: {py: {setup: [!Host]}}\ncommands:\n  all: !Supervise\n    children:\n"
    text += many(
        "      child-%d: !Command\n        container: py\n        tags: [a, b]\n        environ: {A: b, C: d}\n"
        "        work-dir: src\n        run: [python3, -m, app, --one]\n        volumes: {/a: !Tmpfs {size: 1Mi}}\n",
        500,
    )
    assert len(text) < MAX_BYTES
    project = bind(parse(text, "v.yaml"), "/project", "v.yaml")
    assert len(project.commands["all"].children) == 500  # type: ignore[union-attr] # it is a !Supervise
