"""Nothing survives: whatever ends, and however, no process of the run is left (the census looks after each test).

The children here do all that a process can do to get away: other sessions, orphans, ignored and stopped
processes, namespaces of their own.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time

import pytest

from integration.runs import (
    PATIENCE,
    Project,
    Running,
    alive,
    deadline,
    descendants,
    need,
    processes,
    reap,
    supervise,
    wait_until,
)

NASTY = """
trap '' HUP INT QUIT TERM
setsid sh -c 'sleep 1001' &
(setsid sh -c '(sleep 1002 &) ; exec sleep 1003' &)
(exec sleep 1004 > /dev/null 2>&1 < /dev/null &)
sh -c 'kill -STOP $$; exec sleep 1005' &
setsid sh -c 'kill -STOP $$; exec sleep 1006' &
unshare --user --map-root-user --pid --mount --fork sleep 1007 &
"""
STAY = "touch $VAGGA_SUBCOMMAND.ready; while :; do sleep 1008; done"
GO = "touch $VAGGA_SUBCOMMAND.ready; until test -e go; do sleep 0.01; done; exit 6"
LEAST = 9  # processes of a nasty child that must be there before anything is done to it


def nasty(project: Project, *words: str, grace: int = 1) -> tuple[Running, set[int]]:
    """Start `up` with nasty children a and b, wait until all they do is done, and return all pids of the run.

    `grace`: the seconds that they have to stop, which they never do.
    """
    need(shutil.which("unshare") is not None, "unshare of util-linux is not installed")
    project.write(supervise("up", {"a": NASTY + STAY, "b": NASTY + STAY, "c": GO}, kill_unresponsive_after=grace))
    run = project.start(*words, "up")

    def settled() -> bool:
        table = processes()
        below = descendants(run.pid)
        states = [table[pid][1] for pid in below if pid in table]
        nested = [pid for pid in below if "1007" in command_words(pid)]
        ready = project.has("a.ready", "b.ready", "c.ready")
        return ready and states.count("T") >= 4 and len(nested) >= 4 and len(below) >= 2 * LEAST

    wait_until(settled, "all the nasty processes are there")
    return run, set(descendants(run.pid))


def command_words(pid: int) -> list[str]:
    """Return the words of a process."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().decode(errors="replace").split("\0")
    except OSError:
        return []


def assert_gone(everybody: set[int]) -> None:
    """Assert that of these processes none is left, or will be in a moment."""
    wait_until(lambda: not alive(everybody), "nobody is left")


# --- ordinary ends ----------------------------------------------------------------------------------------------


def test_S7_when_a_child_ends_by_itself_all_of_the_others_go(project: Project) -> None:
    """supervision 3.6, 3.8: gone when vagga is, not a moment later."""
    run, everybody = nasty(project)
    (project.directory / "go").touch()
    result = run.finish()
    assert not alive(everybody)
    assert result.code == 6
    assert 'Processes ["a", "b"] are still alive' in result.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_S7_after_a_signal_nobody_is_left(project: Project, number: signal.Signals, code: int) -> None:
    """supervision 3.6, 4.1."""
    run, everybody = nasty(project)
    run.signal(number)
    result = run.finish()
    assert not alive(everybody)
    assert result.code == code


def test_X4_after_two_signals_nobody_is_left(project: Project) -> None:
    """supervision 4.2."""
    run, everybody = nasty(project, grace=60)
    run.signal(signal.SIGTERM)
    wait_until(lambda: len(run.inits()) == 2, "c has obeyed, so the signal has come")
    run.signal(signal.SIGINT)
    result = run.finish()
    assert not alive(everybody)
    assert result.code == 143


def test_S7_what_a_command_leaves_behind_when_it_ends_goes_with_it(project: Project) -> None:
    """The end of the first process is the end of all: nothing has to be asked or waited for."""
    project.write(supervise("up", {"a": NASTY + "echo main is done; exit 4"}, kill_unresponsive_after=60))
    result = project.run("up")
    assert (result.code, result.out) == (4, "main is done\n")
    assert result.seconds < 50


# --- kill -9 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["--prefix"]], ids=["plain", "prefix"])
def test_X11_the_supervisor_is_killed(project: Project, words: list[str]) -> None:
    run, everybody = nasty(project, *words)
    run.signal(signal.SIGKILL)
    run.process.wait(PATIENCE)
    assert_gone(everybody)
    run.finish()


def test_X11_the_supervisor_is_killed_while_it_is_stopped_and_its_children_are_too(project: Project) -> None:
    run, everybody = nasty(project)
    run.signal(signal.SIGTSTP)
    wait_until(lambda: processes()[run.pid][1] == "T", "vagga is suspended")
    run.signal(signal.SIGKILL)
    run.process.wait(PATIENCE)
    assert_gone(everybody)
    run.finish()


def test_X11_the_spawner_is_killed(project: Project) -> None:
    """supervision 3.10, 5.6, 6.2."""
    run, everybody = nasty(project)
    os.kill(run.spawner(), signal.SIGKILL)
    result = run.finish()
    assert not alive(everybody)
    assert result.code == 124
    lines = result.err.splitlines()
    assert lines[0].startswith("vagga: spawner: ended unexpectedly, which kills every process of the run")
    assert lines[-1].startswith("vagga: the spawner was lost, all ended after ")
    assert lines[-1].endswith("; vagga exits with 124")


