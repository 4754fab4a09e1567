"""What a child waits for, as it is written (rows D6, D9, D11, D12, D15, C5)."""

from __future__ import annotations

import pytest

from tests.config.ruled import mistakes, rule, wrong
from vaggapy.config.rules import Check, Depend

JOB = "job: once: true"
CHECKS = [
    ("tcp: 'localhost:5432'", Check("tcp", "localhost:5432")),
    ("tcp: '[::1]:5432'", Check("tcp", "[::1]:5432")),
    ("tcp: '$HOST:${PORT}'", Check("tcp", "$HOST:${PORT}")),
    ("http: 'http://localhost:8000/health?x=1'", Check("http", "http://localhost:8000/health?x=1")),
    ("http: 'https://[::1]/', status: 204", Check("http", "https://[::1]/", status=204)),
    ("http: {url: 'http://a', code: 404}", Check("http", "http://a", status=404)),
    ("url: 'http://a', code: 404", Check("http", "http://a", status=404)),
    ("http: 'http://localhost:$PORT/'", Check("http", "http://localhost:$PORT/")),
    ("path: run/ok", Check("path", "run/ok")),
    ("path: ./run//ok/", Check("path", "run/ok")),
    ("path: /work/run/ok", Check("path", "run/ok")),
    ("path: $DIR/ok", Check("path", "$DIR/ok")),
    ("not-listening: 'localhost:80'", Check("not-listening", "localhost:80")),
    ("not_listening: 'localhost:80'", Check("not-listening", "localhost:80")),
    ("notExists: lock", Check("not-exists", "lock")),
    ("not-running: '^postgres: .*[0-9]$$'", Check("not-running", "^postgres: .*[0-9]$$")),
    ("process-exited: job", Check("process-exited", "job")),
    ("process_exited: {name: job}", Check("process-exited", "job")),
    ("output-matches: {child: job, text: 'ready: yes'}", Check("output-matches", "job", key="ready: yes")),
    ("started: job", Check("started", "job")),
    ("file-contains: {path: a.json, key: $.b}", Check("file-contains", "a.json", key="$.b", format="json")),
    ("file-contains: {path: a.yml, key: $}", Check("file-contains", "a.yml", key="$", format="yaml")),
    (
        "file_contains: {path: /work/a, format: yaml, key: '$[\"b\"]', env: DB_URL}",
        Check("file-contains", "a", key='$["b"]', format="yaml", variable="DB_URL"),
    ),
]


@pytest.mark.parametrize(("text", "expected"), CHECKS)
def test_an_entry_of_depends_looks_at_one_thing(text: str, expected: Check) -> None:
    [found] = rule(f"depends: [{{{text}}}]", JOB).depends
    assert found.check == expected


def test_C5_without_options_it_waits_a_minute_and_looks_every_second() -> None:
    [tcp, exited] = rule("depends: [{tcp: 'a:1'}, {process-exited: job}]", JOB).depends
    assert tcp == Depend(Check("tcp", "a:1"), timeout=60.0, poll=1.0, retry=True, skips=False)
    assert (exited.timeout, exited.poll) == (60.0, 0.1)


@pytest.mark.parametrize(
    "text",
    [
        "{tcp: 'a:1', timeout: 5, poll: 500ms, retry: false, on-timeout: skip}",
        "{tcp: 'a:1', timeout_seconds: 5, poll_interval: 0.5, retry: false, onTimeout: skip}",
    ],
)
def test_options_stand_beside_the_check(text: str) -> None:
    assert rule(f"depends: [{text}]").depends == (Depend(Check("tcp", "a:1"), 5.0, 0.5, False, True),)


@pytest.mark.parametrize(
    "text",
    [
        "file-contains: {path: a, key: $, %s}",
        "process-exited: {name: job, %s}",
        "output-matches: {child: job, text: x, %s}",
    ],
)
def test_options_may_stand_inside_of_the_check(text: str) -> None:
    options = "timeout_seconds: 5, poll_interval: 2, retry: false, on-timeout: skip"
    [found] = rule(f"depends: [{{{text % options}}}]", JOB).depends
    assert (found.timeout, found.poll, found.retry, found.skips) == (5.0, 2.0, False, True)


def test_N7_an_option_inside_of_a_check_and_beside_it_is_wrong() -> None:
    assert mistakes("depends: [{process-exited: {name: job, timeout_seconds: 5}, timeout: 4}]", JOB) == [
        "'timeout_seconds' stands inside of the check and beside it (keep one of them) [duplicate-key]"
    ]
    assert mistakes("depends: [{http: {url: 'http://a', code: 5}, status: 5}]", JOB)[0] == (
        "the status stands inside of 'http' and beside it (keep one of them) [duplicate-key]"
    )


