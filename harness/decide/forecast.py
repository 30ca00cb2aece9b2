"""What a plan will take, and what its gate will be able to see, before anything is sent.

What is not known is taken from the last run of the suite: what a trial of a variant took in time and tokens,
how often each prompt passed, how much a latency varied. Where there is none it is not known, and said so;
only pass rates are then assumed, at 90 %, and marked.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import exp, log
from pathlib import Path

import polars as pl
from msgspec import Struct, structs

from harness.compare.arms import Arm, prompts, rates, values
from harness.compare.comparison import Asked, line
from harness.decide.sides import Against, source
from harness.errors import HarnessError
from harness.gate.ruling import Held
from harness.gate.weighing import How, best_case
from harness.plan.trials import Plan
from harness.record.baselines import selected
from harness.record.histograms import filename
from harness.record.places import places
from harness.record.store import read_manifest
from harness.record.tables import scan
from harness.report.live import duration
from harness.stats.limits import z_of
from harness.stats.power import POWER, reach, repeats_for, smallest_drop
from harness.stats.ratios import Ratio, ratio
from harness.suite.gates import Rule, rules_of
from harness.suite.metric import metric
from harness.suite.phases import Phase

ASSUMED = 0.9
"""The pass rate of a prompt that was never asked."""
_MOST_REPEATS = 200


class Sight(Struct, frozen=True):
    """What one rule of one variant will be able to see.

    *sees* is the smallest drop (of 1), or ratio, that is found or ruled out with a chance of 80 %; where the
    rule allows for no ratio at all, the gain that passes; of a limit without a baseline, None. *enough* says
    whether that is within the rule's margin, or whether a run that goes well could prove it; None where
    nothing is known. *mend* says what would help.
    """

    rule: str
    variant: str
    sees: float | None
    enough: bool | None
    told: str
    mend: str = ""


class Forecast(Struct, frozen=True):
    """What a plan takes: *trials*, and by the run *by* what else; None is not known.

    *cut* has a sentence for each limit of the budget that would end the run before its plan.
    """

    trials: int
    by: str | None
    tokens: float | None
    usd: float | None
    minutes: float | None
    deep_research: int
    sights: tuple[Sight, ...] = ()
    cut: tuple[str, ...] = ()


def forecast(plan: Plan, results: Path, than: Against | None) -> Forecast:
    """What *plan* takes and sees, by the last run of its suite in *results*, if there is one."""
    before = _last(plan, results)
    return structs.replace(_takes(plan, before), sights=tuple(_sights(plan, before, than)))


def takes(plan: Plan, results: Path) -> Forecast:
    """What *plan* takes, by the last run of its suite in *results*, without what its gate sees."""
    return _takes(plan, _last(plan, results))


def search_takes(first: Plan, trials: int | None, results: Path, of: str) -> Forecast:
    """What a search takes at most, of which *first* is the first probe, and that asks *trials* in all.

    By the last run of the suite *of*, or of its probes. No more than its budget, which is for all of it, and
    as much as that where it is not known how many *trials* there will be.
    """
    before = _last(first, results, of) or _last(first, results)
    one = _takes(first, before)
    share = None if trials is None or not one.trials else trials / one.trials
    budget = first.suite.budget
    return Forecast(
        trials=trials or 0,
        by=one.by,
        tokens=_at_most(one.tokens, share, budget.tokens),
        usd=_at_most(one.usd, share, budget.usd),
        minutes=None,
        deep_research=round(one.deep_research * (share or 0)),
    )


def _at_most(one: float | None, share: float | None, budget: float | None) -> float | None:
    known = None if one is None or share is None else one * share
    return min((each for each in (known, budget) if each is not None), default=None)


def _takes(plan: Plan, before: Path | None) -> Forecast:
    costs = None if before is None else _costs(before)
    tokens, usd = (_sum(plan, costs, column) for column in ("tokens", "usd"))
    minutes = _minutes(plan, costs)
    return Forecast(
        trials=len(plan.trials),
        by=None if before is None else before.name,
        tokens=tokens,
        usd=usd,
        minutes=minutes,
        deep_research=plan.deep_research,
        cut=tuple(_cut(plan, tokens, usd, minutes)),
    )


def _last(plan: Plan, results: Path, of: str = "") -> Path | None:
    """The last run of the suite that has ended and can be read, and is no selection of another's trials.

    *of* is another suite than the plan's.
    """
    mine = (place.folder for place in places(results) if place.suite == filename(of or plan.suite.name))
    return next(filter(_tells, mine), None)


def _tells(folder: Path) -> bool:
    try:
        manifest = read_manifest(folder)
        scan("trials", folder), scan("exchanges", folder)
    except HarnessError:
        return False
    return manifest.exit_code is not None and not selected(manifest)


Costs = Mapping[str | None, Mapping[str, float | None]]
"""For each variant, and for all of them under None, the means of a trial: tokens, usd, seconds."""


def _costs(folder: Path) -> Costs:
    spent = (
        scan("exchanges", folder)
        .group_by("trial_id")
        .agg(
            tokens=(pl.col("asked_tokens") + pl.col("said_tokens")).sum().cast(pl.Float64),
            usd=pl.when(pl.col("cost_usd").is_not_null().all()).then(pl.col("cost_usd").sum()),
        )
    )
    trials = (
        scan("trials", folder)
        .filter(pl.col("began_ns").is_not_null())
        .select("trial_id", "variant", seconds=(pl.col("ended_ns") - pl.col("began_ns")) / 1e9)
        .join(spent, on="trial_id")
    )
    means = [pl.col(name).mean() for name in ("tokens", "usd", "seconds")]
    by_variant = trials.group_by("variant").agg(means).collect()
    known: dict[str | None, Mapping[str, float | None]] = {
        row["variant"]: row for row in by_variant.iter_rows(named=True)
    }
    whole = trials.select(means).collect()
    return known | {None: whole.row(0, named=True)} if len(by_variant) else known


def _sum(plan: Plan, costs: Costs | None, column: str) -> float | None:
    """The sum over all trials, those of a variant that is new at the mean of the others."""
    if not costs or plan.cycles:
        return None
    each = [
        count * value if (value := costs.get(variant, costs[None])[column]) is not None else None
        for variant, count in Counter(trial.variant for trial in plan.trials).items()
    ]
    return None if None in each else sum(value for value in each if value is not None)


def _minutes(plan: Plan, costs: Costs | None) -> float | None:
    parts = [_seconds(plan, name, load, costs) for name, load in plan.suite.load.items()]
    known = [part for part in parts if part is not None]
    return sum(known) / 60 if len(known) == len(parts) else None


def _seconds(plan: Plan, name: str, load: Phase, costs: Costs | None) -> float | None:
    trials = [trial for trial in plan.trials if trial.phase == name]
    if load.is_timed:
        return ((load.measured_ns or 0) + load.settled_ns + (load.cool_down or 0)) / 1e9
    if load.is_open:
        return max((trial.due_ns or 0 for trial in trials), default=0) / 1e9
    if not costs:
        return None
    each = [costs.get(trial.variant, costs[None])["seconds"] or 0.0 for trial in trials]
    return max(sum(each) / load.slots, max(each, default=0.0))


def _cut(plan: Plan, tokens: float | None, usd: float | None, minutes: float | None) -> Iterator[str]:
    """Which limits of the budget are below what the plan takes."""
    budget = plan.suite.budget
    for what, wanted, limit in (
        ("tokens", tokens, budget.tokens),
        ("USD", usd, budget.usd),
        ("minutes", minutes, budget.minutes),
    ):
        if wanted is not None and limit is not None and wanted > limit:
            kept = int(len(plan.trials) * limit / wanted)
            yield f"the budget of {limit:,g} {what} ends it after about {kept} of {len(plan.trials)} trials"
    if budget.deep_research is not None and plan.deep_research > budget.deep_research:
        yield f"of {plan.deep_research} deep-research runs that are planned it has {budget.deep_research}"


# What the gate can see


def _sights(plan: Plan, before: Path | None, than: Against | None) -> Iterator[Sight]:
    gates = plan.suite.gates
    for held in _held(plan, than) if gates is not None else ():
        repeats = _repeats(plan, held)
        if not repeats:
            yield _sight(held, "no trial of it is planned with a known number")
        elif held.rule.compares:
            yield _comparing(plan, held, repeats, before=before, than=than)
        else:
            yield _proving(plan, held, repeats)


def _sight(
    held: Held, told: str, mend: str = "", *, sees: float | None = None, enough: bool | None = None
) -> Sight:
    return Sight(held.rule.told, held.variant, sees, enough, told, mend)


def _held(plan: Plan, than: Against | None) -> list[Held]:
    first = next(iter(plan.suite.load))
    return [
        Held(rule, variant, rule.load or first)
        for rule in rules_of(plan.suite)
        for variant in ([rule.variant] if rule.variant else plan.variants)
        if rule.variant or than is None or variant != than.name
    ]


def _repeats(plan: Plan, held: Held) -> Counter[str]:
    """How often each prompt that the rule is about is asked."""
    return Counter(
        trial.case.case_id
        for trial in plan.trials
        if (trial.variant, trial.phase) == (held.variant, held.phase)
        and (held.rule.tag is None or held.rule.tag in trial.case.tags)
    )


def _proving(plan: Plan, held: Held, repeats: Counter[str]) -> Sight:
    """Whether a run in which everything goes well would prove a limit."""
    gates, m = plan.suite.gates, len(repeats)
    k = round(repeats.total() / m)
    z = z_of(gates.alpha if gates else 0.05)
    how = How(gates.question if gates else "suite")

    def proves(k: int) -> bool | None:
        found = best_case(held.rule, m, k, how)
        return None if found is None else found.kept > z

    if (enough := proves(k)) is None:
        return _sight(held, "what it can show depends on how values vary")
    if enough:
        return _sight(held, f"{m} prompts × {k} can prove it", enough=True)
    more = next((each for each in range(k + 1, _MOST_REPEATS) if proves(each)), None)
    mend = f"repeat: {more} could" if more else "more prompts are wanted, or another limit"
    return _sight(held, f"{m} prompts × {k} cannot prove it, all going well", mend, enough=False)


def _comparing(
    plan: Plan, held: Held, repeats: Counter[str], *, before: Path | None, than: Against | None
) -> Sight:
    rule = held.rule
    if rule.metric.kind in {"time", "amount"}:
        return _ratio(plan, held, repeats, before=before)
    if rule.metric.kind not in {"passes", "check", "score"}:
        return _sight(held, "how much it varies is not known before a run")
    gates = plan.suite.gates
    alpha = gates.alpha if gates else 0.05
    known = _rates(before, held, than)
    rates_of = [known.get(case, ASSUMED) for case in repeats]
    assumed = sum(case not in known for case in repeats)
    k = round(repeats.total() / len(repeats))
    kept = _kept(than, held)
    seen = smallest_drop(rates_of, k if kept is None else kept, k, alpha=alpha)
    told = f"{len(repeats)} prompts × {k} see a drop of {100 * seen:.1f} pp"
    if assumed and known:
        told += f" (assuming {ASSUMED:.0%} of {assumed} prompts never asked)"
    elif assumed:
        told += f" (assuming {ASSUMED:.0%} pass)"
    if seen <= rule.limit:
        return _sight(held, told, sees=seen, enough=True)
    return _sight(held, told, _mend(rates_of, rule, k, kept=kept, alpha=alpha), sees=seen, enough=False)


def _mend(rates_of: Sequence[float], rule: Rule, k: int, *, kept: int | None, alpha: float) -> str:
    """How many repeats would see the margin, or why none would."""
    floor = 0.0 if kept is None else smallest_drop(rates_of, kept, 10_000, alpha=alpha)
    if floor > rule.limit:
        return (
            f"no number of repeats would: the baseline with its {kept} repeats hides {100 * floor:.1f} pp; "
            "pool more runs in it, or run both variants side by side"
        )
    for more in range(k + 1, _MOST_REPEATS):
        if smallest_drop(rates_of, more if kept is None else kept, more, alpha=alpha) <= rule.limit:
            return f"repeat: {more} would see {rule.written}"
    return "more prompts are wanted, or a wider margin"


def _rates(before: Path | None, held: Held, than: Against | None) -> dict[str, float]:
    """How often each prompt passed before: in the baseline's runs if it is stored, else in the last run."""
    folders = than.folders if than is not None and than.folders else (before,) if before else ()
    if not folders:
        return {}
    wanted = pl.col("phase") == held.phase
    cases = pl.concat(
        [scan("cases", folder).filter(wanted).select("case_id", "pass_rate") for folder in folders]
    )
    means = cases.group_by("case_id").agg(pl.col("pass_rate").mean()).drop_nulls().collect()
    return dict(means.iter_rows())


