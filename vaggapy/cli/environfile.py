"""`environ-file`: variables from a file of the container's root, or of the project."""

from __future__ import annotations

import os

from vaggapy.errors import CommandError, ExitCode
from vaggapy.sandbox import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.model import Container

WORK = "/work/"
LARGEST = 1024 * 1024


def variables(container: Container, root: str, project: str) -> list[tuple[str, str]]:
    """Return the variables of the file, in its order. Blank lines and lines that begin with `#` do not count.

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
            text = file.read(LARGEST)
    except OSError as error:
        raise CommandError(
            f"{shown}: {error.strerror}", "let a step of the setup make it", "environ-file", ExitCode.SANDBOX
        ) from error
    finally:
        os.close(directory)
    return list(parse(text, shown))


def parse(text: str, shown: str) -> tuple[tuple[str, str], ...]:
    """Return the variables of a text; quotes around a value are taken away.

    Raises:
        CommandError: a line has no `=`.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise CommandError(f"{shown}: line {number} is no NAME=VALUE", "mend it", "environ-file", ExitCode.SANDBOX)
        found.append((name.strip(), value.strip('"') if value.startswith('"') else value))
    return tuple(found)
