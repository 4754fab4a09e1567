"""The tree that is being made, and what the file actions do to it: everything through descriptors.

Paths are absolute inside the tree. Links in it are followed by the kernel with the tree as the root
(openat2(2), RESOLVE_IN_ROOT): `/etc/x -> /y` means `/y` of the tree, and `..` stops at its top. So nothing that a
build has put into the tree can lead a later action out of it.

Failures of the system calls leave as `OSError` with the path inside; `carry_out` words them for people.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from vaggapy.build.actions import (
    Copy,
    Empty,
    Install,
    KeepOnly,
    Link,
    MakeDirectory,
    Remove,
    Unpack,
    UnpackImage,
    WriteFile,
)
from vaggapy.errors import CommandError
from vaggapy.record import Record
from vaggapy.sandbox import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Self

    from vaggapy.build.actions import FileAction

INSIDE = linux.RESOLVE_IN_ROOT | linux.RESOLVE_NO_MAGICLINKS
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
BELOW = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
LONGEST = 4000
"""Bytes of a path that the kernel takes at once; its limit is 4096 with the byte at the end."""
MIB = 1 << 20


class Places(Record):
    """Where sources are: `moved` has beginnings of paths and what is there instead, for work outside of a sandbox.

    In the worker nothing is moved.
    """

    moved: Mapping[str, str] = {}

    def real(self, path: str) -> str:
        """Return where a source is."""
        for begin, there in self.moved.items():
            if path == begin or path.startswith(f"{begin}/"):
                return there + path[len(begin) :]
        return path


def open_within(root: int, path: str, flags: int, mode: int = 0, resolve: int = INSIDE) -> int:
    """Open a path below `root`; its owner is the caller. A path may be of any length.

    The kernel takes 4096 bytes at once. Of a longer path, what comes after the first part may hold no links.
    """
    rest = path.strip("/") or "."
    here, opened = root, -1
    try:
        while len(os.fsencode(rest)) > LONGEST:
            cut = rest.rfind("/", 1, LONGEST // 4)  # a character is four bytes at most
            if cut < 0:
                break
            following = linux.openat2(here, rest[:cut], os.O_PATH | os.O_DIRECTORY, 0, resolve)
            if opened >= 0:
                os.close(opened)
            here = opened = following
            rest = rest[cut + 1 :].lstrip("/") or "."
            resolve = linux.RESOLVE_BENEATH | linux.RESOLVE_NO_SYMLINKS
        return linux.openat2(here, rest, flags, mode, resolve)
    finally:
        if opened >= 0:
            os.close(opened)


class Tree:
    """A directory as the root of all paths. It owns its descriptor; use it with `with`, or `close` it."""

    def __init__(self, path: str) -> None:
        """Open the directory `path` of the process's own root, following links."""
        self.fd = os.open(path, DIRECTORY)

    def __enter__(self) -> Self:
        """Return the tree itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the descriptor."""
        self.close()

    def close(self) -> None:
        """Close the descriptor; nothing happens the second time."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    # --- finding ----------------------------------------------------------------------------------------------

    def open(self, path: str, flags: int = os.O_RDONLY, mode: int = 0) -> int:
        """Return a descriptor of what is at `path`, links followed inside the tree; its owner is the caller."""
        return open_within(self.fd, path, flags, mode)

    def open_directory(self, path: str, create: bool = False, mode: int = 0o755) -> int:
        """Return a descriptor of a directory; its owner is the caller. `mode`: of a new one; new parents have 0755."""
        try:
            return self.open(path, DIRECTORY)
        except FileNotFoundError:
            if not create:
                raise
        names = [name for name in path.split("/") if name not in ("", ".")]
        fd = -1
        for count in range(1, len(names) + 1):
            here = "/" + "/".join(names[:count])
            if fd >= 0:
                os.close(fd)
                fd = -1
            try:
                fd = self.open(here, DIRECTORY)
            except FileNotFoundError:
                with self.parent(here) as (parent, name):
                    os.mkdir(name, 0o700, dir_fd=parent)
                    fd = os.open(name, DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
                os.fchmod(fd, mode if count == len(names) else 0o755)
        return fd

    @contextlib.contextmanager
    def directory(self, path: str, create: bool = False, mode: int = 0o755) -> Iterator[int]:
        """Give a descriptor of a directory that is closed afterwards."""
        fd = self.open_directory(path, create, mode)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def parent(self, path: str, create: bool = False) -> Iterator[tuple[int, str]]:
        """Give the directory that holds `path`, as a descriptor for this time, and the name there, not followed."""
        above, _, name = path.rstrip("/").rpartition("/")
        if name in ("", ".", ".."):
            raise OSError(errno.EBUSY, "names no entry of a directory", path)
        with self.directory(above or "/", create) as fd:
            yield fd, name

    def lstat(self, path: str) -> os.stat_result | None:
        """Return what is at `path`, the last link not followed; None if nothing is there."""
        try:
            fd = self.open(path, os.O_PATH | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def read(self, path: str) -> bytes:
        """Return the content of a regular file."""
        with open(self._regular(path, os.O_RDONLY), "rb") as file:
            return file.read()

    def walk(self, path: str = "/") -> Iterator[tuple[str, os.stat_result]]:
        """Give everything below a directory as (path inside the tree, what it is), sorted by name, parents first."""
        waiting = [path.rstrip("/")]
        while waiting:
            here = waiting.pop()
            with self.directory(here or "/") as fd:
                below = []
                for name in sorted(os.listdir(fd), key=os.fsencode):
                    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    yield f"{here}/{name}", status
                    if stat.S_ISDIR(status.st_mode):
                        below.append(f"{here}/{name}")
            waiting += reversed(below)

    # --- changing ---------------------------------------------------------------------------------------------

    def write(self, path: str, data: bytes, mode: int = 0o644, append: bool = False, parents: bool = False) -> None:
        """Write a file, through links that stay in the tree; an existing file gets `mode` too unless it is appended."""
        if parents:
            with self.parent(path, create=True):
                pass
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else os.O_TRUNC)
        old = append and self.lstat(path) is not None
        with open(self._regular(path, flags, mode & 0o7777), "wb", 0) as file:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
            if not old:
                os.fchmod(file.fileno(), mode)

    def _regular(self, path: str, flags: int, mode: int = 0) -> int:
        """Open a regular file; a fifo or a device there is not waited for."""
        fd = self.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY, mode)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "is no regular file", path)
        return fd

    def make_directory(self, path: str, mode: int = 0o755) -> None:
        """Make a directory and its parents; one that is there stays as it is."""
        os.close(self.open_directory(path, True, mode))

    def remove(self, path: str) -> None:
        """Remove what is at `path`, never through a link there; nothing there is no error."""
        try:
            with self.parent(path) as (fd, name):
                remove_entry(fd, name, path)
        except (FileNotFoundError, NotADirectoryError):
            return

    def empty(self, path: str) -> None:
        """Remove everything in a directory; nothing there is no error."""
        try:
            fd = self.open_directory(path)
        except FileNotFoundError:
            return
        try:
            _grant(fd)
            for name in os.listdir(fd):
                remove_entry(fd, name, f"{path.rstrip('/')}/{name}")
        finally:
            os.close(fd)

    def keep_only(self, paths: tuple[str, ...]) -> None:
        """Remove all but `paths`, what is below them and the directories above them.

        Paths are compared as they are written. A link above one of them stays, what it leads to does not.
        """
        kept = {"/" + "/".join(name for name in path.split("/") if name not in ("", ".")) for path in paths}
        if "/" in kept:
            return
        above = {path[:end] or "/" for path in kept for end, letter in enumerate(path) if letter == "/"}
        waiting = ["/"]
        while waiting:
            here = waiting.pop()
            with self.directory(here) as fd:
                for name in os.listdir(fd):
                    path = f"{here.rstrip('/')}/{name}"
                    if path in kept:
                        continue
                    if path not in above:
                        remove_entry(fd, name, path)
                    elif stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                        waiting.append(path)

    def link(self, path: str, text: str) -> None:
        """Make a symbolic link in place of what is there, and missing directories above; a directory is an error."""
        with self.parent(path, create=True) as (fd, name):
            unlink_if_there(fd, name)
            os.symlink(text, name, dir_fd=fd)

    def install(self, source: str, path: str, mode: int = 0o644) -> None:
        """Copy the file `source` of the process's own root to `path`, in place of what is there.

        A link at `path` is replaced, not followed; missing directories above are made; a directory is an error.
        """
        with open(source, "rb", 0) as origin, self.parent(path, create=True) as (fd, name):
            unlink_if_there(fd, name)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(name, flags, 0o600, dir_fd=fd), "wb", 0) as file:
                copy_bytes(origin.fileno(), file.fileno())
                os.fchmod(file.fileno(), mode)


# --- pieces that others use too -------------------------------------------------------------------------------------


def unlink_if_there(directory: int, name: str) -> None:
    """Remove anything but a directory; nothing there is no error."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)


