"""The root of a `!Host` container: the host's, read-only to its last mount; private places; a small /dev; own /proc."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from integration.runs import INTERNAL_SIGNALS, Project, can_nest, command, need, supervise

ALL = "wait-all-successful"
Seen = dict[str, Any]
LOOK = r"""
import json, os, stat

PLACES = ("/tmp", "/run", "/run/lock", "/run/shm", "/dev/shm", "/dev/pts/ptmx")

def mounts():
    found = {}
    for line in open("/proc/self/mountinfo"):
        fields = line.split()
        found[fields[4]] = (fields[5].split(","), fields[fields.index("-") + 1])
    return found

def kind(path):
    mode = os.lstat(path).st_mode
    if stat.S_ISCHR(mode):
        number = os.lstat(path).st_rdev
        return f"device {os.major(number)}:{os.minor(number)}"
    return "link " + os.readlink(path) if stat.S_ISLNK(mode) else "directory" if stat.S_ISDIR(mode) else "file"

print(json.dumps({
    "mounts": mounts(),
    "dev": {name: kind("/dev/" + name) for name in os.listdir("/dev") if not name.startswith(".")},
    "modes": {path: os.stat(path).st_mode for path in PLACES},
    "lists": {path: sorted(os.listdir(path)) for path in ("/", "/run", "/dev/shm", "/dev/pts", "/home", "/root")},
    "pids": sorted(int(name) for name in os.listdir("/proc") if name.isdigit()),
    "me": os.getpid(),
    "session": os.getsid(0),
    "status": dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines()),
    "fds": sorted(os.listdir("/proc/self/fd")),
    "null": open("/dev/null", "wb").write(b"x"),
    "zero": open("/dev/zero", "rb").read(2).hex(),
    "random": len(open("/dev/urandom", "rb").read(8)),
}))
"""


@pytest.fixture
def seen(project: Project) -> Seen:
    """Return what a child sees of its container."""
    project.write(command("c", ["python3", "-c", LOOK]))
    result = project.run("c")
    assert (result.code, result.err) == (0, ""), result
    told: Seen = json.loads(result.out)
    return told


def test_every_mount_of_the_host_is_read_only_and_nosuid(seen: Seen, project: Project) -> None:
    own = ("/work", "/proc", "/tmp", "/run", "/dev/", str(project.directory))
    wrong = {}
    for path, (options, _) in seen["mounts"].items():
        if not path.startswith(own) and ("ro" not in options or "nosuid" not in options):
            wrong[path] = options
    assert wrong == {}


def test_every_mount_below_the_hosts_directories_comes_along(seen: Seen) -> None:
    below = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    wanted = {path for path in below if path.startswith(("/usr/", "/etc/", "/opt/", "/srv/", "/sys/"))}
    assert wanted - set(seen["mounts"]) == set()


def test_private_places_are_empty_and_have_the_usual_modes(seen: Seen) -> None:
    assert seen["lists"]["/run"] == ["lock", "shm"]
    assert seen["lists"]["/dev/shm"] == []
    modes = {path: oct(stat.S_IMODE(int(str(mode)))) for path, mode in seen["modes"].items()}
    assert modes == {
        "/tmp": "0o1777",
        "/run": "0o755",
        "/run/lock": "0o1777",
        "/run/shm": "0o1777",
        "/dev/shm": "0o1777",
        "/dev/pts/ptmx": "0o666",
    }


def test_dev_has_just_the_harmless_devices(seen: Seen) -> None:
    assert seen["dev"] == {
        "fd": "link /proc/self/fd",
        "full": "device 1:7",
        "null": "device 1:3",
        "ptmx": "link pts/ptmx",
        "pts": "directory",
        "random": "device 1:8",
        "shm": "directory",
        "stderr": "link /proc/self/fd/2",
        "stdin": "link /proc/self/fd/0",
        "stdout": "link /proc/self/fd/1",
        "tty": "device 5:0",
        "urandom": "device 1:9",
        "zero": "device 1:5",
    }
    assert (seen["null"], seen["zero"], seen["random"]) == (1, "0000", 8)


def test_terminals_are_the_childs_own(seen: Seen) -> None:
    assert seen["lists"]["/dev/pts"] == ["ptmx"]
    assert seen["mounts"]["/dev/pts"][1] == "devpts"


def test_proc_shows_only_the_childs_own_processes(seen: Seen) -> None:
    assert seen["pids"] == [1, 2]
    assert seen["me"] == 2
    assert seen["session"] == 2, "a child leads a session of its own"


def test_S9_S10_a_child_starts_with_three_descriptors_and_plain_signals(seen: Seen) -> None:
    assert seen["fds"] == ["0", "1", "2", "3"], "3 is the one that lists the directory"
    for field in ("SigBlk", "ShdPnd", "SigPnd"):
        assert int(str(seen["status"][field]), 16) == 0
    ignored_by_python = 1 << (13 - 1) | 1 << (25 - 1)  # SIGPIPE and SIGXFSZ, when it starts
    assert int(str(seen["status"]["SigIgn"]), 16) & ~ignored_by_python & ~INTERNAL_SIGNALS == 0


def test_homes_are_empty_and_the_rest_of_the_root_is_the_hosts(seen: Seen) -> None:
    assert seen["lists"]["/home"] == []
    assert seen["lists"]["/root"] == []
    hosts = {name for name in os.listdir("/") if os.path.isdir(f"/{name}") and not os.path.ismount(f"/{name}")}
    assert hosts - {"lost+found"} - set(str(seen["lists"]["/"]).replace("'", "").strip("[]").split(", ")) == set()


def test_S9_ignored_signals_of_the_caller_are_not_inherited(project: Project) -> None:
    project.write(command("c", ["grep", "SigIgn", "/proc/self/status"]))
    ignore = ("sh", "-c", 'trap "" INT QUIT HUP USR1 USR2 PIPE CHLD; exec "$@"', "sh")
    result = project.run("c", under=ignore, restore_signals=False)
    name, mask = result.out.split()
    assert (result.code, name, int(mask, 16) & ~INTERNAL_SIGNALS) == (0, "SigIgn:", 0)


def test_the_root_is_the_same_for_children_with_equal_sandboxes(project: Project) -> None:
    project.write(supervise("c", dict.fromkeys("ab", "stat -c %d / > root-$VAGGA_SUBCOMMAND"), mode=ALL))
    assert project.run("c").code == 0
    assert project.read("root-a") == project.read("root-b") != ""


def test_mounts_of_the_host_that_come_later_do_not_show_inside(project: Project) -> None:
    need(can_nest(), "unshare(1) cannot make an outer world")
    wait = "touch ready; while [ ! -e mounted ]; do sleep 0.01; done; test ! -e /srv/late"
    project.write(command("c", wait))
    outer = """
        "$@" & pid=$!
        while [ ! -e ready ]; do sleep 0.01; done
        mount -t tmpfs none /srv
        touch /srv/late mounted
        wait $pid
    """
    assert project.run("c", under=("unshare", "-Urm", "sh", "-c", outer, "sh")).code == 0
    assert project.has("mounted")


def test_submounts_of_the_host_are_read_only_too(project: Project) -> None:
    need(can_nest(), "unshare(1) cannot make an outer world")
    look = (
        "cat /srv/sub/file; touch /srv/sub/x 2>/dev/null && echo wrote; "
        "mount -o remount,bind,rw /srv/sub 2>/dev/null && echo remounted; echo end"
    )
    project.write(command("c", look))
    outer = (
        'mount -t tmpfs none /srv; mkdir /srv/sub; mount -t tmpfs none /srv/sub; echo deep > /srv/sub/file; exec "$@"'
    )
    result = project.run("c", under=("unshare", "-Urm", "sh", "-c", outer, "sh"))
    assert (result.code, result.out.split()) == (0, ["deep", "end"]), result


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002, 0o777])
def test_the_root_does_not_depend_on_the_callers_umask(project: Project, mask: int) -> None:
    text = "test -w /dev/null && test -w /tmp && test -w /run/lock && umask"
    project.write(command("c", text))
    result = project.run("c", under=("sh", "-c", f'umask {mask:o}; exec "$@"', "sh"))
    assert (result.code, int(result.out or "-1", 8)) == (0, mask), result


def test_closing_descriptors_0_to_2_harms_nothing(project: Project) -> None:
    project.write(command("c", "ls -l /proc/self/fd > list; test -c /dev/null"))
    result = project.run("c", under=("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"))
    assert result.code == 0
    assert project.read("list").count("/dev/null") >= 2
