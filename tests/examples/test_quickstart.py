"""The programs of examples/quickstart, run directly: what vagga starts there must be right on its own."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXAMPLE = Path(__file__).parents[2] / "examples" / "quickstart"
PATIENCE = 60.0  # seconds until a test gives up; nothing here takes that long
STOPS = [signal.SIGTERM, signal.SIGINT]


class Program:
    """One running program of the example, whose output is read line by line as it comes."""

    def __init__(self, name: str, *arguments: str, database: Path, port: int = 0, **environ: str) -> None:
        self.process = subprocess.Popen(
            ["/usr/bin/python3", "-m", f"jobs.{name}", *arguments],
            cwd=EXAMPLE,
            env={"PATH": os.environ["PATH"], "DATABASE": str(database), "PORT": str(port), **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.unread = b""

    def line(self) -> str:
        """Wait for the next line; an end of the output is an empty one."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + PATIENCE
        while b"\n" not in self.unread:
            ready, _, _ = select.select([self.process.stdout], [], [], deadline - time.monotonic())
            assert ready, f"no line, only {self.unread!r}"
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                break
            self.unread += data
        text, _, self.unread = self.unread.partition(b"\n")
        return text.decode()

    def line_with(self, text: str) -> str:
        """Wait for a line that holds `text`."""
        while text not in (line := self.line()):
            assert line, f"ended without {text!r}"
        return line

    def end(self, signal_number: int = 0) -> tuple[int, str]:
        """Wait for the end, after a signal if one is given; return the exit code and the rest of the output."""
        if signal_number:
            self.process.send_signal(signal_number)
        rest, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, (self.unread + rest).decode()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Start programs on a database of this test; all are gone after it."""
    running: list[Program] = []

    def start(name: str, *arguments: str, port: int = 0, **environ: str) -> Program:
        running.append(Program(name, *arguments, database=tmp_path / "app.sqlite", port=port, **environ))
        return running[-1]

    yield start
    for program in running:
        if program.process.poll() is None:
            program.process.kill()
        program.process.communicate()


@pytest.fixture
def migrated(start: Callable[..., Program]) -> Callable[..., Program]:
    """Start programs on a database that has its schema."""
    code, output = start("migrate").end()
    assert (code, output.endswith("is now at version 2 (was 0)\n")) == (0, True)
    return start


def ask(port: int, path: str, body: object = None) -> tuple[int, dict[str, object]]:
    """Send one request, a POST if there is a body; return status and answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=data)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=PATIENCE) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def port_of(web: Program) -> int:
    """Wait until `web` listens and return its port."""
    return int(web.line_with("listening on").rpartition(":")[2])


def test_a_job_that_goes_in_over_http_comes_out_computed(migrated: Callable[..., Program]) -> None:
    web, worker = migrated("web"), migrated("worker")
    port = port_of(web)
    assert ask(port, "/jobs", {"kind": "primes", "size": 100})[0] == 201
    assert worker.line_with("job 1").startswith("job 1: primes 100 = 25 primes")
    assert ask(port, "/jobs/1") == (
        200,
        {"id": 1, "kind": "primes", "size": 100, "state": "done", "result": "25 primes"},
    )
    assert ask(port, "/health") == (200, {"status": "ok", "jobs": {"done": 1}})
    assert ask(port, "/jobs/2")[0] == 404


@pytest.mark.parametrize("body", [{"kind": "nothing"}, {"kind": "primes", "size": 0}, [], {"kind": []}])
def test_web_refuses_a_wrong_job_with_400(migrated: Callable[..., Program], body: object) -> None:
    status, answer = ask(port_of(migrated("web")), "/jobs", body)
    assert status == 400
    assert "must be" in str(answer["error"])


def test_web_answers_503_while_the_database_is_away(migrated: Callable[..., Program], tmp_path: Path) -> None:
    port = port_of(migrated("web"))
    (tmp_path / "app.sqlite").rename(tmp_path / "away")
    status, answer = ask(port, "/health")
    assert (status, "run migrate first" in str(answer["error"])) == (503, True)


