"""Downloads over HTTP(S): resumed, checked, from the first mirror that works. The only user of httpx in `build`.

A file is under its name only when it is whole; `partial` says what lies beside it. `NAME.lock` is held by who fetches
it; others wait. Meant for a process of its own: importing httpx takes 130 ms, and whoever kills the process
loses nothing.
"""

from __future__ import annotations

import errno
import os
import time

from vaggapy import __version__
from vaggapy.build.filelock import locked
from vaggapy.build.names import download_name, full_sha256, without_credentials
from vaggapy.build.partial import Part, Wanted, is_known, is_whole
from vaggapy.errors import CommandError
from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, NoReturn

    import httpx

UNREACHABLE = "download-unreachable"
MISSING = "download-missing"
REFUSED = "download-refused"
TLS = "download-tls"
CHECKSUM = "download-checksum"
URL = "download-url"
PROXY = "download-proxy"
STORAGE = "download-storage"
MIRRORS = "download-mirrors"

TRIES = 3
MUCH = 1 << 20
"""Bytes: a try that gained as much does not count."""
LONGEST_PAUSE = 30.0
LONGEST_REDIRECT = 10
BETWEEN_TICKS = 0.1
OK, PARTIAL, UNSATISFIABLE = 200, 206, 416
PASSING = (408, 425, 429, 500, 502, 503, 504)
GONE = (404, 410)
DENIED = (401, 403, 407)


class Outside(Record):
    """What a download tells and how it waits; seconds.

    `progress(name, received, total or None)`: at most ten times a second, and at the end. `say`: a sentence.
    """

    progress: Callable[[str, int, int | None], None] = lambda *_: None
    say: Callable[[str], None] = lambda _: None
    wait: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    connect_seconds: float = 10.0
    read_seconds: float = 60.0


class _RefusalError(CommandError):
    """Why one URL did not give the file. `lasting`: trying again is no use. `pause`: seconds to wait before."""

    lasting = False
    pause: float | None = None


def _refusal(cause: str, remedy: str, name: str, lasting: bool = False, pause: float | None = None) -> _RefusalError:
    """Return a refusal with its marks."""
    refusal = _RefusalError(cause, remedy, name)
    refusal.lasting = lasting
    refusal.pause = pause
    return refusal


def fetch(
    urls: tuple[str, ...], sha256: str, directory: str, outside: Outside | None = None, fresh: bool = False
) -> str:
    """Have a download in the downloads cache `directory` and return its path; see `have`."""
    path = os.path.join(directory, download_name(urls, sha256))
    return have(Wanted(urls, path, full_sha256(sha256)), outside, fresh)


def have(wanted: Wanted, outside: Outside | None = None, fresh: bool = False) -> str:
    """Have a file at its path, which is returned.

    With a sum, a file that is there counts if its content does; without, it counts as it is, unless `fresh`.

    Raises:
        CommandError: with every URL and why it did not work, or what is wrong with the cache.
    """
    outside = outside or Outside()
    for url in wanted.urls:
        _check_url(url)
    again = fresh and not wanted.sha256
    try:
        if not again and is_known(wanted):
            return wanted.path
        os.makedirs(os.path.dirname(wanted.path), exist_ok=True)
        name = os.path.basename(wanted.path)
        with locked(f"{wanted.path}.lock", lambda: outside.say(f"{name}: another process fetches it, waiting")):
            if again or not (is_known(wanted) or is_whole(wanted, outside.say)):
                _from_first(wanted, outside)
    except OSError as error:
        _storage_failed(wanted, error)
    return wanted.path


# --- fetching -----------------------------------------------------------------------------------------------------


def _from_first(wanted: Wanted, outside: Outside) -> None:
    """Fetch the file from the first URL that gives it."""
    part = Part(wanted)
    refusals: list[tuple[str, _RefusalError]] = []
    with part.file, client(outside) as session:
        for url in wanted.urls:
            try:
                _from(url, session, part, wanted, outside)
                return
            except _RefusalError as found:
                refusals.append((without_credentials(url), found))
        part.leave()
    name = os.path.basename(wanted.path)
    if len(refusals) == 1:
        ((shown, refusal),) = refusals
        raise CommandError(f"{shown}: {refusal.what}", refusal.remedy, refusal.name)
    causes = "; ".join(f"{shown}: {refusal.what}" for shown, refusal in refusals)
    raise CommandError(f"{name}: no mirror has it: {causes}", "add one that works, or try later", MIRRORS)


def _from(url: str, client: httpx.Client, part: Part, wanted: Wanted, outside: Outside) -> None:
    """Fetch the file from one URL, with some patience.

    Raises:
        _RefusalError: the last one.
    """
    tries = 0
    farthest = part.size
    while True:
        try:
            _try(url, client, part, wanted, outside)
            return
        except _RefusalError as refusal:
            tries = 1 if part.size >= farthest + MUCH else tries + 1
            farthest = max(farthest, part.size)
            if refusal.lasting or tries >= TRIES:
                raise
            pause = 2.0 ** (tries - 1) if refusal.pause is None else refusal.pause
            cause = refusal.what
        again = f"in {pause:.0f} s" if pause else "now"
        outside.say(f"{without_credentials(url)}: {cause}; trying again {again}")
        outside.wait(pause)


