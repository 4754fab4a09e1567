"""More package repositories: `!Repo`, `!UbuntuRepo`, `!UbuntuUniverse`, `!UbuntuPPA`, `!AlpineRepo`.

    setup:
    - !Ubuntu noble
    - !UbuntuUniverse
    - !Repo multiverse                  # of the release, its updates and its security updates
    - !Repo noble-backports/universe    # of a suite
    - !UbuntuRepo {url: "https://apt.example.org/", suite: noble, components: [main]}
    - !UbuntuPPA deadsnakes/ppa

    - !Alpine v3.22
    - !Repo community                   # or edge/testing
    - !AlpineRepo {branch: edge, repo: testing, tag: testing}

`!Repo` and `!UbuntuRepo` work on Debian too. The key of a foreign repository is named by `!AptTrust`; `trusted: true`
does without, which only makes sense for a repository of your own.
"""

from __future__ import annotations

import _blake2

from vaggapy.build import apk, apt
from vaggapy.build.actions import Action, WriteFile
from vaggapy.build.context import ALPINE, DEBIAN, UBUNTU, Context
from vaggapy.build.kind import Done, Kind, StepError
from vaggapy.build.packages import APT, install, needs
from vaggapy.config.shapes import KEYS, NOTHING, TEXT, Field, Shape
from vaggapy.record import Record, replace

LISTS = "/etc/apt/sources.list.d"
PPA = "http://ppa.launchpadcontent.net/"
CERTIFICATES = "ca-certificates"
WITHOUT_HTTPS = ("trusty", "xenial", "jessie", "stretch")
"""Releases whose apt needs a package for https."""


class Repo(Record):
    """`name`: `COMPONENT` or `SUITE/COMPONENT`; of Alpine `REPOSITORY` or `BRANCH/REPOSITORY`."""

    name: str


class UbuntuRepo(Record):
    """`url`: "" for the mirror; `suite`: "" for the release. `trusted`: signatures are not checked."""

    url: str = ""
    suite: str = ""
    components: tuple[str, ...] = ()
    trusted: bool = False


class UbuntuUniverse(Record):
    """Nothing follows."""


class UbuntuPPA(Record):
    """`name`: `OWNER/NAME`, as on launchpad.net."""

    name: str


class AlpineRepo(Record):
    """`url`: "" for the mirror; `branch`: "" for the version. `tag`: only packages asked for as `NAME@TAG` are used."""

    repo: str
    url: str = ""
    branch: str = ""
    tag: str = ""


def act_repo(step: Repo, context: Context) -> Done:
    """Add a part of the distribution's own repositories."""
    needs(context, DEBIAN, UBUNTU, ALPINE)
    first, slash, second = step.name.partition("/")
    if not first or "/" in second or (slash and not second):
        raise StepError(f"{step.name!r} is not a repository", "write NAME or SUITE/NAME", "bad-repository")
    if context.distro == ALPINE:
        return act_alpine(AlpineRepo(second or first, branch=first if second else ""), context)
    if second:
        return act_ubuntu_repo(UbuntuRepo("", first, (second,)), context)
    return _added(context, apt.sources_of(context, (_word(first),)), _file(first))


def act_universe(_: UbuntuUniverse, context: Context) -> Done:
    """Add what the community of Ubuntu maintains."""
    needs(context, UBUNTU)
    return _added(context, apt.sources_of(context, ("universe",)), _file("universe"))


def act_ppa(step: UbuntuPPA, context: Context) -> Done:
    """Add an archive of launchpad.net."""
    needs(context, UBUNTU)
    owner, _, name = step.name.partition("/")
    if not owner or not name or "/" in name:
        raise StepError(f"{step.name!r} is not an archive of Launchpad", "write OWNER/NAME", "bad-repository")
    return act_ubuntu_repo(UbuntuRepo(f"{PPA}{_word(owner)}/{_word(name)}/ubuntu", "", ("main",)), context)


