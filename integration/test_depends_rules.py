"""What children wait for, with real servers, files and processes (docs/supervision.md section 9)."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Mapping

import pytest

from integration.records import EARLY, begin, told, wait_for
from integration.ruled import END, STAY, count, free_port, group, only, run_recorded, serving
from integration.runs import Project, wait_until
from integration.test_status_records import records

SOON = 20.0
"""Seconds, a third of what is waited where nothing else is said, and more than a busy machine needs."""


def waits(*depends: Mapping[str, object], run: str = "echo late runs", **keys: object) -> dict[str, object]:
    """Return a child with these entries of `depends`, which are looked at often."""
    return {"run": run, "depends": [{"poll": "20ms", **each} for each in depends], **keys}


def delay(found: list[dict[str, object]], first: str, last: str) -> float:
    """Return the seconds between two events."""
    return float(str(only(found, last)[0]["time"])) - float(str(only(found, first)[0]["time"]))


# --- one after the other ----------------------------------------------------------------------------------------


def test_D1_the_clock_of_a_dependency_begins_when_those_before_it_are_met(project: Project) -> None:
    """Supervision 9.6: the first file comes when the time of the second would be over, and the second one after it."""
    project.write(group({"late": waits({"path": "one", "timeout": "none"}, {"path": "two", "timeout": "3s"})}))
    run = begin(project, "up")
    wait_for(project, 1, "wait", "late")
    time.sleep(3.2)
    (project.directory / "one").touch()
    wait_for(project, 1, "met", "late")
    (project.directory / "two").touch()
    result = run.finish()
    assert (result.code, result.out) == (0, "late runs\n"), result.err
    assert [record["what"] for record in told(project, "met")] == ["path one", "path two"]


def test_D1_the_second_is_not_looked_at_before_the_first_is_met(project: Project) -> None:
    with serving() as server:
        late = waits({"path": "one"}, {"http": f"http://127.0.0.1:{server.port}/"})
        project.write(group({"late": late, "a": "sleep 0.5; touch before.new; mv before.new before; exec sleep 600"}))
        run = project.start("up")
        wait_until(lambda: project.has("before"), "some looks at the first")
        assert server.asked == 0
        (project.directory / "one").touch()
        server.wait_for(1)
        run.signal(signal.SIGTERM)
        assert run.finish().code == 143


def test_D2_the_file_of_the_last_run_is_not_taken_for_that_of_this_one(project: Project) -> None:
    """Supervision 9.8: `process-exited` first, then the file that this process writes."""
    (project.directory / "out.json").write_text('{"port": 1}')
    find = {"file-contains": {"path": "out.json", "key": "$.port", "env": "PORT"}}
    children = {
        "job": {"run": """sleep 0.3; echo '{"port": 2}' > out.json""", "once": True},
        "web": waits({"process-exited": "job"}, find, run="echo $PORT"),
    }
    project.write(group(children, mode="wait-all-successful"))
    result = project.run("up")
    assert (result.code, result.out) == (0, "2\n"), result.err


# --- not met ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "depend",
    [{"path": "never"}, {"tcp": "127.0.0.1:1"}, {"http": "http://127.0.0.1:1/"}, {"process-exited": "job"}],
)
def test_D3_without_retry_the_first_look_decides(project: Project, depend: dict[str, object]) -> None:
    """Supervision 9.7: 125 at once, whatever the mode is, and the child has not run."""
    children = {"late": waits({**depend, "retry": False}), "job": {"run": STAY, "once": True}}
    project.write(group(children, mode="wait-all-successful"))
    result, found = run_recorded(project, "up")
    assert result.code == 125
    assert result.out == ""
    assert "retry disabled" in result.err
    (unmet,) = only(found, "unmet")
    assert (unmet["name"], unmet["code"], unmet["cause"]) == ("late", 125, "first")
    assert delay(found, "wait", "unmet") < SOON


@pytest.mark.parametrize("poll", ["50ms", "600s"])
@pytest.mark.parametrize("hangs", [False, True])
def test_D4_a_server_that_is_not_there_is_given_up_in_time(project: Project, poll: str, hangs: bool) -> None:
    """Supervision 9.7: neither a long `poll` nor a request that hangs makes it later."""
    with serving() as server:
        server.goes_on.clear()
        port = server.port if hangs else free_port()
        late = waits({"http": f"http://127.0.0.1:{port}/", "timeout": "200ms", "poll": poll})
        project.write(group({"late": late, "other": STAY}, mode="stop-on-failure"))
        result, found = run_recorded(project, "up")
    assert result.code == 125
    assert "not so after 0.2 s" in result.err
    assert 0.2 - EARLY < delay(found, "wait", "unmet") < 4.5  # a request may take 5 s


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_D5_a_stop_ends_a_wait_at_once(project: Project, number: signal.Signals) -> None:
    """With a long `poll`, and a request under way."""
    with serving() as server:
        server.goes_on.clear()
        children = {
            "file": waits({"path": "never", "poll": "600s"}),
            "page": waits({"http": f"http://127.0.0.1:{server.port}/"}),
            "line": waits({"output-matches": {"child": "other", "text": "never"}, "timeout": "none"}),
            "other": "touch begun; exec sleep 600",
        }
        project.write(group(children, mode="stop-on-failure"))
        run = project.start("up")
        server.wait_for(1)
        wait_until(lambda: project.has("begun"), "the child")
        run.signal(number)
        result = run.finish()
    assert result.code == 128 + number
    assert result.seconds < 60
    assert "late runs" not in result.out


def test_D6_a_job_that_fails_ends_the_wait_for_it_at_once(project: Project) -> None:
    """Supervision 9.7, 13.1: no hang, and the chain of what happened."""
    children = {"job": {"run": "sleep 0.2; exit 3", "once": True}, "late": waits({"process-exited": "job"})}
    project.write(group(children))
    result, found = run_recorded(project, "up")
    assert result.code == 3
    (unmet,) = only(found, "unmet")
    assert (unmet["name"], unmet["code"]) == ("late", 125)
    assert delay(found, "exit", "unmet") < SOON
    assert "late was not started: job is done: job ended with 3" in result.err


def test_D6_a_job_whose_condition_says_no_counts_as_done(project: Project) -> None:
    """Supervision 8.9."""
    children = {
        "job": {"run": "touch job.ran", "once": True, "condition": "test -e never"},
        "late": waits({"process-exited": "job"}),
    }
    project.write(group(children, mode="wait-all-successful"))
    result = project.run("up")
    assert (result.code, result.out) == (0, "late runs\n"), result.err
    assert not project.has("job.ran")
    assert "job is skipped: its condition ended with 1" in result.err


def test_D6_only_a_child_with_once_is_ever_done(project: Project) -> None:
    project.write(group({"job": "touch ran", "late": waits({"process-exited": "job"})}))
    result = project.run("up")
    assert result.code == 126
    assert "once" in result.err
    assert not project.has("ran")


@pytest.mark.parametrize(("skip", "code"), [({}, 125), ({"on-timeout": "skip"}, 0)])
def test_what_does_not_come_is_a_failure_or_skips_the_child(
    project: Project, skip: dict[str, object], code: int
) -> None:
    """Supervision 9.7: who is skipped has stopped, for those that wait for that."""
    children = {
        "late": waits({"path": "never", "timeout": "100ms", **skip}),
        "after": {"run": "touch stopped", "when": {"source": "late", "once": "stopped"}},
    }
    project.write(group({**children, "web": "sleep 0.5"}))
    result = project.run("up")
    assert result.code == code
    assert "late runs" not in result.out
    assert project.has("stopped")


# --- servers and processes --------------------------------------------------------------------------------------


def test_D7_a_name_with_several_addresses_is_tried_with_each(project: Project) -> None:
    """`localhost` is ::1, too; the server only has 127.0.0.1."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(10)
        project.write(group({"late": waits({"tcp": f"localhost:{listening.getsockname()[1]}"})}))
        result = project.run("up")
    assert (result.code, result.out) == (0, "late runs\n"), result.err


