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
    async with Client(run.address, transport()) as client, anyio.create_task_group() as beside:
        before = await usage(client)
        if before is None:
            _refuse_unpriced(run.plan)
        if run.reins.purse.is_limited:
            await anyio.to_thread.run_sync(run.count, " ")  # to get ready for it is no part of a load
            beside.start_soon(_keep_books, run)
            if before is not None:
                beside.start_soon(_listen, run, client, before)
        yield
        if before is not None:
            await _hear(run, client, before)
        beside.cancel_scope.cancel()


async def _keep_books(run: Conduct) -> None:
    """Count what each trial cost, off the loop, as long as the run goes on."""
    while True:
        while run.to_count:
            run.reins.purse.book(*await anyio.to_thread.run_sync(run.cost, run.to_count.popleft()))
            run.reins.booked()
        await anyio.sleep(_BOOKS_EVERY_S)


def _refuse_unpriced(plan: Plan) -> None:
    """Raise `UsageError` where money is limited, and neither suite nor Sigma says what a model costs."""
    unpriced = [model for model in map(model_of, plan.variants.values()) if not priced(plan.suite, model)]
    if plan.suite.budget.usd is not None and unpriced:
        lines = ", ".join(f"{model}: {{input: ..., output: ...}}" for model in dict.fromkeys(unpriced))
        raise UsageError(
            f"budget.usd: this Sigma does not say what it costs (/user/usage), and nor does the suite; "
            f"add prices: {{{lines}}}, in USD for 1M tokens"
        )


async def _listen(run: Conduct, client: Client, before: Usage) -> None:
    """Ask the server now and then what it has counted itself."""
    for wait_s in chain(_LISTEN_FIRST_S, repeat(_LISTEN_EVERY_S)):
        await anyio.sleep(wait_s)
        await _hear(run, client, before)


async def _hear(run: Conduct, client: Client, before: Usage) -> None:
    after = await usage(client)
    if after is not None:
        run.used = after.since(before)
        run.reins.purse.heard(run.used.tokens, run.used.usd)
        run.reins.booked()
