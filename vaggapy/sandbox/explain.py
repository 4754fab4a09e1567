"""From (step, errno, source, target) to the one line that a user reads: pure.

`docs/errors.md` has an entry for each name. The cause is told from where the kernel said no and from the
kernel's settings, which the caller read at that moment (`facts.facts`).
"""

from __future__ import annotations

from vaggapy.errors import ExitCode, SandboxError
from vaggapy.record import Record
from vaggapy.sandbox.operations import WORK, inside
from vaggapy.sandbox.spec import Failure, HostRoot, ImageRoot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from vaggapy.sandbox.spec import Overlay

    Root = HostRoot | ImageRoot | Overlay

EPERM, ENOENT, EIO, ENOEXEC, EACCES, EBUSY, EEXIST = 1, 2, 5, 8, 13, 16, 17
EXDEV, ENODEV, ENOTDIR, EINVAL, ENOSPC, EROFS, ELOOP, ENOSYS, EUSERS, ENOTSUP = 18, 19, 20, 22, 28, 30, 40, 38, 87, 95
E2BIG, EAGAIN, ENOMEM, EMFILE, ETXTBSY = 7, 11, 12, 24, 26

NAMES = {
    0: "it ended",
    EPERM: "operation not permitted",
    ENOENT: "no such file or directory",
    EIO: "input/output error",
    E2BIG: "the argument list is too long",
    ENOEXEC: "exec format error",
    EAGAIN: "resource temporarily unavailable",
    ENOMEM: "out of memory",
    EACCES: "permission denied",
    EBUSY: "it is in use",
    EEXIST: "file exists",
    ENODEV: "no such device",
    ENOTDIR: "not a directory",
    EINVAL: "invalid argument",
    EMFILE: "too many open files",
    ETXTBSY: "the file is being written",
    ENOSPC: "no space left",
    EROFS: "read-only file system",
    ENOSYS: "the kernel has no such call",
    ELOOP: "too many symbolic links",
    EUSERS: "too many users",
    ENOTSUP: "operation not supported",
}

# Facts that are no files: the mode in /proc/self/status, and whether "/" is no mount point.
SECCOMP = "seccomp"
CHROOT = "chroot"
APPARMOR = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"
DEBIAN_CLONE = "/proc/sys/kernel/unprivileged_userns_clone"
LIMITS = (
    ("/proc/sys/user/max_user_namespaces", "user.max_user_namespaces"),
    ("/proc/sys/user/max_mnt_namespaces", "user.max_mnt_namespaces"),
    ("/proc/sys/user/max_pid_namespaces", "user.max_pid_namespaces"),
    ("/proc/sys/user/max_net_namespaces", "user.max_net_namespaces"),
)
UNCONFINED = (
    "`--security-opt seccomp=unconfined --security-opt apparmor=unconfined` (Docker, Podman), or with `--privileged`"
)
RANGES = (
    "give the account ids of its own: install the package uidmap, then "
    "`sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER`"
)


class Found(Record):
    """Where the host has what is missing inside: `path`, and `real` with all links followed; "" if it has not.

    `visible`: host paths that can be seen inside although a home around them is hidden.
    """

    path: str = ""
    real: str = ""
    visible: tuple[str, ...] = ()


def cause(number: int) -> str:
    """Return an errno in words."""
    return NAMES.get(number, f"errno {number}")


