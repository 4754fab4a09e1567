"""System calls that Python 3.11 does not have, each as a function that raises `OSError`.

The only user of ctypes, of which just the part that is written in C is loaded: what the package adds around it costs
2 ms at every start. Nothing is decided here: arguments go to the kernel as they come. `OSError.strerror` names the
call, `filename` and `filename2` the source and the target, so that a failure can be told as (step, errno, source,
target). The C library is called with the interpreter's lock held: there is one thread, and a raw clone must not leave
a lock taken in the child.
"""

from __future__ import annotations

import _ctypes
import errno
import os
from itertools import repeat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_STRICTATIME = 1 << 24
MNT_DETACH = 2

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x04
MOVE_MOUNT_T_SYMLINKS = 0x10
MOUNT_ATTR_RDONLY = 1
MOUNT_ATTR_NOSUID = 2
MOUNT_ATTR_NODEV = 4

RENAME_EXCHANGE = 2

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4

STAT_COLUMNS = 7
STAT_AT_ONCE = 2048

SIGCHLD = 17
LAST_SIGNAL = 64

_RACES = 100

# Numbers from 424 on are the same on every architecture.
_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_CLOSE_RANGE = 436
_SYS_OPENAT2 = 437
_SYS_MOUNT_SETATTR = 442
_SYS_CLONE = {"x86_64": 56, "aarch64": 220, "riscv64": 220}
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41}
_SYS_RENAMEAT2 = {"x86_64": 316, "aarch64": 276, "riscv64": 276}


if TYPE_CHECKING:
    _Simple = _ctypes._SimpleCData[int]
else:
    _Simple = _ctypes._SimpleCData


class _Int(_Simple):
    _type_ = "i"


class _Long(_Simple):
    _type_ = "l"


class _Ulong(_Simple):
    _type_ = "L"


class _Word(_Simple):
    _type_ = "Q"


class _Char(_Simple):
    _type_ = "c"


class _Function(_ctypes.CFuncPtr):
    """A function of the C library that returns an int and sets errno."""

    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_PYTHONAPI | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = _Int


class _LongFunction(_ctypes.CFuncPtr):
    """The same, of one that returns a long."""

    _flags_ = _Function._flags_
    _restype_ = _Long


def _address(name: str) -> int:
    """Return where a function of the C library is; AttributeError or OSError if it has none of that name."""
    found: int = _ctypes.dlsym(_library, name)
    return found


_library = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # None is the program itself
_syscall = _LongFunction(_address("syscall"))
_mount = _Function(_address("mount"))
_umount2 = _Function(_address("umount2"))
_unshare = _Function(_address("unshare"))
_setns = _Function(_address("setns"))
_prctl = _Function(_address("prctl"))

# `struct stat`, 64-bit words: x86_64 has one of its own, all newer architectures share another. Kept: mode with owner
# or links, inode, size, mtime, ctime. Before version 2.33 of the GNU C library fstatat(2) had another name.
_OLD_STAT = os.uname().machine == "x86_64"
_STAT_WORDS = 18 if _OLD_STAT else 16
_STAT_KEPT = (3 if _OLD_STAT else 2, 1, 6, 11, 12, 13, 14)
_STAT_FLAGS = 0x1900  # AT_SYMLINK_NOFOLLOW, AT_NO_AUTOMOUNT, AT_EMPTY_PATH


def _stat_function() -> Callable[..., Any]:
    try:
        return _Function(_address("fstatat"))
    except OSError:
        old = _Function(_address("__fxstatat"))
        return lambda *rest: old(int(_OLD_STAT), *rest)


_fstatat = _stat_function()


class _MountAttr(_ctypes.Structure):
    """`struct mount_attr` of mount_setattr(2)."""

    _fields_ = (  # type: ignore[mutable-override]  # ctypes reads it once; a tuple is the safer constant
        ("attr_set", _Word),
        ("attr_clr", _Word),
        ("propagation", _Word),
        ("userns_fd", _Word),
    )


class _OpenHow(_ctypes.Structure):
    """`struct open_how` of openat2(2)."""

    _fields_ = (  # type: ignore[mutable-override]  # as above
        ("flags", _Word),
        ("mode", _Word),
        ("resolve", _Word),
    )


