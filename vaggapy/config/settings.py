"""Trees of settings files -> `Settings`. Pure; `load.py` reads the files.

Source: vagga.md 2.6. Differs: `debian-mirror` is new; `~/` is expanded in `site-settings` too; a project's own
settings may hold all that the documentation says, and its `disable-auto-clean` counts.
"""

from __future__ import annotations

import re

from vaggapy.config.fields import BUILT, FLAG, NO_EFFECT, Field, Fields
from vaggapy.config.model import Settings
from vaggapy.config.tree import Mapping, is_null
from vaggapy.config.values import Reader, Structure, clean_path
from vaggapy.errors import Mark
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

ENVIRON = Field("name: text", "{}")
VOLUMES = Field("name: path", "{}")
PATTERNS = Field("list of patterns", "[]")
NAME = Field("name of a variable")
ON = Field("true or false", "true")
UNUSED = Field("true or false", "false", NO_EFFECT)

EVERYWHERE: Fields = {
    "debian-mirror": URL,
    "ubuntu-mirror": URL,
    "alpine-mirror": URL,
    "environ": ENVIRON,
    "build-lock-wait": FLAG,
    "disable-auto-clean": FLAG,
    "version-check": ON,
    "run-symlinks-as-commands": ON,
    "ubuntu-skip-locking": FLAG,
    "versioned-build-dir": UNUSED,
    "index-all-images": UNUSED,
    "hard-link-identical-files": UNUSED,
    "hard-link-between-projects": UNUSED,
}
PROJECT: Fields = {"shared-cache": ON, **EVERYWHERE}
"""The keys of a project's own settings, which may come from a stranger."""
SITE: Fields = {
    "storage-dir": PATH,
    "storage-subdir-from-env-var": NAME,
    "cache-dir": PATH,
    "external-volumes": VOLUMES,
    **EVERYWHERE,
    "auto-apply-sysctl": FLAG,
    "push-image-script": Field("text", "", NO_EFFECT),
}
"""The keys of one project in the `site-settings` of a user."""
USER: Fields = {
    **SITE,
    "propagate-environ": PATTERNS,
    "proxy-env-vars": ON,
    "site-settings": Field("path: settings", "{}"),
}
"""The keys of a user's settings."""

ALL: Fields = {**USER, **PROJECT}

ADDRESS = re.compile(
    r"https?://([\w.%+~-]+(:[\w.%+~-]*)?@)?(\[[0-9a-fA-F:.]+\]|[\w.-]+)(:[0-9]+)?(/[\w.@:%+~,=/-]*)?", re.ASCII
)
"""Only what can stand in a list of sources as it is."""
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
PATTERN = re.compile(r"[A-Za-z_*][A-Za-z0-9_*]*", re.ASCII)
VOLUME_NAME = re.compile(r"[\w@%+=:,-][\w.@%+=:,-]*", re.ASCII)


class Merged:
    """Settings of several files, taken in order: later ones win; `environ` and `external-volumes` do so by name.

    `origins`: where each key was written; a name in `environ` or `external-volumes` is `KEY.NAME`.
    """

    def __init__(self, directory: str, home: str) -> None:
        """Begin with the defaults. `directory` is the project's; `home` the caller's, "" if unknown."""
        self.directory = directory
        self.home = home
        self.values: dict[str, object] = {}
        self.origins: dict[str, Mark] = {}
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
        self.problems += {(problem.mark, problem.what): problem for problem in reader.problems}.values()

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
            if key == "site-settings" or not fields.has(key):
                continue
            node, before = fields.values[key], len(reader.problems)
            if field in (ENVIRON, VOLUMES):
                self._by_name(reader, fields, key)
                continue
            value = self._value(reader, fields, key, field)
            if field is PATTERNS:
                earlier = self.values.get(key, ())
                value = tuple(
                    dict.fromkeys((*(earlier if isinstance(earlier, tuple) else ()), *_patterns(reader, node)))
                )
            if len(reader.problems) == before:
                self.values[key] = value
                self.origins[key] = fields.keys[key].mark

    def _by_name(self, reader: Reader, fields: Structure, key: str) -> None:
        """Read a mapping, of which each name counts for itself."""
        marks = {name.text: name.mark for name, _ in fields.pairs(key)}
        found = fields.environ(key) if key == "environ" else self._volumes(reader, fields, key)
        earlier = self.values.get(key, {})
        self.values[key] = {**(earlier if isinstance(earlier, dict) else {}), **found}
        self.origins.update((f"{key}.{name}", marks[name]) for name in found)

    def _volumes(self, reader: Reader, fields: Structure, key: str) -> dict[str, str]:
        """Return host paths by the name of the volume."""
        found: dict[str, str] = {}
        for name, node in fields.pairs(key):
            if not VOLUME_NAME.fullmatch(name.text):
                remedy = "letters, digits and '_-.', no '.' at its beginning"
                reader.report(name.mark, f"bad name '{name.text}' of an external volume", remedy, "bad-name")
            else:
                path = self._path(reader, node, name.text)
                if path:
                    found[name.text] = path
        return found

    def _value(self, reader: Reader, fields: Structure, key: str, field: Field) -> object:
        """Return one value of the type that its field says."""
        node = fields.values[key]
        if field.type == "true or false":
            return fields.flag(key)
        if field is URL:
            return _mirror(reader, node, key)
        if field is PATH:
            return self._path(reader, node, key)
        return _variable(reader, node, key) if field is NAME else () if field is PATTERNS else fields.text(key)

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
        values = {key.replace("-", "_"): value for key, value in self.values.items() if ALL[key].state == BUILT}
        if not values.pop("shared_cache", True):
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


def _patterns(reader: Reader, node: Node) -> tuple[str, ...]:
    """Return names of variables, in which `*` stands for anything."""
    found = reader.texts(node, "'propagate-environ'")
    for text, item in found:
        if text and not PATTERN.fullmatch(text):
            what = f"'{text}' of 'propagate-environ' names no variables"
            reader.report(item.mark, what, "letters, digits, '_' and '*'", "bad-name")
    return tuple(text for text, _ in found)
