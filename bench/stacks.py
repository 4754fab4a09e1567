"""Rows: many children under one supervisor: starts, ends, output, memory, quiet."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from measure import (
    SLEEP,
    Bench,
    Line,
    MissingError,
    Sample,
    Signs,
    Stack,
    alive,
    alternate,
    children,
    descendants,
    open_gate,
    pss,
    ticks,
    until_gone,
    wake_ups,
)
from starts import bwrap_words

SIGN = "echo >signs; exec sleep 1000"
WRITERS = 4
LINES_A_FILE = 100_000
LINES_FOR_HONCHO = 20_000  # it takes 4 s for 100,000
LINE = b"x" * 99 + b"\n"


def supervise(name: str, programs: list[str], mode: str = "stop-on-failure") -> str:
    """Return the text of a `!Supervise` command with a shell line for each child."""
    text = f"  {name}: !Supervise\n    mode: {mode}\n    children:\n"
    for number, program in enumerate(programs):
        text += f"      c{number}: !Command\n        container: host\n        run: {json.dumps(program)}\n"
    return text


def procfile(directory: Path, programs: list[str]) -> str:
    """Write the same as a Procfile; return its name."""
    path = directory / "Procfile"
    path.write_text("".join(f"c{number}: {program}\n" for number, program in enumerate(programs)))
    return path.name


def supervisord(bench: Bench, directory: Path, programs: list[str]) -> list[str]:
    """Write the same for supervisord; return its words."""
    program = bench.program("supervisord")
    text = f"[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={directory}/pid\n"
    for number, each in enumerate(programs):
        text += f"[program:c{number}]\ncommand=sh -c {json.dumps(each)}\n"
        text += "stdout_logfile=NONE\nstderr_logfile=NONE\n"
    (directory / "supervisord.conf").write_text(text)
    return [program, "-c", str(directory / "supervisord.conf")]


def pair(bench: Bench, name: str, programs: list[str]) -> tuple[Path, list[str], list[str] | None]:
    """Return a project, our words and honcho's for the same children."""
    directory = bench.project(name, supervise("up", programs))
    try:
        honcho = [bench.program("honcho"), "start", "-f", procfile(directory, programs)]
    except MissingError as missing:
        bench.note(str(missing))
        return directory, [bench.vagga, "up"], None
    return directory, [bench.vagga, "up"], honcho


def against(bench: Bench, runs: int, ours: Callable[[], float], theirs: Callable[[], float] | None) -> list[Sample]:
    """Measure ours in turn with theirs, or alone."""
    return alternate(runs, ours, theirs) if theirs is not None else alternate(runs, ours)


# --- starts -----------------------------------------------------------------------------------------------------


def spawn_lines(bench: Bench) -> list[Line]:
    """Spawns inside a running supervisor."""
    directory = bench.project("spawn", "")
    peers = {"posix_spawn, no sandbox": ["true"]}
    try:
        peers["bwrap, same mounts"] = bwrap_words(bench.program("bwrap"), str(directory))
    except MissingError as missing:
        bench.note(str(missing))
    program = str(Path(__file__).with_name("spawn.py"))
    words = [bench.python, program, str(directory), str(bench.runs * 10), *map("\n".join, peers.values())]
    told = subprocess.run(words, capture_output=True, text=True, check=False, cwd=directory, env=bench.environ)
    if told.returncode:
        raise MissingError(f"spawn.py: {told.stderr.strip()[-300:]}")
    values = json.loads(told.stdout)
    ours = Sample(tuple(values["ours"]))
    what = "warm spawn, request to reaped `true`"
    bound: float | None = 2.5
    lines = []
    for name, taken in reversed(list(zip(peers, values["theirs"], strict=True))):
        lines.append(Line(what, "ms", ours, name, Sample(tuple(taken)), bound))
        bound = None
    lines += [
        Line(f"once a run: {each}", "ms", Sample((values[key],)))
        for key, each in (("start", "start of the spawner"), ("first", "first spawn (template)"), ("end", "its end"))
    ]
    return lines


