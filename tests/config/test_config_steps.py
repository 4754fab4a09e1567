"""How steps are read by their shapes, and what they refer to. The shapes are the test's own."""

from __future__ import annotations

import pytest

from vaggapy.config.bind import bind
from vaggapy.config.references import MAX_DEPTH
from vaggapy.config.shapes import KEYS, NOTHING, PAIRS, TEXT, TEXTS, Field, Shape
from vaggapy.config.steps import MAX_STEPS
from vaggapy.config.tree import Tree, parse
from vaggapy.errors import ConfigError, Mark, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

TYPES = {
    "t": Field("text"),
    "ts": Field("texts"),
    "env": Field("name: text"),
    "flag": Field("true or false"),
    "n": Field("number"),
    "ns": Field("numbers"),
    "mode": Field("file mode"),
    "abs": Field("absolute path"),
    "below": Field("path below /"),
    "rel": Field("relative path"),
    "many": Field("absolute paths"),
    "files": Field("path: text"),
    "dirs": Field("path: name"),
    "some-choice": Field("choice one, two-three"),
}
SHAPES = {
    shape.tag: shape
    for shape in (
        Shape("!All", (KEYS,), TYPES),
        Shape("!One", (TEXT,), {"word": Field("text", "", needed=True)}, "word"),
        Shape("!Maybe", (TEXT, NOTHING), {"word": Field("text", "x")}, "word"),
        Shape("!Either", (TEXT, KEYS), {"word": Field("text", "", needed=True), "more": Field("text")}, "word"),
        Shape("!List", (TEXTS,), {"words": Field("texts", "", needed=True)}, "words"),
        Shape("!Pairs", (PAIRS,), {"pairs": Field("name: text")}, "pairs"),
        Shape("!Bare", (NOTHING,), {}),
        Shape("!Path", (TEXT,), {"path": Field("path below /")}, "path"),
        Shape("!Container", (TEXT,), {"container": Field("container", "", needed=True)}, "container"),
        Shape("!Build", (KEYS,), {"container": Field("container", "", needed=True)}),
        Shape("!Old", (TEXT,), {}, later="use !One"),
        Shape(
            "!SubConfig",
            (KEYS,),
            {"source": Field("source"), "path": Field("relative path"), "container": Field("text", "", needed=True)},
        ),
    )
}


def setup(steps: str, files: Mapping[str, str] | None = None) -> list[tuple[str, dict[str, object]]]:
    """Return tags and values of the container `c` with these steps, written as a list in brackets."""
    text = f"containers:\n  c: {{setup: [{steps}\n]}}\n  other: {{setup: []}}\n  h: {{setup: [!Host]}}\n"
    project = bind(parse(text, "v.yaml"), "/p", "v.yaml", SHAPES, lambda path: parse((files or {})[path], path))
    return [(step.tag, dict(step.values)) for step in project.containers["c"].setup]


def problems(text: str, files: Mapping[str, str] | None = None) -> list[str]:
    """Return the lines for a file with these containers."""
    look = files or {}

    def read(path: str) -> Tree:
        missing = Problem(Mark(path), "is not there", "", "config-unreadable")
        return parse(look[path], path) if path in look else Tree(None, (missing,))

    with pytest.raises(ConfigError) as caught:
        bind(parse("containers:\n" + text, "v.yaml"), "/p", "v.yaml", SHAPES, read)
    return list(caught.value.lines())


@pytest.mark.parametrize(
    ("written", "key", "value"),
    [
        ("t: 0755", "t", "0755"),
        ("ts: [a, b]", "ts", ("a", "b")),
        ("ts: ", "ts", ()),
        ("env: {A: 1, B: }", "env", {"A": "1", "B": ""}),
        ("flag: true", "flag", True),
        ("n: 0x10", "n", 16),
        ("ns: [1, 2k]", "ns", (1, 2000)),
        ("mode: 0o755", "mode", 0o755),
        ("abs: /", "abs", "/"),
        ("abs: /./", "abs", "/"),
        ("abs: /a//b/", "abs", "/a/b"),
        ("below: /a/", "below", "/a"),
        ("rel: ./a/", "rel", "a"),
        ("rel: .", "rel", ""),
        ("many: [/a/, /b]", "many", ("/a", "/b")),
        ("files: {/a/: x, /b: }", "files", {"/a": "x", "/b": ""}),
        ("dirs: {/a: b/c/}", "dirs", {"/a": "b/c"}),
        ("some-choice: two_three", "some_choice", "two-three"),
        ("some_choice: one", "some_choice", "one"),
    ],
)
def test_a_value_is_read_as_its_field_says(written: str, key: str, value: object) -> None:
    assert setup(f"!All {{{written}}}") == [("!All", {key: value})]


