"""What starts a child, as it is written (rows E8, E9, E10, E17, E24, N6, N7)."""

from __future__ import annotations

import pytest

from tests.config.ruled import doubts, mistakes, rule, rules, wrong
from vaggapy.config.rules import UNLIMITED, ForEach, Restart, When

API = "api: health: {tcp: 'localhost:80', interval: 5s}, when: {source: global, once: startup, timeout: 9}"
WATCHES = ".watches: {db: {tcp: 'localhost:5432'}}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{source: api, once: exit-success}", When("api", "exit-success")),
        ("{source: api, once: exit_success}", When("api", "exit-success")),
        ("{source: api, once: exitSuccess}", When("api", "exit-success")),
        ("{source: api, once: exitFailed}", When("api", "exit-failed")),
        ("{source: api, each: healthy}", When("api", "healthy", each=True)),
        ("{source: api, each: unhealthy}", When("api", "unhealthy", each=True)),
        ("{source: api, once: stopping}", When("api", "stopping")),
        ("{source: api, once: stopped}", When("api", "stopped")),
        ("{source: api, once: timerExpired}", When("api", "timer-expired")),
        ("{source: watch.db, each: changed}", When("watch.db", "changed", each=True)),
        ("{source: watch.db, once: healthy}", When("watch.db", "healthy")),
        ("{source: SIGHUP}", When("SIGHUP", "received", each=True)),
        ("{source: SIGUSR2}", When("SIGUSR2", "received", each=True)),
        ("{source: global, once: startup}", When("global", "startup")),
        ("{once: shutdown}", When("global", "shutdown")),
        ("{interval: 300ms}", When(interval=0.3)),
        ("{source: api, once: stopped, timeout: 60s}", When("api", "stopped", timeout=60.0)),
        ("{source: api, once: stopped, timeout: none}", When("api", "stopped")),
        (
            "{source: api, once: stopped, timeout: 5, on-timeout: fail}",
            When("api", "stopped", timeout=5.0, fails=True),
        ),
        ("{source: api, once: stopped, timeout: 5, onTimeout: skip}", When("api", "stopped", timeout=5.0)),
    ],
)
def test_when_is_an_event_or_an_interval(text: str, expected: When) -> None:
    assert rule(f"when: {text}", API, WATCHES).when == expected


E24 = [
    ("{source: api, once: stopped, each: stopped}", "'when' of 'web' has both 'once' and 'each' (keep one of them)"),
    ("{source: api, interval: 5, once: stopped}", "'when' of 'web' has both 'interval' and 'once' (keep one of them)"),
    ("{interval: 5, each: stopped}", "'when' of 'web' has both 'interval' and 'each' (keep one of them)"),
    ("{source: api, interval: 5}", "'source' has no meaning beside 'interval' (take it away)"),
    ("{interval: 5, timeout: 5}", "'timeout' has no meaning beside 'interval' (take it away)"),
    (
        "{source: api}",
        "'when' of 'web' does not say which event of 'api' (as in 'once: exit-success' or 'each: changed')",
    ),
    ("{once: stopped}", "'when' of 'web' has no 'source' (name a child, watch.NAME, or write 'interval')"),
    ("{}", "'when' of 'web' has no 'source' (name a child, watch.NAME, or write 'interval')"),
    (
        "{source: SIGHUP, each: stopped}",
        "a signal has no events: 'each: stopped' of 'web' (take 'each' away, it starts at each signal)",
    ),
]


@pytest.mark.parametrize(("text", "line"), E24)
def test_E24_a_source_and_one_of_once_each_and_interval(text: str, line: str) -> None:
    assert mistakes(f"when: {text}", API) == [f"{line} [bad-when]"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{source: api, once: exitSucces}", "'exitSucces' is no event (did you mean 'exit-success'?)"),
        ("{source: api, once: started}", "'started' is no event (write 'depends: [{started: CHILD}]')"),
        (
            "{source: watch.db, once: stopped}",
            "'watch.db' has no event 'stopped' (one of changed, healthy, unhealthy)",
        ),
        ("{source: global, once: healthy}", "'global' has no event 'healthy' (one of startup, shutdown)"),
        (
            "{source: api, each: changed}",
            "'api' has no event 'changed' (one of exit-success, exit-failed, healthy, unhealthy, stopping, stopped, "
            "timer-expired)",
        ),
    ],
)
def test_E24_an_event_exists_and_is_one_of_its_source(text: str, line: str) -> None:
    assert mistakes(f"when: {text}", API, WATCHES) == [f"{line} [bad-event]"]


@pytest.mark.parametrize("event", ["enterMaintenance", "exit-maintenance"])
def test_E24_events_of_a_later_version_are_known(event: str) -> None:
    [line] = mistakes(f"when: {{source: global, once: {event}}}")
    assert line.endswith("-maintenance' is known but not available in this version [not-available]")


