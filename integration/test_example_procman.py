"""examples/procman, as its README says: processes that wait for each other, one for each file, and a watch."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from integration import examples
from integration.examples import Example
from integration.runs import Project


@pytest.fixture
def procman(project: Project) -> Iterator[Example]:
    with examples.example(project, "procman", "DB_PORT", "WEB_PORT") as found:
        yield found


def test_d1_everyone_waits_for_what_it_needs_and_gets_the_value_from_the_file(procman: Example) -> None:
    running = procman.start("run")
    procman.wait_for_page("WEB_PORT", "The web server is here")
    procman.wait_for("node-0 works with nodes/a.conf, schema 7")
    procman.wait_for("node-1 works with nodes/b.conf")
    said = procman.said()
    assert f"the database is http://127.0.0.1:{procman.ports['DB_PORT']}/\n" in said
    assert said.index("migrated\n") < said.index("the database is") < said.index("node-0 works")
    assert procman.page("DB_PORT", "/config.json").startswith('{"database"')
    assert procman.end(running, signal.SIGINT) == 130


def test_d2_a_file_of_the_last_run_is_not_taken_for_one_of_this_run(procman: Example) -> None:
    (procman.directory / "data").mkdir()
    (procman.directory / "data/config.json").write_text('{"database": {"url": "stale"}}')
    running = procman.start("-E", "MIGRATION_TIME=0.5", "run")
    procman.wait_for("the database is")
    assert "stale" not in procman.said()
    assert procman.end(running, signal.SIGINT) == 130


def test_h10_the_recovery_is_spawned_as_often_as_the_watch_fails_anew_and_its_end_stops_nobody(
    procman: Example,
) -> None:
    running = procman.start("run")
    procman.wait_for_page("WEB_PORT", "The web server is here")
    for times in (1, 2):
        procman.wait_for_file("data/alive")
        (procman.directory / "data/alive").unlink()
        procman.wait_for("data/alive is back", times)
        procman.wait_for("alive passes again", times)
    assert "The web server is here" in procman.page("WEB_PORT")
    assert procman.end(running, signal.SIGINT) == 130


def test_a_condition_decides_whether_a_child_is_there(procman: Example) -> None:
    running = procman.start("-E", "REPORT=someone", "run")
    procman.wait_for("reporting to someone")
    assert procman.end(running, signal.SIGINT) == 130
    without = procman.start("run")
    procman.wait_for("report is skipped")
    assert procman.end(without, signal.SIGINT) == 130


def test_a_task_runs_when_it_is_asked_for_only(procman: Example) -> None:
    result = procman.project.run(*procman.options(), "run", "--only", "task")
    assert (result.code, result.out) == (0, "seeded\n")
    running = procman.start("run", "--exclude", "node")
    procman.wait_for_page("WEB_PORT", "The web server is here")
    assert procman.end(running, signal.SIGINT) == 130
    assert "seeded" not in procman.said() and "works with" not in procman.said()


def test_d14_one_more_file_is_one_more_node_and_none_is_an_error(procman: Example) -> None:
    (procman.directory / "nodes/c.conf").touch()
    running = procman.start("run")
    procman.wait_for("node-2 works with nodes/c.conf")
    assert procman.end(running, signal.SIGINT) == 130
    for path in (procman.directory / "nodes").iterdir():
        path.unlink()
    result = procman.project.run(*procman.options(), "run")
    assert result.code == 126
    assert result.err.startswith('vagga: node: nothing in the project matches the glob "nodes/*.conf" of its for-each')


def test_c20_a_child_that_is_left_out_is_not_awaited_and_a_port_that_never_opens_is_given_up(procman: Example) -> None:
    text = (procman.directory / "vagga.yaml").read_text()
    (procman.directory / "vagga.yaml").write_text(
        text.replace("- tcp: 127.0.0.1:$DB_PORT", "- {tcp: '127.0.0.1:$DB_PORT', timeout: 300ms, poll: 100ms}")
    )
    result = procman.project.run(*procman.options(), "run", "--only", "web")
    assert result.code == 125
    assert result.err.startswith("vagga: warning: web does not wait for process-exited of migrate, which is left out")


def test_the_end_of_the_migration_that_fails_is_the_end_of_all(procman: Example) -> None:
    (procman.directory / "data").write_text("not a directory")
    result = procman.project.run(*procman.options(), "run")
    assert result.code == 1
    assert "the database is" not in result.out
