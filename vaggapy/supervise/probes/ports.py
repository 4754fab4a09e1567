"""Checks of TCP ports: all addresses of a name are tried, one after the other.

Each gets its share of the time, at most a second.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket

from vaggapy.supervise.probes.outcome import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Address = tuple[int, Any]

LONGEST_ATTEMPT = 1.0
"""Seconds for one address."""
REFUSED, SILENT = "refused", "no answer"
NOBODY_THERE = {
    errno.ECONNREFUSED: REFUSED,
    errno.ETIMEDOUT: SILENT,
    errno.EHOSTUNREACH: "no way to the host",
    errno.ENETUNREACH: "no way to the network",
    errno.EADDRNOTAVAIL: "no such address here",
    errno.EAFNOSUPPORT: "no such kind of address here",
}
"""Failures that say that nobody listens; all others say that one cannot tell."""


async def answers(target: str, timeout: float) -> Outcome:
    """Tell whether somebody accepts connections at HOST:PORT within `timeout` seconds."""
    found = await _addresses(target)
    if isinstance(found, Outcome):
        return found
    causes = {}
    for address, seconds in _shares(found, timeout):
        failure = await _connect(address, seconds)
        if failure is None:
            return Outcome(True)
        causes[address[1][0]] = failure[1]
    return Outcome(False, _joined(causes))


async def is_silent(target: str, timeout: float) -> Outcome:
    """Tell whether nobody accepts connections at any address of HOST:PORT; a name without an address tells nothing."""
    found = await _addresses(target)
    if isinstance(found, Outcome):
        return found
    for address, seconds in _shares(found, timeout):
        failure = await _connect(address, seconds)
        if failure is None:
            return Outcome(False, "somebody listens")
        if failure[0] not in NOBODY_THERE:
            return Outcome(False, f"cannot tell: {failure[1]}")
    return Outcome(True)


def _shares(addresses: list[Address], timeout: float) -> list[tuple[Address, float]]:
    """Return the seconds that each address gets; the last moment is kept for the answer."""
    seconds = min(LONGEST_ATTEMPT, 0.9 * timeout / len(addresses))
    return [(address, seconds) for address in addresses]


async def _addresses(target: str) -> list[Address] | Outcome:
    """Return all addresses of HOST:PORT, or why there are none."""
    host, _, port = target.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
        return Outcome(False, f"'{target}' is not HOST:PORT")
    kind = socket.SOCK_STREAM
    try:
        found = socket.getaddrinfo(host, int(port), type=kind, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, int(port), type=kind)
        except (socket.gaierror, UnicodeError) as error:
            return Outcome(False, f"the name {host} is not found: {getattr(error, 'strerror', '') or error}")
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


async def _connect(address: Address, seconds: float) -> tuple[int, str] | None:
    """Connect once and hang up; return None, or the number of the error and what it means."""
    family, place = address
    try:
        end = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError as error:
        return _failure(error)
    with end:
        try:
            async with asyncio.timeout(seconds):
                await asyncio.get_running_loop().sock_connect(end, place)
            # Where nobody listens at a port that clients get, one can be connected with oneself.
            return (errno.ECONNREFUSED, REFUSED) if end.getsockname() == end.getpeername() else None
        except TimeoutError:
            return errno.ETIMEDOUT, SILENT
        except OSError as error:
            return _failure(error)


def _failure(error: OSError) -> tuple[int, str]:
    number = error.errno or 0
    return number, NOBODY_THERE.get(number) or os.strerror(number).lower()


def _joined(causes: dict[str, str]) -> str:
    """Return the causes in one line, with addresses only where they differ."""
    kinds = set(causes.values())
    return kinds.pop() if len(kinds) == 1 else ", ".join(f"{address}: {cause}" for address, cause in causes.items())
