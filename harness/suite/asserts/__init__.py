"""What each type of check takes: a model for every type, in the families that `harness.grade` grades by.

A model is the type's own page: its keys, what each may be, and how it is read. A new type is a model here,
a line in the `TYPES` of its family, and a `case` in the module of `harness.grade` that has the family's name.
"""

from collections.abc import Mapping

from harness.suite.asserts import agent, code, form, judged, retrieval, stream, text
from harness.suite.prompts import Arguments
from harness.suite.values import Portion


class AssertSet(Arguments):
    """Every check in it passes; or, with a *threshold*, their weighed scores reach it."""

    threshold: Portion | None = None


TYPES: Mapping[str, type[Arguments]] = {
    **text.TYPES,
    **form.TYPES,
    **agent.TYPES,
    **retrieval.TYPES,
    **stream.TYPES,
    **judged.TYPES,
    **code.TYPES,
    "assert-set": AssertSet,
}
"""What is built, by the name that people write in `type`."""
