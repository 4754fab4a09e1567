"""Putting what an archive holds into a directory of a tree. Archives are hostile.

The rules, the same for every form of archive:

- Names are relative to the target, with or without `/` or `./` in front. One with `..`, a NUL or nothing but slashes
  for something that is no directory is refused.
- Links among the parents of a member are followed by the kernel as long as they stay below the target; a link that
  leads out of it is refused (openat2(2), RESOLVE_BENEATH). Where the target is the top of the tree, absolute links
  stay inside too, as they will for programs in it (RESOLVE_IN_ROOT): `lib/x` after the link `lib -> usr/lib` works.
- What is at a member's own place is never followed: a file or a link there is replaced, and a directory is an error,
  or removed with all in it for a layer of an image. A directory stays, with what is in it. So does a link that leads to
  a directory below the target where the archive has a directory; in a layer of an image it is replaced.
- Hard links go to what is in the target already, whatever put it there, and never out of it.
- Devices, fifos and sockets are left out, and hard links to them.
- Without `keep_owners` everything belongs to root, and set-user-id and set-group-id are taken away. Sticky bits stay.
- A member that is larger than the free space is refused before it is written.
- Directories get mode and time at the end, the last first. Missing ones get 0755.
"""

from __future__ import annotations

import errno
import os
import re
import stat

from vaggapy.build.tree import BELOW, LONGEST, remove_entry
from vaggapy.record import Record
from vaggapy.sandbox import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Self

MOST_DIRECTORIES = 200
"""Descriptors of directories that are kept for the next members."""
CAPABILITY = "security.capability"
EARLIEST, LATEST = -(1 << 31), 1 << 34
BILLION = 1_000_000_000
DECIMAL = re.compile(r"(-?)([0-9]{1,20})(?:\.([0-9]*))?")
WALK = os.O_PATH | BELOW
FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
SPARE = 64 << 20
"""Members up to this many bytes are written without asking how much space there is."""


class Meta(Record):
    """What an archive says of a member: permission bits, owner, time in nanoseconds, extended attributes."""

    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    attributes: Mapping[str, bytes] = {}


class Refused(Exception):  # noqa: N818 - it becomes a CommandError with the name of the archive
    """A member that is not taken: why, and what to do about it."""

    def __init__(self, why: str, remedy: str = "use an archive that is made well; this one may be an attack") -> None:
        """Keep the parts."""
        super().__init__(why)
        self.remedy = remedy


def clean(name: str) -> str:
    """Return a member's name as a path relative to the target, "" for the target itself.

    Raises:
        Refused: it has `..` or a NUL.
    """
    if "\0" in name:
        raise Refused("has a NUL in its name")
    if ".." in name:
        parts = name.split("/")
        if ".." in parts:
            raise Refused("leads out of the target by `..`")
    if name.startswith(("/", "./")) or "//" in name or "/." in name or name.endswith("/") or name == ".":
        return "/".join([part for part in name.split("/") if part not in ("", ".")])
    return name


