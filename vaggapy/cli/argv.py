"""The command line by hand: `vagga [GLOBAL OPTIONS] COMMAND [ARGS]`, for every start and without an import.

Words go in, values come out; nothing is read from the machine. The texts of usage errors begin as those of the
original vagga do (`Unknown option --x`, `Unexpected argument X`), because scripts match on them.
"""

from __future__ import annotations

from vaggapy.errors import ExitCode, UsageError
from vaggapy.record import Record
from vaggapy.spelling import closest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# How an option takes its value: not at all, one, all words up to the next one that starts with `-`; or not yet.
FLAG = "flag"
VALUE = "value"
LIST = "list"
LATER = "later"

# Name -> (how it takes a value, key of the result, what a flag means). Several names may share a key.
HELP = {"-h": (FLAG, "help", ""), "--help": (FLAG, "help", "")}
BUILD = {
    # Choices of how to build; the last one counts.
    "--no-build": (FLAG, "build", "no-build"),
    "--no-image-download": (FLAG, "build", "no-image-download"),
    "--no-version-check": (FLAG, "build", "no-version-check"),
}
GLOBAL = {
    **HELP,
    "-V": (FLAG, "version", ""),
    "--version": (FLAG, "version", ""),
    "-f": (VALUE, "file", ""),
    "--file": (VALUE, "file", ""),
    "-E": (VALUE, "environ", ""),
    "--env": (VALUE, "environ", ""),
    "--environ": (VALUE, "environ", ""),
    "-e": (VALUE, "use-env", ""),
    "--use-env": (VALUE, "use-env", ""),
    "--dry-run": (FLAG, "dry-run", ""),
    "-v": (FLAG, "verbose", ""),
    "--verbose": (FLAG, "verbose", ""),
    "--color": (VALUE, "color", ""),
    "--no-color": (FLAG, "color", "never"),
    "--prefix": (FLAG, "prefix", "yes"),
    "--no-prefix": (FLAG, "prefix", ""),
    "--no-log-prefix": (FLAG, "prefix", ""),
    "--no-network": (FLAG, "isolate-network", ""),
    "--no-net": (FLAG, "isolate-network", ""),
    "--isolate-network": (FLAG, "isolate-network", ""),
    "--no-prerequisites": (FLAG, "no-prerequisites", ""),
    "--ignore-owner-check": (FLAG, "ignore-owner-check", ""),
    "--status-fd": (VALUE, "status-fd", ""),
    **BUILD,
    "-m": (LIST, "run-multi", ""),
    "--run-multi": (LIST, "run-multi", ""),
    "--containers-only": (FLAG, "containers-only", ""),
}
SUPERVISE = {
    **HELP,
    "--only": (LIST, "only", ""),
    "--exclude": (LIST, "exclude", ""),
    "--debug": (FLAG, "debug", ""),
    **BUILD,
}
RUN = {
    **HELP,
    "-W": (FLAG, "writable", ""),
    "--writeable": (FLAG, "writable", ""),
    "--writable": (FLAG, "writable", ""),
    **BUILD,
}

COLORS = ("auto", "always", "never")
SHOWN_CHOICES = 8


class Options(Record):
    """What the words before the command say.

    `file` empty: find the project from the current directory. `environ`: variables to set, by name; `remove`:
    names whose `VAGGAENV_` variable is ignored; `use_env`: names to copy from the caller. No name is in two of the
    three. `prefix` None: decided by the output. `status_fd` -1: no status records. `build`: empty, or one of no-build,
    no-version-check and no-image-download. `run_multi`: the commands of `-m`.
    """

    file: str = ""
    environ: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()
    use_env: tuple[str, ...] = ()
    dry_run: bool = False
    verbose: int = 0
    color: str = "auto"
    prefix: bool | None = None
    isolate_network: bool = False
    no_prerequisites: bool = False
    ignore_owner_check: bool = False
    status_fd: int = -1
    help: bool = False
    version: bool = False
    build: str = ""
    containers_only: bool = False
    run_multi: tuple[str, ...] = ()


class Invocation(Record):
    """One command line. `command` empty: vagga was called without a command."""

    options: Options
    command: str = ""
    arguments: tuple[str, ...] = ()


class Selection(Record):
    """What the words after a `!Supervise` command say; names and tags as written, not yet checked.

    `debug`: pause before a stop that no signal asks for.
    """

    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    help: bool = False
    build: str = ""
    debug: bool = False


class RunRequest(Record):
    """What the words after `_run` say."""

    container: str = ""
    words: tuple[str, ...] = ()
    help: bool = False
    writable: bool = False
    build: str = ""


