"""Nodes -> the steps of a container, checked against the shapes that the steps declare. Pure.

Source: vagga.md 7.2. Differs: what a step refers to is checked when the file is read, and the steps that
`!SubConfig` takes from another file are read then too.
"""

from __future__ import annotations

from vaggapy.config.fields import BUILT, LATER_STEPS, NO_EFFECT
from vaggapy.config.model import Step
from vaggapy.config.shapes import KEYS, NOTHING, PAIRS, TEXT, TEXTS
from vaggapy.config.tree import Broken, Mapping, Scalar, Sequence, Tree, is_null
from vaggapy.config.values import HIGHEST_ID, Reader, Reference, Structure, untagged
from vaggapy.errors import Mark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import abc
    from collections.abc import Callable

    from vaggapy.config.fields import Field
    from vaggapy.config.shapes import Shape
    from vaggapy.config.tree import Node

    Shapes = abc.Mapping[str, Shape]
    Look = Callable[[str], Tree]

HOST = "!Host"
SUBCONFIG = "!SubConfig"
LISTED = "docs/build-steps.md"
MAX_STEPS = 5_000
"""Steps of all containers together, those of other files counted at each use."""
MAX_DEPTH = 20
"""Files that name each other by `!SubConfig`."""
SUBCONFIG_FILE = "vagga.yaml"
ABSOLUTE = "absolute path"
WORDS = {
    NOTHING: "nothing",
    TEXT: "text",
    TEXTS: "a list of texts",
    PAIRS: "'name: value' lines",
    KEYS: "keys and values",
}


def nowhere(path: str) -> Tree:
    """Return what is in another file of the project where no file can be read: nothing."""
    return Tree(Mapping(Mark(path), ""))


def builds(tree: Tree) -> bool:
    """Tell whether a file has steps other than `!Host`, so that somebody must know how they are written."""
    containers = _entry(tree.root, "containers")
    for _, container in containers.entries if isinstance(containers, Mapping) else ():
        setup = _entry(container, "setup")
        if isinstance(setup, Sequence) and any(step.tag != HOST for step in setup.items):
            return True
    return False


