"""What images are called."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaggapy.build.images.reference import LONGEST_FILE_NAME, Layout, Reference, loopback, parse, record_name
from vaggapy.errors import CommandError

SUM = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("alpine", "docker.io/library/alpine:latest"),
        ("alpine:3.20", "docker.io/library/alpine:3.20"),
        ("team/app", "docker.io/team/app:latest"),
        ("docker.io/alpine", "docker.io/library/alpine:latest"),
        ("index.docker.io/library/alpine", "docker.io/library/alpine:latest"),
        ("registry-1.docker.io/team/app:1", "docker.io/team/app:1"),
        ("localhost/base", "localhost/base:latest"),
        ("localhost:5000/base:1", "localhost:5000/base:1"),
        ("127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c:latest"),
        ("[::1]:5000/base", "[::1]:5000/base:latest"),
        ("[::1]/base", "[::1]/base:latest"),
        ("quay.io/a/b", "quay.io/a/b:latest"),
        ("Host/base", "Host/base:latest"),
        ("host:80/base", "host:80/base:latest"),
        ("a.b--c/e_f:V_1.0-x", "a.b--c/e_f:V_1.0-x"),
        ("x/a.b__c---d", "docker.io/x/a.b__c---d:latest"),
        (f"alpine@{SUM}", f"docker.io/library/alpine@{SUM}"),
        (f"quay.io/a/b:1@{SUM}", f"quay.io/a/b@{SUM}"),
        ("oci:images/base", "oci:images/base"),
        ("oci:./images//base/:1", "oci:images/base:1"),
        ("oci:/work/images/base:v1", "oci:images/base:v1"),
        (f"oci:base@{SUM}", f"oci:base@{SUM}"),
    ],
)
def test_a_reference_is_completed_as_docker_does_it(text: str, full: str) -> None:
    assert str(parse(text)) == full
    assert parse(full) == parse(text)


@pytest.mark.parametrize(
    ("text", "cause", "remedy"),
    [
        ("", "a part of the name is empty", "use small letters and digits, with '.', '_', '__' or '-' between them"),
        ("docker://alpine", "no URL is wanted", "write 'alpine', without the part before"),
        ("quay.io/Team/app", "'Team/app' has capital letters", "write 'team/app'"),
        ("team//app", "a part of the name is empty", "use small letters"),
        ("team/-app", "'-app' is no part of an image's name", "use small letters"),
        ("team/a___b", "'a___b' is no part of an image's name", "use small letters"),
        ("team/a._b", "'a._b' is no part of an image's name", "use small letters"),
        ("a b", "'a b' is no part of an image's name", "use small letters"),
        ("team/../app", "'..' is no part of an image's name", "use small letters"),
        ("alpine:", "the tag after ':' is empty", "use letters, digits, '_', '.' and '-', at most 128"),
        ("alpine:-1", "'-1' is no tag", "use letters"),
        ("alpine:a:b", "'a:b' is no tag", "use letters"),
        (f"alpine:{'x' * 129}", "is no tag", "use letters"),
        ("alpine@sha256:abc", "'sha256:abc' is no digest", "write @sha256: and all 64 digits, 0-9 and a-f"),
        (f"alpine@{SUM.upper()}", "digests of the kind SHA256 are not known", "write @sha256:"),
        ("alpine@sha512:00", "digests of the kind sha512 are not known", "write @sha256:"),
        ("alpine@", "'' is no digest", "write @sha256:"),
        ("-a.b/x", "'-a.b' is no name of a registry", "write HOST/NAME:TAG or HOST:PORT/NAME:TAG"),
        ("user@host.x/a", "digests", ""),
        ("host:99999/x", "'host:99999' is no name of a registry", "write HOST"),
        ("host:/x", "'host:' is no name of a registry", "write HOST"),
        ("[::1/x", "is no name of a registry", "write HOST"),
        ("0123456789abcdef" * 4, "this is an id, not a name", f"write NAME@{SUM}"),
        ("a/" + "b" * 255, "the name is longer than 255 characters", "check the name"),
        ("oci:", "no directory is named", "write oci:DIRECTORY or oci:DIRECTORY:TAG"),
        ("oci:.", "no directory is named", "write oci:DIRECTORY"),
        ("oci:/srv/base", "the directory is outside of the project", "copy it into the project"),
        ("oci:../base", "the directory has '..' in it", "copy it into the project"),
        ("oci:/work/../etc", "the directory has '..' in it", "copy it into the project"),
    ],
)
def test_what_is_no_reference_says_why(text: str, cause: str, remedy: str) -> None:
    with pytest.raises(CommandError) as caught:
        parse(text)
    if text.startswith("user@"):
        assert "is no digest" in caught.value.what
        return
    assert caught.value.what.startswith(f"image {text!r}: ")
    assert cause in caught.value.what
    assert caught.value.remedy.startswith(remedy)
    assert caught.value.name == "image-reference"


def test_docker_hub_has_another_address() -> None:
    hub = parse("alpine")
    assert isinstance(hub, Reference)
    assert (hub.host, hub.address) == ("docker.io", "registry-1.docker.io")


def test_an_image_of_a_directory_says_where_its_index_is() -> None:
    layout = parse("oci:images/base:1")
    assert isinstance(layout, Layout)
    assert layout.index == "/work/images/base/index.json"
    assert layout.pinned(SUM) == f"oci:images/base@{SUM}"


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1", "127.1.2.3:80", "[::1]", "[::1]:5000"])
def test_registries_of_this_machine_are_known(host: str) -> None:
    assert loopback(host)


@pytest.mark.parametrize(
    "host", ["localhost.evil.org", "127.0.0.1.evil.org", "127.evil", "128.0.0.1", "[::2]", "a:127"]
)
def test_other_hosts_are_not_taken_for_this_machine(host: str) -> None:
    assert not loopback(host)


@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_an_error_of_one_line(text: str) -> None:
    try:
        full = parse(text)
    except CommandError as error:
        lines = str(error).splitlines()
    else:
        lines = [str(full)]
        assert parse(str(full)) == full
    assert len(lines) == 1


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40))
def test_the_cache_names_a_reference_by_quoting_it(text: str) -> None:
    name = record_name(text)
    if len(quote(text, safe="")) <= LONGEST_FILE_NAME:
        assert name == f"{quote(text, safe='')}.json"
    assert "/" not in name
    assert len(name) <= LONGEST_FILE_NAME + len(".json")


def test_long_references_have_names_of_their_own() -> None:
    one, other = (record_name(f"host/{'a/' * 120}{end}:1") for end in "xy")
    assert one != other
    assert len(one) == len(other) == LONGEST_FILE_NAME + len(".json")