def test_keys_that_were_not_written_or_are_nothing_have_no_value() -> None:
    assert setup("!All {t: ~, n: null, abs: }, !All {_private: x}, !All ") == [("!All", {})] * 3


@pytest.mark.parametrize(
    ("written", "tag", "values"),
    [
        ("!One x", "!One", {"word": "x"}),
        ("!One ''", "!One", {"word": ""}),
        ("!Maybe ", "!Maybe", {}),
        ("!Maybe y", "!Maybe", {"word": "y"}),
        ("!Either x", "!Either", {"word": "x"}),
        ("!Either {word: x, more: y}", "!Either", {"word": "x", "more": "y"}),
        ("!List [a]", "!List", {"words": ("a",)}),
        ("!Pairs {A: b}", "!Pairs", {"pairs": {"A": "b"}}),
        ("!Pairs ", "!Pairs", {"pairs": {}}),
        ("!Bare ", "!Bare", {}),
        ("!Container other", "!Container", {"container": "other"}),
    ],
)
def test_each_form_of_a_step_gives_its_argument_a_name(written: str, tag: str, values: dict[str, object]) -> None:
    assert setup(written) == [(tag, values)]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("!One [a]", "!One must be followed by text (write '!One TEXT') [wrong-type]"),
        ("!One ", "!One must be followed by text (write '!One TEXT') [wrong-type]"),
        ("!List a", "!List must be followed by a list of texts (write '!List [one, two]') [wrong-type]"),
        ("!List []", "!List is empty (take it away, or name something) [bad-value]"),
        ("!Bare x", "!Bare must be without a value [wrong-type]"),
        ("!Either [x]", "!Either must be followed by text or keys and values (write '!Either TEXT') [wrong-type]"),
        ("!Either ", "!Either needs 'word' (add 'word:') [missing-key]"),
        ("!Pairs [x]", "!Pairs must be followed by 'name: value' lines [wrong-type]"),
        ("!On x", "unknown tag '!On' of a step (did you mean '!One'?) [unknown-tag]"),
        ("!Unheard x", "unknown tag '!Unheard' of a step (they are listed in docs/build-steps.md) [unknown-tag]"),
        ("One", "a step has no tag (write '!One') [missing-tag]"),
        ("{One: x}", "a step has no tag (write '!One') [missing-tag]"),
        ("x", "a step has no tag (write one of those in docs/build-steps.md before its value) [missing-tag]"),
        ("!Old x", "tag '!Old' of a step is known but not available (use !One) [not-available]"),
        ("!Path /", "!Path '/' names the root itself (name something below it) [bad-path]"),
        ("!Path a", "!Path 'a' is not absolute (begin it with '/') [bad-path]"),
        ("!Path /a/../..", "!Path '/a/../..' holds '..' (write the path without it) [bad-path]"),
    ],
)
def test_a_step_that_is_written_wrongly_is_one_exact_line(written: str, expected: str) -> None:
    assert problems(f"  c: {{setup: [{written}\n]}}\n") == [f"v.yaml:2:15: {expected}"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("x: y", "unknown key 'x' in !All (the keys are listed in docs/build-steps.md) [unknown-key]"),
        ("som-choice: y", "unknown key 'som-choice' in !All (did you mean 'some-choice'?) [unknown-key]"),
        ("some-choice: y", "unknown value 'y' of 'some-choice' (one of one, two-three) [bad-value]"),
        ("mode: 755", "'mode' 755 has no base (octal modes begin with 0o: write 0o755) [bad-value]"),
        ("n: -1", "'n' is -1 (from 0 to 1073741824) [out-of-range]"),
        ("ns: 1", "'ns' must be a list (write '[one, two]') [wrong-type]"),
        ("abs: a", "'abs' 'a' is not absolute (begin it with '/') [bad-path]"),
        ("abs: /..", "'abs' '/..' holds '..' (write the path without it) [bad-path]"),
        ("rel: /a", "'rel' '/a' is absolute (take the first '/' away) [bad-path]"),
        ("rel: a/..", "'rel' 'a/..' holds '..' (write the path without it) [bad-path]"),
        ("rel: /", "'rel' '/' is absolute (take the first '/' away) [bad-path]"),
        ("many: [/]", "'many' '/' names the root itself (name something below it) [bad-path]"),
        ("files: {a: x}", "path 'a' is not absolute (begin it with '/') [bad-path]"),
        ("files: {/a: x, /a/: y}", "'/a' is written twice (keep one of them) [duplicate-key]"),
        ("dirs: {/a: /b}", "'/a' '/b' is absolute (take the first '/' away) [bad-path]"),
        ("dirs: {/a: }", "'/a' must be text [wrong-type]"),
    ],
)
def test_a_value_of_a_wrong_kind_is_one_exact_line(written: str, expected: str) -> None:
    [line] = problems(f"  c: {{setup: [!All {{{written}}}]}}\n")
    assert line.partition(" ")[2] == expected


