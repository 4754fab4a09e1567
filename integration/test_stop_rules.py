"""How a run with rules is stopped, with real processes: hooks, their time, coprocesses, and every hard way to end.

Section 12 of docs/supervision.md; rows E17 to E21 and X. The census counts survivors after each test.
"""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Mapping

import pytest

from integration.records import EARLY, LATE, begin, run, time_of, times, told, wait_for
from integration.runs import (
    Project,
    Running,
    alive,
    descendants,
    free_port,
    handles,
    supervise,
    wait_until,
)
from integration.terminals import CTRL_C, Terminal, unchanged

KEEP = "keep-going"
MODES = ["stop-on-failure", "wait-all-successful", KEEP]
INT, TERM, KILL = signal.SIGINT, signal.SIGTERM, signal.SIGKILL
READY = "touch $VAGGA_SUBCOMMAND.ready; "
LOG = "echo $VAGGA_SUBCOMMAND >> log; "
STAY = READY + "exec sleep 60"
POLITE = f"trap '{LOG}exit 0' INT TERM QUIT; {READY}while :; do sleep 0.02; done"
"""Writes its name when it is asked to end."""


def group(children: Mapping[str, object], **keys: object) -> str:
    """Return the text of the command `up`, in which nobody runs out of time unless that is what a test is about."""
    return supervise("up", children, **{"hook_window": "60s", "kill_unresponsive_after": 60, **keys})


def hook(source: str, event: str, body: str, **keys: object) -> dict[str, object]:
    return {"run": body, "when": {"source": source, "once": event}, **keys}


def up(project: Project, *words: str, ready: str = "a") -> Running:
    """Start `up` and wait until these children, of one letter each, are ready."""
    process = begin(project, *words, "up")
    wait_until(lambda: project.has(*(f"{name}.ready" for name in ready)), "all are ready")
    return process


def log(project: Project) -> list[str]:
    return project.read("log").split()


# --- hooks in their order ---------------------------------------------------------------------------------------


def test_E17_a_hook_that_fails_is_told_and_counts_for_nothing(project: Project) -> None:
    """supervision 12.4."""
    children = {"a": "exit 4", "h": hook("a", "stopping", "exit 9"), "good": hook("a", "stopped", "exit 0")}
    project.write(group(children))
    result = project.run("up")
    assert result.code == 4
    assert re.search(r"^vagga: h:\d+ exited with code 9 after ", result.err, re.MULTILINE), result.err
    assert "good" not in result.err


@pytest.mark.parametrize("mode", MODES)
def test_E17_a_hook_on_the_shutdown_runs_first_and_the_children_still_live(project: Project, mode: str) -> None:
    """supervision 12.3; ContainerPilot never runs it."""
    last = hook("global", "shutdown", "sleep 0.3; test -e a.ready && test ! -e log && " + LOG)
    project.write(group({"a": POLITE, "h": last}, mode=mode))
    process = up(project)
    process.signal(TERM)
    assert process.finish().code == 143
    assert log(project) == ["h", "a"]
    assert time_of(project, "exit", "a") >= time_of(project, "exit", "h") >= time_of(project, "signal") + 0.3 - EARLY


@pytest.mark.parametrize(
    ("event", "source", "keys", "window"),
    [
        ("shutdown", "global", {"hook_window": "600ms"}, 0.6),
        ("stopping", "a", {"hook_window": "600ms"}, 0.6),
        ("stopped", "a", {"hook_window": "600ms"}, 0.6),
        ("stopping", "b", {"hook_window": "60s"}, 0.4),
        ("stopped", "b", {"hook_window": "60s"}, 0.4),
    ],
)
def test_E18_a_hook_that_hangs_is_killed_with_all_that_it_started(
    project: Project, event: str, source: str, keys: dict[str, object], window: float
) -> None:
    """supervision 12.4: after `hook-timeout` of its child, or the window of the run; ContainerPilot waits for ever."""
    stuck = hook(source, event, "trap '' INT TERM; setsid sleep 62 & echo x >> stuck; sleep 62")
    children = {"a": POLITE, "b": {"run": POLITE, "stop": {"hook-timeout": "400ms"}}, "h": stuck}
    project.write(group(children, **keys))
    process = up(project, ready="ab")
    process.signal(TERM)
    result = process.finish()
    assert result.code == 143
    assert project.has("stuck")
    assert sorted(log(project)) == ["a", "b"]
    (late,) = told(project, "took-too-long", "h")
    assert late["seconds"] == window
    assert late["hook_of"] == source
    begun = time_of(project, "exit", source) if event == "stopped" else time_of(project, "signal")
    assert window - EARLY <= time_of(project, "exit", "h") - begun <= window + LATE
    assert not told(project, "still-alive")
    if event != "stopped":
        late_one = source if source != "global" else "a"
        assert time_of(project, "exit", late_one) - begun >= window - EARLY


