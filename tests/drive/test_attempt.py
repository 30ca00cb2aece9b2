"""One trial against a real stand-in: what is sent, what is kept, and how it can break."""

import socket
import time
from pathlib import Path

import anyio
import httpx
import pytest

from harness.drive.attempt import Running, attempt
from harness.drive.transport import transports
from harness.plan.trials import Trial, make_plan
from harness.result import Fault, Result, Skip, Step
from harness.sigma.client import Address, Client
from harness.sigma.transcript import Outcome
from harness.suite.read import parse_suite
from tests.conftest import Standin, serving

pytestmark = pytest.mark.anyio


def trial(model: str = "sim:tokens=5", extra: str = "", turns: tuple[str, ...] = ("hello",)) -> Trial:
    """A trial under a scripted model; *extra* is more YAML of the defaults."""
    said = "".join(f"      - message: {turn}\n" for turn in turns)
    text = f"""
suite: s
target: standin
defaults:
  llm_override: {{model_provider: Simulated, model_version: "{model}"}}
{extra}
prompts:
  - id: p
    turns:
{said}
"""
    (only,) = make_plan(parse_suite(text, Path("s.yaml"), {})).trials
    return only


async def tried(target: Standin | str, one: Trial, dialect: str = "sigma") -> Result:
    url = target if isinstance(target, str) else target.url
    async with Client(Address(url, dialect), transports(url)()) as client:
        return await attempt(Running(one), client, time.perf_counter_ns)


async def test_a_reply_is_kept_with_a_stamp_for_every_packet_in_order(sigma: Standin) -> None:
    one = await tried(sigma, trial("sim:ttft=20ms,gap=5ms,tokens=20"))
    (exchange,) = one.exchanges
    assert exchange.failure is None
    assert exchange.transcript is not None
    assert exchange.transcript.outcome is Outcome.SUCCESS
    assert len(exchange.transcript.answer.split()) == 20
    assert exchange.read_ends[-1] == len(exchange.body)
    assert list(exchange.arrived_ns) == sorted(exchange.arrived_ns)
    assert all(arrived <= seen for arrived, seen in zip(exchange.arrived_ns, exchange.seen_ns, strict=True))
    assert exchange.sent_ns is not None
    assert exchange.headers_ns is not None
    assert one.began_ns is not None
    assert (
        one.began_ns
        <= exchange.began_ns
        <= exchange.sent_ns
        <= exchange.headers_ns
        <= exchange.arrived_ns[-1]
    )


async def test_what_we_saw_comes_after_what_the_server_says_it_sent_packet_by_packet(sigma: Standin) -> None:
    one = await tried(sigma, trial("sim:ttft=30ms,gap=10ms,tokens=15"))
    (exchange,) = one.exchanges
    assert exchange.transcript is not None
    (message_id,) = exchange.transcript.assistant_message_ids
    async with httpx.AsyncClient() as http:
        ledger = (await http.get(f"{sigma.url}/_standin/ledger/{message_id}")).json()
    sent = [
        at for at, kind in zip(ledger["sent_ns"], ledger["kinds"], strict=True) if kind == "message_delta"
    ]
    seen = [exchange.arrived_at(end) for end in exchange.transcript.marks.answer_ends]
    assert len(seen) == len(sent) == 15
    # The server stamps before it writes, the kernel when it has received: on one clock, in this order.
    late = [ours - theirs for ours, theirs in zip(seen, sent, strict=True) if ours is not None]
    assert len(late) == 15
    assert min(late) > 0
    assert sorted(late)[7] < 5_000_000


async def test_turns_go_one_after_the_other_in_one_session(sigma: Standin) -> None:
    one = await tried(sigma, trial(turns=("first", "second", "third")))
    assert [exchange.turn_id for exchange in one.exchanges] == ["1", "2", "3"]
    assert len({exchange.session_id for exchange in one.exchanges}) == 1
    assert "chat_session_id" not in one.exchanges[0].request
    assert one.exchanges[1].request["chat_session_id"] == one.exchanges[0].session_id
    ended = [exchange.ended_ns for exchange in one.exchanges[:-1]]
    began = [exchange.began_ns for exchange in one.exchanges[1:]]
    assert all(end is not None and end <= start for end, start in zip(ended, began, strict=True))


async def test_nothing_that_was_not_asked_is_in_the_request(sigma: Standin) -> None:
    one = await tried(sigma, trial())
    assert set(one.exchanges[0].request) == {"message", "llm_override", "stream"}
    assert None not in one.exchanges[0].request.values()


