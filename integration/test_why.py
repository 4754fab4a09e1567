"""Why a run with rules failed: the chain of causes, and the last lines of output of the child that failed first."""

from __future__ import annotations

import json
import os
import re

from integration.runs import Project, supervise

CHILDREN = {
    "db": {
        "run": "echo db up; until test -e api.up; do sleep 0.01; done; echo no disk >&2; kill -9 $$",
        "ready": {"line": "db up"},
        "restart": {"limit": 3, "min-wait": 60},
    },
    "api": {
        "run": "touch api.up; until test -e db.gone; do sleep 0.01; done; exit 1",
        "depends": [{"healthy": "db"}],
    },
    "watcher": {"run": "touch db.gone", "when": {"source": "db", "each": "exit-failed"}},
}


def test_the_chain_of_causes_leads_to_the_child_that_failed_first_and_its_last_lines(project: Project) -> None:
    project.write(supervise("up", CHILDREN))

    result = project.run("up")

    assert result.code == 1
    lines = result.err.splitlines()[-5:]
    assert lines[:3] == ["vagga: the last lines of db:", "  | db up", "  | no disk"]
    assert re.fullmatch(r"vagga: api exited 1 \(\d+\.\d\d s\) <- db killed by SIGKILL \(\d+\.\d\d s\)", lines[3])
    assert re.fullmatch(r"vagga: api exited with code 1 after \d+\.\d\d s; vagga exits with 1", lines[4])


def test_the_last_record_has_the_chain_of_causes(project: Project) -> None:
    project.write(supervise("up", CHILDREN))
    read, write = os.pipe()
    with open(read) as file:
        run = project.start("--status-fd", str(write), "up", pass_fds=[write])
        os.close(write)
        records = [json.loads(line) for line in file]
        result = run.finish()

    chain = records[-1]["chain"]
    assert (result.code, records[-1]["event"]) == (1, "finish")
    assert [(link["event"], link["name"], link["signal"]) for link in chain] == [
        ("exit", "api", None),
        ("exit", "db", "SIGKILL"),
    ]
    assert chain[0]["at"] >= chain[1]["at"] > 0
    assert "restart" in {record["event"] for record in records}


def test_a_run_that_ends_well_repeats_nothing(project: Project) -> None:
    project.write(supervise("up", {"a": {"run": "echo one; exit 0", "once": True}}))

    result = project.run("up")

    assert (result.code, result.out) == (0, "one\n")
    assert "the last lines" not in result.err
