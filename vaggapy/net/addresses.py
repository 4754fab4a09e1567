"""The addresses of this machine's interfaces, from the kernel."""

from __future__ import annotations

from socket import AF_INET

from vaggapy.net.interfaces import Found


def here() -> tuple[Found, ...]:
    """Return the address of each interface that has one, in the network namespace of this process.

    Not in an event loop: pyroute2 has one of its own.

    Raises:
        OSError: the kernel does not tell.
    """
    from pyroute2 import IPRoute  # type: ignore[import-untyped]  # 300 ms, and only services need it

    found = []
    with IPRoute() as route:
        names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in route.get_links()}
        for entry in route.get_addr():
            # Of a link between two machines IFA_ADDRESS is the other one.
            local = entry.get_attr("IFA_LOCAL") if entry["family"] == AF_INET else None
            address = local or entry.get_attr("IFA_ADDRESS")
            if address:
                found.append(Found(names.get(entry["index"], ""), address))
    return tuple(found)
