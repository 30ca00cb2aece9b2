"""The types of `assert`: which there are, and what each wants beside its name.

The names are promptfoo's where promptfoo has the thing, so that a suite can be
carried over; a type of its that is not offered says why, and what there is in its
place. Nothing here grades: `harness.grade` does, by the arguments that `ready`
makes of what was written.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from harness.errors import did_you_mean
from harness.suite.asserts import TYPES, AssertSet
from harness.suite.places import Finding, Tell, Where
from harness.suite.prompts import Expect
from harness.suite.templates import is_template, render
from harness.suite.validate import keys_at, wanted

BUILT = frozenset(TYPES)
_OTHER_RUN_TIME = "it needs another run-time; write the check as python"
_OTHER_SERVICE = "it needs a service or log-probabilities that Sigma does not give"
_SERVER_RUNS_TOOLS = "Sigma runs its tools itself; trajectory:tool-used sees the calls"
_NEEDS_OTLP = "it needs OpenTelemetry; the packets of the reply have the times"
_BY_COSINE = "similar compares by cosine"
_BY_RUBRIC = "llm-rubric puts any question to the judge"
_BY_WORDS = "bleu and rouge-n count what words are shared"
NOT_OFFERED = {
    "similar:dot": _BY_COSINE,
    "similar:euclidean": _BY_COSINE,
    "g-eval": _BY_RUBRIC,
    "context-recall": "documents with recall@k counts what was found; " + _BY_RUBRIC,
    "context-relevance": _BY_RUBRIC,
    "conversation-relevance": _BY_RUBRIC + ", of a whole conversation where it stands beside turns",
    "trajectory:goal-success": "trajectory:tool-sequence sees the calls; " + _BY_RUBRIC,
    "agent-rubric": "the judge has no tools; " + _BY_RUBRIC,
    "search-rubric": "the judge has no search; " + _BY_RUBRIC,
    "gleu": _BY_WORDS,
    "meteor": _BY_WORDS,
    "webhook": "write the check as python",
    "max-score": "select-best chooses among the variants' answers",
    "human": "harness judge label asks people about a sample",
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
    """Tell of a type that is unknown or not offered, and of keys it has no use for."""
    at = (*path, "type")
    if expect.type in BUILT:
        _check_keys(expect, path, tell)
    elif expect.type in NOT_OFFERED:
        tell(Finding(at, f"{expect.name} is not offered: {NOT_OFFERED[expect.type]}"))
    else:
        close = did_you_mean(expect.type, BUILT)
        tell(Finding(at, f"{expect.name}: unknown type{close or ';'} types are {', '.join(sorted(BUILT))}"))
    for index, inner in enumerate(expect.asserts):
        check_type(inner, (*path, "assert", index), tell)


def _check_keys(expect: Expect, path: Where, tell: Tell) -> None:
    keys = _keys(expect.type)
    is_set = TYPES[expect.type] is AssertSet
    if expect.asserts and not is_set:
        tell(Finding((*path, "assert"), "only assert-set has checks of its own", at_key=True))
    if is_set and not expect.asserts:
        tell(Finding(path, "assert-set wants an assert with the checks that are in it"))
    for key in expect.options:
        if not TYPES[expect.type].takes(key):
            close = did_you_mean(key, keys)
            known = f"{expect.name} has {', '.join(keys)}"
            tell(Finding((*path, key), f"unknown key{close or ';'} {known}", at_key=True))


def _keys(kind: str) -> list[str]:
    own = ["assert"] if TYPES[kind] is AssertSet else []
    return ["type", *own, *TYPES[kind].keys(), "weight", "metric"]


def ready(expect: Expect, variables: Mapping[str, Any], path: Where, tell: Tell) -> Expect:
    """The check with its texts filled in, and its arguments as those of its type.

    What is wrong with them is told; of a type that is not built nothing is looked at.
    """
    kind = TYPES.get(expect.type)
    if kind is None:
        return expect
    wrong: list[Finding] = []
    written = {key: value for key, value in expect.options.items() if kind.takes(key)}
    filled = {key: _filled_in(value, variables, (*path, key), wrong.append) for key, value in written.items()}
    inner = tuple(
        ready(each, variables, (*path, "assert", index), tell) for index, each in enumerate(expect.asserts)
    )
    args = None
    if not wrong:
        try:
            args = kind.model_validate(filled)
        except ValidationError as error:
            wrong += [_in_our_words(expect, each, path) for each in error.errors(include_url=False)]
    for finding in wrong:
        tell(finding)
    return expect.model_copy(update={"args": args, "asserts": inner})


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


def _in_our_words(expect: Expect, error: ErrorDetails, path: Where) -> Finding:
    inside, kind = error["loc"], TYPES[expect.type]
    at: Where = (*path, *inside)
    key = str(inside[-1]) if inside else ""
    if error["type"] == "missing" and len(inside) == 1:
        example = kind.example or f"{{type: {expect.name}, {key}: ...}}"
        return Finding(path, f"{expect.name} wants a {key}: {example}")
    if error["type"] == "missing":
        return Finding(at[:-1], f'"{key}" is missing')
    if error["type"] == "extra_forbidden":
        allowed = keys_at(inside[:-1], kind)
        close = did_you_mean(key, allowed)
        return Finding(at, f"unknown key{close or ';'} allowed here: {', '.join(allowed)}", at_key=True)
    says = wanted(error, _written(error["input"]))
    return Finding(at, f"{expect.name}: {says}")


def _written(value: object) -> str:
    """A scalar as a file would have it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
