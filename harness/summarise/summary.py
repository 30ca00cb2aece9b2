"""Tables -> figures per variant, each with its count.

A quantile is nearest rank over the exchanges that count (whole, first attempt,
not failed, of a trial that is not invalid); with too few of them it is None, never the highest value under a
grander name. Rates are over passed + failed; the other states are counted
beside them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl
from msgspec import Struct
from msgspec.json import decode

from harness.audit import Word
from harness.grade.opinion import Grade
from harness.grade.states import State
from harness.metrics.outages import COLUMNS, Outage, outages, sent_of
from harness.result import Result, Skip
from harness.stats.judges import Agreement, Corrected, Labelled, agreement, corrected
from harness.stats.quantiles import quantile
from harness.summarise.fairness import Fairness


class Figure(Struct, frozen=True):
    """A quantile and the number of values behind it; None where there are too few."""

    value: float | None
    n: int


class Row(Struct, frozen=True, kw_only=True):
    """The figures of one variant in one phase. Times in ms; rates in estimated o200k tokens per second."""

    variant: str
    phase: str
    trials: int
    passed: int
    failed: int
    error: int
    invalid: int
    not_run: int
    pass_rate: float | None
    ttft_p50_ms: Figure
    ttft_p95_ms: Figure
    total_p50_ms: Figure
    tokens_per_s_p50: Figure
    tool_calls: int
    tool_errors: int
    retried: int


class Ignored(Struct, frozen=True):
    """A setting that was ignored in *trials* of the *of* trials of a variant that asked for it.

    *asked* and *seen* are those of the most frequent case.
    """

    variant: str
    setting: str
    asked: str
    seen: str
    trials: int
    of: int


class LoadRow(Struct, frozen=True, kw_only=True):
    """An open phase: what was asked of it and what came of that. Times in ms, of all its variants together.

    *arrivals* fell due while it was measured, *asked_per_s* by the schedule; conversations began at
    *began_per_s*. *goodput_per_s* of them passed: answered rightly, and within whatever limits of time are
    among their checks; None where we did not send them all. *delayed* of them found no room and went out
    late, *dropped* did not go out. *service* counts from the sending of a turn, *response* from when it was
    due; both by ``ttft`` and ``total``.
    """

    phase: str
    arrivals: int
    asked_per_s: float | None
    began_per_s: float | None
    delayed: int
    dropped: int
    service: dict[str, dict[str, Figure]]
    response: dict[str, dict[str, Figure]]
    goodput_per_s: float | None = None


class CheckRow(Struct, frozen=True):
    """How one check went for one variant in one phase: a type, and its *metric* where it has one.

    *score* is the mean over those that could be graded; checks inside a set are counted, too, and their set
    is a line of its own. *deciding*: the state of a trial hangs on it.
    """

    variant: str
    phase: str
    type: str
    metric: str | None
    passed: int
    failed: int
    ungraded: int
    score: float | None
    deciding: bool


class ReducedRow(Struct, frozen=True):
    """What the repeats of the *prompts* of one variant came to, by one reduction.

    *value* is the mean over the prompts that have one, *n* of them; the states are of the prompts, and all 0
    where the reduction decides nothing.
    """

    variant: str
    phase: str
    reduce: str
    prompts: int
    value: float | None
    n: int
    passed: int
    failed: int
    undecided: int


class JudgeRow(Struct, frozen=True):
    """What labels say of the judge of one check, and its pass rate for one variant without its mistakes.

    *agreement* is over all labels of that check by that judge; *pass_rate* is the judge's own, over *n*
    judged answers; *corrected* is by Rogan and Gladen, with its 95 % interval.
    """

    check: str
    variant: str
    n: int
    pass_rate: float
    agreement: Agreement
    corrected: Corrected


class Quarantine(Struct, frozen=True):
    """A prompt under a variant that decides nothing up to a day, and what its repeats came to."""

    case_id: str
    variant: str
    until: str
    passed: int
    failed: int


class Summary(Struct, frozen=True):
    """The rows of a run, in the order of the suite, and what a reader should know beside them.

    *audits* counts, for each variant and setting, the trials by what was found of it. *unknown_kinds* are the
    packets that have no name here, by kind. *unstopped* replies were cut off and may still be worked on.
    *masked* stretches, in *masked_replies*, were masked before anything of these was kept.
    *settled* is there where repeats of a prompt decide together, or some decide nothing: the exit code goes
    by it. *quarantined* are the prompts that decide nothing until a day. *outages*: when the target was away.
    *fairness*: what variants that shared a phase did to each other; none is worked out while a run goes on.
    """

    rows: tuple[Row, ...]
    faults: dict[str, int]
    stamps: dict[str, int]
    merged_share: Figure
    unknown_kinds: dict[str, int]
    audits: dict[str, dict[str, dict[str, int]]] = {}
    ignored: tuple[Ignored, ...] = ()
    unstopped: int = 0
    masked: int = 0
    masked_replies: int = 0
    loads: tuple[LoadRow, ...] = ()
    checks: tuple[CheckRow, ...] = ()
    reduced: tuple[ReducedRow, ...] = ()
    settled: dict[str, int] | None = None
    judges: tuple[JudgeRow, ...] = ()
    quarantined: tuple[Quarantine, ...] = ()
    outages: tuple[Outage, ...] = ()
    fairness: tuple[Fairness, ...] = ()

    def count(self, state: State) -> int:
        """How many are in *state*: trials, and prompts where the repeats of a prompt decide together."""
        if self.settled is not None:
            return self.settled.get(state, 0)
        return sum(getattr(row, state) for row in self.rows)


class Found(NamedTuple):
    """What was found of one setting in one trial."""

    variant: str
    setting: str
    asked: str
    seen: str
    word: Word


_Key = tuple[str, str, str, str | None, bool]


@dataclass(slots=True)
class Checked:
    """How the checks of a run went, counted as its results are graded: a long run has a million grades."""

    counts: dict[_Key, Counter[bool | None]] = field(default_factory=dict)
    scores: dict[_Key, list[float]] = field(default_factory=dict)

    def add(self, result: Result, grades: Iterable[Grade]) -> None:
        """Count the grades of *result* in; scores that a check named are no checks."""
        for grade in grades:
            key = (result.variant, result.phase, grade.type, grade.metric, grade.decides)
            if key not in self.counts:
                self.counts[key], self.scores[key] = Counter(), [0, 0.0]
            if grade.passed is not None or grade.score is None:
                self.counts[key][grade.passed] += 1
            if grade.score is not None:
                total = self.scores[key]
                total[0] += 1
                total[1] += grade.score

    def rows(self, variants: Sequence[str]) -> Iterator[CheckRow]:
        """A row for each check of each variant and phase: in the order of *variants*, then of the suite."""
        for key in sorted(self.counts, key=lambda key: variants.index(key[0])):
            variant, phase, kind, metric, deciding = key
            counts, (n, total) = self.counts[key], self.scores[key]
            yield CheckRow(
                variant,
                phase,
                kind,
                metric,
                passed=counts[True],
                failed=counts[False],
                ungraded=counts[None],
                score=total / n if n else None,
                deciding=deciding,
            )


def judge_rows(
    labels: Mapping[str, Sequence[Labelled]],
    items: Sequence[tuple[str, str, bool]],
    variants: Iterable[str],
) -> Iterator[JudgeRow]:
    """A row for each check with *labels* and each of *variants*; *items* are (check, variant, verdict)."""
    for check, told in labels.items():
        found = agreement(told)
        for variant in variants:
            verdicts = [verdict for of, by, verdict in items if (of, by) == (check, variant)]
            if verdicts:
                rate = sum(verdicts) / len(verdicts)
                yield JudgeRow(
                    check, variant, len(verdicts), rate, found, corrected(rate, len(verdicts), found)
                )


NEEDED = (
    *("exchange_id", "trial_id", "turn_id", "attempt", "fault", "stamps", "counted", "stopped"),
    "masked",
    *("reads", "merged_reads", "unknown_kinds", "tokens_per_s"),
    *("ttft_ms", "total_ms", "response_ttft_ms", "response_total_ms"),
    "gap_p50_ms",
    *("http_status", "began_ns", "sent_ns", "headers_ns", "first_packet_ns", "last_answer_ns", "ended_ns"),
)
"""The columns of `exchanges` that a summary is made of."""


def summarise(
    frames: Mapping[str, pl.DataFrame], variants: Iterable[str], checked: Checked | None = None
) -> Summary:
    """The summary of a run's tables; *variants* gives the order of the rows, *checked* has its checks."""
    variants = list(variants)
    trials, exchanges = frames["trials"], frames["exchanges"]
    sent = exchanges.join(trials.select("trial_id", "variant", "phase"), on="trial_id")
    calls = frames["tool_calls"].join(sent.select("exchange_id", "variant", "phase"), on="exchange_id")
    phases = trials["phase"].unique(maintain_order=True).to_list()
    rows = [
        _row(variant, phase, {"trials": trials, "sent": sent, "calls": calls})
        for phase in phases
        for variant in variants
    ]
    found = _found(frames["audits"], sent, variants)
    reads = int(exchanges["reads"].sum())
    merged = int(exchanges["merged_reads"].sum())
    masked = exchanges["masked"]
    return Summary(
        rows=tuple(row for row in rows if row.trials),
        faults=_counts(exchanges["fault"]),
        stamps=_counts(exchanges.filter(pl.col("reads") > 0)["stamps"]),  # what never came has none
        merged_share=Figure(merged / reads if reads else None, reads),
        unknown_kinds=_unknown_kinds(exchanges["unknown_kinds"]),
        audits=_audits(found),
        ignored=tuple(_ignored(found)),
        unstopped=int((~exchanges["stopped"]).sum()),
        masked=int(masked.sum()),
        masked_replies=int((masked > 0).sum()),
        loads=tuple(_load(phase, trials, sent) for phase in _open_phases(trials)),
        checks=tuple((checked or Checked()).rows(variants)),
        reduced=tuple(_reduced(frames["cases"], variants)),
        settled=_settled(trials, frames["cases"]),
        quarantined=tuple(_quarantined(frames["cases"])),
        outages=tuple(outages(sent_of(exchanges.select(COLUMNS).iter_rows(), _lost(trials)))),
    )


