"""Build containers: what is missing, step by step, each in a sandbox of its own, committed by a rename.

One `Builder` a run of vagga. It decides nothing about steps (`recipe` does) and starts no process itself: the
caller gives it `Tools`, which launch a sandbox, call a function apart, and show what happens.
"""

from __future__ import annotations

import os
import shutil
import sys

from vaggapy.build import making, recipe, store, trust, worker
from vaggapy.build.actions import (
    CACHE,
    DOWNLOADS,
    ROOT,
    ROOTS,
    VOLUMES,
)
from vaggapy.build.context import PATH, Machine
from vaggapy.build.jobs import JOB, STORAGE, Delete, Job, Order
from vaggapy.build.recipe import Version
from vaggapy.errors import CommandError, VaggaError
from vaggapy.record import Record
from vaggapy.sandbox.operations import may_hide
from vaggapy.sandbox.spec import PIPES, Bind, HostRoot, Launch, Overlay, Program, Sandbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vaggapy.build.sources import Source
    from vaggapy.build.store import Places
    from vaggapy.config.model import Project
    from vaggapy.host import Host

NO_OVERLAY = "VAGGA_NO_OVERLAY"
"""A variable of the caller: copy instead of overlaying, to try what happens where overlayfs cannot be used."""


class Options(Record):
    """How to build. `force`: run the steps of the container that was asked for again; `fresh`: those of all.

    `wait`: for another vagga that builds the same container.
    """

    force: bool = False
    fresh: bool = False
    wait: bool = False


class View:
    """What is told of a build; this one tells nothing."""

    def begin(self, container: str, steps: int) -> None:
        """A container is about to be built, of so many steps."""

    def step(self, number: int, title: str, cached: bool) -> None:
        """A step begins, or was found in the cache."""

    def output(self, data: bytes) -> None:
        """A step has written something."""

    def message(self, text: str) -> None:
        """There is something to know."""

    def progress(self, name: str, received: int, total: int | None) -> None:
        """A download goes on."""

    def end(self, container: str, short: str, seconds: float) -> None:
        """A container is built."""

    def failed(self) -> None:
        """The build failed; what went wrong is told next."""

    def stopped(self) -> None:
        """The build was ended by a signal, or by something that is not its own."""


class Tools(Record):
    """What a builder cannot do itself.

    `launch(launch, log, isolate_network)`: run a sandbox to its end, append its output to the file `log`; returns the
    exit code.
    `apart(function)`: call it in a process of its own, with the caller's ids; returns its bytes or raises its error.
    `pause(seconds)`: wait, or raise `Interrupted` when a signal asks for the end.
    `maps`: the id maps of the sandboxes, as text. `look(places, roots)`: how sources are digested.
    """

    launch: Callable[[Launch, str, bool], int]
    apart: Callable[[Callable[[], bytes]], bytes]
    look: Callable[[Places, dict[str, str]], Callable[[Source], bytes | None]]
    pause: Callable[[float], None]
    view: View
    maps: str


