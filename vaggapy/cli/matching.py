"""The paths of a project that a glob means, for `for-each`; imported only where one is written.

`*`, `?` and `[..]` are as in a shell, `**` is any number of directories; what begins with a dot is named by a dot only.
Nothing outside of the project is looked at: a link that leads out of it is as if it were not there.

Source: supervision-systems.md 3.9.
"""

from __future__ import annotations

import fnmatch
import os

from vaggapy.errors import CommandError, ExitCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORK = "/work/"
ANY_DEPTH = "**"
MOST_MEMBERS = 1000


def looker(directory: str) -> Callable[[str], tuple[str, ...]]:
    """Return the function that gives the paths of the project in `directory` that a glob means.

    They are relative to the project, and sorted by their bytes.
    """
    top = os.path.realpath(directory)

    def look(glob: str) -> tuple[str, ...]:
        names = [name for name in glob.removeprefix(WORK).split("/") if name not in ("", ".")]
        if glob.removeprefix(WORK).startswith("/") or ".." in names or not names:
            raise CommandError(
                f'the glob "{glob}" of a for-each is not one of paths of the project',
                "write one relative to vagga.yaml, or one below /work",
                "check-path",
                ExitCode.CONFIG,
            )
        found: set[str] = set()
        for path in _matches(top, tuple(names)):
            found.add(path)
            if len(found) > MOST_MEMBERS:
                raise CommandError(
                    f'the glob "{glob}" of a for-each means more than {MOST_MEMBERS} paths',
                    "write one that means fewer",
                    "too-many-matches",
                    ExitCode.CONFIG,
                )
        return tuple(sorted(found, key=os.fsencode))

    return look


def _matches(top: str, names: tuple[str, ...]) -> Iterator[str]:
    """Yield what matches the names, relative to `top`.

    A directory is looked at once for each rest of the names: with several `**` there are many ways to it.
    """
    waiting = [("", names)]
    known = set(waiting)
    while waiting:
        below, (name, *rest) = waiting.pop()
        following = [(below, tuple(rest) or ("*",))] if name == ANY_DEPTH else []
        for entry in _entries(f"{top}/{below}"):
            path = f"{below}{entry.name}"
            if name == ANY_DEPTH:
                # Links are not followed here: one could lead up again.
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                    following.append((f"{path}/", (name, *rest)))
            elif _is_meant(entry.name, name) and _is_inside(top, path, entry.is_symlink()):
                if not rest:
                    yield path
                elif _is_directory(entry):
                    following.append((f"{path}/", tuple(rest)))
        new = [each for each in following if each not in known]
        known.update(new)
        waiting += new


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def _entries(directory: str) -> list[os.DirEntry[str]]:
    """Return what is in a directory; nothing if it cannot be read."""
    try:
        with os.scandir(directory) as found:
            return list(found)
    except OSError:
        return []


def _is_meant(name: str, glob: str) -> bool:
    return fnmatch.fnmatchcase(name, glob) and (glob.startswith(".") or not name.startswith("."))


def _is_inside(top: str, path: str, is_link: bool) -> bool:
    if not is_link:
        return True
    real = os.path.realpath(f"{top}/{path}")
    return real == top or real.startswith(f"{top.rstrip('/')}/")
