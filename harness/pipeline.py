"""`run(suite)`: suite -> plan -> drive -> record -> grade -> summarise; the only place that knows all stages.

What has to hold before anything is sent is checked first, in the order in which
it is cheapest: the suite, the plan, the target, the names. Only then is a
folder made, and from then on every trial leaves a line in it.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain, islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl
from msgspec import structs, to_builtins

from harness import journal
from harness.audit import Evidence, audit
from harness.calibrate.kept import exactness
from harness.conduct import Conduct, Options, conduct, say
from harness.drive.attach import attached, files_of
from harness.drive.loop import in_a_loop
from harness.drive.preflight import address_of, resolved
from harness.drive.reins import make_room
from harness.errors import Exit, UsageError
from harness.grade.checks import grade
from harness.grade.states import State, standing
from harness.plan import Plan, Trial, make_plan
from harness.record import store
from harness.record.conserved import broken
from harness.record.histograms import Histograms
from harness.record.runs import planned
from harness.record.tables import Judged, Tables, write
from harness.record.tokens import count_tokens
from harness.report.live import counted
from harness.report.terminal import NotPassed
from harness.result import Moment, Result, Skip
from harness.sigma.catalogue import Catalogue
from harness.sigma.client import Address
from harness.sigma.fingerprint import fingerprint
from harness.sigma.session import SessionDetail
from harness.signs import signs_of
from harness.suite.expect import OF_TIME
from harness.suite.model import Suite
from harness.suite.read import load_suite
from harness.summarise import Summary, summarise
from harness.verdict import Verdict, verdict

__all__ = ["Options", "Run", "exit_of", "judge", "remade", "run"]


@dataclass(frozen=True, slots=True, repr=False)
class Run:
    """A finished run: where it is and what it found.

    *tables* are the Parquet tables as polars frames; results/README.md has their
    columns. *exit_code* is what `harness run` ends with.
    """

    folder: Path
    manifest: store.Manifest
    summary: Summary
    tables: Mapping[str, pl.DataFrame]
    verdict: Verdict
    exit_code: Exit

    def __repr__(self) -> str:
        return f"<Run {self.folder}: {self.manifest.planned} trials, exit {self.exit_code:d}>"

    def not_passed(self) -> list[NotPassed]:
        """(state, case, variant, reason) of every trial that did not pass, in the order of the journal."""
        trials = self.tables["trials"].filter(pl.col("state") != State.PASSED)
        return trials.select("state", "case_id", "variant", pl.col("reason").fill_null("")).rows()


def run(suite: Suite | str | Path, options: Options | None = None) -> Run:
    """Run *suite* (or the suite in a file) and leave its results in a folder of its own.

    Works in a notebook too: where an event loop is running already, the run gets
    a thread of its own. Raises `harness.errors.HarnessError`: `SuiteError` and
    `UsageError` before anything is sent, `TargetError` and `StandinError` where
    no Sigma answers, `RunDirectoryError` where the results cannot be written.
    """
    options = options or Options()
    suite = suite if isinstance(suite, Suite) else load_suite(suite)
    return in_a_loop(partial(_run, suite, make_plan(suite, options.choice, seed=options.seed), options))


async def _run(suite: Suite, plan: Plan, options: Options) -> Run:
    if not plan.trials and not plan.cycles:
        raise UsageError("nothing to run: no trial is left after the choice of variants, prompts and tags")
    if options.workers is not None and all(load.is_open for load in suite.load.values()):
        raise UsageError("--workers: the load of this suite is open and has none; max_in_flight limits it")
    make_room(options.workers or max(load.slots for load in suite.load.values()))
    for load in suite.load.values():
        if load.max_in_flight is not None:
            make_room(load.max_in_flight, what="trials in flight (max_in_flight)")
    async with address_of(suite, options.target) as given:
        plan, catalogue, address = await resolved(plan, given)
        for warning in (*suite.warnings, *catalogue.warnings):
            say(options.console, f"warning: {warning}", style="yellow")
        said: list[str] = []
        with counted(options.console, "files uploaded and processed", len(files_of(plan))) as done:
            async with attached(plan, address, say=said.append, done=done) as plan:
                started = datetime.now(UTC), time.perf_counter_ns()
                folder = store.new_run(options.results, suite.name, started[0])
                manifest = _manifest(plan, catalogue, address, run_id=folder.name, started=started)
                store.write_manifest(manifest, folder)
                going = Conduct(plan, address, options, folder, catalogue=catalogue)
                await conduct(going)
        for words in said:
            going.warn(words)
        manifest = structs.replace(
            manifest,
            ended_ns=time.perf_counter_ns(),
            interrupted=going.reins.interrupted,
            clock_steps=going.clock_steps,
            in_flight_ns=going.reins.in_flight_ns,
            warnings=(*manifest.warnings, *going.warnings),
            deleted=going.deleted,
            changed=tuple(going.changed),
        )
    say(options.console, "writing tables and histograms …")
    finished = _finish(plan, manifest, folder)
    store.point_latest(folder)
    return finished


def remade(folder: Path) -> Run:
    """The run in *folder* with everything made anew from its journal and manifest: nothing is asked of Sigma.

    So a corrected reading, check or definition applies to a run of last year. Raises `RunDirectoryError`, and
    `SuiteError` or `UsageError` where the suite of that run is none of this version, or its files are others.
    """
    manifest = store.read_manifest(folder)
    return _finish(planned(manifest), manifest, folder, killed=manifest.exit_code is None)


def _finish(plan: Plan, manifest: store.Manifest, folder: Path, *, killed: bool = False) -> Run:
    """Everything that is made from the journal: grades, states, tables, histograms, summary.

    Of a run that was *killed*, the trials without a result were interrupted.
    """
    trials = _sent(plan, folder)
    tables, histograms = Tables(count_tokens), Histograms()
    sessions = journal.sessions(folder / store.JOURNAL)
    known = Evidence(manifest.called, manifest.providers)
    for result in _results(trials, folder, killed=killed):
        judged = judge(result, trials[result.trial_id], known, sessions)
        tables.add(judged)
        if judged.is_measured:
            histograms.add(result)
            histograms.add_gaps(result)
    moments = journal.moments(folder / store.JOURNAL)
    for moment in moments:
        tables.add_moment(moment)
    frames = tables.frames()
    if len(frames["trials"]) != len(trials):
        raise AssertionError(f"{len(trials)} trials were planned and {len(frames['trials'])} have a result")
    summary = summarise(frames, plan.variants)
    signs = signs_of(
        frames,
        moments,
        plan.suite.load,
        clock_steps=manifest.clock_steps,
        broken=broken(frames, manifest.in_flight_ns),
    )
    believed = verdict(signs)
    claimed = believed if claims_latency(plan) else None
    exit_code = exit_of(summary, interrupted=manifest.interrupted, verdict=claimed)
    told = to_builtins(believed)
    exact = manifest.calibration or _calibration(moments, frames, folder)
    manifest = structs.replace(manifest, exit_code=int(exit_code), verdict=told, calibration=exact)
    write(frames, folder)
    histograms.write(folder)
    told = {"verdict": told, "calibration": exact}
    store.write_json(told | to_builtins(summary), folder / store.SUMMARY)
    store.write_manifest(manifest, folder)
    return Run(folder, manifest, summary, frames, believed, exit_code)


def _results(trials: Mapping[str, Trial], folder: Path, *, killed: bool) -> Iterator[Result]:
    missing = dict(trials)
    for result in journal.read(folder / store.JOURNAL):
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
    """The trials of the run by id: all that were planned, and of each cycle as many as it came to."""
    trials = {trial.trial_id: trial for trial in plan.trials}
    if plan.cycles:
        came_to = Counter(result.phase for result in journal.read(folder / store.JOURNAL))
        for name in plan.cycles:
            trials |= {trial.trial_id: trial for trial in islice(plan.phase(name), came_to[name])}
    return trials


def judge(
    result: Result,
    trial: Trial,
    known: Evidence,
    sessions: Mapping[str, SessionDetail] = MappingProxyType({}),
) -> Judged:
    """*result* with its audit, its grades and its state; *sessions* are what the server kept, by id."""
    findings = {
        exchange.exchange_id: audit(
            exchange.request,
            exchange.transcript,
            replace(
                known,
                session=sessions.get(exchange.session_id or ""),
                session_info=exchange.session_info or {},
            ),
        )
        for exchange in result.exchanges
        if exchange.transcript is not None
    }
    grades = grade(result, trial)
    last = [finding for exchange in result.turns for finding in findings.get(exchange.exchange_id, ())]
    return Judged(result, grades, findings, standing(result, last, grades), sessions)


def _calibration(
    moments: Sequence[Moment], frames: Mapping[str, pl.DataFrame], folder: Path
) -> dict[str, Any]:
    """How exact the times of a run are, by what was calibrated for a load as high as its own."""
    arrived = frames["packets"]["arrived_ns"].drop_nulls()
    per_second = (arrived // 1_000_000_000).value_counts()["count"]
    streams = max((moment.in_flight for moment in moments), default=1)
    told: dict[str, Any] = to_builtins(
        exactness(folder.parent.parent, streams, float(per_second.quantile(0.9) or 0.0))
    )
    return told


def claims_latency(plan: Plan) -> bool:
    """Whether the suite says something about time: by an open phase, or by a check of one."""
    if any(load.is_open for load in plan.suite.load.values()):
        return True
    cases = {id(asked.case): asked.case for asked in plan.asked()}.values()
    checks = chain.from_iterable(
        (*case.conversation_asserts, *chain.from_iterable(turn.assert_ for turn in case.turns))
        for case in cases
    )
    return any(expect.type in OF_TIME for expect in checks)


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


def _manifest(
    plan: Plan, catalogue: Catalogue, address: Address, *, run_id: str, started: tuple[datetime, int]
) -> store.Manifest:
    """What is known before the first trial; *started* is one moment on the wall clock and on ours."""
    suite = plan.suite
    return store.Manifest(
        run_id=run_id,
        suite=suite.name,
        suite_path=str(suite.path),
        suite_text=suite.text,
        target=address.base_url,
        dialect=address.dialect,
        seed=plan.seed,
        choice=asdict(plan.choice),
        called=catalogue.called,
        providers=catalogue.providers or (),
        planned=len(plan.trials),
        started_at=started[0].isoformat(),
        started_ns=started[1],
        fingerprint=fingerprint(catalogue),
        warnings=(*suite.warnings, *catalogue.warnings),
        versions=store.versions(),
    )
