"""What a check looks at: a turn or a conversation, and what is known beside it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.audit import Finding
from harness.grade.opinion import Opinion, ungraded
from harness.grade.said import Said
from harness.metrics.figures import CountTokens
from harness.result import Exchange, Result
from harness.sigma.transcript import Outcome, ToolCall
from harness.suite.model import Price


@dataclass(frozen=True, slots=True)
class Known:
    """What is known beside the result: by whom tokens are counted, what models cost, what others said.

    *said* are the answers of judges, of models of embeddings and of the suite's own code, by the key of what
    they were asked; *judge* and *embeddings* are the fingerprints of whom the suite names for that. *rivals*
    are, for checks that compare variants, the answers to one turn of one repeat of a case, by variant.
    """

    count_tokens: CountTokens | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)
    said: Mapping[str, Said] = field(default_factory=dict)
    judge: str | None = None
    embeddings: str | None = None
    rivals: Mapping[tuple[str, str, int, str | None], Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subject:
    """One turn as it was last sent, or all turns of a conversation, in the order of their sending.

    Of a conversation, text is the answer to its last turn, tool calls and documents are those of all its
    turns, and a time is its slowest. *result* is what they are part of, and *findings* are what the audit
    found, by exchange. *expects_failure*: the suite says that this turn is to fail.
    """

    exchanges: Sequence[Exchange]
    result: Result | None = None
    turn_id: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    findings: Mapping[str, Sequence[Finding]] = field(default_factory=dict)
    known: Known = field(default_factory=Known)
    expects_failure: bool = False

    @property
    def last(self) -> Exchange:
        """The exchange that has the answer."""
        return self.exchanges[-1]

    @property
    def answer(self) -> str:
        """The answer; empty where none came, so ask `broken` first."""
        return "" if self.last.transcript is None else self.last.transcript.answer

    @property
    def calls(self) -> Iterator[ToolCall]:
        """The tool calls of all turns, in their order."""
        for exchange in self.exchanges:
            if exchange.transcript is not None:
                yield from exchange.transcript.tool_calls

    def broken(self) -> Opinion | None:
        """Why a reply is no whole one: what it lacks, a word or a call, may have been on its way."""
        for exchange in self.exchanges:
            if exchange.failure is not None:
                return ungraded(f"no whole answer: {exchange.failure}")
            if exchange.transcript is None or exchange.transcript.outcome is Outcome.TRUNCATED:
                return ungraded("no whole answer: we cut it off")
        return None
