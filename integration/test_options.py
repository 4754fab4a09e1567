"""`options`, `-m`, `_help`, and what is told first: the command line as a user meets it."""

from __future__ import annotations

import pytest

from integration.runs import Project, command, supervise

TEXT = """\
Usage: vagga greet [options] [<name>...]

Options:
  -l, --loud ...     Louder
  -t, --to WHERE     Where to [default: all of us]
"""
SHOW = 'for name in LOUD TO NAME GREET HELP; do eval echo "$name:\\$VAGGAOPT_$name:\\$VAGGACLI_$name"; done; echo $#'
COMMANDS = (
    command("greet", SHOW, options=TEXT, description="Greet them", environ={"VAGGAOPT_TO": "nobody"}, aliases=["g"])
    + command("after", "echo after", prerequisites=["greet"])
    + command("strict", "echo strict", options="Usage: vagga strict <it>\n")
    + command("after-strict", "echo after", prerequisites=["strict"])
    + command("broken", "echo never", options="nothing useful\n")
    + command("fails", "echo fails; exit 3")
    + command("words", ["echo", "words"])
    + supervise(
        "stack",
        {"one": {"run": "echo one $VAGGAOPT_ONLY", "tags": ["t"]}, "two": "echo two"},
        mode="wait-all-successful",
        options="Usage: vagga stack [options]\n\nOptions:\n  --deep  Deeper\n",
    )
    + supervise("plain", {"one": "echo one", "two": "echo two"}, mode="wait-all-successful")
)
NOT_BUILT = """\
containers:
  host:
    setup: [!Host]
  never:
    setup: [!Sh 'exit 1']
"""
USAGE = "\nUsage: vagga greet [options] [<name>...]\n"


@pytest.fixture
def ready(project: Project) -> Project:
    project.write(COMMANDS)
    return project


def test_arguments_become_variables_and_the_program_gets_none(ready: Project) -> None:
    ran = ready.run("g", "-ll", "you", "and me", "--to=a_b")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "LOUD:2:--loud --loud",
        "TO:a_b:--to 'a_b'",
        "NAME:you and me: you 'and me'",
        "GREET:true:greet",
        "HELP::",
        "0",
    ]


def test_a_prerequisite_reads_an_empty_command_line(ready: Project) -> None:
    ran = ready.run("after")
    assert ran.code == 0
    assert ran.out.splitlines()[1:3] == ["TO:all of us:--to 'all of us'", "NAME::"]
    refused = ready.run("after-strict")
    assert (refused.code, refused.out) == (121, "")
    assert refused.err.startswith("vagga: Invalid arguments: something is missing")
    assert ready.run("--no-prerequisites", "after-strict").out == "after\n"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--bad-arg",), "Unknown flag: '--bad-arg' (vagga greet --help says more)"),
        (("--to",), "Expected argument for flag '--to' but reached end of arguments (vagga greet --help says more)"),
    ],
)
def test_a_wrong_command_line_is_121_with_the_usage(ready: Project, words: tuple[str, ...], text: str) -> None:
    ran = ready.run("greet", *words)
    assert (ran.code, ran.out, ran.err) == (121, "", f"vagga: {text} [command-usage]\n{USAGE}")


def test_a_text_that_cannot_be_understood_is_121(ready: Project) -> None:
    ran = ready.run("broken")
    assert (ran.code, ran.out) == (121, "")
    assert ran.err.startswith('vagga: Error parsing `options` in command "broken": ')


def test_help_comes_before_any_build(project: Project) -> None:
    project.write(
        command("with", "true", container="never", options="Usage: vagga with\n")
        + command("without", "true", container="never", description="Never built")
        + supervise("both", {"one": {"run": "true", "container": "never"}}),
        NOT_BUILT,
    )
    for name in ("with", "without", "both"):
        for words in ((name, "--help"), (name, "-h"), ("_help", name)):
            ran = project.run(*words)
            assert (ran.code, ran.err) == (0, "")
            assert f"vagga {name}" in ran.out


