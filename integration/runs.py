"""What integration tests are written with: waiting, looking at processes, ports, a project and its runs.

Tests run beside each other, as two users, on a machine that may be slow and busy. So all waiting is for something that
comes, with a patience that nobody needs, and what is counted is the test's own.
"""

from __future__ import annotations

import errno
import json
import os
import pwd
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from vaggapy.sandbox.ids import wanted_maps
from vaggapy.sandbox.operations import inside

VAGGA = (sys.executable, "-m", "vaggapy")
INTERNAL_SIGNALS = 0b11 << 31  # 32 and 33 are the C library's own; its posix_spawn(3) leaves them ignored
PATIENCE = 60.0
"""Seconds after which what is waited for will never come, also on a machine that is slow and busy."""
HOST = "containers:\n  host:\n    setup: [!Host]\n"


def must_work() -> bool:
    """Return whether a missing feature of the machine is a failure."""
    return os.environ.get("VAGGA_MUST_WORK") == "1"


def need(condition: bool, what: str) -> None:
    """Skip the test where the machine lacks something, or fail if it must not."""
    if not condition:
        if must_work():
            pytest.fail(f"VAGGA_MUST_WORK=1, but {what}")
        pytest.skip(what)


def deadline(seconds: float = PATIENCE) -> Callable[[], bool]:
    """Return a function that is true until the time is over; for waiting loops with a bound."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() < end


def wait_until(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Poll until `condition` holds; fail after `seconds`."""
    going = deadline(seconds)
    while not condition():
        if not going():
            pytest.fail(f"waited {seconds} s in vain: {what}")
        time.sleep(0.005)


# --- processes --------------------------------------------------------------------------------------------------


class Pid(int):
    """The number of a process, and when it began: a later one with the same number is not taken for it."""

    begun = -1


