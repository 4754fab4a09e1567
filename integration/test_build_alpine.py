"""`!Alpine` and packages of Alpine, from a mirror on the loopback.

No mirror of Alpine is asked. The one here has its layout and real files: a root that is a static busybox, packages
that are archives of files. What stands in is `apk`, a script that knows the few commands the steps use (`upgrade`,
`add`, `add --virtual`, `del`) and, as the real one, `/etc/apk/repositories`, `/etc/apk/world` and `/etc/apk/cache`.
So signatures, dependencies and conflicts of packages are not tried here.
"""

from __future__ import annotations

import functools
import http.server
import io
import os
import platform
import shutil
import tarfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from integration.runs import Project, need

BUSYBOX = shutil.which("busybox") or "/bin/busybox"
PROCESSOR = platform.machine()
COMMANDS = ("cat", "cut", "grep", "ls", "mkdir", "mv", "rm", "sed", "sh", "sort", "tar", "test", "touch", "wget")
APK = """#!/bin/sh
set -e
command=$1; shift
virtual=
names=
while [ $# -gt 0 ]; do
    case $1 in
    --virtual) virtual=$2; shift ;;
    --*) ;;
    *) names="$names $1" ;;
    esac
    shift
done
have() {
    test -e /lib/apk/db/$1 && return
    while read -r repository; do
        file=/etc/apk/cache/$1.apk
        test -e $file || wget -q -O $file.new $repository/PROCESSOR/$1.apk 2>/dev/null || continue
        test -e $file || mv $file.new $file
        tar -xz -C / -f $file
        tar -tz -f $file > /lib/apk/db/$1
        return
    done < /etc/apk/repositories
    echo "ERROR: unable to select packages: $1 (no such package)"
    exit 1
}
case $command in
upgrade)
    while read -r repository; do wget -q -O /etc/apk/cache/index $repository/PROCESSOR/APKINDEX; done \
        < /etc/apk/repositories
    ;;
add)
    for name in $names; do have $name; done
    if [ "$virtual" ]; then
        echo "$names" > /lib/apk/db/$virtual
        echo "$virtual=20250101.000000" >> /etc/apk/world
    else
        for name in $names; do echo $name >> /etc/apk/world; done
    fi
    ;;
del)
    for virtual in $names; do
        grep -v "^$virtual=" /etc/apk/world > /etc/apk/world.new || :
        mv /etc/apk/world.new /etc/apk/world
        for name in $(cat /lib/apk/db/$virtual); do
            grep -q "^$name$" /etc/apk/world && continue
            while read -r file; do test -d /$file || rm /$file; done < /lib/apk/db/$name
        done
        rm /lib/apk/db/$virtual
    done
    ;;
esac
"""


def archive(path: Path, files: Mapping[str, bytes], links: Mapping[str, str]) -> None:
    """Write an archive as Alpine's are: everything belongs to root, programs may be executed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made: set[str] = set()
    with tarfile.open(path, "w:gz") as tar:
        for name in sorted({**files, **links}):
            for parent in reversed(Path(name).parents[:-1] if len(Path(name).parents) > 1 else ()):
                if str(parent) not in made:
                    made.add(str(parent))
                    member = tarfile.TarInfo(str(parent))
                    member.type, member.mode = tarfile.DIRTYPE, 0o755
                    tar.addfile(member)
            member = tarfile.TarInfo(name)
            member.mode = 0o755 if "bin/" in name else 0o644
            if name in links:
                member.type, member.linkname = tarfile.SYMTYPE, links[name]
                tar.addfile(member)
            else:
                member.size = len(files[name])
                tar.addfile(member, io.BytesIO(files[name]))


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a directory and notes what was asked for."""

    asked: list[str]

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Serve a file."""
        self.asked.append(self.path)
        super().do_GET()


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a mirror; the address, and what was asked for."""
    need(Path(BUSYBOX).exists(), "there is no busybox")
    top = tmp_path / "mirror"
    root = top / f"v3.22/releases/{PROCESSOR}/alpine-minirootfs-3.22.0-{PROCESSOR}.tar.gz"
    release = b'ID=alpine\nVERSION_ID=3.22.0\nPRETTY_NAME="Alpine Linux v3.22"\n'
    files = {
        "bin/busybox": Path(BUSYBOX).read_bytes(),
        "sbin/apk": APK.replace("PROCESSOR", PROCESSOR).encode(),
        "etc/os-release": release,
        "etc/apk/world": b"",
        "lib/apk/db/lock": b"",
        "dev/never": b"unpacked",
    }
    archive(root, files, {f"bin/{name}": "busybox" for name in COMMANDS})
    for repository, names in (("main", ("hello", "compiler", "linker")), ("community", ("world",))):
        place = top / f"v3.22/{repository}/{PROCESSOR}"
        for name in names:
            script = f"#!/bin/sh\necho this is {name}\n".encode()
            archive(place / f"{name}.apk", {f"usr/bin/{name}": script}, {})
        (place / "APKINDEX").write_text("\n".join(names))
    asked: list[str] = []
    handler = functools.partial(type("Noting", (Quiet,), {"asked": asked}), directory=str(top))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", asked
    server.shutdown()
    thread.join()
    server.server_close()


