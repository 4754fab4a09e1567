"""One container on its way to a root: its layers one after the other, then the plain tree of all of them.

A layer is made in a directory of its own, whose name says that it is not done and whose it is, and gets its real
name by a rename when everything in it has succeeded.
"""

from __future__ import annotations

import os
import shutil
import time

from vaggapy.build import recipe, store, trust
from vaggapy.build.actions import (
    ROOT,
    Action,
    Execute,
    Fetch,
    FetchGit,
    FetchImage,
    FileAction,
    OnHost,
    UnpackImage,
)
from vaggapy.build.context import ALPINE, DEBIAN, PATH, UBUNTU, Context, Machine
from vaggapy.build.image_settings import VARIABLE, with_ids
from vaggapy.build.jobs import STORAGE, Apply, Condense, Delete, Duplicate, Flatten, Job
from vaggapy.build.recipe import Link, Version
from vaggapy.errors import CommandError, VaggaError
from vaggapy.record import replace
from vaggapy.sandbox.spec import PIPES, Bind, ImageRoot, Launch, Overlay, Program, Sandbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from vaggapy.build.run import Builder, View
    from vaggapy.build.store import Places

CERTIFICATES = "/run/vagga/certificates.pem"
CERTIFICATE_VARIABLES = (
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
)
FACTS = "facts"
LAYERS = "layers"
LOG = "build.log"
WHOLE = "whole"
IMAGE = "!Image"


