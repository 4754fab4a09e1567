"""What the checks of a stage look at, and where its output goes: `vaggapy.equip`."""

from __future__ import annotations

import pytest

from tests.plan.test_plan_golden import HOST
from tests.plan.test_plan_golden import TERMINAL as ON_TERMINAL
from vaggapy.config.rules import (
    EXEC,
    FILE_CONTAINS,
    HTTP,
    NOT_EXISTS,
    NOT_RUNNING,
    ON_FAIL_DEBUG,
    OUTPUT_MATCHES,
    PATH,
    PROCESS_EXITED,
    TCP,
    Check,
    Depend,
    Health,
    Ready,
    Rule,
    Rules,
)
from vaggapy.equip import check_attended, completed, equipped, expanded, redacted, with_variables
from vaggapy.errors import CommandError, ExitCode, UsageError
from vaggapy.record import replace
from vaggapy.sandbox.spec import INHERIT, PIPES, TERMINAL, TERMINALS, HostRoot, Launch, Program, Sandbox
from vaggapy.supervise.stage import ChildPlan, Stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.host import Host

ENVIRON = {"PORT": "80", "DIR": "conf", "EMPTY": "", "ROOT": "/etc", "MONEY": "$PORT"}


def stage(streams: str, *names: str) -> Stage:
    program = Program(("run",), ENVIRON, "/work", streams=streams)
    plans = tuple(ChildPlan(name, Launch(Sandbox(HostRoot(), "/p"), program), container="c") for name in names)
    return Stage("run", "stop-on-failure", plans, 2, streams, False)


def equip(before: Stage, rules: dict[str, Rule], host: Host = HOST, late: frozenset[str] = frozenset()) -> Stage:
    return equipped(before, Rules(rules), lambda name, text: ("sh", name, text), late, host)


# --- variables and paths (D11) -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("http://h:$PORT/x", "http://h:80/x"),
        ("${PORT}0", "800"),
        ("$DIR$PORT", "conf80"),
        ("$$PORT", "$PORT"),
        ("$MONEY", "$PORT"),
        ("${EMPTY}x", "x"),
        ("^x$", "^x$"),
        ("$1 $- $", "$1 $- $"),
        ("nothing", "nothing"),
    ],
)
def test_d11_variables_of_the_child_stand_for_their_values(text: str, meant: str) -> None:
    assert with_variables("web", text, ENVIRON) == meant


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "a:$NONE",
            'web: "a:$NONE" has the variable NONE, which is not set '
            "(set it in the `environ` of the child or with -E; a dollar itself is written $$) [check-variable]",
        ),
        (
            "${PORT:-80}",
            'web: "${PORT:-80}": only ${NAME} can stand there '
            "(defaults and the like belong into a script; a dollar itself is written $$) [check-variable]",
        ),
        (
            "${PORT",
            'web: "${PORT": only ${NAME} can stand there '
            "(defaults and the like belong into a script; a dollar itself is written $$) [check-variable]",
        ),
    ],
)
def test_d11_a_variable_that_is_not_set_is_named_with_the_child(text: str, line: str) -> None:
    with pytest.raises(CommandError) as caught:
        with_variables("web", text, ENVIRON)
    assert (str(caught.value), caught.value.code) == (line, ExitCode.CONFIG)


@pytest.mark.parametrize("kind", [PATH, NOT_EXISTS, FILE_CONTAINS])
@pytest.mark.parametrize(
    ("path", "meant"), [("a/b", "a/b"), ("./a//b/", "a/b"), ("/work/a", "a"), ("$DIR/x", "conf/x"), ("a..b", "a..b")]
)
def test_a_path_is_one_of_the_project_whoever_writes_it(kind: str, path: str, meant: str) -> None:
    assert expanded("web", Check(kind, path), ENVIRON).target == meant


@pytest.mark.parametrize("path", ["$ROOT/passwd", "/etc", "../x", "a/../../x", "/work/../etc", "/work//etc", "$EMPTY"])
def test_a_path_that_leaves_the_project_is_refused(path: str) -> None:
    with pytest.raises(CommandError, match=r"is not a path of the project .* \[check-path\]"):
        expanded("web", Check(PATH, path), ENVIRON)


def test_what_a_shell_reads_and_names_of_children_have_no_variables() -> None:
    for check in (Check(EXEC, "", ("sh", "-c", "$X")), Check(PROCESS_EXITED, "$X")):
        assert expanded("web", check, {}) is check


def test_every_check_of_a_child_is_made_ready() -> None:
    health = Health(Check(TCP, "h:$PORT"), 1.0, 1.0)
    rule = Rule(
        depends=(Depend(Check(HTTP, "http://h:$PORT")), Depend(Check(NOT_RUNNING, "x$"))),
        health=replace(health, check=Check(EXEC, "curl $PORT")),
        watches=(replace(health, name="w"),),
        condition=Check(EXEC, "test -e x"),
    )
    found = equip(stage(INHERIT, "web"), {"web": rule}).rules
    assert found is not None
    made = found.children["web"]
    assert [each.check.target for each in made.depends] == ["http://h:80", "x$"]
    assert made.health is not None and made.health.check == Check(EXEC, words=("sh", "web", "curl $PORT"))
    assert made.condition == Check(EXEC, words=("sh", "web", "test -e x"))
    assert made.watches[0].check.target == "h:80"


