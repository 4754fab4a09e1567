"""`vagga _simulate` tells what a run does: both end in the same way, and it starts nothing."""

from __future__ import annotations

import json
import signal

import pytest

from integration.runs import Project, supervise, wait_until

WAIT = "wait-all-successful"


def children(**runs: str) -> dict[str, object]:
    return {name: f"touch {name}.ready; {run}" for name, run in runs.items()}


@pytest.mark.parametrize("mode", ["stop-on-failure", WAIT])
@pytest.mark.parametrize(
    ("run", "option"), [("exit 3", "--exit=a=3@1"), ("exit 0", "--exit=a@1"), ("kill -9 $$", "--kill=a@1")]
)
def test_the_code_of_a_run_is_the_one_of_its_simulation(project: Project, mode: str, run: str, option: str) -> None:
    others = {"b": "exec sleep 60"} if mode != WAIT or run != "exit 0" else {"b": "exit 0"}
    project.write(supervise("up", children(a=run, **others), mode=mode))
    ends = ["--exit=b@2"] if others["b"] == "exit 0" else []

    result = project.run("up")
    simulated = project.run("_simulate", "up", option, *ends)

    assert simulated.code == result.code
    assert simulated.err == ""
    last = result.err.splitlines()[-1].removeprefix("vagga: ").partition(" after ")[0]
    assert simulated.out.splitlines()[-1].startswith(f"exit code {result.code}: {last}")


def test_a_signal_ends_a_run_as_it_ends_its_simulation(project: Project) -> None:
    project.write(supervise("up", children(a="exec sleep 60", b="exec sleep 60")))
    run = project.start("up")
    wait_until(lambda: project.has("a.ready", "b.ready"), "both children")
    run.signal(signal.SIGTERM)

    assert project.run("_simulate", "up", "--signal", "TERM@1").code == run.finish().code == 143


def test_a_simulation_starts_nothing_and_needs_no_container(project: Project) -> None:
    containers = "containers:\n  box: {setup: [!Ubuntu noble, !Sh exit 1]}\n"
    project.write(supervise("up", {"a": {"run": "touch ran", "container": "box"}}), containers)

    result = project.run("_simulate", "up", "--exit", "a=4@1h", "--json")

    assert result.code == 4
    assert json.loads(result.out)["at"] == 3600.0
    assert not project.has("ran") and not project.has(".vagga")


def test_a_wrong_name_ends_with_122(project: Project) -> None:
    project.write(supervise("up", {"web": "exit 0"}))

    result = project.run("_simulate", "up", "--kill", "wbe@1")

    assert (result.code, result.out) == (122, "")
    assert result.err == 'vagga: --kill: "wbe" is no child of this run (did you mean "web"?) [unknown-child]\n'


@pytest.mark.parametrize(
    ("child", "said"),
    [
        ({"for_each": {"values": [], "as": "X"}}, "vagga: up has no children: no for-each has a value\n"),
        ({"autostart": False}, "vagga: no child starts by itself; vagga exits with 0\n"),
    ],
)
def test_a_run_in_which_nothing_starts_says_so_and_ends_well(
    project: Project, child: dict[str, object], said: str
) -> None:
    """supervision 8.3."""
    project.write(supervise("up", {"a": {"run": "touch ran", **child}}))

    result = project.run("up")
    simulated = project.run("_simulate", "up")

    assert (result.code, result.out, result.err) == (0, "", said)
    assert simulated.code == 0
    assert simulated.out.splitlines()[-1] == "exit code 0: no child starts by itself"
    assert not project.has("ran")
