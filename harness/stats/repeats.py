"""Repeats of a prompt."""

from fractions import Fraction
from math import comb


def pass_at_k(passes: int, repeats: int, k: int) -> Fraction:
    """The chance that one of *k* repeats passes."""
    return 1 - Fraction(comb(repeats - passes, k), comb(repeats, k))


def pass_hat_k(passes: int, repeats: int, k: int) -> Fraction:
    """The chance that all of *k* repeats pass."""
    return Fraction(comb(passes, k), comb(repeats, k))
