"""A look around, and one question: also where it is cut short, nothing is left behind."""

from time import perf_counter_ns

import anyio
import pytest

from harness.drive.preflight import address_of
from harness.drive.survey import put, survey
from harness.suite.target import suite_at
from tests.conftest import Standin

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("dialect", ["sigma", "onyx"])
@pytest.mark.parametrize("cut_after_s", [0.001, 0.03])
async def test_a_question_that_is_cut_short_leaves_no_conversation_behind(
    dialect: str, cut_after_s: float, request: pytest.FixtureRequest
) -> None:
    target: Standin = request.getfixturevalue(dialect)
    before = target.get("/chat/get-user-chat-sessions")["sessions"]
    suite = suite_at(target.url)
    async with address_of(suite, None) as given:
        seen = await survey(suite, given)
        with anyio.move_on_after(cut_after_s) as cut:
            await put(seen, "What is the capital of France?", perf_counter_ns)
    assert cut.cancelled_caught
    assert target.get("/chat/get-user-chat-sessions")["sessions"] == before
