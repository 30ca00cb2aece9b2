"""The endpoints of a Sigma, over httpx; the transport is handed in.

A client speaks and listens. It does not judge: a status of 503 is an answer
like any other here, and what it means for a trial is `harness.drive.attempt`'s.

No redirect is followed, by any call: the key would go to whoever is named there. Every call has an end, in
time and in bytes, however the server goes on; a turn has its time limit and the limit of a tape.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter_ns
from types import TracebackType
from typing import Any, Self

import anyio
import httpx
import msgspec

from harness import __version__
from harness.errors import UsageError
from harness.redact.veil import OPEN, Veil
from harness.sigma.request import SEND

CONNECT_S = 10.0
SILENCE_S = 60.0
"""Of a stream: servers send a heartbeat every 15 s, and four missed ones are silence."""
CALL_S = 120.0
"""Of a call that is no turn, from its first byte to its last: a server may drip and never be silent."""
UPLOAD_S = 900.0
LONGEST_ANSWER = 64 * 2**20
"""Bytes in the answer to such a call, unpacked."""

_OF_THE_WAY = frozenset({"content-encoding", "content-length", "transfer-encoding"})

_log = logging.getLogger("harness.requests")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a Sigma is, how it is spoken to and with whose key. The key is in no repr.

    *veil* hides what must not be kept of what that server says.
    """

    base_url: str
    dialect: str = "sigma"
    api_key: str | None = None
    veil: Veil = OPEN

    def __repr__(self) -> str:
        return f"Address({self.base_url}, {self.dialect})"


class AnswerError(httpx.RemoteProtocolError):
    """An answer that cannot be read, or has no end."""


