"""`vagga _clean` on real storages: what goes, what stays because it is used, and a dry run that changes nothing."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from integration.runs import Project, Result, has_ranges, need, wait_until
from integration.test_build_steps import small

__all__ = ["small"]

FIRST, SECOND = "!Sh 'echo one > /made'", "!Sh 'echo two > /made'"


def write(project: Project, *steps: str, more: str = "") -> None:
    setup = "".join(f"    - {step}\n" for step in ("!Tar {url: ./root.tar}", *steps))
    project.write(
        '  see: !Command {container: c, run: [/bin/sh, -c, "$0"], accepts-arguments: true}\n'
        '  wait: !Command {container: c, run: [/bin/sh, -c, "echo > /work/started; cat < /work/pipe"]}\n' + more,
        f"containers:\n  c:\n    setup:\n{setup}",
    )


def build(project: Project, *steps: str, more: str = "") -> Path:
    """Build the container `c` and return the directory of its version."""
    write(project, *steps, more=more)
    result = project.run("_build", "c")
    assert result.code == 0, result.err
    return (project.directory / ".vagga" / "c").resolve().parent


def clean(project: Project, *words: str, code: int = 0) -> Result:
    result = project.run("_clean", *words)
    assert result.code == code, result
    return result


def names(project: Project, directory: str) -> set[str]:
    path = project.directory / ".vagga" / directory
    return {name for name in os.listdir(path) if not name.endswith(".lock")} if path.is_dir() else set()


def snapshot(*tops: Path) -> dict[str, tuple[int, ...]]:
    """Return what is where, with all times but those of reading."""
    found: dict[str, tuple[int, ...]] = {}
    for top in tops:
        for here, directories, files in os.walk(top):
            for path in (here, *(os.path.join(here, name) for name in (*directories, *files))):
                status = os.lstat(path)
                found[path] = (status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return found


def test_a_dry_run_changes_nothing_at_all_and_says_what_the_real_one_removes(small: Project) -> None:
    build(small, FIRST)
    build(small, SECOND)
    (small.directory / ".vagga/.roots/.tmp.c").mkdir()
    time.sleep(2.1)  # until the cache would be written
    tops = (small.directory, small.home)
    before = snapshot(*tops)
    words = ("--tmp", "--unused", "--unused-volumes", "--old", "--transient")
    said = clean(small, *words, "-n").out
    everything = clean(small, "--everything", "--dry-run").out
    assert snapshot(*tops) == before
    assert "Would remove" in everything
    done = clean(small, *words).out
    assert done.replace("Removed", "Would remove").replace(" freed", " would be freed") == said


def test_unused_removes_old_roots_and_their_layers_and_what_is_needed_is_not_built_again(small: Project) -> None:
    old = build(small, FIRST)
    layers = names(small, ".layers")
    new = build(small, SECOND)
    assert names(small, ".roots") == {old.name, new.name}
    result = clean(small, "--unused")
    assert names(small, ".roots") == {new.name}
    assert len(names(small, ".layers")) == len(layers)
    assert old.name in result.out
    assert "freed." in result.out
    again = small.run("_build", "--force", "c")
    assert "Tar ./root.tar" in again.err
    assert clean(small, "--unused").out == "Nothing to remove.\n"
    assert small.run("see", "cat /made").out == "two\n"


def test_unused_at_least_goes_by_the_last_use(small: Project) -> None:
    old = build(small, FIRST)
    new = build(small, SECOND)
    long_ago = (new / "last_use").stat().st_mtime - 11 * 86400
    os.utime(old / "last_use", (long_ago, long_ago))
    clean(small, "--unused", "--at-least", "10days 1h")
    assert names(small, ".roots") == {new.name}
    assert len(names(small, ".layers")) > 0
    clean(small, "--unused", "--at-least", "0s")
    assert names(small, ".roots") == set()
    assert names(small, ".layers") == set()
    assert not os.path.lexists(small.directory / ".vagga/c")


def test_old_removes_what_no_link_leads_to(small: Project) -> None:
    build(small, FIRST)
    new = build(small, SECOND)
    clean(small, "--old")
    assert names(small, ".roots") == {new.name}


def test_layers_can_go_and_the_root_stays_whole(small: Project) -> None:
    build(small, FIRST)
    result = clean(small, "--layers")
    assert names(small, ".layers") == set()
    assert "Removed" in result.out
    assert small.run("see", "cat /made").out == "one\n"


def test_tmp_removes_the_rest_of_a_build_that_failed_and_entries_of_projects_that_are_gone(small: Project) -> None:
    write(small, "!Sh 'false'")
    assert small.run("_build", "c").code == 121
    assert ".tmp.c" in names(small, ".roots")
    gone = small.directory.parent / "gone"
    gone.mkdir()
    shutil.copy(small.directory / "vagga.yaml", gone)
    time.sleep(2.1)  # younger files are not kept in the cache
    entries = small.home / ".cache/vagga"
    assert small.run("_list").code == 0
    kept = set(os.listdir(entries))
    assert small.run("_list", cwd=gone).code == 0
    assert len(set(os.listdir(entries)) - kept) == 1
    shutil.rmtree(gone)
    clean(small, "--tmp")
    assert names(small, ".roots") == set()
    assert set(os.listdir(entries)) == kept


def test_a_root_that_a_program_runs_in_stays_until_it_has_ended(small: Project) -> None:
    used = build(small, FIRST)
    os.mkfifo(small.directory / "pipe")
    running = small.start("wait")
    wait_until(lambda: small.has("started"), "the program")
    result = clean(small, "--everything")
    assert f"{used} stays" in result.err
    assert names(small, ".roots") == {used.name}
    assert (small.directory / ".vagga/c").exists()
    (small.directory / "pipe").write_text("on\n")
    assert running.finish().out == "on\n"
    clean(small, "--everything")
    assert not (small.directory / ".vagga").exists()


def test_a_root_is_free_again_after_its_run_was_killed(small: Project) -> None:
    build(small, FIRST)
    os.mkfifo(small.directory / "pipe")
    running = small.start("wait")
    wait_until(lambda: small.has("started"), "the program")
    running.signal(signal.SIGKILL)
    running.finish()
    wait_until(lambda: "stays" not in clean(small, "--everything").err, "the lock")
    assert not (small.directory / ".vagga").exists()


def test_cleaning_that_was_killed_at_any_moment_is_finished_by_the_next(small: Project) -> None:
    for delay in (0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6):
        build(small, FIRST)
        running = small.start("_clean", "--everything")
        time.sleep(delay)
        running.signal(signal.SIGKILL)
        running.finish()
        wait_until(lambda: clean(small, "--everything").err == "", "the end of the worker")
        assert not (small.directory / ".vagga").exists()


def test_what_is_being_built_stays(small: Project) -> None:
    os.mkfifo(small.directory / "pipe")
    write(small, "!Sh 'echo > /work/started; cat < /work/pipe'")
    building = small.start("_build", "c")
    wait_until(lambda: small.has("started"), "the step")
    result = clean(small, "--tmp", "--layers")
    assert result.err.count("is being built") >= 2
    assert result.out == "Nothing to remove.\n"
    (small.directory / "pipe").write_text("on\n")
    done = building.finish()
    assert done.code == 0, done.err


def test_a_lock_that_somebody_holds_is_respected_in_a_dry_run_too(small: Project) -> None:
    build(small, FIRST)
    (small.directory / ".vagga/.roots/.tmp.c").mkdir()
    with open(small.directory / ".vagga/.roots/.tmp.c.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for words in (("--tmp",), ("--tmp", "-n")):
            result = clean(small, *words)
            assert "container c is being built" in result.err
            assert result.out == "Nothing to remove.\n"
    clean(small, "--tmp")
    assert ".tmp.c" not in names(small, ".roots")


def test_files_of_foreign_ids_go_too(small: Project) -> None:
    need(has_ranges(), "more than one id")
    build(small, "!Sh 'mkdir -p /a/b; echo x > /a/b/c; chmod 700 /a /a/b; chown -R 7:8 /a'")
    result = clean(small, "--everything")
    assert not (small.directory / ".vagga").exists()
    assert result.err == ""


VOLUMES = """\
  fill: !Command
    container: c
    run: [/bin/sh, -c, "echo > /v/file"]
    volumes: {/v: !Persistent NAME}
