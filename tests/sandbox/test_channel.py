"""Messages with descriptors: whole, in order, of any size, and an end that is seen."""

from __future__ import annotations

import fcntl
import os

import pytest

from vaggapy.record import pack, unpack
from vaggapy.sandbox import channel, spec
from vaggapy.sandbox.run import SPEC_CLASSES


@pytest.mark.parametrize("size", [0, 1, 60_000, channel.LARGEST - 20, channel.LARGEST, channel.LARGEST + 1, 3_000_000])
def test_a_message_of_any_size_arrives_whole(size: int) -> None:
    one, other = channel.pair()
    assert one.send(("x" * size, size, b"\0", None, (1, 2)))
    received = other.receive()
    assert received == (("x" * size, size, b"\0", None, (1, 2)), ())
    one.close()
    other.close()


def test_messages_arrive_in_order_and_one_by_one() -> None:
    one, other = channel.pair()
    for number in range(20):
        assert one.send((number,))
    assert [other.receive() for _ in range(20)] == [((number,), ()) for number in range(20)]
    one.close()
    other.close()


@pytest.mark.parametrize("size", [1, channel.LARGEST * 2])
@pytest.mark.parametrize("count", [1, 3, channel.MOST_DESCRIPTORS - 1])
def test_descriptors_arrive_in_order_as_copies_that_no_program_inherits(size: int, count: int) -> None:
    one, other = channel.pair()
    pipes = [os.pipe() for _ in range(count)]
    assert one.send(("x" * size,), tuple(write for _, write in pipes))
    received = other.receive()
    assert received is not None
    message, descriptors = received
    assert message == ("x" * size,) and len(descriptors) == count
    for number, fd in enumerate(descriptors):
        assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        os.write(fd, bytes([number]))
        assert os.read(pipes[number][0], 1) == bytes([number])
    for fd in [*descriptors, *(fd for pair in pipes for fd in pair)]:
        os.close(fd)
    one.close()
    other.close()


def test_the_end_of_a_channel_is_none_and_false_and_no_signal() -> None:
    one, other = channel.pair()
    assert one.send(("last",))
    one.close()
    assert other.receive() == (("last",), ())
    assert other.receive() is None
    assert not other.send(("too late",))
    other.close()


def test_an_end_can_be_adopted_by_its_number() -> None:
    one, other = channel.pair()
    adopted = channel.adopt(os.dup(other.fileno()))
    other.close()
    assert one.send(("hello",))
    assert adopted.receive() == (("hello",), ())
    adopted.close()
    one.close()


def test_a_launch_survives_the_way_with_every_kind_of_text() -> None:
    text = os.fsdecode(b"\xff") + "ü\n\0"
    program = spec.Program((text, "b"), {"A": text, "": "x"}, "/work", 1, 2, (3,), "pipes", 4, 5, b"\0\xff", True)
    mounts = (spec.Bind("/a", "/b", False), spec.Tmpfs("/c", 1, 0o1777, (("d", 0o755),), (("e", text),), True))
    launch = spec.Launch(spec.Sandbox(spec.HostRoot(("/home",), ("/x",)), "/p", mounts), program)
    one, other = channel.pair()
    assert one.send((7, pack(launch)))
    received = other.receive()
    assert received is not None
    number, packed = received[0]
    assert (number, unpack(packed, SPEC_CLASSES)) == (7, launch)
    one.close()
    other.close()
