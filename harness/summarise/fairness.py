"""What variants that share a server in one phase do to each other, and whose conversation came off worst.

**Interference.** For every exchange of a variant that counts, as it is sent: how many replies of another
variant the server was working on (sent, and not ended yet; a conversation has one at a time, and none while
a person thinks). The third of the exchanges with the fewest of them is held against the third with the most:
the ratio of their median TTFT, and of their median gaps, with a 95 % interval by a bootstrap of stretches of
time, each twice as long as replies take, and as values take to forget each other (`stats.intervals.n_eff`).
Exchanges that saw the same number stay together; where that leaves no thirds, all are split into two parts,
the most even ones. Beside it stand the same ratios for how many replies of the variant itself, and of all,
were under way: where more of anything slows it as much, it is the load and not the other variant. `found` is
what has a p below 0.05 after Holm, over all pairs and both figures of a phase.

It is no experiment. Who is under way is not drawn by lot: where the server falls behind for another reason,
replies pile up, those of the other variant among them. In a closed load more of one is less of another.

**Evenness.** Of each variant what it keeps of its speed when all is crowded: its median TTFT in the third
with the fewest replies of all under way over that in the third with the most. Jain's index of these,
(Σx)² / k·Σx² (Jain, Chiu, Hawe 1984, DEC TR-301), is 1 where the crowd slows all alike, and 1/k where it
stops all but one. The most have to be half as many again as the fewest, or there is no crowd. Shares of
throughput are not compared: how many conversations each variant begins is the plan's doing, not the server's.

**Worst conversation.** Of the conversations that are whole (each turn answered at the first attempt) the one
whose time, summed over its turns, is the highest multiple of the median of its prompt under its variant;
where no prompt was asked often enough, of its variant.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from harness.stats.intervals import n_eff
from harness.stats.many import holm
from harness.stats.ratios import LEAST_GROUPS, Sample, ratio

FIGURES = {"ttft": "ttft_ms", "gap": "gap_p50_ms"}
"""What interference is looked for in: the first token, and the median gap between packets of an answer."""
TIMES = {"total": "total_ms", "ttft": "ttft_ms"}
"""By what a conversation is the worst."""
LEAST = 20
"""Exchanges that each third asks for."""
LEAST_ALIKE = 10
"""Conversations whose median one of them is held against, itself among them."""

_PAIRED = 4
"""Of more variants than this each is held against all others together: pairs would be too many to read."""
_MOST_BLOCKS = 50
_TOLD_BY = 100_000
_ALPHA = 0.05
_A_CROWD = 1.5
_NEVER = np.iinfo(np.int64).max

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Kind = Literal["variant", "others", "own", "all"]
_OTHERS = ("variant", "others")


class Interference(Struct, frozen=True, kw_only=True):
    """How a *figure* of *variant* went with how many replies of the variant *by*, or of a *kind*, there were.

    *n_few* exchanges had *few* of them under way as they were sent, on average, and *all_few* of all
    variants; *few_ms* is the median of the figure in these. *n_many* had *many*. *ratio* is *many_ms* over
    *few_ms*, with a 95 % interval, and *p* is adjusted for all that was looked for. Where one of these is
    None, *note* says why.
    """

    variant: str
    figure: str
    kind: Kind
    by: str = ""
    n_few: int = 0
    n_many: int = 0
    few: float | None = None
    many: float | None = None
    all_few: float | None = None
    all_many: float | None = None
    few_ms: float | None = None
    many_ms: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    note: str = ""

    @property
    def found(self) -> bool:
        """Whether another variant made a difference that is beyond chance."""
        return self.kind in _OTHERS and self.p is not None and self.p < _ALPHA


class Evenness(Struct, frozen=True):
    """Jain's *index* of what variants *kept* of their speed in a crowd; None: *note* says why."""

    index: float | None
    kept: dict[str, float]
    note: str = ""


class Worst(Struct, frozen=True, kw_only=True):
    """The conversation of *variant* whose *figure* was the highest multiple of the usual.

    *value_ms* is *times* the median, *median_ms*, of *n* conversations with its prompt (*among* prompt), or
    of its variant. It began *at_s* after the phase, and is the worst of *of* conversations that have such a
    median.
    """

    variant: str
    figure: str
    trial_id: str
    case_id: str
    value_ms: float
    median_ms: float
    times: float
    among: Literal["prompt", "variant"]
    n: int
    of: int
    at_s: float


class Fairness(Struct, frozen=True):
    """What variants that shared a server in *phase* did to each other."""

    phase: str
    variants: tuple[str, ...]
    interference: tuple[Interference, ...]
    evenness: Evenness
    worst: tuple[Worst, ...]


