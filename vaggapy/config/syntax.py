"""What the YAML parser complains about, in plain words and with the place that the writer must change. Pure.

The parser tells what it met; people want to know what to do. Where the lines around the place show one of the
usual slips (children below `mode:`, a key that hangs below a finished value), they decide; else the table does.
"""

from __future__ import annotations

from vaggapy.errors import Mark, Problem
from vaggapy.record import Record

NAME = "yaml-syntax"
CHILD_TAGS = ("!Command", "!BridgeCommand")


class Complaint(Record):
    """What the parser said: its words, the place where it gave up and the place where the unfinished thing began.

    Lines and columns count from 1; 0 means that the parser did not say.
    """

    words: str
    line: int
    column: int
    began_line: int = 0
    began_column: int = 0


class Slip(Record):
    """One row of the table: a part of the parser's words, what we say, and where it points."""

    part: str
    what: str
    remedy: str
    at_begin: bool = False


FIT = "indent it like its neighbours, and close quotes and brackets in the lines before it"
SLIPS = (
    Slip("mapping values are not allowed", "a ':' has no place here", "put text that holds ': ' in quotes"),
    Slip("sequence entries are not allowed", "a list item has no place here", "begin the list on a line of its own"),
    Slip("mapping keys are not allowed", "a '?' has no place here", "put the text in quotes"),
    Slip("found character '\\t'", "a tab cannot indent", "indent with spaces"),
    Slip("that cannot start any token", "unquoted text cannot begin with this character", "put the text in quotes"),
    Slip("could not find expected ':'", "this line has no ':'", "write 'key: value', or quote text that goes on", True),
    Slip("but found '-'", "a list item stands among keys", "indent the '-' below the key that it belongs to"),
    Slip("expected <block end>", "this line does not fit the lines before it", FIT),
    Slip("expected ',' or ']'", "the '[' here is not closed", "add ']', or ',' between the items", True),
    Slip("expected ',' or '}'", "the '{' here is not closed", "add '}', or ',' between the entries", True),
    Slip("expected the node content", "a value is missing here", "write it, or take the sign before it away"),
    Slip("unexpected end of stream", "the quote that opens here is not closed", "add the closing quote", True),
    Slip("document separator", "the quote that opens here is not closed", "add the closing quote", True),
    Slip("unknown escape", "unknown escape in double quotes", "double the backslash, or use single quotes"),
    Slip("escape sequence", "unfinished escape in double quotes", "double the backslash, or use single quotes"),
    Slip("expected chomping", "text after '|' or '>'", "begin the text on the next line"),
    Slip("block scalar", "the indentation of this text is not clear", "indent all of it alike"),
    Slip("expected alphabetic", "'*' or '&' without a name", "put text that begins with '*' or '&' in quotes"),
    Slip("incompatible YAML", "a version of YAML that is not supported", "take the '%YAML' line away"),
)


def explain(file: str, complaint: Complaint, lines: list[str]) -> Problem:
    """Return the problem that the user reads for what the parser said about `lines`."""
    seen = _hanging(file, complaint.line, lines) or _unfitting(file, complaint, lines)
    if seen:
        return seen
    for slip in SLIPS:
        if slip.part in complaint.words:
            at_begin = slip.at_begin and complaint.began_line
            line, column = (
                (complaint.began_line, complaint.began_column) if at_begin else (complaint.line, complaint.column)
            )
            return Problem(Mark(file, line, column), slip.what, slip.remedy, NAME)
    words = " ".join(complaint.words.split())[:120]
    return Problem(Mark(file, complaint.line, complaint.column), f"not valid YAML: {words}", "", NAME)


def _hanging(file: str, line: int, lines: list[str]) -> Problem | None:
    """Return the problem of a key that is indented below a key which already has a value, None if it is not that."""
    if not 1 <= line <= len(lines):
        return None
    this = lines[line - 1]
    key, colon, value = this.strip().partition(":")
    above = next((text for text in reversed(lines[: line - 1]) if _content(text)), "")
    parent, parent_colon, parent_value = _content(above).partition(":")
    if not (colon and _word(key) and parent_colon and _word(parent) and _content(parent_value)):
        return None
    if _content(parent_value)[0] in '|>[{&*!"' or _indent(this) <= _indent(above):
        return None
    mark = Mark(file, line, _indent(this) + 1)
    if parent == "mode" or value.strip().startswith(CHILD_TAGS):
        return Problem(
            mark,
            f"child '{key}' is written below '{parent}'",
            f"put a line 'children:' above it, indented like '{parent}'",
            "children-place",
        )
    what = f"'{key}' is indented below '{parent}', which already has a value"
    return Problem(mark, what, f"indent it like '{parent}', or put the value of '{parent}' in quotes", NAME)


def _unfitting(file: str, complaint: Complaint, lines: list[str]) -> Problem | None:
    """Return the problem of text that follows a finished value, or of a line without ':' before this one."""
    if not 1 <= complaint.line <= len(lines):
        return None
    this, number = lines[complaint.line - 1], complaint.line - 1
    if "expected <block end>" in complaint.words and _content(this[: complaint.column - 1]):
        what, remedy = "text after the end of the value", "put the whole value in quotes, and double quotes inside it"
        return Problem(Mark(file, complaint.line, complaint.column), what, remedy, NAME)
    if "mapping values are not allowed" in complaint.words and this.strip().partition(":")[2][:1] in ("", " "):
        above = lines[number - 1] if number else ""
        if _content(above) and ":" not in above and _indent(above) == _indent(this):
            mark = Mark(file, number, _indent(above) + 1)
            return Problem(mark, "this line has no ':'", "write 'key: value', or quote text that goes on", NAME)
    return None


def _content(line: str) -> str:
    """Return the line without its indentation and its comment."""
    text = line.strip()
    return "" if text.startswith("#") else text.partition(" #")[0].rstrip()


def _word(key: str) -> bool:
    """Tell whether `key` looks like a key that a person wrote."""
    return bool(key) and len(key) <= 100 and not any(c in " \t'\"[]{}#,&*!|>%@`" for c in key)


def _indent(line: str) -> int:
    """Return the number of characters before the text of the line."""
    return len(line) - len(line.lstrip())
