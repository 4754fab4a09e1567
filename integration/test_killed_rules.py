"""Runs with rules that are killed or suspended at any point: nothing survives, nothing comes in a burst (X10, X11).

The census counts survivors after each test.
"""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from integration.records import starts, told, wait_for
from integration.runs import (
    Project,
    Running,
    alive,
    command_line,
    descendants,
    processes,
    supervise,
    user_namespace,
    wait_until,
)
from integration.test_stop_rules import KEEP, KILL, LOG, NASTY, POLITE, STAY, TERM, hanging, hook, log, up


def die(process: Running, victim: str = "supervisor") -> None:
    """Kill the supervisor or the spawner, and assert that no process of the run is left."""
    everybody = set(descendants(process.pid))
    if victim == "supervisor":
        process.signal(KILL)
        process.process.wait(60)
    else:
        os.kill(process.spawner(), KILL)
    wait_until(lambda: not alive(everybody - {process.pid}), "nobody is left")
    result = process.finish()
    assert result.code == (-KILL if victim == "supervisor" else 124), result
    assert "Traceback" not in result.err


@pytest.mark.parametrize("victim", ["supervisor", "spawner"])
def test_X11_killed_while_a_child_waits_for_its_restart(project: Project, victim: str) -> None:
    a = {"run": "setsid sleep 62 & exit 1", "restart": {"min-wait": "60s"}}
    project.write(supervise("up", {"a": a, "b": NASTY}, mode=KEEP))
    process = up(project, ready="b")
    wait_for(project, 1, "restart", "a")
    die(process, victim)
    assert starts(project).count("a") == 1


@pytest.mark.parametrize("victim", ["supervisor", "spawner"])
@pytest.mark.parametrize("event", ["shutdown", "stopping", "stopped"])
def test_X11_killed_while_a_hook_runs(project: Project, victim: str, event: str) -> None:
    hanging(project, event)
    process = up(project, ready="abc")
    process.signal(TERM)
    wait_until(lambda: project.has("h.ready"), "the hook hangs")
    everybody = set(descendants(process.pid))
    if victim == "supervisor":
        process.signal(KILL)
        process.process.wait(60)
    else:
        os.kill(process.spawner(), KILL)
    wait_until(lambda: not alive(everybody - {process.pid}), "nobody is left")
    result = process.finish()
    assert result.code == (-KILL if victim == "supervisor" else 143)
    assert not project.has("later.ran")


@pytest.mark.parametrize("victim", ["supervisor", "spawner"])
def test_X11_killed_while_checks_and_conditions_run(project: Project, victim: str) -> None:
    """A health check by a program, a condition, both with orphans; and the prober is there."""
    check = "touch check.ready; (setsid sleep 62 &); sleep 62"
    a = {"run": NASTY, "health": {"exec": check, "interval": "60s", "initial-delay": 0, "timeout": "60s"}}
    b = {"run": "true", "condition": "touch condition.ready; (setsid sleep 62 &); sleep 62"}
    c = {"run": "true", "depends": [{"path": "never"}, {"tcp": "127.0.0.1:1"}]}
    project.write(supervise("up", {"a": a, "b": b, "c": c}, mode=KEEP))
    process = up(project)
    wait_until(lambda: project.has("check.ready", "condition.ready"), "both run")
    ours = user_namespace(process.pid)
    wait_until(lambda: sum(user_namespace(pid) == ours for pid in descendants(process.pid)) >= 1, "the prober runs")
    die(process, victim)


MOMENTS = 10


@pytest.mark.parametrize("victim", ["supervisor", "spawner"])
def test_X11_killed_at_random_moments_of_restarts_checks_and_hooks(project: Project, victim: str) -> None:
    moments = random.Random(victim)
    leave = "(setsid sleep 62 &); "
    children = {
        "a": {"run": leave + "sleep 0.01; exit 1", "restart": {"min-wait": "1ms", "max-wait": "10ms"}},
        "b": {"run": leave + STAY, "health": {"exec": leave + "true", "interval": "10ms", "timeout": "5s"}},
        "e": {"run": leave + "true", "when": {"source": "a", "each": "exit-failed"}},
        "t": {"run": leave + "true", "when": {"interval": "20ms"}},
        "h": hook("b", "stopping", leave + "sleep 0.05"),
        "d": {"run": "true", "depends": [{"path": "never", "poll": "10ms"}]},
    }
    project.write(supervise("up", children, mode=KEEP))
    for number in range(MOMENTS):
        (project.directory / "b.ready").unlink(missing_ok=True)
        process = up(project, ready="b")
        time.sleep(moments.uniform(0, 0.15))
        if number % 2:
            process.signal(TERM)
            time.sleep(moments.uniform(0, 0.08))
        seen = set(descendants(process.pid))
        if victim == "supervisor":
            process.signal(KILL)
            process.process.wait(60)
        else:
            for pid in process.spawners():
                os.kill(pid, KILL)
        result = process.finish()
        wait_until(lambda seen=seen: not alive(seen), "nobody is left")  # type: ignore[misc]
        assert result.code in (-KILL, 124, 143), result
        assert "Traceback" not in result.err
        assert "[internal]" not in result.err


