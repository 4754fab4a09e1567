"""Runs with rules on a machine that is not kind: clocks that jump, processes that are stopped, too few descriptors."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from integration.records import begin, told, wait_for
from integration.runs import Project, Running, descendants, free_ports, processes, supervise, wait_until
from integration.test_stop_rules import KEEP, TERM

STAY = "exec sleep 600"

MAD_CLOCK = """
import itertools, time
steps = itertools.cycle((0, 86400, -86400, 10, -10, 31536000, -1))
ask = time.clock_gettime
now = lambda: ask(time.CLOCK_REALTIME) + next(steps)
time.time = now
time.time_ns = lambda: int(now() * 1e9)
time.clock_gettime = lambda clock: now() if clock == time.CLOCK_REALTIME else ask(clock)
"""
"""What site.py runs at the start of each of vagga's processes: the wall clock jumps whenever it is asked."""


def stopped(run: Running, pid: int = 0) -> None:
    """Stop the supervisor, or another process."""
    os.kill(pid or run.pid, signal.SIGSTOP)
    wait_until(lambda: processes()[pid or run.pid][1] == "T", "it is stopped")


def companion(run: Running) -> int:
    """Return the pid of the one process beside supervisor and spawner."""

    def found() -> list[int]:
        return [pid for pid in run._children(run.pid) if pid != run.spawner()]

    wait_until(lambda: len(found()) == 1, "the process")
    return found()[0]


# --- clocks -----------------------------------------------------------------------------------------------------


def test_R4_a_wall_clock_that_jumps_changes_no_wait_no_tick_and_no_check(project: Project, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(MAD_CLOCK)
    children = {
        "a": {"run": "echo x >> runs; exit 1", "restart": {"limit": 4, "min-wait": "100ms", "max-wait": "200ms"}},
        "b": {"run": STAY, "role": "coprocess", "health": {"exec": "echo x >> checks", "interval": "50ms"}},
        "c": {"run": "echo x >> ticks", "when": {"interval": "50ms"}},
        "d": {"run": "true", "depends": [{"tcp": "127.0.0.1:1", "timeout": "300ms", "poll": "50ms"}]},
    }
    project.write(supervise("up", children, mode=KEEP))
    begun = time.monotonic()
    project.environ["PYTHONPATH"] = str(tmp_path)
    process = begin(project, "up")
    result = process.finish()
    took = time.monotonic() - begun
    assert result.code == 125, result.err
    assert project.read("runs").count("x") == 5
    assert [record["wait"] for record in told(project, "restart", "a")][-1] == 0.2
    assert took > 0.1 + 3 * 0.15, "the waits of the restarts"
    for name in ("checks", "ticks"):
        assert 1 < project.read(name).count("x") <= took / 0.05 + 2, name


# --- a supervisor that does not run -----------------------------------------------------------------------------


def test_R4_a_supervisor_that_is_stopped_finds_every_end_and_makes_up_for_nothing(project: Project) -> None:
    """supervision 4.8, 9.4: not one exit is lost, missed ticks and checks come once."""
    gate = "until test -e gate; do sleep 0.02; done; exit 3"
    children: dict[str, object] = {
        name: {"run": gate, "restart": {"limit": 2, "min-wait": "10ms", "max-wait": "10ms"}} for name in "abcde"
    }
    children["tick"] = {"run": "echo x >> ticks", "when": {"interval": "100ms"}}
    children["well"] = {
        "run": STAY,
        "health": {"exec": "echo x >> checks", "interval": "100ms", "ttl": "4s", "on-fail": "restart"},
    }
    project.write(supervise("up", children, mode=KEEP))
    process = begin(project, "up")
    wait_until(lambda: min(project.read(name).count("x") for name in ("ticks", "checks")) > 2, "ticks and checks")
    stopped(process)
    (project.directory / "gate").touch()
    time.sleep(4.5)  # 45 ticks, 45 checks, and longer than the ttl
    before = {name: project.read(name).count("x") for name in ("ticks", "checks")}
    continued = time.monotonic()
    process.signal(signal.SIGCONT)
    wait_until(lambda: project.read("checks").count("x") > before["checks"] + 4, "more checks")
    more = {name: project.read(name).count("x") - count for name, count in before.items()}
    most = 3 + (time.monotonic() - continued) / 0.1
    assert max(more.values()) <= most, "what was missed"
    for name in "abcde":
        wait_for(project, 3, "exit", name, code=3)
        assert [record["left"] for record in told(project, "restart", name)] == [1, 0]
    process.signal(TERM)
    assert process.finish().code == 143
    assert [record["healthy"] for record in told(project, "health", "well")] == [True]


# --- companions that do not run -----------------------------------------------------------------------------------


def test_a_prober_that_is_stopped_is_replaced_and_no_check_has_failed(project: Project) -> None:
    late = {"run": "echo late", "depends": [{"path": "there", "timeout": "300s", "poll": "20ms"}]}
    project.write(supervise("up", {"late": late}))
    process = begin(project, "up")
    wait_for(project, 1, "wait", "late")
    first = companion(process)
    stopped(process, first)
    (project.directory / "there").touch()
    result = process.finish(120)
    assert (result.code, result.out) == (0, "late\n"), result.err
    assert "in vain" not in result.err


@pytest.mark.parametrize("stop", [signal.SIGSTOP, signal.SIGKILL])
def test_a_catalog_that_does_not_run_holds_up_neither_the_children_nor_the_end(project: Project, stop: int) -> None:
    (port,) = free_ports(1)
    service = {"port": 80, "interfaces": ["static:127.0.0.1"]}
    web = {"run": STAY, "health": {"exec": "echo x >> checks", "interval": "50ms"}, "service": service}
    project.write(supervise("up", {"web": web}, mode=KEEP, consul=f"127.0.0.1:{port}"))
    process = project.start("up")
    wait_until(lambda: project.read("checks").count("x") > 1, "checks")
    victim = companion(process)
    os.kill(victim, stop)
    before = project.read("checks").count("x")
    wait_until(lambda: project.read("checks").count("x") > before + 5, "more checks")
    process.signal(TERM)
    result = process.finish()
    assert result.code == 143
    assert ("[consul-process-ended]" in result.err) == (stop == signal.SIGKILL)


# --- checks that are not kind -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "check",
    [
        "trap '' TERM INT HUP; while :; do sleep 60; done",
        "trap '' TERM; yes",
        "setsid setsid sh -c 'trap \"\" TERM HUP; echo x >> daemons; exec sleep 60' & sleep 60",
        "yes >&2 & yes & wait",
    ],
    ids=["deaf", "flood", "daemon", "two floods"],
)
def test_H2_a_check_that_does_not_end_fails_and_nothing_outlives_the_run(project: Project, check: str) -> None:
    """supervision 10.5."""
    bad = {"run": STAY, "health": {"exec": check, "interval": "200ms", "timeout": "200ms", "threshold": 3}}
    good = {"run": STAY, "health": {"exec": "true", "interval": "200ms"}}
    project.write(supervise("up", {"bad": bad, "good": good}, mode=KEEP))
    process = begin(project, "up")
    wait_for(project, 1, "health", "bad", healthy=False)
    wait_for(project, 1, "health", "good", healthy=True)
    if not project.has("daemons"):  # what makes a session of its own stays until the child ends
        # Two children are two PID 1 and two commands, beside the spawner; a check is three processes at most.
        wait_until(lambda: len(descendants(process.pid)) <= 5 + 4, "not more than one check at a time")
    process.signal(TERM)
    result = process.finish()
    assert result.code == 143
    assert "no result within 0.2 s" in result.err
    assert "still alive" not in result.err


