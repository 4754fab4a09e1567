"""The bound Project, kept outside the project: an unchanged vagga.yaml costs neither parsing nor its imports.

An entry holds for one interpreter, one version of vagga, one HOME, one VAGGA_SETTINGS, and files that are the same
to the nanosecond, by path, device, inode, size and both times, or that are still missing. Any doubt is a miss: a
wrong owner, a torn write, a file touched within the last two seconds (its time could stay the same over a second
change). A miss is read in a process of its own: the parser's memory would make every later fork dearer, and hostile
input can at worst end that process.

Entries are `marshal`, which is not safe to read from others: they are read only from files and directories that
belong to the caller alone, never from the project, which may come from a stranger.
"""

from __future__ import annotations

import binascii
import marshal
import os
import stat
import sys
import time

from vaggapy import __version__, errors
from vaggapy.config import model
from vaggapy.config.load import Found, find
from vaggapy.errors import ConfigError, ExitCode, Interrupted, VaggaError
from vaggapy.record import Packed, pack, pack_each, records, replace, unpack
from vaggapy.sandbox.operations import inside
from vaggapy.sandbox.run import call_in_child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vaggapy.config.model import Project
    from vaggapy.config.shapes import Shape

    Fingerprint = tuple[str, tuple[int, ...]]
    PackedProject = tuple[Any, dict[str, bytes], dict[str, bytes]]
    _ByName = dict[str, Any]
else:
    _ByName = dict


class _Classes(_ByName):
    """The records that a project is made of; those of rules are added when one is met."""

    def __missing__(self, name: str) -> Any:
        """Return the class of a rule."""
        from vaggapy.config import rules  # only projects with rules have these

        found = records(vars(rules))
        self.update(found)
        return found[name]


def _written(module: str) -> int:
    """Return when a module of ours beside `model` was written, which tells its versions apart without loading it."""
    try:
        return os.stat(f"{os.path.dirname(model.__file__)}/{module}.py").st_mtime_ns
    except OSError:
        return 0


CLASSES = _Classes({**records(vars(model)), **records(vars(errors))})
FIELDS = ";".join(f"{name} {' '.join(kind._fields)}" for name, kind in CLASSES.items())
IDENTITY = (__version__, FIELDS, _written("rules"), sys.hexversion, sys.implementation.name)
HUP, INT, QUIT, TERM = 1, 2, 3, 15
SETTLED = 2.0  # seconds after which a file's time is trusted to tell a change
LARGEST = 64 * 1024 * 1024
CHECK = 4  # bytes of the checksum before an entry


def load(directory: str, file: str | None, settled: float = SETTLED) -> Project:
    """Return the project of a directory, or the one that `-f FILE` names.

    Files younger than `settled` seconds are read, but not kept.

    Raises:
        VaggaError: not found, or wrong; with every mistake.
    """
    found = find(directory, file)
    place = _place(found)
    entry = _read_entry(place) if place else None
    # with -f FILE there are no local files
    identity = (*IDENTITY, os.environ.get("HOME"), os.environ.get("VAGGA_SETTINGS"), found.local)
    if entry is not None and entry[:3] == (identity, found.directory, found.file) and _unchanged(entry[3]):
        try:
            return _unpacked(entry[4])
        except (KeyError, TypeError, ValueError):
            pass  # Written by another state of the code: a miss.
    before = _fingerprint(found.file)
    packed, inputs, missing = _compile_apart(found)
    if place and before is not None:
        prints = tuple(print_ for path in (*inputs, *missing) if (print_ := _fingerprint(path)) is not None)
        as_read = len(prints) == len(inputs) + len(missing) and all(
            bool(known) == (path not in missing) for path, known in prints
        )
        if as_read and before in prints and _settled(prints, settled):
            _write_entry(place, (identity, found.directory, found.file, prints, packed))
    return _unpacked(packed)


# --- the parser's own process -----------------------------------------------------------------------------------


def _compile_apart(found: Found) -> tuple[PackedProject, tuple[str, ...], tuple[str, ...]]:
    """Parse and bind in a forked process; return the project, packed, and the paths that were read and were missing."""
    data, status = call_in_child(lambda: _compile(found))
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (HUP, INT, QUIT, TERM):
        raise Interrupted(os.WTERMSIG(status))
    if status or not data:
        raise VaggaError(
            f"{found.file}: the parser gave up (wait status {status})",
            "the file is too large or too deeply nested: make it smaller",
            "config-too-large",
            ExitCode.CONFIG,
        )
    kind, packed, inputs, missing = marshal.loads(data)
    if kind == "problems":
        raise ConfigError(unpack(packed, CLASSES))
    if kind == "error":
        what, remedy, name, code = packed
        raise VaggaError(what, remedy, name, code)
    return packed, inputs, missing


def _compile(found: Found) -> bytes:
    """Read the project; return it, or what is wrong, as bytes."""
    from vaggapy.config.load import read_project  # imports the parser, in this process only

    try:
        loaded = read_project(found, _shapes, os.environ)
    except ConfigError as error:
        return marshal.dumps(("problems", pack(error.problems), (), ()))
    except VaggaError as error:
        return marshal.dumps(("error", (error.what, error.remedy, error.name, error.code), (), ()))
    project = loaded.project
    if any(container.host is None for container in project.containers.values()):
        # these import every step, which a project on the host alone need not wait for
        from vaggapy.build.recipe import with_versions
        from vaggapy.build.registry import kinds

        project = with_versions(project, kinds())
    return marshal.dumps(("project", _packed(project), loaded.inputs, loaded.missing))


