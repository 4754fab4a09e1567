"""Steps that need no distribution, in builds of a small root: a static busybox in an archive that the test makes."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import shutil
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.runs import Project, Result, has_ranges, need

APPLETS = (
    "cat",
    "chmod",
    "cp",
    "env",
    "find",
    "id",
    "ip",
    "ls",
    "mkdir",
    "readlink",
    "rm",
    "sh",
    "stat",
    "touch",
    "true",
)
BUSYBOX = next((path for path in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(path)), "")
GIT = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_CONFIG_NOSYSTEM": "1",
    "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
}


def archive(path: Path, files: dict[str, str], mode: int = 0o644) -> None:
    """Make a tar archive of texts; a text that begins with `->` is a link."""
    with tarfile.open(path, "w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.mode = mode
            if text.startswith("->"):
                member.type = tarfile.SYMTYPE
                member.linkname = text[2:]
                tar.addfile(member)
            else:
                member.size = len(text.encode())
                tar.addfile(member, io.BytesIO(text.encode()))


@pytest.fixture
def small(project: Project) -> Project:
    """Return a project with `root.tar`: a root with a shell and little else."""
    need(bool(BUSYBOX), "busybox")
    with tarfile.open(project.directory / "root.tar", "w") as tar:
        program = tarfile.TarInfo("bin/busybox")
        program.mode, program.size = 0o755, os.path.getsize(BUSYBOX)
        with open(BUSYBOX, "rb") as file:
            tar.addfile(program, file)
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return project


def build(project: Project, *steps: str, others: str = "") -> Result:
    """Build the container `c` of some steps, after the small root."""
    setup = "".join(f"    - {step}\n" for step in ("!Tar {url: ./root.tar}", *steps))
    project.write(
        '  see: !Command {container: c, run: [/bin/sh, -c, "$@", --]}\n',
        f"containers:\n  c:\n    setup:\n{setup}{others}",
    )
    return project.run("_build", "c")


def built(project: Project, *steps: str, others: str = "") -> Path:
    """Return the root that some steps make."""
    result = build(project, *steps, others=others)
    assert result.code == 0, result.err
    return (project.directory / ".vagga" / "c").resolve()


# --- scripts ------------------------------------------------------------------------------------------------------


def test_scripts_run_as_root_in_the_project_with_a_clean_environment(small: Project) -> None:
    root = built(small, "!Env {STAGE: build}", "!Sh 'id -u > /ids; pwd >> /ids; env > /env'", "!Cmd [touch, /touched]")
    assert (root / "ids").read_text() == "0\n/work\n"
    names = {line.partition("=")[0] for line in (root / "env").read_text().splitlines()}
    assert "STAGE=build\n" in (root / "env").read_text()
    assert names - {"TERM", "HOME", "PATH", "STAGE", "PWD", "SHLVL", "OLDPWD"} <= {
        name for name in names if name.lower().endswith("_proxy") or "CERT" in name or "CA" in name
    }
    assert (root / "touched").exists()


def test_a_script_that_fails_ends_the_build_and_leaves_no_root(small: Project) -> None:
    result = build(small, "!Sh 'false || exit 7'")
    assert result.code == 121
    assert "[build-failed]" in result.err
    assert "7" in result.err
    assert not (small.directory / ".vagga" / "c").exists()


def test_a_script_runs_as_the_user_that_it_names(small: Project) -> None:
    need(has_ranges(), "more than one id")
    root = built(
        small,
        "!Sh 'mkdir -p /out/sub; chmod 777 /out /out/sub'",
        "!RunAs {script: 'id > ids', user-id: 7, group-id: 8, supplementary-gids: [9], work-dir: /out/sub}",
    )
    # Some busybox name the group itself among the others, some do not.
    assert (root / "out/sub/ids").read_text().split() in (["uid=7", "gid=8", f"groups={g}"] for g in ("9", "8,9"))


def test_a_script_without_a_network_sees_the_loopback_only(small: Project) -> None:
    root = built(small, "!RunAs {script: 'cat /proc/net/dev > /seen', isolate-network: true}")
    interfaces = [line.split(":")[0].strip() for line in (root / "seen").read_text().splitlines() if ":" in line]
    assert interfaces == ["lo"]


# --- files --------------------------------------------------------------------------------------------------------


def test_files_are_written_and_directories_made_emptied_and_removed(small: Project) -> None:
    root = built(
        small,
        "!EnsureDir /srv/data",
        "!Text {/srv/one: hello}",
        "!Sh 'mkdir /full /gone; touch /full/x /gone/x; rm -r /srv/data'",
        "!EmptyDir /full",
        "!Remove /gone",
        "!Sh 'touch /full/y; mkdir /gone'",
    )
    assert (root / "srv/one").read_text() == "hello"
    assert (root / "srv/data").is_dir()
    assert list((root / "full").iterdir()) == []
    assert not (root / "gone").exists()


def test_a_directory_of_the_cache_is_seen_by_later_steps_and_is_not_in_the_root(small: Project) -> None:
    steps = ("!CacheDirs {/kept: mine}", "!Sh 'ls /kept > /seen; touch /kept/file'")
    first = built(small, *steps)
    assert (first / "seen").read_text() == ""
    second = built(small, *steps, "!Sh 'ls /kept > /seen'")
    assert (second / "seen").read_text() == "file\n"
    assert list((second / "kept").iterdir()) == []


def test_a_copy_holds_what_is_selected_with_modes_by_umask(small: Project) -> None:
    source = small.directory / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep/a.py").write_text("a")
    (source / "deep/a.pyc").write_text("b")
    (source / "run").write_text("c")
    (source / "run").chmod(0o700)
    (source / "left.bak").write_text("d")
    root = built(
        small,
        "!Copy {source: /work/source, path: /all, umask: 0o027}",
        "!Copy {source: /work/source, path: /some, rules: [/deep, '!*.pyc']}",
    )
    names = {str(path.relative_to(root)) for top in ("all", "some") for path in (root / top).rglob("*")}
    assert names == {"all/deep", "all/deep/a.py", "all/deep/a.pyc", "all/run", "some/deep", "some/deep/a.py"}
    assert (root / "all/run").stat().st_mode & 0o777 == 0o750
    assert (root / "all/deep/a.py").stat().st_mode & 0o777 == 0o640


def test_a_file_that_is_depended_on_gives_a_new_version_when_it_changes(small: Project) -> None:
    (small.directory / "input").write_text("1")
    first = built(small, "!Depends input")
    assert built(small, "!Depends input") == first
    (small.directory / "input").write_text("2")
    assert built(small, "!Depends input") != first


# --- archives -----------------------------------------------------------------------------------------------------


def test_archives_of_the_project_are_unpacked_and_their_content_counts(small: Project) -> None:
    archive(small.directory / "x.tar", {"top/one": "1", "top/two": "->one", "other": "3"})
    steps = ("!Tar {url: ./x.tar, path: /opt/x, subdir: top}",)
    first = built(small, *steps)
    assert sorted(path.name for path in (first / "opt/x").iterdir()) == ["one", "two"]
    assert (first / "opt/x/two").readlink() == Path("one")
    archive(small.directory / "x.tar", {"top/one": "changed"})
    second = built(small, *steps)
    assert second != first
    assert (second / "opt/x/one").read_text() == "changed"


def test_zip_archives_are_unpacked(small: Project) -> None:
    with zipfile.ZipFile(small.directory / "x.zip", "w") as packed:
        packed.writestr("top/one", "1")
    root = built(small, "!Unzip {url: ./x.zip, path: /opt, subdir: top}")
    assert (root / "opt/one").read_text() == "1"


def test_a_sum_of_a_file_of_the_project_is_checked(small: Project) -> None:
    (small.directory / "tool").write_text("#!/bin/sh\n")
    right = hashlib.sha256(b"#!/bin/sh\n").hexdigest()
    root = built(small, f"!Download {{url: ./tool, path: /bin/tool, mode: 0o755, sha256: {right}}}")
    assert (root / "bin/tool").stat().st_mode & 0o777 == 0o755
    result = build(small, f"!Download {{url: ./tool, path: /bin/tool, sha256: '{'0' * 64}'}}")
    assert result.code == 121


def test_a_source_archive_is_entered_and_its_script_run(small: Project) -> None:
    archive(small.directory / "program.tar", {"program-1/content": "1", "program-1/sub/content": "2"})
    root = built(
        small,
        "!TarInstall {url: ./program.tar, script: 'cp content /one'}",
        "!TarInstall {url: ./program.tar, subdir: program-1/sub, script: 'cp content /two'}",
    )
    assert (root / "one").read_text() + (root / "two").read_text() == "12"
    assert list((root / "tmp").iterdir()) == []


def test_a_source_archive_with_two_directories_is_refused_unless_one_is_named(small: Project) -> None:
    archive(small.directory / "two.tar", {"a/x": "", "b/x": ""})
    result = build(small, "!TarInstall {url: ./two.tar, script: 'true'}")
    assert result.code == 121
    assert "does not hold exactly one directory" in result.err


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Return the address of a server with the files of `served`."""
    (tmp_path / "served").mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *words: object) -> None:
            super().__init__(*words, directory=str(tmp_path / "served"))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_downloads_are_fetched_once_and_checked(small: Project, server: str, tmp_path: Path) -> None:
    (tmp_path / "served/file").write_text("content")
    sum_ = hashlib.sha256(b"content").hexdigest()
    small.environ["no_proxy"] = "127.0.0.1"
    root = built(small, f"!Download {{url: '{server}/file', path: /file, sha256: {sum_}}}")
    assert (root / "file").read_text() == "content"
    (tmp_path / "served/file").unlink()
    step = f"!Download {{url: '{server}/file', path: /again, sha256: {sum_}}}"
    assert (built(small, step) / "again").read_text() == "content"
    result = build(small, f"!Download {{url: '{server}/nothing', path: /x}}")
    assert result.code != 0
    assert f"{server}/nothing" in result.err


