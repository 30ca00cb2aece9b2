"""What a server may ignore, and what it may keep out of sight: by the name of a model, or altogether."""

from typing import Any

import pytest

from tests.conftest import Serving, Standin
from tests.standin.test_files import POLICY, descriptor, one

SEARCH = "How long is the refund window for customers in the EU?"


def ignoring(what: str, **keys: str) -> str:
    return ",".join([f"sim:tokens=3,ignore={what}", *(f"{key}={value}" for key, value in keys.items())])


def detail(target: Standin, session_id: str) -> dict[str, Any]:
    told: dict[str, Any] = target.get(f"/chat/get-chat-session/{session_id}")
    return told


def test_files_that_are_ignored_hang_on_no_message(sigma: Standin) -> None:
    files = [descriptor(one(sigma, "canteen.md", POLICY))]
    for model, hanging in ((ignoring("files"), []), ("sim:tokens=3", files)):
        asked = sigma.ask("When does the canteen open?", model, file_descriptors=files)
        assert sigma.session(asked)["messages"][1]["files"] == hanging


def test_a_parent_that_is_ignored_is_the_last_message(sigma: Standin) -> None:
    first = sigma.ask("one", "sim:tokens=2")
    second = sigma.ask("two", "sim:tokens=2", chat_session_id=first.session_id)
    place = {"chat_session_id": first.session_id, "parent_message_id": first.assistant_id}
    third = sigma.ask("three", ignoring("parent"), **place)
    messages = {each["message_id"]: each for each in detail(sigma, first.session_id)["messages"]}
    assert messages[third.user_id]["parent_message"] == second.assistant_id


def test_a_persona_that_is_ignored_is_the_default_one(sigma: Standin) -> None:
    for model, persona in ((ignoring("persona"), 0), ("sim:tokens=3", 1)):
        asked = sigma.ask("hello", model, chat_session_info={"persona_id": 1})
        assert sigma.session(asked)["persona_id"] == persona


def test_a_project_that_is_ignored_does_not_list_the_conversation(sigma: Standin) -> None:
    asked = sigma.ask("hello", ignoring("project"), chat_session_info={"project_id": 7})
    (project,) = [each for each in sigma.get("/user/projects") if each["id"] == 7]
    assert asked.session_id not in [each["id"] for each in project["chat_sessions"]]


def test_hidden_params_are_null_and_a_hidden_session_is_not_found(sigma: Standin) -> None:
    asked = sigma.ask("hello", "sim:tokens=2,hide=params")
    assert sigma.session(asked)["messages"][-1]["request_params"] is None
    gone = sigma.ask("hello", "sim:tokens=2,hide=detail")
    assert sigma.http.get(f"/chat/get-chat-session/{gone.session_id}").status_code == 404


def test_hidden_filters_are_neither_in_a_packet_nor_in_a_document(sigma: Standin) -> None:
    filters = {"document_set": ["Policies"]}
    model = "sim:tokens=2,tool=search,hide=filters"
    asked = sigma.ask(SEARCH, model, search_filters=filters)
    assert "search_tool_filter_delta" not in asked.kinds
    (found,) = asked.objects("search_tool_documents_delta")
    assert {(each["source_type"], each["updated_at"]) for each in found["documents"]} == {("", None)}
    assert "search_tool_filter_delta" in sigma.ask(SEARCH, "sim:tool=search", search_filters=filters).kinds


def test_hidden_files_are_null_though_they_were_read(sigma: Standin) -> None:
    files = [descriptor(one(sigma, "canteen.md", POLICY))]
    for model, shown in (("sim:tokens=2,hide=files", None), ("sim:tokens=2", files)):
        asked = sigma.ask("When does the canteen open?", model, file_descriptors=files)
        assert sigma.session(asked)["messages"][1]["files"] == shown


def test_a_conversation_that_is_ignored_gets_a_new_session(sigma: Standin) -> None:
    first = sigma.ask("one", "sim:tokens=2")
    for model, kept in (("sim:tokens=2", True), (ignoring("session"), False)):
        second = sigma.ask("two", model, chat_session_id=first.session_id)
        assert ("chat_session_id" not in second.lines[0]) is kept


def test_research_may_begin_with_a_question_back(sigma: Standin) -> None:
    question = "Compare the refund windows for customers in the EU and in the US."
    asked = sigma.ask(question, "sim:research=clarify", deep_research=True)
    assert "deep_research_plan_start" not in asked.kinds
    assert asked.answer().endswith("?")
    assert "deep_research_plan_start" in sigma.ask(question, "sim:tokens=2", deep_research=True).kinds


@pytest.mark.parametrize("dialect", ["sigma", "onyx"])
def test_a_whole_server_may_ignore_a_setting_whatever_model_is_asked(serving: Serving, dialect: str) -> None:
    name = "search_filters" if dialect == "sigma" else "internal_search_filters"
    with serving("--dialect", dialect, "--ignore", "filters", "--ignore", "override") as target:
        asked = target.ask(SEARCH, "steady", **{name: {"source_type": ["slack"]}})
        assert asked.found()
        assert target.session(asked)["messages"][-1]["request_params"]["model_name"] == "swift"
        assert "search_tool_filter_delta" not in asked.kinds
