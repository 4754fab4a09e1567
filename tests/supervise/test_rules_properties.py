"""Whatever the rules are and whatever happens: the promises of the policy hold, and without rules nothing differs."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.supervise import test_policy_properties as plain
from tests.supervise.rules_lives import live
from vaggapy.config.model import STOP_ON_FAILURE, WAIT_ALL_SUCCESSFUL
from vaggapy.config.rules import Rule, Rules
from vaggapy.supervise.events import Begin
from vaggapy.supervise.policy import initial, step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vaggapy.supervise.events import Event

NUMBER = st.integers(0, (1 << 16) - 1)
PLAIN_MODES = (STOP_ON_FAILURE, WAIT_ALL_SUCCESSFUL)


class Twins(plain.World):
    """A plain run, and beside it the same with rules that say nothing."""

    def __init__(self, mode: str, names: tuple[str, ...], grace: float) -> None:
        super().__init__(mode, names, grace)
        empty = initial(mode, names, grace, Rules())
        said = initial(mode, names, grace, Rules(children=dict.fromkeys(names, Rule())))
        self.twins = [empty, said]

    def feed(self, event: Event) -> None:
        before = self.state
        super().feed(event)
        _, expected = step(before, event)
        for number, twin in enumerate(self.twins):
            after, actions = step(twin, event)
            assert actions == expected, f"rules {number}, {event}"
            assert (after is twin) == (self.state is before), f"rules {number}, {event}"
            self.twins[number] = after


def numbers(seed: int) -> Iterator[int]:
    source = random.Random(seed)
    for _ in range(source.randrange(60, 1200)):
        yield source.getrandbits(16)


def live_twice(draw: Iterator[int]) -> Twins:
    names = ("a", "b", "c", "d")[: (3, 1, 2, 4, 3, 2, 0)[next(draw) % 7]]
    world = Twins(PLAIN_MODES[next(draw) % 2], names, next(draw) % 5 / 2)
    if next(draw) % 8:
        world.feed(Begin(0.0))
    try:
        while True:
            world.feed(plain.choose_event(world, draw))
    except StopIteration:
        pass
    plain.close(world)
    return world


@settings(max_examples=200, deadline=None)
@given(st.lists(NUMBER, min_size=4, max_size=120))
def test_rules_that_say_nothing_change_nothing(drawn: list[int]) -> None:
    assert live_twice(iter(drawn)).finished is not None


def test_rules_that_say_nothing_change_nothing_in_600_random_lives() -> None:
    codes = {live_twice(plain.numbers(seed)).finished for seed in range(600)}

    assert codes >= {0, 1, 2, 124, 126, 127, 129, 130, 131, 137, 141, 143}


@pytest.mark.parametrize("part", range(4))
def test_the_promises_hold_with_random_rules(part: int) -> None:
    """S13, H4, H5, R8, R9, G4, X4 and more: see `rules_promises.Life`."""
    codes = {live(numbers(seed)).finished for seed in range(part * 100, part * 100 + 100)}

    assert len(codes) > 4


@settings(max_examples=200, deadline=None)
@given(st.lists(NUMBER, min_size=60, max_size=500))
def test_the_promises_hold_with_whatever_rules_hypothesis_finds(drawn: list[int]) -> None:
    assert live(iter(drawn)).finished is not None
