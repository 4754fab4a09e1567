"""Say what the policy reports: lines for people, and plain data for programs. Pure.

`text` keeps the wording that vagga's users and scripts know, on standard error. `record_json` makes the
objects that `--status-fd` writes, one a line. Section 6 of `docs/supervision.md` describes both.
"""

from __future__ import annotations

from vaggapy.errors import one_line, visible
from vaggapy.supervise.events import (
    CONT,
    FIRST,
    PIPE,
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
    from vaggapy.supervise.events import Told
    from vaggapy.supervise.stage import Banner

OUTER_PROC = (
    "vagga: the outer /proc is used: a container around this one hides parts of it, so a new one is refused "
    "(run the outer container with an unmasked /proc) [outer-proc]\n"
)
DISK_FULL = (
    "vagga: output is lost: no space left where standard output goes (free some, the children go on) [output-lost]\n"
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
        case ChildEnded(name, _, pid, cause=cause):
            return _dashed(f"Process {visible(name)}:{pid} {status(told)}. Shutting down") if cause == FIRST else ""
        case ChildNotStarted(name, _, _, why, cause):
            ending = ". Shutting down" if cause == FIRST else ""
            return _dashed(f"Process {visible(name)} could not be run: {visible(why)}{ending}")
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


def _dashed(line: str) -> str:
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
        _dashed(f"Processes [{names}] are still alive. Killing ...")
        + f"vagga: they had {told.seconds:g} s to stop; `kill-unresponsive-after` can be raised for this command\n"
    )


def _ended(told: Ended) -> str:
    if told.cause is None and not told.children:
        return ""
    return f"vagga: {_how(told)}; vagga exits with {told.code}\n"


def _how(told: Ended) -> str:
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
        case None:
            return f"all {told.children} exited with code 0 after {whole}"


def record_json(told: Told, now: float) -> dict[str, object]:
    """Return the status record of one report: only strings, numbers, booleans, lists and None.

    `now`, in seconds of whatever clock the caller chose, becomes `time`.
    """
    kind, fields = _record(told)
    return {"event": kind, "time": now, **fields}


def _record(told: Told) -> tuple[str, dict[str, object]]:
    match told:
        case ChildStarted(name, incarnation, pid):
            return "start", _fields(name=name, incarnation=incarnation, pid=pid)
        case ChildEnded(signal=signal):
            fields: dict[str, object] = {field: getattr(told, field) for field in told._fields}
            return "exit", {**fields, "signal": signal_name(signal) if signal else None}
        case ChildNotStarted(name, incarnation, code, why):
            child = _fields(name=name, incarnation=incarnation)
            return "exit", {**child, **_fields(code=code, signal=None, cause="not-started", why=why)}
        case SignalReceived(signal, stopping, killing):
            return "signal", _fields(signal=signal_name(signal), stopping=stopping, killing=killing)
        case SpawnerEnded():
            return "spawner-lost", {}
        case StillAlive(names, seconds):
            return "still-alive", _fields(names=list(names), seconds=seconds)
        case Ended(code, _, seconds):
            return "finish", {**_fields(code=code, seconds=seconds), **_first_cause(told)}


def _first_cause(told: Ended) -> dict[str, object]:
    match told.cause:
        case ChildEnded(name):
            return _fields(cause="exit", name=name)
        case ChildNotStarted(name):
            return _fields(cause="not-started", name=name)
        case SignalReceived(signal):
            return _fields(cause="signal", signal=signal_name(signal))
        case SpawnerEnded():
            return _fields(cause="spawner-lost")
        case None:
            return _fields(cause="completed" if told.children else "nothing-selected")


def _fields(**fields: object) -> dict[str, object]:
    return fields
