"""Which model answered, and how warm: `llm_override`, and each of `llm_overrides`.

The session detail says what was really sent to the model; a reply that broke may name its model in the error
line. What a label echoes (`display_name`, `model_name` beside the ids) is what was asked and proves nothing
(wire 1.2).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from harness.audit.finding import Evidence, Finding, Told, Word
from harness.sigma.catalogue import Provider
from harness.sigma.session import ModelParams, SessionDetail
from harness.sigma.transcript import Transcript


def override(asked: Mapping[str, Any], told: Told) -> Iterator[Finding]:
    """`llm_override`: the model, and the temperature apart."""
    yield from _override("llm_override", asked, model_params(told.transcript, told.session), told.evidence)


def overrides(asked: Sequence[Mapping[str, Any]], told: Told) -> Iterator[Finding]:
    """`llm_overrides`: each model of a side-by-side turn. The wire lists their answers in the order asked."""
    transcript = told.transcript
    answered = len(transcript.assistant_message_ids if transcript.models is None else transcript.models)
    for nth, each in enumerate(asked):
        setting = f"llm_overrides[{nth}]"
        if 0 < answered <= nth:
            seen = f"no model: only {answered} of {len(asked)} answered"
            yield Finding(setting, _asked(each), seen, Word.IGNORED)
        else:
            params = model_params(transcript, told.session, nth) if answered else None
            yield from _override(setting, each, params, told.evidence)


def model_params(transcript: Transcript, session: SessionDetail | None, nth: int = 0) -> ModelParams | None:
    """What the *nth* model answered under: by the session detail, else as far as its error line says."""
    ids = transcript.assistant_message_ids
    known = nth < len(ids) and (transcript.models is None or len(ids) == len(transcript.models))
    message = session.message(ids[nth]) if session is not None and known else None
    if message is not None and message.request_params is not None:
        return message.request_params
    shares = transcript.models or (transcript,)
    name = shares[nth].model_seen if nth < len(shares) else None
    return None if name is None else ModelParams(model_name=name)


def _override(
    setting: str, asked: Mapping[str, Any], seen: ModelParams | None, evidence: Evidence
) -> Iterator[Finding]:
    params = seen or ModelParams()
    if any(asked.get(name) is not None for name in _SELECTORS):
        word = _model(asked, params, evidence)
        yield Finding(setting, _asked(asked), _path(params.model_provider, params.model_name), word)
    if asked.get("temperature") is not None:
        yield _temperature(f"{setting}.temperature", asked["temperature"], params.sent_kwargs)


_SELECTORS = ("model_provider", "model_version", "model_configuration_id")


def _model(asked: Mapping[str, Any], seen: ModelParams, evidence: Evidence) -> Word:
    version, provider = asked.get("model_version"), asked.get("model_provider")
    if seen.model_name is None or (version is None and provider is None):
        return Word.NOT_SHOWN
    if version is not None and version != seen.model_name:
        return Word.IGNORED
    return Word.TOOK_EFFECT if provider is None else _provider(provider, seen, evidence.providers)


def _provider(asked: str, seen: ModelParams, providers: Sequence[Provider]) -> Word:
    """Whether the provider of that display name answered. The detail shows vendors, and two may share one."""
    own = next((one for one in providers if one.name == asked), None)
    if own is None or not own.vendor or seen.model_provider is None:
        return Word.NOT_SHOWN
    if own.vendor != seen.model_provider:
        return Word.IGNORED
    name = seen.model_name or ""
    alike = (one for one in providers if one.name != asked and one.vendor == own.vendor)
    told_apart = not any(fnmatchcase(name, model) for one in alike for model in one.models)
    return Word.TOOK_EFFECT if told_apart else Word.NOT_SHOWN


def _temperature(setting: str, asked: float, sent: Mapping[str, Any] | None) -> Finding:
    """A server may drop what its provider refuses and say nothing: then it is not among what was sent."""
    text = f"{asked:g}"
    if sent is None:
        return Finding(setting, text, "", Word.NOT_SHOWN)
    value = sent.get("temperature")
    if value is None:
        return Finding(setting, text, "no temperature was sent to the model", Word.IGNORED)
    same = isinstance(value, int | float) and math.isclose(value, asked, rel_tol=1e-6, abs_tol=1e-9)
    return Finding(setting, text, str(value), Word.TOOK_EFFECT if same else Word.IGNORED)


def _asked(asked: Mapping[str, Any]) -> str:
    named = _path(asked.get("model_provider"), asked.get("model_version"))
    number = asked.get("model_configuration_id")
    return named or ("the default model" if number is None else f"model configuration {number}")


def _path(*parts: str | None) -> str:
    return "/".join(part for part in parts if part)
