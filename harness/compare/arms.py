"""The tables of runs -> what one arm of a comparison came to, prompt by prompt, as arrays.

An arm is a variant in a phase, of one run or of several that are pooled. Two arms are put beside each other
by prompt: those that both asked in the same words. Only what was measured counts, and of a prompt in
quarantine nothing does. A trial that was not sent because everything was decided by then is not missing;
every other one without a verdict is (DESIGN section 4).
"""

from collections.abc import Callable, Mapping, Sequence
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
from harness.stats.judges import Corrected
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
    """A run that an arm is taken from, or a part of it.

    *judged* has, of a check and a variant, the pass rate with the judge's mistakes taken out, where people
    labelled some of what it judged.
    """

    run: str
    scan: Scan = field(repr=False)
    judged: Callable[[], Mapping[tuple[str, str], Corrected]] = field(default=dict, repr=False)


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
        """Its prompts: one row for each and each run, with digests of what was asked and by what graded.

        Everything else names a prompt by the `code` of its row here: a million names are dear to compare.
        """
        columns = ("case_id", "cluster", "tags", "asked", "checks", "quarantined")
        mine = (pl.col("variant") == self.variant) & (pl.col("phase") == self.phase)
        return self._all("cases", lambda frame: frame.filter(mine).select(columns)).with_row_index("code")

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
        codes = self.cases.select("run", "case_id", "code")
        return found.join(codes, on=self._within("case_id"), how="inner", maintain_order="left")

    @cached_property
    def exchanges(self) -> pl.DataFrame:
        """Its turns, each attempt, with the case and the state of their trials; none of invalid ones."""
        columns = ("trial_id", "exchange_id", "turn_id", "attempt", "counted", "fault", "sent_ns", "ended_ns")
        tokens = ("asked_tokens", "said_tokens", "answer_tokens", "cost_usd")
        sent = self.trials.with_row_index("trial").filter(pl.col("state") != str(State.INVALID))
        mine = sent.select("run", "trial_id", "trial", "code", "state", "due_ns")
        found = self._all("exchanges", lambda frame: frame.select(*columns, *tokens, *_OF_EXCHANGES))
        return mine.join(found, on=self._within("trial_id"), how="inner", maintain_order="left")

    @cached_property
    def calls(self) -> pl.DataFrame:
        """Its tool calls, by name, with the case that each belongs to."""
        found = self._all("tool_calls", lambda frame: frame.select("exchange_id", "name", "duration_ms"))
        mine = self.exchanges.select("run", "exchange_id", "trial", "code", "due_ns")
        return mine.join(found, on=self._within("exchange_id"), how="inner").drop("exchange_id")

    @cached_property
    def grades(self) -> pl.DataFrame:
        """What its checks found."""
        columns = ("trial_id", "type", "metric", "passed")
        mine = self.trials.select("run", "trial_id", "code", "state")
        found = self._all("grades", lambda frame: frame.select(columns))
        return mine.join(found, on=self._within("trial_id"), how="inner")

    def _within(self, key: str) -> list[str]:
        """What tells the rows of all its runs apart: ids are the same in two runs of the same trials."""
        return [key] if len(self.sources) == 1 else ["run", key]

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

    @cached_property
    def has_turns(self) -> bool:
        """Whether some prompt has several turns."""
        return self.exchanges["turn_id"].n_unique() > 1

    @property
    def is_open(self) -> bool:
        """Whether its trials fell due by a schedule."""
        return bool(self.trials["due_ns"].is_not_null().any())

    def corrected(self, check: str) -> Corrected | None:
        """The pass rate of a judged check without the judge's mistakes; None where nobody labelled any."""
        return self.sources[0].judged().get((check, self.variant)) if len(self.sources) == 1 else None

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
    passed = (pl.col("state") == str(State.PASSED)).cast(pl.Float64)
    graded = pl.col("state").is_in(_GRADED)
    trials = arm.trials.lazy()
    match of.kind:
        case "passes":
            return _counted(arm, trials.select("code", known=graded, value=passed), shared, graded=True)
        case "score":
            known = graded & pl.col("score").is_not_null()
            return _counted(arm, trials.select("code", known=known, value="score"), shared, graded=True)
        case "state":
            return _counted(arm, _of_states(trials, of.of), shared, graded=False)
        case "check":
            return _counted(arm, _of_checks(arm, of.of), shared, graded=True)
        case "within":
            return _counted(arm, _of_replies(arm, of), shared, graded=False)
        case kind:
            raise ValueError(f"{kind} has no value of a trial")


