"""The rules of plans one by one: environment, prerequisites, directories, streams, volumes, roots, addresses."""

from __future__ import annotations

import pytest

from vaggapy.config.bind import bind
from vaggapy.config.tree import parse
from vaggapy.errors import CommandError, UsageError, VaggaError
from vaggapy.host import Host
from vaggapy.plan import Request, check_owner, expand, join, listen_address, plan, plan_program
from vaggapy.record import replace
from vaggapy.sandbox import spec
from vaggapy.supervise.stage import Listen
from vaggapy.volumes import DEFAULT_PATH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.model import Project
    from vaggapy.supervise.stage import ChildPlan

BARE = Host(
    uid=1000,
    gid=1000,
    user="u",
    homes=("/home", "/root", "/home/u", "/srv/homes/u", "/"),
    directory="/home/u/project",
    environ={},
    terminals=(False, False, False),
    resolver="",
    rows=0,
    columns=0,
)


def bound(text: str, directory: str = "/home/u/project") -> Project:
    """Return the project that a text means."""
    return bind(parse(text, "vagga.yaml"), directory, "vagga.yaml")


def child(text: str, request: Request | None = None, host: Host = BARE) -> ChildPlan:
    """Return the first child of the command `c`; `text` holds its keys, and the container's after `--`."""
    keys, _, container = text.partition("--")
    yaml = (
        f"containers:\n  x: {{setup: [!Host]{container}}}\ncommands:\n  c: !Command {{container: x, run: [a]{keys}}}\n"
    )
    return plan(bound(yaml), "c", request or Request(), host).stages[-1].children[0]


# --- environment: each line of the table is stronger than the one above it ----------------------------------------

SOURCES: list[tuple[str, dict[str, object]]] = [
    ("proxy", {"environ": {"http_proxy": "proxy"}}),
    ("container", {"container": ", environ: {http_proxy: container}"}),
    ("command", {"keys": ", environ: {http_proxy: command}"}),
    ("passed", {"environ": {"VAGGAENV_http_proxy": "passed"}}),
    ("copied", {"copied": ("http_proxy",)}),
    ("given", {"given": (("http_proxy", "given"),)}),
]


@pytest.mark.parametrize("strongest", range(len(SOURCES)))
def test_N2_each_source_of_a_variable_is_stronger_than_those_before(strongest: int) -> None:
    environ: dict[str, str] = {}
    keys = container = ""
    copied: tuple[str, ...] = ()
    given: tuple[tuple[str, str], ...] = ()
    for name, what in SOURCES[: strongest + 1]:
        if name in ("proxy", "passed"):
            environ.update(what["environ"])  # type: ignore[call-overload]  # a table of unlike things
        container += str(what.get("container", ""))
        keys += str(what.get("keys", ""))
        copied += ("http_proxy",) if name == "copied" else ()
        given += (("http_proxy", "given"),) if name == "given" else ()
    made = child(f"{keys}--{container}", Request(copied=copied, environ=given), replace(BARE, environ=environ))
    expected = SOURCES[strongest][0]
    assert made.launch.program.environ["http_proxy"] == ("proxy" if expected == "copied" else expected)


def test_without_anything_there_are_three_variables() -> None:
    assert child("").launch.program.environ == {"TERM": "dumb", "PATH": DEFAULT_PATH, "HOME": "/tmp"}


