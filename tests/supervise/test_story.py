"""The words of what only happens with rules, and of why a run failed."""

from __future__ import annotations

import pytest

from vaggapy.record import replace
from vaggapy.supervise.events import (
    CheckFailed,
    CheckRecovered,
    ChildEnded,
    ChildNotStarted,
    ChildSkipped,
    ChildUnmet,
    Ended,
    HealthChanged,
    Link,
    Met,
    NeverStarted,
    NotPaused,
    NotSpawned,
    Restarting,
    StopPaused,
    StopResumed,
    Told,
    TookTooLong,
    Waiting,
    WatchChanged,
)
from vaggapy.supervise.messages import last_lines, text
from vaggapy.supervise.story import LONGEST


def ended(name: str, code: int, cause: str, signal: int = 0) -> ChildEnded:
    return ChildEnded(name, 1, 42, code, signal, core=False, seconds=3.0, cause=cause)


TCP = "tcp localhost:5432"
UNMET = ChildUnmet("web", TCP, "refused, after 60 s")
STUCK = NeverStarted((("web", "db healthy"), ("api", "web exit-success")))
DISK_FULL = CheckFailed("web", "disk", 3, "shutdown", "no such file")
DEAF = CheckFailed("web", "ready", 0, "shutdown", "not within 5 s")
SICK = CheckFailed("web", "health", 3, "shutdown", "HTTP 503 instead of 200")

TOLD: list[tuple[Told, str]] = [
    (ended("web", 1, "restarts"), "vagga: web:42 exited with code 1 after 3.00 s\n"),
    (ended("web", 0, "restarts"), "vagga: web:42 exited with code 0 after 3.00 s\n"),
    (
        ended("web", 137, "aside", 9),
        "vagga: web:42 killed by signal SIGKILL[9] after 3.00 s; the others go on\n",
    ),
    (ended("web", 0, "aside"), ""),
    (ended("web", 1, "noted"), "vagga: web:42 exited with code 1 after 3.00 s; the others go on\n"),
    (replace(ended("web", 1, "noted"), alone=True), "vagga: web:42 exited with code 1 after 3.00 s\n"),
    (
        UNMET,
        "---------- web was not started: tcp localhost:5432: refused, after 60 s. Shutting down -----------\n",
    ),
    (ChildUnmet("web", TCP, "refused", cause="noted"), "vagga: web was not started: tcp localhost:5432: refused\n"),
    (ChildUnmet("web", TCP, "refused", skipped=True), "vagga: web is skipped: tcp localhost:5432: refused\n"),
    (ChildSkipped("web", 3), "vagga: web is skipped: its condition ended with 3\n"),
    (Restarting("web", 1.99, 2), "vagga: web restarts in 1.99 s (2 left)\n"),
    (Restarting("web", 0.0, -1), "vagga: web restarts at once\n"),
    (Restarting("web", 64.0, 0), "vagga: web restarts in 64.00 s (none left)\n"),
    (Waiting("web", TCP), "vagga: web waits: tcp localhost:5432\n"),
    (Waiting("web", TCP, 2), "vagga: web waits: tcp localhost:5432, and 2 more after it\n"),
    (Met("web", TCP), ""),
    (ended("web", 1, "paused"), "vagga: web:42 exited with code 1 after 3.00 s, in the pause\n"),
    (
        StopPaused(
            (Link("web", 2.0, ended("web", 1, "first")), Link("db", 1.0, replace(UNMET, name="db"))),
            (("api", 3), ("x\x1b", 4)),
        ),
        "vagga: paused before the stop: web exited 1 (2.00 s) <- db was not started (1.00 s); "
        "still there: api:3, x\\x1b:4\n",
    ),
    (StopPaused((), ()), "vagga: paused before the stop; still there: what is just being started\n"),
    (StopResumed("answered"), "vagga: the stop goes on\n"),
    (StopResumed("interrupted"), ""),
    (StopResumed("nobody"), "vagga: nothing is left to look at, the stop goes on\n"),
    (
        NotPaused("web", "standard input is no terminal"),
        "vagga: no pause for web, although it has `on-fail: debug`: standard input is no terminal\n",
    ),
    (
        CheckFailed("web", "disk", 3, "debug", "full"),
        "---------- web failed its check disk: full (3 times in a row). Shutting down -----------\n",
    ),
    (HealthChanged("web", True), "vagga: web is healthy\n"),
    (HealthChanged("web", False, 1, "refused"), "vagga: web is unhealthy: refused\n"),
    (HealthChanged("web", False, 3, "refused"), "vagga: web is unhealthy: refused (3 times in a row)\n"),
    (CheckFailed("web", "health", 3, "event", "refused"), ""),
    (CheckFailed("web", "disk", 3, "log", "full"), "vagga: web failed its check disk: full (3 times in a row)\n"),
    (
        CheckFailed("web", "health", 3, "restart", "refused"),
        "vagga: web failed its check health: refused (3 times in a row); web is stopped, to be restarted\n",
    ),
    (
        CheckFailed("web", "disk", 1, "spawn recovery"),
        "vagga: web failed its check disk; recovery is started\n",
    ),
    (
        DISK_FULL,
        "---------- web failed its check disk: no such file (3 times in a row). Shutting down -----------\n",
    ),
    (DEAF, "---------- web did not become ready: not within 5 s. Shutting down -----------\n"),
    (CheckRecovered("web", "disk", 5), "vagga: web: disk passes again, after 5 failures\n"),
    (CheckRecovered("web", "health", 5), ""),
    (TookTooLong("backup", 5.0), "vagga: backup is killed: it ran for its whole timeout, 5.00 s\n"),
    (TookTooLong("bye", 5.0, "web"), "vagga: bye is killed: the stop of web has waited 5.00 s for it\n"),
    (NotSpawned("backup"), "vagga: backup is not started now: it still runs\n"),
    (WatchChanged("db", 1), "vagga: watch db finds 1\n"),
    (WatchChanged("db", 0), "vagga: watch db finds none\n"),
    (
        STUCK,
        "---------- Nothing can go on: web waits: db healthy; api waits: web exit-success. Shutting down -----------\n",
    ),
    (
        Ended(125, UNMET, 60.0, 2),
        "vagga: web was not started, all ended after 60.00 s; vagga exits with 125\n",
    ),
    (
        Ended(125, SICK, 60.0, 2),
        "vagga: web failed its check health, all ended after 60.00 s; vagga exits with 125\n",
    ),
    (
        Ended(125, STUCK, 1.0, 2),
        "vagga: nothing could go on, 2 wait in vain, all ended after 1.00 s; vagga exits with 125\n",
    ),
]


