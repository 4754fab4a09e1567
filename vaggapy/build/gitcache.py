"""Git repositories in the cache: the words that git is called with, and the calls.

A repository is bare, at `CACHE/git/ESCAPED-URL`. What a revision holds becomes a tar archive beside it, by
`git archive`: no file of git itself gets into the tree, and unpacking an archive is a thing that is done anyway.
Attributes that would leave files out of an archive, or fill them in, are switched off: the archive has what a checkout
has. Submodules are empty directories.

Fetching heeds the user's own git configuration (`insteadOf`, credentials, proxies); making the archive does not, so
that it is the same for all. No hook runs, nobody is asked anything.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import subprocess

from vaggapy.build import trust
from vaggapy.build.filelock import locked
from vaggapy.build.names import GIT, GIT_LOCKS, GIT_TREES, HEXADECIMAL, git_name, git_tree_name, without_credentials
from vaggapy.build.trust import inner_directory
from vaggapy.errors import CommandError
from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vaggapy.build.actions import FetchGit

HEAD = "refs/vagga/head"
KEPT = "refs/vagga/kept"
WHOLE_REVISIONS = (40, 64)
PROTOCOLS = "file:git:http:https:ssh"
ATTRIBUTES = "* -export-ignore -export-subst\n"
ADVICE = "fatal: Could not read from remote repository."
FOREIGN = "dubious ownership in repository at "
OWN_FILES = {
    "config": "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n",
    "info/attributes": ATTRIBUTES,
}
KNOWN = {
    ".": {
        *("HEAD", "config", "description", "FETCH_HEAD", "ORIG_HEAD", "packed-refs", "packed-refs.lock", "objects"),
        *(
            "refs",
            "info",
            "gc.log",
            "gc.pid",
            "HEAD.lock",
            "gc.log.lock",
            "gc.pid.lock",
            "shallow.lock",
            "packed-refs.new",
        ),
    },
    "info": {"attributes", "exclude", "refs", "refs.lock"},
    "objects/info": {"packs", "commit-graph", "commit-graphs", "commit-graph.lock"},
}
"""What may be in directories of a repository; in all others, anything."""
FIRST_FREE = 10
"""The shell script below uses descriptors of one digit."""
GUARD = """exec 3<&0 </dev/null
{ read -r _ <&3; kill -KILL 0; } &
"$@" 3<&-
code=$?
kill $!
exit $code"""
"""A shell script around a call. Its input ends when we do, however that comes; then its whole group is killed.

