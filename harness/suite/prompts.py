"""What is asked: prompts with their turns and checks, what holds for all of them, and the variants.

The text below a field is what editors and docs/suite.md say of it (`harness.suite.schema`). A field marked
`UNBUILT` is validated and then refused as "not yet supported": nothing is accepted and ignored.
"""

from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from harness.suite.settings import Settings, Written
from harness.suite.values import (
    AtLeastOne,
    CellName,
    Count,
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

UNBUILT = "not yet supported"


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
