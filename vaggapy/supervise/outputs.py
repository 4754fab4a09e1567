"""What children hand on to others: read from the file of each that ends well, put into the launches of the others.

The file is written by a program that may do anything. It is looked at by a descriptor that was made before the program
began, and never by a path, so nothing can be put in its place; it lies in memory, so no read of it waits; no more than
the limit is read.
"""

from __future__ import annotations

import os

from vaggapy.config.rules import Output
from vaggapy.config.templates import filled, is_key
from vaggapy.errors import CommandError, ExitCode, one_line, visible
from vaggapy.record import replace
from vaggapy.supervise.ruled.life import SKIPPED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from vaggapy.config.rules import Rule
    from vaggapy.sandbox.spec import Launch
    from vaggapy.supervise.events import Spawn
    from vaggapy.supervise.state import Child

LARGEST = 64 * 1024
"""Bytes of the file of one run."""
MOST_NAMED = 5
"""Numbers of wrong lines in one warning."""
REMEDY = "write lines KEY=VALUE, or KEY<<END, lines and END"


class Outputs:
    """The values of every child: those of its last run that ended with 0."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        """Begin without any."""
        self._values: dict[str, dict[str, str]] = {}

    def take(self, name: str, fd: int) -> str:
        """Take what a run of a child, which ended well, has left, and close `fd`; return a warning, "" for none."""
        try:
            kept = os.fstat(fd).st_nlink > 0
            data = _read(fd)
        finally:
            os.close(fd)
        self._values[name] = {}
        what = f"{visible(name)}: the file of VAGGA_OUTPUT"
        if not kept:
            return _warning(f"{what} was removed or replaced, and nothing of it is used", "write into the file itself")
        if len(data) > LARGEST:
            return _warning(f"{what} has more than {LARGEST // 1024} KiB, and nothing of it is used", "write less")
        self._values[name], wrong = parsed(data)
        if not wrong:
            return ""
        shown = ", ".join(map(str, wrong[:MOST_NAMED]))
        more = f" and {len(wrong) - MOST_NAMED} more" if len(wrong) > MOST_NAMED else ""
        return _warning(f"{what}: no value in line{'s' if len(wrong) > 1 else ''} {shown}{more}", REMEDY)

    def filled(self, launch: Launch, rule: Rule, spawn: Spawn, children: Mapping[str, Child]) -> Launch:
        """Return a launch with the values in it. `children`: how things stand, for the reason why one is missing.

        A variable that something else has replaced stays as it is, and a condition has a command line of its own.

        Raises:
            CommandError: a value is missing.
        """

        def value(output: Output) -> str:
            own = self._values.get(output.child)
            if own is not None and output.key in own:
                return own[output.key]
            raise _missing(output, ended=own is not None, skipped=_was_skipped(children[output.child]))

        program = launch.program
        environ = {
            name: filled(text, value) if rule.fills.get(name) == text else text
            for name, text in program.environ.items()
        }
        words = program.words
        if rule.fills_words and not spawn.condition:
            words = tuple(filled(word, value) for word in words)
        return replace(launch, program=replace(program, environ=environ, words=words))


def parsed(data: bytes) -> tuple[dict[str, str], tuple[int, ...]]:
    """Return the values of a file, and the numbers of the lines that give none, from 1.

    A line is `KEY=VALUE`, or `KEY<<END` and then lines up to one that is END; what comes first, `=` or `<<`, decides.
    The last value of a key counts. Empty lines mean nothing.
    """
    values: dict[str, str] = {}
    wrong: list[int] = []
    lines = data.removesuffix(b"\n").split(b"\n") if data else []
    at = 0
    while at < len(lines):
        line, begun = lines[at], at + 1
        key, equal, value = line.partition(b"=")
        name, block, end = line.partition(b"<<")
        at, good = begun, bool(equal)
        if block and end and len(name) < len(key):
            last = _position(lines, end, begun)
            key, value = name, b"\n".join(lines[begun:last])
            at, good = last + 1, last < len(lines)
        if good and b"\0" not in value and is_key(os.fsdecode(key)):
            values[key.decode()] = os.fsdecode(value)
        elif line:
            wrong.append(begun)
    return values, tuple(wrong)


def _position(lines: list[bytes], wanted: bytes, begin: int) -> int:
    """Return where a line is, or the number of lines."""
    try:
        return lines.index(wanted, begin)
    except ValueError:
        return len(lines)


def _read(fd: int) -> bytes:
    """Return the beginning of a file: one byte more than may be there, at most."""
    data = b""
    while len(data) <= LARGEST and (more := os.pread(fd, LARGEST + 1 - len(data), len(data))):
        data += more
    return data


def _warning(what: str, remedy: str) -> str:
    return f"vagga: warning: {one_line(what, remedy, 'bad-output')}\n"


def _was_skipped(child: Child) -> bool:
    return child.life is not None and child.life.outcome == SKIPPED


def _missing(output: Output, *, ended: bool, skipped: bool) -> CommandError:
    """Return why a value is not there."""
    child, key = output.child, output.key
    if skipped:
        what = f"{child} has not written {key}: it was skipped"
        remedy = f"skip this child too, or let another one write {key}"
    elif ended:
        what = f"{child} has not written {key}"
        remedy = f'in {child}: echo "{key}=VALUE" >>"$VAGGA_OUTPUT"'
    else:
        what = f"{child} has not written {key}: it has not ended with 0 so far"
        remedy = f"start this child when {child} has"
    return CommandError(what, remedy, "output-missing", ExitCode.UNMET)
