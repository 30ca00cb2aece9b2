from dataclasses import replace
from typing import Any

import pytest

from harness.sigma.catalogue import Catalogue, Persona, Provider, Tool
from harness.sigma.names import resolve
from harness.suite.model import Settings

HAS = Catalogue(
    tools=(
        Tool(
            1, "internal_search", ("internal_search",), ("internal_search", "Internal Search", "SearchTool")
        ),
        Tool(12, "Weather", ("get_weather", "get_chart"), ("Weather", "get_weather", "get_chart")),
    ),
    personas=(Persona(0, "Assistant"), Persona(7, "Support Agent")),
    providers=(Provider("OpenAI", ("gpt-5", "gpt-5-mini")), Provider("Router", ("openai/*",))),
    default_provider="OpenAI",
)


def resolved(settings: dict[str, Any], catalogue: Catalogue = HAS) -> tuple[dict[str, Any], list[str]]:
    found, problems = resolve(Settings.model_validate(settings), catalogue)
    return found.model_dump(exclude_none=True), problems


def test_names_become_ids_whichever_name_of_a_tool_is_used() -> None:
    found, problems = resolved(
        {
            "allowed_tool_ids": ["SearchTool", "get_chart", 12],
            "forced_tool_id": "Internal Search",
            "persona_id": "Support Agent",
        }
    )
    assert problems == []
    assert found == {"allowed_tool_ids": (1, 12, 12), "forced_tool_id": 1, "persona_id": 7}


def test_no_tools_at_all_stays_an_empty_list() -> None:
    assert resolved({"allowed_tool_ids": []}) == ({"allowed_tool_ids": ()}, [])


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (
            {"forced_tool_id": "internal_serch"},
            (
                "forced_tool_id: this Sigma has no tool internal_serch; it has internal_search (1), "
                "Weather (12); did you mean internal_search?"
            ),
        ),
        (
            {"allowed_tool_ids": [99]},
            "allowed_tool_ids: this Sigma has no tool 99; it has internal_search (1), Weather (12)",
        ),
        (
            {"persona_id": "Suport Agent"},
            (
                "persona_id: this Sigma has no persona Suport Agent; it has Assistant (0), Support Agent (7)"
                "; did you mean Support Agent?"
            ),
        ),
        (
            {"llm_override": {"model_provider": "openai", "model_version": "gpt-5"}},
            "llm_override.model_provider: this Sigma has no provider openai; it has OpenAI, Router",
        ),
        (
            {"llm_override": {"model_provider": "OpenAI", "model_version": "gpt-5-mimi"}},
            (
                "llm_override.model_version: provider OpenAI has no model gpt-5-mimi; it has gpt-5, "
                "gpt-5-mini; did you mean gpt-5-mini?"
            ),
        ),
        (
            {"llm_override": {"model_version": "openai/*"}},
            (
                "llm_override.model_version: provider OpenAI has no model openai/*; it has gpt-5, gpt-5-mini"
                "; Router has it: set model_provider: Router"
            ),
        ),
        (
            {"llm_override": {"model_provider": "OpenAI"}},
            (
                "llm_override: model_provider OpenAI without model_version is answered by the default model; "
                "name one of gpt-5, gpt-5-mini"
            ),
        ),
    ],
)
def test_a_name_that_does_not_exist_is_said_with_those_that_do(
    settings: dict[str, Any], problem: str
) -> None:
    assert resolved(settings)[1] == [problem]


def test_a_listed_pattern_stands_for_the_models_that_match_it() -> None:
    assert resolved({"llm_override": {"model_provider": "Router", "model_version": "openai/gpt-9"}})[1] == []


def test_a_temperature_alone_needs_no_model() -> None:
    assert resolved({"llm_override": {"temperature": 0.0}})[1] == []


def test_where_a_list_is_refused_ids_pass_and_names_say_why_they_cannot() -> None:
    refused = Catalogue(refused={"/tool": "GET /tool answered 403"})
    assert resolved({"forced_tool_id": 3}, refused) == ({"forced_tool_id": 3}, [])
    assert resolved({"forced_tool_id": "internal_search"}, refused)[1] == [
        "forced_tool_id: internal_search cannot be looked up by name (GET /tool answered 403); write the id"
    ]


def test_a_name_that_two_tools_have_is_no_name() -> None:
    twice = Catalogue(
        tools=(Tool(4, "Weather", ("now",), ("Weather",)), Tool(9, "Weather", ("then",), ("Weather",)))
    )
    assert resolved({"forced_tool_id": "Weather"}, twice)[1] == [
        "forced_tool_id: Weather names 2 tools; write one of the ids [4, 9]"
    ]
    assert resolved({"forced_tool_id": 9}, twice) == ({"forced_tool_id": 9}, [])


def test_a_model_alone_needs_a_default_provider() -> None:
    bare = Catalogue(providers=(Provider("OpenAI", ("gpt-5",)), Provider("Router", ("openai/*",))))
    assert resolved({"llm_override": {"model_version": "gpt-5"}}, bare)[1] == [
        "llm_override: this Sigma names no default provider; set model_provider to one of OpenAI, Router"
    ]


def test_an_onyx_server_is_not_asked_for_a_model_that_it_would_silently_replace() -> None:
    onyx = replace(HAS, dialect="onyx")
    asked = {"llm_override": {"model_version": "gpt-5"}}
    assert resolved(asked)[1] == []
    (problem,) = resolved(asked, onyx)[1]
    assert problem.startswith("llm_override: model_version without model_provider is answered by the default")
    assert problem.endswith("set model_provider to OpenAI")
