"""`vagga _clean`: reads its words, works out what is to go (`build.clean`), and takes it away or only says so.

Nothing that is in use goes. A root is held by those who run in it, the layers by those who build, a build by its
lock. What goes loses its name first, so that nobody finds half of it, and is then removed by the worker, who may
remove files of all ids.
"""

from __future__ import annotations

import os

from vaggapy.build import clean, store
from vaggapy.build.clean import Action, Listing, Wanted
from vaggapy.cli import argv
from vaggapy.cli.sweep import Sweep, tell
from vaggapy.errors import ConfigError, ExitCode, Interrupted, UsageError, VaggaError
from vaggapy.host import probe
from vaggapy.record import Record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.build.store import Places
    from vaggapy.cli.argv import Options
    from vaggapy.config.model import Project
    from vaggapy.host import Host

CLEAN = {
    **argv.HELP,
    "--tmp": (argv.FLAG, clean.TMP, ""),
    "--tmp-folders": (argv.FLAG, clean.TMP, ""),
    "--old": (argv.FLAG, clean.OLD, ""),
    "--old-containers": (argv.FLAG, clean.OLD, ""),
    "--unused": (argv.FLAG, clean.UNUSED, ""),
    "--at-least": (argv.VALUE, "at-least", ""),
    "--layers": (argv.FLAG, clean.LAYERS, ""),
    "--transient": (argv.FLAG, clean.TRANSIENT, ""),
    "--volumes": (argv.FLAG, clean.VOLUMES, ""),
    "--unused-volumes": (argv.FLAG, clean.UNUSED_VOLUMES, ""),
    "--everything": (argv.FLAG, clean.EVERYTHING, ""),
    "--global": (argv.FLAG, "global", ""),
    "-n": (argv.FLAG, "dry-run", ""),
    "--dry-run": (argv.FLAG, "dry-run", ""),
}
WRONG_WORDS, WRONG_COMBINATION, FAILED = 1, 2, 3


class Asked(Record):
    """What the words say. `age` in seconds, -1 if it is not said."""

    actions: tuple[str, ...] = ()
    age: float = -1.0
    everywhere: bool = False
    dry: bool = False
    help: bool = False


def run(words: tuple[str, ...], options: Options) -> int:
    """Do what the words after `_clean` say and return the exit code.

    Raises:
        UsageError: they are wrong: 1, or do not go together: 2.
        VaggaError: something cannot be removed: 3.
    """
    asked = read(words)
    if asked.help:
        from vaggapy.cli.app import help_text  # typer takes 40 ms

        print(help_text("_clean"), end="")
        return ExitCode.OK
    caller = probe()
    dry = asked.dry or options.dry_run
    project, whole = _project(options, caller, dry, asked)
    if not options.ignore_owner_check:
        from vaggapy.plan import check_owner  # only the check is needed

        check_owner(caller.uid, os.stat(project.directory).st_uid, project.directory)
    if asked.everywhere and not project.settings.storage_dir:
        raise _combination("--global needs a storage-dir", "name one in the settings, or clean without --global")
    sweep = Sweep(project, caller, dry)
    try:
        _sweep(asked, sweep, project, whole, caller)
    except Interrupted:
        raise
    except VaggaError as error:
        raise VaggaError(f"Error cleaning up: {error.what}", error.remedy, error.name, FAILED) from error
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise VaggaError(
            f"Error cleaning up: {place}{error.strerror or error}", "look at it", "clean-failed", FAILED
        ) from error
    return ExitCode.OK


def _sweep(asked: Asked, sweep: Sweep, project: Project, whole: bool, caller: Host) -> None:
    """Decide for each storage what goes, and take it away."""
    from vaggapy.build import inventory  # not for wrong words
    from vaggapy.cli.leftovers import forgotten  # the same

    since = _now() - asked.age if asked.age >= 0 else -1.0
    actions = tuple(Action(name, since) for name in asked.actions)
    entries = forgotten(caller.environ, project.directory) if not asked.everywhere else ()
    if asked.everywhere:
        for places in sweep.all_places():
            sweep.take(places, clean.chosen(actions, inventory.listing(places), Wanted()))
        if clean.EVERYTHING in asked.actions:
            sweep.take_cache()
    else:
        places = own_places(project, caller)
        there = inventory.listing(places, entries)
        sweep.take(places, clean.chosen(actions, there, _wanted(asked, sweep, project, whole, places, there)))
    sweep.finish(clean.EVERYTHING in asked.actions)


def _now() -> float:
    import time  # here only

    return time.clock_gettime(time.CLOCK_REALTIME)


# --- words ----------------------------------------------------------------------------------------------------------


