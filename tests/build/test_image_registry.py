"""Images of registries, by a client that talks to a server of the test on this machine."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build.registries import LAYER, Behaviour, Made, archive, described, digest, image, index, serve
from vaggapy.build.fetch import Outside
from vaggapy.build.image_cache import Image, blob_path, read_image
from vaggapy.build.image_fetch import fetch_image, resolve
from vaggapy.build.images.manifest import DOCKER_LIST, DOCKER_MANIFEST, OLD
from vaggapy.build.registry_client import Caller
from vaggapy.errors import CommandError

TOKEN = "a.b-c"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Talk to the server of the test directly, whatever the machine has for the rest of the world."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def made() -> Made:
    return image(archive({"bin/": b"", "bin/sh": b"#!"}), archive({"etc/hello": b"x" * 5000}))


@pytest.fixture
def registry(made: Made) -> Iterator[Behaviour]:
    behaviour = Behaviour()
    behaviour.add(made)
    with serve(behaviour):
        yield behaviour


class Asking:
    """One user of a registry, with a cache of its own."""

    def __init__(self, directory: Path) -> None:
        self.cache = f"{directory}/cache"
        self.home = directory
        self.waited: list[float] = []
        self.told: list[tuple[str, int, int | None]] = []
        self.ran: list[tuple[tuple[str, ...], bytes]] = []
        self.helper = (127, b"")

    def _run(self, words: tuple[str, ...], data: bytes) -> tuple[int, bytes]:
        self.ran.append((words, data))
        return self.helper

    def _tell(self, name: str, received: int, total: int | None) -> None:
        self.told.append((name, received, total))

    def configure(self, **config: object) -> None:
        """Write the configuration of Docker."""
        (self.home / ".docker").mkdir(exist_ok=True)
        (self.home / ".docker" / "config.json").write_text(json.dumps(config))

    def log_in(self, registry: Behaviour, **entry: str) -> None:
        self.configure(auths={registry.address: entry})

    def __call__(self, reference: str, refresh: bool = False, architecture: str = "amd64") -> Image:
        caller = Caller({"HOME": str(self.home)}, self._run)
        outside = Outside(progress=self._tell, wait=self.waited.append)
        return fetch_image(reference, self.cache, str(self.home), architecture, refresh, caller, outside)

    def left(self) -> set[str]:
        """Return the blobs that are there under their final names."""
        place = Path(self.cache, "images/blobs/sha256")
        return {path.name for path in place.iterdir() if "." not in path.name} if place.exists() else set()


@pytest.fixture
def fetched(tmp_path: Path) -> Asking:
    return Asking(tmp_path)


def fails(fetched: Asking, reference: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        fetched(reference)
    return caught.value


# --- what is fetched ----------------------------------------------------------------------------------------------


def test_a_tag_gives_the_manifest_and_all_layers(fetched: Asking, registry: Behaviour, made: Made) -> None:
    found = fetched(f"{registry.address}/team/base:1")
    assert (found.digest, found.pinned) == (made.digest, f"{registry.address}/team/base@{made.digest}")
    for layer, packed in zip(found.layers, made.layers, strict=True):
        assert Path(blob_path(fetched.cache, layer.descriptor.digest)).read_bytes() == packed
    short = digest(made.layers[0]).removeprefix("sha256:")[:12]
    assert (f"team/base {short}", len(made.layers[0]), len(made.layers[0])) in fetched.told


def test_what_a_tag_means_is_asked_once_and_again_to_refresh(fetched: Asking, registry: Behaviour, made: Made) -> None:
    reference = f"{registry.address}/team/base:1"
    fetched(reference)
    asked = len(registry.seen)
    other = image(archive({"new": b""}))
    registry.add(other)
    assert fetched(reference).digest == made.digest
    assert len(registry.seen) == asked
    assert fetched(reference, refresh=True).digest == other.digest
    assert fetched(reference).digest == other.digest
    assert fetched(f"{registry.address}/team/base@{made.digest}").digest == made.digest


def test_the_cache_says_what_was_fetched(fetched: Asking, registry: Behaviour, made: Made) -> None:
    reference = f"{registry.address}/team/base:1"
    found = fetched(reference)
    assert read_image(fetched.cache, reference) == found
    assert read_image(fetched.cache, found.pinned) == Image(
        found.pinned, found.pinned, found.digest, found.platform, found.manifest, found.config, found.layers
    )
    (file,) = [path for path in Path(fetched.cache, "images/references").iterdir() if "%40" not in path.name]
    kept = json.loads(file.read_text())
    assert kept["digest"] == made.digest
    assert [layer["digest"] for layer in kept["layers"]] == [digest(layer) for layer in made.layers]


def test_a_digest_needs_no_network_once_it_was_fetched(fetched: Asking, made: Made) -> None:
    registry = Behaviour()
    registry.add(made, tag="")
    with serve(registry):
        reference = f"{registry.address}/team/base:ignored@{made.digest}"
        fetched(reference)
    assert fetched(reference, refresh=True).digest == made.digest


def test_an_index_gives_the_image_for_this_machine(fetched: Asking, registry: Behaviour, made: Made) -> None:
    arms = [image(archive({v: b""}), architecture="arm", variant=v) for v in ("v5", "v6", "v7")]
    for other in arms:
        registry.add(other, tag="")
    reference = f"{registry.address}/team/base:all"
    for media_type in (DOCKER_LIST, "application/vnd.oci.image.index.v1+json"):
        registry.documents["all"] = (index(*arms, made, media_type=media_type), media_type)
        assert fetched(reference, refresh=True).digest == made.digest
        assert fetched(reference, architecture="armhf").digest == arms[2].digest
        assert fetched(reference, architecture="armel").digest == arms[0].digest
    with pytest.raises(CommandError) as caught:
        fetched(reference, architecture="riscv64")
    assert str(caught.value) == (
        f"{reference}: there is no image for linux/riscv64, only for linux/arm/v5, linux/arm/v6, linux/arm/v7, "
        "linux/amd64 (choose another image or tag) [image-platform]"
    )


def test_a_digest_of_an_index_gives_the_image_for_this_machine(
    fetched: Asking, registry: Behaviour, made: Made
) -> None:
    listed = index(image(archive({}), architecture="s390x"), made)
    registry.documents[digest(listed)] = (listed, "application/json")
    found = fetched(f"{registry.address}/team/base@{digest(listed)}")
    assert (found.digest, found.pinned) == (made.digest, f"{registry.address}/team/base@{made.digest}")


def test_manifests_of_docker_do_as_well(fetched: Asking, registry: Behaviour) -> None:
    made = image(archive({"a": b""}), media_type=DOCKER_MANIFEST)
    registry.add(made, "docker")
    assert fetched(f"{registry.address}/team/base:docker").digest == made.digest


def test_the_same_layer_twice_is_fetched_once(fetched: Asking, registry: Behaviour) -> None:
    layer = archive({"a": b""})
    twice = image(layer, layer)
    registry.add(twice, "twice")
    assert len(fetched(f"{registry.address}/team/base:twice").layers) == 2
    assert len(registry.paths(digest(twice.layers[0]))) == 1


def test_resolving_fetches_no_layers(fetched: Asking, registry: Behaviour, made: Made) -> None:
    assert resolve(f"{registry.address}/team/base:1", fetched.cache, "/", "amd64") == made.digest
    assert fetched.left() == set()


# --- what goes wrong ----------------------------------------------------------------------------------------------


def test_a_layer_with_a_wrong_digest_is_refused_and_not_kept(fetched: Asking, registry: Behaviour, made: Made) -> None:
    bad = digest(made.layers[1])
    registry.lies[bad] = bytes(len(made.layers[1]))
    error = fails(fetched, f"{registry.address}/team/base:1")
    assert error.name == "image-digest"
    assert bad.removeprefix("sha256:") in error.what
    assert digest(bytes(len(made.layers[1]))).removeprefix("sha256:") in error.what
    assert fetched.left() == {digest(made.layers[0]).removeprefix("sha256:")}
    del registry.lies[bad]
    assert fetched(f"{registry.address}/team/base:1").digest == made.digest


def test_a_layer_that_is_longer_than_it_should_be_is_refused(fetched: Asking, registry: Behaviour, made: Made) -> None:
    registry.lies[digest(made.layers[0])] = made.layers[0] + b"more"
    assert fails(fetched, f"{registry.address}/team/base:1").name == "image-digest"
    assert fetched.left() == set()


def test_a_configuration_with_a_wrong_digest_is_refused(fetched: Asking, registry: Behaviour, made: Made) -> None:
    config = json.loads(made.manifest)["config"]["digest"]
    registry.lies[config] = b"{}"
    error = fails(fetched, f"{registry.address}/team/base:1")
    assert str(error) == (
        f"{registry.address}/team/base:1: the configuration: {config} was wanted, but {digest(b'{}')} came "
        "(nothing of it is kept; try again, then ask who serves the image) [image-digest]"
    )


def test_a_manifest_with_a_wrong_digest_is_refused(fetched: Asking, registry: Behaviour, made: Made) -> None:
    registry.documents[made.digest] = registry.documents.pop("1")[0] + b" ", "application/json"
    assert fails(fetched, f"{registry.address}/team/base@{made.digest}").name == "image-digest"
    assert not Path(fetched.cache).exists()


def test_a_manifest_that_does_not_have_the_digest_that_the_registry_names_is_refused(
    fetched: Asking, registry: Behaviour
) -> None:
    registry.said = f"sha256:{'0' * 64}"
    assert fails(fetched, f"{registry.address}/team/base:1").name == "image-digest"


def test_a_tag_that_is_not_there_says_so(fetched: Asking, registry: Behaviour) -> None:
    error = fails(fetched, f"{registry.address}/team/base:2")
    assert str(error) == (
        f"{registry.address}/team/base:2: there is no such image: manifest unknown "
        "(check the name and the tag) [image-not-found]"
    )


def test_a_layer_that_breaks_off_is_continued(fetched: Asking, registry: Behaviour, made: Made) -> None:
    registry.broken[digest(made.layers[1])] = 20
    fetched(f"{registry.address}/team/base:1")
    ranges = [seen.headers.get("range") for seen in registry.seen if digest(made.layers[1]) in seen.path]
    assert ranges == [None, "bytes=20-"]


def test_a_registry_that_is_busy_is_asked_again_when_it_says(fetched: Asking, registry: Behaviour) -> None:
    registry.busy = 2
    fetched(f"{registry.address}/team/base:1")
    assert fetched.waited == [1.0, 1.0]


def test_a_registry_that_is_not_there_is_one_line(fetched: Asking) -> None:
    with serve(Behaviour()) as gone:
        address = gone.address
    error = fails(fetched, f"{address}/a:1")
    assert error.name == "image-registry"
    assert f"{address}/a:1: https://{address}/v2/a/manifests/1: connection refused" in error.what


def test_foreign_layers_and_other_kinds_are_refused(fetched: Asking, registry: Behaviour) -> None:
    for kind, said in (
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "may not be distributed"),
        (f"{LAYER}+encrypted", "layers of the kind"),
    ):
        made = image(archive({}), layers=[described(b"x", kind)])
        registry.add(made, "odd")
        error = fails(fetched, f"{registry.address}/team/base:odd")
        assert error.name == "image-manifest"
        assert said in error.what


def test_images_of_schema_1_are_refused_with_a_remedy(fetched: Asking, registry: Behaviour) -> None:
    registry.documents["old"] = (b'{"schemaVersion": 1, "fsLayers": []}', OLD[1])
    error = fails(fetched, f"{registry.address}/team/base:old")
    assert "schema 1" in error.what
    assert error.remedy == "push it again with a current Docker, Podman or skopeo"


# --- who we are ---------------------------------------------------------------------------------------------------


def test_anybody_gets_a_token_where_the_registry_wants_one(fetched: Asking, registry: Behaviour, made: Made) -> None:
    registry.token = TOKEN
    assert fetched(f"{registry.address}/team/base:1").digest == made.digest
    (asked,) = [seen for seen in registry.seen if seen.path.startswith("/token")]
    assert asked.values == {"service": "a, b", "scope": "repository:team/base:pull"}
    assert "authorization" not in asked.headers


def test_a_token_that_has_expired_is_replaced(fetched: Asking, registry: Behaviour, made: Made) -> None:
    registry.token = "first"
    reference = f"{registry.address}/team/base:1"

    def expire(name: str, received: int, total: int | None) -> None:
        registry.token = "second"

    outside = Outside(progress=expire, wait=fetched.waited.append)
    found = fetch_image(reference, fetched.cache, "/", "amd64", outside=outside)
    assert found.digest == made.digest
    assert len(registry.paths("/token")) == 2


def test_the_password_of_docker_login_goes_to_the_token_server_only(fetched: Asking, registry: Behaviour) -> None:
    registry.token, registry.users = TOKEN, {"ann": "s:cret"}
    fetched.log_in(registry, auth=b64encode(b"ann:s:cret").decode())
    fetched(f"{registry.address}/team/base:1")
    basic = {seen.path.partition("?")[0] for seen in registry.seen if "Basic" in seen.headers.get("authorization", "")}
    assert basic == {"/token"}


def test_a_registry_may_want_the_password_itself(fetched: Asking, registry: Behaviour, made: Made) -> None:
    registry.basic, registry.users = True, {"ann": "secret"}
    fetched.log_in(registry, username="ann", password="secret")
    assert fetched(f"{registry.address}/team/base:1").digest == made.digest


def test_an_identity_token_is_exchanged(fetched: Asking, registry: Behaviour, made: Made) -> None:
    registry.token, registry.identity = TOKEN, "refresh"
    fetched.log_in(registry, identitytoken="refresh")
    assert fetched(f"{registry.address}/team/base:1").digest == made.digest
    (asked,) = [seen for seen in registry.seen if seen.path.startswith("/token")]
    assert (asked.method, asked.values["grant_type"]) == ("POST", "refresh_token")


@pytest.mark.parametrize("key", ["credHelpers", "credsStore"])
def test_a_helper_program_is_asked(fetched: Asking, registry: Behaviour, made: Made, key: str) -> None:
    registry.basic, registry.users = True, {"ann": "secret"}
    fetched.configure(**{key: {registry.address: "pass"} if key == "credHelpers" else "pass"})
    fetched.helper = (0, b'{"ServerURL": "x", "Username": "ann", "Secret": "secret"}')
    assert fetched(f"{registry.address}/team/base:1").digest == made.digest
    assert fetched.ran == [(("docker-credential-pass", "get"), registry.address.encode())]


def test_without_credentials_the_error_says_how_to_log_in(fetched: Asking, registry: Behaviour) -> None:
    registry.basic = True
    error = fails(fetched, f"{registry.address}/team/base:1")
    assert str(error) == (
        f"{registry.address}/team/base:1: the registry does not give it to us: it wants to know who we are "
        f"(log in with `docker login {registry.address}`) [image-access]"
    )


def test_wrong_credentials_are_one_line_without_the_password(fetched: Asking, registry: Behaviour) -> None:
    registry.token, registry.users = TOKEN, {"ann": "right"}
    fetched.log_in(registry, username="ann", password="wr0ng")
    error = fails(fetched, f"{registry.address}/team/base:1")
    assert error.name == "image-access"
    assert f"http://{registry.address}/token gives ann no token: 401" in error.what
    assert "wr0ng" not in str(error)


@pytest.mark.parametrize("entry", [{"identitytoken": "secret"}, {"username": "ann", "password": "secret"}])
def test_a_token_server_that_leads_elsewhere_does_not_take_the_secret_there(
    fetched: Asking, registry: Behaviour, entry: dict[str, str]
) -> None:
    registry.token = TOKEN
    fetched.log_in(registry, **entry)
    with serve(Behaviour()) as other:
        registry.token_elsewhere = f"http://{other.address}"
        assert fails(fetched, f"{registry.address}/team/base:1").name == "image-access"
        assert all("authorization" not in seen.headers and not seen.body for seen in other.seen)


def test_a_redirect_to_another_host_gets_no_credentials(fetched: Asking, registry: Behaviour, made: Made) -> None:
    registry.token = TOKEN
    with serve(Behaviour(blobs=made.blobs)) as other:
        registry.elsewhere = f"http://{other.address}"
        assert fetched(f"{registry.address}/team/base:1").digest == made.digest
        assert len(other.seen) == 1 + len(made.layers)
        assert all("authorization" not in seen.headers for seen in other.seen)
