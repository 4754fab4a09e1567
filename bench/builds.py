"""Rows: how long builds take: a root of Debian against mmdebstrap alone, a build from the cache, one changed step."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from functools import partial
from pathlib import Path

from measure import Bench, Line, MissingError, Sample, alternate, timed

SUITE = "bookworm"
SOURCES = (
    "deb http://deb.debian.org/debian/ bookworm main",
    "deb http://deb.debian.org/debian/ bookworm-updates main",
    "deb http://deb.debian.org/debian-security/ bookworm-security main",
)
DEBIAN_RUNS = 3
DEBIAN_LIMIT, CACHED_LIMIT = 1.2, 1000.0
SIX = """containers:
  box:
    setup:
    - !Tar {{url: ./root.tar}}
    - !Text {{/etc/one: one}}
    - !Sh "echo two > /etc/two"
    - !EnsureDir /srv/three
    - !Sh "echo four > /etc/four"
    - !Sh "echo {last} > /etc/last"
"""


def build_lines(bench: Bench) -> list[Line]:
    """A root of Debian in both ways, by turns; then builds of a small root, whose steps cost next to nothing."""
    return [*_debian_lines(bench), *_cache_lines(bench)]


def _debian_lines(bench: Bench) -> list[Line]:
    """The same suites, packages and ids for both; each fetches all packages anew from the same mirror."""
    mmdebstrap = bench.program("mmdebstrap")
    project = bench.directory / "debian"
    project.mkdir()
    (project / "vagga.yaml").write_text(f"containers:\n  debian:\n    setup: [!Debian {SUITE}]\n")
    target = bench.directory / "alone"
    words = [mmdebstrap, "--mode=root" if os.getuid() == 0 else "--mode=unshare", "--variant=minbase", "--quiet"]
    words += ["--include=apt,debian-archive-keyring", "--format=directory", SUITE, str(target), *SOURCES]
    build = [bench.vagga, "_build", "--force", "debian"]
    runs = min(bench.runs, DEBIAN_RUNS)
    ours, theirs = alternate(runs, partial(_in, project, build, bench), partial(_alone, words, target, bench))
    what = "a minimal root of Debian, from the mirror to `.vagga/NAME`"
    cached = [_from_cache(project, bench, "debian") for _ in range(bench.runs)]
    again = "the same root again, all steps from the cache"
    _in(project, [bench.vagga, "_clean", "--everything"], bench)  # files of other ids, which our caller cannot remove
    return [
        Line(what, "ms", ours, "mmdebstrap alone", theirs, DEBIAN_LIMIT, "ratio"),
        Line(again, "ms", Sample(tuple(cached)), bound=CACHED_LIMIT),
    ]


def _cache_lines(bench: Bench) -> list[Line]:
    """Six steps, of which the last one changes."""
    project = bench.directory / "six"
    project.mkdir()
    _small_root(project)
    whole, last = [], []
    for number in range(bench.runs):
        shutil.rmtree(project / ".vagga", ignore_errors=True)
        (project / "vagga.yaml").write_text(SIX.format(last="first"))
        whole.append(_in(project, [bench.vagga, "_build", "box"], bench))
        (project / "vagga.yaml").write_text(SIX.format(last=f"changed {number}"))
        last.append(_in(project, [bench.vagga, "_build", "box"], bench))
    what = "six small steps, the last of them changed"
    return [Line(what, "ms", Sample(tuple(last)), "all six steps", Sample(tuple(whole)))]


def _small_root(project: Path) -> None:
    busybox = shutil.which("busybox")
    if busybox is None:
        raise MissingError("busybox is not installed")
    binaries = project / "root" / "bin"
    binaries.mkdir(parents=True)
    shutil.copy(busybox, binaries / "busybox")
    (binaries / "sh").symlink_to("busybox")
    subprocess.run(["tar", "-C", str(project / "root"), "-cf", str(project / "root.tar"), "."], check=True)


def _from_cache(project: Path, bench: Bench, name: str) -> float:
    """Take the finished root away, not the layers that it was made of."""
    link = project / ".vagga" / name
    root = link.resolve().parent
    link.unlink()
    (root / "version").unlink()
    return _in(project, [bench.vagga, "_build", name], bench)


def _alone(words: list[str], target: Path, bench: Bench) -> float:
    taken = timed(words, bench.environ)
    removed = ["rm", "-rf", str(target)]
    if os.getuid():
        removed = ["unshare", "--map-users=auto", "--map-groups=auto", "--map-root-user", *removed]
    subprocess.run(removed, check=True)
    return taken


def _in(project: Path, words: list[str], bench: Bench) -> float:
    began = time.perf_counter()
    done = subprocess.run(words, cwd=project, env=bench.environ, capture_output=True, check=False, text=True)
    if done.returncode:
        raise MissingError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr[-300:]}")
    return (time.perf_counter() - began) * 1000
