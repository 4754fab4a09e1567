"""Fork: the spawner of a run, and through it every child. The only module that forks or clones.

The spawner is a small process, root of the run's user namespace. It keeps one template mount namespace for each
distinct sandbox, clones the PID 1 of each child into a copy of it, and reaps. It dies with the supervisor, and
every PID 1 dies with it, by PR_SET_PDEATHSIG: the kernel needs no help from us.

One thread, always. Between a clone and the loop or exec that follows: no logging, no import, no locks.
"""

from __future__ import annotations

import _socket
import fcntl
import os
import select
import sys

from vaggapy.errors import SandboxError
from vaggapy.record import pack, records, unpack
from vaggapy.sandbox import channel, command, ids, init, linux, operations, perform, spec
from vaggapy.sandbox.channel import Channel
from vaggapy.sandbox.operations import Operation
from vaggapy.sandbox.spec import Failure, IdMaps, Launch, Sandbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
    from typing import Any, NoReturn

    from vaggapy.sandbox.companion import Companion
else:
    import _signal

SPEC_CLASSES = records(vars(spec))
NO_IDS = IdMaps((), ())
RUN_NAMESPACES = linux.CLONE_NEWUSER | linux.CLONE_NEWNS
CHILD_NAMESPACES = linux.CLONE_NEWNS | linux.CLONE_NEWPID
SIGKILL = 9
SIGTSTP = 20
FOR_THE_SUPERVISOR = (1, 2, 3, 15, 20, 21, 22)  # HUP INT QUIT TERM TSTP TTIN TTOU
COUNTED_SIGNALS = (*FOR_THE_SUPERVISOR, 18, 28)  # and CONT WINCH
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
INTERFACE_UP = 1


class Spawned:
    """Answers of the spawner to a request, as `Spawner.receive` returns them."""

    __slots__ = ("failure", "number", "pid", "pidfd", "status")

    def __init__(self, number: int, pid: int, pidfd: int, failure: Failure | None, status: int = -1) -> None:
        """Keep the answer; the caller owns `pidfd` (-1 when there is a failure).

        `status`: the raw wait status of a program that was PID 1 itself (EXEC), in an answer of its own at its end.
        """
        self.number = number
        self.pid = pid
        self.pidfd = pidfd
        self.failure = failure
        self.status = status


class Spawner:
    """The supervisor's side of the spawner: one user namespace for the whole run.

    `start` gives one that is ready. For a quick start the parts are apart: `start_early` forks, and while the
    kernel and the spawner work, the caller finds out what is to be run; then `begin`, and later `ready`.
    """

    __slots__ = ("_channel", "_refused", "isolated", "maps", "pid", "pidfd")

    def __init__(self, end: Channel, pid: int, pidfd: int, maps: IdMaps, refused: SandboxError | None) -> None:
        """Take over a spawner that `start_early` made. `pidfd` is readable when it is gone."""
        self._channel = end
        self._refused = refused
        self.pid = pid
        self.pidfd = pidfd
        self.maps = maps
        self.isolated = False  # whether it has a network of its own

    def fileno(self) -> int:
        """Return the descriptor that is readable when an answer is there."""
        return self._channel.fileno()

    def begin(self, isolate_network: bool, sandbox: Sandbox | None) -> None:
        """Say what the run needs; the root of `sandbox` is made while the caller goes on."""
        self.isolated = isolate_network
        if self._refused is None:
            self._channel.send((isolate_network, pack(sandbox)))

    def ready(self) -> None:
        """Wait until the spawner has what `begin` asked for.

        Raises:
            SandboxError: the kernel or the distribution does not allow it; says which setting and how to change it.
        """
        if self._refused is not None:
            raise self._refused
        answer = self._channel.receive()
        failure = unpack(answer[0][0], SPEC_CLASSES) if answer is not None else Failure("spawner", 0)
        if failure is not None:
            raise _refusal(failure)

    def request(self, number: int, launch: Launch, descriptors: tuple[int, ...]) -> bool:
        """Ask for one child: control end first, then its streams, then its socket. False: the spawner is gone."""
        return self._channel.send((number, pack(launch)), descriptors)

    def receive(self) -> Spawned | None:
        """Return the next answer; None when the spawner is gone."""
        received = self._channel.receive()
        if received is None:
            return None
        (number, pid, failure, *status), descriptors = received
        pidfd = descriptors[0] if descriptors else -1
        return Spawned(number, pid, pidfd, unpack(failure, SPEC_CLASSES), *status)

    def stop(self) -> None:
        """Let the spawner end, with everything below it, and wait until it is gone. Once is enough."""
        self._channel.close()
        if self.pid > 0:
            pid, self.pid = self.pid, -1
            try:
                _signal.pidfd_send_signal(self.pidfd, SIGKILL)  # It has nothing to tidy up, and may be suspended.
                os.waitpid(pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
            os.close(self.pidfd)


def start(uid: int, gid: int, user: str, isolate_network: bool = False) -> Spawner:
    """Fork the spawner into its user namespace, give it its ids, and wait until it is ready.

    Raises:
        SandboxError: the kernel or the distribution does not allow it; says which setting and how to change it.
    """
    spawner = start_early(uid, gid, user)
    spawner.begin(isolate_network, None)
    try:
        spawner.ready()
    except SandboxError:
        spawner.stop()
        raise
    return spawner


def start_early(uid: int, gid: int, user: str) -> Spawner:
    """Fork the spawner into its user namespace and give it its ids. A refusal is raised later, by `ready`."""
    ours, theirs = channel.pair()
    me = os.getpid()
    supervisor = os.pidfd_open(me)
    previous = _block_signals()
    try:
        pid = linux.clone(RUN_NAMESPACES)
        if pid == 0:
            ours.close()
            _spawner_main(theirs, supervisor)
    except OSError as error:
        return Spawner(ours, -1, -1, NO_IDS, _refusal(Failure("namespaces", error.errno or 0)))
    finally:
        if os.getpid() == me:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, previous)
            theirs.close()
            os.close(supervisor)
    try:
        maps = ids.write_maps(pid, ids.wanted_maps(uid, gid, user), uid, gid)
    except ids.MapError as error:
        return Spawner(ours, pid, os.pidfd_open(pid), NO_IDS, _refusal(Failure(error.step, error.errno)))
    ours.send((pack(maps),))
    return Spawner(ours, pid, os.pidfd_open(pid), maps, None)


