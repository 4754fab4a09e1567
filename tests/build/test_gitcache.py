"""Git: the words for it, and real calls on repositories of this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from vaggapy.build import gitcache
from vaggapy.build.actions import FetchGit
from vaggapy.build.gitcache import Called, environment, have_tree, last_words
from vaggapy.build.names import git_name, git_tree_name
from vaggapy.errors import CommandError

ME = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main", "-c", "commit.gpgSign=false")


class Origin:
    """A repository to clone from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = str(path)
        self.git("init", "-q", str(path))

    def git(self, *words: str) -> str:
        at = () if words[0] == "init" else ("-C", self.url)
        environ = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
        ran = subprocess.run(["git", *ME, *at, *words], check=True, capture_output=True, text=True, env=environ)
        return ran.stdout.strip()

    def commit(self, **files: str) -> str:
        """Commit files (`_` in a name stands for `.`) and return the commit."""
        for name, content in files.items():
            (self.path / name.replace("_", ".")).write_text(content)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "x")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path / "origin")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def tree(git: FetchGit, cache: Path, said: list[str] | None = None) -> dict[str, tarfile.TarInfo]:
    heard: list[str] = [] if said is None else said
    with tarfile.open(have_tree(git, str(cache), "/", heard.append)) as tar:
        return {entry.name: entry for entry in tar}


def content(git: FetchGit, cache: Path, name: str = "a.txt") -> str:
    with tarfile.open(have_tree(git, str(cache), "/", lambda _: None)) as tar:
        file = tar.extractfile(name)
        assert file
        return file.read().decode()


def test_without_a_revision_or_branch_it_is_what_head_is(origin: Origin, cache: Path) -> None:
    origin.commit(a_txt="one")
    origin.git("checkout", "-q", "-b", "trunk")
    origin.commit(a_txt="two")
    assert content(FetchGit(origin.url), cache) == "two"
    origin.commit(a_txt="three")
    assert content(FetchGit(origin.url), cache) == "three"


def test_a_branch_is_fetched_anew_each_time_even_when_its_history_was_rewritten(origin: Origin, cache: Path) -> None:
    origin.commit(a_txt="one")
    assert content(FetchGit(origin.url, branch="main"), cache) == "one"
    (origin.path / "a.txt").write_text("two")
    origin.git("commit", "-q", "-a", "--amend", "-m", "y")
    assert content(FetchGit(origin.url, branch="main"), cache) == "two"


def test_a_branch_that_became_a_directory_of_branches_is_no_obstacle(origin: Origin, cache: Path) -> None:
    origin.commit(a_txt="one")
    origin.git("branch", "x")
    assert content(FetchGit(origin.url, branch="x"), cache) == "one"
    origin.git("branch", "-D", "x")
    origin.git("branch", "x/y")
    assert content(FetchGit(origin.url, branch="x/y"), cache) == "one"


def test_tags_and_beginnings_of_a_commit_are_revisions(origin: Origin, cache: Path) -> None:
    first = origin.commit(a_txt="one")
    origin.git("tag", "-a", "v1", "-m", "x")
    origin.commit(a_txt="two")
    assert content(FetchGit(origin.url, revision="v1"), cache) == "one"
    assert content(FetchGit(origin.url, revision=first[:10]), cache) == "one"
    assert content(FetchGit(origin.url, branch="v1"), cache) == "one"


def test_a_whole_revision_in_the_cache_needs_no_origin(origin: Origin, cache: Path) -> None:
    first = origin.commit(a_txt="one")
    second = origin.commit(a_txt="two")
    assert content(FetchGit(origin.url, revision=first), cache) == "one"
    origin.path.rename(origin.path.parent / "gone")
    assert content(FetchGit(origin.url, revision=first), cache) == "one"
    assert content(FetchGit(origin.url, revision=second), cache) == "two"


def test_a_whole_revision_that_no_branch_has_is_asked_for(origin: Origin, cache: Path) -> None:
    first = origin.commit(a_txt="one")
    origin.commit(a_txt="two")
    origin.git("checkout", "-q", "--orphan", "other")
    origin.commit(a_txt="three")
    origin.git("branch", "-D", "main")
    origin.git("config", "uploadpack.allowAnySHA1InWant", "true")
    assert content(FetchGit(origin.url, revision=first), cache) == "one"


def test_the_archive_has_all_files_of_the_commit_as_they_are(origin: Origin, cache: Path) -> None:
    (origin.path / "docs").mkdir()
    (origin.path / "docs" / "x").write_text("x")
    (origin.path / "run").write_text("run")
    (origin.path / "run").chmod(0o775)
    (origin.path / "link").symlink_to("/etc/passwd")
    origin.commit(_gitattributes="docs export-ignore\na.txt export-subst\n", a_txt="$Format:%H$")
    found = tree(FetchGit(origin.url), cache)
    assert set(found) == {".gitattributes", "a.txt", "docs", "docs/x", "link", "run"}
    assert content(FetchGit(origin.url), cache) == "$Format:%H$"
    assert (found["run"].mode, found["a.txt"].mode, found["docs"].mode) == (0o755, 0o644, 0o755)
    assert found["link"].linkname == "/etc/passwd"


