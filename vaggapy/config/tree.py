"""YAML text -> tree of nodes, each with its place. Pure; the only user of ruamel.yaml.

Scalars stay the text that was written; what a text means is decided where it is used (`bind.py`). Aliases, merge
keys, `!*Include` and `!*Unpack` are resolved here. The tree is built from the parser's events, without recursion and
within limits, so that hostile input ends early: the parser itself keeps its state in lists, and deep input never
reaches Python's stack.

Source: vagga.md 2.4 (the quire dialect). Differs: every kind of block text and every escape is accepted, and a tag
ends at a bracket or comma (`[!Host]`), which YAML says and ruamel.yaml does not do.
"""

from __future__ import annotations

import re

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.scanner import Scanner
from ruamel.yaml.tokens import TagToken

from vaggapy.config.syntax import Complaint, explain
from vaggapy.errors import Mark, Problem
from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Include = Callable[[Mark, str], "Tree"]

MAX_DEPTH = 100
MAX_NODES = 30_000
"""Keys and values of a file, those of aliases and includes counted at each use; the parser needs 20 us for each."""

INCLUDE = "!*Include"
UNPACK = "!*Unpack"
NOT_SUPPORTED = ("!*IncludeMap", "!*IncludeSeq")
UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
LINE_END = re.compile("\r\n?|\n")
WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
INTEGER = re.compile("[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class Scalar(Record):
    """A single value: its text, its tag ('' for none) and whether it stood there without quotes."""

    mark: Mark
    tag: str
    text: str
    plain: bool = True


class Sequence(Record):
    """A list of values."""

    mark: Mark
    tag: str
    items: tuple[Node, ...] = ()


class Mapping(Record):
    """Keys and values in the order of the file; keys are unique, merge keys are resolved."""

    mark: Mark
    tag: str
    entries: tuple[tuple[Scalar, Node], ...] = ()


class Broken(Record):
    """A value whose problem was already reported: readers take it as absent and stay silent."""

    mark: Mark
    tag: str = ""


Node = Scalar | Sequence | Mapping | Broken


class Tree(Record):
    """A parsed file: its root (None when it is empty or not YAML) and the problems found on the way.

    `size` counts its nodes, `height` their levels, with those of the files in `included`: all that are part of it.
    """

    root: Node | None
    problems: tuple[Problem, ...] = ()
    size: int = 0
    height: int = 0
    included: tuple[str, ...] = ()


def no_include(mark: Mark, _path: str) -> Tree:
    """Return the problem of an `!*Include` where no file can be included."""
    what = f"'{INCLUDE}' has no place in this file"
    return Tree(None, (Problem(mark, what, "write what the other file holds", "bad-include"),))


def parse(text: str, file: str, include: Include = no_include) -> Tree:
    """Parse `text`; `file` is the name for marks. Never raises for any text.

    `include` returns the tree of the file that `!*Include PATH` names, at a mark; PATH is relative to the directory of
    the mark's file and has no `..`. It raises nothing.
    """
    odd = UNPRINTABLE.search(text)
    if odd:
        mark = place(text[: odd.start()], file)
        what = f"control character {odd.group()!r} in the file"
        return Tree(None, (Problem(mark, what, "delete it, or write it as an escape in double quotes", "not-text"),))
    builder = _Builder(file, include)
    try:
        builder.build(_events(text))
    except _GivenUp as stop:
        builder.problems.append(stop.problem)
        return builder.broken()
    except MarkedYAMLError as error:
        builder.problems.append(explain(file, _complaint(error), LINE_END.split(text)))
        return builder.broken()
    except MemoryError:
        raise
    except Exception as error:  # the parser lets ValueError, OverflowError and TypeError of odd escapes through
        mark = Mark(file, builder.last.line, builder.last.column)
        what = f"not valid YAML after this place: {str(error)[:80]}"
        builder.problems.append(Problem(mark, what, "", "yaml-syntax"))
        return builder.broken()
    return builder.tree()


def place(before: str, file: str) -> Mark:
    """Return the mark of the character that follows the text `before`."""
    lines = LINE_END.split(before)
    return Mark(file, len(lines), len(lines[-1]) + 1)


def is_null(node: Node) -> bool:
    """Tell whether the value is absent: nothing, `~` or `null` without quotes."""
    return isinstance(node, Scalar) and node.plain and node.text in ("", "~", "null")


def plain_values(text: str) -> tuple[object, tuple[Problem, ...]]:
    """Return what a YAML text of any kind means: text, numbers, truth values, None, lists and dicts, by YAML 1.2.

    Of tags only `!!str` counts. The problems tell why it means nothing, then the value is None. A key is always text.
    """
    tree = parse(text, "")
    if tree.problems:
        return None, tree.problems
    return (None if tree.root is None else _value(tree.root)), ()


def _value(node: Node) -> object:
    """Return what a node means; the parser's limits hold for its depth."""
    match node:
        case Scalar():
            return _scalar_value(node.text) if node.plain and node.tag != "!!str" else node.text
        case Sequence():
            return [_value(item) for item in node.items]
        case Mapping():
            return {key.text: _value(value) for key, value in node.entries}
        case Broken():
            return None


def _scalar_value(text: str) -> object:
    """Return what plain text means, by the core schema of YAML 1.2."""
    if text in WORDS:
        return WORDS[text]
    try:
        if INTEGER.fullmatch(text):
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        if FLOAT.fullmatch(text):
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        pass  # thousands of digits
    return text


class _ShortTagScanner(Scanner):
    """The scanner with tags that end where YAML says: at white space, a bracket or a comma."""

    def scan_tag(self) -> Any:
        """Read `!Name` as one word; there are no handles, and `%TAG` means nothing."""
        start = self.reader.get_mark()
        length = 1
        while self.reader.peek(length) not in "\0 \t\r\n\x85\u2028\u2029,[]{}":
            length += 1
        name = self.reader.prefix(length).replace("%", "%25")  # the parser decodes %XX, we do not want it to
        self.reader.forward(length)
        return TagToken((None, name), start, self.reader.get_mark())


def _events(text: str) -> Iterator[Any]:
    """Return the parser's events for `text`, made as they are asked for."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner = _ShortTagScanner
    events: Iterator[Any] = yaml.parse(text)
    return events


def _complaint(error: MarkedYAMLError) -> Complaint:
    """Return what the parser says, places counted from 1."""
    words = f"{error.context or ''} {error.problem or ''}"
    at, began = error.problem_mark, error.context_mark
    at = at or began
    return Complaint(
        words,
        at.line + 1 if at else 0,
        at.column + 1 if at else 0,
        began.line + 1 if began else 0,
        began.column + 1 if began else 0,
    )


class _GivenUp(Exception):  # noqa: N818 - not an error of ours, a way out of the loop
    """The rest of the file is not read."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what)
        self.problem = problem


class _Open:
    """A list or mapping whose end was not met yet. `height`: levels below it; `size`: nodes in it."""

    __slots__ = ("anchor", "height", "is_mapping", "mark", "nodes", "size", "tag")

    def __init__(self, is_mapping: bool, mark: Mark, tag: str, anchor: str) -> None:
        self.is_mapping = is_mapping
        self.mark = mark
        self.tag = tag
        self.anchor = anchor
        self.nodes: list[Node] = []
        self.size = 1
        self.height = 1


class _Builder:
    """Turns events into nodes and keeps what is wrong."""

    def __init__(self, file: str, include: Include) -> None:
        self.file = file
        self.include = include
        self.included: dict[str, None] = {}
        self.problems: list[Problem] = []
        self.root: Node | None = None
        self.height = 0
        self.last = Mark(file)
        self.open: list[_Open] = []
        self.anchors: dict[str, tuple[Node, int, int]] = {}
        self.count = 0
        self.documents = 0

    def tree(self) -> Tree:
        """Return what was read."""
        if self.root is not None and self.root.tag == UNPACK and not isinstance(self.root, Broken):
            self.misplaced(self.root)
            self.root = Broken(self.root.mark)
        return Tree(self.root, tuple(self.problems), self.count, self.height, tuple(self.included))

    def broken(self) -> Tree:
        """Return only what is wrong."""
        return Tree(None, tuple(self.problems), 0, 0, tuple(self.included))

    def build(self, events: Iterator[Any]) -> None:
        """Read every event; the root is then the node of the only document."""
        for event in events:
            mark = self.last = Mark(self.file, event.start_mark.line + 1, event.start_mark.column + 1)
            if isinstance(event, ScalarEvent):
                self.spend(mark, 1)
                self.add(*self.scalar(event, mark))
            elif isinstance(event, (MappingStartEvent, SequenceStartEvent)):
                self.spend(mark, 1)
                self.check_depth(mark, 1)
                is_mapping = isinstance(event, MappingStartEvent)
                self.open.append(_Open(is_mapping, mark, event.tag or "", event.anchor or ""))
            elif isinstance(event, (MappingEndEvent, SequenceEndEvent)):
                done = self.open.pop()
                self.add(self.finished(done), done.anchor, done.size, done.height)
            elif isinstance(event, AliasEvent):
                self.add(*self.alias(event.anchor, mark))
            elif isinstance(event, DocumentStartEvent):
                self.documents += 1
                if self.documents > 1:
                    self.stop(mark, "a second document begins here", "take the '---' away", "yaml-syntax")

    def stop(self, mark: Mark, what: str, remedy: str, name: str) -> None:
        """Give up on the rest of the file."""
        raise _GivenUp(Problem(mark, what, remedy, name))

    def report(self, mark: Mark, what: str, remedy: str, name: str) -> None:
        """Keep a problem and go on."""
        self.problems.append(Problem(mark, what, remedy, name))

    def check_depth(self, mark: Mark, height: int) -> None:
        """Give up when something of this height would make the tree too deep."""
        if len(self.open) + height > MAX_DEPTH:
            self.stop(mark, f"nested deeper than {MAX_DEPTH} levels", "a vagga.yaml needs about 10", "yaml-too-deep")

    def spend(self, mark: Mark, size: int) -> None:
        """Count nodes; give up when the file means more of them than anybody writes."""
        self.count += size
        if self.count > MAX_NODES:
            what = f"more than {MAX_NODES} keys and values, those of aliases counted at each use"
            self.stop(mark, what, "split the project, or use fewer aliases", "yaml-too-large")

    def add(self, node: Node, anchor: str, size: int, height: int) -> None:
        """Put a complete node where it belongs; `size` and `height` count what is in it."""
        if anchor:
            self.anchors[anchor] = (node, size, height)
        if not self.open:
            self.root, self.height = node, height
            return
        parent = self.open[-1]
        parent.nodes.append(node)
        parent.size += size
        parent.height = max(parent.height, height + 1)

    def alias(self, name: str, mark: Mark) -> tuple[Node, str, int, int]:
        """Return what `*name` stands for."""
        if name in self.anchors:
            node, size, height = self.anchors[name]
            self.spend(mark, size)
            self.check_depth(mark, height)
            return node, "", size, height
        self.spend(mark, 1)
        if any(level.anchor == name for level in self.open):
            self.report(mark, f"alias '*{name}' stands inside its own value", "", "yaml-alias")
        else:
            remedy = f"define '&{name}' before, or put text that begins with '*' in quotes"
            self.report(mark, f"unknown alias '*{name}'", remedy, "yaml-alias")
        return Broken(mark), "", 1, 1

    def scalar(self, event: Any, mark: Mark) -> tuple[Node, str, int, int]:
        """Return the node of a single value, its anchor, its size and its height."""
        tag, anchor = event.tag or "", event.anchor or ""
        text = event.value
        if tag == INCLUDE and not (self.open and self.open[-1].is_mapping and len(self.open[-1].nodes) % 2 == 0):
            node, size, height = self.of_file(mark, text)
            return node, anchor, size, height
        if tag in NOT_SUPPORTED:
            return self.not_supported(mark, tag), anchor, 1, 1
        if "\0" in text or (not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)):
            self.report(mark, "text with a NUL or half a character", "take the escape away", "not-text")
            return Broken(mark, tag), anchor, 1, 1
        return Scalar(mark, tag, text, not event.style), anchor, 1, 1

    def of_file(self, mark: Mark, path: str) -> tuple[Node, int, int]:
        """Return what `!*Include` stands for, its size and its height."""
        if not path or path.startswith("/") or ".." in path.split("/"):
            remedy = "name a file below the directory of this one, without '..'"
            self.report(mark, f"'{path}' cannot be included", remedy, "bad-include")
            return Broken(mark), 1, 1
        tree = self.include(mark, path)
        self.included.update(dict.fromkeys(tree.included))
        self.problems += tree.problems
        if tree.root is None:
            return (Broken(mark) if tree.problems else Scalar(mark, "", "")), 1, 1
        self.spend(mark, tree.size)
        self.check_depth(mark, tree.height)
        return tree.root, tree.size + 1, tree.height

    def not_supported(self, mark: Mark, tag: str) -> Broken:
        """Report a tag that works on the text before it gets its meaning."""
        self.report(mark, f"tag '{tag}' is not supported", f"write '{INCLUDE} FILE' for each file", "not-available")
        return Broken(mark, tag)

    def misplaced(self, node: Node) -> None:
        """Report an `!*Unpack` that is no item of a list, or has no list."""
        self.report(node.mark, f"'{UNPACK}' has no place here", f"write '- {UNPACK} [*name]' in a list", "bad-unpack")

    def unpacked(self, nodes: list[Node]) -> list[Node]:
        """Return the items of a list, with those of the lists that `!*Unpack` names among them."""
        found: list[Node] = []
        for node in nodes:
            if node.tag != UNPACK or isinstance(node, Broken):
                found.append(node)
                continue
            if not isinstance(node, Sequence):
                self.misplaced(node)
                continue
            for part in node.items:
                if isinstance(part, Sequence) and part.tag in ("", UNPACK):
                    found += part.items
                elif not isinstance(part, Broken) and not is_null(part):
                    remedy = f"write '{UNPACK} [*name]' or '{UNPACK} [[one, two]]'"
                    self.report(part.mark, f"each item of '{UNPACK}' must be a list", remedy, "bad-unpack")
        return found

    def finished(self, done: _Open) -> Node:
        """Return the node of a list or mapping that is complete."""
        if done.tag in NOT_SUPPORTED:
            return self.not_supported(done.mark, done.tag)
        if done.tag == INCLUDE or (done.tag == UNPACK and done.is_mapping):
            what = f"'{done.tag}' needs " + ("the path of a file" if done.tag == INCLUDE else "a list of lists")
            self.report(done.mark, what, "", "bad-include" if done.tag == INCLUDE else "bad-unpack")
            return Broken(done.mark, done.tag)
        if not done.is_mapping:
            return Sequence(done.mark, done.tag, tuple(self.unpacked(done.nodes)))
        pairs = list(zip(done.nodes[::2], done.nodes[1::2], strict=True))
        return Mapping(done.mark, done.tag, self.entries(pairs))

    def entries(self, pairs: list[tuple[Node, Node]]) -> tuple[tuple[Scalar, Node], ...]:
        """Return the entries of a mapping: checked keys, merge keys replaced by what they bring."""
        own: dict[str, Scalar] = {}
        kept: list[tuple[Scalar, Node]] = []
        for key, value in pairs:
            if isinstance(key, Broken):
                continue
            if not isinstance(key, Scalar) or key.tag or is_null(key):
                self.report(key.mark, "a key must be plain text", "write 'key: value', quotes are fine", "bad-key")
            elif key.text in own:
                what = f"key '{key.text}' is written twice, first in line {own[key.text].mark.line}"
                self.report(key.mark, what, "keep one of them", "duplicate-key")
            else:
                own[key.text] = key
                if value.tag == UNPACK and not isinstance(value, Broken):
                    self.misplaced(value)
                    value = Broken(value.mark)
                kept.append((key, value))
        if "<<" not in own or not own["<<"].plain:
            return tuple(kept)
        merged: list[tuple[Scalar, Node]] = []
        seen = set(own)
        for key, value in kept:
            if key.text != "<<":
                merged.append((key, value))
                continue
            for source in self.sources(value):
                fresh = [entry for entry in source.entries if entry[0].text not in seen]
                seen.update(entry[0].text for entry in fresh)
                merged += fresh
        return tuple(merged)

    def sources(self, node: Node) -> list[Mapping]:
        """Return the mappings that a merge key names, the strongest first."""
        if isinstance(node, Mapping):
            return [node]
        if isinstance(node, Sequence) and all(isinstance(item, (Mapping, Broken)) for item in node.items):
            return [item for item in node.items if isinstance(item, Mapping)]
        if not isinstance(node, Broken) and not is_null(node):
            remedy = "write '<<: *name' or '<<: [*one, *two]'"
            self.report(node.mark, "'<<' needs a mapping or a list of mappings", remedy, "bad-merge")
        return []