def _try(url: str, client: httpx.Client, part: Part, wanted: Wanted, outside: Outside) -> None:
    """Ask once, keep what comes, and give the file its name if it is all and right."""
    begun = part.continues(url, wanted)
    if not (part.size and part.size == part.total and part.is_from(url)):
        begun = _receive(url, client, part, wanted, outside)
    if part.total is not None and part.size != part.total:
        raise _refusal(f"{part.size} of {part.total} bytes came", "try again later", UNREACHABLE)
    if wanted.sha256 and part.sum.hexdigest() != wanted.sha256:
        found = part.sum.hexdigest()
        part.clear()
        cause = f"its sha256 is {found}, not {wanted.sha256}"
        remedy = "if the new content is right, write its sum in vagga.yaml"
        raise _refusal(cause, remedy, CHECKSUM, lasting=not begun, pause=0.0)
    part.finish(wanted)


def _receive(url: str, client: httpx.Client, part: Part, wanted: Wanted, outside: Outside) -> bool:
    """Ask for the rest, or for all, and keep what comes. Return whether some of it was there before."""
    import httpx  # 130 ms, see the top

    headers = dict(wanted.headers)
    asked = part.continues(url, wanted)
    if asked:
        headers["Range"] = f"bytes={part.size}-"
        if part.validator and part.is_from(url):
            headers["If-Range"] = part.validator
    name = os.path.basename(wanted.path)
    try:
        with client.stream("GET", url, headers=headers) as response:
            begun = _accept(response, url, asked, part, wanted)
            _keep(response.iter_raw(), name, part, wanted, outside)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise explained(error, outside) from error
    return begun


def _keep(blocks: Iterator[bytes], name: str, part: Part, wanted: Wanted, outside: Outside) -> None:
    """Append what comes to the part, and tell how far it is."""
    told = outside.clock() - BETWEEN_TICKS
    for block in blocks:
        part.add(block)
        if 0 <= wanted.size < part.size:
            part.clear()
            raise _refusal(f"more than {wanted.size} bytes come", "ask whoever serves it", CHECKSUM, lasting=True)
        if (now := outside.clock()) - told >= BETWEEN_TICKS:
            told = now
            outside.progress(name, part.size, part.total)
    outside.progress(name, part.size, part.total)


def _accept(response: httpx.Response, url: str, asked: bool, part: Part, wanted: Wanted) -> bool:
    """Look at what a response is going to bring, and make the part ready. Return whether it continues the part."""
    _check_hops(response, wanted)
    headers = response.headers
    validator = _validator(headers)
    if response.status_code == OK:
        total = _number(headers.get("content-length", ""))
        part.begin(url, total, validator)
        return False
    if asked and response.status_code in (PARTIAL, UNSATISFIABLE):
        start, total = _content_range(headers.get("content-range", ""))
        fits = response.status_code == PARTIAL and start == part.size and part.total in (None, total)
        same = not part.is_from(url) or validator in ("", part.validator) or part.validator == ""
        if fits and same:
            part.go_on(url, total, validator)
            return True
        part.clear()
        cause = "the file there has changed since its first part was fetched"
        raise _refusal(cause, "try again later", UNREACHABLE, pause=0.0)
    raise bad_status(response)


def _validator(headers: Mapping[str, str]) -> str:
    """Return what can stand in If-Range: a strong ETag, or else a time."""
    tag = headers.get("etag", "")
    return tag if tag.startswith('"') else headers.get("last-modified", "")


def _number(text: str) -> int | None:
    """Return the number in a header."""
    return int(text) if text.isascii() and text.isdigit() else None


def _content_range(text: str) -> tuple[int | None, int | None]:
    """Return the first byte and the length of the whole of `bytes 10-19/20`."""
    span, _, total = text.removeprefix("bytes ").partition("/")
    return _number(span.partition("-")[0]), _number(total)


def _check_hops(response: httpx.Response, wanted: Wanted) -> None:
    """Refuse to be led from https to http, where nothing tells whether the content is the right one."""
    schemes = [hop.url.scheme for hop in (*response.history, response)]
    if "https" in schemes and "http" in schemes[schemes.index("https") :] and not wanted.sha256:
        remedy = "give the sha256, or a URL that stays with https"
        raise _refusal("it leads from https to http", remedy, REFUSED, lasting=True)


def bad_status(response: httpx.Response) -> _RefusalError:
    """Return why a response brings nothing."""
    status = response.status_code
    cause = f"{status} {response.reason_phrase}".strip()
    if response.history:
        cause += f" from {response.url.host}"
    if status in GONE:
        return _refusal(cause, "check the URL", MISSING, lasting=True)
    if status in DENIED:
        return _refusal(cause, "check the URL, and the user and password in it", REFUSED, lasting=True)
    if status not in PASSING:
        return _refusal(cause, "check the URL", REFUSED, lasting=True)
    pause = _retry_after(response.headers.get("retry-after", ""))
    if pause is not None and pause > LONGEST_PAUSE:
        return _refusal(f"{cause}, for {pause:.0f} s more", "try again later", REFUSED, lasting=True)
    return _refusal(cause, "try again later", REFUSED, pause=pause)


