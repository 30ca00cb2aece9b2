from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.sigma.catalogue import Catalogue, Persona, Provider, Tool, UserFile
from harness.sigma.fingerprint import changed, fingerprint
from harness.sigma.names import hints, resolve
from harness.suite.settings import FileDescriptor, Settings

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
    alone = {"llm_override": {"model_provider": "OpenAI"}}
    assert resolved(alone)[1] == []  # the guide lets any field be left out
    (problem,) = resolved(alone, onyx)[1]
    assert problem == (
        "llm_override: model_provider OpenAI without model_version is answered by the default model; "
        "name one of gpt-5, gpt-5-mini"
    )


FULL = replace(
    HAS,
    personas=(Persona(0, "Assistant", (1, 12)), Persona(7, "Support Agent", (1,))),
    document_sets=("Policies", "Support"),
    projects={3: "Atlas", 9: "Borealis"},
    files=(
        UserFile("u-1", "f-1", "notes.txt", "plain_text"),
        UserFile("u-2", "f-2", "twice.txt", "plain_text"),
        UserFile("u-3", "f-3", "twice.txt", "plain_text"),
        UserFile("u-4", "f-4", "slow.txt", "plain_text", "INDEXING"),
    ),
    tags=frozenset({("region", "EU"), ("region", "US")}),
)


@pytest.mark.parametrize(
    ("settings", "starts"),
    [
        (
            {"search_filters": {"document_set": ["Polices"]}},
            "search_filters.document_set: this Sigma has no document set Polices; it has Policies, Support",
        ),
        (
            {"project_id": "Atlass"},
            "project_id: this Sigma has no project Atlass; it has Atlas (3), Borealis (9); did",
        ),
        (
            {"files": ["note.txt"]},
            "files: note.txt is no file beside suite.yaml and none that was uploaded; there are notes",
        ),
        ({"files": ["twice.txt"]}, "files: twice.txt names 2 uploaded files; write one of the ids u-2, u-3"),
        ({"files": ["slow.txt"]}, "files: slow.txt was uploaded, and is INDEXING"),
        (
            {"forced_tool_id": "Weather", "allowed_tool_ids": [1]},
            "forced_tool_id: Weather (12) is not among allowed_tool_ids (internal_search (1))",
        ),
        (
            {"forced_tool_id": 12, "persona_id": 7},
            "forced_tool_id: Weather (12) is not attached to the persona that is asked; attached are",
        ),
        (
            {
                "llm_overrides": [
                    {"model_provider": "OpenAI", "model_version": "gpt-5"},
                    {"model_provider": "OpenAI", "model_version": "gpt-6"},
                ]
            },
            "llm_overrides[1].model_version: provider OpenAI has no model gpt-6",
        ),
    ],
)
def test_every_name_of_a_request_is_looked_up(settings: dict[str, Any], starts: str) -> None:
    (problem,) = resolved(settings, FULL)[1]
    assert problem.startswith(starts)


@pytest.mark.parametrize("written", ["notes.txt", "u-1", "f-1"])
def test_an_uploaded_file_is_known_by_its_name_and_both_its_ids(written: str) -> None:
    found, problems = resolve(Settings.model_validate({"files": [written]}), FULL)
    assert problems == []
    assert found.files == (FileDescriptor(id="f-1", type="plain_text", name="notes.txt", user_file_id="u-1"),)