class Making:
    """One container on its way: layers, then the plain tree."""

    # `_layers`: what the next layer is put upon, lowest first; one that is whole hides all before it.

    def __init__(self, builder: Builder, name: str, again: bool) -> None:
        self._b = builder
        self._name = name
        self._again = again
        self._places = builder.places
        self._tools = builder.tools
        self._project = builder.project
        self._chain = recipe.chain(self._project, name)
        self._temporary = f"{self._places.roots}/.tmp.{name}"
        self._log = f"{self._temporary}/{LOG}"
        self._layers: list[str] = []
        self._held: list[int] = []
        self._used: list[str] = []
        self._timings: list[str] = []
        self._fetched: list[Action] = []
        self._image: dict[str, str] = {}
        self._offered: Mapping[str, str] = {}

    def run(self) -> str:
        """Build, and return the directory of the finished version."""
        started = time.monotonic()
        places, view = self._places, self._tools.view
        self._hold(places.layers)  # so that nobody cleans them away
        try:
            return self._run(started, places, view)
        finally:
            for fd in self._held:
                os.close(fd)

    def _hold(self, directory: str) -> bool:
        """Keep others from removing a directory until this container is built; return whether it is there."""
        fd = store.hold(directory)
        if fd >= 0:
            self._held.append(fd)
        return fd >= 0

    def _run(self, started: float, places: Places, view: View) -> str:
        before = (store.retire(self._temporary),) if os.path.lexists(self._temporary) else ()
        self._b.sweep((*before, *self._orphans()))
        store.remove_half_links(places)
        os.mkdir(self._temporary)
        shown = [link for link in self._chain if link.step is not None]
        view.begin(self._name, len(shown))
        try:
            version = self._make_root(shown)
        except VaggaError:
            view.failed()
            raise
        except BaseException:
            view.stopped()
            raise
        directory = places.root(self._name, version.digest)
        self._describe(version, started)
        if os.path.lexists(directory) and not trust.is_directory(directory):
            os.unlink(directory)  # a project's own idea
        old = f"{places.roots}/{store.REPLACED}{self._name}.{os.getpid()}"
        store.replace(self._temporary, directory, old)
        self._b.discard(old)
        self._b.built.append(self._name)
        view.end(self._name, version.short, time.monotonic() - started)
        return directory

    def _make_root(self, shown: list[Link]) -> Version:
        """Make layers and root, and return what they turned out to be."""
        self._make_layers(shown)
        version = self._b.version(self._name)
        if not version.digest:
            raise self._unknown()
        self._flatten()
        return version

    def _orphans(self) -> tuple[str, ...]:
        """Return what builds that were killed have left: their locks tell that nobody is at it."""
        places = self._places
        found = [f"{places.layers}/{name}" for name in os.listdir(places.layers) if name.startswith(".tmp.")]
        found += [f"{places.base}/{name}" for name in os.listdir(places.base) if name.startswith(".tmp.job.")]
        # Roots, replaced ones, unfinished ones: what is being removed has another name before its own.
        old = f"{store.REPLACED}{self._name}."
        own = (old, store.GONE + old.lstrip("."), f"{store.GONE}{self._name}.", f"{store.GONE}tmp.{self._name}.")
        found += [f"{places.roots}/{name}" for name in os.listdir(places.roots) if name.startswith(own)]
        return tuple(path for path in found if _is_orphan(path))

    def _unknown(self) -> CommandError:
        return CommandError(
            f"container {self._name} has no version: a file that a step reads is not there",
            "look at the paths of !Copy, !Depends and the like",
            "build-no-version",
        )

    def _describe(self, version: Version, started: float) -> None:
        """Write what is known of a root beside it."""
        store.write(f"{self._temporary}/{store.FOUND_BY}", version.digest)
        store.write(f"{self._temporary}/maps", self._tools.maps)
        used = "".join(f"{os.path.basename(os.path.dirname(layer))}\n" for layer in self._used)
        store.write(f"{self._temporary}/{LAYERS}", used)
        lines = [*self._timings, f"{time.monotonic() - started:7.3f}   Finish"]
        store.write(f"{self._temporary}/timings.log", "".join(f"{line}\n" for line in lines))
        self._describe_image()
        store.touch(self._temporary)

    def _describe_image(self) -> None:
        """Keep what an image says about its programs, as far as its step lets it."""
        found = self._image | {f"{VARIABLE}{name}": value for name, value in self._offered.items()}
        if found:
            found = with_ids(found, f"{self._temporary}/root", self._name)
            store.write(f"{self._temporary}/image", "".join(f"{name}={value}\0" for name, value in found.items()))

    def _image_facts(self, link: Link) -> dict[str, str]:
        """Return what the image of a link says about programs, as far as its step lets it."""
        if link.step is None or link.step.tag != IMAGE:
            return {}
        from vaggapy.build.image_settings import settings  # only where there is an image

        return settings(link.step, self._places.cache, self._b.machine)

    # --- layers ---------------------------------------------------------------------------------------------------

    def _make_layers(self, shown: list[Link]) -> None:
        """Have every layer of the chain, and the context that goes with each."""
        context = Context(self._name, self._b.machine)
        number = 0
        self._renew_images()
        version = self._b.version(self._name)
        for index, link in enumerate(self._chain):
            number += link.step is not None
            title = f"{link.title}{_summary(link)}"
            done = recipe.act(self._project, link, self._b.kinds, context)
            if index >= len(version.keys):
                self._fetch(done.actions)  # What an image or a download is may be known only now.
                version = self._b.version(self._name)
            key = (
                recipe.layer_key(version.keys[index], self._b.machine, self._tools.maps.encode())
                if index < len(version.keys)
                else ""
            )
            layer = f"{self._places.layers}/{key}"
            again = self._is_again(link)
            cached = bool(key) and not again and _is_layer(layer) and self._hold(layer)
            if link.step is not None:
                self._tools.view.step(number, title, cached)
            began = time.monotonic()
            if not cached:
                layer = self._make(link, done.actions, index, key)
                if not key:
                    version = self._b.version(self._name)
                    if index >= len(version.keys):
                        raise self._unknown()
                    layer = self._rename(layer, version.keys[index])
            self._timings.append(f"{time.monotonic() - began:7.3f}   {'Cached' if cached else 'Step'}: {title}")
            os.utime(layer)
            if os.path.exists(f"{layer}/{WHOLE}"):
                self._layers.clear()
            self._layers.append(f"{layer}/d")
            self._used.append(f"{layer}/d")
            facts = store.facts(f"{layer}/{FACTS}")
            if link.step is not None and link.step.tag == IMAGE:
                self._image = facts
            context = _informed(done.context, facts)
        self._offered = context.offered

    def _is_again(self, link: Link) -> bool:
        """Return whether a link is to be done again although its layer is there."""
        return self._again and (link.container == self._name or self._b.options.fresh)

    def _renew_images(self) -> None:
        """Ask again what tags mean, before anything is named after what they meant."""
        for link in self._chain:
            if self._is_again(link) and link.step is not None and link.step.tag == IMAGE:
                done = recipe.act(self._project, link, self._b.kinds, Context(self._name, self._b.machine))
                self._fetch(done.actions, fresh=True)

    def _make(self, link: Link, actions: tuple[Action, ...], index: int, key: str) -> str:
        """Do the actions of one link and return its layer."""
        making = f"{self._places.layers}/.tmp.{key or index}.{os.getpid()}"
        self._b.delete((making,))
        if key and not _is_layer(f"{self._places.layers}/{key}"):
            self._b.delete((f"{self._places.layers}/{key}",))
        os.makedirs(f"{making}/d")
        os.makedirs(f"{making}/w")
        self._hold(making)
        copied = bool(self._layers) and self._b.copies()
        if copied:
            self._copy_layers(making)
        kind = self._b.kinds.get(link.step.tag) if link.step is not None else None
        find_out = kind is not None and kind.finds_out
        try:
            facts = self._do(actions, making, find_out) | self._image_facts(link)
        except VaggaError as error:
            self._b.sweep((making,))
            raise _placed(error, link) from error
        if copied:
            self._condense(making)
        store.write(f"{making}/{FACTS}", "".join(f"{name}={value}\0" for name, value in facts.items()))
        return self._commit(making, key) if key else making

    def _copy_layers(self, making: str) -> None:
        """Begin a layer as a copy of all before it, where it cannot be laid over them."""
        os.rmdir(f"{making}/d")
        below, made = self._storage(f"{making}/below"), self._storage(f"{making}/d")
        layers = tuple(self._storage(layer) for layer in self._layers)
        self._work((Flatten(layers, below), Duplicate(below, made)))

    def _condense(self, making: str) -> None:
        """Let a copied layer share with those before it what has not changed."""
        below, made, target = (self._storage(f"{making}/{part}") for part in ("below", "d", "s"))
        self._work((Condense(made, below, target), Delete((made, below))))
        os.rename(f"{making}/s", f"{making}/d")
        store.write(f"{making}/{WHOLE}", "")

    def _rename(self, making: str, key: str) -> str:
        return self._commit(making, recipe.layer_key(key, self._b.machine, self._tools.maps.encode()))

    def _commit(self, making: str, key: str) -> str:
        """Give a layer its name. Somebody else may have been quicker with the same one, unless it is to be new."""
        place = f"{self._places.layers}/{key}"
        self._remove_work(f"{making}/w")
        if self._again:
            old = f"{self._places.layers}/.tmp.old-{key}.{os.getpid()}"
            store.replace(making, place, old)
            self._b.discard(old)
        elif not store.put(making, place):
            if not _is_layer(place):
                raise VaggaError(f"{place} is no layer", "remove it", "storage")
            self._hold(place)
            self._b.sweep((making,))
        return place

    def _remove_work(self, path: str) -> None:
        """Remove the work directory of an overlay: usually two empty ones, of which one cannot be looked into."""
        try:
            if os.path.lexists(f"{path}/work"):
                os.rmdir(f"{path}/work")
            os.rmdir(path)
        except OSError:
            self._b.delete((path,))

    def _flatten(self) -> None:
        """Make the plain tree of all layers."""
        job = Flatten(tuple(self._storage(layer) for layer in self._layers), self._storage(f"{self._temporary}/root"))
        self._work((job,))

    # --- actions --------------------------------------------------------------------------------------------------

    def _do(self, actions: tuple[Action, ...], making: str, find_out: bool) -> dict[str, str]:
        """Do actions in their order, those of the worker that follow each other in one process."""
        self._fetch(actions)
        waiting: list[FileAction] = []
        for action in actions:
            match action:
                case Execute():
                    self._apply(waiting, making)
                    self._execute(action, making)
                case OnHost():
                    self._apply(waiting, making)
                    self._on_host(action, making)
                case Fetch() | FetchImage() | FetchGit():
                    pass
                case UnpackImage(reference):
                    waiting.append(UnpackImage(self._pinned(reference)))
                case _:
                    waiting.append(action)
        return self._apply(waiting, making, find_out)

    def _pinned(self, reference: str) -> str:
        """Return the name of an image by its digest: what a tag means may be asked anew by somebody else."""
        from vaggapy.build.image_cache import read_image  # only where there is an image

        image = read_image(self._places.cache, reference)
        return image.pinned if image is not None else reference

    def _fetch(self, actions: tuple[Action, ...], fresh: bool = False) -> None:
        """Have everything in the cache that actions need from elsewhere."""
        from vaggapy.build.obtain import obtain  # only where something is fetched

        for action in actions:
            if isinstance(action, Fetch | FetchImage | FetchGit) and action not in self._fetched:
                fresh = fresh or self._b.options.fresh
                obtain(action, self._places, self._b.machine, self._tools.apart, self._tools.view, fresh)
                self._fetched.append(action)

    def _apply(self, waiting: list[FileAction], making: str, find_out: bool = False) -> dict[str, str]:
        if not waiting and not find_out:
            return {}
        job = Apply(tuple(waiting), self._b.machine.single_id, find_out)
        waiting.clear()
        return self._b.work((job,), (self._tree(making, ROOT),), self._log)

    def _work(self, wanted: tuple[Job, ...]) -> None:
        self._b.work(wanted, (), self._log)

    def _tree(self, making: str, target: str) -> Bind | Overlay:
        """Return the mount of the tree that is being made."""
        if not self._layers or self._b.copies():
            return Bind(f"{making}/d", target, read_only=False)
        return Overlay(target, tuple(reversed(self._layers)), f"{making}/d", f"{making}/w")

    def _execute(self, action: Execute, making: str) -> None:
        """Run a program inside the tree."""
        tree = self._tree(making, "/")
        root = tree if isinstance(tree, Overlay) else ImageRoot(self._name, f"{making}/d", writable=True)
        mounts = [Bind(self._cache(name), path, read_only=False) for path, name in action.caches]
        mounts += [Bind(self._b.root_place(place), path) for path, place in action.mounts]
        host = self._host_files()
        environ = {**_build_environ(self._b.machine), **action.environ}
        program = Program(action.words, environ, action.directory, action.uid, action.gid, action.groups, streams=PIPES)
        mounts += trust.sealed(self._project.directory, own_place=False)
        sandbox = Sandbox(root, self._project.directory, tuple(sorted([*mounts, *host], key=lambda m: m.target)))
        self._launch(Launch(sandbox, program), action.title or _shown(action.words), action.isolate_network)

    def _on_host(self, action: OnHost, making: str) -> None:
        """Run a program of the host that sees the tree."""
        for wanted, package in (*action.needed, (action.words[0], action.package)):
            if not (os.path.exists(wanted) if wanted.startswith("/") else shutil.which(wanted)):
                raise CommandError(
                    f"container {self._name} needs {wanted} on this machine, which is not there",
                    f"install the package {package}",
                    "build-program",
                )
        environ = {**_build_environ(self._b.machine), **action.environ}
        program = Program(action.words, environ, action.directory, streams=PIPES)
        certificates = [mount for mount in self._host_files() if mount.target == CERTIFICATES]
        sandbox = self._b.on_host((self._tree(making, ROOT), *certificates, *self._b.downloads()))
        self._launch(Launch(sandbox, program), action.title or _shown(action.words))

    def _host_files(self) -> list[Bind]:
        """Return the files of the host that a build reads."""
        found = [Bind("/etc/hosts", "/etc/hosts", optional=True)]
        if self._b.host.resolver:
            found.append(Bind(self._b.host.resolver, "/etc/resolv.conf", optional=True))
        if self._b.machine.certificates:
            found.append(Bind(self._b.machine.certificates, CERTIFICATES))
        return found

    def _cache(self, name: str) -> str:
        return trust.inner_directory(self._places.cache, name)

    def _launch(self, launch: Launch, title: str, isolate_network: bool = False) -> None:
        code = self._tools.launch(launch, self._log, isolate_network)
        if code:
            what = f"container {self._name}: {title} ended with {code}"
            raise CommandError(what, f"the whole output is in {self._log}", "build-failed")

    def _storage(self, path: str) -> str:
        """Return a path of the storage as the worker sees it."""
        return STORAGE + path.removeprefix(self._places.base)


