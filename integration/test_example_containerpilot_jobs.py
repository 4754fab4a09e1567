"""examples/containerpilot-jobs, as its README says, with a Consul server: jobs, events, watches, services."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from integration import examples
from integration.consul_server import ConsulServer, consul  # noqa: F401 - a fixture
from integration.examples import Example
from integration.runs import Project, wait_until


@pytest.fixture
def example(project: Project, consul: ConsulServer) -> Iterator[Example]:  # noqa: F811 - the fixture
    with examples.example(project, "containerpilot-jobs", "PORT") as found:
        file = found.directory / "vagga.yaml"
        address = consul.address.removeprefix("http://")
        file.write_text(file.read_text().replace("127.0.0.1:8500", address))
        yield found


def passing(consul: ConsulServer, name: str) -> int:  # noqa: F811 - the fixture
    return len(consul.ask(f"/health/service/{name}?passing=1"))


def test_the_application_is_a_service_while_it_is_healthy_and_gone_after_the_stop(
    example: Example,
    consul: ConsulServer,  # noqa: F811 - the fixture
) -> None:
    running = example.start("run")
    wait_until(lambda: passing(consul, "app") == 1, "app in Consul")
    example.wait_for("app is healthy")
    assert example.end(running, signal.SIGTERM) == 143
    assert consul.ask("/health/service/app") == []
    said = example.said()
    assert said.index("draining") < said.index("put away")


def test_a_backend_that_comes_and_goes_runs_the_reload_each_time(
    example: Example,
    consul: ConsulServer,  # noqa: F811 - the fixture
) -> None:
    running = example.start("run")
    example.wait_for("serving")
    backend = example.start("backend")
    example.wait_for("backends: 127.0.0.1:9001")
    wait_until(lambda: example.page("PORT") == "127.0.0.1:9001\n", "the backend in the page")
    assert example.end(backend, signal.SIGINT) == 130
    example.wait_for("backends: none")
    wait_until(lambda: example.project.read("data/backends") == "", "no backend")
    assert example.end(running, signal.SIGINT) == 130
    assert passing(consul, "backend") == 0


def test_r1_e12_the_backup_runs_four_times_and_e16_a_signal_runs_its_job(example: Example) -> None:
    file = example.directory / "vagga.yaml"
    file.write_text(file.read_text().replace("interval: 2s}", "interval: 300ms}\n        timeout: 60s"))
    running = example.start("run")
    example.wait_for("backup 4")
    running.signal(signal.SIGUSR2)
    example.wait_for("kill -USR2 runs this")
    running.signal(signal.SIGUSR2)
    example.wait_for("kill -USR2 runs this", 2)
    assert example.end(running, signal.SIGTERM) == 143
    assert "backup 5" not in example.said()
