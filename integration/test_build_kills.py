"""A build that is killed, at any moment: the root before it stays and runs, and nothing is in the way of the next.

The moments are drawn with a seed, over the time that a whole build takes: fetching, unpacking, steps, the commit of
layers, the plain tree, the names.
"""

from __future__ import annotations

import http.server
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from integration.builds import COMMANDS, container, containers, content, leftovers, root, small, version, write
from integration.runs import Project, Running, alive, command_line, descendants, has_ranges, processes, wait_until

__all__ = ["small"]
MOMENTS = 11
SEED = 20240229
OWNED = "chown 5:6 /f1" if has_ranges() else "true"


def steps(what: object) -> tuple[str, ...]:
    """Return steps that end with `/mark` saying what was built."""
    return (
        f"!Sh 'for i in $(seq 50); do echo $i > /f$i; done; mkdir -m 700 /d; {OWNED}; echo {what} > /mark'",
        "!Sh 'echo y > /d/y'",
        "!Sh 'rm /f2; sleep 0.05'",
    )


def kill(running: Running) -> None:
    """Kill vagga, if it still runs, and wait until all below it are gone."""
    below = descendants(running.pid)
    running.signal(9)
    wait_until(lambda: not alive(below), "the processes of the killed build end")


@pytest.mark.parametrize("way", ["layers", "copies", "force"])
def test_a_build_that_is_killed_leaves_the_root_before_it_and_nothing_in_the_way(small: Project, way: str) -> None:
    environ = {"VAGGA_NO_OVERLAY": "1"} if way == "copies" else {}
    again = ("--force",) if way == "force" else ()
    dice = random.Random(f"{SEED}{way}")
    write(small, *steps("old"))
    small.run("_build", "c", environ=environ)
    begun = time.monotonic()
    assert small.run("_build", "c", "--force", environ=environ).code == 0
    whole = time.monotonic() - begun
    old, before = version(small), content(version(small) / "root")
    unfinished = 0
    for number in range(MOMENTS):
        wanted = "old" if again else f"new{number}"
        write(small, *steps(wanted))
        running = small.start("_build", "c", *again, environ=environ)
        time.sleep(dice.uniform(0.05, whole * 0.8))  # the moment is what is tested
        if running.process.poll() is None:
            unfinished += 1
        else:
            whole *= 0.7  # the machine has become faster
        kill(running)
        running.finish()
        assert root(small).is_dir(), "the link leads nowhere"
        if not again:
            assert content(old / "root") == before
        write(small, *steps("old"))
        kept = small.run("--no-build", "see", "cat /mark; wc -l < /f50", environ=environ)
        assert (kept.code, kept.out) == (0, "old\n1\n"), (number, kept)
        write(small, *steps(wanted))
        after = small.run("see", "cat /mark; ls / | grep -c f", environ=environ)
        assert (after.code, after.out) == (0, f"{wanted}\n49\n"), (number, after)
    assert unfinished > MOMENTS / 4
    write(small, *steps("last"))
    assert small.run("_build", "c", environ=environ).code == 0
    assert leftovers(small) == []


def test_what_a_killed_vagga_was_removing_is_removed_by_the_next_build_whatever_it_was(small: Project) -> None:
    """Names as the store gives them; that of a process which cannot be."""
    write(small, *steps("old"))
    assert small.run("_build", "c").code == 0
    roots = small.directory / ".vagga/.roots"
    for name in (".tmp.-old.c", ".tmp.-gone.c.0123abcd", ".tmp.-gone.tmp.c", ".tmp.-gone.tmp.-old.c.99999999"):
        (roots / f"{name}.99999999" / "root").mkdir(parents=True)
    (roots / ".tmp.-old.d.99999999").mkdir()
    write(small, *steps("new"))
    assert small.run("_build", "c").code == 0
    assert leftovers(small) == [".roots/.tmp.-old.d.99999999"], "that is of another container"


@contextmanager
def slow_server(data: bytes, pieces: int) -> Iterator[str]:
    """Serve one file slowly, in pieces; return its URL."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            size = len(data) // pieces + 1
            try:
                for at in range(0, len(data), size):
                    self.wfile.write(data[at : at + size])
                    time.sleep(0.02)
            except OSError:
                pass

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/root.tar"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_download_that_is_killed_is_never_taken_for_the_whole_file(small: Project) -> None:
    data = (small.directory / "root.tar").read_bytes()
    dice = random.Random(SEED)
    with slow_server(data, 20) as url:
        for number in range(4):
            small.write(COMMANDS, containers(container("c", f"!Tar {{url: {url}?{number}}}", "!Sh 'echo x > /mark'")))
            running = small.start("_build", "c")
            time.sleep(dice.uniform(0.1, 0.7))
            kill(running)
            running.finish()
            result = small.run("see", "cat /mark")
            assert (result.code, result.out) == (0, "x\n"), result
    parts = [path.name for path in (small.directory / ".vagga/.cache").rglob("*") if path.suffix == ".part"]
    assert parts == []


SLEEPING = "!Sh 'echo begun > /work/begun; sleep 100; sleep 100'"


def victims(pid: int) -> dict[str, int]:
    """Return the processes of a running step: spawner, PID 1 of the step, its program."""
    below = {child: parent for child, (parent, state, _) in processes().items() if state != "Z"}
    spawner = next(child for child, parent in below.items() if parent == pid)
    init = next(child for child, parent in below.items() if parent == spawner)
    program = next(child for child, parent in below.items() if parent == init)
    return {"spawner": spawner, "init": init, "program": program}


@pytest.mark.parametrize("who", ["spawner", "init", "program"])
def test_a_killed_process_of_a_step_is_a_failure_that_is_told_in_one_line(small: Project, who: str) -> None:
    write(small, "!Sh 'echo good > /mark'")
    assert small.run("_build", "c").code == 0
    before = content(version(small))
    write(small, SLEEPING)
    running = small.start("_build", "c")
    wait_until(lambda: small.has("begun"), "the step runs")
    os.kill(victims(running.pid)[who], 9)
    result = running.finish()
    assert result.code not in (0, 130), result
    last = result.err.splitlines()[-1]
    assert last.startswith("vagga: ") and last.endswith("]") and "internal error" not in last, result.err
    assert content(version(small)) == before
    write(small, "!Sh 'echo next > /mark'")
    assert small.run("see", "cat /mark").out == "next\n"
    assert leftovers(small) == []


def test_a_killed_worker_is_a_failure_that_is_told_in_one_line(small: Project) -> None:
    big = small.directory / "big"
    big.mkdir()
    for number in range(6000):  # that many take a while
        (big / str(number)).write_bytes(b"x" * 300)
    write(small, "!Copy {source: /work/big, path: /big}")
    running = small.start("_build", "c")

    found = [0]

    def copies() -> bool:
        if not command_line(found[0]):
            below = descendants(running.pid)
            found[0] = next((pid for pid in below if "build.worker" in command_line(pid)), 0)
        return found[0] > 0 and any((small.directory / ".vagga/.layers").glob(".tmp.*/d/big"))

    wait_until(copies, "the worker copies")
    os.kill(found[0], 9)
    result = running.finish()
    assert result.code == 121, result
    assert "[build-worker]" in result.err.splitlines()[-1]
    assert "vagga.yaml:5" in result.err
    after = small.run("see", "ls /big | wc -l")
    assert after.out == "6000\n", after
    assert leftovers(small) == []
