"""`!Cmd [PROGRAM, ARGUMENT, ..]`: run a program inside the new root."""

from __future__ import annotations

from vaggapy.build.actions import Execute
from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind, StepError
from vaggapy.config.shapes import TEXTS, Field, Shape
from vaggapy.record import Record


class Cmd(Record):
    """`command`: the program, by its path or found in the PATH of the build, and its arguments."""

    command: tuple[str, ...]


def act(step: Cmd, context: Context) -> Done:
    """Run the program as root in /work, without a shell.

    Raises:
        CommandError: there is no program.
    """
    if not step.command or not step.command[0]:
        raise StepError("there is no program to run", "write '!Cmd [PROGRAM, ARGUMENT]'", "build-values")
    return Done((Execute(step.command),), context)


KIND = Kind(Shape("!Cmd", (TEXTS,), {"command": Field("texts", "", needed=True)}, "command"), Cmd, act)