def copy_bytes(source: int, target: int, size: int = -1) -> None:
    """Copy `size` bytes, or up to the end, from where a descriptor is to where another is; in the kernel if it can."""
    by_kernel = True
    while size:
        wanted = 256 * MIB if size < 0 else min(size, 256 * MIB)
        count = 0
        if by_kernel:
            try:
                count = os.copy_file_range(source, target, wanted)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
                    raise
                by_kernel = False
        if not count:
            # Also after a 0: files of /proc and of some network file systems have more than the kernel's copy sees.
            data = os.read(source, min(wanted, MIB))
            if not data:
                return
            count = len(data)
            view = memoryview(data)
            while view:
                view = view[os.write(target, view) :]
        if size > 0:
            size -= count


def _grant(fd: int) -> os.stat_result:
    """Return what a directory is, after giving its owner all rights to it, where they lack and can be given."""
    status = os.fstat(fd)
    if status.st_mode & 0o700 != 0o700:
        with contextlib.suppress(OSError):
            os.fchmod(fd, stat.S_IMODE(status.st_mode) | 0o700)
    return status


def _enter(directory: int, name: str) -> int:
    """Open a directory that is to be removed, whatever its mode says."""
    try:
        return os.open(name, os.O_RDONLY | BELOW, dir_fd=directory)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=directory)  # a directory, said the caller; not followed if it is one
        return os.open(name, os.O_RDONLY | BELOW, dir_fd=directory)


