"""What a suite says: the types that people write, and nothing that is worked out from them.

Request fields keep the API's own names. Absent means "leave the field out of
the body"; so does null, which moreover takes away what a lower layer set
(`model_fields_set` tells the two apart). What one value may be is said by its
type (`harness.suite.values`). What takes two places of the file to see is in
`harness.suite.check`: a validator that looks at a whole model runs only when
each of its fields is right, and a person wants to hear everything at once. A
field marked `UNBUILT` is validated and then refused as "not yet supported":
nothing is accepted and ignored.
"""

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from harness.suite.values import (
    Address,
    AtLeastOne,
    CellName,
    Count,
    Day,
    Duration,
    Endpoint,
    FileName,
    Flag,
    HeaderName,
    HeaderValue,
    Id,
    Ignorable,
    KnownPattern,
    Limit,
    Moment,
    Number,
    Origin,
    Pattern,
    Portion,
    ProxyAddress,
    Rate,
    Reduction,
    RetryReason,
    Secret,
    Share,
    Span,
    Speed,
    Text,
    Texts,
    Uuid,
    Variables,
    Whole,
    file_or_text,
    list_of_one,
)

UNBUILT = "not yet supported"


class Written(BaseModel):
    """Something a person wrote: frozen, unknown keys refused, values kept out of messages."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class LlmOverride(Written):
    """The model asked for, in the API's own names."""

    model_provider: Text | None = None
    model_version: Text | None = None
    temperature: Number | None = None
    model_configuration_id: Whole | None = None
    display_name: Text | None = None


class SearchFilters(Written):
    """What internal search may return. *time_cutoff* is UTC, as ``2024-01-01T00:00:00Z``."""

    source_type: Texts | None = None
    document_set: Texts | None = None
    time_cutoff: Moment | None = None
    tags: dict[str, Text] | None = None


class FileDescriptor(Written):
    """An uploaded file, as the API wants it named: *id* is of its content, *user_file_id* of the upload.

    People write a path, an id or a name; look-ups and uploads put one of these in its place.
    """

    id: Text
    type: Text
    name: Text | None = None
    user_file_id: Text | None = None


File = Annotated[
    Annotated[Text, Tag("text")] | Annotated[FileDescriptor, Tag("descriptor")], Discriminator(file_or_text)
]
Files = Annotated[tuple[File, ...], BeforeValidator(list_of_one)]


class Settings(Written):
    """Everything a request can be asked to do. *time_limit* is in nanoseconds.

    *think_time*, in nanoseconds too, is how long a person would take over the answer before: a turn that
    follows another waits for it.

    *files* are paths beside the suite, or ids or names of uploaded files. *llm_overrides* are models that
    answer side by side. *parent_message_id* is of a message in the conversation *chat_session_id*; within a
    conversation of the suite's own, `after` and `regenerate` of a turn say it by name.
    """

    llm_override: LlmOverride | None = None
    allowed_tool_ids: tuple[Id, ...] | None = None
    forced_tool_id: Id | None = None
    search_filters: SearchFilters | None = None
    deep_research: Flag | None = None
    persona_id: Id | None = None
    project_id: Id | None = None
    stream: Flag | None = None
    time_limit: Duration | None = None
    think_time: Span | None = None
    chat_session_id: Uuid | None = None
    parent_message_id: AtLeastOne | None = None
    files: Files | None = None
    include_citations: Flag | None = None
    additional_context: Text | None = None
    mcp_headers: dict[HeaderName, HeaderValue] | None = None
    llm_overrides: tuple[LlmOverride, ...] | None = None
    origin: Origin | None = None
    endpoint: Endpoint | None = None


class Arguments(Written):
    """What a check of one type takes beside its name, weight and metric; `harness.suite.asserts` has them.

    *example* is how it is written, for whoever left something out.
    """

    example: ClassVar[str] = ""

    @classmethod
    def keys(cls) -> list[str]:
        """The keys that people may write, for messages."""
        return list(cls.model_fields)

    @classmethod
    def takes(cls, key: str) -> bool:
        """Whether *key* is one of them."""
        return key in cls.model_fields


