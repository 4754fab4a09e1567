"""Settings files: which are read, in which order, what may stand in whose, and that a project gets them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vaggapy.config import fields, settings
from vaggapy.config.load import Found, Loaded, read_project
from vaggapy.config.model import Settings
from vaggapy.config.others import Others
from vaggapy.errors import ConfigError

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
VALID = "containers:\n  py: {setup: [!Host]}\n"


class Places:
    """A home and a project in it; `write` makes settings files."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.project = self.home / "project"
        self.project.mkdir(parents=True)
        (self.project / "vagga.yaml").write_text(VALID)
        self.environ = {"HOME": str(self.home)}

    def write(self, name: str, text: str) -> Path:
        """Write a file below the home directory."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def load(self) -> Loaded:
        file = str(self.project / "vagga.yaml")
        return read_project(Found(str(self.project), file, (file,)), dict, self.environ)

    def settings(self) -> Settings:
        return self.load().project.settings

    def problems(self) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            self.load()
        return [line.replace(f"{self.home}/", "") for line in caught.value.lines()]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


USER = [".config/vagga/settings.yaml", ".vagga/settings.yaml", ".vagga.yaml"]
PROJECT = ["project/.vagga.settings.yaml", "project/.vagga/settings.yaml"]


def test_without_any_file_everything_is_as_the_model_says(places: Places) -> None:
    loaded = places.load()
    assert loaded.project.settings == Settings()
    assert loaded.inputs == (str(places.project / "vagga.yaml"),)
    assert [Path(path).relative_to(places.home).as_posix() for path in loaded.missing] == [*USER, *PROJECT]


def test_later_files_win_and_the_variable_stands_between_user_and_project(places: Places) -> None:
    order = [*USER, "", *PROJECT]
    for number, name in enumerate(order):
        text = f"debian-mirror: http://d{number}\n"
        if name:
            places.write(name, text)
        else:
            places.environ["VAGGA_SETTINGS"] = text
        assert places.settings().debian_mirror == f"http://d{number}/"
    assert len(places.load().inputs) == 1 + len(USER) + len(PROJECT)
    assert places.load().missing == ()


def test_a_file_says_only_what_is_written_in_it(places: Places) -> None:
    places.write(USER[0], "build-lock-wait: true\nubuntu-mirror: http://u\n")
    places.write(PROJECT[0], "alpine-mirror: https://a/x/\nubuntu-mirror:\n")
    found = places.settings()
    assert (found.build_lock_wait, found.ubuntu_mirror, found.alpine_mirror) == (True, "http://u/", "https://a/x/")


def test_every_key_of_a_user_reaches_the_project(places: Places) -> None:
    places.write(
        USER[0],
        "storage_dir: ~/images/\ncache-dir: /var//cache\nstorage-subdir-from-env-var: SUB\nproxy-env-vars: false\n"
        "build-lock-wait: true\ndisable-auto-clean: true\nversion-check: false\nrun-symlinks-as-commands: false\n"
        "ubuntu-skip-locking: true\nauto-apply-sysctl: true\nenviron: {A: b, E: }\npropagate_environ: [LC_*]\n"
        "external-volumes: {v: ~/v, w.x: /w/}\n",
    )
    assert places.settings() == Settings(
        storage_dir=f"{places.home}/images",
        storage_subdir_from_env_var="SUB",
        cache_dir="/var/cache",
        build_lock_wait=True,
        disable_auto_clean=True,
        proxy_env_vars=False,
        version_check=False,
        run_symlinks_as_commands=False,
        ubuntu_skip_locking=True,
        auto_apply_sysctl=True,
        environ={"A": "b", "E": ""},
        propagate_environ=("LC_*",),
        external_volumes={"v": f"{places.home}/v", "w.x": "/w"},
    )


def test_every_key_of_a_project_reaches_it(places: Places) -> None:
    places.write(
        PROJECT[0],
        "build-lock-wait: true\ndisable-auto-clean: true\nversion-check: false\nrun-symlinks-as-commands: false\n"
        "ubuntu-skip-locking: true\nenviron: {A: b}\nindex-all-images: true\nhard-link-identical-files: true\n"
        "hard-link-between-projects: true\nversioned-build-dir: true\n",
    )
    assert places.settings() == Settings(
        build_lock_wait=True,
        disable_auto_clean=True,
        version_check=False,
        run_symlinks_as_commands=False,
        ubuntu_skip_locking=True,
        environ={"A": "b"},
    )


def test_variables_and_volumes_count_by_name_and_later_files_win(places: Places) -> None:
    places.write(USER[0], "environ: {A: 1, B: 1}\nexternal-volumes: {v: /1, w: /1}\n")
    site = f"site-settings: {{{places.project}: {{environ: {{C: 2}}, external-volumes: {{w: /2}}}}}}"
    places.write(USER[1], f"environ: {{B: 2, C: 1}}\n{site}")
    places.write(PROJECT[1], "environ: {D: 3, A: 3}")
    found = places.settings()
    assert found.environ == {"A": "3", "B": "2", "C": "2", "D": "3"}
    assert found.external_volumes == {"v": "/1", "w": "/2"}


def test_what_is_propagated_accumulates(places: Places) -> None:
    places.write(USER[0], "propagate-environ: [A, LC_*]")
    places.write(USER[2], "propagate-environ: [B, A]")
    places.environ["VAGGA_SETTINGS"] = "propagate-environ: ['*_TOKEN']"
    assert places.settings().propagate_environ == ("A", "LC_*", "B", "*_TOKEN")


def test_each_value_knows_where_it_was_written(places: Places) -> None:
    places.write(USER[0], "cache-dir: /c\nenviron: {A: 1, B: 1}\n")
    places.write(PROJECT[0], "build-lock-wait: true\nenviron:\n  B: 2\n")
    origins = Others(str(places.project)).settings(places.environ).origins
    assert {key: str(mark).replace(f"{places.home}/", "") for key, mark in origins.items()} == {
        "cache-dir": f"{USER[0]}:1:1",
        "environ.A": f"{USER[0]}:2:11",
        "build-lock-wait": f"{PROJECT[0]}:1:1",
        "environ.B": f"{PROJECT[0]}:3:3",
    }


def test_keys_without_effect_are_accepted_with_their_types(places: Places) -> None:
    places.write(USER[0], "push-image-script: curl $image_path\nversioned-build-dir: true\n")
    assert places.settings() == Settings()
    places.write(USER[0], "push-image-script: [a]\nversioned-build-dir: maybe\n")
    assert [line.rpartition(" ")[2] for line in places.problems()] == ["[wrong-type]"] * 2


def test_a_project_can_decline_the_shared_cache(places: Places) -> None:
    places.write(USER[0], "cache-dir: /c\n")
    places.write(PROJECT[0], "shared-cache: false\n")
    assert places.settings().cache_dir == ""
    places.write(PROJECT[1], "shared-cache: true\n")
    assert places.settings().cache_dir == "/c"


def test_site_settings_count_for_their_project_only_and_after_those_of_their_file(places: Places) -> None:
    places.write(
        USER[0],
        f"cache-dir: /mine\nsite-settings:\n  {places.project}/: {{cache-dir: ~/c}}\n  /other: {{storage-dir: /no}}\n",
    )
    assert places.settings() == Settings(cache_dir=f"{places.home}/c")
    places.write(USER[1], "cache-dir: /later\n")
    assert places.settings().cache_dir == "/later"


def test_the_variable_may_be_json(places: Places) -> None:
    places.environ["VAGGA_SETTINGS"] = '{"cache-dir": "/c", "build-lock-wait": true}'
    assert places.settings() == Settings(cache_dir="/c", build_lock_wait=True)


@pytest.mark.parametrize("home", ["", "relative", None])
def test_without_a_home_only_the_variable_and_the_project_count(places: Places, home: str | None) -> None:
    places.write(USER[0], "nonsense: 1")
    places.environ = {} if home is None else {"HOME": home}
    assert len(places.load().missing) == len(PROJECT)


def test_a_home_that_is_a_project_keeps_the_rights_of_a_home(places: Places) -> None:
    places.project = places.home
    places.write("vagga.yaml", VALID)
    places.write(".vagga/settings.yaml", "cache-dir: /c\n")
    assert places.settings().cache_dir == "/c"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cache_dr: /x", ":1:1: unknown key 'cache_dr' in the settings (did you mean 'cache-dir'?) [unknown-key]"),
        ("xyzzy: 1", ":1:1: unknown key 'xyzzy' in the settings (the keys are listed in docs/settings.md)"),
        ("shared-cache: true", ":1:1: unknown key 'shared-cache' in the settings (the keys are"),
        ("cache-dir: x", ":1:12: 'cache-dir' 'x' is not absolute (begin it with '/') [bad-path]"),
        ("cache-dir: ~root/x", ":1:12: 'cache-dir' '~root/x' is not absolute"),
        ("storage-dir: ~/../x", "' holds '..' (write the path without it) [bad-path]"),
        ("storage-dir: /", ":1:14: 'storage-dir' '/' names the root itself"),
        ("storage-subdir-from-env-var: a-b", ":1:30: 'a-b' of 'storage-subdir-from-env-var' names no variable"),
        ("build-lock-wait: yes", ":1:18: 'build-lock-wait' must be true or false, not 'yes' (write true) [wrong-type]"),
        ("version-check: 1", ":1:16: 'version-check' must be true or false, not '1' [wrong-type]"),
        ("environ: [A]", ":1:10: 'environ' must be keys and values"),
        ("environ: {A=B: c}", ":1:11: bad name 'A=B' of an environment variable"),
        ("external-volumes: {a/b: /x}", ":1:20: bad name 'a/b' of an external volume (letters, digits and '_-.'"),
        ("external-volumes: {..: /x}", ":1:20: bad name '..' of an external volume"),
        ("external-volumes: {a: x}", ":1:23: 'a' 'x' is not absolute (begin it with '/') [bad-path]"),
        ("propagate-environ: [A-B]", ":1:21: 'A-B' of 'propagate-environ' names no variables (letters, digits"),
        ("propagate-environ: A", ":1:20: 'propagate-environ' must be a list"),
        ("site-settings: {/x: {propagate-environ: [A]}}", ":1:22: unknown key 'propagate-environ' in the settings"),
        ("site-settings: {/x: {xyzzy: y}}", ":1:22: unknown key 'xyzzy' in the settings of '/x'"),
        ("site-settings: {/x: {proxy-env-vars: true}}", ":1:22: unknown key 'proxy-env-vars' in the settings of '/x'"),
        ("site-settings: {x: {cache-dir: /y}}", ":1:17: project 'x' is not absolute (begin it with '/') [bad-path]"),
        ("[a]", ":1:1: the settings must be keys and values"),
        ("a: [", ":1:5: "),
    ],
)  # fmt: skip
def test_a_mistake_of_a_user_is_one_line_with_its_place(places: Places, text: str, expected: str) -> None:
    places.write(USER[0], text)
    [line] = places.problems()
    assert line.startswith(USER[0]) and expected in line


@pytest.mark.parametrize(
    "key",
    ["storage-dir: /x", "cache_dir: /x", "proxy-env-vars: true", "site-settings: {}", "propagate-environ: [A]",
     "external-volumes: {a: /x}", "push-image-script: x", "auto-apply-sysctl: true"],
)  # fmt: skip
def test_what_only_a_user_may_say_has_no_place_in_a_project(places: Places, key: str) -> None:
    places.write(PROJECT[0], key)
    assert places.problems() == [
        f"{PROJECT[0]}:1:1: key '{key.partition(':')[0]}' has no place in a project's settings "
        "(write it into ~/.config/vagga/settings.yaml) [unknown-key]"
    ]


@pytest.mark.parametrize("url", ["http://h", "https://h:8080/a/", "http://u:p@h/a_b~1/", "http://[::1]:80/x"])
def test_a_mirror_gets_one_slash_at_its_end(places: Places, url: str) -> None:
    places.write(USER[0], f"ubuntu-mirror: {url}\nalpine-mirror: {url}//\n")
    assert places.settings().ubuntu_mirror == places.settings().alpine_mirror == url.rstrip("/") + "/"


@pytest.mark.parametrize(
    "url",
    [
        "debian/", "/debian", "//h/x", "ftp://h/", "file:///x", "http://", "http:///x", "'http://h/a b'", "http://h/?q",
        "http://h/#f", '"http://h/\\nx"', "'http://h/[trusted=yes]'", "mirror://mirrors.ubuntu.com/mirrors.txt",
        "http://h:x/", "'http://h/\"'", "http://é/",
    ],
)  # fmt: skip
def test_what_is_no_address_of_a_mirror_is_refused(places: Places, url: str) -> None:
    places.write(PROJECT[0], f"debian-mirror: {url}")
    [line] = places.problems()
    assert ":1:16: 'debian-mirror' is no address of a mirror: '" in line
    assert line.endswith("(as in https://deb.debian.org/debian/) [bad-value]")


def test_mistakes_of_all_files_come_at_once(places: Places) -> None:
    places.write(USER[0], "x: y")
    places.write(PROJECT[1], "z: y")
    places.environ["VAGGA_SETTINGS"] = "v: w"
    places.write("project/vagga.yaml", "comands: {}")
    places_ = [line.partition(":")[0] for line in places.problems()]
    assert places_ == [USER[0], "VAGGA_SETTINGS", PROJECT[1], "project/vagga.yaml"]


def test_a_settings_file_that_is_no_file_is_one_line(places: Places) -> None:
    (places.home / ".vagga.yaml").mkdir()
    assert places.problems() == [".vagga.yaml: is a directory (make it a file, or remove it) [config-not-a-file]"]


def test_the_page_lists_every_key_with_its_type_default_and_places() -> None:
    rows = {key: (kind, default, where) for key, kind, default, where, _ in ROW.findall(PAGE)}
    expected = {}
    for key, field in {**settings.USER, **settings.PROJECT}.items():
        if field.state != fields.LATER:
            tables = (("user", settings.USER), ("site", settings.SITE), ("project", settings.PROJECT))
            where = ", ".join(name for name, table in tables if key in table)
            expected[key] = (field.type, f"`{field.default}`" if field.default else "none", where)
    assert rows == expected


def test_the_page_lists_the_files_in_order_and_says_what_has_no_effect() -> None:
    named = re.findall(r"^\d\. `([^`]+)`,? ?", PAGE.partition("## Keys")[0], re.MULTILINE)
    assert named == [*(f"~/{name}" for name in settings.OF_USER), settings.VARIABLE, *settings.OF_PROJECT]
    unused = {key for key, _, _, _, meaning in ROW.findall(PAGE) if meaning.startswith("accepted, no effect")}
    assert unused == {key for key, field in settings.ALL.items() if field.state == fields.NO_EFFECT}
