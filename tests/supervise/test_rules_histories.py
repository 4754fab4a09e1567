"""Run the written histories of rules_histories/: the policy must do what each line says, and nothing else.

The notation is explained at the head of rules_histories/restart.txt.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.supervise.rehearsal import MOMENT, Rehearsal, Words, read_event, words
from tests.supervise.rules_text import group
from vaggapy.config.model import KEEP_GOING, STOP_ON_FAILURE, WAIT_ALL_SUCCESSFUL
from vaggapy.record import replace
from vaggapy.supervise.events import Begin, SpawnerLost, Watched

FOLDER = Path(__file__).parent / "rules_histories"
ALL_MODES = (STOP_ON_FAILURE, WAIT_ALL_SUCCESSFUL, KEEP_GOING)
ALWAYS = {"start", "condition", "kill", "finish", "suspend", "resume", "INT", "TERM", "QUIT", "HUP", "KILL", "USR1"}
"""Kinds of which a history must tell every one."""
NOT_MULTIPLE = {"left", "backoff", "ended", "not-started", "unmet", "skipped", "failed", "recovered", "late", "finish",
                "changed", "advertise", "environ", "probe", "over", "led"}  # fmt: skip
"""Kinds of which the words are those of one action; after others each word is a name."""


class Line(NamedTuple):
    """One moment: at this time this happens, and this follows."""

    text: str
    now: float
    event: list[str]
    follows: list[Words]


class History(NamedTuple):
    """One written history."""

    place: str
    title: str
    mode: str
    rows: tuple[str, ...]
    sentences: tuple[str, ...]
    slow: bool
    debug: bool
    unattended: str
    children: tuple[str, ...]
    keys: tuple[str, ...]
    complete: frozenset[str]
    lines: tuple[Line, ...]


def parse(place: str, text: str) -> list[History]:
    kept = [line for line in text.splitlines() if not line.startswith("#")]
    parts = "\n".join(kept).split("== ")[1:]
    return [history for part in parts for history in parse_one(place, part.strip().splitlines())]


def parse_one(place: str, lines: list[str]) -> list[History]:
    said: dict[str, tuple[str, ...]] = {}
    children, keys, moments = [], [], []
    for line in lines[1:]:
        if line.startswith("| "):
            children.append(line[2:])
        elif line.startswith("+ "):
            keys.append(line[2:])
        elif "->" in line:
            moments.append(parse_line(line))
        else:
            key, *values = line.split()
            said[key] = tuple(values)
    assert said.keys() <= {"sentences", "rows", "mode", "slow", "complete", "debug", "unattended"}, lines[0]
    modes = said.get("mode", (STOP_ON_FAILURE,))
    kinds = frozenset({word[0] for moment in moments for word in moment.follows} | {*said.get("complete", ())})
    return [
        History(
            place, lines[0], mode, said.get("rows", ()), said.get("sentences", ()), "slow" in said,
            "debug" in said, "nobody is there" if "unattended" in said else "",
            tuple(children), tuple(keys), kinds | ALWAYS, tuple(moments),
        )
        for mode in (ALL_MODES if modes == ("any",) else modes)
    ]  # fmt: skip


def parse_line(line: str) -> Line:
    happened, _, then = line.partition("->")
    now, *event = happened.split()
    follows: list[Words] = []
    for part in filter(None, map(str.strip, then.split(","))):
        kind, *rest = part.split()
        follows += [(kind, *rest)] if kind in NOT_MULTIPLE or not rest else [(kind, name) for name in rest]
    return Line(line, float(now), event, follows)


HISTORIES = [
    history for path in sorted(FOLDER.glob("*.txt")) for history in parse(path.stem, path.read_text(encoding="utf-8"))
]


def title(history: History) -> str:
    return "-".join((*history.rows, history.place, *history.title.split(), history.mode))


def play(run: Rehearsal, line: Line) -> None:
    run.advance(line.now, inclusive=not line.event)
    match line.event:
        case []:
            pass
        case ["begin"]:
            run.feed(Begin(line.now))
        case ["spawner", "lost"]:
            run.feed(SpawnerLost(line.now))
        case ["watch", name, "has", *instances]:
            run.feed(Watched(line.now, name, tuple(instances)))
        case _:
            event = read_event(run, line.now, line.event)
            if event is not None:
                run.feed(event)


@pytest.mark.parametrize("history", HISTORIES, ids=title)
def test_the_policy_follows_the_written_history(history: History) -> None:
    _, names, grace, rules = group(history.children, history.keys)
    rules = replace(rules, debug=history.debug, unattended=history.unattended)
    run = Rehearsal(history.mode, names, grace, rules, slow=history.slow)
    for line in history.lines:
        before = len(run.done)
        play(run, line)
        fresh = [
            (at, said) for at, action in run.done[before:] for said in words(action) if said[0] in history.complete
        ]
        early = [(at, said) for at, said in fresh if at < line.now - MOMENT]
        assert not early, f"before '{line.text}'"
        assert Counter(said for _, said in fresh) == Counter(line.follows), f"at '{line.text}'"


def test_every_history_has_its_own_title() -> None:
    keys = [(history.place, history.title, history.mode) for history in HISTORIES]

    assert len(keys) == len(set(keys)) > 100
    assert all(history.lines for history in HISTORIES)
