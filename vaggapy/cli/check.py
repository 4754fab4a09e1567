"""`vagga _check`: whatever can be known to be wrong without running anything, all at once.

What `bind` finds wrong in the files comes first; then what would go wrong when commands are planned and containers
are built, and what can never be reached.
"""

from __future__ import annotations

import os

from vaggapy.build.context import Context
from vaggapy.build.recipe import act, chain, externals, with_versions
from vaggapy.build.registry import kinds, shapes
from vaggapy.cli.matching import looker
from vaggapy.config.load import Found, read_project
from vaggapy.config.model import BindRO, BindRW, Command, Persistent, Supervise
from vaggapy.errors import ExitCode, Mark, Problem, VaggaError, one_line
from vaggapy.plan import Request, listen_address, plan, plan_program
from vaggapy.volumes import EXTERNAL, external

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from vaggapy.config.model import Program, Project, Volume
    from vaggapy.host import Host

WILD = ("0.0.0.0", "::")


class Wrong(VaggaError):  # noqa: N818 - the lines are the errors
    """What is wrong in a project that could be read."""

    code = ExitCode.CONFIG

    def __init__(self, found: tuple[str, ...]) -> None:
        """Keep the lines; there is at least one."""
        super().__init__(found[0], "", "more-problems")
        self.found = found

    def lines(self) -> tuple[str, ...]:
        """Return them."""
        return self.found


def check(found: Found, host: Host, builtins: Iterable[str]) -> int:
    """Check a project; silent if nothing is wrong. `builtins`: names that commands cannot have.

    Raises:
        ConfigError: the files cannot be read or are wrong, with every problem.
        Wrong: what else is wrong; exit code 126.
    """
    loaded = read_project(found, shapes, host.environ)
    project = with_versions(loaded.project, kinds())
    lines = [
        *map(str, loaded.skipped),
        *map(str, conflicts(project, builtins)),
        *map(str, places(project)),
        *unplanned(project, host),
        *unbuilt(project),
    ]
    if lines:
        raise Wrong(tuple(dict.fromkeys(lines)))
    return ExitCode.OK


def conflicts(project: Project, builtins: Iterable[str] = ()) -> Iterator[Problem]:
    """Yield what is written twice, and what can never be reached."""
    hidden = frozenset(builtins)
    links: dict[str, str] = {}
    fillers: dict[str, Persistent] = {}
    for name, command in project.commands.items():
        if name in hidden:
            what = f"command '{name}' can never run: a built-in command has this name"
            yield Problem(command.mark, what, "give it another name", "check-hidden")
        for alias in command.aliases:
            if alias in hidden:
                what = f"alias '{alias}' of '{name}' is never used: a built-in command has this name"
                yield Problem(command.mark, what, "give it another name", "check-hidden")
        link = command.symlink_name
        if link and link in links:
            what = f"'{name}' and '{links[link]}' have the same symlink-name '{link}'"
            yield Problem(command.mark, what, "keep one of them", "check-twice")
        links.setdefault(link, name)
        if isinstance(command, Supervise):
            yield from _sockets(command)
        for where, program, mark in _programs(command):
            container = project.containers[program.container]
            if container.data_dirs:
                what = f"{where} runs in '{container.name}', which holds data only ('data-dirs')"
                yield Problem(mark, what, "run it in another container, and mount this one", "check-data")
            yield from _volumes(where, {**container.volumes, **program.volumes}, mark, fillers)


def _programs(command: Command | Supervise) -> Iterator[tuple[str, Program, Mark]]:
    """Yield each program with its name for messages and its place."""
    if isinstance(command, Command):
        yield f"command '{command.name}'", command.program, command.mark
        return
    for child in command.children:
        yield f"child '{child.name}' of '{command.name}'", child.program, child.mark


def _volumes(where: str, volumes: Mapping[str, Volume], mark: Mark, known: dict[str, Persistent]) -> Iterator[Problem]:
    """Yield persistent volumes that are not the same everywhere."""
    for volume in volumes.values():
        if isinstance(volume, Persistent):
            other = known.setdefault(volume.name, volume)
            if other != volume:
                what = f"volume '{volume.name}' of {where} has other keys than the same volume elsewhere"
                yield Problem(mark, what, "write it once with '&name', and use '*name'", "check-twice")


