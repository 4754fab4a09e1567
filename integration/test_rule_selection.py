"""`--only`, `--exclude` and tags in a run with rules, `for-each`, variables in checks, and where the output goes."""

from __future__ import annotations

import json

import pytest

from integration.runs import Project, supervise
from integration.terminals import Terminal

SAYS = "echo $VAGGA_SUBCOMMAND $NODE"
ONCE = {"run": SAYS, "once": True}
NODES = {"run": SAYS, "once": True, "for_each": {"values": ["x", "y", "z"], "as": "NODE"}}


def words(text: str) -> list[str]:
    return sorted(text.splitlines())


@pytest.mark.parametrize(
    ("choice", "lines"),
    [
        ([], ["node-0 x", "node-1 y", "node-2 z", "web"]),
        (["--only", "node"], ["node-0 x", "node-1 y", "node-2 z"]),
        (["--only", "node-1", "web"], ["node-1 y", "web"]),
        (["--exclude", "node-0"], ["node-1 y", "node-2 z", "web"]),
        (["--exclude", "node"], ["web"]),
        (["--only", "node", "--exclude", "node-2"], ["node-0 x", "node-1 y"]),
    ],
)
def test_d14_members_are_chosen_by_their_names_or_by_that_of_all(
    project: Project, choice: list[str], lines: list[str]
) -> None:
    project.write(supervise("up", {"web": ONCE, "node": NODES}))
    result = project.run("up", *choice)
    assert result.code == 0, result.err
    assert [line.strip() for line in words(result.out)] == lines


def test_d14_a_member_that_is_not_there_is_named_with_those_that_are(project: Project) -> None:
    project.write(supervise("up", {"web": ONCE, "node": NODES}))
    result = project.run("up", "--only", "node-3")
    assert result.code == 122
    assert '"node-3" is neither a child nor a tag' in result.err


def test_d14_a_glob_is_one_of_the_project_wherever_vagga_is_called_and_links_lead_nowhere(project: Project) -> None:
    for name in ("b.conf", "a.conf"):
        (project.directory / name).touch()
    (project.directory / "out.conf").symlink_to("/etc/hostname")
    (project.directory / "below").mkdir()
    node = {**NODES, "for_each": {"glob": "*.conf", "as": "NODE"}}
    project.write(supervise("up", {"node": node}))
    result = project.run("up", cwd=project.directory / "below")
    assert (result.code, words(result.out)) == (0, ["node-0 a.conf", "node-1 b.conf"])


def test_d14_a_child_that_waits_for_a_family_without_members_starts(project: Project) -> None:
    node = {**NODES, "for_each": {"values": [], "as": "NODE"}}
    last = {"run": "echo last", "once": True, "when": {"source": "node", "once": "exit-success"}}
    project.write(supervise("up", {"node": node, "last": last}))
    result = project.run("up")
    assert (result.code, result.out) == (0, "last\n")


def test_d14_a_family_without_members_is_complete_at_once_also_alone(project: Project) -> None:
    node = {**NODES, "for_each": {"range": "0..0", "as": "NODE"}}
    project.write(supervise("none", {"node": node}) + supervise("up", {"web": ONCE}, prerequisites=["none"]))
    assert project.run("none").code == 0
    result = project.run("up")
    assert (result.code, result.out) == (0, "web\n")


def test_c20_what_is_left_out_is_not_awaited_and_one_warning_says_so(project: Project) -> None:
    web = {"run": SAYS, "once": True, "depends": [{"process_exited": "migrate"}]}
    drain = {"run": SAYS, "when": {"source": "web", "once": "stopping"}}
    alarm = {"run": SAYS, "when": {"source": "migrate", "once": "exit-failed"}}
    project.write(supervise("up", {"migrate": ONCE, "web": web, "drain": drain, "alarm": alarm}))
    result = project.run("up", "--exclude", "migrate")
    assert (result.code, sorted(result.out.split())) == (0, ["drain", "web"])
    assert [line for line in result.err.splitlines() if "[left-out]" in line] == [
        "vagga: warning: alarm is left out: it waits for exit-failed of migrate, which is left out "
        "(choose both, or neither) [left-out]",
        "vagga: warning: web does not wait for process-exited of migrate, which is left out "
        "(see that it runs elsewhere) [left-out]",
    ]


