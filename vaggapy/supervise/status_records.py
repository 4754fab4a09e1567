"""Turn what the policy reports into records for programs, the objects that `--status-fd` writes, one a line. Pure.

Section 6 of `docs/supervision.md` describes them.
"""

from __future__ import annotations

from vaggapy.supervise.events import (
    CheckFailed,
    CheckRecovered,
    ChildEnded,
    ChildNotStarted,
    ChildSkipped,
    ChildStarted,
    ChildUnmet,
    Ended,
    HealthChanged,
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
    TookTooLong,
    Waiting,
    WatchChanged,
)
from vaggapy.supervise.messages import signal_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.supervise.events import Link, Told

    Ruled = (
        ChildUnmet
        | ChildSkipped
        | Restarting
        | Waiting
        | Met
        | HealthChanged
        | CheckFailed
        | CheckRecovered
        | TookTooLong
        | NotSpawned
        | WatchChanged
        | NeverStarted
        | StopPaused
        | StopResumed
        | NotPaused
    )

KINDS: dict[type[Ruled], str] = {
    ChildUnmet: "unmet",
    ChildSkipped: "skip",
    Restarting: "restart",
    Waiting: "wait",
    Met: "met",
    HealthChanged: "health",
    CheckFailed: "check-failed",
    CheckRecovered: "check-recovered",
    TookTooLong: "took-too-long",
    NotSpawned: "not-spawned",
    WatchChanged: "watch",
    NeverStarted: "never-started",
    StopPaused: "pause",
    StopResumed: "resume",
    NotPaused: "no-pause",
}
"""`event` of the reports that are written field by field."""


def record_json(told: Told, now: float) -> dict[str, object]:
    """Return the status record of one report: only strings, numbers, booleans, None, lists and objects of them.

    `now`, in seconds of whatever clock the caller chose, becomes `time`.
    """
    kind, fields = _record(told)
    return {"event": kind, "time": now, **fields}


def _record(told: Told) -> tuple[str, dict[str, object]]:
    match told:
        case ChildStarted(name, incarnation, pid):
            return "start", _fields(name=name, incarnation=incarnation, pid=pid)
        case ChildEnded(signal=signal):
            fields = {**_all(told), "signal": signal_name(signal) if signal else None}
            del fields["alone"]  # for the words of people; programs see the others themselves
            return "exit", fields
        case ChildNotStarted(name, incarnation, code, why):
            child = _fields(name=name, incarnation=incarnation)
            return "exit", {**child, **_fields(code=code, signal=None, cause="not-started", why=why)}
        case SignalReceived(signal, stopping, killing):
            return "signal", _fields(signal=signal_name(signal), stopping=stopping, killing=killing)
        case SpawnerEnded():
            return "spawner-lost", {}
        case StillAlive(names, seconds):
            return "still-alive", _fields(names=list(names), seconds=seconds)
        case Ended(code, _, seconds, chain=chain):
            links = _fields(chain=[_link(link) for link in chain]) if chain else {}
            return "finish", {**_fields(code=code, seconds=seconds), **_first_cause(told), **links}
        case _:
            return KINDS[type(told)], _of_rules(told)


def _of_rules(told: Ruled) -> dict[str, object]:
    match told:
        case NeverStarted(waiting):
            return _fields(waiting=[_fields(name=name, what=what) for name, what in waiting])
        case StopPaused(chain, running):
            children = [_fields(name=name, pid=pid) for name, pid in running]
            return _fields(chain=[_link(link) for link in chain], running=children)
        case Restarting(name, wait, left):
            return _fields(name=name, wait=wait, left=left if left >= 0 else None)
        case TookTooLong(name, seconds, hook_of):
            return _fields(name=name, seconds=seconds, hook_of=hook_of or None)
        case _:
            return _all(told)


def _first_cause(told: Ended) -> dict[str, object]:
    match told.cause:
        case ChildEnded(name):
            return _fields(cause="exit", name=name)
        case ChildNotStarted(name):
            return _fields(cause="not-started", name=name)
        case ChildUnmet(name):
            return _fields(cause="unmet", name=name)
        case CheckFailed(name, check):
            return _fields(cause="check-failed", name=name, check=check)
        case NeverStarted():
            return _fields(cause="never-started")
        case SignalReceived(signal):
            return _fields(cause="signal", signal=signal_name(signal))
        case SpawnerEnded():
            return _fields(cause="spawner-lost")
        case None:
            return _fields(cause="completed" if told.children else "nothing-selected")


def _link(link: Link) -> dict[str, object]:
    """Return a link of the chain: the record of what happened, `at` instead of its time; its end decided nothing."""
    kind, fields = _record(link.told)
    if isinstance(link.told, ChildEnded | ChildUnmet):
        del fields["cause"]
    return {"event": kind, "at": link.at, **fields}


def _all(told: ChildEnded | Ruled) -> dict[str, object]:
    return {field: getattr(told, field) for field in told._fields}


def _fields(**fields: object) -> dict[str, object]:
    return fields
