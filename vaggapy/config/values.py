"""Nodes -> checked values, with every problem kept instead of raised. Pure.

A `Reader` holds the problems of one file. A `Structure` is a mapping whose keys were checked against a table of
`fields.py`; its methods return the value of a key, or its default when the key is absent or wrong.
"""

from __future__ import annotations

from vaggapy.config.fields import BUILT, CHILD_TAGS, INSIDE, LATER, NO_EFFECT, OTHER_TOOLS, STRUCTURES
from vaggapy.config.tree import Broken, Mapping, Scalar, Sequence, is_null
from vaggapy.errors import Mark, Problem
from vaggapy.record import Record
from vaggapy.spelling import closest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from vaggapy.config.fields import Fields
    from vaggapy.config.model import Persistent
    from vaggapy.config.tree import Node

SUFFIXES = {"k": 10**3, "M": 10**6, "G": 10**9, "ki": 2**10, "Mi": 2**20, "Gi": 2**30}
RADIX = {"0x": 16, "0o": 8, "0b": 2}
LONGEST_NUMBER = 40
HIGHEST_ID = 2**30
SUGGESTIONS = 30
LONGEST_LIST = 300
"""No more names of one file are looked up in word lists, and lists are cut there: bad files end quickly."""
MOST_SHOWN = 6
"""No more tags are listed in a message."""
MAY_BE_EMPTY = ("list", "texts", "numbers", "absolute paths", "name:", "path:")
"""How the types begin whose values may be left empty, as in `volumes:`."""


def read_number(text: str) -> int | None:
    """Return the number that `text` writes, None if it writes none.

    Decimal, `0x`, `0o`, `0b`, `_` between digits, an optional suffix k M G (powers of 1000) or ki Mi Gi (of 1024).
    A leading zero is refused: `0755` could mean two things.
    """
    plain = text.strip()
    if not plain.isascii() or len(plain) > LONGEST_NUMBER:
        return None
    digits = plain.rstrip("kMGi")
    suffix = plain[len(digits) :]
    sign = -1 if digits.startswith("-") else 1
    digits = digits.strip().removeprefix("-")
    radix = RADIX.get(digits[:2], 10)
    if (radix == 10 and digits[:1] == "0" and digits != "0") or (suffix and suffix not in SUFFIXES):
        return None
    if not digits[:1].isalnum():
        return None
    try:
        return sign * int(digits, radix if radix == 10 else 0) * SUFFIXES.get(suffix, 1)
    except ValueError:
        return None


def clean_path(text: str) -> str:
    """Return the path without empty and `.` parts and without a slash at its end."""
    parts = [part for part in text.split("/") if part not in ("", ".")]
    return ("/" if text.startswith("/") else "") + "/".join(parts)


def untagged(node: Node) -> Node:
    """Return the value that follows a tag."""
    match node:
        case Scalar():
            return Scalar(node.mark, "", node.text, node.plain)
        case Sequence():
            return Sequence(node.mark, "", node.items)
        case Mapping():
            return Mapping(node.mark, "", node.entries)
        case Broken():
            return node


def _only_word(node: Node) -> str:
    """Return the word that may be a tag without its `!`: a text, or the only key of a mapping."""
    if isinstance(node, Mapping) and len(node.entries) == 1:
        return node.entries[0][0].text
    return node.text if isinstance(node, Scalar) else ""


class Reference(Record):
    """A container that is named somewhere, to be checked when all are known.

    `by`: what names it, as in `!Build`. `owner`: the container that cannot be built without it, "" for what happens
    at a run.
    """

    name: str
    mark: Mark
    by: str
    owner: str = ""


