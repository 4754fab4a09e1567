"""`web`: the queue over HTTP, on 127.0.0.1 and $PORT (8000; 0 means any free one).

POST /jobs   {"kind": "primes", "size": 20000}   201 and the job
GET  /jobs                                       the latest 20 jobs
GET  /jobs/7                                     one job, or 404
GET  /health                                     how many jobs are in which state
"""

from __future__ import annotations

import errno
import json
import sys
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import ClassVar

from jobs import store
from jobs.kinds import KINDS, LARGEST
from jobs.process import RunError, run, say, setting

BIGGEST_BODY = 10_000


class Server(ThreadingTCPServer):
    """Answers each request in a thread of its own; threads do not keep the program from stopping."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Log a client that went away in one line, and anything else as the bug that it is."""
        error = sys.exc_info()[1]
        if isinstance(error, ConnectionError):
            say(f"a client went away ({error})")
        else:
            traceback.print_exc()


class Api(BaseHTTPRequestHandler):
    """One request."""

    timeout: ClassVar[float | None] = 10  # seconds that a client may keep silent

    def do_GET(self) -> None:
        self.respond(self.show)

    def do_POST(self) -> None:
        self.respond(self.submit)

    def respond(self, action: Callable[[store.Store], tuple[int, dict[str, object]]]) -> None:
        """Answer with what `action` returns; a database that cannot be used is the server's fault, 503."""
        try:
            queue = store.Store(store.path())
            try:
                status, body = action(queue)
            finally:
                queue.close()
        except RunError as error:
            status, body = 503, {"error": str(error)}
        data = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def show(self, queue: store.Store) -> tuple[int, dict[str, object]]:
        """Return what GET asks for."""
        if self.path == "/health":
            return 200, {"status": "ok", "jobs": queue.counts()}
        if self.path == "/jobs":
            return 200, {"jobs": [job._asdict() for job in queue.latest(20)]}
        number = self.path.removeprefix("/jobs/")
        job = queue.job(int(number)) if number.isascii() and number.isdigit() and len(number) < 19 else None
        if job is None:
            return 404, {"error": f"there is no {self.path}"}
        return 200, job._asdict()

    def submit(self, queue: store.Store) -> tuple[int, dict[str, object]]:
        """Put the job of a POST into the queue."""
        if self.path != "/jobs":
            return 404, {"error": f"there is no {self.path}"}
        try:
            kind, size = self.read_job()
        except (ValueError, RecursionError) as error:
            return 400, {"error": str(error)}
        return 201, queue.submit(kind, size)._asdict()

    def read_job(self) -> tuple[str, int]:
        """Return kind and size from the body; `ValueError` says what is wrong with it."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > BIGGEST_BODY:
            raise ValueError(f"Content-Length must be there and at most {BIGGEST_BODY}")
        body = json.loads(self.rfile.read(int(length)))
        if not isinstance(body, dict):
            raise ValueError("the body must be an object")  # noqa: TRY004 - one kind of error for the caller
        kind, size = body.get("kind"), body.get("size", 1000)
        if not isinstance(kind, str) or kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}")
        if type(size) is not int or not 0 < size <= LARGEST:
            raise ValueError(f"size must be a whole number from 1 to {LARGEST}")
        return kind, size

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log each answer in one line of the program's own output."""
        self.log_message("%s: %s", self.requestline, code)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Keep control characters of a request away from the terminal."""
        say("".join(c if c.isprintable() else "?" for c in format % args))


def main() -> None:
    port = setting("PORT", 8000, 65535)
    store.Store(store.path()).close()  # better to say now that there is no database than at the first request
    try:
        server = Server(("127.0.0.1", port), Api)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise RunError(f"cannot listen on port {port}: {error.strerror}") from error
        raise RunError(f"port {port} is in use (stop what uses it, or set PORT to another one)") from error
    with server:
        say(f"listening on http://127.0.0.1:{server.server_address[1]}")
        server.serve_forever()


if __name__ == "__main__":
    run(main)
