"""What registries and image layouts say of an image: indexes, manifests, configurations. Pure; all of it is hostile.

A document counts by what it holds, checked against the kind that it says it is, so that no document can be read in
two ways. Only SHA-256 digests are known.
"""

from __future__ import annotations

import json

from vaggapy.build.images.reference import is_digest
from vaggapy.errors import CommandError
from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Document = Mapping[str, Any]

LARGEST_DOCUMENT = 4 * 1024 * 1024
"""Bytes of a manifest or configuration; registries allow no larger manifests."""

LARGEST_BLOB = 1 << 40
MOST_LAYERS = 500

_DOCKER = "application/vnd.docker.distribution.manifest"
_OCI = "application/vnd.oci.image"
DOCKER_MANIFEST = f"{_DOCKER}.v2+json"
DOCKER_LIST = f"{_DOCKER}.list.v2+json"
OCI_MANIFEST = f"{_OCI}.manifest.v1+json"
OCI_INDEX = f"{_OCI}.index.v1+json"
INDEXES = (OCI_INDEX, DOCKER_LIST)
MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
ACCEPTED = (*INDEXES, *MANIFESTS)
OLD = (f"{_DOCKER}.v1+json", f"{_DOCKER}.v1+prettyjws")
CONFIGS = ("application/vnd.docker.container.image.v1+json", f"{_OCI}.config.v1+json")
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_OCI_LAYER = f"{_OCI}.layer.v1.tar"
LAYERS = tuple(
    kind
    for tar in (_DOCKER_LAYER, _OCI_LAYER)
    for kind in (tar, f"{tar}.gzip", f"{tar}+gzip", f"{tar}.zstd", f"{tar}+zstd")
)
FOREIGN = ("application/vnd.docker.image.rootfs.foreign.diff.tar", f"{_OCI}.layer.nondistributable.v1.tar")

SLUG = "image-manifest"

_PLATFORMS = {
    "amd64": ("amd64", ""),
    "arm64": ("arm64", "v8"),
    "armel": ("arm", "v5"),
    "armhf": ("arm", "v7"),
    "i386": ("386", ""),
    "loong64": ("loong64", ""),
    "mips64el": ("mips64le", ""),
    "ppc64el": ("ppc64le", ""),
    "riscv64": ("riscv64", ""),
    "s390x": ("s390x", ""),
}
_BASIC = {"amd64": "v1", "arm64": "v8"}
"""The variant that an image of an architecture has if it names none."""


class Platform(Record):
    """What an image must be made for, in the words of Go: `arm`, `v7`."""

    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        """Show `linux/arm/v7`."""
        return "/".join(part for part in ("linux", self.architecture, self.variant) if part)


class Descriptor(Record):
    """What a document says of a blob: `size` in bytes."""

    digest: str
    size: int
    media_type: str


class Choice(Record):
    """One entry of an index. Empty texts where the index says nothing."""

    descriptor: Descriptor
    system: str = ""
    architecture: str = ""
    variant: str = ""
    name: str = ""


class Index(Record):
    """A document that names manifests."""

    choices: tuple[Choice, ...]


class Manifest(Record):
    """A document that names the configuration and the layers of one image, the lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    document: Document


class Layer(Record):
    """A layer: its blob, and the digest of the archive in it, not compressed."""

    descriptor: Descriptor
    diff_id: str


class ImageDefaults(Record):
    """What an image wants for the programs in it. `user`: `NAME`, `UID`, `NAME:GROUP` and so on, or ""."""

    environ: Mapping[str, str] = {}
    work_dir: str = ""
    user: str = ""


def platform(architecture: str) -> Platform:
    """Return what an image must be made for, of an architecture as Debian names it."""
    return Platform(*_PLATFORMS.get(architecture, (architecture, "")))


def read(data: bytes, media_type: str, where: str) -> Index | Manifest:
    """Return what an index or a manifest says. `media_type`: what the sender calls it; `where`: for messages.

    Raises:
        CommandError: it is neither, is of a kind that is too old, or has two meanings.
    """
    document = read_json(data, where)
    said = document.get("mediaType", "")
    kind = said if isinstance(said, str) and said else media_type.partition(";")[0].strip()
    if kind in OLD or document.get("schemaVersion") == 1 or "fsLayers" in document:
        raise CommandError(
            f"{where}: the image is of schema 1, which was given up in 2019",
            "push it again with a current Docker, Podman or skopeo",
            SLUG,
        )
    has_manifests, has_layers = "manifests" in document, "layers" in document or "config" in document
    if has_manifests and has_layers:
        raise _bad(where, "it is an index and a manifest at once")
    if has_manifests and kind not in MANIFESTS:
        return Index(tuple(_choice(entry, where) for entry in _list(document, "manifests", where)))
    if has_layers and kind not in INDEXES:
        return _manifest(document, where)
    raise _bad(where, f"it is no index and no manifest of an image, but {kind or 'of no known kind'}")


def choose(index: Index, wanted: Platform, where: str) -> Descriptor:
    """Return the entry of an index for this machine: the newest variant that it can run, else the first that fits.

    Raises:
        CommandError: there is none; says which there are.
    """
    fitting = [choice for choice in index.choices if choice.system == "linux" and _runs(choice, wanted)]
    if fitting:
        return max(fitting, key=lambda choice: choice.variant).descriptor
    if len(index.choices) == 1 and not index.choices[0].system:
        return index.choices[0].descriptor
    raise CommandError(
        f"{where}: there is no image for {wanted}, only for {_offered(index) or 'nothing'}",
        "choose another image or tag",
        "image-platform",
    )


def read_config(data: bytes, wanted: Platform, where: str) -> Document:
    """Return the configuration of an image.

    Raises:
        CommandError: it is none, or is one for other machines.
    """
    document = read_json(data, where)
    system, architecture = document.get("os", "linux"), document.get("architecture", "")
    if system != "linux" or architecture not in ("", wanted.architecture):
        raise CommandError(
            f"{where}: the image is for {system}/{architecture}, this machine is {wanted}",
            "choose another image or tag",
            "image-platform",
        )
    return document


def layers(manifest: Manifest, config: Document, where: str) -> tuple[Layer, ...]:
    """Return the layers of an image, the lowest first, with the digests of their archives.

    Raises:
        CommandError: manifest and configuration do not belong together, or a layer cannot be used.
    """
    file_system = config.get("rootfs")
    found = file_system.get("diff_ids") if isinstance(file_system, dict) else None
    if not isinstance(found, list) or len(found) != len(manifest.layers):
        raise _bad(where, f"the configuration does not speak of the {len(manifest.layers)} layers of the manifest")
    for digest in found:
        if not (isinstance(digest, str) and is_digest(digest)):
            raise _bad(where, f"{digest!r} is no digest of a layer")
    for descriptor in manifest.layers:
        _check_layer(descriptor, where)
    return tuple(Layer(*pair) for pair in zip(manifest.layers, found, strict=True))


def defaults(config: Document) -> ImageDefaults:
    """Return what an image wants for its programs; what makes no sense is left out."""
    inner = config.get("config")
    if not isinstance(inner, dict):
        return ImageDefaults()
    environ = {}
    listed = inner.get("Env")
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, str) and "\0" not in entry:
            name, equals, value = entry.partition("=")
            if name and equals:
                environ[name] = value
    work_dir, user = _plain(inner.get("WorkingDir")), _plain(inner.get("User"))
    return ImageDefaults(environ, work_dir if work_dir.startswith("/") else "", user)


def read_json(data: bytes, where: str) -> Document:
    """Return a JSON object.

    Raises:
        CommandError: it is none.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise _bad(where, "it is no JSON") from None
    if not isinstance(document, dict):
        raise _bad(where, "it is no JSON object")
    return document


