"""Every promise of the guide, by name, against a stand-in that keeps them (dialect `sigma`).

Each docstring is the sentence of the guide that makes the promise. Everything is asked as the product asks:
a prompt in YAML, planned, its names looked up where it has any, driven by `attempt`; and judged by three
witnesses: the body that the server says it received, the reply as we read it, and the session as it is kept.
"""

import json
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from textwrap import dedent, indent
from time import perf_counter_ns
from typing import Any

import httpx
import pytest

from harness.drive.attach import attached
from harness.drive.attempt import Running, attempt
from harness.drive.preflight import resolved
from harness.drive.transport import transports
from harness.plan.trials import make_plan
from harness.result import Exchange, Fault
from harness.sigma.client import Address, Client
from harness.sigma.frames import Frames
from harness.sigma.transcript import Outcome, Transcript
from harness.suite.read import parse_suite
from tests.conftest import Standin

pytestmark = pytest.mark.anyio

REFUND = "What is the refund window?"
BOTH = "Convert 5 km to miles, and what is the API rate limit?"
DEFAULT = ("swift", 0.0)
SUITE = """
suite: guide
target: standin
budget: {deep_research: 5}
prompts:
  -
"""
TOOLS = {"internal_search": 1, "web_search": 3, "open_url": 7, "unit_convert": 12, "Calendar": 14}
CALLED = {**{name: name for name in TOOLS}, "Calendar": "days_between"}


@dataclass(frozen=True, slots=True)
class Said:
    """One turn: the body as the server received it, the exchange, and the session when all was said."""

    received: dict[str, Any]
    exchange: Exchange
    session: dict[str, Any]

    @property
    def reply(self) -> Transcript:
        """The reply of a turn that must have gone well."""
        assert self.exchange.failure is None, self.exchange.failure
        assert self.exchange.transcript is not None
        return self.exchange.transcript

    @property
    def called(self) -> list[str | None]:
        return [call.name for call in self.reply.tool_calls]

    @property
    def question(self) -> dict[str, Any]:
        return self._message(self.answer["parent_message"])

    @property
    def answer(self) -> dict[str, Any]:
        return self._message(self.reply.assistant_message_ids[0])

    @property
    def model(self) -> tuple[str, float]:
        """The model that answered and its temperature, as the server keeps them."""
        params = self.answer["request_params"]
        return params["model_name"], params["sent_kwargs"]["temperature"]

    def _message(self, message_id: int) -> dict[str, Any]:
        (only,) = (one for one in self.session["messages"] if one["message_id"] == message_id)
        return dict(only)


async def _prompted(sigma: Standin, prompt: str, *, by_name: bool) -> list[Said]:
    plan = make_plan(parse_suite(SUITE + indent(dedent(prompt), "    "), Path("guide.yaml"), {}))
    address = Address(sigma.url, "sigma")
    if by_name:
        plan, *_ = await resolved(plan, address)
    async with (
        attached(plan, address, say=pytest.fail) as plan,
        Client(address, transports(sigma.url)()) as client,
    ):
        one = await attempt(Running(plan.trials[0]), client, perf_counter_ns)
        received = await _received(client, len(one.exchanges))
        session: dict[str, Any] = {}
        if (session_id := one.exchanges[-1].session_id) is not None:
            session = (await client.session_detail(session_id)).json()
    return [Said(body, exchange, session) for body, exchange in zip(received, one.exchanges, strict=True)]


async def _received(client: Client, count: int) -> list[dict[str, Any]]:
    known = (await client.get("/_standin/requests")).json()
    return [json.loads(entry["body"]) for entry in known[-count:]]


async def conversation(sigma: Standin, prompt: str) -> list[Said]:
    """What a prompt with turns came to, turn by turn. Ids are written as ids."""
    return await _prompted(sigma, prompt, by_name=False)


async def said(sigma: Standin, prompt: str) -> Said:
    """What a prompt of one message came to. Ids are written as ids."""
    (only,) = await _prompted(sigma, prompt, by_name=False)
    return only


async def looked_up(sigma: Standin, prompt: str) -> Said:
    """What a prompt of one message came to whose names were looked up before."""
    (only,) = await _prompted(sigma, prompt, by_name=True)
    return only


