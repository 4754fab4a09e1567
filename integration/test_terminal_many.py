"""Several children on a terminal: prefixed lines, colours as if each were alone, keys as signals for all of them."""

from __future__ import annotations

import signal
import time

import pytest

from integration.runs import VAGGA, Project
from integration.terminals import CTRL_BACKSLASH, CTRL_C, Terminal, catches, unchanged

NO_COLOUR = {"NO_COLOR": "1"}
COUNTS = (
    "\"trap 'echo int >> $VAGGA_SUBCOMMAND.log; exit 0' INT; trap 'echo term >> $VAGGA_SUBCOMMAND.log; exit 0' TERM; "
    "trap 'echo hup >> $VAGGA_SUBCOMMAND.log; exit 0' HUP; trap 'echo quit >> $VAGGA_SUBCOMMAND.log; exit 0' QUIT; "
    'echo ready; while :; do sleep 0.02; done"'
)
STUBBORN = "\"trap 'echo no' INT TERM; echo ready; while :; do sleep 0.02; done\""


def supervise(project: Project, mode: str = "stop-on-failure", grace: float = 60, **children: str) -> None:
    """Write a command `up` with these children; each text is YAML."""
    bodies = "".join(
        f"      {name}: !Command\n        container: host\n        run: {run}\n" for name, run in children.items()
    )
    project.write(f"  up: !Supervise\n    mode: {mode}\n    kill-unresponsive-after: {grace}\n    children:\n{bodies}")


def logs(project: Project) -> dict[str, str]:
    return {path.name.removesuffix(".log"): path.read_text() for path in project.directory.glob("*.log")}


# --- keys and signals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "word", "code"), [(CTRL_C, "int", 130), (CTRL_BACKSLASH, "quit", 131)])
def test_X8_a_key_reaches_every_child_exactly_once(project: Project, key: str, word: str, code: int) -> None:
    """Supervision 4.1; X1: the exit code is that of the signal though every child exits with 0."""
    supervise(project, a=COUNTS, b=COUNTS, c=COUNTS)
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("up")
        terminal.wait_for("ready", 3)
        terminal.type(key)
        assert terminal.end() == code
        assert f"Received SIG{word.upper()} signal. Waiting the processes to stop..." in terminal.text
    assert logs(project) == {"a": f"{word}\n", "b": f"{word}\n", "c": f"{word}\n"}


def test_X4_a_second_ctrl_c_kills_at_once(project: Project) -> None:
    """Supervision 4.2."""
    supervise(project, grace=60, a=STUBBORN, b=STUBBORN)
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("up")
        terminal.wait_for("ready", 2)
        terminal.type(CTRL_C)
        terminal.wait_for("no", 2)
        begun = time.monotonic()
        terminal.type(CTRL_C)
        assert terminal.end() == 130
        assert time.monotonic() - begun < 40
        assert "Received SIGINT signal again. Killing the processes..." in terminal.text


def test_X5_ctrl_c_at_any_moment_of_the_start(project: Project) -> None:
    """From the moment on at which vagga has taken over its signals: 130, and nothing is left."""
    supervise(project, a=COUNTS, b=COUNTS)
    for delay in range(0, 100, 10):
        with Terminal(project) as terminal, unchanged(terminal):
            terminal.run("up")
            terminal.until(lambda: catches(terminal.pid, signal.SIGTERM), "the handlers are installed")
            terminal.pump(delay / 1000)
            terminal.type(CTRL_C)
            assert terminal.end() == 130
            assert "Traceback" not in terminal.text


def test_X9_a_closed_terminal_stops_every_child_with_a_hangup(project: Project) -> None:
    """Supervision 4.1: HUP, once, and no TERM after it for the output that cannot be written any more."""
    supervise(project, a=COUNTS, b=COUNTS, c=COUNTS)
    with Terminal(project) as terminal:
        terminal.run("up")
        terminal.wait_for("ready", 3)
        terminal.close()
        assert terminal.end() == 129
    assert logs(project) == {"a": "hup\n", "b": "hup\n", "c": "hup\n"}


def test_X9_children_that_write_all_the_time_are_hung_up_too(project: Project) -> None:
    """The failing write may come before the signal: the exit code is 129 all the same."""
    busy = "\"trap 'echo hup >> $VAGGA_SUBCOMMAND.log; exit 0' HUP; echo ready; while :; do echo line; done\""
    supervise(project, a=busy, b=busy)
    for _ in range(5):
        with Terminal(project) as terminal:
            terminal.run("up")
            terminal.wait_for("ready", 2)
            terminal.close()
            assert terminal.end() == 129
        assert logs(project) == {"a": "hup\n", "b": "hup\n"}
        for name in "ab":
            (project.directory / f"{name}.log").unlink()


def test_nohup_keeps_a_run_alive_when_its_terminal_is_closed(project: Project) -> None:
    """S9, supervision 4.7: vagga ignores the hangup, and so does the failing output; children can trap it again."""
    supervise(project, a=COUNTS, b=COUNTS)
    with Terminal(project) as terminal:
        terminal.start(["/bin/sh", "-c", f"trap '' HUP; exec {' '.join(VAGGA)} up"])
        terminal.wait_for("ready", 2)
        terminal.close()
        terminal.pump()
        assert terminal.state()[0] == "running"
        terminal.signal(signal.SIGTERM)
        assert terminal.end() == 143
    assert logs(project) == {"a": "term\n", "b": "term\n"}


# --- what is on the screen --------------------------------------------------------------------------------------


