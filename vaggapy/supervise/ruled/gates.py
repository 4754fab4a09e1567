"""What a child waits for before it runs: its `when`, its `depends`, its `condition`, the ticks of its interval. Pure.

`when` comes first; then the entries of `depends`, one after the other; then the condition. A child that has passed
them once is admitted: its later runs begin without. Hooks that run while the run is being stopped do not wait.
"""

from __future__ import annotations

from vaggapy.config.rules import (
    ABOUT_CHILDREN,
    HEALTHY,
    IS_HEALTHY,
    IS_STARTED,
    OUTPUT_MATCHES,
    STOPPED,
    STOPPING,
    TIMER_EXPIRED,
    UNLIMITED,
)
from vaggapy.errors import ExitCode
from vaggapy.record import replace
from vaggapy.supervise.events import ASIDE, ChildEnded, ChildSkipped, ChildUnmet, Met, NotSpawned, Waiting
from vaggapy.supervise.ruled import leaving, runs
from vaggapy.supervise.ruled.life import FAILED, SKIPPED, describe, describe_when, members
from vaggapy.supervise.state import BACKOFF, DONE, DORMANT, IDLE, STAYS, WAITING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.rules import Check, Depend
    from vaggapy.supervise.events import ChildNotStarted, Probed
    from vaggapy.supervise.ruled.turn import RuledTurn

LONGEST_LOOK = 5.0
"""Seconds that one look at a dependency may take."""

MET, NOT_YET = "met", "not yet"


def begin(turn: RuledTurn, name: str) -> None:
    """The run begins: start a child, or begin to wait."""
    rule = turn.rule(name)
    when = rule.when
    if rule.dormant:
        turn.put(name, phase=DORMANT)
    elif when is None:
        turn.note(name, released=True)
        enter(turn, name)
    elif when.interval:
        turn.note(name, released=True, tick=turn.now)
        tick(turn, name, first=True)
    elif when.timeout:
        turn.set_timer(f"when {name}", turn.now + when.timeout)


def trigger(turn: RuledTurn, name: str) -> None:
    """The event that a child waits for has come."""
    rule, child, life = turn.rule(name), turn.children[name], turn.life(name)
    when = rule.when
    if when is None or child.phase in (DONE, DORMANT) or (life.released and not when.each):
        return
    if turn.stop is not None and (turn.stop.barren or not turn.is_hook(name)):
        return
    turn.cancel(f"when {name}")
    if child.alive or child.phase == BACKOFF:
        if not life.queued:
            turn.note(name, queued=True)
    elif not life.released or child.phase == IDLE:
        turn.note(name, released=True)
        enter(turn, name)


def enter(turn: RuledTurn, name: str) -> None:
    """Go through `depends`, then run; a child that has been admitted runs at once."""
    if turn.stop is not None and not turn.is_hook(name):
        return
    if turn.life(name).admitted:
        turn.run(name)
    elif turn.stop is not None or turn.life(name).gate >= len(turn.rule(name).depends):
        _admit(turn, name)
    else:
        _wait(turn, name)


def _admit(turn: RuledTurn, name: str) -> None:
    """All dependencies are met: look at the condition, or run."""
    if turn.rule(name).condition is None:
        turn.note(name, admitted=True)
        turn.run(name)
    else:
        turn.note(name, conditional=True)
        turn.spawn(name, condition=True)
    if turn.stop is not None:
        leaving.give_window(turn, name)


def condition_over(turn: RuledTurn, name: str, told: ChildEnded | ChildNotStarted) -> None:
    """The condition of a child has ended: run the child, or skip it."""
    turn.put(name, phase=WAITING, leaving=STAYS)
    turn.note(name, conditional=False)
    if not isinstance(told, ChildEnded):
        runs.conclude(turn, name, replace(told, why=f"its condition: {told.why}"))
    elif turn.stop is not None and (turn.stop.barren or not turn.is_hook(name)):
        pass  # The stop has overtaken it.
    elif told.code:
        turn.tell(ChildSkipped(name, told.code))
        skip(turn, name)
    else:
        turn.note(name, admitted=True)
        if not turn.is_held():
            turn.run(name)
        if turn.stop is not None and not turn.is_held():
            leaving.give_window(turn, name)


