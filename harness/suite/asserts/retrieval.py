"""Checks of what was found: the documents that tools returned, and those that the answer cites."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from harness.suite.asserts.agent import Times
from harness.suite.prompts import Arguments
from harness.suite.values import AtLeastOne, Flag, Portion, Texts


class RetrievalCheck(Arguments):
    """A check that reads the documents and citations of a turn, or of a whole conversation."""


class Citations(RetrievalCheck):
    """The answer cites *min* to *max* documents (at least one, if neither is said).

    *resolves*: each citation is of a document that a tool returned in this conversation, and each number in
    the text has a citation. *source_type*: all of them are from such a source. *document_set*: they come of
    searches that were asked of these sets only, since a reply does not show the set of a document.
    """

    example: ClassVar[str] = "{type: citations, min: 1, resolves: true}"
    min: Times | None = None
    max: Times | None = None
    resolves: Flag = False
    source_type: Texts | None = None
    document_set: Texts | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.max is not None and self.max < (self.min or 0):
            raise ValueError("min is more than max: no number of citations could pass")
        return self


_RECALL = re.compile(r"recall@([1-9]\d*)")


class Documents(RetrievalCheck):
    """What tools returned, in the order of its first appearance.

    *contains*: each of these is among them or, with *within*, among the first so many. A document is named by
    its id, its title, its link, or the last part of that (``refunds.md``). *min* and *max* are how many there
    are. ``recall@5: 80%`` is how much of *relevant* is among the first five, *mrr* the inverse of the
    place of the first of them.
    """

    example: ClassVar[str] = "{type: documents, contains: refunds.md, within: 5}"
    contains: Texts = ()
    within: AtLeastOne | None = None
    min: Times | None = None
    max: Times | None = None
    relevant: Texts = ()
    recall: Annotated[dict[int, Portion], Field(default_factory=dict)]
    mrr: Portion | None = None

    @model_validator(mode="before")
    @classmethod
    def _recall_at(cls, written: Any) -> Any:
        """``recall@5`` is a key of its own: any k may be asked for."""
        if not isinstance(written, dict):
            return written
        at = {key: match for key in written if (match := _RECALL.fullmatch(str(key)))}
        rest = {key: value for key, value in written.items() if key not in at}
        recall = {int(match[1]): written[key] for key, match in at.items()}
        return rest | ({"recall": recall} if at else {})

    @classmethod
    def keys(cls) -> list[str]:
        """With ``recall@k``, where k is any number."""
        return ["recall@k" if key == "recall" else key for key in cls.model_fields]

    @classmethod
    def takes(cls, key: str) -> bool:
        """With ``recall@5``."""
        return _RECALL.fullmatch(key) is not None or (key in cls.model_fields and key != "recall")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if (self.recall or self.mrr is not None) and not self.relevant:
            raise ValueError("of which documents? say relevant: [...], too")
        if not (self.contains or self.recall) and self.mrr is None and self.min is None and self.max is None:
            raise ValueError("one of contains, min, max, recall@k and mrr is wanted")
        if self.max is not None and self.max < (self.min or 0):
            raise ValueError("min is more than max: no number of documents could pass")
        return self


class FiltersObeyed(RetrievalCheck):
    """Every part of `search_filters` took effect, as far as the audit can see."""


TYPES: Mapping[str, type[RetrievalCheck]] = {
    "citations": Citations,
    "documents": Documents,
    "filters-obeyed": FiltersObeyed,
}
