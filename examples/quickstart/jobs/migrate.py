"""`migrate`: create the database, or bring its schema up to date. Runs before the application."""

from __future__ import annotations

from jobs import store
from jobs.process import run, say


def main() -> None:
    file = store.path()
    before, after = store.migrate(file)
    if before == after:
        say(f"{file} has version {after} already")
    else:
        say(f"{file} is now at version {after} (was {before})")


if __name__ == "__main__":
    run(main)
