"""When a group with rules ends, and with which code (docs/supervision.md section 8, 9.9 and 9.11)."""

from __future__ import annotations

import re
import signal

import pytest

from integration.ruled import END, STAY, count, finished, group, only, run_recorded, until
from integration.runs import Project, supervise, wait_until
from integration.test_status_records import records

STOP, WAIT, KEEP = "stop-on-failure", "wait-all-successful", "keep-going"
READY = 'touch "$VAGGA_SUBCOMMAND.ready"; '
COPROCESS: dict[str, object] = {"run": "trap 'exit 9' TERM; " + READY + "sleep 600 & wait", "role": "coprocess"}


def last(err: str) -> str:
    return err.splitlines()[-1]


# --- codes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("end", "code"), [("exit 0", 0), ("exit 1", 1), ("kill -9 $$", 137)])
def test_G1_with_a_coprocess_the_first_end_of_the_others_stops_all(project: Project, end: str, code: int) -> None:
    """Supervision 2.1, 8.2: what the coprocess ends with, before or after, is nothing to anybody."""
    children = {
        "a": until("b.ready", "c.ready", "early") + end,
        "b": READY + STAY,
        "c": COPROCESS,
        "d": {"run": "exit 7", "role": "coprocess"},
        "e": {"run": "touch early", "when": {"source": "d", "once": "stopped"}},
    }
    project.write(group(children, mode=STOP, kill_unresponsive_after=600))
    result, found = run_recorded(project, "up")
    assert result.code == code
    assert re.match(r"vagga: a (exited with code|was killed by)", last(result.err)), result.err
    ends = {str(each["name"]): (each["code"], each["cause"]) for each in only(found, "exit") if each["name"] != "e"}
    assert ends == {"a": (code, "first"), "b": (143, "requested"), "c": (9, "requested"), "d": (7, "aside")}


def test_G2_when_all_have_succeeded_the_coprocess_is_stopped(project: Project) -> None:
    """Supervision 8.3."""
    children = {"a": until("c.ready") + "exit 0", "b": until("c.ready") + "exit 0", "c": COPROCESS}
    for mode in (WAIT, KEEP):
        project.write(group(children, mode=mode))
        result = project.run("up")
        assert result.code == 0, result.err
        assert result.seconds < 60
        (project.directory / "c.ready").unlink()


def test_G2_the_first_failure_stops_the_rest_and_the_coprocess(project: Project) -> None:
    children = {"a": "exit 0", "b": until("c.ready", "d.ready") + "exit 3", "c": COPROCESS, "d": READY + STAY}
    project.write(group(children, mode=WAIT))
    result = project.run("up")
    assert result.code == 3
    assert last(result.err).startswith("vagga: b exited with code 3")


@pytest.mark.parametrize("mode", [STOP, WAIT, KEEP])
def test_G3_of_two_that_fail_at_the_same_moment_name_and_code_belong_together(project: Project, mode: str) -> None:
    """Supervision 5.5, with rules."""
    fail = READY + until("go") + 'exit "$CODE"'
    children = {
        "a": {"run": fail, "environ": {"CODE": "3"}},
        "b": {"run": fail, "environ": {"CODE": "4"}},
        "c": COPROCESS,
    }
    project.write(group(children, mode=mode))
    run = project.start("up")
    wait_until(lambda: project.has("a.ready", "b.ready", "c.ready"), "all children run")
    run.signal(signal.SIGSTOP)  # so that it meets both ends in one turn
    (project.directory / "go").touch()
    wait_until(lambda: len(run.inits()) == 1, "two children are gone")
    run.signal(signal.SIGCONT)
    result = run.finish()
    match = re.search(r"vagga: (a|b) exited with code (3|4) after .* vagga exits with (3|4)", result.err)
    assert match, result.err
    assert match[2] == match[3] == str(result.code) == {"a": "3", "b": "4"}[match[1]]


