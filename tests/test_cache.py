"""The cache of the bound project: what is kept, and every doubt that makes it a miss."""

from __future__ import annotations

import binascii
import marshal
import os
from pathlib import Path
from typing import Any

import pytest

from vaggapy import cache
from vaggapy.cli.listing import resolve
from vaggapy.config.model import Project
from vaggapy.errors import ConfigError
from vaggapy.host import Host
from vaggapy.plan import Request, plan
from vaggapy.record import pack, pack_each, replace

TEXT = "containers:\n  host:\n    setup: [!Host]\ncommands:\n  one: !Command\n    container: host\n    run: 'true'\n"
AT_ONCE = -1.0  # keep files of any age: tests do not wait


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project's directory, with a cache directory of its own beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    (tmp_path / "caches").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("VAGGA_SETTINGS", raising=False)
    project = tmp_path / "project"
    project.mkdir()
    (project / "vagga.yaml").write_text(TEXT)
    return project


def load(place: Path, settled: float = AT_ONCE) -> Project:
    return cache.load(str(place), None, settled)


def entries(place: Path) -> list[Path]:
    return sorted((place.parent / "caches").glob("vagga/*"))


def plant(place: Path, **changes: object) -> Path:
    """Keep the project, then change the kept one: what is returned later tells whether the entry was read."""
    project = load(place)
    (entry,) = entries(place)
    identity, directory, file, prints, _ = marshal.loads(entry.read_bytes()[cache.CHECK :])
    values: dict[str, Any] = {
        "identity": identity,
        "directory": directory,
        "file": file,
        "prints": prints,
        "project": (pack(replace(project, containers={}, commands={})), {}, {}),
    }
    values.update(changes)
    data = marshal.dumps(tuple(values.values()))
    entry.write_bytes(binascii.crc32(data).to_bytes(cache.CHECK, "big") + data)
    return entry


def test_an_unchanged_project_is_not_parsed_again(place: Path) -> None:
    plant(place)
    assert load(place).commands == {}


def test_a_first_load_keeps_one_entry_that_is_the_callers_alone(place: Path) -> None:
    project = load(place)
    (entry,) = entries(place)
    assert project.commands.keys() == {"one"}
    assert entry.stat().st_mode & 0o777 == 0o600
    assert entry.parent.stat().st_mode & 0o777 == 0o700


def test_a_file_that_was_just_touched_is_read_but_not_kept(place: Path) -> None:
    assert load(place, cache.SETTLED).commands.keys() == {"one"}
    assert entries(place) == []


def test_a_changed_file_is_read_again(place: Path) -> None:
    plant(place)
    (place / "vagga.yaml").write_text(TEXT.replace("one", "two"))
    assert load(place).commands.keys() == {"two"}


