"""From (step, errno, paths, facts) to the one line that the user reads, word for word.

What cannot be provoked on one machine (AppArmor of Ubuntu, Docker's seccomp, old kernels) is shown here; the rest is
also provoked for real in integration/test_refusals.py, test_volumes.py and test_hidden_homes.py.
"""

from __future__ import annotations

import pytest

from vaggapy.sandbox.explain import APPARMOR, CHROOT, DEBIAN_CLONE, NAMES, SECCOMP, Found, cause, failed_child, refusal
from vaggapy.sandbox.spec import Failure, HostRoot, ImageRoot, Overlay

EPERM, ENOENT, EIO, E2BIG, ENOEXEC, EAGAIN, ENOMEM, EACCES = 1, 2, 5, 7, 8, 11, 12, 13
EBUSY, EEXIST, ENOTDIR, EINVAL, EMFILE, ETXTBSY, ENOSPC, EROFS, ENOSYS, EUSERS = 16, 17, 20, 22, 24, 26, 28, 30, 38, 87
ENODEV, ENOTSUP = 19, 95

USERS = "/proc/sys/user/max_user_namespaces"
NETS = "/proc/sys/user/max_net_namespaces"
UNCONFINED = (
    "`--security-opt seccomp=unconfined --security-opt apparmor=unconfined` (Docker, Podman), or with `--privileged`"
)
DOCTOR = "(`vagga _doctor` shows what this machine allows)"
APPARMOR_SAYS = (
    "(AppArmor restricts them: `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or install the profile "
    "that `vagga _doctor` prints) [userns-apparmor]"
)
PROCESSES = (
    "(raise the limit of processes (`ulimit -u`, or pids.max of the container), or free memory) [sandbox-refused]"
)
RANGES = (
    "give the account ids of its own: install the package uidmap, then "
    "`sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER`"
)

