"""Fit the rules of a `!Supervise` to the children that a run has. Pure; imported only where there are rules.

`members` puts the members of each `for-each` in the place of their template, `fitted` takes away who is not chosen
and says what that means for the others. `equip` does the rest.

Source: supervision-systems.md 3.9, 5.1, C20 of 5.4 and G7 of 6.8. Differs: a member gets its value as a variable only,
its words are not rewritten; a hook of a child that is left out is left out without a warning, unless nobody else is
there.
"""

from __future__ import annotations

from vaggapy.config.outputs import awaited
from vaggapy.config.rules import (
    ABOUT_CHILDREN,
    EVENT,
    EXIT_SUCCESS,
    GLOBAL,
    HEALTHY,
    ON_FAIL_EVENT,
    ON_FAIL_SPAWN,
    OUTPUT_MATCHES,
    SIGNALS,
    STARTUP,
    STOPPED,
    STOPPING,
    WATCH,
    Rule,
    Rules,
    When,
)
from vaggapy.errors import CommandError, ExitCode, UsageError, one_line
from vaggapy.record import Record, replace
from vaggapy.supervise.ruled.life import is_hook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vaggapy.config.model import Child, Supervise
    from vaggapy.config.rules import Depend, Health

    Look = Callable[[str], tuple[str, ...]]

PLAIN = Rule()
HOOKS = (STOPPING, STOPPED)
BOTH = "choose both, or neither"
MET = (EXIT_SUCCESS, HEALTHY)
"""Events that a child which is left out counts as having had."""


class Lineup(Record):
    """Who is there: the children, the rules for exactly these, and what the user should know of it, line by line."""

    children: tuple[Child, ...]
    rules: Rules
    warnings: tuple[str, ...] = ()


# --- the members of for-each ------------------------------------------------------------------------------------


def members(command: Supervise, look: Look) -> Supervise:
    """Return a command with NAME-0, NAME-1, ... for each child NAME with `for-each`; the name is a tag of theirs.

    `look` returns the paths of the project that a glob means, sorted. A child that has no members stays as it is:
    only whoever chooses it need care.
    """
    rules = command.rules
    if rules is None or not any(rule.for_each for rule in rules.children.values()):
        return command
    children: list[Child] = []
    own = dict(rules.children)
    families: dict[str, tuple[str, ...]] = {}
    for child in command.children:
        each = rules.children.get(child.name, PLAIN).for_each
        if each is None:
            children.append(child)
            continue
        values = look(each.glob) if each.glob else each.values
        names = families[child.name] = tuple(f"{child.name}-{number}" for number in range(len(values)))
        if not values:
            children.append(child)
            continue
        rule = replace(own.pop(child.name), for_each=None)
        own.update((name, rule) for name in names)
        for name, value in zip(names, values, strict=True):
            program = replace(child.program, environ={**child.program.environ, each.variable: value})
            children.append(replace(child, name=name, program=program, tags=(*child.tags, child.name)))
    return replace(command, children=tuple(children), rules=replace(rules, children=own, families=families))


# --- who is there -------------------------------------------------------------------------------------------------


def fitted(command: Supervise, chosen: tuple[str, ...] | None, picked: bool, excluded: tuple[str, ...]) -> Lineup:
    """Return the children that a run of a command (with its members in place) has, and their rules.

    `chosen`: names, None for all. `picked`: they were asked for one by one, so dormant ones among them start; those
    that they may spawn come along, unless they are `excluded`.

    Raises:
        CommandError: the glob of a `for-each` that is chosen matches nothing.
        UsageError: a child takes an output of one that is not there.
    """
    rules = command.rules or Rules()
    names = {child.name for child in command.children if chosen is None or child.name in chosen}
    if picked:
        awake = {name: replace(rules.children[name], dormant=False) for name in names & rules.children.keys()}
        rules = replace(rules, children={**rules.children, **awake})
        names = _with_spawned(rules, names, excluded)
    empty = _empty_families(rules, names)
    choice = _Choice(rules, names - empty, empty)
    choice.leave_out_those_that_wait_in_vain()
    children = tuple(child for child in command.children if child.name in choice.names)
    kept = {child.name: choice.rule(child.name) for child in children if child.name in rules.children}
    plain = any(child.name not in kept for child in children)
    if kept and not plain:
        kept = choice.without_coprocesses_only(kept)
    choice.check_outputs(kept)
    return Lineup(children, _of_group(rules, kept, choice), tuple(choice.warnings))