def test_E19_a_child_is_asked_when_both_of_its_hooks_are_over(project: Project) -> None:
    """supervision 12.3; and a child without hooks is asked at once."""
    children = {
        "a": POLITE,
        "b": POLITE,
        "quick": hook("a", "stopping", LOG),
        "slow": hook("a", "stopping", "until test -e go; do sleep 0.01; done; " + LOG),
    }
    project.write(group(children, hook_window="20s"))
    process = up(project, ready="ab")
    process.signal(INT)
    wait_until(lambda: sorted(log(project)) == ["b", "quick"], "b was asked, one hook is over")
    wait_for(project, 2, "exit")
    assert not told(project, "exit", "a")
    (project.directory / "go").touch()
    assert process.finish().code == 130
    assert log(project)[2:] == ["slow", "a"]


def test_E20_hooks_of_a_child_that_ends_by_itself_run_and_of_one_that_never_began_do_not(project: Project) -> None:
    """supervision 12.6."""
    children = {
        "a": "until test -e go; do sleep 0.01; done",
        "b": {"run": "true", "once": True},
        "c": {"run": "true", "depends": [{"path": "never"}]},
        "after-b": hook("b", "stopping", LOG + "touch go"),
        "after-c": hook("c", "stopping", LOG),
    }
    project.write(group(children))
    result = run(project, "up")
    assert result.code == 0, result.err
    assert log(project) == ["after-b"]


def test_E20_hooks_run_once_although_the_run_is_stopped_after_their_child_has_ended(project: Project) -> None:
    """supervision 12.6."""
    children = {
        "a": POLITE,
        "b": {"run": "true", "once": True},
        "s": hook("b", "stopping", LOG),
        "t": hook("b", "stopped", LOG),
    }
    project.write(group(children))
    process = up(project)
    wait_until(lambda: sorted(log(project)) == ["s", "t"], "both hooks")
    wait_until(lambda: len(process.inits()) == 1, "both are over")
    process.signal(TERM)
    assert process.finish().code == 143
    assert sorted(log(project)) == ["a", "s", "t"]


@pytest.mark.parametrize("how", ["asked", "by itself"])
def test_E21_stopped_comes_when_the_last_process_of_a_child_is_gone(project: Project, how: str) -> None:
    """supervision 12.5: an orphan of the child still listens; when the hook runs, its port is free."""
    port = free_port()
    listen = (
        f"import socket,time; s=socket.socket(); s.bind(('127.0.0.1', {port})); s.listen(); open('o.ready','w'); "
        "time.sleep(60)"
    )
    bind = f"import socket; s=socket.socket(); s.bind(('127.0.0.1', {port})); print('free')"
    end = "exec sleep 60" if how == "asked" else "until test -e go; do sleep 0.01; done; exit 4"
    body = f'setsid python3 -c "{listen}" & until test -e o.ready; do sleep 0.01; done; {READY}{end}'
    children = {"a": body, "h": hook("a", "stopped", f'python3 -c "{bind}"', environ={"PYTHONDONTWRITEBYTECODE": "1"})}
    project.write(group(children))
    process = up(project)
    if how == "asked":
        process.signal(TERM)
    else:
        (project.directory / "go").touch()
    result = process.finish()
    assert result.code == (143 if how == "asked" else 4)
    assert result.out == "free\n", result.err


