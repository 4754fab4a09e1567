"""The catalog: a process that keeps children registered in Consul, and asks it about services.

It is forked when a stage begins that has something to tell or to ask. Messages down: ("status", child, one of passing,
warning, critical, gone), ("finish",) or the end of the channel: deregister everything, for at most `FAREWELL` seconds.
Up: ("watched", name of the watch, instances), at the first answer and at each change; ("trouble", a line for people);
("finished",) before it ends after "finish".

One task for each child and each watch speaks with Consul; a Consul that is slow or down holds up none but that one.
"""

from __future__ import annotations

import asyncio
import os
import random

from vaggapy.config import rules
from vaggapy.errors import one_line
from vaggapy.net.addresses import here
from vaggapy.net.interfaces import advertised, needs_interfaces
from vaggapy.record import records, unpack
from vaggapy.sandbox.companion import limit_memory
from vaggapy.supervise import catalog_forms as forms
from vaggapy.supervise import catalog_runs
from vaggapy.supervise.catalog_session import Refusal, Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from typing import Any

    from vaggapy.config.rules import Consul, Service, Watch
    from vaggapy.net.interfaces import Found
    from vaggapy.sandbox.channel import Channel

    Services = Mapping[str, tuple[Service, float]]

CLASSES = records(vars(rules))
FAREWELL = 1.5
"""Seconds that all deregistrations may take together; the supervisor waits 2."""
GAP = 0.1
"""Seconds at least between two questions of a watch, however often a service changes."""
UNREACHABLE = "unreachable"
MISSING, WARNS = 404, 429
"""Statuses: of an id that Consul does not know, and of a service whose check warns."""
MOST_RUNS = 100
"""Numbers that are tried for the id of a service."""


def main(end: Channel, consul: object, services: object, watches: object) -> None:
    """Be the catalog until the other end of the channel is gone, or says so.

    `consul`: a packed `rules.Consul`. `services`: name of child -> packed `rules.Service`, ttl in seconds. `watches`:
    packed `rules.Watch`es, each with a service.
    """
    limit_memory()
    loop = asyncio.new_event_loop()
    written: Consul = unpack(consul, CLASSES)
    catalog = Catalog(end, forms.with_environment(written, os.environ), loop)
    if names := forms.withheld(written, os.environ):
        what = f"Consul at {written.address} does not get {', '.join(names)}: that is not the server of {forms.ADDRESS}"
        Tell(end).trouble(one_line(what, f"if it is yours: export {forms.ADDRESS}={written.address}", "consul-secrets"))
    catalog.begin(unpack(services, CLASSES), unpack(watches, CLASSES))
    loop.add_reader(end.fileno(), catalog.receive)
    loop.run_forever()
    loop.run_until_complete(catalog.end_all())
    loop.close()


class Line:
    """The connection with Consul: who could not use it, and what was told of that.

    Of one outage people hear once, and once when it is over, whoever meets it.
    """

    def __init__(self, address: str, tell: Tell) -> None:
        """Nothing has failed yet."""
        self._address = address
        self._tell = tell
        self._failing: dict[str, str] = {}
        self._back = asyncio.Event()

    def failed(self, topic: str, refusal: Refusal) -> None:
        """Note that a request about `topic` did not work."""
        if topic in self._failing:
            return
        kind = str(refusal) if refusal.status else UNREACHABLE
        is_new = kind not in self._failing.values()
        self._failing[topic] = kind
        if not is_new:
            return
        if refusal.status:
            remedy = "the children go on; check the token and what its log says"
            self._tell.trouble(one_line(f"{topic}: Consul answers {refusal}", remedy, "consul-refused"))
        else:
            remedy = "the children go on; it is asked again until it answers"
            self._tell.trouble(one_line(f"Consul at {self._address}: {refusal}", remedy, "consul-unreachable"))

    def worked(self, topic: str) -> None:
        """Note that a request about `topic` worked; whoever waits to try again does it now."""
        kind = self._failing.pop(topic, "")
        if not kind:
            return
        self._back.set()
        self._back = asyncio.Event()
        if kind not in self._failing.values():
            said = f"Consul at {self._address} answers again" if kind == UNREACHABLE else f"{topic}: Consul accepts it"
            self._tell.trouble(said)

    def moved(self, topic: str, place: str) -> None:
        """Tell that another run has the usual id of `topic`."""
        what = f"{topic}: another run has its usual id in Consul, so this one is '{place}' there"
        self._tell.trouble(one_line(what, "stop the other run if it is not meant to be there", "consul-two-runs"))

    def forget(self, topic: str) -> None:
        """Note that nobody asks about `topic` any more."""
        self._failing.pop(topic, None)

    async def pause(self, failures: int) -> None:
        """Wait before trying again; shorter, if it works for somebody else."""
        back = self._back
        try:
            async with asyncio.timeout(forms.retry_wait(failures, random.random())):
                await back.wait()
        except TimeoutError:
            pass


