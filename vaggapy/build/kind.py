"""What a module of `steps/` is: the meaning of one tag as functions from values to values. Pure.

Such a module defines a `Record` with the values of the step (fields named as the keys, in snake_case, with the
defaults of keys that are not written), functions, and `KIND`. Nothing else knows the step.
"""

from __future__ import annotations

from vaggapy.build.actions import Action
from vaggapy.build.context import Context
from vaggapy.build.sources import Source
from vaggapy.config.model import Step
from vaggapy.config.shapes import Shape
from vaggapy.errors import CommandError
from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Done(Record):
    """What a step comes to: what is to be done, in this order, and the context for the next step."""

    actions: tuple[Action, ...]
    context: Context


class Kind(Record):
    """One kind of step.

    `act(step, context)`: what it does. `sources(step)`: what enters the version besides the values that were written.
    `needs(step)`: containers that must be built before. `finds_out`: the root that it makes may be any distribution,
    so `os-release` in it says afterwards which one. `uncounted`: fields that enter no version.
    """

    shape: Shape
    record: type[Record]
    act: Callable[[Any, Context], Done]
    sources: Callable[[Any], tuple[Source, ...]] = lambda _: ()
    needs: Callable[[Any], tuple[str, ...]] = lambda _: ()
    finds_out: bool = False
    uncounted: tuple[str, ...] = ()


def typed(kind: Kind, step: Step) -> Any:
    """Return the step as the record of its kind."""
    return kind.record(**step.values)


class StepError(CommandError):
    """A step that cannot be done here, known before anything was done; `recipe` adds its place."""
