"""The rules of supervision that a child, or a whole `!Supervise`, may add to the two plain modes. Pure values.

`config/lifecycle.py` binds them, `plan` fits them to the selected children, `supervise/policy.py` and its companions
obey them. Durations are seconds; where one may be missing, 0 stands for none, unless its docstring says otherwise.

Source: supervision-systems.md 5.1, 5.2, 5.4.
"""

from __future__ import annotations

from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

UNLIMITED = -1
"""`Restart.limit` for no limit."""

# --- events that `when` can name ------------------------------------------------------------------------------

STARTUP, SHUTDOWN = "startup", "shutdown"
EXIT_SUCCESS, EXIT_FAILED = "exit-success", "exit-failed"
HEALTHY, UNHEALTHY = "healthy", "unhealthy"
STOPPING, STOPPED = "stopping", "stopped"
TIMER_EXPIRED = "timer-expired"
CHANGED = "changed"
RECEIVED = "received"
"""The event of a signal; it is not written."""

CHILD_EVENTS = (EXIT_SUCCESS, EXIT_FAILED, HEALTHY, UNHEALTHY, STOPPING, STOPPED, TIMER_EXPIRED)
WATCH_EVENTS = (CHANGED, HEALTHY, UNHEALTHY)
GLOBAL_EVENTS = (STARTUP, SHUTDOWN)
GLOBAL = "global"
"""Source of `startup` and `shutdown`."""
WATCH = "watch."
"""How the source of a watch begins."""
SIGNALS = {"SIGHUP": 1, "SIGUSR1": 10, "SIGUSR2": 12}
"""Signals that can be a source."""

# --- what a check looks at --------------------------------------------------------------------------------------

EXEC, HTTP, TCP = "exec", "http", "tcp"
PATH, FILE_CONTAINS = "path", "file-contains"
NOT_LISTENING, NOT_EXISTS, NOT_RUNNING = "not-listening", "not-exists", "not-running"
PROBES = (EXEC, HTTP, TCP, PATH, FILE_CONTAINS, NOT_LISTENING, NOT_EXISTS, NOT_RUNNING)
"""Checks that somebody has to carry out."""

PROCESS_EXITED, OUTPUT_MATCHES, IS_HEALTHY, IS_STARTED = "process-exited", "output-matches", "healthy", "started"
ABOUT_CHILDREN = (PROCESS_EXITED, OUTPUT_MATCHES, IS_HEALTHY, IS_STARTED)
"""Checks that only look at another child."""

# --- what follows a failed check --------------------------------------------------------------------------------

ON_FAIL_EVENT, ON_FAIL_LOG, ON_FAIL_RESTART, ON_FAIL_SHUTDOWN = "event", "log", "restart", "shutdown"
ON_FAIL_DEBUG, ON_FAIL_SPAWN = "debug", "spawn"
ON_FAIL = (ON_FAIL_EVENT, ON_FAIL_LOG, ON_FAIL_RESTART, ON_FAIL_SHUTDOWN, ON_FAIL_DEBUG)

TERMINATE, EVENT, IGNORE = "terminate", "event", "ignore"


class Restart(Record):
    """Whether, and after what wait, a child runs again. `limit`: restarts after the first run, or `UNLIMITED`.

    The wait is `2 * last wait - time of the run`, from `min_wait` to `max_wait`, in whole milliseconds.
    `codes` and `signals` end the restarts (`no-restart-on`): a death by signal n is also the code 128 + n.
    `at_once`: the short form `restarts:`; the first restart, and one after a run of at least `min_wait`, has no wait.
    `on_success` False: an exit with 0 is not followed by a restart (Compose's `on-failure`).
    """

    limit: int = 0
    min_wait: float = 1.0
    max_wait: float = 64.0
    codes: tuple[int, ...] = ()
    signals: tuple[int, ...] = ()
    at_once: bool = False
    on_success: bool = True


class When(Record):
    """What a child waits for before it starts: one event of a source, or the ticks of an interval.

    `source`: a child (or the name of a `for-each` for all of its members), `watch.NAME`, a name in `SIGNALS`, or
    `GLOBAL`; "" with an interval. `each`: on every such event, else only on the first. `timeout`: how long it waits
    for the first one; then it is skipped, or with `fails` counts as one that ended with 125.
    """

    source: str = ""
    event: str = ""
    each: bool = False
    interval: float = 0.0
    timeout: float = 0.0
    fails: bool = False


class Check(Record):
    """One thing that can be looked at; it passes or it does not.

    `kind` decides which fields count:
    EXEC: `words`, run in the namespaces of the child, or, until `plan` has made words of it, `target` for the shell
    of its container; passes with exit code 0.
    HTTP: a GET of the URL `target` answers `status`. TCP, NOT_LISTENING: `target` is HOST:PORT.
    PATH, NOT_EXISTS: `target` is a path below the project directory, relative to it.
    FILE_CONTAINS: the same, a file of `format` json or yaml, in which the JSONPath `key` (RFC 9535) finds something
    that is not null; the child that waits gets it in `variable`, if that is not "".
    NOT_RUNNING: no process has a command line that matches the regular expression `target`.
    PROCESS_EXITED, IS_HEALTHY, IS_STARTED: `target` is a child. OUTPUT_MATCHES: it printed a line with the text `key`.
    """

    kind: str
    target: str = ""
    words: tuple[str, ...] = ()
    status: int = 200
    key: str = ""
    format: str = "json"
    variable: str = ""


