"""`!TarInstall {url: ..}`: unpack a source archive and install what is in it."""

from __future__ import annotations

from vaggapy.build.actions import Execute, Remove
from vaggapy.build.archives import ENTER, INSTALL, TEMPORARY, UNCOUNTED, archive, counted, unpacked
from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind
from vaggapy.build.sources import Source
from vaggapy.config.shapes import KEYS, Field, Shape
from vaggapy.record import Record


class TarInstall(Record):
    """`script`: run in `subdir` of the archive, or in the one directory that it holds."""

    url: str
    sha256: str = ""
    subdir: str | None = None
    script: str = INSTALL


def act(step: TarInstall, context: Context) -> Done:
    """Unpack below /tmp, run the script there, and remove the directory again."""
    place = f"{TEMPORARY}/{archive(step.url, step.sha256).name}"
    run = Execute(("/bin/sh", "-ec", ENTER, "sh", step.script), directory=place, title="script of !TarInstall")
    if step.subdir is not None:
        run = Execute(("/bin/sh", "-exc", step.script), directory=f"{place}/{step.subdir}".rstrip("/"))
    unpack = unpacked(step.url, step.sha256, place, "tar", "")
    return Done((Remove(place), *unpack, run, Remove(place)), context)


def sources(step: TarInstall) -> tuple[Source, ...]:
    """Return the sum, the content or the address."""
    return counted(step.url, step.sha256)


FIELDS = {
    "url": Field("text", "", needed=True),
    "sha256": Field("text"),
    "subdir": Field("relative path", "the one directory in it"),
    "script": Field("text", "configure, make, make install"),
}
KIND = Kind(Shape("!TarInstall", (KEYS,), FIELDS), TarInstall, act, sources, uncounted=UNCOUNTED)
