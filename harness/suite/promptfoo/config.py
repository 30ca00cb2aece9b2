"""The keys of a promptfoo config, each taken or told."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from harness.suite.places import Place
from harness.suite.promptfoo.asserts import as_duration
from harness.suite.promptfoo.pieces import Piece, Source, is_number
from harness.suite.promptfoo.prompts import Arm, Asked, arms_of, prompts_of
from harness.suite.promptfoo.templates import as_jinja
from harness.suite.promptfoo.tests import Test, scenarios_of, test_of, tests_of


@dataclass(frozen=True, slots=True)
class Config:
    """What a config says. *judge* is the model that grades; *knobs* are how it is run.

    The knobs are repeat, workers, time_limit (as we write it) and minutes.
    """

    description: str = ""
    prompts: tuple[Asked, ...] | None = None
    tests: tuple[Test, ...] = ()
    has_tests: bool = False
    default: Test = field(default_factory=lambda: Test(Piece(None, Place("", 1, 1, 1), "")))
    arms: tuple[Arm, ...] = ()
    judge: dict[str, Any] = field(default_factory=dict)
    knobs: dict[str, Any] = field(default_factory=dict)


_RESULTS = "results are always written, as Parquet and JSON, into --results"
_REASONS = {
    "outputPath": _RESULTS,
    "writeLatestResults": _RESULTS,
    "env": "a suite sets no variables: set them where harness runs, and write ${NAME}",
    "redteam": "red-team generation is not offered: write the attacks as prompts",
    "sharing": "nothing is ever sent to anybody but the Sigma under test",
    "tags": "a suite as a whole has no tags: prompts have",
    "metadata": "a suite as a whole has no tags: prompts have",
    "extensions": "nothing of one's own runs around a run; checks may be python",
    "derivedMetrics": "figures of one's own are not worked out: metric names what is in the tables",
    "nunjucksFilters": "Jinja2's filters are the ones there are",
    "tracing": "packets of the reply have their times: steps.parquet, without OpenTelemetry",
    "$schema": "it is promptfoo's",
    "delay": "say rate: in load: of the suite",
    "cache": "nothing is cached: each trial is sent",
    "showProgressBar": "say --quiet where it runs",
    "providerPromptMap": "say only: of a variant",
}
_OF_A_RUN = "how a run goes is said on the command line: harness run --help"


def config_of(root: Piece, text: str, source: Source) -> Config:
    """What the config *root*, written as *text*, says; a key that is not taken is told."""
    config = Config()
    for key, below in sorted(root.entries(), key=lambda entry: entry[0] != "commandLineOptions"):
        if key in _KEYS:
            config = _KEYS[key](config, below, source)
        elif re.search(rf"#/{re.escape(key)}/", text):
            for name, unused in below.entries():
                if not re.search(rf"#/{re.escape(key)}/{re.escape(name)}(?![\w-])", text):
                    source.tell(unused, "left out: nothing refers to it")
        else:
            source.tell(below, f"left out: {_REASONS.get(key, 'no such key of promptfoo is known')}")
    return config


def _described(config: Config, piece: Piece, source: Source) -> Config:
    text = "" if piece.value is None else str(piece.value)
    return replace(config, description=as_jinja(piece, text, source.tell))


def _asking(config: Config, piece: Piece, source: Source) -> Config:
    return replace(config, prompts=tuple(prompts_of(piece, source)))


def _answering(config: Config, piece: Piece, source: Source) -> Config:
    return replace(config, arms=(*config.arms, *arms_of(piece, source)))


def _tested(config: Config, piece: Piece, source: Source) -> Config:
    return replace(config, tests=(*config.tests, *tests_of(piece, source)), has_tests=True)


def _scenarios(config: Config, piece: Piece, source: Source) -> Config:
    return replace(config, tests=(*config.tests, *scenarios_of(piece, source)), has_tests=True)


def _default(config: Config, piece: Piece, source: Source) -> Config:
    read = source.documents(piece) if isinstance(piece.value, str) else [piece]
    if not read:
        return config
    options = read[0].at("options")
    judge = options and options.at("provider")
    if options is not None and judge is not None:
        rest = {key: value for key, value in options.value.items() if key != "provider"}
        read[0] = replace(read[0], value=read[0].value | {"options": rest})
        config = replace(config, judge=_judging(judge, source))
    return replace(config, default=test_of(read[0], source))


def _judging(piece: Piece, source: Source) -> dict[str, Any]:
    arms = arms_of(piece, source)
    for arm in arms[1:]:
        source.tell(arm.piece, "left out: one model grades, and the first is taken")
    return arms[0].override if arms else {}


def _run(config: Config, piece: Piece, source: Source) -> Config:
    knobs = dict(config.knobs)
    for key, below in piece.entries():
        name, read = _KNOBS.get(key, ("", None))
        if read is None:
            source.tell(below, f"left out: {_REASONS.get(key, _OF_A_RUN)}")
        elif name in knobs:
            source.tell(below, "left out: commandLineOptions says it, too, and counts")
        elif not is_number(below.value) or below.value < 0:
            source.tell(below, "left out: a number is wanted")
        elif below.value:
            knobs[name] = read(below.value)
    return replace(config, knobs=knobs)


_KNOBS: dict[str, tuple[str, Callable[[float], Any]]] = {
    "repeat": ("repeat", lambda number: max(1, int(number))),
    "maxConcurrency": ("workers", lambda number: max(1, int(number))),
    "timeoutMs": ("time_limit", as_duration),
    "maxEvalTimeMs": ("minutes", lambda number: round(number / 60_000, 3)),
}
_KEYS: dict[str, Callable[[Config, Piece, Source], Config]] = {
    "description": _described,
    "prompts": _asking,
    "providers": _answering,
    "targets": _answering,
    "tests": _tested,
    "scenarios": _scenarios,
    "defaultTest": _default,
    "evaluateOptions": _run,
    "commandLineOptions": _run,
}
