"""A run and its baseline -> what a gate rules on: which arms are held against which, and what is doubted.

The same for a run that is over and for one that goes on: whoever asks hands in the tables.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import polars as pl
from msgspec import Struct, structs

from harness.compare.arms import Arm, Source, prompts
from harness.compare.comparison import Asked, line, what_differs
from harness.conduct.finish import claims_latency
from harness.errors import Exit, UsageError, did_you_mean
from harness.gate.ruling import Bench, Looks, Ruling, Word, ruling
from harness.grade.states import State
from harness.plan.trials import Plan
from harness.record import baselines, store
from harness.record.runs import planned, run_folder
from harness.record.tables import scan
from harness.report.outcome import judged
from harness.stats.judges import Corrected
from harness.stats.many import holm
from harness.stats.paired import Difference
from harness.suite.gates import Rule, rules_of
from harness.suite.metric import metric
from harness.suite.model import Suite
from harness.suite.read import load_suite
from harness.suite.resolve import resolve_variants
from harness.summarise.summary import JudgeRow
from harness.verdict.word import Verdict

_OF_CHECKS = ("passes", "score", "check", "pass@", "pass^")


NO_GATES = (
    "no gates: they say when a run is good enough, such as gates: {rules: [{metric: error_rate, max: 5%}]}; "
    "docs/gates.md has all rules"
)


@dataclass(frozen=True, slots=True)
class Against:
    """What a run is held against: another variant of it (no *folders*), or the runs of a stored baseline."""

    name: str
    folders: tuple[Path, ...] = ()

    @property
    def is_variant(self) -> bool:
        """Whether it is part of the run itself."""
        return not self.folders


def against(
    suite: Suite, variants: Iterable[str], results: Path, wanted: str | None = None
) -> Against | None:
    """What the rules of *suite* compare with: *wanted*, else what its gates name; None where no rule does.

    Raises `UsageError` where a rule compares and there is no baseline.
    """
    gates = suite.gates
    compares = [rule.told for rule in rules_of(suite) if rule.compares]
    name = wanted or (gates.baseline if gates else None)
    if name is None:
        if compares:
            raise UsageError(
                f"the rule {compares[0]} compares, and nothing says with what: gates.baseline names a "
                "variant or a stored baseline, --baseline NAME or RUN one for this time"
            )
        return None
    if name in set(variants):
        return Against(name)
    if name in resolve_variants(suite):
        raise UsageError(
            f"the baseline {name} is a variant that is not among those chosen: --variant {name}, too"
        )
    try:
        found = baselines.find(name, suite.name, results=results, suite_path=suite.path)
        return Against(name, found.folders)
    except UsageError:
        if wanted is None:
            raise
        try:
            folder = run_folder(name, results)
        except UsageError as neither:
            raise UsageError(f"{name} is no baseline of {suite.name}, and {neither}") from None
        baselines.refuse_selected(store.read_manifest(folder), "Hold it against a run of the suite")
        return Against(name, (folder,))


@dataclass(frozen=True, slots=True)
class Pair:
    """Two arms to be compared, and what else is different between their runs."""

    before: Arm
    after: Arm
    flags: tuple[str, ...]


def pairs(before: str, after: str, results: Path, *, run: str | None = None) -> list[Pair]:
    """What people mean by two names: each a RUN, a RUN:VARIANT or a baseline; or two variants of *run*.

    Of two runs each variant that both have is compared with itself, in each phase; those that have one each
    are, whatever they are called. Raises `UsageError` for what does not exist, or leaves nothing to compare.
    """
    if run is not None:
        before, after = f"{run}:{before}", f"{run}:{after}"
    was, now = _side(before, results), _side(after, results)
    if was == now:
        raise UsageError(f"{before} and {after} are the same variant of the same run")
    names = _matched(was, now)
    flags: tuple[str, ...] = ()
    if was.folders != now.folders:
        manifests = [[store.read_manifest(folder) for folder in side.folders] for side in (was, now)]
        flags = tuple(
            dict.fromkeys(note for old in manifests[0] for note in what_differs(old, manifests[1][-1]))
        )
    sources = [tuple(map(source, side.folders)) for side in (was, now)]
    phases = [phase for phase in was.phases if phase in now.phases]
    found = [
        Pair(Arm(sources[0], one, phase), Arm(sources[1], other, phase), flags)
        for one, other in names
        for phase in phases
    ]
    there = [pair for pair in found if len(pair.before.trials) and len(pair.after.trials)]
    if not there:
        raise UsageError(f"{before} and {after} have no phase with trials in common")
    return there


@dataclass(frozen=True, slots=True)
class _Side:
    folders: tuple[Path, ...]
    variant: str | None
    variants: tuple[str, ...]
    phases: tuple[str, ...]


def _side(written: str, results: Path) -> _Side:
    """A run, a baseline, or a variant of one of them."""
    name, variant = written, None
    folders = _folders(name, results, is_whole=":" not in written)
    if not folders:
        name, _, variant = written.partition(":")
        folders = _folders(name, results, is_whole=True)
    cases = pl.concat(
        [scan("cases", folder).select("variant", "phase").unique(maintain_order=True) for folder in folders]
    )
    frame = cases.collect()
    variants = tuple(dict.fromkeys(frame["variant"].to_list()))
    if variant is not None and variant not in variants:
        raise UsageError(
            f"{name} has no variant {variant}; it has {', '.join(variants)}{did_you_mean(variant, variants)}"
        )
    return _Side(tuple(folders), variant, variants, tuple(dict.fromkeys(frame["phase"].to_list())))


def _folders(name: str, results: Path, *, is_whole: bool) -> list[Path]:
    """The folders of a run or a baseline; with *is_whole* there has to be one."""
    try:
        return [run_folder(name, results)]
    except UsageError:
        found = baselines.anywhere(name, results)
        if not found and is_whole:
            raise
        return found


def _matched(was: _Side, now: _Side) -> list[tuple[str, str]]:
    """Which variant is compared with which."""
    one = [was.variant] if was.variant else list(was.variants)
    other = [now.variant] if now.variant else list(now.variants)
    if len(one) == len(other) == 1:
        return [(one[0], other[0])]
    common = [(name, name) for name in one if name in other]
    if not common:
        raise UsageError(
            f"which variants? before has {', '.join(one)}, after has {', '.join(other)}: say RUN:VARIANT, "
            "or --of RUN and two variants"
        )
    return common


def source(folder: Path) -> Source:
    """The tables of the run in *folder*, not read yet."""
    return Source(folder.name, partial(_scan, folder), partial(_judged, folder))


def _judged(folder: Path) -> dict[tuple[str, str], Corrected]:
    """What the labels of a run make of its judge's pass rates, by check and variant."""
    try:
        told = msgspec.json.decode((folder / store.SUMMARY).read_bytes(), type=_Judges)
    except (OSError, msgspec.DecodeError):
        return {}
    return {(row.check, row.variant): row.corrected for row in told.judges}


