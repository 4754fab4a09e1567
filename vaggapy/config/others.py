"""Read what belongs to a vagga.yaml: the settings, mixins, and other files of the project that it names.

It acts, as `load` does: it opens regular files of a sensible size, and never waits for one.
"""

from __future__ import annotations

import os

from vaggapy.config.load import MAX_BYTES, contents, decoded, problem
from vaggapy.config.mixins import SKIPPED, Part, Parts, named
from vaggapy.config.settings import OF_PROJECT, OF_USER, VARIABLE, Merged
from vaggapy.config.tree import MAX_NODES, Tree, no_include, parse
from vaggapy.errors import ConfigError, Mark, Problem
from vaggapy.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from vaggapy.config.load import Found
    from vaggapy.config.tree import Include

MAX_FILES = 200
"""Files of one project that are included, mixed in or named by `!SubConfig`."""
MAX_TOTAL = 4 * MAX_BYTES
MOST_NODES = 5 * MAX_NODES
"""Keys and values of all these files; those of an included file count for each that includes it."""
MAX_NESTED = 20
"""Files that include each other."""


class Others:
    """Reads files, each once, and keeps their names: `inputs` were read, `missing` did not exist."""

    def __init__(self, directory: str) -> None:
        """Begin; `directory` is the project's."""
        self.directory = directory
        self.inputs: list[str] = []
        self.missing: list[str] = []
        self.trees: dict[str, Tree] = {}
        self.open: list[str] = []
        self.total = 0
        self.nodes = 0

    # --- parts of the project -------------------------------------------------------------------------------------

    def look(self, path: str) -> Tree:
        """Return the tree of a file, or its problem; `path` is relative to the project and holds no `..`."""
        whole = os.path.join(self.directory, path)
        return self._part(whole, Mark(whole))

    def include(self, mark: Mark, path: str) -> Tree:
        """Return what `!*Include PATH` at a place stands for, or the problem."""
        whole = os.path.join(os.path.dirname(mark.file), path)
        if whole in self.open or len(self.open) > MAX_NESTED:
            circle = " -> ".join(os.path.basename(file) for file in [*self.open[-3:], whole])
            what = f"files include each other without end: {circle}"
            return Tree(None, (Problem(mark, what, "take one of them away", "bad-include"),))
        if not os.path.lexists(whole):
            self.missing.append(whole)
            what = f"'{path}' cannot be included: it is not there"
            return Tree(None, (Problem(mark, what, "the path is relative to this file", "bad-include"),))
        return self._part(whole, mark)

    def _part(self, whole: str, mark: Mark, linked: bool = False) -> Tree:
        """Return the tree of a file with what it includes. `linked`: a link may lead out of the project."""
        whole = os.path.normpath(whole)
        if whole in self.trees:
            return self.trees[whole]
        if len(self.trees) >= MAX_FILES or self.total > MAX_TOTAL or self.nodes > MOST_NODES:
            most = f"more than {MAX_FILES} files, {MAX_TOTAL // 1024} KiB or {MOST_NODES:,} keys and values"
            return Tree(None, (Problem(mark, f"the project has {most}", "use fewer", "config-too-large"),))
        (self.inputs if os.path.lexists(whole) else self.missing).append(whole)
        real = os.path.realpath(whole)
        if not linked and not real.startswith(os.path.realpath(self.directory).rstrip("/") + "/"):
            what = "is a link that leads out of the project"
            return Tree(None, problem(whole, what, "copy the file", "config-unreadable").problems)
        self.open.append(whole)
        found = self.tree(whole, self.include)
        self.open.pop()
        self.nodes += found.size
        self.trees[whole] = replace(found, included=(whole, *found.included))
        return self.trees[whole]

    def parts(self, found: Found) -> Parts:
        """Return all files that make up the project, parsed.

        Raises:
            ConfigError: the main file cannot be read.
        """
        main = Part(found.file, self._main(found.file))
        absent: list[Problem] = []
        seen = {main.file}
        over: list[Part] = []
        for path in reversed(found.local):
            if path != main.file and os.path.lexists(path):
                seen.add(path)
                part = Part(path, self._part(path, Mark(path), linked=True))
                over += [part, *self._mixed(part, seen, absent)]
            elif path != main.file:
                self.missing.append(path)
        return Parts(main, tuple(over), tuple(self._mixed(main, seen, absent)), tuple(absent))

    def _main(self, file: str) -> Tree:
        """Return the tree of the main file, whose own problems nobody else can have."""
        text = decoded(file, contents(file))
        self.open.append(file)
        tree = parse(text, file, self.include)
        self.open.pop()
        return tree

    def _mixed(self, part: Part, seen: set[str], absent: list[Problem]) -> list[Part]:
        """Return the files that a file mixes in, each followed by its own; the strongest, which is the last, first."""
        found: list[Part] = []
        for path, mark in reversed(named(part.tree, part.file)):
            whole = os.path.normpath(os.path.join(os.path.dirname(part.file), path))
            if whole in seen or len(absent) > MAX_FILES:
                continue
            seen.add(whole)
            if not os.path.lexists(whole):
                self.missing.append(whole)
                absent.append(Problem(mark, f"mixin '{path}' is not there", "make it, or take it away", SKIPPED))
                continue
            other = Part(whole, self._part(whole, mark), (*part.via, part.file))
            found += [other, *self._mixed(other, seen, absent)]
        return found

    # --- settings -------------------------------------------------------------------------------------------------

    def settings(self, environ: Mapping[str, str]) -> Merged:
        """Return what all settings files and VAGGA_SETTINGS say, and what is wrong in them."""
        home = environ.get("HOME", "")
        home = os.path.normpath(home) if home.startswith("/") else ""
        merged = Merged(self.directory, home)
        of_user = [os.path.join(home, name) for name in OF_USER] if home else []
        for path in of_user:
            merged.add(self.optional(path), path, of_user=True)
        text = environ.get(VARIABLE, "")
        merged.add(parse(text, VARIABLE), VARIABLE, of_user=True)
        for name in OF_PROJECT:
            path = os.path.join(self.directory, name)
            if path not in of_user:
                merged.add(self.optional(path), path, of_user=False)
        return merged

    def optional(self, path: str) -> Tree:
        """Return the tree of a file that need not exist."""
        if not os.path.lexists(path):
            self.missing.append(path)
            return Tree(None)
        self.inputs.append(path)
        return self.tree(path)

    def tree(self, path: str, include: Include = no_include) -> Tree:
        """Return the tree of a file, or the problem that there is instead of one."""
        try:
            data = contents(path)
            self.total += len(data)
            return parse(decoded(path, data), path, include)
        except ConfigError as error:
            [found] = error.problems
            if found.name == "config-not-a-file":
                found = replace(found, remedy="make it a file, or remove it")
            return Tree(None, (found,))
