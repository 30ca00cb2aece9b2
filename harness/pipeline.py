"""`run(suite)`: suite -> plan -> drive -> record -> grade -> summarise; the only place that knows all stages.

What has to hold before anything is sent is checked first, in the order in which
it is cheapest: the suite, the plan, the target, the names. Only then is a
folder made, and from then on every trial leaves a line in it.
"""

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from msgspec import structs, to_builtins
from rich.console import Console

from harness.conduct.consult import Desk, asks_others, consult, known_of
from harness.conduct.earlier import Earlier, earlier, refuse_another, refuse_others
from harness.conduct.finish import Recorded, Run, exit_of, finish, judge, recorded
from harness.conduct.going import AtRoundEnd, Conduct
from harness.conduct.manifests import as_before, begun, called, ended, going_on, warnings_of
from harness.conduct.options import Options
from harness.conduct.run import conduct
from harness.crew.cluster import Cluster, joined
from harness.decide.confirm import Confirmed, Confirming, red
from harness.decide.confirm import exit_of as exit_of_confirmed
from harness.decide.rerun import NO_GATE
from harness.decide.sides import NO_GATES, Against, Standing, against, finding, ruled, source
from harness.decide.sitting import Sitting
from harness.drive.access import accessed, doubts
from harness.drive.attach import attached, files_of
from harness.drive.loop import in_a_loop
from harness.drive.pool import plain_errors
from harness.drive.preflight import address_of, resolved
from harness.drive.reins import make_room
from harness.errors import Exit, UsageError
from harness.grade.states import State
from harness.grade.subject import Known
from harness.plan.trials import Choice, Plan, make_plan
from harness.record import store
from harness.record.labels import Item, items, labels_of
from harness.record.runs import planned, with_checks
from harness.record.tokens import count_tokens
from harness.report.live import counted, say
from harness.sigma.catalogue import Catalogue
from harness.sigma.client import Address
from harness.stats.sprt import Sprt
from harness.suite.model import Suite
from harness.suite.read import load_suite

__all__ = [
    "Grading",
    "Options",
    "Run",
    "confirm",
    "exit_of",
    "graded_again",
    "judge",
    "judged_items",
    "resume",
    "run",
]


def run(suite: Suite | str | Path, options: Options | None = None) -> Run:
    """Run *suite* (or the suite in a file) and leave its results in a folder of its own.

    Works in a notebook too: where an event loop is running already, the run gets
    a thread of its own. Raises `harness.errors.HarnessError`: `SuiteError` and
    `UsageError` before anything is sent, `TargetError` and `StandinError` where
    no Sigma answers, `RunDirectoryError` where the results cannot be written.
    """
    options = options or Options()
    elsewhere = options.target is not None
    suite = suite if isinstance(suite, Suite) else load_suite(suite, elsewhere=elsewhere)
    suite = accessed(suite, options.target, options.access)
    if options.gate and options.rerun is not None:
        raise UsageError(NO_GATE)
    if options.gate:
        options = _extended(options, suite)
    plan = make_plan(suite, options.choice, seed=options.seed)
    than = _checked(suite, plan, options)
    _agree(plan, options)
    return in_a_loop(partial(_run, suite, plan, options, than=than))


def resume(folder: Path, options: Options | None = None, suite: Path | None = None) -> Run:
    """Go on with the run in *folder*, which was killed or stopped: exactly what is missing is sent, once.

    It is asked as it was before; of *options*, those count that say how it is shown, *target* and *workers*.
    The suite is the run's own, or *suite* where that lies elsewhere now. Raises `UsageError` where the suite
    or what it is made with has changed, or nothing is missing, and `RunDirectoryError` where the run still
    goes on.
    """
    with store.writing(folder):
        manifest = store.read_manifest(folder)
        options = as_before(options or Options(), manifest)
        loaded = load_suite(suite or _suite_of(manifest), elsewhere=options.target is not None)
        refuse_another(loaded, manifest)
        loaded = accessed(loaded, options.target, options.access)
        plan = make_plan(loaded, options.choice, seed=manifest.seed)
        before = earlier(folder, manifest, (datetime.now(UTC), time.perf_counter_ns()))
        refuse_others(plan, before)
        if manifest.exit_code is not None and not any(plan.without(before.done).trials) and not plan.cycles:
            raise UsageError(
                f"{manifest.run_id}: nothing is missing, all {len(plan.trials)} trials have a result; "
                "harness grade grades it again, harness report shows it"
            )
        than = _checked(loaded, plan, options)
        _agree(plan.without(before.done), options)
        return in_a_loop(partial(_run, loaded, plan, options, than=than, before=before))


