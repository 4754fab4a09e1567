"""Outputs of children in the texts of others, as they are written (5.6 of the specification)."""

from __future__ import annotations

import pytest

from tests.config.ruled import rule, wrong
from vaggapy.config.bind import bind
from vaggapy.config.model import Supervise
from vaggapy.config.outputs import awaited
from vaggapy.config.rules import Check, Depend, Output, Rule, When
from vaggapy.config.templates import Malformed, filled, is_key, pieces, references, variables, written
from vaggapy.config.tree import parse
from vaggapy.errors import ConfigError

JOB = "job: once: true"
AFTER = "depends: [{process-exited: job}]"
URL = Output("job", "URL")


def group(children: str) -> Supervise:
    """Bind a group from YAML of its children, indented by six; the first is on line 7."""
    text = f"containers:\n  box:\n    setup: [!Host]\ncommands:\n  all: !Supervise\n    children:\n{children}"
    command = bind(parse(text, "v.yaml"), "/p", "v.yaml").commands["all"]
    assert isinstance(command, Supervise)
    return command


# --- the words ----------------------------------------------------------------------------------------------------

TEXTS = [
    ("", ("",)),
    ("plain $X ${Y} {{ a.b }} $ {{", ("plain $X ${Y} {{ a.b }} $ {{",)),
    ("${{ job.URL }}", ("", URL, "")),
    ("<${{job.URL}}>${{  job.URL\t}}", ("<", URL, ">", URL, "")),
    ("${{ a.b-c.K_1 }}", ("", Output("a.b-c", "K_1"), "")),
    ("$${{ job.URL }}", ("${{", " job.URL }}")),
    ("a$${{b${{job.URL}}", ("a${{", "b", URL, "")),
    ("${{ job }}", ("", Malformed("${{ job }}"), "")),
    ("${{ .URL }}", ("", Malformed("${{ .URL }}"), "")),
    ("${{ job. }}", ("", Malformed("${{ job. }}"), "")),
    ("${{ job.1A }}", ("", Malformed("${{ job.1A }}"), "")),
    ("${{ job.A-B }}", ("", Malformed("${{ job.A-B }}"), "")),
    ("${{ job.Ä }}", ("", Malformed("${{ job.Ä }}"), "")),
    ("${{ a b.URL }}", ("", Malformed("${{ a b.URL }}"), "")),
    ("${{}}", ("", Malformed("${{}}"), "")),
    ("${{ job.URL }", ("", Malformed("${{ job.URL }"), "")),
    ("${{ ${{ job.URL }}", ("", Malformed("${{ ${{ job.URL }}"), "")),
    ("${{", ("", Malformed("${{"), "")),
    ("${{ " + "x" * 100, ("", Malformed("${{ " + "x" * 36 + "..."), "")),
]


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_a_text_consists_of_plain_texts_and_references(text: str, expected: tuple[object, ...]) -> None:
    assert pieces(text) == expected


def test_each_reference_is_replaced_by_its_value_and_nothing_of_a_value_is_a_reference() -> None:
    assert filled("<${{ job.URL }}> $${{ job.URL }}", lambda output: f"${{{{ {output.key} }}}}") == (
        "<${{ URL }}> ${{ job.URL }}"
    )
    assert filled("$X", written) == "$X"
    assert references(written(URL)) == (URL,)


def test_variables_have_names_that_a_shell_takes_and_no_two_the_same() -> None:
    outputs = [Output("a-b", "K"), Output("a.b", "K"), Output("a-b", "K"), Output("ü", "K"), Output("1", "_")]
    assert variables(outputs) == {
        Output("a-b", "K"): "VAGGA_OUTPUT_a_b_K",
        Output("a.b", "K"): "VAGGA_OUTPUT_a_b_K_2",
        Output("ü", "K"): "VAGGA_OUTPUT___K",
        Output("1", "_"): "VAGGA_OUTPUT_1__",
    }


@pytest.mark.parametrize(("text", "right"), [("A", True), ("_a1", True), ("1a", False), ("", False), ("ä", False)])
def test_a_key_is_letters_digits_and_underscores(text: str, right: bool) -> None:
    assert is_key(text) is right


# --- what is bound ------------------------------------------------------------------------------------------------


def test_what_a_child_takes_is_in_its_rule() -> None:
    """As supervision 15.3 says, in `environ`, and in `run` as a text or as words."""
    found = rule(f"environ: {{U: 'at ${{{{ job.URL }}}}', V: plain}}, {AFTER}", JOB)
    assert (found.reads, found.fills) == ((URL,), {"U": "at ${{ job.URL }}"})
    for run in ("echo ${{ job.URL }} ${{ job.B }} ${{ job.URL }}", "[echo, '${{ job.URL }}', '${{ job.B }}']"):
        command = group(
            "      job: !Command {container: box, run: x, once: true}\n"
            f"      web: !Command\n        container: box\n        {AFTER}\n        run: {run}\n"
        )
        assert command.rules is not None
        assert command.rules.children["web"].reads == (URL, Output("job", "B"))
        assert command.rules.children["web"].fills == {}


def test_in_a_group_without_rules_the_signs_mean_nothing() -> None:
    """As supervision 15.3 says."""
    command = group("      web: !Command {container: box, run: 'echo ${{ nobody.X }} $${{ ${{'}\n")
    assert (command.rules, command.children[0].program.run) == (None, "echo ${{ nobody.X }} $${{ ${{")


WAITS = [
    "depends: [{process-exited: job}]",
    "depends: [{tcp: 'a:1'}, {process-exited: {name: job, timeout: none}}]",
    "depends_on: {job: {condition: service_completed_successfully}}",
    "when: {source: job, once: exit-success}",
    "when: {source: job, each: exit-success}",
    "depends: [{process-exited: mid}]",
    "when: {source: mid, once: exit-success}",
    "depends: [{process-exited: many}]",
    "depends: [{process-exited: many-1}]",
]


