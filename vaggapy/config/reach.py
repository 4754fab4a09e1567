"""What the rules of one `!Supervise` say of each other: names that do not exist, and waits that can never end. Pure.

Source: supervision-systems.md 5.6. Differs: an event that its source can never publish is a mistake, too.
"""

from __future__ import annotations

from vaggapy.config.model import KEEP_GOING, STOP_ON_FAILURE, WAIT_ALL_SUCCESSFUL
from vaggapy.config.rules import (
    EVENT,
    EXIT_FAILED,
    EXIT_SUCCESS,
    GLOBAL,
    HEALTHY,
    IS_HEALTHY,
    ON_FAIL_SPAWN,
    PROCESS_EXITED,
    SHUTDOWN,
    SIGNALS,
    STOPPED,
    STOPPING,
    TIMER_EXPIRED,
    UNHEALTHY,
    UNLIMITED,
    WATCH,
    Rule,
)
from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from vaggapy.config.values import Reader
    from vaggapy.errors import Mark

WHEN = "when"
"""`Mention.how` of a source; the others are the kinds of checks in `rules.ABOUT_CHILDREN`, and ON_FAIL_SPAWN."""
CHILD = "child"
MOST_CIRCLES = 20
"""More are not told: their paths may be long, and mending one often mends others."""
HOOKS = (STOPPING, STOPPED, SHUTDOWN)


class Mention(Record):
    """A place where the child `owner` names another one, or the source of an event."""

    owner: str
    target: str
    mark: Mark
    how: str
    event: str = ""


class Scope:
    """Collects what the rules of one `!Supervise` name while they are read.

    `names`: of its children, also of those that are too wrong to be bound.
    """

    def __init__(self, reader: Reader, names: tuple[str, ...]) -> None:
        """Begin; what is wrong is reported to `reader`."""
        self.reader = reader
        self.names = names
        self.mentions: list[Mention] = []

    def mention(self, owner: str, target: str, mark: Mark, how: str, event: str = "") -> None:
        """Keep one place."""
        self.mentions.append(Mention(owner, target, mark, how, event))


class Group(Record):
    """One `!Supervise`, bound: the rule of each child (a plain one has `Rule()`) and where its name is."""

    mode: str
    children: Mapping[str, Rule]
    marks: Mapping[str, Mark]
    watches: tuple[str, ...]
    signals: Mapping[int, str]


def source_kind(source: str) -> str:
    """Return what a source is: WATCH, EVENT for a signal, GLOBAL or CHILD."""
    if source.startswith(WATCH):
        return WATCH
    return EVENT if source in SIGNALS else GLOBAL if source == GLOBAL else CHILD


def check_group(scope: Scope, group: Group) -> None:
    """Report what cannot be, and warn of what is doubtful."""
    _clashes(scope, group)
    needs: dict[str, list[tuple[str, Mark]]] = {name: [] for name in group.children}
    for mention in scope.mentions:
        target = _resolved(scope, group, mention)
        if target:
            _possible(scope.reader, group, mention, target)
            own = mention.how == WHEN and target == mention.owner
            if mention.how != ON_FAIL_SPAWN and not own and mention.owner in needs:
                needs[mention.owner].append((target, mention.mark))
    _circles(scope.reader, needs)
    _endless(scope.reader, group)


def family(name: str, children: Mapping[str, Rule]) -> str:
    """Return the `for-each` of which a name may be a member, "" for none."""
    stem, dash, number = name.rpartition("-")
    plain = dash and number.isascii() and number.isdecimal() and (number == "0" or number[0] != "0")
    return stem if plain and stem in children and children[stem].for_each is not None else ""


def _clashes(scope: Scope, group: Group) -> None:
    """Report children that have the names of members, or of what is no child, where that is looked for."""
    for name in group.children:
        stem = family(name, group.children)
        if stem:
            what = f"child '{name}' has the name of a member of '{stem}'"
            scope.reader.report(group.marks[name], what, "give one of them another name", "name-clash")
    for mention in scope.mentions:
        if mention.how == WHEN and mention.target in group.children and source_kind(mention.target) != CHILD:
            what = f"source '{mention.target}' is a child, and something else too"
            scope.reader.report(mention.mark, what, "give the child another name", "name-clash")


def _resolved(scope: Scope, group: Group, mention: Mention) -> str:
    """Return the child that is meant, "" for what is no child or is not there."""
    target, reader = mention.target, scope.reader
    kind = source_kind(target) if mention.how == WHEN else CHILD
    if kind == CHILD and target in group.children:
        return target
    if kind == CHILD and (stem := family(target, group.children)):
        each = group.children[stem].for_each
        if each is not None and not each.glob and int(target.rpartition("-")[2]) >= len(each.values):
            what = f"'{stem}' has no member '{target}', but {len(each.values)}, counted from 0"
            reader.report(mention.mark, what, "", "unknown-child")
        return stem
    if kind == CHILD and target in scope.names:
        return ""
    if kind == CHILD:
        otherwise = "name a child of the same !Supervise"
        if mention.how == WHEN and target in group.watches:
            remedy = f"write '{WATCH}{target}'"
        elif mention.how == WHEN and target.startswith("SIG"):
            remedy = f"signals can be {', '.join(SIGNALS)}"
        else:
            remedy = reader.near(target, group.children, otherwise)
        reader.report(mention.mark, f"unknown child '{target}'", remedy, "unknown-child")
    elif kind == WATCH and target.removeprefix(WATCH) not in group.watches:
        name = target.removeprefix(WATCH)
        remedy = reader.near(name, group.watches, "add it to 'watches:' of the !Supervise")
        reader.report(mention.mark, f"unknown watch '{name}'", remedy, "unknown-watch")
    elif kind == EVENT and group.signals.get(SIGNALS[target], EVENT) != EVENT:
        what = f"'{mention.owner}' waits for {target}, which is no event"
        remedy = f"write '{target.removeprefix('SIG')}: event' in 'on-signal'"
        reader.report(mention.mark, what, remedy, "never-starts")
    return ""


