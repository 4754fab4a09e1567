"""`vagga _simulate COMMAND`: what a run would do, and when, told by the real policy on a clock of its own."""

from __future__ import annotations

import json

from vaggapy.cli import argv
from vaggapy.cli.argv import Invocation
from vaggapy.config.durations import EXAMPLES, read_duration
from vaggapy.errors import ExitCode, UsageError, visible
from vaggapy.record import Record, replace
from vaggapy.spelling import closest
from vaggapy.supervise import story
from vaggapy.supervise.events import Ended
from vaggapy.supervise.messages import duration, how, signal_name
from vaggapy.supervise.scenario import EXITS, FAILS, PASSES, SIGNALLED, Scenario, Wish, subjects
from vaggapy.supervise.simulation import Outcome, simulate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vaggapy.cli.argv import Options
    from vaggapy.plan import Plan
    from vaggapy.supervise.stage import Stage

KNOWN = {
    **argv.HELP,
    "--kill": (argv.VALUE, "kill", ""),
    "--exit": (argv.VALUE, "exit", ""),
    "--ready": (argv.VALUE, "ready", ""),
    "--fail": (argv.VALUE, "fail", ""),
    "--signal": (argv.VALUE, "signal", ""),
    "--stubborn": (argv.LIST, "stubborn", ""),
    "--until": (argv.VALUE, "until", ""),
    "--only": (argv.LIST, "only", ""),
    "--exclude": (argv.LIST, "exclude", ""),
    "--debug": (argv.FLAG, "debug", ""),
    "--json": (argv.FLAG, "json", ""),
}
FORMS = {
    "kill": "CHILD@TIME, as in web@3s",
    "exit": "CHILD=CODE@TIME, as in web=1@3s",
    "ready": "SUBJECT@TIME, as in web@3s",
    "fail": "SUBJECT@TIME, as in web@3s",
    "signal": "NAME@TIME, as in INT@3s",
}
KILLED = 9
SIGNALS = {signal_name(number).removeprefix("SIG"): number for number in (1, 2, 3, 10, 12, 15)}
HIGHEST_CODE = 255


class Asked(Record):
    """What the words after `_simulate` mean; the names in `scenario` are not yet checked.

    `words`: for the command. `command` "": help was asked for.
    """

    command: str = ""
    words: tuple[str, ...] = ()
    scenario: Scenario = Scenario()
    json: bool = False


def run(
    words: tuple[str, ...], options: Options, run_command: Callable[[Invocation, Callable[[Plan, Options], int]], int]
) -> int:
    """Do it and return the exit code of the simulated run.

    `run_command(invocation, show)` plans, and calls `show(plan, options)` for what is told to be a dry run.

    Raises:
        VaggaError: the words are wrong, or there is no such command.
    """
    asked = read(words)
    if not asked.command:
        from vaggapy.cli.app import help_text  # typer takes 40 ms

        print(help_text("_simulate"), end="")
        return ExitCode.OK

    def show(planned: Plan, _: Options) -> int:
        stage = planned.stages[-1]
        names = tuple(child.name for child in stage.children)
        scenario = checked(asked.scenario, stage, names)
        if not names and stage.rules is not None:  # a `for-each` without values is complete before it begins
            outcome = Outcome((), (), ExitCode.OK, 0.0, Ended(ExitCode.OK, None, 0.0, 0), quiet=True)
        else:
            rules = replace(stage.rules, unattended="") if stage.rules is not None else None
            outcome = simulate(stage.mode, names, float(stage.grace), rules, scenario)
        print(as_json(outcome) if asked.json else text(outcome), end="")
        return outcome.code

    alone = replace(options, dry_run=True, no_prerequisites=True)
    return run_command(Invocation(alone, asked.command, asked.words), show)


# --- words ------------------------------------------------------------------------------------------------------


def read(words: tuple[str, ...]) -> Asked:
    """Return what the words after `_simulate` mean.

    Raises:
        UsageError: exit code 122.
    """
    given: dict[str, list[str]] = {}
    wishes: list[Wish] = []
    others: list[str] = []
    until = 0.0
    for key, value, _ in argv.scan(words, KNOWN, "vagga _simulate"):
        if key == "help":
            return Asked()
        if not key:
            others.append(value)
        elif key in FORMS:
            wishes.append(_wish(key, value))
        elif key == "until":
            until = _time(key, value, value)
        else:
            given.setdefault(key, []).append(value)
    if not others:
        raise UsageError("Argument command is required", "write vagga _simulate COMMAND [OPTIONS]", "missing-argument")
    selection = [word for key in ("only", "exclude") if key in given for word in (f"--{key}", *given[key])]
    scenario = Scenario(tuple(wishes), tuple(given.get("stubborn", ())), until)
    debug = ["--debug"] if "debug" in given else []
    return Asked(others[0], (*others[1:], *selection, *debug), scenario, "json" in given)


