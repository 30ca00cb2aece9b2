"""What a suite says: the keys of its file, and how much, how well and at what price it may do it.

Requests, prompts, loads and servers have modules of their own beside this one. What takes two places of the
file to see is in `harness.suite.check`: a validator that looks at a whole model runs only when each of its
fields is right, and a person wants to hear everything at once. The text below a field is what editors and
docs/suite.md say of it (`harness.suite.schema`).
"""

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, WithJsonSchema, model_validator

from harness.suite.hints import written
from harness.suite.metric import PATTERN, USUAL
from harness.suite.phases import Phase
from harness.suite.prompts import Defaults, Prompt, Variant
from harness.suite.servers import Embeddings, Judge, Target
from harness.suite.settings import Written
from harness.suite.values import (
    Count,
    Day,
    FileName,
    KnownPattern,
    Limit,
    Number,
    Pattern,
    Text,
    Whole,
)


class Price(Written):
    """What a model costs, in USD for a million tokens."""

    input: Annotated[Number, Field(ge=0)] = 0.0
    """Of what is sent."""
    output: Annotated[Number, Field(ge=0)]
    """Of what comes back, reasoning included."""


class Budget(Written):
    """What a run may spend: a hard stop. What is cut is `not_run`, never failed."""

    minutes: Annotated[Number, Field(gt=0)] | None = None
    """Of wall time; what is under way then is cut off."""
    deep_research: Annotated[Whole, Field(ge=0)] | None = None
    """How many turns may ask for deep research. A suite with `deep_research` has to say."""
    tokens: Annotated[Count, Field(gt=0)] | None = None
    """As we count them (o200k), or by Sigma's own count where it has one."""
    usd: Annotated[Number, Field(gt=0)] | None = None
    """By `prices`."""


_NO_METRIC = "no metric is called so: docs/gates.md has all of them"
MetricName = Annotated[
    Text,
    written(
        "metric",
        anyOf=[{"enum": list(USUAL), "errorMessage": _NO_METRIC}, {"type": "string", "pattern": PATTERN}],
    ),
]


class GateRule(Written):
    """One limit, or several, on one metric (`harness.suite.metric` has their names)."""

    metric: MetricName
    """What is held against a limit: `pass_rate`, `ttft.p95`, `ttft<=2s`, `pass^3`, `check:NAME` ..."""
    variant: Text | None = None
    """Of this variant only; of every one but the baseline if not said."""
    tag: Text | None = None
    """Of the prompts with this tag only."""
    load: Text | None = None
    """Of this phase of `load`; of the first if not said."""
    min: Limit | None = None
    """At least so much."""
    max: Limit | None = None
    """At most so much."""
    max_drop: Limit | None = None
    """Of a share, by how much it may be below the baseline's: `3pp`."""
    max_rise: Limit | None = None
    """Of a share that is better low, by how much it may be above the baseline's: `1pp`."""
    max_ratio: Limit | None = None
    """How many times the baseline's it may be: 1.15 is 15 % more."""
    min_ratio: Limit | None = None
    """Of what is better high, how many times the baseline's it has to be: 0.9."""


class Gates(Written):
    """When a run is good enough."""

    baseline: Text | None = None
    """What is compared with: a variant of the suite, or a stored baseline's name."""
    plan: Literal["sequential", "fixed", "betting"] = "fixed"
    """When to look: `fixed` once, at the end; `sequential` after every round, and stop asking what is
    decided; `betting` the same with bounds that hold at any time.
    """
    alpha: Annotated[Number, Field(gt=0, lt=0.5)] = 0.05
    """The chance of a false alarm, of all rules together."""
    question: Literal["suite", "population"] = "suite"
    """Whether the answer is to hold for these prompts (`suite`), or for all that they are drawn from
    (`population`).
    """
    fail_when: Literal["any_drop", "beyond_margin"] = "any_drop"
    """Whether any drop that is certain fails, or only one `beyond_margin`."""
    on_inconclusive: Literal["warn", "fail", "extend"] = "warn"
    """What too little data comes to: `warn` is exit 3, `fail` exit 1, `extend` asks more."""
    extend_to: Annotated[Number, Field(gt=1, le=20)] = 2.0
    """With `on_inconclusive: extend`, up to so many times the repeats."""
    rules: tuple[GateRule, ...] = ()
    """The limits. A rule passes where its margin is ruled out, fails where a drop is shown, and is
    inconclusive otherwise.
    """


