"""Look at what a version depends on: files and trees of the project, other roots, what git says. On the host's side.

Paths of the build sandbox are found in the host's directories that `Places` names. Links on the way are followed only
as long as they stay in there; links in a tree are counted as links. A tree's digest is over its selected entries by
their names: kind, mode and owner as the source asks, and content. Pipes, sockets and devices do not count, for they are
not copied either. What was hashed before and has not changed is taken from the stat index.

Source: vagga.md 7.2, 8. Differs: an owner is what the build sees, and 0 is the user, so that versions are the same on
all machines; comments at the end of lines of requirements do not count.
"""

from __future__ import annotations

import _blake2
import errno
import marshal
import os
import stat

from vaggapy.build.actions import CACHE, ROOTS, VOLUMES
from vaggapy.build.index import DIGEST, Index, directory_for
from vaggapy.build.requirements import included, requirement_lines
from vaggapy.build.sources import (
    EXECUTABLE,
    KEEP,
    FileContent,
    GitDescription,
    ImageDigest,
    Requirements,
    RootTree,
    Tree,
    Value,
)
from vaggapy.errors import CommandError
from vaggapy.record import Record, pack
from vaggapy.sandbox import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vaggapy.build.index import Row
    from vaggapy.build.sources import Source
    from vaggapy.sandbox.spec import Extent, IdMaps

    Run = Callable[[tuple[str, ...], str], tuple[int, bytes]]
    Known = dict[bytes, tuple[Row, bytes]]

WORK = "/work"
BENEATH = linux.RESOLVE_BENEATH | linux.RESOLVE_NO_MAGICLINKS
IN_ROOT = linux.RESOLVE_IN_ROOT | linux.RESOLVE_NO_MAGICLINKS
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
CHUNK = 1 << 20
LARGE = 1 << 20
"""Bytes from which on the index is asked for a single file."""
TRIES = 3
OVERFLOW = 65534
"""What an id looks like that has no place in a user namespace."""
EXECUTE = 0o100
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Places(Record):
    """Where the places of the build sandbox are on the host: `/work`, `/vagga/cache`, and the roots by container.

    `volumes`: the external ones by name. `ids`: the maps of the run; without them the caller is 0 and everybody else
    nobody.
    """

    project: str
    cache: str = ""
    roots: Mapping[str, str] = {}
    ids: IdMaps | None = None
    volumes: Mapping[str, str] = {}


class _ChangedError(Exception):
    """Something is not what it was a moment before; the path is relative to the top."""

    def __init__(self, path: bytes) -> None:
        super().__init__(path)
        self.path = path


def looker(
    project: str,
    cache: str,
    roots: Mapping[str, str],
    run: Run | None = None,
    ids: IdMaps | None = None,
    volumes: Mapping[str, str] | None = None,
) -> Callable[[Source], bytes | None]:
    """Return what digests sources on this machine, with the caller's stat index."""
    places = Places(project, cache, roots, ids, volumes or {})
    index = Index(directory_for(project, dict(os.environ)))
    return lambda source: digest(source, places, index, run)


def digest(source: Source, places: Places, index: Index, run: Run | None = None) -> bytes | None:
    """Return what stands for a source in a version, or None if it is not there (yet). `run` runs a program of the host.

    Raises:
        CommandError: it cannot be read, leads out of its place, or does not stay the same.
    """
    match source:
        case Value(name, text):
            return _blake2.blake2b(marshal.dumps((name, text), 2), digest_size=DIGEST).digest()
        case FileContent(path):
            return _file(path, places, index)
        case Tree():
            return _tree(source, places, index)
        case RootTree(container, tree):
            inside = f"{ROOTS}/{container}/{tree.path.lstrip('/')}"
            values = {field: getattr(tree, field) for field in tree._fields}
            return _tree(Tree(**{**values, "path": inside}), places, index) if container in places.roots else None
        case Requirements(path):
            return _requirements(path, places)
        case GitDescription(path, pattern):
            return _git_description(path, pattern, places, run)
        case ImageDigest(reference):
            # imports json, for containers of images only
            from vaggapy.build.image_cache import read_image

            image = read_image(places.cache, reference)
            return None if image is None else image.digest.encode()


# --- from a path of the sandbox to a descriptor -------------------------------------------------------------------


