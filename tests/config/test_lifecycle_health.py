"""Health, readiness, watches and services, as they are written (rows H3, N6, N7, N8, C29, C37)."""

from __future__ import annotations

import pytest

from tests.config.ruled import doubts, mistakes, rule, rules, wrong
from vaggapy.config.rules import Check, Consul, Health, Ready, Service, Watch

EXEC = Check("exec", "true")
SPAWNED = "rescue: autostart: false"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "{exec: 'true', interval: 5s}",
            Health(EXEC, 5.0, 5.0, ttl=10.0, start_period=5.0, start_interval=1.0),
        ),
        (
            "{exec: [curl, -f, 'localhost:80'], interval: 500ms}",
            Health(
                Check("exec", words=("curl", "-f", "localhost:80")),
                0.5,
                0.5,
                ttl=5.0,
                start_period=0.5,
                start_interval=0.5,
            ),
        ),
        (
            "{http: 'http://a/', status: 204, interval: 5, timeout: 2, ttl: 30, initial-delay: 1, start-period: 9, "
            "start-interval: 2, threshold: 4, successes: 2, on-fail: restart, repeat: true}",
            Health(
                Check("http", "http://a/", status=204), 5.0, 2.0, "", 30.0, 1.0, 9.0, 2.0, 4, 2, "restart", "", True
            ),
        ),
        (
            "{tcp: 'a:$PORT', pollInterval: 5, failureThreshold: 2, success_threshold: 3, ttl: none, startPeriod: 0}",
            Health(Check("tcp", "a:$PORT"), 5.0, 5.0, threshold=2, successes=3),
        ),
    ],
)
def test_health_is_a_check_and_how_often(text: str, expected: Health) -> None:
    assert rule(f"health: {text}").health == expected


def test_H3_the_time_to_live_does_not_decide_before_the_threshold() -> None:
    for threshold in (1, 2, 3, 10):
        health = rule(f"health: {{exec: 'true', interval: 5, threshold: {threshold}}}").health
        assert health is not None
        assert health.ttl == 5.0 * (threshold + 1)


def test_H3_a_time_to_live_that_is_over_before_the_next_check_is_doubtful() -> None:
    line = "'ttl' of 'web' is over before the next check comes (make it longer than 'interval') [doubtful-rule]"
    assert doubts("web: health: {exec: 'true', interval: 5, ttl: 5}") == [line]
    assert doubts("web: health: {exec: 'true', interval: 5, ttl: 5.1}") == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{interval: 5}", "'health' of 'web' does not say what to look at (one of exec, http, tcp) [bad-check]"),
        ("{exec: 'true'}", "'health' of 'web' needs 'interval' (add 'interval:') [missing-key]"),
        (
            "{exec: 'true', tcp: 'a:1', interval: 5}",
            "'health' of 'web' has both 'exec' and 'tcp' (keep one of them) [bad-check]",
        ),
        ("{exec: '', interval: 5}", "'exec' is empty (write a command line) [bad-value]"),
        ("{exec: [], interval: 5}", "'exec' names no program (as in [curl, -f, localhost:8000]) [bad-value]"),
        ("{exec: {a: b}, interval: 5}", "'exec' must be text or a list of texts [wrong-type]"),
        ("{exec: 'true', interval: 5, threshold: 0}", "'threshold' is 0 (from 1 to 1073741824) [out-of-range]"),
        (
            "{exec: 'true', interval: 5, on-fail: restrt}",
            "unknown value 'restrt' of 'on-fail' (did you mean 'restart'?) [bad-value]",
        ),
        (
            "{exec: 'true', interval: 5, on-fail: explode}",
            "unknown value 'explode' of 'on-fail' "
            "(one of event, log, restart, shutdown, debug, or '{spawn: CHILD}') [bad-value]",
        ),
        (
            "{exec: 'true', interval: 5, on-fail: spawn}",
            "'on-fail: spawn' names no child (write '{spawn: CHILD}') [bad-value]",
        ),
        (
            "{exec: 'true', interval: 5, on-fail: {spwn: x}}",
            "'on-fail' is neither a word nor '{spawn: CHILD}' [bad-value]",
        ),
        (
            "{exec: 'true', interval: 5, on-fail: {spawn: x}}",
            "unknown child 'x' (name a child of the same !Supervise) [unknown-child]",
        ),
        ("curl", "'health' of 'web' must be keys and values (one of exec, http, status, tcp) [wrong-type]"),
    ],
)
def test_health_is_checked(text: str, line: str) -> None:
    assert mistakes(f"health: {text}") == [line]


