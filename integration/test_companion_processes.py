"""A process beside the supervisor, as `start_companion` forks it: what it keeps, and every way to its end."""

from __future__ import annotations

import os
import pwd
import select
import signal
import time

from vaggapy.sandbox.channel import Channel
from vaggapy.sandbox.companion import Companion
from vaggapy.sandbox.run import start, start_companion


def receive(companion: Companion) -> object:
    watch = select.poll()
    watch.register(companion.fileno(), select.POLLIN)
    assert watch.poll(60_000), "no message within 60 s"
    return companion.receive()


def echo(end: Channel) -> None:
    while (received := end.receive()) is not None:
        end.send(("heard", *received[0]))


def deaf(_end: Channel) -> None:
    time.sleep(600)


def test_messages_go_both_ways_and_it_ends_with_its_channel() -> None:
    companion = start_companion(echo)
    assert companion.send(("one", 2))
    assert receive(companion) == ("heard", "one", 2)
    begun = time.monotonic()
    companion.stop(60)
    companion.stop(60)
    assert time.monotonic() - begun < 30


def test_one_that_does_not_end_is_killed_after_its_time() -> None:
    companion = start_companion(deaf)
    begun = time.monotonic()
    companion.stop(0.3)
    assert 0.25 < time.monotonic() - begun < 60


def test_one_that_takes_nothing_more_is_as_good_as_gone() -> None:
    companion = start_companion(deaf)
    sent = sum(companion.send(("message", "x" * 1000)) for _ in range(2000))
    assert 10 < sent < 2000
    companion.stop(0)


def test_one_that_failed_is_gone() -> None:
    def fail(_end: Channel) -> None:
        raise SystemExit(3)

    companion = start_companion(fail)
    assert receive(companion) is None
    companion.stop(10)


def test_it_keeps_nothing_of_the_supervisor() -> None:
    """Only 0, 1, 2 and its channel; its own process group; no signal that is blocked."""

    def tell(end: Channel) -> None:
        names = sorted(int(name) for name in os.listdir("/proc/self/fd"))
        mask = sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        end.send((names, os.readlink("/proc/self/fd/0"), os.getpgid(0) == os.getpid(), mask, end.fileno()))

    kept = os.open("/dev/null", os.O_RDONLY)
    companion = start_companion(tell)
    told = receive(companion)
    companion.stop(10)
    os.close(kept)
    assert isinstance(told, tuple)
    names, null, leads, mask, own = told
    assert len(set(names) - {0, 1, 2, own}) == 1  # that of the listing
    assert (null, leads, mask) == ("/dev/null", True, [])


def test_it_can_enter_the_network_of_a_run() -> None:
    uid = os.getuid()
    spawner = start(uid, os.getgid(), pwd.getpwuid(uid).pw_name, isolate_network=True)

    def tell(end: Channel) -> None:
        end.send((os.readlink("/proc/self/ns/net"), os.readlink("/proc/self/ns/user")))

    try:
        companion = start_companion(tell, enter=spawner.pid)
        told = receive(companion)
        companion.stop(10)
        theirs = tuple(os.readlink(f"/proc/{spawner.pid}/ns/{kind}") for kind in ("net", "user"))
        assert told == theirs
        assert told != tuple(os.readlink(f"/proc/self/ns/{kind}") for kind in ("net", "user"))
    finally:
        spawner.stop()
