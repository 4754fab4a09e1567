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

from vaggapy.record import pack, records, unpack
from vaggapy.sandbox import channel, ids, init, linux, operations, perform, spec
from vaggapy.sandbox.channel import Channel
from vaggapy.sandbox.explain import refusal
from vaggapy.sandbox.spec import Failure, IdMaps, Launch, Sandbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
    from typing import NoReturn
else:
    import _signal

SPEC_CLASSES = records(vars(spec))
RUN_NAMESPACES = linux.CLONE_NEWUSER | linux.CLONE_NEWNS
CHILD_NAMESPACES = linux.CLONE_NEWNS | linux.CLONE_NEWPID
SIGKILL = 9
SIGCHLD = 17
FOR_THE_SUPERVISOR = (1, 2, 3, 15, 20, 21, 22)  # HUP INT QUIT TERM TSTP TTIN TTOU
COUNTED_SIGNALS = (*FOR_THE_SUPERVISOR, 18, 28)  # and CONT WINCH
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
INTERFACE_UP = 1
FACTS = (
    "/proc/sys/user/max_user_namespaces",
    "/proc/sys/user/max_mnt_namespaces",
    "/proc/sys/user/max_pid_namespaces",
    "/proc/sys/kernel/unprivileged_userns_clone",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
)


class Spawned:
    """Answers of the spawner to a request, as `Spawner.receive` returns them."""

    __slots__ = ("failure", "number", "pid", "pidfd")

    def __init__(self, number: int, pid: int, pidfd: int, failure: Failure | None) -> None:
        """Keep the answer; the caller owns `pidfd` (-1 when there is a failure)."""
        self.number = number
        self.pid = pid
        self.pidfd = pidfd
        self.failure = failure


class Spawner:
    """The supervisor's side of the spawner: one user namespace for the whole run."""

    __slots__ = ("_channel", "maps", "pid", "pidfd")

    def __init__(self, end: Channel, pid: int, pidfd: int, maps: IdMaps) -> None:
        """Take over a spawner that `start` made. `pidfd` is readable when it is gone."""
        self._channel = end
        self.pid = pid
        self.pidfd = pidfd
        self.maps = maps

    def fileno(self) -> int:
        """Return the descriptor that is readable when an answer is there."""
        return self._channel.fileno()

    def request(self, number: int, launch: Launch, descriptors: tuple[int, ...]) -> bool:
        """Ask for one child: control end first, then its streams, then its socket. False: the spawner is gone."""
        return self._channel.send((number, pack(launch)), descriptors)

    def receive(self) -> Spawned | None:
        """Return the next answer; None when the spawner is gone."""
        received = self._channel.receive()
        if received is None:
            return None
        (number, pid, failure), descriptors = received
        return Spawned(number, pid, descriptors[0] if descriptors else -1, unpack(failure, SPEC_CLASSES))

    def stop(self) -> None:
        """Let the spawner end, with everything below it, and wait until it is gone."""
        self._channel.close()
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass
        os.close(self.pidfd)


def start(uid: int, gid: int, user: str, isolate_network: bool = False) -> Spawner:
    """Fork the spawner into its user namespace and give it its ids.

    Raises:
        SandboxError: the kernel or the distribution does not allow it; says which setting and how to change it.
    """
    ours, theirs = channel.pair()
    me = os.getpid()
    supervisor = os.pidfd_open(me)
    flags = RUN_NAMESPACES | (linux.CLONE_NEWNET if isolate_network else 0)
    previous = _block_signals()
    try:
        pid = linux.clone(flags)
    except OSError as error:
        raise refusal(Failure("namespaces", error.errno or 0), facts()) from error
    finally:
        if os.getpid() == me:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, previous)
    if pid == 0:
        ours.close()
        _spawner_main(theirs, supervisor, isolate_network)
    theirs.close()
    os.close(supervisor)
    pidfd = os.pidfd_open(pid)
    spawner = Spawner(ours, pid, pidfd, spec.IdMaps((), ()))
    try:
        maps = ids.write_maps(pid, ids.wanted_maps(uid, gid, user), uid, gid)
    except ids.MapError as error:
        spawner.stop()
        raise refusal(Failure(error.step, error.errno), facts()) from error
    ours.send((pack(maps),))
    ready = ours.receive()
    if ready is None or ready[0][0] is not None:
        spawner.stop()
        failure = unpack(ready[0][0], SPEC_CLASSES) if ready else Failure("spawner", 0)
        raise refusal(failure, facts())
    spawner.maps = maps
    return spawner


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


def _block_signals() -> set[int]:
    """Block the signals that the loop counts over a fork; return the mask to restore.

    The child shares our wake-up descriptor until it drops it: a signal to the whole group would count twice.
    """
    return _signal.pthread_sigmask(_signal.SIG_BLOCK, COUNTED_SIGNALS)


