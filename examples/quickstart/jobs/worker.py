"""`worker`: take jobs from the queue, compute them, store the results. Several may run at once."""

from __future__ import annotations

import time

from jobs import store
from jobs.kinds import KINDS
from jobs.process import Stopped, run, say

IDLE_SECONDS = 0.1


def main() -> None:
    queue = store.Store(store.path())
    say("waiting for jobs")
    while True:
        job = queue.take()
        if job is None:
            time.sleep(IDLE_SECONDS)
        else:
            work(queue, job)


def work(queue: store.Store, job: store.Job) -> None:
    """Compute one job. If that crashes, the job stays `running`: it is not tried a second time."""
    begin = time.monotonic()
    try:
        result = KINDS[job.kind](job.size)
    except Stopped:
        queue.give_back(job)
        raise
    queue.finish(job, result)
    say(f"job {job.id}: {job.kind} {job.size} = {result} ({(time.monotonic() - begin) * 1000:.0f} ms)")


if __name__ == "__main__":
    run(main)
