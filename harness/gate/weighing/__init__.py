"""A rule of a gate, held against what an arm came to: what speaks for its being kept or missed.

Evidence is in standard errors, so that a fixed test, a look before the end and a family of rules can all put
their own bounds to it. What is missing is taken for the worst and for the best: a rule whose ruling depends
on that is not decided (statistics.md 3.1, 4.2).
"""

from harness.compare.arms import Arm, Prompts, prompts
from harness.gate.weighing.alone import alone, best_case
from harness.gate.weighing.compared import compared, of_difference
from harness.gate.weighing.evidence import Better, How, Weighed, of_drop
from harness.suite.gates import Rule

__all__ = ["Better", "How", "Weighed", "best_case", "of_difference", "of_drop", "weigh"]


def weigh(rule: Rule, arm: Arm, baseline: Arm | None, how: How) -> Weighed:
    """The evidence of *arm*, held against *baseline* where the rule compares."""
    if rule.compares and baseline is None:
        return Weighed(None, "", "there is nothing to compare with")
    other = baseline if rule.compares else None
    shared = prompts(arm, other, tag=rule.tag)
    if not len(shared):
        return Weighed(None, "", _none_shared(shared))
    if other is not None:
        return compared(rule, arm, other, shared, how=how)
    return alone(rule, arm, shared, how)


def _none_shared(shared: Prompts) -> str:
    for why in ("quarantined", "reworded", "unmatched"):
        if getattr(shared, why):
            return f"no prompt is left to look at: {len(getattr(shared, why))} are {why}"
    return "no prompt is left to look at"
