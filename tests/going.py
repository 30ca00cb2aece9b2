"""Runs under way, made by hand, for tests of what shows them."""

from itertools import count
from pathlib import Path

from msgspec import structs

from harness.drive.reins import Reins
from harness.plan.trials import Plan, make_plan
from harness.report.tally import Tally
from harness.result import Failure, Fault, Moment, Result, Skip, Step
from harness.suite.read import load_suite
from tests.replies import MS, answer, exchange, result

SECOND = 1_000_000_000


def plan(folder: Path, *variants: str, repeat: int = 10, load: str = "{main: {workers: 2}}") -> Plan:
    """The plan of a suite with one prompt and these *variants*."""
    path = folder / "suite.yaml"
    listed = ", ".join(f"{name!r}: {{}}" for name in variants)
    path.write_text(
        f"suite: small\ntarget: standin\nvariants: {{{listed}}}\nload: {load}\n"
        f"defaults: {{repeat: {repeat}}}\nprompts:\n  - {{id: a, message: hi}}\n"
    )
    return make_plan(load_suite(path))


def tally(planned: Plan, *, at_s: float = 0.0) -> tuple[Tally, list[int]]:
    """The tally of a run that has just begun its first phase, and the clock that it goes by."""
    now = [round(at_s * SECOND) + 1]
    told = Tally(planned, Reins(now=lambda: now[0]))
    name, load = next(iter(planned.loads.items()))
    told.enter(name, load)
    return told, now


_numbers = count(1)


def answered(
    variant: str = "base", *, ttft_ms: int = 30, at_ns: int = SECOND, phase: str = "main", pieces: int = 3
) -> Result:
    """A trial that was answered: its answer begins *ttft_ms* after it was sent at *at_ns*."""
    reply = exchange(answer(*"x" * pieces), sent_ns=at_ns, every_ns=ttft_ms * MS // 4)
    told = result(reply, variant=variant, trial_id=f"{next(_numbers):016x}")
    return structs.replace(told, phase=phase, began_ns=at_ns - MS, ended_ns=reply.ended_ns)


def broken(variant: str = "base", *, at_ns: int = SECOND, fault: Fault = Fault.DISCONNECTED) -> Result:
    """A trial whose reply broke off."""
    failure = Failure(fault, Step.BODY, "reset \x1b[31m")
    told = result(exchange(answer("x")[:-1], sent_ns=at_ns, failure=failure), variant=variant)
    return structs.replace(told, began_ns=at_ns - MS, ended_ns=at_ns)


def skipped(variant: str = "base", *, why: Skip = Skip.BUDGET) -> Result:
    """A trial that was not sent."""
    return result(variant=variant, skip=why)


def moment(second: int, *, began: int, fell_due: int = 0, in_flight: int = 1, lag_ms: int = 1) -> Moment:
    """A second of the phase."""
    return Moment(
        at_ns=second * SECOND + 1,
        span_ns=SECOND,
        phase="main",
        fell_due=fell_due,
        began=began,
        dropped=0,
        in_flight=in_flight,
        lag_ns=lag_ms * MS,
        cpu_ns=MS,
        waited_ns=0,
        target_ns=MS,
        own_ns=MS,
    )
