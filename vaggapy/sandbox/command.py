"""The command's process: how it is started, with which ids, descriptors and signals, and why it could not be.

Called by PID 1 of a child once everything is mounted. Nothing is imported here when it runs, and between a fork and
an exec there are only system calls.
"""

from __future__ import annotations

import errno
import fcntl
import os

from vaggapy.record import Record, pack
from vaggapy.sandbox import linux
from vaggapy.sandbox.channel import adopt
from vaggapy.sandbox.spec import EXEC, Failure, Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
    from typing import NoReturn

    from vaggapy.sandbox.init import Job
else:
    import _signal

SIGKILL = 9
HIGH_DESCRIPTOR = 16  # above everything that the command gets
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Streams(Record):
    """Descriptors that become 0, 1, 2 (and 3) of the command; `terminal` is the one it owns, or -1.

    `ready`: the one that becomes `Program.ready_fd`, or -1; from HIGH_DESCRIPTOR on.
    """

    chosen: tuple[int, ...]
    terminal: int = -1
    ready: int = -1


def start(job: Job, streams: Streams, fork: Callable[[int], int]) -> tuple[int, Failure | None]:
    """Start the command's process; return its pid, or why it did not come to that.

    Usually by posix_spawn(3), which copies nothing of this process. A fork is for what that cannot do: other ids,
    and a terminal whose foreground the command must be before its first instruction.
    """
    program = job.program
    step = ["chdir", "", program.directory]
    try:
        os.chdir(program.directory)
        if streams.terminal >= 0 or program.uid or program.gid or program.groups or program.external_uid >= 0:
            return _fork_command(job, streams, fork)
        if job.maps.setgroups:
            os.setgroups(())
        return _spawn_command(job, streams, step), None
    except OSError as error:
        return -1, Failure(step[0], error.errno or 0, step[1], step[2])


def replace_self(job: Job, streams: Streams, control: int) -> NoReturn:
    """Become the command, as PID 1 itself. `control` closes by itself then; a failure is sent through it."""
    step = ["chdir", "", job.program.directory]
    kept = fcntl.fcntl(control, fcntl.F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR)
    try:
        os.chdir(job.program.directory)
        _take_place(job, streams, kept, step)
    except OSError as error:
        adopt(kept).send(("failed", pack(Failure(step[0], error.errno or 0, step[1], step[2]))))
    finally:
        os._exit(1)


def _spawn_command(job: Job, streams: Streams, step: list[str]) -> int:
    """Start the command in a session of its own; return its pid when it has executed."""
    program = job.program
    # Also a move of a descriptor onto itself counts: it clears close-on-exec.
    moves = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(streams.chosen)]
    if streams.ready >= 0:
        moves.append((os.POSIX_SPAWN_DUP2, streams.ready, program.ready_fd))

    def spawn(path: str) -> int:
        return os.posix_spawn(
            path, program.words, program.environ, file_actions=moves, setsid=True, setsigmask=(), setsigdef=job.ignored
        )

    return _execute(program, spawn, step)


def _fork_command(job: Job, streams: Streams, fork: Callable[[int], int]) -> tuple[int, Failure | None]:
    """Fork the command's process, and wait until it has executed, or not.

    The report pipe closes by itself on a successful exec. It is read to its end before anything is waited for.
    """
    report, answer = os.pipe2(os.O_CLOEXEC)
    placed, go = os.pipe2(os.O_CLOEXEC)
    try:
        pid = fork(0)
        if pid == 0:
            os.close(go)
            _become(job, streams, placed, answer)
    except OSError:  # a check may be tried again and again beside a program that leaves no room
        for fd in (report, go):
            os.close(fd)
        raise
    finally:
        os.close(answer)
        os.close(placed)
    if streams.terminal >= 0:
        os.setpgid(pid, pid)
        os.tcsetpgrp(streams.terminal, pid)
    os.write(go, b"1")
    os.close(go)
    with open(report, "rb") as file:
        told = file.read()
    if not told:
        return pid, None
    step, number, source, target = told.decode("utf-8", "surrogateescape").split("\0")
    return pid, Failure(step, int(number), source, target)


