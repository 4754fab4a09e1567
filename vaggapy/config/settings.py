"""Trees of settings files -> `Settings`. Pure; `load.py` reads the files.

Source: vagga.md 2.6. Differs: `debian-mirror` is new; `~/` is expanded in `site-settings` too; a project's own
settings may hold `build-lock-wait`, and its `disable-auto-clean` counts.
"""

from __future__ import annotations

import re

from vaggapy.config.fields import BUILT, LATER_FIELD, NO_EFFECT, Field, Fields
from vaggapy.config.model import Settings
from vaggapy.config.tree import Mapping, is_null
from vaggapy.config.values import Reader, Structure, clean_path
from vaggapy.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.tree import Node, Tree
    from vaggapy.errors import Problem

PAGE = "docs/settings.md"
VARIABLE = "VAGGA_SETTINGS"
OF_USER = (".config/vagga/settings.yaml", ".vagga/settings.yaml", ".vagga.yaml")
"""Below the home directory; later ones win."""
OF_PROJECT = (".vagga.settings.yaml", ".vagga/settings.yaml")
"""Below the project's directory; they win over those of the user."""

URL = Field("URL")
PATH = Field("absolute path or ~/PATH")

EVERYWHERE: Fields = {
    "debian-mirror": URL,
    "ubuntu-mirror": URL,
    "alpine-mirror": URL,
    "build-lock-wait": Field("true or false", "false"),
    "disable-auto-clean": Field("true or false", "false"),
    "version-check": Field("true or false", "true", NO_EFFECT),
    "ubuntu-skip-locking": LATER_FIELD,
    "run-symlinks-as-commands": LATER_FIELD,
    "versioned-build-dir": LATER_FIELD,
    "environ": LATER_FIELD,
}
PROJECT: Fields = {"shared-cache": Field("true or false", "true"), **EVERYWHERE}
"""The keys of a project's own settings, which may come from a stranger."""
SITE: Fields = {
    "storage-dir": PATH,
    "storage-subdir-from-env-var": Field("name of a variable"),
    "cache-dir": PATH,
    **EVERYWHERE,
    "external-volumes": LATER_FIELD,
    "push-image-script": LATER_FIELD,
    "auto-apply-sysctl": LATER_FIELD,
    "index-all-images": LATER_FIELD,
    "hard-link-identical-files": LATER_FIELD,
    "hard-link-between-projects": LATER_FIELD,
}
"""The keys of one project in the `site-settings` of a user."""
USER: Fields = {
    **SITE,
    "proxy-env-vars": Field("true or false", "true"),
    "site-settings": Field("path: settings", "{}"),
    "propagate-environ": LATER_FIELD,
}
"""The keys of a user's settings."""

ADDRESS = re.compile(
    r"https?://([\w.%+~-]+(:[\w.%+~-]*)?@)?(\[[0-9a-fA-F:.]+\]|[\w.-]+)(:[0-9]+)?(/[\w.@:%+~,=/-]*)?", re.ASCII
)
"""Only what can stand in a list of sources as it is."""
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class Merged:
    """Settings of several files, taken in order: later ones win."""

    def __init__(self, directory: str, home: str) -> None:
        """Begin with the defaults. `directory` is the project's; `home` the caller's, "" if unknown."""
        self.directory = directory
        self.home = home
        self.values: dict[str, object] = {}
        self.shared = True
        self.problems: list[Problem] = []

    def add(self, tree: Tree, file: str, *, of_user: bool) -> None:
        """Take what a file says; what is wrong in it is kept in `problems`."""
        reader = Reader(file)
        reader.problems += tree.problems
        if tree.root is not None and not is_null(tree.root):
            what = "the settings"
            reader.no_tag(tree.root, what)
            if of_user:
                fields = Structure(reader, tree.root, USER, what, page=PAGE)
                self._take(reader, fields, USER)
                self._sites(reader, fields)
            else:
                what = "the project's settings"
                root = _without_private(reader, tree.root)
                self._take(reader, Structure(reader, root, PROJECT, what, page=PAGE), PROJECT)
        self.problems += reader.problems

    def _sites(self, reader: Reader, fields: Structure) -> None:
        """Check the settings of every project, take those of this one."""
        for key, node in fields.pairs("site-settings"):
            what = f"the settings of '{key.text}'"
            reader.no_tag(node, what)
            site = Structure(reader, node, SITE, what, page=PAGE)
            if not key.text.startswith("/"):
                reader.report(key.mark, f"project '{key.text}' is not absolute", "begin it with '/'", "bad-path")
            target = self if clean_path(key.text) == clean_path(self.directory) else Merged(self.directory, self.home)
            target._take(reader, site, SITE)

    def _take(self, reader: Reader, fields: Structure, table: Fields) -> None:
        """Read each key that was written."""
        for key, field in table.items():
            if not fields.has(key) or field.state != BUILT or key == "site-settings":
                continue
            node = fields.values[key]
            value: object
            if field.type == "true or false":
                value = fields.flag(key)
            elif field is URL:
                value = _mirror(reader, node, key)
            elif field is PATH:
                value = self._path(reader, node, key)
            else:
                value = _variable(reader, node, key)
            if key == "shared-cache":
                self.shared = value is True
            else:
                self.values[key.replace("-", "_")] = value

    def _path(self, reader: Reader, node: Node, key: str) -> str:
        """Return a path of the host."""
        text = reader.text(node, f"'{key}'")
        if text == "~" or text.startswith("~/"):
            if not self.home:
                reader.report(
                    node.mark, f"'{key}' needs a home directory", "set HOME, or write the path out", "bad-path"
                )
                return ""
            text = self.home + text[1:]
        return reader.path(node, text, f"'{key}'", absolute=True) if text else ""

    def settings(self) -> Settings:
        """Return what all the files say together."""
        values = dict(self.values)
        if not self.shared:
            values.pop("cache_dir", None)
        return replace(Settings(), **values)


def _without_private(reader: Reader, root: Node) -> Node:
    """Report the keys that only a user's own settings may hold, and return the rest."""
    if not isinstance(root, Mapping):
        return root
    kept = []
    for key, value in root.entries:
        name = key.text.replace("_", "-")
        if name in USER and name not in PROJECT:
            what = f"key '{key.text}' has no place in a project's settings"
            reader.report(key.mark, what, f"write it into ~/{OF_USER[0]}", "unknown-key")
        else:
            kept.append((key, value))
    return Mapping(root.mark, root.tag, tuple(kept))


def _mirror(reader: Reader, node: Node, key: str) -> str:
    """Return a URL with a slash at its end."""
    text = reader.text(node, f"'{key}'")
    if text and not ADDRESS.fullmatch(text):
        what = f"'{key}' is no address of a mirror: '{text}'"
        reader.report(node.mark, what, "as in https://deb.debian.org/debian/", "bad-value")
        return ""
    return f"{text.rstrip('/')}/" if text else ""


def _variable(reader: Reader, node: Node, key: str) -> str:
    """Return the name of an environment variable."""
    text = reader.text(node, f"'{key}'")
    if text and not VARIABLE_NAME.fullmatch(text):
        reader.report(node.mark, f"'{text}' of '{key}' names no variable", "letters, digits and '_'", "bad-name")
    return text
