"""Two runs of one project side by side, as in two tabs: all but `web` in one, `web` alone in the other."""

from __future__ import annotations

import os
import signal

import pytest

from integration.runs import (
    PATIENCE,
    Project,
    Running,
    alive,
    descendants,
    free_port,
    supervise,
    user_namespace,
    wait_until,
)

NAMES = ("db", "web", "worker")
LOOK = "me=$VAGGA_SUBCOMMAND; readlink /proc/self/ns/pid > $me.pid; ls /tmp > $me.tmp; touch /tmp/$me; "


def project_of_three(project: Project) -> None:
    run = LOOK + ": > $VAGGA_SUBCOMMAND.ready; exec sleep 60"  # no process but this one is left then
    children = {"db": run, "web": {"run": run, "pass_tcp_socket": free_port()}, "worker": run}
    project.write(supervise("up", children, kill_unresponsive_after=30))


def both(project: Project) -> tuple[Running, Running]:
    """Start the two runs, and return when all three children are ready."""
    project_of_three(project)
    first = project.start("up", "--exclude", "web")
    wait_until(lambda: project.has("db.ready", "worker.ready"), "the first run is ready")
    assert not project.has("web.ready")
    second = project.start("up", "--only", "web")
    wait_until(lambda: project.has("web.ready"), "the second run is ready")
    return first, second


def test_G9_both_run_in_namespaces_of_their_own(project: Project) -> None:
    first, second = both(project)
    assert len(first.inits()) == 2
    assert len(second.inits()) == 1
    assert user_namespace(first.spawner()) != user_namespace(second.spawner())
    assert len({project.read(f"{name}.pid") for name in NAMES}) == 3
    assert not any(set(NAMES) & set(project.read(f"{name}.tmp").split()) for name in NAMES)
    for run in (first, second):
        run.signal(signal.SIGTERM)
    assert [run.finish().code for run in (first, second)] == [143, 143]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("which", [0, 1])
def test_G9_the_end_of_one_is_nothing_to_the_other(project: Project, which: int, number: signal.Signals) -> None:
    runs = both(project)
    ended, other = runs[which], runs[1 - which]
    gone, stays = set(descendants(ended.pid)), set(descendants(other.pid))
    ended.signal(number)
    ended.process.wait(PATIENCE)
    wait_until(lambda: not alive(gone), "all of one run are gone")
    ended.finish()
    assert set(alive(stays)) == stays
    other.signal(signal.SIGINT)
    assert other.finish().code == 130


def test_G9_the_one_with_the_socket_can_be_started_again_and_again(project: Project) -> None:
    first, second = both(project)
    for _ in range(2):
        second.signal(signal.SIGTERM)
        assert second.finish().code == 143
        (project.directory / "web.ready").unlink()
        second = project.start("up", "--only", "web")
        wait_until(lambda: project.has("web.ready"), "it is ready again")
    for run in (first, second):
        run.signal(signal.SIGTERM)
        assert run.finish().code == 143


def test_G9_the_same_child_twice_is_a_clear_error_about_its_socket(project: Project) -> None:
    first, second = both(project)
    third = project.run("up", "--only", "web")
    assert third.code == 121
    assert "Error listening" in third.err
    assert "pass-tcp-socket" in third.err
    assert len(second.inits()) == 1
    for run in (first, second):
        run.signal(signal.SIGTERM)
        assert run.finish().code == 143


def test_two_runs_leave_nothing_in_the_project(project: Project) -> None:
    project.write(supervise("up", {"a": "exec sleep 60", "b": "exit 0"}))
    assert project.run("up").code == 0
    assert project.run("up", "--only", "b").code == 0
    assert os.listdir(project.directory) == ["vagga.yaml"]
