"""`!Image REFERENCE`: the root file system of an image, of a registry or of a directory `oci:DIR`."""

from __future__ import annotations

from vaggapy.build.actions import FetchImage, UnpackImage
from vaggapy.build.context import Context
from vaggapy.build.images.reference import Layout, parse
from vaggapy.build.kind import Done, Kind
from vaggapy.build.sources import FileContent, ImageDigest, Source, Value
from vaggapy.config.shapes import KEYS, TEXT, Field, Shape
from vaggapy.errors import CommandError
from vaggapy.record import Record


class Image(Record):
    """`image`: the reference. `env`, `user`, `work_dir`: which of the image's own settings hold at run time."""

    image: str
    env: bool = True
    user: bool = False
    work_dir: bool = False


def act(step: Image, context: Context) -> Done:
    """Fetch and unpack the image. The reference is written in full from here on.

    Raises:
        CommandError: the reference is wrong.
    """
    reference = str(parse(step.image))
    return Done((FetchImage(reference), UnpackImage(reference)), context)


def sources(step: Image) -> tuple[Source, ...]:
    """Return what the image depends on: the digest that is written or was found, or what a directory says it holds.

    A wrong reference has no sources: `act` says what is wrong with it.
    """
    try:
        reference = parse(step.image)
    except CommandError:
        return ()
    if reference.digest:
        return (Value("image", reference.digest),)
    if isinstance(reference, Layout):
        return (FileContent(reference.index),)
    return (ImageDigest(str(reference)),)


FIELDS = {
    "image": Field("text", "", needed=True),
    "env": Field("true or false", "true"),
    "user": Field("true or false", "false"),
    "work-dir": Field("true or false", "false"),
}

KIND = Kind(Shape("!Image", (TEXT, KEYS), FIELDS, "image"), Image, act, sources, finds_out=True)