def processes() -> dict[int, tuple[int, str, str]]:
    """Return pid -> (ppid, state letter, name) of every process that /proc shows; each pid is a `Pid`."""
    found: dict[int, tuple[int, str, str]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                text = Path(f"/proc/{entry}/stat").read_text(errors="replace")
            except OSError:
                continue
            name = text[text.index("(") + 1 : text.rindex(")")]
            rest = text[text.rindex(")") + 2 :].split()
            pid = Pid(entry)
            pid.begun = int(rest[19])
            found[pid] = (int(rest[1]), rest[0], name)
    return found


def descendants(root: int) -> dict[int, str]:
    """Return pid -> name of all processes below `root`, zombies included."""
    table = processes()
    below: dict[int, str] = {}
    added = True
    while added:
        added = False
        for pid, (parent, state, name) in table.items():
            if pid not in below and (parent == root or parent in below):
                below[pid] = f"{name} ({state})"
                added = True
    return below


def command_line(pid: int) -> str:
    """Return the words of a process, or "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def files(own: Path) -> set[str]:
    """Return what a run could have left: anything in the test's own temporary directory, our name elsewhere.

    Other programs of the machine use the shared places too, so only names that speak of vagga count there.
    """
    found = {str(path) for path in own.iterdir()} if own.is_dir() else set()
    for place in ("/tmp", "/var/tmp", "/dev/shm", "/run", f"/run/user/{os.getuid()}"):
        if os.path.isdir(place) and os.access(place, os.R_OK):
            found |= {f"{place}/{name}" for name in os.listdir(place) if "vagga" in name and "vagga-ci" not in name}
    return found


def alive(pids: Iterable[int]) -> dict[int, str]:
    """Return pid -> name of those that still run; zombies do not."""
    table = processes()
    begun = {pid: getattr(pid, "begun", -1) for pid in table}
    there = [pid for pid in pids if pid in table and getattr(pid, "begun", -1) in (-1, begun[pid])]
    return {pid: table[pid][2] for pid in there if table[pid][1] not in "ZX"}


def user_namespace(pid: int) -> str:
    """Return which user namespace a process is in, "" when it is gone."""
    try:
        return os.readlink(f"/proc/{pid}/ns/user")
    except OSError:
        return ""


def sleep_of(pid: int) -> tuple[str, ...]:
    """Return the state of a process and how often it has been taken off a processor: it changes when it runs."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return ("gone",)
    values = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return values["State"][0], values["voluntary_ctxt_switches"], values["nonvoluntary_ctxt_switches"]


def handles(pid: int, number: int) -> bool:
    """Return whether a process has a function for a signal."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    caught = next((int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:")), 0)
    return bool(caught >> (number - 1) & 1)


# --- ports ------------------------------------------------------------------------------------------------------


def _own_ports() -> Iterator[int]:
    """Yield ports, again and again, that the kernel gives to nobody and no other process of this test run tries."""
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    ports = max(range(10_000, first), range(last + 1, 65_536), key=len)
    worker, count = os.environ.get("PYTEST_XDIST_WORKER", "gw0"), os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")
    share = len(ports) // int(count)
    begin = int(worker.removeprefix("gw")) % int(count) * share
    moved = random.SystemRandom().randrange(share)  # Another test run, of another user, has another beginning.
    while True:
        for number in range(share):
            yield ports[begin + (moved + number) % share]


def _is_free(port: int) -> bool:
    for family, place in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((place, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
    return True


OWN_PORTS = _own_ports()


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, and that nobody else gets by chance before the test listens there."""
    found: list[int] = []
    while len(found) < count:
        port = next(OWN_PORTS)
        if _is_free(port):
            found.append(port)
    return found


def free_port() -> int:
    """Return a port that nobody listens on, and that nobody else gets by chance."""
    (port,) = free_ports(1)
    return port


# --- a project and its runs -------------------------------------------------------------------------------------


def command(name: str, run: object, indent: int = 2, /, **keys: object) -> str:
    """Return the text of a `!Command`; keys are written with `_` for `-`. JSON is YAML, so any value will do."""
    values = {"container": "host", "run": run, **keys}
    lines = [f"{' ' * (indent + 2)}{key.replace('_', '-')}: {json.dumps(value)}\n" for key, value in values.items()]
    return f"{' ' * indent}{name}: !Command\n{''.join(lines)}"


def supervise(name: str, children: Mapping[str, object], **keys: object) -> str:
    """Return the text of a `!Supervise`; a child is what it runs, or all of its keys."""
    own = [f"    {key.replace('_', '-')}: {json.dumps(value)}\n" for key, value in keys.items()]
    parts = []
    for child, what in children.items():
        keys = dict(what) if isinstance(what, dict) else {"run": what}
        parts.append(command(child, keys.pop("run"), 6, **keys))
    return f"  {name}: !Supervise\n{''.join(own)}    children:\n{''.join(parts)}"


@dataclass
class Result:
    """The end of one run."""

    code: int
    out: str
    err: str
    seconds: float


@dataclass
class Running:
    """A run that goes on: `process` is the supervisor."""

    process: subprocess.Popen[bytes]
    begun: float = field(default_factory=time.monotonic)

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: int) -> None:
        """Signal the supervisor only."""
        self.process.send_signal(number)

    def finish(self, seconds: float = 2 * PATIENCE) -> Result:
        """Wait for the end."""
        try:
            out, err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            below = {pid: command_line(pid) for pid in descendants(self.pid)}
            self.process.kill()
            out, err = self.process.communicate()
            pytest.fail(f"still running after {seconds} s: {below}\n{out!r}\n{err!r}")
        return Result(
            self.process.returncode,
            (out or b"").decode(errors="replace"),
            (err or b"").decode(errors="replace"),
            time.monotonic() - self.begun,
        )

    def close(self) -> bool:
        """Kill it if it still runs, and let go of its pipes; return whether it did."""
        runs = self.process.poll() is None
        if runs:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        return runs

    def spawner(self) -> int:
        """Return the pid of the spawner: the supervisor's only child in a user namespace of its own."""
        found: list[int] = []

        def look() -> list[int]:
            found[:] = self.spawners()
            return found

        wait_until(look, "the spawner")
        (pid,) = found
        return pid

    def spawners(self) -> list[int]:
        ours = user_namespace(self.pid)
        return [pid for pid in self._children(self.pid) if user_namespace(pid) not in ("", ours)]

    def inits(self) -> list[int]:
        """Return the pids of the children's PID 1, as this process sees them."""
        return sorted(self._children(self.spawner()))

    def wait_at_rest(self) -> None:
        """Wait until nothing is under way any more.

        That is when supervisor, spawner and each PID 1 have slept, without running once, for ten looks: whatever one
        has for another wakes it.
        """
        spawner = self.spawner()
        looks: list[dict[int, tuple[str, ...]]] = []

        def rests() -> bool:
            looks.append({pid: sleep_of(pid) for pid in (self.pid, spawner, *self._children(spawner))})
            same = len(looks) > 10 and all(look == looks[-1] for look in looks[-10:])
            return same and all(state == "S" for state, *_ in looks[-1].values())

        wait_until(rests, "rest")

    def descriptors_at_rest(self) -> tuple[int, int]:
        """Return how many descriptors supervisor and spawner hold, when nothing is under way any more."""
        self.wait_at_rest()
        first, second = (len(os.listdir(f"/proc/{pid}/fd")) for pid in (self.pid, self.spawner()))
        return first, second

    @staticmethod
    def _children(pid: int) -> list[int]:
        return [child for child, (parent, state, _) in processes().items() if parent == pid and state != "Z"]


