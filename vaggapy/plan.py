"""(Project, command, request, Host) -> Plan: everything that a run will do, as plain data. Pure.

`vagga --dry-run CMD` prints a plan as JSON. The rules of the environment, of the current directory, of volumes
and of prerequisites are here and nowhere else.

Source: vagga.md 3.2, 3.5, 5.5, 5.7. Differs: `HOME` is set; a child's own standard input is empty when there are
several.
"""

from __future__ import annotations

from vaggapy.config.model import HOSTS, Child, Command, Program, Supervise
from vaggapy.errors import CommandError, ExitCode, UsageError, VaggaError
from vaggapy.record import Record, replace
from vaggapy.sandbox import spec
from vaggapy.sandbox.operations import PRIVATE_PLACES, WORK, inside, may_hide
from vaggapy.sandbox.spec import (
    INHERIT,
    OUTPUT,
    PIPES,
    TERMINAL,
    TERMINALS,
    Bind,
    HostRoot,
    ImageRoot,
    Launch,
    Overlay,
    Sandbox,
)
from vaggapy.supervise.stage import Banner, ChildPlan, Listen, Stage
from vaggapy.volumes import (
    CONTAINER,
    DEFAULT_HOME,
    DEFAULT_PATH,
    fillers,
    filling,
    missing_volumes,
    mount,
    needed_roots,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vaggapy.config import model
    from vaggapy.host import Host

PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
PASSED = "VAGGAENV_"
SINGLE_GRACE = 2
DEFAULT_ROWS, DEFAULT_COLUMNS = 24, 80


class Plan(Record):
    """A whole run: stages one after the other, the first that fails ends it.

    `builds`: the containers that must be there before the first stage, in the order of first use. Their places are
    not known yet: paths that begin with `container:NAME`, `volume:NAME` or `cache:PATH` get them by `volumes.placed`.
    `build`: how they are checked, as in `argv.Options`. `auto_apply_sysctl`: the setting of that name.
    `warnings`: what the user should know of the rules, line by line.
    """

    project: str
    stages: tuple[Stage, ...]
    isolate_network: bool
    builds: tuple[str, ...] = ()
    build: str = ""
    auto_apply_sysctl: bool = False
    warnings: tuple[str, ...] = ()


class Request(Record):
    """What the user asked for, beyond the name of a command.

    `environ`: values of `-E`; `removed`: names given to `-E` without a value; `copied`: names given to `-e`.
    `chosen`: the selected children of a `!Supervise`, None for all; `picked`: by `--only`; `excluded`: those that
    `--exclude` takes away. `prefix` None: decided by the output.
    `writable`: the roots can be written to, and forget it (`_run -W`). `build`: as in `argv.Options`.
    `variables`: what the arguments mean to a command with `options`, which gets no other arguments.
    `debug`: pause before a stop that no signal asks for.
    """

    arguments: tuple[str, ...] = ()
    chosen: tuple[str, ...] | None = None
    environ: tuple[tuple[str, str], ...] = ()
    removed: tuple[str, ...] = ()
    copied: tuple[str, ...] = ()
    prerequisites: bool = True
    isolate_network: bool = False
    prefix: bool | None = None
    writable: bool = False
    build: str = ""
    variables: tuple[tuple[str, str], ...] = ()
    picked: bool = False
    excluded: tuple[str, ...] = ()
    debug: bool = False


def plan(
    project: model.Project,
    wanted: str | tuple[str, ...],
    request: Request,
    host: Host,
    volumes: frozenset[str] | None = None,
    read: Callable[[Command | Supervise], tuple[tuple[str, str], ...]] | None = None,
    look: Callable[[str], tuple[str, ...]] | None = None,
) -> Plan:
    """Return what running a command (its name, not an alias), or several one after the other, means here.

    `volumes`: the persistent volumes that exist; None if that does not matter because no `init-command` is written.
    `read` returns the variables of a command with `options`, for its own arguments or, before the one that was
    asked for, for none. `look` returns the paths of the project that a glob means, sorted; without it there are none.

    Raises:
        VaggaError: the request does not fit the project.
    """
    _check_place(project)
    names = (wanted,) if isinstance(wanted, str) else wanted
    missing = missing_volumes(project, volumes)
    stages = []
    warnings: tuple[str, ...] = ()
    for name in expand(project, names, missing) if request.prerequisites else names:
        command = project.commands[name]
        asked = replace(request, variables=read(command)) if command.options and read else request
        if isinstance(command, Supervise) and (command.rules is not None or (asked.debug and name in names)):
            stage, more = _ruled(project, command, asked, host, name in names, look or (lambda _: ()))
            warnings += more
        else:
            stage = _stage(project, command, asked, host, asked=name in names)
        stages.append(filling(stage, project, missing))
    isolate = request.isolate_network or any(project.commands[name].isolate_network for name in names)
    made = Plan(project.directory, tuple(stages), isolate, needed_roots(tuple(stages)), request.build)
    return replace(made, auto_apply_sysctl=project.settings.auto_apply_sysctl, warnings=warnings)


def plan_program(project: model.Project, container: str, words: tuple[str, ...], request: Request, host: Host) -> Plan:
    """Return what `vagga _run CONTAINER WORDS` means: a command that is not in the file.

    Raises:
        CommandError: no such container.
    """
    _check_place(project)
    if container not in project.containers:
        raise unknown_container(project, container)
    mark = project.containers[container].mark
    command = Command("_run", mark, Program(container, mark, words))
    stage = _stage(project, command, request, host, asked=True)
    return Plan(project.directory, (stage,), request.isolate_network, needed_roots((stage,)), request.build)


def unknown_container(project: model.Project, name: str) -> CommandError:
    """Return the error for a container that the project does not have."""
    known = ", ".join(sorted(project.containers)) or "none"
    return CommandError(f'container "{name}" is not found', f"there are: {known}", "unknown-container")


def expand(
    project: model.Project, names: str | tuple[str, ...], wanted: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """Return the commands, each after all that it needs, depth first, that once; a cycle ends where it began.

    Commands that are named keep their order, stand as often as they are named, and nowhere else.
    `wanted`: persistent volumes that are to be filled by their `init-command`.

    Source: vagga.md 3.5 and 7.3.
    """
    named = (names,) if isinstance(names, str) else names
    seen = set(named)
    order: list[str] = []

    def visit(current: str) -> None:
        command = project.commands[current]
        for needed in (*_prerequisites(command), *fillers(project, command, wanted)):
            if needed not in seen:
                seen.add(needed)
                visit(needed)
        order.append(current)

    for name in named:
        visit(name)
    return tuple(order)


def _prerequisites(command: Command | Supervise) -> tuple[str, ...]:
    if isinstance(command, Supervise):
        return command.prerequisites + tuple(n for child in command.children for n in child.prerequisites)
    return command.prerequisites


def _stage(project: model.Project, command: Command | Supervise, request: Request, host: Host, asked: bool) -> Stage:
    """Return one command of the run; only the one that was asked for gets arguments and a selection."""
    if isinstance(command, Command):
        streams = _streams(1, request, host)
        arguments = request.arguments if asked else ()
        extra: dict[str, str] = {}
        child = _child(project, command.name, command.program, arguments, extra, streams, request, host)
        stage = Stage(command.name, "stop-on-failure", (child,), SINGLE_GRACE, streams, True, command.epilog)
        return replace(stage, banners=_banners(command, ()), inotify=command.expect_inotify_limit)
    chosen = [
        child for child in command.children if not asked or request.chosen is None or child.name in request.chosen
    ]
    streams = _streams(len(chosen), request, host)
    children = tuple(_supervised(project, command, child, streams, request, host) for child in chosen)
    grace = command.kill_unresponsive_after
    stage = Stage(command.name, command.mode, children, grace, streams, False, command.epilog)
    return replace(stage, banners=_banners(command, tuple(chosen)), inotify=command.expect_inotify_limit)


def _ruled(
    project: model.Project,
    command: Supervise,
    request: Request,
    host: Host,
    asked: bool,
    look: Callable[[str], tuple[str, ...]],
) -> tuple[Stage, tuple[str, ...]]:
    """Return one command with rules, fitted to the children of this run, and the warnings that follow."""
    from vaggapy import equip, lineup  # only with rules

    command = lineup.members(command, look)
    chosen = request.chosen if asked else None
    found = lineup.fitted(command, chosen, asked and request.picked, request.excluded if asked else ())
    containers = {child.name: project.containers[child.program.container] for child in found.children}
    children, rules = found.children, replace(found.rules, debug=asked and request.debug)
    if command.rules is not None:  # else it has rules for this run only, and its texts mean what they always do
        children, rules = equip.with_outputs(children, rules, containers)
    command = replace(command, children=children)
    stage = _stage(project, command, request, host, asked=False)
    late = frozenset(name for name, container in containers.items() if _is_late(container))
    made = equip.equipped(stage, rules, lambda name, text: shell(containers[name], text), late, host)
    return made, found.warnings


def _banners(command: Command | Supervise, children: tuple[Child, ...]) -> tuple[Banner, ...]:
    """Return what is shown after the start of a command and of its children."""
    own = (Banner(command.banner, command.banner_delay),) if command.banner else ()
    return own + tuple(Banner(child.banner, child.banner_delay, child.name) for child in children if child.banner)


def _supervised(
    project: model.Project, command: Supervise, child: Child, streams: str, request: Request, host: Host
) -> ChildPlan:
    extra = {"VAGGA_COMMAND": command.name, "VAGGA_SUBCOMMAND": child.name}
    return _child(project, child.name, child.program, (), extra, streams, request, host)


def _streams(children: int, request: Request, host: Host) -> str:
    """Return where the children's bytes go (docs/supervision.md, output).

    One child owns a terminal if the caller has one; several get lines with a prefix if a person is watching.
    """
    stdin, stdout, stderr = host.terminals
    if request.prefix or (children > 1 and stdout and request.prefix is None):
        return TERMINALS if stdout and stderr else PIPES
    if children > 1:
        return OUTPUT
    return TERMINAL if stdin and stdout else INHERIT


def _child(
    project: model.Project,
    name: str,
    program: Program,
    arguments: tuple[str, ...],
    extra: Mapping[str, str],
    streams: str,
    request: Request,
    host: Host,
) -> ChildPlan:
    container = project.containers[program.container]
    environ = _environ(project, container, program, extra, request, host)
    launched = spec.Program(
        words=_words(container, program, arguments),
        environ=environ,
        directory=_directory(project, program, host),
        uid=program.user_id,
        gid=program.group_id,
        groups=program.supplementary_gids,
        streams=streams,
        rows=host.rows or DEFAULT_ROWS,
        columns=host.columns or DEFAULT_COLUMNS,
        socket=bool(program.tcp_socket),
        first=program.pid1mode,
        external_uid=program.external_user_id,
    )
    root = _root(container, host, request.writable or program.transient)
    sandbox = Sandbox(root, project.directory, _mounts(project, container, program, host))
    listen = listen_address(program.tcp_socket)
    return ChildPlan(name, Launch(sandbox, launched), listen, not program.work_dir, container.name)


def _words(container: model.Container, program: Program, arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command line. A text goes to the container's shell, where `$1` is the first argument."""
    return (shell(container, program.run) if isinstance(program.run, str) else program.run) + arguments


def shell(container: model.Container, text: str) -> tuple[str, ...]:
    """Return the command line that has the container's shell run a text."""
    if not container.default_shell:
        return ("/bin/sh", "-c", text, "--")
    return tuple(text if word == "$cmdline" else word for word in container.default_shell)


def _directory(project: model.Project, program: Program, host: Host) -> str:
    """Return the directory to start in: the caller's, mirrored below /work, or `work-dir` joined to /work."""
    if program.work_dir:
        return join(WORK, program.work_dir)
    if host.directory != project.directory and inside(host.directory, project.directory):
        return WORK + host.directory.removeprefix(project.directory.rstrip("/"))
    return WORK


def join(directory: str, path: str) -> str:
    """Join and tidy two POSIX paths; an absolute second one stands for itself."""
    parts: list[str] = []
    for part in (path if path.startswith("/") else f"{directory}/{path}").split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def base_environ(settings: model.Settings, host: Host) -> dict[str, str]:
    """Return the variables that everything else wins over; nothing more of the caller's comes in by itself."""
    environ = {"TERM": host.environ.get("TERM", "dumb"), "PATH": DEFAULT_PATH, "HOME": DEFAULT_HOME}
    if settings.proxy_env_vars:
        environ.update((name, host.environ[name]) for name in PROXIES if name in host.environ)
    return environ


def _environ(
    project: model.Project,
    container: model.Container,
    program: Program,
    extra: Mapping[str, str],
    request: Request,
    host: Host,
) -> dict[str, str]:
    """Return the environment of a child; nothing of the caller's but what is named here comes in.

    Later wins: `base_environ`, what the image and `environ-file` say, the container's, the command's, what settings
    propagate, those that they set, `VAGGAENV_X`, `-e`, `-E`, `options`. Where an image or a file may have a say, the
    first two come later, by `volumes.placed`.
    """
    environ = {} if _is_late(container) else base_environ(project.settings, host)
    environ.update(extra)
    environ.update(container.environ)
    environ.update(program.environ)
    for pattern in project.settings.propagate_environ:
        environ.update((name, value) for name, value in host.environ.items() if matches(pattern, name))
    environ.update(project.settings.environ)
    for name, value in host.environ.items():
        passed = name.removeprefix(PASSED)
        if passed and passed != name and passed not in request.removed:
            environ[passed] = value
    environ.update((name, host.environ.get(name, "")) for name in request.copied)
    environ.update(request.environ)
    environ.update(request.variables)
    return environ


def _is_late(container: model.Container) -> bool:
    """Return whether more variables may come when the container is there."""
    return container.host is None or bool(container.environ_file)


def matches(pattern: str, name: str) -> bool:
    """Return whether a name is one that a pattern means, in which `*` stands for anything."""
    first, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    *middle, last = rest
    if len(name) < len(first) + len(last) or not (name.startswith(first) and name.endswith(last)):
        return False
    at, end = len(first), len(name) - len(last)
    for part in middle:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _root(container: model.Container, host: Host, writable: bool) -> HostRoot | ImageRoot | Overlay:
    """Return the root of a container; a writable one is an overlay in memory, of which nothing is kept."""
    if container.host is None:
        place = f"{CONTAINER}{container.name}"
        return Overlay("/", (place,)) if writable else ImageRoot(container.name, place)
    if writable:
        raise CommandError(
            f"container {container.name} is !Host, which is always read-only",
            "build a container, or mount a volume where you want to write",
            "writable-host",
        )
    exposed = [_canonical(path) for path in container.host.expose]
    if host.resolver and any(inside(host.resolver, place) for place in PRIVATE_PLACES):
        exposed.append(host.resolver)
    hidden = () if container.host.home_visible else tuple(home for home in host.homes if may_hide(home))
    return HostRoot(hidden, tuple(dict.fromkeys(exposed)))


def _canonical(path: str) -> str:
    """Return a path with the system's usual link for /var/run followed: /run is private to each child."""
    return path.removeprefix("/var") if inside(path, "/var/run") else path


def _mounts(
    project: model.Project, container: model.Container, program: Program, host: Host
) -> tuple[Bind | spec.Tmpfs | Overlay, ...]:
    """Return the volumes, those of the command before those of the container, parents before children."""
    volumes = {**container.volumes, **program.volumes}
    mounts = [mount(project, container, target, volumes[target]) for target in volumes]
    if container.host is None:
        for source, target in ((host.resolver, container.resolv_conf_path), (HOSTS, container.hosts_file_path)):
            if source and target and target not in volumes:
                mounts.append(Bind(source, target, optional=True))
    return tuple(sorted(mounts, key=lambda each: each.target))


def listen_address(text: str) -> Listen | None:
    """Return the address that `pass-tcp-socket` means: PORT, *:PORT, HOST:PORT or [IPV6]:PORT.

    Raises:
        VaggaError: the text is none of these.
    """
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise VaggaError(
            f'pass-tcp-socket: "{text}" is not an address', "write PORT, *:PORT, HOST:PORT or [IPV6]:PORT", "listen"
        )
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return Listen({"": "127.0.0.1", "*": "0.0.0.0"}.get(host, host), int(port))


def _check_place(project: model.Project) -> None:
    """Refuse a project that is the whole file system: all of it, disks included, would be writable at /work."""
    if project.directory == "/":
        raise VaggaError(
            "the project is the whole file system, because vagga.yaml is in /",
            "move vagga.yaml and what belongs to it into a directory of its own",
            "project-is-root",
            ExitCode.CONFIG,
        )


def check_owner(uid: int, owner: int, directory: str) -> None:
    """Refuse to work as root in somebody else's project: it would fill it with root's files.

    Raises:
        UsageError: with the remedy.
    """
    if uid == 0 and owner != 0:
        raise UsageError(
            f"you should not run vagga as root in {directory}, which belongs to user {owner}",
            "run it as that user, or with --ignore-owner-check",
            "foreign-project",
        )


def redacted(planned: Plan, names: tuple[str, ...]) -> Plan:
    """Return the plan for showing, with the values of the variables `names` replaced."""

    def hide(child: ChildPlan) -> ChildPlan:
        program = child.launch.program
        environ = {name: "(redacted)" if name in names else value for name, value in program.environ.items()}
        return replace(child, launch=replace(child.launch, program=replace(program, environ=environ)))

    stages = planned.stages
    if any(stage.rules for stage in stages):
        from vaggapy import equip  # only with rules

        stages = tuple(equip.redacted(stage, names) for stage in stages)
    stages = tuple(replace(stage, children=tuple(map(hide, stage.children))) for stage in stages)
    return replace(planned, stages=stages)
