"""The rules of volumes in plans: what is mounted, what must be filled first and by which command, what is where."""

from __future__ import annotations

import pytest

from tests.plan.test_plan_rules import BARE, bound
from vaggapy.errors import CommandError, ConfigError
from vaggapy.plan import Plan, Request, base_environ, plan, plan_program
from vaggapy.record import replace
from vaggapy.sandbox.spec import Bind, ImageRoot, Overlay, Tmpfs
from vaggapy.volumes import (
    CACHE,
    CONTAINER,
    PROGRAM,
    VOLUME,
    Defaults,
    needed_roots,
    placed,
    unfilled,
    used,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.model import Project

NONE: frozenset[str] = frozenset()
SETUP = "setup: []"
DB = "volumes: {/db: !Persistent {name: db, init-command: fill}}"


def project(commands: str, containers: str = f"  c: {{{SETUP}}}\n  d: {{{SETUP}}}\n") -> Project:
    return bound(f"containers:\n{containers}commands:\n{commands}")


def command(name: str, *keys: str, container: str = "c") -> str:
    return f"  {name}: !Command {{{', '.join((f'container: {container}', 'run: [a]', *keys))}}}\n"


def planned(commands: str, name: str, there: frozenset[str] | None = NONE, request: Request | None = None) -> Plan:
    return plan(project(commands), name, request or Request(), BARE, there)


def stages(made: Plan) -> list[str]:
    return [stage.name for stage in made.stages]


def mounts(volumes: str) -> dict[str, object]:
    """Return what is mounted in a child beside the host's files, by target."""
    made = planned(command("x", f"volumes: {{{volumes}}}"), "x")
    return {
        each.target: each for each in made.stages[0].children[0].launch.sandbox.mounts if each.target != "/etc/hosts"
    }


# --- what is mounted ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        ("/a: !Persistent data", Bind("volume:data", "/a", read_only=False)),
        ("/a: !CacheDir x/y", Bind("cache:x/y", "/a", read_only=False)),
        ("/a: !Container d", Bind("container:d", "/a")),
        ("/a: !VaggaBin ", Bind("program:", "/a")),
        ("/a: !Snapshot ", Overlay("/a", ("inside:/a",), size=100 * 2**20)),
        (
            "/a: !Snapshot {container: d, size: 1Mi, owner-uid: 1, owner-gid: 2}",
            Overlay("/a", ("container:d/a",), size=2**20, uid=1, gid=2),
        ),
        ("/a: !BindRO /work/x", Bind("/home/u/project/x", "/a")),
        ("/a: !BindRW /work", Bind("/home/u/project", "/a", read_only=False)),
        ("/a: !Empty ", Tmpfs("/a", 4096, 0, read_only=True)),
    ],
)
def test_each_volume_is_a_mount(volume: str, expected: Bind | Tmpfs | Overlay) -> None:
    assert mounts(volume) == {"/a": expected}


def test_containers_are_built_for_roots_and_for_volumes_in_the_order_of_use() -> None:
    made = planned(command("x", "volumes: {/a: !Container d}") + command("y", "prerequisites: [x]", container="d"), "y")
    assert made.builds == ("c", "d")
    assert needed_roots(made.stages) == ("c", "d")
    assert used(made.stages, CACHE) == ()


def test_a_writable_root_is_an_overlay_in_memory() -> None:
    transient = planned(command("x", "write-mode: transient"), "x")
    program = plan_program(project(command("x")), "c", ("a",), Request(writable=True), BARE)
    for made in (transient, program):
        assert made.stages[0].children[0].launch.sandbox.root == Overlay("/", ("container:c",))
        assert made.builds == ("c",)
    assert planned(command("x"), "x").stages[0].children[0].launch.sandbox.root == ImageRoot("c", "container:c")


def test_a_host_root_is_never_writable() -> None:
    made = project(command("x"), "  c: {setup: [!Host]}\n")
    with pytest.raises(CommandError, match=r"container c is !Host, which is always read-only .*\[writable-host\]"):
        plan_program(made, "c", ("a",), Request(writable=True), BARE)


# --- what is filled first -----------------------------------------------------------------------------------------

FILL = command("fill", DB)


def test_the_init_command_comes_before_what_needs_the_volume_and_fills_it_under_another_name() -> None:
    made = planned(FILL + command("x", DB), "x")
    assert stages(made) == ["fill", "x"]
    assert [stage.fills for stage in made.stages] == [("db",), ()]
    assert used(made.stages, VOLUME) == (".tmp.db", "db")


def test_nothing_is_filled_that_is_there_or_is_not_needed() -> None:
    assert stages(planned(FILL + command("x", DB), "x", frozenset({"db"}))) == ["x"]
    assert stages(planned(FILL + command("x", DB), "x", None)) == ["x"]
    assert stages(planned(FILL + command("x"), "x")) == ["x"]
    assert stages(planned(FILL + command("x", DB), "x", request=Request(prerequisites=False))) == ["x"]


@pytest.mark.parametrize(("there", "fills"), [(NONE, ("db",)), (frozenset({"db"}), ())])
def test_the_init_command_itself_fills_a_volume_that_is_not_there(
    there: frozenset[str], fills: tuple[str, ...]
) -> None:
    for request in (Request(), Request(prerequisites=False)):
        made = planned(FILL, "fill", there, request)
        assert [(stage.name, stage.fills) for stage in made.stages] == [("fill", fills)]


def test_the_name_decides_who_fills_whatever_else_a_command_says_of_the_volume() -> None:
    made = project(FILL + command("x", "volumes: {/a: !Persistent db}"))
    assert made.persistent["db"].init_command == "fill"
    assert stages(plan(made, "x", Request(), BARE, NONE)) == ["fill", "x"]


