"""The ledger of prompts over many runs: which are stable, which are flaky, and since when.

Made from the runs in the results each time it is asked for: a file of its own would be one more thing that
can be out of date. A prompt's nights are those in which it was asked in the words of its last run and graded
by the same checks and the same judge; a run that is not whole (cut, stopped early, not to be believed), or
was of another Sigma, is left out, and said so. What is an error, invalid or not run is counted beside passes
and failures, and is neither.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from math import sqrt
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import polars as pl
from msgspec import Struct, convert, structs

from harness.errors import HarnessError, UsageError, did_you_mean
from harness.plan.trials import PARTS
from harness.record.baselines import why_not_whole
from harness.record.histograms import filename
from harness.record.runs import of_file, run_folder
from harness.record.store import MANIFEST, Manifest, read_manifest
from harness.record.tables import scan
from harness.stats.flaky import Class, Night, Since, belief, drift, entropy, flip_rate, since
from harness.stats.many import benjamini_hochberg
from harness.suite.bare import ENDINGS

HALF_LIFE_DAYS = 14.0
_QUARANTINE = timedelta(days=14)
_FALSE_CHANGES = 0.1
_STATES = ("passed", "failed", "error", "invalid", "not_run")
_MISSING = ("error", "invalid", "not_run")
_ORDER: tuple[Class, ...] = ("flaky", "stable fail", "unknown", "stable pass")
_MASSES: tuple[Class, ...] = ("stable pass", "stable fail", "flaky")
_PLAIN = re.compile(r"(?!(?:true|false|null|yes|no|on|off|y|n)$)[a-z_][\w./-]*", re.ASCII | re.IGNORECASE)

Pair = tuple[str, str]
"""A prompt and a variant."""


class Again(Struct, frozen=True):
    """What `harness confirm` found of a prompt: *bad*, *good* or *open*, on that *day*."""

    day: str
    word: Literal["bad", "good", "open"]
    passed: int
    failed: int


class Entry(Struct, frozen=True):
    """One prompt under one variant over its *runs*, and what it is called for it.

    *masses* are how likely it is to be a stable pass, a stable fail and flaky. *missing* repeats came to
    neither, and in *otherwise* runs it was asked or graded differently: they do not count. *paths* are the
    different orders in which it called tools, *path_bits* their entropy. *since* is the day on which its pass
    rate changed, from *before* to *after*: of all changes in a ledger one in ten is chance. *newly_failing*:
    it changed for the worse within a half-life, or the last run was the first that failed; and it is no
    stable pass all the same. *confirmed* is what it came to when it was last asked again; *quarantined* the
    day until which it decided nothing in its last run.
    """

    case_id: str
    variant: str
    name: Class
    masses: dict[Class, float]
    runs: int
    passed: int
    failed: int
    missing: int
    flip_rate: float | None
    last_failed: str | None
    since: str | None = None
    before: float | None = None
    after: float | None = None
    quarantined: str | None = None
    newly_failing: bool = False
    otherwise: int = 0
    paths: int = 0
    path_bits: float | None = None
    confirmed: Again | None = None

    @property
    def why(self) -> str:
        """What is wrong with it, in a few words; of a prompt that is in order, how often it passed."""
        found = self.confirmed
        if found is None or found.word != "bad":
            return self._why
        return (
            f"{self._why}; confirmed on {found.day}: {found.passed} of {found.passed + found.failed} passed"
        )

    @property
    def _why(self) -> str:
        if self.newly_failing and self.since is not None:
            return f"newly failing, passes {self.after:.0%} since {self.since}, {self.before:.0%} before"
        if self.newly_failing:
            return f"newly failing, first failed on {self.last_failed}"
        total = self.passed + self.failed
        rate = f"passes {self.passed / total:.0%} of {total}" if total else "never came to anything"
        return f"{self.name}, {rate}"


class Drift(Struct, frozen=True):
    """A variant whose pass rate crept down *since* a day, until on the day of the *alarm* it was too much.

    Of *runs*: prompts that come and go move nothing.
    """

    variant: str
    alarm: str
    since: str
    runs: int


class Ledger(Struct, frozen=True):
    """The entries of a suite, the worst first; of which runs, and which were *left_out* and why.

    *gone* prompts are in it no more: the last run of the whole suite did not ask them.
    """

    suite: str
    runs: tuple[str, ...]
    left_out: dict[str, str]
    entries: tuple[Entry, ...]
    half_life_days: float
    drifts: tuple[Drift, ...] = ()
    gone: tuple[Pair, ...] = ()


class Meant(NamedTuple):
    """A suite, among which *results*, and the *last* run that counts; None is the newest."""

    suite: str
    results: Path
    last: str | None = None


def meant(named: str | None, results: Path) -> Meant:
    """The suite that is *named* by its name, its file, or one of its runs; None is that of the newest run.

    A run stands for its suite as of that run. Raises `UsageError` where there is none such.
    """
    if named is None:
        return Meant(run_folder("latest", results).parent.name, results)
    path = Path(named)
    if path.suffix in ENDINGS and path.is_file():
        newest = of_file(path, results)
        if newest is None:
            raise UsageError(
                f"no runs of {path.resolve()} in {results}: harness run makes one, --results says where"
            )
        return Meant(newest.parent.name, results)
    if any((results / filename(named)).glob(f"*/{MANIFEST}")):
        return Meant(filename(named), results)
    try:
        folder = run_folder(named, results)
    except UsageError as error:
        raise UsageError(f"no runs of {named}, and {error}{_near(named, results)}") from None
    return Meant(folder.parent.name, folder.parent.parent, folder.name)


def _near(named: str, results: Path) -> str:
    return did_you_mean(named, {path.parent.parent.name for path in results.glob(f"*/*/{MANIFEST}")})


def ledger(
    suite: str, results: Path, half_life_days: float = HALF_LIFE_DAYS, *, last: str | None = None
) -> Ledger:
    """The ledger of *suite*, from all its runs in *results* or, with *last*, from those up to that run.

    Raises `UsageError` where there is none, or where *half_life_days* is not above 0.
    """
    if half_life_days <= 0:
        raise UsageError(f"a half-life of {half_life_days:g} days: it is longer than 0")
    kept, again, left_out = _read(_folders(suite, results, last))
    nights = _nights(kept)
    listed, gone = _listed(nights, kept)
    entries = list(_entries(listed, kept, half_life_days)) if kept else []
    asked_again = _asked_again(again, nights)
    whole_entries = [structs.replace(e, confirmed=asked_again.get((e.case_id, e.variant))) for e in entries]
    return Ledger(
        suite,
        tuple(run.manifest.run_id for run in kept),
        left_out,
        tuple(sorted(whole_entries, key=_badness)),
        half_life_days,
        tuple(_drifts(listed, kept)),
        gone,
    )


def _badness(entry: Entry) -> tuple[bool, int, float]:
    return not entry.newly_failing, _ORDER.index(entry.name), entry.masses["stable pass"]


# Reading runs


class _Run(NamedTuple):
    """A run that was read: a row for each prompt and variant."""

    manifest: Manifest
    began: datetime
    rows: list[dict[str, Any]]

    @property
    def day(self) -> str:
        """When it began, as people write it."""
        return f"{self.began:%Y-%m-%d}"


def _folders(suite: str, results: Path, last: str | None) -> list[Path]:
    folders = sorted(
        path.parent for path in (results / suite).glob(f"*/{MANIFEST}") if not path.parent.is_symlink()
    )
    if not folders:
        raise UsageError(f"no runs of {suite} in {results}: harness run makes one, --results says where")
    names = [folder.name for folder in folders]
    return folders if last is None else folders[: names.index(last) + 1]


def _read(folders: Iterable[Path]) -> tuple[list[_Run], list[_Run], dict[str, str]]:
    """The whole runs, those that asked again what had failed, and why the others are left out."""
    kept: list[_Run] = []
    again: list[_Run] = []
    left_out: dict[str, str] = {}
    for folder in folders:
        try:
            manifest = read_manifest(folder)
            why = why_not_whole(manifest)
            if why:
                left_out[folder.name] = "; ".join(why)
                continue
            run = _Run(manifest, datetime.fromisoformat(manifest.started_at), _rows(folder, manifest))
        except HarnessError as error:
            left_out[folder.name] = str(error)
            continue
        (kept if manifest.confirmed is None else again).append(run)
        if manifest.confirmed is not None:
            left_out[folder.name] = "it asked again what had failed: that is told beside"
    kept.sort(key=lambda run: run.began)
    place = _place(kept[-1].manifest.target) if kept else ""
    for run in [run for run in kept if _place(run.manifest.target) != place]:
        left_out[run.manifest.run_id] = f"it asked {run.manifest.target}, the last run {place}"
        kept.remove(run)
    return kept, again, dict(sorted(left_out.items()))


def _place(target: str) -> str:
    """Which Sigma a run asked. The stand-in has another port each time."""
    host = urlsplit(target).hostname
    return "this machine" if host in {"127.0.0.1", "::1", "localhost"} else target.rstrip("/")


def _rows(folder: Path, manifest: Manifest) -> list[dict[str, Any]]:
    """What each prompt came to under each variant, in all phases, with the paths its repeats took."""
    key = ["case_id", "variant"]
    cases = scan("cases", folder).group_by(key, maintain_order=True)
    came = cases.agg(pl.col(*_STATES).sum(), pl.col("asked", "checks", "quarantined").first())
    paths = _paths(folder).group_by(key).agg(paths="path")
    frame = came.join(paths, on=key, how="left", maintain_order="left").collect()
    judges = [manifest.judge, manifest.embeddings]
    judged = set(_judged(folder)) if any(judges) else set()
    return [
        row | {"by": judges if (row["case_id"], row["variant"]) in judged else None}
        for row in frame.iter_rows(named=True)
    ]


def _judged(folder: Path) -> Iterator[Pair]:
    """The prompts that were graded by a judge, or by likeness."""
    by_judge = scan("grades", folder).filter(pl.col("judge").is_not_null()).select("trial_id").unique()
    trials = scan("trials", folder).join(by_judge, on="trial_id", how="semi")
    yield from trials.select("case_id", "variant").unique().collect().iter_rows()


def _paths(folder: Path) -> pl.LazyFrame:
    """For each repeat that was graded the tools it called, in order, in the last attempt of each turn."""
    graded = scan("trials", folder).filter(pl.col("state").is_in(["passed", "failed"]))
    sent = scan("exchanges", folder).select("exchange_id", "trial_id", "turn_id", "attempt")
    last = sent.filter(pl.col("attempt") == pl.col("attempt").max().over("trial_id", "turn_id"))
    calls = scan("tool_calls", folder).select("exchange_id", "name")
    made = calls.join(last, on="exchange_id", maintain_order="left")
    tools = made.group_by("trial_id").agg(path=pl.col("name").fill_null("?").str.join("\0"))
    found = graded.select("trial_id", "case_id", "variant").join(tools, on="trial_id", how="left")
    return found.with_columns(pl.col("path").fill_null(""))


# What the nights of a prompt come to


class _Told(NamedTuple):
    """What a prompt came to in the run of that number."""

    run: int
    row: dict[str, Any]

    @property
    def key(self) -> tuple[Any, ...]:
        """What has to be the same for two nights to be of the same prompt."""
        return self.row["asked"], self.row["checks"], self.row["by"]


def _nights(kept: Sequence[_Run]) -> dict[Pair, list[_Told]]:
    nights: dict[Pair, list[_Told]] = {}
    for number, run in enumerate(kept):
        for row in run.rows:
            nights.setdefault((row["case_id"], row["variant"]), []).append(_Told(number, row))
    return nights


def _listed(
    nights: Mapping[Pair, list[_Told]], kept: Sequence[_Run]
) -> tuple[dict[Pair, list[_Told]], tuple[Pair, ...]]:
    """The prompts that the last run of the whole suite asked, or one after it; and those that are gone."""
    of_all = (at for at, run in enumerate(kept) if not any(map(run.manifest.choice.get, PARTS)))
    newest = max(of_all, default=0)
    gone = tuple(pair for pair, told in nights.items() if told[-1].run < newest)
    return {pair: told for pair, told in nights.items() if told[-1].run >= newest}, gone


def _same(told: Sequence[_Told]) -> list[_Told]:
    """Those nights in which it was asked and graded as in its last run."""
    return [each for each in told if each.key == told[-1].key]


def _entries(
    nights: Mapping[Pair, list[_Told]], kept: Sequence[_Run], half_life_days: float
) -> Iterator[Entry]:
    newest = kept[-1].began
    ages = [(newest - run.began).total_seconds() / 86_400 for run in kept]
    counts = {
        pair: [Night(each.row["passed"], each.row["failed"], ages[each.run]) for each in _same(told)]
        for pair, told in nights.items()
    }
    changes = _changes(counts)
    for pair, told in nights.items():
        entry = _entry(
            pair, counts[pair], told, days=[run.day for run in kept], half_life_days=half_life_days
        )
        change = changes.get(pair)
        new = _is_newly_failing(counts[pair], change, half_life_days)
        if change is not None:
            day = kept[_same(told)[change.night].run].day
            entry = structs.replace(entry, since=day, before=change.before, after=change.after)
        yield structs.replace(entry, newly_failing=new and entry.name != "stable pass")


def _entry(
    pair: Pair, nights: Sequence[Night], told: Sequence[_Told], *, days: list[str], half_life_days: float
) -> Entry:
    masses, same = belief(nights, half_life_days), _same(told)
    red = [days[each.run] for each in same if each.row["failed"]]
    paths = [path for each in same for path in each.row["paths"] or ()]
    return Entry(
        *pair,
        masses.name,
        dict(zip(_MASSES, masses, strict=True)),
        runs=sum(night.passes + night.failures > 0 for night in nights),
        passed=sum(night.passes for night in nights),
        failed=sum(night.failures for night in nights),
        missing=sum(each.row[state] for each in same for state in _MISSING),
        otherwise=len(told) - len(same),
        flip_rate=flip_rate(nights),
        last_failed=red[-1] if red else None,
        quarantined=told[-1].row["quarantined"],
        paths=len(set(paths)),
        path_bits=entropy(paths),
    )


def _changes(counts: Mapping[Pair, Sequence[Night]]) -> dict[Pair, Since]:
    """The changes of which one in ten is chance (Benjamini and Hochberg), however many prompts there are."""
    found = {pair: change for pair, nights in counts.items() if (change := since(nights)) is not None}
    adjusted = benjamini_hochberg([change.p for change in found.values()])
    pairs = zip(found.items(), adjusted, strict=True)
    return {pair: change for (pair, change), q in pairs if q <= _FALSE_CHANGES}


def _is_newly_failing(nights: Sequence[Night], change: Since | None, half_life_days: float) -> bool:
    if change is not None:
        return change.after < change.before and nights[change.night].age_days <= half_life_days
    *before, last = [night for night in nights if night.passes + night.failures] or [Night(0, 0)]
    return bool(before) and last.failures > 0 and not any(night.failures for night in before)


def _drifts(nights: Mapping[Pair, list[_Told]], kept: Sequence[_Run]) -> Iterator[Drift]:
    """The variants whose pass rate crept down, by the nights in which half of their prompts came to anything.

    Each prompt is held against its own mean, so that one that came or went moves nothing.
    """
    days = [run.day for run in kept]
    for variant in dict.fromkeys(variant for _, variant in nights):
        told = [own for (_, name), own in nights.items() if name == variant]
        off: dict[int, list[tuple[float, float]]] = {}
        for own in told:
            for run, value, variance in _off_mean(own):
                off.setdefault(run, []).append((value, variance))
        runs = sorted(run for run, found in off.items() if 2 * len(found) >= len(told))
        values = [sum(value for value, _ in off[run]) / len(off[run]) for run in runs]
        noise = [sqrt(sum(variance for _, variance in off[run])) / len(off[run]) for run in runs]
        alarm = drift(values, noise)
        if alarm is not None:
            yield Drift(variant, days[runs[alarm.night]], days[runs[alarm.since]], len(runs))


def _off_mean(told: Sequence[_Told]) -> Iterator[tuple[int, float, float]]:
    """For each night its run, by how much the pass rate is off that of all nights, and its variance."""
    same = _same(told)
    passed, failed = (sum(each.row[state] for each in same) for state in ("passed", "failed"))
    if not passed + failed:
        return
    mean, likely = passed / (passed + failed), (passed + 0.5) / (passed + failed + 1)
    for each in same:
        repeats = each.row["passed"] + each.row["failed"]
        if repeats:
            yield each.run, each.row["passed"] / repeats - mean, likely * (1 - likely) / repeats


def _asked_again(again: Iterable[_Run], nights: Mapping[Pair, list[_Told]]) -> dict[Pair, Again]:
    """What prompts came to when they were last asked again, in the same words and graded by the same."""
    found = {}
    for number, run in enumerate(sorted(again, key=lambda each: each.began)):
        keys = {(row["case_id"], row["variant"]): _Told(number, row).key for row in run.rows}
        for told in run.manifest.confirmed or ():
            pair = told["case_id"], told["variant"]
            if pair in nights and keys.get(pair) == nights[pair][-1].key:
                found[pair] = convert(told | {"day": run.day}, Again)
    return found


# What to do about it


def is_held(entry: Entry, today: datetime) -> bool:
    """Whether its quarantine goes on."""
    return (entry.quarantined or "") >= f"{today:%Y-%m-%d}"


def quarantine_lines(told: Ledger, today: datetime) -> Iterator[str]:
    """For each flaky or newly failing prompt that decides still, the line that lets it decide nothing.

    For two weeks, and under all variants where it is no better under any.
    """
    until = f"{today + _QUARANTINE:%Y-%m-%d}"
    of_prompt: dict[str, list[Entry]] = {}
    for entry in told.entries:
        of_prompt.setdefault(entry.case_id, []).append(entry)
    for case_id, entries in of_prompt.items():
        bad = [entry for entry in entries if _is_to_be_held(entry, today)]
        if bad and len(bad) == len(entries):
            yield _line(case_id, None, until, bad[0].why)
        else:
            yield from (_line(case_id, entry.variant, until, entry.why) for entry in bad)


def _is_to_be_held(entry: Entry, today: datetime) -> bool:
    return (entry.name == "flaky" or entry.newly_failing) and not is_held(entry, today)


def _line(case_id: str, variant: str | None, until: str, reason: str) -> str:
    which = f"prompt: {_scalar(case_id)}" + (f", variant: {_scalar(variant)}" if variant is not None else "")
    return f'  - {{{which}, until: "{until}", reason: {json.dumps(reason)}}}'


def _scalar(text: str) -> str:
    """*text* as YAML has it, in quotes where it would be read as something else."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