@pytest.mark.parametrize("stopped", [False, True], ids=["", "prober stopped"])
def test_X11_killed_while_the_prober_looks_from_an_isolated_network(project: Project, stopped: bool) -> None:
    """It has entered namespaces of the run, and so has other rights than when it was asked to die with vagga."""
    a = {"run": STAY, "health": {"tcp": "127.0.0.1:1", "interval": "20ms"}}
    b = {"run": "true", "depends": [{"http": "http://127.0.0.1:1/", "poll": "20ms"}]}
    project.write(supervise("up", {"a": a, "b": b}, mode=KEEP, isolate_network=True))
    process = up(project)
    wait_until(lambda: len(process.spawners()) == 2, "the prober, which is in the same namespaces as the spawner")
    wait_for(project, 1, "health", "a", healthy=False)
    if stopped:
        os.kill(max(process.spawners()), signal.SIGSTOP)
    die(process)


# --- suspended --------------------------------------------------------------------------------------------------


def test_X10_suspended_while_a_child_waits_for_its_restart_and_told_to_stop(project: Project) -> None:
    """supervision 3.9, 7.7: nothing is started after it goes on."""
    a = {"run": "echo x >> runs; exit 1", "restart": {"min-wait": "3s", "max-wait": "3s"}}
    project.write(supervise("up", {"a": a, "b": POLITE}, mode=KEEP))
    process = up(project, ready="b")
    wait_for(project, 1, "restart", "a")
    process.signal(signal.SIGTSTP)
    wait_until(lambda: processes()[process.pid][1] == "T", "vagga is suspended")
    time.sleep(3.2)  # longer than the wait
    process.signal(TERM)
    process.signal(signal.SIGCONT)
    result = process.finish()
    assert result.code == 143
    assert project.read("runs") == "x\n"
    assert "still alive" not in result.err


def test_X10_suspended_while_a_hook_runs(project: Project) -> None:
    """supervision 4.5, 4.6, 3.6: the hook is suspended, too, and its window stands still."""
    body = "touch h.ready; until test -e go; do sleep 0.01; done; " + LOG
    project.write(supervise("up", {"a": POLITE, "h": hook("a", "stopping", body)}, hook_window="4s"))
    process = up(project)
    process.signal(TERM)
    wait_until(lambda: project.has("h.ready"), "the hook runs")
    process.signal(signal.SIGTSTP)
    wait_until(lambda: processes()[process.pid][1] == "T", "vagga is suspended")
    # A shell that is stopped while it starts a program sleeps in state D.
    wait_until(lambda: states_below(process, "until test -e go") <= {"T", "D"}, "the hook is suspended")
    time.sleep(4.2)  # longer than its window
    (project.directory / "go").touch()
    process.signal(signal.SIGCONT)
    result = process.finish()
    assert result.code == 143
    assert log(project) == ["h", "a"]
    assert not told(project, "took-too-long")


def states_below(process: Running, words: str) -> set[str]:
    """Return the states of the processes of a run whose command lines have these words."""
    table = processes()
    return {table[pid][1] for pid in descendants(process.pid) if pid in table and words in command_line(pid)}


def test_X10_suspended_checks_do_not_fail_and_come_in_no_burst(project: Project) -> None:
    """supervision 10.5, 10.6: neither the time of a check nor the `ttl` goes on."""
    check = "echo x >> checks"
    a = {"run": STAY, "health": {"exec": check, "interval": "200ms", "timeout": "5s", "ttl": "5s"}}
    project.write(supervise("up", {"a": a}, mode=KEEP))
    process = up(project)
    wait_for(project, 1, "health", "a", healthy=True)
    process.signal(signal.SIGTSTP)
    wait_until(lambda: processes()[process.pid][1] == "T", "vagga is suspended")
    before = project.read("checks").count("x")
    time.sleep(5.5)  # 27 checks, longer than the ttl
    continued = time.monotonic()
    process.signal(signal.SIGCONT)
    wait_until(lambda: project.read("checks").count("x") >= before + 4, "more checks")
    more = project.read("checks").count("x") - before
    assert more <= 2 + (time.monotonic() - continued) / 0.2, "the checks of the pause"
    process.signal(TERM)
    assert process.finish().code == 143
    assert [record["healthy"] for record in told(project, "health", "a")] == [True]
