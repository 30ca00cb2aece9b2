"""The simulated models, their providers, and how a request's `llm_override` picks one.

What a model says is composed from what its tools really found; what is simulated is the deciding, the
wording and the speed. Six ways to behave are enough to be told apart by a test: terse or full or in a list,
with narration before its tools, with reasoning, quick or slow.

The two dialects differ here more than anywhere. The guide (`sigma`) says that an invalid override fails the
request; a real server (`onyx`) answers with the default model and says nothing (wire reference 1.2).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Literal

from harness.standin.simulate import MARK, Script, ScriptError, parse

MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Model:
    """One model: how fast it is, and how it talks. Times are medians in milliseconds.

    *wrong* is the share of replies that miss the question, drawn by message id.
    """

    name: str
    first_ms: float = 30
    gap_ms: float = 4
    tool_ms: float = 15
    spread: float = 0.25
    style: Literal["terse", "full", "list"] = "terse"
    narrates: bool = False
    reasons: bool = False
    words: int = 1
    script: Script | None = None
    judges: bool = False
    wrong: float = 0.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a real provider's models are called: an OpenAI-compatible server. The key is in no repr."""

    base_url: str
    api_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Provider:
    """A configured provider.

    Its display name, and the vendor behind it, which is all that session detail shows. The models of one with
    an *endpoint* are real.
    """

    id: int
    name: str
    vendor: str
    models: tuple[tuple[int, Model], ...]
    endpoint: Endpoint | None = None


SWIFT = Model("swift")
STEADY = Model("steady", first_ms=80, gap_ms=8, tool_ms=40, style="full", narrates=True)
WORSE = replace(STEADY, name="worse-by-10", wrong=0.10)
THINKER = Model("thinker", first_ms=120, gap_ms=12, tool_ms=60, style="full", reasons=True)
JUDGE = Model("judge", first_ms=20, gap_ms=1, spread=0, words=8, judges=True)
LIGHTHOUSE = Model("lighthouse", first_ms=150, gap_ms=20, tool_ms=50, style="list", words=4)

# Harbor has the vendor of Simulated and a `steady` of its own: two that no session detail can tell apart.
PROVIDERS = (
    Provider(
        1,
        "Simulated",
        "openai_compatible",
        ((1, SWIFT), (2, STEADY), (3, THINKER), (6, JUDGE), (7, WORSE)),
    ),
    Provider(2, "Harbor", "openai_compatible", ((4, LIGHTHOUSE), (5, STEADY))),
)
DEFAULT_PROVIDER, DEFAULT_MODEL = PROVIDERS[0], SWIFT
_FIRST_REAL_ID = 1_000


def real_providers(configured: Mapping[str, tuple[Endpoint, Sequence[str]]]) -> tuple[Provider, ...]:
    """Providers with real models, by name: their endpoint and what they are to offer."""
    made = []
    for number, (name, (endpoint, models)) in enumerate(configured.items(), 1):
        first = _FIRST_REAL_ID * number
        # What a real model says comes as it comes: nothing is drawn, and no tool is made slower than it is.
        numbered = tuple((first + at, Model(model, 0, 0, 0, 0)) for at, model in enumerate(models))
        made.append(Provider(len(PROVIDERS) + number, name, "openai_compatible", numbered, endpoint))
    return tuple(made)


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that will answer.

    *label* is the name that was asked for, which history repeats whatever answered. *missing*: the provider
    does not know the name, which shows when it is called.
    """

    provider: Provider
    model: Model
    label: str
    temperature: float = 0.0
    missing: bool = False

    def request_params(self) -> dict[str, Any]:
        """What was really sent to the model, as session detail shows it. Reasoning models are held at 1."""
        return {
            "max_tokens": None,
            "model_name": self.model.name,
            "sent_kwargs": {"temperature": 1.0 if self.model.reasons else self.temperature},
            "model_provider": self.provider.vendor,
            "reasoning_effort": "auto",
        }


class OverrideError(ValueError):
    """An `llm_override` that names no model; the guide says that such a request fails."""


@dataclass(frozen=True, slots=True)
class Override:
    """An `llm_override` as it was sent."""

    model_provider: str | None = None
    model_version: str | None = None
    temperature: float | None = None
    model_configuration_id: int | None = None
    display_name: str | None = None


def _scripted(provider: Provider, name: str) -> Model:
    script = parse(name)
    if provider is not DEFAULT_PROVIDER:
        raise ScriptError(f"{MARK} models belong to provider {DEFAULT_PROVIDER.name!r}")
    return DEFAULT_MODEL if "override" in script.ignores else Model(name, script=script)


def _named(provider: Provider, name: str) -> Model:
    """The provider's model of that name; `OverrideError` lists what there is."""
    if name.startswith(MARK):
        try:
            return _scripted(provider, name)
        except ScriptError as error:
            raise OverrideError(f"model {name!r}: {error}") from error
    for _, model in provider.models:
        if model.name == name:
            return model
    known = ", ".join(model.name for _, model in provider.models)
    raise OverrideError(f"provider {provider.name!r} has no model {name!r}; it has {known}")


