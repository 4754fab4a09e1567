"""A single command on a terminal: it owns one of its own, and the caller's comes back as it was, whatever happens.

After `kill -9` of the supervisor itself nobody is left who could restore the terminal: `reset` or the shell does.
"""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import termios
from pathlib import Path

import pytest

from integration.runs import Project, deadline, descendants, need, processes, supervise, wait_until
from integration.terminals import BASH, CTRL_BACKSLASH, CTRL_C, CTRL_D, CTRL_Z, PROMPT, Terminal, unchanged

PYTHON = shutil.which("python3", path="/usr/bin:/bin") or ""


def command(project: Project, body: str) -> None:
    """Write a project with one command, `c`."""
    project.write(f"  c: !Command\n    container: host\n{body}")


def script(project: Project, text: str) -> None:
    """Write a project whose command `c` runs a Python script."""
    need(bool(PYTHON), "the system has a python3")
    (project.directory / "script.py").write_text(text)
    command(project, f"    run: [{PYTHON}, -u, script.py]\n")


def pid_one(terminal: Terminal) -> int:
    """Return the pid of the only child's PID 1."""
    found: list[int] = []

    def look() -> bool:
        found[:] = [below for pid in children(terminal.pid) for below in children(pid)]
        return len(found) == 1

    terminal.until(look, "PID 1")
    return found[0]


def children(pid: int) -> list[int]:
    return [child for child, (parent, state, _) in processes().items() if parent == pid and state != "Z"]


# --- it is a terminal -------------------------------------------------------------------------------------------


def test_a_shell_gets_the_terminal_at_once(project: Project) -> None:
    """Supervision 6.2: a command that ends by itself prints nothing."""
    command(project, BASH)
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("c")
        terminal.wait_for(PROMPT)
        terminal.enter("tty; test -t 0 -a -t 1 -a -t 2 && echo all $((1 + 2))", "all 3")
        terminal.wait_for("/dev/pts/0")
        terminal.enter("exit 5")
        assert terminal.end() == 5
        assert "no job control" not in terminal.text
        assert "vagga" not in terminal.text


def test_control_d_ends_a_shell(project: Project) -> None:
    command(project, BASH)
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("c")
        terminal.wait_for(PROMPT)
        terminal.enter("(exit 3)", PROMPT)
        terminal.type(CTRL_D)
        assert terminal.end() == 3


def stopped_below(pid: int) -> list[int]:
    """Return the stopped processes below `pid`."""
    table = processes()
    return [below for below in descendants(pid) if table.get(below, (0, "", ""))[1] == "T"]


def test_job_control_works_inside(project: Project) -> None:
    command(project, BASH)
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("c")
        terminal.wait_for(PROMPT)
        terminal.enter("sh -c 'echo begun; exec sleep 100'", "\nbegun")
        terminal.type(CTRL_Z)
        terminal.wait_for("Stopped")
        assert terminal.state() == ("running", 0)
        terminal.enter("jobs", "Stopped")
        terminal.enter("fg", "exec sleep 100'")
        terminal.until(lambda: not stopped_below(terminal.pid), "the shell has given its terminal away")
        terminal.type(CTRL_C)
        terminal.wait_for(PROMPT, 4)
        terminal.enter("echo code $?", "code 130")
        terminal.enter("exit 0")
        assert terminal.end() == 0


def test_control_c_is_the_programs_own_business(project: Project) -> None:
    """A prompt of Python shows KeyboardInterrupt and goes on; vagga is not asked to stop."""
    need(bool(PYTHON), "the system has a python3")
    command(project, f"    run: [{PYTHON}, -q]\n    environ: {{PYTHON_BASIC_REPL: '1'}}\n")
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("c")
        terminal.wait_for(">>> ")
        # Not one long sleep: Python looks for signals before it begins, and one may come in between.
        terminal.enter("import time; print('on'); exec('while 1: time.sleep(.02)')", "\non")
        terminal.type(CTRL_C)
        terminal.wait_for("KeyboardInterrupt")
        terminal.wait_for(">>> ", 2)
        terminal.enter("print(6 * 7)", "42\n>>> ")
        terminal.type(CTRL_D)
        assert terminal.end() == 0


def test_control_c_interrupts_a_plain_program_once(project: Project) -> None:
    """Supervision 5.1: killed by SIGINT counts as 130."""
    command(project, "    run: [cat]\n")
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("c")
        terminal.wait_raw()
        terminal.enter("hello", "hello\nhello")
        terminal.type(CTRL_C)
        assert terminal.end() == 130


def test_control_backslash_quits_a_plain_program(project: Project) -> None:
    command(project, "    run: ulimit -c 0; exec cat\n")
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("c")
        terminal.wait_raw()
        terminal.enter("hello", "hello\nhello")
        terminal.type(CTRL_BACKSLASH)
        assert terminal.end() == 131


