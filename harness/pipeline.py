"""`run(suite)`: suite -> plan -> drive -> record -> grade -> summarise; the only place that knows all stages.

What has to hold before anything is sent is checked first, in the order in which
it is cheapest: the suite, the plan, the target, the names. Only then is a
folder made, and from then on every trial leaves a line in it.
"""

import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType

import anyio
import polars as pl
from msgspec import structs
from rich.console import Console

from harness import journal
from harness.audit import Evidence, audit
from harness.drive.loop import in_a_loop
from harness.drive.pool import Reins, cut_at, drive_closed, make_room, plain_errors
from harness.drive.preflight import address_of, resolved
from harness.drive.sessions import Errand, delete_sessions, look_at
from harness.drive.transport import transports
from harness.errors import Exit, UsageError
from harness.grade.checks import grade
from harness.grade.states import State, standing
from harness.plan import Choice, Plan, Trial, make_plan
from harness.record import store
from harness.record.histograms import Histograms
from harness.record.tables import Judged, Tables, write
from harness.record.tokens import count_tokens
from harness.report.live import Tally, counted, keep_showing, live
from harness.report.terminal import NotPassed
from harness.result import Result, Skip
from harness.sigma.catalogue import Catalogue
from harness.sigma.client import Address, Client
from harness.sigma.session import SessionDetail
from harness.suite.model import Suite
from harness.suite.read import load_suite
from harness.summarise import Summary, summarise

GRACE_S = 30.0
"""How long trials under way may go on after the first Ctrl-C."""


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
    exit_code: Exit

    def __repr__(self) -> str:
        return f"<Run {self.folder}: {self.manifest.planned} trials, exit {self.exit_code:d}>"

    def not_passed(self) -> list[NotPassed]:
        """(state, case, variant, reason) of every trial that did not pass, in the order of the journal."""
        trials = self.tables["trials"].filter(pl.col("state") != State.PASSED)
        return trials.select("state", "case_id", "variant", pl.col("reason").fill_null("")).rows()


@dataclass(frozen=True, slots=True)
class Options:
    """How a suite is run, beside what it says itself.

    *target* is a URL or ``standin``. *workers* takes the place of the `workers`
    of every phase. *console* shows the progress; None shows nothing.
    *interruptible*: the first Ctrl-C lets trials under way finish (for at most
    30 s), the second cuts them off; both leave a whole record.
    """

    choice: Choice = field(default_factory=Choice)
    seed: int = 0
    target: str | None = None
    workers: int | None = None
    fail_fast: bool = False
    results: Path = Path("results")
    console: Console | None = None
    interruptible: bool = False


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
    if not plan.trials:
        raise UsageError("nothing to run: no trial is left after the choice of variants, prompts and tags")
    make_room(options.workers or max(load.workers for load in suite.load.values()))
    async with address_of(suite, options.target) as address:
        plan, catalogue = await resolved(plan, address)
        started = datetime.now(UTC), time.perf_counter_ns()
        folder = store.new_run(options.results, suite.name, started[0])
        manifest = _manifest(plan, catalogue, address, run_id=folder.name, started=started)
        store.write_manifest(manifest, folder)
        given = frozenset(
            one.chat_session_id for trial in plan.trials for one in trial.settings if one.chat_session_id
        )
        reins = Reins(deep_research=suite.budget.deep_research, fail_fast=options.fail_fast)
        conduct = _Conduct(plan, address, options, folder, reins, given=given)
        await _conduct(conduct)
        manifest = structs.replace(
            manifest,
            ended_ns=time.perf_counter_ns(),
            interrupted=reins.interrupted,
            warnings=(*manifest.warnings, *conduct.warnings),
            deleted=conduct.deleted,
        )
    _say(options.console, "writing tables and histograms …")
    return _finish(plan, manifest, folder)


@dataclass(slots=True)
class _Conduct:
    """A run while it goes on.

    *made* are the sessions that it made, *to_look* those that are to be looked at; *given* by the suite are
    conversations that were there before. *warnings* are what a reader of the results should know.
    """

    plan: Plan
    address: Address
    options: Options
    folder: Path
    reins: Reins
    made: dict[str, None] = field(default_factory=dict)
    to_look: dict[str, None] = field(default_factory=dict)
    given: frozenset[str] = frozenset()
    warnings: list[str] = field(default_factory=list)
    deleted: dict[str, int] = field(default_factory=dict)

    def meet(self, result: Result) -> None:
        """Remember the conversations of *result*."""
        looked = int(result.trial_id[:8], 16) < self.plan.suite.target.audit * (1 << 32)
        for session_id in filter(None, (exchange.session_id for exchange in result.exchanges)):
            if session_id not in self.given:
                self.made[session_id] = None
            if looked:
                self.to_look[session_id] = None

    def warn(self, words: str) -> None:
        """Say it now, and once more with the results."""
        self.warnings.append(words)
        _say(self.options.console, f"warning: {words}")