class Builder:
    """Builds containers of one project, each at most once."""

    def __init__(
        self,
        project: Project,
        kinds: recipe.Kinds,
        places: Places,
        host: Host,
        machine: Machine,
        tools: Tools,
        options: Options,
    ) -> None:
        """Prepare; nothing is done yet."""
        self.project = project
        self.kinds = kinds
        self.places = places
        self.host = host
        self.machine = machine
        self.tools = tools
        self.options = options
        self._roots: dict[str, str] = {}
        self._copies: bool | None = None
        self.built: list[str] = []

    def ensure(self, name: str, asked: bool = False) -> str:
        """Return the directory of the version of a container, built if it is not there (`ROOT/root` is the root).

        `asked`: `force` is meant for this one.

        Raises:
            VaggaError: a step failed, or it cannot be known what to build.
        """
        if name in self._roots:
            return self._roots[name]
        for other in recipe.needs(self.project, name, self.kinds):
            self.ensure(other)
        again = self.options.fresh or (asked and self.options.force)
        known = self.version(name)
        directory = self.places.root(name, known.digest) if known.digest else ""
        if not directory or again or not store.is_built(directory, known.digest, self.tools.maps):
            directory = self._build(name, again)
        self._use(name, directory)
        self._roots[name] = directory
        store.hold(directory)  # as long as we live: it may be the base of the next one
        return directory

    def version(self, name: str) -> Version:
        """Return the version as far as it can be known now."""
        return recipe.version(
            self.project,
            name,
            self.kinds,
            self.tools.look(self.places, {n: f"{d}/root" for n, d in self._roots.items()}),
        )

    def _use(self, name: str, directory: str) -> None:
        """Note the use of a root, and let the project's link lead to it."""
        store.touch(directory)
        before = store.linked(self.places, name)
        store.link(self.places, name, directory)
        clean = self.project.containers[name].auto_clean and not self.project.settings.disable_auto_clean
        if clean and before and before != directory:
            self.discard(before)

    # --- one container --------------------------------------------------------------------------------------------

    def _build(self, name: str, again: bool) -> str:
        """Build a container under its lock and return its directory."""
        try:
            return self._build_locked(name, again)
        except OSError as error:
            place = os.fsdecode(error.filename or self.places.base)
            what = f"container {name} cannot be built: {place}: {error.strerror or error}"
            raise VaggaError(what, "vagga keeps images there: make room or access", "storage") from error

    def _build_locked(self, name: str, again: bool) -> str:
        lock = store.Lock(self.places, name)
        lock.acquire(self.options.wait, self.tools.view.message, self.tools.pause)
        try:
            known = self.version(name)
            if known.digest and not again:
                directory = self.places.root(name, known.digest)
                if store.is_built(directory, known.digest, self.tools.maps):
                    return directory  # by the one we waited for
                if store.built_maps(directory) not in ("", self.tools.maps):
                    self.tools.view.message(f"container {name} was built for other user ids, so it is built again")
            return making.Making(self, name, again).run()
        finally:
            lock.release()

    def delete(self, directories: tuple[str, ...]) -> None:
        """Remove directories of the storage with all that is in them, whoever owns it."""
        there = tuple(path for path in directories if os.path.lexists(path))
        if there:
            inside = tuple(STORAGE + path.removeprefix(self.places.base) for path in there)
            self.work((Delete(inside),), (), "")

    def discard(self, directory: str) -> None:
        """Remove a root or a layer that is not needed any more, unless a vagga that runs uses it."""
        claimed = store.claim(directory)
        if claimed >= 0:
            try:
                self.sweep((store.retire(directory),))
            finally:
                os.close(claimed)

    def sweep(self, directories: tuple[str, ...]) -> None:
        """Remove what nobody needs, or say why it stays: the ids of its files may not be the caller's any more."""
        try:
            self.delete(directories)
        except (VaggaError, OSError) as error:
            why = error.what if isinstance(error, VaggaError) else error.strerror
            self.tools.view.message(f"something that is not needed cannot be removed: {why}")

    # --- sandboxes ------------------------------------------------------------------------------------------------

    def work(
        self,
        wanted: tuple[Job, ...],
        mounts: tuple[Bind | Overlay, ...],
        log: str,
        streams: str = PIPES,
        directory: str = "",
    ) -> dict[str, str]:
        """Let the worker do jobs; `mounts` is what it sees beside the storage and the cache.

        `streams`: where its output goes. `directory`: where the order is put, if not into the storage; it is removed.
        """
        directory = directory or self._job_directory()
        held = store.hold(directory)
        try:
            worker.write_order(directory, Order(wanted))
            program = Program(
                worker.start_words(), {"PATH": PATH, "HOME": "/tmp", "LANG": "C.UTF-8"}, "/", streams=streams
            )
            seen = (*mounts, *self._trusted(), Bind(directory, JOB, read_only=False))
            code = self.tools.launch(Launch(self.on_host(seen), program), log, False)
            try:
                return worker.read_answer(directory)
            except (OSError, EOFError, ValueError) as error:
                raise CommandError(
                    f"the worker ended with {code} and without an answer",
                    f"its output is in {log}" if log else "",
                    "build-worker",
                ) from error
        finally:
            shutil.rmtree(directory, ignore_errors=True)
            if held >= 0:
                os.close(held)

    def root_place(self, place: str) -> str:
        """Return the host path of a place below ROOTS, in the root of a container that was built before."""
        name, _, rest = place.removeprefix(f"{ROOTS}/").partition("/")
        return store.within(f"{self._roots[name]}/root", rest)

    def _job_directory(self) -> str:
        """Make a directory for an order. What has its name is a rest, or not ours at all."""
        directory = f"{self.places.base}/.tmp.job.{os.getpid()}"
        if trust.is_directory(directory):
            shutil.rmtree(directory)
        elif os.path.lexists(directory):
            os.unlink(directory)
        os.mkdir(directory, 0o700)
        return directory

    def _trusted(self) -> tuple[Bind, ...]:
        """Return what the worker sees, and no program that a project could have had a hand in."""
        return (
            Bind(self.places.base, STORAGE, read_only=False),
            Bind(self.places.cache, CACHE),
            *(Bind(f"{directory}/root", f"{ROOTS}/{name}") for name, directory in self._roots.items()),
            *(Bind(path, f"{worker.LIBRARIES}/{number}") for number, path in enumerate(worker.libraries())),
        )

    def downloads(self) -> tuple[Bind, ...]:
        """Return what a program of the host sees of the cache: mmdebstrap runs what a project put into the tree."""
        path = f"{self.places.cache}{DOWNLOADS.removeprefix(CACHE)}"
        return (Bind(path, DOWNLOADS),) if trust.is_directory(path) else ()

    def on_host(self, mounts: tuple[Bind | Overlay, ...]) -> Sandbox:
        """Return a sandbox with the host's system, the project, and these mounts."""
        own = os.path.realpath(sys.base_prefix)
        exposed: tuple[str, ...] = () if own == "/usr" else (own,)
        hidden = tuple(home for home in self.host.homes if may_hide(home))
        seen = [
            *self._volumes(),
            *trust.sealed(self.project.directory, own_place=True),
            *mounts,
        ]
        if self.host.resolver:
            exposed += (self.host.resolver,)
        return Sandbox(HostRoot(hidden, exposed), self.project.directory, tuple(sorted(seen, key=lambda m: m.target)))

    def _volumes(self) -> list[Bind]:
        """Return the external volumes that steps use; of one that is not there, the step that uses it tells."""
        known = self.project.settings.external_volumes
        wanted = recipe.externals(self.project.containers.values()) if known else ()
        used = [name for name in wanted if os.path.exists(known.get(name, ""))]
        return [Bind(os.path.realpath(known[name]), f"{VOLUMES}/{name}") for name in used]

    def copies(self) -> bool:
        """Return whether layers are copies because overlayfs cannot be used in this storage."""
        if self._copies is None:
            self._copies = bool(self.host.environ.get(NO_OVERLAY)) or not self._overlay_works()
        return self._copies

    def _overlay_works(self) -> bool:
        """Lay an empty directory over another one of the storage, to see whether that is possible."""
        trial = f"{self.places.layers}/.tmp.try.{os.getpid()}"
        self.delete((trial,))
        for part in ("lower", "upper", "work"):
            os.makedirs(f"{trial}/{part}", exist_ok=True)
        overlay = Overlay(ROOT, (f"{trial}/lower",), f"{trial}/upper", f"{trial}/work")
        program = Program(("/bin/true",), {"PATH": PATH}, "/", streams=PIPES)
        try:
            works = self.tools.launch(Launch(self.on_host((overlay,)), program), "", False) == 0
        except VaggaError:
            works = False
        self.delete((trial,))
        return works
