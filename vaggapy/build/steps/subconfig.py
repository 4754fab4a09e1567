"""`!SubConfig {path: .., container: ..}`: the steps of a container of another file of the project."""

from __future__ import annotations

from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind, StepError
from vaggapy.config.model import Step
from vaggapy.config.shapes import KEYS, Field, Shape
from vaggapy.record import Record


class SubConfig(Record):
    """`path`: the file. `steps`: those of its `container`, read together with vagga.yaml; they take the place of this.

    `source_container`: the container whose root has the file, "" for the project.
    """

    container: str
    path: str = "vagga.yaml"
    source: str = ""
    cache: str = ""
    steps: tuple[Step, ...] = ()
    source_container: str = ""


def act(step: SubConfig, context: Context) -> Done:
    """Do nothing: the steps are done one by one.

    Raises:
        CommandError: the file is in the root of a container.
    """
    if step.source_container:
        raise StepError(
            "a file in the root of a container cannot be read for its steps yet",
            "keep the file in the project and leave 'source' out",
            "not-available",
        )
    return Done((), context)


def needs(step: SubConfig) -> tuple[str, ...]:
    """Return the container with the file."""
    return (step.source_container,) if step.source_container else ()


FIELDS = {
    "source": Field("!Directory or !Container NAME", "!Directory"),
    "path": Field("relative path", "vagga.yaml"),
    "container": Field("text", "", needed=True),
    "cache": Field("true or false", "", "no effect"),
}
KIND = Kind(Shape("!SubConfig", (KEYS,), FIELDS), SubConfig, act, needs=needs)