# message


async def test_the_message_reaches_the_agent_as_it_was_written(sigma: Standin) -> None:
    """The user message to send to the Agent."""
    one = await said(sigma, 'message: "Wie groß ist 3 × 4? \\U0001F680"')
    assert one.received["message"] == one.question["message"] == "Wie groß ist 3 × 4? \U0001f680"
    assert one.question["message_type"] == "user"
    assert "12" in one.reply.answer


# llm_override


async def test_an_override_is_for_one_request(sigma: Standin) -> None:
    """Pass an object to override the default LLM settings for this request."""
    first, second = await conversation(
        sigma,
        """
        turns:
          - message: hello
            llm_override: {model_provider: Harbor, model_version: lighthouse, temperature: 0.7}
          - message: hello again
        """,
    )
    assert first.model == ("lighthouse", 0.7)
    assert "llm_override" not in second.received
    assert second.model == DEFAULT


async def test_without_an_override_the_default_model_answers(sigma: Standin) -> None:
    """If None, you will get the default Sigma behavior."""
    one = await said(sigma, "{message: hello, llm_override: null}")
    assert "llm_override" not in one.received
    assert one.model == DEFAULT


FIELDS = ("model_provider: Simulated", "model_version: steady", "temperature: 0.4")


@pytest.mark.parametrize("fields", [kept for count in (1, 2, 3) for kept in combinations(FIELDS, count)])
async def test_any_field_of_an_override_may_be_left_out(sigma: Standin, fields: tuple[str, ...]) -> None:
    """You can pass or exclude any of the following fields: model_provider, model_version, temperature."""
    one = await said(sigma, f"{{message: hello, llm_override: {{{', '.join(fields)}}}}}")
    assert set(one.received["llm_override"]) == {field.partition(":")[0] for field in fields}
    assert one.model == (
        "steady" if "model_version: steady" in fields else DEFAULT[0],
        0.4 if "temperature: 0.4" in fields else DEFAULT[1],
    )


@pytest.mark.parametrize(
    "override",
    [
        "{model_version: lighthouse}",
        "{model_provider: Simulated, model_version: lighthouse}",
        "{model_provider: OpenAI, model_version: swift}",
        "{model_provider: Harbor, model_version: claude-sonnet-4.5}",
    ],
)
async def test_an_invalid_override_fails_the_request(sigma: Standin, override: str) -> None:
    """If you pass an invalid configuration, for example if the default model_provider is OpenAI and you only
    specify claude-sonnet-4.5, your request will fail.
    """
    one = await said(sigma, f"{{message: hello, llm_override: {override}}}")
    assert one.exchange.failure is not None
    assert one.exchange.failure.fault is Fault.HTTP
    assert one.exchange.transcript is not None
    assert one.exchange.transcript.answer == ""
    assert one.exchange.session_id is None


# allowed_tool_ids


async def test_an_agent_invokes_only_the_actions_it_was_created_with(sigma: Standin) -> None:
    """Agents are created with a set of Actions they are allowed to invoke."""
    assert set((await said(sigma, f"message: {BOTH}")).called) == {"internal_search", "unit_convert"}
    assert (await said(sigma, f"{{message: '{BOTH}', persona_id: 1}}")).called == ["internal_search"]


async def test_the_set_of_actions_is_narrowed_for_one_interaction(sigma: Standin) -> None:
    """You can further configure this set for your immediate interaction using this parameter."""
    narrowed, free = await conversation(
        sigma,
        f"""
        turns:
          - {{message: "{BOTH}", allowed_tool_ids: [12]}}
          - {{message: "{BOTH}"}}
        """,
    )
    assert narrowed.received["allowed_tool_ids"] == [12]
    assert narrowed.called == ["unit_convert"]
    assert set(free.called) == {"internal_search", "unit_convert"}


async def test_actions_and_their_ids_are_listed(sigma: Standin) -> None:
    """See the list of Actions and their IDs via the GET /tool endpoint."""
    one = await looked_up(sigma, f"{{message: '{BOTH}', allowed_tool_ids: [unit_convert, Web Search]}}")
    listed = {tool["name"]: tool["id"] for tool in sigma.get("/tool")}
    assert listed == TOOLS
    assert one.received["allowed_tool_ids"] == [listed["unit_convert"], listed["web_search"]]
    assert one.called == ["unit_convert"]


