"""What is doubtful does not keep a project from running, and is told all the same."""

from __future__ import annotations

import pytest

from vaggapy.config.bind import bind
from vaggapy.config.load import find, read_project
from vaggapy.config.tree import parse
from vaggapy.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

FILE = """\
containers: {box: {setup: [!Host]}}
commands:
  all: !Supervise
    mode: wait-all-successful
    children:
      web: !Command {container: box, run: x, restart: always}
"""


def test_a_project_has_its_doubtful_rules_among_its_warnings(tmp_path: Path) -> None:
    (tmp_path / "vagga.yaml").write_text(FILE)
    loaded = read_project(find(str(tmp_path), None))
    [warning] = loaded.project.warnings
    assert (warning.name, warning.mark.line, warning.mark.column) == ("doubtful-rule", 6, 7)
    assert loaded.skipped == loaded.project.warnings


def test_doubts_of_a_mixin_that_is_left_out_are_not_told(tmp_path: Path) -> None:
    (tmp_path / "vagga.yaml").write_text("mixins: [m.yaml]\n" + FILE)
    (tmp_path / "m.yaml").write_text(FILE.replace("all:", "other:").replace("run: x", "rnu: x"))
    loaded = read_project(find(str(tmp_path), None))
    assert [warning.name for warning in loaded.project.warnings] == ["mixin-skipped", "doubtful-rule"]


def test_a_child_with_a_wrong_tag_is_not_called_unknown_too() -> None:
    text = FILE.replace("web: !Command", "web: !Comand") + (
        "      api: !Command {container: box, run: x, depends: [{started: web}]}\n"
    )
    with pytest.raises(ConfigError) as caught:
        bind(parse(text, "v.yaml"), "/p", "v.yaml")
    assert [problem.name for problem in caught.value.problems] == ["unknown-tag"]
