"""What can go wrong, as values with a place, a remedy, an exit code and a name.

Every error that a user can meet is one line: `what: cause (remedy) [name]`. The name is the anchor of the
error in `docs/errors.md`. Raised where it is known, shown in one place, `cli/main.py`.
"""

from __future__ import annotations

from vaggapy.record import Record


class ExitCode:
    """vagga's own exit codes. Those of children, 0..255, pass through; a signal n gives 128+n.

    `docs/exit-codes.md` has the same table; a test compares the two.
    """

    OK = 0
    NOT_BUILT = 29
    COMMAND = 121
    USAGE = 122
    SANDBOX = 124
    UNMET = 125
    CONFIG = 126
    NOT_EXECUTABLE = 126
    NOT_FOUND = 127
    NOTHING_SELECTED = 127
    SIGNAL = 128


class Mark(Record):
    """A place in a text file. Lines and columns count from 1; 0 means the whole file."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """Show `file:line:column`, as editors understand it."""
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}"


class Problem(Record):
    """One mistake in a file: where, what, what to do, and its name in docs/errors.md."""

    mark: Mark
    what: str
    remedy: str
    name: str

    def __str__(self) -> str:
        """Show the one line that the user reads."""
        return f"{self.mark}: {one_line(self.what, self.remedy, self.name)}"


def one_line(what: str, remedy: str, name: str) -> str:
    """Return `what (remedy) [name]`, with line ends and control characters made visible."""
    text = f"{what} ({remedy}) [{name}]" if remedy else f"{what} [{name}]"
    return visible(text)


def visible(text: str) -> str:
    """Return `text` with line ends and control characters written as escapes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class VaggaError(Exception):
    """An error for the user, not a bug: `str()` is the whole line."""

    code = ExitCode.COMMAND

    def __init__(self, what: str, remedy: str, name: str, code: int = 0) -> None:
        """Keep the parts; `code` replaces the exit code of the class."""
        super().__init__(one_line(what, remedy, name))
        self.what = what
        self.remedy = remedy
        self.name = name
        if code:
            self.code = code

    def lines(self) -> tuple[str, ...]:
        """Return the lines to show, each complete in itself."""
        return (f"vagga: {self}",)


class UsageError(VaggaError):
    """The command line is wrong."""

    code = ExitCode.USAGE


class CommandError(VaggaError):
    """The command cannot be run: unknown name, no such container and the like."""

    code = ExitCode.COMMAND


class SandboxError(VaggaError):
    """The kernel, the distribution or the container refuses the sandbox."""

    code = ExitCode.SANDBOX


class ConfigError(VaggaError):
    """The configuration is wrong; holds every problem that was found, in the order of the file."""

    code = ExitCode.CONFIG

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        """Keep all problems; there is at least one."""
        first = problems[0]
        super().__init__(first.what, first.remedy, first.name)
        self.problems = problems

    def lines(self) -> tuple[str, ...]:
        """Return one line a problem, `file:line:col: what (remedy) [name]`."""
        return tuple(str(problem) for problem in self.problems)


class InternalError(Exception):
    """A promise of our own code does not hold: a bug of vagga, which a traceback under `-vv` explains."""


class Interrupted(Exception):  # noqa: N818 - not an error: the user asked for it
    """A signal ended the preparations of a run; the exit code is 128 + `number`."""

    def __init__(self, number: int) -> None:
        """Keep the signal."""
        super().__init__(number)
        self.number = number