def _anchor(path: str, places: Places) -> tuple[str, str, int]:
    """Return the host's directory that a path is in, the rest of the path, and how links in the rest are followed.

    Raises:
        CommandError: it is in none.
    """
    if path.startswith(f"{ROOTS}/"):
        name, _, rest = path[len(ROOTS) + 1 :].partition("/")
        if name in places.roots:
            return places.roots[name], rest, IN_ROOT
    elif path.startswith(f"{VOLUMES}/"):
        name, _, rest = path[len(VOLUMES) + 1 :].partition("/")
        if name not in places.volumes:
            remedy = "add it to 'external-volumes' of your settings"
            raise CommandError(f"there is no external volume '{name}'", remedy, "external-volume")
        above, _, last = os.path.realpath(places.volumes[name]).rpartition("/")  # it may be a file
        return above or "/", f"{last}/{rest}".rstrip("/"), BENEATH
    elif path.startswith(f"{CACHE}/"):
        return places.cache, path[len(CACHE) + 1 :], BENEATH
    elif path == WORK or path.startswith(f"{WORK}/"):
        return places.project, path[len(WORK) + 1 :], BENEATH
    elif not path.startswith("/"):
        return places.project, path, BENEATH
    raise CommandError(f"{path}: only what is in the project counts for a version", "name a path below /work", OUTSIDE)


OUTSIDE = "input-outside"


def _open(path: str, places: Places, flags: int, above: bool = False) -> int:
    """Open a path of the sandbox, or the directory `above` it, whose last name is then not followed; -1 if missing.

    The descriptor is the caller's.

    Raises:
        CommandError: it leads out of its place, or may not be read.
    """
    anchor, rest, resolve = _anchor(path, places)
    if above:
        rest = rest.rstrip("/").rpartition("/")[0]
    try:
        top = os.open(anchor, DIRECTORY)
    except FileNotFoundError:
        return -1
    try:
        return linux.openat2(top, rest.strip("/") or ".", flags, 0, resolve)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return -1
        raise _refusal(error, path) from error
    finally:
        os.close(top)


def _refusal(error: OSError, path: str) -> CommandError:
    """Return what a failure to look at an input means to the user."""
    if error.errno == errno.EXDEV:
        return CommandError(f"{path}: a link on the way leads out of the project", "copy the files into it", OUTSIDE)
    if error.errno == errno.ELOOP:
        return CommandError(f"{path}: links lead in a circle", "correct them", OUTSIDE)
    cause = os.strerror(error.errno or 0).lower()
    return CommandError(f"{path}: {cause}", "make it readable for yourself, or exclude it", "input-unreadable")


def _owner(extents: tuple[Extent, ...] | None, own: int, number: int) -> int:
    """Return an id as the build sees it."""
    if extents is None:
        return 0 if number == own else OVERFLOW
    for extent in extents:
        if extent.outside <= number < extent.outside + extent.count:
            return number - extent.outside + extent.inside
    return OVERFLOW


# --- trees --------------------------------------------------------------------------------------------------------


