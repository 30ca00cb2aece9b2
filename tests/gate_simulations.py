"""How often a gate is wrong, and sees what it should: many seeded suites, by the product's own code.

What is drawn are passes; the difference, its error, the evidence, and what a fixed or a sequential gate makes
of it are those of `harness`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from harness.gate.ruling import Decide, Look, Word, early, fixed
from harness.gate.weighing import How, of_difference
from harness.stats.paired import Arm, Question, difference
from harness.stats.power import smallest_drop
from harness.suite.gates import Rule, rules_of
from harness.suite.read import parse_suite

Array = NDArray[np.float64]
Rates = Callable[[np.random.Generator, int], Array]
"""How often each of so many prompts passes."""

ALPHA = 0.05


def _all(rate: float, random: np.random.Generator, prompts: int) -> Array:
    return np.full(prompts, rate)


def _beta(a: float, b: float, random: np.random.Generator, prompts: int) -> Array:
    return random.beta(a, b, prompts)


SUITES: dict[str, Rates] = {
    "every prompt passes 89 %": partial(_all, 0.887),
    "prompts differ: beta(6, 1.2)": partial(_beta, 6, 1.2),
    "most always pass: beta(2, 0.1)": partial(_beta, 2, 0.1),
    "every prompt passes 99 %": partial(_all, 0.99),
}


class Found(NamedTuple):
    """The shares of simulated gates that failed and passed, and of the planned trials that were sent."""

    failed: float
    passed: float
    spent: float


@dataclass(frozen=True, slots=True)
class Plan:
    """So many *prompts*, asked so many *repeats* in each of two arms, with a *margin* of points."""

    prompts: int
    repeats: int
    margin: float = 0.05

    @property
    def rule(self) -> Rule:
        """Its rule."""
        (rule,) = rules_of(parse_suite(_SUITE, Path("s.yaml"), {}))
        return structs.replace(rule, limit=self.margin)

    def seeing(self, rates: Rates) -> "Plan":
        """The same plan, with the margin that `harness plan` says it sees."""
        random = np.random.default_rng(3)
        seen = [
            smallest_drop(list(rates(random, self.prompts)), self.repeats, self.repeats, alpha=ALPHA)
            for _ in range(100)
        ]
        return replace(self, margin=float(np.mean(seen)))


_SUITE = """
target: standin
variants: {a: {}, b: {}}
prompts: [{message: hi}]
gates: {baseline: a, rules: [{metric: pass_rate, max_drop: 5pp}]}
"""


def simulated(plan: Plan, rates: Rates, drop: float, *, sequential: bool, draws: int, seed: int = 7) -> Found:
    """What gates of *plan* come to where the pass rate of every prompt drops by *drop*."""
    random = np.random.default_rng(seed)
    failed = passed = spent = 0.0
    one = _looked if sequential else _at_the_end
    for _ in range(draws):
        before = _lowered(rates(random, plan.prompts), drop)
        word, used = one(plan, (drawn(random, before, plan), drawn(random, before - drop, plan)))
        failed += word is Word.FAIL
        passed += word is Word.PASS
        spent += used
    return Found(failed / draws, passed / draws, spent / draws)


def _lowered(rates: Array, drop: float) -> Array:
    """Rates that can drop by as much; a prompt that always fails cannot."""
    return np.maximum(rates, drop)


def drawn(random: np.random.Generator, rates: Array, plan: Plan) -> NDArray[np.bool_]:
    return random.random((plan.repeats, plan.prompts)) < rates


Draws = tuple[NDArray[np.bool_], NDArray[np.bool_]]


def _at_the_end(plan: Plan, draws: Draws) -> tuple[Word, float]:
    return _word(plan, draws, fixed(ALPHA)), 1.0


def _looked(plan: Plan, draws: Draws) -> tuple[Word, float]:
    """The word of a gate that looks after every round, and the share of its plan that was spent by then."""
    fractions: tuple[float, ...] = ()
    for rounds in range(1, plan.repeats + 1):
        fractions = (*fractions, rounds / plan.repeats)
        so_far = draws[0][:rounds], draws[1][:rounds]
        word = _word(plan, so_far, early(ALPHA, [Look(fractions, is_last=False)]))
        if word is not Word.INCONCLUSIVE:
            return word, rounds / plan.repeats
    return Word.INCONCLUSIVE, 1.0


def _word(plan: Plan, draws: Draws, decide: Decide) -> Word:
    told = difference(counted(draws[0]), counted(draws[1]), seed=None)
    return decide([of_difference(plan.rule, told, How()).seen])[0]


def counted(passed: NDArray[np.bool_]) -> Arm:
    total = passed.sum(axis=0).astype(float)
    return Arm(np.full(passed.shape[1], float(len(passed))), total, total, np.zeros(passed.shape[1]))


def covered(plan: Plan, rates: Rates, question: Question, *, draws: int, seed: int = 11) -> float:
    """How often the 95 % interval of a difference holds the true one.

    For the suite's question that of these prompts, 3 points; for the population's that of all: prompts change
    by 3 points on average, each by some more or less.
    """
    random = np.random.default_rng(seed)
    held = 0
    for _ in range(draws):
        before = rates(random, plan.prompts)
        change = random.normal(-0.03, 0.05 if question == "population" else 0.0, plan.prompts)
        after = np.clip(before + change, 0, 1)
        truth = float((after - before).mean()) if question == "suite" else _true_mean(rates)
        arms = [counted(drawn(random, each, plan)) for each in (before, after)]
        told = difference(arms[0], arms[1], question=question, seed=None)
        held += told.low is not None and told.high is not None and told.low <= truth <= told.high
    return held / draws


def _true_mean(rates: Rates) -> float:
    """The mean change of all prompts, clipped as they are."""
    random = np.random.default_rng(1)
    before = rates(random, 400_000)
    change = random.normal(-0.03, 0.05, len(before))
    return float((np.clip(before + change, 0, 1) - before).mean())
