"""`expect-inotify-limit`: say when the kernel allows fewer watches of files than a command wants. Never fatal.

With the setting `auto-apply-sysctl` the limit is raised, by root itself and by others through sudo, which asks for a
password on the terminal. Only so far, though: each watch takes about a kilobyte of the kernel's memory.

Source: vagga.md 3.2.
"""

from __future__ import annotations

import os

from vaggapy.errors import one_line
from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.plan import Plan
    from vaggapy.supervise.output import Outlet

LIMIT = "/proc/sys/fs/inotify/max_user_watches"
SETTING = "fs.inotify.max_user_watches"
MOST = 524288
"""The highest limit that is set without asking."""
SUDO = ("sudo", "-k", "sysctl")
SLUG = "inotify-limit"


class Advice(Record):
    """What to do about a limit: `warning` to be shown, `value` to be set; "" and 0 for neither."""

    warning: str = ""
    value: int = 0


def check(plan: Plan, place: Outlet) -> None:
    """Warn of each command that wants more than the limit of this machine, or raise it."""
    for name, wanted in dict.fromkeys((stage.name, stage.inotify) for stage in plan.stages if stage.inotify):
        try:
            with open(LIMIT, encoding="ascii") as file:
                advice = advise(name, wanted, int(file.read()), plan.auto_apply_sysctl)
        except (OSError, ValueError) as error:
            advice = Advice(one_line(f"{LIMIT} cannot be read: {error}", "", SLUG))
        text = advice.warning
        if advice.value and (failed := _set(advice.value)):
            text = one_line(f"{SETTING} cannot be raised to {wanted}: {failed}", remedy(wanted), SLUG)
        if text:
            place.write(f"vagga: {text}\n".encode("utf-8", "replace"))


def advise(command: str, wanted: int, allowed: int, apply: bool) -> Advice:
    """Return what to do. `allowed`: the limit as it is; `apply`: the setting allows to raise it."""
    if allowed >= wanted:
        return Advice()
    if apply and wanted <= MOST:
        return Advice(value=wanted)
    what = f"{command} wants to watch {wanted} files, the limit of this machine is {allowed}"
    return Advice(one_line(what, remedy(wanted), SLUG))


def remedy(wanted: int) -> str:
    """Return what a person can do."""
    return f"run: sudo sysctl {SETTING}={wanted}"


def _set(value: int) -> str:
    """Raise the limit; return why not, "" if it worked."""
    if os.getuid() == 0:
        try:
            with open(LIMIT, "w", encoding="ascii") as file:
                file.write(f"{value}\n")
        except OSError as error:
            return error.strerror or str(error)
        return ""
    return run_program((*SUDO, f"{SETTING}={value}"))


def run_program(words: tuple[str, ...]) -> str:
    """Run a program without standard input, what it prints on standard error; return why it failed, "" if not."""
    silence = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, 2, 1)]
    try:
        pid = os.posix_spawnp(words[0], words, os.environ, file_actions=silence, setsigmask=())
    except OSError as error:
        return f"{words[0]}: {error.strerror}"
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return f"{' '.join(words)} ended with {code}" if code else ""
