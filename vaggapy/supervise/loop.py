"""The loop of the supervisor: descriptors and deadlines become events, actions become calls.

It decides nothing: what an event means is the policy's business. One thread, one epoll; signals arrive through a
wake-up descriptor, the ends of children through pidfds. Within one turn signals come first, then what the
spawner and the children say, then exits, then output, then timers.

A child has ended when the kernel says that its namespace is empty, not when its pipes close.
"""

from __future__ import annotations

import os
import time

from vaggapy.errors import ExitCode
from vaggapy.sandbox import channel
from vaggapy.sandbox.run import Spawned, Spawner
from vaggapy.sandbox.spec import EXEC, PIPES, TERMINAL, TERMINALS, Failure
from vaggapy.supervise import events, policy
from vaggapy.supervise.children import Live, exit_of, launch_of, why_not_started
from vaggapy.supervise.events import (
    CancelTimer,
    Finish,
    Kill,
    Report,
    Resume,
    SetTimer,
    Signal,
    Spawn,
    Suspend,
    SuspendSelf,
)
from vaggapy.supervise.lines import prefixes
from vaggapy.supervise.messages import DISK_FULL, OUTER_PROC, banner_text
from vaggapy.supervise.output import Outlet
from vaggapy.supervise.relay import Relay
from vaggapy.supervise.signals import WINCH, Signals
from vaggapy.supervise.terminal import Terminal, set_size, size
from vaggapy.supervise.traffic import Traffic
from vaggapy.supervise.watches import BYTES, ENDED, FIRST, IN, TOLD, Watches

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Mapping

    from vaggapy.supervise.events import Action, Event, Told
    from vaggapy.supervise.stage import Stage
else:
    import _signal

KEYS_DELAY = 0.01  # seconds until the child is offered again the keys that it did not take
MOST_REQUESTS = 8  # spawns asked for and not answered: more could fill both directions of the channel
NARROWEST = 20  # columns of a terminal beside a long prefix
SIGKILL, SIGSTOP = 9, 19

BANNER = "banner "