def _suite_of(manifest: store.Manifest) -> Path:
    path = Path(manifest.suite_path)
    if not path.is_file():
        raise UsageError(
            f"{path}: the suite of this run is not there, as seen from this folder; "
            f"harness run SUITE --resume {manifest.run_id} says where it is"
        )
    return path


def _extended(options: Options, suite: Suite) -> Options:
    """The same, with more repeats to fall back on where the gates ask for that. Raises `UsageError`."""
    if suite.gates is None:
        raise UsageError(f"--gate: {suite.path} has {NO_GATES}")
    if suite.gates.on_inconclusive != "extend" or suite.gates.plan == "fixed":
        return options
    return replace(options, choice=replace(options.choice, extend_to=suite.gates.extend_to))


def _agree(left: Plan, options: Options) -> None:
    """Ask whoever is to be asked whether what is *left* to be sent is to be."""
    if options.agree is not None:
        options.agree(left, options.target)


def _checked(suite: Suite, plan: Plan, options: Options) -> Against | None:
    """What the gate compares with, if there is one.

    Raises `UsageError` where nothing would be sent, or more than this machine can have under way, or where
    the gate has no baseline.
    """
    if not plan.trials and not plan.cycles:
        raise UsageError("nothing to run: no trial is left after the choice of variants, prompts and tags")
    if options.workers is not None and all(load.is_open for load in suite.load.values()):
        raise UsageError("--workers: the load of this suite is open and has none; max_in_flight limits it")
    if options.processes > 1 or options.cluster is not None:
        _refuse_shared(suite, "--processes" if options.cluster is None else "--cluster")
    make_room(options.workers or max(load.slots for load in suite.load.values()))
    for load in suite.load.values():
        if load.max_in_flight is not None:
            make_room(load.max_in_flight, what="trials in flight (max_in_flight)")
    return against(suite, plan.variants, options.results, options.baseline) if options.gate else None


def _refuse_shared(suite: Suite, flag: str) -> None:
    """Raise `UsageError` for what several processes cannot keep together without asking before each trial."""
    kept = [name for name in ("tokens", "usd") if getattr(suite.budget, name) is not None]
    if kept:
        raise UsageError(
            f"{flag}: budget.{kept[0]} is kept by one process, which knows what every trial has cost "
            f"before it sends the next; leave out {flag}, or bound the load by budget.minutes or repeat"
        )


async def _run(
    suite: Suite, plan: Plan, options: Options, *, than: Against | None, before: Earlier | None = None
) -> Run:
    """The stages, in their order."""
    unverified = _unverified(suite, options)
    async with AsyncExitStack() as alone, AsyncExitStack() as nodes:
        cluster = await _cluster(options, nodes)
        async with address_of(suite, options.target) as given:
            plan, catalogue, address = await resolved(plan, given)
            _refuse_loopback(address, cluster)
            _warn_of(options, warnings_of(suite, catalogue))
            async with _with_files(plan, address, options) as (plan, said):
                ready = _Ready(plan, catalogue, address, cluster)
                going, manifest = _begin(ready, options, before, unverified, alone=alone)
                desk = _desk(suite, going)
                sitting = Sitting(plan, manifest, than, replace(desk, interruptible=False))
                confirming = Confirming(options.choice.pairs, sitting.trials, manifest, sitting.desk)
                going.at_round_end = _looks(options, suite, sitting, confirming)
                await conduct(going)
            await nodes.aclose()  # others may use them while we grade
            for words in said:
                going.warn(words)
            manifest = ended(manifest, going)
            store.write_manifest(manifest, going.folder)
            ran = recorded(going.folder, manifest, plan)
            ran, known = await _told(ran, desk, ask=not going.reins.abandoned)
        say(options.console, "writing tables and histograms …")
        finished = finish(ran, known, console=options.console)
        store.point_latest(going.folder)
        if options.confirm:
            return _confirmed(finished, confirming.found())
        return (
            _ruled_on(finished, sitting, looked=going.at_round_end is not None) if options.gate else finished
        )


class _Ready(NamedTuple):
    """What can be sent, and where to."""

    plan: Plan
    catalogue: Catalogue
    address: Address
    cluster: Cluster | None


@asynccontextmanager
async def _with_files(
    plan: Plan, address: Address, options: Options
) -> AsyncIterator[tuple[Plan, list[str]]]:
    """The plan with its files uploaded, and what there is to say of them, once they are taken away again."""
    said: list[str] = []
    with counted(options.console, "files uploaded and processed", len(files_of(plan))) as done:
        async with attached(plan, address, say=said.append, done=done) as with_files:
            yield with_files, said


