"""The files of a download in the cache: the whole one, what has come of it so far, and notes about both.

NAME            the file, only when it is whole
NAME.part       what has come so far; a later run goes on from there, if the server can
NAME.part.json  which URL that is from, how long the whole is, and the server's validator of it
NAME.ok         sha256, size, time and inode of the file when its content was last compared with the sum
"""

from __future__ import annotations

import hashlib
import json
import os

from vaggapy.build.trust import create
from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BLOCK = 1 << 20


class Wanted(Record):
    """A file to have: `path` is its final name, `sha256` in hex or "", `size` in bytes or -1.

    `urls`: mirrors of the same content. `headers`: sent along; httpx drops Authorization for another host.
    """

    urls: tuple[str, ...]
    path: str
    sha256: str = ""
    size: int = -1
    headers: Mapping[str, str] = {}


def is_known(wanted: Wanted) -> bool:
    """Return whether the file is there and, where a sum is given, has not changed since it was compared with it."""
    try:
        found = os.stat(wanted.path)
    except FileNotFoundError:
        return False
    return not wanted.sha256 or _load(f"{wanted.path}.ok") == _print(wanted.sha256, found)


def is_whole(wanted: Wanted, say: Callable[[str], None]) -> bool:
    """Return whether the file is there with the right content, and remember that; remove one with another content.

    Two downloads may differ and have the same name: it has eight digits of the sum.
    """
    try:
        with open(wanted.path, "rb") as file:
            found = os.fstat(file.fileno())
            right = hashlib.file_digest(file, "sha256").hexdigest() == wanted.sha256
    except FileNotFoundError:
        return False
    if right:
        _save(f"{wanted.path}.ok", _print(wanted.sha256, found))
    else:
        say(f"{os.path.basename(wanted.path)}: what is in the cache has another sha256, fetching it again")
        os.unlink(wanted.path)
    return right


def _print(sha256: str, found: os.stat_result) -> dict[str, object]:
    """Return what tells whether a file is still the one that was compared."""
    return {"sha256": sha256, "size": found.st_size, "time": found.st_mtime_ns, "inode": found.st_ino}


def _load(path: str) -> dict[str, object]:
    """Return the object in a JSON file; {} for anything that is not one."""
    try:
        with open(path, "rb") as file:
            data = json.loads(file.read())
    except (FileNotFoundError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _save(path: str, data: dict[str, object]) -> None:
    """Write a JSON file; what a kill leaves of it is no JSON and counts as nothing."""
    with open(create(path), "w", encoding="ascii") as file:
        json.dump(data, file)


class Part:
    """The file that is being fetched: what has come so far, and what it is the beginning of."""

    def __init__(self, wanted: Wanted) -> None:
        """Open it where an earlier process stopped."""
        self.path = f"{wanted.path}.part"
        self.notes = f"{wanted.path}.part.json"
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self.file = os.fdopen(os.open(self.path, flags, 0o644), "r+b", buffering=0)
        self.kept = _load(self.notes)
        self.sum = hashlib.sha256()
        self.size = 0
        while block := self.file.read(BLOCK):
            self.sum.update(block)
            self.size += len(block)

    @property
    def total(self) -> int | None:
        """Return how long the whole is, if that is known."""
        total = self.kept.get("total")
        return total if isinstance(total, int) else None

    @property
    def validator(self) -> str:
        """Return the server's name for this content, "" if it has none."""
        return str(self.kept.get("validator", ""))

    def begin(self, url: str, total: int | None, validator: str) -> None:
        """Start anew with the whole that a response is going to bring."""
        self.clear()
        self.go_on(url, total, validator)

    def go_on(self, url: str, total: int | None, validator: str) -> None:
        """Note which response brings the rest."""
        self.kept = {"url": _digest(url), "total": total, "validator": validator}
        _save(self.notes, self.kept)

    def clear(self) -> None:
        """Forget everything. Content goes first: notes without content say nothing."""
        self.file.seek(0)
        self.file.truncate()
        self.sum = hashlib.sha256()
        self.size = 0
        self.kept = {}

    def add(self, block: bytes) -> None:
        """Append what came."""
        view = memoryview(block)
        while view:
            view = view[self.file.write(view) :]
        self.sum.update(block)
        self.size += len(block)

    def leave(self) -> None:
        """Leave what came for a later run, and nothing if nothing came."""
        if not self.size:
            for path in (self.path, self.notes):
                if os.path.lexists(path):
                    os.unlink(path)

    def is_from(self, url: str) -> bool:
        """Return whether the content came from this URL."""
        return self.kept.get("url") == _digest(url)

    def continues(self, url: str, wanted: Wanted) -> bool:
        """Return whether it makes sense to go on from here: something tells later if the content changed."""
        return self.size > 0 and bool(self.kept) and bool(wanted.sha256 or (self.is_from(url) and self.validator))

    def finish(self, wanted: Wanted) -> None:
        """Give the file its name."""
        found = os.fstat(self.file.fileno())
        os.rename(self.path, wanted.path)
        for path in (self.notes, f"{wanted.path}.ok"):
            if os.path.lexists(path):
                os.unlink(path)
        if wanted.sha256:
            _save(f"{wanted.path}.ok", _print(wanted.sha256, found))


def _digest(url: str) -> str:
    """Return a stand-in for a URL, which may hold a password."""
    return hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()
