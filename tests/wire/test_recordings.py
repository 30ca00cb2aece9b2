"""Every recorded reply of a chat endpoint reads as it should, however its bytes come in.

`readings.json` says what each reply comes to, worked out from the reading rules and not by this reader.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.sigma.frames import Frame, Frames
from harness.sigma.transcript import Trace, read_body, reading

HERE = Path(__file__).parent
READINGS: dict[str, dict[str, Any]] = json.loads((HERE / "readings.json").read_text(encoding="utf-8"))
STREAMS = [name for name, wanted in READINGS.items() if wanted["content_type"] == "text/event-stream"]


def wanted(name: str) -> dict[str, Any]:
    return {key: value for key, value in READINGS[name].items() if key not in {"http_status", "content_type"}}


def body(name: str) -> bytes:
    return (HERE / "recordings" / f"{name}.body").read_bytes()


def recorded_chunks(name: str) -> list[bytes]:
    with (HERE / "recordings" / f"{name}.chunks.jsonl").open(encoding="utf-8") as file:
        _, *chunks = map(json.loads, file)
    return [base64.b64decode(each["b64"]) if "b64" in each else each["text"].encode() for each in chunks]


def fold(chunks: list[bytes]) -> dict[str, Any]:
    frames, trace = Frames(), Trace()

    def arriving() -> Iterator[Frame]:
        for chunk in chunks:
            yield from frames.feed(chunk)
        yield from frames.close()

    for frame in arriving():
        trace.feed(frame)
    return reading(trace.close())


def test_there_are_as_many_recordings_as_readings() -> None:
    assert len(READINGS) == 124
    assert {path.stem for path in HERE.glob("recordings/*.body")} == READINGS.keys()


@pytest.mark.parametrize("name", READINGS)
def test_a_whole_body_reads_as_the_rules_say(name: str) -> None:
    status, content_type = READINGS[name]["http_status"], READINGS[name]["content_type"]
    assert reading(read_body(body(name), status=status, content_type=content_type)) == wanted(name)


@pytest.mark.parametrize("name", READINGS)
def test_the_recorded_chunks_joined_are_the_body(name: str) -> None:
    assert b"".join(recorded_chunks(name)) == body(name)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_reads_the_same_in_its_recorded_chunks(name: str) -> None:
    assert fold(recorded_chunks(name)) == wanted(name)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_reads_the_same_byte_by_byte(name: str) -> None:
    content = body(name)
    assert fold([content[at : at + 1] for at in range(len(content))]) == wanted(name)
