"""Carry out operations: the mounts of a template, and those of one child.

Runs in a process that has just got mount namespaces of its own. A failure is raised as `StepError` with the
operation's name, the errno and both paths.
"""

from __future__ import annotations

import os
import stat

from vaggapy.sandbox import linux
from vaggapy.sandbox.operations import (
    Devices,
    Directory,
    LockControls,
    Memory,
    MirrorRoot,
    MountPoint,
    NewRoot,
    Operation,
    Processes,
    ReadOnly,
    Rebind,
    Seal,
    Symlink,
    Terminals,
    Tree,
)
from vaggapy.sandbox.spec import Failure

EPERM = 1
ENOENT = 2
EACCES = 13
EBUSY = 16
QUIET = linux.MS_NOSUID | linux.MS_NODEV
ROOT_SIZE = 1024 * 1024
GROUP_TTY = 5


class StepError(Exception):
    """One operation failed."""

    def __init__(self, failure: Failure) -> None:
        """Keep the failure as a value, which can be sent to another process."""
        super().__init__(repr(failure))
        self.failure = failure


def build_template(operations: tuple[Operation, ...]) -> None:
    """Make the shared root in this mount namespace, and enter it."""
    sources = {number: _open_sources(operation) for number, operation in enumerate(operations)}
    for number, operation in enumerate(operations):
        _do(operation, sources[number])


def build_private(operations: tuple[Operation, ...], has_tty_group: bool) -> bool:
    """Make what is the child's alone; return False where the outer /proc had to stay."""
    own_processes = True
    for operation in operations:
        if isinstance(operation, Processes):
            own_processes = _mount_processes()
        elif isinstance(operation, LockControls):
            if _is_real_root():
                _lock_controls(operation)
        elif isinstance(operation, Terminals):
            _mount_terminals(has_tty_group)
        else:
            _do(operation, [])
    return own_processes


def _open_sources(operation: Operation) -> list[tuple[str, int]]:
    """Return (target or name, descriptor) of what an operation binds, opened before anything is covered."""
    try:
        match operation:
            case Tree(source, target):
                return [(target, linux.open_tree(source))]
            case MirrorRoot(skipped):
                return _open_mirror(skipped)
            case Devices(names):
                return [(f"/dev/{name}", linux.open_tree(f"/dev/{name}")) for name in names]
            case MountPoint(source, target):
                return [(target, stat.S_IFMT(os.stat(source).st_mode))]
            case _:
                return []
    except OSError as error:
        if isinstance(operation, Tree) and operation.optional:
            return []
        if isinstance(operation, Tree | MountPoint):
            place = operation.place or operation.target
            raise StepError(Failure("Source", error.errno or 0, operation.source, place)) from error
        raise _failed(operation, error) from error


def _open_mirror(skipped: tuple[str, ...]) -> list[tuple[str, int]]:
    """Open the host's top-level entries; a link is noted as (its name and text, -1)."""
    opened = []
    for name in sorted(os.listdir("/")):
        if name in skipped:
            continue
        mode = os.lstat(f"/{name}").st_mode
        if stat.S_ISLNK(mode):
            opened.append((f"{name}\0{os.readlink(f'/{name}')}", -1))
        elif stat.S_ISDIR(mode):
            try:
                opened.append((f"/{name}", linux.open_tree(f"/{name}")))
            except OSError as error:
                # A directory that the caller may not even look at (a stale network mount, fuse) is left out.
                if error.errno not in (EPERM, EACCES, ENOENT, 5, 107, 116):
                    raise
    return opened


def _do(operation: Operation, sources: list[tuple[str, int]]) -> None:  # noqa: C901 - one case an operation
    """Carry out one operation, with the sources that were opened for it."""
    try:
        match operation:
            case NewRoot():
                _enter_new_root()
            case Directory(target, mode):
                _make_directories(target, mode)
            case Symlink(target, text):
                os.symlink(text, target)
            case MountPoint():
                for target, kind in sources:
                    _make_mount_point(target, is_directory=kind == stat.S_IFDIR)
            case MirrorRoot():
                _attach_mirror(sources)
            case Tree(source, _, read_only):
                _attach(sources, source, read_only)
            case Devices():
                for target, fd in sources:
                    _make_mount_point(target, is_directory=False)
                    linux.move_mount(fd, target, target)
                    os.close(fd)
            case Memory():
                _mount_memory(operation)
            case ReadOnly():
                linux.set_read_only("/")
            case Rebind(staged, target):
                _make_mount_point(target, is_directory=os.path.isdir(staged))
                _attach([(target, linux.open_tree(staged))], staged, read_only=False)
            case Seal(target):
                linux.set_read_only(target, recursive=False)
            case Processes() | LockControls() | Terminals():
                raise AssertionError("only PID 1 of a child does this")
    except OSError as error:
        raise _failed(operation, error) from error


