"""How children restart and are stopped, as it is written (rows R1, R13, N6, N7)."""

from __future__ import annotations

import pytest

from tests.config.ruled import doubts, mistakes, project, rule, rules, wrong
from vaggapy.config.rules import UNLIMITED, Restart, Rule, Rules, Stop


@pytest.mark.parametrize(
    ("text", "limit"),
    [("3", 3), ('"1"', 1), ("never", 0), ("0", 0), ("unlimited", UNLIMITED)],
)
def test_R1_restarts_is_how_often_it_runs_again(text: str, limit: int) -> None:
    assert rule(f"restarts: {text}").restart == Restart(limit=limit, at_once=True)
    assert rule(f"restart: {{limit: {text}}}").restart == Restart(limit=limit)


def test_R1_without_restarts_a_child_runs_once() -> None:
    assert rule("once: true").restart == Restart()
    assert Restart().limit == 0


@pytest.mark.parametrize("text", ["1.5", "-1", "sometimes", "1:30", "true", "99999999999"])
def test_R1_other_numbers_of_restarts_are_wrong(text: str) -> None:
    for keys in (f"restarts: {text}", f"restart: {{limit: {text}}}"):
        [line] = mistakes(keys)
        assert line.endswith("is no number of restarts (a whole number from 0, unlimited or never) [bad-value]")


def test_restart_with_keys_has_no_limit_and_the_waits_of_pmux() -> None:
    assert rule("restart: {}").restart == Restart(limit=UNLIMITED, min_wait=1.0, max_wait=64.0)


def test_restart_keys_have_the_values_that_are_written() -> None:
    keys = "restart: {limit: 7, min-wait: 5, max-wait: 1m30s, no-restart-on: [0, 3, SIGKILL, term, '137']}"
    assert rule(keys).restart == Restart(7, 5.0, 90.0, (0, 3, 137), (9, 15))


def test_R13_a_number_is_seconds() -> None:
    assert rule("restart: {min-wait: 5}").restart.min_wait == 5.0


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("min-wait: 2s, max-wait: 1s", "'min-wait' (2s) is longer than 'max-wait' (1s)"),
        ("min-wait: 2m", "'min-wait' (2m) is longer than 'max-wait' (1m4s)"),
        ("backoff_seconds: 2, max-wait: 1", "'backoff-seconds' (2s) is longer than 'max-wait' (1s)"),
        ("max-wait: 500ms", "'min-wait' (1s) is longer than 'max-wait' (500ms)"),
    ],
)
def test_R13_a_shortest_wait_above_the_longest_is_wrong(keys: str, line: str) -> None:
    assert mistakes(f"restart: {{{keys}}}") == [f"{line} (make 'max-wait' longer) [out-of-range]"]


@pytest.mark.parametrize("text", ["256", "-1", "SIGFOO", "x", "1.5"])
def test_no_restart_on_takes_exit_codes_and_signals(text: str) -> None:
    [line] = mistakes(f"restart: {{no-restart-on: [{text}]}}")
    assert line.endswith("neither an exit code nor a signal (0 to 255, or a name as in SIGKILL) [bad-value]")


