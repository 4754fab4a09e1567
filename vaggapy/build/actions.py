"""What a build does, as data: the words between the steps, which decide, and `run` and `worker`, which act. Pure.

Places are those of the build sandbox: `/vagga/root` is the tree that is being made, `/vagga/cache` the cache
directory, `/vagga/roots/NAME` the root of another container, `/vagga/volumes/NAME` an external volume of the settings,
`/work` the project. A `path` is inside the tree.
"""

from __future__ import annotations

from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = "/vagga/root"
CACHE = "/vagga/cache"
ROOTS = "/vagga/roots"
VOLUMES = "/vagga/volumes"
DOWNLOADS = f"{CACHE}/downloads"
REGULAR = 0o644
DIRECTORY = 0o755


# --- processes ----------------------------------------------------------------------------------------------------


class Execute(Record):
    """Run a program inside the tree, as its root: `words[0]` is a path or is looked up in the build's PATH.

    The environment is the build's, then `environ`. `caches`: (path inside, directory of the cache) that are writable
    there meanwhile. `isolate_network`: no network but the loopback. `title`: what people are told that it is, if its
    words would say little.
    """

    words: tuple[str, ...]
    environ: Mapping[str, str] = {}
    directory: str = "/work"
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    caches: tuple[tuple[str, str], ...] = ()
    isolate_network: bool = False
    title: str = ""
    mounts: tuple[tuple[str, str], ...] = ()
    """(path inside, place in the build sandbox) that are seen there, read-only."""


class OnHost(Record):
    """Run a program of the host, which sees the tree at `/vagga/root`; `package`: where to get it from.

    `title` as in `Execute`. `needed`: (program or absolute path of a file, its package) that the host must have too.
    """

    words: tuple[str, ...]
    package: str
    environ: Mapping[str, str] = {}
    directory: str = "/"
    title: str = ""
    needed: tuple[tuple[str, str], ...] = ()


# --- the network, before the sandbox ------------------------------------------------------------------------------


class Fetch(Record):
    """Have a file in the downloads cache, from the first URL that works; `sha256` in hex, "" if it is not known.

    It is then found at `downloaded(fetch)`.
    """

    urls: tuple[str, ...]
    sha256: str = ""


class FetchImage(Record):
    """Have the blobs of an image in the cache: `reference` as in `docker.io/library/alpine:3.20` or `oci:DIR:TAG`."""

    reference: str


class FetchGit(Record):
    """Have a bare clone of `url` in the cache (`git/...`), fetched anew unless it has `revision`."""

    url: str
    revision: str = ""
    branch: str = ""


# --- files --------------------------------------------------------------------------------------------------------


class WriteFile(Record):
    """Write a file; its directory must be there unless `parents`. `append`: to what is there."""

    path: str
    content: str
    mode: int = REGULAR
    append: bool = False
    parents: bool = False


class MakeDirectory(Record):
    """Make a directory and its parents; one that is there stays as it is. Something else there is an error."""

    path: str
    mode: int = DIRECTORY


class Remove(Record):
    """Remove a file or a directory with all in it; nothing there is no error."""

    path: str


class Empty(Record):
    """Empty a directory; nothing there is no error."""

    path: str


class KeepOnly(Record):
    """Remove everything but these paths and their parents."""

    paths: tuple[str, ...]


class Link(Record):
    """Make a symbolic link in place of what is there; a directory there is an error."""

    path: str
    text: str


class Install(Record):
    """Copy one file of the build sandbox (`source`: in the cache or below /work) to `path`."""

    source: str
    path: str
    mode: int = REGULAR


class Selection(Record):
    """Which entries of a directory count (reference: globs and regexes of !Copy).

    `rules` not None: glob rules, the last that matches wins; else everything but what `ignore` finds, only what
    `include` finds, both regular expressions searched in the relative path, "" for none.
    """

    rules: tuple[str, ...] | None = None
    ignore: str = ""
    include: str = ""


class Copy(Record):
    """Copy a file or a tree.

    `source`: `/work/..`, `/vagga/roots/NAME/..`, `/vagga/volumes/NAME/..`, or else a path inside the tree itself.

    `uid`, `gid`: -1 keeps those of the source. Modes are the source's, or made from `umask`. Times become 1 second
    after the epoch unless they are kept.
    """

    source: str
    path: str
    selection: Selection = Selection()
    uid: int = -1
    gid: int = -1
    umask: int = 0o002
    keep_modes: bool = False
    keep_times: bool = False


class Unpack(Record):
    """Unpack an archive of the build sandbox below `path`; only what is below `subdir` in it, if that is given.

    `form`: `tar` (plain, gz, bz2, xz, zst: found out) or `zip`. `keep_owners`: as in the archive, else root's.
    `without`: names in the archive (and all below them) that are left out.
    """

    source: str
    path: str
    form: str = "tar"
    subdir: str = ""
    keep_owners: bool = False
    without: tuple[str, ...] = ()


class UnpackImage(Record):
    """Unpack the layers of an image that was fetched, in their order, with their whiteouts."""

    reference: str


FileAction = WriteFile | MakeDirectory | Remove | Empty | KeepOnly | Link | Install | Copy | Unpack | UnpackImage
Action = Execute | OnHost | Fetch | FetchImage | FetchGit | FileAction
