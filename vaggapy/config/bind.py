"""Tree of nodes -> `Project`, or every problem of the file at once. Pure.

The keys that exist are in `fields.py`, single values are read by `values.py`, containers and volumes by
`containers.py`; here are the whole file, the commands and what refers to what.

Source: vagga.md 2.2, 2.5, 3.1. Differs: names of containers and prerequisites are checked when the file is read,
an alias that collides is a problem, and a `!Supervise` without children too.
"""

from __future__ import annotations

from vaggapy.config.containers import container
from vaggapy.config.fields import CHILD, CHILD_TAGS, COMMAND, COMMAND_TAGS, GROUP_RULE_KEYS, RULE_KEYS, SUPERVISE, TOP
from vaggapy.config.mixins import Part, Parts, paths
from vaggapy.config.model import (
    COMPATIBLE_WITH,
    KEEP_GOING,
    MODES,
    PID1_MODES,
    Child,
    Command,
    Program,
    Project,
    Supervise,
)
from vaggapy.config.references import check_containers, check_initial, persistent, unknown
from vaggapy.config.steps import Steps, nowhere
from vaggapy.config.tree import Broken, Mapping, Scalar, Sequence
from vaggapy.config.values import HIGHEST_ID, Reader, Structure
from vaggapy.config.versions import older
from vaggapy.config.volumes import volumes
from vaggapy.errors import ConfigError, Mark, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.rules import Rules
    from vaggapy.config.steps import Look, Shapes
    from vaggapy.config.tree import Node, Tree

    Entries = tuple[tuple[Scalar, Node], ...]

MAX_PROBLEMS = 100
LONGEST_MESSAGE = 300
LONGEST_VERSION = 50
TRANSIENT = ("transient", "transient-hard-link-copy")
"""The same: the second is the name of other versions, which made copies."""
KILL_AFTER = 2
BANNER_DELAY_MOST = 86_400
KILL_AFTER_MOST = 86_400


def bind(
    tree: Tree,
    directory: str,
    file: str,
    shapes: Shapes | None = None,
    look: Look = nowhere,
    parts: Parts | None = None,
) -> Project:
    """Return what the file means. `directory` is the project's, `file` the name for marks.

    `shapes`: how each step is written, by its tag. `look` returns the tree of another file of the project, by its
    path below `directory`. `parts`: all files that make up the project, if there are others.

    Raises:
        ConfigError: with every problem of the files, in their order; at most `MAX_PROBLEMS` and their number.
    """
    reader = Reader(file)
    parts = parts or Parts(Part(file, tree))
    tops = [_top(reader, part) for part in (*parts.over, parts.main, *parts.under)]
    if any(top is None for top in tops):
        raise ConfigError(_in_order(reader.problems, file))
    found = _merged([top for top in tops if top], "containers")
    written = _merged([top for top in tops if top], "commands")
    binder = _Binder(reader, found, written)
    steps = Steps(reader, shapes or {}, look)
    containers = {key.text: container(reader, key, node, steps) for key, node in found}
    commands = {key.text: command for key, node in written if (command := binder.command(key, node)) is not None}
    binder.check_aliases(commands)
    check_containers(reader, containers)
    check_initial(reader, containers, commands, binder.commands)
    if reader.problems:
        raise ConfigError(_in_order(reader.problems, file))
    aliases = {alias: name for name, command in commands.items() for alias in command.aliases}
    volumes = persistent(containers, commands)
    return Project(
        directory, file, containers, commands, warnings=tuple(reader.warnings), aliases=aliases, persistent=volumes
    )


def _top(reader: Reader, part: Part) -> Structure | None:
    """Return the keys at the top of a file, None for one that is no YAML."""
    reader.problems += part.tree.problems
    if part.tree.root is None and part.tree.problems:
        return None
    root = part.tree.root or Mapping(Mark(part.file), "")
    reader.no_tag(root, "the top of the file")
    top = Structure(reader, root, TOP, "the top of the file")
    _check_version(reader, top)
    paths(reader, top.values.get("mixins"))
    return top


def _merged(tops: list[Structure], key: str) -> tuple[tuple[Scalar, Node], ...]:
    """Return the entries of all files, the stronger one where several have a name."""
    found: dict[str, tuple[Scalar, Node]] = {}
    for top in tops:
        for name, node in top.pairs(key):
            found.setdefault(name.text, (name, node))
    return tuple(found.values())


def _in_order(problems: list[Problem], file: str) -> tuple[Problem, ...]:
    """Return the problems in the order of the file, each once; a too old vagga comes first, it explains the rest."""
    unique = {(problem.mark, problem.what): problem for problem in problems}.values()
    ordered = sorted(
        unique, key=lambda p: (p.name != "vagga-too-old", p.mark.file != file, p.mark.file, p.mark.line, p.mark.column)
    )
    more = len(ordered) - MAX_PROBLEMS
    if more > 0:
        ordered[MAX_PROBLEMS:] = [Problem(Mark(file), f"{more} more problems", "mend the first ones", "more-problems")]
    return tuple(Problem(p.mark, _short(p.what), _short(p.remedy), p.name) for p in ordered)