@pytest.mark.parametrize("text", ["off", "no", "false", "none", "OFF"])
def test_N6_on_fail_is_no_switch(text: str) -> None:
    assert mistakes(f"health: {{exec: 'true', interval: 5, on-fail: {text}}}") == [
        f"unknown value '{text}' of 'on-fail' (write 'log' to do nothing) [bad-value]"
    ]


def test_C29_a_failed_health_is_an_event_and_a_failed_watch_ends_the_group() -> None:
    found = rule("health: {exec: 'true', interval: 5}, watch: [{check: {path: a}}]")
    assert found.health is not None
    assert (found.health.on_fail, found.watches[0].on_fail) == ("event", "shutdown")


def test_a_child_that_is_spawned_is_not_started_by_itself() -> None:
    keys = "health: {exec: 'true', interval: 5, on-fail: {spawn: rescue}}"
    health = rule(keys, SPAWNED).health
    assert health is not None
    assert (health.on_fail, health.spawn) == ("spawn", "rescue")
    assert mistakes(keys, "rescue: once: true") == [
        "'rescue' is started anyway, so it cannot be spawned (add 'autostart: false' to 'rescue') [not-dormant]"
    ]


def test_only_one_of_several_can_be_spawned() -> None:
    several = "node: autostart: false, for-each: {range: 0..2, as: N}"
    watch = "watch: [{check: {path: a}, on-fail: {spawn: %s}}]"
    assert rule(watch % "node-1", several).watches[0].spawn == "node-1"
    assert mistakes(watch % "node", several) == [
        "'node' stands for several children, and only one can be spawned (name one of them, as 'node-0') [bad-value]"
    ]


def test_C30_a_child_that_is_spawned_is_meant_to_end_unless_it_says_otherwise() -> None:
    assert rule("autostart: false").once
    assert not rule("autostart: false, once: false").once
    assert not rule("autostart: true").once


def test_a_program_beside_process_1_cannot_be_run() -> None:
    for key, text in (
        ("health", "{exec: 'true', interval: 5}"),
        ("healthcheck", "{test: 'true'}"),
        ("watch", "[{check: {exec: 'true'}}]"),
    ):
        assert mistakes(f"pid1mode: exec, {key}: {text}") == [
            f"'{key}' of 'web' cannot run a program beside it with 'pid1mode: exec' "
            "(use another mode, or 'http' or 'tcp') [bad-check]"
        ]
    assert mistakes("pid1mode: exec, health: {tcp: 'a:1', interval: 5}, condition: 'true'") == []


# --- watch ------------------------------------------------------------------------------------------------------


def test_watches_of_a_child_look_at_anything_outside_of_children() -> None:
    found = rule(
        "watch: [{check: {path: a}}, {check: {exec: [x]}, name: own}, "
        "{check: {not-running: x}, interval: 2, timeout: 1, initial_delay: 3, failure_threshold: 1, on_fail: log}, "
        "{name: b, check: {file-contains: {path: a.yaml, key: $.x}}, poll_interval: 1, on-fail: {spawn: rescue}}]",
        SPAWNED,
    ).watches
    assert found == (
        Health(Check("path", "a"), 5.0, 5.0, "watch-0", start_interval=5.0, threshold=3, on_fail="shutdown"),
        Health(Check("exec", words=("x",)), 5.0, 5.0, "own", start_interval=5.0, threshold=3, on_fail="shutdown"),
        Health(Check("not-running", "x"), 2.0, 1.0, "watch-2", delay=3.0, start_interval=2.0, on_fail="log"),
        Health(
            Check("file-contains", "a.yaml", key="$.x", format="yaml"),
            1.0,
            1.0,
            "b",
            start_interval=1.0,
            threshold=3,
            on_fail="spawn",
            spawn="rescue",
        ),
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{}", "an entry of 'watch' of 'web' needs 'check' (add 'check:') [missing-key]"),
        (
            "{check: {process-exited: a}}",
            "'check' of 'watch-0' does not say what to look at (one of exec, http, tcp, path, file-contains, "
            "not-listening, not-exists, not-running) [bad-check]",
        ),
        ("{name: health, check: {path: a}}", "'health' is the name of another check (choose another one) [bad-name]"),
        ("x", "an entry of 'watch' of 'web' must be keys and values "
         "(one of name, check, initial-delay, interval) [wrong-type]"),
    ],
)  # fmt: skip
def test_watches_of_a_child_are_checked(text: str, line: str) -> None:
    assert line in mistakes(f"watch: [{text}]")


