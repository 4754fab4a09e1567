"""Say what the policy reports, in lines for people. Pure.

`text` keeps the wording that vagga's users and scripts know, on standard error. What only happens with rules, and why
a run failed, is worded by `story`, which is imported when it is needed. Section 6 of `docs/supervision.md` describes
the lines.
"""

from __future__ import annotations

from vaggapy.errors import one_line, visible
from vaggapy.supervise.events import (
    CONT,
    FIRST,
    PIPE,
    REQUESTED,
    SUCCESS,
    TSTP,
    ChildEnded,
    ChildNotStarted,
    ChildStarted,
    Ended,
    SignalReceived,
    SpawnerEnded,
    StillAlive,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from vaggapy.supervise.events import Told
    from vaggapy.supervise.stage import Banner

OUTER_PROC = (
    "vagga: the outer /proc is used: a container around this one hides parts of it, so a new one is refused "
    "(run the outer container with an unmasked /proc) [outer-proc]\n"
)
DISK_FULL = (
    "vagga: output is lost: no space left where standard output goes (free some, the children go on) [output-lost]\n"
)
RECORDS_LOST = (
    "vagga: status records are lost: no space left where --status-fd goes (free some, the children go on) "
    "[output-lost]\n"
)

# fmt: off
_NAMES = (
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
)
# fmt: on
_RTMIN = 34  # as programs see it: the C library keeps 32 and 33 to itself


def signal_name(number: int) -> str:
    """Return the Linux name of a signal, such as `SIGKILL` or `SIGRTMIN+2`.

    Source: signal(7), the numbers of x86 and ARM.
    """
    if 1 <= number <= len(_NAMES):
        return f"SIG{_NAMES[number - 1]}"
    if number == _RTMIN:
        return "SIGRTMIN"
    return f"SIGRTMIN+{number - _RTMIN}" if number > _RTMIN else f"SIG{number}"


def banner_text(banner: Banner) -> str:
    """Return a banner as it is shown: its lines, with control characters spelled out."""
    return "".join(f"{visible(line.expandtabs())}\n" for line in banner.text.splitlines())


def duration(seconds: float) -> str:
    """Return `12.31 s`, from two minutes on `5 min 12 s`, from two hours on `3 h 4 min`."""
    whole = int(seconds)
    if whole < 120:
        return f"{seconds:.2f} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def text(told: Told, single: bool = False) -> str:
    """Return the lines for people, each with its line end; empty where there is nothing to say.

    With `single` the run is that of one `!Command`, of which only what went wrong is told.

    Source: vagga src/launcher/supervisor.rs. Differs: exit codes are shown as 0..255; on standard error; a
    closing line.
    """
    if single:
        return _single(told)
    match told:
        case ChildEnded(name, _, pid, cause=cause) if cause in (FIRST, SUCCESS, REQUESTED):
            return dashed(f"Process {visible(name)}:{pid} {status(told)}. Shutting down") if cause == FIRST else ""
        case ChildNotStarted(name, _, _, why, cause):
            ending = ". Shutting down" if cause == FIRST else ""
            return dashed(f"Process {visible(name)} could not be run: {visible(why)}{ending}")
        case SignalReceived():
            return _received(told)
        case SpawnerEnded():
            return _spawner_ended()
        case StillAlive():
            return _still_alive(told)
        case Ended():
            return _ended(told)
        case ChildStarted():
            return ""
        case _:
            from vaggapy.supervise import story  # only with rules

            return story.text(told)


def last_lines(name: str, lines: Iterable[bytes]) -> str:
    """Return the last lines of output of a child, under a title; empty if it had none."""
    from vaggapy.supervise import story  # only after a failure

    return story.last_lines(name, lines)


def _single(told: Told) -> str:
    match told:
        case ChildNotStarted(name, _, _, why):
            return f"vagga: {visible(name)} could not be run: {visible(why)}\n"
        case SpawnerEnded():
            return _spawner_ended()
        case StillAlive():
            return _still_alive(told)
        case _:
            return ""


def status(ended: ChildEnded) -> str:
    """Return how a child ended, such as `killed by signal SIGSEGV[11] (core dumped)`."""
    if not ended.signal:
        return f"exited with code {ended.code}"
    core = " (core dumped)" if ended.core else ""
    return f"killed by signal {signal_name(ended.signal)}[{ended.signal}]{core}"


def dashed(line: str) -> str:
    """Return a line that is to be seen among the output of children."""
    return f"---------- {line} -----------\n"


def _received(told: SignalReceived) -> str:
    name = signal_name(told.signal)
    if told.signal == TSTP:
        return f"Received {name} signal. Stopping children and self ..\n"
    if told.signal == CONT:
        return f"Received {name} signal. Propagating ..\n"
    if told.killing:
        return f"Received {name} signal again. Killing the processes...\n"
    if told.signal == PIPE:
        return "Standard output was closed. Waiting the processes to stop...\n"
    return f"Received {name} signal. Waiting the processes to stop...\n"


def _spawner_ended() -> str:
    what = "spawner: ended unexpectedly, which kills every process of the run"
    remedy = "look for an out-of-memory kill, then run the command again"
    return f"vagga: {one_line(what, remedy, 'spawner-lost')}\n"


def _still_alive(told: StillAlive) -> str:
    names = ", ".join(f'"{visible(name)}"' for name in told.names)
    return (
        dashed(f"Processes [{names}] are still alive. Killing ...")
        + f"vagga: they had {told.seconds:g} s to stop; `kill-unresponsive-after` can be raised for this command\n"
    )


def _ended(told: Ended) -> str:
    if told.cause is None and not told.children and told.code:
        return ""  # The command line has said that nobody is selected.
    chain = ""
    if len(told.chain) > 1:
        from vaggapy.supervise import story  # only with rules, after a failure

        chain = story.chain_text(told.chain)
    return f"{chain}vagga: {how(told)}; vagga exits with {told.code}\n"


def how(told: Ended) -> str:
    """Return why a run is over, with the time of that."""
    whole = duration(told.seconds)
    match told.cause:
        case ChildEnded(name, seconds=seconds) as child:
            was = "was " if child.signal else ""
            return f"{visible(name)} {was}{status(child)} after {duration(seconds)}"
        case ChildNotStarted(name):
            return f"{visible(name)} could not be run"
        case SignalReceived(signal):
            why = "standard output was closed" if signal == PIPE else f"stopped by {signal_name(signal)}"
            return f"{why}, all ended after {whole}"
        case SpawnerEnded():
            return f"the spawner was lost, all ended after {whole}"
        case None if not told.children:
            return "no child starts by itself"
        case None:
            return f"all {told.children} exited with code 0 after {whole}"
        case _:
            from vaggapy.supervise import story  # only with rules

            return f"{story.how(told.cause)}, all ended after {whole}"
