"""Those who are asked for the sake of a check: a judge, or a model of embeddings. Never during a load.

Sigma as its own judge is asked as in any trial: one turn in a conversation of its own, its tools off, by the
rules of `harness.drive.attempt`. Whoever else is asked speaks the API of OpenAI. What goes wrong is said in a
sentence, since it is no exception that a judge is busy: its question can be put again.
"""

import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from operator import itemgetter
from pathlib import Path
from time import perf_counter_ns
from typing import Any, NamedTuple

import anyio
import httpx
from pydantic import SecretStr

from harness.drive import faults
from harness.drive.attempt import Running, attempt
from harness.drive.faults import LONGEST_RETRY_WAIT_S
from harness.plan.trials import Trial
from harness.result import Exchange
from harness.sigma.client import CONNECT_S, Client
from harness.sigma.transcript import Outcome, read_body
from harness.suite.prompts import Retry, Turn
from harness.suite.resolve import Case
from harness.suite.servers import Embeddings, Judge
from harness.suite.settings import LlmOverride, Settings

TRIES = 3
_BATCH = 64
_EMBEDDING_S = 120.0
_CLEANUP_S = 3.0


class Answered(NamedTuple):
    """What was said, or why nothing was: one of the two is empty."""

    text: str = ""
    error: str = ""

    def without(self, key: str) -> "Answered":
        """The same, if it repeats the *key* of who was asked without that."""
        return Answered(_without(key, self.text), _without(key, self.error))


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
        # Sigma's database holds no NUL and refuses it: an answer with one would escape its judge.
        turn = Turn(id="1", message=question.replace("\0", "\N{SYMBOL FOR NULL}"))
        case = Case("judge", (), (turn,), (), repeat=None, retry=retry, cluster=None)
        running = Running(Trial("judge", case, "judge", (settings,), retry=retry, repeat=1, phase="judge"))
        try:
            await attempt(running, client, perf_counter_ns)
        finally:
            if not keep_sessions:
                with anyio.move_on_after(_CLEANUP_S, shield=True):
                    await _delete_sessions(client, running)
        return _answer(running.exchanges[-1])

    return ask


async def _delete_sessions(client: Client, running: Running) -> None:
    """Each attempt may have had one of its own. What is left behind is no reason to have no judgement."""
    for session_id in dict.fromkeys(exchange.session_id for exchange in running.exchanges):
        if session_id is not None:
            with suppress(httpx.RequestError):
                await client.delete_session(session_id)


def _answer(exchange: Exchange) -> Answered:
    told = exchange.transcript
    if exchange.failure is not None:
        return Answered(error=str(exchange.failure))
    if told is None or told.outcome is not Outcome.SUCCESS:
        return Answered(error=f"the judge gave no answer: {told.outcome if told else 'no reply'}")
    return Answered(told.answer)


@asynccontextmanager
async def openai_http() -> AsyncIterator[httpx.AsyncClient]:
    """Connections for `openai_ask` and `openai_embed`."""
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=None)) as http:
        yield http


def openai_ask(http: httpx.AsyncClient, judge: Judge) -> Ask:
    """Put questions to a model of an OpenAI-compatible server; temperature 0 unless *judge* says another.

    ``/chat/completions`` goes below the base_url as it is written, as other clients do it.
    """

    async def ask(question: str) -> Answered:
        body = {
            "model": judge.model,
            "messages": [{"role": "user", "content": question}],
            "temperature": judge.temperature or 0,
            "stream": False,
        }
        told = await _posted(http, judge, "/chat/completions", body, limit_s=judge.time_limit / 1e9)
        return Answered(error=told) if isinstance(told, str) else _completion(told).without(_key(judge))

    return ask


def openai_embed(http: httpx.AsyncClient, embeddings: Embeddings) -> Embed:
    """Have texts turned into vectors by an OpenAI-compatible server, so many at a time.

    A blank text is not sent, since servers refuse all of a batch for it: its vector is empty.
    """

    async def embed(texts: list[str]) -> list[list[float]] | str:
        vectors: list[list[float]] = [[] for _ in texts]
        wanted = [at for at, text in enumerate(texts) if text.strip()]
        for start in range(0, len(wanted), _BATCH):
            places = wanted[start : start + _BATCH]
            body = {"model": embeddings.model, "input": [texts[at] for at in places]}
            told = await _posted(http, embeddings, "/embeddings", body, limit_s=_EMBEDDING_S)
            batch = told if isinstance(told, str) else _vectors(told, len(places))
            if isinstance(batch, str):
                return batch
            for at, vector in zip(places, batch, strict=True):
                vectors[at] = vector
        return vectors

    return embed


def local_embed(folder: Path) -> Embed:
    """Have texts turned into vectors by the sentence model in *folder*: nothing is fetched from anywhere."""

    def vectors(texts: list[str]) -> list[list[float]] | str:
        if not folder.is_dir():  # any other name would be looked up on a hub
            return f"{folder}: there is no such folder with a sentence model"
        try:
            from model2vec import StaticModel  # noqa: PLC0415  an extra, which few suites need
        except ImportError:
            return 'a sentence model in a folder needs an extra: pip install "sigma-harness[similar]"'
        try:
            model = StaticModel.from_pretrained(folder)
            # All of each text: by default what comes after 512 tokens counts for nothing.
            rows = model.encode(texts, max_length=None, use_multiprocessing=False)
        except Exception as error:  # noqa: BLE001  tokenizers raises no narrower one for a broken file
            return f"{folder}: cannot be read as a sentence model: {error}"
        return [list(map(float, row)) for row in rows]

    async def embed(texts: list[str]) -> list[list[float]] | str:
        return await anyio.to_thread.run_sync(vectors, texts, abandon_on_cancel=True)

    return embed


