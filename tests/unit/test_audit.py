import json
from typing import Any

import pytest

from harness.audit import RESEARCH_AGENT, Evidence, Word, audit, worst
from harness.sigma.catalogue import Provider
from harness.sigma.session import FileSeen, MessageSeen, ModelParams, SessionDetail
from harness.sigma.transcript import Transcript
from tests.replies import (
    IDS,
    SESSION,
    SESSION_ID,
    STOP,
    answer,
    delta,
    exchange,
    found,
    ids_of,
    packet,
    searched,
    side_by_side,
)

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
        ({"stream": False}, whole(CALLS), Word.TOOK_EFFECT),
        ({"stream": False}, PLAIN, Word.IGNORED),
        ({"stream": False}, whole({"answer": "", "error_msg": "no"}), Word.NOT_SHOWN),
        ({"forced_tool_ids": [3]}, SEARCH, Word.IGNORED),
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


def test_of_the_memory_tool_an_audit_says_that_it_may_be_offered_anyway() -> None:
    memory = [packet("memory_tool_start"), packet("section_end")]
    (finding,) = audit({"allowed_tool_ids": []}, read(*memory, *END), Evidence(CALLED))
    assert finding.word is Word.NOT_EXERCISED
    assert "add_memory, which servers may offer" in finding.seen
    (finding,) = audit({"allowed_tool_ids": [3]}, read(*memory, *searched(*END, turn=1)), Evidence(CALLED))
    assert (finding.word, finding.seen.partition(",")[0]) == (Word.IGNORED, "internal_search")
    (finding,) = audit({"allowed_tool_ids": [9]}, read(*memory, *END), Evidence({9: ("add_memory",)}))
    assert (finding.word, finding.seen) == (Word.TOOK_EFFECT, "add_memory")


# Models


def detail(
    *params: ModelParams | None, messages: tuple[MessageSeen, ...] = (), **fields: Any
) -> SessionDetail:
    """The conversation of `IDS`: question 1, and answers from 2 on, one for each of *params*."""
    question = MessageSeen(1, 0, "user", [])
    answers = [MessageSeen(2 + n, 1, "assistant", [], each) for n, each in enumerate(params)]
    return SessionDetail(SESSION_ID, messages=messages or (question, *answers), **fields)


def ran(name: str | None, vendor: str | None = "openai", **kwargs: Any) -> ModelParams:
    return ModelParams(name, vendor, kwargs or None)


PROVIDERS = (
    Provider("Prod", ("gpt-4o", "o3"), "openai"),
    Provider("Claude", ("claude-*",), "anthropic"),
    Provider("Test", ("gpt-4o",), "openai"),
    Provider("Odd", ("gpt-4o",)),
)
BROKE = json.dumps({"error": "no", "error_code": "NOT_FOUND", "details": {"model": "gpt-4o"}})


@pytest.mark.parametrize(
    ("asked", "seen", "word"),
    [
        (
            {"model_provider": "Claude", "model_version": "claude-5"},
            ran("claude-5", "anthropic"),
            "took effect",
        ),
        ({"model_provider": "Claude", "model_version": "claude-5"}, ran("gpt-4o"), "ignored"),
        ({"model_provider": "Claude", "model_version": "claude-5"}, ran("claude-5", "bedrock"), "ignored"),
        ({"model_provider": "Claude", "model_version": "claude-5"}, ran("claude-5", None), "not shown"),
        ({"model_provider": "Claude", "model_version": "claude-5"}, ran(None, None), "not shown"),
        ({"model_provider": "Claude", "model_version": "claude-5"}, None, "not shown"),
        ({"model_provider": "Prod", "model_version": "o3"}, ran("o3"), "took effect"),
        ({"model_provider": "Prod", "model_version": "gpt-4o"}, ran("gpt-4o"), "not shown"),
        ({"model_provider": "Gone", "model_version": "gpt-4o"}, ran("gpt-4o"), "not shown"),
        ({"model_provider": "Gone", "model_version": "gpt-4o"}, ran("o3"), "ignored"),
        ({"model_provider": "Odd", "model_version": "gpt-4o"}, ran("gpt-4o"), "not shown"),
        ({"model_provider": "Claude"}, ran("gpt-4o"), "ignored"),
        ({"model_provider": "Claude"}, ran("claude-5", "anthropic"), "took effect"),
        ({"model_version": "o3"}, ran("o3"), "took effect"),
        ({"model_version": "o3"}, ran("gpt-4o"), "ignored"),
        ({"model_version": "o3"}, None, "not shown"),
        ({"model_configuration_id": 4}, ran("o3"), "not shown"),
        ({"model_configuration_id": 4, "model_version": "o3"}, ran("gpt-4o"), "ignored"),
    ],
)
def test_the_model_that_answered_is_that_of_the_session_detail(
    asked: dict[str, Any], seen: ModelParams | None, word: str
) -> None:
    evidence = Evidence(providers=PROVIDERS, session=detail(seen))
    (finding,) = audit({"llm_override": asked}, PLAIN, evidence)
    assert (finding.setting, finding.word) == ("llm_override", word)


