"""Who is asked before much is spent: above which limit, of what is known, and never for our own stand-in."""

from pathlib import Path
from typing import Any

import pytest

from harness.decide.forecast import Forecast, search_takes
from harness.decide.spending import TOKENS, USD, Limits, beyond, is_free, limits_of, not_known
from harness.errors import UsageError
from harness.plan.trials import Choice, make_plan
from harness.suite.model import Budget, Suite
from harness.suite.read import parse_suite

RUN = "20261101T000000Z-0001"


def suite(more: str = "", target: str = "{base_url: 'https://sigma.example.com'}") -> Suite:
    return parse_suite(f"target: {target}\nprompts: [{{id: q, message: hi}}]\n{more}\n", Path("s.yaml"), {})


def told(**known: Any) -> Forecast:
    fields: dict[str, Any] = {"trials": 1000, "by": RUN, "tokens": None, "usd": None, "minutes": None}
    return Forecast(**(fields | {"deep_research": 0} | known))


@pytest.mark.parametrize(
    ("budget", "written", "limits"),
    [
        (Budget(), [], Limits(TOKENS, USD)),
        (Budget(tokens=5_000_000), [], Limits(5_000_000, None)),
        (Budget(usd=2.5), [], Limits(None, 2.5)),
        (Budget(minutes=3), [], Limits(TOKENS, USD)),
        (Budget(usd=2.5), ["2M tokens"], Limits(2_000_000, None)),
        (Budget(), ["5 usd", "20k tokens"], Limits(20_000, 5.0)),
        (Budget(), ["0.5USD"], Limits(None, 0.5)),
    ],
)
def test_the_command_line_goes_before_the_budget_and_that_before_what_we_think_of(
    budget: Budget, written: list[str], limits: Limits
) -> None:
    assert limits_of(budget, written) == limits


@pytest.mark.parametrize(
    "written", ["5", "usd 5", "much", "5k usd", "1.2.3 usd", "1.00001k tokens", "-1 usd"]
)
def test_what_is_no_amount_is_refused_with_how_one_is_written(written: str) -> None:
    with pytest.raises(UsageError, match="'2M tokens' or '5 usd'"):
        limits_of(Budget(), [written])


def asked(forecast: Forecast, *, more: str = "", written: tuple[str, ...] = ()) -> str:
    of = suite(more)
    return beyond(make_plan(of), forecast, limits_of(of.budget, written))


def test_what_is_above_a_limit_is_asked_with_its_figures_and_where_they_are_from() -> None:
    question = asked(told(tokens=1_000_001.0, usd=3.5))
    for words in (
        "1,000 trials take about",
        "1,000,001 tokens",
        "3.50 USD",
        RUN,
        "more than 1,000,000 tokens",
    ):
        assert words in question
    assert "10.00 USD" in asked(told(tokens=5.0, usd=10.01))
    assert asked(told(tokens=1_000_000.0, usd=10.0)) == ""


def test_a_budget_that_allows_it_is_an_answer_already() -> None:
    assert asked(told(tokens=4e6), more="budget: {tokens: 5M}") == ""
    above = told(tokens=6e6, cut=("the budget of 5M tokens ends it after about 833 of 1000 trials",))
    assert "ends it after about 833" in asked(above, more="budget: {tokens: 5M}")


def test_deep_research_is_asked_about_by_number() -> None:
    question = asked(told(deep_research=9), more="budget: {deep_research: 8}")
    assert "9 deep-research runs" in question
    assert "more than 8 deep-research runs" in question
    assert asked(told(deep_research=8), more="budget: {deep_research: 8}") == ""


def test_what_is_confirmed_takes_at_most_that() -> None:
    plan = make_plan(suite(), Choice(pairs=(("q", "default"),)))
    assert "take at most about" in beyond(plan, told(tokens=2e6), Limits(1e6))


def test_what_is_not_known_is_said_and_not_made_up() -> None:
    plan, limits = make_plan(suite()), Limits(TOKENS, USD)
    unknown = told(by=None)
    assert beyond(plan, unknown, limits) == ""
    assert "before a first run of the suite" in not_known(plan, unknown, limits)
    timed = make_plan(suite("load: {workers: 2, for: 5s}"))
    assert "lasts for a time" in not_known(timed, told(), limits)
    assert "in money is not known" in not_known(plan, told(tokens=5.0), Limits(None, 5.0))
    assert not_known(plan, told(tokens=5.0), limits) == ""


def test_a_search_takes_at_most_what_its_trials_do_or_what_its_budget_allows(tmp_path: Path) -> None:
    whole = make_plan(suite())
    assert search_takes(whole, None, tmp_path, "s").tokens is None
    assert search_takes(whole, 500, tmp_path, "s").tokens is None
    bound = search_takes(make_plan(suite("budget: {tokens: 5M}")), None, tmp_path, "s")
    assert (bound.tokens, bound.usd, bound.by) == (5e6, None, None)
    question = beyond(whole, bound, Limits(2e6), search="a search without --max")
    assert (
        question == "a search without --max takes at most about 5,000,000 tokens: more than 2,000,000 tokens"
    )


def test_why_it_is_not_known_what_a_search_takes_is_said() -> None:
    plan, limits, search = make_plan(suite()), Limits(TOKENS, USD), "a search without --max"
    assert "not known of a search without --max: " in not_known(plan, told(trials=0), limits, search=search)
    assert f"not known by {RUN}" in not_known(plan, told(), limits, search="a search up to 4/s")
    assert "before a first run" in not_known(plan, told(trials=0, by=None), limits, search=search)


@pytest.mark.parametrize(
    ("own", "target", "free"),
    [
        ("standin", None, True),
        ("standin", "https://sigma.example.com", False),
        ("{base_url: 'https://sigma.example.com'}", None, False),
        ("{base_url: 'https://sigma.example.com'}", "standin", True),
        (
            "{standin: {providers: {P: {base_url: 'https://models.example.com/v1', models: [m]}}}}",
            None,
            False,
        ),
    ],
)
def test_only_the_stand_in_without_real_models_is_free(own: str, target: str | None, free: bool) -> None:
    assert is_free(suite(target=own), target) is free