def test_12_7_hooks_of_main_children_and_of_coprocesses_in_their_whole_order(project: Project) -> None:
    """supervision 8.6, 12.3, 12.5, 12.7; X14; both hooks have run, as in ContainerPilot's test_sigterm."""
    children = {
        "c": {"run": POLITE, "role": "coprocess"},
        "a": POLITE,
        "before-a": hook("a", "stopping", LOG),
        "after-a": hook("a", "stopped", LOG),
        "before-c": hook("c", "stopping", LOG),
        "after-c": hook("c", "stopped", LOG),
    }
    project.write(group(children))
    process = up(project, ready="ac")
    process.signal(TERM)
    assert process.finish().code == 143
    assert log(project) == ["before-a", "a", "after-a", "before-c", "c", "after-c"]


def test_X3_a_run_with_rules_ends_when_its_last_child_has_ended(project: Project) -> None:
    """supervision 3.8: there is no fixed wait, however long hooks might take."""
    children = {"a": POLITE, "c": {"run": POLITE, "role": "coprocess"}, "h": hook("a", "stopping", "true")}
    project.write(group(children, hook_window="60s", kill_unresponsive_after=60))
    process = up(project, ready="ac")
    process.signal(TERM)
    assert process.finish().code == 143
    assert time_of(project, "finish") - time_of(project, "signal") < LATE
    assert time_of(project, "finish") - max(times(project, "exit")) < LATE


# --- the stop of one child --------------------------------------------------------------------------------------

STUBBORN = f"trap '' INT TERM; {READY}while :; do sleep 0.02; done"


def test_X2_each_child_has_the_time_to_stop_that_it_says(project: Project) -> None:
    """supervision 12.8."""
    children = {
        "a": {"run": STUBBORN, "stop": {"timeout": "1500ms"}},
        "b": {"run": STUBBORN, "stop": {"timeout": "300ms"}},
        "c": STUBBORN,
        "d": {"run": STUBBORN, "stop": {"timeout": 0}},
    }
    project.write(group(children, kill_unresponsive_after=1))
    process = up(project, ready="abcd")
    process.signal(TERM)
    assert process.finish().code == 143
    asked = time_of(project, "signal")
    for name, seconds in (("a", 1.5), ("b", 0.3), ("c", 1.0), ("d", 0.0)):
        took = time_of(project, "exit", name) - asked
        assert seconds - EARLY <= took <= seconds + LATE, (name, took)
    killed = {str(record["names"]): record["seconds"] for record in told(project, "still-alive")}
    assert killed == {"['a']": 1.5, "['b']": 0.3, "['c']": 1}, "d has no time at all"


def test_X1_a_child_gets_the_signal_that_it_wants(project: Project) -> None:
    """supervision 12.8: whatever vagga got, and when another child has ended, too."""
    traps = "".join(f"trap 'echo {name} >> $VAGGA_SUBCOMMAND.got; exit 0' {name}; " for name in ("INT", "TERM", "QUIT"))
    body = f"{traps}{READY}while :; do sleep 0.02; done"
    children = {"a": {"run": body, "stop": {"signal": "SIGQUIT"}}, "b": body}
    project.write(group(children))
    process = up(project, ready="ab")
    process.signal(INT)
    assert process.finish().code == 130
    assert (project.read("a.got"), project.read("b.got")) == ("QUIT\n", "INT\n")


@pytest.mark.parametrize("stop", [{}, {"signal": "SIGTERM"}])
def test_X8_a_key_and_rules_are_one_signal_for_each_child(project: Project, stop: dict[str, object]) -> None:
    """supervision 4.1, 12.1: from a terminal, whose own signal children do not get."""
    word = "term" if stop else "int"
    body = f"trap 'echo int >> got' INT; trap 'echo term >> got' TERM; {READY}until test -e go; do sleep 0.02; done"
    children = {"a": {"run": body, "stop": {"timeout": "20s", **stop}}, "b": "exec sleep 60"}
    project.write(group(children, mode=KEEP))
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("up")
        terminal.until(lambda: project.has("a.ready"), "it is ready")
        terminal.type(CTRL_C)
        terminal.until(lambda: project.read("got"), "the signal")
        time.sleep(0.1)  # a second one would come
        (project.directory / "go").touch()
        assert terminal.end() == 130
    assert project.read("got") == f"{word}\n"


