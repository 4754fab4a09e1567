"""Images in a directory of the project, `oci:DIR:TAG`, as skopeo, umoci, buildah and docker save write them.

What is in it may come from a stranger: all files are opened below the directory, and never through a link.
"""

from __future__ import annotations

import errno
import os
from hashlib import sha256

from vaggapy.build.image_cache import Document, wrong_digest
from vaggapy.build.images.manifest import LARGEST_DOCUMENT, Index, read
from vaggapy.build.images.reference import SHA256
from vaggapy.build.trust import create
from vaggapy.errors import CommandError
from vaggapy.sandbox import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.build.images.manifest import Choice, Descriptor
    from vaggapy.build.images.reference import Layout

SLUG = "image-layout"
BLOCK = 1 << 20


class Directory:
    """An image layout; a `Source` of `image_cache`."""

    def __init__(self, layout: Layout, project: str) -> None:
        """Keep where it is; `project` is the directory that counts as /work."""
        self._name = f"{layout}"
        self._project = project
        self._directory = layout.directory
        self._place = f"{project}/{layout.directory}"

    def manifest(self, wanted: str) -> Document:
        """Return the manifest or index of a tag, of the only image, or of a digest.

        Raises:
            CommandError: the directory is no image layout, or does not have that.
        """
        if wanted.startswith(SHA256):
            return Document(self._blob(wanted, LARGEST_DOCUMENT), "", wanted)
        index = read(self._read("index.json", LARGEST_DOCUMENT), "", f"{self._name}: index.json")
        if not isinstance(index, Index):
            raise CommandError(f"{self._name}: index.json is no index", f"see what is in {self._place}", SLUG)
        found = self._choose(index, wanted).descriptor
        return Document(self._blob(found.digest, LARGEST_DOCUMENT), found.media_type, found.digest)

    def document(self, descriptor: Descriptor) -> bytes:
        """Return a small blob."""
        return self._blob(descriptor.digest, descriptor.size + 1)

    def keep(self, descriptor: Descriptor, path: str) -> None:
        """Copy a blob to `path`, unless it is there. Whoever else copies it at the same time writes the same.

        Raises:
            CommandError: it is not what its digest speaks of.
            OSError: the cache cannot be written.
        """
        if os.path.exists(path) and os.stat(path).st_size == descriptor.size:
            return
        os.makedirs(os.path.dirname(path), exist_ok=True)
        temporary = f"{path}.{os.getpid()}.new"
        found = sha256()
        try:
            with open(self._open(_path(descriptor.digest)), "rb") as file, open(create(temporary), "wb") as copy:
                while data := file.read(BLOCK):
                    found.update(data)
                    copy.write(data)
            if (digest := f"{SHA256}{found.hexdigest()}") != descriptor.digest:
                raise wrong_digest(f"{self._name}: {descriptor.digest} was wanted, but {digest} is there")
            os.rename(temporary, path)
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)

    def _choose(self, index: Index, wanted: str) -> Choice:
        """Return the entry of a tag; without a tag there must be one only."""
        fitting = [
            choice for choice in index.choices if not wanted or choice.name in (wanted, "") or _tail(choice, wanted)
        ]
        named = [choice for choice in fitting if choice.name] if wanted else fitting
        if len(named) == 1 or (named and wanted):
            return named[-1]  # A tag that is written twice means what was written last.
        tags = ", ".join(sorted({choice.name for choice in index.choices if choice.name})) or "none"
        cause = f"there is no tag {wanted!r}" if wanted else f"there are {len(fitting)} images"
        raise CommandError(f"{self._name}: {cause}", f"write oci:DIRECTORY:TAG with one of its tags: {tags}", SLUG)

    def _blob(self, digest: str, limit: int) -> bytes:
        """Return at most `limit` bytes of a blob."""
        return self._read(_path(digest), limit)

    def _read(self, path: str, limit: int) -> bytes:
        """Return at most `limit` bytes of a file of the layout."""
        with open(self._open(path), "rb") as file:
            return file.read(limit)

    def _open(self, path: str) -> int:
        """Open a regular file below the directory; no part of `path` may be a link."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            top = os.open(self._project, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                beneath = linux.RESOLVE_BENEATH | linux.RESOLVE_NO_MAGICLINKS
                here = linux.openat2(top, self._directory, os.O_RDONLY | os.O_DIRECTORY, resolve=beneath)
            finally:
                os.close(top)
            try:
                *parents, name = path.split("/")
                for parent in parents:
                    above, here = here, os.open(parent, flags | os.O_DIRECTORY, dir_fd=here)
                    os.close(above)
                return os.open(name, flags | os.O_NONBLOCK, dir_fd=here)
            finally:
                os.close(here)
        except OSError as error:
            linked = error.errno in (errno.ELOOP, errno.ENOTDIR)
            cause = "it is a link" if linked else os.strerror(error.errno or 0)
            if error.errno == errno.EXDEV:
                cause = "a link leads out of the project"
            raise CommandError(
                f"{self._name}: {self._place}/{path}: {cause}", "name the directory that has index.json in it", SLUG
            ) from None


def _tail(choice: Choice, wanted: str) -> bool:
    """Return whether an entry is called `NAME:TAG`, as docker writes it, with this tag."""
    return choice.name.rpartition(":")[2] == wanted


def _path(digest: str) -> str:
    """Return where a layout has a blob."""
    return f"blobs/{digest.replace(':', '/', 1)}"
