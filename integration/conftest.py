"""What every integration test stands on: a project in a fresh directory, a way to run vagga, and the census.

The census is the promise «nothing survives», checked after each test: this process is made a child subreaper, so
whatever a run leaves behind becomes its descendant, in whatever session or namespace it hides. After a test
there must be no descendant, no new mount, no new file outside the test's own directory, no new descriptor.

With VAGGA_MUST_WORK=1 a test that needs something from the machine fails where it would be skipped.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from integration.runs import Project, command_line, deadline, descendants, descriptors, files, reap

PR_SET_CHILD_SUBREAPER = 36
CENSUS_PATIENCE = 20.0
Left = TypeVar("Left")


def pytest_configure(config: pytest.Config) -> None:
    """Adopt orphans, for the census."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@pytest.fixture(autouse=True)
def census(tmp_path: Path) -> Iterator[None]:
    """Count what is there before and after each test."""
    mounts, names = mount_points(), files(tmp_path / "tmp")
    before = descendants(os.getpid())
    open_before = len(descriptors())
    yield
    going = deadline(CENSUS_PATIENCE)

    def late(look: Callable[[], Left]) -> Left:
        """Return what is still there when it has had its time to go."""
        while look() and going():
            reap()
            time.sleep(0.01)
        return look()

    left = late(lambda: {pid: name for pid, name in descendants(os.getpid()).items() if pid not in before})
    survivors = {pid: f"{name} {command_line(pid)}" for pid, name in left.items()}
    for pid in survivors:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    reap()
    assert not survivors, f"survivors: {survivors}"
    assert not late(lambda: mount_points() - mounts), "a mount was left"
    assert not late(lambda: files(tmp_path / "tmp") - names), "a file was left"
    # Threads of a server in the test itself may still have a connection.
    assert not late(lambda: len(descriptors()) > open_before), "the test itself leaks descriptors"


def mount_points() -> set[str]:
    """Return the mounts that this process sees: the number and the place of each."""
    return {" ".join(line.split()[:5]) for line in Path("/proc/self/mountinfo").read_text().splitlines()}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Return an empty project outside of /home, with a home of its own."""
    directory = tmp_path / "project"
    home = tmp_path / "home"
    directory.mkdir()
    home.mkdir()
    (tmp_path / "tmp").mkdir()
    made = Project(directory, home)
    yield made
    made.close()