def _shapes() -> dict[str, Shape]:
    """Return how each build step is written."""
    from vaggapy.build.registry import shapes  # imports every step, in the parser's process only

    return shapes()


# --- how a project is kept --------------------------------------------------------------------------------------


def _packed(project: Project) -> PackedProject:
    """Return a project as plain data, its containers and commands one by one: a start uses few of many."""
    rest = replace(project, containers={}, commands={})
    return pack(rest), pack_each(project.containers), pack_each(project.commands)


def _unpacked(packed: PackedProject) -> Project:
    rest, containers, commands = packed
    project: Project = unpack(rest, CLASSES)
    return replace(project, containers=Packed(containers, CLASSES), commands=Packed(commands, CLASSES))


# --- what makes an entry valid ----------------------------------------------------------------------------------


def _fingerprint(path: str) -> Fingerprint | None:
    """Return what changes when a file does, nothing for one that is missing, or None where it cannot be seen."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return path, ()
    except OSError:
        return None
    return path, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _unchanged(prints: tuple[Fingerprint, ...]) -> bool:
    return all(_fingerprint(path) == (path, known) for path, known in prints)


def _settled(prints: tuple[Fingerprint, ...], age: float) -> bool:
    """Return whether every file is old enough for its times to tell the next change."""
    limit = (time.clock_gettime(time.CLOCK_REALTIME) - age) * 1e9
    return all(known[3] < limit and known[4] < limit for _, known in prints if known)


# --- where entries are ------------------------------------------------------------------------------------------


def _place(found: Found) -> str:
    """Return the path of the entry of a project; "" where there is no place for it."""
    caches = os.environ.get("XDG_CACHE_HOME", "")
    if not caches.startswith("/"):
        home = os.environ.get("HOME", "")
        caches = f"{home}/.cache" if home.startswith("/") else ""
    if not caches or inside(os.path.realpath(caches), found.directory):
        return ""
    key = f"{found.directory}\0{found.file}".encode("utf-8", "surrogateescape")
    return f"{caches}/vagga/{_hash(key):016x}"


def kept_for(path: str) -> str:
    """Return the project's directory that an entry is for, "" if it is none of ours or damaged."""
    entry = _read_entry(path)
    return entry[1] if entry is not None and isinstance(entry[1], str) else ""


def _hash(data: bytes) -> int:
    """Return the 64-bit FNV-1a; the entry names its project, so that a collision is only a miss."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def _ours(fd: int, kind: int) -> bool:
    """Return whether an open file or directory is the caller's, and nobody else may write to it."""
    found = os.fstat(fd)
    return stat.S_IFMT(found.st_mode) == kind and found.st_uid == os.getuid() and not found.st_mode & 0o022


def _read_entry(place: str) -> tuple[Any, ...] | None:
    """Return a whole entry of our own, or None."""
    directory = _open_directory(os.path.dirname(place))
    if directory < 0:
        return None
    try:
        fd = os.open(os.path.basename(place), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return None
    finally:
        os.close(directory)
    with open(fd, "rb") as file:
        data = file.read(LARGEST) if _ours(fd, stat.S_IFREG) else b""
    if len(data) <= CHECK or binascii.crc32(data[CHECK:]).to_bytes(CHECK, "big") != data[:CHECK]:
        return None
    try:
        entry = marshal.loads(data[CHECK:])
    except (ValueError, EOFError, TypeError):
        return None
    return entry if isinstance(entry, tuple) and len(entry) == 5 else None


def _write_entry(place: str, entry: tuple[Any, ...]) -> None:
    """Write an entry where it stands, in one go; a torn one fails its checksum. Failures cost only time later."""
    data = marshal.dumps(entry)
    if not _make_directory(os.path.dirname(place)):
        return
    directory = _open_directory(os.path.dirname(place))
    if directory < 0:
        return
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(os.path.basename(place), flags, 0o600, dir_fd=directory)
        try:
            os.write(fd, binascii.crc32(data).to_bytes(CHECK, "big") + data)
        finally:
            os.close(fd)
    except OSError:
        pass
    finally:
        os.close(directory)


def _open_directory(path: str) -> int:
    """Open the directory of entries if it is the caller's alone; -1 if not."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return -1
    if _ours(fd, stat.S_IFDIR):
        return fd
    os.close(fd)
    return -1


def _make_directory(path: str) -> bool:
    """Make the directory of entries below one that belongs to the caller; never in somebody else's home."""
    if os.path.isdir(path):
        return True
    caches = os.path.dirname(path)
    try:
        owner = os.stat(caches if os.path.isdir(caches) else os.path.dirname(caches)).st_uid
        if owner != os.getuid():
            return False
        os.makedirs(caches, 0o700, exist_ok=True)
        os.mkdir(path, 0o700)
    except OSError:
        return False
    return True
