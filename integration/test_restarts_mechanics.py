"""What every further run of a child is given, and that nothing of an earlier one stays or is taken for it."""

from __future__ import annotations

import os
import re
import signal
import socket
import time

import pytest

from integration.runs import PATIENCE, Project, alive, free_port, supervise, wait_until

STAY = "exec sleep 60"


def again(**keys: object) -> dict[str, object]:
    return {"limit": "unlimited", "min-wait": "10ms", "max-wait": "10ms", **keys}


def runs(project: Project) -> int:
    return project.read("runs").count("\n")


def test_r15_a_passed_socket_stays_bound_over_restarts(project: Project) -> None:
    """Each run answers one client; those that come in between wait in the queue of the socket."""
    port = free_port()
    serve = (
        "import socket; s=socket.socket(fileno=3); c,_=s.accept(); "
        "c.sendall(open('/work/runs').read().encode()[-8:]); c.close()"
    )
    web = {
        "run": f'echo $$ >> runs; exec python3 -c "{serve}"',
        "pass-tcp-socket": f"127.0.0.1:{port}",
        "restart": again(limit=5),
    }
    project.write(supervise("up", {"web": web}, mode="keep-going"))
    run = project.start("up")
    wait_until(lambda: runs(project), "the first run")
    clients = [socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) for _ in range(6)]
    answers = [client.recv(100) for client in clients]
    for client in clients:
        client.close()
    assert all(answers)
    assert run.finish().code == 0
    assert runs(project) == 6


def test_r8_a_stop_during_backoff_starts_nothing_more(project: Project) -> None:
    web = {"run": "echo x >> runs; exit 1", "restart": again(**{"min-wait": "60s", "max-wait": "60s"})}
    project.write(supervise("up", {"web": web}))
    run = project.start("up")
    wait_until(lambda: runs(project), "the first run")
    wait_until(lambda: not run.inits(), "its end")
    run.signal(signal.SIGTERM)
    result = run.finish()
    assert result.code == 143
    assert result.seconds < 50
    assert runs(project) == 1


@pytest.mark.parametrize("ready", [{}, {"ready": {"fd": 5}}], ids=["plain", "ready"])
def test_a_hundred_runs_leave_no_descriptor_and_no_process(project: Project, ready: dict[str, object]) -> None:
    """Looked at when nothing is under way: after some runs of the first child, and after a hundred of the second."""
    web = {"run": "echo x >> runs; exit 1", **ready}
    some = {**web, "restart": again(limit=4, **{"min-wait": 0, "max-wait": "1ms"})}
    many = {**web, "restart": again(limit=99, **{"min-wait": 0, "max-wait": "1ms"}), "when": {"source": "SIGUSR1"}}
    project.write(supervise("up", {"some": some, "many": many, "stays": STAY}, mode="keep-going"))
    run = project.start("up")
    open_ones = []
    for expected in (5, 105):
        wait_until(lambda expected=expected: runs(project) == expected, f"{expected} runs", 2 * PATIENCE)  # type: ignore[misc]
        wait_until(lambda: len(run.inits()) == 1, "all but one are gone")
        open_ones.append(run.descriptors_at_rest())
        run.signal(signal.SIGUSR1)
    assert open_ones[0] == open_ones[1]
    run.signal(signal.SIGINT)
    assert run.finish().code == 130


def test_s13_output_and_end_of_each_run_are_its_own(project: Project) -> None:
    """A process that an earlier run has left cannot speak any more when the next begins."""
    late = "(until test $(wc -l < runs) -gt $n; do sleep 0.01; done; echo late) & "
    run = f"echo run $(wc -l < runs); echo x >> runs; n=$(wc -l < runs); {late}exit $n"
    web = {"run": run, "restart": again(**{"limit": 3, "no-restart-on": [3]})}
    (project.directory / "runs").touch()
    project.write(supervise("up", {"web": web}, mode="keep-going"))
    result = project.run("up")
    assert result.code == 3
    assert result.out.splitlines() == ["run 0", "run 1", "run 2"]


def test_each_run_has_fresh_namespaces(project: Project) -> None:
    """57 of 5.3: what an earlier run has written to its private /tmp is gone."""
    run = "test ! -e /tmp/mine; echo $? $$ >> runs; touch /tmp/mine; exit 1"
    project.write(supervise("up", {"web": {"run": run, "restart": again(limit=2)}}))
    assert project.run("up").code == 1
    lines = project.read("runs").splitlines()
    assert [line.split()[0] for line in lines] == ["0", "0", "0"]


def test_a_kill_reaches_the_present_run_only(project: Project) -> None:
    """A run that took too long is killed; the next one, which ends by itself, is not."""
    run = "echo x >> runs; test $(wc -l < runs) = 1 && sleep 60; sleep 0.5; echo well; exit 0"
    web = {"run": run, "timeout": "3s", "once": True, "restart": again(**{"no-restart-on": [0]})}
    project.write(supervise("up", {"web": web}))
    result = project.run("up")
    assert result.code == 0, result.err
    assert result.out == "well\n"
    assert runs(project) == 2


