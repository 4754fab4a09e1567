"""Have the roots and directories that a plan needs, and put them into it. Part of the warm path.

A root that is there costs two small reads. Only when something is missing, or depends on files of the project, are
the modules that build imported (`building`).
"""

from __future__ import annotations

import os
import sys

from vaggapy.build import store
from vaggapy.errors import CommandError, ExitCode, VaggaError
from vaggapy.record import replace
from vaggapy.sandbox.ids import map_text
from vaggapy.volumes import CACHE, CONTAINER, FILLED, PROGRAM, VOLUME, Defaults, persistent, placed, used

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.build.store import Places
    from vaggapy.config.model import Container, Project
    from vaggapy.host import Host
    from vaggapy.plan import Plan
    from vaggapy.sandbox.spec import IdMaps
    from vaggapy.supervise.signals import Signals


def maps_text(maps: IdMaps) -> str:
    """Return id maps as they are written beside a root."""
    return (map_text(maps.uids) + b"\n" + map_text(maps.gids)).decode()


def place(plan: Plan, project: Project, host: Host, signals: Signals, maps: IdMaps) -> Plan:
    """Return the plan with every root built and every path real.

    Raises:
        VaggaError: a container cannot be built, or may not be.
    """
    stages = plan.stages
    volumes, caches = used(stages, VOLUME), used(stages, CACHE)
    if not plan.builds and not volumes and not caches and not used(stages, PROGRAM):
        return plan
    places = store.places(project.directory, project.settings, host.environ, create=True)
    roots = {name: _root(name, project, places, host, plan.build, signals, maps) for name in plan.builds}
    for path in caches:
        os.makedirs(f"{places.cache}/{path}", exist_ok=True)
    _make_volumes(volumes, project, places, host, signals, maps)
    real = {VOLUME: places.volumes, CACHE: places.cache, PROGRAM: os.path.dirname(os.path.realpath(sys.argv[0]))}
    real.update((f"{CONTAINER}{name}", f"{directory}/root") for name, directory in roots.items())
    images = {name: _defaults(project.containers[name], directory, project) for name, directory in roots.items()}
    return replace(plan, stages=tuple(placed(stage, real, images, store.within) for stage in stages))


def _defaults(container: Container, directory: str, project: Project) -> Defaults:
    """Return what a root says of its programs: its image, as it was written beside the root, and `environ-file`."""
    settings = store.facts(f"{directory}/image")
    environ = [(name[8:], value) for name, value in settings.items() if name.startswith("environ ")]
    if container.environ_file:
        from vaggapy.cli.environfile import variables  # only with such a file

        environ += variables(container, f"{directory}/root", project.directory)
    uid, gid = (int(settings.get(name, "-1")) for name in ("uid", "gid"))
    return Defaults(tuple(environ), settings.get("directory", ""), uid, gid)


def _root(name: str, project: Project, places: Places, host: Host, build: str, signals: Signals, maps: IdMaps) -> str:
    """Return the directory of a container's root."""
    # by the setting, what is not there is built
    if build == "no-version-check" or not (build or project.settings.version_check):
        directory = store.linked(places, name)
        if directory and store.hold(directory) >= 0:
            return directory
        if build:
            raise CommandError(
                f"container {name} has never been built",
                "run without --no-version-check",
                "not-built",
                ExitCode.NOT_BUILT,
            )
    digest = project.containers[name].digest or _looked_up(project.containers[name], project, places, maps)
    directory = places.root(name, digest)
    held = store.hold(directory) if digest else -1  # open until the run is over: nobody removes it meanwhile
    if held >= 0:
        if store.is_built(directory, digest, maps_text(maps)):
            store.touch(directory)
            store.link(places, name, directory)
            return directory
        os.close(held)
    from vaggapy.cli import building  # when there is something to build, or to look at

    return building.ensure(project, name, places, host, signals, maps, build=build != "no-build")


def _looked_up(container: Container, project: Project, places: Places, maps: IdMaps) -> str:
    """Return the version of a container that depends on files, "" if it is not known yet."""
    from vaggapy.build import formula, inputs  # with !Copy and the like only

    made = formula.loads(container.formula)
    roots = {name: f"{linked}/root" for name in project.containers if (linked := store.linked(places, name))}
    volumes = project.settings.external_volumes
    look = inputs.looker(places.project, places.cache, roots, _run_program, maps, volumes=volumes)
    return formula.Versions(made, look).of(container.name)


def _run_program(words: tuple[str, ...], directory: str) -> tuple[int, bytes]:
    from vaggapy.cli.building import run_program  # with !GitDescribe only

    return run_program(words, directory)


def _make_volumes(
    volumes: tuple[str, ...], project: Project, places: Places, host: Host, signals: Signals, maps: IdMaps
) -> None:
    """Make the persistent volumes that are not there; those of an `init-command` begin anew under another name."""
    known = persistent(project)
    if volumes:
        store.hold(places.volumes)  # as for roots
    for name in volumes:
        filled = name.startswith(FILLED)
        volume = known[name.removeprefix(FILLED)]
        if os.path.isdir(f"{places.volumes}/{name}") and not filled:
            continue
        if volume.init_command and not filled:
            raise CommandError(
                f"volume {name} is empty: its init-command '{volume.init_command}' has not run",
                f"run vagga {volume.init_command} first",
                "volume-empty",
            )
        from vaggapy.cli import building  # once in the life of a volume

        building.make_volume(places, name, volume, project, host, signals, maps)


def keep(plan: Plan, project: Project, host: Host, number: int) -> None:
    """Give the volumes that stage `number` has filled their names."""
    fills = plan.stages[number].fills
    if fills:
        places = store.places(project.directory, project.settings, host.environ)
        for name in fills:
            try:
                os.rename(f"{places.volumes}/{FILLED}{name}", f"{places.volumes}/{name}")
            except OSError as error:
                raise VaggaError(
                    f"volume {name} cannot be kept: {error.strerror}", f"look at {places.volumes}", "storage"
                ) from error