def test_D7_a_name_that_is_not_found_is_not_a_port_that_is_free(project: Project) -> None:
    late = waits({"not-listening": "no-such-host.invalid:80", "timeout": "1s"})
    project.write(group({"late": late}))
    result = project.run("up")
    assert (result.code, result.out) == (125, "")


def test_negations_are_met_when_what_was_there_is_gone(project: Project) -> None:
    """A port, a path and a process, one after the other."""
    marker = f"wait-for-me-{free_port()}"
    (project.directory / "lock").touch()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(10)
        late = waits(
            {"not-listening": f"127.0.0.1:{listening.getsockname()[1]}"},
            {"not-exists": "lock"},
            {"not-running": marker},
        )
        busy = "python3 -c 'import os,time; [time.sleep(0.02) for _ in iter(lambda: os.path.exists(\"go\"), True)]' "
        project.write(group({"late": late, "busy": busy + marker}, mode="wait-all-successful"))
        with records(project, "up") as (run, found):
            assert run.process.stderr is not None
            assert b"late waits: nobody listens" in run.process.stderr.readline()
            listening.close()
            assert b"late waits: no path lock" in run.process.stderr.readline()
            (project.directory / "lock").unlink()
            assert b"late waits: no process wait-for-me" in run.process.stderr.readline()
            (project.directory / "go").touch()
            result = run.finish()
    assert (result.code, result.out) == (0, "late runs\n"), result.err
    assert len(only(found, "met")) == 3


