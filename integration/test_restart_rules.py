"""Restarts with real processes: how long the waits are, what ends them, what a coprocess may do (rows R, S).

Sections 7, 8.2 and 12 of docs/supervision.md. Where nothing but the policy decides, tests/supervise/rules_histories
has more.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from integration.builds import container, containers, remove, small_root
from integration.records import EARLY, LATE, begin, causes, count, run, starts, time_of, times, told, wait_for
from integration.runs import (
    HOST,
    INTERNAL_SIGNALS,
    PATIENCE,
    Project,
    alive,
    descendants,
    free_port,
    supervise,
    wait_until,
)

KEEP = "keep-going"
MODES = ["stop-on-failure", "wait-all-successful", KEEP]
STAY = "exec sleep 60"
COUNT = "echo $$ >> runs; "


def restart(
    limit: int | str = "unlimited", least: str = "10ms", most: str = "10ms", no: Sequence[object] = ()
) -> dict[str, object]:
    return {"limit": limit, "min-wait": least, "max-wait": most, "no-restart-on": list(no)}


def assert_formula(project: Project, name: str, least: float, most: float) -> list[float]:
    """Assert that the waits of a child are those of its runs (7.4), and were waited; return them."""
    waits = [float(str(record["wait"])) for record in told(project, "restart", name)]
    took = [float(str(record["seconds"])) for record in told(project, "exit", name)]
    wait = 0.0
    for number, actual in enumerate(waits):
        wait = max(2 * wait - took[number], least)
        wait = min(wait, most)
        assert actual == pytest.approx(wait, abs=0.002), (number, waits, took)
        wait = actual
    ended, begun = times(project, "exit", name), times(project, "start", name)
    gaps = [later - earlier for earlier, later in zip(ended, begun[1:], strict=False)]
    assert len(gaps) == len(waits)
    for gap, wait in zip(gaps, waits, strict=True):
        assert wait - EARLY <= gap <= wait + LATE, (gaps, waits)
    return waits


# --- how long it waits ------------------------------------------------------------------------------------------


def test_R1_R2_the_waits_of_a_child_that_crashes_at_once(project: Project) -> None:
    """supervision 7.2, 7.4: the figures of pmux, .1 .2 .4 .8 1 1; limit 6 is seven runs."""
    project.write(supervise("up", {"a": {"run": COUNT + "exit 7", "restart": restart(6, "100ms", "1s")}}))
    result = run(project, "up")
    assert result.code == 7
    waits = assert_formula(project, "a", 0.1, 1)
    took = [float(str(record["seconds"])) for record in told(project, "exit", "a")]
    if max(took) < 0.008:  # on a machine that is not busy
        assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1, 1], rel=0.12)
    assert project.read("runs").count("\n") == 7
    assert [record["left"] for record in told(project, "restart", "a")] == [5, 4, 3, 2, 1, 0]
    assert causes(project, "a") == [(7, "restarts")] * 6 + [(7, "first")]
    assert f"vagga: a restarts in {waits[-1]:.2f} s (none left)" in result.err


def test_R3_a_long_run_makes_the_next_wait_short_again(project: Project) -> None:
    """supervision 7.4: three crashes, a run that is longer than any wait, a crash."""
    body = COUNT + "test $(wc -l < runs) != 4 || sleep 0.8; exit 1"
    project.write(supervise("up", {"a": {"run": body, "restart": restart(4, "100ms", "400ms")}}))
    assert run(project, "up").code == 1
    waits = assert_formula(project, "a", 0.1, 0.4)
    took = [float(str(record["seconds"])) for record in told(project, "exit", "a")]
    if max(took[:3]) < 0.03:  # on a machine that is not busy
        assert waits[2] > 0.3
    assert took[3] > 2 * 0.4
    assert waits[3] == 0.1


def test_R4_a_stop_of_vagga_alone_is_no_suspension_and_leads_to_no_burst(project: Project) -> None:
    """The wait is over meanwhile: one run follows, not several."""
    a = {"run": COUNT + "exit 1", "restart": restart(1, "300ms", "300ms")}
    project.write(supervise("up", {"a": a, "stays": STAY}, mode=KEEP))
    process = begin(project, "up")
    wait_for(project, 1, "restart", "a")
    process.signal(signal.SIGSTOP)
    time.sleep(0.6)  # twice the wait
    process.signal(signal.SIGCONT)
    wait_for(project, 2, "exit", "a")
    process.signal(signal.SIGTERM)
    assert process.finish().code == 143
    assert project.read("runs").count("\n") == 2


def test_R13_numbers_are_seconds(project: Project) -> None:
    """supervision 7.4: not nanoseconds, as with pmux."""
    a = {"run": "exit 1", "restart": {"limit": 1, "min-wait": 0.3, "max-wait": 0.3}}
    project.write(supervise("up", {"a": a}))
    assert run(project, "up").code == 1
    assert assert_formula(project, "a", 0.3, 0.3) == [0.3]


# --- what ends it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_R5_an_exit_with_0_is_followed_by_a_restart_unless_it_is_listed(project: Project, mode: str) -> None:
    """supervision 7.3."""
    again = {"run": "echo x >> again; exit 0", "restart": restart(3)}
    listed = {"run": "echo x >> listed; exit 0", "restart": restart(no=[0]), "role": "coprocess"}
    project.write(supervise("up", {"again": again, "listed": listed}, mode=mode))
    assert run(project, "up").code == 0
    assert project.read("again").count("x") == 4
    assert project.read("listed").count("x") == 1


def test_R6_a_listed_code_is_the_last_one_and_counts(project: Project) -> None:
    """supervision 7.3."""
    body = COUNT + "test $(wc -l < runs) = 3 && exit 3; exit 4"
    project.write(supervise("up", {"a": {"run": body, "restart": restart(no=[3])}, "b": STAY}))
    result = run(project, "up")
    assert result.code == 3
    assert causes(project, "a") == [(4, "restarts"), (4, "restarts"), (3, "first")]
    assert result.err.splitlines()[-1].startswith("vagga: a exited with code 3 after ")


@pytest.mark.parametrize(
    ("pid1mode", "end", "listed", "runs"),
    [
        ("wait", "kill -9 $$", ["SIGKILL"], 1),
        ("wait", "kill -9 $$", [137], 1),
        ("wait", "exit 137", [137], 1),
        ("wait", "exit 137", ["SIGKILL"], 3),
        ("wait", "kill -15 $$", ["SIGKILL"], 3),
        ("exec", "exit 137", [137], 1),
        ("exec", "exit 137", ["SIGKILL"], 3),
    ],
)
def test_R7_a_death_by_signal_is_not_an_exit_with_its_code(
    project: Project, pid1mode: str, end: str, listed: list[object], runs: int
) -> None:
    """supervision 7.3. A PID 1 is not killed by what it sends to itself."""
    a = {"run": COUNT + end, "restart": restart(2, no=listed), "pid1mode": pid1mode}
    project.write(supervise("up", {"a": a}))
    result = run(project, "up")
    assert result.code == (143 if "15" in end else 137)
    assert project.read("runs").count("\n") == runs


@pytest.mark.parametrize("pid1mode", ["wait", "exec"])
def test_R7_a_child_that_is_killed_from_outside_is_restarted_unless_that_is_listed(
    project: Project, pid1mode: str
) -> None:
    """supervision 7.3: the kill of its PID 1, as by the kernel when memory is short."""
    again = {"run": COUNT + STAY, "restart": restart(1), "pid1mode": pid1mode}
    project.write(supervise("up", {"again": again}))
    process = begin(project, "up")
    for number in (1, 2):
        wait_for(project, number, "start", "again")
        (init,) = process.inits()
        os.kill(init, signal.SIGKILL)
        wait_for(project, number, "exit", "again")
    result = process.finish()
    assert result.code == 137
    assert causes(project, "again") == [(137, "restarts"), (137, "first")]


def test_R8_a_coprocess_that_dies_during_the_stop_is_not_restarted(project: Project) -> None:
    """supervision 7.7: ContainerPilot restarts it."""
    slow = "trap 'until test -e go; do sleep 0.01; done; exit 0' TERM; touch ready; while :; do sleep 0.01; done"
    co = {"run": COUNT + "touch co.ready; " + STAY, "role": "coprocess", "restart": restart()}
    project.write(supervise("up", {"main": slow, "co": co}, kill_unresponsive_after=30))
    process = begin(project, "up")
    wait_until(lambda: project.has("ready", "co.ready"), "both")
    process.signal(signal.SIGTERM)
    wait_for(project, 1, "signal")
    os.kill(int(str(told(project, "start", "co")[0]["pid"])), signal.SIGKILL)
    wait_for(project, 1, "exit", "co")
    time.sleep(0.1)  # ten times the wait before a restart
    (project.directory / "go").touch()
    assert process.finish().code == 143
    assert project.read("runs").count("\n") == 1
    assert not told(project, "restart")


MOMENTS = 12


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_R9_a_stop_at_any_moment_of_quick_restarts_leaves_nobody(project: Project, number: signal.Signals) -> None:
    """supervision 7.7: between the end of the wait and the start, too. The census counts."""
    moments = random.Random(f"{number}")
    loop = {"run": COUNT + "setsid sleep 61 & exit 1", "restart": restart(least="1ms", most="3ms")}
    project.write(supervise("up", {"a": loop, "b": loop, "c": loop}, mode=KEEP, kill_unresponsive_after=60))
    for _ in range(MOMENTS):
        (project.directory / "runs").unlink(missing_ok=True)
        process = begin(project, "up")
        wait_until(lambda: project.read("runs").count("\n") > 3, "some runs")
        time.sleep(moments.uniform(0, 0.02))
        process.signal(number)
        result = process.finish()
        assert result.code == (143 if number == signal.SIGTERM else -9)
        assert "Traceback" not in result.err
        if number == signal.SIGTERM:
            events = [(record["event"], record.get("name")) for record in told(project)]
            later = events[events.index(("signal", None)) :]
            assert all(later.count(("start", name)) <= 1 for name in "abc"), "one that was on its way"
            assert "restart" not in dict(later)
            ends = {(record["name"], record["incarnation"]) for record in told(project, "exit")}
            assert {(record["name"], record["incarnation"]) for record in told(project, "start")} <= ends
            assert not told(project, "still-alive")


# --- coprocesses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_R11_a_coprocess_without_restarts_left_stays_dead_and_does_not_count(project: Project, mode: str) -> None:
    """supervision 8.2."""
    co = {"run": "echo x >> runs; exit 9", "role": "coprocess", "restart": restart(2)}
    main = "until test -e go; do sleep 0.01; done; exit 0"
    project.write(supervise("up", {"main": main, "co": co}, mode=mode))
    process = begin(project, "up")
    wait_for(project, 3, "exit", "co")
    time.sleep(0.1)  # ten times the wait
    (project.directory / "go").touch()
    result = process.finish()
    assert result.code == 0
    assert causes(project, "co") == [(9, "restarts"), (9, "restarts"), (9, "aside")]
    assert project.read("runs").count("x") == 3


def test_R12_a_coprocess_with_one_restart_comes_back_once(project: Project) -> None:
    """supervision 7.2, 7.5: the test of ContainerPilot, without its reload: killed, back; killed, gone."""
    co = {"run": COUNT + STAY, "role": "coprocess", "restarts": 1}
    project.write(supervise("up", {"main": "touch main.ready; " + STAY, "co": co}))
    process = begin(project, "up")
    wait_for(project, 1, "start", "co")
    os.kill(int(str(told(project, "start", "co")[0]["pid"])), signal.SIGKILL)
    wait_for(project, 2, "start", "co")
    wait_until(lambda: project.read("runs").count("\n") == 2, "it is back")
    os.kill(int(str(told(project, "start", "co")[1]["pid"])), signal.SIGKILL)
    wait_for(project, 2, "exit", "co")
    wait_until(lambda: len(process.inits()) == 1, "it is gone")
    time.sleep(1.2)  # longer than the shortest wait of the short form
    assert len(process.inits()) == 1
    process.signal(signal.SIGINT)
    assert process.finish().code == 130
    assert starts(project).count("co") == 2
    first, second = times(project, "exit", "co", signal="SIGKILL")
    assert second > first
    assert [record["wait"] for record in told(project, "restart", "co")] == [0]


@pytest.mark.parametrize("mode", MODES)
def test_X14_a_coprocess_lives_until_the_last_of_the_others_is_gone(project: Project, mode: str) -> None:
    """supervision 8.6, 12.7: it is there before the others begin, and when they end."""
    co = {"run": "trap 'echo co ends >> log; exit 0' TERM; echo co >> log; while :; do sleep 0.01; done"}
    main = "trap 'sleep 0.3; echo main ends >> log; exit 5' TERM; echo main >> log; while :; do sleep 0.01; done"
    children = {"a": main, "co": {**co, "role": "coprocess"}, "z": main}
    project.write(supervise("up", children, mode=mode, kill_unresponsive_after=60))
    process = begin(project, "up")
    wait_until(lambda: project.read("log").count("\n") == 3, "all")
    process.signal(signal.SIGTERM)
    assert process.finish().code == 143
    pids = {str(record["name"]): int(str(record["pid"])) for record in told(project, "start")}
    most = int(Path("/proc/sys/kernel/pid_max").read_text())  # after which they begin anew
    assert all((pid - pids["co"]) % most < most // 2 for pid in pids.values()), pids
    assert project.read("log").splitlines()[-3:] == ["main ends", "main ends", "co ends"]
    assert time_of(project, "exit", "co") >= max(times(project, "exit", "a") + times(project, "exit", "z"))


def test_X2_main_children_and_coprocesses_have_their_time_one_after_the_other(project: Project) -> None:
    """supervision 12.1, 12.7."""
    stubborn = "trap '' TERM INT; touch $VAGGA_SUBCOMMAND.ready; while :; do sleep 0.05; done"
    children = {"main": stubborn, "co": {"run": stubborn, "role": "coprocess"}}
    project.write(supervise("up", children, kill_unresponsive_after=1))
    process = begin(project, "up")
    wait_until(lambda: project.has("main.ready", "co.ready"), "both")
    process.signal(signal.SIGINT)
    assert process.finish().code == 130
    asked = time_of(project, "signal")
    main, co = time_of(project, "exit", "main"), time_of(project, "exit", "co")
    assert 1 - EARLY <= main - asked <= 1 + LATE
    assert 1 - EARLY <= co - main <= 1 + LATE
    assert [record["names"] for record in told(project, "still-alive")] == [["main"], ["co"]]


# --- every run is like the first --------------------------------------------------------------------------------


def test_R14_a_later_run_sees_the_image_that_the_first_one_saw(project: Project) -> None:
    """supervision 7.8: although the container was built anew meanwhile."""
    small_root(project.directory / "root.tar")

    def write(text: str) -> None:
        body = "cat /version; echo; test ! -e /tmp/x; echo $?; touch /tmp/x; exit 1"
        a = {"run": body, "container": "c", "restart": restart(1, "1s", "1s")}
        see = "  see: !Command {container: c, run: [/bin/cat, /version]}\n"
        image = container("c", "!Tar {url: ./root.tar}", f"!Text {{/version: {text}}}")
        both = containers(image, HOST.removeprefix("containers:\n"))
        project.write(supervise("up", {"a": a, "b": STAY}, mode=KEEP) + see, both)

    try:
        write("old")
        process = begin(project, "up")
        wait_until(lambda: told(project, "exit", "a"), "the first run")
        process.signal(signal.SIGSTOP)  # so that the wait is over when all is done
        write("new")
        assert project.run("see").out.strip() == "new"
        process.signal(signal.SIGCONT)
        wait_for(project, 2, "exit", "a")
        process.signal(signal.SIGTERM)
        result = process.finish()
    finally:
        remove(project.directory / ".vagga")
    assert result.out.split() == ["old", "0", "old", "0"]


def test_R15_a_client_that_comes_while_nobody_runs_is_served_by_the_next_run(project: Project) -> None:
    """supervision 7.8: it is not refused."""
    port = free_port()
    serve = "import socket; s=socket.socket(fileno=3); c,_=s.accept(); c.sendall(b'second run'); c.close()"
    body = f'echo x >> runs; test $(wc -l < runs) = 1 && exit 1; exec python3 -c "{serve}"'
    web = {"run": body, "pass-tcp-socket": f"127.0.0.1:{port}", "restart": restart(1, "3s", "3s")}
    project.write(supervise("up", {"web": web}))
    process = begin(project, "up")
    wait_for(project, 1, "restart", "web")
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        assert len(told(project, "start", "web")) == 1
        assert client.recv(100) == b"second run"
    assert process.finish().code == 0


def test_R16_each_run_becomes_healthy_anew(project: Project) -> None:
    """supervision 9.1, 10.8: who waits for that once has run for good, who does each time runs again."""
    web = {
        "run": COUNT + "until test $(wc -l < each) -ge $(wc -l < runs); do sleep 0.02; done; exit 1",
        "restart": restart(2),
        "health": {"exec": "true", "interval": "50ms", "timeout": "5s", "ttl": "60s"},
    }
    once = {"run": "echo x >> once", "when": {"source": "web", "once": "healthy"}, "once": True}
    each = {"run": "echo x >> each", "when": {"source": "web", "each": "healthy"}}
    (project.directory / "each").touch()
    project.write(supervise("up", {"web": web, "once": once, "each": each}, mode=KEEP))
    assert run(project, "up").code == 1
    assert [record["healthy"] for record in told(project, "health", "web")] == [True] * 3
    assert project.read("once").count("x") == 1
    assert project.read("each").count("x") == 3


SEEN = """
import json, os, sys
fds = sorted(int(name) for name in os.listdir('/proc/self/fd'))
fds = [fd for fd in fds if os.path.exists(f'/proc/self/fd/{fd}')]
status = dict(line.split(':', 1) for line in open('/proc/self/status'))
print(json.dumps([fds, status['SigIgn'].strip(), status['SigBlk'].strip(), os.getpid() == os.getpgid(0)]), flush=True)
sys.exit(1)
"""


@pytest.mark.parametrize("words", [[], ["--prefix"]], ids=["plain", "prefix"])
def test_S9_S10_the_later_runs_of_a_child_begin_as_the_first_one(project: Project, words: list[str]) -> None:
    """Three descriptors, no signal ignored or blocked, although the caller ignores some."""
    a = {"run": ["python3", "-c", SEEN], "restart": restart(3)}
    project.write(supervise("up", {"a": a}))
    ignoring = ["sh", "-c", "trap '' HUP INT QUIT USR1; exec \"$@\"", "sh"]
    result = project.run(*words, "up", under=ignoring)
    assert result.code == 1, result.err
    runs = [json.loads(line.partition("[")[1] + line.partition("[")[2]) for line in result.out.splitlines()]
    assert len(runs) == 4
    python = 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1  # Python ignores those by itself
    for descriptors, ignored, blocked, _ in runs:
        assert descriptors == [0, 1, 2]
        assert int(ignored, 16) & ~python & ~INTERNAL_SIGNALS == 0
        assert int(blocked, 16) == 0
    assert len({json.dumps(each) for each in runs}) == 1


def test_S10_restarts_checks_and_hooks_leave_vagga_with_the_descriptors_that_it_had(project: Project) -> None:
    """Two rounds of 60 runs, with checks by a program, a passed socket and readiness: the second one adds nothing."""
    children: dict[str, object] = {"stays": STAY}
    for round_ in ("1", "2"):
        loop = {"run": COUNT + "sleep 0.02; exit 1", "restart": restart(29, "1ms", "1ms"), "role": "coprocess"}
        gate = {"when": {"source": f"SIGUSR{round_}"}}
        keys = {"health": {"exec": "true", "interval": "10ms"}, "ready": {"fd": 5}}
        children[f"checked{round_}"] = {**loop, **gate, **keys, "run": "echo >&5; " + str(loop["run"])}
        children[f"passed{round_}"] = {**loop, **gate, "pass-tcp-socket": "127.0.0.1:0"}
        children[f"each{round_}"] = {"run": "true", "when": {"source": f"passed{round_}", "each": "exit-failed"}}
    project.write(supervise("up", children))
    process = begin(project, "up")
    wait_for(project, 1, "start", "stays")
    open_ones: list[tuple[int, int]] = []
    for number, signal_ in enumerate((signal.SIGUSR1, signal.SIGUSR2), 1):
        process.signal(signal_)
        wait_until(lambda number=number: project.read("runs").count("\n") == 60 * number, "runs", 2 * PATIENCE)  # type: ignore[misc]
        wait_until(lambda: len(process.inits()) == 1, "all but one are gone")
        wait_until(lambda: count(project, "start") == count(project, "exit") + 1, "all of them were told")
        open_ones.append(process.descriptors_at_rest())
    assert open_ones[0] == open_ones[1]
    process.signal(signal.SIGTERM)
    assert process.finish().code == 143


def test_S13_the_end_of_a_run_that_comes_late_is_not_that_of_the_next(project: Project) -> None:
    """Vagga is stopped while a run ends and its orphan still writes: its words and its end belong to the first one."""
    body = "(sleep 0.02; echo orphan) & echo x >> began; echo run $(wc -l < began); " + COUNT
    body += "test $(wc -l < runs) -lt 3 || exec sleep 60"
    project.write(supervise("up", {"a": {"run": body, "restart": restart(least="1ms", most="1ms")}}))
    process = begin(project, "--prefix", "up")
    for number in (1, 2):
        wait_for(project, number, "start", "a")
        process.signal(signal.SIGSTOP)
        time.sleep(0.05)
        process.signal(signal.SIGCONT)
    wait_for(project, 3, "start", "a")
    wait_until(lambda: project.read("runs").count("\n") == 3, "the third run")
    assert [record["incarnation"] for record in told(project, "exit", "a")] == [1, 2]
    process.signal(signal.SIGTERM)
    result = process.finish()
    assert result.code == 143
    assert [record["incarnation"] for record in told(project, "exit", "a")] == [1, 2, 3]
    assert [line for line in result.out.splitlines() if "run" in line] == [f"a | run {n}" for n in (1, 2, 3)]


# --- many at once -----------------------------------------------------------------------------------------------


def memory(pid: int) -> int:
    """Return the MiB of memory that a process has."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) // 1024


