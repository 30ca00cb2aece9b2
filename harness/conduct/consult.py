"""What checks ask of others: a judge, a model of embeddings, the suite's own Python. Never during a load.

Grading reads what is recorded and nothing else. So whatever a check has to be told by somebody is asked here
first, between the last trial and the first grade, and kept in ``said.jsonl`` beside the journal, a line as it
comes. A question is known by a digest of every word of it and of who is asked: it is put once, however often
a run is graded, and what another run of the same results folder was told is not asked again.
"""

import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import anyio
from rich.console import Console

from harness.drive.ask import Ask, Embed, local_embed, openai_ask, openai_embed, openai_http, sigma_ask
from harness.drive.transport import transport_of
from harness.grade import code, judged
from harness.grade.checkers import Checkers
from harness.grade.checks import asked, each_check
from harness.grade.judged import Question
from harness.grade.judges import fingerprint, fingerprint_of
from harness.grade.opinion import Opinion
from harness.grade.runner import Call
from harness.grade.said import Called, Judgement, Similarity, Vote
from harness.grade.subject import Known, Subject
from harness.metrics.figures import CountTokens
from harness.plan.trials import Trial
from harness.record.said import FILE, Book, is_settled, read
from harness.report.live import counted
from harness.result import Result
from harness.sigma.client import Address, Client
from harness.suite.asserts.code import Python
from harness.suite.asserts.judged import AskedCheck, JudgedCheck, SelectBest, Similar
from harness.suite.keys import keyed
from harness.suite.model import Suite

Results = Callable[[], Iterable[Result]]
"""The results of a run, from the first, each time it is called: a run may be too long to hold."""
Reach = Callable[[], AbstractAsyncContextManager[Address]]
"""Where the Sigma under test is; a stand-in is started for as long."""


class Put(NamedTuple):
    """A question for the judge, and the check that has it first."""

    question: Question
    check: str
    trial_id: str
    turn_id: str | None


@dataclass(slots=True)
class Open:
    """What nobody has said yet, by its key: questions, pairs of texts, calls."""

    questions: dict[str, Put] = field(default_factory=dict)
    pairs: dict[str, tuple[str, str]] = field(default_factory=dict)
    calls: dict[str, tuple[Python, Call]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.questions) + len(self.pairs) + len(self.calls)


@dataclass(frozen=True, slots=True)
class Desk:
    """Where a run is graded: its *folder*, and how to get to the Sigma that judges itself."""

    suite: Suite
    folder: Path
    reach: Reach
    target: str
    console: Console | None = None
    interruptible: bool = False


def known_of(desk: Desk, results: Results, trials: Mapping[str, Trial], count_tokens: CountTokens) -> Known:
    """What checks may know beside a result: what was said so far, and the variants' answers to compare."""
    suite, checks = desk.suite, {type(expect.args) for expect in each_check(trials.values())}
    return Known(
        count_tokens=count_tokens,
        prices=suite.prices,
        said=read(desk.folder / FILE),
        judge=None if suite.judge is None else fingerprint(suite.judge, desk.target),
        embeddings=None if suite.embeddings is None else fingerprint_of(suite.embeddings),
        rivals=_rivals(results()) if SelectBest in checks else {},
    )


def asks_others(trials: Iterable[Trial]) -> bool:
    """Whether some check needs to be told something."""
    return any(isinstance(expect.args, AskedCheck | Python) for expect in each_check(trials))


def _rivals(results: Iterable[Result]) -> dict[tuple[str, str, int, str | None], dict[str, str]]:
    """The whole answers to each turn, and to the conversation, of each repeat of a case, by variant."""
    answers: dict[tuple[str, str, int, str | None], dict[str, str]] = {}
    for result in results:
        told = {exchange.turn_id: exchange for exchange in result.turns}
        whole = {None: result.turns[-1]} if result.turns else {}
        for turn_id, exchange in (told | whole).items():
            subject = Subject((exchange,), result)
            if subject.broken() is None and subject.answer.strip():
                key = (result.case_id, result.phase, result.repeat, turn_id)
                answers.setdefault(key, {})[result.variant] = subject.answer
    return answers


