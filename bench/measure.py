"""What every measurement is made with: alternating runs, medians, processes as /proc shows them, a project to run."""

from __future__ import annotations

import os
import select
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE = 60.0
HOST = "containers:\n  host:\n    setup: [!Host]\n"
UNCHANGED = 2.2  # seconds after which a file that was written counts as unchanged for vagga's cache
SLEEP = "sleep 1000"


class MissingError(Exception):
    """A row or a peer cannot be measured here; the message says what is missing."""


@dataclass(frozen=True)
class Sample:
    """The values of one quantity in one unit."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def best(self) -> float:
        return min(self.values)


@dataclass(frozen=True)
class Line:
    """One line of the table: ours against one peer (or none). `bound` counts for the kind that `limits` names."""

    what: str
    unit: str
    ours: Sample
    peer: str = ""
    theirs: Sample | None = None
    bound: float | None = None
    limits: str = "ours"  # "ours": ours <= bound; "ratio": ours / theirs <= bound; "rate": ours >= bound

    @property
    def ratio(self) -> float | None:
        if self.theirs is None or not self.theirs.median:
            return None
        return self.ours.median / self.theirs.median

    @property
    def met(self) -> bool | None:
        if self.bound is None:
            return None
        if self.limits == "ratio":
            return None if self.ratio is None else self.ratio <= self.bound
        if self.limits == "rate":
            return self.ours.median >= self.bound
        return self.ours.median <= self.bound


@dataclass
class Bench:
    """What a row is given: the programs that are measured, where to work, and how often to run."""

    directory: Path
    scripts: Path  # bin directory with our plain script, python, and the peers from PyPI
    runs: int
    notes: list[str] = field(default_factory=list)

    @property
    def vagga(self) -> str:
        return str(self.scripts / "vagga")

    @property
    def python(self) -> str:
        return str(self.scripts / "python")

    @property
    def environ(self) -> dict[str, str]:
        """The caller's environment, with a cache of the bench's own."""
        return {**os.environ, "XDG_CACHE_HOME": str(self.directory / "cache"), "NO_COLOR": "1"}

    def program(self, name: str) -> str:
        """Return the path of a peer.

        Raises:
            MissingError: it is not installed.
        """
        own = self.scripts / name
        found = str(own) if own.exists() else shutil.which(name)
        if found is None:
            raise MissingError(f"{name} is not installed")
        return found

    def project(self, name: str, commands: str, containers: str = "") -> Path:
        """Make a project whose vagga.yaml has `commands` and, besides `host`, `containers`; return its directory."""
        directory = self.directory / name
        directory.mkdir()
        (directory / "vagga.yaml").write_text(f"{HOST}{containers}commands:\n{commands}")
        return directory

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


# --- runs -------------------------------------------------------------------------------------------------------


def alternate(runs: int, *measured: Callable[[], float]) -> list[Sample]:
    """Call each function once for nothing, then all of them in turn, `runs` times: A B A B."""
    for function in measured:
        function()
    values: list[list[float]] = [[] for _ in measured]
    for _ in range(runs):
        for taken, function in zip(values, measured, strict=True):
            taken.append(function())
    return [Sample(tuple(taken)) for taken in values]


def timed(words: list[str], environ: Mapping[str, str], before: Callable[[], object] = lambda: None) -> float:
    """Run a program in the current directory and return the milliseconds until it is reaped; it must succeed."""
    before()
    silence = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)]
    begun = time.perf_counter()
    pid = os.posix_spawnp(words[0], words, environ, file_actions=silence)
    _, status = os.waitpid(pid, 0)
    milliseconds = (time.perf_counter() - begun) * 1000
    if status:
        told = subprocess.run(words, env=dict(environ), capture_output=True, text=True, check=False, timeout=PATIENCE)
        raise MissingError(f"{words[0]} fails here: {told.stderr.strip()[-200:] or told.returncode}")
    return milliseconds


@contextmanager
def inside(directory: Path) -> Iterator[None]:
    """Work in a directory."""
    before = Path.cwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)


# --- stacks: runs that go on ------------------------------------------------------------------------------------


class Stack:
    """A supervisor, ours or a peer, that runs until the end of the `with` block; nothing of it is left then."""

    def __init__(self, words: Sequence[str], directory: Path, environ: Mapping[str, str]) -> None:
        self.begun = time.perf_counter()
        self.process = subprocess.Popen(
            words,
            cwd=directory,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        below = descendants(self.pid)
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(1)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(PATIENCE)
        for pid, (name, began) in below.items():  # What a peer leaves behind.
            if alive(pid) and started(pid) == began:
                try:
                    os.kill(pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    raise_if_alive(pid, name)

    def finish(self) -> float:
        """Wait for the end and return the moment."""
        self.process.wait(PATIENCE)
        return time.perf_counter()

    def wait_for(self, name: str, count: int) -> None:
        """Wait until `count` processes of that name run below the supervisor."""
        end = time.monotonic() + PATIENCE
        while sum(each == name for each, _ in descendants(self.pid).values()) < count:
            if time.monotonic() > end or self.process.poll() is not None:
                raise MissingError(f"{self.process.args!r} never had {count} x {name}")
            time.sleep(0.02)


class Signs:
    """A FIFO in a project by which children say that they run, one line each."""

    def __init__(self, directory: Path, name: str = "signs") -> None:
        self.path = directory / name
        if not self.path.exists():
            os.mkfifo(self.path)
        self._fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def take(self, count: int) -> float:
        """Wait for `count` signs; return the moment of the last one."""
        watch = select.poll()
        watch.register(self._fd, select.POLLIN)
        while count > 0:
            if not watch.poll(PATIENCE * 1000):
                raise MissingError(f"{count} children never started")
            count -= os.read(self._fd, 4096).count(b"\n")
        return time.perf_counter()

    def close(self) -> None:
        os.close(self._fd)


@contextmanager
def open_gate(path: Path) -> Iterator[None]:
    """Let everyone go who opens the FIFO at `path` to read, now or later, until the end of the `with` block."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        yield
    finally:
        os.close(fd)


