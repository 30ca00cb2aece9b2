"""The trials of a run that somebody asked for: filtered, sorted, a page of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from harness.grade.states import State
from harness.view.seen import Seen

PAGE = 50
UNGRADED = "ungraded"
STATES = (*map(str, State), UNGRADED)
SORTS = {
    "order": ("as they came", "at", False),
    "ttft": ("TTFT, slowest first", "ttft_ms", True),
    "total": ("total time, slowest first", "total_ms", True),
    "score": ("score, lowest first", "score", False),
    "case": ("prompt", "case_id", False),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list of trials is to have; an empty field asks for nothing."""

    state: tuple[str, ...] = ()
    variant: str = ""
    phase: str = ""
    tag: str = ""
    tool: str = ""
    text: str = ""
    sort: str = "order"
    page: int = 1


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of trials, of *found* that were wanted, out of *of*."""

    rows: Sequence[Mapping[str, Any]]
    found: int
    of: int
    page: int
    pages: int


def wanted(query: Mapping[str, Sequence[str]]) -> Wanted:
    """What the parameters of a URL ask for; what they ask for wrongly is left out."""

    def one(name: str) -> str:
        return next(iter(query.get(name, ())), "").strip()

    return Wanted(
        state=tuple(each for each in query.get("state", ()) if each in STATES),
        variant=one("variant"),
        phase=one("phase"),
        tag=one("tag"),
        tool=one("tool"),
        text=one("text"),
        sort=one("sort") if one("sort") in SORTS else "order",
        page=number(one("page")),
    )


def number(written: str) -> int:
    """A number from 1 on that stands in a URL; 1 for what is none."""
    return max(1, int(written)) if written.isascii() and written.isdigit() and len(written) < 9 else 1


def choices(seen: Seen) -> dict[str, list[str]]:
    """What can be filtered by: the variants, phases, tags and tools of the run."""
    trials = seen.scan("trials").select("variant", "phase").unique(maintain_order=True).collect()
    tags = seen.scan("cases").select(pl.col("tags").explode().drop_nulls().unique()).collect()
    tools = seen.scan("tool_calls").select(pl.col("name").drop_nulls().unique()).collect()
    return {
        "variant": trials["variant"].unique(maintain_order=True).to_list(),
        "phase": trials["phase"].unique(maintain_order=True).to_list(),
        "tag": sorted(tags["tags"].to_list()),
        "tool": sorted(tools["name"].to_list()),
    }


def listed(seen: Seen, want: Wanted) -> Listed:
    """The page of trials that is wanted."""
    everything = seen.scan("trials")
    kept = _kept(seen, everything.with_row_index("at"), want)
    if want.sort in {"ttft", "total"}:
        kept = kept.join(_slowest(seen.scan("exchanges")), on="trial_id", how="left")
    _, column, descending = SORTS[want.sort]
    # Only what is sorted by is read of all trials, the rest of a page of them.
    order = kept.select(*dict.fromkeys(("at", "trial_id", column))).sort(
        column, "at", descending=[descending, False], nulls_last=True
    )
    found = order.collect()
    pages = max(1, -(-len(found) // PAGE))
    page = min(want.page, pages)
    ids = found["trial_id"].slice((page - 1) * PAGE, PAGE).to_list()
    of = int(everything.select(pl.len()).collect().item())
    return Listed(_rows(seen, ids), len(found), of, page, pages)


def _kept(seen: Seen, trials: pl.LazyFrame, want: Wanted) -> pl.LazyFrame:
    if want.state:
        states = pl.col("state").is_in([each for each in want.state if each != UNGRADED])
        trials = trials.filter(states | (pl.col("state").is_null() & (UNGRADED in want.state)))
    for name in ("variant", "phase"):
        if asked := getattr(want, name):
            trials = trials.filter(pl.col(name) == asked)
    if want.tag:
        tagged = seen.scan("cases").filter(pl.col("tags").list.contains(want.tag))
        trials = trials.join(tagged.select(_KEY), on=_KEY, how="semi")
    if want.tool:
        calls = seen.scan("tool_calls").filter(pl.col("name") == want.tool).select("exchange_id")
        own = seen.scan("exchanges").select("exchange_id", "trial_id")
        trials = trials.join(own.join(calls, on="exchange_id", how="semi"), on="trial_id", how="semi")
    return _with_text(seen, trials, want.text) if want.text else trials


_KEY = ["case_id", "variant", "phase"]


def _with_text(seen: Seen, trials: pl.LazyFrame, text: str) -> pl.LazyFrame:
    """Those that have *text*, in any case, in an answer, in their reason, or in the id of their prompt."""

    def has(column: str) -> pl.Expr:
        return pl.col(column).fill_null("").str.to_lowercase().str.contains(text.lower(), literal=True)

    said = seen.scan("exchanges").filter(has("answer")).select("trial_id", said=pl.lit(value=True)).unique()
    joined = trials.join(said, on="trial_id", how="left")
    return joined.filter(pl.col("said").fill_null(value=False) | has("case_id") | has("reason")).drop("said")


def _slowest(exchanges: pl.LazyFrame) -> pl.LazyFrame:
    """The times of the slowest turn of each trial, by the last attempt of each."""
    last = pl.col("attempt") == pl.col("attempt").max().over("trial_id", "turn_id")
    columns = ("trial_id", "turn_id", "attempt", "ttft_ms", "total_ms")
    times = exchanges.select(columns).filter(last).group_by("trial_id")
    return times.agg(pl.col("ttft_ms", "total_ms").max())


_SHOWN = 160


def _rows(seen: Seen, ids: list[str]) -> list[dict[str, Any]]:
    """The rows of these trials, in this order."""
    mine = pl.col("trial_id").is_in(ids)
    exchanges = seen.scan("exchanges").filter(mine)
    answers = (
        exchanges.select("trial_id", "attempt", answer=pl.col("answer").str.slice(0, _SHOWN + 1))
        .group_by("trial_id", maintain_order=True)
        .agg(pl.col("answer").last(), sent=pl.len(), again=(pl.col("attempt") > 1).sum())
    )
    own = exchanges.select("exchange_id", "trial_id")
    tools = (
        seen.scan("tool_calls")
        .select("exchange_id", "name")
        .join(own, on="exchange_id")
        .group_by("trial_id")
        .agg(tools=pl.col("name").fill_null("?").unique(maintain_order=True), calls=pl.len())
    )
    rows = seen.scan("trials").filter(mine)
    for other in (_slowest(exchanges), answers, tools):
        rows = rows.join(other, on="trial_id", how="left")
    by_id = {row["trial_id"]: row for row in rows.collect().iter_rows(named=True)}
    return [by_id[each] for each in ids]
