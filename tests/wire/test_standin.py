"""The stand-in replies to each recorded request as the recorded server did: in class, in shape, in grammar.

`asked.py` has how each of them is asked here. The class of a reply is what a client can tell of it without
reading the text: status, media type, outcome, error code, which parts there are. The shape of a JSON
document, and of each packet, is its keys and JSON types.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from harness.sigma.transcript import read_body
from tests.conftest import Serving, Standin
from tests.wire.asked import ASKED, OUT
from tests.wire.asking import KEY, Reply, request_of, whole
from tests.wire.grammar import documents, unlike, wrongs_of_stream
from tests.wire.recorded import NAMES, recording
from tests.wire.test_recordings import CUT, OWN_WAYS

OWN_WAYS_HERE = {**OWN_WAYS, "xa-empty-answer": "a stop without any text is what its model is for"}


@pytest.fixture(scope="module")
def standins(onyx: Standin, sigma: Standin, serving: Serving) -> Iterator[dict[str, Standin]]:
    with (
        serving("--dialect", "onyx", HARNESS_STANDIN_KEY=KEY) as keyed,
        serving("--dialect", "onyx", "--without-deprecated") as bare,
    ):
        yield {"onyx": onyx, "sigma": sigma, "keyed": keyed, "bare": bare}


def kind_of(reply: Reply) -> dict[str, Any]:
    """The class of a reply."""
    status, content_type, body = reply
    told = read_body(body, status=status, content_type=content_type)
    return {
        "status": status,
        "media": content_type,
        "outcome": told.outcome,
        "code": told.error and told.error.code,
        "retryable": told.retryable,
        "session": told.chat_session_id is not None,
        "question": told.user_message_id is not None,
        "answers": len(told.assistant_message_ids),
        "text": bool(told.answer),
        "narration": bool(told.narration),
        "reasoning": bool(told.reasoning),
        "plan": bool(told.plan),
        "calls": sorted({str(call.status) for call in told.tool_calls}),
        "citations": bool(told.citations),
        "documents": bool(told.documents),
        "heartbeats": bool(told.heartbeats),
        "unknown": bool(told.unknown_packets),
        "bad": bool(told.bad_lines),
        "models": told.models and [each.outcome for each in told.models],
    }


def shapes(reply: Reply) -> dict[str, Any]:
    """A sample of each kind of document in a reply: of each type of packet, each other line, the whole."""
    status, content_type, body = reply
    if content_type.startswith("application/json"):
        return {f"document {status}": json.loads(body)}
    if not content_type.startswith("text/event-stream"):
        return {}
    samples: dict[str, Any] = {}
    for line in documents(body):
        samples.setdefault(line["obj"]["type"] if "obj" in line else f"line {min(line)}", line)
    return samples


def test_every_recording_is_asked_of_the_stand_in_or_there_is_a_reason_why_not() -> None:
    assert ASKED.keys() | OUT.keys() == set(NAMES)
    assert not ASKED.keys() & OUT.keys()
    assert all(OUT.values())
    assert all(asked.why for asked in ASKED.values() if asked.unlike)


@pytest.mark.parametrize("name", ASKED)
def test_the_stand_in_replies_as_the_recorded_server_did(name: str, standins: dict[str, Standin]) -> None:
    one, asked = recording(name), ASKED[name]
    standin = standins[asked.at]
    theirs = (one.status, one.content_type, one.body)
    ours = asked.send(standin, request_of(one, asked, standin))

    recorded, replied = kind_of(theirs), kind_of(ours)
    differ = {aspect for aspect in recorded if recorded[aspect] != replied[aspect]}
    assert {aspect: (recorded[aspect], replied[aspect]) for aspect in differ - asked.unlike} == {}
    assert differ >= asked.unlike  # a difference that is gone is allowed no longer

    there, here = shapes(theirs), shapes(ours)
    common = there.keys() & here.keys() if name not in OWN_WAYS else set()
    assert [wrong for kind in sorted(common) for wrong in unlike(there[kind], here[kind], kind)] == []

    if ours[1].startswith("text/event-stream") and name not in OWN_WAYS_HERE:
        assert wrongs_of_stream(documents(ours[2]), whole=name not in CUT) == []


@pytest.mark.parametrize(
    "name",
    [name for name in ASKED if recording(name).status in {400, 403, 404, 405, 500}],
)
def test_a_refusal_of_the_stand_in_says_what_the_recorded_one_says(
    name: str, standins: dict[str, Standin]
) -> None:
    one, asked = recording(name), ASKED[name]
    standin = standins[asked.at]
    _, _, body = asked.send(standin, request_of(one, asked, standin))
    assert json.loads(body) == json.loads(one.body)


def test_a_call_of_a_tool_that_does_not_exist_leaves_its_turn_out(onyx: Standin) -> None:
    name = "12-tool-unknown-name"
    one = recording(name)
    _, _, ours = whole(onyx, request_of(one, ASKED[name], onyx))
    for body in (one.body, ours):
        packets = [line for line in documents(body) if "obj" in line]
        assert {packet["placement"]["turn_index"] for packet in packets} == {1}
