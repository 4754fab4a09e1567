"""Settings and projects of several files, in real runs and builds."""

from __future__ import annotations

import json
from pathlib import Path

from integration.builds import ROOT, container, containers, small  # noqa: F401 - a fixture
from integration.runs import HOST, Project, command


def settings(project: Project, text: str) -> None:
    """Write the settings of the user."""
    path = project.home / ".config" / "vagga" / "settings.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_variables_of_settings_reach_programs_in_the_documented_order(project: Project) -> None:
    project.write(command("c", "echo $A $B $C $D $LC_X", environ={"A": "command", "B": "command", "C": "command"}))
    settings(project, "propagate-environ: [B, C, LC_*]\nenviron: {C: settings, D: settings}\n")
    caller = {"A": "caller", "B": "caller", "C": "caller", "LC_X": "caller", "VAGGAENV_D": "passed"}
    result = project.run("c", environ=caller)
    assert (result.code, result.out) == (0, "command caller settings passed caller\n"), result


def test_an_external_volume_is_seen_where_it_is_used_and_nowhere_else(project: Project, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("inside\n")
    settings(project, f"external-volumes: {{data: {tmp_path}/data, gone: {tmp_path}/gone}}\n")
    (project.directory / "mnt").mkdir()
    project.write(
        "  read: !Command {container: host, run: cat mnt/file, volumes: {/work/mnt: !BindRO /volumes/data}}\n"
        "  write: !Command {container: host, run: touch mnt/new, volumes: {/work/mnt: !BindRW /volumes/data}}\n"
        "  refused: !Command {container: host, run: touch mnt/no, volumes: {/work/mnt: !BindRO /volumes/data}}\n"
        "  gone: !Command {container: host, run: 'true', volumes: {/work/mnt: !BindRO /volumes/gone}}\n"
    )
    assert project.run("read").out == "inside\n"
    assert project.run("write").code == 0
    assert (tmp_path / "data" / "new").exists()
    assert project.run("refused").code != 0
    result = project.run("gone")
    assert result.code == 124 and f"{tmp_path}/gone does not exist" in result.err


def test_builds_take_files_of_external_volumes_and_see_their_changes(
    small: Project,  # noqa: F811
    tmp_path: Path,
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("one\n")
    settings(small, f"external-volumes: {{data: {tmp_path}/data, file: {tmp_path}/data/file, gone: /gone}}\n")
    copies = ("!Copy {source: /volumes/data, path: /data}", "!Copy {source: /volumes/file, path: /file}")
    small.write(
        "  c: !Command {container: c, run: [/bin/sh, -c, cat /data/file /file]}\n",
        containers(container("c", ROOT, *copies)),
    )
    assert small.run("c").out == "one\none\n"
    (tmp_path / "data" / "file").write_text("two\n")
    assert small.run("c").out == "two\ntwo\n"
    settings(small, "{}")
    result = small.run("c")
    assert result.code == 121 and "there is no external volume" in result.err and "[external-volume]" in result.err


def test_without_version_check_what_was_built_is_used_and_what_was_not_is_built(small: Project) -> None:  # noqa: F811
    settings(small, "version-check: false\n")
    run = "  c: !Command {container: c, run: [/bin/sh, -c, cat /x]}\n"
    small.write(run, containers(container("c", ROOT, "!Text {/x: one}")))
    assert small.run("c").out == "one"
    small.write(run, containers(container("c", ROOT, "!Text {/x: two}")))
    assert small.run("c").out == "one"
    settings(small, "version-check: true\n")
    assert small.run("c").out == "two"


def test_a_mixin_that_is_wrong_is_a_warning_at_each_run_and_an_error_of_the_check(project: Project) -> None:
    (project.directory / "a.yaml").write_text("x: y\n")
    project.write(command("c", "echo ok"), f"mixins: [a.yaml]\n{HOST}")
    for _ in range(2):
        result = project.run("c")
        assert (result.code, result.out) == (0, "ok\n")
        assert result.err.startswith("vagga: warning: ") and result.err.endswith("[mixin-skipped]\n")
    checked = project.run("_check")
    assert (checked.code, checked.out) == (126, "") and "unknown key 'x'" in checked.err
    (project.directory / "a.yaml").write_text("commands: {d: !Command {container: host, run: echo d}}\n")
    assert (project.run("_check").code, project.run("d").out) == (0, "d\n")
    assert f'(from "{project.directory}/a.yaml")' in project.run("_list", "-v").out


def test_a_project_of_a_local_file_alone_runs(project: Project) -> None:
    project.write(command("c", "echo local"))
    (project.directory / "vagga.yaml").rename(project.directory / "vagga.local.yaml")
    assert project.run("c").out == "local\n"
    assert project.run("_base_dir").out == f"{project.directory}\n"


def test_the_configuration_and_the_settings_are_json(project: Project) -> None:
    project.write(command("c", "echo ok"))
    settings(project, "environ: {A: b}\n")
    dumped = project.run("_dump_config")
    assert json.loads(dumped.out)["commands"]["c"]["run"] == "echo ok"
    assert dumped.out.count("\n") == 1 < project.run("_dump_config", "--pretty").out.count("\n")
    assert project.run("_dump_config", "x").code == 2
    assert json.loads(project.run("_settings", "--json").out)["environ"]["value"] == {"A": "b"}
