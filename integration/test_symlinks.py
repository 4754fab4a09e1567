"""Links that are commands: the program `vagga` itself, started by another name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from integration.runs import PATIENCE, Project, Result, command, need

COMMANDS = (
    command("echo-it", ["echo", "it:"], symlink_name="it")
    + command("second", ["echo", "second"], symlink_name="twice")
    + command("third", ["echo", "third"], symlink_name="twice")
    + command("_list", ["echo", "shadowed"], symlink_name="ls-it")
)
MADE = ("it", "ls-it", "twice")


@pytest.fixture
def vagga() -> Path:
    """Return the program as it is installed."""
    path = Path(os.path.dirname(sys.executable)) / "vagga"
    need(path.is_file(), "the program vagga is installed beside Python")
    return path


def call(project: Project, words: Sequence[str], cwd: Path | None = None) -> Result:
    """Run a program of the host to its end."""
    ran = subprocess.run(
        words,
        cwd=cwd or project.directory,
        env=project.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    return Result(ran.returncode, ran.stdout, ran.stderr, 0)


def link(project: Project, vagga: Path, name: str) -> str:
    path = project.home / name
    path.symlink_to(vagga)
    return str(path)


def test_a_link_runs_its_command_and_passes_every_word_on(project: Project, vagga: Path) -> None:
    project.write(COMMANDS)
    ran = call(project, [link(project, vagga, "it"), "--version", "-h", "--", "--no-build", "x"])
    assert (ran.code, ran.out, ran.err) == (0, "it: --version -h -- --no-build x\n", "")


def test_a_link_works_in_a_directory_below_and_for_a_name_that_a_built_in_command_has(
    project: Project, vagga: Path
) -> None:
    project.write(COMMANDS)
    below = project.directory / "below"
    below.mkdir()
    assert call(project, [link(project, vagga, "ls-it")], below).out == "shadowed\n"


def test_of_two_commands_with_one_link_the_last_in_the_order_of_names_runs(project: Project, vagga: Path) -> None:
    project.write(COMMANDS)
    assert call(project, [link(project, vagga, "twice")]).out == "third\n"


def test_a_link_that_no_command_has_is_127(project: Project, vagga: Path) -> None:
    project.write(COMMANDS)
    ran = call(project, [link(project, vagga, "nothing"), "it"])
    assert (ran.code, ran.out) == (127, "")
    assert ran.err == (
        'vagga: Can\'t find command "nothing" (vagga was started by a link of this name, but no command here has '
        "`symlink-name: nothing`) [symlink-name]\n"
    )


@pytest.mark.parametrize("name", ["vagga", "vagga_dev"])
def test_links_of_vaggas_own_names_are_vagga(project: Project, vagga: Path, name: str) -> None:
    project.write(COMMANDS)
    assert call(project, [link(project, vagga, name), "echo-it", "1"]).out == "it: 1\n"
    assert call(project, [str(project.home / name), "--version"]).out.startswith("v")


def test_without_the_setting_a_link_is_vagga(project: Project, vagga: Path) -> None:
    project.write(COMMANDS)
    (project.directory / ".vagga.settings.yaml").write_text("run-symlinks-as-commands: false\n")
    assert call(project, [link(project, vagga, "it"), "echo-it", "1"]).out == "it: 1\n"
    ran = call(project, [str(vagga), "_update_symlinks"])
    assert ran.code == 0
    assert "[symlinks-off]" in ran.err


def test_a_link_outside_of_a_project_says_that_there_is_none(project: Project, vagga: Path) -> None:
    ran = call(project, [link(project, vagga, "it")])
    assert ran.code == 126
    assert "[config-not-found]" in ran.err


# --- _update_symlinks -------------------------------------------------------------------------------------------


def links(directory: Path) -> dict[str, str]:
    return {path.name: os.readlink(path) for path in directory.iterdir()} if directory.is_dir() else {}


@pytest.mark.parametrize(
    ("words", "local", "user"),
    [((), True, True), (("--local-only",), True, False), (("--user-only",), False, True)],
)
def test_links_are_made_for_the_project_and_for_the_user(
    project: Project, vagga: Path, words: tuple[str, ...], local: bool, user: bool
) -> None:
    project.write(COMMANDS)
    ran = call(project, [str(vagga), "_update_symlinks", *words])
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    expected = dict.fromkeys(MADE, os.path.realpath(vagga))
    assert links(project.directory / ".vagga/.cmd") == (expected if local else {})
    assert links(project.home / ".vagga/cmd") == (expected if user else {})


def test_links_are_replaced_and_work(project: Project, vagga: Path) -> None:
    project.write(COMMANDS)
    place = project.home / ".vagga/cmd"
    place.mkdir(parents=True)
    (place / "it").symlink_to("/nowhere")
    (place / "other").symlink_to("/elsewhere")
    ran = call(project, [str(vagga), "-v", "_update_symlinks", "--user-only"])
    assert ran.out.splitlines() == [f"{place}/{name}" for name in MADE]
    assert links(place)["other"] == "/elsewhere"
    assert call(project, [str(place / "it"), "works"]).out == "it: works\n"


def test_a_file_that_is_no_link_is_not_replaced(project: Project, vagga: Path) -> None:
    project.write(COMMANDS)
    place = project.home / ".vagga/cmd"
    place.mkdir(parents=True)
    (place / "it").write_text("mine")
    ran = call(project, [str(vagga), "_update_symlinks"])
    assert (ran.code, (place / "it").read_text()) == (121, "mine")
    assert ran.err == (
        f"vagga: {place}/it cannot be made: there is a file that is no link (move it away) [symlink-refused]\n"
    )


def test_a_strangers_project_cannot_have_links_made_elsewhere(project: Project, vagga: Path) -> None:
    project.write(COMMANDS)
    (project.directory / ".vagga").mkdir()
    (project.home / "bin").mkdir()
    (project.directory / ".vagga/.cmd").symlink_to(project.home / "bin")
    ran = call(project, [str(vagga), "_update_symlinks"])
    assert (ran.code, links(project.home / "bin")) == (121, {})
    assert "is a symbolic link" in ran.err


def test_without_such_commands_nothing_is_made(project: Project, vagga: Path) -> None:
    project.write(command("plain", "true"))
    assert call(project, [str(vagga), "_update_symlinks"]).code == 0
    assert not (project.directory / ".vagga").exists()


def test_the_module_of_python_makes_links_to_the_program(project: Project, vagga: Path) -> None:
    project.write(COMMANDS)
    assert project.run("_update_symlinks").code == 0
    assert links(project.directory / ".vagga/.cmd")["it"] == os.path.realpath(vagga)


@pytest.mark.parametrize("words", [("--local-only", "--user-only"), ("x",), ("--nonsense",)])
def test_wrong_words_are_122(project: Project, words: tuple[str, ...]) -> None:
    project.write(COMMANDS)
    assert project.run("_update_symlinks", *words).code == 122
