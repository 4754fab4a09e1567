"""Rules of supervision that need numbers, many steps or every order: what a written history would be too long for."""

from __future__ import annotations

import re
from itertools import permutations
from pathlib import Path

import pytest

from tests.supervise.rehearsal import Rehearsal, words
from tests.supervise.rules_text import Group, group
from vaggapy.config.model import MODES
from vaggapy.config.rules import Rules
from vaggapy.supervise import policy
from vaggapy.supervise.events import (
    INT,
    TERM,
    Begin,
    CheckFailed,
    ChildEnded,
    Ended,
    Exited,
    HealthChanged,
    Probed,
    Report,
    Restarting,
    Signal,
    Signalled,
    Spawn,
    TimerFired,
)
from vaggapy.supervise.messages import text
from vaggapy.supervise.policy import initial, step, wanted_lines


def rehearse(given: Group) -> Rehearsal:
    run = Rehearsal(given.mode, given.names, given.grace, given.rules)
    run.feed(Begin(0.0))
    return run


def exits(run: Rehearsal, name: str, after: float, code: int = 1) -> None:
    """Let a child exit so long after now."""
    run.advance(run.now + after, inclusive=False)
    run.feed(Exited(run.now, name, run.incarnations[name], code))


def waits(run: Rehearsal) -> list[float]:
    return [
        round(action.record.wait, 3)
        for _, action in run.done
        if isinstance(action, Report) and isinstance(action.record, Restarting)
    ]


def starts(run: Rehearsal, name: str) -> list[float]:
    return [round(at, 6) for at, action in run.done if isinstance(action, Spawn) and action.name == name]


@pytest.mark.parametrize(
    ("keys", "took", "expected"),
    [
        ("", 0.01, [1, 1.99, 3.97, 7.93, 15.85, 31.69, 63.37, 64, 64]),
        ("", 0.5, [1, 1.5, 2.5, 4.5, 8.5, 16.5, 32.5, 64, 64]),
        ("", 1.0, [1, 1, 1, 1]),
        ("", 900.0, [1, 1, 1]),
        ("min-wait: 100ms, max-wait: 1s", 0.001, [0.1, 0.199, 0.397, 0.793, 1, 1]),
        ("min-wait: 100ms, max-wait: 1s", 0.0, [0.1, 0.2, 0.4, 0.8, 1, 1]),
        ("min-wait: 0, max-wait: 1s", 0.0, [0, 0, 0]),
        ("min-wait: 5, max-wait: 5", 0.0, [5, 5, 5]),
        ("min-wait: 1s, max-wait: 64s", 0.0006, [1, 1.999, 3.997]),
    ],
)
def test_R2_R3_waits_follow_the_formula_in_whole_milliseconds(keys: str, took: float, expected: list[float]) -> None:
    """supervision 7.4."""
    run = rehearse(group([f"a: {{restart: {{limit: unlimited, {keys}}}}}"]))
    for wait in expected:
        exits(run, "a", took)
        run.advance(run.now + wait)

    assert waits(run) == expected


@pytest.mark.parametrize(("took", "expected"), [(30, 64), (64, 64), (70, 58), (126, 2), (127, 1), (500, 1)])
def test_R3_a_long_run_makes_the_longest_wait_shorter(took: float, expected: float) -> None:
    """supervision 7.4."""
    run = rehearse(group(["a: {restart: {limit: unlimited}}"]))
    while (waits(run) or [0])[-1] < 64:
        exits(run, "a", 0)
        run.advance(run.now + waits(run)[-1])
    exits(run, "a", took)

    assert waits(run)[-1] == expected


