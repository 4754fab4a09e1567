"""What a run with rules needs beside its children: checks, and the processes that carry them out or speak with Consul.

A check of what is outside is made by the *prober*, one that runs a program by the PID 1 of the child that it is about.
The *catalog* speaks with Consul. Both processes are forked when they are needed first and die with this one; neither
is waited for, except at the end of the stage, when the catalog takes back what it has told Consul.
"""

from __future__ import annotations

import os

from vaggapy.config import rules as words
from vaggapy.errors import one_line, visible
from vaggapy.record import pack, unpack
from vaggapy.sandbox.run import SPEC_CLASSES, start_companion
from vaggapy.supervise import events
from vaggapy.supervise.children import exit_of
from vaggapy.supervise.watches import BYTES, IN, TOLD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vaggapy.config.rules import Rules
    from vaggapy.sandbox.channel import Channel
    from vaggapy.sandbox.companion import Companion
    from vaggapy.sandbox.run import Spawner
    from vaggapy.supervise.children import Live, Roster
    from vaggapy.supervise.events import Event, Probe
    from vaggapy.supervise.stage import Stage
    from vaggapy.supervise.watches import Watches

FAREWELL = 2.0  # seconds that the catalog has at the end
SLACK = 5.0  # seconds after its time in which the prober must have said that a check has failed
LOADING = 60.0  # the same before its first answer to a check of that kind, for which it may have a lot to load
KEPT = 4096  # bytes of the output of a check
LONGEST_DETAIL = 200
CHUNK = 64 * 1024
MOST_PIECES = 32  # reads for the rest of its output: a pipe holds 16 of them


class Open:
    """A check under way. `live`: in whose namespaces, None for the prober; `own`: its number there.

    `again`: a prober has been lost over it already.
    """

    __slots__ = ("again", "deadline", "fd", "id", "live", "number", "own", "probe", "said", "timeout")

    def __init__(self, probe: Probe, deadline: float, live: Live | None = None, own: int = 0, fd: int = -1) -> None:
        """Note what was asked; `fd` is where its output comes."""
        self.probe = probe
        self.again = False
        self.id = probe.id
        self.number = probe.number
        self.timeout = probe.timeout
        self.deadline = deadline
        self.live = live
        self.own = own
        self.fd = fd
        self.said = b""