class _Judges(Struct):
    judges: tuple[JudgeRow, ...] = ()


def _scan(folder: Path, name: str) -> pl.LazyFrame:
    return scan(name, folder)


def live_source(run: str, frames: Mapping[str, pl.DataFrame]) -> Source:
    """The tables of a run that goes on."""
    return Source(run, lambda name: frames[name].lazy())


@dataclass(frozen=True, slots=True)
class Standing:
    """A run as far as a gate looks at it: its tables, and what is known of it beside."""

    plan: Plan
    manifest: store.Manifest
    own: Source
    verdict: Verdict | None = None


def bench(run: Standing, than: Against | None, *, suite: Suite | None = None) -> Bench:
    """What the gate of *run* rules on; by the gates of *suite* in place of its own, if there is one.

    Raises `UsageError` where there are no gates, and `RunDirectoryError` where a baseline cannot be read.
    """
    suite = suite or run.plan.suite
    if suite.gates is None:
        raise UsageError(f"{suite.path} has {NO_GATES}")
    phases = list(run.plan.suite.load)
    variants = list(run.plan.variants)
    own = (run.own,)
    arms = {(variant, phase): Arm(own, variant, phase) for variant in variants for phase in phases}
    others: tuple[store.Manifest, ...] = ()
    baselines: dict[tuple[str, str], Arm] = {}
    if than is not None and than.is_variant:
        baselines = {(variant, phase): arms[than.name, phase] for variant, phase in arms}
    elif than is not None:
        others = tuple(store.read_manifest(folder) for folder in than.folders)
        baselines = _stored(than, arms)
    doubts = _Doubts(run, others, arms, baselines)
    notes = [note for other in others for note in what_differs(other, run.manifest)]
    return Bench(
        suite.gates,
        rules_of(suite),
        arms,
        baselines,
        than.name if than is not None else None,
        phases[0],
        doubt=doubts.of,
        notes=tuple(dict.fromkeys(notes)),
    )


