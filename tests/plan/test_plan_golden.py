"""Golden plans: a vagga.yaml, a request and a fixed caller must give this JSON, which `vagga --dry-run` prints.

`VAGGAPY_UPDATE=1 pytest tests/plan` writes the JSON files anew; a person then reads the difference.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from vaggapy.config.bind import bind
from vaggapy.config.tree import parse
from vaggapy.host import Host
from vaggapy.plan import Request, plan, plan_program, redacted
from vaggapy.record import as_json, pack, records, replace, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.model import Project
    from vaggapy.plan import Plan

GOLDEN = Path(__file__).parents[1] / "golden" / "plan"
HOST = Host(
    uid=1000,
    gid=1000,
    user="u",
    homes=("/home", "/root", "/home/u", "/srv/homes/u", "/"),
    directory="/home/u/project",
    environ={
        "TERM": "xterm",
        "HOME": "/home/u",
        "SECRET": "never",
        "http_proxy": "http://proxy:1",
        "VAGGAENV_PASSED": "1",
        "COPIED": "2",
    },
    terminals=(False, False, False),
    resolver="",
    rows=0,
    columns=0,
)
TERMINAL = replace(HOST, terminals=(True, True, True), rows=40, columns=132)

CASES: dict[str, tuple[str, Request, Host]] = {
    "words": ("words", Request(arguments=("a", "b c")), HOST),
    "words-in-a-subdirectory-on-a-terminal": (
        "words",
        Request(prerequisites=False),
        replace(TERMINAL, directory="/home/u/project/src/deep"),
    ),
    "text": ("text", Request(arguments=("one",), environ=(("X", "1"),)), HOST),
    "rich": ("rich", Request(), replace(HOST, resolver="/run/systemd/resolve/stub-resolv.conf")),
    "stack": ("stack", Request(), TERMINAL),
    "stack-one-child": ("stack", Request(chosen=("db",), prerequisites=False), TERMINAL),
}


@pytest.fixture(scope="module")
def project() -> Project:
    text = (GOLDEN / "kinds.yaml").read_text()
    return bind(parse(text, "vagga.yaml"), "/home/u/project", "vagga.yaml")


def check(found: Plan, name: str) -> None:
    """Compare with a golden file, or write it."""
    expected = GOLDEN / f"{name}.json"
    text = json.dumps(as_json(found), indent=1) + "\n"
    if os.environ.get("VAGGAPY_UPDATE"):
        expected.write_text(text)
    assert text == expected.read_text(), "run with VAGGAPY_UPDATE=1 and read the difference"


@pytest.mark.parametrize("name", CASES)
def test_a_request_means_the_plan_of_its_golden_json(project: Project, name: str) -> None:
    command, request, host = CASES[name]
    check(plan(project, command, request, host), name)


def test_a_program_in_a_container_means_the_plan_of_its_golden_json(project: Project) -> None:
    check(plan_program(project, "rich", ("ls", "-l"), Request(isolate_network=True), HOST), "program")


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == {*CASES, "program"}


@pytest.mark.parametrize("name", CASES)
def test_a_plan_survives_being_sent(project: Project, name: str) -> None:
    from vaggapy import plan as plans
    from vaggapy.sandbox import spec
    from vaggapy.supervise import stage

    command, request, host = CASES[name]
    made = plan(project, command, request, host)
    classes = {**records(vars(plans)), **records(vars(stage)), **records(vars(spec))}
    assert unpack(pack(made), classes) == made


def test_a_shown_plan_keeps_what_was_given_on_the_command_line_to_itself(project: Project) -> None:
    made = plan(project, "text", Request(environ=(("SECRET", "s3cret"), ("TOKEN", "t0ken"))), HOST)
    assert "s3cret" in json.dumps(as_json(made))
    shown = redacted(made, ("SECRET", "TOKEN"))
    text = json.dumps(as_json(shown))
    assert "s3cret" not in text and "t0ken" not in text and text.count("(redacted)") == 2
    assert replace(shown, stages=made.stages) == made
