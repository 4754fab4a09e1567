"""Rules in the words of vagga.yaml, for `vagga _dump_config`: what binds to the same rules again. Pure.

Durations are seconds. Only what says something is there; what has other spellings has the first of them.
"""

from __future__ import annotations

from vaggapy.config.restarts import SIGNAL_NUMBERS
from vaggapy.config.rules import (
    EXEC,
    FILE_CONTAINS,
    GLOBAL,
    HTTP,
    ON_FAIL_SPAWN,
    OUTPUT_MATCHES,
    RECEIVED,
    SIGNALS,
    UNLIMITED,
    Consul,
    Restart,
    Rule,
    Stop,
)
from vaggapy.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.rules import Check, Depend, ForEach, Health, Ready, Rules, Service, Watch, When

NAMES = {number: f"SIG{name}" for name, number in SIGNAL_NUMBERS.items()}
NONE = "none"

Shown = dict[str, object]


def of_group(rules: Rules) -> Shown:
    """Return the keys of a `!Supervise` with rules."""
    shown: Shown = {"hook-window": rules.hook_window}
    if rules.signals:
        names = {number: name.removeprefix("SIG") for name, number in SIGNALS.items()}
        shown["on-signal"] = {names[number]: does for number, does in rules.signals.items()}
    if rules.consul:
        shown["consul"] = _consul(rules.consul)
    if rules.watches:
        shown["watches"] = {watch.name: _watch(watch) for watch in rules.watches}
    return shown


def of_child(rule: Rule) -> Shown:
    """Return the keys of a child that has a rule."""
    shown: Shown = {}
    ticks = rule.when is not None and rule.when.interval > 0
    if rule.restart != (Restart(UNLIMITED) if ticks else Restart()):
        shown.update(_restart(rule.restart))
    if rule.timeout != (rule.when.interval if rule.when else 0.0):
        shown["timeout"] = rule.timeout or NONE
    shown.update({"role": "coprocess"} if rule.coprocess else {})
    shown.update({"once": True} if rule.once else {})
    shown.update({"autostart": False} if rule.dormant else {})
    for key, value in (
        ("when", _when(rule.when) if rule.when else None),
        ("depends", [_depend(each) for each in rule.depends]),
        ("condition", _looks(rule.condition)[EXEC] if rule.condition else None),
        ("health", _health(rule.health) if rule.health else None),
        ("watch", [_health(each) for each in rule.watches]),
        ("ready", _ready(rule.ready) if rule.ready else None),
        ("stop", _stop(rule.stop) if rule.stop != Stop() else None),
        ("service", _service(rule.service) if rule.service else None),
        ("for-each", _for_each(rule.for_each) if rule.for_each else None),
    ):
        if value:
            shown[key] = value
    return shown


def _restart(restart: Restart) -> Shown:
    limit = {UNLIMITED: "unlimited", 0: "never"}.get(restart.limit, restart.limit)
    if restart == replace(Restart(restart.limit), at_once=True):
        return {"restarts": limit}
    ends = [*restart.codes, *(NAMES[number] for number in restart.signals)]
    policy = "always" if restart.on_success else "on-failure"
    waits = {"min-wait": restart.min_wait, "max-wait": restart.max_wait}
    return {"restart": {"limit": limit, "policy": policy, **waits, "no-restart-on": ends}}


def _when(when: When) -> Shown:
    if when.interval:
        return {"interval": when.interval}
    shown: Shown = {"source": when.source or GLOBAL}
    if when.event != RECEIVED:
        shown["each" if when.each else "once"] = when.event
    return {**shown, "timeout": when.timeout or NONE, "on-timeout": "fail" if when.fails else "skip"}


def _looks(check: Check) -> Shown:
    """Return the key that says what is looked at, with its value."""
    match check.kind:
        case "exec":
            return {EXEC: list(check.words) if check.words else check.target}
        case "http":
            return {HTTP: check.target, "status": check.status}
        case "file-contains":
            found = {"path": check.target, "key": check.key, "format": check.format}
            return {FILE_CONTAINS: {**found, "env": check.variable} if check.variable else found}
        case "output-matches":
            return {OUTPUT_MATCHES: {"child": check.target, "text": check.key}}
        case _:
            return {check.kind: check.target}


def _depend(depend: Depend) -> Shown:
    options = {"timeout": depend.timeout or NONE, "poll": depend.poll, "retry": depend.retry}
    return {**_looks(depend.check), **options, "on-timeout": "skip" if depend.skips else "fail"}


def _health(health: Health) -> Shown:
    """Return `health`, or an entry of `watch`, which has a name."""
    own: Shown = {"name": health.name, "check": _looks(health.check)} if health.name else _looks(health.check)
    more: Shown = {
        "interval": health.interval,
        "timeout": health.timeout,
        "initial-delay": health.delay,
        "threshold": health.threshold,
        "on-fail": {"spawn": health.spawn} if health.on_fail == ON_FAIL_SPAWN else health.on_fail,
    }
    if not health.name:
        more["ttl"] = health.ttl or NONE
        more.update({"start-period": health.start_period, "start-interval": health.start_interval})
        more.update({"successes": health.successes, "repeat": health.repeat})
    return {**own, **more}


def _ready(ready: Ready) -> Shown:
    how: Shown = {"notify": True} if ready.notify else {"fd": ready.fd} if ready.fd >= 0 else {"line": ready.line}
    return {**how, "timeout": ready.timeout or NONE, "on-fail": ready.on_fail}


def _stop(stop: Stop) -> Shown:
    shown: Shown = {"signal": NAMES[stop.signal]} if stop.signal else {}
    shown.update({"timeout": stop.timeout} if stop.timeout >= 0 else {})
    shown.update({"hook-timeout": stop.hook_timeout} if stop.hook_timeout >= 0 else {})
    return shown


def _service(service: Service) -> Shown:
    shown: Shown = {"port": service.port, "tags": list(service.tags), "interfaces": list(service.interfaces)}
    if service.status:
        shown["initial-status"] = service.status
    after = {"deregister-critical-service-after": service.deregister_after} if service.deregister_after else {}
    return {**shown, "consul": {"enable-tag-override": service.tag_override, **after}}


def _for_each(each: ForEach) -> Shown:
    return {"as": each.variable, **({"glob": each.glob} if each.glob else {"values": list(each.values)})}


def _watch(watch: Watch) -> Shown:
    own: Shown = _looks(watch.check) if watch.check else {"consul": watch.service}
    own.update({"tag": watch.tag} if watch.tag else {})
    own.update({"dc": watch.datacenter} if watch.datacenter else {})
    return {**own, "interval": watch.interval, "timeout": watch.timeout}


def _consul(consul: Consul) -> Shown:
    files = ("ca_file", "ca_path", "client_cert", "client_key", "server_name")
    tls: Shown = {name.replace("_", "-"): getattr(consul, name) for name in files if getattr(consul, name)}
    if not consul.verify:
        tls["verify"] = False
    shown: Shown = {"address": consul.address}
    shown.update({"scheme": "https"} if consul.address.startswith("https:") else {})
    shown.update({"token": consul.token} if consul.token else {})
    shown.update({"tls": tls} if tls else {})
    return shown