def _lost(trials: pl.DataFrame) -> set[str]:
    return set(trials.filter(pl.col("state") == str(State.ERROR))["trial_id"])


def _reduced(cases: pl.DataFrame, variants: list[str]) -> Iterator[ReducedRow]:
    state = pl.col("state")
    rows = (
        cases.filter(pl.col("reduce").is_not_null())
        .group_by("variant", "phase", "reduce", maintain_order=True)
        .agg(
            prompts=pl.len(),
            value=pl.col("value").mean(),
            n=pl.col("value").count(),
            passed=(state == State.PASSED).sum(),
            failed=(state == State.FAILED).sum(),
            undecided=(state.is_not_null() & ~state.is_in([State.PASSED, State.FAILED])).sum(),
        )
    )
    listed = [ReducedRow(**row) for row in rows.iter_rows(named=True)]
    yield from sorted(listed, key=lambda row: variants.index(row.variant))


def _settled(trials: pl.DataFrame, cases: pl.DataFrame) -> dict[str, int] | None:
    """How many trials and prompts are in each state, where some prompts have one of their own, or none.

    A prompt in quarantine decides nothing, and nor does a trial that was not sent because all was decided.
    """
    free = pl.col("quarantined").is_null()
    reduced = cases.filter(pl.col("state").is_not_null())
    aside = cases.filter(pl.col("state").is_not_null() | ~free)
    early = pl.col("skip").fill_null("") == str(Skip.DECIDED)
    if aside.is_empty() and not trials.select(early.any()).item():
        return None
    alone = trials.filter(~early).join(aside, on=["case_id", "variant", "phase"], how="anti")
    return dict(Counter(_counts(alone["state"])) + Counter(_counts(reduced.filter(free)["state"])))


