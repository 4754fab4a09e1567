"""What the policy is told, what it tells others, and what it asks for: events, reports and actions. Pure values.

Times are seconds of one monotonic clock. `incarnation` counts the starts of one child from 1, so that late news of an
earlier one is recognised.
"""

from __future__ import annotations

from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.rules import Check

HUP, INT, QUIT, PIPE, TERM, CONT, TSTP = 1, 2, 3, 13, 15, 18, 20
HANGUP = 1000
"""Stands for a SIGHUP because the terminal is gone: it stops the run also where a child waits for SIGHUP."""

GRACE = "grace"
"""Id of the timer that says that the time to stop is over (3.6). Rules add others, of two or more words."""

FIRST, SUCCESS, REQUESTED = "first", "success", "requested"
"""Why a child's end matters: it began the stop; it is tolerated; the stop had begun before."""
RESTARTS, ASIDE, NOTED, PAUSED = "restarts", "aside", "noted", "paused"
"""More with rules: it will run again; it is not essential; a failure, the others go on; in the pause of the stop."""

READY = "ready"
"""What `Became` says."""


# --- events: what happened ----------------------------------------------------------------------------------


class Begin(Record):
    """Everything is prepared, children may be started."""

    now: float


class Started(Record):
    """The program of a child runs. `pid` is that of its PID 1, as the supervisor sees it."""

    now: float
    name: str
    incarnation: int
    pid: int


class Exited(Record):
    """A child is gone, with everything in its namespaces. `code` counts only when `signal` is 0."""

    now: float
    name: str
    incarnation: int
    code: int
    signal: int = 0
    core: bool = False


class SpawnFailed(Record):
    """A child could not be started; `code` is 127, 126 or 124 and counts as its exit, `why` is for people."""

    now: float
    name: str
    incarnation: int
    code: int
    why: str


class Signalled(Record):
    """The supervisor got a signal; PIPE stands for a closed standard output."""

    now: float
    signal: int


class TimerFired(Record):
    """The deadline of `SetTimer(id, at)` has passed."""

    now: float
    id: str


class SpawnerLost(Record):
    """The spawner died: the kernel kills every child, and nothing can be started."""

    now: float


class Probed(Record):
    """The result of `Probe(id, number)`.

    `detail` says why it did not pass; `value`: of FILE_CONTAINS, or what tells one state of a watched thing from
    another.
    """

    now: float
    id: str
    number: int
    passed: bool
    detail: str = ""
    value: str = ""


class Became(Record):
    """A child said something of itself; `what` is READY."""

    now: float
    name: str
    incarnation: int
    what: str


class Matched(Record):
    """A child printed a line that has `text`, one of those in `policy.wanted_lines`."""

    now: float
    name: str
    incarnation: int
    text: str


class Watched(Record):
    """The catalog knows these healthy instances of a watch, sorted; sent at the first answer and at every change."""

    now: float
    watch: str
    instances: tuple[str, ...]


class Resumed(Record):
    """The pause that `Pause` asked for is over: somebody has pressed ENTER."""

    now: float


Event = (
    Begin
    | Started
    | Exited
    | SpawnFailed
    | Signalled
    | TimerFired
    | SpawnerLost
    | Probed
    | Became
    | Matched
    | Watched
    | Resumed
)


# --- records: what people and programs are told -------------------------------------------------------------


class ChildStarted(Record):
    """A child runs."""

    name: str
    incarnation: int
    pid: int


class ChildEnded(Record):
    """A child ended. `code` is what it counts as, 128+n for signal n; `seconds` since it started.

    `alone`: it failed, and no other child goes on.
    """

    name: str
    incarnation: int
    pid: int
    code: int
    signal: int
    core: bool
    seconds: float
    cause: str
    alone: bool = False


class ChildNotStarted(Record):
    """A child could not be started; `cause` is FIRST or REQUESTED."""

    name: str
    incarnation: int
    code: int
    why: str
    cause: str


class ChildUnmet(Record):
    """A child never started: what it waits for did not come. It counts as an end with `code`, or as `skipped`."""

    name: str
    what: str
    why: str
    skipped: bool = False
    code: int = 125
    cause: str = FIRST


class ChildSkipped(Record):
    """A child is not to run: its condition does not hold."""

    name: str
    code: int


class Restarting(Record):
    """A child runs again in `wait` seconds; `left` restarts remain after this one, -1 for any number."""

    name: str
    wait: float
    left: int


class Waiting(Record):
    """A child waits now: for `what`, with `more` to come after it."""

    name: str
    what: str
    more: int = 0


class Met(Record):
    """What a child waited for is there."""

    name: str
    what: str


class HealthChanged(Record):
    """A child became healthy or unhealthy; `failures` in a row before, `detail` of the last one."""

    name: str
    healthy: bool
    failures: int = 0
    detail: str = ""


class CheckFailed(Record):
    """A check of a running child failed often enough that `action` follows, one of `rules.ON_FAIL` or `spawn NAME`.

    `check`: its name, "health" or "ready" for those.
    """

    name: str
    check: str
    failures: int
    action: str
    detail: str = ""


