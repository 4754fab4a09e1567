"""Fields of commands that need a kernel to be seen: sockets at every form of address, chains of commands, limits."""

from __future__ import annotations

import socket

import pytest

from integration.builds import small
from integration.builds import write as build
from integration.runs import Project, command, free_port, need

__all__ = ["small"]
ANSWER = """
import socket
server = socket.socket(fileno=3)
print(server.getsockname()[0], server.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) != 0, flush=True)
server.settimeout(10)
"""


def port_at(family: int, address: str) -> int:
    """Return a port that nobody listens on; skip where there is no such address."""
    port = free_port()
    try:
        with socket.socket(family) as probe:
            probe.bind((address, port))
    except OSError as error:
        need(False, f"{address}: {error}")
    return port


@pytest.mark.parametrize(
    ("form", "family", "address"),
    [
        ("{port}", socket.AF_INET, "127.0.0.1"),
        ("*:{port}", socket.AF_INET, "0.0.0.0"),
        ("localhost:{port}", 0, ""),
        ("127.0.0.1:{port}", socket.AF_INET, "127.0.0.1"),
        ("[::1]:{port}", socket.AF_INET6, "::1"),
        ("::1:{port}", socket.AF_INET6, "::1"),
        ("[::]:{port}", socket.AF_INET6, "::"),
    ],
)
def test_a_socket_listens_where_it_is_asked_to_and_is_descriptor_3(
    project: Project, form: str, family: int, address: str
) -> None:
    port = port_at(family or socket.AF_INET, address or "127.0.0.1")
    project.write(command("c", ["python3", "-c", ANSWER], pass_tcp_socket=form.format(port=port)))
    result = project.run("c")
    assert result.code == 0, result
    where, reused = result.out.split()
    assert where == address if address else where in ("127.0.0.1", "::1")
    assert reused == "True"


def test_a_port_that_is_taken_is_121_in_one_line_and_nothing_is_run(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        project.write(command("c", "echo ran", pass_tcp_socket=str(port)))
        result = project.run("c")
    assert (result.code, result.out, result.err.count("\n")) == (121, "", 1)
    assert f'Error listening "127.0.0.1:{port}"' in result.err and "[listen]" in result.err


def test_a_chain_of_commands_ends_with_the_first_that_fails(project: Project) -> None:
    project.write(
        command("a", "echo a", epilog="after a\n")
        + command("b", "echo b; exit 5", prerequisites=["a"], epilog="after b\n")
        + command("c", "echo c")
    )
    result = project.run("-m", "b", "c")
    assert (result.code, result.out) == (5, "a\nafter a\nb\n")


def test_commands_that_are_named_run_as_often_as_they_are_named_and_their_prerequisites_once(project: Project) -> None:
    project.write(command("a", "echo a") + command("d", "echo d", prerequisites=["a"], aliases=["x"]))
    assert project.run("-m", "d", "x", "d").out == "a\nd\nd\nd\n"


def test_with_containers_only_nothing_is_run(project: Project) -> None:
    project.write(command("a", "echo a") + command("d", "echo d", prerequisites=["a"]))
    result = project.run("--containers-only", "d")
    assert (result.code, result.out, result.err) == (0, "", "")


def test_an_epilog_is_printed_as_it_is_written(project: Project) -> None:
    project.write(command("c", "echo ran", epilog="no line end"))
    assert project.run("c").out == "ran\nno line end"


def test_the_limit_of_watches_is_looked_at_once_for_each_command_before_anything_runs(project: Project) -> None:
    project.write(
        command("a", "echo ran >&2", expect_inotify_limit=2**29)
        + command("d", "true", prerequisites=["a"], expect_inotify_limit=2**30)
    )
    first, second, third = project.run("-m", "d", "d").err.splitlines()
    assert first.startswith("vagga: a wants to watch") and second.startswith("vagga: d wants to watch")
    assert third == "ran"


def test_a_limit_beyond_all_bounds_is_not_set_even_if_the_settings_allow_it(project: Project) -> None:
    (project.home / ".vagga.yaml").write_text("auto-apply-sysctl: true\n")
    project.write(command("c", "echo ran", expect_inotify_limit=2**29))
    result = project.run("c")
    assert (result.code, result.out) == (0, "ran\n")
    assert f"sudo sysctl fs.inotify.max_user_watches={2**29}" in result.err


def test_the_root_of_the_host_is_never_writable(project: Project) -> None:
    project.write(command("c", "echo x > /etc/own", write_mode="transient"))
    result = project.run("c")
    assert result.code == 121
    assert "writable-host" in result.err


def test_a_root_that_forgets_can_be_written_to_and_the_next_run_sees_nothing_of_it(small: Project) -> None:
    text = "  c: !Command\n    container: c\n    run: 'cat /own; echo x > /own && cat /own'\n"
    build(small, commands=text + "    write-mode: transient-hard-link-copy\n")
    first, second = small.run("c"), small.run("c")
    assert (first.code, first.out, second.out) == (0, "x\n", "x\n"), first


def test_variables_of_a_file_in_the_root_win_over_the_callers_proxies_and_lose_to_the_container(small: Project) -> None:
    text = "  c: !Command\n    container: c\n    run: 'echo $http_proxy $A $B'\n    environ: {B: command}\n"
    file = '!Text {/vars: "http_proxy=file\\nA=file\\nB=file\\n"}'
    build(small, file, commands=text, environ_file="/vars", environ="{A: container}")
    assert small.run("c", environ={"http_proxy": "caller"}).out == "file container command\n"