def remove_entry(directory: int, name: str, shown: str = "") -> None:
    """Remove one entry of a directory with all in it. Links are never followed.

    It holds two descriptors however deep the tree is, and remembers the way back by `..`, which must lead to where
    it came from.

    Raises:
        CommandError: a directory below is of another file system: something is mounted there.
        FileNotFoundError: there is no such entry.
    """
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(name, dir_fd=directory)
        return
    device = os.fstat(directory).st_dev
    way: list[
        tuple[tuple[int, int], str, list[str]]
    ] = []  # of each directory above: identity, name in it, what is left
    fd = -1
    try:
        fd, left = _begin(directory, name, device, shown or name)
        while True:
            down = _unlink_files(fd, left)
            if down:
                here = os.fstat(fd)
                inner, names = _begin(fd, down, device, f"{shown or name}/.../{down}")
                way.append(((here.st_dev, here.st_ino), down, left))
                os.close(fd)
                fd, left = inner, names
            elif way:
                identity, last, left = way.pop()
                outer = os.open("..", os.O_RDONLY | BELOW, dir_fd=fd)
                os.close(fd)
                fd = outer
                status = os.fstat(fd)
                if (status.st_dev, status.st_ino) != identity:
                    raise OSError(errno.EAGAIN, "was moved while it was removed", shown or name)
                os.rmdir(last, dir_fd=fd)
            else:
                break
    finally:
        if fd >= 0:
            os.close(fd)
    os.rmdir(name, dir_fd=directory)


