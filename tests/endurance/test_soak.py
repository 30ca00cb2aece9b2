"""Long and wide: many streams at once, for long enough that a leak shows."""

import resource
from pathlib import Path

import pytest

from harness.drive.pool import drive
from harness.drive.reins import Reins
from harness.drive.transport import transports
from harness.plan import make_plan
from harness.result import Result
from harness.sigma.client import Address, Client
from harness.suite.model import Phase
from harness.suite.read import parse_suite
from tests.conftest import Standin

pytestmark = [pytest.mark.endurance, pytest.mark.anyio, pytest.mark.timeout(900)]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_thousands_of_streams_over_a_hundred_slots_leave_no_socket_and_little_memory(
    sigma: Standin,
) -> None:
    text = """
suite: soak
target: standin
defaults: {repeat: 1500}
variants:
  whole: {llm_override: {model_provider: Simulated, model_version: "sim:ttft=20ms,gap=5ms,tokens=40"}}
  broken: {llm_override: {model_provider: Simulated, model_version: "sim:gap=5ms,tokens=40,fault=reset@20"}}
prompts: [{id: hello, message: hello}]
"""
    planned = make_plan(parse_suite(text, Path("soak.yaml"), {})).trials
    transport = transports(sigma.url)
    faults: dict[str | None, int] = {}

    def count(result: Result) -> None:
        fault = None if result.failure is None else str(result.failure.fault)
        faults[fault] = faults.get(fault, 0) + 1

    async def go(count_of: int) -> None:
        await drive(
            planned[:count_of],
            Phase(workers=100),
            lambda: Client(Address(sigma.url), transport()),
            count,
            reins=Reins(),
        )

    await go(300)
    files, memory_kib = open_files(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    faults.clear()
    await go(len(planned))
    assert faults == {None: 1500, "disconnected": 1500}
    assert open_files() <= files
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_kib < 64 * 1024