def test_no_restart_on_without_restarts_is_doubtful() -> None:
    assert doubts("web: restart: {limit: never, no-restart-on: [0]}") == [
        "'no-restart-on' has no effect without restarts (write a 'limit') [doubtful-rule]"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no", Restart()),
        ("'no'", Restart()),
        ("always", Restart(limit=UNLIMITED)),
        ("unless-stopped", Restart(limit=UNLIMITED)),
        ("unless_stopped", Restart(limit=UNLIMITED)),
        ("on-failure", Restart(limit=UNLIMITED, on_success=False)),
        ("on_failure", Restart(limit=UNLIMITED, on_success=False)),
        ("on-failure:3", Restart(limit=3, on_success=False)),
        ("on_failure:3", Restart(limit=3, on_success=False)),
        ("{policy: on-failure, limit: 3}", Restart(limit=3, on_success=False)),
        ("{restart: on_failure, max_restarts: 5, backoff_seconds: 2}", Restart(5, 2.0, 2.0, on_success=False)),
        ("{policy: no}", Restart()),
        ("{backoff_seconds: 2, max-wait: 8}", Restart(UNLIMITED, 2.0, 8.0)),
    ],
)
def test_the_words_of_compose_and_process_compose_are_restarts(text: str, expected: Restart) -> None:
    assert rule(f"restart: {text}").restart == expected


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("false", "write 'no', or leave it out"),
        ("off", "write 'no', or leave it out"),
        ("yes", "write 'always'"),
        ("true", "write 'always'"),
        ("on", "write 'always'"),
        ("3", "write 'restarts: 3', or 'restart: {limit: 3}'"),
        ("alway", "did you mean 'always'?"),
        ("exit_on_failure", "leave it out: the end of a child stops the group, see 'mode'"),
        ("sometimes", "no, always, on-failure, on-failure:N or unless-stopped"),
    ],
)
def test_N6_restart_takes_words_and_helps_with_those_that_yaml_takes_for_others(text: str, remedy: str) -> None:
    assert mistakes(f"restart: {text}") == [f"unknown value '{text}' of 'restart' ({remedy}) [bad-value]"]


@pytest.mark.parametrize("text", ["on-failure:0", "on-failure:", "on-failure:x", "on-failure:1.5"])
def test_on_failure_has_a_number_from_one(text: str) -> None:
    [line] = mistakes(f"restart: '{text}'")
    assert line.endswith("is no number of restarts (a whole number from 1) [bad-value]")


def test_no_limit_of_process_compose_is_said_otherwise() -> None:
    assert mistakes("restart: {max_restarts: 0}") == [
        "'max_restarts: 0' means no limit elsewhere (write 'limit: unlimited' or 'limit: never') [bad-value]"
    ]


@pytest.mark.parametrize(
    ("keys", "first", "second"),
    [
        ("restart: always, restarts: 3", "restart", "restarts"),
        ("restart: {min-wait: 1, backoff_seconds: 2}", "min-wait", "backoff-seconds"),
    ],
)
def test_N7_two_ways_to_say_the_same_of_restarts_are_wrong(keys: str, first: str, second: str) -> None:
    assert mistakes(keys) == [f"'{first}' and '{second}' say the same (keep one of them) [duplicate-key]"]


@pytest.mark.parametrize(
    ("keys", "first", "second"),
    [
        ("restart: {minWait: 1, min-wait: 1}", "minWait", "min-wait"),
        ("restart: {min_wait: 1, minWait: 1}", "min_wait", "minWait"),
        ("restart: {limit: 1, max_restarts: 1}", "limit", "max_restarts"),
        ("restart: {noRestartOn: [0], no_restart_on: [0]}", "noRestartOn", "no_restart_on"),
        ("stop: {sigKillWait: 1, timeout: 1}", "sigKillWait", "timeout"),
        ("stop_grace_period: 1, sigKillWait: 1", "stop_grace_period", "sigKillWait"),
        ("depends: [{path: a, poll: 1, poll_interval: 1}]", "poll", "poll_interval"),
        ("depends: [{path: a, timeout: 1, timeout_seconds: 1}]", "timeout", "timeout_seconds"),
        ("depends: [{http: 'http://a', url: 'http://a'}]", "http", "url"),
    ],
)
def test_N7_a_key_and_its_other_spelling_are_wrong_together(keys: str, first: str, second: str) -> None:
    assert mistakes(keys) == [f"'{first}' and '{second}' are the same key (keep one of them) [duplicate-key]"]


def test_N7_the_spellings_of_containerpilot_and_pmux_are_the_same_keys() -> None:
    pmux = "restart: {minWait: 2s, maxWait: 3s, noRestartOn: [1]}, sigKillWait: 4s, stopTimeout: 5s"
    ours = "restart: {min-wait: 2s, max-wait: 3s, no-restart-on: [1]}, stop: {timeout: 4s, hook-timeout: 5s}"
    assert rule(pmux) == rule(ours)


