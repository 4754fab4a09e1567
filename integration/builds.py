"""What tests of builds are written with: a small root, a container made of steps, what a tree has.

The small root is a static busybox in an archive that the test makes: a build of it takes a second.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.runs import Project, need

APPLETS = """
cat chmod chown cp dd echo env false find grep head id kill ln ls mkdir mkfifo mv printf ps readlink rm seq
sh sleep stat tail touch tr true wc yes
"""
BUSYBOX = next((path for path in (shutil.which("busybox"), "/bin/busybox") if path and os.path.exists(path)), "")
ROOT = "!Tar {url: ./root.tar}"
COMMANDS = "  see: !Command {container: c, run: [/bin/sh, -c, 'eval \"$@\"', --]}\n"
OVERLAY = "user.overlay."
SINGLE = ("unshare", "-Ur") if os.getuid() == 0 else ("setpriv", "--no-new-privs")
"""Under this the caller has one id only."""


def small_root(path: Path) -> None:
    """Make the archive of a root with a shell and little else."""
    need(bool(BUSYBOX), "there is no busybox (package busybox-static)")
    with tarfile.open(path, "w") as tar:
        program = tarfile.TarInfo("bin/busybox")
        program.mode, program.size = 0o755, os.path.getsize(BUSYBOX)
        with open(BUSYBOX, "rb") as file:
            tar.addfile(program, file)
        for applet in APPLETS.split():
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)


@pytest.fixture
def small(project: Project) -> Iterator[Project]:
    """Return a project with `root.tar`; what is built is removed afterwards, whoever owns it."""
    small_root(project.directory / "root.tar")
    yield project
    remove(project.directory / ".vagga")


def remove(path: Path) -> None:
    """Remove a tree with files of ids that only a namespace of the caller may touch."""
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        maps = ("--map-root-user", "--map-auto")
        subprocess.run(("unshare", "-U", *maps, "rm", "-rf", "--", str(path)), capture_output=True, check=False)


def container(name: str, *steps: str, **keys: str) -> str:
    """Return the text of one container: its steps, and keys written with `_` for `-`."""
    lines = "".join(f"    - {step}\n" for step in steps)
    more = "".join(f"    {key.replace('_', '-')}: {value}\n" for key, value in keys.items())
    return f"  {name}:\n{more}    setup:\n{lines}"


def containers(*texts: str) -> str:
    """Return the text of several containers."""
    return f"containers:\n{''.join(texts)}"


def write(project: Project, *steps: str, commands: str = COMMANDS, **keys: str) -> None:
    """Let the project have one container `c`: the small root, and these steps."""
    project.write(commands, containers(container("c", ROOT, *steps, **keys)))


def root(project: Project, name: str = "c") -> Path:
    """Return the root that a container's link leads to."""
    return (project.directory / ".vagga" / name).resolve()


def version(project: Project, name: str = "c") -> Path:
    """Return the directory of the version that a container's link leads to."""
    return root(project, name).parent


def leftovers(project: Project) -> list[str]:
    """Return what a build has left that is neither a root nor a layer; lock files stay on purpose."""
    storage = project.directory / ".vagga"
    places = (storage, storage / ".roots", storage / ".layers")
    return [
        str(path.relative_to(storage))
        for place in places
        if place.is_dir()
        for path in place.iterdir()
        if path.name.startswith(".tmp") and path.suffix != ".lock"
    ]


def content(top: Path) -> dict[str, tuple[object, ...]]:
    """Return everything about a tree that two builds must agree on: paths with what is to be compared.

    Times count for files only. What overlayfs notes for itself does not count. A directory that the caller may not
    enter is looked at through a copy of the ids: tests make none.
    """
    found: dict[str, tuple[object, ...]] = {}
    groups: dict[tuple[int, int], str] = {}
    for here, directories, files in sorted(os.walk(top)):
        for name in ["", *sorted(directories), *sorted(files)]:
            path = os.path.join(here, name) if name else here
            relative = os.path.relpath(path, top)
            if relative in found:
                continue
            status = os.lstat(path)
            kind = stat.S_IFMT(status.st_mode)
            what: object = None
            if stat.S_ISREG(kind):
                what = Path(path).read_bytes() if os.access(path, os.R_OK) else b"?"
            elif stat.S_ISLNK(kind):
                what = os.readlink(path)
            times = 0 if stat.S_ISDIR(kind) else status.st_mtime_ns
            names = [] if stat.S_ISLNK(kind) else [n for n in os.listxattr(path) if not n.startswith(OVERLAY)]
            attributes = [(each, os.getxattr(path, each)) for each in sorted(names)]
            twin = "" if stat.S_ISDIR(kind) else groups.setdefault((status.st_dev, status.st_ino), relative)
            found[relative] = (status.st_mode, status.st_uid, status.st_gid, what, attributes, times, twin)
    return found
