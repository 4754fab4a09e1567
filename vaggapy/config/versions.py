"""Compare versions as vagga does. Pure.

Source: vagga.md 2.2. A version is its runs of letters and digits; a run that begins with a digit counts by its
leading digits and is above every word; words of pre-releases are below the end of the version, others above.
Differs: digits at the end of a word do not hide it, `rc1` is a pre-release as `rc` is.
"""

from __future__ import annotations

BELOW_END = ("a", "b", "c", "rc", "pre", "dev", "dirty")

Part = tuple[int, int, str]
END: Part = (1, 0, "")


def older(left: str, right: str) -> bool:
    """Tell whether version `left` is older than version `right`."""
    mine, theirs = _parts(left), _parts(right)
    length = max(len(mine), len(theirs))
    return mine + [END] * (length - len(mine)) < theirs + [END] * (length - len(theirs))


def _parts(version: str) -> list[Part]:
    """Return the runs of a version, ordered: pre-release words, the end, other words, numbers."""
    plain = "".join(c if c.isascii() and c.isalnum() else " " for c in version.removeprefix("v"))
    return [_part(run) for run in plain.split()]


def _part(run: str) -> Part:
    """Return the rank of one run: of words by their text, of numbers by their leading digits."""
    digits = len(run) - len(run.lstrip("0123456789"))
    if digits:
        return (3, int(run[:digits]), "")
    word = run.rstrip("0123456789")
    return (0 if word in BELOW_END or run.startswith("g") else 2, 0, run)