def _kept(than: Against | None, held: Held) -> int | None:
    """How many repeats a stored baseline has of a prompt; None where the baseline is asked anew."""
    if than is None or than.is_variant:
        return None
    here = pl.col("phase") == held.phase
    cases = pl.concat(
        [
            scan("cases", folder).filter(here).select("case_id", "variant", "repeats")
            for folder in than.folders
        ]
    )
    sums = cases.group_by("case_id", "variant").agg(pl.col("repeats").sum())
    mean = sums.select(pl.col("repeats").mean()).collect().item()
    return max(1, round(mean)) if mean else 1


def _ratio(plan: Plan, held: Held, repeats: Counter[str], *, before: Path | None) -> Sight:
    """The smallest ratio that is seen, by how much the last run varied."""
    rule, gates = held.rule, plan.suite.gates
    if before is None:
        return _sight(held, "how much it varies is not known before a first run")
    found, asked = _varied(plan, held, before)
    if found is None or found.error is None or not asked:
        return _sight(held, "the last run is too small to tell how much it varies")
    error = found.error * (asked / repeats.total()) ** 0.5
    seen = exp(reach(gates.alpha if gates else 0.05, POWER) * error)
    seen = 1 / seen if rule.key == "min_ratio" else seen
    if rule.limit == 1:  # nothing is allowed for: what passes is a gain that can be seen
        seen = 1 / seen
    told = f"{repeats.total()} trials see a ratio of {seen:.2f}"
    if rule.limit == 1 or abs(log(seen)) <= abs(log(rule.limit)):
        return _sight(held, told, sees=seen, enough=True)
    k = round(repeats.total() / len(repeats))
    more = repeats_for(abs(log(rule.limit)), abs(log(seen)), k)
    return _sight(held, told, f"repeat: {more} would see {rule.written}", sees=seen, enough=False)


