"""May this run be believed? Signs of what the measuring was like, in; one word with its reasons, out.

`client-bound`: our own machine was too slow, and the figures are about us. `server-saturated`: the server was
asked for more than it can do, so that there was no steady state whose percentiles would mean anything.
`degraded`: something was not as it should be, and small. `valid`: none of these.

What only might disturb (other work on this machine, a process near its limit) degrades; what is seen to
disturb (requests out late, packets unread, a loop held up) forbids. The limits are relative to the median
TTFT where one is a latency, since 5 ms matter to one of 50 and not to one of 5,000 (statistics.md 1.6), and
were tuned on the confusion table of `tests/endurance/test_verdict_live.py`. A sign that the system does not
show is unknown, which is neither fine nor a fault; it is said.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum

from msgspec import Struct

from harness.verdict.signs import Signs


class Word(StrEnum):
    """What may be said of a run, the worst first: of a client that was too slow nothing else can be known."""

    CLIENT_BOUND = "client-bound"
    SERVER_SATURATED = "server-saturated"
    DEGRADED = "degraded"
    VALID = "valid"


class Reason(Struct, frozen=True):
    """One thing that speaks for *word*: the figure, the limit that it went over, and a sentence with both."""

    word: Word
    phase: str
    sign: str
    value: float
    limit: float
    says: str


class Verdict(Struct, frozen=True):
    """What may be said of a run, why, and what was not known. *word* is None where nothing was measured."""

    word: Word | None
    reasons: tuple[Reason, ...] = ()
    unknown: tuple[str, ...] = ()
    signs: tuple[Signs, ...] = ()

    @property
    def forbids_latency(self) -> bool:
        """Whether no latency of this run may be claimed to be the server's."""
        return self.word in {Word.CLIENT_BOUND, Word.SERVER_SATURATED}


def verdict(signs: Iterable[Signs]) -> Verdict:
    """The verdict on a run of which these are the phases: that of its worst one."""
    phases = tuple(signs)
    reasons = [reason for phase in phases for reason in reasons_of(phase)]
    reasons.sort(key=lambda reason: list(Word).index(reason.word))
    measured = any(phase.n for phase in phases)
    word = reasons[0].word if reasons else Word.VALID
    return Verdict(word if measured or reasons else None, tuple(reasons), tuple(_unknown(phases)), phases)


def reasons_of(signs: Signs) -> Iterator[Reason]:
    """What speaks against one phase, the worst word first; of one sign only the worst is told."""
    told: set[str] = set()
    for rule in (_client, _server, _server_trend, _small, _uneven, _warming, _away):
        fresh = [reason for reason in rule(signs) if reason.sign not in told]
        told.update(reason.sign for reason in fresh)
        yield from fresh


def _client(signs: Signs) -> Iterator[Reason]:
    """Signs that our own machine was too slow."""
    say = _teller(signs, Word.CLIENT_BOUND)
    near, far = _near(signs), _far(signs)
    late = near if signs.is_open else far
    # A kernel's stamp outlives a late read, but for those of packets that were merged by then.
    delay = near if signs.user_stamped or (signs.merged or 0.0) > _MERGED else far
    yield from say("late_p99_ms", late, "requests went out late: p99 {} after they could, n = {late_n}")
    yield from say("delay_p99_ms", delay, "packets lay unread: p99 {}, n = {delay_n}")
    yield from say("lag_p50_ms", far, "our event loop was held up: by {} in half of all seconds")
    yield from say("own_p50_ms", far, "even our own source took {} (p50) to answer a control request")
    if signs.is_open:  # a closed load waits for itself, an open one keeps to a clock
        yield from say("pressure", _CROWDED, "tasks of this machine waited for a CPU {} of the time")
    for law in signs.broken:
        yield Reason(Word.CLIENT_BOUND, signs.phase, "broken", 1, 0, f"the books do not balance: {law}")


def _server(signs: Signs) -> Iterator[Reason]:
    """Signs that the server was asked for more than it does."""
    say = _teller(signs, Word.SERVER_SATURATED)
    yield from say("refused", 0.05, "the server turned away {} of the requests (429, 503)")
    yield from say("unserved", 0.05, "{} of {arrivals} arrivals found max_in_flight reached")


def _server_trend(signs: Signs) -> Iterator[Reason]:
    """Above capacity there is no steady state: both in flight and TTFT grow (statistics.md 1.3)."""
    grows, slows = signs.in_flight, signs.ttft
    if grows is None or slows is None or not (grows.low > 0 and slows.low > 0):
        return
    gained, slowed = grows.slope * signs.seconds, slows.slope * signs.seconds
    # Significant is not yet important: over a long run the smallest drift becomes significant.
    limit = 0.25 * (signs.ttft_p50_ms or 0.0)
    if slowed > limit:
        says = f"no steady state: {gained:.0f} more got in flight and TTFT rose by {_ms(slowed)}"
        says += f"; {_ms(limit)} is allowed"
        yield Reason(Word.SERVER_SATURATED, signs.phase, "ttft", slowed, limit, says)


