"""Nodes -> the volumes of a container, command or child. Pure.

Source: vagga.md 7.3. Differs: parents of a tmpfs's `subdirs` and `files` are made without being listed; mounting on
`/` and binding what is not below `/work` are refused when the file is read, as are containers and commands that do
not exist.
"""

from __future__ import annotations

from vaggapy.config.fields import PERSISTENT, SNAPSHOT, SUBDIR, TMPFS, VOLUME_TAGS
from vaggapy.config.model import (
    OWN_CACHES,
    BindRO,
    BindRW,
    CacheDir,
    ContainerRoot,
    Empty,
    Persistent,
    Snapshot,
    Tmpfs,
    TmpfsDir,
    TmpfsFile,
    VaggaBin,
)
from vaggapy.config.tree import Mapping, Scalar, is_null
from vaggapy.config.values import HIGHEST_ID, Reference, Structure, untagged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.model import Volume
    from vaggapy.config.tree import Node
    from vaggapy.config.values import Reader

HIGHEST_SIZE = 2**60
LONGEST_NAME = 100
PRIVATE = "/work/.vagga"


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
    tag = reader.tag(node, VOLUME_TAGS, what, "docs/config.md")
    match tag:
        case "!Tmpfs":
            return tmpfs(reader, node)
        case "!Persistent":
            return _persistent(reader, node)
        case "!Snapshot":
            return _snapshot(reader, node)
        case "!Empty" | "!VaggaBin":
            if not is_null(node):
                reader.wrong(node, tag, "without a value")
            return Empty() if tag == "!Empty" else VaggaBin()
        case _:
            return _scalar(reader, node, tag) if tag else None


def _scalar(reader: Reader, node: Node, tag: str) -> Volume | None:
    """Return a volume that is a tag and one word, None after a problem."""
    if not isinstance(node, Scalar) or is_null(node) or not node.text:
        kind, example = WORDS[tag]
        reader.wrong(node, tag, f"followed by {kind}", f"write '{tag} {example}'")
        return None
    if tag == "!CacheDir":
        path = reader.path(node, node.text, "cache directory", absolute=False)
        if path.partition("/")[0] in OWN_CACHES:
            what = f"cache directory '{path}' belongs to vagga itself"
            reader.report(node.mark, what, "use another name", "bad-name")
        return CacheDir(path)
    if tag == "!Container":
        reader.references.append(Reference(node.text, node.mark, tag))
        return ContainerRoot(node.text)
    return _bind(reader, node, tag)


WORDS = {
    "!BindRO": ("a path", "/work/PATH"),
    "!BindRW": ("a path", "/work/PATH"),
    "!CacheDir": ("a relative path", "NAME"),
    "!Container": ("a container", "NAME"),
}
"""What follows a tag, and an example."""


def _bind(reader: Reader, node: Scalar, tag: str) -> BindRO | BindRW:
    """Return a path below /work, or in an external volume of the settings."""
    source = reader.path(node, node.text, "source", absolute=True)
    if source and source != "/work" and not source.startswith(("/work/", "/volumes/")):
        what = f"source '{source}' is neither below /work nor /volumes"
        remedy = "the project is at /work, 'external-volumes' of the settings at /volumes/NAME"
        reader.report(node.mark, what, remedy, "bad-path")
    elif tag == "!BindRW" and f"{source}/".startswith(f"{PRIVATE}/"):
        what = f"source '{source}' is what vagga keeps of the project, and writes itself"
        reader.report(node.mark, what, "use !BindRO, or another directory", "bad-path")
    return BindRO(source) if tag == "!BindRO" else BindRW(source)


def _persistent(reader: Reader, node: Node) -> Persistent | None:
    """Return a `!Persistent NAME`, or one with keys."""
    if not isinstance(node, Mapping):
        if is_null(node):
            reader.wrong(node, "!Persistent", "followed by a name", "write '!Persistent NAME'")
            return None
        name = reader.text(untagged(node), "!Persistent")
        return Persistent(_kept_name(reader, node, name)) if name else None
    fields = Structure(reader, node, PERSISTENT, "!Persistent")
    name = fields.text("name")
    volume = Persistent(
        _kept_name(reader, fields.values["name"], name) if name else "",
        fields.number("owner-uid", 0, 0, HIGHEST_ID),
        fields.number("owner-gid", 0, 0, HIGHEST_ID),
        fields.text("init-command"),
    )
    if volume.init_command and volume.name:
        reader.initial.append((volume, fields.values["init-command"].mark))
    return volume


def _kept_name(reader: Reader, node: Node, name: str) -> str:
    """Return the name of a directory in the storage; it is one part of a path."""
    if "/" in name or name.startswith(".") or not name.isprintable() or len(name.encode()) > LONGEST_NAME:
        remedy = f"at most {LONGEST_NAME} bytes, no '/', no '.' at its beginning"
        reader.report(node.mark, f"bad name '{name}' of a volume", remedy, "bad-name")
    return name


def _snapshot(reader: Reader, node: Node) -> Snapshot:
    """Return a `!Snapshot`, bare or with keys."""
    fields = Structure(reader, node, SNAPSHOT, "!Snapshot")
    default = Snapshot()
    container = fields.text("container")
    if container:
        reader.references.append(Reference(container, fields.values["container"].mark, "!Snapshot"))
    return Snapshot(
        fields.number("size", default.size, 1, HIGHEST_SIZE),
        container,
        fields.number("owner-uid", default.owner_uid, 0, HIGHEST_ID),
        fields.number("owner-gid", default.owner_gid, 0, HIGHEST_ID),
    )


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
