"""Nodes -> the rules of a child: how it restarts, what starts and stops it, how it is watched. Pure.

Source: supervision-systems.md 5.1, 5.2, 5.6. Differs: `restart:` with keys has no limit unless one is written, as
with pmux; an interval child without `restart` ticks without end, and its runs last no longer than its interval.
"""

from __future__ import annotations

import re

from vaggapy.config import compose
from vaggapy.config.checks import part, program
from vaggapy.config.conditions import depends
from vaggapy.config.durations import NONE, duration
from vaggapy.config.health import health, reaction, watches
from vaggapy.config.restarts import restart, stop
from vaggapy.config.rule_fields import READY, SERVICE, SERVICE_CONSUL
from vaggapy.config.rules import (
    EXEC,
    ON_FAIL_EVENT,
    UNLIMITED,
    Ready,
    Restart,
    Rule,
    Service,
)
from vaggapy.config.tree import Scalar, Sequence
from vaggapy.config.triggers import EVENTS, LATER_EVENTS, event_name, for_each, when

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.reach import Scope
    from vaggapy.config.rules import Depend, Health
    from vaggapy.config.values import Reader, Structure

CHECKED = ("health", "healthcheck", "readiness-probe")
"""Three spellings of one thing."""
LOWEST_FD, HIGHEST_FD = 3, 9
SOCKET_FD = 3
"""Where the socket of `pass-tcp-socket` is."""
SERVICE_NAME = re.compile(r"[a-z][a-zA-Z0-9-]+", re.ASCII)
INTERFACE = re.compile(r"static:[0-9A-Fa-f.:]+|[0-9A-Fa-f.:]+/[0-9]{1,3}|[\w.@-]+(:inet6?|\[[0-9]{1,3}\])?", re.ASCII)
HIGHEST_PORT = 65535


def rule(scope: Scope, name: str, fields: Structure, pid1mode: str) -> Rule:
    """Return the rules of the child `name`; what is wrong is reported."""
    reader = scope.reader
    again, written = restart(reader, fields)
    trigger = when(scope, name, fields.values["when"]) if fields.has("when") else None
    ticks = trigger is not None and trigger.interval > 0
    if ticks and not written:
        again = Restart(limit=UNLIMITED)
    if trigger is not None and trigger.each and again.limit == UNLIMITED:
        what = f"'{name}' starts on each event, and again without end: its runs would become ever more"
        reader.report(fields.keys["when"].mark, what, "write 'once', or a number of restarts", "bad-when")
    found = Rule(
        again,
        duration(fields, "timeout", trigger.interval if trigger is not None else 0.0, none=True),
        fields.choice("role", ("main", "coprocess")) == "coprocess",
        _once(fields),
        not fields.flag("autostart", default=True),
        trigger,
        _depends(scope, name, fields),
        program(reader, fields.values["condition"], "'condition'") if fields.has("condition") else None,
        _health(scope, name, fields),
        watches(scope, name, fields.values["watch"]) if fields.has("watch") else (),
        _ready(scope, name, fields) if fields.has("ready") else None,
        stop(reader, fields),
        _service(reader, name, fields) if fields.has("service") else None,
        for_each(reader, fields) if fields.has("for-each") else None,
    )
    if pid1mode == "exec":
        _check_alone(fields, name, found)
    return found


def _check_alone(fields: Structure, name: str, found: Rule) -> None:
    """Report checks that run beside a program that is process 1 itself."""
    for keys, checks in ((CHECKED, (found.health,)), (("watch",), found.watches)):
        if any(each is not None and each.check.kind == EXEC for each in checks):
            key = next(fields.keys[key] for key in keys if fields.has(key))
            what = f"'{key.text}' of '{name}' cannot run a program beside it with 'pid1mode: exec'"
            fields.reader.report(key.mark, what, "use another mode, or 'http' or 'tcp'", "bad-check")


def _once(fields: Structure) -> bool:
    """Return whether the child is done after a good run, as those are that something else starts (C30)."""
    node = fields.values.get("once")
    if isinstance(node, Scalar) and event_name(node.text) in (*EVENTS, *LATER_EVENTS):
        remedy = f"write 'when: {{source: CHILD, once: {node.text}}}'"
        fields.reader.report(node.mark, f"'once' of a child is true or false, not '{node.text}'", remedy, "wrong-type")
        return False
    autostart = fields.values.get("autostart")
    return fields.flag("once", default=isinstance(autostart, Scalar) and autostart.text == "false")


