"""`ticker`: submit one job a second through the HTTP API of `web`, and wait patiently while that is away."""

from __future__ import annotations

import json
import time
import urllib.request
from http.client import HTTPException
from itertools import cycle

from jobs.process import run, say, setting

KINDS = (("primes", 200_000), ("collatz", 20_000), ("digest", 50_000), ("partitions", 600))
RETRY_SECONDS = 0.2
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # web is here: no proxy on the way


def submit(url: str, kind: str, size: int) -> int:
    """Submit one job and return its number."""
    body = json.dumps({"kind": kind, "size": size}).encode()
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    with DIRECT.open(request, timeout=5) as answer:
        return int(json.load(answer)["id"])


def submit_when_possible(url: str, kind: str, size: int) -> int:
    """Submit one job, trying again for as long as nobody answers."""
    waiting = False
    while True:
        try:
            return submit(url, kind, size)
        except (OSError, HTTPException, ValueError, LookupError) as error:  # refused, cut off, or not our web at all
            if not waiting:
                say(f"waiting for web ({getattr(error, 'reason', error)})")
            waiting = True
            time.sleep(RETRY_SECONDS)


def main() -> None:
    url = f"http://127.0.0.1:{setting('PORT', 8000, 65535)}/jobs"
    interval = setting("TICK_MILLISECONDS", 1000, 3_600_000) / 1000
    due = time.monotonic()
    for kind, size in cycle(KINDS):
        number = submit_when_possible(url, kind, size)
        say(f"submitted job {number} ({kind} {size})")
        # After a long wait for web, go on from now: no burst of the seconds that were missed.
        due = max(due + interval, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    run(main)