# --- the second signal ------------------------------------------------------------------------------------------

NASTY = (
    "trap '' HUP INT QUIT TERM; setsid sh -c 'sleep 62' & (setsid sleep 62 &); " + READY + "while :; do sleep 62; done"
)


def hanging(project: Project, event: str) -> None:
    """Write a run whose hook on an event of `a` hangs, with a nasty child and coprocess beside."""
    stuck = "trap '' INT TERM; (setsid sleep 62 &); touch h.ready; while :; do sleep 62; done"
    source = "global" if event == "shutdown" else "a"
    children = {
        "a": POLITE,
        "b": NASTY,
        "c": {"run": NASTY, "role": "coprocess"},
        "h": hook(source, event, stuck),
        "later": hook("b", "stopped", "touch later.ran"),
    }
    project.write(group(children, hook_window="60s", kill_unresponsive_after=60))


@pytest.mark.parametrize("event", ["shutdown", "stopping", "stopped"])
@pytest.mark.parametrize(("first", "second", "code"), [(INT, INT, 130), (TERM, INT, 143), (INT, TERM, 130)])
def test_X4_the_second_signal_kills_hooks_and_all(
    project: Project, event: str, first: int, second: int, code: int
) -> None:
    """supervision 12.9: nothing is started any more, nothing is left."""
    hanging(project, event)
    process = up(project, ready="abc")
    process.signal(first)
    wait_until(lambda: project.has("h.ready"), "the hook hangs")
    everybody = set(descendants(process.pid))
    asked = time.monotonic()
    process.signal(second)
    result = process.finish()
    assert result.code == code
    assert time.monotonic() - asked < 40
    assert not alive(everybody)
    assert not project.has("later.ran")


def test_X4_ctrl_c_twice_during_hooks_on_a_terminal(project: Project) -> None:
    """supervision 12.9."""
    hanging(project, "stopping")
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("up")
        terminal.until(lambda: project.has("a.ready", "b.ready", "c.ready"), "all are ready")
        terminal.type(CTRL_C)
        terminal.until(lambda: project.has("h.ready"), "the hook hangs")
        terminal.type(CTRL_C)
        assert terminal.end() == 130
    assert not project.has("later.ran")


def test_X4_a_signal_after_an_end_is_passed_on_before_one_kills(project: Project) -> None:
    """supervision 4.2, 12.9: the end of a child began the stop; the first Ctrl+C still is no kill."""
    body = f"trap 'echo int >> got' INT; trap 'echo term >> got' TERM; {READY}while :; do sleep 0.02; done"
    children = {"a": body, "b": "until test -e go; do sleep 0.01; done; exit 3"}
    project.write(group({**children, "h": hook("b", "stopped", "true")}, kill_unresponsive_after=60))
    process = up(project)
    (project.directory / "go").touch()
    wait_until(lambda: project.read("got") == "term\n", "it was asked")
    process.signal(INT)
    wait_until(lambda: project.read("got") == "term\nint\n", "it was passed on")
    assert process.process.poll() is None
    process.signal(INT)
    assert process.finish().code == 3


# --- other ways to end ------------------------------------------------------------------------------------------


def test_X9_a_closed_terminal_stops_a_run_where_a_child_waits_for_SIGHUP(project: Project) -> None:
    """supervision 12.10: with its hooks."""
    children = {
        "a": POLITE.replace("INT TERM", "HUP INT TERM"),
        "b": "exec sleep 60",
        "each": {"run": "echo x >> hups", "when": {"source": "SIGHUP"}},
        "h": hook("a", "stopping", LOG),
    }
    project.write(group(children))
    with Terminal(project) as terminal:
        terminal.run("up")
        terminal.until(lambda: project.has("a.ready"), "it runs")
        terminal.signal(signal.SIGHUP)
        terminal.until(lambda: project.has("hups"), "an event")
        assert terminal.state()[0] == "running"
        terminal.close()
        terminal.until(lambda: terminal.state()[0] not in ("running", "stopped"), "the end")
        assert terminal.state() == ("exited", 129)
    assert log(project) == ["h", "a"]


