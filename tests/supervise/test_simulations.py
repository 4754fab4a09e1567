"""Whole simulated runs as text: what `vagga _simulate` prints for a few projects.

Each file in `simulations/` is a vagga.yaml, then command lines that begin with `$ `, each with all that is printed and
the exit code. A file is written anew with UPDATE_GOLDEN=1; read the difference before it is kept.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from vaggapy.cli import argv, simulate
from vaggapy.cli.argv import Invocation, Options
from vaggapy.config.bind import bind
from vaggapy.config.model import Supervise
from vaggapy.config.tree import parse
from vaggapy.errors import VaggaError
from vaggapy.host import Host
from vaggapy.lineup import members
from vaggapy.plan import Plan, Request, plan
from vaggapy.supervise import policy
from vaggapy.supervise.events import Event, Finish
from vaggapy.supervise.policy import Step
from vaggapy.supervise.state import State

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent / "simulations"
CALLER = Host(1000, 1000, "u", ("/home",), "/project", {}, (False, False, False), "", 0, 0)
PREFIX = "$ vagga _simulate "


class Script(NamedTuple):
    """A project, and command lines with what they print."""

    project: str
    runs: tuple[tuple[str, str], ...]


def read(path: Path) -> Script:
    project, *rest = path.read_text(encoding="utf-8").split(f"\n{PREFIX}")
    runs = tuple((line, shown.rstrip("\n") + "\n") for line, _, shown in (part.partition("\n") for part in rest))
    return Script(project.rstrip("\n") + "\n", runs)


def written(script: Script) -> str:
    return script.project + "".join(f"\n{PREFIX}{line}\n{shown}" for line, shown in script.runs)


def planner(text: str) -> Callable[[Invocation, Callable[[Plan, Options], int]], int]:
    """Return what plans a command of a project, with nothing of this machine in it."""
    project = bind(parse(text, "vagga.yaml"), "/project", "vagga.yaml")

    def run_command(invocation: Invocation, show: Callable[[Plan, Options], int]) -> int:
        command = project.commands[invocation.command]
        chosen: tuple[str, ...] | None = None
        away: tuple[str, ...] = ()
        debug = False
        if isinstance(command, Supervise):
            command = members(command, lambda _: ())
            selection = argv.parse_supervise(command.name, invocation.arguments)
            chosen = argv.select(tuple((child.name, child.tags) for child in command.children), selection)
            away, debug = selection.exclude, selection.debug
        request = Request(
            chosen=chosen, picked="--only" in invocation.arguments, excluded=away, prerequisites=False, debug=debug
        )
        return show(plan(project, command.name, request, CALLER), invocation.options)

    return run_command


def simulated(text: str, line: str, capsys: pytest.CaptureFixture[str]) -> str:
    try:
        code = simulate.run(tuple(line.split()), Options(), planner(text))
    except VaggaError as error:
        return f"{error.lines()[0]}\n[{error.code}]\n"
    return f"{capsys.readouterr().out}[{code}]\n"


@pytest.mark.parametrize("path", sorted(HERE.glob("*.txt")), ids=lambda path: path.stem)
def test_the_simulation_of_a_project_says_this(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = read(path)
    now = Script(script.project, tuple((line, simulated(script.project, line, capsys)) for line, _ in script.runs))
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(written(now), encoding="utf-8")
    assert len(now.runs) > 0
    assert written(now) == written(script)


RUNS = [(path.stem, line) for path in sorted(HERE.glob("*.txt")) for line, _ in read(path).runs]


@pytest.mark.parametrize(("stem", "line"), RUNS, ids=lambda text: text)
def test_the_code_is_the_one_that_the_policy_finishes_with(
    stem: str, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """supervision 13.3, supervision 16.8."""
    finished: list[int] = []
    step = policy.step

    def watched(state: State, event: Event) -> Step:
        after, actions = step(state, event)
        finished.extend(action.code for action in actions if isinstance(action, Finish))
        return after, actions

    monkeypatch.setattr(policy, "step", watched)
    shown = simulated(read(HERE / f"{stem}.txt").project, line, capsys)
    if not shown.startswith("vagga: "):
        assert shown.splitlines()[-1] == f"[{finished[0] if finished else 0}]"
        assert len(finished) <= 1


def test_two_simulations_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    stem, line = RUNS[0]
    text = read(HERE / f"{stem}.txt").project
    assert simulated(text, line, capsys) == simulated(text, line, capsys)


def test_the_page_shows_a_real_simulation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "simulation.md").read_text(encoding="utf-8")
    shown = page.partition(f"```\n{PREFIX}")[2].partition("```")[0]
    line, _, text = shown.partition("\n")

    assert dict(read(HERE / "page.txt").runs)[line] == f"{text}[1]\n"
