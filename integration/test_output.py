"""Output: every byte arrives, in whole lines, whatever the bytes are and however slow the reader is."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from integration.runs import PATIENCE, VAGGA, Project, Running, deadline, need, wait_until
from vaggapy.supervise.output import LAST_WORDS

PYTHON = "/usr/bin/python3"
MESSAGE = re.compile(rb"^(vagga: |Received |----------)")


def supervise(project: Project, mode: str = "wait-all-successful", **children: str) -> None:
    """Write a command `up` with these children, `_` in a name stands for `-`; each text is YAML."""
    bodies = "".join(
        f"      {name.replace('_', '-')}: !Command\n        container: host\n        run: {run}\n"
        for name, run in children.items()
    )
    project.write(f"  up: !Supervise\n    mode: {mode}\n    kill-unresponsive-after: 60\n    children:\n{bodies}")


def when(name: str) -> str:
    """Return shell text that waits for a file of the project."""
    return f"until test -e {name}; do sleep 0.01; done; "


def python(project: Project, name: str, text: str) -> str:
    """Write a script and return the YAML of the command that runs it."""
    need(Path(PYTHON).exists(), f"{PYTHON} does not exist")
    (project.directory / f"{name}.py").write_text(f"import os, sys, time\n{text}")
    return f"[{PYTHON}, -u, {name}.py]"


def output(project: Project, *words: str, code: int = 0) -> tuple[bytes, bytes]:
    """Run `vagga WORDS` with pipes and return its standard output and standard error."""
    run = project.start(*words)
    out, err = run.process.communicate(timeout=2 * PATIENCE)
    assert run.process.returncode == code, (out[-2000:], err)
    return out, err


def assert_whole(lines: list[bytes], mark: bytes) -> None:
    """Assert that a, b and c have written lines of their own letter, of growing and shrinking lengths, with this end.

    A writer that gets no processor for 100 ms in the middle of a line has it broken there, and goes on below (6.5).
    """
    for letter in (b"a", b"b", b"c"):
        own = [line.removeprefix(letter + b" | ") for line in lines if line.startswith(letter + b" | ")]
        written = b"".join(own).split(mark)
        assert written == [letter * (number * 37 % 9000 + 1) for number in range(150)] + [b""], letter
        assert len(own) < 2 * 150, "broken, as if nobody had waited for their ends"
    assert {line[:4] for line in lines} == {b"a | ", b"b | ", b"c | "}


def messages(err: bytes) -> list[bytes]:
    return [line for line in err.splitlines() if MESSAGE.match(line)]


# --- bytes and lines --------------------------------------------------------------------------------------------


def test_O1_a_last_line_without_a_newline_is_kept(project: Project) -> None:
    """Supervision 6.6; what comes next begins a line of its own."""
    supervise(project, a='"printf one; printf err >&2; touch a.done"', b=f'"{when("a.done")}sleep 0.1; printf two"')
    out, err = output(project, "--prefix", "up")
    assert out == b"a | one\nb | two"
    assert err.startswith(b"a | err\nvagga: all 2 exited with code 0")


def test_O1_without_prefixes_every_byte_is_the_childs_own(project: Project) -> None:
    """Supervision 6.1: inherited descriptors, no copy and nothing added."""
    supervise(project, a='"printf one"', b="'true'")
    out, err = output(project, "up")
    assert out == b"one"
    assert all(MESSAGE.match(line) for line in err.splitlines())


@pytest.mark.parametrize(("size", "end"), [(1024 * 1024, "\\n"), (10 * 1024 * 1024, "")])
def test_O2_a_very_long_line_comes_whole(project: Project, size: int, end: str) -> None:
    """Supervision 6.5: the only line of the moment is written in pieces that follow each other."""
    run = python(project, "long", f"sys.stdout.write('x' * {size} + 'end{end}')\n")
    supervise(project, a=run, b="'true'")
    out, _ = output(project, "--prefix", "up")
    assert out == b"a | " + b"x" * size + b"end" + b"\n" * bool(end)


def test_O2_any_byte_passes_through(project: Project) -> None:
    """Supervision 6.4: NUL, every invalid UTF-8, carriage returns of progress bars, escape sequences."""
    wanted = bytes(each for each in range(256) if each != 10) * 3 + b"\r 50%\r100%\x1b[31m\xff\xfe"
    run = python(project, "raw", f"os.write(1, {wanted!r} + b'\\n')\nos.write(2, {wanted!r} + b'\\n')\n")
    supervise(project, a=run, b="'true'")
    out, err = output(project, "--prefix", "up")
    assert out == b"a | " + wanted + b"\n"
    assert err.startswith(b"a | " + wanted + b"\n")


def test_O3_long_lines_of_two_writers_are_never_mixed(project: Project) -> None:
    """Supervision 6.4: written in pieces of odd sizes, several streams at once."""
    text = (
        "letter = os.environ['VAGGA_SUBCOMMAND'].encode()\n"
        "for stream, mark in ((1, b'o'), (2, b'e')):\n"
        "    for number in range(150):\n"
        "        line = letter * (number * 37 % 9000 + 1) + mark + b'\\n'\n"
        "        while line: line = line[os.write(stream, line[:701]):]\n"
    )
    run = python(project, "writer", text)
    supervise(project, a=run, b=run, c=run)
    out, err = output(project, "--prefix", "up")
    for stream, mark in ((out, b"o"), (err, b"e")):
        assert_whole([line for line in stream.split(b"\n")[:-1] if not MESSAGE.match(line)], mark)


def test_O4_everything_comes_before_the_message_of_the_exit(project: Project) -> None:
    """30 MB as fast as they go, then the exit, with both streams in one pipe."""
    run = python(
        project, "fast", "line = b'y' * 99 + b'\\n'\nfor _ in range(300): sys.stdout.buffer.write(line * 1000)\n"
    )
    project.write(
        f"  up: !Supervise\n    children:\n      a: !Command\n        container: host\n        run: {run}\n"
        '      b: !Command\n        container: host\n        run: "exec sleep 60"\n'
    )
    running = project.start("--prefix", "up", stderr=subprocess.STDOUT)
    out, _ = running.process.communicate(timeout=2 * PATIENCE)
    assert running.process.returncode == 0
    body, _, rest = out.partition(b"---------- Process a:")
    assert body == (b"a | " + b"y" * 99 + b"\n") * 300_000
    assert rest.count(b"\n") == 2
    assert b"a exited with code 0 after" in rest


def test_O6_the_message_of_the_exit_comes_after_both_streams(project: Project) -> None:
    body = '"printf out; printf err >&2; exit 3"'
    supervise(project, "stop-on-failure", a=body, b='"exec sleep 60"')
    running = project.start("--prefix", "up", stderr=subprocess.STDOUT)
    out, _ = running.process.communicate(timeout=PATIENCE)
    lines = out.splitlines()
    assert set(lines[:2]) == {b"a | out", b"a | err"}
    assert lines[2].startswith(b"---------- Process a:")
    assert running.process.returncode == 3


def test_stdout_and_stderr_are_kept_apart(project: Project) -> None:
    """Supervision 6.1, 6.3: with prefixes too."""
    supervise(project, a='"echo out; echo err >&2"', b='"echo out; echo err >&2"')
    out, err = output(project, "--prefix", "up")
    assert sorted(out.splitlines()) == [b"a | out", b"b | out"]
    assert sorted(err.splitlines())[:2] == [b"a | err", b"b | err"]


def test_O8_the_column_is_as_wide_as_the_longest_name(project: Project) -> None:
    """Supervision 6.3: of the children that run, from the first line on."""
    supervise(project, a="'echo x'", middle="'echo y'", a_much_longer_name="'echo z'")
    out, _ = output(project, "--prefix", "up")
    assert sorted(out.splitlines()) == [b"a                  | x", b"a-much-longer-name | z", b"middle             | y"]
    out, _ = output(project, "--prefix", "up", "--exclude", "a-much-longer-name")
    assert sorted(out.splitlines()) == [b"a      | x", b"middle | y"]


def test_O11_no_colours_in_a_pipe_unless_asked_for(project: Project) -> None:
    supervise(project, a="'echo x'", b="'true'")
    assert output(project, "--prefix", "up")[0] == b"a | x\n"
    out, _ = output(project, "--prefix", "--color=always", "up")
    assert re.fullmatch(rb"\x1b\[\d+ma \| \x1b\[0mx\n", out)


def test_a_partial_line_is_shown_after_100_milliseconds(project: Project) -> None:
    """Supervision 6.5: not at once, not at the end; what follows continues it."""
    supervise(project, a=f'"printf half; {when("go")}echo whole"', b="'true'")
    run = project.start("--prefix", "up")
    assert run.process.stdout is not None
    seen = read_until(run.process.stdout.fileno(), b"half")
    assert seen == b"a | half"
    (project.directory / "go").touch()
    result = run.finish()
    assert (result.code, result.out) == (0, "whole\n")


def test_a_partial_line_is_broken_by_another_childs_line(project: Project) -> None:
    """Supervision 6.5."""
    supervise(project, a=f'"printf half; {when("two")}echo rest"', b=f'"{when("one")}echo line"')
    run = project.start("--prefix", "up")
    assert run.process.stdout is not None
    out = read_until(run.process.stdout.fileno(), b"half")
    (project.directory / "one").touch()
    out += read_until(run.process.stdout.fileno(), b"line\n")
    (project.directory / "two").touch()
    result = run.finish()
    assert result.code == 0
    assert out.decode() + result.out == "a | half\nb | line\na | rest\n"


def test_S8_a_child_that_closes_its_streams_has_not_ended(project: Project) -> None:
    supervise(project, a='"exec > /dev/null 2>&1; sleep 0.4; exit 5"', b='"exec sleep 60"')
    run = project.start("--prefix", "up")
    assert run.finish().code == 5


# --- descriptors that are inherited -----------------------------------------------------------------------------


def test_several_children_without_a_terminal_have_the_callers_own_streams(project: Project) -> None:
    """Supervision 6.1: no copy; the same pipes, by their inode numbers, and an empty input."""
    look = '"stat -L -c %i /proc/self/fd/1 /proc/self/fd/2; cat"'
    supervise(project, a=look, b=look)
    read, write = os.pipe()
    errors = os.open(project.directory / "errors", os.O_RDWR | os.O_CREAT)
    given = os.open(project.directory / "vagga.yaml", os.O_RDONLY)
    numbers = f"{os.fstat(write).st_ino}\n{os.fstat(errors).st_ino}\n"
    run = project.start("up", stdout=write, stderr=errors, stdin=given)
    for fd in (write, errors, given):
        os.close(fd)
    assert run.finish().code == 0
    assert os.read(read, 1000).decode() in (numbers * 2, interleaved(numbers))
    os.close(read)


def interleaved(text: str) -> str:
    first, second = text.splitlines(keepends=True)
    return first * 2 + second * 2


def test_a_single_command_has_the_callers_input_and_output(project: Project) -> None:
    project.write("  c: !Command\n    container: host\n    run: [cat]\n")
    read, write = os.pipe()
    os.write(write, b"through\n")
    os.close(write)
    run = project.start("c", stdin=read)
    os.close(read)
    result = run.finish()
    assert (result.code, result.out, result.err) == (0, "through\n", "")


@pytest.mark.parametrize("prefix", [(), ("--prefix",)])
def test_closed_streams_are_no_trouble(project: Project, prefix: tuple[str, ...]) -> None:
    """Peers: 0, 1 and 2 closed, one by one and all: none of vagga's own descriptors takes their place."""
    supervise(project, a='"echo out; echo err >&2; readlink /proc/self/fd/0 > a.in"', b="'true'")
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        command = f"exec {' '.join((*VAGGA, *prefix))} up {closed}"
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=project.directory,
            env=project.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, (closed, done)
        assert (b"out" in done.stdout) == (">&-" not in closed.replace("2>&-", "")), closed
        assert (b"err" in done.stderr) == ("2>&-" not in closed), closed
        assert (project.directory / "a.in").read_text() == "/dev/null\n"


