"""What manifests, configurations and the configuration of Docker say. All of it may be hostile."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.build.registries import CONFIG, LAYER, described, image, index
from vaggapy.build.images.credentials import (
    HUB_KEY,
    Challenge,
    CredentialProgram,
    Credentials,
    answered,
    challenges,
    look_up,
)
from vaggapy.build.images.manifest import (
    OCI_INDEX,
    OCI_MANIFEST,
    ImageDefaults,
    Index,
    Manifest,
    Platform,
    choose,
    defaults,
    layers,
    platform,
    read,
    read_config,
)
from vaggapy.build.images.reference import Reference, parse
from vaggapy.errors import CommandError

AMD64 = platform("amd64")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
KEYS = st.sampled_from(["schemaVersion", "mediaType", "manifests", "layers", "config", "digest", "size", "fsLayers"])


def reference(text: str) -> Reference:
    found = parse(text)
    assert isinstance(found, Reference)
    return found


# --- manifests ----------------------------------------------------------------------------------------------------


def test_a_manifest_and_its_configuration_give_the_layers() -> None:
    made = image(b"one", b"two")
    manifest = read(made.manifest, "", "x")
    assert isinstance(manifest, Manifest)
    config = read_config(made.blobs[manifest.config.digest], AMD64, "x")
    found = layers(manifest, config, "x")
    assert [layer.diff_id for layer in found] == config["rootfs"]["diff_ids"]
    assert [layer.descriptor.digest for layer in found] == [described(blob, "")["digest"] for blob in made.layers]


@pytest.mark.parametrize(
    ("document", "cause"),
    [
        (b"no", "it is no JSON"),
        (b"[]", "it is no JSON object"),
        (b"[" * 100_000, "it is no JSON"),
        (b"{}", "it is no index and no manifest of an image, but of no known kind"),
        ({"manifests": [], "layers": []}, "it is an index and a manifest at once"),
        ({"manifests": [], "config": {}}, "it is an index and a manifest at once"),
        ({"mediaType": OCI_MANIFEST, "manifests": []}, f"no index and no manifest of an image, but {OCI_MANIFEST}"),
        ({"mediaType": OCI_INDEX, "layers": []}, f"no index and no manifest of an image, but {OCI_INDEX}"),
        ({"manifests": {}}, "manifests is no list"),
        ({"manifests": ["x"]}, "a blob is not described"),
        ({"manifests": [{"digest": "sha256:../../x", "size": 1}]}, "'sha256:../../x' is no SHA-256 digest"),
        ({"config": described(b"", "application/vnd.cncf.helm.config.v1+json"), "layers": []}, "it is no image, but"),
        ({"config": {**described(b"", CONFIG), "size": -1}, "layers": []}, "has the size -1"),
        ({"config": {**described(b"", CONFIG), "size": True}, "layers": []}, "has the size True"),
        (
            {"config": {**described(b"", CONFIG), "size": 1 << 30}, "layers": []},
            "the configuration has 1073741824 bytes",
        ),
        ({"config": described(b"", CONFIG), "layers": [described(b"", LAYER)] * 501}, "it has 501 layers"),
        ({"schemaVersion": 1}, "schema 1"),
    ],
)
def test_a_document_that_is_no_manifest_says_why(document: object, cause: str) -> None:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(CommandError) as caught:
        read(data, "", "quay.io/a:1")
    assert caught.value.what.startswith("quay.io/a:1: ")
    assert cause in caught.value.what


def test_manifest_and_configuration_must_belong_together() -> None:
    manifest = read(image(b"one", b"two").manifest, "", "x")
    assert isinstance(manifest, Manifest)
    wrong: tuple[object, ...] = (
        None,
        {},
        {"diff_ids": []},
        {"diff_ids": ["sha256:" + "0" * 64]},
        {"diff_ids": ["x", "y"]},
    )
    for file_system in wrong:
        with pytest.raises(CommandError):
            layers(manifest, {"rootfs": file_system}, "x")


@given(st.dictionaries(KEYS, JSON | st.lists(st.dictionaries(KEYS, JSON, max_size=4), max_size=2), max_size=5))
def test_any_document_is_read_or_refused(document: dict[str, object]) -> None:
    try:
        found = read(json.dumps(document).encode(), "", "x")
    except CommandError:
        return
    assert isinstance(found, Index | Manifest)


# --- platforms ----------------------------------------------------------------------------------------------------


def choice(*made_for: str) -> Index:
    images = [image(architecture=text.partition("/")[0], variant=text.partition("/")[2]) for text in made_for]
    found = read(index(*images), "", "x")
    assert isinstance(found, Index)
    return found


@pytest.mark.parametrize(
    ("architecture", "offered", "chosen"),
    [
        ("amd64", ("386", "amd64", "arm64"), 1),
        ("amd64", ("amd64/v3", "amd64/v2", "amd64"), 2),
        ("arm64", ("amd64", "arm64/v8"), 1),
        ("arm64", ("arm/v7", "arm64"), 1),
        ("armhf", ("arm/v5", "arm/v7", "arm/v6"), 1),
        ("armhf", ("arm/v8", "arm/v6"), 1),
        ("armel", ("arm/v5", "arm/v7"), 0),
        ("i386", ("amd64", "386"), 1),
        ("ppc64el", ("ppc64le",), 0),
    ],
)
def test_the_image_for_this_machine_is_chosen(architecture: str, offered: tuple[str, ...], chosen: int) -> None:
    listed = choice(*offered)
    assert choose(listed, platform(architecture), "x") == listed.choices[chosen].descriptor


def test_no_image_that_needs_a_newer_processor_is_chosen() -> None:
    with pytest.raises(CommandError, match="no image for linux/amd64, only for linux/amd64/v3"):
        choose(choice("amd64/v3"), AMD64, "x")


def test_the_only_image_of_an_index_that_names_no_platform_is_chosen() -> None:
    made = image()
    made.platform = {}
    found = read(index(made), "", "x")
    assert isinstance(found, Index)
    assert choose(found, AMD64, "x").digest == made.digest


def test_the_configuration_of_another_machine_is_refused() -> None:
    for system, architecture in (("windows", "amd64"), ("linux", "arm64")):
        with pytest.raises(CommandError) as caught:
            read_config(json.dumps({"os": system, "architecture": architecture}).encode(), AMD64, "a:1")
        assert str(caught.value) == (
            f"a:1: the image is for {system}/{architecture}, this machine is linux/amd64 "
            "(choose another image or tag) [image-platform]"
        )


def test_platforms_are_those_of_go() -> None:
    assert platform("armhf") == Platform("arm", "v7")
    assert str(platform("armhf")) == "linux/arm/v7"
    assert platform("sparc64") == Platform("sparc64")


# --- what an image wants for its programs -------------------------------------------------------------------------


def test_an_image_says_what_its_programs_want() -> None:
    inner = {"Env": ["PATH=/opt/bin:/bin", "EMPTY=", "A=b=c"], "WorkingDir": "/srv", "User": "app:app"}
    environ = {"PATH": "/opt/bin:/bin", "EMPTY": "", "A": "b=c"}
    assert defaults({"config": inner}) == ImageDefaults(environ, "/srv", "app:app")


@pytest.mark.parametrize(
    "inner",
    [
        None,
        {},
        [],
        {"Env": None},
        {"Env": ["=x", "NAME", 7, "N=\0"]},
        {"WorkingDir": "srv", "User": 7},
        {"User": "a\0"},
    ],
)
def test_what_makes_no_sense_in_an_image_is_left_out(inner: object) -> None:
    assert defaults({"config": inner}) == ImageDefaults()


# --- credentials --------------------------------------------------------------------------------------------------


def found(config: object, text: str = "quay.io/team/app") -> Credentials | CredentialProgram | None:
    return look_up(json.dumps(config).encode(), reference(text), "config.json")


def coded(text: str) -> dict[str, str]:
    return {"auth": b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    "key", ["quay.io", "https://quay.io", "https://quay.io/v2/", "quay.io/team", "quay.io/team/app"]
)
def test_credentials_are_found_by_the_registry_or_a_part_of_it(key: str) -> None:
    assert found({"auths": {key: coded("ann:s:cret")}}) == Credentials("ann", "s:cret")


def test_the_entry_that_fits_best_counts() -> None:
    auths = {"quay.io": coded("a:1"), "quay.io/team": coded("b:2"), "quay.io/other": coded("c:3")}
    assert found({"auths": auths}) == Credentials("b", "2")


@pytest.mark.parametrize("key", [HUB_KEY, "docker.io", "index.docker.io"])
def test_docker_hub_has_an_old_name(key: str) -> None:
    assert found({"auths": {key: coded("ann:secret")}}, "alpine") == Credentials("ann", "secret")


def test_nobody_is_known_where_nothing_is_said() -> None:
    configs: tuple[object, ...] = (
        {},
        {"auths": {}},
        {"auths": {"other.org": coded("a:b")}},
        {"auths": {"quay.io": {}}},
        {"auths": 7},
    )
    for config in configs:
        assert found(config) is None
    assert look_up(b"", reference("alpine"), "config.json") is None


def test_a_helper_of_the_registry_wins_and_the_store_comes_last() -> None:
    auths = {"quay.io": coded("a:b")}
    config: dict[str, object] = {"auths": auths, "credHelpers": {"quay.io": "gcr"}, "credsStore": "secretservice"}
    assert found(config) == CredentialProgram("gcr", "quay.io")
    del config["credHelpers"]
    assert found(config) == Credentials("a", "b")
    auths["quay.io"] = {}
    assert found(config) == CredentialProgram("secretservice", "quay.io")
    assert found(config, "alpine") == CredentialProgram("secretservice", HUB_KEY)


@pytest.mark.parametrize(
    ("config", "cause"),
    [
        (b"{", "config.json: it is no JSON"),
        (b"[]", "config.json: it is no JSON object"),
        (b'{"auths": {"quay.io": {"auth": "!!"}}}', "config.json: an `auth` is no USER:PASSWORD in base64"),
        (b'{"credsStore": "../x"}', "config.json: '../x' is no name of a credential helper"),
    ],
)
def test_a_wrong_configuration_says_where(config: bytes, cause: str) -> None:
    with pytest.raises(CommandError) as caught:
        look_up(config, reference("quay.io/a"), "config.json")
    assert caught.value.what == cause
    assert caught.value.name == "image-credentials"


def test_a_helper_answers_with_a_user_or_a_token_or_nothing() -> None:
    helper = CredentialProgram("pass", "quay.io")
    assert answered(helper, 0, b'{"Username": "a", "Secret": "b"}') == Credentials("a", "b")
    assert answered(helper, 0, b'{"Username": "<token>", "Secret": "b"}') == Credentials(identity="b")
    assert answered(helper, 1, b"credentials not found in native keychain\n") is None


@pytest.mark.parametrize(
    ("status", "output", "cause"),
    [
        (1, b"gpg: no key\n", "it ended with 1: gpg: no key"),
        (127, b"", "it ended with 127"),
        (0, b"?", "the answer is no JSON"),
        (0, b'{"Username": 1, "Secret": 2}', "no user and no secret"),
    ],
)
def test_a_helper_that_fails_is_one_line(status: int, output: bytes, cause: str) -> None:
    with pytest.raises(CommandError) as caught:
        answered(CredentialProgram("pass", "quay.io"), status, output)
    assert caught.value.what == f"docker-credential-pass get, for quay.io: {cause}"


def test_credentials_do_not_show_in_messages() -> None:
    assert "s3cret" not in repr(Credentials("ann", "s3cret", "s3cret", "s3cret"))


@pytest.mark.parametrize(
    ("headers", "asked"),
    [
        (
            ('Bearer realm="https://auth.docker.io/token",service="registry",scope="repository:a/b:pull,push"',),
            (Challenge("bearer", "https://auth.docker.io/token", "registry", "repository:a/b:pull,push"),),
        ),
        (('Basic realm="x"',), (Challenge("basic", "x"),)),
        (("Basic",), (Challenge("basic"),)),
        (("BEARER Realm=https://a/t , service=b",), (Challenge("bearer", "https://a/t", "b"),)),
        (('Basic realm="a", Bearer realm="b"',), (Challenge("basic", "a"), Challenge("bearer", "b"))),
        (('Negotiate, Basic realm="say \\"hi\\""',), (Challenge("basic", 'say "hi"'),)),
        (("", "=", ",", '"'), ()),
    ],
)
def test_what_a_registry_asks_for_is_read(headers: tuple[str, ...], asked: tuple[Challenge, ...]) -> None:
    assert challenges(headers) == asked


@given(st.text(max_size=50))
def test_any_header_is_read(text: str) -> None:
    challenges((text,))
