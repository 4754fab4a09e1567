"""A second account of a run with rules, beside the policy: what must hold after every step, whatever the rules are.

`Life` keeps who is alive, which timers and probes are open and why the run stops, from the actions and reports alone,
and asserts with each step what the policy promises. Nothing here needs pytest: the soak of `bench/` uses it too.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from vaggapy.config.model import KEEP_GOING
from vaggapy.config.rules import EXEC, ON_FAIL_RESTART, SHUTDOWN, STOPPED, STOPPING, UNLIMITED, Rule
from vaggapy.supervise.events import (
    FIRST,
    HUP,
    INT,
    NOTED,
    PIPE,
    QUIT,
    RESTARTS,
    TERM,
    TSTP,
    Abandon,
    Action,
    Advertise,
    Begin,
    CancelTimer,
    CheckFailed,
    ChildEnded,
    ChildNotStarted,
    ChildStarted,
    ChildUnmet,
    Event,
    Exited,
    Finish,
    HealthChanged,
    Kill,
    NeverStarted,
    Pause,
    Probe,
    Probed,
    Proceed,
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
    Suspend,
    SuspendSelf,
    TimerFired,
)
from vaggapy.supervise.policy import initial, step, wanted_lines

if TYPE_CHECKING:
    from tests.supervise.rules_random import Setup
    from vaggapy.supervise.events import Told
    from vaggapy.supervise.state import State

CODE_OF = {INT: 130, QUIT: 131, TERM: 143, HUP: 129, PIPE: 141}
INSISTENT = (INT, QUIT, TERM)
HOOKS = (STOPPING, STOPPED, SHUTDOWN)
MARGIN = 1e-6
PLAIN = Rule()


class Run:
    """What is known of the latest incarnation of a child."""

    def __init__(self, incarnation: int, spawned: float, condition: bool) -> None:
        self.incarnation = incarnation
        self.spawned = spawned
        self.condition = condition
        self.since: float | None = None
        self.signals: dict[int, float] = {}
        self.killed = False
        self.asleep = False
        self.healthy: bool | None = None


class Life:
    """One run. `feed` gives an event to the policy and checks what follows; `finished` is the code at the end."""

    def __init__(self, given: Setup) -> None:
        self.given = given
        self.rules = given.rules.children
        self.state = initial(given.mode, given.names, given.grace, given.rules)
        self.wanted = [
            (name, text) for name, texts in wanted_lines(given.rules).items() for text in texts if name in given.names
        ]
        self.now = 0.0
        self.steps = 0
        self.recent: deque[Event] = deque(maxlen=8)
        self.begun = False
        self.alive: dict[str, Run] = {}
        self.incarnations = dict.fromkeys(given.names, 0)
        self.runs = dict.fromkeys(given.names, 0)
        self.timers: dict[str, float] = {}
        self.probes: dict[str, tuple[int, Probe]] = {}
        self.probed: dict[str, int] = {}
        self.services: dict[str, str] = {}
        self.asked = 0
        self.lost = False
        self.code: int | None = None
        self.noted: int | None = None
        self.stopped_at: float | None = None
        self.finished: int | None = None
        self.paused = False

    def over(self) -> bool:
        return self.finished is not None

    # --- feeding ---

    def feed(self, event: Event) -> None:
        """Give an event that fits, or `Begin`, a signal and the like, which always do."""
        self.steps += 1
        self.recent.append(event)
        self.now = event.now
        before = self.state
        ended = self.alive.get(event.name) if isinstance(event, Exited) else None
        self._note(event)
        self.state, actions = step(before, event)
        if isinstance(event, Started | Exited):
            self._accounted(event, ended, [action.record for action in actions if isinstance(action, Report)])
        self._stop_began(before, actions)
        for position, action in enumerate(actions):
            assert self.finished is None, f"{action} follows Finish at {position}"
            self._carry_out(action, before.stop is not None, event)
        self._check()

    def feed_stray(self, event: Event) -> None:
        """Give an event that does not fit; it must change nothing."""
        self.steps += 1
        before = self.state
        self.state, actions = step(before, event)
        assert self.state is before, f"stray {event} changed the state"
        assert actions == (), f"stray {event} had an effect: {actions}"

    def _note(self, event: Event) -> None:
        match event:
            case Begin():
                self.begun = True
            case Started(now, name):
                self.alive[name].since = now
            case Exited(_, name) | SpawnFailed(_, name):
                del self.alive[name]
            case Signalled(_, signal):
                self.asked += signal in INSISTENT and not self.paused
            case TimerFired(_, id):
                del self.timers[id]
            case Probed(_, id):
                del self.probes[id]
            case SpawnerLost():
                self.lost = True
                for name in [name for name, run in self.alive.items() if run.since is None]:
                    del self.alive[name]
            case _:
                pass

    def _accounted(self, event: Started | Exited, ended: Run | None, told: list[Told]) -> None:
        """Every start and end of a program is told once, and nothing else is told as one."""
        if isinstance(event, Started):
            found = [record.incarnation for record in told if isinstance(record, ChildStarted)]
            assert found == ([] if self.alive[event.name].condition else [event.incarnation])
            return
        ends = [record for record in told if isinstance(record, ChildEnded)]
        if ended is not None and ended.condition:
            assert not ends
            return
        assert [(record.name, record.incarnation) for record in ends] == [(event.name, event.incarnation)]
        assert ends[0].signal == event.signal
        assert ends[0].code in (128 + event.signal if event.signal else event.code, 125)

    # --- what the policy may do ---

    def _carry_out(self, action: Action, stopping: bool, event: Event) -> None:
        match action:
            case Spawn():
                self._spawned(action)
            case Signal(name, signal):
                self._signalled(name, signal, event)
            case Kill(name):
                run = self.alive.get(name)
                assert run is not None, f"kill of {name}, which is dead"
                assert not run.killed, f"{name} is killed twice"
                assert self._may_kill(name, run), f"{name} is killed without a reason"
                run.killed = True
            case Suspend(name) | Resume(name):
                run = self.alive.get(name)
                assert run is not None and run.since is not None, f"{action} of one that does not run"
                run.asleep = isinstance(action, Suspend)
            case SuspendSelf():
                assert isinstance(event, Signalled) and event.signal == TSTP
            case SetTimer(id, at):
                assert at >= self.now - MARGIN or at >= 0
                self.timers[id] = at
            case CancelTimer(id):
                assert id in self.timers, f"{id} is cancelled, but not set"
                del self.timers[id]
            case Probe() | Abandon():
                self._looked(action, stopping)
            case Advertise(name, status):
                assert self.rules[name].service is not None
                self.services[name] = status
            case Report(record):
                self._told(record, stopping)
            case Pause() | Proceed():
                self._paused(action, stopping)
            case Finish(code):
                self._finish(code)

    def _paused(self, action: Pause | Proceed, stopping: bool) -> None:
        """A run pauses once, when its stop begins, and only where somebody is alive and can answer."""
        assert self.paused == isinstance(action, Proceed)
        self.paused = isinstance(action, Pause)
        if not self.paused:
            self.stopped_at = self.now
            return
        assert not stopping
        assert not self.given.rules.unattended
        assert self.alive
        assert not self.probes
        assert all(timer.startswith("stop ") for timer in self.timers), f"time runs in the pause: {self.timers}"

    def _spawned(self, action: Spawn) -> None:
        name = action.name
        rule = self.rules.get(name, PLAIN)
        assert self.begun and not self.lost, "a start before the beginning, or without a spawner"
        assert not self.paused, f"{name} starts in the pause"
        assert name not in self.alive, f"two of {name}"
        assert action.incarnation > self.incarnations[name]
        assert not action.condition or rule.condition is not None
        if self.state.stop is not None:  # after the step: it may begin with this one
            hook = rule.when is not None and rule.when.event in HOOKS
            assert hook, f"{name} is no hook and starts while the run stops"
            assert self.asked < 2, f"{name} starts though the user insists"
        self.incarnations[name] = action.incarnation
        self.alive[name] = Run(action.incarnation, self.now, action.condition)
        if not action.condition:
            self.runs[name] += 1
            when = rule.when
            periodic = when is not None and when.interval and rule.restart == PLAIN.restart
            triggered = when is not None and when.each
            counted = not rule.dormant and not triggered and not periodic and rule.restart.limit != UNLIMITED
            assert not counted or self.runs[name] <= rule.restart.limit + 1, f"{name} runs too often"

    def _signalled(self, name: str, signal: int, event: Event) -> None:
        run = self.alive.get(name)
        assert run is not None and run.since is not None, f"signal to {name}, which does not run"
        assert not self.paused, f"signal to {name} in the pause"
        # The user's first one is passed on always.
        assert signal not in run.signals or isinstance(event, Signalled), f"{name} gets {signal} twice"
        assert not run.killed, f"{name} gets {signal} after the kill"
        checks = self._checks(name)
        assert self.state.stop is not None or any(what == ON_FAIL_RESTART for what in checks), f"signal to {name}"
        run.signals.setdefault(signal, self.now)

    def _checks(self, name: str) -> list[str]:
        rule = self.rules.get(name, PLAIN)
        repeated = (*rule.watches, rule.health) if rule.health else rule.watches
        return [check.on_fail for check in repeated] + ([rule.ready.on_fail] if rule.ready else [])

    def _may_kill(self, name: str, run: Run) -> bool:
        """Tell whether there is any reason for a kill; each is bounded from below in time."""
        rule = self.rules.get(name, PLAIN)
        now = self.now + MARGIN
        grace = rule.stop.timeout if rule.stop.timeout >= 0 else self.given.grace
        stopping = self.state.stop is not None
        if stopping and self.asked >= 2:
            return True
        if self.stopped_at is not None and now >= self.stopped_at + grace:
            return True
        if rule.stop.timeout == 0 and (stopping or ON_FAIL_RESTART in self._checks(name)):
            return True
        if run.signals and now >= min(run.signals.values()) + grace:
            return True
        if run.since is not None:
            longest = rule.timeout or (rule.when.interval if rule.when else 0.0)
            if longest and not run.condition and now >= run.since + longest:
                return True
        return rule.when is not None and rule.when.event in HOOKS and now >= run.spawned + self._window(rule)

    def _window(self, rule: Rule) -> float:
        assert rule.when is not None
        source = self.given.rules.families.get(rule.when.source, (rule.when.source,))
        of = self.rules.get(source[0] if source else "", PLAIN).stop.hook_timeout
        return of if of >= 0 else self.given.rules.hook_window

    def _looked(self, action: Probe | Abandon, stopping: bool) -> None:
        if isinstance(action, Abandon):
            assert action.id in self.probes, f"{action.id} is abandoned, but not open"
            del self.probes[action.id]
            return
        assert action.id not in self.probes, f"two probes of {action.id}"
        assert action.number > self.probed.get(action.id, 0)
        assert not stopping, "a probe while the run stops"
        assert action.timeout > 0
        if action.check.kind == EXEC:
            run = self.alive.get(action.child)
            assert run is not None and run.since is not None and not run.condition
        self.probes[action.id] = (action.number, action)
        self.probed[action.id] = action.number

    def _told(self, record: Told, stopping: bool) -> None:
        if isinstance(record, ChildEnded | ChildNotStarted | ChildUnmet):
            if stopping:
                assert record.cause not in (FIRST, NOTED, RESTARTS), f"requested, but told as {record.cause}"
            elif record.cause == NOTED and self.noted is None:
                assert self.given.mode == KEEP_GOING
                self.noted = record.code
        elif isinstance(record, HealthChanged) and record.name in self.alive:
            run = self.alive[record.name]
            assert run.healthy is not record.healthy, f"{record.name} becomes what it is"
            run.healthy = record.healthy

    # --- the stop and the end ---

    def _stop_began(self, before: State, actions: tuple[Action, ...]) -> None:
        """Work out the code of the run when its stop begins, from what happened and from what is told of it."""
        if before.stop is not None or self.state.stop is None:
            return
        self.stopped_at = None if self.state.stop.held else self.now
        found = [code for action in actions if isinstance(action, Report) for code in reason(action.record)]
        assert len(found) <= 1, f"more than one reason to stop: {actions}"
        self.code = found[0] if found else None

    def _finish(self, code: int) -> None:
        assert not self.alive, "finished while some are alive"
        expected = self.code
        if expected is None:
            expected = self.noted or (0 if self.given.names else 127)
        assert code == expected, f"finished with {code} instead of {expected}"
        assert not self.timers, f"timers outlive the run: {sorted(self.timers)}"
        assert not self.probes, f"probes outlive the run: {sorted(self.probes)}"
        forgotten = [name for name, status in self.services.items() if status != "gone"]
        assert not forgotten, f"still in the catalog: {forgotten}"
        self.finished = code

    def _check(self) -> None:
        assert len(self.timers) <= 4 + 10 * len(self.given.names), "timers accumulate"
        if self.finished is not None:
            return
        assert self.paused == (self.state.stop is not None and self.state.stop.held)
        assert self.paused or not self.state.delayed
        assert self.alive or not self.paused, "a pause, and nobody is there"
        for name, run in self.alive.items():
            if run.since is not None:
                assert run.asleep == self.state.suspended, f"{name} is not as suspended as the run"
        if self.begun and not self.alive and not self.timers and not self.probes:
            assert self.state.stop is None, "a stop that nothing will end"
            assert self.given.outside, "nothing will ever happen again"


def reason(record: Told) -> list[int]:
    """Return the code of the run if this is told of the reason of its stop."""
    match record:
        case ChildEnded() | ChildNotStarted():
            return [record.code] if record.cause == FIRST else []
        case ChildUnmet():
            return [record.code] if record.cause == FIRST and not record.skipped else []
        case CheckFailed():
            return [125] if record.action in ("shutdown", "debug") else []
        case NeverStarted():
            return [125]
        case SignalReceived():
            return [CODE_OF[record.signal]] if record.signal in CODE_OF and not record.stopping else []
        case SpawnerEnded():
            return [124] if not record.stopping else []
        case _:
            return []
