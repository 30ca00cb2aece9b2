import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.sigma.session import FileSeen, MessageSeen, ModelParams, SessionDetail, read_session

RECORDINGS = Path(__file__).parents[1] / "wire" / "recordings"


def recorded(name: str) -> Any:
    return json.loads((RECORDINGS / f"{name}.body").read_bytes())


def test_a_recorded_session_shows_its_tree_and_the_model_that_answered() -> None:
    detail = read_session(recorded("93-get-session-after-stop"), projects=(3,))
    assert detail is not None
    assert (detail.chat_session_id, detail.persona_id, detail.projects) == (
        "83862b6d-282c-4801-9ca4-e6822dc69f77",
        0,
        (3,),
    )
    assert [(one.message_id, one.parent_message, one.message_type) for one in detail.messages[:3]] == [
        (216, None, "system"),
        (217, 216, "user"),
        (218, 217, "assistant"),
    ]
    assert detail.messages[2].request_params == ModelParams(
        "fake-model", "openai_compatible", {"temperature": 0.0}
    )
    stopped = detail.message(220)
    assert stopped is not None
    assert (stopped.parent_message, stopped.request_params, stopped.files) == (219, None, [])


def test_a_message_is_found_by_its_id_and_no_id_finds_none() -> None:
    detail = SessionDetail("s", messages=(MessageSeen(None, 1), MessageSeen(2, 1)))
    assert detail.message(2) == MessageSeen(2, 1)
    assert detail.message(3) is None
    assert detail.message(None) is None


@pytest.mark.parametrize("document", [None, [], "gone", {"detail": "Access denied"}, {"chat_session_id": 7}])
def test_what_is_no_session_is_none(document: Any) -> None:
    assert read_session(document) is None


def test_a_field_that_does_not_fit_is_left_out_and_costs_nothing_else() -> None:
    message = {
        "message_id": 2,
        "parent_message": "one",
        "message_type": "assistant",
        "files": [{"id": "f1", "user_file_id": 3}, "f2"],
        "request_params": {"model_name": "m", "model_provider": None, "sent_kwargs": ["temperature"]},
    }
    detail = read_session({"chat_session_id": "s", "persona_id": "zero", "messages": [message, "no message"]})
    assert detail == SessionDetail(
        "s", messages=(MessageSeen(2, None, "assistant", [FileSeen("f1")], ModelParams("m")),)
    )


def test_a_detail_survives_its_line_in_the_journal() -> None:
    detail = read_session(recorded("96-get-session-after-disconnect"), projects=())
    assert msgspec.json.decode(msgspec.json.encode(detail), type=SessionDetail) == detail
