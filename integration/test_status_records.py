"""`--status-fd N`: a line of JSON for each thing that happens, for programs (docs/supervision.md 6.7 to 6.9)."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from integration.runs import PATIENCE, Project, Result, Running, alive, command, supervise, wait_until

Record = dict[str, object]
WAIT = "wait-all-successful"


@contextmanager
def records(project: Project, *words: str, started: bool = False) -> Iterator[tuple[Running, list[Record]]]:
    """Start a run; at the end of the block its records are in the list. `started`: the first is waited for."""
    found: list[Record] = []
    read, write = os.pipe()
    with open(read) as file:
        run = project.start("--status-fd", str(write), *words, pass_fds=[write])
        os.close(write)
        if started:
            assert select.select([file], [], [], PATIENCE)[0], "no record"
            found.append(json.loads(file.readline()))
        yield run, found
        found += [json.loads(line) for line in file]


def run_recorded(project: Project, *words: str) -> tuple[Result, list[Record]]:
    with records(project, *words) as (run, found):
        result = run.finish()
    return result, found


def only(found: list[Record], event: str) -> list[Record]:
    return [record for record in found if record["event"] == event]


def test_a_whole_run_in_records(project: Project) -> None:
    """supervision 6.7, 6.8, 6.9."""
    ready = "until test -e a.ready -a -e b.ready; do sleep 0.01; done; "
    children = {"a": "touch a.ready; exec sleep 60", "b": "touch b.ready; " + ready + "exit 3"}
    project.write(supervise("up", children))
    begun = time.clock_gettime(time.CLOCK_REALTIME)
    result, found = run_recorded(project, "up")
    assert result.code == 3
    assert sorted(str(record["name"]) for record in only(found, "start")) == ["a", "b"]
    assert [record["event"] for record in found][2:] == ["exit", "exit", "finish"]
    first, requested = only(found, "exit")
    assert (first["name"], first["code"], first["signal"], first["cause"]) == ("b", 3, None, "first")
    assert (requested["name"], requested["signal"], requested["cause"]) == ("a", "SIGTERM", "requested")
    assert requested["code"] == 143
    finish = found[-1]
    assert (finish["code"], finish["cause"], finish["name"]) == (3, "exit", "b")
    times = [record["time"] for record in found]
    assert times == sorted(times, key=float)  # type: ignore[arg-type]  # numbers, as the next line shows
    assert all(isinstance(each, float) and begun - 1 < each < begun + 300 for each in times)


def test_the_pids_are_those_of_the_children(project: Project) -> None:
    """supervision 6.7."""
    project.write(supervise("up", {"a": "touch ready; exec sleep 60"}))
    with records(project, "up", started=True) as (run, found):
        wait_until(lambda: project.has("ready"), "a runs")
        inits = run.inits()
        run.signal(signal.SIGTERM)
        run.finish()
    assert {record["pid"] for record in only(found, "start")} == set(inits)
    assert [record["pid"] for record in only(found, "exit")] == inits


def test_success_of_all_in_records(project: Project) -> None:
    """supervision 6.8, 6.9."""
    project.write(supervise("up", {"a": "exit 0", "b": "exit 0"}, mode=WAIT))
    result, found = run_recorded(project, "up")
    assert result.code == 0
    assert [record["cause"] for record in only(found, "exit")] == ["success", "success"]
    assert (found[-1]["event"], found[-1]["code"], found[-1]["cause"]) == ("finish", 0, "completed")


def test_a_child_that_cannot_be_started_in_records(project: Project) -> None:
    """supervision 6.8, 6.9."""
    project.write(supervise("up", {"a": ["no-such-program"]}))
    _, found = run_recorded(project, "up")
    (end,) = only(found, "exit")
    assert (end["name"], end["code"], end["signal"], end["cause"]) == ("a", 127, None, "not-started")
    assert "no-such-program" in str(end["why"])
    assert (found[-1]["code"], found[-1]["cause"], found[-1]["name"]) == (127, "not-started", "a")
    assert not only(found, "start")


def test_signals_and_the_deadline_in_records(project: Project) -> None:
    """supervision 6.7, 6.9."""
    project.write(
        supervise("up", {"a": "trap '' TERM; touch ready; while :; do sleep 60; done"}, kill_unresponsive_after=1)
    )
    with records(project, "up", started=True) as (run, found):
        wait_until(lambda: project.has("ready"), "a runs")
        run.signal(signal.SIGTERM)
        assert run.finish().code == 143
    assert [record["event"] for record in found] == ["start", "signal", "still-alive", "exit", "finish"]
    _, signalled, still, end, finish = found
    assert (signalled["signal"], signalled["stopping"], signalled["killing"]) == ("SIGTERM", False, False)
    assert (still["names"], still["seconds"]) == (["a"], 1)
    assert (end["signal"], end["code"], end["cause"]) == ("SIGKILL", 137, "requested")
    assert (finish["code"], finish["cause"], finish["signal"]) == (143, "signal", "SIGTERM")


def test_the_loss_of_the_spawner_in_records(project: Project) -> None:
    """supervision 6.7, 6.9."""
    project.write(supervise("up", {"a": "touch ready; exec sleep 60"}))
    with records(project, "up", started=True) as (run, found):
        wait_until(lambda: project.has("ready"), "a runs")
        os.kill(run.spawner(), signal.SIGKILL)
        assert run.finish().code == 124
    assert [record["event"] for record in found] == ["start", "spawner-lost", "exit", "finish"]
    assert (found[-1]["code"], found[-1]["cause"]) == (124, "spawner-lost")


def test_a_single_command_and_each_prerequisite_have_records(project: Project) -> None:
    """supervision 6.7: one finish for each command of the run, in their order."""
    project.write(command("first", "exit 0") + command("c", "exit 4", prerequisites=["first"]))
    result, found = run_recorded(project, "c")
    assert result.code == 4
    assert [(record["event"], record.get("name")) for record in found] == [
        ("start", "first"),
        ("exit", "first"),
        ("finish", "first"),
        ("start", "c"),
        ("exit", "c"),
        ("finish", "c"),
    ]


def test_records_come_when_things_happen_not_at_the_end(project: Project) -> None:
    """supervision 6.7."""
    project.write(supervise("up", {"a": "until test -e go; do sleep 0.01; done"}))
    read, write = os.pipe()
    with open(read) as file:
        run = project.start("--status-fd", str(write), "up", pass_fds=[write])
        os.close(write)
        assert select.select([file], [], [], PATIENCE)[0], "no record"
        assert json.loads(file.readline())["event"] == "start"
        (project.directory / "go").touch()
        assert select.select([file], [], [], PATIENCE)[0], "no record"
        assert json.loads(file.readline())["event"] == "exit"
        assert run.finish().code == 0


def test_a_reader_that_is_gone_is_no_reason_to_stop(project: Project) -> None:
    project.write(supervise("up", {"a": "exit 5"}))
    read, write = os.pipe()
    os.close(read)
    result = project.run("--status-fd", str(write), "up", pass_fds=[write])
    os.close(write)
    assert result.code == 5
    assert result.err.splitlines()[-1].startswith("vagga: a exited with code 5")


@pytest.mark.parametrize("fd", ["3", "4", "5", "6", "7", "8", "100", "999999"])
def test_a_descriptor_that_is_not_open_is_a_usage_error(project: Project, fd: str) -> None:
    """Also one of those that vagga itself opens."""
    project.write(command("c", "touch ran"))
    result = project.run("--status-fd", fd, "c")
    assert result.code == 122, result.err
    assert "[status-fd]" in result.err
    assert not project.has("ran")


@pytest.mark.parametrize("word", ["", "x", "-1", "1.5", "99999999999999999999", "٣"])
def test_what_is_not_a_number_is_a_usage_error(project: Project, word: str) -> None:
    project.write(command("c", "touch ran"))
    result = project.run("--status-fd", word, "c")
    assert result.code == 122
    assert "--status-fd" in result.err
    assert not project.has("ran")


def test_a_descriptor_that_cannot_be_written_is_a_usage_error(project: Project) -> None:
    project.write(command("c", "touch ran"))
    read, write = os.pipe()
    result = project.run("--status-fd", str(read), "c", pass_fds=[read])
    os.close(read)
    os.close(write)
    assert result.code == 122, result.err
    assert not project.has("ran")


def test_a_reader_that_does_not_read_holds_nothing_up_and_gets_the_rest_later(project: Project) -> None:
    """A full pipe: the children are looked after all the same."""
    project.write(supervise("up", {"a": "touch ready; exec sleep 60"}))
    read, write = os.pipe()
    os.set_blocking(write, False)
    fill = 0
    with suppress(BlockingIOError):
        while True:
            fill += os.write(write, b"x" * 4096)
    os.set_blocking(write, True)
    run = project.start("--status-fd", str(write), "up", pass_fds=[write])
    os.close(write)
    wait_until(lambda: project.has("ready"), "a runs")
    inits = run.inits()
    run.signal(signal.SIGTERM)
    wait_until(lambda: not alive(inits), "a has been stopped")
    with open(read) as file:
        assert len(file.read(fill)) == fill
        events = [json.loads(line)["event"] for line in file]
    assert sorted(events[:2]) == ["signal", "start"]  # which of them vagga saw first is not known here
    assert events[2:] == ["exit", "finish"]
    assert run.finish().code == 143
