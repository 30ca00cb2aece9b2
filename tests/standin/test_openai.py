"""Real models behind the stand-in: streamed through, with their reasoning, their tools and their failures."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Reply, Serving, Standin
from tests.standin.provider import Provider, scripted

SUITE = """
target:
  standin:
    dialect: onyx
    providers:
      Lab: {{base_url: "{url}", api_key: "${{LAB_KEY}}", models: [mini, maxi]}}
prompts: [{{message: hi}}]
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with scripted() as told:
        yield told


@pytest.fixture(scope="module")
def target(
    provider: Provider, serving: Serving, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Standin]:
    suite: Path = tmp_path_factory.mktemp("suite") / "lab.yaml"
    suite.write_text(SUITE.format(url=provider.url))
    with serving("--dialect", "onyx", "--suite", str(suite), LAB_KEY="sk-lab") as standin:
        yield standin


def lab(model: str = "mini", **more: Any) -> dict[str, Any]:
    return {"llm_override": {"model_provider": "Lab", "model_version": model, **more}}


def ask(target: Standin, *steps: dict[str, Any], **fields: Any) -> Reply:
    return target.ask(json.dumps(steps), **{**lab(), **fields})


def test_words_come_through_as_they_are_said(target: Standin) -> None:
    asked = ask(target, {"say": ["Hel", "lo ", "there"]})
    assert asked.kinds == ["message_start", "message_delta", "message_delta", "message_delta", "stop"]
    assert asked.answer() == "Hello there"
    stored = target.session(asked)["messages"][-1]
    assert stored["message"] == "Hello there"
    assert stored["request_params"]["model_name"] == "mini"


def test_reasoning_takes_a_turn_of_its_own(target: Standin) -> None:
    asked = ask(target, {"think": ["Let me ", "see."], "say": ["Yes."]})
    places = [(packet["obj"]["type"], packet["placement"]["turn_index"]) for packet in asked.packets]
    assert places == [
        ("reasoning_start", 0), ("reasoning_delta", 0), ("reasoning_delta", 0), ("reasoning_done", 0),
        ("message_start", 1), ("message_delta", 1), ("stop", 1),
    ]  # fmt: skip


def test_a_tool_is_really_run_and_its_result_given_back(target: Standin, provider: Provider) -> None:
    arguments = json.dumps({"queries": ["refund window EU"]})
    asked = ask(
        target, {"say": ["I look. "], "call": [["internal_search", arguments]]}, {"say": ["30 days."]}
    )
    assert asked.found()
    assert asked.answer() == "30 days."
    tool = next(packet for packet in asked.packets if packet["obj"]["type"] == "search_tool_start")
    assert tool["placement"]["tab_index"] == 1
    given = provider.bodies[-1]["messages"][-1]
    assert (given["role"], given["tool_call_id"]) == ("tool", "call_0")
    assert "refund" in given["content"]


def test_two_calls_of_one_step_are_two_branches(target: Standin) -> None:
    calls = [["unit_convert", json.dumps({"value": 5, "from": "km", "to": "mi"})], ["internal_search", "{}"]]
    asked = ask(target, {"call": calls}, {"say": ["Done."]})
    tabs = {
        packet["placement"]["tab_index"] for packet in asked.packets if packet["placement"]["turn_index"] == 0
    }
    assert tabs == {0, 1}
    assert asked.objects("custom_tool_delta")[0]["data"]["unit"] == "mi"


def test_only_allowed_tools_are_offered_and_a_forced_one_is_required(
    target: Standin, provider: Provider
) -> None:
    ask(target, {"say": ["Hi."]}, allowed_tool_ids=[12])
    assert [tool["function"]["name"] for tool in provider.bodies[-1]["tools"]] == ["unit_convert"]
    ask(target, {"say": ["Hi."]}, allowed_tool_ids=[])
    assert "tools" not in provider.bodies[-1]
    ask(target, {"say": ["Hi."]}, forced_tool_id=1)
    assert provider.bodies[-1]["tool_choice"] == "required"
    assert [tool["function"]["name"] for tool in provider.bodies[-1]["tools"]] == ["internal_search"]


def test_key_temperature_and_history_go_to_the_provider(target: Standin, provider: Provider) -> None:
    first = ask(target, {"say": ["One."]})
    ask(target, {"say": ["Two."]}, chat_session_id=first.session_id, **lab(temperature=0.7))
    sent = provider.bodies[-1]
    assert provider.keys[-1] == "Bearer sk-lab"
    assert sent["temperature"] == 0.7
    assert [message["content"] for message in sent["messages"] if message["role"] == "assistant"] == ["One."]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "AUTH_ERROR"),
        (404, "NOT_FOUND"),
        (429, "RATE_LIMIT"),
        (500, "UNKNOWN_ERROR"),
        (503, "SERVICE_UNAVAILABLE"),
    ],
)
def test_a_refusal_is_an_error_line_after_the_ids(target: Standin, status: int, code: str) -> None:
    asked = ask(target, {"status": status})
    assert asked.error["error_code"] == code
    assert asked.error["details"]["model"] == "mini"
    assert asked.assistant_id > 0


def test_a_provider_that_breaks_off_leaves_what_it_said(target: Standin) -> None:
    asked = ask(target, {"say": ["Half ", "an"], "reset": True})
    assert asked.error["error_code"] == "CONNECTION_ERROR"
    assert asked.answer() == "Half an"


def test_an_empty_answer_is_an_error(target: Standin) -> None:
    assert ask(target, {"say": []}).error["error_code"] == "EMPTY_LLM_RESPONSE"


def test_a_model_that_insists_on_tools_is_ended(target: Standin) -> None:
    asked = ask(target, *[{"call": [["unit_convert", "{}"]]}] * 6)
    assert "did not return a final answer" in asked.error["error"]
    assert len(asked.objects("custom_tool_start")) == 5


def test_the_whole_answer_is_to_be_had_too(target: Standin) -> None:
    told = target.whole(json.dumps([{"say": ["Hel", "lo"]}]), **lab())
    assert (told["answer"], told["error_msg"]) == ("Hello", None)


def test_a_real_model_answers_beside_a_simulated_one(target: Standin) -> None:
    models = [
        {"model_provider": "Lab", "model_version": "maxi"},
        {"model_provider": "Simulated", "model_version": "sim:tokens=2"},
    ]
    asked = target.ask(json.dumps([{"say": ["Hi."]}]), llm_overrides=models)
    stops = [
        packet["placement"]["model_index"] for packet in asked.packets if packet["obj"]["type"] == "stop"
    ]
    assert sorted(stops) == [0, 1]


def test_real_models_are_listed_by_their_providers(target: Standin) -> None:
    (listed,) = [each for each in target.get("/llm/provider")["providers"] if each["name"] == "Lab"]
    assert [model["name"] for model in listed["model_configurations"]] == ["mini", "maxi"]
