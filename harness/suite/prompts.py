"""What is asked: prompts with their turns and checks, what holds for all of them, and the variants.

The text below a field is what editors and docs/suite.md say of it (`harness.suite.schema`).
"""

from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from harness.suite.settings import Settings, Written
from harness.suite.values import (
    AtLeastOne,
    CellName,
    Flag,
    Number,
    Portion,
    Reduction,
    RetryReason,
    Share,
    Text,
    Texts,
    Variables,
    Whole,
)


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
    """What is checked. `not-` before it turns it round."""
    negated: bool = False
    weight: Annotated[Number, Field(ge=0)] = 1.0
    """How much its score counts where a `threshold` weighs scores; 0 is shown and decides nothing."""
    metric: Text | None = None
    """A name for its figure, by which summaries and gates (`check:NAME`) know it."""
    options: dict[str, Any] = {}
    asserts: Annotated[tuple["Expect", ...], Field(alias="assert")] = ()
    """Of an `assert-set`, the checks that are in it."""
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
    """How the repeats of a prompt become one: its name alone, or ``{by: pass^3, min: 90%}``."""

    short: ClassVar[Any] = Reduction
    by: Reduction
    """`majority`, `8 of 10`, `mean` (of the scores), `pass@3` (one of 3 passes) or `pass^3` (all 3
    pass).
    """
    min: Share | None = None
    """How much is wanted of `mean`, `pass@3` and `pass^3`, which are figures only without it."""

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
    """How often one trial is tried, and after what.

    Never after a wrong answer, and never once the first byte of answer text is here: from then on a second
    try would hide what people saw.
    """

    attempts: AtLeastOne = 2
    """How often a trial is tried in all, the first included. In a phase with a rate or a time it is 1
    unless it is said.
    """
    for_: Annotated[tuple[RetryReason, ...], Field(alias="for")] = ("connect", "429", "503")
    """After what: outages only, of `connect`, `reset`, `timeout`, 429, 500, 502, 503, 504."""


class Turn(Settings):
    """One message of a conversation, or an answer asked for once more; it follows the turn before it."""

    id: Text | None = None
    """Its name in results, and for `after` and `regenerate`; its number, from 1 on, if not said."""
    message: str | None = None
    """What is said. `{{ name }}` takes the value of a variable."""
    vars: Variables = {}
    """Variables of this turn; they win over those of the prompt."""
    assert_: Asserts = ()
    """Checks of this turn's answer, after those of `defaults`."""
    after: Text | None = None
    """The id of an earlier turn whose answer it follows, in place of the turn before it: a branch."""
    regenerate: Text | None = None
    """The id of an earlier turn that is to be answered again; it then has no message."""
    repeat: Annotated[AtLeastOne, Field(le=1_000)] | None = None
    """So many siblings of a branch, one with `after` or `regenerate`; 1,000 at most."""


class Each(Written):
    """Rows of a data set, the columns of which are variables: a file alone, or with these beside it."""

    short: ClassVar[Any] = Text
    path: Text
    """The file, beside the suite: csv, tsv, jsonl or Parquet."""
    sample: AtLeastOne | None = None
    """Take only so many rows: the same ones each time, in the order of the file."""
    seed: Whole | None = None
    """Which sample is drawn."""

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, written: Any) -> Any:
        return {"path": written} if isinstance(written, str) else written


class Prompt(Settings):
    """A question, or a conversation, with its checks."""

    id: Text | None = None
    """Its name in results and on the command line; a digest of its messages if not said. With `each` it
    has a column in it: `faq/{{ id }}`.
    """
    message: str | None = None
    """What is asked. `{{ name }}` takes the value of a variable."""
    turns: tuple[Turn, ...] | None = None
    """In place of `message`, a conversation: its turns in order."""
    vars: Variables = {}
    """Variables for `{{ name }}`; they win over columns of `each`, and those over `defaults.vars`."""
    tags: Texts = ()
    """Labels, for `only`, `--only`, gates and comparisons."""
    assert_: Asserts = ()
    """Checks of the answer, after those of `defaults`; with `turns`, of the conversation as a whole.
    Without any, the reply has to be whole.
    """
    threshold: Portion | None = None
    """In place of every check having to pass: the mean of their weighed scores that is wanted."""
    repeat: AtLeastOne | None = None
    """How often it is asked, under each variant; `defaults.repeat`, else once, if not said."""
    reduce: Reduce | None = None
    """What the repeats come to together, in place of each deciding for itself."""
    retry: Retry | None = None
    """What is tried again; once more after `connect`, 429 and 503 if not said."""
    each: Each | None = None
    """Make a prompt of every row of this file; its columns are variables."""
    cluster: Text | None = None
    """What it stands or falls together with: prompts of one cluster are not independent, and comparisons
    allow for that.
    """


class Variant(Settings):
    """One way to ask. *matrix* makes one variant of each combination of its named values."""

    extends: Text | None = None
    """The variant whose settings it starts from."""
    matrix: dict[str, dict[CellName, Settings]] | None = None
    """Values of some settings, each with a name: one variant for each combination, called
    `variant/first+second`.
    """
    exclude: Texts = ()
    """Combinations that are left out: `[gpt+forced]`."""
    only: Texts | None = None
    """The prompts that it asks, by id or as `tag:NAME`; all if not said."""
    overrides: Flag = False
    """`true` lets it win over a setting that a prompt has itself; without it such a pair is an error."""
    repeat: AtLeastOne | None = None
    """How often it asks each prompt, whatever the prompt says."""
    retry: Retry | None = None
    """What is tried again, whatever the prompt says."""

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
    """Variables for `{{ name }}`, of every prompt."""
    assert_: Asserts = ()
    """Checks of every answer, before the prompt's own."""
    threshold: Portion | None = None
    """In place of every check having to pass: the mean of their weighed scores that is wanted."""
    repeat: AtLeastOne | None = None
    """How often each prompt is asked, under each variant; once if not said."""
    reduce: Reduce | None = None
    """What the repeats of a prompt come to together, in place of each deciding for itself."""
    retry: Retry | None = None
    """What is tried again; once more after `connect`, 429 and 503 if not said."""
