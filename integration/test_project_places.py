"""The project is at /work and at its own path, wherever it lies and whatever it is called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from integration.runs import HOST, Project, can_nest, command, holds_ourselves, need
from vaggapy.sandbox.operations import inside

LOOK = "pwd -P; cat file; echo from > made-inside"


def prepared(directory: Path, home: Path, text: str = LOOK) -> Project:
    """Return a project in a directory that may not exist yet."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "file").write_text("content\n")
    project = Project(directory, home)
    project.write(command("c", text))
    return project


@pytest.mark.parametrize(
    "name",
    ["with space", "ünïcödé ✓", "new\nline", "co:lon,comma", "quote'\"`$x", "back\\slash", "-dash", "#hash", "x" * 200],
)
def test_a_project_may_have_any_name(tmp_path: Path, name: str) -> None:
    project = prepared(tmp_path / name / "p", tmp_path)
    result = project.run("c")
    assert (result.code, result.out, result.err) == (0, "/work\ncontent\n", "")
    assert project.read("made-inside") == "from\n"
    own = prepared(tmp_path / name / "p", tmp_path, 'cd "$P" && cat file && pwd -P').run(
        "-E", f"P={project.directory}", "c"
    )
    assert (own.code, own.out) == (0, f"content\n{project.directory}\n"), own


def test_a_project_may_have_a_name_that_is_no_text(tmp_path: Path) -> None:
    project = prepared(tmp_path / os.fsdecode(b"\xff\xfe"), tmp_path)
    assert project.run("c").code == 0
    assert project.run("--dry-run", "c").code == 0
    assert project.run("unknown").code == 121


PLACES = ("/home/u/p", "/root/p", "/srv/p", "/opt/a/b/p", "/usr/src/p", "/var/lib/p", "/run/p", "/dev/shm/p")


@pytest.mark.parametrize("place", [*PLACES, "/srv", "/home", "/opt", "/mnt/deep/er/p"])
def test_a_project_may_be_anywhere(project: Project, place: str) -> None:
    need(can_nest(), "unshare(1) cannot make an outer world")
    top = place if place.count("/") == 1 else os.path.dirname(place)
    while not os.path.isdir(top):
        top = os.path.dirname(top)
    if holds_ourselves(top) or inside(str(project.directory), top):
        pytest.skip("what runs this test lies there itself")
    project.write(command("c", "pwd -P; cat vagga.yaml | wc -l; cd $PLACE && ls && touch made && ls /work"))
    prepare = f'mount -t tmpfs none {top} && mkdir -p {place} && cp vagga.yaml {place} && cd {place} && exec "$@"'
    result = project.run("-E", f"PLACE={place}", "c", under=("unshare", "-Urm", "sh", "-c", prepare, "sh"))
    assert (result.code, result.out.split()[2:]) == (0, ["vagga.yaml", "made", "vagga.yaml"]), result
    assert result.out.startswith("/work\n")


@pytest.mark.parametrize("home", ["the project", "its parent", "below it"])
def test_a_home_around_or_in_the_project_does_not_hide_it(project: Project, home: str) -> None:
    inner = project.directory / "home"
    inner.mkdir()
    (inner / "file").write_text("kept")
    place = {"the project": project.directory, "its parent": project.directory.parent, "below it": inner}[home]
    project.write(command("c", f"ls; cat home/file; ls {project.directory}"))
    result = project.run("c", environ={"HOME": str(place), "XDG_CACHE_HOME": str(project.home)})
    assert result.out.split() == ["home", "vagga.yaml", "kepthome", "vagga.yaml"], result


def test_vagga_yaml_in_the_root_directory_is_refused_before_anything_is_mounted(project: Project) -> None:
    need(can_nest(), "unshare(1) cannot make an outer world")
    project.write(command("c", "touch made"))
    text = """
        set -e
        mkdir new && mount -t tmpfs none new
        for entry in /*; do
            if [ -L $entry ]; then cp -P $entry new$entry; continue; fi
            if [ -d $entry ]; then mkdir new$entry && mount --rbind $entry new$entry 2>/dev/null || true; fi
        done
        cp vagga.yaml new; mkdir -p new/old; cd new
        pivot_root . old; umount -l old; cd /
        exec "$@"
    """
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    result = project.run("c", under=("unshare", "-Urm", "sh", "-c", text, "sh"), environ={"PATH": path})
    assert (result.code, result.out, result.err.count("\n")) == (126, "", 1), result
    assert "[project-is-root]" in result.err


@pytest.mark.parametrize("place", ["/tmp", "/run", "/dev/shm"])
def test_a_private_place_may_itself_be_the_project(project: Project, place: str) -> None:
    need(can_nest(), "unshare(1) cannot make an outer world")
    if holds_ourselves(place):
        pytest.skip("what runs this test lies there itself")
    project.write(command("c", f"cat file; touch made; ls -A {place}"))
    prepare = f"""
        mount -t tmpfs none /srv; cp vagga.yaml /srv/; mount --bind /srv {place}
        cd {place}; echo content > file; exec "$@"
    """
    result = project.run("c", under=("unshare", "-Urm", "sh", "-c", prepare, "sh"))
    assert (result.code, "content" in result.out, "vagga.yaml" in result.out) == (0, True, False), result


