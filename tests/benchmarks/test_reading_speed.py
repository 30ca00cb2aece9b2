"""What a packet costs to read: framing, decoding and folding 10,000 typical deltas.

Divide by 10,000 for the cost of one. Nothing is asserted about time: the machine is shared.
"""

from collections.abc import Callable
from typing import Any

from harness.sigma.frames import Frames
from harness.sigma.transcript import Trace, Transcript, read_body

DELTA = (
    b'{"placement": {"turn_index": 1, "tab_index": 0, "sub_turn_index": null, "model_index": 0}, '
    b'"obj": {"type": "message_delta", "content": "token "}}\n'
)
PACKETS = 10_000
Benchmark = Callable[..., Any]


def test_framing_packet_by_packet(benchmark: Benchmark) -> None:
    def frame() -> int:
        frames = Frames()
        return sum(len(frames.feed(DELTA)) for _ in range(PACKETS))

    assert benchmark(frame) == PACKETS


def test_decoding_and_folding(benchmark: Benchmark) -> None:
    frames = Frames().feed(DELTA * PACKETS)

    def fold() -> Transcript:
        trace = Trace()
        for frame in frames:
            trace.feed(frame)
        return trace.close()

    assert benchmark(fold).packets == PACKETS


def test_reading_a_whole_body(benchmark: Benchmark) -> None:
    assert benchmark(read_body, DELTA * PACKETS).packets == PACKETS


def test_reading_a_long_line(benchmark: Benchmark) -> None:
    document = b'{"document_id": "d", "blurb": "' + b"x" * 2**20 + b'"}'
    line = (
        b'{"placement": {"turn_index": 0}, "obj": {"type": "message_start", "final_documents": ['
        + document
        + b"]}}"
    )
    assert benchmark(read_body, line).documents == ("d",)