def test_G4_what_others_end_with_when_they_are_stopped_is_nothing(project: Project) -> None:
    """Supervision 2.5: one that would be restarted is not, and its code does not count."""
    trap = "trap 'exit 9' TERM; " + READY + "sleep 600 & wait"
    children = {
        "a": until("b.ready", "c.ready", "d.ready") + "exit 5",
        "b": {"run": "echo x >> runs; " + trap, "restart": {"min-wait": "10ms"}},
        "c": {"run": trap, "once": True},
        "d": COPROCESS,
    }
    project.write(group(children, mode=STOP))
    result = project.run("up")
    assert result.code == 5
    assert last(result.err).startswith("vagga: a exited with code 5")
    assert count(project, "runs") == 1


def test_G5_a_group_that_keeps_going_ends_with_the_code_of_the_first_failure(project: Project) -> None:
    """Supervision 8.5: `b` runs to its end, and more failures change nothing."""
    children = {
        "a": "exit 3",
        "b": until("over") + "echo b is done",
        "c": {"run": "exit 4", "when": {"source": "a", "once": "exit-failed"}},
        "after": {"run": "touch over", "when": {"source": "c", "once": "exit-failed"}},
        "d": {"run": "exit 0"},
    }
    project.write(group(children))
    result, found = run_recorded(project, "up")
    assert (result.code, result.out) == (3, "b is done\n")
    assert last(result.err).startswith("vagga: a exited with code 3"), result.err
    causes = {str(record["name"]): record["cause"] for record in only(found, "exit")}
    assert causes["a"] == "noted"
    assert causes["b"] == causes["d"] == "success"


def test_G5_a_program_that_is_not_there_is_a_failure_among_others(project: Project) -> None:
    """Supervision 8.5, 1.3: it is noted with 127, and the others go on."""
    project.write(group({"a": ["/no/such/program"], "b": "sleep 0.3; echo b is done"}))
    result = project.run("up")
    assert (result.code, result.out) == (127, "b is done\n")


@pytest.mark.parametrize("mode", [STOP, WAIT])
def test_S2_a_program_that_is_not_there_stops_the_others_in_the_other_modes(project: Project, mode: str) -> None:
    """Supervision 1.4, 7.6: with rules, too."""
    project.write(group({"a": ["/no/such/program"], "b": STAY, "c": COPROCESS}, mode=mode))
    result = project.run("up")
    assert result.code == 127
    assert "/no/such/program" in result.err


def test_G6_a_job_that_succeeds_stops_nobody_and_one_that_fails_does(project: Project) -> None:
    """Supervision 8.4, in stop-on-failure."""
    after = {"run": "touch over", "once": True, "when": {"source": "job", "once": "exit-success"}}
    for code, expected in ((0, 5), (2, 2)):
        children = {"job": {"run": f"exit {code}", "once": True}, "after": after, "web": until("over") + "exit 5"}
        project.write(group(children, mode=STOP))
        assert project.run("up").code == expected
        (project.directory / "over").unlink(missing_ok=True)


def test_G6_a_group_of_jobs_is_complete_when_all_have_succeeded(project: Project) -> None:
    jobs = {name: {"run": f"sleep 0.{number}; touch {name}", "once": True} for number, name in enumerate("abc")}
    project.write(group({**jobs, "c2": COPROCESS}, mode=STOP))
    result = project.run("up")
    assert result.code == 0
    assert project.has("a", "b", "c")


# --- who is chosen ----------------------------------------------------------------------------------------------


