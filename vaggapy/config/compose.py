"""The spellings of Compose and process-compose -> the rules that they stand for. Pure.

What is not written has the default of the tool whose word it is, so that a file means the same here.

Source: peers.md 4.2. Differs: waiting for `service_completed_successfully` needs `once: true` at that child.
"""

from __future__ import annotations

from vaggapy.config.checks import part, program, url
from vaggapy.config.durations import duration
from vaggapy.config.rule_fields import DEPENDS_ON, HEALTHCHECK, HTTP_GET, PROBE_EXEC, READINESS_PROBE
from vaggapy.config.rules import (
    EXEC,
    HTTP,
    IS_HEALTHY,
    IS_STARTED,
    PROCESS_EXITED,
    UNLIMITED,
    Check,
    Depend,
    Health,
    Restart,
)
from vaggapy.config.tree import Mapping, Scalar, Sequence, is_null
from vaggapy.config.values import HIGHEST_ID, read_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.reach import Scope
    from vaggapy.config.tree import Node
    from vaggapy.config.values import Reader, Structure
    from vaggapy.errors import Mark

CONDITIONS = {"started": IS_STARTED, "healthy": IS_HEALTHY, "completed_successfully": PROCESS_EXITED}
"""By what follows `service_` or `process_`."""
FOREVER = 0.0
QUICK_POLL = 0.1
POLICIES = {
    "no": Restart(),
    "never": Restart(),
    "always": Restart(limit=UNLIMITED),
    "unless-stopped": Restart(limit=UNLIMITED),
    "on-failure": Restart(limit=UNLIMITED, on_success=False),
    "unlimited": Restart(limit=UNLIMITED),
}
ON_FAILURE = "on-failure"
PROBE_INTERVAL, PROBE_TIMEOUT, PROBE_THRESHOLD = 10.0, 1.0, 3
CHECK_INTERVAL, CHECK_TIMEOUT, CHECK_THRESHOLD, CHECK_START_INTERVAL = 30.0, 30.0, 3, 5.0


# --- depends_on -------------------------------------------------------------------------------------------------


def depends_on(scope: Scope, owner: str, node: Node) -> tuple[Depend, ...]:
    """Return what a list of children, or a mapping from children to conditions, waits for; it waits without end."""
    reader, what = scope.reader, "'depends_on'"
    if isinstance(node, Sequence):
        return tuple(_on(scope, owner, text, item.mark, IS_STARTED) for text, item in reader.texts(node, what) if text)
    if not isinstance(node, Mapping):
        if not is_null(node):
            reader.wrong(node, what, "a list of children or a mapping", "write '[db]' or '{db: {condition: ..}}'")
        return ()
    reader.no_tag(node, what)
    found = (_entry(scope, owner, key, value) for key, value in node.entries)
    return tuple(entry for entry in found if entry is not None)


def _entry(scope: Scope, owner: str, key: Scalar, node: Node) -> Depend | None:
    """Return what one entry of a mapping waits for, None for a child that may be missing."""
    reader = scope.reader
    if isinstance(node, Scalar) and is_null(node):
        return _on(scope, owner, key.text, key.mark, IS_STARTED)
    fields = part(reader, node, DEPENDS_ON, f"'{key.text}' of 'depends_on'", key.mark)
    if fields is None:
        return None
    fields.flag("restart")
    text = fields.text("condition", "service_started")
    _, _, word = text.replace("-", "_").partition("_")
    kind = CONDITIONS.get(word, "")
    if not kind and text:
        choices = [f"service_{word}" for word in CONDITIONS]
        remedies = {
            "completed": "write 'when: {source: CHILD, once: stopped}'",
            "log_ready": "write 'depends: [{output-matches: {child: CHILD, text: TEXT}}]'",
        }
        remedy = remedies.get(word) or reader.near(text, choices, f"one of {', '.join(choices)}")
        reader.report(fields.values["condition"].mark, f"unknown condition '{text}'", remedy, "bad-value")
    if not fields.flag("required", default=True) and key.text not in scope.names:
        return None
    return _on(scope, owner, key.text, key.mark, kind or IS_STARTED)


def _on(scope: Scope, owner: str, target: str, mark: Mark, kind: str) -> Depend:
    """Return the wait for a child."""
    scope.mention(owner, target, mark, kind)
    poll = QUICK_POLL if kind == PROCESS_EXITED else 1.0
    return Depend(Check(kind, target), timeout=FOREVER, poll=poll)


# --- healthcheck, readiness_probe -------------------------------------------------------------------------------


def healthcheck(reader: Reader, node: Node, mark: Mark) -> Health | None:
    """Return the health of Compose's `healthcheck`, None if it is disabled."""
    fields = part(reader, node, HEALTHCHECK, "'healthcheck'", mark)
    if fields is None:
        return None
    interval = duration(fields, "interval", CHECK_INTERVAL)
    found = _test(reader, fields)
    result = Health(
        found or Check(EXEC),
        interval,
        duration(fields, "timeout", CHECK_TIMEOUT),
        start_period=duration(fields, "start-period", 0.0, zero=True),
        start_interval=min(interval, duration(fields, "start-interval", CHECK_START_INTERVAL)),
        threshold=fields.number("retries", CHECK_THRESHOLD, 1, HIGHEST_ID),
    )
    return result if found is not None else None


