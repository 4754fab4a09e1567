"""What starts a child: events of others, signals, ticks, with real processes and real time (rows E).

Section 9 of docs/supervision.md. The order of events alone is looked at in tests/supervise/rules_histories.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from pathlib import Path

import pytest

from integration.records import EARLY, LATE, begin, causes, count, length, run, starts, time_of, times, told, wait_for
from integration.runs import (
    Project,
    alive,
    can_nest,
    command_line,
    descendants,
    handles,
    need,
    processes,
    supervise,
    wait_until,
)

KEEP = "keep-going"
STAY = "exec sleep 6000"
CALM = "until test -e go; do sleep 0.01; done; exit 0"
"""What keeps a run going until the test makes the file `go`."""


def at(source: str, once: str = "", each: str = "", **keys: object) -> dict[str, object]:
    return {"source": source, **({"once": once} if once else {"each": each} if each else {}), **keys}


def loop(least: str = "1ms", most: str = "5ms", limit: int | str = "unlimited") -> dict[str, object]:
    return {"limit": limit, "min-wait": least, "max-wait": most}


def go(project: Project) -> None:
    (project.directory / "go").touch()


# --- once and each ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", ["".join(order) for order in itertools.permutations("abc")])
def test_E1_who_waits_for_whom_does_not_depend_on_the_order_in_the_file(project: Project, names: str) -> None:
    """supervision 9.1: the first needs the second healthy, that one needs the third done."""
    first, second, third = list(names)
    need_all = {
        first: {"run": "echo first >> log", "when": at(second, "healthy"), "once": True},
        second: {
            "run": "echo second >> log; " + CALM,
            "when": at(third, "exit-success"),
            "health": {"exec": "true", "interval": "50ms", "timeout": "60s", "ttl": "60s"},
        },
        third: {"run": "echo third >> log", "once": True},
    }
    project.write(supervise("up", {name: need_all[name] for name in "abc"}, mode=KEEP))
    process = begin(project, "up")
    wait_until(lambda: project.read("log").endswith("first\n"), "the first")
    go(project)
    assert process.finish().code == 0
    assert project.read("log").split() == ["third", "second", "first"]


def test_E2_an_end_that_comes_in_the_first_moment_is_not_missed(project: Project) -> None:
    """supervision 9.1: 20 that end at once, each with one that waits, half of them before it in the file."""
    children: dict[str, object] = {}
    for number in range(20):
        source, waits = (f"b{number}", f"c{number}") if number % 2 else (f"b{number}", f"a{number}")
        children[waits] = {"run": ["true"], "when": at(source, "exit-success"), "once": True}
        children[source] = {"run": ["true"], "once": True}
    project.write(supervise("up", children))
    result = run(project, "up")
    assert result.code == 0, result.err
    assert len(told(project, "exit", code=0)) == 40


def test_E3_once_is_one_run_and_each_is_one_for_each_event(project: Project) -> None:
    """supervision 9.1."""
    # It ends when the run that follows its last end has begun, so that each end is an event of its own.
    body = (
        "echo x >> source; until test $(cat each | wc -l) -ge $(($(wc -l < source) - 1)); do sleep 0.01; done; exit 3"
    )
    source = {"run": body, "restart": loop(limit=2)}
    once = {"run": "echo x >> once", "when": at("source", "exit-failed")}
    each = {"run": "echo x >> each", "when": at("source", each="exit-failed")}
    (project.directory / "each").touch()
    project.write(supervise("up", {"source": source, "once": once, "each": each, "calm": CALM}, mode=KEEP))
    process = begin(project, "up")
    wait_until(lambda: project.read("each").count("x") == 3, "three runs")
    go(project)
    assert process.finish().code == 3
    assert (project.read("once").count("x"), project.read("each").count("x")) == (1, 3)


def test_E3_events_during_a_run_are_one_more_run_and_never_a_parallel_one(project: Project) -> None:
    """supervision 9.2."""
    body = "mkdir lock || echo parallel >> bad; until test -e go$(wc -l < began); do sleep 0.01; done; rmdir lock"
    source = {"run": "exit 3", "restart": loop()}
    each = {"run": "echo x >> began; " + body, "when": at("source", each="exit-failed")}
    project.write(supervise("up", {"source": source, "each": each, "stays": STAY}, mode=KEEP))
    process = begin(project, "up")
    for number in (1, 2, 3):
        wait_until(lambda number=number: project.read("began").count("x") == number, "a run")  # type: ignore[misc]
        events = count(project, "exit")
        wait_until(lambda events=events: count(project, "exit") > events + 5, "more events")  # type: ignore[misc]
        assert project.read("began").count("x") == number
        (project.directory / f"go{number}").touch()
    process.signal(signal.SIGTERM)
    assert process.finish().code == 143
    assert not project.has("bad")


def memory(pid: int) -> int:
    """Return the KiB of memory that a process has."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def test_E4_events_that_nobody_keeps_up_with_take_no_memory_and_delay_no_stop(project: Project) -> None:
    """supervision 9.2: a loop without waits, and children that hear of each of its ends and never end."""
    source = {"run": ["false"], "restart": loop("0", "1ms")}
    deaf = {"run": "trap '' TERM; while :; do sleep 60; done", "when": at("source", each="exit-failed")}
    slow = {"run": STAY, "when": at("source", each="exit-failed")}
    children = {"source": source, "deaf": deaf, "slow": slow}
    project.write(supervise("up", children, mode=KEEP, kill_unresponsive_after=1))
    process = begin(project, "up")
    wait_until(lambda: count(project, "exit") > 50, "some events", 120)
    before = memory(process.pid)
    wait_until(lambda: count(project, "exit") > 350, "300 more", 300)
    assert memory(process.pid) - before < 4096
    asked = time.monotonic()
    process.signal(signal.SIGTERM)
    assert process.finish().code == 143
    assert time.monotonic() - asked < 1 + LATE
    assert starts(project).count("deaf") == starts(project).count("slow") == 1