def _enter_new_root() -> None:
    """Mount an empty root over /tmp, make it the root, and let go of the old one."""
    linux.mount("tmpfs", "/tmp", "tmpfs", QUIET, f"mode=0755,size={ROOT_SIZE}")
    os.chdir("/tmp")
    linux.pivot_root(".", ".")
    linux.unmount(".", linux.MNT_DETACH)
    os.chdir("/")


def _make_directories(target: str, mode: int) -> None:
    """Make a directory and its parents; existing ones stay as they are. The caller's umask does not matter."""
    if os.path.isdir(target):
        return
    parent = os.path.dirname(target)
    if parent != target:
        _make_directories(parent, 0o755)
    os.mkdir(target)
    os.chmod(target, mode)


def _make_mount_point(target: str, is_directory: bool) -> None:
    if os.path.lexists(target):
        return
    if is_directory:
        _make_directories(target, 0o755)
    else:
        _make_directories(os.path.dirname(target), 0o755)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC | os.O_EXCL, 0o644))


def _attach_mirror(sources: list[tuple[str, int]]) -> None:
    """Attach the host's directories, read-only at once: nothing may be made in them by what follows."""
    for target, fd in sources:
        if fd < 0:
            name, text = target.split("\0", 1)
            os.symlink(text, f"/{name}")
        else:
            os.mkdir(target)
            linux.set_read_only("", fd)
            linux.move_mount(fd, target, target)
            os.close(fd)


def _attach(sources: list[tuple[str, int]], source: str, read_only: bool) -> None:
    for target, fd in sources:
        if read_only:
            linux.set_read_only("", fd)
        linux.move_mount(fd, source, target)
        os.close(fd)


def _mount_memory(memory: Memory) -> None:
    """Mount a tmpfs and fill it; /dev keeps device files usable."""
    flags = linux.MS_NOSUID if memory.target == "/dev" else QUIET
    linux.mount("tmpfs", memory.target, "tmpfs", flags, f"mode={memory.mode:o},size={memory.size}")
    for path, mode in memory.directories:
        target = f"{memory.target}/{path}"
        os.mkdir(target)
        os.chmod(target, mode)
    for path, content in memory.files:
        fd = os.open(f"{memory.target}/{path}", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC | os.O_EXCL, 0o644)
        with open(fd, "wb") as file:
            os.fchmod(fd, 0o644)  # whatever the caller's umask is
            file.write(content.encode())


def _mount_processes() -> bool:
    """Mount a fresh /proc; return False where only a part of the outer one may be seen (EPERM), and it stays."""
    try:
        linux.mount("proc", "/proc", "proc", QUIET | linux.MS_NOEXEC)
    except OSError as error:
        if error.errno == EPERM:
            return False
        raise _failed(Processes(), error) from error
    return True


def _is_real_root() -> bool:
    """Return whether uid 0 here is the machine's uid 0: then it shows as the owner of /proc."""
    return os.stat("/proc").st_uid == 0


def _lock_controls(operation: LockControls) -> None:
    for path in operation.paths:
        try:
            fd = linux.open_tree(path)
        except OSError as error:
            if error.errno == ENOENT:
                continue
            raise _failed(operation, error) from error
        try:
            _attach([(path, fd)], path, read_only=True)
        except OSError as error:
            raise _failed(operation, error) from error


def _mount_terminals(has_tty_group: bool) -> None:
    """Mount devpts; group 5, tty, owns the terminals where that id exists inside."""
    options = "newinstance,ptmxmode=0666,mode=620" + (f",gid={GROUP_TTY}" if has_tty_group else "")
    try:
        linux.mount("devpts", "/dev/pts", "devpts", linux.MS_NOSUID | linux.MS_NOEXEC, options)
    except OSError as error:
        raise _failed(Terminals(), error) from error


def _failed(operation: Operation, error: OSError) -> StepError:
    """Return the failure of an operation with the paths that it was about."""
    source = getattr(operation, "source", "")
    target = getattr(operation, "place", "") or getattr(operation, "target", "")
    if not source and str(error.filename).startswith("/") and error.filename != target:
        source = str(error.filename)
    if not target and error.filename2:
        target = str(error.filename2)
    return StepError(Failure(type(operation).__name__, error.errno or 0, source, target))
