"""The loop of the supervisor: descriptors and deadlines become events, actions become calls.

It decides nothing: what an event means is the policy's business. One thread, one epoll; signals arrive through a
wake-up descriptor, the ends of children through pidfds. Within one turn signals come first, then what the
spawner and the children say, then exits, then output, then timers.

A child has ended when the kernel says that its namespace is empty, not when its pipes close.
"""

from __future__ import annotations

import os
import time

from vaggapy.sandbox.run import Spawner
from vaggapy.sandbox.spec import PIPES, TERMINAL, TERMINALS
from vaggapy.supervise import events, policy
from vaggapy.supervise.children import Live, Roster, launch_of
from vaggapy.supervise.events import (
    Abandon,
    Advertise,
    CancelTimer,
    Ended,
    Finish,
    Kill,
    Pause,
    Probe,
    Proceed,
    Report,
    Resume,
    SetTimer,
    Signal,
    Spawn,
    Suspend,
    SuspendSelf,
)
from vaggapy.supervise.lines import prefixes
from vaggapy.supervise.messages import DISK_FULL, OUTER_PROC, banner_text, last_lines
from vaggapy.supervise.output import Outlet
from vaggapy.supervise.relay import Relay
from vaggapy.supervise.signals import WINCH, Signals
from vaggapy.supervise.terminal import Terminal, set_size, size
from vaggapy.supervise.traffic import Traffic
from vaggapy.supervise.watches import BYTES, FIRST, IN, Watches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vaggapy.sandbox.channel import Message
    from vaggapy.sandbox.spec import Launch
    from vaggapy.supervise.companions import Companions
    from vaggapy.supervise.events import Action, Event, Told
    from vaggapy.supervise.outputs import Outputs
    from vaggapy.supervise.prompt import Prompt
    from vaggapy.supervise.stage import ChildPlan, Stage

KEYS_DELAY = 0.01  # seconds until the child is offered again the keys that it did not take
NARROWEST = 20  # columns of a terminal beside a long prefix
SIGSTOP = 19

