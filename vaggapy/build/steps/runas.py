"""`!RunAs {script: .., user-id: ..}`: run a shell script inside the new root as some user."""

from __future__ import annotations

from vaggapy.build.actions import Execute
from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind, StepError
from vaggapy.build.places import PROJECT, resolved
from vaggapy.config.shapes import KEYS, Field, Shape
from vaggapy.record import Record


class RunAs(Record):
    """As `!Sh`, with ids of the container, a directory, and maybe without a network.

    `work_dir`: absolute, or relative to /work.
    """

    script: str
    user_id: int = 0
    group_id: int = 0
    external_user_id: int = -1
    supplementary_gids: tuple[int, ...] = ()
    work_dir: str = PROJECT
    isolate_network: bool = False


def act(step: RunAs, context: Context) -> Done:
    """Run the script; each command is shown, the first that fails ends it.

    Raises:
        CommandError: `external-user-id` is given, or an id where there is none but 0.
    """
    if step.external_user_id >= 0:
        raise StepError(
            "'external-user-id' is not available in a build",
            "take it away: files of the project belong to user 0 there",
            "not-available",
        )
    if context.machine.single_id and any((step.user_id, step.group_id, *step.supplementary_gids)):
        raise StepError(
            f"user {step.user_id} and group {step.group_id} do not exist: this machine gives you one id only",
            "add ranges for you to /etc/subuid and /etc/subgid, or use '!Sh'",
            "ids-missing",
        )
    words = ("/bin/sh", "-exc", step.script)
    directory = resolved(step.work_dir)
    groups = step.supplementary_gids
    return Done(
        (Execute(words, {}, directory, step.user_id, step.group_id, groups, isolate_network=step.isolate_network),),
        context,
    )


FIELDS = {
    "script": Field("text", "", needed=True),
    "user-id": Field("number", "0"),
    "group-id": Field("number", "0"),
    "external-user-id": Field("number"),
    "supplementary-gids": Field("numbers", "[]"),
    "work-dir": Field("text", PROJECT),
    "isolate-network": Field("true or false", "false"),
}
KIND = Kind(Shape("!RunAs", (KEYS,), FIELDS), RunAs, act)