def fairness(frames: Mapping[str, pl.DataFrame], variants: Iterable[str]) -> Iterator[Fairness]:
    """The fairness of each phase in which several *variants* sent something."""
    trials = frames["trials"].select("trial_id", "case_id", "variant", "phase", began="began_ns")
    sent = frames["exchanges"].filter(pl.col("sent_ns").is_not_null()).join(trials, on="trial_id")
    listed = list(variants)
    for phase in trials["phase"].unique(maintain_order=True):
        here = sent.filter(pl.col("phase") == phase)
        there = set(here["variant"])
        names = [name for name in listed if name in there]
        if len(names) > 1:
            found = tuple(_judged(_interference(here, names)))
            yield Fairness(phase, tuple(names), found, _evenness(found), tuple(_worst(here, names)))


# Interference


@dataclass(frozen=True, slots=True)
class _Lane:
    """The replies of a variant: when they were *sent* and *ended*, each in order, and how long they took.

    *at* are those that count, in order of their sending, with their *figures*; and how many independent
    values these are *worth*, at least.
    """

    sent: Ints
    ended: Ints
    took_ns: float
    at: Ints
    figures: Mapping[str, Floats]
    worth: Mapping[str, float]

    def under_way(self, at: Ints) -> Ints:
        """How many of the replies were under way at each of these moments."""
        return np.searchsorted(self.sent, at, "right") - np.searchsorted(self.ended, at, "right")


def _lane(frame: pl.DataFrame) -> _Lane:
    ended = frame["ended_ns"].fill_null(_NEVER)
    took = (frame["ended_ns"] - frame["sent_ns"]).mean()
    counted = frame.filter("counted").sort("sent_ns")
    figures = {name: counted[column].fill_null(np.nan).to_numpy() for name, column in FIGURES.items()}
    return _Lane(
        np.sort(frame["sent_ns"].to_numpy()),
        np.sort(ended.to_numpy()),
        float(took) if isinstance(took, float) else 0.0,
        counted["sent_ns"].to_numpy(),
        figures,
        {name: _worth(values[~np.isnan(values)]) for name, values in figures.items()},
    )


def _worth(values: Floats) -> float:
    """How many independent values these are worth; of a part of them, which are worth no more than all.

    Values that are all alike show no dependence.
    """
    worth = n_eff(values[:_TOLD_BY].tolist(), 500)
    return float(len(values)) if worth is None else worth


def _interference(here: pl.DataFrame, names: Sequence[str]) -> Iterator[Interference]:
    lanes = {name: _lane(here.filter(pl.col("variant") == name)) for name in names}
    longest = max(lane.took_ns for lane in lanes.values())
    for name, mine in lanes.items():
        counts = {other: lane.under_way(mine.at) for other, lane in lanes.items()}
        counts[name] = np.maximum(counts[name] - 1, 0)  # itself is under way, too
        everything = np.sum(list(counts.values()), axis=0)
        for figure, values in mine.figures.items():
            known = ~np.isnan(values)
            for kind, by, count in _sides(name, counts, everything):
                told = Interference(variant=name, figure=figure, kind=kind, by=by)
                took_ns = max(mine.took_ns, lanes[by].took_ns) if by else longest
                stretches = min(_MOST_BLOCKS, mine.worth[figure] / 2, _fitting(mine.at, took_ns))
                seen = _Seen(mine.at[known], values[known], count[known], everything[known], int(stretches))
                yield _compared(told, seen)


def _fitting(at: Ints, took_ns: float) -> float:
    """How many stretches of time there are in these moments, each twice as long as a reply takes."""
    return float(at[-1] - at[0]) / (2 * took_ns) if len(at) and took_ns else 0.0


def _sides(name: str, counts: Mapping[str, Ints], everything: Ints) -> Iterator[tuple[Kind, str, Ints]]:
    """Whose replies are counted: of each other variant, or of all others; of its own; of all."""
    if len(counts) <= _PAIRED:
        yield from (("variant", other, count) for other, count in counts.items() if other != name)
    else:
        yield "others", "", everything - counts[name]
    yield "own", "", counts[name]
    yield "all", "", everything


@dataclass(frozen=True, slots=True)
class _Seen:
    """Exchanges in order: when each was sent, what it took, how many replies were under way, and of all.

    They are put into so many *stretches* of time.
    """

    at: Ints
    values: Floats
    count: Ints
    everything: Ints
    stretches: int


def _compared(told: Interference, seen: _Seen) -> Interference:
    split = _thirds(seen.count)
    if split is None:
        always = f"there were always {int(seen.count[0])} under way" if len(seen.count) else ""
        return replace(told, note=always or "no exchange that counts has this figure")
    few, many = split
    told = replace(told, n_few=int(few.sum()), n_many=int(many.sum()))
    if min(told.n_few, told.n_many) < LEAST:
        return replace(told, note=f"{LEAST} exchanges with few and with many under way are wanted")
    told = replace(
        told,
        few=float(seen.count[few].mean()),
        many=float(seen.count[many].mean()),
        all_few=float(seen.everything[few].mean()),
        all_many=float(seen.everything[many].mean()),
    )
    blocks = _blocks(seen)
    before, after = (Sample(seen.values[side], blocks[side]) for side in split)
    found = ratio(before, after, 500, paired=False)
    told = replace(told, few_ms=found.before, many_ms=found.after, ratio=found.value, note=found.note)
    if (groups := min(len(np.unique(blocks[side])) for side in split)) < LEAST_GROUPS:
        return replace(told, note=_TOO_FEW_STRETCHES.format(groups))
    return replace(told, low=found.low, high=found.high, p=found.p)