async def test_an_empty_list_disables_all_actions(sigma: Standin) -> None:
    """Pass in an empty list to disable all Actions."""
    one = await said(sigma, f"{{message: '{BOTH}', allowed_tool_ids: []}}")
    assert one.received["allowed_tool_ids"] == []
    assert one.called == []
    assert one.reply.documents == ()


@pytest.mark.parametrize("model", ["sim:tool=search,tool=web,tool=convert", "steady"])
async def test_an_empty_list_disables_actions_for_a_model_that_wants_them(sigma: Standin, model: str) -> None:
    """Pass in an empty list to disable all Actions."""
    override = f"{{model_provider: Simulated, model_version: '{model}'}}"
    free = await said(sigma, f"{{message: '{BOTH}', llm_override: {override}}}")
    barred = await said(sigma, f"{{message: '{BOTH}', llm_override: {override}, allowed_tool_ids: []}}")
    assert free.called
    assert barred.called == []


async def test_none_allows_all_actions_of_the_agent(sigma: Standin) -> None:
    """Pass in None to allow all the Actions which are configured for the Agent."""
    one = await said(sigma, f"{{message: '{BOTH}', allowed_tool_ids: null}}")
    assert "allowed_tool_ids" not in one.received
    assert set(one.called) == {"internal_search", "unit_convert"}


# forced_tool_id


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("Simulated", "swift"),
        ("Simulated", "steady"),
        pytest.param("Simulated", "thinker", marks=pytest.mark.slow),
        ("Harbor", "lighthouse"),
        ("Simulated", "sim:tokens=3"),
    ],
)
async def test_a_forced_action_is_run_whatever_the_model_would_do(
    sigma: Standin, provider: str, model: str, tool: str
) -> None:
    """Force the Agent to use a specific Action for this request. A specific tool/action which must be run by
    the Agent.
    """
    asked = f"message: hello\nllm_override: {{model_provider: {provider}, model_version: '{model}'}}\n"
    free = await said(sigma, asked)
    forced = await looked_up(sigma, f"{asked}forced_tool_id: {tool}")
    assert free.called == []
    assert forced.received["forced_tool_id"] == TOOLS[tool]
    assert forced.called == [CALLED[tool]]
    assert forced.reply.outcome is Outcome.SUCCESS


@pytest.mark.parametrize("message", ["hello", REFUND, "What is the capital of France?", "x", "Add 2 + 2."])
async def test_a_forced_action_is_run_whatever_is_asked(sigma: Standin, message: str) -> None:
    """... but it will be guaranteed to use this one."""
    assert "web_search" in (await said(sigma, f"{{message: '{message}', forced_tool_id: 3}}")).called


async def test_other_actions_may_run_beside_the_forced_one(sigma: Standin) -> None:
    """The Agent may run other Actions before returning its final response, but it will be guaranteed to use
    this one.
    """
    one = await said(
        sigma,
        f"""
        message: {REFUND}
        llm_override: {{model_provider: Simulated, model_version: "sim:tool=search:1ms,tokens=3"}}
        forced_tool_id: 12
        """,
    )
    assert sorted(map(str, one.called)) == ["internal_search", "unit_convert"]
    assert one.reply.answer


@pytest.mark.parametrize(
    ("message", "called"),
    [
        ("hello", []),
        (REFUND, ["internal_search"]),
        ("Convert 5 km to miles.", ["unit_convert"]),
        ("How many days from 2026-01-01 to 2026-03-01?", ["days_between"]),
        ("Search the web: how long is the Nile?", ["web_search", "open_url"]),
    ],
)
async def test_without_a_forced_action_the_agent_decides(
    sigma: Standin, message: str, called: list[str]
) -> None:
    """Leave empty to let the Agent decide which Actions to use."""
    one = await said(sigma, f"{{message: '{message}', forced_tool_id: null}}")
    assert "forced_tool_id" not in one.received
    assert one.called == called


# file_descriptors