# --- parts --------------------------------------------------------------------------------------------------------


def _manifest(document: Document, where: str) -> Manifest:
    """Return what a manifest says."""
    config = _descriptor(document.get("config"), where)
    if config.media_type not in CONFIGS:
        raise _bad(where, f"it is no image, but {config.media_type or 'of no known kind'}")
    if config.size > LARGEST_DOCUMENT:
        raise _bad(where, f"the configuration has {config.size} bytes, more than {LARGEST_DOCUMENT}")
    found = tuple(_descriptor(entry, where) for entry in _list(document, "layers", where))
    if len(found) > MOST_LAYERS:
        raise _bad(where, f"it has {len(found)} layers, more than {MOST_LAYERS}")
    return Manifest(config, found, document)


def _check_layer(descriptor: Descriptor, where: str) -> None:
    """Refuse a layer that is kept elsewhere, or is no archive that we know."""
    if descriptor.media_type.startswith(FOREIGN):
        raise CommandError(
            f"{where}: the layer {descriptor.digest} may not be distributed, it is fetched from its owner",
            "choose an image without foreign layers",
            SLUG,
        )
    if descriptor.media_type not in LAYERS:
        raise _bad(where, f"layers of the kind {descriptor.media_type!r} are not known")


def _list(document: Document, key: str, where: str) -> list[object]:
    """Return a list of a document; nothing counts as an empty one."""
    found = document.get(key)
    if found is None:
        return []
    if not isinstance(found, list):
        raise _bad(where, f"{key} is no list")
    return found


def _descriptor(entry: object, where: str) -> Descriptor:
    """Return what a document says of a blob."""
    if not isinstance(entry, dict):
        raise _bad(where, "a blob is not described")
    digest, size, kind = entry.get("digest"), entry.get("size"), entry.get("mediaType", "")
    if not (isinstance(digest, str) and is_digest(digest)):
        raise _bad(where, f"{digest!r} is no SHA-256 digest")
    if not (type(size) is int and 0 <= size <= LARGEST_BLOB):
        raise _bad(where, f"{digest} has the size {size!r}")
    return Descriptor(digest, size, kind if isinstance(kind, str) else "")


def _choice(entry: object, where: str) -> Choice:
    """Return one entry of an index."""
    descriptor = _descriptor(entry, where)
    assert isinstance(entry, dict)
    made_for, notes = entry.get("platform"), entry.get("annotations")
    made_for = made_for if isinstance(made_for, dict) else {}
    notes = notes if isinstance(notes, dict) else {}
    return Choice(
        descriptor,
        _plain(made_for.get("os")),
        _plain(made_for.get("architecture")),
        _plain(made_for.get("variant")),
        _plain(notes.get("org.opencontainers.image.ref.name")),
    )


def _runs(choice: Choice, wanted: Platform) -> bool:
    """Return whether this machine runs a choice: older variants of `arm` too, of others just the basic one."""
    if choice.architecture != wanted.architecture:
        return False
    if wanted.architecture == "arm":
        return choice.variant <= wanted.variant
    return choice.variant in ("", _BASIC.get(wanted.architecture, ""))


def _offered(index: Index) -> str:
    """Return the platforms of an index, for a message."""
    names = {
        "/".join(part for part in (choice.system, choice.architecture, choice.variant) if part): None
        for choice in index.choices
        if choice.system not in ("", "unknown")
    }
    return ", ".join(names)


def _plain(value: object) -> str:
    """Return a text of a document, "" for anything else."""
    return value if isinstance(value, str) and "\0" not in value else ""


def _bad(where: str, cause: str) -> CommandError:
    """Return the error of a document that cannot be used."""
    return CommandError(f"{where}: {cause}", "check the reference; images of Docker and of OCI can be used", SLUG)
