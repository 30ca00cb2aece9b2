"""What is noticed before anything is sent; a function answers in place of a network."""

from pathlib import Path

import httpx
import pytest

from harness.drive.preflight import look
from harness.errors import TargetError, UsageError
from harness.plan import make_plan
from harness.sigma.catalogue import look_up, probe, resolve
from harness.sigma.client import Address, Client
from harness.suite.model import LlmOverride, Settings
from harness.suite.read import parse_suite
from tests.conftest import Serving
from tests.drive.test_odd_servers import Answer, Told

pytestmark = pytest.mark.anyio

HEALTHY = httpx.Response(200, json={"success": True, "message": "ok", "data": None})
STRANGER = httpx.Response(403, json={"detail": "Access denied. User is not authenticated."})
FORBIDDEN = httpx.Response(403, json={"error_code": "INSUFFICIENT_PERMISSIONS", "detail": "not for you"})
PAGE = httpx.Response(200, html="<!doctype html><title>Onyx</title>")
NOT_FOUND = httpx.Response(404, json={"detail": "Not Found"})


def pages(**of: httpx.Response) -> Answer:
    """A server with these pages; slashes are written as two underscores."""
    return lambda request: of.get(request.url.path.strip("/").replace("/", "__"), of.get("rest", NOT_FOUND))


async def refusal(answer: Answer, key: str | None = None) -> str:
    async with Client(Address("http://sigma", "onyx", key), Told(answer)) as client:
        with pytest.raises(TargetError) as error:
            await probe(client)
    return str(error.value)


@pytest.mark.parametrize("me", [httpx.Response(200, json={"email": "a@b.c"}), NOT_FOUND, FORBIDDEN])
async def test_a_sigma_that_is_well_passes_even_where_a_key_may_not_ask_who_it_is(me: httpx.Response) -> None:
    async with Client(Address("http://sigma"), Told(pages(health=HEALTHY, me=me))) as client:
        await probe(client)


async def test_a_key_that_is_refused_is_said_before_anything_is_sent() -> None:
    server = pages(health=HEALTHY, me=STRANGER)
    assert await refusal(server, "wrong") == (
        "http://sigma: the API key was refused (GET /me answered 403); "
        "is target.api_key right, or with --target SIGMA_API_KEY?"
    )
    assert "an API key is wanted, and there is none" in await refusal(server)


async def test_the_stand_in_refuses_a_wrong_key_as_a_sigma_does(serving: Serving) -> None:
    with serving("--api-key", "right") as sigma:
        for key, accepted in (("right", True), ("wrong", False)):
            async with Client(Address(sigma.url, api_key=key), httpx.AsyncHTTPTransport()) as client:
                if accepted:
                    await probe(client)
                else:
                    with pytest.raises(TargetError, match="the API key was refused"):
                        await probe(client)


async def test_a_web_page_is_no_sigma() -> None:
    assert "answered a web page" in await refusal(pages(rest=PAGE))


async def test_a_front_door_that_shows_its_page_for_every_path_but_api_is_recognised() -> None:
    assert "set target.base_url to http://sigma/api" in await refusal(pages(api__health=HEALTHY, rest=PAGE))


async def test_a_list_that_is_a_web_page_is_a_list_that_is_not_to_be_had() -> None:
    async with Client(Address("http://sigma"), Told(pages(rest=PAGE))) as client:
        catalogue = await look_up(client, [Settings(forced_tool_id=1)])
    assert catalogue.tools is None


@pytest.mark.parametrize(
    "odd", ["{", "null", "7", '"no"', "[1]", "[{}]", '{"providers": 1}', '{"detail": "?"}']
)
async def test_a_list_that_cannot_be_read_is_a_list_that_is_not_to_be_had(odd: str) -> None:
    asked = Settings(forced_tool_id=1, persona_id=1, llm_override=LlmOverride(model_version="m"))
    server = pages(rest=httpx.Response(200, text=odd))
    async with Client(Address("http://sigma"), Told(server)) as client:
        catalogue = await look_up(client, [asked])
    assert (catalogue.tools, catalogue.personas, catalogue.providers) == (None, None, None)
    assert catalogue.refused is not None
    assert set(catalogue.refused) == {"/tool", "/persona", "/llm/provider"}
    assert resolve(asked, catalogue) == (asked, [])


@pytest.mark.parametrize("key", ["s\u00e9cret", "two\nlines"])
def test_a_key_that_no_header_can_hold_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match="the API key has characters that no header can hold"):
        Client(Address("http://sigma", api_key=key), Told(pages()))


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("http://me:hunter2@sigma:8080", "--target: an address holds no user or password"),
        ("sigma:8080", "--target sigma:8080: the address of a server is wanted"),
        ("http://sigma/api?key=1", "an address ends before ?"),
        ("stand-in", "or standin"),
    ],
)
def test_a_target_on_the_command_line_keeps_the_rules_of_one_in_a_suite(target: str, said: str) -> None:
    plan = make_plan(parse_suite("{target: standin, prompts: [{message: hi}]}", Path("s.yaml"), {}))
    with pytest.raises(UsageError) as error:
        look(plan, target)
    assert said in str(error.value)
    assert "hunter2" not in str(error.value)
