"""What went wrong with one exchange, and whether it may be tried again.

The one place where httpx's exceptions, statuses, error lines and what a reply lacks become faults. The
server's own `is_retryable` is true even for an unknown session (wire 4.2), so what may be tried again is
decided here.
"""

import re

import httpx
from msgspec import Struct, structs

from harness.drive.connection import NotHttpError
from harness.result import Exchange, Failure, Fault, Step
from harness.sigma.client import AnswerError
from harness.sigma.reply import ModelReading
from harness.sigma.tolerant import fitting, loads
from harness.sigma.transcript import Outcome, Transcript

RETRY_WAIT_S = 0.5
LONGEST_RETRY_WAIT_S = 60.0
"""A `Retry-After` may be a day, the end of a budget (wire 4.1): nobody sleeps that off, the run stops."""

_LONGEST_TOLD_S = 1e9  # thirty years

_AS_STATUS = {
    "RATE_LIMIT": "429",
    "SERVICE_UNAVAILABLE": "503",
    "CONNECTION_ERROR": "503",
    "API_ERROR": "503",
    "INIT_FAILED": "500",
    "INTERNAL_ERROR": "500",
    "MODEL_ERROR": "500",
    "STREAM_WRITER_ERROR": "500",
    "CUSTOM_ERROR": "500",
    "BAD_GATEWAY": "502",
    "LLM_PROVIDER_ERROR": "502",
    "HOOK_EXECUTION_FAILED": "502",
    "GATEWAY_TIMEOUT": "504",
}
"""Error lines that are outages behind Sigma, by the status that says the same. Any other code is final:
UNKNOWN_ERROR too, since a forced tool that does not exist and a message that is too long have that code."""


def of_transport(error: httpx.RequestError, step: Step) -> Failure:
    """What the network did, most specific first."""
    detail = str(error) or type(error).__name__
    match error:
        case httpx.ConnectTimeout():
            return Failure(Fault.TIMED_OUT, Step.CONNECT, detail)
        case httpx.TimeoutException():
            return Failure(Fault.TIMED_OUT, step, detail)
        case httpx.ConnectError() | httpx.ProxyError() | httpx.UnsupportedProtocol():
            return Failure(Fault.CONNECT, Step.CONNECT, detail)
        case NotHttpError() | AnswerError() | httpx.LocalProtocolError() | httpx.DecodingError():
            return Failure(Fault.PROTOCOL, step, detail)
        case _:  # the bare RemoteProtocolError too: the server closed before its answer was whole
            return Failure(Fault.DISCONNECTED, step, detail)


def in_reply(exchange: Exchange, retry_after_s: float | None) -> Failure | None:
    """What the reply itself says went wrong, or lacks; None for one that is whole."""
    transcript, status = exchange.transcript, exchange.http_status
    if transcript is None or status is None:
        return None
    if status >= 400:
        return of_status(exchange.body, transcript, status=status, retry_after_s=retry_after_s)
    if "html" in exchange.content_type:
        said = f"a web page instead of a reply: {_title(exchange.body)}; is target.base_url right?"
        return Failure(Fault.PROTOCOL, Step.BODY, said, http_status=status)
    for model in transcript.models or ():
        if (failure := _of_outcome(model, status)) is not None:
            said = f"model {model.model_index} of {len(transcript.models or ())}: {failure.detail}"
            return Failure(failure.fault, failure.step, said, code=failure.code, http_status=status)
    return _of_outcome(transcript, status) or _of_lines(transcript, status)


def _of_lines(said: Transcript, status: int) -> Failure | None:
    """A line that cannot be read may have been words of the answer: the rest is not graded as if whole."""
    if not said.bad_lines:
        return None
    lines = "1 line of the reply is" if said.bad_lines == 1 else f"{said.bad_lines} lines of the reply are"
    return Failure(
        Fault.PROTOCOL, Step.BODY, f"{lines} no JSON object; what stood there is lost", http_status=status
    )


def _of_outcome(said: Transcript | ModelReading, status: int) -> Failure | None:
    match said.outcome:
        case Outcome.ERROR:
            code, detail = (said.error.code, said.error.message) if said.error else (None, "")
            return Failure(Fault.ERROR_LINE, Step.BODY, detail, code=code, http_status=status)
        case Outcome.TRUNCATED:
            return Failure(Fault.TRUNCATED, Step.BODY, "the body ended without a stop packet")
        case _:
            return None


