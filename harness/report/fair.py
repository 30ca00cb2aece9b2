"""In words: what variants that shared a server did to each other; `harness.summarise.fairness` defines it.

The same lines and rows for the terminal, for Markdown and for the page.
"""

from collections.abc import Iterable, Iterator, Sequence
from math import log

from msgspec.structs import replace

from harness.report.visible import shortened
from harness.summarise.fairness import LEAST_ALIKE, TIMES, Evenness, Fairness, Interference, Worst

_NAME = 120
_SAYS = {"ttft": "TTFT", "gap": "gap", "total": "total"}
Row = tuple[str, ...]
"""The cells of a worst conversation, as `WORST` heads them."""

WORST = ("worst conversation of", "by", "took", "its usual", "times", "n", "prompt", "trial", "after")


OUT_OF_LINE = 2.0
"""What took so many times as long as its prompt does is worth a line where every line costs attention."""


def outstanding(told: Iterable[Fairness]) -> list[Fairness]:
    """Of what variants did to each other what is known, and of worst conversations those out of line.

    For the terminal and for CI, since a run of evals has variants, too. The page has all.
    """
    return [
        replace(
            shared,
            interference=tuple(each for each in shared.interference if _is_known(each)),
            worst=tuple(each for each in shared.worst if _is_out_of_line(each)),
        )
        for shared in told
    ]


def _is_known(each: Interference) -> bool:
    return each.p is not None or each.kind in {"own", "all"}  # which stand beside the others


def _is_out_of_line(each: Worst) -> bool:
    return each.among == "prompt" and each.times >= OUT_OF_LINE


def findings(told: Iterable[Fairness]) -> Iterator[str]:
    """A line for each variant that another one slowed, or sped up, beyond chance."""
    for shared in told:
        for each in shared.interference:
            if each.found:
                yield _found(each, shared)


def remarks(told: Sequence[Fairness]) -> Iterator[str]:
    """Where nothing was found, or could be; and how evenly a crowd slows the variants."""
    unknown: dict[str, list[str]] = {}
    for shared in told:
        pairs = [each for each in shared.interference if each.kind in {"variant", "others"}]
        known = [each for each in pairs if each.p is not None]
        if len(known) < len(pairs):
            why = next(each.note for each in pairs if each.p is None)
            unknown.setdefault(why, []).append(_part(shared.phase, len(known), len(pairs)))
        if known and not any(each.found for each in known):
            furthest = max(known, key=lambda each: abs(log(each.ratio or 1.0)))
            yield (
                f"no variant slowed another beyond chance ({shared.phase}); furthest from it is "
                f"{shortened(furthest.variant, _NAME)} by {_by(furthest)}, {_SAYS[furthest.figure]} "
                f"{_times(furthest)}"
            )
        yield from _even(shared.phase, shared.evenness)
    for why, phases in unknown.items():
        yield f"whether variants slow each other is not known ({', '.join(phases)}): {why}"


def _part(phase: str, known: int, pairs: int) -> str:
    return f"{phase}, {pairs - known} of {pairs}" if known else phase


def worst(told: Iterable[Fairness]) -> Iterator[Row]:
    """The worst conversations, phase by phase; one that is the worst by both times has a row for each."""
    rows = list(told)
    several = len(rows) > 1
    for shared in rows:
        for each in shared.worst:
            yield _row(each, f" ({shared.phase})" if several else "")


def _row(each: Worst, phase: str) -> Row:
    among = "" if each.among == "prompt" else ", any prompt"
    return (
        shortened(each.variant, _NAME) + phase,
        _SAYS[each.figure],
        _ms(each.value_ms),
        _ms(each.median_ms) + among,
        f"{each.times:.1f}",
        f"{each.n:,}",
        shortened(each.case_id, _NAME),
        each.trial_id,
        f"{each.at_s:.1f} s",
    )


def says_worst() -> str:
    """What the rows mean."""
    by = " and by ".join(_SAYS[name] for name in TIMES)
    return (
        f"Worst conversations: by {by}, summed over their turns, the highest multiple of the median of n "
        f"with the same prompt (of a variant, where none was asked {LEAST_ALIKE} times); whole ones only."
    )


def _found(each: Interference, shared: Fairness) -> str:
    beside = [
        f"by {whose} {_times(other)}"
        for kind, whose in (("own", "its own"), ("all", "all"))
        for other in shared.interference
        if (other.variant, other.figure, other.kind) == (each.variant, each.figure, kind) and other.low
    ]
    how = "slower" if (each.ratio or 1.0) > 1 else "quicker"
    told = (
        f"{shortened(each.variant, _NAME)} was {how} ({shared.phase}) while more replies of {_by(each)} were "
        f"under way: {_SAYS[each.figure]} p50 {_ms(each.few_ms)} with {each.few:.1f} of them, "
        f"{_ms(each.many_ms)} with {each.many:.1f}, {_times(each)}, n = {each.n_few:,} and {each.n_many:,}"
    )
    return "; ".join((told, *beside))


def _by(each: Interference) -> str:
    return shortened(each.by, _NAME) if each.kind == "variant" else "all other variants"


def _times(each: Interference) -> str:
    if each.ratio is None or each.low is None or each.high is None:
        return "not known"
    return f"×{each.ratio:.2f} ({each.low:.2f} to {each.high:.2f})"


def _even(phase: str, told: Evenness) -> Iterator[str]:
    if told.index is not None:
        kept = ", ".join(f"{shortened(name, _NAME)} {share:.0%}" for name, share in told.kept.items())
        yield f"evenness in a crowd ({phase}): {told.index:.3f} (Jain, 1 is even); speed of TTFT kept: {kept}"


def _ms(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.{1 if value < 100 else 0}f} ms"