def test_G7_coprocesses_alone_are_a_group_and_vagga_says_so(project: Project) -> None:
    """Supervision 8.10."""
    children = {"a": "touch a.ran", "b": {"run": until("c.ready") + "exit 3", "role": "coprocess"}, "c": COPROCESS}
    project.write(group(children, mode=STOP))
    result = project.run("up", "--only", "b", "c")
    assert result.code == 3
    assert "only coprocesses are chosen: b, c" in result.err
    assert not project.has("a.ran")


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["--only", "web"], "web"),
        (["--only", "jobs"], "job"),
        (["--only", "web", "jobs"], "job web"),
        (["--exclude", "web"], "job spare"),
        (["--exclude", "jobs", "spare"], "web"),
    ],
)
def test_G8_names_and_tags_choose_children_with_rules(project: Project, words: list[str], out: str) -> None:
    """Supervision 9.11: what `web` waits for is met where `job` is left out, and vagga says so."""
    children = {
        "job": {"run": "echo job", "once": True, "tags": ["jobs"]},
        "web": {"run": "echo web", "depends": [{"process-exited": "job"}], "tags": ["app"]},
        "spare": {"run": "echo spare", "role": "coprocess", "tags": ["app"]},
    }
    project.write(group(children))
    result = project.run("up", *words)
    assert result.code == 0, result.err
    assert set(out.split()) - {"spare"} == set(result.out.split()) - {"spare"}
    left_out = "web" in out and "job" not in out
    assert ("web does not wait for process-exited of job, which is left out" in result.err) == left_out, result.err


def test_G8_nobody_chosen_is_127(project: Project) -> None:
    """Supervision 1.5."""
    project.write(group({"job": {"run": "touch ran", "once": True}, "web": "touch ran"}))
    result = project.run("up", "--exclude", "job", "web")
    assert result.code == 127
    assert not project.has("ran")


def test_G8_an_unknown_name_is_an_error_with_a_hint(project: Project) -> None:
    project.write(group({"job": {"run": "touch ran", "once": True}, "web": "touch ran"}))
    result = project.run("up", "--only", "wen")
    assert result.code == 122
    assert 'did you mean "web"?' in result.err
    assert not project.has("ran")


def test_G8_what_can_only_come_from_one_that_is_left_out_is_left_out(project: Project) -> None:
    """Supervision 9.11: and the hooks of that one, too."""
    children = {
        "web": {"run": "touch ran"},
        "alarm": {"run": "touch ran", "when": {"source": "web", "once": "exit-failed"}},
        "hook": {"run": "touch ran", "when": {"source": "web", "once": "stopping"}},
        "line": {"run": "touch ran", "depends": [{"output-matches": {"child": "web", "text": "x"}}]},
        "other": "echo other",
    }
    project.write(group(children))
    result = project.run("up", "--exclude", "web")
    assert (result.code, result.out) == (0, "other\n"), result.err
    assert not project.has("ran")
    assert "alarm is left out: it waits for exit-failed of web, which is left out" in result.err
    assert "line is left out" in result.err


def test_G8_a_dormant_child_runs_when_it_is_chosen_by_its_name(project: Project) -> None:
    """Supervision 8.7."""
    project.write(group({"web": "echo web", "recover": {"run": "echo recover", "autostart": False}}))
    assert project.run("up").out == "web\n"
    result = project.run("up", "--only", "recover")
    assert (result.code, result.out) == (0, "recover\n"), result.err


def test_G9_two_parts_of_one_group_run_beside_each_other(project: Project) -> None:
    """Each with its own prober, no lock, and nothing of one in the other."""
    web = {"run": "touch web.ready; " + END, "depends": [{"path": "db.ready", "poll": "20ms"}]}
    db = {"run": "touch db.ready; exec sleep 600", "health": {"exec": "test -e db.ready", "interval": "50ms"}}
    project.write(group({"web": web, "db": db}))
    first = project.start("up", "--exclude", "db")
    second = project.start("up", "--only", "db")
    wait_until(lambda: project.has("web.ready"), "the one has what the other makes")
    assert finished(project, first).code == 0
    assert second.process.poll() is None
    second.signal(signal.SIGTERM)
    assert second.finish().code == 143


# --- how long ---------------------------------------------------------------------------------------------------


def test_G10_a_group_of_intervals_alone_lasts_until_it_is_told_to_stop(project: Project) -> None:
    """Supervision 8.1."""
    tick = {"run": "echo x >> ticks; exit 1", "when": {"interval": "100ms"}}
    project.write(group({"tick": tick}))
    run = project.start("up")
    wait_until(lambda: count(project, "ticks") >= 4, "four ticks")
    run.signal(signal.SIGINT)
    assert run.finish().code == 130