def facts() -> dict[str, str]:
    """Return the kernel settings that explain a refusal; those that do not exist are left out."""
    found = {}
    for path in FACTS:
        try:
            with open(path, encoding="ascii") as file:
                found[path] = file.read().strip()
        except OSError:
            pass
    return found


# --- the spawner's own process ----------------------------------------------------------------------------------


def _die_with(parent: int) -> None:
    """Ask for SIGKILL when the parent (a pidfd of it) dies, and end now if it is dead already."""
    linux.set_parent_death_signal(SIGKILL)
    watch = select.poll()
    watch.register(parent, select.POLLIN)
    if watch.poll(0):
        os._exit(1)


def _spawner_main(end: Channel, supervisor: int, isolate_network: bool) -> NoReturn:
    """Be the spawner until the supervisor is gone."""
    try:
        _die_with(supervisor)
        os.setpgid(0, 0)
        _signal.set_wakeup_fd(-1)
        for number in FOR_THE_SUPERVISOR:
            _signal.signal(number, _signal.SIG_IGN)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
        linux.close_all_but((0, 1, 2, end.fileno()))
        received = end.receive()
        if received is not None:
            _serve(end, unpack(received[0][0], SPEC_CLASSES), isolate_network)
    finally:
        os._exit(0)


def _serve(end: Channel, maps: IdMaps, isolate_network: bool) -> None:
    """Answer requests and reap, until the supervisor closes its end."""
    try:
        linux.make_private("/")
        if isolate_network:
            _bring_loopback_up()
        forks = Forks(maps)
    except OSError as error:
        end.send((pack(Failure(error.strerror or "spawner", error.errno or 0)),))
        return
    end.send((None,))
    wake = init.wake_on_child_death()
    watch = select.poll()
    watch.register(end.fileno(), select.POLLIN)
    watch.register(wake, select.POLLIN)
    while True:
        for fd, _ in watch.poll():
            if fd == wake:
                init.drain(wake)
                _reap()
            elif not forks.answer(end):
                return


def _reap() -> None:
    """Reap every child that is dead. The supervisor holds pidfds, so no number is reused under it."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _bring_loopback_up() -> None:
    """Set the loopback interface of this network namespace up, netdevice(7)."""
    probe = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    request = b"lo".ljust(16, b"\0")
    flags = fcntl.ioctl(probe.fileno(), SIOCGIFFLAGS, request + bytes(24))[16:18]
    up = bytes([flags[0] | INTERFACE_UP, flags[1]])
    fcntl.ioctl(probe.fileno(), SIOCSIFFLAGS, request + up + bytes(22))
    probe.close()


class Forks:
    """The spawner's state: its own namespaces, one template for each distinct sandbox."""

    __slots__ = ("_directory", "_me", "_mounts", "_templates", "maps")

    def __init__(self, maps: IdMaps) -> None:
        """Open what every spawn needs."""
        self.maps = maps
        self._me = os.pidfd_open(os.getpid())
        self._mounts = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        self._directory = os.open(".", os.O_PATH | os.O_CLOEXEC)
        self._templates: list[tuple[Sandbox, int]] = []

    def answer(self, end: Channel) -> bool:
        """Take one request and answer it; return False when the supervisor is gone."""
        received = end.receive()
        if received is None:
            return False
        (number, packed), descriptors = received
        launch: Launch = unpack(packed, SPEC_CLASSES)
        try:
            pid = self._fork(launch, descriptors)
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

    def _fork(self, launch: Launch, descriptors: tuple[int, ...]) -> int:
        """Clone the PID 1 of a child into a copy of its template."""
        control, *others = descriptors
        job = init.Job(operations.private(launch.sandbox), launch.program, self.maps, control, tuple(others))
        linux.setns(self._template(launch.sandbox), linux.CLONE_NEWNS)
        try:
            pid = linux.clone(CHILD_NAMESPACES)
            if pid == 0:
                init.main(job, self._me, linux.clone)
        finally:
            self._return()
        return pid

    def _template(self, sandbox: Sandbox) -> int:
        """Return the mount namespace for a sandbox; build it when it is new."""
        for known, fd in self._templates:
            if known == sandbox:
                return fd
        linux.unshare(linux.CLONE_NEWNS)
        try:
            perform.build_template(operations.template(sandbox))
            fd = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            self._return()
        self._templates.append((sandbox, fd))
        return fd

    def _return(self) -> None:
        """Go back to the spawner's own mounts and directory."""
        linux.setns(self._mounts, linux.CLONE_NEWNS)
        os.fchdir(self._directory)
