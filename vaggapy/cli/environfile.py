"""`environ-file`: variables from a file of the container's root, or of the project."""

from __future__ import annotations

import os

from vaggapy.errors import CommandError, ExitCode
from vaggapy.sandbox import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vaggapy.config.model import Container

WORK = "/work/"
LARGEST = 1024 * 1024
ENOENT = 2


def variables(
    container: Container, root: str, project: str, hidden: Callable[[str], bool] = lambda _: False
) -> list[tuple[str, str]]:
    """Return the variables of the file, in its order. Blank lines and lines that begin with `#` do not count.

    `root`: host path of the container's root, `/` for `!Host`, where `hidden` tells which paths the container does not
    see. Links are followed as the container would follow them.

    Raises:
        CommandError: it is not there, or a line is none.
    """
    path = container.environ_file
    shown = f"environ-file {path} of container {container.name}"
    top, inner = (project, path.removeprefix(WORK)) if path.startswith(WORK) else (root, path)
    directory = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        fd = linux.openat2(directory, inner.lstrip("/"), flags, resolve=linux.RESOLVE_IN_ROOT)
        with open(fd, encoding="utf-8", errors="surrogateescape") as file:
            if hidden(os.readlink(f"/proc/self/fd/{fd}")):
                raise FileNotFoundError(ENOENT, "")
            text = file.read(LARGEST + 1)
    except OSError as error:
        remedy = "name a file that it sees" if container.host else "let a step of the setup make it"
        raise CommandError(
            f"{shown}: {os.strerror(error.errno or 0)}", remedy, "environ-file", ExitCode.SANDBOX
        ) from error
    finally:
        os.close(directory)
    if len(text) > LARGEST:
        raise CommandError(f"{shown} is larger than 1 MiB", "shorten it", "environ-file", ExitCode.SANDBOX)
    return list(parse(text, shown))


def parse(text: str, shown: str) -> tuple[tuple[str, str], ...]:
    """Return the variables of a text; quotes around a value are taken away.

    Raises:
        CommandError: a line has no `=`, or what no variable can have.
    """
    found = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip() or "\0" in line:
            raise CommandError(f"{shown}: line {number} is no NAME=VALUE", "mend it", "environ-file", ExitCode.SANDBOX)
        found.append((name.strip(), value.strip('"') if value.startswith('"') else value))
    return tuple(found)
