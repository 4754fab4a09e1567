"""Ctrl+Z, `fg`, `bg` and `&`: a run is one job of the caller's shell, whatever is below it."""

from __future__ import annotations

import signal
import sys
import termios
import time

from integration.runs import Project, command_line, descendants, processes
from integration.terminals import BASH, CTRL_C, CTRL_Z, PROMPT, Terminal, catches, unchanged

COUNTER = '"i=0; while :; do i=$((i+1)); echo $i > NAME; sleep 0.01; done"'
QUIET = 0.3  # seconds in which something that goes on would show it


def single(project: Project, body: str) -> None:
    project.write(f"  c: !Command\n    container: host\n{body}")


def counters(project: Project, *names: str, mode: str = "stop-on-failure", grace: float = 2) -> None:
    """Write a command `up` whose children count in files."""
    children = "".join(
        f"      {name}: !Command\n        container: host\n        run: {COUNTER.replace('NAME', name)}\n"
        for name in names
    )
    project.write(
        f"  up: !Supervise\n    mode: {mode}\n    kill-unresponsive-after: {grace}\n    children:\n{children}"
    )


def count(project: Project, name: str) -> int:
    try:
        return int((project.directory / name).read_text() or 0)
    except (FileNotFoundError, ValueError):
        return 0


def grows(terminal: Terminal, project: Project, *names: str) -> None:
    """Wait until every counter has moved on."""
    before = {name: count(project, name) for name in names}
    terminal.until(lambda: all(count(project, name) > before[name] for name in names), f"{names} go on")


def states(terminal: Terminal, word: str) -> set[str]:
    """Return the states of the run's processes that have `word` in their command line."""
    table = processes()
    return {table[pid][1] for pid in descendants(terminal.pid) if pid in table and word in command_line(pid)}


def wait_until_rest(terminal: Terminal, project: Project, *names: str) -> None:
    """Wait until no counter moves any more. States do not tell: one in vfork(2) looks like one that is stopped."""
    last: list[int] = []
    since = time.monotonic()

    def rest() -> bool:
        nonlocal last, since
        now = [count(project, name) for name in names]
        if now != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since > QUIET

    terminal.until(rest, "every child is suspended")


def wait_all_stopped(terminal: Terminal, word: str) -> None:
    # D: a shell that waits in vfork(2) for a child that was stopped before it executed.
    terminal.until(lambda: "T" in (found := states(terminal, word)) and found <= {"T", "D"}, f"every {word} is stopped")


# --- a single command -------------------------------------------------------------------------------------------


def test_control_z_of_a_plain_program_stops_the_whole_job(project: Project) -> None:
    """Supervision 4.5, 4.6: the terminal is the caller's while the job is stopped, and taken again by `fg`."""
    single(project, "    run: [cat]\n")
    with Terminal(project) as terminal, unchanged(terminal):
        before = terminal.settings()
        terminal.run("c")
        terminal.wait_raw()
        terminal.enter("one", "one\none")
        terminal.type(CTRL_Z)
        assert terminal.stopped() == signal.SIGTSTP
        assert terminal.settings() == before
        terminal.fg()
        terminal.wait_raw()
        terminal.enter("two", "two\ntwo")
        terminal.type(CTRL_C)
        assert terminal.end() == 130


def test_control_z_ten_times(project: Project) -> None:
    single(project, "    run: [cat]\n")
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("c")
        for turn in range(10):
            terminal.wait_raw()
            terminal.enter(f"turn {turn}", f"turn {turn}\nturn {turn}")
            terminal.type(CTRL_Z)
            terminal.stopped()
            assert not terminal.is_raw
            terminal.fg()
        terminal.wait_raw()
        terminal.type(CTRL_C)
        assert terminal.end() == 130


def test_a_shell_inside_that_suspends_itself_stops_the_job(project: Project) -> None:
    """Bash's `suspend` sends itself SIGSTOP."""
    single(project, BASH)
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("c")
        terminal.wait_for(PROMPT)
        terminal.enter("suspend")
        terminal.stopped()
        terminal.fg()
        terminal.wait_raw()
        terminal.enter("echo back $((1 + 1))", "back 2")
        terminal.enter("exit 4")
        assert terminal.end() == 4


def test_the_window_size_that_changed_meanwhile_is_known_after_fg(project: Project) -> None:
    single(project, BASH)
    with Terminal(project, rows=24, columns=80) as terminal:
        terminal.run("c")
        terminal.wait_for(PROMPT)
        terminal.enter("suspend")
        terminal.stopped()
        terminal.resize(50, 132)
        terminal.fg()
        terminal.wait_raw()
        terminal.enter("stty size", "50 132")
        terminal.enter("exit 0")
        assert terminal.end() == 0