def _uneven(signs: Signs) -> Iterator[Reason]:
    """Whether what was asked of an open load is what began: its rate, and how even it was."""
    asked, began = signs.asked, signs.began
    if asked is None or began is None or signs.unserved or began.gap_cv is None or asked.gap_cv is None:
        return
    if (off := abs(began.gap_cv - asked.gap_cv)) > _UNEVEN:
        says = (
            f"conversations began otherwise spaced than asked: their gaps vary by {began.gap_cv:.2f}, "
            f"{asked.gap_cv:.2f} was asked, n = {began.n}"
        )
        yield Reason(Word.DEGRADED, signs.phase, "gap_cv", off, _UNEVEN, says)


def _warming(signs: Signs) -> Iterator[Reason]:
    """Whether a good part of what was measured was still on its way to a steady state (statistics.md 1.5)."""
    cut, excess = signs.warm_n, signs.warm_excess
    if cut is None or excess is None or cut <= _WARM * signs.n or abs(excess) <= _WARM_EXCESS:
        return
    says = (
        f"the first {cut} of {signs.n} replies were a warm-up by MSER-5: their TTFT was {abs(excess):.0%} "
        f"{'higher' if excess > 0 else 'lower'} than that of the others; measure later (warm_up), or longer"
    )
    yield Reason(Word.DEGRADED, signs.phase, "warm_n", cut, _WARM * signs.n, says)


def _small(signs: Signs) -> Iterator[Reason]:
    """Signs of something that was not as it should be."""
    say = _teller(signs, Word.DEGRADED)
    near = _near(signs)
    yield from say("delay_p99_ms", near, "packets lay unread: p99 {}, n = {delay_n}")
    yield from say("lag_p50_ms", near, "our event loop was held up: by {} in half of all seconds")
    yield from say("late_p99_ms", near, "requests went out late: p99 {}, n = {late_n}")
    yield from say("cpu", 0.8, "this process was near its limit: {} of one CPU")
    yield from say("pressure", 0.05, "tasks of this machine waited for a CPU {} of the time")
    yield from say("own_p50_ms", near, "our own source took {} (p50) to answer a control request")
    if (signs.delay_p99_ms or 0.0) > _PROMPT_MS:  # read promptly, what comes together was sent together
        yield from say(
            "merged", _MERGED, "{} of the reads brought several packets, the first of them stamped late"
        )
    yield from say("collection_ms", near, "a garbage collection took {}")
    yield from say("unserved", 0.0, "{} of {arrivals} arrivals found max_in_flight reached")
    yield from say("refused", 0.0, "the server turned away {} of the requests (429, 503)")
    yield from say(
        "clock_steps", 0, "the wall clock was set {} times: stamps around it may be off", unit="{:.0f}"
    )
    yield from say("user_stamped", 0, "{} exchanges have our stamps, not the kernel's", unit="{:.0f}")


_PROMPT_MS = 2.0
_CROWDED = 0.5
_UNEVEN = 0.1
_WARM, _WARM_EXCESS = 0.2, 0.25
_MERGED = 0.05
_SHARES = frozenset({"cpu", "pressure", "merged", "unserved", "refused"})


def _away(signs: Signs) -> Iterator[Reason]:
    """Whether the target was away for a while: what was measured is right, and not of the whole time."""
    if signs.away_s:
        says = f"the target was away for {signs.away_s:.1f} s: all {signs.away_n} exchanges in it broke"
        yield Reason(Word.DEGRADED, signs.phase, "away_s", signs.away_s, 0, says)


def _teller(signs: Signs, word: Word) -> Callable[..., Iterator[Reason]]:
    """A function that tells of a sign above its limit."""

    def say(sign: str, limit: float, says: str, *, unit: str | None = None) -> Iterator[Reason]:
        value = getattr(signs, sign)
        if value is None or value <= limit:
            return
        shown = unit.format(value) if unit else f"{value:.1%}" if sign in _SHARES else _ms(value)
        allowed = unit.format(limit) if unit else f"{limit:.0%}" if sign in _SHARES else _ms(limit)
        counts = {"late_n": signs.late_n, "delay_n": signs.delay_n, "arrivals": signs.arrivals}
        said = f"{says.format(shown, **counts)}; {allowed} is allowed"
        yield Reason(word, signs.phase, sign, value, limit, said)

    return say


def _near(signs: Signs) -> float:
    """5 % of the median TTFT, and 10 ms at least: below that nobody reads a latency of a chat."""
    return max(10.0, 0.05 * (signs.ttft_p50_ms or 0.0))


def _far(signs: Signs) -> float:
    """What disturbs even a latency stamped by the kernel: packets merge, and the next request is late."""
    return max(50.0, 0.25 * (signs.ttft_p50_ms or 0.0))


def _unknown(phases: Iterable[Signs]) -> Iterator[str]:
    """What this system does not say."""
    known = list(phases)
    if any(phase.pressure is None for phase in known):
        yield "whether tasks waited for a CPU (there is no /proc/pressure/cpu here)"
    if any(phase.own_p50_ms is None for phase in known):
        yield "how long a control request to our own source took"


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:,.1f} ms" if milliseconds < 100 else f"{milliseconds:,.0f} ms"