def test_without_a_list_of_providers_only_the_name_of_a_model_can_be_compared() -> None:
    both = {"llm_override": {"model_provider": "Claude", "model_version": "claude-5"}}
    for seen, word in ((ran("claude-5", "anthropic"), Word.NOT_SHOWN), (ran("gpt-4o"), Word.IGNORED)):
        (finding,) = audit(both, PLAIN, Evidence(session=detail(seen)))
        assert finding.word is word


def test_an_error_line_names_the_model_too() -> None:
    for asked, word in (("gpt-4o", Word.TOOK_EFFECT), ("o3", Word.IGNORED)):
        (finding,) = audit({"llm_override": {"model_version": asked}}, read(BROKE), Evidence())
        assert (finding.word, finding.seen) == (word, "gpt-4o")


def test_a_label_is_no_setting_and_no_evidence() -> None:
    assert audit({"llm_override": {"display_name": "fast"}}, PLAIN, Evidence()) == []
    labelled = {"llm_override": {"display_name": "a label", "model_version": "o3"}}
    (finding,) = audit(labelled, read(ids_of(2)), Evidence())
    assert finding.word is Word.NOT_SHOWN


def test_the_detail_of_another_conversation_is_no_evidence() -> None:
    other = SessionDetail("another", persona_id=1, messages=detail(ran("gpt-4o")).messages)
    asked = {"llm_override": {"model_version": "o3"}, "chat_session_info": {"persona_id": 7}}
    assert {one.word for one in audit(asked, PLAIN, Evidence(session=other))} == {Word.NOT_SHOWN}


@pytest.mark.parametrize(
    ("seen", "word"),
    [
        (ran("m", temperature=0.3), "took effect"),
        (ran("m", temperature=0.30000000000000004), "took effect"),
        (ran("m", temperature=1), "ignored"),
        (ran("m", max_tokens=5), "ignored"),
        (ran("m"), "not shown"),
        (None, "not shown"),
    ],
)
def test_a_temperature_took_effect_where_it_was_sent_to_the_model(
    seen: ModelParams | None, word: str
) -> None:
    asked = {"llm_override": {"temperature": 0.3}}
    (finding,) = audit(asked, PLAIN, Evidence(session=detail(seen)))
    assert (finding.setting, finding.asked, finding.word) == ("llm_override.temperature", "0.3", word)


BOTH = side_by_side([*answer("zero")[2:]], [*answer("one")[2:]])
THREE = [{"model_version": "o3", "temperature": 0.5}, {"model_version": "gpt-4o"}, {"model_version": "m"}]


def test_each_model_side_by_side_is_audited_by_its_own_answer() -> None:
    evidence = Evidence(session=detail(ran("o3", temperature=0.5), ran("o3")))
    findings = audit({"llm_overrides": THREE[:2]}, read(*BOTH[1:]), evidence)
    assert [(one.setting, str(one.word)) for one in findings] == [
        ("llm_overrides[0]", "took effect"),
        ("llm_overrides[0].temperature", "took effect"),
        ("llm_overrides[1]", "ignored"),
    ]


def test_a_server_that_knows_no_side_by_side_is_found_out() -> None:
    findings = audit({"llm_overrides": THREE[1:]}, PLAIN, Evidence(session=detail(ran("gpt-4o"))))
    assert [(one.word, one.seen) for one in findings] == [
        (Word.TOOK_EFFECT, "openai/gpt-4o"),
        (Word.IGNORED, "no model: only 1 of 2 answered"),
    ]
    refused = exchange([json.dumps({"error_code": "INVALID_INPUT"})], status=400).transcript
    assert refused is not None
    findings = audit({"llm_overrides": THREE}, refused, Evidence())
    assert {one.word for one in findings} == {Word.NOT_SHOWN}