def read(words: tuple[str, ...]) -> Asked:
    """Return what the words mean.

    Raises:
        UsageError: exit code 1 for wrong words, 2 for some that do not go together.
    """
    try:
        asked = _scanned(words)
    except UsageError as error:
        error.code = WRONG_WORDS
        raise
    if asked.help:
        return asked
    if not asked.actions:
        names = ", ".join(f"--{name}" for name in clean.ACTIONS)
        raise UsageError(
            "vagga _clean has nothing to do without an action",
            f"one or more of {names}",
            "clean-no-action",
            WRONG_WORDS,
        )
    if asked.age >= 0 and clean.UNUSED not in asked.actions:
        raise _combination("--at-least goes with --unused only", "write vagga _clean --unused --at-least 10days")
    if asked.everywhere and not set(asked.actions) <= {clean.UNUSED, clean.EVERYTHING}:
        raise _combination("--global goes with --unused and --everything only", "clean each project by itself")
    if asked.everywhere and clean.UNUSED in asked.actions and asked.age < 0:
        raise _combination(
            "--unused --global cannot know what other projects use",
            "say how old it must be, as in --unused --global --at-least 10days",
        )
    return asked


def _scanned(words: tuple[str, ...]) -> Asked:
    actions: dict[str, None] = {}
    flags: set[str] = set()
    age = -1.0
    for key, value, _ in argv.scan(words, CLEAN, "vagga _clean"):
        if key == "help":
            return Asked(help=True)
        if not key:
            raise UsageError(
                f"Unexpected argument {value}",
                "_clean takes options only, see vagga _clean --help",
                "unexpected-argument",
            )
        if key == "at-least":
            found = clean.duration(value)
            if found is None:
                raise UsageError(
                    f"Bad value {value}", "--at-least takes a time like 10days or 2h 30m", "bad-option-value"
                )
            age = found
        elif key in clean.ACTIONS:
            actions[key] = None
        else:
            flags.add(key)
    return Asked(tuple(actions), age, "global" in flags, "dry-run" in flags)


def _combination(what: str, remedy: str) -> UsageError:
    return UsageError(what, remedy, "clean-combination", WRONG_COMBINATION)


# --- the project ----------------------------------------------------------------------------------------------------


def _project(options: Options, caller: Host, dry: bool, asked: Asked) -> tuple[Project, bool]:
    """Return the project, and whether all of it is known: if its file is wrong, only its place and settings are.

    Raises:
        VaggaError: there is no project, or an action needs to know all of it.
    """
    from vaggapy import cache  # not for wrong words

    needed = [name for name in asked.actions if name in clean.NEEDS_PROJECT]
    by_age = asked.age >= 0 and needed == [clean.UNUSED]
    # A dry run keeps nothing: no file is old enough for that.
    settled = float("inf") if dry else cache.SETTLED
    try:
        return cache.load(caller.directory, options.file or None, settled), True
    except ConfigError as error:
        if needed and not by_age:
            raise
        from vaggapy.config.load import find  # only if something is wrong

        found = find(caller.directory, options.file or None)
        project = _bare(found.directory, found.file, caller)
        first = error.lines()[0].removeprefix("vagga: ")
        tell(f"vagga.yaml is wrong, which does not matter for this: {first}")
        return project, False


def _bare(directory: str, file: str, caller: Host) -> Project:
    """Return a project with settings and nothing else.

    Raises:
        ConfigError: the settings are wrong.
    """
    # only if vagga.yaml is wrong
    from vaggapy.config.model import Project as Known
    from vaggapy.config.others import Others

    found = Others(directory).settings(caller.environ)
    if found.problems:
        raise ConfigError(tuple(found.problems))
    return Known(directory, file, {}, {}, found.settings())


def own_places(project: Project, caller: Host) -> Places:
    """Return where the project's things are. Without a link to it, nothing in `storage-dir` is this project's."""
    settings = replace(project.settings, cache_dir="")
    link = f"{project.directory}/.vagga/.lnk"
    if settings.storage_dir and not settings.storage_subdir_from_env_var and not os.path.islink(link):
        settings = replace(settings, storage_dir="")
    places = store.places(project.directory, settings, caller.environ)
    return replace(places, cache=project.settings.cache_dir) if project.settings.cache_dir else places


def _wanted(asked: Asked, sweep: Sweep, project: Project, whole: bool, places: Places, there: Listing) -> Wanted:
    """Return what the project needs, as far as the actions ask."""
    if not whole:
        return Wanted()
    wanted = Wanted(volumes=frozenset(project.persistent))
    if clean.UNUSED in asked.actions and asked.age < 0 and (there.roots or there.layers):
        roots, layers = sweep.needed(project, places)
        wanted = replace(wanted, roots=roots, layers=layers)
    return wanted
