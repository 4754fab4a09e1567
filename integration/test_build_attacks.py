"""A project from a stranger, with a `.vagga` of its own, builds and runs, and reaches nothing outside of itself.

Each attack has worked once, or would if a check were taken away; `outside` is what must stay as it is.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from integration.builds import container, containers, remove, root, small, version, write
from integration.runs import HOST, Project, Result

__all__ = ["small"]
PATIENCE = 120.0
STORAGE = (".roots", ".layers", ".volumes", ".cache")


class Outside:
    """A directory of the user outside of the project, with a secret in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        (path / "secret").write_text("secret\n")
        (path / ".bashrc").write_text("own\n")
        (path / "directory").mkdir()
        self.before = self.seen()

    def seen(self) -> dict[str, tuple[int, bytes]]:
        """Return everything that is there."""
        paths = sorted(self.path.rglob("*"))
        return {
            str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
            for path in [self.path, *paths]
        }

    def check(self) -> None:
        """See that nothing has changed."""
        assert self.seen() == self.before


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    return Outside(tmp_path / "outside")


def build(project: Project, *words: str) -> Result:
    return project.run("_build", *words, "c", seconds=PATIENCE)


def storage(project: Project) -> Path:
    return project.directory / ".vagga"


# --- a `.vagga` that came with the project ------------------------------------------------------------------------


@pytest.mark.parametrize("part", STORAGE)
@pytest.mark.parametrize("made", ["link", "dangling", "file", "pipe"])
def test_a_part_of_the_storage_that_is_no_directory_is_refused(
    small: Project, outside: Outside, part: str, made: str
) -> None:
    write(small)
    storage(small).mkdir()
    place = storage(small) / part
    match made:
        case "link":
            place.symlink_to(outside.path)
        case "dangling":
            place.symlink_to(outside.path / "new")
        case "file":
            place.write_text("")
        case _:
            os.mkfifo(place)
    commands: tuple[tuple[str, ...], ...] = (("_build", "c"), ("see", "true"), ("_version_hash", "c"))
    for words in (*commands, ("_clean", "--everything")):
        result = small.run(*words, seconds=PATIENCE)
        outside.check()
        if words[0] != "_clean":
            assert (result.code, "[storage]" in result.err) == (126, True), (words, result.err)


def test_the_home_is_no_volume_and_no_cache_by_a_link(small: Project, outside: Outside) -> None:
    mounts = "{/v: !Persistent directory, /c: !CacheDir directory}"
    small.write(
        f"  go: !Command {{container: c, volumes: {mounts}, run: [/bin/touch, /v/x, /c/x]}}\n",
        containers(container("c", "!Tar {url: ./root.tar}", "!EnsureDir /v", "!EnsureDir /c")),
    )
    assert small.run("go", seconds=PATIENCE).code == 0
    assert (storage(small) / ".volumes/directory/x").exists()
    shutil.rmtree(storage(small) / ".cache/directory")
    (storage(small) / ".cache/directory").symlink_to(outside.path / "directory")
    result = small.run("go", seconds=PATIENCE)
    assert "[storage]" in result.err
    (storage(small) / ".cache/directory").unlink()
    shutil.rmtree(storage(small) / ".volumes/directory")
    (storage(small) / ".volumes/directory").symlink_to(outside.path / "directory")
    result = small.run("go", seconds=PATIENCE)
    assert result.code != 0, result.out
    outside.check()


@pytest.mark.parametrize("name", ["downloads", "git/x", "images"])
def test_what_vagga_trusts_in_the_cache_is_no_volume(small: Project, name: str) -> None:
    small.write(
        f"  go: !Command {{container: c, volumes: {{/c: !CacheDir {name}}}, run: [/bin/true]}}\n",
        containers(container("c", "!Tar {url: ./root.tar}")),
    )
    result = small.run("go", seconds=PATIENCE)
    assert (result.code, "belongs to vagga itself" in result.err) == (126, True)
    write(small, f"!CacheDirs {{/c: {name}}}")
    result = build(small)
    assert result.code != 0
    assert "belongs to vagga itself" in result.err


@pytest.mark.parametrize("words", [("see", "cat /secret"), ("--no-version-check", "see", "cat /secret")])
@pytest.mark.parametrize("forged", ["root", "version"])
def test_a_root_that_is_a_link_shows_nothing_of_the_host(
    small: Project, outside: Outside, words: tuple[str, ...], forged: str
) -> None:
    write(small)
    assert build(small).code == 0
    place = version(small)
    if forged == "root":
        remove(place / "root")
        (place / "root").symlink_to(outside.path)
    else:
        kept = {name: (place / name).read_text() for name in ("version", "maps")}
        remove(place)
        for name, text in kept.items():
            (outside.path / name).write_text(text)
        (outside.path / "root").symlink_to(outside.path)
        outside.before = outside.seen()
        place.symlink_to(outside.path)
    result = small.run(*words, seconds=PATIENCE)
    assert "secret" not in result.out
    assert result.code != 0
    outside.check()


