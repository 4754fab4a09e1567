"""What one child's sandbox is to be: data only, made by `plan`, read by `operations`, `run` and `init`.

Host paths and paths inside the container are absolute strings; the field names say which. Sizes are bytes.
"""

from __future__ import annotations

from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class HostRoot(Record):
    """The host's own root, read-only.

    `hidden`: host directories that show as empty (homes). `exposed`: host paths that stay visible wherever
    they lie, even below a hidden or private directory.
    """

    hidden: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()


# Begins a path of `Overlay.lowers` that is one inside the sandbox's own root.
INSIDE = "inside:"


class ImageRoot(Record):
    """A root file system that was built: the host directory `path`. Read-only unless it is just being built.

    `container` names it until it is built and its place is known; then `path` is set (`plan.placed`).
    """

    container: str
    path: str = ""
    writable: bool = False


class Overlay(Record):
    """Directories seen as one, writable: `lowers` (top first, host paths) below `upper`, overlayfs.

    `target`: where it is seen; "/" where it is the root. `upper` and `work`: host directories that take what is
    written, beside each other; "" for a memory file system of `size` bytes (0: no limit but the machine's), which is
    each child's own. A path of `lowers` that begins with `inside:` is one inside the sandbox's own root; such a one
    needs a memory upper. A target with `upper` on disk lies outside of the places that are each child's own.
    `uid`, `gid`: the owner that everything in it gets, -1 to keep it.
    """

    target: str
    lowers: tuple[str, ...]
    upper: str = ""
    work: str = ""
    size: int = 0
    uid: int = -1
    gid: int = -1


class Bind(Record):
    """A host path `source` seen at `target` inside.

    `optional`: a file; left out where `source` is none, or `target` neither a file nor a link. A link is covered
    itself, wherever it leads to.
    """

    source: str
    target: str
    read_only: bool = True
    optional: bool = False


class Tmpfs(Record):
    """A private file system in memory at `target`; `directories` are (path, mode), `files` (path, content)."""

    target: str
    size: int
    mode: int
    directories: tuple[tuple[str, int], ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    read_only: bool = False


class Sandbox(Record):
    """Everything that a child sees. `mounts` are the volumes, sorted by target."""

    root: HostRoot | ImageRoot | Overlay
    project: str
    mounts: tuple[Bind | Tmpfs | Overlay, ...] = ()


INHERIT = "inherit"
OUTPUT = "output"
PIPES = "pipes"
TERMINAL = "terminal"
TERMINALS = "terminals"


WAIT = "wait"
WAIT_ALL = "wait-all-children"
EXEC = "exec"


class Program(Record):
    """The process to run inside, after the sandbox is made.

    `words`: the command line; word 0 without a slash is looked up in the PATH of `environ`, inside.
    `streams`: INHERIT (the caller's 0, 1, 2), OUTPUT (the caller's 1 and 2, input empty), PIPES (output to two
    pipes, input empty), TERMINAL (it owns a terminal of its own) or TERMINALS (output to two terminals, input
    empty).
    `rows`, `columns`: size of the terminals; `settings`: what TCGETS gave for the caller's terminal, or empty.
    `socket`: a listening socket was passed, to become descriptor 3.
    `first`: WAIT (over with the program itself), WAIT_ALL (with the last of its processes) or EXEC (the program is
    PID 1 itself). `external_uid`: the id of the run's namespace that `uid`, then the only one, stands for; -1: all ids.
    `notify`: it gets NOTIFY_SOCKET. `ready_fd`: the descriptor that a pipe becomes, on which a newline says that it is
    ready, -1 for none. `output`: it gets VAGGA_OUTPUT, the path of an empty file, whose descriptor is sent up.
    """

    words: tuple[str, ...]
    environ: Mapping[str, str]
    directory: str
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    streams: str = INHERIT
    rows: int = 24
    columns: int = 80
    settings: bytes = b""
    socket: bool = False
    first: str = WAIT
    external_uid: int = -1
    notify: bool = False
    ready_fd: int = -1
    output: bool = False


class Launch(Record):
    """One spawn: a sandbox and the program in it."""

    sandbox: Sandbox
    program: Program


class Extent(Record):
    """Ids `inside .. inside + count - 1` of a namespace are `outside ..` of its parent."""

    inside: int
    outside: int
    count: int


class IdMaps(Record):
    """The ids of a run. `setgroups` is False where the kernel demands that it be denied (single ids)."""

    uids: tuple[Extent, ...]
    gids: tuple[Extent, ...]
    setgroups: bool = True

    def has_gid(self, gid: int) -> bool:
        """Return whether group `gid` exists inside."""
        return any(extent.inside <= gid < extent.inside + extent.count for extent in self.gids)


class Failure(Record):
    """A step of a sandbox that failed: what, errno, and the two paths it was about (or empty)."""

    step: str
    errno: int
    source: str = ""
    target: str = ""
