"""Containers that are built from steps: what is built again, what is shared, what a step finds, what is told."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from integration.builds import (
    COMMANDS,
    ROOT,
    SINGLE,
    container,
    containers,
    content,
    leftovers,
    remove,
    root,
    small,
    version,
    write,
)
from integration.runs import Project, Result, Running, has_ranges, need, wait_until
from integration.terminals import CTRL_C, Terminal, unchanged

__all__ = ["small"]
COPIES = {"VAGGA_NO_OVERLAY": "1"}
TWO = ("!Sh 'echo one > /one'", "!Sh 'echo two > /two'")


def steps(result: Result) -> list[str]:
    """Return what became of each step of a build: `run` or `cached`."""
    lines = re.findall(r"^vagga: c: \[\d+/\d+\] .*$", result.err, re.MULTILINE)
    return ["cached" if line.endswith("(cached)") else "run" for line in lines]


def build(project: Project, *words: str, name: str = "c") -> Result:
    """Build and expect success."""
    result = project.run("_build", name, *words)
    assert result.code == 0, result
    return result


# --- what is built again ------------------------------------------------------------------------------------------


def test_the_first_use_builds_and_the_second_does_nothing(small: Project) -> None:
    write(small, *TWO)
    first = small.run("see", "cat /one /two")
    assert (first.code, first.out) == (0, "one\ntwo\n"), first
    assert steps(first) == ["run", "run", "run"]
    before = version(small).stat().st_ino, content(root(small))
    second = small.run("see", "cat /one /two")
    assert (second.code, second.out, second.err) == (0, "one\ntwo\n", "")
    assert (build(small).err, (version(small).stat().st_ino, content(root(small)))) == ("", before)


def test_only_the_last_step_runs_again_when_only_it_changed(small: Project) -> None:
    write(small, *TWO)
    build(small)
    write(small, TWO[0], "!Sh 'echo changed > /two'")
    assert steps(build(small)) == ["cached", "cached", "run"]
    assert (root(small) / "one").read_text() == "one\n"
    assert (root(small) / "two").read_text() == "changed\n"


def test_every_step_runs_again_when_the_first_changed(small: Project) -> None:
    write(small, *TWO)
    build(small)
    (small.directory / "other.tar").write_bytes((small.directory / "root.tar").read_bytes() + b"\0" * 512)
    small.write(COMMANDS, containers(container("c", "!Tar {url: ./other.tar}", *TWO)))
    assert steps(build(small)) == ["run", "run", "run"]


def test_versions_lie_side_by_side_and_the_link_follows_the_branch(small: Project) -> None:
    write(small, *TWO)
    build(small)
    one = version(small)
    write(small, TWO[0])
    build(small)
    two = version(small)
    assert one != two and one.is_dir()
    assert not (two / "root" / "two").exists()
    write(small, *TWO)
    back = build(small)
    assert (back.err, version(small)) == ("", one)
    link = (small.directory / ".vagga" / "c").readlink()
    assert str(link) == f".roots/{one.name}/root"


def test_two_containers_with_the_same_beginning_share_its_layers(small: Project) -> None:
    small.write(COMMANDS, containers(container("c", ROOT, *TWO), container("d", ROOT, TWO[0])))
    build(small)
    told = build(small, name="d").err
    assert told.count("(cached)") == 2
    assert (root(small, "d") / "one").samefile(root(small) / "one")


def test_a_base_is_built_first_and_its_steps_are_not_run_again(small: Project) -> None:
    small.write(
        COMMANDS,
        containers(container("base", ROOT, TWO[0]), container("c", "!Container base", "!Sh 'cat /one > /two'")),
    )
    build(small, name="base")
    assert steps(build(small)) == ["cached", "cached", "run"]
    assert (root(small) / "two").read_text() == "one\n"
    small.write(
        COMMANDS,
        containers(
            container("base", ROOT, "!Sh 'echo new > /one'"), container("c", "!Container base", "!Sh 'cat /one > /two'")
        ),
    )
    assert small.run("see", "cat /two").out == "new\n"


def test_force_runs_the_own_steps_again_and_no_cache_all(small: Project) -> None:
    small.write(
        COMMANDS,
        containers(
            container("base", ROOT, "!Sh 'cat /proc/sys/kernel/random/uuid > /base'"),
            container("c", "!Container base", "!Sh 'cat /proc/sys/kernel/random/uuid > /own'"),
        ),
    )

    def found() -> list[str]:
        return [(root(small) / name).read_text() for name in ("base", "own")]

    build(small)
    first = found()
    build(small, "--force")
    forced = found()
    assert forced[0] == first[0] and forced[1] != first[1]
    build(small, "--no-cache")
    fresh = found()
    assert fresh[0] != first[0] and fresh[1] != forced[1]
    assert leftovers(small) == []


# --- identical trees ----------------------------------------------------------------------------------------------

BUSY = (
    "!Sh 'mkdir -p /d/sub /gone /e && echo a > /d/a && echo b > /d/sub/b && ln /d/a /d/hard && ln -s ../d/a /e/link'",
    "!Sh 'echo c > /d/c; rm -rf /gone /d/sub; mkdir /d/sub; chmod 4711 /d/c; mkfifo /e/pipe; chmod 1777 /d/sub'",
    "!Sh 'mv /d/c /e/moved; echo more >> /e/moved; rm /e/link; ln -s nowhere /e/link; touch -d @1000 /e/moved'",
    '!Text {"/etc/motd": "hello"}',
    "!Sh 'chmod 700 /e; printf \"\" > /empty; dd if=/dev/zero of=/big bs=1000 count=100 2>&1; touch -d @7 /big /empty'",
)
OWNERS = "!Sh 'chown -R 5:6 /d/sub /e/moved; chown -h 7 /e/link; chown 3 /d'"


def busy() -> tuple[str, ...]:
    return (*BUSY, OWNERS) if has_ranges() else BUSY


def comparable(project: Project) -> dict[str, tuple[object, ...]]:
    """Return the tree of `c` without the times of what each build makes anew."""
    texts = content(root(project))
    kept = ("e/moved", "big", "empty")
    return {path: fact if path in kept else (*fact[:5], *fact[6:]) for path, fact in texts.items()}


def test_cached_and_uncached_builds_give_the_same_tree(small: Project) -> None:
    steps_ = busy()
    write(small, *steps_)
    build(small)
    at_once = comparable(small)
    remove(small.directory / ".vagga")
    for count in range(1, len(steps_) + 1):
        write(small, *steps_[:count])
        build(small)
    assert comparable(small) == at_once


def test_copies_where_overlayfs_cannot_be_used_give_the_same_tree(small: Project) -> None:
    steps_ = busy()
    write(small, *steps_)
    build(small)
    overlaid = comparable(small)
    copied = small.run("_build", "c", "--no-cache", environ=COPIES)
    assert copied.code == 0, copied
    assert comparable(small) == overlaid
    write(small, *steps_, "!Sh 'rm /big'")
    partly = small.run("_build", "c", environ=COPIES)
    assert steps(partly) == ["cached"] * (len(steps_) + 1) + ["run"]
    assert set(overlaid) - set(comparable(small)) == {"big"}


# --- a step that fails --------------------------------------------------------------------------------------------


def test_a_failing_step_is_named_with_its_place_and_the_log_has_all_of_its_output(small: Project) -> None:
    write(small, TWO[0], "!Sh 'seq 3000; echo to-stderr >&2; exit 5'", commands=COMMANDS)
    result = small.run("_build", "c")
    assert result.code == 121
    lines = result.err.splitlines()
    assert "vagga.yaml:6" in lines[-1], lines[-1]
    assert "[build-failed]" in lines[-1] and "5" in lines[-1] and "Sh" in lines[-1]
    (log,) = re.findall(r"/\S*build\.log", lines[-1])
    text = Path(log).read_text()
    assert "2999\n3000\n" in text and "to-stderr" in text
    assert not (small.directory / ".vagga" / "c").exists()


def test_only_the_failed_step_is_tried_again(small: Project) -> None:
    write(small, TWO[0], "!Sh 'test -e /work/there'")
    assert small.run("_build", "c").code == 121
    (small.directory / "there").touch()
    assert steps(build(small)) == ["cached", "cached", "run"]
    assert leftovers(small) == []


def test_a_failing_build_leaves_the_previous_root_to_run(small: Project) -> None:
    write(small, *TWO)
    build(small)
    before = content(version(small))
    write(small, TWO[0], "!Sh 'echo bad > /one; false'")
    failed = small.run("see", "cat /one")
    assert (failed.code, failed.out) == (121, "")
    assert content(version(small)) == before
    write(small, *TWO)
    assert small.run("see", "cat /one").out == "one\n"


def test_the_output_of_a_build_never_comes_to_standard_output(small: Project) -> None:
    write(small, "!Sh 'echo to-stdout; echo to-stderr >&2'")
    result = small.run("see", "echo only this")
    assert result.out == "only this\n"
    assert "to-stdout" in result.err and "to-stderr" in result.err


# --- what a step finds --------------------------------------------------------------------------------------------


def test_a_step_has_the_few_variables_that_are_promised_and_no_input(small: Project) -> None:
    write(small, "!Env {MINE: yes}", "!Sh 'env > /env; cat > /input; pwd > /here; ls /work > /seen'")
    (small.directory / "of-the-project").touch()
    given = {"http_proxy": "http://proxy.example:1", "no_proxy": "localhost", "SECRET": "s", "LD_LIBRARY_PATH": "/x"}
    result = small.run("_build", "c", environ=given)
    assert result.code == 0, result
    lines = (root(small) / "env").read_text().splitlines()
    found = dict(line.split("=", 1) for line in lines)
    for name in ("PWD", "SHLVL", "OLDPWD"):  # the shell's own
        found.pop(name, None)
    certificates = {name for name in found if found[name] == "/run/vagga/certificates.pem"}
    assert set(found) - certificates == {"PATH", "HOME", "TERM", "http_proxy", "no_proxy", "MINE"}
    assert (found["HOME"], found["TERM"], found["MINE"]) == ("/tmp", "dumb", "yes")
    assert (root(small) / "input").read_text() == ""
    assert (root(small) / "here").read_text() == "/work\n"
    assert "of-the-project" in (root(small) / "seen").read_text()


def test_temporary_files_last_to_the_end_of_the_build_and_no_longer(small: Project) -> None:
    write(small, "!Sh 'mkdir -p /var/tmp; echo kept > /tmp/t; echo kept > /var/tmp/t'", "!Sh 'cat /tmp/t > /seen'")
    build(small)
    assert (root(small) / "seen").read_text() == "kept\n"
    assert not list((root(small) / "tmp").iterdir()) and not list((root(small) / "var/tmp").iterdir())


def test_the_names_of_the_host_are_known_in_a_build_and_not_kept(small: Project) -> None:
    write(small, "!Sh 'cat /etc/resolv.conf > /resolver; cat /etc/hosts > /hosts'")
    build(small)
    assert (root(small) / "hosts").read_text() == Path("/etc/hosts").read_text()
    assert (root(small) / "resolver").read_text() == Path("/etc/resolv.conf").read_text()
    assert (root(small) / "etc/hosts").read_text() == (root(small) / "etc/resolv.conf").read_text() == ""


# --- who builds ---------------------------------------------------------------------------------------------------

SLOW = "!Sh 'echo begun > /work/begun; while test ! -e /work/go; do sleep 0.05; done; echo built > /mark'"


def hold_lock(project: Project) -> int:
    """Hold the lock of `c`, as another vagga would; return the descriptor."""
    directory = project.directory / ".vagga" / ".roots"
    directory.mkdir(parents=True, exist_ok=True)
    fd = os.open(directory / ".tmp.c.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def start(project: Project, *words: str) -> Running:
    """Start vagga; what it says goes to the file `told`."""
    with open(project.directory / "told", "wb") as told:
        return project.start(*words, stderr=told.fileno())


def wait_for_builders(project: Project) -> None:
    (project.directory / ".vagga").mkdir(exist_ok=True)
    (project.directory / ".vagga" / "settings.yaml").write_text("build-lock-wait: true\n")


def test_a_second_builder_fails_at_once(small: Project) -> None:
    write(small, *TWO)
    fd = hold_lock(small)
    result = small.run("_build", "c")
    os.close(fd)
    assert (result.code, result.err.count("\n")) == (121, 1)
    assert "[build-locked]" in result.err  # at once: the lock is not free before it has ended


def test_a_second_builder_waits_if_it_is_told_to_and_takes_what_the_first_has_built(small: Project) -> None:
    write(small, SLOW)
    wait_for_builders(small)
    first = small.start("_build", "c")
    wait_until(lambda: small.has("begun"), "the first builds")
    second = start(small, "see", "cat /mark")
    wait_until(lambda: "waiting" in small.read("told"), "the second says that it waits")
    (small.directory / "go").touch()
    assert first.finish().code == 0
    result = second.finish()
    assert (result.code, result.out) == (0, "built\n")
    assert small.read("told").count("\n") == 1


def test_a_waiting_builder_goes_on_when_the_first_is_killed(small: Project) -> None:
    write(small, SLOW)
    wait_for_builders(small)
    first = small.start("_build", "c")
    wait_until(lambda: small.has("begun"), "the first builds")
    second = start(small, "_build", "c")
    wait_until(lambda: "waiting" in small.read("told"), "the second says that it waits")
    first.signal(9)
    first.finish()
    (small.directory / "go").touch()
    assert second.finish().code == 0
    assert (root(small) / "mark").read_text() == "built\n"
    assert build(small, "--force").code == 0
    assert leftovers(small) == []


@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143)])
def test_a_signal_ends_the_wait_for_another_builder(small: Project, number: int, code: int) -> None:
    write(small, *TWO)
    wait_for_builders(small)
    fd = hold_lock(small)
    running = start(small, "_build", "c")
    wait_until(lambda: "waiting" in small.read("told"), "it says that it waits")
    running.signal(number)
    result = running.finish()  # the lock is still held
    os.close(fd)
    assert result.code == code


def test_two_builders_of_containers_with_the_same_steps_do_not_disturb_each_other(small: Project) -> None:
    slow = [f"!Sh 'echo {n} > /{n}; sleep 0.0{n}'" for n in range(1, 5)]
    names = ("c", "d", "e")
    small.write(COMMANDS, containers(*(container(name, ROOT, *slow, f"!Sh 'echo {name} > /own'") for name in names)))
    for more in ((), ("--force",), ()):
        runs = [small.start("_build", name, *more) for name in names]
        for run in runs:
            result = run.finish()
            assert result.code == 0, result
    for name in names:
        assert [(root(small, name) / str(n)).read_text() for n in range(1, 5)] == [f"{n}\n" for n in range(1, 5)]
        assert (root(small, name) / "own").read_text() == f"{name}\n"


# --- on a terminal ------------------------------------------------------------------------------------------------


def test_a_build_on_a_terminal_shows_each_step_and_then_the_command(small: Project) -> None:
    write(small, TWO[0], "!Sh 'seq 100; echo last words'")
    with Terminal(small, columns=60) as terminal, unchanged(terminal):
        terminal.run("see", "echo of the command")
        assert terminal.end(60) == 0
    assert "Building c" in terminal.text
    assert "[3/3]" in terminal.text
    assert re.search(r"Container c \([0-9a-f]{8}\) built in", terminal.text)
    assert terminal.text.endswith("of the command\n")
    assert max(map(len, terminal.lines)) < 1000


def test_a_failure_on_a_terminal_shows_the_last_output(small: Project) -> None:
    write(small, "!Sh 'seq 100; echo last words; exit 3'")
    with Terminal(small) as terminal, unchanged(terminal):
        terminal.run("_build", "c")
        assert terminal.end(60) == 121
    assert "last words" in terminal.text and "[build-failed]" in terminal.text


def test_ctrl_c_in_a_step_gives_the_prompt_back_on_a_line_of_its_own(small: Project) -> None:
    write(small, "!Sh 'echo begun > /work/begun; trap \"\" INT TERM; sleep 100; sleep 100'")
    with Terminal(small) as terminal, unchanged(terminal):
        terminal.run("_build", "c")
        terminal.until(lambda: small.has("begun"), "the step runs")
        terminal.type(CTRL_C)
        assert terminal.end(60) == 130
    assert terminal.text.endswith("\n"), terminal.text
    assert subprocess.run(("pgrep", "-f", str(small.directory)), capture_output=True, check=False).stdout == b""
    (small.directory / "begun").unlink()
    write(small, *TWO)
    build(small)
    assert leftovers(small) == []


@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143)])
def test_a_signal_ends_a_build_even_if_its_step_ignores_it(small: Project, number: int, code: int) -> None:
    write(small, "!Sh 'trap \"\" INT TERM; echo begun > /work/begun; sleep 100; sleep 100'")
    running = small.start("_build", "c")
    wait_until(lambda: small.has("begun"), "the step runs")
    running.signal(number)
    result = running.finish()  # the step would take 200 s
    assert result.code == code, result


# --- how far to go ------------------------------------------------------------------------------------------------


def test_no_build_runs_what_is_there_and_refuses_what_is_not(small: Project) -> None:
    write(small, *TWO)
    refused = small.run("--no-build", "see", "true")
    assert (refused.code, refused.out, refused.err.count("\n")) == (29, "", 1)
    assert "[not-built]" in refused.err
    build(small)
    assert small.run("--no-build", "see", "cat /one").out == "one\n"
    write(small, TWO[0])
    assert small.run("--no-build", "see", "cat /one").code == 29


def test_without_the_version_check_the_linked_root_runs(small: Project) -> None:
    write(small, *TWO)
    assert small.run("--no-version-check", "see", "true").code == 29
    build(small)
    write(small, "!Sh 'echo changed > /one'")
    assert small.run("--no-version-check", "see", "cat /one").out == "one\n"
    assert small.run("see", "cat /one").out == "changed\n"


def test_containers_only_builds_and_runs_nothing(small: Project) -> None:
    write(small, *TWO)
    result = small.run("--containers-only", "see", "touch /work/ran")
    assert (result.code, result.out) == (0, "")
    assert root(small).is_dir() and not small.has("ran")


def test_the_version_is_known_without_building_and_names_the_directory(small: Project) -> None:
    write(small, *TWO)
    told = small.run("_version_hash", "c")
    assert re.fullmatch(r"[0-9a-f]{128}\n", told.out)
    assert not (small.directory / ".vagga").exists()
    build(small)
    assert version(small).name == f"c.{told.out[:8]}"
    assert small.run("_version_hash", "--short", "c").out == f"{told.out[:8]}\n"


def change(project: Project, what: str) -> None:
    """Change one input of `c`."""
    directory = project.directory
    match what:
        case "a file":
            (directory / "src/file").write_text("other")
        case "a mode":
            (directory / "src/file").chmod(0o755)
        case "a name":
            (directory / "src/file").rename(directory / "src/renamed")
        case "a link":
            (directory / "src/link").unlink()
            (directory / "src/link").symlink_to("elsewhere")
        case "a new file":
            (directory / "src/new").touch()
        case "a dependency":
            (directory / "depended").write_text("other")
        case "an archive":
            with open(directory / "root.tar", "ab") as archive:
                archive.write(b"\0" * 512)
        case "a script" | "an option" | "ids":
            text = (directory / "vagga.yaml").read_text()
            old, new = {
                "a script": ("echo one", "echo won"),
                "an option": ("{A: b}", "{A: c}"),
                "ids": ("uids: [0-999]", "uids: [0-1000]"),
            }[what]
            assert old in text
            (directory / "vagga.yaml").write_text(text.replace(old, new))
        case "a time" | "a file beside" | "a comment":
            os.utime(directory / "src/file", (1, 1))
            if what == "a file beside":
                (directory / "beside").touch()
            if what == "a comment":
                with open(directory / "vagga.yaml", "a") as file:
                    file.write("# only words\n")
        case _:
            raise AssertionError(what)


@pytest.mark.parametrize(
    ("what", "counts"),
    [
        ("a file", True),
        ("a mode", True),
        ("a name", True),
        ("a link", True),
        ("a new file", True),
        ("a dependency", True),
        ("an archive", True),
        ("a script", True),
        ("an option", True),
        ("ids", True),
        ("a time", False),
        ("a file beside", False),
        ("a comment", False),
    ],
)
def test_a_version_depends_on_what_goes_into_the_container_and_nothing_else(
    small: Project, what: str, counts: bool
) -> None:
    source = small.directory / "src"
    source.mkdir()
    (source / "file").write_text("content")
    (source / "link").symlink_to("file")
    (small.directory / "depended").write_text("content")
    copy = "!Copy {source: /work/src, path: /src}"
    write(small, TWO[0], copy, "!Depends depended", "!Env {A: b}", uids="[0-999]")
    before = small.run("_version_hash", "c")
    assert before.code == 0, before
    assert small.run("_version_hash", "c").out == before.out
    change(small, what)
    assert (small.run("_version_hash", "c").out != before.out) == counts


def test_a_version_that_needs_another_root_is_known_when_that_is_built(small: Project) -> None:
    small.write(
        COMMANDS,
        containers(
            container("made", ROOT, "!Sh 'mkdir /out; echo x > /out/x'"),
            container("c", ROOT, "!Build {container: made, source: /out, path: /in}"),
        ),
    )
    build(small)
    assert (root(small) / "in/x").read_text() == "x\n"
    known = small.run("_version_hash", "c")
    assert (known.code, f"c.{known.out[:8]}") == (0, version(small).name)


def test_single_ids_are_enough_for_a_root_of_one_owner(small: Project) -> None:
    need(bool(shutil.which(SINGLE[0])), SINGLE[0])
    write(small, *TWO)
    result = small.run("see", "cat /one /two; id -u", under=SINGLE)
    assert (result.code, result.out) == (0, "one\ntwo\n0\n"), result
    assert small.run("see", "cat /one", under=SINGLE).err == ""