# --- git ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def repository(small: Project) -> Path:
    """Return a repository in the project, with a tag and a commit after it."""
    need(bool(shutil.which("git")), "git")
    place = small.directory / "repository"
    place.mkdir()
    (place / "file").write_text("1")
    for words in (
        ("init", "-q", "-b", "main"),
        ("add", "."),
        ("commit", "-qm", "one"),
        ("tag", "-am", "one", "v1.0"),
        ("commit", "-qm", "two", "--allow-empty"),
    ):
        subprocess.run(("git", *words), cwd=place, env={**GIT, "HOME": str(small.home)}, check=True)
    return place


def test_files_of_a_repository_are_taken_without_its_history(small: Project, repository: Path) -> None:
    (repository / "file").write_text("not committed")
    root = built(
        small,
        "!Git {url: ./repository, path: /src, revision: v1.0}",
        "!GitInstall {url: ./repository, branch: main, script: 'cp file /installed'}",
    )
    assert [path.name for path in (root / "src").iterdir()] == ["file"]
    assert (root / "installed").read_text() == "1"


def test_a_description_is_written_and_counts(small: Project, repository: Path) -> None:
    step = "!GitDescribe {repo: repository, output-file: /version}"
    root = built(small, step)
    assert (root / "version").read_text().startswith("v1.0-1-g")
    git = {**GIT, "HOME": str(small.home)}
    subprocess.run(("git", "tag", "-am", "two", "v2.0"), cwd=repository, env=git, check=True)
    assert (built(small, step) / "version").read_text() == "v2.0"


