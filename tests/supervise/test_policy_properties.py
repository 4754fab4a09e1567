"""Random lives of runs: whatever happens, in whatever order, the promises of the policy hold.

`World` is a second, simpler account of what must be true, kept beside the policy: who is alive, which signals
each child must have got, when a kill is allowed, which exit code was fixed. A life is decided by a stream of
numbers, so hypothesis and plain seeded randomness drive the same code.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vaggapy.config.model import MODES, STOP_ON_FAILURE
from vaggapy.supervise.events import (
    CONT,
    GRACE,
    HUP,
    INT,
    PIPE,
    QUIT,
    TERM,
    TSTP,
    Action,
    Begin,
    CancelTimer,
    Event,
    Exited,
    Finish,
    Kill,
    Report,
    Resume,
    SetTimer,
    Signal,
    Signalled,
    Spawn,
    SpawnerLost,
    SpawnFailed,
    Started,
    Suspend,
    SuspendSelf,
    TimerFired,
)
from vaggapy.supervise.policy import initial, step

if TYPE_CHECKING:
    from collections.abc import Iterator

CODE_OF = {INT: 130, QUIT: 131, TERM: 143, HUP: 129, PIPE: 141}
SENT_FOR = {INT: INT, QUIT: QUIT, TERM: TERM, HUP: HUP, PIPE: TERM}
USELESS = (9, 10, 17, 28)


class World:
    """What must be true, told apart from the policy's own state."""

    def __init__(self, mode: str, names: tuple[str, ...], grace: float) -> None:
        self.names = names
        self.mode = mode
        self.grace = grace
        self.state = initial(mode, names, grace)
        self.now = 0.0
        self.begun = False
        self.incarnations = dict.fromkeys(names, 0)
        self.starting: set[str] = set()
        self.running: set[str] = set()
        self.asleep: set[str] = set()
        self.suspended = False
        self.got: dict[str, list[int]] = {name: [] for name in names}
        self.killed: set[str] = set()
        self.code: int | None = None
        self.stopped_at = 0.0
        self.sent: list[int] = []
        self.insisted = 0
        self.killing = False
        self.timer: float | None = None
        self.finished: int | None = None

    @property
    def alive(self) -> set[str]:
        return self.starting | self.running

    # --- what an event means, before the policy sees it: False when it is stray ---

    def expect(self, event: Event) -> bool:
        if self.finished is not None:
            return False
        match event:
            case Begin():
                fresh, self.begun = not self.begun, True
                return fresh
            case Started(_, name, incarnation):
                if name not in self.starting or incarnation != self.incarnations[name]:
                    return False
                self.starting.discard(name)
                self.running.add(name)
            case Exited(now, name, incarnation, code, signal):
                if name not in self.alive or incarnation != self.incarnations[name]:
                    return False
                self.bury(name)
                self.ended(now, 128 + signal if signal else code)
            case SpawnFailed(now, name, incarnation, code):
                if name not in self.starting or incarnation != self.incarnations[name]:
                    return False
                self.bury(name)
                self.stop(now, code, TERM)
            case Signalled(now, signal):
                return self.signalled(now, signal)
            case TimerFired(now, id):
                if id != GRACE or self.timer is None or now < self.timer:
                    return False
                self.timer = None
                self.killing = True
            case SpawnerLost(now):
                fresh = self.code is None or bool(self.starting)
                for name in tuple(self.starting):
                    self.bury(name)
                self.stop(now, 124, 0)
                return fresh
            case _:
                return False  # only with rules
        return True

    def bury(self, name: str) -> None:
        self.starting.discard(name)
        self.running.discard(name)
        self.asleep.discard(name)

    def ended(self, now: float, code: int) -> None:
        if code or self.mode == STOP_ON_FAILURE:
            self.stop(now, code, TERM)

    def stop(self, now: float, code: int, signal: int) -> None:
        if self.code is None:
            self.code = code
            self.stopped_at = now
            if signal:
                self.send(signal)

    def send(self, signal: int) -> None:
        self.suspended = False
        for name in self.running:
            self.got[name].append(-signal)
        if signal not in self.sent:
            self.sent.append(signal)

    def signalled(self, now: float, signal: int) -> bool:
        if signal == TSTP:
            self.suspended = True
            return True
        if signal == CONT:
            fresh, self.suspended = self.suspended, False
            return fresh
        if signal not in SENT_FOR:
            return False
        if self.code is None:
            self.insisted += signal in (INT, QUIT, TERM)
            self.stop(now, CODE_OF[signal], SENT_FOR[signal])
            return True
        if self.killing:
            return False
        if signal in (HUP, PIPE):
            if SENT_FOR[signal] in self.sent:
                return False
            self.send(SENT_FOR[signal])
            return True
        self.insisted += 1
        if self.insisted > 1:
            self.killing = True
        else:
            self.send(signal)
        return True

    # --- what the policy may do, and must ---

    def feed(self, event: Event) -> None:
        self.now = event.now
        before, early = self.state, self.timer
        suspended = self.suspended
        due = self.expect(event)
        if isinstance(event, Started) and due:
            # In debt for what the others got while this one was starting.
            self.got[event.name] = [-signal for signal in self.sent] if not self.killing else []
        self.state, actions = step(before, event)
        if not due:
            assert self.state is before, f"stray {event} changed the state"
            if isinstance(event, TimerFired) and event.id == GRACE and early is not None and self.finished is None:
                assert actions == (SetTimer(GRACE, early),)
                return
            assert actions == (), f"stray {event} had an effect"
            return
        for position, action in enumerate(actions):
            self.carry_out(action)
            assert self.finished is None or position == len(actions) - 1, "something follows Finish"
        self.check(event, actions, suspended)

    def carry_out(self, action: Action) -> None:
        match action:
            case Spawn(name, incarnation):
                assert self.code is None, "spawned while stopping"
                assert name not in self.alive, "two live incarnations"
                assert incarnation > self.incarnations[name]
                self.incarnations[name] = incarnation
                self.starting.add(name)
            case Signal(name, signal):
                assert name in self.running, "signal to one that does not run"
                assert self.code is not None
                assert -signal in self.got[name], f"{name} did not deserve {signal}"
                self.got[name][self.got[name].index(-signal)] = signal
            case Kill(name):
                assert name in self.alive
                assert name not in self.killed, "killed twice"
                assert self.code is not None
                assert self.insisted > 1 or self.now >= self.stopped_at + self.grace, "killed before the time"
                self.killed.add(name)
            case Suspend(name):
                assert name in self.running
                self.asleep.add(name)
            case Resume(name):
                assert name in self.running
                self.asleep.discard(name)
            case SetTimer(id, at):
                assert id == GRACE
                assert self.timer is None
                assert at == self.stopped_at + self.grace
                self.timer = at
            case CancelTimer(id):
                assert id == GRACE
                assert self.timer is not None, "cancelled what is not set"
                self.timer = None
            case Finish(code):
                assert not self.alive, "finished while some are alive"
                assert code == self.expected_code()
                self.finished = code
            case SuspendSelf() | Report():
                pass
            case _:
                raise AssertionError(f"{action} without rules")

    def expected_code(self) -> int:
        if self.code is not None:
            return self.code
        return 0 if self.names else 127

    def check(self, event: Event, actions: tuple[Action, ...], suspended: bool) -> None:
        over = not self.alive and (self.begun or self.code is not None)
        assert (self.finished is not None) == over, "finishes when and only when nothing is alive"
        assert not any(signal < 0 for name in self.running for signal in self.got[name]), "a signal was not sent"
        if self.finished is not None:
            assert self.timer is None, "a timer outlives the run"
            return
        if self.killing:
            assert self.running <= self.killed, "one was forgotten in the kill"
            assert self.timer is None
        elif self.code is not None:
            assert self.timer == self.stopped_at + self.grace, "no deadline"
        assert self.asleep == (self.running if self.suspended else set())
        stops_itself = any(isinstance(action, SuspendSelf) for action in actions)
        assert stops_itself == (isinstance(event, Signalled) and event.signal == TSTP)
        assert self.code is not None or not self.killed
        assert suspended or self.suspended or not any(isinstance(action, Resume) for action in actions)


