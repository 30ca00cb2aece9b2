"""What it is like for us while we measure: a `Moment` for each second of a phase.

A busy client need not show on the CPU meter (statistics.md 1.6), so what counts is looked at itself: how late
our event loop is when it should have come back, how long tasks of this machine waited for a CPU, what garbage
collection took, and how long a cheap request takes to the target and to a server of our own on this machine.
The last two tell network, client and server apart: what slows both is here.
"""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import anyio
import httpx

from harness.drive.alarm import Alarm
from harness.drive.reins import Reins
from harness.drive.tape import Tape
from harness.result import Moment
from harness.sigma.client import Client

LOOK_NS = 20_000_000
MOMENT_NS = 1_000_000_000
PROBE_S = 5.0
PRESSURE = Path("/proc/pressure/cpu")

_LOOK_S = 0.05

Keep = Callable[[Moment], None]
OpenProbe = Callable[[], Client | None]


@dataclass(slots=True)
class Probe:
    """A control request, asked once a second; *took_ns* is how long the last one took, until it is told.

    *open_client* gives the client once there is something to ask, and None until then.
    """

    open_client: OpenProbe
    took_ns: int | None = None

    def told(self) -> int | None:
        """What the last request took, once: from its being sent to the first byte of the answer."""
        took, self.took_ns = self.took_ns, None
        return took

    async def ask(self) -> None:
        """Ask, until cancelled. No answer is none: a server without the endpoint is not slow."""
        while (client := self.open_client()) is None:  # noqa: ASYNC110  a process on its way up sets no event
            await anyio.sleep(_LOOK_S)
        async with client:
            while True:
                took_ns = await control_ns(client)
                self.took_ns = self.took_ns if took_ns is None else took_ns
                await anyio.sleep(MOMENT_NS / 1e9)


async def control_ns(client: Client) -> int | None:
    """How long a control request takes, from its sending to the first byte of an answer; None of none."""
    tape = Tape()
    with suppress(httpx.RequestError):
        await client.get("/health", silence_s=PROBE_S, extensions={"tape": tape})
    if tape.headers_ns is None or tape.sent_ns is None:
        return None
    return tape.headers_ns - tape.sent_ns


async def watch(
    phase: str, reins: Reins, keep: Keep, *, target: Probe | None = None, own: Probe | None = None
) -> None:
    """Hand a `Moment` of *phase* to *keep* every second, until cancelled, and the last one then.

    *target* and *own* are the control probes; they end with the watch.
    """
    now, lag_ns, before = reins.now, 0, _read(reins.now())

    def tell() -> None:
        nonlocal lag_ns, before
        after = _read(now())
        moment = Moment(
            at_ns=after.at_ns,
            span_ns=after.at_ns - before.at_ns,
            phase=phase,
            fell_due=reins.fell_due,
            began=reins.began,
            dropped=reins.dropped,
            in_flight=reins.in_flight,
            lag_ns=lag_ns,
            cpu_ns=after.cpu_ns - before.cpu_ns,
            waited_ns=_less(after.waited_ns, before.waited_ns),
            collections=len(pauses),
            collected_ns=sum(pauses),
            longest_collection_ns=max(pauses, default=0),
            target_ns=target.told() if target else None,
            own_ns=own.told() if own else None,
        )
        lag_ns, before = 0, after
        pauses.clear()
        keep(moment)

    with Alarm() as alarm, collections(now) as pauses:
        async with anyio.create_task_group() as around:
            for probe in (target, own):
                if probe is not None:
                    around.start_soon(probe.ask)
            try:
                while True:
                    due_ns = now() + LOOK_NS
                    await alarm.until(due_ns)
                    lag_ns = max(lag_ns, now() - due_ns)
                    if now() - before.at_ns >= MOMENT_NS:
                        tell()
            finally:
                tell()


class _Read(NamedTuple):
    """What the system had counted at *at_ns*."""

    at_ns: int
    cpu_ns: int
    waited_ns: int | None


def _read(now_ns: int) -> _Read:
    return _Read(now_ns, time.process_time_ns(), waited_ns())


def _less(after: int | None, before: int | None) -> int | None:
    return None if after is None or before is None else after - before


def waited_ns() -> int | None:
    """How long some task of this machine has waited for a CPU in all, None where the system does not say.

    The sum of Linux's pressure stall information: its averages over 10 s lag behind a shorter phase.
    """
    try:
        some, *_ = PRESSURE.read_text().splitlines()
        return int(some.rpartition("total=")[2]) * 1000
    except (OSError, ValueError):
        return None


@contextmanager
def collections(now: Callable[[], int]) -> Iterator[list[int]]:
    """How long each garbage collection took, in ns, as they happen."""
    pauses: list[int] = []
    began = 0

    def note(step: str, _: dict[str, int]) -> None:
        nonlocal began
        if step == "start":
            began = now()
        else:
            pauses.append(now() - began)

    gc.callbacks.append(note)
    try:
        yield pauses
    finally:
        gc.callbacks.remove(note)