def _short(text: str) -> str:
    """Return a message without the middle of what is much too long for one."""
    return text if len(text) <= LONGEST_MESSAGE else f"{text[: LONGEST_MESSAGE // 2]}...{text[-80:]}"


def _check_version(reader: Reader, top: Structure) -> None:
    """Check `minimum-vagga`."""
    wanted = top.text("minimum-vagga")
    if not wanted:
        return
    mark = top.values["minimum-vagga"].mark
    if len(wanted) > LONGEST_VERSION:
        reader.report(mark, "'minimum-vagga' is not a version", "as in 0.8.1", "bad-value")
    elif older(COMPATIBLE_WITH, wanted):
        what = f"the file needs vagga {wanted}, this one understands files of {COMPATIBLE_WITH}"
        reader.report(mark, what, "upgrade vaggapy, or lower 'minimum-vagga'", "vagga-too-old")


class _Binder:
    """Binds commands, knowing the names that exist."""

    def __init__(self, reader: Reader, containers: Entries, commands: Entries) -> None:
        self.reader = reader
        self.containers = {key.text: None for key, _ in containers}
        self.commands = {key.text: None for key, _ in commands}
        self.aliases = _aliases(commands)

    def command(self, key: Scalar, node: Node) -> Command | Supervise | None:
        """Return one entry of `commands`, None after a problem with its tag."""
        self.reader.name(key, "command")
        tag = self.reader.tag(node, COMMAND_TAGS, f"command '{key.text}'")
        if not tag:
            return None
        what = f"{tag} '{key.text}'"
        fields = Structure(self.reader, node, COMMAND if tag == "!Command" else SUPERVISE, what, key.mark)
        banner, delay = self.banner(fields)
        if tag == "!Command":
            return Command(
                key.text,
                key.mark,
                self.program(fields),
                fields.text("description"),
                fields.text("epilog"),
                fields.text("group"),
                fields.texts("aliases"),
                self.prerequisites(fields),
                fields.flag("isolate-network"),
                options=fields.text("options"),
                symlink_name=self.symlink(fields),
                banner=banner,
                banner_delay=delay,
                expect_inotify_limit=self.inotify(fields),
            )
        self.socket(fields)
        mode, children = fields.choice("mode", MODES), self.children(fields, what)
        bound = tuple(self.child(name, child) for name, child in children)
        return Supervise(
            key.text,
            key.mark,
            bound,
            mode,
            fields.number("kill-unresponsive-after", KILL_AFTER, 1, KILL_AFTER_MOST),
            fields.text("description"),
            fields.text("epilog"),
            fields.text("group"),
            fields.texts("aliases"),
            self.prerequisites(fields),
            fields.flag("isolate-network"),
            options=fields.text("options"),
            symlink_name=self.symlink(fields),
            banner=banner,
            banner_delay=delay,
            expect_inotify_limit=self.inotify(fields),
            rules=self.rules(fields, children, mode),
        )

    def children(self, fields: Structure, what: str) -> tuple[tuple[Scalar, Structure], ...]:
        """Return the children of a `!Supervise`, each with its name; there must be one at least."""
        if not fields.has("children"):
            return ()
        before = len(self.reader.problems)
        pairs = fields.pairs("children")
        if not pairs and len(self.reader.problems) == before and not isinstance(fields.values["children"], Broken):
            remedy = "write 'name: !Command' below it"
            self.reader.report(fields.keys["children"].mark, f"{what} has no children", remedy, "empty-children")
        children = []
        for key, node in pairs:
            self.reader.name(key, "child")
            if self.reader.tag(node, CHILD_TAGS, f"child '{key.text}'"):
                children.append((key, Structure(self.reader, node, CHILD, f"child '{key.text}'", key.mark)))
        return tuple(children)

    def rules(self, fields: Structure, children: tuple[tuple[Scalar, Structure], ...], mode: str) -> Rules | None:
        """Return what a `!Supervise` and its children say beyond the two plain modes, None for nothing."""
        ruled = any(any(map(child.has, RULE_KEYS)) for _, child in children)
        if not ruled and mode != KEEP_GOING and not any(map(fields.has, GROUP_RULE_KEYS)):
            return None
        from vaggapy.config.group import rules  # ten modules, which plain files do without

        return rules(self.reader, fields, children, mode)

    def child(self, key: Scalar, fields: Structure) -> Child:
        """Return one child, without its rules."""
        program, prerequisites = self.program(fields), self.prerequisites(fields)
        return Child(key.text, key.mark, program, fields.texts("tags"), prerequisites, *self.banner(fields))

    def program(self, fields: Structure) -> Program:
        """Return what is to be run, for a command or a child."""
        mode = fields.choice("write-mode", ("read-only", *TRANSIENT))
        run = self.run(fields)
        return Program(
            self.container(fields),
            fields.values["container"].mark if fields.has("container") else fields.mark,
            run,
            fields.text("work-dir"),
            fields.environ(),
            volumes(self.reader, fields),
            fields.number("user-id", 0, 0, HIGHEST_ID),
            fields.number("group-id", 0, 0, HIGHEST_ID),
            fields.numbers("supplementary-gids", 0, HIGHEST_ID),
            self.socket(fields),
            fields.flag("accepts-arguments", default=isinstance(run, tuple)),
            mode in TRANSIENT,
            fields.choice("pid1mode", PID1_MODES),
            fields.number("external-user-id", -1, 0, HIGHEST_ID),
        )

    def banner(self, fields: Structure) -> tuple[str, int]:
        """Return what is shown after the start, and after how many seconds."""
        return fields.text("banner"), fields.number("banner-delay", 0, 0, BANNER_DELAY_MOST)

    def inotify(self, fields: Structure) -> int:
        """Return how many files the command wants to watch, 0 for no matter."""
        return fields.number("expect-inotify-limit", 0, 1, HIGHEST_ID)

    def run(self, fields: Structure) -> str | tuple[str, ...]:
        """Return a text for the shell or the words of a command line."""
        node = fields.values.get("run")
        if node is None:
            return ""
        words = fields.texts("run") if isinstance(node, Sequence) else ()
        if isinstance(node, Sequence):
            if not node.items or (words[:1] == ("",) and not isinstance(node.items[0], Broken)):
                self.reader.report(node.mark, "'run' names no program", "as in [ls, -l]", "bad-value")
            return words
        if isinstance(node, Scalar):
            text = fields.text("run")
            if not text.strip():
                self.reader.report(node.mark, "'run' is empty", "write a command line", "bad-value")
            return text
        self.reader.wrong(node, "'run'", "text or a list of texts")
        return ""

    def container(self, fields: Structure) -> str:
        """Return the name of a container that exists."""
        name = fields.text("container")
        if name and name not in self.containers:
            unknown(self.reader, name, fields.values["container"].mark, self.containers)
        return name

    def symlink(self, fields: Structure) -> str:
        """Return the name of the link that stands for the command; vagga's own names cannot be told from it."""
        name = fields.text("symlink-name")
        if name and (name.startswith((".", "-")) or "/" in name or not name.isprintable() or " " in name):
            what, remedy = f"'{name}' is no name for a link", "a name has no space and no '/', as in psql"
            self.reader.report(fields.values["symlink-name"].mark, what, remedy, "bad-name")
        elif name == "vagga" or name.startswith("vagga_"):
            what, remedy = f"a link '{name}' would be vagga itself", "choose another name"
            self.reader.report(fields.values["symlink-name"].mark, what, remedy, "bad-name")
        return name

    def prerequisites(self, fields: Structure) -> tuple[str, ...]:
        """Return the names of commands that exist."""
        found = fields.items("prerequisites")
        for name, node in found:
            if name and name not in self.commands:
                owner = self.aliases.get(name, "")
                remedy = f"write '{owner}', '{name}' is its alias" if owner else ""
                remedy = remedy or self.reader.near(name, self.commands, "add it below 'commands:'")
                self.reader.report(node.mark, f"unknown command '{name}'", remedy, "unknown-command")
        return tuple(name for name, _ in found)

    def socket(self, fields: Structure) -> str:
        """Return the text of `pass-tcp-socket`, its port checked."""
        text = fields.text("pass-tcp-socket")
        if text:
            address, _, port = text.rpartition(":")
            right = port.isascii() and port.isdecimal() and len(port) < 6 and int(port) < 65536
            if not right or (":" in text and not address):
                mark = fields.values["pass-tcp-socket"].mark
                what = f"'{text}' is no address to listen on"
                self.reader.report(mark, what, "PORT, *:PORT or HOST:PORT", "bad-value")
        return text

    def check_aliases(self, commands: dict[str, Command | Supervise]) -> None:
        """Report aliases that mean two things."""
        owners: dict[str, str] = {}
        for name, command in commands.items():
            for alias in command.aliases:
                other = alias if alias in self.commands else owners.get(alias, name)
                if other != name or alias == name:
                    what = f"alias '{alias}' of '{name}' is also "
                    what += "a command" if alias in self.commands else f"an alias of '{other}'"
                    self.reader.report(command.mark, what, "keep one of them", "alias-collision")
                owners.setdefault(alias, name)


def _aliases(commands: Entries) -> dict[str, str]:
    """Return which command each alias belongs to, read before the commands are bound."""
    found: dict[str, str] = {}
    for name, command in commands:
        for key, value in command.entries if isinstance(command, Mapping) else ():
            if key.text == "aliases" and isinstance(value, Sequence):
                for item in value.items:
                    if isinstance(item, Scalar):
                        found.setdefault(item.text, name.text)
    return found
