"""Two runs of one project, or of two copies of it, on one machine: each has its services in Consul."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack

import pytest

from integration.consul_server import ConsulServer, consul
from integration.runs import Project, supervise, wait_until
from integration.test_consul import WEB, catalog, own, troubles
from vaggapy.supervise.catalog_forms import service_id

__all__ = ["consul"]  # a fixture

FIRST, SECOND, THIRD = (service_id("web", os.uname().nodename, number) for number in (1, 2, 3))
OURS = {FIRST, SECOND, THIRD}
SERVED = {
    "run": "exec sleep 600",
    "health": {"exec": "true", "interval": "100ms", "ttl": "10s"},
    "service": {"port": 8000, "interfaces": ["lo"]},
}


def is_passing(server: ConsulServer, *ids: str) -> bool:
    return {name for name in OURS if server.status(name) == "passing"} == set(ids)


@pytest.mark.parametrize("first_to_end", [0, 1])
def test_each_run_has_its_own_service_and_takes_only_that_away(
    project: Project, consul: ConsulServer, first_to_end: int
) -> None:
    """supervision 11.4."""
    project.write(supervise("up", {"web": SERVED}, consul=consul.address))
    runs = []
    for ids in ((FIRST,), (FIRST, SECOND)):
        runs.append(project.start("up"))
        wait_until(lambda ids=ids: is_passing(consul, *ids), f"{ids}")  # type: ignore[misc]
    ended = runs.pop(first_to_end)
    ended.signal(signal.SIGTERM)
    said = [ended.finish().err]
    assert is_passing(consul, (SECOND, FIRST)[first_to_end])
    runs[0].signal(signal.SIGTERM)
    said.append(runs[0].finish().err)
    assert is_passing(consul)
    told = ["[consul-two-runs]" in text for text in said]
    assert told == [first_to_end == 1, first_to_end == 0]


def test_the_service_of_a_run_that_was_killed_goes_to_the_next_one(project: Project, consul: ConsulServer) -> None:
    """supervision 11.4."""
    project.write(supervise("up", {"web": SERVED}, consul=consul.address))
    killed = project.start("up")
    wait_until(lambda: is_passing(consul, FIRST), "the first run")
    killed.signal(signal.SIGKILL)
    killed.finish()
    before = consul.services()[FIRST]["Meta"]
    following = project.start("up")
    wait_until(lambda: consul.services()[FIRST]["Meta"] != before, "the second run")
    following.signal(signal.SIGTERM)
    assert "[consul-two-runs]" not in following.finish().err
    assert not OURS & set(consul.services())


@pytest.mark.parametrize(("status", "expected"), [("passing", SECOND), ("warning", SECOND), ("critical", FIRST)])
def test_a_run_that_cannot_be_seen_lives_as_long_as_its_service(
    consul: ConsulServer, status: str, expected: str
) -> None:
    """That of a container with the same host name, for example; supervision 11.4."""
    body = {
        "ID": FIRST, "Name": "web", "Meta": {"vagga-run": "7.1.nowhere.never"},
        "Check": {"CheckID": f"service:{FIRST}", "TTL": "1h", "Status": status},
    }  # fmt: skip
    consul.ask("/agent/service/register", "PUT", body)
    with catalog(consul.address, {"web": (WEB, 10.0)}) as running:
        running.send("status", "web", "passing")
        wait_until(lambda: consul.status(expected) == "passing" and consul.services()[expected]["Port"], "it")
        running.send("finish")
        told = troubles(running.until("finished"))
    assert ["[consul-two-runs]" in text for text in told] == [True] * (expected != FIRST)
    assert set(consul.services()) & OURS == {FIRST} - {expected}
    consul.deregister(FIRST) if expected != FIRST else None


def test_what_somebody_else_has_registered_is_taken_over_as_ever(consul: ConsulServer) -> None:
    """As ContainerPilot does, which has the same ids."""
    consul.register("web", FIRST, 1)
    with catalog(consul.address, {"web": (WEB, 10.0)}) as running:
        running.send("status", "web", "passing")
        wait_until(lambda: consul.services()[FIRST]["Port"] == WEB.port, "the registration")
        running.send("finish")
        assert troubles(running.until("finished")) == []
    assert not OURS & set(consul.services())


def test_runs_that_begin_at_the_same_moment_find_a_place_each(consul: ConsulServer) -> None:
    """Who was overwritten finds that out, and moves; supervision 11.4."""
    with ExitStack() as stack:
        running = [stack.enter_context(catalog(consul.address, {"web": (WEB, 0.6)})) for _ in range(3)]
        for each in running:
            each.send("status", "web", "passing")
        wait_until(lambda: is_passing(consul, *OURS), "three services")
        for each in running:
            each.send("finish")
            each.until("finished")
    assert not OURS & set(consul.services())


def test_a_service_that_another_run_has_by_now_is_not_taken_away(consul: ConsulServer) -> None:
    """supervision 11.4."""
    with catalog(consul.address, {"web": (WEB, 60.0)}) as running:
        running.send("status", "web", "passing")
        wait_until(lambda: is_passing(consul, FIRST), "the registration")
        body = {"ID": FIRST, "Name": "web", "Port": 9, "Meta": {"vagga-run": "7.1.nowhere.never"}}
        consul.ask("/agent/service/register", "PUT", body)
        running.send("finish")
        running.until("finished")
    assert consul.services()[FIRST]["Port"] == 9
    consul.deregister(FIRST)
    assert own("web") == FIRST
