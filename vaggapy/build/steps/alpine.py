"""`!Alpine VERSION`: a minimal root of Alpine Linux.

    setup:
    - !Alpine v3.22
    - !Alpine edge

The archive `alpine-minirootfs` of the version is fetched from the mirror (setting `alpine-mirror`, else
dl-cdn.alpinelinux.org), and its packages are brought up to date, which apk checks by the keys in the archive; so the
mirror must be an https one, or one you trust. Only the repository `main` is used; `!Repo community` adds more. This
needs one user id only.

Differs from the original: no static apk of our own is used, and `edge` may be given.
"""

from __future__ import annotations

from vaggapy.build import apk
from vaggapy.build.actions import Fetch, Unpack, WriteFile
from vaggapy.build.context import ALPINE, Context
from vaggapy.build.kind import Done, Kind, StepError
from vaggapy.build.names import downloaded
from vaggapy.build.packages import begins
from vaggapy.config.shapes import TEXT, Field, Shape
from vaggapy.record import Record, replace


class Alpine(Record):
    """`version`: as in `v3.22`, or `edge`."""

    version: str


def act(step: Alpine, context: Context) -> Done:
    """Unpack the minimal root, name its repository, bring its packages up to date.

    Raises:
        StepError: there is a distribution already, or this is no version.
    """
    begins(context)
    version = checked(step.version)
    mirror = context.machine.mirrors.alpine
    fetch = Fetch((apk.minimal_root(mirror, version, context.machine.architecture),))
    actions = (
        fetch,
        Unpack(downloaded(fetch), "/", keep_owners=True, without=("dev", "etc/resolv.conf", "etc/hosts")),
        WriteFile(apk.REPOSITORIES, f"{mirror}{version}/main\n", parents=True),
        *apk.apk("apk upgrade", "upgrade", "--update-cache", "--available"),
    )
    environ = {"LANG": "C.UTF-8", **context.environ}
    return Done(actions, replace(context, distro=ALPINE, release=version, environ=environ, indexed=True))


def checked(version: str) -> str:
    """Return a version of Alpine, `vMAJOR.MINOR` or `edge`.

    Raises:
        StepError: it is something else.
    """
    parts = version.removeprefix("v").split(".")
    numbers = len(parts) == 2 and all(part.isascii() and part.isdigit() for part in parts)
    if version != apk.EDGE and not (version.startswith("v") and numbers):
        raise StepError(
            f"{version!r} is not a version of Alpine", "as in '!Alpine v3.22' or '!Alpine edge'", "bad-release"
        )
    return version


KIND = Kind(Shape("!Alpine", (TEXT,), {"version": Field("text", "", needed=True)}, "version"), Alpine, act)
