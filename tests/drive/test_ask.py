"""Those who are asked: Sigma as its own judge, OpenAI-compatible servers, models in a folder."""

import json
import re
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import httpx
import numpy as np
import pytest
from model2vec import StaticModel
from pydantic import SecretStr
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from harness.drive.ask import Answered, Ask, local_embed, openai_ask, openai_embed, openai_http, sigma_ask
from harness.drive.transport import StampedTransport, transports
from harness.grade.judged import Question, cosine, read_vote
from harness.grade.judges import fingerprint, fingerprint_of
from harness.sigma.client import Address, Client
from harness.standin.judge import judgement
from harness.suite.servers import Embeddings, Judge
from harness.suite.settings import LlmOverride
from tests.conftest import Standin
from tests.standin.provider import embedding, scripted

pytestmark = pytest.mark.anyio

KEY = "sk-planted-secret"
came, hung_up = threading.Event(), threading.Event()
QUESTION = Question((("CRITERION", "Says thirty days"),), ("It is thirty days.",))


@contextmanager
def answering(*replies: tuple[int, str, dict[str, str]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that answers with *replies* (status, body, headers), the last again and again.

    One of status 0 never comes: the server waits until we hang up.
    """
    waiting, asked = list(replies), []
    came.clear()
    hung_up.clear()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            asked.append({"path": self.path, "key": self.headers["authorization"], "body": json.loads(body)})
            status, text, headers = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            if status == 0:
                came.set()
                if not self.connection.recv(1):
                    hung_up.set()
                return
            self.send_response(status)
            for name, value in {"content-length": str(len(text.encode())), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def said(text: str) -> tuple[int, str, dict[str, str]]:
    return 200, json.dumps({"choices": [{"message": {"content": text}}]}), {}


def judge(url: str, **more: Any) -> Judge:
    made = Judge.model_validate({"base_url": url, "model": "m", "time_limit": "20s", **more})
    return made.model_copy(update={"api_key": SecretStr(KEY)})


async def put(ask: Ask) -> Answered:
    return await ask("Is it so?")


async def asked_of(url: str, **more: Any) -> Any:
    async with httpx.AsyncClient() as http:
        return await put(openai_ask(http, judge(url, **more)))


def simulated(model: str, **more: Any) -> Judge:
    override = LlmOverride(model_provider="Simulated", model_version=model)
    return Judge.model_validate({"target": "self", "llm_override": override, **more})


def sessions_of(standin: Standin) -> set[str]:
    return {each["id"] for each in standin.get("/chat/get-user-chat-sessions")["sessions"]}


@pytest.fixture(params=["sigma", "onyx"])
def standin(request: pytest.FixtureRequest) -> Standin:
    found: Standin = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def client(standin: Standin, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    dialect = request.node.callspec.params["standin"]
    async with Client(Address(standin.url, dialect), transports(standin.url)()) as made:
        yield made


async def test_sigma_judges_itself_in_a_conversation_of_its_own_and_without_tools(
    standin: Standin, client: Client
) -> None:
    before = sessions_of(standin)
    told = await sigma_ask(client, simulated("judge"))(QUESTION.text((0,)))
    assert told.error == ""
    assert read_vote(QUESTION, (0,), told.text).verdict == "pass"
    (mine,) = sessions_of(standin) - before
    answer = standin.get(f"/chat/get-chat-session/{mine}")["messages"][-1]
    assert answer["request_params"]["model_name"] == "judge"
    assert answer["request_params"]["sent_kwargs"] == {"temperature": 0.0}


async def test_a_model_that_would_search_is_given_no_tool_to_do_it(standin: Standin, client: Client) -> None:
    would = standin.session(standin.ask("Refunds?", "sim:tool=search,tokens=3"))
    assert would["messages"][-1]["context_docs"]
    before = sessions_of(standin)
    told = await sigma_ask(client, simulated("sim:tool=search,tokens=3"))("Refunds?")
    (mine,) = sessions_of(standin) - before
    assert len(told.text.split()) == 3
    answer = standin.get(f"/chat/get-chat-session/{mine}")["messages"][-1]
    assert answer["message"] == told.text
    assert not answer["context_docs"]


async def test_conversations_are_deleted_where_the_suite_says_so(standin: Standin, client: Client) -> None:
    before = sessions_of(standin)
    judging = simulated("sim:fault=flaky:2,tokens=3")
    told = await sigma_ask(client, judging, keep_sessions=False)(f"again, please: {before}")
    assert len(told.text.split()) == 3
    assert sessions_of(standin) == before


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("nobody", "nobody"),
        ("sim:fault=http:502-html", "a web page, as proxies send them: 502"),
        ("sim:fault=error@3:MODEL_ERROR", "MODEL_ERROR"),
        ("sim:fault=cut@3", "without a stop packet"),
        ("sim:tokens=0", "the judge gave no answer: empty"),
    ],
)
async def test_what_is_no_whole_reply_of_sigma_is_an_error_in_a_sentence(
    client: Client, model: str, error: str
) -> None:
    told = await sigma_ask(client, simulated(model))("Is it so?")
    assert told.text == ""
    assert error in told.error


@pytest.mark.slow
async def test_a_sigma_that_is_busy_for_good_is_given_up_after_three_tries(client: Client) -> None:
    told = await sigma_ask(client, simulated("sim:fault=flaky:4,tokens=3"))("Are you busy?")
    assert told.text == ""
    assert "503" in told.error
    told = await sigma_ask(client, simulated("sim:fault=flaky:4,tokens=3"))("Are you busy?")
    assert told.error == ""


async def test_a_sigma_that_takes_too_long_is_told_to_stop(standin: Standin, client: Client) -> None:
    before = sessions_of(standin)
    judging = simulated("sim:ttft=50s", time_limit="200ms")
    told = await sigma_ask(client, judging, keep_sessions=False)("Is it so?")
    assert told == ("", told.error)
    assert "no end after 0.2 s" in told.error
    assert sessions_of(standin) == before


async def test_asking_sigma_can_be_cancelled_and_leaves_nothing_behind(
    standin: Standin, client: Client
) -> None:
    before = sessions_of(standin)
    async with anyio.create_task_group() as around:
        around.start_soon(put, sigma_ask(client, simulated("sim:ttft=50s"), keep_sessions=False))
        with anyio.fail_after(20):
            while sessions_of(standin) == before:  # noqa: ASYNC110 - the server wakes nobody here
                await anyio.sleep(0.01)
        around.cancel_scope.cancel()
    assert sessions_of(standin) == before
    await client.get("/health")
    transport = client._transport
    assert isinstance(transport, StampedTransport)
    assert set(transport._connections) == {each for idle in transport._idle.values() for each in idle}


# OpenAI-compatible servers


async def test_an_openai_compatible_server_is_asked_with_its_key_at_temperature_0() -> None:
    with answering(said("yes")) as (url, asked):
        assert await asked_of(url) == ("yes", "")
    (one,) = asked
    assert one["path"] == "/v1/chat/completions"
    assert one["key"] == f"Bearer {KEY}"
    assert (one["body"]["temperature"], one["body"]["model"]) == (0, "m")
    assert one["body"]["messages"] == [{"role": "user", "content": "Is it so?"}]


PAGE = "<!doctype html><html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


@pytest.mark.parametrize(
    ("replies", "error", "times"),
    [
        ([(401, '{"error": {"message": "bad key"}}', {})], "answered 401: bad key", 1),
        ([(401, json.dumps({"error": {"message": f"no such key: {KEY}"}}), {})], "no such key: ***", 1),
        ([(401, "x" * 190 + KEY, {})], "x" * 190 + "***", 1),
        ([(401, f"<title>{'x' * 110}{KEY}</title>", {})], "x" * 110 + "***", 1),
        ([(403, "", {})], "/v1/chat/completions answered 403", 1),
        ([(404, '{"error": "no model m"}', {})], "answered 404: no model m", 1),
        ([(404, '{"detail": "Not Found"}', {})], "answered 404: Not Found", 1),
        ([(400, '{"object": "error", "message": "too long"}', {})], "answered 400: too long", 1),
        ([(422, "[" * 100_000, {})], "answered 422: [[[[", 1),
        ([(429, "{}", {"retry-after": "3600"})], "answered 429: {} (and wants us to wait for 3600 s)", 1),
        ([(503, "busy", {})], "answered 503: busy", 3),
        ([(502, PAGE, {})], "answered 502: a web page, as proxies send them: 502 Bad Gateway", 3),
        ([(301, "", {"location": "https://a.example/"})], "redirects to https://a.example/; is base_url", 1),
        ([(200, "<html>", {})], "what is no JSON object: a web page", 1),
        ([(200, "[]", {})], "what is no JSON object: []; is base_url right?", 1),
        ([(200, '{"error": {"message": "no credit"}}', {})], "answered with an error: no credit", 1),
        ([(200, '{"choices": []}', {})], "the judge gave no answer", 1),
        ([(200, '{"choices": [{"message": {"content": null}}]}', {})], "the judge gave no answer", 1),
        (
            [(200, '{"choices": [{"message": {"content": ""}, "finish_reason": "length"}]}', {})],
            "no text, finish_reason length",
            1,
        ),
    ],
)
async def test_what_is_no_answer_is_said_in_a_sentence_without_the_key(
    replies: list[Any], error: str, times: int
) -> None:
    with answering(*[(status, body, {"retry-after": "0", **more}) for status, body, more in replies]) as (
        url,
        asked,
    ):
        told = await asked_of(url)
    assert error in told.error
    assert told.text == ""
    assert KEY[:8] not in told.error
    assert len(asked) == times


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY}\u00e9"])
async def test_a_key_that_no_header_can_hold_is_named_and_not_shown(key: str) -> None:
    with answering(said("yes")) as (url, asked):
        async with httpx.AsyncClient() as http:
            judging = judge(url).model_copy(update={"api_key": SecretStr(key)})
            told = await openai_ask(http, judging)("Is it so?")
    assert "no header can hold" in told.error
    assert KEY not in told.error
    assert asked == []


@pytest.mark.parametrize("wait", [{}, {"retry-after": "0"}, {"retry-after": "0.01"}])
async def test_a_busy_server_is_asked_again(wait: dict[str, str]) -> None:
    with answering((429, "slow down", wait), said("yes")) as (url, asked):
        assert (await asked_of(url)).text == "yes"
    assert len(asked) == 2


async def test_a_server_that_never_answers_is_given_up_at_the_time_limit() -> None:
    with answering((0, "", {})) as (url, _):
        told = await asked_of(url, time_limit="300ms")
    assert told.error.endswith("within 0.3 s")


@pytest.mark.slow
async def test_a_server_that_is_not_there_is_said() -> None:
    with answering(said("x")) as (url, _):
        pass
    assert "cannot be reached" in (await asked_of(url)).error


async def test_asking_can_be_cancelled_and_hangs_up() -> None:
    with answering((0, "", {})) as (url, asked):
        async with httpx.AsyncClient() as http:
            async with anyio.create_task_group() as around:
                around.start_soon(put, openai_ask(http, judge(url)))
                assert await anyio.to_thread.run_sync(came.wait, 20)
                around.cancel_scope.cancel()
            assert await anyio.to_thread.run_sync(hung_up.wait, 20)
    assert len(asked) == 1


async def test_an_openai_compatible_server_is_spoken_to_as_others_speak_to_it() -> None:
    with scripted(judgement) as provider:
        async with openai_http() as http:
            told = await openai_ask(http, judge(provider.url))(QUESTION.text((0,)))
            embed = openai_embed(http, Embeddings(base_url=provider.url, model="e"))
            texts = [f"text number {number}" for number in range(150)] + [" ", "number text 7"]
            vectors = await embed(texts)
    assert read_vote(QUESTION, (0,), told.text).verdict == "pass"
    assert provider.keys[0] == f"Bearer {KEY}"
    assert [len(body["input"]) for body in provider.bodies[1:]] == [64, 64, 23]
    assert vectors[:150] == [embedding(text) for text in texts[:150]]
    assert vectors[150] == []
    assert isinstance(vectors, list)
    assert cosine(vectors[7], vectors[151]) == pytest.approx(1)
    assert cosine(vectors[0], vectors[150]) is None


# Embeddings


async def test_vectors_come_back_in_the_order_of_their_texts_whatever_the_servers() -> None:
    rows = [{"index": 1, "embedding": [0, 1]}, {"index": 0, "embedding": [1, 0]}]
    with answering((200, json.dumps({"data": rows}), {})) as (url, asked):
        async with httpx.AsyncClient() as http:
            embed = openai_embed(http, Embeddings(base_url=url, model="e"))
            assert await embed(["a", "b"]) == [[1.0, 0.0], [0.0, 1.0]]
            assert await embed(["a"]) == "1 texts were sent and 2 vectors came back"
    assert asked[0]["path"] == "/v1/embeddings"
    assert asked[0]["key"] is None


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ({"data": [{"index": 0}]}, "are no vectors"),
        ({"data": None}, "are no vectors"),
        ({"data": [{"index": 0, "embedding": "AAAA"}]}, "are no vectors"),
        ({"data": [{"index": 0, "embedding": []}]}, "is empty"),
        ({"data": [{"index": 0, "embedding": [float("nan")]}]}, "not finite"),
        ({"data": [{"embedding": [1]}]}, None),
    ],
)
async def test_vectors_that_are_none_are_told_of(rows: Any, error: str | None) -> None:
    with answering((200, json.dumps(rows), {})) as (url, _):
        async with httpx.AsyncClient() as http:
            told = await openai_embed(http, Embeddings(base_url=url, model="e"))(["a"])
    if error is None:
        assert told == [[1.0]]
    else:
        assert error in told


def made_model(folder: Path) -> None:
    words = Tokenizer(WordLevel({"[UNK]": 0, "refund": 1, "days": 2, "cat": 3}, unk_token="[UNK]"))  # noqa: S106
    words.pre_tokenizer = Whitespace()
    StaticModel(np.eye(4, dtype=np.float32), words).save_pretrained(folder)


async def test_a_sentence_model_in_a_folder_is_read_from_there(tmp_path: Path) -> None:
    made_model(tmp_path / "model")
    vectors = await local_embed(tmp_path / "model")(["refund", "cat cat"])
    assert vectors == [[0, 1, 0, 0], [0, 0, 0, 1]]
    assert "there is no such folder" in await local_embed(tmp_path / "other")(["a"])
    (tmp_path / "empty").mkdir()
    assert "cannot be read as a sentence model" in await local_embed(tmp_path / "empty")(["a"])


async def test_a_long_text_counts_to_its_end(tmp_path: Path) -> None:
    made_model(tmp_path)
    vectors = await local_embed(tmp_path)(["refund " * 600 + "cat " * 600, "  "])
    assert vectors == [[0, 0.5, 0, 0.5], [0, 0, 0, 0]]
    assert isinstance(vectors, list)
    assert cosine(*vectors) is None


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
async def test_a_sentence_model_with_a_broken_file_is_told_of(tmp_path: Path, file: str) -> None:
    made_model(tmp_path)
    (tmp_path / file).write_bytes(b"{ broken")
    assert "cannot be read as a sentence model" in await local_embed(tmp_path)(["a"])


async def test_a_missing_extra_is_named_with_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "model2vec", None)
    assert 'pip install "sigma-harness[similar]"' in await local_embed(tmp_path)(["a"])


# Fingerprints


def test_who_judges_is_told_apart_by_everything_but_its_key_and_its_votes() -> None:
    base = judge("http://b.example/v1")
    others = [
        judge("http://a.example/v1"),
        judge("http://b.example/v2"),
        judge("http://b.example:81/v1"),
        base.model_copy(update={"model": "n"}),
        base.model_copy(update={"temperature": 0.5}),
        Judge(target="self"),
        Judge(target="self", llm_override=LlmOverride(model_version="x")),
        Judge(target="self", llm_override=LlmOverride(model_provider="x")),
        Judge(target="self", llm_override=LlmOverride(model_configuration_id=7)),
        Judge(target="self", llm_override=LlmOverride(temperature=0.5)),
    ]
    assert len({fingerprint(each, "standin") for each in [base, *others]}) == 11
    assert fingerprint(base, "standin") == fingerprint(
        base.model_copy(update={"votes": 5, "api_key": None}), "elsewhere"
    )
    assert KEY not in fingerprint(base, "standin")


@pytest.mark.parametrize("other", ["http://b/api", "https://a/api", "http://a:81/api", "http://a/staging"])
def test_another_sigma_that_judges_itself_is_another_judge(other: str) -> None:
    assert fingerprint(Judge(target="self"), "http://a/api") != fingerprint(Judge(target="self"), other)


def test_what_is_asked_the_same_way_is_the_same_judge_however_it_is_written() -> None:
    base, cold = judge("http://b.example/v1"), LlmOverride(temperature=0)
    assert fingerprint(base, "") == fingerprint(judge("http://b.example/v1/"), "")
    assert fingerprint(base, "") == fingerprint(base.model_copy(update={"temperature": 0}), "")
    mine = fingerprint(Judge(target="self"), "http://a")
    assert mine == fingerprint(Judge(target="self", llm_override=cold), "http://a/")


def test_a_fingerprint_is_read_by_people_and_shows_no_password() -> None:
    told = fingerprint(Judge(target="self"), f"http://me:{KEY}@a.example/api")
    assert re.fullmatch(r"default of self@a\.example at temperature 0 #[0-9a-f]{8}", told)
    chosen = Judge(target="self", llm_override=LlmOverride(model_provider="P", model_version="v"))
    assert fingerprint(chosen, "standin").startswith("P/v of self@standin at temperature 0 #")
    assert fingerprint(judge("http://b.example/v1"), "").startswith("m of b.example at temperature 0 #")


def test_models_of_embeddings_are_told_apart() -> None:
    ones = [Embeddings(model="a"), Embeddings(model="b"), Embeddings(model="a", base_url="http://a")]
    assert len({fingerprint_of(each) for each in ones}) == 3
    assert fingerprint_of(ones[2]) == fingerprint_of(Embeddings(model="a", base_url="http://a/"))
    assert fingerprint_of(ones[0]).startswith("a of a folder #")
