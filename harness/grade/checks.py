"""One expectation on one reply -> one Grade.

A check is a plain function of what came back and what was expected. It answers
passed, failed, or could not be graded, which is neither: an answer that never
came does not contain "Paris", and does not lack it either.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct, structs

from harness.metrics import MS, ttft_ns
from harness.plan import Trial
from harness.result import Exchange, Failure, Fault, Result, Step
from harness.sigma.transcript import ModelReading, Outcome, ToolCall
from harness.suite.model import Expect

SHOWN = 120
"""Characters of an answer in a reason: enough to recognise it; the whole is in exchanges.parquet."""

IMPLICIT = Expect(type="stream-complete")
"""What is checked of a turn that has no checks of its own."""


class Grade(Struct, frozen=True):
    """What one check says of one result.

    *passed* is None where the check could not be graded; so is *score* then.
    *turn_id* is None for a check on the whole conversation.
    """

    turn_id: str | None
    type: str
    metric: str | None
    passed: bool | None
    score: float | None
    weight: float
    reason: str


class Opinion(Struct, frozen=True):
    """What a check found, before `not-` turns it round."""

    passed: bool | None
    reason: str


def passed(reason: str) -> Opinion:
    """What was expected is there."""
    return Opinion(passed=True, reason=reason)


def failed(reason: str) -> Opinion:
    """What was expected is not there."""
    return Opinion(passed=False, reason=reason)


def ungraded(reason: str) -> Opinion:
    """There is nothing to judge by."""
    return Opinion(passed=None, reason=reason)


def grade(result: Result, trial: Trial) -> list[Grade]:
    """The grades of *result*: each turn's checks on its last attempt, then those on the conversation.

    Turns that were not sent are not graded, and a conversation that we cut short is not as a whole.
    """
    sent = {exchange.turn_id: exchange for exchange in result.turns}
    grades = [
        _grade(expect, str(turn.id), (sent[str(turn.id)],))
        for turn in trial.case.turns
        if str(turn.id) in sent
        for expect in turn.assert_ or (IMPLICIT,)
    ]
    if sent and result.skip is None:
        whole = tuple(sent.values())
        grades += [_grade(expect, None, whole) for expect in trial.case.conversation_asserts]
    return grades


def _grade(expect: Expect, turn_id: str | None, exchanges: Sequence[Exchange]) -> Grade:
    opinion = _of_every_model(expect, exchanges)
    holds = opinion.passed
    return Grade(
        turn_id=turn_id,
        type=expect.name,
        metric=expect.metric,
        passed=holds,
        score=None if holds is None else float(holds),
        weight=expect.weight,
        reason=opinion.reason,
    )


def _of_every_model(expect: Expect, exchanges: Sequence[Exchange]) -> Opinion:
    """What *expect*, its `not-` applied, says: of models side by side it must hold for every one.

    The reason is that of the first model that does not pass, by name.
    """
    count = max((len(_models(exchange)) for exchange in exchanges), default=0)
    if not count:
        return _turned(expect, exchanges)
    opinions = [_turned(expect, [of_model(exchange, nth) for exchange in exchanges]) for nth in range(count)]
    for worse in (False, None):
        for nth, opinion in enumerate(opinions):
            if opinion.passed is worse:
                return Opinion(worse, f"{model_name(exchanges, nth)}: {opinion.reason}")
    return passed(f"all {count} models; {model_name(exchanges, 0)}: {opinions[0].reason}")


def _turned(expect: Expect, exchanges: Sequence[Exchange]) -> Opinion:
    opinion = check(expect, exchanges)
    if expect.negated and opinion.passed is not None:
        return Opinion(not opinion.passed, opinion.reason)
    return opinion


def model_name(exchanges: Sequence[Exchange], nth: int) -> str:
    """How the *nth* model of a side-by-side turn is called: by its place, and by what was asked for."""
    for exchange in exchanges:
        asked = exchange.request.get("llm_overrides") or ()
        if nth < len(asked):
            parts = (asked[nth].get("model_provider"), asked[nth].get("model_version"))
            named = "/".join(part for part in parts if part)
            return f"model {nth} ({named})" if named else f"model {nth}"
    return f"model {nth}"


def of_model(exchange: Exchange, nth: int) -> Exchange:
    """*exchange* as if the *nth* of its models side by side had answered alone; an ordinary one as it is.

    A model that came to its end has not failed, whatever became of the others.
    """
    models = _models(exchange)
    if exchange.transcript is None or nth >= len(models):
        return exchange
    share = structs.asdict(models[nth])
    del share["model_index"]
    transcript = structs.replace(exchange.transcript, models=None, **share)
    failure = exchange.failure if transcript.outcome is Outcome.TRUNCATED else None
    if transcript.error is not None:
        failure = Failure(Fault.ERROR_LINE, Step.BODY, transcript.error.message, code=transcript.error.code)
    return structs.replace(exchange, transcript=transcript, failure=failure)


def _models(exchange: Exchange) -> Sequence[ModelReading]:
    return (exchange.transcript and exchange.transcript.models) or ()


def check(expect: Expect, exchanges: Sequence[Exchange]) -> Opinion:
    """What *expect*, read without its `not-`, finds in one turn or in a whole conversation.

    Of a conversation, text is the answer to its last turn, tool calls are those
    of all its turns, and a time is its slowest.
    """
    match expect.type:
        case "stream-complete":
            return _complete(exchanges)
        case "ttft":
            return _ttft(exchanges, expect.threshold)
        case "trajectory:tool-used":
            return _broken(exchanges) or _tool_used(list(_calls(exchanges)), expect.value)
        case "contains" | "icontains" | "equals" | "regex" as kind:
            return _broken(exchanges) or _text(kind, _answer(exchanges[-1]), str(expect.value))
        case _:
            raise AssertionError(f"unreachable: {expect.type} was let through by the suite reader")


def _broken(exchanges: Sequence[Exchange]) -> Opinion | None:
    """Why a reply is no whole one: what it lacks, a word or a call, may have been on its way."""
    for exchange in exchanges:
        if exchange.failure is not None:
            return ungraded(f"no whole answer: {exchange.failure}")
        if exchange.transcript is None or exchange.transcript.outcome is Outcome.TRUNCATED:
            return ungraded("no whole answer: we cut it off")
    return None


def _answer(exchange: Exchange) -> str:
    return "" if exchange.transcript is None else exchange.transcript.answer


def _text(kind: str, answer: str, wanted: str) -> Opinion:
    shown = repr(answer if len(answer) <= SHOWN else answer[:SHOWN] + "…")
    match kind:
        case "equals":
            found, verb = answer == wanted, "equal"
        case "contains":
            found, verb = wanted in answer, "contain"
        case "icontains":
            found, verb = wanted.casefold() in answer.casefold(), "contain, in any case,"
        case _:
            found, verb = re.search(wanted, answer) is not None, "match"
    does = "does" if found else "does not"
    return Opinion(found, f"the answer {does} {verb} {wanted!r}: {shown}")


def _complete(exchanges: Sequence[Exchange]) -> Opinion:
    for exchange in exchanges:
        if exchange.failure is not None:
            return failed(f"turn {exchange.turn_id}: {exchange.failure}")
        if exchange.transcript is None or exchange.transcript.outcome is Outcome.TRUNCATED:
            return ungraded(f"turn {exchange.turn_id}: we cut it off")  # else it would be a failure
        if exchange.transcript.outcome is not Outcome.SUCCESS:
            return failed(f"turn {exchange.turn_id}: outcome {exchange.transcript.outcome}")
    return passed("stop packet seen, no error, an answer")


def _ttft(exchanges: Sequence[Exchange], threshold_ns: int) -> Opinion:
    times = [ttft_ns(exchange) for exchange in exchanges]
    known = [time for time in times if time is not None]
    limit = f"{threshold_ns / MS:g} ms"
    if any(time > threshold_ns for time in known):
        return failed(f"TTFT {max(known) / MS:.1f} ms, over {limit}")
    if len(known) < len(times):
        return ungraded("no answer text was streamed, so there is no TTFT")
    return passed(f"TTFT {max(known) / MS:.1f} ms, within {limit}")


def _tool_used(calls: list[ToolCall], wanted: Any) -> Opinion:
    names = [call.name for call in calls if call.name is not None]
    seen = ", ".join(names) or "no tool"
    match wanted:
        case dict():
            return _times_used(names, wanted)
        case str():
            return Opinion(wanted in names, f"called: {seen}; asked for {wanted}")
        case _:
            missing = [name for name in wanted if name not in names]
            return Opinion(not missing, f"called: {seen}; asked for {', '.join(wanted)}")


def _times_used(names: list[str], wanted: dict[str, Any]) -> Opinion:
    """{name | pattern, min, max}: without bounds at least once; with `max` alone, also not at all."""
    if "name" in wanted:
        what, count = wanted["name"], names.count(wanted["name"])
    else:
        what = f"a tool like {wanted['pattern']}"
        count = sum(re.search(wanted["pattern"], name) is not None for name in names)
    most: int | None = wanted.get("max")
    least: int = wanted.get("min", 1 if most is None else 0)
    asked = f"at least {least}" if most is None else f"{least} to {most}"
    within = least <= count and (most is None or count <= most)
    return Opinion(within, f"{what} was called {count} times; asked for {asked}")


def _calls(exchanges: Sequence[Exchange]) -> Iterator[ToolCall]:
    for exchange in exchanges:
        if exchange.transcript is not None:
            yield from exchange.transcript.tool_calls
