"""The limit of a server whose capacity is known: ten searches, each with another seed.

The stand-in gives eight replies at a time that take 200 ms each, so it can do 40 a second, and of more than
that a queue grows without end. Printed is what each search found, and what it took.
"""

from pathlib import Path

import pytest

from harness.conduct.options import Options
from harness.limit.probing import Asked
from harness.limit.search import Span
from harness.limit.seeking import limit
from harness.limit.slo import read_slo
from harness.suite.read import parse_suite
from tests.conftest import Serving

pytestmark = [pytest.mark.endurance, pytest.mark.timeout(3600)]

SEEDS = range(10)
CAPACITY = 8 / 0.2
SUITE = """
suite: known
target: {{base_url: "{url}", audit: 0%}}
defaults:
  llm_override: {{model_provider: Simulated, model_version: "sim:ttft=100ms,gap=50ms,tokens=3,slots=8"}}
prompts: [{{message: go}}]
"""


def test_the_limit_found_is_within_a_tenth_of_the_known_one_in_nine_of_ten_tries(
    serving: Serving, tmp_path: Path
) -> None:
    close = 0
    for seed in SEEDS:
        with serving("--dialect", "sigma") as standin:
            suite = parse_suite(SUITE.format(url=standin.url), Path("known.yaml"), {})
            asked = Asked(
                suite,
                read_slo("ttft.p95<1s, error_rate<1%"),
                Options(seed=seed, results=tmp_path / f"{seed}"),
                8_000_000_000,
            )
            found = limit(asked, Span(start=20, least=15), cool_down_s=1.0)
        within = found.past is not None and abs((found.holds or 0) / CAPACITY - 1) <= 0.1
        close += within
        took_s = sum(each.seconds for each in found.probes)
        print(
            f"seed {seed}: {'within' if within else 'OFF'}; {took_s:.0f} s of probes; {found.says}",
            flush=True,
        )
    assert close >= 9