# --- readers ----------------------------------------------------------------------------------------------------


def read_until(fd: int, text: bytes) -> bytes:
    """Read until `text` has come, and return all that came."""
    seen = b""
    going = deadline()
    while text not in seen and going():
        if select.select([fd], [], [], 0.1)[0]:
            seen += os.read(fd, 65536)
    assert text in seen
    return seen


def progress(project: Project, name: str) -> int:
    try:
        return int((project.directory / name).read_text() or 0)
    except (FileNotFoundError, ValueError):
        return 0


CHATTER = (
    "n = 0\n"
    "while True:\n"
    "    os.write(1, b'z' * 999 + b'\\n')\n"
    "    n += 1\n"
    "    if n % 50 == 0: open('progress.new', 'w').write(str(n)); os.rename('progress.new', 'progress')\n"
)


def test_O5_a_reader_that_does_not_read_makes_the_writer_wait(project: Project) -> None:
    """Back-pressure, not memory: the writer stops after a few megabytes, goes on when there is room, loses nothing."""
    supervise(project, "stop-on-failure", a=python(project, "chatter", CHATTER), b='"exec sleep 60"')
    run = project.start("--prefix", "up")
    assert run.process.stdout is not None
    wait_until_still(project)
    held = progress(project, "progress")
    assert held < 4000
    before = memory(run)
    assert before < 100_000, "the supervisor keeps the output in memory"
    for _ in range(300):
        os.read(run.process.stdout.fileno(), 65536)
    wait_until(lambda: progress(project, "progress") > held, "the writer goes on")
    run.signal(signal.SIGTERM)
    result = run.finish()
    assert result.code == 143
    lines = result.out.split("\n")
    assert all(line == "a | " + "z" * 999 for line in lines[1:-2])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_O5_signals_are_obeyed_while_nobody_reads(project: Project, number: int) -> None:
    """Children are stopped at once; vagga itself gives the reader a moment, and none after a second signal."""
    text = f"import signal\nsignal.signal({int(number)}, lambda *_: (open('got', 'w').close(), os._exit(0)))\n{CHATTER}"
    supervise(project, "stop-on-failure", a=python(project, "chatter", text), b='"exec sleep 60"')
    run = project.start("--prefix", "up")
    wait_until_still(project)
    run.signal(number)
    wait_until((project.directory / "got").exists, "the child got the signal")
    wait_until(lambda: not Running._children(run.pid), "everything but vagga is gone")
    begun = time.monotonic()
    run.signal(number)
    run.process.wait(PATIENCE)
    assert time.monotonic() - begun < LAST_WORDS - 0.5
    assert run.finish().code == 128 + number


