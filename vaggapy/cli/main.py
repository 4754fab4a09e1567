"""From the words of a command line to an exit code: the one place where errors become lines.

The warm path: only what `vagga CMD` needs is imported here; help, lists and the parser of vagga.yaml are
imported where they are called, and the parser in a process of its own.
"""

from __future__ import annotations

import io
import os
import sys

from vaggapy import __version__
from vaggapy.cli import argv
from vaggapy.errors import CommandError, ExitCode, Interrupted, UsageError, VaggaError
from vaggapy.host import current_directory
from vaggapy.record import Record, replace
from vaggapy.sandbox.spec import HostRoot

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
    from typing import NoReturn

    from vaggapy.cli.argv import Invocation, Options
    from vaggapy.config.model import Command, Project, Supervise
    from vaggapy.host import Host
    from vaggapy.plan import Plan, Request
    from vaggapy.sandbox.run import Spawner
    from vaggapy.supervise.signals import Signals
    from vaggapy.supervise.stage import Stage

    Show = Callable[[Plan, Options], int]
else:
    import _signal

STORAGE_COMMANDS = ("_build", "_clean", "_version_hash", "_pack_image", "_base_dir", "_relative_work_dir")
CONFIG_COMMANDS = ("_check", "_dump_config", "_settings", "_simulate")
LINE_COMMANDS = ("_compgen", "_completion", "_help", "_update_symlinks")
INTERRUPTED = 130
READER_GONE = 141


def main() -> NoReturn:
    """Be the command `vagga`: never returns, ends with the exit code and without the interpreter's clean-up."""
    verbose = sum(word.count("v") for word in sys.argv[1:4] if word in ("-v", "-vv", "-vvv"))
    try:
        _open_missing_streams()
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)  # a caller that ignored it would take our children's ends away
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # names of files may hold any byte
        code = run(tuple(sys.argv[1:]), sys.argv[0])
    except VaggaError as error:
        code = error.code
        _complain(*error.lines())
        _show_trace(verbose)
    except Interrupted as interrupted:
        code = ExitCode.SIGNAL + interrupted.number
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        code = READER_GONE
    except OSError as error:
        code = ExitCode.COMMAND
        place = f"{error.filename}: " if error.filename else ""
        _complain(f"vagga: system error: {place}{error.strerror or error} (see -vv for where it happened) [system]")
        _show_trace(verbose)
    except Exception as error:
        code = ExitCode.COMMAND
        _complain(
            f"vagga: internal error: {type(error).__name__}: {' '.join(str(error).split())} "
            "(please report it with the output of the same command with -vv) [internal]"
        )
        _show_trace(verbose)
    os._exit(_flush(code))


def _flush(code: int) -> int:
    """Write what print() still holds; return the exit code, which tells when it could not be written."""
    if sys.stdout is None:  # It was closed when we were started.
        return code
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return code or READER_GONE
    except (OSError, ValueError) as error:
        _complain(f"vagga: standard output cannot be written: {error} (free some space, or look at it) [output-lost]")
        return code or ExitCode.COMMAND
    return code


def run(words: tuple[str, ...], program: str = "") -> int:
    """Do what the words after `vagga` say and return the exit code.

    `program` is what we were called by; a link of another name may stand for a command of the project.

    Raises:
        VaggaError: with its exit code, to be shown.
    """
    called = program.rpartition("/")[2]
    if called not in ("vagga", "__main__.py", "") and not called.startswith("vagga_") and os.path.islink(program):
        from vaggapy.cli import symlinks  # not needed under our own name

        command = symlinks.command(load(argv.Options(), current_directory()), called)
        if command:
            return _run_command(argv.Invocation(argv.Options(), command, words))
    invocation = _parse(words)
    options = invocation.options
    if options.status_fd >= 0:
        from vaggapy.cli.statusfd import check_status_fd  # only with --status-fd

        check_status_fd(options.status_fd)
    if options.version:
        print(f"v{__version__}")
        return ExitCode.OK
    if options.help:
        return _built_in("--help", (), options)
    name = invocation.command
    if options.run_multi:
        return _run_command(invocation)
    if not name:
        return _list_commands(options)
    if name == "_run":
        return _run_program(invocation)
    if name in STORAGE_COMMANDS or name in CONFIG_COMMANDS:
        return _about_project(name, invocation.arguments, options)
    if name in LINE_COMMANDS:
        from vaggapy.cli import shell  # not needed to run a command

        return shell.run(name, invocation.arguments, options, load)
    if name.startswith("_") and _is_built_in(name, options):
        return _built_in(name, invocation.arguments, options)
    return _run_command(invocation)


