"""Is a share above a limit, or below it? Evidence that may be looked at after every try.

Who bets on every share above the limit at once, evenly, multiplies a capital of 1 by the mixture of their
likelihood ratios. As long as the chance of each try, given those before it, is not above the limit, that is a
fair game or a losing one: the capital ever comes to 1/alpha with the chance alpha at most (Robbins 1970;
Ville 1939), however often it is looked at. The mixture over a part of [0, 1] has a closed form, of two
incomplete beta functions, so a look costs the same after ten tries and after ten million.

`harness.stats.betting` plays the same game for means of any values, in time that grows with their number, and
with stakes that come from what was seen; for counts the mixture decides with fewer tries.
"""

from math import inf, lgamma, log, log1p
from typing import NamedTuple

from harness.stats.repeats import beta_cdf


class Evidence(NamedTuple):
    """The logarithms of the capital of who bet on a share *above* the limit, and on one *below* it."""

    above: float
    below: float


def evidence(hits: float, n: float, limit: float) -> Evidence:
    """What *hits* of *n* tries say of the share and its *limit*, strictly between 0 and 1.

    Tries that depend on each other may be counted as the fewer that they are worth: both need not be whole.
    """
    misses = n - hits
    of_limit = hits * log(limit) + misses * log1p(-limit)
    whole = lgamma(hits + 1) + lgamma(misses + 1) - lgamma(n + 2) - of_limit
    low = beta_cdf(limit, hits + 1, misses + 1)
    return Evidence(
        above=whole + _log(1 - low) - log1p(-limit),
        below=whole + _log(low) - log(limit),
    )


def _log(value: float) -> float:
    return log(value) if value > 0 else -inf
