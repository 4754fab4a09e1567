"""Texts in output, however it is cut and coloured."""

from __future__ import annotations

import random

import pytest

from vaggapy.supervise.matching import LONGEST_SEQUENCE, Matcher


def found(wanted: list[str], *chunks: bytes) -> list[str]:
    matcher = Matcher(wanted)
    return [text for chunk in chunks for text in matcher.take(chunk)]


@pytest.mark.parametrize(
    "chunks",
    [
        (b"server: listening on 80\n",),
        (b"server: lis", b"tening on 80"),
        tuple(bytes([byte]) for byte in b"server: listening on 80"),
        (b"\x1b[1;32mlis\x1b[0mtening\x1b[K on \x1b]8;;http://x\x0780\x1b]8;;\x1b\\",),
        (
            b"lis\x1b",
            b"[",
            b"1;3",
            b"2mtening on 80",
        ),
        (b"lis\x1b]0;ti", b"tle\x1b", b"\\tening on 80"),
        (b"\x1b(Blistening\x1b7 on 80",),
        (b"x" * 1_000_000, b"listening on", b" 80" + b"y" * 1_000_000),
        (b"\xff\xfe\x00listening on 80\x00",),
        (b"\x1b" + b"[" + b"1" * LONGEST_SEQUENCE, b"listening on 80"),
        (b"lis\x1b\x1b[mtening", b"listening on 80"),
    ],
)
def test_a_text_is_found(chunks: tuple[bytes, ...]) -> None:
    assert found(["listening on 80"], *chunks) == ["listening on 80"]


@pytest.mark.parametrize("chunks", [(b"listening\non 80",), (b"listening on 8",), (b"listening on", b"  80"), ()])
def test_a_text_is_not_found(chunks: tuple[bytes, ...]) -> None:
    assert found(["listening on 80"], *chunks) == []


def test_each_text_is_told_once() -> None:
    assert found(["one", "two", "ne"], b"one two\n", b"one two\n") == ["one", "two", "ne"]
    matcher = Matcher(["one", "two"])
    matcher.take(b"one")
    assert list(matcher.wanted) == ["two"]


def test_a_text_of_one_byte_and_one_outside_of_ascii() -> None:
    assert found(["x"], b"ab", b"xc") == ["x"]
    assert found(["größer"], "grö".encode()[:3], "grö".encode()[3:] + "ßer".encode()) == ["größer"]


def test_what_is_kept_is_bounded() -> None:
    matcher = Matcher(["a text"])
    for _ in range(100):
        matcher.take(b"x" * 65536)
        matcher.take(b"\x1b[" + b"1" * 65536)
    kept = matcher._kept + matcher._begun
    assert len(kept) <= LONGEST_SEQUENCE + len("a text")


def test_how_output_is_cut_does_not_matter() -> None:
    """For 2000 random cuts of coloured output."""
    draw = random.Random(5)
    output = b"\x1b[31mbe\x1b[0mgin \x1b]0;t\x1b\\ready \x1b[1;2mto \x1b(Bserve\x1b[K now\n"
    for _ in range(2000):
        cuts = sorted(draw.sample(range(len(output)), draw.randint(0, 12)))
        pieces = [output[start:end] for start, end in zip([0, *cuts], [*cuts, len(output)], strict=True)]
        assert found(["begin ready to serve now"], *pieces) == ["begin ready to serve now"]