def test_O7_each_child_sees_a_terminal_and_its_lines_have_a_prefix(project: Project) -> None:
    """Supervision 6.3."""
    look = '"test -t 1 && echo out; test -t 2 && echo err >&2; test -t 0 || echo no input"'
    supervise(project, "wait-all-successful", one=look, three=look)
    with Terminal(project, environ=NO_COLOUR) as terminal, unchanged(terminal):
        terminal.run("up")
        assert terminal.end() == 0
        for name in ("one  ", "three"):
            for word in ("out", "err", "no input"):
                assert f"{name} | {word}" in terminal.lines


def test_messages_begin_on_a_line_of_their_own(project: Project) -> None:
    """A child that stopped in the middle of a line: the line is broken first."""
    half = "\"trap 'exit 0' TERM; printf half; touch half; while :; do sleep 0.02; done\""
    supervise(project, a=half, b='"until test -e half; do sleep 0.01; done; sleep 0.4; exit 3"')
    with Terminal(project, environ=NO_COLOUR) as terminal:
        terminal.run("up")
        assert terminal.end() == 3
        assert "a | half" in terminal.lines
        assert any(line.startswith("---------- Process b:") for line in terminal.lines)
        assert "vagga: b exited with code 3 after" in terminal.lines[-2]


def test_line_ends_are_those_of_the_callers_terminal(project: Project) -> None:
    """One carriage return for each newline: the child's own terminal adds none."""
    supervise(project, "wait-all-successful", a='"echo one; echo two"', b="'true'")
    with Terminal(project, environ=NO_COLOUR) as terminal:
        terminal.run("up")
        assert terminal.end() == 0
        assert b"a | one\r\n" in terminal.seen
        assert b"\r\r\n" not in terminal.seen


def test_O11_prefixes_are_coloured_and_each_name_keeps_its_colour(project: Project) -> None:
    """Supervision 6.3: the same colour in every run; the text itself is not touched."""
    supervise(project, "wait-all-successful", a='"echo x"', bb='"echo y"')
    found = set()
    for _ in range(2):
        with Terminal(project) as terminal:
            terminal.run("up")
            assert terminal.end() == 0
            match = terminal.wait_match("(\x1b\\[[0-9;]+ma  \\| \x1b\\[0m)x\n")
            found.add(match[1])
            terminal.wait_match("\x1b\\[[0-9;]+mbb \\| \x1b\\[0my\n")
    assert len(found) == 1


@pytest.mark.parametrize(
    ("words", "environ", "coloured"),
    [
        ((), {"NO_COLOR": "1"}, False),
        ((), {"TERM": "dumb"}, False),
        (("--color=never",), {}, False),
        (("--no-color",), {}, False),
        (("--color=always",), {"NO_COLOR": "1"}, True),
        (("--color=always",), {"TERM": "dumb"}, True),
    ],
)
def test_O11_colours_are_as_asked(
    project: Project, words: tuple[str, ...], environ: dict[str, str], coloured: bool
) -> None:
    """The option wins over NO_COLOR, which wins over the terminal."""
    supervise(project, "wait-all-successful", a='"echo x"', b="'true'")
    with Terminal(project, environ=environ) as terminal:
        terminal.run(*words, "up")
        assert terminal.end() == 0
        assert ("\x1b[" in terminal.text) == coloured
        assert "x" in terminal.text


def test_no_prefix_gives_the_terminal_itself(project: Project) -> None:
    """Supervision 6.3: with `--no-prefix` the children have the caller's own terminal for their output."""
    supervise(project, "wait-all-successful", a='"echo x; readlink /proc/self/fd/1"', b='"test -t 1 && echo tty"')
    with Terminal(project) as terminal, unchanged(terminal):
        terminal.run("--no-prefix", "up")
        assert terminal.end() == 0
        assert "x" in terminal.lines
        assert "tty" in terminal.lines


def test_columns_shrink_by_the_width_of_the_prefix(project: Project) -> None:
    """A line as wide as the child's terminal fits beside `name | `; it follows the window."""
    look = (
        "\"trap 'echo now $(stty size <&2)' WINCH; trap 'exit 0' INT; echo size $(stty size <&2); "
        'while :; do sleep 0.02; done"'
    )
    supervise(project, abc=look, d=look)
    with Terminal(project, rows=30, columns=90, environ=NO_COLOUR) as terminal:
        terminal.run("up")
        terminal.wait_for("abc | size 30 84")
        terminal.wait_for("d   | size 30 84")
        terminal.resize(31, 120)
        terminal.wait_for("now 31 114")
        terminal.type(CTRL_C)
        assert terminal.end() == 130


def test_a_prompt_without_a_newline_is_shown_after_a_moment(project: Project) -> None:
    """Supervision 6.5."""
    supervise(project, a='"printf waiting; until test -e go; do sleep 0.01; done; echo over"', b='"sleep 60"')
    with Terminal(project, environ=NO_COLOUR) as terminal:
        terminal.run("up")
        terminal.wait_for("a | waiting")
        assert "over" not in terminal.text
        (project.directory / "go").touch()
        assert terminal.end() == 0
        assert "a | waitingover" in terminal.lines


def test_a_prefix_for_a_single_command(project: Project) -> None:
    """`--prefix` works on a single command too, which then has no input."""
    project.write("  c: !Command\n    container: host\n    run: test -t 1 && cat && echo over\n")
    with Terminal(project, environ=NO_COLOUR) as terminal, unchanged(terminal):
        terminal.run("--prefix", "c")
        assert terminal.end() == 0
        assert "c | over" in terminal.lines
