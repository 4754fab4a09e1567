"""The prober: a process that carries out checks, any number at once, and tells the supervisor what they found.

It is forked when the first check is wanted (`sandbox.run.start_companion`); in a run with a network of its own it is
in that network. Messages down: ("probe", id, number, packed Check, timeout in seconds), ("abandon", id); up, for each
check that is not abandoned: (id, number, passed, detail, value). A probe takes the place of one with the same id.

Names are looked up, and files read, in threads, so that one that is slow holds up nobody else.
"""

from __future__ import annotations

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

from vaggapy.config import rules
from vaggapy.errors import InternalError, visible
from vaggapy.record import records, unpack
from vaggapy.sandbox.companion import limit_memory
from vaggapy.supervise.probes import files, ports, processes
from vaggapy.supervise.probes.outcome import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vaggapy.config.rules import Check
    from vaggapy.sandbox.channel import Channel
    from vaggapy.supervise.probes.web import Browser

CLASSES = records(vars(rules))
THREADS = 32
LONGEST_DETAIL = 200


def main(end: Channel, project: str, own: tuple[int, ...]) -> None:
    """Be the prober until the other end of the channel is gone.

    `project`: the directory whose files are looked at. `own`: pids of processes that NOT_RUNNING never finds.
    """
    limit_memory()
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(THREADS))
    prober = Prober(end, project, own, loop)
    loop.add_reader(end.fileno(), prober.receive)
    loop.run_forever()
    loop.remove_reader(end.fileno())
    loop.run_until_complete(prober.end_all())
    loop.close()  # without waiting for threads: a name server may take its time


class Prober:
    """The open checks."""

    def __init__(self, end: Channel, project: str, own: tuple[int, ...], loop: asyncio.AbstractEventLoop) -> None:
        """Take no ownership of `end`."""
        self._end = end
        self._own = own
        self._loop = loop
        self._open: dict[str, asyncio.Task[None]] = {}
        self._browser: Browser | None = None
        self._looks: dict[Check, asyncio.Future[Outcome]] = {}
        self._preparing = asyncio.Lock()
        try:
            self._project = os.open(project, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            self._project = -1  # each check of a file says so

    def receive(self) -> None:
        """Take one message; stop the loop when there will be no more."""
        received = self._end.receive()
        if received is None:
            self._loop.stop()
            return
        match received[0]:
            case ("probe", str(id_), int(number), packed, float() | int() as timeout):
                self._abandon(id_)
                check: Check = unpack(packed, CLASSES)
                self._open[id_] = self._loop.create_task(self._answer(id_, number, check, timeout))
            case ("abandon", str(id_)):
                self._abandon(id_)
            case other:
                raise InternalError(f"the prober cannot {other[0]}")

    async def end_all(self) -> None:
        """End all checks without answers."""
        tasks = tuple(self._open.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _abandon(self, id_: str) -> None:
        if task := self._open.pop(id_, None):
            task.cancel()

    async def _answer(self, id_: str, number: int, check: Check, timeout: float) -> None:
        """Carry out a check and send what it found."""
        try:
            if check.kind == rules.HTTP and self._browser is None:
                await self._prepare_browser()
            # A request has a time of its own. Both at the same moment would be two cancellations, and the second one
            # would break off what the first one does: the connection would never be closed.
            async with asyncio.timeout(None if check.kind == rules.HTTP else timeout):
                outcome = await self._carry_out(check, timeout)
        except TimeoutError:
            outcome = Outcome(False, f"no answer within {timeout:g} s")
        except Exception as error:  # a check must never be without an answer: somebody waits for it
            outcome = Outcome(False, str(error) or type(error).__name__)
        if self._open.get(id_) is asyncio.current_task():
            del self._open[id_]
            detail = visible(outcome.detail)[:LONGEST_DETAIL]
            self._end.send((id_, number, outcome.passed, detail, outcome.value))

    async def _prepare_browser(self) -> None:
        """Load what checks by HTTP need, before the time of the first one begins, and without holding up others."""
        async with self._preparing:  # once: a hundred checks that come together must not load it a hundred times
            if self._browser is None:
                browser = await asyncio.to_thread(_load_browser)
                await browser.prepare()
                self._browser = browser

    async def _carry_out(self, check: Check, timeout: float) -> Outcome:
        match check.kind:
            case rules.HTTP if self._browser:
                return await self._browser.answers(check.target, check.status, timeout)
            case rules.TCP:
                return await ports.answers(check.target, timeout)
            case rules.NOT_LISTENING:
                return await ports.is_silent(check.target, timeout)
            case rules.PATH:
                return files.exists(self._project, check.target)
            case rules.NOT_EXISTS:
                return files.is_missing(self._project, check.target)
            case rules.FILE_CONTAINS:
                return await self._in_thread(check, lambda: files.contains(self._project, check))
            case rules.NOT_RUNNING:
                return await self._in_thread(check, lambda: processes.none_runs(check.target, self._own))
            case other:
                return Outcome(False, f"a check of the kind '{other}' is not for the prober")

    async def _in_thread(self, check: Check, look: Callable[[], Outcome]) -> Outcome:
        """Look in a thread. One that takes longer than the check may is not begun again, but waited for the next time.

        A thread cannot be ended: those that read a huge file would become ever more.
        """
        if check not in self._looks:
            self._looks[check] = self._loop.run_in_executor(None, look)
            self._looks[check].add_done_callback(lambda _: self._looks.pop(check))
        return await asyncio.shield(self._looks[check])


def _load_browser() -> Browser:
    """Return a new browser."""
    from vaggapy.supervise.probes.web import Browser  # with httpx, 300 ms, and not everybody checks by HTTP

    if find_spec("sniffio") is None:
        # httpcore looks for it at each step of each request: a third of all the work, where it is not installed.
        sys.modules["sniffio"] = None  # type: ignore[assignment]  # what the documentation of `import` says
    return Browser()
