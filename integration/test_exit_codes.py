"""The exit code tells the truth (docs/exit-codes.md, docs/supervision.md section 5)."""

from __future__ import annotations

import pytest

from integration.runs import Project


@pytest.mark.parametrize("code", [0, 1, 7, 127, 200, 255])
def test_the_exit_code_of_a_command_passes_through(project: Project, code: int) -> None:
    project.write(f"  c: !Command\n    container: host\n    run: exit {code}\n")
    assert project.run("c").code == code
