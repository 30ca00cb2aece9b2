"""The way to the target as the command line has it, in place of what the suite says.

A suite's certificates and proxy are for its own server alone; what stands on the command line is for the
server that is asked, whichever that is, and for nobody else: a judge, embeddings and a collector are trusted
as ever.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from harness.errors import UsageError
from harness.suite.model import Suite
from harness.suite.servers import Target

UNVERIFIED = "TLS is not verified"
"""How the warning begins that no run is without which takes anybody for its target."""


@dataclass(frozen=True, slots=True)
class Access:
    """Files of TLS, relative to the working folder; *insecure* takes anybody; *proxy* is a URL or `none`."""

    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    proxy: str | None = None
    insecure: bool = False


def accessed(suite: Suite, target: str | None, access: Access) -> Suite:
    """*suite* with the way to its target, or to *target*, as *access* has it.

    Raises `UsageError` where a file is missing, two of these exclude each other, or there is no TLS at all.
    """
    if access == Access():
        return suite
    own = suite.target.base_url
    url = own if target is None else target
    if url is None or url == "standin":
        flags = ", ".join(flag for flag, _ in _flags(access))
        raise UsageError(f"{flags}: for a server; the stand-in is plain http on loopback")
    if access.insecure and access.ca_file is not None:
        raise UsageError("--insecure trusts anybody, and --ca-file whom it names: one of them")
    if access.client_key is not None and access.client_cert is None:
        raise UsageError("--client-key is the key of a certificate: name that in --client-cert")
    for flag, value in _flags(access):
        if isinstance(value, Path) and not value.exists():
            raise UsageError(f"{flag} {value}: there is no such file")
    # To another server nothing goes along that the suite says of its own.
    kept = suite.target if own is not None and _is_same(own, url) else _without_way(suite.target)
    return suite.model_copy(update={"target": kept.model_copy(update={"base_url": url, **_keys(access)})})


def _flags(access: Access) -> Iterator[tuple[str, object]]:
    if access.insecure:
        yield "--insecure", True
    for name in ("ca_file", "client_cert", "client_key", "proxy"):
        if (value := getattr(access, name)) is not None:
            yield f"--{name.replace('_', '-')}", value


def _keys(access: Access) -> dict[str, Any]:
    """The keys of a suite's target that *access* stands for; what it does not say is not among them."""
    keys: dict[str, Any] = {}
    if access.insecure:
        keys |= {"verify_tls": False, "ca_file": None}
    if access.ca_file is not None:
        keys |= {"verify_tls": True, "ca_file": str(access.ca_file.absolute())}
    if access.client_cert is not None:
        key = access.client_key and str(access.client_key.absolute())
        keys |= {"client_cert": str(access.client_cert.absolute()), "client_key": key}
    if access.proxy is not None:
        keys["proxy"] = _proxy(access.proxy)
    return keys


def _proxy(written: str) -> str | bool:
    if written == "none":
        return False
    if "@" in written:
        raise UsageError(
            "--proxy: every user of this machine can read a command line: a password goes into HTTPS_PROXY, "
            'or by proxy: "${SIGMA_PROXY}" into the suite\'s target'
        )
    try:
        parts = urlsplit(written)
        is_right = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_right = False
    if not is_right:
        raise UsageError(f"--proxy {written}: http://host:port is wanted, or none")
    return written


def _without_way(target: Target) -> Target:
    own = Target()
    keys = ("ca_file", "client_cert", "client_key", "verify_tls", "proxy")
    return target.model_copy(update={key: getattr(own, key) for key in keys})


def _is_same(one: str, other: str) -> bool:
    try:
        ours, asked = httpx.URL(one), httpx.URL(other)
    except httpx.InvalidURL:
        return False
    return (ours.scheme, ours.host, ours.port) == (asked.scheme, asked.host, asked.port)


def doubts(suite: Suite, target: str | None = None) -> list[str]:
    """What a run of *suite* against its own server, or *target*, has to say of itself before it begins."""
    own = suite.target.base_url
    url = own if target is None else target
    if url is None or own is None or not _is_same(own, url) or httpx.URL(url).scheme != "https":
        return []
    if suite.target.verify_tls or suite.target.ca_file is not None:
        return []
    told = (
        f"{UNVERIFIED} (--insecure, or verify_tls: false): whoever answers at {url} is taken for the server"
    )
    return [f"{told}, reads every prompt, and gets the API key; --ca-file names the CA to trust instead"]