def test_D9_a_url_without_a_code_wants_200() -> None:
    for text in ("url: 'http://a'", "http: 'http://a'", "http: {url: 'http://a'}"):
        assert rule(f"depends: [{{{text}}}]").depends[0].check.status == 200


WRONG = [
    ("{}", "an entry of 'depends' does not say what to look at (one of http, tcp, path, file-contains, not-listening, "
     "not-exists, not-running, process-exited, output-matches, healthy, started) [bad-check]"),
    ("{tcp: 'a:1', path: b}", "an entry of 'depends' has both 'tcp' and 'path' (make an entry of each) [bad-check]"),
    ("{tcp: }", "'tcp' is empty (write what to look at) [bad-check]"),
    ("{tcp: 'a:1', status: 200}", "'status' belongs to 'http' (take it away) [bad-check]"),
    ("{exec: 'true'}", "'depends' cannot run a program (run it as a child with 'once: true', and wait for that with "
     "'process-exited') [bad-check]"),
    ("job", "an entry of 'depends' must be keys and values "
     "(write '- started: job', or what else there is to wait for) [wrong-type]"),
    ("{tcp: '5432'}", "'5432' of 'tcp' is no address (write localhost:5432) [bad-value]"),
    ("{tcp: 'a:0'}", "'a:0' of 'tcp' is no address (HOST:PORT, as in localhost:5432 or [::1]:5432) [bad-value]"),
    ("{tcp: '::1:80'}", "'::1:80' of 'tcp' is no address (HOST:PORT, as in localhost:5432 or [::1]:5432) [bad-value]"),
    ("{not-listening: 'a:70000'}",
     "'a:70000' of 'not-listening' is no address (HOST:PORT, as in localhost:5432 or [::1]:5432) [bad-value]"),
    ("{http: 'localhost:80/a'}", "'localhost:80/a' is no URL (write http://localhost:80/a) [bad-value]"),
    ("{http: 'ftp://a'}", "'ftp://a' is no URL (as in http://localhost:8000/health) [bad-value]"),
    ("{http: 'http://a:99999/'}", "'http://a:99999/' is no URL (as in http://localhost:8000/health) [bad-value]"),
    ("{http: 'http://'}", "'http://' is no URL (as in http://localhost:8000/health) [bad-value]"),
    ("{http: 'http://a', status: 99}", "'status' is 99 (from 100 to 599) [out-of-range]"),
    ("{path: /etc/passwd}", "'path' '/etc/passwd' is outside of the project "
     "(name a path of the project, relative to it or below /work) [bad-path]"),
    ("{path: /workshop/a}", "'path' '/workshop/a' is outside of the project "
     "(name a path of the project, relative to it or below /work) [bad-path]"),
    ("{path: a/../../b}", "'path' 'a/../../b' holds '..' (write the path without it) [bad-path]"),
    ("{path: /work/../etc}", "'path' '../etc' holds '..' (write the path without it) [bad-path]"),
    ("{not-exists: $A/../b}", "'not-exists' '$A/../b' holds '..' (write the path without it) [bad-path]"),
    ("{path: /work}", "'path' names the project itself (name something in it) [bad-path]"),
    ("{path: .}", "'path' names the project itself (name something in it) [bad-path]"),
    ("{file-contains: {key: $.a}}", "'file-contains' needs 'path' (add 'path:') [missing-key]"),
    ("{file-contains: {path: a}}", "'file-contains' needs 'key' (add 'key:') [missing-key]"),
    ("{file-contains: {path: a, key: b}}", "'b' is no JSONPath (as in $.database.url) [bad-check]"),
    ("{file-contains: {path: a, key: $b}}", "'$b' is no JSONPath (as in $.database.url) [bad-check]"),
    ("{file-contains: {path: a, key: $, env: A-B}}",
     "'A-B' of 'env' names no variable (letters, digits and '_') [bad-name]"),
    ("{file-contains: {path: a, key: $, format: toml}}",
     "unknown value 'toml' of 'format' (one of json, yaml) [bad-value]"),
    ("{file-contains: a}", "'file-contains' must be keys and values (one of path, key, format, env) [wrong-type]"),
    ("{output-matches: {child: job}}", "'output-matches' needs 'text' (add 'text:') [missing-key]"),
    ("{output-matches: {child: job, text: ''}}", "'text' of 'output-matches' is no part of a line [bad-check]"),
    ("{not-running: '('}", "'not-running' is no regular expression: missing ), unterminated subpattern at position 0 "
     "(put a backslash before signs that mean themselves) [bad-check]"),
    ("{tcp: 'a:1', on-timeout: wait}", "unknown value 'wait' of 'on-timeout' (one of fail, skip) [bad-value]"),
    ("{tcp: 'a:1', retry: no}", "'retry' must be true or false, not 'no' (write false) [wrong-type]"),
    ("{tpc: 'a:1', tcp: 'a:1'}", "unknown key 'tpc' in an entry of 'depends' (did you mean 'tcp'?) [unknown-key]"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line"), WRONG)
def test_what_cannot_be_waited_for_is_one_clear_problem(text: str, line: str) -> None:
    assert mistakes(f"depends: [{text}]", JOB) == [line]


def test_depends_is_a_list() -> None:
    assert mistakes("depends: {tcp: 'a:1'}") == [
        "'depends' must be a list (write '- tcp: localhost:5432' below it) [wrong-type]"
    ]
    assert rule("depends: [], once: true").depends == ()
    assert rule("depends: , once: true").depends == ()


@pytest.mark.parametrize("key", ["process-exited", "started", "healthy"])
def test_a_child_that_is_awaited_exists(key: str) -> None:
    assert mistakes(f"depends: [{{{key}: jab}}]", JOB) == ["unknown child 'jab' (did you mean 'job'?) [unknown-child]"]


def test_D6_nothing_waits_for_the_exit_of_a_child_that_is_not_meant_to_end() -> None:
    line = "'api' is not meant to end, so nothing can wait for its exit (add 'once: true' to 'api') [not-once]"
    assert mistakes("depends: [{process-exited: api}]", "api: restarts: 3") == [line]
    assert mistakes("depends: [{process-exited: api}]", "api: once: true") == []
    assert mistakes("depends: [{process-exited: api}]", "api: autostart: false") == []


def test_D6_a_condition_does_not_make_a_child_end() -> None:
    assert len(mistakes("depends: [{process-exited: api}]", "api: condition: 'true'")) == 1


def test_nothing_waits_for_the_health_of_a_child_that_is_not_checked() -> None:
    line = "'api' is never healthy: nothing checks it (add 'health:' or 'ready:' to 'api') [never-starts]"
    assert mistakes("depends: [{healthy: api}]", "api: once: true") == [line]
    assert mistakes("depends: [{healthy: api}]", "api: ready: {fd: 4}") == []


@pytest.mark.parametrize(
    ("text", "name"),
    [("${A:-b}", "A"), ("${A-b}", "A"), ("${A?}", "A"), ("${A", "A")],
)
def test_D11_defaults_of_variables_are_refused_and_named(text: str, name: str) -> None:
    for key in ("tcp", "path", "http", "not-exists", "not-listening", "not-running"):
        [line] = mistakes(f"depends: [{{{key}: 'x{text}'}}]")[:1]
        assert line == (
            f"'{text}' in '{key}' is no variable "
            f"(only ${{{name}}} is known here: give it a value in 'environ') [bad-variable]"
        )


@pytest.mark.parametrize("text", ["$", "$1", "a$-", "${}", "${1}", "$$$"])
def test_D11_a_dollar_sign_that_begins_no_variable_is_told_how_it_is_written(text: str) -> None:
    [line] = mistakes(f"depends: [{{path: '{text}'}}]")
    assert line.endswith("is no variable (write $NAME or ${NAME} for a variable, $$ for a dollar sign) [bad-variable]")


def test_D11_two_dollar_signs_and_names_are_right() -> None:
    assert mistakes("depends: [{path: 'a$$b'}, {path: '$A${B}$$C'}, {not-running: 'x$$'}]") == []


def test_D11_a_variable_in_a_file_to_look_into_is_checked_too() -> None:
    [line] = mistakes("depends: [{file-contains: {path: '${A:-b}', key: $}}]")
    assert line.endswith("[bad-variable]")


def test_D12_circles_of_conditions_are_found_with_their_path() -> None:
    assert wrong(
        "a: once: true, depends: [{output-matches: {child: b, text: x}}]",
        "b: once: true, when: {source: c, once: stopped}",
        "c: once: true, depends: [{process-exited: a}]",
    ) == ["10:83: children wait for each other in a circle: a -> b -> c -> a (take one step of it away) [child-cycle]"]


def test_D12_each_circle_is_told_once() -> None:
    found = wrong(
        "a: depends: [{started: b}]",
        "b: depends: [{started: a}, {started: c}]",
        "c: depends: [{started: d}]",
        "d: depends: [{started: c}]",
    )
    assert [line.split(": ", 2)[2].split(" (")[0] for line in found] == ["a -> b -> a", "c -> d -> c"]


def test_D12_a_diamond_is_no_circle() -> None:
    assert (
        wrong(
            "a: depends: [{started: b}, {started: c}]",
            "b: depends: [{started: d}]",
            "c: depends: [{started: d}]",
            "d: once: true",
        )
        == []
    )


def test_D15_what_a_child_that_is_not_started_waits_for_is_checked() -> None:
    assert mistakes("autostart: false, depends: [{process-exited: nobody}, {path: /etc/x}]") == [
        "unknown child 'nobody' (name a child of the same !Supervise) [unknown-child]",
        "'path' '/etc/x' is outside of the project "
        "(name a path of the project, relative to it or below /work) [bad-path]",
    ]


def test_D12_a_file_full_of_circles_is_told_of_quickly() -> None:
    names = [f"c{number}" for number in range(300)]
    found = wrong(*(f"{name}: depends_on: [{', '.join(names[:10])}]" for name in names))
    assert len(found) == 20
    assert all(line.endswith("[child-cycle]") for line in found)


def test_a_pattern_that_python_warns_of_is_right() -> None:
    assert mistakes("depends: [{not-running: '[[a]'}]") == []


def test_a_pattern_that_is_far_too_deep_is_one_problem() -> None:
    for text in ("(" * 900, "x" * 1001, "a{1,99999999999999999999}"):
        [line] = mistakes(f"depends: [{{not-running: '{text}'}}]")
        assert "'not-running' is no regular expression: " in line


# --- Compose ----------------------------------------------------------------------------------------------------

COMPOSE = "db: healthcheck: {test: [CMD, pg_isready], interval: 5s}"


def test_depends_on_is_a_list_of_children_that_run() -> None:
    assert rule("depends_on: [job, db]", JOB, COMPOSE).depends == (
        Depend(Check("started", "job"), timeout=0.0),
        Depend(Check("started", "db"), timeout=0.0),
    )


@pytest.mark.parametrize(
    ("condition", "check", "poll"),
    [
        ("service_started", Check("started", "job"), 1.0),
        ("process_started", Check("started", "job"), 1.0),
        ("service_completed_successfully", Check("process-exited", "job"), 0.1),
        ("process_completed_successfully", Check("process-exited", "job"), 0.1),
        ("process-completed-successfully", Check("process-exited", "job"), 0.1),
        ("service_healthy", Check("healthy", "db"), 1.0),
        ("process_healthy", Check("healthy", "db"), 1.0),
    ],
)
def test_depends_on_has_the_conditions_of_compose_and_process_compose(
    condition: str, check: Check, poll: float
) -> None:
    text = f"depends_on: {{{check.target}: {{condition: {condition}, restart: true}}}}"
    assert rule(text, JOB, COMPOSE).depends == (Depend(check, timeout=0.0, poll=poll),)


def test_depends_on_a_child_that_may_be_missing_is_dropped() -> None:
    assert rule("depends_on: {gone: {condition: service_healthy, required: false}, job: }", JOB).depends == (
        Depend(Check("started", "job"), timeout=0.0),
    )
    assert mistakes("depends_on: {gone: {condition: service_healthy}}") == [
        "unknown child 'gone' (name a child of the same !Supervise) [unknown-child]"
    ]


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("service_health", "did you mean 'service_healthy'?"),
        ("process_completed", "write 'when: {source: CHILD, once: stopped}'"),
        ("process_log_ready", "write 'depends: [{output-matches: {child: CHILD, text: TEXT}}]'"),
        ("x", "one of service_started, service_healthy, service_completed_successfully"),
    ],
)
def test_other_conditions_are_unknown(text: str, remedy: str) -> None:
    assert mistakes(f"depends_on: {{job: {{condition: {text}}}}}", JOB) == [
        f"unknown condition '{text}' ({remedy}) [bad-value]"
    ]


def test_N7_depends_on_and_depends_are_wrong_together() -> None:
    assert mistakes("depends: [], depends_on: [job]", JOB) == [
        "'depends' and 'depends_on' say the same (keep one of them) [duplicate-key]"
    ]


def test_D6_in_a_run_of_jobs_every_child_is_meant_to_end() -> None:
    lines = ("web: depends: [{process-exited: job}]", "job: timeout: 9s")

    assert wrong(".mode: wait-all-successful", *lines) == []
    assert "not meant to end" in wrong(*lines)[0]
