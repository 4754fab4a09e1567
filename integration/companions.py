"""A companion process without a supervisor: its `main` in a program of its own, and this end of its channel."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from integration.runs import PATIENCE, deadline
from vaggapy.sandbox import channel

Message = tuple[Any, ...]
SCRIPT = """
import os, sys
from vaggapy.sandbox.channel import adopt
end = adopt(int(sys.argv[1]))
arguments = end.receive()[0]
from vaggapy.supervise import {module}
{module}.main(end, *arguments)
print(*(name for name in tuple(sys.modules) if "." not in name))
sys.stdout.flush()
os._exit(0)
"""


class Companion:
    """A companion that runs: `process`, and messages with it."""

    def __init__(self, process: subprocess.Popen[bytes], end: channel.Channel) -> None:
        self.process = process
        self._end = end

    def send(self, *message: Any) -> None:
        assert self._end.send(message)

    def receive(self, seconds: float = PATIENCE) -> Message | None:
        """Return the next message; None when it has closed its end. Fail when nothing comes."""
        watch = select.poll()
        watch.register(self._end.fileno(), select.POLLIN)
        if not watch.poll(seconds * 1000):
            pytest.fail(f"no message within {seconds} s")
        received = self._end.receive()
        return received and received[0]

    def is_quiet(self, seconds: float) -> bool:
        """Return whether no message comes for so long."""
        watch = select.poll()
        watch.register(self._end.fileno(), select.POLLIN)
        return not watch.poll(seconds * 1000)

    def until(self, *beginning: Any, seconds: float = PATIENCE) -> list[Message]:
        """Return the messages up to the first one that begins so."""
        going = deadline(seconds)
        messages: list[Message] = []
        while going():
            message = self.receive(seconds)
            assert message is not None, f"the companion ended after {messages}"
            messages.append(message)
            if message[: len(beginning)] == beginning:
                return messages
        pytest.fail(f"no {beginning} among {messages}")

    def finish(self, seconds: float = PATIENCE) -> set[str]:
        """Close this end, and return the modules that the companion had loaded when it ended."""
        self._end.close()
        out, _ = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0
        return set(out.decode().split())


@contextmanager
def companion(
    module: str,
    *arguments: Any,
    environ: Mapping[str, str] | None = None,
    under: Sequence[str] = (),
    mark: str = "",
) -> Iterator[Companion]:
    """Run the `main` of a module with these arguments after the channel; packed, if they are records.

    `under`: a program that prepares something and executes it. `mark`: the last word of its command line.
    """
    ours, theirs = channel.pair()
    process = subprocess.Popen(
        [*under, sys.executable, "-c", SCRIPT.format(module=module), str(theirs.fileno()), mark],
        pass_fds=(theirs.fileno(),),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**{key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}, **(environ or {})},
        cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
    )
    theirs.close()
    ours.send(arguments)
    try:
        yield Companion(process, ours)
    finally:
        ours.close()
        if process.poll() is None:
            process.kill()
        process.communicate()