def write(project: Project, mirror: str, *steps: str, run: str = "true") -> None:
    """Write a project with one container."""
    (project.directory / ".vagga.settings.yaml").write_text(f"alpine-mirror: {mirror}\n")
    setup = "".join(f"    - {step}\n" for step in steps)
    containers = f"containers:\n  c:\n    setup:\n{setup}"
    project.write(f'  x: !Command\n    container: c\n    run: "{run}"\n', containers)


def test_a_root_of_alpine_is_made_with_packages_of_its_repositories(
    project: Project, mirror: tuple[str, list[str]]
) -> None:
    steps = ("!Alpine v3.22", "!Repo community", "!Install [hello, world]")
    write(project, mirror[0], *steps, run="hello; world; cat /etc/apk/repositories; ls /etc/apk /dev/never; echo")
    result = project.run("x")
    assert result.out.split("\n")[:4] == [
        *("this is hello", "this is world"),
        *(f"{mirror[0]}v3.22/{name}" for name in ("main", "community")),
    ], result
    assert "cache" not in result.out, "the directory of the cache stays out of the root"
    assert "never" not in result.out, "devices of the archive are not unpacked"


def test_build_dependencies_are_there_for_steps_and_gone_at_the_end(
    project: Project, mirror: tuple[str, list[str]]
) -> None:
    steps = ("!Alpine v3.22", "!BuildDeps [compiler, linker]", "!Sh 'compiler > /made; linker >> /made'")
    write(project, mirror[0], *steps, "!Install [linker]", run="cat /made; ls /usr/bin; cat /etc/apk/world")
    result = project.run("x")
    assert result.out.split("\n")[:-1] == ["this is compiler", "this is linker", "linker", "linker"], result


def test_packages_are_fetched_once(project: Project, mirror: tuple[str, list[str]]) -> None:
    write(project, mirror[0], "!Alpine v3.22", "!Install [hello]")
    assert project.run("_build", "c").code == 0
    write(project, mirror[0], "!Alpine v3.22", "!EnsureDir /other", "!Install [hello]")
    assert project.run("_build", "c").code == 0
    assert [path for path in mirror[1] if path.endswith("hello.apk")] == [f"/v3.22/main/{PROCESSOR}/hello.apk"]
    assert len([path for path in mirror[1] if "minirootfs" in path]) == 1


def test_a_package_that_is_not_there_is_named(project: Project, mirror: tuple[str, list[str]]) -> None:
    write(project, mirror[0], "!Alpine v3.22", "!Install [nothing]")
    result = project.run("_build", "c")
    assert result.code == 121
    assert "unable to select packages: nothing" in result.err
    assert "apk add nothing" in result.err.splitlines()[-1]


def test_a_version_that_the_mirror_does_not_have_is_named_by_its_address(
    project: Project, mirror: tuple[str, list[str]]
) -> None:
    write(project, mirror[0], "!Alpine v9.9")
    result = project.run("_build", "c")
    assert result.code == 121
    assert "v9.9/releases" in result.err.splitlines()[-1]
    assert "404" in result.err.splitlines()[-1]


@pytest.mark.skipif(os.getuid() == 0, reason="root has every id")
def test_a_caller_with_one_id_has_alpine_too(project: Project, mirror: tuple[str, list[str]]) -> None:
    write(project, mirror[0], "!Alpine v3.22", "!Install [hello]", run="hello")
    result = project.run("x", under=("setpriv", "--no-new-privs"))
    assert (result.code, result.out) == (0, "this is hello\n"), result