def of_status(
    body: bytes,
    transcript: Transcript,
    *,
    status: int,
    retry_after_s: float | None,
    step: Step = Step.HEADERS,
) -> Failure:
    """An HTTP error in any of its shapes (wire 4.1), the page of a proxy among them."""
    error, told = transcript.error, _limited(body)
    detail = error.message if error else ""
    if body.lstrip()[:1] == b"<":
        detail = f"a web page, as proxies send them: {_title(body)}"
    elif status == 403 and "not authenticated" in detail:
        detail += " (Sigma says so for a missing, wrong, revoked or expired key; it is no 401 here)"
    return Failure(
        Fault.HTTP,
        step,
        detail,
        code=error.code if error else None,
        http_status=status,
        retry_after_s=told.retry_after_seconds if retry_after_s is None else retry_after_s,
        reset_at=told.reset_at,
    )


def _title(body: bytes) -> str:
    """What a web page is about, in a few words."""
    text = body[:4096].decode(errors="replace")
    found = re.search(r"<title[^>]*>(.*?)</title>", text, re.I | re.S) or re.search(
        r"<h1[^>]*>(.*?)</h1>", text
    )
    words = found[1] if found else re.sub(r"<[^>]*>", " ", text)
    return " ".join(words.split())[:120] or "without a title"


class _Limited(Struct):
    """What a 429 says of itself (wire 4.1)."""

    reset_at: str | None = None
    retry_after_seconds: float | None = None


def _limited(body: bytes) -> _Limited:
    try:
        fields = loads(body)
    except ValueError:
        fields = None
    told = fitting(_Limited, fields if isinstance(fields, dict) else {})
    return structs.replace(told, retry_after_seconds=_finite(told.retry_after_seconds))


def refused_until(failure: Failure) -> str | None:
    """How long a 429 refuses everything, where that is longer than any retry waits; else None."""
    wait_s = failure.retry_after_s
    if failure.http_status != 429 or wait_s is None or wait_s <= LONGEST_RETRY_WAIT_S:
        return None
    hours, minutes = divmod(round(wait_s / 60), 60)
    return f"until {failure.reset_at}" if failure.reset_at else f"for {hours} h {minutes} min"


def refuses_the_key(failure: Failure) -> bool:
    """Whether Sigma does not know the key (any more): no other trial would fare better."""
    return failure.http_status == 401 or (
        failure.http_status == 403 and failure.code is None and "not authenticated" in failure.detail
    )


def retry_wait_s(exchange: Exchange, wanted: tuple[str, ...], *, anew: bool) -> float | None:
    """Seconds until the turn may be sent again, None for never.

    Only after what `retry.for` names, and only where the server cannot have taken the turn, or where asking
    *anew* does no harm: a second send in a session that goes on would add a second user message. Never once
    text of the answer has come: a reply that breaks midway is a finding, and its time has been spent.
    """
    failure = exchange.failure
    if failure is None or (exchange.transcript and exchange.transcript.marks.first_text is not None):
        return None
    name = _retry_name(failure, anew=anew)
    wait_s = failure.retry_after_s if failure.retry_after_s is not None else RETRY_WAIT_S * exchange.attempt
    return wait_s if name in wanted and wait_s <= LONGEST_RETRY_WAIT_S else None


def _retry_name(failure: Failure, *, anew: bool) -> str | None:
    """The word of `retry.for` that covers *failure*."""
    match failure:
        case Failure(fault=Fault.CONNECT) | Failure(fault=Fault.TIMED_OUT, step=Step.CONNECT):
            return "connect"
        case Failure(fault=Fault.HTTP, http_status=status):
            return str(status)
        case Failure(fault=Fault.TIMED_OUT) if anew:
            return "timeout"
        case Failure(fault=Fault.DISCONNECTED) if anew:
            return "reset"
        case Failure(fault=Fault.ERROR_LINE, code=str(code)) if anew:
            return _AS_STATUS.get(code)
        case _:
            return None


def seconds(header: str | None) -> float | None:
    """`Retry-After` in seconds; its date form is not used by this API."""
    return _finite(float(header)) if header is not None and header.isdecimal() else None


def _finite(wait_s: float | None) -> float | None:
    """A wait that may be waited for or told in hours; None for one that has no end, or lies in the past."""
    return wait_s if wait_s is not None and 0 <= wait_s < _LONGEST_TOLD_S else None