def _begin(
    ready: _Ready, options: Options, before: Earlier | None, unverified: list[str], *, alone: AsyncExitStack
) -> tuple[Conduct, store.Manifest]:
    """A run in a folder of its own, which nobody else writes to, or the one *before* once more."""
    plan, catalogue, address, cluster = ready
    if before is None:
        folder, manifest = begun(plan, catalogue, address, options)
        alone.enter_context(store.writing(folder))
    else:
        folder, manifest = before.folder, going_on(before, catalogue, address)
    going = Conduct(plan, address, options, folder, catalogue=catalogue, before=before, cluster=cluster)
    manifest = structs.replace(
        manifest,
        warnings=tuple(dict.fromkeys((*unverified, *manifest.warnings))),
        nodes=(*manifest.nodes, *going.nodes),
    )
    store.write_manifest(manifest, folder)
    return going, manifest


def _desk(suite: Suite, going: Conduct) -> Desk:
    """Where checks ask others, in this run."""
    address, options = going.address, going.options
    return Desk(
        suite,
        going.folder,
        lambda: nullcontext(address),
        target=called(suite, address.base_url),
        console=options.console,
        interruptible=options.interruptible,
    )


def _looks(options: Options, suite: Suite, sitting: Sitting, confirming: Confirming) -> AtRoundEnd | None:
    """Who looks after each round at what is still to be sent, if anybody does."""
    if options.confirm:
        return confirming.look
    is_gated = options.gate and suite.gates and suite.gates.plan != "fixed"
    return sitting.look if is_gated else None


def _warn_of(options: Options, warnings: Iterable[str]) -> None:
    for warning in warnings:
        say(options.console, f"warning: {warning}", style="yellow")


async def _cluster(options: Options, until: AsyncExitStack) -> Cluster | None:
    """The cluster that is to send the load, joined *until* that is over; None where there is to be none."""
    if options.cluster is None:
        return None
    talk = partial(say, options.console)
    return await until.enter_async_context(joined(options.cluster, options.processes, talk))


def _refuse_loopback(address: Address, cluster: Cluster | None) -> None:
    """Raise `UsageError` where each node would ask itself."""
    host = urlsplit(address.base_url).hostname or ""
    if cluster is None or cluster.is_here or not (host == "localhost" or host.startswith(("127.", "::1"))):
        return
    raise UsageError(
        f"{address.base_url}: on a node that is the node itself; give the target by a name that nodes know. "
        "For the stand-in: harness serve --host 0.0.0.0 --allow-remote, and its address as --target"
    )


def _unverified(suite: Suite, options: Options) -> list[str]:
    """That anybody is taken for the target, where that is so; said before anything is sent, even quietly."""
    found = doubts(suite, options.target)
    for words in found:
        say(options.console or Console(stderr=True), f"warning: {words}", style="bold red")
    return found


def confirm(folder: Path, options: Options, suite: Path | None = None) -> Run:
    """Ask the prompts that failed in the run in *folder* again, until each is confirmed, or found flaky.

    The suite is the run's own, as long as it is where it was; or another *suite*. Raises `UsageError` where
    no prompt failed, or where the suite is not to be had.
    """
    manifest = store.read_manifest(folder)
    if not (failed := red(folder)):
        raise UsageError(f"{folder.name}: no prompt failed: there is nothing to confirm")
    if suite is None and not store.is_where_it_was(manifest, folder):
        raise UsageError(f"{manifest.suite_path}: not there any more, word for word; --suite FILE says which")
    loaded = load_suite(suite or Path(manifest.suite_path), elsewhere=options.target is not None)
    phases = tuple(name for name, load in loaded.load.items() if load.asks_each_once)
    if not phases:
        raise UsageError(
            "a load that is open or timed repeats nothing until it is decided: add a closed phase"
        )
    asked = Choice(pairs=tuple(failed), repeat=Sprt().most, phases=phases[:1])
    return run(loaded, replace(options, choice=asked, confirm=True))


def _confirmed(done: Run, found: list[Confirmed]) -> Run:
    """The run with what became of each prompt, and the exit code that this comes to."""
    code = exit_of_confirmed(found)
    if done.summary.count(State.INVALID) or done.manifest.interrupted:
        code = Exit.INCOMPLETE
    told = structs.replace(done.manifest, confirmed=to_builtins(found), exit_code=int(code))
    store.write_manifest(told, done.folder)
    return replace(done, manifest=told, confirmed=tuple(each.says for each in found), exit_code=code)


