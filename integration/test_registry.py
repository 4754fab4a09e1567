"""`!Image` against a real registry, Debian's docker-registry, on this machine, filled by skopeo."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tarfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from integration.runs import Project, Result, free_port, need, wait_until
from tests.build.registries import Made, archive, digest, image, write_layout
from vaggapy.build.image_cache import Image, blob_path
from vaggapy.build.image_fetch import fetch_image
from vaggapy.build.images.manifest import DOCKER_MANIFEST
from vaggapy.build.registry_client import Caller
from vaggapy.errors import CommandError

CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {directory}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"{more}}}
"""
ANN = "ann:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"  # bcrypt of "secret"
SETTINGS = {"Env": ["GREETING=hello", "PATH=/bin"], "WorkingDir": "/srv", "User": "1000"}


class Registry:
    """A registry that runs: `storage` is its directory."""

    def __init__(self, port: int, storage: Path) -> None:
        self.address = f"localhost:{port}"
        self.storage = storage

    def push(self, layout: Path, tag: str, name: str, *more: str) -> None:
        """Copy an image of a directory there."""
        target = f"docker://{self.address}/{name}"
        words = [
            "skopeo",
            "copy",
            "--insecure-policy",
            "-q",
            "--dest-tls-verify=false",
            *more,
            f"oci:{layout}:{tag}",
            target,
        ]
        subprocess.run(words, check=True, capture_output=True, env={"PATH": "/usr/bin:/bin", "HOME": str(self.storage)})

    def blob(self, name: str) -> Path:
        """Return the file in which it keeps a blob."""
        digits = name.removeprefix("sha256:")
        return self.storage / "docker/registry/v2/blobs/sha256" / digits[:2] / digits / "data"


