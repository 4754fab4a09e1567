"""A program of its own, because its memory and its descriptors count: spawns by a warm supervisor, in turn with peers.

Usage: python spawn.py PROJECT RUNS [PEER...]; prints JSON: the milliseconds of each, and of starting and ending.
A spawn is timed from the request to the end of the namespace, when the status of `true` is known as well.
"""

from __future__ import annotations

import json
import os
import pwd
import select
import sys
import time

from vaggapy.sandbox import channel, run
from vaggapy.sandbox.spec import OUTPUT, HostRoot, Launch, Program, Sandbox


class Warm:
    """A spawner as the supervisor has it."""

    def __init__(self, project: str) -> None:
        begun = time.perf_counter()
        uid = os.getuid()
        self.spawner = run.start(uid, os.getgid(), pwd.getpwuid(uid).pw_name)
        self.began = (time.perf_counter() - begun) * 1000
        homes = (os.path.realpath(os.path.expanduser("~")), "/home", "/root")
        program = Program(("true",), {"PATH": "/usr/bin:/bin"}, "/work", streams=OUTPUT)
        self.launch = Launch(Sandbox(HostRoot(homes), project), program)
        self.number = 0

    def spawn(self) -> float:
        """Start `true` and wait for its end."""
        self.number += 1
        begun = time.perf_counter()
        control, theirs = channel.pair()
        self.spawner.request(self.number, self.launch, (theirs.fileno(),))
        theirs.close()
        answer = self.spawner.receive()
        if answer is None or answer.failure is not None:
            raise SystemExit(f"not started: {answer and answer.failure}")
        watch = select.poll()
        watch.register(answer.pidfd, select.POLLIN)
        watch.poll(10_000)
        statuses = []
        while (received := control.receive()) is not None:
            statuses += [message for message in (received[0],) if message[0] not in ("running", "outer-proc")]
        milliseconds = (time.perf_counter() - begun) * 1000
        control.close()
        os.close(answer.pidfd)
        if statuses != [("status", 0)]:
            raise SystemExit(f"true did not succeed: {statuses}")
        return milliseconds


def plain(words: list[str]) -> float:
    """Start a program and wait for its end, as cheaply as Python can."""
    begun = time.perf_counter()
    pid = os.posix_spawnp(words[0], words, os.environ)
    status = os.waitpid(pid, 0)[1]
    milliseconds = (time.perf_counter() - begun) * 1000
    if status:
        raise SystemExit(f"{words[0]}: wait status {status}")
    return milliseconds


def main() -> None:
    project, runs, *peers = sys.argv[1:]
    warm = Warm(project)
    first = warm.spawn()
    words = [peer.split("\n") for peer in peers]
    ours: list[float] = []
    theirs: list[list[float]] = [[] for _ in words]
    for _ in range(int(runs)):
        ours.append(warm.spawn())
        for taken, each in zip(theirs, words, strict=True):
            taken.append(plain(each))
    begun = time.perf_counter()
    warm.spawner.stop()
    ended = (time.perf_counter() - begun) * 1000
    print(json.dumps({"start": warm.began, "first": first, "ours": ours, "theirs": theirs, "end": ended}))


if __name__ == "__main__":
    main()