def refusal(failure: Failure, facts: Mapping[str, str]) -> SandboxError:
    """Explain why the namespaces of a run could not be had."""
    number = failure.errno
    if failure.step in ("uid_map", "gid_map", "newuidmap", "newgidmap", "setgroups"):
        return _map_refusal(failure, facts)
    if failure.step != "namespaces":
        return _preparation_refusal(failure, facts)
    what = f"user namespaces are refused: {cause(number)}"
    if number in (ENOSPC, EUSERS):
        return _limit_refusal(facts)
    if number in (EAGAIN, ENOMEM):
        return SandboxError(f"no process can be made: {cause(number)}", _process_limit(), "sandbox-refused")
    if number == EINVAL:
        return SandboxError(what, "the kernel was built without CONFIG_USER_NS; use another one", "userns-missing")
    if number == ENOSYS:
        return SandboxError(what, "run vagga on x86_64, aarch64 or riscv64", "userns-missing")
    if facts.get(DEBIAN_CLONE) == "0":
        remedy = "`sudo sysctl -w kernel.unprivileged_userns_clone=1`, and the same line in /etc/sysctl.d to keep it"
        return SandboxError(what, remedy, "userns-sysctl")
    if facts.get(APPARMOR) == "1":
        return _apparmor_refusal(what)
    if CHROOT in facts:
        remedy = "the kernel allows none in a chroot: run vagga outside of it, or enter that root with pivot_root"
    elif facts.get(SECCOMP) == "2":
        remedy = f"a seccomp filter forbids them: start the outer container with {UNCONFINED}"
    else:
        remedy = (
            f"a chroot, an outer container or a security module forbids them: start the container with {UNCONFINED}"
        )
    return SandboxError(what, remedy, "userns-seccomp")


def _preparation_refusal(failure: Failure, facts: Mapping[str, str]) -> SandboxError:
    """Explain a step after the namespaces were made. Ubuntu's AppArmor says no here: it gives them without rights."""
    what = f"the sandbox cannot be prepared: {failure.step}: {cause(failure.errno)}"
    if failure.errno in (ENOSPC, EUSERS):
        return _limit_refusal(facts)
    if failure.errno in (EPERM, EACCES):
        if facts.get(APPARMOR) == "1":
            return _apparmor_refusal(what)
        if failure.step.startswith("mount"):
            remedy = f"a security module of an outer container forbids mounts: start it with {UNCONFINED}"
            return SandboxError(what, remedy, "sandbox-refused")
    return SandboxError(what, "`vagga _doctor` shows what this machine allows", "sandbox-refused")


def _process_limit() -> str:
    return "raise the limit of processes (`ulimit -u`, or pids.max of the container), or free memory"


def _apparmor_refusal(what: str) -> SandboxError:
    return SandboxError(
        what,
        "AppArmor restricts them: `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or install the "
        "profile that `vagga _doctor` prints",
        "userns-apparmor",
    )


def _limit_refusal(facts: Mapping[str, str]) -> SandboxError:
    what = "no more namespaces may be made"
    for path, name in LIMITS:
        if facts.get(path) == "0":
            remedy = f"{name} is 0: `sudo sysctl -w {name}=15000`, and the same in /etc/sysctl.d to keep it"
            return SandboxError(what, remedy, "userns-limit")
    return SandboxError(
        what,
        "a limit is reached: raise the one in `sysctl user` that is too low, or nest fewer containers (32 levels)",
        "userns-limit",
    )


def _map_refusal(failure: Failure, facts: Mapping[str, str]) -> SandboxError:
    what = f"ids cannot be mapped: {failure.step}: {cause(failure.errno)}"
    if facts.get(APPARMOR) == "1" and failure.errno in (EPERM, EACCES):
        return _apparmor_refusal(what)
    if failure.errno == EROFS:
        return SandboxError(what, "/proc is read-only here: start the outer container with a writable /proc", "id-map")
    if failure.errno == ENOENT:
        return SandboxError(what, "vagga needs /proc: `mount -t proc proc /proc`", "id-map")
    return SandboxError(
        what, "a security module or an outer container forbids it: see `vagga _doctor`, or try outside", "id-map"
    )