def test_two_commands_that_fill_one_volume_are_refused() -> None:
    other = command("other", "volumes: {/db: !Persistent {name: db, init-command: other}}")
    with pytest.raises(ConfigError, match="volume 'db' has two init-commands, 'fill' and 'other'"):
        project(FILL + other)


def test_a_volume_of_a_container_that_no_command_uses_is_known() -> None:
    made = project(FILL, f"  c: {{{SETUP}}}\n  d: {{{SETUP}, volumes: {{/o: !Persistent other}}}}\n")
    assert set(made.persistent) == {"db", "other"}


def test_a_volume_of_the_container_is_filled_for_every_command_in_it() -> None:
    made = project(command("fill") + command("x"), f"  c: {{{SETUP}, {DB}}}\n")
    assert stages(plan(made, "x", Request(), BARE, NONE)) == ["fill", "x"]
    assert stages(plan(made, "fill", Request(), BARE, NONE)) == ["fill"]


def test_the_children_of_a_supervise_are_filled_for_once() -> None:
    children = f"  s: !Supervise\n    children:\n    {command('a', DB)}    {command('b', DB)}"
    assert stages(planned(FILL + children, "s")) == ["fill", "s"]


def test_what_the_init_command_needs_comes_first() -> None:
    commands = (
        command("one", "volumes: {/a: !Persistent {name: a, init-command: one}}")
        + command(
            "two",
            "prerequisites: [before]",
            "volumes: {/a: !Persistent a, /b: !Persistent {name: b, init-command: two}}",
        )
        + command("before")
        + command("x", "prerequisites: [before]", "volumes: {/b: !Persistent b}")
    )
    made = planned(commands, "x")
    assert stages(made) == ["before", "one", "two", "x"]
    assert unfilled(made.stages, project(commands), NONE) is None


def test_a_volume_that_is_needed_before_it_is_filled_is_found() -> None:
    both = "volumes: {/a: !Persistent {name: a, init-command: one}, /b: !Persistent {name: b, init-command: two}}"
    commands = command("one", both) + command("two", both)
    made = planned(commands, "one")
    lacking = unfilled(made.stages, project(commands), NONE)
    assert lacking is not None and lacking.name == "a"
    assert unfilled(made.stages, project(commands), frozenset({"a", "b"})) is None
    without = planned(FILL + command("x", DB), "x", request=Request(prerequisites=False))
    assert unfilled(without.stages, project(FILL + command("x", DB)), NONE) is not None


def test_a_volume_without_init_command_never_lacks() -> None:
    commands = command("x", "volumes: {/a: !Persistent a}")
    assert unfilled(planned(commands, "x").stages, project(commands), NONE) is None


# --- what is where ------------------------------------------------------------------------------------------------

PLACES = {CONTAINER + "c": "/r/c", CONTAINER + "d": "/r/d", VOLUME: "/v", CACHE: "/k", PROGRAM: "/bin"}


def place(made: Plan, images: dict[str, Defaults] | None = None) -> Plan:
    base = {"PATH": "/base", "HOME": "/tmp", "TERM": "dumb"}
    found = tuple(placed(stage, PLACES, images or {}, base, lambda top, path: f"{top}/{path}") for stage in made.stages)
    return replace(made, stages=found)


def test_every_path_gets_its_place() -> None:
    volumes = "/a: !Persistent a, /b: !CacheDir x/y, /c: !Container d, /d: !VaggaBin , /e: !Snapshot {container: d}"
    (stage,) = place(planned(command("x", f"volumes: {{{volumes}, /f: !Snapshot , /g: !Tmpfs }}"), "x")).stages
    sandbox = stage.children[0].launch.sandbox
    assert sandbox.root == ImageRoot("c", "/r/c")
    sources = {each.target: each.source for each in sandbox.mounts if isinstance(each, Bind) and not each.optional}
    assert sources == {"/a": "/v/a", "/b": "/k/x/y", "/c": "/r/d", "/d": "/bin"}
    lowers = {each.target: each.lowers for each in sandbox.mounts if isinstance(each, Overlay)}
    assert lowers == {"/e": ("/r/d/e",), "/f": ("inside:/f",)}


IMAGE = Defaults((("PATH", "/image"), ("A", "image")), "/app", 5, 6)


def test_what_an_image_says_is_a_default_for_what_the_file_does_not_say() -> None:
    (stage,) = place(planned(command("x"), "x"), {"c": IMAGE}).stages
    program = stage.children[0].launch.program
    assert program.environ == {"PATH": "/image", "HOME": "/tmp", "TERM": "dumb", "A": "image"}
    assert (program.directory, program.uid, program.gid) == ("/app", 5, 6)


def test_what_the_file_says_wins_over_the_image_also_where_it_is_what_vagga_would_say() -> None:
    keys = ("environ: {PATH: /base, A: own}", "work-dir: src", "user-id: 7")
    (stage,) = place(planned(command("x", *keys), "x"), {"c": IMAGE}).stages
    program = stage.children[0].launch.program
    assert program.environ == {"PATH": "/base", "HOME": "/tmp", "TERM": "dumb", "A": "own"}
    assert (program.directory, program.uid, program.gid) == ("/work/src", 7, 0)


def test_proxies_are_among_the_first_variables_unless_the_settings_say_no() -> None:
    made, host = project(command("x")), replace(BARE, environ={"http_proxy": "p", "OTHER": "x"})
    assert base_environ(made.settings, host)["http_proxy"] == "p"
    assert "http_proxy" not in base_environ(replace(made.settings, proxy_env_vars=False), host)
    assert "OTHER" not in base_environ(made.settings, host)