def call_in_child(function: Callable[[], bytes]) -> tuple[bytes, int]:
    """Call `function` in a forked process that dies with this one; return its bytes and its wait status.

    For work that needs heavy imports or meets hostile input: neither stays here. Ctrl+C ends it, as usual.
    """
    read, write = os.pipe2(os.O_CLOEXEC)
    supervisor = os.pidfd_open(os.getpid())
    previous = _block_signals()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _signal.set_wakeup_fd(-1)
            for number in FOR_THE_SUPERVISOR:
                if _signal.getsignal(number) != _signal.SIG_IGN:
                    _signal.signal(number, _signal.SIG_DFL)
            _signal.signal(SIGTSTP, _signal.SIG_IGN)  # The supervisor, which waits for us, stops when we are done.
            _signal.pthread_sigmask(_signal.SIG_SETMASK, previous)
            _die_with(supervisor)
            os.close(read)
            with open(write, "wb") as file:
                file.write(function())
            code = 0
        finally:
            os._exit(code)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, previous)
    os.close(write)
    os.close(supervisor)
    with open(read, "rb") as file:
        data = file.read()
    return data, os.waitpid(pid, 0)[1]


def start_companion(main: Callable[[Channel], None], enter: int | None = None) -> Companion:
    """Fork a process that works for this one through a channel, and dies with it; call `main` with its end there.

    It has a process group of its own, hears no signal that is meant for us, and keeps only 0 (/dev/null), 1, 2 and the
    channel. `enter`: a pid whose user namespace and network it joins. `main` may import what it needs. Raises OSError.
    """
    from vaggapy.sandbox.companion import Companion  # only runs with rules need it

    ours, theirs = channel.pair()
    supervisor = os.pidfd_open(os.getpid())
    previous = _block_signals()
    try:
        pid = os.fork()
        if pid == 0:
            try:
                _become_companion(theirs, supervisor, enter)
                main(theirs)
            finally:
                os._exit(0)
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, previous)
        theirs.close()
        os.close(supervisor)
    return Companion(ours, pid, os.pidfd_open(pid))


def _become_companion(end: Channel, supervisor: int, enter: int | None) -> None:
    """Let go, after a fork, of everything that is the supervisor's."""
    _leave_the_supervisor(supervisor)
    os.dup2(os.open("/dev/null", os.O_RDWR), 0)
    if enter is not None:
        spawner = os.pidfd_open(enter)
        linux.setns(spawner, linux.CLONE_NEWUSER)
        linux.setns(spawner, linux.CLONE_NEWNET)
    linux.close_all_but((0, 1, 2, end.fileno()))