def test_N7_an_unknown_key_is_told_where_it_belongs() -> None:
    where = "write it into"
    assert wrong("web: minWait: 2s", "api: restart: {limt: 1}", "db: ttl: 5") == [
        f"8:46: unknown key 'minWait' in child 'web' ({where} 'restart:') [unknown-key]",
        "9:56: unknown key 'limt' in 'restart' (did you mean 'limit'?) [unknown-key]",
        f"10:45: unknown key 'ttl' in child 'db' ({where} 'health:') [unknown-key]",
    ]


# --- stop -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("stop: {}", Stop()),
        ("stop: {signal: null}", Stop()),
        ("stop: {signal: SIGINT, timeout: 10s, hook-timeout: 5s}", Stop(2, 10.0, 5.0)),
        ("stop: {signal: quit, timeout: 0}", Stop(3, 0.0)),
        ("stop: {signal: 9}", Stop(9)),
        ("stop_signal: SIGUSR1, stop_grace_period: 1m30s", Stop(10, 90.0)),
        ("stop_signal: INT, stop: {timeout: 3}", Stop(2, 3.0)),
        ("stop-timeout: 2", Stop(hook_timeout=2.0)),
    ],
)
def test_stop_says_how_a_child_ends(keys: str, expected: Stop) -> None:
    assert rule(keys).stop == expected


@pytest.mark.parametrize("text", ["SIGFOO", "99", "x", "true"])
def test_a_signal_to_stop_with_exists(text: str) -> None:
    assert mistakes(f"stop: {{signal: {text}}}") == [
        f"'{text}' of 'signal' is no signal (as in SIGTERM, SIGINT or SIGQUIT) [bad-value]"
    ]


@pytest.mark.parametrize("text", ["SIGSTOP", "cont", "20"])
def test_a_signal_to_stop_with_ends_programs(text: str) -> None:
    assert mistakes(f"stop_signal: {text}") == [
        f"{text} ends no program (as in SIGTERM, SIGINT or SIGQUIT) [bad-value]"
    ]


def test_N7_stop_and_a_key_that_stands_for_a_part_of_it_may_not_say_the_same() -> None:
    assert mistakes("stop: {signal: INT}, stop_signal: INT") == [
        "'stop: signal' and 'stop_signal' say the same (keep one of them) [duplicate-key]"
    ]


# --- which commands have rules ----------------------------------------------------------------------------------


def test_a_rule_of_one_child_or_of_the_group_makes_rules() -> None:
    assert rules("web: once: true", "api: tags: [a]") == Rules({"web": Rule(once=True)})
    assert rules("web: tags: [a]", ".hook-window: 3s") == Rules({}, 3.0)
    assert rules("web: tags: [a]", ".mode: keep-going") == Rules({})


def test_a_group_of_plain_children_has_no_rules() -> None:
    assert getattr(project("web: tags: [a]").commands["all"], "rules", 0) is None
    assert getattr(project("web: tags: [a]", ".mode: wait-all-successful").commands["all"], "rules", 0) is None


def test_a_key_without_a_value_is_no_rule() -> None:
    assert getattr(project("web: restart: null, when: ").commands["all"], "rules", 0) is None


def test_C3_a_child_that_restarts_without_end_in_a_group_that_waits_for_all_is_doubtful() -> None:
    line = (
        "'web' restarts without end, so 'wait-all-successful' never ends well "
        "(add 'no-restart-on: [0]' to 'restart', or 'role: coprocess') [doubtful-rule]"
    )
    mode = ".mode: wait-all-successful"
    assert doubts("web: restart: always", mode) == [line]
    assert doubts("web: restarts: unlimited", "api: once: true", mode) == [line]
    for keys in (
        "restart: always, role: coprocess",
        "restart: on-failure",
        "restart: {no-restart-on: [0]}",
        "restarts: 3",
        "when: {interval: 5}",
        "restart: always, autostart: false",
    ):
        assert doubts(f"web: {keys}", mode) == []
    assert doubts("web: restart: always") == []