def test_two_watches_of_a_child_have_two_names() -> None:
    text = "watch: [{name: a, check: {path: a}}, {name: a, check: {path: b}}]"
    assert wrong(f"web: {text}") == [
        "8:90: two entries of 'watch' of 'web' are called 'a' (give one of them another name) [duplicate-key]"
    ]
    assert mistakes("watch: [{name: watch-1, check: {path: a}}, {check: {path: b}}]") == [
        "two entries of 'watch' of 'web' are called 'watch-1' (give one of them another name) [duplicate-key]"
    ]


# --- readiness --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{notify: true}", Ready(notify=True)),
        ("{fd: 3}", Ready(fd=3)),
        ("{line: listening on}", Ready(line="listening on")),
        ("{fd: 9, timeout: 5, on-fail: restart}", Ready(fd=9, timeout=5.0, on_fail="restart")),
    ],
)
def test_ready_is_one_of_three_signs(text: str, expected: Ready) -> None:
    assert rule(f"ready: {text}").ready == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{}", "'ready' of 'web' needs one of 'notify: true', 'fd' and 'line' [bad-check]"),
        ("{notify: false}", "'ready' of 'web' needs one of 'notify: true', 'fd' and 'line' [bad-check]"),
        ("{notify: true, fd: 3}", "'ready' of 'web' needs one of 'notify: true', 'fd' and 'line' [bad-check]"),
        ("{fd: 2}", "'fd' is 2 (from 3 to 9) [out-of-range]"),
        ("{fd: 10}", "'fd' is 10 (from 3 to 9) [out-of-range]"),
        ("{line: ''}", "'line' of 'web' is no part of a line [bad-check]"),
        ('{line: "a\\nb"}', "'line' of 'web' is no part of a line [bad-check]"),
        (
            "{fd: 4, on-fail: {spawn: rescue}}",
            "'ready' of 'web' cannot spawn a child (do it with 'health' or 'watch') [bad-value]",
        ),
    ],
)
def test_ready_is_checked(text: str, line: str) -> None:
    assert mistakes(f"ready: {text}", SPAWNED) == [line]


def test_the_descriptor_of_readiness_is_not_that_of_the_socket() -> None:
    assert mistakes("ready: {fd: 3}, pass-tcp-socket: 8000") == [
        "'fd' of 'web' is the one of its socket (use 4 to 9) [bad-check]"
    ]
    assert mistakes("ready: {fd: 4}, pass-tcp-socket: 8000") == []


# --- Compose and process-compose --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("test", "check"),
    [
        ("[CMD, curl, -f, 'http://localhost']", Check("exec", words=("curl", "-f", "http://localhost"))),
        ("[CMD-SHELL, 'curl -f a || exit 1']", Check("exec", "curl -f a || exit 1")),
        ("curl -f a || exit 1", Check("exec", "curl -f a || exit 1")),
    ],
)
def test_healthcheck_means_what_it_means_in_compose(test: str, check: Check) -> None:
    assert rule(f"healthcheck: {{test: {test}}}").health == Health(
        check, 30.0, 30.0, start_period=0.0, start_interval=5.0, threshold=3
    )


def test_healthcheck_has_all_keys_of_compose() -> None:
    text = "{test: a, interval: 1m30s, timeout: 10s, retries: 5, start_period: 40s, start_interval: 2s}"
    assert rule(f"healthcheck: {text}").health == Health(
        Check("exec", "a"), 90.0, 10.0, start_period=40.0, start_interval=2.0, threshold=5
    )


@pytest.mark.parametrize("text", ["{disable: true}", "{test: [NONE]}", "{test: a, disable: true}"])
def test_a_healthcheck_can_be_switched_off(text: str) -> None:
    assert rule(f"healthcheck: {text}").health is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{}", "'healthcheck' has no 'test' (as in [CMD, curl, -f, localhost]) [bad-check]"),
        (
            "{test: [curl]}",
            "'test' is no check (a list begins with CMD, CMD-SHELL (and one text) or NONE) [bad-check]",
        ),
        (
            "{test: [CMD-SHELL, a, b]}",
            "'test' is no check (a list begins with CMD, CMD-SHELL (and one text) or NONE) [bad-check]",
        ),
        ("{test: a, retries: 0}", "'retries' is 0 (from 1 to 1073741824) [out-of-range]"),
        ("{test: a, disable: yes}", "'disable' must be true or false, not 'yes' (write true) [wrong-type]"),
    ],
)
def test_a_healthcheck_is_checked(text: str, line: str) -> None:
    assert mistakes(f"healthcheck: {text}") == [line]


