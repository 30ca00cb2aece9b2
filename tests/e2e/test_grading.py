"""Grading through the command line: who is asked when, what is kept, and what grading again does."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from harness.errors import UsageError
from tests.grade.judging import Judging, judging
from tests.program import harness_here

pytestmark = pytest.mark.slow

REFUND = "How long is the refund window for customers in the EU?"


def suite(folder: Path, checks: str, more: str = "", *, judge: str = "", name: str = "s.yaml") -> Path:
    path = folder / name
    path.write_text(
        f"""
suite: s
target: standin
{judge}
prompts:
  - id: p
    message: {REFUND}
    assert:
{checks}
{more}
"""
    )
    return path


def by(judge: Judging) -> str:
    return f"judge: {{base_url: '{judge.url}', model: tester}}"


def table(folder: Path, name: str) -> list[dict[str, Any]]:
    return pl.read_parquet(folder / "results" / "s" / "latest" / f"{name}.parquet").to_dicts()


RUBRIC = """      - {type: llm-rubric, value: 'It says "30 days"', metric: window}
"""


def test_a_judge_is_asked_after_the_last_trial_and_its_words_are_kept(tmp_path: Path) -> None:
    with judging() as judge:
        written = suite(tmp_path, RUBRIC, "    repeat: 3", judge=by(judge))
        ran = harness_here("run", written, "--results", tmp_path / "results", "--json")
    assert ran.exit_code == 0, ran.stderr
    trials, grades = table(tmp_path, "trials"), table(tmp_path, "grades")
    assert [trial["state"] for trial in trials] == ["passed"] * 3
    assert len(judge.questions) == len({trial["trial_id"] for trial in trials}) or len(judge.questions) == 1
    assert min(at for at, _ in judge.questions) > max(trial["ended_ns"] for trial in trials)
    assert {grade["evidence"] for grade in grades} == {"30 days"}
    assert all("tester" in grade["judge"] for grade in grades)
    (check,) = json.loads(ran.stdout)["checks"]
    assert (check["metric"], check["passed"], check["failed"], check["ungraded"]) == ("window", 3, 0, 0)


def test_a_question_is_put_once_for_all_runs_of_a_results_folder(tmp_path: Path) -> None:
    with judging() as judge:
        written = suite(tmp_path, RUBRIC, judge=by(judge))
        harness_here("run", written, "--results", tmp_path / "results", "-q")
        asked = len(judge.questions)
        harness_here("run", written, "--results", tmp_path / "results", "-q")
        harness_here("grade", "s", "--results", tmp_path / "results", "-q")
        assert len(judge.questions) == asked == 1
        other = suite(tmp_path, RUBRIC.replace("It says", "It tells"), judge=by(judge), name="other.yaml")
        again = harness_here("grade", "s", "--suite", other, "--results", tmp_path / "results", "-q")
    assert again.exit_code == 0, again.stderr
    assert len(judge.questions) == 2


def test_what_a_judge_cannot_be_asked_is_an_error_and_is_asked_when_graded_again(tmp_path: Path) -> None:
    with judging() as judge:
        judge.status = 400
        written = suite(tmp_path, RUBRIC, judge=by(judge))
        ran = harness_here("run", written, "--results", tmp_path / "results")
        assert ran.exit_code == 3
        assert "questions had no answer from the judge" in ran.stderr
        (trial,) = table(tmp_path, "trials")
        assert trial["state"] == "error"
        assert trial["score"] is None
        judge.status = 200
        again = harness_here("grade", "s", "--results", tmp_path / "results")
    assert again.exit_code == 0
    assert table(tmp_path, "trials")[0]["state"] == "passed"


def test_words_that_are_no_judgement_are_no_failure(tmp_path: Path) -> None:
    with judging() as judge:
        judge.instead = ["I would rather not say."]
        written = suite(tmp_path, RUBRIC, judge=by(judge))
        ran = harness_here("run", written, "--results", tmp_path / "results")
    assert ran.exit_code == 3
    (grade,) = table(tmp_path, "grades")
    assert (grade["passed"], grade["score"]) == (None, None)
    assert grade["evidence"] == "I would rather not say."


def test_votes_are_counted(tmp_path: Path) -> None:
    with judging() as judge:
        judge.instead = ['{"verdict": "fail", "evidence": ""}', '{"verdict": "cannot tell"}']
        votes = by(judge).replace("}", ", votes: 4, workers: 1}")
        ran = harness_here(
            "run", suite(tmp_path, RUBRIC, judge=votes), "--results", tmp_path / "results", "-q"
        )
    assert ran.exit_code == 0
    (grade,) = table(tmp_path, "grades")
    assert (grade["passed"], grade["score"]) == (True, pytest.approx(2 / 3))
    assert "fail 1, cannot tell 1, pass 2" in grade["reason"]


def test_no_ask_leaves_what_nobody_said_ungraded(tmp_path: Path) -> None:
    with judging() as judge:
        written = suite(tmp_path, "      - {type: contains, value: 30 days}\n", judge=by(judge))
        harness_here("run", written, "--results", tmp_path / "results", "-q")
        other = suite(tmp_path, RUBRIC, judge=by(judge), name="other.yaml")
        again = harness_here("grade", "s", "--suite", other, "--no-ask", "--results", tmp_path / "results")
        assert not judge.questions
    assert again.exit_code == 3
    assert table(tmp_path, "grades")[0]["reason"] == "the judge was not asked"


def test_checks_of_another_suite_replace_or_are_added(tmp_path: Path) -> None:
    results = ("--results", tmp_path / "results")
    written = suite(tmp_path, "      - {type: contains, value: 30 days}\n")
    assert harness_here("run", written, *results).exit_code == 0
    before = table(tmp_path, "exchanges")
    other = suite(tmp_path, "      - {type: contains, value: 31 days}\n", name="other.yaml")
    added = harness_here("grade", "s", "--suite", other, "--append", *results)
    assert added.exit_code == 1
    assert [grade["passed"] for grade in table(tmp_path, "grades")] == [True, False]
    assert harness_here("grade", "s", *results).exit_code == 1  # what was added stays
    third = suite(tmp_path, "      - {type: regex, value: '\\d+ days'}\n", name="third.yaml")
    replaced = harness_here("grade", "s", "--suite", third, *results)
    assert replaced.exit_code == 0
    assert [grade["type"] for grade in table(tmp_path, "grades")] == ["regex"]
    assert table(tmp_path, "exchanges") == before


def test_a_suite_that_asks_something_else_cannot_grade_a_run(tmp_path: Path) -> None:
    results = ("--results", tmp_path / "results")
    harness_here("run", suite(tmp_path, "      - stream-complete\n"), *results, "-q")
    other = suite(tmp_path, "      - stream-complete\n", "    deep_research: false", name="other.yaml")
    refused = harness_here("grade", "s", "--suite", other, *results)
    assert isinstance(refused.exception, UsageError)
    assert "asks something else than this run did" in str(refused.exception)


def test_the_suites_own_python_grades_and_what_breaks_in_it_is_an_error_with_its_traceback(
    tmp_path: Path,
) -> None:
    (tmp_path / "checks.py").write_text(
        "def good(output, context):\n"
        "    print('seen', context['vars'])\n"
        "    said = {'score': 0.75, 'reason': 'thirty', 'named_scores': {'tone': 0.5}}\n"
        "    return said | {'pass': '30' in output}\n"
        "def bad(output, context):\n    return 1 / 0\n"
    )
    good = '      - {type: python, value: "file://checks.py:good"}\n'
    ran = harness_here("run", suite(tmp_path, good), "--results", tmp_path / "results", "-q")
    assert ran.exit_code == 0, ran.stderr
    named, graded = table(tmp_path, "grades")
    assert (named["metric"], named["score"], named["weight"]) == ("tone", 0.5, 0.0)
    assert (graded["metric"], graded["score"], graded["reason"]) == ("good", 0.75, "thirty")
    assert (tmp_path / "results" / "s" / "latest" / "checks.log").read_text() == "seen {}\n"
    bad = suite(tmp_path, good + good.replace("good", "bad"), name="other.yaml")
    again = harness_here("grade", "s", "--suite", bad, "--results", tmp_path / "results")
    assert again.exit_code == 3
    broke = table(tmp_path, "grades")[-1]
    assert broke["passed"] is None
    assert "ZeroDivisionError" in broke["reason"]
    assert "return 1 / 0" in broke["evidence"]


def test_python_that_came_with_a_folder_of_results_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "checks.py").write_text("def good(output, context):\n    return True\n")
    written = suite(tmp_path, '      - {type: python, value: "file://checks.py:good"}\n')
    harness_here("run", written, "--results", tmp_path / "results", "-q")
    run = (tmp_path / "results" / "s" / "latest").resolve()
    planted = tmp_path / "results" / "planted"
    planted.mkdir()
    (planted / "s.yaml").write_text(written.read_text())
    (planted / "checks.py").write_text(
        f"open({str(tmp_path / 'harm')!r}, 'w')\ndef good(o, c): return True\n"
    )
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | {"suite_path": str(planted / "s.yaml")}))
    (run / "said.jsonl").unlink()
    again = harness_here("grade", run)
    assert again.exit_code == 3
    assert "nobody is asked, and none of its Python is run" in " ".join(again.stderr.split())
    assert not (tmp_path / "harm").exists()
    assert "was not run" in table(tmp_path, "grades")[0]["reason"]


def test_a_judge_that_came_with_a_folder_of_results_is_sent_nothing(tmp_path: Path) -> None:
    with judging() as judge:
        written = suite(tmp_path, RUBRIC, judge=by(judge))
        harness_here("run", written, "--results", tmp_path / "results", "-q")
        run = (tmp_path / "results" / "s" / "latest").resolve()
        manifest = json.loads((run / "manifest.json").read_text())
        text = manifest["suite_text"].replace("30 days", "your keys")
        (run / "manifest.json").write_text(json.dumps(manifest | {"suite_text": text}))
        asked = len(judge.questions)
        assert harness_here("grade", run, "-q").exit_code == 3
        assert len(judge.questions) == asked


def test_repeats_of_a_prompt_decide_together(tmp_path: Path) -> None:
    (tmp_path / "checks.py").write_text("def often(output, context):\n    return context['repeat'] != 2\n")
    check = '      - {type: python, value: "file://checks.py:often"}\n'
    for how, code, state in (("2 of 3", 0, "passed"), ("3 of 3", 1, "failed"), ("majority", 0, "passed")):
        written = suite(tmp_path, check, f"    repeat: 3\n    reduce: {how}")
        ran = harness_here("run", written, "--results", tmp_path / "results")
        assert ran.exit_code == code
        (case,) = table(tmp_path, "cases")
        assert (case["state"], case["passed"], case["failed"], case["reduce"]) == (state, 2, 1, how)


def test_variants_are_compared_in_both_orders(tmp_path: Path) -> None:
    more = """
