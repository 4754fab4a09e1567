"""Hundreds of children in one run: started, watched, ended, and within the limits of an ordinary shell."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest

from integration.runs import Project, Running, alive, descendants, need, sleep_of, supervise, wait_until

WAIT = "wait-all-successful"
LIMIT_1024 = ["sh", "-c", 'ulimit -Sn 1024; exec "$@"', "sh"]
COUNT = ": > ready.$VAGGA_SUBCOMMAND; exec sleep 1000"


def names(count: int) -> list[str]:
    """Return names whose order is that of their numbers."""
    return [f"c{number:03}" for number in range(count)]


def started(project: Project, count: int, **how: object) -> Running:
    """Start that many children and wait until all of them run."""
    project.write(supervise("up", dict.fromkeys(names(count), COUNT), kill_unresponsive_after=300))
    run = project.start("up", **how)  # type: ignore[arg-type]  # passed on as they come
    wait_until(lambda: sum(1 for _ in project.directory.glob("ready.*")) == count, f"{count} children run", 300)
    return run


def room_for(children: int) -> None:
    """Need as many processes and namespaces as that many children take."""
    processes, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    need(processes == resource.RLIM_INFINITY or processes > 3 * children, "too few processes are allowed")
    for kind in ("user", "mnt", "pid"):
        most = int(Path(f"/proc/sys/user/max_{kind}_namespaces").read_text())
        need(most > 3 * children, f"too few {kind} namespaces are allowed")


def test_X11_200_children_are_gone_when_the_supervisor_is_killed(project: Project) -> None:
    room_for(200)
    run = started(project, 200)
    everybody = set(descendants(run.pid))
    assert len(everybody) >= 400
    run.signal(signal.SIGKILL)
    run.process.wait(60)
    wait_until(lambda: not alive(everybody), "all are gone")
    run.finish()


def test_N10_500_children_start_and_stop_within_the_usual_limit_of_open_files(project: Project) -> None:
    room_for(500)
    run = started(project, 500, under=LIMIT_1024)
    everybody = set(descendants(run.pid))
    limits = {limit_of(pid) for pid in everybody if b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes()}
    assert limits == {"1024"}  # the caller's own, not the one that vagga may need for itself
    run.signal(signal.SIGTERM)
    result = run.finish(200)
    assert result.code == 143
    assert not alive(everybody)
    assert "still alive" not in result.err


def limit_of(pid: int) -> str:
    """Return the soft limit of open files of a process."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line.split()[3] for line in lines if line.startswith("Max open files"))


def test_N10_500_children_with_prefixes_within_a_hard_limit_say_what_is_missing_or_work(project: Project) -> None:
    """The hard limit cannot be raised: each child that finds no descriptor counts as not started, nothing crashes."""
    room_for(100)
    project.write(supervise("up", dict.fromkeys(names(100), "exec sleep 600"), mode=WAIT))
    result = project.run("--prefix", "up", under=["sh", "-c", 'ulimit -n 128; exec "$@"', "sh"])
    assert result.code == 124, result.err[-300:]
    assert "Traceback" not in result.err
    assert "[internal]" not in result.err
    assert "too many open files" in result.err


@pytest.mark.parametrize("words", [[], ["--prefix"]], ids=["plain", "prefix"])
def test_S5_50_children_that_end_in_one_moment_are_all_seen(project: Project, words: list[str]) -> None:
    """Vagga is stopped meanwhile, so that it finds all their ends in one turn."""
    children = dict.fromkeys(names(50), 'read line < gate; echo "$VAGGA_SUBCOMMAND"')
    project.write(supervise("up", children, mode=WAIT))
    os.mkfifo(project.directory / "gate")
    read, write = os.pipe()
    with open(read) as records:
        run = project.start("--status-fd", str(write), *words, "up", pass_fds=[write])
        os.close(write)
        wait_until(lambda: len(descendants(run.pid)) == 101, "50 children wait")
        run.signal(signal.SIGSTOP)
        gate = os.open(project.directory / "gate", os.O_RDWR)  # both, so that it blocks for nobody
        os.write(gate, b"\n" * 50)
        wait_until(lambda: not run.inits(), "all have ended")
        os.close(gate)
        run.signal(signal.SIGCONT)
        result = run.finish()
        ends = [record for record in map(json.loads, records) if record["event"] == "exit"]
    assert result.code == 0
    assert sorted(record["name"] for record in ends) == names(50)
    assert {record["cause"] for record in ends} == {"success"}
    assert sorted(line.split()[-1] for line in result.out.splitlines()) == names(50)


def test_S3_50_children_that_end_before_anybody_looks(project: Project) -> None:
    project.write(supervise("up", {key: ["true"] for key in names(50)}, mode=WAIT))
    result = project.run("up")
    assert result.code == 0
    assert result.err.startswith("vagga: all 50 exited with code 0 after ")


def test_the_first_end_of_50_children_that_obey_stops_the_others_quickly(project: Project) -> None:
    """supervision 3.8."""
    children: dict[str, object] = dict.fromkeys(names(50), COUNT)
    children["last"] = "until test -e go; do sleep 0.01; done; exit 3"
    project.write(supervise("up", children, kill_unresponsive_after=300))
    run = project.start("up")
    wait_until(lambda: sum(1 for _ in project.directory.glob("ready.*")) == 50, "all run")
    begun = time.monotonic()
    (project.directory / "go").touch()
    assert run.finish().code == 3
    assert time.monotonic() - begun < 60


def test_children_of_one_run_take_one_spawner_and_one_pid_1_each(project: Project) -> None:
    """No thread, no process that is not needed."""
    run = started(project, 10)
    assert len(descendants(run.pid)) == 21
    assert len(run.inits()) == 10
    for pid in (run.pid, run.spawner(), *run.inits()):
        assert len(os.listdir(f"/proc/{pid}/task")) == 1
    run.signal(signal.SIGTERM)
    assert run.finish().code == 143


def test_an_idle_run_does_nothing_at_all(project: Project) -> None:
    """Without a deadline nobody wakes up: the supervisor, the spawner and every PID 1 sleep until something happens."""
    run = started(project, 3)
    watched = [run.pid, run.spawner(), *run.inits()]
    run.wait_at_rest()
    before = [sleep_of(pid) for pid in watched]
    subprocess.run(["sleep", "0.5"], check=True, timeout=60)
    assert [sleep_of(pid) for pid in watched] == before
    run.signal(signal.SIGTERM)
    assert run.finish().code == 143
