"""The application's own tests: `vagga test`, or `python3 -m unittest discover -s tests` in this directory."""

from __future__ import annotations

import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jobs import store
from jobs.kinds import KINDS
from jobs.process import RunError


def take_all(file: Path) -> list[int]:
    """Take jobs until none is left; return their numbers."""
    queue = store.Store(file)
    taken = []
    while job := queue.take():
        taken.append(job.id)
    queue.close()
    return taken


class TestKinds(unittest.TestCase):
    def test_each_kind_gives_the_known_result(self) -> None:
        self.assertEqual(KINDS["primes"](100), "25 primes")
        self.assertEqual(KINDS["primes"](1), "0 primes")
        self.assertEqual(KINDS["collatz"](28), "111 steps from 27")
        self.assertEqual(KINDS["partitions"](100), "190569292 partitions")
        self.assertEqual(KINDS["digest"](1), "sha256 ed4f0b24c4525834")

    def test_crash_is_not_caught(self) -> None:
        with self.assertRaises(RuntimeError):
            KINDS["crash"](1)


class TestStore(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.file = Path(directory.name) / "data" / "app.sqlite"

    def queue(self) -> store.Store:
        store.migrate(self.file)
        queue = store.Store(self.file)
        self.addCleanup(queue.close)
        return queue

    def test_migrate_twice_changes_nothing_the_second_time(self) -> None:
        self.assertEqual(store.migrate(self.file), (0, 2))
        self.assertEqual(store.migrate(self.file), (2, 2))

    def test_without_a_database_the_store_says_what_to_do(self) -> None:
        with self.assertRaisesRegex(RunError, "run migrate first"):
            store.Store(self.file)

    def test_jobs_come_out_in_the_order_they_went_in(self) -> None:
        queue = self.queue()
        submitted = [queue.submit("primes", size) for size in (3, 1, 2)]
        taken = [queue.take() for _ in range(4)]
        self.assertEqual([job and job.id for job in taken], [job.id for job in submitted] + [None])

    def test_a_finished_job_keeps_its_result(self) -> None:
        queue = self.queue()
        queue.submit("primes", 10)
        job = queue.take()
        assert job is not None
        queue.finish(job, "4 primes")
        self.assertEqual(queue.job(job.id), job._replace(state="done", result="4 primes"))
        self.assertEqual(queue.counts(), {"done": 1})

    def test_a_job_that_is_given_back_waits_again(self) -> None:
        queue = self.queue()
        queue.submit("primes", 10)
        job = queue.take()
        assert job is not None
        queue.give_back(job)
        self.assertEqual(queue.take(), job)

    def test_four_workers_at_once_take_each_job_once(self) -> None:
        queue = self.queue()
        numbers = [queue.submit("primes", 10).id for _ in range(40)]
        with ThreadPoolExecutor(4) as pool:  # one connection each, as separate processes have
            taken = [number for part in pool.map(take_all, [self.file] * 4) for number in part]
        self.assertEqual(sorted(taken), numbers)


if __name__ == "__main__":
    unittest.main()