async def test_the_onyx_dialect_makes_its_session_before_the_turn_and_outside_its_time(onyx: Standin) -> None:
    filters = "  search_filters: {document_set: [Policies], tags: {region: EU}}"
    one = await tried(
        onyx, trial("swift", filters, turns=("How long is the refund window?", "And now?")), "onyx"
    )
    first, second = one.exchanges
    assert first.failure is None
    assert first.session_ns is not None
    assert first.sent_ns is not None
    assert first.session_ns <= first.sent_ns
    assert second.session_ns is None
    assert first.request["chat_session_id"] == second.request["chat_session_id"]
    assert first.request["internal_search_filters"] == {
        "document_set": ["Policies"],
        "tags": [{"tag_key": "region", "tag_value": "EU"}],
    }


async def test_a_reply_that_is_not_streamed_is_read_too(sigma: Standin) -> None:
    one = await tried(sigma, trial("sim:tokens=7", "  stream: false"))
    (exchange,) = one.exchanges
    assert exchange.failure is None
    assert exchange.transcript is not None
    assert len(exchange.transcript.answer.split()) == 7
    assert exchange.request["stream"] is False


@pytest.mark.parametrize(
    ("model", "fault", "words"),
    [
        ("sim:tokens=30,fault=reset@10", Fault.DISCONNECTED, 10),
        ("sim:tokens=30,fault=drop@10", Fault.DISCONNECTED, 10),
        ("sim:tokens=30,fault=cut@10", Fault.TRUNCATED, 10),
        ("sim:tokens=30,fault=error@10:RATE_LIMIT", Fault.ERROR_LINE, 10),
        ("sim:tokens=30,fault=bare@10", Fault.ERROR_LINE, 10),
    ],
)
async def test_what_came_before_a_break_is_kept(sigma: Standin, model: str, fault: Fault, words: int) -> None:
    one = await tried(sigma, trial(model))
    (exchange,) = one.exchanges
    assert exchange.failure is not None
    assert exchange.failure.fault is fault
    assert exchange.failure.step is Step.BODY
    assert exchange.transcript is not None
    assert len(exchange.transcript.answer.split()) == words
    assert len(exchange.transcript.marks.answer_ends) == words


async def test_an_error_line_gives_its_code(sigma: Standin) -> None:
    one = await tried(sigma, trial("sim:tokens=3,fault=error@1:CONTEXT_TOO_LONG"))
    assert one.failure is not None
    assert one.failure.code == "CONTEXT_TOO_LONG"


async def test_an_http_error_gives_its_status_and_what_the_server_said(sigma: Standin) -> None:
    one = await tried(sigma, trial("sim:fault=http:403"))
    assert one.failure is not None
    assert (one.failure.fault, one.failure.http_status) == (Fault.HTTP, 403)
    assert one.failure.detail
    assert len(one.exchanges) == 1


async def test_an_overloaded_server_is_tried_again_and_both_tries_are_kept(sigma: Standin) -> None:
    one = await tried(sigma, trial("sim:tokens=4,fault=flaky:2"))
    assert [exchange.http_status for exchange in one.exchanges] == [503, 200]
    assert [exchange.attempt for exchange in one.exchanges] == [1, 2]
    assert one.failure is None
    assert [exchange.attempt for exchange in one.turns] == [2]


async def test_no_more_tries_are_made_than_the_suite_allows(sigma: Standin) -> None:
    one = await tried(sigma, trial("sim:fault=http:503", "  retry: {attempts: 3, for: [503]}"))
    assert len(one.exchanges) == 3
    once = await tried(sigma, trial("sim:fault=http:503", "  retry: {attempts: 3, for: [connect]}"))
    assert len(once.exchanges) == 1


async def test_a_reply_that_broke_is_not_asked_for_again_unless_the_suite_says_so(sigma: Standin) -> None:
    assert len((await tried(sigma, trial("sim:tokens=5,fault=reset"))).exchanges) == 1
    again = await tried(sigma, trial("sim:tokens=5,fault=reset", "  retry: {attempts: 2, for: [reset]}"))
    assert len(again.exchanges) == 2
    assert len({exchange.session_id for exchange in again.exchanges}) == 2


async def test_a_reply_that_broke_midway_is_never_asked_for_again(sigma: Standin) -> None:
    retry = "  retry: {attempts: 3, for: [reset, timeout, 500]}"
    assert len((await tried(sigma, trial("sim:tokens=5,fault=reset@2", retry))).exchanges) == 1


