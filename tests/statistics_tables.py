"""The tables of docs/statistics.md, made by simulation: ``python -m tests.statistics_tables`` writes them.

Between two marks of the page everything is replaced. Takes some minutes; the seeds are fixed.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from harness.stats.intervals import dependent_interval, interval
from harness.stats.ratios import Sample, ratio
from tests.gate_simulations import SUITES, Plan, covered, simulated

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


def _ratios(per_mille: int, draws: int) -> float:
    random = np.random.default_rng(5)
    held, groups = 0, np.arange(300) // 5
    for seed in range(draws):
        base = np.repeat(random.lognormal(6, 0.4, 60), 5)
        arms = [Sample(base * random.lognormal(0, 0.5, 300) * by, groups) for by in (1.0, 1.2)]
        found = ratio(arms[0], arms[1], per_mille, seed=seed)
        held += found.low is not None and found.high is not None and found.low <= 1.2 <= found.high
    return held / draws


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


def main(draws: int = 2_000) -> None:
    """Write every table into the page."""
    text = PAGE.read_text()
    for name, table in (("false alarms", false_alarms), ("power", power), ("coverage", coverage)):
        made = "\n".join(table(draws))
        before, mark, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        text = f"{before}{mark}{made}\n{end}{after}"
        print(made)
    PAGE.write_text(text)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)