def test_E24_a_source_exists() -> None:
    assert wrong(
        "web: when: {source: apy, once: stopped}",
        "a: when: {source: watch.dv, once: healthy}",
        "b: when: {source: db, once: healthy}",
        "c: when: {source: SIGTERM, once: stopped}",
        API,
        WATCHES,
    ) == [
        "8:61: unknown child 'apy' (did you mean 'api'?) [unknown-child]",
        "9:59: unknown watch 'dv' (did you mean 'db'?) [unknown-watch]",
        "10:59: unknown child 'db' (write 'watch.db') [unknown-child]",
        "11:59: unknown child 'SIGTERM' (signals can be SIGHUP, SIGUSR1, SIGUSR2) [unknown-child]",
    ]


@pytest.mark.parametrize("text", ["true", "yes", "'true'"])
def test_C25_a_boolean_is_no_event(text: str) -> None:
    for key in ("once", "each"):
        [line] = mistakes(f"when: {{source: api, {key}: {text}}}", API)
        plain = text.strip("'")
        assert line == (
            f"'{plain}' is no event (name an event; '{key}: true' of a child stands beside its 'when') [bad-event]"
        )


@pytest.mark.parametrize("text", ["exit-success", "exitSuccess", "healthy", "shutdown"])
def test_C25_an_event_is_not_whether_a_child_runs_once(text: str) -> None:
    assert mistakes(f"once: {text}") == [
        f"'once' of a child is true or false, not '{text}' (write 'when: {{source: CHILD, once: {text}}}') [wrong-type]"
    ]


def test_N6_once_is_true_or_false() -> None:
    assert mistakes("once: yes") == ["'once' must be true or false, not 'yes' (write true) [wrong-type]"]


def test_N6_a_key_that_yaml_takes_for_true_is_told_from_keys() -> None:
    assert mistakes("when: {source: api, on: healthy}", API) == [
        "'when' of 'web' does not say which event of 'api' (as in 'once: exit-success' or 'each: changed') [bad-when]",
        "unknown key 'on' in 'when' of 'web' (did you mean 'once'?) [unknown-key]",
    ]


# --- what can never be ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["healthy", "unhealthy"])
def test_E8_a_child_may_wait_for_its_own_health_if_something_else_starts_it(event: str) -> None:
    keys = f"health: {{tcp: 'a:1', interval: 5}}, when: {{source: web, each: {event}}}"
    assert rule(f"autostart: false, {keys}").when == When("web", event, each=True)
    assert doubts(f"web: autostart: false, {keys}") == []
    assert doubts(f"web: {keys}") == [
        f"'web' waits for its own '{event}', so it starts only if something spawns it "
        "(add 'autostart: false', or name another child) [doubtful-rule]"
    ]


@pytest.mark.parametrize("event", ["exit-success", "exit-failed"])
def test_E8_a_child_cannot_wait_for_its_own_exit(event: str) -> None:
    assert mistakes(f"when: {{source: web, each: {event}}}") == [
        f"'web' waits for its own '{event}' (write 'restart:' to run it again) [never-starts]"
    ]


@pytest.mark.parametrize("event", ["stopping", "stopped", "timer-expired"])
def test_E8_a_child_cannot_wait_for_its_own_end(event: str) -> None:
    assert mistakes(f"when: {{source: web, once: {event}}}") == [
        f"'web' waits for its own '{event}' (name another child) [never-starts]"
    ]


@pytest.mark.parametrize("event", ["healthy", "unhealthy"])
def test_E24_nothing_is_healthy_that_nobody_checks(event: str) -> None:
    line = f"'api' is never {event}: nothing checks it (add 'health:' or 'ready:' to 'api') [never-starts]"
    assert mistakes(f"when: {{source: api, once: {event}}}", "api: tags: [a]") == [line]
    assert mistakes(f"when: {{source: api, once: {event}}}", "api: ready: {notify: true}") == []


def test_E24_no_timer_expires_of_a_child_that_waits_for_nothing() -> None:
    line = "no time of 'api' expires: it does not wait for anything with a timeout (add 'timeout:' to 'when' of 'api')"
    assert mistakes("when: {source: api, once: timer-expired}", "api: timeout: 5") == [f"{line} [never-starts]"]


def test_E9_children_that_wait_for_each_other_are_a_circle() -> None:
    """supervision 9.10."""
    assert wrong("a: when: {source: b, once: stopped}", "b: when: {source: a, once: stopped}") == [
        "9:59: children wait for each other in a circle: a -> b -> a (take one step of it away) [child-cycle]"
    ]


