"""What is found out about the caller, by looking at real processes with prepared environments."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from vaggapy import host
from vaggapy.errors import VaggaError

SHOW = """
import json, sys
from vaggapy import host
from vaggapy.record import as_json
print(json.dumps(as_json(host.probe())))
"""


def probe(directory: Path, environ: dict[str, str]) -> dict[str, object]:
    """Return what a process in this directory with this environment finds, as JSON."""
    found = subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=directory,
        env={"PYTHONPATH": str(Path(__file__).parents[1]), **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=60,
        check=True,
    )
    told: dict[str, object] = json.loads(found.stdout)
    return told


def test_the_caller_is_told_by_the_kernel_and_the_account(tmp_path: Path) -> None:
    told = probe(tmp_path, {"HOME": str(tmp_path), "USER": "somebody-else"})
    assert (told["uid"], told["gid"]) == (os.getuid(), os.getgid())
    assert told["user"] == pwd.getpwuid(os.getuid()).pw_name
    assert told["directory"] == str(tmp_path)
    assert (told["terminals"], told["rows"], told["columns"]) == ([False] * 3, 0, 0)


def test_homes_are_the_usual_places_that_of_the_environment_and_that_of_the_account(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    homes = probe(tmp_path, {"HOME": str(tmp_path / "link")})["homes"]
    assert isinstance(homes, list)
    assert homes[:3] == ["/home", "/root", str(tmp_path / "real")]
    account = pwd.getpwuid(os.getuid()).pw_dir
    assert not os.path.isdir(account) or os.path.realpath(account) in homes


@pytest.mark.parametrize("home", ["", "relative", "/nonexistent/home"])
def test_a_home_that_does_not_exist_does_not_count(tmp_path: Path, home: str) -> None:
    homes = probe(tmp_path, {"HOME": home})["homes"]
    assert isinstance(homes, list)
    assert home not in homes and all(str(each).startswith("/") for each in homes)


def test_a_directory_that_is_gone_is_told_with_a_remedy(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    before = os.getcwd()
    os.chdir(gone)
    try:
        gone.rmdir()
        with pytest.raises(VaggaError, match="the current directory cannot be seen") as caught:
            host.current_directory()
    finally:
        os.chdir(before)
    assert caught.value.name == "no-directory"


def test_a_terminal_is_seen_with_its_size() -> None:
    import fcntl
    import struct
    import termios

    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
    found = subprocess.run(
        [sys.executable, "-c", SHOW.replace("print(", "sys.stderr.write(")],
        env={"PYTHONPATH": str(Path(__file__).parents[1])},
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=subprocess.PIPE,
        timeout=60,
        check=True,
    )
    os.close(slave)
    os.close(master)
    told = json.loads(found.stderr)
    assert (told["terminals"], told["rows"], told["columns"]) == ([False, True, False], 33, 99)
