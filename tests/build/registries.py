"""Makers of images, and a registry in a thread that does as a test wants: asks for tokens, breaks off, tells lies."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import threading
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from vaggapy.build.images.manifest import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def digest(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}"


def described(data: bytes, media_type: str, **more: object) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest(data), "size": len(data), **more}


def archive(files: Mapping[str, bytes | str], mode: int = 0o644) -> bytes:
    """Return a tar archive of files; a text is where a symbolic link leads, a name with `/` at its end a directory."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name.rstrip("/"))
            member.mode = mode
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
            elif name.endswith("/"):
                member.type, member.mode = tarfile.DIRTYPE, 0o755
            else:
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content if isinstance(content, bytes) else b""))
    return buffer.getvalue()


@dataclass
class Made:
    """An image: its manifest, and all blobs by digest."""

    manifest: bytes
    media_type: str
    blobs: dict[str, bytes]
    layers: list[bytes]
    platform: dict[str, str]

    @property
    def digest(self) -> str:
        return digest(self.manifest)


def image(
    *layers: bytes,
    architecture: str = "amd64",
    variant: str = "",
    media_type: str = OCI_MANIFEST,
    settings: Mapping[str, object] | None = None,
    plain: bool = False,
    **changes: Any,
) -> Made:
    """Return an image of tar archives, as gzip unless `plain`; `changes` replace keys of the manifest."""
    packed = [layer if plain else gzip.compress(layer, mtime=0) for layer in layers]
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": settings or {},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
        }
    ).encode()
    docker = media_type == DOCKER_MANIFEST
    config_type = "application/vnd.docker.container.image.v1+json" if docker else CONFIG
    layer_type = "application/vnd.docker.image.rootfs.diff.tar.gzip" if docker else LAYER if plain else f"{LAYER}+gzip"
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": described(config, config_type),
        "layers": [described(layer, layer_type) for layer in packed],
        **changes,
    }
    platform = {"os": "linux", "architecture": architecture, **({"variant": variant} if variant else {})}
    blobs = {digest(blob): blob for blob in (config, *packed)}
    return Made(json.dumps(manifest).encode(), media_type, blobs, packed, platform)


def index(*images: Made, media_type: str = OCI_INDEX) -> bytes:
    """Return an index of images."""
    entries = [described(made.manifest, made.media_type, platform=made.platform) for made in images]
    return json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": entries}).encode()