def uploaded(sigma: Standin, name: str, text: str) -> dict[str, Any]:
    """A file that is there before, uploaded by somebody else's client."""
    answer = sigma.http.post("/user/projects/file/upload", files={"files": (name, text.encode())})
    (row,) = answer.json()["user_files"]
    while sigma.get(f"/user/projects/file/{row['id']}")["status"] != "COMPLETED":
        pass  # each look is a round trip
    return dict(row)


async def test_files_go_along_with_a_request(sigma: Standin, tmp_path: Path) -> None:
    """A list of files to include along with your request. File IDs can be found via the
    POST /user/projects/file/upload ...
    """
    (tmp_path / "harbour.txt").write_text("The harbour master of Brackwater is Ines Okafor.\n")
    (tmp_path / "tides.csv").write_text("pier,depth\nBrackwater pier nine,14 metres\n")
    one = await looked_up(
        sigma,
        f"""
        message: Who is the harbour master of Brackwater?
        files: [{tmp_path}/harbour.txt, {tmp_path}/tides.csv]
        """,
    )
    sent = one.received["file_descriptors"]
    assert [(file["name"], file["type"]) for file in sent] == [
        ("harbour.txt", "plain_text"),
        ("tides.csv", "tabular"),
    ]
    assert [file["id"] for file in one.question["files"]] == [file["id"] for file in sent]
    assert "Ines Okafor" in one.reply.answer


async def test_files_that_were_uploaded_are_found_in_the_list(sigma: Standin) -> None:
    """... and the GET /user/projects/file/ endpoints."""
    row = uploaded(sigma, "ferry.txt", "The night ferry to Brackwater leaves at 23:40.\n")
    listed = {file["id"]: file["name"] for file in sigma.get("/user/projects/file/")}
    assert listed[row["id"]] == "ferry.txt"
    for written in ("ferry.txt", row["id"]):
        one = await looked_up(
            sigma, f"{{message: When does the night ferry to Brackwater leave?, files: [{written}]}}"
        )
        (file,) = one.received["file_descriptors"]
        assert (file["id"], file["user_file_id"]) == (row["file_id"], row["id"])
        assert "23:40" in one.reply.answer


async def test_without_files_the_agent_knows_nothing_of_them(sigma: Standin) -> None:
    """A list of files to include along with your request."""
    uploaded(sigma, "lamp.txt", "The lamp of Brackwater was lit in 1871.\n")
    one = await said(sigma, "message: When was the lamp of Brackwater lit?")
    assert "file_descriptors" not in one.received
    assert one.question["files"] == []
    assert "1871" not in one.reply.answer


# search_filters

DOCUMENTS = {
    document["id"]: document
    for document in map(
        json.loads,
        (Path(__file__).parents[2] / "harness/standin/corpus.jsonl").read_text(encoding="utf-8").splitlines(),
    )
    if not document.get("internet")
}
FILTERS = {
    "source_type": "source_type: [confluence, google_drive]",
    "document_set": "document_set: [Policies, Product]",
    "time_cutoff": 'time_cutoff: "2026-02-11T00:00:00Z"',
    "tags": 'tags: {region: US, year: "2026"}',
}


def passes(document_id: str, names: tuple[str, ...]) -> bool:
    """Whether a document may be found under those of `FILTERS`, by the guide's words."""
    document = DOCUMENTS[document_id]
    tags = document.get("tags", {})
    rules = {
        "source_type": document["source_type"] in {"confluence", "google_drive"},
        "document_set": document["document_set"] in {"Policies", "Product"},
        "time_cutoff": max(document["created_at"], document["updated_at"]) >= "2026-02-11",
        "tags": (tags.get("region"), tags.get("year")) == ("US", "2026"),
    }
    return all(rules[name] for name in names)


@pytest.mark.parametrize("names", [kept for count in (1, 2, 3, 4) for kept in combinations(FILTERS, count)])
async def test_filters_narrow_the_search_alone_and_combined(sigma: Standin, names: tuple[str, ...]) -> None:
    """Filters to narrow down the internal search results used by the Agent. All filters arguments are
    optional and can be combined.
    """
    written = ", ".join(FILTERS[name] for name in names)
    one = await said(sigma, f"{{message: '{REFUND}', search_filters: {{{written}}}}}")
    assert set(one.received["search_filters"]) == set(names)
    assert one.reply.documents
    assert all(passes(document, names) for document in one.reply.documents)
    assert not all(passes(document, names) for document in await _unfiltered(sigma))


