"""Rules from a few lines of vagga.yaml, bound by the real code."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from vaggapy.config.bind import bind
from vaggapy.config.model import Supervise
from vaggapy.config.rules import Rule, Rules
from vaggapy.config.tree import parse
from vaggapy.record import replace

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE = """\
containers: {{box: {{setup: [!Host]}}}}
commands:
  all: !Supervise
    {group}
    children:
      {children}
"""


class Group(NamedTuple):
    """A whole `!Supervise`, as the policy gets it."""

    mode: str
    names: tuple[str, ...]
    grace: float
    rules: Rules


def group(children: Iterable[str], keys: Iterable[str] = ()) -> Group:
    """Return what lines like `web: {restarts: 3}` mean. `keys`: lines of the `!Supervise` itself."""
    return _group(tuple(children), tuple(keys))


@cache
def _group(children: tuple[str, ...], keys: tuple[str, ...]) -> Group:
    lines = [program(*line.split(": ", 1)) for line in children]
    text = FILE.format(group="\n    ".join(keys), children="\n      ".join(lines))
    command = bind(parse(text, "vagga.yaml"), "/project", "vagga.yaml").commands["all"]
    assert isinstance(command, Supervise)
    names = tuple(child.name for child in command.children)
    members, rules = spread(names, command.rules or Rules())
    return Group(command.mode, members, float(command.kill_unresponsive_after), rules)


def program(name: str, keys: str) -> str:
    """Add to a child what each one needs."""
    inner = keys.strip().removeprefix("{").removesuffix("}").strip()
    return f"{name}: !Command {{container: box, run: [prog]{', ' if inner else ''}{inner}}}"


def spread(names: tuple[str, ...], rules: Rules) -> tuple[tuple[str, ...], Rules]:
    """Put the members of each `for-each` with values in the place of the child, as `plan` does."""
    found: list[str] = []
    children: dict[str, Rule] = {}
    families: dict[str, tuple[str, ...]] = {}
    for name in names:
        rule = rules.children.get(name, Rule())
        if rule.for_each is None:
            found.append(name)
            children[name] = rule
            continue
        families[name] = tuple(f"{name}-{number}" for number in range(len(rule.for_each.values)))
        found += families[name]
        children.update(dict.fromkeys(families[name], replace(rule, for_each=None)))
    return tuple(found), replace(rules, children=children, families=families)
