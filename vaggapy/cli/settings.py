"""`vagga _settings`: each setting with its value and the place where that was written."""

from __future__ import annotations

import json

from vaggapy.config.fields import NO_EFFECT
from vaggapy.config.load import find
from vaggapy.config.others import Others
from vaggapy.config.settings import ALL
from vaggapy.errors import ConfigError, ExitCode, Mark, VaggaError, visible
from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from vaggapy.config.settings import Merged

DEFAULT = "default"
UNUSED = "no effect in this version"


class Setting(Record):
    """One setting. `mark`: where its value was written, None for the default. `used`: it has an effect."""

    key: str
    value: object
    mark: Mark | None = None
    used: bool = True


def show_settings(as_json: bool, directory: str, file: str, environ: Mapping[str, str]) -> int:
    """Print all settings of the project that `directory` belongs to, or those of the user outside of one.

    Raises:
        ConfigError: with every mistake in them.
    """
    try:
        project = find(directory, file or None).directory
    except VaggaError:
        if file:
            raise
        project = directory
    merged = Others(project).settings(environ)
    if merged.problems:
        raise ConfigError(tuple(merged.problems))
    shown = settings(merged)
    print(json_text(shown) if as_json else text(shown), end="")
    return ExitCode.OK


def settings(merged: Merged) -> tuple[Setting, ...]:
    """Return every setting, in the order of docs/settings.md; those by name as one for each name."""
    found: list[Setting] = []
    for key, field in ALL.items():
        used = field.state != NO_EFFECT
        value = merged.values.get(key)
        if isinstance(value, dict):
            names = [
                Setting(f"{key}.{name}", item, merged.origins[f"{key}.{name}"], used) for name, item in value.items()
            ]
            found += names or [Setting(key, {}, None, used)]
        elif key in merged.origins:
            found.append(Setting(key, value, merged.origins[key], used))
        elif key != "site-settings":
            found.append(Setting(key, DEFAULTS.get(field.default, field.default or None), None, used))
    return tuple(found)


DEFAULTS: dict[str, object] = {"true": True, "false": False, "[]": (), "{}": {}}


def text(shown: tuple[Setting, ...]) -> str:
    """Return `key: value  # place`, a line for each setting."""
    rows = [(f"{each.key}: {_written(each.value)}", _place(each)) for each in shown]
    width = min(max((len(left) for left, _ in rows), default=0), LONGEST)
    return "".join(f"{visible(left):{width}}  # {visible(right)}\n" for left, right in rows)


LONGEST = 60


def _written(value: object) -> str:
    """Return a value as it would stand in a settings file."""
    if value is None:
        return "~"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return json.dumps(value, ensure_ascii=False) if value in ("", {}) else str(value)


def _place(setting: Setting) -> str:
    place = str(setting.mark) if setting.mark else DEFAULT
    return place if setting.used or not setting.mark else f"{place}, {UNUSED}"


def json_text(shown: tuple[Setting, ...]) -> str:
    """Return an object with, for each key, its `value` and `from`: file, line and column, or null for the default.

    Of what is set by name, both are objects.
    """
    rows: dict[str, dict[str, object]] = {}
    for each in shown:
        place = str(each.mark) if each.mark else None
        key, dot, name = each.key.partition(".")
        if dot:
            row = rows.setdefault(key, {"value": {}, "from": {}})
            for part, item in (("value", each.value), ("from", place)):
                inner = row[part]
                if isinstance(inner, dict):
                    inner[name] = item
        else:
            rows[key] = {"value": each.value, "from": place}
    return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"
