"""Find vagga.yaml and read it. With `others`, which reads what belongs to it, the acting part of the configuration.

Source: vagga.md 2.1, 2.3. Differs: a file given by `-f` stands alone, local files are not added to it.

`find` belongs to the warm start and imports nothing heavy. `read_project` runs in a short-lived child: it opens
only regular files, never waits for one, and refuses what is too large before reading it.
"""

from __future__ import annotations

import errno
import os
import stat

from vaggapy.errors import ConfigError, ExitCode, Mark, Problem, VaggaError
from vaggapy.record import Record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vaggapy.config.model import Project
    from vaggapy.config.others import Others
    from vaggapy.config.steps import Shapes

MAX_WARNINGS = 50
"""Mixins that may be wrong before the whole project is."""
MAX_BYTES = 512 * 1024
"""The parser needs up to 2 us a byte; a file of 500 children has 75 kB."""

NAMES = (".vagga/vagga.yaml", "vagga.yaml")
LOCAL = ("vagga.local.yaml", ".vagga.local.yaml", ".vagga/local.yaml")
"""What is not committed; the last is the strongest. One of them alone makes a project too."""
TYPOS = (".vagga/vagga.yml", "vagga.yml")
NOT_A_FILE = "vagga.yaml must be a file"
KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Found(Record):
    """Where the project is. `candidates`: every path that was looked at, in order, existing or not.

    `local`: where files that are not committed may be; `file` is the first of them if there is no other.
    """

    directory: str
    file: str
    candidates: tuple[str, ...]
    local: tuple[str, ...] = ()


class Loaded(Record):
    """A valid project and every path that it depends on: `inputs` were read, `missing` did not exist.

    `skipped`: every problem of the mixins that are left out, and what is doubtful.
    """

    project: Project
    inputs: tuple[str, ...]
    missing: tuple[str, ...] = ()
    skipped: tuple[Problem, ...] = ()


def find(cwd: str, file: str | None = None) -> Found:
    """Find the configuration upwards from the absolute path `cwd`, or take the one given by `-f`.

    The project's directory is the one that holds `vagga.yaml` or `.vagga/vagga.yaml`, or else a local file.

    Raises:
        VaggaError: there is none, exit code 126.
    """
    if file is not None:
        return _given(cwd, file)
    candidates: list[str] = []
    typos: list[str] = []
    directory = os.path.normpath(cwd)
    while True:
        for name in (*NAMES, *LOCAL):
            path = os.path.join(directory, name)
            candidates.append(path)
            if os.path.lexists(path):
                local = tuple(os.path.join(directory, other) for other in LOCAL)
                return Found(directory, path, tuple(candidates), local)
        typos += [path for name in TYPOS if os.path.lexists(path := os.path.join(directory, name))]
        parent = os.path.dirname(directory)
        if parent == directory:
            break
        directory = parent
    remedy = f"rename '{typos[0]}' to end in .yaml" if typos else "write a vagga.yaml, or name one with -f FILE"
    what = f"config not found: no vagga.yaml in '{cwd}' or above"
    raise VaggaError(what, remedy, "config-not-found", ExitCode.CONFIG)


def _given(cwd: str, file: str) -> Found:
    """Return the place of the file that `-f` names."""
    path = os.path.normpath(os.path.join(cwd, file)) if file else ""
    if "\0" in path or not file or not os.path.lexists(path):
        what = f"config not found: '{file}' does not exist"
        raise VaggaError(what, f"-f is seen from '{cwd}'", "config-not-found", ExitCode.CONFIG)
    directory = os.path.dirname(path)
    if os.path.basename(directory) == ".vagga":
        directory = os.path.dirname(directory)
    return Found(directory, path, (path,))


def read_project(found: Found, shapes: Callable[[], Shapes] = dict, environ: Mapping[str, str] | None = None) -> Loaded:
    """Read the whole project.

    `shapes` returns how each build step is written, by its tag; it is called if something is built. `environ`: the
    caller's, of which HOME and VAGGA_SETTINGS count; without it there are no settings but the project's own.

    Raises:
        ConfigError: with every problem of all files.
    """
    # the parser takes 25 ms to import, and `find` above belongs to the warm start
    from vaggapy.config.others import Others

    others = Others(found.directory)
    merged = others.settings(environ or {})
    problems = tuple(merged.problems)
    try:
        project, skipped = _bound(found, others, shapes)
    except ConfigError as error:
        raise ConfigError((*problems, *error.problems)) from None
    except MemoryError:
        raise problem(found.file, "not enough memory to read the file", "", "config-too-large") from None
    if problems:
        raise ConfigError(problems)
    project = replace(project, settings=merged.settings())
    return Loaded(project, (found.file, *others.inputs), tuple(others.missing), skipped)