class Loop:
    """One stage of a run, from its first spawn to its exit code."""

    def __init__(
        self,
        stage: Stage,
        spawner: Spawner,
        signals: Signals,
        outlets: tuple[Outlet, Outlet],
        sockets: Mapping[str, int],
        tell: Callable[[Told], str],
        colour: bool,
    ) -> None:
        """Prepare.

        Args:
            stage: what to run.
            spawner: of the whole run; it outlives the stage.
            signals: of this process.
            outlets: standard output and standard error.
            sockets: listening descriptors by child, for `pass-tcp-socket`; they stay the caller's.
            tell: gets every report, returns the text for people, or "".
            colour: whether prefixes are coloured.
        """
        self._stage = stage
        self._spawner = spawner
        self._signals = signals
        self._sockets = sockets
        self._tell = tell
        self._plans = {child.name: child for child in stage.children}
        prefixed = self._plans if stage.streams in (PIPES, TERMINALS) and stage.prefixed else ()
        self._prefixes = prefixes(prefixed, colour)
        self._prefix_width = max((len(each) for each in prefixes(prefixed, colour=False).values()), default=0)
        self._state = policy.initial(stage.mode, tuple(self._plans), float(stage.grace))
        self._live: dict[int, Live] = {}
        self._names: dict[str, Live] = {}
        self._doomed: set[str] = set()
        self._requests: list[Spawn] = []
        self._asked = 0
        self._number = 0
        self._timers: dict[str, float] = {}
        self._suspended = 0.0
        self._told_closed = False
        self._told_lost = False
        self._warned = False
        self._relay: Relay | None = None
        self._terminal = Terminal() if stage.streams == TERMINAL else None
        self._watches = Watches()
        self._traffic = Traffic(self._watches, outlets, self._now)
        self._code = -1

    def run(self) -> int:
        """Run to the end and return the exit code. The terminal is restored, whatever happens."""
        try:
            self._watches.add(self._signals.fileno(), FIRST, IN, lambda _: self._take_signals())
            self._watches.add(self._spawner.fileno(), TOLD, IN, lambda _: self._take_answer())
            self._watches.add(self._spawner.pidfd, ENDED, IN, lambda _: self._lose_spawner())
            self._watch_outlets()
            if self._terminal is not None:
                self._terminal.make_raw()
            self._take_signals()
            self._plan_banners("")
            self._feed(events.Begin(self._now()))
            while self._code < 0:
                self._turn()
            return self._code
        finally:
            if self._terminal is not None:
                self._terminal.restore()
            self._watches.close()

    # --- turns ------------------------------------------------------------------------------------------------

    def _now(self) -> float:
        """Return seconds on a clock that stands still while we are suspended."""
        return time.monotonic() - self._suspended

    def _turn(self) -> None:
        deadlines = (*self._timers.values(), *self._traffic.deadlines())
        timeout = max(0.0, min(deadlines) - self._now()) if deadlines else -1
        self._watches.wait(timeout)
        self._fire_timers()
        self._watch_outlets()

    def _fire_timers(self) -> None:
        self._traffic.flush_due()
        now = self._now()
        for name in [name for name, at in self._timers.items() if at <= now]:
            if self._timers.pop(name, None) is not None:
                if name.startswith(BANNER):
                    self._message(banner_text(self._stage.banners[int(name.removeprefix(BANNER))]))
                else:
                    self._feed(events.TimerFired(now, name))

    def _plan_banners(self, child: str) -> None:
        """Show the banners of a child, or of the stage, when it is time."""
        for number, banner in enumerate(self._stage.banners):
            if banner.child == child:
                self._timers[f"{BANNER}{number}"] = self._now() + banner.delay

    def _feed(self, event: Event) -> None:
        """Ask the policy and do what it says."""
        self._state, actions = policy.step(self._state, event)
        for action in actions:
            self._do(action)

    def _do(self, action: Action) -> None:
        match action:
            case Spawn():
                self._requests.append(action)
                self._ask_for_spawns()
            case Signal(name, number):
                self._say(name, ("signal", number, True), number)
            case Kill(name):
                self._kill(name)
            case Suspend(name):
                self._say(name, ("suspend",), SIGSTOP)
            case Resume(name):
                self._say(name, ("resume",), events.CONT)
            case SuspendSelf():
                self._suspend()
            case SetTimer(name, at):
                self._timers[name] = at
            case CancelTimer(name):
                self._timers.pop(name, None)
            case Report(record):
                self._message(self._tell(record))
            case Finish(code):
                self._code = code

    # --- descriptors ------------------------------------------------------------------------------------------

    def _watch_outlets(self) -> None:
        """Look after the outlets, and tell once when one of them is gone or full."""
        self._traffic.watch_outlets()
        out = self._traffic.out
        if out.closed and not self._told_closed:
            self._told_closed = True
            number = events.HUP if out.is_terminal else events.PIPE
            if number != events.HUP or self._signals.obeys_hangup:
                self._feed(events.Signalled(self._now(), number))
        if out.lost and not self._told_lost:
            self._told_lost = True
            self._message(DISK_FULL)
        self._watch_keys()

    def _watch_keys(self) -> None:
        relay = self._relay
        if relay is None:
            return
        if relay.master not in self._traffic.all():
            self._watches.remove(relay.terminal.fd)
            self._relay = None
            return
        if relay.waits:
            relay.pass_on()
            if relay.waits:
                self._timers.setdefault("keys", self._now() + KEYS_DELAY)
        if relay.mask != relay.watched:
            relay.watched = relay.mask
            self._watches.remove(relay.terminal.fd)
            if relay.mask:
                self._watches.add(relay.terminal.fd, BYTES, relay.mask, lambda _: self._take_keys())

    def _take_signals(self) -> None:
        for number in self._signals.read():
            if number == WINCH:
                self._resize()
            else:
                if number == events.CONT:
                    self._come_back()
                self._feed(events.Signalled(self._now(), number))

    def _take_keys(self) -> None:
        if self._relay is None or self._terminal is None:
            return
        if not self._terminal.is_raw:
            self._come_back()
            return
        for number in self._relay.take_keys(stopping=self._state.stop is not None):
            self._feed(events.Signalled(self._now(), number))

    def _resize(self) -> None:
        if self._relay is not None:
            self._relay.resize()
        elif self._stage.streams == TERMINALS:
            rows, columns = size(1)
            for live in self._live.values():
                for fd in self._traffic.of(live.number):
                    set_size(fd, rows, self._inner_columns(columns))
                # These terminals control no session, so the kernel tells nobody.
                self._say(live.name, ("signal", WINCH, False), WINCH)

    def _inner_columns(self, columns: int) -> int:
        """Return the columns that are left beside the prefix."""
        return max(NARROWEST, columns - self._prefix_width)

    def _suspend(self) -> None:
        """Stop this process, as the user asked; timers do not run meanwhile.

        Where nobody could continue it (no shell started it), the kernel does not stop it, and all goes on.
        """
        if self._terminal is not None:
            self._terminal.restore()
        # The policy speaks to those that run; the others must not begin to while nobody looks.
        starting = [live.control for live in self._live.values() if live.control is not None and not live.running]
        for control in starting:
            control.send(("suspend",))
        before = time.monotonic()
        self._signals.stop_here()
        self._suspended += time.monotonic() - before
        for control in starting:
            control.send(("resume",))
        self._come_back()
        self._feed(events.Signalled(self._now(), events.CONT))

    def _stop_job(self) -> None:
        """Stop ourselves and whoever waits for us, as Ctrl+Z on the caller's terminal does.

        The terminal is given back first: once another one of the job has stopped, the shell takes it.
        """
        if self._terminal is not None:
            self._terminal.restore()
        os.kill(0, events.TSTP)

    def _come_back(self) -> None:
        """Take the terminal again after a suspension, with the size that it has now."""
        if self._terminal is not None:
            self._terminal.make_raw()
        self._resize()

    # --- children ---------------------------------------------------------------------------------------------

    def _ask_for_spawns(self) -> None:
        """Ask the spawner for what waits, a few at a time."""
        while self._requests and self._asked < MOST_REQUESTS:
            wanted = self._requests.pop(0)
            self._number += 1
            live = Live(self._number, wanted.name, wanted.incarnation)
            self._live[live.number] = live
            self._names[live.name] = live
            self._asked += 1
            try:
                self._request(live)
            except OSError as error:
                self._asked -= 1
                self._fail(live, Failure("descriptors", error.errno or 0))

    def _request(self, live: Live) -> None:
        """Send the request for one child with its descriptors."""
        plan = self._plans[live.name]
        live.control, theirs = channel.pair()
        passed = [theirs.fileno()]
        ends: list[int] = []
        try:
            if self._stage.streams == PIPES:
                for outlet in (self._traffic.out, self._traffic.err):
                    read, write = os.pipe2(os.O_CLOEXEC)
                    ends.append(write)
                    self._traffic.add(live.number, read, outlet, self._prefixes.get(live.name))
            passed += ends
            if plan.listen is not None:
                passed.append(self._sockets[live.name])
            columns = self._inner_columns(plan.launch.program.columns)
            settings = self._terminal.settings if self._terminal is not None else b""
            launch = launch_of(plan, columns, self._stage.streams, settings)
            self._spawner.request(live.number, launch, tuple(passed))
        finally:
            theirs.close()
            for fd in ends:
                os.close(fd)

    def _take_answer(self) -> None:
        """Take an answer of the spawner: a pid and its pidfd, or why there is none."""
        answer = self._spawner.receive()
        if answer is None:
            self._lose_spawner()
        else:
            self._use_answer(answer)

    def _use_answer(self, answer: Spawned) -> None:
        """Watch a child that is there now, or give up one that could not be made."""
        live = self._live[answer.number]
        if answer.status >= 0:
            live.status = answer.status
            return
        self._asked -= 1
        if answer.failure is not None:
            self._fail(live, answer.failure)
        else:
            live.pid, live.pidfd = answer.pid, answer.pidfd
            self._watches.add(live.pidfd, ENDED, IN, lambda _: self._end(live))
            if live.control is not None:
                self._watches.add(live.control.fileno(), TOLD, IN, lambda _: self._listen(live))
            if live.name in self._doomed:
                self._kill(live.name)
        self._ask_for_spawns()

    def _listen(self, live: Live) -> bool:
        """Take one message of a PID 1; return False when there will be no more."""
        received = live.control.receive() if live.control is not None else None
        if received is None:
            if live.control is not None:
                self._watches.remove(live.control.fileno())
                if self._is_first(live) and live.failure is None:
                    self._begin(live)  # Its end of the channel has closed by becoming the program.
            return False
        match received:
            case (("running",), _):
                self._begin(live)
            case (("status", status), _):
                live.status = status
            case (("failed", failure), _):
                live.note_failure(failure)
            case (("terminals",), masters):
                self._take_masters(live, masters)
            case (("stopped",), _):
                self._stop_job()
            case _:
                self._warn_of_outer_proc()
        return True

    def _begin(self, live: Live) -> None:
        """Tell the policy once that a child runs."""
        if not live.running:
            live.running = True
            if self._relay is not None:
                self._relay.ready = True
            self._plan_banners(live.name)
            self._feed(events.Started(self._now(), live.name, live.incarnation, live.pid))

    def _warn_of_outer_proc(self) -> None:
        """Say once that the children see the outer /proc."""
        if not self._warned:
            self._warned = True
            self._message(OUTER_PROC)

    def _take_masters(self, live: Live, masters: tuple[int, ...]) -> None:
        """Take the masters of the terminals that a child was given."""
        if self._terminal is not None:
            self._relay = Relay(self._terminal, masters[0])
            self._relay.resize()
            self._traffic.add(live.number, masters[0], self._traffic.out, None)
        else:
            for fd, outlet in zip(masters, (self._traffic.out, self._traffic.err), strict=True):
                self._traffic.add(live.number, fd, outlet, self._prefixes.get(live.name))

    def _end(self, live: Live) -> None:
        """The namespace of a child is empty: take its last words, all its output, and tell the policy."""
        while self._listen(live):
            pass
        if self._is_first(live) and live.failure is None:
            while live.status < 0 and (answer := self._spawner.receive()) is not None:
                self._use_answer(answer)
        self._traffic.finish(live.number)
        failure = live.failure
        if failure is not None and not live.running:
            self._fail(live, failure)
            return
        self._release(live)
        self._begin(live)
        code, number, core = exit_of(live.status)
        self._feed(events.Exited(self._now(), live.name, live.incarnation, code, number, core))

    def _fail(self, live: Live, failure: Failure) -> None:
        """Tell the policy that a child could not be started."""
        self._release(live)
        error = why_not_started(failure, self._plans[live.name].launch)
        self._feed(events.SpawnFailed(self._now(), live.name, live.incarnation, error.code, str(error)))

    def _release(self, live: Live) -> None:
        """Let go of everything that a child had."""
        del self._live[live.number]
        self._traffic.close(live.number)
        if live.control is not None:
            self._watches.remove(live.control.fileno())
            live.control.close()
            live.control = None
        if live.pidfd >= 0:
            self._watches.remove(live.pidfd)
            os.close(live.pidfd)
            live.pidfd = -1

    def _say(self, name: str, message: channel.Message, number: int) -> None:
        """Tell the PID 1 of a child; a program that is PID 1 itself gets the signal `number`."""
        live = self._names[name]
        if self._is_first(live) and live.running and live.pidfd >= 0:
            try:
                _signal.pidfd_send_signal(live.pidfd, number)
            except ProcessLookupError:
                pass  # It has just died by itself.
        elif live.control is not None:
            live.control.send(message)

    def _is_first(self, live: Live) -> bool:
        return self._plans[live.name].launch.program.first == EXEC

    def _kill(self, name: str) -> None:
        """Kill a child, or note that it is to be killed as soon as the spawner has it."""
        self._doomed.add(name)
        live = self._names.get(name)
        if live is not None and live.pidfd >= 0:
            try:
                _signal.pidfd_send_signal(live.pidfd, SIGKILL)
            except ProcessLookupError:
                pass  # It has just died by itself.

    def _lose_spawner(self) -> None:
        """The spawner is dead, and the kernel kills every child; those that were only asked for will never be."""
        self._watches.remove(self._spawner.fileno())
        self._watches.remove(self._spawner.pidfd)
        while (answer := self._spawner.receive()) is not None:
            self._use_answer(answer)
        for live in tuple(self._live.values()):
            if live.pidfd >= 0:
                self._begin(live)  # Whether its program runs or not: it is there, so its end is waited for.
        self._feed(events.SpawnerLost(self._now()))
        waiting = [live for live in self._live.values() if live.pidfd < 0]
        for live in waiting:
            self._fail(live, Failure("spawner", 0))
        for wanted in self._requests:
            why = "the spawner is gone"
            event = events.SpawnFailed(self._now(), wanted.name, wanted.incarnation, ExitCode.SANDBOX, why)
            self._feed(event)
        self._requests.clear()

    # --- people -----------------------------------------------------------------------------------------------

    def _message(self, text: str) -> None:
        """Write a text for people, if there is one."""
        if not text:
            return
        if self._terminal is not None and self._terminal.is_raw:
            text = text.replace("\n", "\r\n")
        self._traffic.message(text)
