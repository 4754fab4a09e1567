"""Layers and plain trees: upper directories of overlayfs into one plain tree, copies, copies that share files.

All of it runs as root of the user namespace that the files belong to, and goes through descriptors: a link in a
layer is never followed. Work directories of overlayfs are no part of a layer.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat

from vaggapy.build.tree import BELOW, copy_bytes, open_within
from vaggapy.sandbox import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PLAIN = linux.RESOLVE_BENEATH | linux.RESOLVE_NO_SYMLINKS
HERE = os.O_RDONLY | BELOW
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
FICLONE = 0x40049409
WORTH_SHARING = 1 << 16
OVERLAY = ("user.overlay.", "trusted.overlay.")
OPAQUE = tuple(f"{prefix}opaque" for prefix in OVERLAY)
HIDING = tuple(f"{prefix}whiteout" for prefix in OVERLAY)
COPY_INSTEAD = (errno.EMLINK, errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP)
MIB = 1 << 20


# --- layers of overlayfs into a plain tree --------------------------------------------------------------------------


def flatten(layers: tuple[str, ...], target: str) -> None:
    """Make the plain tree that overlayfs would show of `layers`, lowest first, at `target`, which must not exist.

    Files are hard links to those of the layers, or copies where no more links are possible. So attributes that
    overlayfs keeps on files (`user.overlay.origin`) are seen in the plain tree too; nothing reads them there.
    Directories are made anew, with mode, owner, time and attributes of the topmost, but those of overlayfs.

    Raises:
        OSError: a layer cannot be read, or the target not written.
    """
    with contextlib.ExitStack() as opened:
        tops = []
        for layer in reversed(layers):
            tops.append(os.open(layer, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            opened.callback(os.close, tops[-1])
        target_top = _new_top(target)
        opened.callback(os.close, target_top)
        waiting = [("", tops)]
        while waiting:
            path, having = waiting.pop()
            waiting += _merge(path, having, target_top)


def _new_top(target: str) -> int:
    """Make a directory and open it; its owner is the caller."""
    os.mkdir(target, 0o700)
    return os.open(target, HERE)


def _merge(path: str, tops: list[int], target_top: int) -> list[tuple[str, list[int]]]:
    """Fill one directory from those of the layers that have it, topmost first; return the directories in it."""
    directories: dict[str, list[int]] = {}
    hidden: set[str] = set()  # names that mean nothing in the layers below
    first = -1
    target = open_within(target_top, path, HERE, 0, PLAIN)
    try:
        for top in tops:
            fd = open_within(top, path, HERE, 0, PLAIN)
            try:
                opaque = _opaque(fd)
                _merge_one(fd, target, (top, opaque == b"x"), directories, hidden)
            finally:
                if first < 0:
                    first = fd
                else:
                    os.close(fd)
            if opaque == b"y":
                break
        _copy_directory(first, target)
    finally:
        os.close(target)
        if first >= 0:
            os.close(first)
    return [(f"{path}/{name}" if path else name, having) for name, having in directories.items()]


def _merge_one(
    fd: int, target: int, layer: tuple[int, bool], directories: dict[str, list[int]], hidden: set[str]
) -> None:
    """Take what one layer has in a directory: `layer` is its top, and whether files may be whiteouts by attribute."""
    top, by_attribute = layer
    with os.scandir(fd) as entries:
        for entry in entries:
            name = entry.name
            if name in hidden:
                continue
            if entry.is_dir(follow_symlinks=False):
                if name in directories:
                    directories[name].append(top)
                else:
                    os.mkdir(name, 0o700, dir_fd=target)
                    directories[name] = [top]
                continue
            hidden.add(name)
            if name not in directories and not _is_whiteout(entry, fd, by_attribute):
                _link_or_copy(fd, target, name)


def _is_whiteout(entry: os.DirEntry[str], directory: int, by_attribute: bool) -> bool:
    """Return whether an entry only says that there is nothing: a device 0:0, or an empty file with an attribute."""
    if entry.is_symlink():
        return False
    if not entry.is_file(follow_symlinks=False):
        status = entry.stat(follow_symlinks=False)
        return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
    if not by_attribute or entry.stat(follow_symlinks=False).st_size:
        return False
    fd = os.open(entry.name, OLD, dir_fd=directory)
    try:
        return any(name in HIDING for name in os.listxattr(fd))
    finally:
        os.close(fd)


def _opaque(fd: int) -> bytes:
    """Return what overlayfs has noted of a directory: `y` if the layers below do not count, `x`, or nothing."""
    for name in os.listxattr(fd):
        if name in OPAQUE:
            return os.getxattr(fd, name)
    return b""


def _link_or_copy(source: int, target: int, name: str) -> None:
    """Link a file, a symbolic link or a fifo from one directory into another; copy it where that cannot be."""
    try:
        os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in COPY_INSTEAD:
            raise
        _copy_entry(source, target, name, os.stat(name, dir_fd=source, follow_symlinks=False))


# --- copies ---------------------------------------------------------------------------------------------------------


def copy_tree(source: str, target: str) -> None:
    """Copy a tree to `target`, which must not exist: owners, modes, times, attributes, hard links among its files.

    Holes stay holes, and blocks are shared where the file system can. Devices and sockets are left out.

    Raises:
        OSError: something cannot be read or written.
    """
    _copy(source, target, None)


def link_unchanged(tree: str, previous: str, target: str) -> None:
    """Copy a tree to `target`, but link what is the same at the same path in `previous`.

    The same are regular files of equal content, mode, owner, time and attributes. Two files of the tree never become
    one.

    Raises:
        OSError: something cannot be read or written.
    """
    _copy(tree, target, previous)


class _Copied:
    """What a copy has to remember: the first names of files that have more, and what was linked from before."""

    def __init__(self, top: int, previous: int) -> None:
        """`top`: of the target. `previous`: the tree to link from, or -1."""
        self.top = top
        self.previous = previous
        self.names: dict[tuple[int, int], tuple[str, str]] = {}
        self.taken: set[tuple[int, int]] = set()


def _copy(source: str, target: str, previous: str | None) -> None:
    with contextlib.ExitStack() as opened:
        source_top = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        opened.callback(os.close, source_top)
        before = -1
        if previous is not None:
            before = os.open(previous, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            opened.callback(os.close, before)
        copied = _Copied(_new_top(target), before)
        opened.callback(os.close, copied.top)
        waiting = [""]
        while waiting:
            path = waiting.pop()
            with contextlib.ExitStack() as inner:
                from_fd = open_within(source_top, path, HERE, 0, PLAIN)
                inner.callback(os.close, from_fd)
                to_fd = open_within(copied.top, path, HERE, 0, PLAIN)
                inner.callback(os.close, to_fd)
                old_fd = _open_if_there(before, path)
                if old_fd >= 0:
                    inner.callback(os.close, old_fd)
                names = _copy_names(from_fd, to_fd, old_fd, path, copied)
                _copy_directory(from_fd, to_fd)
            waiting += [f"{path}/{name}" if path else name for name in names]


def _open_if_there(top: int, path: str) -> int:
    """Open a directory of the previous tree; -1 where there is none."""
    if top < 0:
        return -1
    try:
        return open_within(top, path, HERE, 0, PLAIN)
    except (FileNotFoundError, NotADirectoryError):
        return -1
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return -1


def _copy_names(source: int, target: int, previous: int, path: str, copied: _Copied) -> list[str]:
    """Copy everything in one directory but what is in directories there; return the names of these."""
    directories = []
    for name in os.listdir(source):
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            os.mkdir(name, 0o700, dir_fd=target)
            directories.append(name)
            continue
        identity = status.st_dev, status.st_ino
        if status.st_nlink > 1 and identity in copied.names:
            directory, first = copied.names[identity]
            fd = open_within(copied.top, directory, HERE, 0, PLAIN)
            try:
                os.link(first, name, src_dir_fd=fd, dst_dir_fd=target, follow_symlinks=False)
            finally:
                os.close(fd)
            continue
        if not _link_unchanged(source, target, previous, name, status, copied):
            made = _copy_entry(source, target, name, status)
            if not made:
                continue
        if status.st_nlink > 1:
            copied.names[identity] = path, name
    return directories


def _link_unchanged(
    source: int, target: int, previous: int, name: str, status: os.stat_result, copied: _Copied
) -> bool:
    """Link a regular file from the previous tree, if it is the same there; return whether it was."""
    if previous < 0 or not stat.S_ISREG(status.st_mode):
        return False
    try:
        old = os.stat(name, dir_fd=previous, follow_symlinks=False)
    except FileNotFoundError:
        return False
    identity = old.st_dev, old.st_ino
    if _counted(old) != _counted(status) or identity in copied.taken:
        return False
    with contextlib.ExitStack() as opened:
        one = os.open(name, OLD, dir_fd=source)
        opened.callback(os.close, one)
        other = os.open(name, OLD, dir_fd=previous)
        opened.callback(os.close, other)
        if not _equal(one, other):
            return False
    try:
        os.link(name, name, src_dir_fd=previous, dst_dir_fd=target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in COPY_INSTEAD:
            raise
        return False
    copied.taken.add(identity)
    return True


def _counted(status: os.stat_result) -> tuple[int, ...]:
    return status.st_mode, status.st_uid, status.st_gid, status.st_size, status.st_mtime_ns


def _equal(one: int, other: int) -> bool:
    """Return whether two files have the same attributes and content."""
    if _attributes(one) != _attributes(other):
        return False
    while data := os.read(one, MIB):
        if data != os.read(other, len(data)):
            return False
    return not os.read(other, 1)


def _attributes(fd: int) -> dict[str, bytes]:
    """Return the extended attributes of a file but those of overlayfs; none where there are none."""
    try:
        names = os.listxattr(fd)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return {}
    return {name: os.getxattr(fd, name) for name in names if not name.startswith(OVERLAY)}


def _copy_directory(source: int, target: int) -> None:
    """Give a directory what another one has: owner, attributes, mode and times."""
    _copy_metadata(source, target, os.fstat(source))


def _copy_metadata(source: int, target: int, status: os.stat_result) -> None:
    """Give a file what another one has. The owner first: a change of it takes bits and capabilities away."""
    there = os.fstat(target)
    if (there.st_uid, there.st_gid) != (status.st_uid, status.st_gid):
        os.fchown(target, status.st_uid, status.st_gid)
    for name, value in _attributes(source).items():
        try:
            os.setxattr(target, name, value)
        except OSError as error:
            # What security modules keep is theirs to set.
            if error.errno != errno.EOPNOTSUPP and not name.startswith(("security.selinux", "security.sm", "trusted.")):
                raise
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))


def _copy_entry(source: int, target: int, name: str, status: os.stat_result) -> bool:
    """Copy one entry that is no directory; return False for devices and sockets, which are left out."""
    if stat.S_ISREG(status.st_mode):
        one = os.open(name, OLD, dir_fd=source)
        try:
            other = os.open(name, NEW, 0o600, dir_fd=target)
            try:
                _copy_content(one, other, status)
                _copy_metadata(one, other, status)
            finally:
                os.close(other)
        finally:
            os.close(one)
        return True
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    elif stat.S_ISFIFO(status.st_mode):
        os.mkfifo(name, 0o600, dir_fd=target)
        os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=target)  # not followed: it was made just now
    else:
        return False
    there = os.stat(name, dir_fd=target, follow_symlinks=False)
    if (there.st_uid, there.st_gid) != (status.st_uid, status.st_gid):
        os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
    times = (status.st_mtime_ns, status.st_mtime_ns)
    os.utime(name, ns=times, dir_fd=target, follow_symlinks=False)
    return True


def _copy_content(source: int, target: int, status: os.stat_result) -> None:
    """Copy a file's bytes: by sharing blocks if the file system can and it is worth asking, else between its holes."""
    size = status.st_size
    if size > WORTH_SHARING:
        try:
            fcntl.ioctl(target, FICLONE, source)
            return
        except OSError:
            pass  # not on this file system, or not across two: copy
    if status.st_blocks * 512 >= size:
        copy_bytes(source, target, size)
        return
    for begin, end in _pieces(source, size):
        os.lseek(source, begin, os.SEEK_SET)
        os.lseek(target, begin, os.SEEK_SET)
        copy_bytes(source, target, end - begin)
    os.ftruncate(target, size)


def _pieces(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Give where a file has data, as (begin, end)."""
    at = 0
    while at < size:
        try:
            begin = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole up to the end
                return
            raise
        at = os.lseek(fd, begin, os.SEEK_HOLE)
        yield begin, min(at, size)