def test_a_root_is_not_looked_for_above_the_roots(small: Project, outside: Outside) -> None:
    write(small)
    assert build(small).code == 0
    link = storage(small) / "c"
    link.unlink()
    link.symlink_to(".roots/../root")
    (storage(small) / "root").symlink_to(outside.path)
    result = small.run("--no-version-check", "see", "cat /secret", seconds=PATIENCE)
    assert (result.code, "[not-built]" in result.err) == (29, True)


@pytest.mark.parametrize("name", ["version", "maps", "last_use", "image", "facts"])
@pytest.mark.parametrize("made", ["link", "pipe", "directory"])
def test_the_notes_beside_a_root_are_not_waited_for_and_not_written_through(
    small: Project, outside: Outside, name: str, made: str
) -> None:
    write(small)
    assert build(small).code == 0
    place = version(small) / name
    place.unlink(missing_ok=True)
    if made == "link":
        place.symlink_to(outside.path / ".bashrc")
    elif made == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    assert small.run("see", "echo ok", seconds=PATIENCE).out == "ok\n"
    assert build(small, "--force").code == 0
    outside.check()


def test_a_layer_that_is_a_link_gives_nothing_of_the_host_away(small: Project, outside: Outside) -> None:
    write(small, "!Sh 'echo one > /one'")
    assert build(small).code == 0
    for layer in (storage(small) / ".layers").iterdir():
        remove(layer / "d")
        (layer / "d").symlink_to(outside.path)
    remove(version(small))
    result = build(small)
    assert result.code == 0, result.err
    assert not (root(small) / "secret").exists()
    assert (root(small) / "one").read_text() == "one\n"
    for layer in list((storage(small) / ".layers").iterdir()):
        remove(layer)
        layer.symlink_to(outside.path)
    remove(version(small))
    result = build(small)
    assert result.code == 0, result.err
    assert not (root(small) / "secret").exists()
    outside.check()


@pytest.mark.parametrize("name", [".tmp.c.lock", ".tmp.c"])
@pytest.mark.parametrize("made", ["link", "dangling", "pipe"])
def test_a_lock_or_an_unfinished_build_that_is_something_else(
    small: Project, outside: Outside, name: str, made: str
) -> None:
    write(small)
    (storage(small) / ".roots").mkdir(parents=True)
    place = storage(small) / ".roots" / name
    if made == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(outside.path / ("directory" if made == "link" else "new"))
    result = build(small)
    outside.check()
    assert result.code == (0 if name == ".tmp.c" else 121), result.err
    assert "Traceback" not in result.err


def test_a_container_called_as_a_file_of_the_project_does_not_replace_it(small: Project) -> None:
    storage(small).mkdir()
    (storage(small) / "settings.yaml").write_text("build-lock-wait: true\n")
    small.write(
        "  go: !Command {container: settings.yaml, run: [/bin/true]}\n",
        containers(container("settings.yaml", "!Tar {url: ./root.tar}")),
    )
    result = small.run("_build", "settings.yaml", seconds=PATIENCE)
    assert "[storage]" in result.err
    assert (storage(small) / "settings.yaml").read_text() == "build-lock-wait: true\n"


def test_a_project_may_not_say_where_images_are_kept(small: Project, outside: Outside) -> None:
    write(small)
    for key in ("storage-dir", "cache-dir"):
        (small.directory / ".vagga.settings.yaml").write_text(f"{key}: {outside.path}\n")
        result = build(small)
        assert (result.code, "has no place in a project's settings" in result.err) == (126, True)
    outside.check()


# --- what runs ----------------------------------------------------------------------------------------------------

TAMPER = (
    "set +e; for d in {places}; do "
    "echo x > $d/new; mkdir $d/sub; ln -s {outside}/.bashrc $d/.roots/.tmp.c/build.log; mv $d $d.moved; rm -rf $d; "
    "done 2>/dev/null; mount -o remount,rw,bind /work/.vagga 2>/dev/null; umount /work/.vagga 2>/dev/null; "
    "echo y > /work/.vagga/new 2>/dev/null; true"
)


def test_a_step_cannot_change_what_vagga_keeps(small: Project, outside: Outside) -> None:
    tamper = TAMPER.format(places="/work/.vagga", outside=outside.path)
    ours = f"ln -sf {outside.path}/.bashrc /work/.vagga/.roots/.tmp.c/build.log || echo alias ls=evil"
    write(small, f'!Sh "{tamper}"', f"!Sh '{ours}'", "!Sh 'echo evil'")
    result = build(small)
    assert result.code == 0, result.err
    outside.check()
    assert sorted(path.name for path in storage(small).iterdir()) == [*sorted([*STORAGE, "c"])]


