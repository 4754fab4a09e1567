"""Nodes -> what is looked at while a child runs: `health` and `watch`. Pure.

Source: supervision-systems.md 2.9, 3.11, 5.2.
"""

from __future__ import annotations

from vaggapy.config.checks import check, part
from vaggapy.config.durations import duration
from vaggapy.config.rule_fields import CHECK, HEALTH, WATCH
from vaggapy.config.rules import (
    EXEC,
    HTTP,
    ON_FAIL,
    ON_FAIL_EVENT,
    ON_FAIL_LOG,
    ON_FAIL_SHUTDOWN,
    ON_FAIL_SPAWN,
    PROBES,
    TCP,
    Check,
    Health,
)
from vaggapy.config.tree import Mapping, Scalar, Sequence, is_null
from vaggapy.config.values import HIGHEST_ID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.reach import Scope
    from vaggapy.config.tree import Node
    from vaggapy.config.values import Structure
    from vaggapy.errors import Mark

WATCH_INTERVAL, WATCH_THRESHOLD = 5.0, 3
START_INTERVAL = 1.0
OWN_NAMES = ("health", "ready")
"""What reports call the checks that have no name."""
OFF = ("off", "no", "none", "false", "ignore")

SHORTEST_TTL = 5.0
"""Seconds; the one that nothing is said of is not shorter."""


def health(scope: Scope, owner: str, node: Node, mark: Mark) -> Health | None:
    """Return the `health` of a child."""
    what = f"'health' of '{owner}'"
    fields = part(scope.reader, node, HEALTH, what, mark)
    if fields is None:
        return None
    found = check(fields, (EXEC, HTTP, TCP), what)
    interval = duration(fields, "interval", START_INTERVAL)
    threshold = fields.number("threshold", 1, 1, HIGHEST_ID)
    on_fail, spawn = reaction(scope, owner, fields, ON_FAIL_EVENT)
    result = Health(
        found or Check(EXEC),
        interval,
        duration(fields, "timeout", interval),
        ttl=duration(fields, "ttl", patience(interval, threshold), none=True),
        delay=duration(fields, "initial-delay", 0.0, zero=True),
        start_period=duration(fields, "start-period", interval, zero=True),
        start_interval=min(interval, duration(fields, "start-interval", START_INTERVAL)),
        threshold=threshold,
        successes=fields.number("successes", 1, 1, HIGHEST_ID),
        on_fail=on_fail,
        spawn=spawn,
        repeat=fields.flag("repeat"),
    )
    if 0 < result.ttl <= interval and fields.has("ttl"):
        what = f"'ttl' of '{owner}' is over before the next check comes"
        scope.reader.warn(fields.values["ttl"].mark, what, "make it longer than 'interval'", "doubtful-rule")
    return result


def patience(interval: float, threshold: int) -> float:
    """Return the `ttl` that nothing is said of: 2 intervals; or more, lest it decide before `threshold` does.

    It is never so short that a busy machine could miss it with a child that is well.
    """
    return max(SHORTEST_TTL, interval * (threshold + 1))


def watches(scope: Scope, owner: str, node: Node) -> tuple[Health, ...]:
    """Return the entries of `watch` of a child."""
    if not isinstance(node, Sequence):
        if not is_null(node):
            scope.reader.wrong(node, "'watch'", "a list", "write '- check: {..}' below it")
        return ()
    scope.reader.no_tag(node, "'watch'")
    found: dict[str, Health] = {}
    for number, item in enumerate(node.items):
        fields = part(scope.reader, item, WATCH, f"an entry of 'watch' of '{owner}'")
        if fields is None:
            continue
        entry = _watch(scope, owner, fields, fields.text("name") or f"watch-{number}")
        if entry.name in found:
            mark = (fields.values.get("name") or item).mark
            what = f"two entries of 'watch' of '{owner}' are called '{entry.name}'"
            scope.reader.report(mark, what, "give one of them another name", "duplicate-key")
        found[entry.name] = entry
    return tuple(found.values())


def _watch(scope: Scope, owner: str, fields: Structure, name: str) -> Health:
    """Return one entry of `watch`."""
    node = fields.values.get("name")
    if isinstance(node, Scalar) and node.text:
        scope.reader.name(node, "watch")
        if name in OWN_NAMES:
            scope.reader.report(node.mark, f"'{name}' is the name of another check", "choose another one", "bad-name")
    what = f"'check' of '{name}'"
    found = None
    if fields.has("check"):
        inner = part(scope.reader, fields.values["check"], CHECK, what)
        found = check(inner, PROBES, what) if inner is not None else None
    interval = duration(fields, "interval", WATCH_INTERVAL)
    on_fail, spawn = reaction(scope, owner, fields, ON_FAIL_SHUTDOWN)
    return Health(
        found or Check(EXEC),
        interval,
        duration(fields, "timeout", interval),
        name,
        delay=duration(fields, "initial-delay", 0.0, zero=True),
        start_interval=interval,
        threshold=fields.number("threshold", WATCH_THRESHOLD, 1, HIGHEST_ID),
        on_fail=on_fail,
        spawn=spawn,
    )


def reaction(scope: Scope, owner: str, fields: Structure, default: str) -> tuple[str, str]:
    """Return what follows a failure, and the child that it spawns, or ""."""
    node, reader = fields.values.get("on-fail"), scope.reader
    if node is None:
        return default, ""
    if not isinstance(node, Mapping):
        if isinstance(node, Scalar) and node.text.lower() in OFF:
            what = f"unknown value '{node.text}' of 'on-fail'"
            reader.report(node.mark, what, f"write '{ON_FAIL_LOG}' to do nothing", "bad-value")
            return default, ""
        if isinstance(node, Scalar) and node.text == ON_FAIL_SPAWN:
            reader.report(node.mark, "'on-fail: spawn' names no child", "write '{spawn: CHILD}'", "bad-value")
            return default, ""
        if isinstance(node, Scalar) and node.text and node.text.replace("_", "-") not in ON_FAIL:
            remedy = reader.near(node.text, ON_FAIL, f"one of {', '.join(ON_FAIL)}, or '{{spawn: CHILD}}'")
            reader.report(node.mark, f"unknown value '{node.text}' of 'on-fail'", remedy, "bad-value")
            return default, ""
        return reader.choice(node, "on-fail", ON_FAIL), ""
    reader.no_tag(node, "'on-fail'")
    keys = [key.text for key, _ in node.entries]
    if keys != [ON_FAIL_SPAWN]:
        reader.report(node.mark, "'on-fail' is neither a word nor '{spawn: CHILD}'", "", "bad-value")
        return default, ""
    target = node.entries[0][1]
    name = reader.text(target, "'spawn'")
    if name:
        scope.mention(owner, name, target.mark, ON_FAIL_SPAWN)
    return ON_FAIL_SPAWN, name