async def consult(desk: Desk, results: Results, trials: Mapping[str, Trial], known: Known) -> list[str]:
    """Ask whatever the checks of *trials* have to be told and nobody has said yet, and keep what is said.

    The answer is what a reader of the results should know: what stayed open, and why.
    """
    wanted = _open(results(), trials, known)
    shared = read(desk.folder.parent.parent / FILE)
    with Book(desk.folder, desk.folder.parent.parent) as book:
        for key in [key for key in (*wanted.questions, *wanted.pairs) if key in shared]:
            book.recall(shared[key])
            wanted.questions.pop(key, None)
            wanted.pairs.pop(key, None)
        told: list[str] = []
        if len(wanted):
            async with _interruptible(desk, told):
                await _ask_all(desk, wanted, book, told)
    return told


def _open(results: Iterable[Result], trials: Mapping[str, Trial], known: Known) -> Open:
    open_ = Open()
    for result in results:
        for expect, subject in asked(result, trials[result.trial_id], known):
            match expect.args:
                case Python() as args:
                    open_.calls[code.key_of(args, subject)] = args, code.call_of(args, subject)
                case Similar() as args if known.embeddings is not None:
                    _note_pair(open_, args, subject)
                case JudgedCheck() as args if known.judge is not None:
                    _note_question(open_, args, subject, check=expect.type)
    return open_


def _note_pair(open_: Open, args: Similar, subject: Subject) -> None:
    key = judged.similarity_key(args, subject)
    if not _is_known(subject.known, key):
        open_.pairs[key] = args.value, subject.answer


def _note_question(open_: Open, args: JudgedCheck, subject: Subject, *, check: str) -> None:
    question, judge = judged.question(args, subject), subject.known.judge
    if isinstance(question, Opinion) or judge is None:
        return
    key = question.key(judge)
    if not _is_known(subject.known, key) and key not in open_.questions:
        trial_id = subject.result.trial_id if subject.result else ""
        open_.questions[key] = Put(question, check, trial_id, subject.turn_id)


def _is_known(known: Known, key: str) -> bool:
    said = known.said.get(key)
    return said is not None and is_settled(said)


@asynccontextmanager
async def _interruptible(desk: Desk, told: list[str]) -> AsyncIterator[None]:
    """The first Ctrl-C ends the asking, not the run: what was said counts, the rest can be asked later."""
    if not (desk.interruptible and threading.current_thread() is threading.main_thread()):
        yield
        return
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as around:

            async def end() -> None:
                async for _ in signals:
                    told.append("grading was interrupted: what was not asked could not be graded")
                    around.cancel_scope.cancel()

            around.start_soon(end)
            yield
            around.cancel_scope.cancel()


async def _ask_all(desk: Desk, wanted: Open, book: Book, told: list[str]) -> None:
    """Everything that is open, each kind by those who know: code first, since it costs nothing."""
    if wanted.calls:
        await _call_all(desk, wanted, book)
    if wanted.pairs:
        async with _embedder(desk) as embed:
            why = await _compare_all(desk, wanted, embed, book=book)
        if why:
            again = f"harness grade {desk.folder.name} asks again"
            told.append(
                f"how alike texts are could not be had for {len(wanted.pairs)} pairs ({why}): {again}"
            )
    if wanted.questions:
        async with _judge(desk) as ask:
            failed = await _judge_all(desk, wanted, ask, book=book)
        if failed:
            told.append(
                f"{len(failed)} of {len(wanted.questions)} questions had no answer from the judge "
                f"({failed[0]}): harness grade {desk.folder.name} asks them again"
            )


