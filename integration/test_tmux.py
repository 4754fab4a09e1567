"""A person with two terminals: real shells in tmux, as in the second-tab workflow of the README."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration.runs import PATIENCE, VAGGA, Project, command_line, descendants, need, processes, wait_until

PROMPT = "prompt>"
LOOP = '"echo $VAGGA_SUBCOMMAND is ready; while :; do sleep 0.05; done"'


class Tmux:
    """A tmux server of its own; each window runs bash in the project."""

    def __init__(self, project: Project, socket: Path) -> None:
        """Start the server with one window, `one`."""
        self._socket = socket
        self._project = project
        rc = project.home / "bashrc"
        rc.write_text(f"PS1='{PROMPT} '\nalias vagga='{' '.join(VAGGA)}'\nHISTFILE=\n")
        self._shell = f"bash --rcfile {rc} -i"
        self._call("new-session", "-d", "-s", "s", "-n", "one", "-x", "100", "-y", "40", self._shell)
        self.until("one", lambda: PROMPT in self.screen("one"), "a prompt")

    def _call(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-u", "-f", "/dev/null", "-S", str(self._socket), *words],
            cwd=self._project.directory,
            env={**self._project.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def open(self, name: str) -> None:
        """Open another window."""
        self._call("new-window", "-d", "-t", "s", "-n", name, self._shell)
        self.until(name, lambda: PROMPT in self.screen(name), "a prompt")

    def screen(self, name: str) -> str:
        """Return the text of a window."""
        return self._call("capture-pane", "-p", "-J", "-t", f"s:{name}")

    def lines(self, name: str) -> list[str]:
        """Return the lines of a window, without spaces at their ends."""
        return [line.rstrip() for line in self.screen(name).splitlines()]

    def keys(self, name: str, *keys: str) -> None:
        """Press keys, by tmux's names for them."""
        self._call("send-keys", "-t", f"s:{name}", *keys)

    def enter(self, name: str, line: str) -> None:
        """Type a line."""
        self._call("send-keys", "-t", f"s:{name}", "-l", line)
        self.keys(name, "Enter")

    def until(self, name: str, condition: Callable[[], object], what: str) -> None:
        """Wait for something; a failure shows the window."""
        try:
            wait_until(condition, what)
        except pytest.fail.Exception as failure:
            table = processes()
            below = {pid: (table[pid][1], command_line(pid)) for pid in descendants(os.getpid()) if pid in table}
            pytest.fail(f"{failure}\n{below}\n{self.screen(name)}")

    def wait_for(self, name: str, line: str, count: int = 1) -> None:
        """Wait until a window shows a line, so often."""
        self.until(name, lambda: self.lines(name).count(line) >= count, line)

    def prompt(self, name: str, prompt: str = PROMPT) -> None:
        """Wait until the last line of a window is an empty prompt."""
        self.until(name, lambda: f"\n{self.screen(name)}".rstrip().endswith(f"\n{prompt}"), "a new prompt")

    def close(self, name: str) -> None:
        """Close a window, as a click does."""
        self._call("kill-window", "-t", f"s:{name}")

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of all windows."""
        self._call("resize-window", "-t", "s", "-x", str(columns), "-y", str(rows))

    def stop(self) -> None:
        """End the server and every shell."""
        self._call("kill-server")


@pytest.fixture
def tmux(project: Project, tmp_path: Path) -> Iterator[Tmux]:
    need(bool(shutil.which("tmux")), "tmux is not installed")
    server = Tmux(project, tmp_path / "tmux")
    yield server
    server.stop()


def vaggas(project: Project) -> list[int]:
    """Return the processes of vagga that run in the project."""
    found = []
    for pid in descendants(os.getpid()):  # other tests have theirs
        try:
            inside = os.readlink(f"/proc/{pid}/cwd") in (str(project.directory), "/work")
        except OSError:
            continue
        if inside and "vaggapy" in command_line(pid):
            found.append(pid)
    return found


def in_front(pid: int) -> bool:
    """Return whether a process belongs to the foreground of its terminal."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return fields[2] == fields[5]


def write_stack(project: Project) -> None:
    project.write(
        "  full: !Supervise\n    children:\n"
        + "".join(
            f"      {name}: !Command\n        container: host\n        run: {LOOP}\n"
            for name in ("db", "web", "worker")
        )
    )


