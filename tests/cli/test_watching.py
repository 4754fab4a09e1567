"""`expect-inotify-limit` and `auto-apply-sysctl` (vagga.md 3.2). No test changes the limit of the machine."""

from __future__ import annotations

import pytest

from vaggapy.cli.watching import MOST, Advice, advise, remedy, run_program

WARNED = (
    "c wants to watch {wanted} files, the limit of this machine is 100 (run: sudo sysctl {setting}) [inotify-limit]"
)


def warning(wanted: int) -> Advice:
    return Advice(WARNED.format(wanted=wanted, setting=f"fs.inotify.max_user_watches={wanted}"))


@pytest.mark.parametrize(
    ("wanted", "allowed", "apply", "advice"),
    [
        (100, 100, False, Advice()),
        (100, 101, True, Advice()),
        (101, 100, False, warning(101)),
        (101, 100, True, Advice(value=101)),
        (MOST, 100, True, Advice(value=MOST)),
        (MOST + 1, 100, True, warning(MOST + 1)),
    ],
)
def test_a_limit_that_is_too_low_is_told_or_raised_but_not_beyond_all_bounds(
    wanted: int, allowed: int, apply: bool, advice: Advice
) -> None:
    assert advise("c", wanted, allowed, apply) == advice


def test_the_highest_limit_that_is_set_is_that_of_the_original() -> None:
    assert MOST == 524288
    assert remedy(5) == "run: sudo sysctl fs.inotify.max_user_watches=5"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("true",), ""),
        (("false", "-k"), "false -k ended with 1"),
        (("sh", "-c", "read line"), "sh -c read line ended with 1"),
        (("no-such-program",), "no-such-program: No such file or directory"),
    ],
)
def test_a_program_that_fails_is_told_and_none_reads_standard_input(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], why: str
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # a directory that cannot be searched would change the error
    assert run_program(words) == why
