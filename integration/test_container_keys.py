"""Keys of containers when something is run in them: variables, files of the host, ids, shells, data, old roots."""

from __future__ import annotations

import os

import pytest

from integration.builds import ROOT, SINGLE, container, containers, root, small, version
from integration.runs import HOST, Project, Result, can_nest, has_ranges, need

__all__ = ["small"]

PLACES = "[/data, /bin, /dev, /proc, /run, /sys, /tmp, /work]"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run(project: Project, *steps: str, text: str = "env", more: str = "", **keys: str) -> Result:
    """Run a shell in a container of some steps and keys. `more`: further lines of the command."""
    made = containers(container("c", ROOT, *steps, **keys), HOST.removeprefix("containers:\n"))
    project.write(f"  x: !Command\n    container: c\n    run: {text!r}\n{more}", made)
    return project.run("x")


def variables(result: Result) -> dict[str, str]:
    assert result.code == 0, result.err
    return {name: value for name, _, value in (line.partition("=") for line in result.out.splitlines())}


# --- variables ----------------------------------------------------------------------------------------------------

FILE = '!Text {/etc/own: "# a comment\\n\\nFROM_FILE=file\\nQUOTED=\\"two words\\"\\nBOTH=file\\nEMPTY=\\n  # more\\n"}'


def test_a_built_container_has_the_variables_of_its_file_its_own_and_those_of_the_command(small: Project) -> None:
    small.environ["VAGGAENV_PASSED"] = "1"
    small.environ["OUTER"] = "never"
    found = variables(
        run(
            small,
            FILE,
            environ_file="/etc/own",
            environ="{BOTH: container, C: container, PATH_OF: '1'}",
            more="    environ: {C: command}\n",
        )
    )
    expected = {"FROM_FILE": "file", "QUOTED": "two words", "BOTH": "container", "EMPTY": "", "C": "command"}
    assert {name: found.get(name) for name in expected} == expected
    assert (found["PATH"], found["HOME"], found["TERM"], found["PASSED"]) == (PATH, "/tmp", "dumb", "1")
    assert "OUTER" not in found


def test_the_file_wins_over_what_vagga_sets_and_the_container_over_the_file(small: Project) -> None:
    small.environ["http_proxy"] = "http://caller:1"
    file = '!Text {/etc/own: "PATH=/bin:/file\\nHOME=/home\\nhttp_proxy=http://file:1\\n"}'
    found = variables(run(small, file, environ_file="/etc/own", environ=f"{{PATH: '{PATH}'}}"))
    assert (found["PATH"], found["HOME"], found["http_proxy"]) == (PATH, "/home", "http://file:1")


def test_proxies_are_passed_unless_the_settings_say_no(small: Project) -> None:
    small.environ["http_proxy"] = "http://caller:1"
    assert variables(run(small))["http_proxy"] == "http://caller:1"
    small.environ["VAGGA_SETTINGS"] = "proxy-env-vars: false"
    assert "http_proxy" not in variables(run(small))


@pytest.mark.parametrize(
    ("file", "cause"),
    [
        ("/etc/none", "No such file or directory"),
        ("/etc", "Is a directory"),
        ("/etc/bad", "line 2 is no NAME=VALUE"),
    ],
)
def test_a_file_of_variables_that_cannot_be_read_is_one_line(small: Project, file: str, cause: str) -> None:
    result = run(small, '!Text {/etc/bad: "A=1\\nnothing\\n"}', environ_file=file)
    assert result.code == 124
    (line,) = [line for line in result.err.splitlines() if "[environ-file]" in line]
    assert f"environ-file {file} of container c: {cause}" in line


def test_a_file_of_variables_is_never_read_through_a_link_out_of_the_root(small: Project) -> None:
    (small.directory / "secret").write_text("SECRET=1\n")
    steps = f"!Sh 'ln -s {small.directory}/secret /etc/own; ln -s ../../../../../../../etc/passwd /etc/up'"
    result = run(small, steps, environ_file="/etc/own")
    assert result.code == 124 and "[environ-file]" in result.err
    assert run(small, steps, environ_file="/etc/up").code == 124


def test_a_file_of_variables_in_the_project_is_read(small: Project) -> None:
    (small.directory / ".env").write_text("A=project\n")
    assert variables(run(small, environ_file="/work/.env"))["A"] == "project"


def host(project: Project, file: str) -> Result:
    project.write(
        "  x: !Command {container: host, run: [env]}\n",
        f"containers:\n  host:\n    setup: [!Host]\n    environ-file: {file}\n    environ: {{B: container}}\n",
    )
    return project.run("x")


def test_a_host_container_has_a_file_of_variables_too(project: Project) -> None:
    (project.directory / "own").write_text("# comment\n\nA=file\nB=file\nHOME=/file\n")
    found = variables(host(project, "/work/own"))
    assert (found["A"], found["B"], found["HOME"], found["PATH"]) == ("file", "container", "/file", PATH)


def test_a_host_container_has_no_file_of_variables_that_it_cannot_see(project: Project) -> None:
    own = project.home / "own"
    own.write_text("A=file\n")
    (project.directory / "link").symlink_to(own)
    for file in (str(own), "/work/link", "/proc/self/environ", "/dev/null"):
        result = host(project, file)
        assert result.code == 124, file
        assert result.err.endswith("No such file or directory (name a file that it sees) [environ-file]\n"), result.err


# --- files of the host --------------------------------------------------------------------------------------------


def test_the_hosts_files_are_seen_read_only_at_their_usual_places(small: Project) -> None:
    text = "cat /etc/hosts; echo x >> /etc/hosts || echo refused; test -f /etc/resolv.conf && echo there"
    result = run(small, "!Text {/etc/hosts: own, /etc/resolv.conf: own}", text=text)
    assert result.code == 0, result.err
    with open("/etc/hosts", encoding="utf-8") as file:
        assert result.out == file.read() + "refused\nthere\n"