class Companions:
    """The checks that are under way, the prober and the catalog of one stage."""

    def __init__(
        self,
        stage: Stage,
        rules: Rules,
        spawner: Spawner,
        roster: Roster,
        watches: Watches,
        now: Callable[[], float],
        feed: Callable[[Event], None],
        message: Callable[[str], None],
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            stage: what is run.
            rules: its rules.
            spawner: of the run; the prober enters its network if that is isolated.
            roster: who runs.
            watches: of the loop.
            now: gives the time of the loop in seconds.
            feed: gets every event.
            message: shows a text to people.
        """
        self._stage = stage
        self._rules = rules
        self._spawner = spawner
        self._roster = roster
        self._watches = watches
        self._now = now
        self._feed = feed
        self._message = message
        self._open: dict[str, Open] = {}
        self._own = 0
        self._prober: Companion | None = None
        self._answered: set[str] = set()  # kinds of checks, by this prober
        self._catalog: Companion | None = None

    # --- checks -----------------------------------------------------------------------------------------------

    def probe(self, probe: Probe) -> None:
        """Begin a check; its result is fed, later or at once."""
        self.abandon(probe.id)
        if probe.check.kind == words.EXEC:
            self._probe_inside(probe)
        else:
            self._probe_outside(probe, again=False)

    def _probe_outside(self, probe: Probe, *, again: bool) -> None:
        """Have the prober carry out a check."""
        try:
            prober = self._prober or self._start_prober()
        except OSError as error:
            self._cannot_look(probe, error)
            return
        slack = SLACK if probe.check.kind in self._answered else LOADING
        check = self._open[probe.id] = Open(probe, self._now() + probe.timeout + slack)
        check.again = again
        if not prober.send(("probe", probe.id, probe.number, pack(probe.check), probe.timeout)):
            self._lose_prober()

    def abandon(self, id_: str) -> None:
        """End a check without a result."""
        check = self._open.pop(id_, None)
        if check is not None:
            self._let_go(check)

    def deadlines(self) -> tuple[float, ...]:
        """Return when checks have had their time."""
        return tuple(check.deadline for check in self._open.values())

    def expire(self) -> None:
        """Give up the checks that have had their time."""
        now = self._now()
        for check in [check for check in self._open.values() if check.deadline <= now]:
            if self._open.get(check.id) is not check:
                continue
            if check.live is None:
                self._lose_prober()  # It should have told that this one failed: it is stuck.
            else:
                self._let_go(check)
                self._settle(check, passed=False, detail=f"no result within {check.timeout:g} s")

    def child_ended(self, live: Live) -> None:
        """Fail the checks in a child that is gone, if anybody still waits for them."""
        for check in [check for check in self._open.values() if check.live is live]:
            self._let_go(check)
            self._settle(check, passed=False, detail=f"{live.name} has ended")

    def take_probed(self, live: Live, own: int, status: int, failure: object) -> None:
        """Take how the program of a check ended."""
        check = next((check for check in self._open.values() if check.live is live and check.own == own), None)
        if check is None:
            return
        for _ in range(MOST_PIECES):  # what it has left behind may go on to write
            if not self._read(check):
                break
        self._let_go(check)
        if failure is not None:
            self._settle(check, passed=False, detail=_why_not_started(failure))
        else:
            self._settle(check, passed=status == 0, detail=_how_it_ended(status, check.said))

    def _probe_inside(self, probe: Probe) -> None:
        """Let the PID 1 of a child run a check."""
        live = self._roster.running(probe.child)
        if live is None or live.control is None:
            what = f"{probe.child} is not running" if live is None else "nothing can run beside this one"
            self._feed(events.Probed(self._now(), probe.id, probe.number, passed=False, detail=what))
            return
        try:
            read, write = os.pipe2(os.O_CLOEXEC)
        except OSError as error:
            self._cannot_look(probe, error)
            return
        self._own += 1
        check = Open(probe, self._now() + probe.timeout, live, self._own, read)
        self._open[probe.id] = check
        os.set_blocking(read, False)
        self._watches.add(read, BYTES, IN, lambda _: self._read(check))
        program = live.program
        # If it is gone, its end is about to be told.
        live.tell(("probe", check.own, probe.check.words, dict(program.environ), program.directory), (write,))
        os.close(write)

    def _cannot_look(self, probe: Probe, error: OSError) -> None:
        """Fail a check that the machine has no room for: the children go on."""
        what = f"the check cannot be made: {(error.strerror or 'no room').lower()}"
        self._feed(events.Probed(self._now(), probe.id, probe.number, passed=False, detail=what))

    def _read(self, check: Open) -> bool:
        """Take output of a check; return False when there is no more for now, or for good."""
        if check.fd < 0:
            return False
        try:
            data = os.read(check.fd, CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._close_output(check)
            return False
        check.said = (check.said + data)[-KEPT:]
        return True

    def _close_output(self, check: Open) -> None:
        if check.fd >= 0:
            self._watches.remove(check.fd)
            os.close(check.fd)
            check.fd = -1

    def _let_go(self, check: Open) -> None:
        """Make sure that a check ends, or has ended."""
        self._close_output(check)
        if check.live is None:
            if self._prober is not None:
                self._prober.send(("abandon", check.id))
        else:
            check.live.tell(("unprobe", check.own))

    def _settle(self, check: Open, passed: bool, detail: str = "", value: str = "") -> None:
        """Tell the result, unless it is no longer wanted."""
        if self._open.get(check.id) is not check:
            return
        del self._open[check.id]
        detail = "" if passed else detail
        self._feed(events.Probed(self._now(), check.id, check.number, passed, detail, value))

    # --- the prober -------------------------------------------------------------------------------------------

    def _start_prober(self) -> Companion:
        children = self._stage.children
        project = children[0].launch.sandbox.project if children else "/"
        own = os.getpid(), self._spawner.pid

        def main(end: Channel) -> None:
            from vaggapy.supervise import prober  # in its own process only

            prober.main(end, project, own)

        prober = start_companion(main, self._spawner.pid if self._spawner.isolated else None)
        self._prober = prober
        self._answered.clear()
        self._watches.add(prober.fileno(), TOLD, IN, lambda _: self._take_result())
        return prober

    def _take_result(self) -> None:
        received = self._prober.receive() if self._prober is not None else None
        if received is None:
            self._lose_prober()
            return
        id_, number, passed, detail, value = received
        check = self._open.get(id_)
        if check is not None and check.number == number:
            self._answered.add(check.probe.check.kind)
            self._settle(check, passed, detail, value)

    def _lose_prober(self) -> None:
        """The prober is gone or stuck: another one does what it had to do, but nothing twice: that may be the cause."""
        if self._prober is None:
            return
        self._watches.remove(self._prober.fileno())
        self._prober.stop(0)
        self._prober = None
        for check in [check for check in self._open.values() if check.live is None]:
            if self._open.get(check.id) is not check:
                continue  # What followed from another one has taken its place.
            if check.again:
                self._settle(check, passed=False, detail="the process that checks has ended")
            else:
                del self._open[check.id]
                self._probe_outside(check.probe, again=True)

    # --- the catalog ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the catalog if something is to be told to Consul, or asked."""
        consul = self._rules.consul
        names = [child.name for child in self._stage.children]
        services = {
            name: (rule.service, rule.health.ttl if rule.health is not None else 0.0)
            for name, rule in self._rules.children.items()
            if rule.service is not None and name in names
        }
        watched = tuple(watch for watch in self._rules.watches if watch.service)
        if consul is None or not (services or watched):
            return

        def main(end: Channel) -> None:
            from vaggapy.supervise import catalog  # in its own process only

            catalog.main(end, pack(consul), pack(services), pack(watched))

        try:
            self._catalog = start_companion(main)
        except OSError as error:
            what = f"Consul hears nothing of this run: {(error.strerror or 'no room').lower()}"
            remedy = "the children run all the same; free what the machine lacks"
            self._message(f"vagga: {one_line(what, remedy, 'consul-process-ended')}\n")
            return
        self._watches.add(self._catalog.fileno(), TOLD, IN, lambda _: self._take_news())

    def advertise(self, name: str, status: str) -> None:
        """Tell Consul of a child."""
        if self._catalog is not None and not self._catalog.send(("status", name, status)):
            self._lose_catalog()

    def _take_news(self) -> None:
        received = self._catalog.receive() if self._catalog is not None else None
        match received:
            case ("watched", name, instances):
                self._feed(events.Watched(self._now(), name, tuple(instances)))
            case ("trouble", text):
                self._message(f"vagga: {visible(text)}\n")
            case None:
                self._lose_catalog()
            case _:
                pass  # It has finished.

    def _lose_catalog(self) -> None:
        if self._catalog is None:
            return
        self._watches.remove(self._catalog.fileno())
        self._catalog.stop(0)
        self._catalog = None
        what = "Consul hears nothing more of this run: the process that speaks with it has ended"
        remedy = "the children go on; services and watches of Consul come back with the next run"
        self._message(f"vagga: {one_line(what, remedy, 'consul-process-ended')}\n")

    def close(self) -> None:
        """Let Consul forget the children, for at most `FAREWELL`, whatever signals come, and end both processes."""
        if self._catalog is not None:
            self._watches.remove(self._catalog.fileno())
            self._catalog.send(("finish",))
            self._catalog.stop(FAREWELL)
            self._catalog = None
        for id_ in tuple(self._open):
            self._close_output(self._open.pop(id_))
        if self._prober is not None:
            self._watches.remove(self._prober.fileno())
            self._prober.stop(0)
            self._prober = None


def _how_it_ended(status: int, said: bytes) -> str:
    """Return how a program ended, with the last line of what it said."""
    code, number, _ = exit_of(status)
    lines = said.decode("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    how = f"killed by signal {number}" if number else f"exited with {code}"
    return f"{how}: {visible(last)[-LONGEST_DETAIL:]}" if last else how


def _why_not_started(packed: object) -> str:
    failure = unpack(packed, SPEC_CLASSES)
    return f"cannot run {visible(failure.source or failure.target) or 'a program'}: {os.strerror(failure.errno)}"
