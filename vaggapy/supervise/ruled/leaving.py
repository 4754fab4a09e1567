"""The stop of a run with rules: hooks before, then the signal, then hooks after; coprocesses last. Pure.

Each main child is announced (`stopping`); when the hooks of that are over it is asked to end; when it has ended
(`stopped`) other hooks may run. When all of them are gone, the coprocesses go the same way. Nothing waits for ever:
hooks have a window, children a time to stop, and a second Ctrl+C kills everything.
"""

from __future__ import annotations

from vaggapy.config.rules import GLOBAL, SHUTDOWN, STOPPED, STOPPING
from vaggapy.record import replace
from vaggapy.supervise.events import GRACE, Signal, StillAlive, TookTooLong
from vaggapy.supervise.ruled.life import COMPLETED, FAILED, members
from vaggapy.supervise.state import ANNOUNCED, ASKED, BACKOFF, DONE, KILLED, RUNNING, STAYS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.supervise.ruled.turn import RuledTurn

KEPT = ("stop", "hook", "limit")
"""How the timers begin that go on while the run is being stopped."""


def begin(turn: RuledTurn) -> None:
    """The stop begins: nothing is planned any more, everybody hears of it."""
    stop = turn.stop
    if stop is None:
        return
    turn.take_back()
    for timer in tuple(turn.timers):
        if timer.partition(" ")[0] not in KEPT:
            turn.cancel(timer)
    for probe in tuple(turn.probes):
        turn.abandon(probe)
    if not stop.signal or stop.barren or turn.begun is None:
        turn.stop = replace(stop, barren=True)
        turn.woken = False
        left = [name for name in turn.living() if turn.children[name].leaving != KILLED]
        for name in left:
            turn.put(name, leaving=ASKED)
        _give_time(turn, left)
        return
    turn.publish(GLOBAL, SHUTDOWN)
    for name in tuple(turn.children):
        _prepare(turn, name, stop.signal)
    turn.woken = True


def _prepare(turn: RuledTurn, name: str, signal: int) -> None:
    """Say what the stop means for one child that runs, or that was to run again."""
    child, life = turn.children[name], turn.life(name)
    if child.phase == BACKOFF:
        turn.put(name, phase=DONE)
        turn.note(name, outcome=FAILED if life.last is not None and life.last.code else COMPLETED)
        turn.publish(name, STOPPING)
        turn.publish(name, STOPPED)
    elif child.leaving == ASKED:
        if signal not in life.asked:
            _signal(turn, name, signal)
    elif child.alive and turn.is_hook(name):
        give_window(turn, name)
    elif child.alive and not turn.rule(name).coprocess:
        _announce(turn, name)


def _announce(turn: RuledTurn, name: str) -> None:
    if turn.children[name].leaving == STAYS:
        turn.put(name, leaving=ANNOUNCED)
        turn.publish(name, STOPPING)


def advance(turn: RuledTurn) -> None:
    """Ask those to end whose hooks are over; when all main children are gone, turn to the coprocesses."""
    stop = turn.stop
    if stop is None or not stop.signal or stop.barren:
        return
    hooks = [name for name in turn.living() if turn.is_hook(name) and turn.children[name].leaving != KILLED]
    shutdown = any(_source(turn, hook)[1] == SHUTDOWN for hook in hooks)
    others = [name for name in turn.living() if not turn.is_hook(name)]
    announced = [name for name in others if turn.children[name].leaving == ANNOUNCED]
    if not shutdown:
        _ask_all(turn, [name for name in announced if not _has_hooks(turn, name, hooks)])
    mains = [name for name in others if not turn.rule(name).coprocess]
    if not mains and not hooks:
        for name in others:
            _announce(turn, name)


def _source(turn: RuledTurn, hook: str) -> tuple[str, str]:
    when = turn.rule(hook).when
    return (when.source, when.event) if when is not None else ("", "")


def _has_hooks(turn: RuledTurn, name: str, hooks: list[str]) -> bool:
    """Tell whether hooks run that the child has to wait for."""
    found = [_source(turn, hook) for hook in hooks]
    return any(event == STOPPING and name in members(turn.rules, source) for source, event in found)


