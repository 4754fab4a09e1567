"""Takes things of the storage away: each under the lock that protects it, all by one worker; then the report."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time

from vaggapy.build import clean, inputs, inventory, recipe, registry, store
from vaggapy.build.clean import Thing
from vaggapy.build.index import Index, directory_for
from vaggapy.build.jobs import STORAGE, Delete, Measure
from vaggapy.build.run import Options as BuildOptions
from vaggapy.build.store import Places
from vaggapy.cli import building
from vaggapy.cli.roots import maps_text
from vaggapy.errors import CommandError, visible
from vaggapy.record import replace
from vaggapy.sandbox import run as sandboxes
from vaggapy.supervise.signals import Signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from vaggapy.build.recipe import Version
    from vaggapy.build.sources import Source
    from vaggapy.config.model import Project
    from vaggapy.host import Host
    from vaggapy.sandbox.spec import IdMaps

OWN_DIRECTORIES = (".roots", ".layers", ".volumes", ".transient", ".cache", ".mnt")


class Sweep:
    """One `vagga _clean`: what goes, of one or more storages."""

    def __init__(self, project: Project, caller: Host, dry: bool) -> None:
        """Begin with nothing. `dry`: everything is looked at, and nothing is changed."""
        self._project = project
        self._caller = caller
        self._dry = dry
        self._signals = Signals()
        self._maps: IdMaps | None = None
        self._storages: list[Places] = []
        self._freed = 0
        self._count = 0

    # --- what the project needs -----------------------------------------------------------------------------------

    def needed(self, project: Project, places: Places) -> tuple[frozenset[str], frozenset[str]]:
        """Return the names of the roots and layers that the containers are made of now.

        What a container that cannot be versioned yet was last built as counts as needed.

        Raises:
            VaggaError: a version cannot be found out.
        """
        maps = self.maps()
        kinds = registry.kinds()
        machine = building.machine(project, self._caller, maps)
        versions: dict[str, Version] = {}
        roots: dict[str, str] = {}

        def look(source: Source) -> bytes | None:
            seen = inputs.Places(places.project, places.cache, roots, maps)
            # A dry run keeps nothing in the index.
            kept = "" if self._dry else directory_for(places.project, dict(os.environ))
            return inputs.digest(source, seen, Index(kept), building.run_program)

        def visit(name: str) -> None:
            if name in versions or project.containers[name].host is not None:
                return
            for other in recipe.needs(project, name, kinds):
                visit(other)
            versions[name] = version = recipe.version(project, name, kinds, look)
            directory = places.root(name, version.digest) if version.digest else store.linked(places, name)
            if not version.digest:
                tell(f"the version of container {name} is known only when it is built: what is built of it stays")
            if directory and os.path.isdir(f"{directory}/root"):
                roots[name] = f"{directory}/root"

        for name in project.containers:
            visit(name)
        layers = {
            recipe.layer_key(key, machine, maps_text(maps).encode())
            for version in versions.values()
            for key in version.keys
        }
        return frozenset(os.path.basename(os.path.dirname(root)) for root in roots.values()), frozenset(layers)

    def maps(self) -> IdMaps:
        """Return the id maps that sandboxes get, found out by making one."""
        if self._maps is None:
            spawner = sandboxes.start(self._caller.uid, self._caller.gid, self._caller.user)
            spawner.stop()
            self._maps = spawner.maps
        return self._maps

    # --- storages -------------------------------------------------------------------------------------------------

    def all_places(self) -> Iterator[Places]:
        """Yield the storage of each project in `storage-dir`."""
        settings = self._project.settings
        for name in sorted(os.listdir(settings.storage_dir) if os.path.isdir(settings.storage_dir) else ()):
            base = f"{settings.storage_dir}/{name}"
            ours = any(os.path.isdir(f"{base}/{part}") for part in (".roots", ".layers", ".volumes"))
            if name.startswith(".") or os.path.islink(base) or not ours or _same(base, settings.cache_dir):
                continue
            project = _leads_back(base)
            yield Places(project, f"{project}/.vagga" if project else base, base, f"{base}/.cache")

    def take_cache(self) -> None:
        """Take what is in `cache-dir`, unless a build of this project uses it."""
        directory = self._project.settings.cache_dir
        if directory:
            places = Places(self._project.directory, f"{directory}/.none", directory, directory)
            names = sorted(name for name in os.listdir(directory) if not name.startswith("."))
            self.take(places, tuple(Thing(clean.OWNED, f"{directory}/{name}") for name in names))

    # --- things ---------------------------------------------------------------------------------------------------

    def take(self, places: Places, things: tuple[Thing, ...]) -> None:
        """Take things away and say so, or in a dry run only say so. What is in use stays, and that is said too.

        Raises:
            VaggaError, OSError: something cannot be removed.
        """
        self._storages.append(places)
        hold = Hold(places, self._dry)
        try:
            free = tuple(thing for thing in things if self._may(hold, thing))
            inside = tuple(thing for thing in free if thing.kind not in (clean.LINK, clean.ENTRY))
            now = {thing: hold.rename(thing) for thing in inside}
            sizes = self._remove(places, tuple(now.values()))
            hold.forget_locks()
            by_path = dict(zip(now.values(), sizes, strict=True))
            for thing in free:
                if thing in now:
                    self._report(thing, by_path[now[thing]])
                else:
                    self._unlink(thing)
            if not self._dry:
                self._unlink_dangling(places)
        finally:
            hold.release()

    def _may(self, hold: Hold, thing: Thing) -> bool:
        why = hold.why_not(thing)
        if why:
            tell(f"{thing.path} stays: {why}")
        return not why

    def _remove(self, places: Places, paths: tuple[str, ...]) -> tuple[int, ...]:
        """Let the worker measure paths and, but in a dry run, remove them; return what each of them frees."""
        if not paths:
            return ()
        alone = replace(places, cache=places.base)  # it sees nothing else
        made = building.builder(self._project, alone, self._caller, self._signals, self.maps(), BuildOptions())
        inside = tuple(STORAGE + path.removeprefix(places.base) for path in paths)
        # In a dry run not even the order is put into the storage.
        directory = tempfile.mkdtemp(prefix="vagga-clean-") if self._dry else ""
        try:
            facts = made.work((Measure(inside), *(() if self._dry else (Delete(inside),))), (), "", directory=directory)
        finally:
            if directory:
                shutil.rmtree(directory, ignore_errors=True)
        return tuple(int(facts.get(str(number), "0")) for number in range(len(paths)))

    def _unlink(self, thing: Thing) -> None:
        """Remove a file or link that is the caller's own."""
        try:
            status = os.lstat(thing.path)
            if not self._dry:
                os.unlink(thing.path)
        except FileNotFoundError:
            return
        self._report(thing, status.st_blocks * 512)

    def _unlink_dangling(self, places: Places) -> None:
        """Remove the links to roots that are gone."""
        for name, root in inventory.links(places):
            if not os.path.isdir(f"{places.roots}/{root}"):
                os.unlink(f"{places.links}/{name}")

    # --- the report -----------------------------------------------------------------------------------------------

    def _report(self, thing: Thing, freed: int) -> None:
        if thing.name.startswith(inventory.UNFINISHED) and thing.name.endswith(inventory.LOCK):
            return  # An empty file of our own is nothing to tell of.
        self._freed += freed
        self._count += 1
        verb = "Would remove" if self._dry else "Removed"
        print(f'{verb} "{visible(thing.path)}" ({clean.size(freed)})')

    def finish(self, everything: bool) -> None:
        """Say how much it was; with `everything`, remove the directories that are empty now."""
        if everything and not self._dry:
            for places in self._storages:
                _remove_empty(places)
        if not self._count:
            print("Nothing to remove.")
        else:
            print(f"{clean.size(self._freed)} {'would be ' if self._dry else ''}freed.")


