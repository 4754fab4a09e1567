"""Measure the budgets against peers, in one run, and write the table. Started by `script/bench`; see `--help`."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import resource
import secrets
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from builds import build_lines
from inputs import input_lines
from measure import Bench, Line, MissingError, working_directory
from report import render, replace_section
from soak import STEPS, soak
from stacks import idle_lines, kill_lines, output_lines, spawn_lines, start_many_lines, stop_lines
from starts import size_lines, start_lines

ROWS: dict[str, Callable[[Bench], list[Line]]] = {
    "start": start_lines,
    "size": size_lines,
    "spawn": spawn_lines,
    "many": start_many_lines,
    "kill": kill_lines,
    "stop": stop_lines,
    "output": output_lines,
    "idle": idle_lines,
    "inputs": input_lines,
    "builds": build_lines,
}
USUAL, QUICK = 40, 6


def main() -> int:
    options = _options()
    if options.soak:
        return soak(options.steps, options.seed)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that nothing is left behind
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    load = os.getloadavg()[0]
    lines: list[Line] = []
    with working_directory() as directory:
        bench = Bench(Path(directory), Path(sys.executable).parent, QUICK if options.quick else USUAL)
        for name in options.only or ROWS:
            print(f"measuring: {name}", file=sys.stderr, flush=True)
            try:
                lines += ROWS[name](bench)
            except MissingError as missing:
                bench.note(f"{name}: {missing}")
    for note in bench.notes:
        print(f"not measured: {note}", file=sys.stderr)
    text = render(lines, bench.notes, _conditions(load, os.getloadavg()[0]))
    print(text)
    if options.output:
        _write(Path(options.output), text)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("script/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} runs instead of {USUAL}")
    parser.add_argument("--only", action="append", choices=tuple(ROWS), metavar="ROW", help=f"one of {', '.join(ROWS)}")
    parser.add_argument("--output", metavar="FILE", default="", help="where the table goes ('': only to the screen)")
    parser.add_argument("--soak", action="store_true", help="measure nothing: let the policy take random steps")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"how many steps of --soak ({STEPS})")
    parser.add_argument("--seed", type=int, default=secrets.randbits(24), help="where --soak begins (anywhere)")
    return parser.parse_args()


def _conditions(before: float, after: float) -> str:
    """Return in one sentence what was measured on; nothing that names the machine."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    kind = "virtual machine" if _is_virtual() else "machine"
    release = ".".join(platform.release().split("-")[0].split(".")[:2])
    today = datetime.datetime.now(datetime.UTC).date()
    busy = before > (os.cpu_count() or 1) / 2
    remark = " The machine was busy with other work: ratios count, absolute times do not." if busy else ""
    return (
        f"{today}: a {kind} with {os.cpu_count()} {platform.machine()} processors and {memory:.0f} GiB, "
        f"Linux {release}, Python {platform.python_version()}, load {before:.1f} before and {after:.1f} after.{remark}"
    )


def _is_virtual() -> bool:
    try:
        return " hypervisor " in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def _write(path: Path, text: str) -> None:
    """Put the table where the last one of the same kind of account was."""
    title = "As root" if os.getuid() == 0 else "As an ordinary user"
    try:
        before = path.read_text()
    except FileNotFoundError:
        before = ""
    path.write_text(replace_section(before, title, text))


if __name__ == "__main__":
    sys.exit(main())