def test_the_users_own_settings_change_nothing_in_the_archive(
    origin: Origin, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    trace = tmp_path / "trace"
    smudge = f'[filter "x"]\n smudge = "touch {trace}; cat"\n'
    (home / ".gitconfig").write_text(f"[core]\n autocrlf = true\n hooksPath = {home}\n[tar]\n umask = 0\n{smudge}")
    hook = home / "reference-transaction"
    hook.write_text(f"#!/bin/sh\ntouch {trace}\n")
    hook.chmod(0o755)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    origin.commit(a_txt="one\n", _gitattributes="*.txt text filter=x\n")
    assert content(FetchGit(origin.url), cache) == "one\n"
    assert tree(FetchGit(origin.url), cache)["a.txt"].mode == 0o644
    assert not trace.exists()


def test_addresses_are_rewritten_as_the_user_has_set_it(
    origin: Origin, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".gitconfig").write_text(f'[url "{tmp_path}/"]\n insteadOf = "https://host.invalid/"\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    origin.commit(a_txt="one")
    assert content(FetchGit("https://host.invalid/origin"), cache) == "one"


def test_what_a_killed_git_leaves_is_cleared_away(origin: Origin, cache: Path) -> None:
    origin.commit(a_txt="one")
    (cache / "git" / f".new-{git_name(origin.url)}" / "half").mkdir(parents=True)
    git = FetchGit(origin.url)
    assert content(git, cache) == "one"
    repository = cache / "git" / git_name(origin.url)
    for left in ("packed-refs.lock", "shallow.lock", "config.lock", "refs/heads/main.lock", "objects/pack/tmp_pack_x"):
        (repository / left).write_text("")
    Path(f"{cache / git_tree_name(git)}.new").write_text("half")
    origin.commit(a_txt="two")
    assert content(git, cache) == "two"
    assert not (repository / "packed-refs.lock").exists()
    assert not (repository / "objects/pack/tmp_pack_x").exists()
    assert [path.name for path in (cache / "git" / ".locks").iterdir()] == []
    assert [path.name for path in (cache / "git" / ".trees").iterdir()] == [os.path.basename(git_tree_name(git))]


@pytest.mark.parametrize("scheme", ["git", "http"])
def test_a_git_that_waits_for_a_server_ends_when_its_caller_is_killed(cache: Path, scheme: str) -> None:
    script = (
        "import sys\n"
        "from vaggapy.build.actions import FetchGit\n"
        "from vaggapy.build.gitcache import have_tree\n"
        "have_tree(FetchGit(sys.argv[1]), sys.argv[2], '/', print)\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        url = f"{scheme}://127.0.0.1:{server.getsockname()[1]}/x"
        words = [sys.executable, "-c", script, url, str(cache)]
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])}
        with subprocess.Popen(words, env=environ, stdout=subprocess.DEVNULL) as caller:
            connection, _ = server.accept()
            caller.kill()
        with connection:
            connection.settimeout(60)
            while connection.recv(4096):
                pass


@pytest.mark.parametrize(
    ("git", "said"),
    [
        (FetchGit("ORIGIN", branch="none"), "ORIGIN: it has no branch none ("),
        (FetchGit("ORIGIN", revision="none"), "ORIGIN: it has no revision none ("),
        (FetchGit("ORIGIN", revision="0" * 40), f"ORIGIN: it has no revision {'0' * 40} ("),
        (FetchGit("/nowhere/at/all"), "/nowhere/at/all: git: '/nowhere/at/all' does not appear to be a git repository"),
        (FetchGit("https://u:secret@127.0.0.1:1/x"), "https://127.0.0.1:1/x: git: unable to access '"),
        (FetchGit("ext::sh -c true"), "ext::sh -c true: git: transport 'ext' not allowed"),
    ],
)
def test_a_repository_that_cannot_be_had_is_named_with_what_git_says(
    origin: Origin, cache: Path, git: FetchGit, said: str
) -> None:
    origin.commit(a_txt="one")
    url = origin.url if git.url == "ORIGIN" else git.url
    with pytest.raises(CommandError) as caught:
        have_tree(FetchGit(url, git.revision, git.branch), str(cache), "/", lambda _: None)
    assert str(caught.value).startswith(said.replace("ORIGIN", origin.url))
    assert "secret" not in str(caught.value)
    assert list((cache / "git" / ".trees").iterdir()) == []


@pytest.mark.parametrize(
    "git",
    [
        FetchGit(""),
        FetchGit("--upload-pack=x"),
        FetchGit("a\nb"),
        FetchGit("x", revision="--all"),
        FetchGit("x", revision="HEAD:a"),
        FetchGit("x", branch="a b"),
        FetchGit("x", branch="*"),
    ],
)
def test_what_git_would_misunderstand_is_refused(git: FetchGit) -> None:
    with pytest.raises(CommandError, match="git-name"):
        gitcache.check(git)


def test_git_gets_nothing_of_the_callers_variables_that_would_lead_it_elsewhere() -> None:
    ours = {"PATH": "/bin", "HOME": "/h", "GIT_DIR": "x", "GIT_SSH_COMMAND": "ssh -i k", "SSL_CERT_FILE": "/c"}
    clean = environment(ours, neutral=False)
    assert "GIT_DIR" not in clean
    assert clean["GIT_SSH_COMMAND"] == "ssh -i k"
    assert clean["GIT_SSL_CAINFO"] == "/c"
    assert clean["GIT_TERMINAL_PROMPT"] == "0"
    assert "GIT_CONFIG_GLOBAL" not in clean
    assert environment(ours, neutral=True)["GIT_CONFIG_GLOBAL"] == "/dev/null"


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (Called(128, "", "warning: x\nfatal: no access\n\nPlease make sure\n"), "no access"),
        (
            Called(128, "", f"u@host: Permission denied (publickey).\n{gitcache.ADVICE}\n\nPlease\n"),
            "u@host: Permission",
        ),
        (Called(128, "", f"{gitcache.ADVICE}\n\nPlease\n"), "Could not read from remote repository."),
        (Called(1, "", "odd\n"), "odd"),
        (Called(3), "exit 3"),
        (Called(-9), "killed by signal 9"),
    ],
)
def test_of_what_git_says_the_line_that_tells_is_shown(ended: Called, said: str) -> None:
    assert last_words(ended).startswith(said)
