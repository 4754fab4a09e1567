"""The children of a stage: every run of one from the request to its end, and the small translations around it."""

from __future__ import annotations

import os

from vaggapy.errors import ExitCode, VaggaError
from vaggapy.record import replace, unpack
from vaggapy.sandbox import channel
from vaggapy.sandbox.run import SPEC_CLASSES
from vaggapy.sandbox.spec import EXEC, PIPES, TERMINAL, TERMINALS, Failure
from vaggapy.supervise import events
from vaggapy.supervise.watches import ENDED, IN, TOLD

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Mapping

    from vaggapy.config.rules import Rules
    from vaggapy.sandbox.channel import Channel, Message
    from vaggapy.sandbox.run import Spawned, Spawner
    from vaggapy.sandbox.spec import Launch, Program
    from vaggapy.supervise.events import Event, Spawn
    from vaggapy.supervise.stage import ChildPlan, Stage
    from vaggapy.supervise.traffic import Traffic
    from vaggapy.supervise.watches import Watches
else:
    import _signal

MOST_REQUESTS = 8  # spawns asked for and not answered: more could fill both directions of the channel
LARGEST_NOTICE = 64 * 1024
LAST_NOTICES = 1024  # reads for the rest of them: as many as a socket keeps
EMFILE = 24
READY = b"READY=1"
SIGKILL = 9


class Live:
    """One run of a child, from its `Spawn` to its end. It owns its descriptors.

    `number` is that of the request, 0 before. `status`: raw wait status of its command, -1 while unknown; one that
    ends without was killed with its PID 1. `doomed`: it is to be killed as soon as it is there. `early`: what it said
    of itself before it is known to run. `output`: the file in which it leaves values for others, or -1.
    """

    __slots__ = (
        "control",
        "doomed",
        "early",
        "failure",
        "number",
        "output",
        "pid",
        "pidfd",
        "program",
        "ready",
        "running",
        "said",
        "spawn",
        "status",
    )

    def __init__(self, spawn: Spawn, program: Program) -> None:
        """Note what was asked for."""
        self.spawn = spawn
        self.program = program
        self.number = 0
        self.pid = 0
        self.pidfd = -1
        self.control: Channel | None = None
        self.ready = -1
        self.output = -1
        self.running = False
        self.doomed = False
        self.status = -1
        self.failure: Failure | None = None
        self.early: list[tuple[type[events.Became | events.Matched], str]] = []
        self.said: set[tuple[type[events.Became | events.Matched], str]] = set()

    @property
    def name(self) -> str:
        """Return the name of the child."""
        return self.spawn.name

    @property
    def incarnation(self) -> int:
        """Return which run of the child it is."""
        return self.spawn.incarnation

    @property
    def is_first(self) -> bool:
        """Tell whether the program is PID 1 itself, so that nobody else is there to be spoken to."""
        return self.program.first == EXEC

    def tell(self, message: channel.Message, descriptors: tuple[int, ...] = ()) -> bool:
        """Tell its PID 1; return False if that is gone, or takes nothing: it is not waited for, and can be killed."""
        try:
            return self.control is not None and self.control.send(message, descriptors)
        except OSError:
            return False