def _parse(words: tuple[str, ...]) -> Invocation:
    """Return what the words mean; that there is no project is told before what is wrong with them.

    Source: vagga.md 1.2.
    """
    try:
        return argv.parse(words)
    except UsageError:
        if not any(word.startswith(("-f", "--file")) for word in words):
            load(argv.Options(), current_directory())
        raise


# --- what does not run anything ---------------------------------------------------------------------------------


def _built_in(name: str, words: tuple[str, ...], options: Options) -> int:
    from vaggapy.cli import app  # typer takes 40 ms

    return app.dispatch(name, words, lambda: load(options, current_directory()), options.color)


def _about_project(name: str, words: tuple[str, ...], options: Options) -> int:
    if name in STORAGE_COMMANDS:
        from vaggapy.cli import storage  # not needed to run a command

        return storage.run(name, words, options, lambda: load(options, current_directory()))
    if name == "_simulate":
        from vaggapy.cli import simulate  # the same

        return simulate.run(words, options, _run_command)
    from vaggapy.cli import configuration  # the same

    return configuration.run(name, words, options, lambda: load(options, current_directory()))


def _is_built_in(name: str, options: Options) -> bool:
    """Return whether `_name` is not a command of the project: built-ins work where the project does not."""
    from vaggapy.cli.listing import BUILTINS  # not needed to run a command

    if name in BUILTINS:
        return True
    try:
        return name not in load(options, current_directory()).commands
    except VaggaError:
        return True


def _list_commands(options: Options) -> int:
    from vaggapy.cli import listing  # not needed to run a command

    project = load(options, current_directory())
    _warn(project)
    _write_error(listing.commands(project))
    return ExitCode.NOT_FOUND


# --- what runs something ----------------------------------------------------------------------------------------


class Asked(Record):
    """What the words after a command mean. `help`: the text to show instead; `chosen` None: all children.

    `picked`, `excluded`, `debug`: as in `plan.Request`.
    """

    help: str = ""
    arguments: tuple[str, ...] = ()
    chosen: tuple[str, ...] | None = None
    build: str = ""
    variables: tuple[tuple[str, str], ...] = ()
    picked: bool = False
    excluded: tuple[str, ...] = ()
    debug: bool = False


def _run_command(invocation: Invocation, show: Show | None = None) -> int:
    """Run a command of the project, or those of `--run-multi` one after the other; `show`: see `_run`."""
    options = invocation.options

    def make_plan(project: Project, caller: Host) -> Plan | None:
        from vaggapy.plan import plan  # while the spawner is being made

        def look(glob: str) -> tuple[str, ...]:
            return _look(project.directory, glob)

        commands = tuple(_resolve(project, name) for name in options.run_multi or (invocation.command,))
        asked = Asked() if options.run_multi else _read_arguments(commands[0], invocation.arguments, look)
        if asked.help:
            print(asked.help, end="")
            return None
        alone = "" if options.run_multi else commands[0].name
        planned = plan(
            project,
            tuple(command.name for command in commands),
            _request(replace(options, build=asked.build or options.build), asked),
            caller,
            _volumes(project, caller),
            lambda each: asked.variables if each.name == alone else _without_words(each),
            look,
        )
        last = planned.stages[-1]
        if not last.children and not (last.rules and last.rules.families):
            _warn(planned)
            raise CommandError(
                f"no children of {commands[-1].name} match the conditions",
                "look at --only and --exclude; `vagga CMD --help` lists the children with their tags",
                "no-children",
                ExitCode.NOTHING_SELECTED,
            )
        if asked.debug and not options.dry_run:
            from vaggapy.equip import check_attended  # only with --debug

            check_attended(last)
        return planned

    return _run(options, make_plan, show)