async def test_a_broken_turn_ends_the_conversation(sigma: Standin) -> None:
    one = await tried(sigma, trial("sim:tokens=5,fault=error@2", turns=("first", "second")))
    assert [exchange.turn_id for exchange in one.exchanges] == ["1"]


async def test_a_server_that_is_not_there_is_a_fault_of_connecting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    one = await tried(f"http://127.0.0.1:{port}", trial())
    assert [exchange.failure and exchange.failure.fault for exchange in one.exchanges] == [Fault.CONNECT] * 2
    assert one.exchanges[0].transcript is None
    assert one.exchanges[0].sent_ns is None


async def test_the_time_limit_cuts_a_stalled_reply_and_has_the_server_stop(sigma: Standin) -> None:
    one = await tried(sigma, trial("sim:tokens=30,fault=stall@5:20s", "  time_limit: 300ms"))
    (exchange,) = one.exchanges
    assert exchange.failure is not None
    assert (exchange.failure.fault, exchange.failure.step) == (Fault.TIMED_OUT, Step.BODY)
    assert exchange.transcript is not None
    assert len(exchange.transcript.answer.split()) == 5
    async with httpx.AsyncClient() as http:
        detail = (await http.get(f"{sigma.url}/chat/get-chat-session/{exchange.session_id}")).json()
    assert "stopped by the user" in detail["messages"][-1]["message"]


