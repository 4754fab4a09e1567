"""Signals to vagga, without a terminal: what children get, when they are killed, which code is left.

Sections 3, 4 and 5 of docs/supervision.md. Each test waits for what it needs to know before it sends the next signal.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from integration.runs import (
    INTERNAL_SIGNALS,
    Project,
    Result,
    Running,
    alive,
    command,
    deadline,
    descendants,
    handles,
    processes,
    supervise,
    wait_until,
)

HUP, INT, QUIT, TERM = signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM
CODES = [(HUP, 129), (INT, 130), (QUIT, 131), (TERM, 143)]
TRAPS = "".join(f"trap 'echo {name} >> $VAGGA_SUBCOMMAND.got' {name}; " for name in ("HUP", "INT", "QUIT", "TERM"))
READY = "touch $VAGGA_SUBCOMMAND.ready; "
# A shell that waits without a process of its own: what a signal does to a second one would blur the picture.
PIPE = 'name=${VAGGA_SUBCOMMAND:-c}; mkfifo "$name.pipe"; exec 3<> "$name.pipe"; '
FOREVER = "while :; do read line <&3; done"
POLITE = f"{PIPE}trap 'exit 0' HUP INT QUIT TERM; {READY}{FOREVER}"
STUBBORN = f"{PIPE}{TRAPS}{READY}{FOREVER}"
LOSS = READY + "until test -e go; do sleep 0.01; done; exit 5"


def up(project: Project, *words: str, count: int = 2, **how: object) -> Running:
    """Start `up` and wait until all its children, named a, b, c and so on, are ready."""
    run = project.start("up", *words, **how)  # type: ignore[arg-type]  # passed on as they come
    wait_until(lambda: project.has(*(f"{name}.ready" for name in "abcd"[:count])), "all children are ready")
    return run


def got(project: Project, name: str, *numbers: signal.Signals) -> bool:
    """Return whether a stubborn child got exactly these signals, in this order."""
    return project.read(f"{name}.got").split() == [number.name.removeprefix("SIG") for number in numbers]


def end(project: Project, run: Running, *numbers: signal.Signals) -> Result:
    """Wait until the stubborn child a got these signals, the last of which vagga gets once more: that kills it."""
    wait_until(lambda: got(project, "a", *numbers), f"a got {numbers}")
    run.signal(numbers[-1])
    result = run.finish()
    assert got(project, "a", *numbers)
    return result


# --- the first signal -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), CODES)
@pytest.mark.parametrize("mode", ["stop-on-failure", "wait-all-successful"])
def test_X1_the_code_is_that_of_the_signal_even_if_all_children_end_with_0(
    project: Project, number: signal.Signals, code: int, mode: str
) -> None:
    """supervision 4.1, 5.3, 6.2; X9 for SIGHUP."""
    project.write(supervise("up", {"a": POLITE, "b": POLITE}, mode=mode, kill_unresponsive_after=30))
    run = up(project)
    run.signal(number)
    result = run.finish()
    assert result.code == code
    lines = result.err.splitlines()
    assert lines[0] == f"Received {number.name} signal. Waiting the processes to stop..."
    assert lines[-1].startswith(f"vagga: stopped by {number.name}, all ended after ")
    assert lines[-1].endswith(f"; vagga exits with {code}")


@pytest.mark.parametrize(("number", "code"), CODES)
def test_X1_a_single_command_has_the_same_rules(project: Project, number: signal.Signals, code: int) -> None:
    """supervision 4.1, 5.3, 6.2: and it says nothing when it stops in time."""
    project.write(command("c", f"{PIPE}trap 'exit 0' HUP INT QUIT TERM; touch ready; {FOREVER}"))
    run = project.start("c")
    wait_until(lambda: project.has("ready"), "the command is ready")
    run.signal(number)
    result = run.finish()
    assert (result.code, result.out, result.err) == (code, "", "")


@pytest.mark.parametrize(("number", "code"), CODES)
def test_X7_each_living_child_gets_the_same_signal_exactly_once(
    project: Project, number: signal.Signals, code: int
) -> None:
    """supervision 4.1, 3.6: sent to the supervisor only, there is no terminal that could do it."""
    project.write(supervise("up", {"a": STUBBORN, "b": STUBBORN}, kill_unresponsive_after=60))
    run = up(project)
    run.signal(number)
    wait_until(lambda: got(project, "a", number) and got(project, "b", number), "both got it")
    passed = [number]
    if number == HUP:  # does not hasten the end
        run.signal(TERM)
        passed.append(TERM)
        wait_until(lambda: got(project, "a", *passed) and got(project, "b", *passed), "both got the next one")
    run.signal(passed[-1])  # kills them at once
    result = run.finish()
    assert result.code == code
    assert got(project, "a", *passed)
    assert got(project, "b", *passed)


def test_a_signal_goes_to_the_whole_group_of_the_command(project: Project) -> None:
    """supervision 3.3: also to the processes that its shell started."""
    inner = "trap 'echo inner >> got; exit' TERM; touch a.ready; while :; do sleep 0.05; done"
    project.write(supervise("up", {"a": f'sh -c "{inner}"; echo not reached'}, kill_unresponsive_after=30))
    run = up(project, count=1)
    run.signal(TERM)
    assert run.finish().code == 143
    assert project.read("got") == "inner\n"


def test_a_shell_that_dies_first_does_not_take_the_grace_of_its_server_away(project: Project) -> None:
    """supervision 3.3, 3.8, peers 8: the leader exits at once, the other of its group needs a while."""
    server = "trap 'sleep 0.3; echo saved >> got; exit' TERM; touch a.ready; while :; do sleep 0.05; done"
    project.write(supervise("up", {"a": f'sh -c "{server}" & trap "exit 0" TERM; wait'}, kill_unresponsive_after=30))
    run = up(project, count=1)
    run.signal(TERM)
    assert run.finish().code == 143
    assert project.read("got") == "saved\n"


def test_the_leader_obeys_and_another_of_its_group_does_not(project: Project) -> None:
    """supervision 3.6, peers 8: the grace time ends with a kill, and it is told."""
    server = "trap '' TERM; touch a.ready; while :; do sleep 60; done"
    project.write(supervise("up", {"a": f'sh -c "{server}" & trap "exit 0" TERM; wait'}, kill_unresponsive_after=1))
    run = up(project, count=1)
    run.signal(TERM)
    result = run.finish()
    assert result.code == 143
    assert 'Processes ["a"] are still alive. Killing ...' in result.err


# --- the deadline -----------------------------------------------------------------------------------------------


def test_X2_children_that_do_not_obey_are_killed_two_seconds_later_and_named(project: Project) -> None:
    """supervision 3.6, 3.7."""
    project.write(supervise("up", {"a": STUBBORN, "b": POLITE, "c": STUBBORN}))
    run = up(project, count=3)
    begun = time.monotonic()
    run.signal(TERM)
    result = run.finish()
    assert 1.95 <= time.monotonic() - begun < 30
    assert result.code == 143
    assert '---------- Processes ["a", "c"] are still alive. Killing ... -----------\n' in result.err
    assert "vagga: they had 2 s to stop; " in result.err


def test_X2_a_single_command_that_does_not_obey_is_killed_and_named(project: Project) -> None:
    """supervision 3.6, 3.7."""
    project.write(command("c", "trap '' TERM; touch ready; while :; do sleep 60; done"))
    run = project.start("c")
    wait_until(lambda: project.has("ready"), "the command is ready")
    run.signal(TERM)
    result = run.finish()
    assert result.code == 143
    assert 'Processes ["c"] are still alive' in result.err


@pytest.mark.parametrize("number", [TERM, INT])
def test_X3_when_all_have_obeyed_nothing_waits_for_the_deadline(project: Project, number: signal.Signals) -> None:
    """supervision 3.8."""
    project.write(supervise("up", {"a": POLITE, "b": POLITE}, kill_unresponsive_after=60))
    run = up(project)
    begun = time.monotonic()
    run.signal(number)
    run.finish()
    assert time.monotonic() - begun < 40


def test_X12_a_stopped_child_is_killed_at_the_deadline(project: Project) -> None:
    """supervision 3.6."""
    project.write(supervise("up", {"a": READY + "kill -STOP $$; exit 3"}, kill_unresponsive_after=1))
    run = up(project, count=1)
    wait_until(lambda: "T" in states(run), "the child is stopped")
    run.signal(TERM)
    result = run.finish()
    assert result.code == 143
    assert 'Processes ["a"] are still alive' in result.err


# --- the second signal ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", [INT, QUIT, TERM])
@pytest.mark.parametrize("first", [INT, TERM])
def test_X4_a_second_signal_kills_at_once(project: Project, first: signal.Signals, second: signal.Signals) -> None:
    """supervision 4.2, 5.2."""
    project.write(supervise("up", {"a": STUBBORN, "b": STUBBORN}, kill_unresponsive_after=60))
    run = up(project)
    run.signal(first)
    wait_until(lambda: got(project, "a", first) and got(project, "b", first), "both got the first")
    run.signal(second)
    result = run.finish()
    assert result.code == 128 + first
    assert got(project, "a", first)
    assert f"Received {second.name} signal again. Killing the processes..." in result.err


def test_X4_the_first_signal_after_a_childs_end_is_passed_on_and_the_second_kills(project: Project) -> None:
    """supervision 4.2, 3.1, 5.2; X16."""
    project.write(supervise("up", {"a": LOSS, "b": STUBBORN}, kill_unresponsive_after=60))
    run = up(project)
    (project.directory / "go").touch()
    wait_until(lambda: got(project, "b", TERM), "b is asked to stop")
    run.signal(INT)
    wait_until(lambda: got(project, "b", TERM, INT), "b gets the first signal")
    run.signal(INT)
    result = run.finish()
    assert result.code == 5
    assert result.err.splitlines()[-1].startswith("vagga: a exited with code 5")


def test_X16_a_closed_terminal_does_not_hasten_the_kill(project: Project) -> None:
    """supervision 4.3: SIGHUP comes again and again, and another reason after it."""
    project.write(supervise("up", {"a": STUBBORN, "b": LOSS}, kill_unresponsive_after=60))
    run = up(project)
    run.signal(HUP)
    wait_until(lambda: got(project, "a", HUP), "a gets it")
    run.signal(HUP)
    run.signal(HUP)
    run.signal(TERM)  # the first that insists: it is passed on
    wait_until(lambda: got(project, "a", HUP, TERM), "a gets the next one, and SIGHUP only once")
    run.signal(TERM)
    assert run.finish().code == 129


# --- ignored, blocked and harmless signals ----------------------------------------------------------------------


def test_X9_a_hangup_that_was_ignored_at_the_start_stays_ignored(project: Project) -> None:
    """supervision 4.7."""
    project.write(supervise("up", {"a": STUBBORN}, kill_unresponsive_after=60))
    run = up(project, count=1, under=["nohup"])
    run.signal(HUP)
    run.signal(TERM)
    result = end(project, run, TERM)
    assert result.code == 143
    assert "SIGHUP" not in result.err


ALL = "{signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD, signal.SIGTSTP, signal.SIGUSR1}"
IGNORE = f"for number in {ALL}: signal.signal(number, signal.SIG_IGN)"
BLOCK = f"signal.pthread_sigmask(signal.SIG_BLOCK, {ALL})"
IGNORING, BLOCKING = (
    [sys.executable, "-c", f"import os, signal, sys\n{what}\nos.execv(sys.argv[1], sys.argv[1:])"]
    for what in (IGNORE, BLOCK)
)


@pytest.mark.parametrize("under", [IGNORING, BLOCKING], ids=["ignored", "blocked"])
def test_S9_children_start_with_default_signals_and_an_empty_mask(project: Project, under: list[str]) -> None:
    """Peers 8: also with a SIGCHLD that was ignored."""
    project.write(
        command("c", ["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"])
        + supervise("up", {"a": ["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]})
    )
    for words in (["c"], ["up"], ["--prefix", "up"]):
        result = project.run(*words, under=under)
        assert result.code == 0, result.err
        assert [int(line.split()[-1], 16) & ~INTERNAL_SIGNALS for line in result.out.splitlines()] == [0, 0]


@pytest.mark.parametrize("under", [IGNORING, BLOCKING], ids=["ignored", "blocked"])
@pytest.mark.parametrize(("number", "code"), [(INT, 130), (TERM, 143)])
def test_S9_a_signal_that_was_ignored_or_blocked_at_the_start_stops_the_run_nevertheless(
    project: Project, under: list[str], number: signal.Signals, code: int
) -> None:
    project.write(supervise("up", {"a": STUBBORN}, kill_unresponsive_after=60))
    run = up(project, count=1, under=under)
    run.signal(number)
    assert end(project, run, number).code == code


@pytest.mark.parametrize("words", [[], ["_list"], ["--dry-run", "c"]])
def test_S9_an_ignored_sigchld_disturbs_nothing_that_vagga_does(project: Project, words: list[str]) -> None:
    """Peers 8."""
    project.write(command("c", "exit 0"))
    result = project.run(*words, under=IGNORING)
    assert result.code == (0 if words else 127)
    assert "[internal]" not in result.err


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD, signal.SIGWINCH, signal.SIGPIPE])
def test_X17_other_signals_are_harmless(project: Project, number: signal.Signals) -> None:
    project.write(supervise("up", {"a": STUBBORN}, kill_unresponsive_after=60))
    run = up(project, count=1)
    run.signal(number)
    run.signal(TERM)
    result = end(project, run, TERM)
    assert result.code == 143
    assert result.err.startswith("Received SIGTERM signal.")


SLOWLY = ["nice", "-n", "19"]
"""Under this vagga gets hardly any time of a processor that the test wants, which so meets it in an early moment."""

# --- moments ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), CODES)
def test_X5_a_signal_before_the_first_start_prevents_every_start(
    project: Project, number: signal.Signals, code: int
) -> None:
    """supervision 1.6: it comes while vagga still reads its file."""
    children = {f"c{n}": "touch started; exec sleep 60" for n in range(300)}  # takes a while to read
    project.write(supervise("up", children))
    run = project.start("up", under=SLOWLY)
    wait_until(lambda: handles(run.pid, HUP), "vagga has taken all signals over, SIGHUP last")
    run.signal(number)
    result = run.finish()
    assert result.code == code
    assert not project.has("started")


@pytest.mark.parametrize("children", [1, 12])
def test_X5_a_signal_between_two_starts_stops_those_that_were_started(project: Project, children: int) -> None:
    """supervision 3.4, 3.5: the spawner is held up, so that some are asked for and not yet started."""
    project.write(supervise("up", {f"c{n}": POLITE for n in range(children)}, kill_unresponsive_after=30))
    run = project.start("up")
    spawner = run.spawner()
    os.kill(spawner, signal.SIGSTOP)
    run.signal(TERM)
    wait_until(lambda: "T" in processes()[spawner][1], "the spawner is stopped")
    os.kill(spawner, signal.SIGCONT)
    result = run.finish()
    assert result.code == 143
    assert "Traceback" not in result.err


def test_X6_a_signal_that_comes_with_the_end_of_a_child_counts(project: Project) -> None:
    """supervision 5.4: vagga is stopped while both happen, so that it meets them in one turn."""
    project.write(supervise("up", {"a": LOSS, "b": POLITE}, kill_unresponsive_after=30))
    run = up(project)
    run.signal(signal.SIGSTOP)
    (project.directory / "go").touch()
    wait_until(lambda: len(run.inits()) == 1, "a is gone")
    run.signal(TERM)
    run.signal(signal.SIGCONT)
    result = run.finish()
    assert result.code == 143
    assert result.err.splitlines()[-1].startswith("vagga: stopped by SIGTERM")


# --- suspended --------------------------------------------------------------------------------------------------


def states(run: Running) -> set[str]:
    """Return the state letters of the processes of all children: neither vagga, nor its spawner, nor any PID 1."""
    table = processes()
    own = {run.pid, run.spawner(), *run.inits()}
    return {table[pid][1] for pid in descendants(run.pid) if pid in table and pid not in own} - {"Z"}


def test_X10_suspended_and_continued(project: Project) -> None:
    """supervision 4.5, 4.6."""
    # b is ready when its shell waits: one that is stopped while it starts a program sleeps in state D.
    other = f"setsid sh -c '{READY}exec sleep 60'"
    project.write(supervise("up", {"a": POLITE, "b": other}, kill_unresponsive_after=30))
    run = up(project)
    run.signal(signal.SIGTSTP)
    wait_until(lambda: processes()[run.pid][1] == "T", "vagga is suspended")
    wait_until(lambda: states(run) == {"T"}, "all processes of all children are stopped")
    run.signal(signal.SIGCONT)
    wait_until(lambda: states(run) <= {"S", "R"}, "all processes of all children go on")
    run.signal(TERM)
    assert run.finish().code == 143


def test_X10_suspended_ones_that_are_told_to_stop_are_continued(project: Project) -> None:
    """supervision 3.9: they can obey the signal, nothing has to be killed."""
    project.write(supervise("up", {"a": POLITE, "b": POLITE}, kill_unresponsive_after=30))
    run = up(project)
    run.signal(signal.SIGTSTP)
    wait_until(lambda: processes()[run.pid][1] == "T" and states(run) == {"T"}, "all is suspended")
    run.signal(TERM)
    run.signal(signal.SIGCONT)
    result = run.finish()
    assert result.code == 143
    assert "still alive" not in result.err


def test_X10_continued_without_a_suspension_does_nothing(project: Project) -> None:
    """supervision 4.6."""
    project.write(supervise("up", {"a": POLITE}, kill_unresponsive_after=30))
    run = up(project, count=1)
    run.signal(signal.SIGCONT)
    run.signal(TERM)
    result = run.finish()
    assert result.code == 143
    assert "SIGCONT" not in result.err
    assert not alive(descendants(run.pid))


@pytest.mark.parametrize("again", [False, True], ids=["deadline", "second signal"])
def test_X4_a_child_whose_start_hangs_is_killed_too(project: Project, again: bool) -> None:
    """supervision 3.5: its PID 1 is stopped before the program runs, so that it never will."""
    volumes = "".join(f"      /tmp/v{number}: !Tmpfs {{size: 4096}}\n" for number in range(300))
    grace = 60 if again else 1
    project.write(
        f"  up: !Supervise\n    kill-unresponsive-after: {grace}\n    children:\n"
        "      a: !Command\n        container: many\n        run: touch ran; sleep 60\n",
        f"containers:\n  many:\n    setup: [!Host]\n    volumes:\n{volumes}",
    )
    run = caught_early(project)
    run.signal(TERM)
    if again:
        wait_until(lambda: "SIGTERM" in project.read("records"), "the first one was taken")
        run.signal(TERM)
    assert run.finish().code == 143
    assert not project.has("ran")


def caught_early(project: Project) -> Running:
    """Start `up`, and stop the PID 1 of its child before there is a program; where that came too late, start again."""
    going = deadline()
    while going():
        with open(project.directory / "records", "w") as records:
            words = ("--status-fd", str(records.fileno()), "up")
            run = project.start(*words, pass_fds=[records.fileno()], under=SLOWLY)
        init = first_child(run.spawner())
        os.kill(init, signal.SIGSTOP)
        wait_until(lambda init=init: processes()[init][1] == "T", "PID 1 stands still")  # type: ignore[misc]
        if not descendants(init):
            return run
        run.signal(signal.SIGKILL)
        run.finish()
        (project.directory / "ran").unlink(missing_ok=True)
    pytest.fail("the child always began before it was stopped")


def first_child(pid: int) -> int:
    """Return the first child of a process, without a pause between looks: it is to be caught early in its life."""
    children, going = Path(f"/proc/{pid}/task/{pid}/children"), deadline()
    while going():
        if found := children.read_text().split():
            return int(found[0])
    pytest.fail("no child came")
