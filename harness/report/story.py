"""A run as a page tells it: figures per variant, prompts against variants, tags, audit, checks.

Every figure comes with the count behind it. Pass rates are means over prompts with the interval for these
prompts (`harness.stats.repeats`), since repeats of one prompt say little about another.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import polars as pl

from harness.audit import Word
from harness.errors import RunDirectoryError
from harness.grade.states import State
from harness.journal import UNREADABLE
from harness.record.store import SUMMARY
from harness.record.tables import scan
from harness.report.failures import Failure, bad, failures
from harness.report.figures import by_tag
from harness.report.outcome import Outcome, Prompt, outcome
from harness.stats.repeats import PassRate, Tries, pass_rate
from harness.summarise.summary import Row, Summary

ROWS, COLUMNS = 300, 24
"""Prompts, and variants in a phase, that a table on a page shows; beyond, a reader wants the browser."""


class Arm(NamedTuple):
    """A variant in a phase."""

    variant: str
    phase: str


class Share(NamedTuple):
    """The pass rate of something, and the trials that passed or failed behind it."""

    rate: PassRate
    passed: int
    judged: int


class Cost(NamedTuple):
    """What the replies of a variant cost by the suite's prices; *usd* is None where it has none."""

    usd: float | None
    replies: int


class VariantRow(NamedTuple):
    """One line of the table of variants: the summary's figures, and what the tables add to them."""

    row: Row
    share: Share
    replies: int
    faults: int
    cost: Cost


