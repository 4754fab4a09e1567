"""Alpine: repositories, and the command lines of apk. Pure.

Indexes and packages are kept in the cache (`alpine-cache`), seen at `/etc/apk/cache` while apk runs; apk writes each
file under another name first, so builds may share it.
"""

from __future__ import annotations

from vaggapy.build.actions import Action, Execute, MakeDirectory, Remove
from vaggapy.build.context import Context
from vaggapy.record import replace

CACHE = "/etc/apk/cache"
REPOSITORIES = "/etc/apk/repositories"
CACHE_NAME = "alpine-cache"
LATEST = "v3.22"
"""What is taken where a step needs some Alpine, and below `edge`, which has no root of its own to begin with."""
EDGE = "edge"
VIRTUAL = ".vagga-build-deps"
PROCESSORS = {
    "amd64": "x86_64",
    "arm64": "aarch64",
    "armhf": "armv7",
    "armel": "armhf",
    "i386": "x86",
    "ppc64el": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
}
"""Names of processors: Debian's -> Alpine's."""

CLEAN_SCRIPT = f"apk del --no-network --no-progress $(sed -n 's/^\\({VIRTUAL}-[0-9]*\\).*/\\1/p' /etc/apk/world)"


def minimal_root(mirror: str, version: str, architecture: str) -> str:
    """Return the URL of the archive with the smallest root of a version, as it was released first.

    Later archives have names that cannot be known before; `apk upgrade` comes to the same packages.
    """
    release = LATEST if version == EDGE else version
    processor = PROCESSORS.get(architecture, architecture)
    return f"{mirror}{release}/releases/{processor}/alpine-minirootfs-{release[1:]}.0-{processor}.tar.gz"


def apk(title: str, *words: str) -> tuple[Action, ...]:
    """Return how to run a command of apk that may need indexes and packages; `title` is what people read."""
    return (
        MakeDirectory(CACHE),
        Execute(
            ("apk", words[0], "--no-progress", *words[1:]),
            {},
            "/",
            caches=((CACHE, CACHE_NAME),),
            title=title,
        ),
    )


def install(context: Context, packages: tuple[str, ...]) -> tuple[tuple[Action, ...], Context]:
    """Return how packages are installed, as ones that are wanted, and the context after it."""
    if not packages:
        return (), context
    actions = apk(f"apk add {' '.join(packages)}", "add", "--update-cache", *packages)
    return actions, replace(context, indexed=True)


def install_for_build(context: Context, packages: tuple[str, ...]) -> tuple[tuple[Action, ...], Context]:
    """Return how packages are installed that nothing needs at the end: all of them below one virtual package.

    One that is also wanted stays when the virtual package is removed by `finished`, whichever came first.
    """
    if not packages:
        return (), context
    name = f"{VIRTUAL}-{len(context.build_deps)}"
    title = f"apk add {' '.join(packages)}"
    actions = apk(title, "add", "--update-cache", "--virtual", name, *packages)
    return actions, replace(context, indexed=True, build_deps=context.build_deps + packages)


def finished(context: Context) -> tuple[Action, ...]:
    """Return what the end of a build takes away: build dependencies and the directory of the cache."""
    actions: list[Action] = []
    if context.build_deps:
        actions.append(Execute(("/bin/sh", "-ec", CLEAN_SCRIPT), {}, "/", title="apk del"))
    if context.indexed:
        actions += (Remove(CACHE), Remove("/var/log/apk.log"))
    return tuple(actions)
