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
    Image,
    LockControls,
    Memory,
    MirrorRoot,
    MountPoint,
    NewRoot,
    Operation,
    OptionalFile,
    OverlayMount,
    Processes,
    ReadOnly,
    Rebind,
    Seal,
    Symlink,
    Terminals,
    Tree,
    inside,
)
from vaggapy.sandbox.spec import Failure

EPERM = 1
ENOENT = 2
EACCES = 13
EBUSY = 16
EXDEV = 18
EINVAL = 22
EROFS = 30
ENOTSUP = 95
# Steps of failures: the kernel makes no such overlay here; a path of the host, of the new root, cannot be opened.
OVERLAY, SOURCE, INSIDE = "Overlay", "Source", "Inside"
SCRATCH = "/tmp"  # of the host: where a root is put together, seen by nobody else
QUIET = linux.MS_NOSUID | linux.MS_NODEV
ROOT_SIZE = 1024 * 1024
GROUP_TTY = 5
PRIVATE = ".vagga"


class StepError(Exception):
    """One operation failed."""

    def __init__(self, failure: Failure) -> None:
        """Keep the failure as a value, which can be sent to another process."""
        super().__init__(repr(failure))
        self.failure = failure


def build_template(operations: tuple[Operation, ...]) -> None:
    """Make the shared root in this mount namespace, and enter it."""
    sources: list[list[tuple[str, int]]] = []
    done = 0
    try:
        for operation in operations:
            sources.append(_open_sources(operation))  # noqa: PERF401 - on a failure, the ones before are closed
        for operation in operations:
            done += 1
            _do(operation, sources[done - 1])
    finally:
        for operation, opened in zip(operations[done:], sources[done:], strict=False):
            if not isinstance(operation, MountPoint):
                _close([fd for _, fd in opened if fd >= 0])


def build_private(operations: tuple[Operation, ...], has_tty_group: bool) -> bool:
    """Make what is the child's alone; return False where the outer /proc had to stay."""
    own_processes = True
    # Opened before anything is covered: a path inside the root is that of the root itself, not of a volume.
    lowers = {each.target: _open_lowers(each, INSIDE) for each in operations if isinstance(each, OverlayMount)}
    for operation in operations:
        if isinstance(operation, Processes):
            own_processes = _mount_processes()
        elif isinstance(operation, OverlayMount):
            _mount_overlay(operation, lowers[operation.target], operation.target)
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
            case Tree(source, target, within=within) if within:
                return [(target, _open_below(within, source, operation.read_only))]
            case Tree(source, target) | Image(source, _, target):
                return [(target, linux.open_tree(source))]
            case OptionalFile(source, target):
                return [(target, linux.open_tree(source))] if os.path.isfile(source) else []
            case OverlayMount(target):
                return [(target, _detached_overlay(operation))]
            case MirrorRoot(skipped):
                return _open_mirror(skipped)
            case Devices(names):
                return [(f"/dev/{name}", linux.open_tree(f"/dev/{name}")) for name in names]
            case MountPoint(source, target):
                return [(target, stat.S_IFMT(os.stat(source).st_mode))]
            case _:
                return []
    except OSError as error:
        if isinstance(operation, OptionalFile) or (isinstance(operation, Tree) and operation.optional):
            return []
        if isinstance(operation, Tree | MountPoint | Image):
            place = getattr(operation, "place", "") or operation.target
            raise StepError(Failure(SOURCE, error.errno or 0, operation.source, place)) from error
        raise _failed(operation, error) from error