@pytest.mark.parametrize("waits", WAITS)
def test_whoever_takes_an_output_waits_for_the_end_directly_or_not(waits: str) -> None:
    """As supervision 15.4 says."""
    mid = f"mid: once: true, {AFTER}"
    many = "many: once: true, when: {source: job, once: exit-success}, for-each: {as: N, values: [a, b]}"
    assert wrong(f"web: environ: {{U: '${{{{ job.URL }}}}'}}, {waits}", JOB, mid, many) == []


def takes(text: str, keys: str = AFTER) -> str:
    return f"web: environ: {{U: '{text}'}}, {keys}"


WRONG = [
    (takes("${{ jobb.URL }}"), JOB, "unknown child 'jobb' (did you mean 'job'?) [unknown-child]"),
    (
        takes("${{ github.sha }}"),
        JOB,
        "unknown child 'github' (name a child of the same !Supervise; $${{ is no reference) [unknown-child]",
    ),
    (
        takes("${{ job.URL }}", "depends: [{started: job}]"),
        JOB,
        "'web' takes an output of 'job', and does not wait for its end "
        "(add '- process-exited: job' to 'depends' of 'web') [not-awaited]",
    ),
    (
        takes("${{ job.URL }}", "timeout: 5"),
        JOB,
        "'web' takes an output of 'job', and does not wait for its end "
        "(add '- process-exited: job' to 'depends' of 'web') [not-awaited]",
    ),
    (
        takes("${{ job.URL }}", "when: {source: job, once: exit-failed}"),
        JOB,
        "'web' takes an output of 'job', and does not wait for its end "
        "(add '- process-exited: job' to 'depends' of 'web') [not-awaited]",
    ),
    (
        takes("${{ web.URL }}", "once: true"),
        JOB,
        "'web' takes its own output (name another child) [not-awaited]",
    ),
    (
        takes("${{ job.URL }}", "when: {source: job, once: exit-success}"),
        "job: restarts: 3",
        "'job' is not meant to end, so nobody can take an output of it (add 'once: true' to 'job') [not-once]",
    ),
    (
        takes("${{ job.URL }}"),
        "job: once: true, for-each: {as: N, values: [a]}",
        "'job' stands for several children, so nobody can take an output of it "
        "(let a child of its own write it) [bad-template]",
    ),
    (
        takes("${{ job-0.URL }}"),
        "job: once: true, for-each: {as: N, values: [a]}",
        "'job-0' is one of several children, and nobody can take an output of these "
        "(let a child of its own write it) [bad-template]",
    ),
    (
        takes("${{ job }}"),
        JOB,
        "'${{ job }}' of 'web' is no output of a child "
        "(write ${{ CHILD.KEY }}, or $${{ for the signs themselves) [bad-template]",
    ),
    (
        f"web: health: {{exec: [look, '${{{{ job.URL }}}}'], interval: 1}}, {AFTER}",
        JOB,
        "'${{ job.URL }}' has no effect in 'health' (give it to a variable in 'environ') [bad-template]",
    ),
    (
        f"web: condition: 'test ${{{{ job.URL }}}}', {AFTER}",
        JOB,
        "'${{ job.URL }}' has no effect in 'condition' (give it to a variable in 'environ') [bad-template]",
    ),
    (
        f"web: volumes: {{/a: !Tmpfs {{files: {{b: '${{{{ job.URL }}}}'}}}}}}, {AFTER}",
        JOB,
        "'${{ job.URL }}' has no effect in 'volumes' (give it to a variable in 'environ') [bad-template]",
    ),
]


@pytest.mark.parametrize(("first", "second", "expected"), WRONG)
def test_an_output_that_cannot_be_there_is_a_mistake_of_the_file(first: str, second: str, expected: str) -> None:
    """As supervision 15.4 says."""
    [found] = wrong(first, second)
    assert found.startswith("8:") and found.split(": ", 1)[1] == expected


def test_all_of_it_is_reported_together_with_its_place() -> None:
    children = (
        "      job: !Command {container: box, run: x, restarts: 1}\n"
        "      web: !Command\n        container: box\n        environ: {A: '${{ job.X }}', B: '${{ no.X }}'}\n"
        "        run:\n        - '${{ job }}'\n        - '${{ web.X }}'\n"
    )
    with pytest.raises(ConfigError) as caught:
        group(children)
    assert [(str(problem.mark), problem.name) for problem in caught.value.problems] == [
        ("v.yaml:10:22", "not-once"),
        ("v.yaml:10:22", "not-awaited"),
        ("v.yaml:10:41", "unknown-child"),
        ("v.yaml:12:11", "bad-template"),
        ("v.yaml:13:11", "not-once"),
        ("v.yaml:13:11", "not-awaited"),
    ]


def test_signs_elsewhere_that_name_no_child_are_left_alone() -> None:
    assert wrong(f"web: health: {{exec: 'grep ${{{{ other.URL }}}} f', interval: 1}}, {AFTER}", JOB) == []
    assert wrong("web: environ: {U: '$${{ job.URL }}'}", JOB) == []


def test_awaited_follows_families_of_a_planned_run() -> None:
    rules = {
        "web": Rule(depends=(Depend(Check("process-exited", "many")),)),
        "many-0": Rule(once=True, when=When("job", "exit-success")),
        "job": Rule(once=True),
    }
    assert awaited("web", rules, {"many": ("many-0",)}) == {"many", "many-0", "job"}
    assert awaited("web", {"web": Rule()}, {}) == frozenset()
