"""`!CacheDirs {PATH: NAME}`: directories of the cache that are seen inside the root until the build ends."""

from __future__ import annotations

from vaggapy.build.actions import Action, Empty, MakeDirectory
from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind, StepError
from vaggapy.config.model import OWN_CACHES
from vaggapy.config.shapes import PAIRS, Field, Shape
from vaggapy.record import Record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class CacheDirs(Record):
    """`directories`: path inside -> name in the cache, which all containers and projects share."""

    directories: Mapping[str, str]


def act(step: CacheDirs, context: Context) -> Done:
    """Empty the directory of the root, which stays so, and show that of the cache in its place to later steps.

    Raises:
        CommandError: the name belongs to vagga itself.
    """
    actions: list[Action] = []
    for path, name in step.directories.items():
        if name.partition("/")[0] in OWN_CACHES:
            raise StepError(f"cache directory {name!r} belongs to vagga itself", "use another name", "build-values")
        actions += [MakeDirectory(path), Empty(path)]
    caches = (*context.caches, *step.directories.items())
    return Done(tuple(actions), replace(context, caches=caches))


KIND = Kind(Shape("!CacheDirs", (PAIRS,), {"directories": Field("path: name")}, "directories"), CacheDirs, act)
