from typing import Any

import pytest

from harness.sigma.request import request_body, session_info
from harness.suite.settings import Settings

TAGS = {"source_type": ["web"], "tags": {"region": "EU"}}


def body(dialect: str = "sigma", session_id: str | None = None, **settings: Any) -> dict[str, Any]:
    return request_body("hi", Settings.model_validate(settings), dialect=dialect, session_id=session_id)


@pytest.mark.parametrize("dialect", ["sigma", "onyx"])
def test_what_is_not_set_is_left_out_and_never_null(dialect: str) -> None:
    assert body(dialect) == {"message": "hi", "stream": True}
    assert body(dialect, llm_override={"temperature": 0.0})["llm_override"] == {"temperature": 0.0}


@pytest.mark.parametrize(
    ("setting", "value", "sent"),
    [
        ("allowed_tool_ids", [], []),
        ("allowed_tool_ids", [3, 1], [3, 1]),
        ("forced_tool_id", 0, 0),
        ("deep_research", False, False),
        ("stream", False, False),
    ],
)
def test_what_is_set_is_sent_also_where_it_is_nothing(setting: str, value: Any, sent: Any) -> None:
    assert body(**{setting: value})[setting] == sent


def test_filters_have_the_name_and_the_shape_of_the_dialect() -> None:
    assert body("sigma", search_filters=TAGS)["search_filters"] == {
        "source_type": ["web"],
        "tags": {"region": "EU"},
    }
    onyx = body("onyx", search_filters=TAGS)
    assert "search_filters" not in onyx
    assert onyx["internal_search_filters"] == {
        "source_type": ["web"],
        "tags": [{"tag_key": "region", "tag_value": "EU"}],
    }


def test_a_session_is_made_of_its_persona_or_gone_on_with_but_never_both() -> None:
    assert body(persona_id=0)["chat_session_info"] == {"persona_id": 0}
    going_on = body(persona_id=0, session_id="5b0f")
    assert going_on["chat_session_id"] == "5b0f"
    assert "chat_session_info" not in going_on


def test_a_session_that_is_made_ahead_has_a_title() -> None:
    chosen = Settings.model_validate({"project_id": 4})
    assert session_info(chosen, description="case / variant / 1") == {
        "project_id": 4,
        "description": "case / variant / 1",
    }
