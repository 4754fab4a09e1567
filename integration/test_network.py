"""A run without network: only a loopback, which all its children share; nothing of the host can be reached."""

from __future__ import annotations

import socket
import time

import pytest

from integration.runs import Project, can_nest, command, free_port, need, supervise, wait_until

SERVE = """
import os, socket
server = socket.create_server(("127.0.0.1", 0))
open("port.new", "w").write(str(server.getsockname()[1]))
os.rename("port.new", "port")
server.accept()[0].sendall(b"hello")
"""
ASK = """
import os, socket, time
end = time.monotonic() + 60
while not os.path.exists("port") and time.monotonic() < end:
    time.sleep(0.005)
print(socket.create_connection(("127.0.0.1", int(open("port").read()))).recv(10).decode())
"""
REACH = """
import socket, sys
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30)
    print("reached")
except ConnectionRefusedError:
    print("refused")
try:
    client = socket.socket(socket.AF_UNIX)
    client.connect("\\0vagga-" + sys.argv[1])
    print("reached")
except ConnectionRefusedError:
    print("refused")
"""


@pytest.mark.parametrize("how", ["option", "key"])
def test_an_isolated_network_has_only_a_loopback_that_is_up(project: Project, how: str) -> None:
    up = (
        "import fcntl, socket; print(fcntl.ioctl(socket.socket(), 0x8913, b'lo'.ljust(40, b'\\0'))[16] & 1);"
        "print(*[name for _, name in socket.if_nameindex()])"
    )
    project.write(command("c", ["python3", "-c", up], **({"isolate-network": True} if how == "key" else {})))
    result = project.run(*(["--no-network"] if how == "option" else []), "c")
    assert (result.code, result.out) == (0, "1\nlo\n"), result


@pytest.mark.parametrize("words", [("c",), ("--no-network", "c")])
def test_children_of_one_run_reach_each_other(project: Project, words: tuple[str, ...]) -> None:
    children = {"server": ["python3", "-c", SERVE], "client": ["python3", "-c", ASK]}
    project.write(supervise("c", children, mode="wait-all-successful"))
    result = project.run(*words)
    assert (result.code, result.out) == (0, "hello\n"), result


@pytest.mark.parametrize(("words", "answer"), [(("c",), "reached"), (("--no-network", "c"), "refused")])
def test_the_host_is_out_of_reach_without_network_only(project: Project, words: tuple[str, ...], answer: str) -> None:
    project.write(command("c", ["python3", "-c", REACH]))
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as abstract:
        port = str(server.getsockname()[1])
        abstract.bind(f"\0vagga-{port}")
        abstract.listen()
        result = project.run(*words, port)
    assert (result.code, result.out.split()) == (0, [answer] * 2), result


def test_two_isolated_runs_do_not_share_a_network(project: Project) -> None:
    serve = SERVE.replace('("127.0.0.1", 0)', '("127.0.0.1", 4321)')
    project.write(command("serve", ["python3", "-c", serve]) + command("reach", ["python3", "-c", REACH, "4321"]))
    running = project.start("--no-network", "serve")
    try:
        wait_until(lambda: project.has("port"), "the server")
        assert project.run("--no-network", "reach").out.split()[0] == "refused"
    finally:
        running.signal(15)
        assert running.finish().code == 143


def test_an_isolated_network_works_with_one_id(project: Project) -> None:
    need(can_nest(), "unshare(1) cannot make an outer world")
    project.write(command("c", ["python3", "-c", "import socket; print(socket.if_nameindex()[0][1])"]))
    result = project.run("--no-network", "c", under=("unshare", "-Ur"))
    assert (result.code, result.out, result.err) == (0, "lo\n", ""), result


def test_a_passed_socket_of_the_host_works_without_network(project: Project) -> None:
    accept = "import socket; s = socket.socket(fileno=3); c, _ = s.accept(); c.sendall(b'from inside'); c.close()"
    port = free_port()
    project.write(command("c", ["python3", "-c", accept], pass_tcp_socket=str(port)))
    running = project.start("--no-network", "c")
    answer = b""
    while not answer and running.process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
                answer = client.recv(100)
        except ConnectionRefusedError:
            time.sleep(0.01)
    assert running.finish().code == 0
    assert answer == b"from inside"