class Depend(Record):
    """One entry of `depends`. They are awaited one after the other, each with a clock of its own.

    `retry` False: it fails when it is not met at the first look. `skips`: a failure skips the child instead of
    counting as its end with 125.
    """

    check: Check
    timeout: float = 60.0
    poll: float = 1.0
    retry: bool = True
    skips: bool = False


class Health(Record):
    """A check that is repeated while a child runs: its `health`, or one entry of its `watch`, which has a `name`.

    The first check comes `delay` after the start (or after readiness, see `Ready`). While the child has not been
    healthy in this run, and for at most `start_period`, failures do not count and checks come every `start_interval`.
    `threshold` failures in a row make it unhealthy, `successes` passes in a row healthy. No pass within `ttl` makes it
    unhealthy, too. `on_fail`: one of `ON_FAIL`, or ON_FAIL_SPAWN with the dormant child `spawn`.
    `repeat`: every result is an event, not only a change.
    """

    check: Check
    interval: float
    timeout: float
    name: str = ""
    ttl: float = 0.0
    delay: float = 0.0
    start_period: float = 0.0
    start_interval: float = 1.0
    threshold: int = 1
    successes: int = 1
    on_fail: str = ON_FAIL_EVENT
    spawn: str = ""
    repeat: bool = False


class Ready(Record):
    """How a child says that it is ready; exactly one of the first three is set.

    Ready, and checked if there is a `health`, is healthy. Not ready within `timeout` is unhealthy, and `on_fail`
    follows as with `Health`.
    `notify`: the protocol of sd_notify(3). `fd`: a newline on this descriptor, the protocol of s6; -1 for none.
    `line`: a line of its output that has this text.
    """

    notify: bool = False
    fd: int = -1
    line: str = ""
    timeout: float = 0.0
    on_fail: str = ON_FAIL_EVENT


class Stop(Record):
    """How a child is stopped. `signal` 0: the one that vagga got, else SIGTERM.

    `timeout`: from the signal to the kill, -1 for that of the group, 0 to kill at once.
    `hook_timeout`: how long children may run that wait for its `stopping` or `stopped`, -1 for `Rules.hook_window`.
    """

    signal: int = 0
    timeout: float = -1.0
    hook_timeout: float = -1.0


class Service(Record):
    """A child as a service in Consul.

    `status`: passing, warning or critical from its start on, "" to register it at its first pass. `interfaces`: where
    its address is looked for, the first that matches. `deregister_after`: as Consul writes durations, "" for never.
    """

    port: int
    status: str = ""
    tags: tuple[str, ...] = ()
    interfaces: tuple[str, ...] = ("eth0:inet", "inet")
    tag_override: bool = False
    deregister_after: str = ""


class Watch(Record):
    """One entry of `watches`: a source of the events `changed`, `healthy` and `unhealthy`.

    With a `service` Consul is asked for its healthy instances, those with `tag` in data centre `datacenter` (""
    for any); else `check` (http, tcp or path) is repeated.
    """

    name: str
    interval: float
    check: Check | None = None
    service: str = ""
    tag: str = ""
    datacenter: str = ""
    timeout: float = 5.0


class Consul(Record):
    """Where Consul is. `address`: http://HOST:PORT or https://...; files are paths of the host."""

    address: str
    token: str = ""
    ca_file: str = ""
    ca_path: str = ""
    client_cert: str = ""
    client_key: str = ""
    server_name: str = ""
    verify: bool = True


class ForEach(Record):
    """A child that stands for several: one for each value, which it gets in `variable`, in the order of the values.

    `glob`: the values are the matching paths of the project, relative to it, sorted by their bytes; else `values`.
    """

    variable: str
    glob: str = ""
    values: tuple[str, ...] = ()


class Output(Record):
    """A value that the child `child` writes: `KEY=VALUE` in the file that its `VAGGA_OUTPUT` names."""

    child: str
    key: str


class Rule(Record):
    """Everything that one child adds to the plain modes. `Rule()` is a plain child.

    `timeout`: longest run, then SIGKILL. `coprocess`: `role: coprocess`. `once`: an exit with 0 is its completion, in
    every mode. `dormant`: `autostart: false`. `condition`: a program of the child's container, () for none; unless it
    exits with 0, the child is skipped. `reads`: the outputs of others that its `run` and `environ` have. `fills`: its
    variables with such texts, as they are written; `plan` adds those that stand for them in a text for a shell.
    `fills_words`: its command line has some, too.
    """

    restart: Restart = Restart()
    timeout: float = 0.0
    coprocess: bool = False
    once: bool = False
    dormant: bool = False
    when: When | None = None
    depends: tuple[Depend, ...] = ()
    condition: Check | None = None
    health: Health | None = None
    watches: tuple[Health, ...] = ()
    ready: Ready | None = None
    stop: Stop = Stop()
    service: Service | None = None
    for_each: ForEach | None = None
    reads: tuple[Output, ...] = ()
    fills: Mapping[str, str] = {}
    fills_words: bool = False


class Rules(Record):
    """The rules of one `!Supervise`. `children` has an entry for each child that has a rule.

    `signals`: what HUP, USR1 and USR2 do, by number: TERMINATE, EVENT or IGNORE. `families`: the members of each
    `for-each`, in their order. `debug`: pause before a stop that no signal asks for (`--debug`). `unattended`: why
    nobody can be asked to end a pause, "" if somebody can. `plan` fills these three.
    """

    children: Mapping[str, Rule] = {}
    hook_window: float = 5.0
    signals: Mapping[int, str] = {}
    watches: tuple[Watch, ...] = ()
    consul: Consul | None = None
    families: Mapping[str, tuple[str, ...]] = {}
    debug: bool = False
    unattended: str = ""