def test_c20_who_is_left_with_nobody_is_told_why(project: Project) -> None:
    alarm = {"run": SAYS, "when": {"source": "web", "once": "exit-failed"}}
    project.write(supervise("up", {"web": ONCE, "alarm": alarm}))
    result = project.run("up", "--only", "alarm")
    assert result.code == 127
    assert "alarm is left out" in result.err
    assert "[no-children]" in result.err


def test_g7_a_coprocess_alone_is_the_main_child_of_its_run(project: Project) -> None:
    proxy = {"run": "echo proxy; exit 7", "role": "coprocess"}
    project.write(supervise("up", {"web": ONCE, "proxy": proxy}))
    assert project.run("up").code == 0
    alone = project.run("up", "--only", "proxy")
    assert (alone.code, alone.out) == (7, "proxy\n")
    assert "only coprocesses are chosen: proxy" in alone.err


@pytest.mark.parametrize("choice", ["seed", "task"])
def test_a_dormant_child_starts_where_it_is_asked_for(project: Project, choice: str) -> None:
    project.write(supervise("up", {"web": ONCE, "seed": {**ONCE, "autostart": False, "tags": ["task"]}}))
    assert project.run("up").out == "web\n"
    assert project.run("up", "--only", choice).out == "seed\n"


# --- variables --------------------------------------------------------------------------------------------------


def test_d11_the_variables_of_each_child_are_those_of_its_checks(project: Project) -> None:
    (project.directory / "there").touch()
    waits = {"run": SAYS, "once": True, "environ": {"F": "there"}, "depends": [{"path": "/work/$F", "retry": False}]}
    project.write(supervise("up", {"web": waits}))
    assert project.run("up").code == 0
    other = project.run("-E", "F=elsewhere", "up")
    assert other.code == 125
    assert "elsewhere" in other.err


def test_d11_a_variable_without_a_value_is_named_before_anything_starts(project: Project) -> None:
    project.write(supervise("up", {"db": ONCE, "web": {**ONCE, "depends": [{"tcp": "localhost:$PORT"}]}}))
    result = project.run("up")
    assert (result.code, result.out) == (126, "")
    assert 'web: "localhost:$PORT" has the variable PORT, which is not set' in result.err
    checked = project.run("_check")
    assert checked.code == 126
    assert "[check-variable]" in checked.out + checked.err
    assert project.run("up", "--only", "db").out == "db\n"


def test_what_was_given_by_e_stays_out_of_the_plan_that_is_shown(project: Project) -> None:
    project.write(supervise("up", {"web": {**ONCE, "depends": [{"http": "http://localhost/$TOKEN"}]}}))
    shown = project.run("-E", "TOKEN=verysecret", "--dry-run", "up")
    assert "verysecret" not in shown.out
    [stage] = json.loads(shown.out)["stages"]
    assert stage["rules"]["children"]["web"]["depends"][0]["check"]["target"] == "http://localhost/(redacted)"


# --- output -----------------------------------------------------------------------------------------------------


def test_without_a_terminal_lines_have_no_prefix_unless_it_is_asked_for(project: Project) -> None:
    project.write(supervise("up", {"web": ONCE, "db": ONCE}))
    assert words(project.run("up").out) == ["db", "web"]
    assert words(project.run("--prefix", "up").out) == ["db  | db", "web | web"]


def test_one_child_with_rules_owns_the_terminal_and_several_write_to_terminals_of_their_own(project: Project) -> None:
    tells = {"run": "test -t 0 && echo stdin; test -t 1 && echo stdout", "once": True}
    project.write(supervise("up", {"web": tells}) + supervise("both", {"web": tells, "db": {**tells, "run": "true"}}))
    with Terminal(project) as terminal:
        terminal.run("up")
        assert terminal.end() == 0
    assert terminal.text.startswith("stdin\nstdout\n")
    for option, line in (("--prefix", "web | stdout\n"), ("--no-prefix", "stdout\n")):
        with Terminal(project) as terminal:
            terminal.run("--color", "never", option, "both")
            assert terminal.end() == 0
        assert line in terminal.text
        assert ("|" in terminal.text) == (option == "--prefix")
        assert "stdin" not in terminal.text


def test_one_child_whose_lines_are_awaited_has_a_terminal_for_its_output_only(project: Project) -> None:
    tells = {"run": "test -t 0 && echo stdin; test -t 1 && echo stdout", "once": True, "ready": {"line": "up"}}
    project.write(supervise("up", {"web": tells}))
    with Terminal(project) as terminal:
        terminal.run("up")
        assert terminal.end() == 0
    assert "stdout" in terminal.text and "stdin" not in terminal.text
