"""How the reply came: whole or broken, and how fast (`harness.suite.asserts.stream`)."""

from harness.grade.opinion import Opinion, failed, passed, ungraded
from harness.grade.subject import Subject
from harness.metrics import MS, ttft_ns
from harness.sigma.transcript import Outcome
from harness.suite.asserts.stream import StreamCheck, StreamComplete, Ttft


def check(args: StreamCheck, subject: Subject) -> Opinion:
    """What a check of the stream finds. A broken reply has an end, too, and some of its times."""
    match args:
        case StreamComplete():
            return _complete(subject)
        case Ttft(threshold=threshold):
            return _ttft(subject, threshold)
        case _:
            raise AssertionError(f"unreachable: {type(args).__name__} has no grade")


def _complete(subject: Subject) -> Opinion:
    if subject.expects_failure:
        return ungraded("the suite expects this turn to fail")
    for exchange in subject.exchanges:
        if exchange.failure is not None:
            return failed(f"turn {exchange.turn_id}: {exchange.failure}")
        if exchange.transcript is None or exchange.transcript.outcome is Outcome.TRUNCATED:
            return ungraded(f"turn {exchange.turn_id}: we cut it off")  # else it would be a failure
        if exchange.transcript.outcome is not Outcome.SUCCESS:
            return failed(f"turn {exchange.turn_id}: outcome {exchange.transcript.outcome}")
    return passed("stop packet seen, no error, an answer")


def _ttft(subject: Subject, threshold_ns: int) -> Opinion:
    times = [ttft_ns(exchange) for exchange in subject.exchanges]
    known = [time for time in times if time is not None]
    limit = f"{threshold_ns / MS:g} ms"
    if any(time > threshold_ns for time in known):
        return failed(f"TTFT {max(known) / MS:.1f} ms, over {limit}")
    if len(known) < len(times):
        return ungraded("no answer text was streamed, so there is no TTFT")
    return passed(f"TTFT {max(known) / MS:.1f} ms, within {limit}")
