"""Read the settings of the kernel that explain why a sandbox is refused."""

from __future__ import annotations

FACTS = (
    "/proc/sys/user/max_user_namespaces",
    "/proc/sys/user/max_mnt_namespaces",
    "/proc/sys/user/max_net_namespaces",
    "/proc/sys/user/max_pid_namespaces",
    "/proc/sys/kernel/unprivileged_userns_clone",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
)


def facts() -> dict[str, str]:
    """Return the kernel settings that explain a refusal; those that do not exist are left out."""
    found = {}
    for path in FACTS:
        if text := _text(path).strip():
            found[path] = text
    for line in _text("/proc/self/status").splitlines():
        if line.startswith("Seccomp:"):
            found["seccomp"] = line.split()[1]
    mounts = [line.split(" ")[4] for line in _text("/proc/self/mountinfo").splitlines()]
    if mounts and "/" not in mounts:
        found["chroot"] = "the root is no mount point"
    return found


def _text(path: str) -> str:
    """Return what a small file says, "" if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
