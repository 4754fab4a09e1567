"""Turn a `Sandbox` into ordered operations: pure. `perform.py` carries them out, in the order given.

Two lists. `template` is done once for all children that have the same sandbox: the root, `/dev`, the project.
`private` is done for each child by its PID 1: what no two children may share. Both happen before the
command's process enters its own user namespace, so that every mount in them is locked for the command: it can
neither write through, nor uncover, nor unmount them, even as root (reference: kernel, mount locking).
"""

from __future__ import annotations

from vaggapy.record import Record
from vaggapy.sandbox.spec import INSIDE, Bind, HostRoot, ImageRoot, Overlay, Sandbox, Tmpfs

MEBIBYTE = 1024 * 1024
WORK = "/work"
STAGING = "/dev/.vagga"
TEMPORARY_SIZE = 100 * MEBIBYTE
HIDDEN_SIZE = 4096

# Made for each child alone; what is to appear below them is bound by PID 1, from the staging directory.
PRIVATE_PLACES = ("/tmp", "/run", "/dev/shm")

# What most images have as links to a private place, so that mount points below them may exist in the child only.
PRIVATE_LINKS = (("/var/run", "/run"), ("/var/lock", "/run"))

# What a root gets for itself. In an image that is read-only these must be there.
IMAGE_PLACES = ("/dev", "/proc", "/run", "/sys", "/tmp", WORK)

# Top-level names of the host that the new root does not take over.
OWN_NAMES = ("dev", "home", "lost+found", "proc", "root", "run", "sys", "tmp", "work")
HOME_NAMES = ("home", "root")

DEVICES = ("full", "null", "random", "tty", "urandom", "zero")
DEVICE_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)

# Writable by the real root: through core_pattern and the like it would command the host.
KERNEL_CONTROLS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/bus",
    "/proc/driver",
    "/proc/dynamic_debug",
    "/proc/fs",
    "/proc/irq",
    "/proc/mtrr",
    "/proc/scsi",
    "/proc/sys",
    "/proc/sysrq-trigger",
)

