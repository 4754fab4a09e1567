"""A `!Supervise` with rules from a few lines, and what is wrong or doubtful in it."""

from __future__ import annotations

from vaggapy.config.bind import bind
from vaggapy.config.model import Supervise
from vaggapy.config.rules import Rule, Rules
from vaggapy.config.tree import parse
from vaggapy.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.model import Project


def project(*lines: str) -> Project:
    """Bind children, each a line `name: keys`, and lines of the `!Supervise`, which begin with a dot.

    The first line of the children is the eighth of the file, and begins in column 7.
    """
    group = [line[1:] for line in lines if line.startswith(".")]
    children = [line for line in lines if not line.startswith(".")]
    text = "\n".join(
        (
            "containers:",
            "  box:",
            "    setup: [!Host]",
            "commands:",
            "  all: !Supervise",
            f"    {{{', '.join([*group, 'children: {'])}",
            "",
            *(f"      {line.replace(': ', ': !Command {container: box, run: x, ', 1)}}}," for line in children),
            "    }}",
        )
    )
    return bind(parse(text, "v.yaml"), "/p", "v.yaml")


def rules(*lines: str) -> Rules:
    """Return the rules of a group that has some."""
    command = project(*lines).commands["all"]
    assert isinstance(command, Supervise)
    assert command.rules is not None
    return command.rules


def rule(keys: str, *others: str) -> Rule:
    """Return the rule of the child `web` with these keys, which stands before `others`."""
    return rules(f"web: {keys}", *others).children["web"]


def wrong(*lines: str) -> list[str]:
    """Return the lines that a user reads, without the name of the file."""
    try:
        project(*lines)
    except ConfigError as error:
        return [str(problem).removeprefix("v.yaml:") for problem in error.problems]
    return []


def mistakes(keys: str, *others: str) -> list[str]:
    """Return what is wrong with the child `web`, without the places."""
    return [line.split(": ", 1)[1] for line in wrong(f"web: {keys}", *others)]


def doubts(*lines: str) -> list[str]:
    """Return the warnings, without the places."""
    return [str(problem).split(": ", 1)[1] for problem in project(*lines).warnings]