class Steps:
    """Binds steps, knowing how each is written.

    `look` reads another file of the project, by its path below it; it raises nothing, problems are in the tree.
    """

    def __init__(self, reader: Reader, shapes: Shapes, look: Look = nowhere) -> None:
        """Begin; what is wrong is reported to `reader`."""
        self.reader = reader
        self.shapes = shapes
        self.look = look
        self.tags = {**LATER_STEPS, HOST: BUILT, **dict.fromkeys(shapes, BUILT)}
        self.files: dict[str, Tree] = {}
        self.open: list[tuple[str, str]] = []
        self.count = 0

    def tag(self, node: Node) -> str:
        """Return the tag of a step that can be used, else report and return ''."""
        tag = self.reader.tag(node, self.tags, "a step", LISTED)
        remedy = self.shapes[tag].later if tag in self.shapes else ""
        if remedy:
            what = f"tag '{tag}' of a step is known but not available"
            self.reader.report(node.mark, what, remedy, "not-available")
        return "" if remedy else tag

    def steps(self, nodes: tuple[Node, ...], owner: str) -> tuple[Step, ...]:
        """Return the steps of the container `owner`, without those that are wrong."""
        found = []
        for node in nodes:
            self.count += 1
            if self.count > MAX_STEPS:
                if self.count == MAX_STEPS + 1:
                    self.reader.report(node.mark, f"more than {MAX_STEPS} steps", "use fewer", "config-too-large")
                break
            tag = self.tag(node)
            if tag == HOST:
                what = f"{HOST} is not the only step"
                self.reader.report(node.mark, what, "the host's root cannot be built on", "container-setup")
            elif tag:
                found.append(Step(tag, node.mark, self.values(node, self.shapes[tag], owner)))
        return tuple(found)

    def values(self, node: Node, shape: Shape, owner: str) -> dict[str, object]:
        """Return the values that were written, under names in snake_case."""
        form = _form(node, shape)
        if not form:
            right = " or ".join(WORDS[form] for form in shape.forms)
            example = {TEXTS: f"write '{shape.tag} [one, two]'", TEXT: f"write '{shape.tag} TEXT'"}
            follow = "without a value" if shape.forms == (NOTHING,) else f"followed by {right}"
            self.reader.wrong(node, shape.tag, follow, example.get(shape.forms[0], ""))
            return {}
        if form == NOTHING:
            return {}
        if form != KEYS:
            field, before = shape.fields[shape.argument], len(self.reader.problems)
            value = self.value(untagged(node), field, shape.tag, shape.tag, owner)
            if field.needed and value == () and len(self.reader.problems) == before:
                self.reader.report(node.mark, f"{shape.tag} is empty", "take it away, or name something", "bad-value")
            return {} if value is None else {_snake(shape.argument): value}
        fields = Structure(self.reader, node, shape.fields, shape.tag, page=LISTED)
        if shape.tag == SUBCONFIG:
            return self.part(fields, owner)
        found: dict[str, object] = {}
        for key, field in shape.fields.items():
            if fields.has(key) and field.state != NO_EFFECT:
                value = self.value(fields.values[key], field, key, shape.tag, owner)
                if value is not None:
                    found[_snake(key)] = value
        return found

    def value(self, node: Node, field: Field, key: str, tag: str, owner: str) -> object:
        """Return one value of the type that its field names; after a problem, something of that type or None."""
        reader, kind = self.reader, field.type
        what = key if key == tag else f"'{key}'"
        if kind in SINGLE:
            return SINGLE[kind](reader, node, what)
        if kind.startswith("choice "):
            return reader.choice(node, key, tuple(kind.removeprefix("choice ").split(", ")))
        if kind != "container":
            raise ValueError(f"{tag}: no values of type '{kind}' are known")
        name = reader.text(node, what)
        if name:
            reader.references.append(Reference(name, node.mark, tag, owner))
        return name

    # --- parts of other files -------------------------------------------------------------------------------------

    def part(self, fields: Structure, owner: str) -> dict[str, object]:
        """Return the values of `!SubConfig`, with the `steps` that it stands for.

        What these refer to, files and containers, is that of this project, as if they were written here.
        """
        reader = self.reader
        name = fields.text("container")
        node = fields.values.get("path")
        path = SUBCONFIG_FILE
        found: dict[str, object] = {}
        if node is not None:
            path = reader.path(node, reader.text(node, "'path'"), "path", absolute=False)
            found["path"] = path
        found["container"] = name
        source = fields.values.get("source")
        place = reader.tag(source, SOURCES, "'source'") if source is not None else "!Directory"
        if source is not None and place == "!Container":
            other = reader.text(untagged(source), place)
            reader.references.append(Reference(other, source.mark, SUBCONFIG, owner))
            return {**found, "source_container": other}
        if path and name and place:
            found["steps"] = self.borrowed(path, name, fields, owner)
        return found

    def borrowed(self, path: str, name: str, fields: Structure, owner: str) -> tuple[Step, ...]:
        """Return the steps of the container `name` of another file."""
        mark = fields.values["container"].mark
        if (path, name) in self.open or len(self.open) >= MAX_DEPTH:
            places = [*self.open, (path, name)][-4:]
            circle = " -> ".join(f"{other} of '{file}'" for file, other in places)
            self.reader.report(
                mark, f"{SUBCONFIG} leads to itself: {circle}", "take one of them away", "container-cycle"
            )
            return ()
        if path not in self.files:
            self.files[path] = self.look(path)
            self.reader.problems += self.files[path].problems
        found = _entry(self.files[path].root, "containers")
        setup = _entry(_entry(found, name), "setup") if found is not None else None
        if self.files[path].problems:
            return ()
        if setup is None or (found is not None and _entry(found, name) is None):
            names = [key.text for key, _ in found.entries] if isinstance(found, Mapping) else []
            remedy = self.reader.near(name, names, f"one of {', '.join(names[:10])}" if names else "")
            self.reader.report(mark, f"unknown container '{name}' in '{path}'", remedy, "unknown-container")
            return ()
        self.open.append((path, name))
        steps = self.steps(setup.items if isinstance(setup, Sequence) else (), owner)
        self.open.pop()
        return steps


SOURCES = {"!Directory": BUILT, "!Container": BUILT, "!Git": "later"}