def test_words_that_are_written_as_words_stay() -> None:
    rule = Rule(condition=Check(EXEC, words=("a", "b")))
    found = equip(stage(INHERIT, "web"), {"web": rule}).rules
    assert found is not None and found.children["web"] == rule


def test_variables_that_an_image_may_have_are_put_in_when_it_is_there() -> None:
    rule = Rule(depends=(Depend(Check(TCP, "h:$IMAGE")),))
    before = equip(stage(INHERIT, "web"), {"web": rule}, late=frozenset({"web"}))
    assert before.rules is not None and before.rules.children["web"] == rule
    with pytest.raises(CommandError, match="has the variable IMAGE"):
        completed(before, frozenset({"c"}))
    program = replace(before.children[0].launch.program, environ={"IMAGE": "1"})
    there = replace(before.children[0], launch=replace(before.children[0].launch, program=program))
    after = completed(replace(before, children=(there,)), frozenset({"c"}))
    assert after.rules is not None and after.rules.children["web"].depends[0].check.target == "h:1"
    assert completed(before, frozenset()) == before


def test_what_is_shown_has_no_values_that_are_secret() -> None:
    rule = Rule(depends=(Depend(Check(HTTP, "http://h:$PORT/$DIR/$EMPTY")),))
    found = redacted(equip(stage(INHERIT, "web"), {"web": rule}), ("PORT", "EMPTY"))
    assert found.rules is not None
    assert found.rules.children["web"].depends[0].check.target == "http://h:(redacted)/conf/"


# --- output ------------------------------------------------------------------------------------------------------

LISTENED = [Rule(ready=Ready(line="up")), Rule(depends=(Depend(Check(OUTPUT_MATCHES, "web", key="up")),))]


def streams(made: Stage) -> tuple[str, bool]:
    assert {child.launch.program.streams for child in made.children} == {made.streams}
    return made.streams, made.prefixed


def test_one_child_with_rules_has_the_streams_of_a_plain_one() -> None:
    for own, host in ((INHERIT, HOST), (TERMINAL, ON_TERMINAL)):
        assert streams(equip(stage(own, "web"), {"web": Rule(once=True)}, host)) == (own, True)


@pytest.mark.parametrize("rule", LISTENED)
@pytest.mark.parametrize(("host", "through"), [(HOST, PIPES), (ON_TERMINAL, TERMINALS)])
def test_the_output_of_a_child_whose_lines_are_awaited_passes_through_us(rule: Rule, host: Host, through: str) -> None:
    assert streams(equip(stage(INHERIT, "web"), {"web": rule}, host)) == (through, False)


@pytest.mark.parametrize(("host", "through"), [(HOST, PIPES), (ON_TERMINAL, TERMINALS)])
def test_the_output_of_several_children_with_rules_passes_through_us(host: Host, through: str) -> None:
    assert streams(equip(stage("output", "web", "db"), {}, host)) == (through, False)


@pytest.mark.parametrize("own", [PIPES, TERMINALS])
def test_prefixes_that_a_plain_run_would_have_stay(own: str) -> None:
    assert streams(equip(stage(own, "web", "db"), {"web": LISTENED[0]}, ON_TERMINAL)) == (own, True)


NO_INPUT = replace(ON_TERMINAL, terminals=(False, True, True))
NO_ERROR = replace(ON_TERMINAL, terminals=(True, True, False))
PAUSING = {"web": Rule(watches=(Health(Check(TCP, "h:1"), 1.0, 1.0, "w", on_fail=ON_FAIL_DEBUG),))}


@pytest.mark.parametrize(
    ("own", "names", "host", "why"),
    [
        ("output", ("web", "db"), ON_TERMINAL, ""),
        ("output", ("web", "db"), NO_INPUT, "standard input is no terminal"),
        ("output", ("web", "db"), NO_ERROR, "standard error is no terminal"),
        (TERMINAL, ("web",), ON_TERMINAL, "the terminal is that of web"),
        (INHERIT, ("web",), ON_TERMINAL, "the terminal is that of web"),
        (TERMINALS, ("web",), ON_TERMINAL, ""),
    ],
)
def test_a_pause_needs_somebody_who_can_end_it(own: str, names: tuple[str, ...], host: Host, why: str) -> None:
    """supervision 16.2 and supervision 16.7."""
    before = stage(own, *names)
    checked = equip(before, PAUSING, host)
    asked = equipped(before, Rules(debug=True), lambda name, text: (name, text), frozenset(), host)

    for made in (checked, asked):
        assert made.rules is not None
        assert made.rules.unattended == why
    check_attended(checked)
    if not why:
        check_attended(asked)
        return
    with pytest.raises(UsageError, match=f"^--debug: {why} .*no-terminal") as refused:
        check_attended(asked)
    assert refused.value.code == ExitCode.USAGE


def test_without_a_pause_nobody_has_to_be_there() -> None:
    made = equip(stage("output", "web"), {"web": Rule(once=True)}, NO_INPUT)
    assert made.rules is not None
    assert made.rules.unattended == ""


def test_readiness_is_told_to_the_sandbox() -> None:
    rules = {"a": Rule(ready=Ready(notify=True)), "b": Rule(ready=Ready(fd=4)), "c": Rule(once=True)}
    programs = [child.launch.program for child in equip(stage(PIPES, "a", "b", "c"), rules).children]
    assert [(each.notify, each.ready_fd) for each in programs] == [(True, -1), (False, 4), (False, -1)]