def _provider(name: str, providers: Sequence[Provider]) -> Provider | None:
    return next((provider for provider in providers if provider.name == name), None)


def _by_id(configuration_id: int, providers: Sequence[Provider]) -> tuple[Provider, Model] | None:
    for provider in providers:
        for known_id, model in provider.models:
            if known_id == configuration_id:
                return provider, model
    return None


def choose_strictly(asked: Override, providers: Sequence[Provider] = PROVIDERS) -> Choice:
    """The model an override names, by the guide: what does not exist raises `OverrideError`."""
    temperature = asked.temperature or 0.0
    if asked.model_configuration_id is not None:
        found = _by_id(asked.model_configuration_id, providers)
        if found is None:
            raise OverrideError(f"no model configuration {asked.model_configuration_id}")
        return Choice(*found, asked.display_name or found[1].name, temperature)
    provider = DEFAULT_PROVIDER
    if asked.model_provider is not None:
        found_provider = _provider(asked.model_provider, providers)
        if found_provider is None:
            known = ", ".join(provider.name for provider in providers)
            raise OverrideError(f"no provider {asked.model_provider!r}; there are {known}")
        provider = found_provider
    model = provider.models[0][1] if asked.model_version is None else _named(provider, asked.model_version)
    return Choice(provider, model, asked.display_name or asked.model_version or model.name, temperature)


def choose_leniently(asked: Override, providers: Sequence[Provider] = PROVIDERS) -> Choice:
    """The model a real server would call: the default one wherever the override does not resolve.

    A known provider passes any model name on; whether it exists shows when it is called (`Choice.missing`).
    """
    temperature = asked.temperature or 0.0
    label = asked.display_name or asked.model_version or DEFAULT_MODEL.name
    found = None if asked.model_configuration_id is None else _by_id(asked.model_configuration_id, providers)
    if found is not None:
        return Choice(*found, asked.display_name or found[1].name, temperature)
    provider = None if asked.model_provider is None else _provider(asked.model_provider, providers)
    if provider is None or asked.model_version is None:
        return Choice(DEFAULT_PROVIDER, DEFAULT_MODEL, label, temperature)
    try:
        return Choice(provider, _named(provider, asked.model_version), label, temperature)
    except OverrideError:
        return Choice(provider, Model(asked.model_version), label, temperature, missing=True)


class Pace:
    """The speed of one reply. Draws are in nanoseconds and repeat with the same *seed*."""

    def __init__(self, model: Model, seed: str) -> None:
        script = model.script
        self._random = Random(seed)  # noqa: S311 - wording and rhythm, no secrets
        self._spread = script.jitter if script else model.spread
        self._first = script.ttft_ns if script else round(model.first_ms * MS)
        self._gap = script.gap_ns if script else round(model.gap_ms * MS)
        self._tool = round(model.tool_ms * MS)

    def _draw(self, median: int) -> int:
        return round(median * self._random.lognormvariate(0, self._spread)) if self._spread else median

    def first(self) -> int:
        """From the call of the model to its first word."""
        return self._draw(self._first)

    def gap(self) -> int:
        """From one word to the next."""
        return self._draw(self._gap)

    def tool(self) -> int:
        """How long a tool seems to take, on top of what it really takes."""
        return self._draw(self._tool)


def provider_listing(providers: Sequence[Provider] = PROVIDERS) -> dict[str, Any]:
    """The answer of `GET /llm/provider`."""
    return {
        "providers": [
            {
                "id": provider.id,
                "name": provider.name,
                "provider": provider.vendor,
                "provider_display_name": "OpenAI-Compatible",
                "model_configurations": [_configuration(*numbered) for numbered in _listed(provider)],
            }
            for provider in providers
        ],
        "default_text": {"provider_id": DEFAULT_PROVIDER.id, "model_name": DEFAULT_MODEL.name},
        "default_vision": None,
        "default_chat_naming": None,
    }


def _listed(provider: Provider) -> tuple[tuple[int, Model], ...]:
    """The models of a provider; the scripted ones as one pattern, the way a LiteLLM gateway lists its own."""
    return provider.models + (((99, Model(f"{MARK}*")),) if provider is DEFAULT_PROVIDER else ())


def _configuration(configuration_id: int, model: Model) -> dict[str, Any]:
    return {
        "id": configuration_id,
        "name": model.name,
        "is_visible": True,
        "max_input_tokens": 128_000,
        "supports_image_input": False,
        "supports_reasoning": model.reasons,
        "supported_reasoning_efforts": ["off", "low", "medium", "high"],
        "reasoning_effort_max": None,
        "reasoning_effort_default": None,
        "temperature_default": None,
        "is_recommended_default": model is DEFAULT_MODEL,
        "display_name": model.name.capitalize(),
        "custom_display_name": None,
        "provider_display_name": "OpenAI-Compatible",
        "vendor": None,
        "version": None,
        "region": None,
    }
