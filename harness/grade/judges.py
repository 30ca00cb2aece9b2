"""Who judges, in a line: what a judgement is worth hangs on it, so it is part of every judgement's key."""

from hashlib import blake2b
from urllib.parse import urlsplit

from harness.suite.model import Embeddings, Judge


def fingerprint(judge: Judge, target: str) -> str:
    """*judge* for people, with a digest of all that may change what it says. *target* is the Sigma it may be.

    Neither the key nor the number of votes is in it.
    """
    chosen = judge.llm_override
    if judge.target is not None:
        model = "/".join(filter(None, (chosen.model_provider, chosen.model_version))) if chosen else "default"
        temperature = chosen.temperature if chosen else None
        where, more = f"self@{_host(target)}", chosen.model_dump_json() if chosen else ""
    else:
        model, temperature = str(judge.model), judge.temperature
        where, more = _host(str(judge.base_url)), str(judge.base_url)
    told = f"{model} of {where} at temperature {temperature or 0:g}"
    return f"{told} #{_digest(told, more)}"


def fingerprint_of(embeddings: Embeddings) -> str:
    """The model of embeddings, likewise."""
    where = "a folder" if embeddings.base_url is None else _host(embeddings.base_url)
    told = f"{embeddings.model} of {where}"
    return f"{told} #{_digest(told, str(embeddings.base_url))}"


def _host(url: str) -> str:
    return urlsplit(url).netloc or url


def _digest(*parts: str) -> str:
    return blake2b("\0".join(parts).encode(), digest_size=4).hexdigest()
