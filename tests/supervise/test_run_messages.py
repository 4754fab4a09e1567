"""The exact words of a run's messages."""

from __future__ import annotations

import signal

import pytest

from vaggapy.supervise.events import (
    CONT,
    HUP,
    INT,
    PIPE,
    TERM,
    TSTP,
    ChildEnded,
    ChildNotStarted,
    ChildStarted,
    Ended,
    SignalReceived,
    SpawnerEnded,
    StillAlive,
    Told,
)
from vaggapy.supervise.messages import duration, signal_name, text

EXITED = ChildEnded("web", 1, 42, 1, 0, core=False, seconds=12.3149, cause="first")
KILLED = ChildEnded("web", 1, 42, 137, 9, core=False, seconds=3.0, cause="first")
CRASHED = ChildEnded("web", 1, 42, 139, 11, core=True, seconds=3.0, cause="first")
TOLERATED = ChildEnded("web", 1, 42, 0, 0, core=False, seconds=3.0, cause="success")
ASKED = ChildEnded("web", 1, 42, 143, 15, core=False, seconds=3.0, cause="requested")
FAILED = ChildNotStarted("web", 1, 127, "program `srv` is not there", "first")
FAILED_TOO = ChildNotStarted("web", 1, 127, "program `srv` is not there", "requested")
INTERRUPTED = SignalReceived(INT, stopping=False)
ALIVE = StillAlive(("a", "b"), 2.0)
LOST = SpawnerEnded(stopping=False)

SPAWNER_LOST = (
    "vagga: spawner: ended unexpectedly, which kills every process of the run "
    "(look for an out-of-memory kill, then run the command again) [spawner-lost]\n"
)

SUPERVISED: list[tuple[Told, str]] = [
    (ChildStarted("web", 1, 42), ""),
    (EXITED, "---------- Process web:42 exited with code 1. Shutting down -----------\n"),
    (KILLED, "---------- Process web:42 killed by signal SIGKILL[9]. Shutting down -----------\n"),
    (CRASHED, "---------- Process web:42 killed by signal SIGSEGV[11] (core dumped). Shutting down -----------\n"),
    (TOLERATED, ""),
    (ASKED, ""),
    (FAILED, "---------- Process web could not be run: program `srv` is not there. Shutting down -----------\n"),
    (FAILED_TOO, "---------- Process web could not be run: program `srv` is not there -----------\n"),
    (INTERRUPTED, "Received SIGINT signal. Waiting the processes to stop...\n"),
    (SignalReceived(HUP, stopping=True), "Received SIGHUP signal. Waiting the processes to stop...\n"),
    (SignalReceived(TERM, stopping=True, killing=True), "Received SIGTERM signal again. Killing the processes...\n"),
    (SignalReceived(PIPE, stopping=False), "Standard output was closed. Waiting the processes to stop...\n"),
    (SignalReceived(TSTP, stopping=False), "Received SIGTSTP signal. Stopping children and self ..\n"),
    (SignalReceived(CONT, stopping=False), "Received SIGCONT signal. Propagating ..\n"),
    (
        ALIVE,
        '---------- Processes ["a", "b"] are still alive. Killing ... -----------\n'
        "vagga: they had 2 s to stop; `kill-unresponsive-after` can be raised for this command\n",
    ),
    (LOST, SPAWNER_LOST),
    (Ended(1, EXITED, 13.0, 3), "vagga: web exited with code 1 after 12.31 s; vagga exits with 1\n"),
    (Ended(137, KILLED, 13.0, 3), "vagga: web was killed by signal SIGKILL[9] after 3.00 s; vagga exits with 137\n"),
    (Ended(127, FAILED, 0.1, 3), "vagga: web could not be run; vagga exits with 127\n"),
    (Ended(130, INTERRUPTED, 300.0, 3), "vagga: stopped by SIGINT, all ended after 5 min 0 s; vagga exits with 130\n"),
    (
        Ended(141, SignalReceived(PIPE, stopping=False), 2.0, 3),
        "vagga: standard output was closed, all ended after 2.00 s; vagga exits with 141\n",
    ),
    (Ended(124, LOST, 2.0, 3), "vagga: the spawner was lost, all ended after 2.00 s; vagga exits with 124\n"),
    (Ended(0, None, 2.0, 3), "vagga: all 3 exited with code 0 after 2.00 s; vagga exits with 0\n"),
    (Ended(0, None, 0.0, 0), "vagga: no child starts by itself; vagga exits with 0\n"),
    (Ended(127, None, 0.0, 0), ""),
]


@pytest.mark.parametrize(("told", "lines"), SUPERVISED, ids=lambda value: type(value).__name__)
def test_a_supervised_run_is_told_in_these_words(told: Told, lines: str) -> None:
    """supervision 3.7 and supervision 6.2."""
    assert text(told) == lines


def test_a_single_command_that_ends_or_is_stopped_says_nothing() -> None:
    """supervision 6.2."""
    quiet: tuple[Told, ...] = (EXITED, KILLED, INTERRUPTED, Ended(1, EXITED, 1.0, 1), ChildStarted("web", 1, 42))

    assert [text(told, single=True) for told in quiet] == [""] * len(quiet)


def test_a_single_command_tells_what_the_user_must_know() -> None:
    """supervision 6.2."""
    assert text(FAILED, single=True) == "vagga: web could not be run: program `srv` is not there\n"
    assert text(LOST, single=True) == SPAWNER_LOST
    assert text(ALIVE, single=True) == text(ALIVE)


def test_names_and_reasons_cannot_break_the_line() -> None:
    told = ChildNotStarted("a\nb", 1, 127, "no\x1b[2J", "first")

    assert text(told) == "---------- Process a\\nb could not be run: no\\x1b[2J. Shutting down -----------\n"


@pytest.mark.parametrize("known", [s for s in signal.Signals if s < 32])
def test_signal_names_are_those_of_the_system(known: signal.Signals) -> None:
    assert signal_name(known) == {"SIGIOT": "SIGABRT", "SIGPOLL": "SIGIO"}.get(known.name, known.name)


def test_signals_without_a_name_of_their_own_have_a_readable_one() -> None:
    assert signal_name(16) == "SIGSTKFLT"
    assert [signal_name(n) for n in (0, 32, 33, 34, 36, 64)] == [
        "SIG0",
        "SIG32",
        "SIG33",
        "SIGRTMIN",
        "SIGRTMIN+2",
        "SIGRTMIN+30",
    ]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0.00 s"),
        (12.3149, "12.31 s"),
        (119.99, "119.99 s"),
        (120.5, "2 min 0 s"),
        (7199.9, "119 min 59 s"),
        (7200.0, "2 h 0 min"),
        (100_000.0, "27 h 46 min"),
    ],
)
def test_durations_are_short(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