def test_D8_vagga_itself_is_no_process_that_is_waited_for(project: Project) -> None:
    """Its own words, and those of the prober and of the spawner, have the pattern in them."""
    marker = f"NUMBER={free_port()}"  # so that it is this run alone
    project.write(group({"late": waits({"not-running": f"vaggapy -E {marker} up", "timeout": "50s"})}))
    result = project.run("-E", marker, "up")
    assert (result.code, result.out) == (0, "late runs\n"), result.err


@pytest.mark.parametrize("number", [200, 404, 503])
def test_D9_any_status_may_be_awaited_and_200_is_the_default(project: Project, number: int) -> None:
    with serving() as server:
        server.answers = [500, 201, number]
        url = f"http://127.0.0.1:{server.port}/"
        wanted = {"http": url} if number == 200 else {"http": {"url": url, "status": number}}
        project.write(group({"late": waits(wanted)}))
        result = project.run("up")
        assert (result.code, result.out) == (0, "late runs\n"), result.err
        assert server.asked == 3


def test_D9_a_server_without_tls_is_not_ready_for_https(project: Project) -> None:
    with serving() as server:
        late = waits({"http": f"https://127.0.0.1:{server.port}/", "timeout": "1s"})
        project.write(group({"late": late}))
        result = project.run("up")
    assert (result.code, result.out) == (125, "")


# --- files ------------------------------------------------------------------------------------------------------


def test_D10_a_value_is_there_when_the_file_is_whole_and_the_value_not_null(project: Project) -> None:
    """Supervision 9.8: half of a file, a null, then the value."""
    writes = (
        'printf \'{"db": {"po\' > out.json; sleep 0.3; '
        'echo \'{"db": {"port": null}}\' > out.json; sleep 0.3; '
        'touch whole; echo \'{"db": {"port": 5432}}\' > out.json'
    )
    late = waits({"file-contains": {"path": "out.json", "key": "$.db.port", "env": "PORT"}}, run="ls whole; echo $PORT")
    project.write(group({"late": late, "writer": writes}))
    result, found = run_recorded(project, "up")
    assert (result.code, result.out) == (0, "whole\n5432\n"), result.err
    assert [record["what"] for record in only(found, "met")] == ["$.db.port in out.json"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [('"a b"', "a b"), ("5", "5"), ("1.5", "1.5"), ("true", "true"), ('[1, "x"]', '[1,"x"]'), ('""', "")],
)
@pytest.mark.parametrize("name", ["out.json", "out.yml"])
def test_D10_values_of_all_kinds_become_text(project: Project, name: str, text: str, shown: str) -> None:
    (project.directory / name).write_text(f'{{"it": {text}}}')
    late = waits({"file-contains": {"path": name, "key": "$.it", "env": "IT"}}, run='echo "<$IT>"')
    project.write(group({"late": late}))
    result = project.run("up")
    assert (result.code, result.out.replace(", ", ",")) == (0, f"<{shown}>\n"), result.err


def test_D10_of_several_matches_the_first_counts(project: Project) -> None:
    (project.directory / "out.json").write_text('{"all": [{"port": 1}, {"port": 2}]}')
    late = waits({"file-contains": {"path": "out.json", "key": "$.all[*].port", "env": "PORT"}}, run="echo $PORT")
    project.write(group({"late": late}))
    result = project.run("up")
    assert (result.code, result.out) == (0, "1\n"), result.err


