"""A Consul server on this machine for tests: Debian's, which script/test puts into the virtual environment.

A test module imports `consul`, one server for all of its tests; a test that stops its server starts one by `serving`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from integration.runs import PATIENCE, free_ports, need, wait_until

__all__ = ["ConsulServer", "consul", "free_ports", "serving"]

BINARY = Path(sys.prefix) / "consul" / "usr" / "bin" / "consul"
PORTS = ("-http-port", "-server-port", "-serf-lan-port", "-serf-wan-port")


class ConsulServer:
    """A server that runs, or is stopped for a while: it comes back at the same address, and knows nothing."""

    def __init__(self, directory: Path, settings: Mapping[str, object] | None = None) -> None:
        """Start it and wait until it answers; with `settings` it listens for https, too, at `tls_address`."""
        found = shutil.which("consul") or str(BINARY)
        need(Path(found).exists(), "there is no Consul server (script/test fetches one)")
        self._directory = directory
        self._ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        words = [word for name, port in self._ports.items() for word in (name, str(port))]
        self._words = [found, "agent", "-dev", "-bind=127.0.0.1", "-client=127.0.0.1", "-node=here", "-log-level=err"]
        self._words += ["-dns-port=-1", "-grpc-port=-1", "-disable-host-node-id", *words]
        if settings is not None:
            (secure,) = free_ports(1)
            self.tls_address = f"https://127.0.0.1:{secure}"
            (directory / "settings.json").write_text(json.dumps({"ports": {"https": secure}, **settings}))
            self._words.append(f"-config-file={directory}/settings.json")
        self.address = f"http://127.0.0.1:{self._ports['-http-port']}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it and wait until it has a leader and is in its own catalog."""
        log = self._directory / "consul.log"
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                self._words,
                cwd=self._directory,
                env={"PATH": "/usr/bin:/bin", "HOME": str(self._directory), "TMPDIR": str(self._directory)},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        try:
            wait_until(self._is_ready, "Consul")
        except BaseException as error:
            self.kill()
            error.add_note(log.read_text(errors="replace"))
            raise

    def kill(self) -> None:
        """End it at once."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self, signal: int) -> None:
        """Stop it by a signal, or let it continue; its port stays open."""
        assert self._process
        self._process.send_signal(signal)

    def ask(self, path: str, method: str = "GET", body: object = None) -> Any:
        """Return what it answers, from JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}/v1{path}", data, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=PATIENCE) as response:
            text = response.read()
        return json.loads(text) if text else None

    def register(self, name: str, id_: str, port: int, *tags: str, status: str = "passing") -> None:
        """Register a service as another program would."""
        check = {"CheckID": f"check-{id_}", "TTL": "1h", "Status": status}
        body = {"ID": id_, "Name": name, "Port": port, "Tags": tags, "Address": "10.0.0.1", "Check": check}
        self.ask("/agent/service/register", "PUT", body)

    def deregister(self, id_: str) -> None:
        self.ask(f"/agent/service/deregister/{id_}", "PUT")

    def services(self) -> dict[str, Any]:
        """Return the registered services by id."""
        found: dict[str, Any] = self.ask("/agent/services")
        return found

    def status(self, id_: str) -> str:
        """Return passing, warning or critical, "" when there is no such service."""
        check = self.ask("/agent/checks").get(f"service:{id_}")
        return check["Status"] if check else ""

    def _is_ready(self) -> bool:
        if self._process and self._process.poll() is not None:
            pytest.fail("Consul has ended")
        try:
            return bool(self.ask("/status/leader") and self.ask("/health/service/consul?passing=1"))
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


@contextmanager
def serving(directory: Path, settings: Mapping[str, object] | None = None) -> Iterator[ConsulServer]:
    """Run a server whose files are in `directory`."""
    server = ConsulServer(directory, settings)
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulServer]:
    """Run one server for a module."""
    with serving(tmp_path_factory.mktemp("consul")) as server:
        yield server