def test_a_change_that_keeps_size_and_modification_time_is_seen(place: Path) -> None:
    plant(place)
    before = (place / "vagga.yaml").stat()
    (place / "vagga.yaml").write_text(TEXT.replace("one", "two"))
    os.utime(place / "vagga.yaml", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert load(place).commands.keys() == {"two"}


@pytest.mark.parametrize(
    "changes",
    [
        {"identity": ("0.0", 0, "cpython")},
        {"directory": "/elsewhere"},
        {"file": "/elsewhere/vagga.yaml"},
        {"prints": (("/elsewhere", (1, 2, 3, 4, 5)),)},
        {"project": (["NoSuchRecord", 1], {}, {})},
        {"project": (["Project", 1], {}, {})},
        {"project": (["Project", 1], {})},
    ],
    ids=["version", "directory", "file", "prints", "class", "fields", "parts"],
)
def test_an_entry_of_another_kind_is_a_miss(place: Path, changes: dict[str, object]) -> None:
    plant(place, **changes)
    assert load(place).commands.keys() == {"one"}


@pytest.mark.parametrize("cut", [0, 3, 4, 5, -1])
def test_a_torn_entry_is_a_miss_and_is_written_again(place: Path, cut: int) -> None:
    entry = plant(place)
    entry.write_bytes(entry.read_bytes()[:cut])
    assert load(place).commands.keys() == {"one"}
    assert len(entry.read_bytes()) > 100


def test_an_entry_with_a_flipped_bit_is_a_miss(place: Path) -> None:
    entry = plant(place)
    data = bytearray(entry.read_bytes())
    data[-3] ^= 1
    entry.write_bytes(data)
    assert load(place).commands.keys() == {"one"}


def test_an_entry_that_others_may_write_is_not_read(place: Path) -> None:
    plant(place).chmod(0o622)
    assert load(place).commands.keys() == {"one"}


def test_a_directory_that_others_may_write_is_not_used(place: Path) -> None:
    entry = plant(place)
    entry.parent.chmod(0o777)
    before = entry.read_bytes()
    assert load(place).commands.keys() == {"one"}
    assert entry.read_bytes() == before


def test_a_link_in_place_of_an_entry_is_neither_read_nor_written_through(place: Path, tmp_path: Path) -> None:
    entry = plant(place)
    victim = tmp_path / "victim"
    entry.rename(victim)
    entry.symlink_to(victim)
    before = victim.read_bytes()
    assert load(place).commands.keys() == {"one"}
    assert victim.read_bytes() == before


def test_nothing_is_kept_inside_the_project(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    load(place)
    assert sorted(os.listdir(place)) == ["vagga.yaml"]


def test_without_a_home_nothing_is_kept_and_nothing_fails(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.delenv("HOME")
    assert load(place).commands.keys() == {"one"}
    assert entries(place) == []


def test_a_cache_directory_that_cannot_be_made_costs_only_time(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.parent / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(place.parent / "file" / "below"))
    assert load(place).commands.keys() == {"one"}


def test_all_problems_of_a_file_come_out_of_the_parsers_process(place: Path) -> None:
    (place / "vagga.yaml").write_text(TEXT + "  two: !Comand {}\n  three: !Command {contaner: host, run: x}\n")
    with pytest.raises(ConfigError) as caught:
        load(place)
    assert len(caught.value.problems) >= 2
    assert entries(place) == []


def test_two_files_of_one_directory_have_an_entry_each(place: Path) -> None:
    (place / "other.yaml").write_text(TEXT.replace("one", "two"))
    load(place)
    assert cache.load(str(place), "other.yaml", AT_ONCE).commands.keys() == {"two"}
    assert len(entries(place)) == 2
    assert load(place).commands.keys() == {"one"}


# --- settings and other files -----------------------------------------------------------------------------------


def test_a_settings_file_that_appears_is_seen(place: Path) -> None:
    plant(place)
    assert load(place).commands == {}
    (place / ".vagga.settings.yaml").write_text("build-lock-wait: true\n")
    project = load(place)
    assert project.commands.keys() == {"one"}
    assert project.settings.build_lock_wait is True


def test_a_settings_file_in_a_directory_that_appears_is_seen(place: Path) -> None:
    plant(place)
    settings = place.parent / "home" / ".config" / "vagga" / "settings.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text("cache-dir: /c\n")
    assert load(place).settings.cache_dir == "/c"


def test_a_settings_file_that_changes_or_goes_is_seen(place: Path) -> None:
    settings = place / ".vagga.settings.yaml"
    settings.write_text("build-lock-wait: true\n")
    plant(place)
    settings.write_text("build-lock-wait: false\n")
    assert load(place).commands.keys() == {"one"}
    plant(place)
    settings.unlink()
    assert load(place).commands.keys() == {"one"}


def test_another_home_is_a_miss(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(place)
    monkeypatch.setenv("HOME", str(place.parent))
    assert load(place).commands.keys() == {"one"}


def test_another_text_of_the_settings_variable_is_a_miss(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(place)
    monkeypatch.setenv("VAGGA_SETTINGS", "cache-dir: /c")
    assert load(place).settings.cache_dir == "/c"
    assert load(place).settings.cache_dir == "/c"
    monkeypatch.delenv("VAGGA_SETTINGS")
    assert load(place).settings.cache_dir == ""


def test_a_file_that_the_project_names_is_watched_like_itself(place: Path) -> None:
    text = TEXT.replace("[!Host]", "[!SubConfig {path: part.yaml, container: x}]")
    (place / "vagga.yaml").write_text(text)
    (place / "part.yaml").write_text("containers: {x: {setup: [!Sh one]}}")
    plant(place)
    assert load(place).commands == {}
    (place / "part.yaml").write_text("containers: {x: {setup: [!Sh two]}}")
    assert load(place).commands.keys() == {"one"}


# --- projects of several files ------------------------------------------------------------------------------------

MIXED = TEXT + "  two: !*Include two.yaml\nmixins: [mixin.yaml, later.yaml]\n"
TWO = "!Command {container: host, run: 'false'}\n"


@pytest.mark.parametrize("name", ["mixin.yaml", "two.yaml", "vagga.local.yaml"])
def test_a_change_of_any_file_of_the_project_is_seen(place: Path, name: str) -> None:
    texts = {"mixin.yaml": "commands: {}", "two.yaml": TWO, "vagga.local.yaml": "commands: {}", "vagga.yaml": MIXED}
    for file, text in texts.items():
        (place / file).write_text(text)
    plant(place)
    assert load(place).commands == {}
    (place / name).write_text(texts[name] + "# changed\n")
    assert load(place).commands.keys() == {"one", "two"}


@pytest.mark.parametrize("name", ["later.yaml", "vagga.local.yaml", ".vagga.local.yaml", ".vagga/local.yaml"])
def test_a_file_that_was_missing_is_seen_when_it_comes(place: Path, name: str) -> None:
    for file, text in {"mixin.yaml": "commands: {}", "two.yaml": TWO, "vagga.yaml": MIXED}.items():
        (place / file).write_text(text)
    plant(place)
    assert load(place).commands == {}
    (place / name).parent.mkdir(exist_ok=True)
    (place / name).write_text(f"commands: {{new: {TWO.strip()}}}")
    assert "new" in load(place).commands


def test_a_project_with_a_mixin_that_is_left_out_is_kept_with_its_warning(place: Path) -> None:
    for file, text in {"mixin.yaml": "x: y", "two.yaml": TWO, "vagga.yaml": MIXED}.items():
        (place / file).write_text(text)
    plant(place)
    kept = load(place)
    assert kept.commands == {} and len(kept.warnings) == 2


def test_a_file_that_was_named_and_one_that_was_found_are_kept_apart(place: Path) -> None:
    (place / "vagga.local.yaml").write_text("commands: {new: !Command {container: host, run: 'true'}}")
    assert "new" in load(place).commands
    assert "new" not in cache.load(str(place), "vagga.yaml", AT_ONCE).commands
    assert "new" in load(place).commands


def test_a_kept_project_is_equal_to_the_one_that_was_read(place: Path) -> None:
    from vaggapy.config.load import find, read_project

    read = read_project(find(str(place))).project
    assert load(place) == read
    assert load(place) == read


def test_commands_and_containers_are_kept_one_by_one(place: Path) -> None:
    """A start that uses one of many does not unpack the others."""
    project = load(place)
    commands = pack_each(project.commands)
    kept = (pack(replace(project, containers={}, commands={})), {"host": b"?"}, {**commands, "two": b"?"})
    plant(place, project=kept)
    found = load(place)
    assert found.commands["one"] == project.commands["one"]
    assert list(found.commands) == ["one", "two"]


def test_an_entry_of_a_state_of_the_code_with_other_fields_is_a_miss() -> None:
    assert "Command name mark program" in cache.FIELDS
    assert cache.FIELDS in cache.IDENTITY


def test_a_plan_looks_only_at_what_its_command_needs(place: Path) -> None:
    """Of a project with many commands and containers, the others could be anything."""
    (place / "vagga.yaml").write_text(
        "containers:\n  host: {setup: [!Host]}\n"
        "  big: {setup: [], volumes: {/d: !Persistent {name: d, init-command: fill}}}\n"
        "commands:\n  first: !Command {container: host, run: [a]}\n"
        "  one: !Command {container: host, run: [a], prerequisites: [first], aliases: [o]}\n"
        "  fill: !Command {container: big, run: [a]}\n"
    )
    project = load(place)
    containers, commands = pack_each(project.containers), pack_each(project.commands)
    rest = pack(replace(project, containers={}, commands={}))
    plant(place, project=(rest, {**containers, "big": b"?"}, {**commands, "fill": b"?"}))
    found = load(place)
    command = resolve(found, "o")
    caller = Host(1000, 1000, "u", ("/home",), found.directory, {}, (False, False, False), "", 0, 0)
    stages = plan(found, command.name, Request(), caller, frozenset()).stages
    assert [stage.name for stage in stages] == ["first", "one"]
    assert found.persistent["d"].init_command == "fill"
