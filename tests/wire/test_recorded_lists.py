"""The lists of a real server, read as the product reads them: names in a suite become its ids.

A server of this test answers with the recordings; what is looked up, and how, is the product's own affair.
"""

import re
from pathlib import Path
from typing import Any

import pytest

from harness.drive.preflight import resolved
from harness.drive.transport import transports
from harness.errors import TargetError, UsageError
from harness.plan.trials import make_plan
from harness.sigma.catalogue import Catalogue, UserFile
from harness.sigma.client import Address, Client
from harness.sigma.fingerprint import fingerprint
from harness.sigma.uploads import Uploads, upload
from harness.suite.read import parse_suite
from harness.suite.settings import FileDescriptor, Settings
from tests.wire.replay import LISTS, replaying

pytestmark = pytest.mark.anyio

NOTES = ("05e31cec-a328-4495-9260-cbc07d616876", "61401e24-f8d5-4833-beab-3238e406de53")
"""The recorded upload: the id of the upload, and of its content."""


async def looked_up(written: str, dialect: str = "onyx", **instead: Any) -> tuple[Settings, Catalogue]:
    """One prompt's settings with the ids of the recorded server, and what was seen of it."""
    text = f"suite: s\ntarget: standin\nprompts:\n  - message: hi\n    {written}\n"
    plan = make_plan(parse_suite(text, Path("s.yaml"), {}))
    with replaying(*LISTS.values(), "66-bad-filters-type", **instead) as url:
        plan, catalogue, _ = await resolved(plan, Address(url, dialect))
    return plan.trials[0].settings[0], catalogue


@pytest.mark.parametrize(
    ("name", "tool_id"),
    [
        ("run_python", 6),
        ("Code Interpreter", 6),
        ("PythonTool", 6),
        ("web_search", 3),
        ("Weather", 12),
        ("get_chart", 12),
    ],
)
async def test_a_recorded_tool_is_known_by_each_of_its_names(name: str, tool_id: int) -> None:
    settings, catalogue = await looked_up(f"forced_tool_id: {name}\n    persona_id: AllTools")
    assert settings.forced_tool_id == tool_id
    assert settings.persona_id == 1
    assert set(catalogue.called[12]) == {
        "get_weather",
        "slow_call",
        "get_chart",
        "get_table",
        "get_secret",
        "get_broken",
    }


async def test_a_tool_that_the_recorded_server_has_not_is_an_error_that_lists_what_it_has() -> None:
    with pytest.raises(UsageError, match=r"has no tool run_pyton; it has .*did you mean run_python"):
        await looked_up("forced_tool_id: run_pyton")


async def test_the_recorded_models_are_checked_by_provider() -> None:
    chosen = "llm_override: {model_provider: SecondProvider, model_version: fake-reasoner}"
    settings, catalogue = await looked_up(chosen)
    assert settings.llm_override is not None
    assert catalogue.providers is not None
    assert [(one.name, one.vendor) for one in catalogue.providers] == [
        ("FakeLLM", "openai_compatible"),
        ("SecondProvider", "openai_compatible"),
    ]
    assert catalogue.providers[0].models == ("fake-model", "fake-model-b")
    assert catalogue.default_provider == "FakeLLM"
    with pytest.raises(UsageError, match=r"has no model fake-reasoner.*set model_provider: SecondProvider"):
        await looked_up("llm_override: {model_provider: FakeLLM, model_version: fake-reasoner}")


async def test_a_list_that_the_recorded_server_refuses_leaves_ids_as_they_are() -> None:
    refused = {"GET /tool": "d2b-writechat-tool-list"}
    settings, _ = await looked_up("forced_tool_id: 6", instead=refused)
    assert settings.forced_tool_id == 6
    with pytest.raises(UsageError, match="403"):
        await looked_up("forced_tool_id: run_python", instead=refused)


async def test_a_recorded_refusal_of_the_key_is_told_before_anything_is_sent() -> None:
    with pytest.raises(TargetError, match="API key"):
        await looked_up("stream: true", instead={"GET /me": "ch-tool-openapi-noauth"})


async def test_a_recorded_project_and_a_recorded_upload_are_known_by_name() -> None:
    settings, _ = await looked_up("project_id: harness\n    files: [notes.txt, t.csv]")
    assert settings.project_id == 1
    assert settings.files == (
        FileDescriptor(id=NOTES[1], type="plain_text", name="notes.txt", user_file_id=NOTES[0]),
        FileDescriptor(
            id="9ec4c896-73c6-4729-8e96-3ff2a76816c8",
            type="tabular",
            name="t.csv",
            user_file_id="1cf21a66-7b22-4998-b728-8f328ce1de58",
        ),
    )
    with pytest.raises(UsageError, match=r"notes\.txt"):
        await looked_up("files: [note.txt]")


async def test_a_tool_that_a_recorded_persona_has_not_is_an_error_and_one_that_it_has_is_none() -> None:
    settings, catalogue = await looked_up("forced_tool_id: Weather\n    persona_id: AllTools")
    assert settings.forced_tool_id == 12
    assert catalogue.prompts.keys() == {1}
    with pytest.raises(UsageError, match="Weather"):
        await looked_up("forced_tool_id: Weather\n    persona_id: Assistant")


async def test_the_recorded_server_says_who_we_are_and_that_its_memory_would_get_in_the_way() -> None:
    _, catalogue = await looked_up("allowed_tool_ids: []")
    assert catalogue.version == "Development"
    assert catalogue.account["email"] == "admin@example.com"
    assert any("memor" in warning for warning in catalogue.warnings)
    told = fingerprint(catalogue)
    assert (told.version, told.account) == ("Development", "admin@example.com")


async def test_the_recorded_server_is_told_to_speak_onyx_by_what_it_refuses() -> None:
    _, catalogue = await looked_up("stream: true", "auto")
    assert catalogue.dialect == "onyx"


async def test_a_recorded_upload_is_waited_for_until_it_is_ready(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("The secret number is 1234.\n")
    uploads = Uploads()
    with replaying("a0-upload-txt", "a2-get-user-file-later") as url:
        async with Client(Address(url, "onyx"), transports(url)()) as client:
            await upload(client, [path], uploads)
    assert uploads.made == [NOTES[0]]
    assert uploads.by_path[path] == UserFile(NOTES[0], NOTES[1], "notes.txt", "plain_text", "COMPLETED")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a6-upload-multi-png-csv-bad", "Unsupported file type: .txt"),
        ("a7-upload-noauth", "403"),
        ("a8-upload-nofile", "422"),
        ("aa-upload-to-unknown-project", "500.*Failed to upload files"),
    ],
)
async def test_a_recorded_upload_that_was_not_taken_is_an_error_that_names_the_file(
    name: str, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "empty.txt"
    path.write_text("x")
    with replaying(name) as url:
        async with Client(Address(url, "onyx"), transports(url)()) as client:
            with pytest.raises(ExceptionGroup) as raised:
                await upload(client, [path], Uploads())
    (error,) = raised.value.exceptions
    assert isinstance(error, TargetError)
    assert "empty.txt" in str(error)
    assert re.search(why, str(error))