def test_S5_50_children_that_crash_at_once_and_always_keep_vagga_calm(project: Project) -> None:
    """supervision 7.4: when all of them wait, vagga sleeps, and a stop does not wait for them."""
    crash = {"run": ["false"], "restart": restart(least="30s", most="60s")}
    project.write(supervise("up", {f"c{number:02}": crash for number in range(50)}, mode=KEEP))
    process = begin(project, "up")
    wait_for(project, 50, "restart")
    process.wait_at_rest()
    process.signal(signal.SIGINT)
    assert process.finish().code == 130
    assert time_of(project, "finish") - time_of(project, "signal") < LATE
    assert len(starts(project)) == 50


def test_S5_50_children_that_crash_without_any_wait_can_be_stopped(project: Project) -> None:
    """supervision 7.7: whoever allows a busy loop gets one, but it obeys, and it does not grow."""
    crash = {"run": ["false"], "restart": restart(least="0", most="1ms")}
    children = {f"c{number:02}": crash for number in range(50)}
    project.write(supervise("up", children, mode=KEEP, kill_unresponsive_after=60))
    process = begin(project, "up")
    wait_until(lambda: count(project, "exit") > 150, "crashes", 2 * PATIENCE)
    small = memory(process.pid)
    wait_until(lambda: count(project, "exit") > 450, "more crashes", 2 * PATIENCE)
    assert memory(process.pid) - small < 20
    everybody = set(descendants(process.pid))
    process.signal(signal.SIGTERM)
    result = process.finish()
    assert result.code == 143
    assert not alive(everybody)
    assert "still alive" not in result.err


