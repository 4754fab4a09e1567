"""What the machine and the caller are like, as one value. `probe` is the only effect.

Nothing here is guessed from versions: what the kernel allows is found out by doing it (`sandbox.run`).
"""

from __future__ import annotations

import os
import pwd

from vaggapy.errors import ExitCode, VaggaError
from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Host(Record):
    """The caller: who, where, with which environment and terminals.

    `homes`: directories that may hold personal files. `resolver`: where /etc/resolv.conf really lies, or "".
    `rows`, `columns`: of the caller's terminal, 0 if none.
    """

    uid: int
    gid: int
    user: str
    homes: tuple[str, ...]
    directory: str
    environ: Mapping[str, str]
    terminals: tuple[bool, bool, bool]
    resolver: str
    rows: int
    columns: int


def probe() -> Host:
    """Look at the caller of this process.

    Raises:
        VaggaError: the current directory is gone.
    """
    uid = os.getuid()
    user, home = _account(uid)
    terminals = (_is_terminal(0), _is_terminal(1), _is_terminal(2))
    rows, columns = _size(terminals)
    environ = dict(os.environ)
    resolver = os.path.realpath("/etc/resolv.conf")
    return Host(
        uid=uid,
        gid=os.getgid(),
        user=user,
        homes=tuple(dict.fromkeys(("/home", "/root", *_existing(environ.get("HOME", ""), home)))),
        directory=current_directory(),
        environ=environ,
        terminals=terminals,
        resolver=resolver if os.path.exists(resolver) else "",
        rows=rows,
        columns=columns,
    )


def current_directory() -> str:
    """Return the current directory.

    Raises:
        VaggaError: it was deleted, or may not be seen.
    """
    try:
        return os.getcwd()
    except OSError as error:
        what = f"the current directory cannot be seen: {error.strerror}"
        raise VaggaError(what, "cd to a directory that exists", "no-directory", ExitCode.CONFIG) from error


def _account(uid: int) -> tuple[str, str]:
    """Return name and home of the account, or the number and nothing where it has no entry."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return str(uid), ""
    return entry.pw_name, entry.pw_dir


def _existing(*paths: str) -> tuple[str, ...]:
    """Return the real paths of those that are absolute and exist."""
    return tuple(os.path.realpath(path) for path in paths if path.startswith("/") and os.path.isdir(path))


def _is_terminal(fd: int) -> bool:
    """Return whether descriptor `fd` is open and a terminal."""
    try:
        return os.isatty(fd)
    except OSError:
        return False


def _size(terminals: tuple[bool, bool, bool]) -> tuple[int, int]:
    """Return rows and columns of the first terminal among 0, 1 and 2."""
    for fd, terminal in enumerate(terminals):
        if terminal:
            try:
                size = os.get_terminal_size(fd)
            except OSError:
                continue
            return size.lines, size.columns
    return 0, 0
