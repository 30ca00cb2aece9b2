"""The tables of docs/statistics.md, made by simulation: ``python -m tests.statistics_tables`` writes them.

Between two marks of the page everything is replaced. Takes some minutes; the seeds are fixed.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from harness.gate.weighing.evidence import chances
from harness.limit.deciding import ALPHA
from harness.stats.intervals import dependent_interval, interval
from harness.stats.judges import Labelled, agreement, corrected
from harness.stats.mixture import evidence
from harness.stats.ratios import Sample, ratio, timed
from harness.stats.repeats import Tries, clopper_pearson, worth
from harness.stats.sprt import Sprt
from harness.suite.gates import Rule
from harness.suite.metric import metric
from tests.gate_simulations import SUITES, Plan, Rates, counted, covered, drawn, simulated

PAGE = Path(__file__).parents[1] / "docs" / "statistics.md"
PLANS = (Plan(60, 5), Plan(100, 8))


def false_alarms(draws: int) -> Iterator[str]:
    """How often a gate fails a candidate that is as good."""
    yield "| suite | prompts × repeats | fixed | sequential | trials spent |"
    yield "|---|---|--:|--:|--:|"
    for name, rates in SUITES.items():
        for plan in PLANS:
            fixed = simulated(plan, rates, 0.0, sequential=False, draws=draws)
            early = simulated(plan, rates, 0.0, sequential=True, draws=draws)
            asked = f"{plan.prompts} × {plan.repeats}"
            yield f"| {name} | {asked} | {fixed.failed:.1%} | {early.failed:.1%} | {early.spent:.0%} |"


def power(draws: int) -> Iterator[str]:
    """How often a gate sees the drop that `harness plan` says it sees, and how often it lets it pass."""
    yield "| suite | prompts × repeats | sees | fixed: fails | passes | sequential: fails | passes | spent |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|"
    for name, rates in SUITES.items():
        for plan in (each.seeing(rates) for each in PLANS):
            fixed = simulated(plan, rates, plan.margin, sequential=False, draws=draws)
            early = simulated(plan, rates, plan.margin, sequential=True, draws=draws)
            yield (
                f"| {name} | {plan.prompts} × {plan.repeats} | {100 * plan.margin:.1f} pp "
                f"| {fixed.failed:.1%} | {fixed.passed:.1%} | {early.failed:.1%} | {early.passed:.1%} "
                f"| {early.spent:.0%} |"
            )


def coverage(draws: int) -> Iterator[str]:
    """How often a 95 % interval holds the true value."""
    yield "| interval | of | holds it |"
    yield "|---|---|--:|"
    for name, rates in SUITES.items():
        held = covered(Plan(100, 5), rates, "suite", draws=draws)
        yield f"| difference of pass rates, these prompts | {name}, 100 × 5 | {held:.1%} |"
    for name in list(SUITES)[:2]:
        held = covered(Plan(100, 5), SUITES[name], "population", draws=draws)
        yield f"| difference of pass rates, all questions | {name}, 100 × 5 | {held:.1%} |"
    for per_mille, label in ((500, "p50"), (900, "p90"), (950, "p95")):
        held = _ratios(per_mille, draws // 4)
        yield f"| ratio of {label}, replies of 60 prompts × 5 | a true ratio of 1.2 | {held:.1%} |"
    for phi in (0.0, 0.5, 0.9):
        held, refused = _dependent(phi, draws // 8)
        told = f"{held:.1%}" + (f" ({refused:.0%} refused)" if refused else "")
        yield f"| p95 under load, 1,000 replies | correlation {phi:g} from one to the next | {told} |"
    yield f"| p95 of independent values | 200 lognormal | {_order(draws):.1%} |"
    held = _ratios(None, draws // 4)
    yield f"| ratio of means, amounts of 60 prompts × 5 | a true ratio of 1.2 | {held:.1%} |"
    told, held = "a true ratio of 1.2, a tenth timed out", _ratios(500, draws // 4, cut=True)
    yield f"| ratio of p50, replies of 60 prompts × 5 | {told} | {held:.1%} |"
    for name in list(SUITES)[:2]:
        held = _all_of_three(SUITES[name], draws // 4)
        yield f"| pass^3, these prompts | {name}, 100 × 5 | {held:.1%} |"
    yield f"| share of replies within a limit | 60 prompts × 5, alike within a prompt | {_share(draws):.1%} |"
    told = "right in 90 % and 80 %, 40 labels of each verdict, 400 answers"
    yield f"| pass rate without a judge's mistakes | {told} | {_corrected(draws // 4):.1%} |"


def decisions(draws: int) -> Iterator[str]:
    """How often what may decide after every try decides wrongly, and after how many."""
    yield "| test | truth | decides wrongly | open at the end | tries on average |"
    yield "|---|---|--:|--:|--:|"
    for rate in (0.9, 0.6):
        wrong, left, tries = _confirmed(rate, draws)
        told = f"{wrong:.1%} | {left:.1%} | {tries:.1f}"
        yield f"| one prompt, confirmed (30 repeats at most) | passes {rate:.0%} | {told} |"
    for share, limit in ((0.05, 0.05), (0.01, 0.01), (0.10, 0.05)):
        wrong, left, tries = _bet(share, limit, draws // 4)
        told = f"{wrong:.1%} | {left:.1%} | {tries:.0f}"
        yield f"| a term of a load, {limit:.0%} may break it, 2,000 tries | {share:.0%} do | {told} |"


def _ratios(per_mille: int | None, draws: int, *, cut: bool = False) -> float:
    random = np.random.default_rng(5)
    held, groups = 0, np.arange(300) // 5
    for seed in range(draws):
        base = np.repeat(random.lognormal(6, 0.4, 60), 5)
        values = [base * random.lognormal(0, 0.5, 300) * by for by in (1.0, 1.2)]
        arms = [_timed_out(each, groups) if cut else Sample(each, groups) for each in values]
        found = ratio(arms[0], arms[1], per_mille, seed=seed)
        held += found.low is not None and found.high is not None and found.low <= 1.2 <= found.high
    return held / draws


def _timed_out(values: NDArray[np.float64], groups: NDArray[np.intp]) -> Sample:
    """*values* of which those above a limit were only watched until then."""
    limit = float(np.exp(6 + 1.2816 * 0.64))
    return timed(np.minimum(values, limit), values > limit, groups)


def _all_of_three(rates: Rates, draws: int) -> float:
    random, held, plan = np.random.default_rng(8), 0, Plan(100, 5)
    rule = Rule(metric("pass^3"), "min", 0.9, "90%")
    for _ in range(draws):
        chance = rates(random, plan.prompts)
        value, error = chances(rule, counted(drawn(random, chance, plan)))
        held += abs(value - float((chance**3).mean())) <= 1.96 * error
    return held / draws


def _share(draws: int) -> float:
    random, held = np.random.default_rng(9), 0
    for _ in range(draws):
        within = random.binomial(5, random.beta(9, 1, 60))
        hits = int(within.sum())
        alike = worth([Tries(int(each), 5) for each in within])
        n = 300.0 if alike is None else min(300.0, alike.n)
        low, high = clopper_pearson(hits / 300, n)
        held += low <= 0.9 <= high
    return held / draws


def _corrected(draws: int) -> float:
    random, held = Random(10), 0
    for _ in range(draws):
        good = [random.random() < 0.75 for _ in range(400)]
        answers = [Labelled(each, random.random() < (0.9 if each else 0.2)) for each in good]
        labels: list[Labelled] = []
        for verdict in (True, False):
            same = [each for each in answers if each.judge is verdict]
            labels += [each._replace(weight=len(same) / 40) for each in random.sample(same, 40)]
        found = corrected(sum(each.judge is True for each in answers) / 400, 400, agreement(labels))
        held += found.low is not None and found.high is not None and found.low <= 0.75 <= found.high
    return held / draws


def _confirmed(rate: float, draws: int) -> tuple[float, float, float]:
    """Of prompts that pass so often: found to be what they are not, left open, and the mean of repeats."""
    random, test = np.random.default_rng(11), Sprt()
    wrong = left = tries = 0
    for _ in range(draws):
        passes, word, count = 0, "open", 0
        while word == "open" and count < test.most:
            count += 1
            passes += int(random.random() < rate)
            word = test.decides(passes, count - passes)
        wrong += word == ("bad" if rate == test.good else "good")
        left += word == "open"
        tries += count
    return wrong / draws, left / draws, tries / draws


def _bet(share: float, limit: float, draws: int) -> tuple[float, float, float]:
    """Of loads of which so many break a term: said wrongly, or to be past at the limit; left open; tries."""
    random, decides = np.random.default_rng(12), -np.log(ALPHA)
    wrong = left = tries = 0
    for _ in range(draws):
        broke = np.cumsum(random.random(2_000) < share)
        for count in range(20, 2_001, 20):
            found = evidence(float(broke[count - 1]), float(count), limit)
            if max(found) >= decides:
                break
        is_past, is_open = found.above >= decides, max(found) < decides
        wrong += (not is_open) and (not is_past if share > limit else True)
        left += is_open
        tries += count
    return wrong / draws, left / draws, tries / draws


def _dependent(phi: float, draws: int) -> tuple[float, float]:
    random = np.random.default_rng(6)
    held = refused = 0
    for _ in range(draws):
        noise = random.normal(0, (1 - phi**2) ** 0.5, 1_000)
        series = np.empty(1_000)
        series[0] = random.normal()
        for at in range(1, 1_000):
            series[at] = phi * series[at - 1] + noise[at]
        found = dependent_interval(np.exp(0.6 * series).tolist(), 950)
        truth = float(np.exp(0.6 * 1.6448536))
        if found.low is None or found.high is None:
            refused += 1
        else:
            held += found.low <= truth <= found.high
    return held / max(1, draws - refused), refused / draws


def _order(draws: int) -> float:
    random = np.random.default_rng(7)
    truth, held = float(np.exp(0.6 * 1.6448536)), 0
    for _ in range(draws):
        found = interval(random.lognormal(0, 0.6, 200).tolist(), 950)
        held += found.low is not None and found.high is not None and found.low <= truth <= found.high
    return held / draws


TABLES = {"false alarms": false_alarms, "power": power, "coverage": coverage, "decisions": decisions}


def main(*names: str, draws: int = 2_000) -> None:
    """Write every table into the page, or those that are named."""
    text = PAGE.read_text()
    for name in names or TABLES:
        made = "\n".join(TABLES[name](draws))
        before, mark, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        assert mark, name
        text = f"{before}{mark}{made}\n{end}{after}"
        print(made)
    PAGE.write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
