"""The lists of a real server, read as the product reads them: names in a suite become its ids.

A server of this test answers with the recordings; what is looked up, and how, is the product's own affair.
"""

from pathlib import Path
from typing import Any

import pytest

from harness.drive.preflight import resolved
from harness.errors import TargetError, UsageError
from harness.plan import make_plan
from harness.sigma.catalogue import Catalogue
from harness.sigma.client import Address
from harness.suite.model import Settings
from harness.suite.read import parse_suite
from tests.wire.replay import LISTS, replaying

pytestmark = pytest.mark.anyio


async def looked_up(written: str, **instead: Any) -> tuple[Settings, Catalogue]:
    """One prompt's settings with the ids of the recorded server, and what was seen of it."""
    text = f"suite: s\ntarget: standin\nprompts:\n  - message: hi\n    {written}\n"
    plan = make_plan(parse_suite(text, Path("s.yaml"), {}))
    with replaying(*LISTS.values(), **instead) as url:
        plan, catalogue, *_ = await resolved(plan, Address(url, "onyx"))
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
    refused = {"/tool": "d2b-writechat-tool-list"}
    settings, _ = await looked_up("forced_tool_id: 6", instead=refused)
    assert settings.forced_tool_id == 6
    with pytest.raises(UsageError, match="403"):
        await looked_up("forced_tool_id: run_python", instead=refused)


async def test_a_recorded_refusal_of_the_key_is_told_before_anything_is_sent() -> None:
    with pytest.raises(TargetError, match="API key"):
        await looked_up("stream: true", instead={"/me": "ch-tool-openapi-noauth"})