def test_every_mistake_of_all_steps_comes_at_once() -> None:
    assert len(problems("  c: {setup: [!One [a], !All {n: x, mode: x}, !Bare , !Unheard ]}\n")) == 4


def test_more_steps_than_anybody_writes_are_refused() -> None:
    steps = ", ".join(["!Bare "] * 2600)
    [line] = problems(f"  c: {{setup: [{steps}]}}\n  d: {{setup: [{steps}]}}\n")
    assert line.endswith(f": more than {MAX_STEPS} steps (use fewer) [config-too-large]")


# --- what refers to what ----------------------------------------------------------------------------------------


def test_an_unknown_container_of_a_step_is_told_which_was_meant() -> None:
    assert problems("  base: {setup: []}\n  c: {setup: [!Container bse]}\n") == [
        "v.yaml:3:15: unknown container 'bse' (did you mean 'base'?) [unknown-container]"
    ]


def test_a_host_container_cannot_be_built_on() -> None:
    assert problems("  h: {setup: [!Host]}\n  c: {setup: [!Build {container: h}]}\n") == [
        "v.yaml:3:34: container 'h' of !Build is the host itself (name a container that is built) [host-as-image]"
    ]


def test_a_circle_of_containers_is_named_once_and_whole() -> None:
    text = "  a: {setup: [!Container b]}\n  b: {setup: [!Build {container: c}]}\n  c: {setup: [!Container a]}\n"
    text += "  into: {setup: [!Container b]}\n"
    assert problems(text) == [
        "v.yaml:4:15: containers are built from each other in a circle: a -> b -> c -> a "
        "(take one step of it away) [container-cycle]"
    ]


def test_a_container_that_stands_on_itself_is_a_circle() -> None:
    [line] = problems("  a: {setup: [!Container a]}\n")
    assert "in a circle: a -> a " in line


def test_the_same_container_used_twice_is_no_circle() -> None:
    assert setup("!Container other, !Build {container: other}") == [
        ("!Container", {"container": "other"}),
        ("!Build", {"container": "other"}),
    ]


def test_a_tower_of_containers_is_refused_at_its_lowest_container_that_stands_too_high() -> None:
    tower = "".join(f"  c{n}: {{setup: [!Container c{n + 1}]}}\n" for n in range(2000)) + "  c2000: {setup: []}\n"
    [line] = problems(tower)
    assert f"container 'c{2000 - MAX_DEPTH}' stands on {MAX_DEPTH} others or more" in line


def test_volumes_may_refer_to_their_own_container() -> None:
    text = "containers:\n  a:\n    setup: []\n    volumes: {/b: !Snapshot {container: a}, /c: !Container a}\n"
    assert bind(parse(text, "v.yaml"), "/p", "v.yaml", SHAPES).containers["a"].volumes.keys() == {"/b", "/c"}


INITS = "  a:\n    setup: []\n    volumes: {/d: !Persistent {name: v, init-command: %s}}\ncommands:\n"


@pytest.mark.parametrize(
    ("name", "commands", "expected"),
    [
        ("fil", "  fill: !Command {container: a, run: x}\n", "unknown command 'fil' (did you mean 'fill'?)"),
        (
            "all",
            "  all: !Supervise {children: {x: !Command {container: a, run: x}}}\n",
            "init-command 'all' is a !Supervise (name a !Command that ends when the volume is filled)",
        ),
        (
            "fill",
            "  fill: !Command {container: a, run: x, volumes: {/d: !Empty }}\n",
            "init-command 'fill' does not mount the volume 'v' (add it to 'volumes:' of 'fill' or of its container)",
        ),
    ],
)
def test_an_init_command_must_be_able_to_fill_its_volume(name: str, commands: str, expected: str) -> None:
    [line] = problems(INITS % name + commands)
    assert line.startswith(f"v.yaml:4:55: {expected} [")


def test_an_init_command_may_mount_its_volume_itself() -> None:
    text = "containers:\n" + INITS % "fill" + "  fill: !Command {container: b, run: x, volumes: {/e: !Persistent v}}\n"
    text = text.replace("commands:", "  b: {setup: []}\ncommands:")
    assert bind(parse(text, "v.yaml"), "/p", "v.yaml", SHAPES).commands.keys() == {"fill"}


