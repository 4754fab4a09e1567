"""Plans of commands with rules, from the text of a vagga.yaml to what the supervisor is given."""

from __future__ import annotations

import pytest

from tests.plan.test_plan_golden import HOST
from vaggapy.config.bind import bind
from vaggapy.config.rules import EXEC, Check
from vaggapy.config.tree import parse
from vaggapy.errors import CommandError
from vaggapy.plan import Request, plan
from vaggapy.record import replace
from vaggapy.sandbox.spec import PIPES
from vaggapy.supervise.stage import Banner, Listen
from vaggapy.volumes import Defaults, placed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.plan import Plan

TEXT = """\
containers:
  host: {setup: [!Host], default-shell: [/bin/zsh, -c, $cmdline], environ: {FROM: container}}
  image: {setup: [], volumes: {/d: !Persistent data}}
  never: {setup: []}
commands:
  first: !Supervise
    children:
      a: !Command {container: host, run: a, once: true}
      b: !Command {container: host, run: b, autostart: false}
  plain: !Supervise {children: {a: !Command {container: host, run: a}}}
  run: !Supervise
    prerequisites: [first]
    mode: keep-going
    kill-unresponsive-after: 7
    banner: all
    epilog: done
    children:
      web: !Command
        container: host
        run: [web]
        environ: {FROM: child, PORT: "80"}
        pass-tcp-socket: 90
        health: {exec: curl $PORT, interval: 1}
        depends: [{http: "http://h:${PORT}/$FROM"}, {path: /work/data}]
        condition: test -e x
        ready: {fd: 4}
      node:
        !Command
        container: image
        run: node
        banner: a node
        for-each: {values: [x, y], as: NODE}
        depends: [{path: $NODE/$IMAGE}]
        ready: {notify: true}
      other: !Command {container: never, run: x}
"""


def planned(request: Request | None = None, name: str = "run") -> Plan:
    return plan(bind(parse(TEXT, "f"), "/p", "f"), name, request or Request(), replace(HOST, directory="/p"))


def test_a_command_without_rules_has_none_in_its_plan() -> None:
    [stage] = planned(name="plain").stages
    assert (stage.rules, stage.prefixed, planned(name="plain").warnings) == (None, True, ())


def test_what_a_command_says_is_in_its_stage_with_rules_as_without() -> None:
    stage = planned().stages[-1]
    assert (stage.name, stage.mode, stage.grace, stage.epilog, stage.single) == ("run", "keep-going", 7, "done", False)
    assert stage.banners == (Banner("all"), Banner("a node", 0, "node-0"), Banner("a node", 0, "node-1"))
    assert [child.name for child in stage.children] == ["web", "node-0", "node-1", "other"]
    assert [child.listen for child in stage.children] == [Listen("127.0.0.1", 90), None, None, None]
    assert (stage.streams, stage.prefixed) == (PIPES, False)
    assert {child.launch.program.streams for child in stage.children} == {PIPES}


def test_checks_have_the_variables_and_the_shell_of_their_child() -> None:
    rules = planned().stages[-1].rules
    assert rules is not None
    web = rules.children["web"]
    assert web.health is not None and web.health.check == Check(EXEC, words=("/bin/zsh", "-c", "curl $PORT"))
    assert web.condition == Check(EXEC, words=("/bin/zsh", "-c", "test -e x"))
    assert [each.check.target for each in web.depends] == ["http://h:80/child", "data"]
    assert "other" not in rules.children


def test_a_member_has_its_value_its_name_and_all_else_of_its_template() -> None:
    stage = planned(Request(environ=(("NODE", "e"),))).stages[-1]
    members = [child for child in planned().stages[-1].children if child.name.startswith("node")]
    environs = [child.launch.program.environ for child in members]
    assert [(each["NODE"], each["VAGGA_SUBCOMMAND"]) for each in environs] == [("x", "node-0"), ("y", "node-1")]
    assert members[0].launch.sandbox == members[1].launch.sandbox
    assert [each.source for each in members[1].launch.sandbox.mounts if each.target == "/d"] == ["volume:data"]  # type: ignore[union-attr]
    assert {child.launch.program.environ["NODE"] for child in stage.children if "node" in child.name} == {"e"}


def test_readiness_is_in_the_program() -> None:
    programs = {child.name: child.launch.program for child in planned().stages[-1].children}
    assert (programs["web"].ready_fd, programs["web"].notify) == (4, False)
    assert (programs["node-1"].ready_fd, programs["node-1"].notify) == (-1, True)


def test_variables_of_an_image_are_put_in_with_its_place() -> None:
    stage = planned().stages[-1]
    places = {"container:image": "/roots/image", "container:never": "/roots/never", "volume:": "/volumes"}
    images = {name: Defaults((("IMAGE", "i"),)) for name in ("image", "never")}
    made = placed(stage, places, images, {}, lambda root, path: f"{root}/{path}")
    assert made.rules is not None and stage.rules is not None
    assert stage.rules.children["node-1"].depends[0].check.target == "$NODE/$IMAGE"
    assert made.rules.children["node-1"].depends[0].check.target == "y/i"
    assert made.rules.children["web"] == stage.rules.children["web"]
    with pytest.raises(CommandError, match=r"node-0: .* has the variable IMAGE, which is not set"):
        placed(stage, places, {"image": Defaults()}, {}, lambda root, path: f"{root}/{path}")


def test_only_the_containers_of_chosen_children_are_needed() -> None:
    assert planned(Request(chosen=("web",), picked=True)).builds == ()
    assert planned(Request(chosen=("web", "node-1"), picked=True)).builds == ("image",)
    assert planned().builds == ("image", "never")


def test_the_choice_is_not_that_of_a_prerequisite() -> None:
    first, last = planned(Request(chosen=("web",), picked=True, excluded=("a",))).stages
    assert [child.name for child in first.children] == ["a", "b"]
    assert first.rules is not None and first.rules.children["b"].dormant
    assert [child.name for child in last.children] == ["web"]


def test_warnings_of_all_stages_are_in_the_plan() -> None:
    text = TEXT.replace("health: {exec", "when: {source: other, once: exit-success}\n        health: {exec")
    project = bind(parse(text, "f"), "/p", "f")
    found = plan(project, "run", Request(chosen=("web",)), replace(HOST, directory="/p"))
    assert found.warnings == (
        "web does not wait for exit-success of other, which is left out (see that it runs elsewhere) [left-out]",
    )
