"""`!Git {url: .., path: ..}`: put the files of a git repository into the root."""

from __future__ import annotations

from vaggapy.build.archives import git_files
from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind
from vaggapy.config.shapes import KEYS, Field, Shape
from vaggapy.record import Record


class Git(Record):
    """`revision` (a commit or tag) or `branch`, else what the server's HEAD is. New commits change no version."""

    url: str
    path: str
    revision: str = ""
    branch: str = ""


def act(step: Git, context: Context) -> Done:
    """Have a clone in the cache and unpack its files, without `.git`.

    Raises:
        CommandError: both a revision and a branch are given.
    """
    return Done(git_files(step.url, step.revision, step.branch, step.path), context)


FIELDS = {
    "url": Field("text", "", needed=True),
    "path": Field("absolute path", "", needed=True),
    "revision": Field("text"),
    "branch": Field("text"),
}
KIND = Kind(Shape("!Git", (KEYS,), FIELDS), Git, act)
