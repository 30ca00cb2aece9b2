"""What labels tell about a judge, against the oracle and against judges whose mistakes are known."""

import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stats.judges import (
    Agreement,
    Labelled,
    Rate,
    Z,
    agreement,
    corrected,
    kappa,
    krippendorff,
    prediction_powered,
    wilson,
)

ORACLE = json.loads((Path(__file__).parent / "oracles" / "judges.json").read_text())["judge"]
NONE = Rate(None, None, None, 0.0)


def of(sensitivity: float, good: float, specificity: float, bad: float) -> Agreement:
    of_good, of_bad = Rate(sensitivity, None, None, good), Rate(specificity, None, None, bad)
    return Agreement(round(good + bad), of_good, of_bad, NONE)


@pytest.mark.parametrize("case", ORACLE["rogan_gladen"], ids=str)
def test_a_rate_is_corrected_as_the_oracle_does(case: dict[str, float]) -> None:
    found = corrected(case["p"], int(case["n"]), of(case["sens"], case["m1"], case["spec"], case["m0"]))
    assert found.value == pytest.approx(case["theta_clipped"], abs=1e-6)
    assert found.clipped is (case["theta"] != case["theta_clipped"])
    assert found.low is not None
    assert found.high is not None
    if not found.clipped:
        assert (found.high - found.low) / 2 / Z == pytest.approx(case["se"], abs=1e-6)


def test_kappa_alpha_and_the_prediction_powered_rate_are_those_of_the_oracle() -> None:
    ((both, only_human), (only_judge, neither)) = ORACLE["cohen_kappa"]["table"]
    labels = [Labelled(True, True)] * both + [Labelled(True, False)] * only_human
    labels += [Labelled(False, True)] * only_judge + [Labelled(False, False)] * neither
    assert kappa(labels) == pytest.approx(ORACLE["cohen_kappa"]["kappa"], abs=1e-6)
    told = ORACLE["krippendorff_nominal"]
    raters = [[None if each is None else str(each) for each in rater] for rater in told["raters_x_units"]]
    assert krippendorff(raters) == pytest.approx(told["alpha"], abs=1e-6)
    ppi = ORACLE["ppi"]
    pairs = [
        Labelled(bool(human), bool(judge))
        for human, judge in zip(ppi["human_labelled"], ppi["judge_labelled"], strict=True)
    ]
    found = prediction_powered([bool(each) for each in ppi["judge_unlabelled"]], pairs)
    assert found.value == pytest.approx(ppi["theta"], abs=1e-6)
    assert found.low is not None
    assert found.value is not None
    assert (found.value - found.low) / Z == pytest.approx(ppi["se"], abs=1e-5)


def test_a_judge_no_better_than_a_coin_corrects_nothing() -> None:
    assert corrected(0.5, 100, of(0.6, 50, 0.55, 50)).value is None
    assert "coin" in corrected(0.5, 100, of(0.6, 50, 0.55, 50)).why_none
    only_good = agreement([Labelled(True, True)] * 20)
    assert corrected(0.5, 100, only_good).why_none == "no answer that people call bad has a label"


def test_weights_undo_what_the_drawing_did() -> None:
    # 900 passed and 100 failed; 50 of each were drawn. Of the passes 10 are bad, of the failures 5 are good.
    labels = [Labelled(True, True, 18)] * 40 + [Labelled(False, True, 18)] * 10
    labels += [Labelled(True, False, 2)] * 5 + [Labelled(False, False, 2)] * 45
    found = agreement(labels)
    assert found.sensitivity.value == pytest.approx(720 / 730)
    assert found.specificity.value == pytest.approx(90 / 270)
    assert found.specificity.n == pytest.approx(270**2 / (10 * 18**2 + 45 * 2**2))
    assert found.n == 100


def test_an_interval_is_that_of_wilson() -> None:
    assert wilson(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert wilson(1.0, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)


def test_where_one_side_never_varies_there_is_no_kappa() -> None:
    assert kappa([]) is None
    assert kappa([Labelled(True, True)] * 5) is None
    assert kappa([Labelled(True, True), Labelled(False, False)]) == 1.0
    assert krippendorff([["a", "a"], ["a", None]]) is None


pairs = st.lists(st.builds(Labelled, st.booleans(), st.booleans(), st.floats(0.1, 10)), max_size=40)


@given(pairs)
def test_the_order_of_labels_does_not_matter(labels: list[Labelled]) -> None:
    turned = list(reversed(labels))
    for one, other in (
        (agreement(labels).sensitivity.value, agreement(turned).sensitivity.value),
        (kappa(labels), kappa(turned)),
    ):
        assert one == (None if other is None else pytest.approx(other))


@pytest.mark.slow
@pytest.mark.parametrize("theta", [0.85, 0.95])
def test_the_corrected_rate_covers_the_truth_as_often_as_it_should(theta: float) -> None:
    random, hits, runs = Random(7), 0, 1_000  # noqa: S311
    for _ in range(runs):
        passes = sum(random.random() < (0.92 if random.random() < theta else 0.15) for _ in range(500))
        good = sum(random.random() < 0.92 for _ in range(60))
        bad = sum(random.random() < 0.85 for _ in range(40))
        found = corrected(passes / 500, 500, of(good / 60, 60, bad / 40, 40))
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= theta <= found.high
    assert hits / runs >= 0.91
