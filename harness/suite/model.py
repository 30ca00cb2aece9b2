"""What a suite says: the keys of its file, and how much, how well and at what price it may do it.

Requests, prompts, loads and servers have modules of their own beside this one. What takes two places of the
file to see is in `harness.suite.check`: a validator that looks at a whole model runs only when each of its
fields is right, and a person wants to hear everything at once. The text below a field is what editors and
docs/suite.md say of it (`harness.suite.schema`).
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

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
    output: Annotated[Number, Field(ge=0)]


class Budget(Written):
    """What a run may spend. *minutes* of wall time; *deep_research*: so many such runs."""

    minutes: Annotated[Number, Field(gt=0)] | None = None
    deep_research: Annotated[Whole, Field(ge=0)] | None = None
    tokens: Annotated[Count, Field(gt=0)] | None = None
    usd: Annotated[Number, Field(gt=0)] | None = None


class GateRule(Written):
    """One limit on one metric (`harness.suite.metric` has their names).

    *min* and *max* hold a variant against a number. *max_drop* (of a share, in ``pp``), *max_rise* (the
    same, of what is better low) and *max_ratio* (*min_ratio* of what is better high) hold it against the
    baseline. It is of the prompts with *tag* and of the phase *load*, of the first one if that is not said;
    and of every variant but the baseline, unless one is named.
    """

    metric: Text
    variant: Text | None = None
    tag: Text | None = None
    load: Text | None = None
    min: Limit | None = None
    max: Limit | None = None
    max_drop: Limit | None = None
    max_rise: Limit | None = None
    max_ratio: Limit | None = None
    min_ratio: Limit | None = None


class Gates(Written):
    """When a run is good enough.

    *baseline* is a variant, or a stored baseline's name. *alpha* is the chance of a false alarm, of all rules
    together. *plan*: ``sequential`` stops as soon as every rule is decided; so does ``betting``, whose bounds
    hold at any time. *question*: whether the answer is to hold for these prompts (``suite``), or for all
    that they are drawn from (``population``). *fail_when*: any drop that is certain fails, or only one
    ``beyond_margin``. With ``on_inconclusive: extend`` up to *extend_to* times the repeats are asked.
    """

    baseline: Text | None = None
    plan: Literal["sequential", "fixed", "betting"] = "fixed"
    alpha: Annotated[Number, Field(gt=0, lt=0.5)] = 0.05
    question: Literal["suite", "population"] = "suite"
    fail_when: Literal["any_drop", "beyond_margin"] = "any_drop"
    on_inconclusive: Literal["warn", "fail", "extend"] = "warn"
    extend_to: Annotated[Number, Field(gt=1, le=20)] = 2.0
    rules: tuple[GateRule, ...] = ()


class Quarantined(Written):
    """A prompt that is asked and shown, and decides nothing until a date: *until* is its last day."""

    prompt: Text
    variant: Text | None = None
    until: Day
    owner: Text | None = None
    reason: Text | None = None


class Redaction(Written):
    """What is masked in replies: what a pattern finds, either known by *name* or a *pattern* of one's own."""

    name: KnownPattern | None = None
    pattern: Pattern | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, written: Any) -> Any:
        """One word alone is a name: a slip in it must not become a pattern that finds nothing."""
        if not isinstance(written, str):
            return written
        return {"name" if re.fullmatch(r"[\w-]*", written) else "pattern": written}


class SuiteFile(Written):
    """The keys of a suite, as its file has them.

    *redact* is masked in every reply before anything of it is kept, graded or shown.
    """

    name: Annotated[FileName, Field(alias="suite")] = ""
    description: str | None = None
    target: Target
    judge: Judge | None = None
    embeddings: Embeddings | None = None
    prices: dict[Text, Price] = {}
    defaults: Defaults = Defaults()
    variants: dict[Text, Variant] = {}
    prompts: tuple[Prompt, ...]
    load: dict[Text, Phase] = {"main": Phase()}
    budget: Budget = Budget()
    gates: Gates | None = None
    redact: tuple[Redaction, ...] = ()
    quarantine: tuple[Quarantined, ...] = ()

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
