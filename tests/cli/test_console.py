from __future__ import annotations

import pytest

from vaggapy.cli import builtin, console
from vaggapy.record import Record


class Check(Record):
    name: str
    state: str
    result: str
    remedy: str = ""
    needed: bool = True


GOOD = Check("user namespace", "ok", "made one")
BAD = Check("newuidmap", "missing", "not found", "install the package uidmap [it is small]")
WORSE = Check("mount /proc", "failed", "mount: operation not permitted")
EXTRA = Check("overlayfs", "failed", "not permitted", "nothing to do", needed=False)


def test_checks_are_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_checks((GOOD, BAD, WORSE, EXTRA))
    assert capsys.readouterr().out == (
        "ok        user namespace  made one\n"
        "missing   newuidmap       not found (install the package uidmap [it is small])\n"
        "failed    mount /proc     mount: operation not permitted\n"
        "optional  overlayfs       not permitted (nothing to do)\n"
        "2 of 3 needed things do not work here: newuidmap, mount /proc\n"
    )


def test_a_good_machine_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_checks((GOOD, EXTRA))
    assert capsys.readouterr().out.splitlines()[-1] == "everything that vagga needs works here"


def test_the_table_for_terminals_keeps_square_brackets_and_is_colored(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("NO_COLOR", ""), ("TERM", "xterm"), ("COLUMNS", "120")):
        monkeypatch.setenv(name, value)
    console.show_checks((GOOD, BAD), "always")
    out = capsys.readouterr().out
    assert "\x1b[32mok" in out
    assert "install the package uidmap [it is small]" in out
    assert out.endswith("1 of 2 needed things do not work here: newuidmap\n")


@pytest.mark.parametrize(
    ("checks", "code"), [((GOOD,), 0), ((GOOD, EXTRA), 0), ((GOOD, BAD), 124), ((WORSE, EXTRA), 124), ((), 0)]
)
def test_only_what_is_needed_decides_the_exit_code(checks: tuple[Check, ...], code: int) -> None:
    assert builtin.verdict(checks) == code