class Entries:
    """A directory that members of an archive are put into. Owns the descriptors of directories it remembers.

    `target`: a descriptor of the directory, which stays the caller's. `whole`: it is the top of the tree. `layer`:
    the archive is a layer of an image, so its directories and links replace what is there.
    """

    def __init__(
        self, target: int, *, whole: bool, keep_owners: bool = False, single_id: bool = False, layer: bool = False
    ) -> None:
        """Begin with nothing remembered."""
        self._target = target
        inside = linux.RESOLVE_IN_ROOT if whole else linux.RESOLVE_BENEATH
        self._resolve = inside | linux.RESOLVE_NO_MAGICLINKS
        self._keep_owners = keep_owners
        self._single_id = single_id
        self._layer = layer
        self._bits = 0o7777 if keep_owners else 0o1777
        self._known: dict[str, int] = {"": os.dup(target)}
        self._late: dict[str, Meta] = {}
        self._left_out: set[str] = set()

    def __enter__(self) -> Self:
        """Return the object itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close what is remembered."""
        for fd in self._known.values():
            os.close(fd)
        self._known.clear()

    # --- directories ------------------------------------------------------------------------------------------

    def directory(self, path: str, create: bool = True) -> int:
        """Return a descriptor (O_PATH) of a directory below the target, which stays ours, for the next call only.

        Raises:
            Refused: a link on the way leads out of the target, or something on the way is no directory.
            FileNotFoundError: it is not there and not to be created.
        """
        fd = self._known.get(path)
        if fd is not None:
            return fd
        missing = []
        here = path
        while here not in self._known:
            here, _, name = here.rpartition("/")
            missing.append(name)
        fd = self._known[here]
        for name in reversed(missing):
            inner = f"{here}/{name}" if here else name
            fd = self._step(fd, name, inner, create)
            self._remember(inner, fd)
            here = inner
        return fd

    def _step(self, fd: int, name: str, path: str, create: bool) -> int:
        """Open the directory `name` in `fd`; `path` is the way from the target, on which links count."""
        for _ in range(2):
            try:
                return os.open(name, WALK, dir_fd=fd)
            except FileNotFoundError:
                if not create:
                    raise
                os.mkdir(name, 0o700, dir_fd=fd)
                os.chmod(name, 0o755, dir_fd=fd)  # whatever the umask is
            except NotADirectoryError:
                return self._through_link(fd, name, path, create)
        return os.open(name, WALK, dir_fd=fd)

    def _through_link(self, fd: int, name: str, path: str, create: bool) -> int:
        """Open the directory that a link leads to, if it is below the target."""
        if not stat.S_ISLNK(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
            if self._layer and create:
                return self._step(self._clear(path), name, path, create)
            raise Refused(f"needs the directory {path}, which is a file")
        if len(os.fsencode(path)) > LONGEST:
            raise Refused("goes through a link with a very long path")
        try:
            return linux.openat2(self._target, path, os.O_PATH | os.O_DIRECTORY, 0, self._resolve)
        except OSError as error:
            match error.errno:
                case errno.EXDEV:
                    raise Refused(f"goes through the link {path}, which leads out of the target") from error
                case errno.ELOOP:
                    raise Refused(f"goes through the link {path}, which leads in a circle") from error
                case errno.ENOTDIR | errno.ENOENT if create:
                    raise Refused(f"goes through the link {path}, which leads to no directory") from error
            raise

    def _remember(self, path: str, fd: int) -> None:
        if len(self._known) > MOST_DIRECTORIES:
            oldest = next(key for key in self._known if key)
            os.close(self._known.pop(oldest))
        self._known[path] = fd

    def _forget(self) -> None:
        """Close what is remembered: something that was removed may have been on the way to any of it."""
        for known in [known for known in self._known if known]:
            os.close(self._known.pop(known))

    def _clear(self, path: str) -> int:
        """Make room for a member; return the directory that it comes into: those returned before are closed.

        Raises:
            Refused: a directory is there, and this is no layer of an image.
        """
        above, _, name = path.rpartition("/")
        fd = self.directory(above)
        try:
            mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return fd
        if not stat.S_ISDIR(mode):
            os.unlink(name, dir_fd=fd)
        elif self._layer:
            remove_entry(fd, name, path)
        else:
            remedy = "unpack it to another path, or remove the directory in a step before"
            raise Refused("is not a directory, but a directory is there", remedy)
        if not stat.S_ISREG(mode):
            self._forget()
        return self.directory(above)

    # --- members ----------------------------------------------------------------------------------------------

    def add_directory(self, path: str, meta: Meta) -> None:
        """Add a directory; its mode and time come with `finish`."""
        if not path:
            if self._keep_owners:
                self._late[path] = meta
            return
        above, _, name = path.rpartition("/")
        fd = self.directory(above)
        try:
            os.mkdir(name, 0o700, dir_fd=fd)
        except FileExistsError:
            mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode) and not self._layer:
                self.directory(path)
                return
            if not stat.S_ISDIR(mode):
                os.mkdir(name, 0o700, dir_fd=self._clear(path))
        self._late.pop(path, None)  # the last of equal names counts, also for the order
        self._late[path] = meta

    def add_file(self, path: str, meta: Meta, size: int, content: Iterable[bytes | memoryview]) -> None:
        """Add a regular file; `content` gives what is written, and is trusted to end after `size` bytes."""
        fd = self.open_file(path, size)
        try:
            for piece in content:
                write_all(fd, piece)
            self.set_file(fd, meta)
        finally:
            os.close(fd)

    def open_file(self, path: str, size: int) -> int:
        """Make an empty file in place of what is there; return its descriptor, whose owner is the caller."""
        above, _, name = path.rpartition("/")
        if not name:
            raise Refused("has no name")
        directory = self.directory(above)
        if size > SPARE:
            self.need_space(size)
        try:
            return os.open(name, FILE, 0o600, dir_fd=directory)
        except FileExistsError:
            return os.open(name, FILE, 0o600, dir_fd=self._clear(path))

    def need_space(self, size: int) -> None:
        """Refuse what is larger than the free space."""
        there = os.fstatvfs(self._target)
        if size > there.f_bavail * there.f_frsize:
            raise Refused(f"has {size} bytes, more than there is space on the disk", "make room, or check the archive")

    def set_file(self, fd: int, meta: Meta) -> None:
        """Give a file its owner, then its mode and the rest: a change of the owner takes bits away."""
        if self._keep_owners:
            self._own(lambda: os.fchown(fd, meta.uid, meta.gid))
            if CAPABILITY in meta.attributes:
                self._own(lambda: os.setxattr(fd, CAPABILITY, meta.attributes[CAPABILITY]))
        os.fchmod(fd, meta.mode & self._bits)
        os.utime(fd, ns=(meta.mtime, meta.mtime))

    def _own(self, change: Callable[[], None]) -> None:
        """Do what only works with ids that the namespace has; where it has only one, it need not."""
        try:
            change()
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:  # no attributes on this file system
                return
            if error.errno not in (errno.EINVAL, errno.EPERM):
                raise
            if not self._single_id:
                remedy = "give yourself more ids in /etc/subuid and /etc/subgid"
                raise Refused("belongs to an id that this user namespace does not have", remedy) from error
        except OverflowError as error:
            raise Refused("belongs to an impossible id") from error

    def add_symlink(self, path: str, text: str, meta: Meta) -> None:
        """Add a symbolic link as it is, wherever it leads: nothing follows it out of the target."""
        above, _, name = path.rpartition("/")
        if not name:
            raise Refused("has no name")
        if not text or "\0" in text:
            raise Refused("is a link to nothing")
        fd = self.directory(above)
        try:
            os.symlink(text, name, dir_fd=fd)
        except FileExistsError:
            fd = self._clear(path)
            os.symlink(text, name, dir_fd=fd)
        if self._keep_owners:
            self._own(lambda: os.chown(name, meta.uid, meta.gid, dir_fd=fd, follow_symlinks=False))
        os.utime(name, ns=(meta.mtime, meta.mtime), dir_fd=fd, follow_symlinks=False)

    def add_hard_link(self, path: str, other: str) -> None:
        """Add a second name of `other`, a path below the target that is there already."""
        if other in self._left_out:
            self._left_out.add(path)
            return
        if path == other:
            return
        above, _, name = path.rpartition("/")
        there, _, origin = other.rpartition("/")
        if not name or not origin:
            raise Refused("is a hard link to or of the target itself")
        target = os.dup(self.directory(above))  # the next call may close it
        try:
            source = self.directory(there, create=False)
            mode = os.stat(origin, dir_fd=source, follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                raise Refused(f"is a hard link to a directory, {other}")
            try:
                os.link(origin, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
            except FileExistsError:
                if _same(source, origin, target, name):
                    return
                self._clear(path)
                source = self.directory(there, create=False)
                os.link(origin, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Refused(f"is a hard link to {other}, which is not there") from error
        finally:
            os.close(target)

    def leave_out(self, path: str) -> None:
        """Remember that a member was left out, so that hard links to it are too."""
        self._left_out.add(path)

    def finish(self) -> None:
        """Give the directories their owners, modes and times, the last first."""
        for path, meta in reversed(self._late.items()):
            try:
                fd = self._reopen(path)
            except (FileNotFoundError, NotADirectoryError):
                continue  # something else took its place later
            try:
                self.set_file(fd, meta)
            finally:
                os.close(fd)
        self._late.clear()

    def _reopen(self, path: str) -> int:
        if not path:
            return os.open(".", os.O_RDONLY | BELOW, dir_fd=self._target)
        above, _, name = path.rpartition("/")
        return os.open(name, os.O_RDONLY | BELOW, dir_fd=self.directory(above, create=False))

    # --- layers of images -------------------------------------------------------------------------------------

    def hide(self, path: str, added: set[str]) -> None:
        """Remove `path`, but nothing that is in `added`: what this layer has brought, and the directories above."""
        waiting = [path]
        while waiting:
            here = waiting.pop()
            above, _, name = here.rpartition("/")
            if here and here not in added:
                try:
                    remove_entry(self.directory(above, create=False), name, here)
                except (FileNotFoundError, NotADirectoryError, Refused):
                    continue  # nothing is there, or it is behind a link that leads out: not ours
                self._forget()
                continue
            waiting += [f"{here}/{name}" if here else name for name in self._names(here)]

    def hide_inside(self, path: str, added: set[str]) -> None:
        """Remove what is in a directory, but nothing that is in `added`."""
        for name in self._names(path):
            self.hide(f"{path}/{name}" if path else name, added)

    def _names(self, path: str) -> list[str]:
        """Return what is in a directory; nothing, if it is none."""
        try:
            fd = self._reopen(path)
        except (FileNotFoundError, NotADirectoryError):
            return []
        try:
            return os.listdir(fd)
        finally:
            os.close(fd)


def _same(one: int, name: str, other: int, second: str) -> bool:
    """Return whether two entries are names of the same file."""
    return os.path.samestat(
        os.stat(name, dir_fd=one, follow_symlinks=False), os.stat(second, dir_fd=other, follow_symlinks=False)
    )


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write every byte."""
    count = os.write(fd, data)
    if count != len(data):
        view = memoryview(data)[count:]
        while view:
            view = view[os.write(fd, view) :]


def nanoseconds(seconds: float, text: str | None = None) -> int:
    """Return a time of an archive as the kernel takes it; what no clock ever shows becomes the nearest that may be.

    `text`: the same time as the archive spells it, if it does. A float holds no more than a quarter of a microsecond.
    """
    if not EARLIEST <= seconds <= LATEST:  # also true for what is not a number
        return 0 if seconds != seconds else (EARLIEST if seconds < 0 else LATEST) * BILLION
    exact = DECIMAL.fullmatch(text) if text is not None else None
    if exact is None:
        return int(seconds * BILLION)
    sign, whole, fraction = exact.groups("")
    return int(f"{sign}{whole}{fraction[:9]:<09}")
