"""Unpacking the layers of an image into a tree, with what they take away from the layers below.

A file `.wh.NAME` in a layer removes NAME of the layers below, `.wh..wh..opq` all that is in its directory. What the
same layer brings stays, wherever in the archive it stands. Everything else is as for archives: see `entries`.
"""

from __future__ import annotations

import hashlib
import json

from vaggapy.build.actions import CACHE
from vaggapy.build.entries import Entries, Refused, clean
from vaggapy.build.images.reference import record_name
from vaggapy.build.streams import decompressed
from vaggapy.build.tree import Places, Tree
from vaggapy.build.unpack import Names, failures, members, open_archive, place
from vaggapy.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

HIDE = ".wh."
HIDE_ALL = ".wh..wh..opq"
RESERVED = ".wh..wh."
SHA256 = "sha256:"


def unpack_image(reference: str, tree: Tree, single_id: bool = False, places: Places | None = None) -> None:
    """Unpack every layer of an image that is in the cache, the lowest first.

    Raises:
        CommandError: the image is not there, or a layer is not what it should be.
    """
    images = f"{(places or Places()).real(CACHE)}/images"
    try:
        with open(f"{images}/references/{record_name(reference)}", "rb") as file:
            layers = [(_hex(layer["digest"]), str(layer.get("diff_id") or "")) for layer in json.load(file)["layers"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _missing(reference) from error
    for digest, diff_id in layers:
        with open_archive(f"{images}/blobs/sha256/{digest}", f"{reference}: layer {digest[:12]}") as blob:
            apply_image_layer(blob, tree, f"{reference}: layer {digest[:12]}", diff_id, single_id)


def _hex(digest: str) -> str:
    """Return the digits of a sha256 digest, which become a file name."""
    kind, _, digits = digest.partition(":")
    if kind != "sha256" or len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
        raise ValueError(digest)
    return digits


def _missing(reference: str) -> CommandError:
    what = f"{reference}: the image is not in the cache, or what is noted of it there is damaged"
    return CommandError(what, "build with `--force` to fetch it again", "image-missing")


def apply_image_layer(blob: BinaryIO, tree: Tree, name: str, diff_id: str = "", single_id: bool = False) -> None:
    """Change a tree as a layer says. `diff_id`: digest of the uncompressed archive, compared if it is given.

    Raises:
        CommandError: with `name`, what people call the layer, and the member.
    """
    state = hashlib.sha256() if diff_id else None
    with (
        tree.directory("/") as top,
        Entries(top, whole=True, keep_owners=True, single_id=single_id, layer=True) as entries,
        failures(name) as about,
    ):
        stream = decompressed(blob, state.update if state is not None else None)
        names = Names()
        added: set[str] = set()
        for member in members(stream):
            about.member = member.name
            path = clean(member.name)
            above, _, last = path.rpartition("/")
            if last.startswith(HIDE):
                _hide(above, last, entries, added)
                continue
            _note(path, added)
            place(member, path, entries, names, stream)
        about.member = ""
        entries.finish()
        stream.drain()
    if state is not None and f"{SHA256}{state.hexdigest()}" != diff_id:
        raise CommandError(
            f"{name}: its content is not what the image says",
            "fetch it again with `--force`; if that does not help, the image is damaged",
            "image-layer-digest",
        )


def _note(path: str, added: set[str]) -> None:
    """Remember a path and all directories above as brought by this layer."""
    while path not in added:
        added.add(path)
        if not path:
            return
        path = path.rpartition("/")[0]


def _hide(above: str, last: str, entries: Entries, added: set[str]) -> None:
    """Take away what a whiteout names."""
    if last == HIDE_ALL:
        entries.hide_inside(above, added)
        return
    if last.startswith(RESERVED):  # notes of aufs for itself
        return
    name = last[len(HIDE) :]
    if name in ("", ".", ".."):
        raise Refused("takes away what has no name")
    entries.hide(f"{above}/{name}" if above else name, added)