def test_E5_the_time_to_wait_and_the_event_come_together_and_one_of_both_counts(project: Project) -> None:
    """supervision 9.5."""
    children: dict[str, object] = {}
    for number in range(15):
        children[f"s{number}"] = {"run": f"sleep 0.{20 + number}", "once": True}
        children[f"w{number}"] = {
            "run": f"echo w{number} >> ran",
            "when": at(f"s{number}", "exit-success", timeout="290ms"),
            "once": True,
        }
    project.write(supervise("up", children, mode=KEEP))
    result = run(project, "up")
    assert result.code == 0, result.err
    ran = project.read("ran").split()
    skipped = [str(record["name"]) for record in told(project, "unmet", skipped=True)]
    assert sorted(ran + skipped) == sorted(f"w{number}" for number in range(15))


def test_E6_the_time_to_wait_ends_no_run(project: Project) -> None:
    """supervision 9.5."""
    waits = {"run": "sleep 3; echo done >> done", "when": at("first", "exit-success", timeout="3s"), "once": True}
    project.write(supervise("up", {"first": {"run": "true", "once": True}, "waits": waits}))
    assert run(project, "up").code == 0
    assert project.has("done")
    assert not told(project, "unmet")


def test_E7_a_child_that_is_skipped_has_stopped(project: Project) -> None:
    """supervision 9.5, 12.6: who waits for its end, or for the end of its time, starts."""
    skipped = {"run": "echo ran", "when": at("calm", "exit-failed", timeout="100ms"), "once": True}
    children = {
        "calm": CALM,
        "skipped": skipped,
        "after": {"run": "echo x >> after", "when": at("skipped", "stopped")},
        "before": {"run": "echo x >> before", "when": at("skipped", "stopping")},
        "late": {"run": "echo x >> late; touch go", "when": at("skipped", "timer-expired")},
    }
    project.write(supervise("up", children, mode=KEEP))
    result = run(project, "up")
    assert result.code == 0, result.err
    assert project.has("after", "before", "late")
    assert result.out == ""