def _tree(source: Tree, places: Places, index: Index) -> bytes | None:
    """Return the digest of a tree, or of one file or link."""
    parent = _open(source.path, places, os.O_PATH | os.O_DIRECTORY, above=True)
    if parent < 0:
        return None
    _, rest, _ = _anchor(source.path, places)
    name = os.fsencode(rest.rstrip("/").rpartition("/")[2] or ".")
    try:
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                return _Digest(source, places, index, parent).of(name)
            top = os.open(name, DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _refusal(error, source.path) from error
    finally:
        os.close(parent)
    try:
        return _Digest(source, places, index, top).of(b"")
    finally:
        os.close(top)


class _Digest:
    """The digest of one tree below the descriptor `top`, which is not its own."""

    def __init__(self, source: Tree, places: Places, index: Index, top: int) -> None:
        self._source = source
        self._index = index
        self._top = top
        self._uids = places.ids.uids if places.ids else None
        self._gids = places.ids.gids if places.ids else None
        self._own = (os.geteuid(), os.getegid())
        anchor, rest, _ = _anchor(source.path, places)
        self._key = marshal.dumps((anchor, rest, pack(source), pack(places.ids), self._own), 2)

    def of(self, name: bytes) -> bytes:
        """Return the digest of the entry `name` of the directory, or of all of it if that is empty."""
        known = self._index.known(self._key, self._top)
        if known is not None:
            return known
        before = self._index.before(self._key)
        for last in range(TRIES - 1, -1, -1):
            try:
                return self._look(name, before)
            except _ChangedError as error:
                path, cause = error.path, "it changes while it is read"
            except OSError as error:
                path = os.fsencode(error.filename or b"")
                if error.errno not in GONE:
                    raise _refusal(error, self._shown(path)) from error
                cause = "it goes away while it is read"
            if not last:
                raise CommandError(
                    f"{self._shown(path)}: {cause}", "stop what writes there, or exclude it", "input-changes"
                )
        raise AssertionError

    def _shown(self, path: bytes) -> str:
        """Return where a path relative to the top is."""
        shown = os.fsdecode(path)
        return self._source.path if shown in ("", ".") else f"{self._source.path.rstrip('/')}/{shown}"

    def _look(self, name: bytes, known: Known) -> bytes:
        """Walk over the tree, read what is not known, and keep it."""
        taken = self._index.now()
        items: list[tuple[bytes, Row, bytes]] = []
        state = _blake2.blake2b(digest_size=DIGEST)
        if name:
            status = os.stat(name, dir_fd=self._top, follow_symlinks=False)
            row = linux.stat_row(status)
            content = self._content(self._top, os.fsdecode(name), name, row, known)
            items.append((name, row, content))
            state.update(self._line(b".", status) + content)
        else:
            self._entries(items, state, known)
        found = state.digest()
        self._index.keep(self._key, taken, found, items)
        return found

    def _entries(self, items: list[tuple[bytes, Row, bytes]], state: _blake2.blake2b, known: Known) -> None:
        from vaggapy.build.walk import walk  # not for a tree that the index knows

        def entered(path: str, status: os.stat_result) -> None:
            items.append((path.encode("utf-8", "surrogateescape"), linux.stat_row(status), b""))

        for path, parent, name, status in walk(self._top, self._source.selection, entered):
            here = path.encode("utf-8", "surrogateescape")
            if stat.S_ISDIR(status.st_mode):
                state.update(self._line(here, status))
                continue
            row = linux.stat_row(status)
            content = self._content(parent, name, here, row, known)
            if content:
                items.append((here, row, content))
                state.update(self._line(here, status) + content)

    def _line(self, path: bytes, status: os.stat_result) -> bytes:
        """Return everything that counts of an entry but its content; no two entries have the same line."""
        source, mode = self._source, status.st_mode
        is_link, is_file = stat.S_ISLNK(mode), stat.S_ISREG(mode)
        kind = b"l" if is_link else b"f" if is_file else b"d"
        shown = 0 if is_link else counted_mode(mode, source.modes, source.umask)
        uid = gid = -1
        if source.owners:
            uid = source.uid if source.uid >= 0 else _owner(self._uids, self._own[0], status.st_uid)
            gid = source.gid if source.gid >= 0 else _owner(self._gids, self._own[1], status.st_gid)
        time = status.st_mtime_ns if source.times and is_file else 0
        return b"%b\0%b%o %d %d %d\0" % (path, kind, shown, uid, gid, time)

    def _content(self, parent: int, name: str, path: bytes, row: Row, known: Known) -> bytes:
        """Return the digest of a file's content or of a link's text; b"" for what has none."""
        before = known.get(path)
        if before is not None and before[0] == row:
            return before[1]
        mode = row[0] & 0xFFFFFFFF  # above it are owner or links
        if stat.S_ISLNK(mode):
            try:
                text = os.fsencode(os.readlink(name, dir_fd=parent))
            except OSError as error:
                raise _ChangedError(path) from error
            content = _blake2.blake2b(text, digest_size=DIGEST).digest()
        elif stat.S_ISREG(mode):
            try:
                fd = os.open(name, READ | os.O_NOFOLLOW, dir_fd=parent)
            except OSError as error:
                raise OSError(error.errno, error.strerror, path) from error
            try:
                content = _hash(fd, row, path)
            finally:
                os.close(fd)
        else:
            return b""
        known[path] = (row, content)
        return content


def counted_mode(mode: int, modes: str, umask: int) -> int:
    """Return the mode of a file or directory as one of EXECUTABLE, UMASK and KEEP has it."""
    is_directory = stat.S_ISDIR(mode)
    if modes == KEEP:
        return mode & 0o7777
    if modes == EXECUTABLE:
        return 0 if is_directory else mode & EXECUTE
    return (0o777 if is_directory or mode & EXECUTE else 0o666) & ~umask


def _hash(fd: int, row: Row, path: bytes) -> bytes:
    """Return the digest of a file's content, which must be as `row` says before and after.

    Raises:
        _ChangedError: it is not.
    """
    if linux.stat_row(os.fstat(fd)) != row:
        raise _ChangedError(path)
    state = _blake2.blake2b(digest_size=DIGEST)
    try:
        while data := os.read(fd, CHUNK):
            state.update(data)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    if linux.stat_row(os.fstat(fd)) != row:
        raise _ChangedError(path)
    return state.digest()


# --- single files -------------------------------------------------------------------------------------------------


def _file(path: str, places: Places, index: Index) -> bytes | None:
    """Return the digest of a file's content; of a large one, the index may know it."""
    fd = _open(path, places, READ)
    if fd < 0:
        return None
    try:
        key = marshal.dumps(("file", _anchor(path, places)), 2)
        for _ in range(TRIES):
            taken, status = index.now(), os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise CommandError(f"{path}: it is not a file", "name a file", "input-kind")
            large = status.st_size >= LARGE
            known = index.known(key, fd) if large else None
            if known is not None:
                return known
            os.lseek(fd, 0, os.SEEK_SET)
            try:
                found = _hash(fd, linux.stat_row(status), b"")
            except _ChangedError:
                continue
            if large:
                index.keep(key, taken, found, [(b"", linux.stat_row(status), found)])
            return found
    except OSError as error:
        raise _refusal(error, path) from error
    finally:
        os.close(fd)
    raise CommandError(f"{path}: it changes while it is read", "stop what writes there", "input-changes")


def _read(path: str, places: Places) -> tuple[bytes, tuple[int, int]] | None:
    """Return the content of a small file and what it is known by, or None if it is missing."""
    fd = _open(path, places, READ)
    if fd < 0:
        return None
    try:
        with open(fd, "rb") as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise CommandError(f"{path}: it is not a file", "name a file", "input-kind")
            return file.read(), (status.st_dev, status.st_ino)
    except OSError as error:
        raise _refusal(error, path) from error


# --- requirements -------------------------------------------------------------------------------------------------


def _requirements(path: str, places: Places) -> bytes | None:
    """Return the digest of the lines of a requirements file with those of all that it includes, in their order."""
    found = _read(path, places)
    if found is None:
        return None
    state = _blake2.blake2b(digest_size=DIGEST)
    _feed(state, path, found, places, [], set())
    return state.digest()


def _feed(
    state: _blake2.blake2b,
    path: str,
    found: tuple[bytes, tuple[int, int]],
    places: Places,
    above: list[tuple[int, int]],
    done: set[tuple[int, int]],
) -> None:
    """Add a requirements file. `above`: the files that include it; `done`: those that are in already."""
    content, identity = found
    for line in requirement_lines(content):
        state.update(b"=" + line + b"\n")
        name = included(line)
        if name is None:
            continue
        inner = os.fsdecode(name)
        there = inner if inner.startswith("/") else f"{path.rpartition('/')[0]}/{inner}"
        included_file = _read(there, places)
        if included_file is None:
            raise CommandError(
                f"{path}: it includes {inner}, which is not there", "correct the name, or add the file", "input-missing"
            )
        if included_file[1] in (*above, identity):
            raise CommandError(f"{path}: it includes {inner}, which includes it", "remove the circle", "input-circle")
        if included_file[1] not in done:
            done.add(included_file[1])
            state.update(b"<\n")
            _feed(state, there, included_file, places, [*above, identity], done)
            state.update(b">\n")


# --- git ----------------------------------------------------------------------------------------------------------


def _git_description(path: str, pattern: str, places: Places, run: Run | None) -> bytes | None:
    """Return what `git describe` says of a repository of the project."""
    fd = _open(path, places, os.O_PATH | os.O_DIRECTORY)
    if fd < 0 or run is None:
        return None
    try:
        directory = os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
    status, output = run(("git", "describe", *(("--match", pattern) if pattern else ())), directory)
    if status:
        said = output.decode("utf-8", "replace").strip().rpartition("\n")[2] or f"it ended with status {status}"
        raise CommandError(f"git describe in {path}: {said}", "make a tag: git tag -a NAME", "git-describe")
    return output.strip()