def test_readiness_probe_means_what_it_means_in_process_compose() -> None:
    assert rule("readiness_probe: {exec: {command: 'curl a'}}").health == Health(
        Check("exec", "curl a"), 10.0, 1.0, start_interval=10.0, threshold=3
    )
    text = (
        "{http_get: {host: localhost, scheme: https, path: /ready, port: 8080, status_code: 204}, period_seconds: 5, "
        "initial_delay_seconds: 3, timeout_seconds: 2, success_threshold: 2, failure_threshold: 4}"
    )
    assert rule(f"readiness_probe: {text}").health == Health(
        Check("http", "https://localhost:8080/ready", status=204),
        5.0,
        2.0,
        delay=3.0,
        start_interval=5.0,
        threshold=4,
        successes=2,
    )
    health = rule("readiness_probe: {http_get: {port: 80}}").health
    assert health is not None
    assert health.check.target == "http://127.0.0.1:80/"


@pytest.mark.parametrize("text", ["{}", "{exec: {command: a}, http_get: {port: 80}}"])
def test_a_readiness_probe_looks_at_one_thing(text: str) -> None:
    assert mistakes(f"readiness_probe: {text}") == [
        "'readiness_probe' does not say what to look at (write one of 'exec' and 'http_get') [bad-check]"
    ]


def test_N7_two_ways_to_say_how_a_child_is_checked_are_wrong() -> None:
    assert mistakes("health: {exec: a, interval: 5}, healthcheck: {test: a}, readinessProbe: {}") == [
        "'health' and 'healthcheck' say the same (keep one of them) [duplicate-key]",
        "'health' and 'readinessProbe' say the same (keep one of them) [duplicate-key]",
    ]


# --- services, watches of the group, signals --------------------------------------------------------------------

HEALTH = "health: {exec: 'true', interval: 5}"
CONSUL = ".consul: '127.0.0.1:8500'"


def test_a_service_has_the_keys_of_containerpilot() -> None:
    assert rule(f"service: {{port: 80}}, {HEALTH}", CONSUL).service == Service(80)
    text = (
        "{port: 80, initial_status: warning, tags: [a], interfaces: ['eth0[1]', inet6, 'static:10.0.0.1', 10.0.0.0/8], "
        "consul: {enableTagOverride: true, deregisterCriticalServiceAfter: 10m}}"
    )
    assert rule(f"service: {text}, {HEALTH}", CONSUL).service == Service(
        80, "warning", ("a",), ("eth0[1]", "inet6", "static:10.0.0.1", "10.0.0.0/8"), True, "600s"
    )
    service = rule(f"service: {{port: 80, interfaces: eth0}}, {HEALTH}", CONSUL).service
    assert service is not None
    assert service.interfaces == ("eth0",)


def test_C37_a_service_needs_health_and_a_catalog() -> None:
    assert mistakes("service: {port: 80}") == [
        "service 'web' has no 'health' (add 'health:' to 'web') [bad-service]",
        "service 'web' has no catalog to be in (add 'consul: HOST:PORT' to the !Supervise) [bad-service]",
    ]
    assert mistakes("service: {port: 80}, healthcheck: {disable: true}", CONSUL) == [
        "service 'web' has no 'health' (add 'health:' to 'web') [bad-service]"
    ]


def test_C37_a_watch_of_a_service_needs_a_catalog() -> None:
    assert mistakes("once: true", ".watches: {db: {consul: mysql}}") == [
        "watch 'db' has no catalog to ask (add 'consul: HOST:PORT' to the !Supervise) [bad-service]"
    ]


@pytest.mark.parametrize("name", ["Web", "a", "w_b", "1a", "a.b"])
def test_N8_only_a_service_has_a_strict_name(name: str) -> None:
    assert wrong(f"{name}: once: true") == []
    [line] = wrong(f"{name}: service: {{port: 80}}, {HEALTH}", CONSUL)
    assert line == (
        f"8:7: '{name}' cannot be the name of a service (a letter from a to z, then letters, digits and '-') [bad-name]"
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{}", "'service' of 'web' needs 'port' (add 'port:') [missing-key]"),
        ("{port: 0}", "'port' is 0 (from 1 to 65535) [out-of-range]"),
        (
            "{port: 80, initial-status: ok}",
            "unknown value 'ok' of 'initial-status' (one of passing, warning, critical) [bad-value]",
        ),
        (
            "{port: 80, interfaces: ['eth 0']}",
            "'eth 0' of 'interfaces' names no address "
            "(as in eth0, eth0:inet6, eth0[1], inet, 10.0.0.0/8 or static:10.0.0.1) [bad-value]",
        ),
    ],
)
def test_a_service_is_checked(text: str, line: str) -> None:
    assert mistakes(f"service: {text}, {HEALTH}", CONSUL) == [line]