class Client:
    """Connections to one Sigma; closed by leaving the block. No call but a turn takes longer than *call_s*.

    All of them raise `httpx.TransportError`, and nothing else of httpx.
    """

    def __init__(
        self, address: Address, transport: httpx.AsyncBaseTransport, *, call_s: float = CALL_S
    ) -> None:
        # identity: the bytes that are stamped are the bytes that are read.
        headers = {"accept-encoding": "identity", "user-agent": f"sigma-harness/{__version__}"}
        if address.api_key:
            if not (address.api_key.isascii() and address.api_key.isprintable()):
                raise UsageError(
                    "the API key has characters that no header can hold: a line break, an accent ..."
                )
            headers["authorization"] = f"Bearer {address.api_key}"
        self.address = address
        self.veil = address.veil.also(address.api_key)
        self._call_s = call_s
        self._transport = transport
        self._turns: dict[str, tuple[httpx.URL, list[tuple[bytes, bytes]]]] = {}
        self._http = httpx.AsyncClient(
            base_url=address.base_url.rstrip("/"),
            transport=transport,
            headers=headers,
            timeout=httpx.Timeout(SILENCE_S, connect=CONNECT_S),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def send(
        self, body: Mapping[str, Any], *, extensions: dict[str, Any], path: str = SEND
    ) -> httpx.Response:
        """The response to one turn, once its head is there; the caller drains and closes it.

        *extensions* go to the transport: a stamped one fills the tape it finds
        under ``tape``. An answer that is not streamed is silent until it is whole: only
        its time limit ends the wait for it. Raises `httpx.TransportError`.
        """
        timeout = self._http.timeout.as_dict()
        if body.get("stream") is False:
            timeout["read"] = None
        content = msgspec.json.encode(body)
        url, headers = self._prepared(path)
        request = httpx.Request(
            "POST",
            url,
            headers=[*headers, (b"Content-Length", b"%d" % len(content))],
            stream=httpx.ByteStream(content),
            extensions={"timeout": timeout, **extensions},
        )
        request.read()
        # Past httpx's client: its redirects, cookies and hooks have no part in a turn, and to merge URL and
        # headers and to walk through them takes 0.3 ms of CPU a request, as much as ten packets.
        with _told_of(request) as tell:
            response = await self._transport.handle_async_request(request)
            tell(response.status_code)
        return response

    def _prepared(self, path: str) -> tuple[httpx.URL, list[tuple[bytes, bytes]]]:
        """The URL of *path* and the headers of each turn sent there, worked out once."""
        if path not in self._turns:
            blank = self._http.build_request("POST", path, headers={"content-type": "application/json"})
            fields = [field for field in blank.headers.raw if field[0].lower() != b"content-length"]
            self._turns[path] = blank.url, fields
        return self._turns[path]

    async def create_session(self, info: Mapping[str, Any]) -> httpx.Response:
        """The response to making a session ahead of its first turn (wire 5.3)."""
        return await self._call("POST", "/chat/create-chat-session", json=dict(info))

    async def stop(self, session_id: str) -> httpx.Response:
        """Ask the server to end the run of a session; closing the connection does not (wire 4.4)."""
        return await self._call("POST", f"/chat/stop-chat-session/{session_id}")

    async def session_detail(self, session_id: str) -> httpx.Response:
        """What the server keeps of a conversation (wire 5.3)."""
        return await self._call("GET", f"/chat/get-chat-session/{session_id}")

    async def delete_session(self, session_id: str) -> httpx.Response:
        """Delete one conversation."""
        return await self._call("DELETE", f"/chat/delete-chat-session/{session_id}")

    async def post(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        """The response to a JSON body that is no turn: a probe."""
        return await self._call("POST", path, json=dict(body))

    async def upload(self, name: str, content: bytes) -> httpx.Response:
        """The response to one file (wire 5.2): 200 even where it was rejected."""
        path, files = "/user/projects/file/upload", {"files": (name, content)}
        return await self._call("POST", path, within_s=UPLOAD_S, files=files)

    async def delete_file(self, user_file_id: str) -> httpx.Response:
        """Delete one upload."""
        return await self._call("DELETE", f"/user/projects/file/{user_file_id}")

    async def get(
        self, path: str, *, silence_s: float = SILENCE_S, extensions: dict[str, Any] | None = None
    ) -> httpx.Response:
        """The response to a look-up. *extensions* go to the transport, as those of `send` do."""
        timeout = httpx.Timeout(silence_s, connect=CONNECT_S)
        return await self._call("GET", path, timeout=timeout, extensions=extensions)

    async def _call(
        self, method: str, path: str, *, within_s: float | None = None, **rest: Any
    ) -> httpx.Response:
        """The whole response to a call that is no turn; *rest* is what httpx builds the request from."""
        limit_s = self._call_s if within_s is None else within_s
        request = self._http.build_request(method, path, **rest)
        try:
            with _told_of(request) as tell, anyio.fail_after(limit_s):
                response = await self._http.send(request, stream=True, follow_redirects=False)
                tell(response.status_code)
                try:
                    content = await _content(response)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise httpx.ReadTimeout(f"no end of the answer after {limit_s:g} s", request=request) from None
        except httpx.DecodingError as error:
            said = f"the answer came compressed, and is not what it says: {error}"
            raise AnswerError(said, request=request) from error
        except httpx.InvalidURL as error:  # of a redirect, which httpx reads also where it does not follow it
            said = f"the answer redirects to what is no address: {error}"
            raise AnswerError(said, request=request) from error
        fields, code = response.headers.multi_items(), response.headers.encoding
        kept = [  # as bytes, since httpx takes only ASCII as text
            (name.encode(code), self.veil.alone.text(value).encode(code, "replace"))
            for name, value in fields
            if name.lower() not in _OF_THE_WAY
        ]
        self.veil.alone.over(content)
        whole = httpx.Response(response.status_code, headers=kept, content=bytes(content), request=request)
        whole.encoding = "utf-8"  # whatever is said: JSON has no other, and Python's "zlib" is none of text
        return whole


async def _content(response: httpx.Response) -> bytearray:
    """The body as it is read, up to its limit."""
    content = bytearray()
    async for piece in response.aiter_bytes():
        content += piece
        if len(content) > LONGEST_ANSWER:
            said = f"the answer is longer than the limit of {LONGEST_ANSWER:,} bytes"
            raise AnswerError(said, request=response.request)
    return content


@contextmanager
def _told_of(request: httpx.Request) -> Iterator[Callable[[int], None]]:
    """A line in the log for a request, once it is known what came of it; no header and no body is in it."""
    if not _log.isEnabledFor(logging.DEBUG):
        yield lambda _: None
        return
    began_ns, said = perf_counter_ns(), "broke off"

    def tell(status: int) -> None:
        nonlocal said
        said = str(status)

    try:
        yield tell
    except httpx.TransportError as error:
        said = type(error).__name__
        raise
    finally:
        path, ms = request.url.raw_path.decode("ascii"), (perf_counter_ns() - began_ns) / 1e6
        _log.debug("%s %s %s %.1f ms", request.method, path, said, ms)