def _entry(node: Node | None, key: str) -> Node | None:
    """Return the value of a key of a mapping, None where there is none."""
    if isinstance(node, Mapping):
        return next((value for name, value in node.entries if name.text == key), None)
    return None


def _form(node: Node, shape: Shape) -> str:
    """Return which of its forms a step is written in, "" for none."""
    forms = shape.forms
    if isinstance(node, Broken):
        return ""
    if is_null(node):
        # nothing after the tag: a list, pairs or keys that are empty
        wanted: tuple[str, ...] = (NOTHING, KEYS, TEXTS, PAIRS)
    elif isinstance(node, Scalar):
        wanted = (TEXT,)
    elif isinstance(node, Sequence):
        wanted = (TEXTS,)
    else:
        wanted = (KEYS, PAIRS)
    return next((form for form in wanted if form in forms), "")


def _snake(key: str) -> str:
    return key.replace("-", "_")


# --- types of fields ----------------------------------------------------------------------------------------------


def _texts(reader: Reader, node: Node, what: str) -> tuple[str, ...]:
    return tuple(text for text, _ in reader.texts(node, what))


def _numbers(reader: Reader, node: Node, what: str) -> tuple[int, ...]:
    if not isinstance(node, Sequence):
        reader.texts(node, what)
        return ()
    return tuple(reader.number(item, f"each item of {what}", 0, HIGHEST_ID, 0) for item in node.items)


def _absolute(reader: Reader, node: Node, what: str) -> str:
    """Return an absolute path; `/` itself is one."""
    text = reader.text(node, what)
    if text and not text.strip("/."):
        return "/" if text.startswith("/") and ".." not in text else reader.path(node, text, what, absolute=True)
    return reader.path(node, text, what, absolute=True) if text else ""


def _inner(reader: Reader, node: Node, what: str) -> str:
    """Return an absolute path below the root."""
    text = reader.text(node, what)
    return reader.path(node, text, what, absolute=True) if text else ""


def _relative(reader: Reader, node: Node, what: str) -> str:
    """Return a relative path; `.` is written "" from here on."""
    text = reader.text(node, what)
    return reader.path(node, text, what, absolute=False) if text not in ("", ".", "./") else ""


def _absolutes(reader: Reader, node: Node, what: str) -> tuple[str, ...]:
    found = (reader.path(item, text, what, absolute=True) for text, item in reader.texts(node, what))
    return tuple(path for path in found if path)


def _by_path(reader: Reader, node: Node, what: str) -> dict[str, str]:
    """Return texts by absolute path; nothing is an empty text."""
    found: dict[str, str] = {}
    for key, value in reader.pairs(node, what):
        path = reader.path(key, key.text, "path", absolute=True)
        if path and path in found:
            reader.report(key.mark, f"'{path}' is written twice", "keep one of them", "duplicate-key")
        text = "" if is_null(value) and not value.tag else reader.text(value, f"'{key.text}'")
        if path:
            found[path] = text
    return found


def _names_by_path(reader: Reader, node: Node, what: str) -> dict[str, str]:
    """Return relative paths by absolute path."""
    found: dict[str, str] = {}
    for key, value in reader.pairs(node, what):
        path = reader.path(key, key.text, "path", absolute=True)
        text = reader.text(value, f"'{key.text}'")
        name = reader.path(value, text, f"'{key.text}'", absolute=False) if text else ""
        if path and name:
            found[path] = name
    return found


SINGLE: dict[str, Callable[[Reader, Node, str], object]] = {
    "text": Reader.text,
    "texts": _texts,
    "list of texts": _texts,
    "numbers": _numbers,
    "list of numbers": _numbers,
    "name: text": Reader.environ,
    "true or false": Reader.flag,
    "number": lambda reader, node, what: reader.number(node, what, 0, HIGHEST_ID, 0),
    "file mode": lambda reader, node, what: reader.mode(node, what, 0),
    ABSOLUTE: _absolute,
    "path below /": _inner,
    "relative path": _relative,
    "absolute paths": _absolutes,
    "path: text": _by_path,
    "path: name": _names_by_path,
}
"""How a value of each type is read; besides these there are `container` and `choice A, B`."""
