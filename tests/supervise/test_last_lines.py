"""The last output of a child that `Traffic` keeps."""

from __future__ import annotations

from vaggapy.supervise.traffic import LAST_LINES, PIECE, PIECES, _keep, joined


def tail(*pieces: tuple[int, bytes]) -> list[bytes]:
    last: list[tuple[int, bytes]] = []
    for fd, data in pieces:
        _keep(last, fd, data)
        assert len(last) <= PIECES
        assert all(len(piece) <= PIECE for _, piece in last)
    return list(joined(last))


def test_the_last_ten_lines_of_one_stream() -> None:
    lines = [b"line %d" % number for number in range(100)]
    assert tail((3, b"\n".join(lines) + b"\n")) == lines[-LAST_LINES:]
    assert tail(*((3, line + b"\n") for line in lines)) == lines[-LAST_LINES:]
    assert tail(*((3, bytes([byte])) for byte in b"one\ntwo\nthree")) == [b"one", b"two", b"three"]


def test_two_streams_are_in_the_order_in_which_lines_were_completed() -> None:
    assert tail((3, b"be"), (4, b"error\n"), (3, b"gin\nopen"), (4, b"more\n")) == [
        b"error",
        b"begin",
        b"more",
        b"open",
    ]


def test_long_lines_keep_their_end() -> None:
    assert tail((3, b"x" * 1_000_000 + b"\nlast\n")) == [b"x" * (PIECE - 6), b"last"]


def test_nothing_is_kept_of_a_silent_child() -> None:
    assert tail() == []
    assert tail((3, b"\n")) == [b""]
