"""Volumes in containers that are built: what is mounted where, who may write, and what is told when it cannot be."""

from __future__ import annotations

import os

import pytest

from integration.builds import ROOT, SINGLE, container, containers, root, small
from integration.runs import HOST, Project, Result, can_nest, has_ranges, need

__all__ = ["small"]

PLACES = "mkdir -p /a /b/c /srv/in/sub /opt/other; echo image > /srv/in/file; echo deep > /srv/in/sub/file; touch /f"
C = container("c", ROOT, f"!Sh '{PLACES}; chmod 750 /srv/in; ln -s /srv/in /link'")
D = container(
    "d", "!Container c", "!Sh 'rm -r /srv/in /opt/other; mkdir -p /srv/in; echo other > /srv/in/d; ln -s /etc /srv/out'"
)
BOTH = containers(C, D, HOST.removeprefix("containers:\n"))


def run(project: Project, text: str, *volumes: str, under: tuple[str, ...] = (), **keys: object) -> Result:
    """Run a shell with volumes, which are written as in the file, in `c` or another container."""
    values = {"container": "c", **keys}
    lines = "".join(f"    {key.replace('_', '-')}: {value}\n" for key, value in values.items())
    mounts = "".join(f"      {volume}\n" for volume in volumes)
    project.write(f"  x: !Command\n{lines}    run: {text!r}\n    volumes:\n{mounts}", BOTH)
    return project.run("x", under=under)


def out(result: Result) -> list[str]:
    assert result.code == 0, result.err
    return result.out.split()


# --- of the project -----------------------------------------------------------------------------------------------


def test_directories_and_files_of_the_project_are_seen_elsewhere(small: Project) -> None:
    (small.directory / "dir").mkdir()
    (small.directory / "dir/x").write_text("x\n")
    (small.directory / "file").write_text("file\n")
    volumes = ("/a: !BindRO /work/dir", "/b/c: !BindRW /work/dir", "/f: !BindRO /work/file")
    text = "cat /a/x /b/c/x /f; touch /a/y; touch /f; echo > /f; echo y > /b/c/y; cat /a/y"
    result = run(small, text, *volumes)
    assert out(result) == ["x", "x", "file", "y"]
    assert result.err.count("Read-only file system") == 3
    assert small.read("dir/y") == "y\n"
    assert small.read("file") == "file\n"


@pytest.mark.parametrize(
    ("volume", "point"),
    [
        ("/nowhere: !BindRO /work/dir", "/nowhere"),
        ("/no/file: !BindRO /work/file", "/no/file"),
        ("/nowhere: !Tmpfs", "/nowhere"),
        ("/nowhere: !Empty", "/nowhere"),
        ("/nowhere: !Persistent data", "/nowhere"),
        ("/nowhere: !CacheDir x", "/nowhere"),
        ("/nowhere: !Snapshot", "/nowhere"),
        ("/nowhere: !Container d", "/nowhere"),
        ("/nowhere: !VaggaBin", "/nowhere"),
    ],
)
def test_a_mount_point_that_the_image_lacks_is_one_line_with_the_step_that_makes_it(
    small: Project, volume: str, point: str
) -> None:
    (small.directory / "dir").mkdir()
    (small.directory / "file").touch()
    result = run(small, "true", volume)
    assert result.code == 124
    (line,) = [each for each in result.err.splitlines() if ("[" in each and "nowhere" in each) or "/no/file" in each]
    assert line.endswith(
        f"container c: its image lacks {point} (add `!EnsureDir {point}` to its setup; where a file is mounted: "
        "`!Text` with an empty one) [image-mount-point]"
    )
    assert not (root(small) / "nowhere").exists()


@pytest.mark.parametrize("volume", ["/f: !BindRO /work/dir", "/a: !BindRO /work/file"])
def test_a_file_is_not_mounted_on_a_directory_nor_the_other_way_round(small: Project, volume: str) -> None:
    (small.directory / "dir").mkdir()
    (small.directory / "file").touch()
    result = run(small, "true", volume)
    assert result.code == 124
    assert result.err.count("[volume-mount-point]") == 1, result.err


def test_a_source_that_is_not_there_is_named(small: Project) -> None:
    result = run(small, "true", "/a: !BindRO /work/none")
    assert result.code == 124
    assert result.err.endswith("none does not exist (create it, or correct the path) [volume-source]\n")


# --- in memory ----------------------------------------------------------------------------------------------------


def test_a_tmpfs_has_its_directories_files_size_and_mode(small: Project) -> None:
    volume = "/a: !Tmpfs {size: 1Mi, mode: 0o750, subdirs: {x/y: {mode: 0o700}, z: }, files: {x/f: text, e: }}"
    text = "stat -c %a /a /a/x /a/x/y /a/z; cat /a/x/f; echo; cat /a/e; head -c 2000000 /dev/zero > /a/big || echo full"
    result = run(small, text, volume)
    assert out(result) == ["750", "755", "700", "755", "text", "full"]


def test_tmp_and_run_can_be_replaced(small: Project) -> None:
    (small.directory / "t").mkdir()
    result = run(small, "touch /tmp/x; stat -c %a /run; ls /run", "/tmp: !BindRW /work/t", "/run: !Tmpfs {mode: 0o700}")
    assert out(result) == ["700"]
    assert (small.directory / "t/x").exists()


def test_an_empty_volume_hides_what_the_image_has(small: Project) -> None:
    result = run(small, "ls /srv/in; touch /srv/in/x || echo refused", "/srv/in: !Empty")
    assert out(result) == ["refused"]