def _fail(call: str, source: str = "", target: str = "") -> NoReturn:
    number = _ctypes.get_errno()
    raise OSError(number, call, source, None, target)


def machine_number(numbers: dict[str, int], call: str) -> int:
    """Return the number of a system call on this machine; ENOSYS where it is not known."""
    number = numbers.get(os.uname().machine, 0)
    if not number:
        raise OSError(38, f"{call}: unknown architecture {os.uname().machine}")
    return number


def clone(flags: int) -> int:
    """Fork with namespaces, clone(2): returns the child's pid, and 0 in the child.

    Python's at-fork callbacks do not run: the child may do system calls and exec, or run a small loop.
    """
    number = machine_number(_SYS_CLONE, "clone")
    pid: int = _syscall(_Long(number), _Long(flags | SIGCHLD), _Long(0), _Long(0), _Long(0), _Long(0))
    if pid < 0:
        _fail("clone")
    return pid


def unshare(flags: int) -> None:
    """Move this process into new namespaces, unshare(2)."""
    if _unshare(flags):
        _fail("unshare")


def setns(fd: int, kind: int) -> None:
    """Join a namespace, setns(2). Joining a mount namespace also resets root and current directory."""
    if _setns(fd, kind):
        _fail("setns")


def set_parent_death_signal(number: int) -> None:
    """Ask for a signal when the thread that forked this process ends, PR_SET_PDEATHSIG."""
    if _prctl(PR_SET_PDEATHSIG, _Ulong(number), _Ulong(0), _Ulong(0), _Ulong(0)):
        _fail("prctl")


def forbid_tracing() -> None:
    """Let no process look into this one or trace it, unless it rules over the namespace it was executed in.

    PR_SET_DUMPABLE: without it a process with the same ids in the same user namespace could.
    """
    if _prctl(PR_SET_DUMPABLE, _Ulong(0), _Ulong(0), _Ulong(0), _Ulong(0)):
        _fail("prctl")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount a file system, mount(2)."""
    if _mount(os.fsencode(source), os.fsencode(target), os.fsencode(kind), _Ulong(flags), os.fsencode(options) or None):
        _fail("mount", source, target)


def make_private(target: str) -> None:
    """Stop mounts from spreading into and out of the tree at `target`."""
    if _mount(None, os.fsencode(target), None, _Ulong(MS_REC | MS_PRIVATE), None):
        _fail("mount private", "", target)


def unmount(target: str, flags: int = 0) -> None:
    """Unmount, umount2(2)."""
    if _umount2(os.fsencode(target), flags):
        _fail("umount", "", target)


def open_tree(path: str) -> int:
    """Return a descriptor of a detached copy of the mounts at `path` and below (kernel 5.2)."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE
    fd: int = _syscall(_Long(_SYS_OPEN_TREE), _Long(AT_FDCWD), os.fsencode(path), _Long(flags))
    if fd < 0:
        _fail("open_tree", path)
    return fd


def move_mount(fd: int, source: str, target: str, follow: bool = False) -> None:
    """Attach the detached mounts of `fd` at `target`; `source` is for the message only (kernel 5.2).

    A link at `target` is covered itself, or with `follow` what it leads to.
    """
    flags = MOVE_MOUNT_F_EMPTY_PATH | (MOVE_MOUNT_T_SYMLINKS if follow else 0)
    if _syscall(
        _Long(_SYS_MOVE_MOUNT),
        _Long(fd),
        b"",
        _Long(AT_FDCWD),
        os.fsencode(target),
        _Long(flags),
    ):
        _fail("move_mount", source, target)


def set_read_only(path: str, fd: int = AT_FDCWD, recursive: bool = True) -> None:
    """Make the mount at `path` (or of `fd` with an empty path) read-only and nosuid (kernel 5.12).

    Unlike a remount it does not trip over flags that an outer namespace has locked.
    """
    add_attributes(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, path, fd, recursive)