def test_whoever_waits_for_vagga_is_stopped_with_it(project: Project) -> None:
    """As with make(1) or a script around vagga: Ctrl+Z gives the caller's shell its terminal back."""
    single(project, "    run: [cat]\n")
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.start(["/bin/sh", "-c", f"{sys.executable} -m vaggapy c; echo code $?"])
        terminal.wait_raw()
        terminal.enter("one", "one\none")
        terminal.type(CTRL_Z)
        terminal.stopped()
        assert not terminal.is_raw
        terminal.fg()
        terminal.wait_raw()
        terminal.enter("two", "two\ntwo")
        terminal.type("\x04")
        terminal.wait_for("code 0")
        assert terminal.end() == 0


def test_control_z_where_nobody_could_continue_is_undone(project: Project) -> None:
    """A run that a terminal's window itself was opened for (`xterm -e vagga c`): nobody would ever say `fg`."""
    single(project, "    run: echo ready; exec cat\n")
    with Terminal(project) as terminal:
        words = "import os, pty, sys; pty.spawn([sys.executable, '-m', 'vaggapy', 'c'])"
        terminal.start([sys.executable, "-c", words])
        terminal.wait_for("ready")
        terminal.enter("one", "one\none")
        terminal.type(CTRL_Z)
        terminal.enter("two")
        terminal.wait_match(r"two[\r\n]+two")  # The echo may be that of the terminal in between.
        terminal.type(CTRL_C)
        assert terminal.end() in (0, 130)


def test_a_background_job_comes_to_the_foreground_when_it_has_stopped(project: Project) -> None:
    """`vagga c &`, `kill -STOP`, `fg`: raw only from then on."""
    single(project, BASH)
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("c", foreground=False)
        terminal.wait_for(PROMPT)
        assert not terminal.is_raw
        terminal.signal(signal.SIGSTOP)
        terminal.stopped()
        terminal.fg()
        terminal.wait_raw()
        terminal.enter("echo now $((2 + 3))", "now 5")
        terminal.enter("exit 0")
        assert terminal.end() == 0


def test_a_running_background_job_comes_to_the_foreground_without_a_signal(project: Project) -> None:
    """A shell sends no SIGCONT to a job that runs; the first line that is typed makes vagga look."""
    single(project, BASH)
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("c", foreground=False)
        terminal.wait_for(PROMPT)
        terminal.give()
        terminal.enter("echo now $((2 + 3))", "now 5")
        terminal.wait_raw()
        terminal.enter("stty -a", " echo ")
        terminal.enter("exit 0")
        assert terminal.end() == 0


def test_a_background_job_leaves_the_terminal_alone(project: Project) -> None:
    """Peers: TTIN and TTOU. It neither reads keys nor changes settings, so nothing stops it, and it ends when told."""
    single(project, "    run: echo begun; sleep 0.2; echo over; exit 3\n")
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("c", foreground=False)
        terminal.wait_for("begun")
        terminal.type("a line for the shell\r")
        terminal.wait_for("over")
        assert terminal.end() == 3


def test_a_job_that_was_put_into_the_background_leaves_the_terminal_alone(project: Project) -> None:
    """SIGSTOP from elsewhere, `bg`, TERM: the settings are the shell's by then and are not touched (TTOU)."""
    single(project, "    run: [sleep, '100']\n")
    with Terminal(project) as terminal:
        before = terminal.settings()
        terminal.run("c")
        terminal.wait_raw()
        terminal.signal(signal.SIGSTOP)
        terminal.stopped()
        termios.tcsetattr(terminal.master, termios.TCSANOW, before)  # What a shell does now.
        terminal.bg()
        terminal.until(lambda: terminal.state()[0] == "running", "it goes on")
        terminal.signal(signal.SIGTERM)
        assert terminal.end() == 143
        assert terminal.settings() == before


# --- several children -------------------------------------------------------------------------------------------


def test_X10_control_z_suspends_every_child_and_fg_continues_all(project: Project) -> None:
    """Supervision 4.5, 4.6."""
    counters(project, "a", "b", "c")
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("up")
        grows(terminal, project, "a", "b", "c")
        terminal.type(CTRL_Z)
        assert terminal.stopped() == signal.SIGTSTP
        wait_all_stopped(terminal, "i=0")
        wait_until_rest(terminal, project, "a", "b", "c")
        terminal.fg()
        grows(terminal, project, "a", "b", "c")
        terminal.type(CTRL_C)
        assert terminal.end() == 130
        assert "Received SIGTSTP signal. Stopping children and self .." in terminal.text
        assert "Received SIGCONT signal. Propagating .." in terminal.text