def _is_layer(directory: str) -> bool:
    """Return whether a layer is there; a link in its place would show another directory of the host."""
    return trust.is_directory(directory) and trust.is_directory(f"{directory}/d")


def _is_orphan(path: str) -> bool:
    """Return whether the vagga whose number ends a name is gone, and nobody uses the directory."""
    owner = path.rpartition(".")[2]
    if not owner.isdigit() or os.path.exists(f"/proc/{owner}"):
        return False
    claimed = store.claim(path)
    if claimed >= 0:
        os.close(claimed)
    return claimed >= 0


def _informed(context: Context, facts: dict[str, str]) -> Context:
    """Return the context with what a new root says of itself: its distribution, and an image's variables."""
    offered = {name.removeprefix(VARIABLE): value for name, value in facts.items() if name.startswith(VARIABLE)}
    context = replace(context, environ={**offered, **context.environ}) if offered else context
    if "ID" not in facts:
        return context
    names = [facts["ID"], *facts.get("ID_LIKE", "").split()]
    distro = next((name for name in names if name in (DEBIAN, UBUNTU, ALPINE)), facts["ID"])
    release = facts.get("VERSION_CODENAME", "")
    if distro == ALPINE:
        release = "v" + ".".join(facts.get("VERSION_ID", "").split(".")[:2])
    return replace(context, distro=distro, release=release)


