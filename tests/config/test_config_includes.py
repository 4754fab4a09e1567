"""`!*Include`, `!*Unpack`, merge keys and the rest of the dialect. Source: vagga.md 2.4; each row has a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from vaggapy.config import others
from vaggapy.config.load import Loaded, find, read_project
from vaggapy.config.model import Command
from vaggapy.config.tree import MAX_NODES, Mapping, Scalar, Sequence, Tree, parse
from vaggapy.errors import ConfigError, Mark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.tree import Node


def plain(node: Node | None) -> object:
    """Return a node as Python's own values; a tag becomes the first of a pair."""
    value: object = None
    if isinstance(node, Scalar):
        value = node.text
    elif isinstance(node, Sequence):
        value = [plain(item) for item in node.items]
    elif isinstance(node, Mapping):
        value = {key.text: plain(item) for key, item in node.entries}
    return (node.tag, value) if node is not None and node.tag else value


def read(text: str, **texts: str) -> Tree:
    """Parse a file; `texts` are those that it can include, by name without `.yaml`."""

    def include(mark: Mark, path: str) -> Tree:
        assert mark.line
        return parse(texts[path.removesuffix(".yaml")], path, include)

    return parse(text, "vagga.yaml", include)


def value(text: str, **texts: str) -> object:
    tree = read(text, **texts)
    assert tree.problems == ()
    return plain(tree.root)


def problems(text: str, **texts: str) -> list[str]:
    return [str(problem) for problem in read(text, **texts).problems]


# --- includes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "included", "expected"),
    [
        ("a: !*Include f.yaml", "x: y", {"a": {"x": "y"}}),
        ("a: !*Include f.yaml", "[x, y]", {"a": ["x", "y"]}),
        ("a: !*Include f.yaml", "x", {"a": "x"}),
        ("a: !*Include f.yaml", "!Command {run: x}", {"a": ("!Command", {"run": "x"})}),
        ("a: !*Include f.yaml", "# nothing\n", {"a": ""}),
        ("[a, !*Include f.yaml]", "[x, y]", ["a", ["x", "y"]]),
        ("!*Include f.yaml", "x: y", {"x": "y"}),
        ("a: &n !*Include f.yaml\nb: *n", "x", {"a": "x", "b": "x"}),
        ("a: !*Include f.yaml\nb: !*Include f.yaml", "x", {"a": "x", "b": "x"}),
        ("a: !*Include 'f.yaml'", "x", {"a": "x"}),
    ],
)
def test_an_include_is_replaced_by_what_the_file_holds(text: str, included: str, expected: object) -> None:
    assert value(text, f=included) == expected


def test_includes_may_be_nested() -> None:
    assert value("a: !*Include f.yaml", f="b: !*Include g.yaml", g="c: d") == {"a": {"b": {"c": "d"}}}


def test_anchors_are_those_of_their_file() -> None:
    assert problems("a: &n 1\nb: !*Include f.yaml", f="c: *n") == [
        "f.yaml:1:4: unknown alias '*n' (define '&n' before, or put text that begins with '*' in quotes) [yaml-alias]"
    ]
    assert problems("b: !*Include f.yaml\nc: *n", f="&n x")[0].startswith("vagga.yaml:2:4: unknown alias '*n'")


@pytest.mark.parametrize("path", ["../f.yaml", "/f.yaml", "a/../f.yaml", '""'])
def test_a_path_that_leads_up_cannot_be_included(path: str) -> None:
    [line] = problems(f"a: !*Include {path}", f="x")
    assert "cannot be included (name a file below the directory of this one, without '..') [bad-include]" in line


@pytest.mark.parametrize("tag", ["!*IncludeSeq", "!*IncludeMap"])
@pytest.mark.parametrize("argument", ["'*.yaml'", "[a]", "{a: b}"])
def test_whole_directories_cannot_be_included(tag: str, argument: str) -> None:
    assert problems(f"a: {tag} {argument}") == [
        f"vagga.yaml:1:4: tag '{tag}' is not supported (write '!*Include FILE' for each file) [not-available]"
    ]


@pytest.mark.parametrize("text", ["a: !*Include [f.yaml]", "a: !*Include {f: g}"])
def test_an_include_names_one_file(text: str) -> None:
    assert problems(text) == ["vagga.yaml:1:4: '!*Include' needs the path of a file [bad-include]"]


def test_a_key_is_not_included() -> None:
    [line] = problems("!*Include f.yaml : x", f="a")
    assert "a key must be plain text" in line