def _block_signals() -> set[int]:
    """Block the signals that the loop counts over a fork; return the mask to restore.

    The child shares our wake-up descriptor until it drops it: a signal to the whole group would count twice.
    """
    return _signal.pthread_sigmask(_signal.SIG_BLOCK, COUNTED_SIGNALS)


def _refusal(failure: Failure) -> SandboxError:
    # Only where something fails.
    from vaggapy.sandbox.explain import refusal
    from vaggapy.sandbox.facts import facts

    return refusal(failure, facts())


# --- the spawner's own process ----------------------------------------------------------------------------------


def _die_with(parent: int) -> None:
    """Ask for SIGKILL when the parent (a pidfd of it) dies, and end now if it is dead already."""
    linux.set_parent_death_signal(SIGKILL)
    watch = select.poll()
    watch.register(parent, select.POLLIN)
    if watch.poll(0):
        os._exit(1)


def _leave_the_supervisor(supervisor: int) -> None:
    """Be a process that dies with the supervisor (a pidfd of it) but gets none of the signals that are meant for it."""
    _die_with(supervisor)
    os.setpgid(0, 0)
    _signal.set_wakeup_fd(-1)
    for number in FOR_THE_SUPERVISOR:
        _signal.signal(number, _signal.SIG_IGN)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def _spawner_main(end: Channel, supervisor: int) -> NoReturn:
    """Be the spawner until the supervisor is gone."""
    try:
        _leave_the_supervisor(supervisor)
        linux.close_all_but((0, 1, 2, end.fileno()))
        received = end.receive()
        if received is not None:
            _serve(end, unpack(received[0][0], SPEC_CLASSES))
    finally:
        os._exit(0)


def _serve(end: Channel, maps: IdMaps) -> None:
    """Prepare, then answer requests and reap, until the supervisor closes its end."""
    failure: Failure | None = None
    forks: Forks | None = None
    try:
        linux.make_private("/")
        forks = Forks(maps)
    except OSError as error:
        failure = Failure(error.strerror or "spawner", error.errno or 0)
    wanted = end.receive()
    if wanted is None:
        return
    isolate_network, sandbox = wanted[0][0], unpack(wanted[0][1], SPEC_CLASSES)
    try:
        if isolate_network:
            linux.unshare(linux.CLONE_NEWNET)
            _bring_loopback_up()
    except OSError as error:
        failure = failure or Failure("network", error.errno or 0)
    end.send((pack(failure),))
    if failure is not None or forks is None:
        return
    forks.prepare(sandbox)
    wake = init.wake_on_child_death()
    watch = select.poll()
    for fd in (end.fileno(), wake, forks.asked):
        watch.register(fd, select.POLLIN)
    while True:
        for fd, _ in watch.poll():
            if fd == wake:
                init.drain(wake)
                forks.reap(end)
            elif fd == forks.asked:
                forks.map_ids()
            elif not forks.answer(end):
                return


def _bring_loopback_up() -> None:
    """Set the loopback interface of this network namespace up, netdevice(7)."""
    probe = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    request = b"lo".ljust(16, b"\0")
    flags = fcntl.ioctl(probe.fileno(), SIOCGIFFLAGS, request + bytes(24))[16:18]
    up = bytes([flags[0] | INTERFACE_UP, flags[1]])
    fcntl.ioctl(probe.fileno(), SIOCSIFFLAGS, request + up + bytes(22))
    probe.close()


