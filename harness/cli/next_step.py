"""What to do about a run that did not end well, as commands that can be typed: printed beneath it."""

from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from harness.cli.choice import cores
from harness.errors import Exit
from harness.grade.states import State
from harness.report.visible import visible
from harness.verdict.word import Word as Believed

if TYPE_CHECKING:
    from harness.pipeline import Run


def what_next(done: "Run") -> Iterator[str]:
    """What is to be said of any run, new or recorded: what was in its way, and how it goes on."""
    if _nothing_answered(done):
        target = done.manifest.options.get("target") or done.manifest.suite_path
        yield f"nothing was answered: harness check {visible(target)} --ask says what is refused, and why"
    if done.verdict.word is Believed.CLIENT_BOUND and _cores_left(done):
        yield "this machine has more cores: --processes auto reads with all of them"
    if done.manifest.interrupted:
        yield f"to go on with it: harness run --resume {done.manifest.run_id}"


def next_step(done: "Run") -> str:
    """The commands that come next after a run that has just ended, in one line.

    Empty where all is well, where the figures or `what_next` say it, and where nobody knows.
    """
    if done.exit_code == Exit.OK or done.manifest.interrupted or _nothing_answered(done):
        return ""
    if done.verdict.word is Believed.CLIENT_BOUND and done.exit_code == Exit.INCOMPLETE:
        return "" if _cores_left(done) else _SLOW
    if done.ruling is None:
        return _again(done)
    return _surely(done) if done.exit_code == Exit.FAILED else ""


_SLOW = "this machine is the limit: harness calibrate says how much it can read, --cluster takes several"


def _again(done: "Run") -> str:
    """Why it broke, and how that is asked once more: of what was sent under load nothing is."""
    from harness.decide.rerun import why_a_part

    bad = (State.FAILED, State.ERROR)
    if not any(map(done.summary.count, bad)):
        return ""
    rows = [row for row in done.summary.rows if row.phase in done.each_once]
    states = ",".join(state for state in bad if any(getattr(row, state) for row in rows))
    if not states:
        return _why(done)
    of = f" --of {done.manifest.run_id}" if why_a_part(done.manifest) else ""
    suite = quote(visible(done.manifest.suite_path))
    again = f"harness run {suite}{_target(done)} --rerun {states}{of}{_kept(done)}"
    return f"{_why(done)}; to ask that again: {again}"


def _surely(done: "Run") -> str:
    """Whether what failed is sure to fail, where a gate has failed and some prompt that counts did."""
    from harness.decide.confirm import red

    if not (done.each_once and red(done.folder)):
        return ""
    sure = f"harness confirm {done.manifest.run_id}{_target(done)}{_kept(done)}"
    return f"{_why(done)}; to ask what failed until that is sure: {sure}"


def _why(done: "Run") -> str:
    return f"to see why: harness view {done.manifest.run_id}{_kept(done)}"


def _target(done: "Run") -> str:
    target = done.manifest.options.get("target")
    return "" if target is None else f" --target {quote(visible(target))}"


def _kept(done: "Run") -> str:
    """Where the run is, if that has to be said."""
    results = done.folder.parent.parent
    return (
        "" if results.resolve() == Path("results").resolve() else f" --results {quote(visible(str(results)))}"
    )


def _cores_left(done: "Run") -> bool:
    processes: int = done.manifest.options.get("processes", 1)
    return processes < cores()


def _nothing_answered(done: "Run") -> bool:
    answered = (State.PASSED, State.FAILED, State.INVALID)
    return done.summary.count(State.ERROR) > 0 and not any(map(done.summary.count, answered))