async def test_a_trial_that_is_cut_keeps_what_it_has_and_says_why(sigma: Standin) -> None:
    running = Running(trial("sim:ttft=10ms,gap=20ms,tokens=500"))
    results: list[Result] = []

    async def run(client: Client) -> None:
        results.append(await attempt(running, client, time.perf_counter_ns))

    async with (
        Client(Address(sigma.url), transports(sigma.url)()) as client,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(run, client)
        async with httpx.AsyncClient() as http:
            while (await http.get(f"{sigma.url}/_standin/stats")).json()["in_flight"] == 0:
                await anyio.lowlevel.checkpoint()
        running.cut(Skip.INTERRUPTED)
    (one,) = results
    assert one.skip is Skip.INTERRUPTED
    assert one.exchanges[0].failure is None
    assert one.exchanges[0].ended_ns is not None


TREE = """
suite: s
target: standin
defaults: {{llm_override: {{model_provider: Simulated, model_version: "sim:tokens=3"}}}}
prompts:
  - id: p
    turns:
      - {{id: ask, message: one}}
      - {{id: more, message: two{model}}}
      - {{id: deeper, message: three}}
      - {{id: reroll, regenerate: ask}}
      - {{id: other, after: reroll, message: four}}
"""


def tree(model: str = "") -> Trial:
    chosen = f', llm_override: {{model_provider: Simulated, model_version: "{model}"}}' if model else ""
    (only,) = make_plan(parse_suite(TREE.format(model=chosen), Path("s.yaml"), {})).trials
    return only


async def messages(target: Standin, session_id: str | None) -> dict[int, dict[str, object]]:
    async with httpx.AsyncClient() as http:
        detail = (await http.get(f"{target.url}/chat/get-chat-session/{session_id}")).json()
    return {message["message_id"]: message for message in detail["messages"]}


@pytest.mark.parametrize("dialect", ["sigma", "onyx"])
async def test_a_conversation_branches_below_the_turn_that_is_named(
    dialect: str, request: pytest.FixtureRequest
) -> None:
    target: Standin = request.getfixturevalue(dialect)
    one = await tried(target, tree(), dialect)
    turns = {exchange.turn_id: exchange for exchange in one.exchanges}
    assert one.failure is None
    assert list(turns) == ["ask", "more", "deeper", "reroll", "other"]
    ids = {name: turns[name].transcript for name in turns}
    known = await messages(target, turns["ask"].session_id)

    def question(name: str) -> int:
        said = ids[name]
        assert said is not None
        assert said.user_message_id is not None
        return said.user_message_id

    def answer(name: str) -> int:
        said = ids[name]
        assert said is not None
        return said.assistant_message_ids[0]

    assert question("reroll") == question("ask")
    assert turns["reroll"].request["parent_message_id"] == question("ask")
    assert turns["other"].request["parent_message_id"] == answer("reroll")
    assert known[question("other")]["parent_message"] == answer("reroll")
    assert known[question("more")]["parent_message"] == answer("ask")
    assert ["parent_message_id" in turns[name].request for name in turns] == [False, False, False, True, True]


async def test_a_broken_turn_ends_its_branch_and_the_others_go_on(sigma: Standin) -> None:
    one = await tried(sigma, tree("sim:fault=error"))
    assert [exchange.turn_id for exchange in one.exchanges] == ["ask", "more", "reroll", "other"]
    assert [exchange.failure is None for exchange in one.exchanges] == [True, False, True, True]
    assert one.failure is not None


async def test_a_turn_that_hangs_below_an_answer_without_an_id_is_not_sent(sigma: Standin) -> None:
    text = TREE.format(model="").replace("defaults: {", "defaults: {stream: false, ")
    (only,) = make_plan(parse_suite(text, Path("s.yaml"), {})).trials
    one = await tried(sigma, only)
    reroll = next(exchange for exchange in one.exchanges if exchange.turn_id == "reroll")
    assert reroll.sent_ns is None
    assert reroll.failure is not None
    assert "names no id of its question" in reroll.failure.detail


async def test_a_conversation_that_exists_is_continued_below_the_message_that_is_named(
    sigma: Standin,
) -> None:
    before = sigma.ask("hello", "sim:tokens=2")
    where = f"  chat_session_id: {before.session_id}\n  parent_message_id: {before.assistant_id}"
    sigma.ask("and on", "sim:tokens=2", chat_session_id=before.session_id)
    one = await tried(sigma, trial("sim:tokens=2", where, turns=("first", "second")))
    assert one.failure is None
    assert one.exchanges[0].request["parent_message_id"] == before.assistant_id
    assert "chat_session_info" not in one.exchanges[0].request
    assert "parent_message_id" not in one.exchanges[1].request
    known = await messages(sigma, before.session_id)
    first = one.exchanges[0].transcript
    assert first is not None
    assert first.user_message_id is not None
    assert known[first.user_message_id]["parent_message"] == before.assistant_id


async def cut_when(target: Standin, model: str, dialect: str = "sigma") -> Result:
    """A trial that is cut as soon as the server has its request."""
    running, results = Running(trial(model)), []

    async def run(client: Client) -> None:
        results.append(await attempt(running, client, time.perf_counter_ns))

    async with (
        Client(Address(target.url, dialect), transports(target.url)()) as client,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(run, client)
        async with httpx.AsyncClient() as http:
            while (await http.get(f"{target.url}/_standin/stats")).json()["in_flight"] == 0:
                await anyio.lowlevel.checkpoint()
        running.cut(Skip.INTERRUPTED)
    (one,) = results
    assert isinstance(one, Result)
    return one


async def test_a_reply_cut_before_its_session_is_known_is_stopped_once_it_is() -> None:
    with serving() as target:  # its head comes 300 ms after the request, and its text never
        one = await cut_when(target, "sim:pre=300ms,ttft=60s,tokens=5")
        (exchange,) = one.exchanges
        assert one.skip is Skip.INTERRUPTED
        assert exchange.session_id is not None
        assert exchange.stopped is True
        known = await messages(target, exchange.session_id)
    assert "stopped by the user" in str(known[max(known)]["message"])


async def test_a_reply_whose_session_never_comes_cannot_be_stopped_and_says_so() -> None:
    with serving() as target:
        one = await cut_when(target, "sim:pre=60s,tokens=5")
    (exchange,) = one.exchanges
    assert exchange.session_id is None
    assert exchange.stopped is False


async def test_a_whole_reply_needs_no_stop(sigma: Standin) -> None:
    assert (await tried(sigma, trial())).exchanges[0].stopped is None


async def test_the_values_of_mcp_headers_are_sent_and_not_kept() -> None:
    with serving() as target:
        one = await tried(target, trial(extra="  mcp_headers: {X-Token: s3cret-value}"))
        received = target.get("/_standin/requests")[-1]["body"]
    assert one.exchanges[0].request["mcp_headers"] == {"X-Token": "***"}
    assert "s3cret-value" in received


async def test_models_side_by_side_are_one_exchange_with_a_reading_each(onyx: Standin) -> None:
    models = "".join(
        f'    - {{model_provider: Simulated, model_version: "sim:tokens={count}"}}\n' for count in (2, 3)
    )
    text = f"""
suite: s
target: {{standin: {{dialect: onyx}}}}
prompts:
  - id: p
    message: hello
    llm_overrides:
{models}
"""
    (only,) = make_plan(parse_suite(text, Path("s.yaml"), {})).trials
    one = await tried(onyx, only, "onyx")
    (exchange,) = one.exchanges
    assert exchange.failure is None
    assert exchange.transcript is not None
    assert exchange.transcript.models is not None
    assert [len(model.answer.split()) for model in exchange.transcript.models] == [2, 3]
