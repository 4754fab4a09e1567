"""The catalog as a process, against a real Consul server."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from integration.companions import Companion, companion
from integration.consul_server import ConsulServer, consul, serving
from integration.runs import free_port, wait_until
from vaggapy.config.rules import Consul, Service, Watch
from vaggapy.record import pack
from vaggapy.supervise.catalog import FAREWELL
from vaggapy.supervise.catalog_forms import service_id

__all__ = ["consul"]  # a fixture

LOOPBACK = ("lo",)
WEB = Service(8000, interfaces=LOOPBACK, tags=("prod", "v1"))
HOST = os.uname().nodename


@contextmanager
def catalog(
    address: str,
    services: Mapping[str, tuple[Service, float]] | None = None,
    *watches: Watch,
    environ: Mapping[str, str] | None = None,
    consul: Consul | None = None,
) -> Iterator[Companion]:
    """Run a catalog."""
    arguments = pack(consul or Consul(address)), pack(dict(services or {})), pack(watches)
    with companion("catalog", *arguments, environ=environ) as running:
        yield running


def troubles(messages: list[tuple[Any, ...]]) -> list[str]:
    return [message[1] for message in messages if message[0] == "trouble"]


def farewell(running: Companion) -> float:
    """Tell a catalog to finish; return the seconds until it has, without those that the process needs to end."""
    began = time.monotonic()
    running.send("finish")
    running.until("finished")
    return time.monotonic() - began


def own(name: str) -> str:
    return service_id(name, HOST)


# --- services -------------------------------------------------------------------------------------------------


def test_a_service_is_registered_at_its_first_pass_and_gone_at_the_end(consul: ConsulServer) -> None:
    with catalog(consul.address, {"web": (WEB, 10.0)}) as running:
        running.send("status", "web", "critical")
        running.send("status", "web", "warning")
        assert running.is_quiet(0.5)
        assert own("web") not in consul.services()
        running.send("status", "web", "passing")
        wait_until(lambda: consul.status(own("web")) == "passing", "the registration")
        entry = consul.services()[own("web")]
        assert (entry["Service"], entry["Address"], entry["Port"]) == ("web", "127.0.0.1", 8000)
        assert (entry["Tags"], entry["EnableTagOverride"]) == (["prod", "v1"], False)
        running.send("finish")
        assert running.receive() == ("finished",)
        assert own("web") not in consul.services()
        running.process.wait(5)


def test_with_a_status_a_service_is_registered_at_once_and_each_change_is_told_at_once(consul: ConsulServer) -> None:
    service = Service(1, status="warning", interfaces=LOOPBACK, tag_override=True, deregister_after="10m")
    with catalog(consul.address, {"db": (service, 60.0)}) as running:
        for status in ("warning", "passing", "critical", "passing", "warning", "critical"):
            running.send("status", "db", status)
            # The first one waits for the process to start, too.
            wait_until(lambda status=status: consul.status(own("db")) == status, status)  # type: ignore[misc]
        assert consul.services()[own("db")]["EnableTagOverride"] is True
        running.send("status", "db", "gone")
        wait_until(lambda: not consul.status(own("db")), "the end")
        running.send("status", "db", "passing")
        wait_until(lambda: consul.status(own("db")) == "passing", "the next run")
        running.finish()
    assert own("db") not in consul.services()


@pytest.mark.parametrize("status", ["passing", "warning"])
def test_a_status_is_refreshed_before_the_ttl_is_over(consul: ConsulServer, status: str) -> None:
    service = Service(1, status="passing", interfaces=LOOPBACK)
    with catalog(consul.address, {"beat": (service, 3.0)}) as running:
        running.send("status", "beat", status)
        wait_until(lambda: consul.status(own("beat")) == status, "the registration")
        end = time.monotonic() + 4.5
        while time.monotonic() < end:
            assert consul.status(own("beat")) == status
        running.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: consul.status(own("beat")) == "critical", "the end of the ttl")
        running.process.send_signal(signal.SIGCONT)
        wait_until(lambda: consul.status(own("beat")) == status, "the next time")
        running.finish()


def test_what_somebody_else_deregistered_comes_back(consul: ConsulServer) -> None:
    with catalog(consul.address, {"web": (WEB, 0.6)}) as running:
        running.send("status", "web", "passing")
        wait_until(lambda: consul.status(own("web")), "the registration")
        consul.deregister(own("web"))
        wait_until(lambda: consul.status(own("web")), "the next registration")
        running.finish()


def test_the_end_of_the_supervisor_deregisters_everything_at_once(consul: ConsulServer) -> None:
    names = [f"node-{number}" for number in range(20)]
    with catalog(consul.address, dict.fromkeys(names, (WEB, 60.0))) as running:
        for name in names:
            running.send("status", name, "passing")
        wait_until(lambda: {own(name) for name in names} <= set(consul.services()), "the registrations")
        running.finish()
    assert not {own(name) for name in names} & set(consul.services())


def test_a_service_without_an_address_is_told_and_the_others_go_on(consul: ConsulServer) -> None:
    services = {
        "none": (Service(1, interfaces=("nosuch0", "10.99.99.0/30")), 5.0),
        "odd": (Service(1, interfaces=("a:b:c",)), 5.0),
        "fixed": (Service(1, interfaces=("nosuch0", "static:10.1.2.3")), 5.0),
    }
    with catalog(consul.address, services) as running:
        none, odd = running.receive(), running.receive()
        assert none and odd
        assert "service 'none' is not registered in Consul: of nosuch0, 10.99.99.0/30 none" in none[1]
        assert "lo 127.0.0.1" in none[1] and "[consul-address]" in none[1]
        assert "'a:b:c' says nothing of where an address is" in odd[1]
        for name in services:
            running.send("status", name, "passing")
        wait_until(lambda: own("fixed") in consul.services(), "the registration")
        assert consul.services()[own("fixed")]["Address"] == "10.1.2.3"
        assert not {own("none"), own("odd")} & set(consul.services())
        running.finish()


def test_an_address_that_is_written_down_needs_no_library_to_be_found(consul: ConsulServer) -> None:
    services = {"fixed": (Service(1, interfaces=("static:10.1.2.3",)), 5.0)}
    with catalog(consul.address, services) as running:
        running.send("status", "fixed", "passing")
        wait_until(lambda: own("fixed") in consul.services(), "the registration")
        assert "pyroute2" not in running.finish()


# --- watches --------------------------------------------------------------------------------------------------


def watched(running: Companion, name: str = "db") -> tuple[str, ...]:
    """Return what a watch sees next."""
    message = running.receive()
    assert message and message[:2] == ("watched", name)
    return tuple(message[2])


def test_h13_a_watch_tells_its_first_answer_and_then_changes_only(consul: ConsulServer) -> None:
    with catalog(consul.address, {}, Watch("db", 500.0, service="mysql")) as running:
        assert watched(running) == ()
        consul.register("mysql", "b", 3306)
        assert watched(running) == ("b 10.0.0.1:3306",)  # long before its interval is over
        consul.register("mysql", "a", 3307)
        assert watched(running) == ("a 10.0.0.1:3307", "b 10.0.0.1:3306")
        consul.deregister("b")
        assert watched(running) == ("a 10.0.0.1:3307",)
        consul.register("mysql", "a", 3308)  # a port alone
        assert watched(running) == ("a 10.0.0.1:3308",)
        consul.register("mysql", "a", 3308, "tag")  # neither an address nor a port
        consul.register("mysql", "sick", 1, status="critical")
        consul.register("other", "c", 1)
        assert running.is_quiet(1.0)
        consul.deregister("a")
        assert watched(running) == ()
        running.finish()
    for id_ in ("sick", "c"):
        consul.deregister(id_)


def test_h14_two_watches_of_one_service_with_different_tags_are_independent(consul: ConsulServer) -> None:
    watches = Watch("one", 5.0, service="tagged", tag="one"), Watch("two", 5.0, service="tagged", tag="two")
    with catalog(consul.address, {}, *watches) as running:
        first = {tuple(running.receive() or ()) for _ in range(2)}
        assert first == {("watched", "one", ()), ("watched", "two", ())}
        consul.register("tagged", "a", 1, "one")
        assert watched(running, "one") == ("a 10.0.0.1:1",)
        consul.register("tagged", "b", 2, "two")
        assert watched(running, "two") == ("b 10.0.0.1:2",)
        assert running.is_quiet(0.5)
        running.finish()
    for id_ in ("a", "b"):
        consul.deregister(id_)


def test_a_watch_that_consul_refuses_is_told_once_and_the_others_go_on(consul: ConsulServer) -> None:
    watches = Watch("far", 1.0, service="x", datacenter="nowhere"), Watch("near", 1.0, service="x", datacenter="dc1")
    with catalog(consul.address, {}, *watches) as running:
        messages = [running.receive(), running.receive()]
        assert ("watched", "near", ()) in messages
        (trouble,) = troubles([message for message in messages if message])
        assert trouble.startswith("watch 'far': Consul answers 500: No path to datacenter")
        assert trouble.endswith("[consul-refused]")
        assert running.is_quiet(2.5)
        running.finish()


# --- Consul goes away and comes back --------------------------------------------------------------------------


def test_h15_consul_that_dies_is_told_once_and_once_that_it_is_back(tmp_path: Path) -> None:
    watches = tuple(Watch(f"w{number}", 1.0, service="mysql") for number in range(3))
    with serving(tmp_path) as server, catalog(server.address, {"web": (WEB, 0.9)}, *watches) as running:
        server.register("mysql", "a", 1)
        unaware = {watch.name for watch in watches}
        while unaware:
            message = running.receive()
            assert message is not None and message[0] == "watched"
            if message[2]:
                unaware.remove(message[1])
        running.send("status", "web", "passing")
        wait_until(lambda: server.status(own("web")), "the registration")
        server.kill()
        (down,) = troubles(running.until("trouble"))
        assert down.startswith(f"Consul at {server.address}: ") and down.endswith("[consul-unreachable]")
        assert running.is_quiet(3.0), "no event while it is away"
        server.start()
        server.register("mysql", "a", 1)
        wait_until(lambda: server.status(own("web")) == "passing", "the registration anew")
        back = running.until("trouble", f"Consul at {server.address} answers again")
        assert len(troubles(back)) == 1
        running.send("finish")
        running.until("finished")
        assert own("web") not in server.services()


def test_h15_what_is_the_same_when_consul_comes_back_is_no_event() -> None:
    """A server of our own, for the real one forgets everything."""
    watch = Watch("db", 1.0, service="db")
    with listing(["a"]) as (port, listed), catalog(f"http://127.0.0.1:{port}", {}, watch) as running:
        assert watched(running) == ("a 10.0.0.9:1",)
        listed.broken = True
        assert "[consul-refused]" in str(running.receive())
        assert running.is_quiet(1.5)
        listed.broken = False
        assert running.receive() == ("trouble", "watch 'db': Consul accepts it")
        assert running.is_quiet(1.5)
        listed.names = ["b", "a"]
        assert watched(running) == ("a 10.0.0.9:1", "b 10.0.0.9:1")
        listed.asked.clear()
        listed.index = 3
        wait_until(lambda: "3" in listed.asked, "a question with the new index")
        assert "0" in listed.asked, "an index that goes backwards begins anew"
        listed.names = ["c"]
        assert watched(running) == ("c 10.0.0.9:1",)
        running.finish()


def test_h15_consul_that_was_never_there_holds_up_nobody_and_is_found_when_it_comes(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.kill()
        with catalog(server.address, {"web": (WEB, 5.0)}, Watch("db", 1.0, service="mysql")) as running:
            for status in ("passing", "critical", "passing"):
                running.send("status", "web", status)
            (down,) = troubles(running.until("trouble"))
            assert "refused" in down
            server.start()
            messages = running.until("watched", "db", ())
            wait_until(lambda: server.status(own("web")) == "passing", "the registration")
            if not troubles(messages):
                messages = running.until("trouble")
            assert troubles(messages) == [f"Consul at {server.address} answers again"]
            running.finish()


def test_consul_that_is_gone_at_the_end_is_not_waited_for(tmp_path: Path) -> None:
    with serving(tmp_path) as server, catalog(server.address, {"web": (WEB, 5.0)}) as running:
        running.send("status", "web", "passing")
        wait_until(lambda: server.status(own("web")), "the registration")
        server.kill()
        assert farewell(running) < FAREWELL - 0.1
        running.finish()


def test_consul_that_hangs_at_the_end_is_waited_for_less_than_two_seconds(tmp_path: Path) -> None:
    with serving(tmp_path) as server, catalog(server.address, {"web": (WEB, 1.0)}) as running:
        running.send("status", "web", "passing")
        wait_until(lambda: server.status(own("web")), "the registration")
        server.pause(signal.SIGSTOP)
        try:
            assert FAREWELL - 0.5 < farewell(running) < 4.5  # the answer would be awaited for 5 s
            running.finish()
        finally:
            server.pause(signal.SIGCONT)


def test_a_catalog_that_hears_of_nothing_ends_at_once(consul: ConsulServer) -> None:
    with catalog(consul.address, {"web": (WEB, 5.0)}, Watch("db", 60.0, service="mysql")) as running:
        assert watched(running) == ()
        assert farewell(running) < FAREWELL - 0.1
        running.finish()


# --- settings -------------------------------------------------------------------------------------------------


def test_files_of_certificates_that_are_not_there_are_told_and_nothing_else_happens(tmp_path: Path) -> None:
    settings = Consul("https://127.0.0.1:1", ca_file=str(tmp_path / "none.pem"))
    with catalog("", {"web": (WEB, 5.0)}, Watch("db", 1.0, service="db"), consul=settings) as running:
        (trouble,) = troubles(running.until("trouble"))
        assert "is not used: " in trouble and trouble.endswith("[consul-settings]")
        running.send("status", "web", "passing")
        running.send("finish")
        assert running.receive() == ("finished",)


def test_the_token_of_the_environment_is_sent_and_no_proxy_is_asked() -> None:
    environ = {"CONSUL_HTTP_TOKEN": "from-environment", "http_proxy": f"http://127.0.0.1:{free_port()}"}
    with listing([]) as (port, listed):
        environ["CONSUL_HTTP_ADDR"] = f"127.0.0.1:{port}"
        settings = Consul(f"http://localhost:{port}", token="from-file")
        with catalog("", {}, Watch("db", 1.0, service="db"), consul=settings, environ=environ) as running:
            assert watched(running) == ()
            running.finish()
    assert set(listed.tokens) == {"from-environment"}


def test_the_token_of_the_environment_is_not_sent_to_a_server_that_only_the_file_names() -> None:
    environ = {"CONSUL_HTTP_TOKEN": "from-environment"}
    with listing([]) as (port, listed):
        settings = Consul(f"http://127.0.0.1:{port}", token="from-file")
        with catalog("", {}, Watch("db", 1.0, service="db"), consul=settings, environ=environ) as running:
            (trouble,) = troubles(running.until("trouble"))
            assert "does not get CONSUL_HTTP_TOKEN" in trouble and trouble.endswith("[consul-secrets]")
            assert watched(running) == ()
            running.finish()
    assert set(listed.tokens) == {"from-file"}


class Listed:
    """What the server of `listing` answers, and what it was asked: the indexes and tokens."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.index = 7
        self.broken = False
        self.asked: list[str] = []
        self.tokens: list[str] = []


