"""Which children a run with rules has, and what becomes of those that wait for others: `vaggapy.lineup`."""

from __future__ import annotations

import pytest

from vaggapy.config.model import Child, Program, Supervise
from vaggapy.config.rules import (
    EVENT,
    EXEC,
    EXIT_FAILED,
    EXIT_SUCCESS,
    GLOBAL,
    HEALTHY,
    IS_HEALTHY,
    IS_STARTED,
    ON_FAIL_EVENT,
    ON_FAIL_SPAWN,
    OUTPUT_MATCHES,
    PROCESS_EXITED,
    SHUTDOWN,
    STARTUP,
    STOPPED,
    STOPPING,
    TCP,
    TERMINATE,
    Check,
    Consul,
    Depend,
    ForEach,
    Health,
    Rule,
    Rules,
    Service,
    Watch,
    When,
)
from vaggapy.errors import CommandError, ExitCode, Mark
from vaggapy.lineup import Lineup, fitted, members
from vaggapy.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Mark("vagga.yaml", 1, 1)


def group(children: Mapping[str, Rule | None], tags: dict[str, str] | None = None, **more: object) -> Supervise:
    """Return a command; a child without a rule is a plain one."""
    tagged = {name: tuple(text.split()) for name, text in (tags or {}).items()}
    made = tuple(
        Child(name, HERE, Program("c", HERE, ("run",), environ={"A": "1"}), tagged.get(name, ())) for name in children
    )
    rules = Rules({name: rule for name, rule in children.items() if rule is not None}, **more)  # type: ignore[arg-type]
    return Supervise("run", HERE, made, rules=rules)


def fit(command: Supervise, *names: str, picked: bool = False, excluded: str = "") -> Lineup:
    return fitted(command, names or None, picked, tuple(excluded.split()))


def names(found: Lineup) -> str:
    return " ".join(child.name for child in found.children)


def on(source: str, event: str, each: bool = False) -> Rule:
    return Rule(when=When(source, event, each=each))


def after(*checks: Check) -> Rule:
    return Rule(depends=tuple(Depend(check) for check in checks))


def nothing(_: str) -> tuple[str, ...]:
    return ()


# --- without a choice -------------------------------------------------------------------------------------------


def test_all_children_of_a_command_keep_their_rules_and_their_order() -> None:
    command = group({"b": on("a", EXIT_SUCCESS), "a": None, "c": Rule(dormant=True)})
    found = fit(command)
    assert (names(found), found.rules, found.warnings) == ("b a c", command.rules, ())


# --- C20: who waits for a child that is left out -----------------------------------------------------------------


@pytest.mark.parametrize("event", [EXIT_SUCCESS, HEALTHY])
def test_c20_what_a_child_that_is_left_out_would_have_become_counts_as_met_with_a_warning(event: str) -> None:
    found = fit(group({"db": None, "web": on("db", event)}), "web")
    assert names(found) == "web"
    assert found.rules.children["web"].when is None
    assert found.warnings == (
        f"web does not wait for {event} of db, which is left out (see that it runs elsewhere) [left-out]",
    )


def test_c20_a_child_for_each_success_of_one_that_is_left_out_runs_once_and_its_end_still_counts_for_nothing() -> None:
    found = fit(group({"db": None, "web": on("db", EXIT_SUCCESS, each=True)}), "web")
    assert found.rules.children["web"].when == When(GLOBAL, STARTUP, each=True)


@pytest.mark.parametrize("kind", [PROCESS_EXITED, IS_HEALTHY, IS_STARTED])
def test_c20_a_dependency_on_a_child_that_is_left_out_is_met_and_the_others_stand(kind: str) -> None:
    """supervision 9.11."""
    port = Check(TCP, "localhost:1")
    found = fit(group({"db": None, "web": after(Check(kind, "db"), port)}), "web")
    assert found.rules.children["web"].depends == (Depend(port),)
    assert f"web does not wait for {kind} of db" in found.warnings[0]


@pytest.mark.parametrize("rule", [on("db", EXIT_FAILED), after(Check(OUTPUT_MATCHES, "db", key="ready"))])
def test_c20_a_child_that_waits_for_what_cannot_come_is_left_out_with_a_warning(rule: Rule) -> None:
    found = fit(group({"db": None, "alarm": rule, "web": None}), "alarm", "web")
    assert (names(found), list(found.rules.children)) == ("web", [])
    assert found.warnings[0].startswith("alarm is left out: it waits for ")