def _varied(plan: Plan, held: Held, before: Path) -> tuple[Ratio | None, int]:
    """How much the ratio of two variants varied in the last run, and of how many trials that was.

    Of a single variant: how much two of its kind would, if they had nothing to do with each other.
    """
    arms = {
        variant: arm
        for variant in (held.variant, *plan.variants)
        if len((arm := Arm((source(before),), variant, held.phase)).trials)
    }
    if not arms:
        return None, 0
    arm, *others = arms.values()
    shared = prompts(arm, others[0] if others else None, tag=held.rule.tag)
    if not len(shared):
        return None, 0
    asked = int(rates(arm, metric("pass_rate"), shared).count.sum())
    if others:
        return line(others[0], arm, shared, held.rule.metric, asked=Asked()).ratio, asked
    alone = values(arm, held.rule.metric, shared).sample()
    return ratio(alone, alone, held.rule.metric.per_mille, paired=False), asked


def lines(told: Forecast) -> Iterator[str]:
    """What a plan takes, and what its gate can see; what is not known is said."""
    if told.by is None:
        yield "forecast: tokens, money and minutes are not known before a first run (run --limit 20)"
    else:
        parts = [f"{told.tokens:,.0f} tokens" if told.tokens is not None else "tokens not known"]
        parts += [f"{told.usd:.4f} USD"] if told.usd is not None else []
        parts += [duration(told.minutes * 60) if told.minutes is not None else "minutes not known"]
        yield f"forecast: {', '.join(parts)}, as a trial took in {told.by}"
    for sentence in told.cut:
        yield f"budget: {sentence}"
    for sight in told.sights:
        mark = {True: "sees", False: "UNDER-POWERED", None: "not known"}[sight.enough]
        mend = f"; {sight.mend}" if sight.mend else ""
        yield f"gate: {mark:<13}  {sight.rule} [{sight.variant}]: {sight.told}{mend}"
