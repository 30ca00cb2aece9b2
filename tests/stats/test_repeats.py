"""pass@k and pass^k against their oracle, and against what they estimate."""

import json
from fractions import Fraction
from math import comb
from pathlib import Path
from typing import Any

import pytest

from harness.stats.repeats import pass_at_k, pass_hat_k

ORACLE = json.loads((Path(__file__).parent / "oracles" / "judges.json").read_text())["pass_k"]


@pytest.mark.parametrize("case", ORACLE["cases"], ids=str)
def test_both_are_the_fractions_of_the_oracle(case: dict[str, Any]) -> None:
    assert pass_hat_k(case["c"], case["n"], case["k"]) == Fraction(case["pass_hat_k"])
    assert pass_at_k(case["c"], case["n"], case["k"]) == Fraction(case["pass_at_k"])


@pytest.mark.parametrize("p", [0.05, 0.3, 0.7, 0.9])
@pytest.mark.parametrize(("n", "k"), [(5, 5), (5, 3), (10, 5), (8, 1)])
def test_what_they_are_expected_to_be_is_the_chance_itself(p: float, n: int, k: int) -> None:
    chance = [comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    assert sum(w * pass_hat_k(c, n, k) for c, w in enumerate(chance)) == pytest.approx(p**k, abs=1e-12)
    at_least_one = 1 - (1 - p) ** k
    assert sum(w * pass_at_k(c, n, k) for c, w in enumerate(chance)) == pytest.approx(at_least_one, abs=1e-12)


@pytest.mark.parametrize(("passes", "repeats", "k"), [(2, 3, 4), (0, 0, 1), (1, 3, 0), (4, 3, 2), (-1, 3, 2)])
def test_k_never_shrinks_and_counts_make_sense(passes: int, repeats: int, k: int) -> None:
    for estimate in (pass_at_k, pass_hat_k):
        with pytest.raises(ValueError, match=str(repeats)):
            estimate(passes, repeats, k)
