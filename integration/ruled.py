"""What tests of rules are written with: shell text that waits, groups, a server that answers as it is told."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from integration.runs import PATIENCE, Project, Result, Running, free_port, wait_until
from integration.test_status_records import Record, only, run_recorded

__all__ = ["Record", "Server", "count", "finished", "free_port", "group", "only", "run_recorded", "serving", "until"]

STAY = "exec sleep 6000"
END = "until test -e /work/end; do sleep 0.02; done"
"""A child that lasts until the test (or another child) makes the file `end`."""


def until(*names: str) -> str:
    """Return shell text that waits for files in the project."""
    return "".join(f"until test -e /work/{name}; do sleep 0.01; done; " for name in names)


def count(project: Project, name: str) -> int:
    """Return how many lines a run has written to a file of the project."""
    return project.read(name).count("\n")


def group(children: Mapping[str, object], **keys: object) -> str:
    """Return the text of a command `up` that keeps going, with these children; a child is all of its keys.

    JSON is YAML, so any value will do. Keys of the group are written with `_` for `-`.
    """
    own = {"mode": "keep-going", **keys}
    lines = [f"    {key.replace('_', '-')}: {json.dumps(value)}\n" for key, value in own.items()]
    for name, what in children.items():
        child = {"container": "host", **(what if isinstance(what, dict) else {"run": what})}
        lines.append(f"      {name}: !Command {json.dumps(child)}\n")
    cut = len(own)
    return f"  up: !Supervise\n{''.join(lines[:cut])}    children:\n{''.join(lines[cut:])}"


def finished(project: Project, run: Running) -> Result:
    """Let the children that wait for the file `end` end, and return the end of the run."""
    (project.directory / "end").touch()
    return run.finish()


class Server(socketserver.ThreadingTCPServer):
    """An HTTP server of the test. `answers`: the statuses of the next requests, the last one for all that follow.

    `asked`: how many requests have come. `holds`: while it is clear, requests wait for their answer.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # all that may come while this process gets no processor

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Page)
        self.answers = [200]
        self.asked = 0
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.lock = threading.Lock()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no trouble."""

    def wait_for(self, requests: int) -> None:
        """Wait until so many requests have come."""
        wait_until(lambda: self.asked >= requests, f"{requests} requests")


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer with the next status."""
        server = self.server
        assert isinstance(server, Server)
        with server.lock:
            server.asked += 1
            status = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        server.goes_on.wait(2 * PATIENCE)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(port: int = 0) -> Iterator[Server]:
    """Serve until the end of the block."""
    server = Server(port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.goes_on.set()
        server.shutdown()
        thread.join()
        server.server_close()
