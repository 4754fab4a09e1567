"""Tables for people: rich on a terminal, plain lines everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Protocol

OK = "ok"
STYLES = {OK: "green", "missing": "yellow", "failed": "red"}


class Shown(Protocol):
    """What this module reads of a check of the machine; `remedy` may be empty."""

    @property
    def name(self) -> str:
        """Say what was tried."""
        ...

    @property
    def state(self) -> str:
        """Say `ok`, `missing` or `failed`."""
        ...

    @property
    def result(self) -> str:
        """Say what came out."""
        ...

    @property
    def remedy(self) -> str:
        """Say what to do about it."""
        ...

    @property
    def needed(self) -> bool:
        """Say whether vagga cannot work without it."""
        ...


def show_checks(checks: Sequence[Shown], color: str = "auto") -> None:
    """Print the checks to stdout, then one line that sums them up; `color` as for `--color`."""
    if color == "always" or sys.stdout.isatty():
        _print_table(checks, color)
    else:
        print(plain_checks(checks), end="")
    print(summary(checks), flush=True)


def plain_checks(checks: Sequence[Shown]) -> str:
    """Return a line for each check: state, name and result in columns, then the remedy in brackets."""
    width = max((len(check.name) for check in checks), default=0)
    lines = []
    for check in checks:
        remedy = f" ({check.remedy})" if check.remedy and check.state != OK else ""
        lines.append(f"{state(check):8}  {check.name:{width}}  {check.result}{remedy}".rstrip())
    return "".join(f"{line}\n" for line in lines)


def state(check: Shown) -> str:
    """Return the state as shown: what is not needed is not called missing or failed."""
    return check.state if check.needed or check.state == OK else "optional"


def summary(checks: Sequence[Shown]) -> str:
    """Return the line below the checks."""
    needed = [check for check in checks if check.needed]
    bad = [check.name for check in needed if check.state != OK]
    if not bad:
        return "everything that vagga needs works here"
    return f"{len(bad)} of {len(needed)} needed things do not work here: {', '.join(bad)}"


def _print_table(checks: Sequence[Shown], color: str) -> None:
    # Only here: a terminal is rare in scripts, and rich takes longer to load than all else.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column("state", no_wrap=True)
    table.add_column("check")
    table.add_column("result", overflow="fold")
    table.add_column("remedy", overflow="fold")
    for check in checks:
        style = STYLES.get(check.state, "") if check.needed or check.state == OK else "dim"
        # Text, not str: rich would take square brackets in a message for markup.
        cells = (Text(state(check), style), Text(check.name), Text(check.result))
        table.add_row(*cells, Text("" if check.state == OK else check.remedy))
    Console(no_color=True if color == "never" else None, force_terminal=True if color == "always" else None).print(
        table
    )
