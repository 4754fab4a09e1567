"""Where built roots are kept, and who may touch them: directories, locks, commits. Effects on files only.

    .vagga/NAME                     link to the root that was used last
    .roots/NAME.HASH8/root/         a root file system, with what is known of it beside
    .roots/.tmp.NAME/               what is being built, or the rest of a build that failed
    .roots/.tmp.NAME.lock           held by who builds NAME
    .layers/KEY/d/                  what one step changed; complete, for it gets this name when it is done
    .volumes/NAME/                  persistent volumes
    .cache/                         downloads and the caches of package managers, unless `cache-dir` is set

Everything gets its final name by a rename, so a build that is killed leaves nothing that could be taken for a
whole one. Files of other ids are removed by the worker, who is root in the build's user namespace.

Source: vagga.md 6.1-6.3.
"""

from __future__ import annotations

import errno
import fcntl
import os

from vaggapy.build import trust
from vaggapy.errors import CommandError, ExitCode, VaggaError
from vaggapy.record import Record
from vaggapy.sandbox import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vaggapy.config.model import Settings

FOUND_BY = "version"
LARGEST_NUMBER = 100
TAKEN = (errno.ENOTEMPTY, errno.EEXIST)
PATIENCE = 0.1
DYING = 5
"""How often a lock is tried again, PATIENCE seconds apart: processes of a vagga that was killed may have it still."""


class Places(Record):
    """Host directories of one project's storage; `links` is its `.vagga`, `base` that or a part of `storage-dir`."""

    project: str
    links: str
    base: str
    cache: str

    @property
    def roots(self) -> str:
        """Return the directory of roots."""
        return f"{self.base}/.roots"

    @property
    def layers(self) -> str:
        """Return the directory of layers."""
        return f"{self.base}/.layers"

    @property
    def volumes(self) -> str:
        """Return the directory of persistent volumes."""
        return f"{self.base}/.volumes"

    def root(self, name: str, digest: str) -> str:
        """Return the directory of one version of a container; the root itself is `root` in it."""
        return f"{self.roots}/{name}.{digest[:8]}"


def places(project: str, settings: Settings, environ: Mapping[str, str], create: bool = False) -> Places:
    """Return where a project keeps what it builds; with `create`, make what is missing.

    Raises:
        VaggaError: `.vagga` or the storage cannot be used, with the reason.
    """
    links = f"{project}/.vagga"
    if os.path.islink(links):
        raise VaggaError(
            f"{links} is a symbolic link",
            "make it a directory; the setting storage-dir puts images elsewhere",
            "storage",
            ExitCode.CONFIG,
        )
    try:
        owners = (os.geteuid(), os.stat(project).st_uid)
        trust.own_directory(links, owners, create, private=False)
        base = _base(project, links, settings, environ, create) if settings.storage_dir else links
        cache = settings.cache_dir or f"{base}/.cache"
        if settings.cache_dir and not os.path.isdir(cache):
            raise VaggaError(
                f"cache-dir {cache} does not exist", "make it, or take the setting away", "storage", ExitCode.CONFIG
            )
        trust.own_directory(base, owners, create, private=False)
        for name in (".roots", ".layers", ".volumes", *(() if settings.cache_dir else (".cache",))):
            trust.own_directory(f"{base}/{name}", owners, create)
    except OSError as error:
        raise VaggaError(
            f"{error.filename}: {error.strerror}", "vagga keeps images there: make room or access", "storage"
        ) from error
    return Places(project, links, base, cache)


