"""Whole projects as people write them, built and run: those whose roots can be had without network.

`tests/plan/test_plan_projects.py` loads and plans all of them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.builds import remove, small_root
from integration.runs import Project

PROJECTS = Path(__file__).parents[1] / "tests" / "golden" / "projects"


@pytest.fixture
def given(project: Project, request: pytest.FixtureRequest) -> Iterator[Project]:
    """Return a copy of the project that is named; with the archive of a small root, if it wants one."""
    source = PROJECTS / str(request.param)
    shutil.copytree(source, project.directory, dirs_exist_ok=True)
    if "./root.tar" in (source / "vagga.yaml").read_text():
        small_root(project.directory / "root.tar")
    yield project
    remove(project.directory / ".vagga")


def said(project: Project, *words: str) -> str:
    """Return what a command prints, which must succeed."""
    result = project.run(*words)
    assert result.code == 0, result
    return result.out


@pytest.mark.parametrize("given", ["host-tools"], indirect=True)
def test_tools_of_the_host(given: Project) -> None:
    assert said(given, "hello", "you") == "hello you\n"
    assert said(given, "c") == "formatted\ntyped\nchecked\nall is well\n"
    assert said(given, "-m", "format", "types") == "formatted\ntyped\n"
    assert "Development:\n    check               Run everything that CI runs\n" in given.run().err


@pytest.mark.parametrize("given", ["host-stack"], indirect=True)
def test_a_stack_on_the_host(given: Project) -> None:
    assert sorted(said(given, "pair").splitlines()) == ["it works", "produced"]
    assert said(given, "pair", "--only", "in") == "it works\n"


@pytest.mark.parametrize("given", ["tiny-tar"], indirect=True)
def test_a_root_from_an_archive(given: Project) -> None:
    assert said(given, "motd") == "welcome\nbuild\n"
    assert said(given, "stage") == "run\n"
    assert said(given, "scribble") == "scribbled\n"
    assert said(given, "motd") == "welcome\nbuild\n"


@pytest.mark.parametrize("given", ["tiny-database"], indirect=True)
def test_a_volume_that_is_filled_when_it_is_first_needed(given: Project) -> None:
    assert said(given, "rows") == "3\n"
    assert said(given, "add", "four") == ""
    assert said(given, "rows") == "4\n"
    assert sorted(said(given, "both").splitlines()) == ["four", "one"]


@pytest.mark.parametrize("given", sorted(path.name for path in PROJECTS.iterdir()), indirect=True)
def test_nothing_is_wrong_with_any_project_and_its_commands_are_listed(given: Project) -> None:
    checked = given.run("_check")
    assert (checked.code, checked.out, checked.err) == (0, "", "")
    listed = said(given, "_list", "--all")
    shown = given.run()
    assert shown.code == 127
    assert len(listed.splitlines()) > len(shown.err.splitlines()) > 0