def _open_below(top: str, source: str, read_only: bool) -> int:
    """Return a detached copy of the mounts at a path of the project `top`, which no link leads out of.

    The files of others are not the project's to give away, and its `.vagga` is what vagga itself trusts: a link leads
    there only to be read, and on the way to what is in there, there is none.
    """
    rest = source.removeprefix(top.rstrip("/")).strip("/")
    own = rest.partition("/")[0] == PRIVATE
    resolve = linux.RESOLVE_BENEATH | linux.RESOLVE_NO_MAGICLINKS | (linux.RESOLVE_NO_SYMLINKS if own else 0)
    opened = [os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        opened.append(linux.openat2(opened[0], rest or ".", os.O_PATH, resolve=resolve))
        above, found = (os.readlink(f"/proc/self/fd/{fd}") for fd in opened)
        if not own and not read_only and inside(found, f"{above.rstrip('/')}/{PRIVATE}"):
            raise OSError(EXDEV, os.strerror(EXDEV), source)
        return linux.open_tree(f"/proc/self/fd/{opened[1]}")
    finally:
        _close(opened)


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
                linux.mount("tmpfs", SCRATCH, "tmpfs", QUIET, f"mode=0755,size={ROOT_SIZE}")
                _enter_scratch()
            case Image(source, writable):
                _attach_image(sources[0][1], source, writable)
            case OverlayMount(target):
                _attach([(target if target != "/" else SCRATCH, sources[0][1])], "", read_only=False)
                if target == "/":
                    _enter_scratch()
            case OptionalFile(source, target, read_only):
                _attach_file(sources, source, read_only)
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
            case ReadOnly(target):
                linux.set_read_only(target)
            case Rebind(staged, target):
                _make_mount_point(target, is_directory=os.path.isdir(staged))
                _attach([(target, linux.open_tree(staged))], staged, read_only=False)
            case Seal(target):
                linux.set_read_only(target, recursive=False)
            case Processes() | LockControls() | Terminals():
                raise AssertionError("only PID 1 of a child does this")
    except OSError as error:
        raise _failed(operation, error) from error


def _enter_scratch() -> None:
    """Make what is mounted at the scratch place the root, and let go of the old one."""
    os.chdir(SCRATCH)
    linux.pivot_root(".", ".")
    linux.unmount(".", linux.MNT_DETACH)
    os.chdir("/")


def _attach_image(fd: int, source: str, writable: bool) -> None:
    """Enter the detached mounts of an image. What it has of devices is never one, whoever made it."""
    attributes = linux.MOUNT_ATTR_NODEV | (0 if writable else linux.MOUNT_ATTR_RDONLY)
    linux.add_attributes(attributes, "", fd)
    linux.move_mount(fd, source, SCRATCH, follow=True)
    os.close(fd)
    _enter_scratch()


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
    """Attach detached mounts. A directory is attached where a link leads, a file over the link itself."""
    for target, fd in sources:
        if read_only:
            linux.set_read_only("", fd)
        linux.move_mount(fd, source, target, follow=stat.S_ISDIR(os.fstat(fd).st_mode))
        os.close(fd)


def _attach_file(sources: list[tuple[str, int]], source: str, read_only: bool) -> None:
    """Attach a file over a file, or over a link, which may lead to nowhere; where there is neither, leave it."""
    for target, fd in sources:
        if os.path.islink(target) or os.path.isfile(target):
            _attach([(target, fd)], source, read_only)
        else:
            os.close(fd)


# --- overlays ---------------------------------------------------------------------------------------------------


def _open_lowers(overlay: OverlayMount, step: str) -> tuple[int, ...]:
    """Return descriptors of the lower directories, which the caller closes; `step` of a failure says whose they are."""
    opened: list[int] = []
    for path in overlay.lowers:
        _open_layer(opened, path, overlay.target, step)
    return tuple(opened)


def _open_layer(opened: list[int], path: str, target: str, step: str) -> None:
    """Open one more layer; close all of them if that fails."""
    try:
        opened.append(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError as error:
        _close(opened)
        opened.clear()
        raise StepError(Failure(step, error.errno or 0, path, target)) from error


def _detached_overlay(overlay: OverlayMount) -> int:
    """Return a descriptor of an overlay of host directories, mounted nowhere.

    It has to be made before the host's root is let go of: the kernel takes layers of present mounts only.
    """
    depth = _mount_overlay(overlay, _open_lowers(overlay, SOURCE), SCRATCH)
    fd = linux.open_tree(SCRATCH)
    for _ in range(depth):
        linux.unmount(SCRATCH, linux.MNT_DETACH)
    return fd


def _mount_overlay(overlay: OverlayMount, lowers: tuple[int, ...], place: str) -> int:
    """Mount an overlay at `place`, on top of the memory that it needs; return how many mounts this made.

    Closes `lowers`. Layers are given by numbers, relative to the directory of our descriptors: a path may be long
    and may have characters that mean something in options, and all options must fit into a page.
    """
    opened = list(lowers)
    try:
        for path in (overlay.upper, overlay.work) if overlay.upper else ():  # before memory covers the place
            _open_layer(opened, path, overlay.target, SOURCE)
        disk = opened[len(lowers) :]
        has_memory = not (overlay.upper and lowers)
        if has_memory:
            size = f",size={overlay.size}" if overlay.size else ""
            linux.mount("tmpfs", place, "tmpfs", QUIET, f"mode=0755{size}")
        below = lowers
        if not below:
            below = (_memory_layer(f"{place}/lower", None),)
            opened += below
        if not disk:
            disk = [_memory_layer(f"{place}/upper", os.fstat(below[0])), _memory_layer(f"{place}/work", None)]
            opened += disk
        upper, work = disk
        numbers = ":".join(map(str, below))
        _require_attributes(overlay, work)
        _mount_layers(overlay, f"lowerdir={numbers},upperdir={upper},workdir={work},userxattr", place)
    except OSError as error:
        raise _failed(overlay, error) from error
    finally:
        _close(opened)
    _give_to(overlay, place)
    return 1 + has_memory


def _close(descriptors: list[int]) -> None:
    for fd in descriptors:
        os.close(fd)


def _memory_layer(path: str, like: os.stat_result | None) -> int:
    """Make a directory and open it; mode and owner as of `like`, for they become those of the mount."""
    os.mkdir(path)
    if like is not None:
        try:
            os.chown(path, like.st_uid, like.st_gid)
        except OSError as error:
            if error.errno != EINVAL:  # An owner that this run does not have: it stays ours.
                raise
        os.chmod(path, stat.S_IMODE(like.st_mode))
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _require_attributes(overlay: OverlayMount, work: int) -> None:
    """See that the upper file system keeps user attributes.

    Without them the kernel would mount, and show again what was below a directory that was removed and made anew.
    """
    path = f"/proc/self/fd/{work}"
    try:
        os.setxattr(path, "user.vagga", b"")
        os.removexattr(path, "user.vagga")
    except OSError as error:
        raise StepError(Failure(OVERLAY, error.errno or ENOTSUP, overlay.upper, overlay.target)) from error


def _mount_layers(overlay: OverlayMount, options: str, place: str) -> None:
    try:
        os.chdir("/proc/self/fd")
        flags = linux.MS_NODEV if overlay.target == "/" else QUIET  # `su` works in a root, as on any machine
        linux.mount("overlay", place, "overlay", flags, options)
        # The kernel makes it read-only instead of failing, where it cannot use the work directory.
        number = EROFS if os.statvfs(place).f_flag & os.ST_RDONLY else 0
    except OSError as error:
        number = error.errno or ENOTSUP
    finally:
        os.chdir("/")
    if number:
        raise StepError(Failure(OVERLAY, number, overlay.upper, overlay.target))


def _give_to(overlay: OverlayMount, place: str) -> None:
    """Give everything in an overlay to `uid` and `gid`, without following links. What is theirs is not copied up."""
    uid, gid = overlay.uid, overlay.gid
    if uid < 0 and gid < 0:
        return
    try:
        _give(place, None, uid, gid)
        for _, directories, files, fd in os.fwalk(place, onerror=_raise):
            for name in (*directories, *files):
                _give(name, fd, uid, gid)
    except OSError as error:
        raise StepError(Failure("Owner", error.errno or 0, "", overlay.target)) from error


def _give(name: str, directory: int | None, uid: int, gid: int) -> None:
    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if (uid >= 0 and found.st_uid != uid) or (gid >= 0 and found.st_gid != gid):
        os.chown(name, uid, gid, dir_fd=directory, follow_symlinks=False)


def _raise(error: OSError) -> None:
    raise error


# --- what is each child's own -----------------------------------------------------------------------------------


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
