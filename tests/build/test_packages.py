"""Distributions and packages: what steps refuse, sources of the host, the end of a build."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from vaggapy.build import apt, bootstrap, packages
from vaggapy.build.actions import Empty, Execute, Fetch, KeepOnly, MakeDirectory, OnHost, Remove, Unpack, WriteFile
from vaggapy.build.context import ALPINE, DEBIAN, UBUNTU, Context, Machine, Mirrors
from vaggapy.build.finish import finish
from vaggapy.build.kind import Done, typed
from vaggapy.build.registry import kinds
from vaggapy.config.model import Container, Step
from vaggapy.errors import CommandError, Mark

KINDS = kinds()
NONE = Context("c")
BOOKWORM = Context("c", distro=DEBIAN, release="bookworm")
NOBLE = Context("c", distro=UBUNTU, release="noble")
V322 = Context("c", distro=ALPINE, release="v3.22")
CONTAINER = Container("c", Mark("vagga.yaml"))


def act(context: Context, tag: str, **values: object) -> Done:
    """Return what a step does."""
    kind = KINDS[tag]
    return kind.act(typed(kind, Step(tag, Mark("vagga.yaml"), values)), context)


def refused(context: Context, tag: str, **values: object) -> tuple[str, str]:
    """Return why a step refuses, and the name of the error."""
    with pytest.raises(CommandError) as caught:
        act(context, tag, **values)
    return caught.value.what, caught.value.name


def written(done: Done, path: str) -> str:
    """Return what is written to a file."""
    return "".join(a.content for a in done.actions if isinstance(a, WriteFile) and a.path == path)


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "values"),
    [
        ("!Install", {"packages": ("a",)}),
        ("!BuildDeps", {"packages": ("a",)}),
        ("!Repo", {"name": "main"}),
        ("!UbuntuRepo", {"url": "http://x/", "suite": "s", "components": ("main",)}),
        ("!UbuntuUniverse", {}),
        ("!UbuntuPPA", {"name": "a/b"}),
        ("!AptTrust", {"url": "https://x/key"}),
        ("!AlpineRepo", {"repo": "main"}),
    ],
)
def test_steps_for_packages_need_a_distribution(tag: str, values: dict[str, object]) -> None:
    assert refused(NONE, tag, **values) == ("the root has no distribution yet", "no-distribution")


@pytest.mark.parametrize(
    ("context", "tag", "values", "said"),
    [
        (V322, "!UbuntuUniverse", {}, "this step is for Ubuntu, the root is Alpine v3.22"),
        (BOOKWORM, "!UbuntuUniverse", {}, "this step is for Ubuntu, the root is Debian bookworm"),
        (NOBLE, "!AlpineRepo", {"repo": "main"}, "this step is for Alpine, the root is Ubuntu noble"),
        (V322, "!AptTrust", {"url": "https://x/k"}, "this step is for Debian or Ubuntu, the root is Alpine v3.22"),
        (
            Context("c", distro="arch"),
            "!Install",
            {"packages": ("a",)},
            "this step is for Debian or Ubuntu or Alpine, the root is arch",
        ),
    ],
)
def test_a_step_of_another_distribution_says_which_one_the_root_is(
    context: Context, tag: str, values: dict[str, object], said: str
) -> None:
    assert refused(context, tag, **values) == (said, "wrong-distribution")


@pytest.mark.parametrize(
    ("tag", "values"),
    [
        ("!Debian", {"suite": "sid"}),
        ("!Ubuntu", {"codename": "noble"}),
        ("!UbuntuRelease", {"url": "https://x/u.tar.gz"}),
        ("!Alpine", {"version": "v3.22"}),
    ],
)
def test_a_second_distribution_is_refused(tag: str, values: dict[str, object]) -> None:
    assert refused(BOOKWORM, tag, **values) == ("the root is already Debian bookworm", "second-distribution")


@pytest.mark.parametrize(
    ("tag", "values"),
    [
        ("!Debian", {"suite": "bookworm main\ndeb http://evil.example.org/ x"}),
        ("!Debian", {"suite": "--help"}),
        ("!Debian", {"suite": ""}),
        ("!Debian", {"suite": "sid", "components": ("main]",)}),
        ("!Ubuntu", {"codename": "Noble Numbat"}),
        ("!UbuntuRelease", {}),
        ("!UbuntuRelease", {"version": "4.10"}),
        ("!Alpine", {"version": "3.22"}),
        ("!Alpine", {"version": "v3x22"}),
        ("!Alpine", {"version": "v3.22.1"}),
        ("!Alpine", {"version": "latest"}),
    ],
)
def test_what_is_not_a_release_is_refused(tag: str, values: dict[str, object]) -> None:
    assert refused(NONE, tag, **values)[1] == "bad-release"


@pytest.mark.parametrize("name", ["", "-o=Dir::Etc=/", "--simulate", "two words", "line\nend"])
def test_what_would_be_an_option_or_two_words_is_no_package(name: str) -> None:
    assert refused(BOOKWORM, "!Install", packages=("curl", name)) == (
        f"{name!r} is not the name of a package",
        "bad-package",
    )


@pytest.mark.parametrize(
    ("context", "tag", "values"),
    [
        (NOBLE, "!Repo", {"name": "a/b/c"}),
        (NOBLE, "!Repo", {"name": "a/"}),
        (NOBLE, "!Repo", {"name": "/a"}),
        (NOBLE, "!Repo", {"name": "universe\ndeb http://evil.example.org/ x"}),
        (NOBLE, "!UbuntuRepo", {"url": "http://x/ [trusted=yes]", "suite": "s", "components": ("main",)}),
        (NOBLE, "!UbuntuRepo", {"url": "http://x/", "suite": "s"}),
        (NOBLE, "!UbuntuRepo", {"url": "http://x/", "suite": "./", "components": ("main",)}),
        (Context("c", distro=DEBIAN), "!UbuntuRepo", {"url": "http://x/", "components": ("main",)}),
        (NOBLE, "!UbuntuPPA", {"name": "deadsnakes"}),
        (NOBLE, "!UbuntuPPA", {"name": "a/b/c"}),
        (V322, "!AlpineRepo", {"repo": "main\nhttp://evil.example.org"}),
    ],
)
def test_what_is_not_a_repository_is_refused(context: Context, tag: str, values: dict[str, object]) -> None:
    assert refused(context, tag, **values)[1] == "bad-repository"


@pytest.mark.parametrize("key", ["7F0CEB10", "0x7F0CEB10", "nonsense", "", "F6ECB3762474EDA9D21B7022871920D1991BC93"])
def test_a_key_is_named_by_a_fingerprint_that_cannot_be_forged(key: str) -> None:
    assert refused(BOOKWORM, "!AptTrust", keys=(key,))[1] == "bad-key-name"


def test_trusting_no_key_is_refused() -> None:
    assert refused(BOOKWORM, "!AptTrust") == ("no key is named", "bad-key-name")


@pytest.mark.parametrize(("tag", "values"), [("!Debian", {"suite": "sid"}), ("!Ubuntu", {"codename": "noble"})])
def test_with_one_user_id_there_is_no_root_of_debian(tag: str, values: dict[str, object]) -> None:
    assert refused(Context("c", Machine(single_id=True)), tag, **values)[1] == "build-needs-ids"


def test_with_one_user_id_alpine_and_archives_of_ubuntu_are_unpacked() -> None:
    single = Context("c", Machine(single_id=True))
    assert act(single, "!Alpine", version="v3.22").context.distro == ALPINE
    assert act(single, "!UbuntuRelease", url="https://x/u.tar.gz").context.distro == UBUNTU


# --- bootstrap ----------------------------------------------------------------------------------------------------


def test_a_release_of_debian_has_updates_and_sid_has_none() -> None:
    bookworm = written(act(NONE, "!Debian", suite="bookworm"), "/etc/apt/sources.list").splitlines()
    sid = written(act(NONE, "!Debian", suite="sid"), "/etc/apt/sources.list").splitlines()
    assert [line.split()[3] for line in bookworm] == ["bookworm", "bookworm-updates", "bookworm-security"]
    assert [line.split()[3] for line in sid] == ["sid"]
    assert all(line.startswith("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ") for line in bookworm)


def test_security_updates_of_an_old_release_have_their_old_name() -> None:
    text = written(act(NONE, "!Debian", suite="buster"), "/etc/apt/sources.list")
    assert " buster/updates main" in text


def test_mirrors_of_the_machine_are_used() -> None:
    machine = Machine(Mirrors(debian="http://mirror.example.org/debian/", debian_security="http://s.example.org/"))
    done = act(Context("c", machine), "!Debian", suite="bookworm")
    (host,) = (action for action in done.actions if isinstance(action, OnHost))
    assert "deb http://mirror.example.org/debian/ bookworm main" in host.words
    assert "deb http://s.example.org/ bookworm-security main" in host.words


def test_other_processors_have_ubuntu_from_its_other_place_unless_a_mirror_is_set() -> None:
    arm = Context("c", Machine(architecture="arm64"))
    assert "http://ports.ubuntu.com/ubuntu-ports/ noble" in written(
        act(arm, "!Ubuntu", codename="noble"), "/etc/apt/sources.list"
    )
    mirrors = Mirrors(ubuntu="http://m.example.org/", ubuntu_security="http://m.example.org/")
    set_ = Context("c", Machine(mirrors, "arm64"))
    assert "ports.ubuntu.com" not in written(act(set_, "!Ubuntu", codename="noble"), "/etc/apt/sources.list")


def test_the_keyring_of_ubuntu_is_one_that_is_known_by_its_sum() -> None:
    fetch = act(NONE, "!Ubuntu", codename="noble").actions[0]
    assert isinstance(fetch, Fetch)
    assert fetch.sha256 == bootstrap.UBUNTU_KEYS_SHA256
    assert all(url.endswith("/pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb") for url in fetch.urls)


def test_an_archive_of_ubuntu_keeps_its_sources() -> None:
    done = act(NONE, "!UbuntuRelease", url="./ubuntu.tar.gz")
    (unpack,) = (action for action in done.actions if isinstance(action, Unpack))
    assert unpack.source == "/work/ubuntu.tar.gz"
    assert "dev" in unpack.without
    assert not written(done, "/etc/apt/sources.list")


def test_an_alpine_root_is_the_first_archive_of_its_version() -> None:
    fetch = act(Context("c", Machine(architecture="arm64")), "!Alpine", version="v3.20").actions[0]
    assert fetch == Fetch(
        ("https://dl-cdn.alpinelinux.org/alpine/v3.20/releases/aarch64/alpine-minirootfs-3.20.0-aarch64.tar.gz",)
    )


# --- packages -----------------------------------------------------------------------------------------------------


def test_no_packages_are_no_work() -> None:
    for context in (BOOKWORM, V322):
        assert packages.install(context, ()) == ((), context)
        assert packages.install_for_build(context, ()) == ((), context)


def test_virtual_packages_of_alpine_have_names_of_their_own() -> None:
    first = act(V322, "!BuildDeps", packages=("gcc", "make"))
    second = act(first.context, "!BuildDeps", packages=("git",))
    names = [a.words[a.words.index("--virtual") + 1] for a in second.actions + first.actions if isinstance(a, Execute)]
    assert len(set(names)) == len(names)


def test_https_sources_need_certificates_once() -> None:
    first = act(NOBLE, "!UbuntuRepo", url="https://x/", suite="s", components=("main",))
    second = act(first.context, "!UbuntuRepo", url="https://y/", suite="s", components=("main",))
    assert [a.title for a in first.actions if isinstance(a, Execute)] == ["apt-get install ca-certificates"]
    assert not [a for a in second.actions if isinstance(a, Execute)]


def test_files_of_sources_have_names_that_apt_reads() -> None:
    done = act(NOBLE, "!UbuntuRepo", url="http://x/", suite="a+b/c", components=("main~1", "x/y"))
    (file,) = (action for action in done.actions if isinstance(action, WriteFile))
    name = file.path.rpartition("/")[2]
    assert name.removesuffix(".list").replace("-", "").replace("_", "").isalnum()


def test_scripts_are_ones_that_a_posix_shell_reads() -> None:
    for script in (apt.SCRIPT, apt.CLEAN_SCRIPT, bootstrap.WITH_KEYS):
        assert subprocess.run([shutil.which("sh") or "sh", "-n", "-c", script], check=False).returncode == 0


# --- sources of the host ------------------------------------------------------------------------------------------

ONE_LINE = """\
# the usual
deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] http://mirror.example.org/debian bookworm main contrib  # here
deb-src http://src.example.org/debian bookworm main
deb http://other.example.org/debian/ bookworm main
deb http://mirror.example.org/debian bookworm-updates main
deb http://security.example.org/ bookworm-security main
"""
DEB822 = """\
Types: deb deb-src
# a comment
URIs: https://mirror.example.org/debian
Suites: bookworm
 bookworm-updates
