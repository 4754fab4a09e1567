"""One step of a run with rules: what `policy.Turn` does, and what the rules of children add to it. Pure.

Everything that happens to a child is published as an event of that child, and delivered to all others in the order of
the file. What follows is in five parts: `gates` (what a child waits for), `runs` (what follows the end of a run),
`wellbeing` (readiness, health, watches), `pausing` (before the stop, to look around) and `leaving` (the stop, in its
order, with hooks).
"""

from __future__ import annotations

from vaggapy.config.rules import (
    EVENT,
    EXIT_FAILED,
    EXIT_SUCCESS,
    GLOBAL,
    HEALTHY,
    IGNORE,
    RECEIVED,
    SIGNALS,
    STARTUP,
    STOPPED,
    STOPPING,
    TERMINATE,
    UNHEALTHY,
)
from vaggapy.errors import ExitCode
from vaggapy.record import replace
from vaggapy.supervise.events import (
    HANGUP,
    HUP,
    TERM,
    Abandon,
    Became,
    ChildStarted,
    Matched,
    Probe,
    Probed,
    Resumed,
    Signal,
    SignalReceived,
    Spawn,
    SpawnerEnded,
    Watched,
)
from vaggapy.supervise.policy import FORWARDED, Turn
from vaggapy.supervise.ruled import gates, leaving, pausing, reach, runs, wellbeing
from vaggapy.supervise.ruled.life import FRESH, PLAIN, Life, essential, is_hook
from vaggapy.supervise.state import ANSWERED, DONE, IDLE, INTERRUPTED, NOBODY, RUNNING, STARTING, WAITING, State, Stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vaggapy.config.rules import Check, Rule, Rules
    from vaggapy.supervise.events import (
        Action,
        Cause,
        ChildEnded,
        ChildNotStarted,
        ChildUnmet,
        Event,
        Link,
    )
    from vaggapy.supervise.state import Child

SIGNAL_NAMES = {number: name for name, number in SIGNALS.items()}
_MINE = ("probes", "probed", "seen", "fired", "noted", "incidents")


def with_rules(state: State, rules: Rules) -> State:
    """Return the state before `Begin` of a run with rules."""
    children = {name: replace(child, life=FRESH) for name, child in state.children.items()}
    by_name = {name: rules.children.get(name, PLAIN) for name in state.order}
    return replace(
        state,
        rules=rules,
        children=children,
        essential=essential(rules, state.order),
        triggered=tuple(name for name, rule in by_name.items() if rule.when is not None and not rule.when.interval),
        gated=tuple(name for name, rule in by_name.items() if rule.depends),
    )


