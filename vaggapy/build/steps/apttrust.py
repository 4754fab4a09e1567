"""`!AptTrust {..}`: keys whose repositories apt believes.

    setup:
    - !Debian bookworm
    - !AptTrust {url: "https://apt.example.org/key.asc"}
    - !AptTrust {file: ./keys/example.gpg}
    - !AptTrust {keys: [F6ECB3762474EDA9D21B7022871920D1991BC93C]}

A key goes to `/etc/apt/trusted.gpg.d`, as `.asc` if it is armored, else as `.gpg`. `keys` are fetched from `server`
(keyserver.ubuntu.com), over https unless it says otherwise. They are named by fingerprint, or by its last 16 digits:
with 8 digits anybody can make a key of the same name. No gpg and no apt-key are needed.
"""

from __future__ import annotations

import _blake2

from vaggapy.build.actions import Action, Execute, Fetch, Install
from vaggapy.build.archives import UNCOUNTED, archive, counted
from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind, StepError
from vaggapy.build.names import downloaded
from vaggapy.build.packages import APT, needs
from vaggapy.build.places import in_project
from vaggapy.build.sources import FileContent, Source
from vaggapy.config.shapes import KEYS, Field, Shape
from vaggapy.record import Record

PLACE = "/etc/apt/trusted.gpg.d"
SERVER = "hkps://keyserver.ubuntu.com:443"
HEXADECIMAL = frozenset("0123456789ABCDEF")
LENGTHS = (16, 32, 40, 64)
SCHEMES = {"hkps": "https", "hkp": "http", "https": "https", "http": "http"}
HKP_PORT = ":11371"
NAMED = """
case "$(head -c 10 "$1.asc")" in
-----BEGIN) ;;
*) mv "$1.asc" "$1.gpg" ;;
esac
"""


class AptTrust(Record):
    """`keys` of `server`, and the key at `url`, with its sum, and the one in `file` of the project."""

    server: str = SERVER
    keys: tuple[str, ...] = ()
    url: str = ""
    sha256: str = ""
    file: str = ""


def act(step: AptTrust, context: Context) -> Done:
    """Put keys where apt finds them.

    Raises:
        StepError: the root is not Debian or Ubuntu, or no key is named, or one by too few digits.
    """
    needs(context, *APT)
    if not (step.keys or step.url or step.file):
        raise StepError("no key is named", "write one of keys, url and file", "bad-key-name")
    actions: list[Action] = []
    for name in step.keys:
        fetch = Fetch((key_url(step.server, key_name(name)),))
        actions += (fetch, *_placed(downloaded(fetch), key_name(name).lower()))
    if step.url:
        found = archive(step.url, step.sha256)
        actions += (*found.actions, *_placed(found.source, _short(step.url)))
    if step.file:
        actions += _placed(in_project(step.file), _short(step.file))
    return Done(tuple(actions), context)


def _placed(source: str, name: str) -> tuple[Action, ...]:
    place = f"{PLACE}/vagga-{name}"
    return (Install(source, f"{place}.asc"), Execute(("/bin/sh", "-ec", NAMED, "sh", place), {}, "/"))


def key_name(text: str) -> str:
    """Return a fingerprint in capital digits.

    Raises:
        StepError: it is none, or short enough to be forged.
    """
    name = text.replace(" ", "").upper().removeprefix("0X")
    if not set(name) <= HEXADECIMAL or len(name) not in LENGTHS:
        raise StepError(
            f"key {text!r} is not a fingerprint of 40 or 16 hexadecimal digits",
            "write the whole fingerprint; a shorter name can be forged",
            "bad-key-name",
        )
    return name


def key_url(server: str, name: str) -> str:
    """Return where a key server has a key."""
    scheme, mark, rest = server.partition("://")
    if not mark:
        scheme, rest = "https", server
    if scheme not in SCHEMES or not rest or rest.split() != [rest]:
        raise StepError(f"server {server!r} is not a key server", "as in 'hkps://keyserver.ubuntu.com'", "bad-key-name")
    host = rest.rstrip("/")
    if scheme == "hkp" and ":" not in host:
        host += HKP_PORT
    return f"{SCHEMES[scheme]}://{host}/pks/lookup?op=get&options=mr&search=0x{name}"


def sources(step: AptTrust) -> tuple[Source, ...]:
    """Return what counts: content of files of the project, sums or addresses of others."""
    found = counted(step.url, step.sha256) if step.url else ()
    return (*found, FileContent(in_project(step.file))) if step.file else found


def _short(text: str) -> str:
    return _blake2.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()


FIELDS = {
    "server": Field("text", SERVER),
    "keys": Field("list of texts", "[]"),
    "url": Field("text"),
    "sha256": Field("text"),
    "file": Field("text"),
}
KIND = Kind(Shape("!AptTrust", (KEYS,), FIELDS), AptTrust, act, sources, uncounted=UNCOUNTED)
