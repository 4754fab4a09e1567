"""PID 1 of a child reaps everybody, takes nobody else's end for its command's, and hands nothing on by accident."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess

import pytest

from integration.runs import PATIENCE, Project, command, descendants, free_port, processes, supervise, wait_until

STAY = "exec sleep 60"
PREFIX = pytest.mark.parametrize("words", [[], ["--prefix"]], ids=["plain", "prefix"])
OPEN = """
import os
found = []
for name in os.listdir("/proc/self/fd"):
    try:
        os.fstat(int(name))
    except OSError:
        continue  # the descriptor of the list itself
    found.append(int(name))
open(os.environ["TO"], "w").write(repr(sorted(found)))
"""


# --- zombies and orphans ----------------------------------------------------------------------------------------


def test_S12_100_orphans_that_end_leave_no_zombie(project: Project) -> None:
    orphans = 'for n in 1 2 3 4 5 6 7 8 9 10; do (sh -c "exit 3" & sleep 0 &) ; done; '
    project.write(supervise("up", {"a": orphans * 5 + "touch ready; exec sleep 60"}))
    run = project.start("up")
    wait_until(lambda: project.has("ready"), "100 orphans were made")

    def zombies() -> list[int]:
        table = processes()
        return [pid for pid in descendants(run.pid) if pid in table and table[pid][1] == "Z"]

    wait_until(lambda: not zombies() and len(descendants(run.pid)) == 3, "only the command is left")
    run.signal(signal.SIGTERM)
    assert run.finish().code == 143


def test_S4_the_end_of_an_orphan_is_not_taken_for_that_of_the_command(project: Project) -> None:
    orphan = '(sh -c "touch orphan; exit 3" &); until test -e orphan; do sleep 0.01; done; '
    project.write(command("c", orphan + "sleep 0.1; exit 5"))
    assert project.run("c").code == 5


@PREFIX
def test_S6_an_end_is_seen_at_once_although_a_grandchild_keeps_the_output_open(
    project: Project, words: list[str]
) -> None:
    """supervision 5.1; peers 8: in the background, and in a session of its own."""
    leave = "echo last words; sleep 60 & setsid sleep 60 & "
    project.write(command("c", leave + "exit 7") + supervise("up", {"a": leave + "exit 7", "b": "exec sleep 60"}))
    for name in ("c", "up"):
        result = project.run(*words, name)
        assert result.code == 7
        assert result.out.endswith("last words\n")
        assert result.seconds < 40


@PREFIX
def test_S8_a_child_that_closes_its_output_has_not_ended(project: Project, words: list[str]) -> None:
    children = {"a": "exec < /dev/null > /dev/null 2>&1; touch a.closed; until test -e go; do sleep 0.01; done; exit 5"}
    children["b"] = "exec <&- >&- 2>&-; touch b.closed; exec sleep 60"
    project.write(supervise("up", children))
    run = project.start(*words, "up")
    wait_until(lambda: project.has("a.closed", "b.closed"), "both have closed their output")
    (project.directory / "go").touch()
    result = run.finish()
    assert result.code == 5
    assert result.err.splitlines()[-1].startswith("vagga: a exited with code 5")


# --- descriptors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["c"], ["up"], ["--prefix", "up"], ["--prefix", "c"]], ids=" ".join)
def test_S10_children_inherit_three_descriptors_and_no_more(project: Project, words: list[str]) -> None:
    """Neither what vagga was given, nor what it has itself."""
    child = {"run": ["/usr/bin/python3", "-c", OPEN], "environ": {"TO": "fds"}}
    project.write(command("c", child["run"], environ=child["environ"]) + supervise("up", {"a": child, "b": STAY}))
    read, write = os.pipe()
    result = project.run("--status-fd", str(write), *words, pass_fds=[read, write])
    os.close(write)
    os.close(read)
    assert result.code == 0, result.err
    assert project.read("fds") == "[0, 1, 2]"


@pytest.mark.parametrize("words", [["c"], ["up"], ["--prefix", "up"]], ids=" ".join)
def test_S10_a_passed_socket_is_descriptor_3_and_accepts(project: Project, words: list[str]) -> None:
    serve = OPEN + "import socket\nclient, _ = socket.socket(fileno=3).accept()\nclient.sendall(b'hello')\n"
    port = free_port()
    keys = {"environ": {"TO": "a.fds"}, "pass_tcp_socket": port}
    server, other = ["/usr/bin/python3", "-c", serve], ["/usr/bin/python3", "-c", OPEN + "import time\ntime.sleep(60)"]
    children: dict[str, object] = {"a": {"run": server, **keys}, "b": {"run": other, "environ": {"TO": "b.fds"}}}
    project.write(command("c", server, **keys) + supervise("up", children))
    run = project.start(*words)
    wait_until(lambda: project.read("a.fds") and (words == ["c"] or project.read("b.fds")), "all run")
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        assert client.recv(100) == b"hello"
    assert run.finish().code == 0
    assert project.read("a.fds") == "[0, 1, 2, 3]"
    assert project.read("b.fds") in ("", "[0, 1, 2]")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


CLOSED = [("<&-", "0"), (">&-", "1"), ("2>&-", "2"), ("<&- >&-", "0 and 1"), ("<&- >&- 2>&-", "all")]


@pytest.mark.parametrize(("closing", "_which"), CLOSED, ids=[which for _, which in CLOSED])
@pytest.mark.parametrize("words", [["c"], ["up"], ["--prefix", "up"]], ids=" ".join)
def test_S10_started_with_closed_descriptors(project: Project, closing: str, _which: str, words: list[str]) -> None:
    """Peers 8: nothing of vagga's own takes their place; children find something harmless there."""
    end = "ls -l /proc/$$/fd > $NAME.fds; echo out; echo err >&2; read line; touch $NAME.done; exit 3"
    project.write(
        command("c", end, environ={"NAME": "a"})
        + supervise("up", {"a": {"run": end, "environ": {"NAME": "a"}}, "b": "exec sleep 60"})
    )
    result = project.run(*words, under=["sh", "-c", f'exec "$@" {closing}', "sh"])
    assert project.has("a.done"), result.err
    assert result.code == 3
    assert "Traceback" not in result.err
    if "2>&-" not in closing:
        assert "err" in result.err
    if ">&-" not in closing.split():
        assert "out" in result.out
    if closing.count("&-") == 3 and "--prefix" not in words:
        assert not re.search("socket|pipe|anon_inode", project.read("a.fds"))


