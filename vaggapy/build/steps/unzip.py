"""`!Unzip {url: .., path: ..}`: unpack a zip archive."""

from __future__ import annotations

from vaggapy.build.archives import UNCOUNTED, counted, unpacked
from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind
from vaggapy.build.sources import Source
from vaggapy.config.shapes import KEYS, Field, Shape
from vaggapy.record import Record


class Unzip(Record):
    """As `!Tar`: `url` an address or `./PATH`, `path` where to, `subdir` what to take of it."""

    url: str
    sha256: str = ""
    path: str = "/"
    subdir: str = ""


def act(step: Unzip, context: Context) -> Done:
    """Have the archive and unpack it; files belong to root."""
    return Done(unpacked(step.url, step.sha256, step.path, "zip", step.subdir), context)


def sources(step: Unzip) -> tuple[Source, ...]:
    """Return the sum, the content or the address."""
    return counted(step.url, step.sha256)


FIELDS = {
    "url": Field("text", "", needed=True),
    "sha256": Field("text"),
    "path": Field("absolute path", "/"),
    "subdir": Field("relative path"),
}
KIND = Kind(Shape("!Unzip", (KEYS,), FIELDS), Unzip, act, sources, uncounted=UNCOUNTED)
