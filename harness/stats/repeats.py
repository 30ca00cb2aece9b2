"""Several tries at the same prompt: the chance that one of k passes, and that all of them do.

Both are unbiased and exact: fractions of binomial coefficients. The plug-in ``(c/n)**k`` is biased upward: of
five tries with a chance of .7 it makes .312 of a true .168.
"""

from fractions import Fraction
from math import comb


def pass_at_k(passes: int, repeats: int, k: int) -> Fraction:
    """The chance that at least one of *k* tries passes (arXiv 2107.03374). Raises `ValueError` for k > n."""
    _check(passes, repeats, k)
    return 1 - Fraction(comb(repeats - passes, k), comb(repeats, k))


def pass_hat_k(passes: int, repeats: int, k: int) -> Fraction:
    """The chance that all of *k* tries pass (arXiv 2406.12045). Raises `ValueError` for k > n."""
    _check(passes, repeats, k)
    return Fraction(comb(passes, k), comb(repeats, k))


def _check(passes: int, repeats: int, k: int) -> None:
    if not 1 <= k <= repeats:
        raise ValueError(f"k is {k}, and there are {repeats} repeats: k shrinks for nobody")
    if not 0 <= passes <= repeats:
        raise ValueError(f"{passes} of {repeats} repeats cannot pass")
