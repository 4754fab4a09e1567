"""The fields of commands row by row: where each may stand, its default, its bounds (vagga.md 3.1)."""

from __future__ import annotations

import pytest

from vaggapy.config.bind import bind
from vaggapy.config.model import Child, Command, Persistent, Program, Supervise
from vaggapy.config.tree import parse
from vaggapy.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.model import Project

COMMAND, SUPERVISE, CHILD = "command", "supervise", "child"
EVERYWHERE = (COMMAND, SUPERVISE, CHILD)
PROGRAMS = (COMMAND, CHILD)
TOP = (COMMAND, SUPERVISE)
ID_MOST = 2**30


def text(where: str, line: str) -> str:
    """Return a vagga.yaml in which `line` is a key of a command, of a `!Supervise` or of its child."""
    lines = dict.fromkeys(PROGRAMS, ", run: [a]") | {SUPERVISE: ""}
    if line:
        lines[where] = f", {line} " if line.startswith("run:") else f"{lines[where]}, {line} "
    return f"""\
containers: {{x: {{setup: [!Host]}}}}
commands:
  other: !Command {{container: x, run: [a]}}
  c: !Command {{container: x{lines[COMMAND]}}}
  s: !Supervise {{children: {{k: !Command {{container: x{lines[CHILD]}}}}}{lines[SUPERVISE]}}}
"""


def bound(source: str) -> Project:
    return bind(parse(source, "vagga.yaml"), "/p", "vagga.yaml")


def found(where: str, line: str, field: str) -> object:
    """Return what a field of the model is with `line` in the file."""
    project = bound(text(where, line))
    command, supervise = project.commands["c"], project.commands["s"]
    assert isinstance(command, Command) and isinstance(supervise, Supervise)
    owners: dict[str, Command | Supervise | Child] = {COMMAND: command, SUPERVISE: supervise}
    owner = owners.get(where, supervise.children[0])
    if field in Program._fields:
        assert not isinstance(owner, Supervise)
        return getattr(owner.program, field)
    return getattr(owner, field)


# field of the model, its default, where it has an effect, and what lines of the file mean
ROWS: list[tuple[str, object, tuple[str, ...], dict[str, object]]] = [
    ("description", "", TOP, {"description: 'Run it'": "Run it", "description: ~": "", "description:": ""}),
    ("banner", "", EVERYWHERE, {"banner: 'Look there'": "Look there"}),
    ("banner_delay", 0, EVERYWHERE, {"banner-delay: 0": 0, "banner-delay: 1k": 1000, "banner_delay: 86400": 86400}),
    ("epilog", "", TOP, {"epilog: 'no line end'": "no line end"}),
    ("aliases", (), TOP, {"aliases: [a, b]": ("a", "b"), "aliases: []": (), "aliases:": ()}),
    ("group", "", TOP, {"group: Development": "Development"}),
    ("symlink_name", "", TOP, {"symlink-name: psql": "psql"}),
    ("prerequisites", (), EVERYWHERE, {
        "prerequisites: [other]": ("other",),
        "prerequisites: [other, other]": ("other",) * 2,
    }),
    ("expect_inotify_limit", 0, TOP, {"expect-inotify-limit: 524288": 524288, "expect-inotify-limit: 512ki": 524288}),
    ("isolate_network", False, TOP, {"isolate-network: true": True, "isolate_network: false": False}),
    ("options", "", TOP, {"options: 'Usage: vagga c'": "Usage: vagga c"}),
    ("tags", (), (CHILD,), {"tags: [a, b]": ("a", "b")}),
    (
        "tcp_socket",
        "",
        PROGRAMS,
        {
            "pass-tcp-socket: 8080": "8080",
            "pass-tcp-socket: '*:80'": "*:80",
            "pass-tcp-socket: 'localhost:80'": "localhost:80",
            "pass-tcp-socket: '[::1]:80'": "[::1]:80",
            "pass-tcp-socket: '::1:80'": "::1:80",
        },
    ),
    ("container", "x", PROGRAMS, {}),
    ("run", ("a",), PROGRAMS, {
        "run: 'echo $1'": "echo $1",
        "run: [a, 'b c']": ("a",
        "b c"),
        "run: ['']": None,
        "run: []": None,
    }),
    ("work_dir", "", PROGRAMS, {"work-dir: src": "src", "work-dir: /usr": "/usr", "work-dir: ~": ""}),
    ("accepts_arguments", True, (COMMAND,), {
        "accepts-arguments: false": False,
        "run: text": False,
        "accepts-arguments: true": True,
    }),
    ("environ", {}, PROGRAMS, {"environ: {A: b, _C: ''}": {"A": "b", "_C": ""}, "environ: ": {}}),
    ("volumes", {}, PROGRAMS, {"volumes: {/a: !Persistent b}": {"/a": Persistent("b")}, "volumes: {a: !Empty }": None}),
    ("transient", False, PROGRAMS, {
        "write-mode: transient-hard-link-copy": True,
        "write-mode: transient_hard_link_copy": True,
        "write-mode: read-only": False,
        "write-mode: read_only": False,
    }),
    ("pid1mode", "wait", PROGRAMS, {
        "pid1mode: wait": "wait",
        "pid1mode: wait-all-children": "wait-all-children",
        "pid1mode: wait_all_children": "wait-all-children",
        "pid1mode: exec": "exec",
        "pid1mode: fork": None,
    }),
    ("user_id", 0, PROGRAMS, {
        "user-id: 0x10": 16,
        f"user-id: {ID_MOST}": ID_MOST,
        f"user-id: {ID_MOST + 1}": None,
        "user-id: -1": None,
    }),
    ("external_user_id", -1, PROGRAMS, {
        "external-user-id: 0": 0,
        "external-user-id: 1000": 1000,
        "external-user-id: -1": None,
    }),
    ("group_id", 0, PROGRAMS, {"group-id: 1k": 1000, f"group-id: {ID_MOST + 1}": None}),
    ("supplementary_gids", (), PROGRAMS, {"supplementary-gids: [1, 0o10]": (1, 8), "supplementary-gids: [-1]": None}),
    ("mode", "stop-on-failure", (SUPERVISE,), {
        "mode: wait-all-successful": "wait-all-successful",
        "mode: stop_on_failure": "stop-on-failure",
        "mode: restart": None,
    }),
    ("kill_unresponsive_after", 2, (SUPERVISE,), {
        "kill-unresponsive-after: 1": 1,
        "kill-unresponsive-after: 86400": 86400,
        "kill-unresponsive-after: 0": None,
        "kill-unresponsive-after: 86401": None,
    }),
]  # fmt: skip
KEYS = {row[0]: row for row in ROWS}