def test_the_hosts_files_are_seen_elsewhere_or_nowhere(small: Project) -> None:
    text = "cat /etc/hosts; cat /etc/resolv.conf; cat /names"
    keys = {"hosts_file_path": "/names", "resolv_conf_path": "~"}
    result = run(small, '!Text {/etc/hosts: "own\\n", /etc/resolv.conf: "mine\\n", /names: ""}', text=text, **keys)
    assert result.code == 0, result.err
    with open("/etc/hosts", encoding="utf-8") as file:
        assert result.out == "own\nmine\n" + file.read()


def test_a_volume_wins_over_a_file_of_the_host(small: Project) -> None:
    (small.directory / "names").write_text("volume\n")
    result = run(
        small,
        "!Text {/etc/hosts: own}",
        text="cat /etc/hosts",
        more="    volumes: {/etc/hosts: !BindRO /work/names}\n",
    )
    assert (result.code, result.out) == (0, "volume\n"), result.err


# --- ids ----------------------------------------------------------------------------------------------------------


def test_the_default_ranges_never_fail_however_few_ids_there_are(small: Project) -> None:
    need(can_nest(), "unshare")
    made = containers(container("c", ROOT), container("d", ROOT, uids="[0-65535]", gids="[0-65535]"))
    small.write("  x: !Command {container: c, run: [id, -u]}\n  y: !Command {container: d, run: [id, -u]}\n", made)
    for name in ("x", "y"):
        result = small.run(name, under=SINGLE)
        assert (result.code, result.out) == (0, "0\n"), result.err


@pytest.mark.parametrize("key", ["uids", "gids"])
def test_ids_that_are_asked_for_and_not_there_are_one_line(small: Project, key: str) -> None:
    need(can_nest(), "unshare")
    small.write(
        "  x: !Command {container: c, run: [id]}\n", containers(container("c", ROOT, **{key: "[0-10, 1000-1999]"}))
    )
    for words in (("x",), ("_run", "c", "id"), ("_build", "c")):
        result = small.run(*words, under=SINGLE)
        assert result.code == 124, result.err
        assert result.err.startswith(
            f"vagga: container c: `{key}` has 0-10, and this run has no id 1, only 0 (ask for less, or give the account"
        )
        assert result.err.endswith("[ids-missing]\n") and result.err.count("\n") == 1


def test_ids_that_are_asked_for_and_there_are_had(small: Project) -> None:
    need(has_ranges(), "the caller has one id only")
    result = run(small, text="id -u", uids="[0-10, 1000-1999]", gids="[0-5]", more="    user-id: 1500\n")
    assert (result.code, result.out) == (0, "1500\n"), result.err


# --- shells, data, old roots --------------------------------------------------------------------------------------


def test_another_shell_runs_a_text_and_gets_the_arguments(small: Project) -> None:
    shell = '[/bin/sh, -c, "echo mine; eval \\"$0\\"; shift; echo $@", $cmdline, x]'
    result = run(small, text="echo text", default_shell=shell, more="    accepts-arguments: true\n")
    assert (result.code, result.out.split()) == (0, ["mine", "text"]), result.err
    assert small.run("x", "a", "b").out.split() == ["mine", "text", "a", "b"]


def test_a_shell_that_is_not_there_is_told(small: Project) -> None:
    result = run(small, default_shell="[/bin/zsh, -c, $cmdline]")
    assert result.code == 127
    assert "program /bin/zsh is not found in the container" in result.err


def test_a_container_for_data_warns_when_something_is_run_in_it(small: Project) -> None:
    result = run(small, "!Sh 'mkdir /data; echo x > /data/x'", text="cat /data/x", data_dirs=PLACES)
    line = "vagga: container c is for data (data-dirs): it may have no programs\n"
    assert (result.code, result.out, result.err.count(line)) == (0, "x\n", 1)
    small.write(
        "  y: !Command {container: e, run: [cat, /d/data/x], volumes: {/d: !Container c}}\n",
        containers(
            container("c", ROOT, "!Sh 'mkdir /data; echo x > /data/x'", data_dirs="[/data]"),
            container("e", ROOT, "!EnsureDir /d"),
        ),
    )
    result = small.run("y")
    assert (result.code, result.out) == (0, "x\n"), result.err
    assert "is for data" not in result.err


def test_with_auto_clean_the_root_before_goes_also_when_the_new_one_was_there(small: Project) -> None:
    def versions() -> list[str]:
        return sorted(path.name for path in version(small).parent.iterdir() if not path.name.startswith("."))

    one, two = "!Text {/v: one}", "!Text {/v: two}"
    assert run(small, one, text="cat /v").out == "one"
    assert run(small, two, text="cat /v").out == "two"
    assert len(versions()) == 2
    assert run(small, one, text="cat /v", auto_clean="true").out == "one"
    assert versions() == [version(small).name]
    assert run(small, two, text="cat /v", auto_clean="true").out == "two"
    assert versions() == [version(small).name]
    small.environ["VAGGA_SETTINGS"] = "disable-auto-clean: true"
    assert run(small, one, text="cat /v", auto_clean="true").out == "one"
    assert len(versions()) == 2


def test_a_root_is_read_only_and_the_home_of_the_caller_is_not_in_it(small: Project) -> None:
    result = run(small, text=f"touch /x || echo refused; ls -d {os.path.expanduser('~')} {small.home} || echo none")
    assert "refused" in result.out and "none" in result.out
    assert not (root(small) / "x").exists()
