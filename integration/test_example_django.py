"""examples/django-postgres, as its README says: built from the real mirrors, served, tested, killed.

Minutes long without a mirror nearby; skipped where there is none. The roots are built once for the module, in the
first tests, and so is the database.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.builds import remove
from integration.runs import Project, Running, alive, descendants, free_ports, has_ranges, need, wait_until

EXAMPLE = Path(__file__).parents[1] / "examples/django-postgres"
MIRROR = "http://deb.debian.org/debian/"
INDEX = "https://pypi.org/simple/django/"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PASSED = ("SSL_CERT_FILE", "http_proxy", "https_proxy", "no_proxy")
PATIENCE = 900.0
START = 120.0
PORTS = ("PORT", "PGPORT", "REDIS_PORT")


def reachable(address: str) -> bool:
    """Return whether a mirror answers."""
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a directory for roots, cache and database that the tests of this module share."""
    need(shutil.which("mmdebstrap") is not None, "mmdebstrap is not installed")
    need(os.path.exists(KEYRING), "the keyring of Debian is not installed")
    need(has_ranges(), "the caller has one id only")
    need(reachable(f"{MIRROR}dists/bookworm/InRelease"), "the mirror of Debian cannot be reached")
    need(reachable(INDEX), "the Python package index cannot be reached")
    directory = tmp_path_factory.mktemp("storage")
    yield directory
    remove(directory)


