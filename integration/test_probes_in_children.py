"""Checks by a program: they run in the child's own namespaces, with its ids, and leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from integration.runs import (
    Project,
    Running,
    command_line,
    descendants,
    has_ranges,
    need,
    supervise,
    user_namespace,
    wait_until,
)

MEANT_FOR_US = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
STAY = "exec sleep 60"
END = "rm -f /work/end; until test -e /work/end; do sleep 0.02; done"


def probers(run: Running) -> list[int]:
    """Return the pids of the supervisor's children that lead a group, but for the spawner.

    That is the first of them; until it has its namespace it looks like the others.
    """
    ours = user_namespace(run.pid)
    if not run.spawners():
        return []
    found = []
    for pid in descendants(run.pid):
        with suppress(ProcessLookupError):
            if os.getpgid(pid) == pid and user_namespace(pid) == ours:
                found.append(pid)
    return found


def leads_a_group(pid: int) -> bool:
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False


def ignores(pid: int, number: int) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    mask = next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:"))
    return bool(mask >> (number - 1) & 1)


def health(check: str | list[str], **keys: object) -> dict[str, object]:
    return {"exec": check, "interval": "50ms", "timeout": "5s", "ttl": "60s", **keys}


def test_h7_a_health_check_sees_what_only_its_child_sees(project: Project) -> None:
    """Its private /tmp, its variables, its process ids and its directory."""
    (project.directory / "below").mkdir()
    check = "test -e /tmp/own && test $$ != 1 && kill -0 $(cat /tmp/pid) && echo $PWD $COLOUR $(id -u) >> /work/seen"
    web = {"run": f"echo $$ > /tmp/pid; touch /tmp/own; {END}", "environ": {"COLOUR": "red"}, "work-dir": "below"}
    project.write(supervise("up", {"web": {**web, "health": health(check)}}, mode="keep-going"))
    run = project.start("up")
    wait_until(lambda: project.read("seen").count("\n") >= 3, "three checks")
    (project.directory / "end").touch()
    result = run.finish()
    assert result.code == 0
    assert set(project.read("seen").splitlines()) == {"/work/below red 0"}
    assert "web is healthy" in result.err


def test_h7_the_check_of_a_child_with_an_id_of_its_own_has_that_id(project: Project) -> None:
    """supervision 10.2."""
    need(has_ranges(), "only one id here")
    project.directory.chmod(0o777)
    web = {"run": END, "user-id": 7, "health": health("id -u > /work/who.new; mv /work/who.new /work/who")}
    project.write(supervise("up", {"web": web}, mode="keep-going"))
    run = project.start("up")
    wait_until(lambda: project.read("who"), "a check")
    (project.directory / "end").touch()
    assert run.finish().code == 0
    assert project.read("who") == "7\n"


def test_a_failed_check_says_its_last_line(project: Project) -> None:
    check = "echo first; echo connection refused >&2; exit 4"
    project.write(
        supervise(
            "up",
            {"web": {"run": STAY, "health": health(check, **{"start-period": "0.1s", "on-fail": "shutdown"})}},
        )
    )
    result = project.run("up")
    assert result.code == 125
    assert "exited with 4: connection refused" in result.err


def test_a_check_that_cannot_be_started_says_why(project: Project) -> None:
    keys = {"start-period": "0.1s", "on-fail": "shutdown"}
    project.write(supervise("up", {"web": {"run": STAY, "health": health(["/no/such/program"], **keys)}}))
    result = project.run("up")
    assert result.code == 125
    assert "cannot run /no/such/program: No such file or directory" in result.err


def test_h2_a_check_that_hangs_is_killed_with_all_it_started(project: Project) -> None:
    """By its timeout, as a failure; checks do not overlap."""
    check = "echo $(cat /work/mark)x > /work/mark; sleep 61 & sleep 61"
    keys = {"timeout": "600ms", "interval": "700ms", "start-period": "0.1s", "threshold": 3, "on-fail": "shutdown"}
    project.write(supervise("up", {"web": {"run": STAY, "health": health(check, **keys)}}))
    run = project.start("up")
    most = 0
    while run.process.poll() is None:
        sleeping = [pid for pid in descendants(run.pid) if command_line(pid) == "sleep 61"]
        most = max(most, len(sleeping))
        time.sleep(0.005)
    result = run.finish()
    assert result.code == 125
    assert "no result within 0.6 s" in result.err
    assert most <= 2
    assert 1 <= project.read("mark").count("x") <= 6


def test_what_a_check_leaves_in_the_background_ends_with_it(project: Project) -> None:
    check = "echo x >> /work/mark; sleep 61 & exit 0"
    project.write(supervise("up", {"web": {"run": END, "health": health(check)}}, mode="keep-going"))
    run = project.start("up")
    wait_until(lambda: project.read("mark").count("x") >= 5, "five checks")

    def sleeping() -> int:
        return sum(command_line(pid) == "sleep 61" for pid in descendants(run.pid))

    # They would become more and more. One that was just killed may still be there while the next one begins.
    wait_until(lambda: sleeping() <= 1, "all but the last one are gone")
    (project.directory / "end").touch()
    assert run.finish().code == 0


def test_s10_a_check_gets_only_three_descriptors(project: Project) -> None:
    listing = "ls -l /proc/self/fd > /work/fds.new; mv /work/fds.new /work/fds"
    project.write(supervise("up", {"web": {"run": END, "health": health(listing)}}, mode="keep-going"))
    run = project.start("up")
    wait_until(lambda: project.read("fds"), "a check")
    (project.directory / "end").touch()
    assert run.finish().code == 0
    # The last one is that of the listing itself.
    names = [line.split()[-3] for line in project.read("fds").splitlines() if "->" in line]
    assert names[:3] == ["0", "1", "2"]
    assert len(names) == 4
    assert "/dev/null" in project.read("fds").splitlines()[1]


@pytest.mark.parametrize("mode", ["wait", "wait-all-children"])
def test_the_end_of_a_command_does_not_wait_for_a_check(project: Project, mode: str) -> None:
    """Nor is a check taken for one of the processes that a command leaves."""
    web = {"run": "sleep 0.3", "pid1mode": mode, "health": health("exec sleep 61", timeout="60s")}
    project.write(supervise("up", {"web": web}, mode="keep-going"))
    result = project.run("up")
    assert result.code == 0
    assert result.seconds < 50


def test_checks_go_on_while_a_command_has_only_left_others(project: Project) -> None:
    """`wait-all-children`: the first process has gone, what it left is still the child."""
    left = "(until test $(wc -l < mark) -ge 3; do sleep 0.02; done) & touch /work/gone"
    (project.directory / "mark").touch()
    check = "test ! -e /work/gone || echo x >> /work/mark"
    web = {"run": left, "pid1mode": "wait-all-children", "health": health(check)}
    project.write(supervise("up", {"web": web}, mode="keep-going"))
    assert project.run("up").code == 0


def test_h5_a_check_under_way_is_killed_by_the_stop_and_not_told(project: Project) -> None:
    web = {"run": STAY, "health": health("touch /work/checking; exec sleep 61", timeout="60s")}
    project.write(supervise("up", {"web": web}, kill_unresponsive_after=60))
    run = project.start("up")
    wait_until(lambda: project.has("checking"), "a check")
    run.signal(signal.SIGTERM)
    result = run.finish()
    assert result.code == 128 + signal.SIGTERM
    assert result.seconds < 50
    assert "healthy" not in result.err


def test_x11_a_supervisor_that_is_killed_leaves_no_check_and_no_prober(project: Project) -> None:
    web = {"run": STAY, "health": health("touch /work/checking; setsid sleep 61; true", timeout="30s")}
    late = {"run": "true", "depends": [{"path": "never", "timeout": "60s"}]}
    project.write(supervise("up", {"web": web, "late": late}))
    run = project.start("up")
    wait_until(lambda: project.has("checking"), "a check")
    wait_until(lambda: probers(run), "the prober")
    run.signal(signal.SIGKILL)
    run.finish()  # The census looks for survivors.


def test_the_prober_is_started_again_when_it_was_killed(project: Project) -> None:
    """Its open checks fail, and the next one is made by another."""
    late = {"run": "echo late", "depends": [{"path": "there", "timeout": "60s", "poll": "20ms"}]}
    project.write(supervise("up", {"late": late}))
    run = project.start("up")
    wait_until(lambda: probers(run), "the prober")
    (first,) = probers(run)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: set(probers(run)) - {first}, "another prober")
    (project.directory / "there").touch()
    result = run.finish()
    assert result.code == 0
    assert "late" in result.out


def test_terminal_signals_do_not_reach_the_prober(project: Project) -> None:
    """It has a process group of its own, and ignores what is meant for the supervisor."""
    late = {"run": "echo late", "depends": [{"path": "there", "timeout": "60s", "poll": "20ms"}]}
    project.write(supervise("up", {"late": late}))
    run = project.start("up")
    wait_until(lambda: probers(run), "the prober")
    (prober,) = probers(run)
    wait_until(lambda: all(ignores(prober, number) for number in MEANT_FOR_US), "its signals")
    for number in MEANT_FOR_US:
        os.kill(prober, number)
    (project.directory / "there").touch()
    assert run.finish().code == 0


def test_the_prober_of_an_isolated_run_is_in_its_network(project: Project) -> None:
    """What listens in the run is found, and the same port outside is not."""
    serve = (
        "import socket,time; s=socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); "
        "s.bind(('127.0.0.1', 40123)); s.listen(); time.sleep(60)"
    )
    server = {"run": ["python3", "-c", serve], "role": "coprocess"}
    late = {"run": "echo late", "depends": [{"tcp": "127.0.0.1:40123", "timeout": "60s", "poll": "50ms"}]}
    project.write(supervise("up", {"server": server, "late": late}, isolate_network=True))
    result = project.run("up")
    assert result.code == 0, result.err
    assert "late" in result.out


@pytest.mark.parametrize("isolated", [False, True])
def test_x11_a_prober_that_is_stuck_dies_with_the_supervisor(project: Project, isolated: bool) -> None:
    """The kernel sees to it, also in a network of the run's own."""
    late = {"run": "true", "depends": [{"path": "never", "timeout": "60s"}]}
    project.write(supervise("up", {"late": late}, isolate_network=isolated))
    run = project.start("up")
    wait_until(lambda: sum(map(leads_a_group, run._children(run.pid))) == 2, "the spawner and the prober")
    if isolated:
        wait_until(lambda: len(run.spawners()) == 2, "the prober in the namespace of the run")
    for pid in run._children(run.pid):
        os.kill(pid, signal.SIGSTOP)
    run.signal(signal.SIGKILL)
    run.finish()  # The census looks for survivors.


def test_a_run_without_rules_starts_no_process_beside_its_children(project: Project) -> None:
    project.write(supervise("up", {"a": STAY, "b": STAY}))
    run = project.start("up")
    wait_until(lambda: len(run.inits()) == 2, "both children")
    assert probers(run) == []
    run.signal(signal.SIGTERM)
    assert run.finish().code == 143


def test_json_of_a_health_check_is_what_the_file_says(project: Project) -> None:
    """The words of a check for the shell of the container are known before anything starts."""
    project.write(supervise("up", {"web": {"run": STAY, "health": health("test -e /work/x")}}))
    shown = json.loads(project.run("--dry-run", "up").out)
    assert "test -e /work/x" in json.dumps(shown)
