"""Which address a service is advertised with, from words as ContainerPilot has them."""

from __future__ import annotations

import pytest

from vaggapy.net.interfaces import Found, advertised, needs_interfaces
from vaggapy.net.web import is_here

HERE = tuple(
    Found(*pair)
    for pair in (
        ("wlan0", "192.168.1.7"),
        ("lo", "::1"),
        ("eth0", "fd00::2"),
        ("eth0", "10.0.0.9"),
        ("lo", "127.0.0.1"),
        ("eth0", "10.0.0.10"),
        ("eth0", "fd00::1"),
        ("eth1.20", "172.16.0.1"),
    )
)
CHOSEN = [
    ("eth0", "10.0.0.9"),
    ("eth0:inet", "10.0.0.9"),
    ("eth0:inet6", "fd00::1"),
    ("eth0[0]", "10.0.0.9"),
    ("eth0[1]", "10.0.0.10"),
    ("eth0[2]", "fd00::1"),
    ("eth0[4]", ""),
    ("eth1.20", "172.16.0.1"),
    ("inet", "10.0.0.9"),
    ("inet6", "fd00::1"),
    ("lo", "127.0.0.1"),
    ("lo:inet6", "::1"),
    ("192.168.0.0/16", "192.168.1.7"),
    ("10.0.0.10/32", "10.0.0.10"),
    ("10.0.0.1/24", "10.0.0.9"),
    ("fd00::/8", "fd00::1"),
    ("127.0.0.0/8", "127.0.0.1"),
    ("11.0.0.0/8", ""),
    ("static:1.2.3.4", "1.2.3.4"),
    ("static:FD00::5", "fd00::5"),
    ("eth9", ""),
    ("wlan0:inet6", ""),
]


@pytest.mark.parametrize(("word", "address"), CHOSEN)
def test_a_word_names_the_first_address_that_matches(word: str, address: str) -> None:
    assert advertised((word,), HERE) == address
    assert advertised((word,), reversed(HERE)) == address


def test_the_first_word_that_matches_counts() -> None:
    assert advertised(("eth9", "wlan0", "inet"), HERE) == "192.168.1.7"
    assert advertised(("eth0:inet", "inet"), HERE) == "10.0.0.9"
    assert advertised(("eth9", "static:1.2.3.4"), ()) == "1.2.3.4"
    assert advertised((), HERE) == ""


@pytest.mark.parametrize(
    "word", ["", "eth0:inet5", "eth0[x]", "eth0[", "10.0.0.0/99", "a/b", "static:", "static:x", "a b"]
)
def test_a_word_that_means_nothing_is_told(word: str) -> None:
    with pytest.raises(ValueError, match="'") as raised:
        advertised((word,), HERE)
    assert f"'{word}'" in str(raised.value)


def test_interfaces_count_unless_the_first_word_is_an_address() -> None:
    assert not needs_interfaces(("static:1.2.3.4", "inet"))
    assert needs_interfaces(("inet", "static:1.2.3.4"))


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"])
def test_this_machine_is_known_by_its_names(host: str) -> None:
    assert is_here(host)


@pytest.mark.parametrize("host", ["", "example.org", "localhost.example.org", "10.0.0.1", "::2", "128.0.0.1", "127.1"])
def test_other_machines_are_not_taken_for_this_one(host: str) -> None:
    assert not is_here(host)


def test_an_address_of_ipv4_in_ipv6_is_what_it_stands_for() -> None:
    assert is_here("::ffff:127.0.0.1")
    assert not is_here("::ffff:10.0.0.1")