Components: main

Types: deb
Enabled: no
URIs: http://off.example.org/
Suites: bookworm-security

Types: deb
URIs: http://security.example.org/debian-security
Suites: bookworm-security
Components: main
"""


@pytest.mark.parametrize(
    ("text", "codename", "found"),
    [
        (ONE_LINE, "bookworm", ("http://mirror.example.org/debian/", "http://security.example.org/")),
        (DEB822, "bookworm", ("https://mirror.example.org/debian/", "http://security.example.org/debian-security/")),
        (ONE_LINE + "\n" + DEB822, "trixie", ("", "")),
        ("deb cdrom:[Debian]/ bookworm main\ndeb file:/srv/debian bookworm main\n", "bookworm", ("", "")),
        ("deb http://s.example.org/ buster/updates main\n", "buster", ("", "http://s.example.org/")),
        ("deb\ndeb [x\ndeb http://x\nURIs\n: \n  more\n", "bookworm", ("", "")),
        ("", "bookworm", ("", "")),
    ],
)
def test_mirrors_are_read_from_the_sources_of_the_host(text: str, codename: str, found: tuple[str, str]) -> None:
    assert apt.mirrors_of(text, codename) == found


# --- the end ------------------------------------------------------------------------------------------------------


def test_the_end_makes_what_every_root_has_and_empties_what_is_temporary() -> None:
    context = Context("c", ensured=("/data",), emptied=("/var/cache/x",), removed=("/root/.cache",))
    actions = finish(context, CONTAINER)
    assert actions[:4] == (
        Remove("/etc/resolv.conf"),
        WriteFile("/etc/resolv.conf", "", parents=True),
        Remove("/etc/hosts"),
        WriteFile("/etc/hosts", "", parents=True),
    )
    assert actions[4:8] == (Remove("/root/.cache"), Empty("/tmp"), Empty("/var/tmp"), Empty("/var/cache/x"))
    assert [a.path for a in actions[8:] if isinstance(a, MakeDirectory)] == [
        *("/dev", "/proc", "/run", "/sys", "/tmp", "/work"),
        "/data",
    ]
    assert not [a for a in actions if isinstance(a, Execute | KeepOnly)]


def test_files_of_the_host_that_are_not_shown_are_left_alone() -> None:
    container = Container("c", Mark("vagga.yaml"), resolv_conf_path="", hosts_file_path="/hosts")
    paths = [a.path for a in finish(NONE, container) if isinstance(a, WriteFile)]
    assert paths == ["/hosts"]


def test_data_directories_are_kept_last_of_all() -> None:
    container = Container("c", Mark("vagga.yaml"), data_dirs=("/data",))
    assert finish(NONE, container)[-1] == KeepOnly(("/data",))


def test_a_root_in_which_nothing_was_installed_keeps_its_logs_and_lists() -> None:
    paths = [a.path for a in finish(BOOKWORM, CONTAINER) if isinstance(a, Empty)]
    assert paths == ["/tmp", "/var/tmp"]


@pytest.mark.parametrize(("context", "title"), [(BOOKWORM, "apt-get autoremove"), (V322, "apk del")])
def test_build_dependencies_are_removed_before_all_else(context: Context, title: str) -> None:
    after = act(context, "!BuildDeps", packages=("gcc",)).context
    first = finish(after, CONTAINER)[0]
    assert isinstance(first, Execute)
    assert first.title == title
    without = act(context, "!Install", packages=("curl",)).context
    assert not [a for a in finish(without, CONTAINER) if isinstance(a, Execute)]