def test_D11_variables_of_the_child_are_replaced_in_what_it_waits_for(project: Project) -> None:
    """Its own win over those of its container; `$$` is a dollar sign."""
    containers = "containers:\n  host:\n    setup: [!Host]\n    environ: {PLACE: wrong, END: .txt}\n"
    (project.directory / "here$x.txt").touch()
    late = waits({"path": "${PLACE}$$x$END"}, environ={"PLACE": "here"})
    project.write(group({"late": late}), containers)
    result = project.run("up")
    assert (result.code, result.out) == (0, "late runs\n"), result.err


@pytest.mark.parametrize("text", ["$NO_SUCH_VARIABLE/x", "${NO_SUCH_VARIABLE}", "${A:-b}", "tail$", "${open"])
def test_D11_what_is_no_variable_is_told_before_anything_runs(project: Project, text: str) -> None:
    late = waits({"path": text}, environ={"A": "a"})
    project.write(group({"late": late, "other": "touch ran"}))
    result = project.run("up")
    assert result.code == 126, (result.code, result.err)
    assert "$" in result.err
    assert re.search(r" \[(bad|check)-variable\]\n$", result.err), result.err
    if "NO_SUCH" in text:
        assert "NO_SUCH_VARIABLE" in result.err
    assert "Traceback" not in result.err
    assert not project.has("ran")


def test_D12_a_circle_through_all_kinds_of_waiting_is_told_before_anything_runs(project: Project) -> None:
    children = {
        "a": waits({"process-exited": "b"}, run="touch ran", once=True),
        "b": {"run": "touch ran", "once": True, "when": {"source": "c", "once": "exit-success"}},
        "c": waits({"output-matches": {"child": "a", "text": "x"}}, run="touch ran"),
        "d": "touch ran",
    }
    project.write(group(children))
    result = project.run("up")
    assert result.code == 126
    for name in ("a", "b", "c"):
        assert name in result.err
    assert " -> " in result.err, result.err
    assert not project.has("ran")


# --- lines of output --------------------------------------------------------------------------------------------


def matches(child: str = "server", **keys: object) -> dict[str, object]:
    return {"output-matches": {"child": child, "text": "listening on 80"}, **keys}


@pytest.mark.parametrize(
    "prints",
    [
        "echo server: listening on 80",
        "printf 'server: lis'; sleep 0.2; printf 'tening on 80\\n'",
        "printf 'listening on 80'",
        "printf '\\033[1;32mlis\\033[0mtening on 80\\n'",
        "echo listening on 80 >&2",
    ],
)
def test_D13_a_line_may_come_in_pieces_coloured_or_on_standard_error(project: Project, prints: str) -> None:
    project.write(group({"server": f"{prints}; {END}", "late": waits(matches(), run="touch end")}))
    result = project.run("up")
    assert result.code == 0, result.err


def test_D13_a_line_that_was_there_before_somebody_waited_counts(project: Project) -> None:
    """Supervision 9.1: also if the server has ended since."""
    children = {
        "server": {"run": "echo listening on 80; touch printed", "once": True},
        "late": waits({"path": "printed"}, {"process-exited": "server"}, matches()),
    }
    project.write(group(children))
    result = project.run("up")
    assert (result.code, result.out) == (0, "listening on 80\nlate runs\n"), result.err


def test_D13_a_server_that_ends_without_the_line_ends_the_wait(project: Project) -> None:
    project.write(group({"server": "sleep 0.2; echo something else", "late": waits(matches())}))
    result, found = run_recorded(project, "up")
    assert result.code == 125
    assert delay(found, "exit", "unmet") < SOON
    assert "late runs" not in result.out


def test_D13_one_of_several_is_enough(project: Project) -> None:
    """Supervision 8.8: the name of a `for-each` is any of them."""
    run = "test $N = 1 && echo listening on 80; " + END
    server = {"run": run, "for-each": {"range": "0..3", "as": "N"}}
    project.write(group({"server": server, "late": waits(matches(), run="touch end")}))
    result = project.run("up")
    assert result.code == 0, result.err


def test_D13_the_line_of_a_restarted_server_counts_too(project: Project) -> None:
    server = {
        "run": "echo x >> runs; test $(wc -l < runs) = 1 && exit 1; echo listening on 80; " + END,
        "restart": {"limit": 1, "min-wait": "10ms"},
    }
    project.write(group({"server": server, "late": waits(matches(), run="touch end")}))
    result = project.run("up")
    assert result.code == 0, result.err
    assert count(project, "runs") == 2