def _base(project: str, links: str, settings: Settings, environ: Mapping[str, str], create: bool) -> str:
    """Return the project's directory below `storage-dir`, found by the link in `.vagga` or given a name now."""
    storage = settings.storage_dir
    if settings.storage_subdir_from_env_var:
        variable = settings.storage_subdir_from_env_var
        name = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in environ.get(variable, ""))
        if not name:
            raise VaggaError(
                f"{variable}, which names the storage of this project, is empty",
                "set it, or take storage-subdir-from-env-var out of the settings",
                "storage",
                ExitCode.CONFIG,
            )
        if create:
            os.makedirs(storage, exist_ok=True)
        return f"{storage}/{name}"
    link = f"{links}/.lnk"
    if os.path.islink(link):
        target = os.path.normpath(os.path.join(links, os.readlink(link)))
        if os.path.dirname(target) != os.path.normpath(storage) or (create and not os.path.isdir(target)):
            raise VaggaError(
                f"{link} leads to {target}, which is not a directory of storage-dir {storage}",
                f"remove {link} if the storage was moved, or mend the setting",
                "storage",
                ExitCode.CONFIG,
            )
        return target
    name = os.path.basename(project) or "root"
    for number in range(LARGEST_NUMBER + 1):
        target = f"{storage}/{name}-{number}" if number else f"{storage}/{name}"
        if not create:
            return target
        os.makedirs(storage, exist_ok=True)
        try:
            os.mkdir(target)
        except FileExistsError:
            continue
        os.symlink(target, link)
        os.symlink(project, f"{target}/.lnk")
        return target
    raise VaggaError(
        f"{storage} has {LARGEST_NUMBER} projects called {name}", "clean some up", "storage", ExitCode.CONFIG
    )


# --- roots --------------------------------------------------------------------------------------------------------


def is_built(directory: str, digest: str, maps: str) -> bool:
    """Return whether a root is there, of just this version and made with these id maps."""
    there = is_root(directory)
    return there and read(f"{directory}/{FOUND_BY}") == digest and read(f"{directory}/maps") == maps


def is_root(directory: str) -> bool:
    """Return whether this directory has a root in it, and none of both is a link."""
    return trust.is_directory(directory) and trust.is_directory(f"{directory}/root")


def built_maps(directory: str) -> str:
    """Return the id maps that a root was made with, "" if there is none."""
    return read(f"{directory}/maps")


def read(path: str) -> str:
    """Return a small file's text, "" if there is none."""
    return trust.read(path)


