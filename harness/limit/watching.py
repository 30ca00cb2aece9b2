"""A probe while it goes on: what came of each trial, and every second whether that decides it.

Only what was due while the probe is measured counts. A reply that failed met none of its limits. One that is
under way is known as far as it came: where its first word is there, that it came in time; where it has been
awaited for longer than it may take, that it will not. To wait for its end would be to learn of the slow ones
last, and to take a server that is far past its limit for one that answers quickly.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf

from harness.drive.attempt import Running
from harness.drive.exchange import Draft
from harness.limit.deciding import Finding, Observed, Seen, looked
from harness.limit.slo import Term, live, value_of
from harness.metrics.figures import LATENCIES, MS, RESPONSE, SECOND, counts
from harness.metrics.outages import LEAST, broke
from harness.report.tally import Tally
from harness.result import Exchange, Moment, Result, Skip

PHASE = "limit"
"""The one phase of a probe."""

_MANY = 20
_LOST = "turned away or lost (429, 5xx, broken connections)"
_SHARE = 0.02
"""So much of the time may be spent on looking, as the streams that are read have to wait for it."""


@dataclass(slots=True)
class Watch:
    """What is seen of one probe of these *terms*, which is measured for *longest_s* after *settled_s*.

    *early* and *why* are its decision, where one came before its end, and *findings* those of its terms then.
    *slack_ms* is what our own machine may have added to a time. *planned* trials and turns will be measured,
    where the schedule says it. *unserved* trials found no room.
    """

    terms: tuple[Term, ...]
    settled_s: float
    longest_s: float
    is_open: bool
    slack_ms: float = 0.0
    early: str | None = None
    why: str = ""
    findings: tuple[Finding, ...] = ()
    tally: Tally | None = None
    seen: dict[str, dict[str, Observed]] = field(default_factory=dict)
    begun_ns: list[int] = field(default_factory=list)
    due_ns: list[int] = field(default_factory=list)
    unserved: int = 0
    planned: tuple[int, int] | None = None
    _turned_away: deque[bool] = field(default_factory=lambda: deque(maxlen=_MANY))
    _next_ns: int = 0

    def begin(self, tally: Tally) -> None:
        """Watch the run of *tally*, which is about to begin."""
        self.tally = tally
        self.seen = {term.told: {} for term in live(self.terms)}
        if self.is_open:
            measured = [each for each in tally.plan.trials if each.window == "measured"]
            self.planned = len(measured), sum(len(each.settings) for each in measured)
        tally.heard.append(self.hear)

    def hear(self, what: Result | Moment) -> None:
        """Take in what came; end the run where that decides it."""
        if isinstance(what, Moment):
            self._look(what.at_ns)
            return
        if what.window == "measured" and what.began_ns is not None:
            self.begun_ns.append(what.began_ns)
            self.due_ns.append(what.due_ns or what.began_ns)
        if what.skip is None:
            self._keep(what)
            self._turned_away.append(_is_turned_away(what))
            if self.early is None and (storm := self._storm()):
                self.findings = ()  # what was known at the last look is not what decided it
                self._end("past", storm)

    def _storm(self) -> str:
        """That the server turns away, or loses, what it is asked, where it does; in a sentence."""
        last = list(self._turned_away)
        if len(last) >= LEAST and all(last[-LEAST:]):
            return f"storm: the last {LEAST} trials were {_LOST}"
        if len(last) == _MANY and sum(last) * 2 >= _MANY:
            return f"storm: {sum(last)} of the last {_MANY} trials were {_LOST}"
        return ""

    def _keep(self, result: Result) -> None:
        if result.window != "measured":
            return
        self.unserved += result.free_ns is not None
        for term in live(self.terms):
            if term.metric.kind == "state":
                at_s = self._at_s(result.due_ns or result.began_ns or 0)
                self.seen[term.told][result.trial_id] = Observed(at_s, float(result.failure is not None))
            else:
                for exchange in result.exchanges:
                    self._observe(term, exchange)

    def _observe(self, term: Term, exchange: Exchange) -> None:
        if exchange.attempt > 1:  # of a turn that was sent again, the first time counts
            return
        value = value_of(term)(exchange) if counts(exchange) else inf
        if value is not None:
            at_s = self._at_s(exchange.due_ns or exchange.began_ns)
            self.seen[term.told][exchange.exchange_id] = Observed(at_s, value)

    def _at_s(self, at_ns: int) -> float:
        assert self.tally is not None  # noqa: S101  nothing is heard before
        return (at_ns - self.tally.phase_ns) / SECOND

    def _look(self, now_ns: int) -> None:
        tally = self.tally
        if (
            tally is None
            or self.early is not None
            or tally.reins.stopped is not None
            or now_ns < self._next_ns
        ):
            return
        self.findings = tuple(self.look(now_ns))
        self._next_ns = now_ns + round((tally.reins.now() - now_ns) / _SHARE)
        past = [each for each in self.findings if each.word == "past"]
        if past:
            self._end("past", f"{past[0].term}: {past[0].why}")
        elif self._may_hold() and all(each.word == "holds" for each in self.findings):
            self._end("holds", "; ".join(f"{each.term}: {each.why}" for each in self.findings))

    def _may_hold(self) -> bool:
        """Whether a load may be said to hold early: all terms are known, and one would show a queue."""
        return not any(term.is_late for term in self.terms) and any(term.is_time for term in self.terms)

    def _end(self, word: str, why: str) -> None:
        assert self.tally is not None  # noqa: S101  nothing is heard before
        self.early, self.why = word, why
        self.tally.reins.cut(Skip.DECIDED)

    def look(self, now_ns: int) -> Iterator[Finding]:
        """What is known of each term by now."""
        for term in live(self.terms):
            yield looked(term, self.so_far(term, now_ns))

    def so_far(self, term: Term, now_ns: int) -> Seen:
        """What was seen of *term* by now, with what is under way."""
        tally = self.tally
        assert tally is not None  # noqa: S101  nothing is heard before
        going = [each for each in tally.reins.under_way() if each.window == "measured"]
        is_open = sum(not self._settles(term, running, now_ns) for running in going)
        observed = sorted(self.seen[term.told].values())
        passed_s = max(0.0, self._at_s(now_ns) - self.settled_s)
        planned = None if self.planned is None else self.planned[term.metric.kind != "state"]
        return Seen(observed, is_open, planned, passed_s, self.longest_s, self.slack_ms)

    def _settles(self, term: Term, running: Running, now_ns: int) -> bool:
        """Whether what is under way is known to keep *term*, or to break it; it is observed then."""
        draft = running.draft
        name = term.metric.of.removesuffix("_ms")
        if (
            draft is None
            or term.bound is None
            or draft.number > 1
            or name.removeprefix(RESPONSE) not in LATENCIES
        ):
            return False
        since = draft.due_ns if name.startswith(RESPONSE) else draft.tape.sent_ns
        key = f"{draft.trial.trial_id}.{draft.turn.id}.{draft.number}"
        known = self.seen[term.told].get(key)
        if known is not None and not known.more:
            return True
        waited_ms = (now_ns - (since or draft.began_ns)) / MS
        if waited_ms <= term.bound:
            return False
        value = _so_far(term, draft, now_ns)
        at_s = self._at_s(draft.due_ns or draft.began_ns)
        self.seen[term.told][key] = (
            Observed(at_s, waited_ms, more=True) if value is None else Observed(at_s, value)
        )
        return True


def _so_far(term: Term, draft: Draft, now_ns: int) -> float | None:
    """The value of an exchange under way, where it has come so far."""
    return value_of(term)(draft.close(now_ns))


def _is_turned_away(result: Result) -> bool:
    failure = result.failure
    if failure is None:
        return False
    return failure.http_status == 429 or broke(failure.fault, failure.http_status)


def per_second(begun_ns: Sequence[int]) -> float | None:
    """How many began a second, from the first of them to the last."""
    if len(begun_ns) < 2 or max(begun_ns) == min(begun_ns):
        return None
    return (len(begun_ns) - 1) / ((max(begun_ns) - min(begun_ns)) / SECOND)