@pytest.mark.parametrize(
    ("caller", "request_", "name", "value"),
    [
        ({"TERM": "vt100"}, Request(), "TERM", "vt100"),
        ({"HOME": "/home/u", "PATH": "/x", "LANG": "C"}, Request(), "HOME", "/tmp"),
        ({"LANG": "C"}, Request(), "LANG", None),
        ({"LANG": "C"}, Request(copied=("LANG",)), "LANG", "C"),
        ({}, Request(copied=("LANG",)), "LANG", ""),
        ({"VAGGAENV_X": "1"}, Request(), "X", "1"),
        ({"VAGGAENV_X": "1"}, Request(), "VAGGAENV_X", None),
        ({"VAGGAENV_X": "1"}, Request(removed=("X",)), "X", None),
        ({"VAGGAENV_": "1"}, Request(), "", None),
        ({"VAGGAENV_PATH": "/y"}, Request(), "PATH", "/y"),
        ({"X": "1"}, Request(removed=("X",), copied=("X",)), "X", "1"),
        ({"X": "1"}, Request(environ=(("X", ""),), copied=("X",)), "X", ""),
        ({"no_proxy": "a", "NO_PROXY": "b"}, Request(), "no_proxy", "a"),
        ({"no_proxy": "a", "NO_PROXY": "b"}, Request(), "NO_PROXY", None),
        ({}, Request(environ=(("X", "1"), ("X", "2"))), "X", "2"),
    ],
)
def test_what_of_the_caller_comes_in(caller: dict[str, str], request_: Request, name: str, value: str | None) -> None:
    made = child("", request_, replace(BARE, environ=caller))
    assert made.launch.program.environ.get(name) == value


@pytest.mark.parametrize(("own", "expected"), [("", ("stack", "a")), (", environ: {VAGGA_COMMAND: x}", ("x", "a"))])
def test_a_child_of_a_supervise_knows_its_name_unless_told_otherwise(own: str, expected: tuple[str, str]) -> None:
    yaml = f"""
containers: {{x: {{setup: [!Host]}}}}
commands:
  stack: !Supervise {{children: {{a: !Command {{container: x, run: [a]{own}}}}}}}
"""
    environ = plan(bound(yaml), "stack", Request(), BARE).stages[0].children[0].launch.program.environ
    assert (environ["VAGGA_COMMAND"], environ["VAGGA_SUBCOMMAND"]) == expected


# --- prerequisites -------------------------------------------------------------------------------------------------


def graph(text: str) -> str:
    """Return a vagga.yaml with a command for each `name: needed ...` of the text."""
    lines = [line.split(":") for line in text.split(",")]
    commands = [
        f"  {name.strip()}: !Command {{container: x, run: [a], prerequisites: [{', '.join(needed.split())}]}}\n"
        for name, needed in lines
    ]
    return "containers: {x: {setup: [!Host]}}\ncommands:\n" + "".join(commands)


@pytest.mark.parametrize(
    ("text", "name", "order"),
    [
        ("a:, b: a, c: a, d: b c", "d", "a b c d"),
        ("a:, b: a, c: a, d: b c", "b", "a b"),
        ("a:, b: a, c: a, d: c b", "d", "a c b d"),
        ("a: b, b: a", "a", "b a"),
        ("a: b, b: a", "b", "a b"),
        ("a: a", "a", "a"),
        ("a: b c, b: c, c: b", "a", "c b a"),
        ("a:, b: a a", "b", "a b"),
        ("a:", "a", "a"),
    ],
)
def test_prerequisites_come_first_each_once_and_a_cycle_ends_where_it_began(text: str, name: str, order: str) -> None:
    project = bound(graph(text))
    assert expand(project, name) == tuple(order.split())
    stages = plan(project, name, Request(arguments=("x",)), BARE).stages
    assert [stage.name for stage in stages] == order.split()
    assert [stage.children[0].launch.program.words for stage in stages] == [("a",)] * (len(stages) - 1) + [("a", "x")]
    assert [stage.name for stage in plan(project, name, Request(prerequisites=False), BARE).stages] == [name]


def test_a_supervise_needs_what_its_children_need_also_if_they_are_filtered_out() -> None:
    yaml = """
containers: {x: {setup: [!Host]}}
commands:
  one: !Command {container: x, run: [a]}
  two: !Command {container: x, run: [a]}
  stack: !Supervise
    prerequisites: [two]
    children:
      a: !Command {container: x, run: [a], prerequisites: [one]}
      b: !Command {container: x, run: [a], prerequisites: [two]}
"""
    stages = plan(bound(yaml), "stack", Request(chosen=("b",)), BARE).stages
    assert [stage.name for stage in stages] == ["two", "one", "stack"]
    assert [each.name for each in stages[-1].children] == ["b"]


