"""A world that only exists here, for the policy to act in: a clock, processes, checks and a user. Pure.

Children start at once, obey signals at once, and run until something ends them; those that are there to end
(`once: true`, hooks, periodic and dormant ones, those that run at every event) end with 0 after a second, or
after half of the time that they have. Checks pass at once. A scenario says what is otherwise.
"""

from __future__ import annotations

import heapq

from vaggapy.config.rules import WATCH
from vaggapy.supervise import policy
from vaggapy.supervise.events import (
    CONT,
    READY,
    TSTP,
    Abandon,
    Advertise,
    Became,
    Begin,
    CancelTimer,
    Ended,
    Exited,
    Kill,
    Matched,
    Pause,
    Probe,
    Probed,
    Report,
    Resumed,
    SetTimer,
    Signal,
    Signalled,
    Spawn,
    Started,
    TimerFired,
    Watched,
)
from vaggapy.supervise.messages import signal_name
from vaggapy.supervise.ruled.life import PLAIN, checks, is_hook, is_reactive
from vaggapy.supervise.scenario import EXITS, FAILS, PASSES, SIGNALLED, of_check, of_dependency

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vaggapy.config.rules import Rule, Rules
    from vaggapy.supervise.events import Action, Event, Told
    from vaggapy.supervise.scenario import Scenario, Wish
    from vaggapy.supervise.state import State

HOUR = 3600.0
"""How long what never ends is watched after the last wish, seconds."""
SHORT = 1.0
"""How long a child runs that is there to end, seconds."""
MOST_EVENTS = 50_000
"""After so many it is enough, too: a child that restarts at once never lets the time pass."""
KILLED = 9
SIMULATED = "simulated"
ONE_INSTANCE = (f"{SIMULATED} 127.0.0.1:1",)
"""What the catalog knows of a service that is there."""


class _Run:
    """One process: which start of its child it is, whether its program runs, and what it has said."""

    __slots__ = ("condition", "incarnation", "running", "said")

    def __init__(self, incarnation: int, condition: bool) -> None:
        """Make a process that is about to start."""
        self.incarnation = incarnation
        self.condition = condition
        self.running = False
        self.said: set[str] = set()


