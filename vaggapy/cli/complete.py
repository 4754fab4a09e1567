"""What may come next on a command line, for the shells' completion. Pure, and quick to import: it runs at each Tab.

Source: vagga.md 1.9. Differs: `--writeable` as it is really written, `-m`, `--no-prerequisites` and our own options are
known, a container that cannot be built is not offered to `_build`, and the options that a text of `options`
describes are offered.
"""

from __future__ import annotations

from vaggapy.cli import argv
from vaggapy.cli.argv import FLAG, LIST, VALUE
from vaggapy.cli.listing import BUILTINS
from vaggapy.config.model import Command, Supervise
from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from vaggapy.config.model import Project

    Table = Mapping[str, tuple[str, str, str]]

# The order in which they are offered; all others follow.
FIRST_OPTIONS = (
    *("-V", "--version", "-E", "--env", "--environ", "-e", "--use-env", "--ignore-owner-check"),
    *(
        "--only",
        "--exclude",
        "--no-image-download",
        "--no-build",
        "--no-version-check",
        "--no-net",
        "--no-network",
        "--isolate-network",
    ),
)
FIRST_BUILTINS = (
    *("_build", "_build_shell", "_clean", "_create_netns", "_destroy_netns", "_init_storage_dir", "_list"),
    *("_pack_image", "_push_image", "_run", "_run_in_netns", "_version_hash", "_check_overlayfs_support"),
    *("_base_dir", "_relative_work_dir", "_update_symlinks"),
)
REPEATABLE = ("environ", "use-env", "verbose")
SELECTION = ("only", "exclude")
SIMULATED = ("--kill", "--exit", "--ready", "--fail", "--signal", "stubborn", *SELECTION)
SHELLS = ("bash", "fish", "zsh")

RUNNABLE = "containers to run something in"
BUILDABLE = "containers that are built"
NAMES = "commands"
SHELL_NAMES = "shells"
RUN_COMMAND = "a command, then options with its children"
NOTHING = ""


class Follows(Record):
    """What may follow a built-in command: words of a kind, and options."""

    words: str = NOTHING
    options: Table = {}


class Candidate(Record):
    """A word that may come next."""

    word: str
    text: str = ""


def _table(*groups: str) -> dict[str, tuple[str, str, str]]:
    """Return a table as those of `argv` from names that mean the same; `=` at the end: it takes a value."""
    found = {}
    for group in groups:
        names = group.removesuffix("=").split()
        found.update({name: (VALUE if group.endswith("=") else FLAG, names[-1], "") for name in names})
    return found


FOLLOWS = {
    "_build": Follows(BUILDABLE, _table("--force", "--no-cache")),
    "_run": Follows(RUNNABLE, argv.RUN),
    "_version_hash": Follows(BUILDABLE, _table("-s --short")),
    "_pack_image": Follows(
        BUILDABLE,
        {**_table("-f --file=", "-z --gzip", "-j --bzip2", "-J --xz", "--zstd"), **argv.BUILD},
    ),
    "_clean": Follows(
        NOTHING,
        _table(
            *("--tmp --tmp-folders", "--old --old-containers", "--unused", "--transient", "--global", "-n --dry-run"),
            *("--at-least=", "--layers", "--volumes", "--unused-volumes", "--everything"),
        ),
    ),
    "_list": Follows(
        NOTHING,
        _table("--containers", "-A --all", "--hidden", "--builtin", "--zsh", "--no-aliases", "-v --verbose"),
    ),
    "_update_symlinks": Follows(NOTHING, _table("--local-only", "--user-only")),
    "_help": Follows(NAMES),
    "_simulate": Follows(
        RUN_COMMAND,
        {
            **_table("--kill=", "--exit=", "--ready=", "--fail=", "--signal=", "--until=", "--debug", "--json"),
            **{f"--{key}": (LIST, key, "") for key in ("stubborn", *SELECTION)},
        },
    ),
    "_completion": Follows(SHELL_NAMES),
    "_dump_config": Follows(NOTHING, _table("--pretty")),
    "_settings": Follows(NOTHING, _table("--json")),
}