class Expect(Written):
    """One check, written as a type alone or as a mapping.

    *type* is without its ``not-``, which is *negated*. What else was written is in *options*, as it was
    written; *args* are the same, filled in and found right, once the variables are known
    (`harness.suite.expect.ready`). An ``assert-set`` has *asserts* of its own.
    """

    type: Text
    negated: bool = False
    weight: Annotated[Number, Field(ge=0)] = 1.0
    metric: Text | None = None
    options: dict[str, Any] = {}
    asserts: Annotated[tuple["Expect", ...], Field(alias="assert")] = ()
    args: Arguments | None = None

    @property
    def name(self) -> str:
        """The type as it was written, with its ``not-``."""
        return f"not-{self.type}" if self.negated else self.type

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, written: Any) -> Any:
        if isinstance(written, str):
            written = {"type": written}
        if not isinstance(written, dict):
            return written
        own = {key: written[key] for key in ("type", "weight", "metric", "assert") if key in written}
        made = own | {"options": {key: value for key, value in written.items() if key not in own}}
        if isinstance(kind := written.get("type"), str):
            made |= {"type": kind.removeprefix("not-"), "negated": kind.startswith("not-")}
        return made


Asserts = Annotated[tuple[Expect, ...], Field(alias="assert")]


class Reduce(Written):
    """How the repeats of a prompt become one: written as its name, or as ``{by: pass^3, min: 90%}``.

    ``8 of 10`` and ``majority`` decide by themselves; ``mean`` (of the scores), ``pass@3`` and ``pass^3``
    decide where *min* says how much is wanted, and are figures only where it does not.
    """

    by: Reduction
    min: Share | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, written: Any) -> Any:
        return {"by": written} if isinstance(written, str) else written

    @property
    def of(self) -> int | None:
        """How many repeats ``8 of 10`` speaks of; None of the others."""
        return int(self.by.rpartition(" ")[2]) if " of " in self.by else None

    @property
    def k(self) -> int | None:
        """The k of ``pass@k`` and ``pass^k``; None of the others."""
        return int(self.by[5:]) if self.by[:5] in {"pass@", "pass^"} else None

    @property
    def decides(self) -> bool:
        """Whether it says if a prompt passed, rather than how well it did."""
        return self.by == "majority" or self.of is not None or self.min is not None

    @property
    def told(self) -> str:
        """What is wanted, for people."""
        return self.by if self.min is None else f"{self.by} of at least {self.min:.0%}"


class Retry(Written):
    """How often one trial is tried in all, the first included, and after what.

    Never after a wrong answer, and never once the first byte of answer text is here, whatever *for* names:
    from then on a second try would hide what people saw.
    """

    attempts: AtLeastOne = 2
    for_: Annotated[tuple[RetryReason, ...], Field(alias="for")] = ("connect", "429", "503")


class Turn(Settings):
    """One message of a conversation, or an answer asked for once more.

    It follows the turn before it in the file; *after* names the turn whose answer it follows instead, and
    *regenerate* the turn that is to be answered again. *repeat* makes so many siblings of such a branch.
    """

    id: Text | None = None
    message: str | None = None
    vars: Variables = {}
    assert_: Asserts = ()
    after: Text | None = None
    regenerate: Text | None = None
    repeat: AtLeastOne | None = None


class Each(Written):
    """Rows of a data set; the columns of a row are variables."""

    path: Text
    sample: AtLeastOne | None = None
    seed: Whole | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, written: Any) -> Any:
        return {"path": written} if isinstance(written, str) else written


class Prompt(Settings):
    """A question, or a conversation, with its checks.

    The checks of a prompt with *turns* are of the conversation as a whole; each
    turn has its own. *cluster* names what stands or falls together.

    Each check must pass; with a *threshold* their scores are weighed instead, and the mean must reach it.
    *reduce* says what of several repeats counts.
    """

    id: Text | None = None
    message: str | None = None
    turns: tuple[Turn, ...] | None = None
    vars: Variables = {}
    tags: Texts = ()
    assert_: Asserts = ()
    threshold: Portion | None = None
    repeat: AtLeastOne | None = None
    reduce: Reduce | None = None
    retry: Retry | None = None
    each: Each | None = None
    cluster: Text | None = None


