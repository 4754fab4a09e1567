"""SIGHUP, SIGUSR1 and SIGUSR2 as what starts a child, or as what `on-signal` says: C11 and C12 of the specification."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from integration.runs import Project, Running, command, handles, supervise, wait_until
from integration.terminals import Terminal
from vaggapy.supervise.signals import USR1, USR2

HUP = signal.SIGHUP
BY_NAME = {"SIGHUP": HUP, "SIGUSR1": signal.SIGUSR1, "SIGUSR2": signal.SIGUSR2}
STAYS = "touch up; exec sleep 60"
COUNTS = "echo $VAGGA_SUBCOMMAND >>counted"


def group(project: Project, *sources: str, **keys: object) -> None:
    """Write a command `up` of a child that stays, and one for each signal that counts how often it ran."""
    counting = {source[3:].lower(): {"run": COUNTS, "when": {"source": source}} for source in sources}
    project.write(supervise("up", {"stays": STAYS, **counting}, **keys))


def start(project: Project, **how: object) -> Running:
    run = project.start("up", **how)  # type: ignore[arg-type]  # passed on as they come
    wait_until(lambda: project.has("up"), "the child that stays")
    return run


def stop(run: Running) -> None:
    run.signal(signal.SIGTERM)
    assert run.finish().code == 143


@pytest.mark.parametrize("source", BY_NAME)
def test_e16_each_signal_runs_the_child_that_waits_for_it(project: Project, source: str) -> None:
    group(project, source)
    run = start(project)
    name = source[3:].lower()
    for times in (1, 2):
        run.signal(BY_NAME[source])
        wait_until(lambda times=times: project.read("counted") == f"{name}\n" * times, f"run {times}")  # type: ignore[misc]
    stop(run)


def test_e16_two_signals_at_once_are_at_least_one_run(project: Project) -> None:
    group(project, "SIGUSR2")
    run = start(project)
    run.signal(signal.SIGUSR2)
    run.signal(signal.SIGUSR2)
    wait_until(lambda: project.read("counted"), "a run")
    stop(run)
    assert 1 <= project.read("counted").count("usr2") <= 2


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_x17_usr1_and_usr2_that_nobody_waits_for_are_ignored(project: Project, number: signal.Signals) -> None:
    group(project, "SIGHUP")
    run = start(project)
    run.signal(number)
    run.signal(HUP)  # comes after it
    wait_until(lambda: project.read("counted"), "the other signal's run")
    stop(run)


def test_c11_hup_terminates_where_nobody_waits_for_it(project: Project) -> None:
    group(project, "SIGUSR2")
    run = start(project)
    run.signal(HUP)
    assert run.finish().code == 129


def test_c11_the_file_may_say_what_hup_does_to_a_run_with_rules(project: Project) -> None:
    group(project, on_signal={"HUP": "ignore", "USR1": "terminate"})
    run = start(project)
    run.signal(HUP)
    run.signal(signal.SIGUSR1)
    assert run.finish().code == 128 + signal.SIGUSR1


def test_c11_a_hup_that_was_ignored_at_the_start_stays_ignored_and_starts_nobody(project: Project) -> None:
    group(project, "SIGHUP", "SIGUSR2")
    run = start(project, under=["nohup"])
    run.signal(HUP)
    run.signal(signal.SIGUSR2)
    wait_until(lambda: project.read("counted"), "the run of the other signal")
    stop(run)
    assert project.read("counted") == "usr2\n"


def test_c11_a_terminal_that_closes_stops_a_run_in_which_a_child_waits_for_hup(project: Project) -> None:
    group(project, "SIGHUP")
    with Terminal(project) as terminal:
        terminal.run("up")
        wait_until(lambda: project.has("up"), "the child that stays")
        terminal.signal(HUP)
        wait_until(lambda: project.read("counted"), "a run for the signal alone")
        terminal.close()
        assert terminal.end() == 129
    assert project.read("counted") == "hup\n"


def test_c11_a_terminal_that_closes_stops_it_also_where_its_output_goes_elsewhere(project: Project) -> None:
    group(project, "SIGHUP")
    with Terminal(project) as terminal:
        terminal.run("up", stdin=None, stdout=project.directory / "out", stderr=project.directory / "err")
        wait_until(lambda: project.has("up"), "the child that stays")
        terminal.close()
        terminal.signal(HUP)  # as a shell does with its jobs
        assert terminal.end() == 129
    assert not project.read("counted")


def test_signals_of_one_stage_mean_nothing_in_the_next(project: Project) -> None:
    first = supervise(
        "first", {"a": {"run": "true", "once": True}, "b": {"run": COUNTS, "when": {"source": "SIGUSR2"}}}
    )
    project.write(first + command("up", STAYS, prerequisites=["first"]))
    run = start(project)
    assert not handles(run.pid, USR1) and not handles(run.pid, USR2)
    run.signal(signal.SIGUSR2)
    stop(run)
    assert not project.read("counted")


def test_signals_that_rules_spare_are_not_counted_as_a_wish_to_end() -> None:
    script = (
        "import os, signal\n"
        "from vaggapy.supervise.signals import Signals\n"
        "found = Signals()\n"
        "found.take({1: 'event', 10: 'event'})\n"
        "for number in (1, 10, 12, 15): os.kill(os.getpid(), number)\n"
        "print(found.read(), found.asked)\n"
        "found.take({})\n"
        "for number in (1, 10): os.kill(os.getpid(), number)\n"
        "print(found.read(), found.asked)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "(1, 10, 15) 1\n(1,) 2\n"