def _build_environ(machine: Machine) -> dict[str, str]:
    """Return the variables of every program of a build: nothing of the caller's but proxies and authorities."""
    environ = {"TERM": "dumb", "HOME": "/tmp", "PATH": PATH, **machine.proxies}
    if machine.skip_locking:
        environ["VAGGA_NO_APT_LOCK"] = "1"
    if machine.certificates:
        environ.update(dict.fromkeys(CERTIFICATE_VARIABLES, CERTIFICATES))
    return environ


def _placed(error: VaggaError, link: Link) -> VaggaError:
    """Return an error that says which step of the file it comes from."""
    if link.step is None:
        return error
    return VaggaError(f"{link.step.mark}: {link.step.tag}: {error.what}", error.remedy, error.name, error.code)


def _summary(link: Link) -> str:
    """Return the beginning of what a step says, in one line."""
    if link.step is None:
        return ""
    words = " ".join(_words(value) for value in link.step.values.values())
    text = " ".join(words.split())
    return f" {text[:60]}{'...' if len(text) > 60 else ''}" if text else ""


def _words(value: object) -> str:
    """Return a value of a step as people would say it: of pairs, their names."""
    if isinstance(value, (tuple, dict)):
        return " ".join(str(item) for item in value)
    return str(value)


def _shown(words: tuple[str, ...]) -> str:
    """Return a command line as people see it: of a script, its first line."""
    text = " ".join(words[:3])
    if words[0] == "/bin/sh" and len(words) > 2:
        lines = [line.strip() for line in words[2].splitlines() if line.strip()]
        text = f"{lines[0]}{' ...' if len(lines) > 1 else ''}" if lines else "an empty script"
    text = " ".join(text.split())
    return f"'{text[:60]}{'...' if len(text) > 60 else ''}'"