def test_a_crash_job_ends_the_worker_with_1_and_is_not_taken_again(migrated: Callable[..., Program]) -> None:
    worker, port = migrated("worker"), port_of(migrated("web"))
    ask(port, "/jobs", {"kind": "crash"})
    code, output = worker.end()
    assert code == 1
    assert output.endswith("RuntimeError: this job of size 1000 was made to crash its worker\n")
    ask(port, "/jobs", {"kind": "primes", "size": 100})
    assert migrated("worker").line_with("job").startswith("waiting for jobs")
    assert ask(port, "/jobs/1")[1]["state"] == "running"


@pytest.mark.parametrize("number", STOPS)
def test_a_worker_that_is_stopped_gives_its_job_back(migrated: Callable[..., Program], number: int) -> None:
    worker, port = migrated("worker"), port_of(migrated("web"))
    ask(port, "/jobs", {"kind": "partitions", "size": 1_000_000})
    deadline = time.monotonic() + PATIENCE
    while ask(port, "/jobs/1")[1]["state"] != "running":
        assert time.monotonic() < deadline, "the worker does not take the job"
    code, output = worker.end(number)
    assert (code, output) == (0, f"waiting for jobs\nstopped by {signal.Signals(number).name}\n")
    assert ask(port, "/jobs/1")[1]["state"] == "waiting"


@pytest.mark.parametrize("number", STOPS)
@pytest.mark.parametrize(("name", "first"), [("web", "listening"), ("worker", "waiting"), ("ticker", "waiting")])
def test_every_program_stops_when_told_with_one_line_and_0(
    migrated: Callable[..., Program], name: str, first: str, number: int
) -> None:
    program = migrated(name)
    program.line_with(first)
    assert program.end(number) == (0, f"stopped by {signal.Signals(number).name}\n")


def test_ticker_waits_for_web_and_goes_on_when_it_is_back(migrated: Callable[..., Program]) -> None:
    web = migrated("web")
    port = port_of(web)
    web.end(signal.SIGTERM)
    ticker = migrated("ticker", port=port, TICK_MILLISECONDS="10")
    assert ticker.line().startswith("waiting for web (")
    migrated("web", port=port)
    assert ticker.line() == "submitted job 1 (primes 200000)"
    assert ticker.line() == "submitted job 2 (collatz 20000)"


def test_web_says_that_its_port_is_in_use_and_exits_1(migrated: Callable[..., Program]) -> None:
    port = port_of(migrated("web"))
    expected = f"port {port} is in use (stop what uses it, or set PORT to another one)\n"
    assert migrated("web", port=port).end() == (1, expected)


@pytest.mark.parametrize("name", ["web", "worker"])
def test_without_a_database_a_program_says_what_to_do(start: Callable[..., Program], name: str) -> None:
    code, output = start(name).end()
    assert (code, output.count("\n")) == (1, 1)
    assert output.endswith("app.sqlite (run migrate first)\n")


def test_a_wrong_port_is_one_clear_line(migrated: Callable[..., Program]) -> None:
    expected = "PORT must be a number from 0 to 65535, not 'http'\n"
    assert migrated("web", PORT="http").end() == (1, expected)


def test_submit_says_what_became_of_the_job(migrated: Callable[..., Program]) -> None:
    web = migrated("web")
    port = port_of(web)
    assert migrated("submit", "crash", port=port).end() == (0, "submitted job 1 (crash 1000)\n")
    assert migrated("submit", "primes", "9", port=port).end() == (0, "submitted job 2 (primes 9)\n")
    code, output = migrated("submit", "nothing", port=port).end()
    assert (code, output.startswith("web refuses the job: kind must be one of primes, ")) == (1, True)
    assert migrated("submit", port=port).end() == (1, "usage: submit KIND [SIZE]\n")
    web.end(signal.SIGTERM)
    expected = f"web does not answer on port {port} (vagga run_full_app starts it)\n"
    assert migrated("submit", "crash", port=port).end() == (1, expected)


def test_batch_computes_one_job_and_exits(start: Callable[..., Program]) -> None:
    assert start("batch", "collatz", "28").end() == (0, "collatz 28 = 111 steps from 27\n")
    code, output = start("batch", "nothing").end()
    assert (code, output.startswith("usage: batch primes|")) == (1, True)


def test_the_tests_of_the_application_itself_pass() -> None:
    ran = subprocess.run(
        ["/usr/bin/python3", "-m", "unittest", "discover", "-s", "tests"],
        cwd=EXAMPLE,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (ran.returncode, ran.stderr.splitlines()[-1]) == (0, "OK")
