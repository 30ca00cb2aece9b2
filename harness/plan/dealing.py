"""What is asked at each arrival of a trace: what its row names, and for the rest whose turn it is.

A row may name a variant, a prompt, both or neither. Of what is not named variants get their shares (of `mix`,
or by how many prompts each has), and each goes over all its prompts before any comes again, as in a phase
that lasts for a time.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from harness.errors import UsageError
from harness.suite.trace import Row

Arm = TypeVar("Arm")
Pair = tuple[str, str]
"""A variant and the id of a case that it asks."""


def dealt(
    rows: Iterable[Row], arms: Mapping[Pair, Arm], mix: Mapping[str, float] | None, seed: str
) -> Iterator[tuple[Row, Arm, int]]:
    """Each of *rows* with what it asks of *arms*, and for which time that is asked.

    Rows that name what is not among the arms are left out: a part of the suite was chosen. Raises
    `UsageError` where no variant with a share in *mix* asks the prompt of a row.
    """
    deal = _Deal(list(arms), mix, seed)
    times: Counter[Pair] = Counter()
    for row in rows:
        pair = deal.pair(row)
        if pair is not None:
            times[pair] += 1
            yield row, arms[pair], times[pair]


@dataclass(slots=True)
class _Deal:
    """Whose turn it is; *given* counts what variants got of the *shared* rows, those that name none."""

    pairs: list[Pair]
    mix: Mapping[str, float] | None
    seed: str
    own: dict[str, list[str]] = field(default_factory=dict)
    askers: dict[str, list[str]] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    turns: dict[str, Iterator[str]] = field(default_factory=dict)
    given: Counter[str] = field(default_factory=Counter)
    shared: int = 0

    def __post_init__(self) -> None:
        for variant, case_id in self.pairs:
            self.own.setdefault(variant, []).append(case_id)
            self.askers.setdefault(case_id, []).append(variant)
        mix = self.mix
        for name, cases in self.own.items():
            self.weights[name] = mix.get(name, 0.0) if mix is not None else float(len(cases))
            self.turns[name] = _turns(cases, f"{self.seed}/{name}")

    def pair(self, row: Row) -> Pair | None:
        """What *row* asks; None where that is not among what was chosen."""
        variant, case_id = row.variant, row.case_id
        if case_id is not None:
            asking = self.askers.get(case_id, [])
            if not asking or (variant is not None and variant not in asking):
                return None
            return variant or self._next_of(asking, row), case_id
        if variant is not None and variant not in self.own:
            return None
        name = variant or self._next_of(list(self.own), row)
        return name, next(self.turns[name])

    def _next_of(self, names: list[str], row: Row) -> str:
        """Whichever of these variants is furthest behind its share."""
        sharing = [name for name in names if self.weights[name]]
        if not sharing:
            what = f"prompt {row.case_id}" if row.case_id is not None else "any of the chosen prompts"
            raise UsageError(
                f"row {row.number} of a trace: none of the variants with a share in mix asks {what}"
            )
        self.shared += 1
        total = sum(self.weights.values())
        name = max(sharing, key=lambda each: self.shared * self.weights[each] / total - self.given[each])
        self.given[name] += 1
        return name


def _turns(case_ids: list[str], seed: str) -> Iterator[str]:
    """The cases of a variant in random order, and then again."""
    random = Random(seed)  # noqa: S311  an order, not a secret
    while True:
        yield from random.sample(case_ids, len(case_ids))
