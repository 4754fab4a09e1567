"""Golden pairs: the steps of `NAME.yaml` do what `NAME.json` says.

A file has `setup`, as in a container, and maybe `context`: what the steps find, keys of `Context` or of `Machine`.
`VAGGAPY_UPDATE=1 pytest tests/build/test_steps_golden.py` writes the JSON files anew; a person reads the difference.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from vaggapy.build import recipe
from vaggapy.build.context import Context, Machine
from vaggapy.build.kind import Kind, typed
from vaggapy.build.recipe import Link
from vaggapy.build.registry import kinds, shapes
from vaggapy.config.bind import bind
from vaggapy.config.fields import NO_EFFECT
from vaggapy.config.model import Project, Step
from vaggapy.config.shapes import KEYS, NOTHING
from vaggapy.config.steps import SINGLE, Steps
from vaggapy.config.tree import Mapping, Scalar, Sequence, Tree, parse
from vaggapy.config.values import Reader
from vaggapy.errors import CommandError
from vaggapy.record import as_json, replace

GOLDEN = Path(__file__).parents[1] / "golden" / "steps"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.yaml"))
KINDS = kinds()
NORMAL = Machine()
OTHER = "containers: {inner: {setup: [!EnsureDir /of-another-file]}}"


def parts(text: str) -> dict[str, object]:
    """Return the nodes below the top of a golden file."""
    tree = parse(text, "golden.yaml")
    assert not tree.problems, tree.problems
    assert isinstance(tree.root, Mapping)
    return {key.text: value for key, value in tree.root.entries}


def steps(node: object) -> tuple[Step, ...]:
    """Bind the steps as `vagga.yaml` would; any container may be named."""
    assert isinstance(node, Sequence)
    reader = Reader("golden.yaml")
    found = Steps(reader, shapes(), lambda path: parse(OTHER, path)).steps(node.items, "golden")
    assert not reader.problems, [str(problem) for problem in reader.problems]
    return found


def before(node: object) -> Context:
    """Return the context that a golden file begins with."""
    texts: dict[str, object] = {}
    if node is not None:
        assert isinstance(node, Mapping)
        for key, value in node.entries:
            assert isinstance(value, Scalar)
            texts[key.text] = {"true": True, "false": False}.get(value.text, value.text)
    own = {name: value for name, value in texts.items() if name in Context._fields}
    of_machine = {name: value for name, value in texts.items() if name in Machine._fields}
    assert len(own) + len(of_machine) == len(texts)
    return replace(Context("golden", replace(Machine(), **of_machine)), **own)


def changed(old: Context, new: Context) -> dict[str, object]:
    """Return the fields of a context that a step has changed."""
    fields = (field for field in new._fields if getattr(old, field) != getattr(new, field))
    return {field: as_json(getattr(new, field)) for field in fields}


def told(text: str) -> list[object]:
    """Return what every step of a golden file does, one after the other."""
    nodes = parts(text)
    context = before(nodes.get("context"))
    project = Project("/project", "golden.yaml", {}, {})
    found: list[object] = []
    for link in links(steps(nodes["setup"])):
        assert link.step is not None
        kind = KINDS[link.step.tag]
        done = recipe.act(project, link, KINDS, context)
        step = typed(kind, link.step)
        entry = {
            "step": link.step.tag,
            "actions": as_json(done.actions),
            "sources": as_json(kind.sources(step)),
            "needs": list(kind.needs(step)),
            "context": changed(context, done.context),
        }
        found.append({name: value for name, value in entry.items() if value or name == "step"})
        context = done.context
    return found


def links(found: tuple[Step, ...]) -> list[Link]:
    """Return the links of steps; those of another file take the place of `!SubConfig`."""
    result: list[Link] = []
    for step in found:
        inner = step.values.get("steps")
        result += links(inner) if isinstance(inner, tuple) else [Link("golden", step)]
    return result


@pytest.mark.parametrize("name", NAMES)
def test_steps_do_what_their_golden_json_says(name: str) -> None:
    text = json.dumps(told((GOLDEN / f"{name}.yaml").read_text()), indent=1) + "\n"
    expected = GOLDEN / f"{name}.json"
    if os.environ.get("VAGGAPY_UPDATE"):
        expected.write_text(text)
    assert text == expected.read_text(), "run with VAGGAPY_UPDATE=1 and read the difference"


def test_every_kind_of_step_is_in_a_golden_file() -> None:
    used = {step.tag for name in NAMES for step in steps(parts((GOLDEN / f"{name}.yaml").read_text())["setup"])}
    assert {tag for tag, kind in KINDS.items() if not kind.shape.later} - used == set()


def test_every_golden_json_has_its_yaml() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(NAMES)


@pytest.mark.parametrize("tag", sorted(KINDS))
def test_the_keys_of_a_step_are_the_fields_of_its_record(tag: str) -> None:
    kind = KINDS[tag]
    keys = {key.replace("-", "_") for key in kind.shape.fields}
    # What `config` adds to `!SubConfig` is not written in vagga.yaml.
    assert set(kind.record._fields) - keys == ({"steps", "source_container"} if tag == "!SubConfig" else set())
    assert keys <= set(kind.record._fields)
    assert set(kind.uncounted) <= keys


@pytest.mark.parametrize("tag", sorted(KINDS))
def test_a_field_has_a_default_unless_its_key_is_needed(tag: str) -> None:
    kind = KINDS[tag]
    for key, field in kind.shape.fields.items():
        # The argument of a step that has no other form is always there.
        always = field.needed or (key == kind.shape.argument and not {KEYS, NOTHING} & set(kind.shape.forms))
        assert always or key.replace("-", "_") in kind.record._defaults, key


@pytest.mark.parametrize("tag", sorted(KINDS))
def test_a_shape_can_be_read(tag: str) -> None:
    shape = KINDS[tag].shape
    assert shape.tag == tag
    assert shape.forms
    assert shape.argument in shape.fields or (not shape.argument and set(shape.forms) <= {KEYS, NOTHING})
    for key, field in shape.fields.items():
        special = tag == "!SubConfig" and key == "source"
        known = field.type in SINGLE or field.type == "container" or field.type.startswith("choice ")
        assert known or special or field.state == NO_EFFECT, field.type


def refused(setup: str, machine: Machine = NORMAL) -> str:
    """Return the message of the first step that cannot be done."""
    project = Project("/project", "golden.yaml", {}, {})
    context = Context("golden", machine)
    for step in steps(parts(f"setup:\n- {setup}\n")["setup"]):
        with pytest.raises(CommandError) as caught:
            recipe.act(project, Link("golden", step), KINDS, context)
        return str(caught.value)
    raise AssertionError(setup)


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        ("!Cmd ['']", "!Cmd: there is no program to run (write '!Cmd [PROGRAM, ARGUMENT]') [build-values]"),
        (
            "!RunAs {script: id, external-user-id: 7}",
            "!RunAs: 'external-user-id' is not available in a build "
            "(take it away: files of the project belong to user 0 there) [not-available]",
        ),
        (
            "!CacheDirs {/var/x: downloads/x}",
            "!CacheDirs: cache directory 'downloads/x' belongs to vagga itself (use another name) [build-values]",
        ),
        (
            "!Tar {url: 'ftp://user:secret@there/x.tar'}",
            "!Tar: url 'ftp://there/x.tar' is neither an address nor a file of the project "
            "(write http://.., https://.., ./PATH or /volumes/NAME/PATH) [build-url]",
        ),
        (
            "!Tar {url: ./../x.tar}",
            "!Tar: path './../x.tar' leads out of the project (name a file below the project) [bad-path]",
        ),
        (
            "!Tar {url: /volumes/all/../x.tar}",
            "!Tar: path '/volumes/all/../x.tar' holds '..' (write the path without it) [bad-path]",
        ),
        (
            "!Download {url: ./x, path: /x, sha256: abc}",
            "!Download: sha256 'abc': 3 digits, a sum has 64 hexadecimal digits "
            "(write all of what `sha256sum FILE` prints) [bad-sha256]",
        ),
        (
            "!Git {url: 'https://example.org/x', path: /x, revision: a, branch: b}",
            "!Git: both 'revision' and 'branch' are given (keep one of them) [build-values]",
        ),
        (
            "!Copy {source: /work, path: /x, rules: [/a], include-regex: a}",
            "!Copy: 'rules' and regular expressions are given (keep one kind: rules can do both) [build-values]",
        ),
        (
            "!Copy {source: /work, path: /x, rules: ['*.py']}",
            "!Copy: rule '*.py' does not begin with '/' or '!' (write '/*.py') [bad-rule]",
        ),
        (
            "!Copy {source: /work, path: /x, no-default-rules: true}",
            "!Copy: 'no-default-rules' is given without 'rules' (write 'rules' too) [build-values]",
        ),
        (
            "!Build {container: other, temporary-mount: /mnt/x, path: /x}",
            "!Build: 'temporary-mount' and 'path', 'rules' or 'content-hash' are given "
            "(use two steps, one for each) [build-values]",
        ),
        (
            "!SubConfig {source: !Container other, container: x}",
            "!SubConfig: a file in the root of a container cannot be read for its steps yet "
            "(keep the file in the project and leave 'source' out) [not-available]",
        ),
        (
            "!PipConfig {get-pip-args: [x]}",
            "!PipConfig: 'get-pip-args' is given, but pip is the distribution's "
            "(take it away; '!Py3Install [\"pip==VERSION\"]' installs another pip) [not-available]",
        ),
    ],
)
def test_a_step_that_cannot_be_done_says_why_and_where(setup: str, message: str) -> None:
    assert refused(setup) == f"golden.yaml:2:3: {message}"


def test_ids_that_do_not_exist_are_an_error_where_there_is_one_id_only() -> None:
    machine = Machine(single_id=True)
    assert "[ids-missing]" in refused("!RunAs {script: id, user-id: 7}", machine=machine)
    project = Project("/project", "golden.yaml", {}, {})
    step = steps(parts("setup:\n- !RunAs {script: id}\n")["setup"])[0]
    assert recipe.act(project, Link("golden", step), KINDS, Context("golden", machine)).actions


def digest(setup: str) -> str:
    """Return the version of a container with one step, where every file has its own path as its content."""
    text = f"containers:\n  c:\n    setup:\n    - {setup}\n"
    project = bind(parse(text, "vagga.yaml"), "/project", "vagga.yaml", shapes())
    return recipe.version(project, "c", KINDS, lambda source: repr(source).encode()).digest


SUM = "ab" * 32


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # An address does not matter where the sum is known.
        (
            f"!Tar {{url: 'http://one.example/x.tar', sha256: {SUM}}}",
            f"!Tar {{url: 'https://other.example/y.tar', sha256: {SUM}}}",
        ),
    ],
)
def test_what_comes_to_the_same_has_the_same_version(one: str, other: str) -> None:
    assert digest(one)
    assert digest(one) == digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("!Tar {url: 'http://example.org/x.tar'}", "!Tar {url: 'http://example.org/y.tar'}"),
        ("!Tar {url: ./x.tar}", "!Tar {url: ./y.tar}"),
        (f"!Tar {{url: 'http://example.org/x', sha256: {SUM}}}", "!Tar {url: 'http://example.org/x'}"),
        ("!Py3Install [a, b]", "!Py3Install [b, a]"),
        ("!Py3Requirements a.txt", "!Py3Requirements b.txt"),
        ("!UvSync {dev: false}", "!UvSync {dev: true}"),
        ("!Env {A: b}", "!Env {A: c}"),
        ("!RunAs {script: id}", "!RunAs {script: id, user-id: 1}"),
        ("!GitDescribe {pattern: v*}", "!GitDescribe {pattern: w*}"),
    ],
)
def test_what_does_not_come_to_the_same_has_another_version(one: str, other: str) -> None:
    assert digest(one)
    assert digest(one) != digest(other)


def test_the_runner_sees_a_problem_of_the_file() -> None:
    tree = Tree(parse("setup: [!Sh]", "golden.yaml").root)
    assert isinstance(tree.root, Mapping)
    with pytest.raises(AssertionError):
        steps(tree.root.entries[0][1])


def test_a_kind_is_a_value_of_data_and_functions_only() -> None:
    assert all(isinstance(kind, Kind) for kind in KINDS.values())
