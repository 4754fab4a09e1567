"""docs/config.md says what the tables in vaggapy/config/fields.py say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vaggapy.config import fields, others, references, rule_fields, steps
from vaggapy.config.load import LOCAL, MAX_BYTES
from vaggapy.config.model import ALL_IDS, COMPATIBLE_WITH, HOSTS, RESOLVER, Snapshot, Tmpfs, TmpfsDir
from vaggapy.config.tree import MAX_DEPTH, MAX_NODES
from vaggapy.config.values import read_number

TEXT = (Path(__file__).parents[2] / "docs" / "config.md").read_text()
ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
TABLES = {
    "## The top of the file": fields.TOP,
    "## Containers": fields.CONTAINER,
    "### !Host": fields.HOST,
    "### !Tmpfs": fields.TMPFS,
    "### !Persistent": fields.PERSISTENT,
    "### !Snapshot": fields.SNAPSHOT,
    "### Directories of subdirs": fields.SUBDIR,
    "### !Command": fields.COMMAND,
    "### !Supervise": fields.SUPERVISE,
    "### Children": fields.CHILD,
    "### restart": rule_fields.RESTART,
    "### when": rule_fields.WHEN,
    "### depends": rule_fields.DEPEND,
    "#### http": rule_fields.ADDRESS,
    "#### file-contains": rule_fields.FILE_CONTAINS,
    "#### process-exited": rule_fields.PROCESS_EXITED,
    "#### output-matches": rule_fields.OUTPUT_MATCHES,
    "### health": rule_fields.HEALTH,
    "### watch": rule_fields.WATCH,
    "#### Checks": rule_fields.CHECK,
    "### ready": rule_fields.READY,
    "### stop": rule_fields.STOP,
    "### service": rule_fields.SERVICE,
    "#### consul of a service": rule_fields.SERVICE_CONSUL,
    "### for-each": rule_fields.FOR_EACH,
    "### watches of a group": rule_fields.WATCHES,
    "### on-signal": rule_fields.ON_SIGNAL,
    "### consul": rule_fields.CONSUL,
    "#### tls of consul": rule_fields.TLS,
    "#### healthcheck": rule_fields.HEALTHCHECK,
    "#### depends_on": rule_fields.DEPENDS_ON,
    "#### readiness_probe": rule_fields.READINESS_PROBE,
    "#### exec of readiness_probe": rule_fields.PROBE_EXEC,
    "#### http_get": rule_fields.HTTP_GET,
}
OTHER_SPELLINGS = "### Other spellings"
LATER_HEADING = "## Known, but not in this version"


def section(heading: str) -> str:
    """Return the text between a heading and the next one."""
    assert TEXT.count(f"\n{heading}\n") == 1
    return re.split(r"\n##+ ", TEXT.split(f"\n{heading}\n")[1])[0]


def documented_default(field: fields.Field) -> set[str]:
    """Return the ways in which the page may show a default."""
    if field.needed:
        return {"needed"}
    return {field.default, f"`{field.default}`"} if field.default else {"none"}


@pytest.mark.parametrize("heading", TABLES)
def test_each_section_documents_the_keys_types_and_defaults_of_its_table(heading: str) -> None:
    rows = {key: (kind, default, meaning) for key, kind, default, meaning in ROW.findall(section(heading))}
    hidden = (fields.LATER, fields.ALIAS)
    shown = {key: field for key, field in TABLES[heading].items() if field.state not in hidden}
    assert list(rows) == list(shown)
    for key, field in shown.items():
        kind, default, meaning = rows[key]
        assert (key, kind) == (key, field.type)
        assert default in documented_default(field)
        assert meaning
        assert ("accepted" in meaning) == (field.state == fields.NO_EFFECT)


def test_every_table_of_rules_has_its_section() -> None:
    tables = [table for name, table in vars(rule_fields).items() if name[0].isupper() and isinstance(table, dict)]
    assert [table for table in tables if not any(table is known for known in TABLES.values())] == []


def test_every_other_spelling_is_listed() -> None:
    listed = {re.sub("[_-]", "", word).lower() for word in re.findall(r"\w+", section(OTHER_SPELLINGS))}
    written = {
        name
        for table in TABLES.values()
        for key, field in table.items()
        for name in (*field.also, *((key,) if field.state == fields.ALIAS else ()))
        if name.replace("-", "").lower() != key.replace("-", "") or field.state == fields.ALIAS
    }
    assert {name for name in written if re.sub("[_-]", "", name).lower() not in listed} == set()


def test_every_key_and_tag_of_a_later_version_is_listed() -> None:
    listed = set(re.findall(r"`([^`]+)`", section(LATER_HEADING)))
    later = {key for table in TABLES.values() for key, field in table.items() if field.state == fields.LATER}
    tags = {**fields.COMMAND_TAGS, **fields.CHILD_TAGS, **fields.VOLUME_TAGS, **fields.LATER_STEPS}
    assert (later | {tag for tag, state in tags.items() if state == fields.LATER}) - listed == set()


def test_no_key_of_this_version_is_listed_as_later() -> None:
    lines = [line for line in section(LATER_HEADING).split("\n- ") if line.startswith(("in ", "at "))]
    assert not any(field.state == fields.LATER for field in (*fields.TOP.values(), *fields.COMMAND.values()))
    for line, table in zip(lines, (fields.CONTAINER, fields.SUPERVISE, fields.CHILD), strict=True):
        listed = {word for word in re.findall(r"`([^`]+)`", line) if not word.startswith("!")}
        assert listed == {key for key, field in table.items() if field.state == fields.LATER}


def test_the_limits_and_versions_on_the_page_are_those_of_the_code() -> None:
    assert f"at most {MAX_BYTES // 1024} KiB, nested at most {MAX_DEPTH} deep" in TEXT
    assert f"at most {MAX_NODES:,} keys and values" in TEXT
    assert f"understands files of {COMPATIBLE_WITH} " in TEXT


def test_the_limits_of_files_on_the_page_are_those_of_the_code() -> None:
    size = f"of {others.MAX_TOTAL // 1024**2} MiB and {others.MOST_NODES:,} keys"
    assert f"may have {others.MAX_FILES}\nsuch files and mixins, {size}" in TEXT


def test_the_local_files_are_on_the_page_from_strong_to_weak() -> None:
    assert "1. " + ", ".join(f"`{name}`" for name in reversed(LOCAL)) in TEXT


def test_every_volume_is_listed() -> None:
    assert set(re.findall(r"^- `(![A-Za-z]+)", section("## Volumes"), re.MULTILINE)) == set(fields.VOLUME_TAGS)


def test_the_limits_of_steps_on_the_page_are_those_of_the_code() -> None:
    assert f"more than {references.MAX_DEPTH}. " in TEXT
    assert f"at most {steps.MAX_STEPS:,} steps" in TEXT


def test_the_defaults_of_the_tables_are_those_of_the_model() -> None:
    assert read_number(fields.TMPFS["size"].default) == Tmpfs().size
    assert read_number(fields.TMPFS["mode"].default) == Tmpfs().mode
    assert read_number(fields.SUBDIR["mode"].default) == TmpfsDir("x").mode
    assert read_number(fields.SNAPSHOT["size"].default) == Snapshot().size
    container = fields.CONTAINER
    assert (container["resolv-conf-path"].default, container["hosts-file-path"].default) == (RESOLVER, HOSTS)
    assert container["uids"].default == container["gids"].default == f"[{ALL_IDS[0][0]}-{ALL_IDS[0][1]}]"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("10", 10),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0o755", 0o755),
        ("0b101", 5),
        ("1k", 1000),
        ("2 M", 2_000_000),
        ("1G", 10**9),
        ("1ki", 1024),
        ("100Mi", 100 * 1024**2),
        ("3 Gi", 3 * 1024**3),
        ("-5", -5),
        ("0755", None),
        ("", None),
        ("k", None),
        ("1.5", None),
        ("1e3", None),
        ("1KB", None),
        ("1Mk", None),
        ("0x", None),
        ("1__0", None),
        ("+1", None),
        ("--1", None),
        ("٣", None),
        ("9" * 5000, None),
    ],
)
def test_numbers_are_read_as_the_page_says(text: str, number: int | None) -> None:
    assert read_number(text) == number
