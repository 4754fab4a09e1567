"""The state diagram of a child, drawn from what the policy does: `python -m tests.supervise.state_diagram` prints it.

Many random runs of a few small configurations are played through the real policy. Every change of a child's phase
becomes an arrow, named after the event that led to it, as it looks from that child.
"""

from __future__ import annotations

import random
from functools import cache
from typing import TYPE_CHECKING

from vaggapy.config.model import MODES
from vaggapy.config.rules import (
    EXEC,
    IS_HEALTHY,
    ON_FAIL_RESTART,
    ON_FAIL_SPAWN,
    PROCESS_EXITED,
    TCP,
    UNLIMITED,
    Check,
    Depend,
    Health,
    Ready,
    Restart,
    Rule,
    Rules,
    When,
)
from vaggapy.supervise import policy
from vaggapy.supervise.events import (
    INT,
    READY,
    Became,
    Begin,
    Event,
    Exited,
    Probe,
    Probed,
    Signalled,
    SpawnerLost,
    SpawnFailed,
    Started,
    TimerFired,
)
from vaggapy.supervise.state import DONE, DORMANT, PHASES, RUNNING, STARTING, WAITING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vaggapy.supervise.state import Child, State

WALKS, LENGTH = 45, 40
CHECK = Check(EXEC, words=("true",))
TWICE = Restart(2)
SOON = Restart(UNLIMITED, at_once=True)

CHILDREN = {
    "plain": Rule(),
    "restart": Rule(restart=TWICE),
    "soon": Rule(restart=SOON),
    "once": Rule(once=True, condition=CHECK),
    "depends": Rule(depends=(Depend(Check(TCP, "h:1"), timeout=5.0), Depend(Check(PROCESS_EXITED, "once")))),
    "skips": Rule(depends=(Depend(Check(IS_HEALTHY, "sick"), timeout=3.0, skips=True),), condition=CHECK),
    "when": Rule(when=When("once", "exit-success", timeout=4.0), restart=TWICE),
    "each": Rule(when=When("sick", "unhealthy", each=True)),
    "tick": Rule(when=When(interval=2.0), restart=TWICE),
    "timed": Rule(when=When(interval=2.0), depends=(Depend(Check(TCP, "h:1"), timeout=3.0),), condition=CHECK),
    "sick": Rule(health=Health(CHECK, 1.0, 1.0, on_fail=ON_FAIL_RESTART), restart=SOON),
    "ready": Rule(ready=Ready(notify=True, timeout=2.0)),
    "watched": Rule(watches=(Health(CHECK, 1.0, 1.0, name="w", on_fail=ON_FAIL_SPAWN, spawn="rescue"),), restart=SOON),
    "rescue": Rule(dormant=True, once=True),
    "heals": Rule(dormant=True, depends=(Depend(Check(TCP, "h:1"), retry=False),)),
    "kept": Rule(watches=(Health(CHECK, 1.0, 1.0, name="w", on_fail=ON_FAIL_SPAWN, spawn="heals"),), restart=SOON),
    "hook": Rule(when=When("plain", "stopping")),
    "after": Rule(when=When("plain", "stopped")),
    "last": Rule(when=When("global", "shutdown"), condition=CHECK),
    "aside": Rule(coprocess=True, restart=TWICE),
}
GROUPS = (
    ("plain", "restart", "hook", "after", "last"),
    ("once", "when", "depends"),
    ("sick", "each", "skips"),
    ("watched", "rescue", "aside"),
    ("kept", "heals"),
    ("tick", "soon"),
    ("timed", "plain"),
    ("tick", "once", "plain"),
    ("ready", "each", "sick"),
    tuple(CHILDREN),
)

Arrow = tuple[str, str, str]


@cache
def arrows(walks: int = WALKS, length: int = LENGTH) -> frozenset[Arrow]:
    """Return every change of a phase that was seen: (before, after, why)."""
    found: set[Arrow] = set()
    for group in GROUPS:
        rules = Rules({name: CHILDREN[name] for name in group})
        for walk in range(walks):
            mode = MODES[walk % len(MODES)]
            found |= set(_walk(random.Random(walk), policy.initial(mode, group, 2.0, rules), length))
    return frozenset(found)


def _walk(chance: random.Random, state: State, length: int) -> Iterator[Arrow]:
    """Play one run, with an event that fits at each step."""
    now = 0.0
    probes: dict[str, Probe] = {}
    event: Event = Begin(now)
    for _ in range(length):
        before = state
        state, actions = policy.step(state, event)
        probes.update({action.id: action for action in actions if isinstance(action, Probe)})
        probes = {known: probe for known, probe in probes.items() if state.probes.get(known) == probe.number}
        for name, child in state.children.items():
            was = before.children[name]
            if (was.phase, was.incarnation) != (child.phase, child.incarnation):
                yield was.phase, child.phase, _why(before, state, event, name, was)
        events = list(_possible(state, probes, now, chance))
        if state.finished or not events:
            return
        event = chance.choice(events)
        now = event.now


def _possible(state: State, probes: dict[str, Probe], now: float, chance: random.Random) -> Iterator[Event]:
    for name, child in state.children.items():
        if child.phase == STARTING:
            yield from (Started(now, name, child.incarnation, 1),) * 3
            yield SpawnFailed(now, name, child.incarnation, 127, "")
        elif child.phase == RUNNING:
            later = now + chance.random()
            yield Exited(later, name, child.incarnation, chance.choice((0, 0, 1)))
            yield Became(later, name, child.incarnation, READY)
    for probe in probes.values():
        yield Probed(now, probe.id, probe.number, chance.random() < 0.5)
    if state.timers:
        due = min(state.timers, key=lambda timer: (state.timers[timer], timer))
        yield from (TimerFired(max(now, state.timers[due]), due),) * 2
    if chance.random() < 0.1:
        yield Signalled(now, INT)
    if chance.random() < 0.02:
        yield SpawnerLost(now)


OF_ITSELF = {
    "backoff": "its wait is over",
    "interval": "a tick",
    "when": "what it waits for does not come",
    "poll": "",
    "gate": "what it waits for does not come",
}


def _why(before: State, after: State, event: Event, name: str, was: Child) -> str:
    """Return what an event is for a child."""
    match event:
        case Begin():
            return "the run begins"
        case Started(_, other) if other == name:
            return "its program runs"
        case SpawnFailed(_, other) if other == name:
            return "it cannot be started"
        case Exited(_, other) if other == name:
            return "its condition ends" if was.life is not None and was.life.conditional else "it ends"
        case TimerFired(_, timer) if timer.partition(" ")[2] == name and timer.partition(" ")[0] in OF_ITSELF:
            return OF_ITSELF[timer.partition(" ")[0]]
        case SpawnerLost():
            return "the run stops"
        case _:
            pass
    if before.stop is None and after.stop is not None and after.children[name].phase == DONE:
        return "the run stops"
    if was.phase == WAITING and after.children[name].phase in (DONE, DORMANT):
        return "what it waits for does not come"
    return "what it waits for comes"


def diagram(found: frozenset[Arrow]) -> str:
    """Return the arrows as a diagram for Mermaid, those of one pair of phases as one."""
    lines = ["stateDiagram-v2", f"    [*] --> {WAITING}"]
    for before in PHASES:
        for after in PHASES:
            why = sorted({reason for first, second, reason in found if (first, second) == (before, after)})
            if why:
                lines.append(f"    {before} --> {after}: {', '.join(why)}")
    return "\n".join([*lines, f"    {DONE} --> [*]"]) + "\n"


if __name__ == "__main__":
    print(diagram(arrows()), end="")  # noqa: T201 - this is what it is for
