"""Runs that write their status records to a file of the project, and what can be read there while they go on."""

from __future__ import annotations

import json
from collections.abc import Sequence

from integration.runs import PATIENCE, Project, Result, Running, wait_until

FILE = "records"
LATE = 10.0
"""Seconds by which something may come late on a busy machine."""
EARLY = 0.1
"""Seconds by which something may seem early: the time of a record is when it was written, a bit after it happened."""

Record = dict[str, object]


def begin(project: Project, *words: str, under: Sequence[str] = ()) -> Running:
    """Start `vagga WORDS` with its records in a file."""
    with open(project.directory / FILE, "w") as file:
        return project.start("--status-fd", str(file.fileno()), *words, pass_fds=[file.fileno()], under=under)


def run(project: Project, *words: str, seconds: float = 2 * PATIENCE) -> Result:
    """Run `vagga WORDS` to its end with its records in a file."""
    return begin(project, *words).finish(seconds)


def told(project: Project, event: str = "", name: str = "", **fields: object) -> list[Record]:
    """Return the records so far of one kind, or child, or with these fields."""
    whole, _, _ = project.read(FILE).rpartition("\n")
    wanted = {key: value for key, value in {"event": event, "name": name}.items() if value} | fields
    found = [json.loads(line) for line in whole.splitlines()]
    return [record for record in found if all(record.get(key) == value for key, value in wanted.items())]


def count(project: Project, event: str) -> int:
    """Return how many records of a kind there are; cheap, so that looking often does not slow the run down."""
    return project.read(FILE).count(f'{{"event": "{event}", ')


def times(project: Project, event: str = "", name: str = "", **fields: object) -> list[float]:
    """Return when these were told, in seconds."""
    return [float(str(record["time"])) for record in told(project, event, name, **fields)]


def time_of(project: Project, event: str, name: str = "", **fields: object) -> float:
    """Return when something was told that was told once."""
    (only,) = times(project, event, name, **fields)
    return only


def wait_for(project: Project, count: int, event: str, name: str = "", **fields: object) -> None:
    """Wait until something was told so often."""
    wait_until(lambda: len(told(project, event, name, **fields)) >= count, f"{count} x {event} {name} {fields or ''}")


def length(project: Project) -> float:
    """Return the seconds from the beginning of a run to its end, as it tells them itself."""
    (only,) = told(project, "finish")
    return float(str(only["seconds"]))


def starts(project: Project) -> list[str]:
    """Return who was started, in that order."""
    return [str(record["name"]) for record in told(project, "start")]


def causes(project: Project, name: str) -> list[tuple[object, object]]:
    """Return code and cause of each end of a child."""
    return [(record["code"], record["cause"]) for record in told(project, "exit", name)]
