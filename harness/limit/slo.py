"""What has to hold: `ttft.p95<2s, error_rate<1%` as terms, each a share of observations that may break it.

The names, units and figures are those of gates (`harness.suite.metric`). A percentile is a share said another
way: `ttft.p95<2s` is that 95 % of the replies begin within 2 s, so that 5 % may not. So everything that a
probe has to decide is whether a share is above a limit, for which there are sequential tests. A mean is no
share, and is refused.
"""

import re
from collections.abc import Callable, Iterator
from math import ceil, inf

from msgspec import Struct

from harness.errors import UsageError, did_you_mean
from harness.metrics.figures import (
    LATENCIES,
    MS,
    RESPONSE,
    gap_p50_ns,
    longest_gap_ns,
    response_ns,
    service_ns,
)
from harness.result import Exchange
from harness.suite.gates import limit_of, rules_of
from harness.suite.metric import TIMES, Metric, metric
from harness.suite.model import Suite

_TERM = re.compile(r"(?P<metric>.*[^<>=\s])\s*(?P<sign><=|>=|<|>)\s*(?P<value>[^<>=\s]+)")
_OF_SPEED = ("ttft.p95<2s", "total.p90<30s", "ttft<=2s>95%", "error_rate<1%", "tokens_per_s.p10>20")
_OF_QUALITY = ("pass_rate>0.9", "check:NAME>95%")

Value = Callable[[Exchange], float | None]


class Term(Struct, frozen=True):
    """One limit: no more than a share *allowed* of what is observed of *metric* may break it.

    *bound* is what each observation is held against, in ms or tokens/s; None where it breaks the term by
    itself, as a trial that failed breaks a pass rate. *told* is the term as it was written.
    """

    told: str
    metric: Metric
    allowed: float
    bound: float | None = None

    @property
    def is_late(self) -> bool:
        """Whether it is known only after the run: what grading, or counting tokens, has to find."""
        return self.metric.kind in {"passes", "check"} or self.metric.of == "tokens_per_s"

    @property
    def is_time(self) -> bool:
        """Whether it limits how long something takes."""
        return self.bound is not None and self.metric.of != "tokens_per_s"

    @property
    def least(self) -> int:
        """Of fewer observations than this the share that is allowed cannot be told from none."""
        return ceil(1 / self.allowed) if self.allowed else 1

    def breaks(self, value: float) -> bool:
        """Whether an observation of *value* breaks it; one that failed has the value infinity."""
        if self.bound is None:
            return value > 0
        return value < self.bound if self.metric.of == "tokens_per_s" else value > self.bound


def read_slo(slo: str | None, quality: str | None = None) -> tuple[Term, ...]:
    """The terms of *slo* and of *quality*. Raises `UsageError` with all that is wrong with them."""
    terms: list[Term] = []
    wrong: list[str] = []
    for option, text in (("--slo", slo), ("--quality", quality)):
        for part in () if text is None else text.split(","):
            try:
                terms.append(_term(part.strip(), is_quality=option == "--quality"))
            except OverflowError:
                wrong.append(f"{option} {part.strip()[:40]!r}...: that is more than any number here can be")
            except ValueError as error:
                wrong.append(f"{option} {part.strip()!r}: {error}")
    told = [term.metric.name for term in terms]
    wrong += [
        f"{name} is there twice: one limit for each" for name in dict.fromkeys(told) if told.count(name) > 1
    ]
    if wrong:
        raise UsageError("\n".join(wrong))
    return tuple(terms)


def _term(text: str, *, is_quality: bool) -> Term:
    examples = ", ".join(_OF_QUALITY if is_quality else _OF_SPEED)
    match = _TERM.fullmatch(text)
    if match is None:
        raise ValueError(f"a limit is a metric, < or >, and a value: {examples}")
    of = metric(match["metric"])
    _refuse(of, is_quality=is_quality, examples=examples)
    up = of.higher_is_better
    if match["sign"].startswith(">") != up:
        turned = f"{of.name}{'>' if up else '<'}{match['value']}"
        raise ValueError(f"{of.name} is good where it is {'high' if up else 'low'}: {turned}")
    return _limited(of, match["value"], text)


