"""Volumes: memory with a limit, binds that are read-only or not, empty places; the command's before the container's."""

from __future__ import annotations

import os

import pytest

from integration.runs import Project, command, has_ranges, need, supervise


def host(*lines: str) -> str:
    """Return the text of the container `host` with these volumes."""
    listed = "".join(f"      {line}\n" for line in lines)
    return f"containers:\n  host:\n    setup: [!Host]\n    volumes:\n{listed}" if lines else ""


def with_volumes(run: object, *lines: str, **keys: object) -> str:
    """Return the text of the command `c` with these volumes."""
    listed = "".join(f"      {line}\n" for line in lines)
    return command("c", run, **keys) + (f"    volumes:\n{listed}" if lines else "")


def test_a_tmpfs_is_empty_writable_and_no_larger_than_its_size(project: Project) -> None:
    text = (
        "cd /opt; ls -A; stat -c %a .; head -c 900k /dev/zero > a && echo fits;"
        " head -c 900k /dev/zero > b 2>/dev/null || echo full; stat -f -c %T ."
    )
    project.write(with_volumes(text, "/opt: !Tmpfs {size: 1Mi}"))
    result = project.run("c")
    assert result.out.split() == ["1777", "fits", "full", "tmpfs"], result


def test_a_tmpfs_has_its_mode_directories_and_files_whatever_the_umask(project: Project) -> None:
    volume = "{mode: 0o750, subdirs: {a/b: {mode: 0o711}, c: }, files: {etc/conf: 'x = ü', empty: }}"
    text = "cd /opt; stat -c '%n %a %u' . a a/b c etc/conf empty; cat etc/conf"
    project.write(with_volumes(text, f"/opt: !Tmpfs {volume}"))
    result = project.run("c", under=("sh", "-c", 'umask 077; exec "$@"', "sh"))
    assert result.out.splitlines() == [
        ". 750 0",
        "a 755 0",
        "a/b 711 0",
        "c 755 0",
        "etc/conf 644 0",
        "empty 644 0",
        "x = ü",
    ], result


def test_files_of_a_tmpfs_can_be_read_by_another_user_inside(project: Project) -> None:
    need(has_ranges(), "the caller has one id only")
    project.write(
        with_volumes("cat /opt/conf; touch /opt/own && echo made", "/opt: !Tmpfs {files: {conf: x}}", user_id=9)
    )
    assert project.run("c", under=("sh", "-c", 'umask 077; exec "$@"', "sh")).out == "xmade\n"


def test_a_read_only_bind_can_neither_be_written_nor_remounted(project: Project) -> None:
    (project.directory / "data").mkdir()
    (project.directory / "data" / "file").write_text("content")
    text = (
        "cat /opt/file; touch /opt/x 2>/dev/null || echo refused;"
        " mount -o remount,bind,rw /opt 2>/dev/null || echo locked; umount /opt 2>/dev/null || echo stays;"
        " touch data/y; ls /opt"
    )
    project.write(with_volumes(text, "/opt: !BindRO /work/data"))
    result = project.run("c")
    assert result.out.split() == ["contentrefused", "locked", "stays", "file", "y"], result
    assert not project.has("data/x")


def test_a_writable_bind_shows_the_same_files(project: Project) -> None:
    (project.directory / "data").mkdir()
    project.write(with_volumes("echo there > /opt/file; cat data/file", "/opt: !BindRW /work/data"))
    assert project.run("c").out == "there\n"
    assert project.read("data/file") == "there\n"


def test_a_single_file_can_be_bound(project: Project) -> None:
    (project.directory / "names").write_text("127.0.0.1 localhost other\n")
    project.write(with_volumes("cat /etc/hosts", "/etc/hosts: !BindRO /work/names"))
    assert project.run("c").out == "127.0.0.1 localhost other\n"


@pytest.mark.parametrize("place", ["/opt", "/tmp", "/run", "/dev/shm", "/new", "/tmp/a/b", "/run/a/b"])
def test_an_empty_volume_hides_what_is_there_and_takes_nothing(project: Project, place: str) -> None:
    project.write(with_volumes(f"ls -A {place}; touch {place}/x 2>/dev/null || echo refused", f"{place}: !Empty"))
    result = project.run("c")
    assert result.out == "refused\n", result


@pytest.mark.parametrize(
    "place", ["/tmp", "/run", "/dev/shm", "/opt", "/new", "/new/deep", "/tmp/a/b", "/run/a/b", "/dev/shm/a", "/home/u"]
)
def test_a_memory_volume_can_be_at_any_place_that_exists_or_is_the_childs_own(project: Project, place: str) -> None:
    project.write(with_volumes(f"touch {place}/x && stat -f -c %T {place}", f"{place}: !Tmpfs {{size: 1Mi}}"))
    result = project.run("c")
    assert (result.code, result.out) == (0, "tmpfs\n"), result


