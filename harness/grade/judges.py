"""Who judges, in a line: what a judgement is worth hangs on it, so it is part of every judgement's key."""

from hashlib import blake2b
from urllib.parse import urlsplit

from harness.suite.servers import Embeddings, Judge
from harness.suite.settings import LlmOverride


def fingerprint(judge: Judge, target: str) -> str:
    """*judge* for people, with a digest of all that may change what it says. *target* is the Sigma it may be.

    Neither a key nor the number of votes is in it. What is written in two ways and asks the same is the same:
    a temperature of 0 or none, an address with or without its last slash.
    """
    chosen, at = judge.llm_override or LlmOverride(), _address(judge.base_url or target)
    if judge.target is not None:
        model, temperature = _model(chosen), chosen.temperature or 0.0
        where = f"self@{_host(at)}"
    else:
        model, temperature = str(judge.model), judge.temperature or 0.0
        where = _host(at)
    told = f"{model} of {where} at temperature {temperature:g}"
    asked = chosen.model_copy(update={"temperature": temperature}).model_dump_json()
    return f"{told} #{_digest(told, at, asked)}"


def fingerprint_of(embeddings: Embeddings) -> str:
    """The model of embeddings, likewise."""
    at = _address(embeddings.base_url or "")
    told = f"{embeddings.model} of {_host(at) or 'a folder'}"
    return f"{told} #{_digest(told, at)}"


def _model(chosen: LlmOverride) -> str:
    named = "/".join(filter(None, (chosen.model_provider, chosen.model_version)))
    if chosen.model_configuration_id is None:
        return named or "default"
    return f"{named or 'model'} {chosen.model_configuration_id}"


def _address(url: str) -> str:
    """*url* without a user and password, which `--target` may have."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")


def _host(address: str) -> str:
    return urlsplit(address).netloc or address


def _digest(*parts: str) -> str:
    return blake2b("\0".join(parts).encode(), digest_size=4).hexdigest()
