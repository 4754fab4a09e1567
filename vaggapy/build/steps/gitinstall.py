"""`!GitInstall {url: ..}`: take the files of a git repository and install what is in them."""

from __future__ import annotations

from vaggapy.build.actions import Execute, Remove
from vaggapy.build.archives import INSTALL, TEMPORARY, git_files
from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind
from vaggapy.build.names import basename
from vaggapy.config.shapes import KEYS, Field, Shape
from vaggapy.record import Record


class GitInstall(Record):
    """`script`: run in `subdir` of the repository. The rest as for `!Git`."""

    url: str
    revision: str = ""
    branch: str = ""
    subdir: str = ""
    script: str = INSTALL


def act(step: GitInstall, context: Context) -> Done:
    """Unpack below /tmp, run the script there, and remove the directory again.

    Raises:
        CommandError: both a revision and a branch are given.
    """
    place = f"{TEMPORARY}/{basename(step.url)}"
    actions = git_files(step.url, step.revision, step.branch, place)
    run = Execute(("/bin/sh", "-exc", step.script), directory=f"{place}/{step.subdir}".rstrip("/"))
    return Done((Remove(place), *actions, run, Remove(place)), context)


FIELDS = {
    "url": Field("text", "", needed=True),
    "revision": Field("text"),
    "branch": Field("text"),
    "subdir": Field("relative path", "."),
    "script": Field("text", "configure, make, make install"),
}
KIND = Kind(Shape("!GitInstall", (KEYS,), FIELDS), GitInstall, act)