async def _call_all(desk: Desk, wanted: Open, book: Book) -> None:
    with counted(desk.console, "checks of the suite's own run", len(wanted.calls)) as advance:
        async with Checkers(desk.suite.path.parent, desk.folder / "checks.log") as checkers:

            async def call(key: str, args: Python, what: Call) -> None:
                gave = await checkers.call(what, limit_s=args.time_limit / 1e9)
                book.keep(Called(key, gave.gave, gave.error, gave.traceback))
                advance()

            jobs = [partial(call, key, args, what) for key, (args, what) in wanted.calls.items()]
            await _at_once(jobs, checkers.count)


async def _compare_all(desk: Desk, wanted: Open, embed: Embed, *, book: Book) -> str:
    """Embed each text once, however many pairs it is in; why that could not be, if it could not."""
    texts = list(dict.fromkeys(text for pair in wanted.pairs.values() for text in pair))
    assert desk.suite.embeddings is not None  # noqa: S101  else nothing would be open
    model = fingerprint_of(desk.suite.embeddings)
    with counted(desk.console, "texts compared", len(wanted.pairs)) as advance:
        vectors = await embed(texts)
        if isinstance(vectors, str):
            told = [Similarity(key, model, error=vectors) for key in wanted.pairs]
        else:
            at = dict(zip(texts, vectors, strict=True))
            told = [
                Similarity(key, model, judged.cosine(at[left], at[right]))
                for key, (left, right) in wanted.pairs.items()
            ]
        for said in told:
            book.keep(said)
            advance()
    return vectors if isinstance(vectors, str) else ""


async def _judge_all(desk: Desk, wanted: Open, ask: Ask, *, book: Book) -> list[str]:
    """Put every question, as often as the suite wants votes, in every order; why some had no answer."""
    judge = desk.suite.judge
    assert judge is not None  # noqa: S101  else nothing would be open
    by = fingerprint(judge, desk.target)
    failed: list[str] = []
    with counted(desk.console, "questions put to the judge", len(wanted.questions)) as advance:

        async def put(key: str, one: Put) -> None:
            votes = [
                await _vote(ask, one.question, order)
                for _ in range(judge.votes)
                for order in one.question.orders()
            ]
            failed.extend(vote.error for vote in votes if vote.error)
            book.keep(Judgement(key, by, tuple(votes), one.check, one.trial_id, one.turn_id))
            advance()

        await _at_once([partial(put, key, one) for key, one in wanted.questions.items()], judge.workers)
    return failed


async def _vote(ask: Ask, question: Question, order: tuple[int, ...]) -> Vote:
    answered = await ask(question.text(order))
    if answered.error:
        return Vote("unreadable", error=answered.error)
    return judged.read_vote(question, order, answered.text)


async def _at_once(jobs: Iterable[Callable[[], Awaitable[None]]], most: int) -> None:
    """Run *jobs*, so many at once as *most* says."""
    waiting = iter(jobs)

    async def work() -> None:
        for job in waiting:
            await job()

    async with anyio.create_task_group() as workers:
        for _ in range(most):
            workers.start_soon(work)


@asynccontextmanager
async def _judge(desk: Desk) -> AsyncIterator[Ask]:
    judge = desk.suite.judge
    assert judge is not None  # noqa: S101  else nothing would be open
    if judge.target == "self":
        async with desk.reach() as address:
            transport = transport_of(desk.suite, address.base_url)
            async with Client(address, transport()) as client:
                yield sigma_ask(client, judge, keep_sessions=not desk.suite.target.cleanup.sessions)
    else:
        async with openai_http() as http:
            yield openai_ask(http, keyed(judge, desk.suite.path))


@asynccontextmanager
async def _embedder(desk: Desk) -> AsyncIterator[Embed]:
    embeddings = desk.suite.embeddings
    assert embeddings is not None  # noqa: S101  else nothing would be open
    if embeddings.base_url is None:
        yield local_embed(desk.suite.path.parent / embeddings.model)
    else:
        async with openai_http() as http:
            yield openai_embed(http, keyed(embeddings, desk.suite.path))
