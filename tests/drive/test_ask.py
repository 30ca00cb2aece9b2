"""Those who are asked: Sigma as its own judge, OpenAI-compatible servers, models in a folder."""

import json
import threading
from collections.abc import Iterator
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

from harness.drive.ask import local_embed, openai_ask, openai_embed, sigma_ask
from harness.drive.local import local_sigma
from harness.drive.transport import transports
from harness.grade.judged import Question, read_vote
from harness.grade.judges import fingerprint, fingerprint_of
from harness.sigma.client import Address, Client
from harness.suite.model import Embeddings, Judge, LlmOverride

pytestmark = pytest.mark.anyio

KEY = "sk-planted-secret"
QUESTION = Question((("CRITERION", "Says thirty days"),), ("It is thirty days.",))


@contextmanager
def answering(*replies: tuple[int, str, dict[str, str]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that answers with *replies* (status, body, headers), the last again and again."""
    waiting, asked = list(replies), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            asked.append({"path": self.path, "key": self.headers["authorization"], "body": json.loads(body)})
            status, text, headers = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            if status == 0:
                threading.Event().wait(5)
                return
            self.send_response(status)
            for name, value in {"content-length": str(len(text.encode())), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
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


async def asked_of(url: str, **more: Any) -> Any:
    async with httpx.AsyncClient() as http:
        return await openai_ask(http, judge(url, **more))("Is it so?")


@pytest.mark.parametrize("dialect", ["sigma", "onyx"])
async def test_sigma_judges_itself_in_a_conversation_of_its_own_and_without_tools(dialect: str) -> None:
    judging = Judge(
        target="self", llm_override=LlmOverride(model_provider="Simulated", model_version="judge")
    )
    async with local_sigma(dialect, None) as url:
        address = Address(url, dialect)
        async with Client(address, transports(url)()) as client:
            told = await sigma_ask(client, judging)(QUESTION.text((0,)))
            await sigma_ask(client, judging, keep_sessions=False)(QUESTION.text((0,)))
            sessions = (await client.get("/chat/get-user-chat-sessions")).json()["sessions"]
            detail = (await client.session_detail(sessions[0]["id"])).json()
    assert told.error == ""
    assert read_vote(QUESTION, (0,), told.text).verdict == "pass"
    assert len(sessions) == 1
    texts = str(detail)
    assert "search_tool" not in texts


async def test_a_model_that_sigma_does_not_have_is_an_error_in_a_sentence() -> None:
    nobody = Judge(
        target="self", llm_override=LlmOverride(model_provider="Simulated", model_version="nobody")
    )
    async with local_sigma("sigma", None) as url, Client(Address(url), transports(url)()) as client:
        told = await sigma_ask(client, nobody)("Is it so?")
    assert told.text == ""
    assert "nobody" in told.error


async def test_an_openai_compatible_server_is_asked_with_its_key_at_temperature_0() -> None:
    with answering(said("yes")) as (url, asked):
        assert await asked_of(url) == ("yes", "")
    (one,) = asked
    assert one["path"] == "/v1/chat/completions"
    assert one["key"] == f"Bearer {KEY}"
    assert (one["body"]["temperature"], one["body"]["model"]) == (0, "m")
    assert one["body"]["messages"] == [{"role": "user", "content": "Is it so?"}]


@pytest.mark.parametrize(
    ("replies", "error", "times"),
    [
        ([(401, '{"error": {"message": "bad key"}}', {})], "answered 401: bad key", 1),
        ([(404, '{"error": "no model m"}', {})], "answered 404: no model m", 1),
        ([(502, "<html>Bad gateway</html>", {})], "answered 502: <html>Bad gateway</html>", 3),
        ([(200, "<html>", {})], "what is no JSON object", 1),
        ([(200, '{"choices": []}', {})], "the judge gave no answer", 1),
        ([(200, '{"choices": [{"message": {"content": null}}]}', {})], "the judge gave no answer", 1),
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
    assert KEY not in told.error
    assert len(asked) == times


async def test_a_busy_server_is_asked_again() -> None:
    with answering((429, "slow down", {}), said("yes")) as (url, asked):
        assert (await asked_of(url)).text == "yes"
    assert len(asked) == 2


async def test_a_server_that_never_answers_is_given_up_at_the_time_limit() -> None:
    with answering((0, "", {})) as (url, _):
        told = await asked_of(url, time_limit="300ms")
    assert told.error.endswith("within 0.3 s")


async def test_a_server_that_is_not_there_is_said() -> None:
    with answering(said("x")) as (url, _):
        pass
    assert "cannot be reached" in (await asked_of(url)).error


async def test_asking_can_be_cancelled() -> None:
    with answering((0, "", {})) as (url, asked), anyio.move_on_after(0.5) as scope:
        await asked_of(url)
    assert scope.cancelled_caught
    assert len(asked) == 1


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


async def test_a_sentence_model_in_a_folder_is_read_from_there(tmp_path: Path) -> None:
    words = Tokenizer(WordLevel({"[UNK]": 0, "refund": 1, "days": 2, "cat": 3}, unk_token="[UNK]"))  # noqa: S106
    words.pre_tokenizer = Whitespace()
    StaticModel(np.eye(4, dtype=np.float32), words).save_pretrained(tmp_path / "model")
    vectors = await local_embed(tmp_path / "model")(["refund", "cat cat"])
    assert vectors == [[0, 1, 0, 0], [0, 0, 0, 1]]
    assert "there is no such folder" in await local_embed(tmp_path / "other")(["a"])
    (tmp_path / "empty").mkdir()
    assert "cannot be read as a sentence model" in await local_embed(tmp_path / "empty")(["a"])


# Fingerprints


def test_who_judges_is_told_apart_by_everything_but_its_key_and_its_votes() -> None:
    base = judge("http://a.example/v1")
    others = [
        judge("http://b.example/v1"),
        base.model_copy(update={"model": "n"}),
        base.model_copy(update={"temperature": 0.5}),
        Judge(target="self"),
        Judge(target="self", llm_override=LlmOverride(model_version="x")),
    ]
    assert len({fingerprint(each, "standin") for each in [base, *others]}) == 6
    assert fingerprint(base, "standin") == fingerprint(
        base.model_copy(update={"votes": 5, "api_key": None}), "elsewhere"
    )
    assert KEY not in fingerprint(base, "standin")
    assert fingerprint(Judge(target="self"), "http://a") != fingerprint(Judge(target="self"), "http://b")
    assert fingerprint_of(Embeddings(model="a")) != fingerprint_of(Embeddings(model="a", base_url="http://a"))
