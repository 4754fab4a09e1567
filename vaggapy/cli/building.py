"""Build what a plan needs: the tools that `build.run` asks for, made of what runs commands. Off the warm path."""

from __future__ import annotations

import os
import platform
import select

from vaggapy.build import inputs, registry, store
from vaggapy.build.apt import mirrors_of
from vaggapy.build.context import DEBIAN, UBUNTU, Machine, Mirrors
from vaggapy.build.jobs import STORAGE, Delete, MakeVolume
from vaggapy.build.run import Builder, Options, Tools, View
from vaggapy.cli.roots import maps_text
from vaggapy.errors import CommandError, ExitCode, Interrupted, VaggaError
from vaggapy.plan import PROXIES
from vaggapy.sandbox import run as sandboxes
from vaggapy.sandbox.spec import Launch
from vaggapy.supervise.events import ChildNotStarted
from vaggapy.supervise.loop import Loop
from vaggapy.supervise.output import Outlet
from vaggapy.supervise.signals import ASKING, TSTP
from vaggapy.supervise.stage import ChildPlan, Stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vaggapy.build.sources import Source
    from vaggapy.build.store import Places
    from vaggapy.config.model import Persistent, Project, Settings
    from vaggapy.host import Host
    from vaggapy.sandbox.spec import IdMaps
    from vaggapy.supervise.events import Told
    from vaggapy.supervise.signals import Signals

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf", "i686": "i386", "ppc64le": "ppc64el"}
GRACE = 2
UNMOVED = {"GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0"}
"""A repository of the project may say where its missing objects are, and by which program to get them."""


def ensure(
    project: Project, name: str, places: Places, host: Host, signals: Signals, maps: IdMaps, build: bool = True
) -> str:
    """Return the directory of a container's root, built if it is not there.

    Raises:
        VaggaError: it cannot be built; with `build` False, if it is not built (exit code 29).
    """
    made = builder(project, places, host, signals, maps, Options(wait=project.settings.build_lock_wait))
    if not build:
        version = made.version(name)
        directory = places.root(name, version.digest)
        if not version.digest or not store.is_built(directory, version.digest, maps_text(maps)):
            raise CommandError(
                f"container {name} is not built", "run without --no-build", "not-built", ExitCode.NOT_BUILT
            )
        return directory
    return made.ensure(name)


def builder(project: Project, places: Places, host: Host, signals: Signals, maps: IdMaps, options: Options) -> Builder:
    """Return a builder with everything that it needs of this machine."""
    from vaggapy.cli.buildview import view  # rich, on a terminal

    launcher = Launcher(host, signals, view(host))
    tools = Tools(
        launcher.launch,
        launcher.apart,
        looker(maps, project.settings),
        launcher.pause,
        launcher.view,
        maps_text(maps),
    )
    return Builder(project, registry.kinds(), places, host, machine(project, host, maps), tools, options)


def machine(project: Project, host: Host, maps: IdMaps) -> Machine:
    """Return what a build may use here."""
    settings = project.settings
    proxies = {name: host.environ[name] for name in PROXIES if name in host.environ} if settings.proxy_env_vars else {}
    certificates = host.environ.get("SSL_CERT_FILE", "")
    kind = platform.machine()
    return Machine(
        mirrors=mirrors(settings),
        architecture=ARCHITECTURES.get(kind, kind),
        single_id=sum(extent.count for extent in maps.uids) == 1,
        proxies=proxies,
        certificates=os.path.realpath(certificates) if os.path.isfile(certificates) else "",
        skip_locking=settings.ubuntu_skip_locking,
    )


def mirrors(settings: Settings) -> Mirrors:
    """Return where distributions are fetched from: as set, else as on this machine if it is the same distribution."""
    usual = Mirrors()
    release = dict(line.split("=", 1) for line in store.read("/etc/os-release").splitlines() if "=" in line)
    texts = [store.read("/etc/apt/sources.list")]
    directory = "/etc/apt/sources.list.d"
    names = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    texts += (store.read(f"{directory}/{name}") for name in names if name.endswith((".list", ".sources")))
    main, security = mirrors_of("\n\n".join(texts), release.get("VERSION_CODENAME", ""))
    own = release.get("ID", "").strip('"')
    debian, ubuntu = (main, security) if own == DEBIAN else ("", ""), (main, security) if own == UBUNTU else ("", "")
    return Mirrors(
        debian=settings.debian_mirror or debian[0] or usual.debian,
        debian_security=debian[1] or usual.debian_security,
        ubuntu=settings.ubuntu_mirror or ubuntu[0] or usual.ubuntu,
        ubuntu_security=settings.ubuntu_mirror or ubuntu[1] or usual.ubuntu_security,
        alpine=settings.alpine_mirror or usual.alpine,
    )


