"""Durations as people write them (row N5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.config.ruled import mistakes, rule
from vaggapy.config.durations import LONGEST, read_duration, shown


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5", 5.0),
        ("5.5", 5.5),
        ("0.3", 0.3),
        (".5", 0.5),
        ("5s", 5.0),
        ("1.5s", 1.5),
        ("1m30s", 90.0),
        ("1h1m1s1ms", 3661.001),
        ("500ms", 0.5),
        ("300ms", 0.3),
        ("20us", 0.00002),
        ("20µs", 0.00002),
        ("7ns", 7e-9),
        ("0", 0.0),
        ("0s", 0.0),
        ("", None),
        ("s", None),
        ("5x", None),
        ("5 s", None),
        ("20yy", None),
        ("1m30", None),
        ("-1", None),
        ("+1", None),
        ("1e3", None),
        ("1_000", None),
        ("1:30", None),
        ("nan", None),
        ("inf", None),
        (".", None),
        ("٣s", None),
        ("9" * 50, None),
    ],
)
def test_N5_a_duration_is_a_number_of_seconds_or_has_units(text: str, seconds: float | None) -> None:
    assert read_duration(text) == seconds


@given(st.text(max_size=50))
def test_N5_any_text_is_a_duration_or_none(text: str) -> None:
    found = read_duration(text)
    assert found is None or found >= 0


@given(st.integers(min_value=1, max_value=int(LONGEST)))
def test_N5_what_is_shown_of_whole_seconds_reads_as_the_same(seconds: int) -> None:
    assert read_duration(shown(seconds)) == seconds


@pytest.mark.parametrize("text", ["5", "'5'", "5.0", "5s", "'5000ms'"])
def test_N5_quotes_do_not_matter(text: str) -> None:
    assert rule(f"timeout: {text}").timeout == 5.0


EXAMPLES = "a number of seconds, or as in 500ms, 5s, 1m30s"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("5x", f"'timeout' is no duration: '5x' ({EXAMPLES}) [bad-duration]"),
        ("yes", f"'timeout' is no duration: 'yes' ({EXAMPLES}) [bad-duration]"),
        ("1:30", "'timeout' is no duration: '1:30' (write 1m30s) [bad-duration]"),
        ("1:00:30", "'timeout' is no duration: '1:00:30' (write 1h0m30s) [bad-duration]"),
        ("-1", "'timeout' is -1 (none or from 1ms) [out-of-range]"),
        ("-1s", "'timeout' is -1s (none or from 1ms) [out-of-range]"),
        ("0", "'timeout' is 0 (none or from 1ms to 8760h) [out-of-range]"),
        ("0.0001", "'timeout' is 0.0001 (none or from 1ms to 8760h) [out-of-range]"),
        ("900us", "'timeout' is 900us (none or from 1ms to 8760h) [out-of-range]"),
        ("9000h", "'timeout' is 9000h (none or from 1ms to 8760h) [out-of-range]"),
        ("[5]", "'timeout' must be text [wrong-type]"),
    ],
)
def test_N5_what_is_no_duration_is_one_clear_problem(text: str, line: str) -> None:
    assert mistakes(f"timeout: {text}") == [line]


@pytest.mark.parametrize("key", ["interval", "timeout", "start-interval"])
@pytest.mark.parametrize("text", ["0", "0.5ms", "none"])
def test_N5_checks_have_times_of_a_millisecond_at_least(key: str, text: str) -> None:
    keys = {"interval": "5"} | {key: text}
    [line] = mistakes(f"health: {{tcp: 'a:1', {', '.join(f'{key}: {value}' for key, value in keys.items())}}}")
    assert line.startswith(f"'{key}' is ")


def test_N5_zero_is_right_where_it_means_something() -> None:
    found = rule("restart: {min-wait: 0}, stop: {timeout: 0}, health: {tcp: 'a:1', interval: 5, initial-delay: 0s}")
    assert (found.restart.min_wait, found.stop.timeout) == (0.0, 0.0)
    assert found.health is not None
    assert found.health.delay == 0.0


@pytest.mark.parametrize(
    "keys",
    [
        "restart: {max-wait: 0}",
        "stop: {hook-timeout: 0}",
        "depends: [{path: a, poll: 0}]",
        "depends: [{path: a, timeout: 0}]",
        "when: {interval: 0}",
    ],
)
def test_N5_zero_is_wrong_elsewhere(keys: str) -> None:
    [line] = mistakes(keys)
    assert line.endswith("[out-of-range]")


def test_N5_none_is_no_limit() -> None:
    assert rule("timeout: none").timeout == 0.0
    assert rule("depends: [{path: a, timeout: none}]").depends[0].timeout == 0.0


def test_N5_none_where_a_limit_is_needed_is_wrong() -> None:
    assert mistakes("restart: {max-wait: none}") == [
        "'max-wait' is no duration: 'none' (this one cannot be left open) [bad-duration]"
    ]