def _possible(reader: Reader, group: Group, mention: Mention, target: str) -> None:
    """Report what can never happen to the child that is named."""
    rule, name, mark = group.children[target], mention.target, mention.mark
    if mention.how == ON_FAIL_SPAWN:
        if not rule.dormant:
            what = f"'{name}' is started anyway, so it cannot be spawned"
            reader.report(mark, what, f"add 'autostart: false' to '{target}'", "not-dormant")
        elif rule.for_each is not None and name == target:
            what = f"'{name}' stands for several children, and only one can be spawned"
            reader.report(mark, what, f"name one of them, as '{name}-0'", "bad-value")
        return
    if mention.how == PROCESS_EXITED and not rule.once and group.mode != WAIT_ALL_SUCCESSFUL:
        what = f"'{name}' is not meant to end, so nothing can wait for its exit"
        reader.report(mark, what, f"add 'once: true' to '{target}'", "not-once")
    if mention.how == WHEN and target == mention.owner and mention.event not in (HEALTHY, UNHEALTHY):
        ends = mention.event in (EXIT_SUCCESS, EXIT_FAILED)
        what = f"'{mention.owner}' waits for its own '{mention.event}'"
        remedy = "write 'restart:' to run it again" if ends else "name another child"
        reader.report(mark, what, remedy, "never-starts")
        return
    if mention.how == WHEN and _ends_the_run(group.mode, rule, mention.event):
        what = f"'{mention.owner}' waits for '{mention.event}' of '{name}', but that stops the run"
        success = mention.event == EXIT_SUCCESS
        remedy = f"add 'once: true' to '{target}'" if success else "write 'mode: keep-going', or give it a 'restart:'"
        reader.warn(mark, what, remedy, "doubtful-rule")
    event = mention.event if mention.how == WHEN else HEALTHY if mention.how == IS_HEALTHY else ""
    if event in (HEALTHY, UNHEALTHY) and rule.health is None and rule.ready is None:
        what = f"'{name}' is never {event}: nothing checks it"
        reader.report(mark, what, f"add 'health:' or 'ready:' to '{target}'", "never-starts")
    elif mention.how == WHEN and target == mention.owner and not rule.dormant:
        what = f"'{name}' waits for its own '{event}', so it starts only if something spawns it"
        reader.warn(mark, what, "add 'autostart: false', or name another child", "doubtful-rule")
    if event == TIMER_EXPIRED and (rule.when is None or not rule.when.timeout):
        what = f"no time of '{name}' expires: it does not wait for anything with a timeout"
        reader.report(mark, what, f"add 'timeout:' to 'when' of '{target}'", "never-starts")


def _ends_the_run(mode: str, rule: Rule, event: str) -> bool:
    """Tell whether the stop of the run comes with this event, so that it starts nobody but hooks."""
    when, restart = rule.when, rule.restart
    again = when is not None and (when.each or when.interval or when.event in HOOKS or when.source in SIGNALS)
    if rule.coprocess or rule.dormant or again:
        return False
    if event == EXIT_SUCCESS:
        restarts = restart.limit and restart.on_success and 0 not in restart.codes
        return mode == STOP_ON_FAILURE and not rule.once and not restarts
    return event == EXIT_FAILED and mode != KEEP_GOING and not restart.limit


def _circles(reader: Reader, needs: Mapping[str, list[tuple[str, Mark]]]) -> None:
    """Report each way from a child back to itself, with the whole path. Without recursion."""
    done: set[str] = set()
    found = 0
    for first in needs:
        path = [first] if first not in done else []
        rest = [iter(needs[first])] if path else []
        while path:
            target, mark = next(rest[-1], ("", None))
            if mark is None:
                done.add(path.pop())
                rest.pop()
            elif target in path:
                found += 1
                if found > MOST_CIRCLES:
                    return
                circle = " -> ".join([*path[path.index(target) :], target])
                what = f"children wait for each other in a circle: {circle}"
                reader.report(mark, what, "take one step of it away", "child-cycle")
            elif target not in done:
                path.append(target)
                rest.append(iter(needs[target]))


def reactive(rule: Rule) -> bool:
    """Tell whether a child only reacts: to each event, to a signal, or at intervals."""
    return rule.when is not None and (rule.when.each or rule.when.interval > 0)


def essential(rule: Rule) -> bool:
    """Tell whether the group goes on for the sake of a child, if others are there that do not only react."""
    hook = rule.when is not None and rule.when.event in HOOKS
    return not (rule.coprocess or rule.dormant or hook or reactive(rule))


def _endless(reader: Reader, group: Group) -> None:
    """Warn of children that keep a group from ever ending well."""
    if group.mode != WAIT_ALL_SUCCESSFUL:
        return
    for name, rule in group.children.items():
        restart = rule.restart
        always = restart.limit == UNLIMITED and restart.on_success and not restart.codes and not restart.signals
        if always and essential(rule):
            what = f"'{name}' restarts without end, so '{WAIT_ALL_SUCCESSFUL}' never ends well"
            remedy = "add 'no-restart-on: [0]' to 'restart', or 'role: coprocess'"
            reader.warn(group.marks[name], what, remedy, "doubtful-rule")
