"""The examples of rules are valid, say what their READMEs say, and are planned as that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.plan.test_plan_golden import HOST
from vaggapy.cli.matching import looker
from vaggapy.config.bind import bind
from vaggapy.config.model import KEEP_GOING, STOP_ON_FAILURE, Supervise
from vaggapy.config.rules import UNLIMITED, Restart, Rules, When
from vaggapy.config.tree import parse
from vaggapy.plan import Request, plan
from vaggapy.record import as_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.model import Project
    from vaggapy.supervise.stage import Stage

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("pmux", "containerpilot-coprocess", "containerpilot-jobs", "procman")


def project(name: str) -> Project:
    file = EXAMPLES / name / "vagga.yaml"
    return bind(parse(file.read_text(), "vagga.yaml"), str(file.parent), "vagga.yaml")


def stage(name: str, request: Request | None = None) -> Stage:
    found = plan(project(name), "run", request or Request(), HOST, look=looker(str(EXAMPLES / name)))
    assert found.warnings == ()
    return found.stages[-1]


def rules(found: Stage) -> Rules:
    assert found.rules is not None
    return found.rules


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_planned_without_a_warning_and_shown_as_json(name: str) -> None:
    bound = project(name)
    assert bound.warnings == ()
    for command in bound.commands.values():
        assert isinstance(command, Supervise) and command.rules is not None
        made = plan(bound, command.name, Request(), HOST, look=looker(bound.directory))
        assert made.warnings == ()
        assert json.loads(json.dumps(as_json(made)))["stages"][0]["rules"]["kind"] == "Rules"


@pytest.mark.parametrize("name", NAMES)
def test_an_example_names_its_children_and_its_commands_in_its_readme(name: str) -> None:
    text = (EXAMPLES / name / "README.md").read_text()
    for command in project(name).commands.values():
        assert f"vagga {command.name}" in text
    missing = [child.name for child in stage(name).children if f"`{child.name}`" not in text]
    assert missing == []


def test_pmux_restarts_as_its_readme_says() -> None:
    found = stage("pmux")
    assert found.mode == KEEP_GOING
    children = rules(found).children
    assert children["server"].restart == Restart(UNLIMITED)
    assert children["worker"].restart == Restart(UNLIMITED, 0.1, 1.0, (3,))
    assert (children["server"].stop.timeout, found.grace) == (10.0, 2)


def test_the_coprocess_waits_runs_forever_and_leads_nothing() -> None:
    found = stage("containerpilot-coprocess")
    assert found.mode == STOP_ON_FAILURE
    renderer = rules(found).children["renderer"]
    assert (renderer.coprocess, renderer.restart) == (True, Restart(UNLIMITED, at_once=True))
    assert renderer.when == When("pre-start", "exit-success")


def test_jobs_start_at_events_intervals_and_signals() -> None:
    found = rules(stage("containerpilot-jobs"))
    whens = {name: rule.when for name, rule in found.children.items() if rule.when is not None}
    assert whens == {
        "app": When("pre-start", "exit-success"),
        "reload": When("watch.backend", "changed", each=True),
        "backup": When(interval=2.0),
        "on-signal": When("SIGUSR2", "received", each=True),
        "pre-stop": When("app", "stopping"),
        "post-stop": When("app", "stopped"),
    }
    assert found.signals == {12: "event"}
    assert found.consul is not None and found.consul.address == "http://127.0.0.1:8500"


def test_procman_has_a_node_for_each_file_and_its_addresses_are_those_of_its_variables() -> None:
    found = stage("procman", Request(environ=(("WEB_PORT", "1234"),)))
    nodes = {child.name: child.launch.program.environ["NODE"] for child in found.children if "node" in child.name}
    assert nodes == {"node-0": "nodes/a.conf", "node-1": "nodes/b.conf"}
    assert rules(found).families == {"node": ("node-0", "node-1")}
    assert rules(found).children["node-1"].depends[1].check.target == "http://127.0.0.1:1234/"
    assert rules(found).children["report"].condition is not None


def test_a_task_of_procman_is_asleep_until_it_is_asked_for() -> None:
    assert rules(stage("procman")).children["seed"].dormant
    picked = stage("procman", Request(chosen=("seed",), picked=True))
    assert [child.name for child in picked.children] == ["seed"]
    assert not rules(picked).children["seed"].dormant