def test_G10_a_group_of_intervals_alone_ends_when_their_runs_are_used_up(project: Project) -> None:
    """Supervision 9.4."""
    ticks = {
        name: {"run": f"echo x >> {name}", "when": {"interval": "100ms"}, "timeout": "60s", "restart": {"limit": limit}}
        for name, limit in (("one", 1), ("two", 2))
    }
    project.write(group(ticks))
    result = project.run("up")
    assert result.code == 0, result.err
    assert (count(project, "one"), count(project, "two")) == (2, 3)


def test_G10_beside_a_main_child_an_interval_ends_with_it(project: Project) -> None:
    """Its failures do not count."""
    tick = {"run": "echo x >> ticks; exit 1", "when": {"interval": "50ms"}}
    project.write(group({"tick": tick, "web": "until test $(cat ticks | wc -l) -ge 3; do sleep 0.02; done"}, mode=STOP))
    result = project.run("up")
    assert result.code == 0, result.err


@pytest.mark.parametrize("mode", [STOP, WAIT, KEEP])
def test_G11_a_group_that_waits_for_what_cannot_come_any_more_ends_with_125(project: Project, mode: str) -> None:
    """Supervision 9.9: with the names of those that wait; it does not hang."""
    children = {
        "job": {"run": "sleep 0.1", "once": True},
        "b": {"run": "touch ran", "when": {"source": "job", "once": "exit-failed"}},
        "a": {"run": "touch ran", "when": {"source": "b", "once": "exit-success"}},
        "c": COPROCESS,
    }
    project.write(group(children, mode=mode))
    result, found = run_recorded(project, "up")
    assert result.code == 125
    assert result.seconds < 60
    assert "Nothing can go on: b waits: exit-failed of job; a waits: exit-success of b" in result.err, result.err
    (never,) = only(found, "never-started")
    assert [each["name"] for each in never["waiting"]] == ["b", "a"]  # type: ignore[attr-defined]
    assert not project.has("ran")


@pytest.mark.parametrize(("end", "printed"), [("exit 0", "the epilog\n"), ("exit 1", ""), ("kill $$", "")])
def test_G12_the_epilog_is_printed_only_when_a_group_ends_well(project: Project, end: str, printed: str) -> None:
    """The code of a coprocess is nothing to it."""
    children = {"a": until("c.ready") + end, "b": "exit 0", "c": COPROCESS}
    project.write(group(children, epilog="the epilog\n"))
    assert project.run("up").out == printed


def test_G12_a_banner_that_is_to_come_delays_no_signal(project: Project) -> None:
    web = {"run": READY + STAY, "health": {"exec": "true", "interval": "50ms"}}
    project.write(group({"web": web}, banner="the banner", banner_delay=300))
    run = project.start("up")
    wait_until(lambda: project.has("web.ready"), "the child")
    run.signal(signal.SIGTERM)
    result = run.finish()
    assert result.code == 143
    assert result.seconds < 60
    assert "the banner" not in result.err


def test_G12_a_banner_comes_while_a_child_waits(project: Project) -> None:
    late = {"run": "true", "depends": [{"path": "go", "poll": "20ms"}]}
    project.write(group({"late": late}, banner="the banner", banner_delay=0))
    with records(project, "up") as (run, _):
        assert run.process.stderr is not None
        lines = {run.process.stderr.readline() for _ in range(2)}
        assert b"the banner\n" in lines, lines
        (project.directory / "go").touch()
        assert run.finish().code == 0


@pytest.mark.parametrize("mode", [STOP, KEEP])
def test_G13_a_group_without_children_is_an_error_and_not_a_success(project: Project, mode: str) -> None:
    project.write(supervise("up", {}, mode=mode).replace("children:\n", "children: {}\n"))
    result = project.run("up")
    assert result.code == 126
    assert "'up' has no children" in result.err
