"""Where built roots are kept: places, links, names that are never half there, locks."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from vaggapy.build import store
from vaggapy.config.model import Settings
from vaggapy.errors import CommandError, ExitCode, Interrupted, VaggaError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    return directory


def places(
    project: Path, create: bool = True, environ: dict[str, str] | None = None, storage_dir: str = "", variable: str = ""
) -> store.Places:
    settings = Settings(storage_dir=storage_dir, storage_subdir_from_env_var=variable)
    return store.places(str(project), settings, environ or {}, create)


def refused(project: Path, **more: object) -> VaggaError:
    with pytest.raises(VaggaError) as caught:
        places(project, **more)  # type: ignore[arg-type]  # passed on
    assert caught.value.name == "storage"
    assert caught.value.remedy
    return caught.value


# --- places -------------------------------------------------------------------------------------------------------


def test_everything_is_in_the_project_unless_settings_say_otherwise(project: Path) -> None:
    found = places(project)
    assert found.base == found.links == f"{project}/.vagga"
    assert found.cache == f"{project}/.vagga/.cache"
    assert {path.name for path in (project / ".vagga").iterdir()} == {".roots", ".layers", ".volumes", ".cache"}


def test_looking_makes_nothing(project: Path) -> None:
    places(project, create=False)
    places(project, create=False, storage_dir=f"{project}/storage")
    assert not list(project.iterdir())


def test_a_version_is_in_a_directory_of_eight_digits(project: Path) -> None:
    assert places(project).root("c", "0123456789abcdef").endswith("/.roots/c.01234567")


def test_a_storage_elsewhere_is_linked_in_both_directions(project: Path, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    found = places(project, storage_dir=str(storage))
    assert found.base == f"{storage}/project"
    assert os.readlink(project / ".vagga/.lnk") == found.base
    assert os.readlink(storage / "project/.lnk") == str(project)
    assert places(project, storage_dir=str(storage)) == found


def test_names_that_are_taken_get_numbers_up_to_a_hundred(project: Path, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    for name in ("project", *(f"project-{number}" for number in range(1, 100))):
        (storage / name).mkdir(parents=True)
    assert places(project, storage_dir=str(storage)).base == f"{storage}/project-100"
    (project / ".vagga/.lnk").unlink()
    error = refused(project, storage_dir=str(storage))
    assert (error.code, "100" in error.what) == (ExitCode.CONFIG, True)


@pytest.mark.parametrize(
    ("value", "name"), [("job", "job"), ("a b/../c", "a-b----c"), ("..", "--"), ("é", "-"), ("A_1-x", "A_1-x")]
)
def test_a_variable_that_names_the_storage_cannot_lead_out_of_it(
    project: Path, tmp_path: Path, value: str, name: str
) -> None:
    assert places(project, True, {"JOB": value}, f"{tmp_path}/storage", "JOB").base == f"{tmp_path}/storage/{name}"
    assert not os.path.lexists(project / ".vagga/.lnk")


def test_a_variable_that_is_empty_names_nothing(project: Path, tmp_path: Path) -> None:
    error = refused(project, storage_dir=f"{tmp_path}/storage", variable="JOB")
    assert "JOB" in error.what
    assert error.code == ExitCode.CONFIG


@pytest.mark.parametrize("target", ["../../elsewhere/project", "../../storage/gone", "/", "../../storage/a/b"])
def test_a_link_that_leads_to_no_directory_of_the_storage_is_refused(
    project: Path, tmp_path: Path, target: str
) -> None:
    (tmp_path / "elsewhere/project").mkdir(parents=True)
    (tmp_path / "storage/a/b").mkdir(parents=True)
    (project / ".vagga").mkdir()
    (project / ".vagga/.lnk").symlink_to(target)
    error = refused(project, storage_dir=f"{tmp_path}/storage")
    assert ".lnk" in error.what
    assert error.code == ExitCode.CONFIG


def test_a_link_in_the_place_of_the_storage_is_refused(project: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (project / ".vagga").symlink_to(tmp_path / "outside")
    assert "symbolic link" in refused(project).what
    assert not list((tmp_path / "outside").iterdir())


def test_a_file_in_the_place_of_the_storage_is_told(project: Path) -> None:
    (project / ".vagga").touch()
    assert ".vagga" in refused(project).what


# --- links and facts ----------------------------------------------------------------------------------------------


def version(found: store.Places, name: str, mark: str = "") -> str:
    directory = found.root("c", name)
    os.makedirs(f"{directory}/root")
    store.write(f"{directory}/mark", mark or name)
    return directory


@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_link_leads_to_the_root_that_was_used_last(project: Path, tmp_path: Path, elsewhere: bool) -> None:
    found = places(project, storage_dir=f"{tmp_path}/storage") if elsewhere else places(project)
    assert store.linked(found, "c") == ""
    for name in ("1" * 8, "2" * 8, "1" * 8):
        directory = version(found, name) if not os.path.isdir(found.root("c", name)) else found.root("c", name)
        store.link(found, "c", directory)
        assert store.linked(found, "c") == directory
        assert os.path.samefile(f"{project}/.vagga/c", f"{directory}/root")
        assert not os.path.isabs(os.readlink(f"{project}/.vagga/c"))
    assert not [name for name in os.listdir(found.links) if name.startswith(".tmp")]


def test_a_link_that_got_no_name_is_removed_when_its_maker_is_gone(project: Path) -> None:
    found = places(project)
    store.link(found, "c", version(found, "1" * 8))
    gone = max(int(name) for name in os.listdir("/proc") if name.isdigit()) + 2**22
    kept = {"c", f".tmp.c.{os.getpid()}", ".tmp.c", "x.tmp.1", ".lnk"}
    for name in (*(kept - {"c"}), f".tmp.c.{gone}"):
        os.symlink(".roots", f"{found.links}/{name}")
    store.remove_half_links(found)
    assert {name for name in os.listdir(found.links) if os.path.islink(f"{found.links}/{name}")} == kept


def test_what_is_in_the_place_of_a_link_is_told_and_stays(project: Path) -> None:
    found = places(project)
    (project / ".vagga/c/precious").mkdir(parents=True)
    with pytest.raises(VaggaError) as caught:
        store.link(found, "c", version(found, "1" * 8))
    assert caught.value.name == "storage"
    assert (project / ".vagga/c/precious").is_dir()
    assert not [name for name in os.listdir(found.links) if name.startswith(".tmp")]


def test_a_root_is_built_only_with_its_version_and_ids(project: Path) -> None:
    directory = version(places(project), "1" * 8)
    assert not store.is_built(directory, "1" * 128, "0 0 1\n")
    store.write(f"{directory}/version", "1" * 128)
    store.write(f"{directory}/maps", "0 0 1\n")
    assert store.is_built(directory, "1" * 128, "0 0 1\n")
    assert not store.is_built(directory, "1" * 127 + "2", "0 0 1\n")
    assert not store.is_built(directory, "1" * 128, "0 0 2\n")
    assert store.built_maps(directory) == "0 0 1\n"
    assert store.built_maps(f"{directory}/none") == ""


def test_facts_may_hold_any_text(project: Path) -> None:
    store.write(f"{project}/facts", "A=1\0B=x=y\nz\0C=\0")
    assert store.facts(f"{project}/facts") == {"A": "1", "B": "x=y\nz", "C": ""}
    assert store.facts(f"{project}/none") == {}


# --- names --------------------------------------------------------------------------------------------------------


def make(directory: Path, text: str) -> str:
    directory.mkdir()
    (directory / "mark").write_text(text)
    return str(directory)


def test_a_new_directory_takes_a_free_name(tmp_path: Path) -> None:
    store.replace(make(tmp_path / "new", "new"), f"{tmp_path}/place", f"{tmp_path}/old")
    assert (tmp_path / "place/mark").read_text() == "new"
    assert os.listdir(tmp_path) == ["place"]


def test_a_new_directory_takes_the_place_of_another_which_is_kept(tmp_path: Path) -> None:
    make(tmp_path / "place", "old")
    store.replace(make(tmp_path / "new", "new"), f"{tmp_path}/place", f"{tmp_path}/old")
    assert (tmp_path / "place/mark").read_text() == "new"
    assert (tmp_path / "old/mark").read_text() == "old"
    assert not (tmp_path / "new").exists()


def test_a_name_is_taken_only_if_it_is_free(tmp_path: Path) -> None:
    make(tmp_path / "place", "old")
    assert not store.put(make(tmp_path / "new", "new"), f"{tmp_path}/place")
    assert (tmp_path / "place/mark").read_text() == "old"
    assert store.put(f"{tmp_path}/new", f"{tmp_path}/other")
    assert (tmp_path / "other/mark").read_text() == "new"


def test_what_is_retired_is_not_found_under_its_name(tmp_path: Path) -> None:
    gone = store.retire(make(tmp_path / "c.12345678", "old"))
    assert not (tmp_path / "c.12345678").exists()
    assert Path(gone).parent == tmp_path
    assert Path(gone).name.startswith(".tmp.")


# --- locks --------------------------------------------------------------------------------------------------------


def no_pause(_seconds: float) -> None:
    """Do not wait."""


def test_who_holds_a_directory_keeps_it_from_being_claimed(tmp_path: Path) -> None:
    one, other = store.hold(str(tmp_path)), store.hold(str(tmp_path))
    assert one >= 0 and other >= 0
    assert store.claim(str(tmp_path)) == -1
    os.close(one)
    assert store.claim(str(tmp_path)) == -1
    os.close(other)
    claimed = store.claim(str(tmp_path))
    assert claimed >= 0
    os.close(claimed)


def test_what_is_not_there_can_neither_be_held_nor_claimed(tmp_path: Path) -> None:
    assert store.hold(f"{tmp_path}/none") == store.claim(f"{tmp_path}/none") == -1


@pytest.fixture
def other(project: Path) -> Iterator[int]:
    """Hold the lock of `c`, as another vagga does."""
    fd = os.open(f"{places(project).roots}/.tmp.c.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    yield fd
    os.close(fd)


def test_a_lock_is_taken_and_given_back_and_its_file_stays(project: Path) -> None:
    found = places(project)
    lock = store.Lock(found, "c")
    for _ in range(2):
        lock.acquire(False, pytest.fail, no_pause)
        with pytest.raises(CommandError):
            store.Lock(found, "c").acquire(False, pytest.fail, no_pause)
        lock.release()
        lock.release()
    assert os.path.exists(lock.path)


def test_a_lock_that_is_taken_is_an_error_unless_one_may_wait(project: Path, other: int) -> None:
    with pytest.raises(CommandError) as caught:
        store.Lock(places(project), "c").acquire(False, pytest.fail, no_pause)
    assert (caught.value.name, caught.value.code) == ("build-locked", ExitCode.COMMAND)
    store.Lock(places(project), "d").acquire(False, pytest.fail, no_pause)


def test_who_waits_for_a_lock_says_so_once_and_goes_on_when_it_is_free(project: Path, other: int) -> None:
    told: list[str] = []
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 20:
            fcntl.flock(other, fcntl.LOCK_UN)

    lock = store.Lock(places(project), "c")
    lock.acquire(True, told.append, pause)
    lock.release()
    assert (len(told), len(pauses)) == (1, 20)
    assert "container c" in told[0]


def test_a_signal_ends_the_wait_for_a_lock(project: Path, other: int) -> None:
    def pause(_seconds: float) -> None:
        raise Interrupted(2)

    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(Interrupted):
        store.Lock(places(project), "c").acquire(True, pytest.fail, pause)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_lock_whose_file_was_replaced_is_taken_on_the_new_one(project: Path, other: int) -> None:
    lock = store.Lock(places(project), "c")

    def pause(_seconds: float) -> None:
        os.unlink(lock.path)

    lock.acquire(True, lambda _: None, pause)
    assert os.path.samestat(os.stat(lock.path), os.stat(f"/proc/self/fd/{lock._fd}"))
    lock.release()