def split(arguments: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """Return the words that are typed, and the beginning of the one to complete: `WORDS... -- CURRENT`."""
    for at in (-2, -1):
        if len(arguments) >= -at and arguments[at] == "--":
            return arguments[:at], arguments[-1] if at == -2 else ""
    return arguments, ""


def file_option(words: tuple[str, ...]) -> str:
    """Return the file that the typed words name by `-f`, or ""."""
    for at, word in enumerate(words):
        if word in ("-f", "--file"):
            return "".join(words[at + 1 : at + 2])
        if word.startswith("--file="):
            return word.removeprefix("--file=")
        if not word.startswith("-"):
            break
    return ""


def candidates(words: tuple[str, ...], current: str, project: Project | None) -> tuple[Candidate, ...]:
    """Return what `current` may become after `words` (without `vagga`); `project` None: it cannot be read."""
    attached = current.startswith("--") and "=" in current
    offered = _offered(words, current, project) if not attached else _attached(words, current, project)
    unique = {each.word: each for each in offered if each.word.startswith(current)}
    return tuple(unique.values())


def _attached(words: tuple[str, ...], current: str, project: Project | None) -> list[Candidate]:
    """Return the values of an option that is written `--option=VALUE`."""
    option = current.partition("=")[0]
    values = _offered((*words, option), "", project)
    return [Candidate(f"{option}={each.word}", each.text) for each in values if not each.word.startswith("-")]


class _Seen:
    """What the typed words are: the options among them, and the option that still wants a value."""

    def __init__(self, words: tuple[str, ...], table: Table, *, stop: bool = False) -> None:
        """Read words; with `stop`, up to the first that is no option: `rest` begins with it."""
        self.used: set[tuple[str, str]] = set()
        self.values: list[str] = []
        self.others: list[str] = []
        self.waiting = ""
        self.open = ""
        self.rest: tuple[str, ...] = ()
        left = list(words)
        while left:
            word = left.pop(0)
            if not word.startswith("-") or word == "-":
                self.others.append(word)
                if stop:
                    self.rest = (word, *left)
                    return
                continue
            left = self._option(word, left, table)

    def _option(self, word: str, left: list[str], table: Table) -> list[str]:
        """Note an option; return what is left behind its value."""
        long = word.startswith("--")
        name, equals, _ = word.partition("=") if long else (word[:2], "", "")
        kind, key, meaning = table.get(name, (FLAG, name, ""))
        self.used.add((key, meaning))
        if kind == FLAG or equals or (not long and len(word) > len("-x")):
            return left
        if not left:
            self.waiting, self.open = key, key if kind == LIST else ""
            return left
        if kind == VALUE:
            return left[1:]
        while left and not left[0].startswith("-"):
            self.values.append(left.pop(0))
        self.open = "" if left else key
        return left


def _offered(words: tuple[str, ...], current: str, project: Project | None) -> list[Candidate]:
    seen = _Seen(words, argv.GLOBAL, stop=True)
    commands, aliases = (project.commands, project.aliases) if project else ({}, {})
    while seen.rest:
        name, *after = seen.rest
        if name in FOLLOWS or name in BUILTINS:
            return _after_builtin(name, tuple(after), current, project)
        command = commands.get(name) or commands.get(aliases.get(name, ""))
        if command is not None:
            return _after_command(command, tuple(after), current)
        used = seen.used
        seen = _Seen(tuple(after), argv.GLOBAL, stop=True)
        seen.used |= used
    if seen.waiting == "color":
        return [Candidate(word) for word in argv.COLORS]
    if seen.open == "run-multi":
        return [*_commands(project), *_options(argv.GLOBAL, seen, current)]
    if seen.waiting:
        return []
    found = _commands(project)
    if current.startswith("_"):
        found += _builtins()
    return [*found, *_options(argv.GLOBAL, seen, current)]


def _after_builtin(name: str, words: tuple[str, ...], current: str, project: Project | None) -> list[Candidate]:
    follows = FOLLOWS.get(name, Follows())
    seen = _Seen(words, {**follows.options, **argv.HELP})
    if follows.words == RUN_COMMAND and seen.others:
        return _of_simulated(seen, current, project)
    if seen.others or seen.waiting:
        return []
    options = _options({**follows.options, **argv.HELP}, seen, current)
    if follows.words == RUN_COMMAND:
        return [*_commands(project), *options]
    if follows.words == NAMES:
        return [*_commands(project), *(_builtins() if current.startswith("_") else ()), *options]
    if follows.words == SHELL_NAMES:
        return [*(Candidate(word) for word in SHELLS), *options]
    if not follows.words or project is None:
        return options
    containers = [
        Candidate(each.name)
        for _, each in sorted(project.containers.items())
        if (each.host is None if follows.words == BUILDABLE else not each.data_dirs)
    ]
    return [*containers, *options]


def _of_simulated(seen: _Seen, current: str, project: Project | None) -> list[Candidate]:
    """Return what may follow `_simulate COMMAND`: options, and children where they are lists of them."""
    table = {**FOLLOWS["_simulate"].options, **argv.HELP}
    name = seen.others[0]
    command = project.commands.get(project.aliases.get(name, name)) if project else None
    children = command.children if isinstance(command, Supervise) else ()
    if seen.waiting and not seen.open:
        return []
    options = _options(table, seen, current, again=(*REPEATABLE, *SIMULATED))
    if not seen.open:
        return options
    names = [child.name for child in children]
    tags = [tag for child in children for tag in child.tags] if seen.open in SELECTION else []
    return [*(Candidate(each) for each in dict.fromkeys((*names, *tags)) if each not in seen.values), *options]


def _after_command(command: Command | Supervise, words: tuple[str, ...], current: str) -> list[Candidate]:
    if isinstance(command, Supervise):
        return _after_supervise(command, words, current)
    if not command.options:
        return [] if command.program.accepts_arguments or words else _options(argv.HELP, _Seen((), {}), current)
    table = {**argv.HELP, **_described(command.options)}
    seen = _Seen(words, table)
    return [] if seen.waiting else _options(table, seen, current)


def _after_supervise(command: Supervise, words: tuple[str, ...], current: str) -> list[Candidate]:
    repeatable: tuple[str, ...] = REPEATABLE
    table: Table = argv.SUPERVISE
    if command.options:
        repeatable += SELECTION  # docopt takes one value at a time
        debug = {"--debug": argv.SUPERVISE["--debug"]}
        table = {
            **argv.HELP,
            **debug,
            **_described(command.options),
            **{f"--{key}": (VALUE, key, "") for key in SELECTION},
        }
    seen = _Seen(words, table)
    if seen.others or (seen.waiting and seen.waiting not in SELECTION):
        return []
    options = _options(table, seen, current, again=repeatable)
    if seen.open or seen.waiting:
        names = [child.name for child in command.children]
        tags = [tag for child in command.children for tag in child.tags]
        return [*(Candidate(each) for each in dict.fromkeys((*names, *tags)) if each not in seen.values), *options]
    if current or command.options:
        return options
    return [each for each in _options(table, seen, "-") if each.word not in argv.HELP]


def _described(text: str) -> dict[str, tuple[str, str, str]]:
    """Return the options that a text of `options` describes: good enough to offer them, without docopt."""
    found: dict[str, tuple[str, str, str]] = {}
    for line in text.splitlines():
        start = line.lower().find("options:")
        head = (line[start + len("options:") :] if start >= 0 else line).strip().replace("\t", "  ").split("  ")[0]
        words = head.replace(",", " ").replace("=", " ").replace("...", " ").split()
        names = [word for word in words if word.startswith("-") and word.strip("-")]
        if words[:1] == names[:1] and names:
            kind = VALUE if len(words) > len(names) else FLAG
            # Repeated ones are offered again: their keys differ with each line, never with what was used.
            key = "verbose" if "..." in head else names[-1]
            found.update(dict.fromkeys(names, (kind, key, "")))
    return found


def _options(table: Table, seen: _Seen, current: str, again: tuple[str, ...] = REPEATABLE) -> list[Candidate]:
    """Return the options that were not used, if the current word is one."""
    if not current.startswith("-"):
        return []
    order = dict.fromkeys((*(name for name in FIRST_OPTIONS if name in table), *table))
    help_last = [name for name in order if name not in argv.HELP] + [name for name in order if name in argv.HELP]
    return [Candidate(name) for name in help_last if table[name][1] in again or table[name][1:] not in seen.used]


def _commands(project: Project | None) -> list[Candidate]:
    commands = sorted(project.commands.items()) if project else ()
    return [Candidate(name, command.description) for name, command in commands]


def _builtins() -> list[Candidate]:
    order = dict.fromkeys((*FIRST_BUILTINS, *BUILTINS))
    return [Candidate(name, BUILTINS[name]) for name in order if name in BUILTINS]