# --- starts that fail -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "code", "named"),
    [
        ({"run": ["/no/such/program"]}, 127, "/no/such/program"),
        ({"run": ["./plain"]}, 126, "./plain"),
        ({"run": "true", "work-dir": "nowhere"}, 127, "nowhere"),
    ],
)
def test_S1_a_start_that_fails_is_tried_again_with_waits_and_says_why(
    project: Project, keys: dict[str, object], code: int, named: str
) -> None:
    """supervision 1.3, 7.6: as a run of no time; ContainerPilot tries thousands of times a second."""
    (project.directory / "plain").write_text("no program\n")
    project.write(supervise("up", {"a": {**keys, "restart": restart(2, "100ms", "1s")}, "b": STAY}))
    result = run(project, "up")
    assert result.code == code
    failed = told(project, "exit", "a")
    assert [record["code"] for record in failed] == [code] * 3
    assert [record["wait"] for record in told(project, "restart", "a")] == [0.1, 0.2]
    assert result.err.count(named) >= 3
    assert "Traceback" not in result.err
    assert time_of(project, "finish") - float(str(failed[0]["time"])) >= 0.3 - EARLY


def test_S1_the_program_may_come_between_two_tries(project: Project) -> None:
    """supervision 7.6: waits of .1 .2 .4 s and so on; the third try finds it, and its readiness and health work."""
    a = {"run": ["./late.sh"], "restart": restart(20, "100ms", "400ms", [0]), "ready": {"fd": 5}}
    after = {"run": "touch go", "when": {"source": "a", "once": "healthy"}, "once": True}
    project.write(supervise("up", {"a": a, "after": after}))
    process = begin(project, "up")
    wait_for(project, 2, "restart", "a")
    program = project.directory / "late.sh.new"
    program.write_text("#!/bin/sh\necho >&5\nuntil test -e go; do sleep 0.01; done\n")
    program.chmod(0o755)
    program.rename(project.directory / "late.sh")
    result = process.finish()
    assert result.code == 0, result.err
    assert project.has("go")