def _refuse(of: Metric, *, is_quality: bool, examples: str) -> None:
    """Raise `ValueError` where *of* is no share of what can be observed, or belongs to the other option."""
    graded = of.kind in {"passes", "check"}
    if graded and not is_quality:
        raise ValueError(f"what grading finds is said with --quality: {_OF_QUALITY[0]}")
    if is_quality and not graded:
        raise ValueError(f"--quality takes what grading finds, the rest is for --slo; there are {examples}")
    if of.kind == "time" and of.per_mille is None:
        raise ValueError(
            f"a mean is no share of the replies, and cannot be decided early: say {_instead(of)}"
        )
    if of.of == "duration_ms" or of.kind not in {"time", "within", "state", "passes", "check"}:
        raise ValueError(f"{of.name} cannot be held against a load; there are {examples}{_near(of.name)}")
    if of.kind == "state" and of.of != "error":
        raise ValueError(f"{of.name} is no fault of the server's; did you mean error_rate<1%?")


def _instead(of: Metric) -> str:
    return f"{of.name.removesuffix('.mean')}.p50"


def _near(name: str) -> str:
    known = [f"{each}.p95" for each in TIMES if each != "tool"]
    return did_you_mean(name, ["error_rate", *known])


def _limited(of: Metric, value: str, told: str) -> Term:
    limit = limit_of(of, "min" if of.higher_is_better else "max", value if of.unit == "ms" else _plain(value))
    if of.is_share:
        allowed = round(1 - limit, 9) if of.higher_is_better else limit
        bound = of.limit_ms
    else:
        at = (of.per_mille or 0) / 1000
        allowed = at if of.higher_is_better else round(1 - at, 9)
        bound = limit
    if not 0 <= allowed < 1 or bound == 0:
        raise ValueError("that holds always, or never")
    return Term(re.sub(r"\s+", "", told), of, allowed, bound)


def _plain(value: str) -> float | str:
    """A number as one, what has a unit as it is."""
    try:
        found = float(value)
    except ValueError:
        return value
    return value if found in {inf, -inf} or found != found else found  # noqa: PLR0124  NaN


def value_of(term: Term) -> Value:
    """How the value of an exchange is found, in ms; None of one that does not show it."""
    name = term.metric.of.removesuffix("_ms")
    match name:
        case "gap_p50":
            return _in_ms(gap_p50_ns)
        case "longest_gap":
            return _in_ms(longest_gap_ns)
        case _ if (latency := name.removeprefix(RESPONSE)) in LATENCIES:
            timed = response_ns if name.startswith(RESPONSE) else service_ns
            return _in_ms(lambda exchange: timed(exchange, latency))
    raise AssertionError(name)  # a term that is late, or of whole trials


def _in_ms(nanoseconds: Callable[[Exchange], float | None]) -> Value:
    def value(exchange: Exchange) -> float | None:
        found = nanoseconds(exchange)
        return None if found is None else found / MS

    return value


def live(terms: tuple[Term, ...]) -> Iterator[Term]:
    """The terms that are known while a probe goes on."""
    return (term for term in terms if not term.is_late)


def slo_of(suite: Suite) -> tuple[str | None, str | None]:
    """What the gates of *suite* hold against a number, as `--slo` and `--quality` have it; None of none."""
    told: dict[bool, list[str]] = {False: [], True: []}
    for rule in rules_of(suite):
        graded = rule.metric.kind in {"passes", "check"}
        sign = ">" if rule.metric.higher_is_better else "<"
        turned = rule.key != ("min" if sign == ">" else "max") or rule.variant or rule.tag
        known = graded or rule.metric.kind in {"time", "within"} or rule.metric.name == "error_rate"
        if not turned and known and (rule.metric.kind != "time" or rule.metric.per_mille is not None):
            told[graded].append(f"{rule.metric.name}{sign}{rule.written}")
    return ", ".join(told[False]) or None, ", ".join(told[True]) or None