def _run_program(invocation: Invocation) -> int:
    """Run a program in a container: `vagga _run CONTAINER PROGRAM`."""
    asked = argv.parse_run(invocation.arguments)
    options = invocation.options
    if asked.help:
        return _built_in("_run", ("--help",), options)

    def make_plan(project: Project, caller: Host) -> Plan:
        from vaggapy.plan import plan_program  # while the spawner is being made

        request = replace(_request(options, Asked()), writable=asked.writable, build=asked.build or options.build)
        return plan_program(project, asked.container, asked.words, request, caller)

    return _run(options, make_plan)


def _run(options: Options, make_plan: Callable[[Project, Host], Plan | None], show: Show | None = None) -> int:
    """Plan and run; no plan means that there is nothing to do. With `--dry-run` the plan is shown, by `show` if given.

    The spawner is forked before the project is known: the kernel works while we read and import, and a process
    that has imported little is quick to fork.
    """
    from vaggapy.host import probe  # not needed for help and lists
    from vaggapy.sandbox.run import start_early  # the same
    from vaggapy.supervise.signals import Signals  # the same

    signals = Signals()
    caller = probe()
    spawner = None if options.dry_run else start_early(caller.uid, caller.gid, caller.user)
    filling = None
    try:
        project = load(options, caller.directory)
        _warn(project)
        _check_owner(caller, project, options)
        planned = make_plan(project, caller)
        if planned is None:
            return ExitCode.OK
        _warn(planned)
        if spawner is None:
            from vaggapy.cli.dump import dump_plan  # not when it is run

            return (show or dump_plan)(planned, options)
        if any(stage.fills for stage in planned.stages) and not options.containers_only:
            from vaggapy.cli.filling import Filling  # once in the life of a volume

            filling = Filling(project, caller, signals)
            planned = filling.begin(planned, lambda: make_plan(project, caller))
        planned = _place(planned, project, caller, signals, spawner, volumes=not options.containers_only)
        if options.containers_only:
            return ExitCode.OK
        first = planned.stages[0].children
        spawner.begin(planned.isolate_network, first[0].launch.sandbox if first else None)
        from vaggapy.cli.execute import execute  # while the spawner makes the first root

        return execute(planned, caller, options, signals, spawner, filling.keep if filling else _keep_nothing)
    finally:
        if spawner is not None:
            spawner.stop()
        if filling is not None:
            filling.close()


def _volumes(project: Project, caller: Host) -> frozenset[str] | None:
    """Return the persistent volumes that exist, None if the project has none that must be filled."""
    if not any(volume.init_command for volume in project.persistent.values()):
        return None
    from vaggapy.build import store  # only with such volumes

    directory = store.places(project.directory, project.settings, caller.environ).volumes
    return frozenset(os.listdir(directory) if os.path.isdir(directory) else ())


def _place(planned: Plan, project: Project, caller: Host, signals: Signals, spawner: Spawner, volumes: bool) -> Plan:
    """Return the plan with everything that it needs in place."""
    from vaggapy.cli.sealing import sealed  # not for what is only shown

    children = [child for stage in planned.stages for child in stage.children]
    if all(isinstance(child.launch.sandbox.root, HostRoot) for child in children):
        from vaggapy.volumes import CACHE, CONTAINER, PROGRAM, VOLUME, used  # only the check

        files = any(project.containers[child.container].environ_file for child in children)
        if not files and not any(used(planned.stages, kind) for kind in (CACHE, CONTAINER, PROGRAM, VOLUME)):
            return sealed(planned, project.directory)
    from vaggapy.cli import roots  # only with containers that are built, or volumes that are kept

    return sealed(roots.place(planned, project, caller, signals, spawner.maps, volumes), project.directory)


def _keep_nothing(_stage: Stage) -> None:
    """Be told that a stage that fills no volume was good."""


def load(options: Options, directory: str) -> Project:
    """Return the project that the options and the directory mean.

    Raises:
        VaggaError: there is none, or its file is wrong.
    """
    from vaggapy import cache  # not needed for --help and --version

    return cache.load(directory, options.file or None)


def _resolve(project: Project, name: str) -> Command | Supervise:
    """Return the command; only an alias or an error needs the module of lists."""
    found = project.commands.get(name)
    if found is None:
        from vaggapy.cli.listing import resolve  # rarely needed

        found = resolve(project, name)
    return found


def _look(directory: str, glob: str) -> tuple[str, ...]:
    """Return the paths of the project that a glob means."""
    from vaggapy.cli.matching import looker  # only with a glob

    return looker(directory)(glob)