def _bound(found: Found, others: Others, shapes: Callable[[], Shapes]) -> tuple[Project, tuple[Problem, ...]]:
    """Return what all files mean together, and the problems of the mixins that are left out.

    A mixin may be made by a command of the project, so one that is missing or wrong does not make the project useless:
    it is left out, with a warning.

    Raises:
        ConfigError: with every problem, if one is in the main file.
    """
    from vaggapy.config.bind import bind  # imports the parser
    from vaggapy.config.mixins import blamed, left_out  # the same
    from vaggapy.config.steps import builds  # the same

    parts = others.parts(found)
    files = {part.file: part for part in (*parts.over, *parts.under)}
    known = shapes() if any(builds(part.tree) for part in (parts.main, *files.values())) else {}
    skipped: list[Problem] = list(parts.absent)
    warnings = list(parts.absent)
    while True:
        try:
            project = bind(parts.main.tree, found.directory, found.file, known, others.look, parts)
            return replace(project, warnings=(*warnings, *project.warnings)), (*skipped, *project.warnings)
        except ConfigError as error:
            wrong = blamed(parts, error.problems)
            if wrong.pop("", None) or not wrong or len(warnings) > MAX_WARNINGS:
                raise ConfigError((*error.problems, *skipped)) from None
            for file, problems in wrong.items():
                warnings.append(left_out(files[file], problems))
                skipped += problems
            parts = parts.without(wrong)


def contents(path: str) -> bytes:
    """Return the bytes of a regular file of a sensible size."""
    descriptor = -1
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
        if kind == stat.S_IFREG:
            # O_NONBLOCK: the file may have become a FIFO since the look at it
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
            status = os.fstat(descriptor)
            kind = stat.S_IFMT(status.st_mode)
            if kind == stat.S_IFREG:
                return _bounded(path, descriptor, status.st_size)
        remedy = "name the file itself, as in -f DIR/vagga.yaml" if kind == stat.S_IFDIR else NOT_A_FILE
        raise problem(path, f"is {KINDS.get(kind, 'not a file')}", remedy, "config-not-a-file")
    except OSError as error:
        raise _unreadable(path, error) from None
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _bounded(path: str, descriptor: int, size: int) -> bytes:
    """Return what the descriptor holds; the size is checked before and, as files can grow, while reading."""
    chunks: list[bytes] = []
    while size <= MAX_BYTES and (chunk := os.read(descriptor, MAX_BYTES + 1)):
        chunks.append(chunk)
        size = max(size, sum(map(len, chunks)))
    if size > MAX_BYTES:
        what = f"has more than {MAX_BYTES // 1024} KiB"
        raise problem(path, what, "is it really a vagga.yaml?", "config-too-large")
    return b"".join(chunks)


def _unreadable(path: str, error: OSError) -> ConfigError:
    """Return the error of a file that cannot be opened or read."""
    if error.errno == errno.ENOENT and os.path.islink(path):
        return problem(path, "is a link that leads nowhere", "make its target, or remove it", "config-unreadable")
    remedy = "allow reading with chmod" if error.errno == errno.EACCES else ""
    return problem(path, f"cannot be read: {os.strerror(error.errno or 0).lower()}", remedy, "config-unreadable")


def decoded(path: str, data: bytes) -> str:
    """Return the text of a file in UTF-8, without a byte order mark."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise problem(path, "is UTF-16, not UTF-8", "save it as UTF-8", "config-not-utf8")
    zero = data.find(b"\0")
    if zero >= 0:
        raise problem(path, f"is not text: byte {zero} is zero", "is it really a vagga.yaml?", "not-text")
    try:
        return data.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as error:
        what = f"not UTF-8: byte 0x{error.object[error.start]:02x}"
        mark = _mark(path, error.object[: error.start])
        raise ConfigError((Problem(mark, what, "save the file as UTF-8", "config-not-utf8"),)) from None


def _mark(path: str, before: bytes) -> Mark:
    """Return the place after the bytes `before`, which are valid UTF-8; columns count characters."""
    line_start = before.rfind(b"\n") + 1
    return Mark(path, before.count(b"\n") + 1, len(before[line_start:].decode()) + 1)


def problem(path: str, what: str, remedy: str, name: str) -> ConfigError:
    """Return the error of a file as a whole."""
    return ConfigError((Problem(Mark(path), what, remedy, name),))