# --- processes --------------------------------------------------------------------------------------------------


def _stat(pid: int) -> tuple[str, list[str]]:
    text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    return text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()


def table() -> dict[int, tuple[int, str, int]]:
    """Return pid -> (parent, name, start time) of every process that is not a zombie."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                name, rest = _stat(int(entry))
            except (OSError, ValueError):
                continue
            if rest[0] not in "ZX":
                found[int(entry)] = (int(rest[1]), name, int(rest[19]))
    return found


def children(pid: int) -> list[int]:
    return sorted(child for child, (parent, _, _) in table().items() if parent == pid)


def descendants(root: int) -> dict[int, tuple[str, int]]:
    """Return pid -> (name, start time) of all processes below `root`."""
    below: dict[int, list[int]] = {}
    processes = table()
    for pid, (parent, _, _) in processes.items():
        below.setdefault(parent, []).append(pid)
    found: dict[int, tuple[str, int]] = {}
    waiting = list(below.get(root, ()))
    while waiting:
        pid = waiting.pop()
        found[pid] = processes[pid][1:]
        waiting += below.get(pid, ())
    return found


def alive(pid: int) -> bool:
    try:
        return _stat(pid)[1][0] not in "ZX"
    except OSError:
        return False


def started(pid: int) -> int:
    """Return when a process was started; 0 if there is none."""
    try:
        return int(_stat(pid)[1][19])
    except OSError:
        return 0


def raise_if_alive(pid: int, name: str) -> None:
    if alive(pid):
        raise RuntimeError(f"{name} ({pid}) cannot be ended")


def until_gone(watched: Iterable[int], cause: Callable[[], object]) -> float:
    """Return the milliseconds from `cause` until the last of the processes is gone, as their pidfds say."""
    fds = [os.pidfd_open(pid) for pid in watched]
    watch = select.epoll(len(fds))
    for fd in fds:
        watch.register(fd, select.EPOLLIN | select.EPOLLONESHOT)
    left = len(fds)
    begun = time.perf_counter()
    cause()
    while left:
        ready = watch.poll(PATIENCE)
        if not ready:
            raise RuntimeError(f"{left} processes survive")
        left -= len(ready)
    milliseconds = (time.perf_counter() - begun) * 1000
    watch.close()
    for fd in fds:
        os.close(fd)
    return milliseconds


def pss(pid: int) -> float:
    """Return the proportional memory of a process in MiB."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except PermissionError as error:
        raise MissingError("memory of the processes cannot be read here") from error
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise MissingError("the kernel tells no PSS")


def wake_ups(pid: int) -> int:
    """Return how often a process has given the processor up by itself."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches:"):
            return int(line.split()[1])
    raise MissingError("the kernel counts no context switches")


def ticks(pid: int) -> int:
    """Return the processor time of a process in clock ticks."""
    rest = _stat(pid)[1]
    return int(rest[11]) + int(rest[12])


def working_directory() -> tempfile.TemporaryDirectory[str]:
    """Make a directory where a user's projects are: below the home directory, not in /tmp."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix="vagga-bench-", dir=cache)
    except OSError:
        return tempfile.TemporaryDirectory(prefix=".vagga-bench-")