def test_O5_the_last_output_waits_for_a_slow_reader(project: Project) -> None:
    """As into a pager that nobody scrolls: vagga waits, and nothing is lost when the rest is read later."""
    text = "for n in range(1500): os.write(1, b'%06d' % n + b'q' * 500 + b'\\n')\n"
    supervise(project, a=python(project, "much", text), b="'true'")
    run = project.start("--prefix", "up")
    assert run.process.stdout is not None
    wait_until(lambda: not Running._children(run.pid) and run_has_begun(run), "the children are gone")
    begun = time.monotonic()
    wait_until(lambda: time.monotonic() - begun > 5.5 or run.process.poll() is not None, "patience")
    result = run.finish()
    assert result.code == 0
    assert [line[4:10] for line in result.out.splitlines()] == [f"{n:06d}" for n in range(1500)]


def test_X15_a_closed_reader_stops_the_run(project: Project) -> None:
    """Supervision 4.4: as `| head`; children get a TERM and may clean up, the exit code is 141."""
    text = f"import signal\nsignal.signal(15, lambda *_: (open('got', 'w').close(), os._exit(0)))\n{CHATTER}"
    supervise(project, "stop-on-failure", a=python(project, "chatter", text), b='"exec sleep 60"')
    run = project.start("--prefix", "up")
    assert run.process.stdout is not None
    os.read(run.process.stdout.fileno(), 1000)
    run.process.stdout.close()
    run.process.stdout = None
    result = run.finish()
    assert result.code == 141
    assert (project.directory / "got").exists()
    assert "Standard output was closed" in result.err