@pytest.mark.parametrize("event", [STOPPING, STOPPED])
def test_c20_hooks_of_a_child_that_is_left_out_are_left_out_silently(event: str) -> None:
    found = fit(group({"web": None, "drain": on("web", event), "db": None}), "drain", "db")
    assert (names(found), found.warnings) == ("db", ())


def test_c20_a_hook_that_is_chosen_alone_is_left_out_with_a_warning() -> None:
    found = fit(group({"web": None, "drain": on("web", STOPPING), "db": None}), "drain")
    assert (names(found), found.warnings) == (
        "",
        ("drain is left out: it waits for stopping of web, which is left out (choose both, or neither) [left-out]",),
    )


def test_c20_who_waits_for_a_child_that_is_left_out_for_waiting_in_vain_counts_it_as_left_out_too() -> None:
    command = group({"db": None, "a": on("db", EXIT_FAILED), "b": on("a", EXIT_FAILED), "c": on("a", EXIT_SUCCESS)})
    found = fit(command, "a", "b", "c")
    assert names(found) == "c"
    assert [warning.split()[0] for warning in found.warnings] == ["a", "b", "c"]


def test_c20_a_check_that_would_spawn_a_child_that_is_left_out_is_an_event_only() -> None:
    health = Health(Check(EXEC, "x"), 1.0, 1.0, on_fail=ON_FAIL_SPAWN, spawn="mend")
    command = group({"web": Rule(health=health), "mend": Rule(dormant=True)})
    found = fit(command, "web", excluded="mend")
    assert found.rules.children["web"].health == replace(health, on_fail=ON_FAIL_EVENT, spawn="")
    assert "web cannot spawn mend" in found.warnings[0]


def test_signals_watches_and_the_group_are_never_left_out() -> None:
    rules = {"a": on("SIGUSR2", "received", each=True), "b": on("watch.w", HEALTHY), "c": on(GLOBAL, SHUTDOWN)}
    command = group({**rules, "d": None}, watches=(Watch("w", 1.0, Check(TCP, "localhost:1")),))
    found = fit(command, "a", "b", "c")
    assert (names(found), found.warnings) == ("a b c", ())


# --- dormant children, coprocesses -------------------------------------------------------------------------------


def test_a_dormant_child_is_there_unless_it_is_excluded() -> None:
    command = group({"web": None, "task": Rule(dormant=True)})
    assert fit(command).rules.children["task"].dormant
    assert names(fit(command, "web")) == "web"


def test_a_dormant_child_that_is_asked_for_starts() -> None:
    command = group({"web": None, "task": Rule(dormant=True, once=True)})
    found = fit(command, "task", picked=True)
    assert found.rules.children == {"task": Rule(once=True)}


def test_who_may_be_spawned_comes_along_and_stays_dormant() -> None:
    def spawns(name: str, dormant: bool = False) -> Rule:
        health = Health(Check(EXEC, "x"), 1.0, 1.0, on_fail=ON_FAIL_SPAWN, spawn=name)
        return Rule(watches=(health,), dormant=dormant)

    command = group({"web": spawns("a"), "a": spawns("b", True), "b": Rule(dormant=True), "c": Rule(dormant=True)})
    found = fit(command, "web", picked=True)
    assert names(found) == "web a b"
    assert found.rules.children["a"].dormant and found.rules.children["b"].dormant
    assert names(fit(command, "web", picked=True, excluded="b")) == "web a"


def test_g7_where_only_coprocesses_are_chosen_they_are_main_with_a_warning() -> None:
    """supervision 8.10."""
    command = group({"web": None, "proxy": Rule(coprocess=True), "drain": on("proxy", STOPPING)})
    found = fit(command, "proxy", "drain")
    assert found.rules.children == {"proxy": Rule(), "drain": on("proxy", STOPPING)}
    assert found.warnings == ("only coprocesses are chosen: proxy (their ends count as those of others) [left-out]",)


@pytest.mark.parametrize("other", [None, Rule(), on("SIGUSR2", "received", each=True)])
def test_coprocesses_stay_coprocesses_beside_any_other(other: Rule | None) -> None:
    found = fit(group({"proxy": Rule(coprocess=True), "web": other}))
    assert found.rules.children["proxy"].coprocess
    assert found.warnings == ()


