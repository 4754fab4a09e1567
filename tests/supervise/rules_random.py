"""Random rules that a checked vagga.yaml could have: a child refers only to those before it, so there is no cycle."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vaggapy.config.model import KEEP_GOING, MODES
from vaggapy.config.rules import (
    CHANGED,
    EXEC,
    EXIT_FAILED,
    EXIT_SUCCESS,
    FILE_CONTAINS,
    GLOBAL,
    HEALTHY,
    IS_HEALTHY,
    IS_STARTED,
    ON_FAIL,
    ON_FAIL_SPAWN,
    OUTPUT_MATCHES,
    PROCESS_EXITED,
    RECEIVED,
    SHUTDOWN,
    SIGNALS,
    STARTUP,
    STOPPED,
    STOPPING,
    TCP,
    TIMER_EXPIRED,
    UNHEALTHY,
    UNLIMITED,
    WATCH,
    Check,
    Depend,
    Health,
    Ready,
    Restart,
    Rule,
    Rules,
    Service,
    Stop,
    Watch,
    When,
)
from vaggapy.record import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WATCHES = (
    Watch("db", 2.0, service="mysql"),
    Watch("web", 2.0, Check(TCP, "w:1")),
)
DORMANT = "z"
FAMILY = "n"
HOOKS = (STOPPING, STOPPED, SHUTDOWN)
EXITS = (EXIT_SUCCESS, EXIT_FAILED, STOPPED, STOPPING, TIMER_EXPIRED)


class Setup(NamedTuple):
    """What `policy.initial` is given. `outside`: something from outside can start a child.

    `calm`: children live long and checks mostly pass, so that the run becomes old.
    """

    mode: str
    names: tuple[str, ...]
    grace: float
    rules: Rules
    outside: bool
    calm: bool


def setup(draw: Iterator[int]) -> Setup:
    """Return a group of one to six children."""

    def pick() -> int:
        return next(draw, 0)

    names = ("d", "a", "c", "b", "f", "e")[: 1 + pick() % 6]
    children: dict[str, Rule] = {}
    dormant = DORMANT if pick() % 3 == 0 else ""
    for name in names:
        children[name] = child(pick, children, dormant)
    families: dict[str, tuple[str, ...]] = {}
    if pick() % 4 == 0:
        families[FAMILY] = ("n-0", "n-1")[: pick() % 3]
        member = child(pick, {}, dormant)
        children.update(dict.fromkeys(families[FAMILY], member))
        about = {**children, FAMILY: member}
        children["m"] = child(pick, about, dormant, sources=(FAMILY,))
    if not any(essential(rule) for rule in children.values()):
        # `plan` makes main children of coprocesses when there are no others.
        children["d"] = replace(children["d"], coprocess=False, when=None)
    if dormant:
        children[DORMANT] = replace(child(pick, {}, ""), dormant=True, when=None)
    calm = pick() % 3 > 0
    if calm:
        children["d"] = Rule(restart=Restart(UNLIMITED, 0.5, 8.0), health=children["d"].health)
    watched = any(rule.when is not None and rule.when.source.startswith(WATCH) for rule in children.values())
    outside = watched or any(rule.when is not None and rule.when.source in SIGNALS for rule in children.values())
    rules = Rules(
        children=children,
        hook_window=(5.0, 1.0)[pick() % 2],
        signals={12: "event", 10: "ignore"} if pick() % 2 else {},
        watches=WATCHES if watched else (),
        families=families,
        debug=pick() % 3 > 0,
        unattended="" if pick() % 4 else "no terminal",
    )
    mode = MODES[pick() % 3] if pick() % 2 else KEEP_GOING
    return Setup(mode, tuple(children), pick() % 4 / 2, rules, outside, calm)


def essential(rule: Rule) -> bool:
    """Tell whether a run may be about this child: it is main, and no hook."""
    return not rule.coprocess and (rule.when is None or rule.when.event not in HOOKS)


def child(pick: Callable[[], int], before: dict[str, Rule], dormant: str, sources: tuple[str, ...] = ()) -> Rule:
    """Return the rule of one child. `sources`: what it may refer to, all that came before if nothing is said."""
    sources = sources or tuple(before)
    when = when_of(pick, before, sources)
    hook = when is not None and when.event in HOOKS
    health = health_of(pick, dormant) if pick() % 3 == 0 else None
    ready = ready_of(pick) if pick() % 6 == 0 else None
    each = when is not None and (when.each or when.source in SIGNALS)
    return Rule(
        restart=restart_of(pick, each),
        timeout=2.0 if pick() % 8 == 0 else 0.0,
        coprocess=pick() % 5 == 0,
        once=pick() % 3 == 0,
        when=when,
        depends=() if hook else depends_of(pick, before, sources),
        condition=Check(EXEC, words=("test",)) if not hook and pick() % 9 == 0 else None,
        health=health,
        watches=(replace(health_of(pick, dormant), name="disk"),) if pick() % 7 == 0 else (),
        ready=ready,
        stop=Stop((0, 2)[pick() % 2], (-1.0, -1.0, 0.0, 0.5, 5.0)[pick() % 5], (-1.0, 1.0)[pick() % 2]),
        service=Service(80, ("", "warning")[pick() % 2]) if health is not None and pick() % 3 == 0 else None,
    )


def restart_of(pick: Callable[[], int], each: bool) -> Restart:
    kind = pick() % 6
    if kind < 2:
        return Restart()
    limit = (1, 2, 3, UNLIMITED)[pick() % 4]
    if each and limit == UNLIMITED:
        limit = 1
    least = (0.0, 0.5, 1.0)[pick() % 3]
    codes = ((), (0,), (3,), (137,))[pick() % 4]
    return Restart(limit, least, 8.0, codes, (9,) if pick() % 5 == 0 else (), kind == 2, kind != 3)


def when_of(pick: Callable[[], int], before: dict[str, Rule], sources: tuple[str, ...]) -> When | None:
    kind = pick() % 12
    timeout = 3.0 if pick() % 4 == 0 else 0.0
    if kind < 4:
        return None
    if kind == 4:
        return When(interval=(0.5, 2.0)[pick() % 2])
    if kind == 5:
        return When(("SIGUSR2", "SIGHUP")[pick() % 2], RECEIVED, each=True)
    if kind == 6:
        event = (CHANGED, HEALTHY, UNHEALTHY)[pick() % 3]
        return When(WATCH + WATCHES[pick() % 2].name, event, pick() % 2 == 0, timeout=timeout)
    if kind == 7 or not sources:
        return When(GLOBAL, (SHUTDOWN, STARTUP)[pick() % 2])
    source = sources[pick() % len(sources)]
    rule = before[source]
    events = (*EXITS, HEALTHY, UNHEALTHY) if rule.health or rule.ready else EXITS
    event = events[pick() % len(events)]
    if kind == 8:
        event = (STOPPING, STOPPED)[pick() % 2]
    return When(source, event, pick() % 3 == 0, timeout=timeout, fails=pick() % 2 == 0)


def depends_of(pick: Callable[[], int], before: dict[str, Rule], sources: tuple[str, ...]) -> tuple[Depend, ...]:
    found = []
    for _ in range((0, 0, 0, 1, 2)[pick() % 5]):
        kind, source = pick() % 6, sources[pick() % len(sources)] if sources else ""
        check = Check(TCP, "x:1")
        if kind == 1:
            check = Check(FILE_CONTAINS, "out.json", key="$.a", variable="A")
        elif kind == 2 and source and before[source].once:
            check = Check(PROCESS_EXITED, source)
        elif kind == 3 and source and (before[source].health or before[source].ready):
            check = Check(IS_HEALTHY, source)
        elif kind == 4 and source:
            check = Check(IS_STARTED, source)
        elif kind == 5 and source:
            check = Check(OUTPUT_MATCHES, source, key="up")
        timeout = (60.0, 1.0, 0.0)[pick() % 3]
        found.append(Depend(check, timeout, (1.0, 0.1)[pick() % 2], pick() % 6 != 0, pick() % 4 == 0))
    return tuple(found)


def health_of(pick: Callable[[], int], dormant: str) -> Health:
    interval = (1.0, 3.0)[pick() % 2]
    on_fail = ON_FAIL[pick() % len(ON_FAIL)]
    spawn = ""
    if dormant and pick() % 3 == 0:
        on_fail, spawn = ON_FAIL_SPAWN, dormant
    return Health(
        (Check(EXEC, words=("ok",)), Check(TCP, "h:1"))[pick() % 2],
        interval,
        (interval, 0.5)[pick() % 2],
        ttl=(0.0, 2 * interval, 0.8)[pick() % 3],
        delay=(0.0, 0.5)[pick() % 2],
        start_period=(0.0, interval, 5.0)[pick() % 3],
        start_interval=min(interval, 1.0),
        threshold=1 + pick() % 3,
        successes=1 + pick() % 2,
        on_fail=on_fail,
        spawn=spawn,
        repeat=pick() % 3 == 0,
    )


def ready_of(pick: Callable[[], int]) -> Ready:
    notify = pick() % 2 == 0
    return Ready(
        notify, line="" if notify else "up", timeout=(0.0, 2.0)[pick() % 2], on_fail=ON_FAIL[pick() % len(ON_FAIL)]
    )