def test_watches_of_a_group_are_sources_of_events() -> None:
    text = (
        ".watches: {db: {consul: mysql, tag: prod, dc: us-east-1, interval: 3}, "
        "api: {http: 'http://a/$', status: 204, interval: 20, timeout: 1}, f: {path: conf/a}}"
    )
    assert rules("web: once: true", text, CONSUL).watches == (
        Watch("db", 3.0, None, "mysql", "prod", "us-east-1", 3.0),
        Watch("api", 20.0, Check("http", "http://a/$", status=204), timeout=1.0),
        Watch("f", 5.0, Check("path", "conf/a"), timeout=5.0),
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{}", "watch 'db' does not say what to look at (one of http, tcp, path) [bad-check]"),
        ("{consul: a, http: 'http://a'}", "watch 'db' has both 'consul' and 'http' (keep one of them) [bad-check]"),
        ("{path: a, tag: b}", "'tag' belongs to 'consul' (take it away) [bad-check]"),
        ("{exec: a, path: b}",
         "unknown key 'exec' in watch 'db' (the keys are listed in docs/config.md) [unknown-key]"),
        ("{path: /etc/a}", "'path' '/etc/a' is outside of the project "
         "(name a path of the project, relative to it or below /work) [bad-path]"),
    ],
)  # fmt: skip
def test_watches_of_a_group_are_checked(text: str, line: str) -> None:
    assert mistakes("once: true", f".watches: {{db: {text}}}", CONSUL) == [line]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'localhost:8500'", Consul("http://localhost:8500")),
        ("'https://consul.example/'", Consul("https://consul.example")),
        ("{address: 'localhost:8500'}", Consul("http://localhost:8500")),
        ("{address: 'localhost:8500', scheme: https, token: t}", Consul("https://localhost:8500", "t")),
        (
            "{address: 'https://a', tls: {cafile: /a, capath: /b, clientcert: /c, clientkey: /d, servername: e, "
            "verify: false}}",
            Consul("https://a", "", "/a", "/b", "/c", "/d", "e", False),
        ),
        ("{address: 'a:1', tls: {ca-file: /a, clientKey: /d}}", Consul("http://a:1", ca_file="/a", client_key="/d")),
    ],
)
def test_consul_is_an_address_or_keys(text: str, expected: Consul) -> None:
    assert rules("web: once: true", f".consul: {text}").consul == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{}", "'consul' needs 'address' (add 'address:') [missing-key]"),
        ("[a]", "'consul' must be text [wrong-type]"),
        ("'a b'", "'http://a b' is no URL (as in http://localhost:8000/health) [bad-value]"),
        (
            "{address: 'http://a', scheme: https}",
            "'scheme: https' is not that of the address (keep one of them) [duplicate-key]",
        ),
    ],
)
def test_consul_is_checked(text: str, line: str) -> None:
    assert mistakes("once: true", f".consul: {text}") == [line]


def test_signals_have_reactions_by_number() -> None:
    text = ".on-signal: {HUP: event, SIGUSR1: ignore, USR2: terminate}"
    assert rules("web: once: true", text).signals == {1: "event", 10: "ignore", 12: "terminate"}
    assert rules("web: once: true").signals == {}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{HUP: reload}", "'HUP: reload' is known but not available in this version [not-available]"),
        ("{USR1: reopen-logs}", "'USR1: reopen-logs' is known but not available in this version [not-available]"),
        ("{HUP: off}", "unknown value 'off' of 'HUP' (one of terminate, event, ignore) [bad-value]"),
        ("{TERM: ignore}", "unknown key 'TERM' in 'on-signal' (the keys are listed in docs/config.md) [unknown-key]"),
        ("{HUP: event, SIGHUP: event}", "'HUP' and 'SIGHUP' are the same key (keep one of them) [duplicate-key]"),
    ],
)
def test_signals_are_checked(text: str, line: str) -> None:
    assert mistakes("once: true", f".on-signal: {text}") == [line]


def test_the_window_of_hooks_is_a_duration() -> None:
    assert rules("web: once: true", ".hook-window: 1m").hook_window == 60.0
    assert rules("web: once: true", ".hookWindow: 1").hook_window == 1.0
    assert rules("web: once: true").hook_window == 5.0


@pytest.mark.parametrize("key", ["control", "logging", "telemetry"])
def test_keys_of_a_later_version_are_known(key: str) -> None:
    assert mistakes("once: true", f".{key}: {{}}")[0].endswith(
        "known but not available in this version [not-available]"
    )
