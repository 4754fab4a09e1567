"""Names in the cache, made from what vagga.yaml says. Pure.

A name never leads out of its directory, is at most 200 bytes long (so that `.part.json` may follow), holds no
credentials, and never ends like a file that the cache keeps beside the named one.

    CACHE/downloads/HHHHHHHH-BASENAME      a download (HHHHHHHH.. of its sha256, or else of its URL)
    CACHE/git/ESCAPED-URL                  a bare repository
    CACHE/git/.trees/ESCAPED-URL-HHHHHHHH  what one revision or branch of it holds, as a tar archive
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from vaggapy.build.actions import CACHE, DOWNLOADS
from vaggapy.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.build.actions import Fetch, FetchGit

DIGITS = 8
SHA256_DIGITS = 64
LONGEST_BASENAME = 128
LONGEST_NAME = 180
NAMELESS = "file.bin"
HEXADECIMAL = frozenset("0123456789abcdef")
PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+~=@-")
BESIDE = (".part", ".part.json", ".lock", ".ok", ".new")
GIT = "git"
GIT_TREES = f"{GIT}/.trees"
GIT_LOCKS = f"{GIT}/.locks"


def full_sha256(text: str) -> str:
    """Return a sha256 sum as 64 small hexadecimal digits, "" for "".

    Raises:
        CommandError: it is something else. A shortened sum is refused: it says nothing about who could make another
            file with the same beginning.
    """
    sum_ = text.lower()
    if sum_ and (len(sum_) != SHA256_DIGITS or not set(sum_) <= HEXADECIMAL):
        what = f"{len(sum_)} digits" if set(sum_) <= HEXADECIMAL else "not hexadecimal"
        raise CommandError(
            f"sha256 {text[:80]!r}: {what}, a sum has {SHA256_DIGITS} hexadecimal digits",
            "write all of what `sha256sum FILE` prints",
            "bad-sha256",
        )
    return sum_


def download_name(urls: tuple[str, ...], sha256: str) -> str:
    """Return the name in `downloads` of a file with these mirrors, of which the first gives the name.

    Raises:
        CommandError: `sha256` is neither "" nor a whole sum.
    """
    digits = full_sha256(sha256) or _digest(urls[0])
    return f"{digits[:DIGITS]}-{basename(urls[0])}"


def basename(url: str) -> str:
    """Return the last part of the path of a URL, its odd characters as `_`; the end is kept of one that is long."""
    path = without_credentials(url).partition("://")[2].partition("#")[0].partition("?")[0]
    last = unquote(path.partition("/")[2].rpartition("/")[2])
    plain = "".join(c if c in PLAIN else "_" for c in last)[-LONGEST_BASENAME:]
    if not plain.strip("._"):
        return NAMELESS
    return f"{plain}_" if plain.endswith(BESIDE) else plain


def without_credentials(url: str) -> str:
    """Return a URL without the user and password that may stand before its host."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    ends = [rest.index(c) for c in "/?#" if c in rest]
    end = min(ends, default=len(rest))
    return f"{scheme}://{rest[:end].rpartition('@')[2]}{rest[end:]}"


def downloaded(fetch: Fetch) -> str:
    """Return where the build sandbox finds what was fetched.

    Raises:
        CommandError: the sum of the file is not one.
    """
    return f"{DOWNLOADS}/{download_name(fetch.urls, fetch.sha256)}"


def git_name(url: str) -> str:
    """Return the name of the bare repository for a URL, or for a path of this machine."""
    shown = without_credentials(url)
    name = quote(shown, safe=":@+~,=")
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    if shown != url or len(name) > LONGEST_NAME:
        name = f"{name[-(LONGEST_NAME - DIGITS - 1) :]}-{_digest(url)[:DIGITS]}"
        name = name.lstrip(".")
    return name


def git_tree_name(fetch: FetchGit) -> str:
    """Return the path in the cache of the tar archive with the files of a revision, a branch, or what HEAD is."""
    wanted = f"revision {fetch.revision}" if fetch.revision else f"branch {fetch.branch}"
    return f"{GIT_TREES}/{git_name(fetch.url)}-{_digest(wanted)[:DIGITS]}.tar"


def git_tree(fetch: FetchGit) -> str:
    """Return where the build sandbox finds the tar archive; to be unpacked by `Unpack(git_tree(fetch), PATH)`."""
    return f"{CACHE}/{git_tree_name(fetch)}"


def _digest(text: str) -> str:
    """Return the sha256 of a text in hex."""
    from hashlib import sha256  # loads a library of 5 MB, for names that not every project has

    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