def test_s11_nothing_restarts_after_the_spawner_was_killed(project: Project) -> None:
    web = {"run": "echo x >> runs; sleep 0.2", "restart": again()}
    project.write(supervise("up", {"web": web, "stays": STAY}, mode="keep-going"))
    run = project.start("up")
    wait_until(lambda: runs(project), "a run")
    os.kill(run.spawner(), signal.SIGKILL)
    result = run.finish()
    assert result.code == 124
    before = runs(project)
    time.sleep(0.3)  # longer than the wait before a restart
    assert runs(project) == before


def test_x10_a_wait_for_a_restart_stands_still_while_the_run_is_suspended(project: Project) -> None:
    web = {"run": "echo x >> runs; exit 1", "restart": again(**{"min-wait": "2s", "max-wait": "2s", "limit": 1})}
    project.write(supervise("up", {"web": web, "stays": STAY}, mode="keep-going"))
    run = project.start("up")
    wait_until(lambda: runs(project), "the first run")
    begun = time.monotonic()
    wait_until(lambda: len(run.inits()) == 1, "its end")
    run.signal(signal.SIGTSTP)
    wait_until(lambda: stopped(run.pid), "the stop")
    suspended = time.monotonic()
    time.sleep(1.2)
    continued = time.monotonic()
    run.signal(signal.SIGCONT)
    wait_until(lambda: runs(project) == 2, "the second run")
    assert time.monotonic() - begun > 2 + (continued - suspended)
    run.signal(signal.SIGINT)
    run.finish()


def stopped(pid: int) -> bool:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[0] == "T"


def test_the_last_lines_of_the_child_that_failed_first_are_shown(project: Project) -> None:
    noisy = "for i in $(seq 100); do echo line $i; done; echo at last >&2; printf 'no end'; exit 3"
    project.write(supervise("up", {"noisy": noisy, "stays": "echo quiet; exec sleep 60"}))
    result = project.run("--prefix", "up")
    assert result.code == 3
    shown = [line.removeprefix("  | ") for line in result.err.splitlines() if line.startswith("  | ")]
    # In which order the two streams come is up to the kernel.
    assert {"line 100", "no end", "at last"} <= set(shown)
    assert len(shown) == 10
    assert "quiet" not in shown


def test_the_condition_runs_in_the_sandbox_of_its_child(project: Project) -> None:
    """Without its readiness; unless it exits with 0, the child is skipped."""
    keys = {"environ": {"ANSWER": "42"}, "ready": {"fd": 5}}
    yes = {"run": "echo yes", "condition": "echo asked; test $ANSWER = 42 && test ! -e /proc/self/fd/5", **keys}
    no = {"run": "echo no", "condition": "test $ANSWER = 41", **keys}
    project.write(supervise("up", {"yes": yes, "no": no}, mode="keep-going"))
    result = project.run("up")
    assert result.code == 0, result.err
    assert sorted(result.out.split()) == ["asked", "yes"]


def test_a_value_that_was_found_is_in_the_environment_of_the_run_and_its_checks(project: Project) -> None:
    (project.directory / "found.json").write_text('{"port": 8080}')
    found = {"path": "found.json", "key": "$.port", "env": "PORT"}
    web = {
        "run": "echo run $PORT; until test -e checked; do sleep 0.02; done",
        "depends": [{"file-contains": found}],
        "health": {"exec": "test $PORT = 8080 && touch /work/checked", "interval": "50ms", "timeout": "5s"},
    }
    project.write(supervise("up", {"web": web}))
    result = project.run("up")
    assert result.code == 0, result.err
    assert result.out == "run 8080\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_consul_that_is_down_disturbs_no_child_and_no_end(project: Project, number: int) -> None:
    web = {
        "run": STAY,
        "health": {"exec": "touch /work/checked", "interval": "100ms", "ttl": "5s"},
        "service": {"port": 80, "interfaces": ["static:127.0.0.1"]},
    }
    project.write(supervise("up", {"web": web}, consul=f"127.0.0.1:{free_port()}"))
    run = project.start("up")
    wait_until(lambda: project.has("checked"), "a check")
    begun = time.monotonic()
    run.signal(number)
    result = run.finish()
    assert result.code == 128 + number
    assert time.monotonic() - begun < 40


def test_a_catalog_that_dies_is_told_once_and_children_go_on(project: Project) -> None:
    web = {
        "run": "until test -e end; do sleep 0.02; done",
        "health": {"exec": "echo x >> /work/checks", "interval": "50ms", "ttl": "5s"},
        "service": {"port": 80, "interfaces": ["static:127.0.0.1"]},
    }
    project.write(supervise("up", {"web": web}, consul=f"127.0.0.1:{free_port()}", mode="keep-going"))
    run = project.start("up")
    wait_until(lambda: project.read("checks").count("x") > 1, "checks")
    (catalog,) = [pid for pid in run._children(run.pid) if pid != run.spawner()]
    os.kill(catalog, signal.SIGKILL)
    before = project.read("checks").count("x")
    wait_until(lambda: project.read("checks").count("x") > before + 5, "more checks")
    (project.directory / "end").touch()
    result = run.finish()
    assert result.code == 0
    assert len(re.findall(r"\[consul-process-ended\]", result.err)) == 1
    assert not alive([catalog])
