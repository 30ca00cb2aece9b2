"""Which trials are asked again: by their state in which run, and which of them the suite still has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.compare.comparison import what_differs
from harness.decide.forecast import takes
from harness.decide.rerun import Again, again, states_of
from harness.decide.sides import against, gated, set_baseline
from harness.errors import UsageError
from harness.grade.states import State
from harness.plan.trials import Choice, make_plan
from harness.record.baselines import why_not_whole
from harness.record.runs import planned
from harness.record.store import Rerun, read_manifest, write_manifest
from harness.suite.model import Suite
from harness.suite.read import parse_suite
from tests.arms import table
from tests.report.made import manifest

TEXT = """
suite: s
target: standin
defaults: {repeat: 2}
prompts:
  - {id: one, message: one}
  - {id: two, message: two, tags: [t]}
  - {id: three, message: three}
gates: {rules: [{metric: pass_rate, min: 50%}]}
"""
LOADS = "load: {main: {workers: 2}, peak: {rate: 2/s, for: 4s}}\n"
FAILED = (State.FAILED,)


def suite(text: str = TEXT) -> Suite:
    return parse_suite(text, Path("s.yaml"), {})


def run(results: Path, day: int, states: Mapping[str, str], text: str = TEXT, **fields: Any) -> Path:
    """A run of that day; a trial is in the state of its prompt, its prompt and phase, or passed."""
    folder = results / "s" / f"202611{day:02}T030000Z-0000"
    folder.mkdir(parents=True)
    plan = make_plan(suite(text), Choice(repeat=fields.get("choice", {}).get("repeat")))
    rows = [
        {
            "trial_id": trial.trial_id,
            "variant": trial.variant,
            "phase": trial.phase,
            "state": states.get(
                f"{trial.case.case_id}/{trial.phase}", states.get(trial.case.case_id, "passed")
            ),
            "skip": "decided" if states.get(trial.case.case_id) == "not_run" else None,
            "began_ns": 0,
            "ended_ns": 5,
        }
        for trial in plan.trials
    ]
    table("trials", rows).write_parquet(folder / "trials.parquet")
    table(
        "exchanges", [{"trial_id": row["trial_id"], "asked_tokens": 5, "said_tokens": 5} for row in rows]
    ).write_parquet(folder / "exchanges.parquet")
    told = {"suite": "s", "suite_text": text, "choice": {}} | fields
    write_manifest(manifest(folder, len(rows), **told), folder)
    return folder


def asked(results: Path, text: str = TEXT, **how: Any) -> Again:
    states = states_of(how.pop("states", "failed"))
    return again(suite(text), how.pop("choice", Choice()), states, results=results, **how)


def cases(found: Again, text: str = TEXT) -> list[str]:
    return sorted(
        f"{trial.case.case_id}{trial.repeat}" for trial in make_plan(suite(text), found.choice).trials
    )


def test_what_ended_so_is_asked_again_and_nothing_else(tmp_path: Path) -> None:
    ran = run(tmp_path, 1, {"one": "failed", "three": "error"})
    found = asked(tmp_path)
    assert found.rerun == Rerun(ran.name, ("failed",))
    assert cases(found) == ["one1", "one2"]
    assert cases(asked(tmp_path, states="error, failed")) == ["one1", "one2", "three1", "three2"]
    assert "2 of the 6 trials" in found.told[0]


def test_what_was_not_needed_is_not_asked(tmp_path: Path) -> None:
    run(tmp_path, 1, {"one": "not_run", "two": "invalid"})
    assert cases(asked(tmp_path, states="not-run,invalid")) == ["two1", "two2"]


def test_it_is_the_latest_whole_run_that_is_meant(tmp_path: Path) -> None:
    ran = run(tmp_path, 1, {"one": "failed"})
    selection = Rerun(ran.name, ("failed",))
    run(tmp_path, 2, {"two": "failed"}, interrupted=True)
    run(tmp_path, 3, {"two": "failed"}, exit_code=None)
    run(tmp_path, 4, {"two": "failed"}, choice={"prompts": ["two"]})
    run(tmp_path, 5, {"two": "failed"}, rerun=selection)
    run(tmp_path, 6, {"two": "failed"}, options={"confirm": True})
    (run(tmp_path, 7, {"two": "failed"}) / "manifest.json").write_text("{")
    found = asked(tmp_path)
    assert found.rerun.of == ran.name
    for words in ("interrupted", "killed", "prompts", "rerun", "had failed", "not a manifest"):
        assert any(words in line for line in found.told), words
    assert asked(tmp_path, of="20261105T030000Z-0000").rerun.of == "20261105T030000Z-0000"


def test_repeats_are_those_of_the_run(tmp_path: Path) -> None:
    run(tmp_path, 1, {"one": "failed"}, choice={"repeat": 4})
    assert cases(asked(tmp_path)) == ["one1", "one2", "one3", "one4"]


def test_what_the_suite_does_not_have_any_more_is_told_by_number_and_ids(tmp_path: Path) -> None:
    run(tmp_path, 1, {"one": "failed", "two": "failed"})
    changed = TEXT.replace("message: two", "message: else")
    found = asked(tmp_path, changed)
    assert cases(found, changed) == ["one1", "one2"]
    assert len(found.rerun.gone) == 2
    (line,) = (line for line in found.told if "does not have any more" in line)
    assert line.startswith("2 of them")
    assert all(trial_id in line for trial_id in found.rerun.gone)
    assert "2 of that the suite did not have any more" in found.rerun.says


def test_only_what_is_chosen_of_it_is_asked(tmp_path: Path) -> None:
    run(tmp_path, 1, {"one": "failed", "two": "failed"})
    found = asked(tmp_path, choice=Choice(tags=("t",), limit=1))
    assert cases(found) == ["two1"]
    assert found.rerun.gone == ()
    assert "2 of them are not among what was chosen" in found.told


def test_what_was_sent_under_load_is_left_out_and_said(tmp_path: Path) -> None:
    text = TEXT + LOADS
    run(tmp_path, 1, {"one": "failed"}, text)
    found = asked(tmp_path, text)
    plan = make_plan(suite(text), found.choice)
    assert [trial.phase for trial in plan.trials] == ["main", "main"]
    assert list(plan.loads) == ["main"]
    assert any("under load (peak)" in line for line in found.told)


def test_where_nothing_is_left_there_are_no_trials(tmp_path: Path) -> None:
    run(tmp_path, 1, {})
    assert asked(tmp_path).choice.trials == ()


def test_a_rerun_is_planned_again_from_its_manifest(tmp_path: Path) -> None:
    run(tmp_path, 1, {"one": "failed"})
    found = asked(tmp_path)
    ids = {trial.trial_id for trial in make_plan(suite(), found.choice).trials}
    told = manifest(tmp_path, 2, suite_text=TEXT, choice={"trials": list(found.choice.trials)}, seed=3)
    assert {trial.trial_id for trial in planned(told, {}).trials} == ids


def test_without_a_whole_run_it_is_said_what_was_passed_over(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no whole run of s; harness run s"):
        asked(tmp_path)
    run(tmp_path, 1, {"one": "failed"}, interrupted=True)
    with pytest.raises(UsageError, match=r"passed over: 20261101T.*--resume"):
        asked(tmp_path)


def test_a_run_of_another_suite_or_one_that_was_killed_is_refused(tmp_path: Path) -> None:
    other = run(tmp_path, 1, {}, suite="other")
    killed = run(tmp_path, 2, {}, exit_code=None)
    with pytest.raises(UsageError, match="is a run of other"):
        asked(tmp_path, of=other.name)
    with pytest.raises(UsageError, match="--resume"):
        asked(tmp_path, of=killed.name)


@pytest.mark.parametrize(
    ("written", "fix"), [("failde", "did you mean failed"), ("passed", "failed, error"), ("", "which")]
)
def test_states_are_four_and_passed_is_none_of_them(written: str, fix: str) -> None:
    with pytest.raises(UsageError, match=fix):
        states_of(written)


def test_no_gate_no_baseline_and_no_forecast_takes_it_for_a_run_of_the_suite(tmp_path: Path) -> None:
    ran = run(tmp_path, 1, {"one": "failed"})
    rerun = run(tmp_path, 2, {}, rerun=Rerun(ran.name, ("failed",)))
    confirmed = run(tmp_path, 3, {}, options={"confirm": True})
    for folder in (rerun, confirmed):
        with pytest.raises(UsageError, match="A gate rules on a run of the suite"):
            gated(folder, tmp_path)
        with pytest.raises(UsageError, match="A baseline is a run of the suite"):
            set_baseline("green", [folder], tmp_path, pin=False, anyway=True)
        with pytest.raises(UsageError, match="Hold it against a run of the suite"):
            against(suite(), ["default"], tmp_path, folder.name)
        told = what_differs(read_manifest(ran), read_manifest(folder))
        assert any(folder.name in line for line in told)
    assert any("rerun" in why for why in why_not_whole(read_manifest(rerun)))
    expected = takes(make_plan(suite()), tmp_path)
    assert (expected.by, expected.tokens) == (ran.name, 60.0)
