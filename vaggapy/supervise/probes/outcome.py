"""What a check found. Pure."""

from __future__ import annotations

from vaggapy.record import Record


class Outcome(Record):
    """Whether a check passed; `detail` says in a few words why not; `value` as in `events.Probed`."""

    passed: bool
    detail: str = ""
    value: str = ""
