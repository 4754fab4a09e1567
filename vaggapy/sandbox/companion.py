"""A process that works beside the supervisor, as `run.start_companion` forks it: its channel and its end."""

from __future__ import annotations

import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal

    from vaggapy.sandbox.channel import Channel, Message
else:
    import _signal

SIGKILL = 9
MOST_MEMORY = 1 << 30
"""Bytes: what comes from outside must not take the machine's. Stacks of threads count, whether they are used or not."""


def limit_memory() -> None:
    """Have this process, a companion, fail to get more memory than `MOST_MEMORY`."""
    import resource  # in its own process only

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = MOST_MEMORY if hard == resource.RLIM_INFINITY else min(MOST_MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


class Companion:
    """The supervisor's side of a companion. It owns the channel and `pidfd`, which is readable when it is gone.

    Nothing waits for it but `stop`: one that takes no more messages is as good as gone.
    """

    __slots__ = ("channel", "pid", "pidfd")

    def __init__(self, end: Channel, pid: int, pidfd: int) -> None:
        """Take over a process that was forked."""
        self.channel = end
        self.pid = pid
        self.pidfd = pidfd
        os.set_blocking(end.fileno(), False)

    def fileno(self) -> int:
        """Return the descriptor that is readable when it has said something, or is gone."""
        return self.channel.fileno()

    def send(self, message: Message) -> bool:
        """Send a message; return False when it is gone or stuck."""
        try:
            return self.channel.send(message)
        except OSError:  # full, or no descriptor is left for a long one
            return False

    def receive(self) -> Message | None:
        """Return what it said; None when it is gone. To be called when there is something."""
        try:
            received = self.channel.receive()
        except OSError:
            return None
        return received[0] if received is not None else None

    def stop(self, seconds: float) -> None:
        """Close the channel, wait at most `seconds` for the end, then kill it, and reap it. Once is enough."""
        if self.pidfd < 0:
            return
        self.channel.close()
        watch = select.poll()
        watch.register(self.pidfd, select.POLLIN)
        watch.poll(seconds * 1000)
        try:
            _signal.pidfd_send_signal(self.pidfd, SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(self.pidfd)
        self.pidfd = -1
