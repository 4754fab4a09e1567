"""The built-in commands that need no running: `_list` and `_doctor`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from vaggapy.cli import argv, console
from vaggapy.cli.listing import ListFlags, list_text
from vaggapy.config.model import Project
from vaggapy.errors import ConfigError, ExitCode, UsageError, VaggaError

# The original vagga's code for a wrong command line of `_list`; its other commands have 122.
LIST_USAGE = 2

LIST = {
    **argv.HELP,
    "--containers": (argv.FLAG, "containers", ""),
    "-A": (argv.FLAG, "every", ""),
    "--all": (argv.FLAG, "every", ""),
    "--hidden": (argv.FLAG, "hidden", ""),
    "--builtin": (argv.FLAG, "builtin", ""),
    "--zsh": (argv.FLAG, "zsh", ""),
    "--no-aliases": (argv.FLAG, "no_aliases", ""),
    "-v": (argv.FLAG, "verbose", ""),
    "--verbose": (argv.FLAG, "verbose", ""),
}


def list_flags(words: tuple[str, ...]) -> ListFlags | None:
    """Return what the words after `_list` ask for; None is help.

    Raises:
        UsageError: exit code 2.
    """
    try:
        keys = given_keys("_list", words, LIST)
    except UsageError as error:
        raise UsageError(error.what, error.remedy, error.name, LIST_USAGE) from None
    return None if "help" in keys else ListFlags(**dict.fromkeys(keys, True))


def list_project(flags: ListFlags, load: Callable[[], Project]) -> int:
    """Print the list and return the exit code.

    Without a readable project the built-in commands are printed, one line on stderr says why, and the code is that
    of the error (126): the list is not what was asked for, and whoever uses it must be able to know.
    """
    try:
        project = load()
    except VaggaError as error:
        print(list_text(None, flags), end="", flush=True)
        print(VaggaError(*_incomplete(error)).lines()[0], file=sys.stderr)
        return error.code
    print(list_text(project, flags), end="", flush=True)
    return ExitCode.OK


def doctor_help(words: tuple[str, ...]) -> bool:
    """Return whether the words after `_doctor` ask for help.

    Raises:
        UsageError: exit code 122.
    """
    return "help" in given_keys("_doctor", words, argv.HELP)


def doctor(color: str) -> int:
    """Try what vagga needs, print the results and return 0 if all that is needed works, else 124."""
    # Here and not above: it loads what makes sandboxes, of which help and lists need nothing.
    from vaggapy.sandbox.doctor import checks

    found = checks()
    console.show_checks(found, color)
    return verdict(found)


def verdict(checks: Sequence[console.Shown]) -> int:
    """Return 0 if every check that is needed is ok, else 124."""
    return ExitCode.OK if all(check.state == console.OK for check in checks if check.needed) else ExitCode.SANDBOX


def given_keys(name: str, words: tuple[str, ...], known: dict[str, tuple[str, str, str]]) -> set[str]:
    """Return the keys of all flags that were given; `help` ends the reading."""
    keys: set[str] = set()
    for key, value, _ in argv.scan(words, known, f"vagga {name}"):
        if not key:
            raise UsageError(
                f"Unexpected argument {value}",
                f"{name} takes options only, see vagga {name} --help",
                "unexpected-argument",
            )
        keys.add(key)
        if key == "help":
            break
    return keys


def _incomplete(error: VaggaError) -> tuple[str, str, str]:
    """Return the parts of the line that says why a list is not complete."""
    what, remedy = error.what, error.remedy
    if isinstance(error, ConfigError):
        what = f"{error.problems[0].mark}: {what}"
        if len(error.problems) > 1:
            what += f", and {len(error.problems) - 1} more"
    return f"only built-in commands are listed: {what}", remedy, error.name
