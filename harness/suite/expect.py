"""The types of `assert`: which there are, and what each wants beside its name.

The names are promptfoo's where promptfoo has the thing, so that a suite can be
carried over; a type that is known and not built says so, one that will not be
offered says why. Nothing here grades: `harness.grade` does, and finds values
and thresholds in the form that `ready` gives them.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from harness.errors import did_you_mean
from harness.suite import literals
from harness.suite.model import UNBUILT, Expect
from harness.suite.places import Finding, Tell, Where
from harness.suite.templates import is_template, render

BUILT = frozenset(
    {"contains", "equals", "icontains", "regex", "stream-complete", "trajectory:tool-used", "ttft"}
)
OF_TIME = frozenset({"ttft", "latency", "stall", "milestone", "tokens-per-second"})
"""Checks that claim something about time: they hold only where the measuring can be believed."""

LATER = frozenset(
    {
        "contains-all",
        "contains-any",
        "icontains-all",
        "icontains-any",
        "starts-with",
        "levenshtein",
        "word-count",
        "is-json",
        "contains-json",
        "is-refusal",
        "latency",
        "cost",
        "python",
        "llm-rubric",
        "factuality",
        "model-graded-factuality",
        "model-graded-closedqa",
        "trajectory:tool-sequence",
        "trajectory:tool-args-match",
        "trajectory:step-count",
        "tool-call-f1",
        "assert-set",
        "similar",
        "similar:cosine",
        "similar:dot",
        "similar:euclidean",
        "g-eval",
        "answer-relevance",
        "context-recall",
        "context-relevance",
        "context-faithfulness",
        "conversation-relevance",
        "trajectory:goal-success",
        "agent-rubric",
        "search-rubric",
        "bleu",
        "gleu",
        "meteor",
        "rouge-n",
        "is-xml",
        "contains-xml",
        "is-html",
        "contains-html",
        "is-sql",
        "contains-sql",
        "webhook",
        "select-best",
        "max-score",
        "human",
        "stall",
        "tokens-per-second",
        "milestone",
        "citations",
        "documents",
        "filters-obeyed",
        "tools-obeyed",
        "outcome",
        "error-code",
    }
)
_OTHER_RUN_TIME = "it needs another run-time; write the check as python"
_OTHER_SERVICE = "it needs a service or log-probabilities that Sigma does not give"
_SERVER_RUNS_TOOLS = "Sigma runs its tools itself; trajectory:tool-used sees the calls"
_NEEDS_OTLP = "it needs OpenTelemetry; the packets of the reply have the times"
NOT_OFFERED = {
    "javascript": _OTHER_RUN_TIME,
    "ruby": _OTHER_RUN_TIME,
    "classifier": _OTHER_SERVICE,
    "moderation": _OTHER_SERVICE,
    "pi": _OTHER_SERVICE,
    "guardrails": _OTHER_SERVICE,
    "perplexity": _OTHER_SERVICE,
    "perplexity-score": _OTHER_SERVICE,
    "finish-reason": "the reply does not say it; outcome does",
    "is-valid-function-call": _SERVER_RUNS_TOOLS,
    "is-valid-openai-function-call": _SERVER_RUNS_TOOLS,
    "is-valid-openai-tools-call": _SERVER_RUNS_TOOLS,
    "skill-used": "Sigma has no skills; trajectory:tool-used sees the tools",
    "trace-span-count": _NEEDS_OTLP,
    "trace-span-duration": _NEEDS_OTLP,
    "trace-error-spans": _NEEDS_OTLP,
}


def check_type(expect: Expect, path: Where, tell: Tell) -> None:
    """Tell of a type that is unknown, not offered or not built, and of keys it has no use for."""
    at = (*path, "type")
    if expect.type in BUILT:
        for key in expect.options:
            close = did_you_mean(key, _keys(expect.type))
            keys = ", ".join(_keys(expect.type))
            tell(Finding((*path, key), f"unknown key{close or ';'} {expect.name} has {keys}", at_key=True))
        for key in ("value", "threshold"):
            if key in expect.model_fields_set and key not in _keys(expect.type):
                tell(Finding((*path, key), f"{expect.name} takes no {key}", at_key=True))
    elif expect.type in LATER:
        tell(Finding(at, f"{expect.name}: {UNBUILT}"))
    elif expect.type in NOT_OFFERED:
        tell(Finding(at, f"{expect.name} is not offered: {NOT_OFFERED[expect.type]}"))
    else:
        close = did_you_mean(expect.type, BUILT | LATER)
        tell(Finding(at, f"{expect.name}: unknown type{close or ';'} built are {', '.join(sorted(BUILT))}"))


def _keys(kind: str) -> list[str]:
    own = {"stream-complete": [], "ttft": ["threshold"]}.get(kind, ["value"])
    return ["type", *own, "weight", "metric"]


def ready(expect: Expect, variables: Mapping[str, Any], path: Where, tell: Tell) -> Expect:
    """The check with its texts filled in and its threshold as a number.

    The threshold of `ttft` is in nanoseconds. What is wrong with value or
    threshold of a built type is told; of another type nothing is looked at.
    """
    if expect.type not in BUILT:
        return expect
    wrong: list[Finding] = []
    value = _filled_in(expect.value, variables, (*path, "value"), wrong.append)
    for finding in wrong or _wrong_value(expect, value, (*path, "value")):
        tell(finding)
    if expect.type != "ttft":
        return expect if value is expect.value else expect.model_copy(update={"value": value})
    if expect.threshold is None:
        tell(Finding(path, "ttft wants a threshold with a unit: {type: ttft, threshold: 4s}"))
        return expect
    try:
        return expect.model_copy(update={"threshold": literals.duration(expect.threshold)})
    except ValueError as error:
        tell(Finding((*path, "threshold"), str(error)))
        return expect


def _filled_in(value: Any, variables: Mapping[str, Any], path: Where, tell: Tell) -> Any:
    match value:
        case str() if is_template(value):
            return render(value, variables, lambda message, near: tell(Finding(path, message, near)))
        case list():
            return [_filled_in(each, variables, (*path, index), tell) for index, each in enumerate(value)]
        case dict():
            return {key: _filled_in(each, variables, (*path, key), tell) for key, each in value.items()}
        case _:
            return value


def _wrong_value(expect: Expect, value: Any, at: Where) -> Iterator[Finding]:
    match expect.type:
        case "equals" | "contains" | "icontains" | "regex" if not isinstance(value, str):
            yield Finding(at, f"{expect.name} wants a value that is text{_text_hint(expect.type, value)}")
        case "contains" | "icontains" | "regex" if value == "":
            yield Finding(at, f"an empty value is in every answer: {expect.name} would tell nothing")
        case "regex":
            if wrong := _wrong_regex(value):
                yield Finding(at, f"this is no regular expression: {wrong}")
        case "trajectory:tool-used":
            yield from _wrong_tools(value, at)


@lru_cache(maxsize=4096)  # the reader looks at a check, and so does the plan
def _wrong_regex(pattern: str) -> str | None:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return str(error)
    return None


def _text_hint(kind: str, value: Any) -> str:
    match value:
        case list() if kind in {"contains", "icontains"}:
            return f"; for a list there are {kind}-all and {kind}-any (or write one check for each)"
        case bool() | int() | float():
            return f': quote it, "{value}"'
        case _:
            return ""


def _wrong_tools(value: Any, at: Where) -> Iterator[Finding]:
    match value:
        case str() if value:
            return
        case list() if value and all(isinstance(each, str) and each for each in value):
            return
        case dict():
            yield from _wrong_tool_mapping(value, at)
        case _:
            yield Finding(at, "the name of a tool is wanted, a list of names, or {name | pattern, min, max}")


def _wrong_tool_mapping(value: dict[str, Any], at: Where) -> Iterator[Finding]:
    allowed = ("name", "pattern", "min", "max")
    for key in value:
        if key not in allowed:
            close = did_you_mean(key, allowed)
            yield Finding(
                (*at, key), f"unknown key{close or ';'} allowed here: {', '.join(allowed)}", at_key=True
            )
    names = [key for key in ("name", "pattern") if key in value]
    if len(names) != 1:
        yield Finding(at, "either name or pattern is wanted, and one of them")
    for key in names:
        if not isinstance(value[key], str) or not value[key]:
            yield Finding((*at, key), "the name of a tool is wanted, as text")
    bounds = [value.get("min", 0), value.get("max", value.get("min", 0))]
    if any(isinstance(bound, bool) or not isinstance(bound, int) or bound < 0 for bound in bounds):
        yield Finding(at, "min and max are whole numbers, 0 or more")
    elif bounds[0] > bounds[1]:
        yield Finding((*at, "min"), "min is more than max: no number of calls could pass")