def test_S2_a_start_that_fails_for_good_leaves_nobody_behind(project: Project) -> None:
    """supervision 1.4, 7.6: those that run, wait for a restart, or wait for an event."""
    children = {
        "a": {"run": COUNT + "exit 1", "restart": restart("unlimited", "60s", "60s")},
        "b": "touch b.ready; setsid sleep 162 & exec sleep 162",
        "c": {"run": "touch c.ran", "when": {"source": "b", "once": "exit-success"}},
        "d": {"run": ["/no/such/program"], "depends": [{"path": "b.ready", "poll": "20ms"}, {"path": "runs"}]},
    }
    project.write(supervise("up", children))
    result = run(project, "up")
    assert result.code == 127
    assert result.seconds < 50
    assert "/no/such/program" in result.err
    assert not project.has("c.ran")


def test_S1_a_coprocess_and_a_hook_that_cannot_be_started_stop_nobody(project: Project) -> None:
    """supervision 8.2, 12.3: the stop does not wait for what never was."""
    children = {
        "a": {"run": "until test -e go; do sleep 0.01; done"},
        "c": {"run": ["/no/such/co"], "role": "coprocess"},
        "h": {"run": ["/no/such/hook"], "when": {"source": "a", "once": "stopping"}},
        "i": {"run": ["/no/such/hook"], "when": {"source": "global", "once": "shutdown"}},
    }
    project.write(supervise("up", children, hook_window="60s"))
    process = begin(project, "up")
    wait_for(project, 1, "exit", "c")
    process.signal(signal.SIGTERM)
    result = process.finish()
    assert result.code == 143
    assert time_of(project, "finish") - time_of(project, "signal") < LATE
    assert "Traceback" not in result.err
