"""Nodes -> what starts a child, and of how many it stands for. Pure.

Source: supervision-systems.md 2.4, 2.5, 3.9, 5.2. Differs: a source, and an event of it, must exist.
"""

from __future__ import annotations

import re

from vaggapy.config.checks import NAME, part
from vaggapy.config.conditions import FAIL, SKIP
from vaggapy.config.durations import duration
from vaggapy.config.reach import WHEN, source_kind
from vaggapy.config.rule_fields import FOR_EACH
from vaggapy.config.rule_fields import WHEN as WHEN_TABLE
from vaggapy.config.rules import (
    CHILD_EVENTS,
    EVENT,
    GLOBAL,
    GLOBAL_EVENTS,
    RECEIVED,
    WATCH,
    WATCH_EVENTS,
    ForEach,
    When,
)
from vaggapy.config.tree import Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.reach import Scope
    from vaggapy.config.tree import Node
    from vaggapy.config.values import Reader, Structure

LATER_EVENTS = ("enter-maintenance", "exit-maintenance")
EVENTS = (*CHILD_EVENTS, *WATCH_EVENTS, *GLOBAL_EVENTS)
RANGE = re.compile(r"([0-9]{1,6})\.\.(=?)([0-9]{1,6})", re.ASCII)
MOST_MEMBERS = 1000


def when(scope: Scope, name: str, node: Node) -> When | None:
    """Return the event or the interval that starts a child."""
    reader = scope.reader
    fields = part(reader, node, WHEN_TABLE, f"'when' of '{name}'")
    if fields is None:
        return None
    written = [key for key in ("interval", "once", "each") if key in fields.keys]
    if len(written) > 1:
        what = f"'when' of '{name}' has both '{written[0]}' and '{written[1]}'"
        reader.report(fields.keys[written[1]].mark, what, "keep one of them", "bad-when")
        return None
    if written == ["interval"]:
        for key in ("source", "timeout", "on-timeout"):
            if fields.has(key):
                what = f"'{key}' has no meaning beside 'interval'"
                reader.report(fields.keys[key].mark, what, "take it away", "bad-when")
        interval = duration(fields, "interval", 1.0)
        return When(interval=interval) if fields.has("interval") else None
    return _on_event(scope, name, fields, written[0] if written else "")


def _on_event(scope: Scope, name: str, fields: Structure, key: str) -> When | None:
    """Return what starts a child on an event; `key` is `once`, `each` or "" for none."""
    reader = scope.reader
    event = _event(reader, fields.values[key], key) if key and fields.has(key) else ""
    if key and not event:
        return None
    source = fields.text("source") or (GLOBAL if event in GLOBAL_EVENTS else "")
    if not source:
        if not fields.has("source") or not isinstance(fields.values["source"], Sequence):
            what = f"'when' of '{name}' has no 'source'"
            reader.report(fields.mark, what, "name a child, watch.NAME, or write 'interval'", "bad-when")
        return None
    kind = source_kind(source)
    if kind == EVENT and key:
        what = f"a signal has no events: '{key}: {event}' of '{name}'"
        reader.report(fields.keys[key].mark, what, f"take '{key}' away, it starts at each signal", "bad-when")
        return None
    if kind != EVENT and not key:
        what = f"'when' of '{name}' does not say which event of '{source}'"
        reader.report(fields.mark, what, "as in 'once: exit-success' or 'each: changed'", "bad-when")
        return None
    right = {EVENT: (RECEIVED,), WATCH: WATCH_EVENTS, GLOBAL: GLOBAL_EVENTS}.get(kind, CHILD_EVENTS)
    event = event or RECEIVED
    if event not in right:
        what = f"'{source}' has no event '{event}'"
        reader.report(fields.values[key].mark, what, f"one of {', '.join(right)}", "bad-event")
        return None
    mark = fields.values["source"].mark if fields.has("source") else fields.mark
    scope.mention(name, source, mark, WHEN, event)
    timeout = duration(fields, "timeout", 0.0, none=True)
    fails = fields.choice("on-timeout", (SKIP, FAIL)) == FAIL
    return When(source, event, kind == EVENT or key == "each", timeout=timeout, fails=fails)


def event_name(text: str) -> str:
    """Return the name of an event in kebab case, from whichever case."""
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in text.replace("_", "-"))


def _event(reader: Reader, node: Node, key: str) -> str:
    """Return an event that exists, "" after a problem."""
    text = reader.text(node, f"'{key}'")
    event = event_name(text)
    if event in EVENTS or not text:
        return event
    if event in LATER_EVENTS:
        reader.not_available(node.mark, f"event '{event}'")
        return ""
    remedy = reader.near(event, EVENTS, f"one of {', '.join(dict.fromkeys(EVENTS))}")
    if text in ("true", "false", "yes", "no"):
        remedy = f"name an event; '{key}: true' of a child stands beside its 'when'"
    elif event in ("started", "start", "running"):
        remedy = "write 'depends: [{started: CHILD}]'"
    reader.report(node.mark, f"'{text}' is no event", remedy, "bad-event")
    return ""


def for_each(reader: Reader, fields: Structure) -> ForEach | None:
    """Return the values of which each has a child of its own."""
    inner = part(reader, fields.values["for-each"], FOR_EACH, "'for-each'", fields.keys["for-each"].mark)
    if inner is None:
        return None
    variable = inner.text("as")
    if variable and not NAME.fullmatch(variable):
        what = f"'{variable}' of 'as' names no variable"
        reader.report(inner.values["as"].mark, what, "letters, digits and '_'", "bad-name")
    if fields.has("pass-tcp-socket"):
        what = "the children of 'for-each' cannot all listen on one address"
        reader.report(fields.keys["pass-tcp-socket"].mark, what, "take 'pass-tcp-socket' away", "bad-for-each")
    written = [key for key in ("glob", "values", "range") if key in inner.keys]
    if len(written) != 1:
        what = "'for-each' needs one of 'glob', 'values' and 'range'"
        reader.report(inner.mark, what, f"keep '{written[0]}'" if written else "", "bad-for-each")
        return None
    if written == ["glob"]:
        text = inner.text("glob")
        return ForEach(variable, glob=reader.path(inner.values["glob"], text, "'glob'", absolute=False) if text else "")
    values = inner.texts("values") if written == ["values"] else _range(reader, inner)
    if len(values) > MOST_MEMBERS:
        what = f"'for-each' has more than {MOST_MEMBERS} values"
        reader.report(inner.keys[written[0]].mark, what, "use fewer", "out-of-range")
    return ForEach(variable, values=values[:MOST_MEMBERS])


def _range(reader: Reader, fields: Structure) -> tuple[str, ...]:
    """Return the numbers of `0..3`, which are three, or `0..=3`."""
    text = fields.text("range")
    found = RANGE.fullmatch(text)
    if not found:
        if text:
            reader.report(fields.values["range"].mark, f"'{text}' is no range", "as in 0..3 or 0..=3", "bad-for-each")
        return ()
    first, last = int(found.group(1)), int(found.group(3)) + bool(found.group(2))
    return tuple(map(str, range(first, min(last, first + MOST_MEMBERS + 1))))
