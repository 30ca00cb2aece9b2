"""Pass rates: by prompt, by tag, and what each variant came to."""

from collections.abc import Iterator, Sequence

import polars as pl

from harness.compare.arms import Scan
from harness.grade.states import State
from harness.report.figures.crowd import nearest_rank
from harness.report.figures.times import SERIES, named
from harness.stats.repeats import Tries, wilson, worth

STATES = tuple(map(str, State))
_INTERVAL = {"pass_rate": pl.Float64, "low": pl.Float64, "high": pl.Float64}


def by_prompt(scan: Scan) -> pl.DataFrame:
    """The repeats of each prompt: `case_id`, `phase`, `variant`, `tags`, a count for each state, the rate.

    `pass_rate` is over those that passed or failed, null where none did, with Wilson's 95 % interval, `low`
    to `high`, for asking the same again. `quarantined` ones decide nothing. `asked` and `checks` are digests:
    prompts that have the same were asked and graded alike.
    """
    cases = (
        scan("cases").select("case_id", *SERIES, "tags", *STATES, "quarantined", "asked", "checks").collect()
    )
    tries = ([Tries(row["passed"], row["passed"] + row["failed"])] for row in cases.iter_rows(named=True))
    return cases.hstack(pl.DataFrame([*map(_rated, tries)], schema=_INTERVAL, orient="row"))


def by_tag(scan: Scan) -> pl.DataFrame:
    """The same by tag: `tag`, `phase`, `variant`, `prompts`, a count for each state, and the rate.

    A prompt of several tags is in each. The interval is Wilson's at what the repeats of these prompts are
    worth together, which is less than there are where a prompt's repeats are alike.
    """
    cases = scan("cases").select("tags", *SERIES, *STATES).collect()
    exploded = cases.explode("tags").filter(pl.col("tags").is_not_null()).rename({"tags": "tag"})
    parts = exploded.partition_by("tag", *SERIES, maintain_order=True, as_dict=True)
    rows = [(*key, *_of_tag(part)) for key, part in parts.items()]
    counts = dict.fromkeys(("prompts", *STATES), pl.Int64)
    texts = dict.fromkeys(("tag", *SERIES), pl.String)
    return pl.DataFrame(rows, schema={**texts, **counts, **_INTERVAL}, orient="row")


def _of_tag(cases: pl.DataFrame) -> Iterator[float | None]:
    yield len(cases)
    yield from (int(cases[state].sum()) for state in STATES)
    judged = cases.select("passed", "failed").iter_rows()
    yield from _rated([Tries(passed, passed + failed) for passed, failed in judged])


def _rated(tries: Sequence[Tries]) -> tuple[float | None, float | None, float | None]:
    known = [each for each in tries if each.repeats]
    trials = sum(each.repeats for each in known)
    if not trials:
        return None, None, None
    rate = sum(each.passes for each in known) / trials
    return rate, *wilson(rate, _independent(known, trials))


def _independent(known: Sequence[Tries], trials: int) -> float:
    """How many independent trials these are worth; where that cannot be told, the number of the prompts."""
    if len(known) == 1:
        return trials
    value = worth(known)
    return min(value.n, trials) if value else len(known)


def variants(scan: Scan) -> pl.DataFrame:
    """What each variant came to in each phase: trials by state, the pass rate, and quantiles with their n.

    Times are of the exchanges that count. Tokens, cost and retries are of all that were sent, and null where
    no exchange has any.
    """
    trials = scan("trials").join(named(scan).select("trial_id", "order"), on="trial_id")
    states = {state: (pl.col("state") == state).sum() for state in STATES}
    judged = pl.col("passed") + pl.col("failed")
    came = trials.group_by("order", *SERIES).agg(pl.len().alias("trials"), **states)
    rate = pl.when(judged > 0).then(pl.col("passed") / judged)
    sent = scan("exchanges").join(named(scan), on="trial_id").group_by(*SERIES).agg(*_of_exchanges())
    whole = came.with_columns(pass_rate=rate).join(sent, on=SERIES, how="left").sort("order").drop("order")
    return whole.collect()


def _of_exchanges() -> Iterator[pl.Expr]:
    yield pl.len().alias("exchanges")
    yield pl.col("counted").sum().alias("counted")
    yield (pl.col("attempt") > 1).sum().alias("retried")
    yield pl.col("fault").count().alias("faults")
    for name in ("asked_tokens", "said_tokens", "cost_usd"):
        yield pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).alias(name)
    for name, unit in _TIMES.items():
        known = pl.col(f"{name}_{unit}").filter("counted")
        yield known.count().alias(f"{name}_n")
        for level in (500, 950, 990):
            yield nearest_rank(known, level).alias(f"{name}_p{level // 10}_{unit}")


_TIMES = {
    "ttft": "ms",
    "total": "ms",
    "response_ttft": "ms",
    "response_total": "ms",
    "longest_gap": "ms",
    "tokens": "per_s",
}
