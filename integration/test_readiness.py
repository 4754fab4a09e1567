"""How a child says that it is ready: sd_notify, a newline on a descriptor, a line of its output."""

from __future__ import annotations

import signal
from collections.abc import Mapping

import pytest

from integration.runs import Project, has_ranges, need, supervise, wait_until

NOTIFY = (
    "import socket,os,sys,time; s=socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); "
    "send=lambda t: s.sendto(t.encode(), os.environ['NOTIFY_SOCKET']); "
)
UNTIL_END = "[time.sleep(0.02) for _ in iter(lambda: os.path.exists('/work/end'), True)]"
END = "until test -e /work/end; do sleep 0.02; done"


def late() -> dict[str, object]:
    return {"run": "echo late runs; touch end", "when": {"source": "web", "once": "healthy"}}


def up(project: Project, web: Mapping[str, object], **keys: object) -> None:
    project.write(supervise("up", {"web": web, "late": late()}, **{"mode": "keep-going", **keys}))


@pytest.mark.parametrize("mode", ["wait", "wait-all-children", "exec"])
def test_a_program_says_by_sd_notify_that_it_is_ready(project: Project, mode: str) -> None:
    """Other notices are taken, too, and mean nothing."""
    text = NOTIFY + "send('STATUS=begins'); time.sleep(0.2); send('STATUS=x\\nREADY=1\\n'); "
    text += "[send('WATCHDOG=1') for _ in range(500)]; " + UNTIL_END
    up(project, {"run": ["python3", "-c", text], "pid1mode": mode, "ready": {"notify": True}})
    result = project.run("up")
    assert result.code == 0, result.err
    assert "late runs" in result.out


def test_a_program_with_another_id_may_notify(project: Project) -> None:
    need(has_ranges(), "only one id here")
    project.directory.chmod(0o777)
    text = NOTIFY + "send('READY=1'); " + UNTIL_END
    up(project, {"run": ["python3", "-c", text], "user-id": 7, "ready": {"notify": True}})
    result = project.run("up")
    assert result.code == 0, result.err


def test_the_socket_for_notices_is_where_no_other_child_sees_it(project: Project) -> None:
    up(project, {"run": "echo $NOTIFY_SOCKET > where; ls -d $NOTIFY_SOCKET", "ready": {"notify": True}})
    other = {"run": "until test -s where; do sleep 0.02; done; echo ${NOTIFY_SOCKET:-none}; test ! -e $(cat where)"}
    web = {"run": f"echo $NOTIFY_SOCKET > where; ls -d $NOTIFY_SOCKET; {END}", "ready": {"notify": True}}
    project.write(supervise("up", {"web": web, "other": {"run": other["run"] + "; touch end"}}, mode="keep-going"))
    result = project.run("up")
    assert result.code == 0, result.err
    assert "none\n" in result.out
    assert project.read("where").startswith("/run/")


@pytest.mark.parametrize("mode", ["wait", "exec"])
@pytest.mark.parametrize("fd", [3, 7])
def test_a_newline_on_an_inherited_descriptor_says_ready(project: Project, fd: int, mode: str) -> None:
    text = f"import os,time; os.write({fd}, b'begin'); time.sleep(0.1); os.write({fd}, b's\\n'); "
    text += UNTIL_END
    up(project, {"run": ["python3", "-c", text], "pid1mode": mode, "ready": {"fd": fd}})
    result = project.run("up")
    assert result.code == 0, result.err
    assert "late runs" in result.out


def test_a_program_with_another_id_gets_the_descriptor(project: Project) -> None:
    need(has_ranges(), "only one id here")
    project.directory.chmod(0o777)
    up(project, {"run": f"echo >&5; ls /proc/self/fd > /work/fds; {END}", "user-id": 7, "ready": {"fd": 5}})
    result = project.run("up")
    assert result.code == 0, result.err
    assert project.read("fds").split() == ["0", "1", "2", "3", "5"]


def test_a_descriptor_beside_a_passed_socket(project: Project) -> None:
    web = {"run": f"ls -l /proc/self/fd > fds; echo >&4; {END}", "pass-tcp-socket": "127.0.0.1:0", "ready": {"fd": 4}}
    up(project, web)
    result = project.run("up")
    assert result.code == 0, result.err
    kinds = {line.split()[-3]: line.split()[-1] for line in project.read("fds").splitlines() if "->" in line}
    assert kinds["3"].startswith("socket:")
    assert kinds["4"].startswith("pipe:")


def test_a_program_that_closes_its_descriptor_unsaid_is_not_ready(project: Project) -> None:
    web = {"run": "exec 5>&-; sleep 60", "ready": {"fd": 5, "timeout": "300ms", "on-fail": "shutdown"}}
    up(project, web)
    result = project.run("up")
    assert result.code == 125
    assert "late runs" not in result.out


@pytest.mark.parametrize(
    "prints",
    [
        "echo server: listening on 80",
        "printf 'server: lis'; sleep 0.2; printf 'tening on 80\\n'",
        "printf 'server: listening on 80'",
        "printf 'server: \\033[1;32mlis\\033[0mtening\\033[K on 80\\n'",
        "echo server: listening on 80 >&2",
        "head -c 300000 /dev/zero | tr '\\0' x; echo server: listening on 80",
    ],
)
def test_d13_a_line_of_output_says_ready(project: Project, prints: str) -> None:
    """Also split over two writes, without an end, coloured, on standard error, and after 300 kB without a newline."""
    up(project, {"run": f"{prints}; {END}", "ready": {"line": "listening on 80"}})
    result = project.run("up")
    assert result.code == 0, result.err
    assert "late runs" in result.out


def test_the_output_that_is_looked_at_stays_as_it_is(project: Project) -> None:
    web = {"run": f"printf 'one\\ntwo'; {END}; printf ' three\\nlast'", "ready": {"line": "two"}}
    project.write(
        supervise(
            "up",
            {"web": web, "late": {"run": "touch end", "when": {"source": "web", "once": "healthy"}}},
            mode="keep-going",
        )
    )
    result = project.run("up")
    assert result.code == 0
    assert result.out == "one\ntwo three\nlast"


def test_a_line_that_was_printed_just_before_the_end_counts(project: Project) -> None:
    """O1: also without a newline, and whatever the size of what was printed before it."""
    web = {"run": "head -c 200000 /dev/zero | tr '\\0' x; printf ready", "once": True}
    late = {"run": "echo late runs", "depends": [{"output-matches": {"child": "web", "text": "ready"}}]}
    project.write(supervise("up", {"web": web, "late": late}, mode="keep-going"))
    result = project.run("up")
    assert result.code == 0, result.err
    assert "late runs" in result.out


def test_s13_readiness_of_an_earlier_run_is_not_taken_for_the_next(project: Project) -> None:
    """Ready, then dead; the second run says nothing."""
    run = "echo x >> runs; test $(wc -l < runs) = 1 || sleep 60; echo >&5; exit 1"
    web = {
        "run": run,
        "restart": {"limit": 1, "min-wait": "10ms"},
        "ready": {"fd": 5, "timeout": "3s", "on-fail": "shutdown"},  # more than the first run takes
    }
    project.write(supervise("up", {"web": web}))
    result = project.run("up")
    assert result.code == 125, result.err
    assert project.read("runs") == "x\nx\n"


def test_a_stop_ends_a_child_that_never_became_ready(project: Project) -> None:
    up(project, {"run": "touch begun; exec sleep 60", "ready": {"notify": True}})
    run = project.start("up")
    wait_until(lambda: project.has("begun"), "the child")
    run.signal(signal.SIGINT)
    assert run.finish().code == 130
