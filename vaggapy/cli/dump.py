"""`vagga _dump_config`: what all files of the project mean together, as JSON in the words of vagga.yaml.

`vagga --dry-run CMD`: what a run would do, as JSON.
"""

from __future__ import annotations

import json

from vaggapy.config.model import Command, Container, ContainerRoot, Program, Step, Supervise
from vaggapy.errors import ExitCode, Mark
from vaggapy.plan import redacted
from vaggapy.record import Record, as_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vaggapy.cli.argv import Options
    from vaggapy.config.model import Project
    from vaggapy.config.rules import Rules
    from vaggapy.plan import Plan

OWN = ("name", "mark", "container_mark", "digest", "formula", "host", "rules")
"""Fields that are no keys of vagga.yaml."""
NAMES = {"tcp_socket": "pass-tcp-socket", "transient": "write-mode", "external_user_id": "external-user-id"}
TAGS: dict[type[Record], str] = {ContainerRoot: "!Container"}
UNSAID = {"owner-uid": -1, "owner-gid": -1, "external-user-id": -1}
"""Numbers that stand for nothing."""


def dump_config(pretty: bool, load: Callable[[], Project]) -> int:
    """Print the configuration and return the exit code."""
    print(json.dumps(configuration(load()), indent=2 if pretty else None, ensure_ascii=False))
    return ExitCode.OK


def dump_plan(planned: Plan, options: Options) -> int:
    """Print a plan and return the exit code; what was given by -E stays secret."""
    shown = redacted(planned, tuple(name for name, _ in options.environ))
    print(json.dumps(as_json(shown), indent=2))
    return ExitCode.OK


def configuration(project: Project) -> dict[str, object]:
    """Return the merged configuration: keys as in vagga.yaml, with the defaults of those that are not written.

    A tag is the key `tag`; `from` says in which file a container or command is.
    """
    return {
        "containers": {name: _container(container) for name, container in project.containers.items()},
        "commands": {name: _command(command) for name, command in project.commands.items()},
    }


def _container(container: Container) -> dict[str, object]:
    shown = {"from": container.mark.file, **_keys(container)}
    if container.host is not None:
        home = "read-only" if container.host.home_visible else "hidden"
        shown["setup"] = [{"tag": "!Host", "home": home, "expose": list(container.host.expose)}]
    for key, ranges in (("uids", container.uids), ("gids", container.gids)):
        shown[key] = [f"{first}-{last}" if first != last else str(first) for first, last in ranges]
    for key in ("resolv-conf-path", "hosts-file-path"):
        shown[key] = shown[key] or None
    return shown


def _command(command: Command | Supervise) -> dict[str, object]:
    shown: dict[str, object] = {"tag": _tag(command), "from": command.mark.file, **_keys(command)}
    if isinstance(command, Supervise):
        shown["children"] = {child.name: {"tag": "!Command", **_keys(child)} for child in command.children}
        if command.rules is not None:
            _add_rules(shown, command.rules)
    return shown


def _add_rules(shown: dict[str, object], rules: Rules) -> None:
    """Put the keys of rules between those of a `!Supervise` and its children."""
    from vaggapy.cli import dump_rules  # only with rules

    shown.update(dump_rules.of_group(rules))
    children = shown["children"]
    assert isinstance(children, dict)
    for name, rule in rules.children.items():
        children[name].update(dump_rules.of_child(rule))


def _keys(record: Record) -> dict[str, object]:
    """Return the keys and values of a structure; those of a program stand among them."""
    shown: dict[str, object] = {}
    for field in record._fields:
        value = getattr(record, field)
        key = NAMES.get(field, field.replace("_", "-"))
        if isinstance(value, Program):
            shown.update(_keys(value))
        elif field == "transient":
            shown[key] = "transient" if value else "read-only"
        elif field not in OWN or (field == "name" and not isinstance(getattr(record, "mark", None), Mark)):
            shown[key] = None if key in UNSAID and UNSAID[key] == value else _plain(value)
    return shown


def _plain(value: object) -> object:
    """Return a value as JSON has it."""
    if isinstance(value, Step):
        inner = {key.replace("_", "-"): _plain(item) for key, item in value.values.items()}
        return {"tag": value.tag, **inner}
    if isinstance(value, Record):
        return {"tag": _tag(value), **_keys(value)}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def _tag(record: Record) -> str:
    return TAGS.get(type(record), f"!{type(record).__name__}")
