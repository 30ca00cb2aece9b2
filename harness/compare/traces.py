"""Where two arms first go different ways: the tool, its arguments, the documents it found, or the answer.

Replies are paired by prompt, repeat and turn, and their tool calls held against each other in order. The
first difference is the one that may have caused the others. How often the repeats of one and the same arm
part there, too, says what of it is mere chance.
"""

from collections.abc import Iterator
from typing import Literal

import polars as pl
from msgspec import Struct

from harness.compare.arms import Arm, Prompts, Source

Kind = Literal["broken", "tool", "arguments", "documents", "answer", "none"]

_LISTED = 20


class Divergence(Struct, frozen=True):
    """A place where *count* of *of* pairs first part, in *share* of them; *case_id* is one of the prompts.

    *usual* is the share of pairs of repeats of the arm before that part there; None of single repeats.
    """

    kind: Kind
    what: str
    count: int
    of: int
    share: float
    usual: float | None
    case_id: str


def divergences(before: Arm, after: Arm, shared: Prompts) -> list[Divergence]:
    """Where the pairs of both arms first part, the most frequent place first; ``none`` is where they do not.

    Of an arm of several runs the last is looked at.
    """
    was, now = _replies(before, shared), _replies(after, shared)
    pairs = was.join(now, on=["case_id", "repeat", "turn_id"], suffix="_after")
    if pairs.is_empty():
        return []
    calls = _calls(before.sources[-1], was), _calls(after.sources[-1], now)
    found = _first(pairs, *calls)
    some = was.filter(pl.col("case_id").is_in(was["case_id"].unique().head(_USUAL).implode()))
    shifted = some.with_columns(repeat=pl.col("repeat") - 1)
    own = some.join(shifted, on=["case_id", "repeat", "turn_id"], suffix="_after")
    usual = None if own.is_empty() else _shares(_first(own, calls[0], calls[0]))
    return list(_told(found, usual))


_USUAL = 5_000
"""Prompts by whose repeats it is told what is usual: of more the shares would hardly be others."""


def _told(found: pl.DataFrame, usual: dict[tuple[str, str], float] | None) -> Iterator[Divergence]:
    groups = (
        found.group_by("kind", "what", maintain_order=True)
        .agg(count=pl.len(), case_id=pl.col("case_id").min())
        .sort("count", descending=True, maintain_order=True)
    )
    for kind, what, count, case_id in groups.head(_LISTED).iter_rows():
        share = None if usual is None else usual.get((kind, what), 0.0)
        yield Divergence(kind, what, count, len(found), count / len(found), share, case_id)


def _shares(found: pl.DataFrame) -> dict[tuple[str, str], float]:
    counts = found.group_by("kind", "what").agg(count=pl.len())
    return {(kind, what): count / len(found) for kind, what, count in counts.iter_rows()}


def _replies(arm: Arm, shared: Prompts) -> pl.DataFrame:
    """The last attempt of each turn, with a digest of its answer."""
    last = len(arm.sources) - 1
    trials = arm.trials.filter(pl.col("run") == last).select("trial_id", "case_id", "repeat", "state")
    trials = trials.filter(~pl.col("state").is_in(["invalid", "not_run"])).join(
        shared.frame, on="case_id", how="semi"
    )
    columns = ("exchange_id", "trial_id", "turn_id", "attempt", "fault", "answer")
    replies = (
        arm.sources[last]
        .scan("exchanges")
        .select(columns)
        .with_columns(pl.col("answer").hash())
        .join(trials.lazy(), on="trial_id")
        .filter(pl.col("attempt") == pl.col("attempt").max().over("trial_id", "turn_id"))
    )
    columns = ("exchange_id", "case_id", "repeat", "turn_id", "fault", "answer")
    return replies.select(columns).collect().with_row_index("reply")


def _calls(source: Source, replies: pl.DataFrame) -> pl.DataFrame:
    """The tool calls of *replies*, numbered within each, with digests of what went in and came out."""
    calls = source.scan("tool_calls").select(
        "exchange_id", "name", arguments=pl.col("arguments").hash(), documents=pl.col("result").hash()
    )
    own = calls.join(replies.lazy().select("exchange_id", "reply"), on="exchange_id", maintain_order="left")
    return own.drop("exchange_id").with_columns(step=pl.int_range(pl.len()).over("reply")).collect()


def _first(pairs: pl.DataFrame, before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """For each pair the kind of its first difference and where it is."""
    pairs = pairs.with_row_index("pair")
    was = pairs.select("pair", "reply").join(before, on="reply").drop("reply")
    now = pairs.select("pair", reply="reply_after").join(after, on="reply").drop("reply")
    steps = was.join(now, on=["pair", "step"], how="full", suffix="_after", coalesce=True)
    parting = (
        steps.with_columns(kind=_kind_of_step())
        .filter(pl.col("kind").is_not_null())
        .filter(pl.col("step") == pl.col("step").min().over("pair"))
        .select("pair", "kind", what=_place())
    )
    fault = pl.coalesce("fault_after", "fault")
    joined = pairs.join(parting, on="pair", how="left", maintain_order="left")
    differs = pl.col("answer").ne_missing(pl.col("answer_after"))
    return joined.select(
        "case_id",
        kind=pl.when(fault.is_not_null())
        .then(pl.lit("broken"))
        .otherwise(pl.coalesce("kind", pl.when(differs).then(pl.lit("answer")).otherwise(pl.lit("none")))),
        what=pl.when(fault.is_not_null()).then(fault).otherwise(pl.col("what").fill_null("")),
    )


def _kind_of_step() -> pl.Expr:
    return (
        pl.when(pl.col("name").ne_missing(pl.col("name_after")))
        .then(pl.lit("tool"))
        .when(pl.col("arguments").ne_missing(pl.col("arguments_after")))
        .then(pl.lit("arguments"))
        .when(pl.col("documents").ne_missing(pl.col("documents_after")))
        .then(pl.lit("documents"))
    )


def _place() -> pl.Expr:
    """Which call it is, and of which tool; both tools where they differ."""
    nothing = pl.lit("no call")
    one, other = pl.col("name").fill_null(nothing), pl.col("name_after").fill_null(nothing)
    tool = pl.when(one == other).then(one).otherwise(pl.format("{} → {}", one, other))
    return pl.format("call {}: {}", pl.col("step") + 1, tool)
