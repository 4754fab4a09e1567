"""examples/containerpilot-coprocess, as its README says: a coprocess beside a main program, and hooks."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from integration import examples
from integration.examples import Example
from integration.runs import Project, Running, command_line, descendants, processes, wait_until


@pytest.fixture
def example(project: Project) -> Iterator[Example]:
    with examples.example(project, "containerpilot-coprocess", "PORT") as found:
        yield found


def kill(running: Running, words: str) -> None:
    """Kill the one process below a run whose command line begins with these words, but for its own copies of itself."""
    found = [pid for pid in descendants(running.pid) if command_line(pid).startswith(words)]
    parents = {pid: parent for pid, (parent, _, _) in processes().items()}
    first = [pid for pid in found if parents.get(pid) not in found]
    assert len(first) == 1, found
    os.kill(first[0], signal.SIGKILL)


def put(example: Example, text: str) -> None:
    """Write the page, so that nobody sees a half of it."""
    new = example.directory / "page.html.new"
    new.write_text(text)
    new.rename(example.directory / "page.html")


def test_a_change_of_the_page_is_rendered_and_a_mistake_in_it_stops_nobody(example: Example) -> None:
    running = example.start("run")
    example.wait_for_page("PORT", "Hello!")
    whole = (example.directory / "page.html").read_text()
    put(example, "@GREETING@ again")
    example.wait_for_page("PORT", "Hello again")
    put(example, "@NAME@")
    example.wait_for("renderer restarts", 2)
    assert "Hello again" in example.page("PORT")
    put(example, whole)
    example.wait_for_page("PORT", "Change page.html")
    assert example.end(running, signal.SIGTERM) == 143


def test_r12_a_coprocess_that_is_killed_comes_back_and_the_main_program_goes_on(example: Example) -> None:
    running = example.start("run")
    example.wait_for_page("PORT", "Hello!")
    kill(running, "/bin/sh render.sh")
    example.wait_for("rendering page.html", 2)
    assert "renderer:" in example.said() and "renderer restarts at once" in example.said()
    assert "Hello!" in example.page("PORT")
    assert example.end(running, signal.SIGTERM) == 143


def test_the_end_of_the_main_program_is_the_end_of_all(example: Example) -> None:
    running = example.start("run")
    example.wait_for_page("PORT", "Hello!")
    kill(running, "/usr/bin/python3 -m http.server")
    assert running.finish().code == 137
    assert "the site is put away" in example.said()
    wait_until(lambda: not example.page("PORT"), "the port is free")


def test_x14_the_hooks_run_around_the_stop_of_the_main_program_and_the_coprocess_ends_last(example: Example) -> None:
    running = example.start("--status-fd", "2", "run")
    example.wait_for_page("PORT", "Hello!")
    assert example.end(running, signal.SIGTERM) == 143
    said = example.said()
    ends = [line for line in said.splitlines() if '"exit"' in line]
    order = ["pre-start", "pre-stop", "app", "post-stop", "renderer"]
    assert [name for line in ends for name in order if f'"name": "{name}"' in line] == order
    assert not example.project.has("data/site")
