"""Owners, places and room: other ids than at the last build, a storage that is full, read-only or in the way."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from integration.builds import (
    SINGLE,
    leftovers,
    small,
    version,
    write,
)
from integration.runs import VAGGA, Project, Result, can_nest, has_ranges, need

__all__ = ["small"]
MARK = "!Sh 'echo x > /mark'"
OWNED = "!Sh 'mkdir -m 700 /secret; echo x > /secret/x; chown -R 5:6 /secret; echo x > /mark'"


def settings(project: Project, text: str, local: bool = False) -> None:
    """Write settings of the user, or those of the project."""
    if local:
        (project.directory / ".vagga").mkdir(exist_ok=True)
        (project.directory / ".vagga" / "settings.yaml").write_text(text)
    else:
        (project.home / ".config" / "vagga").mkdir(parents=True, exist_ok=True)
        (project.home / ".config" / "vagga" / "settings.yaml").write_text(text)


def seen(project: Project, **how: object) -> Result:
    return project.run("see", "cat /mark", seconds=120, **how)


# --- ids ----------------------------------------------------------------------------------------------------------


def test_files_of_foreign_ids_are_made_kept_and_removed_without_more_rights(small: Project) -> None:
    need(has_ranges(), "more than one id")
    write(small, OWNED)
    assert small.run("see", "ls -ln /secret; stat -c %u:%g /secret /secret/x").out.endswith("5:6\n5:6\n")
    assert small.run("_build", "--no-cache", "c").code == 0
    assert leftovers(small) == []
    write(small, MARK, auto_clean="true")
    old = version(small)
    assert seen(small).code == 0
    assert not old.exists()


def test_other_ids_than_at_the_build_mean_that_it_is_built_again_and_that_is_told(small: Project) -> None:
    need(has_ranges() and can_nest(), "more than one id")
    write(small, MARK)
    assert seen(small, under=SINGLE).out == "x\n"
    again = seen(small)
    assert again.out == "x\n"
    assert "other user ids" in again.err
    assert seen(small).err == ""
    assert leftovers(small) == []


def test_files_that_the_new_ids_cannot_remove_are_told_and_do_not_hinder(small: Project) -> None:
    need(has_ranges() and can_nest(), "more than one id")
    write(small, OWNED)
    assert seen(small).code == 0
    maps = version(small) / "maps"
    maps.write_text("0 0 1\n")  # as if it had been made elsewhere
    write(small, OWNED.replace("chown -R 5:6 /secret", "true"))
    assert seen(small, under=SINGLE).out == "x\n"
    write(small, OWNED)
    assert seen(small).out == "x\n"
    assert leftovers(small) == []


# --- places -------------------------------------------------------------------------------------------------------


def test_a_storage_elsewhere_holds_roots_and_the_project_has_links(small: Project) -> None:
    storage = small.directory.parent / "storage"
    settings(small, f"storage-dir: {storage}\n")
    write(small, MARK)
    assert seen(small).out == "x\n"
    links = small.directory / ".vagga"
    assert os.readlink(links / ".lnk") == str(storage / "project")
    assert os.readlink(storage / "project" / ".lnk") == str(small.directory)
    assert os.readlink(links / "c").startswith(".lnk/.roots/c.")
    assert {path.name for path in links.iterdir()} == {".lnk", "c"}
    assert seen(small).err == ""
    shutil.rmtree(storage)


def test_a_name_that_is_taken_in_the_storage_gets_a_number(small: Project) -> None:
    storage = small.directory.parent / "storage"
    for name in ("project", "project-1"):
        (storage / name).mkdir(parents=True)
    settings(small, f"storage-dir: {storage}\n")
    write(small, MARK)
    assert seen(small).out == "x\n"
    assert os.readlink(small.directory / ".vagga/.lnk") == str(storage / "project-2")


def test_a_variable_names_the_storage_of_a_project(small: Project) -> None:
    storage = small.directory.parent / "storage"
    settings(small, f"storage-dir: {storage}\nstorage-subdir-from-env-var: JOB_NAME\n")
    write(small, MARK)
    assert seen(small, environ={"JOB_NAME": "../a b"}).out == "x\n"
    assert [path.name for path in storage.iterdir()] == ["---a-b"]
    empty = seen(small)
    assert (empty.code, empty.err.count("\n")) == (126, 1)
    assert "JOB_NAME" in empty.err and "[storage]" in empty.err


@pytest.mark.parametrize("where", ["elsewhere", "storage/gone"])
def test_a_link_to_a_storage_that_is_not_there_is_told(small: Project, where: str) -> None:
    storage = small.directory.parent / "storage"
    storage.mkdir()
    settings(small, f"storage-dir: {storage}\n")
    write(small, MARK)
    (small.directory / ".vagga").mkdir()
    (small.directory / ".vagga/.lnk").symlink_to(small.directory.parent / where)
    result = seen(small)
    assert (result.code, result.err.count("\n")) == (126, 1), result
    assert "[storage]" in result.err and ".lnk" in result.err
    assert not (small.directory.parent / where).exists()


def test_a_storage_that_is_a_link_is_refused(small: Project) -> None:
    outside = small.directory.parent / "outside"
    outside.mkdir()
    (small.directory / ".vagga").symlink_to(outside)
    write(small, MARK)
    result = seen(small)
    assert (result.code, result.err.count("\n")) == (126, 1), result
    assert "[storage]" in result.err
    assert not list(outside.iterdir())


def test_a_directory_in_the_place_of_the_link_is_told_and_left_alone(small: Project) -> None:
    (small.directory / ".vagga/c/precious").mkdir(parents=True)
    write(small, MARK)
    result = seen(small)
    assert result.code == 121, result
    assert result.err.splitlines()[-1].endswith("[storage]")
    assert (small.directory / ".vagga/c/precious").is_dir()
    assert leftovers(small) == []


def test_a_cache_that_is_not_there_is_told(small: Project) -> None:
    settings(small, "cache-dir: /does/not/exist\n")
    write(small, MARK)
    result = seen(small)
    assert (result.code, result.err.count("\n")) == (126, 1), result
    assert "/does/not/exist" in result.err


@pytest.mark.skipif(os.getuid() == 0, reason="modes do not hold root back")
def test_a_read_only_project_runs_what_is_built_and_says_why_it_cannot_build(small: Project) -> None:
    write(small, MARK)
    assert seen(small).out == "x\n"
    places = [small.directory / ".vagga", small.directory / ".vagga/.roots", small.directory / ".vagga/.layers"]
    for place in places:
        place.chmod(0o555)
    try:
        assert seen(small).out == "x\n"
        write(small, "!Sh 'echo y > /mark'")
        result = seen(small)
    finally:
        for place in places:
            place.chmod(0o755)
    assert result.code in (121, 126), result
    last = result.err.splitlines()[-1]
    assert "ermission denied" in last and last.endswith("[storage]"), result.err


# --- room ---------------------------------------------------------------------------------------------------------

FULL = """
mount -t tmpfs -o size=12m none "$1/storage" || exit 99
cd "$1/project"
shift
"$@" see 'cat /mark' || exit 98
cp vagga-full.yaml vagga.yaml
"$@" see 'cat /mark'
echo "code $?"
cp vagga-good.yaml vagga.yaml
"$@" see 'cat /mark' || exit 97
"""


@pytest.mark.parametrize("environ", [{}, {"VAGGA_NO_OVERLAY": "1"}])
def test_a_full_storage_is_told_in_one_line_and_the_root_before_it_stays(
    small: Project, environ: dict[str, str]
) -> None:
    need(can_nest(), "unshare(1) cannot make an outer world")
    storage = small.directory.parent / "storage"
    storage.mkdir()
    settings(small, f"storage-dir: {storage}\n")
    write(small, "!Sh 'dd if=/dev/zero of=/big bs=100000 count=400; echo full > /mark'")
    (small.directory / "vagga.yaml").rename(small.directory / "vagga-full.yaml")
    write(small, MARK)
    shutil.copy(small.directory / "vagga.yaml", small.directory / "vagga-good.yaml")
    words = ("unshare", "-Urm", "sh", "-c", FULL, "sh", str(small.directory.parent), *VAGGA)
    done = subprocess.run(
        words, env={**small.environ, **environ}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done
    assert done.stdout == "x\ncode 121\nx\n", done
    ours = [line for line in done.stderr.splitlines() if line.endswith("]") and line.startswith("vagga:")]
    # What the step itself says of the full disk may find no room in its log, either.
    errors = [line for line in ours if not line.startswith("vagga: c: [") and not line.endswith("[output-lost]")]
    assert len(errors) == 1 and "internal error" not in done.stderr, done.stderr


def test_a_build_works_in_a_small_memory_file_system(small: Project) -> None:
    need(can_nest(), "unshare(1) cannot make an outer world")
    write(small, MARK)
    text = 'mount -t tmpfs none .vagga && "$@" see "cat /mark" && "$@" see "cat /mark"'
    (small.directory / ".vagga").mkdir()
    words = ("unshare", "-Urm", "sh", "-c", text, "sh", *VAGGA)
    done = subprocess.run(words, cwd=small.directory, env=small.environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "x\nx\n"), done