def test_a_command_cannot_change_what_vagga_keeps_wherever_it_sees_it(small: Project, outside: Outside) -> None:
    places = f"/work/.vagga {storage(small)} /data/.vagga"
    tamper = TAMPER.format(places=places, outside=outside.path)
    text = "".join(
        f"  {name}: !Command\n    container: {name}\n    volumes: {{/data: !BindRW /work}}\n    run: '{tamper}'\n"
        for name in ("c", "host")
    )
    hosts = HOST.partition("\n")[2]
    small.write(text, containers(container("c", "!Tar {url: ./root.tar}", "!EnsureDir /data")) + hosts)
    assert build(small).code == 0
    before = sorted(path.name for path in storage(small).iterdir())
    for name in ("c", "host"):
        result = small.run(name, seconds=PATIENCE)
        assert result.code == 0, result.err
        assert sorted(path.name for path in storage(small).iterdir()) == before
    outside.check()


@pytest.mark.parametrize("kind", ["!BindRO", "!BindRW"])
def test_a_volume_of_the_project_is_in_the_project(project: Project, outside: Outside, kind: str) -> None:
    (project.directory / "out").symlink_to(outside.path)
    (project.directory / "up").symlink_to("..")
    (project.directory / "within").symlink_to("real")
    (project.directory / "real").mkdir()
    (project.directory / "real/file").write_text("here\n")
    for name in ("out", "up", "out/directory", "within"):
        text = f"volumes: {{/tmp/x: {kind} /work/{name}}}, run: 'cat /tmp/x/file; touch /tmp/x/new'"
        project.write(f"  go: !Command {{container: host, {text}}}\n")
        result = project.run("go")
        outside.check()
        if name == "within":
            assert result.out == "here\n"
        else:
            assert (result.code, "leads out of the project" in result.err) == (124, True)


def test_no_alias_makes_the_storage_writable(project: Project) -> None:
    storage(project).mkdir()
    (project.directory / "alias").symlink_to(".vagga")
    for name in ("alias", ".vagga"):
        text = f"volumes: {{/tmp/x: !BindRW /work/{name}}}, run: 'touch /tmp/x/new'"
        project.write(f"  go: !Command {{container: host, {text}}}\n")
        assert project.run("go").code in (124, 126)
    assert list(storage(project).iterdir()) == []


def test_a_step_sees_nothing_of_the_worker_and_leaves_nothing_running(small: Project) -> None:
    write(
        small,
        "!Sh 'test ! -e /vagga && ls / > /seen; (sleep 600 &); mkdir /m; mount -t tmpfs x /m && touch /m/x; true'",
    )
    result = build(small)
    assert result.code == 0, result.err
    assert "vagga" not in (root(small) / "seen").read_text().split()
    assert list((root(small) / "m").iterdir()) == []


@pytest.mark.parametrize(
    "target", ["/vagga/storage", "/vagga/cache", "/vagga/job", "/proc/self/root/vagga/storage", "/work"]
)
def test_links_in_the_tree_lead_the_worker_nowhere(small: Project, target: str) -> None:
    write(small, f"!Sh 'rm -rf /srv; ln -s {target} /srv'", "!EnsureDir /srv/made", "!Text {/srv/made/x: y}")
    result = build(small)
    outer = [storage(small) / "made", storage(small) / ".cache/made", small.directory / "made"]
    assert not any(path.exists() for path in outer)
    assert "Traceback" not in result.err
    write(
        small,
        f"!Sh 'rm -rf /srv; ln -s {target} /srv'",
        "!Remove /srv/.layers",
        "!Remove /srv/vagga.yaml",
        "!Remove /srv",
    )
    assert build(small).code == 0
    assert (storage(small) / ".layers").is_dir()
    assert (small.directory / "vagga.yaml").exists()


def test_what_is_built_is_for_its_user_only(small: Project) -> None:
    write(small, "!Sh 'chmod 4755 /bin/busybox'")
    assert build(small).code == 0
    for part in STORAGE:
        assert stat.S_IMODE((storage(small) / part).stat().st_mode) == 0o700
    (storage(small) / ".roots").chmod(0o755)
    assert small.run("see", "true", seconds=PATIENCE).code == 0
    assert stat.S_IMODE((storage(small) / ".roots").stat().st_mode) == 0o700


# --- git and images -----------------------------------------------------------------------------------------------