REFUSALS: list[tuple[str, int, dict[str, str], str]] = [
    (
        "namespaces",
        ENOSPC,
        {USERS: "0"},
        "no more namespaces may be made (user.max_user_namespaces is 0: `sudo sysctl -w "
        "user.max_user_namespaces=15000`, "
        "and the same in /etc/sysctl.d to keep it) [userns-limit]",
    ),
    (
        "namespaces",
        ENOSPC,
        {USERS: "15000"},
        "no more namespaces may be made (a limit is reached: raise the one in `sysctl user` that is too low, or "
        "nest fewer "
        "containers (32 levels)) [userns-limit]",
    ),
    (
        "namespaces",
        EUSERS,
        {},
        "no more namespaces may be made (a limit is reached: raise the one in `sysctl user` that is too low, or "
        "nest fewer "
        "containers (32 levels)) [userns-limit]",
    ),
    (
        "network",
        ENOSPC,
        {USERS: "15000", NETS: "0"},
        "no more namespaces may be made (user.max_net_namespaces is 0: `sudo sysctl -w "
        "user.max_net_namespaces=15000`, and "
        "the same in /etc/sysctl.d to keep it) [userns-limit]",
    ),
    (
        "namespaces",
        EPERM,
        {DEBIAN_CLONE: "0", APPARMOR: "1", SECCOMP: "2"},
        "user namespaces are refused: operation not permitted (`sudo sysctl -w kernel.unprivileged_userns_clone=1`, "
        "and the "
        "same line in /etc/sysctl.d to keep it) [userns-sysctl]",
    ),
    (
        "namespaces",
        EPERM,
        {DEBIAN_CLONE: "1", APPARMOR: "1"},
        f"user namespaces are refused: operation not permitted {APPARMOR_SAYS}",
    ),
    ("namespaces", EACCES, {APPARMOR: "1"}, f"user namespaces are refused: permission denied {APPARMOR_SAYS}"),
    (
        "namespaces",
        EPERM,
        {CHROOT: "x", SECCOMP: "2"},
        "user namespaces are refused: operation not permitted (the kernel allows none in a chroot: run vagga "
        "outside of it, "
        "or enter that root with pivot_root) [userns-seccomp]",
    ),
    (
        "namespaces",
        EPERM,
        {SECCOMP: "2", APPARMOR: "0"},
        "user namespaces are refused: operation not permitted (a seccomp filter forbids them: start the outer "
        "container with "
        f"{UNCONFINED}) [userns-seccomp]",
    ),
    (
        "namespaces",
        EPERM,
        {SECCOMP: "0"},
        "user namespaces are refused: operation not permitted (a chroot, an outer container or a security module "
        "forbids "
        f"them: start the container with {UNCONFINED}) [userns-seccomp]",
    ),
    (
        "namespaces",
        EINVAL,
        {},
        "user namespaces are refused: invalid argument (the kernel was built without CONFIG_USER_NS; use another one) "
        "[userns-missing]",
    ),
    (
        "namespaces",
        ENOSYS,
        {},
        "user namespaces are refused: the kernel has no such call (run vagga on x86_64, aarch64 or riscv64) "
        "[userns-missing]",
    ),
    ("namespaces", EAGAIN, {}, f"no process can be made: resource temporarily unavailable {PROCESSES}"),
    ("namespaces", ENOMEM, {}, f"no process can be made: out of memory {PROCESSES}"),
    ("uid_map", EPERM, {APPARMOR: "1"}, f"ids cannot be mapped: uid_map: operation not permitted {APPARMOR_SAYS}"),
    (
        "uid_map",
        EPERM,
        {},
        "ids cannot be mapped: uid_map: operation not permitted (a security module or an outer container forbids "
        "it: see "
        "`vagga _doctor`, or try outside) [id-map]",
    ),
    (
        "gid_map",
        EROFS,
        {},
        "ids cannot be mapped: gid_map: read-only file system (/proc is read-only here: start the outer container "
        "with a "
        "writable /proc) [id-map]",
    ),
    (
        "setgroups",
        ENOENT,
        {},
        "ids cannot be mapped: setgroups: no such file or directory (vagga needs /proc: `mount -t proc proc /proc`) "
        "[id-map]",
    ),
    (
        "mount private",
        EACCES,
        {APPARMOR: "1"},
        f"the sandbox cannot be prepared: mount private: permission denied {APPARMOR_SAYS}",
    ),
    (
        "mount private",
        EACCES,
        {APPARMOR: "0"},
        "the sandbox cannot be prepared: mount private: permission denied (a security module of an outer container "
        "forbids "
        f"mounts: start it with {UNCONFINED}) [sandbox-refused]",
    ),
    (
        "mount private",
        EINVAL,
        {},
        f"the sandbox cannot be prepared: mount private: invalid argument {DOCTOR} [sandbox-refused]",
    ),
    ("spawner", 0, {}, f"the sandbox cannot be prepared: spawner: it ended {DOCTOR} [sandbox-refused]"),
]


@pytest.mark.parametrize(("step", "number", "facts", "line"), REFUSALS)
def test_a_refusal_of_the_machine_has_this_line(step: str, number: int, facts: dict[str, str], line: str) -> None:
    error = refusal(Failure(step, number), facts)
    assert str(error) == line
    assert error.code == 124


HOME = HostRoot(("/home", "/srv/u"), ("/opt/x", "/home/u/tool"))
NOT_FOUND = "(give its path, put its directory into PATH by `environ`, or install it) [program-not-found]"
IN_HOME = (
    "lies in a home directory, and homes are hidden in the container (use `!Host {home: read-only}`, or `!Host "
    "{expose: "
    "[PATH]}`, or a program of the system) [program-in-hidden-home]"
)
MOUNT_POINT = (
    "(create that directory on the host (for a path below /work: in the project), or choose another path) "
    "[volume-mount-point]"
)
FIT = (
    "(a file can only be mounted on a file, a directory only on a directory; choose another path) [volume-mount-point]"
)

