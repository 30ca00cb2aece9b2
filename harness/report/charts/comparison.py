"""The charts of two runs, or two arms, over each other."""

from collections.abc import Iterator
from typing import NamedTuple

import polars as pl

from harness.compare.arms import Scan
from harness.report import figures
from harness.report.charts import rows
from harness.report.charts.drawing import Chart
from harness.report.charts.lines import Row
from harness.report.charts.rates import RATE
from harness.report.charts.series import MOST, Key, Series, distinct
from harness.report.charts.steps import of_spent
from harness.report.charts.times import of_curve
from harness.report.visible import shortened

_LINES = 60


class Sides(NamedTuple):
    """What is held against what: on each side the series by their keys, and what each pair is called."""

    before: Series
    after: Series
    pairs: dict[tuple[Key, Key], str]

    @property
    def both(self) -> Series:
        """The series of both sides, each pair together."""
        named = {}
        for was, now in self.pairs:
            named[("before", self.before.names[was])] = self.before.names[was]
            named[("after", self.after.names[now])] = self.after.names[now]
        return Series(named, self.before.says)


def of_comparison(before: Scan, after: Scan, labels: tuple[str, str]) -> list[Chart]:
    """Charts of *before* and *after* over each other, which are called by *labels*.

    Variants are paired by their name and phase, at most 4; where each side has only one, those two.
    """
    sides = _sides(before, after, labels)
    if not sides.pairs:
        return []
    curves = {metric: _both(before, after, sides, metric) for metric in ("ttft_ms", "total_ms")}
    spent = [
        *sides.before.rows(figures.waterfall(before)),
        *sides.after.rows(figures.waterfall(after)),
    ]
    order = sides.both.among(spent)
    ordered = [row for name in order for row in spent if row["series"] == name]
    made = (
        *_of_prompts(before, after, sides),
        *of_curve(curves["ttft_ms"], sides.both, "ttft_ms"),
        *of_curve(curves["total_ms"], sides.both, "total_ms"),
        *of_spent(ordered, sides.both.says),
    )
    return list(made)


def _sides(before: Scan, after: Scan, labels: tuple[str, str]) -> Sides:
    pairs = _pairs(_keys(before), _keys(after))
    drawn = pairs[: MOST // 2]
    called = distinct(_called(drawn), 30)
    told = [shortened(label, 30) for label in labels]
    each = [f"{one}, {label}" for one in called for label in told] if len(drawn) > 1 else told
    names = distinct(each, 64)
    left = len(pairs) - len(drawn)
    says = f" The {len(drawn)} pairs with most trials are drawn; {left:,} more are not." if left else ""
    return Sides(
        Series({key: name for (key, _), name in zip(drawn, names[::2], strict=False)}, says),
        Series({key: name for (_, key), name in zip(drawn, names[1::2], strict=False)}, says),
        dict(zip(drawn, called, strict=True)),
    )


def _pairs(was: list[Key], now: list[Key]) -> list[tuple[Key, Key]]:
    """What is held against what: the same name, else the same phase of lone variants, else lone ones."""
    shared = [(key, key) for key in was if key in now]
    if shared or len({key[1] for key in was}) != 1 or len({key[1] for key in now}) != 1:
        return shared
    by_phase = [(left, right) for left in was for right in now if left[0] == right[0]]
    return by_phase or ([(was[0], now[0])] if len(was) == len(now) == 1 else [])


def _called(pairs: list[tuple[Key, Key]]) -> list[str]:
    """What each pair is called: by its variant, by its phase, or by both where it takes both."""
    several = len({was[0] for was, _ in pairs}) > 1
    names = [
        was[1] if was[1] == now[1] else was[0] if several else f"{was[1]} → {now[1]}" for was, now in pairs
    ]
    return [
        f"{name} · {was[0]}" if several and was[1] == now[1] else name
        for name, (was, now) in zip(names, pairs, strict=True)
    ]


def _keys(scan: Scan) -> list[Key]:
    """Phases and variants, those with most trials first."""
    found = scan("trials").group_by("phase", "variant", maintain_order=True).len().collect()
    ordered = found.sort("len", descending=True, maintain_order=True)
    return [(phase, variant) for phase, variant in ordered.select("phase", "variant").iter_rows()]


def _both(before: Scan, after: Scan, sides: Sides, metric: figures.Latency) -> list[Row]:
    was = sides.before.rows(figures.quantile_curve(before, metric))
    now = sides.after.rows(figures.quantile_curve(after, metric))
    return [*was, *now]


def _of_prompts(before: Scan, after: Scan, sides: Sides) -> Iterator[Chart]:
    """Pass rates before and after, by prompt: those that changed most first."""
    was, now = (figures.by_prompt(scan).filter(pl.col("pass_rate").is_not_null()) for scan in (before, after))
    moved = [
        _moved(row, name)
        for (left, right), name in sides.pairs.items()
        for row in _of(was, left).join(_of(now, right), on=_SAME, suffix="_after").iter_rows(named=True)
    ]
    if not moved:
        return
    by_change = sorted(moved, key=lambda row: -abs(row["mid"] - row["low"]))
    chosen = list(dict.fromkeys(row["case"] for row in by_change))[: _LINES // (2 * len(sides.pairs))]
    called = dict(zip(chosen, distinct(chosen), strict=True))
    drawn = [{**row, "row": called[case]} for case in chosen for row in moved if row["case"] == case]
    changed = sum(row["mid"] != row["low"] for row in moved)
    left_out = len({row["case"] for row in moved}) - len(chosen)
    more = f" {left_out:,} prompts that changed less are not drawn." if left_out else ""
    says = (
        f"The share of repeats that passed, before (empty) and after (full), of {len(moved):,} prompts that "
        f"were asked and graded alike on both sides; {changed:,} of them changed. The largest changes come "
        f"first."
        f"{more}{sides.before.says}"
    )
    there = {row["series"] for row in drawn}
    slots = {name: at for at, name in enumerate(sides.pairs.values()) if name in there}
    yield Chart(
        "prompts",
        "Pass rate by prompt, before and after",
        says,
        lambda width: rows.dots(drawn, slots, across=RATE, width=width, from_to=True),
    )


_SAME = ["case_id", "asked", "checks"]


def _of(prompts: pl.DataFrame, key: Key) -> pl.DataFrame:
    return prompts.filter(pl.col("phase") == key[0], pl.col("variant") == key[1])


def _moved(row: Row, name: str) -> Row:
    judged, judged_after = (row[f"passed{side}"] + row[f"failed{side}"] for side in ("", "_after"))
    return {
        "case": row["case_id"],
        "series": name,
        "low": row["pass_rate"],
        "mid": row["pass_rate_after"],
        "high": row["pass_rate_after"],
        "text": f"{row['passed']:,} of {judged:,} → {row['passed_after']:,} of {judged_after:,}",
    }
