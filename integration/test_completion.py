"""Completion in real shells: a person presses Tab, and the line is completed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from integration.runs import HOST, Project, command, need, supervise
from integration.terminals import Terminal

TAB, HOME_KEY = "\t", "\x01"
SHELLS = {
    "bash": (("--norc", "--noprofile", "-i"), 'eval "$(vagga _completion bash)"'),
    "zsh": (("-f", "-i"), "autoload -U compinit; compinit -D -u; source <(vagga _completion zsh)"),
    "fish": (("--no-config", "-i"), "vagga _completion fish | source"),
}
COMMANDS = (
    command("hello", ["echo", "hi"], description="Say hi: twice")
    + command("db:migrate", "true")
    + command("_secret", "true")
    + supervise("stack", {"web": {"run": "true", "tags": ["front"]}, "database": "true"})
)
LINES = [
    ("vagga hel", "vagga hello"),
    ("vagga sta", "vagga stack"),
    ("vagga --no-net hel", "vagga --no-net hello"),
    ("vagga _sec", "vagga _secret"),
    ("vagga db:mi", "vagga db:migrate"),
    ("vagga stack --only dat", "vagga stack --only database"),
    ("vagga stack --only fr", "vagga stack --only front"),
    ("vagga stack --only web --exclude dat", "vagga stack --only web --exclude database"),
    ("vagga stack --only=dat", "vagga stack --only=database"),
    ("vagga _run ho", "vagga _run host"),
    ("vagga _run --writea", "vagga _run --writeable"),
    ("vagga --containers-o", "vagga --containers-only"),
    ("vagga -f oth", "vagga -f other.yaml"),
]


@pytest.fixture
def program(project: Project) -> Path:
    """Put a program `vagga` into the PATH of a project with some commands; return its directory."""
    project.write(COMMANDS)
    (project.directory / "other.yaml").write_text(HOST)
    directory = project.directory.parent / "bin"
    directory.mkdir()
    (directory / "vagga").write_text(f'#!/bin/sh\nexec {sys.executable} -m vaggapy "$@"\n')
    (directory / "vagga").chmod(0o755)
    project.environ["PATH"] = f"{directory}:{project.environ['PATH']}"
    return directory


def shell(name: str) -> str:
    path = shutil.which(name)
    need(path is not None, f"{name} is installed")
    return path or ""


@pytest.mark.parametrize("name", SHELLS)
def test_tab_completes_what_the_project_has(project: Project, program: Path, name: str) -> None:
    options, setup = SHELLS[name]
    with Terminal(project, columns=200, environ={"TMPDIR": str(project.home), "PS1": "> "}) as terminal:
        terminal.start([shell(name), *options])
        terminal.type(f'{setup}; echo "r"eady\r')
        terminal.wait_for("ready")
        for number, (typed, completed) in enumerate(LINES):
            # The completed line is not run, but written; the quotes tell what is written from what was typed.
            terminal.type(f'{typed}{TAB}{HOME_KEY}echo "n"o{number} \r')
            terminal.wait_for(f"no{number} {completed}")
        terminal.type("exit\r")
        assert terminal.end() == 0


def candidates(project: Project, *typed: str) -> list[str]:
    ran = project.run("_compgen", *typed[:-1], "--", typed[-1])
    assert (ran.code, ran.err) == (0, "")
    return ran.out.splitlines()


def test_compgen_prints_one_candidate_a_line(project: Project) -> None:
    project.write(COMMANDS)
    assert candidates(project, "") == ["_secret", "db:migrate", "hello", "stack"]
    assert candidates(project, "stack", "--only", "") == ["web", "database", "front"]
    described = project.run("_compgen", "--described", "--", "h")
    assert described.out == "hello\tSay hi: twice\n"


def test_a_project_that_is_broken_or_missing_completes_built_in_commands_without_a_word(project: Project) -> None:
    assert "_build" in candidates(project, "_b")
    (project.directory / "vagga.yaml").write_text("commands: [\n")
    assert "_build" in candidates(project, "_b")
    assert candidates(project, "") == []
    assert "--no-build" in candidates(project, "--no-b")


def test_the_file_that_was_typed_is_the_one_that_is_completed_from(project: Project) -> None:
    project.write(COMMANDS)
    (project.directory / "other.yaml").write_text(f"{HOST}commands:\n{command('other', 'true')}")
    assert candidates(project, "-f", "other.yaml", "") == ["other"]


def test_a_name_that_would_steer_the_terminal_is_not_offered(project: Project) -> None:
    project.write(command("fine", "true", description="a\x1b[2Jb"))
    described = project.run("_compgen", "--described", "--", "f")
    assert described.out == "fine\ta\\x1b[2Jb\n"


@pytest.mark.parametrize("name", SHELLS)
def test_the_script_has_no_mistake_that_the_shell_sees(project: Project, name: str) -> None:
    script = project.run("_completion", name)
    assert (script.code, script.err) == (0, "")
    checked = subprocess.run([shell(name), "-n"], input=script.out, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_an_unknown_shell_is_a_wrong_command_line(project: Project) -> None:
    for words, text in (
        (("ksh",), "Bad value ksh (_completion knows bash, fish, zsh) [bad-option-value]"),
        ((), "Argument shell is required (one of bash, fish, zsh) [missing-argument]"),
        (("bash", "x"), "Unexpected argument x (see vagga _completion --help) [unexpected-argument]"),
    ):
        ran = project.run("_completion", *words)
        assert (ran.code, ran.err) == (122, f"vagga: {text}\n")
