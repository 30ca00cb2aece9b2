"""The tables of runs -> what one arm of a comparison came to, prompt by prompt, as arrays.

An arm is a variant in a phase, of one run or of several that are pooled. Two arms are put beside each other
by prompt: those that both asked in the same words. Only what was measured counts, and of a prompt in
quarantine nothing does. A trial that was not sent because everything was decided by then is not missing;
every other one without a verdict is (DESIGN section 4).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.audit import Word as Effect
from harness.grade.states import State
from harness.result import Fault, Skip
from harness.stats.intervals import n_eff
from harness.stats.paired import Arm as Counts
from harness.stats.ratios import Sample, timed
from harness.suite.metric import AMOUNTS, TIMES, Metric

Scan = Callable[[str], pl.LazyFrame]
"""A table of a run by its name, not read yet."""

_GRADED = (str(State.PASSED), str(State.FAILED))
_OF_EXCHANGES = sorted({*TIMES.values()} - {"duration_ms"})
_PLUMBING = ("chat_session_id", "parent_message_id", "file_descriptors")
"""Settings that are others in every trial."""
_LEAST_BLOCKS, _MOST_BLOCKS = 20, 400


@dataclass(frozen=True, slots=True)
class Source:
    """A run that an arm is taken from, or a part of it."""

    run: str
    scan: Scan = field(repr=False)


@dataclass(frozen=True)
class Arm:
    """One side of a comparison: *variant* in *phase*, in all of *sources*."""

    sources: tuple[Source, ...]
    variant: str
    phase: str

    @property
    def label(self) -> str:
        """What it is called: the variant, and the runs it is of."""
        runs = self.sources[0].run if len(self.sources) == 1 else f"{len(self.sources)} runs"
        return f"{self.variant} of {runs}"

    @cached_property
    def cases(self) -> pl.DataFrame:
        """Its prompts: one row for each and each run, with digests of what was asked and by what graded."""
        columns = ("case_id", "cluster", "tags", "asked", "checks", "quarantined")
        mine = (pl.col("variant") == self.variant) & (pl.col("phase") == self.phase)
        return self._all("cases", lambda frame: frame.filter(mine).select(columns))

    @cached_property
    def trials(self) -> pl.DataFrame:
        """Its measured trials. Those that were not sent since all was decided are none."""
        columns = ("trial_id", "case_id", "repeat", "state", "skip", "score", "due_ns")
        mine = (
            (pl.col("variant") == self.variant)
            & (pl.col("phase") == self.phase)
            & (pl.col("window") == "measured")
            & (pl.col("skip").fill_null("") != str(Skip.DECIDED))
        )
        found = self._all("trials", lambda frame: frame.filter(mine).select(columns))
        digests = self.cases.select("run", "case_id", "asked", "checks")
        return found.join(digests, on=["run", "case_id"], how="left", maintain_order="left")

    @cached_property
    def exchanges(self) -> pl.DataFrame:
        """Its turns, each attempt, with the case and the state of their trials; none of invalid ones."""
        columns = ("trial_id", "exchange_id", "attempt", "counted", "fault", "sent_ns", "ended_ns")
        tokens = ("asked_tokens", "said_tokens", "answer_tokens", "cost_usd")
        mine = self.trials.select(
            "run", "trial_id", "case_id", "repeat", "state", "asked", "checks", "due_ns"
        )
        found = self._all("exchanges", lambda frame: frame.select(*columns, *tokens, *_OF_EXCHANGES))
        joined = mine.join(found, on=["run", "trial_id"], how="inner", maintain_order="left")
        return joined.filter(pl.col("state") != str(State.INVALID))

    @cached_property
    def calls(self) -> pl.DataFrame:
        """Its tool calls, by name, with the case that each belongs to."""
        found = self._all("tool_calls", lambda frame: frame.select("exchange_id", "name", "duration_ms"))
        mine = self.exchanges.select("run", "exchange_id", "trial_id", "case_id", "asked", "checks", "due_ns")
        return mine.join(found, on=["run", "exchange_id"], how="inner")

    @cached_property
    def grades(self) -> pl.DataFrame:
        """What its checks found."""
        columns = ("trial_id", "type", "metric", "passed")
        mine = self.trials.select("run", "trial_id", "case_id", "state", "asked", "checks")
        found = self._all("grades", lambda frame: frame.select(columns))
        return mine.join(found, on=["run", "trial_id"], how="inner")

    @cached_property
    def effects(self) -> dict[str, tuple[frozenset[str], bool]]:
        """For each setting what was asked, and whether any reply shows that it took effect."""
        parts = [
            each.scan("audits")
            .filter(~pl.col("setting").is_in(_PLUMBING))
            .join(each.scan("exchanges").select("exchange_id", "trial_id"), on="exchange_id")
            .join(self.trials.lazy().filter(pl.col("run") == number), on="trial_id", how="semi")
            .select("setting", "asked", "finding")
            .unique()
            for number, each in enumerate(self.sources)
        ]
        told: dict[str, tuple[frozenset[str], bool]] = {}
        for setting, asked, finding in pl.concat(pl.collect_all(parts)).iter_rows():
            before, shown = told.get(setting, (frozenset(), False))
            told[setting] = before | {asked}, shown or finding == str(Effect.TOOK_EFFECT)
        return told

    @property
    def is_open(self) -> bool:
        """Whether its trials fell due by a schedule."""
        return bool(self.trials["due_ns"].is_not_null().any())

    def counts(self) -> dict[str, int]:
        """How many of its trials are in each state."""
        return dict(self.trials["state"].value_counts(sort=True).iter_rows())

    def _all(self, table: str, of: Callable[[pl.LazyFrame], pl.LazyFrame]) -> pl.DataFrame:
        parts = [
            of(source.scan(table)).with_columns(run=pl.lit(number, pl.Int16))
            for number, source in enumerate(self.sources)
        ]
        return pl.concat(pl.collect_all(parts))


@dataclass(frozen=True, slots=True)
class Prompts:
    """The prompts that two arms share, or that one arm has: `case_id` and its `number`, from 0.

    *clusters* has a number for each where the suite names any. Left out are those that were *reworded*
    between the arms, *regraded* by other checks, in *quarantine*, and *unmatched* ones.
    """

    frame: pl.DataFrame
    clusters: NDArray[np.int64] | None
    reworded: tuple[str, ...] = ()
    regraded: tuple[str, ...] = ()
    quarantined: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frame)


def prompts(arm: Arm, other: Arm | None = None, *, tag: str | None = None) -> Prompts:
    """The prompts of *arm*, and of *other* too where there is one, that say the same in both."""
    mine = _latest(arm)
    unmatched: tuple[str, ...] = ()
    reworded: tuple[str, ...] = ()
    regraded: tuple[str, ...] = ()
    if other is not None:
        theirs = _latest(other).select("case_id", other_asked="asked", other_checks="checks")
        alone = mine.join(theirs, on="case_id", how="anti")["case_id"].to_list()
        alone += theirs.join(mine, on="case_id", how="anti")["case_id"].to_list()
        unmatched = tuple(dict.fromkeys(alone))
        mine = mine.join(theirs, on="case_id", how="inner", maintain_order="left")
        other_words = pl.col("asked") != pl.col("other_asked")
        reworded = tuple(mine.filter(other_words)["case_id"])
        mine = mine.filter(~other_words)
        regraded = tuple(mine.filter(pl.col("checks") != pl.col("other_checks"))["case_id"])
    if tag is not None:
        mine = mine.filter(pl.col("tags").list.contains(tag))
    held = tuple(mine.filter(pl.col("quarantined").is_not_null())["case_id"])
    kept = mine.filter(pl.col("quarantined").is_null()).select("case_id", "cluster", "asked", "checks")
    frame = kept.with_row_index("number").with_columns(pl.col("number").cast(pl.Int64))
    return Prompts(frame, _clusters(frame), reworded, regraded, held, unmatched)


def _latest(arm: Arm) -> pl.DataFrame:
    return arm.cases.sort("run", maintain_order=True).unique("case_id", keep="last", maintain_order=True)


def _clusters(frame: pl.DataFrame) -> NDArray[np.int64] | None:
    if frame["cluster"].null_count() == len(frame):
        return None
    named = pl.coalesce("cluster", pl.lit("\0") + pl.col("case_id"))
    return frame.select(number=named.rank("dense").cast(pl.Int64))["number"].to_numpy()


def rates(arm: Arm, of: Metric, shared: Prompts) -> Counts:
    """What each of the *shared* prompts came to by a metric whose values are those of trials."""
    match of.kind:
        case "passes":
            return _counted(
                _of_trials(arm, shared, graded=True), pl.col("state") == str(State.PASSED), shared
            )
        case "score":
            frame = _of_trials(arm, shared, graded=True)
            known = frame.with_columns(is_known=pl.col("is_known") & pl.col("score").is_not_null())
            return _counted(known, pl.col("score"), shared)
        case "state":
            return _counted(_of_states(arm, shared, of.of), pl.col("state") == of.of, shared)
        case "check":
            return _counted(_of_checks(arm, shared, of.of), pl.col("passed"), shared)
        case "within":
            return _counted(_of_replies(arm, shared), _met(of), shared)
        case kind:
            raise ValueError(f"{kind} has no value of a trial")


def passed_pairs(before: Arm, after: Arm, shared: Prompts) -> list[float]:
    """Of each prompt and repeat that was graded in both arms, after less before: 1, 0 or -1.

    Repeat by repeat, and within one in an order that has nothing to do with what they came to.
    """
    graded = [
        _of_trials(arm, shared, graded=True)
        .filter("is_known")
        .select("number", "repeat", passed=(pl.col("state") == str(State.PASSED)).cast(pl.Int8))
        for arm in (before, after)
    ]
    paired = graded[0].join(graded[1], on=["number", "repeat"], suffix="_after")
    mixed = paired.with_columns(place=pl.struct("number", "repeat").hash(1)).sort("repeat", "place")
    return (mixed["passed_after"] - mixed["passed"]).cast(pl.Float64).to_list()


def _counted(frame: pl.DataFrame, value: pl.Expr, shared: Prompts) -> Counts:
    """Sums per prompt of *value*, where `is_known` says that there is one."""
    amount = pl.when("is_known").then(value.cast(pl.Float64)).otherwise(0.0)
    sums = (
        frame.with_columns(amount=amount)
        .group_by("number")
        .agg(
            count=pl.col("is_known").sum(),
            total=pl.col("amount").sum(),
            squares=(pl.col("amount") ** 2).sum(),
            missing=(~pl.col("is_known")).sum(),
        )
    )
    at = sums["number"].to_numpy()
    columns = [np.zeros(len(shared)) for _ in range(4)]
    for column, name in zip(columns, ("count", "total", "squares", "missing"), strict=True):
        column[at] = sums[name].to_numpy()
    return Counts(*columns)


def _mine(frame: pl.DataFrame, shared: Prompts, *, graded: bool) -> pl.DataFrame:
    """The rows of *shared* prompts, with their number; of those asked, or graded, otherwise then, none."""
    on = ["case_id", "asked", "checks"] if graded else ["case_id", "asked"]
    return frame.join(shared.frame.select("number", *on), on=on, how="inner", maintain_order="left")


def _of_trials(arm: Arm, shared: Prompts, *, graded: bool) -> pl.DataFrame:
    frame = _mine(arm.trials, shared, graded=graded)
    return frame.with_columns(is_known=pl.col("state").is_in(_GRADED))


def _of_states(arm: Arm, shared: Prompts, state: str) -> pl.DataFrame:
    known = pl.lit(value=True) if state == State.NOT_RUN else pl.col("state") != str(State.NOT_RUN)
    return _mine(arm.trials, shared, graded=False).with_columns(is_known=known)


def _of_checks(arm: Arm, shared: Prompts, name: str) -> pl.DataFrame:
    """A row for each trial: whether every check of that name, or type, passed."""
    named = (pl.col("metric") == name) | (pl.col("type") == name)
    found = (
        _mine(arm.grades.filter(named), shared, graded=True)
        .group_by("run", "trial_id", "number", "state")
        .agg(passed=pl.col("passed").all(ignore_nulls=False))
    )
    known = pl.col("passed").is_not_null() & (pl.col("state") != str(State.INVALID))
    return found.with_columns(is_known=known)


def _of_replies(arm: Arm, shared: Prompts) -> pl.DataFrame:
    """A row for each turn that was sent; what was never sent is missing."""
    first = arm.exchanges.filter(pl.col("attempt") == 1)
    sent = _mine(first, shared, graded=False).with_columns(is_known=pl.lit(value=True))
    never = _mine(arm.trials.filter(pl.col("state") == str(State.NOT_RUN)), shared, graded=False)
    missing = never.select("number").with_columns(is_known=pl.lit(value=False))
    return pl.concat([sent.filter(pl.col("state") != str(State.NOT_RUN)), missing], how="diagonal")


def _met(of: Metric) -> pl.Expr:
    """Whether a reply came within the limit; one that failed did not."""
    return (pl.col("counted") & (pl.col(of.of) <= of.limit_ms)).fill_null(value=False)


@dataclass(frozen=True, slots=True)
class Values:
    """The values of an arm by prompt number, in order of when they were due; *censored* ones are longer."""

    values: NDArray[np.float64]
    numbers: NDArray[np.int64]
    censored: NDArray[np.bool_]
    due_ns: NDArray[np.int64] | None

    def sample(self, groups: NDArray[Any] | None = None) -> Sample:
        """As a sample whose groups are the prompts, or *groups*."""
        return timed(self.values, self.censored, (self.numbers if groups is None else groups).astype(np.intp))


def values(arm: Arm, of: Metric, shared: Prompts) -> Values:
    """The times, or the amounts, of the *shared* prompts in an arm."""
    frame = _amounts(arm, of, shared) if of.kind == "amount" else _times(arm, of, shared)
    due = frame["due_ns"]
    if due.null_count() == 0 and len(due):
        frame = frame.sort("due_ns")
    return Values(
        frame["value"].to_numpy(),
        frame["number"].to_numpy(),
        frame["censored"].to_numpy(),
        None if due.null_count() or not len(due) else frame["due_ns"].to_numpy(),
    )


def _times(arm: Arm, of: Metric, shared: Prompts) -> pl.DataFrame:
    """A time of every reply that counts; of one that timed out before, that it is longer than it was."""
    no = pl.lit(value=False)
    if of.of == "duration_ms":
        calls = arm.calls if of.tool is None else arm.calls.filter(pl.col("name") == of.tool)
        frame = _mine(calls, shared, graded=False).select(
            "number", "due_ns", value="duration_ms", censored=no
        )
        return frame.filter(pl.col("value").is_not_null())
    was_cut = (pl.col("fault") == str(Fault.TIMED_OUT)).fill_null(value=False)
    timed_out = was_cut & pl.col("sent_ns").is_not_null() & (pl.col("attempt") == 1)
    watched = (pl.col("ended_ns") - pl.col("sent_ns")) / 1e6
    can_be_lost = of.of.removesuffix("_ms") in _CENSORED
    lost = timed_out & pl.col(of.of).is_null() if can_be_lost else no
    frame = _mine(arm.exchanges, shared, graded=False).select(
        "number",
        "due_ns",
        "counted",
        value=pl.when(lost).then(watched).otherwise(pl.col(of.of)),
        censored=lost,
        timed_out=timed_out,
    )
    kept = (pl.col("counted") | (pl.col("timed_out") & can_be_lost)) & pl.col("value").is_not_null()
    return frame.filter(kept)


_CENSORED = {"ttft", "first_packet", "answer", "total"}
"""What every reply comes to if one waits: not reasoning or a tool, which it may do without."""


def _amounts(arm: Arm, of: Metric, shared: Prompts) -> pl.DataFrame:
    """The sum of each trial that came to an end. None of one of which a part is not known."""
    whole = arm.exchanges.filter(pl.col("state").is_in(_GRADED))
    if of.of == AMOUNTS["tool_calls"]:
        counted = arm.calls.group_by("run", "trial_id").agg(value=pl.len().cast(pl.Float64))
        trials = whole.unique(["run", "trial_id"], maintain_order=True)
        sums = trials.join(counted, on=["run", "trial_id"], how="left").with_columns(
            pl.col("value").fill_null(0.0)
        )
    else:
        part = pl.col("asked_tokens") + pl.col("said_tokens") if of.of == "tokens" else pl.col(of.of)
        sums = (
            whole.group_by("run", "trial_id", "case_id", "asked", "checks", maintain_order=True)
            .agg(
                value=pl.when(part.is_not_null().all()).then(part.sum().cast(pl.Float64)),
                due_ns=pl.col("due_ns").first(),
            )
            .filter(pl.col("value").is_not_null())
        )
    frame = _mine(sums, shared, graded=False)
    return frame.select("number", "due_ns", "value", censored=pl.lit(value=False))


def blocks(arms: Sequence[Values], per_mille: int) -> list[NDArray[np.intp]] | None:
    """Stretches of time, the same ones for all *arms*, long enough to have little to do with each other.

    For a load, whose replies depend on those around them: each block holds twice as many arrivals as it
    takes to forget (`stats.intervals.n_eff`). None where that leaves fewer than 20.
    """
    count = float(_MOST_BLOCKS)
    for arm in arms:
        worth = n_eff(arm.values.tolist(), per_mille)
        if arm.due_ns is None or worth is None:
            return None
        count = min(count, worth / 2)
    if count < _LEAST_BLOCKS:
        return None
    first = min(int(arm.due_ns[0]) for arm in arms if arm.due_ns is not None)
    last = max(int(arm.due_ns[-1]) for arm in arms if arm.due_ns is not None)
    span = (last - first + 1) / int(count)
    return [((arm.due_ns - first) // span).astype(np.intp) for arm in arms if arm.due_ns is not None]
