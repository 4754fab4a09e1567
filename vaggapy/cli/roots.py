"""Have the roots and directories that a plan needs, and put them into it. Part of the warm path.

A root that is there costs two small reads. Only when something is missing, or depends on files of the project, are
the modules that build imported (`building`).
"""

from __future__ import annotations

import os
import sys

from vaggapy.build import store, trust
from vaggapy.config.model import ALL_IDS
from vaggapy.errors import CommandError, ExitCode, SandboxError
from vaggapy.plan import base_environ
from vaggapy.record import replace
from vaggapy.sandbox.ids import first_missing, joined, map_text
from vaggapy.sandbox.operations import PRIVATE_PLACES, inside
from vaggapy.sandbox.spec import HostRoot
from vaggapy.volumes import CACHE, CONTAINER, FILLED, PROGRAM, VOLUME, Defaults, placed, unfilled, used

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vaggapy.build.store import Places
    from vaggapy.config.model import Container, Persistent, Project
    from vaggapy.host import Host
    from vaggapy.plan import Plan
    from vaggapy.sandbox.spec import Extent, IdMaps
    from vaggapy.supervise.signals import Signals
    from vaggapy.supervise.stage import ChildPlan, Stage


def maps_text(maps: IdMaps) -> str:
    """Return id maps as they are written beside a root."""
    return (map_text(maps.uids) + b"\n" + map_text(maps.gids)).decode()


def place(plan: Plan, project: Project, host: Host, signals: Signals, maps: IdMaps, volumes: bool = True) -> Plan:
    """Return the plan with every root built and every path real.

    `volumes`: False where nothing is run, so that none need be there.

    Raises:
        VaggaError: a container cannot be built, or may not be; a volume is to be filled first.
    """
    stages = plan.stages
    kept, caches = used(stages, VOLUME) if volumes else (), used(stages, CACHE)
    places = store.places(project.directory, project.settings, host.environ, create=True)
    if kept:
        store.hold(places.volumes)  # open until the run is over: nobody removes one meanwhile
    lacking = unfilled(stages, project, frozenset(name for name in kept if os.path.isdir(f"{places.volumes}/{name}")))
    if lacking and volumes:
        raise _empty(lacking)
    for name in plan.builds:
        check_ids(project.containers[name], maps)
    roots = {name: _root(name, project, places, host, plan.build, signals, maps) for name in plan.builds}
    for path in caches:
        trust.inner_directory(places.cache, path)
    _make_volumes(kept, project, places, host, signals, maps)
    real = {VOLUME: places.volumes, CACHE: places.cache, PROGRAM: os.path.dirname(os.path.realpath(sys.argv[0]))}
    real.update((f"{CONTAINER}{name}", f"{directory}/root") for name, directory in roots.items())
    images = _images(stages, project, roots)
    base = base_environ(project.settings, host)
    return replace(plan, stages=tuple(placed(stage, real, images, base, store.within) for stage in stages))


def _images(stages: tuple[Stage, ...], project: Project, roots: dict[str, str]) -> dict[str, Defaults]:
    """Return what is known of programs by their container, for those whose plan does not say all."""
    found: dict[str, Defaults] = {}
    for child in (child for stage in stages for child in stage.children):
        container = project.containers[child.container]
        if container.name in found or not (container.name in roots or container.environ_file):
            continue
        found[container.name] = _defaults(container, roots.get(container.name, ""), child, project)
        if container.data_dirs:
            text = f"vagga: container {container.name} is for data (data-dirs): it may have no programs\n"
            os.write(2, text.encode("utf-8", "replace"))
    return found