def test_two_terminals_share_a_project(project: Project, tmux: Tmux) -> None:
    """G9: `--exclude web` in one, `--only web` in the other; a Ctrl+C in one is not seen in the other."""
    write_stack(project)
    tmux.open("two")
    tmux.enter("one", "vagga full --exclude web; echo code=$?")
    tmux.enter("two", "vagga full --only web; echo code=$?")
    tmux.wait_for("one", "db     | db is ready")
    tmux.wait_for("one", "worker | worker is ready")
    tmux.until("two", lambda: "web is ready" in tmux.screen("two"), "the second terminal")
    tmux.keys("two", "C-c")
    tmux.wait_for("two", "code=130")
    assert "code=130" not in tmux.lines("one")
    tmux.enter("two", "vagga full --only web; echo again=$?")
    tmux.until("two", lambda: tmux.screen("two").count("web is ready") == 2, "the second terminal, again")
    tmux.keys("one", "C-c")
    tmux.wait_for("one", "code=130")
    assert "again=130" not in tmux.lines("two")
    tmux.keys("two", "C-c")
    tmux.wait_for("two", "again=130")


def test_X9_a_closed_window_leaves_nothing(project: Project, tmux: Tmux) -> None:
    """The other window's run goes on."""
    write_stack(project)
    tmux.open("two")
    tmux.enter("one", "vagga full --exclude web; echo code=$?")
    tmux.enter("two", "vagga full --only web db; echo code=$?")
    for name in ("db    ", "worker"):
        tmux.wait_for("one", f"{name} | {name.strip()} is ready")
    for name in ("db ", "web"):
        tmux.wait_for("two", f"{name} | {name.strip()} is ready")
    both = len(vaggas(project))
    assert both
    tmux.close("two")
    tmux.until("one", lambda: len(vaggas(project)) == both // 2, "the second run is gone")
    tmux.keys("one", "C-c")
    tmux.wait_for("one", "code=130")


def test_job_control_of_a_real_shell(project: Project, tmux: Tmux) -> None:
    """X10: Ctrl+Z, `jobs`, `fg`, Ctrl+Z, `bg`, `kill`, with bash's own handling of the terminal's settings."""
    write_stack(project)
    tmux.enter("one", "vagga full")
    tmux.wait_for("one", "worker | worker is ready")
    tmux.keys("one", "C-z")
    tmux.until("one", lambda: "[1]+  Stopped" in tmux.screen("one"), "the shell says that it stopped")
    tmux.enter("one", "clear; echo $((20 + 3)); fg")
    tmux.wait_for("one", "23")
    tmux.wait_for("one", "Received SIGCONT signal. Propagating ..")
    tmux.keys("one", "C-z")
    tmux.until("one", lambda: "[1]+  Stopped" in tmux.screen("one"), "the shell says that it stopped, again")
    tmux.enter("one", "bg")
    tmux.until("one", lambda: tmux.screen("one").count("Received SIGCONT") == 2, "the run goes on")
    tmux.enter("one", "kill %1; wait %1; echo code=$?")
    tmux.wait_for("one", "code=143")


def test_a_single_command_in_a_real_shell(project: Project, tmux: Tmux) -> None:
    """Started with `&`, brought to the front with `fg`, stopped with Ctrl+Z, and back; settings stay sane."""
    project.write("  sed: !Command\n    container: host\n    run: exec sed -u 's/^/got /'\n")
    tmux.enter("one", "stty -a > before; vagga sed &")
    tmux.until("one", lambda: vaggas(project), "vagga runs")
    tmux.enter("one", "echo $((40 + 2))")
    tmux.wait_for("one", "42")
    tmux.enter("one", "fg")
    tmux.until("one", lambda: any(map(in_front, vaggas(project))), "vagga is in the foreground")
    tmux.enter("one", "first")
    tmux.wait_for("one", "got first")
    tmux.keys("one", "C-z")
    tmux.until("one", lambda: "Stopped" in tmux.screen("one"), "the shell says that it stopped")
    tmux.enter("one", "stty -a > stopped; fg")
    tmux.enter("one", "second")
    tmux.wait_for("one", "got second")
    tmux.keys("one", "C-d")
    tmux.prompt("one")  # What is typed before that is the command's.
    tmux.enter("one", "stty -a > after; echo code=$?")
    tmux.wait_for("one", "code=0")
    before, stopped, after = ((project.directory / name).read_text() for name in ("before", "stopped", "after"))
    assert before == stopped == after


def test_the_size_of_a_window_follows(project: Project, tmux: Tmux) -> None:
    project.write("  sh: !Command\n    container: host\n    run: [bash, --norc]\n    environ: {PS1: 'inside> '}\n")
    tmux.enter("one", "vagga sh")
    tmux.until("one", lambda: "inside>" in tmux.screen("one"), "the shell inside")
    tmux.enter("one", "stty size")
    tmux.wait_for("one", "40 100")
    tmux.resize(70, 20)
    tmux.until("one", lambda: size_is(tmux, "20 70"), "the new size")
    tmux.prompt("one", "inside>")
    tmux.keys("one", "C-d")
    tmux.prompt("one")
    tmux.enter("one", "echo code=$?")
    tmux.wait_for("one", "code=0")


def size_is(tmux: Tmux, size: str) -> bool:
    """Ask for the size once more."""
    tmux.enter("one", "clear; stty size")
    return size in tmux.lines("one")
