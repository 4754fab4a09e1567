"""Images of directories, and the step `!Image` that names images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.build.registries import Made, archive, digest, image, index, write_layout
from vaggapy.build.actions import FetchImage, UnpackImage
from vaggapy.build.context import Context
from vaggapy.build.image_cache import Image, blob_path
from vaggapy.build.image_fetch import fetch_image
from vaggapy.build.kind import Done
from vaggapy.build.sources import FileContent, ImageDigest, Source, Value
from vaggapy.build.steps.image import KIND
from vaggapy.build.steps.image import Image as ImageStep
from vaggapy.errors import CommandError

SUM = "sha256:" + "0" * 64


def fetched(directory: Path, reference: str) -> Image:
    return fetch_image(reference, f"{directory}/cache", str(directory), "amd64")


def fails(directory: Path, reference: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        fetched(directory, reference)
    return caught.value


@pytest.fixture
def made() -> Made:
    return image(archive({"a": b"1"}), archive({"b": b"2"}))


# --- oci:DIR ------------------------------------------------------------------------------------------------------


def test_an_image_of_a_directory_is_copied_into_the_cache(tmp_path: Path, made: Made) -> None:
    write_layout(tmp_path / "base", {"1": made, "2": image()})
    found = fetched(tmp_path, "oci:base:1")
    assert (found.digest, found.pinned) == (made.digest, f"oci:base@{made.digest}")
    for layer in made.layers:
        assert Path(blob_path(f"{tmp_path}/cache", digest(layer))).read_bytes() == layer
    assert fetched(tmp_path, found.pinned).digest == made.digest


def test_the_only_image_needs_no_tag(tmp_path: Path, made: Made) -> None:
    for tag in ("", "1"):
        write_layout(tmp_path / "base", {tag: made})
        assert fetched(tmp_path, "oci:base").digest == made.digest


def test_a_directory_is_read_anew_each_time(tmp_path: Path, made: Made) -> None:
    write_layout(tmp_path / "base", {"1": made})
    fetched(tmp_path, "oci:base:1")
    other = image(archive({"new": b""}))
    write_layout(tmp_path / "base", {"1": other})
    assert fetched(tmp_path, "oci:base:1").digest == other.digest


def test_an_index_in_a_directory_gives_the_image_for_this_machine(tmp_path: Path, made: Made) -> None:
    arm = image(architecture="arm64")
    listed = index(arm, made)
    write_layout(tmp_path / "base", {"arm": arm, "1": made})
    (tmp_path / "base/blobs/sha256" / digest(listed).removeprefix("sha256:")).write_bytes(listed)
    entry = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest(listed), "size": len(listed)}
    (tmp_path / "base/index.json").write_text(json.dumps({"manifests": [entry]}))
    assert fetched(tmp_path, "oci:base").digest == made.digest


def test_a_wrong_tag_says_which_there_are(tmp_path: Path, made: Made) -> None:
    write_layout(tmp_path / "base", {"1": made, "2": image()})
    assert str(fails(tmp_path, "oci:base:3")) == (
        "oci:base:3: there is no tag '3' (write oci:DIRECTORY:TAG with one of its tags: 1, 2) [image-layout]"
    )
    assert "there are 2 images" in str(fails(tmp_path, "oci:base"))


def test_a_directory_that_is_no_layout_says_so(tmp_path: Path) -> None:
    assert str(fails(tmp_path, "oci:base")) == (
        f"oci:base: {tmp_path}/base/index.json: No such file or directory "
        "(name the directory that has index.json in it) [image-layout]"
    )


@pytest.mark.parametrize("which", ["layer", "config", "manifest"])
def test_a_blob_with_other_content_is_refused_and_not_kept(tmp_path: Path, made: Made, which: str) -> None:
    write_layout(tmp_path / "base", {"1": made})
    config = json.loads(made.manifest)["config"]["digest"]
    wrong = {"layer": digest(made.layers[1]), "config": config, "manifest": made.digest}[which]
    (tmp_path / "base/blobs/sha256" / wrong.removeprefix("sha256:")).write_bytes(b"{}")
    error = fails(tmp_path, "oci:base:1")
    assert error.name == "image-digest"
    assert f"{wrong} was wanted, but {digest(b'{}')}" in error.what
    assert not Path(blob_path(f"{tmp_path}/cache", wrong)).exists()
    assert not list(tmp_path.rglob("*.new"))


def test_a_blob_that_is_a_link_is_refused(tmp_path: Path, made: Made) -> None:
    write_layout(tmp_path / "base", {"1": made})
    secret = tmp_path / "secret"
    secret.write_bytes(made.layers[0])
    blob = tmp_path / "base/blobs/sha256" / digest(made.layers[0]).removeprefix("sha256:")
    blob.unlink()
    blob.symlink_to(secret)
    assert "it is a link" in fails(tmp_path, "oci:base:1").what


# --- the step -----------------------------------------------------------------------------------------------------


def test_the_step_fetches_and_unpacks_what_it_names_in_full() -> None:
    full = "docker.io/library/alpine:3.20"
    context = Context("a")
    assert KIND.act(ImageStep("alpine:3.20"), context) == Done((FetchImage(full), UnpackImage(full)), context)
    assert KIND.finds_out


@pytest.mark.parametrize(
    ("image", "sources"),
    [
        ("alpine", (ImageDigest("docker.io/library/alpine:latest"),)),
        (f"alpine:3@{SUM}", (Value("image", SUM),)),
        ("oci:images/base:1", (FileContent("/work/images/base/index.json"),)),
        ("No", ()),
    ],
)
def test_the_digest_counts_for_the_version(image: str, sources: tuple[Source, ...]) -> None:
    assert KIND.sources(ImageStep(image)) == sources


def test_a_wrong_reference_is_an_error_of_the_step() -> None:
    with pytest.raises(CommandError):
        KIND.act(ImageStep("Alpine"), Context("a"))
