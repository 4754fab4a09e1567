"""Archives and other files that a step names by `url`: fetched, or of the project. Pure.

A `url` that begins with `.` is a file of the project, relative to it, one that begins with `/volumes/` a file of an
external volume; both are used where they lie, and their content counts for the version. Of one that is fetched the sum
counts if it is given, else the address.
"""

from __future__ import annotations

from vaggapy.build.actions import Action, Fetch, FetchGit, OnHost, Unpack
from vaggapy.build.kind import StepError
from vaggapy.build.names import download_name, downloaded, full_sha256, git_tree, without_credentials
from vaggapy.build.places import EXTERNAL, PROJECT, in_project, in_volume
from vaggapy.build.sources import FileContent, Source, Value
from vaggapy.record import Record

GIT_SCHEMES = ("http", "https", "git", "ssh")
SCHEMES = ("http://", "https://")
TEMPORARY = "/tmp"
INSTALL = "./configure --prefix=/usr\nmake\nmake install\n"
CHECK = 'echo "$1 *$2" | sha256sum --check --quiet --strict'
ENTER = """set -- "$1" *
if [ "$#" -ne 2 ] || [ ! -d "$2" ]; then
    echo "vagga: the archive does not hold exactly one directory; say where its files are with 'subdir'" >&2
    exit 1
fi
cd "$2"
exec /bin/sh -exc "$1"
"""


class Archive(Record):
    """A file that a step needs: `actions` to have it, `source` where the build sandbox finds it, `name` for it."""

    actions: tuple[Action, ...]
    source: str
    name: str


def archive(url: str, sha256: str) -> Archive:
    """Return what is to be done for a file.

    Raises:
        CommandError: the address or the sum is not one.
    """
    if is_local(url):
        source = _place(url)
        wanted = full_sha256(sha256)
        check = (OnHost(("/bin/sh", "-ec", CHECK, "sh", wanted, source), "coreutils"),) if wanted else ()
        return Archive(check, source, source.rpartition("/")[2])
    fetch = Fetch((url,), full_sha256(sha256))
    return Archive((fetch,), downloaded(fetch), download_name(fetch.urls, fetch.sha256))


def is_local(url: str) -> bool:
    """Return whether a file of the project or of an external volume is meant.

    Raises:
        CommandError: neither that nor an address that can be fetched.
    """
    if url.startswith((".", EXTERNAL)):
        return True
    if url.startswith(SCHEMES):
        return False
    raise StepError(
        f"url {without_credentials(url)!r} is neither an address nor a file of the project",
        "write http://.., https://.., ./PATH or /volumes/NAME/PATH",
        "build-url",
    )


def _place(url: str) -> str:
    """Return where the build sandbox has a local file."""
    return in_volume(url) if url.startswith(EXTERNAL) else in_project(url)


def counted(url: str, sha256: str) -> tuple[Source, ...]:
    """Return what counts of `url` and `sha256`; `act` says what is wrong with them."""
    if url.startswith((".", EXTERNAL)):
        return (FileContent(_place(url)),)
    return (Value("sha256", sha256.lower()),) if sha256 else (Value("url", url),)


UNCOUNTED = ("url", "sha256")
"""Fields that `counted` stands for."""


def unpacked(url: str, sha256: str, path: str, form: str, subdir: str, keep_owners: bool = False) -> tuple[Action, ...]:
    """Return what it takes to unpack an archive below `path`, or what is below `subdir` in it."""
    found = archive(url, sha256)
    return (*found.actions, Unpack(found.source, path, form, subdir, keep_owners))


def _check_git_url(url: str) -> None:
    """Refuse what git would take for a repository of this machine outside of the project.

    Raises:
        CommandError: with what to write.
    """
    scheme, mark, _ = url.partition("://")
    there = scheme.lower() in GIT_SCHEMES if mark else ":" in url.partition("/")[0]
    if not url.startswith(".") and not there:
        raise StepError(
            f"url {without_credentials(url)!r} is neither an address nor a directory of the project",
            "write https://.., ssh://.., HOST:PATH or ./PATH",
            "build-url",
        )


def git_files(url: str, revision: str, branch: str, path: str) -> tuple[Action, ...]:
    """Return what it takes to have the files of a git repository below `path`, without `.git`.

    `url` may be a directory of the project, `./PATH`; then and without `revision` the version does not see new
    commits, as for any branch.
    """
    if revision and branch:
        raise StepError("both 'revision' and 'branch' are given", "keep one of them", "build-values")
    _check_git_url(url)
    fetch = FetchGit(f".{in_project(url).removeprefix(PROJECT)}" if url.startswith(".") else url, revision, branch)
    return (fetch, Unpack(git_tree(fetch), path))