def test_control_d_is_the_end_of_input(project: Project) -> None:
    command(project, "    run: [cat]\n")
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("c")
        terminal.wait_raw()
        terminal.enter("hello", "hello\nhello")
        terminal.type(CTRL_D)
        assert terminal.end() == 0


def test_the_new_terminal_has_the_settings_of_the_callers(project: Project) -> None:
    """Without echo outside there is none inside, and the erase key is the same."""
    command(project, "    run: stty -a; read line; echo got $line\n")
    with Terminal(project) as terminal:
        terminal.set_flag(termios.ECHO, on=False)
        with unchanged(terminal):
            terminal.run("c")
            terminal.wait_for("-echo ")
            terminal.enter("secret", "got secret")
            assert terminal.end() == 0
            assert terminal.text.count("secret") == 1


def test_keys_typed_ahead_are_not_lost(project: Project) -> None:
    command(project, "    run: read one; read two; echo $two $one\n")
    with Terminal(project) as terminal:
        terminal.type("first\rsecond\r")
        terminal.run("c")
        terminal.wait_for("second first")
        assert terminal.end() == 0


def test_the_window_size_is_known_inside_and_follows(project: Project) -> None:
    size = "echo size $(stty size)"
    command(project, f"    run: \"trap '{size}' WINCH; trap 'exit 0' INT; {size}; while :; do sleep 0.02; done\"\n")
    with Terminal(project, rows=33, columns=77) as terminal, unchanged(terminal):
        terminal.run("c")
        terminal.wait_for("size 33 77")
        terminal.resize(40, 100)
        terminal.wait_for("size 40 100")
        terminal.type(CTRL_C)
        assert terminal.end() == 0


def test_a_megabyte_pasted_arrives_whole(project: Project) -> None:
    """More keys than the program takes at once are kept, and no more are read meanwhile."""
    script(
        project,
        "import hashlib, os, sys, tty\n"
        "tty.setraw(0)\n"
        "print('raw', end='\\r\\n')\n"
        "data = b''\n"
        "while not data.endswith(b'!'): data += os.read(0, 65536)\n"
        "print(len(data), hashlib.sha256(data).hexdigest()[:8], end='\\r\\n')\n",
    )
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("c")
        terminal.wait_for("raw")
        wanted = b"0123456789abcde\r" * 16384 + b"!"
        left = wanted
        going = deadline()
        while left and going():
            try:
                left = left[os.write(terminal.master, left[:4096]) :]
            except BlockingIOError:
                terminal.pump(0.01)
        assert not left, f"{len(left)} bytes are not taken"
        terminal.wait_for(f"{len(wanted)} ")
        assert terminal.end() == 0


# --- not all three are terminals --------------------------------------------------------------------------------


def test_with_output_to_a_pipe_the_streams_are_the_callers(project: Project, tmp_path: Path) -> None:
    """Standard input stays the caller's terminal itself; nothing is relayed, so it is never raw."""
    command(project, "    run: test -t 0 && ! test -t 1 && read line && echo got $line\n")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("c", stdout=pipe)
        terminal.enter("a line")
        assert terminal.end() == 0
    assert os.read(reader, 100) == b"got a line\n"
    os.close(reader)


def test_with_input_from_elsewhere_the_streams_are_the_callers(project: Project, tmp_path: Path) -> None:
    command(project, "    run: if test -t 0; then exit 9; fi; test -t 1 && cat\n")
    given = tmp_path / "given"
    given.write_text("from a file\n")
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("c", stdin=given)
        terminal.wait_for("from a file")
        assert terminal.end() == 0


def test_errors_go_where_the_caller_sent_them(project: Project, tmp_path: Path) -> None:
    """`vagga c 2> log`: input and output are the terminal of the child, standard error is the file."""
    command(project, "    run: test -t 0 && test -t 1 && echo out && echo err >&2\n")
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("c", stderr=tmp_path / "log")
        terminal.wait_for("out")
        assert terminal.end() == 0
        assert "err" not in terminal.text
    assert (tmp_path / "log").read_text() == "err\n"


def test_control_c_reaches_a_child_without_a_terminal_of_its_own(project: Project, tmp_path: Path) -> None:
    """X8 with output to a file: vagga gets the signal of the caller's terminal and passes it on once."""
    command(project, "    run: \"trap 'echo int >> log; exit 0' INT; echo ready >&2; while :; do sleep 0.05; done\"\n")
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("c", stdout=tmp_path / "out")
        terminal.wait_for("ready")
        terminal.type(CTRL_C)
        assert terminal.end() == 130
    assert (project.directory / "log").read_text() == "int\n"


