"""Between two probes: the server comes to rest, as far as that can be seen from outside.

What was under way has ended, or was told to, with the run before. Whether the server is done with it shows in
how long it takes to answer a control request: asked until that is about as quick as it was beside the first
probe, three times in a row. A server that does not come to rest is not waited for without an end.
"""

import time
from dataclasses import dataclass, replace
from functools import partial

import anyio

from harness.drive.access import accessed
from harness.drive.loop import in_a_loop
from harness.drive.monitor import control_ns
from harness.drive.preflight import as_written
from harness.drive.transport import transport_of
from harness.limit.probing import Asked
from harness.metrics.figures import SECOND
from harness.sigma.client import Client

_LEAST_PATIENCE_S, _PATIENCE = 10.0, 6
"""A server that is not calm is waited for so many times as long as after a load that was too high."""
_CALM = 3
_BETWEEN_S = 0.2
_SLOWER, _SLACK_NS = 3, 20_000_000
"""Calm is at most so many times what it took at first, and a little more: a control request takes 1 ms."""


@dataclass(frozen=True, slots=True)
class Rested:
    """How long was waited, and whether the server was calm by then; None where it cannot be asked."""

    waited_s: float
    is_calm: bool | None


def rest(
    asked: Asked, base_url: str, *, first_ns: float | None, cool_down_s: float, was_past: bool
) -> Rested:
    """Wait until a control request takes about as long as it did at first.

    And for *cool_down_s* in any case, where the load *was_past* the limit.
    """
    suite = accessed(asked.suite, asked.options.target, asked.options.access)
    address = as_written(suite, asked.options.target)
    if address is None:  # each probe has a stand-in of its own
        return Rested(0.0, None)
    began = time.perf_counter_ns()
    least_s = cool_down_s if was_past else 0.0
    patience_s = max(_LEAST_PATIENCE_S, _PATIENCE * cool_down_s)
    client = partial(Client, replace(address, base_url=base_url), transport_of(suite, base_url)())
    is_calm = in_a_loop(partial(_calm, client, first_ns, least_s, patience_s))
    return Rested((time.perf_counter_ns() - began) / SECOND, is_calm)


async def _calm(
    open_client: partial[Client], first_ns: float | None, least_s: float, patience_s: float
) -> bool | None:
    async with open_client() as client:
        await anyio.sleep(least_s)
        if first_ns is None:
            return None
        calm = 0
        with anyio.move_on_after(patience_s):
            while calm < _CALM:
                took_ns = await control_ns(client)
                quick = took_ns is not None and took_ns <= _SLOWER * first_ns + _SLACK_NS
                calm = calm + 1 if quick else 0
                await anyio.sleep(_BETWEEN_S)
        return calm >= _CALM