def test_an_error_of_all_models_side_by_side_names_none_of_them() -> None:
    for lines in ([BROKE], [ids_of(2, 3), BROKE]):
        findings = audit({"llm_overrides": THREE[:2]}, continued(SESSION, *lines), Evidence())
        assert {one.word for one in findings} == {Word.NOT_SHOWN}


def test_side_by_side_every_model_must_call_the_forced_tool_and_none_a_tool_outside() -> None:
    one_searched = side_by_side([*searched(*END)], [*answer("one")[2:]])
    asked = {"forced_tool_id": 1, "allowed_tool_ids": [3]}
    forced, allowed = audit(asked, read(*one_searched[1:]), Evidence(CALLED))
    assert (forced.word, forced.seen) == (Word.IGNORED, "model 1: no tool call")
    assert (allowed.word, allowed.seen) == (Word.IGNORED, "internal_search")


# Filters


def document(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "document_id": f"d{number}",
        "source_type": "web",
        "updated_at": "2026-05-01T00:00:00Z",
        "metadata": {"team": "hr", "area": ["x", "y"]},
        "is_internet": False,
        **fields,
    }


EVERYTHING: dict[str, Any] = {"sources": [], "time_filter_start": None, "time_filter_end": None}
NO_TIME: dict[str, Any] = {"updated_at": None}


@pytest.mark.parametrize("name", ["search_filters", "internal_search_filters"])
@pytest.mark.parametrize(
    ("asked", "lines", "word"),
    [
        ({"source_type": ["web", "slack"]}, found(document()), "took effect"),
        ({"source_type": ["Web"]}, found(document()), "took effect"),
        ({"source_type": ["slack"]}, found(document()), "ignored"),
        ({"source_type": ["slack"]}, found(document(is_internet=True)), "not shown"),
        ({"source_type": ["slack"]}, found(document(source_type=None)), "not shown"),
        ({"source_type": ["web"]}, found(document(), document(2, source_type=None)), "not shown"),
        ({"source_type": ["web"]}, found(), "not shown"),
        ({"source_type": ["web", "slack"]}, found(applied=EVERYTHING | {"sources": ["web"]}), "took effect"),
        ({"source_type": ["web"]}, found(applied=EVERYTHING | {"sources": ["web", "file"]}), "ignored"),
        ({"source_type": ["web"]}, found(applied=EVERYTHING), "ignored"),
        (
            {"source_type": ["slack"]},
            found(document(), applied=EVERYTHING | {"sources": ["slack"]}),
            "ignored",
        ),
        ({"source_type": ["web"]}, found(applied={"sources": None}), "not shown"),
        ({"source_type": ["web"]}, [], "not exercised"),
        ({"time_cutoff": "2026-01-01T00:00:00Z"}, found(document()), "took effect"),
        ({"time_cutoff": "2026-05-01T00:00:00Z"}, found(document()), "took effect"),
        ({"time_cutoff": "2026-06-01T00:00:00Z"}, found(document()), "ignored"),
        ({"time_cutoff": "2026-01-01T00:00:00Z"}, found(document(**NO_TIME)), "not shown"),
        ({"time_cutoff": "2026-01-01T00:00:00Z"}, found(document(updated_at="lately")), "not shown"),
        ({"time_cutoff": "2026-01-01T00:00:00Z"}, found(document(), applied=EVERYTHING), "ignored"),
        (
            {"time_cutoff": "2026-01-01T00:00:00Z"},
            found(document(**NO_TIME), applied=EVERYTHING | {"time_filter_start": "2026-02-01T00:00:00"}),
            "took effect",
        ),
        (
            {"time_cutoff": "2026-01-01T00:00:00Z"},
            found(applied=EVERYTHING | {"time_filter_start": "2025-12-31T23:59:59+00:00"}),
            "ignored",
        ),
        ({"time_cutoff": "2026-01-01T00:00:00Z"}, [], "not exercised"),
        ({"updated_at_range": {"end": "2026-06-01T00:00:00Z"}}, found(document()), "took effect"),
        ({"updated_at_range": {"end": "2026-04-01T00:00:00Z"}}, found(document()), "ignored"),
        ({"created_at_range": {"start": "2026-06-01T00:00:00Z"}}, found(document()), "ignored"),
        ({"created_at_range": {"start": "2026-01-01T00:00:00Z"}}, found(document()), "not shown"),
        ({"tags": {"team": "hr"}}, found(document()), "took effect"),
        ({"tags": {"area": "y"}}, found(document()), "took effect"),
        ({"tags": {"team": "it"}}, found(document()), "ignored"),
        ({"tags": {"team": "it", "area": "x"}}, found(document()), "took effect"),
        ({"tags": {"team": "it", "area": "z"}}, found(document()), "ignored"),
        ({"tags": {"team": "it", "floor": "3"}}, found(document()), "not shown"),
        ({"tags": {"team": "hr"}}, found(document(), document(2, metadata={})), "not shown"),
        ({"tags": [{"tag_key": "team", "tag_value": "it"}]}, found(document()), "ignored"),
        ({"tags": {"team": "hr"}}, [], "not exercised"),
        ({"document_set": ["HR"]}, found(document()), "not shown"),
        ({"document_set": ["HR"]}, [], "not exercised"),
    ],
)
def test_a_filter_is_audited_by_every_search_and_every_document(
    asked: dict[str, Any], lines: list[str], word: str, name: str
) -> None:
    (finding,) = audit({name: asked}, read(*lines, *END), Evidence(CALLED))
    assert (finding.setting, finding.word) == (f"search_filters.{next(iter(asked))}", word)