def failed_child(failure: Failure, root: Root, found: Found) -> SandboxError:
    """Explain why a child could not be started; the code is what the child counts as having exited with."""
    match failure.step:
        case "exec" | "interpreter":
            return _failed_program(failure, root, found)
        case "chdir":
            return _failed_directory(failure, root, found)
        case "setuid" | "setgid" | "setgroups":
            what = f"id {failure.target} cannot be taken ({failure.step}): {cause(failure.errno)}"
            remedy = f"this run does not have it; {RANGES}; an outer container has to give it, too"
            return SandboxError(what, remedy, "ids-missing")
        case "Owner":
            what = f"volume {failure.target} cannot be given to its owner: {cause(failure.errno)}"
            return SandboxError(what, f"choose ids that this run has; {RANGES}", "ids-missing")
        case "Source":
            return _failed_source(failure, root)
        case "Overlay":
            return _failed_overlay(failure)
        case "MountPoint" | "Directory" | "Tree" | "Memory" | "Rebind" | "Seal" | "OverlayMount" | "Inside":
            return _failed_mount(failure, root)
        case _:
            paths = _paths(failure)
            what = f"the sandbox cannot be made: {failure.step}{' ' if paths else ''}{paths}: {cause(failure.errno)}"
            return SandboxError(what, _general_remedy(failure.errno), "sandbox-refused")


def _general_remedy(number: int) -> str:
    if number in (EAGAIN, ENOMEM):
        return _process_limit()
    if number == EMFILE:
        return "raise the limit of open files: `ulimit -n`"
    if number == ENOSPC:
        return (
            "a limit of namespaces or mounts is reached: see `sysctl user` and fs.mount-max, or nest fewer containers"
        )
    return "`vagga _doctor` shows what this machine allows"


def _paths(failure: Failure) -> str:
    return " on ".join(path for path in dict.fromkeys((failure.source, failure.target)) if path)


def _failed_program(failure: Failure, root: Root, found: Found) -> SandboxError:
    program = failure.source
    hidden = _hidden_place(root, found)
    if failure.errno in (ENOENT, ENOTDIR) and hidden:
        return SandboxError(
            f"program {program} is not found: {hidden} lies in a home directory, and homes are hidden in the container",
            "use `!Host {home: read-only}`, or `!Host {expose: [PATH]}`, or a program of the system",
            "program-in-hidden-home",
            ExitCode.NOT_FOUND,
        )
    if failure.step == "interpreter":
        return _failed_interpreter(failure)
    if failure.errno in (ENOENT, ENOTDIR):
        return SandboxError(
            f"program {program} is not found in the container",
            "give its path, put its directory into PATH by `environ`, or install it",
            "program-not-found",
            ExitCode.NOT_FOUND,
        )
    if failure.errno == ENOEXEC:
        remedy = "begin the script with a line like `#!/bin/sh`, or use a program for this machine"
    elif failure.errno in (EACCES, EPERM):
        remedy = "`chmod +x` it, and see that its directory may be entered and is not mounted noexec"
    elif failure.errno == ETXTBSY:
        remedy = "wait until whatever writes it has closed it"
    elif failure.errno == E2BIG:
        remedy = "pass fewer or shorter arguments, or a smaller environment"
    else:
        remedy = "look at the file and its file system"
    return SandboxError(
        f"program {program} cannot be executed: {cause(failure.errno)}",
        remedy,
        "program-not-executable",
        ExitCode.NOT_EXECUTABLE,
    )


def _failed_interpreter(failure: Failure) -> SandboxError:
    program, needed = failure.source, failure.target
    missing = f"it needs {needed}, which does not exist in the container" if needed else "its loader is missing"
    return SandboxError(
        f"program {program} cannot be started: {missing}",
        "correct its `#!` line or its link, or make that path visible",
        "program-interpreter",
        ExitCode.NOT_FOUND,
    )


def _hidden_place(root: Root, found: Found) -> str:
    """Return the path of what the host has and a hidden home covers, "" if that is not why it is missing."""
    if not isinstance(root, HostRoot):
        return ""
    for path in (found.path, found.real):
        covered = any(inside(path, home) for home in root.hidden)
        if path and covered and not any(inside(path, place) for place in found.visible):
            return path
    return ""


