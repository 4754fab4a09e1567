"""Run the real policy on a clock of its own: nothing is started, and time passes at once. Pure.

`simulate` takes what a run would be given and what is to happen in it, and returns what vagga would do, when, and how
it would end. What happens where the scenario is silent is said in `world.py`.
"""

from __future__ import annotations

from vaggapy.errors import ExitCode, visible
from vaggapy.record import Record
from vaggapy.supervise import policy, story
from vaggapy.supervise.events import (
    FIRST,
    REQUESTED,
    ChildEnded,
    ChildNotStarted,
    ChildStarted,
    ChildUnmet,
    Ended,
    HealthChanged,
    Met,
    Restarting,
    SignalReceived,
    SpawnerEnded,
    StillAlive,
    StopPaused,
    Waiting,
)
from vaggapy.supervise.messages import duration, signal_name, status
from vaggapy.supervise.ruled.life import COMPLETED, FAILED, PLAIN, SKIPPED, describe_when
from vaggapy.supervise.state import BACKOFF, DORMANT, IDLE, RUNNING, STARTING, WAITING
from vaggapy.supervise.world import World

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.rules import Rule, Rules
    from vaggapy.supervise.events import Told
    from vaggapy.supervise.scenario import Scenario
    from vaggapy.supervise.state import Child


STOPPED = "stopped"
"""How a child is at the end that ended because it was asked to."""


class Line(Record):
    """What happened at one time."""

    at: float
    text: str


class Outcome(Record):
    """A simulated run. `states`: each child (name, how it is at the end). `ended` None: it goes on; `at`: until when.

    `quiet`: nothing more will happen by itself.
    """

    lines: tuple[Line, ...]
    states: tuple[tuple[str, str], ...]
    code: int
    at: float
    ended: Ended | None
    quiet: bool


def simulate(mode: str, names: tuple[str, ...], grace: float, rules: Rules | None, scenario: Scenario) -> Outcome:
    """Return what happens in a run of these children, and how it ends."""
    world = World(policy.initial(mode, names, grace, rules), rules, scenario)
    world.run()
    diary = _Diary()
    for at, heard in world.heard:
        diary.write(at, heard)
    known = rules.children if rules is not None else {}
    states = tuple((name, diary.how(name, world.state.children[name], known.get(name, PLAIN))) for name in names)
    code = world.ended.code if world.ended is not None else ExitCode.OK
    return Outcome(tuple(diary.lines), states, code, world.now, world.ended, world.is_quiet)


class _Diary:
    """What happened, line by line, and what was last heard of each child."""

    def __init__(self) -> None:
        """Begin without knowing anything."""
        self.lines: list[Line] = []
        self._begun: dict[str, Line] = {}
        self._runs: dict[str, int] = {}
        self._waits: dict[str, str] = {}
        self._due: dict[str, float] = {}
        self._ends: dict[str, ChildEnded | ChildNotStarted | ChildUnmet] = {}
        self._healthy: dict[str, bool] = {}

    def write(self, at: float, heard: Told | str) -> None:
        """Take in what happened; the end of the run, and what a child need not wait for, are no lines."""
        match heard:
            case str():
                self.lines.append(Line(at, visible(heard)))
            case Ended():
                pass
            case Met(name) if name in self._begun and self._begun[name].at == at:
                self.lines.remove(self._begun.pop(name))
            case _:
                self._note(at, heard)
                self.lines.append(Line(at, self._line(heard)))
                if isinstance(heard, Waiting):
                    self._begun[heard.name] = self.lines[-1]

    def _note(self, at: float, told: Told) -> None:
        match told:
            case ChildStarted(name):
                self._runs[name] = self._runs.get(name, 0) + 1
                self._healthy.pop(name, None)
            case ChildEnded(name) | ChildNotStarted(name) | ChildUnmet(name):
                self._ends[name] = told
            case HealthChanged(name, healthy):
                self._healthy[name] = healthy
            case Waiting(name, what):
                self._waits[name] = what
            case Restarting(name, wait):
                self._due[name] = at + wait
            case _:
                pass

    def _line(self, told: Told) -> str:
        if isinstance(told, ChildStarted):
            run = self._runs[told.name]
            return f"{visible(told.name)} starts{f', run {run}' if run > 1 else ''}"
        return _line(told)

    def how(self, name: str, child: Child, rule: Rule) -> str:
        """Return how a child is at the end."""
        match child.phase:
            case phase if phase == RUNNING:
                health = self._healthy.get(name)
                return RUNNING if health is None else f"{RUNNING}, {'' if health else 'un'}healthy"
            case phase if phase == WAITING:
                what = self._waits.get(name) or _awaits(rule)
                return f"pending: {what}" if what else "pending"
            case phase if phase == BACKOFF:
                return f"{BACKOFF}: restarts at {duration(self._due[name])}"
            case phase if phase == IDLE:
                return f"{IDLE}: {_awaits(rule)}"
            case phase if phase == STARTING or (phase == DORMANT and name not in self._ends):
                return phase
        end = self._ends.get(name)
        if end is None or (child.life is not None and child.life.outcome == SKIPPED):
            return SKIPPED
        if end.cause == REQUESTED and end.code:
            return STOPPED
        how = f"{FAILED} {end.code}" if end.code else COMPLETED
        return f"{DORMANT} again, {how}" if child.phase == DORMANT else how


def _awaits(rule: Rule) -> str:
    """Return what starts a child (again), "" if nothing has to."""
    when = rule.when
    if when is None:
        return ""
    return f"the next tick ({duration(when.interval)})" if when.interval else describe_when(when)


def _line(told: Told) -> str:
    """Return what happened, in the words of this list."""
    match told:
        case ChildEnded(name, cause=cause):
            was = "is " if told.signal else ""
            return f"{visible(name)} {was}{status(told)}{'; that stops the run' if cause == FIRST else ''}"
        case ChildNotStarted(name, _, _, why):
            return f"{visible(name)} could not be run: {visible(why)}"
        case SignalReceived(signal, killing=killing):
            return f"vagga gets {signal_name(signal)}{' again, and kills' if killing else ''}"
        case SpawnerEnded():
            return "the spawner is lost"
        case StopPaused(_, running):
            return f"vagga pauses before the stop; still there: {', '.join(visible(name) for name, _ in running)}"
        case StillAlive(still, seconds):
            return f"still alive after {duration(seconds)}: {', '.join(map(visible, still))}"
        case ChildStarted() | Ended():
            return ""  # told in other ways
        case _:
            return story.sentence(told)