def test_children_are_chosen_by_the_options_of_a_supervise_command(ready: Project) -> None:
    ran = ready.run("stack", "--deep", "--only", "t")
    assert ran.code == 0
    assert "one t\n" in ran.out
    assert "two\n" not in ran.out
    assert ready.run("stack", "--only", "nobody").code == 122
    assert ready.run("stack", "--exclude", "one", "--exclude=two").code == 127
    assert "--only <tag> ..." in ready.run("stack", "--help").out


# --- several commands -------------------------------------------------------------------------------------------


def test_run_multi_runs_commands_in_their_order_until_one_fails(ready: Project) -> None:
    assert ready.run("-m", "words", "words").out == "words\nwords\n"
    ran = ready.run("-m", "words", "fails", "words")
    assert (ran.code, ran.out) == (3, "words\nfails\n")


def test_run_multi_runs_prerequisites_unless_it_is_told_not_to(ready: Project) -> None:
    assert ready.run("-m", "words", "after").out.splitlines()[-1] == "after"
    assert "LOUD::" in ready.run("-m", "words", "after").out
    assert ready.run("--no-prerequisites", "-m", "words", "after").out == "words\nafter\n"


def test_run_multi_knows_aliases_and_checks_all_commands_before_the_first_runs(ready: Project) -> None:
    assert ready.run("-m", "g").code == 0
    ran = ready.run("-m", "words", "wrods")
    assert (ran.code, ran.out) == (121, "")
    assert ran.err.startswith('vagga: Command "wrods" not found and is not an alias')
    strict = ready.run("-m", "words", "strict")
    assert (strict.code, strict.out) == (121, "")


def test_run_multi_takes_supervise_commands_too(ready: Project) -> None:
    ran = ready.run("-m", "plain", "words")
    assert ran.code == 0
    assert {"one", "two", "words"} <= set(ran.out.split())


def test_containers_only_runs_nothing(ready: Project) -> None:
    ran = ready.run("--containers-only", "-m", "words", "fails")
    assert (ran.code, ran.out) == (0, "")


# --- help and lists ---------------------------------------------------------------------------------------------


def test_help_without_a_name_is_the_list_of_commands(ready: Project) -> None:
    bare, helped = ready.run(), ready.run("_help")
    assert (helped.code, helped.out, helped.err) == (127, "", bare.err)
    assert (bare.code, bare.out) == (127, "")


def test_help_shows_a_built_in_command_or_one_of_the_project(ready: Project) -> None:
    assert ready.run("_help", "_run").out == ready.run("_run", "--help").out
    assert ready.run("_help", "greet").out == ready.run("greet", "--help").out
    assert ready.run("_help", "g").out == ready.run("greet", "--help").out
    assert ready.run("_help", "words").out.startswith("Usage:\n  vagga words [ARGUMENTS ...]\n")
    unknown = ready.run("_help", "wrods")
    assert (unknown.code, unknown.out) == (121, "")
    assert ready.run("_help", "words", "more").code == 122


def test_built_in_commands_help_where_the_project_is_broken(project: Project) -> None:
    (project.directory / "vagga.yaml").write_text("commands: [\n")
    for words in (("_help", "_list"), ("_help", "--help"), ("_completion", "bash"), ("--help",), ("--version",)):
        assert project.run(*words).code == 0
    unknown = project.run("_help", "_lsit")
    assert (unknown.code, 'did you mean "_list"?' in unknown.err) == (121, True)


# --- what is told first -----------------------------------------------------------------------------------------


def test_that_there_is_no_project_is_told_before_a_wrong_option(project: Project) -> None:
    assert project.run("--nonsense").code == 126
    project.write(command("words", ["echo", "words"]))
    assert project.run("--nonsense").code == 122
    assert project.run("-e", "A=1", "words").code == 126
    assert project.run("--nonsense", "-f", "nowhere.yaml").code == 122


def test_a_command_that_comes_later_says_so(ready: Project) -> None:
    ran = ready.run("_capsule", "run")
    assert (ran.code, ran.out) == (121, "")
    assert "_capsule is known but not available in this version" in ran.err


def test_a_command_of_the_project_may_have_a_name_that_comes_later(project: Project) -> None:
    project.write(command("_schema", ["echo", "mine"]))
    assert project.run("_schema").out == "mine\n"
