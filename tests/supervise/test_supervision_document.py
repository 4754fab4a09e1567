"""docs/supervision.md and the tests speak of the same sentences."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "supervision.md"
CITED = re.compile(r"\bsupervision (\d+\.\d+)\b")

UNTESTED_HERE = {"3.3", "4.7", "6.1"}
"""What only real processes show; integration/ has the tests."""


def numbered() -> list[str]:
    return re.findall(r"^- (\d+\.\d+) ", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)


def cited() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for ring in ("tests", "integration"):
        for path in sorted((ROOT / ring).rglob("*.py")):
            for number in CITED.findall(path.read_text(encoding="utf-8")):
                found.setdefault(number, set()).add(path.name)
    folder = Path(__file__).parent
    for path in (folder / "histories.txt", *sorted((folder / "rules_histories").glob("*.txt"))):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("sentences "):
                for number in line.split()[1:]:
                    found.setdefault(number, set()).add(path.name)
    return found


def test_sentences_are_numbered_in_order_and_once() -> None:
    expected: list[str] = []
    for number in numbered():
        section, _, place = number.partition(".")
        before = expected[-1].split(".") if expected else ["0", "0"]
        following = f"{section}.{int(before[1]) + 1}" if before[0] == section else f"{section}.1"
        assert number == following
        assert int(place) > 0
        expected.append(number)

    assert len(expected) > 30


def test_every_cited_sentence_exists() -> None:
    missing = {number: sorted(files) for number, files in cited().items() if number not in numbered()}

    assert missing == {}


def test_every_sentence_is_cited_by_a_test() -> None:
    assert set(numbered()) - set(cited()) <= UNTESTED_HERE