@pytest.mark.parametrize("place", ["/opt", "/new", "/tmp/a/b", "/run/a/b", "/dev/shm/a", "/home/u/x", "/var/tmp"])
def test_a_bind_can_be_at_any_place_that_exists_or_is_the_childs_own(project: Project, place: str) -> None:
    project.write(with_volumes(f"test -e {place}/vagga.yaml && touch {place}/made", f"{place}: !BindRW /work"))
    result = project.run("c")
    assert result.code == 0, result
    assert project.has("made")


def test_volumes_in_volumes_are_mounted_from_the_outside_in(project: Project) -> None:
    for name in ("deep", "data"):
        (project.directory / name).mkdir()
    (project.directory / "data" / "file").write_text("d")
    lines = (
        "/opt/one/two: !BindRO /work/data",
        "/opt: !Tmpfs {size: 1Mi, subdirs: {three: }}",
        "/opt/three: !Empty",
        "/opt/one: !Tmpfs {size: 1Mi}",
        "/work/deep: !BindRO /work/data",
    )
    text = "ls -A /opt /opt/one /opt/one/two /work/deep; touch /opt/one/y; touch /opt/three/x 2>/dev/null || echo ro"
    project.write(with_volumes(text, *lines))
    result = project.run("c")
    assert result.out.split() == [
        *("/opt:", "one", "three", "/opt/one:", "two"),
        *("/opt/one/two:", "file", "/work/deep:", "file", "ro"),
    ], result


def test_a_volume_of_the_command_replaces_that_of_the_container(project: Project) -> None:
    project.write(
        with_volumes("cat /opt/who /srv/who", "/opt: !Tmpfs {files: {who: command}}"),
        host("/opt: !Tmpfs {files: {who: container}}", "/srv: !Tmpfs {files: {who: container}}"),
    )
    assert project.run("c").out == "commandcontainer"


def test_two_children_have_a_memory_volume_each(project: Project) -> None:
    text = "touch /opt/{0} {0}; while [ ! -e {1} ]; do sleep 0.01; done; ls /opt"
    children = {"a": text.format("a", "b"), "b": text.format("b", "a")}
    body = supervise("c", children, mode="wait-all-successful")
    project.write(body, host("/opt: !Tmpfs"))
    assert sorted(project.run("c").out.split()) == ["a", "b"]


@pytest.mark.parametrize(
    ("volume", "said", "name"),
    [
        ("/opt/vagga-none: !Tmpfs", "/opt/vagga-none", "volume-mount-point"),
        ("/opt/vagga-none: !BindRO /work", "/opt/vagga-none", "volume-mount-point"),
        ("/opt/vagga-none: !Empty", "/opt/vagga-none", "volume-mount-point"),
        ("/work/none: !Tmpfs", "/work/none", "volume-mount-point"),
        ("/work/none: !BindRO /work", "/work/none", "volume-mount-point"),
        ("/opt: !BindRO /work/none", "none does not exist", "volume-source"),
        ("/etc/passwd: !Tmpfs", "/etc/passwd", "volume-mount-point"),
        ("/etc/passwd: !BindRO /work", "/etc/passwd", "volume-mount-point"),
        ("/etc: !BindRO /work/vagga.yaml", "/etc", "volume-mount-point"),
        ("/etc/passwd/x: !Empty", "/etc/passwd/x", "volume-mount-point"),
    ],
)
def test_a_volume_that_cannot_be_mounted_is_named_in_one_line(
    project: Project, volume: str, said: str, name: str
) -> None:
    """supervision 1.3."""
    project.write(with_volumes("echo never", volume))
    result = project.run("c")
    assert (result.code, result.out, result.err.count("\n")) == (124, "", 1), result
    assert said in result.err and f"[{name}]" in result.err, result.err
    assert "tmpfs" not in result.err
    assert not project.has("none"), "a mount point was made in the project"


@pytest.mark.parametrize("volume", ["!BindRW /work/data", "!BindRO /work/data", "!Empty"])
def test_a_volume_around_the_projects_own_path_takes_its_place(project: Project, volume: str) -> None:
    (project.directory / "data").mkdir()
    top = "/" + project.directory.parts[1]
    project.write(with_volumes(f"ls -A {top}; ls /work", f"{top}: {volume}"))
    result = project.run("c")
    assert (result.code, result.out.split()) == (0, ["data", "vagga.yaml"]), result
    assert list((project.directory / "data").iterdir()) == []


def test_a_memory_volume_around_the_projects_own_path_leaves_it_visible(project: Project) -> None:
    top = "/" + project.directory.parts[1]
    project.write(with_volumes(f"cd {project.directory}; ls", f"{top}: !Tmpfs"))
    result = project.run("c")
    assert (result.code, result.out.split()) == (0, ["vagga.yaml"]), result


def test_a_volume_is_gone_with_its_child(project: Project) -> None:
    project.write(with_volumes("touch /opt/x; sleep 1000 & exit 3", "/opt: !Tmpfs"))
    before = os.listdir("/opt")
    assert project.run("c").code == 3
    assert os.listdir("/opt") == before