def _test(reader: Reader, fields: Structure) -> Check | None:
    """Return the program of `test`, None for none."""
    node = fields.values.get("test")
    disabled = fields.flag("disable")
    if node is None:
        if not disabled:
            reader.report(fields.mark, "'healthcheck' has no 'test'", "as in [CMD, curl, -f, localhost]", "bad-check")
        return None
    if not isinstance(node, Sequence):
        found = program(reader, node, "'test'")
        return None if disabled else found
    words = [text for text, _ in reader.texts(node, "'test'")]
    head, rest = (words[0] if words else ""), words[1:]
    found = None
    if head == "CMD" and rest:
        found = Check(EXEC, words=tuple(rest))
    elif head == "CMD-SHELL" and len(rest) == 1:
        found = Check(EXEC, rest[0])
    elif head != "NONE" or rest:
        remedy = "a list begins with CMD, CMD-SHELL (and one text) or NONE"
        reader.report(node.mark, "'test' is no check", remedy, "bad-check")
    return None if disabled else found


def readiness_probe(reader: Reader, node: Node, mark: Mark) -> Health | None:
    """Return the health of process-compose's `readiness_probe`."""
    what = "'readiness_probe'"
    fields = part(reader, node, READINESS_PROBE, what, mark)
    if fields is None:
        return None
    both = fields.has("exec") and fields.has("http-get")
    if both or not (fields.has("exec") or fields.has("http-get")):
        remedy = "write one of 'exec' and 'http_get'"
        reader.report(mark, f"{what} does not say what to look at", remedy, "bad-check")
    found = None
    if fields.has("exec"):
        inner = part(reader, fields.values["exec"], PROBE_EXEC, "'exec'")
        if inner is not None and inner.has("command"):
            found = program(reader, inner.values["command"], "'command'")
    elif fields.has("http-get"):
        found = _http_get(reader, fields.values["http-get"])
    interval = duration(fields, "period-seconds", PROBE_INTERVAL)
    return Health(
        found or Check(EXEC),
        interval,
        duration(fields, "timeout-seconds", PROBE_TIMEOUT),
        delay=duration(fields, "initial-delay-seconds", 0.0, zero=True),
        start_interval=interval,
        threshold=fields.number("failure-threshold", PROBE_THRESHOLD, 1, HIGHEST_ID),
        successes=fields.number("success-threshold", 1, 1, HIGHEST_ID),
    )


def _http_get(reader: Reader, node: Node) -> Check | None:
    """Return the check of an address that is written in parts."""
    fields = part(reader, node, HTTP_GET, "'http_get'")
    if fields is None:
        return None
    host, path = fields.text("host") or "127.0.0.1", fields.text("path") or "/"
    scheme = fields.choice("scheme", ("http", "https"))
    port = fields.number("port", 80, 1, 65535)
    text = f"{scheme}://{host}:{port}/{path.lstrip('/')}"
    url(reader, node, text)
    return Check(HTTP, text, status=fields.number("status-code", 200, 100, 599))


# --- restart: no | always | on-failure[:N] | unless-stopped -----------------------------------------------------


def policy(reader: Reader, node: Node) -> Restart:
    """Return what a word says of restarts."""
    text = reader.text(node, "'restart'")
    word, colon, count = text.replace("_", "-").partition(":")
    if word == ON_FAILURE and colon:
        limit = read_number(count)
        if limit is None or not 0 < limit <= HIGHEST_ID:
            what = f"'{count}' of 'restart: {text}' is no number of restarts"
            reader.report(node.mark, what, "a whole number from 1", "bad-value")
            return Restart()
        return Restart(limit=limit, on_success=False)
    if word in POLICIES and not colon:
        return POLICIES[word]
    if text:
        _report_policy(reader, node, text)
    return Restart()


def _report_policy(reader: Reader, node: Node, text: str) -> None:
    """Report a word that is none of those."""
    remedies = {
        "false": "write 'no', or leave it out",
        "off": "write 'no', or leave it out",
        "true": "write 'always'",
        "yes": "write 'always'",
        "on": "write 'always'",
        "exit-on-failure": "leave it out: the end of a child stops the group, see 'mode'",
    }
    remedy = remedies.get(text.lower().replace("_", "-"), "")
    if not remedy and read_number(text) is not None:
        remedy = f"write 'restarts: {text}', or 'restart: {{limit: {text}}}'"
    if not remedy:
        remedy = reader.near(text, POLICIES, "no, always, on-failure, on-failure:N or unless-stopped")
    reader.report(node.mark, f"unknown value '{text}' of 'restart'", remedy, "bad-value")


def twin(reader: Reader, first: str, second: str, mark: Mark) -> None:
    """Report two keys that say the same."""
    reader.report(mark, f"'{first}' and '{second}' say the same", "keep one of them", "duplicate-key")