FAILURES: list[tuple[Failure, Found, int, str]] = [
    (Failure("exec", ENOENT, "x"), Found(), 127, f"program x is not found in the container {NOT_FOUND}"),
    (Failure("exec", ENOTDIR, "/a/x"), Found(), 127, f"program /a/x is not found in the container {NOT_FOUND}"),
    (
        Failure("exec", ENOENT, "x"),
        Found("/home/u/bin/x", "/opt/x"),
        127,
        f"program x is not found: /home/u/bin/x {IN_HOME}",
    ),
    (
        Failure("exec", ENOENT, "x"),
        Found("/usr/local/bin/x", "/srv/u/x"),
        127,
        f"program x is not found: /srv/u/x {IN_HOME}",
    ),
    (
        Failure("exec", ENOENT, "/home/u/p/x"),
        Found("/home/u/p/x", "/home/u/p/x", ("/home/u/p",)),
        127,
        f"program /home/u/p/x is not found in the container {NOT_FOUND}",
    ),
    (
        Failure("interpreter", ENOENT, "./x", "/home/u/python"),
        Found("/home/u/python", "/home/u/python"),
        127,
        f"program ./x is not found: /home/u/python {IN_HOME}",
    ),
    (
        Failure("interpreter", ENOENT, "./x", "/nowhere/sh"),
        Found(),
        127,
        "program ./x cannot be started: it needs /nowhere/sh, which does not exist in the container (correct its "
        "`#!` line "
        "or its link, or make that path visible) [program-interpreter]",
    ),
    (
        Failure("interpreter", ENOENT, "./x"),
        Found(),
        127,
        "program ./x cannot be started: its loader is missing (correct its `#!` line or its link, or make that path "
        "visible) [program-interpreter]",
    ),
    (
        Failure("exec", EACCES, "./x"),
        Found(),
        126,
        "program ./x cannot be executed: permission denied (`chmod +x` it, and see that its directory may be "
        "entered and is "
        "not mounted noexec) [program-not-executable]",
    ),
    (
        Failure("exec", ENOEXEC, "./x"),
        Found(),
        126,
        "program ./x cannot be executed: exec format error (begin the script with a line like `#!/bin/sh`, or use a "
        "program "
        "for this machine) [program-not-executable]",
    ),
    (
        Failure("exec", E2BIG, "x"),
        Found(),
        126,
        "program x cannot be executed: the argument list is too long (pass fewer or shorter arguments, or a smaller "
        "environment) [program-not-executable]",
    ),
    (
        Failure("exec", ETXTBSY, "x"),
        Found(),
        126,
        "program x cannot be executed: the file is being written (wait until whatever writes it has closed it) "
        "[program-not-executable]",
    ),
    (
        Failure("exec", EIO, "x"),
        Found(),
        126,
        "program x cannot be executed: input/output error (look at the file and its file system) "
        "[program-not-executable]",
    ),
    (
        Failure("chdir", ENOENT, "", "/work/x"),
        Found(),
        127,
        "work-dir /work/x cannot be entered: no such file or directory (create it, or correct `work-dir`) [work-dir]",
    ),
    (
        Failure("chdir", ENOENT, "", "/home/u/x"),
        Found("/home/u/x", "/home/u/x"),
        127,
        "work-dir /home/u/x cannot be entered: no such file or directory (it is in a hidden home: use `!Host {home: "
        "read-only}`) [work-dir]",
    ),
    (
        Failure("chdir", EACCES, "", "/work/x"),
        Found(),
        127,
        "work-dir /work/x cannot be entered: permission denied (let the `user-id` of the command enter it and all "
        "directories above, or correct `work-dir`) [work-dir]",
    ),
    (
        Failure("setuid", EINVAL, "", "1000"),
        Found(),
        124,
        f"id 1000 cannot be taken (setuid): invalid argument (this run does not have it; {RANGES}; an outer "
        "container has to "
        "give it, too) [ids-missing]",
    ),
    (
        Failure("Source", ENOENT, "/opt/x", "/opt/x"),
        Found(),
        124,
        "`expose`: /opt/x does not exist (create it, or correct the path) [volume-source]",
    ),
    (
        Failure("Source", EACCES, "/opt/x", "/opt/x"),
        Found(),
        124,
        "`expose`: /opt/x cannot be opened: permission denied (choose a path that you may use) [volume-source]",
    ),
    (
        Failure("Source", ENOENT, "/p/data", "/srv/data"),
        Found(),
        124,
        "volume /srv/data: /p/data does not exist (create it, or correct the path) [volume-source]",
    ),
    (
        Failure("Directory", EROFS, "", "/srv/data"),
        Found(),
        124,
        f"volume /srv/data has no mount point in the container: read-only file system {MOUNT_POINT}",
    ),
    (
        Failure("Memory", ENOENT, "", "/work/x"),
        Found(),
        124,
        f"volume /work/x has no mount point in the container: no such file or directory {MOUNT_POINT}",
    ),
    (
        Failure("Memory", ENOTDIR, "", "/etc/passwd"),
        Found(),
        124,
        f"volume /etc/passwd does not fit its mount point: not a directory {FIT}",
    ),
    (
        Failure("Directory", EEXIST, "", "/etc/passwd"),
        Found(),
        124,
        f"volume /etc/passwd does not fit its mount point: file exists {FIT}",
    ),
    (
        Failure("Tree", EINVAL, "/p/file", "/etc"),
        Found(),
        124,
        f"volume /etc does not fit its mount point: invalid argument {FIT}",
    ),
    (
        Failure("Tree", EBUSY, "/p/a", "/b"),
        Found(),
        124,
        f"volume /b cannot be mounted (Tree): it is in use {DOCTOR} [sandbox-refused]",
    ),
    (
        Failure("Memory", ENOSPC, "", "/b"),
        Found(),
        124,
        "volume /b cannot be mounted (Memory): no space left (a limit of namespaces or mounts is reached: see "
        "`sysctl user` "
        "and fs.mount-max, or nest fewer containers) [sandbox-refused]",
    ),
    (
        Failure("Devices", EPERM, "/dev/full"),
        Found(),
        124,
        f"the sandbox cannot be made: Devices /dev/full: operation not permitted {DOCTOR} [sandbox-refused]",
    ),
    (
        Failure("Terminals", EINVAL, "", "/dev/pts"),
        Found(),
        124,
        f"the sandbox cannot be made: Terminals /dev/pts: invalid argument {DOCTOR} [sandbox-refused]",
    ),
    (
        Failure("clone", ENOSPC),
        Found(),
        124,
        "the sandbox cannot be made: clone: no space left (a limit of namespaces or mounts is reached: see `sysctl "
        "user` and "
        "fs.mount-max, or nest fewer containers) [sandbox-refused]",
    ),
    (
        Failure("clone", EAGAIN),
        Found(),
        124,
        f"the sandbox cannot be made: clone: resource temporarily unavailable {PROCESSES}",
    ),
    (
        Failure("descriptors", EMFILE),
        Found(),
        124,
        "the sandbox cannot be made: descriptors: too many open files (raise the limit of open files: `ulimit -n`) "
        "[sandbox-refused]",
    ),
    (Failure("spawner", 0), Found(), 124, f"the sandbox cannot be made: spawner: it ended {DOCTOR} [sandbox-refused]"),
]