def answers(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(tmp_path: Path, more: str = "") -> Iterator[Registry]:
    """Run a registry within the block; `more` is added to its settings of http, and may close them."""
    need(bool(shutil.which("docker-registry") and shutil.which("skopeo")), "docker-registry or skopeo is not installed")
    port = free_port()
    storage = tmp_path / "registry"
    storage.mkdir(exist_ok=True)
    config = tmp_path / "registry.yml"
    config.write_text(CONFIG.format(directory=storage, port=port, more=more))
    with subprocess.Popen(
        ["docker-registry", "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_until(lambda: answers(port), "the registry")
            yield Registry(port, storage)
        finally:
            process.kill()


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setenv("no_proxy", "*")
    with running(tmp_path) as registry:
        yield registry


@pytest.fixture
def made(tmp_path: Path, registry: Registry) -> Made:
    """Return an image with a whiteout that is in the registry as base:1."""
    made = image(
        archive({"bin/": b"", "bin/sh": b"#!", "gone": b"x", "kept": b"y"}),
        archive({".wh.gone": b"", "srv/": b""}),
        settings=SETTINGS,
    )
    write_layout(tmp_path / "layout", {"1": made})
    registry.push(tmp_path / "layout", "1", "base:1")
    return made


def fetched(tmp_path: Path, reference: str, architecture: str = "amd64") -> Image:
    return fetch_image(reference, f"{tmp_path}/cache", str(tmp_path), architecture)


def names(tmp_path: Path, found: Image) -> list[list[str]]:
    """Return the names in each layer, as they are in the cache."""
    paths = [blob_path(f"{tmp_path}/cache", layer.descriptor.digest) for layer in found.layers]
    listed = []
    for path in paths:
        with tarfile.open(path) as tar:
            listed.append(tar.getnames())
    return listed


def test_an_image_is_fetched_by_its_tag(tmp_path: Path, registry: Registry, made: Made) -> None:
    found = fetched(tmp_path, f"{registry.address}/base:1")
    assert found.digest == made.digest
    assert names(tmp_path, found) == [["bin", "bin/sh", "gone", "kept"], [".wh.gone", "srv"]]
    assert found.config["config"] == SETTINGS


def test_an_image_is_fetched_by_its_digest(tmp_path: Path, registry: Registry, made: Made) -> None:
    found = fetched(tmp_path, f"{registry.address}/base@{made.digest}")
    assert (found.digest, found.pinned) == (made.digest, f"{registry.address}/base@{made.digest}")


def test_an_image_that_docker_made_is_fetched(tmp_path: Path, registry: Registry, made: Made) -> None:
    registry.push(tmp_path / "layout", "1", "team/base:docker", "--format", "v2s2")
    found = fetched(tmp_path, f"{registry.address}/team/base:docker")
    assert found.manifest["mediaType"] == DOCKER_MANIFEST
    assert len(names(tmp_path, found)) == 2


@pytest.mark.parametrize("algorithm", ["zstd", "gzip"])
def test_layers_are_kept_as_they_were_compressed(tmp_path: Path, registry: Registry, algorithm: str) -> None:
    write_layout(tmp_path / "plain", {"1": image(archive({"a": bytes(10_000)}), plain=True)})
    registry.push(tmp_path / "plain", "1", "base:other", "--dest-compress-format", algorithm)
    (layer,) = fetched(tmp_path, f"{registry.address}/base:other").layers
    magic = {"zstd": b"\x28\xb5\x2f\xfd", "gzip": b"\x1f\x8b"}[algorithm]
    assert layer.descriptor.media_type.endswith(algorithm)
    assert Path(blob_path(f"{tmp_path}/cache", layer.descriptor.digest)).read_bytes().startswith(magic)


def test_a_layer_that_was_changed_in_the_registry_is_refused(tmp_path: Path, registry: Registry, made: Made) -> None:
    wrong = digest(made.layers[0])
    kept = registry.blob(wrong)
    kept.write_bytes(bytes(len(made.layers[0])))
    with pytest.raises(CommandError) as caught:
        fetched(tmp_path, f"{registry.address}/base:1")
    assert caught.value.name == "image-digest"
    assert not Path(blob_path(f"{tmp_path}/cache", wrong)).exists()


def test_a_tag_or_a_name_that_is_not_there_says_so(tmp_path: Path, registry: Registry, made: Made) -> None:
    for name in ("base:2", "other:1"):
        with pytest.raises(CommandError) as caught:
            fetched(tmp_path, f"{registry.address}/{name}")
        assert caught.value.name == "image-not-found"


def test_an_index_gives_the_image_for_each_machine(tmp_path: Path, registry: Registry, made: Made) -> None:
    arm = image(archive({"arm": b""}), architecture="arm64")
    layout = tmp_path / "both"
    write_layout(layout, {"amd64": made, "arm64": arm})
    entries = json.loads((layout / "index.json").read_text())["manifests"]
    for entry, one in zip(entries, (made, arm), strict=True):
        entry["platform"] = one.platform
        del entry["annotations"]
    both = json.dumps(
        {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries}
    ).encode()
    (layout / "blobs/sha256" / digest(both).removeprefix("sha256:")).write_bytes(both)
    listed = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest(both), "size": len(both)}
    named = {**listed, "annotations": {"org.opencontainers.image.ref.name": "all"}}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    registry.push(layout, "all", "both:all", "--all")
    assert fetched(tmp_path, f"{registry.address}/both:all").digest == made.digest
    assert fetched(tmp_path, f"{registry.address}/both:all", "arm64").digest == arm.digest


def test_what_skopeo_wrote_into_a_directory_is_read(tmp_path: Path, registry: Registry, made: Made) -> None:
    words = ["skopeo", "copy", "--insecure-policy", "-q", "--src-tls-verify=false"]
    target = tmp_path / "copied"
    subprocess.run(
        [*words, f"docker://{registry.address}/base:1", f"oci:{target}:one"], check=True, capture_output=True
    )
    assert fetched(tmp_path, "oci:copied:one").digest == made.digest


def test_a_registry_with_tls_and_a_password_is_used_by_who_has_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need(bool(shutil.which("openssl")), "openssl is not installed")
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-out", str(certificate), "-keyout", str(key)]
    subprocess.run([*words, *names], check=True, capture_output=True)
    (tmp_path / "users").write_text(ANN)
    more = f""", tls: {{certificate: {certificate}, key: {key}}}}}
auth: {{htpasswd: {{realm: here, path: {tmp_path}/users}}"""
    monkeypatch.setenv("no_proxy", "*")
    made = image(archive({"a": b""}))
    write_layout(tmp_path / "layout", {"1": made})
    caller = Caller({"DOCKER_CONFIG": str(tmp_path)})
    with running(tmp_path, more) as registry:
        registry.push(tmp_path / "layout", "1", "base:1", "--dest-creds", "ann:secret")
        reference = f"{registry.address}/base:1"

        def refused() -> CommandError:
            with pytest.raises(CommandError) as caught:
                fetch_image(reference, f"{tmp_path}/cache", "/", "amd64", caller=caller)
            return caught.value

        assert "certificate is not accepted" in refused().what
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert refused().name == "image-access"
        entry = {"auth": b64encode(b"ann:secret").decode()}
        (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.address: entry}}))
        assert fetch_image(reference, f"{tmp_path}/cache", "/", "amd64", caller=caller).digest == made.digest


