"""The queue: one SQLite file that `web` and `worker` share, each from its own container."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

from jobs.process import RunError

DEFAULT_PATH = Path(__file__).resolve().parent.parent / "data" / "app.sqlite"

# Each entry brings the schema one version further; never change one that was released, add the next.
MIGRATIONS = (
    """CREATE TABLE job (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        size INTEGER NOT NULL,
        state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done')),
        result TEXT NOT NULL DEFAULT ''
    )""",
    "CREATE INDEX job_by_state ON job (state, id)",
)
FIELDS = "id, kind, size, state, result"


class Job(NamedTuple):
    """One row of the queue."""

    id: int
    kind: str
    size: int
    state: str
    result: str


def path() -> Path:
    """Return where the database is: `data/app.sqlite` beside the package, or $DATABASE."""
    return Path(os.environ.get("DATABASE") or DEFAULT_PATH)


def migrate(file: Path) -> tuple[int, int]:
    """Create the database or bring it up to date; return the schema's version before and after.

    Two of these may run at once: the write lock is taken before the version is read.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(file, timeout=10, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")  # readers do not wait for the writer
            connection.execute("BEGIN IMMEDIATE")
            before: int = connection.execute("PRAGMA user_version").fetchone()[0]
            for statement in MIGRATIONS[before:]:
                connection.execute(statement)
            after = max(before, len(MIGRATIONS))
            connection.execute(f"PRAGMA user_version = {after}")
            connection.execute("COMMIT")
        finally:
            connection.close()
    except (OSError, sqlite3.Error) as error:
        raise RunError(f"cannot write {file}: {error}") from error
    return before, after


class Store:
    """One connection to the queue. Every method is one statement, so each is all or nothing."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            raise RunError(f"there is no database {file} (run migrate first)")
        self._file = file
        self._connection = sqlite3.connect(file, timeout=10, isolation_level=None)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def submit(self, kind: str, size: int) -> Job:
        """Append a job to the queue."""
        row = self._rows(f"INSERT INTO job (kind, size) VALUES (?, ?) RETURNING {FIELDS}", kind, size)
        return row[0]

    def take(self) -> Job | None:
        """Take the oldest waiting job, or none. However many workers ask, each job is taken once."""
        rows = self._rows(
            "UPDATE job SET state = 'running' WHERE id = "
            f"(SELECT id FROM job WHERE state = 'waiting' ORDER BY id LIMIT 1) RETURNING {FIELDS}"
        )
        return rows[0] if rows else None

    def give_back(self, job: Job) -> None:
        """Let a job wait again: its worker was told to stop before the result was there."""
        self._rows("UPDATE job SET state = 'waiting' WHERE id = ? AND state = 'running'", job.id)

    def finish(self, job: Job, result: str) -> None:
        """Store the result of a job that was taken."""
        self._rows("UPDATE job SET state = 'done', result = ? WHERE id = ? AND state = 'running'", result, job.id)

    def job(self, number: int) -> Job | None:
        """Return one job, or none of that number."""
        rows = self._rows(f"SELECT {FIELDS} FROM job WHERE id = ?", number)
        return rows[0] if rows else None

    def latest(self, count: int) -> list[Job]:
        """Return the newest jobs, newest first."""
        return self._rows(f"SELECT {FIELDS} FROM job ORDER BY id DESC LIMIT ?", count)

    def counts(self) -> dict[str, int]:
        """Return how many jobs are in each state."""
        rows = self._execute("SELECT state, count(*) FROM job GROUP BY state ORDER BY state")
        return {str(state): int(count) for state, count in rows}

    def _rows(self, statement: str, *values: int | str) -> list[Job]:
        return [Job(*row) for row in self._execute(statement, *values)]

    def _execute(self, statement: str, *values: int | str) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise RunError(f"cannot use {self._file}: {error}") from error
