"""The checks of a trial on its result -> one Grade each.

Every family of checks has a module of its own beside this one; here is what
holds for all of them: `not-`, models side by side, sets of checks, and scores.
Grading is a function of what is recorded: what a judge, or the suite's own
code, is to say has been asked before (`harness.conduct.consult`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from msgspec import structs

from harness.audit import Finding
from harness.grade import agent, code, judged, retrieval, stream, text
from harness.grade.opinion import Grade, Opinion, passed, together
from harness.grade.side_by_side import model_name, models, of_model
from harness.grade.subject import Known, Subject
from harness.plan.trials import Arm, Trial
from harness.result import Result
from harness.suite.asserts import AssertSet
from harness.suite.asserts.agent import AgentCheck
from harness.suite.asserts.code import Python
from harness.suite.asserts.judged import AskedCheck
from harness.suite.asserts.retrieval import RetrievalCheck
from harness.suite.asserts.stream import ExpectsFailure, StreamCheck, StreamComplete
from harness.suite.asserts.text import TextCheck
from harness.suite.prompts import Expect

IMPLICIT = Expect(type="stream-complete").model_copy(update={"args": StreamComplete()})
"""What is checked of a turn that has no checks of its own."""


def grade(
    result: Result,
    trial: Trial,
    findings: Mapping[str, Sequence[Finding]] | None = None,
    known: Known | None = None,
) -> list[Grade]:
    """The grades of *result*: each turn's checks on its last attempt, then those on the conversation.

    Turns that were not sent are not graded, and a conversation that we cut short is not as a whole.
    """
    return [
        graded
        for expect, subject in subjects(result, trial, findings, known)
        for graded in _grades(expect, subject)
    ]


def subjects(
    result: Result,
    trial: Trial,
    findings: Mapping[str, Sequence[Finding]] | None = None,
    known: Known | None = None,
) -> Iterator[tuple[Expect, Subject]]:
    """Each check of *trial* that can be made, and what it looks at."""
    sent = {exchange.turn_id: exchange for exchange in result.turns}
    whole = Subject(
        tuple(sent.values()),
        result,
        variables=trial.case.vars,
        findings=findings or {},
        known=known or Known(),
    )
    for turn in trial.case.turns:
        turn_id = str(turn.id)
        if turn_id in sent:
            checks = turn.assert_ or (IMPLICIT,)
            expected = any(map(_expects_failure, checks))
            here = replace(whole, exchanges=(sent[turn_id],), turn_id=turn_id, expects_failure=expected)
            yield from ((expect, here) for expect in checks)
    if sent and result.skip is None:
        yield from ((expect, whole) for expect in trial.case.conversation_asserts)


def each_check(asked: Iterable[Trial | Arm]) -> Iterator[Expect]:
    """Every check of these, those in sets too; of cases that several have, once."""
    for case in {id(one.case): one.case for one in asked}.values():
        waiting = [*case.conversation_asserts, *(each for turn in case.turns for each in turn.assert_)]
        while waiting:
            expect = waiting.pop()
            waiting += expect.asserts
            yield expect


def asked(result: Result, trial: Trial, known: Known) -> Iterator[tuple[Expect, Subject]]:
    """The checks of *trial* that ask others: a judge, a model of embeddings, the suite's own code."""
    for expect, subject in subjects(result, trial, None, known):
        yield from _asked(expect, subject)


def _asked(expect: Expect, subject: Subject) -> Iterator[tuple[Expect, Subject]]:
    for each in expect.asserts:
        yield from _asked(each, subject)
    if isinstance(expect.args, AskedCheck | Python):
        for one in _each_model(subject) or (subject,):
            if one.broken() is None:
                yield expect, one


def expected_failures(trial: Trial) -> frozenset[str]:
    """The turns that the suite says are to fail."""
    return frozenset(str(turn.id) for turn in trial.case.turns if any(map(_expects_failure, turn.assert_)))


def _expects_failure(expect: Expect) -> bool:
    args = expect.args
    return isinstance(args, ExpectsFailure) and args.expects_failure is not expect.negated


def _grades(expect: Expect, subject: Subject) -> list[Grade]:
    """The grade of one check, behind those of the checks in it and of the scores that it names."""
    if isinstance(expect.args, AssertSet):
        name = expect.metric or expect.name
        parts = [_grades(each, subject) for each in expect.asserts]
        opinion = _turned(expect, together([part[-1] for part in parts], expect.args.threshold))
        inner = [structs.replace(each, part_of=each.part_of or name) for part in parts for each in part]
        return [*inner, _graded(expect, subject, opinion)]
    opinion = _of_every_model(expect, subject)
    if not opinion.named_scores:
        return [_graded(expect, subject, opinion)]
    reason = f"a score that {expect.name} gave a name; it decides nothing"
    named = [
        Grade(subject.turn_id, expect.name, metric, passed=None, score=score, weight=0.0, reason=reason)
        for metric, score in opinion.named_scores.items()
    ]
    return [*named, _graded(expect, subject, opinion)]


def _graded(expect: Expect, subject: Subject, opinion: Opinion) -> Grade:
    score = opinion.score
    if score is None and opinion.passed is not None:
        score = float(opinion.passed)
    return Grade(
        turn_id=subject.turn_id,
        type=expect.name,
        metric=expect.metric or (expect.args.function if isinstance(expect.args, Python) else None),
        passed=opinion.passed,
        score=None if opinion.passed is None else score,
        weight=expect.weight,
        reason=opinion.reason,
        evidence=opinion.evidence,
        judge=opinion.judge,
    )


def _of_every_model(expect: Expect, subject: Subject) -> Opinion:
    """What *expect*, its `not-` applied, says: of models side by side it must hold for every one.

    The reason is that of the first model that does not pass, by name.
    """
    exchanges = subject.exchanges
    if not any(map(models, exchanges)):
        return _turned(expect, check(expect, subject))
    opinions = [_turned(expect, check(expect, one)) for one in _each_model(subject)]
    for worse in (False, None):
        for nth, opinion in enumerate(opinions):
            if opinion.passed is worse:
                return structs.replace(opinion, reason=f"{model_name(exchanges, nth)}: {opinion.reason}")
    return passed(f"all {len(opinions)} models; {model_name(exchanges, 0)}: {opinions[0].reason}")


def _each_model(subject: Subject) -> list[Subject]:
    """*subject* as each of the models saw it that answered side by side; none where one answered."""
    count = max((len(models(exchange)) for exchange in subject.exchanges), default=0)
    return [
        replace(subject, exchanges=tuple(of_model(each, nth) for each in subject.exchanges))
        for nth in range(count)
    ]


def _turned(expect: Expect, opinion: Opinion) -> Opinion:
    if not expect.negated or opinion.passed is None:
        return opinion
    score = None if opinion.score is None else 1 - opinion.score
    return structs.replace(opinion, passed=not opinion.passed, score=score)


def check(expect: Expect, subject: Subject) -> Opinion:
    """What *expect*, read without its `not-`, finds in one turn or in a whole conversation."""
    match expect.args:
        case TextCheck() as args:
            return text.check(args, subject)
        case AgentCheck() as args:
            return agent.check(args, subject)
        case RetrievalCheck() as args:
            return retrieval.check(args, subject)
        case StreamCheck() as args:
            return stream.check(args, subject)
        case AskedCheck() as args:
            return judged.check(args, subject)
        case Python() as args:
            return code.check(args, subject)
        case _:
            raise AssertionError(f"unreachable: {expect.type} was let through by the suite reader")
