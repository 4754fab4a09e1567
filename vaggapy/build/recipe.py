"""Containers -> links, keys and versions: what is built in which order, and what its result is called. Pure.

A container is a chain of links, one for each step and one for its end. A link's key is a BLAKE2b-512 over
everything that it and the links before it depend on, so equal keys mean equal results, whoever asks. The
version of a container is the key of its last link together with its ids and `data-dirs`.

`!Container BASE` as the first step means BASE's whole chain; elsewhere BASE is built and copied over what is there.

Source: vagga.md 8. Differs: parameters of `!Build` and all that the steps name as `sources` count.
"""

from __future__ import annotations

import _blake2

from vaggapy.build.actions import ROOTS, Action, Copy, Execute, MakeDirectory, WriteFile
from vaggapy.build.context import Context, Machine
from vaggapy.build.finish import finish
from vaggapy.build.formula import Formula, Need, Versions, dumps, encode, ended
from vaggapy.build.kind import Done, Kind, typed
from vaggapy.build.places import EXTERNAL
from vaggapy.build.sources import RootTree, Source, Value
from vaggapy.config.model import Step
from vaggapy.errors import CommandError
from vaggapy.record import Record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from vaggapy.config.model import Container, Project

    Kinds = Mapping[str, Kind]
    Look = Callable[[Source], bytes | None]

FORMAT = b"vagga 1"
"""Changed when the same steps come to another result, so that nothing of an older vagga is taken for it."""

SKELETON: tuple[Action, ...] = (
    *(MakeDirectory(f"/{name}") for name in ("dev", "etc", "proc", "run", "sys", "work")),
    MakeDirectory("/tmp", 0o1777),
    WriteFile("/etc/hosts", ""),
    WriteFile("/etc/resolv.conf", ""),
)
"""What a sandbox needs of every root: where it mounts."""

BASE = "!Container"
SUBCONFIG = "!SubConfig"
SHORT = 8
BEGIN, END = "begin", "end"


class Link(Record):
    """One layer of a container: a step of `container`, its BEGIN, or its END."""

    container: str
    step: Step | None
    place: str = ""

    @property
    def title(self) -> str:
        """Return what people see: the tag without `!`."""
        return self.step.tag[1:] if self.step is not None else self.place


class Version(Record):
    """Keys of all links, in hex, and of the whole container; `digest` is "" while it cannot be known.

    `keys` is as long as what is known: the links after a missing source have none yet.
    """

    keys: tuple[str, ...]
    digest: str

    @property
    def short(self) -> str:
        """Return the eight digits that name the root's directory."""
        return self.digest[:SHORT]


def chain(project: Project, name: str) -> tuple[Link, ...]:
    """Return the links of a container, those of its base first; `config` has checked that there is no cycle."""
    container = project.containers[name]
    links: list[Link] = []
    steps = container.setup
    if steps and steps[0].tag == BASE:
        links += chain(project, str(steps[0].values["container"]))
        steps = steps[1:]
    else:
        links.append(Link(name, None, BEGIN))
    links += _links(name, steps)
    links.append(Link(name, None, END))
    return tuple(links)


def _links(name: str, steps: tuple[Step, ...]) -> list[Link]:
    """Return a link for each step; those of a part of another file stand where that is named."""
    links: list[Link] = []
    for step in steps:
        inner = step.values.get("steps")
        if step.tag == SUBCONFIG and isinstance(inner, tuple):
            links += _links(name, inner)
        else:
            links.append(Link(name, step))
    return links


def needs(project: Project, name: str, kinds: Kinds) -> tuple[str, ...]:
    """Return the containers whose roots the chain of `name` reads, in the order of first use, each once."""
    found: dict[str, None] = {}
    for link in chain(project, name):
        if link.step is not None:
            kind = kinds[link.step.tag]
            for other in kind.needs(typed(kind, link.step)):
                found[other] = None
    return tuple(found)


# --- versions -----------------------------------------------------------------------------------------------------


def formulas(project: Project, name: str, kinds: Kinds) -> dict[str, Formula]:
    """Return what the versions of a container, and of those that count for it, are made of."""
    found: dict[str, Formula] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found[current] = formula(project, current, kinds)
            waiting += (part.container for part in found[current].parts if isinstance(part, Need))
    return found


def formula(project: Project, name: str, kinds: Kinds) -> Formula:
    """Return what the version of a container is made of."""
    container = project.containers[name]
    parts: list[bytes | Source | Need] = [FORMAT]
    for link in chain(project, name):
        parts += _parts(project, link, kinds)
    after = encode(("data-dirs", container.data_dirs)) if container.data_dirs else b""
    return Formula(tuple(parts), (encode((container.uids, container.gids)), after))


