"""`mmdebstrap`: how a root of Debian or Ubuntu is made. Pure.

It runs on the host, as root of the build's user namespace, straight into the tree. Signatures are checked with a
keyring that is named, never with what the host happens to trust.
"""

from __future__ import annotations

from vaggapy.build.actions import ROOT, Action, Fetch, OnHost, Remove, WriteFile
from vaggapy.build.apt import DEBIAN_KEYRING, Repository
from vaggapy.build.names import downloaded

PROGRAM = "mmdebstrap"
SKIPPED = "check/empty,check/signed-by"
"""The tree may have files of earlier steps; keyrings are written into sources afterwards."""
VARIANTS = "essential, apt, required, minbase, buildd, important, standard"

UBUNTU_KEYS = "ubuntu-keyring_2023.11.28.1_all.deb"
UBUNTU_KEYS_PLACE = f"pool/main/u/ubuntu-keyring/{UBUNTU_KEYS}"
UBUNTU_KEYS_SHA256 = "36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8"
"""The keyring of Ubuntu, as its package in release 24.04; by this sum it is trusted wherever it comes from."""
WITH_KEYS = """
keys=$(mktemp -d)
dpkg-deb -x "$1" "$keys"
shift
exec mmdebstrap --keyring="$keys/usr/share/keyrings/ubuntu-archive-keyring.gpg" "$@"
"""


def debian(
    suite: str, variant: str, packages: tuple[str, ...], repositories: tuple[Repository, ...], title: str
) -> tuple[Action, ...]:
    """Return how a root of Debian is made, trusting the keyring of the host's package."""
    words = (PROGRAM, f"--keyring={DEBIAN_KEYRING}", *_words(suite, variant, packages, repositories, ""))
    needed = ((DEBIAN_KEYRING, "debian-archive-keyring"),)
    return (OnHost(words, PROGRAM, {"LC_ALL": "C.UTF-8"}, title=title, needed=needed), *_cleared())


def ubuntu(
    suite: str, packages: tuple[str, ...], repositories: tuple[Repository, ...], architecture: str, title: str
) -> tuple[Action, ...]:
    """Return how a root of Ubuntu is made, trusting the keyring of the known sum; the host needs none."""
    keys = Fetch(tuple(dict.fromkeys(f"{r.url}{UBUNTU_KEYS_PLACE}" for r in repositories)), UBUNTU_KEYS_SHA256)
    shell = ("/bin/sh", "-ec", WITH_KEYS, PROGRAM, downloaded(keys))
    words = (*shell, *_words(suite, "minbase", packages, repositories, architecture))
    needed = ((PROGRAM, PROGRAM), ("dpkg-deb", "dpkg"))
    return (keys, OnHost(words, PROGRAM, {"LC_ALL": "C.UTF-8"}, title=title, needed=needed), *_cleared())


def _words(
    suite: str, variant: str, packages: tuple[str, ...], repositories: tuple[Repository, ...], architecture: str
) -> tuple[str, ...]:
    """Return what both say: as root, into a directory that need not be empty, with this and nothing else."""
    return (
        "--mode=root",
        "--format=directory",
        f"--variant={variant}",
        f"--skip={SKIPPED}",
        f"--include={','.join(packages)}",
        *((f"--architectures={architecture}",) if architecture else ()),
        '--aptopt=APT::Sandbox::User "root"',
        '--aptopt=Acquire::Languages "none"',
        '--aptopt=Acquire::Retries "3"',
        "--dpkgopt=force-unsafe-io",
        "--verbose",
        suite,
        ROOT,
        *(str(repository) for repository in repositories),
    )


def _cleared() -> tuple[Action, ...]:
    """Return what is taken away of what mmdebstrap leaves: its settings, and what it copied of the host."""
    return (
        Remove("/etc/apt/apt.conf.d/99mmdebstrap"),
        Remove("/etc/dpkg/dpkg.cfg.d/99mmdebstrap"),
        Remove("/etc/resolv.conf"),
        WriteFile("/etc/resolv.conf", ""),
        WriteFile("/etc/hostname", "localhost\n"),
    )
