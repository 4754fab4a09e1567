"""The right to make and to fill persistent volumes, one vagga at a time. Imported only when there is one to be made.

A volume in the making is `.volumes/.tmp.NAME`, and gets its name by a rename when its `init-command` has ended well.
Who makes it holds the lock `.volumes/.tmp.NAME.lock`, which the kernel takes away with the process: what a vagga left
that was killed begins anew.

Source: vagga.md 7.3. Differs: with `build-lock-wait` the second vagga waits instead of failing.
"""

from __future__ import annotations

import os
import select
from contextlib import ExitStack

from vaggapy.build import store
from vaggapy.build.filelock import locked
from vaggapy.errors import CommandError, Interrupted, VaggaError
from vaggapy.supervise.signals import ASKING, TSTP
from vaggapy.volumes import FILLED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vaggapy.build.store import Places
    from vaggapy.config.model import Project
    from vaggapy.host import Host
    from vaggapy.plan import Plan
    from vaggapy.supervise.signals import Signals
    from vaggapy.supervise.stage import Stage

LOOK_AGAIN = 100  # ms between two tries to get a lock


class Busy(Exception):  # noqa: N818 - asked for and caught here
    """Somebody else has the lock."""


class Filling:
    """The volumes that this run fills, each with its lock."""

    def __init__(self, project: Project, host: Host, signals: Signals) -> None:
        """Prepare; nothing is locked yet."""
        self._places = store.places(project.directory, project.settings, host.environ, create=True)
        self._wait = project.settings.build_lock_wait
        self._signals = signals
        self._locks: dict[str, ExitStack] = {}

    def begin(self, planned: Plan, make_plan: Callable[[], Plan | None]) -> Plan:
        """Lock the volumes that a plan fills; return the plan as it is then, for another vagga may have filled them.

        Raises:
            CommandError: another vagga fills one of them, and `build-lock-wait` is not set.
            Interrupted: the user does not want to wait for it.
        """
        while (names := _filled(planned)) != tuple(self._locks):
            self.close()
            for name in names:  # in one order everywhere, so that no two wait for each other
                self._locks[name] = hold(self._places, name, self._signals, self._wait)
            planned = make_plan() or planned
        return planned

    def keep(self, stage: Stage) -> None:
        """Give the volumes that a stage has filled their names.

        Raises:
            VaggaError: the storage does not allow it.
        """
        directory = self._places.volumes
        for name in stage.fills:
            try:
                os.rename(f"{directory}/{FILLED}{name}", f"{directory}/{name}")
            except OSError as error:
                raise VaggaError(
                    f"volume {name} cannot be kept: {error.strerror}", f"look at {directory}", "storage"
                ) from error
            self._locks.pop(name).close()

    def close(self) -> None:
        """Give all locks back."""
        while self._locks:
            self._locks.popitem()[1].close()


def _filled(planned: Plan) -> tuple[str, ...]:
    return tuple(sorted({name for stage in planned.stages for name in stage.fills}))


def hold(places: Places, name: str, signals: Signals, wait: bool) -> ExitStack:
    """Take the lock of a volume; it is given back when what is returned is closed.

    Raises:
        CommandError: another vagga has it, and `wait` is False.
        Interrupted: a signal came while it was waited for.
    """
    held = ExitStack()
    told = False
    while True:
        try:
            held.enter_context(locked(f"{places.volumes}/{FILLED}{name}.lock", _busy))
            return held
        except Busy:
            if not wait:
                raise CommandError(
                    f"volume {name} is being filled by another vagga",
                    "wait for it, or set build-lock-wait: true in the settings",
                    "volume-locked",
                ) from None
        if not told:
            told = True
            os.write(2, f"vagga: another vagga fills volume {name}, waiting for it\n".encode())
        _pause(signals)


def _busy() -> None:
    raise Busy


def _pause(signals: Signals) -> None:
    """Wait a little; heed what the user says meanwhile."""
    watch = select.poll()
    watch.register(signals.fileno(), select.POLLIN)
    watch.poll(LOOK_AGAIN)
    numbers = signals.read()
    for number in numbers:
        if number in ASKING:
            raise Interrupted(number)
    if TSTP in numbers:
        signals.stop_here()