@pytest.mark.parametrize(("failure", "found", "code", "line"), FAILURES)
def test_S1_a_child_that_cannot_be_started_has_this_line(failure: Failure, found: Found, code: int, line: str) -> None:
    """supervision 1.3."""
    error = failed_child(failure, HOME, found)
    assert str(error) == line
    assert error.code == code


IMAGE = ImageRoot("db", "/p/.vagga/db/root")
LACKS = "where a file is mounted: `!Text` with an empty one) [image-mount-point]"
ELSEWHERE = (
    "(put the project on another file system (ext4, xfs, btrfs); an overlay takes two others at most below) "
    "[overlay-refused]"
)

IMAGE_FAILURES: list[tuple[ImageRoot | Overlay, Failure, str]] = [
    (
        IMAGE,
        Failure("Tree", ENOENT, "/p", "/work"),
        f"container db: its image lacks /work (add `!EnsureDir /work` to its setup; {LACKS}",
    ),
    (
        IMAGE,
        Failure("Directory", EROFS, "", "/data"),
        f"container db: its image lacks /data (add `!EnsureDir /data` to its setup; {LACKS}",
    ),
    (
        IMAGE,
        Failure("Inside", ENOENT, "/var/lib/db", "/data"),
        f"container db: its image lacks /var/lib/db (add `!EnsureDir /var/lib/db` to its setup; {LACKS}",
    ),
    (
        Overlay("/", ("/l",)),
        Failure("Rebind", ENOENT, "", "/run/x"),
        f"the container's image lacks /run/x (add `!EnsureDir /run/x` to its setup; {LACKS}",
    ),
    (
        IMAGE,
        Failure("Memory", ENOENT, "", "/work/x"),
        f"volume /work/x has no mount point in the container: no such file or directory {MOUNT_POINT}",
    ),
    (
        IMAGE,
        Failure("Tree", EINVAL, "/p/file", "/etc"),
        f"volume /etc does not fit its mount point: invalid argument {FIT}",
    ),
    (
        IMAGE,
        Failure("Source", ENOENT, "/p/.vagga/db/root", "/"),
        "container db: its image cannot be entered: /p/.vagga/db/root: no such file or directory (build the container "
        "again) [image-missing]",
    ),
    (
        IMAGE,
        Failure("Source", ENOENT, "/p/data", "/p/data"),
        "volume /p/data: /p/data does not exist (create it, or correct the path) [volume-source]",
    ),
    (
        IMAGE,
        Failure("Owner", EINVAL, "", "/data"),
        f"volume /data cannot be given to its owner: invalid argument (choose ids that this run has; {RANGES}) "
        "[ids-missing]",
    ),
    (
        IMAGE,
        Failure("Overlay", ENOTSUP, "", "/data"),
        "volume /data: a file system in memory keeps no user attributes, which overlayfs needs (use a kernel from 6.6 "
        "on) [overlay-attributes]",
    ),
    (
        Overlay("/", ("/l",), "/u", "/w"),
        Failure("Overlay", ENOTSUP, "/u", "/"),
        "the root: /u keeps no user attributes, which overlayfs needs (put the project on another file system: ext4, "
        "xfs, btrfs) [overlay-attributes]",
    ),
    (
        IMAGE,
        Failure("Overlay", ENODEV, "", "/data"),
        "volume /data: overlayfs cannot be used: no such device (load it: `sudo modprobe overlay`) [overlay-refused]",
    ),
    (
        IMAGE,
        Failure("Overlay", EPERM, "", "/data"),
        "volume /data: overlayfs cannot be used: operation not permitted (use a kernel from 5.11 on; outer containers "
        "and security modules can forbid it, too) [overlay-refused]",
    ),
    (
        IMAGE,
        Failure("Overlay", EINVAL, "", "/data"),
        f"volume /data: overlayfs cannot be used: invalid argument {ELSEWHERE}",
    ),
    (
        IMAGE,
        Failure("Overlay", EROFS, "/u", "/data"),
        f"volume /data: overlayfs cannot be used: read-only file system {ELSEWHERE}",
    ),
    (
        IMAGE,
        Failure("Overlay", ENOMEM, "", "/data"),
        "volume /data: overlayfs cannot be used: out of memory (raise the limit of processes (`ulimit -u`, or pids.max "
        "of the container), or free memory) [overlay-refused]",
    ),
    (IMAGE, Failure("exec", ENOENT, "x"), f"program x is not found in the container {NOT_FOUND}"),
    (
        IMAGE,
        Failure("chdir", ENOENT, "", "/work/x"),
        "work-dir /work/x cannot be entered: no such file or directory (create it, or correct `work-dir`) [work-dir]",
    ),
]


