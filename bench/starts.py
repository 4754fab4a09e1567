"""Rows: how long one command takes, from the shell's point of view."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from measure import UNCHANGED, Bench, Line, MissingError, alternate, inside, timed

HIDDEN = ("dev", "home", "lost+found", "proc", "root", "run", "tmp", "work")
COMMANDS = "  true: !Command\n    container: host\n    run: [true]\n"
MANY_CONTAINERS, MANY_COMMANDS = 40, 200
CONTAINER = """\
  service-{number:02}:
    setup:
    - !Debian bookworm
    - !Install [git, make, gcc, python3-dev]
    - !Sh useradd -u 1{number:03} service && mkdir -p /srv/service
    - !EnsureDir /var/lib/service
    environ: {{LANG: C.UTF-8, SERVICE_HOME: /srv/service}}
    volumes:
      /var/log: !Tmpfs {{size: 10Mi, mode: 0o755}}
      /var/lib/service: !Persistent service-{number}
"""
COMMAND = """\
  task-{number:03}: !Command
    description: The task of number {number}, which is one of many
    container: service-{container:02}
    aliases: [t{number}]
    prerequisites: [{needed}]
    environ: {{NUMBER: {number}, MODE: test}}
    run: |
      set -e
      ./script/task --number {number} "$@"
"""


def bwrap_words(bwrap: str, project: str) -> list[str]:
    """Return bubblewrap with the same set as `!Host`: read-only root, own /proc, /dev, /tmp, /run, writable /work."""
    top = [f"/{name}" for name in sorted(os.listdir("/")) if name not in HIDDEN and os.path.isdir(f"/{name}")]
    words = [bwrap, "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent"]
    for path in top:
        if os.path.islink(path):
            words += ["--symlink", os.readlink(path), path]
        else:
            words += ["--ro-bind", path, path]
    words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run", "--tmpfs", "/dev/shm"]
    return [*words, "--bind", project, "/work", "--chdir", "/work", "true"]


def start_lines(bench: Bench) -> list[Line]:
    """`vagga CMD` that runs `true`, unchanged and just changed, against the interpreter and against other sandboxes."""
    warm = bench.project("warm", COMMANDS)
    cold = bench.project("cold", COMMANDS)
    environ = bench.environ
    time.sleep(UNCHANGED)
    measured: dict[str, Callable[[], float]] = {
        "warm": partial(_in, warm, [bench.vagga, "true"], environ),
        "cold": partial(_in, cold, [bench.vagga, "true"], environ, (cold / "vagga.yaml").touch),
        "python3 -c pass": partial(timed, [bench.python, "-c", "pass"], environ),
        "python3 -I -S -c pass": partial(timed, [bench.python, "-I", "-S", "-c", "pass"], environ),
    }
    for name, words in _sandboxes(bench, str(warm)).items():
        measured[name] = partial(timed, words, environ)
        try:
            measured[name]()
        except MissingError as missing:
            bench.note(str(missing))
            del measured[name]
    samples = dict(zip(measured, alternate(bench.runs, *measured.values()), strict=True))
    ours = samples["warm"]
    what = "`vagga CMD` running `true` on `!Host`, nothing changed"
    bounds = {"python3 -c pass": 3.5, "podman run --rm --rootfs": 0.2}
    lines = [
        Line(what, "ms", ours, name, sample, bounds.get(name), "ratio")
        for name, sample in samples.items()
        if name not in ("warm", "cold")
    ]
    changed = "the same, `vagga.yaml` just touched"
    return [*lines, Line(changed, "ms", samples["cold"], "python3 -c pass", samples["python3 -c pass"])]


def size_lines(bench: Bench) -> list[Line]:
    """`vagga CMD` in a project of many commands and containers, unchanged and just changed, against one of one."""
    containers = "".join(CONTAINER.format(number=number) for number in range(MANY_CONTAINERS - 1))
    commands = COMMANDS + "".join(
        COMMAND.format(
            number=number,
            container=number % (MANY_CONTAINERS - 1),
            needed=f"task-{number // 2:03}" if number else "",
        )
        for number in range(MANY_COMMANDS - 1)
    )
    small, large = bench.project("size-one", COMMANDS), bench.project("size-many", commands, containers)
    small_touched, large_touched = (
        bench.project("one-touched", COMMANDS),
        bench.project("size-touched", commands, containers),
    )
    time.sleep(UNCHANGED)
    start = partial(_in, words=[bench.vagga, "true"], environ=bench.environ)
    samples = alternate(
        bench.runs,
        partial(start, large),
        partial(start, small),
        partial(start, large_touched, before=(large_touched / "vagga.yaml").touch),
        partial(start, small_touched, before=(small_touched / "vagga.yaml").touch),
    )
    what = f"`vagga CMD` with {MANY_COMMANDS} commands and {MANY_CONTAINERS} containers, nothing changed"
    return [
        Line(what, "ms", samples[0], "one of each", samples[1], 1.2, "ratio"),
        Line("the same, `vagga.yaml` just touched", "ms", samples[2], "one of each", samples[3]),
    ]


def _in(
    directory: Path, words: list[str], environ: dict[str, str], before: Callable[[], object] = lambda: None
) -> float:
    with inside(directory):
        return timed(words, environ, before)


def _sandboxes(bench: Bench, project: str) -> dict[str, list[str]]:
    """Return the commands of the peers that are installed."""
    makers: dict[str, Callable[[], list[str]]] = {
        "bwrap, same mounts": lambda: bwrap_words(bench.program("bwrap"), project),
        "unshare -Urmpfiu --mount-proc": lambda: [bench.program("unshare"), "-Urmpfiu", "--mount-proc", "true"],
        "podman run --rm --rootfs": lambda: _podman_words(bench),
    }
    found = {}
    for name, make in makers.items():
        try:
            found[name] = make()
        except MissingError as missing:
            bench.note(str(missing))
    return found


def _podman_words(bench: Bench) -> list[str]:
    """Return podman on a root that holds `true` and its libraries, without network, like a command on `!Host`."""
    podman = bench.program("podman")
    root = bench.directory / "rootfs"
    linked = subprocess.run(["ldd", "/bin/true"], capture_output=True, text=True, check=False).stdout
    for path in ("/bin/true", *(word for word in linked.split() if word.startswith("/"))):
        copy = root / path.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(Path(path).read_bytes())
        copy.chmod(0o755)
    more = os.environ.get("VAGGA_BENCH_PODMAN", "").split()
    limits = ["--ulimit", "nproc=1024:1024", "--ulimit", "nofile=1024:1024"] if os.getuid() == 0 else []
    return [podman, *more, "run", "--rm", "--network", "none", *limits, "--rootfs", str(root), "/bin/true"]
