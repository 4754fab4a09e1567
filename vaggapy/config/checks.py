"""Nodes -> single checks: an address, a path, a program. Pure.

Source: supervision-systems.md 3.6, 5.2. Differs: paths are those of the project and nothing else; a `key` is only
looked at cheaply here, whether it is a JSONPath is known when it is used.
"""

from __future__ import annotations

import re
import warnings

from vaggapy.config.rule_fields import ADDRESS, FILE_CONTAINS
from vaggapy.config.rules import EXEC, HTTP, NOT_EXISTS, NOT_LISTENING, NOT_RUNNING, PATH, TCP, Check
from vaggapy.config.rules import FILE_CONTAINS as CONTAINS
from vaggapy.config.tree import Mapping, Scalar, Sequence, is_null
from vaggapy.config.values import Structure, clean_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.fields import Fields
    from vaggapy.config.tree import Node
    from vaggapy.config.values import Reader
    from vaggapy.errors import Mark

VARIABLE = re.compile(r"\$(?:\$|[A-Za-z_][A-Za-z0-9_]*|\{[A-Za-z_][A-Za-z0-9_]*\})")
STRAY = re.compile(r"\$(?:\{[^}]*\}?|.?)", re.DOTALL)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
URL = re.compile(r"https?://(?:[^\s/?#@]*@)?(?:\[[0-9A-Fa-f:.%]+\]|[^\s/?#:@\[\]]+)(?::([0-9]{1,5}))?(?:[/?#]\S*)?")
ADDRESS_TEXT = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s/:\[\]]+):([0-9]{1,5})")
HIGHEST_PORT = 65535
LONGEST_PATTERN = 1000
WORK = "/work"


def part(reader: Reader, node: Node, table: Fields, what: str, mark: Mark | None = None) -> Structure | None:
    """Return the keys of a mapping, None for anything else."""
    if not isinstance(node, Mapping):
        reader.wrong(node, what, "keys and values", f"one of {', '.join(list(table)[:4])}" if len(table) > 1 else "")
        return None
    reader.no_tag(node, what)
    return Structure(reader, node, table, what, mark)


def check(fields: Structure, kinds: tuple[str, ...], what: str, *, literal: bool = False) -> Check | None:
    """Return the only check of some keys. `literal`: a `$` in it stands for itself."""
    return read(fields, only(fields, kinds, what), literal=literal)[0]


def only(fields: Structure, kinds: tuple[str, ...], what: str) -> str:
    """Return which of the kinds was written; there is exactly one."""
    written = [kind for kind in kinds if kind in fields.keys]
    known = [kind for kind in kinds if kind in fields.table]
    if not written:
        remedy = f"one of {', '.join(known)}"
        fields.reader.report(fields.mark, f"{what} does not say what to look at", remedy, "bad-check")
    elif len(written) > 1:
        remedy = "make an entry of each" if "depends" in what else "keep one of them"
        what = f"{what} has both '{written[0]}' and '{written[1]}'"
        fields.reader.report(fields.keys[written[1]].mark, what, remedy, "bad-check")
    elif not fields.has(written[0]):
        what = f"'{written[0]}' is empty"
        fields.reader.report(fields.keys[written[0]].mark, what, "write what to look at", "bad-check")
    if "status" in fields.keys and written and HTTP not in written:
        mark = fields.keys["status"].mark
        fields.reader.report(mark, f"'{fields.keys['status'].text}' belongs to 'http'", "take it away", "bad-check")
    return written[0] if len(written) == 1 and fields.has(written[0]) else ""


def read(fields: Structure, kind: str, *, literal: bool = False) -> tuple[Check | None, Structure | None]:
    """Return a check that somebody has to carry out, and the keys inside it, if it has some."""
    reader = fields.reader
    if not kind:
        return None, None
    node = fields.values[kind]
    if kind == EXEC:
        return program(reader, node, "'exec'"), None
    if kind == HTTP:
        return _http(reader, fields, node, literal=literal), None
    if kind == CONTAINS:
        return _file_contains(reader, node)
    text = reader.text(node, f"'{kind}'")
    if not text:
        return None, None
    variable = not literal and variables(reader, node, text, kind)
    if kind in (TCP, NOT_LISTENING) and not variable:
        address(reader, node, text, kind)
    elif kind in (PATH, NOT_EXISTS):
        text = project_path(reader, node, text, kind)
    elif kind == NOT_RUNNING and not variable:
        _pattern(reader, node, text)
    return Check(kind, text), None


def _http(reader: Reader, fields: Structure, node: Node, *, literal: bool) -> Check | None:
    """Return a check of an address; its status stands beside it or in it."""
    inner = part(reader, node, ADDRESS, "'http'") if isinstance(node, Mapping) else None
    url_node = inner.values.get("url") if inner is not None else node
    if url_node is None:
        return None
    text = reader.text(url_node, "'http'")
    if text and (literal or not variables(reader, url_node, text, HTTP)):
        url(reader, url_node, text)
    if inner is not None and inner.has("status") and fields.has("status"):
        mark = inner.keys["status"].mark
        reader.report(mark, "the status stands inside of 'http' and beside it", "keep one of them", "duplicate-key")
    beside = fields.number("status", 200, 100, 599)
    return Check(HTTP, text, status=inner.number("status", beside, 100, 599) if inner is not None else beside)


