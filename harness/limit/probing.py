"""One probe: a run of the suite under one load, and what it says of that load.

A probe is an ordinary run, in a folder like any other, whose `load:` is one phase. So it has a verdict,
tables and a report, and is graded as ever; the manifest holds the suite as it was run, with that load in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from msgspec import Struct, structs

from harness.conduct.options import Options
from harness.errors import MachineError
from harness.limit import search
from harness.limit.deciding import Finding, Observed, Seen, ended, looked, surely_broke
from harness.limit.slo import Term
from harness.limit.watching import PHASE, Watch, per_second
from harness.metrics.figures import SECOND
from harness.pipeline import Run, run
from harness.record.store import PROBES
from harness.result import Skip
from harness.suite.edit import with_key
from harness.suite.model import Suite
from harness.suite.phases import Phase
from harness.verdict.word import Word

WARM_UP = 0.2
"""Of the time that is measured, so much goes before it: a queue is not empty where it is in use."""
_BEGAN = 0.9
"""So much of the rate at which trials fell due has to have begun, where our own machine was slow."""
_OURS = {Skip.RATE_LIMITED, Skip.REFUSED, Skip.BUDGET, Skip.INTERRUPTED}


class Probe(Struct, frozen=True, kw_only=True):
    """What one probe came to. *load* is conversations a second, or workers; *began_per_s* what came of it.

    *trials* began while it was measured, *seconds* is what it took all in all. *word* is its answer and *why*
    a sentence; *early* says that it was decided before its end. *verdict* is that on the run *run_id*, with
    its first *reason*.
    """

    number: int
    load: float
    asked_for: str
    longer: bool
    seed: int
    run_id: str | None
    folder: str | None
    trials: int
    seconds: float
    began_per_s: float | None
    findings: tuple[Finding, ...]
    verdict: str | None
    reason: str
    word: search.Word
    early: bool
    why: str


@dataclass(frozen=True, slots=True)
class Asked:
    """How loads are asked: of *suite*, held against *terms*, each for *for_ns* at the longest.

    *slack_ms* is what our own machine may add to a time, by the probe before. *kind* is whether a load is a
    rate or a number of workers, *arrivals* how those of a rate are spaced.
    """

    suite: Suite
    terms: tuple[Term, ...]
    options: Options
    for_ns: int
    kind: Literal["rate", "workers"] = "rate"
    arrivals: Literal["poisson", "constant"] = "poisson"
    slack_ms: float = 0.0

    @property
    def unit(self) -> str:
        """What stands behind a load."""
        return "/s" if self.kind == "rate" else " workers"

    def told(self, load: float) -> str:
        """A load with its unit."""
        return f"{load:g}{self.unit if load != 1 or self.kind == 'rate' else ' worker'}"


def probe(asked: Asked, load: float, *, number: int, longer: bool, why: str) -> tuple[Probe, Run | None]:
    """Ask for *load*, and what came of it; for twice as long if it is to be asked *longer*.

    The run is None where this machine has no files or ports left for it. Raises what `harness.pipeline.run`
    raises, but for that.
    """
    suite, phase = under(asked, load, longer=longer)
    watch = Watch(
        asked.terms,
        settled_s=phase.settled_ns / SECOND,
        longest_s=(phase.for_ or 0) / SECOND,
        is_open=phase.is_open,
        slack_ms=asked.slack_ms,
    )
    options = replace(asked.options, seed=seed_of(asked.options.seed, number), onlooker=watch.begin)
    so_far = Probe(
        number=number,
        load=load,
        asked_for=why,
        longer=longer,
        seed=options.seed,
        run_id=None,
        folder=None,
        trials=0,
        seconds=0.0,
        began_per_s=None,
        findings=(),
        verdict=None,
        reason="",
        word="client",
        early=False,
        why="",
    )
    try:
        done = run(suite, options)
    except MachineError as error:
        return structs.replace(so_far, why=str(error)), None
    return structs.replace(so_far, **_came_to(watch, done)), done


def seed_of(seed: int, number: int) -> int:
    """The seed of a probe: another one for each, so that no draw of arrivals decides a whole search."""
    return seed * 1_000 + number


def under(asked: Asked, load: float, *, longer: bool = False) -> tuple[Suite, Phase]:
    """The suite with *load* for its only phase, and that phase."""
    lasts = asked.for_ns * (2 if longer else 1)
    mix = next((each.mix for each in asked.suite.load.values() if each.mix is not None), None)
    written: dict[str, Any] = {"for": f"{lasts}ns", "warm_up": f"{round(lasts * WARM_UP)}ns"}
    written |= {} if mix is None else {"mix": dict(mix)}
    if asked.kind == "rate":
        written = {"rate": f"{load:f}/s", "arrivals": asked.arrivals, **written}
    else:
        written = {"workers": round(load), **written}
    phase = Phase.model_validate(written)
    text = with_key(asked.suite.text, "load", {PHASE: written})
    update = {"load": {PHASE: phase}, "text": text, "name": f"{asked.suite.name}{PROBES}"}
    return asked.suite.model_copy(update=update), phase


def _came_to(watch: Watch, done: Run) -> dict[str, Any]:
    """What is known of a load after its run, by the names of `Probe`."""
    findings = tuple(_findings(watch, done))
    reasons = [each for each in done.verdict.reasons if each.word is done.verdict.word]
    word, why = _said(watch, findings)
    if word in {"holds", "past"}:
        word, why = _or_client(watch, done, word, why)
    return {
        "run_id": done.manifest.run_id,
        "folder": str(done.folder),
        "trials": len(watch.begun_ns),
        "seconds": ((done.manifest.ended_ns or 0) - done.manifest.started_ns) / SECOND,
        "began_per_s": per_second(watch.begun_ns),
        "findings": findings,
        "verdict": None if done.verdict.word is None else str(done.verdict.word),
        "reason": reasons[0].says if reasons else "",
        "word": word,
        "early": watch.early is not None,
        "why": why,
    }


def _said(watch: Watch, findings: tuple[Finding, ...]) -> tuple[search.Word, str]:
    """What the server's answers say of the load."""
    reins = None if watch.tally is None else watch.tally.reins
    if reins is not None and (reins.interrupted or reins.stopped in _OURS):
        return "stopped", reins.said or "interrupted"
    if watch.early == "past":
        return "past", watch.why
    past = [each for each in findings if each.word == "past"]
    if past:
        return "past", f"{past[0].term}: {past[0].why}"
    few = [f"{each.term} ({each.why})" for each in findings if each.word == "open"]
    if few:
        return "stopped", f"too few replies for {', '.join(few)}: ask for longer (--for)"
    return "holds", watch.why or "; ".join(f"{each.term}: {each.why}" for each in findings)