def test_a_selection_concerns_the_command_that_was_asked_for_only() -> None:
    yaml = """
containers: {x: {setup: [!Host]}}
commands:
  first: !Supervise {children: {a: !Command {container: x, run: [a]}, b: !Command {container: x, run: [a]}}}
  second: !Supervise {prerequisites: [first], children: {a: !Command {container: x, run: [a]}}}
"""
    stages = plan(bound(yaml), "second", Request(chosen=("a",)), BARE).stages
    assert [[each.name for each in stage.children] for stage in stages] == [["a", "b"], ["a"]]


# --- words ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "shell", "words"),
    [
        ("[prog, '-x']", "", ("prog", "-x", "1", "2")),
        ("'echo $1'", "", ("/bin/sh", "-c", "echo $1", "--", "1", "2")),
        ("'echo $1'", "[/bin/bash, -ec, $cmdline]", ("/bin/bash", "-ec", "echo $1", "1", "2")),
        ("'x'", "[sh, -c, $cmdline, $cmdline, 'a$cmdline']", ("sh", "-c", "x", "x", "a$cmdline", "1", "2")),
        ("[prog]", "[/bin/bash, -c, $cmdline]", ("prog", "1", "2")),
    ],
)
def test_what_is_run(run: str, shell: str, words: tuple[str, ...]) -> None:
    container = f"{{setup: [!Host], default-shell: {shell}}}" if shell else "{setup: [!Host]}"
    yaml = f"containers: {{x: {container}}}\ncommands:\n  c: !Command {{container: x, run: {run}}}\n"
    made = plan(bound(yaml), "c", Request(arguments=("1", "2")), BARE)
    assert made.stages[0].children[0].launch.program.words == words


# --- directories ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("project", "directory", "work_dir", "expected"),
    [
        ("/p", "/p", "", "/work"),
        ("/p", "/p/a/b", "", "/work/a/b"),
        ("/p", "/px", "", "/work"),
        ("/p", "/elsewhere", "", "/work"),
        ("/p", "/p/a", "sub", "/work/sub"),
        ("/p", "/p/a", "/usr", "/usr"),
        ("/p", "/p", "..", "/"),
        ("/p", "/p", "../etc", "/etc"),
        ("/p", "/p", "./a//b/../c/", "/work/a/c"),
        ("/p", "/p", "/", "/"),
        ("/work", "/work/a", "", "/work/a"),
        ("/work/p", "/work/p/a", "", "/work/a"),
    ],
)
def test_where_a_program_starts(project: str, directory: str, work_dir: str, expected: str) -> None:
    keys = f", work-dir: '{work_dir}'" if work_dir else ""
    yaml = f"containers: {{x: {{setup: [!Host]}}}}\ncommands:\n  c: !Command {{container: x, run: [a]{keys}}}\n"
    made = plan(bound(yaml, project), "c", Request(), replace(BARE, directory=directory))
    assert made.stages[0].children[0].launch.program.directory == expected


@pytest.mark.parametrize(
    ("directory", "path", "joined"),
    [("/a", "b", "/a/b"), ("/a", "/b", "/b"), ("/a", "../..", "/"), ("/", "", "/"), ("/a/", ".//", "/a")],
)
def test_paths_are_joined_and_tidied(directory: str, path: str, joined: str) -> None:
    assert join(directory, path) == joined


# --- streams -------------------------------------------------------------------------------------------------------