def passed_pairs(before: Arm, after: Arm, shared: Prompts) -> list[float]:
    """Of each prompt and repeat that was graded in both arms, after less before: 1, 0 or -1.

    Repeat by repeat, and within one in an order that has nothing to do with what they came to.
    """
    graded = [
        _numbered(
            arm,
            arm.trials.filter(pl.col("state").is_in(_GRADED)).select(
                "code", "repeat", passed=(pl.col("state") == str(State.PASSED)).cast(pl.Int8)
            ),
            shared,
            graded=True,
        )
        for arm in (before, after)
    ]
    paired = graded[0].join(graded[1], on=["number", "repeat"], suffix="_after")
    mixed = paired.with_columns(place=pl.struct("number", "repeat").hash(1)).sort("repeat", "place")
    return (mixed["passed_after"] - mixed["passed"]).cast(pl.Float64).to_list()


def _counted(arm: Arm, rows: pl.LazyFrame, shared: Prompts, *, graded: bool) -> Counts:
    """Sums per prompt of `value`, where it is `known`."""
    frame = _numbered(arm, rows.collect(), shared, graded=graded)
    at, m = frame["number"].to_numpy(), len(shared)
    known: NDArray[np.float64] = frame["known"].to_numpy().astype(float)
    value = np.where(known > 0, frame["value"].cast(pl.Float64).fill_null(0.0).to_numpy(), 0.0)
    columns = (known, value, value * value, 1 - known)
    return Counts(*(np.bincount(at, each, m).astype(float) for each in columns))


def _numbered(arm: Arm, frame: pl.DataFrame, shared: Prompts, *, graded: bool) -> pl.DataFrame:
    """The rows of *shared* prompts, with their number; of those asked, or graded, otherwise then, none."""
    on = ["case_id", "asked", "checks"] if graded else ["case_id", "asked"]
    codes = arm.cases.select("code", *on).join(shared.frame.select("number", *on), on=on)
    numbers = np.full(len(arm.cases), -1)
    numbers[codes["code"].to_numpy()] = codes["number"].to_numpy()
    found = frame.with_columns(number=pl.Series(numbers[frame["code"].to_numpy()]))
    return found if len(codes) == len(arm.cases) else found.filter(pl.col("number") >= 0)


def _of_states(trials: pl.LazyFrame, state: str) -> pl.LazyFrame:
    known = pl.lit(value=True) if state == State.NOT_RUN else pl.col("state") != str(State.NOT_RUN)
    return trials.select("code", known=known, value=(pl.col("state") == state).cast(pl.Float64))


def _of_checks(arm: Arm, name: str) -> pl.LazyFrame:
    """A row for each trial: whether every check of that name, or type, passed."""
    named = (pl.col("metric") == name) | (pl.col("type") == name)
    found = arm.grades.lazy().filter(named).group_by("run", "trial_id", "code", "state", maintain_order=True)
    value = found.agg(value=pl.col("passed").all(ignore_nulls=False).cast(pl.Float64))
    known = pl.col("value").is_not_null() & (pl.col("state") != str(State.INVALID))
    return value.select("code", "value", known=known)


def _of_replies(arm: Arm, of: Metric) -> pl.LazyFrame:
    """A row for each turn that was sent, and whether it came within the limit; one that failed did not.

    What was never sent is missing.
    """
    met = (pl.col("counted") & (pl.col(of.of) <= of.limit_ms)).fill_null(value=False)
    asked = arm.exchanges.lazy().filter(pl.col("attempt") == 1, pl.col("state") != str(State.NOT_RUN))
    sent = asked.select("code", known=pl.lit(value=True), value=met.cast(pl.Float64))
    never = arm.trials.lazy().filter(pl.col("state") == str(State.NOT_RUN))
    return pl.concat([sent, never.select("code", known=pl.lit(value=False), value=pl.lit(0.0))])


@dataclass(frozen=True, slots=True)
class Values:
    """The values of an arm by prompt number, in order of when they were due; *censored* ones are longer.

    *turns* has, where some prompt has several turns, a number for each prompt and turn, the same in each arm.
    """

    values: NDArray[np.float64]
    numbers: NDArray[np.int64]
    censored: NDArray[np.bool_]
    due_ns: NDArray[np.int64] | None
    turns: NDArray[np.uint64] | None = None

    def sample(self, groups: NDArray[Any] | None = None) -> Sample:
        """As a sample whose groups are the prompts, or *groups*."""
        return timed(self.values, self.censored, (self.numbers if groups is None else groups).astype(np.intp))

    def only(self, kept: NDArray[np.bool_]) -> "Values":
        """Those that are *kept*."""
        due = None if self.due_ns is None else self.due_ns[kept]
        turns = None if self.turns is None else self.turns[kept]
        return Values(self.values[kept], self.numbers[kept], self.censored[kept], due, turns)


