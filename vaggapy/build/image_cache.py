"""Images in the cache: what references mean, and blobs by their digest. Effects on files only.

    CACHE/images/references/QUOTED.json    what a reference means: digest, manifest, configuration, layers
    CACHE/images/blobs/sha256/HEX          a layer as it was sent, checked; read-only for all that comes after

A file gets its final name by a rename when all of it is there and right, so that the name is proof enough. What
`fetch.py` has beside a blob while it comes, and to know it again, is its own.
"""

from __future__ import annotations

import json
import os
from hashlib import sha256

from vaggapy.build.images.manifest import Descriptor, Layer, Platform
from vaggapy.build.images.reference import SHA256, is_digest, record_name
from vaggapy.build.trust import create
from vaggapy.errors import CommandError
from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Protocol

    class Source(Protocol):
        """Where an image comes from: a registry or a directory."""

        def manifest(self, wanted: str) -> Document:
            """Return the document of a tag or digest, not checked."""

        def document(self, descriptor: Descriptor) -> bytes:
            """Return a small blob, not checked, or the beginning of one that is too long."""

        def keep(self, descriptor: Descriptor, path: str) -> None:
            """Have a blob at `path`, whole and checked, unless it is there."""


LARGEST_RECORD = 16 << 20


class Document(Record):
    """A manifest or index as it was sent: what the sender calls it, and the digest that it should have, or ""."""

    data: bytes
    media_type: str = ""
    digest: str = ""


class Image(Record):
    """What a reference means. `digest` is the manifest's for this platform; `pinned` names it whatever the tag does.

    `manifest` and `config` are the documents as they were sent.
    """

    reference: str
    pinned: str
    digest: str
    platform: str
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]
    layers: tuple[Layer, ...]


def read_image(cache: str, reference: str, platform: Platform | None = None) -> Image | None:
    """Return what the cache says of a reference, written in full; None if it says nothing, or of another platform."""
    try:
        with open(f"{_references(cache)}/{record_name(reference)}", "rb") as file:
            document = json.loads(file.read(LARGEST_RECORD))
        image = Image(
            document["reference"],
            document["pinned"],
            document["digest"],
            document["platform"],
            document["manifest"],
            document["config"],
            tuple(
                Layer(Descriptor(entry["digest"], entry["size"], entry["mediaType"]), entry["diff_id"])
                for entry in document["layers"]
            ),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None  # Not there, or of another version of vagga.
    if image.reference != reference or (platform is not None and image.platform != str(platform)):
        return None
    if not all(is_digest(digest) for layer in image.layers for digest in (layer.descriptor.digest, layer.diff_id)):
        return None
    return image


def write_image(cache: str, image: Image) -> None:
    """Keep what a reference means, under its own name and under its `pinned` one."""
    for reference in dict.fromkeys((image.pinned, image.reference)):
        document = {
            "reference": reference,
            "pinned": image.pinned,
            "digest": image.digest,
            "platform": image.platform,
            "manifest": image.manifest,
            "config": image.config,
            "layers": [
                {
                    "digest": layer.descriptor.digest,
                    "mediaType": layer.descriptor.media_type,
                    "size": layer.descriptor.size,
                    "diff_id": layer.diff_id,
                }
                for layer in image.layers
            ],
        }
        os.makedirs(_references(cache), exist_ok=True)
        path = f"{_references(cache)}/{record_name(reference)}"
        temporary = f"{path}.{os.getpid()}.new"
        try:
            with open(create(temporary), "w", encoding="ascii") as file:
                json.dump(document, file)
            os.rename(temporary, path)
        except BaseException:
            _unlink(temporary)
            raise


def blob_path(cache: str, digest: str) -> str:
    """Return where a blob is, or will be. `digest` is known to be one."""
    return f"{cache}/images/blobs/sha256/{digest.removeprefix(SHA256)}"


def has_blob(cache: str, descriptor: Descriptor) -> bool:
    """Return whether a blob is there as a whole."""
    try:
        return os.stat(blob_path(cache, descriptor.digest)).st_size == descriptor.size
    except OSError:
        return False


def checked(data: bytes, digest: str, where: str) -> bytes:
    """Return a document if its digest is the one that was wanted.

    Raises:
        CommandError: it is not.
    """
    found = digest_of(data)
    if found != digest:
        raise wrong_digest(f"{where}: {digest} was wanted, but {found} came")
    return data


def digest_of(data: bytes) -> str:
    """Return the digest of a document."""
    return f"{SHA256}{sha256(data).hexdigest()}"


def wrong_digest(what: str) -> CommandError:
    """Return the error of bytes that are not what they should be."""
    return CommandError(what, "nothing of it is kept; try again, then ask who serves the image", "image-digest")


def _references(cache: str) -> str:
    """Return the directory of references."""
    return f"{cache}/images/references"


def _unlink(path: str) -> None:
    """Remove a file that may be gone."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