def _stored(than: Against, arms: Mapping[tuple[str, str], Arm]) -> dict[tuple[str, str], Arm]:
    """For each arm the one of the baseline's that has its name; the only one it has stands for any."""
    sources = tuple(map(source, than.folders))
    there = pl.concat([each.scan("cases").select("variant", "phase").unique() for each in sources]).collect()
    pairs = set(there.iter_rows())
    only = {variant for variant, _ in pairs}
    found: dict[tuple[str, str], Arm] = {}
    for variant, phase in arms:
        name = variant if (variant, phase) in pairs else next(iter(only)) if len(only) == 1 else None
        if name is not None and (name, phase) in pairs:
            found[variant, phase] = Arm(sources, name, phase)
    return found


@dataclass(frozen=True)
class _Doubts:
    """Why nothing can be ruled on a rule, whatever was found."""

    run: Standing
    others: Sequence[store.Manifest]
    arms: Mapping[tuple[str, str], Arm]
    baselines: Mapping[tuple[str, str], Arm]

    def of(self, rule: Rule, variant: str) -> str:
        """The first doubt about *rule* for *variant*; empty where there is none."""
        verdict = self.run.verdict
        if rule.metric.is_time and verdict is not None and verdict.forbids_latency:
            return f"no latency of this run may be called the server's: its verdict is {verdict.word}"
        if not rule.compares:
            return ""
        for each in (self.run.manifest, *self.others):
            if each.changed:
                return f"the target changed while {each.run_id} went on: {', '.join(each.changed)}"
        for other in self.others if rule.metric.kind in _OF_CHECKS else ():
            mine = self.run.manifest
            if other.judge != mine.judge or other.embeddings != mine.embeddings:
                again = f"harness grade {other.run_id} --suite {mine.suite_path}"
                return (
                    f"{other.run_id} was graded by another judge ({other.judge or 'none'}, here "
                    f"{mine.judge or 'none'}): grade it again first, {again}"
                )
        return self._unproven(variant, rule.load or next(iter(self.run.plan.suite.load)))

    def _unproven(self, variant: str, phase: str) -> str:
        arm, baseline = self.arms.get((variant, phase)), self.baselines.get((variant, phase))
        if arm is None or baseline is None:
            return ""
        settings = unproven(baseline, arm)
        if not settings:
            return ""
        return f"no reply shows that what the arms differ in took effect: {', '.join(settings)}"


def unproven(before: Arm, after: Arm) -> list[str]:
    """The settings in which two arms differ, and which no reply of either is known to have obeyed.

    One arm that shows it is enough: what was seen there is not what the other asked for.
    """
    was, now = before.effects, after.effects
    differing = [name for name in {**was, **now} if was.get(name, _NOTHING)[0] != now.get(name, _NOTHING)[0]]
    return [name for name in differing if not (was.get(name, _NOTHING)[1] or now.get(name, _NOTHING)[1])]


_NOTHING: tuple[frozenset[str], bool] = (frozenset(), False)


def ruled(
    run: Standing, than: Against | None, *, suite: Suite | None = None, looks: Looks | None = None
) -> Ruling:
    """What the gate rules on *run*."""
    return ruling(bench(run, than, suite=suite), looks)


class Gated(Struct, frozen=True):
    """A ruling, the exit code that it comes to, and what else speaks against the run."""

    ruling: Ruling
    exit_code: Exit
    why_not_believed: tuple[str, ...] = ()


def gated(folder: Path, results: Path, *, baseline: str | None = None, suite: Path | None = None) -> Gated:
    """What the gate says of the run in *folder*; by the gates of another *suite* if that is given.

    Raises `UsageError` where there are no gates or no baseline, `RunDirectoryError` where tables are missing.
    """
    manifest = store.read_manifest(folder)
    baselines.refuse_selected(manifest, "A gate rules on a run of the suite")
    plan = planned(manifest)
    verdict, own = judged(manifest)
    if own is not None and baseline is None and suite is None:  # as it was ruled then
        run = Standing(plan, manifest, source(folder), verdict)
        return finding(own, run, plan.suite)
    by = plan.suite if suite is None else load_suite(suite)
    than = against(by, plan.variants, results, baseline)
    run = Standing(plan, manifest, source(folder), verdict)
    found = ruled(run, than, suite=by)
    if manifest.decided is not None:
        early = "the run was stopped early by a gate: what it found is farther from the limits than it is"
        found = structs.replace(found, notes=(*found.notes, early))
    return finding(found, run, by)