def parse(words: tuple[str, ...]) -> Invocation:
    """Return what the words after `vagga` mean.

    `--help` and `--version` end the parsing where they stand.

    Raises:
        UsageError: exit code 122; 126 for a name given to `--use-env` that cannot be one.
    """
    last: dict[str, str] = {}
    environ: dict[str, str | None] = {}
    copied: dict[str, None] = {}
    several: list[str] = []
    verbose = 0
    command = ""
    arguments: tuple[str, ...] = ()
    for key, value, after in scan(words, GLOBAL, "vagga"):
        if key in ("help", "version"):
            return Invocation(Options(help=key == "help", version=key == "version"))
        if not key:
            if several:
                raise _unexpected(value, "the commands of --run-multi stand right behind it, and take no arguments")
            command, arguments = _command(value), words[after:]
            break
        if key == "environ":
            name, equals, text = value.partition("=")
            _check_environ(name, value)
            environ.pop(name, None)
            environ[name] = text if equals else None
        elif key == "use-env":
            _check_use_env(value)
            copied[value] = None
        elif key == "verbose":
            verbose += 1
        elif key == "run-multi":
            several.append(_command(value))
        else:
            _check(key, value)
            last[key] = value
    options = Options(
        file=last.get("file", ""),
        environ=tuple((name, text) for name, text in environ.items() if text is not None),
        remove=tuple(name for name, text in environ.items() if text is None),
        use_env=tuple(name for name in copied if name not in environ),
        dry_run="dry-run" in last,
        verbose=verbose,
        color=last.get("color", "auto"),
        prefix=bool(last["prefix"]) if "prefix" in last else None,
        isolate_network="isolate-network" in last,
        no_prerequisites="no-prerequisites" in last,
        ignore_owner_check="ignore-owner-check" in last,
        status_fd=int(last.get("status-fd", "-1")),
        build=last.get("build", ""),
        containers_only="containers-only" in last,
        run_multi=tuple(several),
    )
    return Invocation(options, command, arguments)


def parse_supervise(name: str, words: tuple[str, ...]) -> Selection:
    """Return what the words after the `!Supervise` command `name` mean.

    Raises:
        UsageError: exit code 122.
    """
    chosen: dict[str, list[str]] = {"only": [], "exclude": [], "build": []}
    debug = False
    for key, value, _ in scan(words, SUPERVISE, f"vagga {name}"):
        if key == "help":
            return Selection(help=True)
        if not key:
            raise _unexpected(value, f"children are chosen by --only and --exclude, see vagga {name} --help")
        if key == "build":
            chosen[key] = []
        if key in chosen:
            chosen[key].append(value)
        debug = debug or key == "debug"
    return Selection(tuple(chosen["only"]), tuple(chosen["exclude"]), build="".join(chosen["build"]), debug=debug)


def select(children: tuple[tuple[str, tuple[str, ...]], ...], selection: Selection) -> tuple[str, ...]:
    """Return the names of the children (name, tags) to run, in their order: `--only`, minus `--exclude`.

    The result may be empty.

    Raises:
        UsageError: a given name is neither a child nor a tag; exit code 122.
    """
    names = [name for name, _ in children]
    known = dict.fromkeys([*names, *sorted({tag for _, tags in children for tag in tags})])
    for option, values in (("--only", selection.only), ("--exclude", selection.exclude)):
        for value in values:
            if value not in known:
                near = closest(value, tuple(known))
                remedy = f'did you mean "{near}"?' if near else f"there are {_shorten(tuple(known))}"
                raise UsageError(f'{option}: "{value}" is neither a child nor a tag', remedy, "unknown-child")
    only, exclude = set(selection.only), set(selection.exclude)
    return tuple(
        name
        for name, tags in children
        if (not only or only.intersection((name, *tags))) and not exclude.intersection((name, *tags))
    )


def parse_command(name: str, accepts_arguments: bool, words: tuple[str, ...]) -> tuple[tuple[str, ...], bool]:
    """Return the arguments for the program of the `!Command` `name`, and whether its help is asked for.

    A program that accepts arguments gets every word, `--help` included.

    Raises:
        UsageError: a word for a program that accepts none; exit code 122.
    """
    if accepts_arguments:
        return words, False
    ended = words[:1] == ("--",)
    for word in words[ended:]:
        if word in HELP and not ended:
            return (), True
        option = word.partition("=")[0]
        only_groups = f"{option} is for commands with children" if option in SUPERVISE and option not in GLOBAL else ""
        raise _unexpected(word, only_groups or _misplaced(option, HELP) or f"{name} takes no arguments")
    return (), False


def parse_run(words: tuple[str, ...]) -> RunRequest:
    """Return what the words after `_run` mean: a container, then a program with its arguments.

    Raises:
        UsageError: exit code 122.
    """
    given: dict[str, str] = {}
    for key, value, after in scan(words, RUN, "vagga _run"):
        if key == "help":
            return RunRequest(help=True)
        given[key] = value
        if not key:
            if after == len(words):
                raise _missing("command")
            return RunRequest(value, words[after:], writable="writable" in given, build=given.get("build", ""))
    raise _missing("container")


