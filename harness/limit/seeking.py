"""The highest load that holds: a search whose answers are probes of a server, and what it came to.

Everything is known when it ends, however it ends: a Ctrl-C, a server that is gone, or a budget that is spent
leave the loads that were asked by then, and what is known of the limit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from harness.conduct.finish import Run
from harness.drive.reins import room
from harness.errors import Exit, HarnessError
from harness.limit import search
from harness.limit.probing import Asked, Probe, ours_ms, probe
from harness.limit.resting import rest
from harness.limit.search import Bracket, Ending, Span
from harness.metrics.figures import MS, SECOND
from harness.record import store
from harness.record.histograms import filename

Say = Callable[[str], None]


class Found(Struct, frozen=True, kw_only=True):
    """What a search came to: the highest load that *holds*, the lowest above it that is *past*.

    *ended* is why it ended. *kind* is `rate`, in conversations a second, or `workers`. *says* is the answer
    in a sentence, *exit_code* that of the command. *trials* were measured in all *probes*; *why* says what
    stopped the search, if anything did.
    """

    suite: str
    target: str
    kind: str
    terms: tuple[str, ...]
    holds: float | None
    past: float | None
    ended: Ending
    why: str
    says: str
    exit_code: int
    trials: int
    seed: int
    tolerance: float
    longest_s: float
    started_at: str
    notes: tuple[str, ...]
    probes: tuple[Probe, ...]


@dataclass(slots=True)
class Seeking:
    """A search while it goes on. *say* is told what comes next.

    *first_ns* is what a control request took beside the first probe.
    """

    asked: Asked
    span: Span
    cool_down_s: float
    say: Say
    probes: list[Probe] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    why: str = ""
    target: str = ""
    first_ns: float | None = None

    def ask(self, load: float, longer: bool, why: str) -> search.Word:  # noqa: FBT001  as a search asks
        """Probe the server under *load*; whatever goes wrong ends the search, once something is known."""
        try:
            self._rest()
            self.say(f"probe {len(self.probes) + 1}: {self.asked.told(load)} ({why}) …")
            number = len(self.probes) + 1
            came, done = probe(self.asked, load, number=number, longer=longer, why=why)
        except KeyboardInterrupt:
            self.why = "interrupted"
            return "stopped"
        except HarnessError as error:
            if not self.probes:
                raise
            self.why = str(error)
            return "stopped"
        self.probes.append(came)
        self.asked = replace(self.asked, options=replace(self.asked.options, agree=None))  # once is enough
        if done is not None:
            self._learn(done, came)
        self.say(f"{self.asked.told(load)}: {came.word}; {came.why}")
        if came.word in {"stopped", "client"}:
            self.why = came.why
        return came.word

    def _rest(self) -> None:
        if not self.probes or not self.target:
            return
        past = self.probes[-1].word == "past"
        if past and self.cool_down_s:
            self.say("cooling down …")
        found = rest(
            self.asked, self.target, first_ns=self.first_ns, cool_down_s=self.cool_down_s, was_past=past
        )
        if found.is_calm is False:
            self.notes.append(
                f"before probe {len(self.probes) + 1} the target had not come to rest after "
                f"{found.waited_s:.0f} s: a control request took longer than at first"
            )
            self.say(f"warning: {self.notes[-1]}")

    def _learn(self, done: Run, came: Probe) -> None:
        """What a run tells for the next: where the target is, how quick it was, and what is left to spend."""
        self.target = done.manifest.target
        if self.first_ns is None:
            took_ms = next((each.target_p50_ms for each in done.verdict.signs), None)
            self.first_ns = None if took_ms is None else took_ms * MS
        # The same load again has to show more than what was late here may explain.
        slack = 1.5 * (ours_ms(done) or 0.0) if came.word == "client" else 0.0
        said = self.asked.suite.model_copy(update={"warnings": ()})  # once is enough
        self.asked = _with_what_is_left(replace(self.asked, suite=said, slack_ms=slack), done)


def _with_what_is_left(asked: Asked, done: Run) -> Asked:
    """The same with the budget of the suite less what the run spent: it is for the whole search."""
    budget, spent = asked.suite.budget, done.manifest.spent
    left: dict[str, float] = {}
    if budget.tokens is not None:
        left["tokens"] = max(1, budget.tokens - int(_more_of(spent, "tokens")))
    if budget.usd is not None:
        left["usd"] = max(1e-9, budget.usd - _more_of(spent, "usd"))
    if budget.minutes is not None:
        ran_s = ((done.manifest.ended_ns or 0) - done.manifest.started_ns) / SECOND
        left["minutes"] = max(1e-3, budget.minutes - ran_s / 60)
    if not left:
        return asked
    return replace(asked, suite=asked.suite.model_copy(update={"budget": budget.model_copy(update=left)}))


def _more_of(spent: Mapping[str, float], what: str) -> float:
    """What a run spent, as we estimate it or as the server counted, whichever is more."""
    return max(spent.get(f"estimated_{what}", 0), spent.get(f"server_{what}", 0))


def limit(asked: Asked, span: Span, *, cool_down_s: float = 5.0, say: Say = lambda _: None) -> Found:
    """The highest load of *span* under which all terms hold; `limit.json` beside its runs has all of it.

    Raises what the first probe raises before anything is sent: `SuiteError`, `UsageError`, `TargetError`.
    """
    span = _with_room(asked, span)
    going = Seeking(asked, span, cool_down_s, say)
    started_at = datetime.now(UTC)
    bracket = search.search(going.ask, span)
    found = _found(going, bracket, started_at)
    if going.probes:
        keep(found, asked.options.results)
    return found


def _with_room(asked: Asked, span: Span) -> Span:
    """Of workers no more than there are files for."""
    if asked.kind == "rate":
        return span
    return replace(span, most=min(span.most or room(), room()))


def folder_of(suite: str, results: Path) -> Path:
    """Where the runs of a search are: apart from those of the suite itself, which it is not one of."""
    return results / filename(f"{suite}{store.PROBES}")


def keep(found: Found, results: Path) -> Path:
    """Write *found* beside its runs, by the time of its start, and as the latest; where."""
    folder = folder_of(found.suite, results)
    stamp = found.started_at.replace("-", "").replace(":", "")
    path = folder / f"limit-{stamp[:15]}Z.json"
    for each in (path, folder / store.LIMIT):
        store.write_json(found, each)
    return path


def _found(going: Seeking, bracket: Bracket, started_at: datetime) -> Found:
    asked, span = going.asked, going.span
    ended, why = bracket.ended, going.why if bracket.ended in {"client", "stopped"} else ""
    if ended == "most" and asked.kind == "workers" and span.most == room():
        ended, why = "client", f"this machine may have files for {span.most:g} workers open (ulimit -n)"
    if ended == "stopped" and not why:
        why = f"the answers contradict each other after {len(going.probes)} probes: ask for longer (--for)"
    trials = sum(each.trials for each in going.probes)
    return Found(
        suite=asked.suite.name,
        target=going.target,
        kind=asked.kind,
        terms=tuple(each.told for each in asked.terms),
        holds=bracket.holds,
        past=bracket.past,
        ended=ended,
        why=why,
        says=sentence(going, replace(bracket, ended=ended), why, trials),
        exit_code=int(_EXITS[ended]),
        trials=trials,
        seed=asked.options.seed,
        tolerance=span.tolerance,
        longest_s=asked.for_ns / SECOND,
        started_at=started_at.isoformat(),
        notes=tuple(going.notes),
        probes=tuple(going.probes),
    )


_EXITS = {
    "found": Exit.OK,
    "most": Exit.OK,
    "least": Exit.FAILED,
    "client": Exit.INCOMPLETE,
    "stopped": Exit.INCOMPLETE,
}


def sentence(going: Seeking, bracket: Bracket, why: str, trials: int) -> str:
    """The answer, with what it stands on."""
    told, asked = going.asked.told, going.asked
    what = "rate" if asked.kind == "rate" else "number of workers"
    probes = f"{len(going.probes)} probe{'' if len(going.probes) == 1 else 's'}"
    of = f"{probes}, {trials:,} trials, seed {asked.options.seed}"
    holds = "" if bracket.holds is None else told(bracket.holds)
    past = "" if bracket.past is None else told(bracket.past)
    match bracket.ended:
        case "found":
            return f"the highest {what} that holds is {holds} (holds at {holds}, not at {past}; {of})"
        case "most":
            return (
                f"at least {holds}: the highest {what} that was to be asked holds ({of}); --max asks for more"
            )
        case "least":
            lower = f", the lowest that {asked.for_ns / SECOND:g} s can tell (--for)"
            return f"no {what} holds: not even {past}{lower if asked.kind == 'rate' else ''} ({of})"
        case "client" if holds and past:
            return (
                f"between {holds}, which holds, and {past}, which does not: closer cannot be told, since "
                f"this machine was too slow in between ({why}; {of}). Leave it to this alone, or ask from "
                "another"
            )
        case "client":
            known = f"at least {holds}" if holds else "not known"
            return (
                f"{known}: from here on this machine is the limit, and not the server ({why}; {of}). "
                "harness calibrate says what this machine can read; leave it to this alone, or ask from "
                "another"
            )
        case "stopped":
            known = "; ".join(
                words for words in (holds and f"{holds} holds", past and f"{past} does not") if words
            )
            return f"stopped: {why}; so far {known or 'nothing is known'} ({of})"
