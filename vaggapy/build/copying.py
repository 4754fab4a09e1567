"""Copy a file or the selected entries of a directory into the tree: what `!Copy` and `!Container` come to.

The source is opened below its own place (the project, the root of a container, the tree itself) and no link that
leads out of it is followed; links among the entries are copied as they are. What is in the way of a file or link is
replaced, never written through. A directory that is there stays as it is, be it reached by a link of the tree.
Pipes, sockets and devices are left out with a warning. Hard links become files of their own; holes stay holes.

Owners that do not exist here (one id only) become the user's, unless the step asks for them.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

from vaggapy.build.actions import ROOTS, VOLUMES
from vaggapy.build.inputs import BENEATH, IN_ROOT, READ, WORK, counted_mode
from vaggapy.build.sources import KEEP, UMASK
from vaggapy.build.walk import HERE, LINK, OPEN, OTHER, kind_of, walk
from vaggapy.errors import CommandError
from vaggapy.sandbox import linux
from vaggapy.sandbox.linux import stat_row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.build.actions import Copy
    from vaggapy.build.tree import Places, Tree

CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
SMALL = 1 << 17
CHUNK = 1 << 24
BLOCK = 512
EPOCH = 10**9
"""Nanoseconds: the time of what is copied without its own."""
CAPABILITY = "security.capability"
NO_SUCH_OWNER = (errno.EINVAL, errno.EPERM)
NOT_HERE = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)


def copy(action: Copy, tree: Tree, places: Places | None = None) -> None:
    """Carry out a `Copy`. `places`: where `/work` and `/vagga/roots` really are, if they are moved.

    Raises:
        CommandError: the source is not there or does not stay the same, or a directory would go into itself.
        OSError: of a system call.
    """
    parent, name = _source(action, tree, places)
    try:
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError as error:
            raise _missing(action.source) from error
        if not stat.S_ISDIR(status.st_mode):
            with tree.parent(action.path, create=True) as (target, last):
                _Copying(action, tree).entry(parent, name, status, target, last, action.source)
            return
        top = os.open(name, OPEN, dir_fd=parent)
    finally:
        os.close(parent)
    try:
        _Copying(action, tree).directory(top)
    finally:
        os.close(top)


def _missing(source: str) -> CommandError:
    return CommandError(f"{source}: there is no such file or directory", "correct the source", "input-missing")


def _source(action: Copy, tree: Tree, places: Places | None) -> tuple[int, str]:
    """Open the directory that holds the source; return it and the name in it, which is not followed.

    Raises:
        CommandError: it is not there, or a link on the way leads out of the project.
    """
    path, resolve = action.source, IN_ROOT
    anchor = ""
    if path == WORK or path.startswith(f"{WORK}/"):
        anchor, resolve = WORK, BENEATH
    elif path.startswith(f"{ROOTS}/"):
        anchor = "/".join(path.split("/")[:4])
    elif path.startswith(f"{VOLUMES}/"):
        anchor, resolve = VOLUMES, BENEATH
    rest = path[len(anchor) :].strip("/")
    above, _, name = rest.rpartition("/")
    top = os.open(places.real(anchor) if places else anchor, os.O_PATH | os.O_DIRECTORY) if anchor else tree.fd
    try:
        return linux.openat2(top, above or ".", os.O_PATH | os.O_DIRECTORY, 0, resolve), name or HERE
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise CommandError(
                f"{path}: a link on the way leads out of the project", "copy the files into it", "input-outside"
            ) from error
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise _missing(path) from error
        raise OSError(error.errno, os.strerror(error.errno or 0), path) from error
    finally:
        if anchor:
            os.close(top)


class _Level:
    """A directory of the target that is being filled; it owns its descriptor. `status`: of the source, if it is new."""

    def __init__(self, prefix: str, fd: int, status: os.stat_result | None) -> None:
        self.prefix = prefix
        self.fd = fd
        self.status = status


class _Copying:
    """One copy under way."""

    def __init__(self, action: Copy, tree: Tree) -> None:
        self._action = action
        self._tree = tree
        self._modes = KEEP if action.keep_modes else UMASK
        self._target = (0, 0)  # device and inode of the directory that is written

    def directory(self, top: int) -> None:
        """Copy the selected entries below a descriptor."""
        source = self._action.source.rstrip("/")
        levels: list[_Level] = []
        try:
            for path, parent, name, status in walk(top, self._action.selection, self._entered):
                if path == HERE:
                    levels.append(self._top(status))
                    continue
                while not path.startswith(levels[-1].prefix):
                    self._leave(levels)
                level = levels[-1]
                if stat.S_ISDIR(status.st_mode):
                    levels.append(self._enter(level, f"{path}/", name, status))
                else:
                    self.entry(parent, name, status, level.fd, name, f"{source}/{path}")
            while levels:
                self._leave(levels)
        except FileNotFoundError as error:
            shown = error.filename if isinstance(error.filename, str) else ""
            raise CommandError(
                f"{source}/{shown}: it goes away while it is copied", "stop what writes there", "input-changes"
            ) from error
        finally:
            for level in levels:
                os.close(level.fd)

    def _entered(self, path: str, status: os.stat_result) -> None:
        """Refuse to read the directory that is being written: there would be no end."""
        if (status.st_dev, status.st_ino) == self._target and path != HERE:
            what = f"{self._action.source} into {self._action.path}: the directory would be copied into itself"
            raise CommandError(what, "copy to a place outside of it, or exclude it", "copy-into-itself")

    def _top(self, status: os.stat_result) -> _Level:
        """Have the directory that is written."""
        path = self._action.path
        try:
            fd = self._tree.open_directory(path)
            level = _Level("", fd, None)
        except FileNotFoundError:
            with self._tree.parent(path, create=True) as (parent, name):
                level = _made(parent, name, "", status)
        found = os.fstat(level.fd)
        self._target = (found.st_dev, found.st_ino)
        return level

    def _enter(self, above: _Level, prefix: str, name: str, status: os.stat_result) -> _Level:
        """Have a directory of the target; one that is there, or that a link of the tree leads to, stays as it is."""
        try:
            return _made(above.fd, name, prefix, status)
        except FileExistsError:
            pass
        try:
            return _Level(prefix, os.open(name, OPEN, dir_fd=above.fd), None)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
        try:
            return _Level(prefix, self._tree.open_directory(f"{self._action.path.rstrip('/')}/{prefix}"), None)
        except OSError:
            os.unlink(name, dir_fd=above.fd)
            return _made(above.fd, name, prefix, status)

    def _leave(self, levels: list[_Level]) -> None:
        """Finish a directory: nothing is written to it any more, so its mode may forbid that and its times stay."""
        level = levels.pop()
        try:
            if level.status is not None:
                self._own(level.fd, -1, level.status)
                os.fchmod(level.fd, counted_mode(level.status.st_mode, self._modes, self._action.umask))
                self._date(level.fd, -1, level.status)
        finally:
            os.close(level.fd)

    def entry(self, parent: int, name: str, status: os.stat_result, target: int, last: str, shown: str) -> None:
        """Copy one file or link to the name `last` in the directory `target`; what is there goes."""
        kind = kind_of(status.st_mode)
        if kind == OTHER:
            sys.stderr.write(f"vagga: {shown}: left out, as it is no file, directory or link\n")
            return
        if kind == LINK:
            text = os.readlink(name, dir_fd=parent)
            _clear(target, last)
            os.symlink(text, last, dir_fd=target)
            self._own(last, target, status)
            self._date(last, target, status)
            return
        try:
            source = os.open(name, READ | os.O_NOFOLLOW, dir_fd=parent)
        except FileNotFoundError as error:
            raise _gone(shown) from error
        except OSError as error:
            raise OSError(error.errno, error.strerror, shown) from error
        try:
            self._file(source, status, target, last, shown)
        finally:
            os.close(source)

    def _file(self, source: int, status: os.stat_result, target: int, last: str, shown: str) -> None:
        """Copy a file that is open, with everything that belongs to it."""
        row = stat_row(status)
        _clear(target, last)
        fd = os.open(last, CREATE, 0o600, dir_fd=target)
        try:
            if stat_row(os.fstat(source)) == row:
                _content(source, fd, status)
            if stat_row(os.fstat(source)) != row:
                raise CommandError(f"{shown}: it changes while it is copied", "stop what writes there", "input-changes")
            self._own(fd, -1, status)
            os.fchmod(fd, counted_mode(status.st_mode, self._modes, self._action.umask))
            if self._action.keep_modes:
                _capability(source, fd)
            self._date(fd, -1, status)
        finally:
            os.close(fd)

    def _own(self, what: int | str, directory: int, status: os.stat_result) -> None:
        """Set the owner of a descriptor, or of a name in a directory."""
        action = self._action
        uid = action.uid if action.uid >= 0 else status.st_uid
        gid = action.gid if action.gid >= 0 else status.st_gid
        try:
            if isinstance(what, int):
                os.chown(what, uid, gid)
            else:
                os.chown(what, uid, gid, dir_fd=directory, follow_symlinks=False)
        except OSError as error:
            if error.errno not in NO_SUCH_OWNER or action.uid >= 0 or action.gid >= 0:
                raise

    def _date(self, what: int | str, directory: int, status: os.stat_result) -> None:
        """Set the times of a descriptor, or of a name in a directory."""
        time = status.st_mtime_ns if self._action.keep_times else EPOCH
        if isinstance(what, int):
            os.utime(what, ns=(time, time))
        else:
            os.utime(what, ns=(time, time), dir_fd=directory, follow_symlinks=False)


def _made(parent: int, name: str, prefix: str, status: os.stat_result) -> _Level:
    """Make a directory and open it."""
    os.mkdir(name, 0o700, dir_fd=parent)
    return _Level(prefix, os.open(name, OPEN, dir_fd=parent), status)


def _gone(shown: str) -> CommandError:
    return CommandError(f"{shown}: it goes away while it is copied", "stop what writes there", "input-changes")


def _clear(directory: int, name: str) -> None:
    """Remove what is in the way of a file or link.

    Raises:
        IsADirectoryError: a directory, which may hold anything, stays.
    """
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    os.unlink(name, dir_fd=directory)


def _content(source: int, target: int, status: os.stat_result) -> None:
    """Copy the bytes of a file; what takes no room in the source takes none in the target."""
    size = status.st_size
    if size <= SMALL and status.st_blocks * BLOCK >= size:
        while data := os.read(source, SMALL):
            _write(target, data)
        return
    at = 0
    while at < size:
        try:
            begin = os.lseek(source, at, os.SEEK_DATA)
            end = min(os.lseek(source, begin, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                break
            begin, end = at, size
        _range(source, target, begin, end)
        at = max(end, at + 1)
    os.ftruncate(target, size)


def _range(source: int, target: int, begin: int, end: int) -> None:
    """Copy some bytes to the same place, inside the kernel where it can; less if the source has become shorter."""
    at = begin
    try:
        while at < end:
            done = os.copy_file_range(source, target, min(CHUNK, end - at), at, at)
            if not done:
                return
            at += done
        return
    except OSError as error:
        if error.errno not in NOT_HERE:
            raise
    os.lseek(source, at, os.SEEK_SET)
    os.lseek(target, at, os.SEEK_SET)
    while at < end and (data := os.read(source, min(CHUNK, end - at))):
        _write(target, data)
        at += len(data)


def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _capability(source: int, target: int) -> None:
    """Copy what a file may do whoever runs it, as `ping` does."""
    try:
        os.setxattr(target, CAPABILITY, os.getxattr(source, CAPABILITY))
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP, errno.EPERM):
            raise
