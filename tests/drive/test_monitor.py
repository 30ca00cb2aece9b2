"""What it is like for us: moments of a real process, with real garbage and real pauses."""

import gc
import itertools
import time

import anyio
import pytest

from harness.drive.monitor import Probe, collections, watch
from harness.drive.reins import Reins
from harness.drive.transport import transports
from harness.result import Moment
from harness.sigma.client import Address, Client
from tests.conftest import Standin, stream_source

pytestmark = pytest.mark.anyio
MS = 1_000_000


async def watched(seconds: float, *, held_up_s: float = 0.0) -> list[Moment]:
    moments: list[Moment] = []
    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, "p", Reins(), moments.append)
            await anyio.sleep(0.05)
            time.sleep(held_up_s)  # noqa: ASYNC251  which is what is to be seen
            await anyio.sleep_forever()
    return moments


@pytest.mark.slow
async def test_moments_follow_each_other_and_the_last_one_is_told_at_the_end() -> None:
    moments = await watched(1.4)
    assert len(moments) >= 2
    assert all(b.at_ns - b.span_ns == a.at_ns for a, b in itertools.pairwise(moments))
    assert moments[0].span_ns >= 1000 * MS
    assert all(moment.phase == "p" and moment.lag_ns >= 0 and moment.cpu_ns > 0 for moment in moments)


async def test_a_loop_that_was_held_up_shows_for_how_long() -> None:
    (moment, *_) = await watched(0.5, held_up_s=0.2)
    assert moment.lag_ns >= 150 * MS


async def test_garbage_collections_are_counted_with_how_long_they_took() -> None:
    with collections(time.perf_counter_ns) as pauses:
        gc.collect()
    gc.collect()
    assert len(pauses) == 1
    assert pauses[0] > 0


@pytest.mark.slow
async def test_control_requests_go_to_the_target_and_to_a_source_of_ours(sigma: Standin) -> None:
    seen: list[Moment] = []
    both = anyio.Event()

    def keep(moment: Moment) -> None:
        seen.append(moment)
        if moment.target_ns is not None and moment.own_ns is not None:
            both.set()

    def client(url: str) -> Client:
        return Client(Address(url), transports(url)())

    with stream_source() as url, anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            target, own = Probe(lambda: client(sigma.url)), Probe(lambda: client(url))

            async def go() -> None:
                await watch("p", Reins(), keep, target=target, own=own)

            tasks.start_soon(go)
            await both.wait()
            tasks.cancel_scope.cancel()
    assert all((moment.target_ns or 1) > 0 and (moment.own_ns or 1) > 0 for moment in seen)


async def test_a_target_that_does_not_answer_is_not_known_rather_than_slow() -> None:
    probe = Probe(lambda: Client(Address("http://127.0.0.1:9"), transports("http://127.0.0.1:9")()))
    with anyio.move_on_after(0.3):
        await probe.ask()
    assert probe.told() is None
