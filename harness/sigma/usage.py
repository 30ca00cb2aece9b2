"""What the server itself has counted: tokens and cost of whoever asks, where it says so (wire 5.9).

The totals are of the account and of whole days: of a run they are the difference between its end and its
begin, on an account that nobody else uses meanwhile.
"""

from typing import Any

import httpx
import msgspec
from msgspec import Struct

from harness.sigma.client import Client

PATH = "/user/usage?days=1"


class Usage(Struct, frozen=True):
    """Tokens, in and out, and their cost in USD, since the begin of yesterday."""

    tokens: int
    usd: float

    def since(self, before: "Usage") -> "Usage":
        """What came on top of *before*."""
        return Usage(self.tokens - before.tokens, self.usd - before.usd)


async def usage(client: Client) -> Usage | None:
    """What has been counted so far; None where the server does not answer, or says it otherwise."""
    try:
        response = await client.get(PATH)
    except httpx.RequestError:
        return None
    if response.status_code != 200:
        return None
    try:
        told = msgspec.json.decode(response.content, type=dict[str, Any])
        days = told["per_day_by_model"]
        return Usage(
            sum(int(day["input_tokens"]) + int(day["output_tokens"]) for day in days),
            sum(float(day["cost_cents"]) for day in days) / 100,
        )
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        return None