BANNER = "banner "
STALL = 1.0
"""Seconds: who looks at the clock, or wakes, so much later than usual has not run meanwhile: it was stopped."""


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
        self._signals = signals
        self._tell = tell
        names = tuple(child.name for child in stage.children)
        passes_through = stage.streams in (PIPES, TERMINALS)
        prefixed = names if passes_through and stage.prefixed else ()
        self._prefix_width = max((len(each) for each in prefixes(prefixed, colour=False).values()), default=0)
        self._state = policy.initial(stage.mode, names, float(stage.grace), stage.rules)
        self._events: list[Event] = []
        self._timers: dict[str, float] = {}
        self._suspended, self._asked = 0.0, time.monotonic()
        self._meant = 0, 0.0  # what the last key meant for the child that owns the terminal, and when
        self._told_closed = False
        self._told_lost = False
        self._warned = False
        self._relay: Relay | None = None
        self._prompt: Prompt | None = None
        self._spawner_pid = spawner.pid
        self._terminal = Terminal() if stage.streams == TERMINAL else None
        self._watches = Watches()
        keeps_last = passes_through and not stage.single
        self._traffic = Traffic(self._watches, outlets, self._now, prefixes(prefixed, colour), keeps_last)
        self._roster = Roster(
            *(stage, spawner, sockets, self._watches, self._traffic, self._now),
            *(self._feed_of_child, self._fit, self._hear, self._begun),
        )
        self._companions: Companions | None = None
        self._outputs: Outputs | None = None
        if stage.rules is not None:
            # Only what has rules needs them.
            from vaggapy.supervise.companions import Companions
            from vaggapy.supervise.outputs import Outputs

            self._outputs = Outputs()

            tools = self._roster, self._watches, self._now, self._feed, self._message
            self._companions = Companions(stage, stage.rules, spawner, *tools)
            self._traffic.look_for(policy.wanted_lines(stage.rules), self._roster.found)
        self._code = -1

    def run(self) -> int:
        """Run to the end and return the exit code. The terminal is restored, whatever happens."""
        try:
            self._watches.add(self._signals.fileno(), FIRST, IN, lambda _: self._take_signals())
            self._roster.watch()
            self._watch_outlets()
            self._take_terminal()
            self._take_signals()
            self._plan_banners("")
            if self._companions is not None:
                self._companions.start()
            self._feed(events.Begin(self._now()))
            while self._code < 0:
                self._turn()
            return self._code
        finally:
            if self._terminal is not None:
                self._terminal.restore()
            if self._companions is not None:
                self._companions.close()
            if self._prompt is not None:
                self._prompt.close()
            self._watches.close()

    # --- turns ------------------------------------------------------------------------------------------------

    def _now(self) -> float:
        """Return seconds on a clock that stands still while we are suspended, or do not run (4.8)."""
        at = time.monotonic()
        if at - self._asked > STALL:
            self._suspended += at - self._asked
        self._asked = at
        return at - self._suspended

    def _turn(self) -> None:
        deadlines = (*self._timers.values(), *self._traffic.deadlines(), *self._roster.deadlines())
        if self._companions is not None:
            deadlines += self._companions.deadlines()
        timeout = max(0.0, min(deadlines) - self._now()) if deadlines else -1
        self._watches.wait(timeout, lambda: self._woken(timeout))
        self._fire_timers()
        self._watch_outlets()

    def _woken(self, timeout: float) -> None:
        """Take out the time by which we wake too late; `timeout`: seconds that we had to wait at most, -1 for ever."""
        at = time.monotonic()
        due = self._asked + timeout if timeout >= 0 else at
        if at - due > STALL:
            self._suspended += at - due
        self._asked = at

    def _fire_timers(self) -> None:
        self._traffic.flush_due()
        self._roster.tell_refused()
        if self._companions is not None:
            self._companions.expire()
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

    def _feed_of_child(self, event: Event) -> None:
        """Feed what has happened to a child.

        One that owns the terminal gets its Ctrl+C. If that ends it, it was meant for the run: a restart would take the
        keys away again. Most servers exit with 0 then; so an end counts that follows the key soon.
        """
        owns_terminal = self._terminal is not None and self._stage.rules is not None
        if owns_terminal and isinstance(event, events.Exited):
            number, when = self._meant
            if event.signal in (events.INT, events.QUIT):
                number = event.signal
            elif event.now - when > self._stage.grace:
                number = 0
            if number:
                self._feed(events.Signalled(event.now, number))
        self._feed(event)

    def _feed(self, event: Event) -> None:
        """Ask the policy and do what it says; what happens by that is fed when all of it is done."""
        self._events.append(event)
        if len(self._events) > 1:
            return
        while self._events:
            self._state, actions = policy.step(self._state, self._events[0])
            for action in actions:
                self._do(action)
            del self._events[0]

    def _do(self, action: Action) -> None:
        match action:
            case Spawn():
                self._roster.spawn(action)
            case Signal() | Kill() | Suspend() | Resume():
                self._do_to_child(action)
            case Probe() | Abandon() | Advertise():
                self._do_beside(action)
            case SuspendSelf():
                self._suspend()
            case Pause() | Proceed():
                self._do_pause(action)
            case SetTimer(name, at):
                self._timers[name] = at
            case CancelTimer(name):
                self._timers.pop(name, None)
            case Report(record):
                if isinstance(record, Ended) and record.code:
                    self._show_last_lines(record)
                self._message(self._tell(record))
            case Finish(code):
                self._code = code

    def _do_pause(self, action: Pause | Proceed) -> None:
        """Begin or end to wait for the user."""
        if self._prompt is not None:
            self._prompt.close()
            self._prompt = None
        if isinstance(action, Pause):
            from vaggapy.supervise.prompt import Prompt, entering  # only for a pause, which is rare

            self._message(entering(self._spawner_pid, self._roster.live.values()))
            self._prompt = Prompt(self._watches, self._message, self._go_on)

    def _go_on(self, closed: bool) -> None:
        """Take the answer of the user, or that none will come because the terminal is `closed`."""
        if closed and self._signals.obeys_hangup:
            self._feed(events.Signalled(self._now(), events.HANGUP))
        else:
            self._feed(events.Resumed(self._now()))

    def _do_to_child(self, action: Signal | Kill | Suspend | Resume) -> None:
        match action:
            case Signal(name, number):
                self._roster.say(name, ("signal", number, True), number)
            case Kill(name):
                self._roster.kill(name)
            case Suspend(name):
                self._roster.say(name, ("suspend",), SIGSTOP)
            case Resume(name):
                self._roster.say(name, ("resume",), events.CONT)

    def _do_beside(self, action: Probe | Abandon | Advertise) -> None:
        if self._companions is None:
            return
        match action:
            case Probe():
                self._companions.probe(action)
            case Abandon(name):
                self._companions.abandon(name)
            case Advertise(name, status):
                self._companions.advertise(name, status)

    # --- descriptors ------------------------------------------------------------------------------------------

    def _watch_outlets(self) -> None:
        """Look after the outlets, and tell once when one of them is gone or full."""
        self._traffic.watch_outlets()
        out = self._traffic.out
        if out.closed and not self._told_closed:
            self._told_closed = True
            number = events.HANGUP if out.is_terminal else events.PIPE
            if number != events.HANGUP or self._signals.obeys_hangup:
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
            if self._stage.rules is not None:
                for number in relay.give_back():
                    self._feed(events.Signalled(self._now(), number))
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
                if number == events.CONT and self._prompt is not None:
                    self._prompt.ask()

    def _take_keys(self) -> None:
        if self._relay is None or self._terminal is None or self._relay.master not in self._traffic.all():
            return  # Its child has ended in this turn, and the number may be that of another descriptor by now.
        if not self._terminal.is_raw:
            self._come_back()
            return
        for number in self._relay.take_keys(stopping=self._state.stop is not None):
            self._feed(events.Signalled(self._now(), number))
        self._meant = self._relay.meant, self._now()

    def _resize(self) -> None:
        if self._relay is not None:
            self._relay.resize()
        elif self._stage.streams == TERMINALS:
            rows, columns = size(1)
            for live in self._roster.live.values():
                for fd in self._traffic.of(live.number):
                    set_size(fd, rows, self._inner_columns(columns))
                # These terminals control no session, so the kernel tells nobody.
                self._roster.say(live.name, ("signal", WINCH, False), WINCH)

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
        self._roster.say_to_starting(("suspend",))
        before = self._now()
        self._signals.stop_here()
        self._asked = time.monotonic()
        self._suspended = self._asked - before
        self._roster.say_to_starting(("resume",))
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
        self._take_terminal()
        self._resize()

    def _take_terminal(self) -> None:
        """Pass all keys on, to the child that owns a terminal or is about to.

        With rules that may take its time, before its first run and between two: meanwhile Ctrl+C is ours.
        """
        if self._terminal is not None and (self._relay is not None or self._stage.rules is None):
            self._terminal.make_raw()

    # --- children ---------------------------------------------------------------------------------------------

    def _fit(self, plan: ChildPlan, spawn: Spawn) -> Launch:
        """Return what to launch now.

        Raises:
            CommandError: a value that it takes from another child is not there.
        """
        columns = self._inner_columns(plan.launch.program.columns)
        settings = self._terminal.settings if self._terminal is not None else b""
        launch = launch_of(plan, spawn, self._stage.rules, columns, self._stage.streams, settings)
        rule = self._stage.rules.children.get(plan.name) if self._stage.rules is not None else None
        if self._outputs is None or rule is None or not rule.reads:
            return launch
        return self._outputs.filled(launch, rule, spawn, self._state.children)

    def _begun(self, live: Live) -> None:
        """A program runs: keys may reach it, and its banners are due."""
        if self._relay is not None:
            self._relay.ready = True
        if live.incarnation == 1 and not live.spawn.condition:
            self._plan_banners(live.name)

    def _hear(self, live: Live, message: Message, descriptors: tuple[int, ...]) -> None:
        """Take what a PID 1 says that is not about the beginning and the end of its child."""
        match message:
            case ("terminals",):
                self._take_masters(live, descriptors)
            case ("stopped",):
                self._stop_job()
            case ("probed", number, status, failure):
                if self._companions is not None:
                    self._companions.take_probed(live, number, status, failure)
            case ("output",):
                self._take_output(live, *descriptors)
            case ("ended",):
                if self._companions is not None:
                    self._companions.child_ended(live)
            case _:
                self._warn_of_outer_proc()

    def _take_output(self, live: Live, fd: int) -> None:
        """Take the values that a child, which has ended well, has left for others."""
        assert self._outputs is not None
        self._message(self._outputs.take(live.name, fd))

    def _warn_of_outer_proc(self) -> None:
        """Say once that the children see the outer /proc."""
        if not self._warned:
            self._warned = True
            self._message(OUTER_PROC)

    def _take_masters(self, live: Live, masters: tuple[int, ...]) -> None:
        """Take the masters of the terminals that a child was given."""
        if self._terminal is not None:
            self._relay = Relay(self._terminal, masters[0])
            self._take_terminal()
            self._relay.resize()
            self._traffic.add(live.number, live.name, masters[0], self._traffic.out)
        else:
            for fd, outlet in zip(masters, (self._traffic.out, self._traffic.err), strict=True):
                self._traffic.add(live.number, live.name, fd, outlet)

    # --- people -----------------------------------------------------------------------------------------------

    def _show_last_lines(self, ended: Ended) -> None:
        """Show the last output of the child that failed first."""
        name = ended.chain[-1].name if ended.chain else getattr(ended.cause, "name", "")
        if name:
            self._message(last_lines(name, self._traffic.tail(name)))

    def _message(self, text: str) -> None:
        """Write a text for people, if there is one."""
        if not text:
            return
        if self._terminal is not None and self._terminal.is_raw:
            text = text.replace("\n", "\r\n")
        self._traffic.message(text)