# --- too little of something ---------------------------------------------------------------------------------------


def test_N10_30_children_with_rules_and_64_descriptors_are_told_and_hang_nowhere(project: Project) -> None:
    rules = {"health": {"exec": "true", "interval": "100ms"}, "restart": {"limit": 1, "min-wait": "10ms"}}
    children = {f"c{number:02}": {"run": STAY, **rules} for number in range(30)}
    project.write(supervise("up", children, mode=KEEP))
    process = begin(project, "up", under=["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"])
    # Each of those for which there is no room fails twice.
    wait_until(lambda: told(project, "exit", cause="not-started"), "those without room")
    # For a check there may be room or not: the children may have taken all that there is.
    wait_until(lambda: told(project, "health"), "the health of those with room")
    process.signal(TERM)
    result = process.finish()
    assert result.code == 143, result.err[-500:]
    assert "too many open files (raise the limit of open files: `ulimit -n`)" in result.err
    assert not [word for word in ("Traceback", "[internal]", "still alive") if word in result.err]


def test_a_full_disk_for_status_records_is_told_once_and_disturbs_nobody(project: Project) -> None:
    restart = {"limit": 3, "min-wait": "10ms", "max-wait": "10ms"}
    project.write(supervise("up", {"a": {"run": "exit 4", "restart": restart}}))
    with open("/dev/full", "wb") as full:
        result = project.run("--status-fd", str(full.fileno()), "up", pass_fds=[full.fileno()])
    assert result.code == 4
    assert result.err.count("[output-lost]") == 1
