"""What an image is called, read as Docker reads it, and where the cache keeps what is known of it. Pure.

`alpine` is `docker.io/library/alpine:latest`; the first part is a host if it has a dot, a colon or a capital letter,
or is `localhost`. With a digest the tag says nothing. `oci:DIR:TAG` is an image layout in a directory of the project.

No `re` and no `urllib`: the version of a container with an image needs this module, at every start.
"""

from __future__ import annotations

from vaggapy.errors import CommandError
from vaggapy.record import Record

DOCKER_HUB = "docker.io"
DOCKER_HUB_ADDRESS = "registry-1.docker.io"
LATEST = "latest"
PROJECT = "/work"
SCHEME = "oci:"
LONGEST_NAME = 255
LONGEST_TAG = 128
LONGEST_FILE_NAME = 200
HEX = frozenset("0123456789abcdef")
LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
WORD = LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
PLAIN = WORD | frozenset("_.-~")
SHA256 = "sha256:"


class Reference(Record):
    """An image of a registry: `docker.io`, `library/alpine`, and a tag or else a digest, `sha256:HEX`."""

    host: str
    name: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        """Show it in full, with everything that people leave out."""
        return f"{self.host}/{self.name}" + (f"@{self.digest}" if self.digest else f":{self.tag}")

    @property
    def address(self) -> str:
        """Return where to connect: Docker Hub has another host for it."""
        return DOCKER_HUB_ADDRESS if self.host == DOCKER_HUB else self.host

    @property
    def wanted(self) -> str:
        """Return what the registry is asked for: the digest if there is one, else the tag."""
        return self.digest or self.tag

    def pinned(self, digest: str) -> str:
        """Return the reference of just this manifest, whatever the tag means later."""
        return f"{self.host}/{self.name}@{digest}"


class Layout(Record):
    """An image of a directory: `directory` is relative to the project, `tag` "" for the only image in it."""

    directory: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        """Show it as it is written."""
        end = f"@{self.digest}" if self.digest else f":{self.tag}" if self.tag else ""
        return f"{SCHEME}{self.directory}{end}"

    @property
    def index(self) -> str:
        """Return the file that says what the layout holds, as a place of the build sandbox."""
        return f"{PROJECT}/{self.directory}/index.json"

    def pinned(self, digest: str) -> str:
        """Return the reference of just this manifest, whatever the tag means later."""
        return f"{SCHEME}{self.directory}@{digest}"


def parse(text: str) -> Reference | Layout:
    """Return what a reference means.

    Raises:
        CommandError: it is none; says what is wrong with it.
    """
    if text.startswith(SCHEME):
        return _layout(text)
    if "://" in text:
        raise _wrong(text, "no URL is wanted", f"write {text.partition('://')[2]!r}, without the part before")
    name, _, digest = text.partition("@")
    if "@" in text:
        _check_digest(text, digest)
    host, name = _split_host(text, name)
    tag = ""
    if ":" in name:
        name, _, tag = name.partition(":")
        _check_tag(text, tag)
    _check_name(text, name)
    if host == DOCKER_HUB and "/" not in name:
        name = f"library/{name}"
    if len(f"{host}/{name}") > LONGEST_NAME:
        raise _wrong(text, f"the name is longer than {LONGEST_NAME} characters", "check the name")
    return Reference(host, name, "" if digest else tag or LATEST, digest)


def loopback(host: str) -> bool:
    """Return whether a registry is on this machine, so that plain HTTP is good enough. `host` may have a port."""
    name, _ = split_port(host)
    if name in ("localhost", "[::1]"):
        return True
    numbers = name.split(".")
    return len(numbers) == 4 and numbers[0] == "127" and all(part.isdecimal() and len(part) < 4 for part in numbers)


def split_port(host: str) -> tuple[str, str]:
    """Return the name and the port, "" if there is none, of `host`, `host:port` or `[::1]:port`."""
    bracket = host.rfind("]")
    colon = host.rfind(":")
    return (host[:colon], host[colon + 1 :]) if colon > bracket else (host, "")


def record_name(reference: str) -> str:
    """Return the name of the file in `CACHE/images/references` that says what a reference, written in full, means.

    It is the reference with everything but letters, digits and `_.-~` as `%XX`, and `.json`; a very long one is cut,
    and its BLAKE2b makes it unique again.
    """
    quoted = "".join(
        chr(byte) if chr(byte) in PLAIN else f"%{byte:02X}" for byte in reference.encode(errors="surrogateescape")
    )
    if len(quoted) > LONGEST_FILE_NAME:
        # Only for such names; nearly no start needs it.
        from _blake2 import blake2b

        unique = blake2b(reference.encode(errors="surrogateescape"), digest_size=16).hexdigest()
        quoted = f"{quoted[: LONGEST_FILE_NAME - len(unique) - 1]}~{unique}"
    return f"{quoted}.json"