def skip(turn: RuledTurn, name: str) -> None:
    """A child is not to run; it counts as one that succeeded."""
    turn.put(name, phase=DORMANT if turn.rule(name).dormant else DONE)
    turn.note(name, outcome=SKIPPED)
    turn.publish(name, STOPPING)
    turn.publish(name, STOPPED)


# --- dependencies -----------------------------------------------------------------------------------------------


def _wait(turn: RuledTurn, name: str) -> None:
    """Begin to wait for the next dependency; its clock starts now."""
    depends, gate = turn.rule(name).depends, turn.life(name).gate
    check = depends[gate].check
    turn.put(name, phase=WAITING)
    if check.kind in ABOUT_CHILDREN and of_children(turn, check) == MET:
        turn.note(name, gate=gate + 1)
        enter(turn, name)
        return
    turn.tell(Waiting(name, describe(check), len(depends) - gate - 1))
    if depends[gate].timeout:
        turn.set_timer(f"gate {name}", turn.now + depends[gate].timeout)
    _look(turn, name)


def _look(turn: RuledTurn, name: str) -> None:
    """Look whether the dependency is met."""
    depend = turn.rule(name).depends[turn.life(name).gate]
    check = depend.check
    if check.kind not in ABOUT_CHILDREN:
        left = turn.timers.get(f"gate {name}", turn.now + LONGEST_LOOK) - turn.now
        turn.probe(f"gate {name}", check, min(LONGEST_LOOK, max(left, 0.001)))
        return
    verdict = of_children(turn, check)
    if verdict == MET:
        _met(turn, name)
    elif verdict != NOT_YET:
        unmet(turn, name, describe(check), verdict, skips=depend.skips)
    elif not depend.retry:
        unmet(turn, name, describe(check), "it is not so (retry disabled)", skips=depend.skips)


def look_again(turn: RuledTurn, name: str) -> None:
    """Something has happened to a child: look whether it is what this one waits for."""
    life = turn.life(name)
    depends = turn.rule(name).depends
    waits = turn.stop is None and life.released and not life.admitted and life.gate < len(depends)
    if waits and depends[life.gate].check.kind in ABOUT_CHILDREN:
        _look(turn, name)


def _met(turn: RuledTurn, name: str) -> None:
    """Go on with the next dependency."""
    gate = turn.life(name).gate
    turn.cancel(f"gate {name}")
    turn.cancel(f"poll {name}")
    turn.tell(Met(name, describe(turn.rule(name).depends[gate].check)))
    turn.note(name, gate=gate + 1, detail="")
    enter(turn, name)


def unmet(turn: RuledTurn, name: str, what: str, why: str, *, skips: bool) -> None:
    """What a child waits for will not come."""
    turn.cancel(f"gate {name}")
    turn.cancel(f"poll {name}")
    turn.abandon(f"gate {name}")
    if skips:
        turn.tell(ChildUnmet(name, what, why, skipped=True, code=ExitCode.OK, cause=ASIDE))
        turn.publish(name, TIMER_EXPIRED)
        skip(turn, name)
    else:
        runs.conclude(turn, name, ChildUnmet(name, what, why))


def of_children(turn: RuledTurn, check: Check) -> str:
    """Return MET, NOT_YET, or why it will never be so."""
    names = members(turn.rules, check.target)
    each = [_of_child(turn, check, name) for name in names]
    if check.kind == OUTPUT_MATCHES:
        if MET in each:
            return MET
        return NOT_YET if NOT_YET in each else next(iter(each), f"{check.target} has no members")
    never = [verdict for verdict in each if verdict not in (MET, NOT_YET)]
    return never[0] if never else NOT_YET if NOT_YET in each else MET


