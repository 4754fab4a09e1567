"""Answer on PORT with the backends that `reload.py` has written; say in files that it does."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

BACKENDS = Path("data/backends")
SERVING = Path("data/serving")


class Answer(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        """Send the backends, one a line."""
        text = BACKENDS.read_bytes() if BACKENDS.exists() else b""
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: object) -> None:
        """Be quiet."""


def main() -> None:
    """Serve until it is told to stop."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer)
    Path("/tmp/serving").touch()  # in the /tmp of this run only, where its health check looks
    SERVING.touch()
    print("serving", flush=True)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    finally:
        SERVING.unlink()


if __name__ == "__main__":
    main()
