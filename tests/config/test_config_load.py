"""Where vagga.yaml is found, and that everything which is no vagga.yaml ends in one clear line."""

from __future__ import annotations

import codecs
import contextlib
import os
import socket
import sys
from pathlib import Path

import pytest

from vaggapy.config.load import MAX_BYTES, Found, Loaded, find, read_project
from vaggapy.config.shapes import KEYS, Field, Shape
from vaggapy.errors import ConfigError, VaggaError

VALID = "containers:\n  py: {setup: [!Host]}\ncommands:\n  a: !Command {container: py, run: x}\n"


def read_error(path: Path) -> str:
    """Return the only line that reading `path` ends with, without the path."""
    with pytest.raises(ConfigError) as caught:
        read_project(Found(str(path.parent), str(path), (str(path),)))
    [line] = caught.value.lines()
    assert caught.value.code == 126
    assert line.startswith(f"{path}")
    return line.removeprefix(str(path)).removeprefix(": ")


def candidates(*directories: Path) -> tuple[str, ...]:
    """Return the paths that are looked at in directories."""
    names = (".vagga/vagga.yaml", "vagga.yaml", "vagga.local.yaml", ".vagga.local.yaml", ".vagga/local.yaml")
    return tuple(str(directory / name) for directory in directories for name in names)


def test_the_file_is_found_upwards_and_every_path_that_was_looked_at_is_told(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "vagga.yaml").write_text(VALID)
    found = find(str(deep))
    assert (found.directory, found.file) == (str(tmp_path), str(tmp_path / "vagga.yaml"))
    assert found.candidates == candidates(deep, deep.parent, tmp_path)[:-3]


def test_the_file_in_dot_vagga_comes_before_the_one_beside_it(tmp_path: Path) -> None:
    (tmp_path / ".vagga").mkdir()
    (tmp_path / "vagga.yaml").write_text("")
    (tmp_path / ".vagga" / "vagga.yaml").write_text("")
    found = find(str(tmp_path))
    assert (found.directory, found.file) == (str(tmp_path), str(tmp_path / ".vagga" / "vagga.yaml"))
    assert found.candidates == candidates(tmp_path)[:1]


def test_a_nearer_file_hides_the_one_above(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "vagga.yaml").write_text("")
    (inner / "vagga.yaml").write_text("")
    assert find(str(inner)).directory == str(inner)


@pytest.mark.parametrize(
    ("name", "directory"), [("other.yml", "."), (".vagga/x.yaml", "."), ("sub/vagga.yaml", "sub"), ("./sub/../y", ".")]
)
def test_a_file_that_is_named_decides_the_project(tmp_path: Path, name: str, directory: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".vagga").mkdir()
    (tmp_path / name).write_text(VALID)
    found = find(str(tmp_path), name)
    assert found.directory == str(tmp_path / directory)
    assert found.file == os.path.normpath(tmp_path / name)
    assert found.candidates == (found.file,)


def test_no_file_at_all_names_the_directory_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(VaggaError) as caught:
        find(str(tmp_path))
    assert caught.value.code == 126
    assert caught.value.lines() == (
        f"vagga: config not found: no vagga.yaml in '{tmp_path}' or above "
        "(write a vagga.yaml, or name one with -f FILE) [config-not-found]",
    )


def test_a_file_with_the_wrong_ending_is_hinted_at(tmp_path: Path) -> None:
    (tmp_path / "vagga.yml").write_text(VALID)
    with pytest.raises(VaggaError) as caught:
        find(str(tmp_path))
    assert caught.value.remedy == f"rename '{tmp_path}/vagga.yml' to end in .yaml"


@pytest.mark.parametrize("name", ["nope.yaml", "", "a\0b"])
def test_a_named_file_that_does_not_exist_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(VaggaError) as caught:
        find(str(tmp_path), name)
    assert (caught.value.code, caught.value.name) == (126, "config-not-found")