class Tell:
    """The way up."""

    def __init__(self, end: Channel) -> None:
        """Take no ownership of `end`."""
        self._end = end

    def trouble(self, text: str) -> None:
        """Tell people."""
        self._end.send(("trouble", text))

    def watched(self, name: str, found: tuple[str, ...]) -> None:
        """Tell what a watch sees."""
        self._end.send(("watched", name, found))

    def finished(self) -> None:
        """Tell that nothing of this run is in Consul any more, or that there was no time."""
        self._end.send(("finished",))


class Keeper:
    """Keeps one child in Consul as the supervisor wants it; `wanted` is what it said last."""

    def __init__(
        self, name: str, service: Service, ttl: float, address: str, session: Session, line: Line, run: str
    ) -> None:
        """Register nothing yet. `run`: what tells this run from others."""
        self._name = name
        self._service = service
        self._ttl = ttl or forms.DEFAULT_TTL
        self._address = address
        self._session = session
        self._line = line
        self._topic = f"service '{name}'"
        self._run = run
        self._number = 1
        self._wanted = ""
        self._told = ""
        self._is_registered = False
        self._may_be_known = False
        self._is_last = False
        self._news = asyncio.Event()

    def want(self, status: str, is_last: bool = False) -> None:
        """Take what the supervisor says."""
        self._wanted = status
        self._is_last = self._is_last or is_last
        self._news.set()

    async def keep(self) -> None:
        """Tell Consul, again and again, until the last word was said to it, or could not be."""
        failures = 0
        while True:
            self._news.clear()
            status = self._wanted
            try:
                if status and (status != self._told or status in forms.REFRESHED):
                    await self._say(status)
                    self._told = status
                failures = 0
            except Refusal as refusal:
                failures += 1
                self._told = ""
                self._line.failed(self._topic, refusal)
            if self._is_last and status == self._wanted:
                return
            await self._wait(failures)

    async def _wait(self, failures: int) -> None:
        """Wait until there is news, or it is time to say the same again."""
        news = asyncio.ensure_future(self._news.wait())
        if failures:
            pause = asyncio.ensure_future(self._line.pause(failures))
        else:
            pause = asyncio.ensure_future(asyncio.sleep(forms.beat(self._ttl)))
        try:
            await asyncio.wait((news, pause), return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
            pause.cancel()

    async def _say(self, status: str) -> None:
        """Bring one status to Consul.

        Raises:
            Refusal: it is not there.
        """
        if status == forms.GONE:
            await self._remove()
        elif self._is_registered and await self._update(status):
            self._line.worked(self._topic)
        elif self._is_registered or self._service.status or status == forms.PASSING:
            await self._find_place()
            self._may_be_known, self._is_registered = True, False
            form = forms.registration(
                self._id(), self._name, self._address, self._service, self._ttl, status, self._run
            )
            await self._session.ask(form)
            self._is_registered = True
            self._line.worked(self._topic)

    def _id(self) -> str:
        return forms.service_id(self._name, os.uname().nodename, self._number)

    async def _find_place(self) -> None:
        """Choose an id that no other living run has.

        Two runs that do this at once may choose the same; who was overwritten sees it at the next beat.
        """
        first = self._number
        while self._number < MOST_RUNS and await self._is_taken():
            self._number += 1
        if self._number != first:
            self._line.moved(self._topic, self._id())

    async def _is_taken(self) -> bool:
        """Tell whether another run has our id, and lives."""
        holder = await self._holder()
        if holder in ("", self._run):
            return False
        lives = catalog_runs.lives(holder)
        if lives is not None:
            return lives
        try:
            await self._session.ask(forms.wellness(self._id()))
        except Refusal as refusal:
            if not refusal.status:
                raise
            return refusal.status == WARNS
        return True

    async def _holder(self) -> str:
        """Return the run that has our id in Consul, "" where none has; ours where Consul does not say."""
        try:
            answer, _ = await self._session.ask(forms.lookup(self._id()))
        except Refusal as refusal:
            if not refusal.status:
                raise
            return "" if refusal.status == MISSING else self._run
        return forms.holder(answer)

    async def _update(self, status: str) -> bool:
        """Tell the status of a registered child; return False when Consul does not know it as ours (any more)."""
        if await self._holder() != self._run:
            return False
        try:
            await self._session.ask(forms.update(self._id(), status))
        except Refusal as refusal:
            if not refusal.status:
                raise
            return False
        return True

    async def _remove(self) -> None:
        """Take the child away, unless another run has its id by now."""
        self._is_registered = False
        if not self._may_be_known:
            self._line.forget(self._topic)
            return
        if await self._holder() == self._run:
            try:
                await self._session.ask(forms.removal(self._id()))
            except Refusal as refusal:
                if refusal.status != MISSING:
                    raise
        self._may_be_known = False
        self._line.worked(self._topic)


class Catalog:
    """All tasks."""

    def __init__(self, end: Channel, consul: Consul, loop: asyncio.AbstractEventLoop) -> None:
        """Take no ownership of `end`."""
        self._end = end
        self._tell = Tell(end)
        self._consul = consul
        self._loop = loop
        self._keepers: dict[str, Keeper] = {}
        self._kept: list[asyncio.Task[None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._session: Session | None = None
        self._is_ending = False

    def begin(self, services: Services, watches: tuple[Watch, ...]) -> None:
        """Start a task for each service and each watch; tell what cannot work."""
        try:
            self._session = session = Session(self._consul)
        except (OSError, ValueError) as error:
            what = f"Consul at {self._consul.address} is not used: {error}"
            self._tell.trouble(one_line(what, "check the address and the files of its certificates", "consul-settings"))
            return
        line, run = Line(session.address, self._tell), catalog_runs.own()
        for name, address in self._addresses(services).items():
            service, ttl = services[name]
            keeper = self._keepers[name] = Keeper(name, service, ttl, address, session, line, run)
            self._kept.append(self._start(keeper.keep(), f"service '{name}'"))
        for watch in watches:
            self._tasks.append(self._start(self._watch(watch, session, line), f"watch '{watch.name}'"))

    def receive(self) -> None:
        """Take one message; begin to end when there will be no more."""
        received = self._end.receive()
        match received and received[0]:
            case ("status", str(name), str(status)):
                if name in self._keepers and not self._is_ending:
                    self._keepers[name].want(status)
            case ("finish",) | None:
                self._loop.remove_reader(self._end.fileno())
                self._is_ending = True
                self._tasks.append(self._loop.create_task(self._finish()))
            case _:
                pass

    async def end_all(self) -> None:
        """End what is still under way."""
        for task in (*self._tasks, *self._kept):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._kept, return_exceptions=True)

    async def _finish(self) -> None:
        """Deregister everything at once, as far as time permits, and stop the loop."""
        for keeper in self._keepers.values():
            keeper.want(forms.GONE, is_last=True)
        if self._kept:
            await asyncio.wait(self._kept, timeout=FAREWELL)
        self._tell.finished()
        self._loop.stop()

    def _start(self, task: Coroutine[Any, Any, None], topic: str) -> asyncio.Task[None]:
        """Start a task that does not end without a word."""

        async def guarded() -> None:
            try:
                await task
            except Exception as error:  # a bug of ours; the children go on
                what = f"{topic}: Consul is not asked any more: {type(error).__name__}: {error}"
                self._tell.trouble(one_line(what, "the children go on; this is a bug of vagga", "consul-settings"))

        return self._loop.create_task(guarded())

    def _addresses(self, services: Services) -> dict[str, str]:
        """Return the address of each service that has one; tell of the others."""
        found: tuple[Found, ...] = ()
        addresses = {}
        if any(needs_interfaces(service.interfaces) for service, _ in services.values()):
            try:
                found = here()
            except OSError as error:
                self._tell.trouble(one_line(f"no addresses of this machine: {error}", "", "consul-address"))
        for name, (service, _) in services.items():
            try:
                address = advertised(service.interfaces, found)
                known = ", ".join(f"{each.interface} {each.address}" for each in found)
                why = f"of {', '.join(service.interfaces)} none is an address here; there are {known or 'none'}"
            except ValueError as error:
                address, why = "", str(error)
            if address:
                addresses[name] = address
            else:
                what = f"service '{name}' is not registered in Consul: {why}"
                self._tell.trouble(one_line(what, "name another one in `interfaces`", "consul-address"))
        return addresses

    async def _watch(self, watch: Watch, session: Session, line: Line) -> None:
        """Ask about one service for ever; tell what is new."""
        topic = f"watch '{watch.name}'"
        known: tuple[str, ...] | None = None
        index = failures = 0
        while True:
            asked = self._loop.time()
            try:
                answer, answered = await session.ask(forms.question(watch, index))
                found = forms.instances(answer)
            except (Refusal, ValueError) as error:
                failures += 1
                index = 0
                line.failed(topic, error if isinstance(error, Refusal) else Refusal(str(error), 200))
                await line.pause(failures)
                continue
            failures = 0
            line.worked(topic)
            if found != known:
                known = found
                self._tell.watched(watch.name, found)
            index = forms.next_index(index, answered)
            # Without an index the next answer comes at once: then it is asked again after the interval.
            pause = GAP if index else watch.interval
            await asyncio.sleep(max(0.0, asked + pause - self._loop.time()))
