"""The arguments of a command with `options:` -> `VAGGAOPT_*` and `VAGGACLI_*`. Pure; the only user of docopt.

docopt reads the usage and matches. The words of the command line are read here: docopt takes abbreviations of options,
prints by itself, and words its errors for programmers.

Source: vagga.md 3.3. Differs: the description of the command is shown, but not read as options; `--` works without
standing in the usage; of two names that make one variable, the one that was given counts; exit code 121 as there.
"""

from __future__ import annotations

import re

import docopt

from vaggapy.config.model import Supervise
from vaggapy.errors import VaggaError, visible
from vaggapy.record import Record
from vaggapy.spelling import closest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.model import Command

COMMON = "Common options"
SUPERVISED = "Supervise options"
HELP_ROWS = (("-h, --help", "Show this help message and exit"),)
SELECTION_ROWS = (
    ("--only <tag> ...", "Run only these children, by name or tag"),
    ("--exclude <tag> ...", "Run all children but these"),
)
DEBUG_ROW = ("--debug", "Pause before the end when a child fails")
OWN_DEBUG = re.compile(r"(?<![\w-])--debug(?![\w-])")
"""Found in a text that has an option of this name; then that is meant, not ours."""
USAGE = re.compile(r"^.*?\busage:", re.IGNORECASE)
HEADING = re.compile(r"\S.*:\s*$")
DESCRIBED = re.compile(r"^(?:.*options:)?[ \t]*(-\S.*?)(?=  |\t|$)", re.IGNORECASE)
PLAIN = "@%+=:,./-"
MOST_WORK = 1_000_000
"""Combinations by the square of their length: docopt writes them all out, this many in a second."""


class Parsed(Record):
    """What the arguments mean. `help`: the text to show instead, "" if it is not asked for.

    `variables`: for the environment of the program. `only`, `exclude`: of `!Supervise`, not yet checked.
    """

    help: str = ""
    variables: tuple[tuple[str, str], ...] = ()
    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    debug: bool = False


class OptionsError(VaggaError):
    """The arguments do not fit the usage of a command, which is shown below the line."""

    def __init__(self, what: str, remedy: str, usage: str) -> None:
        """Keep the usage."""
        super().__init__(what, remedy, "command-usage")
        self.usage = usage

    def lines(self) -> tuple[str, ...]:
        """Return the line, an empty one, and the usage."""
        return (*super().lines(), "", *map(visible, self.usage.splitlines()))


def parse(command: Command | Supervise, words: tuple[str, ...]) -> Parsed:
    """Return what `words` mean to a command with `options`.

    Raises:
        OptionsError: they do not fit; exit code 121.
        VaggaError: the text of `options` cannot be understood; exit code 121.
    """
    usage = _Usage(command)
    try:
        given = usage.read(words)
    except _HelpAsked:
        return Parsed(help=help_text(command))
    values = usage.match(given)
    supervised = isinstance(command, Supervise)
    return Parsed(
        variables=variables(values),
        only=_texts(values.get("--only")) if supervised else (),
        exclude=_texts(values.get("--exclude")) if supervised else (),
        debug=supervised and bool(values.get("--debug")) and not OWN_DEBUG.search(command.options),
    )


def check(command: Command | Supervise) -> None:
    """Try the text of `options`.

    Raises:
        VaggaError: it cannot be understood; exit code 121.
    """
    _Usage(command)


def help_text(command: Command | Supervise) -> str:
    """Return what `vagga NAME --help` shows: the description, the text as it is written, and what is always there."""
    head = command.description.strip() or f"vagga {command.name}"
    text = f"{head}\n\n{command.options.rstrip()}\n\n{_trailer(command)}"
    return "".join(f"{visible(line.expandtabs())}\n" for line in text.splitlines())


def variables(values: dict[str, object]) -> tuple[tuple[str, str], ...]:
    """Return both variables of each key of a match, in the order of the keys.

    A key is an option as it is written (the long form, if it has two), a positional argument, or a word.
    """
    found: dict[str, tuple[str, str]] = {}
    for key, value in values.items():
        name = key.lstrip("-").removeprefix("<").removesuffix(">").replace("-", "_")
        name = "".join(letter.upper() if letter.isascii() else letter for letter in name)
        if name and "=" not in name and (name not in found or value):
            found[name] = _both(key, value)
    return tuple(
        pair
        for name, (text, words) in found.items()
        for pair in ((f"VAGGAOPT_{name}", text), (f"VAGGACLI_{name}", words))
    )


def quoted(text: str) -> str:
    """Return a word as a shell reads it back."""
    if not text:
        return "''"
    if all(letter.isalnum() or letter in PLAIN for letter in text):
        return text
    return "'" + text.replace("'", "'\"'\"'") + "'"


