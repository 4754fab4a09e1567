"""Readiness and health of children, and the watches of the run: results of checks become events. Pure.

Each repeated check of a child has a number: 0 is its `health`, if it has one, then come the entries of its `watch`.
Nothing here outlives a run of the child: the next one begins with nothing known.
"""

from __future__ import annotations

from vaggapy.config.rules import (
    CHANGED,
    HEALTHY,
    ON_FAIL_DEBUG,
    ON_FAIL_LOG,
    ON_FAIL_RESTART,
    ON_FAIL_SHUTDOWN,
    ON_FAIL_SPAWN,
    UNHEALTHY,
    WATCH,
)
from vaggapy.config.rules import PATH as PATH_CHECK
from vaggapy.errors import ExitCode
from vaggapy.record import replace
from vaggapy.supervise.events import (
    TERM,
    Advertise,
    CheckFailed,
    CheckRecovered,
    HealthChanged,
    Link,
    NotPaused,
    WatchChanged,
)
from vaggapy.supervise.ruled import gates, runs
from vaggapy.supervise.ruled.life import Tally, checks, describe
from vaggapy.supervise.state import RUNNING, STAYS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.rules import Health, Watch
    from vaggapy.supervise.events import Probed
    from vaggapy.supervise.ruled.turn import RuledTurn

UP = "up"
"""The one instance of a watched thing that has nothing to tell its states apart."""


# --- readiness --------------------------------------------------------------------------------------------------


def started(turn: RuledTurn, name: str) -> None:
    """The program of a child runs: wait for it to be ready, or begin to look at it."""
    rule = turn.rule(name)
    if rule.service is not None and rule.service.status:
        turn.actions.append(Advertise(name, rule.service.status))
    if rule.ready is None or turn.life(name).ready:
        _begin_checks(turn, name)
        if rule.ready is not None and rule.health is None:
            _set_health(turn, name, healthy=True)
    elif rule.ready.timeout:
        turn.set_timer(f"ready {name}", turn.now + rule.ready.timeout)


def ready(turn: RuledTurn, name: str) -> None:
    """A child says that it is ready."""
    rule = turn.rule(name)
    if rule.ready is None or turn.life(name).ready:
        return
    turn.note(name, ready=True)
    turn.cancel(f"ready {name}")
    if turn.stop is None and turn.children[name].phase == RUNNING:  # else its start is told first
        _begin_checks(turn, name)
        if rule.health is None:
            _set_health(turn, name, healthy=True)


def printed(turn: RuledTurn, name: str, text: str) -> None:
    """A child has printed a line that somebody waits for."""
    rule, life = turn.rule(name), turn.life(name)
    if text not in life.printed:
        turn.note(name, printed=life.printed | {text})
        turn.publish(name, "printed")
    if rule.ready is not None and rule.ready.line == text:
        ready(turn, name)


# --- repeated checks --------------------------------------------------------------------------------------------


def _begin_checks(turn: RuledTurn, name: str) -> None:
    """Plan the first look of each check."""
    found = checks(turn.rule(name))
    first = turn.now
    turn.note(name, checked_since=first, tallies=tuple(Tally(first + each.delay) for each in found))
    for number, health in enumerate(found):
        if health.ttl:
            turn.set_timer(f"ttl {number} {name}", first + health.delay + max(health.ttl, health.start_period))
        if health.delay:
            turn.set_timer(f"check {number} {name}", first + health.delay)
        else:
            _look(turn, name, number)


def _look(turn: RuledTurn, name: str, number: int) -> None:
    health = checks(turn.rule(name))[number]
    turn.probe(f"check {number} {name}", health.check, health.timeout, name)


def due(turn: RuledTurn, kind: str, name: str) -> None:
    """React to a deadline: a look is due, a time to be well is over, a watch is to be looked at."""
    if kind == "watch":
        watch = next((each for each in turn.rules.watches if each.name == name), None)
        if watch is not None and turn.stop is None:
            look_at_watch(turn, watch)
    elif kind == "ready":
        _not_ready(turn, name)
    else:
        number, _, child = name.partition(" ")
        if not turn.children[child].alive or turn.stop is not None:
            return
        if kind == "check":
            _look(turn, child, int(number))
        else:
            _expired(turn, child, int(number))


