"""vagga inside vagga: as a user and as root, two levels deep, with everything that one level promises."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from integration.runs import Project, alive, descendants, need, wait_until

PYTHON = os.path.realpath(sys.executable)
INNER = [PYTHON, "-m", "vaggapy", "-e", "PYTHONPATH"]
CONTAINERS = """containers:
  host:
    setup: [!Host {home: read-only}]
    environ: {PYTHONPATH: /work/lib}
"""


@pytest.fixture
def nested(project: Project) -> Project:
    """Return a project that holds vagga itself, with the library that reads vagga.yaml."""
    for name in ("vaggapy", "ruamel.yaml"):
        found = importlib.util.find_spec(name)
        assert found is not None and found.origin is not None
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(found.origin).parent, project.directory / "lib" / Path(*name.split(".")), ignore=ignored)
    need(not PYTHON.startswith("/tmp/"), "the interpreter is below /tmp, which is private inside")
    return project


def levels(count: int, last: object) -> str:
    """Return commands `l1` .. `lN`, of which each runs the next one in a vagga of its own, and `last` at the end."""
    runs = [json.dumps([*INNER, f"l{number + 1}"]) for number in range(1, count)] + [json.dumps(last)]
    return "".join(f"  l{n}: !Command {{container: host, run: {run}}}\n" for n, run in enumerate(runs, 1))


def is_real_root() -> bool:
    return os.getuid() == 0 and Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]


LOOK = (
    "id -u; touch made; touch /usr/x 2>/dev/null || echo read-only; ls -A /run; pwd;"
    " mount -o remount,bind,rw /usr 2>/dev/null || echo locked; exit 7"
)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_each_level_gives_the_same_container_and_passes_the_exit_code(nested: Project, depth: int) -> None:
    nested.write(levels(depth, LOOK), CONTAINERS)
    result = nested.run("l1")
    assert result.code == 7, result
    assert result.out.split() == ["0", "read-only", "lock", "shm", "/work", "locked"], result
    assert (nested.directory / "made").stat().st_uid == os.getuid()


@pytest.mark.parametrize("depth", [2, 3])
def test_the_outer_proc_is_used_where_a_new_one_is_refused_with_one_warning_a_level(
    nested: Project, depth: int
) -> None:
    nested.write(levels(depth, "ls -d /proc/[0-9]* | wc -l; id -u"), CONTAINERS)
    result = nested.run("l1")
    processes, uid = map(int, result.out.split())
    assert (result.code, uid) == (0, 0), result
    if is_real_root():
        # The controls of the kernel are locked for the real root, which hides a part of /proc.
        assert result.err.count("[outer-proc]") == result.err.count("\n") == depth - 1, result
    else:
        assert (result.err, processes <= 5) == ("", True), result


def test_a_supervise_inside_stops_on_failure(nested: Project) -> None:
    children = "{a: !Command {container: host, run: 'sleep 1000'}, b: !Command {container: host, run: 'exit 5'}}"
    nested.write(levels(2, "x").rsplit("\n", 2)[0] + f"\n  l2: !Supervise {{children: {children}}}\n", CONTAINERS)
    result = nested.run("l1")
    assert result.code == 5, result


def test_a_signal_travels_through_all_levels(nested: Project) -> None:
    text = "trap 'echo got TERM; exit 0' TERM; touch ready; while :; do sleep 0.01; done"
    nested.write(levels(2, text), CONTAINERS)
    running = nested.start("l1")
    wait_until(lambda: nested.has("ready"), "the inner command")
    running.signal(15)
    result = running.finish()
    assert (result.code, result.out) == (143, "got TERM\n"), result


@pytest.mark.parametrize("victim", ["supervisor", "spawner", "init"])
def test_X11_killing_the_outer_vagga_kills_the_inner_one_with_everything(nested: Project, victim: str) -> None:
    nested.write(levels(2, "setsid sleep 1000 & touch ready; wait"), CONTAINERS)
    running = nested.start("l1")
    wait_until(lambda: nested.has("ready"), "the inner command")
    below = set(descendants(running.pid))
    assert len(below) >= 6, "two spawners, two PID 1, the inner vagga, a shell and a sleep"
    pid = {"supervisor": running.pid, "spawner": running.spawner(), "init": running.inits()[0]}[victim]
    os.kill(pid, 9)
    result = running.finish()
    assert result.code == {"supervisor": -9, "spawner": 124, "init": 137}[victim]
    wait_until(lambda: not alive(below), "the end of everything")
