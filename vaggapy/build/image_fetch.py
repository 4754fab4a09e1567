"""Have an image in the cache: `resolve` asks what a reference means, `fetch_image` has its layers too.

Meant for a process of its own, as all that uses the network. What a tag means is asked once and then kept, until
`refresh`: two builds of the same vagga.yaml come to the same. A digest is never asked for twice.
"""

from __future__ import annotations

from contextlib import nullcontext

from vaggapy.build.fetch import Outside
from vaggapy.build.image_cache import Image, blob_path, checked, digest_of, has_blob, read_image, write_image
from vaggapy.build.images.manifest import Index, Platform, choose, layers, platform, read, read_config
from vaggapy.build.images.reference import Layout, Reference, is_digest, parse
from vaggapy.build.oci_layout import Directory
from vaggapy.build.registry_client import Caller, Registry
from vaggapy.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from vaggapy.build.image_cache import Source
    from vaggapy.build.images.manifest import Manifest

DEEPEST = 3
STORAGE = "image-storage"


def resolve(
    reference: str,
    cache: str,
    project: str,
    architecture: str,
    refresh: bool = False,
    caller: Caller = Caller(),  # noqa: B008 - a frozen value
    outside: Outside = Outside(),  # noqa: B008 - a frozen value
) -> str:
    """Return the digest of the manifest that a reference means here, and keep what it says in the cache.

    `cache`, `project`: directories; `architecture`: as Debian names it. A directory (`oci:`) is always read anew.

    Raises:
        CommandError: the reference is wrong, or the image cannot be had, with the cause.
    """
    return _image(reference, cache, project, architecture, refresh, caller, outside, with_layers=False).digest


def fetch_image(
    reference: str,
    cache: str,
    project: str,
    architecture: str,
    refresh: bool = False,
    caller: Caller = Caller(),  # noqa: B008 - a frozen value
    outside: Outside = Outside(),  # noqa: B008 - a frozen value
) -> Image:
    """Return what a reference means, as `resolve`, once all its layers are in the cache, checked.

    Raises:
        CommandError: it cannot be had, or is not what it should be.
    """
    return _image(reference, cache, project, architecture, refresh, caller, outside, with_layers=True)


def _image(
    text: str,
    cache: str,
    project: str,
    architecture: str,
    refresh: bool,
    caller: Caller,
    outside: Outside,
    with_layers: bool,
) -> Image:
    """Do what both functions have in common."""
    reference, here = parse(text), platform(architecture)
    always = isinstance(reference, Layout) or (refresh and not reference.digest)
    image = None if always else read_image(cache, str(reference), here)
    try:
        if image is not None and (not with_layers or all(_there(cache, image))):
            return image
        with _source(reference, project, caller, outside) as source:
            if image is None:
                image = _find(reference, source, here)
                write_image(cache, image)
            if with_layers:
                for layer in image.layers:
                    source.keep(layer.descriptor, blob_path(cache, layer.descriptor.digest))
    except OSError as error:
        place = error.filename if isinstance(error.filename, str) else cache
        raise CommandError(f"{place}: {error.strerror}", "see what is there, make room or allow it", STORAGE) from error
    return image


def _there(cache: str, image: Image) -> tuple[bool, ...]:
    """Return for each layer whether the cache has it."""
    return tuple(has_blob(cache, layer.descriptor) for layer in image.layers)


def _source(
    reference: Reference | Layout, project: str, caller: Caller, outside: Outside
) -> AbstractContextManager[Source]:
    """Return where an image comes from."""
    if isinstance(reference, Layout):
        return nullcontext(Directory(reference, project))
    return Registry(reference, caller, outside)


def _find(reference: Reference | Layout, source: Source, here: Platform) -> Image:
    """Ask what a reference means, through all indexes, for this platform."""
    where = str(reference)
    wanted = reference.digest or reference.tag
    for _ in range(DEEPEST):
        sent = source.manifest(wanted)
        digest = wanted if is_digest(wanted) else sent.digest or digest_of(sent.data)
        found = read(checked(sent.data, digest, where), sent.media_type, where)
        if not isinstance(found, Index):
            return _complete(reference, source, here, digest, found)
        wanted = choose(found, here, where).digest
    raise CommandError(f"{where}: more than {DEEPEST} indexes, one in another", "ask who made it", "image-manifest")


def _complete(reference: Reference | Layout, source: Source, here: Platform, digest: str, manifest: Manifest) -> Image:
    """Return an image of which the manifest is known."""
    where = str(reference)
    data = checked(source.document(manifest.config), manifest.config.digest, f"{where}: the configuration")
    config = read_config(data, here, where)
    return Image(
        where,
        reference.pinned(digest),
        digest,
        str(here),
        manifest.document,
        config,
        layers(manifest, config, where),
    )
