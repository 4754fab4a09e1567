"""What the policy keeps of a child that has rules, and what a rule is, seen from there. Pure."""

from __future__ import annotations

from vaggapy.config.rules import (
    FILE_CONTAINS,
    GLOBAL,
    HTTP,
    IS_HEALTHY,
    IS_STARTED,
    NOT_EXISTS,
    NOT_LISTENING,
    NOT_RUNNING,
    OUTPUT_MATCHES,
    PATH,
    PROCESS_EXITED,
    SHUTDOWN,
    SIGNALS,
    STOPPED,
    STOPPING,
    TCP,
    WATCH,
    Restart,
    Rule,
)
from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from vaggapy.config.rules import Check, Health, Rules, When
    from vaggapy.supervise.events import CheckFailed, ChildEnded, ChildNotStarted

PLAIN = Rule()
NO_RESTART = Restart()

COMPLETED, FAILED, SKIPPED = "completed", "failed", "skipped"
"""How a child that will not run again came to that."""


class Tally(Record):
    """What the results of one repeated check were in this run of a child.

    `fails`, `passes`: in a row. `due`: when the check that is under way, or comes next, had to begin. `ever`: it has
    been good. `bad`: it failed often enough. `detail`: of the last failure.
    """

    due: float
    fails: int = 0
    passes: int = 0
    ever: bool = False
    bad: bool = False
    detail: str = ""


class Life(Record):
    """Everything about a child that has rules, beyond its phase.

    `runs`: how often its program was started. `spent`: restarts used. `wait`: the last backoff, seconds.
    `released`: what `when` waits for has come. `queued`: one more start was asked for while it ran.
    `gate`: the entry of `depends` that it waits for, `detail` why not yet. `admitted`: it has passed them and its
    condition.
    `environ`: what `file-contains` found. `conditional`: the process is that of its condition.
    `asked`: signals that it got in this run. `doomed`: the check that ends this run.
    `outcome`: "" while it may run again.
    `ready`, `health`, `checked_since`, `tallies`: of this run; `health` is "", healthy or unhealthy.
    `tick`: when its interval is due. `fired`, `printed`: events and lines so far.
    `last`: how its last run ended.
    """

    runs: int = 0
    spent: int = 0
    wait: float = 0.0
    released: bool = False
    queued: bool = False
    gate: int = 0
    detail: str = ""
    admitted: bool = False
    environ: tuple[tuple[str, str], ...] = ()
    conditional: bool = False
    asked: tuple[int, ...] = ()
    doomed: CheckFailed | None = None
    outcome: str = ""
    ready: bool = False
    health: str = ""
    checked_since: float = 0.0
    tallies: tuple[Tally, ...] = ()
    tick: float = 0.0
    fired: frozenset[str] = frozenset()
    printed: frozenset[str] = frozenset()
    last: ChildEnded | ChildNotStarted | None = None


FRESH = Life()


def is_hook(rule: Rule) -> bool:
    """Tell whether a child only runs when another one, or the group, is stopped."""
    return rule.when is not None and rule.when.event in (STOPPING, STOPPED, SHUTDOWN)


def is_reactive(rule: Rule) -> bool:
    """Tell whether a child runs again and again, on events from outside of it."""
    when = rule.when
    return when is not None and (when.each or bool(when.interval) or when.source in SIGNALS)


def essential(rules: Rules, names: tuple[str, ...]) -> frozenset[str]:
    """Return the children that the run is about: it lasts as long as they do, and their ends decide."""
    mains = {name for name in names if not _is_secondary(rules.children.get(name, PLAIN))}
    lasting = {name for name in mains if not is_reactive(rules.children.get(name, PLAIN))}
    return frozenset(lasting or mains)


def _is_secondary(rule: Rule) -> bool:
    return rule.coprocess or rule.dormant or is_hook(rule)


def checks(rule: Rule) -> tuple[Health, ...]:
    """Return the repeated checks of a child; its `health`, if it has one, is the first."""
    return ((rule.health,) if rule.health is not None else ()) + rule.watches


def wanted(rules: Rules) -> dict[str, tuple[str, ...]]:
    """Return the texts to look for in the lines of each child."""
    found: dict[str, dict[str, None]] = {}
    for name, rule in rules.children.items():
        if rule.ready is not None and rule.ready.line:
            found.setdefault(name, {})[rule.ready.line] = None
        for depend in rule.depends:
            if depend.check.kind == OUTPUT_MATCHES:
                for member in members(rules, depend.check.target):
                    found.setdefault(member, {})[depend.check.key] = None
    return {name: tuple(texts) for name, texts in found.items()}


def members(rules: Rules, name: str) -> tuple[str, ...]:
    """Return the children that a name stands for: itself, or those of a `for-each`."""
    return rules.families.get(name, (name,))


def sources(rules: Rules, name: str) -> Mapping[str, None]:
    """Return the children that a child waits for, in the order of its rule."""
    rule = rules.children.get(name, PLAIN)
    named = [rule.when.source] if rule.when is not None else []
    named += [depend.check.target for depend in rule.depends if depend.check.kind in _ABOUT]
    return {member: None for source in named for member in members(rules, source)}


_ABOUT = (PROCESS_EXITED, OUTPUT_MATCHES, IS_HEALTHY, IS_STARTED)


_WORDS = {
    HTTP: "http {status} from {target}",
    TCP: "tcp {target}",
    PATH: "path {target}",
    FILE_CONTAINS: "{key} in {target}",
    NOT_LISTENING: "nobody listens on {target}",
    NOT_EXISTS: "no path {target}",
    NOT_RUNNING: "no process {target}",
    PROCESS_EXITED: "{target} is done",
    OUTPUT_MATCHES: '{target} prints "{key}"',
    IS_HEALTHY: "{target} is healthy",
    IS_STARTED: "{target} is started",
}


def describe(check: Check) -> str:
    """Return what a check waits for, in a few words."""
    words = _WORDS.get(check.kind)
    if words is None:
        return " ".join(check.words) or check.target
    return words.format(status=check.status, target=check.target, key=check.key)


def describe_when(when: When) -> str:
    """Return what a trigger waits for, in a few words."""
    if when.source in SIGNALS:
        return when.source
    outside = when.source == GLOBAL or when.source.startswith(WATCH)
    return f"{when.source} {when.event}" if outside else f"{when.event} of {when.source}"
