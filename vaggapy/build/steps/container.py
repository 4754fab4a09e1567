"""`!Container NAME`: begin with the root of another container, or copy it over what is there."""

from __future__ import annotations

from vaggapy.build.actions import ROOTS
from vaggapy.build.actions import Copy as CopyFiles
from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind
from vaggapy.config.shapes import TEXT, Field, Shape
from vaggapy.record import Record


class Container(Record):
    """`container`: its `setup` counts here, not its volumes, variables or ids."""

    container: str


def act(step: Container, context: Context) -> Done:
    """Copy the root of the other container over this one. As a first step its layers are shared instead."""
    return Done((CopyFiles(f"{ROOTS}/{step.container}", "/", keep_modes=True, keep_times=True),), context)


def needs(step: Container) -> tuple[str, ...]:
    """Return the container."""
    return (step.container,)


KIND = Kind(
    Shape("!Container", (TEXT,), {"container": Field("container", "", needed=True)}, "container"),
    Container,
    act,
    needs=needs,
)
