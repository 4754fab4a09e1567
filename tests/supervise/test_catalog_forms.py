"""What is said to Consul, and what its answers mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaggapy.config.rules import Consul, Service, Watch
from vaggapy.record import replace
from vaggapy.supervise.catalog_forms import (
    LONGEST_WAIT,
    SHORTEST_WAIT,
    beat,
    holder,
    instances,
    lookup,
    milliseconds,
    next_index,
    question,
    registration,
    removal,
    retry_wait,
    service_id,
    update,
    wellness,
    with_environment,
    withheld,
)

FILE = Consul("http://localhost:8500", token="secret", ca_file="/a", verify=False)


def entry(id_: str, address: str, port: int, node: str = "10.0.0.9") -> dict[str, object]:
    return {"Node": {"Address": node}, "Service": {"ID": id_, "Address": address, "Port": port}, "Checks": []}


def test_the_environment_counts_more_than_the_file() -> None:
    environ = {
        "CONSUL_HTTP_TOKEN": "t",
        "CONSUL_CACERT": "ca",
        "CONSUL_CAPATH": "dir",
        "CONSUL_CLIENT_CERT": "cert",
        "CONSUL_CLIENT_KEY": "key",
        "CONSUL_TLS_SERVER_NAME": "name",
        "CONSUL_HTTP_SSL_VERIFY": "true",
    }
    assert with_environment(FILE, environ) == Consul(FILE.address, "t", "ca", "dir", "cert", "key", "name", True)


def test_variables_that_are_missing_empty_or_odd_change_nothing() -> None:
    assert with_environment(FILE, {}) == FILE
    assert with_environment(FILE, {"CONSUL_HTTP_TOKEN": "", "CONSUL_HTTP_SSL_VERIFY": "perhaps"}) == FILE


@pytest.mark.parametrize(
    ("address", "own", "is_meant"),
    [
        ("http://127.0.0.1:8500", "", True),
        ("http://localhost:8500", "", True),
        ("http://127.0.0.1:8501", "", False),
        ("https://consul.example.org", "", False),
        ("http://consul.example.org:8500", "consul.example.org:8500", True),
        ("https://consul.example.org:8500/", "https://Consul.example.org:8500", True),
        ("http://consul.example.org:8500", "https://consul.example.org:8500", False),
        ("http://consul.example.org:8500.evil.example", "consul.example.org:8500", False),
        ("http://consul.example.org:8500@evil.example", "consul.example.org:8500", False),
    ],
)
def test_secrets_of_the_environment_go_to_the_server_of_the_environment_only(
    address: str, own: str, is_meant: bool
) -> None:
    environ = {"CONSUL_HTTP_TOKEN": "t", "CONSUL_CLIENT_KEY": "key", "CONSUL_CACERT": "ca", "CONSUL_HTTP_ADDR": own}
    changed = with_environment(Consul(address), environ)
    assert changed == (
        Consul(address, "t", ca_file="ca", client_key="key") if is_meant else Consul(address, ca_file="ca")
    )
    assert withheld(Consul(address), environ) == (() if is_meant else ("CONSUL_HTTP_TOKEN", "CONSUL_CLIENT_KEY"))


@pytest.mark.parametrize(("text", "verify"), [("1", True), ("TRUE", True), ("0", False), ("false", False)])
def test_checking_certificates_is_switched_by_the_environment(text: str, verify: bool) -> None:
    changed = with_environment(replace(FILE, verify=not verify), {"CONSUL_HTTP_SSL_VERIFY": text})
    assert changed.verify is verify


def test_a_registration_has_a_check_with_the_ttl() -> None:
    service = Service(8000, tags=("a", "b"), tag_override=True, deregister_after="10m")
    request = registration("web-box", "web", "10.0.0.1", service, 10.0, "passing", "7.1.2.3")
    assert (request.method, request.path) == ("PUT", "/v1/agent/service/register")
    assert request.body == {
        "ID": "web-box",
        "Name": "web",
        "Tags": ["a", "b"],
        "Address": "10.0.0.1",
        "Port": 8000,
        "EnableTagOverride": True,
        "Meta": {"vagga-run": "7.1.2.3"},
        "Check": {
            "CheckID": "service:web-box",
            "Name": "Service 'web' check",
            "TTL": "10000ms",
            "Status": "passing",
            "Notes": "TTL for web set by vagga",
            "DeregisterCriticalServiceAfter": "10m",
        },
    }


def test_names_of_machines_are_no_paths() -> None:
    own = service_id("web", "a/b c")
    assert own == "web-a/b c"
    assert removal(own).path == "/v1/agent/service/deregister/web-a%2Fb%20c"
    assert lookup(own).path == "/v1/agent/service/web-a%2Fb%20c"
    assert wellness(own).path == "/v1/agent/health/service/id/web-a%2Fb%20c"
    assert update(own, "warning").path == "/v1/agent/check/update/service:web-a%2Fb%20c"
    assert update("web-a", "passing").body == {"Status": "passing", "Output": "ok"}


def test_a_second_run_has_an_id_of_its_own() -> None:
    assert [service_id("web", "box", number) for number in (1, 2, 3)] == ["web-box", "web-box-2", "web-box-3"]


@pytest.mark.parametrize("answer", [None, [], {}, {"Meta": None}, {"Meta": {}}, {"Meta": {"vagga-run": ""}}, "x"])
def test_what_no_vagga_has_registered_has_no_holder(answer: object) -> None:
    assert holder(answer) == ""


def test_the_holder_of_a_service_is_a_run() -> None:
    assert holder({"ID": "web-box", "Meta": {"vagga-run": "7.1.2.3"}}) == "7.1.2.3"


@given(st.floats(0.3, 1e6))
def test_a_status_can_be_lost_twice_before_the_ttl_is_over(ttl: float) -> None:
    assert 3 * beat(ttl) <= ttl * 1.001
    assert milliseconds(ttl).endswith("ms") and int(milliseconds(ttl)[:-2]) >= 1


def test_a_question_waits_for_what_is_newer_than_the_last_answer() -> None:
    watch = Watch("w", 5.0, service="my sql", tag="prod", datacenter="us")
    first = question(watch, 0)
    assert first.path == "/v1/health/service/my%20sql"
    assert first.query == (("passing", "1"), ("tag", "prod"), ("dc", "us"))
    next_ = question(replace(watch, tag="", datacenter=""), 17)
    assert next_.query == (("passing", "1"), ("index", "17"), ("wait", "5000ms"))
    assert next_.seconds > 5 * 17 / 16, "Consul waits up to a sixteenth longer than asked"


def test_h13_the_order_of_instances_says_nothing_and_their_ports_count() -> None:
    one, two = entry("a", "10.0.0.1", 1), entry("b", "10.0.0.2", 2)
    assert instances([one, two]) == instances([two, one]) == ("a 10.0.0.1:1", "b 10.0.0.2:2")
    assert instances([entry("a", "10.0.0.1", 2), two]) != instances([one, two])
    assert instances([]) == ()


def test_an_instance_without_an_address_has_that_of_its_node_and_ipv6_stands_in_brackets() -> None:
    assert instances([entry("a", "", 1)]) == ("a 10.0.0.9:1",)
    assert instances([entry("a", "fd00::1", 1)]) == ("a [fd00::1]:1",)


@pytest.mark.parametrize("answer", [None, {}, "x", [1], [{}], [{"Service": None}], [{"Service": []}]])
def test_what_is_no_answer_of_consul_is_told(answer: object) -> None:
    with pytest.raises(ValueError, match="instance"):
        instances(answer)


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda more: st.lists(more) | st.dictionaries(st.text(), more))
)
def test_no_answer_does_more_than_say_that_it_is_none(answer: object) -> None:
    try:
        assert instances(answer) == ()
    except ValueError:
        pass


@pytest.mark.parametrize(
    ("last", "answered", "index"),
    [(0, "7", 7), (7, "7", 7), (7, "9", 9), (9, "7", 0), (9, "", 0), (9, "x", 0), (9, "-1", 0), (0, "9" * 99, 0)],
)
def test_an_index_that_goes_backwards_begins_anew(last: int, answered: str, index: int) -> None:
    assert next_index(last, answered) == index


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_h15_a_retry_waits_from_one_to_thirty_seconds(failures: int, spread: float) -> None:
    wait = retry_wait(failures, spread)
    assert SHORTEST_WAIT <= wait <= LONGEST_WAIT
    assert wait <= retry_wait(failures + 1, 1.0)


def test_retries_become_rarer_and_differ_by_chance() -> None:
    assert [retry_wait(number, 1.0) for number in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert [retry_wait(number, 0.0) for number in range(1, 8)] == [1, 1, 2, 4, 8, 15, 15]
