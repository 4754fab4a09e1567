"""`_settings` and `_dump_config`: what they print."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vaggapy.cli.argv import Options
from vaggapy.cli.configuration import run
from vaggapy.cli.dump import configuration
from vaggapy.cli.settings import json_text, settings, show_settings, text
from vaggapy.config import fields
from vaggapy.config.bind import bind
from vaggapy.config.others import Others
from vaggapy.config.settings import ALL, Merged
from vaggapy.config.tree import parse
from vaggapy.errors import ConfigError, UsageError

EXAMPLE = Path(__file__).parents[2] / "vagga.yaml.example"


def merged(root: Path, **texts: str) -> Merged:
    """Return the settings of a project; `local` is its file, `user` the variable."""
    (root / ".vagga.settings.yaml").write_text(texts.get("local", ""))
    return Others(str(root)).settings({"VAGGA_SETTINGS": texts.get("user", "")})


def test_every_setting_is_shown_with_its_place(tmp_path: Path) -> None:
    found = merged(tmp_path, local="environ: {B: 2}\nversion-check: false\n", user="environ: {A: 1}\ncache-dir: /c\n")
    shown = {each.key: (each.value, str(each.mark or "")) for each in settings(found)}
    place = f"{tmp_path}/.vagga.settings.yaml"
    assert shown["environ.A"] == ("1", "VAGGA_SETTINGS:1:11")
    assert shown["environ.B"] == ("2", f"{place}:1:11")
    assert shown["version-check"] == (False, f"{place}:2:1")
    assert shown["cache-dir"] == ("/c", "VAGGA_SETTINGS:2:1")
    assert shown["run-symlinks-as-commands"] == (True, "")
    assert {key.partition(".")[0] for key in shown} == ALL.keys() - {"site-settings"}


def test_the_text_has_a_line_for_each(tmp_path: Path) -> None:
    lines = text(settings(merged(tmp_path, user="propagate-environ: [A, B*]\nversioned-build-dir: true"))).splitlines()
    rows = {line.partition(":")[0]: " ".join(line.split()) for line in lines}
    assert rows["propagate-environ"] == "propagate-environ: [A, B*] # VAGGA_SETTINGS:1:1"
    assert rows["versioned-build-dir"] == "versioned-build-dir: true # VAGGA_SETTINGS:2:1, no effect in this version"
    assert rows["cache-dir"] == "cache-dir: ~ # default"


def test_control_characters_of_a_strangers_settings_are_spelled_out(tmp_path: Path) -> None:
    assert "\x1b" not in text(settings(merged(tmp_path, local='environ: {A: "\\e[2J"}')))


def test_the_json_has_value_and_place_of_each_key(tmp_path: Path) -> None:
    found = json.loads(json_text(settings(merged(tmp_path, user="environ: {A: 1}\ncache-dir: /c"))))
    assert found["environ"] == {"value": {"A": "1"}, "from": {"A": "VAGGA_SETTINGS:1:11"}}
    assert found["cache-dir"] == {"value": "/c", "from": "VAGGA_SETTINGS:2:1"}
    assert found["build-lock-wait"] == {"value": False, "from": None}
    assert found["external-volumes"] == {"value": {}, "from": None}


def test_settings_are_shown_without_a_project_and_with_one_that_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show_settings(False, str(tmp_path), "", {"VAGGA_SETTINGS": "cache-dir: /c"}) == 0
    assert "cache-dir: /c " in capsys.readouterr().out
    (tmp_path / "vagga.yaml").write_text("[")
    assert show_settings(True, str(tmp_path), "", {}) == 0
    assert json.loads(capsys.readouterr().out)["cache-dir"]["value"] is None


def test_settings_that_are_wrong_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        show_settings(False, str(tmp_path), "", {"VAGGA_SETTINGS": "x: y"})


@pytest.mark.parametrize(("name", "code"), [("_settings", 122), ("_check", 122), ("_dump_config", 2)])
@pytest.mark.parametrize("words", [("x",), ("--no-such",)])
def test_a_wrong_command_line_has_its_exit_code(name: str, code: int, words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        run(name, words, Options(), lambda: pytest.fail("read"))
    assert caught.value.code == code


@pytest.mark.parametrize("name", ["_settings", "_check", "_dump_config"])
def test_each_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(name, ("--help",), Options(), lambda: pytest.fail("read")) == 0
    assert f"vagga {name}" in capsys.readouterr().out


def test_the_configuration_has_the_keys_of_the_file_and_their_defaults() -> None:
    project = bind(
        parse(
            "containers: {h: {setup: [!Host {expose: [/opt]}], uids: [0-9, 20]}}\n"
            "commands:\n  c: !Command {container: h, run: [a, b],\n"
            "    volumes: {/x: !BindRO /work/x, /t: !Tmpfs {mode: 0o700}}}\n"
            "  s: !Supervise {children: {a: !Command {container: h, run: x, tags: [t]}}}\n",
            "f.yaml",
        ),
        "/p",
        "f.yaml",
    )
    found = json.loads(json.dumps(configuration(project)))
    container = found["containers"]["h"]
    assert container["setup"] == [{"tag": "!Host", "home": "hidden", "expose": ["/opt"]}]
    assert (container["uids"], container["from"]) == (["0-9", "20"], "f.yaml")
    command = found["commands"]["c"]
    assert (command["tag"], command["run"], command["write-mode"]) == ("!Command", ["a", "b"], "read-only")
    assert command["volumes"]["/x"] == {"tag": "!BindRO", "source": "/work/x"}
    assert command["volumes"]["/t"]["mode"] == 0o700
    child = found["commands"]["s"]["children"]["a"]
    assert (child["tag"], child["tags"], child["container"]) == ("!Command", ["t"], "h")


def test_the_keys_of_the_dump_are_those_of_the_documentation() -> None:
    from vaggapy.build.registry import shapes

    found = configuration(bind(parse(EXAMPLE.read_text(), "f"), "/p", "f", shapes()))
    commands, containers = found["commands"], found["containers"]
    assert isinstance(commands, dict) and isinstance(containers, dict)
    for command in commands.values():
        table = fields.COMMAND if command["tag"] == "!Command" else fields.SUPERVISE
        assert command.keys() - {"tag", "from"} <= table.keys()
        for child in command.get("children", {}).values():
            assert child.keys() - {"tag"} <= fields.CHILD.keys()
    for container in containers.values():
        assert container.keys() - {"from"} <= fields.CONTAINER.keys()