variants:
  a: {}
  b: {llm_override: {model_provider: Simulated, model_version: steady}}
"""
    best = """      - {type: select-best, value: 'It says "According to"'}\n"""
    with judging() as judge:
        written = suite(tmp_path, best, more, judge=by(judge))
        ran = harness_here("run", written, "--results", tmp_path / "results", "-q")
        assert len(judge.questions) == 2
    assert ran.exit_code == 1
    states = {trial["variant"]: trial["state"] for trial in table(tmp_path, "trials")}
    assert states == {"a": "failed", "b": "passed"}


def test_likeness_is_asked_of_embeddings(tmp_path: Path) -> None:
    check = "      - {type: similar, value: The refund window for customers in the EU is thirty days.}\n"
    with judging() as judge:
        there = f"embeddings: {{base_url: '{judge.url}', model: vowels}}"
        ran = harness_here(
            "run", suite(tmp_path, check, judge=there), "--results", tmp_path / "results", "-q"
        )
    assert ran.exit_code == 0
    (grade,) = table(tmp_path, "grades")
    assert 0.75 <= grade["score"] < 1
    assert "vowels" in grade["judge"]


def test_a_judged_answer_is_labelled_blind_and_the_summary_says_how_good_the_judge_is(tmp_path: Path) -> None:
    results = ("--results", tmp_path / "results")
    with judging() as judge:
        written = suite(tmp_path, RUBRIC, judge=by(judge))
        harness_here("run", written, *results, "-q")
        labelled = harness_here("judge", "label", "s", *results, "--by", "me", keys="?\nb\np\n")
    assert labelled.exit_code == 0, labelled.stderr
    shown = labelled.stdout + labelled.stderr
    assert "30 days" in shown
    assert "verdict" not in shown.lower()
    assert "tester" not in shown
    run = tmp_path / "results" / "s" / "latest"
    assert (run / "labels.csv").read_text().splitlines()[1].split(",")[3:7] == ["pass", "pass", "1", "me"]
    done = harness_here("judge", "label", "s", *results)
    assert "every judged answer of this run has a label" in done.stderr