def write_layout(directory: Path, images: Mapping[str, Made]) -> None:
    """Write an image layout, as `oci:DIR:TAG` reads it."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    entries = []
    for tag, made in images.items():
        for name, blob in {**made.blobs, made.digest: made.manifest}.items():
            (blobs / name.removeprefix("sha256:")).write_bytes(blob)
        notes = {"annotations": {"org.opencontainers.image.ref.name": tag}} if tag else {}
        entries.append(described(made.manifest, made.media_type, **notes))
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))


@dataclass
class Seen:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def values(self) -> dict[str, str]:
        """Return what its query and its form say."""
        text = f"{urlsplit(self.path).query}&{self.body.decode()}"
        return {key: values[0] for key, values in parse_qs(text).items()}


@dataclass
class Behaviour:
    """What a registry has and does.

    `token`: what must be sent, "" for nothing; `users`: who gets it, with an empty mapping anybody; `identity`: a
    refresh token that gets it. `elsewhere`: a URL that blobs are redirected to. `broken`: digest -> bytes that are
    sent before the connection breaks, once each. `lies`: digest -> other bytes. `busy`: how often 503 comes first.
    `token_elsewhere`: a URL that who wants a token is redirected to.
    `said`: the digest that it claims all manifests to have.
    """

    documents: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    token: str = ""
    basic: bool = False
    users: dict[str, str] = field(default_factory=dict)
    identity: str = ""
    realm: str = ""
    elsewhere: str = ""
    broken: dict[str, int] = field(default_factory=dict)
    lies: dict[str, bytes] = field(default_factory=dict)
    busy: int = 0
    said: str = ""
    token_elsewhere: str = ""
    seen: list[Seen] = field(default_factory=list)
    address: str = ""

    def add(self, made: Made, tag: str = "1") -> None:
        """Have an image by its digest and, if there is a tag, by that."""
        self.blobs.update(made.blobs)
        for name in (tag, made.digest):
            self.documents[name] = (made.manifest, made.media_type)

    def paths(self, part: str) -> list[str]:
        """Return the paths that were asked for and have a part."""
        return [seen.path for seen in self.seen if part in seen.path]


class _Asked(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    behaviour: Behaviour

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

    def _answer(self, body: bytes) -> None:
        does = self.behaviour
        seen = Seen(self.command, self.path, {key.lower(): value for key, value in self.headers.items()}, body)
        does.seen.append(seen)
        path = urlsplit(self.path).path
        if path == "/token" and does.token_elsewhere:
            self._send(307, b"", {"Location": f"{does.token_elsewhere}/token"})
        elif path == "/token":
            self._token(seen)
        elif path.startswith("/elsewhere/"):
            self._blob(path.rpartition("/")[2])
        elif not self._allowed(seen.headers.get("authorization", "")):
            kind = "Basic" if does.basic else "Bearer"
            realm = does.realm or f"http://{does.address}/token"
            asks = f'{kind} realm="{realm}",service="a, b",scope="repository:team/base:pull"'
            self._send(
                401, b'{"errors": [{"code": "UNAUTHORIZED", "message": "who are you?"}]}', {"WWW-Authenticate": asks}
            )
        elif path == "/v2/":
            self._send(200, b"{}")
        elif does.busy:
            does.busy -= 1
            self._send(503, b"", {"Retry-After": "1"})
        else:
            self._serve(path)

    def _serve(self, path: str) -> None:
        kind, name = path.split("/")[-2:]
        if kind == "manifests" and name in self.behaviour.documents:
            data, media_type = self.behaviour.documents[name]
            said = self.behaviour.said or digest(data)
            self._send(200, data, {"Content-Type": media_type, "Docker-Content-Digest": said})
        elif kind == "blobs" and self.behaviour.elsewhere:
            self._send(307, b"", {"Location": f"{self.behaviour.elsewhere}/elsewhere/{name}"})
        elif kind == "blobs":
            self._blob(name)
        else:
            self._send(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}')

    def _allowed(self, sent: str) -> bool:
        if self.behaviour.basic:
            return sent.startswith("Basic ") and self._known(sent)
        return not self.behaviour.token or sent == f"Bearer {self.behaviour.token}"

    def _known(self, sent: str) -> bool:
        user, _, password = b64decode(sent.removeprefix("Basic ")).decode().partition(":")
        return self.behaviour.users.get(user) == password

    def _token(self, seen: Seen) -> None:
        sent = seen.headers.get("authorization", "")
        if self.behaviour.identity:
            allowed = seen.values.get("refresh_token") == self.behaviour.identity
        else:
            allowed = self._known(sent) if self.behaviour.users else not sent
        self._send(200 if allowed else 401, json.dumps({"token": self.behaviour.token} if allowed else {}).encode())

    def _blob(self, name: str) -> None:
        does = self.behaviour
        if name not in does.blobs:
            self._send(404, b"")
            return
        data = does.lies.get(name, does.blobs[name])
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        status = 206 if "Range" in self.headers else 200
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("ETag", f'"{name}"')
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if name in does.broken:
            self.wfile.write(data[start : does.broken.pop(name)])
            self.close_connection = True
        else:
            self.wfile.write(data[start:])

    def _send(self, status: int, data: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serve(behaviour: Behaviour) -> Iterator[Behaviour]:
    """Serve a registry at `behaviour.address` within the block."""
    handler = type("Asked", (_Asked,), {"behaviour": behaviour})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    behaviour.address = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield behaviour
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
