"""Which address of this machine a service is advertised with. Pure.

A list of words says where to look; the first that matches counts:
`eth0`, `eth0:inet` (IPv4 of an interface), `eth0:inet6`, `eth0[1]` (the second address of an interface, of both kinds),
`10.0.0.0/8`, `fd00::/8` (any address in a network), `inet`, `inet6` (any that is not for this machine alone),
`static:ADDRESS`. Addresses are taken by the names of their interfaces, then by their bytes, IPv4 before IPv6.

Source: supervision-systems.md 2.10.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Address = IPv4Address | IPv6Address

STATIC = "static:"
NUMBERED = re.compile(r"(?P<name>[^][:/\s]+)\[(?P<number>[0-9]{1,4})\]")
NAMED = re.compile(r"(?P<name>[^][:/\s]+)(:(?P<family>inet6?))?")
ANY = {"inet": 4, "inet6": 6}
EXAMPLES = "eth0, eth0:inet6, eth0[1], 10.0.0.0/8, inet and static:10.0.0.1"


class Found(Record):
    """One address of an interface, as text."""

    interface: str
    address: str


def advertised(wanted: Iterable[str], found: Iterable[Found]) -> str:
    """Return the address that the first matching word of `wanted` names, "" if none does.

    Raises:
        ValueError: with a sentence on a word that means nothing.
    """
    known = sorted(((each.interface, ip_address(each.address)) for each in found), key=_order)
    for word in wanted:
        if word.startswith(STATIC):
            return str(_static(word))
        matching = _matching(word, known)
        if matching:
            return str(matching[0])
    return ""


def needs_interfaces(wanted: Iterable[str]) -> bool:
    """Tell whether the addresses of this machine count for these words."""
    return not next(iter(wanted), "").startswith(STATIC)


def _matching(word: str, known: list[tuple[str, Address]]) -> list[Address]:
    """Return the addresses that a word may mean, the first one first."""
    if word in ANY:
        return [address for _, address in known if address.version == ANY[word] and not address.is_loopback]
    if "/" in word:
        network = _network(word)
        return [address for _, address in known if address in network]
    if match := NUMBERED.fullmatch(word):
        own = [address for name, address in known if name == match["name"]]
        return own[int(match["number"]) :][:1]
    if match := NAMED.fullmatch(word):
        version = ANY[match["family"] or "inet"]
        return [address for name, address in known if name == match["name"] and address.version == version]
    raise ValueError(f"'{word}' says nothing of where an address is, as {EXAMPLES} do")


def _network(word: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(word, strict=False)
    except ValueError:
        raise ValueError(f"'{word}' is no network, as 10.0.0.0/8 is") from None


def _static(word: str) -> Address:
    try:
        return ip_address(word.removeprefix(STATIC))
    except ValueError:
        raise ValueError(f"'{word}' has no address, as static:10.0.0.1 has") from None


def _order(each: tuple[str, Address]) -> tuple[str, bytes]:
    """Return what addresses are sorted by: name, then the 16 bytes, those of IPv4 mapped into IPv6."""
    name, address = each
    packed = address.packed
    return name, packed if len(packed) == 16 else b"\0" * 10 + b"\xff\xff" + packed