class Reader:
    """Collects the problems of one file while its values are read, and what they refer to."""

    def __init__(self, file: str) -> None:
        """Begin without problems; `file` is the name for marks."""
        self.file = file
        self.problems: list[Problem] = []
        self.references: list[Reference] = []
        self.initial: list[tuple[Persistent, Mark]] = []
        self.warnings: list[Problem] = []
        self.suggested = 0

    def report(self, mark: Mark, what: str, remedy: str, name: str) -> None:
        """Keep one problem."""
        self.problems.append(Problem(mark, what, remedy, name))

    def warn(self, mark: Mark, what: str, remedy: str, name: str) -> None:
        """Keep something that is doubtful, but not wrong."""
        self.warnings.append(Problem(mark, what, remedy, name))

    def near(self, word: str, choices: Iterable[str], otherwise: str) -> str:
        """Return the remedy for an unknown word: the name that was meant, else `otherwise`."""
        self.suggested += 1
        if self.suggested > SUGGESTIONS:
            return otherwise
        found = closest(word, list(choices)[:LONGEST_LIST])
        return f"did you mean '{found}'?" if found else otherwise

    def not_available(self, mark: Mark, what: str) -> None:
        """Report something that a later version will do."""
        self.report(mark, f"{what} is known but not available in this version", "", "not-available")

    def no_tag(self, node: Node, what: str) -> None:
        """Report a tag where none belongs."""
        if node.tag and not isinstance(node, Broken):
            self.report(node.mark, f"tag '{node.tag}' has no place at {what}", "take it away", "unknown-tag")

    def tag(self, node: Node, tags: dict[str, str], what: str, listed: str = "") -> str:
        """Return the tag of `node` if it is one of `tags` and built, else report and return ''.

        `listed`: the page that lists the tags, where they are too many for a message.
        """
        built = [name for name in tags if tags[name] == BUILT]
        many = len(built) > MOST_SHOWN
        if isinstance(node, Broken):
            return ""
        if not node.tag:
            bare = f"!{_only_word(node)}"
            choice = f"one of those in {listed}" if many else " or ".join(built)
            remedy = f"write {choice} before its value"
            self.report(node.mark, f"{what} has no tag", f"write '{bare}'" if bare in tags else remedy, "missing-tag")
        elif node.tag not in tags:
            remedy = self.near(node.tag, tags, f"they are listed in {listed}" if many else f"one of {', '.join(built)}")
            self.report(node.mark, f"unknown tag '{node.tag}' of {what}", remedy, "unknown-tag")
        elif tags[node.tag] == LATER:
            self.not_available(node.mark, f"tag '{node.tag}' of {what}")
        else:
            return node.tag
        return ""

    def wrong(self, node: Node, what: str, kind: str, remedy: str = "") -> None:
        """Report a value of the wrong type."""
        if not isinstance(node, Broken):
            self.report(node.mark, f"{what} must be {kind}", remedy, "wrong-type")

    def text(self, node: Node, what: str) -> str:
        """Return a text; reports everything else."""
        if isinstance(node, Scalar) and not is_null(node):
            self.no_tag(node, what)
            return node.text
        self.wrong(node, what, "text")
        return ""

    def texts(self, node: Node, what: str) -> tuple[tuple[str, Node], ...]:
        """Return the texts of a list with their nodes; nothing at all is an empty list."""
        if isinstance(node, Scalar) and node.plain and not node.text:
            return ()
        if not isinstance(node, Sequence):
            self.wrong(node, what, "a list", "write '[one, two]'")
            return ()
        self.no_tag(node, what)
        return tuple(
            (self.text(item, f"each item of {what}"), item) for item in node.items if not isinstance(item, Broken)
        )

    def pairs(self, node: Node, what: str, *, tagged: bool = False) -> tuple[tuple[Scalar, Node], ...]:
        """Return the entries of a mapping; nothing at all is an empty mapping. `tagged`: its tag was looked at."""
        if not tagged:
            self.no_tag(node, what)
        if isinstance(node, Mapping):
            return node.entries
        if not (isinstance(node, Scalar) and node.plain and not node.text):
            self.wrong(node, what, "keys and values", "write 'key: value' lines below it")
        return ()

    def number(self, node: Node, what: str, low: int, high: int, default: int) -> int:
        """Return a whole number from `low` to `high`."""
        text = self.text(node, what)
        value = read_number(text)
        if value is None:
            if text:
                octal = text.startswith("0") and text.isdecimal()
                remedy = f"write 0o{text.lstrip('0')} for an octal number" if octal else "as in 10, 0o755 or 100Mi"
                self.report(node.mark, f"{what} must be a whole number, not '{text}'", remedy, "wrong-type")
            return default
        if not low <= value <= high:
            self.report(node.mark, f"{what} is {value}", f"from {low} to {high}", "out-of-range")
            return default
        return value

    def mode(self, node: Node, what: str, default: int) -> int:
        """Return file mode bits. Plain digits would count as decimal, which nobody means by 755."""
        if isinstance(node, Scalar) and len(node.text) in (3, 4) and not node.text.strip("01234567"):
            remedy = f"octal modes begin with 0o: write 0o{node.text.lstrip('0')}"
            self.report(node.mark, f"{what} {node.text} has no base", remedy, "bad-value")
            return default
        before = len(self.problems)
        value = self.number(node, what, 0, 0o1777, default)
        if self.problems[before:] and self.problems[-1].name == "out-of-range":
            self.problems.pop()
            self.report(node.mark, f"{what} is more than 0o1777", "octal modes begin with 0o", "out-of-range")
        return value

    def path(self, node: Node, text: str, what: str, *, absolute: bool) -> str:
        """Return a path inside a container without `..`, cleaned; '' after a problem."""
        where = f"{what} '{text}'"
        clean = clean_path(text)
        if ".." in text.split("/"):
            self.report(node.mark, f"{where} holds '..'", "write the path without it", "bad-path")
        elif absolute and not text.startswith("/"):
            self.report(node.mark, f"{where} is not absolute", "begin it with '/'", "bad-path")
        elif not absolute and text.startswith("/"):
            self.report(node.mark, f"{where} is absolute", "take the first '/' away", "bad-path")
        elif clean in ("", "/"):
            self.report(node.mark, f"{where} names the root itself", "name something below it", "bad-path")
        else:
            return clean
        return ""

    def flag(self, node: Node, what: str, *, default: bool = False) -> bool:
        """Return true or false; the YAML 1.1 words (yes, no, on, off) are refused with a remedy."""
        text = self.text(node, what)
        if text in ("true", "false"):
            return text == "true"
        if text:
            meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(text.lower(), "")
            remedy = f"write {meant}" if meant else ""
            self.report(node.mark, f"{what} must be true or false, not '{text}'", remedy, "wrong-type")
        return default

    def choice(self, node: Node, key: str, built: tuple[str, ...], later: tuple[str, ...] = ()) -> str:
        """Return one of `built`, the first after a problem; `-` and `_` are the same."""
        text = self.text(node, f"'{key}'")
        plain = text.replace("_", "-")
        if plain in built:
            return plain
        if plain in later:
            self.not_available(node.mark, f"'{key}: {plain}'")
        elif text:
            remedy = self.near(text, built, f"one of {', '.join(built)}")
            self.report(node.mark, f"unknown value '{text}' of '{key}'", remedy, "bad-value")
        return built[0]

    def environ(self, node: Node, what: str) -> dict[str, str]:
        """Return variables; a name without any value is an empty one."""
        found: dict[str, str] = {}
        for key, value in self.pairs(node, what):
            if not key.text or "=" in key.text:
                remedy = "a name is not empty and holds no '='"
                self.report(key.mark, f"bad name '{key.text}' of an environment variable", remedy, "bad-name")
            elif isinstance(value, Scalar) and value.plain and not value.text:
                found[key.text] = ""
            else:
                found[key.text] = self.text(value, f"variable '{key.text}'")
        return found

    def name(self, key: Scalar, what: str) -> None:
        """Check the name of a command, child or container."""
        bad = not key.text or key.text in (".", "..") or key.text.startswith("-") or "/" in key.text
        if bad or not key.text.isprintable() or any(c.isspace() for c in key.text):
            remedy = "a name has no space and no '/', and does not begin with '-'"
            self.report(key.mark, f"bad name '{key.text}' of a {what}", remedy, "bad-name")


