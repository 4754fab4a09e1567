"""Paths that steps name, as the build sandbox sees them. Pure."""

from __future__ import annotations

from vaggapy.build.actions import VOLUMES
from vaggapy.build.kind import StepError

PROJECT = "/work"
EXTERNAL = "/volumes/"
"""How vagga.yaml names what `external-volumes` of the settings are."""


def in_volume(path: str) -> str:
    """Return the place of a file or directory of an external volume.

    Raises:
        StepError: it leads out of the volume.
    """
    if ".." in path.split("/"):
        raise StepError(f"path {path!r} holds '..'", "write the path without it", "bad-path")
    return f"{VOLUMES}/{path.removeprefix(EXTERNAL)}"


def in_project(path: str) -> str:
    """Return the place of a file or directory of the project; a relative path begins there.

    Raises:
        CommandError: it leads out of the project.
    """
    parts: list[str] = []
    for part in path.removeprefix(f"{PROJECT}/" if path != PROJECT else PROJECT).split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part == "..":
            raise StepError(f"path {path!r} leads out of the project", "name a file below the project", "bad-path")
        elif part not in ("", "."):
            parts.append(part)
    return "/".join((PROJECT, *parts))


def is_in_project(path: str) -> bool:
    """Return whether an absolute path is the project or below it."""
    return path == PROJECT or path.startswith(f"{PROJECT}/")


def resolved(path: str) -> str:
    """Return a path as programs of the build find it: relative ones begin in the project."""
    return path if path.startswith("/") else in_project(path)
