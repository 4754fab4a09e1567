"""Which files make up a project: where it is found, local files, mixins, and what wins. Source: vagga.md 2.1 to 2.3."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vaggapy.config import others
from vaggapy.config.load import LOCAL, NAMES, Loaded, find, read_project
from vaggapy.config.model import Command
from vaggapy.errors import ConfigError

HOST = "containers: {h: {setup: [!Host]}}\n"


class Files:
    """A project in a directory of its own; `write` makes its files."""

    def __init__(self, root: Path) -> None:
        self.root = root / "project"
        self.root.mkdir()

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def says(self, name: str, word: str, more: str = "") -> Path:
        """Write a file whose command `x` runs `word`, and which has a command called `word`."""
        command = f"!Command {{container: h, run: {word}}}"
        return self.write(name, f"{more}commands:\n  x: {command}\n  {word}: {command}\n")

    def load(self, file: str | None = None) -> Loaded:
        return read_project(find(str(self.root), file))

    def run(self, command: str = "x", file: str | None = None) -> str:
        """Return what a command runs."""
        found = self.load(file).project.commands[command]
        assert isinstance(found, Command)
        return str(found.program.run)

    def warnings(self) -> list[str]:
        return [str(problem).replace(f"{self.root}/", "") for problem in self.load().project.warnings]

    def problems(self) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            self.load()
        return [line.replace(f"{self.root}/", "") for line in caught.value.lines()]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


# --- 2.1: where a project is ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOCAL)
def test_a_local_file_alone_makes_a_project_of_its_directory(files: Files, name: str) -> None:
    file = files.says(name, "alone", HOST)
    deep = files.root / "a" / "b"
    deep.mkdir(parents=True)
    found = find(str(deep))
    assert (found.directory, found.file) == (str(files.root), str(file))
    assert files.run() == "alone"


def test_a_mistake_in_the_only_file_is_an_error_although_it_is_a_local_one(files: Files) -> None:
    files.write("vagga.local.yaml", "comands: {}")
    assert files.problems() == ["vagga.local.yaml:1:1: unknown key 'comands' in the top of the file "
                                "(did you mean 'commands'?) [unknown-key]"]  # fmt: skip


def test_of_several_local_files_without_a_main_one_the_last_is_the_strongest(files: Files) -> None:
    for number, name in enumerate(LOCAL):
        files.says(name, f"w{number}", HOST)
        assert files.run() == f"w{number}"
    assert sorted(files.load().project.commands) == ["w0", "w1", "w2", "x"]


def test_a_local_file_below_hides_a_main_file_above(files: Files) -> None:
    files.says("vagga.yaml", "above", HOST)
    files.says("sub/vagga.local.yaml", "below", HOST)
    assert find(str(files.root / "sub")).directory == str(files.root / "sub")


# --- 2.3: local files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("main", NAMES)
@pytest.mark.parametrize("local", LOCAL)
def test_a_local_file_wins_over_the_main_one_and_adds_to_it(files: Files, main: str, local: str) -> None:
    files.says(main, "main", HOST)
    files.says(local, "local")
    assert files.run() == "local"
    assert files.run("main") == "main"
    assert files.run("local") == "local"


def test_a_value_is_replaced_whole(files: Files) -> None:
    files.write("vagga.yaml", f"{HOST}commands: {{x: !Command {{container: h, run: a, description: d}}}}")
    files.write("vagga.local.yaml", "commands: {x: !Command {container: h, run: b}}")
    command = files.load().project.commands["x"]
    assert command.description == ""


def test_containers_are_mixed_in_as_commands_are(files: Files) -> None:
    files.says("vagga.yaml", "main", HOST)
    files.write("vagga.local.yaml", "containers: {h: {setup: [!Host {home: read-only}]}}")
    host = files.load().project.containers["h"].host
    assert host is not None and host.home_visible


def test_local_files_may_be_links_that_lead_anywhere(files: Files, tmp_path: Path) -> None:
    files.says("vagga.yaml", "main", HOST)
    (files.says("elsewhere", "mine")).rename(tmp_path / "mine.yaml")
    (files.root / "vagga.local.yaml").symlink_to(tmp_path / "mine.yaml")
    assert files.run() == "mine"


def test_a_file_that_was_named_stands_without_local_files(files: Files) -> None:
    files.says("vagga.yaml", "main", HOST)
    files.says("vagga.local.yaml", "local")
    assert files.run(file="vagga.yaml") == "main"
    assert files.load("vagga.yaml").missing == tuple(
        str(files.root / name) for name in (".vagga.settings.yaml", ".vagga/settings.yaml")
    )


# --- 2.3: mixins ------------------------------------------------------------------------------------------------


def test_mixins_are_weaker_than_the_main_file_and_later_ones_win(files: Files) -> None:
    files.write("vagga.yaml", f"mixins: [a.yaml, b.yaml]\n{HOST}commands: {{}}")
    files.says("a.yaml", "a")
    files.says("b.yaml", "b")
    assert files.run() == "b"
    assert files.run("a") == "a"
    files.says("vagga.yaml", "main", f"mixins: [a.yaml, b.yaml]\n{HOST}")
    assert files.run() == "main"


def test_the_mixins_of_a_mixin_come_right_after_it(files: Files) -> None:
    main = f"mixins: [a.yaml, b.yaml]\n{HOST}"
    files.write("vagga.yaml", main)
    files.says("a.yaml", "a")
    files.write("b.yaml", "mixins: [c.yaml, d.yaml]")
    files.says("c.yaml", "c")
    files.says("d.yaml", "d")
    assert files.run() == "d"
    files.says("b.yaml", "b", "mixins: [c.yaml, d.yaml]\n")
    assert files.run() == "b"


def test_the_mixins_of_a_local_file_win_over_the_main_file_too(files: Files) -> None:
    files.says("vagga.yaml", "main", HOST)
    files.write("vagga.local.yaml", "mixins: [mine.yaml]")
    files.says("mine.yaml", "mine")
    assert files.run() == "mine"


@pytest.mark.parametrize("name", ["sub/a.yaml", ".vagga/local.yaml"])
def test_paths_of_mixins_are_relative_to_the_file_that_lists_them(files: Files, name: str) -> None:
    files.write("vagga.yaml", f"mixins: [sub/a.yaml]\n{HOST}")
    files.write("sub/a.yaml", "")
    files.write(name, "mixins: [other.yaml]")
    files.says(str(Path(name).parent / "other.yaml"), "other")
    assert files.run() == "other"


def test_paths_of_other_things_are_relative_to_the_project(files: Files) -> None:
    files.write("vagga.yaml", f"mixins: [sub/a.yaml]\n{HOST}")
    files.write("sub/a.yaml", "commands: {x: !Command {container: h, run: a, volumes: {/x: !BindRO /work/data}}}")
    assert files.load().project.directory == str(files.root)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("../a.yaml", "1:10: mixin '../a.yaml' holds '..' (write the path without it) [bad-path]"),
        ("/a.yaml", "1:10: mixin '/a.yaml' is absolute (take the first '/' away) [bad-path]"),
        ("{}", "1:10: each item of 'mixins' must be text [wrong-type]"),
    ],
)
def test_a_mixin_is_below_the_file_that_names_it(files: Files, path: str, expected: str) -> None:
    files.write("vagga.yaml", f"mixins: [{path}]\n")
    assert files.problems() == [f"vagga.yaml:{expected}"]


def test_what_a_stronger_file_replaces_is_not_looked_at(files: Files) -> None:
    files.says("vagga.yaml", "main", f"mixins: [a.yaml]\n{HOST}")
    files.write("a.yaml", "commands: {x: !Command {container: gone, run: x}}")
    assert files.warnings() == []


def test_each_command_and_container_remembers_its_file(files: Files) -> None:
    files.write("vagga.yaml", f"mixins: [a.yaml]\n{HOST}")
    path = files.says("a.yaml", "a", "containers: {c: {setup: [!Host]}}\n")
    project = files.load().project
    assert project.commands["x"].mark.file == project.containers["c"].mark.file == str(path)


def test_a_file_that_is_named_twice_or_in_a_circle_counts_once(files: Files) -> None:
    files.write("vagga.yaml", f"mixins: [a.yaml, b.yaml, a.yaml, vagga.yaml]\n{HOST}")
    files.says("a.yaml", "a", "mixins: [b.yaml]\n")
    files.says("b.yaml", "b", "mixins: [a.yaml]\n")
    assert files.run() == "a"
    assert files.warnings() == []


# --- 2.3: what is wrong with a mixin ----------------------------------------------------------------------------


def test_a_missing_mixin_is_a_warning_and_an_input(files: Files) -> None:
    files.says("vagga.yaml", "main", f"mixins: [gone.yaml]\n{HOST}")
    assert files.warnings() == [
        "vagga.yaml:1:10: mixin 'gone.yaml' is not there (make it, or take it away) [mixin-skipped]"
    ]
    assert str(files.root / "gone.yaml") in files.load().missing


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[x", "a.yaml:1:1: mixin 'a.yaml' is left out: the '[' here is not closed (add ']', or ',' between"),
        ("commands: {q: !Command {container: h}}", "a.yaml:1:12: mixin 'a.yaml' is left out: !Command 'q' needs"),
        ("commands: {q: !Command {container: g, run: x}}", "a.yaml:1:36: mixin 'a.yaml' is left out: unknown cont"),
        ("x: y\nz: y", "left out: unknown key 'x' in the top of the file, and 1 more (the keys are listed in docs"),
    ],
)  # fmt: skip
def test_a_mixin_that_is_wrong_is_left_out_whole_with_a_warning(files: Files, text: str, expected: str) -> None:
    files.says("vagga.yaml", "main", f"mixins: [good.yaml, a.yaml]\n{HOST}")
    files.says("good.yaml", "good")
    files.write("a.yaml", text)
    [warning] = files.warnings()
    assert expected in warning and warning.endswith("[mixin-skipped]")
    assert sorted(files.load().project.commands) == ["good", "main", "x"]


def test_what_a_mixin_that_is_left_out_mixes_in_goes_with_it(files: Files) -> None:
    files.says("vagga.yaml", "main", f"mixins: [a.yaml]\n{HOST}")
    files.write("a.yaml", "mixins: [b.yaml]\ncommands: {q: 3}")
    files.says("b.yaml", "b")
    assert "b" not in files.load().project.commands
    assert len(files.warnings()) == 1


def test_what_refers_to_a_mixin_that_is_left_out_is_wrong_in_its_turn(files: Files) -> None:
    files.says("vagga.yaml", "main", f"mixins: [a.yaml, b.yaml]\n{HOST}")
    files.write("a.yaml", "containers: {c: {setup: [!Host]}}\ncommands: {q: 3}")
    files.write("b.yaml", "commands: {b: !Command {container: c, run: x}}")
    assert [warning.partition(":")[0] for warning in files.warnings()] == ["a.yaml", "b.yaml"]
    files.write("vagga.yaml", f"mixins: [a.yaml]\n{HOST}commands: {{m: !Command {{container: c, run: x}}}}")
    assert [line.partition(":")[0] for line in files.problems()] == ["vagga.yaml", "a.yaml"]


def test_the_main_file_is_never_left_out(files: Files) -> None:
    files.write("vagga.yaml", f"mixins: [a.yaml]\n{HOST}commands: {{q: 3}}")
    files.write("a.yaml", "x: y")
    assert [line.partition(":")[0] for line in files.problems()] == ["vagga.yaml", "a.yaml"]


def test_all_problems_of_what_is_left_out_are_kept_for_the_check(files: Files) -> None:
    files.says("vagga.yaml", "main", f"mixins: [a.yaml]\n{HOST}")
    files.write("a.yaml", "x: y\nz: y")
    assert [problem.mark.line for problem in files.load().skipped] == [1, 2]


def test_a_mixin_that_needs_a_newer_vagga_tells_only_that(files: Files) -> None:
    files.says("vagga.yaml", "main", f"mixins: [a.yaml]\n{HOST}")
    files.write("a.yaml", "commands: {q: !NewKind 3}\nminimum-vagga: 9999.0.0")
    [warning] = files.warnings()
    assert warning.startswith("a.yaml:2:16: mixin 'a.yaml' is left out: the file needs vagga 9999.0.0, this one")
    assert "more" not in warning


def test_a_main_file_that_needs_a_newer_vagga_tells_that_first(files: Files) -> None:
    files.write("vagga.yaml", "commands: {q: !NewKind 3}\nminimum-vagga: 9999.0.0")
    assert [line.rpartition(" ")[2] for line in files.problems()] == ["[vagga-too-old]", "[unknown-tag]"]


def test_a_mixin_is_no_link_out_of_the_project(files: Files, tmp_path: Path) -> None:
    files.says("vagga.yaml", "main", f"mixins: [a.yaml]\n{HOST}")
    (tmp_path / "secret").write_text("secret: 1")
    (files.root / "a.yaml").symlink_to("../secret")
    [warning] = files.warnings()
    assert "left out: is a link that leads out of the project (copy the file)" in warning
    assert "secret" not in warning


def test_too_many_files_end_early(files: Files) -> None:
    names = [f"m{number}.yaml" for number in range(others.MAX_FILES + 5)]
    files.says("vagga.yaml", "main", f"mixins: [{', '.join(names)}]\n{HOST}")
    for name in names:
        files.write(name, "")
    most = "more than 200 files, 2048 KiB or 150,000 keys and values"
    line = f"vagga.yaml:1:10: the project has {most} (use fewer) [config-too-large]"
    assert [re.sub(":1:[0-9]+:", ":1:10:", problem) for problem in files.problems()] == [line] * 5


def test_files_that_mean_too_much_together_end_early(files: Files) -> None:
    names = [f"m{number}.yaml" for number in range(20)]
    files.says("vagga.yaml", "main", f"mixins: [{', '.join(names)}]\n{HOST}")
    many = ", ".join("x" for _ in range(250))
    for name in names:
        files.write(name, f"_a: &a [{many}]\n_b: [{', '.join(['*a'] * 100)}]\n")
    assert all("keys and values (use fewer) [config-too-large]" in problem for problem in files.problems())


# --- 2.2: the top of each file ----------------------------------------------------------------------------------


def test_keys_of_the_top_that_begin_with_an_underscore_are_ignored(files: Files) -> None:
    files.says("vagga.yaml", "main", f"_mine: {{a: b}}\n{HOST}")
    assert files.run() == "main"


def test_names_may_begin_with_an_underscore(files: Files) -> None:
    files.write("vagga.yaml", "containers: {_h: {setup: [!Host]}}\ncommands: {_x: !Command {container: _h, run: y}}")
    assert files.run("_x") == "y"


def test_every_file_that_was_read_or_looked_for_is_an_input(files: Files) -> None:
    files.write("vagga.yaml", f"mixins: [a.yaml]\n{HOST}")
    files.says("a.yaml", "a")
    files.says(".vagga/local.yaml", "local")
    loaded = files.load()
    short = [path.removeprefix(f"{files.root}/") for path in loaded.inputs]
    assert short == ["vagga.yaml", ".vagga/local.yaml", "a.yaml"]
    assert {f"{files.root}/{name}" for name in LOCAL[:2]} <= set(loaded.missing)
