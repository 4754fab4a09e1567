"""Chains of steps, and versions: what counts, what does not, and that both ways to a version agree."""

from __future__ import annotations

import hashlib

import pytest

from tests.build.test_steps_golden import GOLDEN, NAMES, links, parts, steps
from vaggapy.build import formula, recipe
from vaggapy.build.actions import Copy, Execute, MakeDirectory
from vaggapy.build.context import Context, Machine
from vaggapy.build.formula import Versions
from vaggapy.build.kind import typed
from vaggapy.build.recipe import BEGIN, END, Link, Version
from vaggapy.build.registry import kinds, shapes
from vaggapy.build.sources import Source
from vaggapy.config.bind import bind
from vaggapy.config.model import Container, Project
from vaggapy.config.tree import parse
from vaggapy.errors import CommandError, Mark
from vaggapy.record import replace

KINDS = kinds()


def project(*containers: str) -> Project:
    """Bind a vagga.yaml with these containers."""
    tree = parse("containers:\n" + "".join(f"  {text}\n" for text in containers), "vagga.yaml")
    assert not tree.problems, tree.problems
    return bind(tree, "/project", "vagga.yaml", shapes())


def look(source: Source) -> bytes | None:
    """Digest a source by what it is: every file is there."""
    return hashlib.sha256(repr(source).encode()).digest()


def missing(_source: Source) -> bytes | None:
    """Find nothing."""
    return None


def version(of: Project, name: str = "c") -> Version:
    return recipe.version(of, name, KINDS, look)


TWO = "c: {setup: [!EnsureDir /a, !Sh 'echo b']}"


# --- chains -------------------------------------------------------------------------------------------------------


def test_a_chain_has_a_begin_each_step_and_an_end() -> None:
    chain = recipe.chain(project(TWO), "c")
    assert [link.title for link in chain] == [BEGIN, "EnsureDir", "Sh", END]
    assert {link.container for link in chain} == {"c"}


def test_a_base_that_comes_first_stands_with_all_of_its_chain() -> None:
    made = project("base: {setup: [!EnsureDir /a]}", "c: {setup: [!Container base, !Sh b]}")
    chain = recipe.chain(made, "c")
    assert [(link.container, link.title) for link in chain] == [
        ("base", BEGIN),
        ("base", "EnsureDir"),
        ("base", END),
        ("c", "Sh"),
        ("c", END),
    ]
    assert recipe.needs(made, "c", KINDS) == ()


def test_a_base_that_comes_later_is_built_and_copied() -> None:
    made = project("base: {setup: [!EnsureDir /a]}", "c: {setup: [!EnsureDir /b, !Container base]}")
    assert recipe.needs(made, "c", KINDS) == ("base",)
    (link,) = (link for link in recipe.chain(made, "c") if link.title == "Container")
    (action,) = recipe.act(made, link, KINDS, Context("c")).actions
    assert isinstance(action, Copy)
    assert action.source.endswith("/base")


def test_what_steps_have_asked_for_is_given_to_the_programs_after_them() -> None:
    made = project("c: {setup: [!Env {A: b}, !CacheDirs {/var/x: name}, !Sh b]}")
    context = Context("c")
    env, caches, script = recipe.chain(made, "c")[1:-1]
    for link in (env, caches):
        context = recipe.act(made, link, KINDS, context).context
    done = recipe.act(made, script, KINDS, context)
    (program,) = (action for action in done.actions if isinstance(action, Execute))
    assert program.environ["A"] == "b"
    assert ("/var/x", "name") in program.caches


def test_a_step_that_cannot_be_done_says_where_it_stands() -> None:
    made = project("c: {setup: [!Install [x]]}")
    with pytest.raises(CommandError) as caught:
        recipe.act(made, recipe.chain(made, "c")[1], KINDS, Context("c"))
    assert caught.value.what.startswith("vagga.yaml:2:")
    assert "!Install" in caught.value.what


def test_every_root_has_where_the_sandbox_mounts() -> None:
    made = project(TWO)
    actions = recipe.act(made, recipe.chain(made, "c")[0], KINDS, Context("c")).actions
    paths = {action.path for action in actions if isinstance(action, MakeDirectory)}
    assert {"/dev", "/proc", "/sys", "/run", "/tmp", "/work", "/etc"} <= paths


# --- versions -----------------------------------------------------------------------------------------------------


OTHER = steps(parts("setup: [!EnsureDir /o]")["setup"])


def golden(name: str) -> Project:
    """Return a project whose container `c` has the steps of a golden file, and every container that they name."""
    setup = steps(parts((GOLDEN / f"{name}.yaml").read_text())["setup"])
    found = {"c": Container("c", Mark("vagga.yaml", 1), setup=setup)}
    for link in links(setup):
        assert link.step is not None
        others = KINDS[link.step.tag].needs(typed(KINDS[link.step.tag], link.step))
        for other in (*others, *([str(link.step.values["container"])] if link.step.tag == recipe.BASE else [])):
            found[other] = Container(other, Mark("vagga.yaml", 9), setup=OTHER)
    return Project("/project", "vagga.yaml", found, {})


@pytest.mark.parametrize("name", NAMES)
def test_a_formula_comes_to_the_same_version_as_the_recipe(name: str) -> None:
    made = golden(name)
    known = recipe.version(made, "c", KINDS, look)
    kept = formula.loads(formula.dumps(recipe.formulas(made, "c", KINDS)))
    assert Versions(kept, look).of("c") == known.digest
    assert len(known.digest) == 128


