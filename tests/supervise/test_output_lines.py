"""Prefixed output: nothing lost, nothing mixed, whatever the bytes and however they come."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vaggapy.supervise.lines import LIMIT, Feed, Sink, prefixes

NAMES = ("web", "worker", "db")
PLAIN = prefixes(NAMES, colour=False)


def feeds(sink: Sink, names: tuple[str, ...] = NAMES, colour: bool = False) -> list[Feed]:
    shown = prefixes(names, colour)
    return [Feed(sink, shown[name]) for name in names]


def one() -> Feed:
    return Feed(Sink(), b"web | ")


def by_prefix(written: bytes) -> dict[str, list[bytes]]:
    """Take output apart again: the lines of each name, without prefixes."""
    found: dict[str, list[bytes]] = {name: [] for name in NAMES}
    for line in written.removesuffix(b"\n").split(b"\n") if written else []:
        (owner,) = [name for name in NAMES if line.startswith(PLAIN[name])]
        found[owner].append(line.removeprefix(PLAIN[owner]))
    return found


# --- prefixes ---


def test_O8_the_column_is_as_wide_as_the_longest_name() -> None:
    """supervision 6.3."""
    assert PLAIN == {"web": b"web    | ", "worker": b"worker | ", "db": b"db     | "}
    assert prefixes((), colour=True) == {}


def test_O11_colour_surrounds_the_prefix_only_and_is_the_same_every_time() -> None:
    """supervision 6.3."""
    web = prefixes(("web",), colour=True)["web"]

    assert web == b"\x1b[36mweb | \x1b[0m"
    assert prefixes(("web", "ab"), colour=True)["web"] == web
    assert len({prefixes((f"n{n}",), colour=True)[f"n{n}"][:5] for n in range(60)}) == 6


def test_a_name_cannot_carry_control_characters_into_the_terminal() -> None:
    assert prefixes(("a\x1b[2J\nb",), colour=False) == {"a\x1b[2J\nb": b"a\\x1b[2J\\nb | "}


# --- one stream ---


def test_whole_lines_come_at_once_and_the_rest_waits() -> None:
    """supervision 6.4."""
    feed = one()

    assert feed.take(b"one\ntwo\nthr") == b"web | one\nweb | two\n"
    assert feed.pending
    assert feed.take(b"ee\n") == b"web | three\n"
    assert not feed.pending


def test_empty_lines_have_a_prefix_and_empty_chunks_nothing() -> None:
    feed = one()

    assert feed.take(b"\n\na\n") == b"web | \nweb | \nweb | a\n"
    assert feed.take(b"") == b""
    assert feed.flush_partial() == b""


def test_O1_the_last_line_without_newline_is_written() -> None:
    """supervision 6.6."""
    feed = one()

    assert feed.take(b"a\nlast") + feed.flush_partial() == b"web | a\nweb | last"


@pytest.mark.parametrize("data", [b"nul\0\n", b"\xff\xfe\x80 not utf-8\n", b"10%\r20%\r\n", b"\x1b[31mred\x1b[0m\n"])
def test_O2_other_bytes_are_passed_on_as_they_are(data: bytes) -> None:
    """supervision 6.4."""
    assert one().take(data) == b"web | " + data


def test_a_flushed_line_goes_on_without_a_second_prefix() -> None:
    """supervision 6.5."""
    feed = one()
    written = feed.take(b"password") + feed.flush_partial() + feed.take(b": ") + feed.flush_partial()

    assert written + feed.take(b"x\ny\n") == b"web | password: x\nweb | y\n"


def test_a_flushed_line_that_ends_alone_ends() -> None:
    feed = one()

    assert feed.take(b"a") + feed.flush_partial() + feed.take(b"\n") + feed.take(b"b\n") == b"web | a\nweb | b\n"


def test_O2_a_line_of_one_mebibyte_is_written_in_pieces_and_stays_one_line() -> None:
    """supervision 6.5."""
    feed = one()
    line = bytes(random.Random(1).choices(b"abcdefgh\r\0", k=1 << 20))
    pieces = [*(feed.take(line[at : at + 5000]) for at in range(0, len(line), 5000)), feed.take(b"\n")]

    assert b"".join(pieces) == b"web | " + line + b"\n"
    assert max(map(len, pieces)) < LIMIT + 5000 + len(b"web | ")


def test_a_long_end_of_a_chunk_does_not_wait() -> None:
    feed = one()

    assert feed.take(b"a\n" + b"x" * LIMIT) == b"web | a\nweb | " + b"x" * LIMIT
    assert not feed.pending


# --- several streams ---


def test_O3_an_unfinished_line_is_broken_before_another_child_writes() -> None:
    """supervision 6.5."""
    web, worker, _ = feeds(Sink())
    written = web.take(b"half") + web.flush_partial() + worker.take(b"done\n") + web.take(b" of it\n")

    assert written == b"web    | half\nworker | done\nweb    |  of it\n"


def test_two_unfinished_lines_break_each_other() -> None:
    web, worker, _ = feeds(Sink())
    written = web.take(b"a") + web.flush_partial() + worker.take(b"b") + worker.flush_partial()

    assert written + web.take(b"c\n") + worker.take(b"d\n") == b"web    | a\nworker | b\nweb    | c\nworker | d\n"


def test_what_waits_does_not_disturb_others() -> None:
    """supervision 6.4."""
    web, worker, _ = feeds(Sink())

    assert web.take(b"ha") + worker.take(b"x\n") + web.take(b"lf\n") == b"worker | x\nweb    | half\n"


def test_messages_of_vagga_begin_on_a_line_of_their_own() -> None:
    sink = Sink()
    web, _, _ = feeds(sink)

    assert sink.break_line() == b""
    assert web.take(b"half") + web.flush_partial() + sink.break_line() == b"web    | half\n"
    assert sink.break_line() == b""
    assert web.take(b"rest\n") == b"web    | rest\n"


STREAM = st.binary(max_size=40).map(lambda data: data.replace(b"e", b"\n").replace(b"t", b"\n"))
TURNS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.booleans()), max_size=60)


@settings(max_examples=300, deadline=None)
@given(st.tuples(STREAM, STREAM, STREAM), TURNS)
def test_O3_without_prefixes_each_stream_is_what_was_written(
    streams: tuple[bytes, ...], turns: list[tuple[int, int, bool]]
) -> None:
    """supervision 6.4: any cutting into chunks, any order of the streams, flushed at the end only."""
    sink = Sink()
    pipes = feeds(sink)
    rest = list(streams)
    written = b""
    for which, size, _ in turns:
        written += pipes[which].take(rest[which][:size])
        rest[which] = rest[which][size:]
    for which, feed in enumerate(pipes):
        written += feed.take(rest[which]) + feed.flush_partial()
    found = by_prefix(written)

    for name, stream in zip(NAMES, streams, strict=True):
        assert found[name] == (stream.removesuffix(b"\n").split(b"\n") if stream else [])


@settings(max_examples=300, deadline=None)
@given(st.tuples(STREAM, STREAM, STREAM), TURNS)
def test_O3_flushes_at_any_moment_lose_nothing_and_mix_nothing(
    streams: tuple[bytes, ...], turns: list[tuple[int, int, bool]]
) -> None:
    """supervision 6.5: a flushed line may be broken, but only between whole prefixes, and no byte is lost."""
    sink = Sink()
    pipes = feeds(sink)
    rest = list(streams)
    written = b""
    for which, size, flush in turns:
        written += pipes[which].take(rest[which][:size])
        rest[which] = rest[which][size:]
        if flush:
            written += pipes[which].flush_partial()
    for which, feed in enumerate(pipes):
        written += feed.take(rest[which]) + feed.flush_partial()
    found = by_prefix(written)

    for name, stream in zip(NAMES, streams, strict=True):
        assert b"".join(found[name]) == stream.replace(b"\n", b"")
        # Every line end of the stream is one of the output, at the same place of the text.
        ends = {len(b"".join(found[name][: number + 1])) for number in range(len(found[name]))}
        lines = stream.split(b"\n")[:-1]
        assert {len(b"".join(lines[: number + 1])) for number in range(len(lines))} <= ends


def test_long_lines_and_flushes_together_lose_nothing() -> None:
    """supervision 6.5: lines around the limit, from three streams at once."""
    numbers = random.Random(7)
    for _ in range(20):
        sink = Sink()
        pipes = feeds(sink)
        streams = [
            b"".join(b"x" * numbers.choice((0, 3, LIMIT - 1, LIMIT, 2 * LIMIT)) + b"\n" for _ in range(4))
            for _ in NAMES
        ]
        rest = list(streams)
        written = []
        while any(rest):
            which, size = numbers.randrange(3), numbers.choice((1, 4096, 30_000, LIMIT))
            written.append(pipes[which].take(rest[which][:size]))
            rest[which] = rest[which][size:]
            if numbers.random() < 0.2:
                written.append(pipes[which].flush_partial())
        found = by_prefix(b"".join(written))

        assert [sum(map(len, found[name])) for name in NAMES] == [len(stream.replace(b"\n", b"")) for stream in streams]
