"""docs/supervision.md shows what the policy does."""

from __future__ import annotations

import re
from pathlib import Path

from tests.supervise.state_diagram import WALKS, arrows, diagram
from vaggapy.supervise.state import DONE, PHASES, RUNNING, STARTING, WAITING

DOCUMENT = Path(__file__).parents[2] / "docs" / "supervision.md"


def test_the_diagram_in_the_document_is_what_the_policy_does() -> None:
    """`python -m tests.supervise.state_diagram` prints the new one."""
    drawn = re.findall(r"^```mermaid\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

    assert drawn == [diagram(arrows())]


def test_fewer_runs_find_the_same_so_that_nothing_hangs_on_chance() -> None:
    assert arrows(WALKS * 2 // 3) == arrows()


def test_every_phase_is_reached_and_only_a_start_leads_to_a_process() -> None:
    pairs = {(before, after) for before, after, _ in arrows()}

    assert {after for _, after in pairs} >= set(PHASES)
    assert {before for before, after in pairs if after == RUNNING} == {STARTING}
    assert not any(before == DONE and after == WAITING for before, after in pairs)
