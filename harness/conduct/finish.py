"""Journal -> grades, states, tables, histograms, summary, verdict: all that is made of what was recorded.

The same for a run that has just ended and for one of last year that is graded again: nothing is asked of
Sigma here, and what others had to say has been asked before (`harness.conduct.consult`).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl
from msgspec import convert, structs, to_builtins
from rich.console import Console

from harness import journal
from harness.audit import Evidence, audit
from harness.calibrate.kept import Exactness, exactness
from harness.drive.collector import out_of_reach
from harness.errors import Exit, UsageError
from harness.gate.ruling import Ruling
from harness.grade.checks import each_check, expected_failures, grade
from harness.grade.reduce import Reduced, Repeat, reduced
from harness.grade.states import State, standing
from harness.grade.subject import Known
from harness.plan.trials import Plan, Trial
from harness.record import labels, store
from harness.record.conserved import broken
from harness.record.histograms import Histograms
from harness.record.rows import case_row
from harness.record.tables import FROM_GRADES, Judged, Stored, Tables, read_figures, write
from harness.record.tokens import count_tokens
from harness.report.live import counted
from harness.report.terminal import NotPassed
from harness.result import Moment, Result, Skip
from harness.sigma.session import SessionDetail
from harness.stats.judges import Labelled
from harness.suite.asserts.stream import TimeCheck
from harness.suite.gates import Held, held_on
from harness.summarise.fairness import fairness
from harness.summarise.summary import NEEDED, Checked, JudgeRow, Summary, judge_rows, summarise
from harness.verdict.signs import signs_of
from harness.verdict.word import Verdict, verdict


@dataclass(frozen=True, slots=True, repr=False)
class Run:
    """A finished run: where it is and what it found.

    *tables* are the Parquet tables as polars frames; results/README.md has their
    columns. *exit_code* is what `harness run` ends with. *ruling* is the gate's, where it was asked,
    and *confirmed* has a sentence for each prompt that was to be confirmed. *each_once* are the phases of
    which some trials can be asked again by themselves: those without a load to keep up.
    """

    folder: Path
    manifest: store.Manifest
    summary: Summary
    tables: Mapping[str, pl.DataFrame]
    verdict: Verdict
    exit_code: Exit
    ruling: Ruling | None = None
    confirmed: tuple[str, ...] = ()
    each_once: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"<Run {self.folder}: {self.manifest.planned} trials, exit {self.exit_code:d}>"

    def not_passed(self) -> list[NotPassed]:
        """(state, case, variant, reason) of every trial that did not pass, in the order of the journal.

        Those that were not sent since everything was decided are none.

        Of a prompt whose repeats are reduced to one, it is the prompt, and a repeat may have failed.
        """
        columns = ("state", "case_id", "variant", pl.col("reason").fill_null(""))
        bad = (pl.col("state") != State.PASSED) & (pl.col("reason").fill_null("") != str(Skip.DECIDED))
        decided = self.tables["cases"].filter(pl.col("state").is_not_null())
        alone = self.tables["trials"].join(decided, on=["case_id", "variant", "phase"], how="anti")
        return [*alone.filter(bad).select(*columns).rows(), *decided.filter(bad).select(*columns).rows()]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run on disk: its *manifest*, the *plan* that it was made from, and its *trials* by id.

    Of a run that was *killed*, the trials without a result were interrupted.
    """

    folder: Path
    manifest: store.Manifest
    plan: Plan
    trials: Mapping[str, Trial]
    killed: bool = False

    def results(self) -> Iterator[Result]:
        """The result of every trial, as the journal has it. Raises `UsageError` for one of another suite."""
        return _results(self.trials, self.folder, killed=self.killed)


def recorded(folder: Path, manifest: store.Manifest, plan: Plan, *, killed: bool = False) -> Recorded:
    """The run in *folder*, with the trials that it came to."""
    return Recorded(folder, manifest, plan, _sent(plan, folder), killed)