def _of_child(turn: RuledTurn, check: Check, name: str) -> str:
    child, life = turn.children[name], turn.life(name)
    if check.kind == OUTPUT_MATCHES:
        if check.key in life.printed:
            return MET
    elif check.kind == IS_HEALTHY:
        if life.health == HEALTHY:
            return MET
    elif check.kind == IS_STARTED:
        if "started" in life.fired:
            return MET
    elif life.outcome and life.outcome != FAILED:
        return MET
    if child.phase != DONE:
        return NOT_YET
    if life.outcome == SKIPPED and check.kind != OUTPUT_MATCHES:
        return MET
    return f"{name} has ended" if life.last is None else f"{name} ended with {life.last.code}"


def probed(turn: RuledTurn, _: str, name: str, result: Probed) -> None:
    """A look at a dependency has a result."""
    depend = turn.rule(name).depends[turn.life(name).gate]
    if result.passed:
        if depend.check.variable:
            turn.note(name, environ=(*turn.life(name).environ, (depend.check.variable, result.value)))
        _met(turn, name)
    elif not depend.retry:
        why = f"{result.detail or 'not so'} (retry disabled)"
        unmet(turn, name, describe(depend.check), why, skips=depend.skips)
    else:
        turn.note(name, detail=result.detail)
        turn.set_timer(f"poll {name}", turn.now + depend.poll)


# --- time -------------------------------------------------------------------------------------------------------


def due(turn: RuledTurn, kind: str, name: str) -> None:
    """React to a deadline of a child that waits."""
    if kind == "interval":
        tick(turn, name)
    elif kind == "poll":
        _look(turn, name)
    elif kind == "gate":
        depend = turn.rule(name).depends[turn.life(name).gate]
        unmet(turn, name, describe(depend.check), _too_late(turn, name, depend), skips=depend.skips)
    else:
        when = turn.rule(name).when
        if when is not None and not turn.life(name).released:
            what, why = describe_when(when), f"it did not come within {when.timeout:g} s"
            turn.note(name, released=True)
            unmet(turn, name, what, why, skips=not when.fails)


def _too_late(turn: RuledTurn, name: str, depend: Depend) -> str:
    """Return why a child stops waiting, with what the last look saw."""
    detail = turn.life(name).detail
    return f"not so after {depend.timeout:g} s" + (f" ({detail})" if detail else "")


def tick(turn: RuledTurn, name: str, *, first: bool = False) -> None:
    """The interval of a child is over: run it again, unless its last run is under way."""
    rule, life, child = turn.rule(name), turn.life(name), turn.children[name]
    when = rule.when
    if when is None or child.phase == DONE:
        return
    following = life.tick + when.interval
    while following <= turn.now:  # after a long pause, one run and not many
        following += when.interval
    turn.note(name, tick=following)
    limit = runs.ticks(rule)
    if limit != UNLIMITED and life.runs + life.queued > limit:
        return
    turn.set_timer(f"interval {name}", following)
    if not child.alive:
        if first or life.admitted:  # else it waits for its dependencies still
            enter(turn, name)
    elif (rule.timeout or when.interval) <= when.interval:
        turn.note(name, queued=True)  # It is being killed at this moment.
    else:
        turn.tell(NotSpawned(name))


def wake_dormant(turn: RuledTurn, name: str, environ: tuple[tuple[str, str], ...]) -> None:
    """Start a dormant child because a check has failed; one that runs already is left alone."""
    if turn.children[name].alive or turn.children[name].phase in (BACKOFF, WAITING):
        turn.tell(NotSpawned(name))
        return
    life = turn.note(name, released=True)
    kept = tuple(pair for pair in life.environ if pair[0] not in dict(environ))
    turn.note(name, environ=kept + environ)
    enter(turn, name)