async def _conduct(run: _Conduct) -> None:
    """Send every trial, look at what the server keeps of each, and clean up after it."""
    plan, address, options, reins, now = run.plan, run.address, run.options, run.reins, time.perf_counter_ns
    histograms, transport = Histograms(), transports(address.base_url)
    tally = Tally(len(plan.trials), histograms, lambda: reins.in_flight, now, began_ns=now())
    minutes = plan.suite.budget.minutes
    with plain_errors(), journal.Journal(run.folder / store.JOURNAL) as book:
        async with anyio.create_task_group() as around:
            if options.interruptible and threading.current_thread() is threading.main_thread():
                around.start_soon(_rein_in, reins, options.console)
            if minutes is not None:
                around.start_soon(partial(cut_at, now() + round(minutes * 60e9), reins, now=now))
            for phase, load in plan.suite.load.items():
                with _shown(tally, options.console) as show:

                    def sink(result: Result, show: Callable[[], None] = show) -> None:
                        book.append(result)
                        histograms.add(result)
                        tally.add(result)
                        run.meet(result)
                        show()

                    async with anyio.create_task_group() as shown:
                        shown.start_soon(keep_showing, show)
                        await drive_closed(
                            plan.phase(phase),
                            lambda: Client(address, transport()),
                            sink,
                            workers=options.workers or load.workers,
                            reins=reins,
                            now=now,
                        )
                        shown.cancel_scope.cancel()
                await _look(run, book)
            await _delete_sessions(run)
            around.cancel_scope.cancel()
    if reins.said:
        run.warn(f"the run was stopped: {reins.said}")


async def _look(run: _Conduct, book: journal.Journal) -> None:
    """Journal what the server keeps of the conversations so far: which model answered, and the rest."""
    wanted, run.to_look = list(run.to_look), {}
    async with _errand(run, "sessions looked at", len(wanted)) as errand:
        await look_at(errand, wanted, book.append)
    missing = len(wanted) - errand.done
    if missing:
        run.warn(
            f"{missing} of {len(wanted)} sessions could not be looked at ({errand.why() or 'interrupted'}): "
            "which model answered there is not shown"
        )


async def _delete_sessions(run: _Conduct) -> None:
    """Delete the sessions that this run made, where the suite asks for that."""
    if not run.plan.suite.target.cleanup.sessions:
        return
    async with _errand(run, "sessions deleted", len(run.made)) as errand:
        await delete_sessions(errand, list(run.made))
    run.deleted["sessions"] = errand.done
    if errand.done < len(run.made):
        run.warn(
            f"{len(run.made) - errand.done} of {len(run.made)} sessions could not be deleted: {errand.why()}"
        )


@asynccontextmanager
async def _errand(run: _Conduct, what: str, total: int) -> AsyncIterator[Errand]:
    transport = transports(run.address.base_url)
    async with Client(run.address, transport()) as client:
        with counted(run.options.console, what, total) as advance:
            yield Errand(client, advance, lambda: run.reins.abandoned)


def _finish(plan: Plan, manifest: store.Manifest, folder: Path) -> Run:
    """Everything that is made from the journal: grades, states, tables, histograms, summary."""
    trials = {trial.trial_id: trial for trial in plan.trials}
    tables, histograms = Tables(count_tokens), Histograms()
    sessions = journal.sessions(folder / store.JOURNAL)
    known = Evidence(manifest.called, manifest.providers, manifest.default_provider)
    for result in journal.read(folder / store.JOURNAL):
        judged = judge(result, trials[result.trial_id], known, sessions)
        tables.add(judged)
        if judged.took_effect:
            histograms.add(result)
    frames = tables.frames()
    if len(frames["trials"]) != manifest.planned:
        raise AssertionError(
            f"{manifest.planned} trials were planned and {len(frames['trials'])} have a result"
        )
    summary = summarise(frames, plan.variants)
    exit_code = exit_of(summary, interrupted=manifest.interrupted)
    manifest = structs.replace(manifest, exit_code=int(exit_code))
    write(frames, folder)
    histograms.write(folder)
    store.write_json(summary, folder / store.SUMMARY)
    store.write_manifest(manifest, folder)
    store.point_latest(folder)
    return Run(folder, manifest, summary, frames, exit_code)


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
    return Judged(result, grades, findings, standing(result, last, grades))


def exit_of(summary: Summary, *, interrupted: bool) -> Exit:
    """The exit code of a run without a gate, by the states of its trials (DESIGN section 4)."""
    if interrupted or summary.count(State.INVALID):
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
        default_provider=catalogue.default_provider,
        planned=len(plan.trials),
        started_at=started[0].isoformat(),
        started_ns=started[1],
        warnings=suite.warnings,
        versions=store.versions(),
    )


async def _rein_in(reins: Reins, console: Console | None) -> None:
    """First Ctrl-C: no new trials, those under way may finish. Second: cut them off."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as grace:
            async for _ in signals:
                if reins.interrupted:
                    reins.cut(Skip.INTERRUPTED)
                    reins.abandoned = True
                    continue
                reins.stop(Skip.INTERRUPTED)
                words = (
                    f"stopping: {reins.in_flight} trials may finish, for {GRACE_S:g} s; Ctrl-C cuts them off"
                )
                _say(console, words)
                grace.start_soon(_cut_after_grace, reins)


async def _cut_after_grace(reins: Reins) -> None:
    await anyio.sleep(GRACE_S)
    reins.cut(Skip.INTERRUPTED)


def _say(console: Console | None, words: str) -> None:
    if console is not None:
        console.print(words, style="dim", highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _shown(tally: Tally, console: Console | None) -> Iterator[Callable[[], None]]:
    if console is None:
        yield lambda: None
    else:
        with live(tally, console) as show:
            yield show
