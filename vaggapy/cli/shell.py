"""The built-in commands about the command line itself: `_help`, `_completion`, `_compgen` and `_update_symlinks`.

`_compgen` runs at each Tab: nothing heavy is imported for it.
"""

from __future__ import annotations

import os
import sys

from vaggapy.cli import argv
from vaggapy.errors import ExitCode, UsageError, VaggaError, visible
from vaggapy.host import current_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vaggapy.cli.argv import Options
    from vaggapy.config.model import Project

    Load = Callable[[Options, str], Project]

SCRIPTS = {"bash": "vagga.bash", "fish": "vagga.fish", "zsh": "vagga.zsh"}
DESCRIBED = "--described"
LINKS = {
    **argv.HELP,
    "--local-only": (argv.FLAG, "local", ""),
    "--user-only": (argv.FLAG, "user", ""),
}


def run(name: str, words: tuple[str, ...], options: Options, load: Load) -> int:
    """Do one of these commands and return its exit code.

    Raises:
        VaggaError: it cannot be done.
    """
    if name == "_compgen":
        return _compgen(words, options, load)
    if name == "_help":
        return _help(words, options, load)
    if name == "_completion":
        return _completion(words)
    return _update_symlinks(words, options, load)


def _compgen(words: tuple[str, ...], options: Options, load: Load) -> int:
    """Print what may come next, one a line; never an error, which would stand in the middle of a command line."""
    from vaggapy.cli import complete  # the other commands do not need it

    described = words[:1] == (DESCRIBED,)
    typed, current = complete.split(words[described:])
    if words in (("-h",), ("--help",)):
        return _show_help("_compgen")
    file = complete.file_option(typed)
    try:
        project = load(argv.Options(file=file) if file else options, current_directory())
    except VaggaError:
        project = None
    lines = []
    for each in complete.candidates(typed, current, project):
        text = visible(each.text.strip().partition("\n")[0])
        if each.word.isprintable():
            lines.append(f"{each.word}\t{text}\n" if described else f"{each.word}\n")
    print("".join(lines), end="")
    return ExitCode.OK


def _help(words: tuple[str, ...], options: Options, load: Load) -> int:
    """Show the list of commands, or the help of one."""
    if words[:1] in (("-h",), ("--help",)):
        return _show_help("_help")
    if len(words) > 1:
        raise _unexpected("_help", words[1])
    from vaggapy.cli import listing  # `_compgen` does not need it

    if not words:
        print(listing.commands(load(options, current_directory())), end="", file=sys.stderr)
        return ExitCode.NOT_FOUND
    name = words[0]
    if name in listing.BUILTINS:
        return _show_help(name)
    try:
        project = load(options, current_directory())
    except VaggaError:
        if name.startswith("_"):
            raise listing.unknown_command(name, None) from None
        raise
    command = listing.resolve(project, name)
    if command.options:
        from vaggapy.cli import options as texts  # docopt takes 15 ms

        print(texts.help_text(command), end="")
    else:
        print(listing.command_help(command), end="")
    return ExitCode.OK


def _completion(words: tuple[str, ...]) -> int:
    """Print the completion script of a shell."""
    if words[:1] in (("-h",), ("--help",)):
        return _show_help("_completion")
    if not words:
        raise UsageError("Argument shell is required", f"one of {', '.join(SCRIPTS)}", "missing-argument")
    if len(words) > 1:
        raise _unexpected("_completion", words[1])
    if words[0] not in SCRIPTS:
        raise UsageError(f"Bad value {words[0]}", f"_completion knows {', '.join(SCRIPTS)}", "bad-option-value")
    with open(f"{os.path.dirname(__file__)}/completion/{SCRIPTS[words[0]]}", encoding="utf-8") as script:
        print(script.read(), end="")
    return ExitCode.OK


def _update_symlinks(words: tuple[str, ...], options: Options, load: Load) -> int:
    """Make the links of commands with `symlink-name`."""
    given: set[str] = set()
    for key, value, _ in argv.scan(words, LINKS, "vagga _update_symlinks"):
        if key == "help":
            return _show_help("_update_symlinks")
        if not key:
            raise _unexpected("_update_symlinks", value)
        given.add(key)
    if len(given) > 1:
        raise UsageError(
            "--local-only and --user-only exclude each other", "without both, both kinds are made", "bad-option-value"
        )
    from vaggapy.cli import symlinks  # the other commands do not need it

    project = load(options, current_directory())
    made = symlinks.update(project, os.environ, local="user" not in given, user="local" not in given)
    for path in made if options.verbose else ():
        print(path)
    if not project.settings.run_symlinks_as_commands:
        print(
            "vagga: warning: the links have no effect (the setting run-symlinks-as-commands is false) [symlinks-off]",
            file=sys.stderr,
        )
    return ExitCode.OK


def _show_help(name: str) -> int:
    from vaggapy.cli.app import help_text  # typer takes 40 ms

    print(help_text(name), end="")
    return ExitCode.OK


def _unexpected(name: str, word: str) -> UsageError:
    return UsageError(f"Unexpected argument {word}", f"see vagga {name} --help", "unexpected-argument")
