"""Debian and Ubuntu: sources, and the command lines of apt. Pure.

Package lists and packages are kept in the cache, not in the image: `apt-lists-CODENAME` and `apt-cache/DISTRO` are
seen at their usual places while apt runs. One apt at a time uses them, by a lock that the kernel takes away with its
owner, unless the setting `ubuntu-skip-locking` says otherwise (`VAGGA_NO_APT_LOCK`). Lists are fetched again when those
for just these sources are older than an hour, or lead to a failure.

apt runs as root all the time (`APT::Sandbox::User`): the build is a sandbox already, and the files of the cache then
belong to the user, with or without subordinate ids.
"""

from __future__ import annotations

from vaggapy.build.actions import Action, Empty, Execute, MakeDirectory, Remove, WriteFile
from vaggapy.build.context import DEBIAN, PATH, UBUNTU, Context, Mirrors
from vaggapy.record import Record, replace

LISTS = "/var/lib/apt/lists"
ARCHIVES = "/var/cache/apt/archives"
GAMES = ":/usr/games:/usr/local/games"
DISTROS = (DEBIAN, UBUNTU)
EXECUTABLE = 0o755

DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
UBUNTU_KEYRING = "/usr/share/keyrings/ubuntu-archive-keyring.gpg"
KEYRINGS = {DEBIAN: DEBIAN_KEYRING, UBUNTU: UBUNTU_KEYRING}

UNRELEASED = ("sid", "unstable", "experimental", "rc-buggy")
OLD_SECURITY = ("jessie", "stretch", "buster")
"""Releases of Debian whose security updates are in the suite `NAME/updates`."""
MAIN_PROCESSORS = ("amd64", "i386")
UBUNTU_PORTS = "http://ports.ubuntu.com/ubuntu-ports/"

SCRIPT = r"""
lists=/var/lib/apt/lists
packages=/var/cache/apt/archives/vagga
mkdir -p "$lists/partial" "$packages/partial"
exec 9>>"$packages/../vagga.lock"
if [ -z "$VAGGA_NO_APT_LOCK" ]; then
    flock -n 9 || { echo "another build uses the package cache, waiting for it" >&2; flock 9; }
fi
apt() {
    apt-get -q -y -o APT::Sandbox::User=root -o APT::Install-Recommends=false -o APT::Install-Suggests=false \
        ${VAGGA_NO_APT_LOCK:+-o Debug::NoLocking=true} \
        -o APT::Get::List-Cleanup=false -o APT::Keep-Downloaded-Packages=true -o Dir::Cache::Archives="$packages" \
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Acquire::Languages=none -o Acquire::Retries=3 \
        -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-unsafe-io \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
        ${SSL_CERT_FILE:+-o "Acquire::https::CaInfo=$SSL_CERT_FILE"} "$@" 9>&-
}
seen="$lists/vagga-$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | cksum | tr ' ' -)"
update() {
    rm -f "$seen"
    apt -o APT::Update::Error-Mode=any update
    touch "$seen"
}
if [ -n "$(find "$seen" -mmin -60 2>/dev/null)" ]; then
    apt "$@" && exit
    echo "trying again with new package lists" >&2
fi
update
apt "$@"
"""
"""`$@` is a command of apt-get and its arguments. `9>&-`: nothing that a package starts keeps the lock.

The packages are in a directory of our own because images have hooks that empty the usual one.
"""

CLEAN_SCRIPT = r"""
apt-get -q -y --purge -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-unsafe-io \
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= autoremove
"""