# --- containers of images -----------------------------------------------------------------------------------------


@pytest.fixture
def bootable(tmp_path: Path) -> Made:
    """Return an image for this machine that has a shell, in the directory `bootable` with the tag `1`."""
    busybox = shutil.which("busybox")
    need(busybox is not None, "busybox is not installed")
    assert busybox is not None
    places = {f"{name}/": b"" for name in ("bin", "etc", "dev", "proc", "sys", "tmp", "run", "work")}
    programs: dict[str, bytes | str] = {
        "bin/busybox": Path(busybox).read_bytes(),
        "bin/sh": "busybox",
        "bin/ls": "busybox",
    }
    kept = {"etc/gone": b"x", "etc/old/": b"", "etc/old/one": b"1", "etc/kept": b"y"}
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "")
    need(bool(machine), "no name for this machine's architecture in the test")
    made = image(
        archive({**places, **programs, **kept}, mode=0o755),
        archive({"etc/.wh.gone": b"", "etc/old/.wh..wh..opq": b"", "etc/old/two": b"2"}),
        settings=SETTINGS,
        architecture=machine,
    )
    write_layout(tmp_path / "bootable", {"1": made})
    return made


def run(project: Project, reference: str, *more: str, **keys: bool) -> Result:
    """Run `ls` and more in a container of an image."""
    step = json.dumps({"image": reference, **{key.replace("_", "-"): value for key, value in keys.items()}})
    project.environ["no_proxy"] = "*"
    (project.directory / "vagga.yaml").write_text(
        f"containers:\n  c:\n    setup:\n    - !Image {step}\n"
        "commands:\n  show: !Command\n    container: c\n    run: echo $GREETING; cd /etc; echo *; ls old\n"
    )
    return project.run(*(more or ("show",)))


SHOWN = "hello\nhosts kept old resolv.conf\ntwo\n"


def test_a_container_of_an_image_runs_by_tag_and_by_digest(
    project: Project, registry: Registry, bootable: Made, tmp_path: Path
) -> None:
    registry.push(tmp_path / "bootable", "1", "base:1")
    for reference in (f"{registry.address}/base:1", f"{registry.address}/base@{bootable.digest}"):
        ran = run(project, reference)
        assert (ran.out, ran.code) == (SHOWN, 0), ran.err


def test_a_container_of_an_image_of_the_project_runs(project: Project, bootable: Made, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "bootable", project.directory / "images")
    ran = run(project, "oci:images:1", env=False)
    assert (ran.out, ran.code) == (SHOWN.replace("hello", ""), 0), ran.err


def test_a_container_of_an_image_with_a_wrong_layer_is_not_built(
    project: Project, registry: Registry, bootable: Made, tmp_path: Path
) -> None:
    registry.push(tmp_path / "bootable", "1", "base:1")
    registry.blob(digest(bootable.layers[1])).write_bytes(bytes(len(bootable.layers[1])))
    ran = run(project, f"{registry.address}/base:1")
    assert ran.code == 121
    assert "[image-digest]" in ran.err
    assert not (project.directory / ".vagga" / "c").exists()


def test_a_container_of_an_image_runs_again_without_its_registry(
    project: Project, bootable: Made, tmp_path: Path
) -> None:
    with running(tmp_path) as registry:
        registry.push(tmp_path / "bootable", "1", "base:1")
        assert run(project, f"{registry.address}/base:1").code == 0
    ran = run(project, f"{registry.address}/base:1")
    assert (ran.out, ran.code) == (SHOWN, 0), ran.err


@pytest.mark.parametrize("flag", ["--force", "--no-cache"])
def test_a_tag_that_was_moved_counts_once_it_is_asked_again(
    project: Project, registry: Registry, bootable: Made, tmp_path: Path, flag: str
) -> None:
    registry.push(tmp_path / "bootable", "1", "base:1")
    reference = f"{registry.address}/base:1"
    assert run(project, reference).out == SHOWN
    first = run(project, reference, "_version_hash", "c").out
    newer = archive({"etc/new": b""})
    made = image(newer, architecture=bootable.platform["architecture"])
    write_layout(tmp_path / "newer", {"1": made})
    registry.push(tmp_path / "newer", "1", "base:1")
    assert run(project, reference, "_version_hash", "c").out == first
    assert run(project, reference, "_build", flag, "c").code == 0
    assert run(project, reference, "_version_hash", "c").out != first
    assert (project.directory / ".vagga/c/etc/new").exists()
