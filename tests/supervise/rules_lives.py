"""Random lives of runs with rules, for properties and for the soak; what must hold in them is in `rules_promises`.

A life is decided by a stream of numbers, so hypothesis and plain seeded randomness drive the same code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.supervise.rules_promises import PLAIN, Life
from tests.supervise.rules_random import setup
from vaggapy.supervise.events import (
    CONT,
    HUP,
    INT,
    PIPE,
    QUIT,
    READY,
    TERM,
    TSTP,
    Became,
    Begin,
    Event,
    Exited,
    Matched,
    Probed,
    Resumed,
    Signalled,
    SpawnerLost,
    SpawnFailed,
    Started,
    TimerFired,
    Watched,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ENOUGH = 5000
"""More steps than this at the end of a life, when the world answers everything, are a run that never ends."""


def happen(life: Life, draw: Iterator[int]) -> None:
    """Let one thing happen that is likely to fit; one time in sixteen, one that does not."""
    kind, pick = next(draw) % 32, next(draw)
    if kind < 2:
        stray = strange(life, pick, draw)
        if stray is not None:
            life.feed_stray(stray)
        return
    now = life.now + next(draw) % 8 / 8
    starting = [name for name, run in life.alive.items() if run.since is None]
    running = [name for name, run in life.alive.items() if run.since is not None]
    if life.paused and kind % 8 == 0:
        life.feed(Resumed(now))
    elif kind < 12 and life.timers:
        timer = min(life.timers, key=life.timers.__getitem__)
        life.feed(TimerFired(max(life.now, life.timers[timer]), timer))
    elif kind < 17 and starting:
        name = starting[pick % len(starting)]
        if pick % 11 == 0:
            life.feed(SpawnFailed(now, name, life.alive[name].incarnation, 126 + pick % 2, "why"))
        else:
            life.feed(Started(now, name, life.alive[name].incarnation, 100))
    elif kind < 22 and life.probes:
        probe = sorted(life.probes)[pick % len(life.probes)]
        passed = pick % (19 if life.given.calm else 3) != 0
        life.feed(Probed(now, probe, life.probes[probe][0], passed, "no", str(pick % 2)))
    elif kind < (23 if life.given.calm else 26) and running:
        name = running[pick % len(running)]
        signal = 9 if life.alive[name].killed else (0, 0, 0, 0, 9, TERM)[pick % 6]
        life.feed(Exited(now, name, life.alive[name].incarnation, (0, 0, 1, 3)[pick % 4], signal))
    elif 26 <= kind < 29 and running:
        says(life, now, running[pick % len(running)], pick)
    elif kind == 29 and life.begun and life.given.rules.watches:
        watch = life.given.rules.watches[pick % len(life.given.rules.watches)]
        if watch.check is None:
            life.feed(Watched(now, watch.name, (("m1:1",), (), ("m1:1", "m2:1"), ("m1:2",))[pick % 4]))
    elif kind == 30:
        life.feed(Signalled(now, (TSTP, CONT, CONT, 10, 12, HUP)[pick % 6 if pick % 13 == 0 else pick % 5]))
    elif kind == 31 and pick % (64 if life.given.calm else 8) == 0:
        life.feed(SpawnerLost(now) if next(draw) % 8 == 0 else Signalled(now, (INT, QUIT, TERM, PIPE)[next(draw) % 4]))


def says(life: Life, now: float, name: str, pick: int) -> None:
    lines = [text for child, text in life.wanted if child == name]
    incarnation = life.alive[name].incarnation
    if lines and pick % 2:
        life.feed(Matched(now, name, incarnation, lines[pick % len(lines)]))
    elif life.rules.get(name, PLAIN).ready is not None:
        life.feed(Became(now, name, incarnation, READY))


def strange(life: Life, pick: int, draw: Iterator[int]) -> Event | None:
    """Return an event that is stale, unknown, or of one that is not alive."""
    names = (*life.given.names, "stranger")
    name = names[next(draw) % len(names)]
    latest = life.incarnations.get(name, 0)
    incarnation = latest if name not in life.alive else (latest - 1, latest + 1)[pick % 2]
    now = life.now
    match pick % 10:
        case 0:
            return Started(now, name, incarnation, 7)
        case 1:
            return Exited(now, name, incarnation, pick % 3)
        case 2:
            return SpawnFailed(now, name, incarnation, 127, "late")
        case 3:
            return TimerFired(now, f"unknown {pick}")
        case 4:
            return Probed(now, "unknown probe", 1, passed=False)
        case 5 if life.probed:
            probe = sorted(life.probed)[pick % len(life.probed)]
            number = life.probes[probe][0] - 1 if probe in life.probes else life.probed[probe]
            return Probed(now, probe, number, passed=pick % 2 == 0)
        case 6:
            return Became(now, name, incarnation, READY)
        case 7:
            return Matched(now, name, incarnation, life.wanted[0][1] if life.wanted else "text")
        case 8 if life.begun:
            return Begin(now)
        case 9 if not life.paused:
            return Resumed(now)
        case _:
            return None


def close(life: Life) -> None:
    """Nobody obeys: answer every start and probe, let the time run out, report the end of the killed."""
    last_words = (Begin, lambda now: Signalled(now, TERM), lambda now: Signalled(now, CONT))
    for make in last_words[life.begun :]:
        if not life.over():
            life.feed(make(life.now))
    began = life.now
    longest = 5.0 + life.given.grace + life.given.rules.hook_window
    for _ in range(ENOUGH):
        if life.over():
            return
        answer(life)
        assert life.now - began <= 2 * (len(life.given.names) + 2) * longest, "the stop takes too long"
    raise AssertionError("never finished")


def answer(life: Life) -> None:
    """Let one thing happen that has to."""
    for name, run in life.alive.items():
        if run.since is None:
            life.feed(Started(life.now, name, run.incarnation, 100))
            return
        if run.killed or life.lost:
            life.feed(Exited(life.now, name, run.incarnation, 0, 9))
            return
    for probe, (number, _) in life.probes.items():
        life.feed(Probed(life.now, probe, number, passed=False))
        return
    assert life.timers, f"nothing happens any more, and {sorted(life.alive)} are alive"
    timer = min(life.timers, key=life.timers.__getitem__)
    life.feed(TimerFired(max(life.now, life.timers[timer]), timer))


def live(draw: Iterator[int]) -> Life:
    """Run one whole life with rules of its own; it must finish, whatever came before."""
    life = Life(setup(draw))
    try:
        if next(draw) % 16:
            life.feed(Begin(0.0))
        while not life.over():
            happen(life, draw)
    except StopIteration:
        pass
    except AssertionError as broken:
        broken.add_note(f"rules: {life.given}\nlast events: {list(life.recent)}")
        raise
    close(life)
    for event in (Begin(life.now), Signalled(life.now, INT), TimerFired(life.now, "grace"), SpawnerLost(life.now)):
        life.feed_stray(event)
    return life
