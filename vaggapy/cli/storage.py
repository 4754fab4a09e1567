"""The built-in commands about what is built and kept, and where; `_clean` and `_pack_image` have their own modules."""

from __future__ import annotations

import os

from vaggapy.build import recipe, registry, store
from vaggapy.build.run import Options as BuildOptions
from vaggapy.cli import argv, building
from vaggapy.cli.app import help_text
from vaggapy.cli.roots import check_ids
from vaggapy.errors import CommandError, ExitCode, UsageError
from vaggapy.host import probe
from vaggapy.plan import check_owner, unknown_container
from vaggapy.sandbox import run as sandboxes
from vaggapy.supervise.signals import Signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vaggapy.cli.argv import Options
    from vaggapy.config.model import Project
    from vaggapy.host import Host
    from vaggapy.sandbox.spec import IdMaps

BUILD = {
    **argv.HELP,
    "--force": (argv.FLAG, "force", ""),
    "--no-cache": (argv.FLAG, "no-cache", ""),
    "--no-image-download": (argv.FLAG, "build", ""),
    "--no-build": (argv.FLAG, "build", ""),
    "--no-version-check": (argv.FLAG, "build", ""),
}
VERSION = {
    **argv.HELP,
    "-s": (argv.FLAG, "short", ""),
    "--short": (argv.FLAG, "short", ""),
    "--debug-versioning": (argv.LATER, "debug", ""),
    "--dump-version-data": (argv.LATER, "debug", ""),
}


def run(name: str, words: tuple[str, ...], options: Options, load: Callable[[], Project]) -> int:
    """Do one of these commands and return its exit code.

    Raises:
        VaggaError: it cannot be done.
    """
    if name == "_build":
        return _build(words, options, load)
    if name == "_version_hash":
        return _version_hash(words, load)
    if name == "_clean":
        from vaggapy.cli import clean  # it needs modules that the others do not

        return clean.run(words, options)
    if name == "_pack_image":
        from vaggapy.cli import pack  # it uses this module

        return pack.run(words, options, load)
    return _directory(name, words, load)


def _build(words: tuple[str, ...], options: Options, load: Callable[[], Project]) -> int:
    """Build a container, if it is not there."""
    given, names = given_words("_build", words, BUILD, ("container",))
    if "help" in given:
        print(help_text("_build"), end="")
        return ExitCode.OK
    signals, caller, project = Signals(), probe(), load()
    if not options.ignore_owner_check:
        check_owner(caller.uid, os.stat(project.directory).st_uid, project.directory)
    name = known_container(project, names[0])
    places = store.places(project.directory, project.settings, caller.environ, create=True)
    maps = id_maps(caller)
    how = BuildOptions("force" in given or "no-cache" in given, "no-cache" in given, project.settings.build_lock_wait)
    check_ids(project.containers[name], maps)
    made = building.builder(project, places, caller, signals, maps, how)
    made.ensure(name, asked=True)
    return ExitCode.OK


def _version_hash(words: tuple[str, ...], load: Callable[[], Project]) -> int:
    """Print the version of a container; 29 if it cannot be known before it is built."""
    given, names = given_words("_version_hash", words, VERSION, ("container",))
    if "help" in given:
        print(help_text("_version_hash"), end="")
        return ExitCode.OK
    project, caller = load(), probe()
    name = known_container(project, names[0])
    places = store.places(project.directory, project.settings, caller.environ)
    roots = {each: store.linked(places, each) for each in project.containers}
    there = {each: f"{directory}/root" for each, directory in roots.items() if directory}
    version = recipe.version(
        project, name, registry.kinds(), building.looker(id_maps(caller), project.settings)(places, there)
    )
    if not version.digest:
        raise CommandError(
            f"the version of container {name} is known only when it is built",
            f"run vagga _build {name}",
            "build-no-version",
            ExitCode.NOT_BUILT,
        )
    print(version.short if "short" in given else version.digest)
    return ExitCode.OK


def _directory(name: str, words: tuple[str, ...], load: Callable[[], Project]) -> int:
    """Print the project's directory, or the current one relative to it."""
    given, _ = given_words(name, words, argv.HELP, ())
    if "help" in given:
        print(help_text(name), end="")
        return ExitCode.OK
    project = load()
    if name == "_base_dir":
        print(project.directory)
        return ExitCode.OK
    here = os.getcwd()
    inside = here == project.directory or here.startswith(f"{project.directory.rstrip('/')}/")
    print(os.path.relpath(here, project.directory) if inside and here != project.directory else "" if inside else ".")
    return ExitCode.OK


def id_maps(caller: Host) -> IdMaps:
    """Return the id maps that the caller's sandboxes get, found out by making one.

    Raises:
        SandboxError: there can be none.
    """
    spawner = sandboxes.start(caller.uid, caller.gid, caller.user)
    spawner.stop()
    return spawner.maps


def known_container(project: Project, name: str) -> str:
    """Return the name of a container that is built.

    Raises:
        CommandError: there is none of that name, or it is `!Host`.
    """
    if name not in project.containers:
        raise unknown_container(project, name)
    if project.containers[name].host is not None:
        raise CommandError(
            f"container {name} is !Host: its root is the host's, and there is nothing to build",
            "name one with steps in its setup",
            "host-container",
        )
    return name


def given_words(
    name: str, words: tuple[str, ...], known: dict[str, tuple[str, str, str]], wanted: tuple[str, ...]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the options by key, and the other words, which are as many as `wanted` names.

    Raises:
        UsageError: exit code 122.
    """
    given: dict[str, str] = {}
    others: list[str] = []
    for key, value, _ in argv.scan(words, known, f"vagga {name}"):
        if key == "help":
            return {"help": ""}, ()
        if key:
            given[key] = value
        elif len(others) == len(wanted):
            raise UsageError(f"Unexpected argument {value}", f"see vagga {name} --help", "unexpected-argument")
        else:
            others.append(value)
    if len(others) < len(wanted):
        missing = wanted[len(others)]
        raise UsageError(
            f"Argument {missing} is required", f"write vagga {name} {' '.join(wanted).upper()}", "missing-argument"
        )
    return given, tuple(others)