def test_a_valid_file_gives_the_project_and_the_paths_that_were_read(tmp_path: Path) -> None:
    (tmp_path / "vagga.yaml").write_text(VALID)
    loaded = read_project(find(str(tmp_path)))
    assert loaded.inputs == (str(tmp_path / "vagga.yaml"),)
    assert loaded.project.directory == str(tmp_path)
    assert list(loaded.project.commands) == ["a"]
    assert loaded.project.commands["a"].mark.file == str(tmp_path / "vagga.yaml")


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "vagga.yaml").write_bytes(codecs.BOM_UTF8 + VALID.replace("\n", "\r\n").encode())
    loaded = read_project(find(str(tmp_path)))
    assert loaded.project.commands["a"].mark.line == 4


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"a: b\nc: \xc3\xa4\xff\n", ":2:5: not UTF-8: byte 0xff (save the file as UTF-8) [config-not-utf8]"),
        (b"\xc3", ":1:1: not UTF-8: byte 0xc3 (save the file as UTF-8) [config-not-utf8]"),
        ("a: b\n".encode("utf-16"), "is UTF-16, not UTF-8 (save it as UTF-8) [config-not-utf8]"),
        (b"a: b\n\0", "is not text: byte 5 is zero (is it really a vagga.yaml?) [not-text]"),
        (b"\x7fELF\x02\0\0", "is not text: byte 5 is zero (is it really a vagga.yaml?) [not-text]"),
    ],
)
def test_bytes_that_are_no_text_end_in_one_line(tmp_path: Path, data: bytes, line: str) -> None:
    path = tmp_path / "vagga.yaml"
    path.write_bytes(data)
    assert read_error(path) == line


def test_a_directory_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "vagga.yaml"
    path.mkdir()
    line = "is a directory (name the file itself, as in -f DIR/vagga.yaml) [config-not-a-file]"
    assert read_error(path) == line


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "vagga.yaml"
    os.mkfifo(path)
    assert read_error(path) == "is a named pipe (vagga.yaml must be a file) [config-not-a-file]"


def test_a_socket_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "vagga.yaml"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert read_error(path) == "is a socket (vagga.yaml must be a file) [config-not-a-file]"


def test_a_device_is_not_read() -> None:
    assert read_error(Path("/dev/zero")) == "is a device (vagga.yaml must be a file) [config-not-a-file]"


def test_a_link_that_leads_nowhere_is_found_and_told(tmp_path: Path) -> None:
    (tmp_path / "vagga.yaml").symlink_to("nowhere")
    path = Path(find(str(tmp_path)).file)
    line = "is a link that leads nowhere (make its target, or remove it) [config-unreadable]"
    assert read_error(path) == line


def test_links_in_a_circle_end_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "vagga.yaml").symlink_to("vagga.yaml")
    expected = "cannot be read: too many levels of symbolic links [config-unreadable]"
    assert read_error(tmp_path / "vagga.yaml") == expected


def test_a_file_that_fails_while_it_is_read_is_told() -> None:
    assert read_error(Path("/proc/self/mem")) == "cannot be read: input/output error [config-unreadable]"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_told(tmp_path: Path) -> None:
    path = tmp_path / "vagga.yaml"
    path.write_text(VALID)
    path.chmod(0)
    assert read_error(path) == "cannot be read: permission denied (allow reading with chmod) [config-unreadable]"


def test_a_hundred_megabytes_are_refused_by_their_size_alone(tmp_path: Path) -> None:
    path = tmp_path / "vagga.yaml"
    path.touch()
    os.truncate(path, 100 * 1024 * 1024)
    line = f"has more than {MAX_BYTES // 1024} KiB (is it really a vagga.yaml?) [config-too-large]"
    assert read_error(path) == line


