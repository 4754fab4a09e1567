"""Entries of the user's cache whose projects are gone: what was read of a vagga.yaml, and the indexes of trees."""

from __future__ import annotations

import os

from vaggapy import cache
from vaggapy.build import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def forgotten(environ: Mapping[str, str], project: str) -> tuple[str, ...]:
    """Return the paths of such entries. Those that cannot be read stay: another vagga may have written them."""
    directory = index.directory_for(project, dict(environ))
    try:
        names = sorted(os.listdir(directory)) if directory else []
    except OSError:
        return ()
    found = []
    for name in names:
        path = f"{directory}/{name}"
        about = index.kept_for(path) if name.startswith("index-") else cache.kept_for(path)
        if about and not os.path.isdir(about):
            found.append(path)
    return tuple(found)
