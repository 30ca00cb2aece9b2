"""`harness check` as a user runs it: both dialects, a recorded server, and what is no Sigma at all."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from harness.cli import app
from harness.errors import Exit, TargetError, UsageError
from tests.conftest import Standin
from tests.wire.replay import LISTS, replaying

REFUSALS = ("66-bad-filters-type", "a8-upload-nofile")
"""How the recorded server refuses what a look around sends it."""

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SIGMA_URL", "SIGMA_API_KEY", "SIGMA_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


def check(*args: str | Path) -> Result:
    return CliRunner().invoke(app, ["check", *map(str, args)])


def told(*args: str | Path, code: Exit = Exit.OK) -> dict[str, Any]:
    done = check(*args, "--json")
    assert done.exit_code == code, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def words(found: dict[str, Any]) -> dict[str, str]:
    return {one["what"]: one["known"] for one in found["abilities"]}


@pytest.mark.parametrize("dialect", ["sigma", "onyx"])
def test_a_sigma_is_told_of_in_the_names_of_a_suite_and_nothing_is_left_behind(
    dialect: str, request: pytest.FixtureRequest
) -> None:
    target: Standin = request.getfixturevalue(dialect)
    before = [
        target.get(path) for path in ("/chat/get-user-chat-sessions", "/user/files/recent", "/user/usage")
    ]
    found = told(target.url)
    assert found["dialect"] == dialect
    assert found["default_model"] == {"model_provider": "Simulated", "model_version": "swift"}
    assert [one["name"] for one in found["models"]] == ["Simulated", "Harbor"]
    calendar = next(one for one in found["tools"] if one["name"] == "Calendar")
    assert calendar == {"id": 14, "name": "Calendar", "called": ["days_between", "add_days"], "personas": [0]}
    assert found["document_sets"] == ["Policies", "Product", "Engineering", "Support"]
    assert len(found["round_trip_ms"]) == 10
    assert words(found) | {"llm_overrides": "", "audit: which model": ""} == {
        "answers": "yes",
        "dialect": "yes",
        "round trip": "yes",
        "key": "yes",
        "asking": "yes",
        "llm_override": "yes",
        "search_filters": "yes",
        "deep_research": "yes",
        "files": "yes",
        "llm_overrides": "",
        "deprecated endpoints": "yes",
        "audit: which model": "",
        "clean account": "yes",
        "its own count": "yes",
        "conversations at once": "yes",
    }
    assert words(found)["llm_overrides"] == ("yes" if dialect == "onyx" else "no")
    assert (found["source_types"] is not None) is (dialect == "onyx")
    after = [
        target.get(path) for path in ("/chat/get-user-chat-sessions", "/user/files/recent", "/user/usage")
    ]
    assert after == before


def test_a_question_is_answered_timed_and_traced_to_its_model_and_its_conversation_is_deleted(
    onyx: Standin,
) -> None:
    before = onyx.get("/chat/get-user-chat-sessions")["sessions"]
    found = told(onyx.url, "--ask", "What is the capital of Norway?")["asked"]
    assert found["answer"] == "The capital of Norway is Oslo."
    assert 0 < found["ttft_ms"] <= found["total_ms"]
    assert found["model"]["model_name"] == "swift"
    assert set(words(found).values()) == {"yes"}
    assert onyx.get("/chat/get-user-chat-sessions")["sessions"] == before
    shown = check("--ask", onyx.url)
    assert shown.exit_code == Exit.OK
    assert "The capital of France is Paris." in shown.stdout


def test_a_recorded_server_is_told_of_as_it_was() -> None:
    with replaying(*LISTS.values(), *REFUSALS) as url:
        found = told(url)
        shown = check(url)
    assert (found["dialect"], found["version"], found["account"]) == (
        "onyx",
        "Development",
        "admin@example.com",
    )
    assert len(found["source_types"]) > 50
    assert found["projects"] == [{"id": 1, "name": "harness"}]
    assert words(found) == {
        "answers": "yes",
        "dialect": "yes",
        "round trip": "yes",
        "key": "yes",
        "asking": "yes",
        "llm_override": "yes",
        "search_filters": "no",  # it has no vector DB, and so no tool to search with
        "deep_research": "not known",  # GET /settings has null
        "files": "yes",
        "llm_overrides": "yes",
        "deprecated endpoints": "no",
        "audit: which model": "not known",
        "clean account": "no",  # its memory is on
        "its own count": "not known",
        "conversations at once": "not known",
    }
    assert "fake-model (default), fake-model-b" in shown.stdout
    assert "offered with persona_id: AllTools" in shown.stdout
    assert f"  base_url: {url}\n  dialect: onyx\n" in shown.stdout
    assert "no model was asked" in shown.stdout


def test_a_key_that_may_not_ask_is_exit_4_and_a_run_that_got_no_answer_points_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SIGMA_API_KEY", "onyx_pat_of_few_rights")
    scoped = {
        "POST /chat/send-chat-message": "d1-pat-insufficient-scope",
        "POST /chat/create-chat-session": "d1-pat-insufficient-scope",
        "GET /tool": "d2b-writechat-tool-list",
    }
    suite = tmp_path / "s.yaml"
    suite.write_text("target: {standin: {}, dialect: onyx}\nprompts: [{message: hi}]\n")
    with replaying(*LISTS.values(), *REFUSALS, instead=scoped) as url:
        found = told(url, code=Exit.ENVIRONMENT)
        shown = check(url)
        run = ["run", str(suite), "--target", url, "-q", "--results", str(tmp_path)]
        ran = CliRunner().invoke(app, run)
    assert ran.exit_code == Exit.INCOMPLETE
    assert f"nothing was answered: harness check {url} --ask says what is refused" in ran.stderr
    assert words(found)["asking"] == "no"
    assert found["tools"] is None
    assert found["refused"]["/tool"] == "GET /tool answered 403"
    assert "not known  GET /tool answered 403" in shown.stdout
    assert "api_key: ${SIGMA_API_KEY}" in shown.stdout
    assert "onyx_pat_of_few_rights" not in shown.output


def test_a_key_that_is_refused_and_a_server_that_is_none_are_exit_4() -> None:
    with replaying(*LISTS.values(), instead={"GET /me": "ch-tool-openapi-noauth"}) as url:
        refused = check(url)
    assert isinstance(refused.exception, TargetError)
    assert "set SIGMA_API_KEY" in str(refused.exception)
    away = check(url)
    assert isinstance(away.exception, TargetError)
    assert "no Sigma answers" in str(away.exception)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "check which Sigma? harness check URL, or set SIGMA_URL"),
        (("localhost:8080",), "did you mean http://localhost:8080?"),
        (("https://me:hunter2@sigma",), "an address holds no user or password"),
        (("suites/none.yaml",), "there is no such file"),
        (("standin", "--insecure"), "the stand-in is plain http"),
        (("https://sigma", "--api-key-file", "none"), "--api-key-file none: there is no such file"),
    ],
)
def test_what_is_no_target_is_told_before_anything_is_sent(args: tuple[str, ...], said: str) -> None:
    error = check(*args).exception
    assert isinstance(error, UsageError)
    assert said in str(error)
    assert "hunter2" not in str(error)


def test_a_suite_is_told_what_of_its_target_does_not_fit(
    onyx: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = tmp_path / "s.yaml"
    suite.write_text('target: {base_url: "${SIGMA_URL}/api", dialect: sigma}\nprompts: [{message: hi}]\n')
    monkeypatch.setenv("SIGMA_URL", onyx.url)
    assert told(suite)["target"] == {"base_url": onyx.url, "dialect": "onyx"}
    assert "the suite says sigma: write target.dialect: onyx" in check(suite).stdout
