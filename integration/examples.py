"""What the tests of the examples share: a copy of one, on ports that are free."""

from __future__ import annotations

import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from integration.runs import PATIENCE, Project, Running, free_ports, wait_until

EXAMPLES = Path(__file__).parents[1] / "examples"


class Example:
    """A copy of an example, with free ports in the variables that it names for that.

    What a run says goes to files, so that a test can wait for a line.
    """

    def __init__(self, project: Project, name: str, *ports: str) -> None:
        left_out = shutil.ignore_patterns("data", ".vagga", "__pycache__")
        shutil.copytree(EXAMPLES / name, project.directory, dirs_exist_ok=True, ignore=left_out)
        self.project = project
        self.directory = project.directory
        self.ports = dict(zip(ports, free_ports(len(ports)), strict=True))
        self.log = project.directory.parent / "log"
        self.started: list[Running] = []

    def options(self) -> list[str]:
        return [word for name, port in self.ports.items() for word in ("-E", f"{name}={port}")]

    def start(self, *words: str) -> Running:
        """Start vagga; its output and that of all children is in `log`."""
        with self.log.open("ab") as file:
            running = self.project.start(*self.options(), *words, stdout=file.fileno(), stderr=file.fileno())
        self.started.append(running)
        return running

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until a run has said something, as often as that."""
        wait_until(lambda: self.said().count(text) >= times, f"{times} x {text!r} in\n{self.said()}", PATIENCE)

    def wait_for_file(self, name: str) -> None:
        wait_until(lambda: self.project.has(name), name, PATIENCE)

    def page(self, port: str, path: str = "/") -> str:
        """Return what a server of the example answers, "" if it does not."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{self.ports[port]}{path}", timeout=5) as answer:
                text: str = answer.read().decode()
                return text
        except OSError:
            return ""

    def wait_for_page(self, port: str, text: str) -> None:
        wait_until(lambda: text in self.page(port), f"{text!r} on {port}, log:\n{self.said()}", PATIENCE)

    def end(self, running: Running, number: int) -> int:
        """Signal the supervisor, wait for its end and return its exit code."""
        running.signal(number)
        return running.finish(PATIENCE).code


@contextmanager
def example(project: Project, name: str, *ports: str) -> Iterator[Example]:
    """Give an example; what a test that fails has left running is killed."""
    found = Example(project, name, *ports)
    try:
        yield found
    finally:
        for running in found.started:
            running.process.kill()
            running.process.wait()