def values(arm: Arm, of: Metric, shared: Prompts, *, by_turn: bool = False) -> Values:
    """The times, or the amounts, of the *shared* prompts in an arm; *by_turn* tells turns apart."""
    frame = _amounts(arm, of, shared) if of.kind == "amount" else _times(arm, of, shared)
    due = frame["due_ns"]
    if due.null_count() == 0 and len(due):
        frame = frame.sort("due_ns")
    return Values(
        frame["value"].to_numpy(),
        frame["number"].to_numpy(),
        frame["censored"].to_numpy(),
        None if due.null_count() or not len(due) else frame["due_ns"].to_numpy(),
        _turns(frame) if by_turn and "turn_id" in frame.columns else None,
    )


def of_both(before: Arm, after: Arm, of: Metric, shared: Prompts) -> tuple[Values, Values]:
    """The values of both arms, of turns that came to something in each.

    Where a conversation broke its later turns are missing, and were they the slow ones the arm would look
    quicker for it.
    """
    by_turn = before.has_turns or after.has_turns
    one, other = (values(arm, of, shared, by_turn=by_turn) for arm in (before, after))
    if one.turns is None or other.turns is None:
        return one, other
    return one.only(np.isin(one.turns, other.turns)), other.only(np.isin(other.turns, one.turns))


def _turns(frame: pl.DataFrame) -> NDArray[np.uint64]:
    return frame.select(turn=pl.struct("number", "turn_id").hash(0))["turn"].to_numpy()


def _times(arm: Arm, of: Metric, shared: Prompts) -> pl.DataFrame:
    """A time of every reply that counts; of one that timed out before, that it is longer than it was."""
    no = pl.lit(value=False)
    if of.of == "duration_ms":
        calls = arm.calls if of.tool is None else arm.calls.filter(pl.col("name") == of.tool)
        rows = calls.lazy().select("code", "due_ns", value="duration_ms", censored=no)
    else:
        was_cut = (pl.col("fault") == str(Fault.TIMED_OUT)).fill_null(value=False)
        timed_out = was_cut & pl.col("sent_ns").is_not_null() & (pl.col("attempt") == 1)
        watched = (pl.col("ended_ns") - pl.col("sent_ns")) / 1e6
        can_be_lost = of.of.removesuffix("_ms") in _CENSORED
        lost = timed_out & pl.col(of.of).is_null() if can_be_lost else no
        rows = (
            arm.exchanges.lazy()
            .filter(pl.col("counted") | (timed_out if can_be_lost else no))
            .select(
                "code", "due_ns", "turn_id", value=pl.when(lost).then(watched).otherwise(of.of), censored=lost
            )
        )
    return _numbered(arm, rows.filter(pl.col("value").is_not_null()).collect(), shared, graded=False)


_CENSORED = {"ttft", "first_packet", "answer", "total"}
"""What every reply comes to if one waits: not reasoning or a tool, which it may do without."""


def _amounts(arm: Arm, of: Metric, shared: Prompts) -> pl.DataFrame:
    """The sum of each trial that came to an end. None of one of which a part is not known."""
    whole = arm.exchanges.filter(pl.col("state").is_in(_GRADED))
    if of.of == AMOUNTS["tool_calls"]:
        numbers, part = arm.calls["trial"].to_numpy(), np.ones(len(arm.calls))
    else:
        tokens = pl.col("asked_tokens") + pl.col("said_tokens")
        chosen = whole.select("trial", value=tokens if of.of == "tokens" else pl.col(of.of))
        numbers, part = (
            chosen["trial"].to_numpy(),
            chosen["value"].cast(pl.Float64).fill_null(np.nan).to_numpy(),
        )
    sums = np.bincount(numbers, part, len(arm.trials))
    trials = whole.select("trial", "code", "due_ns").unique("trial", keep="first", maintain_order=True)
    known = trials.with_columns(
        value=pl.Series(sums[trials["trial"].to_numpy()]), censored=pl.lit(value=False)
    )
    return _numbered(arm, known.filter(pl.col("value").is_not_nan()), shared, graded=False)


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
