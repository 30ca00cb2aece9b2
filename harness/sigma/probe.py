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

PROBE_S = 10.0
"""How long a server may take to say that it is well; even a saturated one says so at once (wire 5.10)."""

_NAMES_THE_FIELD = re.compile(r"""["']body["'],\s*["']internal_search_filters["']""")
"""In the place of a validation error. Its text also echoes the input, where the name says nothing."""


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
            f"{base}: no Sigma answers ({reason(error)}); is it running, and is target.base_url right?"
        ) from error
    if prefixed:
        return replace(address, base_url=f"{base}/api")
    if base.endswith("/api") and await _answers_without_prefix(client, base):
        return replace(address, base_url=base.removesuffix("/api"))
    page = "a web page" if health.is_success else str(health.status_code)
    raise TargetError(f"{base}: GET /health answered {page}, so this is not a Sigma that is well")


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
        where = "is target.api_key right, or with --target SIGMA_API_KEY?"
        raise TargetError(f"{base}: {key} (GET /me answered {me.status_code}); {where}")
    account = document(me)
    if account.get("is_anonymous_user") is True and not allow_anonymous:
        whose = "the API key is nobody's" if client.address.api_key else "there is no API key"
        raise TargetError(
            f"{base}: {whose}, and this Sigma lets anybody in as an anonymous user, whose rights are others; "
            "set target.api_key, or target.allow_anonymous: true"
        )
    return account


async def dialect_of(client: Client) -> str | None:
    """``sigma`` or ``onyx``, by how a request without a message is refused; None where that is unclear.

    The refusal is a 422 either way and runs no model. Only a server that has `internal_search_filters` also
    complains of what is in it (wire, two dialects).
    """
    asked = {"internal_search_filters": {"source_type": ["?"]}}
    try:
        answer = await client.post(SEND, asked)
    except httpx.TransportError:
        return None
    if answer.status_code != 422 or not isinstance(_json(answer), dict):
        return None
    return "onyx" if _NAMES_THE_FIELD.search(answer.text) else "sigma"


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
    except ValueError:
        return None


def reason(error: Exception) -> str:
    """What *error* says, or what it is."""
    return str(error) or type(error).__name__
