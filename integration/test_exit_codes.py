"""The exit code tells the truth (docs/exit-codes.md, docs/supervision.md section 5)."""

from __future__ import annotations

import re
import signal

import pytest

from integration.runs import Project, command, supervise

WAIT = "wait-all-successful"


@pytest.mark.parametrize("code", [0, 1, 7, 127, 200, 255])
def test_the_exit_code_of_a_command_passes_through(project: Project, code: int) -> None:
    """supervision 5.1."""
    project.write(command("c", f"exit {code}"))
    result = project.run("c")
    assert result.code == code
    assert (result.out, result.err) == ("", "")  # 6.2


@pytest.mark.parametrize("code", [1, 29, 121, 126, 255])
def test_the_exit_code_of_a_child_passes_through(project: Project, code: int) -> None:
    """supervision 5.1."""
    project.write(supervise("up", {"a": f"exit {code}"}))
    assert project.run("up").code == code


def test_the_exit_code_of_a_program_given_to_run_passes_through(project: Project) -> None:
    project.write(command("c", "exit 1"))
    assert project.run("_run", "host", "sh", "-c", "exit 41").code == 41


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGABRT, signal.SIGKILL, signal.SIGTERM])
def test_G1_a_command_that_a_signal_killed_counts_as_128_plus_its_number(
    project: Project, number: signal.Signals
) -> None:
    """supervision 5.1."""
    project.write(command("c", f"ulimit -c 0; kill -{number} $$"))
    assert project.run("c").code == 128 + number


def test_the_last_line_says_who_ended_first_and_how_and_after_how_long(project: Project) -> None:
    """supervision 6.2."""
    project.write(supervise("up", {"a": "sleep 0.2; exit 9", "b": "sleep 600"}))
    result = project.run("up")
    assert result.code == 9
    assert re.search(
        r"^---------- Process a:\d+ exited with code 9\. Shutting down -----------$", result.err, re.MULTILINE
    )
    last = re.fullmatch(
        r"vagga: a exited with code 9 after (\d+\.\d\d) s; vagga exits with 9", result.err.splitlines()[-1]
    )
    assert last
    assert 0.2 <= float(last[1]) < result.seconds
    assert result.out == ""  # 6.1


def test_the_last_line_names_the_signal_that_killed_the_first(project: Project) -> None:
    """supervision 6.2, 5.1."""
    project.write(supervise("up", {"a": "kill -9 $$", "b": "sleep 600"}))
    result = project.run("up")
    assert result.code == 137
    line = r"vagga: a was killed by signal SIGKILL\[9\] after \d+\.\d\d s; vagga exits with 137"
    assert re.fullmatch(line, result.err.splitlines()[-1])


# --- what cannot be started -------------------------------------------------------------------------------------

UNABLE: list[tuple[dict[str, object], int, str]] = [
    ({"run": ["no-such-program"]}, 127, "no-such-program"),
    ({"run": ["/work/no/such/program"]}, 127, "/work/no/such/program"),
    ({"run": ["/work/plain"]}, 126, "/work/plain"),
    ({"run": ["/work"]}, 126, "/work"),
    ({"run": ["/work/empty-binary"]}, 126, "/work/empty-binary"),
    ({"run": ["/work/strange"]}, 127, "/no/such/interpreter"),
    ({"run": "true", "work_dir": "no/such/directory"}, 127, "/work/no/such/directory"),
    ({"run": "true", "work_dir": "plain"}, 127, "/work/plain"),
    ({"run": "exit 3", "volumes": {"/usr/no-such-place": "!Tmpfs"}}, 124, "/usr/no-such-place"),
]


def unable(project: Project, child: dict[str, object]) -> dict[str, object]:
    """Make the files that `UNABLE` speaks of, and return the child with its volumes as YAML wants them."""
    (project.directory / "plain").write_text("not a program")
    for name, text in (("strange", "#!/no/such/interpreter\n"), ("empty-binary", "\0")):
        (project.directory / name).write_text(text)
        (project.directory / name).chmod(0o755)
    return child


def with_volumes(text: str) -> str:
    """Turn the JSON of a volume into its tag."""
    return text.replace('"!Tmpfs"', "!Tmpfs {size: 1Mi}")


@pytest.mark.parametrize(("child", "code", "path"), UNABLE)
def test_S1_a_command_that_cannot_be_started(project: Project, child: dict[str, object], code: int, path: str) -> None:
    """supervision 1.3."""
    run, *_ = unable(project, child).values()
    keys = {key: value for key, value in child.items() if key != "run"}
    project.write(with_volumes(command("c", run, **keys)))
    result = project.run("c")
    assert result.code == code, result.err
    assert path in result.err
    assert len(result.err.splitlines()) == 1, result.err
    assert re.search(r" \[[a-z-]+\]$", result.err), "the name of the error, for docs/errors.md"


