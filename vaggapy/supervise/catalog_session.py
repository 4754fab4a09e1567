"""Requests to Consul, by httpx."""

from __future__ import annotations

import asyncio
import json
import ssl

import httpx

from vaggapy import __version__
from vaggapy.net.web import cause, certificates, is_here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.rules import Consul
    from vaggapy.supervise.catalog_forms import Request

OK = 200
LONGEST_SHOWN = 120
LARGEST = 16 << 20
"""Bytes of an answer that are taken: tens of thousands of instances."""
INDEX = "x-consul-index"


class Refusal(Exception):  # noqa: N818 - what did not work, to be told or tried again
    """A request that did not do what it should; `str()` says why. `status` 0: there was no answer."""

    def __init__(self, why: str, status: int = 0) -> None:
        """Keep both."""
        super().__init__(why)
        self.status = status


class Session:
    """Speaks with one Consul. Connections are kept as long as they are in use."""

    def __init__(self, consul: Consul) -> None:
        """Load certificates.

        Raises:
            OSError, ValueError: the address or one of the files is wrong.
        """
        self.address = consul.address.rstrip("/")
        url = httpx.URL(self.address)
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError("write http://HOST:PORT or https://HOST:PORT")
        headers = {"User-Agent": f"vagga/{__version__}", "Accept-Encoding": "identity"}
        if consul.token:
            headers["X-Consul-Token"] = consul.token
        self._extensions = {"sni_hostname": consul.server_name} if consul.server_name else {}
        self._client = httpx.AsyncClient(
            verify=_context(consul) if url.scheme == "https" else False,
            trust_env=not is_here(url.host),  # no proxy knows this machine
            headers=headers,
            timeout=None,
            limits=httpx.Limits(max_connections=None),
        )

    async def ask(self, request: Request) -> tuple[object, str]:
        """Send a request; return the answer, from JSON where there is some, and its index.

        Raises:
            Refusal: there is no answer in time, or one that is not 200.
        """
        try:
            async with asyncio.timeout(request.seconds):
                response, said = await self._exchange(request)
        except TimeoutError:
            raise Refusal(f"no answer within {request.seconds:.0f} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise Refusal(cause(error)) from error
        if response.status_code != OK:
            shown = " ".join(said.decode("utf-8", "replace").split())[:LONGEST_SHOWN]
            raise Refusal(f"{response.status_code}: {shown or response.reason_phrase}", response.status_code)
        if request.method != "GET":
            return None, ""
        try:
            return json.loads(said), response.headers.get(INDEX, "")
        except (ValueError, RecursionError):
            raise Refusal("with what is not JSON", response.status_code) from None

    async def _exchange(self, request: Request) -> tuple[httpx.Response, bytes]:
        """Send a request; return the answer and what it says.

        Raises:
            Refusal: it says more than it may.
        """
        url = f"{self.address}{request.path}"
        said = bytearray()
        async with self._client.stream(
            request.method, url, params=request.query, json=request.body, extensions=self._extensions
        ) as response:
            # As it comes: nobody asked for a compressed one, of which a little can mean very much.
            async for piece in response.aiter_raw():
                said += piece
                if len(said) > LARGEST:
                    raise Refusal(f"more than {LARGEST >> 20} MiB", response.status_code)
        return response, bytes(said)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()


def _context(consul: Consul) -> ssl.SSLContext | bool:
    """Return the certificates that count."""
    context = certificates(consul.ca_file, consul.ca_path) or httpx.create_ssl_context(trust_env=False)
    if not consul.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if consul.client_cert:
        context.load_cert_chain(consul.client_cert, consul.client_key or None)
    return context
