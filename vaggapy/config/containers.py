"""Nodes -> containers. Pure.

Source: vagga.md 7.1. Differs: `!Host`; ranges of ids that touch are one; of two `data-dirs` none may hold the other.
"""

from __future__ import annotations

from vaggapy.config.fields import CONTAINER, HOST
from vaggapy.config.model import ALL_IDS, HOSTS, RESOLVER, Container, Host
from vaggapy.config.steps import HOST as HOST_TAG
from vaggapy.config.tree import Broken, Scalar, Sequence, is_null
from vaggapy.config.values import Structure
from vaggapy.config.volumes import volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.model import Step
    from vaggapy.config.steps import Steps
    from vaggapy.config.tree import Node
    from vaggapy.config.values import Reader

MOST_IDS = 2**32


def container(reader: Reader, key: Scalar, node: Node, steps: Steps) -> Container:
    """Return the container `key`; what is wrong is reported to `reader`."""
    reader.name(key, "container")
    what = f"container '{key.text}'"
    reader.no_tag(node, what)
    fields = Structure(reader, node, CONTAINER, what, key.mark)
    root, setup = _setup(reader, fields, key.text, steps)
    return Container(
        key.text,
        key.mark,
        root,
        setup,
        fields.environ(),
        volumes(reader, fields),
        fields.texts("default-shell"),
        _environ_file(reader, fields),
        ranges(reader, fields, "uids"),
        ranges(reader, fields, "gids"),
        _shown_at(reader, fields, "resolv-conf-path", RESOLVER),
        _shown_at(reader, fields, "hosts-file-path", HOSTS),
        _data_dirs(reader, fields),
        fields.flag("auto-clean"),
    )


def _environ_file(reader: Reader, fields: Structure) -> str:
    """Return the path of a file with variables, inside the container."""
    if not fields.has("environ-file"):
        return ""
    return reader.path(fields.values["environ-file"], fields.text("environ-file"), "'environ-file'", absolute=True)


def ranges(reader: Reader, fields: Structure, key: str) -> tuple[tuple[int, int], ...]:
    """Return ids as (first, last), in order and without overlap."""
    found: list[tuple[int, int]] = []
    for text, node in fields.items(key):
        low, dash, high = text.partition("-")
        ends = (low, high) if dash else (low, low)
        right = all(end.isascii() and end.isdecimal() and len(end) < 11 for end in ends)
        if not right or not int(ends[0]) <= int(ends[1]) < MOST_IDS:
            reader.report(node.mark, f"'{text}' of '{key}' is not a range", "write ID or FIRST-LAST", "bad-value")
        else:
            found.append((int(ends[0]), int(ends[1])))
    merged: list[tuple[int, int]] = []
    for first, last in sorted(found):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged) or ALL_IDS


def _shown_at(reader: Reader, fields: Structure, key: str, default: str) -> str:
    """Return where a file of the host is seen; "" where the key says `null`."""
    if key in fields.keys and not fields.has(key):
        return ""
    return reader.path(fields.values[key], fields.text(key), f"'{key}'", absolute=True) if fields.has(key) else default


def _data_dirs(reader: Reader, fields: Structure) -> tuple[str, ...]:
    """Return what is kept of the image: none of the paths is another one or below it."""
    found: dict[str, None] = {}
    for text, node in fields.items("data-dirs"):
        path = reader.path(node, text, "data directory", absolute=True)
        around = [f for f in found if f"{path}/".startswith(f"{f}/") or f"{f}/".startswith(f"{path}/")]
        if path and around:
            what = f"data directory '{path}' is " + (
                "written twice" if around[0] == path else f"one with '{around[0]}'"
            )
            reader.report(node.mark, what, "keep the shorter one", "bad-path")
        if path:
            found[path] = None
    return tuple(found)


def _setup(reader: Reader, fields: Structure, name: str, steps: Steps) -> tuple[Host | None, tuple[Step, ...]]:
    """Return the host's root, or the steps that build one."""
    if not fields.has("setup"):
        return None, ()
    node = fields.values["setup"]
    if not isinstance(node, Sequence) and (node.tag or not is_null(node) or getattr(node, "text", "")):
        reader.wrong(node, "'setup'", "a list of steps", "write '[!Host]'")
        return None, ()
    reader.no_tag(node, "'setup'")
    nodes = node.items if isinstance(node, Sequence) else ()
    if len(nodes) == 1 and nodes[0].tag == HOST_TAG and not isinstance(nodes[0], Broken):
        return host(reader, nodes[0]), ()
    return None, steps.steps(nodes, name)


def host(reader: Reader, node: Node) -> Host:
    """Return the step `!Host`, bare or with keys."""
    fields = Structure(reader, node, HOST, "!Host")
    visible = fields.choice("home", ("hidden", "read-only")) == "read-only"
    exposed = (reader.path(item, text, "exposed path", absolute=True) for text, item in fields.items("expose"))
    return Host(visible, tuple(path for path in exposed if path))
