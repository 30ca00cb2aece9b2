"""Does a plan take more than may be spent without a word? Then somebody is asked before anything is sent.

What it takes is forecast by the last run of its suite (`harness.decide.forecast`). What is not known is no
reason to ask, and is said. A judge's own replies are in no forecast.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from harness.decide.forecast import Forecast
from harness.errors import UsageError
from harness.plan.trials import Plan
from harness.suite.literals import count
from harness.suite.model import Budget, Suite

TOKENS = 1_000_000
USD = 10.0
"""Where a suite says nothing: a million tokens, and the 10 USD that they cost of a large model."""

_AMOUNT = re.compile(r"(\d[\d.]*[kM]?) ?(tokens|usd)", re.ASCII | re.IGNORECASE)


class Limits(NamedTuple):
    """What may be spent without asking; None for any amount."""

    tokens: float | None = None
    usd: float | None = None


def limits_of(budget: Budget, written: Iterable[str]) -> Limits:
    """What is *written* (``2M tokens``, ``5 usd``), else what the budget allows, else what we think of.

    Who names one of tokens and money has thought of what it may cost: the other is then not limited. Raises
    `UsageError` for what is no amount.
    """
    asked = dict(map(_amount, written))
    if asked:
        return Limits(**asked)
    if budget.tokens is not None or budget.usd is not None:
        return Limits(budget.tokens, budget.usd)
    return Limits(TOKENS, USD)


def _amount(written: str) -> tuple[str, float]:
    match = _AMOUNT.fullmatch(written.strip())
    try:
        number, unit = (match[1], match[2].lower()) if match else ("", "")
        return unit, float(number) if unit == "usd" else count(number)
    except ValueError:
        told = "an amount is written as '2M tokens' or '5 usd'"
        raise UsageError(f"--ask-above {written}: {told}") from None


def is_free(suite: Suite, target: str | None) -> bool:
    """Whether our own stand-in is asked, which costs nothing unless it has real models behind it."""
    own = suite.target
    is_ours = target == "standin" or (target is None and own.base_url is None)
    return is_ours and not (own.standin and own.standin.providers)


def beyond(plan: Plan, told: Forecast, limits: Limits, *, search: str = "") -> str:
    """What *plan* takes, and which limits that is above; empty where it is above none.

    *search* says what is told of instead, of which *plan* is the first probe, and which takes at most that.
    """
    over = list(_over(plan, told, limits))
    if not over:
        return ""
    about = "at most about" if plan.choice.pairs else "about"  # what is confirmed stops once that is sure
    what = f"{search} takes at most about" if search else f"{told.trials:,} trials take {about}"
    takes = [f"{told.tokens:,.0f} tokens"] if told.tokens is not None else []
    takes += [f"{told.usd:,.2f} USD"] if told.usd is not None else []
    takes += [f"{told.deep_research:,} deep-research runs"] if told.deep_research else []
    by = f", as a trial took in {told.by}" if told.by is not None else ""
    sentences = "".join(f"; {sentence}" for sentence in told.cut)
    return f"{what} {', '.join(takes)}{by}: more than {', '.join(over)}{sentences}"


def _over(plan: Plan, told: Forecast, limits: Limits) -> Iterator[str]:
    if told.tokens is not None and limits.tokens is not None and told.tokens > limits.tokens:
        yield f"{limits.tokens:,.0f} tokens"
    if told.usd is not None and limits.usd is not None and told.usd > limits.usd:
        yield f"{limits.usd:,.2f} USD"
    allowed = plan.suite.budget.deep_research
    if allowed is not None and told.deep_research > allowed:
        yield f"{allowed:,} deep-research runs"


def not_known(plan: Plan, told: Forecast, limits: Limits, *, search: str = "") -> str:
    """Why it is not known whether *plan* is above any of its *limits*; empty where it is known of one.

    *search* is what *plan* is the first probe of.
    """
    sides = ((told.tokens, limits.tokens, "tokens"), (told.usd, limits.usd, "money"))
    if any(value is not None for value, limit, _ in sides if limit is not None):
        return ""
    what = " and ".join(name for _, limit, name in sides if limit is not None)
    if told.by is None:
        why = "before a first run of the suite"
    elif plan.cycles:
        why = "of a load that lasts for a time"
    else:
        why = f"of {search}" if search and not told.trials else f"by {told.by}"
    asked = "it is sent without asking, and a budget would bound it"
    return f"what this takes in {what} is not known {why}: {asked}"
