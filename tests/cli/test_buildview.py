"""What people see of a build: lines for logs, and one line for each step on a terminal."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from vaggapy.cli import buildview
from vaggapy.cli.buildview import Lines, Terminal
from vaggapy.host import Host, probe
from vaggapy.record import replace


@pytest.fixture
def told(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Return what was written to standard error so far; standard output must stay empty."""
    seen = [""]

    def read() -> str:
        out, err = capfd.readouterr()
        assert out == ""
        seen[0] += err
        return seen[0]

    yield read
    read()


def host(terminal: bool, term: str) -> Host:
    return replace(probe(), terminals=(terminal,) * 3, environ={"TERM": term})


@pytest.mark.parametrize(
    ("terminal", "term", "kind"),
    [(True, "xterm", Terminal), (True, "dumb", Lines), (True, "", Terminal), (False, "xterm", Lines)],
)
def test_only_a_terminal_that_can_move_its_cursor_gets_more_than_lines(terminal: bool, term: str, kind: type) -> None:
    assert type(buildview.view(host(terminal, term))) is kind


def test_a_terminal_without_a_name_is_taken_for_a_dumb_one() -> None:
    assert type(buildview.view(replace(host(True, ""), environ={}))) is Lines


def test_lines_say_what_is_done_and_pass_the_output_on(told: Callable[[], str]) -> None:
    view = Lines()
    view.begin("c", 2)
    view.step(1, "Tar ./root.tar", True)
    view.step(2, "Sh echo x", False)
    view.output(b"x\n\xff\n")
    view.end("c", "0123abcd", 1.24)
    assert told().splitlines() == [
        "vagga: c: [1/2] Tar ./root.tar (cached)",
        "vagga: c: [2/2] Sh echo x",
        "x",
        "\ufffd",
        "vagga: Container c (0123abcd) built in 1.2 seconds.",
    ]


@pytest.mark.parametrize("after", ["step", "message", "failed", "stopped", "end"])
def test_what_follows_an_unfinished_line_of_output_begins_a_new_one(told: Callable[[], str], after: str) -> None:
    view = Lines()
    view.begin("c", 2)
    view.output(b"no end")
    match after:
        case "step":
            view.step(1, "x", False)
        case "message":
            view.message("x")
        case "failed":
            view.failed()
        case "stopped":
            view.stopped()
        case _:
            view.end("c", "0", 1)
    assert told().startswith("no end\n")
    assert "\n\n" not in told()


def test_a_title_cannot_move_the_cursor(told: Callable[[], str]) -> None:
    for view in (Lines(), Terminal()):
        view.begin("c", 1)
        view.step(1, "Sh \x1b[2J\x07\r evil\n", False)
        view.message("\x1b]0;evil\x07")
        view.progress("a\x1b[1mb", 1, 2)
        view.failed()
    text = told().replace("\r\x1b[2K", "")
    assert not {"\x1b", "\x07", "\r"} & set(text)


def test_a_terminal_shows_the_last_line_of_the_output_without_its_controls(told: Callable[[], str]) -> None:
    view = Terminal()
    view.begin("c", 1)
    view.step(1, "Sh x", False)
    view._shown = 0.0
    view.output(b"first\nlast \x1b[31mred\n")
    shown = told().rpartition("\x1b[2K")[2]
    assert "last" in shown and "first" not in shown and "\x1b[31m" not in shown


def test_a_terminal_has_one_line_for_each_step_that_is_done(told: Callable[[], str]) -> None:
    view = Terminal()
    view.begin("c", 2)
    view.step(1, "Tar x", True)
    view.step(2, "Sh y", False)
    view.end("c", "0123abcd", 2.0)
    lines = [line.rpartition("\x1b[2K")[2].strip() for line in told().split("\n")]
    assert lines[0] == "Building c"
    assert lines[1].startswith("= [1/2] Tar x") and lines[1].endswith("cached")
    assert lines[2].startswith("+ [2/2] Sh y") and lines[2].endswith("s")
    assert lines[3] == "Container c (0123abcd) built in 2.0 seconds."


def test_a_failure_shows_the_last_twenty_lines_of_the_step(told: Callable[[], str]) -> None:
    view = Terminal()
    view.begin("c", 1)
    view.step(1, "Sh x", False)
    view.output(b"".join(b"line %d\n" % number for number in range(100)))
    view.failed()
    lines = [line.strip() for line in told().splitlines()]
    assert lines[-20:] == [f"line {number}" for number in range(80, 100)]
    assert "x [1/1] Sh x" in lines[-21]


def test_output_of_an_earlier_step_is_not_shown_for_a_later_one(told: Callable[[], str]) -> None:
    view = Terminal()
    view.begin("c", 2)
    view.step(1, "Sh x", False)
    view.output(b"of the first\n")
    view.step(2, "Sh y", False)
    told()
    view.failed()
    assert "of the first" not in told().rpartition("[2/2]")[2]


def test_a_build_that_is_stopped_leaves_a_whole_line(told: Callable[[], str]) -> None:
    view = Terminal()
    view.begin("c", 1)
    view.step(1, "Sh x", False)
    view.stopped()
    assert told().endswith("stopped\n")


def test_nothing_happens_to_a_build_whose_reader_is_gone() -> None:
    read, write = os.pipe()
    os.close(read)
    kept = os.dup(2)
    os.dup2(write, 2)
    try:
        view = Lines()
        view.output(b"x" * 100_000)
        view.message("x")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(write)