def is_digest(text: str) -> bool:
    """Return whether a text is `sha256:` and 64 small hexadecimal digits."""
    return text.startswith(SHA256) and len(text) == len(SHA256) + 64 and HEX.issuperset(text[len(SHA256) :])


# --- parts --------------------------------------------------------------------------------------------------------


def _layout(text: str) -> Layout:
    """Return what `oci:DIR`, `oci:DIR:TAG` or `oci:DIR@DIGEST` means."""
    place, _, digest = text.removeprefix(SCHEME).partition("@")
    if "@" in text:
        _check_digest(text, digest)
    place, _, tag = place.partition(":")
    if tag and not _printable(tag):
        raise _wrong(text, f"the tag {tag!r} has spaces or characters that do not show", "check the tag")
    if place == PROJECT or place.startswith(f"{PROJECT}/"):
        place = place.removeprefix(PROJECT).lstrip("/")
    elif place.startswith("/"):
        raise _wrong(text, "the directory is outside of the project", "copy it into the project, name it from there")
    parts = [part for part in place.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _wrong(text, "the directory has '..' in it", "copy it into the project, name it from there")
    if "\0" in place or not parts:
        raise _wrong(text, "no directory is named", "write oci:DIRECTORY or oci:DIRECTORY:TAG")
    return Layout("/".join(parts), "" if digest else tag, digest)


def _split_host(text: str, name: str) -> tuple[str, str]:
    """Return the host, Docker Hub if none is written, and the rest."""
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        return DOCKER_HUB, name
    if not _good_host(first):
        raise _wrong(text, f"{first!r} is no name of a registry", "write HOST/NAME:TAG or HOST:PORT/NAME:TAG")
    return (DOCKER_HUB if first in (f"index.{DOCKER_HUB}", DOCKER_HUB_ADDRESS) else first), rest


def _good_host(host: str) -> bool:
    """Return whether this is a name or an address of a machine, with or without a port."""
    name, port = split_port(host)
    if name != host and not (port.isascii() and port.isdecimal() and len(port) <= 5 and 0 < int(port) < 65536):
        return False
    if name.startswith("[") and name.endswith("]"):
        return ":" in name and (HEX | frozenset("ABCDEF:.")).issuperset(name[1:-1])
    parts = name.split(".")
    return all(part and WORD.issuperset(part.replace("-", "")) and part[0] != "-" and part[-1] != "-" for part in parts)


def _check_name(text: str, name: str) -> None:
    """Refuse a name of an image that registries do not know."""
    if name != name.lower():
        raise _wrong(text, f"{name!r} has capital letters", f"write {name.lower()!r}")
    for part in name.split("/"):
        if not _good_part(part):
            raise _wrong(
                text,
                f"{part!r} is no part of an image's name" if part else "a part of the name is empty",
                "use small letters and digits, with '.', '_', '__' or '-' between them",
            )
    if len(name) == 64 and HEX.issuperset(name):
        raise _wrong(text, "this is an id, not a name", f"write NAME@{SHA256}{name}")


def _good_part(part: str) -> bool:
    """Return whether a part is letters and digits with single separators: `.`, `_`, `__` or dashes."""
    if not part or part[0] not in LOWER or part[-1] not in LOWER:
        return False
    separator = ""
    for letter in part:
        if letter in LOWER:
            if separator and separator not in (".", "_", "__") and separator.strip("-"):
                return False
            separator = ""
        elif letter in "._-":
            separator += letter
        else:
            return False
    return True


def _check_tag(text: str, tag: str) -> None:
    """Refuse a tag that registries do not know."""
    good = tag and len(tag) <= LONGEST_TAG and tag[0] not in ".-" and (WORD | frozenset("_.-")).issuperset(tag)
    if not good:
        remedy = f"use letters, digits, '_', '.' and '-', at most {LONGEST_TAG}"
        raise _wrong(text, f"{tag!r} is no tag" if tag else "the tag after ':' is empty", remedy)


def _check_digest(text: str, digest: str) -> None:
    """Refuse a digest that is not a SHA-256 in full."""
    if is_digest(digest):
        return
    kind, colon, _ = digest.partition(":")
    cause = f"digests of the kind {kind} are not known" if colon and kind != "sha256" else f"{digest!r} is no digest"
    raise _wrong(text, cause, "write @sha256: and all 64 digits, 0-9 and a-f")


def _printable(text: str) -> bool:
    """Return whether a text has no spaces and nothing that does not show."""
    return text.isprintable() and " " not in text


def _wrong(text: str, cause: str, remedy: str) -> CommandError:
    """Return the error of a reference."""
    return CommandError(f"image {text!r}: {cause}", remedy, "image-reference")
