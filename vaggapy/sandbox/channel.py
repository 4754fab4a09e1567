"""Messages with descriptors between our own processes, over one socket.

A message is a tuple that `marshal` takes; both ends are the same version of the same program, forked from each
other, so nothing hostile is ever decoded. Each message arrives whole (SOCK_SEQPACKET).
"""

from __future__ import annotations

import _socket
import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Message = tuple[Any, ...]

LARGEST = 64 * 1024
MOST_DESCRIPTORS = 16
EMFILE = 24


class Channel:
    """One end of a channel. It owns its socket."""

    __slots__ = ("_socket",)

    def __init__(self, end: _socket.socket) -> None:
        """Take over `end`."""
        self._socket = end

    def fileno(self) -> int:
        """Return the descriptor, for polling and passing on."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this end; the other one sees the end of the channel."""
        self._socket.close()

    def send(self, message: Message, descriptors: tuple[int, ...] = ()) -> bool:
        """Send a message; return False when the other end is gone. Descriptors are copied, not taken."""
        data = marshal.dumps(message)
        spare = -1
        if len(data) > LARGEST:
            spare = os.memfd_create("message", os.MFD_CLOEXEC)
            _write_all(spare, data)
            data = b""
            descriptors = (spare, *descriptors)
        try:
            self._socket.sendmsg([data or b"\0"], _rights(descriptors), _socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionError):
            return False
        finally:
            if spare >= 0:
                os.close(spare)
        return True

    def receive(self) -> tuple[Message, tuple[int, ...]] | None:
        """Wait for a message and return it with its descriptors; None when the other end is gone.

        An end that is gone with something unread is reported once as a reset; what it had sent comes after that.
        """
        space = _socket.CMSG_SPACE(4 * MOST_DESCRIPTORS)
        try:
            data, ancillary, _, _ = self._socket.recvmsg(LARGEST, space, _socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            return self.receive()
        except ConnectionError:
            return None
        if not data:
            return None
        descriptors = _descriptors(ancillary)
        if data == b"\0":
            if not descriptors:
                raise OSError(EMFILE, "no room for a long message")
            spare, *rest = descriptors
            with open(spare, "rb") as file:
                file.seek(0)
                data = file.read()
            descriptors = tuple(rest)
        return marshal.loads(data), descriptors


def pair() -> tuple[Channel, Channel]:
    """Return the two ends of a new channel."""
    one, other = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    return Channel(one), Channel(other)


def adopt(fd: int) -> Channel:
    """Return the channel whose end is descriptor `fd`."""
    return Channel(_socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fd))


def _rights(descriptors: tuple[int, ...]) -> list[tuple[int, int, bytes]]:
    if not descriptors:
        return []
    packed = b"".join(fd.to_bytes(4, sys.byteorder) for fd in descriptors)
    return [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)]


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, ...]:
    found: list[int] = []
    for level, kind, data in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            found += [
                int.from_bytes(data[at : at + 4], sys.byteorder, signed=True) for at in range(0, len(data) - 3, 4)
            ]
    return tuple(found)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
