"""Decide what happens next to the children of one run. Pure: no clock, no process, no input or output.

`step(state, event)` returns the next state and the actions to carry out, in their order. The loop turns
descriptors and deadlines into events, carries actions out, and decides nothing itself. Times are seconds of
one monotonic clock; this module only adds and compares them. The rules, one sentence each, are in
`docs/supervision.md`; the numbers in comments are of those sentences.

What the loop owes to this module: signals are fed before the other events of the same turn, each at most
once a turn; whatever the spawner still said is fed before `SpawnerLost`; `Started` means that the program
runs, so that signals reach it.

Here is all that a plain run needs. What children may say beyond it (restarts, order, health) is added by
`ruled/`, which overrides a few methods of `Turn` and is loaded only for runs that have rules. `events.py` has the
words, `state.py` what is kept between steps.
"""

from __future__ import annotations

from vaggapy.config.model import STOP_ON_FAILURE
from vaggapy.errors import ExitCode
from vaggapy.record import replace
from vaggapy.supervise.events import (
    CONT,
    FIRST,
    GRACE,
    HANGUP,
    HUP,
    INT,
    PIPE,
    QUIT,
    REQUESTED,
    SUCCESS,
    TERM,
    TSTP,
    Begin,
    CancelTimer,
    ChildEnded,
    ChildNotStarted,
    ChildStarted,
    Ended,
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
from vaggapy.supervise.state import ASKED, DONE, KILLED, RUNNING, STARTING, WAITING, Child, State, Stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from vaggapy.config.rules import Rules
    from vaggapy.supervise.events import Action, Cause, Event, Link, Told

FORWARDED = {INT: INT, QUIT: QUIT, TERM: TERM, HUP: HUP, PIPE: TERM, HANGUP: HUP}
"""What children get for each signal that stops the run (4.1, 4.4)."""

INSISTENT = (INT, QUIT, TERM)
"""The second one of these kills (4.2)."""

Step = tuple[State, tuple["Action", ...]]


def initial(mode: str, names: tuple[str, ...], grace: float, rules: Rules | None = None) -> State:
    """Return the state before `Begin`.

    Args:
        mode: one of `config.model.MODES`.
        names: the selected children, in the order of the file.
        grace: seconds from the request to stop to the kill, `kill-unresponsive-after`.
        rules: what those children add to the plain modes.
    """
    state = State(mode, grace, {name: Child() for name in sorted(names)}, order=names)
    if rules is None:
        return state
    from vaggapy.supervise.ruled.turn import with_rules  # only for runs that have rules

    return with_rules(state, rules)


def step(state: State, event: Event) -> Step:
    """Advance by one event; one that is late or does not fit returns the same `state` object."""
    if state.finished:
        return state, ()
    turn = Turn(state, event.now) if state.rules is None else _ruled(state, event.now)
    turn.react(event)
    return turn.result()


def wanted_lines(rules: Rules | None) -> Mapping[str, tuple[str, ...]]:
    """Return which texts are looked for in the output of which child; `Matched` tells of them."""
    if rules is None:
        return {}
    from vaggapy.supervise.ruled.life import wanted  # only for runs that have rules

    return wanted(rules)


def _ruled(state: State, now: float) -> Turn:
    from vaggapy.supervise.ruled.turn import RuledTurn  # only for runs that have rules

    return RuledTurn(state, now)


class Turn:
    """One step on its way: the parts of the state as they are by now, and the actions so far."""

    __slots__ = ("actions", "begun", "children", "now", "state", "stop", "suspended", "timers")

    def __init__(self, state: State, now: float) -> None:
        """Begin a step at the time `now`; mappings are copied before their first change."""
        self.state = state
        self.now = now
        self.children: dict[str, Child] = state.children  # type: ignore[assignment]
        self.timers: dict[str, float] = state.timers  # type: ignore[assignment]
        self.begun = state.begun
        self.stop = state.stop
        self.suspended = state.suspended
        self.actions: list[Action] = []

    # --- the state on its way -----------------------------------------------------------------------------------

    def put(self, name: str, **changes: Any) -> Child:
        """Change fields of a child."""
        if self.children is self.state.children:
            self.children = dict(self.children)
        child = self.children[name] = replace(self.children[name], **changes)
        return child

    def set_timer(self, timer: str, at: float) -> None:
        """Have `TimerFired(timer)` fed at a time."""
        if self.timers is self.state.timers:
            self.timers = dict(self.timers)
        self.timers[timer] = at
        self.actions.append(SetTimer(timer, at))

    def cancel(self, timer: str) -> None:
        """Forget a timer; nothing happens if there is none."""
        if timer in self.timers:
            self._forget(timer)
            self.actions.append(CancelTimer(timer))

    def _forget(self, timer: str) -> None:
        self.timers = {known: at for known, at in self.timers.items() if known != timer}

    def tell(self, told: Told) -> None:
        """Report."""
        self.actions.append(Report(told))

    def living(self) -> tuple[str, ...]:
        """Return the children of which a process may exist."""
        return tuple(name for name, child in self.children.items() if child.alive)

    def running(self) -> tuple[str, ...]:
        """Return the children whose program runs."""
        return tuple(name for name, child in self.children.items() if child.phase == RUNNING)

    def changes(self) -> dict[str, Any]:
        """Return the fields of the state that are no longer what they were."""
        fields = ("children", "timers", "begun", "stop", "suspended")
        return {
            field: getattr(self, field) for field in fields if getattr(self, field) is not getattr(self.state, field)
        }

    def result(self) -> Step:
        """Return the next state and the actions; the run is finished where nothing is alive and nothing will be."""
        changes = self.changes()
        if changes and not any(child.alive for child in self.children.values()) and self.is_over():
            self.finish()
            changes = {**self.changes(), "finished": True}
        return replace(self.state, **changes) if changes else self.state, tuple(self.actions)

    # --- events -------------------------------------------------------------------------------------------------

    def react(self, event: Event) -> None:
        """Do what an event means; one that does not fit changes nothing."""
        match event:
            case Begin():
                if self.begun is None:
                    self.begun = self.now
                    self.begin()
            case Started(_, name, incarnation, pid):
                self.started(name, incarnation, pid)
            case Exited():
                self.exited(event)
            case SpawnFailed():
                self.spawn_failed(event)
            case Signalled(_, signal):
                self.signalled(signal)
            case TimerFired(_, timer):
                at = self.timers.get(timer)
                if at is not None and self.now < at:
                    self.actions.append(SetTimer(timer, at))
                elif at is not None:
                    self._forget(timer)
                    self.timer_fired(timer)
            case SpawnerLost():
                self.spawner_lost()
            case _:
                self.more(event)

    def begin(self) -> None:
        """Start all children (1.1)."""
        for name in self.children:
            self.spawn(name)

    def spawn(self, name: str, condition: bool = False, environ: tuple[tuple[str, str], ...] = ()) -> None:
        """Start a child anew."""
        child = self.put(name, phase=STARTING, incarnation=self.children[name].incarnation + 1, leaving=0)
        self.actions.append(Spawn(name, child.incarnation, condition, environ))

    def started(self, name: str, incarnation: int, pid: int) -> None:
        """A child runs. What the others got while this one was starting, it gets now (3.5)."""
        child = self.children.get(name)
        if child is None or child.phase != STARTING or child.incarnation != incarnation:
            return
        self.put(name, phase=RUNNING, pid=pid, since=self.now)
        self.told_started(name, incarnation, pid)
        if child.leaving == ASKED:  # a kill it has got already
            self.catch_up(name)
        if self.suspended:
            self.actions.append(Suspend(name))

    def told_started(self, name: str, incarnation: int, pid: int) -> None:
        """Report that a child runs."""
        self.tell(ChildStarted(name, incarnation, pid))

    def catch_up(self, name: str) -> None:
        """Send what the others got."""
        if self.stop is not None:
            self.actions.extend(Signal(name, signal) for signal in self.stop.sent)

    def exited(self, event: Exited) -> None:
        """A child is gone. An end that overtakes its Started counts: the child is known since its Spawn."""
        child = self.children.get(event.name)
        if child is None or not child.alive or child.incarnation != event.incarnation:
            return
        code = ExitCode.SIGNAL + event.signal if event.signal else event.code
        seconds = self.now - child.since if child.phase == RUNNING else 0.0
        told = ChildEnded(event.name, child.incarnation, child.pid, code, event.signal, event.core, seconds, REQUESTED)
        self.ended(event.name, told)

    def spawn_failed(self, event: SpawnFailed) -> None:
        """A child could not be started."""
        child = self.children.get(event.name)
        if child is None or child.phase != STARTING or child.incarnation != event.incarnation:
            return
        self.ended(event.name, ChildNotStarted(event.name, event.incarnation, event.code, event.why, REQUESTED))

    def ended(self, name: str, told: ChildEnded | ChildNotStarted) -> None:
        """A run of a child is over: tell of it, and stop the others if that follows (2.1-2.5, 1.4)."""
        self.put(name, phase=DONE)
        if self.stop is not None:
            self.tell(told)
        elif isinstance(told, ChildEnded) and not told.code and self.state.mode != STOP_ON_FAILURE:
            self.tell(replace(told, cause=SUCCESS))
        else:
            self.begin_stop(told.code, replace(told, cause=FIRST), TERM)

    def more(self, event: Event) -> None:
        """React to what only rules lead to."""

    # --- signals ------------------------------------------------------------------------------------------------

    def signalled(self, signal: int) -> None:
        """React to a signal (section 4)."""
        if signal == TSTP:
            self._suspend()
        elif signal == CONT:
            self._resume()
        elif signal in FORWARDED:
            self.asked_to_stop(signal, signal in INSISTENT)

    def asked_to_stop(self, signal: int, insistent: bool) -> None:
        """Stop, pass the signal on, or kill."""
        number = HUP if signal == HANGUP else signal
        passed = FORWARDED.get(signal, TERM)
        stop = self.stop
        if stop is None:
            told = SignalReceived(number, stopping=False)
            self.begin_stop(ExitCode.SIGNAL + number, told, passed, asked=int(insistent))
        elif self.is_killed() or (not insistent and passed in stop.sent):
            return
        elif insistent and stop.asked:
            self.tell(SignalReceived(number, stopping=True, killing=True))
            self.stop = replace(stop, barren=True)
            self.cancel(GRACE)
            self.kill(name for name in self.living() if self.children[name].leaving != KILLED)
        else:
            self.tell(SignalReceived(number, stopping=True))
            self.stop = replace(stop, asked=stop.asked + insistent, signal=passed)
            self.send(passed)

    def is_killed(self) -> bool:
        """Tell whether all that live were killed, so that nothing more can be done."""
        return all(child.leaving == KILLED for child in self.children.values() if child.alive)

    def _suspend(self) -> None:
        # Again when suspended already: a CONT is lost when a TSTP follows it before it was delivered.
        self.tell(SignalReceived(TSTP, self.stop is not None))
        self.suspended = True
        self.actions.extend(map(Suspend, self.running()))
        self.actions.append(SuspendSelf())

    def _resume(self) -> None:
        if self.suspended:
            self.tell(SignalReceived(CONT, self.stop is not None))
            self.suspended = False
            self.actions.extend(map(Resume, self.running()))

    # --- the stop -----------------------------------------------------------------------------------------------

    def begin_stop(self, code: int, cause: Cause | None, signal: int, asked: int = 0) -> None:
        """Begin to stop; `signal` 0 sends nothing."""
        self.stop = Stop(code, cause, signal, asked=asked)
        if cause is not None:
            self.tell(cause)
        self.leave()

    def leave(self) -> None:
        """Ask every child to end."""
        for name in self.living():
            self.put(name, leaving=ASKED)
        if self.stop is not None and self.stop.signal:
            self.send(self.stop.signal)
        if self.living():
            self.set_timer(GRACE, self.now + self.state.grace)

    def send(self, signal: int) -> None:
        """Send a signal to all that run and note it for those that are starting."""
        self.actions.extend(Signal(name, signal) for name in self.running() if self.children[name].leaving == ASKED)
        self.wake()
        if self.stop is not None and signal not in self.stop.sent:
            self.stop = replace(self.stop, sent=(*self.stop.sent, signal))

    def wake(self) -> None:
        """Continue children that are suspended: a stopped process cannot obey (3.9)."""
        if self.suspended:
            self.actions.extend(map(Resume, self.running()))
            self.suspended = False

    def kill(self, names: Iterable[str]) -> None:
        """Kill children with everything in their namespaces."""
        for name in names:
            self.put(name, leaving=KILLED)
            self.actions.append(Kill(name))

    def timer_fired(self, timer: str) -> None:
        """The time to stop is over (3.6, 3.7)."""
        if timer == GRACE and self.stop is not None:
            names = self.living()
            self.tell(StillAlive(names, self.state.grace))
            self.kill(names)

    def spawner_lost(self) -> None:
        """Nobody is left to answer for those that were starting; the others are dying (3.10)."""
        told = SpawnerEnded(self.stop is not None)
        starting = [name for name, child in self.children.items() if child.phase == STARTING]
        for name in starting:
            self.put(name, phase=DONE)
        if self.stop is None:
            self.begin_stop(ExitCode.SANDBOX, told, 0)
        elif starting:
            self.tell(told)

    # --- the end ------------------------------------------------------------------------------------------------

    def is_over(self) -> bool:
        """Tell whether nothing will be started any more; nothing is alive."""
        if self.stop is not None:
            return True
        return self.begun is not None and all(child.phase != WAITING for child in self.children.values())

    def finish(self) -> None:
        """Say how it ended, once."""
        stop = self.stop
        completed = ExitCode.OK if self.children else ExitCode.NOTHING_SELECTED
        code = completed if stop is None else stop.code
        seconds = self.now - self.begun if self.begun is not None else 0.0
        for timer in tuple(self.timers):
            self.cancel(timer)
        self.tell(Ended(code, stop.cause if stop else None, seconds, self.count(), self.chain()))
        self.actions.append(Finish(code))

    def count(self) -> int:
        """Return how many children the run was about."""
        return len(self.children)

    def chain(self) -> tuple[Link, ...]:
        """Return what led to the cause."""
        return ()
