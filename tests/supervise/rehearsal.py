"""A run on a virtual clock: the real policy, and a small world that answers it. No process, no clock.

`Rehearsal` starts children at once (unless it is `slow`), fires timers when time advances, and answers probes as the
history says. Children end only when the history says so. What the policy does is told in words, see `words`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vaggapy.supervise.events import (
    CONT,
    HUP,
    INT,
    PIPE,
    QUIT,
    TERM,
    TSTP,
    Abandon,
    Action,
    Advertise,
    Became,
    CancelTimer,
    CheckFailed,
    CheckRecovered,
    ChildEnded,
    ChildNotStarted,
    ChildSkipped,
    ChildUnmet,
    Ended,
    Event,
    Exited,
    Finish,
    HealthChanged,
    Kill,
    Matched,
    Met,
    NeverStarted,
    NotPaused,
    NotSpawned,
    Pause,
    Probe,
    Probed,
    Proceed,
    Report,
    Restarting,
    Resume,
    Resumed,
    SetTimer,
    Signal,
    Signalled,
    Spawn,
    SpawnFailed,
    Started,
    StillAlive,
    StopPaused,
    StopResumed,
    Suspend,
    SuspendSelf,
    TimerFired,
    TookTooLong,
    Waiting,
    WatchChanged,
)
from vaggapy.supervise.policy import initial, step

if TYPE_CHECKING:
    from vaggapy.config.rules import Check, Rules
    from vaggapy.supervise.events import Told

NUMBERS = {
    "HUP": HUP, "INT": INT, "QUIT": QUIT, "KILL": 9, "USR1": 10, "USR2": 12, "PIPE": PIPE, "TERM": TERM, "CONT": CONT,
    "TSTP": TSTP,
}  # fmt: skip
SIGNALS = {number: name for name, number in NUMBERS.items()}
MOMENT = 1e-6
"""Two times that differ by less are the same."""
AT_ONCE = 200
"""More events than this without any time in between are a loop without end."""


class Open(NamedTuple):
    """A probe that nobody has answered yet; `due` is when its time is over."""

    number: int
    target: str
    due: float


Words = tuple[str, ...]


class Rehearsal:
    """One run. `now` is the time; `done` has everything that the policy did, as (time, action), in order."""

    def __init__(self, mode: str, names: Words, grace: float, rules: Rules | None, *, slow: bool = False) -> None:
        self.state = initial(mode, names, grace, rules)
        self.now = 0.0
        self.slow = slow
        self.done: list[tuple[float, Action]] = []
        self.timers: dict[str, float] = {}
        self.probes: dict[str, Open] = {}
        self.answers: dict[str, str] = {}
        self.incarnations: dict[str, int] = {}
        self.finished: int | None = None
        self._due: list[Event] = []

    # --- what the history says ---

    def feed(self, event: Event) -> None:
        """Let the policy take one event, and then whatever follows at the same moment."""
        self.now = event.now
        self._due.append(event)
        for _ in range(AT_ONCE):
            if not self._due:
                return
            event = self._due.pop(0)
            before = dict(self.timers)
            self.state, actions = step(self.state, event)
            for action in actions:
                self.done.append((self.now, action))
                self._carry_out(action)
            fresh = [name for name, at in self.timers.items() if at <= self.now and before.get(name) != at]
            self._due += [self._fire(name) for name in fresh]
        raise AssertionError(f"no end at {self.now}: {self.done[-6:]}")

    def advance(self, until: float, *, inclusive: bool = True) -> None:
        """Fire timers and end probes up to that time, in the order of their times."""
        margin = MOMENT if inclusive else -MOMENT
        for _ in range(100_000):
            at, timer, probe = self._next()
            if at > until + margin:
                break
            self.now = max(self.now, at)
            if timer:
                self.feed(self._fire(timer))
            else:
                self.feed(Probed(self.now, probe, self.probes.pop(probe).number, passed=False, detail="timed out"))
        else:
            raise AssertionError("too many timers")
        self.now = max(self.now, until)

    def check(self, target: str, answers: str) -> None:
        """Say how checks of a target end: letters p (passes), f (fails) and h (hangs), one for each look, the last
        for all that follow; or `=VALUE`: it passes with that value."""
        self.answers[target] = answers
        for name, probe in tuple(self.probes.items()):
            if probe.target == target:
                self._answer(name, probe)
        if self._due:
            self.feed(self._due.pop(0))

    def started(self, name: str) -> Started:
        return Started(self.now, name, self.incarnations[name], 100)

    # --- what the policy asks for ---

    def _next(self) -> tuple[float, str, str]:
        moments = [(at, timer, "") for timer, at in self.timers.items()]
        moments += [(probe.due, "", name) for name, probe in self.probes.items()]
        return min(moments, default=(float("inf"), "", ""), key=lambda moment: moment[0])

    def _fire(self, timer: str) -> TimerFired:
        at = self.timers.pop(timer)
        return TimerFired(max(self.now, at), timer)

    def _carry_out(self, action: Action) -> None:
        match action:
            case Spawn(name, incarnation):
                self.incarnations[name] = incarnation
                if not self.slow:
                    self._due.append(self.started(name))
            case SetTimer(id, at):
                self.timers[id] = at
            case CancelTimer(id):
                self.timers.pop(id, None)
            case Probe(id, number, check, timeout):
                probe = Open(number, target(check), self.now + timeout)
                self.probes[id] = probe
                self._answer(id, probe)
            case Abandon(id):
                self.probes.pop(id, None)
            case Finish(code):
                self.finished = code
            case _:
                pass

    def _answer(self, name: str, probe: Open) -> None:
        answers = self.answers.get(probe.target, "h")
        if answers.startswith("="):
            letter, value = "p", answers[1:]
        else:
            letter, value = answers[0], ""
            self.answers[probe.target] = answers[1:] or answers
        if letter == "h":
            return
        del self.probes[name]
        passed = letter == "p"
        self._due.append(Probed(self.now, name, probe.number, passed, "" if passed else "no", value))


def target(check: Check) -> str:
    """Return the name of what a check looks at, as histories write it."""
    return " ".join(check.words) or check.target


def read_event(run: Rehearsal, now: float, words: list[str]) -> Event | None:
    """Return the event that a line of a history tells; None when it only says how checks end."""
    match words:
        case [name, "runs"]:
            return Started(now, *which(run, name), 100)
        case [name, "exits", code]:
            return Exited(now, *which(run, name), int(code))
        case [name, "killed", "by", signal]:
            return Exited(now, *which(run, name), 0, int(signal))
        case [name, "fails", code]:
            return SpawnFailed(now, *which(run, name), int(code), "why")
        case [name, "ready"]:
            return Became(now, *which(run, name), "ready")
        case [name, "prints", *text]:
            return Matched(now, *which(run, name), " ".join(text))
        case ["check", *words, answers]:
            run.now = now
            run.check(" ".join(words), answers)
            return None
        case ["ENTER"]:
            return Resumed(now)
        case [signal]:
            return Signalled(now, NUMBERS[signal])
        case _:
            raise ValueError(words)


def which(run: Rehearsal, name: str) -> tuple[str, int]:
    """Return a child and its incarnation: the latest one, or that of `NAME#NUMBER`."""
    plain, _, number = name.partition("#")
    return plain, int(number) if number else run.incarnations.get(plain, 0)


# --- in words -----------------------------------------------------------------------------------------------


def words(action: Action) -> list[Words]:
    """Return an action as histories write it; nothing for timers and for what no history is about."""
    match action:
        case Spawn(name, _, condition, environ):
            first = ("condition" if condition else "start", name)
            return [first, *(("environ", name, f"{key}={value}") for key, value in environ)]
        case Signal(name, signal):
            return [(SIGNALS[signal], name)]
        case Kill(name):
            return [("kill", name)]
        case Suspend(name):
            return [("suspend", name)]
        case Resume(name):
            return [("resume", name)]
        case SuspendSelf():
            return [("suspend", "itself")]
        case Finish(code):
            return [("finish", str(code))]
        case Probe():
            return [("probe", target(action.check))]
        case Abandon():
            return [("abandon",)]
        case Pause():
            return [("pause",)]
        case Proceed():
            return [("proceed",)]
        case Advertise(name, status):
            return [("advertise", name, status)]
        case Report(record):
            return told(record)
        case _:
            return []


def told(record: Told) -> list[Words]:
    match record:
        case ChildEnded():
            return [("ended", record.name, str(record.code), record.cause)]
        case ChildNotStarted():
            return [("not-started", record.name, str(record.code), record.cause)]
        case ChildUnmet():
            return [("unmet", record.name, "skipped" if record.skipped else str(record.code))]
        case ChildSkipped(name, code):
            return [("skipped", name, str(code))]
        case Restarting(name, wait, left):
            return [("backoff", name, f"{round(wait, 3):g}"), ("left", name, str(left))]
        case Waiting(name):
            return [("waits", name)]
        case Met(name):
            return [("met", name)]
        case HealthChanged(name, healthy):
            return [("healthy" if healthy else "unhealthy", name)]
        case CheckFailed(name, check, _, action):
            return [("failed", name, check, *action.split())]
        case CheckRecovered(name, check):
            return [("recovered", name, check)]
        case TookTooLong():
            return [("late", record.name, *(["of", record.hook_of] if record.hook_of else []))]
        case NotSpawned(name):
            return [("not-spawned", name)]
        case WatchChanged(watch, instances):
            return [("changed", watch, str(instances))]
        case NeverStarted(waiting):
            return [("never", name) for name, _ in waiting]
        case StillAlive(names):
            return [("still-alive", name) for name in names]
        case StopPaused(chain, running):
            return [("led", *(link.name for link in chain)), *(("there", name) for name, _ in running)]
        case StopResumed(why):
            return [("resumed", why)]
        case NotPaused(name):
            return [("no-pause", name)]
        case Ended(code):
            return [("over", str(code))]
        case _:
            return []