def _sockets(command: Supervise) -> Iterator[Problem]:
    """Yield children that listen on one address."""
    taken: list[tuple[str, str, int]] = []
    for child in command.children:
        try:
            listen = listen_address(child.program.tcp_socket)
        except VaggaError:
            continue  # told when the command is planned
        if listen is None:
            continue
        for name, host, port in taken:
            same = host == listen.host or host in WILD or listen.host in WILD
            if port and port == listen.port and same:
                what = f"children '{name}' and '{child.name}' of '{command.name}' both listen on port {port}"
                yield Problem(child.mark, what, "give one of them another port", "check-twice")
        taken.append((child.name, listen.host, listen.port))


def places(project: Project) -> Iterator[Problem]:
    """Yield directories of this machine that settings name, and that are needed and not there."""
    cache = project.settings.cache_dir
    built = any(container.host is None for container in project.containers.values())
    if built and cache and not os.path.isdir(cache):
        what = f"cache-dir {cache} does not exist"
        yield Problem(Mark(project.file), what, "make it, or take the setting away", "storage")
    for name, container in project.containers.items():
        for volume in externals((container,)):
            yield from _external(project, f"{EXTERNAL}/{volume}", f"container '{name}'", container.mark)
    for command in project.commands.values():
        for where, program, mark in _programs(command):
            for each in {**project.containers[program.container].volumes, **program.volumes}.values():
                if isinstance(each, (BindRO, BindRW)) and each.source.startswith(f"{EXTERNAL}/"):
                    yield from _external(project, each.source, where, mark, planned=True)


def _external(project: Project, source: str, where: str, mark: Mark, planned: bool = False) -> Iterator[Problem]:
    """Yield why there is nothing at a path of an external volume; `planned`: an unknown one is told elsewhere."""
    try:
        path = external(project.settings, source, where)
    except VaggaError as error:
        if not planned:
            yield Problem(mark, error.what, error.remedy, error.name)
        return
    if not os.path.exists(path):
        what = f"{where}: {source} is {path}, which is not there"
        yield Problem(mark, what, "make it, or correct 'external-volumes' of your settings", "external-volume")


def unplanned(project: Project, host: Host) -> Iterator[str]:
    """Yield why containers cannot be entered and commands cannot run; what holds for a container only once."""
    told: set[str] = set()
    for name in project.containers:
        for error in _tried(plan_program, project, name, ("true",), Request(), host):
            told.add(error.what)
            yield _line(project.containers[name].mark, f"container '{name}'", error)
    for name, command in project.commands.items():
        request = Request(prerequisites=False)
        found = [*_tried(plan, project, name, request, host, None, None, looker(project.directory))]
        if command.options:
            from vaggapy.cli import options  # docopt, only with such a text

            found = [error for error in found if error.name != "check-variable"]  # its arguments may set it
            found += _tried(options.check, command)
        for error in found:
            if error.what not in told:
                yield _line(command.mark, f"command '{name}'", error)


def _tried(attempt: Callable[..., object], *values: object) -> list[VaggaError]:
    """Return the error that an attempt comes to, in a list, or an empty one."""
    try:
        attempt(*values)
    except VaggaError as error:
        return [error]
    return []


def _line(mark: Mark, where: str, error: VaggaError) -> str:
    return str(Problem(mark, f"{where}: {error.what}", error.remedy, error.name))


def unbuilt(project: Project) -> Iterator[str]:
    """Yield why containers cannot be built, as far as their steps are known before one was made."""
    known = kinds()
    for name, container in project.containers.items():
        if container.host is not None:
            continue
        context = Context(name)
        for link in chain(project, name):
            try:
                context = act(project, link, known, context).context
            except VaggaError as error:
                yield one_line(error.what, error.remedy, error.name)
                break
            if link.step is not None and link.step.tag in known and known[link.step.tag].finds_out:
                break  # what comes after depends on what this step makes
