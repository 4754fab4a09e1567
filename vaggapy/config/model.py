"""The typed Project: what a valid vagga.yaml means. Pure values, complete and right once bound.

Strings are text as written; paths inside a container are absolute POSIX paths; sizes are bytes, modes plain
integers, durations seconds. Mappings are plain dicts that nobody changes. Every record keeps the `mark` of its
place in the file where messages need it. `bind.py` makes these values and nobody else does.
"""

from __future__ import annotations

from vaggapy.errors import Mark
from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

COMPATIBLE_WITH = "0.8.1"
"""The version of the original vagga whose files we understand; `minimum-vagga` is compared with it."""

MEBIBYTE = 1024 * 1024

STOP_ON_FAILURE = "stop-on-failure"
WAIT_ALL_SUCCESSFUL = "wait-all-successful"
MODES = (STOP_ON_FAILURE, WAIT_ALL_SUCCESSFUL)


# --- volumes ------------------------------------------------------------------------------------------------


class TmpfsDir(Record):
    """A directory made in a fresh tmpfs; `path` is relative to it."""

    path: str
    mode: int = 0o755


class TmpfsFile(Record):
    """A file made in a fresh tmpfs; `path` is relative to it."""

    path: str
    content: str = ""


class Tmpfs(Record):
    """`!Tmpfs`: an empty, private, writable directory in memory. `size` in bytes."""

    size: int = 100 * MEBIBYTE
    mode: int = 0o1777
    subdirs: tuple[TmpfsDir, ...] = ()
    files: tuple[TmpfsFile, ...] = ()


class BindRO(Record):
    """`!BindRO PATH`: a path below /work, read-only, seen at another place."""

    source: str


class BindRW(Record):
    """`!BindRW PATH`: a path below /work, writable, seen at another place."""

    source: str


class Empty(Record):
    """`!Empty`: an empty, read-only directory that hides what is there."""


Volume = Tmpfs | BindRO | BindRW | Empty


# --- containers ---------------------------------------------------------------------------------------------


class Host(Record):
    """`!Host`: the container's root is the host's own file system, read-only.

    `home_visible`: `home: read-only` was given, so home directories are not hidden.
    `expose`: absolute host paths that are visible, read-only, wherever they lie.
    """

    home_visible: bool = False
    expose: tuple[str, ...] = ()


Step = Host


class Container(Record):
    """One entry of `containers:`. `default_shell` empty means `/bin/sh -c TEXT --`."""

    name: str
    mark: Mark
    setup: tuple[Step, ...] = ()
    environ: Mapping[str, str] = {}
    volumes: Mapping[str, Volume] = {}
    default_shell: tuple[str, ...] = ()


# --- commands -----------------------------------------------------------------------------------------------


class Program(Record):
    """What both a `!Command` and a child of `!Supervise` say about the process to run.

    `run` is a text for the container's shell or the words of a command line. `work_dir` empty: mirror the
    caller's directory; else a path that is joined to /work. `tcp_socket`: the text of `pass-tcp-socket`.
    """

    container: str
    container_mark: Mark
    run: str | tuple[str, ...]
    work_dir: str = ""
    environ: Mapping[str, str] = {}
    volumes: Mapping[str, Volume] = {}
    user_id: int = 0
    group_id: int = 0
    supplementary_gids: tuple[int, ...] = ()
    tcp_socket: str = ""
    accepts_arguments: bool = False


class Child(Record):
    """One entry of `children:`."""

    name: str
    mark: Mark
    program: Program
    tags: tuple[str, ...] = ()
    prerequisites: tuple[str, ...] = ()


class Command(Record):
    """A `!Command` of `commands:`."""

    name: str
    mark: Mark
    program: Program
    description: str = ""
    epilog: str = ""
    group: str = ""
    aliases: tuple[str, ...] = ()
    prerequisites: tuple[str, ...] = ()
    isolate_network: bool = False


class Supervise(Record):
    """A `!Supervise` of `commands:`. `kill_unresponsive_after` in seconds."""

    name: str
    mark: Mark
    children: tuple[Child, ...]
    mode: str = STOP_ON_FAILURE
    kill_unresponsive_after: int = 2
    description: str = ""
    epilog: str = ""
    group: str = ""
    aliases: tuple[str, ...] = ()
    prerequisites: tuple[str, ...] = ()
    isolate_network: bool = False


class Project(Record):
    """A whole project: where it is and what its file says. `directory` is the one seen as /work."""

    directory: str
    file: str
    containers: Mapping[str, Container]
    commands: Mapping[str, Command | Supervise]