def test_a_project_that_is_reached_by_a_link_is_where_the_link_leads(tmp_path: Path) -> None:
    project = prepared(tmp_path / "real", tmp_path, 'pwd -P; echo "$PWD"; cat file; ls -d "$REAL"')
    (tmp_path / "link").symlink_to(tmp_path / "real")
    result = project.run("-E", f"REAL={project.directory}", "c", cwd=tmp_path / "link")
    assert result.out.split() == ["/work", "/work", "content", str(project.directory)], result


def test_the_current_directory_is_mirrored(project: Project) -> None:
    deep = project.directory / "a" / "b c"
    deep.mkdir(parents=True)
    project.write(command("c", "pwd -P; touch here"))
    assert project.run("c", cwd=deep).out == "/work/a/b c\n"
    assert (deep / "here").exists()
    assert project.run("c", cwd=deep.parent).out == "/work/a\n"
    assert project.run("c").out == "/work\n"


def test_a_directory_that_a_link_in_the_project_leads_to_is_entered_by_its_real_name(project: Project) -> None:
    (project.directory / "real").mkdir()
    (project.directory / "link").symlink_to("real")
    project.write(command("c", "pwd -P"))
    assert project.run("c", cwd=project.directory / "link").out == "/work/real\n"


@pytest.mark.parametrize(
    ("work_dir", "expected"),
    [
        ("sub", "/work/sub"),
        ("/usr/bin", "/usr/bin"),
        (".", "/work"),
        ("sub/..", "/work"),
        ("/", "/"),
        ("/work/sub", "/work/sub"),
    ],
)
def test_a_work_dir_is_joined_to_work_and_wins_over_the_current_directory(
    project: Project, work_dir: str, expected: str
) -> None:
    (project.directory / "sub").mkdir()
    (project.directory / "other").mkdir()
    project.write(command("c", "pwd -P", work_dir=work_dir))
    assert project.run("c", cwd=project.directory / "other").out == f"{expected}\n"


def test_a_file_option_runs_a_project_from_elsewhere(project: Project, tmp_path: Path) -> None:
    project.write(command("c", "pwd -P; touch made"))
    (tmp_path / "elsewhere").mkdir()
    result = project.run("-f", str(project.directory / "vagga.yaml"), "c", cwd=tmp_path / "elsewhere")
    assert (result.code, result.out) == (0, "/work\n"), result
    assert project.has("made")


@pytest.mark.parametrize("words", [("c",), ("_run", "host", "true"), ("_list",), ()])
def test_a_current_directory_that_was_deleted_is_told_in_one_line(
    project: Project, tmp_path: Path, words: tuple[str, ...]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    under = ("sh", "-c", 'cd "$1" && rmdir "$1" && shift && exec "$@"', "sh", str(gone))
    project.write(command("c", "true"))
    result = project.run(*words, under=under)
    lines = [line for line in result.err.splitlines() if "current directory" in line]
    assert result.code == 126 and len(lines) == 1, result
    assert "[internal]" not in result.err and "Traceback" not in result.err


def test_a_directory_of_the_project_that_vanishes_while_children_run_harms_nothing(project: Project) -> None:
    sub = project.directory / "sub"
    sub.mkdir()
    project.write(command("c", "rmdir /work/sub; cd /work; echo alive; exit 3"))
    result = project.run("c", cwd=sub)
    assert (result.code, result.out) == (3, "alive\n"), result


def test_mounts_inside_of_the_project_are_visible(project: Project) -> None:
    need(can_nest(), "unshare(1) cannot make an outer world")
    (project.directory / "mounted").mkdir()
    project.write(
        command("c", f"cat mounted/file; cat {project.directory}/mounted/file; touch mounted/made && echo made")
    )
    prepare = 'mount -t tmpfs none mounted; echo deep > mounted/file; exec "$@"'
    result = project.run("c", under=("unshare", "-Urm", "sh", "-c", prepare, "sh"))
    assert result.out.split() == ["deep", "deep", "made"], result


def test_a_virtual_environment_in_the_project_works_at_both_paths(project: Project) -> None:
    """Its scripts hold the absolute path of the project."""
    tools = project.directory / "venv" / "bin"
    tools.mkdir(parents=True)
    (tools / "interpreter").symlink_to("/bin/sh")
    (tools / "tool").write_text(f"#!{tools}/interpreter\necho tool\n")
    (tools / "tool").chmod(0o755)
    project.write(command("c", ["venv/bin/tool"]) + command("d", [str(tools / "tool")]), HOST)
    assert [project.run(name).out for name in "cd"] == ["tool\n", "tool\n"]
