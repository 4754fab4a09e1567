"""PID 1 of one child: makes the private mounts, starts the command, reaps everything, ends with it.

It begins in the run's user namespace, where it may mount, and when all is mounted enters one of the child's own,
whose ids the spawner maps: from then on every mount is locked, for it and for the command, which cannot trace it
either. It keeps its ids, so that the kernel's promise to kill it with the spawner (PR_SET_PDEATHSIG) holds; only
the command's process changes them. Nothing is imported here once the root has changed.

Messages up the control channel: `failed` (a Failure), `terminals` (with their masters), `outer-proc`,
`ready` (with the descriptor on which the command says that it is), `output` (with that of the file for its outputs,
if there is room for one), `running`, `status` (the raw wait status of the
command), `stopped` (Ctrl+Z on its own terminal, or itself), `probed` (its number, raw wait status, Failure or None).
Messages down: `signal` (number, whether it asks for the end), `suspend`, `resume`, `probe` (its number, words, environ,
directory; with a descriptor for its output, or none), `unprobe` (its number).
"""

from __future__ import annotations

import _socket
import fcntl
import os
import select
import sys

from vaggapy.record import Record, pack, replace
from vaggapy.sandbox import linux, perform
from vaggapy.sandbox.channel import Channel, adopt
from vaggapy.sandbox.command import HIGH_DESCRIPTOR, Streams, replace_self, start
from vaggapy.sandbox.operations import Memory, Operation
from vaggapy.sandbox.spec import EXEC, INHERIT, OUTPUT, PIPES, TERMINAL, WAIT_ALL, Failure, IdMaps, Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Collection
    from typing import NoReturn

    from vaggapy.sandbox.channel import Message
else:
    import _signal

SIGKILL = 9
SIGCONT = 18
SIGSTOP = 19
SIGCHLD = 17
LINGER = 10  # ms between looks whether the command's group is empty, after a stop was asked for

TCGETS = 0x5401
TCSETS = 0x5402
TIOCSCTTY = 0x540E
TIOCSWINSZ = 0x5414
TIOCSPTLCK = 0x40045431
TIOCGPTPEER = 0x5441
OPOST = 1
NUMBER_SIZE = 8
MAPPED = b"1"
OWN_PLACES = ("/run", "/tmp", "/dev/shm")  # if they are the child's own: a volume may be a directory of the host
NOTIFY_SOCKET = "vagga-notify"
OUTPUT_FILE = "vagga-output"
COMMAND_NAMESPACES = linux.CLONE_NEWUSER | linux.CLONE_NEWNS | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS


class Job(Record):
    """What PID 1 is to do. `descriptors`: the streams that were passed, then the socket if there is one.

    `number`: of the request, to be written to `asks` once the ids of the new namespace are to be mapped; `mapped`
    then gives a byte, or why not, as `step` NUL `errno`. `ignored`: signals to give back their default.
    """

    number: int
    operations: tuple[Operation, ...]
    program: Program
    maps: IdMaps
    control: int
    asks: int
    mapped: int
    ignored: tuple[int, ...]
    descriptors: tuple[int, ...]


def main(job: Job, spawner: int, fork: Callable[[int], int]) -> NoReturn:
    """Be PID 1. `spawner` is a pidfd of the parent; `fork` is clone(2). Never returns."""
    status = 1
    try:
        linux.set_parent_death_signal(SIGKILL)
        watch = select.poll()
        watch.register(spawner, select.POLLIN)
        if not watch.poll(0):
            status = _live(job, fork)
    except perform.StepError as error:
        adopt(job.control).send(("failed", pack(error.failure)))
    except OSError as error:
        failure = Failure(error.strerror or "init", error.errno or 0, str(error.filename or ""))
        adopt(job.control).send(("failed", pack(failure)))
    finally:
        os._exit(status)


def _live(job: Job, fork: Callable[[int], int]) -> int:
    """Set everything up, start the command, and stay until it is over."""
    linux.close_all_but((0, 1, 2, job.control, job.asks, job.mapped, *job.descriptors))
    control = adopt(job.control)
    wake = wake_on_child_death()
    if not perform.build_private(job.operations, job.maps.has_gid(perform.GROUP_TTY)):
        control.send(("outer-proc",))
    failure = _enter_own_namespaces(job)
    if failure is None:
        failure = _command(job, control, wake, fork)
    if failure is None:
        return 0
    control.send(("failed", pack(failure)))
    return 1