# --- several of a kind ------------------------------------------------------------------------------------------


def nodes(run: str, **keys: object) -> dict[str, object]:
    return {"run": run, "for-each": {"glob": "conf/node-*", "as": "NODE"}, **keys}


def configure(project: Project, *names: str) -> None:
    (project.directory / "conf").mkdir()
    for name in names:
        (project.directory / "conf" / name).touch()


def test_D14_there_is_one_child_for_each_path_in_the_order_of_their_bytes(project: Project) -> None:
    configure(project, "node-b", "node-B", "node-10", "node-9", "other")
    project.write(group({"node": nodes("echo $VAGGA_SUBCOMMAND $NODE")}))
    result = project.run("up")
    assert result.code == 0, result.err
    assert sorted(result.out.splitlines()) == [
        "node-0 conf/node-10",
        "node-1 conf/node-9",
        "node-2 conf/node-B",
        "node-3 conf/node-b",
    ]


def test_D14_paths_of_any_name_are_whole_in_the_variable(project: Project) -> None:
    """With spaces, line ends, wildcards and bytes that are no text; a link out of the project is no path of it."""
    names = [b"node- a", b"node-*", b"node-\n", b"node-$HOME", b"node-\xff", "node-é".encode()]
    configure(project)
    for name in names:
        (project.directory / "conf" / os.fsdecode(name)).touch()
    (project.directory / "conf" / "node-out").symlink_to("/etc")
    project.write(group({"node": nodes('cp "$NODE" "$(printf "copy-%s" "$VAGGA_SUBCOMMAND")"; test -e "$NODE"')}))
    result = project.run("up")
    assert result.code == 0, result.err
    assert len(list(project.directory.glob("copy-node-*"))) == len(names)


@pytest.mark.parametrize(("failing", "code", "follows"), [("none", 0, True), ("conf/node-b", 4, False)])
def test_D14_all_of_them_are_done_when_each_has_ended_with_0(
    project: Project, failing: str, code: int, follows: bool
) -> None:
    """Supervision 8.8."""
    configure(project, "node-a", "node-b", "node-c")
    children = {
        "node": nodes(f"sleep 0.1; echo $NODE; test $NODE != {failing} || exit 4", once=True),
        "late": {"run": "echo late runs", "when": {"source": "node", "once": "exit-success"}},
        "dependent": waits({"process-exited": "node"}, run="echo dependent runs"),
    }
    project.write(group(children))
    result = project.run("up")
    assert result.code == code, result.err
    lines = result.out.splitlines()
    assert sorted(lines[:3]) == ["conf/node-a", "conf/node-b", "conf/node-c"]
    assert sorted(lines[3:]) == (["dependent runs", "late runs"] if follows else [])


def test_D14_a_glob_without_a_match_is_an_error_before_anything_runs(project: Project) -> None:
    configure(project, "other")
    project.write(group({"node": nodes("touch ran"), "web": "touch ran"}))
    result = project.run("up")
    assert result.code == 126
    assert "conf/node-*" in result.err
    assert result.err.rstrip().endswith("[no-matches]")
    assert not project.has("ran")
    assert project.run("up", "--exclude", "node").code == 0


def test_D14_an_empty_range_is_complete_at_once(project: Project) -> None:
    """Supervision 8.8: who waits for all of none runs."""
    node = {"run": "echo node runs", "once": True, "for-each": {"range": "0..0", "as": "N"}}
    children = {
        "node": node,
        "late": {"run": "echo late runs", "when": {"source": "node", "once": "exit-success"}},
        "dependent": waits({"process-exited": "node"}, run="echo dependent runs"),
    }
    project.write(group(children, mode="wait-all-successful"))
    result = project.run("up")
    assert result.code == 0, result.err
    assert sorted(result.out.splitlines()) == ["dependent runs", "late runs"]


def test_D14_one_of_them_is_chosen_or_left_out_by_its_name(project: Project) -> None:
    configure(project, "node-a", "node-b", "node-c")
    project.write(group({"node": nodes("echo $NODE")}))
    assert sorted(project.run("up", "--only", "node-1").out.split()) == ["conf/node-b"]
    assert sorted(project.run("up", "--exclude", "node-1").out.split()) == ["conf/node-a", "conf/node-c"]
    assert sorted(project.run("up", "--only", "node").out.split()) == ["conf/node-a", "conf/node-b", "conf/node-c"]