def probed(turn: RuledTurn, kind: str, name: str, result: Probed) -> None:
    """A look has a result; those of an earlier run never come here, their probes were abandoned."""
    if kind == "watch":
        _watch_probed(turn, name, result)
        return
    number, _, child = name.partition(" ")
    if turn.stop is None and turn.children[child].phase == RUNNING:
        (_passed if result.passed else _failed)(turn, child, int(number), result)
        if turn.stop is None:
            _plan_next(turn, child, int(number))


def _plan_next(turn: RuledTurn, name: str, number: int) -> None:
    """Set the time of the next look; looks keep to their schedule, and never overlap."""
    health, tally = checks(turn.rule(name))[number], turn.life(name).tallies[number]
    starting = not tally.ever and turn.now < turn.life(name).checked_since + health.start_period
    following = tally.due + (min(health.start_interval, health.interval) if starting else health.interval)
    following = max(following, turn.now)
    _count(turn, name, number, due=following)
    turn.set_timer(f"check {number} {name}", following)


def _count(turn: RuledTurn, name: str, number: int, **changes: object) -> Tally:
    tallies = list(turn.life(name).tallies)
    tallies[number] = replace(tallies[number], **changes)
    turn.note(name, tallies=tuple(tallies))
    return tallies[number]


def _passed(turn: RuledTurn, name: str, number: int, _: Probed) -> None:
    health, tally = checks(turn.rule(name))[number], turn.life(name).tallies[number]
    fails = tally.fails
    tally = _count(turn, name, number, fails=0, passes=tally.passes + 1, detail="")
    if health.ttl:
        turn.set_timer(f"ttl {number} {name}", turn.now + health.ttl)
    if tally.passes < health.successes:
        return
    _count(turn, name, number, ever=True, bad=False)
    if tally.bad and health.on_fail not in ("event", ""):
        turn.tell(CheckRecovered(name, _name(turn, name, number), fails))
    if _is_health(turn, name, number):
        _set_health(turn, name, healthy=True)


def _failed(turn: RuledTurn, name: str, number: int, result: Probed) -> None:
    health, life = checks(turn.rule(name))[number], turn.life(name)
    tally = life.tallies[number]
    if not tally.ever and turn.now < life.checked_since + health.start_period:
        _count(turn, name, number, passes=0, detail=result.detail)
        return
    tally = _count(turn, name, number, fails=tally.fails + 1, passes=0, detail=result.detail)
    if tally.fails < health.threshold:
        return
    _breach(turn, name, number, result.detail)


def _breach(turn: RuledTurn, name: str, number: int, detail: str) -> None:
    """A check has failed often enough: tell it once, and do what the rule says."""
    health, tally = checks(turn.rule(name))[number], turn.life(name).tallies[number]
    _count(turn, name, number, bad=True)
    if _is_health(turn, name, number):
        _set_health(turn, name, healthy=False, failures=tally.fails, detail=detail)
    if not tally.bad:
        failed = CheckFailed(name, _name(turn, name, number), tally.fails, health.on_fail, detail)
        _act(turn, failed, health.spawn, describe(health.check))


def _expired(turn: RuledTurn, name: str, number: int) -> None:
    """No look has passed for the time to live of the last one."""
    health = checks(turn.rule(name))[number]
    last = turn.life(name).tallies[number].detail
    _breach(turn, name, number, f"no check has passed for {health.ttl:g} s" + (f", the last: {last}" if last else ""))


def _not_ready(turn: RuledTurn, name: str) -> None:
    rule = turn.rule(name)
    if rule.ready is None or not turn.children[name].alive or turn.stop is not None:
        return
    detail = f"not ready after {rule.ready.timeout:g} s"
    _set_health(turn, name, healthy=False, detail=detail)
    _act(turn, CheckFailed(name, "ready", 1, rule.ready.on_fail, detail), "", "")


