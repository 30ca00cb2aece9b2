"""A compressed body is decoded on its tape, and every byte keeps the stamp of the read that completed it."""

import gzip
import tracemalloc
import zlib
from bisect import bisect_left
from collections.abc import Callable
from itertools import pairwise

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.drive.encoding import decode
from harness.drive.tape import LONGEST_REPLY, Tape

LINES = [b'{"obj":{"type":"message_delta","content":"%d"}}\n' % number for number in range(20)]


def taped(body: bytes, cuts: set[int] | None = None) -> Tape:
    """A tape of a reply that came in reads which ended at *cuts*."""
    tape = Tape()
    places = [0, *sorted(cut for cut in cuts or () if cut < len(body)), len(body)]
    for number, (begin, end) in enumerate(pairwise(places)):
        if end > begin:
            tape.keep(body[begin:end], number * 10, number * 10 + 1)
    return tape


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data)[2:-4]


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
    "identity": bytes,
    "": bytes,
    "deflate, gzip": lambda data: gzip.compress(zlib.compress(data)),
}


@pytest.mark.parametrize("encoding", ENCODERS)
@given(data=st.binary(max_size=400), cuts=st.sets(st.integers(1, 500), max_size=12))
def test_any_body_in_any_reads_is_decoded(encoding: str, data: bytes, cuts: set[int]) -> None:
    tape = taped(ENCODERS[encoding](data), cuts)
    reads = len(tape.ends)
    assert decode(tape, encoding) is None
    assert bytes(tape.body) == data
    assert len(tape.ends) == len(tape.arrived) == len(tape.seen) == reads
    assert tape.ends == sorted(tape.ends)
    assert not tape.ends or tape.ends[-1] == len(data)


@given(flushes=st.lists(st.booleans(), min_size=len(LINES), max_size=len(LINES)))
def test_a_packet_has_the_stamp_of_the_read_that_completed_it(flushes: list[bool]) -> None:
    """Some servers flush their compressor after each packet, some do not: then it comes with a later one."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    tape, wanted, open_lines = Tape(), [], 0
    for number, (line, flush) in enumerate(zip(LINES, flushes, strict=True)):
        last = number == len(LINES) - 1
        packed = packer.compress(line) + packer.flush(
            zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH if flush else zlib.Z_NO_FLUSH
        )
        open_lines += 1
        if packed:
            tape.keep(packed, number, number)
        if flush or last:
            wanted += [number] * open_lines
            open_lines = 0
    assert decode(tape, "gzip") is None
    ends = [len(b"".join(LINES[: number + 1])) for number in range(len(LINES))]
    assert [tape.arrived[bisect_left(tape.ends, end)] for end in ends] == wanted


def test_gzip_members_that_follow_each_other_are_one_body() -> None:
    packed = b"".join(gzip.compress(line) for line in LINES) + b"\0\0"
    tape = taped(packed, set(range(1, len(packed))))
    assert decode(tape, "gzip") is None
    assert bytes(tape.body) == b"".join(LINES)


def test_what_came_before_a_cut_is_decoded_and_the_cut_is_told() -> None:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    tape = taped(packer.compress(LINES[0]) + packer.flush(zlib.Z_SYNC_FLUSH))
    said = decode(tape, "gzip")
    assert isinstance(said, httpx.DecodingError)
    assert "gzip, and its end is missing" in str(said)
    assert bytes(tape.body) == LINES[0]


def test_what_is_not_what_it_is_said_to_be_is_told() -> None:
    good = gzip.compress(LINES[0])
    tape = taped(good[:-4] + b"nope", {len(good) - 8})
    said = decode(tape, "gzip")
    assert "and it is not" in str(said)
    assert bytes(tape.body) == LINES[0]
    assert tape.ends == [len(LINES[0])] * 2
    assert "and it is not" in str(decode(taped(b"plain text, no gzip"), "gzip"))


def test_an_encoding_nobody_asked_for_is_told_and_the_bytes_stay() -> None:
    tape = taped(b"whatever")
    assert "compressed as br, which was not asked for" in str(decode(tape, "br"))
    assert bytes(tape.body) == b"whatever"


@pytest.mark.slow
@pytest.mark.parametrize("layers", [1, 2])
def test_what_unpacks_to_more_than_a_reply_may_have_is_cut_there_and_told(layers: int) -> None:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    packed = packer.compress(LINES[0]) + packer.flush(zlib.Z_SYNC_FLUSH)
    first = len(packed)
    packed += packer.compress(bytes(2 * LONGEST_REPLY)) + packer.flush()
    if layers == 2:
        packed, first = gzip.compress(packed), 20
    tape = taped(packed, {first})
    tracemalloc.start()
    try:
        said = decode(tape, ", ".join(["gzip"] * layers))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert f"more than the limit of {LONGEST_REPLY:,} bytes" in str(said)
    assert tape.body.startswith(LINES[0])
    assert LONGEST_REPLY < len(tape.body) == tape.ends[-1] <= LONGEST_REPLY + 1 + len(LINES[0])
    assert most < 5 * LONGEST_REPLY


def test_a_body_that_is_packed_over_and_over_is_not_unpacked_at_all() -> None:
    tape = taped(b"whatever")
    assert "compressed 1000 times over" in str(decode(tape, ", ".join(["gzip"] * 1000)))
    assert bytes(tape.body) == b"whatever"