"""


def test_volumes_go_when_they_are_not_named_any_more_or_when_all_are_meant(small: Project) -> None:
    for name in ("one", "two"):
        build(small, FIRST, "!EnsureDir /v", more=VOLUMES.replace("NAME", name))
        assert small.run("fill").code == 0
    clean(small, "--unused-volumes")
    assert names(small, ".volumes") == {"two"}
    clean(small, "--volumes")
    assert names(small, ".volumes") == set()


def test_volumes_that_a_program_uses_stay(small: Project) -> None:
    os.mkfifo(small.directory / "pipe")
    build(
        small,
        FIRST,
        "!EnsureDir /v",
        more=VOLUMES.replace("NAME", "one").replace("/v/file", "/v/file; cat < /work/pipe"),
    )
    running = small.start("fill")
    wait_until(lambda: (small.directory / ".vagga/.volumes/one/file").exists(), "the program")
    assert "stays" in clean(small, "--volumes").err
    assert names(small, ".volumes") == {"one"}
    (small.directory / "pipe").write_text("on\n")
    assert running.finish().code == 0


def test_what_is_not_ours_stays_whatever_is_removed(small: Project) -> None:
    build(small, FIRST)
    mine = small.directory / ".vagga" / "settings.yaml"
    mine.write_text("build-lock-wait: true\n")
    (small.directory / ".vagga/.roots/other").mkdir()
    clean(small, "--everything")
    assert mine.exists()
    assert names(small, ".roots") == {"other"}


def test_a_wrong_vagga_yaml_matters_only_where_it_must_be_known(small: Project) -> None:
    build(small, FIRST)
    (small.directory / ".vagga/.roots/.tmp.c").mkdir()
    (small.directory / "vagga.yaml").write_text("containers: nonsense\n")
    result = clean(small, "--tmp")
    assert "vagga.yaml is wrong, which does not matter for this" in result.err
    assert ".tmp.c" not in names(small, ".roots")
    assert clean(small, "--unused", code=126).out == ""
    assert clean(small, "--unused-volumes", code=126).out == ""
    clean(small, "--unused", "--at-least", "0s")
    assert names(small, ".roots") == set()
    clean(small, "--everything")
    assert not (small.directory / ".vagga").exists()


def test_a_project_that_has_no_place_in_the_storage_yet_cleans_no_other_one_of_its_name(
    small: Project, tmp_path: Path
) -> None:
    settings = {"VAGGA_SETTINGS": f"storage-dir: {tmp_path}/storage"}
    write(small, FIRST)
    assert small.run("_build", "c", environ=settings).code == 0
    other = tmp_path / "elsewhere" / "project"
    other.mkdir(parents=True)
    shutil.copy(small.directory / "vagga.yaml", other)
    for words in (("--everything",), ("--unused",)):
        result = small.run("_clean", *words, cwd=other, environ=settings)
        assert (result.code, result.out) == (0, "Nothing to remove.\n"), result
    assert (small.directory / ".vagga" / "c").exists()


def test_global_cleans_every_project_of_the_storage(small: Project, tmp_path: Path) -> None:
    settings = {"VAGGA_SETTINGS": f"storage-dir: {tmp_path}/storage"}
    other = tmp_path / "other"
    other.mkdir()
    write(small, FIRST)
    for name in ("vagga.yaml", "root.tar"):
        shutil.copy(small.directory / name, other)
    for place in (small.directory, other):
        assert small.run("_build", "c", environ=settings, cwd=place).code == 0
    result = small.run("_clean", "--unused", "--at-least", "1h", "--global", environ=settings)
    assert (result.code, result.out) == (0, "Nothing to remove.\n"), result
    result = small.run("_clean", "--unused", "--at-least", "0s", "--global", environ=settings)
    assert result.code == 0, result
    assert result.out.count("/c.") == 2
    assert not os.path.lexists(other / ".vagga/c")
    result = small.run("_clean", "--everything", "--global", environ=settings)
    assert result.code == 0, result
    assert os.listdir(tmp_path / "storage") == []
    assert not (other / ".vagga").exists()
    result = small.run("_clean", "--everything", "--global")
    assert result.code == 2
    assert "[clean-combination]" in result.err


@pytest.mark.skipif(os.getuid() == 0, reason="root may remove everything")
def test_what_cannot_be_removed_ends_with_3(small: Project) -> None:
    build(small, FIRST)
    roots = small.directory / ".vagga/.roots"
    roots.chmod(0o555)
    try:
        result = clean(small, "--everything", code=3)
    finally:
        roots.chmod(0o755)
    assert "Error cleaning up: " in result.err
    assert "[clean-failed]" in result.err
