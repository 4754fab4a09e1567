"""The state of a run, as the policy keeps it between two steps. Pure values."""

from __future__ import annotations

from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from vaggapy.config.rules import Rules
    from vaggapy.supervise.events import Cause, ChildEnded, ChildNotStarted, ChildUnmet, Link
    from vaggapy.supervise.ruled.life import Life

WAITING, STARTING, RUNNING, DONE = "waiting", "starting", "running", "done"
BACKOFF, IDLE, DORMANT = "backoff", "idle", "dormant"
"""Phases that only rules lead to: until it restarts; until the next trigger; until somebody asks for it."""
PHASES = (WAITING, STARTING, RUNNING, BACKOFF, IDLE, DORMANT, DONE)

STAYS, ANNOUNCED, ASKED, KILLED = 0, 1, 2, 3
"""How far a child is on its way out: not at all; its hooks run; it got a signal; it was killed."""

ANSWERED, INTERRUPTED, NOBODY = "answered", "interrupted", "nobody"
"""How the pause before a stop ends: somebody pressed ENTER; a signal came; no child is left to look at."""


class Child(Record):
    """One child: its phase, its latest incarnation (0: none yet), and since when that one runs.

    `life`: what rules need to know of it, None in a run without rules.
    """

    phase: str = WAITING
    incarnation: int = 0
    pid: int = 0
    since: float = 0.0
    leaving: int = STAYS
    life: Life | None = None

    @property
    def alive(self) -> bool:
        """Tell whether a process may exist (1.2)."""
        return self.phase == RUNNING or self.phase == STARTING


class Stop(Record):
    """The stop, once begun. `code` and `cause` never change; no cause: the run is complete.

    `signal`: what children are asked with, 0 for nothing. `sent`: every signal that children got so far, once each;
    `asked`: how many INT, QUIT and TERM came. `barren`: nothing is started any more, hooks included. `held`: it has
    begun, but pauses before anybody is asked to end.
    """

    code: int
    cause: Cause | None
    signal: int
    sent: tuple[int, ...] = ()
    asked: int = 0
    barren: bool = False
    held: bool = False


class State(Record):
    """The whole run. `children` is sorted by name and never changed in place; `begun` is the time of Begin.

    `timers`: when each is due. The rest is for runs with rules: `order`, the names as the file has them; `triggered`
    and `gated`, those of them that wait for an event, and for a dependency; `essential`, those that the run is about;
    `probes`, the number of the one under way by id, and how many there were; `seen`, the instances of each watch that
    has answered; `fired`, the events that each family has had; `noted`, the first failure of a run that goes on;
    `incidents`, the last trouble of each child; `delayed`, the events of children that are delivered when the pause is
    over.
    """

    mode: str
    grace: float
    children: Mapping[str, Child]
    begun: float | None = None
    stop: Stop | None = None
    suspended: bool = False
    finished: bool = False
    timers: Mapping[str, float] = {}
    rules: Rules | None = None
    order: tuple[str, ...] = ()
    triggered: tuple[str, ...] = ()
    gated: tuple[str, ...] = ()
    essential: frozenset[str] = frozenset()
    probes: Mapping[str, int] = {}
    probed: int = 0
    seen: Mapping[str, tuple[str, ...]] = {}
    fired: frozenset[tuple[str, str]] = frozenset()
    noted: ChildEnded | ChildNotStarted | ChildUnmet | None = None
    incidents: Mapping[str, Link] = {}
    delayed: tuple[tuple[str, str], ...] = ()