def _ruled_on(done: Run, sitting: Sitting, *, looked: bool) -> Run:
    """The run with what the gate rules on it, and the exit code that this comes to."""
    suite = sitting.plan.suite
    standing = Standing(sitting.plan, done.manifest, source(done.folder), done.verdict)
    found = finding(sitting.final(standing) if looked else ruled(standing, sitting.than), standing, suite)
    told = structs.replace(done.manifest, gate=to_builtins(found.ruling), exit_code=int(found.exit_code))
    store.write_manifest(told, done.folder)
    return replace(done, manifest=told, ruling=found.ruling, exit_code=found.exit_code)


@dataclass(frozen=True, slots=True)
class Grading:
    """How a recorded run is graded again.

    By the checks of *suite*, in place of its own or, with *append*, beside all that it was graded by before;
    by its own where that is None. *retime* works out the times anew, too. Without *ask* nobody is asked what
    is not on record: no judge, and none of the suite's own code. *target* is where the Sigma is that judges
    itself, if not where it was.
    """

    suite: Path | None = None
    append: bool = False
    retime: bool = False
    ask: bool = True
    target: str | None = None
    console: Console | None = None
    interruptible: bool = False


def graded_again(folder: Path, how: Grading) -> Run:
    """The run in *folder*, graded anew from its journal and manifest: no trial is sent again.

    So another check, or a corrected one, applies to a run of last year. Raises `RunDirectoryError`, and
    `SuiteError` or `UsageError` where the suite of that run is none of this version, or its files are others.
    """
    with store.writing(folder):
        return in_a_loop(partial(_graded_again, folder, how))


async def _graded_again(folder: Path, how: Grading) -> Run:
    manifest = store.read_manifest(folder)
    plan = planned(manifest)
    if how.suite is not None:
        plan, manifest = with_checks(plan, manifest, load_suite(how.suite), append=how.append)
    target = how.target or (None if _is_own(plan.suite, manifest.target) else manifest.target)
    desk = Desk(
        plan.suite,
        folder,
        lambda: _reached(plan, target),
        target=called(plan.suite, manifest.target),
        console=how.console,
        interruptible=how.interruptible,
    )
    killed = manifest.exit_code is None  # of a run that was killed, there are no tables yet
    is_ours = how.suite is not None or store.is_where_it_was(manifest, folder)
    ran = recorded(folder, manifest, plan, killed=killed)
    if how.ask and not is_ours and asks_others(ran.trials.values()):
        say(how.console, _NOT_OURS, style="yellow")
    ran, known = await _told(ran, desk, ask=how.ask and is_ours)
    # What a gate ruled was of grades that may be others now.
    ran = replace(ran, manifest=structs.replace(ran.manifest, gate=None))
    retime = how.retime or killed or manifest.verdict is None
    return finish(ran, known, retime=retime, console=how.console)


def judged_items(folder: Path) -> tuple[list[Item], Path]:
    """The judged answers of the run in *folder*, and its file of labels."""
    manifest = store.read_manifest(folder)
    plan = planned(manifest)
    ran = recorded(folder, manifest, plan, killed=manifest.exit_code is None)
    desk = Desk(plan.suite, folder, lambda: nullcontext(Address("")), called(plan.suite, manifest.target))
    known = known_of(desk, ran.results, ran.trials, count_tokens)
    return list(items(ran.results(), ran.trials, known)), labels_of(plan.suite, manifest, folder)


_NOT_OURS = (
    "warning: the suite of this run is not where it was, word for word: nobody is asked, "
    "and none of its Python is run, for what is not on record; --suite FILE says whose checks to take"
)
"""A folder of results may come from anybody, and so may the addresses and keys that its suite names."""


@asynccontextmanager
async def _reached(plan: Plan, target: str | None) -> AsyncIterator[Address]:
    async with address_of(plan.suite, target) as given:
        _, _, address = await resolved(plan, given)
        yield address


async def _told(ran: Recorded, desk: Desk, *, ask: bool) -> tuple[Recorded, Known]:
    """What checks may know, once everybody was asked who has to be; with what stayed open as warnings."""
    trials = list(ran.trials.values())
    known = known_of(desk, ran.results, ran.trials, count_tokens)
    if not asks_others(trials):
        return ran, known
    with plain_errors():
        told = await consult(desk, ran.results, ran.trials, known) if ask else []
    for words in told:
        say(desk.console, f"warning: {words}", style="yellow")
    manifest = structs.replace(
        ran.manifest,
        warnings=(*ran.manifest.warnings, *told),
        judge=known.judge,
        embeddings=known.embeddings,
    )
    return replace(ran, manifest=manifest), known_of(desk, ran.results, ran.trials, count_tokens)


def _is_own(suite: Suite, target: str) -> bool:
    """Whether *target* is what *suite* names itself: the stand-in has another port each time."""
    return suite.target.standin is not None or suite.target.base_url == target