def _is_health(turn: RuledTurn, name: str, number: int) -> bool:
    return number == 0 and turn.rule(name).health is not None


def _name(turn: RuledTurn, name: str, number: int) -> str:
    return "health" if _is_health(turn, name, number) else checks(turn.rule(name))[number].name


def _set_health(turn: RuledTurn, name: str, *, healthy: bool, failures: int = 0, detail: str = "") -> None:
    """Publish a change of health; the first result of a run is one."""
    rule, life = turn.rule(name), turn.life(name)
    status = HEALTHY if healthy else UNHEALTHY
    changed = life.health != status
    if changed:
        turn.note(name, health=status)
        told = HealthChanged(name, healthy, failures, detail)
        turn.tell(told)
        if not healthy:
            turn.incidents = {**turn.incidents, name: Link(name, turn.now - (turn.begun or 0.0), told)}
        if rule.service is not None:
            turn.actions.append(Advertise(name, "passing" if healthy else "critical"))
    if changed or _repeats(rule.health):
        turn.publish(name, status)


def _repeats(health: Health | None) -> bool:
    return health is not None and health.repeat


def _act(turn: RuledTurn, failed: CheckFailed, spawn: str, check: str) -> None:
    """Do what `on-fail` says."""
    action = f"{ON_FAIL_SPAWN} {spawn}" if failed.action == ON_FAIL_SPAWN else failed.action
    failed = replace(failed, action=action)
    if failed.action == ON_FAIL_LOG:
        turn.tell(failed)
    elif failed.action == ON_FAIL_DEBUG and turn.rules.unattended:
        turn.tell(NotPaused(failed.name, turn.rules.unattended))
        turn.begin_stop(ExitCode.UNMET, replace(failed, action=ON_FAIL_SHUTDOWN), TERM)
    elif failed.action in (ON_FAIL_SHUTDOWN, ON_FAIL_DEBUG):
        turn.begin_stop(ExitCode.UNMET, failed, TERM)
    elif failed.action == ON_FAIL_RESTART:
        if turn.children[failed.name].leaving == STAYS:
            turn.tell(failed)
            runs.dismiss(turn, failed)
    elif spawn:
        turn.tell(failed)
        environ = (
            ("VAGGA_WATCH_NAME", failed.check),
            ("VAGGA_WATCH_PROCESS", failed.name),
            ("VAGGA_WATCH_CHECK", check),
            ("VAGGA_WATCH_FAILURES", str(failed.failures)),
        )
        gates.wake_dormant(turn, spawn, environ)


# --- watches of the run -----------------------------------------------------------------------------------------


def look_at_watch(turn: RuledTurn, watch: Watch) -> None:
    """Look at a local watch; those of Consul tell by themselves."""
    if watch.check is not None:
        turn.probe(f"watch {watch.name}", watch.check, watch.timeout)


def _watch_probed(turn: RuledTurn, name: str, result: Probed) -> None:
    watch = next(each for each in turn.rules.watches if each.name == name)
    if turn.stop is None:
        turn.set_timer(f"watch {name}", turn.now + watch.interval)
        is_file = watch.check is not None and watch.check.kind == PATH_CHECK
        state = result.value if is_file and result.value else UP
        watched(turn, name, (state,) if result.passed else ())


def watched(turn: RuledTurn, name: str, instances: tuple[str, ...]) -> None:
    """A watch has an answer: publish what is different now. A first answer without instances is `unhealthy` only."""
    before = turn.seen.get(name)
    now = tuple(sorted(instances))
    if before == now or turn.stop is not None or turn.begun is None:
        return
    turn.seen = {**turn.seen, name: now}
    turn.tell(WatchChanged(name, len(now)))
    if before is not None or now:
        turn.publish(WATCH + name, CHANGED)
    if bool(before) != bool(now) or before is None:
        turn.publish(WATCH + name, HEALTHY if now else UNHEALTHY)