@pytest.mark.parametrize(("field", "where"), [(row[0], where) for row in ROWS for where in row[2]])
def test_a_field_that_is_not_written_has_its_default(field: str, where: str) -> None:
    assert found(where, "", field) == KEYS[field][1]


@pytest.mark.parametrize(
    ("field", "where", "line", "value"),
    [
        (row[0], where, line, value)
        for row in ROWS
        for where in row[2]
        for line, value in row[3].items()
        if value is not None
    ],
)
def test_a_field_has_the_value_that_is_written(field: str, where: str, line: str, value: object) -> None:
    assert found(where, line, field) == value


@pytest.mark.parametrize(
    ("where", "line"),
    [(where, line) for row in ROWS for where in row[2] for line, value in row[3].items() if value is None],
)
def test_a_value_out_of_bounds_is_one_problem(where: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bound(text(where, line))
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("where", "line"),
    [
        (SUPERVISE, "tags: [a]"), (SUPERVISE, "pass-tcp-socket: 80"), (COMMAND, "tags: [a]"),
        (CHILD, "description: x"), (CHILD, "epilog: x"), (CHILD, "aliases: [x]"), (CHILD, "group: x"),
        (CHILD, "symlink-name: x"), (CHILD, "isolate-network: true"), (CHILD, "expect-inotify-limit: 5"),
        (CHILD, "accepts-arguments: false"),
    ],
)  # fmt: skip
def test_a_field_without_effect_is_accepted(where: str, line: str) -> None:
    plain, written = bound(text(where, "")), bound(text(where, line))
    assert written.aliases == plain.aliases
    command, supervise = written.commands["c"], written.commands["s"]
    assert isinstance(command, Command) and isinstance(supervise, Supervise)
    assert supervise.children[0].tags == ()


@pytest.mark.parametrize(
    ("where", "line", "name"),
    [
        (CHILD, "options: 'Usage: x'", "unknown-key"),
        (CHILD, "network: {ip: 172.23.0.1}", "not-available"),
        (COMMAND, "network: {ip: 172.23.0.1}", "unknown-key"),
        (SUPERVISE, "run: x", "unknown-key"),
        (SUPERVISE, "user-id: 5", "unknown-key"),
        (COMMAND, "mode: stop-on-failure", "unknown-key"),
        (COMMAND, "children: {}", "unknown-key"),
        (COMMAND, "kill-unresponsive-after: 5", "unknown-key"),
    ],
)
def test_a_field_that_may_not_stand_there_is_a_problem(where: str, line: str, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bound(text(where, line))
    assert [problem.name for problem in caught.value.problems] == [name]


@pytest.mark.parametrize("missing", ["container", "run"])
def test_container_and_run_are_needed(missing: str) -> None:
    keys = {"container": "x", "run": "a"}
    del keys[missing]
    written = ", ".join(f"{key}: {value}" for key, value in keys.items())
    with pytest.raises(ConfigError, match=missing):
        bound(f"containers: {{x: {{setup: [!Host]}}}}\ncommands:\n  c: !Command {{{written}}}\n")


def test_persistent_volumes_are_known_by_name_whoever_mounts_them() -> None:
    """The place that says how a volume is filled, or whose it is, counts for those that only name it."""
    project = bound("""\
containers:
  x: {setup: [], volumes: {/logs: !Persistent logs, /data: !Persistent data}}
  alone: {setup: [], volumes: {/alone: !Persistent alone}}
commands:
  fill: !Command {container: x, run: [a]}
  c: !Command
    container: x
    run: [a]
    volumes:
      /data: !Persistent {name: data, owner-uid: 5, init-command: fill}
      /logs: !Persistent {name: logs, owner-uid: 7}
""")
    assert project.persistent == {
        "logs": Persistent("logs", 7),
        "data": Persistent("data", 5, 0, "fill"),
        "alone": Persistent("alone"),
    }


def test_aliases_are_known_by_name() -> None:
    assert bound(text(COMMAND, "aliases: [a, b]")).aliases == {"a": "c", "b": "c"}
