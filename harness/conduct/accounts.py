"""What a run costs while it goes on: counted after each trial, off the loop, and asked of the server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain, repeat

import anyio

from harness.conduct.going import Conduct
from harness.drive.transport import transport_of
from harness.errors import UsageError
from harness.plan.trials import Plan
from harness.sigma.client import Client
from harness.sigma.usage import Usage, usage
from harness.suite.gates import model_of, priced

_BOOKS_EVERY_S = 0.05
_LISTEN_FIRST_S, _LISTEN_EVERY_S = (0.5, 0.5, 1.0, 2.0), 5.0


@asynccontextmanager
async def accounts(run: Conduct) -> AsyncIterator[None]:
    """Look after what the run costs, where its suite says what that may be, or what a model costs."""
    suite = run.plan.suite
    if not (run.reins.purse.is_limited or suite.prices):
        yield
        return
    transport = transport_of(suite, run.address.base_url)
    async with Client(run.address, transport()) as client:
        before = await usage(client)
        if before is None:
            _refuse_unpriced(run.plan)
        async with anyio.create_task_group() as beside:
            if run.reins.purse.is_limited:
                await anyio.to_thread.run_sync(run.count, " ")  # to get ready for it is no part of a load
                beside.start_soon(_keep_books, run, client, before)
                beside.start_soon(_listen, run, client, before)
            yield
            beside.cancel_scope.cancel()
        while run.to_count:
            await _count(run)
        await _hear(run, client, before)


async def _keep_books(run: Conduct, client: Client, before: Usage | None) -> None:
    """Count what each trial cost while the run goes on; after the first, ask what the server counts of it."""
    is_first = True
    while True:
        while run.to_count:
            await _count(run)
            if is_first:
                await _hear(run, client, before)
            is_first = False
            run.reins.booked()
        await anyio.sleep(_BOOKS_EVERY_S)


async def _count(run: Conduct) -> None:
    """Count, off the loop, what a trial cost that has ended."""
    cost = await anyio.to_thread.run_sync(run.cost, run.to_count[0])
    run.to_count.popleft()  # not before: who is cut off here has counted nothing
    run.reins.purse.book(*cost)


def _refuse_unpriced(plan: Plan) -> None:
    """Raise `UsageError` where money is limited, and neither suite nor Sigma says what a model costs."""
    unpriced = [model for model in map(model_of, plan.variants.values()) if not priced(plan.suite, model)]
    if plan.suite.budget.usd is not None and unpriced:
        lines = ", ".join(f"{model}: {{input: ..., output: ...}}" for model in dict.fromkeys(unpriced))
        raise UsageError(
            f"budget.usd: this Sigma does not say what it costs (/user/usage), and nor does the suite; "
            f"add prices: {{{lines}}}, in USD for 1M tokens"
        )


async def _listen(run: Conduct, client: Client, before: Usage | None) -> None:
    """Ask the server now and then what it has counted itself."""
    for wait_s in chain(_LISTEN_FIRST_S, repeat(_LISTEN_EVERY_S)):
        await anyio.sleep(wait_s)
        await _hear(run, client, before)


async def _hear(run: Conduct, client: Client, before: Usage | None) -> None:
    """Ask the server what it has counted, if it counts at all."""
    if before is not None and (after := await usage(client)) is not None:
        run.used = after.since(before)
        run.reins.purse.heard(run.used.tokens, run.used.usd, run.reins.uncounted)
        run.reins.booked()