A signal at our death would reach git alone: `git-remote-https` would go on waiting for its server.
"""

CAREFUL = (
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "safe.directory=*",
    "-c",
    "gc.autoDetach=false",
    "-c",
    "maintenance.autoDetach=false",
)
UNMOVED = (*CAREFUL, "-c", "core.autocrlf=false", "-c", "core.eol=lf", "-c", "tar.umask=0022")
"""Options that make an archive the same for everybody."""


class Called(Record):
    """How a call of git ended: its exit code (-n for a signal), its output, its errors."""

    code: int
    output: str = ""
    errors: str = ""


# --- words --------------------------------------------------------------------------------------------------------


def create(repository: str) -> tuple[str, ...]:
    """Return the words that make an empty bare repository, without templates."""
    return ("git", *CAREFUL, "init", "--quiet", "--bare", "--template=", repository)


def fetch_all(repository: str, git: FetchGit) -> tuple[str, ...]:
    """Return the words that bring all branches and tags up to date, and HEAD where nothing else is asked for.

    A pack is put in its place whole (`unpackLimit`): what a killed fetch leaves is never a commit without its files.
    """
    refs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]
    if not git.revision and not git.branch:
        refs.append(f"+HEAD:{HEAD}")
    return (*_fetch(repository), "--prune", "--", git.url, *refs)


def fetch_revision(repository: str, git: FetchGit) -> tuple[str, ...]:
    """Return the words that ask for one revision that no branch or tag has; some servers give it."""
    return (*_fetch(repository), "--", git.url, f"+{git.revision}:{KEPT}/{git.revision}")


def _fetch(repository: str) -> tuple[str, ...]:
    return (
        "git",
        *CAREFUL,
        "-c",
        "fetch.unpackLimit=1",
        f"--git-dir={repository}",
        "fetch",
        "--quiet",
        "--force",
        "--no-tags",
        "--no-write-fetch-head",
        "--no-recurse-submodules",
    )


def candidates(git: FetchGit) -> tuple[str, ...]:
    """Return the names that the wanted commit may have in the repository; the first that is there counts."""
    if git.revision:
        return (git.revision,)
    return (f"refs/heads/{git.branch}", f"refs/tags/{git.branch}") if git.branch else (HEAD,)


def resolve(repository: str, name: str) -> tuple[str, ...]:
    """Return the words that print the commit of a name, and fail if there is none."""
    return ("git", *CAREFUL, f"--git-dir={repository}", "rev-parse", "--quiet", "--verify", f"{name}^{{commit}}")


def archive(repository: str, commit: str, target: str) -> tuple[str, ...]:
    """Return the words that write the files of a commit to the tar archive `target`."""
    return ("git", *UNMOVED, f"--git-dir={repository}", "archive", "--format=tar", f"--output={target}", commit)


def environment(environ: Mapping[str, str], neutral: bool) -> dict[str, str]:
    """Return the environment of git: the caller's without git's own variables, but for those about connections.

    `neutral`: without the user's and the machine's configuration.
    """
    kept = ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_PROXY_COMMAND")
    clean = {name: value for name, value in environ.items() if not name.startswith("GIT_") or name in kept}
    clean.update(
        LC_ALL="C",
        GIT_TERMINAL_PROMPT="0",
        GIT_ASKPASS="",  # Set and empty: SSH_ASKPASS is not tried either.
        SSH_ASKPASS_REQUIRE="never",
        GIT_ALLOW_PROTOCOL=PROTOCOLS,
        GIT_NO_LAZY_FETCH="1",
    )
    for ours, gits in (("SSL_CERT_FILE", "GIT_SSL_CAINFO"), ("SSL_CERT_DIR", "GIT_SSL_CAPATH")):
        if environ.get(ours):
            clean.setdefault(gits, environ[ours])
    if neutral:
        clean.update(GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL="/dev/null", GIT_ATTR_NOSYSTEM="1")
    return clean


def is_whole_revision(revision: str) -> bool:
    """Return whether a revision is all digits of a commit: it can mean nothing else later."""
    return len(revision) in WHOLE_REVISIONS and set(revision) <= HEXADECIMAL


def check(git: FetchGit) -> None:
    """Refuse what git would take for an option, or for more than one name.

    Raises:
        CommandError: with the value.
    """
    for what, value in (("url", git.url), ("revision", git.revision), ("branch", git.branch)):
        odd = value.startswith("-") or any(ord(c) < ord(" ") for c in value)
        if odd or (what != "url" and any(c in value for c in " \\?*[:")):
            raise CommandError(f"{what} {without_credentials(value)!r}: no {what} of git", "check it", "git-name")
    if not git.url:
        raise CommandError("url '': no url of git", "write where to clone from", "git-name")


# --- what git believes ------------------------------------------------------------------------------------------


def is_own(repository: str) -> bool:
    """Return whether a repository of the cache is as we make them.

    Git runs what the settings of a repository say, and takes objects from where it is told; and a project may come
    with a cache in its `.vagga`.
    """
    if not trust.is_directory(repository):
        return False
    for place, directories, files in os.walk(repository):
        inner = os.path.relpath(place, repository)
        if not {*directories, *files} <= KNOWN.get(inner, {*directories, *files}):
            return False
        for name in (*directories, *files):
            kind = stat.S_IFMT(os.lstat(os.path.join(place, name)).st_mode)
            if kind not in (stat.S_IFDIR, stat.S_IFREG):
                return False
    return all(trust.read(f"{repository}/{name}") == text for name, text in OWN_FILES.items())


def _remove(path: str) -> None:
    """Remove what has a name in the cache, whatever it is; a link itself."""
    if trust.is_directory(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def check_local(url: str, project: str) -> None:
    """See that a repository of the project takes nothing from outside of it. Other addresses are not looked at.

    Raises:
        CommandError: with what leads out.
    """
    if not url.startswith("."):
        return
    top = os.path.realpath(project)
    place = os.path.normpath(os.path.join(project, url))
    waiting = [f"{place}{suffix}" for suffix in ("", "/.git", ".git", ".git/.git")]  # where git looks, too
    seen: set[str] = set()
    while waiting:
        path = os.path.realpath(waiting.pop())
        if path in seen or not os.path.lexists(path):
            continue
        seen.add(path)
        if path != top and not path.startswith(f"{top}/"):
            raise CommandError(
                f"url {url!r}: the repository leads to {path}", "clone it into the project", "git-outside"
            )
        if os.path.isfile(path):
            waiting += [os.path.join(os.path.dirname(path), each) for each in _gitdirs(trust.read(path))]
        else:
            waiting += [f"{path}/{name}" for name in ("objects", "refs", "packed-refs", "HEAD", "objects/pack")]
            waiting += [os.path.join(path, each) for each in trust.read(f"{path}/commondir").splitlines()]
            others = trust.read(f"{path}/info/alternates") if os.path.basename(path) == "objects" else ""
            waiting += [os.path.join(path, each) for each in others.splitlines()]


def _gitdirs(text: str) -> list[str]:
    return [text.removeprefix("gitdir:").strip()] if text.startswith("gitdir:") else []


# --- calls --------------------------------------------------------------------------------------------------------


def have_tree(git: FetchGit, cache: str, directory: str, say: Callable[[str], None]) -> str:
    """Have the archive of what is wanted in the cache and return its path, as `names.git_tree_name` has it.

    A whole revision that is there needs no network; anything else is fetched anew. Paths as `git.url` are looked up
    from `directory`.

    Raises:
        CommandError: with what git said last.
    """
    check(git)
    check_local(git.url, directory)
    cache = os.path.abspath(cache)  # git works in another directory
    target = os.path.join(cache, git_tree_name(git))
    if is_whole_revision(git.revision) and os.path.exists(target):
        return target
    name = git_name(git.url)
    try:
        os.makedirs(cache, exist_ok=True)
        for made in (GIT, GIT_TREES, GIT_LOCKS):
            inner_directory(cache, made)
        lock = os.path.join(cache, GIT_LOCKS, name)
        with locked(lock, lambda: say(f"{name}: another process fetches it, waiting")) as held:
            repository = Repository(os.path.join(cache, GIT, name), git, directory, held)
            repository.prepare()
            repository.archive(repository.commit(say), target)
    except OSError as error:
        place = error.filename or target
        cause = (error.strerror or str(error)).lower()
        raise CommandError(f"{place}: {cause}", "check the cache directory", "download-storage") from error
    return target


class Repository:
    """The bare repository for one URL, in the hands of the holder of its lock.

    Each git inherits the descriptor of the lock: should this process be killed, and a git survive it for a moment,
    nobody else touches the repository meanwhile.
    """

    def __init__(self, path: str, git: FetchGit, directory: str, lock: int) -> None:
        """Keep what to work with; nothing is done yet."""
        self.path = path
        self.git = git
        self.directory = directory
        self.lock = lock
        self.shown = without_credentials(git.url)

    def prepare(self) -> None:
        """Make the repository if there is none; remove what a killed git has left in it."""
        if not is_own(self.path):
            _remove(self.path)
            new = f"{os.path.dirname(self.path)}/.new-{os.path.basename(self.path)}"
            _remove(new)
            self._must(create(new), neutral=True)
            os.makedirs(f"{new}/info", exist_ok=True)
            for name, text in OWN_FILES.items():
                with open(trust.create(f"{new}/{name}"), "w", encoding="ascii") as file:
                    file.write(text)
            os.rename(new, self.path)
        for place, directories, files in os.walk(self.path):
            if place == self.path:
                directories[:] = [entry for entry in directories if entry in ("refs", "objects")]
            elif os.path.basename(place) == "objects":
                directories[:] = [entry for entry in directories if entry in ("info", "pack")]
            for entry in files:
                if entry.endswith(".lock") or entry.startswith("tmp_"):
                    os.unlink(os.path.join(place, entry))

    def commit(self, say: Callable[[str], None]) -> str:
        """Return the commit that is wanted, and fetch first unless it cannot have changed."""
        if is_whole_revision(self.git.revision) and (found := self._resolved()):
            return found
        say(f"{self.shown}: fetching")
        self._must(fetch_all(self.path, self.git))
        if found := self._resolved():
            return found
        wanted = f"revision {self.git.revision}" if self.git.revision else f"branch {self.git.branch}"
        if is_whole_revision(self.git.revision):
            asked = self._call(fetch_revision(self.path, self.git))
            if asked.code == 0 and (found := self._resolved()):
                return found
        raise CommandError(
            f"{self.shown}: it has no {wanted}", "check the spelling, or if it was pushed", "git-revision"
        )

    def archive(self, commit: str, target: str) -> None:
        """Write the archive, which gets its name when it is whole."""
        new = f"{target}.new"
        _remove(new)
        self._must(archive(self.path, commit, new), neutral=True)
        os.rename(new, target)

    def _resolved(self) -> str:
        """Return the commit that is wanted, "" if it is not here."""
        for name in candidates(self.git):
            found = self._call(resolve(self.path, name), neutral=True)
            if found.code == 0:
                return found.output.strip()
        return ""

    def _must(self, words: tuple[str, ...], neutral: bool = False) -> None:
        """Call git and take no other answer than success."""
        ended = self._call(words, neutral)
        if ended.code == 0:
            return
        cause = last_words(ended).replace(self.git.url, self.shown)
        remedy = "check the url, and that git can fetch it without asking"
        if FOREIGN in cause:
            remedy = f"if you trust its owner: git config --global --add safe.directory {cause.partition(FOREIGN)[2]}"
        raise CommandError(f"{self.shown}: git: {cause}", remedy, "git-failed")

    def _call(self, words: tuple[str, ...], neutral: bool = False) -> Called:
        """Call git, which has no terminal that it could ask on, and which ends, with all its helpers, when we do.

        Raises:
            CommandError: there is no git.
        """
        if shutil.which(words[0]) is None:
            raise CommandError("git: not found in PATH", "install git on this machine", "git-missing")
        waits, holds = os.pipe2(os.O_CLOEXEC)
        lock = fcntl.fcntl(self.lock, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE)
        try:
            ran = subprocess.run(
                ("/bin/sh", "-c", GUARD, words[0], *words),
                cwd=self.directory,
                env=environment(os.environ, neutral),
                stdin=waits,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                start_new_session=True,
                pass_fds=(lock,),
            )
        finally:
            os.close(waits)
            os.close(holds)
            os.close(lock)
        return Called(ran.returncode, ran.stdout, ran.stderr)


def last_words(ended: Called) -> str:
    """Return the line of git that says what went wrong: the last `fatal:` or `error:`, or else the last one.

    Behind a connection that failed comes advice, which says less than the line before it.
    """
    lines = [line.strip() for line in ended.errors.splitlines() if line.strip()]
    if ADVICE in lines[1:]:
        del lines[lines.index(ADVICE, 1) :]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "ERROR:"))]
    if not lines:
        return f"exit {ended.code}" if ended.code >= 0 else f"killed by signal {-ended.code}"
    return (telling or lines)[-1].removeprefix("fatal: ").removeprefix("error: ")