def test_mistakes_of_an_included_file_have_its_places() -> None:
    assert problems("a: !*Include f.yaml\nb: 1\nb: 2", f="[x") == [
        "f.yaml:1:1: the '[' here is not closed (add ']', or ',' between the items) [yaml-syntax]",
        "vagga.yaml:3:1: key 'b' is written twice, first in line 2 (keep one of them) [duplicate-key]",
    ]


def test_what_is_included_counts_at_each_use() -> None:
    block = "[" + "x, " * (MAX_NODES // 4) + "]"
    lines = "".join(f"a{number}: !*Include f.yaml\n" for number in range(5))
    assert any("more than 30000 keys and values" in line for line in problems(lines, f=block))


def test_what_is_included_counts_for_the_depth() -> None:
    deep = "[" * 60 + "]" * 60
    assert any("nested deeper than 100 levels" in line for line in problems("[" * 60 + "!*Include f.yaml", f=deep))


# --- files ------------------------------------------------------------------------------------------------------


def write(root: Path, files: dict[str, str]) -> Loaded:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return read_project(find(str(root)))


def wrong(root: Path, files: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        write(root, files)
    return [line.replace(f"{root}/", "") for line in caught.value.lines()]


MAIN = "containers: {h: {setup: [!Host]}}\ncommands: !*Include sub/commands.yaml\n"
COMMAND = "x: !Command {container: h, run: !*Include run.yaml}"


def test_paths_of_includes_are_relative_to_the_file_that_includes(tmp_path: Path) -> None:
    loaded = write(tmp_path, {"vagga.yaml": MAIN, "sub/commands.yaml": COMMAND, "sub/run.yaml": "[ls, -l]"})
    command = loaded.project.commands["x"]
    assert isinstance(command, Command) and command.program.run == ("ls", "-l")
    assert command.mark.file == f"{tmp_path}/sub/commands.yaml"
    names = ("vagga.yaml", "sub/commands.yaml", "sub/run.yaml")
    assert loaded.inputs == tuple(f"{tmp_path}/{name}" for name in names)


def test_a_main_file_in_the_directory_vagga_includes_from_there(tmp_path: Path) -> None:
    files = {".vagga/vagga.yaml": MAIN, ".vagga/sub/commands.yaml": COMMAND, ".vagga/sub/run.yaml": "ls"}
    assert "x" in write(tmp_path, files).project.commands


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        ("!*Include sub/commands.yaml", "'sub/commands.yaml' cannot be included: it is not there (the path is"),
        ("!*Include commands.yaml", "files include each other without end: vagga.yaml -> commands.yaml -> com"),
        ("!*Include ./commands.yaml", "files include each other without end:"),
        ("{x: 3}", "command 'x' has no tag"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_include_is_told_at_its_place(tmp_path: Path, commands: str, expected: str) -> None:
    [line] = wrong(tmp_path, {"vagga.yaml": MAIN, "sub/commands.yaml": commands})
    assert line.startswith("sub/commands.yaml:1:") and expected in line


def test_a_circle_of_many_files_is_found(tmp_path: Path) -> None:
    files = {f"f{number}.yaml": f"!*Include f{(number + 1) % 40}.yaml" for number in range(40)}
    [line] = wrong(tmp_path, {"vagga.yaml": "_a: !*Include f0.yaml", **files})
    assert "include each other without end" in line


def test_a_project_of_too_many_files_ends_early(tmp_path: Path) -> None:
    count = others.MAX_FILES + 1
    files = {f"f{number}.yaml": "x" for number in range(count)}
    text = "".join(f"_{number}: !*Include f{number}.yaml\n" for number in range(count))
    assert "the project has more than 200 files" in wrong(tmp_path, {"vagga.yaml": text, **files})[0]


def test_a_file_outside_of_the_project_is_not_included(tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("x")
    project = tmp_path / "project"
    project.mkdir()
    (project / "a.yaml").symlink_to("../secret.yaml")
    [line] = wrong(project, {"vagga.yaml": "_a: !*Include a.yaml"})
    assert line == "a.yaml: is a link that leads out of the project (copy the file) [config-unreadable]"


def test_a_file_that_subconfig_names_may_include(tmp_path: Path) -> None:
    from vaggapy.build.registry import shapes

    (tmp_path / "part.yaml").write_text("containers: {c: {setup: !*Include steps.yaml}}")
    (tmp_path / "steps.yaml").write_text("[!Sh 'true']")
    (tmp_path / "vagga.yaml").write_text("containers: {c: {setup: [!SubConfig {path: part.yaml, container: c}]}}")
    step = read_project(find(str(tmp_path)), shapes).project.containers["c"].setup[0]
    assert len(step.values["steps"]) == 1  # type: ignore[arg-type]


def test_settings_include_nothing(tmp_path: Path) -> None:
    files = {"vagga.yaml": "", ".vagga.settings.yaml": "environ: !*Include e.yaml"}
    assert wrong(tmp_path, files) == [
        ".vagga.settings.yaml:1:10: '!*Include' has no place in this file (write what the other file holds) "
        "[bad-include]"
    ]


# --- lists in lists ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a, !*Unpack [[b, c]], d]", ["a", "b", "c", "d"]),
        ("[!*Unpack [[a], [b]]]", ["a", "b"]),
        ("[!*Unpack [[], ~]]", []),
        ("- x\n- !*Unpack [!*Include f.yaml, [z]]\n", ["x", "p", "q", "z"]),
        ("- !*Unpack\n  - [a]\n  - !*Include f.yaml\n", ["a", "p", "q"]),
        ("[!*Unpack [[!Sh x]]]", [("!Sh", "x")]),
        ("!Install [!*Unpack [[a]]]", ("!Install", ["a"])),
        ("[!*Unpack [!*Unpack [[[a, b]]]]]", ["a", "b"]),
    ],
)
def test_unpack_puts_the_items_of_lists_among_others(text: str, expected: object) -> None:
    assert value(text, f="[p, q]") == expected


def test_unpack_takes_aliases() -> None:
    assert value("a: &n [x, y]\nb: [!*Unpack [*n, *n], z]") == {"a": ["x", "y"], "b": ["x", "y", "x", "y", "z"]}


@pytest.mark.parametrize(
    "text", ["a: !*Unpack [[b]]", "!*Unpack [[b]]", "[!*Unpack x]", "a: {b: !*Unpack [[c]]}"]
)  # fmt: skip
def test_unpack_stands_in_a_list(text: str) -> None:
    [line] = problems(text)
    assert line.endswith("'!*Unpack' has no place here (write '- !*Unpack [*name]' in a list) [bad-unpack]")


@pytest.mark.parametrize("text", ["[!*Unpack [a]]", "[!*Unpack [{a: b}]]", "[!*Unpack [!Sh [a]]]"])
def test_unpack_takes_lists_only(text: str) -> None:
    [line] = problems(text)
    assert "each item of '!*Unpack' must be a list" in line


def test_unpack_needs_a_list() -> None:
    assert problems("[!*Unpack {a: b}]") == ["vagga.yaml:1:2: '!*Unpack' needs a list of lists [bad-unpack]"]


# --- merge keys -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<<: {a: 1, b: 1}\nb: 2", {"a": "1", "b": "2"}),
        ("<<: [{a: 1}, {a: 2, b: 2}]", {"a": "1", "b": "2"}),
        ("<<: !*Include f.yaml\nx: mine", {"x": "mine", "p": "q"}),
        ("<<: [!*Include f.yaml, {x: 2, z: 2}]", {"x": "y", "p": "q", "z": "2"}),
        ("<<: {a: {x: 1}}\na: {y: 2}", {"a": {"y": "2"}}),
        ("<<:\na: b", {"a": "b"}),
        ("<<: {<<: {a: 1}, b: 2}", {"a": "1", "b": "2"}),
        ("'<<': {a: 1}", {"<<": {"a": "1"}}),
    ],
)
def test_a_merge_key_brings_what_is_not_written(text: str, expected: object) -> None:
    assert value(text, f="x: y\np: q") == expected


@pytest.mark.parametrize("text", ["<<: x", "<<: [x]", "<<: !*Include f.yaml"])
def test_a_merge_key_brings_mappings_only(text: str) -> None:
    [line] = problems(text, f="[a]")
    assert "'<<' needs a mapping or a list of mappings" in line


# --- scalars ----------------------------------------------------------------------------------------------------


def test_a_block_of_text_loses_its_indentation_and_ends_with_one_line_end() -> None:
    assert value("a: |\n    x\n      y\n\n") == {"a": "x\n  y\n"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("|-\n  x\n", "x"), ("|+\n  x\n\n", "x\n\n"), (">\n  x\n  y\n", "x y\n"), ('"\\x41\\u00e9"', "Aé")],
)
def test_other_forms_of_text_are_accepted_too(text: str, expected: str) -> None:
    assert value(f"a: {text}") == {"a": expected}
