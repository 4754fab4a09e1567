"""`!Ubuntu CODENAME` and `!UbuntuRelease {..}`: a minimal root of Ubuntu.

    setup:
    - !Ubuntu noble
    - !UbuntuRelease {codename: jammy, keep-chfn-command: true}
    - !UbuntuRelease {url: https://partner-images.canonical.com/oci/noble/current/ubuntu-noble-oci-amd64-root.tar.gz}

A codename is installed by `mmdebstrap` from the archive of Ubuntu: `main restricted` of the release, its updates and
its security updates. The mirror is the setting `ubuntu-mirror`, else the one of the host if it is Ubuntu, else
archive.ubuntu.com (ports.ubuntu.com for processors of other kinds). The host needs `mmdebstrap` and `dpkg`, but no
keyring: the one of Ubuntu is fetched and checked by a sum that vagga knows. The locale `en_US.UTF-8` is made.

A `url` is unpacked instead; it keeps its own sources, locales and packages. Nothing of it is checked unless `sha256`
is given. `version` is an old way to name a release. `eatmydata` has no effect: dpkg does not wait for the disk anyway.

Differs from the original: it unpacks an archive of Canonical in either case, which is neither signed nor the newest.
"""

from __future__ import annotations

from vaggapy.build import apt, bootstrap
from vaggapy.build.actions import Action, Execute, Link, Unpack
from vaggapy.build.archives import UNCOUNTED, archive, counted
from vaggapy.build.context import UBUNTU, Context
from vaggapy.build.kind import Done, Kind, StepError
from vaggapy.build.packages import begins, needs_ids, release
from vaggapy.build.sources import Source
from vaggapy.config.shapes import KEYS, TEXT, Field, Shape
from vaggapy.record import Record

LANGUAGE = "en_US.UTF-8"
ANY_LANGUAGE = "C.UTF-8"
COMPONENTS = ("main", "restricted")
PACKAGES = ("apt", "ubuntu-keyring", "locales")
NOT_OURS = ("dev", "sys", "proc", "run", "etc/resolv.conf", "etc/hosts")
VERSIONS = {
    "12.04": "precise",
    "14.04": "trusty",
    "14.10": "utopic",
    "15.04": "vivid",
    "15.10": "wily",
    "16.04": "xenial",
    "18.04": "bionic",
    "20.04": "focal",
    "22.04": "jammy",
    "24.04": "noble",
}


class Ubuntu(Record):
    """`codename`: of the release, as in `noble`."""

    codename: str


class UbuntuRelease(Record):
    """`url` comes before `version`, that before `codename`; one is needed. `arch`: as Debian names it, "" for ours."""

    codename: str = ""
    version: str = ""
    url: str = ""
    sha256: str = ""
    arch: str = ""
    keep_chfn_command: bool = False
    eatmydata: bool = True


def act(step: Ubuntu, context: Context) -> Done:
    """Make the root of a release."""
    return act_release(UbuntuRelease(step.codename), context)


def act_release(step: UbuntuRelease, context: Context) -> Done:
    """Make a root by `mmdebstrap`, or unpack one.

    Raises:
        StepError: there is a distribution already, no release is named, or there is only one user id.
    """
    begins(context)
    kept = () if step.keep_chfn_command else (Link("/usr/bin/chfn", "/bin/true"),)
    if step.url:
        found = archive(step.url, step.sha256)
        unpack = Unpack(found.source, "/", keep_owners=True, without=NOT_OURS)
        after = apt.started(context, UBUNTU, _codename(step, ""), ANY_LANGUAGE)
        return Done((*found.actions, unpack, *apt.settled(UBUNTU, ()), *kept), after)
    codename = _codename(step, step.codename)
    needs_ids(context, "a root of Ubuntu")
    architecture = step.arch or context.machine.architecture
    repositories = apt.ubuntu(codename, COMPONENTS, context.machine.mirrors, architecture)
    title = f"mmdebstrap {codename}"
    made = bootstrap.ubuntu(codename, PACKAGES, repositories, step.arch, title)
    locale: tuple[Action, ...] = (Execute(("locale-gen", LANGUAGE), {}, "/"),)
    actions = (*made, *apt.settled(UBUNTU, repositories), *locale, *kept)
    return Done(actions, apt.started(context, UBUNTU, codename, LANGUAGE))


def _codename(step: UbuntuRelease, named: str) -> str:
    """Return the codename that a step means; `named` is the one it may have, "" if none is needed."""
    if step.version and step.version not in VERSIONS:
        remedy = f"write 'codename: NAME'; versions are {', '.join(VERSIONS)}"
        raise StepError(f"version {step.version!r} of Ubuntu is not known", remedy, "bad-release")
    name = VERSIONS.get(step.version, named)
    if not name and step.url:
        return step.codename
    if not name:
        raise StepError("no release is named", "write '!Ubuntu noble', or one of codename and url", "bad-release")
    return release(name, "as in '!Ubuntu noble'")


def sources(step: UbuntuRelease) -> tuple[Source, ...]:
    """Return what counts of an archive."""
    return counted(step.url, step.sha256) if step.url else ()


FIELDS = {
    "codename": Field("text"),
    "version": Field("text"),
    "url": Field("text"),
    "sha256": Field("text"),
    "arch": Field("text"),
    "keep-chfn-command": Field("true or false", "false"),
    "eatmydata": Field("true or false", "true"),
}
KIND = (
    Kind(Shape("!Ubuntu", (TEXT,), {"codename": Field("text", "", needed=True)}, "codename"), Ubuntu, act),
    Kind(
        Shape("!UbuntuRelease", (KEYS,), FIELDS),
        UbuntuRelease,
        act_release,
        sources,
        finds_out=True,
        uncounted=(*UNCOUNTED, "eatmydata"),
    ),
)