class Structure:
    """A mapping with keys from a table: kebab or snake case, `_private` ones ignored, unknown ones reported."""

    def __init__(
        self, reader: Reader, node: Node, table: Fields, what: str, mark: Mark | None = None, page: str = ""
    ) -> None:
        """Check the keys; `what` names the structure in messages, `mark` is its name's place.

        `page`: where its keys are documented, if that is not the page of vagga.yaml.
        """
        self.reader = reader
        self.page = page
        self.what = what
        self.mark = mark or node.mark
        self.table = table
        self.values: dict[str, Node] = {}
        self.keys: dict[str, Scalar] = {}
        for key, value in reader.pairs(node, what, tagged=True):
            name = self._name(key.text)
            if key.text.startswith("_"):
                continue
            if name in self.keys:
                twice = f"'{self.keys[name].text}' and '{key.text}' are the same key"
                reader.report(key.mark, twice, "keep one of them", "duplicate-key")
            elif name not in table:
                self._unknown(key, name, value)
            elif table[name].state == LATER:
                if not is_null(value):
                    reader.not_available(key.mark, f"key '{key.text}' of {what}")
            else:
                self.keys[name] = key
                if not is_null(value) or value.tag or table[name].type.startswith(MAY_BE_EMPTY):
                    self.values[name] = value
        if isinstance(node, (Mapping, Scalar)):
            self._missing()
        self._unused()

    def _name(self, text: str) -> str:
        """Return the key that a text stands for, or the text in kebab case."""
        name = text.replace("_", "-")
        if name in self.table:
            return name
        return next((key for key, field in self.table.items() if text in field.also or name in field.also), name)

    def _unknown(self, key: Scalar, name: str, value: Node) -> None:
        """Report a key that is not in the table."""
        reader, table = self.reader, self.table
        if "children" in table and value.tag in CHILD_TAGS:
            what = f"child '{key.text}' is written beside the keys of {self.what}"
            reader.report(key.mark, what, "put it below 'children:'", "children-place")
            return
        if self.page:
            reader.report(
                key.mark,
                f"unknown key '{key.text}' in {self.what}",
                reader.near(name, table, f"the keys are listed in {self.page}"),
                "unknown-key",
            )
            return
        owners = [where for where, other in STRUCTURES.items() if name in other]
        if "children" in table and "a child of !Supervise" in owners:
            owners = ["a child of !Supervise"]
        otherwise = f"it belongs to {owners[0]}" if owners else "the keys are listed in docs/config.md"
        if owners and STRUCTURES[owners[0]][name].state == LATER:
            otherwise += ", in a later version"
        if OTHER_TOOLS.get(name, "") in table:
            remedy = f"did you mean '{OTHER_TOOLS[name]}'?"
        elif INSIDE.get(name, "") in table:
            remedy = f"write it into '{INSIDE[name]}:'"
        else:
            remedy = otherwise if owners else reader.near(name, table, otherwise)
        reader.report(key.mark, f"unknown key '{key.text}' in {self.what}", remedy, "unknown-key")

    def _missing(self) -> None:
        """Report the needed keys that are not there."""
        for name, field in self.table.items():
            if field.needed and name not in self.values:
                mark = self.keys[name].mark if name in self.keys else self.mark
                self.reader.report(mark, f"{self.what} needs '{name}'", f"add '{name}:'", "missing-key")

    def _unused(self) -> None:
        """Check the types of the keys that have no effect."""
        for name, field in self.table.items():
            if field.state == NO_EFFECT and field.type == "text":
                self.text(name)
            elif field.state == NO_EFFECT and field.type == "list of texts":
                self.texts(name)
            elif field.state == NO_EFFECT and field.type == "true or false":
                self.flag(name)

    def has(self, key: str) -> bool:
        """Tell whether the key has a value."""
        return key in self.values

    def text(self, key: str, default: str = "") -> str:
        """Return a text."""
        return self.reader.text(self.values[key], f"'{key}'") if key in self.values else default

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts."""
        return tuple(text for text, _ in self.items(key))

    def items(self, key: str) -> tuple[tuple[str, Node], ...]:
        """Return a list of texts, each with its node."""
        return self.reader.texts(self.values[key], f"'{key}'") if key in self.values else ()

    def pairs(self, key: str) -> tuple[tuple[Scalar, Node], ...]:
        """Return the entries of a mapping."""
        return self.reader.pairs(self.values[key], f"'{key}'") if key in self.values else ()

    def environ(self, key: str = "environ") -> dict[str, str]:
        """Return variables."""
        return self.reader.environ(self.values[key], f"'{key}'") if key in self.values else {}

    def number(self, key: str, default: int, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`."""
        return self.reader.number(self.values[key], f"'{key}'", low, high, default) if key in self.values else default

    def numbers(self, key: str, low: int, high: int) -> tuple[int, ...]:
        """Return a list of whole numbers from `low` to `high`."""
        node = self.values.get(key)
        if not isinstance(node, Sequence):
            self.texts(key)
            return ()
        what = f"each item of '{key}'"
        return tuple(self.reader.number(item, what, low, high, low) for item in node.items)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return true or false."""
        return self.reader.flag(self.values[key], f"'{key}'", default=default) if key in self.values else default

    def choice(self, key: str, built: tuple[str, ...], later: tuple[str, ...] = ()) -> str:
        """Return one of `built`, the first by default."""
        return self.reader.choice(self.values[key], key, built, later) if key in self.values else built[0]
