"""Sessions looked at and deleted after the trials, against a real stand-in."""

import socket
from uuid import uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.drive.sessions import Errand, Ids, delete_sessions, look_at
from harness.drive.transport import transports
from harness.sigma.client import Address, Client
from harness.sigma.session import SessionDetail
from tests.conftest import Standin
from tests.drive.test_odd_servers import Told

pytestmark = pytest.mark.anyio


def client_of(url: str) -> Client:
    return Client(Address(url), transports(url)())


async def test_each_session_is_told_with_the_model_that_really_answered(sigma: Standin) -> None:
    replies = [sigma.ask("hello", model) for model in ("steady", "sim:tokens=1,ignore=override")]
    told: dict[str, SessionDetail] = {}
    async with client_of(sigma.url) as client:
        errand = Errand(client)
        await look_at(
            errand, [each.session_id for each in replies], lambda d: told.update({d.chat_session_id: d})
        )
    assert (errand.done, errand.failed) == (2, {})
    seen = [told[each.session_id].message(each.assistant_id) for each in replies]
    names = [message.request_params.model_name for message in seen if message and message.request_params]
    assert names == ["steady", "swift"]
    question = told[replies[0].session_id].message(replies[0].user_id)
    assert question is not None
    assert question.message_type == "user"


async def test_a_session_that_is_gone_is_counted_and_the_others_are_told(sigma: Standin) -> None:
    known = sigma.ask("hello", "sim:tokens=1").session_id
    told: list[str] = []
    async with client_of(sigma.url) as client:
        errand = Errand(client)
        await look_at(
            errand, ["5b0f5e0e-2c4e-4a5e-9c1d-0d8a4f6a1b11", known], lambda d: told.append(d.chat_session_id)
        )
    assert told == [known]
    assert errand.why() == "GET /chat/get-chat-session answered 404 (1 times)"


async def test_only_the_sessions_that_are_named_are_deleted(sigma: Standin) -> None:
    ours, other = (sigma.ask("hello", "sim:tokens=1").session_id for _ in range(2))
    async with client_of(sigma.url) as client:
        errand = Errand(client)
        await delete_sessions(errand, [ours])
    listed = {row["id"] for row in sigma.get("/chat/get-user-chat-sessions?page_size=100")["sessions"]}
    assert errand.done == 1
    assert other in listed
    assert ours not in listed


async def test_an_errand_that_is_abandoned_asks_nothing_more(sigma: Standin) -> None:
    async with client_of(sigma.url) as client:
        errand = Errand(client, abandoned=lambda: True)
        await delete_sessions(errand, [sigma.ask("hello", "sim:tokens=1").session_id])
    assert (errand.done, errand.failed) == (0, {})


async def test_a_server_that_is_gone_leaves_a_reason_and_no_exception() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    told: list[SessionDetail] = []
    async with client_of(f"http://127.0.0.1:{port}") as client:
        errand = Errand(client)
        await look_at(errand, ["a", "b"], told.append)
    assert told == []
    assert sum(errand.failed.values()) == 2


@pytest.mark.parametrize("content", [b"<html>busy</html>", b"[]", b'{"messages": []}', b"\xff"])
async def test_what_is_no_session_is_counted_as_such(content: bytes) -> None:
    told: list[SessionDetail] = []
    async with Client(
        Address("http://sigma"), Told(lambda _: httpx.Response(200, content=content))
    ) as client:
        errand = Errand(client)
        await look_at(errand, ["a"], told.append)
    assert told == []
    assert errand.why() == "GET /chat/get-chat-session answered with something that is no session (1 times)"


@pytest.mark.parametrize(
    ("listed", "known"), [(httpx.Response(200, json=[]), ()), (httpx.Response(404), None)]
)
async def test_that_a_server_does_not_list_its_projects_is_not_that_it_has_none(
    listed: httpx.Response, known: tuple[int, ...] | None
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        asked_for_projects = request.url.path.endswith("/user/projects")
        return listed if asked_for_projects else httpx.Response(200, json={"chat_session_id": "a"})

    told: list[SessionDetail] = []
    async with Client(Address("http://sigma"), Told(answer)) as client:
        await look_at(Errand(client), ["a"], told.append)
    assert [each.projects for each in told] == [known]


@given(st.lists(st.one_of(st.uuids().map(str), st.uuids().map(lambda each: each.hex), st.text(max_size=40))))
def test_ids_are_each_kept_once_whatever_they_look_like(told: list[str]) -> None:
    kept = list(Ids.of([*told, *told]))
    assert sorted(kept) == sorted(set(told))


def test_what_is_kept_of_many_ids_is_small() -> None:
    ids = Ids.of(str(uuid4()) for _ in range(10_000))
    assert len(ids.packed) == 160_000
    assert ids.others == {}
