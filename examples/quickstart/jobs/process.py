"""How every program of this application starts, speaks and stops."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(BaseException):
    """SIGTERM or SIGINT came. Not an `Exception`: only `run` may catch it for good."""


class RunError(Exception):
    """The program cannot go on, for a reason that one line explains."""


def say(text: str) -> None:
    """Write one line at once, also when nobody's terminal is at the other end."""
    print(text, flush=True)


def setting(name: str, default: int, highest: int) -> int:
    """Return a whole number from the environment, 0..`highest`."""
    text = os.environ.get(name, str(default))
    if not text.isascii() or not text.isdigit() or int(text) > highest:
        raise RunError(f"{name} must be a number from 0 to {highest}, not {text!r}")
    return int(text)


def run(main: Callable[[], None]) -> None:
    """Run `main` and exit: 0 at its end or when told to stop, 1 with one line on a `RunError`."""

    def stop(number: int, _frame: object) -> None:
        raise Stopped(signal.Signals(number).name)

    for number in STOP_SIGNALS:
        signal.signal(number, stop)
    try:
        main()
    except Stopped as why:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        say(f"stopped by {why}")
    except RunError as why:
        print(why, file=sys.stderr, flush=True)
        sys.exit(1)
