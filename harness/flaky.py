"""The ledger of prompts over many runs: which are stable, which are flaky, and since when.

Made from the runs in the results each time it is asked for. A prompt's nights are those in which it was
asked in the words of its last run and graded by the same checks; a run that is not whole (cut, stopped early,
not to be believed) is left out, and said so. Errors and what was not run are counted beside passes and
failures.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
from msgspec import Struct

from harness.errors import HarnessError, UsageError
from harness.record.baselines import whole
from harness.record.store import MANIFEST, Manifest, read_manifest
from harness.record.tables import scan
from harness.stats.flaky import Belief, Class, Night, belief, flip_rate, since

HALF_LIFE_DAYS = 14.0
_QUARANTINE = timedelta(days=14)
_COLUMNS = (
    "case_id",
    "variant",
    "passed",
    "failed",
    "error",
    "invalid",
    "not_run",
    "asked",
    "checks",
    "quarantined",
)


class Entry(Struct, frozen=True):
    """One prompt under one variant over its *nights*, and what it is called for it.

    *masses* are how likely it is to be a stable pass, a stable fail and flaky. *since* is the day on which
    its pass rate changed, from *before* to *after*, if that is more than chance. *missing* repeats came to
    neither.
    """

    case_id: str
    variant: str
    name: Class
    masses: Belief
    nights: int
    passed: int
    failed: int
    missing: int
    flip_rate: float | None
    last_red: str | None
    since: str | None = None
    before: float | None = None
    after: float | None = None
    quarantined: str | None = None


class Ledger(Struct, frozen=True):
    """The entries of a suite, the worst first; of which runs, and which were *left_out* and why."""

    suite: str
    runs: tuple[str, ...]
    left_out: dict[str, str]
    entries: tuple[Entry, ...]
    half_life_days: float


def ledger(suite: str, results: Path, half_life_days: float = HALF_LIFE_DAYS) -> Ledger:
    """The ledger of *suite*, from all its runs in *results*. Raises `UsageError` where there is none."""
    folders = sorted(
        path.parent for path in (results / suite).glob(f"*/{MANIFEST}") if not path.parent.is_symlink()
    )
    if not folders:
        raise UsageError(f"no runs of {suite} in {results}: harness run makes one, --results says where")
    kept: list[tuple[Manifest, pl.DataFrame]] = []
    left_out: dict[str, str] = {}
    for folder in folders:
        try:
            manifest = read_manifest(folder)
            why = "; ".join(whole(manifest)) or ("it confirmed what had failed" if manifest.confirmed else "")
            frame = scan("cases", folder).select(_COLUMNS).collect()
        except HarnessError as error:
            why = str(error)
        if why:
            left_out[folder.name] = why
        else:
            kept.append((manifest, frame))
    entries = sorted(_entries(kept, half_life_days), key=_badness)
    return Ledger(
        suite, tuple(manifest.run_id for manifest, _ in kept), left_out, tuple(entries), half_life_days
    )


_ORDER: tuple[Class, ...] = ("flaky", "stable fail", "unknown", "stable pass")


def _badness(entry: Entry) -> tuple[int, float]:
    return _ORDER.index(entry.name), entry.masses.stable_pass


def _entries(kept: list[tuple[Manifest, pl.DataFrame]], half_life_days: float) -> Iterator[Entry]:
    """An entry for each prompt and variant of the last runs, by the nights in which it said the same."""
    rows: dict[tuple[str, str], list[tuple[datetime, dict[str, object]]]] = {}
    for manifest, frame in kept:
        began = datetime.fromisoformat(manifest.started_at)
        for row in frame.iter_rows(named=True):
            rows.setdefault((row["case_id"], row["variant"]), []).append((began, row))
    newest = max((datetime.fromisoformat(manifest.started_at) for manifest, _ in kept), default=None)
    for (case_id, variant), told in rows.items():
        last = told[-1][1]
        same = [
            each for each in told if (each[1]["asked"], each[1]["checks"]) == (last["asked"], last["checks"])
        ]
        if newest is not None:
            yield _entry(case_id, variant, same, newest=newest, half_life_days=half_life_days)


def _entry(
    case_id: str,
    variant: str,
    told: list[tuple[datetime, dict[str, object]]],
    *,
    newest: datetime,
    half_life_days: float,
) -> Entry:
    nights = [
        Night(_int(row["passed"]), _int(row["failed"]), (newest - began).total_seconds() / 86_400)
        for began, row in told
    ]
    days = [f"{began:%Y-%m-%d}" for began, _ in told]
    masses = belief(nights, half_life_days)
    change = since(nights)
    red = [day for day, night in zip(days, nights, strict=True) if night.failures]
    held = told[-1][1]["quarantined"]
    return Entry(
        case_id,
        variant,
        masses.name,
        masses,
        nights=sum(night.passes + night.failures > 0 for night in nights),
        passed=sum(night.passes for night in nights),
        failed=sum(night.failures for night in nights),
        missing=sum(_int(row[state]) for _, row in told for state in ("error", "invalid", "not_run")),
        flip_rate=flip_rate(nights),
        last_red=red[-1] if red else None,
        since=days[change.night] if change else None,
        before=change.before if change else None,
        after=change.after if change else None,
        quarantined=None if held is None else str(held),
    )


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def quarantine_lines(told: Ledger, today: datetime) -> Iterator[str]:
    """For each flaky prompt that decides still, the line that would let it decide nothing for two weeks."""
    until = f"{today + _QUARANTINE:%Y-%m-%d}"
    for entry in told.entries:
        if entry.name == "flaky" and (entry.quarantined or "") < f"{today:%Y-%m-%d}":
            rate = entry.passed / (entry.passed + entry.failed)
            reason = f"flaky, passes {rate:.0%} of {entry.passed + entry.failed}"
            which = f"prompt: {entry.case_id}, variant: {entry.variant}"
            yield f'  - {{{which}, until: "{until}", reason: "{reason}"}}'