def looker(maps: IdMaps, settings: Settings) -> Callable[[Places, dict[str, str]], Callable[[Source], bytes | None]]:
    """Return what makes a function that digests the sources of a version; owners count as the build sees them."""
    volumes = settings.external_volumes
    return lambda places, roots: inputs.looker(places.project, places.cache, roots, run_program, maps, volumes=volumes)


def run_program(words: tuple[str, ...], directory: str) -> tuple[int, bytes]:
    """Run a program of the host and return its status and output."""
    import subprocess  # only for git, off the warm path

    environ = {**os.environ, **UNMOVED}
    done = subprocess.run(words, cwd=directory, env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode, done.stdout or done.stderr


def make_volume(
    places: Places, name: str, volume: Persistent, project: Project, host: Host, signals: Signals, maps: IdMaps
) -> None:
    """Make an empty persistent volume with its owner; what an earlier try has left there goes."""
    made = builder(project, places, host, signals, maps, Options())
    path = f"{STORAGE}/.volumes/{name}"
    made.work((Delete((path,)), MakeVolume(path, volume.owner_uid, volume.owner_gid)), (), "")


class Launcher:
    """Runs the sandboxes of a build one after the other, each with a spawner of its own.

    Of its own, because the spawner keeps the mounts of what it has launched, and a layer must not be mounted any more
    when the next one is put on top of it.
    """

    def __init__(self, host: Host, signals: Signals, view: View) -> None:
        """Remember who is told."""
        self._host = host
        self._signals = signals
        self.view = view
        self._why = ""

    def launch(self, launch: Launch, log: str, isolate_network: bool) -> int:
        """Run a sandbox to its end; its output goes to the view and is added to the file `log`.

        Raises:
            Interrupted: the user has had enough.
        """
        child = ChildPlan("build", launch)
        streams = launch.program.streams
        stage = Stage("build", "stop-on-failure", (child,), GRACE, streams, single=True, prefixed=False)
        spawner = sandboxes.start(self._host.uid, self._host.gid, self._host.user, isolate_network)
        place = LogOutlet(log, self.view)
        try:
            code = Loop(stage, spawner, self._signals, (place, place), {}, self._tell, colour=False).run()
        finally:
            spawner.stop()
            place.close_log()
        if self._signals.asked:
            raise Interrupted(code - ExitCode.SIGNAL if code > ExitCode.SIGNAL else 2)
        why, self._why = self._why, ""
        if why:
            what, _, name = why.removesuffix("]").rpartition(" [")
            # A step gets its variables by a step, not by a key of a command.
            raise VaggaError(what.replace("`environ`", "`!Env`"), "", name, ExitCode.SANDBOX)
        return code

    def apart(self, function: Callable[[], bytes]) -> bytes:
        """Call a function in a process that ends with this one; it writes to the terminal itself.

        Raises:
            VaggaError: what the function raised.
            Interrupted: it was ended by a signal.
        """
        import marshal  # only where something is fetched

        def guarded() -> bytes:
            try:
                return marshal.dumps(("done", function()))
            except VaggaError as error:
                return marshal.dumps(("error", (error.what, error.remedy, error.name, error.code)))

        data, status = sandboxes.call_in_child(guarded)
        if os.WIFSIGNALED(status):
            raise Interrupted(os.WTERMSIG(status))
        if not data:
            raise CommandError("a process of vagga that fetches has ended early", "", "build-worker")
        kind, content = marshal.loads(data)
        if kind == "error":
            raise VaggaError(*content)
        result: bytes = content
        return result

    def pause(self, seconds: float) -> None:
        """Wait; a signal may ask for the end, or to stop for a while.

        Raises:
            Interrupted: it asked for the end.
        """
        select.select([self._signals], [], [], seconds)
        numbers = self._signals.read()
        asking = [number for number in numbers if number in ASKING]
        if asking:
            raise Interrupted(asking[0])
        if TSTP in numbers:
            self._signals.stop_here()

    def _tell(self, told: Told) -> str:
        """Keep why a sandbox could not be made; all else is told by the view."""
        if isinstance(told, ChildNotStarted):
            self._why = told.why
        return ""


class LogOutlet(Outlet):
    """Where the output of a build goes: a file, and the view."""

    __slots__ = ("_log", "_view")

    def __init__(self, path: str, view: View) -> None:
        """Open the file `path` for appending; without a path nothing is kept or shown."""
        self._view = view if path else View()
        self._log = os.open(path or "/dev/null", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        super().__init__(self._log)

    def write(self, data: bytes) -> None:
        """Write to the file and tell the view."""
        super().write(data)
        if data:
            self._view.output(data)

    def close_log(self) -> None:
        """Close the file."""
        os.close(self._log)