class Quarantined(Written):
    """A prompt that is asked and shown, and decides nothing until a day."""

    prompt: Text
    """Its id."""
    variant: Text | None = None
    """Under this variant only."""
    until: Day
    """The last day on which it decides nothing."""
    owner: Text | None = None
    """Who looks after it."""
    reason: Text | None = None
    """Why."""


class Redaction(Written):
    """What is masked in replies: a name or a regular expression alone, or ``{name: card}``."""

    short: ClassVar[Any] = KnownPattern | Annotated[Pattern, WithJsonSchema({"pattern": "[^A-Za-z0-9_-]"})]
    name: KnownPattern | None = None
    """A pattern that is known by name."""
    pattern: Pattern | None = None
    """A regular expression; what it finds is masked."""

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, written: Any) -> Any:
        """One word alone is a name: a slip in it must not become a pattern that finds nothing."""
        if not isinstance(written, str):
            return written
        return {"name" if re.fullmatch(r"[\w-]*", written) else "pattern": written}


class SuiteFile(Written):
    """The keys of a suite, as its file has them."""

    name: Annotated[FileName, Field(alias="suite")] = ""
    """The suite's name, under which its results are kept; the file's if not said."""
    description: str | None = None
    """What it is for."""
    target: Target
    """The Sigma under test: `standin`, or where it is and with which key."""
    judge: Judge | None = None
    """Who grades what no rule can: `self` is Sigma itself. Asked after the load, and once."""
    embeddings: Embeddings | None = None
    """What says how alike two texts are, for `similar`."""
    prices: dict[Text, Price] = {}
    """What models cost, in USD for a million tokens: `{gpt-5-mini: {input: 0.25, output: 2}}`."""
    defaults: Defaults = Defaults()
    """What holds for every prompt that does not say otherwise: variables, checks, any request setting."""
    variants: dict[Text, Variant] = {}
    """The ways to ask, by name, each a set of request settings. Every variant asks every prompt, unless
    `only` says which.
    """
    prompts: tuple[Prompt, ...]
    """What is asked."""
    load: dict[Text, Phase] = {"main": Phase()}
    """How it is sent: one phase, or several by name that are run in order. Eight workers that send every
    trial once if not said.
    """
    budget: Budget = Budget()
    """What a run may spend: a hard stop."""
    gates: Gates | None = None
    """When a run is good enough, for `--gate` and `harness gate`."""
    redact: tuple[Redaction, ...] = ()
    """What is masked in every reply before anything of it is kept, graded or shown: known patterns by
    name, or regular expressions.
    """
    quarantine: tuple[Quarantined, ...] = ()
    """Prompts that are asked and shown, and decide nothing until a day."""

    @model_validator(mode="before")
    @classmethod
    def _one_phase_is_main(cls, written: Any) -> Any:
        if not isinstance(written, dict) or not isinstance(load := written.get("load"), dict) or not load:
            return written
        keys = {field.alias or name for name, field in Phase.model_fields.items()}
        phases = any(isinstance(value, dict) for value in load.values())
        bare = any(key in keys and not isinstance(value, dict) for key, value in load.items())
        return written if phases and not bare else written | {"load": {"main": load}}


class Suite(SuiteFile):
    """A suite that was read and found right.

    *text* is the file as written, without what came from the environment;
    *warnings* are what a person should know before running it.
    """

    path: Path = Path()
    text: str = ""
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, file: SuiteFile, path: Path, text: str, warnings: tuple[str, ...] = ()) -> Self:
        """The suite of a file whose keys were validated; its name is the file's unless it has one."""
        keys = {name: getattr(file, name) for name in SuiteFile.model_fields}
        keys["name"] = file.name or re.sub(r"[^\w.-]+", "-", path.stem).strip("-.") or "suite"
        return cls.model_construct(file.model_fields_set, **keys, path=path, text=text, warnings=warnings)
