r"""Which entries of a tree count: glob rules and regular expressions of `!Copy`, `!Depends` and `!Build`. Pure.

A rule is a glob. `!` before it excludes, `\!` stands for a `!` of the name. `/` before it: it means one place, else
it matches at any depth. `/` after it: directories only. In a rule that holds a `/`, `*` and `?` stay within one name;
`**` as a whole name stands for any number of directories. `[..]` never matches a `/`, `\` takes the next character
as it is.

The last rule that names a path itself decides; if none does, the last one that names a directory above it.
Directories on the way to what a rule includes are entered, but count only with something in them.

Source: vagga.md 7.2, 7.4. Differs: the default for `#NAME#` holds at any depth in both ways of writing, not only for
a path that is one such name. Names that are not UTF-8 match too, as surrogates.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from vaggapy.build.actions import Selection

    class Selector(Protocol):
        """What tells which entries count."""

        def verdict(self, path: str, is_directory: bool) -> str:
            """Return TAKE, ENTER or SKIP for a path relative to the top."""


TAKE, ENTER, SKIP = "take", "enter", "skip"

DEFAULT_IGNORE = r"(?:^|/)(?:\.(?:git|hg|svn|vagga)|#[^/]*#)(?:/|$)|(?:~|\.bak|\.orig)$"
DEFAULT_RULES = ("!.git/", "!.hg/", "!.svn/", "!.vagga/", "!*.bak", "!*.orig", "!*~", "!#*#", "!.#*")


def selector(selection: Selection) -> Selector:
    """Return what decides on each path of a tree: TAKE it, ENTER it (it counts with something in it) or SKIP it.

    Raises:
        CommandError: a rule or an expression cannot be read.
    """
    from vaggapy.build import globs  # imports `re`, 6 ms, which a version that the index knows does not need

    if selection.rules is None:
        return globs.Expressions(selection.ignore, selection.include)
    return globs.Rules(selection.rules)