class World:
    """Everything outside of the policy. `heard`: what it reported, and what else was seen, with the times."""

    def __init__(self, state: State, rules: Rules | None, scenario: Scenario) -> None:
        """Make a world at the time 0, before anything has happened."""
        self.state = state
        self.rules = rules
        self.scenario = scenario
        self.now = 0.0
        self.heard: list[tuple[float, Told | str]] = []
        self.ended: Ended | None = None
        self._steps = 0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._scheduled = 0
        self._runs: dict[str, _Run] = {}
        self._timers: dict[str, int] = {}
        self._probes: dict[str, int] = {}
        self._wanted = policy.wanted_lines(rules)

    # --- time ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Let the time pass until the run is over, nothing more happens, or it is enough."""
        limit = self.scenario.until or HOUR + max((wish.at for wish in self.scenario.wishes), default=0.0)
        self._at(0.0, lambda: self._feed(Begin(0.0)))
        for watch in self.rules.watches if self.rules is not None else ():
            if watch.service:
                self._follow(watch.name)
        for wish in self.scenario.wishes:
            if not wish.each and wish.kind in (EXITS, SIGNALLED):
                self._at(wish.at, lambda wish=wish: self._grant(wish))  # type: ignore[misc]
        while self._queue and self.ended is None and self._steps < MOST_EVENTS:
            at, _, act = self._queue[0]
            if at > limit:
                self.now = limit
                return
            heapq.heappop(self._queue)
            self.now = at
            act()
        if self.scenario.until and self.ended is None and self._steps < MOST_EVENTS:
            self.now = limit

    def _at(self, at: float, act: Callable[[], None]) -> None:
        """Do something at a time; what is for the same time is done in the order in which it was asked for."""
        self._scheduled += 1
        heapq.heappush(self._queue, (max(at, self.now), self._scheduled, act))

    def _soon(self, act: Callable[[], None]) -> None:
        self._at(self.now, act)

    def _feed(self, event: Event) -> None:
        self._steps += 1
        self.state, actions = policy.step(self.state, event)
        for action in actions:
            self._do(action)

    # --- what vagga does ----------------------------------------------------------------------------------------

    def _do(self, action: Action) -> None:
        match action:
            case Spawn(name, incarnation, condition):
                run = self._runs[name] = _Run(incarnation, condition)
                self._soon(lambda: self._start(name, run))
            case Signal(name, signal):
                self._say(f"{name} gets {signal_name(signal)}")
                if name not in self.scenario.stubborn and signal not in (CONT, TSTP):
                    self._end_soon(name, signal=signal)
            case Kill(name):
                self._say(f"{name} gets {signal_name(KILLED)}")
                self._end_soon(name, signal=KILLED)
            case SetTimer(id, at):
                self._scheduled += 1
                token = self._timers[id] = self._scheduled
                self._at(at, lambda: self._fire(id, token))
            case CancelTimer(id):
                self._timers.pop(id, None)
            case Probe() | Abandon():
                self._look(action)
            case Pause():
                self._soon(lambda: self._feed(Resumed(self.now)))
            case Advertise(name, what):
                self._say(f"{name} is {what} in the catalog")
            case Report(told):
                if isinstance(told, Ended):
                    self.ended = told
                self.heard.append((self.now, told))
            case _:
                pass  # the end is known by its report, and nobody suspends a simulation

    def _look(self, action: Probe | Abandon) -> None:
        match action:
            case Probe(id, number):
                self._probes[id] = number
                self._soon(lambda: self._answer(action))
            case Abandon(id):
                self._probes.pop(id, None)

    def _fire(self, timer: str, token: int) -> None:
        if self._timers.get(timer) == token:
            del self._timers[timer]
            self._feed(TimerFired(self.now, timer))

    @property
    def is_quiet(self) -> bool:
        """Tell whether nothing more happens by itself."""
        return not self._queue

    # --- processes ----------------------------------------------------------------------------------------------

    def _start(self, name: str, run: _Run) -> None:
        if self._runs.get(name) is not run:
            return
        run.running = True
        self._feed(Started(self.now, name, run.incarnation, 0))
        if self._runs.get(name) is not run:
            return
        if run.condition:
            self._end_soon(name, code=0 if self._passes(f"{name}/condition") else 1)
            return
        planned = [wish for wish in self.scenario.wishes if wish.kind == EXITS and wish.subject == name]
        for wish in planned:
            if wish.each:
                self._at(self.now + wish.at, lambda wish=wish: self._end(name, run, wish.code, wish.signal))  # type: ignore[misc]
        if not planned and _is_short(self._rule(name)):
            self._at(self.now + _usual(self._rule(name)), lambda: self._end(name, run))
        self._speak(name, run)

    def _speak(self, name: str, run: _Run) -> None:
        """Let a child say that it is ready, and print what others wait for, now or when that is to happen."""
        ready = self._rule(name).ready
        if ready is not None and not ready.line:
            self._when_passing(name, lambda: self._become(name, run))
        for text in self._wanted.get(name, ()):
            subject = name if ready is not None and text == ready.line else text
            self._when_passing(subject, lambda text=text: self._print(name, run, text))  # type: ignore[misc]

    def _become(self, name: str, run: _Run) -> None:
        if self._runs.get(name) is run and "" not in run.said:
            run.said.add("")
            self._feed(Became(self.now, name, run.incarnation, READY))

    def _print(self, name: str, run: _Run, text: str) -> None:
        if self._runs.get(name) is run and text not in run.said:
            run.said.add(text)
            self._feed(Matched(self.now, name, run.incarnation, text))

    def _end_soon(self, name: str, code: int = 0, signal: int = 0) -> None:
        run = self._runs.get(name)
        if run is not None:
            self._soon(lambda: self._end(name, run, code, signal))

    def _end(self, name: str, run: _Run, code: int = 0, signal: int = 0) -> None:
        if self._runs.get(name) is run:
            del self._runs[name]
            self._feed(Exited(self.now, name, run.incarnation, code, signal))

    # --- checks and wishes ----------------------------------------------------------------------------------------

    def _grant(self, wish: Wish) -> None:
        if wish.kind == SIGNALLED:
            self._feed(Signalled(self.now, wish.signal))
            return
        run = self._runs.get(wish.subject)
        if run is None or not run.running or run.condition:
            self._say(f"{wish.subject} does not run, so it cannot end")
        else:
            self._end(wish.subject, run, wish.code, wish.signal)

    def _turns(self, subject: str) -> list[Wish]:
        """Return the changes of a subject, in the order of their times."""
        about = [wish for wish in self.scenario.wishes if wish.kind in (PASSES, FAILS) and wish.subject == subject]
        return sorted(about, key=lambda wish: wish.at)

    def _passes(self, subject: str) -> bool:
        turns = self._turns(subject)
        passing = not turns or turns[0].kind == FAILS
        for wish in turns:
            if wish.at <= self.now:
                passing = wish.kind == PASSES
        return passing

    def _when_passing(self, subject: str, act: Callable[[], None]) -> None:
        if self._passes(subject):
            self._soon(act)
            return
        later = [wish.at for wish in self._turns(subject) if wish.kind == PASSES and wish.at > self.now]
        if later:
            self._at(later[0], act)

    def _follow(self, watch: str) -> None:
        """Tell what the catalog knows of a service, at first and at each change."""
        subject = f"{WATCH}{watch}"
        for at in (0.0, *(wish.at for wish in self._turns(subject))):
            self._at(at, lambda: self._feed(Watched(self.now, watch, ONE_INSTANCE if self._passes(subject) else ())))

    def _answer(self, probe: Probe) -> None:
        if self._probes.get(probe.id) != probe.number:
            return
        del self._probes[probe.id]
        passed = self._passes(self._subject(probe))
        detail = "" if passed else "as simulated"
        self._feed(Probed(self.now, probe.id, probe.number, passed, detail, SIMULATED if passed else ""))

    def _subject(self, probe: Probe) -> str:
        """Return what a probe is about: `gate CHILD`, `check NUMBER CHILD` or `watch NAME`."""
        kind, _, rest = probe.id.partition(" ")
        if kind == "gate":
            return of_dependency(probe.check)
        if kind == "watch":
            return f"{WATCH}{rest}"
        number, _, name = rest.partition(" ")
        return of_check(name, checks(self._rule(name))[int(number)])

    def _rule(self, name: str) -> Rule:
        return self.rules.children.get(name, PLAIN) if self.rules is not None else PLAIN

    def _say(self, text: str) -> None:
        self.heard.append((self.now, text))


def _usual(rule: Rule) -> float:
    """Return how long a child runs that is there to end, seconds; not so long that it would be killed."""
    limit = rule.timeout or (rule.when.interval if rule.when is not None else 0.0)
    return min(SHORT, limit / 2) if limit else SHORT


def _is_short(rule: Rule) -> bool:
    """Tell whether a child is there to end by itself."""
    return rule.once or rule.dormant or is_hook(rule) or is_reactive(rule)