class Hold:
    """The locks of one storage that cleaning takes, until it is over. In a dry run they are only looked at."""

    def __init__(self, places: Places, dry: bool) -> None:
        """Take none yet."""
        self._places = places
        self._dry = dry
        self._claimed: dict[str, int] = {}
        self._locks: dict[str, store.Lock] = {}
        self._refused: set[str] = set()

    def why_not(self, thing: Thing) -> str:
        """Return why a thing cannot go now, "" if it can; then its lock is held."""
        match thing.kind:
            case clean.ROOT:
                return "" if self._claim(thing.path) else "a vagga that runs uses it"
            case clean.TEMPORARY:
                return self._why_not_temporary(thing)
            case clean.LAYER | clean.CACHE:
                return "" if self._claim(self._places.layers) else "a container is being built"
            case clean.VOLUME:
                return "" if self._claim(self._places.volumes) else "a vagga that runs uses volumes"
            case clean.OWNED:
                ours = thing.name.startswith(inventory.UNFINISHED)  # its lock says more than a number
                alive = not self._claim(thing.path) if ours else inventory.owner_is_alive(thing.path)
                return "a vagga that runs uses it" if alive else ""
            case _:
                return ""

    def _why_not_temporary(self, thing: Thing) -> str:
        if thing.name.startswith((store.GONE, store.REPLACED)):
            return "" if self._claim(thing.path) else "a vagga that runs uses it"
        name = thing.name.removeprefix(inventory.UNFINISHED).removesuffix(inventory.LOCK)
        return "" if self._lock(name) else f"container {name} is being built"

    def _claim(self, directory: str) -> bool:
        """Keep others from using a directory; one that is not there is used by nobody."""
        if directory not in self._claimed and os.path.isdir(directory):
            claimed = store.claim(directory)
            if claimed < 0:
                return False
            self._claimed[directory] = claimed
        return True

    def _lock(self, name: str) -> bool:
        """Keep others from building a container."""
        if name in self._locks:
            return True
        if name in self._refused:
            return False
        lock = store.Lock(self._places, name)
        if self._dry:
            return _is_free(lock.path)
        try:
            lock.acquire(False, lambda _: None, time.sleep)
        except CommandError:
            self._refused.add(name)
            return False
        self._locks[name] = lock
        return True

    def rename(self, thing: Thing) -> str:
        """Take a thing's name away and return the new one; what nobody takes for something whole keeps it."""
        whole = thing.kind in (clean.ROOT, clean.LAYER, clean.VOLUME, clean.CACHE)
        if self._dry or not whole or thing.name.startswith(inventory.UNFINISHED):
            return thing.path
        return store.retire(thing.path)

    def forget_locks(self) -> None:
        """Remove the files of the locks that are held: whoever waits for one sees that it is another one now."""
        for lock in self._locks.values():
            try:
                os.unlink(lock.path)
            except FileNotFoundError:
                pass

    def release(self) -> None:
        """Give everything back."""
        for fd in self._claimed.values():
            os.close(fd)
        for lock in self._locks.values():
            lock.release()


