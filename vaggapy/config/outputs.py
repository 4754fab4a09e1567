"""Nodes -> the outputs of others that children take, and what cannot be about that. Pure.

Source: supervision-systems.md 3.10, 5.6.
"""

from __future__ import annotations

from vaggapy.config.reach import family
from vaggapy.config.rules import EXIT_SUCCESS, PROCESS_EXITED, Output, Rule
from vaggapy.config.templates import OPEN, Malformed, pieces, references, written
from vaggapy.config.tree import Mapping as Pairs
from vaggapy.config.tree import Scalar, Sequence
from vaggapy.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vaggapy.config.reach import Scope
    from vaggapy.config.tree import Node
    from vaggapy.config.values import Structure
    from vaggapy.errors import Mark

RUN, ENVIRON = "run", "environ"

Places = list[tuple[str, Output, "Mark"]]
"""Each place where an output is taken: who takes it, what, and where that is written."""


def with_outputs(
    scope: Scope, children: Mapping[str, Structure], found: Mapping[str, Rule]
) -> tuple[dict[str, Rule], Places]:
    """Return the rules with what each child takes, and all places of that.

    `children`: all of the group, `found`: the rules of those that have some.
    """
    places: Places = []
    made = dict(found)
    for name, fields in children.items():
        fills: dict[str, str] = {}
        reads: list[Output] = []
        for variable, node in _texts(fields):
            taken = _taken(scope, name, node)
            reads += taken
            places += ((name, output, node.mark) for output in taken)
            if variable and taken:
                fills[variable] = node.text
        _check_elsewhere(scope, fields)
        if name in made and reads:
            made[name] = replace(made[name], reads=tuple(dict.fromkeys(reads)), fills=fills)
    return made, places


def check_outputs(scope: Scope, rules: Mapping[str, Rule], places: Places) -> None:
    """Report outputs that nobody writes, or that may not yet be there. `rules`: of all children that are bound."""
    for name, output, mark in places:
        source = output.child
        if source not in rules:
            _check_unknown(scope, rules, source, mark)
            continue
        if rules[source].for_each is not None:
            what = f"'{source}' stands for several children, so nobody can take an output of it"
            scope.reader.report(mark, what, "let a child of its own write it", "bad-template")
        elif not rules[source].once:
            what = f"'{source}' is not meant to end, so nobody can take an output of it"
            scope.reader.report(mark, what, f"add 'once: true' to '{source}'", "not-once")
        if source == name:
            scope.reader.report(mark, f"'{name}' takes its own output", "name another child", "not-awaited")
        elif name in rules and source not in awaited(name, rules, {}):
            what = f"'{name}' takes an output of '{source}', and does not wait for its end"
            remedy = f"add '- process-exited: {source}' to 'depends' of '{name}'"
            scope.reader.report(mark, what, remedy, "not-awaited")


def _check_unknown(scope: Scope, rules: Mapping[str, Rule], source: str, mark: Mark) -> None:
    stem = family(source, rules)
    if stem:
        what = f"'{source}' is one of several children, and nobody can take an output of these"
        scope.reader.report(mark, what, "let a child of its own write it", "bad-template")
    elif source not in scope.names:
        remedy = scope.reader.near(source, rules, f"name a child of the same !Supervise; $${OPEN[1:]} is no reference")
        scope.reader.report(mark, f"unknown child '{source}'", remedy, "unknown-child")


def awaited(name: str, rules: Mapping[str, Rule], families: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """Return the children that have ended with 0, or were skipped, when a child starts. `families`: as in `Rules`."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        rule = rules.get(waiting.pop(), Rule())
        named = [each.check.target for each in rule.depends if each.check.kind == PROCESS_EXITED]
        if rule.when is not None and rule.when.event == EXIT_SUCCESS:
            named.append(rule.when.source)
        for target in named:
            members = (*families.get(target, ()), family(target, rules) or target)
            waiting += set(members) - found
            found.update(members)
    return frozenset(found)


def _texts(fields: Structure) -> Iterator[tuple[str, Scalar]]:
    """Give every text in which outputs can be taken, with the name of its variable, "" for `run`."""
    run, environ = fields.values.get(RUN), fields.values.get(ENVIRON)
    yield from (("", item) for item in (run.items if isinstance(run, Sequence) else (run,)) if isinstance(item, Scalar))
    for key, value in environ.entries if isinstance(environ, Pairs) else ():
        if isinstance(value, Scalar):
            yield key.text, value


def _taken(scope: Scope, name: str, node: Scalar) -> list[Output]:
    """Return what a text takes; what only looks so is reported."""
    if OPEN not in node.text:
        return []
    found = []
    for piece in pieces(node.text):
        if isinstance(piece, Output):
            found.append(piece)
        elif isinstance(piece, Malformed):
            remedy = f"write {written(Output('CHILD', 'KEY'))}, or $${OPEN[1:]} for the signs themselves"
            scope.reader.report(node.mark, f"'{piece.raw}' of '{name}' is no output of a child", remedy, "bad-template")
    return found


def _check_elsewhere(scope: Scope, fields: Structure) -> None:
    """Report what is meant to take an output where none is put in."""
    for key, value in fields.values.items():
        for node in _scalars(value) if key not in (RUN, ENVIRON) else ():
            for output in references(node.text):
                if output.child in scope.names:
                    what = f"'{written(output)}' has no effect in '{fields.keys[key].text}'"
                    scope.reader.report(node.mark, what, "give it to a variable in 'environ'", "bad-template")


def _scalars(node: Node) -> Iterator[Scalar]:
    """Give every text in a value. Its depth is limited by the parser."""
    if isinstance(node, Scalar):
        yield node
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from _scalars(item)
    elif isinstance(node, Pairs):
        for _, value in node.entries:
            yield from _scalars(value)
