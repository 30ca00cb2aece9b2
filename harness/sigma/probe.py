"""The first words with a server: is it a Sigma, where exactly, whose key is this, which dialect.

Everything here is free: no model runs, nothing is kept. What a key may not ask, or a server does not have,
is passed over; only what would make every trial fail, or mean something else, is an error.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx

from harness.errors import TargetError
from harness.sigma.client import Address, Client
from harness.sigma.deprecated import PATHS
from harness.sigma.request import SEND
from harness.suite.keys import KEY_VARIABLE

PROBE_S = 10.0
"""How long a server may take to say that it is well; even a saturated one says so at once (wire 5.10)."""

_NAMES_THE_FIELD = re.compile(r"""["']body["'],\s*["']internal_search_filters["']""")
"""In the place of a validation error. Its text also echoes the input, where the name says nothing."""
_LISTS_SOURCES = re.compile(r"Input should be ('[\w-]+'(?:, '[\w-]+')*(?: or '[\w-]+')?)")


async def located(client: Client) -> Address:
    """The address at which the API answers: as given, or with ``/api``, behind the front door's prefix.

    Raises `TargetError`, with the likely fix, where no Sigma answers at either.
    """
    address = client.address
    base = address.base_url.rstrip("/")
    try:
        health = await client.get("/health", silence_s=PROBE_S)
        if is_well(health):
            return address
        prefixed = is_well(await client.get("/api/health", silence_s=PROBE_S))
    except httpx.TransportError as error:
        raise TargetError(
            f"{base}: no Sigma answers ({reason(error)}); is it running, and is the address right?"
        ) from error
    if prefixed:
        return replace(address, base_url=f"{base}/api")
    if base.endswith("/api") and await _answers_without_prefix(client, base):
        return replace(address, base_url=base.removesuffix("/api"))
    page = "a web page" if health.is_success else str(health.status_code)
    raise TargetError(
        f"{base}: GET /health answered {page}, so this is not a Sigma that is well; is the address right?"
    )


async def _answers_without_prefix(client: Client, base: str) -> bool:
    """Whether the bare server answers, which has no ``/api`` (wire 1)."""
    try:
        return is_well(await client.get(f"{base.removesuffix('/api')}/health", silence_s=PROBE_S))
    except httpx.TransportError:
        return False


async def identified(client: Client, *, allow_anonymous: bool) -> Mapping[str, Any]:
    """What `GET /me` says of the key's account; empty where it may not be asked.

    Raises `TargetError` where the key is refused, and where the server takes it for nobody's: with anonymous
    access switched on, a wrong key is not refused but runs with other rights (wire 4.1).
    """
    base = client.address.base_url
    try:
        me = await client.get("/me")
    except httpx.TransportError as error:
        raise TargetError(f"{base}/me: {reason(error)}") from error
    if me.status_code == 401 or (me.status_code == 403 and "not authenticated" in me.text):
        key = (
            "the API key was refused" if client.address.api_key else "an API key is wanted, and there is none"
        )
        set_it = f"set {KEY_VARIABLE}, or target.api_key of the suite"
        raise TargetError(f"{base}: {key} (GET /me answered {me.status_code}); {set_it}")
    account = document(me)
    if account.get("is_anonymous_user") is True and not allow_anonymous:
        whose = "the API key is nobody's" if client.address.api_key else "there is no API key"
        raise TargetError(
            f"{base}: {whose}, and this Sigma lets anybody in as an anonymous user, whose rights are others; "
            f"set {KEY_VARIABLE} or target.api_key, or target.allow_anonymous: true"
        )
    return account


async def dialect_of(client: Client) -> str | None:
    """``sigma`` or ``onyx``, by how a request without a message is refused; None where that is unclear."""
    try:
        return dialect_in(await without_message(client))
    except httpx.TransportError:
        return None


async def without_message(client: Client) -> httpx.Response:
    """How a request without a message is refused: whether this key may ask at all, and in which dialect.

    It runs no model. Raises `httpx.TransportError`.
    """
    return await client.post(SEND, {"internal_search_filters": {"source_type": ["?"]}})


def dialect_in(refusal: httpx.Response) -> str | None:
    """The dialect of a server that refuses so; None where that is unclear.

    The refusal is a 422 either way. Only a server that has `internal_search_filters` also complains of what
    is in it (wire, two dialects).
    """
    if refusal.status_code != 422 or not isinstance(_json(refusal), dict):
        return None
    return "onyx" if _NAMES_THE_FIELD.search(refusal.text) else "sigma"


def sources_in(refusal: httpx.Response) -> tuple[str, ...] | None:
    """The source types that a server lists where it refuses one that is none (wire 1.5); None of no list."""
    told = _LISTS_SOURCES.search(refusal.text) if dialect_in(refusal) == "onyx" else None
    return tuple(re.findall(r"'([\w-]+)'", told[1])) if told else None


async def require_endpoint(client: Client, endpoint: str) -> None:
    """Raise `TargetError` where the server has dropped a deprecated endpoint; nothing is asked of it."""
    path = PATHS[endpoint]
    try:
        answer = await client.post(path, {})
    except httpx.TransportError as error:
        raise TargetError(f"{client.address.base_url}{path}: {reason(error)}") from error
    if answer.status_code in {404, 405, 410, 501}:
        raise TargetError(
            f"{client.address.base_url}: this Sigma has dropped {path} (it answered {answer.status_code}), "
            "which was to be left by 1 February 2026; take endpoint out: send-chat-message replaces it"
        )


def is_well(response: httpx.Response) -> bool:
    """A 200 that is no web page: the front door shows one for any path that is not the API's."""
    return response.is_success and "html" not in response.headers.get("content-type", "")


def document(response: httpx.Response) -> Mapping[str, Any]:
    """The JSON object of an answer that is well, else an empty one."""
    found = _json(response) if is_well(response) else None
    return found if isinstance(found, dict) else {}


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


def reason(error: Exception) -> str:
    """What *error* says, or what it is."""
    return str(error) or type(error).__name__
