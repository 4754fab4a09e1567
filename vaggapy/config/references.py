"""What refers to what: containers that others are built from, or mount. Pure.

Source: vagga.md 2.5. Differs: all references are checked when the file is read, and a circle is named once, whole.
"""

from __future__ import annotations

from vaggapy.config.model import Command, Persistent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vaggapy.config.model import Container, Supervise
    from vaggapy.config.values import Reader, Reference
    from vaggapy.errors import Mark

MOST_SHOWN = 10
MAX_DEPTH = 50
"""Containers that are built on each other."""


def unknown(reader: Reader, name: str, mark: Mark, containers: Iterable[str]) -> None:
    """Report the name of a container that does not exist."""
    known = ", ".join(list(containers)[:MOST_SHOWN])
    otherwise = f"one of {known}" if known else "add it below 'containers:'"
    reader.report(mark, f"unknown container '{name}'", reader.near(name, containers, otherwise), "unknown-container")


def check_containers(reader: Reader, containers: Mapping[str, Container]) -> None:
    """Check what was named while the file was read."""
    needs: dict[str, list[Reference]] = {name: [] for name in containers}
    for reference in reader.references:
        if reference.name not in containers:
            unknown(reader, reference.name, reference.mark, containers)
        elif containers[reference.name].host is not None:
            what = f"container '{reference.name}' of {reference.by} is the host itself"
            remedy = "name a container that is built"
            reader.report(reference.mark, what, remedy, "host-as-image")
        elif reference.owner in needs:
            needs[reference.owner].append(reference)
    _check_circles(reader, needs)


def check_initial(
    reader: Reader,
    containers: Mapping[str, Container],
    commands: Mapping[str, Command | Supervise],
    names: Iterable[str],
) -> None:
    """Check that each `init-command` can fill its volume: it is a `!Command` that mounts it. `names`: of commands."""
    fillers: dict[str, str] = {}
    for volume, mark in reader.initial:
        name = volume.init_command
        other = fillers.setdefault(volume.name, name)
        if other != name:
            what = f"volume '{volume.name}' has two init-commands, '{other}' and '{name}'"
            reader.report(mark, what, "keep one of them, or give one volume another name", "init-command")
        command = commands.get(name)
        if command is None:
            if name not in names:
                remedy = reader.near(name, names, "add it below 'commands:'")
                reader.report(mark, f"unknown command '{name}'", remedy, "unknown-command")
        elif not isinstance(command, Command):
            what = f"init-command '{name}' is a !Supervise"
            reader.report(mark, what, "name a !Command that ends when the volume is filled", "init-command")
        elif command.program.container in containers:
            around = containers[command.program.container].volumes
            mounted = {**around, **command.program.volumes}.values()
            if not any(isinstance(other, Persistent) and other.name == volume.name for other in mounted):
                what = f"init-command '{name}' does not mount the volume '{volume.name}'"
                remedy = f"add it to 'volumes:' of '{name}' or of its container"
                reader.report(mark, what, remedy, "init-command")


def persistent(
    containers: Mapping[str, Container], commands: Mapping[str, Command | Supervise]
) -> dict[str, Persistent]:
    """Return every persistent volume by name.

    Where one is written several times, the place that says how it is filled or whose it is counts.
    """
    mounted = [volume for container in containers.values() for volume in container.volumes.values()]
    for command in commands.values():
        programs = (command.program,) if isinstance(command, Command) else (each.program for each in command.children)
        mounted += [volume for program in programs for volume in program.volumes.values()]
    found: dict[str, Persistent] = {}
    for volume in mounted:
        if isinstance(volume, Persistent):
            known = found.setdefault(volume.name, volume)
            if not known.init_command and (volume.init_command or known == Persistent(known.name)):
                found[volume.name] = volume
    return found


def _check_circles(reader: Reader, needs: dict[str, list[Reference]]) -> None:
    """Report each way from a container back to itself, and ways that are too long. Without recursion."""
    depths: dict[str, int] = {}
    for first in needs:
        path = [first] if first not in depths else []
        rest = [iter(needs[first])] if path else []
        while path:
            reference = next(rest[-1], None)
            if reference is None:
                done = path.pop()
                rest.pop()
                found = (depths.get(other.name, 0) for other in needs[done])
                depths[done] = 1 + max(found, default=0)
                if depths[done] == MAX_DEPTH + 1:
                    what = f"container '{done}' stands on {MAX_DEPTH} others or more"
                    reader.report(needs[done][0].mark, what, "put their steps together", "container-cycle")
            elif reference.name in path:
                circle = " -> ".join([*path[path.index(reference.name) :], reference.name])
                what = f"containers are built from each other in a circle: {circle}"
                reader.report(reference.mark, what, "take one step of it away", "container-cycle")
            elif reference.name not in depths:
                path.append(reference.name)
                rest.append(iter(needs[reference.name]))