# --- standard output --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["up"], ["--prefix", "up"]], ids=" ".join)
@pytest.mark.parametrize("writer", ["while :; do echo y; done", "yes", "echo y; exec sleep 60"])
def test_X15_a_reader_that_has_enough_stops_all_children_properly(
    project: Project, words: list[str], writer: str
) -> None:
    """supervision 4.4: also while nobody writes."""
    polite = (
        "mkfifo b.pipe; exec 3<> b.pipe; trap 'echo TERM > b.got; exit 0' TERM; touch b.ready; "
        "while :; do read line <&3; done"
    )
    writer = "until test -e b.ready; do sleep 0.01; done; " + writer
    project.write(supervise("up", {"a": writer, "b": polite}, kill_unresponsive_after=30))
    run = project.start(*words)
    out = run.process.stdout
    assert out is not None
    assert out.readline().endswith(b"y\n"), run.finish().err
    out.close()
    run.process.stdout = None
    result = run.finish()
    assert result.code == 141, result.err
    assert project.read("b.got") == "TERM\n"
    assert result.err.count("\n") <= 3, result.err


def test_X15_a_single_command_whose_reader_has_enough(project: Project) -> None:
    """supervision 4.4."""
    project.write(command("c", "exec yes"))
    run = project.start("c")
    head = subprocess.run(["head", "-n1"], stdin=run.process.stdout, capture_output=True, check=True, timeout=PATIENCE)
    assert head.stdout == b"y\n"
    assert run.process.stdout is not None
    run.process.stdout.close()
    run.process.stdout = None
    result = run.finish()
    assert (result.code, result.err) == (141, "")


@pytest.mark.parametrize("words", [["up"], ["--prefix", "up"]], ids=" ".join)
def test_a_full_disk_loses_output_and_nothing_else(project: Project, words: list[str]) -> None:
    """Peers 8: the children go on, and the exit code is theirs."""
    project.write(supervise("up", {"a": "echo one; echo two; touch a.done; exit 4", "b": "exec sleep 60"}))
    with open("/dev/full", "w") as full:
        result = project.run(*words, stdout=full.fileno())
    assert result.code == 4
    assert project.has("a.done")
    if "--prefix" in words:
        assert result.err.count("[output-lost]") == 1
    assert result.err.splitlines()[-1].startswith("vagga: a exited with code 4")


def test_a_full_disk_for_messages_changes_nothing(project: Project) -> None:
    project.write(supervise("up", {"a": "exit 4", "b": "exec sleep 60"}))
    with open("/dev/full", "w") as full:
        assert project.run("up", stdout=full.fileno(), stderr=full.fileno()).code == 4
        assert project.run("no-such-command", stdout=full.fileno(), stderr=full.fileno()).code == 121
        assert project.run("--version", stdout=full.fileno()).code in (0, 1, 121)
