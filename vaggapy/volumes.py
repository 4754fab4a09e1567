"""Volumes of vagga.yaml -> mounts, and which persistent ones must be filled first. Pure.

Where things are kept is not known here: a source that begins with `container:NAME`, `volume:NAME` or `cache:PATH` is
put in its place by `placed`, once the containers are built.

Source: vagga.md 7.3. Differs: `!Snapshot` is an overlay in memory, not a copy.
"""

from __future__ import annotations

from vaggapy.config.model import (
    BindRO,
    BindRW,
    CacheDir,
    Command,
    ContainerRoot,
    Empty,
    Persistent,
    Snapshot,
    Supervise,
    Tmpfs,
    VaggaBin,
)
from vaggapy.errors import CommandError
from vaggapy.record import Record, replace
from vaggapy.sandbox import spec
from vaggapy.sandbox.operations import WORK, inside
from vaggapy.sandbox.spec import Bind, ImageRoot, Overlay, Sandbox
from vaggapy.supervise.stage import ChildPlan, Stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from vaggapy.config import model
    from vaggapy.config.model import Program

CONTAINER, VOLUME, CACHE, PROGRAM = "container:", "volume:", "cache:", "program:"
INSIDE = "inside:"
EXTERNAL = "/volumes"
FILLED = ".tmp."
EMPTY_SIZE = 4096
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_HOME = "/tmp"


class Defaults(Record):
    """What the root of a container says about its programs: an image, and `environ-file`. -1 and "" for nothing."""

    environ: tuple[tuple[str, str], ...] = ()
    directory: str = ""
    uid: int = -1
    gid: int = -1


def mount(
    project: model.Project, container: model.Container, target: str, volume: model.Volume
) -> Bind | spec.Tmpfs | Overlay:
    """Return what is mounted at `target` in a child of `container`."""
    match volume:
        case Tmpfs(size, mode, subdirs, files):
            directories = tuple((each.path, each.mode) for each in subdirs)
            return spec.Tmpfs(target, size, mode, directories, tuple((each.path, each.content) for each in files))
        case Empty():
            return spec.Tmpfs(target, EMPTY_SIZE, 0, read_only=True)
        case BindRO(source):
            return Bind(_source(project, source, target), target, read_only=True)
        case BindRW(source):
            return Bind(_source(project, source, target), target, read_only=False)
        case Persistent(name):
            return Bind(f"{VOLUME}{name}", target, read_only=False)
        case CacheDir(path):
            return Bind(f"{CACHE}{path}", target, read_only=False)
        case ContainerRoot(name):
            return Bind(f"{CONTAINER}{name}", target)
        case VaggaBin():
            return Bind(PROGRAM, target)
        case Snapshot(size, name, uid, gid):
            lower = f"{CONTAINER}{name}{target}" if name else f"{INSIDE}{target}"
            return Overlay(target, (lower,), size=size, uid=uid, gid=gid)


def _source(project: model.Project, source: str, target: str) -> str:
    """Return the host path of a bind volume, which is written as the container sees it."""
    if inside(source, EXTERNAL):
        return external(project.settings, source, f"volume {target}")
    if not inside(source, WORK):
        raise CommandError(
            f"volume {target}: {source} is not below /work",
            "bind a path of the project, or use `!Host {expose: [PATH]}` for a path of the host",
            "volume-source",
        )
    return project.directory.rstrip("/") + source.removeprefix(WORK)


def external(settings: model.Settings, source: str, what: str) -> str:
    """Return the host path of `/volumes/NAME/..`; `what` names who asks.

    Raises:
        CommandError: the settings have no volume of that name.
    """
    name, slash, rest = source.removeprefix(f"{EXTERNAL}/").partition("/")
    if name not in settings.external_volumes:
        known = ", ".join(sorted(settings.external_volumes)) or "none"
        raise CommandError(
            f"{what}: there is no external volume '{name}'",
            f"add it to 'external-volumes' of your settings; there are: {known}",
            "external-volume",
        )
    return f"{settings.external_volumes[name]}{slash}{rest}"


# --- which containers and volumes ---------------------------------------------------------------------------------


def needed_roots(stages: tuple[Stage, ...]) -> tuple[str, ...]:
    """Return the containers that stages use, as roots or as volumes, in the order of first use, each once."""
    found: dict[str, None] = {}
    for stage in stages:
        for child in stage.children:
            for path in _paths(child.launch.sandbox):
                if path.startswith(CONTAINER):
                    found[path.removeprefix(CONTAINER).partition("/")[0]] = None
    return tuple(found)


def _paths(sandbox: Sandbox) -> Iterator[str]:
    """Yield every host path of a sandbox."""
    for part in (sandbox.root, *sandbox.mounts):
        match part:
            case ImageRoot(_, path):
                yield path
            case Overlay(_, lowers):
                yield from lowers
            case Bind(source):
                yield source
            case _:
                pass


def _persistent(project: model.Project, program: Program) -> Iterator[Persistent]:
    """Yield the persistent volumes of a program."""
    for volume in {**project.containers[program.container].volumes, **program.volumes}.values():
        if isinstance(volume, Persistent):
            yield volume