def scan(
    words: tuple[str, ...], known: Mapping[str, tuple[str, str, str]], program: str
) -> Iterator[tuple[str, str, int]]:
    """Yield (key, value, index of the next word) for each option, with an empty key for each other word.

    `--` ends the options. A caller for whom the first other word ends them stops reading there.

    Raises:
        UsageError: at the word that is wrong; what stands before it has been yielded.
    """
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "--":
            for position in range(at, len(words)):
                yield "", words[position], position + 1
            return
        if word == "-" or not word.startswith("-"):
            yield "", word, at
            continue
        for name, (kind, key, meaning), value in _options(word, known, program):
            if kind == FLAG:
                yield key, meaning, at
            elif value is not None:
                yield key, value, at
            elif at == len(words) or (kind == LIST and words[at].startswith("-")):
                raise UsageError(
                    f'Option ["{name}"] requires an argument', f"see {program} --help", "option-needs-value"
                )
            elif kind == VALUE:
                at += 1
                yield key, words[at - 1], at
            else:
                while at < len(words) and not words[at].startswith("-"):
                    at += 1
                    yield key, words[at - 1], at


def _options(
    word: str, known: Mapping[str, tuple[str, str, str]], program: str
) -> Iterator[tuple[str, tuple[str, str, str], str | None]]:
    """Yield (name, its entry, attached value) for each option in one word: `--x=1`, `-x1`, `-abx1`."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        entry = _entry(name, known, program)
        if equals and entry[0] == FLAG:
            raise UsageError(
                f"Option {name} does not accept an argument", f"write it without ={value}", "option-takes-no-value"
            )
        yield name, entry, value if equals else None
        return
    for position, letter in enumerate(word[1:], 2):
        entry = _entry(f"-{letter}", known, program)
        if entry[0] != FLAG:
            yield f"-{letter}", entry, word[position:] or None
            return
        yield f"-{letter}", entry, None


def _entry(name: str, known: Mapping[str, tuple[str, str, str]], program: str) -> tuple[str, str, str]:
    entry = known.get(name)
    if entry is None:
        what = f"Unknown option {name}" if name.startswith("--") else f'Unknown short option "{name[1:]}"'
        remedy = _misplaced(name, known) or _similar(name, known) or f"see {program} --help"
        raise UsageError(what, remedy, "unknown-option")
    if entry[0] == LATER:
        raise UsageError(
            f"Option {name} is known but not available in this version",
            f"see {program} --help for those that are",
            "option-not-available",
        )
    return entry


def _misplaced(name: str, known: Mapping[str, object]) -> str:
    """Return the remedy for an option on the wrong side of the command, or ''."""
    if name in known:
        return ""
    if name in GLOBAL:
        return f"{name} is an option of vagga itself and comes before the command"
    if name in SUPERVISE:
        return f"{name} comes after the command"
    return ""


def _similar(name: str, known: Mapping[str, object]) -> str:
    """Return the remedy for a misspelled or abbreviated long option, or ''."""
    if not name.startswith("--"):
        return ""
    names = tuple(option for option in known if option.startswith("--"))
    longer = [option for option in names if len(name) > len("--x") and option.startswith(name)]
    near = longer[0] if len(longer) == 1 else closest(name, names)
    return f"did you mean {near}?" if near else ""


def _command(word: str) -> str:
    if not word:
        raise UsageError("Bad value for the command: it is empty", "see vagga --help", "bad-option-value")
    return word


def _check(key: str, value: str) -> None:
    """Refuse a value that the option `key` cannot have."""
    if key == "color" and value not in COLORS:
        raise _bad(value, "--color takes auto, always or never")
    # Longer numbers are no descriptors; `isdigit` alone would take digits that `int` refuses.
    if key == "status-fd" and not (value.isascii() and value.isdigit() and len(value) <= len("999999")):
        raise _bad(value, "--status-fd takes the number of an open file descriptor")
    if key == "file" and not value:
        raise _bad('""', "--file takes the path of a vagga.yaml")


def _check_environ(name: str, value: str) -> None:
    if not name:
        raise _bad(value or '""', "--environ takes NAME=VALUE, or NAME to remove it")


def _check_use_env(name: str) -> None:
    if not name or "=" in name:
        raise UsageError(
            f'Error propagating environment: "{name}" cannot be the name of a variable',
            "--use-env copies a variable of yours; --environ NAME=VALUE sets one",
            "bad-variable-name",
            code=ExitCode.CONFIG,
        )


def _bad(value: str, remedy: str) -> UsageError:
    return UsageError(f"Bad value {value}", remedy, "bad-option-value")


def _unexpected(word: str, remedy: str) -> UsageError:
    return UsageError(f"Unexpected argument {word}", remedy, "unexpected-argument")


def _missing(what: str) -> UsageError:
    return UsageError(
        f"Argument {what} is required", "write vagga _run CONTAINER COMMAND [ARGUMENTS]", "missing-argument"
    )


def _shorten(names: tuple[str, ...]) -> str:
    if len(names) <= SHOWN_CHOICES:
        return ", ".join(names)
    return f"{', '.join(names[:SHOWN_CHOICES])} and {len(names) - SHOWN_CHOICES} more"
