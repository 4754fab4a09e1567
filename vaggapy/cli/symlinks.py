"""Links that stand for commands: which command a link means, and `vagga _update_symlinks`.

Source: vagga.md 1.10 and 1.8. Differs: no option of vagga is read behind a link; a file that is no link is never
replaced; links of commands that are gone are left alone.
"""

from __future__ import annotations

import os
import shutil
import sys

from vaggapy.errors import CommandError, ExitCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from vaggapy.config.model import Project

LOCAL = ".vagga/.cmd"
"""Below the project's directory."""
OF_USER = ".vagga/cmd"
"""Below the home directory."""


def command(project: Project, called: str) -> str:
    """Return the name of the command that the link `called` means, "" if links mean nothing here.

    Of several commands with that `symlink-name` the last in the order of names counts.

    Raises:
        CommandError: there is none; exit code 127.
    """
    if not project.settings.run_symlinks_as_commands:
        return ""
    found = [name for name, each in sorted(project.commands.items()) if each.symlink_name == called]
    if not found:
        raise CommandError(
            f'Can\'t find command "{called}"',
            f"vagga was started by a link of this name, but no command here has `symlink-name: {called}`",
            "symlink-name",
            ExitCode.NOT_FOUND,
        )
    return found[-1]


def update(project: Project, environ: Mapping[str, str], *, local: bool, user: bool) -> tuple[str, ...]:
    """Make the links of the project's commands and return their paths; existing ones are replaced in one go.

    Raises:
        CommandError: a link cannot be made; exit code 121.
    """
    names = sorted({each.symlink_name for each in project.commands.values() if each.symlink_name})
    target = own_program()
    directories = []
    if local:
        directories.append(f"{project.directory}/{LOCAL}")
    if user:
        home = environ.get("HOME", "")
        if not home.startswith("/"):
            raise _refused(f"~/{OF_USER}", "HOME is not set", "set it, or use --local-only")
        directories.append(f"{home}/{OF_USER}")
    made = []
    for directory in directories if names else ():
        _make_directory(directory)
        for name in names:
            _link(target, directory, name)
            made.append(f"{directory}/{name}")
    return tuple(made)


def own_program() -> str:
    """Return the path of the program `vagga` that runs now, links followed.

    Raises:
        CommandError: it runs as a module of Python, and there is no such program.
    """
    beside = os.path.join(os.path.dirname(sys.executable), "vagga")
    for path in (sys.argv[0], beside, shutil.which("vagga") or ""):
        # a module of Python (`python -m vaggapy`) is no program that a link could lead to
        if path and not path.endswith(".py") and os.access(path, os.X_OK) and os.path.isfile(path):
            return os.path.realpath(path)
    raise _refused("links", "the program vagga is not found", "install it, so that it is in your PATH")


def _make_directory(path: str) -> None:
    """Make a directory and its parent; a link that a stranger's project brings along is refused."""
    for each in (os.path.dirname(path), path):
        if os.path.islink(each) and path.endswith(LOCAL):
            raise _refused(path, f"{each} is a symbolic link", "remove it; vagga makes it anew")
        try:
            os.mkdir(each)
        except FileExistsError:
            pass
        except OSError as error:
            raise _refused(path, str(error.strerror or error).lower(), "make the directory yourself") from None


def _link(target: str, directory: str, name: str) -> None:
    """Make or replace one link."""
    path, new = f"{directory}/{name}", f"{directory}/.{name}.new"
    if os.path.lexists(path) and not os.path.islink(path):
        raise _refused(path, "there is a file that is no link", "move it away")
    try:
        if os.path.islink(new):
            os.unlink(new)
        os.symlink(target, new)
        os.replace(new, path)
    except OSError as error:
        raise _refused(path, str(error.strerror or error).lower(), "make the directory writable") from None


def _refused(path: str, why: str, remedy: str) -> CommandError:
    return CommandError(f"{path} cannot be made: {why}", remedy, "symlink-refused")