def _parts(project: Project, link: Link, kinds: Kinds) -> list[bytes | Source | Need]:
    """Return what a link depends on."""
    if link.step is None:
        container = project.containers[link.container]
        ends = (container.resolv_conf_path, container.hosts_file_path, container.data_dirs)
        return [encode((link.place, ends if link.place == END else ()))]
    kind = kinds[link.step.tag]
    step = typed(kind, link.step)
    counted = {key: value for key, value in link.step.values.items() if key not in (*kind.uncounted, "steps")}
    parts: list[bytes | Source | Need] = [encode((link.step.tag, counted))]
    try:
        sources = kind.sources(step)
    except CommandError as error:
        raise _placed(link, error) from error
    parts += (encode((each.name, each.text)) if isinstance(each, Value) else each for each in sources)
    looked_into = {source.container for source in sources if isinstance(source, RootTree)}
    parts += (Need(other) for other in dict.fromkeys(kind.needs(step)) if other not in looked_into)
    return parts


def version(project: Project, name: str, kinds: Kinds, look: Look) -> Version:
    """Return the version of a container. `look` digests a source, or returns None if it is not there yet."""
    known = Versions(formulas(project, name, kinds), look)
    keys: list[str] = []
    state = _blake2.blake2b(FORMAT)
    for link in chain(project, name):
        for part in _parts(project, link, kinds):
            counted = known.counted(part)
            if counted is None:
                return Version(tuple(keys), "")
            state.update(counted)
        keys.append(state.hexdigest())
    return Version(tuple(keys), ended(formula(project, name, kinds), keys[-1]))


def layer_key(key: str, machine: Machine, maps: bytes) -> str:
    """Return the name of a layer's directory: its key, and what makes the same steps come out otherwise here.

    `maps`: the text of the user id maps, because owners are kept as ids of the host.
    """
    return _blake2.blake2b(encode((key, machine.architecture, machine.single_id, maps)), digest_size=16).hexdigest()


def with_versions(project: Project, kinds: Kinds) -> Project:
    """Return a project whose containers have their versions, or formulas where those depend on more than vagga.yaml."""
    containers = {
        name: container if container.host else _versioned(project, container, kinds)
        for name, container in project.containers.items()
    }
    return replace(project, containers=containers)


def _versioned(project: Project, container: Container, kinds: Kinds) -> Container:
    """Return a container with its version or formula; one with a wrong step has neither, and is told when used."""
    try:
        found = formulas(project, container.name, kinds)
    except CommandError:
        return container
    digest = Versions(found, lambda _: None).of(container.name)
    return replace(container, digest=digest, formula=b"" if digest else dumps(found))


# --- what is done -------------------------------------------------------------------------------------------------


def act(project: Project, link: Link, kinds: Kinds, context: Context) -> Done:
    """Return what a link does in a context, and the context after it.

    Raises:
        CommandError: the step cannot be done in this context, with its place.
    """
    if link.step is None:
        if link.place == BEGIN:
            return Done(SKELETON, context)
        container = project.containers[link.container]
        return Done(finish(context, container), _after(context))
    if link.step.tag == BASE:
        name = str(link.step.values["container"])
        return Done((Copy(f"{ROOTS}/{name}", "/", keep_modes=True, keep_times=True),), context)
    kind = kinds[link.step.tag]
    try:
        done: Done = kind.act(typed(kind, link.step), context)
    except CommandError as error:
        raise _placed(link, error) from error
    actions: list[Action] = [_in_context(action, context) for action in done.actions]
    return Done(tuple(actions), done.context)


def _placed(link: Link, error: CommandError) -> CommandError:
    """Return an error of a step with the place of the step before it."""
    step = link.step
    return CommandError(f"{step.mark}: {step.tag}: {error.what}" if step else error.what, error.remedy, error.name)


def _in_context(action: Action, context: Context) -> Action:
    """Return an action with the variables and caches that the steps before have asked for."""
    if not isinstance(action, Execute):
        return action
    environ = {**context.environ, **action.environ}
    caches, mounts = (*context.caches, *action.caches), (*context.mounts, *action.mounts)
    return replace(action, environ=environ, caches=caches, mounts=mounts)


def _after(context: Context) -> Context:
    """Return the context for a container that is built on top of a finished one."""
    return replace(context, build_deps=(), indexed=False, notes=(), mounts=())


def resources(container: Container) -> tuple[str, ...]:
    """Return the files of the image that show the host's at run time."""
    return tuple(path for path in (container.resolv_conf_path, container.hosts_file_path) if path)


def externals(containers: Iterable[Container]) -> tuple[str, ...]:
    """Return the names of the external volumes that the steps of containers use, each once."""
    found: dict[str, None] = {}
    waiting: list[object] = [container.setup for container in containers]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and value.startswith(EXTERNAL):
            found[value.removeprefix(EXTERNAL).partition("/")[0]] = None
        elif isinstance(value, Step):
            waiting += value.values.values()
        elif isinstance(value, tuple):
            waiting += value
    return tuple(found)