def _both(key: str, value: object) -> tuple[str, str]:
    """Return the values of `VAGGAOPT_` and `VAGGACLI_` for a key."""
    option = key.startswith("-")
    match value:
        case True:
            return "true", key
        case int() if value:
            short = option and not key.startswith("--")
            return str(value), f"-{key[1:] * value}" if short else " ".join([key] * value)
        case str():
            return value, f"{key} {quoted(value)}" if option else quoted(value)
        case list() if value:
            return " ".join(value), f"{key if option else ''} {' '.join(map(quoted, value))}"
        case _:
            return "", ""


def _texts(value: object) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, list) else (value,) if isinstance(value, str) else ()


def _trailer(command: Command | Supervise) -> str:
    """Return the section for the options that a command has without saying so; never one that its text describes."""
    own = {word for line in command.options.splitlines() for word in _described(line)}
    lines = []
    debug = () if OWN_DEBUG.search(command.options) else (DEBUG_ROW,)
    for names, text in (*HELP_ROWS, *((*SELECTION_ROWS, *debug) if isinstance(command, Supervise) else ())):
        free = [name for name in names.split(", ") if name.split(" ", 1)[0] not in own]
        if free and free[-1] == names.rpartition(", ")[2]:
            lines.append(f"    {', '.join(free):21} {text}\n")
    heading = SUPERVISED if isinstance(command, Supervise) else COMMON
    return f"{heading}:\n{''.join(lines)}" if lines else ""


def _described(line: str) -> tuple[str, ...]:
    """Return the names of the options that a line describes."""
    found = DESCRIBED.match(line)
    return tuple(re.findall(r"(?:^|[\s,])(-[^\s,=]+)", found.group(1))) if found else ()


class _HelpAsked(Exception):  # noqa: N818 - not an error
    """`-h` or `--help` was given."""


class _Usage:
    """The text of `options`, understood."""

    def __init__(self, command: Command | Supervise) -> None:
        self.name = command.name
        header, body, rest = self._sections(command.options)
        self.text = f"{header}{body}".rstrip()
        lines = f"{rest}\n\n{_trailer(command)}".splitlines()
        repeated = {name for line in lines if _repeats(line) for name in _described(line)}
        try:
            self.options = docopt.parse_options("".join(f"{_once(line)}\n" for line in lines))
            described = list(self.options)
            self.pattern = docopt.parse_pattern(docopt.formal_usage(_indented(body)), self.options)
            self._finish(described, repeated)
        except (docopt.DocoptLanguageError, AssertionError, KeyError) as error:
            raise self._broken(str(error)) from None
        except RecursionError:
            raise self._broken("it is nested too deeply") from None
        self.described = {str(option.name): _unset(option, repeated) for option in described}

    def _finish(self, described: list[docopt.Option], repeated: set[str]) -> None:
        """Make the pattern ready for matching: `[options]` stands for all that stand nowhere else."""
        seen = set(self.pattern.flat(docopt.Option))
        for shortcut in self.pattern.flat(docopt.OptionsShortcut):
            shortcut.children = [option for option in described if option not in seen]
        _repeat(self.pattern, repeated)
        cases, length = _size(self.pattern)
        if cases * length**2 > MOST_WORK:
            raise self._broken("it allows too many combinations")
        self.pattern.fix()

    def _sections(self, text: str) -> tuple[str, str, str]:
        """Return the heading of the usage, the usage, which ends at an empty line or a heading, and all else."""
        lines = text.splitlines()
        starts = [number for number, line in enumerate(lines) if USAGE.match(line)]
        if not starts:
            raise self._broken("there is no line that begins with 'Usage:'")
        start = starts[0]
        found = USAGE.match(lines[start])
        header = found.group() if found else ""
        end = start + 1
        while end < len(lines) and lines[end].strip() and not HEADING.match(lines[end]):
            end += 1
        body = "\n".join([lines[start][len(header) :], *lines[start + 1 : end]])
        if not body.split():
            raise self._broken(f"nothing follows '{header.strip()}'")
        return header, body, "\n".join([*lines[:start], "", *lines[end:]])

    def _broken(self, why: str) -> VaggaError:
        return VaggaError(
            f'Error parsing `options` in command "{self.name}": {why}',
            f"the usage is written as in: Usage: vagga {self.name} [options] <file>; see docs/commands.md",
            "options-text",
        )

    def read(self, words: tuple[str, ...]) -> list[docopt.Pattern]:
        """Return the words as docopt matches them, after the name of the command."""
        given: list[docopt.Pattern] = [docopt.Argument(None, self.name)]
        waiting = list(words)
        dashes = any(each.name == "--" for each in self.pattern.flat(docopt.Command))
        while waiting:
            word = waiting.pop(0)
            if word == "--":
                given += [docopt.Argument(None, each) for each in (["--"] if dashes else []) + waiting]
                break
            if word.startswith("--"):
                given.append(self._long(word, waiting))
            elif word.startswith("-") and word != "-" and not _is_number(word):
                given += self._short(word, waiting)
            else:
                given.append(docopt.Argument(None, word))
        return given

    def _long(self, word: str, waiting: list[str]) -> docopt.Pattern:
        name, equals, value = word.partition("=")
        option = next((each for each in self.options if each.longer == name), None)
        if option is None:
            near = closest(name, [str(each.longer) for each in self.options if each.longer])
            raise self._misfit(f"Unknown flag: '{name}'", f"did you mean '{near}'?" if near else "")
        if equals and not option.argcount:
            raise self._misfit(f"Flag '{name}' cannot have an argument, but found '{value}'", "")
        return self._taken(option, name, value if equals else None, waiting)

    def _short(self, word: str, waiting: list[str]) -> list[docopt.Pattern]:
        given = []
        left = word[1:]
        while left:
            name, left = f"-{left[0]}", left[1:]
            option = next((each for each in self.options if each.short == name), None)
            if option is None:
                raise self._misfit(f"Unknown flag: '{name}'", "")
            if option.argcount and left:
                given.append(self._taken(option, name, left, waiting))
                break
            given.append(self._taken(option, name, None, waiting))
        return given

    def _taken(self, option: docopt.Option, name: str, value: str | None, waiting: list[str]) -> docopt.Pattern:
        """Return an option with its value, which may be the next word."""
        if not option.argcount:
            if option.name == "--help" or (option.name == "-h" and not option.longer):
                raise _HelpAsked
            return docopt.Option(option.short, option.longer, 0, True)
        if value is None:
            if not waiting or waiting[0] == "--":
                raise self._misfit(f"Expected argument for flag '{name}' but reached end of arguments", "")
            value = waiting.pop(0)
        return docopt.Option(option.short, option.longer, 1, value)

    def match(self, given: list[docopt.Pattern]) -> dict[str, object]:
        """Return the value of everything that the text names."""
        try:
            matched, left, collected = self.pattern.match(given)
        except RecursionError:
            raise self._broken("it is nested too deeply") from None
        if not matched or left:
            first = left[0] if matched else None
            what = "something is missing or does not fit" if first is None else f"nothing takes '{_shown(first)}'"
            raise self._misfit(f"Invalid arguments: {what}", "")
        values = dict(self.described)
        values.update((str(each.name), each.value) for each in (*self.pattern.flat(), *collected))
        return values

    def _misfit(self, what: str, remedy: str) -> OptionsError:
        return OptionsError(what, remedy or f"vagga {self.name} --help says more", self.text)


