"""What enters the version of a container besides the values in vagga.yaml: files, trees, images. Data only.

A step says what counts; `inputs.py` looks. Paths are those of the build sandbox: `/work/..` is the project.
"""

from __future__ import annotations

from vaggapy.build.actions import Selection
from vaggapy.record import Record

EXECUTABLE = "executable"
UMASK = "umask"
KEEP = "keep"


class Value(Record):
    """A value that is known without looking: its name and what it is, as text."""

    name: str
    text: str


class FileContent(Record):
    """The content of one file, wherever it lies."""

    path: str


class Tree(Record):
    """Names, content and what `modes` says of the selected entries below `path`, or of one file.

    `modes`: EXECUTABLE (only whether a file may be executed), UMASK (the mode that `umask` gives) or KEEP.
    `owners`: count owners, replaced by `uid` and `gid` where those are not -1. `times`: count times of files.
    """

    path: str
    selection: Selection = Selection()
    modes: str = EXECUTABLE
    umask: int = 0o002
    owners: bool = False
    uid: int = -1
    gid: int = -1
    times: bool = False


class Requirements(Record):
    """The lines of a requirements file of pip and of all that it includes; blank lines and comments do not count."""

    path: str


class GitDescription(Record):
    """What `git describe` says of a repository; `pattern` for its tags, or ""."""

    path: str
    pattern: str = ""


class ImageDigest(Record):
    """The digest of the manifest that a reference means: of the cache, once it was resolved."""

    reference: str


class RootTree(Record):
    """As `Tree`, in the root of another container, which must be built before this one has a version."""

    container: str
    tree: Tree


Source = Value | FileContent | Tree | Requirements | GitDescription | ImageDigest | RootTree
