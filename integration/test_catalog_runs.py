"""Which run is which, and whether it still lives."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from integration.runs import can_nest, need
from vaggapy.supervise import catalog_runs

ANOTHER = (sys.executable, "-c", "from vaggapy.supervise import catalog_runs; print(catalog_runs.own(), flush=True)")
STAYS = (*ANOTHER[:2], f"{ANOTHER[2]}; input()")


def test_a_process_lives_until_it_ends() -> None:
    with subprocess.Popen(STAYS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        run = process.stdout.readline().strip()
        assert run.startswith(f"{process.pid}.")
        assert catalog_runs.lives(run) is True
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert catalog_runs.lives(run) is False, "it is a zombie"
    assert catalog_runs.lives(run) is False


def test_a_number_that_another_process_has_by_now_is_not_the_same_run() -> None:
    own = catalog_runs.own()
    pid, start, *here = own.split(".")

    assert catalog_runs.lives(own) is True
    assert catalog_runs.lives(".".join((pid, str(int(start) - 1), *here))) is False


def test_the_process_of_another_user_lives() -> None:
    _, _, *here = catalog_runs.own().split(".")
    with open("/proc/1/stat", "rb") as file:
        start = file.read().rpartition(b")")[2].split()[19].decode()

    assert catalog_runs.lives(".".join(("1", start, *here))) is True


def test_a_process_of_another_namespace_is_not_known() -> None:
    need(can_nest(), "there are no user namespaces")
    words = ("unshare", "-Urmpf", "--mount-proc", *ANOTHER)
    run = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    assert catalog_runs.lives(run) is None


@pytest.mark.parametrize("run", ["", "x", "1", "1.2", "1.2.3.4", "-1.2.3.4", "0.1.2.3", "99999999999.1.2.3", "²"])
def test_nonsense_is_not_known(run: str) -> None:
    assert catalog_runs.lives(run) is None
    here = ".".join(catalog_runs.own().split(".")[2:])
    assert catalog_runs.lives(f"0.1.{here}") is None
    assert catalog_runs.lives(f"99999999999.1.{here}") is None
    assert os.getpid() != 1