def _repeats(line: str) -> bool:
    found = DESCRIBED.match(line)
    return bool(found) and "..." in line[: found.end() if found else 0]


def _once(line: str) -> str:
    """Return the description of an option without the `...` that says it may be repeated: docopt does not know it."""
    found = DESCRIBED.match(line)
    if not found:
        return line
    return line[: found.end()].replace("...", "").rstrip() + line[found.end() :].replace("\t", "  ", 1)


def _indented(body: str) -> str:
    return body.replace("\n", "\n  ")


def _repeat(pattern: docopt.BranchPattern, names: set[str]) -> None:
    """Let the options of these names be given more than once."""
    for position, each in enumerate(pattern.children):
        if isinstance(each, docopt.BranchPattern):
            if not (isinstance(each, docopt.OneOrMore) and isinstance(each.children[0], docopt.Option)):
                _repeat(each, names)
        elif isinstance(each, docopt.Option) and names & {each.short, each.longer}:
            pattern.children[position] = docopt.OneOrMore(each)


def _size(pattern: docopt.Pattern) -> tuple[int, int]:
    """Return how many combinations docopt makes of a pattern, and how long the longest is; large ones are not exact."""
    if not isinstance(pattern, docopt.BranchPattern):
        return 1, 1
    cases, length = (0, 0) if isinstance(pattern, docopt.Either) else (1, 0)
    for each in pattern.children:
        more, longer = _size(each)
        if isinstance(pattern, docopt.Either):
            cases, length = cases + more, max(length, longer)
        else:
            cases, length = cases * more, length + longer
    if isinstance(pattern, docopt.OneOrMore):
        cases, length = cases**2, length * 2
    return min(cases, MOST_WORK), min(length, MOST_WORK)


def _unset(option: docopt.Option, repeated: set[str]) -> object:
    """Return the value of an option that is described, but stands in no usage."""
    if not repeated & {option.short, option.longer}:
        return option.value
    return (option.value.split() if isinstance(option.value, str) else []) if option.argcount else 0


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _shown(pattern: docopt.Pattern) -> str:
    """Return a word of the command line as it was given, nearly."""
    if isinstance(pattern, docopt.Option):
        return str(pattern.name)
    return str(pattern.value)