def _file_contains(reader: Reader, node: Node) -> tuple[Check | None, Structure | None]:
    """Return a look into a file."""
    inner = part(reader, node, FILE_CONTAINS, "'file-contains'")
    if inner is None or not inner.has("path") or not inner.has("key"):
        return None, inner
    text = inner.text("path")
    variables(reader, inner.values["path"], text, CONTAINS)
    path = project_path(reader, inner.values["path"], text, "path")
    key = inner.text("key")
    if key and (not key.startswith("$") or key[1:2] not in ("", ".", "[") or "\n" in key):
        what = f"'{key}' is no JSONPath"
        reader.report(inner.values["key"].mark, what, "as in $.database.url", "bad-check")
    variable = inner.text("env")
    if variable and not NAME.fullmatch(variable):
        what = f"'{variable}' of 'env' names no variable"
        reader.report(inner.values["env"].mark, what, "letters, digits and '_'", "bad-name")
    own = "yaml" if text.endswith((".yaml", ".yml")) else "json"
    form = inner.choice("format", ("json", "yaml")) if inner.has("format") else own
    return Check(CONTAINS, path, key=key, format=form, variable=variable), inner


def program(reader: Reader, node: Node, what: str) -> Check | None:
    """Return a program: a text for the shell of the child's container, or words."""
    if isinstance(node, Sequence):
        words = tuple(text for text, _ in reader.texts(node, what))
        if not node.items or words[:1] == ("",):
            reader.report(node.mark, f"{what} names no program", "as in [curl, -f, localhost:8000]", "bad-value")
            return None
        return Check(EXEC, words=words)
    if not isinstance(node, Scalar) or is_null(node):
        reader.wrong(node, what, "text or a list of texts")
        return None
    text = reader.text(node, what)
    if not text.strip():
        reader.report(node.mark, f"{what} is empty", "write a command line", "bad-value")
        return None
    return Check(EXEC, text)


def variables(reader: Reader, node: Node, text: str, what: str) -> bool:
    """Tell whether a text has variables; `$` that begins none is reported, with `$$` as its remedy."""
    stray = STRAY.search(VARIABLE.sub("", text))
    if stray:
        name = re.match(r"\$\{([A-Za-z_][A-Za-z0-9_]*)", stray.group())
        if name:
            remedy = f"only ${{{name.group(1)}}} is known here: give it a value in 'environ'"
        else:
            remedy = "write $NAME or ${NAME} for a variable, $$ for a dollar sign"
        reader.report(node.mark, f"'{stray.group()}' in '{what}' is no variable", remedy, "bad-variable")
        return True
    return any(found != "$$" for found in VARIABLE.findall(text))


def url(reader: Reader, node: Node, text: str) -> None:
    """Report what is no URL."""
    found = URL.fullmatch(text)
    if not found or (found.group(1) and not 0 < int(found.group(1)) <= HIGHEST_PORT):
        plain = f"http://{text}"
        remedy = (
            f"write {plain}" if "://" not in text and URL.fullmatch(plain) else "as in http://localhost:8000/health"
        )
        reader.report(node.mark, f"'{text}' is no URL", remedy, "bad-value")


def address(reader: Reader, node: Node, text: str, what: str) -> None:
    """Report what is no HOST:PORT."""
    found = ADDRESS_TEXT.fullmatch(text)
    if not found or not 0 < int(found.group(1)) <= HIGHEST_PORT:
        remedy = f"write localhost:{text}" if text.isdecimal() else "HOST:PORT, as in localhost:5432 or [::1]:5432"
        reader.report(node.mark, f"'{text}' of '{what}' is no address", remedy, "bad-value")


def project_path(reader: Reader, node: Node, text: str, what: str) -> str:
    """Return a path below the project, relative to it; a variable at its beginning is left to the plan."""
    if text == WORK or text.startswith(f"{WORK}/"):
        text = text[len(WORK) + 1 :]
    clean = clean_path(text)
    if ".." in text.split("/"):
        reader.report(node.mark, f"'{what}' '{text}' holds '..'", "write the path without it", "bad-path")
    elif text.startswith("/"):
        remedy = "name a path of the project, relative to it or below /work"
        reader.report(node.mark, f"'{what}' '{text}' is outside of the project", remedy, "bad-path")
    elif not clean:
        reader.report(node.mark, f"'{what}' names the project itself", "name something in it", "bad-path")
    return clean


def _pattern(reader: Reader, node: Node, text: str) -> None:
    """Report what is no regular expression."""
    why = f"longer than {LONGEST_PATTERN} characters" if len(text) > LONGEST_PATTERN else ""
    try:
        with warnings.catch_warnings():  # of `[[`, which nobody asked for
            warnings.simplefilter("ignore")
            re.compile("" if why else text.replace("$$", "$"))
    except (re.error, RecursionError, OverflowError) as error:
        why = str(error)
    if why:
        what = f"'not-running' is no regular expression: {why}"
        reader.report(node.mark, what, "put a backslash before signs that mean themselves", "bad-check")