@pytest.mark.parametrize(
    "sources",
    [
        {"s": {"run": "true", "role": "coprocess"}},
        {"s": {"run": "true", "when": {"interval": "60s"}}},
        {"s": {"run": "true", "when": {"source": "first", "once": "stopped"}}, "first": {"run": "true", "once": True}},
        {"s": {"run": 'test "$N" != b || sleep 0.2', "once": True, "for-each": {"values": ["a", "b", "c"], "as": "N"}}},
    ],
    ids=["coprocess", "interval", "hook", "for-each"],
)
def test_E10_every_kind_of_child_is_a_source(project: Project, sources: dict[str, object]) -> None:
    """supervision 8.8, 9.1."""
    waits = {"run": "echo x >> ran; touch go", "when": at("s", "exit-success")}
    project.write(supervise("up", {"calm": CALM, "waits": waits, **sources}, mode=KEEP))
    result = run(project, "up")
    assert result.code == 0, result.err
    assert project.read("ran") == "x\n"
    last = max(times(project, "exit", cause="success") + times(project, "exit", cause="aside"))
    assert last <= time_of(project, "finish")
    if "for-each" in str(sources):
        assert time_of(project, "start", "waits") >= time_of(project, "exit", "s-1")


def test_E10_one_member_of_a_for_each_is_a_source(project: Project) -> None:
    """supervision 8.8."""
    each = {"run": "test $N = b", "once": True, "for-each": {"values": ["a", "b"], "as": "N"}}
    waits = {"run": "echo x >> ran; touch go", "when": at("s-1", "exit-success")}
    wrong = {"run": "echo x >> wrong", "when": at("s-0", "exit-success")}
    project.write(supervise("up", {"calm": CALM, "s": each, "waits": waits, "wrong": wrong}, mode=KEEP))
    result = run(project, "up")
    assert result.code == 1, result.err
    assert project.has("ran")
    assert not project.has("wrong")


def test_E11_two_that_wait_for_one_event_both_start(project: Project) -> None:
    """supervision 9.1."""
    one = {"run": "echo $VAGGA_SUBCOMMAND >> ran", "when": at("source", "exit-success"), "once": True}
    project.write(supervise("up", {"a": one, "source": {"run": "true", "once": True}, "z": one}))
    assert run(project, "up").code == 0
    assert sorted(project.read("ran").split()) == ["a", "z"]
    # Both are asked for at once, in their order (tests/supervise); which of them runs first is the kernel's business.
    assert starts(project)[0] == "source"
    assert sorted(starts(project)[1:]) == ["a", "z"]


# --- intervals --------------------------------------------------------------------------------------------------


def test_E12_an_interval_of_300_ms_with_two_more_runs_is_over_after_the_third(project: Project) -> None:
    """supervision 9.4. A tick that a busy machine leaves out is told, and is no run."""
    tick = {"run": ["true"], "when": {"interval": "300ms"}, "restart": {"limit": 2}, "timeout": "60s"}
    project.write(supervise("up", {"tick": tick}))
    result = run(project, "up")
    assert result.code == 0, result.err
    runs = times(project, "start", "tick")
    assert len(runs) == 3
    for number, when in enumerate(runs):
        assert when - (time_of(project, "finish") - length(project)) >= number * 0.3 - EARLY
    due = 0.6 + len(told(project, "not-spawned", "tick")) * 0.3
    assert due <= length(project) <= due + LATE


def test_E12_ticks_do_not_drift(project: Project) -> None:
    """supervision 9.4: the thirtieth comes after 29 intervals, not after 29 intervals and as many delays.

    A tick that a busy machine leaves out is told, and is no run.
    """
    tick = {"run": ["true"], "when": {"interval": "100ms"}, "restart": {"limit": 29}, "timeout": "60s"}
    project.write(supervise("up", {"tick": tick}))
    result = run(project, "up")
    assert result.code == 0, result.err
    runs = times(project, "start", "tick")
    assert len(runs) == 30
    due = (29 + len(told(project, "not-spawned", "tick"))) * 0.1
    assert due <= length(project) <= due + LATE
    # If each tick came an interval after the last one was served, none would come sooner than that.
    assert min(after - before for before, after in itertools.pairwise(runs)) < 0.1