def finish(
    run: Recorded, known: Known | None = None, *, retime: bool = True, console: Console | None = None
) -> Run:
    """Everything that is made from the journal: grades, states, tables, histograms, summary.

    Without *retime* only what grading decides is made anew, and the times stay those of the tables that are
    there: a new definition of a time then leaves the figures of an old run alone.
    """
    folder, manifest, plan = run.folder, run.manifest, run.plan
    known = known or Known(count_tokens=count_tokens)
    moments = journal.moments(folder)
    tables, checked = Tables(count_tokens, folder, plan.suite.prices), Checked()
    with counted(console, "results graded", len(run.trials)) as advance, out_of_reach():
        judged = _judged(run, known, checked, advance=advance)
        if retime:
            frames = _all_anew(run, judged, tables, moments=moments)
        else:
            frames = _graded_anew(run, judged, tables)
    if len(frames["trials"]) != len(run.trials):
        counts = f"{len(run.trials)} trials were planned and {len(frames['trials'])} have a result"
        raise AssertionError(counts)
    summary = summarise(frames, plan.variants, checked)
    if retime:
        believed = _believed(run, frames, moments)
        exact = manifest.calibration or _calibration(moments, frames, run)
    else:  # the times stay, and so does what was said of them
        believed, exact = convert(manifest.verdict, Verdict), manifest.calibration or {}
    shared = tuple(fairness(frames, plan.variants))
    summary = structs.replace(summary, judges=tuple(_judges(run, known)), fairness=shared)
    claimed = believed if claims_latency(plan) else None
    exit_code = exit_of(summary, interrupted=manifest.interrupted, verdict=claimed)
    told: dict[str, Any] = {"verdict": to_builtins(believed), "calibration": exact}
    manifest = structs.replace(manifest, exit_code=int(exit_code), **told)
    anew = frames if retime else {name: frames[name] for name in FROM_GRADES}
    write(anew | {"grades": tables.grades()}, folder)
    tables.forget()
    chosen = {} if manifest.rerun is None else {"rerun": to_builtins(manifest.rerun)}
    store.write_json(told | chosen | to_builtins(summary), folder / store.SUMMARY)
    store.write_manifest(manifest, folder)
    each_once = frozenset(name for name, load in plan.loads.items() if load.asks_each_once)
    return Run(folder, manifest, summary, Stored(folder), believed, exit_code, each_once=each_once)


def _believed(run: Recorded, frames: Mapping[str, pl.DataFrame], moments: Sequence[Moment]) -> Verdict:
    manifest = run.manifest
    books = broken(frames, manifest.in_flight_ns)
    load = run.plan.suite.load
    return verdict(signs_of(frames, moments, load, clock_steps=manifest.clock_steps, broken=books))


def _judges(run: Recorded, known: Known) -> Iterator[JudgeRow]:
    """How good the judge is and what its pass rates are worth, where people labelled some of its answers."""
    path = labels.labels_of(run.plan.suite, run.manifest, run.folder)
    if known.judge is None or not path.is_file():
        return
    told = [label for label in labels.read(path) if label.judge == known.judge]
    items = [
        (item.check, item.variant, item.verdict) for item in labels.items(run.results(), run.trials, known)
    ]
    of_check: dict[str, list[Labelled]] = {}
    for label in told:
        of_check.setdefault(label.check, []).append(Labelled(label.human, label.verdict, label.weight))
    yield from judge_rows(of_check, items, run.plan.variants)


def _all_anew(
    run: Recorded, judged: Iterable[Judged], tables: Tables, *, moments: Sequence[Moment]
) -> dict[str, pl.DataFrame]:
    histograms = Histograms()
    for each in judged:
        tables.add(each)
        if each.is_measured:
            histograms.add(each.result)
            histograms.add_gaps(each.result)
    for moment in moments:
        tables.add_moment(moment)
    histograms.write(run.folder)
    return _with_cases(tables, run.trials, _held(run))


def _graded_anew(run: Recorded, judged: Iterable[Judged], tables: Tables) -> dict[str, pl.DataFrame]:
    there = read_figures(run.folder, NEEDED)
    for each in judged:
        tables.add_grades(each)
    return _with_cases(tables, run.trials, _held(run)) | there


def _held(run: Recorded) -> Held:
    """Which cases were in quarantine on the day of the run."""
    return held_on(run.plan.suite, run.manifest.started_at[:10])


def _with_cases(tables: Tables, trials: Mapping[str, Trial], held: Held) -> dict[str, pl.DataFrame]:
    frames = tables.frames()
    for row in case_rows(frames["trials"], trials, held):
        tables.add_case(row)
    return frames | {"cases": tables.frame("cases")}


def _judged(
    run: Recorded, known: Known, checked: Checked, *, advance: Callable[[], None]
) -> Iterator[Judged]:
    sessions = journal.sessions(run.folder)
    evidence = Evidence(run.manifest.called, run.manifest.providers)
    for result in run.results():
        judged = judge(result, run.trials[result.trial_id], evidence, sessions, known=known)
        checked.add(result, judged.grades)
        advance()
        yield judged


