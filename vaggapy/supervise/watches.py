"""Which descriptors the loop waits for, and what it calls when one of them is ready, in a fixed order."""

from __future__ import annotations

import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

IN, OUT, EDGE = select.EPOLLIN, select.EPOLLOUT, select.EPOLLET
CLOSED = select.EPOLLERR | select.EPOLLHUP

# The order of one turn: signals, what the spawner and the children say, exits, bytes.
FIRST, TOLD, ENDED, BYTES = 0, 1, 2, 3
LONGEST_WAIT = 86_400.0
"""Seconds: epoll takes no more than 24 days."""


class Watches:
    """An epoll and, for each descriptor in it, an order and a call. The descriptors stay their owners'."""

    __slots__ = ("_calls", "_epoll")

    def __init__(self) -> None:
        """Begin with nothing."""
        self._epoll = select.epoll()
        self._calls: dict[int, tuple[int, Callable[[int], object]]] = {}

    def __contains__(self, fd: int) -> bool:
        """Return whether a descriptor is waited for."""
        return fd in self._calls

    def add(self, fd: int, order: int, mask: int, call: Callable[[int], object]) -> None:
        """Wait for a descriptor; `call` gets the mask of what happened."""
        self._calls[fd] = (order, call)
        self._epoll.register(fd, mask)

    def change(self, fd: int, mask: int) -> None:
        """Wait for something else."""
        self._epoll.modify(fd, mask)

    def remove(self, fd: int) -> None:
        """Wait no more; needed before the descriptor is closed. Nothing happens if it is not waited for."""
        if self._calls.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def wait(self, timeout: float, woken: Callable[[], object]) -> None:
        """Wait until something is ready, at most `timeout` seconds (-1: for ever) or a day, and make the calls.

        `woken` is called before them.
        """
        happened = self._epoll.poll(min(timeout, LONGEST_WAIT))
        woken()
        ready = [(self._calls[fd], fd, mask) for fd, mask in happened if fd in self._calls]
        ready.sort(key=lambda item: item[0][0])
        for entry, fd, mask in ready:
            if self._calls.get(fd) is entry:  # Not closed, or even used again, by what came before in this turn.
                entry[1](mask)

    def close(self) -> None:
        """Close the epoll."""
        self._epoll.close()