def _defaults(container: Container, directory: str, child: ChildPlan, project: Project) -> Defaults:
    """Return what a root says of its programs: its image, as it was written beside the root, and `environ-file`."""
    settings = store.facts(f"{directory}/image") if directory else {}
    environ = [(name[8:], value) for name, value in settings.items() if name.startswith("environ ")]
    if container.environ_file:
        from vaggapy.cli.environfile import variables  # only with such a file

        environ += variables(container, f"{directory}/root" if directory else "/", project.directory, _hidden(child))
    uid, gid = (int(settings.get(name, "-1")) for name in ("uid", "gid"))
    return Defaults(tuple(environ), settings.get("directory", ""), uid, gid)


def _hidden(child: ChildPlan) -> Callable[[str], bool]:
    """Return whether a child does not see a path of the host, as far as the host's root is its own."""
    root = child.launch.sandbox.root
    if not isinstance(root, HostRoot):
        return lambda _: False
    covered, exposed = (*root.hidden, *PRIVATE_PLACES, "/dev", "/proc"), (*root.exposed, child.launch.sandbox.project)
    return lambda path: (
        any(inside(path, place) for place in covered) and not any(inside(path, place) for place in exposed)
    )


def check_ids(container: Container, maps: IdMaps) -> None:
    """See that the run has the ids that a container asks for; one that does not ask takes what there is.

    Raises:
        SandboxError: with the range.
    """
    for key, wanted, extents in (("uids", container.uids, maps.uids), ("gids", container.gids, maps.gids)):
        for first, last in wanted if wanted != ALL_IDS else ():
            missing = first_missing(first, last, extents)
            if missing >= 0:
                range_ = f"{first}-{last}" if first != last else f"{first}"
                raise _missing_id(f"container {container.name}: `{key}` has {range_}", missing, extents)


def _missing_id(what: str, missing: int, extents: tuple[Extent, ...]) -> SandboxError:
    """Return the error for an id that this run does not have."""
    from vaggapy.sandbox.explain import RANGES  # only to explain

    own = ", ".join(f"{e.inside}-{e.inside + e.count - 1}" if e.count > 1 else f"{e.inside}" for e in joined(extents))
    return SandboxError(
        f"{what}, and this run has no id {missing}, only {own}", f"ask for less, or {RANGES}", "ids-missing"
    )


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
    container = project.containers[name]
    digest = container.digest or _looked_up(container, project, places, maps)
    directory = places.root(name, digest)
    cleans = container.auto_clean and store.linked(places, name) not in ("", directory)  # the one before goes
    held = (
        store.hold(directory) if digest and not cleans else -1
    )  # open until the run is over: nobody removes it meanwhile
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


def _empty(volume: Persistent) -> CommandError:
    return CommandError(
        f"volume {volume.name} is empty: its init-command '{volume.init_command}' has not run",
        f"run vagga {volume.init_command} first",
        "volume-empty",
    )


def _make_volumes(
    volumes: tuple[str, ...], project: Project, places: Places, host: Host, signals: Signals, maps: IdMaps
) -> None:
    """Make the persistent volumes that are not there; those of an `init-command` begin anew under another name."""
    known = project.persistent
    for name in volumes:
        filled = name.startswith(FILLED)
        volume = known[name.removeprefix(FILLED)]
        if not filled and (volume.init_command or os.path.isdir(f"{places.volumes}/{name}")):
            continue  # It is there, or a stage before the one that needs it makes it.
        for key, owner, extents in (("uid", volume.owner_uid, maps.uids), ("gid", volume.owner_gid, maps.gids)):
            if first_missing(owner, owner, extents) >= 0:
                raise _missing_id(f"volume {volume.name}: `owner-{key}` is {owner}", owner, extents)
        from vaggapy.cli import building, filling  # once in the life of a volume

        if filled:  # Its lock is held already.
            building.make_volume(places, name, volume, project, host, signals, maps)
            continue
        with filling.hold(places, name, signals, wait=True):
            if not os.path.isdir(f"{places.volumes}/{name}"):
                building.make_volume(places, f"{FILLED}{name}", volume, project, host, signals, maps)
                os.rename(f"{places.volumes}/{FILLED}{name}", f"{places.volumes}/{name}")
