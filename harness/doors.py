"""Who may ask a server of ours: rules on what a request says of where it comes from.

A page of somebody else, open in a browser on this machine, can send requests to a server here. It cannot hide
that it does: the browser says whose page asks (`Origin`, `Sec-Fetch-Site`), and by which name the server was
reached (`Host`), also where a name of that page's own was turned to 127.0.0.1 for it.
"""

import hmac
import ipaddress
from collections.abc import Collection, Mapping

SHORTEST = 16
"""Letters of a token that a person may choose: it is all that keeps others out."""


def host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    return name.lower().rstrip(".")


def is_address(name: str) -> bool:
    """Whether *name* is an address of IPv4 or IPv6."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches *host*."""
    if host == "localhost":
        return True
    return is_address(host) and ipaddress.ip_address(host).is_loopback


def is_ours(host: str, names: Collection[str]) -> bool:
    """Whether a Host header names us: by one of *names*, or by an address.

    No address can be turned to another machine, as a name can, nor can what is below `localhost`. Only
    0.0.0.0 and :: are none of ours: browsers let any page ask for them, and come out here.
    """
    name = host_name(host)
    return (
        name in names
        or name.endswith(".localhost")
        or (is_address(name) and not ipaddress.ip_address(name).is_unspecified)
    )


def is_strange(headers: Mapping[str, str], *, visits: bool = False) -> bool:
    """Whether a page of another origin has its browser ask for this; by header names in small letters.

    With *visits* a link that leads here from elsewhere is none: then the whole page is ours, and nobody else
    sees it. Another port of this machine is another origin. What is no browser says nothing, and is let in.
    """
    if "origin" in headers and not _is_of(headers["origin"], headers.get("host", "")):
        return True
    if headers.get("sec-fetch-site", "none") in {"none", "same-origin"}:
        return False
    leads_here = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return not (visits and leads_here)


def _is_of(origin: str, host: str) -> bool:
    """Whether the page of *origin* is of the server *host*; one without an origin (`null`) is of nobody's."""
    place = origin.partition("://")[2].lower()
    return bool(place) and place == host.lower()


def is_same(given: str, secret: str) -> bool:
    """Whether *given* is *secret*; takes as long wherever they part."""
    return hmac.compare_digest(given.encode(), secret.encode())


def bearer(headers: Mapping[str, str]) -> str:
    """What a request's Authorization bears, else nothing."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""
