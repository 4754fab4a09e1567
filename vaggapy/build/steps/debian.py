"""`!Debian SUITE`: a minimal root of Debian, made by `mmdebstrap`.

    setup:
    - !Debian bookworm
    - !Debian {suite: trixie, variant: minbase, components: [main, contrib]}

The release, its updates and its security updates are the sources; `sid` has no updates. The mirror is the setting
`debian-mirror`, else the one of the host if it is Debian, else deb.debian.org. The host needs the packages
`mmdebstrap` and `debian-archive-keyring`. Nothing that packages only recommend is installed, services are not
started, and dpkg does not wait for the disk.
"""

from __future__ import annotations

from vaggapy.build import apt, bootstrap
from vaggapy.build.context import DEBIAN, Context
from vaggapy.build.kind import Done, Kind
from vaggapy.build.packages import begins, needs_ids, release
from vaggapy.config.shapes import KEYS, TEXT, Field, Shape
from vaggapy.record import Record

LANGUAGE = "C.UTF-8"


class Debian(Record):
    """`suite`: a release (`bookworm`, `sid`, `stable`). `variant`: how much is installed, as mmdebstrap names it."""

    suite: str
    variant: str = "minbase"
    components: tuple[str, ...] = ("main",)


def act(step: Debian, context: Context) -> Done:
    """Make the root and write its sources.

    Raises:
        StepError: there is a distribution already, the name cannot be one, or there is only one user id.
    """
    begins(context)
    suite = release(step.suite, "as in '!Debian bookworm'")
    needs_ids(context, "a root of Debian")
    components = tuple(release(name, "as in 'components: [main, contrib]'") for name in step.components)
    repositories = apt.debian(suite, components, context.machine.mirrors)
    packages = ("apt", "debian-archive-keyring")
    actions = bootstrap.debian(suite, step.variant, packages, repositories, f"mmdebstrap {suite}")
    return Done((*actions, *apt.settled(DEBIAN, repositories)), apt.started(context, DEBIAN, suite, LANGUAGE))


FIELDS = {
    "suite": Field("text", "", needed=True),
    "variant": Field(f"choice {bootstrap.VARIANTS}", "minbase"),
    "components": Field("list of texts", "[main]"),
}
KIND = Kind(Shape("!Debian", (TEXT, KEYS), FIELDS, "suite"), Debian, act)