class Project:
    """A directory with a vagga.yaml; `directory` is what is seen as /work."""

    def __init__(self, directory: Path, home: Path) -> None:
        self.directory = directory
        self.home = home
        self.started: list[Running] = []
        self.environ = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home / ".cache"),
            "TERM": "dumb",
            "TMPDIR": str(directory.parent / "tmp"),
        }

    def write(self, commands: str, containers: str = HOST) -> None:
        """Write vagga.yaml: `commands` is the text below `commands:`, indented by two spaces."""
        (self.directory / "vagga.yaml").write_text(f"{containers}commands:\n{commands}")

    def start(
        self,
        *words: str,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        pass_fds: Sequence[int] = (),
        under: Sequence[str] = (),
        **more: bool,
    ) -> Running:
        """Start `vagga WORDS` and return while it runs. `under`: a program that prepares something and executes it.

        It leads a process group of its own, as a shell's job does: in a group that nobody of its session looks after,
        which that of a test run may be, the kernel lets no process be stopped by SIGTSTP.
        """
        new_session = more.get("start_new_session", False)
        process = subprocess.Popen(
            [*under, *VAGGA, *words],
            cwd=cwd or self.directory,
            env={**self.environ, **(environ or {})},
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=pass_fds,
            start_new_session=new_session,
            process_group=None if new_session else 0,
            restore_signals=more.get("restore_signals", True),
        )
        running = Running(process)
        self.started.append(running)
        return running

    def close(self) -> None:
        """Kill what a test that failed half way has left, and fail if it was another one that left something."""
        left = [running.process.args for running in self.started if running.close()]
        assert not left, f"the test ended while these ran: {left}"

    def has(self, *names: str) -> bool:
        """Return whether a run has made all these files in the project."""
        return all((self.directory / name).exists() for name in names)

    def read(self, name: str) -> str:
        """Return what a run wrote to a file of the project, "" if nothing."""
        path = self.directory / name
        return path.read_text() if path.exists() else ""

    def run(self, *words: str, seconds: float = 2 * PATIENCE, **how: object) -> Result:
        """Run `vagga WORDS` to its end."""
        return self.start(*words, **how).finish(seconds)  # type: ignore[arg-type]  # passed on as they come


# --- what the machine and the caller have -----------------------------------------------------------------------


def can_nest() -> bool:
    """Return whether unshare(1) may make user, mount and pid namespaces here: an outer world for a run."""
    words = ("unshare", "-Urmpf", "--mount-proc", "true")
    return bool(shutil.which("unshare")) and subprocess.run(words, capture_output=True, check=False).returncode == 0


def has_ranges() -> bool:
    """Return whether the caller has more ids than its own: as root, or by /etc/subuid and newuidmap."""
    uid = os.getuid()
    return sum(extent.count for extent in wanted_maps(uid, os.getgid(), pwd.getpwuid(uid).pw_name).uids) > 1


def holds_ourselves(directory: str) -> bool:
    """Return whether what runs the tests lies below a directory, so that nothing may be mounted there."""
    ours = (sys.prefix, sys.base_prefix, os.path.realpath(sys.executable), __file__)
    return any(inside(path, directory) for path in ours)