class Repository(Record):
    """One `deb` line: where from, which suite, which of its parts. `options`: what stands in the brackets."""

    url: str
    suite: str
    components: tuple[str, ...]
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the line of sources.list, without its end."""
        options = f"[{' '.join(self.options)}] " if self.options else ""
        return " ".join((f"deb {options}{self.url}", self.suite, *self.components))


def lines(repositories: tuple[Repository, ...]) -> str:
    """Return the text of a file of sources."""
    return "".join(f"{repository}\n" for repository in repositories)


def debian(suite: str, components: tuple[str, ...], mirrors: Mirrors) -> tuple[Repository, ...]:
    """Return the sources of a release of Debian: itself, its updates and its security updates."""
    main = Repository(mirrors.debian, suite, components)
    if suite in UNRELEASED:
        return (main,)
    security = f"{suite}/updates" if suite in OLD_SECURITY else f"{suite}-security"
    updates = Repository(mirrors.debian, f"{suite}-updates", components)
    return (main, updates, Repository(mirrors.debian_security, security, components))


def ubuntu(suite: str, components: tuple[str, ...], mirrors: Mirrors, architecture: str) -> tuple[Repository, ...]:
    """Return the sources of a release of Ubuntu: itself, its updates and its security updates."""
    main, security = ubuntu_mirrors(mirrors, architecture)
    return (
        Repository(main, suite, components),
        Repository(main, f"{suite}-updates", components),
        Repository(security, f"{suite}-security", components),
    )


def ubuntu_mirrors(mirrors: Mirrors, architecture: str) -> tuple[str, str]:
    """Return the mirrors of Ubuntu for a processor: those that are not PCs have a place of their own."""
    usual = Mirrors()
    main, security = mirrors.ubuntu, mirrors.ubuntu_security
    if architecture in MAIN_PROCESSORS:
        return main, security
    return (
        UBUNTU_PORTS if main == usual.ubuntu else main,
        UBUNTU_PORTS if security == usual.ubuntu_security else security,
    )


def sources_of(context: Context, components: tuple[str, ...]) -> tuple[Repository, ...]:
    """Return the sources of the distribution and release of a context, with other components."""
    if context.distro == UBUNTU:
        return ubuntu(context.release, components, context.machine.mirrors, context.machine.architecture)
    return debian(context.release, components, context.machine.mirrors)


# --- what is done -------------------------------------------------------------------------------------------------


def settled(distro: str, repositories: tuple[Repository, ...]) -> tuple[Action, ...]:
    """Return what a new root gets: sources, no started services, no fsync, nothing that is only recommended.

    `repositories` () leaves those of the root.
    """
    written: tuple[Action, ...] = ()
    if repositories:
        signed = tuple(replace(r, options=(f"signed-by={KEYRINGS[distro]}",)) for r in repositories)
        written = (WriteFile("/etc/apt/sources.list", lines(signed), parents=True),)
    return (
        *written,
        WriteFile("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", EXECUTABLE, parents=True),
        WriteFile("/etc/dpkg/dpkg.cfg.d/vagga", "force-unsafe-io\n", parents=True),
        WriteFile(
            "/etc/apt/apt.conf.d/90vagga",
            'APT::Install-Recommends "false";\nAPT::Install-Suggests "false";\nAcquire::Languages "none";\n',
            parents=True,
        ),
    )


def started(context: Context, distro: str, release: str, language: str) -> Context:
    """Return the context after a root was made: the distribution, and the environment of later steps."""
    environ = {"LANG": language, "DEBIAN_FRONTEND": "noninteractive", "PATH": PATH + GAMES, **context.environ}
    return replace(context, distro=distro, release=release, environ=environ, indexed=True)


def apt_get(context: Context, title: str, *words: str) -> tuple[Action, ...]:
    """Return how to run a command of apt-get that may need lists and packages; `title` is what people read."""
    lists = f"apt-lists-{context.release.replace('/', '-') or context.distro}"
    return (
        MakeDirectory(LISTS),
        MakeDirectory(ARCHIVES),
        Execute(
            ("/bin/sh", "-ec", SCRIPT, "apt-get", *words),
            {"DEBIAN_FRONTEND": "noninteractive"},
            "/",
            caches=((LISTS, lists), (ARCHIVES, f"apt-cache/{context.distro}")),
            title=title,
        ),
    )


def install(context: Context, packages: tuple[str, ...]) -> tuple[tuple[Action, ...], Context]:
    """Return how packages are installed, as ones that are wanted, and the context after it."""
    if not packages:
        return (), context
    title = f"apt-get install {' '.join(packages)}"
    return apt_get(context, title, "install", "--", *packages), replace(context, indexed=True)


def install_for_build(context: Context, packages: tuple[str, ...]) -> tuple[tuple[Action, ...], Context]:
    """Return how packages are installed that nothing needs at the end.

    Those that were not there before are marked as automatic; `finished` removes what nothing wanted depends on. One
    that is installed as wanted later loses the mark, by apt itself.
    """
    if not packages:
        return (), context
    title = f"apt-get install {' '.join(packages)}"
    actions = apt_get(context, title, "install", "--mark-auto", "--", *packages)
    return actions, replace(context, indexed=True, build_deps=context.build_deps + packages)


def finished(context: Context) -> tuple[Action, ...]:
    """Return what the end of a build takes away: build dependencies, and lists, caches and logs of packages."""
    actions: list[Action] = []
    if context.build_deps:
        environ = {"DEBIAN_FRONTEND": "noninteractive"}
        title = "apt-get autoremove"
        actions.append(Execute(("/bin/sh", "-ec", CLEAN_SCRIPT), environ, "/", title=title))
    if context.indexed:
        actions += (Empty(path) for path in (LISTS, ARCHIVES, "/var/log/apt", "/var/spool/rsyslog"))
        gone = ("/var/cache/apt/pkgcache.bin", "/var/cache/apt/srcpkgcache.bin", "/var/cache/ldconfig/aux-cache")
        logs = ("/var/log/dpkg.log", "/var/log/alternatives.log", "/var/log/bootstrap.log")
        actions += (Remove(path) for path in (*gone, *logs))
    return tuple(actions)


# --- sources of the host ------------------------------------------------------------------------------------------


def mirrors_of(text: str, codename: str) -> tuple[str, str]:
    """Return the mirrors that a host's own sources name for its release `codename` and for its security updates.

    `text`: files of `/etc/apt`, one-line or deb822, joined by empty lines. "" where there is none that can be used:
    only http and https can be reached from a build.
    """
    main = security = ""
    for url, suite in _sources(text):
        if not url.startswith(("http://", "https://")):
            continue
        place = url if url.endswith("/") else f"{url}/"
        if suite == codename:
            main = main or place
        elif suite in (f"{codename}-security", f"{codename}/updates"):
            security = security or place
    return main, security


def _sources(text: str) -> list[tuple[str, str]]:
    """Return every (URL, suite) of binary packages, in the order of the text."""
    found: list[tuple[str, str]] = []
    stanza: dict[str, str] = {}
    key = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            found += _of_stanza(stanza)
            stanza, key = {}, ""
        elif line[0].isspace() and key:
            stanza[key] += f" {line.strip()}"
        elif line.split(maxsplit=1)[0] in ("deb", "deb-src"):
            found += _of_line(line)
        elif ":" in line:
            name, _, value = line.partition(":")
            key = name.strip().lower()
            stanza[key] = value.strip()
    return found


def _of_line(line: str) -> list[tuple[str, str]]:
    """Return what a line says: `deb [options] URL SUITE COMPONENT...`."""
    rest = line.partition("#")[0].split(maxsplit=1)
    if rest[0] != "deb" or len(rest) == 1:
        return []
    body = rest[1]
    if body.startswith("["):
        body = body.partition("]")[2]
    words = body.split()
    return [(words[0], words[1])] if len(words) > 1 else []


def _of_stanza(stanza: dict[str, str]) -> list[tuple[str, str]]:
    """Return what the fields of a deb822 stanza say."""
    off = stanza.get("enabled", "yes").lower() in ("no", "false", "0", "off", "without", "disable")
    if off or "deb" not in stanza.get("types", "").split():
        return []
    return [(url, suite) for url in stanza.get("uris", "").split() for suite in stanza.get("suites", "").split()]
