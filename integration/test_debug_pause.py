"""`--debug` and `on-fail: debug`: a pause before the stop, with a person at a real terminal, or without one."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from integration.runs import Project, alive, descendants, need, supervise
from integration.terminals import CTRL_BACKSLASH, CTRL_C, CTRL_D, CTRL_Z, Terminal, unchanged
from integration.test_status_records import only, run_recorded

ASK = "vagga: ENTER or Ctrl+C goes on with the stop"
BEHIND = "this job is in the background"
GOES_ON = "vagga: the stop goes on"
READY = "echo ready; exec sleep 1000"
POLITE = (
    "trap 'echo \"$VAGGA_SUBCOMMAND term\" >> /work/log; exit 0' TERM; "
    "trap 'echo \"$VAGGA_SUBCOMMAND int\" >> /work/log; exit 0' INT; echo ready; while :; do sleep 0.02; done"
)
STUBBORN = "trap '' TERM; trap 'echo got >> /work/log' INT; echo ready; while :; do sleep 0.02; done"


SAME = (
    "look() { cat /proc/$1/comm; for ns in user mnt pid ipc uts net; do "
    "test $(readlink /proc/self/ns/$ns) = $(readlink /proc/$1/ns/$ns) || return; done; echo same; }; look"
)


def failing(code: int = 3, name: str = "fail") -> str:
    """Return what a child runs that ends when the test makes a file."""
    return f"echo ready; until test -e /work/{name}; do sleep 0.02; done; exit {code}"


def ends(terminal: Terminal, project: Project, name: str = "fail", asks: str = ASK) -> None:
    """Let the child end for which that file is meant, when all have begun, and wait for the pause."""
    (project.directory / name).touch()
    terminal.wait_for(asks)


def begun(terminal: Terminal, children: int, *words: str) -> None:
    """Start `up` and wait until all of its children run."""
    terminal.run(*(words or ("up", "--debug")))
    terminal.wait_for("ready", children)


def suspended(terminal: Terminal, project: Project) -> None:
    """Start `up` with two children, and suspend it in the pause."""
    begun(terminal, 2)
    ends(terminal, project)
    terminal.type(CTRL_Z)
    assert terminal.stopped() == signal.SIGTSTP


# --- how a pause ends -------------------------------------------------------------------------------------------


def test_X18_enter_ends_the_pause_and_the_code_is_the_one_it_would_have_been(project: Project) -> None:
    """supervision 16.1, supervision 16.3 and supervision 16.5."""
    project.write(supervise("up", {"web": failing(), "db": POLITE, "cache": POLITE}))
    with Terminal(project, columns=300) as terminal, unchanged(terminal):
        begun(terminal, 3)
        ends(terminal, project)
        (paused,) = [line for line in terminal.lines if "paused before the stop" in line]
        assert re.fullmatch(
            r"vagga: paused before the stop: web exited 3 \(.* s\); still there: cache:\d+, db:\d+", paused
        )
        assert not project.has("log")
        terminal.type("\r")
        assert terminal.end() == 3
        assert GOES_ON in terminal.text
        assert terminal.lines[-2].startswith("vagga: web exited with code 3")
    assert sorted(project.read("log").split("\n")) == ["", "cache term", "db term"]


@pytest.mark.parametrize("key", [CTRL_C, CTRL_BACKSLASH, CTRL_D, "any words\r"])
def test_X18_other_keys_end_it_too_and_children_get_what_they_would_have_got(project: Project, key: str) -> None:
    """supervision 16.5: the SIGINT is not passed on."""
    project.write(supervise("up", {"web": failing(7), "db": POLITE}))
    with Terminal(project) as terminal, unchanged(terminal):
        begun(terminal, 2)
        ends(terminal, project)
        terminal.type(key)
        assert terminal.end() == 7
    assert project.read("log") == "db term\n"


def test_the_signal_that_ends_the_pause_is_not_counted(project: Project) -> None:
    """supervision 16.5: the next one is passed on, and only the one after that kills."""
    project.write(supervise("up", {"web": failing(), "db": STUBBORN}, kill_unresponsive_after=600))
    with Terminal(project) as terminal:
        begun(terminal, 2)
        ends(terminal, project)
        terminal.type(CTRL_C)
        terminal.wait_for("Received SIGINT signal. Waiting")
        terminal.type(CTRL_C)
        terminal.until(lambda: project.read("log") == "got\n", "the second one is passed on")
        terminal.type(CTRL_C)
        assert terminal.end() == 3
        assert "SIGINT signal again. Killing" in terminal.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_from_elsewhere_end_it(project: Project, number: int) -> None:
    """supervision 16.5."""
    project.write(supervise("up", {"web": failing(), "db": POLITE}))
    with Terminal(project) as terminal:
        begun(terminal, 2)
        ends(terminal, project)
        terminal.signal(number)
        assert terminal.end() == 3
    assert project.read("log") == "db term\n"


def test_a_terminal_that_is_closed_ends_it(project: Project) -> None:
    """supervision 16.5: vagga gets SIGHUP from the kernel."""
    project.write(supervise("up", {"web": failing(), "db": POLITE}))
    with Terminal(project) as terminal:
        begun(terminal, 2)
        ends(terminal, project)
        terminal.close()
        terminal.until(lambda: terminal.state()[0] not in ("running", "stopped"), "the job ends")
    assert project.read("log") == "db term\n"


def test_a_terminal_that_is_closed_ends_it_also_under_nohup(project: Project) -> None:
    """supervision 16.5 and supervision 4.7: nobody will ever answer."""
    project.write(supervise("up", {"web": failing(), "db": POLITE}))
    with Terminal(project) as terminal:
        env = shutil.which("env")
        need(env is not None, "there is no env(1)")
        terminal.start([str(env), "--ignore-signal=HUP", sys.executable, "-m", "vaggapy", "up", "--debug"])
        terminal.wait_for("ready", 2)
        ends(terminal, project)
        terminal.close()
        terminal.until(lambda: terminal.state()[0] not in ("running", "stopped"), "the job ends")
    assert project.read("log") == "db term\n"


def test_the_end_of_the_last_child_ends_it_and_ends_in_it_are_told(project: Project) -> None:
    """supervision 16.4 and supervision 16.5."""
    project.write(supervise("up", {"web": failing(), "db": failing(4, "one"), "cache": failing(5, "two")}))
    with Terminal(project) as terminal, unchanged(terminal):
        begun(terminal, 3)
        ends(terminal, project)
        (project.directory / "one").touch()
        terminal.wait_match(r"vagga: db:\d+ exited with code 4 after .* s, in the pause")
        assert terminal.state()[0] == "running"
        (project.directory / "two").touch()
        assert terminal.end() == 3
        assert re.search(r"cache:\d+ exited with code 5 after .* s, in the pause", terminal.text)
        assert "nothing is left to look at, the stop goes on" in terminal.text


def test_X18_children_run_and_speak_in_the_pause(project: Project) -> None:
    """supervision 16.4."""
    says = "echo ready; until test -e /work/say; do sleep 0.02; done; echo I am here; exec sleep 1000"
    project.write(supervise("up", {"web": failing(), "db": says}))
    with Terminal(project) as terminal:
        begun(terminal, 2)
        ends(terminal, project)
        (project.directory / "say").touch()
        terminal.wait_for("I am here")
        terminal.type("\r")
        assert terminal.end() == 3


def test_nothing_is_restarted_in_the_pause(project: Project) -> None:
    """supervision 16.4: at most the start that was under way when the pause began."""
    again = {"run": "echo run >> /work/runs; exit 1", "restart": {"limit": 999, "min-wait": "50ms", "max-wait": "50ms"}}
    clock = "echo ready; until test -e /work/seen; do sleep 0.02; done; sleep 1.5; echo late; exec sleep 1000"
    project.write(supervise("up", {"again": again, "web": failing(), "clock": clock}))
    with Terminal(project) as terminal:
        begun(terminal, 2)
        terminal.until(lambda: project.has("runs"), "the first run of it")
        ends(terminal, project)
        before = project.read("runs").count("run")
        (project.directory / "seen").touch()
        terminal.wait_for("late")
        assert project.read("runs").count("run") <= before + 1
        terminal.type("\r")
        assert terminal.end() == 3


# --- job control ------------------------------------------------------------------------------------------------


def test_ctrl_z_in_the_pause_suspends_and_fg_asks_again(project: Project) -> None:
    """supervision 16.6."""
    project.write(supervise("up", {"web": failing(), "db": POLITE}))
    with Terminal(project) as terminal, unchanged(terminal):
        suspended(terminal, project)
        terminal.fg()
        terminal.wait_for(ASK, 2)
        terminal.type("\r")
        assert terminal.end() == 3
    assert project.read("log") == "db term\n"


def test_in_the_background_the_keys_are_the_shells(project: Project) -> None:
    """supervision 16.6: the pause neither ends nor stops vagga, until it is in the foreground again."""
    project.write(supervise("up", {"web": failing(), "db": POLITE}))
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("up", "--debug", foreground=False)
        terminal.wait_for("ready", 2)
        ends(terminal, project, asks=BEHIND)
        terminal.type("\r")
        terminal.signal(signal.SIGCONT)
        terminal.wait_for(BEHIND, 2)  # by then it has seen the key
        assert terminal.state()[0] == "running"
        terminal.give()
        terminal.type("\r")
        assert terminal.end() == 3
    assert project.read("log") == "db term\n"


def test_a_paused_run_goes_behind_and_comes_back(project: Project) -> None:
    """supervision 16.6."""
    project.write(supervise("up", {"web": failing(), "db": POLITE}))
    with Terminal(project) as terminal, unchanged(terminal):
        suspended(terminal, project)
        terminal.bg()
        terminal.wait_for(BEHIND)
        terminal.fg()
        terminal.wait_for(ASK, 2)
        terminal.type("\r")
        assert terminal.end() == 3


def test_what_was_typed_before_does_not_end_the_pause(project: Project) -> None:
    """supervision 16.6."""
    project.write(supervise("up", {"web": failing(), "db": POLITE}))
    with Terminal(project) as terminal:
        begun(terminal, 2)
        terminal.type("\r\r")
        terminal.until(lambda: "\n\n" in terminal.text, "the echo of the keys")
        ends(terminal, project)
        terminal.signal(signal.SIGCONT)
        terminal.wait_for(ASK, 2)
        assert GOES_ON not in terminal.text
        terminal.type("\r")
        assert terminal.end() == 3


# --- kills ------------------------------------------------------------------------------------------------------


def test_kill_9_in_the_pause_leaves_nothing(project: Project) -> None:
    """supervision 16.4; the census looks for what is left."""
    project.write(supervise("up", {"web": failing(), "db": READY, "cache": READY}))
    with Terminal(project) as terminal:
        begun(terminal, 3)
        ends(terminal, project)
        below = set(descendants(terminal.pid))
        assert len(below) > 4
        terminal.signal(signal.SIGKILL)
        terminal.until(lambda: terminal.state() == ("killed", signal.SIGKILL), "it is killed")
        terminal.until(lambda: not alive(below), "all of them are gone")


def test_a_spawner_that_is_killed_in_the_pause_ends_it(project: Project) -> None:
    """supervision 16.5 and supervision 3.10."""
    project.write(supervise("up", {"web": failing(), "db": READY}))
    with Terminal(project, columns=300) as terminal:
        begun(terminal, 2)
        ends(terminal, project)
        os.kill(int(terminal.wait_match(r"nsenter -t (\d+) -U")[1]), signal.SIGKILL)
        assert terminal.end() == 3
        # The kernel kills the children before anybody hears of the spawner: either may be told first.
        assert re.search(r"spawner: ended unexpectedly|db:\d+ killed by signal SIGKILL.*, in the pause", terminal.text)


# --- when there is one ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--isolate-network",)])
def test_the_line_with_nsenter_leads_into_the_child(project: Project, options: tuple[str, ...]) -> None:
    """supervision 16.3: its processes, its directory, its files; as root, and as any other user."""
    need(shutil.which("nsenter") is not None, "there is no nsenter(1)")
    inside = {"run": "echo mine > /tmp/mine; echo ready; exec sleep 1000", "work-dir": "sub"}
    (project.directory / "sub").mkdir()
    project.write(supervise("up", {"web": failing(), "db": inside, "cache": {"run": READY, "pid1mode": "exec"}}))
    with Terminal(project, columns=300) as terminal:
        begun(terminal, 3, *options, "up", "--debug")
        ends(terminal, project)
        for name, look in (("db", f"cat /tmp/mine; pwd -P; {SAME} 2"), ("cache", f"{SAME} 1")):
            words = terminal.wait_match(rf"to enter {name} from another terminal: (nsenter .*) /bin/sh")[1].split()
            done = subprocess.run([*words, "/bin/sh", "-c", look], capture_output=True, text=True, check=False)
            expected = "mine\n/work/sub\nsleep\nsame\n" if name == "db" else "sleep\nsame\n"
            assert (done.returncode, done.stdout) == (0, expected), done.stderr
        terminal.type("\r")
        assert terminal.end() == 3


def test_a_batch_pauses_at_its_first_failure_and_not_at_a_good_end(project: Project) -> None:
    """supervision 16.1."""
    children = {"one": failing(0, "good"), "two": failing(6), "three": POLITE}
    project.write(supervise("up", children, mode="wait-all-successful"))
    with Terminal(project) as terminal:
        begun(terminal, 3)
        (project.directory / "good").touch()
        ends(terminal, project)
        assert "paused before the stop: two exited 6" in terminal.text
        terminal.type("\r")
        assert terminal.end() == 6
    assert project.read("log") == "three term\n"


def test_a_good_batch_does_not_pause(project: Project) -> None:
    """supervision 16.1."""
    project.write(supervise("up", {"one": "exit 0", "two": "exit 0"}, mode="wait-all-successful"))
    with Terminal(project) as terminal:
        terminal.run("up", "--debug")
        assert terminal.end() == 0
        assert "paused" not in terminal.text


def test_a_signal_stops_without_a_pause(project: Project) -> None:
    """supervision 16.1."""
    project.write(supervise("up", {"one": POLITE, "two": POLITE}))
    with Terminal(project) as terminal:
        begun(terminal, 2)
        terminal.type(CTRL_C)
        assert terminal.end() == 130
        assert "paused" not in terminal.text


WATCH = [{"name": "flag", "check": {"not-exists": "fail"}, "interval": "50ms", "threshold": 1, "on-fail": "debug"}]


def test_on_fail_debug_pauses_without_the_option_in_keep_going_too(project: Project) -> None:
    """supervision 16.2."""
    children = {"one": {"run": POLITE, "watch": WATCH}, "two": POLITE, "three": failing(9, "early")}
    project.write(supervise("up", children, mode="keep-going"))
    with Terminal(project) as terminal, unchanged(terminal):
        begun(terminal, 3, "up")
        (project.directory / "early").touch()
        terminal.wait_match(r"three:\d+ exited with code 9")
        ends(terminal, project)
        assert "one failed its check flag" in terminal.text
        assert re.search(r"still there: one:\d+, two:\d+", terminal.text.replace("\n", " "))
        terminal.type("\r")
        assert terminal.end() == 125
    assert sorted(project.read("log").split("\n")) == ["", "one term", "two term"]


def test_on_fail_debug_without_a_terminal_is_shutdown_and_says_so_once(project: Project) -> None:
    """supervision 16.2 and supervision 6.7."""
    project.write(supervise("up", {"one": {"run": "touch /work/fail; exec sleep 1000", "watch": WATCH}, "two": READY}))
    result, records = run_recorded(project, "up")
    assert result.code == 125
    said = "no pause for one, although it has `on-fail: debug`: standard input is no terminal"
    assert result.err.count(said) == 1
    assert only(records, "no-pause") and not only(records, "pause")
    assert only(records, "check-failed")[0]["action"] == "shutdown"


def test_debug_without_a_terminal_is_refused_before_anything_starts(project: Project) -> None:
    """supervision 16.7."""
    project.write(supervise("up", {"one": "touch /work/ran", "two": "touch /work/ran"}))
    result = project.run("up", "--debug")
    assert result.code == 122
    assert result.err == (
        "vagga: --debug: standard input is no terminal (run it where ENTER can be pressed) [no-terminal]\n"
    )
    assert not project.has("ran")


def test_debug_is_refused_where_a_child_has_the_terminal(project: Project, tmp_path: Path) -> None:
    """supervision 16.7; with `--prefix` no child reads it, and there is a pause if the check of the child fails."""
    project.write(supervise("up", {"one": {"run": POLITE, "watch": WATCH}, "two": READY}))
    with Terminal(project) as terminal:
        terminal.run("up", "--debug", "--only", "one")
        assert terminal.end() == 122
        assert "vagga: --debug: the terminal is that of one" in terminal.text
        begun(terminal, 1, "--prefix", "up", "--debug", "--only", "one")
        ends(terminal, project)
        terminal.type("\r")
        assert terminal.end() == 125
    with Terminal(project) as terminal:
        terminal.run("up", "--debug", stderr=tmp_path / "errors")
        assert terminal.end() == 122
    assert "standard error is no terminal" in (tmp_path / "errors").read_text()