class CheckRecovered(Record):
    """A check passes again after `CheckFailed`."""

    name: str
    check: str
    failures: int


class TookTooLong(Record):
    """A child is killed: it ran for its whole `timeout`, or, being a hook, delays the stop of `hook_of`."""

    name: str
    seconds: float
    hook_of: str = ""


class NotSpawned(Record):
    """A child is not started because it runs already: a tick of its interval, or a failed check that asks for it."""

    name: str


class WatchChanged(Record):
    """A watch sees other instances than before."""

    watch: str
    instances: int


class NeverStarted(Record):
    """Nothing that is essential can go on: each of these waits for something that cannot come. (name, what)."""

    waiting: tuple[tuple[str, str], ...]


class SignalReceived(Record):
    """The supervisor got a signal. `stopping`: the stop had begun before; `killing`: this one kills."""

    signal: int
    stopping: bool
    killing: bool = False


class SpawnerEnded(Record):
    """The spawner died, and with it every child."""

    stopping: bool


class StillAlive(Record):
    """The time to stop, `seconds`, is over and these are killed now."""

    names: tuple[str, ...]
    seconds: float


Cause = ChildEnded | ChildNotStarted | SignalReceived | SpawnerEnded | ChildUnmet | NeverStarted | CheckFailed


class Link(Record):
    """One link in the chain of causes: the report of what happened to `name`, `at` seconds after the run began."""

    name: str
    at: float
    told: ChildEnded | ChildNotStarted | ChildUnmet | CheckFailed | HealthChanged


class StopPaused(Record):
    """The run pauses before its stop. `chain`: what led to it, the cause first; `running`: children (name, pid)."""

    chain: tuple[Link, ...]
    running: tuple[tuple[str, int], ...]


class StopResumed(Record):
    """The pause is over, and the stop goes on; `why`: as in `state`, such as ANSWERED."""

    why: str


class NotPaused(Record):
    """There is no pause, although `name` asks for one: nobody could be asked to end it, `why` says it."""

    name: str
    why: str


class Ended(Record):
    """The run is over. No cause: all essential `children` ended well, or there were none. `seconds` since Begin.

    `chain`: what led to the cause, from the cause back to what happened first; () where nothing failed by itself.
    """

    code: int
    cause: Cause | None
    seconds: float
    children: int
    chain: tuple[Link, ...] = ()


Told = (
    ChildStarted
    | ChildEnded
    | ChildNotStarted
    | ChildUnmet
    | ChildSkipped
    | Restarting
    | Waiting
    | Met
    | HealthChanged
    | CheckFailed
    | CheckRecovered
    | TookTooLong
    | NotSpawned
    | WatchChanged
    | NeverStarted
    | SignalReceived
    | SpawnerEnded
    | StillAlive
    | StopPaused
    | StopResumed
    | NotPaused
    | Ended
)


# --- actions: what to do ------------------------------------------------------------------------------------


class Spawn(Record):
    """Start a child; `Started` or `SpawnFailed` answers, and in the end `Exited`.

    `condition`: not its program, but its condition, in the same sandbox. `environ`: more variables, for this run.
    """

    name: str
    incarnation: int
    condition: bool = False
    environ: tuple[tuple[str, str], ...] = ()


class Signal(Record):
    """Send a signal to the process group of a child's command."""

    name: str
    signal: int


class Kill(Record):
    """Kill everything in a child's namespaces, or as soon as there is something."""

    name: str


class Suspend(Record):
    """Stop every process of a child until `Resume`."""

    name: str


class Resume(Record):
    """Continue every process of a child."""

    name: str


class SuspendSelf(Record):
    """Stop the supervisor itself, after the suspensions before it were carried out."""


class SetTimer(Record):
    """Deliver `TimerFired(id)` at the time `at`."""

    id: str
    at: float


class CancelTimer(Record):
    """Forget the timer."""

    id: str


class Report(Record):
    """Tell observers."""

    record: Told


class Finish(Record):
    """Nothing is alive and nothing will be: end with `code`."""

    code: int


class Probe(Record):
    """Carry out a check within `timeout` seconds; `Probed(id, number)` answers, unless `Abandon(id)` comes first.

    `child`: in whose namespaces an EXEC runs, "" for none. Of one id there is one probe at a time; of the next one
    the number is higher.
    """

    id: str
    number: int
    check: Check
    timeout: float
    child: str = ""


class Abandon(Record):
    """End a probe; nobody waits for its result."""

    id: str


class Advertise(Record):
    """Tell the catalog of a child with a `service`: `passing`, `warning`, `critical`, or `gone`."""

    name: str
    status: str


class Pause(Record):
    """Let the user look around, until `Resumed` answers or `Proceed` says that nobody need."""


class Proceed(Record):
    """The pause is over."""


Action = (
    Spawn
    | Signal
    | Kill
    | Suspend
    | Resume
    | SuspendSelf
    | SetTimer
    | CancelTimer
    | Report
    | Finish
    | Probe
    | Abandon
    | Advertise
    | Pause
    | Proceed
)
