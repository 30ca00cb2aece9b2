"""Checks of the suite's own Python: what is handed to it, and what is made of what it gives back.

It is run in a process of its own, after the load and before grading (`harness.conduct.consult`): what it
gave, or how it broke, is among what others said.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from harness.grade.opinion import Opinion, ungraded
from harness.grade.runner import Call
from harness.grade.said import Called
from harness.grade.subject import Subject
from harness.metrics.figures import milliseconds, service_ns
from harness.suite.asserts.code import Python

_GIVES = "it gives true or false, a score from 0 to 1, or {pass, score, reason, named_scores}"


def check(args: Python, subject: Subject) -> Opinion:
    """What the suite's function says; nothing where it broke, gave nothing of use, or was not run."""
    broken = subject.broken()
    if broken is not None:
        return broken
    said = subject.known.said.get(key_of(args, subject))
    if not isinstance(said, Called):
        return ungraded(f"{args.value} was not run")
    if said.error:
        return ungraded(f"{args.value}: {said.error}", evidence=said.traceback or None)
    return opinion_of(args, said.gave)


def key_of(args: Python, subject: Subject) -> str:
    """By what the call is known: the function, what it is given, and whose answer it looks at."""
    called = [
        args.value,
        args.config,
        [exchange.exchange_id for exchange in subject.exchanges],
        subject.turn_id,
    ]
    return blake2b(msgspec.json.encode(called), digest_size=12).hexdigest()


def call_of(args: Python, subject: Subject) -> Call:
    """The call that answers *args* of *subject*."""
    return Call(args.file, args.function, subject.answer, context(args, subject))


def context(args: Python, subject: Subject) -> dict[str, Any]:
    """What the function is given beside the answer; results/README.md and docs/checks.md list it."""
    result, last = subject.result, subject.last
    told = last.transcript
    return {
        "prompt": last.request.get("message"),
        "vars": dict(subject.variables),
        "config": args.config or {},
        "case_id": result and result.case_id,
        "variant": result and result.variant,
        "repeat": result and result.repeat,
        "turn_id": subject.turn_id,
        "turns": [_turn(exchange.request.get("message"), exchange) for exchange in subject.exchanges],
        "tool_calls": [
            {"name": call.name, "arguments": call.arguments, "status": call.status, "result": call.result}
            for call in subject.calls
        ],
        "citations": msgspec.to_builtins(told.citations) if told else [],
        "documents": list(told.documents) if told else [],
        "reasoning": "\n\n".join(told.reasoning) if told else "",
        "ttft_ms": milliseconds(service_ns(last, "ttft")),
        "total_ms": milliseconds(service_ns(last, "total")),
    }


def _turn(message: Any, exchange: Any) -> dict[str, Any]:
    answer = exchange.transcript.answer if exchange.transcript is not None else None
    return {"turn_id": exchange.turn_id, "message": message, "answer": answer}


def opinion_of(args: Python, gave: Any) -> Opinion:
    """What a function gave, as an opinion; what is none of what it may give could not be graded."""
    match gave:
        case bool():
            return Opinion(gave, f"{args.value} says {'true' if gave else 'false'}")
        case int() | float() if 0 <= gave <= 1:
            return Opinion(_reaches(args, gave), f"{args.value} gives {gave:g}{_wanted(args)}", float(gave))
        case {"pass": bool()} | {"pass_": bool()} | {"score": int() | float()}:
            return _told(args, gave)
        case _:
            shown = repr(gave)
            return ungraded(f"{args.value} gave {shown[:80]}: {_GIVES}")


def _reaches(args: Python, score: float) -> bool:
    """Whether a score is a pass: without a threshold everything above 0 is, as promptfoo has it."""
    return score > 0 if args.threshold is None else score >= args.threshold


def _wanted(args: Python) -> str:
    return "" if args.threshold is None else f"; {args.threshold:g} is wanted"


def _told(args: Python, gave: Mapping[str, Any]) -> Opinion:
    score, says = gave.get("score"), gave.get("pass", gave.get("pass_"))
    number = isinstance(score, int | float) and not isinstance(score, bool)
    if score is not None and not (number and 0 <= score <= 1):
        return ungraded(f"{args.value} gave the score {score!r}: {_GIVES}")
    if says is not None and not isinstance(says, bool):
        return ungraded(f"{args.value} gave pass: {says!r}: {_GIVES}")
    holds = says if score is None else _reaches(args, score) and says is not False
    if says is True and args.threshold is None:
        holds = True
    named = gave.get("named_scores") or gave.get("namedScores") or {}
    scores = {str(name): float(each) for name, each in named.items() if isinstance(each, int | float)}
    reason = str(gave.get("reason") or f"{args.value} says {'pass' if holds else 'fail'}{_wanted(args)}")
    return Opinion(holds, reason, None if score is None else float(score), named_scores=scores)
