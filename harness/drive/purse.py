"""What a run has spent of its budget of tokens and money, and whether there is room for one trial more.

What a trial cost is counted after it has ended, off the loop. So what is under way, and what is not counted
yet, is taken to cost what a trial has cost so far: the run stops sending before the budget is used up, not
after. Our estimate knows nothing of what a server puts before a question; where the server says what it has
counted itself, everything is taken to cost as many times more.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Purse:
    """*tokens* and *usd* are what may be spent, None for any amount.

    *spent_tokens* and *spent_usd* are our estimate of *counted* trials, *server_tokens* and *server_usd* what
    the server counted since the run began, where it says so, and *times_tokens* and *times_usd* how many
    times our estimate that was, 1 at least.
    """

    tokens: int | None = None
    usd: float | None = None
    spent_tokens: int = 0
    spent_usd: float = 0.0
    server_tokens: int = 0
    server_usd: float = 0.0
    times_tokens: float = 1.0
    times_usd: float = 1.0
    counted: int = 0

    @property
    def is_limited(self) -> bool:
        """Whether there is anything to look after."""
        return self.tokens is not None or self.usd is not None

    def book(self, tokens: int, usd: float) -> None:
        """One trial more has been counted."""
        self.spent_tokens += tokens
        self.spent_usd += usd
        self.counted += 1

    def heard(self, tokens: int, usd: float, uncounted: int = 0) -> None:
        """The server has counted so much since the run began, while *uncounted* trials were under way."""
        self.server_tokens, self.server_usd = tokens, usd
        self.times_tokens = self._times(self.times_tokens, tokens, self.spent_tokens, uncounted)
        self.times_usd = self._times(self.times_usd, usd, self.spent_usd, uncounted)

    def _times(self, before: float, told: float, spent: float, uncounted: int) -> float:
        """How many times our estimate the server counts: as *before*, if that can be.

        Nobody knows how much of what is under way it has counted already: between nothing and all.
        """
        if not spent:
            return before
        most = told / spent
        return max(1.0, min(most, max(before, most * self.counted / (self.counted + uncounted))))

    def has_room(self, uncounted: int) -> bool:
        """Whether one trial more fits in, beside *uncounted* ones that are under way or not counted yet."""
        sides = (
            (self.spent_tokens * self.times_tokens, self.server_tokens, self.tokens),
            (self.spent_usd * self.times_usd, self.server_usd, self.usd),
        )
        return all(
            limit is None or self._with_one_more(ours, theirs, uncounted) <= limit
            for ours, theirs, limit in sides
        )

    def _with_one_more(self, ours: float, theirs: float, uncounted: int) -> float:
        """What all will have cost: *ours* is of what was counted, *theirs* of some of what is under way, too.

        Before the first was counted nothing is known. What only the server has a price for costs by its word.
        """
        if not self.counted:
            return theirs
        each = ours / self.counted if ours else theirs / (self.counted + uncounted)
        return max(ours + uncounted * each, theirs) + each

    @property
    def is_overdrawn(self) -> bool:
        """Whether more has been spent than there was."""
        return any(spent > limit for _, spent, limit in self.sides())

    @property
    def told(self) -> str:
        """What has been spent of what, for people."""
        parts = []
        if self.tokens is not None:
            parts.append(f"{self._tokens:,.0f} of {self.tokens:,} tokens")
        if self.usd is not None:
            parts.append(f"{self._usd:.4f} of {self.usd:g} USD")
        return " and ".join(parts)

    @property
    def _tokens(self) -> float:
        return max(self.spent_tokens * self.times_tokens, self.server_tokens)

    @property
    def _usd(self) -> float:
        return max(self.spent_usd * self.times_usd, self.server_usd)

    def sides(self) -> list[tuple[str, float, float]]:
        """What is limited, how much of it is spent, and what may be."""
        sides = [("tokens", self._tokens, self.tokens), ("usd", self._usd, self.usd)]
        return [(what, float(spent), float(limit)) for what, spent, limit in sides if limit is not None]
