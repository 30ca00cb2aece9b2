"""Whole runs: every parameter, both dialects without being told, endpoints of old, what is left behind."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.conduct.errands import compare_target
from harness.conduct.going import Conduct
from harness.drive.preflight import resolved
from harness.errors import TargetError, UsageError
from harness.grade.states import State
from harness.pipeline import Options, Run, run
from harness.plan.trials import make_plan
from harness.sigma.client import Address
from harness.suite.model import Suite
from harness.suite.read import parse_suite
from tests.conftest import Serving, Standin
from tests.standin.provider import scripted

pytestmark = [pytest.mark.slow, pytest.mark.anyio]


def ran(text: str, folder: Path) -> Run:
    return run(read(text, folder), Options(results=folder / "results"))


def read(text: str, folder: Path) -> Suite:
    return parse_suite(text, folder / "s.yaml", {"KEY": "right"})


def test_a_server_that_has_dropped_an_endpoint_says_what_to_use_before_anything_is_sent(
    serving: Serving, tmp_path: Path
) -> None:
    with serving("--without-deprecated") as target:
        text = f"target: {{base_url: '{target.url}', endpoint: send-message}}\nprompts: [{{message: hi}}]\n"
        with pytest.raises(
            TargetError, match=r"has dropped /chat/send-message .* send-chat-message replaces it"
        ):
            ran(text, tmp_path)
        assert target.get("/_standin/stats")["by_status"] == {}
    assert not (tmp_path / "results").exists()


def test_what_an_endpoint_cannot_express_is_an_error_of_the_plan(tmp_path: Path) -> None:
    text = """
target: standin
variants: {old: {endpoint: send-message}}
prompts: [{id: p, message: hi, include_citations: false}]
"""
    with pytest.raises(UsageError, match=r"send-message cannot express include_citations \(in p \[old\]\)"):
        ran(text, tmp_path)


@pytest.mark.parametrize("dialect", ["sigma", "onyx"])
def test_one_suite_runs_on_both_dialects_without_being_told_which(
    dialect: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    target: Standin = request.getfixturevalue(dialect)
    text = f"""
target: {{base_url: "{target.url}/api", dialect: auto}}
prompts:
  - id: filtered
    message: How many days of paid leave does every employee have?
    search_filters: {{source_type: [confluence], document_set: [Policies]}}
    assert: [stream-complete]
"""
    done = ran(text, tmp_path)
    assert done.exit_code == 0
    assert done.manifest.dialect == dialect
    assert done.manifest.target == target.url
    assert done.manifest.warnings == ()
    words = dict(done.tables["audits"].select("setting", "finding").rows())
    assert words["search_filters.source_type"] == "took effect"


def test_only_what_the_run_made_is_deleted(sigma: Standin, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The canteen opens at 11:30.")
    given = sigma.ask("hello").session_id
    other = sigma.ask("hello").session_id
    text = f"""
target: {{base_url: "{sigma.url}", cleanup: true}}
prompts:
  - {{id: new, message: When does the canteen open?, files: a.txt}}
  - {{id: on, message: hello, chat_session_id: {given}}}
"""
    before = {each["id"] for each in sigma.get("/user/files/recent")}
    done = ran(text, tmp_path)
    left = {each["id"] for each in sigma.get("/chat/get-user-chat-sessions?page_size=100")["sessions"]}
    made = {*done.tables["exchanges"]["chat_session_id"]} - {given}
    assert done.manifest.deleted == {"sessions": 1}
    assert {given, other} <= left
    assert not made & left
    assert {each["id"] for each in sigma.get("/user/files/recent")} == before


def test_a_spent_budget_ends_the_run_with_its_date_and_the_rest_is_not_run(tmp_path: Path) -> None:
    text = """
target: standin
defaults: {repeat: 20}
load: {workers: 1}
prompts:
  - message: hi
    llm_override: {model_provider: Simulated, model_version: "sim:fault=http:429"}
"""
    done = ran(text, tmp_path)
    assert done.exit_code == 3
    assert (done.summary.count(State.ERROR), done.summary.count(State.NOT_RUN)) == (1, 19)
    (warning,) = [each for each in done.manifest.warnings if "stopped" in each]
    assert "Sigma refuses everything until 20" in warning


async def test_a_target_that_changes_under_a_run_is_flagged(sigma: Standin, tmp_path: Path) -> None:
    suite = read(f"target: {{base_url: '{sigma.url}'}}\nprompts: [{{message: hi}}]\n", tmp_path)
    plan, catalogue, address = await resolved(make_plan(suite), Address(sigma.url))
    same = Conduct(plan, address, Options(), tmp_path, catalogue=catalogue)
    await compare_target(same)
    assert (same.changed, same.warnings) == ([], [])
    at_first = replace(catalogue, providers=(), version="another")
    other = Conduct(plan, address, Options(), tmp_path, catalogue=at_first)
    await compare_target(other)
    assert other.changed == ["version", "models"]
    assert other.warnings[0].startswith("the target changed during the run: version, models")


def test_a_suite_may_ask_a_real_model_through_the_stand_in_and_its_key_is_in_no_file(tmp_path: Path) -> None:
    with scripted() as provider:
        text = f"""
target:
  standin:
    providers:
      Lab: {{base_url: "{provider.url}", api_key: "${{KEY}}", models: [mini]}}
prompts:
  - id: tool
    message: >-
      [{{"think": ["Hm."], "call": [["internal_search", "{{\\"queries\\": [\\"refunds\\"]}}"]]}},
      {{"say": ["30 days."]}}]
    llm_override: {{model_provider: Lab, model_version: mini, temperature: 0.3}}
    assert: [{{type: equals, value: 30 days.}}, {{type: "trajectory:tool-used", value: internal_search}}]
"""
        done = run(
            parse_suite(text, tmp_path / "s.yaml", {"KEY": "sk-very-secret"}), Options(results=tmp_path)
        )
    assert done.not_passed() == []
    assert provider.keys[0] == "Bearer sk-very-secret"
    words = dict(done.tables["audits"].select("setting", "finding").rows())
    assert words == {"llm_override": "took effect", "llm_override.temperature": "took effect"}
    (row,) = done.tables["exchanges"].to_dicts()
    assert (row["model_seen"], row["reasoning"]) == ("mini", "Hm.")
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and b"sk-very-secret" in path.read_bytes()]
    assert kept == []


def test_no_session_is_looked_at_where_the_suite_asks_for_none(serving: Serving, tmp_path: Path) -> None:
    with serving("--access-log") as target:
        done = ran(
            f"""
target: {{base_url: "{target.url}", audit: 0%}}
prompts: [{{message: hi, llm_override: {{model_provider: Simulated, model_version: "sim:tokens=2"}}}}]
""",
            tmp_path,
        )
    assert done.tables["audits"]["finding"].to_list() == ["not shown"]
    assert done.exit_code == 0