def _depends(scope: Scope, name: str, fields: Structure) -> tuple[Depend, ...]:
    """Return what the child waits for, in either spelling."""
    if fields.has("depends-on"):
        if fields.has("depends"):
            key = fields.keys["depends-on"]
            compose.twin(scope.reader, "depends", key.text, key.mark)
        return compose.depends_on(scope, name, fields.values["depends-on"])
    return depends(scope, name, fields.values["depends"]) if fields.has("depends") else ()


# --- how a child is looked at -----------------------------------------------------------------------------------


def _health(scope: Scope, name: str, fields: Structure) -> Health | None:
    """Return how the child is checked, in one of three spellings."""
    keys = [key for key in CHECKED if fields.has(key)]
    if not keys:
        return None
    key, mark, node = keys[0], fields.keys[keys[0]].mark, fields.values[keys[0]]
    for other in keys[1:]:
        compose.twin(scope.reader, fields.keys[key].text, fields.keys[other].text, fields.keys[other].mark)
    if key == "healthcheck":
        return compose.healthcheck(scope.reader, node, mark)
    return compose.readiness_probe(scope.reader, node, mark) if key != "health" else health(scope, name, node, mark)


def _ready(scope: Scope, name: str, fields: Structure) -> Ready | None:
    """Return how the child says that it is ready."""
    reader, what = scope.reader, f"'ready' of '{name}'"
    inner = part(reader, fields.values["ready"], READY, what, fields.keys["ready"].mark)
    if inner is None:
        return None
    written = [key for key in ("notify", "fd", "line") if inner.has(key)]
    notify = inner.flag("notify")
    if len(written) != 1 or (written == ["notify"] and not notify):
        reader.report(inner.mark, f"{what} needs one of 'notify: true', 'fd' and 'line'", "", "bad-check")
        return None
    fd = inner.number("fd", -1, LOWEST_FD, HIGHEST_FD)
    if fd == SOCKET_FD and fields.has("pass-tcp-socket"):
        mark = inner.values["fd"].mark
        reader.report(mark, f"'fd' of '{name}' is the one of its socket", "use 4 to 9", "bad-check")
    line = inner.text("line")
    if inner.has("line") and (not line.strip() or "\n" in line):
        reader.report(inner.values["line"].mark, f"'line' of '{name}' is no part of a line", "", "bad-check")
    on_fail, spawn = reaction(scope, name, inner, ON_FAIL_EVENT)
    if spawn:
        mark = inner.values["on-fail"].mark
        reader.report(mark, f"{what} cannot spawn a child", "do it with 'health' or 'watch'", "bad-value")
    return Ready(notify, fd, line, duration(inner, "timeout", 0.0, none=True), on_fail)


# --- the catalog ------------------------------------------------------------------------------------------------


def _service(reader: Reader, name: str, fields: Structure) -> Service | None:
    """Return the child as a service."""
    mark = fields.keys["service"].mark
    inner = part(reader, fields.values["service"], SERVICE, f"'service' of '{name}'", mark)
    if inner is None:
        return None
    if not SERVICE_NAME.fullmatch(name):
        remedy = "a letter from a to z, then letters, digits and '-'"
        reader.report(fields.mark, f"'{name}' cannot be the name of a service", remedy, "bad-name")
    statuses = ("passing", "warning", "critical")
    more = inner.values.get("consul")
    consul = part(reader, more, SERVICE_CONSUL, "'consul' of a service") if more is not None else None
    return Service(
        inner.number("port", 1, 1, HIGHEST_PORT),
        inner.choice("initial-status", statuses) if inner.has("initial-status") else "",
        inner.texts("tags"),
        _interfaces(reader, inner),
        consul.flag("enable-tag-override") if consul is not None else False,
        _deregister(consul) if consul is not None else "",
    )


def _interfaces(reader: Reader, fields: Structure) -> tuple[str, ...]:
    """Return where the address of a service is looked for."""
    node = fields.values.get("interfaces")
    if node is None:
        return Service(0).interfaces
    found = fields.items("interfaces") if isinstance(node, Sequence) else ((fields.text("interfaces"), node),)
    for text, item in found:
        if text and not INTERFACE.fullmatch(text):
            remedy = "as in eth0, eth0:inet6, eth0[1], inet, 10.0.0.0/8 or static:10.0.0.1"
            reader.report(item.mark, f"'{text}' of 'interfaces' names no address", remedy, "bad-value")
    return tuple(text for text, _ in found)


def _deregister(fields: Structure) -> str:
    """Return a time as Consul writes it, "" for never."""
    key = "deregister-critical-service-after"
    if not fields.has(key) or fields.text(key) in (NONE, "never"):
        return ""
    found = duration(fields, key, 0.0)
    return f"{found:.0f}s" if found else ""