def _retry_after(text: str) -> float | None:
    """Return the seconds that a server asks to wait, None if it does not say."""
    from email.utils import parsedate_to_datetime  # rarely needed

    seconds = _number(text)
    if seconds is not None:
        return float(seconds)
    try:
        until = parsedate_to_datetime(text)
        return max(0.0, (until - until.now(until.tzinfo)).total_seconds())
    except ValueError:
        return None


# --- what can be wrong --------------------------------------------------------------------------------------------


def _check_url(url: str) -> None:
    """Refuse what is no download.

    Raises:
        CommandError: with what to write instead.
    """
    shown = without_credentials(url)
    scheme, mark, rest = url.partition("://")
    if not mark or scheme.lower() not in ("http", "https"):
        remedy = "write a path of the project, as in ./archive.tar.gz" if scheme in ("file", url) else "mirror it"
        raise CommandError(f"{shown}: only http and https URLs can be fetched", remedy, URL)
    if not rest.partition("/")[0]:
        raise CommandError(f"{shown}: the URL has no host", "write http://HOST/PATH", URL)


def client(outside: Outside) -> httpx.Client:
    """Return an HTTP client that heeds the proxy variables and SSL_CERT_FILE, and gives content as it is sent."""
    import httpx  # 130 ms, see the top

    from vaggapy.net.web import certificates  # with ssl, which httpx has loaded

    try:
        return httpx.Client(
            verify=certificates() or True,
            follow_redirects=True,
            max_redirects=LONGEST_REDIRECT,
            timeout=httpx.Timeout(outside.read_seconds, connect=outside.connect_seconds),
            mounts=dict.fromkeys(("all://localhost", "all://127.0.0.1", "all://[::1]")),  # no proxy knows this machine
            headers={"User-Agent": f"vagga/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"},
        )
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        cause = str(error).partition(". ")[0]
        for word in cause.split():
            cause = cause.replace(word, without_credentials(word))
        remedy = "http_proxy, https_proxy and all_proxy are to be http://HOST:PORT"
        raise CommandError(f"proxy variables: {cause}", remedy, PROXY) from error


def explained(error: Exception, outside: Outside) -> _RefusalError:
    """Return what an exception of httpx means."""
    import socket  # all three are here already: the error comes from there
    import ssl  # as above

    import httpx  # as above

    chain = list(_chain(error))
    for found in chain:
        if isinstance(found, ssl.SSLCertVerificationError):
            remedy = "check the clock; name the certificates of your own authority in SSL_CERT_FILE"
            cause = f"its certificate is not accepted: {found.verify_message}"
            return _refusal(cause, remedy, TLS, lasting=True)
        if isinstance(found, ssl.SSLError) and not isinstance(found, ssl.SSLEOFError):
            return _refusal(f"TLS: {found.reason or found}", "is this an https server?", TLS, lasting=True)
        if isinstance(found, socket.gaierror):
            lasting = found.errno != socket.EAI_AGAIN
            cause = f"its name, or that of the proxy, is not found: {found.strerror}"
            return _refusal(cause, "check the URL, the network, the proxy variables", UNREACHABLE, lasting)
    remedy = "check the network and the proxy variables, or try later"
    if isinstance(error, httpx.ConnectTimeout):
        return _refusal(f"no connection within {outside.connect_seconds:g} s", remedy, UNREACHABLE)
    if isinstance(error, httpx.TimeoutException):
        return _refusal(f"nothing came for {outside.read_seconds:g} s", remedy, UNREACHABLE)
    if isinstance(error, httpx.TooManyRedirects):
        return _refusal(f"more than {LONGEST_REDIRECT} redirects", "check the URL", REFUSED, lasting=True)
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return _refusal(f"not a URL that can be fetched, or led to one: {error}", "check it", URL, lasting=True)
    if isinstance(error, httpx.ProxyError):
        return _refusal(f"the proxy refuses: {error}", "check the proxy variables", PROXY)
    numbers = [found.errno for found in chain if isinstance(found, OSError) and found.errno]
    if numbers:
        return _refusal(os.strerror(numbers[0]).lower(), remedy, UNREACHABLE)
    if isinstance(error, httpx.RemoteProtocolError):
        return _refusal(f"the connection broke off: {error}", "try again later", UNREACHABLE)
    return _refusal(str(error) or type(error).__name__, remedy, UNREACHABLE)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Give an exception and what it came from."""
    seen: list[Any] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or error.__context__


def _storage_failed(wanted: Wanted, error: OSError) -> NoReturn:
    """Raise what an error of the file system means."""
    remedy = "check the cache directory"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = "make room: vagga _clean --unused"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        remedy = "let this user write there, or set cache-dir in the settings"
    cause = os.strerror(error.errno).lower() if error.errno else str(error)
    raise CommandError(f"{error.filename or wanted.path}: {cause}", remedy, STORAGE) from error
