"""Prerequisites: what a command needs runs before it, in order, each once, and its failure is the end."""

from __future__ import annotations

import re
import signal

import pytest

from integration.runs import Project, command, supervise, wait_until


def say(name: str, *needed: str, end: str = "true") -> str:
    """Return a command that prints its name and the arguments that it was given."""
    return command(name, f'echo {name} "$@"; {end}', prerequisites=list(needed), accepts_arguments=True)


DIAMOND = say("d", "b", "c") + say("b", "a") + say("c", "a") + say("a")


def test_each_runs_once_and_before_what_needs_it(project: Project) -> None:
    project.write(DIAMOND)
    result = project.run("d")
    assert (result.code, result.out, result.err) == (0, "a\nb\nc\nd\n", "")


def test_only_the_command_itself_gets_the_arguments(project: Project) -> None:
    project.write(DIAMOND)
    assert project.run("d", "--one", "two words").out == "a\nb\nc\nd --one two words\n"


def test_circles_end_where_they_began(project: Project) -> None:
    project.write(say("a", "b") + say("b", "c") + say("c", "a", "b"))
    assert project.run("a").out == "c\nb\na\n"
    assert project.run("b").out == "a\nc\nb\n"


def test_without_prerequisites(project: Project) -> None:
    project.write(DIAMOND)
    assert project.run("--no-prerequisites", "d").out == "d\n"


@pytest.mark.parametrize(("end", "code"), [("exit 7", 7), ("kill -9 $$", 137)])
def test_a_failure_ends_the_chain_with_its_code(project: Project, end: str, code: int) -> None:
    project.write(say("c", "b") + say("b", "a", end=end) + say("a"))
    result = project.run("c")
    assert (result.code, result.out) == (code, "a\nb\n")


def test_one_that_cannot_be_started_ends_the_chain(project: Project) -> None:
    project.write(say("c", "b") + command("b", ["no-such-program"]))
    result = project.run("c")
    assert (result.code, result.out) == (127, "")
    assert "no-such-program" in result.err


def test_an_unknown_one_is_an_error_of_the_file(project: Project) -> None:
    project.write(say("c", "aa") + say("a"))
    result = project.run("c")
    assert (result.code, result.out) == (126, "")
    assert re.search("['\"]aa['\"].*['\"]a['\"]", result.err), "its name, and the one that was meant"


def test_a_supervised_one_runs_to_its_end_with_all_of_its_children(project: Project) -> None:
    """Those of its children count as its own; `--only` concerns the command that was asked for."""
    children = {"x": {"run": "echo x", "prerequisites": ["a"]}, "y": "echo y"}
    project.write(
        supervise("all", children, mode="wait-all-successful")
        + supervise("up", {"y": "echo up"}, prerequisites=["all"])
        + say("a")
    )
    result = project.run("up", "--only", "y")
    assert result.code == 0
    first, *middle, last = result.out.splitlines()
    assert (first, sorted(middle), last) == ("a", ["x", "y"], "up")


def test_epilogs_come_each_after_its_command(project: Project) -> None:
    project.write(
        command("a", "echo a", epilog="after a\n")
        + command("c", "echo c", epilog="after c\n", prerequisites=["a", "b"])
        + command("b", "echo b; exit 1", epilog="after b\n")
    )
    result = project.run("c")
    assert (result.code, result.out) == (1, "a\nafter a\nb\n")


def test_a_signal_during_one_ends_the_chain(project: Project) -> None:
    """supervision 1.6, 5.3: also if the prerequisite takes it for a success."""
    wait = "mkfifo pipe; exec 3<> pipe; trap 'exit 0' TERM; touch ready; while :; do read line <&3; done"
    project.write(command("a", wait) + say("c", "a"))
    run = project.start("c")
    wait_until(lambda: project.has("ready"), "the prerequisite runs")
    run.signal(signal.SIGTERM)
    result = run.finish()
    assert (result.code, result.out) == (143, "")


def test_the_processes_of_one_are_gone_when_the_next_begins(project: Project) -> None:
    leave = "(setsid sh -c 'sleep 1; touch late' &); exit 0"
    project.write(command("a", leave) + command("c", "sleep 1.5; test ! -e late", prerequisites=["a"]))
    assert project.run("c").code == 0