def _wish(key: str, value: str) -> Wish:
    """Return what one option asks for: `WHAT@TIME`."""
    subject, _, time = value.rpartition("@")
    if not subject:
        raise _bad(key, value)
    each = key in ("kill", "exit") and time.startswith("+")
    at = _time(key, value, time.removeprefix("+") if each else time)
    if key == "kill":
        return Wish(EXITS, at, subject, signal=KILLED, each=each)
    if key == "exit":
        name, equals, code = subject.rpartition("=")
        if not equals:
            return Wish(EXITS, at, subject, each=each)
        if not (code.isascii() and code.isdigit() and len(code) <= len("255") and int(code) <= HIGHEST_CODE):
            raise _bad(key, value)
        return Wish(EXITS, at, name, int(code), each=each)
    if key == "signal":
        number = SIGNALS.get(subject.upper().removeprefix("SIG"))
        if number is None:
            raise UsageError(f"Bad value {value}", f"--signal knows {', '.join(SIGNALS)}", "bad-option-value")
        return Wish(SIGNALLED, at, signal=number)
    return Wish(PASSES if key == "ready" else FAILS, at, subject)


def _time(key: str, value: str, time: str) -> float:
    seconds = read_duration(time)
    if seconds is None:
        raise _bad(key, value)
    return seconds


def _bad(key: str, value: str) -> UsageError:
    form = FORMS.get(key, "a time")
    return UsageError(f"Bad value {value}", f"--{key} takes {form}; a time is {EXAMPLES}", "bad-option-value")


def checked(scenario: Scenario, stage: Stage, names: tuple[str, ...]) -> Scenario:
    """Return the scenario with the names of `for-each` replaced by those of all their members.

    Raises:
        UsageError: a name that the command does not have; exit code 122.
    """
    families = stage.rules.families if stage.rules is not None else {}
    known = (*names, *families)
    about = (*subjects(names, stage.rules), *families)
    wishes: list[Wish] = []
    for wish in scenario.wishes:
        if wish.kind in (PASSES, FAILS):
            option = "--ready" if wish.kind == PASSES else "--fail"
            _must_be_known(option, wish.subject, about, "nothing that can pass or fail here")
        elif wish.kind == EXITS:
            _must_be_known("--kill" if wish.signal else "--exit", wish.subject, known, "no child of this run")
        members = families.get(wish.subject, (wish.subject,))
        wishes += [replace(wish, subject=member) for member in members]
    for name in scenario.stubborn:
        _must_be_known("--stubborn", name, known, "no child of this run")
    stubborn = tuple(member for name in scenario.stubborn for member in families.get(name, (name,)))
    return replace(scenario, wishes=tuple(wishes), stubborn=stubborn)


def _must_be_known(option: str, name: str, known: tuple[str, ...], what: str) -> None:
    if name not in known:
        near = closest(name, known)
        remedy = f'did you mean "{near}"?' if near else f"what there is: {', '.join(known) or 'nothing'}"
        raise UsageError(f'{option}: "{name}" is {what}', remedy, "unknown-child")


# --- what is shown ----------------------------------------------------------------------------------------------


def text(outcome: Outcome) -> str:
    """Return the timeline, how each child is at the end, and the exit code with its reason."""
    lines = [f"{line.at:10.2f} s  {line.text}" for line in outcome.lines]
    return "".join(f"{line}\n" for line in (*lines, "", *_states(outcome.states), "", *_end(outcome)))


def _states(states: Iterable[tuple[str, str]]) -> list[str]:
    shown = [(visible(name), visible(state)) for name, state in states]
    width = max((len(name) for name, _ in shown), default=0)
    return [f"{name:{width}}  {state}" for name, state in shown]


def _end(outcome: Outcome) -> list[str]:
    ended = outcome.ended
    if ended is None:
        when = f"after {duration(outcome.at)}"
        why = f"it runs on, nothing more happens {when}" if outcome.quiet else f"it still runs {when}"
        return [f"exit code {outcome.code}: {why}"]
    chain = [story.chain_text(ended.chain).removeprefix("vagga: ").rstrip()] if len(ended.chain) > 1 else []
    return [*(f"why: {each}" for each in chain), f"exit code {outcome.code}: {how(ended)}"]


def as_json(outcome: Outcome) -> str:
    """Return the same as one JSON object."""
    found = {
        "timeline": [{"at": line.at, "text": line.text} for line in outcome.lines],
        "states": dict(outcome.states),
        "code": outcome.code,
        "at": outcome.at,
        "finished": outcome.ended is not None,
        "why": how(outcome.ended) if outcome.ended is not None else None,
    }
    return json.dumps(found, indent=2) + "\n"
