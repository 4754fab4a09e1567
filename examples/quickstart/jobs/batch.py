"""`batch KIND SIZE`: compute one job without queue or database, and exit."""

from __future__ import annotations

import sys

from jobs.kinds import KINDS, LARGEST
from jobs.process import RunError, run, say


def main() -> None:
    kind, size = (*sys.argv[1:], "", "")[:2]
    if kind not in KINDS or not size.isdigit() or not 0 < int(size) <= LARGEST:
        raise RunError(f"usage: batch {'|'.join(KINDS)} SIZE, with a size from 1 to {LARGEST}")
    say(f"{kind} {size} = {KINDS[kind](int(size))}")


if __name__ == "__main__":
    run(main)
