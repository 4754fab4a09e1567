"""Rules that `_dump_config` shows are written as vagga.yaml is: they bind to the same rules again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vaggapy.cli.dump import configuration
from vaggapy.config.bind import bind
from vaggapy.config.model import Supervise
from vaggapy.config.rule_fields import CONSUL, DEPEND, HEALTH, READY, RESTART, SERVICE, STOP, WATCH, WATCHES, WHEN
from vaggapy.config.tree import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.rules import Rules

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "tests/golden/config/rules.yaml", *sorted((ROOT / "examples").glob("*/vagga.yaml"))]
GROUP = ("mode", "hook-window", "on-signal", "consul", "watches", "children")
NOT_RULES = ("container", "run", "environ", "tag")

REST = """\
containers: {app: {setup: [!Host]}}
commands:
  run: !Supervise
    mode: keep-going
    consul: {address: "c:1", scheme: https, token: t, tls: {ca-file: /a, server-name: n, verify: false}}
    watches:
      tcp: {tcp: "h:1", interval: 1s, timeout: 500ms}
      path: {path: x}
    children:
      a: !Command
        container: app
        run: x
        when: {interval: 5s}
        restart: {limit: 2, min-wait: 0}
        timeout: none
        stop: {signal: KILL, timeout: 0}
        ready: {fd: 5, timeout: 3s, on-fail: shutdown}
      b: !Command
        container: app
        run: x
        restart: {policy: on-failure, limit: 3}
        ready: {line: up}
        health: {http: {url: "http://h/", status: 204}, interval: 1s, ttl: none, repeat: true, successes: 2}
        for-each: {range: 0..=2, as: N}
        condition: [test, -e, x]
      c: !Command
        container: app
        run: x
        when: {source: SIGHUP}
        restarts: 2
      d: !Command
        container: app
        run: x
        when: {source: b, once: unhealthy, timeout: 1s, on-timeout: fail}
        restarts: never
        depends: [{started: a}, {healthy: b}, {not-listening: "h:1"}, {not-exists: y}]
      e: !Command {container: app, run: x, when: {source: global, once: shutdown}}
      f: !Command {container: app, run: x, when: {interval: 1s}}
      g: !Command {container: app, run: x}
"""


def read(text: str) -> dict[str, Rules]:
    """Return the rules of the commands that have some."""
    project = bind(parse(text, "f"), "/p", "f")
    commands = project.commands.values()
    return {each.name: each.rules for each in commands if isinstance(each, Supervise) and each.rules}


def written(command: dict[str, object]) -> str:
    """Return a `!Supervise` of a dump as YAML, which JSON is, with no more than rules."""
    own = ", ".join(f"{key}: {json.dumps(command[key])}" for key in GROUP if key in command and key != "children")
    children = command["children"]
    assert isinstance(children, dict)
    plain = ("work-dir", "volumes", "user-id", "group-id", "banner", "banner-delay", "write-mode", "pid1mode")
    parts = [
        f"{json.dumps(name)}: !Command "
        + json.dumps({key: value for key, value in child.items() if key not in (*plain, "tag", *unsaid(child))})
        for name, child in children.items()
    ]
    return f"!Supervise {{{own}, children: {{{', '.join(parts)}}}}}"


def unsaid(child: dict[str, object]) -> list[str]:
    return [key for key, value in child.items() if value in (None, [], {}, "", False) and key != "autostart"]


@pytest.mark.parametrize("text", [REST, *(file.read_text() for file in FILES if "!Host" in file.read_text())])
def test_rules_that_are_shown_bind_to_the_same_rules(text: str) -> None:
    before = read(text)
    shown = json.loads(json.dumps(configuration(bind(parse(text, "f"), "/p", "f"))))["commands"]
    again = "".join(f"  {json.dumps(name)}: {written(shown[name])}\n" for name in before)
    names = {child["container"] for name in before for child in shown[name]["children"].values()}
    containers = ", ".join(f"{name}: {{setup: [!Host]}}" for name in names)
    assert read(f"containers: {{{containers}}}\ncommands:\n{again}") == before if before else not again


def test_the_keys_of_rules_are_those_of_the_tables() -> None:
    shown = configuration(bind(parse(REST, "f"), "/p", "f"))["commands"]
    assert isinstance(shown, dict)
    run = shown["run"]
    tables = {"restart": RESTART, "when": WHEN, "health": HEALTH, "ready": READY, "stop": STOP, "service": SERVICE}
    for child in run["children"].values():
        for key, table in tables.items():
            assert child.get(key, {}).keys() <= table.keys()
        assert all(each.keys() <= DEPEND.keys() for each in child.get("depends", []))
        assert all(each.keys() <= WATCH.keys() for each in child.get("watch", []))
    assert run["consul"].keys() <= CONSUL.keys()
    assert all(each.keys() <= WATCHES.keys() for each in run["watches"].values())


def test_a_command_without_rules_shows_none() -> None:
    commands = "{s: !Supervise {children: {a: !Command {container: app, run: x}}}}"
    text = f"containers: {{app: {{setup: [!Host]}}}}\ncommands: {commands}"
    shown = configuration(bind(parse(text, "f"), "/p", "f"))["commands"]
    assert isinstance(shown, dict)
    assert not {"rules", *GROUP} - {"mode", "children"} & shown["s"].keys()
    assert not {"restart", "restarts", "when", "once", "health"} & shown["s"]["children"]["a"].keys()
