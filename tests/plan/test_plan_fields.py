"""What fields of commands mean for a plan, and which volumes are filled first (vagga.md 3.2, 3.5, 7.3)."""

from __future__ import annotations

import pytest

from vaggapy.config.bind import bind
from vaggapy.config.model import Settings
from vaggapy.config.tree import parse
from vaggapy.host import Host
from vaggapy.plan import Plan, Request, expand, plan
from vaggapy.record import replace
from vaggapy.sandbox.spec import ImageRoot, Overlay
from vaggapy.supervise.stage import Banner
from vaggapy.volumes import missing_volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.model import Project
    from vaggapy.supervise.stage import ChildPlan

CALLER = Host(1000, 1000, "u", ("/home",), "/p", {}, (False, False, False), "", 0, 0)


def bound(text: str) -> Project:
    return bind(parse(text, "vagga.yaml"), "/p", "vagga.yaml")


def made(keys: str, host: Host = CALLER, request: Request | None = None, container: str = "setup: []") -> Plan:
    """Return the plan of a command that has these keys, in a container that is built."""
    text = f"containers:\n  x: {{{container}}}\n  y: {{setup: []}}\ncommands:\n  c: !Command {{container: x, {keys}}}\n"
    return plan(bound(text), "c", request or Request(), host)


def child(keys: str, host: Host = CALLER, request: Request | None = None, container: str = "setup: []") -> ChildPlan:
    return made(keys, host, request, container).stages[0].children[0]


# --- fields of programs ---------------------------------------------------------------------------------------------


def test_ids_and_the_kind_of_pid_1_reach_the_program() -> None:
    keys = "user-id: 5, external-user-id: 0, group-id: 6, supplementary-gids: [7, 8], pid1mode: exec, run: [a]"
    program = child(keys).launch.program
    assert (program.uid, program.external_uid, program.gid, program.groups, program.first) == (5, 0, 6, (7, 8), "exec")


def test_without_fields_a_program_is_root_without_groups() -> None:
    program = child("run: [a]").launch.program
    assert (program.uid, program.external_uid, program.gid, program.groups, program.first) == (0, -1, 0, (), "wait")


@pytest.mark.parametrize(("mode", "kind"), [("read-only", ImageRoot), ("transient-hard-link-copy", Overlay)])
def test_a_transient_root_is_a_layer_in_memory_over_the_containers(mode: str, kind: type) -> None:
    assert isinstance(child(f"run: [a], write-mode: {mode}").launch.sandbox.root, kind)