class Variant(Settings):
    """One way to ask. *matrix* makes one variant of each combination of its named values."""

    extends: Text | None = None
    matrix: dict[str, dict[CellName, Settings]] | None = None
    exclude: Texts = ()
    only: Texts | None = None
    overrides: Flag = False
    repeat: AtLeastOne | None = None
    retry: Retry | None = None

    @model_validator(mode="before")
    @classmethod
    def _cells_become_settings(cls, written: Any) -> Any:
        """``{forced_tool_id: {free: null}}`` becomes ``{forced_tool_id: {free: {forced_tool_id: null}}}``.

        So each value is checked as what it is. An axis that is no setting is left
        for `harness.suite.check`, which knows where its key stands.
        """
        if not isinstance(written, dict) or not isinstance(axes := written.get("matrix"), dict):
            return written
        settings = {
            axis: {cell: {axis: value} for cell, value in cells.items()}
            if axis in Settings.model_fields
            else {}
            for axis, cells in axes.items()
            if isinstance(cells, dict)
        }
        return written | {"matrix": {**axes, **settings}}


class Defaults(Settings):
    """What holds for every prompt that does not say otherwise."""

    vars: Variables = {}
    assert_: Asserts = ()
    threshold: Portion | None = None
    repeat: AtLeastOne | None = None
    reduce: Reduce | None = None
    retry: Retry | None = None
    token_limit: Annotated[Count | None, UNBUILT] = None
    cost_limit: Annotated[Number | None, UNBUILT] = None
    turn_limit: Annotated[AtLeastOne | None, UNBUILT] = None


class OpenAiProvider(Written):
    """A provider of the stand-in whose models are real: any OpenAI-compatible endpoint, streamed through."""

    base_url: Address
    api_key: Secret | None = None
    api_key_file: Text | None = None
    models: Annotated[Texts, Field(min_length=1)]


class Standin(Written):
    """Our own Sigma on loopback, started for the run and ended with it.

    *ignore* are settings that it accepts and does nothing with, as real servers sometimes do; *providers* are
    real models beside its simulated ones, by the provider's name.
    """

    dialect: Literal["sigma", "onyx"] | None = None
    ignore: tuple[Ignorable, ...] = ()
    providers: dict[Text, OpenAiProvider] = {}


class Cleanup(Written):
    """What a run deletes of what it made, when it ends: only its own sessions, only its own uploads."""

    sessions: Flag = False
    files: Flag = True

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, written: Any) -> Any:
        return {"sessions": written, "files": written} if isinstance(written, bool) else written


class Target(Written):
    """The Sigma under test: the stand-in, or a server at *base_url*.

    *api_key* is from the environment, or the one line of *api_key_file*, which is relative to the suite.

    *allow_anonymous*: a key that the server takes for nobody's is an error unless this is set. *audit* is the
    share of trials whose session is looked at afterwards, to see which model answered. *ca_file* has the CAs
    that may vouch for the server, in place of the usual ones; *client_cert* and *client_key* (which may be
    in the same file) say who we are. These paths are relative to the suite. *proxy* goes before what the
    environment says; false is none. All of this is for *base_url* only.
    """

    standin: Standin | None = None
    base_url: Address | None = None
    api_key: Secret | None = None
    api_key_file: Text | None = None
    dialect: Literal["sigma", "onyx", "auto"] = "sigma"
    persona_id: Id | None = None
    project_id: Id | None = None
    endpoint: Endpoint | None = None
    allow_anonymous: Flag = False
    ca_file: Text | None = None
    client_cert: Text | None = None
    client_key: Text | None = None
    verify_tls: Flag = True
    proxy: ProxyAddress | None = None
    audit: Share = 1.0
    cleanup: Cleanup = Cleanup()

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, written: Any) -> Any:
        if written == "standin":
            return {"standin": {}}
        if isinstance(written, dict) and isinstance(standin := written.get("standin"), dict):
            return {"dialect": standin.get("dialect") or "sigma"} | written
        return written


