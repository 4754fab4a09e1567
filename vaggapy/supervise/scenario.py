"""What is to happen in a simulated run. Pure values."""

from __future__ import annotations

from vaggapy.config.rules import ABOUT_CHILDREN, OUTPUT_MATCHES, WATCH
from vaggapy.record import Record
from vaggapy.supervise.ruled.life import PLAIN, checks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.rules import Check, Health, Rules

EXITS, PASSES, FAILS, SIGNALLED = "exits", "passes", "fails", "signalled"


class Wish(Record):
    """Something that is to happen `at` a time, seconds since the beginning.

    EXITS: the child `subject` ends with `code`, or by `signal`; with `each`, in every run, so long after its start.
    PASSES, FAILS: what `subject` stands for does so from then on; where the first wish is PASSES, it fails before.
    SIGNALLED: vagga gets `signal`.
    """

    kind: str
    at: float
    subject: str = ""
    code: int = 0
    signal: int = 0
    each: bool = False


class Scenario(Record):
    """What is to happen. `stubborn`: children that no signal but SIGKILL ends. `until` 0: an hour, or the end."""

    wishes: tuple[Wish, ...] = ()
    stubborn: tuple[str, ...] = ()
    until: float = 0.0


def subjects(names: tuple[str, ...], rules: Rules | None) -> tuple[str, ...]:
    """Return what PASSES and FAILS can be about, each once.

    A child for its health and readiness; `CHILD/condition` and `CHILD/CHECK` for its condition and its other checks;
    `watch.NAME`; and what a dependency looks at: an address, a path, a text.
    """
    if rules is None:
        return ()
    found: dict[str, None] = {}
    for name in names:
        rule = rules.children.get(name, PLAIN)
        if rule.ready is not None:
            found[name] = None
        if rule.condition is not None:
            found[f"{name}/condition"] = None
        found.update((of_check(name, each), None) for each in checks(rule))
        found.update((of_dependency(depend.check), None) for depend in rule.depends if of_dependency(depend.check))
    found.update((f"{WATCH}{watch.name}", None) for watch in rules.watches)
    return tuple(found)


def of_dependency(check: Check) -> str:
    """Return what a dependency looks at, "" where that is only the state of a child."""
    if check.kind == OUTPUT_MATCHES:
        return check.key
    return "" if check.kind in ABOUT_CHILDREN else check.target


def of_check(name: str, health: Health) -> str:
    """Return what a repeated check of a child goes by."""
    return f"{name}/{health.name}" if health.name else name
