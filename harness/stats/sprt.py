"""One prompt, asked again until it is known whether it passes: Wald's sequential test of two pass rates.

A prompt that came out red is asked with *fresh* repeats, so that two stages have to agree: with 5 % each, a
sound prompt stays red in a quarter of a percent of nights. ("Best of two" looks similar, and lets a prompt
that fell to one half through three nights out of four.)
"""

from dataclasses import dataclass
from math import log
from typing import Literal

Word = Literal["good", "bad", "open"]


@dataclass(frozen=True, slots=True)
class Sprt:
    """Is the pass rate *good*, or *bad*? Each is found wrongly with the chance *alpha* at most.

    At *most* so many repeats are asked; those who are open by then stay open.
    """

    good: float = 0.9
    bad: float = 0.6
    alpha: float = 0.05
    most: int = 30

    @property
    def bound(self) -> float:
        """Where the sum of steps decides, on either side."""
        return log((1 - self.alpha) / self.alpha)

    @property
    def pass_step(self) -> float:
        """What a pass adds."""
        return log(self.good / self.bad)

    @property
    def fail_step(self) -> float:
        """What a failure adds; negative."""
        return log((1 - self.good) / (1 - self.bad))

    def decides(self, passes: int, failures: int) -> Word:
        """What so many passes and failures say."""
        evidence = passes * self.pass_step + failures * self.fail_step
        if evidence >= self.bound:
            return "good"
        return "bad" if evidence <= -self.bound else "open"