def test_a_path_beside_the_suite_stays_a_path_whatever_was_uploaded(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    found, problems = resolve(Settings(files=("notes.txt",)), FULL, tmp_path / "s.yaml")
    assert (found.files, problems) == (("notes.txt",), [])


def test_a_file_that_is_too_large_is_told_before_it_is_sent(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"x" * 3_000_000)
    small = replace(FULL, switches={"user_file_max_upload_size_mb": 2})
    (problem,) = resolve(Settings(files=("notes.txt",)), small, tmp_path / "s.yaml")[1]
    assert problem == "files: notes.txt has 2.9 MB, and this Sigma takes 2 MB at most"
    assert resolve(Settings(files=("notes.txt",)), FULL, tmp_path / "s.yaml")[1] == []


def test_a_project_becomes_its_id() -> None:
    assert resolved({"project_id": "Borealis"}, FULL) == ({"project_id": 9}, [])


def test_what_cannot_be_listed_is_unchecked_where_it_is_sent_as_it_is() -> None:
    nothing = Catalogue(refused={"/user/projects": "GET /user/projects answered 404"})
    filters = {"search_filters": {"document_set": ["Whatever"]}}
    assert resolved(filters, nothing)[1] == []
    assert resolved({"project_id": 4}, nothing) == ({"project_id": 4}, [])
    (problem,) = resolved({"project_id": "Atlas"}, nothing)[1]
    assert problem.endswith("(GET /user/projects answered 404); write the id")
    (lost,) = resolved({"files": ["notes.txt"]}, nothing)[1]
    assert "cannot be looked up among those uploaded" in lost


def test_a_conversation_that_may_not_be_read_is_told_before_it_is_gone_on_in() -> None:
    session = "5b0f5e0e-2c4e-4a5e-9c1d-0d8a4f6a1b11"
    path = f"/chat/get-chat-session/{session}"
    gone = replace(FULL, refused={path: f"GET {path} answered 404"})
    (problem,) = resolved({"chat_session_id": session}, gone)[1]
    assert problem == f"chat_session_id: {session} cannot be gone on in: GET {path} answered 404"
    there = replace(FULL, conversations={session: 7})
    (wrong,) = resolved({"chat_session_id": session, "forced_tool_id": 12}, there)[1]
    assert "not attached to the persona" in wrong


@pytest.mark.parametrize(
    ("settings", "catalogue", "hint"),
    [
        (
            {"allowed_tool_ids": [12], "persona_id": 7},
            FULL,
            "Weather (12) is not attached to the persona asked",
        ),
        (
            {"allowed_tool_ids": []},
            replace(FULL, account={"personalization": {"enable_memory_tool": True}}),
            "add_memory",
        ),
        ({"deep_research": True}, replace(FULL, switches={"deep_research_enabled": False}), "switched off"),
        (
            {"llm_overrides": [{"model_version": "gpt-5"}, {"model_version": "gpt-4"}]},
            replace(FULL, switches={"multi_model_chat_enabled": False}),
            "answers side by side switched off",
        ),
        (
            {"search_filters": {"tags": {"region": "UE"}}},
            FULL,
            "no document has the tag region: UE; region is EU or US",
        ),
    ],
)
def test_what_would_do_nothing_is_hinted_at(
    settings: dict[str, Any], catalogue: Catalogue, hint: str
) -> None:
    (told,) = hints(Settings.model_validate(settings), catalogue)
    assert hint in told


def test_what_is_in_order_has_no_hint() -> None:
    asked = {"allowed_tool_ids": [1], "search_filters": {"tags": {"region": "EU"}}, "deep_research": True}
    assert list(hints(Settings.model_validate(asked), FULL)) == []


# The fingerprint


def test_a_fingerprint_is_the_same_for_the_same_and_names_the_part_that_is_not() -> None:
    assert fingerprint(FULL) == fingerprint(replace(FULL))
    other = replace(FULL, providers=(Provider("OpenAI", ("gpt-5", "gpt-6")),), prompts={0: "Be kind."})
    assert changed(fingerprint(FULL), fingerprint(other)) == ["models"]
    before = replace(FULL, prompts={0: "Be brief."})
    assert changed(fingerprint(before), fingerprint(other)) == ["models", "prompts"]


def test_another_default_model_of_the_same_provider_is_a_change_of_models() -> None:
    before, after = (fingerprint(replace(FULL, default_model=name)) for name in ("gpt-5", "gpt-5-mini"))
    assert changed(before, after) == ["models"]


def test_what_changes_by_itself_is_in_no_fingerprint() -> None:
    account = {"email": "a@b.c", "personalization": {"memories": ["x"], "use_memories": True}}
    later = {"email": "a@b.c", "personalization": {"memories": ["x", "y"], "use_memories": True}}
    one, two = replace(FULL, account=account), replace(FULL, account=later, files=())
    assert changed(fingerprint(one), fingerprint(two)) == []
    off = {"email": "a@b.c", "personalization": {"use_memories": False}}
    assert changed(fingerprint(one), fingerprint(replace(FULL, account=off))) == ["account"]


def test_seats_and_notifications_are_no_change_and_a_switch_is() -> None:
    def having(**switches: object) -> Catalogue:
        return replace(FULL, switches={"deep_research_enabled": True, **switches})

    before = fingerprint(having(notifications=[], used_seats=3))
    assert changed(before, fingerprint(having(notifications=["new"], used_seats=4))) == []
    assert changed(before, fingerprint(having(auto_detect_search_filters=True))) == ["settings"]


def test_a_tool_that_is_described_otherwise_is_another() -> None:
    tools = FULL.tools or ()
    other = replace(FULL, tools=(replace(tools[0], about="Searches better."), *tools[1:]))
    assert changed(fingerprint(FULL), fingerprint(other)) == ["tools"]


def test_what_could_not_be_read_once_is_no_change() -> None:
    assert changed(fingerprint(FULL), fingerprint(Catalogue())) == []
