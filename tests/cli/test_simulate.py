"""What the words after `_simulate` mean. What is printed is in `tests/supervise/test_simulations.py`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vaggapy.cli import simulate
from vaggapy.cli.argv import Invocation, Options
from vaggapy.cli.simulate import Asked, read
from vaggapy.errors import UsageError
from vaggapy.supervise.scenario import Scenario, Wish

ROOT = Path(__file__).parents[2]

WISHES = [
    (("--kill", "web@3s"), Wish("exits", 3.0, "web", signal=9)),
    (("--kill", "web@+0.5"), Wish("exits", 0.5, "web", signal=9, each=True)),
    (("--exit=web=7@1m30s",), Wish("exits", 90.0, "web", 7)),
    (("--exit", "web@1"), Wish("exits", 1.0, "web")),
    (("--exit", "a=b=255@+1"), Wish("exits", 1.0, "a=b", 255, each=True)),
    (("--ready", "web@1"), Wish("passes", 1.0, "web")),
    (("--fail", "http://u@h/x@200ms"), Wish("fails", 0.2, "http://u@h/x")),
    (("--signal", "INT@0"), Wish("signalled", 0.0, signal=2)),
    (("--signal", "SIGUSR1@1"), Wish("signalled", 1.0, signal=10)),
    (("--signal", "term@1"), Wish("signalled", 1.0, signal=15)),
]


@pytest.mark.parametrize(
    ("words", "wish"), WISHES, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_each_option_is_a_wish(words: tuple[str, ...], wish: Wish) -> None:
    assert read(("all", *words)) == Asked("all", (), Scenario((wish,)))


def test_wishes_keep_their_order_and_the_rest_is_for_the_command() -> None:
    words = (
        "--kill",
        "b@2",
        "all",
        "--only",
        "x",
        "y",
        "--until",
        "5",
        "--exit",
        "a@1",
        "--stubborn",
        "a",
        "b",
        "--json",
    )

    assert read(words) == Asked(
        "all",
        ("--only", "x", "y"),
        Scenario((Wish("exits", 2.0, "b", signal=9), Wish("exits", 1.0, "a")), ("a", "b"), 5.0),
        json=True,
    )
    assert read(("cmd", "--debug", "--only", "x")).words == ("--only", "x", "--debug")
    assert read(("cmd", "a", "--exclude", "b", "--", "--c")).words == ("a", "--c", "--exclude", "b")


WRONG = [
    ((), "Argument command is required"),
    (("all", "--kill", "web"), "Bad value web"),
    (("all", "--kill", "@1"), "Bad value @1"),
    (("all", "--kill", "web@"), "Bad value web@"),
    (("all", "--kill", "web@-1"), "Bad value web@-1"),
    (("all", "--ready", "web@+1"), "Bad value web@+1"),
    (("all", "--exit", "web=256@1"), "Bad value web=256@1"),
    (("all", "--exit", "web=x@1"), "Bad value web=x@1"),
    (("all", "--exit", "web=@1"), "Bad value web=@1"),
    (("all", "--exit", "web=²@1"), "Bad value web=²@1"),
    (("all", "--signal", "KILL@1"), "Bad value KILL@1"),
    (("all", "--until", "soon"), "Bad value soon"),
    (("all", "--kil", "web@1"), "Unknown option --kil"),
    (("all", "--json=1"), "Option --json does not accept an argument"),
]


@pytest.mark.parametrize(("words", "what"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_a_wrong_command_line_ends_with_122(words: tuple[str, ...], what: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(words)

    assert caught.value.what == what
    assert caught.value.remedy
    assert caught.value.code == 122


def test_help_is_shown_without_any_command(capsys: pytest.CaptureFixture[str]) -> None:
    def run_nothing(_: Invocation, show: object) -> int:
        raise AssertionError(show)

    assert simulate.run(("all", "--help"), Options(), run_nothing) == 0
    assert capsys.readouterr().out.startswith("Usage: vagga _simulate COMMAND [OPTIONS]\n")


def test_the_page_names_every_option() -> None:
    page = (ROOT / "docs" / "simulation.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"`(--[a-z]+)`", page.partition("| option |")[2].partition("All but")[0]))

    assert shown == {name for name in simulate.KNOWN if name not in ("-h", "--help")}