class Judge(Written):
    """Who grades what cannot be checked by rule.

    Sigma itself (``target: self``), with its tools off and each question in a session of its own, or the
    *model* of an OpenAI-compatible server at *base_url*. Each question is put *votes* times, and the majority
    says. *labels* are a file of people's judgements, which tell how good the judge is. *workers* questions
    are asked at once.
    """

    target: Literal["self"] | None = None
    base_url: Address | None = None
    api_key: Secret | None = None
    api_key_file: Text | None = None
    model: Text | None = None
    temperature: Number | None = None
    llm_override: LlmOverride | None = None
    votes: AtLeastOne = 1
    workers: AtLeastOne = 4
    time_limit: Duration = 120_000_000_000
    labels: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, written: Any) -> Any:
        return {"target": written} if written == "self" else written


class Embeddings(Written):
    """What says how alike two texts are: an OpenAI-compatible endpoint, or a model in a folder (an extra)."""

    base_url: Address | None = None
    api_key: Secret | None = None
    api_key_file: Text | None = None
    model: Text


class Price(Written):
    """What a model costs, in USD for a million tokens."""

    input: Annotated[Number, Field(ge=0)] = 0.0
    output: Annotated[Number, Field(ge=0)]


class Stage(Written):
    """One stretch of an open load: this *rate* for so many nanoseconds."""

    rate: Rate
    for_: Annotated[Duration, Field(alias="for")]


class Trace(Written):
    """Arrivals of a file, one a row (`harness.suite.trace`): its path alone, or with these beside it.

    The load begins with the first of them, or *from_* nanoseconds of the file's own time after it. Of the
    table of a run with several phases, *phase* takes one. What *ignore* names is not taken from the rows.
    """

    path: Text
    from_: Annotated[Span, Field(alias="from")] = 0
    phase: Text | None = None
    ignore: Annotated[tuple[Literal["variant", "prompt"], ...], BeforeValidator(list_of_one)] = ()

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, written: Any) -> Any:
        return {"path": written} if isinstance(written, str) else written


class Phase(Written):
    """One entry of ``load:``. All durations are in nanoseconds.

    Closed: so many *workers*, each with one conversation at a time. Open: conversations begin at *rate* per
    second, in *stages* of several rates, or when those of a *trace* did, so many times as fast as *speed*
    says, however many are under way; *arrivals* says how the first two are spaced, with gaps of the
    coefficient of variation *cv* where they are ``gamma``.

    *ramp* is how long the load takes to build up (the rate from nothing, or the workers one after another),
    *warm_up* how long it then goes on before anything is measured, *for_* how long is measured, and
    *cool_down* how long it goes on for the sake of those that are still under way. Without *for_* every trial
    is sent once; with it the prompts are gone through again and again, the variants in the shares of *mix*.

    *max_in_flight* is how many conversations of an open load may be under way; *when_full* an arrival is sent
    late, or dropped and counted.
    """

    workers: AtLeastOne | None = None
    rate: Rate | None = None
    stages: tuple[Stage, ...] | None = None
    trace: Trace | None = None
    speed: Speed | None = None
    arrivals: Literal["constant", "poisson", "gamma"] = "constant"
    cv: Annotated[Number, Field(gt=0)] | None = None
    ramp: Span | None = None
    warm_up: Span | None = None
    for_: Annotated[Duration | None, Field(alias="for")] = None
    cool_down: Span | None = None
    max_in_flight: AtLeastOne | None = None
    when_full: Literal["delay", "drop"] = "delay"
    mix: dict[str, Annotated[Number, Field(ge=0)]] | None = None

    @property
    def is_open(self) -> bool:
        """Whether conversations begin when they are due, rather than when a worker is free."""
        return self.rate is not None or self.stages is not None or self.trace is not None

    @property
    def is_timed(self) -> bool:
        """Whether the phase lasts for a time, rather than until every trial was sent once."""
        return self.for_ is not None or self.stages is not None

    @property
    def slots(self) -> int:
        """How many conversations a closed load has at once."""
        return self.workers or 8

    @property
    def settled_ns(self) -> int:
        """When the phase has come to its load, after its start: from then on it is measured."""
        return (self.ramp or 0) + (self.warm_up or 0)

    @property
    def measured_ns(self) -> int | None:
        """How long is measured; None where the phase lasts until every trial was sent."""
        if self.stages is not None:
            return sum(stage.for_ for stage in self.stages)
        return self.for_


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