@pytest.mark.parametrize("name", NAMES)
def test_without_its_sources_neither_way_knows_a_version(name: str) -> None:
    made = golden(name)
    known = recipe.version(made, "c", KINDS, missing)
    assert Versions(recipe.formulas(made, "c", KINDS), missing).of("c") == known.digest
    assert len(known.keys) <= len(recipe.chain(made, "c"))


def test_a_version_is_the_same_each_time_and_wherever_the_project_lies() -> None:
    made = project(TWO)
    assert version(made) == version(project(TWO)) == version(replace(made, directory="/elsewhere"))


@pytest.mark.parametrize(
    "other",
    [
        "c: {setup: [!EnsureDir /x, !Sh 'echo b']}",
        "c: {setup: [!Sh 'echo b', !EnsureDir /a]}",
        "c: {setup: [!EnsureDir /a, !Sh 'echo  b']}",
        "c: {setup: [!EnsureDir /a, !Cmd [echo, b]]}",
        "c: {setup: [!EnsureDir /a]}",
        "c: {setup: [!EnsureDir /a, !Sh 'echo b', !Sh 'echo b']}",
        "c: {setup: [!EnsureDir /a, !Sh 'echo b'], uids: [0-10]}",
        "c: {setup: [!EnsureDir /a, !Sh 'echo b'], gids: [0-10]}",
        "c: {setup: [!EnsureDir /a, !Sh 'echo b'], data-dirs: [/a]}",
        "c: {setup: [!EnsureDir /a, !Sh 'echo b'], resolv-conf-path: /r}",
        "c: {setup: [!EnsureDir /a, !Sh 'echo b'], hosts-file-path: /r}",
    ],
)
def test_a_version_changes_with_whatever_changes_the_root(other: str) -> None:
    assert version(project(other)).digest != version(project(TWO)).digest


@pytest.mark.parametrize(
    "other",
    [
        "c: {setup: [!EnsureDir /a, !Sh 'echo b'], environ: {A: b}}",
        "c: {setup: [!EnsureDir /a, !Sh 'echo b'], auto-clean: true}",
        "c: {setup: [!EnsureDir /a, !Sh 'echo b'], default-shell: [/bin/bash]}",
    ],
)
def test_a_version_does_not_change_with_what_is_for_commands_only(other: str) -> None:
    assert version(project(other)).digest == version(project(TWO)).digest


def test_a_name_does_not_count_so_containers_of_equal_steps_share_their_layers() -> None:
    made = project(TWO, TWO.replace("c:", "d:"))
    assert version(made, "c") == version(made, "d")


def test_a_changed_step_leaves_the_keys_before_it() -> None:
    one, other = version(project(TWO)), version(project("c: {setup: [!EnsureDir /a, !Sh other]}"))
    assert [a == b for a, b in zip(one.keys, other.keys, strict=True)] == [True, True, False, False]


def test_the_keys_of_a_base_are_those_of_its_own_chain() -> None:
    made = project("base: {setup: [!EnsureDir /a]}", "c: {setup: [!Container base, !Sh b]}")
    assert version(made, "c").keys[:3] == version(made, "base").keys


def test_the_version_of_another_container_counts_where_its_whole_root_is_read() -> None:
    text = "c: {setup: [!EnsureDir /b, !Container made]}"
    one = project("made: {setup: [!EnsureDir /a]}", text)
    other = project("made: {setup: [!EnsureDir /z]}", text)
    assert version(one).digest != version(other).digest


def test_of_a_root_that_a_part_is_taken_from_only_that_part_counts() -> None:
    text = "c: {setup: [!EnsureDir /b, !Build {container: made, source: /x, path: /y, content-hash: true}]}"
    one = project("made: {setup: [!EnsureDir /x]}", text)
    other = project("made: {setup: [!EnsureDir /x, !EnsureDir /z]}", text)
    assert version(one).digest == version(other).digest


def test_only_what_comes_before_a_missing_source_has_keys() -> None:
    made = project("c: {setup: [!EnsureDir /a, !Depends file, !Sh b]}")
    known = recipe.version(made, "c", KINDS, missing)
    assert (len(known.keys), known.digest, known.short) == (2, "", "")


def test_layers_are_shared_only_where_the_same_steps_come_out_the_same() -> None:
    names = {
        recipe.layer_key("k", machine, maps)
        for machine in (Machine(), Machine(architecture="arm64"), Machine(single_id=True))
        for maps in (b"0 0 1\n", b"0 1000 1\n")
    }
    assert len(names) == 6
    assert recipe.layer_key("k", Machine(proxies={"http_proxy": "x"}), b"") == recipe.layer_key("k", Machine(), b"")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", "c"), ("a", "bc")),
        ("1", 1),
        (1, True),
        (None, ""),
        ((), {}),
        (b"a", "a"),
        ({"a": "b"}, ("a", "b")),
        ((("a",), "b"), (("a", "b"),)),
    ],
)
def test_no_two_values_are_encoded_alike(one: object, other: object) -> None:
    assert formula.encode(one) != formula.encode(other)


def test_the_order_of_keys_does_not_count() -> None:
    assert formula.encode({"a": 1, "b": 2}) == formula.encode({"b": 2, "a": 1})


def test_a_project_that_needs_no_file_knows_its_versions_when_it_is_read() -> None:
    made = recipe.with_versions(project(TWO, "d: {setup: [!Depends file]}", "h: {setup: [!Host]}"), KINDS)
    assert made.containers["c"].digest == version(made, "c").digest
    assert made.containers["c"].formula == b""
    kept = made.containers["d"]
    assert (kept.digest, Versions(formula.loads(kept.formula), look).of("d")) == ("", version(made, "d").digest)
    assert (made.containers["h"].digest, made.containers["h"].formula) == ("", b"")


def test_a_link_shows_its_tag() -> None:
    assert Link("c", None, END).title == END
