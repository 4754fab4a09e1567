"""Readiness, health and local watches of real programs (docs/supervision.md sections 10 and 11)."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from pathlib import Path

import pytest

from integration.records import EARLY, begin, told, wait_for
from integration.ruled import END, STAY, count, finished, free_port, group, only, run_recorded, serving, until
from integration.runs import Project, has_ranges, need, wait_until
from integration.test_status_records import records

PYTHON = "/usr/bin/python3"


def health(**keys: object) -> dict[str, object]:
    """Return a quick check; keys are written with `_` for `-`."""
    quick = {"interval": "50ms", "timeout": "60s", "ttl": "none", "start_period": "1ms", **keys}
    return {key.replace("_", "-"): value for key, value in quick.items()}


def states(found: list[dict[str, object]], name: str = "web") -> list[object]:
    """Return how the health of a child changed: True for healthy."""
    return [record["healthy"] for record in only(found, "health") if record["name"] == name]


# --- results ----------------------------------------------------------------------------------------------------


def test_H1_each_change_is_one_event_however_often_it_is_looked(project: Project) -> None:
    """Supervision 10.3: up, down, up, with many looks at each state."""
    check = "echo x >> /work/looks; test -e /work/good"
    children = {
        "web": {"run": END, "health": health(exec=check)},
        "good": {"run": "echo up >> events", "when": {"source": "web", "each": "healthy"}},
        "bad": {"run": "echo down >> events", "when": {"source": "web", "each": "unhealthy"}},
    }
    project.write(group(children))
    good = project.directory / "good"
    good.touch()

    def looks() -> None:
        before = count(project, "looks")
        wait_until(lambda: count(project, "looks") >= before + 4, "some more looks")

    with records(project, "up") as (run, found):
        for number in (1, 2, 3, 4):
            if number % 2:
                good.touch()
            else:
                good.unlink()
            wait_until(lambda: count(project, "events") >= number, "the event")  # noqa: B023  # called at once
            looks()
        result = finished(project, run)
    assert result.code == 0, result.err
    assert states(found) == [True, False, True, False]
    assert project.read("events") == "up\ndown\n" * 2


def test_H2_an_http_check_that_hangs_has_failed_and_the_next_ones_come_one_by_one(project: Project) -> None:
    """Supervision 10.5: a server that takes requests and says nothing."""
    with serving() as server:
        server.goes_on.clear()
        web = {"run": STAY, "health": health(http=f"http://127.0.0.1:{server.port}/", timeout="500ms", interval="600ms",
                                             threshold=3, on_fail="shutdown")}  # fmt: skip
        project.write(group({"web": web}))
        result = project.run("up")
        assert 2 <= server.asked <= 4  # one may be in the start period, and one not have come to us in time
    assert result.code == 125
    assert "no answer within 0.5 s (3 times in a row)" in result.err, result.err
    assert result.seconds < 60


def test_H3_without_a_pass_for_the_ttl_a_child_is_unhealthy_until_the_next_pass(project: Project) -> None:
    """Supervision 10.6: while a check is under way that takes too long, and has not failed."""
    check = "while test -e /work/slow; do sleep 0.02; done"
    project.write(group({"web": {"run": END, "health": health(exec=check, ttl="5s")}}))
    slow = project.directory / "slow"
    with records(project, "up") as (run, found):
        assert run.process.stderr is not None
        os.set_blocking(run.process.stderr.fileno(), False)
        said = b""

        def says(what: bytes) -> bool:
            nonlocal said
            assert run.process.stderr is not None
            said += run.process.stderr.read() or b""
            return what in said

        wait_until(lambda: says(b"web is healthy"), "healthy")
        slow.touch()
        wait_until(lambda: says(b"web is unhealthy: no check has passed for 5 s"), "unhealthy")
        said = b""
        slow.unlink()
        wait_until(lambda: says(b"web is healthy"), "healthy again")
        assert finished(project, run).code == 0
    assert states(found) == [True, False, True]


def test_H4_the_answer_to_a_look_at_an_earlier_run_is_not_taken(project: Project) -> None:
    """Supervision 10.8: the first run ends during a look; its answer, a pass, comes in the second run."""
    web = {
        "run": "echo x >> runs; test $(wc -l < runs) = 2 || { until test -e go; do sleep 0.01; done; exit 1; }; " + END,
        "restart": {"limit": 1, "min-wait": "50ms"},
    }
    with serving() as server:
        server.goes_on.clear()
        server.answers = [200, 500]
        url = f"http://127.0.0.1:{server.port}/"
        project.write(group({"web": {**web, "health": health(http=url, timeout="30s", interval="100ms")}}))
        with records(project, "up") as (run, found):
            server.wait_for(1)
            (project.directory / "go").touch()
            server.wait_for(2)
            server.goes_on.set()
            server.wait_for(6)
            result = finished(project, run)
    assert result.code == 0, result.err
    assert states(found) == [False]


def test_H5_a_look_at_a_server_that_is_cut_off_by_the_stop_is_not_told(project: Project) -> None:
    with serving() as server:
        server.goes_on.clear()
        url = f"http://127.0.0.1:{server.port}/"
        project.write(group({"web": {"run": STAY, "health": health(http=url, timeout="30s")}}))
        with records(project, "up") as (run, found):
            server.wait_for(1)
            run.signal(signal.SIGTERM)
            result = run.finish()
    assert result.code == 143
    assert result.seconds < 60
    assert states(found) == []
    assert "healthy" not in result.err


def test_H7_http_and_tcp_look_from_the_network_of_the_run(project: Project) -> None:
    """Supervision 10.2: in a network of its own a child has the port that something else has outside."""
    need(Path(PYTHON).exists(), f"{PYTHON} does not exist")
    text = (
        "import http.server as h\n"
        "class Page(h.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(204); self.end_headers()\n"
        "open('up', 'w').close()\n"
        "h.HTTPServer(('127.0.0.1', {port}), Page).serve_forever()\n"
    )
    with serving() as server:
        (project.directory / "server.py").write_text(text.format(port=server.port))
        url = f"http://127.0.0.1:{server.port}/"
        children = {
            "web": {
                "run": [PYTHON, "server.py"],
                "role": "coprocess",
                "health": health(http={"url": url, "status": 204}),
            },
            "tcp": {"run": END, "health": health(tcp=f"127.0.0.1:{server.port}")},
            "after": {"run": "true", "once": True, "depends": [{"healthy": "web"}, {"healthy": "tcp"}]},
            "end": {"run": "touch end", "when": {"source": "after", "once": "exit-success"}},
        }
        project.write(group(children, isolate_network=True))
        result, found = run_recorded(project, "up")
        assert server.asked == 0
    assert result.code == 0, result.err
    assert (states(found, "web")[-1], states(found, "tcp")[-1]) == (True, True)


def test_H7_what_only_listens_outside_of_the_network_of_the_run_does_not_pass(project: Project) -> None:
    with serving() as server:
        keys = {"threshold": 2, "on_fail": "shutdown"}
        for check in ({"http": f"http://127.0.0.1:{server.port}/"}, {"tcp": f"127.0.0.1:{server.port}"}):
            project.write(group({"web": {"run": STAY, "health": health(**check, **keys)}}, isolate_network=True))
            result = project.run("up")
            assert result.code == 125, result.err
        assert server.asked == 0


def test_H7_a_check_runs_with_the_user_and_the_variables_of_its_child(project: Project) -> None:
    need(has_ranges(), "only one id here")
    project.directory.chmod(0o777)
    web = {"run": END, "user-id": 7, "environ": {"COLOUR": "red"}}
    check = 'test $(id -u) = 7 && test "$COLOUR" = red && touch /work/looked'
    project.write(group({"web": {**web, "health": health(exec=check)}}))
    run = project.start("up")
    wait_until(lambda: project.has("looked"), "a look")
    assert finished(project, run).code == 0
    assert (project.directory / "looked").stat().st_uid != os.getuid()


# --- what follows -----------------------------------------------------------------------------------------------


def test_H9_a_child_that_fails_its_check_is_stopped_and_restarted_by_its_own_rule(project: Project) -> None:
    """Supervision 10.7, 7.4: TERM, its budget, its wait; an exit with 0 is a failure all the same."""
    web = {
        "run": "trap 'echo term >> runs; exit 0' TERM; echo run >> runs; sleep 600 & wait",
        "health": health(exec="test ! -e /work/bad || test $(grep -c run /work/runs) != 1", on_fail="restart"),
        "restart": {"limit": 2, "min-wait": "100ms"},
    }
    after = {"run": "touch failed", "when": {"source": "web", "once": "exit-failed"}}
    project.write(group({"web": web, "after": after}, kill_unresponsive_after=600))
    with records(project, "up") as (run, found):
        wait_until(lambda: project.read("runs"), "the first run")
        (project.directory / "bad").touch()
        wait_until(lambda: project.read("runs").count("run\n") == 2 and project.has("failed"), "the second run")
        run.signal(signal.SIGTERM)
        result = run.finish()
    assert result.code == 143
    assert project.read("runs").startswith("run\nterm\nrun\n")
    (restart,) = only(found, "restart")
    assert (restart["name"], restart["wait"], restart["left"]) == ("web", 0.1, 1)
    (failed,) = only(found, "check-failed")
    assert (failed["name"], failed["check"], failed["action"]) == ("web", "health", "restart")
    assert "web is stopped, to be restarted" in result.err


def test_H9_a_child_that_does_not_end_when_its_check_fails_is_killed_after_its_own_time(project: Project) -> None:
    web = {
        "run": "trap '' TERM; echo x >> runs; while :; do sleep 1; done",
        "health": health(exec="test ! -e /work/bad || test $(wc -l < /work/runs) != 1", on_fail="restart"),
        "restart": {"limit": 1, "min-wait": "10ms"},
        "stop": {"timeout": "300ms"},
    }
    project.write(group({"web": web}, kill_unresponsive_after=600))
    with records(project, "up") as (run, found):
        wait_until(lambda: count(project, "runs") == 1, "the first run")
        (project.directory / "bad").touch()
        wait_until(lambda: count(project, "runs") == 2, "the second run")
        run.signal(signal.SIGTERM)
        result = run.finish()
    assert result.code == 143
    first = only(found, "exit")[0]
    assert (first["code"], first["signal"], first["cause"]) == (137, "SIGKILL", "restarts")
    (failed,) = only(found, "check-failed")
    assert 0.3 - EARLY < float(str(first["time"])) - float(str(failed["time"])) < 60


@pytest.mark.parametrize("restart", [{}, {"restart": {"limit": 1, "min-wait": "10ms"}}])
def test_H9_without_a_restart_left_a_check_that_fails_is_the_end_with_125(
    project: Project, restart: dict[str, object]
) -> None:
    run = "echo x >> runs; echo >&5; exec sleep 600"
    web = {"run": run, "ready": {"fd": 5}, "health": health(exec="false", on_fail="restart"), **restart}
    project.write(group({"web": web, "other": STAY}, mode="stop-on-failure"))
    result = project.run("up")
    assert result.code == 125, result.err
    assert count(project, "runs") == 1 + len(restart)


WATCHED = {"name": "disk", "interval": "50ms", "threshold": 2, "on-fail": {"spawn": "recover"}}


def test_H10_a_child_is_spawned_at_each_breach_and_its_end_stops_nobody(project: Project) -> None:
    """Supervision 10.7, 8.7: it ends with 0, it is not pressed to run again while nothing has passed."""
    watch = {**WATCHED, "check": {"path": "there"}}
    children = {
        "web": {"run": END, "watch": [watch]},
        "recover": {"run": "echo x >> recovered", "autostart": False},
    }
    project.write(group(children, mode="stop-on-failure"))
    there = project.directory / "there"
    there.touch()
    run = begin(project, "up")
    wait_for(project, 1, "start", "web")
    for number in (1, 2, 3):
        there.unlink()
        wait_for(project, number, "exit", "recover")
        there.touch()
        wait_for(project, number, "check-recovered", "web")
    result = finished(project, run)
    assert result.code == 0, result.err
    assert count(project, "recovered") == 3
    assert [record["action"] for record in told(project, "check-failed")] == ["spawn recover"] * 3


def test_H10_one_that_still_runs_is_not_spawned_again(project: Project) -> None:
    """Two watches with one child for both: the second breach finds it running, and says so."""
    children = {
        "web": {
            "run": until("told") + END,
            "watch": [
                {**WATCHED, "name": "one", "check": {"path": "never"}},
                {**WATCHED, "name": "two", "check": {"path": "two"}},
            ],
        },
        "recover": {"run": "echo $VAGGA_WATCH_NAME >> recovered; " + END, "autostart": False},
    }
    project.write(group(children, mode="stop-on-failure"))
    (project.directory / "two").touch()
    with records(project, "up") as (run, found):
        wait_until(lambda: project.read("recovered") == "one\n", "the one that is spawned")
        (project.directory / "two").unlink()
        (project.directory / "told").touch()
        assert run.process.stderr is not None
        line = b""
        while b"recover is not started now: it still runs" not in line:
            line = run.process.stderr.readline()
            assert line, "it was not told"
        assert finished(project, run).code == 0
    assert project.read("recovered") == "one\n"
    assert [record["name"] for record in only(found, "not-spawned")] == ["recover"]


@pytest.mark.parametrize(
    ("check", "shown"),
    [({"path": "never"}, "path never"), ({"exec": ["test", "-e", "/work/never"]}, "test -e /work/never")],
)
def test_H11_the_one_that_is_spawned_knows_what_failed(project: Project, check: dict[str, object], shown: str) -> None:
    """Supervision 10.7."""
    children = {
        "web": {"run": END, "watch": [{**WATCHED, "check": check}]},
        "recover": {"run": "env | grep ^VAGGA_WATCH_ | sort > seen.new; mv seen.new seen", "autostart": False},
    }
    project.write(group(children))
    run = project.start("up")
    wait_until(lambda: project.has("seen"), "the one that is spawned")
    assert finished(project, run).code == 0
    assert project.read("seen").splitlines() == [
        f"VAGGA_WATCH_CHECK={shown}",
        "VAGGA_WATCH_FAILURES=2",
        "VAGGA_WATCH_NAME=disk",
        "VAGGA_WATCH_PROCESS=web",
    ]


def test_H12_each_watch_has_its_own_delay_and_looks_right_after_it(project: Project) -> None:
    watches = [
        {"name": name, "check": {"exec": f"date +%s.%N >> /work/{name}"}, "initial-delay": delay, "interval": "60s"}
        for name, delay in (("none", 0), ("short", "1s"), ("long", "2s"))
    ]
    project.write(group({"web": {"run": "date +%s.%N >> /work/begun; " + END, "watch": watches}}))
    before = (project.directory / "vagga.yaml").stat().st_mtime
    run = project.start("up")
    wait_until(lambda: all(project.read(name).endswith("\n") for name in ("begun", "none", "short", "long")), "all")
    assert finished(project, run).code == 0
    begun = float(project.read("begun"))
    looks = [float(only) for name in ("none", "short", "long") for only in project.read(name).split()]
    assert len(looks) == 3
    for look, delay in zip(looks, (0.0, 1.0, 2.0), strict=True):
        assert look - before >= delay
        assert look - begun < delay + 30


# --- readiness --------------------------------------------------------------------------------------------------


def late(**web: object) -> dict[str, object]:
    """Return a group in which `late` waits for `web`, which then may end."""
    return {"web": web, "late": {"run": "touch end", "when": {"source": "web", "once": "healthy"}}}


def test_the_program_of_systemd_says_ready(project: Project) -> None:
    """Supervision 10.1: as in a shell script that runs under systemd."""
    need(shutil.which("systemd-notify") is not None, "systemd-notify does not exist")
    notify = {"run": f"systemd-notify --status=starting; systemd-notify --ready; {END}", "ready": {"notify": True}}
    project.write(group(late(**notify)))
    result = project.run("up")
    assert result.code == 0, result.err
    assert "web is healthy" in result.err


def test_checks_begin_when_a_child_is_ready_and_not_before(project: Project) -> None:
    """Supervision 10.1, 10.3: ready alone is not healthy, and looks before would fail."""
    web = {
        "run": "sleep 0.3; touch ready; echo >&5; sleep 0.3; touch good; " + END,
        "ready": {"fd": 5},
        "health": health(exec="test -e /work/ready || touch /work/early; test -e /work/good", start_period="30s"),
    }
    project.write(group(late(**web)))
    result, found = run_recorded(project, "up")
    assert result.code == 0, result.err
    assert states(found) == [True]
    assert not project.has("early")


def test_a_child_that_is_not_ready_in_time_is_restarted(project: Project) -> None:
    """Supervision 10.7: the second run says it."""
    web = {
        "run": "echo x >> runs; test $(wc -l < runs) = 1 || echo I am here; " + END,
        "ready": {"line": "I am here", "timeout": "3s", "on-fail": "restart"},
        "restart": {"limit": 1, "min-wait": "10ms"},
    }
    project.write(group(late(**web)))
    result, found = run_recorded(project, "up")
    assert result.code == 0, result.err
    assert states(found) == [False, True]
    assert count(project, "runs") == 2


# --- local watches ----------------------------------------------------------------------------------------------


def watchers(run: str = END) -> dict[str, object]:
    """Return a child that lasts, and one for each event of the watch `it`."""
    each = {
        name: {"run": f"echo {name} >> events", "when": {"source": "watch.it", "each": name}}
        for name in ("changed", "healthy", "unhealthy")
    }
    return {"stay": run, **each}


def test_H13_a_watch_of_a_file_tells_when_it_is_there_and_when_it_changes(project: Project) -> None:
    """Supervision 11.1: nothing at first is unhealthy only; another content is a change only; then it is gone."""
    project.write(group(watchers(), watches={"it": {"path": "file", "interval": "50ms"}}))
    run = project.start("up")

    def lines() -> list[str]:
        return sorted(project.read("events").splitlines())

    def put(text: str) -> None:
        (project.directory / "file.new").write_text(text)
        (project.directory / "file.new").rename(project.directory / "file")

    wait_until(lambda: lines() == ["unhealthy"], "there is none")
    put("one")
    wait_until(lambda: lines() == ["changed", "healthy", "unhealthy"], "there is one")
    put("another")
    wait_until(lambda: lines() == ["changed", "changed", "healthy", "unhealthy"], "it has changed")
    (project.directory / "file").unlink()
    wait_until(lambda: lines() == ["changed"] * 3 + ["healthy"] + ["unhealthy"] * 2, "it is gone")
    assert finished(project, run).code == 0


@pytest.mark.parametrize("kind", ["http", "tcp"])
def test_H16_a_watch_of_a_server_that_is_not_there_is_unhealthy_until_it_comes(project: Project, kind: str) -> None:
    port = free_port()
    target = f"http://127.0.0.1:{port}/" if kind == "http" else f"127.0.0.1:{port}"
    project.write(group(watchers(), watches={"it": {kind: target, "interval": "1s"}}))
    run = project.start("up")
    wait_until(lambda: project.read("events") == "unhealthy\n", "nobody listens")
    with serving(port):
        wait_until(lambda: count(project, "events") == 3, "somebody listens")
        assert sorted(project.read("events").splitlines()) == ["changed", "healthy", "unhealthy"]
    wait_until(lambda: count(project, "events") == 5, "nobody listens again")
    result = finished(project, run)
    assert result.code == 0
    assert "Traceback" not in result.err


def test_H16_a_redirect_is_not_followed_and_its_status_may_be_what_is_wanted(project: Project) -> None:
    with serving() as server:
        server.answers = [302]
        url = f"http://127.0.0.1:{server.port}/"
        watches = {"it": {"http": {"url": url, "status": 302}, "interval": "1s"}}
        project.write(group(watchers(), watches=watches))
        run = project.start("up")
        wait_until(lambda: count(project, "events") >= 2, "the first answer")
        assert sorted(project.read("events").splitlines()) == ["changed", "healthy"]
        server.answers = [200]
        wait_until(lambda: "unhealthy\n" in project.read("events"), "another status")
        assert finished(project, run).code == 0


SLOW = """
import sys, time
time.sleep(7)
sys.path.remove({directory!r})
del sys.modules["httpx"]
import httpx
"""


def test_H16_the_first_look_at_a_server_has_all_of_its_time(project: Project) -> None:
    """What the prober loads before it can look is not counted: a server that answers needs no long `timeout`.

    Here the library takes longer to be loaded than the server may take to answer, and than a prober may be silent.
    """
    directory = project.home / "slow"
    directory.mkdir()
    (directory / "httpx.py").write_text(SLOW.format(directory=str(directory)))
    project.environ["PYTHONPATH"] = str(directory)
    with serving() as server:
        late = {"run": "true", "depends": [{"http": f"http://127.0.0.1:{server.port}/", "retry": False}]}
        watches = {"it": {"http": f"http://127.0.0.1:{server.port}/", "interval": "60s", "timeout": "1s"}}
        children = {"late": late, **watchers(until("events") + "true")}
        project.write(group(children, watches=watches))
        result = project.run("up")
    assert result.code == 0, result.err
    assert "unhealthy" not in project.read("events")


def test_H16_a_server_that_hangs_is_unhealthy_and_holds_nobody_up(project: Project) -> None:
    """The child beside it starts, is checked and ends as if the watch was not there."""
    with serving() as server:
        server.goes_on.clear()
        watches = {"it": {"http": f"http://127.0.0.1:{server.port}/", "interval": "1s", "timeout": "300ms"}}
        web = {"run": END, "health": health(exec="echo x >> /work/looks", interval="50ms")}
        project.write(group({**watchers(), "web": web}, watches=watches))
        run = project.start("up")
        wait_until(lambda: project.read("events") == "unhealthy\n", "the watch gives up")
        looks = count(project, "looks")
        server.wait_for(2)
        wait_until(lambda: count(project, "looks") > looks + 3, "checks go on")
        result = finished(project, run)
    assert result.code == 0
    assert result.seconds < 60


def test_H16_a_server_with_an_address_of_ipv6_alone_is_found(project: Project) -> None:
    with socket.socket(socket.AF_INET6) as listening:
        try:
            listening.bind(("::1", 0))
        except OSError:
            need(False, "no loopback address of IPv6")
        listening.listen(100)
        project.write(group({"web": {"run": END, "health": health(tcp=f"[::1]:{listening.getsockname()[1]}")}}))
        run = project.start("up")
        assert run.process.stderr is not None
        assert run.process.stderr.readline() == b"vagga: web is healthy\n"
        assert finished(project, run).code == 0