class Guestbook:
    """The example in a directory of its own, on ports that are free."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))

    def options(self) -> list[str]:
        return [word for name, port in self.ports.items() for word in ("-E", f"{name}={port}")]

    def start(self, *words: str) -> Running:
        return self.project.start(*self.options(), *words)

    def output(self, *words: str) -> str:
        """Return what a command that succeeds prints."""
        result = self.project.run(*self.options(), *words, seconds=START)
        assert result.code == 0, result
        return result.out.strip()

    def ask(self, path: str = "", text: str | None = None) -> dict[str, object]:
        """Send one request, a POST if there is a text; return the answer."""
        data = None if text is None else text.encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.ports['PORT']}/{path}", data, timeout=START) as answer:
            found: dict[str, object] = json.load(answer)
            return found

    def serves(self) -> bool:
        """Return whether the whole stack answers."""
        try:
            return bool(self.ask("health"))
        except (OSError, urllib.error.HTTPError):
            return False

    def wait(self, running: Running) -> None:
        """Wait until the whole stack answers."""
        wait_until(lambda: self.serves() or running.process.poll() is not None, "the stack answers", START)
        assert running.process.poll() is None, running.finish()

    def stop(self, running: Running) -> None:
        running.signal(signal.SIGINT)
        result = running.finish(START)
        assert result.code == 130, result


@pytest.fixture
def example(project: Project, storage: Path) -> Project:
    """Return a copy of the example."""
    settings = project.home / ".config/vagga"
    settings.mkdir(parents=True)
    (settings / "settings.yaml").write_text(
        f"storage-dir: {storage}\nstorage-subdir-from-env-var: PLACE\ndebian-mirror: {MIRROR}\n"
    )
    project.environ["PLACE"] = "one"
    project.environ.update({name: os.environ[name] for name in PASSED if name in os.environ})
    unwanted = shutil.ignore_patterns(".vagga", "__pycache__")
    shutil.copytree(EXAMPLE, project.directory, dirs_exist_ok=True, ignore=unwanted)
    return project


@pytest.fixture
def guestbook(example: Project) -> Guestbook:
    """Return the example with its roots built."""
    for name in ("services", "app"):
        build(example, name)
    return Guestbook(example)


def build(project: Project, name: str) -> str:
    """Build a container; return what was told."""
    result = project.run("_build", name, seconds=PATIENCE)
    assert result.code == 0, result.err[-3000:]
    return result.err


def test_the_container_of_the_servers_is_built(example: Project) -> None:
    build(example, "services")
    assert "15." in example.run("_run", "services", "postgres", "--version").out
    assert "v=7." in example.run("_run", "services", "redis-server", "--version").out


def test_the_container_of_the_application_is_built_on_top_of_it(example: Project) -> None:
    build(example, "services")
    assert "[1/6]" not in build(example, "app")
    assert build(example, "app") == ""
    assert example.run("_run", "app", "python3", "-m", "django", "--version").out.startswith("5.2.")


def test_requests_reach_postgresql_and_redis_and_what_is_written_stays(guestbook: Guestbook) -> None:
    running = guestbook.start("run_full_app")
    guestbook.wait(running)
    assert guestbook.ask(text="first")["id"]
    assert guestbook.ask()["from"] == "postgresql"
    again = guestbook.ask()
    assert (again["notes"][0], again["from"]) == ("first", "redis")  # type: ignore[index]
    # The servers themselves say so, to programs of their own.
    assert guestbook.output("psql", "-Atc", "SELECT text FROM guestbook_note ORDER BY id DESC LIMIT 1") == "first"
    keys = guestbook.output("_run", "services", "redis-cli", "-p", str(guestbook.ports["REDIS_PORT"]), "KEYS", "*")
    assert "latest-notes" in keys
    visits = [guestbook.ask("health")["visits"] for _ in range(2)]
    assert visits[0] + 1 == visits[1]  # type: ignore[operator]
    assert guestbook.output("manage", "makemigrations", "--check") == "No changes detected"
    guestbook.stop(running)

    running = guestbook.start("run_full_app")
    guestbook.wait(running)
    assert guestbook.ask()["notes"] == again["notes"]
    assert guestbook.ask("health")["visits"] in range(2, 100)
    guestbook.stop(running)


def test_the_web_server_is_restarted_in_a_terminal_of_its_own(guestbook: Guestbook) -> None:
    rest = guestbook.start("run_full_app", "--exclude", "web")
    for text in ("one", "two"):
        web = guestbook.start("run_full_app", "--only", "web")
        guestbook.wait(web)
        guestbook.ask(text=text)
        guestbook.stop(web)
    assert guestbook.output("psql", "-Atc", "SELECT text FROM guestbook_note ORDER BY id DESC LIMIT 2") == "two\none"
    guestbook.stop(rest)


def test_a_second_database_server_on_the_same_files_is_refused(guestbook: Guestbook) -> None:
    running = guestbook.start("run_full_app")
    guestbook.wait(running)
    other = Guestbook(guestbook.project)
    result = other.start("run_full_app").finish(START)
    assert result.code == 1
    assert "a second PostgreSQL may not use the same files" in result.out
    assert "vagga: db exited with code 1" in result.err
    assert guestbook.ask(text="still there")["id"]
    guestbook.stop(running)


def test_the_tests_run_in_stacks_of_their_own_side_by_side(guestbook: Guestbook) -> None:
    """Two runs of two stacks, all on the same numbers of ports, beside the application itself."""
    application = guestbook.start("run_full_app")
    guestbook.wait(application)
    guestbook.ask(text="kept")
    for running in [guestbook.project.start("--prefix", "test") for _ in range(2)]:
        result = running.finish(START)
        assert result.code == 0, result
        for name in ("pages", "storage"):
            assert re.search(rf"^{name} +\| OK$", result.out + result.err, re.MULTILINE), result
    assert guestbook.ask()["notes"][0] == "kept"  # type: ignore[index]
    guestbook.stop(application)


def test_a_test_that_fails_gives_the_exit_code_and_is_named(guestbook: Guestbook) -> None:
    store = guestbook.project.directory / "guestbook/store.py"
    store.write_text(store.read_text().replace("cache.delete(LATEST)", "pass"))
    result = guestbook.project.run("test", seconds=START)
    assert result.code == 1, result
    assert "FAILED (failures=" in result.err
    assert re.fullmatch(
        r"vagga: storage exited with code 1 after .* s; vagga exits with 1", result.err.splitlines()[-1]
    )


def test_nothing_survives_a_kill_and_the_database_recovers(guestbook: Guestbook) -> None:
    running = guestbook.start("run_full_app")
    guestbook.wait(running)
    guestbook.ask(text="before the kill")
    below = descendants(running.pid)
    assert len(below) > 10
    running.signal(signal.SIGKILL)
    assert running.finish().code == -signal.SIGKILL
    wait_until(lambda: not alive(below), "nothing is left")
    running = guestbook.start("run_full_app")
    guestbook.wait(running)
    assert guestbook.ask()["notes"][0] == "before the kill"  # type: ignore[index]
    guestbook.stop(running)
