"""examples/pmux, as its README says: restarts with waits that grow, and nobody's end concerns the others."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from integration import examples, records
from integration.examples import Example
from integration.runs import Project, command_line, descendants


@pytest.fixture
def pmux(project: Project) -> Iterator[Example]:
    with examples.example(project, "pmux", "PORT") as found:
        yield found


def test_r6_the_worker_runs_again_after_waits_that_grow_until_it_ends_with_3(pmux: Example) -> None:
    result = records.run(pmux.project, *pmux.options(), "run", "--only", "worker")
    assert result.code == 3
    assert result.out.splitlines() == [
        *(f"attempt {number} of 5: crashing" for number in range(1, 5)),
        "attempt 5 of 5: nothing is left to do",
    ]
    waits = [float(str(record["wait"])) for record in records.told(pmux.project, "restart")]
    times = [float(str(record["seconds"])) for record in records.told(pmux.project, "exit")]
    assert (len(waits), len(times)) == (4, 5)
    for before, time, wait in zip([0.0, *waits], times, waits, strict=False):
        assert wait == pytest.approx(min(1.0, max(0.1, 2 * before - time)), abs=0.01)
    assert result.err.count("worker restarts in ") == 4


def test_r5_a_server_that_is_killed_comes_back_and_the_others_do_not_notice(pmux: Example) -> None:
    running = pmux.start("run")
    pmux.wait_for_page("PORT", "The server is here")
    pmux.wait_for("nothing is left to do")
    pmux.wait_for("removing what is older than 1 day")
    [server] = [pid for pid in descendants(running.pid) if "http.server" in command_line(pid)[:60]]
    os.kill(server, signal.SIGKILL)
    pmux.wait_for("server:")
    pmux.wait_for("server restarts in")
    pmux.wait_for_page("PORT", "The server is here")
    assert pmux.end(running, signal.SIGINT) == 130
    assert pmux.said().count("removing what is older") == 1