@pytest.mark.parametrize(
    ("keys", "arguments", "words"),
    [
        ("run: [prog]", ("--help", "--"), ("prog", "--help", "--")),
        ("run: echo", (), ("/bin/sh", "-c", "echo", "--")),
        ("run: echo, accepts-arguments: true", ("a",), ("/bin/sh", "-c", "echo", "--", "a")),
    ],
)
def test_arguments_follow_the_words_of_a_command(keys: str, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    assert child(keys, request=Request(arguments=arguments)).launch.program.words == words


@pytest.mark.parametrize(
    ("text", "place"), [("8000", ("127.0.0.1", 8000)), ("'[::1]:80'", ("::1", 80)), ("'*:80'", ("0.0.0.0", 80))]
)
def test_a_socket_is_passed_where_one_is_asked_for(text: str, place: tuple[str, int]) -> None:
    found = child(f"run: [a], pass-tcp-socket: {text}")
    assert found.launch.program.socket
    assert found.listen is not None and (found.listen.host, found.listen.port) == place


# --- fields of whole commands ---------------------------------------------------------------------------------------

SEVERAL = """\
containers: {x: {setup: []}, y: {setup: []}, z: {setup: []}, never: {setup: []}}
commands:
  first: !Command {container: y, run: [a], expect-inotify-limit: 100, epilog: one, isolate-network: true}
  c: !Supervise
    prerequisites: [first]
    expect-inotify-limit: 200
    epilog: two
    banner: all
    banner-delay: 3
    kill-unresponsive-after: 7
    children:
      a: !Command {container: x, run: [a], banner: of a, banner-delay: 1, pass-tcp-socket: 1}
      b: !Command
        container: x
        run: [a]
        volumes: {/z: !Container z, /s: !Snapshot {container: z}}
        pass-tcp-socket: 2
"""


def test_what_belongs_to_each_command_of_a_run_is_in_its_stage() -> None:
    first, last = plan(bound(SEVERAL), "c", Request(), CALLER).stages
    assert (first.inotify, last.inotify) == (100, 200)
    assert (first.epilog, last.epilog) == ("one", "two")
    assert (first.banners, last.banners) == ((), (Banner("all", 3), Banner("of a", 1, "a")))
    assert (first.single, last.single, last.grace) == (True, False, 7)


def test_banners_and_sockets_of_children_that_are_left_out_are_left_out() -> None:
    last = plan(bound(SEVERAL), "c", Request(chosen=("b",)), CALLER).stages[-1]
    assert last.banners == (Banner("all", 3),)
    assert [each.listen.port for each in last.children if each.listen] == [2]


def test_only_the_network_of_what_was_asked_for_decides_on_isolation() -> None:
    assert not plan(bound(SEVERAL), "c", Request(), CALLER).isolate_network
    assert plan(bound(SEVERAL), "first", Request(), CALLER).isolate_network


def test_every_container_of_the_run_is_built_before_it_those_behind_volumes_too() -> None:
    assert plan(bound(SEVERAL), "c", Request(), CALLER).builds == ("y", "x", "z")
    assert plan(bound(SEVERAL), "c", Request(prerequisites=False, chosen=("a",)), CALLER).builds == ("x",)


@pytest.mark.parametrize("wanted", [True, False])
def test_the_setting_for_the_limit_of_watches_is_in_the_plan(wanted: bool) -> None:
    project = replace(bound(SEVERAL), settings=Settings(auto_apply_sysctl=wanted))
    assert plan(project, "c", Request(), CALLER).auto_apply_sysctl is wanted


# --- volumes that must be filled --------------------------------------------------------------------------------------

FILLED = """\
containers:
  x: {setup: [], volumes: {/data: !Persistent {name: data, init-command: fill}}}
  y: {setup: []}
commands:
  prepare: !Command {container: y, run: [a]}
  fill: !Command {container: x, run: [a], prerequisites: [prepare]}
  by-container: !Command {container: x, run: [a]}
  by-command: !Command {container: y, run: [a], volumes: {/d: !Persistent {name: data, init-command: fill}}}
  by-name: !Command {container: y, run: [a], volumes: {/d: !Persistent data}}
  by-child: !Supervise
    children:
      a: !Command {container: y, run: [a]}
      b: !Command {container: x, run: [a], prerequisites: [by-command]}
  other: !Command {container: y, run: [a]}
"""


@pytest.mark.parametrize(
    ("names", "order"),
    [
        ("by-container", "prepare fill by-container"),
        ("by-command", "prepare fill by-command"),
        ("by-name", "prepare fill by-name"),
        ("by-child", "prepare fill by-command by-child"),
        ("fill", "prepare fill"),
        ("other", "other"),
        ("by-name fill", "by-name prepare fill"),
    ],
)
def test_a_volume_that_is_not_there_is_filled_first_whoever_says_how(names: str, order: str) -> None:
    project = bound(FILLED)
    missing = missing_volumes(project, frozenset())
    assert expand(project, tuple(names.split()), missing) == tuple(order.split())
    there = missing_volumes(project, frozenset({"data"}))
    assert "fill" not in expand(project, "by-child", there)


def test_the_command_that_fills_has_the_volume_in_the_making() -> None:
    stages = plan(bound(FILLED), "by-name", Request(), CALLER, frozenset()).stages
    assert [stage.fills for stage in stages] == [(), ("data",), ()]
    sources = [getattr(mount, "source", "") for stage in stages for mount in stage.children[0].launch.sandbox.mounts]
    assert [source for source in sources if source.startswith("volume:")] == ["volume:.tmp.data", "volume:data"]