def git(place: Path, *words: str) -> str:
    own = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(("git", *own, *words), cwd=place, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def repository(place: Path) -> None:
    """Make a repository with one commit and a tag."""
    place.mkdir(exist_ok=True)
    git(place, "init", "--quiet")
    (place / "file").write_text("1\n")
    git(place, "add", "file")
    git(place, "commit", "--quiet", "-m", "one")
    git(place, "tag", "-a", "v1", "-m", "one")


def test_a_repository_in_the_cache_that_came_with_the_project_runs_nothing(small: Project, outside: Outside) -> None:
    repository(small.directory / "repository")
    write(small, "!Git {url: ./repository, path: /src}")
    assert build(small).code == 0
    (kept,) = (path for path in (storage(small) / ".cache/git").iterdir() if not path.name.startswith("."))
    evil = f"touch {outside.path}/hacked; git-upload-pack"
    with open(kept / "config", "a") as file:
        file.write(f'[remote "./repository"]\n uploadpack = "{evil}"\n[core]\n sshCommand = "{evil}"\n')
    result = build(small, "--no-cache")
    assert result.code == 0, result.err
    outside.check()
    assert "uploadpack" not in (kept / "config").read_text()
    (kept / "objects/info").mkdir(exist_ok=True)
    (kept / "objects/info/alternates").write_text(f"{outside.path}\n")
    assert build(small, "--no-cache").code == 0
    assert not (kept / "objects/info/alternates").exists()


@pytest.mark.parametrize("part", ["git", "git/.trees", "git/.locks"])
def test_the_cache_of_git_is_not_elsewhere(small: Project, outside: Outside, part: str) -> None:
    repository(small.directory / "repository")
    write(small, "!Git {url: ./repository, path: /src}")
    place = storage(small) / ".cache" / part
    place.parent.mkdir(parents=True)
    place.symlink_to(outside.path / "directory")
    result = build(small)
    outside.check()
    assert "[storage]" in result.err


def test_a_repository_of_the_project_is_in_the_project(small: Project, outside: Outside) -> None:
    private = outside.path / "private"
    repository(private)
    outside.before = outside.seen()
    (small.directory / "link").symlink_to(private)
    (small.directory / "late.git").symlink_to(private)
    (small.directory / "late").mkdir()
    (small.directory / "file").mkdir()
    (small.directory / "file/.git").write_text(f"gitdir: {private}/.git\n")
    repository(small.directory / "borrowed")
    (small.directory / "borrowed/.git/objects/info").mkdir(exist_ok=True)
    (small.directory / "borrowed/.git/objects/info/alternates").write_text(f"{private}/.git/objects\n")
    for url in (
        "./link",
        "./late",
        "./file",
        "./borrowed",
        str(private),
        f"file://{private}",
        "x/../../outside/private",
    ):
        write(small, f"!Git {{url: '{url}', path: /src}}")
        result = build(small)
        assert result.code != 0, url
        assert re.search(r"\[(git-outside|build-url)\]", result.err), result.err
    outside.check()


def test_describing_a_repository_fetches_nothing_by_its_own_program(small: Project, outside: Outside) -> None:
    place = small.directory / "repository"
    repository(place)
    head = git(place, "rev-parse", "HEAD")
    evil = f"touch {outside.path}/hacked /work/hacked; git-upload-pack"
    for key, value in (
        ("core.repositoryformatversion", "1"),
        ("extensions.partialClone", "origin"),
        ("remote.origin.promisor", "true"),
        ("remote.origin.url", "../repository"),
        ("remote.origin.uploadpack", evil),
    ):
        git(place, "config", key, value)
    os.unlink(place / ".git/objects" / head[:2] / head[2:])
    write(small, "!GitDescribe {repo: ./repository, output-file: /version}")
    assert build(small).code != 0
    outside.check()


def test_an_image_of_the_project_is_in_the_project(small: Project, outside: Outside) -> None:
    (outside.path / "directory/index.json").write_text('{"schemaVersion": 2, "manifests": []}')
    outside.before = outside.seen()
    (small.directory / "image").symlink_to(outside.path / "directory")
    small.write("", containers(container("c", "!Image oci:image:latest")))
    result = build(small)
    assert "leads out of the project" in result.err
    outside.check()


# --- what is shown ------------------------------------------------------------------------------------------------


def test_names_do_not_command_the_terminal(small: Project) -> None:
    write(small, '!Copy {source: "/work/\\e]0;title\\a", path: /x}', "!Text {/a/b: c}")
    result = build(small)
    assert result.code != 0
    assert "\x1b" not in result.err


def test_an_archive_of_the_project_is_in_the_project(small: Project, outside: Outside) -> None:
    (small.directory / "x.tar").symlink_to(outside.path / "secret")
    write(small, "!Tar {url: ./x.tar, path: /x}")
    result = build(small)
    assert "leads out of the project" in result.err