def _command(job: Job, control: Channel, wake: int, fork: Callable[[int], int]) -> Failure | None:
    """Start the command and stay until it is over; return why it could not be started."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)  # as it is now, before the command may mount
    streams = _prepare_streams(job, control, null)
    told = job
    if job.program.notify or job.program.ready_fd >= 0:
        told, streams = _prepare_readiness(job, control, streams)
    if job.program.output:
        told = _prepare_output(told, control)
    _wait_while_suspended(control)
    if job.program.first == EXEC:
        replace_self(told, streams, control.fileno())
    leader, failure = start(told, streams, fork)
    if failure is not None:
        return failure
    _let_go_of_streams(streams, null)
    control.send(("running",))
    Init(job, control, wake, leader, streams.terminal >= 0, Probes(job, control, fork)).stay()
    return None


def _wait_while_suspended(control: Channel) -> None:
    """Begin nothing while the run is suspended: the user pressed Ctrl+Z before this child was there."""
    watch = select.poll()
    watch.register(control.fileno(), select.POLLIN)
    suspended = False
    while suspended or watch.poll(0):
        received = control.receive()
        if received is None:
            os._exit(1)  # The supervisor is gone.
        suspended = received[0][0] == "suspend" or (suspended and received[0][0] != "resume")


def wake_on_child_death() -> int:
    """Return a descriptor that becomes readable when a child of this process changes."""
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    _signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    _signal.signal(SIGCHLD, lambda _number, _frame: None)
    return read


def _let_go_of_streams(streams: Streams, null: int) -> None:
    """Put /dev/null on 0, 1 and 2: only the command may hold the caller's streams open."""
    for fd in {*streams.chosen, streams.ready} - {-1, 0, 1, 2, null, streams.terminal}:
        os.close(fd)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)


def _enter_own_namespaces(job: Job) -> Failure | None:
    """Enter the child's user namespace, with all mounts locked from now on; wait for its ids."""
    linux.unshare(COMMAND_NAMESPACES)
    os.write(job.asks, job.number.to_bytes(NUMBER_SIZE, sys.byteorder))
    os.close(job.asks)
    answer = os.read(job.mapped, 256)
    os.close(job.mapped)
    if not answer:
        select.poll().poll()  # The spawner is dead, and the kernel is about to kill us too.
    if answer != MAPPED:
        step, number = answer.decode().split("\0")
        return Failure(step, int(number))
    linux.forbid_tracing()
    return None


# --- streams ----------------------------------------------------------------------------------------------------


def _prepare_streams(job: Job, control: Channel, null: int) -> Streams:
    """Return what the command gets as 0, 1, 2; terminals are made in the child's own /dev/pts."""
    program = job.program
    passed = job.descriptors
    socket = passed[-1:] if program.socket else ()
    if program.streams == INHERIT:
        return Streams((0, 1, 2, *socket))
    if program.streams == OUTPUT:
        return Streams((null, 1, 2, *socket))
    if program.streams == PIPES:
        return Streams((null, passed[0], passed[1], *socket))
    if program.streams == TERMINAL:
        master, slave = _open_terminal(program)
        control.send(("terminals",), (master,))
        os.close(master)
        os.setsid()
        fcntl.ioctl(slave, TIOCSCTTY, 0)
        errors = slave if os.isatty(2) else 2  # The caller may have sent them elsewhere: `vagga CMD 2> log`.
        return Streams((slave, slave, errors, *socket), terminal=slave)
    first, out = _open_terminal(program, processed=False)
    second, err = _open_terminal(program, processed=False)
    control.send(("terminals",), (first, second))
    os.close(first)
    os.close(second)
    return Streams((null, out, err, *socket))


def _prepare_readiness(job: Job, control: Channel, streams: Streams) -> tuple[Job, Streams]:
    """Make what the command says on that it is ready, and send our end of it up."""
    if not job.program.notify:
        read, write = os.pipe2(os.O_CLOEXEC)
        control.send(("ready",), (read,))
        ready = fcntl.fcntl(write, fcntl.F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR)
        os.close(read)
        os.close(write)
        return job, replace(streams, ready=ready)
    place = next(iter(_own_places(job)), OWN_PLACES[0])
    path = f"{place}/{NOTIFY_SOCKET}"
    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
    socket.bind(path)
    os.chmod(path, 0o666)  # the program may have any id; nobody else sees the directory
    control.send(("ready",), (socket.fileno(),))
    socket.close()
    return _with_variable(job, "NOTIFY_SOCKET", path), streams