class RuledTurn(Turn):
    """One step of a run with rules."""

    __slots__ = ("fired", "fresh", "incidents", "noted", "probed", "probes", "queue", "rules", "seen", "woken")

    def __init__(self, state: State, now: float) -> None:
        """Begin a step at the time `now`."""
        super().__init__(state, now)
        assert state.rules is not None
        self.rules: Rules = state.rules
        self.queue: list[tuple[str, str]] = list(state.delayed)
        self.fresh: dict[str, Child] = {}
        self.probes: dict[str, int] = state.probes  # type: ignore[assignment]
        self.probed = state.probed
        self.seen: dict[str, tuple[str, ...]] = state.seen  # type: ignore[assignment]
        self.fired = state.fired
        self.noted: ChildEnded | ChildNotStarted | ChildUnmet | None = state.noted
        self.incidents: dict[str, Link] = state.incidents  # type: ignore[assignment]
        self.woken = False

    # --- the state on its way -----------------------------------------------------------------------------------

    def rule(self, name: str) -> Rule:
        """Return the rule of a child."""
        return self.rules.children.get(name, PLAIN)

    def life(self, name: str) -> Life:
        """Return what is known of a child."""
        return self.children[name].life or FRESH

    def note(self, name: str, **changes: Any) -> Life:
        """Change what is known of a child."""
        life = replace(self.life(name), **changes)
        self.put(name, life=life)
        return life

    def changes(self) -> dict[str, Any]:
        """Return the fields of the state that are no longer what they were."""
        mine = {
            field: getattr(self, field) for field in _MINE if getattr(self, field) is not getattr(self.state, field)
        }
        if tuple(self.queue) != self.state.delayed:
            mine["delayed"] = tuple(self.queue)
        return {**super().changes(), **mine}

    def probe(self, probe: str, check: Check, timeout: float, child: str = "") -> None:
        """Have a check carried out; there is none of this id under way."""
        self.probed += 1
        self.probes = {**self.probes, probe: self.probed}
        self.actions.append(Probe(probe, self.probed, check, timeout, child))

    def abandon(self, probe: str) -> None:
        """End a probe; nothing happens if there is none."""
        if probe in self.probes:
            self.probes = {known: number for known, number in self.probes.items() if known != probe}
            self.actions.append(Abandon(probe))

    # --- events of children -------------------------------------------------------------------------------------

    def publish(self, source: str, event: str) -> None:
        """Let everybody know, after what is being done now."""
        self.queue.append((source, event))

    def react(self, event: Event) -> None:
        """Do what an event means, and all that follows from it."""
        super().react(event)
        self.settle()

    def settle(self) -> None:
        """Deliver what was published until nothing follows from it; then see whether the run goes on."""
        while True:
            while self.queue and not self.is_held():
                self._deliver(*self.queue.pop(0))
            if self.is_held():
                if self.living():
                    break
                pausing.go_on(self, NOBODY)
            elif self.stop is not None:
                leaving.advance(self)
            elif self.begun is not None:
                reach.look(self)
            if not self.queue:
                break
        if self.is_held() and self.state.stop is None:
            pausing.begin(self)
        reach.note_alone(self)
        if self.woken:
            self.woken = False
            self.wake()

    def _deliver(self, source: str, event: str) -> None:
        if source in self.children and event not in self.life(source).fired:
            self.note(source, fired=self.life(source).fired | {event})
        for name in self.state.triggered:
            when = self.rule(name).when
            if when is not None and when.source == source and when.event == event:
                gates.trigger(self, name)
        for family, members in self.rules.families.items():
            if source in members:
                self._of_family(family, members, event)
        for name in self.state.gated:
            if self.children[name].phase == WAITING:
                gates.look_again(self, name)

    def _of_family(self, family: str, members: tuple[str, ...], event: str) -> None:
        """Publish what an event of one member means for all of them."""
        lives = [self.life(name) for name in members if name in self.children]
        if event in (STOPPING, STOPPED) and all(life.outcome for life in lives):
            if all(life.outcome != "failed" for life in lives):
                self.publish_once(family, EXIT_SUCCESS)
            self.publish_once(family, event)
        elif event == EXIT_FAILED:
            self.publish(family, EXIT_FAILED)
        elif event == HEALTHY and all(life.health == HEALTHY for life in lives):
            self.fired = self.fired | {(family, HEALTHY)}
            self.publish(family, HEALTHY)
        elif event == UNHEALTHY:
            self.fired = self.fired - {(family, HEALTHY)}
            self.publish(family, UNHEALTHY)

    def publish_once(self, family: str, event: str) -> None:
        """Publish something of a family that happens once in its life."""
        if (family, event) not in self.fired:
            self.fired = self.fired | {(family, event)}
            self.publish(family, event)

    # --- events from outside ------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start what waits for nothing, coprocesses first, and begin to wait for the rest."""
        first = [name for name in self.children if self.rule(name).coprocess]
        for name in (*first, *(name for name in self.children if name not in first)):
            gates.begin(self, name)
        for watch in self.rules.watches:
            wellbeing.look_at_watch(self, watch)
        for family, members in self.rules.families.items():
            if not members:
                self.publish_once(family, EXIT_SUCCESS)
                self.publish_once(family, STOPPED)
        self.publish(GLOBAL, STARTUP)

    def spawn(self, name: str, condition: bool = False, environ: tuple[tuple[str, str], ...] = ()) -> None:
        """Start a child anew; what is started before the stop is taken back where that begins in the same step."""
        if self.stop is None and not self.is_hook(name):
            self.fresh[name] = self.children[name]
        super().spawn(name, condition, environ)

    def take_back(self) -> None:
        """Start none of those that this step was to start: the stop begins with it (12.11)."""
        kept: list[Action] = []
        for action in self.actions:
            if not isinstance(action, Spawn) or action.name not in self.fresh:
                kept.append(action)
                continue
            name, before = action.name, self.fresh.pop(action.name)
            self.put(name, phase=before.phase, incarnation=before.incarnation)
            self.note(name, runs=self.life(name).runs - (not action.condition), conditional=False)
        self.actions = kept

    def run(self, name: str, environ: tuple[tuple[str, str], ...] = ()) -> None:
        """Start the program of a child."""
        life = self.life(name)
        self.note(
            name,
            runs=life.runs + 1,
            conditional=False,
            queued=False,
            asked=(),
            doomed=None,
            outcome="",
            ready=False,
            health="",
            tallies=(),
        )
        self.spawn(name, environ=life.environ + environ)

    def told_started(self, name: str, incarnation: int, pid: int) -> None:
        """Report that a child runs; from now on its time counts, and its health."""
        if self.life(name).conditional:
            return
        self.tell(ChildStarted(name, incarnation, pid))
        rule = self.rule(name)
        limit = rule.timeout or (rule.when.interval if rule.when is not None else 0.0)
        if limit and not self.is_held():
            self.set_timer(f"limit {name}", self.now + limit)
        if self.stop is None:
            wellbeing.started(self, name)
        self.queue.append((name, "started"))

    def catch_up(self, name: str) -> None:
        """Send what the child should have got while it was starting."""
        self.actions.extend(Signal(name, signal) for signal in self.life(name).asked)

    def ended(self, name: str, told: ChildEnded | ChildNotStarted) -> None:
        """A process of a child is over: its program, or its condition."""
        runs.close(self, name)
        if self.life(name).conditional:
            gates.condition_over(self, name, told)
        else:
            runs.ended(self, name, told)

    def timer_fired(self, timer: str) -> None:
        """React to a deadline."""
        kind, _, name = timer.partition(" ")
        match kind:
            case "grace" | "stop" | "hook":
                leaving.late(self, kind, name)
            case "backoff" | "limit":
                runs.due(self, kind, name)
            case "when" | "gate" | "poll" | "interval":
                gates.due(self, kind, name)
            case _:
                wellbeing.due(self, kind, name)

    def more(self, event: Event) -> None:
        """React to what only rules lead to."""
        match event:
            case Probed(_, probe, number):
                if self.probes.get(probe) == number:
                    self.probes = {known: other for known, other in self.probes.items() if known != probe}
                    kind, _, name = probe.partition(" ")
                    (gates.probed if kind == "gate" else wellbeing.probed)(self, kind, name, event)
            case Became(_, name, incarnation):
                if self._is_running(name, incarnation):
                    wellbeing.ready(self, name)
            case Matched(_, name, incarnation, text):
                if self._is_running(name, incarnation):
                    wellbeing.printed(self, name, text)
            case Watched(_, watch, instances):
                wellbeing.watched(self, watch, instances)
            case Resumed():
                pausing.go_on(self, ANSWERED)
            case _:
                pass

    def _is_running(self, name: str, incarnation: int) -> bool:
        child = self.children.get(name)
        if child is None or child.incarnation != incarnation or child.phase not in (RUNNING, STARTING):
            return False
        return not self.life(name).conditional

    # --- signals ------------------------------------------------------------------------------------------------

    def signalled(self, signal: int) -> None:
        """React to a signal: HUP, USR1 and USR2 may be events."""
        name = SIGNAL_NAMES.get(signal)
        if name is None:
            super().signalled(signal)
            return
        is_source = any(rule.when is not None and rule.when.source == name for rule in self.rules.children.values())
        usual = EVENT if is_source else TERMINATE if signal == HUP else IGNORE
        meaning = self.rules.signals.get(signal, usual)
        if meaning == EVENT and self.stop is None and self.begun is not None:
            self.publish(name, RECEIVED)
        elif meaning == TERMINATE or (signal == HUP and meaning == EVENT and self.stop is not None):
            self.asked_to_stop(signal, insistent=False)

    def asked_to_stop(self, signal: int, insistent: bool) -> None:
        """Stop, pass the signal on, or kill; one that comes during the pause only ends that (16.5)."""
        if not self.is_held():
            super().asked_to_stop(signal, insistent)
            return
        self.tell(SignalReceived(HUP if signal == HANGUP else signal, stopping=True))
        pausing.go_on(self, INTERRUPTED)
        passed = FORWARDED.get(signal, TERM)
        if self.stop is not None and not insistent and passed not in self.stop.sent:
            # The end of a terminal is heard in several ways, and no more of them is to be passed on.
            self.stop = replace(self.stop, sent=(*self.stop.sent, passed))

    def is_killed(self) -> bool:
        """Tell whether all that live were killed, and no hook can follow."""
        if not super().is_killed():
            return False
        hooks = [name for name in self.children if self.is_hook(name) and self.children[name].phase in (WAITING, IDLE)]
        return not hooks or self.stop is None or self.stop.barren

    # --- the stop -----------------------------------------------------------------------------------------------

    def begin_stop(self, code: int, cause: Cause | None, signal: int, asked: int = 0) -> None:
        """Begin to stop, unless that has begun; where it is wanted, with a pause."""
        if self.stop is not None:
            return
        self.take_back()
        if not pausing.wanted(self, cause):
            super().begin_stop(code, cause, signal, asked)
            return
        self.stop = Stop(code, cause, signal, asked=asked, held=True)
        if cause is not None:
            self.tell(cause)
        pausing.hold(self)

    def is_held(self) -> bool:
        """Tell whether the stop has begun, but pauses."""
        return self.stop is not None and self.stop.held

    def complete(self, code: int, cause: Cause | None) -> None:
        """Stop what is left: the run has come to its end. The cause was told when it happened."""
        self.stop = Stop(code, cause, TERM)
        self.leave()

    def leave(self) -> None:
        """Begin to ask the children to end."""
        leaving.begin(self)

    def send(self, signal: int) -> None:
        """Pass one more signal on to those that were asked to end."""
        leaving.send(self, signal)

    def spawner_lost(self) -> None:
        """No process can be started any more."""
        for name, child in tuple(self.children.items()):
            if child.phase == STARTING:
                self.note(name, outcome="failed")
        if self.is_held():
            self._lose_spawner_in_pause()
            return
        super().spawner_lost()
        if self.stop is not None and not self.stop.barren and any(map(self.is_hook, self.children)):
            self.stop = replace(self.stop, barren=True)

    def _lose_spawner_in_pause(self) -> None:
        """All children are dying: there is nothing to look at any more, and no hook can run."""
        for name, child in tuple(self.children.items()):
            if child.phase == STARTING:
                self.put(name, phase=DONE)
        self.tell(SpawnerEnded(stopping=True))
        if self.stop is not None:
            self.stop = replace(self.stop, barren=True)
        pausing.go_on(self, NOBODY)

    # --- the end ------------------------------------------------------------------------------------------------

    def is_over(self) -> bool:
        """Tell whether nothing will be started any more; nothing is alive."""
        return self.stop is not None

    def finish(self) -> None:
        """Say how it ended, once."""
        for probe in tuple(self.probes):
            self.abandon(probe)
        super().finish()

    def count(self) -> int:
        """Return how many children the run was about."""
        return len(self.state.essential)

    def chain(self) -> tuple[Link, ...]:
        """Return what led to the cause."""
        return reach.chain(self)

    def is_hook(self, name: str) -> bool:
        """Tell whether a child is a hook."""
        return is_hook(self.rule(name))

    def code_if_complete(self) -> int:
        """Return the exit code of a run that came to its end by itself."""
        if self.noted is not None:
            return self.noted.code
        return ExitCode.OK if self.children else ExitCode.NOTHING_SELECTED
