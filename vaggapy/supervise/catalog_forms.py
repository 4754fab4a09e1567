"""What is said to Consul, what its answers mean, and when to ask again. Pure.

Source: supervision-systems.md 2.1, 2.10, 2.11.
"""

from __future__ import annotations

from urllib.parse import quote

from vaggapy.record import Record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from vaggapy.config.rules import Consul, Service, Watch

PASSING, WARNING, CRITICAL, GONE = "passing", "warning", "critical", "gone"
REFRESHED = (PASSING, WARNING)
"""Statuses that are told again before the ttl is over; a critical service may be removed by Consul in its own time."""
DEFAULT_TTL = 10.0
SHORTEST_BEAT = 0.1
SHORTEST_WAIT, LONGEST_WAIT = 1.0, 30.0
SHORTEST_QUERY = 0.1
LONGEST_INDEX = 20
"""Digits: it is a number of 64 bits."""
ENVIRONMENT = {
    "CONSUL_HTTP_TOKEN": "token",
    "CONSUL_CACERT": "ca_file",
    "CONSUL_CAPATH": "ca_path",
    "CONSUL_CLIENT_CERT": "client_cert",
    "CONSUL_CLIENT_KEY": "client_key",
    "CONSUL_TLS_SERVER_NAME": "server_name",
}
SECRETS = ("CONSUL_HTTP_TOKEN", "CONSUL_CLIENT_CERT", "CONSUL_CLIENT_KEY")
VERIFY = "CONSUL_HTTP_SSL_VERIFY"
ADDRESS, USUAL_ADDRESS = "CONSUL_HTTP_ADDR", "127.0.0.1:8500"
RUN = "vagga-run"
"""The key of the metadata of a service that says which run has registered it."""
TRUTH = {"1": True, "true": True, "0": False, "false": False}


class Request(Record):
    """A request without its server: `body` is JSON, None for none; `seconds` until an answer must be there."""

    method: str
    path: str
    body: object = None
    query: tuple[tuple[str, str], ...] = ()
    seconds: float = 5.0


def with_environment(consul: Consul, environ: Mapping[str, str]) -> Consul:
    """Return what counts after the variables that all programs for Consul know, but for those that are withheld."""
    names = ENVIRONMENT.keys() - withheld(consul, environ)
    changes: dict[str, object] = {ENVIRONMENT[name]: environ[name] for name in names if environ.get(name)}
    verify = TRUTH.get(environ.get(VERIFY, "").lower())
    if verify is not None:
        changes["verify"] = verify
    return replace(consul, **changes)


