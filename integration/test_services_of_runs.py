"""Runs with services and watches, against a real Consul server: in every way to end but `kill -9` nothing stays."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from integration.consul_server import ConsulServer, consul, serving
from integration.runs import PATIENCE, Project, Running, supervise, wait_until
from vaggapy.supervise.catalog_forms import service_id

__all__ = ["consul"]  # a fixture

END = "until test -e end; do sleep 0.02; done"


def own(name: str) -> str:
    return service_id(name, os.uname().nodename)


def web(**keys: object) -> dict[str, object]:
    return {
        "run": END,
        "health": {"exec": "test ! -e /work/ill", "interval": "50ms", "ttl": "10s"},
        "service": {"port": 8000, "interfaces": ["lo"]},
        **keys,
    }


def registered(project: Project, server: ConsulServer) -> Running:
    """Start the run `up`, and return when its child `web` is passing."""
    run = project.start("up")
    wait_until(lambda: server.status(own("web")) == "passing", "the registration")
    return run


def test_a_service_follows_the_health_of_its_child_and_goes_with_it(project: Project, consul: ConsulServer) -> None:
    project.write(supervise("up", {"web": web()}, consul=consul.address, mode="keep-going"))
    run = registered(project, consul)
    (project.directory / "ill").touch()
    wait_until(lambda: consul.status(own("web")) == "critical", "that it is ill")
    (project.directory / "ill").unlink()
    wait_until(lambda: consul.status(own("web")) == "passing", "that it is well")
    (project.directory / "end").touch()
    assert run.finish().code == 0
    assert own("web") not in consul.services()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_service_is_gone_when_a_signal_ends_the_run(project: Project, consul: ConsulServer, number: int) -> None:
    project.write(supervise("up", {"web": web()}, consul=consul.address))
    run = registered(project, consul)
    run.signal(number)
    assert run.finish().code == 128 + number
    assert own("web") not in consul.services()


def test_a_service_is_gone_when_a_second_signal_kills_the_run(project: Project, consul: ConsulServer) -> None:
    stubborn = web(run="trap 'touch asked' INT; while :; do sleep 0.1; done")
    project.write(supervise("up", {"web": stubborn}, consul=consul.address, kill_unresponsive_after=60))
    run = registered(project, consul)
    run.signal(signal.SIGINT)
    wait_until(lambda: project.has("asked"), "the first signal at the child")
    run.signal(signal.SIGINT)
    assert run.finish().code == 130
    assert own("web") not in consul.services()


def test_a_service_is_gone_when_the_spawner_was_killed(project: Project, consul: ConsulServer) -> None:
    project.write(supervise("up", {"web": web()}, consul=consul.address))
    run = registered(project, consul)
    os.kill(run.spawner(), signal.SIGKILL)
    assert run.finish().code == 124
    assert own("web") not in consul.services()


def test_h13_a_watch_of_consul_starts_what_waits_for_it(project: Project, consul: ConsulServer) -> None:
    late = {"run": "echo late", "when": {"source": "watch.db", "once": "healthy"}}
    watches = {"db": {"consul": "mysql", "interval": "1s"}}
    project.write(supervise("up", {"late": late}, consul=consul.address, watches=watches))
    run = project.start("up")
    wait_until(lambda: run.process.poll() is None and bool(run.spawners()), "the run")
    consul.register("mysql", "mysql-1", 3306)
    try:
        result = run.finish()
    finally:
        consul.deregister("mysql-1")
    assert result.code == 0, result.err
    assert result.out == "late\n"


def test_h15_children_go_on_while_consul_is_away(project: Project, tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with serving(tmp_path / "server") as server:
        project.write(supervise("up", {"web": web()}, consul=server.address, mode="keep-going"))
        run = registered(project, server)
        server.kill()
        server.start()
        wait_until(lambda: server.status(own("web")) == "passing", "the registration after the return", 2 * PATIENCE)
        (project.directory / "end").touch()
        assert run.finish().code == 0
        assert own("web") not in server.services()
