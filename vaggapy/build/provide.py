"""Programs that a step needs inside the tree: of the distribution, unless the root has its own. Pure."""

from __future__ import annotations

from vaggapy.build import apk, apt
from vaggapy.build.actions import Action, Execute
from vaggapy.build.context import ALPINE, DEBIAN, UBUNTU, Context
from vaggapy.record import Record, replace

UNLESS = """if {test}; then exit 0; fi
exec "$@"
"""
LACKS = """if {test}; then exit 0; fi
echo "vagga: {what} is not in this root, and its distribution is not one that it could be installed from" >&2
exit 1
"""


class Program(Record):
    """`what` people call it; `test`: a line of shell that succeeds where it is; packages that bring it."""

    what: str
    test: str
    debian: tuple[str, ...]
    alpine: tuple[str, ...]


PYTHON = Program(
    "Python with pip", "python3 -m pip --version >/dev/null 2>&1", ("python3", "python3-pip"), ("python3", "py3-pip")
)
NODE = Program("Node.js with npm", "command -v npm >/dev/null", ("nodejs", "npm"), ("nodejs", "npm"))
GIT = Program("git", "command -v git >/dev/null", ("git", "ca-certificates"), ("git", "ca-certificates"))
MERCURIAL = Program("mercurial", "command -v hg >/dev/null", ("mercurial", "ca-certificates"), ("mercurial",))


def provided(program: Program, context: Context) -> tuple[tuple[Action, ...], Context]:
    """Return what it takes to have a program, and the context in which it is there: nothing the second time.

    Whether the root has one of its own is found out while it is built; nothing is installed then.
    """
    if program.what in context.notes:
        return (), context
    if context.distro in (DEBIAN, UBUNTU):
        actions, after = apt.install(context, program.debian)
    elif context.distro == ALPINE:
        actions, after = apk.install(context, program.alpine)
    else:
        script = LACKS.format(test=program.test, what=program.what)
        check = Execute(("/bin/sh", "-ec", script), title=f"look for {program.what}")
        return (check,), replace(context, notes=(*context.notes, program.what))
    guarded = tuple(unless(program.test, action) for action in actions)
    return guarded, replace(after, notes=(*after.notes, program.what))


def provided_for_build(program: Program, context: Context) -> tuple[tuple[Action, ...], Context]:
    """Return as `provided` does; what is installed is removed when the build ends."""
    if program.what in context.notes or context.distro not in (DEBIAN, UBUNTU, ALPINE):
        return provided(program, context)
    if context.distro == ALPINE:
        actions, after = apk.install_for_build(context, program.alpine)
    else:
        actions, after = apt.install_for_build(context, program.debian)
    return actions, replace(after, notes=(*after.notes, program.what))


def unless(test: str, action: Action) -> Action:
    """Return an action whose program is not run where a line of shell succeeds."""
    if not isinstance(action, Execute):
        return action
    return replace(action, words=("/bin/sh", "-ec", UNLESS.format(test=test), "sh", *action.words))
