"""Several commands in one run (`-m`), and the variables of commands with `options` (vagga.md 3.3 and 3.5)."""

from __future__ import annotations

import pytest

from vaggapy.config.model import Child, Command, Container, Host, Program, Project, Supervise
from vaggapy.errors import Mark
from vaggapy.host import Host as Caller
from vaggapy.plan import Request, expand, plan
from vaggapy.record import replace

MARK = Mark("vagga.yaml", 1, 1)
CALLER = Caller(1000, 1000, "u", ("/home",), "/home/u/project", {}, (False, False, False), "", 0, 0)


def command(name: str, *needed: str, **more: object) -> Command:
    item = Command(name, MARK, Program("x", MARK, ("a",), environ={"VAGGAOPT_A": "of the file"}), prerequisites=needed)
    return replace(item, **more)


def project(*commands: Command | Supervise) -> Project:
    return Project(
        "/home/u/project",
        "vagga.yaml",
        {"x": Container("x", MARK, host=Host())},
        {each.name: each for each in commands},
    )


DIAMOND = project(command("a"), command("b", "a"), command("c", "a"), command("d", "b", "c"))
CIRCLE = project(command("a", "b"), command("b", "a"))


@pytest.mark.parametrize(
    ("where", "named", "order"),
    [
        (DIAMOND, "d", "a b c d"),
        (DIAMOND, "d d d", "a b c d d d"),
        (DIAMOND, "d a", "b c d a"),
        (DIAMOND, "c b", "a c b"),
        (DIAMOND, "b c d", "a b c d"),
        (CIRCLE, "a", "b a"),
        (CIRCLE, "a b", "a b"),
        (CIRCLE, "b a", "b a"),
    ],
)
def test_commands_that_are_named_keep_their_order_and_are_no_prerequisites(
    where: Project, named: str, order: str
) -> None:
    assert expand(where, tuple(named.split())) == tuple(order.split())
    made = plan(where, tuple(named.split()), Request(), CALLER)
    assert [stage.name for stage in made.stages] == order.split()
    alone = plan(where, tuple(named.split()), Request(prerequisites=False), CALLER)
    assert [stage.name for stage in alone.stages] == named.split()


def test_the_network_is_isolated_if_one_of_the_named_commands_wants_it() -> None:
    where = project(command("a"), command("b", isolate_network=True))
    assert plan(where, ("a", "b"), Request(), CALLER).isolate_network
    assert not plan(where, ("a", "a"), Request(), CALLER).isolate_network


def variables(made: object) -> list[str]:
    """Return VAGGAOPT_A of each child of each stage."""
    return [
        child.launch.program.environ.get("VAGGAOPT_A", "")
        for stage in made.stages  # type: ignore[attr-defined]
        for child in stage.children
    ]


def test_variables_of_options_win_over_everything_and_belong_to_their_command_only() -> None:
    where = project(command("first", options="Usage: vagga first"), command("plain"))
    where = replace(
        where, commands={**where.commands, "last": command("last", "first", "plain", options="Usage: vagga last")}
    )
    caller = replace(CALLER, environ={"VAGGAENV_VAGGAOPT_A": "of the caller"})
    request = Request(environ=(("VAGGAOPT_A", "of -E"),))
    made = plan(where, "last", request, caller, None, lambda each: (("VAGGAOPT_A", each.name),))
    assert variables(made) == ["first", "of -E", "last"]


def test_every_child_of_a_supervise_gets_the_variables() -> None:
    children = tuple(Child(name, MARK, Program("x", MARK, "true")) for name in ("one", "two"))
    where = project(Supervise("s", MARK, children, options="Usage: vagga s"))
    made = plan(where, "s", Request(), CALLER, None, lambda _: (("VAGGAOPT_A", "1"),))
    assert variables(made) == ["1", "1"]
