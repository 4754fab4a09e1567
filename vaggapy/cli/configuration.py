"""The built-in commands about what is written: `_check`, `_dump_config`, `_settings`."""

from __future__ import annotations

import os

from vaggapy.cli import argv
from vaggapy.cli.app import help_text
from vaggapy.cli.builtin import given_keys
from vaggapy.errors import ExitCode, UsageError
from vaggapy.host import current_directory, probe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vaggapy.cli.argv import Options
    from vaggapy.config.model import Project

FLAGS = {
    "_check": argv.HELP,
    "_dump_config": {**argv.HELP, "--pretty": (argv.FLAG, "pretty", "")},
    "_settings": {**argv.HELP, "--json": (argv.FLAG, "json", "")},
}
DUMP_USAGE = 2
"""The original vagga's exit code for a wrong command line of `_dump_config`."""


def run(name: str, words: tuple[str, ...], options: Options, load: Callable[[], Project]) -> int:
    """Do one of these commands and return its exit code.

    Raises:
        VaggaError: the words are wrong, or what was to be looked at is.
    """
    given = _flags(name, words)
    if "help" in given:
        print(help_text(name), end="")
        return ExitCode.OK
    if name == "_dump_config":
        from vaggapy.cli.dump import dump_config  # each command has its own imports

        return dump_config("pretty" in given, load)
    if name == "_settings":
        from vaggapy.cli.settings import show_settings  # the same

        return show_settings("json" in given, current_directory(), options.file, os.environ)
    from vaggapy.cli.check import check  # the same
    from vaggapy.cli.listing import BUILTINS  # the same
    from vaggapy.config.load import find  # the same

    host = probe()
    return check(find(host.directory, options.file or None), host, BUILTINS)


def _flags(name: str, words: tuple[str, ...]) -> set[str]:
    """Return the flags that were given.

    Raises:
        UsageError: exit code 122, for `_dump_config` 2.
    """
    try:
        return given_keys(name, words, FLAGS[name])
    except UsageError as error:
        code = DUMP_USAGE if name == "_dump_config" else 0
        raise UsageError(error.what, error.remedy, error.name, code) from None
