"""Ids: inside, 0 is the caller; further ones come from ranges; files made in the project belong to the caller."""

from __future__ import annotations

import os

import pytest

from integration.runs import Project, can_nest, command, has_ranges, need, supervise

SINGLE = ("setpriv", "--no-new-privs")
"""Under this newuidmap gets no privilege, so that an ordinary caller has one id; root keeps all."""


def test_files_made_in_the_project_belong_to_the_caller_and_keep_the_umask(project: Project) -> None:
    project.write(command("c", "umask; touch file; mkdir dir; ln -s x link; umask 027; touch other"))
    result = project.run("c", under=("sh", "-c", 'umask 0067; exec "$@"', "sh"))
    assert (result.code, result.out) == (0, "0067\n")
    for name, mode in (("file", 0o600), ("dir", 0o710), ("other", 0o640)):
        made = (project.directory / name).stat()
        assert (made.st_uid, made.st_gid, made.st_mode & 0o777) == (os.getuid(), os.getgid(), mode)
    assert (project.directory / "link").lstat().st_uid == os.getuid()


def test_the_caller_is_root_inside_with_every_capability_and_no_further_group(project: Project) -> None:
    need(has_ranges(), "the caller has one id only")
    project.write(command("c", "id -u; id -g; id -G; grep CapEff /proc/self/status; stat -c %u:%g /work"))
    result = project.run("c")
    words = result.out.split()
    assert words[:3] == ["0", "0", "0"]
    assert int(words[4], 16) & (1 << 21), "CAP_SYS_ADMIN"
    assert words[5] == "0:0", "the project is the caller's, who is root inside"


def test_user_group_and_supplementary_ids_are_taken(project: Project) -> None:
    need(has_ranges(), "the caller has one id only")
    more = {"user_id": 1000, "group_id": 1001, "supplementary_gids": [5, 7]}
    project.write(
        command(
            "c", "id -u; id -g; id -G; grep CapEff /proc/self/status; touch /tmp/mine; stat -c %u:%g /tmp/mine", **more
        )
    )
    result = project.run("c")
    assert result.out.split() == ["1000", "1001", "1001", "5", "7", "CapEff:", "0" * 16, "1000:1001"], result


def test_two_children_have_ids_of_their_own_choice(project: Project) -> None:
    need(has_ranges(), "the caller has one id only")
    project.directory.chmod(0o777)
    text = "id -u > of-$VAGGA_SUBCOMMAND"
    children = {"a": {"run": text, "user-id": 7}, "b": {"run": text, "user-id": 8}, "c": {"run": text}}
    project.write(supervise("c", children, mode="wait-all-successful"))
    assert project.run("c").code == 0
    assert [project.read(f"of-{name}") for name in "abc"] == ["7\n", "8\n", "0\n"]


def test_a_user_inside_cannot_write_where_only_root_may(project: Project) -> None:
    need(has_ranges(), "the caller has one id only")
    project.directory.chmod(0o755)
    project.write(command("c", "touch /work/x 2>&1; touch /run/x 2>&1; touch /tmp/ok && echo ok", user_id=1000))
    result = project.run("c")
    assert result.out.count("Permission denied") == 2
    assert result.out.endswith("ok\n")


@pytest.mark.parametrize(
    ("key", "value"), [("user-id", 1000), ("group-id", 1000), ("supplementary-gids", [1000]), ("user-id", 2**30)]
)
def test_an_id_that_the_run_does_not_have_is_refused_with_the_remedy(project: Project, key: str, value: object) -> None:
    if os.getuid() == 0:
        need(can_nest(), "unshare(1) cannot make an outer world")
        outer: tuple[str, ...] = ("unshare", "-Ur")
    else:
        outer = SINGLE
    project.write(command("c", "id", **{key: value}))
    result = project.run("c", under=outer)
    assert (result.code, result.out) == (124, ""), result
    assert result.err.count("\n") == 1
    number = value[0] if isinstance(value, list) else value
    assert f"id {number} cannot be taken" in result.err
    assert "usermod --add-subuids" in result.err and "uidmap" in result.err and "[ids-missing]" in result.err


@pytest.mark.parametrize("outer", [(), SINGLE, ("unshare", "-Ur"), ("unshare", "-Urm"), ("unshare", "-Uc")])
def test_a_container_that_needs_one_id_works_however_few_there_are(project: Project, outer: tuple[str, ...]) -> None:
    if "unshare" in outer:
        need(can_nest(), "unshare(1) cannot make an outer world")
    project.write(command("c", "id -u; touch made; tty -s; test -c /dev/pts/ptmx && echo fine"))
    result = project.run("c", under=outer)
    assert (result.code, result.out, result.err) == (0, "0\nfine\n", ""), result
    assert (project.directory / "made").stat().st_uid == os.getuid()


def test_a_terminal_works_with_one_id(project: Project) -> None:
    project.write(command("c", "sh -c 'stty size; stat -c %a $(tty)'"))
    single = ("unshare", "-Ur") if os.getuid() == 0 else SINGLE
    need(can_nest(), "unshare(1) cannot make an outer world")
    master, slave = os.openpty()
    running = project.start("c", under=single, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    data = b""
    try:
        while b"620" not in data:
            data += os.read(master, 1000)
    except OSError:
        pass
    assert running.finish().code == 0
    os.close(master)
    assert b"620" in data, data