def _prepare_output(job: Job, control: Channel) -> Job:
    """Make the file in which the command leaves values for others, and send it up.

    The descriptor is of the file that we make: whatever is put in its place later is never opened by anybody.
    """
    for place in _own_places(job):
        path = f"{place}/{OUTPUT_FILE}"
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC)
        except OSError:
            continue  # It is full, or read-only.
        os.fchmod(fd, 0o666)  # as with the socket
        control.send(("output",), (fd,))
        os.close(fd)
        return _with_variable(job, "VAGGA_OUTPUT", path)
    return job


def _own_places(job: Job) -> tuple[str, ...]:
    """Return where files can be made that no other child sees, and that are gone with this one."""
    own = [each.target for each in job.operations if isinstance(each, Memory)]
    return tuple(place for place in OWN_PLACES if place in own)


def _with_variable(job: Job, name: str, value: str) -> Job:
    return replace(job, program=replace(job.program, environ={**job.program.environ, name: value}))


def _open_terminal(program: Program, processed: bool = True) -> tuple[int, int]:
    """Return master and slave of a new terminal; not `processed`: line ends pass through as written."""
    master = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, TIOCSPTLCK, b"\0\0\0\0")
    slave = fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(slave, TIOCSWINSZ, window_size(program.rows, program.columns))
    if not processed:
        settings = bytearray(fcntl.ioctl(slave, TCGETS, bytes(60)))
        output = int.from_bytes(settings[4:8], sys.byteorder) & ~OPOST
        settings[4:8] = output.to_bytes(4, sys.byteorder)
        fcntl.ioctl(slave, TCSETS, bytes(settings))
    elif program.settings:
        fcntl.ioctl(slave, TCSETS, program.settings)
    if program.uid:
        os.fchown(slave, program.uid, -1)
    return master, slave


def window_size(rows: int, columns: int) -> bytes:
    """Return `struct winsize` of ioctl_tty(2)."""
    return rows.to_bytes(2, sys.byteorder) + columns.to_bytes(2, sys.byteorder) + bytes(4)


# --- afterwards -------------------------------------------------------------------------------------------------


class Probes:
    """The checks that run beside the command, in the same namespaces and with the same ids."""

    __slots__ = ("_control", "_fork", "_job", "_serial", "_waiting", "pids")

    def __init__(self, job: Job, control: Channel, fork: Callable[[int], int]) -> None:
        """Begin without any."""
        self._job = job
        self._control = control
        self._fork = fork
        self._serial = False
        self._waiting: list[tuple[Message, tuple[int, ...]]] = []
        self.pids: dict[int, int] = {}  # pid, which is that of its group -> number

    def run_one_by_one(self) -> None:
        """Let there be moments without any, in which somebody can see whether the command has left something."""
        self._serial = True

    def take(self, message: Message, descriptors: tuple[int, ...]) -> None:
        """Start a check, or keep it for later."""
        if self._serial and self.pids:
            self._waiting.append((message, descriptors))
            return
        _, number, words, environ, directory = message
        program = replace(self._job.program, words=words, environ=environ, directory=directory)
        out = descriptors[0] if descriptors else 0
        pid, failure = start(replace(self._job, program=program), Streams((0, out, out)), self._fork)
        for fd in descriptors:
            os.close(fd)
        if failure is None:
            self.pids[pid] = number
        else:
            self._control.send(("probed", number, -1, pack(failure)))

    def take_waiting(self) -> None:
        """Start what was kept."""
        while self._waiting and not self.pids:
            self.take(*self._waiting.pop(0))

    def ended(self, pid: int, status: int) -> None:
        """Tell of one that is reaped, and let it leave nothing behind."""
        _signal_group(pid, SIGKILL)
        self._control.send(("probed", self.pids.pop(pid), status, None))

    def kill(self, number: int = -1) -> None:
        """Kill a check with all that it has started, or every one; those that wait do not begin any more."""
        for kept in [kept for kept in self._waiting if number in (-1, kept[0][1])]:
            self._waiting.remove(kept)
            for fd in kept[1]:
                os.close(fd)
        for pid, own in self.pids.items():
            if number in (-1, own):
                _signal_group(pid, SIGKILL)