@pytest.mark.parametrize("mode", ["stop-on-failure", WAIT])
@pytest.mark.parametrize(("child", "code", "path"), [UNABLE[0], UNABLE[2], UNABLE[6], UNABLE[8]])
def test_S2_one_of_three_cannot_be_started_and_the_others_are_stopped(
    project: Project, mode: str, child: dict[str, object], code: int, path: str
) -> None:
    """supervision 1.3, 1.4."""
    other = "echo $VAGGA_SUBCOMMAND; exec sleep 600"
    text = supervise("up", {"a": unable(project, child), "b": other, "c": other}, mode=mode)
    project.write(with_volumes(text))
    result = project.run("up")
    assert result.code == code, result.err
    assert re.search(r"^---------- Process a could not be run: .*Shutting down -----------$", result.err, re.MULTILINE)
    assert path in result.err
    assert result.err.splitlines()[-1] == f"vagga: a could not be run; vagga exits with {code}"
    assert "Traceback" not in result.err


def test_S2_two_of_three_cannot_be_started(project: Project) -> None:
    """supervision 5.5: the code and the name are of the same child."""
    project.write(supervise("up", {"a": ["/work/plain"], "b": "exec sleep 600", "c": ["no-such-program"]}))
    unable(project, {"run": ""})
    result = project.run("up")
    assert (result.code, result.err.splitlines()[-1]) in (
        (126, "vagga: a could not be run; vagga exits with 126"),
        (127, "vagga: c could not be run; vagga exits with 127"),
    )


# --- what vagga itself refuses ----------------------------------------------------------------------------------

THREE = supervise("up", {"web": "exit 1", "worker": "exit 1", "db": {"run": "exit 1", "tags": ["slow"]}})

REFUSED = [
    (["uo"], 121, '"up"'),
    (["nothing-like-it"], 121, "nothing-like-it"),
    (["_run", "nowhere", "true"], 121, "nowhere"),
    (["--no-such-option", "up"], 122, "--no-such-option"),
    (["up", "--onyl", "web"], 122, "--only"),
    (["up", "--only"], 122, "--only"),
    (["up", "stray"], 122, "stray"),
    (["up", "--only", "wrb"], 122, '"web"'),
    (["up", "--exclude", "slwo"], 122, '"slow"'),
    (["up", "--only", "web", "--exclude", "web"], 127, "no children"),
    (["up", "--only", "slow", "--exclude", "db"], 127, "no children"),
    (["_run", "host", "no-such-program"], 127, "no-such-program"),
]


@pytest.mark.parametrize(("words", "code", "part"), REFUSED)
def test_G8_a_wrong_command_line_is_refused_with_a_hint(
    project: Project, words: list[str], code: int, part: str
) -> None:
    """supervision 1.5, and the codes of docs/exit-codes.md."""
    project.write(THREE)
    result = project.run(*words)
    assert result.code == code, result.err
    assert part in result.err
    assert result.out == ""
    assert "Traceback" not in result.err


def test_vagga_alone_lists_the_commands_on_standard_error_with_code_127(project: Project) -> None:
    project.write(command("c", "exit 1", description="what it does") + THREE)
    result = project.run()
    assert result.code == 127
    assert result.out == ""
    assert re.search(r"^\s*c\s+what it does$", result.err, re.MULTILINE)


@pytest.mark.parametrize(
    "text",
    [
        "containers: [",
        "commands:\n  c: !Command\n    container: nowhere\n    run: x\n",
        "containers:\n  host:\n    setup: [!Host]\ncommands:\n  c: !Supervise\n    children: {}\n",
    ],
)
def test_G13_a_wrong_file_is_refused_with_code_126(project: Project, text: str) -> None:
    (project.directory / "vagga.yaml").write_text(text)
    result = project.run("c")
    assert result.code == 126
    assert re.match(r"\S*vagga\.yaml:\d+:\d+: ", result.err)


def test_without_a_vagga_yaml_the_code_is_126(project: Project) -> None:
    result = project.run("c")
    assert result.code == 126
    assert "vagga.yaml" in result.err


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["up", "--help"], ["--dry-run", "up"]])
def test_what_starts_nothing_ends_with_0(project: Project, words: list[str]) -> None:
    project.write(THREE)
    result = project.run(*words)
    assert result.code == 0, result.err
    assert result.out
