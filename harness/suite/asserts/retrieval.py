"""Checks of what was found: the documents that tools returned, and those that the answer cites."""

from collections.abc import Mapping

from harness.suite.model import Arguments


class RetrievalCheck(Arguments):
    """A check that reads the documents and citations of a turn, or of a whole conversation."""


TYPES: Mapping[str, type[RetrievalCheck]] = {}
