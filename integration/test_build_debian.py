"""`!Debian` and its packages, from the real mirror. Minutes long without a mirror nearby; skipped where there is none.

One root is built for the whole module, and what is tried on it are further containers on top of it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest

from integration.runs import Project, has_ranges, need

MIRROR = "http://deb.debian.org/debian/dists/bookworm/InRelease"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PATIENCE = 600.0
CONTAINERS = """\
containers:
  root:
    setup:
    - !Debian bookworm
  packages:
    setup:
    - !Container root
    - !BuildDeps [libc6-dev]
    - !Sh "test -e /usr/include/stdio.h && cp /usr/include/stdio.h /kept"
    - !Install [netcat-openbsd]
  changed:
    setup:
    - !Container root
    - !BuildDeps [libc6-dev]
    - !Install [libc6-dev]
  nothing:
    setup:
    - !Container root
    - !Install [no-such-package-at-all]
  second:
    setup:
    - !Container root
    - !Ubuntu noble
"""
CHECK = r"""
for path in /kept /usr/include/stdio.h /etc/apt/apt.conf.d/99mmdebstrap /var/lib/apt/lists/lock /var/log/dpkg.log
do test -e $path && echo has $path || echo no $path; done
nc -h 2>&1 | head -1 | cut -c1-14
cat /etc/resolv.conf | grep -c nameserver
stat -c %U:%G:%a /etc/shadow
find / -xdev ! -path '/proc/*' -nouser 2>/dev/null | head -3
"""


def reachable() -> bool:
    """Return whether the mirror answers."""
    try:
        with urllib.request.urlopen(MIRROR, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory for roots and the cache that the tests of this module share."""
    need(shutil.which("mmdebstrap") is not None, "mmdebstrap is not installed")
    need(os.path.exists(KEYRING), "the keyring of Debian is not installed")
    need(has_ranges(), "the caller has one id only")
    need(reachable(), "the mirror of Debian cannot be reached")
    return tmp_path_factory.mktemp("storage")


@pytest.fixture
def debian(project: Project, storage: Path) -> Project:
    """Return a project whose containers are Debian."""
    settings = project.home / ".config/vagga"
    settings.mkdir(parents=True)
    (settings / "settings.yaml").write_text(
        f"storage-dir: {storage}\nstorage-subdir-from-env-var: PLACE\ndebian-mirror: http://deb.debian.org/debian/\n"
    )
    project.environ["PLACE"] = "one"
    text = "".join(f"      {line}\n" for line in CHECK.strip().splitlines())
    project.write(f"  check: !Command\n    container: packages\n    run: |\n{text}", CONTAINERS)
    return project


def test_a_root_of_debian_is_made_with_its_packages(debian: Project) -> None:
    result = debian.run("check", seconds=PATIENCE)
    assert result.code == 0, result
    assert result.out.splitlines() == [
        "has /kept",
        "no /usr/include/stdio.h",
        "no /etc/apt/apt.conf.d/99mmdebstrap",
        "no /var/lib/apt/lists/lock",
        "no /var/log/dpkg.log",
        "OpenBSD netcat",
        str(Path("/etc/resolv.conf").read_text().count("nameserver")),
        "root:shadow:640",
    ], result


def test_a_build_dependency_that_is_also_wanted_stays(debian: Project) -> None:
    debian.write(
        "  x: !Command\n    container: changed\n    run: ls /usr/include/stdio.h\n",
        CONTAINERS,
    )
    result = debian.run("x", seconds=PATIENCE)
    assert (result.code, result.out) == (0, "/usr/include/stdio.h\n"), result


def test_a_package_that_does_not_exist_is_named(debian: Project) -> None:
    result = debian.run("_build", "nothing", seconds=PATIENCE)
    assert result.code == 121
    assert "no-such-package-at-all" in result.err
    assert "apt-get install no-such-package-at-all" in result.err.splitlines()[-1], result.err[-500:]


def test_a_second_distribution_is_refused_at_its_place(debian: Project) -> None:
    result = debian.run("_build", "second", seconds=PATIENCE)
    assert result.code == 121
    assert result.err.splitlines()[-1].endswith(
        "!Ubuntu: the root is already Debian bookworm "
        "(one step of a container makes the root, take the others away) [second-distribution]"
    ), result.err[-500:]


def test_a_mirror_with_wrong_signatures_is_not_believed(debian: Project, tmp_path: Path) -> None:
    """The release file is one that somebody else has signed: nothing is installed from there."""
    copy = tmp_path / "mirror/dists/sid"
    copy.mkdir(parents=True)
    (copy / "InRelease").write_text("Origin: Debian\nSuite: unstable\nCodename: sid\n")
    server = subprocess.Popen(
        ["python3", "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(tmp_path / "mirror")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        port = server.stdout.readline().split(" port ")[1].split()[0]
        settings = debian.directory / ".vagga.settings.yaml"
        settings.write_text(f"debian-mirror: http://127.0.0.1:{port}/\n")
        debian.environ["PLACE"] = "two"
        debian.write(
            "  x: !Command\n    container: c\n    run: 'true'\n",
            "containers:\n  c:\n    setup:\n    - !Debian sid\n",
        )
        result = debian.run("_build", "c", seconds=PATIENCE)
        assert result.code == 121
        assert "mmdebstrap" in result.err.splitlines()[-1], result.err[-500:]
        assert "signed" in result.err or "GPG" in result.err or "NODATA" in result.err, result.err[-1500:]
    finally:
        server.kill()
        server.wait()
        if server.stdout is not None:
            server.stdout.close()
