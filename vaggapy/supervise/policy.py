"""Decide what happens next to the children of one run. Pure: no clock, no process, no input or output.

`step(state, event)` returns the next state and the actions to carry out, in their order. The loop turns
descriptors and deadlines into events, carries actions out, and decides nothing itself. Times are seconds of
one monotonic clock; this module only adds and compares them. The rules, one sentence each, are in
`docs/supervision.md`; the numbers in comments are of those sentences.

What the loop owes to this module: signals are fed before the other events of the same turn, each at most
once a turn; whatever the spawner still said is fed before `SpawnerLost`; `Started` means that the program
runs, so that signals reach it.

What later issues add has its place here: a rule for each child (restarts, roles, conditions to start) beside
the name in `initial`, the events Became, Matched, Asked and Watched, the actions Probe and Publish. Children
have incarnations already, so that late news of an earlier one is recognised.
"""

from __future__ import annotations

from vaggapy.config.model import STOP_ON_FAILURE
from vaggapy.errors import ExitCode
from vaggapy.record import Record, replace
from vaggapy.supervise.events import (
    CONT,
    FIRST,
    GRACE,
    HUP,
    INT,
    PIPE,
    QUIT,
    REQUESTED,
    SUCCESS,
    TERM,
    TSTP,
    Action,
    Begin,
    CancelTimer,
    Cause,
    ChildEnded,
    ChildNotStarted,
    ChildStarted,
    Ended,
    Event,
    Exited,
    Finish,
    Kill,
    Report,
    Resume,
    SetTimer,
    Signal,
    Signalled,
    SignalReceived,
    Spawn,
    SpawnerEnded,
    SpawnerLost,
    SpawnFailed,
    Started,
    StillAlive,
    Suspend,
    SuspendSelf,
    TimerFired,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

FORWARDED = {INT: INT, QUIT: QUIT, TERM: TERM, HUP: HUP, PIPE: TERM}
"""What children get for each signal that stops the run (4.1, 4.4)."""

INSISTENT = (INT, QUIT, TERM)
"""The second one of these kills (4.2)."""

WAITING, STARTING, RUNNING, DONE = "waiting", "starting", "running", "done"

# --- state --------------------------------------------------------------------------------------------------


class Child(Record):
    """One child: its phase, its latest incarnation (0: none yet), and since when that one runs."""

    phase: str = WAITING
    incarnation: int = 0
    pid: int = 0
    since: float = 0.0

    @property
    def alive(self) -> bool:
        """Tell whether a process may exist (1.2)."""
        return self.phase == RUNNING or self.phase == STARTING


class Stop(Record):
    """The stop, once begun. `code`, `cause` and `deadline` never change.

    `sent`: every signal that children got so far, once each; `asked`: how many INT, QUIT and TERM came;
    `killing`: the kill was ordered, by the deadline or by the user.
    """

    code: int
    cause: Cause
    deadline: float
    sent: tuple[int, ...]
    asked: int = 0
    killing: bool = False


class State(Record):
    """The whole run. `children` is sorted by name and never changed in place; `begun` is the time of Begin."""

    mode: str
    grace: float
    children: Mapping[str, Child]
    begun: float | None = None
    stop: Stop | None = None
    suspended: bool = False
    finished: bool = False


Step = tuple[State, tuple[Action, ...]]


def initial(mode: str, names: tuple[str, ...], grace: float) -> State:
    """Return the state before `Begin`.

    Args:
        mode: one of `config.model.MODES`.
        names: the selected children, in any order.
        grace: seconds from the request to stop to the kill, `kill-unresponsive-after`.
    """
    return State(mode, grace, {name: Child() for name in sorted(names)})


def step(state: State, event: Event) -> Step:
    """Advance by one event; one that is late or does not fit returns the same `state` object."""
    if state.finished:
        return state, ()
    after, actions = _react(state, event)
    if after is state or _living(after):
        return after, actions
    if after.stop is None and (after.begun is None or any(child.phase == WAITING for child in after.children.values())):
        return after, actions
    return _finish(state, after, event.now, actions)


def _react(state: State, event: Event) -> Step:
    match event:
        case Begin(now):
            return _begin(state, now)
        case Started():
            return _started(state, event)
        case Exited():
            return _exited(state, event)
        case SpawnFailed():
            return _spawn_failed(state, event)
        case Signalled(now, signal):
            return _signalled(state, now, signal)
        case TimerFired(now, timer):
            return _timer_fired(state, now, timer)
        case SpawnerLost(now):
            return _spawner_lost(state, now)


def _begin(state: State, now: float) -> Step:
    if state.begun is not None:
        return state, ()
    children = {name: replace(child, phase=STARTING, incarnation=1) for name, child in state.children.items()}
    spawns = tuple(Spawn(name, child.incarnation) for name, child in children.items())
    return replace(state, begun=now, children=children), spawns


def _started(state: State, event: Started) -> Step:
    child = state.children.get(event.name)
    if child is None or child.phase != STARTING or child.incarnation != event.incarnation:
        return state, ()
    state = _with(state, event.name, replace(child, phase=RUNNING, pid=event.pid, since=event.now))
    actions: list[Action] = [Report(ChildStarted(event.name, event.incarnation, event.pid))]
    # What the others got while this one was starting, it gets now (3.5); a kill it has got already.
    if state.stop is not None and not state.stop.killing:
        actions.extend(Signal(event.name, signal) for signal in state.stop.sent)
    if state.suspended:
        actions.append(Suspend(event.name))
    return state, tuple(actions)


def _exited(state: State, event: Exited) -> Step:
    child = state.children.get(event.name)
    # An end that overtakes its Started counts: the child is known since its Spawn.
    if child is None or not child.alive or child.incarnation != event.incarnation:
        return state, ()
    code = ExitCode.SIGNAL + event.signal if event.signal else event.code
    seconds = event.now - child.since if child.phase == RUNNING else 0.0
    if state.stop is not None:
        cause = REQUESTED
    elif code or state.mode == STOP_ON_FAILURE:
        cause = FIRST
    else:
        cause = SUCCESS
    state = _with(state, event.name, replace(child, phase=DONE))
    told = ChildEnded(event.name, event.incarnation, child.pid, code, event.signal, event.core, seconds, cause)
    if cause == FIRST:
        return _stop(state, event.now, code, told, TERM)
    return state, (Report(told),)


def _spawn_failed(state: State, event: SpawnFailed) -> Step:
    child = state.children.get(event.name)
    if child is None or child.phase != STARTING or child.incarnation != event.incarnation:
        return state, ()
    state = _with(state, event.name, replace(child, phase=DONE))
    cause = REQUESTED if state.stop is not None else FIRST
    told = ChildNotStarted(event.name, event.incarnation, event.code, event.why, cause)
    if cause == FIRST:
        return _stop(state, event.now, event.code, told, TERM)
    return state, (Report(told),)


def _signalled(state: State, now: float, signal: int) -> Step:
    if signal == TSTP:
        return _suspend(state)
    if signal == CONT:
        return _resume(state)
    if signal not in FORWARDED:
        return state, ()
    insistent = signal in INSISTENT
    stop = state.stop
    if stop is None:
        told = SignalReceived(signal, stopping=False)
        return _stop(state, now, ExitCode.SIGNAL + signal, told, FORWARDED[signal], asked=int(insistent))
    if stop.killing or (not insistent and FORWARDED[signal] in stop.sent):
        return state, ()
    if insistent and stop.asked:
        told = SignalReceived(signal, stopping=True, killing=True)
        state = replace(state, stop=replace(stop, killing=True))
        return state, (Report(told), CancelTimer(GRACE), *map(Kill, _living(state)))
    state = replace(state, stop=replace(stop, asked=stop.asked + insistent))
    state, signals = _send(state, FORWARDED[signal])
    return state, (Report(SignalReceived(signal, stopping=True)), *signals)


def _suspend(state: State) -> Step:
    # Again when suspended already: a CONT is lost when a TSTP follows it before it was delivered.
    told = Report(SignalReceived(TSTP, state.stop is not None))
    after = state if state.suspended else replace(state, suspended=True)
    return after, (told, *map(Suspend, _running(state)), SuspendSelf())


def _resume(state: State) -> Step:
    if not state.suspended:
        return state, ()
    told = Report(SignalReceived(CONT, state.stop is not None))
    return replace(state, suspended=False), (told, *map(Resume, _running(state)))


def _timer_fired(state: State, now: float, timer: str) -> Step:
    stop = state.stop
    if timer != GRACE or stop is None or stop.killing:
        return state, ()
    if now < stop.deadline:
        return state, (SetTimer(GRACE, stop.deadline),)
    state = replace(state, stop=replace(stop, killing=True))
    return state, (Report(StillAlive(_living(state), state.grace)), *map(Kill, _living(state)))


def _spawner_lost(state: State, now: float) -> Step:
    told = SpawnerEnded(state.stop is not None)
    starting = [name for name, child in state.children.items() if child.phase == STARTING]
    if state.stop is not None and not starting:
        return state, ()
    # Nobody is left to answer for those that were starting.
    for name in starting:
        state = _with(state, name, replace(state.children[name], phase=DONE))
    if state.stop is not None:
        return state, (Report(told),)
    return _stop(state, now, ExitCode.SANDBOX, told, 0)


def _stop(state: State, now: float, code: int, cause: Cause, signal: int, asked: int = 0) -> Step:
    """Begin to stop; `signal` 0 sends nothing."""
    deadline = now + state.grace
    state = replace(state, stop=Stop(code, cause, deadline, (), asked))
    signals: tuple[Action, ...] = ()
    if signal:
        state, signals = _send(state, signal)
    timer = (SetTimer(GRACE, deadline),) if _living(state) else ()
    return state, (Report(cause), *signals, *timer)


def _send(state: State, signal: int) -> Step:
    """Send a signal to all that run and note it for those that are starting; a stop has begun."""
    stop, running = state.stop, _running(state)
    actions: list[Action] = [Signal(name, signal) for name in running]
    if state.suspended:
        # A stopped process cannot obey (3.9).
        actions.extend(map(Resume, running))
        state = replace(state, suspended=False)
    if stop is not None and signal not in stop.sent:
        state = replace(state, stop=replace(stop, sent=(*stop.sent, signal)))
    return state, tuple(actions)


def _finish(before: State, after: State, now: float, actions: tuple[Action, ...]) -> Step:
    stop = after.stop
    completed = ExitCode.OK if after.children else ExitCode.NOTHING_SELECTED
    code = completed if stop is None else stop.code
    # A stop that went on after its first step has armed the timer; the kill has taken it.
    armed = before.stop is not None and not before.stop.killing
    seconds = now - after.begun if after.begun is not None else 0.0
    told = Ended(code, stop.cause if stop else None, seconds, len(after.children))
    cancel = (CancelTimer(GRACE),) if armed else ()
    return replace(after, finished=True), (*actions, *cancel, Report(told), Finish(code))


def _with(state: State, name: str, child: Child) -> State:
    return replace(state, children={**state.children, name: child})


def _living(state: State) -> tuple[str, ...]:
    return tuple(name for name, child in state.children.items() if child.alive)


def _running(state: State) -> tuple[str, ...]:
    return tuple(name for name, child in state.children.items() if child.phase == RUNNING)