def _quarantined(cases: pl.DataFrame) -> Iterator[Quarantine]:
    held = cases.filter(pl.col("quarantined").is_not_null())
    columns = ("case_id", "variant", "quarantined", "passed", "failed")
    yield from (Quarantine(*row) for row in held.select(columns).iter_rows())


def _open_phases(trials: pl.DataFrame) -> list[str]:
    due = trials.filter(pl.col("due_ns").is_not_null())
    return due["phase"].unique(maintain_order=True).to_list()


def _load(phase: str, trials: pl.DataFrame, sent: pl.DataFrame) -> LoadRow:
    here = trials.filter(pl.col("phase") == phase, pl.col("window") == "measured")
    whole = sent.filter(pl.col("phase") == phase, "counted")
    return LoadRow(
        phase=phase,
        arrivals=len(here),
        asked_per_s=_per_s(here, "due_ns"),
        began_per_s=_per_s(here, "began_ns"),
        goodput_per_s=_goodput_per_s(here),
        delayed=here["free_ns"].count(),
        dropped=int((here["skip"] == "dropped").sum()),
        service={name: _quantiles(whole[f"{name}_ms"]) for name in _OF_LOADS},
        response={name: _quantiles(whole[f"response_{name}_ms"]) for name in _OF_LOADS},
    )


_OF_LOADS = ("ttft", "total")
_LEVELS = {"p50": 500, "p95": 950, "p99": 990}


def _quantiles(values: pl.Series) -> dict[str, Figure]:
    return {name: _figure(values, per_mille) for name, per_mille in _LEVELS.items()}


