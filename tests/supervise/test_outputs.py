"""What children hand on: the lines of their files, and the launches of those that take them."""

from __future__ import annotations

import os

import pytest

from vaggapy.config.rules import Output, Rule
from vaggapy.errors import CommandError
from vaggapy.sandbox.spec import HostRoot, Launch, Program, Sandbox
from vaggapy.supervise.events import Spawn
from vaggapy.supervise.outputs import LARGEST, Outputs, parsed
from vaggapy.supervise.ruled.life import SKIPPED, Life
from vaggapy.supervise.state import Child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

FILES = [
    (b"", {}, ()),
    (b"\n\n", {}, ()),
    (b"A=1\nB=x=y=z\n", {"A": "1", "B": "x=y=z"}, ()),
    (b"A=1\nA=2", {"A": "2"}, ()),
    (b"A=\n_b2= x \n", {"A": "", "_b2": " x "}, ()),
    (b"A=1\r\n", {"A": "1\r"}, ()),
    (b"A<<E\none\n\ntwo\nE\nB=1\n", {"A": "one\n\ntwo", "B": "1"}, ()),
    (b"A<<E\nE", {"A": ""}, ()),
    (b"A<<E\n\nE\n", {"A": ""}, ()),
    (b"A<<E=F\nx\nE=F\n", {"A": "x"}, ()),
    (b"A=1<<E\nB=2\n", {"A": "1<<E", "B": "2"}, ()),
    (b"A<<E\nB=1\n E\nC=2", {}, (1,)),
    (b"A<<\nB=1\n", {"B": "1"}, (1,)),
    (
        b"A\n=1\n1A=1\nA B=1\n A=1\n\xc3\xa4=1\n\xff=1\nA-B<<E\nx\nE\n<<E\nx\nE\nC=3",
        {"C": "3"},
        (1, 2, 3, 4, 5, 6, 7, 8, 11),
    ),
    (b"A=a\0b\nB<<E\n\0\nE\nC=1\n", {"C": "1"}, (1, 2)),
    (b"A=\xff\xfe\n", {"A": os.fsdecode(b"\xff\xfe")}, ()),
    (b"A=${{ job.B }}$(x)\n", {"A": "${{ job.B }}$(x)"}, ()),
]


@pytest.mark.parametrize(("data", "values", "wrong"), FILES)
def test_lines_give_values_or_are_wrong(data: bytes, values: dict[str, str], wrong: tuple[int, ...]) -> None:
    """As supervision 15.1 says."""
    assert parsed(data) == (values, wrong)


def test_a_file_of_the_worst_lines_is_read_at_once() -> None:
    half = LARGEST // 8
    assert len(parsed(b"a<<b\nb\n" * half)[0]) == 1
    assert len(parsed(b"a<<\n" * half)[1]) == half
    assert parsed(b"a<<b\n" * half) == ({}, (1,))


def left(path: Path, data: bytes) -> int:
    """Return a descriptor of a file with `data`."""
    path.write_bytes(data)
    return os.open(path, os.O_RDONLY)


def launch(environ: dict[str, str], *words: str) -> Launch:
    return Launch(Sandbox(HostRoot(), "/p"), Program(words, environ, "/work"))


URL = Output("job", "URL")
RULE = Rule(reads=(URL,), fills={"U": "<${{ job.URL }}>"}, fills_words=True)
CHILDREN = {"job": Child(life=Life())}
WEB = Spawn("web", 1)


def filled(outputs: Outputs, environ: dict[str, str], *words: str, children: dict[str, Child] | None = None) -> Program:
    return outputs.filled(launch(environ, *words), RULE, WEB, children or CHILDREN).program


def test_values_are_put_into_variables_and_words_as_they_are(tmp_path: Path) -> None:
    """As supervision 15.3 and supervision 15.5 say."""
    outputs = Outputs()
    assert outputs.take("job", left(tmp_path / "f", b"URL=$(x) ${{ job.A }}\n")) == ""
    program = filled(outputs, {"U": "<${{ job.URL }}>", "V": "${{ job.URL }}"}, "a", "${{ job.URL }}$${{")
    assert program.environ == {"U": "<$(x) ${{ job.A }}>", "V": "${{ job.URL }}"}
    assert program.words == ("a", "$(x) ${{ job.A }}${{")


