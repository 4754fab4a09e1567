"""Roots that can be written to and forget it: `_run -W` and `write-mode: transient`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from integration.builds import ROOT, SINGLE, container, containers, root, small, version
from integration.runs import HOST, Project, can_nest, has_ranges, need
from integration.test_build_debian import KEYRING, reachable

__all__ = ["small"]

MAKE = "mkdir -p /srv/in/sub /var/tmp; echo image > /srv/in/file; echo deep > /srv/in/sub/file; chmod 750 /srv/in"
C = containers(container("c", ROOT, f"!Sh '{MAKE}'"), HOST.removeprefix("containers:\n"))
CHANGES = (
    "echo new > /srv/in/file; rm -r /srv/in/sub; mkdir /srv/in/sub; ls /srv/in/sub; mkdir -p /made/deep; "
    "touch /made/deep/x /tmp/x /run/x; chmod 700 /srv; mv /srv/in /srv/moved; cat /srv/moved/file; stat -c %a /srv /"
)


def state(directory: Path) -> list[tuple[str, int, int, int]]:
    """Return what there is below a directory: path, mode, size, time of the last change."""
    found = []
    for here, _, names in os.walk(directory):
        for path in (Path(here), *(Path(here) / name for name in names)):
            status = path.lstat()
            found.append((str(path), status.st_mode, status.st_size, status.st_mtime_ns))
    return sorted(found)


def text(name: str, run: str, mode: str = "transient") -> str:
    return f"  {name}: !Command\n    container: c\n    run: {run!r}\n    write-mode: {mode}\n"


@pytest.mark.parametrize("under", [(), SINGLE], ids=["all ids", "one id"])
@pytest.mark.parametrize("mode", ["transient", "transient-hard-link-copy"])
def test_what_a_command_writes_into_its_root_is_forgotten(small: Project, mode: str, under: tuple[str, ...]) -> None:
    need(not under or can_nest(), "unshare")
    small.write(text("x", CHANGES, mode), C)
    assert small.run("_build", "c", under=under).code == 0
    before = state(root(small))
    for _ in range(2):
        result = small.run("x", under=under)
        assert (result.code, result.out.split()) == (0, ["new", "700", "755"]), result.err
    assert state(root(small)) == before
    # Nothing of it lies anywhere else in the storage either.
    assert sorted(path.name for path in version(small).parent.iterdir() if not path.name.startswith(".")) == [
        version(small).name
    ]
    assert sorted(os.listdir(small.directory / ".vagga")) == [".cache", ".layers", ".roots", ".volumes", "c"]


def test_run_with_W_has_a_root_that_forgets_and_without_it_one_that_refuses(small: Project) -> None:
    small.write(text("x", "true"), C)
    result = small.run("_run", "-W", "c", "sh", "-c", "touch /made && ls /made")
    assert (result.code, result.out) == (0, "/made\n"), result.err
    assert small.run("_run", "--writable", "c", "ls", "/made").code == 1
    result = small.run("_run", "c", "touch", "/made")
    assert result.code == 1 and "Read-only file system" in result.err


def test_two_at_once_do_not_see_each_other(small: Project) -> None:
    wait = "while ! test -e /work/a -a -e /work/b; do sleep 0.02; done; ls /mine"
    small.write(text("x", "true"), C)
    assert small.run("_build", "c").code == 0
    both = [
        small.start("_run", "-W", "c", "sh", "-c", f"mkdir /mine; touch /mine/{name} /work/{name}; {wait}")
        for name in ("a", "b")
    ]
    assert [running.finish().out for running in both] == ["a\n", "b\n"]


def test_two_children_of_one_supervise_do_not_see_each_other(small: Project) -> None:
    run = (
        "mkdir /mine; touch /mine/NAME /work/NAME; while ! test -e /work/a -a -e /work/b; do sleep 0.02; done; "
        "ls /mine > /work/saw-NAME"
    )
    child = f"      NAME: !Command\n        container: c\n        write-mode: transient\n        run: {run!r}\n"
    children = child.replace("NAME", "a") + child.replace("NAME", "b")
    small.write(f"  two: !Supervise\n    mode: wait-all-successful\n    children:\n{children}", C)
    assert small.run("two").code == 0
    assert (small.read("saw-a"), small.read("saw-b")) == ("a\n", "b\n")


def test_volumes_are_mounted_in_a_writable_root_and_their_mount_points_made(small: Project) -> None:
    volumes = (
        "{/no/where: !Persistent data, /srv/in: !Snapshot, /not/here: !Tmpfs , /not/this: !BindRO /work/vagga.yaml}"
    )
    small.write(
        text("x", "touch /no/where/x; echo y > /srv/in/y; cat /srv/in/file; ls /not; test -s /not/this")
        + f"    volumes: {volumes}\n",
        C,
    )
    result = small.run("x")
    assert (result.code, result.out.split()) == (0, ["image", "here", "this"]), result.err
    assert (small.directory / ".vagga/.volumes/data/x").exists()
    assert not (root(small) / "no").exists()


def test_ids_of_files_and_of_programs_are_kept_in_a_writable_root(small: Project) -> None:
    need(has_ranges(), "the caller has one id only")
    setup = "touch /owned; chown 5:6 /owned; mkdir /mine; chown 5 /mine; chmod 700 /mine"
    small.write(
        text("x", "stat -c %u:%g /owned /; touch /owned /mine/x && stat -c %u /mine/x") + "    user-id: 5\n",
        containers(container("c", ROOT, f"!Sh '{setup}'")),
    )
    result = small.run("x")
    assert (result.code, result.out.split()) == (0, ["5:6", "0:0", "5"]), result.err


def test_a_host_container_is_never_writable(small: Project) -> None:
    small.write(text("x", "true").replace("container: c", "container: host"), C)
    line = (
        "vagga: container host is !Host, which is always read-only "
        "(build a container, or mount a volume where you want to write) [writable-host]\n"
    )
    for words in (("x",), ("_run", "-W", "host", "true")):
        result = small.run(*words)
        assert (result.code, result.err) == (121, line)


def test_the_project_and_the_writable_root_are_different_things(small: Project) -> None:
    small.write(text("x", "touch /work/kept /forgotten"), C)
    result = small.run("x")
    assert result.code == 0, result.err
    assert small.has("kept")
    assert not (root(small) / "forgotten").exists()


def test_packages_can_be_installed_for_one_run(small: Project) -> None:
    need(shutil.which("mmdebstrap") is not None, "mmdebstrap is not installed")
    need(os.path.exists(KEYRING), "the keyring of Debian is not installed")
    need(has_ranges(), "the caller has one id only")
    need(reachable(), "the mirror of Debian cannot be reached")
    small.write("  x: !Command {container: c, run: hello}\n", containers(container("c", "!Debian bookworm")))
    install = "apt-get update -qq && apt-get install -y -qq hello >&2 && hello"
    result = small.run("_run", "-W", "c", "sh", "-c", install, seconds=400)
    assert (result.code, result.out) == (0, "Hello, world!\n"), result.err
    assert small.run("x").code == 127
