"""What a project from a stranger may have put into `.vagga`, and what of it is refused. Effects on files only.

Directories of the storage are real ones of the caller, or nothing is done: a link `.vagga/.volumes -> ~` would give
the home to a container. Small files are opened without following links and without waiting for a pipe. What runs
see of `.vagga` is read-only (`sealed`), so that none of this changes while vagga works on it.
"""

from __future__ import annotations

import os
import stat

from vaggapy.errors import ExitCode, VaggaError
from vaggapy.sandbox.operations import WORK, inside
from vaggapy.sandbox.spec import Bind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

NAME = ".vagga"
PRIVATE = 0o700
"""Of directories with roots, layers and volumes: what is setuid in them is for those who run the container only."""
LARGEST = 1 << 20
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
WRITE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
PLACE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def is_directory(path: str) -> bool:
    """Return whether this is a directory itself, and no link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def own_directory(path: str, owners: Iterable[int], create: bool, private: bool = True) -> None:
    """See that a directory of the storage is one, of one of these owners; with `create`, make it.

    `private`: nobody else may look into it.

    Raises:
        VaggaError: something else is there.
        OSError: it cannot be made.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        if not create:
            return
        try:
            os.mkdir(path, PRIVATE if private else 0o755)
        except FileExistsError:
            pass  # by another vagga
        status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "no directory"
        raise _refused(f"{path} is {kind}", "remove it; the setting storage-dir puts images elsewhere")
    if status.st_uid not in owners:
        raise _refused(f"{path} belongs to user {status.st_uid}", "give it to yourself, or remove it")
    if create and private and status.st_mode & 0o077 and status.st_uid == os.geteuid():
        fd = os.open(path, DIRECTORY)
        try:
            os.fchmod(fd, PRIVATE)
        finally:
            os.close(fd)


def _refused(what: str, remedy: str) -> VaggaError:
    return VaggaError(what, remedy, "storage", ExitCode.CONFIG)


def inner_directory(top: str, path: str) -> str:
    """Make the directory `path` below `top`, with its parents, and return where it is. No part of it is a link.

    Raises:
        VaggaError: something else is in its place.
        OSError: it cannot be made.
    """
    here = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    shown = top
    try:
        for name in (name for name in path.split("/") if name not in ("", ".")):
            shown = f"{shown}/{name}"
            if name == "..":
                raise _refused(f"{shown} leads out of {top}", "write the path without '..'")
            try:
                os.mkdir(name, 0o755, dir_fd=here)
            except FileExistsError:
                pass
            try:
                above, here = here, os.open(name, PLACE, dir_fd=here)
            except OSError as error:
                raise _refused(f"{shown} is no directory", "remove what is there") from error
            os.close(above)
    finally:
        os.close(here)
    return shown


def read(path: str) -> str:
    """Return the text of a small file, "" if there is none: neither a link, nor a pipe, nor a large one."""
    try:
        fd = os.open(path, READ)
    except OSError:
        return ""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
        os.close(fd)
        return ""
    with open(fd, encoding="utf-8", errors="surrogateescape", newline="") as file:
        return file.read()


def open_new(path: str, flags: int = 0) -> int:
    """Open a regular file for writing, made if it is not there, and never through a link; the caller closes it.

    Raises:
        OSError: something else is in its place.
    """
    fd = os.open(path, WRITE | flags, 0o644)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(17, "is no file", path)
    return fd


def create(path: str) -> int:
    """Make a file for writing, in place of whatever has its name; the caller closes it.

    Raises:
        OSError: a directory has its name, or nothing can be made there.
    """
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    return os.open(path, WRITE | os.O_EXCL, 0o644)


def sealed(project: str, own_place: bool) -> tuple[Bind, ...]:
    """Return mounts that make a project's `.vagga` read-only in a sandbox: what is in it, vagga trusts.

    `own_place`: the sandbox shows the project at its own path too, as those with the host's root do.
    """
    path = f"{project.rstrip('/')}/{NAME}"
    if not is_directory(path):
        return ()
    seen = (path,) if own_place and not inside(project, WORK) else ()
    return tuple(Bind(path, target) for target in (f"{WORK}/{NAME}", *seen))