def _failed_directory(failure: Failure, root: Root, found: Found) -> SandboxError:
    hidden = failure.errno == ENOENT and _hidden_place(root, found)
    remedy = "it is in a hidden home: use `!Host {home: read-only}`" if hidden else "create it, or correct `work-dir`"
    if failure.errno in (EACCES, EPERM):
        remedy = "let the `user-id` of the command enter it and all directories above, or correct `work-dir`"
    return SandboxError(
        f"work-dir {failure.target} cannot be entered: {cause(failure.errno)}",
        remedy,
        "work-dir",
        ExitCode.NOT_FOUND,
    )


def _failed_source(failure: Failure, root: Root) -> SandboxError:
    """Explain what is to be shown inside and cannot be opened on the host."""
    source = failure.source
    if failure.target == "/" and not isinstance(root, HostRoot):
        what = f"{_image(root)} cannot be entered: {source}: {cause(failure.errno)}"
        return SandboxError(what, "build the container again", "image-missing")
    what = f"volume {failure.target}: {source}"
    if failure.errno == EXDEV:
        return SandboxError(f"{what}: a link leads out of the project", "copy what it names into it", "volume-source")
    if isinstance(root, HostRoot) and source == failure.target and source in root.exposed:
        what = f"`expose`: {source}"
    if failure.errno in (ENOENT, ENOTDIR):
        return SandboxError(f"{what} does not exist", "create it, or correct the path", "volume-source")
    return SandboxError(
        f"{what} cannot be opened: {cause(failure.errno)}", "choose a path that you may use", "volume-source"
    )


def _image(root: Root) -> str:
    """Name the root of a container that was built."""
    return f"container {root.container}: its image" if isinstance(root, ImageRoot) else "the container's image"


def _failed_mount(failure: Failure, root: Root) -> SandboxError:
    source, target, number = failure.source, failure.target, failure.errno
    in_image = not isinstance(root, HostRoot) and (target == WORK or not inside(target, WORK))
    if in_image and number in (ENOENT, EROFS):
        lacking = source if failure.step == "Inside" else target
        return SandboxError(
            f"{_image(root)} lacks {lacking}",
            f"add `!EnsureDir {lacking}` to its setup; where a file is mounted: `!Text` with an empty one",
            "image-mount-point",
        )
    if number in (ENOENT, EROFS, EACCES, EPERM):
        return SandboxError(
            f"volume {target} has no mount point in the container: {cause(number)}",
            "create that directory on the host (for a path below /work: in the project), or choose another path",
            "volume-mount-point",
        )
    if number in (ENOTDIR, EEXIST) or (number == EINVAL and source):
        return SandboxError(
            f"volume {target} does not fit its mount point: {cause(number)}",
            "a file can only be mounted on a file, a directory only on a directory; choose another path",
            "volume-mount-point",
        )
    return SandboxError(
        f"volume {target} cannot be mounted ({failure.step}): {cause(number)}",
        _general_remedy(number),
        "sandbox-refused",
    )


def _failed_overlay(failure: Failure) -> SandboxError:
    """Explain what overlayfs, or the file system that takes what is written, does not do here."""
    source, number = failure.source, failure.errno
    place = "the root" if failure.target == "/" else f"volume {failure.target}"
    if number == ENOTSUP:
        what = f"{place}: {source or 'a file system in memory'} keeps no user attributes, which overlayfs needs"
        remedy = "put the project on another file system: ext4, xfs, btrfs" if source else "use a kernel from 6.6 on"
        return SandboxError(what, remedy, "overlay-attributes")
    what = f"{place}: overlayfs cannot be used: {cause(number)}"
    if number == ENODEV:
        return SandboxError(what, "load it: `sudo modprobe overlay`", "overlay-refused")
    if number in (EAGAIN, ENOMEM, EMFILE, ENOSPC):
        return SandboxError(what, _general_remedy(number), "overlay-refused")
    if number in (EPERM, EACCES):
        remedy = "use a kernel from 5.11 on; outer containers and security modules can forbid it, too"
    else:
        remedy = "put the project on another file system (ext4, xfs, btrfs); an overlay takes two others at most below"
    return SandboxError(what, remedy, "overlay-refused")
