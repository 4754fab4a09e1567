"""What people see of a build: rich progress on a terminal, plain lines everywhere else. Always on standard error."""

from __future__ import annotations

import os
import time

from vaggapy.build.run import View
from vaggapy.errors import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.host import Host

LAST_LINES = 20
KEPT = 64 * 1024
MEGABYTE = 1_000_000


def view(host: Host, verbose: bool = False) -> View:
    """Return how to show a build to this caller."""
    if host.terminals[2] and host.environ.get("TERM", "dumb") != "dumb" and not verbose:
        return Terminal()
    return Lines()


class Lines(View):
    """Everything as lines, the output of the steps included: for logs."""

    def __init__(self) -> None:
        """Begin without a build."""
        self._container = ""
        self._steps = 0
        self._told = 0.0
        self._within = False  # a line

    def begin(self, container: str, steps: int) -> None:
        """Remember which container it is."""
        self._container, self._steps = container, steps

    def step(self, number: int, title: str, cached: bool) -> None:
        """Say which step begins."""
        ending = " (cached)" if cached else ""
        self.message(f"{self._container}: [{number}/{self._steps}] {title}{ending}")

    def output(self, data: bytes) -> None:
        """Pass the bytes on."""
        _write(data)
        self._within = not data.endswith(b"\n")

    def message(self, text: str) -> None:
        """Write a line."""
        self._end_line()
        _write(f"vagga: {visible(text)}\n".encode("utf-8", "replace"))

    def progress(self, name: str, received: int, total: int | None) -> None:
        """Say every five seconds how far a download is."""
        now = time.monotonic()
        if now - self._told >= 5 or received == total:
            self._told = now
            self.message(f"{self._container}: {_amount(name, received, total)}")

    def end(self, container: str, short: str, seconds: float) -> None:
        """Say that it is done, in words that the original has too."""
        self.message(f"Container {container} ({short}) built in {seconds:.1f} seconds.")

    def failed(self) -> None:
        """Leave no half line: what went wrong is a line of its own."""
        self._end_line()

    def stopped(self) -> None:
        """Leave no half line."""
        self._end_line()

    def _end_line(self) -> None:
        if self._within:
            self._within = False
            _write(b"\n")


class Terminal(View):
    """One line for each step, and below them what goes on; the whole output of the failed step at the end."""

    def __init__(self) -> None:
        """Begin without a build."""
        from rich.console import Console  # 40 ms that only a build on a terminal needs

        self._console = Console(stderr=True, highlight=False)
        self._container = ""
        self._steps = 0
        self._title = ""
        self._began = 0.0
        self._shown = 0.0
        self._kept = b""

    def begin(self, container: str, steps: int) -> None:
        """Say what is built."""
        self._container, self._steps = container, steps
        self._console.print(f"[bold]Building {container}[/bold]")

    def step(self, number: int, title: str, cached: bool) -> None:
        """Finish the line of the step before and begin this one's."""
        self._finish()
        self._title = f"[{number}/{self._steps}] {visible(title)}"
        self._began = time.monotonic()
        self._kept = b""
        if cached:
            self._print("=", "cached", "dim")
            self._title = ""
        else:
            self._live("")

    def output(self, data: bytes) -> None:
        """Keep the last output, and show its last line."""
        self._kept = (self._kept + data)[-KEPT:]
        lines = self._kept.rstrip().rsplit(b"\n", 1)
        self._live(visible(lines[-1].decode("utf-8", "replace").strip()))

    def message(self, text: str) -> None:
        """Write a line above what goes on."""
        self._clear()
        self._console.print(f"vagga: {visible(text)}", markup=False)

    def progress(self, name: str, received: int, total: int | None) -> None:
        """Show how far a download is."""
        self._live(_amount(name, received, total))

    def end(self, container: str, short: str, seconds: float) -> None:
        """Say that it is done."""
        self._finish()
        self._console.print(f"Container {container} ({short}) built in {seconds:.1f} seconds.", markup=False)

    def failed(self) -> None:
        """Show the last output of the step that failed."""
        self._clear()
        if self._title:
            self._print("x", "failed", "red")
        lines = self._kept.decode("utf-8", "replace").splitlines()[-LAST_LINES:]
        for line in lines:
            self._console.print(f"  {visible(line.replace(chr(9), ' '))}", markup=False, style="dim")
        self._title = ""

    def stopped(self) -> None:
        """Leave no half line."""
        self._clear()
        if self._title:
            self._print("x", "stopped", "red")
        self._title = ""

    def _finish(self) -> None:
        if self._title:
            self._clear()
            self._print("+", f"{time.monotonic() - self._began:.1f} s", "green")
            self._title = ""

    def _print(self, sign: str, ending: str, style: str) -> None:
        from rich.text import Text  # loaded already

        self._console.print(Text.assemble((f"{sign} ", style), self._title, (f"  {ending}", "dim")), soft_wrap=True)

    def _live(self, text: str) -> None:
        """Show one line that the next one replaces, at most ten times a second."""
        now = time.monotonic()
        if text and now - self._shown < 0.1:
            return
        self._shown = now
        line = f". {self._title}  {now - self._began:.0f} s  {text}"
        _write(f"\r\x1b[2K{line[: max(20, self._console.width - 1)]}".encode("utf-8", "replace"))

    def _clear(self) -> None:
        _write(b"\r\x1b[2K")


def _amount(name: str, received: int, total: int | None) -> str:
    if total:
        return f"{visible(name)}: {received / MEGABYTE:.1f} of {total / MEGABYTE:.1f} MB"
    return f"{visible(name)}: {received / MEGABYTE:.1f} MB"


def _write(data: bytes) -> None:
    """Write to standard error, whatever is left of it."""
    while data:
        try:
            data = data[os.write(2, data) :]
        except BlockingIOError:
            continue
        except OSError:
            return