def _per_s(trials: pl.DataFrame, stamp: str) -> float | None:
    """How many a second, from the first to the last of them; of a run that was resumed, within each leg."""
    of_leg = trials.filter(pl.col(stamp).is_not_null()).group_by("leg")
    legs = of_leg.agg(gaps=pl.len() - 1, spanned=pl.col(stamp).max() - pl.col(stamp).min())
    gaps, spanned_ns = legs.select(pl.col("gaps", "spanned").sum()).row(0)
    return gaps / (spanned_ns / 1e9) if gaps and spanned_ns else None


def _goodput_per_s(arrivals: pl.DataFrame) -> float | None:
    """The rate at which *arrivals* fell due, times the share of them that passed.

    What found no room is the server's doing, and did not pass. Where we left something out for another
    reason it is not known.
    """
    rate = _per_s(arrivals, "due_ns")
    if rate is None or not arrivals["skip"].fill_null("dropped").eq("dropped").all():
        return None
    return rate * int((arrivals["state"] == State.PASSED).sum()) / len(arrivals)


def _row(variant: str, phase: str, frames: Mapping[str, pl.DataFrame]) -> Row:
    here = (pl.col("variant") == variant) & (pl.col("phase") == phase)
    trials, sent, calls = (frames[name].filter(here) for name in ("trials", "sent", "calls"))
    states = _counts(trials["state"])
    counts = {state: states.get(state, 0) for state in State}
    judged = counts[State.PASSED] + counts[State.FAILED]
    whole = sent.filter("counted")
    return Row(
        variant=variant,
        phase=phase,
        trials=len(trials),
        **counts,
        pass_rate=counts[State.PASSED] / judged if judged else None,
        ttft_p50_ms=_figure(whole["ttft_ms"], 500),
        ttft_p95_ms=_figure(whole["ttft_ms"], 950),
        total_p50_ms=_figure(whole["total_ms"], 500),
        tokens_per_s_p50=_figure(whole["tokens_per_s"], 500),
        tool_calls=len(calls),
        tool_errors=int((calls["status"] == "error").sum()),
        retried=int((sent["attempt"] > 1).sum()),
    )


_WORST_LAST = (Word.NOT_EXERCISED, Word.TOOK_EFFECT, Word.NOT_SHOWN, Word.IGNORED)
"""What counts for a trial of several turns: one that ran no search says nothing against one that did."""


def _found(audits: pl.DataFrame, sent: pl.DataFrame, variants: list[str]) -> list[Found]:
    """What was found of each setting in each trial, in the order of the variants.

    Of a turn only its last attempt counts, of a trial the turn that says most.
    """
    last = sent.filter(pl.col("attempt") == pl.col("attempt").max().over("trial_id", "turn_id"))
    rows = audits.join(
        last.select("exchange_id", "trial_id", "variant"), on="exchange_id", maintain_order="left"
    )
    worst: dict[tuple[str, str, str], Found] = {}
    for variant, trial, setting, asked, seen, word in rows.select(*_FOUND).iter_rows():
        found = Found(variant, setting, asked, seen or "", Word(word))
        before = worst.get((variant, trial, setting), found)
        worst[variant, trial, setting] = max(before, found, key=lambda each: _WORST_LAST.index(each.word))
    return sorted(worst.values(), key=lambda each: variants.index(each.variant))


_FOUND = ("variant", "trial_id", "setting", "asked", "seen", "finding")


def _audits(found: Iterable[Found]) -> dict[str, dict[str, dict[str, int]]]:
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for each in found:
        words = counts.setdefault(each.variant, {}).setdefault(each.setting, {})
        words[each.word] = words.get(each.word, 0) + 1
    return counts


def _ignored(found: Iterable[Found]) -> Iterator[Ignored]:
    grouped: dict[tuple[str, str], list[Found]] = {}
    for each in found:
        grouped.setdefault((each.variant, each.setting), []).append(each)
    for (variant, setting), trials in grouped.items():
        cases = Counter((each.asked, each.seen) for each in trials if each.word is Word.IGNORED)
        if cases:
            ((asked, seen), _), *_ = cases.most_common(1)
            yield Ignored(variant, setting, asked, seen, cases.total(), len(trials))


def _unknown_kinds(told: pl.Series) -> dict[str, int]:
    """The sum of the kinds that each exchange counted, the most frequent first."""
    kinds: Counter[str] = Counter()
    for each in told.drop_nulls():
        kinds.update(decode(each, type=dict[str, int]))
    return dict(kinds.most_common())


def _figure(values: pl.Series, per_mille: int) -> Figure:
    known = values.drop_nulls().to_list()
    return Figure(quantile(known, per_mille), len(known))


def _counts(values: pl.Series) -> dict[str, int]:
    known = values.drop_nulls()
    return dict(known.value_counts(sort=True).iter_rows())
