"""Whether a run can still go on, and what led to its end. Pure.

A run with rules is complete when nothing that it is about is alive or can still come. What waits for something that
cannot come would wait for ever: that is found here, and ends the run.
"""

from __future__ import annotations

from vaggapy.config.rules import ABOUT_CHILDREN, GLOBAL, SIGNALS, WATCH
from vaggapy.errors import ExitCode
from vaggapy.record import replace
from vaggapy.supervise.events import (
    ASIDE,
    NOTED,
    TERM,
    CheckFailed,
    ChildEnded,
    ChildNotStarted,
    ChildUnmet,
    Link,
    NeverStarted,
    Report,
)
from vaggapy.supervise.ruled.life import checks, describe, describe_when, members, sources
from vaggapy.supervise.state import BACKOFF, DORMANT, IDLE, WAITING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.supervise.ruled.turn import RuledTurn


def look(turn: RuledTurn) -> None:
    """End the run if nothing that it is about is alive or can still come."""
    children = turn.children
    if any(children[name].alive or children[name].phase == BACKOFF for name in turn.state.essential):
        return
    alive = living_on(turn)
    if turn.state.essential & alive:
        return
    stuck = [name for name in turn.state.order if name in turn.state.essential and children[name].phase == WAITING]
    if not stuck or turn.noted is not None:
        turn.complete(turn.code_if_complete(), turn.noted)
        return
    told = NeverStarted(tuple((name, waits_for(turn, name)) for name in stuck))
    turn.begin_stop(ExitCode.UNMET, told, TERM)


def living_on(turn: RuledTurn) -> set[str]:
    """Return the children that are alive, or may be again."""
    alive = {name for name, child in turn.children.items() if child.alive or child.phase == BACKOFF}
    while True:
        more = {name for name in turn.children if name not in alive and _may_live(turn, name, alive)}
        if not more:
            return alive
        alive |= more


def _may_live(turn: RuledTurn, name: str, alive: set[str]) -> bool:
    """Tell whether a child that has no process may get one, if those in `alive` live on."""
    child, life, rule = turn.children[name], turn.life(name), turn.rule(name)
    when = rule.when
    if child.phase == DORMANT:
        return any(check.spawn == name for other in alive for check in checks(turn.rule(other)))
    if child.phase not in (WAITING, IDLE):
        return False
    if when is not None and when.interval:
        return True
    if when is None or (child.phase == WAITING and life.released):
        return _gate_may_open(turn, name, alive)
    if when.timeout and not life.released:
        return True
    if when.source in SIGNALS or when.source.startswith(WATCH):
        return True
    if when.source == GLOBAL:
        return False  # The startup is over, and hooks on the shutdown come only with it.
    return any(source in alive for source in members(turn.rules, when.source))


def _gate_may_open(turn: RuledTurn, name: str, alive: set[str]) -> bool:
    """Tell whether what a child waits for may come, or it will stop waiting."""
    depends, gate = turn.rule(name).depends, turn.life(name).gate
    if gate >= len(depends) or depends[gate].timeout or depends[gate].check.kind not in ABOUT_CHILDREN:
        return True
    return any(source in alive for source in members(turn.rules, depends[gate].check.target))


def waits_for(turn: RuledTurn, name: str) -> str:
    """Return what a child waits for."""
    rule, life = turn.rule(name), turn.life(name)
    if rule.when is not None and not life.released:
        return describe_when(rule.when)
    if life.gate < len(rule.depends):
        return describe(rule.depends[life.gate].check)
    return "nothing"


def note_alone(turn: RuledTurn) -> None:
    """Mark the reports of failures in this step after which no other child goes on.

    Each was made before all that follows from it was known.
    """
    for number, action in enumerate(turn.actions):
        told = action.record if isinstance(action, Report) else None
        if isinstance(told, ChildEnded) and told.code and told.cause in (ASIDE, NOTED):
            others = set() if turn.stop is not None else living_on(turn) - {told.name}
            turn.actions[number] = Report(replace(told, alone=not others))


# --- why --------------------------------------------------------------------------------------------------------


def chain(turn: RuledTurn) -> tuple[Link, ...]:
    """Return what led to the cause of the stop, from the cause back to what happened first.

    A link leads to the last trouble of a child that it waits for, if that came before; so each link is something that
    the file says, and not a guess.
    """
    cause = turn.stop.cause if turn.stop is not None else None
    if isinstance(cause, NeverStarted):
        name, upper = cause.waiting[0][0], float("inf")
        return _before(turn, name, upper, {name})
    if not isinstance(cause, ChildEnded | ChildNotStarted | ChildUnmet | CheckFailed):
        return ()
    found = turn.incidents.get(cause.name)
    if found is None:
        return ()
    before = _before(turn, cause.name, found.at, {cause.name})
    return (Link(cause.name, found.at, cause), *before) if before else ()


def _before(turn: RuledTurn, name: str, until: float, seen: set[str]) -> tuple[Link, ...]:
    """Return the chain of the latest trouble among the children that `name` waits for."""
    found = [turn.incidents[other] for other in sources(turn.rules, name) if other in turn.incidents]
    found = [link for link in found if link.at <= until and link.name not in seen]
    if not found:
        return ()
    latest = max(found, key=lambda link: link.at)
    return (latest, *_before(turn, latest.name, latest.at, {*seen, latest.name}))
