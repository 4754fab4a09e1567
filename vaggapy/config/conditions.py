"""Nodes -> what a child waits for before it starts: `depends`. Pure.

Source: supervision-systems.md 3.6, 3.7, 5.2.
"""

from __future__ import annotations

from vaggapy.config.checks import only, part, read
from vaggapy.config.durations import duration
from vaggapy.config.rule_fields import DEPEND, OUTPUT_MATCHES, PROCESS_EXITED
from vaggapy.config.rules import ABOUT_CHILDREN, EXEC, PROBES, Check, Depend
from vaggapy.config.rules import OUTPUT_MATCHES as MATCHES
from vaggapy.config.rules import PROCESS_EXITED as EXITED
from vaggapy.config.tree import Broken, Mapping, Scalar, Sequence, is_null
from vaggapy.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.reach import Scope
    from vaggapy.config.tree import Node
    from vaggapy.config.values import Structure

POLL, QUICK_POLL = 1.0, 0.1
OPTIONS = ("timeout", "poll", "retry", "on-timeout")
FAIL, SKIP = "fail", "skip"


def depends(scope: Scope, owner: str, node: Node) -> tuple[Depend, ...]:
    """Return the entries of `depends`, in their order."""
    if not isinstance(node, Sequence):
        if not is_null(node):
            scope.reader.wrong(node, "'depends'", "a list", "write '- tcp: localhost:5432' below it")
        return ()
    scope.reader.no_tag(node, "'depends'")
    found = (_depend(scope, owner, item) for item in node.items if not isinstance(item, Broken))
    return tuple(entry for entry in found if entry is not None)


def _depend(scope: Scope, owner: str, node: Node) -> Depend | None:
    """Return one entry of `depends`."""
    reader, what = scope.reader, "an entry of 'depends'"
    if isinstance(node, Scalar):
        remedy = f"write '- started: {node.text}', or what else there is to wait for"
        reader.wrong(node, what, "keys and values", remedy)
        return None
    if isinstance(node, Mapping) and any(key.text == EXEC for key, _ in node.entries):
        remedy = "run it as a child with 'once: true', and wait for that with 'process-exited'"
        reader.report(node.mark, "'depends' cannot run a program", remedy, "bad-check")
        return None
    fields = part(reader, node, DEPEND, what)
    if fields is None:
        return None
    kind = only(fields, (*PROBES, *ABOUT_CHILDREN), what)
    if kind in ABOUT_CHILDREN:
        return _about_child(scope, owner, fields, kind)
    check, inner = read(fields, kind)
    return _with_options(fields, inner, Depend(check)) if check is not None else None


def _about_child(scope: Scope, owner: str, fields: Structure, kind: str) -> Depend | None:
    """Return what only looks at another child."""
    node, reader = fields.values[kind], scope.reader
    inner, text = None, ""
    if kind == MATCHES or (kind == EXITED and isinstance(node, Mapping)):
        inner = part(reader, node, OUTPUT_MATCHES if kind == MATCHES else PROCESS_EXITED, f"'{kind}'")
        key = "child" if kind == MATCHES else "name"
        if inner is None or not inner.has(key):
            return None
        text = inner.text("text")
        if kind == MATCHES and inner.has("text") and (not text or "\n" in text):
            reader.report(inner.values["text"].mark, f"'text' of '{kind}' is no part of a line", "", "bad-check")
        node = inner.values[key]
    target = reader.text(node, f"'{kind}'")
    if not target:
        return None
    scope.mention(owner, target, node.mark, kind)
    poll = QUICK_POLL if kind == EXITED else POLL
    return _with_options(fields, inner, Depend(Check(kind, target, key=text), poll=poll))


def _with_options(fields: Structure, inner: Structure | None, entry: Depend) -> Depend:
    """Return the entry with its options, which may stand beside its check or in it."""
    outer = fields
    for key in OPTIONS:
        if inner is not None and inner.has(key):
            if outer.has(key):
                what = f"'{inner.keys[key].text}' stands inside of the check and beside it"
                fields.reader.report(inner.keys[key].mark, what, "keep one of them", "duplicate-key")
            fields = inner
    found = {key: inner if inner is not None and inner.has(key) else outer for key in OPTIONS}
    return replace(
        entry,
        timeout=duration(found["timeout"], "timeout", entry.timeout, none=True),
        poll=duration(found["poll"], "poll", entry.poll),
        retry=found["retry"].flag("retry", default=True),
        skips=found["on-timeout"].choice("on-timeout", (FAIL, SKIP)) == SKIP,
    )