def withheld(consul: Consul, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the variables with secrets that a server is not to have: it is not the one that they are meant for.

    A stranger's vagga.yaml may name any server; whoever set the secrets says by CONSUL_HTTP_ADDR whose they are.
    """
    own = environ.get(ADDRESS) or USUAL_ADDRESS
    asked = consul.address if "://" in own else consul.address.rpartition("://")[2]
    if _plain(asked) == _plain(own):
        return ()
    return tuple(name for name in SECRETS if environ.get(name))


def _plain(address: str) -> str:
    """Return one of the ways to write an address."""
    scheme, separator, place = address.rstrip("/").lower().rpartition("://")
    host, colon, port = place.rpartition(":")
    return f"{scheme}{separator}{'127.0.0.1' if host == 'localhost' else host}{colon}{port}"


# --- services -----------------------------------------------------------------------------------------------------


def service_id(name: str, host: str, number: int = 1) -> str:
    """Return the id of a child's service on this machine; `number` 2 and more where other runs have those before."""
    return f"{name}-{host}" if number == 1 else f"{name}-{host}-{number}"


def registration(own: str, name: str, address: str, service: Service, ttl: float, status: str, run: str) -> Request:
    """Return the request that registers a child, with a check that others than us make critical after `ttl`.

    `own`: its id. `run`: what tells this run from others, so that each takes back only what is its own.
    """
    check = {
        "CheckID": f"service:{own}",
        "Name": f"Service '{name}' check",
        "TTL": milliseconds(ttl),
        "Status": status,
        "Notes": f"TTL for {name} set by vagga",
    }
    if service.deregister_after:
        check["DeregisterCriticalServiceAfter"] = service.deregister_after
    body = {
        "ID": own,
        "Name": name,
        "Tags": list(service.tags),
        "Address": address,
        "Port": service.port,
        "EnableTagOverride": service.tag_override,
        "Meta": {RUN: run},
        "Check": check,
    }
    return Request("PUT", "/v1/agent/service/register", body, (("replace-existing-checks", "true"),))


def update(own: str, status: str) -> Request:
    """Return the request that tells the status of the registered child with this id."""
    path = f"/v1/agent/check/update/{quote(f'service:{own}', safe=':')}"
    return Request("PUT", path, {"Status": status, "Output": "ok" if status == PASSING else status})


def removal(own: str) -> Request:
    """Return the request that takes a child out of the catalog."""
    return Request("PUT", f"/v1/agent/service/deregister/{quote(own, safe='')}")


def lookup(own: str) -> Request:
    """Return the request for what is registered with an id; 404 answers where nothing is."""
    return Request("GET", f"/v1/agent/service/{quote(own, safe='')}")


def holder(answer: object) -> str:
    """Return which run has registered what `lookup` has found; "" where no vagga of today has."""
    meta = answer.get("Meta") if isinstance(answer, dict) else None
    return str(meta.get(RUN) or "") if isinstance(meta, dict) else ""


def wellness(own: str) -> Request:
    """Return the request for the health of an id: 200 and 429 answer while its checks are not critical."""
    return Request("GET", f"/v1/agent/health/service/id/{quote(own, safe='')}")


def beat(ttl: float) -> float:
    """Return how often a status is told, in seconds: two times may fail before the ttl is over."""
    return max(SHORTEST_BEAT, ttl / 3)


def milliseconds(seconds: float) -> str:
    """Return a duration as Consul reads it."""
    return f"{max(1, round(seconds * 1000))}ms"


# --- watches ------------------------------------------------------------------------------------------------------


def question(watch: Watch, index: int) -> Request:
    """Return the request for the healthy instances of a service.

    It is answered at once with `index` 0, else when something is newer than that, or after the interval of the watch.
    """
    wait = max(SHORTEST_QUERY, watch.interval)
    query = [("passing", "1")]
    if watch.tag:
        query.append(("tag", watch.tag))
    if watch.datacenter:
        query.append(("dc", watch.datacenter))
    if index:
        query += [("index", str(index)), ("wait", milliseconds(wait))]
    # Consul waits up to a sixteenth longer, so that not all clients come at once.
    seconds = 5.0 + (wait * 17 / 16 if index else 0.0)
    return Request("GET", f"/v1/health/service/{quote(watch.service, safe='')}", None, tuple(query), seconds)


def instances(answer: object) -> tuple[str, ...]:
    """Return the instances in an answer as `id address:port`, sorted: their order says nothing.

    Raises:
        ValueError: it is no answer of Consul.
    """
    if not isinstance(answer, list):
        raise ValueError("no list of instances")  # noqa: TRY004 - what came is wrong, not the call
    return tuple(sorted(_instance(entry) for entry in answer))


def _instance(entry: object) -> str:
    service = entry.get("Service") if isinstance(entry, dict) else None
    node = entry.get("Node") if isinstance(entry, dict) else None
    if not isinstance(service, dict):
        raise ValueError("an instance without a service")  # noqa: TRY004 - as above
    address = service.get("Address") or (node.get("Address") if isinstance(node, dict) else "") or ""
    shown = f"[{address}]" if ":" in str(address) else address
    return f"{service.get('ID') or ''} {shown}:{service.get('Port') or 0}"


def next_index(last: int, answered: str) -> int:
    """Return the index to ask with, after one was answered: 0, to begin anew, when it goes backwards or is none."""
    new = int(answered) if answered.isascii() and answered.isdigit() and len(answered) <= LONGEST_INDEX else 0
    return new if new >= last else 0


# --- patience -----------------------------------------------------------------------------------------------------


def retry_wait(failures: int, spread: float) -> float:
    """Return the seconds before the next try, after `failures` in a row; `spread` from 0 to 1 is chance."""
    longest = min(LONGEST_WAIT, SHORTEST_WAIT * 2.0 ** min(failures - 1, 10))
    return max(SHORTEST_WAIT, longest * (0.5 + spread / 2))
