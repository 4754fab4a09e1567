"""Give a stage its rules, with every check ready to be carried out. Pure; imported only where there are rules.

Texts for a shell become command lines, variables get their values, paths are relative to the project, and the output
of children goes where it can be looked at.

Source: supervision-systems.md 3.6, D11 of 6.5.
"""

from __future__ import annotations

from vaggapy.config.rules import ABOUT_CHILDREN, EXEC, FILE_CONTAINS, NOT_EXISTS, ON_FAIL_DEBUG, OUTPUT_MATCHES, PATH
from vaggapy.config.templates import filled, references, variables, written
from vaggapy.errors import CommandError, ExitCode, UsageError
from vaggapy.record import replace
from vaggapy.sandbox.spec import INHERIT, PIPES, TERMINAL, TERMINALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vaggapy.config.model import Child, Container
    from vaggapy.config.rules import Check, Rule, Rules
    from vaggapy.host import Host
    from vaggapy.supervise.stage import ChildPlan, Stage

PLACES = (PATH, NOT_EXISTS, FILE_CONTAINS)
WORK = "/work"
DOLLAR = "$"
HIDDEN = "(redacted)"
CMDLINE = "$cmdline"
SHELLS = ("sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "busybox")
"""Programs that put the value of a variable in the place of `${NAME}`."""


def equipped(
    stage: Stage, rules: Rules, words: Callable[[str, str], tuple[str, ...]], late: frozenset[str], host: Host
) -> Stage:
    """Return a plain stage with rules.

    More than one child, or one whose lines are looked at, has its output pass through us, with a prefix or without.
    `words(child, text)` makes a command line of a text for the shell of its container. `late`: the children whose
    variables are not yet known: theirs stay as they are written, until `completed`.

    Raises:
        CommandError: a variable that is not set; a path that leaves the project.
    """
    children = dict(rules.children)
    for child in stage.children:
        rule = children.get(child.name)
        if rule is not None:
            worded = _worded(rule, child.name, words)
            children[child.name] = worded if child.name in late else _expanded(worded, child)
    streams, prefixed = stage.streams, stage.streams in (PIPES, TERMINALS)
    if not prefixed and (len(stage.children) > 1 or needs_lines(rules)):
        streams = TERMINALS if host.terminals[1] and host.terminals[2] else PIPES
    plans = tuple(_heard(child, children.get(child.name), streams) for child in stage.children)
    made = replace(stage, children=plans, streams=streams, prefixed=prefixed or stage.streams == streams)
    return replace(made, rules=replace(rules, children=children, unattended=_unattended(made, rules, host)))


def _unattended(stage: Stage, rules: Rules, host: Host) -> str:
    """Return why nobody can be asked to end a pause, "" if somebody can or nobody need be."""
    if not rules.debug and not any(map(_may_pause, rules.children.values())):
        return ""
    if not host.terminals[0]:
        return "standard input is no terminal"
    if not host.terminals[2]:
        return "standard error is no terminal"
    if stage.streams not in (INHERIT, TERMINAL):
        return ""
    return f"the terminal is that of {stage.children[0].name}" if stage.children else "there is no child"


def _may_pause(rule: Rule) -> bool:
    return any(each.on_fail == ON_FAIL_DEBUG for each in (rule.health, rule.ready, *rule.watches) if each is not None)


def check_attended(stage: Stage) -> None:
    """Refuse `--debug` where nobody can be asked to end the pause.

    Raises:
        UsageError: there is no terminal, or a child reads it; exit code 122.
    """
    rules = stage.rules
    if rules is not None and rules.debug and rules.unattended:
        own = stage.streams in (INHERIT, TERMINAL)
        remedy = "with `vagga --prefix` before the command it has none" if own else "run it where ENTER can be pressed"
        raise UsageError(f"--debug: {rules.unattended}", remedy, "no-terminal")


def needs_lines(rules: Rules) -> bool:
    """Return whether what children print has to be looked at."""
    return any(
        (rule.ready is not None and rule.ready.line) or any(each.check.kind == OUTPUT_MATCHES for each in rule.depends)
        for rule in rules.children.values()
    )


def completed(stage: Stage, late: frozenset[str]) -> Stage:
    """Return a stage with the variables of those `late` containers, which are complete now.

    Raises:
        CommandError: as with `equipped`.
    """
    rules = stage.rules
    if rules is None:
        return stage
    found = {child.name: child for child in stage.children if child.container in late}
    children = {name: _expanded(rule, found[name]) if name in found else rule for name, rule in rules.children.items()}
    return replace(stage, rules=replace(rules, children=children))


def redacted(stage: Stage, names: tuple[str, ...]) -> Stage:
    """Return a stage for showing, without the values of these variables in what is looked at."""
    rules = stage.rules
    if rules is None or not names:
        return stage
    values = {child.launch.program.environ.get(name, "") for child in stage.children for name in names}
    secrets = sorted(values - {""}, key=len, reverse=True)

    def hide(check: Check) -> Check:
        target = check.target
        for secret in secrets:
            target = target.replace(secret, HIDDEN)
        return replace(check, target=target)

    children = {name: _with_checks(rule, hide) for name, rule in rules.children.items()}
    return replace(stage, rules=replace(rules, children=children))


def _heard(child: ChildPlan, rule: Rule | None, streams: str) -> ChildPlan:
    """Return a child whose output and readiness come to us."""
    program = replace(child.launch.program, streams=streams)
    if rule is not None and rule.ready is not None:
        program = replace(program, notify=rule.ready.notify, ready_fd=rule.ready.fd)
    if rule is not None and rule.once:
        program = replace(program, output=True)
    return replace(child, launch=replace(child.launch, program=program))


# --- outputs of other children ---------------------------------------------------------------------------------


def with_outputs(
    children: tuple[Child, ...], rules: Rules, containers: Mapping[str, Container]
) -> tuple[tuple[Child, ...], Rules]:
    """Return children and rules so that outputs can be put in at each start; where there are none, `$${{` is undone.

    In a text for a shell a variable stands for each output, so that no value is ever read as a part of the text.
    `containers`: that of each child, by its name.

    Raises:
        CommandError: the shell of a container may not have such variables.
    """
    made, own = [], dict(rules.children)
    for child in children:
        run = child.program.run
        fills: dict[str, str] = {}
        in_words = not isinstance(run, str) and any(map(references, run))
        if isinstance(run, str):
            run, fills = _for_shell(child.name, run, containers[child.name])
        elif not in_words:
            run = tuple(filled(word, written) for word in run)
        texts = {
            name: text if references(text) else filled(text, written) for name, text in child.program.environ.items()
        }
        made.append(replace(child, program=replace(child.program, run=run, environ={**texts, **fills})))
        rule = own.get(child.name)
        if rule is not None and rule.reads:
            own[child.name] = replace(rule, fills={**rule.fills, **fills}, fills_words=in_words)
    return tuple(made), replace(rules, children=own)


def _for_shell(name: str, text: str, container: Container) -> tuple[str, dict[str, str]]:
    """Return a text with a variable for each output that it takes, and what these variables stand for."""
    names = variables(references(text))
    if names:
        _check_shell(name, container)
    return filled(text, lambda output: f"${{{names[output]}}}"), {names[each]: written(each) for each in names}


def _check_shell(name: str, container: Container) -> None:
    """Refuse to rely on `${NAME}` where something else than a shell reads the text."""
    words = container.default_shell or SHELLS
    before = words[: words.index(CMDLINE)] if CMDLINE in words else words
    if not any(word.rpartition("/")[2] in SHELLS for word in before):
        raise CommandError(
            f"{name} takes an output in its `run`, and {before[0]} of its container may not know ${{NAME}}",
            "give the output to a variable in `environ`, and read that",
            "bad-template",
            ExitCode.CONFIG,
        )


# --- what checks look at ----------------------------------------------------------------------------------------


def _with_checks(rule: Rule, change: Callable[[Check], Check]) -> Rule:
    """Return a rule with each of its checks changed."""
    return replace(
        rule,
        depends=tuple(replace(each, check=change(each.check)) for each in rule.depends),
        condition=change(rule.condition) if rule.condition else None,
        health=replace(rule.health, check=change(rule.health.check)) if rule.health else None,
        watches=tuple(replace(each, check=change(each.check)) for each in rule.watches),
    )


def _worded(rule: Rule, name: str, words: Callable[[str, str], tuple[str, ...]]) -> Rule:
    def word(check: Check) -> Check:
        if check.kind != EXEC or check.words:
            return check
        return replace(check, words=words(name, check.target), target="")

    return _with_checks(rule, word)


def _expanded(rule: Rule, child: ChildPlan) -> Rule:
    environ = child.launch.program.environ

    def expand(check: Check) -> Check:
        made = expanded(child.name, check, environ)
        for name, text in rule.fills.items():
            if text in made.target and text not in check.target:
                raise CommandError(
                    f'{child.name}: "{check.target}" has the variable {name}, an output, known at its start only',
                    "look with `exec`, which has the variables of the child",
                    "check-variable",
                    ExitCode.CONFIG,
                )
        return made

    return _with_checks(rule, expand)


def expanded(name: str, check: Check, environ: Mapping[str, str]) -> Check:
    """Return a check of `name` with variables in what it looks at, and its path relative to the project.

    Raises:
        CommandError: a variable that is not set; a path that leaves the project.
    """
    if check.kind == EXEC or check.kind in ABOUT_CHILDREN:
        return check
    target = with_variables(name, check.target, environ)
    return replace(check, target=_within(name, target) if check.kind in PLACES else target)


def with_variables(name: str, text: str, environ: Mapping[str, str]) -> str:
    """Return a text with `$VAR` and `${VAR}` replaced; `$$` is a dollar, and so is one before anything else.

    Raises:
        CommandError: a variable that is not set, or `${` without a name and `}`.
    """
    parts: list[str] = []
    at = 0
    while (found := text.find(DOLLAR, at)) >= 0:
        parts.append(text[at:found])
        variable, at = _variable(name, text, found + 1)
        if variable not in environ and variable != DOLLAR:
            raise CommandError(
                f'{name}: "{text}" has the variable {variable}, which is not set',
                "set it in the `environ` of the child or with -E; a dollar itself is written $$",
                "check-variable",
                ExitCode.CONFIG,
            )
        parts.append(DOLLAR if variable == DOLLAR else environ[variable])
    return "".join(parts) + text[at:]


def _variable(name: str, text: str, at: int) -> tuple[str, int]:
    """Return the variable behind a dollar, `$` for the dollar itself, and where the text goes on."""
    if text.startswith("{", at):
        end = text.find("}", at)
        inner = text[at + 1 : max(end, at)]
        if not (inner.isidentifier() and inner.isascii()):
            raise CommandError(
                f'{name}: "{text}": only ${{NAME}} can stand there',
                "defaults and the like belong into a script; a dollar itself is written $$",
                "check-variable",
                ExitCode.CONFIG,
            )
        return inner, end + 1
    end = at
    while end < len(text) and text[end].isascii() and (text[end].isalnum() or text[end] == "_"):
        end += 1
    inner = text[at:end]
    if inner.isidentifier():
        return inner, end
    return DOLLAR, at + text.startswith(DOLLAR, at)


def _within(name: str, path: str) -> str:
    """Return a path relative to the project; it is written so, or as the child sees it, below /work."""
    inner = path.removeprefix(f"{WORK}/")
    parts = [part for part in inner.split("/") if part not in ("", ".")]
    if inner.startswith("/") or ".." in parts or not parts:
        raise CommandError(
            f'{name}: "{path}" is not a path of the project',
            "write one relative to vagga.yaml, or one below /work",
            "check-path",
            ExitCode.CONFIG,
        )
    return "/".join(parts)