def test_E9_events_and_conditions_make_circles_together() -> None:
    keys = "health: {tcp: 'a:1', interval: 5}, depends: [{process-exited: a}]"
    assert wrong("a: once: true, when: {source: b, once: healthy}", f"b: {keys}") == [
        "9:106: children wait for each other in a circle: a -> b -> a (take one step of it away) [child-cycle]"
    ]


def test_E9_a_child_that_waits_for_itself_is_a_circle() -> None:
    assert mistakes("once: true, depends: [{process-exited: web}]") == [
        "children wait for each other in a circle: web -> web (take one step of it away) [child-cycle]"
    ]


def test_E9_the_whole_path_of_a_circle_is_shown() -> None:
    found = wrong(
        "first: depends: [{started: a}]",
        "a: when: {source: b, once: stopped}",
        "b: depends: [{output-matches: {child: c, text: x}}]",
        "c: depends_on: {d: }",
        "d: depends: [{healthy: a}]",
        "e: when: {source: d, each: stopped}",
    )
    assert [line.split(": ", 1)[1] for line in found] == [
        "'a' is never healthy: nothing checks it (add 'health:' or 'ready:' to 'a') [never-starts]",
        "children wait for each other in a circle: a -> b -> c -> d -> a (take one step of it away) [child-cycle]",
    ]


def test_E9_a_spawned_child_may_wait_for_the_one_that_spawns_it() -> None:
    watch = "watch: [{check: {path: a}, on-fail: {spawn: rescue}}]"
    assert wrong(f"web: {watch}", "rescue: autostart: false, depends: [{started: web}]") == []


def test_E10_a_source_may_be_any_child_or_one_of_several() -> None:
    found = rules(
        "copro: role: coprocess",
        "hook: when: {source: copro, once: stopping}",
        "tick: when: {interval: 5}",
        "node: for-each: {range: 0..2, as: N}",
        "a: when: {source: copro, once: stopped}",
        "b: when: {source: hook, once: stopped}",
        "c: when: {source: tick, each: exit-success}",
        "d: when: {source: node, once: exit-success}",
        "e: when: {source: node-1, once: exit-success}",
    )
    assert found.children["e"].when == When("node-1", "exit-success")


def test_E10_a_member_that_is_not_there_is_an_unknown_child() -> None:
    node = "node: for-each: {range: 0..2, as: N}"
    assert mistakes("when: {source: node-2, once: stopped}", node) == [
        "'node' has no member 'node-2', but 2, counted from 0 [unknown-child]"
    ]
    assert mistakes("when: {source: node-02, once: stopped}", node)[0].startswith("unknown child 'node-02'")
    assert mistakes("when: {source: node-77, once: stopped}", "node: for-each: {glob: 'c/*', as: N}") == []


def test_C9_each_and_restarts_without_end_are_wrong() -> None:
    line = "'web' starts on each event, and again without end: its runs would become ever more "
    for keys in ("restart: always", "restarts: unlimited", "restart: {}"):
        assert mistakes(f"when: {{source: SIGHUP}}, {keys}") == [
            f"{line}(write 'once', or a number of restarts) [bad-when]"
        ]
    assert mistakes("when: {source: SIGHUP}, restarts: 3") == []


def test_a_signal_that_is_no_event_starts_nothing() -> None:
    line = "'web' waits for SIGUSR1, which is no event (write 'USR1: event' in 'on-signal') [never-starts]"
    assert mistakes("when: {source: SIGUSR1}", ".on-signal: {USR1: ignore}") == [line]
    assert mistakes("when: {source: SIGUSR1}", ".on-signal: {USR1: event}") == []


def test_a_child_with_the_name_of_something_else_cannot_be_a_source() -> None:
    assert wrong("global: once: true", "a: when: {source: global, once: startup}") == [
        "9:59: source 'global' is a child, and something else too (give the child another name) [name-clash]"
    ]
    assert wrong("global: once: true", "a: depends: [{process-exited: global}]") == []


# --- intervals --------------------------------------------------------------------------------------------------


def test_E12_an_interval_child_ticks_without_end_unless_it_says_otherwise() -> None:
    assert rule("when: {interval: 5}").restart.limit == UNLIMITED
    assert rule("when: {interval: 5}, restarts: 3").restart == Restart(limit=3, at_once=True)
    assert rule("when: {interval: 5}, restarts: never").restart.limit == 0


def test_C10_an_interval_child_runs_no_longer_than_its_interval_unless_it_says_otherwise() -> None:
    assert rule("when: {interval: 5}").timeout == 5.0
    assert rule("when: {interval: 5}, timeout: 7").timeout == 7.0
    assert rule("when: {interval: 5}, timeout: none").timeout == 0.0