# --- !SubConfig -------------------------------------------------------------------------------------------------


def test_the_steps_of_another_file_are_kept_with_their_places() -> None:
    other = "containers:\n  x:\n    setup: [!One a, !Bare ]\n  y: {nonsense: 1}\n"
    [(tag, values)] = setup("!SubConfig {path: sub/v.yaml, container: x}", {"sub/v.yaml": other})
    steps = values.pop("steps")
    assert (tag, values) == ("!SubConfig", {"path": "sub/v.yaml", "container": "x"})
    assert isinstance(steps, tuple)
    assert [(step.tag, str(step.mark), step.values) for step in steps] == [
        ("!One", "sub/v.yaml:3:13", {"word": "a"}),
        ("!Bare", "sub/v.yaml:3:21", {}),
    ]


def test_mistakes_in_another_file_are_reported_with_its_name() -> None:
    lines = problems(
        "  c: {setup: [!SubConfig {path: s.yaml, container: x}, !Un x]}\n",
        {"s.yaml": "containers: {x: {setup: [!One [a]]}}"},
    )
    assert [line.partition(" ")[0] for line in lines] == ["v.yaml:2:56:", "s.yaml:1:26:"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("path: gone.yaml, container: x", "gone.yaml: is not there [config-unreadable]"),
        ("path: bad.yaml, container: x", "bad.yaml:1:"),
        ("path: s.yaml, container: xx", "v.yaml:2:52: unknown container 'xx' in 's.yaml' (did you mean 'x'?)"),
        ("path: empty.yaml, container: x", "v.yaml:2:56: unknown container 'x' in 'empty.yaml' ["),
        ("path: ../s.yaml, container: x", "v.yaml:2:33: path '../s.yaml' holds '..'"),
        ("path: /work/s.yaml, container: x", "v.yaml:2:33: path '/work/s.yaml' is absolute"),
        ("path: s.yaml", "v.yaml:2:15: !SubConfig needs 'container'"),
        ("source: !Git {url: x}, container: x", "v.yaml:2:35: tag '!Git' of 'source' is known but not available"),
    ],
)
def test_what_cannot_be_taken_from_another_file_is_one_line(values: str, expected: str) -> None:
    files = {"s.yaml": "containers: {x: {setup: []}}", "bad.yaml": "a: [", "empty.yaml": ""}
    lines = problems(f"  c: {{setup: [!SubConfig {{{values}}}]}}\n", files)
    assert len(lines) == 1
    assert lines[0].startswith(expected)


def test_files_that_name_each_other_are_a_circle() -> None:
    step = "containers: {x: {setup: [!SubConfig {path: %s, container: x}]}}"
    files = {"a.yaml": step % "b.yaml", "b.yaml": step % "a.yaml"}
    [line] = problems("  c: {setup: [!SubConfig {path: a.yaml, container: x}]}\n", files)
    assert "!SubConfig leads to itself: x of 'a.yaml' -> x of 'b.yaml' -> x of 'a.yaml' (" in line
    assert line.endswith("[container-cycle]")


def test_files_that_multiply_their_steps_end_quickly() -> None:
    step = "!SubConfig {path: %d.yaml, container: x}"
    files = {f"{n}.yaml": f"containers: {{x: {{setup: [{step % (n + 1)}, {step % (n + 1)}]}}}}" for n in range(19)}
    files["19.yaml"] = "containers: {x: {setup: [!Bare ]}}"
    lines = problems(f"  c: {{setup: [{step % 0}]}}\n", files)
    assert any(line.endswith("[config-too-large]") for line in lines)


def test_steps_of_another_file_refer_to_containers_of_this_one() -> None:
    lines = problems(
        "  c: {setup: [!SubConfig {path: s.yaml, container: x}]}\n",
        {"s.yaml": "containers: {x: {setup: [!Container c]}}"},
    )
    assert lines == [
        "s.yaml:1:26: containers are built from each other in a circle: c -> c "
        "(take one step of it away) [container-cycle]"
    ]


def test_a_file_in_the_root_of_a_container_is_named_by_it() -> None:
    assert setup("!SubConfig {source: !Container other, path: v.yaml, container: x}") == [
        ("!SubConfig", {"path": "v.yaml", "container": "x", "source_container": "other"})
    ]
    [line] = problems("  c: {setup: [!SubConfig {source: !Container cc, container: x}]}\n")
    assert "unknown container 'cc'" in line
