"""Restarts on a terminal: each run gets one of its own, and the keys go to the present one."""

from __future__ import annotations

import signal
import time

import pytest

from integration.runs import Project, descendants, supervise
from integration.terminals import CTRL_BACKSLASH, CTRL_C, Terminal, unchanged


def test_the_keys_go_to_the_present_run_of_a_child_that_owns_the_terminal(project: Project) -> None:
    run = "echo x >> runs; echo ask $(wc -l < runs); read line; echo got $line from $(tty); exit $(wc -l < runs)"
    shell = {"run": run, "restart": {"limit": "unlimited", "min-wait": "10ms", "no-restart-on": [3]}}
    project.write(supervise("up", {"shell": shell}))
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("up")
        for number, word in enumerate(("one", "two", "three"), 1):
            terminal.wait_for(f"ask {number}")
            terminal.enter(word, f"got {word} from /dev/pts/0")
        assert terminal.end() == 3


def test_ctrl_c_during_a_wait_for_a_restart_ends_the_run(project: Project) -> None:
    shell = {"run": "echo ended; exit 1", "restart": {"limit": "unlimited", "min-wait": "30s"}}
    project.write(supervise("up", {"shell": shell}))
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("up")
        terminal.wait_for("restarts in")
        terminal.type(CTRL_C)
        assert terminal.end() == 130


def test_ctrl_c_while_the_only_child_waits_to_start_ends_the_run(project: Project) -> None:
    late = {"run": "echo late", "depends": [{"path": "never", "timeout": "60s"}]}
    project.write(supervise("up", {"late": late}))
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("up")
        terminal.until(lambda: len(descendants(terminal.pid)) >= 2, "the spawner and the prober")
        terminal.wait_for("waits")
        terminal.type(CTRL_C)
        assert terminal.end() == 130


def test_restarted_children_beside_each_other_keep_their_prefixes_and_terminals(project: Project) -> None:
    rows = "$(stty size < /dev/stderr | cut -d' ' -f1)"
    run = f"test -t 1 && echo x >> runs; echo run $(wc -l < runs) of {rows} rows; exit 1"
    web = {"run": run, "restart": {"limit": 2, "min-wait": "10ms"}}
    project.write(supervise("up", {"web": web, "stays": "exec sleep 60"}))
    with Terminal(project, rows=30) as terminal, unchanged(terminal):
        terminal.run("up")
        for number in (1, 2, 3):
            terminal.wait_for(f"run {number} of 30 rows")
        assert terminal.end() == 1


def test_ctrl_c_that_ends_the_only_child_ends_the_run_and_is_no_reason_for_a_restart(project: Project) -> None:
    """supervision 7.10: with `restarts: unlimited` nobody could ever hit the moment between two runs."""
    server = {"run": ["sh", "-c", "echo serves; exec sleep 60"], "restarts": "unlimited"}
    project.write(supervise("up", {"server": server}))
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("up")
        terminal.wait_for("serves")
        terminal.type(CTRL_C)
        assert terminal.end() == 130


@pytest.mark.parametrize(
    ("key", "name", "code"), [(CTRL_C, "INT", 130), (CTRL_BACKSLASH, "QUIT", 131)], ids=["interrupt", "quit"]
)
@pytest.mark.parametrize("end", ["exit 0", "exit 130", "sleep 0.3; exit 3"])
def test_ctrl_c_that_a_server_obeys_in_its_own_way_ends_the_run_too(
    project: Project, key: str, name: str, code: int, end: str
) -> None:
    """supervision 7.10: most servers catch the signal, and exit with 0."""
    server = {"run": f"trap '{end}' {name}; echo serves; while :; do sleep 0.02; done", "restarts": "unlimited"}
    project.write(supervise("up", {"server": server}, kill_unresponsive_after=60))
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("up")
        terminal.wait_for("serves")
        terminal.type(key)
        assert terminal.end() == code
        assert terminal.text.count("serves") == 1


@pytest.mark.parametrize("later", ["key", "time"])
def test_an_end_long_after_a_ctrl_c_or_after_another_key_is_followed_by_a_restart(project: Project, later: str) -> None:
    """supervision 7.10."""
    run = "trap 'echo caught' INT; echo serves; until test -e go; do sleep 0.02; done; rm go; exit 1"
    keys = {"kill_unresponsive_after": 60 if later == "key" else 1}
    project.write(supervise("up", {"server": {"run": run, "restarts": "unlimited"}}, **keys))
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("up")
        terminal.wait_for("serves")
        terminal.type(CTRL_C)
        terminal.wait_for("caught")
        if later == "key":
            terminal.type("x")
            terminal.wait_for("x")  # its echo
        else:
            over = time.monotonic() + 1.2
            terminal.until(lambda: time.monotonic() > over, "the time is over")
        (project.directory / "go").touch()
        terminal.wait_for("serves", 2)
        terminal.signal(signal.SIGTERM)
        assert terminal.end() == 143