def _or_client(watch: Watch, done: Run, word: search.Word, why: str) -> tuple[search.Word, str]:
    """The same, unless our own machine may be what it was about.

    A slow machine of ours makes a server look slower, not quicker: what held, with the load begun as asked,
    held. What did not hold is still the server's where the times are too long with all that was late here
    taken off, too.
    """
    if watch.unserved:
        return "client", f"{watch.unserved} arrivals found no room: this machine may have no more files open"
    if done.verdict.word is not Word.CLIENT_BOUND:
        return word, why
    ours = ours_ms(done)
    began, due = per_second(watch.begun_ns), per_second(watch.due_ns)
    if word == "holds" and began is not None and due is not None and began >= _BEGAN * due:
        return "holds", f"{why} (this machine was slow, which makes no server look quicker)"
    if word == "past" and ours is not None and _is_servers(watch, done, ours):
        return "past", f"{why} (this machine was slow, by {ours:,.0f} ms; that does not explain it)"
    says = next(each.says for each in done.verdict.reasons if each.word is Word.CLIENT_BOUND)
    return "client", f"client-bound: {says}"


def ours_ms(done: Run) -> float | None:
    """What our own machine may have added to a time, all in all; None where its books do not balance.

    Requests that went out late and so together, packets that lay unread, a loop that was held up, and what
    slowed even a server of our own: each as the verdict measures it.
    """
    if any(signs.broken for signs in done.verdict.signs):
        return None
    names = ("late_p99_ms", "delay_p99_ms", "lag_p50_ms", "own_p50_ms")
    return max(
        (sum(getattr(signs, name) or 0.0 for name in names) for signs in done.verdict.signs), default=0.0
    )


def _is_servers(watch: Watch, done: Run, ours: float) -> bool:
    """Whether some term is broken even with what our machine may have added taken off."""
    if watch.early == "past" and not watch.findings:
        return True  # a storm: refusals are the server's own words
    for term in watch.terms:
        observed = list(_observed(term, watch, done))
        planned = None if watch.planned is None else watch.planned[term.metric.kind != "state"]
        seen = Seen(observed, 0, planned, watch.longest_s, watch.longest_s, ours)
        at_the_end = watch.early is None and surely_broke(term, seen) > term.allowed * len(observed)
        if at_the_end or looked(term, seen).word == "past":
            return True
    return False


def _findings(watch: Watch, done: Run) -> Iterator[Finding]:
    """What each term came to; what decided an early end stays as it was then, with what was under way."""
    early = {each.term: each for each in watch.findings} if watch.early is not None else {}
    for term in watch.terms:
        if term.told in early:
            yield early[term.told]
        else:
            observed = list(_observed(term, watch, done))
            yield ended(term, Seen(observed, 0, None, watch.longest_s, watch.longest_s))


def _observed(term: Term, watch: Watch, done: Run) -> Iterator[Observed]:
    """What was observed of *term* in all."""
    return _graded(term, done) if term.is_late else iter(sorted(watch.seen[term.told].values()))


def _graded(term: Term, done: Run) -> Iterator[Observed]:
    """What only the tables have, of what was measured: 1 for what breaks the term by itself, else 0."""
    if term.metric.kind == "check":
        for row in done.summary.checks:
            if term.metric.of in {row.metric, row.type}:
                yield from (Observed(0.0, broke) for broke in (0.0,) * row.passed + (1.0,) * row.failed)
        return
    trials = done.tables["trials"].select("trial_id", "window", "state", "began_ns").rows()
    measured = {name: (began or 0) / SECOND for name, window, _, began in trials if window == "measured"}
    if term.metric.kind == "passes":
        states = {name: state for name, _, state, _ in trials if name in measured}
        told = {"passed": 0.0, "failed": 1.0}
        yield from sorted(
            Observed(measured[name], told[each]) for name, each in states.items() if each in told
        )
        return
    rows = done.tables["exchanges"].select("trial_id", "counted", term.metric.of).rows()
    yield from sorted(
        Observed(measured[name], value)
        for name, counted, value in rows
        if counted and value is not None and name in measured
    )