@pytest.mark.parametrize(("root", "failure", "line"), IMAGE_FAILURES)
def test_a_child_of_an_image_that_cannot_be_started_has_this_line(
    root: ImageRoot | Overlay, failure: Failure, line: str
) -> None:
    found = Found("/home/u/x", "/home/u/x")
    assert str(failed_child(failure, root, found)) == line


def test_a_path_that_an_exposed_one_shows_is_not_called_hidden() -> None:
    error = failed_child(Failure("exec", ENOENT, "x"), HOME, Found("/home/u/tool", "/home/u/tool", HOME.exposed))
    assert error.name == "program-not-found"


@pytest.mark.parametrize("number", [*NAMES, 71, 999])
def test_every_errno_has_words(number: int) -> None:
    assert cause(number)
    for step in (
        "namespaces",
        "uid_map",
        "exec",
        "chdir",
        "setuid",
        "Source",
        "Tree",
        "Memory",
        "clone",
        "anything",
        "Overlay",
    ):
        failure = Failure(step, number, "a", "b")
        told = (refusal(Failure(step, number), {}), failed_child(failure, HOME, Found()))
        for error in (*told, failed_child(failure, IMAGE, Found())):
            assert str(error).isprintable() and error.remedy and error.what, error


def test_line_ends_in_a_path_do_not_break_the_line() -> None:
    error = failed_child(Failure("exec", ENOENT, "a\nb"), HOME, Found())
    assert str(error).startswith("program a\\nb is not found")