def finding(found: Ruling, run: Standing, by: Suite) -> Gated:
    """What *found* comes to for *run*: a run that is not whole, or not to be believed, does not pass."""
    verdict, manifest = run.verdict, run.manifest
    claims = claims_latency(run.plan) or any(rule.is_time for rule in found.rules)
    forbidden = claims and verdict is not None and verdict.forbids_latency
    states = run.own.scan("trials").filter(pl.col("state") == str(State.INVALID))
    invalid = int(states.select(pl.len()).collect().item())
    interrupted = manifest.interrupted or manifest.exit_code is None
    told = [f"{invalid} trials are invalid: their variant did not take effect"] if invalid else []
    told += ["the run was interrupted"] if interrupted else []
    told += [f"no latency may be claimed: the verdict is {verdict.word}"] if forbidden and verdict else []
    bad = invalid > 0 or interrupted or forbidden
    on_inconclusive = by.gates.on_inconclusive if by.gates is not None else "warn"
    return Gated(found, Exit.INCOMPLETE if bad else _exit(found.word, on_inconclusive), tuple(told))


def _exit(word: Word, on_inconclusive: str) -> Exit:
    match word:
        case Word.PASS:
            return Exit.OK
        case Word.FAIL:
            return Exit.FAILED
        case Word.INCONCLUSIVE:
            return Exit.FAILED if on_inconclusive == "fail" else Exit.INCOMPLETE


def set_baseline(name: str, folders: Sequence[Path], results: Path, *, pin: bool, anyway: bool) -> str:
    """Give runs a name, or keep them beside their suite; a sentence says what was done.

    Raises `UsageError` for runs of several suites, runs that are no ordinary ones and, of several, one whose
    pass rate is unlike that of the others.
    """
    manifests = [store.read_manifest(folder) for folder in folders]
    for manifest in manifests:
        baselines.refuse_selected(manifest, "A baseline is a run of the suite")
    suites = {manifest.suite for manifest in manifests}
    if len(suites) > 1:
        raise UsageError(f"a baseline is of one suite, and these are of {', '.join(sorted(suites))}")
    suite, suite_path = manifests[0].suite, Path(manifests[-1].suite_path)
    wrong = [f"{each.run_id}: {why}" for each in manifests for why in baselines.why_not_whole(each)]
    wrong += _unlike(folders)
    if wrong and not anyway:
        raise UsageError("\n".join(wrong) + "\n--anyway takes it all the same")
    if pin:
        where = baselines.pin(name, folders, suite, suite_path=suite_path)
        return f"baseline {name} of {suite} is pinned in {where}: commit it with the suite"
    if any(
        each.pinned and each.name == name
        for each in baselines.listed(suite, results=results, suite_path=suite_path)
    ):
        raise UsageError(
            f"baseline {name} of {suite} is pinned beside the suite: --pin puts these in its place"
        )
    outside = [folder for folder in folders if folder.parent.resolve() != (results / suite).resolve()]
    if outside:
        raise UsageError(
            f"{outside[0]} is not in {results / suite}: --results says where, or --pin copies it"
        )
    baselines.keep(name, folders, suite, results=results)
    return f"baseline {name} of {suite}: {', '.join(folder.name for folder in folders)}"


def _unlike(folders: Sequence[Path]) -> list[str]:
    """The runs whose pass rate is unlike that of the others, by a test of 5 % over all of them (Holm)."""
    if len(folders) < 2:
        return []
    cases = pl.concat([scan("cases", folder).select("variant", "phase").unique() for folder in folders])
    arms = sorted(cases.unique().collect().iter_rows())
    found: list[tuple[str, float, Difference]] = []
    for at, folder in enumerate(folders):
        others = tuple(source(each) for number, each in enumerate(folders) if number != at)
        for variant, phase in arms:
            one, rest = Arm((source(folder),), variant, phase), Arm(others, variant, phase)
            told = line(rest, one, prompts(rest, one), metric("pass_rate"), asked=Asked()).difference
            if told is not None and told.p is not None:
                found.append((f"{folder.name} [{variant}]", told.p, told))
    return [
        f"{name} passes {told.after:.1%} where the others pass {told.before:.1%} (p = {p:.3f}): what changed?"
        for (name, _, told), p in zip(found, holm([p for _, p, _ in found]), strict=True)
        if p <= 0.05
    ]
