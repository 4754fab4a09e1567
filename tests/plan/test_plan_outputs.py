"""Outputs in a planned run: what stands for them until they are known, and who must be there."""

from __future__ import annotations

import pytest

from tests.plan.test_plan_golden import HOST
from vaggapy.config.bind import bind
from vaggapy.config.tree import parse
from vaggapy.errors import CommandError, UsageError
from vaggapy.plan import Request, plan
from vaggapy.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.supervise.stage import Stage

TOP = """\
containers:
  host: {setup: [!Host]}
  python: {setup: [!Host], default-shell: [/usr/bin/python3, -c, $cmdline]}
  bash: {setup: [!Host], default-shell: [/usr/bin/env, bash, -euc, $cmdline]}
commands:
  run: !Supervise
    children:
      job: !Command {container: host, run: x, once: true}
      mid: !Command {container: host, run: x, once: true, depends: [{process-exited: job}]}
      dormant: !Command {container: host, run: x, autostart: false}
"""


def planned(children: str, request: Request | None = None) -> Stage:
    project = bind(parse(TOP + children, "f"), "/p", "f")
    return plan(project, "run", request or Request(), replace(HOST, directory="/p")).stages[-1]


def web(run: str, more: str = "", container: str = "host") -> str:
    return f"""\
      web: !Command
        container: {container}
        depends: [{{process-exited: mid}}]
        run: {run}
{more}"""


def test_children_with_once_get_the_file_and_no_others() -> None:
    """As supervision 15.1 says."""
    stage = planned(web("x"))
    found = {child.name: child.launch.program.output for child in stage.children}
    assert found == {"job": True, "mid": True, "dormant": True, "web": False}


@pytest.mark.parametrize("container", ["host", "bash"])
def test_in_a_text_for_a_shell_a_variable_stands_for_a_value(container: str) -> None:
    """As supervision 15.5 says."""
    run = "echo ${{job.A}} \"${{ mid.B }}\" ${{ job.A }} '$${{ job.A }}'"
    stage = planned(web(run, '        environ: {U: "${{ job.A }}!", V: "$${{ x }}"}\n', container))
    program = stage.children[-1].launch.program
    text = "echo ${VAGGA_OUTPUT_job_A} \"${VAGGA_OUTPUT_mid_B}\" ${VAGGA_OUTPUT_job_A} '${{ job.A }}'"
    assert text in program.words
    fills = {"U": "${{ job.A }}!", "VAGGA_OUTPUT_job_A": "${{ job.A }}", "VAGGA_OUTPUT_mid_B": "${{ mid.B }}"}
    assert stage.rules is not None
    rule = stage.rules.children["web"]
    assert (rule.fills, rule.fills_words) == (fills, False)
    assert {name: program.environ[name] for name in fills} == fills
    assert program.environ["V"] == "${{ x }}"


def test_words_stay_as_they_are_until_the_start_if_one_of_them_takes_a_value() -> None:
    stage = planned(web("[echo, '${{ job.A }}', '$${{ job.A }}']"))
    assert stage.children[-1].launch.program.words == ("echo", "${{ job.A }}", "$${{ job.A }}")
    assert stage.rules is not None and stage.rules.children["web"].fills_words
    plain = planned(web("[echo, '$${{ job.A }}']"))
    assert plain.children[-1].launch.program.words == ("echo", "${{ job.A }}")
    assert plain.rules is not None and not plain.rules.children["web"].fills_words


def test_members_of_a_for_each_may_take_values_and_keep_their_own() -> None:
    more = '        for-each: {as: N, values: [a, "$$"]}\n        environ: {U: "${{ job.A }}", N: "${{ job.B }}"}\n'
    stage = planned(web("x", more))
    assert [child.launch.program.environ["N"] for child in stage.children[-2:]] == ["a", "$$"]
    assert [child.launch.program.environ["U"] for child in stage.children[-2:]] == ["${{ job.A }}"] * 2


def test_what_is_no_shell_gets_values_by_environ_only() -> None:
    with pytest.raises(CommandError) as caught:
        planned(web("print('${{ job.A }}')", container="python"))
    assert str(caught.value) == (
        "web takes an output in its `run`, and /usr/bin/python3 of its container may not know ${NAME} "
        "(give the output to a variable in `environ`, and read that) [bad-template]"
    )
    planned(web("print('$${{ job.A }}')", '        environ: {U: "${{ job.A }}"}\n', container="python"))


def test_an_address_cannot_have_a_value_that_is_known_later() -> None:
    more = '        environ: {PORT: "${{ job.P }}"}\n        health: {tcp: "localhost:$PORT", interval: 1}\n'
    with pytest.raises(CommandError) as caught:
        planned(web("x", more))
    assert str(caught.value) == (
        'web: "localhost:$PORT" has the variable PORT, an output, known at its start only '
        "(look with `exec`, which has the variables of the child) [check-variable]"
    )
    given = Request(environ=(("PORT", "80"),))
    rules = planned(web("x", more), given).rules
    assert rules is not None and rules.children["web"].health is not None
    assert rules.children["web"].health.check.target == "localhost:80"


CHOICES = [
    (("web", "mid"), "web takes A of job, which is left out (choose job too, or leave web out) [output-left-out]"),
    (
        ("web", "job"),
        "web takes A of job, and what it waits for in between is left out "
        "(choose that too, or add '- process-exited: job' to 'depends' of web) [output-left-out]",
    ),
]


@pytest.mark.parametrize(("chosen", "expected"), CHOICES)
def test_whoever_writes_a_value_must_be_there_and_be_awaited(chosen: tuple[str, ...], expected: str) -> None:
    """As supervision 15.7 says."""
    with pytest.raises(UsageError) as caught:
        planned(web("echo ${{ job.A }}"), Request(chosen=chosen))
    assert (str(caught.value), caught.value.code) == (expected, 122)


def test_the_others_do_not_care_who_is_left_out() -> None:
    assert len(planned(web("echo ${{ job.A }}"), Request(chosen=("job", "mid"))).children) == 2
    assert len(planned(web("echo ${{ job.A }}"), Request(chosen=("job", "mid", "web"), picked=True)).children) == 3
