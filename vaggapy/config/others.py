"""Read what belongs to a vagga.yaml: the settings, and other files of the project that it names.

It acts, as `load` does: it opens regular files of a sensible size, and never waits for one.
"""

from __future__ import annotations

import os

from vaggapy.config.load import contents, decoded, problem
from vaggapy.config.settings import OF_PROJECT, OF_USER, VARIABLE, Merged
from vaggapy.config.tree import Tree, parse
from vaggapy.errors import ConfigError
from vaggapy.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from vaggapy.config.model import Settings
    from vaggapy.errors import Problem


class Others:
    """Reads files, and keeps their names: `inputs` were read, `missing` did not exist."""

    def __init__(self, directory: str) -> None:
        """Begin; `directory` is the project's."""
        self.directory = directory
        self.inputs: list[str] = []
        self.missing: list[str] = []

    def look(self, path: str) -> Tree:
        """Return the tree of a file, or its problem; `path` is relative and holds no `..`."""
        whole = os.path.join(self.directory, path)
        self.inputs.append(whole)
        real = os.path.realpath(whole)
        if not real.startswith(os.path.realpath(self.directory).rstrip("/") + "/"):
            what = "is a link that leads out of the project"
            return Tree(None, problem(whole, what, "copy the file", "config-unreadable").problems)
        return self.tree(whole)

    def settings(self, environ: Mapping[str, str]) -> tuple[Settings, tuple[Problem, ...]]:
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
        return merged.settings(), tuple(merged.problems)

    def optional(self, path: str) -> Tree:
        """Return the tree of a file that need not exist."""
        if not os.path.lexists(path):
            self.missing.append(path)
            return Tree(None)
        self.inputs.append(path)
        return self.tree(path)

    def tree(self, path: str) -> Tree:
        """Return the tree of a file, or the problem that there is instead of one."""
        try:
            return parse(decoded(path, contents(path)), path)
        except ConfigError as error:
            [found] = error.problems
            if found.name == "config-not-a-file":
                found = replace(found, remedy="make it a file, or remove it")
            return Tree(None, (found,))