def test_volumes_are_mounted_in_volumes_whatever_their_order(small: Project) -> None:
    (small.directory / "dir/in").mkdir(parents=True)
    (small.directory / "dir/deep").mkdir()
    volumes = (
        "/a/in/more: !Tmpfs {files: {deep: }}",
        "/a: !BindRW /work/dir",
        "/a/in: !Tmpfs {subdirs: {more: }, files: {top: }}",
        "/b: !Tmpfs",
        "/b/made: !Persistent data",
        "/a/deep: !CacheDir cached",
    )
    assert out(run(small, "ls /a/in; ls /a/in/more; touch /b/made/x /a/deep/x; ls /b", *volumes)) == [
        "more",
        "top",
        "deep",
        "made",
    ]
    assert (small.directory / ".vagga/.volumes/data/x").exists()
    assert (small.directory / ".vagga/.cache/cached/x").exists()


# --- the cache, other roots, vagga itself -------------------------------------------------------------------------


def test_a_cache_directory_is_made_and_kept(small: Project) -> None:
    assert out(run(small, "stat -c %a /a; echo kept > /a/x", "/a: !CacheDir my/cache")) == ["755"]
    assert out(run(small, "cat /tmp/c/x", "/tmp/c: !CacheDir my/cache", container="host")) == ["kept"]


def test_the_root_of_another_container_is_seen_read_only(small: Project) -> None:
    text = "cat /a/srv/in/d; touch /a/srv/in/x || echo refused; rm /a/srv/in/d || echo refused"
    assert out(run(small, text, "/a: !Container d")) == ["other", "refused", "refused"]
    assert out(run(small, "cat /tmp/d/srv/in/d", "/tmp/d: !Container d", container="host")) == ["other"]


def test_the_directory_of_vagga_is_seen(small: Project) -> None:
    names = out(run(small, "ls /a; touch /a/x || echo refused", "/a: !VaggaBin"))
    assert names[-1] == "refused"
    assert names[:-1]


# --- snapshots ----------------------------------------------------------------------------------------------------


CHANGES = (
    "cat /srv/in/file; stat -c %a /srv/in; echo new > /srv/in/file; rm -r /srv/in/sub; mkdir /srv/in/sub; "
    "ls /srv/in/sub; touch /srv/in/sub/x; ls /srv/in/sub; cat /srv/in/file"
)


@pytest.mark.parametrize("under", [(), SINGLE], ids=["all ids", "one id"])
def test_a_snapshot_is_a_copy_that_forgets(small: Project, under: tuple[str, ...]) -> None:
    need(not under or can_nest(), "unshare")
    expected = ["image", "750", "x", "new"]
    assert out(run(small, CHANGES, "/srv/in: !Snapshot", under=under)) == expected
    assert out(run(small, CHANGES, "/srv/in: !Snapshot", under=under)) == expected
    assert (root(small) / "srv/in/sub/file").read_text() == "deep\n"


def test_two_children_have_a_snapshot_each(small: Project) -> None:
    child = (
        "      NAME: !Command\n        container: c\n        volumes: {/srv/in: !Snapshot}\n"
        "        run: 'echo NAME > /srv/in/NAME; touch /work/NAME; "
        "while ! test -e /work/a -a -e /work/b; do sleep 0.02; done; ls /srv/in > /work/saw-NAME'\n"
    )
    children = child.replace("NAME", "a") + child.replace("NAME", "b")
    small.write(f"  two: !Supervise\n    mode: wait-all-successful\n    children:\n{children}", BOTH)
    result = small.run("two")
    assert result.code == 0, result.err
    assert small.read("saw-a").split() == ["a", "file", "sub"]
    assert small.read("saw-b").split() == ["b", "file", "sub"]


def test_a_snapshot_of_another_container_has_its_size_and_owner(small: Project) -> None:
    need(has_ranges(), "the caller has one id only")
    volume = "/srv/in: !Snapshot {container: d, size: 1Mi, owner-uid: 7, owner-gid: 8}"
    text = "stat -c %u:%g /srv/in /srv/in/d; cat /srv/in/d; head -c 2000000 /dev/zero > /srv/in/big || echo full"
    assert out(run(small, text, volume)) == ["7:8", "7:8", "other", "full"]
    other = small.directory / ".vagga/d/srv/in/d"
    assert other.stat().st_uid == os.getuid()


def test_a_snapshot_in_a_host_container_is_of_what_the_host_has(small: Project) -> None:
    need(os.path.isdir("/usr/share"), "/usr/share")
    text = "touch /usr/share/of-a-test && echo written"
    assert out(run(small, text, "/usr/share: !Snapshot", container="host")) == ["written"]
    assert not os.path.exists("/usr/share/of-a-test")


def test_an_owner_of_a_snapshot_that_the_run_does_not_have_is_told(small: Project) -> None:
    need(can_nest(), "unshare")
    result = run(small, "true", "/srv/in: !Snapshot {owner-uid: 7}", under=SINGLE)
    assert result.code == 124
    assert "volume /srv/in cannot be given to its owner" in result.err and "[ids-missing]" in result.err


def test_a_snapshot_of_what_another_container_lacks_is_told(small: Project) -> None:
    result = run(small, "true", "/opt/other: !Snapshot {container: d}")
    assert result.code == 121
    assert "/opt/other is not in the root " in result.err and "/d." in result.err and "[not-in-root]" in result.err


def test_a_snapshot_never_leads_out_of_the_other_container(small: Project) -> None:
    small.write(
        "  x: !Command {container: e, run: 'ls /srv/out', volumes: {/srv/out: !Snapshot {container: d}}}\n",
        containers(C, D, container("e", "!Container c", "!EnsureDir /srv/out")),
    )
    result = small.run("x")
    assert result.code == 0, result.err
    assert "passwd" not in result.out and "hosts" in result.out
