"""What 'did you mean' suggests, and what it does not."""

from __future__ import annotations

import pytest

from vaggapy.spelling import closest

KEYS = [
    "container",
    "containers",
    "commands",
    "environ",
    "run",
    "work-dir",
    "kill-unresponsive-after",
    "web",
    "!Command",
]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("contaner", "container"),
        ("contianer", "container"),
        ("comands", "commands"),
        ("rnu", "run"),
        ("runs", "run"),
        ("weeb", "web"),
        ("work_dri", "work-dir"),
        ("Kill-Unresponsive-Aftr", "kill-unresponsive-after"),
        ("!comand", "!Command"),
        ("RUN", "run"),
        ("xyz", ""),
        ("", ""),
        ("x" * 10_000, ""),
        ("entirely-else", ""),
    ],
)
def test_the_nearest_name_is_suggested(word: str, meant: str) -> None:
    assert closest(word, KEYS) == meant


def test_the_first_of_equally_near_names_wins() -> None:
    assert closest("bat", ["cat", "hat", "bath"]) == "cat"


def test_a_single_letter_is_never_taken_for_another() -> None:
    assert closest("a", ["b", "c"]) == ""


def test_the_word_itself_is_no_suggestion() -> None:
    assert closest("web", ["web"]) == ""


def test_no_choices_give_no_suggestion() -> None:
    assert closest("web", []) == ""


def test_a_beginning_that_only_one_name_has_means_that_name() -> None:
    assert closest("hel", ["hello", "up"]) == "hello"
    assert closest("run", ["run_tests", "run_full_app"]) == ""
