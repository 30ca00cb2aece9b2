"""What is noticed before anything is sent; a function answers in place of a network."""

from pathlib import Path

import httpx
import pytest

from harness.drive.preflight import look
from harness.errors import TargetError, UsageError
from harness.plan.trials import make_plan
from harness.sigma.catalogue import look_up
from harness.sigma.client import Address, Client
from harness.sigma.names import resolve
from harness.sigma.probe import dialect_of, identified, located
from harness.suite.read import parse_suite
from harness.suite.settings import LlmOverride, SearchFilters, Settings
from tests.conftest import Serving, Standin
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


async def probe(client: Client, *, allow_anonymous: bool = False) -> Address:
    found = await located(client)
    await identified(client, allow_anonymous=allow_anonymous)
    return found


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
        "set SIGMA_API_KEY, or target.api_key of the suite"
    )
    assert "an API key is wanted, and there is none" in await refusal(server)


async def test_the_stand_in_refuses_a_wrong_key_as_a_sigma_does(serving: Serving) -> None:
    with serving(HARNESS_STANDIN_KEY="right") as sigma:
        for key, accepted in (("right", True), ("wrong", False)):
            async with Client(Address(sigma.url, api_key=key), httpx.AsyncHTTPTransport()) as client:
                if accepted:
                    await probe(client)
                else:
                    with pytest.raises(TargetError, match="the API key was refused"):
                        await probe(client)


async def test_a_web_page_is_no_sigma() -> None:
    assert "answered a web page" in await refusal(pages(rest=PAGE))


async def where(answer: Answer, base_url: str) -> str:
    async with Client(Address(base_url), Told(answer)) as client:
        return (await located(client)).base_url


async def test_a_base_url_may_lack_api_or_have_it_in_vain() -> None:
    behind = pages(api__health=HEALTHY, rest=PAGE)
    assert await where(behind, "http://sigma") == "http://sigma/api"
    assert await where(behind, "http://sigma/api") == "http://sigma/api"
    bare = pages(health=HEALTHY)
    assert await where(bare, "http://sigma") == "http://sigma"
    assert await where(bare, "http://sigma/api") == "http://sigma"


async def test_a_key_that_is_nobodys_is_an_error_unless_that_is_allowed() -> None:
    anybody = pages(health=HEALTHY, me=httpx.Response(200, json={"is_anonymous_user": True}))
    assert "the API key is nobody's" in await refusal(anybody, "wrong")
    assert "there is no API key" in await refusal(anybody)
    async with Client(Address("http://sigma"), Told(anybody)) as client:
        await probe(client, allow_anonymous=True)


ECHO = "'input': {'internal_search_filters': {'source_type': ['?']}}"


@pytest.mark.parametrize(
    ("refused", "dialect"),
    [
        (
            {"status_code": 422, "message": f"1 validation error: {{'loc': ('body', 'message'), {ECHO}}}"},
            "sigma",
        ),
        (
            {"status_code": 422, "message": "'loc': ('body', 'internal_search_filters', 'source_type', 0)"},
            "onyx",
        ),
        ({"detail": [{"loc": ["body", "message"], "msg": "Field required"}]}, "sigma"),
        ({"detail": [{"loc": ["body", "internal_search_filters", "source_type", 0]}]}, "onyx"),
    ],
)
async def test_the_dialect_is_told_by_where_a_validation_error_is(refused: object, dialect: str) -> None:
    server = pages(rest=httpx.Response(422, json=refused))
    async with Client(Address("http://sigma", "auto"), Told(server)) as client:
        assert await dialect_of(client) == dialect


@pytest.mark.parametrize("answer", [PAGE, NOT_FOUND, httpx.Response(422, text="<html>")])
async def test_a_dialect_that_cannot_be_told_is_not_guessed(answer: httpx.Response) -> None:
    async with Client(Address("http://sigma", "auto"), Told(pages(rest=answer))) as client:
        assert await dialect_of(client) is None


@pytest.mark.parametrize("dialect", ["sigma", "onyx"])
async def test_the_stand_in_is_asked_for_its_dialect_and_runs_no_model_for_it(
    dialect: str, request: pytest.FixtureRequest
) -> None:
    target: Standin = request.getfixturevalue(dialect)
    before = target.get("/chat/get-user-chat-sessions")["sessions"]
    async with Client(Address(target.url, "auto"), httpx.AsyncHTTPTransport()) as client:
        assert await dialect_of(client) == dialect
    assert target.get("/chat/get-user-chat-sessions")["sessions"] == before


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
    assert {"/tool", "/persona", "/llm/provider"} <= set(catalogue.refused)
    assert [warning.partition(" could")[0] for warning in catalogue.warnings] == [
        "tools",
        "personas",
        "models",
    ]
    assert resolve(asked, catalogue) == (asked, [])


@pytest.mark.parametrize("status", [403, 404, 405, 501, 500])
async def test_a_list_that_is_refused_is_a_warning_and_only_where_it_is_needed(status: int) -> None:
    refused = pages(rest=httpx.Response(status, json={"detail": "no"}))
    asked = [
        Settings(forced_tool_id=1, project_id=3),
        Settings(search_filters=SearchFilters(tags={"a": "b"})),
    ]
    async with Client(Address("http://sigma"), Told(refused)) as client:
        catalogue = await look_up(client, asked)
    assert [warning.partition(" could not be listed")[0] for warning in catalogue.warnings] == [
        "tools",
        "projects",
        "tags",
    ]
    assert f"answered {status}" in catalogue.warnings[0]


async def test_files_are_listed_where_the_guide_has_them_and_else_where_real_servers_do() -> None:
    row = {"id": "u", "file_id": "f", "name": "a.txt", "chat_file_type": "plain_text", "status": "COMPLETED"}
    own = httpx.Response(200, json=[row])
    asked = [Settings(files=("a.txt",))]
    for server in (pages(user__projects__file=own), pages(user__files__recent=own)):
        async with Client(Address("http://sigma"), Told(server)) as client:
            catalogue = await look_up(client, asked)
        assert [one.name for one in catalogue.files or ()] == ["a.txt"]


@pytest.mark.parametrize("key", ["s\u00e9cret", "two\nlines"])
def test_a_key_that_no_header_can_hold_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match="the API key has characters that no header can hold"):
        Client(Address("http://sigma", api_key=key), Told(pages()))


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("http://me:hunter2@sigma:8080", "--target: an address holds no user or password"),
        ("sigma:8080", "the address of a server is wanted: write http:// or https:// before sigma:8080; or"),
        ("sigma.example.com/api", "write http:// or https:// before sigma.example.com/api; or standin"),
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