def delete(path: str) -> None:
    """Remove `path` of the process's own root with all in it, never through a link there; nothing is no error."""
    above, _, name = path.rstrip("/").rpartition("/")
    directory = os.open(above or "/", os.O_PATH | os.O_DIRECTORY)
    try:
        with contextlib.suppress(FileNotFoundError):
            remove_entry(directory, name, path)
    finally:
        os.close(directory)


def _begin(parent: int, name: str, device: int, shown: str) -> tuple[int, list[str]]:
    """Open a directory that is to be emptied; return its descriptor and its names."""
    fd = _enter(parent, name)
    if _grant(fd).st_dev != device:
        os.close(fd)
        raise CommandError(
            f"{shown}: another file system is mounted there, so it is not removed",
            "unmount it, then try again",
            "tree-other-device",
        )
    return fd, os.listdir(fd)


def _unlink_files(fd: int, names: list[str]) -> str:
    """Take names away and remove what they name; return the first that is a directory, "" if none is left."""
    while names:
        name = names.pop()
        try:
            os.unlink(name, dir_fd=fd)
        except OSError as error:
            if error.errno not in (errno.EISDIR, errno.EPERM):
                raise
            if not stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                raise
            return name
    return ""


# --- actions --------------------------------------------------------------------------------------------------------


def carry_out(action: FileAction, tree: Tree, single_id: bool = False, places: Places | None = None) -> None:
    """Do one file action. `single_id`: there is no id but 0 here, so owners of archives are not kept.

    Raises:
        CommandError: it cannot be done; says the path inside the tree, or the source, and the cause.
    """
    places = places or Places()
    try:
        _carry_out(action, tree, single_id, places)
    except OSError as error:
        if error.errno == errno.ENOSYS and error.strerror == "openat2":
            raise CommandError(
                "this kernel has no openat2(2), without which no tree is safe to write to",
                "use Linux 5.6 or newer",
                "kernel-too-old",
            ) from error
        source = getattr(action, "source", "")
        path = getattr(action, "path", "") or ", ".join(getattr(action, "paths", ()))
        about = source if source and error.filename == places.real(source) else path
        raise CommandError(f"{about}: {reason(error)}", _remedy(error), "build-files") from error


def _carry_out(action: FileAction, tree: Tree, single_id: bool, places: Places) -> None:
    match action:
        case WriteFile(path, content, mode, append, parents):
            tree.write(path, content.encode("utf-8", "surrogateescape"), mode, append, parents)
        case MakeDirectory(path, mode):
            tree.make_directory(path, mode)
        case Remove(path):
            tree.remove(path)
        case Empty(path):
            tree.empty(path)
        case KeepOnly(paths):
            tree.keep_only(paths)
        case Link(path, text):
            tree.link(path, text)
        case Install(source, path, mode):
            tree.install(places.real(source), path, mode)
        case Copy():
            # These three import what reads trees and archives, which in turn imports this module.
            from vaggapy.build.copying import copy

            copy(action, tree, places)
        case Unpack():
            # as above
            from vaggapy.build.unpack import unpack

            unpack(action, tree, single_id, places)
        case UnpackImage(reference):
            # as above
            from vaggapy.build.image_layers import unpack_image

            unpack_image(reference, tree, single_id, places)


def reason(error: OSError) -> str:
    """Return the cause of a failure in words; system calls of our own have their name for a text."""
    if error.errno is None:
        return str(error)
    text = os.strerror(error.errno)
    said = error.strerror or ""
    return said if " " in said and said != text else text[:1].lower() + text[1:]


def _remedy(error: OSError) -> str:
    """Return what to do about a failure."""
    match error.errno:
        case errno.ENOENT:
            return "make it, or its directory, in a step before"
        case errno.EISDIR | errno.ENOTDIR | errno.EEXIST | errno.ELOOP:
            return "something else is there: remove it in a step before, or use another path"
        case errno.ENOSPC | errno.EDQUOT:
            return "make room on the disk; `vagga _clean --unused` removes containers that are not used"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "see who owns it, and whether it is writable"
        case _:
            return "see the build log"