@pytest.mark.parametrize(
    ("spelling", "limit"),
    [
        *(("restarts: {}", limit) for limit in (0, 1, 2, 5)),
        *(("restart: {{limit: {}}}", limit) for limit in (0, 1, 2, 5)),
        *(("restart: 'on-failure:{}'", limit) for limit in (1, 2, 5)),
    ],
)
def test_R1_so_many_restarts_are_one_more_run(spelling: str, limit: int) -> None:
    """supervision 7.2."""
    run = rehearse(group([f"a: {{{spelling.format(limit)}}}"]))
    for _ in range(limit + 1):
        assert run.finished is None
        exits(run, "a", 0.1, 3)
        run.advance(run.now + 100)

    assert len(starts(run, "a")) == limit + 1
    assert run.finished == 3


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("a", "b", "c"), list(permutations(("one", "two", "two-b"))))
def test_E1_the_order_in_the_file_does_not_matter(mode: str, a: str, b: str, c: str) -> None:
    """A needs B to be healthy, B needs the success of C; supervision 9.1."""
    children = [
        f"{a}: {{when: {{source: {b}, once: healthy}}}}",
        f"{b}: {{when: {{source: {c}, once: exit-success}}, health: {{exec: [ok], interval: 1s}}}}",
        f"{c}: {{once: true}}",
    ]
    for order in permutations(children):
        run = rehearse(group(order, [f"mode: {mode}"]))
        run.check("ok", "p")
        assert starts(run, c) == [0] and not starts(run, b)
        exits(run, c, 2, 0)
        assert starts(run, b) == [2] and starts(run, a) == [2]


def test_E11_children_of_one_event_start_in_the_order_of_the_file() -> None:
    """supervision 9.1."""
    names = ("zoo", "alp", "mid", "bee")
    waiting = [f"{name}: {{when: {{source: x, once: exit-success}}}}" for name in names]
    run = rehearse(group([*waiting, "x: {once: true}"]))
    exits(run, "x", 1, 0)

    assert [action.name for _, action in run.done if isinstance(action, Spawn)] == ["x", *names]