# --- restored on every way to end -------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_the_terminal_is_restored_after_a_signal_to_vagga(project: Project, number: int, code: int) -> None:
    """X7 on a terminal."""
    command(project, "    run: [sleep, '100']\n")
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("c")
        terminal.wait_raw()
        pid_one(terminal)
        terminal.signal(number)
        assert terminal.end() == code


def test_the_terminal_is_restored_when_pid_one_is_killed(project: Project) -> None:
    """X11: `kill -9` of the child's PID 1."""
    command(project, BASH)
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("c")
        terminal.wait_for(PROMPT)
        os.kill(pid_one(terminal), signal.SIGKILL)
        assert terminal.end() == 137


def test_the_terminal_is_restored_when_the_command_is_killed(project: Project) -> None:
    command(project, BASH)
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("c")
        terminal.wait_for(PROMPT)
        (bash,) = children(pid_one(terminal))
        os.kill(bash, signal.SIGKILL)
        assert terminal.end() == 137


def test_the_terminal_is_restored_when_the_spawner_is_killed(project: Project) -> None:
    """Supervision 3.10, 5.6."""
    command(project, BASH)
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("c")
        terminal.wait_for(PROMPT)
        (spawner,) = children(terminal.pid)
        os.kill(spawner, signal.SIGKILL)
        assert terminal.end() == 124
        assert "vagga: spawner: ended" in terminal.text


def test_the_terminal_is_restored_after_a_failed_start(project: Project) -> None:
    """S1; the message begins at the left edge: its line ends are those of a raw terminal."""
    command(project, "    run: [no-such-program]\n")
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("c")
        assert terminal.end() == 127
        assert "vagga: c could not be run" in terminal.text
        assert b"\n" not in terminal.seen.replace(b"\r\n", b"")


def test_X4_keys_count_as_signals_once_the_run_is_stopping(project: Project) -> None:
    """Supervision 4.2: the first Ctrl+C after a TERM is the second signal, so it kills at once."""
    run = "trap 'echo termed' TERM INT; echo ready; while :; do sleep 0.05; done"
    project.write(supervise("c", {"c": run}, kill_unresponsive_after=60))
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("c")
        terminal.wait_raw()
        terminal.wait_for("ready")
        terminal.signal(signal.SIGTERM)
        terminal.wait_for("termed")
        terminal.type(CTRL_C)
        assert terminal.end(seconds=40) == 143


def test_the_deadline_kills_what_does_not_stop(project: Project) -> None:
    """X2, supervision 3.6 and 3.7, on a raw terminal: the names come on lines of their own."""
    command(project, "    run: \"trap '' TERM; echo ready; while :; do sleep 0.05; done\"\n")
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("c")
        terminal.wait_for("ready")
        terminal.signal(signal.SIGTERM)
        assert terminal.end() == 143
        assert '---------- Processes ["c"] are still alive. Killing ... -----------' in terminal.lines


def test_X9_a_closed_terminal_hangs_up_a_shell_and_its_job(project: Project) -> None:
    """The terminal's foreground job inside may clean up; nothing is left."""
    (project.directory / "job").write_text(
        "trap 'echo hup >> log; exit 0' HUP\necho job\nwhile :; do sleep 0.05; done\n"
    )
    command(project, BASH)
    with Terminal(project) as terminal:
        terminal.run("c")
        terminal.wait_for(PROMPT)
        terminal.enter("sh job", "\njob")
        terminal.close()
        assert terminal.end() == 129
    assert (project.directory / "log").read_text() == "hup\n"


def test_a_killed_supervisor_leaves_the_terminal_raw_and_nothing_else(project: Project) -> None:
    """X11: nobody is left who could restore it; a shell does so before its next prompt."""
    command(project, BASH)
    with Terminal(project) as terminal:
        terminal.run("c")
        terminal.wait_for(PROMPT)
        terminal.signal(signal.SIGKILL)
        terminal.until(lambda: terminal.state() == ("killed", signal.SIGKILL), "the supervisor is gone")
        assert terminal.is_raw


def test_a_terminal_that_does_not_control_the_session_works_too(project: Project) -> None:
    """As a program has it that opened a pty without setsid(2)."""
    command(project, "    run: read line; echo got $line\n")
    master, slave = pty.openpty()
    try:
        run = project.start("c", stdin=slave, stdout=slave, stderr=slave)
        wait_until(lambda: not termios.tcgetattr(master)[3] & termios.ICANON, "the terminal is raw")
        os.write(master, b"hello\r")
        seen = b""
        going = deadline()
        while b"got hello" not in seen and going():
            if select.select([master], [], [], 0.1)[0]:
                seen += os.read(master, 1000)
        assert b"got hello" in seen
        assert run.finish().code == 0
        assert termios.tcgetattr(master)[3] & termios.ICANON
    finally:
        os.close(master)
        os.close(slave)
