"""Models that answer side by side: the exchange of each, as if it had answered alone."""

from collections.abc import Sequence

from msgspec import structs

from harness.result import Exchange, Failure, Fault, Step
from harness.sigma.transcript import ModelReading, Outcome


def model_name(exchanges: Sequence[Exchange], nth: int) -> str:
    """How the *nth* model of a side-by-side turn is called: by its place, and by what was asked for."""
    for exchange in exchanges:
        asked = exchange.request.get("llm_overrides") or ()
        if nth < len(asked):
            parts = (asked[nth].get("model_provider"), asked[nth].get("model_version"))
            named = "/".join(part for part in parts if part)
            return f"model {nth} ({named})" if named else f"model {nth}"
    return f"model {nth}"


def of_model(exchange: Exchange, nth: int) -> Exchange:
    """*exchange* as if the *nth* of its models side by side had answered alone; an ordinary one as it is.

    A model that came to its end has not failed, whatever became of the others.
    """
    shares = models(exchange)
    if exchange.transcript is None or nth >= len(shares):
        return exchange
    share = structs.asdict(shares[nth])
    del share["model_index"]
    transcript = structs.replace(exchange.transcript, models=None, **share)
    failure = exchange.failure if transcript.outcome is Outcome.TRUNCATED else None
    if transcript.error is not None:
        failure = Failure(Fault.ERROR_LINE, Step.BODY, transcript.error.message, code=transcript.error.code)
    return structs.replace(exchange, transcript=transcript, failure=failure)


def models(exchange: Exchange) -> Sequence[ModelReading]:
    """The shares of *exchange*; none of an ordinary one."""
    return (exchange.transcript and exchange.transcript.models) or ()