def test_finding_the_file_imports_neither_yaml_nor_anything_slow() -> None:
    program = "import sys; before = set(sys.modules); import vaggapy.config.load; print(*set(sys.modules) - before)"
    reader, writer = os.pipe()
    child = os.posix_spawn(
        sys.executable,
        [sys.executable, "-S", "-c", program],
        {"PYTHONPATH": str(Path(__file__).parents[2])},
        file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1)],
    )
    os.close(writer)
    with open(reader) as output:
        imported = set(output.read().split())
    assert os.waitpid(child, 0)[1] == 0
    slow = {"re", "typing", "enum", "dataclasses", "collections", "functools", "contextlib", "json", "ruamel.yaml"}
    assert "vaggapy.config.load" in imported
    assert imported & slow == set()
    assert not any(name.startswith("vaggapy.config.") and name != "vaggapy.config.load" for name in imported)


# --- other files of the project ---------------------------------------------------------------------------------

PART = """\
containers:
  py:
    setup: [!SubConfig {path: %s, container: x}]
"""
SUBCONFIG = Shape("!SubConfig", (KEYS,), {"path": Field("relative path"), "container": Field("text", "", needed=True)})


def read_part(project: Path, path: str) -> Loaded:
    """Read a project whose container takes its steps from the file `path`."""
    file = project / "vagga.yaml"
    file.write_text(PART % path)
    return read_project(Found(str(project), str(file), (str(file),)), lambda: {"!SubConfig": SUBCONFIG})


def test_a_file_that_the_project_names_is_read_and_told(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x.yaml").write_text("containers: {x: {setup: []}}")
    loaded = read_part(tmp_path, "sub/x.yaml")
    assert loaded.project.containers["py"].setup[0].values["steps"] == ()
    assert loaded.inputs == (str(tmp_path / "vagga.yaml"), str(tmp_path / "sub" / "x.yaml"))


def test_a_link_inside_the_project_is_followed(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("containers: {x: {setup: []}}")
    (tmp_path / "y.yaml").symlink_to("x.yaml")
    assert read_part(tmp_path, "y.yaml").inputs[1:] == (str(tmp_path / "y.yaml"),)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("gone.yaml", "cannot be read: no such file or directory [config-unreadable]"),
        ("out.yaml", "is a link that leads out of the project (copy the file) [config-unreadable]"),
        ("through/x.yaml", "is a link that leads out of the project (copy the file) [config-unreadable]"),
        ("directory", "is a directory (make it a file, or remove it) [config-not-a-file]"),
        ("latin.yaml", "not UTF-8: byte 0xe9 (save the file as UTF-8) [config-not-utf8]"),
    ],
)
def test_a_file_that_the_project_names_and_that_cannot_be_read_is_one_line(
    tmp_path: Path, path: str, expected: str
) -> None:
    project = tmp_path / "project"
    (project / "directory").mkdir(parents=True)
    (tmp_path / "x.yaml").write_text("containers: {x: {setup: []}}")
    (project / "out.yaml").symlink_to("../x.yaml")
    (project / "through").symlink_to("..")
    (project / "latin.yaml").write_bytes(b"caf\xe9")
    with pytest.raises(ConfigError) as caught:
        read_part(project, path)
    [line] = caught.value.lines()
    assert line.startswith(f"{project}/{path}:") and line.endswith(f": {expected}")


@pytest.mark.parametrize(
    ("steps", "asked"), [("[!Host]", []), ("[]", []), ("[!Hots]", [1]), ("[!SubConfig {container: x}]", [1])]
)
def test_the_shapes_of_steps_are_asked_for_only_where_something_is_built(
    tmp_path: Path, steps: str, asked: list[int]
) -> None:
    file = tmp_path / "vagga.yaml"
    file.write_text(f"containers: {{py: {{setup: {steps}}}}}")
    asks: list[int] = []

    def shapes() -> dict[str, Shape]:
        asks.append(1)
        return {"!SubConfig": SUBCONFIG}

    with contextlib.suppress(ConfigError):
        read_project(Found(str(tmp_path), str(file), (str(file),)), shapes)
    assert asks == asked
