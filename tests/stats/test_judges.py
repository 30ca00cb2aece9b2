"""What labels tell about a judge, against the oracle and against judges whose mistakes are known."""

import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.stats.judges import (
    Agreement,
    Labelled,
    Rate,
    agreement,
    corrected,
    effective,
    kappa,
    sensitivity,
    specificity,
)
from harness.stats.repeats import Z, wilson

ORACLE = json.loads((Path(__file__).parent / "oracles" / "judges.json").read_text())["judge"]
NONE = Rate(None, None, None, 0.0)


def drawn(random: Random, n: int, chance: float) -> float:
    """The share of *n* tries that pass."""
    return sum(random.random() < chance for _ in range(n)) / n


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


def test_kappa_is_that_of_the_oracle() -> None:
    ((both, only_human), (only_judge, neither)) = ORACLE["cohen_kappa"]["table"]
    labels = [Labelled(True, True)] * both + [Labelled(True, False)] * only_human
    labels += [Labelled(False, True)] * only_judge + [Labelled(False, False)] * neither
    assert kappa(labels) == pytest.approx(ORACLE["cohen_kappa"]["kappa"], abs=1e-6)


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


pairs = st.lists(st.builds(Labelled, st.booleans(), st.booleans(), st.floats(0.1, 10)), max_size=40)


@given(pairs)
def test_the_order_of_labels_does_not_matter(labels: list[Labelled]) -> None:
    turned = list(reversed(labels))
    for one, other in (
        (sensitivity(labels).value, sensitivity(turned).value),
        (kappa(labels), kappa(turned)),
    ):
        assert one == (None if other is None else pytest.approx(other))


def test_a_label_without_a_verdict_is_counted_and_makes_the_judge_neither_right_nor_wrong() -> None:
    labels = [Labelled(True, True)] * 7 + [Labelled(True, False)] * 3 + [Labelled(False, True)]
    labels += [Labelled(False, False)] * 5 + [Labelled(True, None), Labelled(False, None)]
    read = [each for each in labels if each.judge is not None]
    assert agreement(labels) == agreement(read)
    assert agreement(labels).n == 16
    assert kappa(labels) == kappa(read)


def test_the_same_weight_for_all_is_no_weight() -> None:
    labels = [Labelled(True, True)] * 8 + [Labelled(False, True)] * 2 + [Labelled(False, False)] * 6
    heavy = [each._replace(weight=2.5) for each in labels]
    assert specificity(heavy) == specificity(labels)


def test_labels_are_worth_fewer_the_more_their_weights_differ() -> None:
    assert effective([3.0] * 12) == pytest.approx(12)
    assert effective([1.0, 1.0, 1.0, 9.0]) == pytest.approx(144 / 84)
    assert effective([]) == 0.0


def test_kappa_has_ends_unless_the_two_always_agree() -> None:
    same = agreement([Labelled(True, True)] * 10 + [Labelled(False, False)] * 10).kappa
    assert (same.value, same.low, same.high) == (1.0, None, None)
    ((both, only_human), (only_judge, neither)) = ORACLE["cohen_kappa"]["table"]
    labels = [Labelled(True, True)] * both + [Labelled(True, False)] * only_human
    labels += [Labelled(False, True)] * only_judge + [Labelled(False, False)] * neither
    found = agreement(labels).kappa
    # Its standard error is √(.85 · .15 / 100) / (1 - .5008) = .0715.
    assert found.low == pytest.approx(0.6995 - Z * 0.0715, abs=0.03)
    assert found.high == pytest.approx(0.6995 + Z * 0.0715, abs=0.03)


def test_what_cannot_be_corrected_is_refused_with_its_reason() -> None:
    assert corrected(0.5, 0, of(0.9, 50, 0.9, 50)).why_none == "the judge has judged no answer"
    assert corrected(0.5, 100, agreement([])).value is None
    assert corrected(0.5, 100, of(0.6, 50, 0.6, 50)).value is not None  # .2, whatever floats make of it
    assert corrected(0.5, 100, of(0.6, 50, 0.59, 50)).value is None


def test_a_few_labels_without_a_mistake_do_not_make_a_judge_faultless() -> None:
    few, many = corrected(0.8, 10**6, of(1.0, 20, 1.0, 20)), corrected(0.8, 10**6, of(1.0, 900, 1.0, 900))
    assert few.value == many.value == pytest.approx(0.8)
    assert few.low is not None
    assert many.low is not None
    assert few.low < many.low < 0.799


@given(pairs, st.randoms())
@settings(max_examples=20)
def test_no_interval_depends_on_the_order_of_labels(labels: list[Labelled], random: Random) -> None:
    one, other = agreement(labels).kappa, agreement(random.sample(labels, len(labels))).kappa
    assert (one.value, one.low, one.high) == (other.value, other.low, other.high)


@pytest.mark.parametrize(
    ("theta", "right", "good", "bad", "judged"),
    [
        (0.85, (0.92, 0.85), 60, 40, 500),
        (0.95, (0.92, 0.85), 60, 40, 500),
        (0.5, (0.9, 0.9), 60, 40, 500),
        (0.85, (0.97, 0.97), 20, 20, 2_000),  # of most samples of labels one kind has no mistake
    ],
)
def test_the_corrected_rate_covers_the_truth_as_often_as_it_should(
    theta: float, right: tuple[float, float], good: int, bad: int, judged: int
) -> None:
    random, hits, runs = Random(7), 0, 1_000
    q1, q0 = right
    for _ in range(runs):
        passed = drawn(random, judged, theta * q1 + (1 - theta) * (1 - q0))
        known = of(drawn(random, good, q1), good, drawn(random, bad, q0), bad)
        found = corrected(passed, judged, known)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= theta <= found.high
    assert hits / runs >= 0.91


def test_a_sample_by_verdict_covers_the_truth_where_labels_have_weights() -> None:
    """Of 400 answers 40 that passed and 40 that failed have labels, however many passed."""
    random, runs, theta, hits = Random(9), 500, 0.7, 0
    for _ in range(runs):
        good = [random.random() < theta for _ in range(400)]
        answers = [Labelled(each, random.random() < (0.9 if each else 0.2)) for each in good]
        labels: list[Labelled] = []
        for verdict in (True, False):
            same = [each for each in answers if each.judge is verdict]
            labels += [each._replace(weight=len(same) / 40) for each in random.sample(same, 40)]
        judged = sum(each.judge is True for each in answers)
        known = Agreement(80, sensitivity(labels), specificity(labels), NONE)
        found = corrected(judged / 400, 400, known)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= theta <= found.high
    assert hits / runs >= 0.91