# --- other containers ---------------------------------------------------------------------------------------------

BASE = "  base:\n    setup:\n    - !Tar {url: ./root.tar}\n    - !Sh 'mkdir /made; touch /made/here /made/x.a'\n"


def test_files_of_another_container_are_copied_or_seen_for_a_while(small: Project) -> None:
    root = built(
        small,
        "!Build {container: base, source: /made, path: /all}",
        "!Build {container: base, source: /made, path: /some, rules: [/here]}",
        "!Build {container: base, temporary-mount: /mnt/base}",
        "!Sh 'ls /mnt/base/made > /seen; ! touch /mnt/base/made/no'",
        others=BASE,
    )
    assert sorted(path.name for path in (root / "all").iterdir()) == ["here", "x.a"]
    assert sorted(path.name for path in (root / "some").iterdir()) == ["here"]
    assert (root / "seen").read_text() == "here\nx.a\n"
    assert list((root / "mnt/base").iterdir()) == []


def test_steps_of_another_file_are_done_here(small: Project) -> None:
    (small.directory / "other.yaml").write_text("containers:\n  part:\n    setup:\n    - !Text {/part: of another}\n")
    root = built(small, "!SubConfig {path: other.yaml, container: part}")
    assert (root / "part").read_text() == "of another"


def test_another_container_is_begun_with(small: Project) -> None:
    small.write(
        "  see: !Command {container: c, run: [/bin/ls, /made]}\n",
        f"containers:\n{BASE}  c: {{setup: [!Container base]}}\n",
    )
    result = small.run("see")
    assert (result.code, result.out) == (0, "here\nx.a\n"), result.err