def test_each_filter_has_a_finding_of_its_own_and_one_that_asks_for_nothing_has_none() -> None:
    asked = {"source_type": ["web"], "tags": {"team": "it"}, "document_set": [], "time_cutoff": None}
    findings = audit({"search_filters": asked}, read(*found(document(), document(2)), *END), Evidence())
    assert [(one.setting, one.asked, one.seen, str(one.word)) for one in findings] == [
        ("search_filters.source_type", "web", "nothing outside it", "took effect"),
        ("search_filters.tags", "team=it", "d1 with team=hr, d2 with team=hr", "ignored"),
    ]


def test_one_search_of_several_that_shows_nothing_leaves_it_open() -> None:
    asked = {"search_filters": {"source_type": ["web"]}}
    silent = found(document(source_type=None), turn=1)
    (finding,) = audit(asked, read(*found(document()), *silent, *END), Evidence())
    assert finding.word is Word.NOT_SHOWN
    (finding,) = audit(asked, read(*found(document()), *found(turn=1), *END), Evidence())
    assert finding.word is Word.TOOK_EFFECT


def test_filters_of_an_answer_that_was_not_streamed_and_of_the_old_endpoints_are_audited_alike() -> None:
    call = {"tool_name": "internal_search", "search_docs": [document()]}
    streamless = whole(CALLS | {"tool_calls": [call]})
    simple = whole({"answer": "done", "message_id": 2, "top_documents": [document()]})
    for asked, word in ((["web"], Word.TOOK_EFFECT), (["slack"], Word.IGNORED)):
        (finding,) = audit({"search_filters": {"source_type": asked}}, streamless, Evidence())
        assert finding.word is word
        old = {"retrieval_options": {"filters": {"source_type": asked}}, "forced_tool_ids": []}
        (finding,) = audit(old, simple, Evidence())
        assert finding.word is word
    (finding,) = audit({"search_filters": {"source_type": ["web"]}}, whole("bare"), Evidence())
    assert finding.word is Word.NOT_SHOWN


# Where a message stands


FILE = {"id": "f1", "type": "document", "name": "notes.txt", "user_file_id": "u1"}


@pytest.mark.parametrize(
    ("files", "word"),
    [
        ([FileSeen("f1", "notes.txt")], "took effect"),
        ([FileSeen(None, None, "u1"), FileSeen("f2")], "took effect"),
        ([FileSeen("f2", "notes.txt", "u2")], "ignored"),
        ([], "ignored"),
        (None, "not shown"),
    ],
)
def test_a_file_took_effect_where_the_message_has_it(files: list[FileSeen] | None, word: str) -> None:
    asked = {"file_descriptors": [FILE]}
    question, reply = MessageSeen(1, 0, "user", files), MessageSeen(2, 1, "assistant")
    evidence = Evidence(session=detail(messages=(question, reply)))
    for transcript in (PLAIN, whole(CALLS)):
        (finding,) = audit(asked, transcript, evidence)
        assert (finding.asked, finding.word) == ("notes.txt", word)
    (finding,) = audit(asked, PLAIN, Evidence())
    assert finding.word is Word.NOT_SHOWN


TREE = (
    MessageSeen(8, 0, "user"),
    MessageSeen(9, 8, "assistant"),
    MessageSeen(1, 9, "user"),
    MessageSeen(2, 1, "assistant"),
)


