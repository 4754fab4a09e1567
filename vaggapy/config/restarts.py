"""Nodes -> how a child is run again, and how it is stopped. Pure.

Source: supervision-systems.md 5.2, 5.4 (C6, C7, C8). Differs: `restart:` with keys has no limit unless one is written,
as with pmux.
"""

from __future__ import annotations

from vaggapy.config import compose
from vaggapy.config.checks import part
from vaggapy.config.durations import duration, shown
from vaggapy.config.rule_fields import RESTART, STOP
from vaggapy.config.rules import UNLIMITED, Restart, Stop
from vaggapy.config.tree import Mapping, Sequence
from vaggapy.config.values import HIGHEST_ID, read_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.tree import Node
    from vaggapy.config.values import Reader, Structure

SIGNAL_NUMBERS = {
    name: number
    for number, name in enumerate(
        (
            *("HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE"),
            *("ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ"),
            *("VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS"),
        ),
        1,
    )
}
"""As Linux numbers them everywhere but on MIPS, Alpha, SPARC and PA-RISC."""
NEVER_STOP = ("CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU")
"""Signals after which nothing ends."""
LIMITS = {"unlimited": UNLIMITED, "never": 0}
MIN_WAIT, MAX_WAIT = 1.0, 64.0


def restart(reader: Reader, fields: Structure) -> tuple[Restart, bool]:
    """Return how the child restarts, and whether that was written."""
    if fields.has("restarts"):
        if fields.has("restart"):
            compose.twin(reader, "restart", "restarts", fields.keys["restarts"].mark)
        return Restart(limit=_limit(fields, "restarts", 0), at_once=True), True
    if not fields.has("restart"):
        return Restart(), False
    node = fields.values["restart"]
    if isinstance(node, Sequence):
        reader.wrong(node, "'restart'", "a word, or keys and values", "as in 'on-failure:3' or '{limit: 3}'")
        return Restart(), True
    if not isinstance(node, Mapping):
        return compose.policy(reader, node), True
    inner = part(reader, node, RESTART, "'restart'", fields.keys["restart"].mark)
    return (_restart_keys(reader, inner) if inner is not None else Restart()), True


def _restart_keys(reader: Reader, fields: Structure) -> Restart:
    """Return what the long form says."""
    word = fields.choice("policy", ("always", compose.ON_FAILURE, "no"))
    limit = _limit(fields, "limit", 0 if word == "no" else UNLIMITED)
    if fields.has("limit") and fields.keys["limit"].text != "limit" and not limit:
        what = f"'{fields.keys['limit'].text}: 0' means no limit elsewhere"
        reader.report(fields.values["limit"].mark, what, "write 'limit: unlimited' or 'limit: never'", "bad-value")
    if fields.has("backoff-seconds") and fields.has("min-wait"):
        compose.twin(reader, "min-wait", "backoff-seconds", fields.keys["backoff-seconds"].mark)
    constant = duration(fields, "backoff-seconds", 0.0)
    least = duration(fields, "min-wait", constant or MIN_WAIT, zero=True)
    most = duration(fields, "max-wait", constant or MAX_WAIT)
    if least > most:
        key = "backoff-seconds" if fields.has("backoff-seconds") else "min-wait"
        mark = fields.keys[key].mark if fields.has(key) else fields.mark
        what = f"'{key}' ({shown(least)}) is longer than 'max-wait' ({shown(most)})"
        reader.report(mark, what, "make 'max-wait' longer", "out-of-range")
    codes, signals = _endings(fields)
    if (codes or signals) and not limit:
        mark = fields.keys["no-restart-on"].mark
        reader.warn(mark, "'no-restart-on' has no effect without restarts", "write a 'limit'", "doubtful-rule")
    return Restart(limit, least, most, codes, signals, on_success=word != compose.ON_FAILURE)


def _limit(fields: Structure, key: str, default: int) -> int:
    """Return a number of restarts."""
    if not fields.has(key):
        return default
    node = fields.values[key]
    text = fields.reader.text(node, f"'{key}'")
    if text in LIMITS:
        return LIMITS[text]
    found = read_number(text)
    if found is None or not 0 <= found <= HIGHEST_ID:
        if text:
            what = f"'{text}' of '{key}' is no number of restarts"
            fields.reader.report(node.mark, what, "a whole number from 0, unlimited or never", "bad-value")
        return default
    return found


def _endings(fields: Structure) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the exit codes and the signals after which there is no restart."""
    codes: list[int] = []
    signals: list[int] = []
    for text, node in fields.items("no-restart-on"):
        number = read_number(text)
        name = text.upper().removeprefix("SIG")
        if number is not None and 0 <= number <= 255:
            codes.append(number)
        elif name in SIGNAL_NUMBERS and number is None:
            signals.append(SIGNAL_NUMBERS[name])
        elif text:
            what = f"'{text}' of 'no-restart-on' is neither an exit code nor a signal"
            fields.reader.report(node.mark, what, "0 to 255, or a name as in SIGKILL", "bad-value")
    return tuple(codes), tuple(signals)


# --- how it is stopped ------------------------------------------------------------------------------------------


LIFTED = {"stop-signal": "signal", "stop-grace-period": "timeout", "stop-timeout": "hook-timeout"}
"""Keys that stand beside `stop` elsewhere, and those inside it."""


def stop(reader: Reader, fields: Structure) -> Stop:
    """Return how the child is stopped, from `stop` and the keys that stand for parts of it."""
    own = part(reader, fields.values["stop"], STOP, "'stop'") if fields.has("stop") else None
    found: dict[str, tuple[Structure, str]] = {}
    for key in LIFTED.values():
        if own is not None and own.has(key):
            found[key] = own, key
    for alias, key in LIFTED.items():
        if fields.has(alias):
            if key in found:
                compose.twin(reader, f"stop: {key}", fields.keys[alias].text, fields.keys[alias].mark)
            found[key] = fields, alias

    def seconds(key: str, *, zero: bool) -> float:
        holder, alias = found.get(key, (fields, ""))
        return duration(holder, alias, -1.0, zero=zero) if alias else -1.0

    holder, alias = found.get("signal", (fields, ""))
    number = _signal(reader, holder.values[alias], alias) if alias else 0
    return Stop(number, seconds("timeout", zero=True), seconds("hook-timeout", zero=False))


def _signal(reader: Reader, node: Node, key: str) -> int:
    """Return the number of a signal that can end a program."""
    text = reader.text(node, f"'{key}'")
    number = read_number(text)
    name = text.upper().removeprefix("SIG")
    if number is not None:
        name = next((known for known, other in SIGNAL_NUMBERS.items() if other == number), "")
    if name in SIGNAL_NUMBERS and name not in NEVER_STOP:
        return SIGNAL_NUMBERS[name]
    if text:
        what = f"'{text}' of '{key}' is no signal" if name not in NEVER_STOP else f"{text} ends no program"
        reader.report(node.mark, what, "as in SIGTERM, SIGINT or SIGQUIT", "bad-value")
    return 0
