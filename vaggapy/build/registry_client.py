"""Images of registries, by the protocol of Docker and OCI (`/v2/`). Speaks HTTP by what `fetch.py` has for it.

A registry says by 401 what it wants: a user and a password, or a token from another server, which gets them
instead. They go to these two only: a redirect to another host, where layers usually lie, is followed without.
A registry of this machine may do without TLS, all others may not.
"""

from __future__ import annotations

import os

from vaggapy.build import fetch
from vaggapy.build.fetch import Outside
from vaggapy.build.image_cache import Document, wrong_digest
from vaggapy.build.images.credentials import Challenge, CredentialProgram, Credentials, answered, challenges, look_up
from vaggapy.build.images.manifest import ACCEPTED, LARGEST_DOCUMENT, read_json
from vaggapy.build.images.reference import DOCKER_HUB, is_digest, loopback
from vaggapy.build.partial import Wanted
from vaggapy.errors import CommandError
from vaggapy.record import Record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx

    from vaggapy.build.images.manifest import Descriptor
    from vaggapy.build.images.reference import Reference

    Run = Callable[[tuple[str, ...], bytes], tuple[int, bytes]]

OK, UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 200, 401, 403, 404
NOT_THERE = "image-not-found"
ACCESS = "image-access"
FAILED = "image-registry"
CLIENT_ID = "vagga"
LONGEST_CAUSE = 200
LARGEST_CONFIG = 1 << 20
SHORT = 12


class Caller(Record):
    """For whom images are fetched.

    `environ`: their HOME and DOCKER_CONFIG. `run`: runs a program, a credential helper, with bytes on its standard
    input, and returns its status, 127 if there is none, and its standard output.
    """

    environ: Mapping[str, str] = {}
    run: Run = lambda words, data: (127, b"")


class Answer(Record):
    """What a server said. `challenges`: what it wants to be asked with; `origin`: the scheme it answered with.

    `digest`: what it says is the digest of the whole body, "" if it does not.
    """

    status: int
    media_type: str
    challenges: tuple[Challenge, ...]
    body: bytes
    origin: str
    digest: str