class Init:
    """The loop of PID 1: reap everybody, pass signals on, end with the command."""

    __slots__ = (
        "_asked",
        "_control",
        "_ended",
        "_leader",
        "_owns_terminal",
        "_probes",
        "_suspended",
        "_waits_for_all",
        "_wake",
    )

    def __init__(self, job: Job, control: Channel, wake: int, leader: int, owns_terminal: bool, probes: Probes) -> None:
        """Watch over `leader`, the command's process and the leader of its group; or over all that it leaves."""
        self._control = control
        self._wake = wake
        self._leader = leader
        self._asked = False  # somebody asked for the end
        self._ended = False  # the command's own process is gone
        self._owns_terminal = owns_terminal
        self._waits_for_all = job.program.first == WAIT_ALL
        self._suspended = False  # by the supervisor
        self._probes = probes

    def stay(self) -> None:
        """Return when this PID 1 may go; the kernel kills whatever is left in the namespace."""
        watch = select.poll()
        watch.register(self._control.fileno(), select.POLLIN)
        watch.register(self._wake, select.POLLIN)
        self._reap()
        while not self._over():
            for fd, _ in watch.poll(LINGER if self._ended and self._asked else None):
                if fd == self._wake:
                    drain(fd)
                elif not self._obey():
                    return
            self._reap()

    def _over(self) -> bool:
        """Return whether the command is over: at once by itself; with its whole group when it was asked to end.

        A shell that dies first of a TERM must not take the grace away from the server that it started; nor may one
        with job control, whose jobs are groups of their own, when its terminal was closed.
        """
        if not self._ended:
            return False
        if self._asked:
            self._probes.kill()
        if self._waits_for_all:
            over = not _somebody_but(self._probes.pids)
            if not over:
                self._probes.take_waiting()
            return over
        return not self._asked or not (_signal_everybody(0) if self._owns_terminal else _signal_group(self._leader, 0))

    def _obey(self) -> bool:
        """Do what the supervisor says; return False when it is gone."""
        received = self._control.receive()
        if received is None:
            return False
        match received[0]:
            case ("signal", number, asked):
                self._asked = self._asked or asked
                _signal_group(self._leader, number)
            case ("suspend",):
                self._suspended = True
                _signal_everybody(SIGSTOP)
            case ("probe", *_):
                self._probes.take(*received)
            case ("unprobe", number):
                self._probes.kill(number)
            case _:
                self._suspended = False
                _signal_everybody(SIGCONT)
        return True

    def _reap(self) -> None:
        """Reap everything that is dead, and tell the supervisor of the command itself."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid in self._probes.pids and not os.WIFSTOPPED(status):
                self._probes.ended(pid, status)
            elif pid != self._leader:
                continue
            elif os.WIFSTOPPED(status):
                if self._owns_terminal and not self._suspended:
                    self._control.send(("stopped",))
            else:
                self._ended = True
                self._probes.run_one_by_one()
                self._control.send(("status", status))


def drain(fd: int) -> None:
    """Empty a wake-up descriptor."""
    try:
        while os.read(fd, 512):
            pass
    except BlockingIOError:
        pass


def _signal_group(leader: int, number: int) -> bool:
    """Signal the command's process group; return False if it is empty."""
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _somebody_but(groups: Collection[int]) -> bool:
    """Return whether there is a process in the namespace beside this one and those of checks: the groups given.

    A check that takes its time must not hold up the end of what it looks at; one that left its group may.
    """
    if not _signal_everybody(0):
        return False
    if not groups:
        return True
    try:
        if os.readlink("/proc/self") != "1":
            return True  # the outer /proc: it does not show who is here
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        return any(os.getpgid(pid) not in groups for pid in pids if pid != 1)
    except OSError:
        return True  # One has just ended: who knows what it has left. Its own end, or its parent's, is heard next.


def _signal_everybody(number: int) -> bool:
    """Signal every process of the namespace but this one; return False if there is none."""
    try:
        os.kill(-1, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