def write(path: str, text: str) -> None:
    """Write a small file."""
    with open(trust.open_new(path, os.O_TRUNC), "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)


def within(root: str, path: str) -> str:
    """Return the host path of what `path` is inside a root, with its links followed there and not on the host.

    Raises:
        CommandError: the root has no such path.
    """
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = linux.openat2(top, path.strip("/") or ".", os.O_PATH | os.O_CLOEXEC, resolve=linux.RESOLVE_IN_ROOT)
        try:
            return os.readlink(f"/proc/self/fd/{found}")
        finally:
            os.close(found)
    except OSError as error:
        raise CommandError(
            f"/{path.strip('/')} is not in the root {root}: {os.strerror(error.errno or 0)}",
            "look at the path",
            "not-in-root",
        ) from error
    finally:
        os.close(top)


def facts(path: str) -> dict[str, str]:
    """Return the pairs `NAME=VALUE` of a small file, which NUL separates."""
    pairs = (item.partition("=") for item in read(path).split("\0") if item)
    return {name: value for name, _, value in pairs}


def touch(directory: str) -> None:
    """Note that a root is used now; where that cannot be written, cleaning by age knows less."""
    try:
        fd = trust.open_new(f"{directory}/last_use", os.O_TRUNC)
    except OSError:
        return
    try:
        os.utime(fd)
    except OSError:
        pass
    finally:
        os.close(fd)


def linked(places: Places, name: str) -> str:
    """Return the directory of the root that `.vagga/NAME` leads to, "" if there is none."""
    try:
        text = os.readlink(f"{places.links}/{name}")
    except OSError:
        return ""
    version = os.path.basename(os.path.dirname(text))
    directory = f"{places.roots}/{version}"
    return directory if version and not version.startswith(".") and is_root(directory) else ""


def link(places: Places, name: str, directory: str) -> None:
    """Let `.vagga/NAME` lead to a root, in one step."""
    target = f"{os.path.basename(directory)}/root"
    text = f".roots/{target}"
    if places.base != places.links:
        text = f".lnk/.roots/{target}" if os.path.islink(f"{places.links}/.lnk") else f"{places.roots}/{target}"
    path = f"{places.links}/{name}"
    try:
        if os.readlink(path) == text:
            return
    except FileNotFoundError:
        pass
    except OSError as error:  # a file of the project, or a directory, which no link replaces
        raise VaggaError(
            f"{path} is no link", "vagga links the newest root there: move away what is in its place", "storage"
        ) from error
    temporary = f"{places.links}/.tmp.{name}.{os.getpid()}"
    try:
        os.symlink(text, temporary)
        os.rename(temporary, path)
    except OSError as error:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        raise VaggaError(
            f"{path}: {error.strerror}", "vagga links the newest root there: move away what is in its place", "storage"
        ) from error


def remove_half_links(places: Places) -> None:
    """Remove the links that a vagga which was killed made, and gave no name any more."""
    for name in os.listdir(places.links):
        path, owner = f"{places.links}/{name}", name.rpartition(".")[2]
        ours = name.startswith(".tmp.") and owner.isdigit() and os.path.islink(path)
        if ours and not os.path.exists(f"/proc/{owner}"):
            os.unlink(path)


def replace(new: str, place: str, old: str) -> None:
    """Give `new` its final name; what is there goes to `old`, so that there is never nothing.

    Where the file system cannot exchange names, there is nothing for an instant.
    """
    try:
        os.rename(new, place)
    except OSError as error:
        if error.errno not in TAKEN:
            raise
        from vaggapy.sandbox import linux  # only where something is built again

        try:
            linux.exchange(new, place)
        except OSError as unable:
            if unable.errno not in (errno.EINVAL, errno.ENOSYS, errno.EPERM):
                raise
            os.rename(place, old)
            os.rename(new, place)
        else:
            os.rename(new, old)


def put(new: str, place: str) -> bool:
    """Give `new` its final name, unless that is taken; return whether it was free."""
    try:
        os.rename(new, place)
    except OSError as error:
        if error.errno not in TAKEN:
            raise
        return False
    return True


# --- what is in use -----------------------------------------------------------------------------------------------

# A container's name does not begin with `-`, so these are nobody's build.
GONE = ".tmp.-gone."
REPLACED = ".tmp.-old."


def hold(directory: str) -> int:
    """Keep others from removing a directory while the returned descriptor is open; -1 if it is not there any more."""
    return _locked(directory, fcntl.LOCK_SH)


def claim(directory: str) -> int:
    """Return a descriptor that keeps others from using a directory while it is open; -1 if somebody uses it."""
    return _locked(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _locked(directory: str, kind: int) -> int:
    try:
        fd = os.open(directory, trust.DIRECTORY)
    except OSError:
        return -1
    try:
        fcntl.flock(fd, kind)
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            return fd  # Where nothing can be locked, nobody knows who uses it.
        os.close(fd)
        return -1
    if _is_same(fd, directory):
        return fd
    os.close(fd)
    return -1


def retire(directory: str) -> str:
    """Take the name of a directory away, so that nobody finds it half removed; return the new one beside it."""
    above, _, name = directory.rpartition("/")
    gone = f"{above}/{GONE}{name.lstrip('.')}.{os.getpid()}"
    os.rename(directory, gone)
    return gone


# --- locks --------------------------------------------------------------------------------------------------------


class Lock:
    """The right to build one container: an flock, which the kernel takes away with us."""

    def __init__(self, places: Places, name: str) -> None:
        """Prepare; `acquire` takes it."""
        self.path = f"{places.roots}/.tmp.{name}.lock"
        self._name = name
        self._fd = -1

    def acquire(self, wait: bool, tell: Callable[[str], None], pause: Callable[[float], None]) -> None:
        """Take the lock. It is tried again and again, so that a signal ends the wait: `pause` raises then.

        Raises:
            CommandError: somebody else builds it, and `wait` is False.
        """
        tries = 0
        while not self._try():
            tries += 1
            if tries > DYING and not wait:
                raise CommandError(
                    f"container {self._name} is being built by another vagga",
                    "wait for it, or set build-lock-wait: true in the settings",
                    "build-locked",
                )
            if tries == DYING and wait:
                tell(f"another vagga builds container {self._name}, waiting for it")
            pause(PATIENCE)

    def _try(self) -> bool:
        """Take the lock if nobody has it; return whether it is ours."""
        try:
            fd = trust.open_new(self.path)
        except OSError as error:
            raise VaggaError(f"{self.path}: {error.strerror}", "remove it, if it is no file", "storage") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            return False
        if not _is_same(fd, self.path):
            os.close(fd)  # It was removed meanwhile: the lock is another file now.
            return False
        self._fd = fd
        return True

    def release(self) -> None:
        """Give the lock back; its file stays, so that nobody locks one that is gone."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _is_same(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except OSError:
        return False