class Forks:
    """The spawner's state: its own namespaces, a template for each distinct sandbox, who waits for ids.

    `asked` is readable when a PID 1 has entered its namespaces and waits for the maps of its ids. Only this process
    may write them, and it must not wait: many children are on their way at once.
    """

    __slots__ = (
        "_ask",
        "_directory",
        "_first",
        "_ignored",
        "_me",
        "_mounts",
        "_nested",
        "_templates",
        "_waiting",
        "asked",
        "maps",
    )

    def __init__(self, maps: IdMaps) -> None:
        """Open what every spawn needs."""
        self.maps = maps
        self._nested = ids.nested_maps(maps)
        self._me = os.pidfd_open(os.getpid())
        self._mounts = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        self._directory = os.open(".", os.O_PATH | os.O_CLOEXEC)
        self._ignored = command.ignored_signals()
        self._templates: list[tuple[object, int, tuple[Operation, ...], bool]] = []
        self._waiting: dict[int, tuple[int, int, IdMaps]] = {}
        self._first: dict[int, int] = {}  # pid -> number of a program that is PID 1 itself
        self.asked, self._ask = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def prepare(self, sandbox: Sandbox | None) -> None:
        """Make the root of a sandbox before anybody asks; what fails now will fail again then, and be told."""
        if sandbox is not None:
            try:
                self._template(pack(sandbox))
            except (perform.StepError, OSError):
                pass

    def answer(self, end: Channel) -> bool:
        """Take one request and answer it; return False when the supervisor is gone."""
        received = end.receive()
        if received is None:
            return False
        (number, packed), descriptors = received
        try:
            pid = self._fork(number, packed, descriptors)
            pidfd = os.pidfd_open(pid)
            end.send((number, pid, None), (pidfd,))
            os.close(pidfd)
        except perform.StepError as error:
            end.send((number, 0, pack(error.failure)))
        except OSError as error:
            end.send((number, 0, pack(Failure(error.strerror or "spawn", error.errno or 0))))
        for fd in descriptors:
            os.close(fd)
        return True

    def map_ids(self) -> None:
        """Map the ids of every child that asked for it, and let it go on."""
        for number in self._numbers():
            pid, go, maps = self._waiting.pop(number, (0, -1, NO_IDS))
            if pid:
                try:
                    ids.write_directly(ids.number_in_proc(pid), maps)
                    told = init.MAPPED
                except ids.MapError as error:
                    told = f"{error.step}\0{error.errno}".encode()
                self._tell(go, told)

    def reap(self, end: Channel) -> None:
        """Reap every child that is dead. The supervisor holds pidfds, so no number is reused under it."""
        dead = set()
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                dead.add(pid)
                if pid in self._first:
                    end.send((self._first.pop(pid), 0, None, status))
        except ChildProcessError:
            pass
        for number, (pid, go, _) in tuple(self._waiting.items()):
            if pid in dead:
                del self._waiting[number]
                os.close(go)

    def _numbers(self) -> tuple[int, ...]:
        """Return the numbers of the requests whose PID 1 waits for ids."""
        size = init.NUMBER_SIZE
        try:
            data = os.read(self.asked, 512 * size)
        except BlockingIOError:
            return ()
        return tuple(int.from_bytes(data[at : at + size], sys.byteorder) for at in range(0, len(data), size))

    def _tell(self, go: int, told: bytes) -> None:
        try:
            os.write(go, told)
        except BrokenPipeError:
            pass  # It has just died.
        os.close(go)

    def _fork(self, number: int, packed: list[Any], descriptors: tuple[int, ...]) -> int:
        """Clone the PID 1 of a child, whose packed `Launch` this is, into a copy of its template."""
        _, packed_sandbox, packed_program = packed
        template, private, is_single_use = self._template(packed_sandbox)
        control, *others = descriptors
        mapped, go = os.pipe2(os.O_CLOEXEC)
        program = unpack(packed_program, SPEC_CLASSES)
        job = init.Job(number, private, program, self.maps, control, self._ask, mapped, self._ignored, tuple(others))
        try:
            linux.setns(template, linux.CLONE_NEWNS)
            try:
                pid = linux.clone(CHILD_NAMESPACES)
                if pid == 0:
                    init.main(job, self._me, linux.clone)
            finally:
                self._return()
        except OSError:
            os.close(go)
            raise
        finally:
            os.close(mapped)
            if is_single_use:
                self._templates = [each for each in self._templates if each[1] != template]
                os.close(template)
        self._waiting[number] = (pid, go, ids.only_user(self._nested, program.uid, program.external_uid))
        if program.first == spec.EXEC:
            self._first[pid] = number
        return pid

    def _template(self, packed: object) -> tuple[int, tuple[Operation, ...], bool]:
        """Return the mount namespace for a packed sandbox, what is private in it, and whether it serves only once.

        It is built when it is new.
        """
        for known, fd, private, is_single_use in self._templates:
            if known == packed:
                return fd, private, is_single_use
        sandbox: Sandbox = unpack(packed, SPEC_CLASSES)
        linux.unshare(linux.CLONE_NEWNS)
        try:
            perform.build_template(operations.template(sandbox))
            fd = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            self._return()
        private = operations.private(sandbox)
        is_single_use = operations.is_single_use(sandbox)
        self._templates.append((packed, fd, private, is_single_use))
        return fd, private, is_single_use

    def _return(self) -> None:
        """Go back to the spawner's own mounts and directory."""
        linux.setns(self._mounts, linux.CLONE_NEWNS)
        os.fchdir(self._directory)