# --- for-each ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{glob: 'conf/node-*.yaml', as: NODE}", ForEach("NODE", "conf/node-*.yaml")),
        ("{values: [a, b c, '3'], as: X}", ForEach("X", values=("a", "b c", "3"))),
        ("{values: [], as: X}", ForEach("X")),
        ("{range: 0..3, as: I}", ForEach("I", values=("0", "1", "2"))),
        ("{range: 0..=3, as: I}", ForEach("I", values=("0", "1", "2", "3"))),
        ("{range: 2..=2, as: I}", ForEach("I", values=("2",))),
        ("{range: 3..3, as: I}", ForEach("I")),
        ("{range: 3..1, as: I}", ForEach("I")),
    ],
)
def test_D14_for_each_has_values(text: str, expected: ForEach) -> None:
    assert rule(f"for-each: {text}").for_each == expected
    assert rule(f"for_each: {text}").for_each == expected
    assert rule(f"forEach: {text}").for_each == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{glob: 'a*'}", "'for-each' needs 'as' (add 'as:') [missing-key]"),
        ("{as: A}", "'for-each' needs one of 'glob', 'values' and 'range' [bad-for-each]"),
        (
            "{as: A, glob: a, range: 0..1}",
            "'for-each' needs one of 'glob', 'values' and 'range' (keep 'glob') [bad-for-each]",
        ),
        ("{as: A-B, range: 0..1}", "'A-B' of 'as' names no variable (letters, digits and '_') [bad-name]"),
        ("{as: A, range: 1-3}", "'1-3' is no range (as in 0..3 or 0..=3) [bad-for-each]"),
        ("{as: A, range: 0..1001}", "'for-each' has more than 1000 values (use fewer) [out-of-range]"),
        ("{as: A, range: 0..=999999}", "'for-each' has more than 1000 values (use fewer) [out-of-range]"),
        ("{as: A, glob: /etc/*}", "'glob' '/etc/*' is absolute (take the first '/' away) [bad-path]"),
        ("{as: A, glob: ../*}", "'glob' '../*' holds '..' (write the path without it) [bad-path]"),
    ],
)
def test_D14_for_each_is_checked(text: str, line: str) -> None:
    assert mistakes(f"for-each: {text}") == [line]


def test_D14_a_child_cannot_have_the_name_of_a_member() -> None:
    assert wrong("node: for-each: {range: 0..1, as: N}", "node-7: once: true", "node-x: once: true") == [
        "9:7: child 'node-7' has the name of a member of 'node' (give one of them another name) [name-clash]"
    ]


def test_D14_members_cannot_share_one_listening_socket() -> None:
    assert mistakes("for-each: {range: 0..2, as: N}, pass-tcp-socket: 8000") == [
        "the children of 'for-each' cannot all listen on one address (take 'pass-tcp-socket' away) [bad-for-each]"
    ]


# --- what stops the run before --------------------------------------------------------------------------------------

SUCCESS = "web: when: {source: api, once: exit-success}"
FAILURE = "web: when: {source: api, once: exit-failed}"
STOPS = "'web' waits for '{}' of 'api', but that stops the run ({}) [doubtful-rule]"


@pytest.mark.parametrize("keys", ["", "restart: on-failure", "restart: {limit: 2, no-restart-on: [0]}"])
def test_a_success_that_stops_the_run_can_start_nobody(keys: str) -> None:
    """As a `preStart` of ContainerPilot, without `once`."""
    expected = STOPS.format("exit-success", "add 'once: true' to 'api'")
    assert doubts(SUCCESS, f"api: {keys}") == [expected]


@pytest.mark.parametrize("mode", ["stop-on-failure", "wait-all-successful"])
def test_a_failure_that_stops_the_run_can_start_nobody(mode: str) -> None:
    expected = STOPS.format("exit-failed", "write 'mode: keep-going', or give it a 'restart:'")
    assert doubts(FAILURE, "api: once: true", f".mode: {mode}") == [expected]


@pytest.mark.parametrize(
    "words",
    [
        (SUCCESS, "api: once: true"),
        (SUCCESS, "api: restart: always"),
        (SUCCESS, "api: role: coprocess"),
        (SUCCESS, "api: when: {interval: 5s}"),
        (SUCCESS, "api: ''", ".mode: wait-all-successful"),
        (SUCCESS, "api: ''", ".mode: keep-going"),
        (FAILURE, "api: restart: on-failure:3"),
        (FAILURE, "api: ''", ".mode: keep-going"),
        ("web: when: {source: api, once: stopping}", "api: ''"),
    ],
)
def test_an_end_that_does_not_stop_the_run_can_start_others(words: tuple[str, ...]) -> None:
    assert doubts(*(word.replace("''", "") for word in words)) == []
