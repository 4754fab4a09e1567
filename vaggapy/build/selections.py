"""The fields of `!Copy`, `!Depends` and `!Build` that say which files of a directory count. Pure."""

from __future__ import annotations

from vaggapy.build.actions import Selection
from vaggapy.build.kind import StepError
from vaggapy.build.rules import DEFAULT_IGNORE, DEFAULT_RULES, selector
from vaggapy.config.shapes import Field

FIELDS = {
    "ignore-regex": Field("text", "what tools leave behind"),
    "include-regex": Field("text"),
    "rules": Field("texts", "[]"),
    "no-default-rules": Field("true or false", "false"),
}
UNCOUNTED = ("ignore_regex", "include_regex", "rules", "no_default_rules")
"""What they select counts, not how it is written."""


def selection(ignore: str | None, include: str, rules: tuple[str, ...], no_default_rules: bool) -> Selection:
    """Return the selection. Rules: the usual ones for what tools leave behind come first unless they are turned off.

    Raises:
        CommandError: both kinds are mixed, or a rule or expression is not one.
    """
    if not rules:
        if no_default_rules:
            raise StepError("'no-default-rules' is given without 'rules'", "write 'rules' too", "build-values")
        chosen = Selection(None, DEFAULT_IGNORE if ignore is None else ignore, include)
    elif ignore is not None or include:
        raise StepError("'rules' and regular expressions are given", "keep one kind: rules can do both", "build-values")
    else:
        for rule in rules:
            if not rule.startswith(("/", "!")):
                raise StepError(f"rule {rule!r} does not begin with '/' or '!'", f"write '/{rule}'", "bad-rule")
        chosen = Selection(rules if no_default_rules else (*DEFAULT_RULES, *rules))
    selector(chosen)
    return chosen
