"""Every row of the audit against a server that obeys, one that does not, and one that does not show it.

One run in each dialect asks everything at once, each thing through models that heed it, ignore
it or keep the proof out of sight; then each row is held to what it must say.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

from harness.pipeline import Options, Run, run
from harness.plan.trials import Choice
from harness.suite.read import parse_suite
from tests.conftest import Serving, Standin

pytestmark = pytest.mark.slow

REFUNDS = "How long is the refund window for customers in the EU?"
COMPARE = "Compare the refund windows for customers in the EU and in the US."


class Row(NamedTuple):
    """A setting, how it is asked for, and by which model's keys its finding is to be which word."""

    setting: str
    asked: str
    words: dict[str, str]
    message: str = REFUNDS


IGNORED, TOOK, HIDDEN, IDLE = "ignored", "took effect", "not shown", "not exercised"

ROWS = [
    Row(
        "llm_override",
        "",
        {"tokens=2": TOOK, "ignore=override": IGNORED, "hide=params": HIDDEN, "hide=detail": HIDDEN},
    ),
    Row("llm_override.temperature", "", {"tokens=2": TOOK, "hide=params": HIDDEN}),
    Row(
        "allowed_tool_ids",
        "allowed_tool_ids: [unit_convert]",
        {"tool=search,tool=convert": TOOK, "tool=search,ignore=allowed": IGNORED, "tool=search": IDLE},
    ),
    Row(
        "allowed_tool_ids",
        "allowed_tool_ids: []",
        {"tool=search,ignore=allowed": IGNORED, "tool=search": IDLE},
    ),
    Row(
        "forced_tool_id",
        "forced_tool_id: internal_search",
        {
            "tokens=2": TOOK,
            "ignore=forced": IGNORED,
            "ignore=forced,tool=convert": IGNORED,
            "ignore=forced,fault=error:CONTEXT_TOO_LONG": HIDDEN,
        },
    ),
    Row(
        "search_filters.source_type",
        "search_filters: {source_type: [confluence]}",
        {
            "tool=search": TOOK,
            "tool=search,ignore=filters": IGNORED,
            "tool=search,hide=filters": HIDDEN,
            "tokens=2": IDLE,
        },
        "How do webhooks, refunds and rollbacks work?",
    ),
    Row(
        "search_filters.time_cutoff",
        'search_filters: {time_cutoff: "2026-01-01T00:00:00Z"}',
        {
            "tool=search": TOOK,
            "tool=search,ignore=filters": IGNORED,
            "tool=search,hide=filters": HIDDEN,
            "tokens=2": IDLE,
        },
    ),
    Row(
        "search_filters.tags",
        "search_filters: {tags: {region: US}}",
        {
            "tool=search": TOOK,
            "tool=search,ignore=filters": IGNORED,
            "tool=search,hide=filters": HIDDEN,
            "tokens=2": IDLE,
        },
    ),
    Row(
        "search_filters.document_set",
        "search_filters: {document_set: [Policies]}",
        {"tool=search": HIDDEN, "tool=search,ignore=filters": HIDDEN, "tokens=2": IDLE},
    ),
    Row(
        "deep_research",
        "deep_research: true",
        {
            "tokens=2": TOOK,
            "ignore=research": IGNORED,
            "research=clarify": IGNORED,
            "ignore=research,fault=error:CONTEXT_TOO_LONG": HIDDEN,
        },
        COMPARE,
    ),
    Row(
        "file_descriptors",
        "files: [notes.md]",
        {"tokens=2": TOOK, "ignore=files": IGNORED, "hide=files": HIDDEN},
    ),
    Row(
        "persona_id",
        "persona_id: Support Agent",
        {"tokens=2": TOOK, "ignore=persona": IGNORED, "hide=detail": HIDDEN},
    ),
    Row(
        "project_id",
        "project_id: Atlas launch",
        {"tokens=2": TOOK, "ignore=project": IGNORED, "hide=detail": HIDDEN},
    ),
    Row(
        "include_citations",
        "include_citations: false",
        {"tokens=2": IDLE, "tokens=2,tool=search": TOOK},
    ),
    Row(
        "stream",
        "stream: false",
        {"tokens=2": TOOK, "ignore=stream": IGNORED, "fault=error:CONTEXT_TOO_LONG": HIDDEN},
    ),
    Row("additional_context", "additional_context: The user is in a hurry.", {"tokens=2": HIDDEN}),
    Row("mcp_headers", "mcp_headers: {X-Token: hunter2}", {"tokens=2": HIDDEN}),
    Row("origin", "origin: api", {"tokens=2": HIDDEN}),
]

BRANCHES = {
    "tokens=2": {"other": TOOK, "again": TOOK},
    "ignore=parent": {"other": IGNORED, "again": IGNORED},
    "hide=detail": {"other": HIDDEN, "again": TOOK},
}
CONVERSATIONS = {"tokens=2": TOOK, "ignore=session": IGNORED}

# In the onyx dialect sessions are made ahead: a model cannot make the server forget what they were made with.
MADE_AHEAD = {("persona_id", "ignore=persona"), ("project_id", "ignore=project")}


def model(keys: str) -> str:
    return f'{{model_provider: Simulated, model_version: "sim:{keys}", temperature: 0.5}}'


def prompts(number: int, row: Row) -> Iterator[str]:
    for at, keys in enumerate(row.words):
        asked = f"\n    {row.asked}" if row.asked else ""
        yield f"  - id: r{number}-{at}\n    message: {row.message}\n    llm_override: {model(keys)}{asked}\n"


