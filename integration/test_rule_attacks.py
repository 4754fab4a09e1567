"""Runs with rules on a bad day: too few descriptors, helpers that are killed, checks and files that are hostile."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from integration.ruled import END, STAY, Server, count, finished, group, serving
from integration.runs import PATIENCE, Project, Running, command_line, descendants, wait_until
from integration.test_probes_in_children import probers
from vaggapy.config.rules import Consul
from vaggapy.sandbox.channel import Channel
from vaggapy.sandbox.companion import Companion, limit_memory
from vaggapy.sandbox.run import start_companion
from vaggapy.supervise.catalog_forms import Request
from vaggapy.supervise.catalog_session import Refusal, Session

FEW = ("sh", "-c", 'ulimit -n 48; exec "$@"', "few")
LACKING = "too many open files"


def test_a_time_of_a_month_is_as_good_as_a_short_one(project: Project) -> None:
    project.write(group({"a": {"run": "sleep 0.1", "timeout": "720h"}}))
    result = project.run("up")
    assert result.code == 0, result.err


# --- the machine lacks something ---------------------------------------------------------------------------------


def test_ctrl_c_is_heard_while_starts_fail_at_once_and_are_repeated_without_a_wait(project: Project) -> None:
    child = {"run": STAY, "restart": {"min-wait": 0}}
    project.write(group({f"c{number}": child for number in range(30)}))
    errors = project.directory / "errors"
    with errors.open("wb") as file:
        run = project.start("up", under=FEW, stderr=file.fileno())
        wait_until(lambda: LACKING in errors.read_text(), "descriptors are exhausted")
        run.signal(signal.SIGINT)
        assert run.finish().code == 130
    assert "internal error" not in errors.read_text()


def test_checks_that_the_machine_has_no_room_for_fail_and_the_children_go_on(project: Project) -> None:
    def crowd(end: Channel) -> None:
        kept = []
        with suppress(OSError):
            while True:
                kept.append(os.open("/dev/null", os.O_RDONLY))
        try:
            start_companion(lambda _: None)
        except OSError as error:
            os.close(kept.pop())
            end.send((error.errno, sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ()))))

    companion = start_companion(crowd)
    wait_until(lambda: _readable(companion), "an answer")
    assert companion.receive() == (24, []), "the fork is refused as usual, and signals are not left blocked"
    companion.stop(5)


def _readable(companion: Companion) -> bool:
    return bool(select.select([companion.fileno()], [], [], 0)[0])


def test_a_companion_gets_no_more_than_a_gigabyte() -> None:
    def eat(end: Channel) -> None:
        limit_memory()
        try:
            bytearray(2 << 30)
        except MemoryError:
            end.send(("refused",))

    companion = start_companion(eat)
    wait_until(lambda: _readable(companion), "an answer")
    assert companion.receive() == ("refused",)
    companion.stop(5)


# --- helpers that are killed or stuck -----------------------------------------------------------------------------


def test_a_check_that_the_prober_was_killed_over_is_made_again_and_has_not_failed(project: Project) -> None:
    with serving() as server:
        page = {"http": f"http://127.0.0.1:{server.port}", "interval": "100ms", "timeout": "60s", "ttl": "5m"}
        project.write(group({"a": {"run": END, "health": {**page, "on-fail": "shutdown", "threshold": 1}}}))
        run = project.start("up")
        server.wait_for(2)
        for _ in range(3):
            kill_prober_while_it_asks(server, probers(run)[0])
            wait_until(lambda: probers(run), "another prober")
        server.wait_for(server.asked + 2)
        result = finished(project, run)
    assert result.code == 0, result.err
    assert "unhealthy" not in result.err


def kill_prober_while_it_asks(server: Server, pid: int) -> None:
    server.goes_on.clear()
    server.wait_for(server.asked + 1)
    asked = server.asked
    os.kill(pid, signal.SIGKILL)
    server.wait_for(asked + 1)
    server.goes_on.set()


def test_a_process_1_that_takes_nothing_more_does_not_hold_up_the_supervisor(project: Project) -> None:
    busy = {"exec": "true", "interval": "2ms", "timeout": "2ms", "threshold": 1_000_000}
    counts = {"run": "while sleep 0.05; do echo >> /work/counted; done"}
    # Messages with so large an environment fill the channel soon.
    children = {"a": {"run": STAY, "environ": {"LONG": "x" * 20_000}, "health": busy}, "c": counts}
    project.write(group(children, kill_unresponsive_after=1))
    run = project.start("up")
    wait_until(lambda: count(project, "counted") > 2, "both run")
    for pid in run.inits():
        os.kill(pid, signal.SIGSTOP)
    before = count(project, "counted")
    wait_until(lambda: count(project, "counted") > before + 20, "a second")
    run.signal(signal.SIGTERM)
    assert run.finish().code == 143


def test_a_spawner_that_is_suspended_does_not_hold_up_the_end(project: Project) -> None:
    project.write(group({"a": {"run": "touch /work/runs; " + STAY}}))
    run = project.start("up")
    wait_until(lambda: project.has("runs"), "the child runs")
    os.kill(run.spawner(), signal.SIGSTOP)
    run.signal(signal.SIGTERM)
    assert run.finish().code == 143


# --- hostile children ---------------------------------------------------------------------------------------------


def test_a_check_that_leaves_a_flood_behind_has_its_result_and_holds_up_nobody(project: Project) -> None:
    flood = "for i in 1 2 3; do setsid sh -c 'trap : TERM; while :; do cat /dev/zero; done' & done; exit 0"
    well = {"run": "touch well; " + STAY, "when": {"source": "a", "once": "healthy"}}
    health = {"exec": flood, "interval": "200ms", "timeout": "60s", "ttl": "5m"}
    project.write(group({"a": {"run": STAY, "health": health}, "well": well}))
    run = project.start("up")
    wait_until(lambda: project.has("well"), "a result")
    wait_until(lambda: _zeros(run), "the flood")
    run.signal(signal.SIGTERM)
    result = run.finish()
    assert result.code == 143
    assert "a is healthy" in result.err


def _zeros(run: Running) -> bool:
    return any("/dev/zero" in command_line(pid) for pid in descendants(run.pid))


# --- hostile servers ----------------------------------------------------------------------------------------------


@contextmanager
def endless(head: bytes, piece: bytes) -> Iterator[int]:
    """Answer each connection without an end; yield the port."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                end, _ = server.accept()
                with end, suppress(OSError):
                    end.recv(65536)
                    end.sendall(head)
                    while True:
                        end.sendall(piece)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(PATIENCE)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_an_answer_of_consul_without_an_end_is_cut_and_never_unpacked(encoding: str) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\n\r\n[".encode()

    async def ask(port: int) -> None:
        session = Session(Consul(f"http://127.0.0.1:{port}"))
        with pytest.raises(Refusal, match="more than 16 MiB"):
            await session.ask(Request("GET", "/v1/health/service/db", seconds=30.0))
        await session.close()

    with endless(head, b'{"a":1},' * 8000) as port:
        asyncio.run(ask(port))
