"""Home directories are hidden, unless asked for; what is missing only for that reason is said so.

The tests need a home outside of /tmp, which is private anyway: an outer mount namespace has one below /srv.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from integration.runs import Project, Result, can_nest, command, holds_ourselves, need

HOME = "/srv/u"
PREPARE = r"""
set -e
mount -t tmpfs none /srv
mkdir -p /srv/u/bin /srv/u/data /srv/u/project /srv/bin
printf '#!/bin/sh\necho tool\n' > /srv/u/bin/hometool
printf '#!/srv/u/bin/sh\necho script\n' > /srv/bin/homescript
printf '#!/srv/bin/sh\necho script\n' > /srv/bin/homelink
cp /bin/sh /srv/u/bin/sh
chmod +x /srv/u/bin/* /srv/bin/*
ln -s /srv/u/bin/hometool /srv/bin/linked
ln -s /srv/u/bin/sh /srv/bin/sh
echo secret > /srv/u/data/file
exec "$@"
"""
CONTAINERS = """containers:
  hidden: {setup: [!Host]}
  open: {setup: [!Host {home: read-only}]}
  file: {setup: [!Host {expose: [/srv/u/bin/hometool]}]}
  directory: {setup: [!Host {expose: [/srv/u/data, /srv/u/bin]}]}
"""


def run(project: Project, text: str, *words: str, **environ: str) -> Result:
    """Run vagga where HOME is below /srv and has a program and some data."""
    need(can_nest() and not holds_ourselves("/srv"), "an outer world with a home below /srv cannot be made")
    project.write(text, CONTAINERS)
    under = ("unshare", "-Urm", "sh", "-c", PREPARE, "sh")
    return project.run(*(words or ("c",)), under=under, environ={"HOME": HOME, **environ})


def test_a_home_below_a_visible_directory_is_empty_and_read_only(project: Project) -> None:
    text = "ls -A /srv /srv/u; touch /srv/u/x 2>/dev/null || echo refused"
    result = run(project, command("c", text, container="hidden"))
    assert result.out.split() == ["/srv:", "bin", "u", "/srv/u:", "refused"], result


def test_a_visible_home_is_read_only(project: Project) -> None:
    text = "cat /srv/u/data/file; /srv/u/bin/hometool; touch /srv/u/x 2>/dev/null || echo refused; echo $HOME"
    result = run(project, command("c", text, container="open"))
    assert result.out.split() == ["secret", "tool", "refused", "/tmp"], result


def test_one_exposed_file_of_a_home_is_visible_and_nothing_else(project: Project) -> None:
    text = "find /srv/u -type f; /srv/u/bin/hometool; touch /srv/u/bin/x 2>/dev/null || echo refused"
    result = run(project, command("c", text, container="file"))
    assert result.out.split() == ["/srv/u/bin/hometool", "tool", "refused"], result


def test_exposed_directories_are_read_only(project: Project) -> None:
    text = "ls /srv/u; cat /srv/u/data/file; touch /srv/u/data/x 2>/dev/null || echo refused"
    result = run(project, command("c", text, container="directory"))
    assert result.out.split() == ["bin", "data", "secret", "refused"], result


@pytest.mark.parametrize(
    ("program", "named"),
    [
        ("/srv/u/bin/hometool", "/srv/u/bin/hometool"),
        ("hometool", "/srv/u/bin/hometool"),
        ("/srv/bin/linked", "/srv/u/bin/hometool"),
        ("linked", "/srv/u/bin/hometool"),
        ("/srv/bin/homescript", "/srv/u/bin/sh"),
        ("/srv/bin/homelink", "/srv/u/bin/sh"),
        ("homescript", "/srv/u/bin/sh"),
    ],
)
@pytest.mark.parametrize("path", ["the caller's", "the command's"])
def test_a_program_that_only_a_hidden_home_has_is_explained(
    project: Project, program: str, named: str, path: str
) -> None:
    """supervision 1.3."""
    inside = {"PATH": "/usr/bin:/bin:/srv/bin"}
    outside = {}
    if path == "the caller's":
        outside["PATH"] = os.environ["PATH"] + ":/srv/u/bin:/srv/bin"
    else:
        inside["PATH"] += ":/srv/u/bin"
    result = run(project, command("c", [program], container="hidden", environ=inside), **outside)
    assert (result.code, result.out, result.err.count("\n")) == (127, "", 1), result
    assert f"{named} lies in a home directory" in result.err
    assert "home: read-only" in result.err and "expose" in result.err
    assert "[program-in-hidden-home]" in result.err


def test_what_no_home_has_either_is_just_not_found(project: Project) -> None:
    result = run(project, command("c", ["/srv/u/bin/none"], container="hidden"))
    assert (result.code, "[program-not-found]" in result.err) == (127, True), result


def test_a_work_dir_in_a_hidden_home_is_explained(project: Project) -> None:
    result = run(project, command("c", ["true"], container="hidden", work_dir="/srv/u/data"))
    assert (result.code, result.err.count("\n")) == (127, 1), result
    assert "hidden home" in result.err and "[work-dir]" in result.err


def test_a_project_in_a_hidden_home_is_visible_and_its_missing_programs_are_just_not_found(project: Project) -> None:
    inner = (
        '  c: !Command {container: hidden, run: [%s]}\n  look: !Command {container: hidden, run: "ls -A /srv/u; ls"}\n'
    )
    need(can_nest() and not holds_ourselves("/srv"), "an outer world with a home below /srv cannot be made")
    for program in ("./none", "/srv/u/project/none", "/work/none"):
        project.write(inner % program, CONTAINERS)
        prepare = PREPARE.replace('exec "$@"', 'cp vagga.yaml /srv/u/project; cd /srv/u/project; exec "$@"')
        under = ("unshare", "-Urm", "sh", "-c", prepare, "sh")
        missing = project.run("c", under=under, environ={"HOME": HOME})
        assert (missing.code, "[program-not-found]" in missing.err) == (127, True), missing
        look = project.run("look", under=under, environ={"HOME": HOME})
        assert look.out.split() == ["project", "vagga.yaml"], look


@pytest.mark.parametrize("home", ["/", "/usr", "/etc", "relative", "", "/nonexistent"])
def test_a_strange_home_of_the_caller_hides_nothing_of_the_system(project: Project, home: str) -> None:
    project.write(command("c", "ls /etc/passwd && ls -d /usr/bin"))
    result = project.run("c", environ={"HOME": home})
    assert (result.code, result.out.split()) == (0, ["/etc/passwd", "/usr/bin"]), result


def test_the_home_of_the_account_is_hidden_whatever_HOME_says(project: Project) -> None:
    home = pwd.getpwuid(os.getuid()).pw_dir
    need(os.path.isdir(home) and home.startswith(("/home/", "/root")), "the account has no usual home")
    project.write(command("c", f"ls -A {home} 2>/dev/null; ls -A /home /root"))
    result = project.run("c", environ={"HOME": "/"})
    assert result.out.split() == ["/home:", "/root:"], result


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_paths_below_private_places_can_be_exposed(project: Project, tmp_path: Path, kind: str) -> None:
    exposed = tmp_path / "exposed"
    if kind == "directory":
        exposed.mkdir()
        (exposed / "file").write_text("seen")
        look = exposed / "file"
    else:
        real = tmp_path / "real" if kind == "link" else exposed
        real.write_text("seen")
        if kind == "link":
            exposed.symlink_to(real)
        look = exposed
    containers = f"containers:\n  host: {{setup: [!Host {{expose: ['{exposed}']}}]}}\n"
    text = f"cat {look}; echo x 2>/dev/null > {look} || echo refused; ls {tmp_path}"
    project.write(command("c", text), containers)
    result = project.run("c")
    assert result.out.split() == ["seenrefused", "exposed", "project"], result


@pytest.mark.parametrize(
    "path", ["/vagga-none", "/tmp/vagga-none", "/run/vagga-none", "/root/vagga-none", "/usr/vagga-none"]
)
def test_an_exposed_path_that_does_not_exist_is_named_in_one_line(project: Project, path: str) -> None:
    project.write(command("c", "echo never"), f"containers:\n  host: {{setup: [!Host {{expose: [{path}]}}]}}\n")
    result = project.run("c")
    assert (result.code, result.out, result.err.count("\n")) == (124, "", 1), result
    assert f"`expose`: {path} " in result.err and "[volume-source]" in result.err, result.err
    hidden = path.startswith("/root") and os.getuid() != 0
    assert ("cannot be opened: permission denied" if hidden else "does not exist") in result.err, result.err


# --- programs that cannot be started for other reasons ----------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "mode", "code", "name", "said"),
    [
        ("#!/bin/sh\n", 0o644, 126, "program-not-executable", "permission denied"),
        ("echo no first line\n", 0o755, 126, "program-not-executable", "#!/bin/sh"),
        ("", 0o755, 126, "program-not-executable", "#!"),
        ("#!/nowhere/sh\n", 0o755, 127, "program-interpreter", "/nowhere/sh"),
        ("#!/work/none -x\n", 0o755, 127, "program-interpreter", "/work/none"),
        ("\x7fELFnonsense", 0o755, 126, "program-not-executable", "exec format error"),
    ],
)
def test_S1_a_file_that_cannot_be_executed_says_why(
    project: Project, content: str, mode: int, code: int, name: str, said: str
) -> None:
    """supervision 1.3."""
    program = project.directory / "program"
    program.write_text(content)
    program.chmod(mode)
    project.write(command("c", ["./program"]))
    result = project.run("c")
    assert (result.code, result.err.count("\n")) == (code, 1), result
    assert f"[{name}]" in result.err and said in result.err and "./program" in result.err, result.err


@pytest.mark.parametrize(
    ("words", "code", "name"),
    [
        (["vagga-none"], 127, "program-not-found"),
        (["./none"], 127, "program-not-found"),
        (["/nowhere/none"], 127, "program-not-found"),
        (["/etc/passwd/none"], 127, "program-not-found"),
        (["/etc"], 126, "program-not-executable"),
        (["./dangling"], 127, "program-interpreter"),
        (["./loop"], 126, "program-not-executable"),
    ],
)
def test_S1_a_program_that_is_not_there_says_so(project: Project, words: list[str], code: int, name: str) -> None:
    """supervision 1.3."""
    (project.directory / "dangling").symlink_to("/nowhere/else")
    (project.directory / "loop").symlink_to("loop")
    project.write(command("c", words))
    result = project.run("c")
    assert (result.code, result.err.count("\n")) == (code, 1), result
    assert f"[{name}]" in result.err, result.err


def test_S1_a_program_without_its_loader_says_so(project: Project) -> None:
    data = Path(os.path.realpath("/bin/true")).read_bytes()
    start = data.index(b"/ld-", data.index(b"/lib"))
    (project.directory / "program").write_bytes(data[:start] + b"/xx-" + data[start + 4 :])
    (project.directory / "program").chmod(0o755)
    project.write(command("c", ["./program"]))
    result = project.run("c")
    assert (result.code, "its loader is missing" in result.err) == (127, True), result


def test_S1_a_work_dir_that_is_missing_is_127(project: Project) -> None:
    """supervision 1.3."""
    project.write(command("c", ["true"], work_dir="none") + command("d", ["true"], work_dir="vagga.yaml"))
    for name, cause in (("c", "no such file"), ("d", "not a directory")):
        result = project.run(name)
        assert (result.code, result.err.count("\n")) == (127, 1), result
        assert cause in result.err and "[work-dir]" in result.err
