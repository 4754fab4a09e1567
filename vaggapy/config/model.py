"""The typed Project: what a valid vagga.yaml means. Pure values, complete and right once bound.

Strings are text as written; paths inside a container are absolute POSIX paths; sizes are bytes, modes plain
integers, durations seconds. Mappings are plain dicts that nobody changes. Every record keeps the `mark` of its
place in the file where messages need it. `bind.py` makes these values and nobody else does.
"""

from __future__ import annotations

from vaggapy.errors import Mark, Problem
from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from vaggapy.config.rules import Rules

COMPATIBLE_WITH = "0.8.1"
"""The version of the original vagga whose files we understand; `minimum-vagga` is compared with it."""

MEBIBYTE = 1024 * 1024

STOP_ON_FAILURE = "stop-on-failure"
WAIT_ALL_SUCCESSFUL = "wait-all-successful"
KEEP_GOING = "keep-going"
MODES = (STOP_ON_FAILURE, WAIT_ALL_SUCCESSFUL, KEEP_GOING)
PID1_MODES = ("wait", "wait-all-children", "exec")


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


class Persistent(Record):
    """`!Persistent NAME`: a writable directory that is kept in the project's storage, made on first use.

    `init_command`: the command that fills it; it runs before the first command that needs the volume.
    """

    name: str
    owner_uid: int = 0
    owner_gid: int = 0
    init_command: str = ""


OWN_CACHES = ("downloads", "git", "images")
"""Directories of the cache that vagga itself trusts: what is in there under a name is taken for what it is called."""


class CacheDir(Record):
    """`!CacheDir PATH`: a writable directory of the cache, which projects may share; `path` is relative to it."""

    path: str


class Snapshot(Record):
    """`!Snapshot`: a private, writable copy of a directory of the image, or of another container's. `size` in bytes.

    `owner_uid`, `owner_gid`: the new owner of everything in it, -1 to keep it.
    """

    size: int = 100 * MEBIBYTE
    container: str = ""
    owner_uid: int = -1
    owner_gid: int = -1


class ContainerRoot(Record):
    """`!Container NAME`: the whole root of another container, read-only."""

    container: str


class VaggaBin(Record):
    """`!VaggaBin`: the directory with the program `vagga`, read-only."""


Volume = Tmpfs | BindRO | BindRW | Empty | Persistent | CacheDir | Snapshot | ContainerRoot | VaggaBin


# --- containers ---------------------------------------------------------------------------------------------


class Host(Record):
    """`!Host`: the container's root is the host's own file system, read-only.

    `home_visible`: `home: read-only` was given, so home directories are not hidden.
    `expose`: absolute host paths that are visible, read-only, wherever they lie.
    """

    home_visible: bool = False
    expose: tuple[str, ...] = ()


class Step(Record):
    """One step of `setup` that builds something: its tag, as in `!Sh`, and the values of the keys that were written.

    Values are plain: str, int, bool, None, tuples and dicts of texts. What they mean is said by the step's own
    module in `build/steps`, which turns them into a record of its own.
    """

    tag: str
    mark: Mark
    values: Mapping[str, object] = {}


ALL_IDS = ((0, 65535),)
RESOLVER = "/etc/resolv.conf"
HOSTS = "/etc/hosts"


class Container(Record):
    """One entry of `containers:`. `host` is set for a `!Host` container, else it is built by the steps of `setup`.

    `default_shell` empty means `/bin/sh -c TEXT --`. `uids`, `gids`: the ids that it needs, as (first, last).
    `resolv_conf_path`, `hosts_file_path`: where the host's files are seen, "" for nowhere. `data_dirs`: what is
    kept of the image, () for all. `digest`: the version, where it depends on nothing but
    these values, else `formula` says how to find it.
    """

    name: str
    mark: Mark
    host: Host | None = None
    setup: tuple[Step, ...] = ()
    environ: Mapping[str, str] = {}
    volumes: Mapping[str, Volume] = {}
    default_shell: tuple[str, ...] = ()
    environ_file: str = ""
    uids: tuple[tuple[int, int], ...] = ALL_IDS
    gids: tuple[tuple[int, int], ...] = ALL_IDS
    resolv_conf_path: str = RESOLVER
    hosts_file_path: str = HOSTS
    data_dirs: tuple[str, ...] = ()
    auto_clean: bool = False
    image_cache_url: str = ""
    digest: str = ""
    formula: bytes = b""


# --- commands -----------------------------------------------------------------------------------------------


class Program(Record):
    """What both a `!Command` and a child of `!Supervise` say about the process to run.

    `run` is a text for the container's shell or the words of a command line. `work_dir` empty: mirror the
    caller's directory; else a path that is joined to /work. `tcp_socket`: the text of `pass-tcp-socket`.
    `transient`: the root can be written to, and forgets it. `pid1mode`: when the program is over, or EXEC.
    `external_user_id`: who `user_id` is outside, -1 for what the maps say.
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
    transient: bool = False
    pid1mode: str = "wait"
    external_user_id: int = -1


class Child(Record):
    """One entry of `children:`."""

    name: str
    mark: Mark
    program: Program
    tags: tuple[str, ...] = ()
    prerequisites: tuple[str, ...] = ()
    banner: str = ""
    banner_delay: int = 0


class Command(Record):
    """A `!Command` of `commands:`. `options`: the usage text that its arguments are read by, "" for none."""

    name: str
    mark: Mark
    program: Program
    description: str = ""
    epilog: str = ""
    group: str = ""
    aliases: tuple[str, ...] = ()
    prerequisites: tuple[str, ...] = ()
    isolate_network: bool = False
    options: str = ""
    symlink_name: str = ""
    banner: str = ""
    banner_delay: int = 0
    expect_inotify_limit: int = 0


class Supervise(Record):
    """A `!Supervise` of `commands:`. `kill_unresponsive_after` in seconds, `options` as in `Command`.

    `rules`: what the file says beyond the two plain modes, None for nothing.
    """

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
    options: str = ""
    symlink_name: str = ""
    banner: str = ""
    banner_delay: int = 0
    expect_inotify_limit: int = 0
    rules: Rules | None = None


class Settings(Record):
    """What the settings files say, merged. Paths are absolute, "" where nothing is said; mirrors are URLs or "".

    `external_volumes`: host paths by name. `propagate_environ`: names of variables, with `*` for anything.
    """

    storage_dir: str = ""
    storage_subdir_from_env_var: str = ""
    cache_dir: str = ""
    build_lock_wait: bool = False
    disable_auto_clean: bool = False
    debian_mirror: str = ""
    ubuntu_mirror: str = ""
    alpine_mirror: str = ""
    proxy_env_vars: bool = True
    run_symlinks_as_commands: bool = True
    version_check: bool = True
    ubuntu_skip_locking: bool = False
    auto_apply_sysctl: bool = False
    environ: Mapping[str, str] = {}
    external_volumes: Mapping[str, str] = {}
    propagate_environ: tuple[str, ...] = ()


class Project(Record):
    """A whole project: where it is and what its files say. `directory` is the one seen as /work.

    `warnings`: the mixins that are left out, and what is doubtful. `aliases`: the command that each stands for.
    `persistent`: the persistent volumes of all containers and commands by name.
    """

    directory: str
    file: str
    containers: Mapping[str, Container]
    commands: Mapping[str, Command | Supervise]
    settings: Settings = Settings()
    warnings: tuple[Problem, ...] = ()
    aliases: Mapping[str, str] = {}
    persistent: Mapping[str, Persistent] = {}
