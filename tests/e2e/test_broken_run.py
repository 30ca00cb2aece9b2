"""A whole run that meets the faults of the network all at once: a row for each, and the others are whole."""

from pathlib import Path

import pytest

from harness.pipeline import Options, run
from harness.suite.read import parse_suite
from tests.drive.broken import BROKEN

pytestmark = pytest.mark.slow

SUITE = """
suite: broken
target: standin
defaults: {{retry: {{attempts: 1}}}}
load: {{workers: 12}}
prompts:
  - id: well
    message: Hello
    repeat: 10
    llm_override: {{model_provider: Simulated, model_version: "sim:tokens=8"}}
{cases}
"""
CASE = """
  - id: {name}
    message: Hello
    time_limit: {limit_ms}ms
    llm_override: {{model_provider: Simulated, model_version: "{model}"}}
"""


def test_a_run_against_a_server_that_breaks_in_every_way_has_a_row_for_each(tmp_path: Path) -> None:
    there = [one for one in BROKEN if one.place == "standin" and not (one.resent or one.is_large)]
    broken = {f"b{at}": one for at, one in enumerate(there)}
    cases = "".join(
        CASE.format(name=name, limit_ms=int(one.limit_s * 1000), model=one.model)
        for name, one in broken.items()
    )
    suite = parse_suite(SUITE.format(cases=cases), tmp_path / "broken.yaml", {})
    done = run(suite, Options(results=tmp_path / "results"))
    exchanges = done.tables["exchanges"].join(
        done.tables["trials"].select("trial_id", "case_id"), on="trial_id"
    )
    rows = exchanges.select("case_id", "fault", "fault_step", "http_status").rows()
    assert sorted(row for row in rows if row[0] != "well") == sorted(
        (name, one.fault and str(one.fault), one.step and str(one.step), one.status)
        for name, one in broken.items()
    )
    states = dict(done.tables["trials"].group_by("case_id").agg("state").rows())
    assert states.pop("well") == ["passed"] * 10
    assert {name: state for name, state in states.items() if broken[name].fault is None} == {
        name: ["passed"] for name, one in broken.items() if one.fault is None
    }
    assert all(state == ["error"] for name, state in states.items() if broken[name].fault is not None)
