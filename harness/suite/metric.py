"""What can be compared and held against a limit: the names of metrics, as gates and `compare` take them.

One name for one figure: `ttft.p95` is the quantile of the column `ttft_ms` of the exchanges that count,
`ttft<=2s` the share of all that met it, `pass_rate` the share of repeats that passed, prompt by prompt. The
columns and definitions are in results/README.md.
"""

import re
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from harness.errors import did_you_mean
from harness.suite import literals

Kind = Literal["passes", "score", "check", "state", "pass@", "pass^", "time", "amount", "within"]

LATENCIES = ("ttft", "first_packet", "first_reasoning", "first_tool", "first_document", "answer", "total")
TIMES = {
    **{name: f"{name}_ms" for name in LATENCIES},
    **{f"response_{name}": f"response_{name}_ms" for name in LATENCIES},
    "gap": "gap_p50_ms",
    "stall": "longest_gap_ms",
    "tool": "duration_ms",
    "tokens_per_s": "tokens_per_s",
}
"""What has a distribution, by its column: of `exchanges`, and for `tool` of `tool_calls`."""
AMOUNTS = {"tokens": "tokens", "answer_tokens": "answer_tokens", "cost": "cost_usd", "tool_calls": "calls"}
"""What is summed up over a trial and averaged over trials."""
STATES = {"error_rate": "error", "invalid_rate": "invalid", "not_run_rate": "not_run"}

_QUANTILE = re.compile(r"(?P<name>[\w@^-]+)(:(?P<tool>[^.]+))?\.(p(?P<at>\d{1,2}(\.\d)?)|(?P<mean>mean))")
_WITHIN = re.compile(r"(?P<name>\w+)(:(?P<tool>[^<]+))?\s*<=\s*(?P<limit>\S+)")
_REDUCED = re.compile(r"(pass[@^])([1-9]\d*)")

_WITHIN_LIMIT = "|".join(name for name in TIMES if name not in {"tokens_per_s", "tool"})
PATTERN = (
    rf"^(pass_rate|score|{'|'.join((*STATES, *AMOUNTS))}|check:.+|pass[@^][1-9][0-9]*"
    rf"|(({'|'.join(TIMES)})|tool:[^.]+)\.(p[0-9]{{1,2}}(\.[0-9])?|mean)|({_WITHIN_LIMIT})\s*<=\s*\S+)$"
)
"""What the names of all metrics look like, for editors."""
USUAL = (
    "pass_rate",
    "score",
    *STATES,
    *AMOUNTS,
    "pass^3",
    *(f"{n}.{q}" for n in TIMES for q in ("p50", "p95")),
)
"""The names that an editor offers."""


class Metric(Struct, frozen=True):
    """One metric: of what *kind* it is, and where it comes from.

    *of* is the column, the state, or the name of a check. *per_mille* is the quantile, None for a mean. *k*
    is that of ``pass@k``. *tool* narrows tool calls down. *limit_ms* is what a share is of.
    """

    name: str
    kind: Kind
    of: str = ""
    per_mille: int | None = None
    k: int | None = None
    tool: str | None = None
    limit_ms: float | None = None

    @property
    def is_share(self) -> bool:
        """Whether it lies between 0 and 1, so that differences of it are in percentage points."""
        return self.kind not in {"time", "amount"}

    @property
    def higher_is_better(self) -> bool:
        """Which way is up."""
        return self.of == "tokens_per_s" if self.kind in {"time", "amount"} else self.kind != "state"

    @property
    def is_time(self) -> bool:
        """Whether it is a claim about how fast the server is."""
        return self.kind in {"time", "within"}

    @property
    def unit(self) -> str:
        """What its values are in."""
        if self.is_share:
            return "share"
        if self.of.endswith("_ms"):
            return "ms"
        return {"tokens_per_s": "tokens/s", "cost_usd": "USD a trial", "calls": "calls a trial"}.get(
            self.of, "tokens a trial"
        )


_PLAIN = {
    "pass_rate": Metric("pass_rate", "passes"),
    "score": Metric("score", "score"),
    **{name: Metric(name, "state", state) for name, state in STATES.items()},
    **{name: Metric(name, "amount", column) for name, column in AMOUNTS.items()},
}


def metric(name: str) -> Metric:
    """The metric called *name*. Raises `ValueError`, which says what there is, for one that is not."""
    if name in _PLAIN:
        return _PLAIN[name]
    if name.startswith("check:") and len(name) > len("check:"):
        return Metric(name, "check", name.removeprefix("check:"))
    if match := _REDUCED.fullmatch(name):
        return Metric(name, "pass@" if match[1] == "pass@" else "pass^", k=int(match[2]))
    if match := _WITHIN.fullmatch(name):
        return _within(name, match)
    if match := _QUANTILE.fullmatch(name):
        return _quantile(name, match)
    raise ValueError(_none_such(name))


def every(tools: Iterable[str] = ()) -> list[Metric]:
    """The metrics that a comparison shows without being asked; *tools* have one each."""
    names = ["pass_rate", "score", "error_rate", "ttft.p50", "ttft.p95", "total.p50", "total.p95"]
    names += ["gap.p50", "stall.p50", "stall.p95", "tokens_per_s.p50", "tokens", "cost", "tool_calls"]
    return [metric(name) for name in names] + [metric(f"tool:{tool}.p50") for tool in tools]


def _within(name: str, match: re.Match[str]) -> Metric:
    of = TIMES.get(match["name"])
    if of is None or of == "tokens_per_s":
        raise ValueError(_none_such(name))
    if match["tool"] or match["name"] == "tool":
        raise ValueError(f"{name}: a share within a limit is of exchanges: ttft<=2s, total<=30s, stall<=1s")
    try:
        limit = literals.duration(match["limit"])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return Metric(name, "within", of, limit_ms=limit / 1e6)


def _quantile(name: str, match: re.Match[str]) -> Metric:
    of = TIMES.get(match["name"])
    if of is None or (match["tool"] and match["name"] != "tool"):
        raise ValueError(_none_such(name))
    per_mille = None if match["mean"] else round(float(match["at"]) * 10)
    if per_mille is not None and not 0 < per_mille < 1000:
        raise ValueError(f"{name}: a quantile lies between p0.1 and p99.9")
    return Metric(name, "time", of, per_mille, tool=match["tool"])


def _none_such(name: str) -> str:
    if name in TIMES:
        return f"{name}: which one: {name}.p50, {name}.p95, {name}.mean, or as a share {name}<=2s?"
    plain = ["pass_rate", "score", *STATES, *AMOUNTS, "pass^3", "pass@3", "check:NAME"]
    timed = [f"{time}.p95" for time in TIMES]
    close = did_you_mean(name, [*plain, *timed, *(f"{time}.p50" for time in TIMES)])
    return (
        f'"{name}" is no metric{close or ";"} there are {", ".join(plain)}, ttft<=2s, and {", ".join(timed)}'
    )
