"""What all who speak HTTP with servers share: certificates, hosts that need no proxy, and why something failed.

Meant for processes of their own; it imports ssl.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def is_here(host: str) -> bool:
    """Tell whether a name or an address, in brackets or not, means this machine, of which no proxy knows."""
    host = host.removeprefix("[").removesuffix("]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def certificates(file: str = "", directory: str = "") -> ssl.SSLContext | None:
    """Return a context that accepts certificates of these authorities, or else of those that the system knows.

    The system's are those of SSL_CERT_FILE and SSL_CERT_DIR, where these variables are set. None: there are none at
    all, and the list should count that httpx brings.

    Raises:
        OSError: a file cannot be read, or has no certificates.
    """
    if file or directory:
        return ssl.create_default_context(cafile=file or None, capath=directory or None)
    paths = ssl.get_default_verify_paths()
    if paths.cafile or (paths.capath and os.access(paths.capath, os.R_OK) and os.listdir(paths.capath)):
        return ssl.create_default_context()
    return None


def cause(error: BaseException) -> str:
    """Return in a few words what an exception of a connection means."""
    chain = list(_chain(error))
    for found in chain:
        if isinstance(found, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted: {found.verify_message}"
        if isinstance(found, ssl.SSLError) and not isinstance(found, ssl.SSLEOFError):
            return f"TLS: {found.reason or found}"
        if isinstance(found, socket.gaierror):
            return f"its name is not found: {found.strerror}"
    for found in chain:
        if isinstance(found, ConnectionRefusedError):
            return "refused"
        if isinstance(found, TimeoutError):
            return "no answer"
        if isinstance(found, OSError) and found.errno:
            return os.strerror(found.errno).lower()
    return str(error) or type(error).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Give an exception and all that it came from."""
    waiting: list[BaseException | None] = [error]
    seen: list[BaseException] = []
    while waiting:
        found = waiting.pop(0)
        if found is None or found in seen:
            continue
        seen.append(found)
        yield found
        if isinstance(found, BaseExceptionGroup):
            waiting += found.exceptions
        waiting += (found.__cause__, found.__context__)
