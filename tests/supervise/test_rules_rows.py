"""Every corner case of supervision has a test that names it: a written history, or a test function.

The letters are those of the list of corner cases: R restarts, E events, H health and watches, D dependencies, G groups,
O output.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.supervise.test_rules_histories import HISTORIES

ROOT = Path(__file__).parents[2]
ROWS = [
    *(f"R{number}" for number in range(1, 17)),
    *(f"E{number}" for number in range(1, 25)),
    *(f"H{number}" for number in range(1, 17)),
    *(f"D{number}" for number in range(1, 16)),
    *(f"G{number}" for number in range(1, 14)),
    *(f"O{number}" for number in range(1, 13)),
]
LATER = {"R10": "reload", "E22": "maintenance", "H6": "maintenance", "O9": "logging", "O10": "logging"}
"""Rows of what comes with control from outside, and with `logging`."""
MECHANICS = {
    "R13": "tests/config", "R14": "integration", "R15": "integration",
    "E8": "tests/config", "E9": "tests/config", "E24": "tests/config",
    "H7": "integration", "H15": "integration", "H16": "integration",
    "D7": "integration", "D8": "integration", "D9": "integration", "D11": "tests", "D12": "tests/config",
    "D15": "tests/config",
    "G7": "tests", "G8": "tests", "G9": "integration", "G12": "integration",
    **{f"O{number}": "integration" for number in (1, 2, 3, 4, 5, 6, 7, 8, 11, 12)},
}  # fmt: skip
"""Rows that are no decision of the policy, or not only: where a test names them, in a folder or below it."""


def named(folder: str) -> set[str]:
    """Return the rows in the names of the test functions below a folder."""
    found: set[str] = set()
    for path in sorted((ROOT / folder).rglob("test_*.py")):
        for name in re.findall(r"def test_(\w+)", path.read_text(encoding="utf-8")):
            found |= {word.upper() for word in name.split("_") if re.fullmatch(r"[a-zA-Z]\d+", word)}
    return found


def in_histories() -> set[str]:
    return {row for history in HISTORIES for row in history.rows}


@pytest.mark.parametrize("row", [row for row in ROWS if row not in MECHANICS and row not in LATER])
def test_a_row_of_the_policy_has_a_history_or_a_test(row: str) -> None:
    assert row in in_histories() | named("tests/supervise")


@pytest.mark.parametrize("row", sorted(MECHANICS))
def test_a_row_of_mechanics_has_a_test_in_its_place(row: str) -> None:
    assert row in named(MECHANICS[row])


def test_rows_of_histories_exist() -> None:
    others = {row for row in in_histories() if row[0] in "SX"}

    assert in_histories() - others <= set(ROWS)
    assert not set(LATER) & set(MECHANICS)
