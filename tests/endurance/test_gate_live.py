"""A gate on the stand-in: `worse-by-10` against `steady` fails, and early; an equal raises few alarms.

The figures of issue 6, with real requests: of 100 seeded repeats 95 fail within the planned spend, and the
sequential runs spend at most 60 % of it. HARNESS_REPEATS says how many (100).
"""

import os
from pathlib import Path

import pytest

from harness.gate.ruling import Ruling, Word
from harness.pipeline import Options, run
from harness.suite.read import parse_suite
from tests.conftest import serving

pytestmark = [pytest.mark.endurance, pytest.mark.timeout(6000)]

REPEATS = int(os.environ.get("HARNESS_REPEATS", "100"))
FAQ = Path(__file__).parents[2] / "suites" / "fixtures" / "faq.csv"
COPIES = 5
SUITE = """
suite: live
target: {{base_url: "{url}", allow_anonymous: true, audit: 10%}}
defaults: {{repeat: 8}}
variants:
  steady: {{llm_override: {{model_provider: Simulated, model_version: steady}}}}
  other: {{llm_override: {{model_provider: Simulated, model_version: {other}}}}}
prompts:
{prompts}
load: {{workers: 32}}
gates:
  baseline: steady
  plan: sequential
  rules: [{{metric: pass_rate, max_drop: 5pp}}]
"""


def ruled(url: str, other: str, results: Path, seed: int) -> Ruling:
    rows = (
        f'each: {FAQ}, message: "{{{{ question }}}}", assert: [{{type: contains, value: "{{{{ answer }}}}"}}]'
    )
    prompts = "\n".join(f'  - {{id: "{copy}/{{{{ id }}}}", {rows}}}' for copy in range(COPIES))
    text = SUITE.format(url=url, other=other, prompts=prompts)
    suite = parse_suite(text, results / "live.yaml", {})
    done = run(suite, Options(gate=True, seed=seed, results=results))
    assert done.ruling is not None
    assert not done.summary.faults
    return done.ruling


def test_a_model_that_is_worse_by_ten_points_fails_and_early(tmp_path: Path) -> None:
    with serving() as standin:
        found = [ruled(standin.url, "worse-by-10", tmp_path, seed) for seed in range(REPEATS)]
    failed = sum(each.word is Word.FAIL for each in found)
    spent = sum(each.sent for each in found) / sum(each.planned for each in found)
    looks = sum(each.looks for each in found) / len(found)
    print(f"\n{failed} of {len(found)} fail; {spent:.0%} of the plan spent, {looks:.1f} looks on average")
    assert failed >= 0.95 * len(found)
    assert spent <= 0.6


def test_a_model_held_against_its_own_kind_raises_few_alarms(tmp_path: Path) -> None:
    with serving() as standin:
        found = [ruled(standin.url, "thinker", tmp_path, seed) for seed in range(max(1, REPEATS // 5))]
    failed = sum(each.word is Word.FAIL for each in found)
    passed = sum(each.word is Word.PASS for each in found)
    print(f"\n{failed} of {len(found)} fail, {passed} pass")
    assert failed <= 0.1 * len(found)