def choose_event(world: World, draw: Iterator[int]) -> Event:
    """Make an event that is likely to fit, or, one time in six, any."""
    now = world.now + next(draw) % 8 / 4
    kind, pick, code = next(draw) % 24, next(draw), next(draw)
    wild = next(draw) % 6 == 0
    names = (*world.names, "stranger")
    name = names[pick % len(names)]
    incarnation = world.incarnations.get(name, 0)
    if wild:
        incarnation += pick % 3 - 1
    starting, alive = sorted(world.starting), sorted(world.alive)
    if kind < 6 and (starting or wild):
        return Started(now, name if wild else starting[pick % len(starting)], incarnation if wild else 1, 100 + pick)
    if kind < 13 and (alive or wild):
        chosen = name if wild else alive[pick % len(alive)]
        return Exited(now, chosen, incarnation if wild else 1, code % 3, (0, 0, 0, 0, 9, TERM)[code % 6])
    if kind < 15 and (starting or wild):
        chosen = name if wild else starting[pick % len(starting)]
        return SpawnFailed(now, chosen, incarnation if wild else 1, 126 + code % 2, "why")
    if kind < 20:
        return Signalled(now, (INT, INT, QUIT, TERM, HUP, HUP, PIPE, PIPE, TSTP, TSTP, CONT, CONT, *USELESS)[pick % 16])
    if kind < 22:
        at = world.timer if world.timer is not None and pick % 4 else now
        return TimerFired(max(now, at), "other" if wild else GRACE)
    if kind == 22 and code % 4 == 0:
        return SpawnerLost(now)
    return Begin(now)


