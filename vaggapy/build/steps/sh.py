"""`!Sh TEXT`: run a shell script inside the new root."""

from __future__ import annotations

from vaggapy.build.actions import Execute
from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind
from vaggapy.config.shapes import TEXT, Field, Shape
from vaggapy.record import Record


class Sh(Record):
    """`script`: for `/bin/sh -exc`."""

    script: str


def act(step: Sh, context: Context) -> Done:
    """Run the script as root in /work; each command is shown, the first that fails ends it."""
    return Done((Execute(("/bin/sh", "-exc", step.script)),), context)


KIND = Kind(Shape("!Sh", (TEXT,), {"script": Field("text", "", needed=True)}, "script"), Sh, act)