def test_X10_control_z_while_children_start(project: Project) -> None:
    """One that was only just asked for does not begin while everything else is suspended."""
    counters(project, "a", "b", "c", "d")
    for delay in range(0, 60, 12):
        for name in "abcd":
            (project.directory / name).unlink(missing_ok=True)
        with Terminal(project) as terminal, unchanged(terminal):
            terminal.run("up")
            terminal.until(lambda: catches(terminal.pid, signal.SIGTSTP), "the handlers are installed")
            terminal.pump(delay / 1000)
            terminal.type(CTRL_Z)
            terminal.stopped()
            wait_until_rest(terminal, project, "a", "b", "c", "d")
            terminal.fg()
            grows(terminal, project, "a", "b", "c", "d")
            terminal.type(CTRL_C)
            assert terminal.end() == 130


def test_X10_bg_continues_the_children_behind(project: Project) -> None:
    counters(project, "a", "b")
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("up")
        grows(terminal, project, "a", "b")
        terminal.type(CTRL_Z)
        terminal.stopped()
        terminal.bg()
        grows(terminal, project, "a", "b")
        terminal.signal(signal.SIGTERM)
        assert terminal.end() == 143


def test_X10_the_time_in_suspension_does_not_count(project: Project) -> None:
    """The grace time stands still with the run: children that were suspended are not killed when they wake up."""
    end = "until test -e go; do sleep 0.05; done; echo bye >> log; exit 0"
    body = f"\"trap '{end}' TERM; echo ready; while :; do sleep 0.05; done\""
    project.write(
        "  up: !Supervise\n    kill-unresponsive-after: 3\n    children:\n"
        f"      a: !Command\n        container: host\n        run: {body}\n"
        f"      b: !Command\n        container: host\n        run: {body}\n"
    )
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("up")
        terminal.wait_for("ready", 2)
        terminal.signal(signal.SIGTERM)
        terminal.wait_for("Received SIGTERM")
        terminal.type(CTRL_Z)
        terminal.stopped()
        asleep = time.monotonic()
        terminal.until(lambda: time.monotonic() - asleep > 3.2, "the grace time would be over")
        (project.directory / "go").touch()
        terminal.fg()
        assert terminal.end() == 143
        assert "still alive" not in terminal.text
    assert (project.directory / "log").read_text() == "bye\nbye\n"


def test_suspended_children_obey_a_signal_to_stop(project: Project) -> None:
    """Supervision 3.9: TERM, then CONT by the shell (`kill %1`)."""
    counters(project, "a", "b", grace=300)
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("up")
        grows(terminal, project, "a", "b")
        terminal.type(CTRL_Z)
        terminal.stopped()
        terminal.signal(signal.SIGTERM)
        terminal.bg()
        assert terminal.end() == 143


def test_a_whole_pipeline_stops_and_goes_on(project: Project) -> None:
    """`vagga up | cat` is one job: all of it stops, all of it goes on."""
    counters(project, "a", "b")
    with Terminal(project) as terminal:
        terminal.start(["/bin/bash", "-c", f"set -o pipefail; {sys.executable} -m vaggapy --prefix up | cat"])
        grows(terminal, project, "a", "b")
        terminal.type(CTRL_Z)
        terminal.stopped()
        wait_all_stopped(terminal, "i=0")
        terminal.fg()
        grows(terminal, project, "a", "b")
        terminal.type(CTRL_C)
        terminal.until(lambda: terminal.state()[0] not in ("running", "stopped"), "the pipeline ends")


def test_a_background_run_with_tostop_is_stopped_by_its_own_output_and_goes_on(project: Project) -> None:
    """Peers: TTOU. `stty tostop` means that background jobs may not write; `fg` lets them."""
    counters(project, "a", "b")
    with Terminal(project) as terminal:
        terminal.set_flag(termios.TOSTOP, on=True)
        terminal.run("up", foreground=False)
        grows(terminal, project, "a", "b")
        terminal.signal(signal.SIGINT)  # vagga says that it was received, which is output.
        assert terminal.stopped() == signal.SIGTTOU
        terminal.fg()
        assert terminal.end() == 130
        terminal.wait_for("vagga exits with 130")


def test_children_have_no_terminal_to_be_stopped_by(project: Project) -> None:
    """Peers: stdin is /dev/null and TTIN cannot happen: /dev/tty does not open, reading ends at once."""
    body = '"(: < /dev/tty) 2> /dev/null && echo has a tty; cat; readlink /proc/self/fd/0; test -t 1 && echo colours"'
    project.write(
        "  up: !Supervise\n    mode: wait-all-successful\n    children:\n"
        f"      a: !Command\n        container: host\n        run: {body}\n"
        f"      b: !Command\n        container: host\n        run: {body}\n"
    )
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("up")
        assert terminal.end() == 0
        for name in "ab":
            assert f"{name} | \x1b[0m/dev/null" in terminal.text
            assert f"{name} | \x1b[0mcolours" in terminal.text
        assert "has a tty" not in terminal.text
