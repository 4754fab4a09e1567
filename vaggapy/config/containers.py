"""Nodes -> containers, their steps and volumes. Pure.

Source: vagga.md 7.1 and 7.3. Differs: `!Host`; parents of a tmpfs's `subdirs` and `files` are made without being
listed; mounting on `/` and binding what is not below `/work` are refused when the file is read.
"""

from __future__ import annotations

from vaggapy.config.fields import CONTAINER, HOST, STEP_TAGS, SUBDIR, TMPFS, VOLUME_TAGS
from vaggapy.config.model import BindRO, BindRW, Container, Empty, Host, Tmpfs, TmpfsDir, TmpfsFile
from vaggapy.config.tree import Scalar, Sequence, is_null
from vaggapy.config.values import Structure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.model import Volume
    from vaggapy.config.tree import Node
    from vaggapy.config.values import Reader

HIGHEST_ID = 2**30
HIGHEST_SIZE = 2**60


def container(reader: Reader, key: Scalar, node: Node) -> Container:
    """Return the container `key`; what is wrong is reported to `reader`."""
    reader.name(key, "container")
    what = f"container '{key.text}'"
    reader.no_tag(node, what)
    fields = Structure(reader, node, CONTAINER, what, key.mark)
    for ids in ("uids", "gids"):
        _check_ranges(reader, fields.items(ids), ids)
    return Container(
        key.text,
        key.mark,
        _setup(reader, fields, what),
        fields.environ(),
        volumes(reader, fields),
        fields.texts("default-shell"),
    )


def _check_ranges(reader: Reader, items: tuple[tuple[str, Node], ...], key: str) -> None:
    """Check a list of ids and ranges of them; a `!Host` container needs none, so they are not kept."""
    for text, node in items:
        low, dash, high = text.partition("-")
        ends = (low, high) if dash else (low, low)
        if not all(end.isascii() and end.isdecimal() and len(end) < 11 for end in ends) or int(ends[0]) > int(ends[1]):
            reader.report(node.mark, f"'{text}' of '{key}' is not a range", "write ID or FIRST-LAST", "bad-value")


def _setup(reader: Reader, fields: Structure, what: str) -> tuple[Host, ...]:
    """Return the steps: exactly one `!Host` in this version."""
    if not fields.has("setup"):
        return ()
    node = fields.values["setup"]
    if not isinstance(node, Sequence) and (node.tag or not is_null(node)):
        reader.wrong(node, "'setup'", "a list of steps", "write '[!Host]'")
        return ()
    reader.no_tag(node, "'setup'")
    steps = node.items if isinstance(node, Sequence) else ()
    before = len(reader.problems)
    hosts = [host(reader, step) for step in steps if reader.tag(step, STEP_TAGS, "a step")]
    if len(steps) != 1 and len(reader.problems) == before:
        remedy = "write 'setup: [!Host]', other first steps come in a later version"
        reader.report(fields.keys["setup"].mark, f"{what} needs exactly one step, !Host", remedy, "container-setup")
    return tuple(hosts)


def host(reader: Reader, node: Node) -> Host:
    """Return the step `!Host`, bare or with keys."""
    fields = Structure(reader, node, HOST, "!Host")
    visible = fields.choice("home", ("hidden", "read-only")) == "read-only"
    exposed = (reader.path(item, text, "exposed path", absolute=True) for text, item in fields.items("expose"))
    return Host(visible, tuple(path for path in exposed if path))


def volumes(reader: Reader, fields: Structure) -> dict[str, Volume]:
    """Return the volumes of a container, command or child by mount point."""
    found: dict[str, Volume] = {}
    for key, node in fields.pairs("volumes"):
        point = reader.path(key, key.text, "mount point", absolute=True)
        if point and point in found:
            reader.report(key.mark, f"mount point '{point}' is written twice", "keep one of them", "duplicate-key")
        volume = _volume(reader, node, f"volume '{key.text}'")
        if volume and point:
            found[point] = volume
    return found


def _volume(reader: Reader, node: Node, what: str) -> Volume | None:
    """Return one volume, None after a problem."""
    tag = reader.tag(node, VOLUME_TAGS, what)
    if tag == "!Tmpfs":
        return tmpfs(reader, node)
    if tag == "!Empty":
        if not is_null(node):
            reader.wrong(node, "!Empty", "without a value")
        return Empty()
    if tag not in ("!BindRO", "!BindRW"):
        return None
    if not isinstance(node, Scalar) or not node.text:
        reader.wrong(node, tag, "followed by a path", f"write '{tag} /work/PATH'")
        return None
    source = reader.path(node, node.text, "source", absolute=True)
    if source.startswith("/volumes/"):
        reader.not_available(node.mark, f"'/volumes' as source of {tag}")
    elif source and source != "/work" and not source.startswith("/work/"):
        what = f"source '{source}' is not below /work"
        reader.report(node.mark, what, "the project is at /work; see 'expose' of !Host for other paths", "bad-path")
    return BindRO(source) if tag == "!BindRO" else BindRW(source)


def tmpfs(reader: Reader, node: Node) -> Tmpfs:
    """Return a `!Tmpfs` with its directories (parents first) and files."""
    fields = Structure(reader, node, TMPFS, "!Tmpfs")
    default = Tmpfs()
    mode = reader.mode(fields.values["mode"], "'mode'", default.mode) if fields.has("mode") else default.mode
    modes: dict[str, int] = {}
    for key, value in fields.pairs("subdirs"):
        path = reader.path(key, key.text, "directory", absolute=False)
        sub = Structure(reader, value, SUBDIR, "a directory of 'subdirs'")
        own = TmpfsDir(path).mode
        modes[path] = reader.mode(sub.values["mode"], "'mode'", own) if sub.has("mode") else own
    contents: dict[str, str] = {}
    for key, value in fields.pairs("files"):
        path = reader.path(key, key.text, "file", absolute=False)
        contents[path] = "" if is_null(value) else reader.text(value, f"file '{key.text}'")
    for path in [*modes, *contents]:
        parts = path.split("/")[:-1]
        for depth in range(len(parts)):
            modes.setdefault("/".join(parts[: depth + 1]), TmpfsDir("").mode)
    for path in sorted(set(modes) & set(contents)):
        mark = next((key.mark for key, _ in fields.pairs("files") if key.text.strip("/") == path), node.mark)
        if path:
            reader.report(mark, f"'{path}' is a file and a directory", "keep one of them", "bad-path")
    return Tmpfs(
        fields.number("size", default.size, 1, HIGHEST_SIZE),
        mode,
        tuple(TmpfsDir(path, modes[path]) for path in sorted(modes)),
        tuple(TmpfsFile(path, contents[path]) for path in sorted(contents)),
    )
