"""Whole projects as people write them: each loads, each command plans, each version can be worked out without network.

`tests/golden/projects/NAME/plan.txt` says in a few lines what a project means. `VAGGAPY_UPDATE=1 pytest tests/plan`
writes these files anew; a person then reads the difference. Some are built and run in `integration/test_projects.py`.

Source: vagga.md 13, for what projects use.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vaggapy.build import formula, inputs, sources
from vaggapy.build.recipe import with_versions
from vaggapy.build.registry import kinds, shapes
from vaggapy.cli.check import check
from vaggapy.config.load import find, read_project
from vaggapy.config.model import HOSTS
from vaggapy.host import Host
from vaggapy.plan import Request, plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from vaggapy.build.sources import Source
    from vaggapy.config.model import Project
    from vaggapy.plan import Plan
    from vaggapy.supervise.stage import ChildPlan

PROJECTS = Path(__file__).parents[1] / "golden" / "projects"
NAMES = sorted(path.name for path in PROJECTS.iterdir())
ALWAYS = ("HOME", "PATH", "TERM", "VAGGA_COMMAND", "VAGGA_SUBCOMMAND")
CALLER = Host(1000, 1000, "u", ("/home",), "/elsewhere", {}, (False, False, False), "", 0, 0)


def loaded(name: str) -> Project:
    found = read_project(find(str(PROJECTS / name)), shapes)
    assert found.skipped == ()
    return with_versions(found.project, kinds())


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def versions(project: Project) -> dict[str, str]:
    """Return how the version of each container that is built can be known."""
    look = inputs.looker(project.directory, f"{project.directory}/.cache", {}, lambda *_: (0, b"v1.0\n"))
    absent: list[str] = []

    def looked(source: Source) -> bytes | None:
        """Digest a source, without network and without roots; note those that are not there."""
        match source:
            case sources.ImageDigest(reference):
                what, digest = reference, None
            case sources.RootTree(container):
                what, digest = f"root of {container}", None
            case _:
                what, digest = str(getattr(source, "path", source)), look(source)
        if digest is None:
            absent.append(what)
        return digest

    found = {}
    for name, container in project.containers.items():
        if container.host is None and not container.digest:
            absent.clear()
            known = formula.Versions(formula.loads(container.formula), looked).of(name)
            found[name] = "by files" if known else f"needs {', '.join(absent)}"
        elif container.host is None:
            found[name] = "by its steps"
    return found


def listing(project: Project) -> Iterator[str]:
    """Yield what a project means, in a few lines."""
    known = versions(project)
    for name, container in project.containers.items():
        steps = " ".join(step.tag for step in container.setup) or "!Host"
        yield f"container {name}: {steps}" + (f"; version {known[name]}" if name in known else "")
    for name, command in project.commands.items():
        made = plan(project, name, Request(), CALLER, frozenset())
        stages = " ".join(stage.name + "".join(f" (fills {each})" for each in stage.fills) for stage in made.stages)
        builds = f"builds {' '.join(made.builds) or 'nothing'}"
        yield f"command {name}: {stages}; {builds}; {_more(command.aliases, made)}".rstrip("; ")
        yield from (f"  {_child(child)}" for child in made.stages[-1].children)


def _more(aliases: tuple[str, ...], made: Plan) -> str:
    last = made.stages[-1]
    facts = [f"also {' '.join(aliases)}"] if aliases else []
    facts += [f"{banner.child or 'banner'} after {banner.delay} s" for banner in last.banners]
    facts += [f"watches {last.inotify}"] if last.inotify else []
    facts += ["no network"] if made.isolate_network else []
    facts += [f"{last.mode}, {last.grace} s"] if not last.single else []
    return ", ".join(facts)


def _child(child: ChildPlan) -> str:
    program, sandbox = child.launch.program, child.launch.sandbox
    who = f"{program.uid}:{program.gid}" + (f" (outside {program.external_uid})" if program.external_uid >= 0 else "")
    facts = [f"{program.words[0]} in {child.container}/{type(sandbox.root).__name__}", f"as {who}", program.directory]
    variables = [name for name in sorted(program.environ) if name not in ALWAYS]
    mounts = [mount.target for mount in sandbox.mounts if mount.target != HOSTS]
    facts += [f"variables {' '.join(variables)}"] if variables else []
    facts += [f"mounts {' '.join(mounts)}"] if mounts else []
    facts += [f"groups {' '.join(map(str, program.groups))}"] if program.groups else []
    facts += [f"listens on {child.listen.host} {child.listen.port}"] if child.listen else []
    facts += [program.first] if program.first != "wait" else []
    return f"{child.name}: {', '.join(facts)}"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_wrong_with_a_project(name: str) -> None:
    assert check(find(str(PROJECTS / name)), CALLER, ()) == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_project_loads_and_every_command_of_it_means_what_its_golden_file_says(name: str) -> None:
    expected = PROJECTS / name / "plan.txt"
    text = "".join(f"{line}\n" for line in listing(loaded(name)))
    if os.environ.get("VAGGAPY_UPDATE"):
        expected.write_text(text)
    assert text == expected.read_text(), "run with VAGGAPY_UPDATE=1 and read the difference"


def test_there_are_25_projects_that_use_most_of_what_there_is() -> None:
    assert len(NAMES) == 25
    text = "\n".join(path.read_text() for path in sorted(PROJECTS.glob("*/**/vagga*.yaml")))
    unused = {tag for tag in shapes() if f"{tag} " not in text and f"{tag}\n" not in text and f"{tag}," not in text}
    assert unused <= {"!Py2Install", "!Py2Requirements", "!Cmd"}
