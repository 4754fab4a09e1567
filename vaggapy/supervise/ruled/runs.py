"""What follows the end of a run: the rule of the child first, then its role, then the mode. Pure."""

from __future__ import annotations

from vaggapy.config.model import KEEP_GOING, STOP_ON_FAILURE
from vaggapy.config.rules import EXIT_FAILED, EXIT_SUCCESS, STOPPED, STOPPING, UNLIMITED
from vaggapy.errors import ExitCode
from vaggapy.record import replace
from vaggapy.supervise.events import (
    ASIDE,
    FIRST,
    NOTED,
    PAUSED,
    REQUESTED,
    RESTARTS,
    SUCCESS,
    TERM,
    Advertise,
    ChildEnded,
    ChildUnmet,
    Link,
    Restarting,
    TookTooLong,
)
from vaggapy.supervise.ruled import leaving
from vaggapy.supervise.ruled.life import COMPLETED, FAILED, NO_RESTART, checks, is_reactive
from vaggapy.supervise.state import BACKOFF, DONE, DORMANT, IDLE, KILLED, STAYS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.rules import Restart, Rule
    from vaggapy.supervise.events import CheckFailed, ChildNotStarted
    from vaggapy.supervise.ruled.turn import RuledTurn

    Told = ChildEnded | ChildNotStarted


def ended(turn: RuledTurn, name: str, told: Told) -> None:
    """A run of the program of a child is over, with its whole namespace, or did not come to be."""
    life = turn.note(name, last=told, ready=False, health="")
    failed = bool(told.code) or life.doomed is not None
    turn.publish(name, EXIT_FAILED if failed else EXIT_SUCCESS)
    if turn.stop is not None:
        _over_in_stop(turn, name, told)
        return
    if failed and not life.doomed:  # then its health is what went wrong
        incident(turn, name, told)
    when = turn.rule(name).when
    if when is not None and when.interval:
        _after_tick(turn, name, told)
    elif _may_restart(turn, name, told):
        _restart(turn, name, told)
    elif when is not None and when.each and not life.doomed:
        _await_next(turn, name, told)
    elif life.doomed is None:
        conclude(turn, name, told)
    else:
        conclude(turn, name, replace(told, code=ExitCode.UNMET))
        _blame(turn, life.doomed)


def _blame(turn: RuledTurn, failed: CheckFailed) -> None:
    """Name the check as the cause of the stop, if that has begun: the signal that ended the child was ours."""
    if turn.stop is not None:
        turn.stop = replace(turn.stop, cause=failed)


def close(turn: RuledTurn, name: str) -> None:
    """Forget what was going on around the process that has ended."""
    for timer in (f"limit {name}", f"ready {name}", f"stop {name}", f"hook {name}"):
        turn.cancel(timer)
    for number in range(len(checks(turn.rule(name)))):
        turn.cancel(f"check {number} {name}")
        turn.cancel(f"ttl {number} {name}")
        turn.abandon(f"check {number} {name}")
    if turn.rule(name).service is not None and turn.children[name].pid:
        turn.actions.append(Advertise(name, "gone"))


def _over_in_stop(turn: RuledTurn, name: str, told: Told) -> None:
    """An end that was asked for, or that nobody cares for any more; but a hook is expected to succeed."""
    if told.code and turn.is_hook(name) and turn.children[name].leaving == STAYS:
        told = replace(told, cause=ASIDE)
    elif turn.is_held():
        told = replace(told, cause=PAUSED)
    turn.put(name, phase=DONE, leaving=STAYS)
    turn.note(name, outcome=FAILED if told.code else COMPLETED)
    turn.tell(told)
    turn.publish(name, STOPPED)


def incident(turn: RuledTurn, name: str, told: Told | ChildUnmet) -> None:
    """Remember the last trouble of a child, for the chain of causes."""
    at = turn.now - (turn.begun or 0.0)
    turn.incidents = {**turn.incidents, name: Link(name, at, told)}


# --- restart ----------------------------------------------------------------------------------------------------


def _may_restart(turn: RuledTurn, name: str, told: Told) -> bool:
    """Tell whether the rule lets the child run again."""
    restart, life = turn.rule(name).restart, turn.life(name)
    if restart.limit != UNLIMITED and life.spent >= restart.limit:
        return False
    if life.doomed:
        return True
    if not told.code and not restart.on_success:
        return False
    signal = told.signal if isinstance(told, ChildEnded) else 0
    return told.code not in restart.codes and not (signal and signal in restart.signals)