_TOO_FEW_STRETCHES = (
    f"an interval asks for {LEAST_GROUPS} stretches of time with few under way, and with many, and there are "
    "{}: let it go on for longer"
)


def _thirds(count: Ints) -> tuple[Flags, Flags] | None:
    """Those with the fewest and with the most; None where all are alike. Equal ones are on one side.

    Where the middle third reaches into both others, all are split above or below it: where it is more even.
    """
    if not len(count) or count.min() == count.max():
        return None
    ordered, third = np.sort(count), -(-len(count) // 3)
    low, high = ordered[third - 1], ordered[-third]
    if low < high:
        return count <= low, count >= high
    below, above = count < low, count > low
    return (below, ~below) if below.sum() >= above.sum() else (~above, above)


def _blocks(seen: _Seen) -> NDArray[np.intp]:
    """The stretch of time that each exchange is in: long enough to have little to do with the next."""
    span = int(seen.at[-1] - seen.at[0]) + 1
    blocks: NDArray[np.intp] = ((seen.at - seen.at[0]) // (span / max(1, seen.stretches))).astype(np.intp)
    return blocks


def _judged(rows: Iterable[Interference]) -> Iterator[Interference]:
    """The same with p adjusted for how much was looked for: what other variants do, and nothing else."""
    every = [each if each.kind in _OTHERS else replace(each, p=None) for each in rows]
    adjusted = iter(holm([each.p for each in every if each.p is not None]))
    return (each if each.p is None else replace(each, p=next(adjusted)) for each in every)


def _evenness(rows: Iterable[Interference]) -> Evenness:
    crowd = [_crowded(each) for each in rows if each.kind == "all" and each.figure == "ttft"]
    kept = {each.variant: 1 / each.ratio for each in crowd if each.ratio and each.low is not None}
    missing = next((each for each in crowd if each.variant not in kept), None)
    if missing is not None:
        return Evenness(None, kept, f"{missing.variant}: {missing.note}")
    x = np.array(list(kept.values()))
    return Evenness(float(x.sum() ** 2 / (len(x) * (x**2).sum())), kept)


def _crowded(each: Interference) -> Interference:
    """The same if the most are a crowd beside the fewest, else without an interval."""
    if each.low is None or (each.many or 0.0) >= _A_CROWD * (each.few or 0.0):
        return each
    note = f"hardly more were under way with the most ({each.many:.1f}) than with the fewest ({each.few:.1f})"
    return replace(each, low=None, note=note)


# The worst conversation


def _worst(here: pl.DataFrame, names: Sequence[str]) -> Iterator[Worst]:
    """The worst conversation of each variant by each time, of those that are whole."""
    first = here.select(pl.col("began").min()).item()
    whole = here.filter(pl.col("counted").all().over("trial_id"))
    for name in names:
        mine = whole.filter(pl.col("variant") == name)
        for figure, column in TIMES.items():
            known = mine.filter(pl.col(column).is_not_null().all().over("trial_id"))
            sums = known.group_by("trial_id", "case_id", "began").agg(value=pl.col(column).sum())
            alike, among = _with_usual(sums)
            if len(alike):
                told = alike.sort("times", "trial_id", descending=[True, False]).row(0, named=True)
                yield Worst(
                    variant=name,
                    figure=figure,
                    trial_id=told["trial_id"],
                    case_id=told["case_id"],
                    value_ms=told["value"],
                    median_ms=told["usual"],
                    times=told["times"],
                    among=among,
                    n=told["n"],
                    of=len(alike),
                    at_s=(told["began"] - first) / 1e9,
                )


def _with_usual(sums: pl.DataFrame) -> tuple[pl.DataFrame, Literal["prompt", "variant"]]:
    """Conversations with the median that each is held against: of its prompt, or else of its variant."""
    usual = pl.col("value").quantile(0.5, "lower")  # by nearest rank, as everywhere
    by_prompt = sums.with_columns(n=pl.len().over("case_id"), usual=usual.over("case_id"))
    enough = (pl.col("n") >= LEAST_ALIKE) & (pl.col("usual") > 0)
    times = (pl.col("value") / pl.col("usual")).alias("times")
    if len(kept := by_prompt.filter(enough)):
        return kept.with_columns(times), "prompt"
    return sums.with_columns(n=pl.len(), usual=usual).filter(enough).with_columns(times), "variant"