def add_attributes(added: int, path: str, fd: int = AT_FDCWD, recursive: bool = True) -> None:
    """Add MOUNT_ATTR flags to the mount at `path` (or of `fd` with an empty path), mount_setattr(2) (kernel 5.12)."""
    attributes = _MountAttr(added, 0, 0, 0)
    flags = (AT_RECURSIVE if recursive else 0) | (0 if path else AT_EMPTY_PATH)
    if _syscall(
        _Long(_SYS_MOUNT_SETATTR),
        _Long(fd),
        os.fsencode(path),
        _Long(flags),
        _ctypes.byref(attributes),
        _Ulong(_ctypes.sizeof(attributes)),
    ):
        _fail("mount_setattr", "", path)


def openat2(directory: int, path: str, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """Open `path` below the descriptor `directory`, openat2(2) (kernel 5.6); the result is closed on exec.

    `resolve`: how links and `..` are taken. `mode` must be 0 unless something may be created. With RESOLVE_IN_ROOT or
    RESOLVE_BENEATH the kernel answers EAGAIN when anything was renamed meanwhile: asked again, it gives the answer.
    """
    name = os.fsencode(path)
    if b"\0" in name:
        raise OSError(errno.EINVAL, "openat2", path)
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    for _ in range(_RACES):
        fd: int = _syscall(_Long(_SYS_OPENAT2), _Long(directory), name, _ctypes.byref(how), _Ulong(_ctypes.sizeof(how)))
        if fd >= 0:
            return fd
        if _ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):
            break
    _fail("openat2", path)


def exchange(one: str, other: str) -> None:
    """Let two paths swap what they name in one step, renameat2(2); EINVAL where the file system cannot."""
    number = machine_number(_SYS_RENAMEAT2, "renameat2")
    here = _Long(AT_FDCWD)
    paths = os.fsencode(one), os.fsencode(other)
    if _syscall(_Long(number), here, paths[0], here, paths[1], _Ulong(RENAME_EXCHANGE)):
        _fail("renameat2", one, other)


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root and put the old one at `old`, pivot_root(2)."""
    number = machine_number(_SYS_PIVOT_ROOT, "pivot_root")
    if _syscall(_Long(number), os.fsencode(new), os.fsencode(old)):
        _fail("pivot_root", "", new)


def close_range(first: int, last: int = 0xFFFFFFFF) -> None:
    """Close every descriptor from `first` to `last` (kernel 5.9)."""
    if first > last:
        return
    if _syscall(_Long(_SYS_CLOSE_RANGE), _Ulong(first), _Ulong(last), _Ulong(0)):
        _fail("close_range")


def close_all_but(keep: tuple[int, ...]) -> None:
    """Close every descriptor that is not in `keep`."""
    first = 0
    for fd in sorted(set(keep)):
        close_range(first, fd - 1)
        first = fd + 1
    close_range(first)


def stat_many(directory: int, paths: list[bytes]) -> bytes | None:
    """Return what tells a change of each of `paths`, relative to the descriptor `directory`; None if one is missing.

    Links are not followed; an empty path is `directory` itself. For each STAT_AT_ONCE paths come the columns that
    `stat_row` has for one, one after the other, as numbers of 64 bits. It takes 70% of the time of as many `os.stat`.
    """
    size = min(len(paths), STAT_AT_ONCE)
    buffer = bytearray(_STAT_WORDS * 8 * size)
    places = (_Char * len(buffer)).from_buffer(buffer)
    pointers = [_ctypes.byref(places, _STAT_WORDS * 8 * count) for count in range(size)]
    words = memoryview(buffer).cast("q")
    found = []
    for first in range(0, len(paths), STAT_AT_ONCE):
        part = paths[first : first + STAT_AT_ONCE]
        if any(map(_fstatat, repeat(directory), part, pointers, repeat(_STAT_FLAGS))):
            return None
        end = len(part) * _STAT_WORDS
        found += [words[word:end:_STAT_WORDS].tobytes() for word in _STAT_KEPT]
    return b"".join(found)


def stat_row(status: os.stat_result) -> tuple[int, ...]:
    """Return what `stat_many` has of one path: mode with owner or links, inode, size, mtime and ctime (2 each)."""
    modified, changed = status.st_mtime_ns, status.st_ctime_ns
    return (
        status.st_mode | (status.st_uid if _OLD_STAT else status.st_nlink) << 32,
        status.st_ino,
        status.st_size,
        modified // 10**9,
        modified % 10**9,
        changed // 10**9,
        changed % 10**9,
    )