@contextmanager
def listing(names: list[str]) -> Iterator[tuple[int, Listed]]:
    """Serve a health API that answers at once; give its port and what it says."""
    listed = Listed(names)

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = dict(pair.split("=") for pair in self.path.partition("?")[2].split("&"))
            listed.asked.append(query.get("index", "0"))
            listed.tokens.append(self.headers.get("X-Consul-Token", ""))
            entries = ",".join(
                f'{{"Node": {{"Address": "10.0.0.9"}}, "Service": {{"ID": "{name}", "Address": "", "Port": 1}}}}'
                for name in listed.names
            )
            self.send_response(503 if listed.broken else 200)
            self.send_header("X-Consul-Index", str(listed.index))
            self.end_headers()
            self.wfile.write(f"[{entries}]".encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Health)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port, listed
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_address_that_swallows_everything_keeps_no_channel_waiting() -> None:
    """Connections are made, answers never come."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with catalog(address, {"web": (WEB, 1.0)}, Watch("db", 1.0, service="db")) as running:
            for _ in range(2000):
                running.send("status", "web", "passing")
                running.send("status", "web", "critical")
            (trouble,) = troubles(running.until("trouble"))
            assert "no answer within 5 s" in trouble
            assert farewell(running) < 4.5
            running.finish()