def case_rows(rows: pl.DataFrame, trials: Mapping[str, Trial], held: Held) -> Iterator[dict[str, Any]]:
    """The rows of `cases`: what the repeats of each case under each variant, in each phase, came to.

    *held* says until when a case decides nothing, if it does not.
    """
    groups: dict[tuple[str, str, str], tuple[Trial, list[Repeat]]] = {}
    columns = ("trial_id", "case_id", "variant", "phase", "state", "score")
    for trial_id, case_id, variant, phase, state, score in rows.select(columns).iter_rows():
        repeats = groups.setdefault((case_id, variant, phase), (trials[trial_id], []))[1]
        repeats.append(Repeat(State(state), score))
    for trial, repeats in groups.values():
        how = trial.case.reduce
        came_to = Reduced(None, None, "") if how is None else reduced(repeats, how)
        yield case_row(trial, repeats, came_to, held(trial.case.case_id, trial.variant))


def _results(trials: Mapping[str, Trial], folder: Path, *, killed: bool) -> Iterator[Result]:
    missing = dict(trials)
    for result in journal.read(folder):
        if result.trial_id not in trials:
            raise UsageError(
                f"{folder}: trial {result.trial_id} ({result.case_id}) is none of its suite as that reads "
                "today: a file or a variable that it was made with has changed"
            )
        missing.pop(result.trial_id, None)
        yield result
    for trial in missing.values() if killed else ():
        yield Result(
            trial.trial_id,
            trial.case.case_id,
            trial.variant,
            trial.repeat,
            trial.phase,
            skip=Skip.INTERRUPTED,
        )


def _sent(plan: Plan, folder: Path) -> dict[str, Trial]:
    """The trials of the run by id: all that were planned, and of the others as many as it came to.

    Of a phase that lasts for a time each process goes through its own share, one faster than the other: where
    there were several, what lies before the last that came need not have been sent.
    """
    trials = {trial.trial_id: trial for trial in plan.trials}
    if not (plan.more or plan.cycles):
        return trials
    came = {head.trial_id: head.phase for head in journal.heads(folder)}
    trials |= {trial.trial_id: trial for trial in plan.more if trial.trial_id in came}
    alone = len(journal.journals(folder)) == 1
    for name in plan.cycles:
        found = plan.upto(name, [each for each, phase in came.items() if phase == name])
        trials |= {each: trial for each, trial in found.items() if alone or each in came}
    return trials


def judge(
    result: Result,
    trial: Trial,
    evidence: Evidence,
    sessions: Mapping[str, SessionDetail] = MappingProxyType({}),
    *,
    known: Known | None = None,
) -> Judged:
    """*result* with its audit, its grades and its state; *sessions* are what the server kept, by id."""
    findings = {
        exchange.exchange_id: audit(
            exchange.request,
            exchange.transcript,
            replace(
                evidence,
                session=sessions.get(exchange.session_id or ""),
                session_info=exchange.session_info or {},
            ),
        )
        for exchange in result.exchanges
        if exchange.transcript is not None
    }
    grades = grade(result, trial, findings, known)
    last = [finding for exchange in result.turns for finding in findings.get(exchange.exchange_id, ())]
    came_to = standing(
        result, last, grades, threshold=trial.case.threshold, expected=expected_failures(trial)
    )
    return Judged(result, grades, findings, came_to, sessions)


def _calibration(
    moments: Sequence[Moment], frames: Mapping[str, pl.DataFrame], run: Recorded
) -> dict[str, Any]:
    """How exact the times of a run are, by what was calibrated for a load as high as its own."""
    if not all(node.is_here for node in run.manifest.nodes):
        elsewhere = (
            "the trials were sent from other machines, for which the calibration of this one says nothing"
        )
        unknown: dict[str, Any] = to_builtins(Exactness(why_not=elsewhere))
        return unknown
    arrived = frames["packets"]["arrived_ns"].drop_nulls()
    per_second = (arrived // 1_000_000_000).value_counts()["count"]
    most: Counter[int] = Counter()
    for moment in moments:
        most[moment.process] = max(most[moment.process], moment.in_flight)
    told: dict[str, Any] = to_builtins(
        exactness(run.folder.parent.parent, max(1, most.total()), float(per_second.quantile(0.9) or 0.0))
    )
    return told


def claims_latency(plan: Plan) -> bool:
    """Whether the suite says something about time: by an open phase, or by a check of one."""
    if any(load.is_open for load in plan.suite.load.values()):
        return True
    return any(isinstance(expect.args, TimeCheck) for expect in each_check(plan.asked()))


def exit_of(summary: Summary, *, interrupted: bool, verdict: Verdict | None = None) -> Exit:
    """The exit code of a run without a gate, by the states of its trials (DESIGN section 4).

    *verdict* is given where the suite claims a latency: one that forbids that is no success.
    """
    forbidden = verdict is not None and verdict.forbids_latency
    if interrupted or forbidden or summary.count(State.INVALID):
        return Exit.INCOMPLETE
    if summary.count(State.FAILED):
        return Exit.FAILED
    if summary.count(State.ERROR) or summary.count(State.NOT_RUN):
        return Exit.INCOMPLETE
    return Exit.OK