def test_X15_head_in_a_pipeline(project: Project) -> None:
    """The shell's own words; quiet children are stopped too, though nothing is written any more."""
    supervise(project, "stop-on-failure", a='"echo first; exec sleep 60"', b='"exec sleep 60"')
    command = f"{' '.join(VAGGA)} --prefix up | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["/bin/bash", "-c", command],
        cwd=project.directory,
        env=project.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout == b"a | first\n141\n"


def test_a_closed_reader_of_standard_error_changes_nothing(project: Project) -> None:
    supervise(project, a='"sleep 0.3; echo err >&2; echo out"', b="'true'")
    run = project.start("--prefix", "up")
    assert run.process.stderr is not None
    run.process.stderr.close()
    run.process.stderr = None
    result = run.finish()
    assert (result.code, result.out) == (0, "a | out\n")


def test_a_full_disk_loses_output_and_says_so_once(project: Project) -> None:
    """Peers: disk full. The children go on; the exit code is theirs."""
    supervise(project, a='"echo one; sleep 0.2; echo two; sleep 0.2; exit 3"', b='"sleep 60"')
    with open("/dev/full", "wb") as full:
        run = project.start("--prefix", "up", stdout=full.fileno())
        result = run.finish()
    assert result.code == 3
    assert result.err.count("output is lost") == 1


