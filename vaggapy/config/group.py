"""Nodes -> the rules of a whole `!Supervise`: those of its children, and what they share. Pure.

Source: supervision-systems.md 2.1, 2.11, 5.2.
"""

from __future__ import annotations

from vaggapy.config.checks import check, part, url
from vaggapy.config.durations import duration
from vaggapy.config.fields import RULE_KEYS
from vaggapy.config.lifecycle import rule
from vaggapy.config.outputs import check_outputs, with_outputs
from vaggapy.config.reach import Group, Scope, check_group
from vaggapy.config.rule_fields import CONSUL, ON_SIGNAL, TLS, WATCHES
from vaggapy.config.rules import EVENT, HTTP, IGNORE, PATH, SIGNALS, TCP, TERMINATE, Consul, Rule, Rules, Watch
from vaggapy.config.tree import Mapping, is_null
from vaggapy.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from vaggapy.config.tree import Node, Scalar
    from vaggapy.config.values import Reader, Structure

HOOK_WINDOW = 5.0
WATCH_INTERVAL = WATCH_TIMEOUT = 5.0
REACTIONS = (TERMINATE, EVENT, IGNORE)
LATER_REACTIONS = ("reload", "reopen-logs", "toggle-maintenance")


def rules(reader: Reader, fields: Structure, children: Iterable[tuple[Scalar, Structure]], mode: str) -> Rules:
    """Return what a `!Supervise` and its children say beyond the two plain modes."""
    known = {key.text: (key, child) for key, child in children}
    ruled = {name for name, (_, child) in known.items() if any(map(child.has, RULE_KEYS))}
    scope = Scope(reader, tuple(key.text for key, _ in fields.pairs("children")))
    found = {name: rule(scope, name, known[name][1], _pid1mode(known[name][1])) for name in known if name in ruled}
    found, taken = with_outputs(scope, {name: child for name, (_, child) in known.items()}, found)
    consul = _consul(reader, fields.values["consul"]) if fields.has("consul") else None
    bound = Rules(
        found,
        duration(fields, "hook-window", HOOK_WINDOW),
        _signals(reader, fields),
        _watches(reader, fields),
        consul,
    )
    for name, each in found.items():
        _check_service(reader, name, each, known[name][1], has_consul=fields.has("consul"))
    marks = {name: key.mark for name, (key, _) in known.items()}
    every = {name: found.get(name, Rule()) for name in known}
    check_outputs(scope, every, taken)
    check_group(scope, Group(mode, every, marks, tuple(watch.name for watch in bound.watches), bound.signals))
    return bound


def _pid1mode(child: Structure) -> str:
    """Return the mode of PID 1 as it is written; whether it is one was checked before."""
    node = child.values.get("pid1mode")
    return getattr(node, "text", "")


def _check_service(reader: Reader, name: str, found: Rule, fields: Structure, *, has_consul: bool) -> None:
    """Report a service that nobody checks, or that has no catalog."""
    if found.service is None:
        return
    mark = fields.keys["service"].mark
    if found.health is None and not any(fields.has(key) for key in ("health", "readiness-probe")):
        reader.report(mark, f"service '{name}' has no 'health'", f"add 'health:' to '{name}'", "bad-service")
    if not has_consul:
        what = f"service '{name}' has no catalog to be in"
        reader.report(mark, what, "add 'consul: HOST:PORT' to the !Supervise", "bad-service")


def _signals(reader: Reader, fields: Structure) -> dict[int, str]:
    """Return what was written of signals, by number."""
    if not fields.has("on-signal") or is_null(fields.values["on-signal"]):
        return {}
    inner = part(reader, fields.values["on-signal"], ON_SIGNAL, "'on-signal'")
    if inner is None:
        return {}
    numbers = {name.removeprefix("SIG"): number for name, number in SIGNALS.items()}
    return {numbers[key]: inner.choice(key, REACTIONS, LATER_REACTIONS) for key in ON_SIGNAL if inner.has(key)}


def _watches(reader: Reader, fields: Structure) -> tuple[Watch, ...]:
    """Return the entries of `watches`."""
    found = []
    for key, node in fields.pairs("watches"):
        reader.name(key, "watch")
        inner = part(reader, node, WATCHES, f"watch '{key.text}'", key.mark)
        if inner is not None:
            found.append(_watch(reader, key.text, inner, has_consul=fields.has("consul")))
    return tuple(found)


def _watch(reader: Reader, name: str, fields: Structure, *, has_consul: bool) -> Watch:
    """Return one entry of `watches`."""
    interval = duration(fields, "interval", WATCH_INTERVAL)
    timeout = duration(fields, "timeout", min(WATCH_TIMEOUT, interval) if fields.has("interval") else WATCH_TIMEOUT)
    if not fields.has("consul"):
        for key in ("tag", "dc"):
            if fields.has(key):
                what = f"'{fields.keys[key].text}' belongs to 'consul'"
                reader.report(fields.keys[key].mark, what, "take it away", "bad-check")
        found = check(fields, (HTTP, TCP, PATH), f"watch '{name}'", literal=True)
        return Watch(name, interval, found, timeout=timeout)
    for key in (HTTP, TCP, PATH, "status"):
        if fields.has(key):
            what = f"watch '{name}' has both 'consul' and '{fields.keys[key].text}'"
            reader.report(fields.keys[key].mark, what, "keep one of them", "bad-check")
    if not has_consul:
        what = f"watch '{name}' has no catalog to ask"
        reader.report(fields.keys["consul"].mark, what, "add 'consul: HOST:PORT' to the !Supervise", "bad-service")
    return Watch(name, interval, None, fields.text("consul"), fields.text("tag"), fields.text("dc"), timeout)


def _consul(reader: Reader, node: Node) -> Consul | None:
    """Return where Consul is, and how to trust it."""
    if not isinstance(node, Mapping):
        text = reader.text(node, "'consul'")
        return Consul(_address(reader, node, text, "http")) if text else None
    fields = part(reader, node, CONSUL, "'consul'")
    if fields is None or not fields.has("address"):
        return None
    scheme = fields.choice("scheme", ("http", "https"))
    address = _address(reader, fields.values["address"], fields.text("address"), scheme)
    if fields.has("scheme") and not address.startswith(f"{scheme}://"):
        what = f"'scheme: {scheme}' is not that of the address"
        reader.report(fields.values["scheme"].mark, what, "keep one of them", "duplicate-key")
    found = Consul(address, fields.text("token"))
    tls = part(reader, fields.values["tls"], TLS, "'tls'") if fields.has("tls") else None
    if tls is None:
        return found
    return replace(
        found,
        **{key.replace("-", "_"): tls.text(key) for key in TLS if key != "verify"},
        verify=tls.flag("verify", default=True),
    )


def _address(reader: Reader, node: Node, text: str, scheme: str) -> str:
    """Return a URL without a slash at its end."""
    whole = (text if "://" in text else f"{scheme}://{text}").rstrip("/")
    if text:
        url(reader, node, whole)
    return whole
