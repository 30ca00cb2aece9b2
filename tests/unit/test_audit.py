import json
from typing import Any

import pytest

from harness.audit import RESEARCH_AGENT, Evidence, Word, audit, worst
from harness.sigma.transcript import Transcript
from tests.replies import IDS, SESSION, STOP, answer, delta, exchange, packet, searched

CALLED = {1: ("internal_search",), 3: ("web_search",), 12: ("get_weather", "get_chart")}
WEATHER = [
    packet("custom_tool_start", tool_name="get_weather", tool_id=12),
    packet(
        "custom_tool_delta", tool_name="get_weather", tool_id=12, response_type="json", data={}, error=None
    ),
    packet("section_end"),
]
END = [packet("message_start", 1), delta("done", 1), STOP]


def read(*lines: str) -> Transcript:
    transcript = exchange([SESSION, IDS, *lines]).transcript
    assert transcript is not None
    return transcript


PLAIN, SEARCH, CUSTOM = read(*answer("hi")[2:]), read(*searched(*END)), read(*WEATHER, *END)
CALLS = {"answer": "done", "message_id": 2, "tool_calls": [{"tool_name": "internal_search"}]}
AGENTS = {
    "answer": "done",
    "message_id": 2,
    "tool_calls": [{"tool_name": "open_url"}, {"tool_name": RESEARCH_AGENT}],
}


def whole(document: object) -> Transcript:
    transcript = exchange([json.dumps(document)], content_type="application/json").transcript
    assert transcript is not None
    return transcript


RESEARCH = read(packet("deep_research_plan_start"), packet("deep_research_plan_delta", content="1."), *END)


@pytest.mark.parametrize(
    ("asked", "transcript", "word"),
    [
        ({"allowed_tool_ids": [1]}, SEARCH, Word.TOOK_EFFECT),
        ({"allowed_tool_ids": [1]}, PLAIN, Word.NOT_EXERCISED),
        ({"allowed_tool_ids": [3]}, SEARCH, Word.IGNORED),
        ({"allowed_tool_ids": []}, SEARCH, Word.IGNORED),
        ({"allowed_tool_ids": [12]}, CUSTOM, Word.TOOK_EFFECT),
        ({"allowed_tool_ids": [99]}, SEARCH, Word.NOT_SHOWN),
        ({"forced_tool_id": 1}, SEARCH, Word.TOOK_EFFECT),
        ({"forced_tool_id": 1}, PLAIN, Word.IGNORED),
        ({"forced_tool_id": 12}, CUSTOM, Word.TOOK_EFFECT),
        ({"forced_tool_id": 99}, SEARCH, Word.NOT_SHOWN),
        ({"forced_tool_id": 1}, read(delta("cut")), Word.NOT_SHOWN),
        ({"deep_research": True}, RESEARCH, Word.TOOK_EFFECT),
        ({"deep_research": True}, PLAIN, Word.IGNORED),
        ({"deep_research": True}, SEARCH, Word.IGNORED),
        ({"deep_research": True}, read(delta("cut")), Word.NOT_SHOWN),
        ({"allowed_tool_ids": [3]}, whole(CALLS), Word.IGNORED),
        ({"allowed_tool_ids": [1]}, whole(CALLS), Word.TOOK_EFFECT),
        ({"forced_tool_id": 1}, whole(CALLS), Word.TOOK_EFFECT),
        ({"forced_tool_id": 3}, whole(CALLS), Word.IGNORED),
        ({"deep_research": True}, whole(AGENTS), Word.TOOK_EFFECT),
        ({"deep_research": True}, whole(CALLS), Word.IGNORED),
        ({"allowed_tool_ids": []}, whole("a bare string"), Word.NOT_SHOWN),
        ({"forced_tool_id": 1}, whole("a bare string"), Word.NOT_SHOWN),
        ({"deep_research": True}, whole("a bare string"), Word.NOT_SHOWN),
        ({"llm_override": {"model_version": "m"}}, PLAIN, Word.NOT_SHOWN),
        ({"search_filters": {"source_type": ["web"]}}, SEARCH, Word.NOT_SHOWN),
    ],
)
def test_a_setting_is_audited_by_what_the_reply_shows(
    asked: dict[str, Any], transcript: Transcript, word: Word
) -> None:
    (finding,) = audit({"message": "hi", **asked}, transcript, Evidence(CALLED))
    assert finding.word is word


def test_nothing_asked_is_nothing_found() -> None:
    assert audit({"message": "hi", "deep_research": False, "stream": True}, PLAIN, Evidence(CALLED)) == []
    assert worst([]) is None


def test_the_worst_word_of_several_counts() -> None:
    asked = {"allowed_tool_ids": [1], "forced_tool_id": 1, "deep_research": True}
    assert worst(audit(asked, SEARCH, Evidence(CALLED))) is Word.IGNORED


def test_the_tools_of_a_research_agent_and_the_memory_tool_are_not_held_against_the_allowed_ones() -> None:
    nested = [
        packet("research_agent_start", research_task="t"),
        packet("search_tool_start", sub=0, is_internet_search=True),
        packet("section_end", sub=0),
        packet("section_end"),
        packet("memory_tool_start", 1),
        packet("section_end", 1),
    ]
    (finding,) = audit({"allowed_tool_ids": []}, read(*nested, *END), Evidence(CALLED))
    assert finding.word is Word.TOOK_EFFECT


def test_the_tools_of_research_agents_are_the_servers_own_choice_streamed_or_not() -> None:
    findings = audit({"allowed_tool_ids": [1], "deep_research": True}, whole(AGENTS), Evidence(CALLED))
    assert [finding.word for finding in findings] == [Word.NOT_EXERCISED, Word.TOOK_EFFECT]