ALL, NONE = (True, True, True), (False, False, False)
STREAMS = [
    # children, (stdin, stdout, stderr) is a terminal, --prefix, streams
    (1, ALL, None, "terminal"),
    (1, (True, True, False), None, "terminal"),
    (1, (False, True, True), None, "inherit"),
    (1, (True, False, True), None, "inherit"),
    (1, NONE, None, "inherit"),
    (1, ALL, False, "terminal"),
    (1, ALL, True, "terminals"),
    (1, NONE, True, "pipes"),
    (2, ALL, None, "terminals"),
    (2, (False, True, True), None, "terminals"),
    (2, (True, True, False), None, "pipes"),
    (2, (True, False, True), None, "output"),
    (2, NONE, None, "output"),
    (2, ALL, False, "output"),
    (2, ALL, True, "terminals"),
    (2, NONE, True, "pipes"),
    (2, (True, False, True), True, "pipes"),
]


@pytest.mark.parametrize(("count", "terminals", "prefix", "streams"), STREAMS)
def test_where_the_bytes_of_children_go(
    count: int, terminals: tuple[bool, bool, bool], prefix: bool | None, streams: str
) -> None:
    children = ", ".join(f"c{number}: !Command {{container: x, run: [a]}}" for number in range(count))
    yaml = f"containers: {{x: {{setup: [!Host]}}}}\ncommands:\n  c: !Supervise {{children: {{{children}}}}}\n"
    stage = plan(bound(yaml), "c", Request(prefix=prefix), replace(BARE, terminals=terminals)).stages[0]
    assert stage.streams == streams
    assert {each.launch.program.streams for each in stage.children} == {streams}


def test_the_size_of_terminals_is_the_callers_or_the_usual_one() -> None:
    assert (child("").launch.program.rows, child("").launch.program.columns) == (24, 80)
    made = child("", None, replace(BARE, rows=50, columns=200)).launch.program
    assert (made.rows, made.columns) == (50, 200)


# --- roots and volumes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "resolver", "hidden", "exposed"),
    [
        ("!Host", "", ("/home", "/root", "/home/u", "/srv/homes/u"), ()),
        ("!Host {home: hidden}", "", ("/home", "/root", "/home/u", "/srv/homes/u"), ()),
        ("!Host {home: read-only}", "", (), ()),
        ("!Host {home: read-only, expose: [/opt/a, /opt/a]}", "", (), ("/opt/a",)),
        ("!Host {home: read-only, expose: [/var/run/x.sock]}", "", (), ("/run/x.sock",)),
        ("!Host {home: read-only, expose: [/var/running]}", "", (), ("/var/running",)),
        ("!Host {home: read-only}", "/etc/resolv.conf", (), ()),
        ("!Host {home: read-only}", "/run/resolv.conf", (), ("/run/resolv.conf",)),
        ("!Host {home: read-only, expose: [/run/resolv.conf]}", "/run/resolv.conf", (), ("/run/resolv.conf",)),
    ],
)
def test_what_the_root_hides_and_exposes(
    step: str, resolver: str, hidden: tuple[str, ...], exposed: tuple[str, ...]
) -> None:
    yaml = f"containers: {{x: {{setup: [{step}]}}}}\ncommands:\n  c: !Command {{container: x, run: [a]}}\n"
    made = plan(bound(yaml), "c", Request(), replace(BARE, resolver=resolver)).stages[0].children[0]
    assert made.launch.sandbox.root == spec.HostRoot(hidden, exposed)


@pytest.mark.parametrize(
    ("volume", "mount"),
    [
        ("!Tmpfs", spec.Tmpfs("/x", 100 * 1024 * 1024, 0o1777)),
        ("!Tmpfs {size: 2k}", spec.Tmpfs("/x", 2000, 0o1777)),
        (
            "!Tmpfs {size: 1Mi, mode: 0o700, subdirs: {a/b: {mode: 0o711}}, files: {c/d: t}}",
            spec.Tmpfs("/x", 2**20, 0o700, (("a", 0o755), ("a/b", 0o711), ("c", 0o755)), (("c/d", "t"),)),
        ),
        ("!Empty", spec.Tmpfs("/x", 4096, 0, read_only=True)),
        ("!BindRO /work/a", spec.Bind("/home/u/project/a", "/x", read_only=True)),
        ("!BindRW /work", spec.Bind("/home/u/project", "/x", read_only=False)),
    ],
)
def test_what_a_volume_means(volume: str, mount: spec.Bind | spec.Tmpfs) -> None:
    assert child(f", volumes: {{/x: {volume}}}").launch.sandbox.mounts == (mount,)


