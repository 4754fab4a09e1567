"""Consul behind https: with authorities of its own, with certificates of clients, and with wrong ones."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from integration.consul_server import ConsulServer, serving
from integration.runs import Project, need, supervise, wait_until
from vaggapy.supervise.catalog_forms import service_id

NAME = "agent.example"
HEALTH = {"exec": "true", "interval": "100ms", "ttl": "10s"}
SERVICE = {"port": 8000, "interfaces": ["lo"]}


class Authority:
    """An authority for certificates, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        """Make its key and certificate."""
        directory.mkdir()
        self._directory = directory
        self.file = directory / "ca.pem"
        words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        self._openssl(*words, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem")

    def issue(self, name: str, others: str) -> tuple[Path, Path]:
        """Return a certificate for a name, and its key; `others`: the names that count, as `DNS:NAME,IP:ADDRESS`."""
        words = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}"]
        self._openssl(*words, "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (self._directory / "names").write_text(f"subjectAltName={others}\n")
        words = ["x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
        self._openssl(*words, "-days", "2", "-extfile", "names", "-out", f"{name}.pem")
        return self._directory / f"{name}.pem", self._directory / f"{name}.key"

    def _openssl(self, *words: str) -> None:
        subprocess.run(("openssl", *words), cwd=self._directory, check=True, capture_output=True)


class Secure(NamedTuple):
    """A server that wants certificates of its clients; `client` has one, `stranger` is another authority."""

    server: ConsulServer
    authority: Authority
    client: tuple[Path, Path]
    stranger: Authority

    def tls(self, **changes: object) -> dict[str, object]:
        """Return the keys that work, with changes; None takes one out."""
        certificate, key = self.client
        keys: dict[str, object] = {
            "ca-file": str(self.authority.file),
            "client-cert": str(certificate),
            "client-key": str(key),
            "server-name": NAME,
        }
        keys |= {key.replace("_", "-"): value for key, value in changes.items()}
        return {key: value for key, value in keys.items() if value is not None}


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """Run a server whose certificate has the name NAME, and no address."""
    need(bool(shutil.which("openssl")), "there is no openssl")
    directory = tmp_path_factory.mktemp("tls")
    authority, stranger = Authority(directory / "own"), Authority(directory / "stranger")
    certificate, key = authority.issue("agent", f"DNS:{NAME},DNS:server.dc1.consul")
    settings = {
        "verify_incoming": True,
        "verify_outgoing": True,
        "ca_file": str(authority.file),
        "cert_file": str(certificate),
        "key_file": str(key),
    }
    with serving(directory, settings) as server:
        yield Secure(server, authority, authority.issue("client", "DNS:client"), stranger)


def write(project: Project, address: str, tls: Mapping[str, object]) -> None:
    """Write a project with a child that is in Consul until there is a file `end`, and a watch."""
    web = {"run": "until test -e end; do sleep 0.02; done", "health": HEALTH, "service": SERVICE}
    watches = {"self": {"consul": "web", "interval": "1s"}}
    seen = {"run": "touch seen", "when": {"source": "watch.self", "once": "healthy"}, "role": "coprocess"}
    consul = {"address": address, "tls": dict(tls)}
    children = {"web": web, "seen": seen}
    project.write(supervise("up", children, consul=consul, watches=watches, mode="keep-going"))


def works(project: Project, server: ConsulServer, environ: Mapping[str, str] | None = None) -> str:
    """Run until the service is there and the watch sees it; it must be gone at the end. Return what was said."""
    own = service_id("web", os.uname().nodename)
    run = project.start("up", environ=environ)
    wait_until(lambda: server.status(own) == "passing", "the registration")
    wait_until(lambda: project.has("seen"), "the watch")
    (project.directory / "end").touch()
    result = run.finish()
    assert result.code == 0, result.err
    assert own not in server.services()
    return result.err


def fails(project: Project, server: ConsulServer) -> str:
    """Run until Consul has not been reached; the child must not be disturbed. Return the one line of it."""
    said = project.directory.parent / "said"
    with said.open("wb") as file:
        run = project.start("up", stderr=file.fileno())
    wait_until(lambda: "[consul-" in said.read_text(), "the warning")
    assert service_id("web", os.uname().nodename) not in server.services()
    assert run.process.poll() is None
    (project.directory / "end").touch()
    assert run.finish().code == 0
    (line,) = [line for line in said.read_text().splitlines() if "Consul" in line]
    return line


def test_consul_with_certificates_of_clients_is_used(project: Project, secure: Secure) -> None:
    write(project, secure.server.tls_address, secure.tls())
    assert "consul-" not in works(project, secure.server)


def test_the_variables_of_consul_say_the_same(project: Project, secure: Secure) -> None:
    certificate, key = secure.client
    environ = {
        "CONSUL_HTTP_ADDR": secure.server.tls_address,
        "CONSUL_CACERT": str(secure.authority.file),
        "CONSUL_CLIENT_CERT": str(certificate),
        "CONSUL_CLIENT_KEY": str(key),
        "CONSUL_TLS_SERVER_NAME": NAME,
    }
    write(project, secure.server.tls_address, {"ca-file": str(secure.stranger.file), "server-name": "x.example"})
    assert "consul-" not in works(project, secure.server, environ)


def test_a_directory_of_authorities_will_do(project: Project, secure: Secure, tmp_path: Path) -> None:
    directory = tmp_path / "authorities"
    directory.mkdir()
    shutil.copy(secure.authority.file, directory / "own.pem")
    subprocess.run(("openssl", "rehash", str(directory)), check=True, capture_output=True)
    write(project, secure.server.tls_address, secure.tls(ca_file=None, ca_path=str(directory)))
    assert "consul-" not in works(project, secure.server)


def test_without_verification_any_server_will_do(project: Project, secure: Secure) -> None:
    tls = secure.tls(ca_file=str(secure.stranger.file), server_name=None, verify=False)
    write(project, secure.server.tls_address, tls)
    assert "consul-" not in works(project, secure.server)


def test_the_environment_can_take_the_verification_away(project: Project, secure: Secure) -> None:
    write(project, secure.server.tls_address, secure.tls(ca_file=None, server_name=None))
    environ = {"CONSUL_HTTP_SSL_VERIFY": "0"}
    assert "consul-" not in works(project, secure.server, environ)


def test_the_certificate_of_another_authority_is_told_and_disturbs_nobody(project: Project, secure: Secure) -> None:
    write(project, secure.server.tls_address, secure.tls(ca_file=str(secure.stranger.file)))
    line = fails(project, secure.server)
    assert "its certificate is not accepted: " in line and line.endswith("[consul-unreachable]")


def test_a_certificate_for_another_name_is_told(project: Project, secure: Secure) -> None:
    write(project, secure.server.tls_address, secure.tls(server_name=None))
    line = fails(project, secure.server)
    assert "its certificate is not accepted: " in line and "127.0.0.1" in line


def test_a_server_that_wants_our_certificate_says_so(project: Project, secure: Secure) -> None:
    write(project, secure.server.tls_address, secure.tls(client_cert=None, client_key=None))
    line = fails(project, secure.server)
    assert "TLS: " in line and "CERTIFICATE" in line.upper()


def test_a_key_that_does_not_fit_is_told(project: Project, secure: Secure) -> None:
    _, key = secure.stranger.issue("other", "DNS:other")
    write(project, secure.server.tls_address, secure.tls(client_key=str(key)))
    assert fails(project, secure.server).endswith("[consul-settings]")


def test_a_client_without_certificate_needs_an_authority_only(project: Project, secure: Secure, tmp_path: Path) -> None:
    certificate, key = secure.authority.issue("plain", "IP:127.0.0.1")
    settings = {"cert_file": str(certificate), "key_file": str(key)}
    (tmp_path / "server").mkdir()
    with serving(tmp_path / "server", settings) as server:
        write(project, server.tls_address, {"ca-file": str(secure.authority.file)})
        assert "consul-" not in works(project, server)
