"""Who ends a run: the two modes of `!Supervise` (docs/supervision.md sections 1, 2 and 3)."""

from __future__ import annotations

import re
import signal

import pytest

from integration.runs import Project, supervise, wait_until

STOP, WAIT = "stop-on-failure", "wait-all-successful"
READY = 'touch "$VAGGA_SUBCOMMAND.ready"; '
SLEEP = READY + "exec sleep 600"


def after(*names: str) -> str:
    """Return shell text that waits for files in the project."""
    return "".join(f"until test -e {name}; do sleep 0.01; done; " for name in names)


@pytest.mark.parametrize(("end", "code"), [("exit 0", 0), ("exit 1", 1), ("kill -9 $$", 137)])
def test_G1_the_first_end_stops_all_whatever_its_code_is(project: Project, end: str, code: int) -> None:
    """supervision 2.1, 3.2."""
    project.write(supervise("up", {"a": after("b.ready", "c.ready") + end, "b": SLEEP, "c": SLEEP}))
    result = project.run("up")
    assert result.code == code
    assert result.seconds < 60
    assert re.match(r"vagga: a (exited with code|was killed by)", result.err.splitlines()[-1])


def test_G2_all_successful_is_success(project: Project) -> None:
    """supervision 2.2, 2.4."""
    project.write(
        supervise("up", {"a": "exit 0", "b": "sleep 0.1", "c": after("go") + "echo c is last"}, mode=WAIT),
    )
    run = project.start("up")
    wait_until(lambda: len(run.inits()) == 1, "two children are done")
    (project.directory / "go").touch()
    result = run.finish()
    assert (result.code, result.out) == (0, "c is last\n")
    assert re.fullmatch(
        r"vagga: all 3 exited with code 0 after \d+\.\d\d s; vagga exits with 0", result.err.splitlines()[-1]
    )


@pytest.mark.parametrize(("end", "code"), [("exit 3", 3), ("kill -TERM $$", 143)])
def test_G2_the_first_failure_stops_the_rest(project: Project, end: str, code: int) -> None:
    """supervision 2.3."""
    children = {"a": "exit 0", "b": after("c.ready") + end, "c": SLEEP}
    project.write(supervise("up", children, mode=WAIT))
    result = project.run("up")
    assert result.code == code
    assert result.err.splitlines()[-1].startswith("vagga: b ")


@pytest.mark.parametrize("mode", [STOP, WAIT])
def test_G3_of_two_that_fail_at_the_same_moment_name_and_code_belong_together(project: Project, mode: str) -> None:
    """supervision 5.5."""
    fail = READY + after("go") + 'exit "$CODE"'
    children = {
        "a": {"run": fail, "environ": {"CODE": "3"}},
        "b": {"run": fail, "environ": {"CODE": "4"}},
        "c": SLEEP,
    }
    project.write(supervise("up", children, mode=mode))
    run = project.start("up")
    wait_until(lambda: project.has("a.ready", "b.ready", "c.ready"), "all children run")
    run.signal(signal.SIGSTOP)  # so that it meets both ends in one turn
    (project.directory / "go").touch()
    wait_until(lambda: len(run.inits()) == 1, "two children are gone")
    run.signal(signal.SIGCONT)
    result = run.finish()
    last = re.fullmatch(
        r"vagga: (a|b) exited with code (3|4) after .* vagga exits with (3|4)", result.err.splitlines()[-1]
    )
    assert last, result.err
    assert last[2] == last[3] == str(result.code) == {"a": "3", "b": "4"}[last[1]]


def test_G4_what_the_stopped_ones_end_with_changes_nothing(project: Project) -> None:
    """supervision 2.5, 5.2."""
    trap = "trap 'echo stopped >&2; exit 9' TERM; " + READY + "sleep 600 & wait"
    children = {"a": after("b.ready", "c.ready") + "exit 5", "b": trap, "c": SLEEP}
    project.write(supervise("up", children, kill_unresponsive_after=600))
    result = project.run("up")
    assert result.code == 5
    assert result.err.count("stopped\n") == 1
    assert result.err.splitlines()[-1].startswith("vagga: a exited with code 5")


def test_a_failure_while_stopping_does_not_turn_success_into_failure(project: Project) -> None:
    """supervision 2.5, 5.2: with code 0 as the first reason."""
    trap = "trap 'exit 9' TERM; " + READY + "sleep 600 & wait"
    children = {"a": after("b.ready") + "exit 0", "b": trap}
    project.write(supervise("up", children, epilog="the epilog\n", kill_unresponsive_after=600))
    result = project.run("up")
    assert (result.code, result.out) == (0, "the epilog\n")


@pytest.mark.parametrize("mode", [STOP, WAIT])
@pytest.mark.parametrize(("end", "printed"), [("exit 0", "the epilog\n"), ("exit 1", ""), ("kill $$", "")])
def test_G12_the_epilog_is_printed_only_on_success(project: Project, mode: str, end: str, printed: str) -> None:
    project.write(supervise("up", {"a": end}, mode=mode, epilog="the epilog\n"))
    assert project.run("up").out == printed


def test_children_are_started_all_at_once(project: Project) -> None:
    """supervision 1.1: each of three waits for the two others."""
    children = {
        name: f"touch {name}.ready; " + after(*(f"{other}.ready" for other in "abc" if other != name)) for name in "abc"
    }
    project.write(supervise("up", children, mode=WAIT))
    assert project.run("up").code == 0


def test_the_run_is_over_when_the_last_child_is_and_not_before(project: Project) -> None:
    """supervision 3.8."""
    slow = "trap 'sleep 0.3; echo was slow; exit 0' TERM; " + READY + "sleep 600 & wait"
    project.write(supervise("up", {"a": after("b.ready") + "exit 2", "b": slow}, kill_unresponsive_after=30))
    result = project.run("up")
    assert (result.code, result.out) == (2, "was slow\n")
    assert result.seconds < 60


def test_a_child_is_told_its_name_and_its_command(project: Project) -> None:
    project.write(supervise("up", {"a": 'echo "$VAGGA_COMMAND $VAGGA_SUBCOMMAND"'}))
    assert project.run("up").out == "up a\n"
