"""`_check`: what can be known to be wrong without running anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from vaggapy.cli.check import Wrong, check
from vaggapy.config.load import find
from vaggapy.errors import ConfigError, ExitCode, VaggaError
from vaggapy.host import Host

TOP = "containers:\n  h: {setup: [!Host]}\n  b: {setup: []}\n  d: {setup: [], data-dirs: [/x]}\n"


def checked(root: Path, text: str, **environ: str) -> list[str]:
    """Return what is wrong in a project; its files are made before."""
    (root / "vagga.yaml").write_text(text)
    host = Host(1000, 1000, "u", (), str(root), environ, (False, False, False), "", 0, 0)
    found: list[str] = []
    try:
        code = check(find(str(root)), host, ("_run", "_list"))
    except VaggaError as error:
        code, found = error.code, [line.replace(f"{root}/", "") for line in error.lines()]
    assert code == (ExitCode.CONFIG if found else ExitCode.OK)
    return found


def command(keys: str, name: str = "x", container: str = "h") -> str:
    return f"  {name}: !Command {{container: {container}, run: x{keys}}}\n"


def test_a_project_without_mistakes_is_silent(tmp_path: Path) -> None:
    text = f"_shared: &unused 1\n{TOP}commands:\n" + command(", prerequisites: [y]") + command("", "y")
    assert checked(tmp_path, text) == []


def test_prerequisites_in_a_circle_are_fine(tmp_path: Path) -> None:
    both = command(", prerequisites: [y]") + command(", prerequisites: [x]", "y")
    assert checked(tmp_path, f"{TOP}commands:\n{both}") == []


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        (command(", prerequisites: [z]"), "6:54: unknown command 'z'"),
        (command("", container="z"), "6:27: unknown container 'z'"),
        (command(", volumes: {/x: !Container z}"), "unknown container 'z'"),
        (command(", volumes: {/x: !Persistent {name: v, init-command: z}}"), "unknown command 'z'"),
        (command("", "_run"), "6:3: command '_run' can never run: a built-in command has this name"),
        (command(", aliases: [_list]"), "6:3: alias '_list' of 'x' is never used: a built-in command has this name"),
        (command("", container="d"), "6:3: command 'x' runs in 'd', which holds data only ('data-dirs')"),
        (command(", symlink-name: s") + command(", symlink-name: s", "y"), "7:3: 'y' and 'x' have the same symlink-na"),
        (command(", volumes: {/x: !BindRO /volumes/v}"), "6:3: command 'x': volume /x: there is no external volume"),
        (command(", write-mode: transient"), "6:3: command 'x': container h is !Host, which is always read-only"),
        (command(", options: x"), "6:3: command 'x': "),
        (command(", volumes: {/x: !Persistent {name: v, owner-uid: 1}}", "y", "b")
         + command(", volumes: {/y: !Persistent v}", "x", "b"), "7:3: volume 'v' of command 'x' has other keys than"),
    ],
)  # fmt: skip
def test_a_mistake_of_a_command_is_one_line(tmp_path: Path, commands: str, expected: str) -> None:
    [line] = checked(tmp_path, f"{TOP}commands:\n{commands}")
    assert line.startswith("vagga.yaml:") and expected in line


SUPERVISE = "commands:\n  s: !Supervise\n    children:\n"


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("80", "80", True), ("80", "127.0.0.1:80", True), ("80", "'*:80'", True), ("80", "81", False),
        ("127.0.0.1:80", "127.0.0.2:80", False), ("0", "0", False),
    ],
)  # fmt: skip
def test_children_that_listen_on_one_port_can_never_run_together(
    tmp_path: Path, one: str, other: str, clash: bool
) -> None:
    children = "".join(
        "    " + command(f", pass-tcp-socket: {text}", name) for name, text in (("a", one), ("b", other))
    )
    lines = checked(tmp_path, TOP + SUPERVISE + children)
    assert len(lines) == clash
    assert all("children 'a' and 'b' of 's' both listen on port 80" in line for line in lines)


def test_everything_comes_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("x: y\nz: y\n")
    lines = checked(tmp_path, f"mixins: [a.yaml, gone.yaml]\n{TOP}commands:\n" + command("", "_run"))
    assert [line.rpartition(" ")[2] for line in lines] == [
        "[mixin-skipped]", "[unknown-key]", "[unknown-key]", "[check-hidden]"
    ]  # fmt: skip


def test_files_that_are_wrong_and_settings_come_at_once(tmp_path: Path) -> None:
    (tmp_path / ".vagga.settings.yaml").write_text("x: y")
    lines = checked(tmp_path, "x: y")
    assert [line.partition(":")[0] for line in lines] == [".vagga.settings.yaml", "vagga.yaml"]


def test_steps_that_cannot_be_done_are_known(tmp_path: Path) -> None:
    text = "containers:\n  a: {setup: [!Install [x]]}\n  b: {setup: [!Image busybox, !Install [x]]}\n"
    [line] = checked(tmp_path, text)
    assert line.startswith("vagga.yaml:2:") and "!Install: the root has no distribution yet" in line


def test_external_volumes_of_steps_and_binds_must_be_there(tmp_path: Path) -> None:
    text = "containers:\n  a: {setup: [!Copy {source: /volumes/v/x, path: /x}, !Copy {source: /volumes/w, path: /y}]}\n"
    text += "commands:\n" + command(", volumes: {/x: !BindRO /volumes/v/gone}", container="a")
    (tmp_path / "v").mkdir()
    lines = checked(tmp_path, text, VAGGA_SETTINGS=f"external-volumes: {{v: {tmp_path}/v}}")
    assert [line.partition(" (")[0] for line in lines] == [
        "vagga.yaml:2:3: container 'a': there is no external volume 'w'",
        "vagga.yaml:4:3: command 'x': /volumes/v/gone is v/gone, which is not there",
    ]


def test_a_cache_directory_must_be_there_if_something_is_built(tmp_path: Path) -> None:
    settings = "cache-dir: /nowhere"
    assert checked(tmp_path, "containers: {h: {setup: [!Host]}}", VAGGA_SETTINGS=settings) == []
    [line] = checked(tmp_path, TOP, VAGGA_SETTINGS=settings)
    assert line == "vagga.yaml: cache-dir /nowhere does not exist (make it, or take the setting away) [storage]"


def test_the_errors_are_of_two_kinds(tmp_path: Path) -> None:
    host = Host(1000, 1000, "u", (), str(tmp_path), {}, (False, False, False), "", 0, 0)
    (tmp_path / "vagga.yaml").write_text("x: y")
    with pytest.raises(ConfigError):
        check(find(str(tmp_path)), host, ())
    (tmp_path / "vagga.yaml").write_text(f"{TOP}commands:\n" + command("", container="d"))
    with pytest.raises(Wrong):
        check(find(str(tmp_path)), host, ())
