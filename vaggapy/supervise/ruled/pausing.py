"""The pause before a stop, in which the user looks around: who asks for it, what stands still, how it ends. Pure.

While the stop is held, it has begun: its code and cause are settled, nothing is started, restarted or checked, and no
time runs out. What happens to children meanwhile is told, and delivered to the others when the stop goes on.
"""

from __future__ import annotations

from vaggapy.config.rules import ON_FAIL_DEBUG
from vaggapy.record import replace
from vaggapy.supervise.events import (
    CheckFailed,
    ChildEnded,
    ChildNotStarted,
    ChildUnmet,
    Link,
    NeverStarted,
    Pause,
    Proceed,
    StopPaused,
    StopResumed,
)
from vaggapy.supervise.ruled import gates, reach
from vaggapy.supervise.state import WAITING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.supervise.events import Cause
    from vaggapy.supervise.ruled.turn import RuledTurn

KEPT = "stop"
"""How the timers begin that go on: those of children that had been asked to end before."""

OF_CHILDREN = (ChildEnded, ChildNotStarted, ChildUnmet, CheckFailed, NeverStarted)


def wanted(turn: RuledTurn, cause: Cause | None) -> bool:
    """Tell whether the run is to pause before a stop for this cause: with `--debug`, or where a check says so."""
    if turn.rules.unattended or not isinstance(cause, OF_CHILDREN) or not turn.living():
        return False
    return turn.rules.debug or (isinstance(cause, CheckFailed) and cause.action == ON_FAIL_DEBUG)


def hold(turn: RuledTurn) -> None:
    """Let everything stand still that leads to something new."""
    for timer in tuple(turn.timers):
        if timer.partition(" ")[0] != KEPT:
            turn.cancel(timer)
    for probe in tuple(turn.probes):
        turn.abandon(probe)


def begin(turn: RuledTurn) -> None:
    """Tell what led here and who is there, and ask. Not before the step is at its end: the cause is known then."""
    running = tuple((name, turn.children[name].pid) for name in turn.running())
    turn.tell(StopPaused(_chain(turn), running))
    turn.actions.append(Pause())


def _chain(turn: RuledTurn) -> tuple[Link, ...]:
    """Return what led to the stop; at least its cause, if that happened to one child."""
    cause = turn.stop.cause if turn.stop is not None else None
    found = reach.chain(turn)
    if found or not isinstance(cause, ChildEnded | ChildNotStarted | ChildUnmet | CheckFailed):
        return found
    return (Link(cause.name, turn.now - (turn.begun or 0.0), cause),)


def go_on(turn: RuledTurn, why: str) -> None:
    """End the pause: the stop goes on as if there had been none, and what was delayed happens."""
    stop = turn.stop
    if stop is None or not stop.held:
        return
    delayed, turn.queue = turn.queue, []
    turn.stop = replace(stop, held=False)
    turn.tell(StopResumed(why))
    turn.actions.append(Proceed())
    turn.leave()
    turn.queue += delayed
    for name, child in tuple(turn.children.items()):
        if child.phase == WAITING and turn.is_hook(name) and turn.life(name).admitted:
            gates.enter(turn, name)  # its condition has ended during the pause