def test_volumes_are_sorted_and_the_commands_win() -> None:
    made = child(", volumes: {/b: !Empty , /a/b: !Empty }--, volumes: {/b: !Tmpfs , /a: !Tmpfs }")
    assert [(mount.target, type(mount).__name__) for mount in made.launch.sandbox.mounts] == [
        ("/a", "Tmpfs"),
        ("/a/b", "Tmpfs"),
        ("/b", "Tmpfs"),
    ]
    assert [getattr(mount, "read_only", False) for mount in made.launch.sandbox.mounts] == [False, True, True]


def test_children_with_equal_roots_and_volumes_have_equal_sandboxes() -> None:
    assert child(", environ: {A: b}").launch.sandbox == child(", user-id: 5").launch.sandbox


# --- the rest ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", None),
        ("8080", Listen("127.0.0.1", 8080)),
        (":8080", Listen("127.0.0.1", 8080)),
        ("*:8080", Listen("0.0.0.0", 8080)),
        ("localhost:0", Listen("localhost", 0)),
        ("10.0.0.1:65535", Listen("10.0.0.1", 65535)),
        ("[::1]:80", Listen("::1", 80)),
        ("::1:80", Listen("::1", 80)),
    ],
)
def test_an_address_to_listen_on(text: str, address: Listen | None) -> None:
    assert listen_address(text) == address


@pytest.mark.parametrize("text", ["x", "localhost:", "localhost:http", "1:65536", "1:-1", "1:8 0", "*", "1:٨"])
def test_a_text_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(VaggaError, match="is not an address") as caught:
        listen_address(text)
    assert caught.value.name == "listen"


def test_a_container_that_is_not_there_is_named_with_those_that_are() -> None:
    project = bound("containers: {one: {setup: [!Host]}, two: {setup: [!Host]}}\n")
    with pytest.raises(CommandError, match=r"\bthere are: one, two\b"):
        plan_program(project, "three", ("x",), Request(), BARE)


def test_the_whole_file_system_is_no_project() -> None:
    project = bound("containers: {x: {setup: [!Host]}}\ncommands:\n  c: !Command {container: x, run: [a]}\n", "/")
    with pytest.raises(VaggaError, match="the whole file system") as caught:
        plan(project, "c", Request(), BARE)
    assert (caught.value.name, caught.value.code) == ("project-is-root", 126)
    with pytest.raises(VaggaError, match="the whole file system"):
        plan_program(project, "x", ("a",), Request(), BARE)


@pytest.mark.parametrize(
    ("uid", "owner", "refused"), [(0, 0, False), (0, 1000, True), (1000, 0, False), (1000, 1001, False)]
)
def test_root_does_not_work_in_somebody_elses_project(uid: int, owner: int, refused: bool) -> None:
    if not refused:
        check_owner(uid, owner, "/p")
        return
    with pytest.raises(UsageError, match="you should not run vagga as root"):
        check_owner(uid, owner, "/p")


@pytest.mark.parametrize(("key", "option", "isolated"), [(0, 0, False), (1, 0, True), (0, 1, True), (1, 1, True)])
def test_the_network_is_isolated_if_the_file_or_the_caller_says_so(key: int, option: int, isolated: bool) -> None:
    yaml = f"""
containers: {{x: {{setup: [!Host]}}}}
commands:
  c: !Command {{container: x, run: [a], isolate-network: {"true" if key else "false"}}}
"""
    assert plan(bound(yaml), "c", Request(isolate_network=bool(option)), BARE).isolate_network == isolated