def tell(text: str) -> None:
    """Write a line for people."""
    os.write(2, f"vagga: {visible(text)}\n".encode("utf-8", "replace"))


def _is_free(path: str) -> bool:
    """Return whether nobody holds a lock; nothing is made for that."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _same(one: str, other: str) -> bool:
    return bool(other) and os.path.realpath(one) == os.path.realpath(other)


def _leads_back(base: str) -> str:
    """Return the project whose `.vagga` leads to a storage, "" if it is gone or leads elsewhere."""
    try:
        project = os.readlink(f"{base}/.lnk")
        there = os.readlink(f"{project}/.vagga/.lnk")
    except OSError:
        return ""
    return project if os.path.realpath(os.path.join(project, ".vagga", there)) == os.path.realpath(base) else ""


def _remove_empty(places: Places) -> None:
    """Remove the directories of a storage as far as nothing is in them, and the links between them and the project."""
    for name in OWN_DIRECTORIES:
        _remove_directory(f"{places.base}/{name}")
    own = {".lnk"} if places.base != places.links else set()
    if os.path.isdir(places.base) and set(os.listdir(places.base)) <= own:
        for link in (f"{places.base}/.lnk", f"{places.links}/.lnk"):
            if os.path.islink(link):
                os.unlink(link)
        _remove_directory(places.base)
    _remove_directory(places.links)


def _remove_directory(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError:
        pass  # It is not there, or something is in it that stays.