@pytest.mark.parametrize(
    ("asked", "messages", "word"),
    [
        (9, TREE, "took effect"),
        (1, TREE, "took effect"),
        (1, (), "took effect"),
        (8, TREE, "ignored"),
        (7, TREE, "ignored"),
        (8, (MessageSeen(8, 0, "user"),), "ignored"),
        (9, (MessageSeen(9, 8, "assistant"),), "not shown"),
        (9, (), "not shown"),
    ],
)
def test_a_message_stands_where_the_ids_and_the_tree_say(
    asked: int, messages: tuple[MessageSeen, ...], word: str
) -> None:
    evidence = Evidence(session=SessionDetail(SESSION_ID, messages=messages))
    (finding,) = audit({"parent_message_id": asked}, PLAIN, evidence)
    assert finding.word == word


def test_a_parent_that_asks_for_nothing_is_not_audited() -> None:
    for nothing in (-1, None):
        assert audit({"parent_message_id": nothing}, PLAIN, Evidence(session=detail(messages=TREE))) == []


def continued(*lines: str) -> Transcript:
    transcript = exchange([*lines]).transcript
    assert transcript is not None
    return transcript


@pytest.mark.parametrize(
    ("transcript", "word"),
    [
        (continued(*answer("hi")[1:]), "took effect"),
        (continued(*answer("hi")), "took effect"),
        (continued(json.dumps({"chat_session_id": "another"}), *answer("hi")[1:]), "ignored"),
        (whole(CALLS | {"chat_session_id": SESSION_ID}), "took effect"),
        (whole(CALLS | {"chat_session_id": "another"}), "ignored"),
        (continued(BROKE), "not shown"),
    ],
)
def test_a_conversation_goes_on_unless_the_server_opens_another(transcript: Transcript, word: str) -> None:
    (finding,) = audit({"chat_session_id": SESSION_ID.upper()}, transcript, Evidence())
    assert finding.word == word


@pytest.mark.parametrize("ahead", [True, False])
@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({"persona_id": 7, "projects": (1, 3)}, ["took effect", "took effect"]),
        ({"persona_id": 0, "projects": ()}, ["ignored", "ignored"]),
        ({}, ["not shown", "not shown"]),
    ],
)
def test_persona_and_project_are_those_of_the_session(
    seen: dict[str, Any], words: list[str], ahead: bool
) -> None:
    info = {"persona_id": 7, "project_id": 3, "description": "a title"}
    evidence = Evidence(session=detail(**seen), session_info=info if ahead else {})
    request = {"message": "hi"} if ahead else {"chat_session_info": info}
    findings = audit(request, PLAIN, evidence)
    assert [one.setting for one in findings] == ["persona_id", "project_id"]
    assert [one.word for one in findings] == words


# Citations, and what nobody shows


CITED = [*found(document()), packet("message_start", 1), packet("citation_info", 1, document_id="d1")]


@pytest.mark.parametrize(
    ("asked", "transcript", "word"),
    [
        (False, read(*found(document()), *END), "took effect"),
        (False, read(*CITED, delta("so", 1), STOP), "ignored"),
        (False, read(*found(document()), delta("so [[1]](http://x)", 1), STOP), "ignored"),
        (False, read(delta("write [[1]](link)", 1), STOP), "not exercised"),
        (False, PLAIN, "not exercised"),
        (False, read(*found(document()), delta("cut", 1)), "not shown"),
        (True, read(*CITED, delta("so", 1), STOP), "took effect"),
        (True, read(*found(document()), *END), "not shown"),
    ],
)
def test_citations_are_missed_only_where_there_could_have_been_some(
    asked: bool, transcript: Transcript, word: str
) -> None:
    (finding,) = audit({"include_citations": asked}, transcript, Evidence())
    assert finding.word == word


def test_what_no_server_shows_is_not_shown_and_secrets_are_not_shown_at_all() -> None:
    asked = {"additional_context": "between us", "mcp_headers": {"X-Key": "secret"}, "origin": "api"}
    findings = audit(asked, PLAIN, Evidence())
    assert [(one.setting, one.asked, str(one.word)) for one in findings] == [
        ("additional_context", "10 characters", "not shown"),
        ("mcp_headers", "X-Key", "not shown"),
        ("origin", "api", "not shown"),
    ]


def test_of_many_documents_outside_a_filter_only_a_few_are_named() -> None:
    many = found(*(document(number) for number in range(9)))
    (finding,) = audit({"search_filters": {"source_type": ["slack"]}}, read(*many, *END), Evidence())
    assert finding.seen == "d0 of web, d1 of web, d2 of web and 6 more"