async def _unfiltered(sigma: Standin) -> tuple[str, ...]:
    return (await said(sigma, f"message: {REFUND}")).reply.documents


async def test_a_source_type_filter_keeps_to_its_sources(sigma: Standin) -> None:
    """Source types like web, slack, google_drive, confluence."""
    for source in ("web", "slack", "google_drive", "confluence"):
        question = "message: How is the Atlas data platform set up?\nforced_tool_id: 1"
        one = await said(sigma, f"{question}\nsearch_filters: {{source_type: {source}}}")
        assert one.reply.documents, source
        assert {DOCUMENTS[each]["source_type"] for each in one.reply.documents} == {source}


async def test_a_document_set_filter_goes_by_name(sigma: Standin) -> None:
    """The name of the document sets to search within."""
    (listed, *_) = (row["name"] for row in sigma.get("/manage/document-set") if row["name"] == "Support")
    one = await said(sigma, f"{{message: '{REFUND}', search_filters: {{document_set: [{listed}]}}}}")
    assert one.received["search_filters"] == {"document_set": ["Support"]}
    assert {DOCUMENTS[each]["document_set"] for each in one.reply.documents} == {"Support"}


async def test_a_cutoff_keeps_what_was_created_or_modified_after_it(sigma: Standin) -> None:
    """Only include documents created or modified after this timestamp. ISO 8601 format: YYYY-MM-DDTHH:MM:SSZ
    (e.g., 2024-01-01T00:00:00Z).
    """
    cutoff = "2026-02-11T00:00:00Z"
    one = await said(sigma, f"{{message: '{REFUND}', search_filters: {{time_cutoff: '{cutoff}'}}}}")
    assert one.received["search_filters"] == {"time_cutoff": cutoff}
    assert "pol-refund-2026-us" in one.reply.documents  # created before, modified after
    assert "pol-refund-2026-eu" not in one.reply.documents  # modified the day before
    assert "pol-refund-2023" not in one.reply.documents


async def test_tags_keep_only_documents_that_have_them(sigma: Standin) -> None:
    """Document tags in the format {"tag_key": "tag_value"}. Only documents with matching tags will be
    searched.
    """
    one = await said(sigma, f"{{message: '{REFUND}', search_filters: {{tags: {{year: '2023'}}}}}}")
    assert one.received["search_filters"] == {"tags": {"year": "2023"}}
    assert one.reply.documents == ("pol-refund-2023",)
    assert "14 days" in one.reply.answer


async def test_filters_are_for_the_internal_search(sigma: Standin) -> None:
    """Filters to narrow down the internal search results used by the Agent."""
    online = "message: 'Search the web: how long is the Nile?'"
    free = await said(sigma, online)
    filtered = await said(sigma, f"{online}\nsearch_filters: {{source_type: [slack]}}")
    assert free.reply.documents == filtered.reply.documents != ()


# deep_research


async def test_deep_research_plans_and_sends_out_agents(sigma: Standin) -> None:
    """Enables Deep Research mode for this request."""
    question = "Compare the refund policy in the EU with that in the US"
    deep, plain = await conversation(
        sigma,
        f"""
        turns:
          - {{message: {question}, deep_research: true}}
          - {{message: {question}}}
        """,
    )
    assert deep.received["deep_research"] is True
    assert deep.reply.plan
    assert deep.called.count("research_agent") == 2
    assert deep.reply.citations
    assert plain.reply.plan is None
    assert "research_agent" not in plain.called


async def test_deep_research_says_much_more(sigma: Standin) -> None:
    """Note that this mode consumes significantly more tokens, so be careful accessing it via the API."""
    question = "Compare the refund policy in the EU with that in the US"
    deep = await said(sigma, f"{{message: {question}, deep_research: true}}")
    plain = await said(sigma, f"{{message: {question}, deep_research: false}}")
    assert deep.reply.packets > 2 * plain.reply.packets