def start_many_lines(bench: Bench) -> list[Line]:
    """From the call of the supervisor until the hundredth child runs."""
    count = 100
    directory, ours, honcho = pair(bench, "many", [SIGN] * count)
    signs = Signs(directory)

    def measure(words: list[str]) -> float:
        with Stack(words, directory, bench.environ) as stack:
            return (signs.take(count) - stack.begun) * 1000 / count

    runs = max(3, bench.runs // 4)
    samples = against(bench, runs, partial(measure, ours), partial(measure, honcho) if honcho else None)
    signs.close()
    what = f"start of {count} children, per child (vagga's own start included)"
    return [Line(what, "ms", samples[0], *_peer("honcho", samples), 3.0)]


def _peer(name: str, samples: list[Sample]) -> tuple[str, Sample | None]:
    return (name, samples[1]) if len(samples) > 1 else ("", None)


# --- ends -------------------------------------------------------------------------------------------------------


def kill_lines(bench: Bench) -> list[Line]:
    """From SIGKILL for the supervisor until nothing is left."""
    return [_kill_children(bench), *_kill_namespace(bench)]


def _kill_children(bench: Bench) -> Line:
    count = 200
    directory = bench.project("kill200", supervise("up", [f"exec {SLEEP}"] * count))

    def measure() -> float:
        with Stack([bench.vagga, "up"], directory, bench.environ) as stack:
            stack.wait_for("sleep", count)
            below = descendants(stack.pid)
            (spawner,) = children(stack.pid)
            # The first process of a namespace is gone only after all others in it.
            watched = (stack.pid, spawner, *children(spawner))
            milliseconds = until_gone(watched, partial(os.kill, stack.pid, signal.SIGKILL))
            _check(below)
            return milliseconds

    (sample,) = alternate(max(3, bench.runs // 8), measure)
    return Line(f"`kill -9` of the supervisor, {count} children: all gone", "ms", sample, bound=100.0)


def _kill_namespace(bench: Bench) -> list[Line]:
    count = 1000
    payload = f"i=0; while [ $i -lt {count} ]; do setsid {SLEEP} & i=$((i+1)); done; wait"
    directory = bench.project("kill1000", f"  up: !Command\n    container: host\n    run: {json.dumps(payload)}\n")
    theirs = ["--pid", "--fork", "--kill-child", "--user", "--map-root-user", "sh", "-c", payload]

    def measure(words: list[str], depth: int) -> float:
        with Stack(words, directory, bench.environ) as stack:
            stack.wait_for("sleep", count)
            below = descendants(stack.pid)
            first = stack.pid
            for _ in range(depth):
                (first,) = children(first)
            milliseconds = until_gone((stack.pid, first), partial(os.kill, stack.pid, signal.SIGKILL))
            _check(below)
            return milliseconds

    try:
        unshare = partial(measure, [bench.program("unshare"), *theirs], 1)
        unshare()
    except MissingError as missing:
        bench.note(str(missing))
        unshare = None
    samples = against(bench, max(3, bench.runs // 8), partial(measure, [bench.vagga, "up"], 2), unshare)
    what = f"`kill -9`, one child with {count} setsid'ed processes: all gone"
    return [Line(what, "ms", samples[0], *_peer("unshare --kill-child", samples), 1.3, "ratio")]


def _check(below: dict[int, tuple[str, int]]) -> None:
    """All that was below the supervisor must be gone; the last, the spawner itself, may just be on its way."""
    end = time.monotonic() + 1
    while (left := [pid for pid in below if alive(pid)]) and time.monotonic() < end:
        time.sleep(0.001)
    if left:
        raise RuntimeError(f"{len(left)} processes survive: {left[:5]}")


def stop_lines(bench: Bench) -> list[Line]:
    """From the first exit among fifty children until the supervisor's own."""
    count = 50
    first = "echo >signs; : <gate; exit 3"
    directory, ours, honcho = pair(bench, "stop", [first, *[SIGN] * (count - 1)])
    os.mkfifo(directory / "gate")
    signs = Signs(directory)

    def measure(words: list[str]) -> float:
        with Stack(words, directory, bench.environ) as stack:
            signs.take(count)
            begun = time.perf_counter()
            with open_gate(directory / "gate"):
                return (stack.finish() - begun) * 1000

    runs = max(5, bench.runs // 3)
    samples = against(bench, runs, partial(measure, ours), partial(measure, honcho) if honcho else None)
    signs.close()
    what = f"first exit of {count} children that obey TERM, until the supervisor's own"
    return [Line(what, "ms", samples[0], *_peer("honcho", samples), 60.0)]


# --- output -----------------------------------------------------------------------------------------------------


def output_lines(bench: Bench) -> list[Line]:
    """Lines with a prefix a second: four writers, pipes, output to /dev/null."""
    files = 20 if bench.runs > 10 else 10
    ours_text = "exec cat" + " lines" * files
    theirs_text = f"head -n {LINES_FOR_HONCHO} lines; echo >signs; : <gate"
    directory = bench.project("output", supervise("up", [ours_text] * WRITERS, "wait-all-successful"))
    (directory / "lines").write_bytes(LINE * LINES_A_FILE)
    os.mkfifo(directory / "gate")
    signs = Signs(directory)

    def ours() -> float:
        with Stack([bench.vagga, "--prefix", "up"], directory, bench.environ) as stack:
            return WRITERS * files * LINES_A_FILE / (stack.finish() - stack.begun) / 1e6

    def theirs(words: list[str]) -> float:
        # honcho ends everything with its first child: all wait for the last one.
        with Stack(words, directory, bench.environ) as stack:
            signs.take(WRITERS)
            with open_gate(directory / "gate"):
                return WRITERS * LINES_FOR_HONCHO / (stack.finish() - stack.begun) / 1e6

    peer = None
    try:
        words = [bench.program("honcho"), "start", "-f", procfile(directory, [theirs_text] * WRITERS)]
        peer = partial(theirs, words)
    except MissingError as missing:
        bench.note(str(missing))
    samples = against(bench, max(3, bench.runs // 10), ours, peer)
    signs.close()
    what = f"prefixed lines of {len(LINE)} bytes, {WRITERS} writers, pipes (start and end included)"
    return [Line(what, "M lines/s", samples[0], *_peer("honcho", samples), 3.0, "rate")]


# --- memory and quiet -------------------------------------------------------------------------------------------


def idle_lines(bench: Bench) -> list[Line]:
    """Memory of the processes, and how often they wake up while nothing happens."""
    lines = _idle(bench, 10, bounds=(30.0, None), quiet=5.0)
    return lines + _idle(bench, 100, bounds=(30.0, 0.6), quiet=0.0)


def _idle(bench: Bench, count: int, bounds: tuple[float | None, float | None], quiet: float) -> list[Line]:
    programs = [f"exec {SLEEP}"] * count
    directory, words, honcho = pair(bench, f"idle{count}", programs)
    lines = []
    peers: dict[str, list[str]] = {}
    if honcho is not None and count <= 10:
        peers["honcho"] = honcho
    try:
        if count <= 10:
            peers["supervisord"] = supervisord(bench, directory, programs)
    except MissingError as missing:
        bench.note(str(missing))
    with Stack(words, directory, bench.environ) as stack:
        stack.wait_for("sleep", count)
        (spawner,) = children(stack.pid)
        inits = children(spawner)
        time.sleep(0.5)
        own = Sample((pss(stack.pid) + pss(spawner),))
        each = Sample(tuple(map(pss, inits)))
        calm = _wake_ups((stack.pid, spawner, *inits), quiet) if quiet else None
    theirs = {name: _peer_idle(peer, directory, bench, count, quiet) for name, peer in peers.items()}
    what = f"memory (PSS) of supervisor and spawner, {count} children"
    for name, (memory, _) in theirs.items() or [("", (None, None))]:
        lines.append(Line(what, "MiB", own, name, memory, bounds[0]))
        bounds = (None, bounds[1])
    lines.append(Line(f"memory (PSS) of the PID 1 of each of {count} idle children", "MiB", each, bound=bounds[1]))
    if calm is not None:
        what = f"wake-ups in {quiet:.0f} s of supervisor, spawner and {count} PID 1 together, idle"
        bound: float | None = 0.0
        for name, (_, woken) in theirs.items() or [("", (None, None))]:
            lines.append(Line(what, "", calm[0], name, woken[0] if woken else None, bound))
            bound = None
        lines.append(Line(f"processor time of these in {quiet:.0f} s", "ticks", calm[1], bound=0.0))
    return lines


def _peer_idle(
    words: list[str], directory: Path, bench: Bench, count: int, quiet: float
) -> tuple[Sample, tuple[Sample, Sample]]:
    with Stack(words, directory, bench.environ) as stack:
        stack.wait_for("sleep", count)
        time.sleep(1.0)
        own = [stack.pid, *(pid for pid, (name, _) in descendants(stack.pid).items() if name not in ("sleep", "sh"))]
        return Sample((sum(map(pss, own)),)), _wake_ups(tuple(own), quiet)


def _wake_ups(pids: tuple[int, ...], seconds: float) -> tuple[Sample, Sample]:
    time.sleep(0.5)
    before = sum(map(wake_ups, pids)), sum(map(ticks, pids))
    time.sleep(seconds)
    after = sum(map(wake_ups, pids)), sum(map(ticks, pids))
    return Sample((float(after[0] - before[0]),)), Sample((float(after[1] - before[1]),))
