"""Run the written histories of histories.txt: the policy must answer each event with exactly those actions."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from vaggapy.config.model import MODES, STOP_ON_FAILURE
from vaggapy.supervise.events import (
    CONT,
    GRACE,
    HUP,
    INT,
    PIPE,
    QUIT,
    TERM,
    TSTP,
    Action,
    Begin,
    CancelTimer,
    Event,
    Exited,
    Finish,
    Kill,
    Report,
    Resume,
    SetTimer,
    Signal,
    Signalled,
    Spawn,
    SpawnerLost,
    SpawnFailed,
    Started,
    Suspend,
    SuspendSelf,
    TimerFired,
)
from vaggapy.supervise.policy import initial, step

SIGNALS = {
    "HUP": HUP, "INT": INT, "QUIT": QUIT, "USR1": 10, "PIPE": PIPE,
    "TERM": TERM, "CHLD": 17, "CONT": CONT, "TSTP": TSTP,
}  # fmt: skip
GRACE_SECONDS = 2.0


class History(NamedTuple):
    """One written history."""

    title: str
    mode: str
    rows: tuple[str, ...]
    sentences: tuple[str, ...]
    names: tuple[str, ...]
    running: bool
    moments: tuple[tuple[Event, tuple[Action, ...]], ...]


def parse_event(now: float, words: list[str]) -> Event:
    match words:
        case ["begin"]:
            return Begin(now)
        case ["timer"]:
            return TimerFired(now, GRACE)
        case ["spawner", "lost"]:
            return SpawnerLost(now)
        case [name, "runs"]:
            return Started(now, name, 1, 100)
        case [name, "exits", code]:
            return Exited(now, name, 1, int(code))
        case [name, "killed", "by", signal]:
            return Exited(now, name, 1, 0, int(signal))
        case [name, "fails", code]:
            return SpawnFailed(now, name, 1, int(code), "why")
        case [signal]:
            return Signalled(now, SIGNALS[signal])
        case _:
            raise ValueError(words)


def parse_actions(words: list[str]) -> tuple[Action, ...]:
    match words:
        case ["start", *names]:
            return tuple(Spawn(name, 1) for name in names)
        case ["kill", *names]:
            return tuple(Kill(name) for name in names)
        case ["suspend", "itself"]:
            return (SuspendSelf(),)
        case ["suspend", *names]:
            return tuple(Suspend(name) for name in names)
        case ["resume", *names]:
            return tuple(Resume(name) for name in names)
        case ["timer", at]:
            return (SetTimer(GRACE, float(at)),)
        case ["cancel"]:
            return (CancelTimer(GRACE),)
        case ["finish", code]:
            return (Finish(int(code)),)
        case [signal, *names]:
            return tuple(Signal(name, SIGNALS[signal]) for name in names)
        case _:
            raise ValueError(words)


def parse(text: str) -> list[History]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [history for part in "\n".join(lines).split("== ")[1:] for history in parse_one(part.strip().splitlines())]


def parse_one(lines: list[str]) -> list[History]:
    said: dict[str, tuple[str, ...]] = {}
    moments = []
    for line in lines[1:]:
        if "->" not in line:
            key, *values = line.split()
            said[key] = tuple(values)
            continue
        happened, _, follows = line.partition("->")
        now, *words = happened.split()
        actions = [action for part in follows.split(",") if part.strip() for action in parse_actions(part.split())]
        moments.append((parse_event(float(now), words), tuple(actions)))
    assert len({"children", "running"} & said.keys()) == 1, lines[0]
    assert said.keys() <= {"sentences", "rows", "mode", "children", "running"}, lines[0]
    names = said.get("running", said.get("children", ()))
    mode = said.get("mode", (STOP_ON_FAILURE,))
    return [
        History(lines[0], each, said.get("rows", ()), said["sentences"], names, "running" in said, tuple(moments))
        for each in (MODES if mode == ("any",) else mode)
    ]


HISTORIES = parse((Path(__file__).parent / "histories.txt").read_text(encoding="utf-8"))


def title(history: History) -> str:
    return "-".join((*history.rows, *history.title.split(), history.mode))


@pytest.mark.parametrize("history", HISTORIES, ids=title)
def test_the_policy_follows_the_written_history(history: History) -> None:
    state = initial(history.mode, history.names, GRACE_SECONDS)
    if history.running:
        state, _ = step(state, Begin(0.0))
        for name in history.names:
            state, _ = step(state, Started(0.0, name, 1, 100))
    for number, (event, expected) in enumerate(history.moments, 1):
        state, actions = step(state, event)
        assert tuple(a for a in actions if not isinstance(a, Report)) == expected, f"moment {number}: {event}"


def test_every_history_has_its_own_title_and_a_sentence() -> None:
    keys = [(history.title, history.mode) for history in HISTORIES]

    assert len(keys) == len(set(keys)) > 40
    assert all(history.sentences and history.moments for history in HISTORIES)