class Roster:
    """Who is there: asks the spawner for runs, listens to them, and tells of each that it began and ended.

    A child has at most one run at a time, and what is said of an earlier one is never taken for the present one: each
    has descriptors of its own.
    """

    def __init__(
        self,
        stage: Stage,
        spawner: Spawner,
        sockets: Mapping[str, int],
        watches: Watches,
        traffic: Traffic,
        now: Callable[[], float],
        feed: Callable[[Event], None],
        fit: Callable[[ChildPlan, Spawn], Launch],
        hear: Callable[[Live, Message, tuple[int, ...]], None],
        begun: Callable[[Live], None],
    ) -> None:
        """Prepare.

        Args:
            stage: what to run.
            spawner: who makes the children; it stays the caller's.
            sockets: listening descriptors by child; they stay the caller's, and every run of a child gets its own.
            watches: of the loop.
            traffic: takes the output.
            now: gives the time of the loop in seconds.
            feed: gets every event.
            fit: says what to launch, or raises a VaggaError that says why it cannot be.
            hear: gets the messages that are not about beginning and end, with the descriptors, which it then owns; and
                ("ended",) when a run is over.
            begun: is called before a `Started` is fed.
        """
        self._spawner = spawner
        self._sockets = sockets
        self._watches = watches
        self._traffic = traffic
        self._now = now
        self._feed = feed
        self._fit = fit
        self._hear = hear
        self._begun = begun
        self._pipes = stage.streams == PIPES
        self._plans = {child.name: child for child in stage.children}
        self._requests: list[tuple[Live, Launch]] = []
        self._refused: list[tuple[Live, Failure | VaggaError]] = []
        self._asked = 0
        self._number = 0
        self._lost = False
        self._names: dict[str, Live] = {}
        self.live: dict[int, Live] = {}
        """By number: those that were asked for and are not over."""

    def watch(self) -> None:
        """Wait for what the spawner says."""
        self._watches.add(self._spawner.fileno(), TOLD, IN, lambda _: self._take_answer())
        self._watches.add(self._spawner.pidfd, ENDED, IN, lambda _: self._lose_spawner())

    # --- what the policy asks for -----------------------------------------------------------------------------

    def spawn(self, spawn: Spawn) -> None:
        """Start a run of a child, when it is its turn."""
        plan = self._plans[spawn.name]
        refusal = None
        try:
            launch = self._fit(plan, spawn)
        except VaggaError as error:
            launch, refusal = plan.launch, error
        live = Live(spawn, launch.program)
        self._names[spawn.name] = live
        if refusal is not None:
            self._number_it(live)
            self._refused.append((live, refusal))
            return
        self._requests.append((live, launch))
        self._ask_for_spawns()

    def running(self, name: str) -> Live | None:
        """Return the present run of a child, if its program runs."""
        live = self._names.get(name)
        return live if live is not None and live.running and live.number in self.live else None

    def say(self, name: str, message: channel.Message, number: int) -> None:
        """Tell the PID 1 of a child; a program that is PID 1 itself gets the signal `number`."""
        live = self._names.get(name)
        if live is None:
            return
        if live.is_first and live.running and live.pidfd >= 0:
            try:
                _signal.pidfd_send_signal(live.pidfd, number)
            except ProcessLookupError:
                pass  # It has just died by itself.
        else:
            live.tell(message)

    def kill(self, name: str) -> None:
        """Kill a child, or note that it is to be killed as soon as the spawner has it."""
        if name in self._names:
            self._names[name].doomed = True
            self._kill(self._names[name])

    def say_to_starting(self, message: channel.Message) -> None:
        """Tell every PID 1 whose program does not run yet."""
        for live in self.live.values():
            if not live.running:
                live.tell(message)

    def found(self, number: int, text: str) -> None:
        """Take that a run has printed `text`."""
        self._say_of_itself(self.live[number], events.Matched, text)

    # --- beginning --------------------------------------------------------------------------------------------

    def _ask_for_spawns(self) -> None:
        """Ask the spawner for what waits, a few at a time."""
        while self._requests and self._asked < MOST_REQUESTS:
            live, launch = self._requests.pop(0)
            self._number_it(live)
            self._asked += 1
            try:
                self._request(live, launch)
            except OSError as error:
                self._asked -= 1
                self._refused.append((live, Failure("spawner" if self._lost else "descriptors", error.errno or 0)))

    def _number_it(self, live: Live) -> None:
        """Begin to count a run among those that are not over."""
        self._number += 1
        live.number = self._number
        self.live[live.number] = live

    def deadlines(self) -> tuple[float, ...]:
        """Return when something is to be told: now, if a request could not even be sent."""
        return (self._now(),) if self._refused else ()

    def tell_refused(self) -> None:
        """Tell what could not be asked for. Not at once: who starts it again at once would never hear a signal."""
        refused, self._refused = self._refused, []
        for live, failure in refused:
            if live.number in self.live:
                self._fail(live, failure)

    def _request(self, live: Live, launch: Launch) -> None:
        """Send the request for one child with its descriptors."""
        live.control, theirs = channel.pair()
        os.set_blocking(live.control.fileno(), False)
        passed = [theirs.fileno()]
        ends: list[int] = []
        try:
            if self._pipes:
                for outlet in (self._traffic.out, self._traffic.err):
                    read, write = os.pipe2(os.O_CLOEXEC)
                    ends.append(write)
                    self._traffic.add(live.number, live.name, read, outlet)
            passed += ends
            if launch.program.socket:
                passed.append(self._sockets[live.name])
            asked = self._spawner.request(live.number, launch, tuple(passed))
        finally:
            theirs.close()
            for fd in ends:
                os.close(fd)
        if not asked and self._lost:
            raise OSError  # Nobody will answer any more.

    def _take_answer(self) -> None:
        """Take an answer of the spawner: a pid and its pidfd, or why there is none."""
        answer = self._spawner.receive()
        if answer is None:
            self._lose_spawner()
        else:
            self._use_answer(answer)

    def _use_answer(self, answer: Spawned) -> None:
        """Watch a child that is there now, or give up one that could not be made."""
        live = self.live[answer.number]
        if answer.status >= 0:
            live.status = answer.status
            return
        self._asked -= 1
        if answer.failure is not None:
            self._fail(live, answer.failure)
        elif answer.pidfd < 0:
            os.kill(answer.pid, SIGKILL)  # There was no room for its descriptor, so its end could not be seen.
            self._fail(live, Failure("descriptors", EMFILE))
        else:
            live.pid, live.pidfd = answer.pid, answer.pidfd
            self._watches.add(live.pidfd, ENDED, IN, lambda _: self._end(live))
            if live.control is not None:
                self._watches.add(live.control.fileno(), TOLD, IN, lambda _: self._listen(live))
            if live.doomed:
                self._kill(live)
        self._ask_for_spawns()

    def _begin(self, live: Live) -> None:
        """Tell the policy once that a child runs, and then what it has said of itself."""
        if live.running:
            return
        live.running = True
        self._begun(live)
        self._feed(events.Started(self._now(), live.name, live.incarnation, live.pid))
        for kind, what in live.early:
            self._feed(kind(self._now(), live.name, live.incarnation, what))

    # --- while it runs ----------------------------------------------------------------------------------------

    def _listen(self, live: Live) -> bool:
        """Take one message of a PID 1; return False when there will be no more."""
        try:
            received = live.control.receive() if live.control is not None else None
        except BlockingIOError:
            return False
        if received is None:
            if live.control is not None:
                self._watches.remove(live.control.fileno())
                if live.is_first and live.failure is None:
                    self._begin(live)  # Its end of the channel has closed by becoming the program.
            return False
        self._take(live, *received)
        return True

    def _take(self, live: Live, message: Message, descriptors: tuple[int, ...]) -> None:
        """Take what a PID 1 says."""
        match message, descriptors:
            case (("running",), _):
                self._begin(live)
            case (("status", status), _):
                live.status = status
            case (("failed", failure), _):
                live.failure = unpack(failure, SPEC_CLASSES)
            case (("ready" | "output",), ()):
                self._lack_room(live, ())
            case (("ready",), (fd,)):
                os.set_blocking(fd, False)
                live.ready = fd
                self._watches.add(fd, TOLD, IN, lambda _: self._take_readiness(live))
            case (("output",), (fd,)):
                live.output = fd
            case (("terminals",), _) if len(descriptors) <= (live.program.streams == TERMINALS):
                self._lack_room(live, descriptors)
            case _:
                self._hear(live, message, descriptors)

    def _lack_room(self, live: Live, descriptors: tuple[int, ...]) -> None:
        """End a child of which not all descriptors have arrived: we have as many as we may have."""
        for fd in descriptors:
            os.close(fd)
        live.failure = Failure("descriptors", EMFILE)
        self._kill(live)

    def _take_readiness(self, live: Live) -> bool:
        """Take what a program says of itself; return False when there is no more for now, or for good.

        With sd_notify(3) it goes on to speak, and would wait if nobody took it. A newline (s6) is the last word.
        """
        if live.ready < 0:
            return False
        try:
            data = os.read(live.ready, LARGEST_NOTICE)
        except BlockingIOError:
            return False
        if live.program.notify:
            if READY in data.split(b"\n"):
                self._say_of_itself(live, events.Became, events.READY)
            return True
        if b"\n" in data:
            self._say_of_itself(live, events.Became, events.READY)
        if b"\n" in data or not data:
            self._close_readiness(live)
        return live.ready >= 0

    def _close_readiness(self, live: Live) -> None:
        if live.ready >= 0:
            self._watches.remove(live.ready)
            os.close(live.ready)
            live.ready = -1

    def _say_of_itself(self, live: Live, kind: type[events.Became | events.Matched], what: str) -> None:
        """Tell the policy once what a child has said, but not before it is told that it runs."""
        if (kind, what) in live.said:
            return
        live.said.add((kind, what))
        if live.running:
            self._feed(kind(self._now(), live.name, live.incarnation, what))
        else:
            live.early.append((kind, what))

    # --- the end ----------------------------------------------------------------------------------------------

    def _end(self, live: Live) -> None:
        """The namespace of a child is empty: take its last words, all its output, and tell the policy."""
        while self._listen(live):
            pass
        if live.is_first and live.failure is None:
            while live.status < 0 and (answer := self._spawner.receive()) is not None:
                self._use_answer(answer)
        for _ in range(LAST_NOTICES):
            if not self._take_readiness(live):
                break
        self._traffic.finish(live.number)
        if live.output >= 0 and live.status == 0:
            self._hear(live, ("output",), (live.output,))
            live.output = -1
        failure = live.failure
        if failure is not None and not live.running:
            self._fail(live, failure)
            return
        self._release(live)
        self._begin(live)
        code, number, core = exit_of(live.status)
        self._feed(events.Exited(self._now(), live.name, live.incarnation, code, number, core))
        self._hear(live, ("ended",), ())

    def _fail(self, live: Live, failure: Failure | VaggaError) -> None:
        """Tell the policy that a child could not be started."""
        self._release(live)
        error: VaggaError
        if isinstance(failure, Failure):
            from vaggapy.supervise.refusals import why_not_started  # only where something fails

            error = why_not_started(failure, self._plans[live.name].launch)
        else:
            error = failure
        self._feed(events.SpawnFailed(self._now(), live.name, live.incarnation, error.code, str(error)))

    def _release(self, live: Live) -> None:
        """Let go of everything that a child had."""
        del self.live[live.number]
        self._traffic.close(live.number)
        self._close_readiness(live)
        if live.output >= 0:
            os.close(live.output)
            live.output = -1
        if live.control is not None:
            self._watches.remove(live.control.fileno())
            live.control.close()
            live.control = None
        if live.pidfd >= 0:
            self._watches.remove(live.pidfd)
            os.close(live.pidfd)
            live.pidfd = -1

    def _kill(self, live: Live) -> None:
        if live.pidfd >= 0:
            try:
                _signal.pidfd_send_signal(live.pidfd, SIGKILL)
            except ProcessLookupError:
                pass  # It has just died by itself.

    def _lose_spawner(self) -> None:
        """The spawner is dead, and the kernel kills every child; those that were only asked for will never be."""
        self._lost = True
        self._watches.remove(self._spawner.fileno())
        self._watches.remove(self._spawner.pidfd)
        while (answer := self._spawner.receive()) is not None:
            self._use_answer(answer)
        for live in tuple(self.live.values()):
            if live.pidfd >= 0:
                self._begin(live)  # Whether its program runs or not: it is there, so its end is waited for.
        self._feed(events.SpawnerLost(self._now()))
        requests, self._requests = self._requests, []
        waiting = [live for live in self.live.values() if live.pidfd < 0]
        for live in waiting:
            self._fail(live, Failure("spawner", 0))
        for live, _ in requests:
            why = "the spawner is gone"
            self._feed(events.SpawnFailed(self._now(), live.name, live.incarnation, ExitCode.SANDBOX, why))


def exit_of(status: int) -> tuple[int, int, bool]:
    """Return (exit code, signal, whether a core was dumped) of a raw wait status; none at all means SIGKILL."""
    if status < 0:
        return 0, SIGKILL, False
    if os.WIFSIGNALED(status):
        return 0, os.WTERMSIG(status), os.WCOREDUMP(status)
    return os.WEXITSTATUS(status), 0, False


def launch_of(
    plan: ChildPlan, spawn: Spawn, rules: Rules | None, columns: int, streams: str, settings: bytes
) -> Launch:
    """Return what to launch, with the width and the settings of its terminals, and what is particular to this run."""
    launch = plan.launch
    if streams == TERMINALS:
        launch = replace(launch, program=replace(launch.program, columns=columns))
    elif streams == TERMINAL:
        launch = replace(launch, program=replace(launch.program, settings=settings))
    if spawn.environ:
        environ = {**launch.program.environ, **dict(spawn.environ)}
        launch = replace(launch, program=replace(launch.program, environ=environ))
    condition = rules.children[spawn.name].condition if rules is not None and spawn.condition else None
    if condition is not None:
        program = replace(launch.program, words=condition.words, socket=False, notify=False, ready_fd=-1, output=False)
        launch = replace(launch, program=program)
    return launch
