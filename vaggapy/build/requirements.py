"""Lines of requirements files of pip: which count, and what they include. Pure."""

from __future__ import annotations

INCLUDES = (b"-r", b"-c")
LONG_INCLUDES = (b"--requirement", b"--constraint")


def requirement_lines(content: bytes) -> list[bytes]:
    """Return the lines that count: joined after a backslash, without comments, blanks around and empty lines."""
    lines, waiting = [], b""
    for raw in content.splitlines():
        line = raw.strip()
        if line.startswith(b"#"):
            continue
        if line.endswith(b"\\"):
            waiting += line[:-1].rstrip() + b" "
            continue
        line = (waiting + line).strip()
        waiting = b""
        for blank in (b" #", b"\t#"):
            line = line.partition(blank)[0].rstrip()
        if line:
            lines.append(line)
    return [*lines, waiting.strip()] if waiting.strip() else lines


def included(line: bytes) -> bytes | None:
    """Return the file that a line of requirements includes; None for other lines and for URLs."""
    name = None
    for option in LONG_INCLUDES:
        if line.startswith(option) and line[len(option) : len(option) + 1] in (b"=", b" ", b"\t"):
            name = line[len(option) + 1 :].strip()
    for option in INCLUDES:
        if line.startswith(option):
            name = line[len(option) :].strip()
    return None if not name or b"://" in name else name