def _become(job: Job, streams: Streams, placed: int, answer: int) -> NoReturn:
    """Turn this process into the command. Only system calls; every path ends in exec or `_exit`."""
    step = ["start", "", ""]
    kept = fcntl.fcntl(answer, fcntl.F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR)
    try:
        if os.read(placed, 1):
            _take_place(job, streams, kept, step)
    except OSError as error:
        told = f"{step[0]}\0{error.errno}\0{step[1]}\0{step[2]}"
        os.write(kept, told.encode("utf-8", "surrogateescape"))
    finally:
        os._exit(127)


def _take_place(job: Job, streams: Streams, kept: int, step: list[str]) -> None:
    """Do what stands between fork and exec; `step` says where, for the report of a failure."""
    program = job.program
    if streams.terminal < 0:
        os.setsid()
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR) for fd in streams.chosen]
    for number, fd in enumerate(high):
        os.dup2(fd, number)
    first = len(high)
    if streams.ready >= 0:
        os.dup2(streams.ready, program.ready_fd)
        linux.close_range(first, program.ready_fd - 1)
        first = program.ready_fd + 1
    linux.close_range(first, kept - 1)
    linux.close_range(kept + 1)
    for number in job.ignored:
        _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    step[:] = ["setgroups", "", ",".join(map(str, program.groups))]
    if job.maps.setgroups or program.groups:
        os.setgroups(program.groups)
    step[:] = ["setgid", "", str(program.gid)]
    os.setresgid(program.gid, program.gid, program.gid)
    step[:] = ["setuid", "", str(program.uid)]
    os.setresuid(program.uid, program.uid, program.uid)
    if program.first == EXEC:
        linux.set_parent_death_signal(SIGKILL)  # a change of ids has cancelled it

    def execute(path: str) -> int:
        os.execve(path, program.words, program.environ)

    _execute(program, execute, step)


def ignored_signals() -> tuple[int, ...]:
    """Return the signals that this process ignores, and a command must not: whatever vagga was started with."""
    numbers = range(1, linux.LAST_SIGNAL + 1)
    return tuple(number for number in numbers if _signal.getsignal(number) == _signal.SIG_IGN)


def _execute(program: Program, execute: Callable[[str], int], step: list[str]) -> int:
    """Execute the program by `execute`, looked up in the PATH that it will have; relative entries do not count.

    As with a shell, one that may not be executed is passed over for a later one, but remembered.
    """
    name = program.words[0]
    step[:] = ["exec", name, ""]
    places = program.environ.get("PATH", DEFAULT_PATH).split(":")
    paths = [name] if "/" in name else [f"{place}/{name}" for place in places if place.startswith("/")]
    refused: OSError | None = None
    for path in paths:
        if path is not paths[-1] and not os.path.lexists(path):
            continue  # Each try costs a process, so a look comes first.
        try:
            return execute(path)
        except (FileNotFoundError, NotADirectoryError):
            if os.path.lexists(path):
                step[:] = ["interpreter", path, _interpreter(path)]
                raise
            if path is paths[-1] and refused is None:
                step[:] = ["exec", name if len(paths) > 1 else path, ""]
                raise
        except PermissionError as error:
            if refused is None:
                step[:] = ["exec", path, ""]
                refused = error
        except OSError as error:
            lacks_room = error.errno in (errno.EAGAIN, errno.ENOMEM)  # for one more process, whatever the program
            step[:] = ["clone", "", ""] if lacks_room else ["exec", path, ""]
            raise
    raise refused or FileNotFoundError(errno.ENOENT, name)


def _interpreter(path: str) -> str:
    """Return what an existing program needs and does not find: the target of a link, or its `#!` interpreter."""
    if os.path.islink(path) and not os.path.exists(path):
        return os.path.realpath(path)
    try:
        with open(path, "rb") as file:
            first = file.readline(256)
    except OSError:
        return ""
    words = first[2:].split()
    name = os.fsdecode(words[0]) if first.startswith(b"#!") and words else ""
    return os.path.realpath(name) if os.path.islink(name) else name
