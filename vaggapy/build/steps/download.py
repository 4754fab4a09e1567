"""`!Download {url: .., path: ..}`: put one file into the root."""

from __future__ import annotations

from vaggapy.build.actions import REGULAR, Install
from vaggapy.build.archives import UNCOUNTED, archive, counted
from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind
from vaggapy.build.sources import Source
from vaggapy.config.shapes import KEYS, Field, Shape
from vaggapy.record import Record


class Download(Record):
    """`url`: an address, or `./PATH` in the project. `sha256`: all 64 digits. The directory of `path` must be there."""

    url: str
    path: str
    mode: int = REGULAR
    sha256: str = ""


def act(step: Download, context: Context) -> Done:
    """Have the file in the cache and copy it.

    Raises:
        CommandError: the address or the sum is not one.
    """
    found = archive(step.url, step.sha256)
    return Done((*found.actions, Install(found.source, step.path, step.mode)), context)


def sources(step: Download) -> tuple[Source, ...]:
    """Return the sum, the content or the address."""
    return counted(step.url, step.sha256)


FIELDS = {
    "url": Field("text", "", needed=True),
    "path": Field("path below /", "", needed=True),
    "mode": Field("file mode", "0o644"),
    "sha256": Field("text"),
}
KIND = Kind(Shape("!Download", (KEYS,), FIELDS), Download, act, sources, uncounted=UNCOUNTED)
