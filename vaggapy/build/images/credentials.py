"""Who we are for a registry, read from the configuration of Docker; and what a registry asks for. Pure."""

from __future__ import annotations

import binascii
import json

from vaggapy.build.images.reference import DOCKER_HUB, Reference
from vaggapy.errors import CommandError
from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

HUB_KEY = "https://index.docker.io/v1/"
TOKEN_USER = "<token>"
NOT_FOUND = "credentials not found"
REMEDY = "repair it, log in again with `docker login` or `podman login`, or remove it"
SLUG = "image-credentials"


class Credentials(Record):
    """A user and a password; or an identity token, which is exchanged for one; or a token that is sent as it is."""

    user: str = ""
    password: str = ""
    identity: str = ""
    bearer: str = ""

    def __repr__(self) -> str:
        """Show nothing that is secret."""
        return f"Credentials(user={self.user!r})"


class CredentialProgram(Record):
    """A program that knows the credentials: `docker-credential-NAME get`, which reads `key`."""

    name: str
    key: str

    @property
    def words(self) -> tuple[str, ...]:
        """Return the command line."""
        return (f"docker-credential-{self.name}", "get")


class Challenge(Record):
    """What a registry wants: `scheme` is `basic` or `bearer`, with where to get a token."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""


def look_up(config: bytes, reference: Reference, place: str) -> Credentials | CredentialProgram | None:
    """Return what a `config.json` says for an image's registry; None if it says nothing. `place`: for messages.

    Raises:
        CommandError: the file is not what it should be.
    """
    try:
        document = json.loads(config) if config.strip() else {}
    except (ValueError, RecursionError):
        raise CommandError(f"{place}: it is no JSON", REMEDY, SLUG) from None
    if not isinstance(document, dict):
        raise CommandError(f"{place}: it is no JSON object", REMEDY, SLUG)
    key = HUB_KEY if reference.host == DOCKER_HUB else reference.host
    helpers = _mapping(document.get("credHelpers"))
    helper = helpers.get(reference.host) or helpers.get(key)
    if isinstance(helper, str) and helper:
        return _helper(helper, key, place)
    entry = _entry(_mapping(document.get("auths")), reference)
    if entry is not None and (found := _credentials(entry, place)) is not None:
        return found
    store = document.get("credsStore")
    return _helper(store, key, place) if isinstance(store, str) and store else None


def answered(helper: CredentialProgram, status: int, output: bytes) -> Credentials | None:
    """Return what a helper program answered; None if it knows nobody.

    Raises:
        CommandError: it failed.
    """
    program = helper.words[0]
    text = output.decode("utf-8", "replace").strip()
    if status:
        if NOT_FOUND in text:
            return None
        cause = f"it ended with {status}" + (f": {text.splitlines()[-1][:200]}" if text else "")
        raise CommandError(f"{program} get, for {helper.key}: {cause}", "see whether it works in a shell", SLUG)
    try:
        document = json.loads(text)
        user, secret = document["Username"], document["Secret"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CommandError(f"{program} get, for {helper.key}: the answer is no JSON", "repair it", SLUG) from None
    if not (isinstance(user, str) and isinstance(secret, str)):
        raise CommandError(f"{program} get, for {helper.key}: no user and no secret", "repair it", SLUG)
    return Credentials(identity=secret) if user == TOKEN_USER else Credentials(user, secret)


def challenges(headers: tuple[str, ...]) -> tuple[Challenge, ...]:
    """Return what the `WWW-Authenticate` lines of an answer ask for; schemes that we do not know are left out."""
    found: list[Challenge] = []
    for header in headers:
        for scheme, values in _schemes(header):
            if scheme in ("basic", "bearer"):
                parts = (values.get(key, "") for key in ("realm", "service", "scope"))
                found.append(Challenge(scheme, *parts))
    return tuple(found)


# --- parts --------------------------------------------------------------------------------------------------------


def _mapping(value: object) -> Mapping[str, object]:
    """Return a JSON object, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def _helper(name: str, key: str, place: str) -> CredentialProgram:
    """Return the program of a name, which must be one word."""
    if "/" in name or not name.isprintable() or " " in name:
        raise CommandError(f"{place}: {name!r} is no name of a credential helper", REMEDY, SLUG)
    return CredentialProgram(name, key)


def _entry(entries: Mapping[str, object], reference: Reference) -> Mapping[str, object] | None:
    """Return the entry of a registry, or of the part of it that fits best (`host/team`, as Podman writes them)."""
    names = {_bare(key): value for key, value in entries.items()}
    wanted = f"{reference.host}/{reference.name}"
    while wanted:
        entry = names.get(wanted)
        if isinstance(entry, dict):
            return entry
        wanted = wanted.rpartition("/")[0]
    return None


def _bare(key: str) -> str:
    """Return a key of `auths` without the scheme and the version of the protocol that old entries have."""
    scheme = "://" in key
    name = (key.partition("://")[2] if scheme else key).rstrip("/")
    host, slash, path = name.partition("/")
    if path in ("v1", "v2"):
        slash = path = ""
    return (DOCKER_HUB if host in ("index.docker.io", "registry-1.docker.io") else host) + slash + path


def _credentials(entry: Mapping[str, object], place: str) -> Credentials | None:
    """Return the credentials of an entry, None if it is empty: then a store has them."""
    user, password = entry.get("username", ""), entry.get("password", "")
    coded = entry.get("auth", "")
    if isinstance(coded, str) and coded:
        try:
            text = binascii.a2b_base64(coded.encode()).decode("utf-8")
        except ValueError:
            text = ""
        user, colon, password = text.partition(":")
        if not colon:
            raise CommandError(f"{place}: an `auth` is no USER:PASSWORD in base64", REMEDY, SLUG)
        password = password.rstrip("\0")
    identity, bearer = entry.get("identitytoken", ""), entry.get("registrytoken", "")
    found = Credentials(*(value if isinstance(value, str) else "" for value in (user, password, identity, bearer)))
    return found if found != Credentials() else None


def _schemes(header: str) -> list[tuple[str, dict[str, str]]]:
    """Split `Bearer realm="..",service="..", Basic realm=".."` into schemes with their parameters."""
    found: list[tuple[str, dict[str, str]]] = []
    for part in _split_quoted(header):
        name, equals, value = part.partition("=")
        words = name.split()
        if len(words) == 2 or (words and not equals):
            found.append((words[0].lower(), {}))
        if found and equals and words:
            found[-1][1][words[-1].lower()] = _unquoted(value.strip())
    return found


def _split_quoted(text: str) -> list[str]:
    """Split at commas that are not between quotes."""
    parts, quoted, escaped = [""], False, False
    for letter in text:
        if letter == "," and not quoted:
            parts.append("")
            continue
        if letter == '"' and not escaped:
            quoted = not quoted
        escaped = letter == "\\" and not escaped
        parts[-1] += letter
    return parts


def _unquoted(value: str) -> str:
    """Return a value without its quotes."""
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return value
