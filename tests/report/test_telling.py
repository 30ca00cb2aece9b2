"""A page tells how the run compares with its baseline, and why it does not where that is gone."""

from pathlib import Path

import pytest

from harness.grade.states import State
from harness.journal import JOURNAL
from harness.page import compared_page, page
from harness.record import baselines
from tests.report.made import SUITE, Came, made
from tests.report.test_html import Read, words

pytestmark = pytest.mark.slow

GATED = SUITE + "gates: {baseline: good, rules: [{metric: pass_rate, max_drop: 5pp}]}\n"


def came(state: State, answer: str = "yes") -> list[Came]:
    return [Came(repeat=at, state=state, answer=answer) for at in range(1, 13)]


def test_a_run_is_held_against_the_baseline_that_its_gates_name(tmp_path: Path) -> None:
    results = tmp_path / "results"
    before = made(results / "made" / "r1", came(State.PASSED))
    after = made(results / "made" / "r2", came(State.FAILED), suite_text=GATED)
    baselines.keep("good", [before], "made", results=results)
    text = words(page(after, results))
    assert "v against v of r1" in text
    assert "q: 12 of 12 → 0 of 12 (-100.0 pp" in text
    own = made(results / "made" / "r3", came(State.PASSED), suite_text=GATED)
    baselines.keep("good", [own], "made", results=results)
    assert "Against the baseline" not in words(page(own, results))


def test_a_baseline_that_is_gone_is_missed(tmp_path: Path) -> None:
    results = tmp_path / "results"
    folder = made(results / "made" / "r1", came(State.PASSED), suite_text=GATED)
    assert "it cannot be held against a baseline: no baseline good of made" in words(page(folder, results))


def test_a_suite_that_cannot_be_read_any_more_costs_the_comparison_and_nothing_else(tmp_path: Path) -> None:
    folder = made(tmp_path / "made" / "r1", came(State.PASSED), suite_text="suite: made\nnonsense: 1\n")
    text = words(page(folder, tmp_path))
    assert "it cannot be held against a baseline: suites/made.yaml:1:1" in text
    assert "100.0%" in text


def test_where_no_journal_is_the_comparison_says_so_and_stands(tmp_path: Path) -> None:
    """As of a baseline that is pinned beside its suite: it has tables, and not what was said."""
    for name, answer in (("r1", "yes"), ("r2", "no")):
        made(tmp_path / "made" / name, came(State.PASSED, answer))
    whole = compared_page("r1", "r2", tmp_path)
    assert "Answers side by side" in words(whole)
    assert len(Read(whole).of("figure")) >= 2
    (tmp_path / "made" / "r1" / JOURNAL).unlink()
    text = words(compared_page("r1", "r2", tmp_path))
    assert "there are no answers side by side" in text
    assert "pass_rate 100.0% 100.0%" in text
