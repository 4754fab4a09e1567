"""Word what only happens with rules, and tell why a run failed. Pure.

`messages.text` is the way in; it imports this only when there is something to say.
"""

from __future__ import annotations

from vaggapy.config.rules import ON_FAIL_DEBUG, ON_FAIL_EVENT, ON_FAIL_LOG, ON_FAIL_RESTART, ON_FAIL_SHUTDOWN
from vaggapy.errors import visible
from vaggapy.supervise.events import (
    ASIDE,
    FIRST,
    PAUSED,
    RESTARTS,
    CheckFailed,
    CheckRecovered,
    ChildEnded,
    ChildNotStarted,
    ChildSkipped,
    ChildUnmet,
    HealthChanged,
    Met,
    NeverStarted,
    NotPaused,
    NotSpawned,
    Restarting,
    StopPaused,
    StopResumed,
    TookTooLong,
    Waiting,
    WatchChanged,
)
from vaggapy.supervise.messages import dashed, duration, signal_name, status
from vaggapy.supervise.state import INTERRUPTED, NOBODY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from vaggapy.supervise.events import Link

    Ruled = (
        ChildEnded
        | ChildUnmet
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

OWN_CHECKS = ("health", "ready")
"""Checks of which `HealthChanged` tells whatever there is to tell."""
LONGEST = 400
"""Characters of a line of output that are repeated."""


def text(told: Ruled) -> str:
    """Return the lines for people, each with its line end; empty where there is nothing to say.

    What goes as it was written (a dependency that is met, a periodic child that ends well) is not told.
    """
    match told:
        case ChildEnded(cause=cause, code=code) if cause == ASIDE and not code:
            return ""
        case ChildUnmet(cause=cause, skipped=False) if cause == FIRST:
            return dashed(f"{sentence(told)}. Shutting down")
        case CheckFailed(action=action) if action in (ON_FAIL_SHUTDOWN, ON_FAIL_DEBUG):
            return dashed(f"{sentence(told)}. Shutting down")
        case CheckFailed(check=check, action=action) if check in OWN_CHECKS and action in (ON_FAIL_EVENT, ON_FAIL_LOG):
            return ""
        case CheckRecovered(check=check) if check in OWN_CHECKS:
            return ""
        case NeverStarted():
            return dashed(f"{sentence(told)}. Shutting down")
        case StopResumed(why) if why == INTERRUPTED:
            return ""
        case Met():
            return ""
        case _:
            return f"vagga: {sentence(told)}\n"


def sentence(told: Ruled) -> str:
    """Return what happened, without a mark around it."""
    match told:
        case ChildEnded() | ChildUnmet() | ChildSkipped() | Restarting() | TookTooLong() | NotSpawned():
            return _of_a_run(told)
        case Waiting(name, what, more):
            return f"{visible(name)} waits: {visible(what)}{f', and {more} more after it' if more else ''}"
        case Met(name, what):
            return f"{visible(name)} has what it waits for: {visible(what)}"
        case HealthChanged(name, healthy, failures, detail):
            if healthy:
                return f"{visible(name)} is healthy"
            return f"{visible(name)} is unhealthy{_because(detail)}{_in_a_row(failures)}"
        case CheckFailed(action=action):
            return f"{how(told)}{_because(told.detail)}{_in_a_row(told.failures)}{_follows(told.name, action)}"
        case CheckRecovered(name, check, failures):
            return f"{visible(name)}: {visible(check)} passes again{f', after {failures} failures' if failures else ''}"
        case WatchChanged(watch, instances):
            return f"watch {visible(watch)} finds {instances or 'none'}"
        case StopPaused() | StopResumed() | NotPaused():
            return _of_a_pause(told)
        case NeverStarted(waiting):
            listed = "; ".join(f"{visible(name)} waits: {visible(what)}" for name, what in waiting)
            return f"Nothing can go on: {listed}"


def _of_a_run(told: ChildEnded | ChildUnmet | ChildSkipped | Restarting | TookTooLong | NotSpawned) -> str:
    match told:
        case ChildEnded(name, _, pid, seconds=seconds, cause=cause, alone=alone):
            ending = "" if cause == RESTARTS or alone else ", in the pause" if cause == PAUSED else "; the others go on"
            return f"{visible(name)}:{pid} {status(told)} after {duration(seconds)}{ending}"
        case ChildUnmet(name, skipped=True):
            return f"{visible(name)} is skipped: {_unmet(told)}"
        case ChildUnmet():
            return f"{how(told)}: {_unmet(told)}"
        case ChildSkipped(name, code):
            return f"{visible(name)} is skipped: its condition ended with {code}"
        case Restarting(name, wait, left):
            when = f"in {duration(wait)}" if wait > 0 else "at once"
            rest = f" ({left or 'none'} left)" if left >= 0 else ""
            return f"{visible(name)} restarts {when}{rest}"
        case TookTooLong(name, seconds, ""):
            return f"{visible(name)} is killed: it ran for its whole timeout, {duration(seconds)}"
        case TookTooLong(name, seconds, hook_of):
            return f"{visible(name)} is killed: the stop of {visible(hook_of)} has waited {duration(seconds)} for it"
        case NotSpawned(name):
            return f"{visible(name)} is not started now: it still runs"


def how(told: ChildUnmet | NeverStarted | CheckFailed) -> str:
    """Return, in a few words, why a run failed."""
    match told:
        case ChildUnmet(name):
            return f"{visible(name)} was not started"
        case NeverStarted(waiting):
            return f"nothing could go on, {len(waiting)} {'waits' if len(waiting) == 1 else 'wait'} in vain"
        case CheckFailed(name, "ready"):
            return f"{visible(name)} did not become ready"
        case CheckFailed(name, check):
            return f"{visible(name)} failed its check {visible(check)}"


def _of_a_pause(told: StopPaused | StopResumed | NotPaused) -> str:
    match told:
        case StopPaused(chain, running):
            names = ", ".join(f"{visible(name)}:{pid}" for name, pid in running)
            why = f": {_links(chain)}" if chain else ""
            return f"paused before the stop{why}; still there: {names or 'what is just being started'}"
        case StopResumed(why):
            return "the stop goes on" if why != NOBODY else "nothing is left to look at, the stop goes on"
        case NotPaused(name, why):
            return f"no pause for {visible(name)}, although it has `on-fail: debug`: {visible(why)}"


def _unmet(told: ChildUnmet) -> str:
    return f"{visible(told.what)}{_because(told.why)}"


def _because(detail: str) -> str:
    return f": {visible(detail)}" if detail else ""


def _in_a_row(failures: int) -> str:
    return f" ({failures} times in a row)" if failures > 1 else ""


def _follows(name: str, action: str) -> str:
    if action == ON_FAIL_RESTART:
        return f"; {visible(name)} is stopped, to be restarted"
    if action in (ON_FAIL_EVENT, ON_FAIL_LOG, ON_FAIL_SHUTDOWN, ON_FAIL_DEBUG):
        return ""
    return f"; {visible(action.removeprefix('spawn '))} is started"


# --- why a run failed ---------------------------------------------------------------------------------------


def chain_text(chain: tuple[Link, ...]) -> str:
    """Return the line of causes, `vagga: api exited 1 (12.31 s) <- db killed by SIGKILL (12.24 s)`."""
    return f"vagga: {_links(chain)}\n"


def _links(chain: tuple[Link, ...]) -> str:
    return " <- ".join(f"{_link(link)} ({duration(link.at)})" for link in chain)


def _link(link: Link) -> str:
    name = visible(link.name)
    match link.told:
        case ChildEnded(signal=0, code=code):
            return f"{name} exited {code}"
        case ChildEnded(signal=signal):
            return f"{name} killed by {signal_name(signal)}"
        case ChildNotStarted():
            return f"{name} could not be run"
        case ChildUnmet(skipped=skipped):
            return f"{name} was skipped" if skipped else f"{name} was not started"
        case CheckFailed(check=check):
            return f"{name} failed its check {visible(check)}"
        case HealthChanged(healthy=healthy):
            return f"{name} was {'' if healthy else 'un'}healthy"


def last_lines(name: str, lines: Iterable[bytes]) -> str:
    """Return the last lines of output of a child, under a title; empty if it had none.

    Colours are left out, other control characters spelled out, and long lines cut.
    """
    shown = "".join(f"  | {_shown(line)}\n" for line in lines)
    return f"vagga: the last lines of {visible(name)}:\n{shown}" if shown else ""


def _shown(line: bytes) -> str:
    plain = visible(_uncoloured(line.decode("utf-8", "replace").rstrip("\r\n")).expandtabs())
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 1]}…"


def _uncoloured(line: str) -> str:
    """Return a line without the sequences that colour it, `ESC [ NUMBERS m`."""
    first, *rest = line.split("\x1b[")
    parts = [first]
    for part in rest:
        numbers, end, after = part.partition("m")
        coloured = end and all(c in "0123456789;" for c in numbers)
        parts.append(after if coloured else f"\x1b[{part}")
    return "".join(parts)
