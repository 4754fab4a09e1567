"""What the policy tells observers, and which news it does not take for true."""

from __future__ import annotations

import pytest

from vaggapy.config.model import STOP_ON_FAILURE, WAIT_ALL_SUCCESSFUL
from vaggapy.supervise.events import (
    CONT,
    GRACE,
    HUP,
    INT,
    TERM,
    TSTP,
    Begin,
    ChildEnded,
    ChildNotStarted,
    ChildStarted,
    Ended,
    Event,
    Exited,
    Report,
    Signalled,
    SignalReceived,
    SpawnerEnded,
    SpawnerLost,
    SpawnFailed,
    Started,
    StillAlive,
    TimerFired,
    Told,
)
from vaggapy.supervise.policy import initial, step

GRACE_SECONDS = 2.0


def told_by(mode: str, names: tuple[str, ...], *events: Event) -> list[Told]:
    state = initial(mode, names, GRACE_SECONDS)
    told: list[Told] = []
    for event in events:
        state, actions = step(state, event)
        told += [action.record for action in actions if isinstance(action, Report)]
    return told


@pytest.mark.parametrize("mode", [STOP_ON_FAILURE, WAIT_ALL_SUCCESSFUL])
def test_S5_fifty_ends_of_one_moment_are_all_taken(mode: str) -> None:
    names = tuple(f"c{number:02}" for number in range(50))
    told = told_by(
        mode,
        names,
        Begin(0.0),
        *(Started(0.0, name, 1, 1) for name in names),
        *(Exited(1.0, name, 1, 0) for name in names),
    )[50:]
    first = told[0]

    assert [record.name for record in told[:-1] if isinstance(record, ChildEnded)] == list(names)
    assert isinstance(first, ChildEnded)
    assert told[-1] == Ended(0, first if mode == STOP_ON_FAILURE else None, 1.0, 50)


def test_S13_an_end_of_another_incarnation_is_not_taken_for_this_one() -> None:
    state, _ = step(initial(STOP_ON_FAILURE, ("a",), GRACE_SECONDS), Begin(0.0))
    for stray in (Started(0.1, "a", 2, 7), Exited(0.1, "a", 0, 3), SpawnFailed(0.1, "a", 2, 127, "")):
        after, actions = step(state, stray)
        assert after is state
        assert actions == ()


def test_reports_say_who_began_the_stop_and_who_was_asked_to_end() -> None:
    """supervision 2.2, supervision 2.5 and supervision 6.8."""
    told = told_by(
        WAIT_ALL_SUCCESSFUL,
        ("a", "b", "c"),
        Begin(1.0),
        *(Started(2.0, name, 1, number) for number, name in enumerate("abc", 11)),
        Exited(3.0, "a", 1, 0),
        Exited(4.5, "b", 1, 0, 6, core=True),
        Exited(5.0, "c", 1, 143),
    )
    first = ChildEnded("b", 1, 12, 134, 6, core=True, seconds=2.5, cause="first")

    assert told == [
        ChildStarted("a", 1, 11),
        ChildStarted("b", 1, 12),
        ChildStarted("c", 1, 13),
        ChildEnded("a", 1, 11, 0, 0, core=False, seconds=1.0, cause="success"),
        first,
        ChildEnded("c", 1, 13, 143, 0, core=False, seconds=3.0, cause="requested"),
        Ended(134, first, 4.0, 3),
    ]


def test_X2_the_names_of_those_still_alive_are_told_before_the_kill() -> None:
    """supervision 3.7; one that is still starting is named too."""
    told = told_by(
        STOP_ON_FAILURE,
        ("a", "b", "c"),
        Begin(0.0),
        Started(0.0, "b", 1, 5),
        Signalled(1.0, TERM),
        TimerFired(3.0, GRACE),
    )

    assert told[1:] == [SignalReceived(TERM, stopping=False), StillAlive(("a", "b", "c"), GRACE_SECONDS)]


def test_X4_the_second_signal_is_told_as_the_one_that_kills() -> None:
    """supervision 4.2."""
    told = told_by(STOP_ON_FAILURE, ("a",), Begin(0.0), Signalled(1.0, HUP), Signalled(1.0, INT), Signalled(2.0, TERM))

    assert told == [
        SignalReceived(HUP, stopping=False),
        SignalReceived(INT, stopping=True),
        SignalReceived(TERM, stopping=True, killing=True),
    ]


def test_a_suspension_and_its_end_are_told() -> None:
    """supervision 4.5 and supervision 4.6."""
    told = told_by(
        STOP_ON_FAILURE, ("a",), Begin(0.0), Signalled(1.0, TSTP), Signalled(2.0, CONT), Signalled(3.0, CONT)
    )

    assert told == [SignalReceived(TSTP, stopping=False), SignalReceived(CONT, stopping=False)]


def test_S2_a_failed_start_is_told_with_its_reason_and_whether_it_was_the_first() -> None:
    """supervision 1.3."""
    told = told_by(
        STOP_ON_FAILURE,
        ("a", "b"),
        Begin(0.0),
        SpawnFailed(0.1, "b", 1, 126, "not executable"),
        SpawnFailed(0.2, "a", 1, 127, "x"),
    )
    first = ChildNotStarted("b", 1, 126, "not executable", "first")

    assert told == [first, ChildNotStarted("a", 1, 127, "x", "requested"), Ended(126, first, 0.2, 2)]


def test_the_lost_spawner_is_told_and_is_the_cause_of_the_end() -> None:
    """supervision 5.6."""
    told = told_by(STOP_ON_FAILURE, ("a",), Begin(0.0), SpawnerLost(0.5))

    assert told == [SpawnerEnded(stopping=False), Ended(124, SpawnerEnded(stopping=False), 0.5, 1)]