def suite_text(dialect: str) -> str:
    text = f"target: {{standin: {{}}, dialect: {dialect}}}\nbudget: {{deep_research: 50}}\nprompts:\n"
    for number, row in enumerate(ROWS):
        text += "".join(prompts(number, row))
    for at, keys in enumerate(BRANCHES):
        text += f"""  - id: b{at}
    llm_override: {model(keys)}
    turns:
      - {{id: ask, message: one}}
      - {{id: more, message: two}}
      - {{id: other, after: ask, message: three}}
      - {{id: again, regenerate: ask}}
"""
    for at, keys in enumerate(CONVERSATIONS):
        text += (
            f"  - {{id: c{at}, llm_override: {model(keys)}, turns: [{{message: one}}, {{message: two}}]}}\n"
        )
    return text


@pytest.fixture(scope="module", params=["sigma", "onyx"])
def dialect(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module")
def done(dialect: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder: Path = tmp_path_factory.mktemp("audit")
    (folder / "notes.md").write_text("The canteen opens at 11:30.\n")
    suite = parse_suite(suite_text(dialect), folder / "audit.yaml", {})
    return run(suite, Options(results=folder / "results"))


def findings(done: Run, case: str, setting: str, turn: str | None = None) -> list[str]:
    rows = (
        done.tables["audits"]
        .join(done.tables["exchanges"].select("exchange_id", "trial_id", "turn_id"), on="exchange_id")
        .join(done.tables["trials"].select("trial_id", "case_id"), on="trial_id")
        .filter((pl.col("case_id") == case) & (pl.col("setting") == setting))
    )
    return rows.filter(pl.col("turn_id") == turn)["finding"].to_list() if turn else rows["finding"].to_list()


def state(done: Run, case: str) -> str:
    return str(done.tables["trials"].filter(pl.col("case_id") == case)["state"].item())


CASES = [
    pytest.param(f"r{number}-{at}", row.setting, keys, word, id=f"{row.setting} by {keys}")
    for number, row in enumerate(ROWS)
    for at, (keys, word) in enumerate(row.words.items())
]


@pytest.mark.parametrize(("case", "setting", "keys", "word"), CASES)
def test_a_setting_is_told_by_what_the_server_did_with_it(
    done: Run, dialect: str, case: str, setting: str, keys: str, word: str
) -> None:
    if dialect == "onyx" and (setting, keys) in MADE_AHEAD:
        word = TOOK
    assert findings(done, case, setting) == [word]
    others = {
        *done.tables["audits"]
        .join(done.tables["exchanges"].select("exchange_id", "trial_id"), on="exchange_id")
        .join(done.tables["trials"].select("trial_id", "case_id"), on="trial_id")
        .filter((pl.col("case_id") == case) & (pl.col("setting") != setting))["finding"]
    }
    assert IGNORED not in others, "no other setting may be accused"
    assert (state(done, case) == "invalid") == (word == IGNORED)


@pytest.mark.parametrize(
    ("at", "turn", "word"),
    [(at, turn, word) for at, words in enumerate(BRANCHES.values()) for turn, word in words.items()],
)
def test_a_place_in_the_tree_is_told_by_ids_and_session(done: Run, at: int, turn: str, word: str) -> None:
    assert findings(done, f"b{at}", "parent_message_id", turn) == [word]


@pytest.mark.parametrize(("at", "word"), list(enumerate(CONVERSATIONS.values())))
def test_a_conversation_that_is_not_gone_on_in_is_told_by_its_session(done: Run, at: int, word: str) -> None:
    assert findings(done, f"c{at}", "chat_session_id", "2") == [word]


def test_what_is_invalid_is_in_no_rate_and_no_latency_and_ends_the_run_with_3(done: Run) -> None:
    invalid = done.tables["trials"].filter(pl.col("state") == "invalid")
    (row,) = done.summary.rows
    assert done.exit_code == 3
    assert row.invalid == len(invalid) > 10
    counted = done.tables["exchanges"].filter("counted")
    assert counted.join(invalid, on="trial_id").is_empty()
    assert row.ttft_p50_ms.n == len(counted.drop_nulls("ttft_ms"))


def test_no_secret_header_is_in_anything_that_was_written(done: Run) -> None:
    kept = [path for path in done.folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
    assert kept
    assert not [path.name for path in kept if b"hunter2" in path.read_bytes()]


def test_the_upload_is_gone_when_the_run_is_over(done: Run) -> None:
    assert not [warning for warning in done.manifest.warnings if "could not be deleted" in warning]


FILTERED = """
target: {{base_url: "{url}", dialect: sigma}}
variants:
  slack: {{search_filters: {{source_type: [slack]}}}}
  steady: {{llm_override: {{model_provider: Harbor, model_version: lighthouse}}}}
prompts: [{{id: refunds, message: "{message}"}}]
"""


@pytest.mark.parametrize(
    ("serve", "variant", "said"),
    [
        (
            ("--dialect", "onyx"),
            "slack",
            "search_filters.source_type was ignored",
        ),  # the field has another name
        (("--ignore", "filters"), "slack", "search_filters.source_type was ignored"),
        (("--ignore", "override"), "steady", "llm_override was ignored"),
    ],
)
def test_a_run_against_a_server_that_ignores_a_setting_exits_3_and_says_so(
    serving: Serving, tmp_path: Path, serve: tuple[str, ...], variant: str, said: str
) -> None:
    with serving(*serve) as target:
        done = ran(target, tmp_path, variant)
    assert done.exit_code == 3
    ((state, case, _, reason),) = done.not_passed()
    assert (state, case) == ("invalid", "refunds")
    assert said in reason


def ran(target: Standin, folder: Path, variant: str) -> Run:
    suite = parse_suite(FILTERED.format(url=target.url, message=REFUNDS), folder / "s.yaml", {})
    return run(suite, Options(choice=Choice(variants=(variant,)), results=folder))