@pytest.mark.parametrize(("told", "lines"), TOLD, ids=lambda value: type(value).__name__)
def test_what_happens_by_rules_is_told_in_these_words(told: Told, lines: str) -> None:
    """supervision 6.10."""
    assert text(told) == lines


def test_names_and_reasons_of_rules_cannot_break_the_line() -> None:
    assert text(HealthChanged("a\nb", False, 1, "\x1b[2J")) == "vagga: a\\nb is unhealthy: \\x1b[2J\n"
    assert text(NeverStarted((("a\nb", "c\nd"),))).count("\n") == 1
    assert text(CheckFailed("a\n", "b\n", 1, "spawn c\n", "d\n")).count("\n") == 1


# --- why it stopped -----------------------------------------------------------------------------------------


DB = Link("db", 12.24, ended("db", 137, "restarts", 9))
API = Link("api", 12.31, ended("api", 1, "first"))


def test_the_chain_of_causes_stands_before_the_last_line() -> None:
    told = Ended(1, ended("api", 1, "first"), 12.5, 2, (API, DB))

    assert text(told) == (
        "vagga: api exited 1 (12.31 s) <- db killed by SIGKILL (12.24 s)\n"
        "vagga: api exited with code 1 after 3.00 s; vagga exits with 1\n"
    )


def test_a_chain_of_one_link_says_nothing_new() -> None:
    told = Ended(1, ended("api", 1, "first"), 12.5, 2, (API,))

    assert text(told) == "vagga: api exited with code 1 after 3.00 s; vagga exits with 1\n"


LINKS: list[tuple[ChildEnded | ChildNotStarted | ChildUnmet | CheckFailed | HealthChanged, str]] = [
    (ChildNotStarted("db", 1, 127, "no such program", "first"), "db could not be run"),
    (ChildUnmet("db", TCP, "refused"), "db was not started"),
    (ChildUnmet("db", TCP, "refused", skipped=True), "db was skipped"),
    (CheckFailed("db", "disk", 3, "shutdown"), "db failed its check disk"),
    (HealthChanged("db", False, 1), "db was unhealthy"),
    (HealthChanged("db", True), "db was healthy"),
]


@pytest.mark.parametrize(("told", "words"), LINKS, ids=lambda value: type(value).__name__)
def test_a_link_says_what_happened(
    told: ChildEnded | ChildNotStarted | ChildUnmet | CheckFailed | HealthChanged, words: str
) -> None:
    chain = (API, Link("db", 0.5, told))

    assert text(Ended(1, ended("api", 1, "first"), 12.5, 2, chain)).startswith(
        f"vagga: api exited 1 (12.31 s) <- {words} (0.50 s)\n"
    )


def test_the_last_lines_of_the_first_that_failed_stand_under_its_name() -> None:
    """supervision 13.2."""
    assert last_lines("db", (b"one\n", b"two\r\n", b"three")) == (
        "vagga: the last lines of db:\n  | one\n  | two\n  | three\n"
    )


def test_without_output_nothing_is_repeated() -> None:
    assert last_lines("db", ()) == ""


def test_repeated_lines_cannot_steer_the_terminal() -> None:
    shown = last_lines("db", (b"\x1b[31;1mred\x1b[0m \x1b[2J\x1b]0;t\x07", b"\xff\tx", b"\x1b[", b"\x1bm"))

    assert shown.splitlines()[1:] == [
        "  | red \\x1b[2J\\x1b]0;t\\x07",
        "  | \ufffd       x",
        "  | \\x1b[",
        "  | \\x1bm",
    ]


def test_a_long_line_is_cut() -> None:
    (line,) = last_lines("db", (b"x" * 70_000,)).splitlines()[1:]

    assert line == f"  | {'x' * (LONGEST - 1)}…"
