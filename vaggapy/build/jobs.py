"""What the worker is asked to do, as data. Paths are those of its sandbox. Pure."""

from __future__ import annotations

from vaggapy.build import actions
from vaggapy.build.actions import FileAction
from vaggapy.record import Record, records

STORAGE = "/vagga/storage"
JOB = "/vagga/job"


class Apply(Record):
    """Carry out file actions in the tree at `/vagga/root`. `find_out`: say then what its os-release tells."""

    actions: tuple[FileAction, ...]
    single_id: bool = False
    find_out: bool = False


class Flatten(Record):
    """Make one plain tree at `target` of `layers`, lowest first, by hard links."""

    layers: tuple[str, ...]
    target: str


class Duplicate(Record):
    """Copy the tree `source` to `target`, where there is no overlayfs."""

    source: str
    target: str


class Condense(Record):
    """Make `target` the same as `tree`, with hard links to what has not changed since `previous`."""

    tree: str
    previous: str
    target: str


class Delete(Record):
    """Remove directories or files with all that is in them, whoever owns it."""

    paths: tuple[str, ...]


class Measure(Record):
    """Find out how many bytes the removal of each of `paths` frees, if those before it go too: the answer by number."""

    paths: tuple[str, ...]


class MakeVolume(Record):
    """Make an empty directory with an owner."""

    path: str
    uid: int
    gid: int


class Pack(Record):
    """Write the tree `root` as a tar archive to `target`, "" for standard output.

    `compression`: "", gz, bz2, xz or zst.
    """

    root: str
    target: str
    compression: str


Job = Apply | Flatten | Duplicate | Condense | Delete | Measure | MakeVolume | Pack


class Order(Record):
    """Jobs for one process, in their order."""

    jobs: tuple[Job, ...]


CLASSES = {**records(vars(actions)), **records(globals())}