def live(draw: Iterator[int]) -> World:
    """Run one whole life, then end what is left: it must finish, whatever came before."""
    mode = MODES[next(draw) % 2]
    names = ("a", "b", "c", "d")[: (3, 1, 2, 4, 3, 2, 0)[next(draw) % 7]]
    world = World(mode, names, next(draw) % 5 / 2)
    if next(draw) % 8:
        world.feed(Begin(0.0))
    try:
        while True:
            world.feed(choose_event(world, draw))
    except StopIteration:
        pass
    close(world)
    return world


def close(world: World) -> None:
    """Nobody obeys: answer every start, let the time run out, and report the end of the killed."""
    world.feed(Begin(world.now))
    world.feed(Signalled(world.now, TERM))
    for name in sorted(world.starting):
        world.feed(Started(world.now, name, 1, 100))
    if world.timer is not None:
        world.feed(TimerFired(max(world.now, world.timer), GRACE))
    assert world.running <= world.killed
    for name in sorted(world.running):
        world.feed(Exited(world.now + 0.1, name, 1, 0, 9))
    assert world.finished is not None, "never finished"
    world.feed(Signalled(world.now, INT))
    world.feed(Begin(world.now))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("first", [0, 1, 2])
def test_a_second_account_agrees_on_a_plain_run(mode: str, first: int) -> None:
    world = World(mode, ("a", "b", "c"), 2.0)
    world.feed(Begin(0.0))
    for name in world.names:
        world.feed(Started(0.1, name, 1, 5))
    for name in world.names:
        world.feed(Exited(1.0, name, 1, first))

    assert world.finished == first


def numbers(seed: int) -> Iterator[int]:
    source = random.Random(seed)
    for _ in range(source.randrange(4, 240)):
        yield source.randrange(1 << 16)


def test_the_promises_hold_in_4000_random_lives() -> None:
    """supervision 3.1, supervision 3.4, supervision 3.6, supervision 3.8, supervision 5.2 among others."""
    finished = set()
    for seed in range(4000):
        finished.add(live(numbers(seed)).finished)

    assert finished >= {0, 1, 2, 124, 126, 127, 129, 130, 131, 137, 141, 143}


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, (1 << 16) - 1), min_size=4, max_size=120))
def test_the_promises_hold_whatever_hypothesis_finds(drawn: list[int]) -> None:
    assert live(iter(drawn)).finished is not None