# parent_message_id


async def test_a_message_hangs_below_the_parent_that_is_named(sigma: Standin) -> None:
    """The ID of the parent message in the chat history."""
    first, _, aside = await conversation(
        sigma,
        """
        turns:
          - {id: ask, message: Set up single sign-on with Okta}
          - {message: Only for admins}
          - {id: aside, after: ask, message: Same but for Entra ID}
        """,
    )
    assert aside.received["parent_message_id"] == first.answer["message_id"]
    assert aside.question["parent_message"] == first.answer["message_id"]
    assert "Entra" in aside.reply.answer


async def test_a_message_id_is_of_one_message_only(sigma: Standin) -> None:
    """This is the primary-key (unique identifier) for the previous message in the chat history tree."""
    some = await conversation(sigma, "turns: [{message: one}, {message: two}]")
    other = await said(sigma, "message: three")
    ids = [message["message_id"] for turn in (some[0], other) for message in turn.session["messages"]]
    assert len(ids) == len(set(ids)) == 5 + 3


async def test_without_a_parent_a_message_follows_the_last_one(sigma: Standin) -> None:
    """If not passed in, it is assumed that your new message is sequentially after the last message in the
    chat history.
    """
    turns = await conversation(sigma, "turns: [{message: one}, {message: two}, {message: three}]")
    assert all("parent_message_id" not in turn.received for turn in turns)
    below = [turn.question["parent_message"] for turn in turns[1:]]
    assert below == [turn.answer["message_id"] for turn in turns[:-1]]


# chat_session_id


async def test_a_conversation_that_exists_is_continued(sigma: Standin) -> None:
    """To continue an existing conversation, pass in the chat session ID where the message should be sent."""
    before = sigma.ask("How do I set up single sign-on with Okta?")
    where = f"chat_session_id: {before.session_id}"
    one = await said(sigma, f"{{message: Same but for Entra ID, {where}}}")
    assert one.received["chat_session_id"] == before.session_id == one.session["chat_session_id"]
    assert one.question["parent_message"] == before.assistant_id
    assert "Entra" in one.reply.answer


async def test_a_message_without_a_session_gets_a_new_one(sigma: Standin) -> None:
    """If left blank, a new chat session will be created for the message according to chat_session_info."""
    first, second = [await said(sigma, "{message: hello, persona_id: 2}") for _ in range(2)]
    assert "chat_session_id" not in first.received
    assert first.received["chat_session_info"] == {"persona_id": 2}
    assert first.exchange.session_id != second.exchange.session_id
    assert first.reply.chat_session_id == first.session["chat_session_id"]
    assert first.session["persona_id"] == 2


# chat_session_info


async def test_an_agent_answers_all_messages_of_its_session(sigma: Standin) -> None:
    """Details about the chat session which will be used for all messages in the session. persona_id: The ID
    of the Agent to use for the chat session.
    """
    first, second = await conversation(
        sigma, f"{{persona_id: 1, turns: [{{message: '{REFUND}'}}, {{message: '{REFUND}'}}]}}"
    )
    assert first.received["chat_session_info"] == {"persona_id": 1}
    assert "chat_session_info" not in second.received
    assert first.session["persona_name"] == "Support Agent"
    for turn in (first, second):
        assert turn.reply.answer.startswith("Thank you for asking.")


async def test_an_agent_is_known_by_the_id_of_its_name(sigma: Standin) -> None:
    """persona_id: The ID of the Agent to use for the chat session."""
    one = await looked_up(sigma, f"{{message: '{REFUND}', persona_id: Support Agent}}")
    assert one.received["chat_session_info"] == {"persona_id": 1}
    assert one.session["persona_name"] == "Support Agent"


