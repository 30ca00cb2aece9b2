"""The tables of docs/metrics.md, made from the code: ``python -m tests.metrics_reference`` writes them.

Names, columns, units, limits and counts come from the code. The words beside them are here, and every name
that the code has needs some: one that is new, or gone, is an error.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from harness.errors import UsageError
from harness.grade.stream import MILESTONES
from harness.limit.slo import read_slo
from harness.metrics.figures import LATENCIES, RESPONSE
from harness.record.tables import SCHEMAS
from harness.stats.intervals import needed
from harness.stats.quantiles import least_count
from harness.suite.gates import _allowed
from harness.suite.metric import AMOUNTS, STATES, TIMES, Metric, every, metric
from harness.summarise.summary import CheckRow, JudgeRow, LoadRow, ReducedRow, Row, Summary

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"

REACHED = {
    "ttft": (
        "the first packet of answer text, of any block; heartbeats, ids, reasoning and `message_start` "
        "are none"
    ),
    "first_packet": "the first packet that is no heartbeat",
    "first_reasoning": "the first packet of reasoning",
    "first_tool": "the first packet of a tool",
    "first_document": "the first packet that shows a document",
    "answer": (
        "the first packet of the *final* block of text: what was said before it between tools is narration"
    ),
    "total": (
        "the stop packet; of a reply that was not streamed the end of its body. A reply without a stop "
        "has none"
    ),
}
OTHER_TIMES = {
    "gap": (
        "the median gap between successive packets of one final answer; a packet is not a token. Two "
        "gaps at least"
    ),
    "stall": "the longest of these gaps",
    "tool": "a tool call that ended, from its first packet to its end; of `tool:NAME` those of that name",
    "tokens_per_s": (
        "(tokens of the final answer - those of its first packet) / (its last packet - its first)"
    ),
}
OTHER_COLUMNS = {"gap": "exchanges", "stall": "exchanges", "tool": "tool_calls", "tokens_per_s": "exchanges"}
SHARES: Mapping[str, str] = {
    "pass_rate": (
        "repeats that passed, of those that passed or failed; of each prompt, then the mean over prompts"
    ),
    "score": (
        "the weighed score of the checks of a repeat that passed or failed; mean over repeats, then prompts"
    ),
    "check:NAME": (
        "repeats in which every check of that `metric`, or of that type, passed, of those in which they"
        " could be graded and that were not invalid"
    ),
    "pass^3": (
        "the chance that 3 repeats of a prompt all pass: C(c,3)/C(n,3) of c passes in n repeats; mean "
        "over prompts"
    ),
    "pass@3": "the chance that one of 3 passes: 1 - C(n-c,3)/C(n,3); mean over prompts",
    "error_rate": "trials that ended in `error`, of those that were sent",
    "invalid_rate": "trials whose setting was seen to be ignored, of those that were sent",
    "not_run_rate": "trials that we did not send or finish, of all; not those that were decided early",
    "ttft<=2s": (
        "turns that were sent and came within the limit; one that failed did not. Any time but `tool` "
        "and `tokens_per_s`"
    ),
}
SUMS = {
    "tokens": (
        "`asked_tokens` + `said_tokens`: the message, and reasoning, narration and answer of every "
        "model; o200k"
    ),
    "answer_tokens": "of the final answers; o200k",
    "cost": (
        "tokens by the `prices` of the suite, of the model that was asked for; none where it has no price"
    ),
    "tool_calls": "calls of tools",
}
ROW = {
    "variant": "",
    "phase": "",
    "trials": "all of its trials, warm-up and cool-down among them",
    "passed": "of them in that state",
    "failed": "the same",
    "error": "the same",
    "invalid": "the same",
    "not_run": "the same",
    "pass_rate": "passed / (passed + failed), all trials together: not the mean over prompts that gates take",
    "ttft_p50_ms": "median of `ttft_ms` of the exchanges that count",
    "ttft_p95_ms": "its p95",
    "total_p50_ms": "median of `total_ms` of the exchanges that count",
    "tokens_per_s_p50": "median of `tokens_per_s` of the exchanges that count",
    "tool_calls": "calls in all its exchanges",
    "tool_errors": "of these with status `error`",
    "retried": "exchanges that were sent again",
}
LOAD = {
    "phase": "",
    "arrivals": "trials that fell due while it was measured",
    "asked_per_s": "(arrivals - 1) / from the first due time to the last",
    "began_per_s": "(begun - 1) / from the first beginning to the last",
    "delayed": "arrivals that found no room and went out late",
    "dropped": "arrivals that found no room and did not go out (`when_full: drop`)",
    "service": "p50, p95, p99 of `ttft_ms` and `total_ms` of the exchanges that count, all variants together",
    "response": "the same of `response_ttft_ms` and `response_total_ms`",
    "goodput_per_s": "asked_per_s × arrivals that passed / arrivals: right, and within the times that are "
    "checks; null where some were not sent for another reason than `dropped`",
}
TERMINAL = {
    "trials": "trials",
    "passed": "passed",
    "failed": "failed",
    "error": "errors",
    "invalid": "invalid",
    "not_run": "not run",
    "ttft_p50_ms": "TTFT p50",
    "ttft_p95_ms": "TTFT p95",
    "tokens_per_s_p50": "answer tokens/s p50",
    "tool_calls": "tool calls",
    "retried": "a line beneath",
    "arrivals": "arrivals",
    "asked_per_s": "asked /s",
    "began_per_s": "began /s",
    "goodput_per_s": "goodput /s",
    "delayed": "delayed",
    "dropped": "dropped",
    "service": "service TTFT p50, p95, p99",
    "response": "response TTFT p50, p95, p99; total p95",
    "variant": "variant",
    "phase": "before the variant, where there are several; load",
}


def times() -> Iterator[str]:
    """Every time that has a quantile, with its column and both its ends."""
    yield "| name | column | from | to |"
    yield "|---|---|---|---|"
    for name in TIMES:
        latency = name.removeprefix(RESPONSE)
        if latency in REACHED:
            start = "due_ns" if name.startswith(RESPONSE) else "sent_ns"
            words = f"`{LATENCIES[latency]}_ns`: {REACHED[latency]}" if name == latency else "the same"
            yield f"| `{name}` | `exchanges.{TIMES[name]}` | `{start}` | {words} |"
    assert set(REACHED) == set(LATENCIES)


def others() -> Iterator[str]:
    """What else has a quantile."""
    yield "| name | column | unit | |"
    yield "|---|---|---|---|"
    for name, words in _words(
        OTHER_TIMES, {each for each in TIMES if each.removeprefix(RESPONSE) not in LATENCIES}
    ):
        column = f"{OTHER_COLUMNS[name]}.{TIMES[name]}"
        yield f"| `{name}` | `{column}` | {metric(f'{name}.p50').unit} | {words} |"


def shares() -> Iterator[str]:
    """Every share, and which way is up."""
    yield "| name | good is | of what |"
    yield "|---|---|---|"
    for name, words in SHARES.items():
        yield f"| `{name}` | {_up(metric(name))} | {words} |"
    assert set(STATES) < set(SHARES)
    assert all(metric(name).is_share for name in SHARES)


def amounts() -> Iterator[str]:
    """What is summed up over a trial."""
    yield "| name | unit | of a trial |"
    yield "|---|---|---|"
    for name, words in _words(SUMS, set(AMOUNTS)):
        yield f"| `{name}` | {metric(name).unit} | {words} |"


def counts() -> Iterator[str]:
    """How many values a quantile takes, and an interval of it."""
    yield "| quantile | is printed from | has an interval with both ends from |"
    yield "|---|--:|--:|"
    for per_mille in (500, 900, 950, 990, 999):
        yield f"| p{per_mille / 10:g} | {least_count(per_mille):,} | {needed(per_mille):,} |"


def taken() -> Iterator[str]:
    """Which limits of a gate and which option of `harness limit` take what."""
    shown = {each.name for each in every(["NAME"])}
    yield "| such as | unit | limits of a rule | `harness limit` | `harness compare`, unasked |"
    yield "|---|---|---|---|---|"
    for name in (*SHARES, "ttft.p95", "ttft.mean", "tokens_per_s.p50", "tool:NAME.p50", *AMOUNTS):
        of = metric(name)
        keys = ", ".join(f"`{key}`" for key in _allowed(of))
        same = {"ttft.mean": "", "check:NAME": "", "ttft<=2s": ""}.get(name)
        unasked = "yes" if name in shown and same is None else ""
        yield f"| `{name}` | {of.unit} | {keys} | {_searched(of)} | {unasked} |"


def unasked() -> Iterator[str]:
    """What a comparison shows without being asked."""
    yield ", ".join(f"`{each.name}`" for each in every(["NAME"]))


def milestones() -> Iterator[str]:
    """The milestones of the check of that name, by the column that has them."""
    yield "| `milestone` | to |"
    yield "|---|---|"
    for name, mark in MILESTONES.items():
        column = f"{mark}_ns"
        where = f"`exchanges.{column}`" if column in SCHEMAS["exchanges"] else "a mark that has no column"
        yield f"| `{name}` | {where} |"


def summary() -> Iterator[str]:
    """The figures of a variant in a phase, by their key in summary.json."""
    yield from _keys("rows", ROW, Row.__struct_fields__)


def loads() -> Iterator[str]:
    """The figures of an open phase, by their key in summary.json."""
    yield from _keys("loads", LOAD, LoadRow.__struct_fields__)


def beside() -> Iterator[str]:
    """What else a summary has: its keys, each with those of its entries."""
    told = {"checks": CheckRow, "reduced": ReducedRow, "judges": JudgeRow}
    yield "| key of `summary.json` | entries have |"
    yield "|---|---|"
    for name, kind in told.items():
        yield f"| `{name}` | {', '.join(f'`{key}`' for key in kind.__struct_fields__)} |"
    rest = [name for name in Summary.__struct_fields__ if name not in {*told, "rows", "loads"}]
    yield f"| others | {', '.join(f'`{name}`' for name in rest)} |"


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    each.__name__: each
    for each in (
        *(times, others, shares, amounts, counts, taken, unasked, milestones),
        *(summary, loads, beside),
    )
}


def rendered(page: str) -> str:
    """*page* with its tables made anew."""
    for name, table in TABLES.items():
        before, mark, rest = page.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        assert mark, name
        page = before + mark + "\n".join(table()) + "\n" + end + after
    return page


def _words(words: Mapping[str, str], wanted: set[str]) -> Iterator[tuple[str, str]]:
    assert set(words) == wanted, set(words) ^ wanted
    yield from words.items()


def _up(of: Metric) -> str:
    return "high" if of.higher_is_better else "low"


def _searched(of: Metric) -> str:
    """The option of `harness limit` that takes a metric, where one does."""
    term = f"{of.name}{'>' if of.higher_is_better else '<'}{_LIMITS.get(of.unit, '20')}"
    for option, given in (("--slo", (term, None)), ("--quality", (None, term))):
        with suppress(UsageError):
            read_slo(*given)
            return f"`{option}`"
    return ""


_LIMITS = {"ms": "2s", "share": "50%"}


def _keys(table: str, words: Mapping[str, str], fields: tuple[str, ...]) -> Iterator[str]:
    assert tuple(words) == fields, set(words) ^ set(fields)
    yield f"| key of `{table}` | in the terminal | |"
    yield "|---|---|---|"
    for name in fields:
        yield f"| `{name}` | {TERMINAL.get(name, '')} | {words[name]} |"


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text()))