class _Tried(NamedTuple):
    """What one request came to: an object, or why there is none; whether to put it again, and how soon."""

    told: dict[str, Any] | str
    again: bool = False
    wait_s: float | None = None


async def _posted(
    http: httpx.AsyncClient, to: Judge | Embeddings, path: str, body: dict[str, Any], *, limit_s: float
) -> dict[str, Any] | str:
    """The JSON object that *body* is answered with, or why there is none; a busy server is asked again."""
    url = str(to.base_url).rstrip("/") + path
    key = _key(to)
    if key and not (key.isascii() and key.isprintable()):  # else an error of the network would quote it
        return "the API key has characters that no header can hold: a line break, an accent ..."
    http_request = http.build_request(
        "POST",
        url,
        json=body,
        headers={"authorization": f"Bearer {key}"} if key else {},
        timeout=httpx.Timeout(None, connect=CONNECT_S),
    )
    number = 1
    while True:
        tried = await _tried(http, http_request, limit_s=limit_s)
        if isinstance(tried.told, dict):
            return tried.told
        wait_s = 0.5 * 4 ** (number - 1) if tried.wait_s is None else tried.wait_s
        if not tried.again or number == TRIES:
            return tried.told
        if wait_s > LONGEST_RETRY_WAIT_S:
            return f"{tried.told} (and wants us to wait for {wait_s:g} s)"
        await anyio.sleep(wait_s)
        number += 1


async def _tried(http: httpx.AsyncClient, http_request: httpx.Request, *, limit_s: float) -> _Tried:
    url = http_request.url
    try:
        with anyio.fail_after(limit_s):
            response = await http.send(http_request)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
        return _Tried(f"{url} cannot be reached: {str(error) or type(error).__name__}", again=True)
    except httpx.HTTPError as error:
        return _Tried(f"{url} broke off: {str(error) or type(error).__name__}", again=True)
    except TimeoutError:
        return _Tried(f"no answer from {url} within {limit_s:g} s")
    return _read(response)


def _read(response: httpx.Response) -> _Tried:
    url, status = response.request.url, response.status_code
    if response.has_redirect_location:
        where = _without(_key_in(response), response.headers["location"])
        return _Tried(f"{url} redirects to {where}; is base_url right?")
    if not response.is_success:
        again = status == 429 or status >= 500
        said = _said(response)
        return _Tried(f"{url} answered {status}{said and ': '}{said}", again, _asked_to_wait_s(response))
    told = _json(response)
    if not isinstance(told, dict):
        return _Tried(f"{url} answered with what is no JSON object: {_said(response)}; is base_url right?")
    return _Tried(f"{url} answered with an error: {_said(response)}" if told.get("error") else told)


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


def _said(response: httpx.Response) -> str:
    """What an error says of itself, in short, without the key that it may repeat."""
    key, body = _key_in(response), response.content
    if body.lstrip()[:1] == b"<":
        body = _without(key, body.decode(errors="replace")).encode()
        text = faults.of_status(body, read_body(body, status=400), status=400, retry_after_s=None).detail
    else:
        text = _without(key, _message(_json(response)) or response.text)
    return " ".join(text.split())[:200]


def _key(of: Judge | Embeddings) -> str:
    return of.api_key.get_secret_value() if isinstance(of.api_key, SecretStr) else ""


def _key_in(response: httpx.Response) -> str:
    """The key that was sent along with what *response* answers."""
    return str(response.request.headers.get("authorization", "")).partition(" ")[2]


def _without(key: str, text: str) -> str:
    """Before anything is cut off: half a key is still a secret."""
    return text.replace(key, "***") if key else text


def _message(told: Any) -> str | None:
    """The sentence in the body of an error: servers have several places for it."""
    while isinstance(told, dict):
        told = next((told[key] for key in ("error", "message", "detail") if told.get(key)), None)
    return told if isinstance(told, str) else None


def _asked_to_wait_s(response: httpx.Response) -> float | None:
    """`Retry-After` in seconds; None without it, and for a date."""
    told = response.headers.get("retry-after", "")
    return float(told) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", told) else None


def _completion(told: dict[str, Any]) -> Answered:
    """The text of a completion; one without any says at least why it ended."""
    try:
        choice = told["choices"][0]
        content = choice["message"]["content"]
        why = choice.get("finish_reason")
    except (AttributeError, KeyError, IndexError, TypeError):
        return Answered(error="the judge gave no answer: its reply has no choices[0].message.content")
    if isinstance(content, str) and content:
        return Answered(content)
    return Answered(error=f"the judge gave no answer: no text, finish_reason {why}")


def _vectors(told: dict[str, Any], count: int) -> list[list[float]] | str:
    """In the order of what was sent: servers may answer in another."""
    try:
        rows = told["data"]
        if all("index" in row for row in rows):
            rows = sorted(rows, key=itemgetter("index"))
        vectors = [[float(number) for number in row["embedding"]] for row in rows]
    except (KeyError, TypeError, ValueError, OverflowError):
        return "what came back are no vectors: data[].embedding is wanted, a list of numbers"
    if len(vectors) != count:
        return f"{count} texts were sent and {len(vectors)} vectors came back"
    if not all(vector and all(map(math.isfinite, vector)) for vector in vectors):
        return "some vector that came back is empty, or has a number that is not finite"
    return vectors