class PromptRow(NamedTuple):
    """One prompt: what it came to in each arm, None where it was not asked there."""

    case_id: str
    tags: tuple[str, ...]
    cells: tuple[Prompt | None, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """*prompts* prompts against arms, *rows* of them; *arms_left_out* arms are not in it."""

    arms: tuple[Arm, ...]
    rows: tuple[PromptRow, ...]
    prompts: int
    arms_left_out: int


class TagCell(NamedTuple):
    """The trials of the prompts with a tag in one arm: the share that passed, with its 95 % interval."""

    rate: float | None
    low: float | None
    high: float | None
    passed: int
    judged: int
    prompts: int


class TagRow(NamedTuple):
    """A tag: what its prompts came to in each arm, None where none of them was asked."""

    tag: str
    cells: tuple[TagCell | None, ...]


@dataclass(frozen=True, slots=True)
class Tags:
    """Tags against the arms in which one of their prompts was asked."""

    arms: tuple[Arm, ...]
    rows: tuple[TagRow, ...]


class AuditRow(NamedTuple):
    """What was found of a setting in the exchanges of a variant; *asked* and *seen* are one example."""

    variant: str
    setting: str
    finding: str
    exchanges: int
    asked: str
    seen: str


@dataclass(frozen=True, slots=True)
class Story:
    """A run with everything that a page shows of it, but for the charts.

    *skipped* counts the trials that were not run by why; of the *not_passed* prompts some are *failures*
    with their conversations.
    """

    outcome: Outcome
    summary: Summary
    variants: tuple[VariantRow, ...]
    phases: tuple[str, ...]
    matrix: Matrix
    tags: Tags
    audit: tuple[AuditRow, ...]
    skipped: Mapping[str, int]
    not_passed: int
    failures: tuple[Failure, ...]


def story(folder: Path) -> Story:
    """The run in *folder*. Raises `RunDirectoryError` where its tables are not there."""
    summary = read_summary(folder)
    told = outcome(folder)
    cases = scan("cases", folder).collect()
    arms = _arms(cases, [row.variant for row in summary.rows])
    return Story(
        told,
        summary,
        tuple(_variants(summary, cases, folder)),
        tuple(dict.fromkeys(row.phase for row in summary.rows)),
        _matrix(told.prompts, cases, arms),
        _tags(folder, arms[:COLUMNS]),
        tuple(_audit(folder)),
        _skipped(folder),
        len(bad(told.prompts)),
        tuple(failures(folder, told.prompts)),
    )


def read_summary(folder: Path) -> Summary:
    """The figures of the run in *folder*. Raises `RunDirectoryError` where there are none yet."""
    path = folder / SUMMARY
    try:
        return msgspec.json.decode(path.read_bytes(), type=Summary)
    except OSError as error:
        raise RunDirectoryError(
            f"{folder}: it goes on, or was killed: there are no figures of it yet; when it is over "
            f"harness grade {folder.name} --retime makes them"
        ) from error
    except UNREADABLE as error:
        again = f"harness grade {folder.name} makes it anew"
        raise RunDirectoryError(f"{path}: no summary of this version: {error}; {again}") from error


def _arms(cases: pl.DataFrame, variants: Iterable[str]) -> list[Arm]:
    """The arms, phase by phase, each in the order of the suite."""
    ranks = {variant: rank for rank, variant in enumerate(dict.fromkeys(variants))}
    phases = {phase: rank for rank, phase in enumerate(cases["phase"].unique(maintain_order=True))}
    there = [Arm(*row) for row in cases.select("variant", "phase").unique().iter_rows()]
    return sorted(there, key=lambda arm: (phases[arm.phase], ranks.get(arm.variant, len(ranks))))


def share(cases: pl.DataFrame) -> Share:
    """The pass rate of *cases*, but for those in quarantine, which decide nothing."""
    counted = cases.filter(pl.col("quarantined").is_null())
    columns = counted.select(
        "passed",
        judged=pl.col("passed") + pl.col("failed"),
        missing=pl.col("error") + pl.col("invalid") + pl.col("not_run"),
        cluster="cluster",
    )
    rate = pass_rate([Tries(*row) for row in columns.iter_rows()])
    return Share(rate, int(columns["passed"].sum()), int(columns["judged"].sum()))


def _of(cases: pl.DataFrame, variant: str, phase: str) -> pl.DataFrame:
    return cases.filter(pl.col("variant") == variant, pl.col("phase") == phase)


def _variants(summary: Summary, cases: pl.DataFrame, folder: Path) -> Iterator[VariantRow]:
    trials = scan("trials", folder).select("trial_id", "variant", "phase")
    sent = scan("exchanges", folder).select("trial_id", "fault", "cost_usd")
    counts = (
        sent.join(trials, on="trial_id")
        .group_by("variant", "phase")
        .agg(
            pl.len(), pl.col("fault").count(), usd=pl.col("cost_usd").sum(), priced=pl.col("cost_usd").count()
        )
        .collect()
    )
    found = {(variant, phase): tuple(rest) for variant, phase, *rest in counts.iter_rows()}
    for row in summary.rows:
        replies, faults, usd, priced = found.get((row.variant, row.phase), (0, 0, 0.0, 0))
        cost = Cost(usd if priced else None, priced)
        yield VariantRow(row, share(_of(cases, row.variant, row.phase)), replies, faults, cost)


def _matrix(prompts: Sequence[Prompt], cases: pl.DataFrame, arms: Sequence[Arm]) -> Matrix:
    """Where there are more prompts than a page bears, those that did not pass come first."""
    shown = arms[:COLUMNS]
    by_case: dict[str, dict[Arm, Prompt]] = {}
    for each in prompts:
        by_case.setdefault(each.case_id, {})[Arm(each.variant, each.phase)] = each
    names = list(by_case)
    if len(names) > ROWS:
        names.sort(key=lambda name: all(each.state is State.PASSED for each in by_case[name].values()))
    tags: dict[str, Any] = dict(cases.select("case_id", "tags").unique("case_id").iter_rows())
    rows = (
        PromptRow(name, tuple(tags.get(name) or ()), tuple(by_case[name].get(arm) for arm in shown))
        for name in names[:ROWS]
    )
    return Matrix(tuple(shown), tuple(rows), len(names), len(arms) - len(shown))


def _tags(folder: Path, arms: Sequence[Arm]) -> Tags:
    found: dict[str, dict[Arm, TagCell]] = {}
    for row in by_tag(partial(scan, folder=folder)).iter_rows(named=True):
        judged = row["passed"] + row["failed"]
        cell = TagCell(row["pass_rate"], row["low"], row["high"], row["passed"], judged, row["prompts"])
        found.setdefault(row["tag"], {})[Arm(row["variant"], row["phase"])] = cell
    rows = (TagRow(tag, tuple(map(cells.get, arms))) for tag, cells in found.items())
    return Tags(tuple(arms), tuple(rows))


_WORST_FIRST = (Word.IGNORED, Word.NOT_SHOWN, Word.NOT_EXERCISED, Word.TOOK_EFFECT)


def _audit(folder: Path) -> Iterator[AuditRow]:
    """A row for each variant, setting and finding; the most frequent example of each."""
    trials = scan("trials", folder).select("trial_id", "variant")
    sent = scan("exchanges", folder).select("exchange_id", "trial_id").join(trials, on="trial_id")
    key = ["variant", "setting", "finding"]
    rows = (
        scan("audits", folder)
        .join(sent, on="exchange_id", maintain_order="left")
        .group_by(*key, "asked", "seen", maintain_order=True)
        .agg(count=pl.len())
        .sort("count", descending=True, maintain_order=True)
        .group_by(key, maintain_order=True)
        .agg(pl.col("count").sum(), pl.col("asked", "seen").first())
        .collect()
    )
    ordered = sorted(rows.iter_rows(), key=lambda row: (_WORST_FIRST.index(Word(row[2])), row[1], row[0]))
    for variant, setting, finding, count, asked, seen in ordered:
        yield AuditRow(variant, setting, finding, count, asked, seen or "")


def _skipped(folder: Path) -> dict[str, int]:
    skips = (
        scan("trials", folder).filter(pl.col("state") == str(State.NOT_RUN)).group_by("skip").agg(pl.len())
    )
    return {skip or "not said": count for skip, count in skips.collect().sort("skip").iter_rows()}