def _programs(command: Command | Supervise) -> tuple[Program, ...]:
    if isinstance(command, Command):
        return (command.program,)
    return tuple(child.program for child in command.children)


def persistent(project: model.Project) -> Mapping[str, Persistent]:
    """Return every persistent volume of a project by name."""
    return project.persistent


def missing_volumes(project: model.Project, volumes: frozenset[str] | None) -> frozenset[str]:
    """Return the volumes that an `init-command` must fill; `volumes` are those that exist."""
    if volumes is None:
        return frozenset()
    known = persistent(project)
    return frozenset(name for name, volume in known.items() if volume.init_command and name not in volumes)


def fillers(project: model.Project, command: Command | Supervise, wanted: frozenset[str]) -> tuple[str, ...]:
    """Return the commands that fill what `command` needs; none for a command that fills it itself."""
    if not wanted:
        return ()
    known = persistent(project)
    needed = [volume.name for program in _programs(command) for volume in _persistent(project, program)]
    names = (known[volume].init_command for volume in needed if volume in wanted)
    return tuple(name for name in dict.fromkeys(names) if name != command.name)


def filling(stage: Stage, project: model.Project, wanted: frozenset[str]) -> Stage:
    """Return the stage of an `init-command` with the volumes in the making in their places."""
    if not wanted:
        return stage
    known = persistent(project)
    filled = {name for name in wanted if known[name].init_command == stage.name}
    if not filled:
        return stage
    places = {f"{VOLUME}{name}": f"{VOLUME}{FILLED}{name}" for name in filled}
    children = tuple(_moved(child, lambda path: places.get(path, path)) for child in stage.children)
    return replace(stage, children=children, fills=tuple(sorted(filled)))


def unfilled(stages: tuple[Stage, ...], project: model.Project, there: frozenset[str]) -> Persistent | None:
    """Return the first volume that a stage needs and no `init-command` has filled by then; None if all is well."""
    known = project.persistent
    for stage in stages:
        for name in used((stage,), VOLUME):
            if name not in there and not name.startswith(FILLED) and known[name].init_command:
                return known[name]
        there |= frozenset(stage.fills)
    return None


# --- places -------------------------------------------------------------------------------------------------------


def placed(
    stage: Stage,
    places: Mapping[str, str],
    images: Mapping[str, Defaults],
    base: Mapping[str, str],
    within: Callable[[str, str], str],
) -> Stage:
    """Return a stage with real paths, and with what images say about their programs.

    `places`: `container:NAME`, `volume:`, `cache:` and `program:` -> host path. `images`: by name of the container,
    for those whose variables are not complete in the plan. `base`: the variables that images win over.
    `within(root, path)`: the host path of a path inside a root, whose links must not lead out of it.
    """

    def real(path: str) -> str:
        if path.startswith(CONTAINER):
            name, slash, rest = path.partition("/")
            return within(places[name], rest) if slash else places[name]
        for kind in (VOLUME, CACHE):
            if path.startswith(kind):
                return f"{places[kind]}/{path.removeprefix(kind)}"
        return places[PROGRAM] if path == PROGRAM else path

    made = replace(stage, children=tuple(_moved(_informed(child, images, base), real) for child in stage.children))
    if made.rules is None:
        return made
    from vaggapy import equip  # only with rules

    return equip.completed(made, frozenset(images))


def _informed(child: ChildPlan, images: Mapping[str, Defaults], base: Mapping[str, str]) -> ChildPlan:
    """Return a child with the settings of its image where vagga.yaml has none."""
    image = images.get(child.container)
    if image is None:
        return child
    program = child.launch.program
    if image.uid >= 0 and not program.uid and not program.gid:
        program = replace(program, uid=image.uid, gid=max(image.gid, 0))
    if image.directory and child.wanders:
        program = replace(program, directory=image.directory)
    program = replace(program, environ={**base, **dict(image.environ), **program.environ})
    return replace(child, launch=replace(child.launch, program=program))


def _moved(child: ChildPlan, real: Callable[[str], str]) -> ChildPlan:
    sandbox = child.launch.sandbox

    def move(part: Bind | spec.Tmpfs | Overlay) -> Bind | spec.Tmpfs | Overlay:
        if isinstance(part, Bind):
            return replace(part, source=real(part.source))
        if isinstance(part, Overlay):
            return replace(part, lowers=tuple(map(real, part.lowers)))
        return part

    root = sandbox.root
    if isinstance(root, ImageRoot):
        root = replace(root, path=real(root.path))
    elif isinstance(root, Overlay):
        root = replace(root, lowers=tuple(map(real, root.lowers)))
    moved = Sandbox(root, sandbox.project, tuple(map(move, sandbox.mounts)))
    return replace(child, launch=replace(child.launch, sandbox=moved))


def used(stages: tuple[Stage, ...], kind: str) -> tuple[str, ...]:
    """Return the names behind `volume:` or `cache:` that stages mount, each once."""
    paths = (path for stage in stages for child in stage.children for path in _paths(child.launch.sandbox))
    return tuple(dict.fromkeys(path.removeprefix(kind) for path in paths if path.startswith(kind)))
