"""Those who are asked for the sake of a check: a judge, or a model of embeddings. Never during a load.

Sigma as its own judge is asked as in any trial: one turn in a conversation of its own, its tools off, by the
rules of `harness.drive.attempt`. Whoever else is asked speaks the API of OpenAI. What goes wrong is said in a
sentence, since it is no exception that a judge is busy: its question can be put again.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import perf_counter_ns
from typing import Any, NamedTuple

import anyio
import httpx
from pydantic import SecretStr

from harness.drive.attempt import Running, attempt
from harness.plan import Trial
from harness.sigma.client import Client
from harness.sigma.transcript import Outcome
from harness.suite.model import Embeddings, Judge, LlmOverride, Retry, Settings, Turn
from harness.suite.resolve import Case

TRIES = 3
_BUSY = frozenset({429, 500, 502, 503, 504})
_LONGEST_WAIT_S = 30.0
_BATCH = 64


class Answered(NamedTuple):
    """What was said, or why nothing was: one of the two is empty."""

    text: str = ""
    error: str = ""


Ask = Callable[[str], Awaitable[Answered]]
Embed = Callable[[list[str]], Awaitable[list[list[float]] | str]]
"""The vectors of texts, in their order; or why they could not be had."""


def sigma_ask(client: Client, judge: Judge, *, keep_sessions: bool = True) -> Ask:
    """Put questions to the Sigma of *client*: each in a conversation of its own, with no tool allowed.

    Unless they are to be kept, the conversations are deleted again.
    """
    model = judge.llm_override or LlmOverride()
    if model.temperature is None:
        model = model.model_copy(update={"temperature": 0.0})
    asked = Settings(llm_override=model, allowed_tool_ids=())
    settings = asked.model_copy(update={"time_limit": judge.time_limit})
    retry = Retry.model_validate({"attempts": TRIES, "for": ("connect", "429", "503")})

    async def ask(question: str) -> Answered:
        turn = Turn(id="1", message=question)
        case = Case("judge", (), (turn,), (), repeat=None, retry=retry, cluster=None)
        trial = Trial("judge", case, "judge", (settings,), retry=retry, repeat=1, phase="judge")
        result = await attempt(Running(trial), client, perf_counter_ns)
        exchange = result.turns[-1]
        if exchange.session_id is not None and not keep_sessions:
            with suppress(httpx.RequestError):  # what is left behind is no reason to have no judgement
                await client.delete_session(exchange.session_id)
        if exchange.failure is not None:
            return Answered(error=str(exchange.failure))
        told = exchange.transcript
        if told is None or told.outcome is not Outcome.SUCCESS:
            return Answered(error=f"the judge gave no answer: {told.outcome if told else 'no reply'}")
        return Answered(told.answer)

    return ask


@asynccontextmanager
async def openai_http() -> AsyncIterator[httpx.AsyncClient]:
    """Connections for `openai_ask` and `openai_embed`."""
    async with httpx.AsyncClient() as http:
        yield http


def openai_ask(http: httpx.AsyncClient, judge: Judge) -> Ask:
    """Put questions to a model of an OpenAI-compatible server; temperature 0 unless *judge* says another."""

    async def ask(question: str) -> Answered:
        body = {
            "model": judge.model,
            "messages": [{"role": "user", "content": question}],
            "temperature": judge.temperature or 0,
        }
        told = await _posted(http, judge, "/chat/completions", body, limit_s=judge.time_limit / 1e9)
        if isinstance(told, str):
            return Answered(error=told)
        text = _content(told)
        return Answered(text) if text else Answered(error="the judge gave no answer")

    return ask


def openai_embed(http: httpx.AsyncClient, embeddings: Embeddings) -> Embed:
    """Have texts turned into vectors by an OpenAI-compatible server, so many at a time."""

    async def embed(texts: list[str]) -> list[list[float]] | str:
        vectors: list[list[float]] = []
        for start in range(0, len(texts), _BATCH):
            body = {"model": embeddings.model, "input": texts[start : start + _BATCH]}
            told = await _posted(http, embeddings, "/embeddings", body, limit_s=120.0)
            if isinstance(told, str):
                return told
            batch = _vectors(told)
            if len(batch) != len(body["input"]):
                return f"{len(body['input'])} texts were sent and {len(batch)} vectors came back"
            vectors += batch
        return vectors

    return embed


def local_embed(folder: Path) -> Embed:
    """Have texts turned into vectors by the sentence model in *folder*: nothing is fetched from anywhere."""

    def vectors(texts: list[str]) -> list[list[float]] | str:
        if not folder.is_dir():
            return f"{folder}: there is no such folder with a sentence model"
        try:
            from model2vec import StaticModel  # noqa: PLC0415  an extra, which few suites need
        except ImportError:
            return 'a sentence model in a folder needs an extra: pip install "sigma-harness[similar]"'
        try:
            return [list(map(float, row)) for row in StaticModel.from_pretrained(folder).encode(texts)]
        except (OSError, ValueError, KeyError) as error:
            return f"{folder}: cannot be read as a sentence model: {error}"

    async def embed(texts: list[str]) -> list[list[float]] | str:
        return await anyio.to_thread.run_sync(vectors, texts)

    return embed


async def _posted(
    http: httpx.AsyncClient, to: Judge | Embeddings, path: str, body: dict[str, Any], *, limit_s: float
) -> dict[str, Any] | str:
    """The JSON object that *body* is answered with, or why there is none; a busy server is asked again."""
    url = str(to.base_url).rstrip("/") + path
    key = to.api_key.get_secret_value() if isinstance(to.api_key, SecretStr) else None
    headers = {"authorization": f"Bearer {key}"} if key else {}
    why = ""
    for number in range(TRIES):
        wait_s = 0.5 * 4**number
        try:
            with anyio.fail_after(limit_s):
                response = await http.post(url, json=body, headers=headers, timeout=limit_s)
        except TimeoutError:
            return f"no answer from {url} within {limit_s:g} s"
        except httpx.HTTPError as error:
            why = f"{url} cannot be reached: {str(error) or type(error).__name__}"
        else:
            if response.status_code < 400:
                return _object(response, url)
            why = f"{url} answered {response.status_code}: {_said(response)}"
            if response.status_code not in _BUSY:
                return why
            wait_s = _asked_to_wait_s(response) or wait_s
        if number + 1 < TRIES:
            await anyio.sleep(min(wait_s, _LONGEST_WAIT_S))
    return why


def _object(response: httpx.Response, url: str) -> dict[str, Any] | str:
    try:
        told = response.json()
    except ValueError:
        told = None
    return (
        told if isinstance(told, dict) else f"{url} answered with what is no JSON object: {_said(response)}"
    )


def _said(response: httpx.Response) -> str:
    """What an error says of itself, in short."""
    try:
        told = response.json()
    except ValueError:
        told = None
    error = told.get("error") if isinstance(told, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    text = message if isinstance(message, str) else response.text
    return " ".join(text.split())[:200]


def _asked_to_wait_s(response: httpx.Response) -> float | None:
    told = response.headers.get("retry-after", "")
    return float(told) if told.isdecimal() else None


def _content(told: dict[str, Any]) -> str:
    try:
        content = told["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return ""
    return content if isinstance(content, str) else ""


def _vectors(told: dict[str, Any]) -> list[list[float]]:
    """In the order of what was sent: servers may answer in another."""
    try:
        rows = sorted(told["data"], key=lambda row: row["index"])
        return [[float(number) for number in row["embedding"]] for row in rows]
    except (KeyError, TypeError, ValueError):
        return []