def backoff(restart: Restart, spent: int, last: float, took: float) -> float:
    """Return the seconds until the next run: twice the last wait less the time of the run, within the limits."""
    if restart.at_once and (not spent or took >= restart.min_wait):
        return 0.0
    wanted = int((2 * last - took) * 1000 + 1e-6) / 1000
    return max(restart.min_wait, min(wanted, restart.max_wait))


def _restart(turn: RuledTurn, name: str, told: Told) -> None:
    """Run the child again, after a wait."""
    restart, life = turn.rule(name).restart, turn.life(name)
    took = told.seconds if isinstance(told, ChildEnded) else 0.0
    wait = backoff(restart, life.spent, life.wait, took)
    left = UNLIMITED if restart.limit == UNLIMITED else restart.limit - life.spent - 1
    turn.tell(replace(told, cause=RESTARTS))
    turn.tell(Restarting(name, wait, left))
    turn.note(name, spent=life.spent + 1, wait=wait)
    turn.put(name, phase=BACKOFF, leaving=STAYS)
    if wait:
        turn.set_timer(f"backoff {name}", turn.now + wait)
    else:
        turn.run(name)


def due(turn: RuledTurn, kind: str, name: str) -> None:
    """React to the end of a backoff, or to that of the time that a run may take."""
    child = turn.children[name]
    if kind == "backoff":
        if child.phase == BACKOFF and turn.stop is None:
            turn.run(name)
    elif child.alive and child.leaving != KILLED:
        rule = turn.rule(name)
        limit = rule.timeout or (rule.when.interval if rule.when is not None else 0.0)
        turn.tell(TookTooLong(name, limit))
        turn.kill((name,))


# --- children that run again and again --------------------------------------------------------------------------


def _after_tick(turn: RuledTurn, name: str, told: Told) -> None:
    """A run of an interval is over; the next tick starts another one, unless that was the last."""
    life = turn.life(name)
    limit = ticks(turn.rule(name))
    if not life.queued and limit != UNLIMITED and life.runs > limit:
        turn.cancel(f"interval {name}")
        conclude(turn, name, told)
        return
    turn.tell(replace(told, cause=ASIDE))
    turn.put(name, phase=IDLE, leaving=STAYS)
    if life.queued:
        turn.run(name)


def ticks(rule: Rule) -> int:
    """Return after how many more runs than one an interval is complete; without a `restart` it never is."""
    return UNLIMITED if rule.restart == NO_RESTART else rule.restart.limit


def _await_next(turn: RuledTurn, name: str, told: Told) -> None:
    """A run of a child with `each` is over; the next event starts another one."""
    turn.tell(replace(told, cause=ASIDE))
    turn.put(name, phase=IDLE, leaving=STAYS)
    if turn.life(name).queued:
        turn.run(name)


# --- the end of a child -----------------------------------------------------------------------------------------


def conclude(turn: RuledTurn, name: str, told: Told | ChildUnmet) -> None:
    """A child will not run again: role and mode say what that means for the others."""
    rule, mode = turn.rule(name), turn.state.mode
    failed = bool(told.code)
    turn.put(name, phase=DORMANT if rule.dormant else DONE, leaving=STAYS)
    turn.note(name, outcome=FAILED if failed else COMPLETED)
    if failed and turn.stop is None and not turn.life(name).doomed:
        incident(turn, name, told)
    if turn.stop is not None:
        turn.tell(replace(told, cause=REQUESTED))
    elif name not in turn.state.essential:
        turn.tell(replace(told, cause=ASIDE))
    elif not failed and (rule.once or is_reactive(rule) or mode != STOP_ON_FAILURE):
        turn.tell(replace(told, cause=SUCCESS))
    elif mode == KEEP_GOING:
        told = replace(told, cause=NOTED)
        turn.tell(told)
        turn.noted = turn.noted or told
    else:
        turn.begin_stop(told.code, replace(told, cause=FIRST), TERM)
    if turn.life(name).runs:
        turn.publish(name, STOPPING)
    turn.publish(name, STOPPED)


def dismiss(turn: RuledTurn, failed: CheckFailed) -> None:
    """End the run of a child because of a check; its rule says what follows."""
    turn.note(failed.name, doomed=failed)
    leaving.ask(turn, failed.name, TERM)
