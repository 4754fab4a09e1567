"""The records of a run for programs, what `--status-fd` writes."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from vaggapy.supervise import events
from vaggapy.supervise.events import (
    INT,
    CheckFailed,
    CheckRecovered,
    ChildEnded,
    ChildNotStarted,
    ChildSkipped,
    ChildStarted,
    ChildUnmet,
    Ended,
    HealthChanged,
    Link,
    Met,
    NeverStarted,
    NotPaused,
    NotSpawned,
    Restarting,
    SignalReceived,
    SpawnerEnded,
    StillAlive,
    StopPaused,
    StopResumed,
    Told,
    TookTooLong,
    Waiting,
    WatchChanged,
)
from vaggapy.supervise.status_records import record_json

EXITED = ChildEnded("web", 1, 42, 1, 0, core=False, seconds=12.3149, cause="first")
KILLED = ChildEnded("web", 1, 42, 137, 9, core=False, seconds=3.0, cause="first")
TOLERATED = ChildEnded("web", 1, 42, 0, 0, core=False, seconds=3.0, cause="success")
ASKED = ChildEnded("web", 1, 42, 143, 15, core=False, seconds=3.0, cause="requested")
FAILED = ChildNotStarted("web", 1, 127, "program `srv` is not there", "first")
FAILED_TOO = ChildNotStarted("web", 1, 127, "program `srv` is not there", "requested")
INTERRUPTED = SignalReceived(INT, stopping=False)
LOST = SpawnerEnded(stopping=False)

# A report of each kind, with the record that says the same.
RECORDS: list[tuple[Told, dict[str, object]]] = [
    (ChildStarted("web", 2, 42), {"event": "start", "name": "web", "incarnation": 2, "pid": 42}),
    (
        FAILED,
        {
            "event": "exit",
            "name": "web",
            "incarnation": 1,
            "code": 127,
            "signal": None,
            "cause": "not-started",
            "why": "program `srv` is not there",
        },
    ),
    (
        ChildUnmet("web", "tcp db:5432", "refused"),
        {
            "event": "unmet",
            "name": "web",
            "what": "tcp db:5432",
            "why": "refused",
            "skipped": False,
            "code": 125,
            "cause": "first",
        },
    ),
    (ChildSkipped("web", 3), {"event": "skip", "name": "web", "code": 3}),
    (Restarting("web", 1.5, 2), {"event": "restart", "name": "web", "wait": 1.5, "left": 2}),
    (Restarting("web", 0.0, -1), {"event": "restart", "name": "web", "wait": 0.0, "left": None}),
    (Waiting("web", "tcp db:5432", 2), {"event": "wait", "name": "web", "what": "tcp db:5432", "more": 2}),
    (Met("web", "tcp db:5432"), {"event": "met", "name": "web", "what": "tcp db:5432"}),
    (
        HealthChanged("web", False, 3, "refused"),
        {"event": "health", "name": "web", "healthy": False, "failures": 3, "detail": "refused"},
    ),
    (
        CheckFailed("web", "disk", 3, "spawn recovery", "full"),
        {
            "event": "check-failed",
            "name": "web",
            "check": "disk",
            "failures": 3,
            "action": "spawn recovery",
            "detail": "full",
        },
    ),
    (CheckRecovered("web", "disk", 3), {"event": "check-recovered", "name": "web", "check": "disk", "failures": 3}),
    (TookTooLong("web", 5.0), {"event": "took-too-long", "name": "web", "seconds": 5.0, "hook_of": None}),
    (TookTooLong("bye", 5.0, "web"), {"event": "took-too-long", "name": "bye", "seconds": 5.0, "hook_of": "web"}),
    (NotSpawned("web"), {"event": "not-spawned", "name": "web"}),
    (WatchChanged("db", 2), {"event": "watch", "watch": "db", "instances": 2}),
    (
        NeverStarted((("web", "db healthy"),)),
        {"event": "never-started", "waiting": [{"name": "web", "what": "db healthy"}]},
    ),
    (
        StopPaused((Link("web", 2.0, HealthChanged("web", False)),), (("db", 42),)),
        {
            "event": "pause",
            "chain": [
                {"event": "health", "at": 2.0, "name": "web", "healthy": False, "failures": 0, "detail": ""},
            ],
            "running": [{"name": "db", "pid": 42}],
        },
    ),
    (StopResumed("answered"), {"event": "resume", "why": "answered"}),
    (NotPaused("web", "no terminal"), {"event": "no-pause", "name": "web", "why": "no terminal"}),
    (INTERRUPTED, {"event": "signal", "signal": "SIGINT", "stopping": False, "killing": False}),
    (LOST, {"event": "spawner-lost"}),
    (StillAlive(("a", "b"), 2.0), {"event": "still-alive", "names": ["a", "b"], "seconds": 2.0}),
    (Ended(0, None, 1.0, 2), {"event": "finish", "code": 0, "seconds": 1.0, "cause": "completed"}),
]


@pytest.mark.parametrize(("told", "record"), RECORDS, ids=lambda value: type(value).__name__)
def test_every_report_is_one_json_object(told: Told, record: dict[str, object]) -> None:
    """supervision 6.7."""
    found = record_json(told, 1.5)

    assert found == {"time": 1.5, **record}
    assert json.loads(json.dumps(found)) == found


def test_every_kind_of_report_has_a_record() -> None:
    shown = {type(told) for told, _ in RECORDS}

    assert set(get_args(events.Told)) - shown == {ChildEnded}


def test_status_records_of_a_run() -> None:
    """supervision 6.7, supervision 6.8 and supervision 6.9."""
    assert record_json(ChildStarted("web", 1, 42), 5.0) == {
        "event": "start",
        "time": 5.0,
        "name": "web",
        "incarnation": 1,
        "pid": 42,
    }
    assert record_json(KILLED, 5.5) == {
        "event": "exit",
        "time": 5.5,
        "name": "web",
        "incarnation": 1,
        "pid": 42,
        "code": 137,
        "signal": "SIGKILL",
        "core": False,
        "seconds": 3.0,
        "cause": "first",
    }
    assert record_json(Ended(137, KILLED, 6.0, 2), 6.0) == {
        "event": "finish",
        "time": 6.0,
        "code": 137,
        "seconds": 6.0,
        "cause": "exit",
        "name": "web",
    }


def test_status_records_name_each_cause() -> None:
    """supervision 6.8 and supervision 6.9."""
    assert [record_json(told, 0.0)["cause"] for told in (EXITED, TOLERATED, ASKED, FAILED, FAILED_TOO)] == [
        "first",
        "success",
        "requested",
        "not-started",
        "not-started",
    ]
    ends = (Ended(127, FAILED, 0, 1), Ended(124, LOST, 0, 1), Ended(0, None, 0, 1), Ended(127, None, 0, 0))
    assert [record_json(told, 0.0)["cause"] for told in ends] == [
        "not-started",
        "spawner-lost",
        "completed",
        "nothing-selected",
    ]
    stopped = record_json(Ended(130, INTERRUPTED, 1.0, 1), 0.0)
    assert (stopped["cause"], stopped["signal"]) == ("signal", "SIGINT")


CAUSES: list[tuple[Ended, dict[str, object]]] = [
    (Ended(125, ChildUnmet("web", "tcp db:5432", "refused"), 1.0, 1), {"cause": "unmet", "name": "web"}),
    (Ended(125, CheckFailed("web", "disk", 3, "shutdown"), 1.0, 1), {"cause": "check-failed", "name": "web"}),
    (Ended(125, NeverStarted((("web", "x"),)), 1.0, 1), {"cause": "never-started"}),
]


@pytest.mark.parametrize(("told", "fields"), CAUSES, ids=lambda value: getattr(value, "code", ""))
def test_the_end_of_a_run_with_rules_names_its_cause(told: Ended, fields: dict[str, object]) -> None:
    assert record_json(told, 0.0).items() >= fields.items()


def test_the_chain_of_causes_is_in_the_last_record() -> None:
    told = Ended(1, EXITED, 12.4, 2, (Link("web", 12.31, EXITED), Link("db", 12.24, HealthChanged("db", False, 1))))

    assert record_json(told, 0.0)["chain"] == [
        {
            "event": "exit",
            "at": 12.31,
            "name": "web",
            "incarnation": 1,
            "pid": 42,
            "code": 1,
            "signal": None,
            "core": False,
            "seconds": 12.3149,
        },
        {"event": "health", "at": 12.24, "name": "db", "healthy": False, "failures": 1, "detail": ""},
    ]
