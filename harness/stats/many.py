"""Many tests at once: what is left of each p-value.

Holm keeps the chance of *any* false alarm within alpha: for the rules of a gate. Benjamini and Hochberg keep
the *share* of false ones among those found: for a list of prompts that moved, of which a few may be wrong.
"""

from collections.abc import Sequence


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p-values by Holm's step-down, in the order given: reject where they are at most alpha."""
    adjusted, so_far = [0.0] * len(p), 0.0
    for rank, at in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        so_far = max(so_far, min(1.0, (len(p) - rank) * p[at]))
        adjusted[at] = so_far
    return adjusted


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Adjusted p-values (q-values) by Benjamini and Hochberg 1995, for tests that do not depend badly."""
    adjusted, so_far = [0.0] * len(p), 1.0
    for rank, at in reversed(list(enumerate(sorted(range(len(p)), key=p.__getitem__), 1))):
        so_far = min(so_far, len(p) / rank * p[at])
        adjusted[at] = so_far
    return adjusted