def test_E4_a_trigger_every_3_ms_is_one_queued_start_and_a_stop_works() -> None:
    """supervision 9.2."""
    run = rehearse(group(["a: {}", "x: {when: {source: SIGUSR2}}"]))
    sizes = set()
    for number in range(1, 3001):
        run.feed(Signalled(number * 0.003, 12))
        sizes.add((len(run.timers), len(repr(run.state)) // 100))
    assert starts(run, "x") == [0.003]
    assert len(sizes) <= 3
    run.feed(Signalled(10.0, TERM))

    assert [action.name for at, action in run.done if isinstance(action, Signal)] == ["a", "x"]
    exits(run, "x", 0, 0)
    exits(run, "a", 0, 0)
    assert len(starts(run, "x")) == 1
    assert run.finished == 143


def test_E12_a_hundred_ticks_do_not_drift() -> None:
    """supervision 9.4."""
    run = rehearse(group(["t: {when: {interval: 300ms}, restart: {limit: 99}}"]))
    for number in range(100):
        exits(run, "t", 0.017 + number % 7 / 100, 0)
        run.advance((number + 1) * 0.3)

    assert starts(run, "t") == [round(number * 0.3, 6) for number in range(100)]
    assert run.finished == 0


@pytest.mark.parametrize(
    ("keys", "takes", "late"),
    [
        ("interval: 500ms}, timeout: 100ms", 2.0, 6),
        ("interval: 500ms}, timeout: 500ms", 0.2, 0),
        ("interval: 500ms}", 0.2, 0),
    ],
)
def test_E13_a_task_runs_six_times(keys: str, takes: float, late: int) -> None:
    """supervision 9.4."""
    run = rehearse(group([f"t: {{when: {{{keys}, restart: {{limit: 5}}}}"]))
    for number in range(6):
        assert len(starts(run, "t")) == number + 1
        before = len(run.done)
        run.advance(run.now + takes if takes < 0.5 else run.now + 0.11)
        killed = any(said[0] == "kill" for _, action in run.done[before:] for said in words(action))
        run.feed(Exited(run.now, "t", number + 1, 0, 9 if killed else 0))
        run.advance((number + 1) * 0.5)

    said = [said for _, action in run.done for said in words(action)]
    assert said.count(("late", "t")) == late
    assert len(starts(run, "t")) == 6
    assert run.finished is not None


def test_X10_after_a_suspension_a_periodic_child_runs_once_not_for_each_tick_that_was_missed() -> None:
    given = group(["t: {when: {interval: 1s}}"])
    run = rehearse(given)
    exits(run, "t", 0.5, 0)
    timer = next(iter(run.timers))
    del run.timers[timer]
    run.feed(TimerFired(10.25, timer))
    exits(run, "t", 0.25, 0)
    run.advance(10.9)
    assert starts(run, "t") == [0, 10.25]
    run.advance(11.5)

    assert starts(run, "t") == [0, 10.25, 11]


def test_R4_no_part_of_supervision_knows_the_time_of_day() -> None:
    """A change of the wall clock cannot distort how long a run was; supervision 7.4."""
    wrong = re.compile(
        r"\btime\.time|\btime_ns\b|CLOCK_REALTIME|import time\b.*\btime\(|datetime|from time import .*\btime\b"
    )
    folder = Path(policy.__file__).parent
    found = {path.name for path in folder.rglob("*.py") if wrong.search(path.read_text(encoding="utf-8"))}

    assert found == set()


def test_G13_no_child_is_127_with_rules_too() -> None:
    """supervision 1.5."""
    for mode in MODES:
        run = Rehearsal(mode, (), 2.0, Rules())
        run.feed(Begin(0.0))
        assert run.finished == 127


def test_H11_a_recovery_is_told_what_failed() -> None:
    """supervision 10.7."""
    watch = "{name: disk, check: {path: data}, interval: 1s, threshold: 3, on-fail: {spawn: mend}}"
    run = rehearse(group([f"web: {{watch: [{watch}]}}", "mend: {autostart: false}"]))
    run.check("data", "f")
    run.advance(2.0)
    spawn = next(action for _, action in run.done if isinstance(action, Spawn) and action.name == "mend")
    environ = dict(spawn.environ)

    assert environ["VAGGA_WATCH_NAME"] == "disk"
    assert environ["VAGGA_WATCH_PROCESS"] == "web"
    assert "data" in environ["VAGGA_WATCH_CHECK"]
    assert environ["VAGGA_WATCH_FAILURES"] == "3"


def test_D13_lines_are_wanted_of_every_member() -> None:
    given = group(
        [
            "node: {for-each: {values: [x, y], as: NODE}}",
            "db: {ready: {line: up and running}}",
            "web: {depends: [{output-matches: {child: node, text: one}}, {output-matches: {child: db, text: two}}]}",
        ]
    )
    wanted = wanted_lines(given.rules)

    assert {name: set(texts) for name, texts in wanted.items()} == {
        "node-0": {"one"},
        "node-1": {"one"},
        "db": {"up and running", "two"},
    }


@pytest.mark.parametrize("number", [-1, 1])
def test_H4_the_result_of_an_earlier_look_changes_nothing(number: int) -> None:
    """supervision 10.8."""
    run = rehearse(group(["web: {health: {exec: [ok], interval: 1s}}"]))
    name, probe = next(iter(run.probes.items()))
    stray = Probed(0.5, name, probe.number + number, passed=True)
    after, actions = step(run.state, stray)

    assert after is run.state
    assert actions == ()


def test_a_timer_that_fires_early_is_set_again() -> None:
    run = rehearse(group(["a: {restart: {limit: 1, min-wait: 5s}}"]))
    exits(run, "a", 1)
    timer, at = next(iter(run.timers.items()))
    state, actions = step(run.state, TimerFired(2.0, timer))

    assert [type(action).__name__ for action in actions] == ["SetTimer"]
    assert (actions[0].id, actions[0].at) == (timer, at)  # type: ignore[union-attr]
    assert step(state, TimerFired(at, timer))[1] != ()


def test_the_chain_goes_back_to_what_failed_first() -> None:
    """supervision 13.1."""
    run = rehearse(
        group(
            [
                "db: {role: coprocess, restart: {limit: 3, min-wait: 5s}}",
                "api: {depends: [{started: db}]}",
                "web: {depends: [{started: api}]}",
                "zoo: {}",
            ]
        )
    )
    run.now = 12.24
    run.feed(Exited(12.24, "db", 1, 0, 9))
    run.feed(Exited(12.31, "api", 1, 1))
    for name in ("web", "zoo"):
        run.feed(Exited(13.0, name, 1, 0))
    ended = next(
        action.record for _, action in run.done if isinstance(action, Report) and isinstance(action.record, Ended)
    )

    assert ended.code == 1
    assert [(link.name, round(link.at, 2)) for link in ended.chain] == [("api", 12.31), ("db", 12.24)]
    assert isinstance(ended.chain[1].told, ChildEnded) and ended.chain[1].told.signal == 9


def test_a_check_that_failed_is_in_the_chain() -> None:
    """supervision 13.1."""
    children = [
        "db: {health: {exec: [ok], interval: 1s}, once: true}",
        "api: {depends: [{healthy: db}]}",
    ]
    run = rehearse(group(children))
    run.check("ok", "f")
    run.advance(5.5)
    assert not starts(run, "api")
    run.check("ok", "pf")
    run.advance(7.5)
    assert starts(run, "api")
    run.feed(Exited(8.0, "api", 1, 1))
    run.feed(Exited(9.0, "db", 1, 0, 15))
    ended = next(told.record for _, told in run.done if isinstance(told, Report) and isinstance(told.record, Ended))

    assert [link.name for link in ended.chain] == ["api", "db"]
    assert isinstance(ended.chain[1].told, CheckFailed | HealthChanged)


def test_the_chain_is_empty_after_a_signal_of_the_user() -> None:
    run = rehearse(group(["a: {restart: {limit: 1}}"]))
    run.feed(Signalled(1.0, INT))
    run.feed(Exited(2.0, "a", 1, 1))
    ended = run.done[-2][1]

    assert isinstance(ended, Report) and isinstance(ended.record, Ended)
    assert ended.record.chain == ()


def test_the_state_before_the_beginning_is_the_same_for_every_order_of_names() -> None:
    rules = Rules()
    assert initial(MODES[0], ("b", "a"), 2.0, rules).children == initial(MODES[0], ("a", "b"), 2.0, rules).children


def failures_told(children: list[str], ends: list[tuple[str, int]], mode: str) -> list[str]:
    """Return what people are told of ends that do not stop the run."""
    run = rehearse(group(children, [f"mode: {mode}"]))
    for name, code in ends:
        exits(run, name, 1, code)
    told = [action.record for _, action in run.done if isinstance(action, Report)]
    return [text(record) for record in told if isinstance(record, ChildEnded)]


@pytest.mark.parametrize(
    ("children", "ends", "others"),
    [
        (["a: {}", "b: {}"], [("a", 1), ("b", 2)], [True, False]),
        (["a: {}", "b: {restart: {limit: 1}}"], [("b", 1), ("a", 1)], [False, True]),
        (["a: {}", "b: {when: {source: a, once: exit-failed}}"], [("a", 1), ("b", 1)], [True, False]),
        (["a: {}", "b: {when: {source: a, once: exit-success}}"], [("a", 1)], [False]),
        (["a: {}", "c: {role: coprocess}"], [("a", 1)], [False]),
        (["a: {}", "c: {role: coprocess}"], [("c", 1)], [True]),
        (["a: {}", "i: {when: {interval: 60s}}"], [("i", 1)], [True]),
        (["i: {when: {interval: 60s}}"], [("i", 1)], [False]),
    ],
)
def test_the_others_go_on_is_said_where_there_are_others(
    children: list[str], ends: list[tuple[str, int]], others: list[bool]
) -> None:
    """Alive, in backoff, or still to come; supervision 6.10."""
    told = [line for line in failures_told(children, ends, "keep-going") if line]

    assert ["; the others go on" in line for line in told] == others