def test_a_variable_that_was_given_otherwise_needs_no_value() -> None:
    assert filled(Outputs(), {"U": "mine"}, "a").environ == {"U": "mine"}


def test_the_words_of_a_condition_are_its_own() -> None:
    made = Outputs().filled(launch({}, "${{ job.URL }}"), RULE, Spawn("web", 1, condition=True), CHILDREN)
    assert made.program.words == ("${{ job.URL }}",)


def test_all_values_are_those_of_the_last_good_run(tmp_path: Path) -> None:
    """As supervision 15.3 says."""
    outputs = Outputs()
    outputs.take("job", left(tmp_path / "f", b"URL=1\nOLD=1\n"))
    outputs.take("job", left(tmp_path / "f", b"URL=2\n"))
    assert filled(outputs, {"U": "<${{ job.URL }}>"}).environ == {"U": "<2>"}
    with pytest.raises(CommandError):
        filled(outputs, {}, "${{ job.OLD }}")


MISSING = [
    (
        Child(life=Life(outcome=SKIPPED)),
        None,
        "job has not written URL: it was skipped (skip this child too, or let another one write URL) [output-missing]",
    ),
    (
        Child(life=Life()),
        None,
        "job has not written URL: it has not ended with 0 so far (start this child when job has) [output-missing]",
    ),
    (
        Child(life=Life()),
        b"OTHER=1\n",
        'job has not written URL (in job: echo "URL=VALUE" >>"$VAGGA_OUTPUT") [output-missing]',
    ),
]


@pytest.mark.parametrize(("child", "data", "expected"), MISSING)
def test_a_missing_value_names_the_child_and_the_reason(
    tmp_path: Path, child: Child, data: bytes | None, expected: str
) -> None:
    """As supervision 15.6 says."""
    outputs = Outputs()
    if data is not None:
        outputs.take("job", left(tmp_path / "f", data))
    with pytest.raises(CommandError) as caught:
        filled(outputs, {"U": "<${{ job.URL }}>"}, children={"job": child})
    assert (str(caught.value), caught.value.code) == (expected, 125)


REMEDY = "(write lines KEY=VALUE, or KEY<<END, lines and END) [bad-output]\n"
WARNINGS = [
    (b"URL=1\n", True, ""),
    (b"URL=1\nx\n", True, f"vagga: warning: job: the file of VAGGA_OUTPUT: no value in line 2 {REMEDY}"),
    (
        b"x\n" * 8 + b"URL=1\n",
        True,
        f"vagga: warning: job: the file of VAGGA_OUTPUT: no value in lines 1, 2, 3, 4, 5 and 3 more {REMEDY}",
    ),
    (b"URL=1\n" + b"\n" * (LARGEST - 6), True, ""),
    (
        b"URL=1\n" + b"\n" * (LARGEST - 5),
        False,
        "vagga: warning: job: the file of VAGGA_OUTPUT has more than 64 KiB, and nothing of it is used "
        "(write less) [bad-output]\n",
    ),
]


@pytest.mark.parametrize(("data", "used", "expected"), WARNINGS)
def test_what_is_wrong_with_a_file_is_told_in_one_line(tmp_path: Path, data: bytes, used: bool, expected: str) -> None:
    """As supervision 15.2 says."""
    outputs = Outputs()
    assert outputs.take("job", left(tmp_path / "f", data)) == expected
    if used:
        assert filled(outputs, {"U": "<${{ job.URL }}>"}).environ == {"U": "<1>"}
    else:
        with pytest.raises(CommandError):
            filled(outputs, {"U": "<${{ job.URL }}>"})


def test_a_file_that_is_not_there_any_more_gives_nothing(tmp_path: Path) -> None:
    """As supervision 15.2 says."""
    outputs = Outputs()
    fd = left(tmp_path / "f", b"URL=1\n")
    (tmp_path / "f").unlink()
    assert outputs.take("job", fd) == (
        "vagga: warning: job: the file of VAGGA_OUTPUT was removed or replaced, and nothing of it is used "
        "(write into the file itself) [bad-output]\n"
    )
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    with pytest.raises(CommandError, match="job has not written URL"):
        filled(outputs, {"U": "<${{ job.URL }}>"})