# --- the group ---------------------------------------------------------------------------------------------------


def test_signals_that_somebody_waits_for_are_events_unless_the_file_says_otherwise() -> None:
    command = group({"a": on("SIGHUP", "received"), "b": on("SIGUSR2", "received"), "c": None})
    assert fit(command).rules.signals == {1: EVENT, 12: EVENT}
    assert fit(command, "c").rules.signals == {}
    rules = replace(command.rules, signals={1: TERMINATE})  # type: ignore[type-var]
    assert fit(replace(command, rules=rules)).rules.signals == {1: TERMINATE, 12: EVENT}


def test_watches_and_consul_are_there_for_those_that_need_them() -> None:
    watches = (Watch("db", 1.0, service="db"), Watch("seen", 1.0, Check(TCP, "localhost:1")))
    consul = Consul("http://127.0.0.1:8500")
    command = group({"a": on("watch.db", HEALTHY), "b": None}, watches=watches, consul=consul)
    assert (fit(command).rules.watches, fit(command).rules.consul) == (watches, consul)
    assert (fit(command, "b").rules.watches, fit(command, "b").rules.consul) == (watches[1:], None)
    served = group({"a": Rule(service=Service(80)), "b": None}, consul=consul)
    assert (fit(served, "a").rules.consul, fit(served, "b").rules.consul) == (consul, None)


# --- for-each ----------------------------------------------------------------------------------------------------


def test_d14_a_template_becomes_members_in_the_order_of_its_values() -> None:
    rule = Rule(once=True, for_each=ForEach("NODE", values=("x", "y", "z")))
    found = members(group({"web": None, "node": rule}, {"node": "t"}), nothing)
    assert [child.name for child in found.children] == ["web", "node-0", "node-1", "node-2"]
    assert [dict(child.program.environ) for child in found.children[1:]] == [{"A": "1", "NODE": v} for v in "xyz"]
    assert {child.tags for child in found.children[1:]} == {("t", "node")}
    assert found.rules is not None
    assert found.rules.families == {"node": ("node-0", "node-1", "node-2")}
    assert found.rules.children == dict.fromkeys(found.rules.families["node"], Rule(once=True))


def test_d14_a_glob_is_asked_for_once() -> None:
    asked: list[str] = []

    def look(glob: str) -> tuple[str, ...]:
        asked.append(glob)
        return ("conf/a", "conf/b")

    found = members(group({"node": Rule(for_each=ForEach("NODE", glob="conf/*"))}), look)
    assert ([child.program.environ["NODE"] for child in found.children], asked) == (["conf/a", "conf/b"], ["conf/*"])


def test_d14_a_glob_without_matches_is_an_error_for_whoever_chooses_it() -> None:
    command = members(group({"web": None, "node": Rule(for_each=ForEach("NODE", glob="conf/*"))}), nothing)
    with pytest.raises(CommandError) as caught:
        fit(command)
    assert str(caught.value) == (
        'node: nothing in the project matches the glob "conf/*" of its for-each '
        "(create what it is about, correct it, or leave the child out with --exclude node) [no-matches]"
    )
    assert caught.value.code == ExitCode.CONFIG
    assert names(fit(command, "web")) == "web"


def test_d14_a_template_without_values_is_a_family_without_members() -> None:
    rule = Rule(for_each=ForEach("NODE"))
    command = members(group({"node": rule, "web": on("node", EXIT_SUCCESS)}), nothing)
    found = fit(command)
    assert (names(found), dict(found.rules.families), found.warnings) == ("web", {"node": ()}, ())
    assert found.rules.children == {"web": on("node", EXIT_SUCCESS)}
    assert fit(command, "web").rules.children == {"web": Rule()}


def test_e10_a_family_is_those_of_its_members_that_are_chosen() -> None:
    rule = Rule(for_each=ForEach("NODE", values=("x", "y")))
    rules = {"node": rule, "all": on("node", HEALTHY), "one": on("node-1", EXIT_FAILED)}
    command = members(group(rules), nothing)
    found = fit(command, "node-0", "all", "one")
    assert (names(found), dict(found.rules.families)) == ("node-0 all", {"node": ("node-0",)})
    assert found.rules.children["all"] == rules["all"]
    without = fit(command, "all")
    assert (without.rules.children, dict(without.rules.families)) == ({"all": Rule()}, {})
