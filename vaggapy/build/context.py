"""What the steps before leave for the steps after: a value that goes through all of them. Pure.

It is the same whether a step runs or its result comes from the cache: nothing in it depends on what happened,
but `facts`, which are kept with the result.
"""

from __future__ import annotations

from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

DEBIAN, UBUNTU, ALPINE = "debian", "ubuntu", "alpine"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Mirrors(Record):
    """Where distributions are fetched from: URLs with a slash at the end."""

    debian: str = "http://deb.debian.org/debian/"
    debian_security: str = "http://deb.debian.org/debian-security/"
    ubuntu: str = "http://archive.ubuntu.com/ubuntu/"
    ubuntu_security: str = "http://security.ubuntu.com/ubuntu/"
    alpine: str = "https://dl-cdn.alpinelinux.org/alpine/"


class Machine(Record):
    """What a build may use: `architecture` as Debian names it, `single_id` where there is no id but 0.

    `proxies`: variables for programs of the build. `certificates`: where the build sandbox has the caller's own
    list of authorities, "" if the caller names none. `skip_locking`: apt takes no locks.
    """

    mirrors: Mirrors = Mirrors()
    architecture: str = "amd64"
    single_id: bool = False
    proxies: Mapping[str, str] = {}
    certificates: str = ""
    skip_locking: bool = False


class Context(Record):
    """State between steps.

    `distro` and `release` (`bookworm`, `v3.20`): of the root that the first step made, "" where none is known.
    `environ`: for all later steps. `caches`: (path inside, name in the cache) that stay bound until the end.
    `ensured`, `emptied`, `removed`: directories and paths for the end of the build. `build_deps`: packages to remove
    at the end. `indexed`: the package lists are there. `languages`: settings of `!PipConfig`, `!NpmConfig` and the
    like, by name. `notes`: names of things that were done once (`python3`, `build-essential`). `mounts`: (path
    inside, place in the build sandbox) that are seen there, read-only, by programs until the end. `offered`:
    variables for the commands that run in the finished root, beneath the container's own `environ`.
    """

    container: str
    machine: Machine = Machine()
    distro: str = ""
    release: str = ""
    environ: Mapping[str, str] = {}
    caches: tuple[tuple[str, str], ...] = ()
    ensured: tuple[str, ...] = ()
    emptied: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    build_deps: tuple[str, ...] = ()
    indexed: bool = False
    languages: Mapping[str, Record] = {}
    notes: tuple[str, ...] = ()
    mounts: tuple[tuple[str, str], ...] = ()
    offered: Mapping[str, str] = {}