def test_output_to_a_file_is_complete(project: Project, tmp_path: Path) -> None:
    text = "for n in range(2000): os.write(1, b'line %d\\n' % n)\n"
    supervise(project, a=python(project, "some", text), b="'true'")
    with open(tmp_path / "file", "wb") as file:
        assert project.start("--prefix", "up", stdout=file.fileno()).finish().code == 0
    assert (tmp_path / "file").read_text() == "".join(f"a | line {n}\n" for n in range(2000))


def test_the_callers_descriptors_stay_blocking(project: Project) -> None:
    """A shell shares its open files with us: O_NONBLOCK must not be left on them."""
    supervise(project, a='"echo x"', b="'true'")
    read, write = os.pipe()
    run = project.start("--prefix", "up", stdout=write, stderr=write)
    assert run.finish().code == 0
    assert os.get_blocking(write)
    os.close(write)
    os.close(read)


def run_has_begun(run: Running) -> bool:
    """Return whether the pipe of a run's output holds something."""
    assert run.process.stdout is not None
    return bool(select.select([run.process.stdout], [], [], 0)[0])


def memory(run: Running) -> int:
    """Return the resident memory of the supervisor in KiB."""
    status = Path(f"/proc/{run.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def wait_until_still(project: Project) -> None:
    """Wait until the writer has begun and makes no progress any more for half a second."""
    last, since = -1, time.monotonic()

    def still() -> bool:
        nonlocal last, since
        now = progress(project, "progress")
        if now != last:
            last, since = now, time.monotonic()
        return now > 0 and time.monotonic() - since > 0.5

    wait_until(still, "the writer waits")