@pytest.mark.parametrize("how", ["suspended", "stopped"])
def test_X10_after_a_pause_there_is_no_burst_of_ticks(project: Project, how: str) -> None:
    """supervision 9.4: Ctrl+Z, or a stop of vagga alone."""
    tick = {"run": ["true"], "when": {"interval": "250ms"}, "timeout": "5s"}
    project.write(supervise("up", {"tick": tick, "stays": STAY}, mode=KEEP))
    process = begin(project, "up")
    wait_for(project, 2, "exit", "tick")
    process.signal(signal.SIGTSTP if how == "suspended" else signal.SIGSTOP)
    wait_until(lambda: processes()[process.pid][1] == "T", "vagga is stopped")
    before = starts(project).count("tick")
    time.sleep(1.5)  # six ticks
    begun = time.monotonic()
    process.signal(signal.SIGCONT)
    wait_until(lambda: starts(project).count("tick") >= before + 3, "three more")
    more = starts(project).count("tick") - before
    assert more <= 2 + (time.monotonic() - begun) / 0.25, "the ticks of the pause"
    process.signal(signal.SIGTERM)
    assert process.finish().code == 143


def test_E13_a_run_that_takes_less_than_the_interval_is_never_killed(project: Project) -> None:
    """supervision 9.4: the figures of ContainerPilot, 200 ms every 500 ms, 5 more, are in tests/supervise."""
    task = {"run": "sleep 0.2", "when": {"interval": "2s"}, "restarts": 2}
    project.write(supervise("up", {"task": task}))
    result = run(project, "up")
    assert result.code == 0, result.err
    assert [code for code, _ in causes(project, "task")] == [0] * 3
    assert not told(project, "took-too-long")
    assert 4.2 <= length(project) <= 4.2 + LATE


def test_E13_E14_a_run_that_takes_longer_than_its_timeout_is_killed_each_time(project: Project) -> None:
    """supervision 7.9, 9.4: 6 runs, 6 timeouts, and what they have started goes with them."""
    body = "setsid sleep 62 & echo x >> began; sleep 2; echo x >> ended"
    task = {"run": body, "when": {"interval": "300ms"}, "timeout": "150ms", "restarts": 5}
    failed = {"run": "echo x >> failed", "when": at("task", each="exit-failed")}
    project.write(supervise("up", {"task": task, "failed": failed}, mode=KEEP))
    process = begin(project, "up")
    seen: set[int] = set()
    while process.process.poll() is None and not told(project, "finish"):
        seen |= {pid for pid in descendants(process.pid) if command_line(pid) == "sleep 62"}
        assert len(alive(seen)) <= 1
        time.sleep(0.01)
    process.finish()
    assert not alive(seen)
    assert [code for code, _ in causes(project, "task")] == [137] * 6
    assert len(told(project, "took-too-long", "task")) == 6
    assert project.read("began").count("x") <= 6
    assert not project.has("ended")
    assert 1 <= project.read("failed").count("x") <= 6  # ends that come while it runs are one more run
    assert times(project, "start", "failed")[-1] >= times(project, "exit", "task")[-1]


def test_E14_the_time_of_a_run_is_that_of_each_run(project: Project) -> None:
    """supervision 7.9."""
    a = {"run": "setsid sleep 62 & exec sleep 62", "timeout": "300ms", "restart": loop(limit=1)}
    project.write(supervise("up", {"a": a}))
    result = run(project, "up")
    assert result.code == 137
    assert causes(project, "a") == [(137, "restarts"), (137, "first")]
    for record in told(project, "exit", "a"):
        assert 0.3 - EARLY <= float(str(record["seconds"])) <= 0.3 + LATE
        assert record["signal"] == "SIGKILL"


