"""The environment of a child is exactly what the plan says, and so are its words and limits."""

from __future__ import annotations

import json
import os
import resource

import pytest

from integration.runs import HOST, Project, command, supervise

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHOW = [
    "python3",
    "-c",
    "import json, os; print(json.dumps([(os.fsencode(k).hex(), os.fsencode(v).hex()) for k, v in os.environ.items()]))",
]


def environ(text: str) -> dict[str, str]:
    """Return the environment that `SHOW` printed."""
    pairs = json.loads(text)
    return {os.fsdecode(bytes.fromhex(name)): os.fsdecode(bytes.fromhex(value)) for name, value in pairs}


def run(project: Project, *words: str, caller: dict[str, str] | None = None) -> dict[str, str]:
    result = project.run(*words, environ=caller or {})
    assert result.code == 0, result
    found = environ(result.out)
    if found.get("LC_CTYPE") == "C.UTF-8":
        del found["LC_CTYPE"]  # Python sets it by itself in the C locale.
    return found


def test_nothing_of_the_caller_comes_in_but_the_terminal_type(project: Project) -> None:
    project.write(command("c", SHOW))
    caller = {
        "SECRET": "x",
        "LD_PRELOAD": "",
        "PYTHONHASHSEED": "1",
        "TERM": "xterm-256color",
        "USER": "u",
        "SHELL": "s",
    }
    assert run(project, "c", caller=caller) == {"TERM": "xterm-256color", "PATH": PATH, "HOME": "/tmp"}


def test_the_plan_tells_the_environment_that_the_child_gets(project: Project) -> None:
    containers = HOST + "    environ: {A: container, B: container}\n"
    project.write(supervise("c", {"child": {"run": SHOW, "environ": {"B": "command"}}}), containers)
    words = ("-E", "C=given", "-e", "COPIED")
    caller = {"COPIED": "1", "VAGGAENV_D": "passed", "http_proxy": "http://proxy:1"}
    plan = json.loads(project.run("-E", "X=1", "--dry-run", "c", environ=caller).out)
    planned = plan["stages"][0]["children"][0]["launch"]["program"]["environ"]
    found = run(project, *words, "c", caller=caller)
    expected = {**planned, "C": "given", "COPIED": "1"}
    del expected["X"]
    assert found == expected
    assert (found["A"], found["B"], found["D"]) == ("container", "command", "passed")
    assert (found["VAGGA_COMMAND"], found["VAGGA_SUBCOMMAND"]) == ("c", "child")


@pytest.mark.parametrize(
    "value", ["", "a=b=c", "two\nlines", "tab\tand \\ $HOME `x` \"q\" 'q'", "ünïcödé ✓", "  blanks  "]
)
def test_N1_any_text_is_a_value(project: Project, value: str) -> None:
    project.write(command("c", SHOW, environ={"IN_FILE": value}))
    found = run(
        project, "-E", f"GIVEN={value}", "-e", "COPIED", "c", caller={"VAGGAENV_PASSED": value, "COPIED": value}
    )
    assert [found[name] for name in ("IN_FILE", "GIVEN", "PASSED", "COPIED")] == [value] * 4


def test_N1_bytes_that_are_no_text_pass_through(project: Project) -> None:
    project.write(command("c", SHOW))
    value = os.fsdecode(b"\xff\xfe z")
    assert run(project, "-E", f"G={value}", "c", caller={"VAGGAENV_P": value}) == {
        "TERM": "dumb",
        "PATH": PATH,
        "HOME": "/tmp",
        "G": value,
        "P": value,
    }


def test_a_removed_variable_does_not_come_from_the_caller(project: Project) -> None:
    project.write(command("c", SHOW))
    assert "X" not in run(project, "-E", "X", "c", caller={"VAGGAENV_X": "1"})


def test_N2_the_command_wins_over_the_container_and_the_command_line_over_both(project: Project) -> None:
    containers = HOST + "    environ: {A: container, B: container, C: container, D: container}\n"
    project.write(command("c", SHOW, environ={"B": "command", "C": "command", "D": "command"}), containers)
    found = run(project, "-E", "D=line", "c", caller={"VAGGAENV_C": "passed", "VAGGAENV_D": "passed"})
    assert [found[name] for name in "ABCD"] == ["container", "command", "passed", "line"]


def test_path_and_home_can_be_set(project: Project) -> None:
    project.write(command("c", ["/usr/bin/env"], environ={"PATH": "/x", "HOME": "/work", "TERM": "vt100"}))
    assert sorted(project.run("c").out.splitlines()) == ["HOME=/work", "PATH=/x", "TERM=vt100"]


def test_a_program_is_looked_up_in_the_path_that_it_will_have(project: Project) -> None:
    tools = project.directory / "tools"
    tools.mkdir()
    (tools / "vagga-tool").write_text("#!/bin/sh\necho found $1\n")
    (tools / "vagga-tool").chmod(0o755)
    project.write(command("c", ["vagga-tool", "it"], environ={"PATH": "relative::/nowhere:/work/tools:/bin"}))
    assert project.run("c").out == "found it\n"


def test_a_program_in_the_current_directory_is_not_found_by_an_empty_path_entry(project: Project) -> None:
    (project.directory / "vagga-tool").write_text("#!/bin/sh\n")
    (project.directory / "vagga-tool").chmod(0o755)
    project.write(command("c", ["vagga-tool"], environ={"PATH": ":.:/bin"}))
    assert project.run("c").code == 127


def test_words_arrive_as_they_are(project: Project) -> None:
    words = ["", "two words", "$HOME", "a\nb", "ü", "-x", "*"]
    show = "import json, sys; print(json.dumps(sys.argv[1:]))"
    project.write(command("c", ["python3", "-c", show, *words]))
    assert json.loads(project.run("c", "--", "more", "-v").out)[-2:] == ["more", "-v"]
    assert json.loads(project.run("c").out) == words


def test_a_shell_command_gets_arguments_from_1_upwards(project: Project) -> None:
    project.write(command("c", 'echo "$0" "$1" "$2" $#', accepts_arguments=True))
    assert project.run("c", "a b", "c").out == "-- a b c 2\n"


def test_a_large_environment_and_command_line_arrive(project: Project) -> None:
    values = {f"V{number}": "x" * 100_000 for number in range(8)}
    project.write(command("c", SHOW))
    caller = {f"VAGGAENV_{name}": value for name, value in values.items()}
    found = run(project, "c", *["y" * 100_000] * 4, caller=caller)
    assert {name: value for name, value in found.items() if name.startswith("V")} == values


def test_one_text_that_is_too_long_for_the_kernel_is_126(project: Project) -> None:
    project.write(command("c", ["true"], environ={"V": "x" * 140_000}))
    result = project.run("c")
    assert (result.code, result.err.count("\n")) == (126, 1)
    assert "the argument list is too long" in result.err


def test_children_get_the_callers_own_limit_of_open_files(project: Project) -> None:
    text = "ulimit -Sn; ulimit -Hn"
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    project.write(command("c", text) + supervise("many", {f"c{n}": "ulimit -Sn" for n in range(3)}, mode=ALL))
    limit = ("sh", "-c", 'ulimit -Sn 345; exec "$@"', "sh")
    assert project.run("c", under=limit).out.split() == ["345", "unlimited" if hard == -1 else str(hard)]
    assert project.run("many", under=limit).out.split() == ["345"] * 3


ALL = "wait-all-successful"