def test_X11_the_spawner_is_killed_while_the_run_is_stopping(project: Project) -> None:
    """supervision 3.1, 3.10, 5.2."""
    run, everybody = nasty(project, grace=60)
    spawner = run.spawner()
    run.signal(signal.SIGTERM)
    wait_until(lambda: len(run.inits()) == 2, "c has obeyed")
    os.kill(spawner, signal.SIGKILL)
    result = run.finish()
    assert not alive(everybody)
    assert result.code == 143


def test_X11_a_pid_1_is_killed(project: Project) -> None:
    """supervision 5.1: its command counts as killed by SIGKILL, and the others are stopped."""
    run, everybody = nasty(project)
    os.kill(run.inits()[0], signal.SIGKILL)
    result = run.finish()
    assert not alive(everybody)
    assert result.code == 137
    assert "was killed by signal SIGKILL[9]" in result.err.splitlines()[-1]


def test_X11_a_pid_1_that_is_stopped_does_not_help_anybody(project: Project) -> None:
    """supervision 3.6: it reads nothing and passes nothing on, and is killed at the deadline."""
    run, everybody = nasty(project)
    for pid in run.inits():
        os.kill(pid, signal.SIGSTOP)
    run.signal(signal.SIGTERM)
    result = run.finish()
    assert not alive(everybody)
    assert result.code == 143


def test_X11_the_supervisor_is_killed_while_its_spawner_and_a_pid_1_are_stopped(project: Project) -> None:
    run, everybody = nasty(project)
    for pid in (*run.inits(), run.spawner()):
        os.kill(pid, signal.SIGSTOP)
    run.signal(signal.SIGKILL)
    run.process.wait(PATIENCE)
    assert_gone(everybody)
    run.finish()


# --- at any moment ----------------------------------------------------------------------------------------------

MOMENTS = 12


@pytest.mark.parametrize("phase", ["start", "running", "stopping"])
@pytest.mark.parametrize("victim", ["supervisor", "spawner"])
def test_X11_killed_at_a_random_moment(project: Project, phase: str, victim: str) -> None:
    """Of the start, of the first moments, of the stop: always the same moments, on a machine that is never the same."""
    moments = random.Random(f"{phase} of the {victim}")
    leave = "(setsid sh -c 'trap \"\" TERM; sleep 1001' &) ; "
    children = dict.fromkeys("abc", leave + "touch $VAGGA_SUBCOMMAND.ready; exec sleep 1002")
    project.write(supervise("up", children, kill_unresponsive_after=1))
    for _ in range(MOMENTS):
        for name in "abc":
            (project.directory / f"{name}.ready").unlink(missing_ok=True)
        run = project.start("up")
        if phase != "start":
            wait_until(lambda: project.has("a.ready", "b.ready", "c.ready"), "all children are ready")
        if phase == "stopping":
            run.signal(signal.SIGTERM)
        if phase == "start" and victim == "spawner":
            run.spawner()
        pause(moments.uniform(0, 0.2 if phase == "start" and victim == "supervisor" else 0.06))
        seen = set(descendants(run.pid))
        if victim == "supervisor":
            run.signal(signal.SIGKILL)
            run.process.wait(PATIENCE)
        else:
            for pid in run.spawners():
                os.kill(pid, signal.SIGKILL)
        result = run.finish()
        assert_gone(seen)
        assert result.code in (-signal.SIGKILL, 124, 143), result
        assert "Traceback" not in result.err
        assert "[internal]" not in result.err
        reap()


def pause(seconds: float) -> None:
    """Let a given time pass: not to wait for something, but to choose a moment."""
    going = deadline(seconds)
    while going():
        time.sleep(0.001)


@pytest.mark.parametrize("least", [1, 2, 4, 7])
def test_X11_the_spawner_is_killed_before_vagga_has_heard_of_all_that_it_started(project: Project, least: int) -> None:
    """supervision 3.10: vagga waits for those, too. It is stopped while the spawner works on."""
    project.write(supervise("up", {f"c{number:02}": "exec sleep 60" for number in range(12)}))
    read, write = os.pipe()
    run = project.start("--status-fd", str(write), "up", pass_fds=[write])
    os.close(write)
    wait_until(lambda: run.spawners() and len(run.inits()) >= 1, "the first is started")
    run.signal(signal.SIGSTOP)
    spawner = run.spawner()
    wait_until(lambda: len(run.inits()) >= least or at_rest(spawner), "more are started")
    os.kill(spawner, signal.SIGSTOP)
    seen, inits = set(descendants(run.pid)), set(run.inits())
    os.kill(spawner, signal.SIGKILL)
    run.signal(signal.SIGCONT)
    result = run.finish()
    assert not alive(seen)
    assert result.code == 124
    assert result.err.count("[spawner-lost]") == 1
    with open(read) as records:
        ended = {record.get("pid") for record in map(json.loads, records) if record["event"] == "exit"}
    assert len(inits - ended) <= 1, "only the last one can be one that the spawner did not tell of"


def at_rest(pid: int) -> bool:
    """Return whether a process waits for something."""
    return processes()[pid][1] == "S"