def test_X15_a_closed_standard_output_stops_a_run_in_its_order(project: Project) -> None:
    """supervision 4.4, 12.3: hooks that print something more change nothing."""
    children = {
        "a": POLITE.replace(READY, READY + "echo line; "),
        "b": "while echo more; do sleep 0.01; done; exec sleep 60",
        "h": hook("a", "stopping", "echo a hook; " + LOG),
        "i": hook("a", "stopped", "echo a hook; " + LOG),
    }
    project.write(group(children))
    read, write = os.pipe()
    process = project.start("up", stdout=write)
    os.close(write)
    wait_until(lambda: project.has("a.ready"), "it runs")
    os.close(read)
    result = process.finish()
    assert result.code == 141, result.err
    assert log(project) == ["h", "a", "i"]
    assert "Traceback" not in result.err


@pytest.mark.parametrize("what", ["depends", "condition", "when", "backoff"])
def test_D5_R8_who_waits_does_not_delay_the_stop(project: Project, what: str) -> None:
    """supervision 3.8, 7.7: nothing but waiting children; the condition runs, and is stopped as a child."""
    waits: dict[str, object] = {
        "depends": {"run": "true", "depends": [{"tcp": "127.0.0.1:1", "poll": "30s"}]},
        "condition": {"run": "true", "condition": "touch w.ready; exec sleep 62"},
        "when": {"run": "true", "when": {"source": "a", "once": "healthy"}},
        "backoff": {"run": "exit 1", "restart": {"min-wait": "30s"}},
    }[what]  # type: ignore[assignment]  # a dict of dicts
    a = {"run": STAY, "ready": {"line": "never said"}}
    project.write(group({"a": a, "w": waits}, mode=KEEP, kill_unresponsive_after=60))
    process = up(project)
    if what == "condition":
        wait_until(lambda: project.has("w.ready"), "the condition runs")
    if what == "backoff":
        wait_for(project, 1, "restart", "w")
    process.signal(TERM)
    assert process.finish().code == 143
    assert time_of(project, "finish") - time_of(project, "signal") < LATE


def test_X5_a_signal_before_the_first_moment_starts_no_hook(project: Project) -> None:
    """supervision 1.6: many moments of the start; a hook of a child that never began does not run (12.6)."""
    moments = random.Random("start")
    children = {"a": POLITE, "h": hook("a", "stopping", LOG), "i": hook("a", "stopped", LOG)}
    project.write(group(children))
    for _ in range(10):
        (project.directory / "log").unlink(missing_ok=True)
        process = begin(project, "up")
        wait_until(lambda: handles(process.pid, TERM), "vagga listens")  # noqa: B023  # it is called here
        time.sleep(moments.uniform(0, 0.15))
        process.signal(TERM)
        result = process.finish()
        assert result.code == 143
        assert "Traceback" not in result.err
        if not told(project, "start", "a"):
            assert "h" not in log(project)
        else:
            assert log(project)[0] == "h"


def test_E18_E21_a_hook_waits_for_no_dependencies_and_its_condition_counts(project: Project) -> None:
    """supervision 12.2: while the run is stopping there is no time for `depends`."""
    children = {
        "a": POLITE,
        "h": hook("a", "stopping", LOG, depends=[{"path": "never"}]),
        "no": hook("a", "stopping", LOG, condition="false"),
        "yes": hook("a", "stopping", LOG, condition="true"),
    }
    project.write(group(children))
    process = up(project)
    process.signal(TERM)
    assert process.finish().code == 143
    assert sorted(log(project)[:2]) == ["h", "yes"]
    assert log(project)[2:] == ["a"]
