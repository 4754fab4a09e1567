"""Checks by HTTP: one GET, of whose answer only the status counts.

A redirect is an answer as any other and is not followed: a check is about the server that it names, and a page of
somebody else that answers 200 says nothing about that one. Who waits for a redirect awaits its status.
Each check makes a connection of its own. Proxies of the environment are used, but not for this machine.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress

import httpx

from vaggapy import __version__
from vaggapy.net.web import cause, certificates, is_here
from vaggapy.supervise.probes.outcome import Outcome

LONGEST_REQUEST = 5.0
"""Seconds for all of one request."""
LONGEST_SHOWN = 80
NOWHERE = "/dev/null/nowhere"
"""A socket that cannot be."""


class Browser:
    """Carries out checks; it keeps no connection, but the certificates once they are loaded."""

    def __init__(self) -> None:
        """Load nothing yet."""
        self._clients: dict[tuple[bool, bool], httpx.AsyncClient] = {}

    async def prepare(self) -> None:
        """Have httpx load what it loads at its first connection, which would take the time of the first check."""
        with suppress(httpx.HTTPError, OSError):
            transport = httpx.AsyncHTTPTransport(verify=False, uds=NOWHERE)  # certificates would take 20 ms
            async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
                await client.get("http://localhost/")

    async def answers(self, target: str, status: int, timeout: float) -> Outcome:
        """Tell whether a GET of the URL `target` gets this status within `timeout` seconds."""
        seconds = min(LONGEST_REQUEST, timeout)
        try:
            url = httpx.URL(target)
            client = self._client(url)
            async with asyncio.timeout(seconds), client.stream("GET", url) as response:
                got = response.status_code
                place = response.headers.get("location", "") if response.has_redirect_location else ""
        except TimeoutError:
            return Outcome(False, f"no answer within {seconds:g} s")
        except httpx.ProxyError as error:
            return Outcome(False, f"the proxy refuses: {error}")
        except httpx.RemoteProtocolError as error:
            return Outcome(False, f"no HTTP: {error}")
        except (httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError, OSError) as error:
            return Outcome(False, cause(error))
        if got == status:
            return Outcome(True)
        leads = f" to {place[:LONGEST_SHOWN]}" if place else ""
        return Outcome(False, f"HTTP {got}{leads} instead of {status}")

    def _client(self, url: httpx.URL) -> httpx.AsyncClient:
        """Return the client for a URL."""
        kind = is_here(url.host), url.scheme == "https"
        if kind not in self._clients:
            here, safe = kind
            # Certificates take 20 ms to load, and no client without them meets TLS: redirects are not followed.
            verify: ssl.SSLContext | bool = (certificates() or True) if safe else False
            self._clients[kind] = httpx.AsyncClient(
                verify=verify,
                trust_env=not here,
                follow_redirects=False,
                timeout=None,
                limits=httpx.Limits(max_keepalive_connections=0),
                headers={"User-Agent": f"vagga/{__version__}", "Accept": "*/*", "Connection": "close"},
            )
        return self._clients[kind]
