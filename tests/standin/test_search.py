"""Tools really do what they say: search with every filter, forced and allowed tools, conversions, pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Standin

QUESTION = "What is the refund window?"


def _filtered(standin: Standin, **filters: Any) -> list[dict[str, Any]]:
    reply = standin.ask(QUESTION, internal_search_filters=filters)
    return [document for obj in reply.objects("search_tool_documents_delta") for document in obj["documents"]]


def test_without_a_filter_every_kind_of_document_is_found(onyx: Standin) -> None:
    found = onyx.ask(QUESTION).found()
    assert {"pol-refund-2026-eu", "pol-refund-2026-us", "pol-refund-2023"} <= set(found)


def test_a_source_filter_gives_that_source_only(onyx: Standin) -> None:
    documents = _filtered(onyx, source_type=["slack"])
    assert {document["source_type"] for document in documents} == {"slack"}


def test_a_document_set_filter_gives_that_set_only(onyx: Standin) -> None:
    found = [document["document_id"] for document in _filtered(onyx, document_set=["Support"])]
    assert found
    assert all(one.startswith("sup-") for one in found)


def test_a_tag_filter_tells_near_duplicates_apart(onyx: Standin) -> None:
    tags = [{"tag_key": "year", "tag_value": "2023"}]
    reply = onyx.ask(QUESTION, internal_search_filters={"tags": tags})
    assert reply.found() == ["pol-refund-2023"]
    assert "14 days" in reply.answer()


def test_tags_of_different_keys_must_all_match_and_of_one_key_any(onyx: Standin) -> None:
    region = [{"tag_key": "region", "tag_value": value} for value in ("EU", "US")]
    year = [{"tag_key": "year", "tag_value": "2026"}]
    found = {document["document_id"] for document in _filtered(onyx, tags=region + year)}
    assert found == {"pol-refund-2026-eu", "pol-refund-2026-us"}


@pytest.mark.parametrize(
    ("filters", "first", "last"),
    [
        ({"time_cutoff": "2026-02-11T00:00:00Z"}, "2026-02-11", "9999"),
        ({"updated_at_range": {"end": "2025-12-31T00:00:00Z"}}, "0000", "2025-12-31"),
        (
            {"updated_at_range": {"start": "2026-02-01T00:00:00", "end": "2026-02-28T00:00:00"}},
            "2026-02-01",
            "2026-02-28",
        ),
    ],
)
def test_a_time_filter_keeps_what_lies_inside(
    onyx: Standin, filters: dict[str, Any], first: str, last: str
) -> None:
    documents = _filtered(onyx, **filters)
    assert documents
    assert all(first <= document["updated_at"] <= last for document in documents)


def test_created_and_updated_are_told_apart(onyx: Standin) -> None:
    """The 2025 data retention page was created in May 2025 and changed in April 2026."""
    question = "How long is customer data kept after an account is closed?"
    created = {"created_at_range": {"start": "2026-01-01T00:00:00Z"}}
    updated = {"updated_at_range": {"start": "2026-01-01T00:00:00Z"}}
    assert "pol-retention-eu" not in onyx.ask(question, internal_search_filters=created).found()
    assert "pol-retention-eu" in onyx.ask(question, internal_search_filters=updated).found()


def test_a_filter_is_shown_with_its_sources_and_times(onyx: Standin) -> None:
    filters = {"source_type": ["confluence"], "time_cutoff": "2026-01-01T00:00:00Z"}
    reply = onyx.ask(QUESTION, internal_search_filters=filters)
    assert reply.objects("search_tool_filter_delta") == [
        {
            "type": "search_tool_filter_delta",
            "sources": ["confluence"],
            "time_filter_start": "2026-01-01T00:00:00+00:00",
            "time_filter_end": None,
        }
    ]


def test_filters_that_leave_nothing_give_an_honest_answer(onyx: Standin) -> None:
    reply = onyx.ask(QUESTION, internal_search_filters={"source_type": ["jira"]})
    assert reply.kinds[:3] == ["search_tool_start", "search_tool_filter_delta", "search_tool_queries_delta"]
    assert reply.kinds[3] == "section_end"
    assert "found nothing" in reply.answer()


@pytest.mark.parametrize("tags", [{"year": "2023"}, [{"tag_key": "year", "tag_value": "2023"}]])
def test_sigma_takes_tags_as_a_dict_or_as_pairs(sigma: Standin, tags: Any) -> None:
    assert sigma.ask(QUESTION, search_filters={"tags": tags}).found() == ["pol-refund-2023"]


def test_onyx_refuses_tags_as_a_dict(onyx: Standin) -> None:
    answer = onyx.post({"message": QUESTION, "internal_search_filters": {"tags": {"year": "2023"}}})
    assert answer.status_code == 422
    assert answer.json()["status_code"] == 422
    assert "internal_search_filters" in answer.json()["message"]


def test_onyx_drops_the_filters_of_the_guide_without_a_word(onyx: Standin) -> None:
    reply = onyx.ask(QUESTION, search_filters={"tags": {"year": "2023"}})
    assert len(reply.found()) > 1
    assert "search_tool_filter_delta" not in reply.kinds


def test_sigma_counts_a_document_that_was_created_or_modified_since(sigma: Standin) -> None:
    reply = sigma.ask(QUESTION, search_filters={"time_cutoff": "2026-02-11T00:00:00Z"})
    assert "pol-refund-2026-us" in reply.found()
    assert "pol-refund-2026-eu" not in reply.found()


def test_no_allowed_tools_means_no_tool_packets(onyx: Standin) -> None:
    reply = onyx.ask(QUESTION, allowed_tool_ids=[])
    assert set(reply.kinds) == {"message_start", "message_delta", "stop"}
    assert "no tools" in reply.answer()


def test_tools_that_are_not_allowed_are_not_called(onyx: Standin) -> None:
    reply = onyx.ask("Convert 5 km to miles, and what is the API rate limit?", allowed_tool_ids=[12, 9999])
    assert "search_tool_start" not in reply.kinds
    assert reply.answer() == "5 km is 3.10686 mi."


def test_a_persona_has_only_its_own_tools(onyx: Standin) -> None:
    reply = onyx.ask("Convert 5 km to miles", chat_session_info={"persona_id": 1})
    assert "custom_tool_start" not in reply.kinds


def test_a_forced_tool_is_used_where_it_would_not_be(onyx: Standin) -> None:
    reply = onyx.ask("What is the capital of France?", forced_tool_id=1)
    assert reply.kinds[0] == "search_tool_start"


def test_an_unknown_forced_tool_fails_after_the_ids(onyx: Standin) -> None:
    reply = onyx.ask("hello", forced_tool_id=9999)
    assert [sorted(line)[0] for line in reply.lines] == [
        "chat_session_id",
        "reserved_assistant_message_id",
        "details",
    ]
    assert reply.error == {
        "error": "Forced tool 9999 not found in tools",
        "stack_trace": "Traceback (most recent call last): ...",
        "error_code": "UNKNOWN_ERROR",
        "is_retryable": True,
        "details": {"model": "swift", "provider": "openai_compatible", "model_index": 0},
    }


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Convert 100 F to C", "100 f is 37.7778 c."),
        ("How much is 3 lb in kg?", "3 lb is 1.36078 kg."),
        (
            "How many days are there between 2026-01-01 and 2026-03-01?",
            "From 2026-01-01 to 2026-03-01 it is 59 days.",
        ),
        ("What date is 30 days after 2026-02-10?", "30 days after 2026-02-10 is 2026-03-12."),
        ("What is 12 * 7?", "12 * 7 = 84."),
    ],
)
def test_small_tools_compute(onyx: Standin, question: str, answer: str) -> None:
    assert onyx.ask(question).answer() == answer


def test_a_custom_tool_is_named_by_its_operation(onyx: Standin) -> None:
    reply = onyx.ask("How many days are there between 2026-01-01 and 2026-03-01?")
    assert reply.kinds[:4] == ["custom_tool_start", "custom_tool_args", "custom_tool_delta", "section_end"]
    assert reply.objects("custom_tool_start")[0] == {
        "type": "custom_tool_start",
        "tool_name": "days_between",
        "tool_id": 14,
    }
    calendar = next(tool for tool in onyx.get("/tool") if tool["id"] == 14)
    assert calendar["name"] == "Calendar"


def test_two_tools_run_side_by_side(onyx: Standin) -> None:
    reply = onyx.ask("Convert 5 km to miles, and what is the API rate limit?")
    assert reply.objects("top_level_branching")[0]["num_parallel_branches"] == 2
    tabs = {
        packet["placement"]["tab_index"] for packet in reply.packets if packet["obj"]["type"] == "section_end"
    }
    assert tabs == {0, 1}
    assert "3.10686 mi" in reply.answer()
    assert "600 requests" in reply.answer()


def test_a_web_search_opens_the_best_page(onyx: Standin) -> None:
    reply = onyx.ask("Search the web: how long is the Nile?")
    assert reply.objects("search_tool_start")[0]["is_internet_search"]
    assert reply.objects("open_url_urls")[0]["urls"] == ["https://web.example/rivers"]
    assert "6,650 km" in reply.answer()


def test_without_web_search_no_page_is_opened(onyx: Standin) -> None:
    reply = onyx.ask("Open https://web.example/rivers", allowed_tool_ids=[7])
    assert "open_url_start" not in reply.kinds


def test_a_page_that_is_not_there_has_no_documents(onyx: Standin) -> None:
    reply = onyx.ask("Open https://web.example/nowhere", allowed_tool_ids=[3, 7])
    assert reply.kinds[:3] == ["open_url_start", "open_url_urls", "section_end"]


def test_a_citation_is_announced_right_before_its_marker(onyx: Standin) -> None:
    reply = onyx.ask("How are webhooks signed?")
    at = reply.kinds.index("citation_info")
    info, marker = reply.packets[at]["obj"], reply.packets[at + 1]["obj"]
    assert (
        marker["content"].strip() == f"[[{info['citation_number']}]](https://www.atlas.example/docs/webhooks)"
    )
    cited = reply.objects("message_start")[-1]["final_documents"][info["citation_number"] - 1]
    assert cited["document_id"] == info["document_id"] == "prod-webhooks"


def test_citations_can_be_left_out(onyx: Standin) -> None:
    reply = onyx.ask("How are webhooks signed?", include_citations=False)
    assert "citation_info" not in reply.kinds
    assert "[[" not in reply.answer()
    assert reply.objects("message_start")[-1]["final_documents"]


def test_a_chatty_model_narrates_on_tab_0_and_calls_on_tab_1(onyx: Standin) -> None:
    reply = onyx.ask("How are webhooks signed?", "steady")
    assert reply.kinds[0] == "message_start"
    start = next(packet for packet in reply.packets if packet["obj"]["type"] == "search_tool_start")
    assert (start["placement"]["turn_index"], start["placement"]["tab_index"]) == (0, 1)


def test_a_reasoning_model_thinks_in_a_turn_of_its_own(onyx: Standin) -> None:
    reply = onyx.ask("How are webhooks signed?", "thinker")
    turns: dict[int, list[str]] = {}
    for packet in reply.packets:
        turns.setdefault(packet["placement"]["turn_index"], []).append(packet["obj"]["type"])
    assert [kinds[0] for kinds in turns.values()] == [
        "reasoning_start",
        "search_tool_start",
        "reasoning_start",
        "message_start",
    ]


@pytest.mark.slow
def test_temperature_varies_the_wording_and_zero_does_not(onyx: Standin) -> None:
    def leads(temperature: float) -> set[str]:
        override = {"model_provider": "Simulated", "model_version": "steady", "temperature": temperature}
        return {onyx.whole("How are webhooks signed?", llm_override=override)["answer"] for _ in range(4)}

    assert len(leads(0)) == 1
    assert len(leads(0.9)) > 1