def act_ubuntu_repo(step: UbuntuRepo, context: Context) -> Done:
    """Add any repository of Debian's kind."""
    needs(context, *APT)
    suite = _word(step.suite or context.release)
    if not suite:
        raise StepError("the release of the root is not known", "write 'suite: NAME'", "bad-repository")
    flat = suite.endswith("/")
    if bool(step.components) == flat:
        what = "a suite that ends with '/' has no components" if flat else "there are no components"
        raise StepError(what, "as in 'components: [main]'", "bad-repository")
    url = _word(step.url) or _mirror(context, suite)
    options = ("trusted=yes",) if step.trusted else ()
    repository = apt.Repository(url, suite, tuple(_word(name) for name in step.components), options)
    name = _file("-".join((_short(url), suite.strip("/"), *step.components)))
    before: tuple[Action, ...] = ()
    if url.startswith("https:") and CERTIFICATES not in context.notes:
        more = ("apt-transport-https",) if context.release in WITHOUT_HTTPS else ()
        before, context = install(context, (CERTIFICATES, *more))
        context = replace(context, notes=(*context.notes, CERTIFICATES))
    done = _added(context, (repository,), name)
    return Done((*before, *done.actions), done.context)


def _mirror(context: Context, suite: str) -> str:
    """Return the mirror that has a suite."""
    mirrors = context.machine.mirrors
    main, security = mirrors.debian, mirrors.debian_security
    if context.distro == UBUNTU:
        main, security = apt.ubuntu_mirrors(mirrors, context.machine.architecture)
    return security if suite.endswith(("-security", "/updates")) else main


def _added(context: Context, repositories: tuple[apt.Repository, ...], name: str) -> Done:
    """Write a file of sources. The repositories of the distribution are signed as it is itself."""
    ours = (_mirror(context, ""), _mirror(context, "-security"))
    signed = tuple(
        replace(r, options=(f"signed-by={apt.KEYRINGS[context.distro]}",)) if r.url in ours and not r.options else r
        for r in repositories
    )
    return Done((WriteFile(f"{LISTS}/{name}", apt.lines(signed), parents=True),), context)


def act_alpine(step: AlpineRepo, context: Context) -> Done:
    """Add a repository of Alpine's kind."""
    needs(context, ALPINE)
    mirror = _word(step.url) or context.machine.mirrors.alpine
    tag = f"@{_word(step.tag)} " if step.tag else ""
    branch = _word(step.branch) or context.release
    line = f"{tag}{mirror.rstrip('/')}/{branch}/{_word(step.repo)}\n"
    return Done((WriteFile(apk.REPOSITORIES, line, append=True, parents=True),), context)


def _word(text: str) -> str:
    """Check that a text is one word, so that it cannot become another line or option."""
    if text and (text.split() != [text] or "[" in text or "]" in text or not text.isprintable()):
        raise StepError(f"{text!r} has spaces or brackets in it", "write one word", "bad-repository")
    return text


def _file(name: str) -> str:
    """Return a file name that apt reads: it skips those with other characters."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name) + ".list"


def _short(text: str) -> str:
    return _blake2.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()


REPO = {"name": Field("text", "", needed=True)}
UBUNTU_REPO = {
    "url": Field("text"),
    "suite": Field("text"),
    "components": Field("list of texts", "[]"),
    "trusted": Field("true or false", "false"),
}
ALPINE_REPO = {
    "repo": Field("text", "", needed=True),
    "url": Field("text"),
    "branch": Field("text"),
    "tag": Field("text"),
}
KIND = (
    Kind(Shape("!Repo", (TEXT,), REPO, "name"), Repo, act_repo),
    Kind(Shape("!UbuntuRepo", (KEYS,), UBUNTU_REPO), UbuntuRepo, act_ubuntu_repo),
    Kind(Shape("!UbuntuUniverse", (NOTHING,), {}), UbuntuUniverse, act_universe),
    Kind(Shape("!UbuntuPPA", (TEXT,), REPO, "name"), UbuntuPPA, act_ppa),
    Kind(Shape("!AlpineRepo", (KEYS,), ALPINE_REPO), AlpineRepo, act_alpine),
)
