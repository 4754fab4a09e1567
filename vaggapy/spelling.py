"""Find the name that a mistyped word most likely stands for. Pure, no imports."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST = 40
"""Words longer than this get no suggestion: nobody mistypes them, and comparing costs the product of the lengths."""


def closest(word: str, choices: Iterable[str]) -> str:
    """Return the choice that `word` most likely means, '' when none is near.

    Near is one mistake in words of up to five characters, two in longer ones and three in those of ten or more;
    a mistake is a missing, added, wrong or swapped character. Case and the difference of `-` and `_` are free.
    The first of equally near choices wins. Where none is near, the only one that begins with `word` is meant.
    """
    plain = _plain(word)
    if not plain or len(plain) > LONGEST:
        return ""
    choices = tuple(choices)
    best, least = "", _allowed(plain) + 1
    for choice in choices:
        other = _plain(choice)
        if choice == word or not other or len(other) > LONGEST or abs(len(other) - len(plain)) >= least:
            continue
        found = _distance(plain, other, least)
        if found < least and found < max(len(plain), len(other)):
            best, least = choice, found
    longer = [choice for choice in choices if len(plain) > 1 and _plain(choice).startswith(plain) and choice != word]
    return best or (longer[0] if len(longer) == 1 else "")


def _plain(word: str) -> str:
    """Return `word` without the differences that do not count."""
    return word.lower().replace("_", "-")


def _allowed(word: str) -> int:
    """Return how many mistakes a word of this length may hold."""
    if len(word) < 6:
        return 1
    return 2 if len(word) < 10 else 3


def _distance(left: str, right: str, limit: int) -> int:
    """Return the number of mistakes between two words, or `limit` as soon as it is reached."""
    before: list[int] = []
    last = list(range(len(right) + 1))
    for row, mine in enumerate(left, 1):
        now = [row]
        for column, theirs in enumerate(right, 1):
            cost = min(last[column] + 1, now[-1] + 1, last[column - 1] + (mine != theirs))
            swapped = row > 1 and column > 1 and mine == right[column - 2] and left[row - 2] == theirs
            if swapped:
                cost = min(cost, before[column - 2] + 1)
            now.append(cost)
        if min(now) >= limit:
            return limit
        before, last = last, now
    return min(last[-1], limit)