# --- signals and time -------------------------------------------------------------------------------------------


def _ask_all(turn: RuledTurn, names: list[str]) -> None:
    """Ask children to end with the signals of the stop, all at once."""
    stop = turn.stop
    if stop is None or not names:
        return
    for name in names:
        _signal(turn, name, stop.signal)
        turn.put(name, leaving=ASKED)
    turn.wake()
    turn.woken = False
    if stop.signal not in stop.sent:
        turn.stop = replace(stop, sent=(*stop.sent, stop.signal))
    _give_time(turn, names)


def ask(turn: RuledTurn, name: str, signal: int) -> None:
    """Ask one child to end, while the others go on."""
    _signal(turn, name, signal)
    turn.put(name, leaving=ASKED)
    seconds = turn.rule(name).stop.timeout
    if seconds:
        turn.set_timer(f"stop {name}", turn.now + (turn.state.grace if seconds < 0 else seconds))
    else:
        turn.kill((name,))


def _signal(turn: RuledTurn, name: str, signal: int) -> None:
    """Send a signal, or the one that the child wants instead; one that is starting gets it when it runs."""
    number = turn.rule(name).stop.signal or signal
    asked = turn.life(name).asked
    running = turn.children[name].phase == RUNNING
    if number in asked and (turn.rule(name).stop.signal or not running):
        return
    if number not in asked:
        turn.note(name, asked=(*asked, number))
    if running and turn.rule(name).stop.timeout != 0:
        turn.actions.append(Signal(name, number))


def send(turn: RuledTurn, signal: int) -> None:
    """Pass one more signal of the user on to those that were asked to end; hooks and the others do not get it."""
    for name in turn.living():
        if turn.children[name].leaving == ASKED:
            _signal(turn, name, signal)
    turn.wake()
    if turn.stop is not None and signal not in turn.stop.sent:
        turn.stop = replace(turn.stop, sent=(*turn.stop.sent, signal))


def _give_time(turn: RuledTurn, names: list[str]) -> None:
    """Set the deadlines of children that were asked; those without one of their own share one."""
    shared = turn.now + turn.state.grace
    at_once = []
    for name in names:
        seconds = turn.rule(name).stop.timeout
        if seconds == 0:
            at_once.append(name)
        elif seconds > 0:
            turn.set_timer(f"stop {name}", turn.now + seconds)
        elif turn.timers.get(GRACE, shared) != shared:
            turn.set_timer(f"stop {name}", shared)
        elif GRACE not in turn.timers:
            turn.set_timer(GRACE, shared)
    turn.kill(at_once)


def late(turn: RuledTurn, kind: str, name: str) -> None:
    """A time to stop is over."""
    if kind == "hook":
        if turn.children[name].alive and turn.children[name].leaving != KILLED:
            turn.tell(TookTooLong(name, _window(turn, name), _source(turn, name)[0]))
            turn.kill((name,))
        return
    own = {timer.partition(" ")[2] for timer in turn.timers if timer.startswith("stop ")}
    names = tuple(
        each
        for each in turn.living()
        if turn.children[each].leaving == ASKED and (each == name if name else each not in own)
    )
    if names:
        seconds = turn.rule(name).stop.timeout if name else -1.0
        turn.tell(StillAlive(names, turn.state.grace if seconds < 0 else seconds))
        turn.kill(names)


def _window(turn: RuledTurn, hook: str) -> float:
    """Return the seconds that a hook may take."""
    source = _source(turn, hook)[0]
    seconds = max((turn.rule(name).stop.hook_timeout for name in members(turn.rules, source)), default=-1.0)
    return turn.rules.hook_window if seconds < 0 else seconds


def give_window(turn: RuledTurn, name: str) -> None:
    """Limit the time of a hook that runs while the run is being stopped."""
    if turn.stop is not None and turn.is_hook(name):
        turn.set_timer(f"hook {name}", turn.now + _window(turn, name))