async def test_a_chat_is_scoped_to_a_project_with_its_files(sigma: Standin) -> None:
    """project_id: ID of a Project if the chat should be scoped to a Project. Projects are used to organize
    files and instructions and are a lighter-weight version of Agents.
    """
    project = sigma.http.post("/user/projects/create?name=Brackwater").json()["id"]
    row = uploaded(sigma, "bell.txt", "The bell of Brackwater weighs 912 kilograms.\n")
    sigma.http.post(f"/user/projects/{project}/files/{row['id']}").raise_for_status()
    question = "message: How much does the bell of Brackwater weigh?"
    scoped = await looked_up(sigma, f"{question}\nproject_id: Brackwater")
    free = await looked_up(sigma, question)
    assert scoped.received["chat_session_info"] == {"project_id": project}
    (listed,) = (one for one in sigma.get("/user/projects") if one["id"] == project)
    assert [session["id"] for session in listed["chat_sessions"]] == [scoped.exchange.session_id]
    assert "912" in scoped.reply.answer
    assert "912" not in free.reply.answer


async def test_a_session_without_details_has_the_default_settings(sigma: Standin) -> None:
    """The field values can be left blank to use the default chat settings."""
    one = await said(sigma, "message: hello")
    assert "chat_session_info" not in one.received
    assert (one.session["persona_id"], one.session["persona_name"]) == (0, "Assistant")


# stream


async def test_a_stream_is_one_event_for_each_packet(sigma: Standin) -> None:
    """If true, then it responds with an SSE stream of individual packets."""
    one = await said(sigma, f"{{message: '{REFUND}', stream: true}}")
    assert one.received["stream"] is True
    assert one.exchange.content_type.startswith("text/event-stream")
    *events, rest = one.exchange.text.split("\n\n")
    assert rest == ""
    documents = [json.loads(event.removeprefix("data: ")) for event in events]
    assert all(event.startswith("data: ") and "\n" not in event for event in events)
    assert sum("obj" in document for document in documents) == one.reply.packets > 5


@pytest.mark.slow
async def test_answer_reasoning_and_tool_calls_come_in_pieces(sigma: Standin) -> None:
    """This is the same set used for the Sigma UI. Fields like the Answer, reasoning tokens, and iterative
    Tool Calls need to be pieced together from streamed tokens.
    """
    one = await said(
        sigma,
        f"{{message: '{REFUND}', llm_override: {{model_provider: Simulated, model_version: thinker}}}}",
    )
    frames = Frames()
    read = [*frames.feed(one.exchange.body), *frames.close()]
    kinds = [json.loads(part.data)["obj"]["type"] for part in read if b'"obj"' in part.data]
    assert kinds.count("message_delta") > 5
    assert kinds.count("reasoning_delta") > 5
    assert one.reply.answer == one.answer["message"]
    assert len(one.reply.reasoning) == 2
    assert one.called == ["internal_search"]


async def test_the_complete_response_is_the_streamed_one(sigma: Standin) -> None:
    """You have the option of receiving a streaming response or the complete response as a string."""
    streamed = await said(sigma, f"{{message: '{REFUND}', stream: true}}")
    whole = await said(sigma, f"{{message: '{REFUND}', stream: false}}")
    assert whole.received["stream"] is False
    assert whole.exchange.content_type.startswith("application/json")
    assert whole.reply.answer == streamed.reply.answer
    assert whole.called == streamed.called
    assert whole.answer["message"] == whole.reply.answer


async def test_a_client_that_is_none_of_ours_meets_the_same_server(sigma: Standin) -> None:
    """It is the same API that the Sigma frontend uses to send and receive messages."""
    ours = await said(sigma, f"message: {REFUND}")
    async with httpx.AsyncClient(base_url=sigma.url) as http:
        theirs = await http.post("/chat/send-chat-message", json={"message": REFUND})
    assert theirs.headers["content-type"] == ours.exchange.content_type
    assert ours.reply.answer == sigma.ask(REFUND).answer()


@pytest.mark.parametrize("endpoint", ["send-message", "send-message-simple-api"])
async def test_a_suite_moves_from_an_old_endpoint_with_the_same_answers(
    sigma: Standin, endpoint: str
) -> None:
    """We recommend you migrate any usage of /chat/send-message and /chat/send-message-simple-api to this new
    API by February 1st, 2026.
    """
    old = await said(sigma, f"{{message: '{REFUND}', endpoint: {endpoint}}}")
    new = await said(sigma, f"message: {REFUND}")
    assert old.exchange.endpoint == endpoint
    assert old.reply.answer == new.reply.answer != ""
    assert old.reply.documents == new.reply.documents