def _read_arguments(
    command: Command | Supervise, words: tuple[str, ...], look: Callable[[str], tuple[str, ...]] = lambda _: ()
) -> Asked:
    """Return what the words after a command mean to it; `look` gives the paths that a glob means.

    Raises:
        VaggaError: they do not fit; exit code 122, or 121 for a command with `options`.
    """
    from vaggapy.config.model import Command as SingleCommand  # only the name is needed above

    single = isinstance(command, SingleCommand)
    if not isinstance(command, SingleCommand) and command.rules is not None:
        from vaggapy.lineup import members  # only with rules

        command = members(command, look)
    if command.options:
        from vaggapy.cli import options  # docopt takes 15 ms; only for commands with such a text

        parsed = options.parse(command, words)
        asked = Asked(parsed.help, variables=parsed.variables)
        if single or parsed.help:
            return asked
        return _select(command, argv.Selection(parsed.only, parsed.exclude, debug=parsed.debug), asked)
    if isinstance(command, SingleCommand):
        arguments, wants_help = argv.parse_command(command.name, command.program.accepts_arguments, words)
        return Asked(_help_of(command) if wants_help else "", arguments)
    selection = argv.parse_supervise(command.name, words)
    if selection.help:
        return Asked(_help_of(command))
    return _select(command, selection, Asked(build=selection.build))


def _without_words(command: Command | Supervise) -> tuple[tuple[str, str], ...]:
    """Return the variables of a command with `options` that gets no words: a prerequisite, for example."""
    return _read_arguments(command, ()).variables


def _select(command: Command | Supervise, selection: argv.Selection, asked: Asked) -> Asked:
    """Return what is asked for with the choice of children."""
    from vaggapy.config.model import Command as SingleCommand  # only the name is needed above

    children = () if isinstance(command, SingleCommand) else command.children
    chosen = argv.select(tuple((child.name, child.tags) for child in children), selection)
    away = tuple(child.name for child in children if {child.name, *child.tags} & set(selection.exclude))
    return replace(asked, chosen=chosen, picked=bool(selection.only), excluded=away, debug=selection.debug)


def _help_of(command: Command | Supervise) -> str:
    from vaggapy.cli.listing import command_help  # not needed to run a command

    return command_help(command)


def _request(options: Options, asked: Asked) -> Request:
    from vaggapy.plan import Request as Wanted  # only the name is needed above

    return Wanted(
        arguments=asked.arguments,
        chosen=asked.chosen,
        environ=options.environ,
        removed=options.remove,
        copied=options.use_env,
        prerequisites=not options.no_prerequisites,
        isolate_network=options.isolate_network,
        prefix=options.prefix,
        build=options.build,
        variables=asked.variables,
        picked=asked.picked,
        excluded=asked.excluded,
        debug=asked.debug,
    )


def _check_owner(caller: Host, project: Project, options: Options) -> None:
    from vaggapy.plan import check_owner  # only the check is needed

    if not options.ignore_owner_check:
        owner = os.stat(project.directory).st_uid
        check_owner(caller.uid, owner, project.directory)
        if owner != caller.uid:
            what = f"vagga: warning: {project.directory} belongs to user {owner}, you are user {caller.uid}"
            _complain(f"{what} (what is made there will be yours; --ignore-owner-check hides this) [foreign-project]")


def _warn(of: Project | Plan) -> None:
    """Tell which mixins, or which children, are left out, and what else is doubtful."""
    for problem in of.warnings:
        _complain(f"vagga: warning: {problem}")


# --- the caller's streams ---------------------------------------------------------------------------------------


def _open_missing_streams() -> None:
    """Put /dev/null where 0, 1 or 2 is closed: a pipe or socket of ours must not take its place."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open("/dev/null", os.O_RDWR)


def _complain(*lines: str) -> None:
    _write_error("".join(f"{line}\n" for line in lines))


def _write_error(text: str) -> None:
    """Write to standard error, whatever is left of it."""
    data = text.encode("utf-8", "backslashreplace")
    while data:
        try:
            data = data[os.write(2, data) :]
        except OSError:
            return


def _show_trace(verbose: int) -> None:
    if verbose >= 2:
        import traceback  # only for the developers of vagga

        traceback.print_exc()
