"""`!Tar {url: ..}`: unpack a tar archive, for example a whole root file system."""

from __future__ import annotations

from vaggapy.build.archives import UNCOUNTED, counted, unpacked
from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind
from vaggapy.build.sources import Source
from vaggapy.config.shapes import KEYS, Field, Shape
from vaggapy.record import Record


class Tar(Record):
    """`url`: an address, or `./PATH` in the project; plain, gz, bz2, xz or zst.

    `path`: where to; directories that are missing are made. `subdir`: take only what is below it in the archive.
    """

    url: str
    sha256: str = ""
    path: str = "/"
    subdir: str = ""


def act(step: Tar, context: Context) -> Done:
    """Have the archive and unpack it; files belong to root.

    An archive that makes the root (`path: /`, no distribution yet) keeps its owners.
    """
    keep_owners = step.path == "/" and not context.distro
    return Done(unpacked(step.url, step.sha256, step.path, "tar", step.subdir, keep_owners), context)


def sources(step: Tar) -> tuple[Source, ...]:
    """Return the sum, the content or the address."""
    return counted(step.url, step.sha256)


FIELDS = {
    "url": Field("text", "", needed=True),
    "sha256": Field("text"),
    "path": Field("absolute path", "/"),
    "subdir": Field("relative path"),
}
KIND = Kind(Shape("!Tar", (KEYS,), FIELDS), Tar, act, sources, finds_out=True, uncounted=UNCOUNTED)
