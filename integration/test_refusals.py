"""Where the kernel, a limit or an outer container says no: one line, the cause, a remedy that works, exit 124.

Each refusal is provoked for real, in an outer world of namespaces; what cannot be provoked on one machine is a table
in tests/sandbox/test_explain.py.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from integration.runs import Project, Result, can_nest, command, has_ranges, need

OUTER = ("unshare", "-Urmpf", "--mount-proc", "--kill-child", "sh", "-c")
SECCOMP = r"""
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
CLONE = {"x86_64": 56, "aarch64": 220, "riscv64": 220}[os.uname().machine]
NEWUSER = 0x10000000
code = b"".join(struct.pack("HBBI", *instruction) for instruction in (
    (0x20, 0, 0, 0),            # load the number of the call
    (0x15, 0, 3, CLONE),        # another one: allow
    (0x20, 0, 0, 16),           # load the lower half of its first argument
    (0x45, 0, 1, NEWUSER),      # without a user namespace: allow
    (0x06, 0, 0, 0x00050000 | int(sys.argv[1])),
    (0x06, 0, 0, 0x7FFF0000),
))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(len(code) // 8, code))) == 0
os.execvp(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture
def outer(project: Project) -> Project:
    """Return a project with a trivial command, on a machine where an outer world can be made."""
    need(can_nest(), "unshare(1) cannot make an outer world")
    project.write(command("c", "echo inside"))
    return project


def refused(result: Result, *parts: str) -> None:
    """Check the form of a refusal, and that the line has these parts."""
    assert (result.code, result.out, result.err.count("\n")) == (124, "", 1), result
    assert "Traceback" not in result.err and "errno" not in result.err
    for part in parts:
        assert part in result.err, result.err


@pytest.mark.parametrize("name", ["max_user_namespaces", "max_mnt_namespaces"])
def test_a_limit_of_zero_is_named_with_the_setting_and_the_remedy(outer: Project, name: str) -> None:
    under = (*OUTER, f'echo 0 > /proc/sys/user/{name}; exec "$@"', "sh")
    result = outer.run("c", under=under)
    refused(result, "no more namespaces may be made", f"sysctl -w user.{name}=15000", "[userns-limit]")


def test_the_remedy_for_a_limit_of_zero_works(outer: Project) -> None:
    text = 'echo 0 > /proc/sys/user/max_user_namespaces; sysctl -qw user.max_user_namespaces=15000 && exec "$@"'
    need(os.path.exists("/usr/sbin/sysctl") or os.path.exists("/sbin/sysctl"), "there is no sysctl(8)")
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    assert outer.run("c", under=(*OUTER, text, "sh"), environ={"PATH": path}).out == "inside\n"


@pytest.mark.parametrize("name", ["max_pid_namespaces", "max_ipc_namespaces", "max_uts_namespaces"])
def test_a_limit_that_only_children_meet_is_told_for_the_child(outer: Project, name: str) -> None:
    """supervision 1.3."""
    result = outer.run("c", under=(*OUTER, f'echo 0 > /proc/sys/user/{name}; exec "$@"', "sh"))
    refused(result, "c could not be run", "a limit of namespaces", "[sandbox-refused]")


def test_no_network_namespaces_matter_only_to_an_isolated_network(outer: Project) -> None:
    under = (*OUTER, 'echo 0 > /proc/sys/user/max_net_namespaces; exec "$@"', "sh")
    assert outer.run("c", under=under).out == "inside\n"
    refused(outer.run("--no-network", "c", under=under), "user.max_net_namespaces", "[userns-limit]")


def test_a_chroot_is_named(outer: Project) -> None:
    text = """
        set -e
        mkdir root && mount -t tmpfs none root && mkdir root/new
        for entry in /*; do
            name=root/new$entry
            if [ -L $entry ]; then cp -P $entry $name; continue; fi
            if [ -d $entry ]; then mkdir $name && mount --rbind $entry $name 2>/dev/null || true; fi
        done
        PATH=$PATH:/usr/sbin:/sbin
        exec chroot root/new sh -c 'cd "$0" && exec "$@"' "$PWD" "$@"
    """
    refused(outer.run("c", under=(*OUTER, text, "sh")), "not permitted", "in a chroot", "[userns-seccomp]")


@pytest.mark.parametrize(("number", "cause"), [(1, "operation not permitted"), (13, "permission denied")])
def test_a_seccomp_filter_is_named(outer: Project, number: int, cause: str) -> None:
    under = (sys.executable, "-c", SECCOMP, str(number))
    refused(outer.run("c", under=under), cause, "seccomp=unconfined", "--privileged", "[userns-seccomp]")


def test_an_unknown_system_call_is_told_as_one(outer: Project) -> None:
    refused(outer.run("c", under=(sys.executable, "-c", SECCOMP, "38")), "no such call", "[userns-missing]")


def test_no_proc_at_all_is_told(outer: Project) -> None:
    result = outer.run("c", under=(*OUTER, 'mount -t tmpfs none /proc; exec "$@"', "sh"))
    refused(result, "vagga needs /proc", "mount -t proc proc /proc", "[id-map]")


def test_a_read_only_proc_is_told(outer: Project) -> None:
    result = outer.run("c", under=(*OUTER, 'mount -o remount,ro,bind /proc; exec "$@"', "sh"))
    refused(result, "/proc is read-only here", "[id-map]")


@pytest.mark.parametrize("mask", ["mount --bind /dev/null /proc/kallsyms", "mount -t tmpfs -o ro none /proc/driver"])
@pytest.mark.parametrize("command_line", [("c",), ("two",)])
def test_a_masked_proc_is_used_as_it_is_with_one_warning(
    outer: Project, mask: str, command_line: tuple[str, ...]
) -> None:
    children = "{a: !Command {container: host, run: 'exit 0'}, b: !Command {container: host, run: 'id -u'}}"
    two = f"  two: !Supervise {{mode: wait-all-successful, children: {children}}}\n"
    outer.write(command("c", "id -u; kill -0 $$; ls /proc/self/ns/user > /dev/null && touch made") + two)
    result = outer.run(*command_line, under=(*OUTER, f'{mask}; exec "$@"', "sh"))
    assert (result.code, result.out, result.err.count("[outer-proc]")) == (0, "0\n", 1), result
    assert result.err.startswith("vagga: the outer /proc is used: ")


def test_a_masked_proc_of_the_real_root_has_its_controls_locked_too(outer: Project) -> None:
    real = os.getuid() == 0 and Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]
    if not real:
        pytest.skip("concerns the machine's root only")
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    outer.write(command("c", "for f in core_pattern hostname; do cat /proc/sys/kernel/$f > /proc/sys/kernel/$f; done"))
    under = ("unshare", "-mpf", "--mount-proc", "--kill-child", "sh", "-c")
    result = outer.run("c", under=(*under, 'mount --bind /dev/null /proc/kallsyms; exec "$@"', "sh"))
    assert result.err.count("Read-only file system") == 2, result
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


def test_a_user_without_an_entry_in_etc_subuid_runs_with_one_id(outer: Project) -> None:
    text = """
        mount --bind /dev/null /etc/subuid && mount --bind /dev/null /etc/subgid &&
        exec unshare -U --map-user=1000 --map-group=1000 sh -c 'test $(id -u) = 1000 && exec "$@"' sh "$@"
    """
    outer.write(command("c", "id -u; cat /proc/self/uid_map; touch made") + command("other", "id", user_id=5))
    result = outer.run("c", under=("unshare", "-Urm", "sh", "-c", text, "sh"))
    assert (result.code, result.out.split(), result.err) == (0, ["0", "0", "0", "1"], ""), result
    assert (outer.directory / "made").stat().st_uid == os.getuid()
    refused(
        outer.run("other", under=("unshare", "-Urm", "sh", "-c", text, "sh")), "usermod --add-subuids", "[ids-missing]"
    )


def test_a_newuidmap_that_gets_no_privilege_means_one_id(outer: Project) -> None:
    need(has_ranges(), "the caller has one id only")
    outer.write(command("c", "wc -l < /proc/self/uid_map; id -u"))
    result = outer.run("c", under=("setpriv", "--no-new-privs"))
    lines = len(Path("/proc/self/uid_map").read_text().splitlines()) if os.getuid() == 0 else 1
    assert (result.code, result.out.split(), result.err) == (0, [str(lines), "0"], ""), result


def test_vagga_may_be_process_1_of_an_outer_container(outer: Project) -> None:
    outer.write(command("c", "sleep 1000 & echo inside; exit 3"))
    result = outer.run("c", under=(*OUTER, 'exec "$@"', "sh"))
    assert (result.code, result.out, result.err) == (3, "inside\n", ""), result


def test_a_limit_of_processes_ends_in_one_line(outer: Project) -> None:
    if os.getuid() == 0:
        pytest.skip("the limit does not bind root")
    for most in range(1, 6):
        result = outer.run("c", under=("prlimit", f"--nproc={most}:{most}"))
        assert result.code in (0, 121, 124), result
        assert (result.code == 0) == (result.out == "inside\n"), result
        assert result.err.count("\n") == (result.code != 0), result
        assert result.code == 0 or "temporarily unavailable" in result.err, result