# A directory that is one of these, or holds one of these, is never hidden as somebody's home.
SYSTEM_NAMES = ("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "opt", "proc", "run", "sbin", "sys", "usr", "var")


class NewRoot(Record):
    """Enter an empty root in memory. Sources were opened before: what follows cannot reach the host by a link."""

    def describe(self) -> str:
        """Say what this does."""
        return "enter an empty root in memory"


class Image(Record):
    """Enter the directory `source` of the host as the root, without its devices, and read-only unless `writable`."""

    source: str
    writable: bool = False
    target: str = "/"

    def describe(self) -> str:
        """Say what this does."""
        return f"enter {self.source}{'' if self.writable else ' read-only'}"


class OverlayMount(Record):
    """Mount an overlay file system; fields as of `spec.Overlay`. At "/" it is entered as the root.

    In a template the paths are those of the host, in what is private those of the new root.
    """

    target: str
    lowers: tuple[str, ...]
    upper: str = ""
    work: str = ""
    size: int = 0
    uid: int = -1
    gid: int = -1

    def describe(self) -> str:
        """Say what this does."""
        return f"overlay of {len(self.lowers)} below {self.upper or 'memory'} at {self.target}"


class OptionalFile(Record):
    """Bind the file `source` of the host over the file or the link `target`, if both are there.

    A link is covered itself: the `/etc/resolv.conf` of many images leads into `/run`, which is empty in each child.
    """

    source: str
    target: str
    read_only: bool = True

    def describe(self) -> str:
        """Say what this does."""
        return f"bind {self.source} at {self.target} if both are files"


class Directory(Record):
    """Make a directory and its missing parents."""

    target: str
    mode: int = 0o755

    def describe(self) -> str:
        """Say what this does."""
        return f"directory {self.target}"


class MountPoint(Record):
    """Make an empty file or directory, whichever `source` on the host is, where something will be bound.

    `place`: where it will be seen in the end, if not at `target`; for messages.
    """

    source: str
    target: str
    place: str = ""

    def describe(self) -> str:
        """Say what this does."""
        return f"mount point {self.target} for {self.source}"


class Symlink(Record):
    """Make a symbolic link."""

    target: str
    text: str

    def describe(self) -> str:
        """Say what this does."""
        return f"link {self.target} -> {self.text}"


class MirrorRoot(Record):
    """Bind every entry of the host's root read-only, but for the `skipped` names; links are made anew."""

    skipped: tuple[str, ...]

    def describe(self) -> str:
        """Say what this does."""
        return f"bind the host's root without {', '.join(self.skipped)}"


class Tree(Record):
    """Bind `source` of the host, with all mounts below it, at `target`; `place` as in `MountPoint`.

    `within`: the project, if `source` lies in it. No link on the way leads out of it then, or into its `.vagga`.
    """

    source: str
    target: str
    read_only: bool = False
    optional: bool = False
    place: str = ""
    within: str = ""

    def describe(self) -> str:
        """Say what this does."""
        return f"bind {self.source} at {self.target}{' read-only' if self.read_only else ''}"


class Memory(Record):
    """Mount an empty file system in memory of at most `size` bytes."""

    target: str
    size: int
    mode: int = 0o755
    directories: tuple[tuple[str, int], ...] = ()
    files: tuple[tuple[str, str], ...] = ()

    def describe(self) -> str:
        """Say what this does."""
        return f"memory file system at {self.target}, {self.size} bytes, mode {self.mode:o}"


class Devices(Record):
    """Fill `/dev` with the harmless devices of the host."""

    names: tuple[str, ...]

    def describe(self) -> str:
        """Say what this does."""
        return f"devices {', '.join(self.names)}"


class ReadOnly(Record):
    """Make everything that is mounted so far at `target` and below read-only."""

    target: str = "/"

    def describe(self) -> str:
        """Say what this does."""
        return f"everything so far below {self.target} read-only"


class Processes(Record):
    """Mount a `/proc` of the child's own; keep the outer one where the kernel refuses."""

    def describe(self) -> str:
        """Say what this does."""
        return "own /proc"


class LockControls(Record):
    """Make the kernel's controls in `/proc` read-only, where uid 0 is the machine's real root."""

    paths: tuple[str, ...]

    def describe(self) -> str:
        """Say what this does."""
        return f"read-only {', '.join(self.paths)} for the real root"


class Terminals(Record):
    """Mount a `/dev/pts` of the child's own."""

    def describe(self) -> str:
        """Say what this does."""
        return "own /dev/pts"


class Seal(Record):
    """Make a file system in memory read-only, once all that is mounted below it has its mount point."""

    target: str

    def describe(self) -> str:
        """Say what this does."""
        return f"{self.target} read-only"


class Rebind(Record):
    """Bind what the template put at `staged` to its place below a private directory."""

    staged: str
    target: str

    def describe(self) -> str:
        """Say what this does."""
        return f"bind {self.staged} at {self.target}"


Operation = (
    NewRoot
    | Image
    | OverlayMount
    | OptionalFile
    | Directory
    | MountPoint
    | Symlink
    | MirrorRoot
    | Tree
    | Memory
    | Devices
    | ReadOnly
    | Processes
    | LockControls
    | Terminals
    | Rebind
    | Seal
)


def inside(path: str, directory: str) -> bool:
    """Return whether `path` is `directory` or lies below it."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def may_hide(directory: str) -> bool:
    """Return whether hiding `directory` as a home leaves the system whole: never `/`, `/usr`, `/var` and the like."""
    parts = [part for part in directory.split("/") if part]
    if not directory.startswith("/") or not parts:
        return False
    return parts[0] not in SYSTEM_NAMES or (parts[0] in ("opt", "var", "usr") and len(parts) > 2 and "home" in parts)


def is_single_use(sandbox: Sandbox) -> bool:
    """Return whether no two children may share a template: where the root itself is a child's own memory."""
    return isinstance(sandbox.root, Overlay) and not sandbox.root.upper


def template(sandbox: Sandbox) -> tuple[Operation, ...]:
    """Return what is done once for all children with this sandbox.

    The order matters: mount points while the new root is writable, the host's trees, then read-only for all of
    that, then what stays writable, then `/proc` (bound after the read-only, or no child can mount its own).
    In an image that is read-only no mount point is made: it is there, or the mount on it fails.
    """
    shared, staged = _shared_binds(sandbox)
    overlays = [mount for mount in sandbox.mounts if isinstance(mount, Overlay) and mount.upper]
    lowers = _staged_lowers(sandbox, len(staged))
    trees: list[Tree | OverlayMount] = [_tree(sandbox, bind, bind.target) for bind in shared]
    trees += [_overlay_mount(mount, mount.lowers) for mount in overlays]
    return (
        *_root(sandbox),
        Memory("/dev", MEBIBYTE),
        Devices(DEVICES),
        *(Symlink(f"/dev/{name}", text) for name, text in DEVICE_LINKS),
        *(Directory(f"/dev/{name}") for name in ("pts", "shm")),
        *(MountPoint(bind.source, bind.target) for bind in shared if _may_make(sandbox, bind.target)),
        *(Directory(mount.target) for mount in sandbox.mounts if _needs_shared_directory(sandbox, mount)),
        *(MountPoint(bind.source, f"{STAGING}/{n}", bind.target) for n, bind in enumerate(staged)),
        *(Directory(place) for _, place, _ in lowers),
        ReadOnly("/" if isinstance(sandbox.root, HostRoot) else "/dev"),
        Tree(sandbox.project, WORK),
        *sorted(trees, key=lambda tree: tree.target),
        *(_tree(sandbox, bind, f"{STAGING}/{n}", bind.target) for n, bind in enumerate(staged)),
        *(Tree(source, place, read_only=True, place=target) for source, place, target in lowers),
        *_optional_files(sandbox),
        Tree("/proc", "/proc"),
    )


def _tree(sandbox: Sandbox, bind: Bind, target: str, place: str = "") -> Tree:
    """Return how a bind is made. Links of the project may not choose what of the host a volume shows."""
    within = sandbox.project if bind in sandbox.mounts and inside(bind.source, sandbox.project) else ""
    return Tree(bind.source, target, bind.read_only, place=place, within=within)


def _root(sandbox: Sandbox) -> tuple[Operation, ...]:
    """Return the operations that make the root, with `/sys`, and enter it."""
    root = sandbox.root
    if isinstance(root, HostRoot):
        own = OWN_NAMES if root.hidden else tuple(name for name in OWN_NAMES if name not in HOME_NAMES)
        return (
            NewRoot(),
            *(Directory(f"/{name}") for name in own if name != "lost+found"),
            MirrorRoot(own),
            *(Memory(path, HIDDEN_SIZE) for path in _hidden_below_mirror(root)),
            Tree("/sys", "/sys", optional=True),
        )
    entered = Image(root.path, root.writable) if isinstance(root, ImageRoot) else _overlay_mount(root, root.lowers)
    made = tuple(Directory(place) for place in IMAGE_PLACES) if _is_writable(sandbox) else ()
    return (entered, *made, Tree("/sys", "/sys", read_only=True, optional=True))


def private(sandbox: Sandbox) -> tuple[Operation, ...]:
    """Return what PID 1 of each child does in its own mount namespace, inside the new root."""
    _, staged = _shared_binds(sandbox)
    volumes = {mount.target for mount in sandbox.mounts}
    made: list[Operation] = [Processes(), LockControls(KERNEL_CONTROLS), Terminals()]
    if "/tmp" not in volumes and not _is_in_the_making(sandbox.root):
        made.append(Memory("/tmp", TEMPORARY_SIZE, 0o1777))
    if "/run" not in volumes:
        made.append(Memory("/run", TEMPORARY_SIZE, 0o755, (("shm", 0o1777), ("lock", 0o1777))))
    if "/dev/shm" not in volumes:
        made.append(Memory("/dev/shm", TEMPORARY_SIZE, 0o1777))
    late: list[tuple[str, Operation]] = [
        (bind.target, Rebind(f"{STAGING}/{n}", bind.target)) for n, bind in enumerate(staged)
    ]
    sealed: list[Operation] = []
    places = {(source, target): place for source, place, target in _staged_lowers(sandbox, len(staged))}
    for mount in sandbox.mounts:
        target = mount.target
        if isinstance(mount, Bind) or (isinstance(mount, Overlay) and mount.upper):
            continue
        if _needs_private_directory(sandbox, target):
            late.append((target, Directory(target)))
        if isinstance(mount, Tmpfs):
            late.append((target, Memory(target, mount.size, mount.mode, mount.directories, mount.files)))
            sealed += [Seal(target)] if mount.read_only else []
        else:
            lowers = [places.get((source, target)) or source.removeprefix(INSIDE) for source in mount.lowers]
            late.append((target, _overlay_mount(mount, tuple(lowers))))
    made += [operation for _, operation in sorted(late, key=lambda pair: pair[0])]
    return (*made, *sealed)


def _is_in_the_making(root: HostRoot | ImageRoot | Overlay) -> bool:
    """Return whether a root is just being built: what one step leaves in its `/tmp` is there for the next one."""
    return bool(root.upper) if isinstance(root, Overlay) else isinstance(root, ImageRoot) and root.writable


def _overlay_mount(overlay: Overlay, lowers: tuple[str, ...]) -> OverlayMount:
    return OverlayMount(overlay.target, lowers, overlay.upper, overlay.work, overlay.size, overlay.uid, overlay.gid)


def _staged_lowers(sandbox: Sandbox, first: int) -> tuple[tuple[str, str, str], ...]:
    """Return (host path, place in the staging directory, target) of what PID 1 puts below its own memory.

    `first`: the number of the first such place.
    """
    found = [
        (lower, mount.target)
        for mount in sandbox.mounts
        if isinstance(mount, Overlay) and not mount.upper
        for lower in mount.lowers
        if not lower.startswith(INSIDE)
    ]
    return tuple((lower, f"{STAGING}/{first + n}", target) for n, (lower, target) in enumerate(found))


def _optional_files(sandbox: Sandbox) -> tuple[OptionalFile, ...]:
    """Return the optional binds; below a place that is empty in each child, there is no file to cover."""
    return tuple(
        OptionalFile(mount.source, mount.target, mount.read_only)
        for mount in sandbox.mounts
        if isinstance(mount, Bind) and mount.optional and not _is_below_memory(sandbox, mount.target)
    )


def _shared_binds(sandbox: Sandbox) -> tuple[tuple[Bind, ...], tuple[Bind, ...]]:
    """Return the binds that the template makes, and those that it can only prepare for PID 1.

    What the host shows by itself yields to a volume that is to show something else, or nothing, at that place.
    """
    binds: list[Bind] = []
    if isinstance(sandbox.root, HostRoot):
        binds += [Bind(path, path) for path in sandbox.root.exposed if path != "/"]
        if not inside(sandbox.project, WORK):
            binds.append(Bind(sandbox.project, sandbox.project, read_only=False))
    binds = [bind for bind in binds if not _is_covered(sandbox, bind.target)]
    binds += [mount for mount in sandbox.mounts if isinstance(mount, Bind) and not mount.optional]
    staged = tuple(bind for bind in binds if _is_below_memory(sandbox, bind.target))
    shared = tuple(bind for bind in binds if bind not in staged)
    return tuple(sorted(shared, key=lambda bind: bind.target)), tuple(sorted(staged, key=lambda bind: bind.target))


def _is_below_memory(sandbox: Sandbox, target: str) -> bool:
    """Return whether a mount point exists in the child only: below its own `/tmp` and the like, or a memory volume."""
    replaced = [mount.target for mount in sandbox.mounts if isinstance(mount, Bind)]
    places = [place for place in PRIVATE_PLACES if place not in replaced]
    if not isinstance(sandbox.root, HostRoot):
        places += [link for link, place in PRIVATE_LINKS if place in places and link not in replaced]
    places += [mount.target for mount in sandbox.mounts if _is_memory(mount)]
    return any(target != place and inside(target, place) for place in places)


def _is_memory(mount: Bind | Tmpfs | Overlay) -> bool:
    """Return whether a volume is each child's own."""
    return isinstance(mount, Tmpfs) or (isinstance(mount, Overlay) and not mount.upper)


def _is_covered(sandbox: Sandbox, target: str) -> bool:
    """Return whether a bind volume, an overlay or an empty volume takes the place of what the host has at `target`."""
    return any(inside(target, m.target) for m in sandbox.mounts if not isinstance(m, Tmpfs) or m.read_only)


def _is_writable(sandbox: Sandbox) -> bool:
    """Return whether mount points may be made in the root itself."""
    return not isinstance(sandbox.root, ImageRoot) or sandbox.root.writable


def _may_make(sandbox: Sandbox, target: str) -> bool:
    """Return whether the template makes a mount point: never in the project or in an image that is read-only."""
    return not inside(target, WORK) and (_is_writable(sandbox) or inside(target, "/dev"))


def _needs_shared_directory(sandbox: Sandbox, mount: Bind | Tmpfs | Overlay) -> bool:
    """Return whether the template must make the mount point of a volume that is no bind."""
    return (
        not isinstance(mount, Bind)
        and mount.target not in PRIVATE_PLACES
        and _may_make(sandbox, mount.target)
        and not _is_below_memory(sandbox, mount.target)
    )


def _needs_private_directory(sandbox: Sandbox, target: str) -> bool:
    """Return whether PID 1 makes the mount point of a volume if it is missing.

    In an image a link may lead to a place that is the child's own; elsewhere the kernel refuses, which is told.
    """
    if _is_below_memory(sandbox, target):
        return True
    return not isinstance(sandbox.root, HostRoot) and not inside(target, WORK)


def _hidden_below_mirror(root: HostRoot) -> tuple[str, ...]:
    """Return the hidden homes that are not covered by leaving out `/home` and `/root`."""
    covered = tuple(f"/{name}" for name in OWN_NAMES)
    return tuple(sorted(path for path in root.hidden if not any(inside(path, place) for place in covered)))
