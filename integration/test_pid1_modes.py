"""`pid1mode`: over with the program, over with the last of its processes, or the program is PID 1 itself."""

from __future__ import annotations

import os
import signal

import pytest

from integration.runs import Project, alive, command, descendants, has_ranges, need, supervise, wait_until

LATE = "(while kill -0 $$; do sleep 0.02; done 2>/dev/null; sleep 0.5; echo late) & echo early; exit 3"
"""What it leaves speaks half a second after its end: long after all that ends with it is gone."""


@pytest.mark.parametrize(
    ("mode", "out"), [("wait", "early\n"), ("wait-all-children", "early\nlate\n"), ("exec", "early\n")]
)
def test_what_a_program_leaves_lives_as_long_as_its_mode_says(project: Project, mode: str, out: str) -> None:
    project.write(command("c", ["sh", "-c", LATE], pid1mode=mode))
    result = project.run("c")
    assert (result.code, result.out, result.err) == (3, out, "")


def test_a_program_that_is_pid_1_has_its_number_ids_and_exit_code(project: Project) -> None:
    project.write(command("c", ["sh", "-c", "echo $$ $(id -u); exit 42"], pid1mode="exec"))
    result = project.run("c")
    assert (result.code, result.out) == (42, "1 0\n")


def test_a_program_that_is_pid_1_may_be_another_user_and_still_dies_with_vagga(project: Project) -> None:
    need(has_ranges(), "the caller has one id only")
    project.directory.chmod(0o777)
    project.write(command("c", "echo $$ $(id -u):$(id -g) > ready; sleep 100", pid1mode="exec", user_id=7, group_id=8))
    running = project.start("c")
    wait_until(lambda: project.has("ready") and project.read("ready"), "the program runs")
    assert project.read("ready") == "1 7:8\n"
    below = descendants(running.pid)
    running.signal(signal.SIGKILL)
    wait_until(lambda: not alive(below), "nothing is left")
    running.finish()


def test_signals_reach_a_program_that_is_pid_1(project: Project) -> None:
    script = "trap 'echo term; exit 9' TERM; echo ready > ready; while :; do sleep 0.05; done"
    project.write(command("c", ["sh", "-c", script], pid1mode="exec"))
    running = project.start("c")
    wait_until(lambda: project.has("ready"), "it runs")
    running.signal(signal.SIGTERM)
    result = running.finish()
    assert (result.code, result.out) == (128 + signal.SIGTERM, "term\n")


def test_a_program_that_cannot_become_pid_1_is_told_in_one_line(project: Project) -> None:
    project.write(command("c", ["/no/such/program"], pid1mode="exec"))
    result = project.run("c")
    assert result.code == 127 and result.err.count("\n") == 1
    assert "/no/such/program is not found" in result.err


def test_the_end_of_a_pid_1_stops_the_others(project: Project) -> None:
    children = {"first": {"run": ["sh", "-c", "exit 5"], "pid1mode": "exec"}, "other": {"run": "sleep 100"}}
    project.write(supervise("c", children))
    assert project.run("c").code == 5


def test_a_killed_pid_1_counts_as_killed(project: Project) -> None:
    project.write(command("c", ["sh", "-c", "echo ready > ready; sleep 100"], pid1mode="exec"))
    running = project.start("c")
    wait_until(lambda: project.has("ready"), "it runs")
    (pid,) = running.inits()
    os.kill(pid, signal.SIGKILL)
    assert running.finish().code == 128 + signal.SIGKILL


def test_an_external_user_owns_what_a_program_makes(project: Project) -> None:
    need(has_ranges(), "the caller has one id only")
    project.directory.chmod(0o777)
    project.write(command("c", "id -u; touch made; cat /proc/self/uid_map", user_id=70, external_user_id=0))
    result = project.run("c")
    assert result.out.split() == ["70", "70", "0", "1"]
    assert (project.directory / "made").stat().st_uid == os.getuid()


WAITS = "until test -e go; do sleep 0.01; done; "


def told(project: Project, *texts: str) -> tuple[str, str]:
    """Run `c` until it has said these texts, let it end, and return its output and errors."""
    errors = project.directory.parent / "errors"
    with errors.open("wb") as file:
        running = project.start("c", stderr=file.fileno())
    wait_until(lambda: all(f"{text}\n" in errors.read_text() for text in texts), "the banners")
    (project.directory / "go").touch()
    return running.finish().out, errors.read_text()


def test_a_banner_is_shown_after_the_start_and_stdout_is_not_touched(project: Project) -> None:
    banner = "Open http://localhost:8000\nand smile"
    project.write(command("c", WAITS + "echo out", banner=banner))
    assert told(project, banner) == ("out\n", f"{banner}\n")


def test_a_banner_of_a_run_that_is_over_before_its_delay_is_not_shown(project: Project) -> None:
    project.write(command("c", "true", banner="never", banner_delay=60))
    result = project.run("c")
    assert (result.code, result.err) == (0, "")


def test_children_have_banners_of_their_own(project: Project) -> None:
    children = {name: {"run": WAITS, "banner": f"{name} is there"} for name in ("a", "b")}
    project.write(supervise("c", children, mode="wait-all-successful", banner="both"))
    assert {"a is there", "b is there", "both"} <= set(
        told(project, "a is there", "b is there", "both")[1].splitlines()
    )


def test_a_command_that_wants_more_watches_than_there_are_says_how_to_get_them(project: Project) -> None:
    project.write(command("c", "echo ran", expect_inotify_limit=2**29))
    result = project.run("c")
    assert (result.code, result.out) == (0, "ran\n")
    assert f"sudo sysctl fs.inotify.max_user_watches={2**29}" in result.err