class Registry:
    """The registry of one image; a `Source` of `image_cache`. To be closed, or used with `with`."""

    def __init__(self, reference: Reference, caller: Caller, outside: Outside) -> None:
        """Prepare the client; nothing is sent yet."""
        self._reference = reference
        self._caller = caller
        self._outside = outside
        self._client = fetch.client(outside)
        self._base = ""
        self._authorization = ""

    def __enter__(self) -> Registry:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close all connections."""
        self._client.close()

    def manifest(self, wanted: str) -> Document:
        """Return the manifest or index of a tag or a digest, as the registry gives it.

        Raises:
            CommandError: there is none, or it cannot be had.
        """
        answer = self._get(f"manifests/{wanted}", {"Accept": ", ".join(ACCEPTED)})
        if self._base.startswith("https:") and answer.origin != "https":
            raise CommandError(f"{self._reference}: the registry leads from https to http", "ask who runs it", FAILED)
        if len(answer.body) > LARGEST_DOCUMENT:
            cause = f"the manifest has more than {LARGEST_DOCUMENT} bytes"
            raise CommandError(f"{self._reference}: {cause}", "ask who made the image", FAILED)
        return Document(answer.body, answer.media_type, answer.digest)

    def document(self, descriptor: Descriptor) -> bytes:
        """Return a small blob."""
        return self._get(f"blobs/{descriptor.digest}", {}).body

    def keep(self, descriptor: Descriptor, path: str) -> None:
        """Have a blob at `path`, unless it is there: resumed, and checked.

        Raises:
            CommandError: it cannot be had, or is not what its digest speaks of.
        """
        digits = descriptor.digest.rpartition(":")[2]
        shown = f"{self._reference.name} {digits[:SHORT]}"
        outside = replace(
            self._outside,
            progress=lambda _, received, total: self._outside.progress(shown, received, total or descriptor.size),
        )
        url = f"{self._place()}/blobs/{descriptor.digest}"
        try:
            self._have(url, path, descriptor, outside)
        except CommandError as error:
            if error.name != fetch.REFUSED:
                raise
            # The token has expired meanwhile, or there was none yet: one byte tells. Or it was the address of another
            # host that the registry led to; then it gives a new one.
            answer = self._ask("GET", url, {**self._own(), "Range": "bytes=0-0"}, limit=1)
            if answer.status == UNAUTHORIZED:
                self._authorization = self._authorize(answer.challenges)
            self._have(url, path, descriptor, outside)

    def _have(self, url: str, path: str, descriptor: Descriptor, outside: Outside) -> None:
        """Fetch a blob."""
        digits = descriptor.digest.rpartition(":")[2]
        try:
            fetch.have(Wanted((url,), path, digits, descriptor.size, self._own()), outside)
        except CommandError as error:
            if error.name == fetch.CHECKSUM:
                raise wrong_digest(f"{self._reference}: {error.what}") from error
            raise

    # --- one request ------------------------------------------------------------------------------------------------

    def _place(self) -> str:
        """Return the URL of the repository, once it is known how to speak to the registry."""
        if not self._base:
            address = self._reference.address
            self._base = f"https://{address}"
            if loopback(address) and self._is_plain(address):
                self._base = f"http://{address}"
        return f"{self._base}/v2/{self._reference.name}"

    def _is_plain(self, address: str) -> bool:
        """Return whether a registry of this machine answers without TLS. It is told nothing but the question."""
        import httpx  # 100 ms, see fetch.py

        try:
            answer = self._client.get(f"http://{address}/v2/", follow_redirects=False)
        except (httpx.HTTPError, httpx.InvalidURL):
            return False
        return answer.status_code in (OK, UNAUTHORIZED)

    def _own(self) -> dict[str, str]:
        """Return the header that says who we are, once somebody has asked."""
        return {"Authorization": self._authorization} if self._authorization else {}

    def _get(self, path: str, headers: Mapping[str, str]) -> Answer:
        """Return what the repository has at `path`, after being asked for credentials if need be."""
        url = f"{self._place()}/{path}"
        answer = self._ask("GET", url, {**headers, **self._own()})
        if answer.status == UNAUTHORIZED:
            self._authorization = self._authorize(answer.challenges)
            answer = self._ask("GET", url, {**headers, **self._own()})
        if answer.status == OK:
            return answer
        raise self._refused(answer, url)

    def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        form: dict[str, str] | None = None,
        limit: int = LARGEST_DOCUMENT + 1,
    ) -> Answer:
        """Ask once, or some times if the server or the network is out of order; read at most `limit` bytes.

        Raises:
            CommandError: there is no answer.
        """
        import httpx  # 100 ms, see fetch.py

        tries = 0
        while True:
            tries += 1
            try:
                # A form has a token in it, which no redirect may lead elsewhere.
                follow = form is None
                with self._client.stream(
                    method, url, headers=dict(headers), data=form, follow_redirects=follow
                ) as response:
                    if response.status_code not in fetch.PASSING:
                        return _answer(response, limit)
                    refusal = fetch.bad_status(response)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                refusal = fetch.explained(error, self._outside)
            if refusal.lasting or tries >= fetch.TRIES:
                raise CommandError(f"{self._reference}: {url}: {refusal.what}", refusal.remedy, FAILED)
            self._outside.wait(2.0 ** (tries - 1) if refusal.pause is None else refusal.pause)

    def _refused(self, answer: Answer, url: str) -> CommandError:
        """Return the error of an answer that brings nothing."""
        said = _message(answer.body)
        cause = f": {said}" if said else ""
        if answer.status in (UNAUTHORIZED, FORBIDDEN):
            what = f"{self._reference}: the registry does not give it to us: {answer.status}{cause}"
            return CommandError(what, f"check the name; or log in with `docker login {self._login()}`", ACCESS)
        if answer.status == NOT_FOUND:
            remedy = "check the name and the tag"
            return CommandError(f"{self._reference}: there is no such image{cause}", remedy, NOT_THERE)
        return CommandError(f"{self._reference}: {url}: {answer.status}{cause}", "ask who runs the registry", FAILED)

    def _login(self) -> str:
        """Return what people log in to."""
        return "" if self._reference.host == DOCKER_HUB else self._reference.host

    # --- who we are -------------------------------------------------------------------------------------------------

    def _authorize(self, wanted: tuple[Challenge, ...]) -> str:
        """Return the value of `Authorization` that the registry wants.

        Raises:
            CommandError: there is none, with what to do.
        """
        known = self._credentials()
        for challenge in wanted:
            if challenge.scheme == "bearer" and challenge.realm:
                return f"Bearer {known.bearer or self._token(challenge, known)}"
        if any(challenge.scheme == "basic" for challenge in wanted) and known.user:
            return _basic(known)
        cause = "it wants to know who we are" if wanted else "it does not say how to log in"
        remedy = f"log in with `docker login {self._login()}`"
        raise CommandError(f"{self._reference}: the registry does not give it to us: {cause}", remedy, ACCESS)

    def _token(self, challenge: Challenge, known: Credentials) -> str:
        """Return a token for reading this repository, with credentials or, if there are none, for anybody."""
        if not challenge.realm.startswith("https://") and not self._base.startswith("http://"):
            cause = f"it wants tokens from {challenge.realm}, without TLS"
            raise CommandError(f"{self._reference}: {cause}", "ask who runs the registry", ACCESS)
        values = {
            "service": challenge.service,
            "scope": challenge.scope or f"repository:{self._reference.name}:pull",
        }
        if known.identity:
            form = {**values, "grant_type": "refresh_token", "client_id": CLIENT_ID, "refresh_token": known.identity}
            answer = self._ask("POST", challenge.realm, {}, form)
        else:
            from urllib.parse import urlencode  # loaded with httpx anyway

            query = urlencode({key: value for key, value in values.items() if value})
            mark = "&" if "?" in challenge.realm else "?"
            headers = {"Authorization": _basic(known)} if known.user else {}
            answer = self._ask("GET", f"{challenge.realm}{mark}{query}", headers)
        if answer.status != OK:
            said = _message(answer.body)
            cause = f"{challenge.realm} gives {known.user or 'us'} no token: {answer.status}" + (
                f": {said}" if said else ""
            )
            remedy = f"check the name; or log in with `docker login {self._login()}`"
            raise CommandError(f"{self._reference}: {cause}", remedy, ACCESS)
        document = read_json(answer.body, challenge.realm)
        token = document.get("token") or document.get("access_token")
        if not (isinstance(token, str) and token.isascii() and token.isprintable()):
            raise CommandError(f"{self._reference}: {challenge.realm} gives no token", "ask who runs it", ACCESS)
        return token

    def _credentials(self) -> Credentials:
        """Return who we are for the registry, by the configuration of Docker; nobody, if it does not say.

        Raises:
            CommandError: the file or a helper is wrong.
        """
        environ = self._caller.environ
        directory = environ.get("DOCKER_CONFIG") or (f"{environ['HOME']}/.docker" if environ.get("HOME") else "")
        if not directory:
            return Credentials()
        path = os.path.join(directory, "config.json")
        try:
            with open(path, "rb") as file:
                config = file.read(LARGEST_CONFIG)
        except (FileNotFoundError, NotADirectoryError):
            return Credentials()
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}", "make it readable", "image-credentials") from error
        found = look_up(config, self._reference, path)
        if isinstance(found, CredentialProgram):
            found = answered(found, *self._caller.run(found.words, found.key.encode()))
        return found or Credentials()


def _answer(response: httpx.Response, limit: int) -> Answer:
    """Return what a response says, at most `limit` bytes of it."""
    body = b""
    for block in response.iter_raw():
        body += block
        if len(body) >= limit:
            break
    return Answer(
        response.status_code,
        response.headers.get("content-type", ""),
        challenges(tuple(response.headers.get_list("www-authenticate"))),
        body[:limit],
        response.url.scheme,
        digest if is_digest(digest := response.headers.get("docker-content-digest", "")) else "",
    )


def _basic(known: Credentials) -> str:
    """Return a user and a password as a header has them."""
    from base64 import b64encode  # loaded with httpx anyway

    return f"Basic {b64encode(f'{known.user}:{known.password}'.encode()).decode()}"


def _message(body: bytes) -> str:
    """Return what a registry says of an error, "" if it says nothing that can be read."""
    try:
        errors = read_json(body, "").get("errors")
    except CommandError:
        return ""
    first = errors[0] if isinstance(errors, list) and errors else None
    said = first.get("message") if isinstance(first, dict) else None
    return said[:LONGEST_CAUSE] if isinstance(said, str) else ""