def _with_spawned(rules: Rules, names: set[str], excluded: tuple[str, ...]) -> set[str]:
    """Return the names with all that these may spawn, and so on."""
    found, new = set(names), set(names)
    while new:
        checks = (health for name in new for health in _healths(rules.children.get(name, PLAIN)))
        new = {each.spawn for each in checks if each.spawn} - found - set(excluded)
        found |= new
    return found


def _healths(rule: Rule) -> tuple[Health, ...]:
    return (rule.health, *rule.watches) if rule.health else rule.watches


def _empty_families(rules: Rules, names: set[str]) -> set[str]:
    """Return the templates among the names that have no members: complete before they begin."""
    empty = {name for name in names if rules.children.get(name, PLAIN).for_each}
    for name in sorted(empty):
        each = rules.children[name].for_each
        if each is not None and each.glob:
            raise CommandError(
                f'{name}: nothing in the project matches the glob "{each.glob}" of its for-each',
                f"create what it is about, correct it, or leave the child out with --exclude {name}",
                "no-matches",
                ExitCode.CONFIG,
            )
    return empty


class _Choice:
    """The choice of children while it is fitted. `names`: who is there; `empty`: templates without members."""

    def __init__(self, rules: Rules, names: set[str], empty: set[str]) -> None:
        self.rules = rules
        self.names = names
        self.empty = empty
        self.warnings: list[str] = []

    def there(self, name: str) -> bool:
        """Return whether a child, or some member of a family, is there, or is complete for having no members."""
        return name in self.names or name in self.empty or any(each in self.names for each in self.family(name))

    def family(self, name: str) -> tuple[str, ...]:
        return self.rules.families.get(name, ())

    # --- what cannot be without another one ---------------------------------------------------------------------

    def leave_out_those_that_wait_in_vain(self) -> None:
        """Take away, again and again, who waits for what only a child that is not there could do."""
        hooks: list[str] = []
        while found := [(name, why) for name in sorted(self.names) if (why := self.missing(name))]:
            self.names.difference_update(name for name, _ in found)
            for name, why in found:
                when = self.rules.children[name].when
                what = f"{name} is left out: it waits for {why}, which is left out"
                if when is None or when.event not in HOOKS:
                    self.warn(what, BOTH)
                else:
                    hooks.append(what)
        for what in hooks if not self.names else ():  # else nobody asked for them
            self.warn(what, BOTH)

    def missing(self, name: str) -> str:
        """Return what a child waits for in vain, "" for nothing."""
        rule = self.rules.children.get(name, PLAIN)
        when = rule.when
        if when is not None and self.lacks(when) and when.event not in MET:
            return f"{when.event} of {when.source}"
        for depend in rule.depends:
            if depend.check.kind == OUTPUT_MATCHES and not self.there(depend.check.target):
                return f"a line of {depend.check.target}"
        return ""

    def lacks(self, when: When) -> bool:
        """Return whether the source is a child that is not there."""
        source = when.source
        return bool(source) and source != GLOBAL and not _is_outside(source) and not self.there(source)

    # --- the rule of who stays ----------------------------------------------------------------------------------

    def rule(self, name: str) -> Rule:
        """Return the rule of a child that is there, without those that are not."""
        rule = self.rules.children[name]
        if rule.when is not None and self.lacks(rule.when):
            self.warn_met(name, rule.when.event, rule.when.source)
            # With `each` it must not become one whose end counts: it runs once, for the event that was to come.
            at_once = When(source=GLOBAL, event=STARTUP, each=True) if rule.when.each else None
            rule = replace(rule, when=at_once)
        depends = tuple(each for each in rule.depends if self.stands(name, each))
        health = self.health(name, rule.health) if rule.health else None
        watches = tuple(self.health(name, each) for each in rule.watches)
        return replace(rule, depends=depends, health=health, watches=watches)

    def stands(self, name: str, depend: Depend) -> bool:
        """Return whether an entry of `depends` is still to be awaited."""
        check = depend.check
        if check.kind not in ABOUT_CHILDREN or self.there(check.target):
            return True
        self.warn_met(name, check.kind, check.target)
        return False

    def health(self, name: str, health: Health) -> Health:
        """Return a check that spawns nobody who is not there."""
        if health.on_fail != ON_FAIL_SPAWN or health.spawn in self.names:
            return health
        what = f"{name} cannot spawn {health.spawn}, which is left out"
        self.warn(what, "its failed checks are events only")
        return replace(health, on_fail=ON_FAIL_EVENT, spawn="")

    def without_coprocesses_only(self, rules: Mapping[str, Rule]) -> dict[str, Rule]:
        """Return the rules with a main child in every case: where all others only follow, coprocesses lead (G7)."""
        leading = {name for name, rule in rules.items() if not rule.dormant and not is_hook(rule)}
        if not leading or not all(rules[name].coprocess for name in leading):
            return dict(rules)
        self.warn(f"only coprocesses are chosen: {', '.join(sorted(leading))}", "their ends count as those of others")
        awake = {name: replace(rules[name], coprocess=False) for name in leading}
        return {**rules, **awake}

    def check_outputs(self, rules: Mapping[str, Rule]) -> None:
        """Refuse a child that takes an output of one that is not there, or that it does not wait for any more."""
        for name, rule in rules.items():
            there = awaited(name, rules, self.rules.families) if rule.reads else frozenset()
            for output in rule.reads:
                source = output.child
                what = f"{name} takes {output.key} of {source}"
                if source not in self.names:
                    remedy = f"choose {source} too, or leave {name} out"
                    raise UsageError(f"{what}, which is left out", remedy, "output-left-out")
                if source not in there:
                    what += ", and what it waits for in between is left out"
                    remedy = f"choose that too, or add '- process-exited: {source}' to 'depends' of {name}"
                    raise UsageError(what, remedy, "output-left-out")

    # --- people -------------------------------------------------------------------------------------------------

    def warn_met(self, name: str, what: str, of: str) -> None:
        self.warn(f"{name} does not wait for {what} of {of}, which is left out", "see that it runs elsewhere")

    def warn(self, what: str, remedy: str) -> None:
        self.warnings.append(one_line(what, remedy, "left-out"))


def _is_outside(source: str) -> bool:
    """Return whether the source of a `when` is a watch or a signal."""
    return source.startswith(WATCH) or source in SIGNALS


def _of_group(rules: Rules, children: Mapping[str, Rule], choice: _Choice) -> Rules:
    """Return the rules of the group for these children: their families, signals, and the watches that they need."""
    families = {
        name: tuple(each for each in names if each in choice.names)
        for name, names in rules.families.items()
        if choice.there(name)
    }
    sources = {rule.when.source for rule in children.values() if rule.when is not None}
    known = {rule.when.source for rule in rules.children.values() if rule.when is not None}
    watches = tuple(
        each for each in rules.watches if WATCH + each.name in sources or WATCH + each.name not in known
    )  # one that nobody names is there for its messages
    signals = {number: EVENT for name, number in SIGNALS.items() if name in sources}
    asks = any(each.service for each in watches) or any(rule.service for rule in children.values())
    return replace(
        rules,
        children=dict(children),
        families=families,
        watches=watches,
        signals={**signals, **rules.signals},
        consul=rules.consul if asks else None,
    )