def test_E15_an_end_at_the_moment_of_the_timeout_is_one_end(project: Project) -> None:
    """supervision 7.9: 30 runs that end about when their time is over; each is told once, with either code."""
    a = {"run": "sleep 0.05", "timeout": "57ms", "restart": loop("0", "1ms", 29)}
    success = {"run": "true", "when": at("a", each="exit-success")}
    project.write(supervise("up", {"a": a, "success": success}, mode=KEEP))
    result = run(project, "up", seconds=200)
    ends = causes(project, "a")
    assert {code for code, _ in ends} <= {0, 137}
    assert [record["incarnation"] for record in told(project, "exit", "a")] == list(range(1, 31))
    assert len(told(project, "start", "a")) == 30
    assert result.code == next((code for code, _ in ends[-1:]), 0)


# --- signals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1", "SIGUSR2"])
def test_E16_a_signal_to_vagga_starts_who_waits_for_it(project: Project, name: str) -> None:
    """supervision 12.10: two of them 10 ms apart are at least one run, and nobody else notices."""
    number = signal.Signals[name]
    deaf = f"trap 'echo x >> bad' {name[3:]}; touch ready; {CALM}"
    each = {"run": "echo x >> ran", "when": {"source": name}}
    project.write(supervise("up", {"calm": deaf, "each": each}, mode=KEEP))
    process = begin(project, "up")
    wait_until(lambda: project.has("ready"), "all is there")
    process.signal(number)
    time.sleep(0.01)
    process.signal(number)
    wait_until(lambda: project.read("ran").count("x") >= 1, "a run")
    before = project.read("ran").count("x")
    wait_until(lambda: len(process.inits()) == 1, "no run is under way")
    process.signal(number)
    wait_until(lambda: project.read("ran").count("x") > before, "one more")
    go(project)
    assert process.finish().code == 0
    assert not project.has("bad")


@pytest.mark.parametrize("name", ["USR1", "USR2"])
def test_X17_a_signal_that_nobody_waits_for_does_not_end_a_run(project: Project, name: str) -> None:
    """supervision 12.10."""
    project.write(supervise("up", {"calm": "touch ready; " + CALM}, mode=KEEP))
    process = begin(project, "up")
    wait_until(lambda: project.has("ready"), "it runs")
    if not handles(process.pid, signal.Signals[f"SIG{name}"]):
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        ignored = next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:"))
        assert ignored >> signal.Signals[f"SIG{name}"] - 1 & 1, "the default of the kernel is to end it"
    process.signal(signal.Signals[f"SIG{name}"])
    go(project)
    assert process.finish().code == 0


def test_E16_vagga_as_the_first_process_of_a_namespace_hears_signals(project: Project) -> None:
    """supervision 12.10: there the kernel ignores what has no function; SIGUSR2 from outside."""
    need(can_nest(), "unshare cannot make the outer world here")
    each = {"run": "echo x >> ran", "when": {"source": "SIGUSR2"}}
    project.write(supervise("up", {"calm": "touch ready; " + CALM, "each": each}, mode=KEEP))
    outer = ("unshare", "-Urmpf", "--mount-proc", "--kill-child")
    process = begin(project, "up", under=outer)
    wait_until(lambda: project.has("ready"), "it runs")
    table = processes()
    (inner,) = [pid for pid, (parent, _, _) in table.items() if parent == process.pid]
    for number in (1, 2):
        os.kill(inner, signal.SIGUSR2)
        wait_until(lambda number=number: project.read("ran").count("x") >= number, "a run")  # type: ignore[misc]
    go(project)
    assert process.finish().code == 0


def test_12_10_a_signal_may_stop_a_run_or_be_nothing(project: Project) -> None:
    """supervision 12.10: as `on-signal` says."""
    keys = {"on_signal": {"HUP": "ignore", "USR1": "terminate"}}
    project.write(supervise("up", {"calm": "touch ready; " + CALM}, mode=KEEP, **keys))
    process = begin(project, "up")
    wait_until(lambda: project.has("ready"), "it runs")
    process.signal(signal.SIGHUP)
    time.sleep(0.05)
    assert process.process.poll() is None
    process.signal(signal.SIGUSR1)
    assert process.finish().code == 128 + signal.SIGUSR1
